/* What mosaik's own tests of collections show, on a committee of nodes: late readers,
 * several writers, snapshots small and large, with and without writes going on
 * (docs/conformance.md has the rows). */
#include "shelf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define LIST_MAX 1000u /* items of one write here */

struct agent {
    struct shelf *c;
    struct mk_network *network;
    struct mk_bond *bond;
    struct mk_collection *readers[SHELF_SHAPES];
    struct mk_exec exec;
    bool busy;
    int status;
    struct mk_written written;
};

static struct agent *agent_new(struct shelf *c, unsigned node)
{
    struct agent *a = mk_alloc(sizeof *a);

    a->c = c;
    a->network = shelf_agent(c, node, /* listen= */ false, &a->bond);
    return a;
}

static void follow(struct agent *a, unsigned shape)
{
    assert_int_equal(
        mk_collection_open(a->bond, &a->readers[shape], &shelf_specs[shape], NULL, NULL), 0);
}

static void agent_free(struct agent *a)
{
    for (unsigned i = 0; i < SHELF_SHAPES; i++)
        mk_collection_close(a->readers[i]);
    mk_network_close(a->network);
    mk_free(a);
}

static void exec_cb(struct mk_exec *x, int status, const struct mk_outcome *outcome,
                    const struct mk_fault *fault)
{
    struct agent *a = mk_container_of(x, struct agent, exec);

    (void)fault;
    a->busy = false;
    a->status = status;
    if (status == 0)
        assert_int_equal(mk_written_read(&a->written, outcome->answer, NULL), 0);
}

static bool is_free(void *arg)
{
    return !((struct agent *)arg)->busy;
}

static bool start(struct agent *a, const struct mk_surface_spec *spec, const struct mk_op *op)
{
    struct mk_buf command = {0};

    mk_collection_command_put(&command, spec, op);
    a->exec.cb = exec_cb;
    a->busy = mk_execute(a->bond, &a->exec, mk_buf_bytes(&command), MK_STEP_CERTIFIED, 20000) == 0;
    mk_buf_done(&command);
    return a->busy;
}

/* The outcome's status, and the version in a->written. */
static int put_as(struct agent *a, const struct mk_surface_spec *spec, struct mk_op op)
{
    for (unsigned i = 0; !start(a, spec, &op); i++) { /* not bound yet */
        assert_true(i < 100);
        world_run(a->c->w, 100);
    }
    assert_true(world_run_until(a->c->w, is_free, a, 40000));
    return a->status;
}

static int put(struct agent *a, unsigned shape, struct mk_op op)
{
    return put_as(a, &shelf_specs[shape], op);
}

/* --- what is written: numbers, each padded to `size` bytes --------------------------------- */

struct items {
    struct mk_buf bytes;
    struct mk_bytes v[LIST_MAX];
    struct mk_op_entry entries[LIST_MAX];
    struct mk_op_ranked ranked[LIST_MAX];
    size_t n;
};

static struct items *items_new(uint64_t first, size_t n, size_t size)
{
    struct items *x = mk_alloc(sizeof *x);

    assert_true(n <= LIST_MAX && size >= 8);
    mk_buf_reserve(&x->bytes, n * size);
    for (size_t i = 0; i < n; i++) {
        uint64_t number = first + i;
        uint8_t *p = mk_buf_grow(&x->bytes, size);

        memset(p, (int)(number & 0x7f), size);
        memcpy(p, &number, sizeof number);
        x->v[i] = MK_BYTES(p, size);
        x->entries[i] = (struct mk_op_entry){MK_BYTES(p, 8), x->v[i]};
        x->ranked[i] = (struct mk_op_ranked){number * 10, MK_BYTES(p, 8), x->v[i]};
    }
    x->n = n;
    return x;
}

static void items_free(struct items *x)
{
    mk_buf_done(&x->bytes);
    mk_free(x);
}

static struct mk_op op_of(unsigned shape, const struct items *x)
{
    struct mk_op op = {.tag = mk_op_Write, .u.write = {x->v[x->n - 1]}}; /* a cell, a once */

