/* source.c - how many connections a source address has made lately: without saying who it
 * is, and as a peer that we do not dial. A fixed table: the source seen longest ago gives its
 * place.
 *
 * Neither keeps out whom we dial ourselves: members of one operator often share an address, with
 * each other and with whoever floods it. Above the first limit a few handshakes at once go on, on
 * probation (net.c): who says who he is comes in by them, a stranger within the second limit. So an
 * operator beside a flood still gets his answer. Connections without a byte count nowhere here:
 * they wait in the lobby (lobby.c). */
#include "net/net_int.h"

#include <string.h>

void source_host(const char *remote, char host[64])
{
    const char *colon = strrchr(remote, ':');
    size_t n = colon != NULL ? (size_t)(colon - remote) : strlen(remote);

    if (n > 63)
        n = 63;
    memcpy(host, remote, n);
    host[n] = 0;
}

bool source_is_same(const char *a, const char *b)
{
    const char *x = strrchr(a, ':'), *y = strrchr(b, ':');

    return x != NULL && y != NULL && x - a == y - b && memcmp(a, b, (size_t)(x - a)) == 0;
}

static struct net_source *source_find(struct mk_net *net, const char *host)
{
    for (size_t i = 0; i < NET_SOURCES; i++)
        if (net->sources[i].host[0] != 0 && strcmp(net->sources[i].host, host) == 0)
            return &net->sources[i];
    return NULL;
}

static struct net_source *source_oldest(struct mk_net *net)
{
    struct net_source *s = &net->sources[0];

    for (size_t i = 0; i < NET_SOURCES; i++) {
        if (net->sources[i].host[0] == 0)
            return &net->sources[i];
        if (net->sources[i].since_ns < s->since_ns)
            s = &net->sources[i];
    }
    return s;
}

/** The source, with its count begun anew when it is old. */
static struct net_source *source_of(struct mk_net *net, const char *remote)
{
    uint64_t now = mk_now(net->env);
    struct net_source *s;
    char host[64];

    source_host(remote, host);
    s = source_find(net, host);
    if (s == NULL || now - s->since_ns >= NET_SOURCE_MS * MK_MS) {
        if (s == NULL)
            s = source_oldest(net);
        *s = (struct net_source){.since_ns = now};
        memcpy(s->host, host, sizeof s->host);
    }
    return s;
}

bool source_admit(struct mk_net *net, const char *remote)
{
    struct net_source *s = source_of(net, remote);

    if (s->n >= MK_NET_LINKS_SOURCE_MAX)
        return false;
    s->n++;
    return true;
}

void source_known(struct mk_net *net, const char *remote)
{
    struct net_source *s = source_of(net, remote);

    if (s->n > 0)
        s->n--;
}

static bool is_local(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 || strcmp(host, "[::1]") == 0;
}

bool source_stranger(struct mk_net *net, const char *remote)
{
    struct net_source *s = source_of(net, remote);

    if (s->n_strangers >=
        (is_local(s->host) ? MK_NET_STRANGERS_LOCAL_MAX : MK_NET_STRANGERS_SOURCE_MAX))
        return false;
    s->n_strangers++;
    return true;
}
