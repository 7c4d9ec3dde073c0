/* test_collections.c - the shapes against a plain model: each operation, drawn from a seed,
 * is done to a surface and to an array. They must agree on whether it was refused, whether
 * anything changed, and on all that can be read; a reader that is shown nothing but the
 * commits must get the same root and read the same; and so must a replica that is restored
 * from a snapshot. */
#include "unit.h"

#include "collections/label.h"
#include "collections/shape.h"

#include <stdio.h>
#include <stdlib.h>

#define KEYS 12u
#define LONG 256u /* of a vec */

static const struct mk_surface_spec specs[] = {
    {.kind = MK_SURFACE_MAP, .name = "map", .key = &mk_blob_type, .value = &mk_blob_type},
    {.kind = MK_SURFACE_VEC, .name = "vec", .value = &mk_blob_type},
    {.kind = MK_SURFACE_SET, .name = "set", .value = &mk_blob_type},
    {.kind = MK_SURFACE_CELL, .name = "cell", .value = &mk_blob_type},
    {.kind = MK_SURFACE_ONCE, .name = "once", .value = &mk_blob_type},
    {.kind = MK_SURFACE_QUEUE, .name = "queue", .key = &mk_blob_type, .value = &mk_blob_type},
    {.kind = MK_SURFACE_QUEUE,
     .name = "few",
     .key = &mk_blob_type,
     .value = &mk_blob_type,
     .capacity = 5},
};
#define N_SPECS (unsigned)(sizeof specs / sizeof specs[0])

static const struct mk_id stable = {{1}}, deployment = {{2}};

struct dice {
    uint64_t x;
};

static uint64_t roll(struct dice *d, uint64_t below)
{
    d->x ^= d->x << 13;
    d->x ^= d->x >> 7;
    d->x ^= d->x << 17;
    return d->x % below;
}

/* --- the model -------------------------------------------------------------------------- */

struct model {
    bool has[KEYS]; /* cell, once: [0] */
    uint64_t priority[KEYS];
    uint8_t value[KEYS];
    size_t n; /* vec */
    uint8_t vec[LONG];
};

static size_t model_count(const struct model *m, enum mk_surface_kind kind)
{
    size_t n = 0;

    for (unsigned i = 0; i < KEYS; i++)
        n += m->has[i];
    return kind == MK_SURFACE_VEC ? m->n : n;
}

static uint8_t byte_of(struct mk_bytes b)
{
    return b.n > 0 ? b.p[0] : 0;
}

static void model_put(struct model *m, uint64_t priority, struct mk_bytes key,
                      struct mk_bytes value)
{
    uint8_t k = byte_of(key);

    m->has[k] = true;
    m->priority[k] = priority;
    m->value[k] = byte_of(value);
}

static void model_remove(struct model *m, unsigned k)
{
    m->has[k] = false;
    m->priority[k] = 0;
    m->value[k] = 0;
}

/* KEYS where there is none. */
static unsigned model_lowest(const struct model *m, unsigned skip)
{
    unsigned low = KEYS;

    for (unsigned r = 0; r <= skip; r++) {
        unsigned next = KEYS;

        for (unsigned i = 0; i < KEYS; i++) {
            bool after = low == KEYS || m->priority[i] > m->priority[low] ||
                         (m->priority[i] == m->priority[low] && i > low);

            if (m->has[i] && after && (next == KEYS || m->priority[i] < m->priority[next]))
                next = i;
        }
        low = next;
        if (low == KEYS)
            return KEYS;
    }
    return low;
}

static void vec_insert(struct model *m, size_t at, struct mk_bytes item)
{
    assert_true(m->n < LONG);
    memmove(m->vec + at + 1, m->vec + at, m->n - at);
    m->vec[at] = byte_of(item);
    m->n++;
}

static void vec_remove(struct model *m, size_t at)
{
    memmove(m->vec + at, m->vec + at + 1, m->n - at - 1);
    m->vec[--m->n] = 0;
}