    if (shape == SHELF_MAP)
        op = (struct mk_op){.tag = mk_op_Extend, .u.extend = {{x->entries, x->n}}};
    else if (shape == SHELF_VEC)
        op = (struct mk_op){.tag = mk_op_PushBack, .u.push_back = {{x->v, x->n}}};
    else if (shape == SHELF_SET)
        op = (struct mk_op){.tag = mk_op_Add, .u.add = {{x->v, x->n}}};
    else if (shape == SHELF_QUEUE)
        op = (struct mk_op){.tag = mk_op_Enqueue, .u.enqueue = {{x->ranked, x->n}}};
    return op;
}

static void fill(struct agent *a, unsigned shape, uint64_t first, size_t n, size_t size)
{
    const size_t most = 240000 / size < LIST_MAX ? 240000 / size : LIST_MAX;

    while (n > 0) {
        /* A queue's and a map's key come on top. */
        size_t part = n < most / 2 ? n : most / 2;
        struct items *x = items_new(first, part, size);

        assert_int_equal(put(a, shape, op_of(shape, x)), 0);
        items_free(x);
        first += part;
        n -= part;
    }
}

/* --- waiting, comparing ------------------------------------------------------------------------
 */

static bool has_reached(void *arg)
{
    struct agent *a = arg;
    const struct shelf *c = a->c;

    for (unsigned i = 0; i < SHELF_SHAPES; i++) {
        if (a->readers[i] == NULL)
            continue;
        if (!mk_collection_online(a->readers[i]))
            return false;
        for (unsigned m = 0; m < SHELF_MEMBERS; m++)
            if (mk_collection_version(a->readers[i]) !=
                mk_surface_index(mk_host_surfaces(c->members[m].host), i))
                return false;
    }
    return true;
}

/* The reader and the members have one state. */
static void same(struct agent *a, unsigned shape)
{
    const struct mk_view *v;

    assert_true(world_run_until(a->c->w, has_reached, a, 60000));
    v = mk_collection_view(a->readers[shape]);
    for (unsigned m = 0; m < SHELF_MEMBERS; m++) {
        const struct mk_view *own =
            mk_surfaces_view(mk_host_surfaces(a->c->members[m].host), shape);
        struct mk_id ca = MK_ZERO_ID, cb = MK_ZERO_ID;
        struct mk_bytes ka, va, kb, vb;

        assert_int_equal(mk_view_count(v), mk_view_count(own));
        while (mk_view_next(v, &ca, &ka, &va)) {
            assert_true(mk_view_next(own, &cb, &kb, &vb));
            assert_true(mk_bytes_eq(ka, kb) && mk_bytes_eq(va, vb));
        }
        for (uint64_t i = 0; shape == SHELF_VEC && mk_vec_at(v, i, &va) == 0; i++)
            assert_true(mk_vec_at(own, i, &vb) == 0 && mk_bytes_eq(va, vb));
        for (uint64_t i = 0; shape == SHELF_QUEUE && mk_queue_at(v, i, NULL, &ka, NULL) == 0; i++)
            assert_true(mk_queue_at(own, i, NULL, &kb, NULL) == 0 && mk_bytes_eq(ka, kb));
    }
}

static size_t count(const struct agent *a, unsigned shape)
{
    return mk_view_count(mk_collection_view(a->readers[shape]));
}

static uint64_t number_of(struct mk_bytes b)
{
    uint64_t n = 0;

    assert_true(b.n >= sizeof n);
    memcpy(&n, b.p, sizeof n);
    return n;
}

/* --- rows
 * ------------------------------------------------------------------------------------------ */

static const unsigned many[] = {SHELF_MAP, SHELF_VEC, SHELF_SET, SHELF_QUEUE};
#define N_MANY (sizeof many / sizeof many[0])

