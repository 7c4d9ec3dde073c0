/* surfaces.c - what a member reads back from a snapshot, and a reader from its memory. */
#include "targets.h"

#include "collections/certificate.h"
#include "collections/shape.h"

#include <mosaik/evidence.h>

static const struct mk_surface_spec specs[] = {
    {.kind = MK_SURFACE_MAP, .name = "map", .key = &mk_text_type, .value = &mk_blob_type},
    {.kind = MK_SURFACE_STREAM, .name = "stream", .value = &mk_u64_type, .retain_commits = 3},
    {.kind = MK_SURFACE_VEC, .name = "vec", .value = &mk_blob_type, .retain_commits = 3},
    {.kind = MK_SURFACE_QUEUE,
     .name = "queue",
     .key = &mk_blob_type,
     .value = &mk_blob_type,
     .retain_commits = 3},
};

static void surfaces_init(struct mk_surfaces *s)
{
    mk_surfaces_init(s, specs, sizeof specs / sizeof specs[0], &MK_UNIVERSE, &MK_UNIVERSE);
}

/* A restored state need not be one that a shape made: it is read without a slip all the same. */
static void read_views(const struct mk_surfaces *s)
{
    struct mk_bytes key, value;
    uint64_t priority;

    for (uint64_t i = 0; i < mk_view_count(mk_surfaces_view(s, 2)); i++)
        FUZZ_CHECK(mk_vec_at(mk_surfaces_view(s, 2), i, &value) == 0);
    for (uint64_t i = 0; i < mk_view_count(mk_surfaces_view(s, 3)); i++)
        FUZZ_CHECK(mk_queue_at(mk_surfaces_view(s, 3), i, &priority, &key, &value) == 0);
}

/* What is accepted is the snapshot of the state that it made. */
bool fuzz_surfaces(const uint8_t *p, size_t n)
{
    struct mk_surfaces s;
    struct mk_buf again = {0};
    int rv;

    surfaces_init(&s);
    rv = mk_surfaces_restore(&s, MK_BYTES(p, n), NULL);
    FUZZ_CHECK(rv == 0 || rv == MK_EMALFORMED);
    if (rv == 0) {
        read_views(&s);
        mk_surfaces_snapshot(&s, &again);
        FUZZ_CHECK(mk_bytes_eq(mk_buf_bytes(&again), MK_BYTES(p, n)));
    }
    mk_buf_done(&again);
    mk_surfaces_done(&s);
    return rv == 0;
}

void fuzz_make_surfaces(struct fuzz_random *r, struct mk_buf *out)
{
    struct mk_surfaces s;
    unsigned changes = (unsigned)fuzz_below(r, 12);

    surfaces_init(&s);
    for (unsigned i = 0; i < changes; i++) {
        uint8_t key = (uint8_t)fuzz_below(r, 6), value = (uint8_t)fuzz_u64(r);
        struct mk_map_op insert = {.tag = mk_map_op_Insert,
                                   .u.insert = {MK_BYTES(&key, 1), MK_BYTES(&value, 1)}};
        struct mk_bytes item = MK_BYTES(&value, 1);
        struct mk_op_ranked ranked = {value % 4, MK_BYTES(&key, 1), item};
        struct mk_op op;
        bool changed;

        mk_surface_map_op(&s.v[0], &insert, &changed);
        op = (struct mk_op){.tag = mk_op_PushFront, .u.push_front = {.items = {&item, 1}}};
        mk_shape_apply(&s.v[2], &op, &changed, NULL);
        op = (struct mk_op){.tag = mk_op_Enqueue, .u.enqueue = {.entries = {&ranked, 1}}};
        mk_shape_apply(&s.v[3], &op, &changed, NULL);
        if (value & 1)
            mk_surface_commit(&s.v[1], &s.v[1].schema, MK_BYTES(&value, 1));
    }
    s.v[0].head_index = s.v[0].index;
    s.v[0].head_time_ms = fuzz_odd_number(r);
    mk_surfaces_snapshot(&s, out);
    mk_surfaces_done(&s);
}

bool fuzz_memory(const uint8_t *p, size_t n)
{
    struct mk_reader_memory *m;
    struct mk_buf again = {0};

    if (mk_reader_memory_decode(&m, MK_BYTES(p, n), NULL) != 0)
        return false;
    mk_reader_memory_encode(m, &again);
    FUZZ_CHECK(mk_bytes_eq(mk_buf_bytes(&again), MK_BYTES(p, n)));
    mk_buf_done(&again);
    mk_reader_memory_free(m);
    return true;
}

/* A roster of one, who signed for a few surfaces. */
void fuzz_make_memory(struct fuzz_random *r, struct mk_buf *out)
{
    uint8_t seed[32] = {(uint8_t)fuzz_u64(r)};
    struct mk_reader_memory *m;
    struct mk_key key;
    struct mk_roster roster = {.deployment = MK_UNIVERSE, .epoch = 1 + fuzz_below(r, 300)};

    mk_key_from_seed(&key, seed);
    roster.peers.v = &key.peer;
    roster.peers.n = 1;
    m = mk_reader_memory_new(&roster);
    for (uint64_t i = fuzz_below(r, 4); i > 0; i--) {
        struct mk_peer_signature s = {.peer = key.peer};
        struct mk_certificate c = {.head = {.deployment = MK_UNIVERSE,
                                            .epoch = roster.epoch,
                                            .surface = {{(uint8_t)fuzz_below(r, 3)}},
                                            .index = fuzz_below(r, 5),
                                            .commit = {{(uint8_t)fuzz_below(r, 2)}}},
                                   .signatures = {&s, 1}};

        mk_head_sign(&key, &c.head, &s.signature);
        FUZZ_CHECK(mk_reader_accept(m, &c, NULL) != MK_ESIGNATURE);
    }
    mk_reader_memory_encode(m, out);
    mk_reader_memory_free(m);
    mk_key_done(&key);
}

/* What a machine remembers of those it cites, in its snapshot. */
bool fuzz_book(const uint8_t *p, size_t n)
{
    struct mk_evidence_book book = {0};
    struct mk_buf again = {0};
    int rv = mk_evidence_book_restore(&book, MK_BYTES(p, n), NULL);

    FUZZ_CHECK(rv == 0 || rv == MK_EMALFORMED);
    if (rv == 0) {
        mk_evidence_book_snapshot(&book, &again);
        FUZZ_CHECK(mk_bytes_eq(mk_buf_bytes(&again), MK_BYTES(p, n)));
    }
    mk_buf_done(&again);
    mk_evidence_book_done(&book);
    return rv == 0;
}

void fuzz_make_book(struct fuzz_random *r, struct mk_buf *out)
{
    struct mk_peer peer = {{(uint8_t)fuzz_u64(r)}};
    uint64_t n = fuzz_below(r, 4);

    mk_put_varint(out, n);
    for (uint64_t i = 0; i < n; i++) {
        struct mk_roster roster = {
            .deployment = {{(uint8_t)(i + 1)}}, .epoch = 1, .peers = {&peer, 1}};
        struct mk_reader_memory *m = mk_reader_memory_new(&roster);
        struct mk_buf one = {0};

        mk_reader_memory_encode(m, &one);
        mk_buf_put(out, roster.deployment.b, sizeof roster.deployment.b);
        mk_put_varint(out, one.n);
        mk_buf_put(out, one.p, one.n);
        mk_buf_done(&one);
        mk_reader_memory_free(m);
    }
}
