/* net.c - a peer's presence: listeners, services, watchers, and the one timer that
 * everything in a net waits on (handshakes, silence, lingering, dialing). */
#include "net/net_int.h"

#include <stdio.h>
#include <string.h>

/* --- close codes --------------------------------------------------------------------- */

static const char *const close_names[] = {
#define MK_CLOSE_X(name, code, text) [code] = #name,
    MK_CLOSE_MAP(MK_CLOSE_X)
#undef MK_CLOSE_X
};

static const char *const close_texts[] = {
#define MK_CLOSE_X(name, code, text) [code] = text,
    MK_CLOSE_MAP(MK_CLOSE_X)
#undef MK_CLOSE_X
};

const char *mk_close_name(unsigned code)
{
    return code < sizeof close_names / sizeof close_names[0] ? close_names[code] : "UNKNOWN";
}

const char *mk_close_text(unsigned code)
{
    return code < sizeof close_texts / sizeof close_texts[0] ? close_texts[code]
                                                             : "closed for a reason unknown here";
}

/* --- the timer ----------------------------------------------------------------------- */

void net_wake_at(struct mk_net *net, uint64_t at_ns)
{
    if (at_ns >= net->timer_at)
        return;
    net->timer_at = at_ns;
    mk_timer_start(net->env, &net->timer, at_ns);
}

static uint64_t net_tick_list(struct mk_list *list, uint64_t now)
{
    uint64_t at = UINT64_MAX;

    mk_list_each(n, list)
    {
        uint64_t next = link_tick(mk_container_of(n, struct mk_link, node), now);

        if (next < at)
            at = next;
    }
    return at;
}

static void net_timer_cb(struct mk_timer *t)
{
    struct mk_net *net = mk_container_of(t, struct mk_net, timer);
    uint64_t now = mk_now(net->env);

    net->timer_at = UINT64_MAX;
    net_wake_at(net, lobby_tick(net, now));
    net_wake_at(net, net_tick_list(&net->greeting, now));
    net_wake_at(net, net_tick_list(&net->links, now));
    net_wake_at(net, net_tick_list(&net->ending, now));
    net_wake_at(net, dial_tick(net, now));
}

/* --- watchers ------------------------------------------------------------------------ */

void mk_net_watch(struct mk_net *net, struct mk_net_watch *w)
{
    mk_list_add_tail(&net->watchers, &w->node);
}

void mk_net_unwatch(struct mk_net_watch *w)
{
    if (w->node.next != NULL)
        mk_list_del(&w->node);
}

/* Takes the watchers aside and puts each back before it is called, so that it may
 * unwatch itself or any other. */
static void net_take_watchers(struct mk_net *net, struct mk_list *aside)
{
    struct mk_list *n;

    mk_list_init(aside);
    while ((n = mk_list_pop(&net->watchers)) != NULL)
        mk_list_add_tail(aside, n);
}

/* Tells each of them, in their order. */
static void net_tell(struct mk_link *l, void (*tell)(struct mk_net_watch *w, struct mk_link *l))
{
    struct mk_list aside, *n;
    struct mk_net *net = l->net;

    net_take_watchers(net, &aside);
    while ((n = mk_list_pop(&aside)) != NULL) {
        mk_list_add_tail(&net->watchers, n);
        tell(mk_container_of(n, struct mk_net_watch, node), l);
    }
}

static void tell_up(struct mk_net_watch *w, struct mk_link *l)
{
    if (w->up != NULL && l->state == LINK_UP)
        w->up(w, l);
}

static void tell_refused(struct mk_net_watch *w, struct mk_link *l)
{
    if (w->refused != NULL)
        w->refused(w, &l->peer, l->close, l->detail);
}

static void tell_down(struct mk_net_watch *w, struct mk_link *l)
{
    if (w->down != NULL)
        w->down(w, &l->peer, l->close, l->detail);
}

void net_notify_up(struct mk_link *l)
{
    net_tell(l, tell_up);
}

void net_notify_refused(struct mk_link *l)
{
    net_tell(l, tell_refused);
}

