/* renew.c - other tickets in the place of those that an agent shows, while it runs; the protocol
 * "tickets".
 *
 *   we                                     each peer that we have a link to
 *   pc(tickets) opens it, and closes  ---> members, clients, readers, subscribers and producers of
 *                                          ours there are judged by them, now
 *
 * New conversations show the new ones by themselves. So an admission goes on from one ticket to the
 * next without a gap, and ends when what is shown no longer suffices. A peer that does not know the
 * protocol ends it when the ticket that it knows has expired, and admits the next conversation.
 *
 * What is told is believed of its sender alone, whose link it came on, and judged as ever. Judging
 * costs signatures, so of one peer it is done at once and then once a second at most: what comes in
 * between replaces what waits. */
#include "group/wire.h"
#include "node/network.h"
#include <mosaik/ticket.h>

#include <stdio.h>

#define WAITS_MAX (MK_TICKETS_MAX * (MK_TICKET_MAX + 8u)) /* bytes that wait for one peer */

/* --- told by others ------------------------------------------------------------------------ */

static void conv_message(struct mk_conv *c, struct mk_bytes m)
{
    (void)m; /* the opening said it */
    mk_conv_close(c, MK_CLOSE_MALFORMED, "tickets takes no messages");
}

static void conv_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    (void)c;
    (void)close;
    (void)detail;
}

static const struct mk_conv_cbs conv_cbs = {.message = conv_message, .closed = conv_closed};

#define EVERY_NS (1000 * MK_MS)

/** A peer that told of other tickets within the last second: at most one a link. */
struct renewal {
    struct mk_list node; /* of network->renewed, by time */
    struct mk_peer peer;
    uint64_t judged_ns;
    struct mk_buf waits; /* to be judged a second after the ones before; empty: nothing */
};

/** Judges by them what the peer holds here. */
static int retake(struct mk_network *n, const struct mk_peer *peer, struct mk_bytes bytes,
                  struct mk_fault *fault)
{
    struct mk_arena arena = {0};
    struct mk_wire_tickets tickets;
    int rv = mk_decode(&tickets, &mk_wire_tickets_type, bytes, &arena, fault);

    if (rv == 0) {
        struct mk_stream_tickets shown = {tickets.v, tickets.n};

        if (n->retake != NULL)
            n->retake(n->tell_arg, peer, &tickets);
        mk_streams_retake(&n->streams, peer, &shown);
    }
    mk_arena_done(&arena);
    return rv;
}

static void renewal_free(struct renewal *r)
{
    mk_list_del(&r->node);
    mk_buf_done(&r->waits);
    mk_free(r);
}

static void arm(struct mk_network *n)
{
    if (!mk_list_empty(&n->renewed))
        mk_timer_start(n->env, &n->renewing,
                       mk_container_of(n->renewed.next, struct renewal, node)->judged_ns +
                           EVERY_NS);
}

/** The second of the first ones has passed: what waits is judged, the others are forgotten. */
static void renewing_cb(struct mk_timer *t)
{
    struct mk_network *n = mk_container_of(t, struct mk_network, renewing);
    uint64_t now = mk_now(n->env);

    while (!mk_list_empty(&n->renewed)) {
        struct renewal *r = mk_container_of(n->renewed.next, struct renewal, node);

        if (r->judged_ns + EVERY_NS > now)
            break;
        if (r->waits.n == 0) {
            renewal_free(r);
            continue;
        }
        retake(n, &r->peer, mk_buf_bytes(&r->waits), NULL);
        mk_buf_done(&r->waits);
        r->judged_ns = now;
        mk_list_del(&r->node);
        mk_list_add_tail(&n->renewed, &r->node);
    }
    arm(n);
}

static struct renewal *renewal_of(struct mk_network *n, const struct mk_peer *peer)
{
    mk_list_each(p, &n->renewed)
    {
        struct renewal *r = mk_container_of(p, struct renewal, node);

        if (mk_peer_eq(&r->peer, peer))
            return r;
    }
    return NULL;
}

static unsigned tickets_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                               char detail[MK_REASON_MAX])
{
    struct mk_network *n = mk_container_of(s, struct mk_network, renewals);
    const struct mk_peer *peer = mk_link_peer(c->link);
    struct renewal *r = renewal_of(n, peer);
    struct mk_fault fault = {{0}};

    if (r != NULL && first.n <= WAITS_MAX) {
        mk_buf_clear(&r->waits);
        mk_buf_put(&r->waits, first.p, first.n);
    } else if (r != NULL || retake(n, peer, first, &fault) != 0) {
        snprintf(detail, MK_REASON_MAX, "%.200s", r != NULL ? "too long" : fault.text);
        return MK_CLOSE_MALFORMED;
    } else {
        r = mk_alloc(sizeof *r);
        r->peer = *peer;
        r->judged_ns = mk_now(n->env);
        mk_list_add_tail(&n->renewed, &r->node);
        arm(n);
    }
    c->cbs = &conv_cbs;
    return 0;
}