static void test_late_readers(void **state)
{
    struct shelf *c = shelf_new(1);
    struct agent *a = agent_new(c, 20), *b = agent_new(c, 21), *d = agent_new(c, 22);
    struct items *fifty = items_new(50, 1, 8);

    (void)state;
    for (unsigned shape = 0; shape < SHELF_SHAPES; shape++) {
        fill(a, shape, 0, 51, 8);
        follow(b, shape);
        fill(a, shape, 51, 52, 8);
        follow(d, shape);
        same(b, shape);
        same(d, shape);
    }
    for (size_t i = 0; i < N_MANY; i++)
        assert_int_equal(count(d, many[i]), 103);
    assert_int_equal(
        put(a, SHELF_MAP, (struct mk_op){.tag = mk_op_Remove, .u.remove = {{fifty->v, 1}}}), 0);
    assert_int_equal(
        put(a, SHELF_SET, (struct mk_op){.tag = mk_op_Remove, .u.remove = {{fifty->v, 1}}}), 0);
    assert_int_equal(
        put(a, SHELF_QUEUE, (struct mk_op){.tag = mk_op_Remove, .u.remove = {{fifty->v, 1}}}), 0);
    assert_int_equal(put(a, SHELF_VEC, (struct mk_op){.tag = mk_op_RemoveAt, .u.remove_at = {50}}),
                     0);
    for (size_t i = 0; i < N_MANY; i++) {
        same(b, many[i]);
        assert_int_equal(count(b, many[i]), 102);
    }
    items_free(fifty);
    agent_free(a);
    agent_free(b);
    agent_free(d);
    shelf_free(c);
}

static void test_two_writers(void **state)
{
    struct shelf *c = shelf_new(2);
    struct agent *a = agent_new(c, 20), *b = agent_new(c, 21);
    struct mk_bytes value;

    (void)state;
    for (unsigned shape = 0; shape < SHELF_SHAPES; shape++) {
        follow(a, shape);
        follow(b, shape);
        for (unsigned i = 0; i < 10; i++) {
            struct agent *writer = i % 2 == 0 ? a : b;

            fill(writer, shape, i, 1, 8);
            assert_int_equal(writer->written.changed, shape != SHELF_ONCE || i == 0);
        }
        same(a, shape);
        same(b, shape);
    }
    for (size_t i = 0; i < N_MANY; i++)
        assert_int_equal(count(a, many[i]), 10);
    mk_view_get(mk_collection_view(a->readers[SHELF_CELL]), MK_BYTES(NULL, 0), &value);
    assert_int_equal(number_of(value), 9); /* the last wins, */
    mk_view_get(mk_collection_view(b->readers[SHELF_ONCE]), MK_BYTES(NULL, 0), &value);
    assert_int_equal(number_of(value), 0); /* or the first */
    agent_free(a);
    agent_free(b);
    shelf_free(c);
}

static bool partial_or_reached(void *arg)
{
    struct agent *a = arg;

    for (size_t i = 0; i < N_MANY; i++) {
        const struct mk_view *v = mk_collection_view(a->readers[many[i]]);

        /* Nothing, or the whole of some version: never a part of a snapshot. */
        if (v != NULL)
            assert_true(mk_view_count(v) >= 3000);
    }
    return has_reached(a);
}

static void test_large_snapshot(void **state)
{
    struct shelf *c = shelf_new(3);
    struct agent *a = agent_new(c, 20), *b = agent_new(c, 21);

    (void)state;
    for (size_t i = 0; i < N_MANY; i++) {
        fill(a, many[i], 0, 3000, 8);
        follow(b, many[i]);
    }
    assert_true(world_run_until(c->w, partial_or_reached, b, 60000));
    for (size_t i = 0; i < N_MANY; i++) {
        same(b, many[i]);
        assert_int_equal(count(b, many[i]), 3000);
    }
    agent_free(a);
    agent_free(b);
    shelf_free(c);
}