void net_notify_down(struct mk_link *l)
{
    net_tell(l, tell_down);
}

/* --- services ------------------------------------------------------------------------ */

struct mk_service *net_service(struct mk_net *net, struct mk_str proto)
{
    mk_list_each(n, &net->services)
    {
        struct mk_service *s = mk_container_of(n, struct mk_service, node);

        if (mk_str_is(proto, s->proto))
            return s;
    }
    return NULL;
}

int mk_net_serve(struct mk_net *net, struct mk_service *s)
{
    if (net_service(net, mk_str_of(s->proto)) != NULL)
        return MK_EEXISTS;
    mk_list_add_tail(&net->services, &s->node);
    return 0;
}

struct mk_service *mk_net_served(struct mk_net *net, const char *proto)
{
    return net_service(net, mk_str_of(proto));
}

void mk_net_unserve(struct mk_service *s)
{
    if (s->node.next != NULL)
        mk_list_del(&s->node);
}

/* --- listening ----------------------------------------------------------------------- */

void net_count_refusal(struct mk_net *net, unsigned close, const char *remote, const char *detail)
{
    if (close < MK_NET_CLOSES)
        net->stats.refused_by[close]++;
    snprintf(net->stats.last_refusal, sizeof net->stats.last_refusal, "%.80s: %s: %s", remote,
             mk_close_name(close), detail);
}

/* Makes a place among the handshakes by giving up the oldest, when that has had its
 * chance: a flood of slow connections must not keep others out. For an address that has few
 * places the chance is shorter: a flood comes from others. */
static void net_evict_handshake(struct mk_net *net, const char *remote)
{
    struct mk_link *oldest = NULL, *other = NULL;
    uint64_t now = mk_now(net->env);
    unsigned mine = 0;

    mk_list_each(n, &net->greeting)
    {
        struct mk_link *l = mk_container_of(n, struct mk_link, node);
        bool same = source_is_same(l->remote, remote);

        if (l->dialed || l->known)
            continue;
        mine += same ? 1 : 0;
        oldest = oldest == NULL ? l : oldest;
        other = other == NULL && !same ? l : other;
    }
    if (oldest != NULL && now - oldest->since_ns >= NET_EVICT_MS * MK_MS)
        link_fail(oldest, MK_CLOSE_BUSY, /* tell= */ false, "others wait for its place");
    else if (other != NULL && mine < NET_FEW && now - other->since_ns >= NET_PROBATION_MS * MK_MS)
        link_fail(other, MK_CLOSE_BUSY, /* tell= */ false, "another address waits for its place");
}

/* An address over its limit: one of its handshakes may go on all the same, if there is a place; the
 * oldest gives its own when it has had its chance: a short one, when it sent less than any
 * hello has, which comes in one piece. */
static bool net_probation(struct mk_net *net)
{
    mk_list_each(n, &net->greeting)
    {
        struct mk_link *l = mk_container_of(n, struct mk_link, node);

        if (net->n_probation < NET_PROBATION_MAX)
            break;
        bool begun = net->tls != NULL && l->early < NET_HELLO_MIN;
        uint64_t chance = begun ? NET_PROBATION_BEGUN_MS : NET_PROBATION_MS;

        if (!l->probation || l->known)
            continue;
        if (mk_now(net->env) - l->since_ns >= chance * MK_MS)
            link_fail(l, MK_CLOSE_BUSY, /* tell= */ false, "too many connections from its address");
        break;
    }
    return net->n_probation < NET_PROBATION_MAX;
}

void net_admit(struct mk_net *net, struct mk_sock *s, struct mk_bytes first)
{
    const char *why = NULL;
    struct mk_link *l = NULL;
    bool probation = false;

    if (net->n_handshakes >= MK_NET_HANDSHAKES_MAX)
        net_evict_handshake(net, mk_sock_remote(s));
    if (net->n_handshakes >= MK_NET_HANDSHAKES_MAX)
        why = "too many handshakes at once";
    else if ((probation = !source_admit(net, mk_sock_remote(s))) && !net_probation(net))
        why = "too many connections from its address";
    else if ((l = link_new(net, s, /* dialed= */ false)) == NULL)
        why = "nobody vouches for the other end";
    if (l != NULL) {
        l->probation = probation;
        net->n_probation += probation ? 1 : 0;
        link_start(l);
        link_feed_first(l, first);
        return;
    }
    net->stats.links_refused++;
    net_count_refusal(net, MK_CLOSE_BUSY, mk_sock_remote(s), why);
    mk_sock_close(s);
}

