/* compare.c - what two sides hold is compared, and each gives what the other lacks.
 *
 * Happy path of a round. Both send a summary: a hash for each range of keys in which they hold
 * something. What lies in ranges with equal hashes is the same and is not spoken of again; of the
 * others both send digests, in parts of ascending keys; the other answers each part with the
 * records that it has and the part lacks, then DONE, which asks for the next part. So two tables
 * of ten thousand records that differ in one cost some kilobytes, and a newcomer with an empty
 * one gets all of it.
 *
 * Nothing is queued for a slow reader: the round remembers how far it came (a key) and goes on
 * from there when there is room. What changes meanwhile is announced (spread.c).
 *
 * The hashes of ranges are computed anew for each round: some hundred microseconds for a full
 * table, once a minute or when a link comes up, and nothing to be kept in step. */
#include "discovery/discovery_int.h"

#include <string.h>

static unsigned range_of(const struct mk_record_key *key)
{
    return key->b[0] * 256u + key->b[1];
}

/* The last key of a range. */
static struct mk_record_key range_end(unsigned range)
{
    struct mk_record_key k;

    memset(&k, 0xff, sizeof k);
    k.b[0] = (uint8_t)(range / 256);
    k.b[1] = (uint8_t)(range % 256);
    return k;
}

static bool is_same(const struct mk_compare *c, unsigned range)
{
    return (c->same[range / 8] >> (range % 8)) & 1;
}

void mk_compare_begin(struct mk_gossip *g, uint32_t round)
{
    mk_buf_done(&g->compare.chunk);
    g->compare = (struct mk_compare){.round = round, .summary_due = true};
}

void mk_compare_done(struct mk_gossip *g)
{
    mk_buf_done(&g->compare.chunk);
}

bool mk_compare_over(const struct mk_gossip *g)
{
    const struct mk_compare *c = &g->compare;

    return c->digest_acked && c->chunk_last && !c->chunk_held && !c->done_due;
}

static void round_over(struct mk_gossip *g)
{
    if (!mk_compare_over(g))
        return;
    g->rounds++;
    g->d->stats.comparisons++;
    mk_discovery_poke(g->d);
}

/* --- summaries --------------------------------------------------------------------------- */

/* Of the records from *i on that lie in the same range as the first of them. */
static uint64_t range_hash(const struct mk_catalog *t, size_t *i)
{
    unsigned range = range_of(&t->v[*i]->head.key);
    struct mk_hasher h;
    struct mk_id hash;

    mk_hasher_init(&h);
    for (; *i < t->n && range_of(&t->v[*i]->head.key) == range; (*i)++) {
        const struct mk_record *r = t->v[*i];

        mk_hasher_put(&h, r->head.key.b, sizeof r->head.key.b);
        mk_hasher_put_u64le(&h, r->head.version);
        mk_hasher_put(&h, r->hash.b, sizeof r->hash.b);
    }
    hash = mk_hasher_end(&h);
    return mk_record_short(&hash);
}

static void send_summary(struct mk_gossip *g)
{
    const struct mk_catalog *t = &g->d->table;
    struct mk_buf m = {0};

    mk_buf_put_u8(&m, GOSSIP_SUMMARY);
    mk_buf_put_u32le(&m, g->compare.round);
    for (size_t i = 0; i < t->n;) {
        unsigned range = range_of(&t->v[i]->head.key);
        uint64_t hash = range_hash(t, &i);

        mk_buf_put_u8(&m, (uint8_t)range);
        mk_buf_put_u8(&m, (uint8_t)(range / 256));
        mk_buf_put(&m, &hash, sizeof hash);
    }
    if (mk_gossip_send(g, mk_buf_bytes(&m)))
        g->compare.summary_due = false;
    mk_buf_done(&m);
}

/* Reads the ranges of a summary; false when it is none. */
static bool read_summary(uint64_t hashes[GOSSIP_RANGES], struct mk_reader *r)
{
    int before = -1;

    memset(hashes, 0, GOSSIP_RANGES * sizeof hashes[0]);
    while (r->n > 0) {
        unsigned range = mk_read_u8(r);
        struct mk_bytes hash;

        range += 256u * mk_read_u8(r);
        hash = mk_read_bytes(r, 8);
        if (r->failed || range >= GOSSIP_RANGES || (int)range <= before)
            return false;
        before = (int)range;
        memcpy(&hashes[range], hash.p, 8);
    }
    return true;
}

