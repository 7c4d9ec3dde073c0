/* gossip.c - conversations: what one node tells another of what it holds.
 *
 * Happy path. The side with the lesser peer id opens a conversation on each link.
 * Both send their digest in parts of ascending keys; the other answers each part
 * with the records that it has and the part lacks, then DONE, which asks for the
 * next part. Records that change from the opening on are passed on in the order of
 * their change (the table's seq), to everybody but the one who brought them.
 *
 * Nothing is queued for a slow reader: a conversation remembers how far it came
 * (a key, a seq) and goes on from there when there is room. So its memory does not
 * depend on what the other side does.
 *
 * A source that brings records too fast gets its credit back late, and the link's
 * flow control stops it; nothing is lost, and others are not touched. A source that
 * brings what no honest node would pass on (forged, malformed, of another network,
 * too long) is expelled: its conversation ends and is not accepted for a minute. */
#include "discovery/discovery_int.h"

#include <stdio.h>
#include <string.h>

static const struct mk_conv_cbs gossip_cbs;

static struct mk_gossip *gossip_find(struct mk_discovery *d, const struct mk_peer *peer)
{
    mk_list_each(n, &d->gossips)
    {
        struct mk_gossip *g = mk_container_of(n, struct mk_gossip, node);

        if (mk_peer_eq(&g->peer, peer))
            return g;
    }
    return NULL;
}

static void gossip_doom(struct mk_gossip *g, unsigned close, const char *why)
{
    if (g->doomed != 0)
        return;
    g->doomed = close;
    snprintf(g->why, sizeof g->why, "%.200s", why);
    mk_discovery_poke(g->d);
}

/* --- pauses -------------------------------------------------------------------------- */

static void gossip_pause(struct mk_discovery *d, const struct mk_peer *peer, uint64_t until_ns)
{
    if (d->pauses == NULL)
        d->pauses = mk_alloc(GOSSIP_PAUSES_MAX * sizeof *d->pauses);
    if (d->n_pauses == GOSSIP_PAUSES_MAX)
        memmove(d->pauses, d->pauses + 1, --d->n_pauses * sizeof *d->pauses);
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
    g->peer = *peer;
    g->sent_seq = d->table.seq;
    g->digest_due = true;
    g->tokens = (int64_t)MK_DISCOVERY_BURST * 1000;
    g->filled_ns = mk_now(d->env);
    mk_list_add_tail(&d->gossips, &g->node);
    mk_discovery_poke(d);
    return g;
}

static void gossip_free(struct mk_gossip *g)
{
    mk_list_del(&g->node);
    mk_buf_done(&g->chunk);
    mk_free(g);
}

/* Opens one where it is on us and there is none. */
static void gossip_start(struct mk_discovery *d, struct mk_link *l)
{
    const struct mk_peer *peer = mk_link_peer(l);
    struct mk_buf hello = {0};
    struct mk_conv *conv;
    struct mk_gossip *g;

    if (mk_peer_cmp(&d->self, peer) > 0 || gossip_find(d, peer) != NULL || gossip_paused(d, peer))
        return;
    mk_buf_put_u8(&hello, GOSSIP_VERSION);
    mk_buf_put(&hello, d->network.b, sizeof d->network.b);
    if (mk_conv_open(l, &conv, GOSSIP_PROTO, mk_buf_bytes(&hello), &gossip_cbs, NULL) == 0) {
        g = gossip_new(d, conv, peer);
        conv->owner = g;
    }
    mk_buf_done(&hello);
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

static unsigned gossip_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                              char detail[MK_REASON_MAX])
{
    struct mk_discovery *d = mk_container_of(s, struct mk_discovery, service);
    const struct mk_peer *peer = mk_link_peer(c->link);
    struct mk_gossip *old = gossip_find(d, peer);
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
    c->cbs = &gossip_cbs;
    c->owner = gossip_new(d, c, peer);
    return 0;
}

