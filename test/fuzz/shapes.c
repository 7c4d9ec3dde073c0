/* shapes.c - writes to collections, as any admitted writer may send them: one after the other
 * to surfaces of every kind. Whatever they are, a refusal changes nothing, a version is a
 * commit, and whoever applies the commits alone has the same state. */
#include "targets.h"

#include "collections/shape.h"

#define OPS_MAX 64u

static const struct mk_surface_spec specs[] = {
    {.kind = MK_SURFACE_MAP, .name = "map", .key = &mk_blob_type, .value = &mk_blob_type},
    {.kind = MK_SURFACE_VEC, .name = "vec", .value = &mk_blob_type},
    {.kind = MK_SURFACE_SET, .name = "set", .value = &mk_blob_type},
    {.kind = MK_SURFACE_CELL, .name = "cell", .value = &mk_blob_type},
    {.kind = MK_SURFACE_ONCE, .name = "once", .value = &mk_blob_type},
    {.kind = MK_SURFACE_QUEUE,
     .name = "queue",
     .key = &mk_blob_type,
     .value = &mk_blob_type,
     .capacity = 4},
    {.kind = MK_SURFACE_STREAM, .name = "stream", .value = &mk_blob_type},
};
#define N_SPECS (unsigned)(sizeof specs / sizeof specs[0])

struct bed {
    struct mk_surfaces s;
    struct mk_trie seen[N_SPECS]; /* by whoever sees the commits alone */
};

static void follow(struct bed *b, unsigned i)
{
    struct mk_surface *s = &b->s.v[i];
    struct mk_arena arena = {0};
    struct mk_commit c;
    struct mk_map_op op;
    bool changed = false;

    FUZZ_CHECK(mk_surface_commit_at(s, s->index, &c) == 0);
    FUZZ_CHECK(mk_decode(&op, &mk_map_op_type, c.payload, &arena, NULL) == 0);
    FUZZ_CHECK(mk_map_apply(&b->seen[i], &op, &changed) == 0 && changed);
    mk_arena_done(&arena);
}

static void same(struct bed *b, unsigned i)
{
    struct mk_id own = mk_trie_root(&b->s.v[i].map), seen = mk_trie_root(&b->seen[i]);
    const struct mk_view *v = &b->s.v[i].view;
    struct mk_bytes key, value;
    uint64_t n = 0;

    FUZZ_CHECK(mk_id_eq(&own, &seen));
    while (mk_vec_at(v, n, &value) == 0 || mk_queue_at(v, n, NULL, &key, &value) == 0)
        n++;
    FUZZ_CHECK(n == 0 ? mk_order_count(&v->places) == 0 : n == mk_view_count(v));
}

static void write_one(struct bed *b, const struct mk_op *op)
{
    for (unsigned i = 0; i < N_SPECS; i++) {
        uint64_t version = b->s.v[i].index;
        struct mk_fault fault = {{0}};
        bool changed = false;
        int rv = mk_shape_apply(&b->s.v[i], op, &changed, &fault);

        FUZZ_CHECK(rv == 0 || (rv == MK_EREFUSED && fault.text[0] != '\0' && !changed));
        FUZZ_CHECK(mk_op_fits(specs[i].kind, op) || rv == MK_EREFUSED);
        FUZZ_CHECK(changed == (b->s.v[i].index > version));
        if (changed && mk_surface_keyed(specs[i].kind)) {
            FUZZ_CHECK(b->s.v[i].index == version + 1);
            follow(b, i);
        }
        same(b, i);
    }
}

bool fuzz_shapes(const uint8_t *p, size_t n)
{
    struct mk_reader r = {.p = p, .n = n};
    struct bed b = {.seen = {{0}}};
    unsigned ops = 0;
    bool good = true;

    mk_surfaces_init(&b.s, specs, N_SPECS, &MK_UNIVERSE, &MK_UNIVERSE);
    while (r.n > 0 && good && ops++ < OPS_MAX) {
        uint64_t len = mk_read_varint(&r);
        struct mk_arena arena = {0};
        struct mk_op op;

        good = !r.failed && len <= r.n &&
               mk_decode(&op, &mk_op_type, mk_read_bytes(&r, (size_t)len), &arena, NULL) == 0;
        if (good)
            write_one(&b, &op);
        mk_arena_done(&arena);
    }
    for (unsigned i = 0; i < N_SPECS; i++)
        mk_trie_done(&b.seen[i]);
    mk_surfaces_done(&b.s);
    return good;
}

static struct mk_op make_op(struct fuzz_random *r, struct mk_bytes *items,
                            struct mk_op_entry *entry, struct mk_op_ranked *ranked)
{
    const uint64_t at = fuzz_below(r, 5);

    switch (fuzz_below(r, 9)) {
    case 0:
        return (struct mk_op){.tag = mk_op_PushFront, .u.push_front = {{items, 2}}};
    case 1:
        return (struct mk_op){.tag = mk_op_InsertAt, .u.insert_at = {at, items[0]}};
    case 2:
        return (struct mk_op){.tag = mk_op_Extend, .u.extend = {{entry, 1}}};
    case 3:
        return (struct mk_op){.tag = mk_op_Add, .u.add = {{items, 2}}};
    case 4:
        return (struct mk_op){.tag = mk_op_Enqueue, .u.enqueue = {{ranked, 1}}};
    case 5:
        return (struct mk_op){.tag = mk_op_Exchange,
                              .u.exchange = {.key = items[0], .replacement = {true, items[1]}}};
    case 6:
        return (struct mk_op){.tag = mk_op_Swap, .u.swap = {at, 0}};
    case 7:
        return (struct mk_op){.tag = mk_op_Remove, .u.remove = {{items, 2}}};
    default:
        return (struct mk_op){.tag = mk_op_Write, .u.write = {items[0]}};
    }
}

void fuzz_make_shapes(struct fuzz_random *r, struct mk_buf *out)
{
    for (uint64_t n = fuzz_below(r, 20); n > 0; n--) {
        uint8_t bytes[2] = {(uint8_t)fuzz_below(r, 4), (uint8_t)fuzz_below(r, 4)};
        struct mk_bytes items[2] = {MK_BYTES(bytes, 1), MK_BYTES(bytes + 1, 1)};
        struct mk_op_entry entry = {items[0], items[1]};
        struct mk_op_ranked ranked = {fuzz_odd_number(r), items[0], items[1]};
        struct mk_op op = make_op(r, items, &entry, &ranked);

        mk_put_varint(out, mk_encoded_len(&mk_op_type, &op));
        mk_encode(out, &mk_op_type, &op);
    }
}
