/* gossip.c - conversations: who has one, what it may bring, when it ends.
 *
 * Happy path. The side with the lesser peer id opens a conversation on each link. The two compare
 * what they hold (compare.c), then tell each other what is new (spread.c), and compare again now
 * and then.
 *
 * Nothing is queued for a slow reader: a conversation remembers how far it came
 * (a key, a seq) and goes on from there when there is room. So its memory does not
 * depend on what the other side does.
 *
 * A source that brings records too fast gets its credit back late, and the link's
 * flow control stops it; nothing is lost, and others are not touched. A source that
 * brings what no honest node would pass on (forged, malformed, of another network,
 * too long) is expelled: its conversation ends and is not accepted for a minute.
 *
 * There are MK_DISCOVERY_CONVS_MAX places for conversations that others chose to have with us
 * (those with peers whom we dial for a reason of ours do not count). When they are taken a newcomer
 * gets one all the same, or no newcomer would find anybody: it is taken from the network group that
 * has most, among the half that came last, so that many of one place rotate among themselves and
 * those of long standing stay. */
#include "discovery/discovery_int.h"
#include "discovery/prefix.h"

#include <stdio.h>
#include <string.h>

static const struct mk_conv_cbs gossip_cbs;

struct mk_gossip *mk_gossip_find(struct mk_discovery *d, const struct mk_peer *peer)
{
    mk_list_each(n, &d->gossips)
    {
        struct mk_gossip *g = mk_container_of(n, struct mk_gossip, node);

        if (mk_peer_eq(&g->source.peer, peer))
            return g;
    }
    return NULL;
}

struct mk_gossip *mk_gossip_by_id(struct mk_discovery *d, uint32_t id)
{
    mk_list_each(n, &d->gossips)
    {
        struct mk_gossip *g = mk_container_of(n, struct mk_gossip, node);

        if (g->id == id)
            return g;
    }
    return NULL;
}

void mk_gossip_doom(struct mk_gossip *g, unsigned close, bool expel, const char *why)
{
    if (g->doomed != 0)
        return;
    g->doomed = close;
    g->expel = expel;
    snprintf(g->why, sizeof g->why, "%.200s", why);
    mk_discovery_poke(g->d);
}

bool mk_gossip_send(struct mk_gossip *g, struct mk_bytes m)
{
    if (mk_conv_send(g->conv, m) != 0)
        return false;
    g->d->stats.messages_out++;
    g->d->stats.bytes_out += m.n;
    return true;
}

static void gossip_put(struct mk_buf *batch, enum mk_record_kind kind, const struct mk_buf *bytes)
{
    if (batch->n == 0)
        mk_buf_put_u8(batch, GOSSIP_RECORDS);
    mk_buf_put_u8(batch, (uint8_t)kind);
    mk_put_varint(batch, bytes->n);
    mk_buf_put(batch, bytes->p, bytes->n);
}

void mk_gossip_put(struct mk_discovery *d, struct mk_buf *batch, const struct mk_record *r)
{
    gossip_put(batch, r->head.kind, &r->bytes);
    if (r->rival.n > 0)
        gossip_put(batch, r->head.kind, &r->rival);
    d->stats.records_out++;
}

/* --- pauses -------------------------------------------------------------------------- */

static void gossip_pause(struct mk_discovery *d, const struct mk_peer *peer, uint64_t until_ns)
{
    if (d->n_pauses == GOSSIP_PAUSES_MAX)
        memmove(d->pauses, d->pauses + 1, --d->n_pauses * sizeof *d->pauses);
    if (d->n_pauses == d->cap_pauses) {
        d->cap_pauses = d->cap_pauses == 0 ? 8 : 2 * d->cap_pauses;
        d->pauses = mk_realloc(d->pauses, d->cap_pauses * sizeof *d->pauses);
    }
    d->pauses[d->n_pauses++] = (struct mk_gossip_pause){*peer, until_ns};
}

/* Later ones count; those that are over go. */
static bool gossip_paused(struct mk_discovery *d, const struct mk_peer *peer)
{
    uint64_t now = mk_now(d->env);

    for (size_t i = 0; i < d->n_pauses; i++) {
        if (mk_peer_eq(&d->pauses[i].peer, peer) && now < d->pauses[i].until_ns)
            return true;
    }
    return false;
}

/* --- beginning and end ----------------------------------------------------------------- */