static void gossip_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct mk_gossip *g = c->owner;
    struct mk_discovery *d = g->d;

    (void)close;
    (void)detail;
    gossip_pause(d, &g->peer, mk_now(d->env) + GOSSIP_RETRY_NS);
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
    struct mk_fault fault = {{0}};
    int rv = mk_discovery_take(g->d, kind, bytes, &g->peer, &fault);

    g->d->stats.records_in++;
    g->tokens -= 1000 * (int64_t)(1 + bytes.n / MK_DISCOVERY_ENTRY_MAX); /* long ones cost more */
    if (rv == 0 || rv == MK_EEXISTS)
        return true;
    g->d->stats.refused++;
    if (rv == MK_EREFUSED)
        return true;
    gossip_doom(g,
                rv == MK_ELIMIT     ? MK_CLOSE_TOO_LONG
                : rv == MK_EINVALID ? MK_CLOSE_OTHER_NETWORK
                                    : MK_CLOSE_MALFORMED,
                fault.text);
    return false;
}

static void gossip_records(struct mk_gossip *g, struct mk_reader *r)
{
    while (r->n > 0 && g->doomed == 0) {
        uint8_t kind = mk_read_u8(r);
        uint64_t n = mk_read_varint(r);
        struct mk_bytes bytes;

        if (r->failed || kind >= MK_RECORD_KINDS || n > r->n) {
            gossip_doom(g, MK_CLOSE_MALFORMED, "a batch of records that is none");
            return;
        }
        bytes = mk_read_bytes(r, (size_t)n);
        if (!gossip_take(g, (enum mk_record_kind)kind, bytes))
            return;
    }
}

/* An item of a digest. */
struct gossip_item {
    struct mk_record_key key;
    uint64_t version;
    uint8_t hash[8];
};

/* False at the end, or (r->failed) when it is malformed. */
static bool gossip_item(struct gossip_item *ret, struct mk_reader *r)
{
    struct mk_bytes key, hash;

    if (r->n == 0)
        return false;
    *ret = (struct gossip_item){.key = {{mk_read_u8(r)}}};
    if (ret->key.b[0] >= MK_RECORD_KINDS)
        r->failed = true;
    key = mk_read_bytes(r, ret->key.b[0] == MK_RECORD_PEER ? 32 : 64);
    ret->version = mk_read_u64le(r);
    hash = mk_read_bytes(r, sizeof ret->hash);
    if (r->failed)
        return false;
    memcpy(ret->key.b + 1, key.p, key.n);
    memcpy(ret->hash, hash.p, sizeof ret->hash);
    return true;
}

/* Keeps a part of the other side's digest until it is answered. */
static void gossip_digest(struct mk_gossip *g, struct mk_reader *r)
{
    bool last = mk_read_u8(r) == 1, any = g->chunk_any;
    struct mk_bytes items = {r->p, r->n};
    struct mk_record_key before = g->chunk_from;
    struct gossip_item item;
    size_t n = 0;

    if (r->failed || g->chunk_held || g->chunk_last) {
        gossip_doom(g, MK_CLOSE_MALFORMED, "a digest before the one before was answered");
        return;
    }
    while (gossip_item(&item, r)) {
        if (any && mk_record_key_cmp(&before, &item.key) >= 0)
            r->failed = true;
        before = item.key;
        any = true;
        n++;
    }
    if (r->failed || n > GOSSIP_ITEMS_MAX || (n == 0 && !last)) {
        gossip_doom(g, MK_CLOSE_MALFORMED, "a digest that is none");
        return;
    }
    g->tokens -= (int64_t)(n + 1) * 10;
    mk_buf_clear(&g->chunk);
    mk_buf_put(&g->chunk, items.p, items.n);
    g->chunk_held = true;
    g->chunk_last = last;
    g->chunk_to = before;
}