void mk_compare_summary(struct mk_gossip *g, struct mk_reader *r)
{
    const struct mk_catalog *t = &g->d->table;
    uint32_t round = mk_read_u32le(r);
    uint64_t theirs[GOSSIP_RANGES], ours[GOSSIP_RANGES] = {0};

    if (!r->failed && round == g->compare.round + 1 && mk_compare_over(g))
        mk_compare_begin(g, round);
    if (r->failed || round != g->compare.round || g->compare.summary_seen ||
        !read_summary(theirs, r)) {
        mk_gossip_doom(g, MK_CLOSE_MALFORMED, true, "a summary that is none, or out of turn");
        return;
    }
    for (size_t i = 0; i < t->n;) {
        unsigned range = range_of(&t->v[i]->head.key);

        ours[range] = range_hash(t, &i);
    }
    for (unsigned i = 0; i < GOSSIP_RANGES; i++)
        g->compare.same[i / 8] |= (uint8_t)((ours[i] == theirs[i]) << (i % 8));
    g->compare.summary_seen = true;
    g->compare.digest_due = true;
    g->tokens -= 1000;
}

/* --- items of a digest --------------------------------------------------------------------- */

struct item {
    bool skip; /* the ranges from first on up to key are the same */
    unsigned first;
    struct mk_record_key key;
    uint64_t version;
    uint8_t hash[8];
};

static void item_read_skip(struct item *ret, struct mk_reader *r)
{
    unsigned first = mk_read_u8(r), last;

    first += 256u * mk_read_u8(r);
    last = mk_read_u8(r);
    last += 256u * mk_read_u8(r);
    if (first > last || last >= GOSSIP_RANGES)
        r->failed = true;
    else
        *ret = (struct item){.skip = true, .first = first, .key = range_end(last)};
}

/* False at the end, or (r->failed) when it is malformed. */
static bool item_read(struct item *ret, struct mk_reader *r)
{
    struct mk_bytes key, hash;
    uint8_t kind;

    if (r->n == 0)
        return false;
    kind = mk_read_u8(r);
    if (kind == GOSSIP_SKIP) {
        item_read_skip(ret, r);
        return !r->failed;
    }
    if (kind >= MK_RECORD_KINDS)
        r->failed = true;
    *ret = (struct item){.key = {{kind}}};
    key = mk_read_bytes(r, kind == MK_RECORD_PEER ? 32 : 64);
    ret->version = mk_read_u64le(r);
    hash = mk_read_bytes(r, sizeof ret->hash);
    if (r->failed)
        return false;
    memcpy(ret->key.b + 1, key.p, key.n);
    memcpy(ret->hash, hash.p, sizeof ret->hash);
    return true;
}

static void put_skip(struct mk_buf *m, unsigned first, unsigned last)
{
    mk_buf_put_u8(m, GOSSIP_SKIP);
    mk_buf_put_u8(m, (uint8_t)first);
    mk_buf_put_u8(m, (uint8_t)(first / 256));
    mk_buf_put_u8(m, (uint8_t)last);
    mk_buf_put_u8(m, (uint8_t)(last / 256));
}

static void put_item(struct mk_buf *m, const struct mk_record *r)
{
    mk_buf_put(m, r->head.key.b, r->head.kind == MK_RECORD_PEER ? 33 : MK_RECORD_KEY);
    mk_buf_put_u64le(m, r->head.version);
    mk_buf_put(m, r->hash.b, 8);
}

/* --- our digest --------------------------------------------------------------------------- */

/* The next part of it, from range and key on: what it ends with. */
static unsigned digest_fill(struct mk_gossip *g, struct mk_buf *m, struct mk_record_key *at)
{
    const struct mk_catalog *t = &g->d->table;
    const struct mk_compare *c = &g->compare;
    size_t i = mk_catalog_after(t, at), n = 0;
    unsigned range = c->digest_range;

    while (range < GOSSIP_RANGES && n < GOSSIP_ITEMS_MAX) {
        unsigned first = range;

        while (range < GOSSIP_RANGES && is_same(c, range))
            range++;
        if (range > first) {
            put_skip(m, first, range - 1);
            *at = range_end(range - 1);
            n++;
            continue;
        }
        while (i < t->n && range_of(&t->v[i]->head.key) < range)
            i++;
        for (; i < t->n && n < GOSSIP_ITEMS_MAX && range_of(&t->v[i]->head.key) == range;
             i++, n++) {
            put_item(m, t->v[i]);
            *at = t->v[i]->head.key;
        }
        if (i < t->n && range_of(&t->v[i]->head.key) == range)
            break; /* full */
        range++;
    }
    return range;
}

static void send_digest(struct mk_gossip *g)
{
    struct mk_compare *c = &g->compare;
    struct mk_record_key at = c->digest_at;
    struct mk_buf m = {0};
    unsigned range;

    mk_buf_put_u8(&m, GOSSIP_DIGEST);
    mk_buf_put_u8(&m, 0);
    range = digest_fill(g, &m, &at);
    m.p[1] = range == GOSSIP_RANGES;
    if (mk_gossip_send(g, mk_buf_bytes(&m))) {
        c->digest_over = range == GOSSIP_RANGES;
        c->digest_due = false;
        c->digest_flying = true;
        c->digest_range = range;
        c->digest_at = at;
    }
    mk_buf_done(&m);
}