static bool in_range(const struct mk_op_range *r, uint64_t p)
{
    return (r->start.tag == mk_op_bound_Unbounded ||
            (r->start.tag == mk_op_bound_Included ? p >= r->start.u.included.priority
                                                  : p > r->start.u.excluded.priority)) &&
           (r->end.tag == mk_op_bound_Unbounded ||
            (r->end.tag == mk_op_bound_Included ? p <= r->end.u.included.priority
                                                : p < r->end.u.excluded.priority));
}

static int model_exchange(struct model *m, enum mk_surface_kind kind,
                          const struct mk_op_exchange *x)
{
    unsigned k = kind == MK_SURFACE_CELL ? 0 : byte_of(x->key);

    if (x->expected.some != m->has[k] || (m->has[k] && byte_of(x->expected.v) != m->value[k]))
        return MK_EREFUSED;
    if (!x->replacement.some) {
        model_remove(m, k);
        return 0;
    }
    if (kind == MK_SURFACE_QUEUE && !m->has[k])
        return MK_EREFUSED;
    m->has[k] = true;
    m->value[k] = byte_of(x->replacement.v);
    return 0;
}

static void model_enqueue(struct model *m, uint64_t capacity, const struct mk_op_ranked_list *e)
{
    for (size_t i = 0; i < e->n; i++) {
        model_put(m, e->v[i].priority, e->v[i].key, e->v[i].value);
        while (capacity > 0 && model_count(m, MK_SURFACE_QUEUE) > capacity)
            model_remove(m, model_lowest(m, 0));
    }
}

static int model_vec(struct model *m, const struct mk_op *op)
{
    uint8_t t;

    switch ((enum mk_op_tag)op->tag) {
    case mk_op_PushBack:
        for (size_t i = 0; i < op->u.push_back.items.n; i++)
            vec_insert(m, m->n, op->u.push_back.items.v[i]);
        return 0;
    case mk_op_PushFront:
        for (size_t i = 0; i < op->u.push_front.items.n; i++)
            vec_insert(m, 0, op->u.push_front.items.v[i]);
        return 0;
    case mk_op_InsertAt:
        if (op->u.insert_at.index > m->n)
            return MK_EREFUSED;
        vec_insert(m, op->u.insert_at.index, op->u.insert_at.item);
        return 0;
    case mk_op_PopBack:
        if (m->n > 0)
            vec_remove(m, m->n - 1);
        return 0;
    case mk_op_PopFront:
        if (m->n > 0)
            vec_remove(m, 0);
        return 0;
    case mk_op_RemoveAt:
        if (op->u.remove_at.index < m->n)
            vec_remove(m, op->u.remove_at.index);
        return 0;
    case mk_op_Swap:
        if (op->u.swap.a < m->n && op->u.swap.b < m->n) {
            t = m->vec[op->u.swap.a];
            m->vec[op->u.swap.a] = m->vec[op->u.swap.b];
            m->vec[op->u.swap.b] = t;
        }
        return 0;
    case mk_op_Truncate:
        while (m->n > op->u.truncate.index)
            vec_remove(m, m->n - 1);
        return 0;
    case mk_op_SetAt:
        if (op->u.set_at.index < m->n)
            m->vec[op->u.set_at.index] = byte_of(op->u.set_at.item);
        return 0;
    case mk_op_Clear:
    case mk_op_Extend:
    case mk_op_Remove:
    case mk_op_Exchange:
    case mk_op_Add:
    case mk_op_Write:
    case mk_op_Enqueue:
    case mk_op_Reprioritise:
    case mk_op_Update:
    case mk_op_RemoveRange:
    case mk_op_Append:
        break;
    }
    fail_msg("not of a vec");
    return 0;
}

