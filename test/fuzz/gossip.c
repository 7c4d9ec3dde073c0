/* gossip.c - what a peer may send in a discovery conversation: summaries, digests, names,
 * questions, records.
 *
 * The input is messages, each with its length (u16le) before it. A small catalogue listens, with an
 * env whose clock stands still; whatever comes, what is remembered of it keeps its bounds. */
#include "discovery/discovery_int.h"
#include "env/env_ops.h"
#include "targets.h"

#include <string.h>

#define NOW_MS UINT64_C(1700000000000)

static uint64_t env_now(struct mk_env *e)
{
    (void)e;
    return MK_S;
}

static uint64_t env_wall_ms(struct mk_env *e)
{
    (void)e;
    return NOW_MS;
}

static const struct mk_env_ops env_ops = {.now = env_now, .wall_ms = env_wall_ms};

struct listener {
    struct mk_env env;
    struct mk_discovery d;
    struct mk_gossip g;
    struct mk_key key;
};

static void entry(struct mk_buf *out, uint8_t who, uint64_t version)
{
    uint8_t seed[32] = {who, 0xf2};
    struct mk_str address = MK_STR("10.0.0.1:7700");
    struct mk_peer_entry e = {.network = MK_UNIVERSE,
                              .version = version,
                              .addresses = {&address, 1},
                              .expires_ms = NOW_MS + 60000};
    struct mk_key k;

    mk_key_from_seed(&k, seed);
    e.peer = k.peer;
    mk_record_sign_entry(&e, &k, out);
    mk_key_done(&k);
}

static void listener_open(struct listener *l)
{
    static const size_t max[MK_RECORD_KINDS] = {8, 4, 2};
    uint8_t seed[32] = {0xf1};

    memset(l, 0, sizeof *l);
    mk_key_from_seed(&l->key, seed);
    mk_env_base_init(&l->env, &env_ops);
    l->d.env = &l->env;
    l->d.network = MK_UNIVERSE;
    l->d.self = l->key.peer;
    l->d.closing = true; /* nobody is to be woken */
    mk_catalog_init(&l->d.table, max);
    mk_list_init(&l->d.gossips);
    mk_list_init(&l->d.wishes);
    mk_list_init(&l->d.syncs);
    mk_list_init(&l->d.contacts);
    l->g.d = &l->d;
    l->g.id = 1;
    l->g.source.group = 1;
    mk_compare_begin(&l->g, 1);
    mk_list_add_tail(&l->d.gossips, &l->g.node);
    for (uint8_t i = 0; i < 3; i++) {
        struct mk_buf b = {0};
        uint64_t hash;

        entry(&b, i, NOW_MS);
        FUZZ_CHECK(mk_discovery_take(&l->d, MK_RECORD_PEER, mk_buf_bytes(&b), &l->g.source, &hash,
                                     NULL) == 0);
        mk_buf_done(&b);
    }
}

static void listener_close(struct listener *l)
{
    mk_compare_done(&l->g);
    mk_buf_done(&l->g.asked);
    mk_buf_done(&l->g.asking);
    mk_spread_close(&l->d);
    mk_catalog_done(&l->d.table);
    mk_key_done(&l->key);
}

static void records(struct listener *l, struct mk_reader *r)
{
    while (r->n > 0) {
        uint8_t kind = mk_read_u8(r);
        uint64_t n = mk_read_varint(r), hash;
        int rv;

        if (r->failed || kind >= MK_RECORD_KINDS || n > r->n)
            return;
        rv = mk_discovery_take(&l->d, (enum mk_record_kind)kind, mk_read_bytes(r, (size_t)n),
                               &l->g.source, &hash, NULL);
        if (hash != 0)
            mk_spread_came(&l->d, hash, rv == 0);
    }
}