static struct mk_gossip *gossip_new(struct mk_discovery *d, struct mk_conv *conv,
                                    const struct mk_peer *peer)
{
    struct mk_gossip *g = mk_alloc(sizeof *g);

    g->d = d;
    g->conv = conv;
    g->id = ++d->last_id;
    g->source = (struct mk_source){
        .peer = *peer, .group = mk_address_group(mk_str_of(mk_link_remote(conv->link)))};
    g->since_ns = mk_now(d->env);
    g->sent_seq = d->table.seq;
    g->tokens = (int64_t)MK_DISCOVERY_BURST * 1000;
    g->filled_ns = mk_now(d->env);
    mk_compare_begin(g, 1);
    mk_list_add_tail(&d->gossips, &g->node);
    mk_discovery_poke(d);
    return g;
}

static void gossip_free(struct mk_gossip *g)
{
    mk_list_del(&g->node);
    mk_compare_done(g);
    mk_buf_done(&g->asked);
    mk_buf_done(&g->asking);
    mk_free(g);
}

static unsigned gossip_hello(struct mk_discovery *d, struct mk_bytes first, char *detail)
{
    struct mk_reader r = {.p = first.p, .n = first.n};
    uint8_t version = mk_read_u8(&r);
    struct mk_bytes network = mk_read_bytes(&r, sizeof d->network.b);

    if (!r.failed && version != GOSSIP_VERSION) {
        snprintf(detail, MK_REASON_MAX, "discovery version %u, not %u", version, GOSSIP_VERSION);
        return MK_CLOSE_OTHER_VERSION;
    }
    if (r.failed || r.n != 0)
        return MK_CLOSE_MALFORMED;
    return mk_bytes_eq(network, MK_ID_BYTES(&d->network)) ? 0 : MK_CLOSE_OTHER_NETWORK;
}

/* --- places ------------------------------------------------------------------------------- */

/* Is it one of others' choice? */
static bool gossip_is_guest(struct mk_discovery *d, const struct mk_gossip *g)
{
    return g->doomed == 0 && mk_contacts_find(d, &g->source.peer) == NULL;
}

static size_t gossip_guests(struct mk_discovery *d, uint32_t group, bool any)
{
    size_t n = 0;

    mk_list_each(i, &d->gossips)
    {
        const struct mk_gossip *g = mk_container_of(i, struct mk_gossip, node);

        n += (any || g->source.group == group) && gossip_is_guest(d, g);
    }
    return n;
}

/* A newcomer needs a place: which of the later half goes. */
static void gossip_make_place(struct mk_discovery *d)
{
    size_t n = gossip_guests(d, 0, true), seen = 0, most = 0;
    struct mk_gossip *goes = NULL;
    uint32_t looked = 0;

    if (n < MK_DISCOVERY_CONVS_MAX)
        return;
    mk_list_each(i, &d->gossips)
    {
        struct mk_gossip *g = mk_container_of(i, struct mk_gossip, node);
        size_t of_group;

        if (!gossip_is_guest(d, g) || seen++ < n / 2 || (goes != NULL && g->source.group == looked))
            continue;
        looked = g->source.group;
        of_group = gossip_guests(d, looked, false);
        if (of_group > most) {
            most = of_group;
            goes = g;
        }
    }
    if (goes == NULL)
        return;
    d->stats.busy++;
    mk_gossip_doom(goes, MK_CLOSE_BUSY, true, "its place was needed: many want to talk");
}

/* Opens one where it is on us and there is none. */
static void gossip_start(struct mk_discovery *d, struct mk_link *l)
{
    const struct mk_peer *peer = mk_link_peer(l);
    struct mk_buf hello = {0};
    struct mk_conv *conv;
    struct mk_gossip *g;

    if (mk_peer_cmp(&d->self, peer) > 0 || mk_gossip_find(d, peer) != NULL ||
        gossip_paused(d, peer))
        return;
    if (mk_contacts_find(d, peer) == NULL)
        gossip_make_place(d);
    mk_buf_put_u8(&hello, GOSSIP_VERSION);
    mk_buf_put(&hello, d->network.b, sizeof d->network.b);
    if (mk_conv_open(l, &conv, GOSSIP_PROTO, mk_buf_bytes(&hello), &gossip_cbs, NULL) == 0) {
        g = gossip_new(d, conv, peer);
        conv->owner = g;
    }
    mk_buf_done(&hello);
}

static unsigned gossip_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                              char detail[MK_REASON_MAX])
{
    struct mk_discovery *d = mk_container_of(s, struct mk_discovery, service);
    const struct mk_peer *peer = mk_link_peer(c->link);
    struct mk_gossip *old = mk_gossip_find(d, peer);
    unsigned close = gossip_hello(d, first, detail);

    if (close != 0)
        return close;
    if (gossip_paused(d, peer)) {
        snprintf(detail, MK_REASON_MAX, "expelled for a minute, for what it sent");
        return MK_CLOSE_REFUSED;
    }
    if (old != NULL && old->conv->link == c->link) {
        snprintf(detail, MK_REASON_MAX, "a second discovery conversation on a link");
        return MK_CLOSE_REFUSED;
    }
    if (old != NULL) { /* of a link that is going away */
        mk_conv_close(old->conv, MK_CLOSE_DUPLICATE, "");
        gossip_free(old);
    }
    if (mk_contacts_find(d, peer) == NULL)
        gossip_make_place(d);
    c->cbs = &gossip_cbs;
    c->owner = gossip_new(d, c, peer);
    return 0;
}