static int model_apply(struct model *m, const struct mk_surface_spec *spec, const struct mk_op *op)
{
    unsigned k;

    switch ((enum mk_op_tag)op->tag) {
    case mk_op_Clear:
        memset(m, 0, sizeof *m);
        return 0;
    case mk_op_Extend:
        for (size_t i = 0; i < op->u.extend.entries.n; i++)
            model_put(m, 0, op->u.extend.entries.v[i].key, op->u.extend.entries.v[i].value);
        return 0;
    case mk_op_Remove:
        for (size_t i = 0; i < op->u.remove.keys.n; i++)
            model_remove(m, byte_of(op->u.remove.keys.v[i]));
        return 0;
    case mk_op_Exchange:
        return model_exchange(m, spec->kind, &op->u.exchange);
    case mk_op_Add:
        for (size_t i = 0; i < op->u.add.items.n; i++)
            model_put(m, 0, op->u.add.items.v[i], op->u.add.items.v[i]);
        return 0;
    case mk_op_Write:
        if (spec->kind == MK_SURFACE_CELL || !m->has[0]) {
            m->has[0] = true;
            m->value[0] = byte_of(op->u.write.value);
        }
        return 0;
    case mk_op_Enqueue:
        model_enqueue(m, spec->capacity, &op->u.enqueue.entries);
        return 0;
    case mk_op_Reprioritise:
        k = byte_of(op->u.reprioritise.key);
        if (m->has[k])
            m->priority[k] = op->u.reprioritise.priority;
        return 0;
    case mk_op_Update:
        k = byte_of(op->u.update.key);
        if (m->has[k])
            m->value[k] = byte_of(op->u.update.value);
        return 0;
    case mk_op_RemoveRange:
        for (k = 0; k < KEYS; k++)
            if (m->has[k] && in_range(&op->u.remove_range, m->priority[k]))
                model_remove(m, k);
        return 0;
    case mk_op_PushBack:
    case mk_op_PushFront:
    case mk_op_InsertAt:
    case mk_op_PopBack:
    case mk_op_PopFront:
    case mk_op_RemoveAt:
    case mk_op_Swap:
    case mk_op_Truncate:
    case mk_op_SetAt:
        return model_vec(m, op);
    case mk_op_Append: /* of a stream */
        break;
    }
    return 0;
}

/* --- what is read -------------------------------------------------------------------------- */

static void check_keyed(const struct mk_view *v, const struct model *m)
{
    struct mk_bytes value;
    uint64_t priority;

    for (uint8_t k = 0; k < KEYS; k++) {
        struct mk_bytes key = MK_BYTES(&k, 1);

        if (mk_view_kind(v) == MK_SURFACE_CELL || mk_view_kind(v) == MK_SURFACE_ONCE)
            key.n = 0;
        if (key.n == 0 && k > 0)
            break;
        assert_int_equal(mk_view_get(v, key, &value) == 0, m->has[k]);
        if (!m->has[k])
            continue;
        assert_int_equal(byte_of(value), m->value[k]);
        if (mk_view_kind(v) != MK_SURFACE_QUEUE)
            continue;
        assert_int_equal(mk_queue_priority(v, key, &priority), 0);
        assert_int_equal(priority, m->priority[k]);
    }
}

static void check_queue(const struct mk_view *v, const struct model *m)
{
    struct mk_bytes key, value;
    uint64_t priority;

    for (unsigned rank = 0; rank < mk_view_count(v); rank++) {
        unsigned k = model_lowest(m, rank);

        assert_int_equal(mk_queue_at(v, rank, &priority, &key, &value), 0);
        assert_int_equal(byte_of(key), k);
        assert_int_equal(priority, m->priority[k]);
        assert_int_equal(byte_of(value), m->value[k]);
    }
    assert_int_equal(mk_queue_at(v, mk_view_count(v), &priority, &key, &value), MK_ENOTFOUND);
}