static void message(struct listener *l, struct mk_bytes m)
{
    struct mk_reader r = {.p = m.p, .n = m.n};
    uint8_t type = mk_read_u8(&r);

    if (type == GOSSIP_RECORDS)
        records(l, &r);
    else if (type == GOSSIP_SUMMARY)
        mk_compare_summary(&l->g, &r);
    else if (type == GOSSIP_DIGEST)
        mk_compare_digest(&l->g, &r);
    else if (type == GOSSIP_DONE)
        mk_compare_acked(&l->g);
    else if (type == GOSSIP_ANNOUNCE)
        mk_spread_announced(&l->g, &r);
    else if (type == GOSSIP_ASK)
        mk_spread_asked(&l->g, &r);
    else
        l->g.doomed = MK_CLOSE_MALFORMED;
    FUZZ_CHECK(l->d.n_wishes <= SPREAD_WISHES_MAX && l->g.n_wishes <= SPREAD_CONV_MAX);
    FUZZ_CHECK(l->g.asked.n <= GOSSIP_ASKED_MAX * 8 && l->g.asked.n % 8 == 0);
    FUZZ_CHECK(l->d.table.n_kind[MK_RECORD_PEER] <= 8);
    FUZZ_CHECK(l->d.table.n == l->d.table.n_kind[0] + l->d.table.n_kind[1] + l->d.table.n_kind[2]);
}

bool fuzz_gossip(const uint8_t *p, size_t n)
{
    struct listener l;
    bool accepted;

    listener_open(&l);
    while (n >= 2 && l.g.doomed == 0) {
        size_t len = p[0] + 256u * p[1];

        if (len > n - 2)
            break;
        message(&l, MK_BYTES(p + 2, len));
        p += 2 + len;
        n -= 2 + len;
    }
    accepted = n == 0 && l.g.doomed == 0;
    listener_close(&l);
    return accepted;
}

static void put(struct mk_buf *out, struct mk_buf *m)
{
    mk_buf_put_u8(out, (uint8_t)m->n);
    mk_buf_put_u8(out, (uint8_t)(m->n / 256));
    mk_buf_put(out, m->p, m->n);
    mk_buf_clear(m);
}

/* A whole round, then news. */
void fuzz_make_gossip(struct fuzz_random *r, struct mk_buf *out)
{
    struct mk_buf m = {0}, e = {0};
    uint64_t v = fuzz_u64(r);

    mk_buf_put_u8(&m, GOSSIP_SUMMARY);
    mk_buf_put_u32le(&m, 1);
    for (unsigned range = (unsigned)fuzz_below(r, 700); range < GOSSIP_RANGES;
         range += 1 + (unsigned)fuzz_below(r, 200)) {
        mk_buf_put_u8(&m, (uint8_t)range);
        mk_buf_put_u8(&m, (uint8_t)(range / 256));
        mk_buf_put(&m, &v, 8);
    }
    put(out, &m);
    mk_buf_put(&m, "\1\1", 2);
    if (fuzz_below(r, 2) == 0)
        mk_buf_put(&m, "\x80\0\0\x10\0", 5); /* ranges 0 .. 16 are the same */
    mk_buf_put_u8(&m, MK_RECORD_PEER);
    for (unsigned i = 0; i < 32; i++)
        mk_buf_put_u8(&m, (uint8_t)(200 + fuzz_below(r, 50)));
    mk_buf_put_u64le(&m, v);
    mk_buf_put(&m, &v, 8);
    put(out, &m);
    for (unsigned i = 0; i < 2; i++) {
        mk_buf_put_u8(&m, i == 0 ? GOSSIP_ANNOUNCE : GOSSIP_ASK);
        for (unsigned k = 0; k <= fuzz_below(r, 9); k++) {
            v = fuzz_u64(r);
            mk_buf_put(&m, &v, 8);
        }
        put(out, &m);
    }
    entry(&e, (uint8_t)fuzz_below(r, 20), NOW_MS - fuzz_below(r, 3));
    mk_buf_put(&m, "\3\0", 2);
    mk_put_varint(&m, e.n);
    mk_buf_put(&m, e.p, e.n);
    put(out, &m);
    mk_buf_done(&m);
    mk_buf_done(&e);
}