static void test_large_elements(void **state)
{
    struct shelf *c = shelf_new(4);
    struct agent *a = agent_new(c, 20), *b = agent_new(c, 21);

    (void)state;
    for (size_t i = 0; i < N_MANY; i++) {
        fill(a, many[i], 0, 100, 10240);
        follow(b, many[i]);
        same(b, many[i]);
        assert_int_equal(count(b, many[i]), 100);
    }
    agent_free(a);
    agent_free(b);
    shelf_free(c);
}

static void test_writes_during_sync(void **state)
{
    struct shelf *c = shelf_new(5);
    struct agent *a = agent_new(c, 20), *b = agent_new(c, 21);

    (void)state;
    for (size_t i = 0; i < N_MANY; i++) {
        fill(a, many[i], 0, 1000, 8);
        follow(b, many[i]);
        for (unsigned more = 0; more < 20; more++)
            fill(a, many[i], 1000 + more * 25, 25, 8);
        same(b, many[i]);
        assert_int_equal(count(b, many[i]), 1500);
    }
    agent_free(a);
    agent_free(b);
    shelf_free(c);
}

static void test_clear_and_recreate(void **state)
{
    struct shelf *c = shelf_new(6);
    struct agent *a = agent_new(c, 20), *b = agent_new(c, 21);

    (void)state;
    for (size_t i = 0; i < N_MANY; i++) {
        fill(a, many[i], 0, 500, 8);
        follow(b, many[i]);
        same(b, many[i]);
        assert_int_equal(put(a, many[i], (struct mk_op){.tag = mk_op_Clear}), 0);
        assert_int_equal(put(a, many[i], (struct mk_op){.tag = mk_op_Clear}), 0);
        assert_false(a->written.changed);
        fill(a, many[i], 1000, 100, 8);
        same(b, many[i]);
        assert_int_equal(count(b, many[i]), 100);
        mk_collection_close(b->readers[many[i]]);
        fill(a, many[i], 1100, 100, 8);
        follow(b, many[i]); /* on the same bond, from a fresh snapshot */
        same(b, many[i]);
        assert_int_equal(count(b, many[i]), 200);
    }
    agent_free(a);
    agent_free(b);
    shelf_free(c);
}

/* --- the rows of one shape each
 * ------------------------------------------------------------------- */

static struct mk_op at_index(enum mk_op_tag tag, uint64_t index, const uint64_t *item)
{
    struct mk_op op = {.tag = tag};

    op.u.insert_at.index = index; /* remove_at and truncate begin with it, too */
    if (item != NULL)
        op.u.insert_at.item = MK_BYTES(item, sizeof *item);
    return op;
}

static void vec_is(struct agent *b, const uint64_t *want, size_t n)
{
    struct mk_bytes value;
    uint64_t at;

    same(b, SHELF_VEC);
    assert_int_equal(count(b, SHELF_VEC), n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(mk_vec_at(mk_collection_view(b->readers[SHELF_VEC]), i, &value), 0);
        assert_int_equal(number_of(value), want[i]);
        assert_int_equal(mk_vec_index_of(mk_collection_view(b->readers[SHELF_VEC]), value, &at), 0);
        assert_int_equal(at, i);
    }
}