static void net_accept(struct mk_listener *listener, struct mk_sock *s)
{
    struct mk_net *net = mk_container_of(listener, struct net_listener, listener)->net;

    if (net->tls != NULL)
        lobby_enter(net, s);
    else
        net_admit(net, s, MK_BYTES(NULL, 0)); /* vouched: both sides speak at once */
}

int mk_net_listen(struct mk_net *net, const char *address, struct mk_fault *reterr)
{
    struct net_listener *l = mk_alloc(sizeof *l);
    int rv;

    l->net = net;
    l->listener.accept = net_accept;
    rv = mk_listen(net->env, &l->listener, address, reterr);
    if (rv != 0) {
        mk_free(l);
        return rv;
    }
    mk_list_add_tail(&net->listeners, &l->node);
    return 0;
}

uint16_t mk_net_port(const struct mk_net *net)
{
    if (mk_list_empty(&net->listeners))
        return 0;
    return mk_listener_port(
        &mk_container_of(net->listeners.next, struct net_listener, node)->listener);
}

/* --- open and close ------------------------------------------------------------------------------
 */

int mk_net_open(struct mk_env *e, struct mk_net **ret, const struct mk_net_options *o)
{
    struct mk_net *net = mk_alloc(sizeof *net);

    if (!o->vouched && mk_tls_open(&net->tls, o->key) != 0) {
        mk_free(net);
        return MK_EIO;
    }
    net->env = e;
    net->key = o->key;
    net->network = o->network;
    net->protocols = mk_protocols;
    if (o->newest_protocol != 0)
        net->protocols.newest = o->newest_protocol;
    if (net->protocols.oldest > net->protocols.newest)
        net->protocols.oldest = net->protocols.newest;
    net->vouched = o->vouched;
    net->handshake_ms = o->handshake_ms != 0 ? o->handshake_ms : MK_NET_HANDSHAKE_MS;
    net->timer.cb = net_timer_cb;
    net->timer_at = UINT64_MAX;
    net->plain = mk_alloc(NET_PLAIN_MAX);
    mk_entropy(e, net->instance, sizeof net->instance);
    mk_list_init(&net->listeners);
    mk_list_init(&net->services);
    mk_list_init(&net->watchers);
    mk_list_init(&net->dialers);
    mk_list_init(&net->besides);
    mk_list_init(&net->beside);
    mk_list_init(&net->lobby);
    mk_list_init(&net->greeting);
    mk_list_init(&net->links);
    mk_list_init(&net->ending);
    *ret = net;
    return 0;
}

int mk_net_open_beside(struct mk_net *shared, struct mk_net **ret, const struct mk_net_beside *o)
{
    struct mk_net_options options = {.key = shared->key,
                                     .network = o->network,
                                     .vouched = shared->vouched,
                                     .handshake_ms = shared->handshake_ms,
                                     .newest_protocol = shared->protocols.newest};
    int rv;

    if (net_named(shared, &o->network) != NULL)
        return MK_EEXISTS;
    rv = mk_net_open(shared->env, ret, &options);
    if (rv != 0)
        return rv;
    (*ret)->inside = *o;
    mk_list_add_tail(&shared->besides, &(*ret)->beside);
    return 0;
}

struct mk_net *net_named(struct mk_net *net, const struct mk_id *network)
{
    if (mk_id_eq(&net->network, network))
        return net;
    mk_list_each(n, &net->besides)
    {
        struct mk_net *x = mk_container_of(n, struct mk_net, beside);

        if (mk_id_eq(&x->network, network))
            return x;
    }
    return NULL;
}

