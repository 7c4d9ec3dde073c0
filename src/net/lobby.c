/* lobby.c - connections that have not said anything yet.
 *
 * Whoever dials speaks first in TLS, so a connection without a byte needs no channel of ours and
 * none of the places among the handshakes: it waits here, as a socket and nothing else, until
 * its first bytes bring it to net_admit(). A crowd that opens connections and is silent so keeps
 * nobody out: the oldest gives its place to the newest, first that of an address with more than
 * its share, and a newcomer who means it speaks within a round trip.
 *
 * Ends: bytes (handed on), the end of the connection, a newer one, the time for a handshake. */
#include "net/net_int.h"

#include <stdio.h>
#include <string.h>

struct guest {
    struct mk_net *net;
    struct mk_sock *sock;
    uint64_t since_ns;
    char host[64];
    struct mk_list node;
};

static void guest_free(struct guest *g)
{
    mk_list_del(&g->node);
    g->net->n_lobby--;
    mk_free(g);
}

static void guest_refuse(struct guest *g, unsigned close, const char *why)
{
    g->net->stats.handshakes_refused++;
    net_count_refusal(g->net, close, mk_sock_remote(g->sock), why);
    mk_sock_close(g->sock);
    guest_free(g);
}

static void guest_read(struct mk_sock *s, const uint8_t *p, size_t n)
{
    struct guest *g = s->owner;
    struct mk_net *net = g->net;

    guest_free(g);
    net_admit(net, s, MK_BYTES(p, n));
}

static void guest_writable(struct mk_sock *s)
{
    (void)s; /* nothing is written here */
}

static void guest_end(struct mk_sock *s, int status)
{
    guest_refuse(s->owner, MK_CLOSE_LOST,
                 status == 0 ? "the other side ended the connection before its hello"
                             : "the connection broke before its hello");
}

static const struct mk_sock_cbs guest_cbs = {
    .read = guest_read, .writable = guest_writable, .end = guest_end};

static struct guest *guest_of(struct mk_list *n)
{
    return mk_container_of(n, struct guest, node);
}

/* The oldest from host, when those are over their share; else NULL. */
static struct guest *over_share(struct mk_net *net, const char *host)
{
    struct guest *oldest = NULL;
    unsigned n = 0;

    if (net->n_lobby < NET_LOBBY_SOURCE_MAX)
        return NULL;
    mk_list_each(pos, &net->lobby)
    {
        struct guest *g = guest_of(pos);

        if (strcmp(g->host, host) != 0)
            continue;
        oldest = oldest == NULL ? g : oldest;
        n++;
    }
    return n >= NET_LOBBY_SOURCE_MAX ? oldest : NULL;
}

void lobby_enter(struct mk_net *net, struct mk_sock *s)
{
    struct guest *g = mk_alloc(sizeof *g), *old;

    g->net = net;
    g->sock = s;
    g->since_ns = mk_now(net->env);
    source_host(mk_sock_remote(s), g->host);
    old = over_share(net, g->host);
    if (old != NULL)
        guest_refuse(old, MK_CLOSE_BUSY, "too many silent connections from its address");
    else if (net->n_lobby >= NET_LOBBY_MAX)
        guest_refuse(guest_of(net->lobby.next), MK_CLOSE_BUSY, "too many silent connections");
    s->cbs = &guest_cbs;
    s->owner = g;
    mk_list_add_tail(&net->lobby, &g->node);
    net->n_lobby++;
    net_wake_at(net, g->since_ns + net->handshake_ms * MK_MS);
}

uint64_t lobby_tick(struct mk_net *net, uint64_t now)
{
    char text[MK_REASON_MAX];

    mk_list_each(n, &net->lobby)
    {
        uint64_t due = guest_of(n)->since_ns + net->handshake_ms * MK_MS;

        if (now < due)
            return due;
        snprintf(text, sizeof text, "no hello within %u ms", net->handshake_ms);
        guest_refuse(guest_of(n), MK_CLOSE_BAD_HANDSHAKE, text);
    }
    return UINT64_MAX;
}

void lobby_end(struct mk_net *net)
{
    mk_list_each(n, &net->lobby)
    {
        mk_sock_close(guest_of(n)->sock);
        guest_free(guest_of(n));
    }
}