static void test_vec_rows(void **state)
{
    struct shelf *c = shelf_new(7);
    struct agent *a = agent_new(c, 20), *b = agent_new(c, 21);
    const uint64_t n[] = {5, 10, 15, 20, 30, 40};
    struct mk_bytes more[] = {MK_BYTES(&n[3], 8), MK_BYTES(&n[4], 8), MK_BYTES(&n[5], 8)};
    struct mk_bytes ten = MK_BYTES(&n[1], 8), five = MK_BYTES(&n[0], 8);

    (void)state;
    follow(b, SHELF_VEC);
    put(a, SHELF_VEC, (struct mk_op){.tag = mk_op_PushBack, .u.push_back = {{&ten, 1}}});
    put(a, SHELF_VEC, (struct mk_op){.tag = mk_op_PushFront, .u.push_front = {{&five, 1}}});
    put(a, SHELF_VEC, (struct mk_op){.tag = mk_op_PushBack, .u.push_back = {{more, 3}}});
    put(a, SHELF_VEC, at_index(mk_op_InsertAt, 2, &n[2]));
    vec_is(b, n, 6);
    assert_int_equal(put(a, SHELF_VEC, at_index(mk_op_InsertAt, 7, &n[2])), MK_EREFUSED);
    put(a, SHELF_VEC, (struct mk_op){.tag = mk_op_Swap, .u.swap = {0, 5}});
    vec_is(b, (const uint64_t[]){40, 10, 15, 20, 30, 5}, 6);
    put(a, SHELF_VEC, (struct mk_op){.tag = mk_op_Swap, .u.swap = {0, 6}});
    assert_false(a->written.changed);
    put(a, SHELF_VEC, (struct mk_op){.tag = mk_op_PopBack});
    put(a, SHELF_VEC, (struct mk_op){.tag = mk_op_PopFront});
    put(a, SHELF_VEC, at_index(mk_op_RemoveAt, 1, NULL));
    vec_is(b, (const uint64_t[]){10, 20, 30}, 3);
    put(a, SHELF_VEC, at_index(mk_op_Truncate, 100, NULL));
    assert_false(a->written.changed);
    put(a, SHELF_VEC, at_index(mk_op_Truncate, 2, NULL));
    vec_is(b, (const uint64_t[]){10, 20}, 2);
    put(a, SHELF_VEC, (struct mk_op){.tag = mk_op_Clear});
    put(a, SHELF_VEC, (struct mk_op){.tag = mk_op_PopBack});
    assert_false(a->written.changed);
    vec_is(b, n, 0);
    agent_free(a);
    agent_free(b);
    shelf_free(c);
}

static int exchange(struct agent *a, unsigned shape, const uint64_t *key, const uint64_t *expected,
                    const uint64_t *replacement)
{
    struct mk_op op = {.tag = mk_op_Exchange};

    if (key != NULL)
        op.u.exchange.key = MK_BYTES(key, sizeof *key);
    if (expected != NULL)
        op.u.exchange.expected = (struct mk_opt_op_value){true, MK_BYTES(expected, 8)};
    if (replacement != NULL)
        op.u.exchange.replacement = (struct mk_opt_op_value){true, MK_BYTES(replacement, 8)};
    return put(a, shape, op);
}

static void test_compare_exchange_rows(void **state)
{
    struct shelf *c = shelf_new(8);
    struct agent *a = agent_new(c, 20), *b = agent_new(c, 21);
    const uint64_t k = 7, v[] = {1, 2, 3};
    const unsigned shapes[] = {SHELF_MAP, SHELF_CELL};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        const uint64_t *key = shapes[i] == SHELF_MAP ? &k : NULL;

        follow(b, shapes[i]);
        assert_int_equal(exchange(a, shapes[i], key, NULL, NULL), 0); /* none to none */
        assert_false(a->written.changed);
        assert_int_equal(exchange(a, shapes[i], key, &v[0], &v[1]), MK_EREFUSED);
        assert_int_equal(exchange(a, shapes[i], key, NULL, &v[0]), 0);
        assert_int_equal(exchange(a, shapes[i], key, NULL, &v[1]), MK_EREFUSED);
        assert_int_equal(exchange(a, shapes[i], key, &v[1], NULL), MK_EREFUSED);
        assert_int_equal(exchange(a, shapes[i], key, &v[0], &v[1]), 0);
        assert_int_equal(exchange(a, shapes[i], key, &v[1], &v[2]), 0);
        same(b, shapes[i]);
        assert_int_equal(count(b, shapes[i]), 1);
        assert_int_equal(exchange(a, shapes[i], key, &v[2], NULL), 0);
        same(b, shapes[i]);
        assert_int_equal(count(b, shapes[i]), 0);
    }
    agent_free(a);
    agent_free(b);
    shelf_free(c);
}

