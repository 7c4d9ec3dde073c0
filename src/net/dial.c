/* dial.c - standing wishes for links.
 *
 *   wait until due -> connect -> link (GREETING) -> up: nothing to do until it breaks
 *        ^                |            |             |
 *        '----------------'------------'-------------'   back-off, next address
 *
 * One attempt a peer runs at a time, whoever wishes, since two links dialed by the same
 * side would each take the other for dead (table.c). The wait doubles once all the
 * addresses were tried, is shared out over them, and jittered by up to a half, so
 * that peers that lost each other at the same moment do not meet at the same moment. */
#include "net/net_int.h"

#include <stdio.h>
#include <string.h>

#define DIAL_SETTLED_MS 1000u /* a link that lasted so long ends the back-off */

struct net_dialer {
    struct mk_dial *pub;
    struct mk_net *net;
    struct mk_list node;
    struct mk_connect connect;
    bool connecting;
    struct mk_link *link; /* the attempt's, until it is up or failed */
    char *addresses[NET_DIAL_ADDRESSES_MAX];
    size_t n_addresses, next, tried;
    unsigned backoff_ms;
    uint64_t due_ns;   /* UINT64_MAX: nothing to do for now */
    uint64_t began_ns; /* the last attempt */
};

static struct net_dialer *dialer_of(struct mk_list *n)
{
    return mk_container_of(n, struct net_dialer, node);
}

static void dial_schedule(struct net_dialer *d)
{
    unsigned ms, jitter;

    if (d->n_addresses == 0)
        return;
    ms = d->backoff_ms / (unsigned)d->n_addresses;
    if (ms < 10)
        ms = 10;
    mk_entropy(d->net->env, &jitter, sizeof jitter);
    ms = ms / 2 + jitter % (ms / 2 + 1);
    d->due_ns = mk_now(d->net->env) + ms * MK_MS;
    net_wake_at(d->net, d->due_ns);
}

static void dial_failed(struct net_dialer *d, unsigned close, const char *detail)
{
    if (close != MK_CLOSE_DUPLICATE) {
        d->pub->last_close = close;
        snprintf(d->pub->last_detail, sizeof d->pub->last_detail, "%s", detail);
    }
    dial_schedule(d);
    if (++d->tried >= d->n_addresses) {
        d->tried = 0;
        d->backoff_ms = 2 * d->backoff_ms < NET_DIAL_MAX_MS ? 2 * d->backoff_ms : NET_DIAL_MAX_MS;
    }
}

/** Of the attempt. */
static const char *dial_address(const struct net_dialer *d)
{
    return d->addresses[(d->next + d->n_addresses - 1) % d->n_addresses];
}

static void dial_connect_cb(struct mk_connect *c, struct mk_sock *s, int status)
{
    struct net_dialer *d = mk_container_of(c, struct net_dialer, connect);
    const char *address = dial_address(d);
    char text[MK_REASON_MAX];

    d->connecting = false;
    if (status != 0) {
        snprintf(text, sizeof text, "no connection to %s", address);
        dial_failed(d, MK_CLOSE_UNREACHABLE, text);
        return;
    }
    d->link = link_new(d->net, s, /* dialed= */ true);
    if (d->link == NULL) {
        mk_sock_close(s);
        dial_failed(d, MK_CLOSE_BAD_HANDSHAKE, "nobody vouches for the other end");
        return;
    }
    d->link->expected = d->pub->peer;
    d->link->dialer = d;
    link_start(d->link);
}

static void dial_try(struct net_dialer *d)
{
    const char *address = d->addresses[d->next];
    char text[MK_REASON_MAX];

    d->due_ns = UINT64_MAX;
    d->began_ns = mk_now(d->net->env);
    d->next = (d->next + 1) % d->n_addresses;
    d->net->stats.dials++;
    d->connect.cb = dial_connect_cb;
    if (mk_connect(d->net->env, &d->connect, address) == 0) {
        d->connecting = true;
        return;
    }
    snprintf(text, sizeof text, "%.200s is no address", address);
    dial_failed(d, MK_CLOSE_UNREACHABLE, text);
}

static bool dial_is_busy(const struct net_dialer *d)
{
    return d->connecting || d->link != NULL;
}

static bool dial_peer_is_busy(struct mk_net *net, const struct mk_peer *peer)
{
    mk_list_each(n, &net->dialers) if (dial_is_busy(dialer_of(n)) &&
                                       mk_peer_eq(&dialer_of(n)->pub->peer, peer)) return true;
    return false;
}

uint64_t dial_tick(struct mk_net *net, uint64_t now)
{
    uint64_t at = UINT64_MAX;

    mk_list_each(n, &net->dialers)
    {
        struct net_dialer *d = dialer_of(n);

        if (d->due_ns <= now && table_find(net, &d->pub->peer) != NULL)
            d->due_ns = UINT64_MAX;
        else if (d->due_ns <= now && dial_peer_is_busy(net, &d->pub->peer))
            d->due_ns = now + NET_DIAL_MIN_MS * MK_MS;
        else if (d->due_ns <= now)
            dial_try(d);
        if (d->due_ns < at)
            at = d->due_ns;
    }
    return at;
}