static void gossip_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct mk_gossip *g = c->owner;
    struct mk_discovery *d = g->d;

    mk_sync_lost(d, g->id, close, detail);
    gossip_pause(d, &g->source.peer,
                 mk_now(d->env) + (close == MK_CLOSE_BUSY ? GOSSIP_EXPELLED_NS : GOSSIP_RETRY_NS));
    gossip_free(g);
    mk_discovery_poke(d);
}

static void gossip_writable(struct mk_conv *c)
{
    struct mk_gossip *g = c->owner;

    mk_discovery_poke(g->d);
}

void mk_gossip_open(struct mk_discovery *d)
{
    d->service = (struct mk_service){.proto = GOSSIP_PROTO, .accept = gossip_accept};
}

void mk_gossip_link_up(struct mk_discovery *d, struct mk_link *l)
{
    size_t n = 0;

    /* A new link is a new beginning, unless we were wronged. */
    for (size_t i = 0; i < d->n_pauses; i++) {
        bool retry = d->pauses[i].until_ns <= mk_now(d->env) + GOSSIP_RETRY_NS;

        if (!retry || !mk_peer_eq(&d->pauses[i].peer, mk_link_peer(l)))
            d->pauses[n++] = d->pauses[i];
    }
    d->n_pauses = n;
    gossip_start(d, l);
}

/* --- taking in --------------------------------------------------------------------------- */

static void gossip_refill(struct mk_gossip *g)
{
    uint64_t now = mk_now(g->d->env), gone_us = (now - g->filled_ns) / 1000;
    const int64_t full = (int64_t)MK_DISCOVERY_BURST * 1000;

    if (gone_us > 3600 * UINT64_C(1000000))
        gone_us = 3600 * UINT64_C(1000000);
    g->filled_ns = now;
    g->tokens += (int64_t)(gone_us * MK_DISCOVERY_RATE / 1000);
    if (g->tokens > full)
        g->tokens = full;
    if (g->tokens > 0 && g->owed > 0) {
        size_t owed = g->owed;

        g->owed = 0;
        mk_conv_consumed(g->conv, owed);
    }
}

/* One record of a message. False when the sender is at fault. */
static bool gossip_take(struct mk_gossip *g, enum mk_record_kind kind, struct mk_bytes bytes)
{
    struct mk_discovery *d = g->d;
    struct mk_fault fault = {{0}};
    uint64_t hash;
    int rv = mk_discovery_take(d, kind, bytes, &g->source, &hash, &fault);

    d->stats.records_in++;
    g->tokens -= 1000 * (int64_t)(1 + bytes.n / MK_DISCOVERY_ENTRY_MAX); /* long ones cost more */
    if (hash != 0)
        mk_spread_came(d, hash, rv == 0 || mk_catalog_by_hash(&d->table, hash) != NULL);
    if (rv == 0 || rv == MK_EEXISTS || rv == MK_EREFUSED)
        return true;
    mk_gossip_doom(g,
                   rv == MK_ELIMIT     ? MK_CLOSE_TOO_LONG
                   : rv == MK_EINVALID ? MK_CLOSE_OTHER_NETWORK
                                       : MK_CLOSE_MALFORMED,
                   true, fault.text);
    return false;
}

static void gossip_records(struct mk_gossip *g, struct mk_reader *r)
{
    while (r->n > 0 && g->doomed == 0) {
        uint8_t kind = mk_read_u8(r);
        uint64_t n = mk_read_varint(r);

        if (r->failed || kind >= MK_RECORD_KINDS || n > r->n) {
            mk_gossip_doom(g, MK_CLOSE_MALFORMED, true, "a batch of records that is none");
            return;
        }
        if (!gossip_take(g, (enum mk_record_kind)kind, mk_read_bytes(r, (size_t)n)))
            return;
    }
}