/* Its name is right, but what is written could not be decoded by anybody. */
static void test_a_writer_with_other_types_is_refused(void **state)
{
    const struct mk_surface_spec others[] = {
        {.kind = MK_SURFACE_MAP, .name = "map", .key = &mk_peer_type, .value = &mk_u64_type},
        {.kind = MK_SURFACE_MAP, .name = "map", .key = &mk_u64_type, .value = &mk_bool_type},
        {.kind = MK_SURFACE_QUEUE, .name = "map", .key = &mk_u64_type, .value = &mk_u64_type},
    };
    struct shelf *c = shelf_new(10);
    struct agent *a = agent_new(c, 20);
    const uint64_t k = 7;
    struct mk_op_entry e = {MK_BYTES(&k, 8), MK_BYTES(&k, 8)};
    struct mk_op op = {.tag = mk_op_Extend, .u.extend = {{&e, 1}}};

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(put_as(a, &others[i], op), MK_EREFUSED);
    assert_int_equal(put(a, SHELF_MAP, op), 0);
    assert_int_equal(a->written.version, 1);
    agent_free(a);
    shelf_free(c);
}

static void test_queue_rows(void **state)
{
    struct shelf *c = shelf_new(9);
    struct agent *a = agent_new(c, 20), *b = agent_new(c, 21);
    const uint64_t k[] = {1, 2, 3, 4}, v[] = {10, 20, 30, 40};
    struct mk_op_ranked r[4];
    struct mk_bytes key, value;
    uint64_t priority;

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        r[i] = (struct mk_op_ranked){(const uint64_t[]){500, 600, 999, 1}[i], MK_BYTES(&k[i], 8),
                                     MK_BYTES(&v[i], 8)};
    put(a, SHELF_QUEUE, (struct mk_op){.tag = mk_op_Enqueue, .u.enqueue = {{r, 4}}});
    follow(b, SHELF_QUEUE);
    same(b, SHELF_QUEUE);
    assert_int_equal(
        mk_queue_at(mk_collection_view(b->readers[SHELF_QUEUE]), 0, &priority, &key, &value), 0);
    assert_true(priority == 1 && number_of(key) == 4 && number_of(value) == 40);
    assert_int_equal(
        mk_queue_at(mk_collection_view(b->readers[SHELF_QUEUE]), 3, &priority, &key, &value), 0);
    assert_true(priority == 999 && number_of(key) == 3 && number_of(value) == 30);
    assert_int_equal(exchange(a, SHELF_QUEUE, &k[3], &v[3], NULL), 0); /* removes the least */
    assert_int_equal(exchange(a, SHELF_QUEUE, &k[3], &v[3], &v[0]), MK_EREFUSED);
    assert_int_equal(exchange(a, SHELF_QUEUE, &k[0], &v[0], &v[3]), 0);
    put(a, SHELF_QUEUE,
        (struct mk_op){.tag = mk_op_RemoveRange,
                       .u.remove_range = {{.tag = mk_op_bound_Excluded, .u.excluded = {600}},
                                          {.tag = mk_op_bound_Unbounded}}});
    same(b, SHELF_QUEUE);
    assert_int_equal(count(b, SHELF_QUEUE), 2);
    assert_int_equal(
        mk_queue_at(mk_collection_view(b->readers[SHELF_QUEUE]), 0, &priority, &key, &value), 0);
    assert_true(priority == 500 && number_of(value) == 40); /* the priority stayed */
    agent_free(a);
    agent_free(b);
    shelf_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_late_readers),
        cmocka_unit_test(test_two_writers),
        cmocka_unit_test(test_large_snapshot),
        cmocka_unit_test(test_large_elements),
        cmocka_unit_test(test_writes_during_sync),
        cmocka_unit_test(test_clear_and_recreate),
        cmocka_unit_test(test_vec_rows),
        cmocka_unit_test(test_compare_exchange_rows),
        cmocka_unit_test(test_queue_rows),
        cmocka_unit_test(test_a_writer_with_other_types_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