void dial_link_up(struct mk_net *net, struct mk_link *l)
{
    if (l->dialer != NULL)
        l->dialer->link = NULL;
    l->dialer = NULL;
    mk_list_each(n, &net->dialers)
    {
        struct net_dialer *d = dialer_of(n);

        if (!mk_peer_eq(&d->pub->peer, &l->peer))
            continue;
        if (d->connecting)
            mk_connect_cancel(&d->connect);
        d->connecting = false;
        d->due_ns = UINT64_MAX;
        d->pub->last_close = MK_CLOSE_NONE;
        d->pub->last_detail[0] = 0;
    }
}

/* A link that was up is gone. */
static void dial_again(struct net_dialer *d, struct mk_link *l)
{
    if (mk_now(d->net->env) - l->since_ns >= DIAL_SETTLED_MS * MK_MS) {
        d->backoff_ms = NET_DIAL_MIN_MS;
        d->tried = 0;
    }
    if (!dial_is_busy(d) && table_find(d->net, &l->peer) == NULL)
        dial_failed(d, l->close, l->detail);
}

void dial_link_down(struct mk_net *net, struct mk_link *l)
{
    struct net_dialer *d = l->dialer;

    if (d != NULL) {
        l->dialer = NULL;
        d->link = NULL;
        dial_failed(d, l->close, l->detail);
        return;
    }
    mk_list_each(n, &net->dialers) if (mk_peer_eq(&dialer_of(n)->pub->peer, &l->peer))
        dial_again(dialer_of(n), l);
}

bool dial_wanted(struct mk_net *net, const struct mk_peer *peer)
{
    mk_list_each(n, &net->dialers) if (mk_peer_eq(&dialer_of(n)->pub->peer, peer)) return true;
    return false;
}

void dial_stop_all(struct mk_net *net)
{
    while (!mk_list_empty(&net->dialers))
        mk_net_undial(dialer_of(net->dialers.next)->pub);
}

/* --- the public face ----------------------------------------------------------------- */

void mk_net_dial(struct mk_net *net, struct mk_dial *pub, const struct mk_peer *peer,
                 const char *address)
{
    struct net_dialer *d = mk_alloc(sizeof *d);
    struct mk_link *l = table_find(net, peer);

    MK_ASSERT(!net->closing);
    *pub = (struct mk_dial){.peer = *peer, .impl = d};
    d->pub = pub;
    d->net = net;
    d->backoff_ms = NET_DIAL_MIN_MS;
    d->due_ns = UINT64_MAX;
    mk_list_add_tail(&net->dialers, &d->node);
    if (l != NULL && l->stranger)
        net->n_strangers--;
    if (l != NULL)
        l->stranger = false;
    if (address != NULL)
        mk_dial_add_address(pub, address);
}

void mk_dial_add_address(struct mk_dial *pub, const char *address)
{
    struct net_dialer *d = pub->impl;

    for (size_t i = 0; i < d->n_addresses; i++)
        if (strcmp(d->addresses[i], address) == 0)
            return;
    if (d->n_addresses == NET_DIAL_ADDRESSES_MAX) { /* the oldest gives its place */
        mk_free(d->addresses[0]);
        memmove(&d->addresses[0], &d->addresses[1], (d->n_addresses - 1) * sizeof(char *));
        d->n_addresses--;
        d->next = d->next > 0 ? d->next - 1 : 0;
    }
    d->addresses[d->n_addresses++] = mk_strdup(address);
    if (dial_is_busy(d) || table_find(d->net, &pub->peer) != NULL || d->due_ns != UINT64_MAX)
        return;
    d->due_ns = mk_now(d->net->env);
    net_wake_at(d->net, d->due_ns);
}

bool mk_net_first_dial(struct mk_net *net, const struct mk_peer *peer)
{
    if (table_find(net, peer) != NULL)
        return false;
    mk_list_each(n, &net->dialers)
    {
        const struct net_dialer *d = dialer_of(n);

        if (mk_peer_eq(&d->pub->peer, peer) && d->n_addresses > 0 &&
            d->pub->last_close == MK_CLOSE_NONE)
            return true;
    }
    return false;
}

bool mk_dial_waits(const struct mk_dial *pub, char ret[MK_REASON_MAX])
{
    const struct net_dialer *d = pub->impl;
    unsigned long long ms;

    if (d == NULL || !dial_is_busy(d))
        return false;
    ms = (mk_now(d->net->env) - d->began_ns) / MK_MS;
    if (d->connecting)
        snprintf(ret, MK_REASON_MAX, "%.160s: no connection after %llu ms", dial_address(d), ms);
    else
        snprintf(ret, MK_REASON_MAX, "%.160s took the connection and is silent for %llu ms",
                 dial_address(d), ms);
    return true;
}

void mk_net_undial(struct mk_dial *pub)
{
    struct net_dialer *d = pub->impl;
    struct mk_link *l;

    if (d == NULL)
        return;
    if (d->connecting)
        mk_connect_cancel(&d->connect);
    mk_list_del(&d->node);
    if (d->link != NULL) {
        d->link->dialer = NULL;
        link_fail(d->link, MK_CLOSE_NONE, /* tell= */ true, "not wanted any more");
    }
    l = table_find(d->net, &pub->peer);
    if (l != NULL)
        link_check_use(l);
    for (size_t i = 0; i < d->n_addresses; i++)
        mk_free(d->addresses[i]);
    mk_free(d);
    pub->impl = NULL;
}