static void check_vec(const struct mk_view *v, const struct model *m)
{
    struct mk_bytes value, nothing = MK_BYTES("\xff", 1);
    uint64_t at;

    for (size_t i = 0; i < m->n; i++) {
        assert_int_equal(mk_vec_at(v, i, &value), 0);
        assert_int_equal(byte_of(value), m->vec[i]);
    }
    assert_int_equal(mk_vec_at(v, m->n, &value), MK_ENOTFOUND);
    assert_int_equal(mk_vec_index_of(v, nothing, &at), MK_ENOTFOUND);
    if (m->n == 0)
        return;
    value = MK_BYTES(&m->vec[m->n / 2], 1);
    assert_int_equal(mk_vec_index_of(v, value, &at), 0);
    assert_int_equal(at, (size_t)((uint8_t *)memchr(m->vec, m->vec[m->n / 2], m->n) - m->vec));
}

static void check(const struct mk_view *v, const struct model *m)
{
    struct mk_id cursor = MK_ZERO_ID;
    struct mk_bytes key, value;
    size_t n = 0;

    assert_int_equal(mk_view_count(v), model_count(m, mk_view_kind(v)));
    while (mk_view_next(v, &cursor, &key, &value))
        n++;
    assert_int_equal(n, mk_view_count(v));
    if (mk_view_kind(v) == MK_SURFACE_VEC)
        check_vec(v, m);
    else
        check_keyed(v, m);
    if (mk_view_kind(v) == MK_SURFACE_QUEUE)
        check_queue(v, m);
}

/* --- operations drawn from a seed ------------------------------------------------------------ */

struct draw {
    struct dice dice;
    uint8_t bytes[64];
    size_t n;
    struct mk_bytes items[4];
    struct mk_op_entry entries[4];
    struct mk_op_ranked ranked[4];
};

static struct mk_bytes draw_byte(struct draw *d, unsigned below)
{
    assert_true(d->n < sizeof d->bytes);
    d->bytes[d->n] = (uint8_t)roll(&d->dice, below);
    return MK_BYTES(&d->bytes[d->n++], 1);
}

static struct mk_opt_op_value draw_option(struct draw *d)
{
    return (struct mk_opt_op_value){.some = roll(&d->dice, 3) > 0, .v = draw_byte(d, 3)};
}

static struct mk_op_bound draw_bound(struct draw *d)
{
    struct mk_op_bound b = {.tag = (uint32_t)roll(&d->dice, 3)};

    b.u.included.priority = roll(&d->dice, 20) == 0 ? UINT64_MAX : roll(&d->dice, 10);
    return b;
}

static struct mk_op draw_op(struct draw *d, enum mk_surface_kind kind)
{
    struct mk_op op = {.tag = 0};
    size_t n = roll(&d->dice, 4);

    d->n = 0;
    do
        op.tag = (uint32_t)roll(&d->dice, 19);
    while (!mk_op_fits(kind, &op) || (op.tag == mk_op_Clear && roll(&d->dice, 20) > 0));
    for (size_t i = 0; i < 4; i++) {
        d->items[i] = draw_byte(d, KEYS);
        d->entries[i] = (struct mk_op_entry){d->items[i], draw_byte(d, 3)};
        d->ranked[i] = (struct mk_op_ranked){roll(&d->dice, 10), d->items[i], draw_byte(d, 3)};
    }
    switch ((enum mk_op_tag)op.tag) {
    case mk_op_Extend:
        op.u.extend.entries = (struct mk_op_entries){d->entries, n};
        break;
    case mk_op_Remove:
        op.u.remove.keys = (struct mk_op_keys){d->items, n};
        break;
    case mk_op_Exchange:
        op.u.exchange.key = kind == MK_SURFACE_CELL ? MK_BYTES(NULL, 0) : d->items[0];
        op.u.exchange.expected = draw_option(d);
        op.u.exchange.replacement = draw_option(d);
        break;
    case mk_op_Add:
    case mk_op_PushBack:
    case mk_op_PushFront:
        op.u.add.items = (struct mk_op_values){d->items, n};
        break;
    case mk_op_Write:
        op.u.write.value = d->items[0];
        break;
    case mk_op_InsertAt:
    case mk_op_SetAt:
        op.u.insert_at = (struct mk_op_insert_at){roll(&d->dice, 40), d->items[0]};
        break;
    case mk_op_RemoveAt:
        op.u.remove_at.index = roll(&d->dice, 40);
        break;
    case mk_op_Swap:
        op.u.swap = (struct mk_op_swap){roll(&d->dice, 40), roll(&d->dice, 40)};
        break;
    case mk_op_Truncate:
        op.u.truncate.index = roll(&d->dice, 10) == 0 ? roll(&d->dice, 30) : 30;
        break;
    case mk_op_Enqueue:
        op.u.enqueue.entries = (struct mk_op_ranked_list){d->ranked, n};
        break;
    case mk_op_Reprioritise:
        op.u.reprioritise = (struct mk_op_priority){d->items[0], roll(&d->dice, 10)};
        break;
    case mk_op_Update:
        op.u.update = d->entries[0];
        break;
    case mk_op_RemoveRange:
        op.u.remove_range = (struct mk_op_range){draw_bound(d), draw_bound(d)};
        break;
    case mk_op_Clear:
    case mk_op_PopBack:
    case mk_op_PopFront:
    case mk_op_Append:
        break;
    }
    return op;
}