static void gossip_message(struct mk_conv *c, struct mk_bytes m)
{
    struct mk_gossip *g = c->owner;
    struct mk_reader r = {.p = m.p, .n = m.n};
    uint8_t type = mk_read_u8(&r);

    mk_discovery_poke(g->d);
    g->owed += m.n;
    g->tokens -= 100;
    if (g->doomed != 0)
        return;
    if (type == GOSSIP_RECORDS) {
        gossip_records(g, &r);
    } else if (type == GOSSIP_DIGEST) {
        gossip_digest(g, &r);
    } else if (type == GOSSIP_DONE && r.n == 0 && !g->digest_due && !g->digest_over) {
        g->digest_due = true;
    } else {
        gossip_doom(g, MK_CLOSE_MALFORMED, "a message that is none, or out of turn");
    }
}

/* --- giving out -------------------------------------------------------------------------- */

static bool gossip_send(struct mk_gossip *g, const struct mk_buf *m)
{
    return mk_conv_send(g->conv, mk_buf_bytes(m)) == 0;
}

static void gossip_put(struct mk_buf *batch, enum mk_record_kind kind, const struct mk_buf *bytes)
{
    if (batch->n == 0)
        mk_buf_put_u8(batch, GOSSIP_RECORDS);
    mk_buf_put_u8(batch, (uint8_t)kind);
    mk_put_varint(batch, bytes->n);
    mk_buf_put(batch, bytes->p, bytes->n);
}

static void gossip_put_record(struct mk_discovery *d, struct mk_buf *batch,
                              const struct mk_record *r)
{
    gossip_put(batch, r->head.kind, &r->bytes);
    if (r->rival.n > 0)
        gossip_put(batch, r->head.kind, &r->rival);
    d->stats.records_out++;
}

/* The next part of our digest. */
static void gossip_send_digest(struct mk_gossip *g)
{
    const struct mk_catalog *t = &g->d->table;
    size_t i = mk_catalog_after(t, &g->digest_at), n = 0;
    struct mk_buf m = {0};
    struct mk_record_key at = g->digest_at;

    mk_buf_put_u8(&m, GOSSIP_DIGEST);
    mk_buf_put_u8(&m, t->n - i <= GOSSIP_ITEMS_MAX);
    for (; i < t->n && n < GOSSIP_ITEMS_MAX; i++, n++) {
        const struct mk_record *r = t->v[i];

        at = r->head.key;
        mk_buf_put(&m, at.b, r->head.kind == MK_RECORD_PEER ? 33 : MK_RECORD_KEY);
        mk_buf_put_u64le(&m, r->head.version);
        mk_buf_put(&m, r->hash.b, 8);
    }
    if (gossip_send(g, &m)) {
        g->digest_over = i == t->n;
        g->digest_due = false;
        g->digest_at = at;
    }
    mk_buf_done(&m);
}

/* Does the other side lack r, seeing its item (NULL: none) of that key? */
static bool gossip_lacks(const struct mk_record *r, const struct gossip_item *item)
{
    if (item == NULL || item->version < r->head.version)
        return true;
    return item->version == r->head.version && memcmp(item->hash, r->hash.b, 8) != 0;
}

/* Answers the part of a digest that is held, from where it stopped last time.
 * False when there is no room. */
static bool gossip_answer(struct mk_gossip *g)
{
    const struct mk_catalog *t = &g->d->table;
    struct mk_reader r = {.p = g->chunk.p, .n = g->chunk.n};
    const struct mk_record_key *from = g->answering   ? &g->answered
                                       : g->chunk_any ? &g->chunk_from
                                                      : NULL;
    struct gossip_item item;
    bool is_item = gossip_item(&item, &r), room = true;
    struct mk_buf batch = {0};

    for (size_t i = mk_catalog_after(t, from); i < t->n && room; i++) {
        const struct mk_record *rec = t->v[i];

        if (!g->chunk_last && mk_record_key_cmp(&rec->head.key, &g->chunk_to) > 0)
            break;
        while (is_item && mk_record_key_cmp(&item.key, &rec->head.key) < 0)
            is_item = gossip_item(&item, &r);
        if (gossip_lacks(rec, is_item && mk_record_key_cmp(&item.key, &rec->head.key) == 0 ? &item
                                                                                           : NULL))
            gossip_put_record(g->d, &batch, rec);
        if (batch.n >= GOSSIP_BATCH_MAX) {
            room = gossip_send(g, &batch);
            if (room) {
                g->answering = true;
                g->answered = rec->head.key;
            }
            mk_buf_clear(&batch);
        }
    }
    if (room && batch.n > 0)
        room = gossip_send(g, &batch);
    mk_buf_done(&batch);
    return room;
}