int mk_network_renewals_serve(struct mk_network *n)
{
    mk_list_init(&n->renewed);
    n->renewing.cb = renewing_cb;
    n->renewals = (struct mk_service){.proto = "tickets", .accept = tickets_accept};
    return mk_net_serve(n->net, &n->renewals);
}

void mk_network_renewals_end(struct mk_network *n)
{
    mk_net_unserve(&n->renewals);
    mk_timer_stop(&n->renewing);
    while (!mk_list_empty(&n->renewed))
        renewal_free(mk_container_of(n->renewed.next, struct renewal, node));
}

/* --- ours ---------------------------------------------------------------------------------- */

void mk_network_keep_tickets(struct mk_network *n, const struct mk_bytes *tickets, size_t n_tickets)
{
    struct mk_arena arena = {0};
    struct mk_bytes *v = mk_arena_take(&arena, (n_tickets + 1) * sizeof *v);

    for (size_t i = 0; i < n_tickets; i++)
        v[i] = MK_BYTES(mk_arena_copy(&arena, tickets[i].p, tickets[i].n), tickets[i].n);
    mk_arena_done(&n->arena);
    n->arena = arena;
    n->wallet = (struct mk_wallet){v, n_tickets, n->wallet.version + 1};
}

/* One of an issuer that names another peer would be refused wherever it is shown. */
static int check_bearer(const struct mk_network *n, const struct mk_bytes *tickets,
                        size_t n_tickets, struct mk_fault *reterr)
{
    const struct mk_peer *self = mk_network_peer(n);

    for (size_t i = 0; i < n_tickets; i++) {
        char named[MK_ID_HEX], own[MK_ID_HEX];
        struct mk_claims claims;

        if (mk_shown_claims(tickets[i], &claims) && !mk_peer_eq(&claims.sub, self))
            return mk_fault(reterr, MK_EREFUSED,
                            "ticket %zu is another peer's: its sub is %.16s, this is %.16s", i,
                            mk_peer_hex(&claims.sub, named), mk_peer_hex(self, own));
    }
    return 0;
}

static int check(const struct mk_bytes *tickets, size_t n_tickets, struct mk_fault *reterr)
{
    struct mk_arena arena = {0};
    int rv = 0;

    if (n_tickets > MK_TICKETS_MAX)
        return mk_fault(reterr, MK_ELIMIT, "at most %u tickets are shown", MK_TICKETS_MAX);
    for (size_t i = 0; i < n_tickets && rv == 0; i++) {
        struct mk_fault why = {{0}};
        struct mk_ticket t;

        if (tickets[i].n > MK_TICKET_MAX)
            rv = mk_fault(reterr, MK_ELIMIT, "ticket %zu has more than %u bytes", i, MK_TICKET_MAX);
        else if (mk_decode(&t, &mk_ticket_type, tickets[i], &arena, &why) != 0)
            rv = mk_fault(reterr, MK_EMALFORMED, "ticket %zu is none: %s", i, why.text);
    }
    mk_arena_done(&arena);
    return rv;
}

static void announce(struct mk_network *n)
{
    struct mk_wire_tickets shown = {n->wallet.v, n->wallet.n};
    struct mk_buf first = {0};

    mk_encode(&first, &mk_wire_tickets_type, &shown);
    for (struct mk_link *l = NULL; (l = mk_net_next_link(n->net, l)) != NULL;) {
        struct mk_conv *c;

        if (mk_conv_open(l, &c, "tickets", mk_buf_bytes(&first), &conv_cbs, n) == 0)
            mk_conv_close(c, MK_CLOSE_NONE, NULL);
    }
    mk_buf_done(&first);
}

int mk_network_renew(struct mk_network *n, const struct mk_bytes *tickets, size_t n_tickets,
                     struct mk_fault *reterr)
{
    int rv = check(tickets, n_tickets, reterr);

    if (rv == 0)
        rv = check_bearer(n, tickets, n_tickets, reterr);
    if (rv != 0)
        return rv;
    mk_network_keep_tickets(n, tickets, n_tickets);
    /* Too large for an entry is no fault: bonds show them all the same. */
    if (mk_discovery_show(n->discovery, n->wallet.v, n->wallet.n) != 0)
        mk_discovery_show(n->discovery, NULL, 0);
    mk_streams_renewed(&n->streams, n->wallet.v, n->wallet.n);
    announce(n);
    return 0;
}