/* --- a reader that sees the commits alone -------------------------------------------------------
 */

struct follower {
    struct mk_trie map;
    struct mk_view view;
};

static void view_change(struct mk_view *v, struct mk_bytes key, const struct mk_bytes *value)
{
    if (value != NULL)
        mk_view_put(v, key, *value);
    else
        mk_view_remove(v, key);
}

static void follow(struct follower *f, struct mk_bytes payload)
{
    struct mk_arena arena = {0};
    struct mk_map_op op;
    bool changed;

    assert_int_equal(mk_decode(&op, &mk_map_op_type, payload, &arena, NULL), 0);
    assert_int_equal(mk_map_apply(&f->map, &op, &changed), 0);
    assert_true(changed);
    switch ((enum mk_map_op_tag)op.tag) {
    case mk_map_op_Insert:
        view_change(&f->view, op.u.insert.key, &op.u.insert.value);
        break;
    case mk_map_op_Remove:
        view_change(&f->view, op.u.remove.key, NULL);
        break;
    case mk_map_op_Clear:
        mk_view_clear(&f->view);
        break;
    case mk_map_op_Many:
        for (size_t i = 0; i < op.u.many.changes.n; i++) {
            const struct mk_map_change *c = &op.u.many.changes.v[i];

            view_change(&f->view, c->key, c->value.some ? &c->value.v : NULL);
        }
        break;
    case mk_map_op_CompareSet:
        fail_msg("no shape commits it");
    }
    mk_arena_done(&arena);
}

static void restored_is_equal(struct mk_surfaces *s, unsigned i, const struct model *m)
{
    struct mk_surfaces again;
    struct mk_buf out = {0};
    struct mk_id a, b;

    mk_surfaces_snapshot(s, &out);
    mk_surfaces_init(&again, specs, N_SPECS, &stable, &deployment);
    assert_int_equal(mk_surfaces_restore(&again, mk_buf_bytes(&out), NULL), 0);
    a = mk_surfaces_hash(s);
    b = mk_surfaces_hash(&again);
    assert_true(mk_id_eq(&a, &b));
    check(mk_surfaces_view(&again, i), m);
    mk_surfaces_done(&again);
    mk_buf_done(&out);
}