static void gossip_message(struct mk_conv *c, struct mk_bytes m)
{
    struct mk_gossip *g = c->owner;
    struct mk_reader r = {.p = m.p, .n = m.n};
    uint8_t type = mk_read_u8(&r);

    mk_discovery_poke(g->d);
    g->d->stats.messages_in++;
    g->d->stats.bytes_in += m.n;
    g->owed += m.n;
    g->tokens -= 100;
    if (g->doomed != 0)
        return;
    if (type == GOSSIP_RECORDS)
        gossip_records(g, &r);
    else if (type == GOSSIP_SUMMARY)
        mk_compare_summary(g, &r);
    else if (type == GOSSIP_DIGEST)
        mk_compare_digest(g, &r);
    else if (type == GOSSIP_DONE && r.n == 0)
        mk_compare_acked(g);
    else if (type == GOSSIP_ANNOUNCE)
        mk_spread_announced(g, &r);
    else if (type == GOSSIP_ASK)
        mk_spread_asked(g, &r);
    else
        mk_gossip_doom(g, MK_CLOSE_MALFORMED, true, "a message that is none, or out of turn");
}

/* --- the one place where things happen ---------------------------------------------------- */

static void gossip_end(struct mk_gossip *g)
{
    g->d->stats.expelled += g->expel && g->doomed != MK_CLOSE_BUSY;
    gossip_pause(g->d, &g->source.peer,
                 mk_now(g->d->env) + (g->expel ? GOSSIP_EXPELLED_NS : GOSSIP_RETRY_NS));
    mk_conv_close(g->conv, g->doomed, g->why);
    mk_sync_lost(g->d, g->id, g->doomed, g->why);
    gossip_free(g);
}

/* Conversations that are due again. Returns when the next one is. */
static uint64_t gossip_retry(struct mk_discovery *d)
{
    uint64_t now = mk_now(d->env), next = UINT64_MAX;
    size_t n = 0;

    for (size_t i = 0; i < d->n_pauses; i++) {
        struct mk_gossip_pause p = d->pauses[i];

        if (now < p.until_ns) {
            next = p.until_ns < next ? p.until_ns : next;
            d->pauses[n++] = p;
        }
    }
    if (n == d->n_pauses)
        return next;
    d->n_pauses = n;
    for (struct mk_link *l = mk_net_next_link(d->net, NULL); l != NULL;
         l = mk_net_next_link(d->net, l))
        gossip_start(d, l);
    return next;
}

/* One conversation's turn. Returns when it wants the next. */
static uint64_t gossip_turn(struct mk_gossip *g)
{
    uint64_t next = UINT64_MAX, at;

    gossip_refill(g);
    if (g->owed > 0)
        next = mk_now(g->d->env) + (uint64_t)(-g->tokens / MK_DISCOVERY_RATE + 1) * MK_MS;
    mk_compare_advance(g);
    at = mk_spread_advance(g);
    return at < next ? at : next;
}

/* Now and then one of the conversations compares again. Returns when the next one does. */
static uint64_t gossip_compare(struct mk_discovery *d)
{
    uint64_t now = mk_now(d->env), chance, n = 0, i = 0;

    if (now < d->compare_ns)
        return d->compare_ns;
    mk_entropy(d->env, &chance, sizeof chance);
    d->compare_ns = now + (MK_DISCOVERY_COMPARE_MS / 2 + chance % MK_DISCOVERY_COMPARE_MS) * MK_MS;
    mk_list_each(a, &d->gossips) n += mk_compare_over(mk_container_of(a, struct mk_gossip, node));
    mk_list_each(b, &d->gossips)
    {
        struct mk_gossip *g = mk_container_of(b, struct mk_gossip, node);

        if (g->doomed == 0 && mk_compare_over(g) && i++ == (chance >> 20) % n)
            mk_compare_begin(g, g->compare.round + 1);
    }
    return d->compare_ns;
}

uint64_t mk_gossip_advance(struct mk_discovery *d)
{
    uint64_t next = gossip_retry(d), at = mk_spread_expire(d);

    next = at < next ? at : next;
    at = gossip_compare(d);
    next = at < next ? at : next;
    mk_list_each(n, &d->gossips)
    {
        struct mk_gossip *g = mk_container_of(n, struct mk_gossip, node);

        if (g->doomed != 0) {
            gossip_end(g);
            continue;
        }
        at = gossip_turn(g);
        next = at < next ? at : next;
    }
    mk_sync_advance(d);
    return next;
}

void mk_gossip_close(struct mk_discovery *d)
{
    mk_list_each(n, &d->gossips)
    {
        struct mk_gossip *g = mk_container_of(n, struct mk_gossip, node);

        mk_spread_advance(g);
        mk_conv_close(g->conv, MK_CLOSE_SHUTDOWN, "");
        gossip_free(g);
    }
    mk_spread_close(d);
    mk_free(d->pauses);
    d->pauses = NULL;
    d->n_pauses = d->cap_pauses = 0;
}

static const struct mk_conv_cbs gossip_cbs = {
    .message = gossip_message, .writable = gossip_writable, .closed = gossip_closed};