void mk_compare_acked(struct mk_gossip *g)
{
    struct mk_compare *c = &g->compare;

    if (!c->digest_flying) {
        mk_gossip_doom(g, MK_CLOSE_MALFORMED, true, "an answer to no digest");
        return;
    }
    c->digest_flying = false;
    if (c->digest_over)
        c->digest_acked = true;
    else
        c->digest_due = true;
    round_over(g);
}

/* --- theirs ------------------------------------------------------------------------------- */

/* Keeps a part of it until it is answered. */
void mk_compare_digest(struct mk_gossip *g, struct mk_reader *r)
{
    struct mk_compare *c = &g->compare;
    bool last = mk_read_u8(r) == 1, any = c->chunk_any;
    struct mk_bytes items = {r->p, r->n};
    struct mk_record_key before = c->chunk_from;
    struct item item;
    size_t n = 0;

    if (r->failed || !c->summary_seen || c->chunk_held || c->chunk_last) {
        mk_gossip_doom(g, MK_CLOSE_MALFORMED, true, "a digest before the one before was answered");
        return;
    }
    while (item_read(&item, r)) {
        if (any && mk_record_key_cmp(&before, &item.key) >= 0)
            r->failed = true;
        before = item.key;
        any = true;
        n++;
    }
    if (r->failed || n > GOSSIP_ITEMS_MAX || (n == 0 && !last)) {
        mk_gossip_doom(g, MK_CLOSE_MALFORMED, true, "a digest that is none");
        return;
    }
    g->tokens -= (int64_t)(n + 1) * 10;
    mk_buf_clear(&c->chunk);
    mk_buf_put(&c->chunk, items.p, items.n);
    c->chunk_held = true;
    c->chunk_last = last;
    c->chunk_to = before;
}

/* Does the other side lack r? Reads on in its items to where r would be. */
static bool lacks(const struct mk_record *r, struct item *item, bool *is_item, struct mk_reader *at)
{
    while (*is_item && mk_record_key_cmp(&item->key, &r->head.key) < 0)
        *is_item = item_read(item, at);
    if (!*is_item)
        return true;
    if (item->skip)
        return item->first > range_of(&r->head.key);
    if (mk_record_key_cmp(&item->key, &r->head.key) != 0 || item->version < r->head.version)
        return true;
    return item->version == r->head.version && memcmp(item->hash, r->hash.b, 8) != 0;
}

/* Answers the part of a digest that is held, from where it stopped last time.
 * False when there is no room. */
static bool answer(struct mk_gossip *g)
{
    const struct mk_catalog *t = &g->d->table;
    struct mk_compare *c = &g->compare;
    struct mk_reader at = {.p = c->chunk.p, .n = c->chunk.n};
    const struct mk_record_key *from = c->answering   ? &c->answered
                                       : c->chunk_any ? &c->chunk_from
                                                      : NULL;
    struct item item;
    bool is_item = item_read(&item, &at), room = true;
    struct mk_buf batch = {0};

    for (size_t i = mk_catalog_after(t, from); i < t->n && room; i++) {
        const struct mk_record *r = t->v[i];

        if (!c->chunk_last && mk_record_key_cmp(&r->head.key, &c->chunk_to) > 0)
            break;
        if (lacks(r, &item, &is_item, &at))
            mk_gossip_put(g->d, &batch, r);
        if (batch.n >= GOSSIP_BATCH_MAX) {
            room = mk_gossip_send(g, mk_buf_bytes(&batch));
            if (room) {
                c->answering = true;
                c->answered = r->head.key;
            }
            mk_buf_clear(&batch);
        }
    }
    if (room && batch.n > 0)
        room = mk_gossip_send(g, mk_buf_bytes(&batch));
    mk_buf_done(&batch);
    return room;
}

static void answer_chunk(struct mk_gossip *g)
{
    const uint8_t done = GOSSIP_DONE;
    struct mk_compare *c = &g->compare;

    if (!c->done_due) {
        if (!answer(g))
            return;
        c->done_due = true;
        c->answering = false;
    }
    if (!mk_gossip_send(g, MK_BYTES(&done, 1)))
        return;
    c->done_due = false;
    c->chunk_held = false;
    c->chunk_any = true;
    c->chunk_from = c->chunk_to;
    mk_buf_done(&c->chunk);
    round_over(g);
}

void mk_compare_advance(struct mk_gossip *g)
{
    struct mk_compare *c = &g->compare;

    if (c->summary_due)
        send_summary(g);
    if (c->summary_due)
        return;
    if (c->chunk_held)
        answer_chunk(g);
    if (c->digest_due)
        send_digest(g);
}