static void play(unsigned i, uint64_t seed, unsigned rounds)
{
    struct draw d = {.dice = {seed * 0x9e3779b97f4a7c15u + 1}};
    struct model m = {.n = 0}, before;
    struct follower f = {.map = {0}};
    struct mk_surfaces s;
    struct mk_surface *v;

    mk_surfaces_init(&s, specs, N_SPECS, &stable, &deployment);
    mk_view_init(&f.view, specs[i].kind, &f.map);
    v = &s.v[i];
    for (unsigned round = 0; round < rounds; round++) {
        struct mk_op op = draw_op(&d, specs[i].kind);
        uint64_t version = v->index;
        struct mk_fault fault = {.text = ""};
        struct mk_commit c;
        struct mk_id a, b;
        bool changed = false;
        int want, rv;

        if (model_count(&m, specs[i].kind) > LONG - 8)
            op = (struct mk_op){.tag = mk_op_Clear};
        before = m;
        want = model_apply(&m, &specs[i], &op);
        rv = mk_shape_apply(v, &op, &changed, &fault);
        assert_int_equal(rv, want);
        if (rv != 0)
            assert_true(fault.text[0] != 0);
        assert_int_equal(changed, memcmp(&before, &m, sizeof m) != 0);
        assert_int_equal(v->index, version + changed);
        if (changed) {
            assert_int_equal(mk_surface_commit_at(v, v->index, &c), 0);
            follow(&f, c.payload);
        }
        a = mk_trie_root(&v->map);
        b = mk_trie_root(&f.map);
        assert_true(mk_id_eq(&a, &b));
        check(&v->view, &m);
        check(&f.view, &m);
        if (round % 97 == 0)
            restored_is_equal(&s, i, &m);
    }
    mk_view_done(&f.view);
    mk_trie_done(&f.map);
    mk_surfaces_done(&s);
}

static void test_model(void **state)
{
    (void)state;
    for (unsigned i = 0; i < N_SPECS; i++)
        for (uint64_t seed = 1; seed <= 12; seed++)
            play(i, seed, 400);
}

/* --- cases ---------------------------------------------------------------------------------------
 */

static struct mk_surfaces fresh(void)
{
    struct mk_surfaces s;

    mk_surfaces_init(&s, specs, N_SPECS, &stable, &deployment);
    return s;
}

static struct mk_op push_back(const struct mk_bytes *items, size_t n)
{
    return (struct mk_op){.tag = mk_op_PushBack, .u.push_back = {.items = {items, n}}};
}

/* Always into the middle: labels halve what the last one left, and are made anew at last. */
static void test_vec_middle(void **state)
{
    struct mk_surfaces s = fresh();
    struct mk_surface *v = &s.v[1];
    uint32_t *model = mk_alloc(6000 * sizeof *model);
    size_t longest = 0;
    struct mk_bytes value;
    bool changed;

    (void)state;
    for (uint32_t n = 0; n < 6000; n++) {
        size_t at = n / 2;
        struct mk_op op = {.tag = mk_op_InsertAt,
                           .u.insert_at = {.index = at, .item = MK_BYTES(&n, sizeof n)}};

        assert_int_equal(mk_shape_apply(v, &op, &changed, NULL), 0);
        assert_true(changed);
        memmove(model + at + 1, model + at, (n - at) * sizeof *model);
        model[at] = n;
    }
    for (size_t i = 0; i < 6000; i++) {
        struct mk_bytes label = mk_order_at(&v->view.places, i);

        assert_int_equal(mk_vec_at(&v->view, i, &value), 0);
        assert_memory_equal(value.p, &model[i], sizeof *model);
        longest = label.n > longest ? label.n : longest;
    }
    assert_true(longest <= MK_LABEL_EASY);
    mk_free(model);
    mk_surfaces_done(&s);
}

/* Elements too large to be labelled anew in one commit: labels grow, order stays. */
static void test_vec_middle_large(void **state)
{
    struct mk_surfaces s = fresh();
    struct mk_surface *v = &s.v[1];
    uint8_t *big = mk_alloc(8192);
    struct mk_bytes value;
    uint32_t before, now;
    bool changed;

    (void)state;
    for (uint32_t n = 0; n < 700; n++) {
        struct mk_op op = {.tag = mk_op_InsertAt,
                           .u.insert_at = {.index = n / 2, .item = MK_BYTES(big, 8192)}};

        memcpy(big, &n, sizeof n);
        assert_int_equal(mk_shape_apply(v, &op, &changed, NULL), 0);
    }
    for (size_t i = 1; i < 700; i++) { /* odd ones rise to the middle, even ones fall after it */
        assert_int_equal(mk_vec_at(&v->view, i - 1, &value), 0);
        memcpy(&before, value.p, sizeof before);
        assert_int_equal(mk_vec_at(&v->view, i, &value), 0);
        memcpy(&now, value.p, sizeof now);
        assert_true(i < 350 ? now == before + 2 : i == 350 || now + 2 == before);
    }
    mk_free(big);
    mk_surfaces_done(&s);
}