static void net_end_links(struct mk_list *list)
{
    while (!mk_list_empty(list)) {
        struct mk_link *l = mk_container_of(list->next, struct mk_link, node);

        link_fail(l, MK_CLOSE_SHUTDOWN, /* tell= */ true, "%s", mk_close_text(MK_CLOSE_SHUTDOWN));
        if (l->state == LINK_LINGERING)
            link_free(l);
        else
            link_advance(l);
    }
}

static void net_end_listeners(struct mk_net *net)
{
    struct mk_list *n;

    while ((n = mk_list_pop(&net->listeners)) != NULL) {
        struct net_listener *l = mk_container_of(n, struct net_listener, node);

        mk_listener_close(&l->listener);
        mk_free(l);
    }
}

void mk_net_close(struct mk_net *net)
{
    if (net == NULL)
        return;
    MK_ASSERT(mk_list_empty(&net->besides));
    mk_list_del(&net->beside);
    net->closing = true;
    net_end_listeners(net);
    dial_stop_all(net);
    lobby_end(net);
    net_end_links(&net->greeting);
    net_end_links(&net->links);
    net_end_links(&net->ending);
    mk_timer_stop(&net->timer);
    while (mk_list_pop(&net->services) != NULL || mk_list_pop(&net->watchers) != NULL)
        ;
    mk_tls_close(net->tls);
    mk_buf_done(&net->stage);
    mk_buf_done(&net->wire);
    mk_free(net->plain);
    mk_free(net);
}

/* --- looking ------------------------------------------------------------------------- */

struct mk_protocols mk_net_protocols(const struct mk_net *net)
{
    return net->protocols;
}

const struct mk_peer *mk_net_self(const struct mk_net *net)
{
    return &net->key->peer;
}

struct mk_link *mk_net_link(struct mk_net *net, const struct mk_peer *peer)
{
    return table_find(net, peer);
}

struct mk_link *mk_net_next_link(struct mk_net *net, const struct mk_link *after)
{
    struct mk_list *n = after == NULL ? net->links.next : after->node.next;

    return n == &net->links ? NULL : mk_container_of(n, struct mk_link, node);
}

void mk_net_stats(const struct mk_net *net, struct mk_net_stats *ret)
{
    *ret = net->stats;
    ret->handshakes = net->n_handshakes;
    ret->unfinished_bytes = net->partial;
}

/* "1" .. "65535", no other spelling. */
static bool port_is_valid(struct mk_str s)
{
    unsigned v = 0;

    if (s.n == 0 || s.n > 5 || s.p[0] == '0')
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        v = v * 10 + (unsigned)(s.p[i] - '0');
    }
    return v <= 65535;
}

int mk_net_parse_address(struct mk_peer *ret_peer, char ret_host_port[256], struct mk_str text,
                         struct mk_fault *reterr)
{
    struct mk_peer peer;
    struct mk_str host;
    size_t colon;

    if (text.n < 66 || text.p[64] != '@' || mk_peer_unhex(&peer, (struct mk_str){text.p, 64}) != 0)
        return mk_fault(reterr, MK_EMALFORMED, "an address is <64 hex digits>@host:port");
    host = (struct mk_str){text.p + 65, text.n - 65};
    if (host.n > 255)
        return mk_fault(reterr, MK_EMALFORMED, "an address of more than 255 characters");
    for (size_t i = 0; i < host.n; i++)
        if (host.p[i] <= ' ' || host.p[i] > '~' || host.p[i] == '@')
            return mk_fault(reterr, MK_EMALFORMED, "a host with other characters");
    for (colon = host.n; colon > 0 && host.p[colon - 1] != ':';)
        colon--;
    if (colon < 2 || !port_is_valid((struct mk_str){host.p + colon, host.n - colon}))
        return mk_fault(reterr, MK_EMALFORMED, "an address without host and port (1 to 65535)");
    memcpy(ret_host_port, host.p, host.n);
    ret_host_port[host.n] = 0;
    *ret_peer = peer;
    return 0;
}