static void gossip_answer_chunk(struct mk_gossip *g)
{
    if (!g->done_due) {
        if (!gossip_answer(g))
            return;
        g->done_due = true;
        g->answering = false;
    }
    if (!g->chunk_last) {
        const uint8_t done = GOSSIP_DONE;

        if (mk_conv_send(g->conv, MK_BYTES(&done, 1)) != 0)
            return;
    }
    g->done_due = false;
    g->chunk_held = false;
    g->chunk_any = true;
    g->chunk_from = g->chunk_to;
    mk_buf_done(&g->chunk);
}

/* Passes on what changed since the last time, oldest change first. */
static void gossip_pass_on(struct mk_gossip *g)
{
    struct mk_catalog *t = &g->d->table;
    struct mk_list *n = t->recent.prev;
    struct mk_buf batch = {0};
    uint64_t seq = g->sent_seq;

    while (n != &t->recent && mk_container_of(n, struct mk_record, recent)->seq > g->sent_seq)
        n = n->prev;
    for (n = n->next; n != &t->recent; n = n->next) {
        const struct mk_record *r = mk_container_of(n, struct mk_record, recent);

        if (!mk_peer_eq(&r->source, &g->peer) || r->rival.n > 0)
            gossip_put_record(g->d, &batch, r);
        seq = r->seq;
        if (batch.n < GOSSIP_BATCH_MAX)
            continue;
        if (!gossip_send(g, &batch))
            goto out;
        g->sent_seq = seq;
        mk_buf_clear(&batch);
    }
    if (batch.n == 0 || gossip_send(g, &batch))
        g->sent_seq = seq;
out:
    mk_buf_done(&batch);
}

/* --- the one place where things happen ---------------------------------------------------- */

static void gossip_expel(struct mk_gossip *g)
{
    g->d->stats.expelled++;
    gossip_pause(g->d, &g->peer, mk_now(g->d->env) + GOSSIP_EXPELLED_NS);
    mk_conv_close(g->conv, g->doomed, g->why);
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

uint64_t mk_gossip_advance(struct mk_discovery *d)
{
    uint64_t next = gossip_retry(d), now = mk_now(d->env);

    mk_list_each(n, &d->gossips)
    {
        struct mk_gossip *g = mk_container_of(n, struct mk_gossip, node);

        if (g->doomed != 0) {
            gossip_expel(g);
            continue;
        }
        gossip_refill(g);
        if (g->owed > 0) {
            uint64_t due = now + (uint64_t)(-g->tokens / MK_DISCOVERY_RATE + 1) * MK_MS;

            next = due < next ? due : next;
        }
        if (g->chunk_held)
            gossip_answer_chunk(g);
        if (g->digest_due && !g->digest_over)
            gossip_send_digest(g);
        gossip_pass_on(g);
    }
    return next;
}

void mk_gossip_close(struct mk_discovery *d)
{
    mk_list_each(n, &d->gossips)
    {
        struct mk_gossip *g = mk_container_of(n, struct mk_gossip, node);

        gossip_pass_on(g);
        mk_conv_close(g->conv, MK_CLOSE_SHUTDOWN, "");
        gossip_free(g);
    }
    mk_free(d->pauses);
    d->pauses = NULL;
    d->n_pauses = 0;
}

static const struct mk_conv_cbs gossip_cbs = {
    .message = gossip_message, .writable = gossip_writable, .closed = gossip_closed};