static bool between(struct mk_label *ret, const struct mk_bytes *a, const struct mk_bytes *b,
                    size_t limit)
{
    return mk_label_at(ret, &(struct mk_label_room){a, b, 1, 1, true, limit}, 0);
}

static void test_labels(void **state)
{
    struct mk_label a, b, mid;
    struct mk_bytes x, y, junk = MK_BYTES("123", 3);
    unsigned i;

    (void)state;
    assert_true(between(&a, NULL, NULL, MK_LABEL_MAX));
    x = MK_BYTES(a.b, a.n);
    assert_true(between(&b, &x, NULL, MK_LABEL_MAX));
    y = MK_BYTES(b.b, b.n);
    assert_true(mk_bytes_cmp(x, y) < 0);
    assert_true(between(&mid, &x, &y, MK_LABEL_MAX));
    assert_int_equal(mid.n, 8);
    assert_false(between(&mid, &x, &x, MK_LABEL_MAX));
    assert_false(between(&mid, &y, &x, MK_LABEL_MAX));
    assert_false(between(&mid, &junk, NULL, MK_LABEL_MAX));
    for (i = 0; between(&mid, &x, &y, 16); i++) { /* nested, until there is no room */
        assert_true(mk_bytes_cmp(x, MK_BYTES(mid.b, mid.n)) < 0);
        assert_true(mk_bytes_cmp(MK_BYTES(mid.b, mid.n), y) < 0);
        if (i % 2 == 0) {
            a = mid;
            x = MK_BYTES(a.b, a.n);
        } else {
            b = mid;
            y = MK_BYTES(b.b, b.n);
        }
        assert_true(i < 200);
    }
    assert_true(i >= 60);
}

/* Many between two: in order, and with room between them. */
static void test_labels_spread(void **state)
{
    struct mk_label a, b, l[100], mid;
    struct mk_bytes x, y;

    (void)state;
    assert_true(between(&a, NULL, NULL, 8));
    x = MK_BYTES(a.b, a.n);
    assert_true(between(&b, &x, NULL, 8));
    y = MK_BYTES(b.b, b.n);
    for (unsigned ends = 0; ends < 4; ends++) {
        struct mk_label_room room = {
            ends & 1 ? &x : NULL, ends & 2 ? &y : NULL, 100, 4096, false, 8};

        for (unsigned i = 0; i < 100; i++) {
            struct mk_bytes here, before;

            assert_true(mk_label_at(&l[i], &room, i));
            here = MK_BYTES(l[i].b, l[i].n);
            before = i > 0 ? MK_BYTES(l[i - 1].b, l[i - 1].n) : x;
            if (i > 0 || ends & 1) {
                assert_true(mk_bytes_cmp(before, here) < 0);
                assert_true(between(&mid, &before, &here, 8));
            }
            if (ends & 2)
                assert_true(mk_bytes_cmp(here, y) < 0);
        }
    }
}

/* More than one commit takes: refused as a whole, and nothing has changed. */
static void test_too_much(void **state)
{
    struct mk_surfaces s = fresh();
    struct mk_surface *v = &s.v[1];
    uint8_t *big = mk_alloc(MK_VALUE_MAX);
    struct mk_bytes items[3] = {MK_BYTES(big, MK_VALUE_MAX), MK_BYTES(big, MK_VALUE_MAX),
                                MK_BYTES(big, MK_VALUE_MAX)};
    struct mk_op op = push_back(items, 3);
    struct mk_fault fault;
    struct mk_id before, after;
    bool changed;

    (void)state;
    before = mk_surfaces_hash(&s);
    assert_int_equal(mk_shape_apply(v, &op, &changed, &fault), MK_EREFUSED);
    assert_non_null(strstr(fault.text, "in parts"));
    after = mk_surfaces_hash(&s);
    assert_true(mk_id_eq(&before, &after));
    assert_int_equal(mk_view_count(&v->view), 0);
    op.u.push_back.items.n = 1;
    assert_int_equal(mk_shape_apply(v, &op, &changed, &fault), 0);
    items[0].n = MK_VALUE_MAX + 1;
    assert_int_equal(mk_shape_apply(v, &op, &changed, &fault), MK_EREFUSED);
    op = (struct mk_op){.tag = mk_op_Enqueue};
    assert_int_equal(mk_shape_apply(v, &op, &changed, &fault), MK_EREFUSED);
    assert_non_null(strstr(fault.text, "a vec has no such operation"));
    mk_free(big);
    mk_surfaces_done(&s);
}

static void test_append(void **state)
{
    static const struct mk_surface_spec stream = {
        .kind = MK_SURFACE_STREAM, .name = "stream", .value = &mk_blob_type};
    struct mk_bytes items[MK_OP_APPEND_MAX + 1];
    struct mk_op op = {.tag = mk_op_Append, .u.append = {.items = {items, 2}}};
    struct mk_surfaces s;
    struct mk_fault fault;
    struct mk_bytes item;
    bool changed;

    (void)state;
    for (size_t i = 0; i <= MK_OP_APPEND_MAX; i++)
        items[i] = MK_BYTES(&"abc"[i % 3], 1);
    mk_surfaces_init(&s, &stream, 1, &stable, &deployment);
    assert_int_equal(mk_shape_apply(&s.v[0], &op, &changed, &fault), 0);
    assert_true(changed && s.v[0].index == 2);
    assert_int_equal(mk_stream_get(&s, 0, 2, &item), 0);
    assert_true(byte_of(item) == 'b');
    op.u.append.items.n = MK_OP_APPEND_MAX + 1;
    assert_int_equal(mk_shape_apply(&s.v[0], &op, &changed, &fault), MK_EREFUSED);
    op.u.append.items.n = 0;
    assert_int_equal(mk_shape_apply(&s.v[0], &op, &changed, &fault), 0);
    assert_true(!changed && s.v[0].index == 2);
    op.tag = mk_op_Clear;
    assert_int_equal(mk_shape_apply(&s.v[0], &op, &changed, &fault), MK_EREFUSED);
    mk_surfaces_done(&s);
}

/* Ten thousand pushes a side are one level of label; emptying is one commit. */
static void test_vec_pushes(void **state)
{
    struct mk_surfaces s = fresh();
    struct mk_surface *v = &s.v[1];
    struct mk_bytes items[1000];
    uint16_t numbers[1000];
    struct mk_op op = push_back(items, 1000);
    bool changed;

    (void)state;
    for (uint16_t i = 0; i < 1000; i++) {
        numbers[i] = i;
        items[i] = MK_BYTES(&numbers[i], sizeof numbers[i]);
    }
    for (unsigned i = 0; i < 20; i++) {
        op.tag = i % 2 == 0 ? mk_op_PushBack : mk_op_PushFront;
        assert_int_equal(mk_shape_apply(v, &op, &changed, NULL), 0);
    }
    assert_int_equal(mk_view_count(&v->view), 20000);
    assert_int_equal(mk_order_at(&v->view.places, 0).n, 8);
    assert_int_equal(mk_order_at(&v->view.places, 19999).n, 8);
    op = (struct mk_op){.tag = mk_op_Truncate};
    assert_int_equal(mk_shape_apply(v, &op, &changed, NULL), 0);
    assert_int_equal(v->index, 21);
    assert_int_equal(mk_view_count(&v->view), 0);
    mk_surfaces_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_vec_middle),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_labels_spread),
        cmocka_unit_test(test_vec_middle_large),
        cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_vec_pushes),
        cmocka_unit_test(test_append),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
