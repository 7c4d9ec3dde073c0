/* Collections of all shapes on a committee of nodes whose members are killed under load:
 * what a writer was told is there, once and in order, at a reader that verified it and in
 * every member. */
#include "shelf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define AGENT 20u /* its node */
#define WRITES 240u

/* --- an agent: one writer, a reader of each shape ------------------------------------------------
 */

struct agent {
    struct shelf *c;
    struct mk_network *network;
    struct mk_bond *bond;
    struct mk_collection *readers[SHELF_SHAPES];
    struct mk_exec exec;
    bool busy;
    uint64_t n;             /* the write in flight, from 1 */
    bool acked[WRITES + 1]; /* certified */
    uint64_t version[SHELF_SHAPES], updates;
    unsigned unknown;
};

static void reader_updated(struct mk_collection *r, uint64_t version)
{
    struct agent *a = mk_collection_owner(r);

    a->updates++;
    assert_int_equal(version, mk_collection_version(r));
}

static void reader_ended(struct mk_collection *r, int status, const struct mk_fault *fault)
{
    (void)r;
    fail_msg("a reader ended: %s (%s)", mk_strerror(status), fault != NULL ? fault->text : "");
}

static const struct mk_collection_cbs reader_cbs = {.updated = reader_updated,
                                                    .ended = reader_ended};

static void agent_open(struct agent *a, struct shelf *c)
{
    *a = (struct agent){.c = c};
    a->network = shelf_agent(c, AGENT, /* listen= */ false, &a->bond);
    for (unsigned i = 0; i < SHELF_SHAPES; i++)
        assert_int_equal(
            mk_collection_open(a->bond, &a->readers[i], &shelf_specs[i], &reader_cbs, a), 0);
}

static void agent_close(struct agent *a)
{
    for (unsigned i = 0; i < SHELF_SHAPES; i++)
        mk_collection_close(a->readers[i]);
    mk_network_close(a->network);
}

static void exec_cb(struct mk_exec *x, int status, const struct mk_outcome *outcome,
                    const struct mk_fault *fault)
{
    struct agent *a = mk_container_of(x, struct agent, exec);
    unsigned shape = (unsigned)(a->n % SHELF_SHAPES);
    struct mk_written w;

    a->busy = false;
    if (status != 0) {
        assert_int_not_equal(status, MK_EREFUSED);
        a->unknown++;
        (void)fault;
        return;
    }
    assert_int_equal(mk_written_read(&w, outcome->answer, NULL), 0);
    assert_true(w.version >= a->version[shape]);
    if (shape == SHELF_ONCE)
        assert_true(w.version == 1);
    else
        assert_true(w.changed && w.version > a->version[shape]);
    a->version[shape] = w.version;
    a->acked[a->n] = true;
}

static void write_next(struct agent *a)
{
    struct mk_buf text = {0}, command = {0};
    struct mk_bytes x = shelf_number(&text, a->n + 1);
    struct mk_op_entry entry = {x, x};
    struct mk_op_ranked ranked = {(a->n + 1) % 7, x, x};
    const struct mk_op ops[SHELF_SHAPES] = {
        [SHELF_MAP] = {.tag = mk_op_Extend, .u.extend = {.entries = {&entry, 1}}},
        [SHELF_VEC] = {.tag = mk_op_PushBack, .u.push_back = {.items = {&x, 1}}},
        [SHELF_SET] = {.tag = mk_op_Add, .u.add = {.items = {&x, 1}}},
        [SHELF_CELL] = {.tag = mk_op_Write, .u.write = {.value = x}},
        [SHELF_ONCE] = {.tag = mk_op_Write, .u.write = {.value = x}},
        [SHELF_QUEUE] = {.tag = mk_op_Enqueue, .u.enqueue = {.entries = {&ranked, 1}}}};
    unsigned shape = (unsigned)(++a->n % SHELF_SHAPES);

    mk_collection_command_put(&command, &shelf_specs[shape], &ops[shape]);
    a->exec.cb = exec_cb;
    a->busy = mk_execute(a->bond, &a->exec, mk_buf_bytes(&command), MK_STEP_CERTIFIED, 8000) == 0;
    if (!a->busy)
        a->n--; /* not bound yet */
    mk_buf_done(&text);
    mk_buf_done(&command);
}

static bool is_free(void *arg)
{
    return !((struct agent *)arg)->busy;
}

/* --- judging
 * ------------------------------------------------------------------------------------------ */

static void check_vec(const struct agent *a, const struct mk_view *v)
{
    uint64_t before = 0;
    struct mk_bytes value;
    size_t acked = 0;

    for (uint64_t i = 0; mk_vec_at(v, i, &value) == 0; i++) {
        uint64_t n = shelf_value(value);

        assert_true(n > before &&
                    n % SHELF_SHAPES == SHELF_VEC); /* once, in the order of the writes */
        before = n;
        acked += a->acked[n];
    }
    for (uint64_t n = 1; n <= a->n; n++)
        acked -= a->acked[n] && n % SHELF_SHAPES == SHELF_VEC;
    assert_int_equal(acked, 0);
}

static void check_queue(const struct mk_view *v)
{
    uint64_t priority, before = 0;
    struct mk_bytes key, value;

    for (uint64_t i = 0; mk_queue_at(v, i, &priority, &key, &value) == 0; i++) {
        assert_true(priority >= before);
        assert_int_equal(priority, shelf_value(key) % 7);
        assert_int_equal(shelf_value(key), shelf_value(value));
        before = priority;
    }
}

static void check_one(const struct agent *a, const struct mk_view *v, bool once)
{
    struct mk_bytes value;
    uint64_t n, first = 0, last = 0;

    for (n = 1; n <= a->n; n++)
        if (a->acked[n] && n % SHELF_SHAPES == (once ? SHELF_ONCE : SHELF_CELL)) {
            first = first == 0 ? n : first;
            last = n;
        }
    assert_int_equal(mk_view_get(v, MK_BYTES(NULL, 0), &value), 0);
    if (once)
        assert_true(shelf_value(value) <= first);
    else
        assert_true(shelf_value(value) >= last);
}

static void check_view(const struct agent *a, unsigned shape, const struct mk_view *v)
{
    struct mk_bytes value;

    for (uint64_t n = 1; n <= a->n; n++) {
        struct mk_buf key = {0};

        if (a->acked[n] && n % SHELF_SHAPES == shape && shape != SHELF_VEC && shape != SHELF_CELL &&
            shape != SHELF_ONCE) {
            assert_int_equal(mk_view_get(v, shelf_number(&key, n), &value), 0);
            assert_int_equal(shelf_value(value), n);
        }
        mk_buf_done(&key);
    }
    if (shape == SHELF_VEC)
        check_vec(a, v);
    if (shape == SHELF_QUEUE)
        check_queue(v);
    if (shape == SHELF_CELL || shape == SHELF_ONCE)
        check_one(a, v, shape == SHELF_ONCE);
}

/* The reader's and every member's are one state: as many entries, each with the same value. */
static void check_same(const struct mk_view *a, const struct mk_view *b)
{
    struct mk_id ca = MK_ZERO_ID, cb = MK_ZERO_ID;
    struct mk_bytes ka, va, kb, vb;

    assert_int_equal(mk_view_count(a), mk_view_count(b));
    while (mk_view_next(a, &ca, &ka, &va)) {
        assert_true(mk_view_next(b, &cb, &kb, &vb));
        assert_true(mk_bytes_eq(ka, kb) && mk_bytes_eq(va, vb));
    }
}

static bool all_reached(void *arg)
{
    struct agent *a = arg;

    for (unsigned i = 0; i < SHELF_SHAPES; i++) {
        if (!mk_collection_online(a->readers[i]))
            return false;
        for (unsigned m = 0; m < SHELF_MEMBERS; m++) {
            const struct mk_host *h = a->c->members[m].host;

            if (h == NULL ||
                mk_surface_index(mk_host_surfaces(h), i) != mk_collection_version(a->readers[i]))
                return false;
        }
        if (mk_collection_version(a->readers[i]) < a->version[i])
            return false;
    }
    return true;
}

/* --- the play
 * ------------------------------------------------------------------------------------------- */

static void kill_some(struct shelf *c, unsigned round)
{
    unsigned victim = (unsigned)world_chaos(c->w, SHELF_MEMBERS);

    if (round % 8 != 0)
        return;
    for (unsigned i = 0; i < SHELF_MEMBERS; i++)
        if (!world_is_up(c->w, i))
            world_restart(c->w, i);
    if (round % 16 == 0)
        world_crash(c->w, victim);
    else
        world_kill(c->w, victim);
}

static uint64_t play(uint64_t seed)
{
    struct shelf *c = shelf_new(seed);
    struct agent a;
    unsigned acked = 0;
    uint64_t hash;

    agent_open(&a, c);
    for (unsigned round = 1; a.n < WRITES; round++) {
        assert_true(round < 20 * WRITES);
        if (!a.busy)
            write_next(&a);
        if (!a.busy)
            world_run(c->w, 200);
        assert_true(world_run_until(c->w, is_free, &a, 20000));
        if (a.n > 10)
            kill_some(c, round);
    }
    for (unsigned i = 0; i < SHELF_MEMBERS; i++)
        if (!world_is_up(c->w, i))
            world_restart(c->w, i);
    assert_true(world_run_until(c->w, all_reached, &a, 60000));
    for (unsigned i = 0; i < SHELF_SHAPES; i++) {
        const struct mk_view *v = mk_collection_view(a.readers[i]);

        check_view(&a, i, v);
        for (unsigned m = 0; m < SHELF_MEMBERS; m++)
            check_same(v, mk_surfaces_view(mk_host_surfaces(c->members[m].host), i));
    }
    for (unsigned n = 1; n <= WRITES; n++)
        acked += a.acked[n];
    assert_true(acked > WRITES / 2 && a.updates > 0);
    agent_close(&a);
    hash = world_hash(c->w);
    shelf_free(c);
    return hash;
}

static void test_kills(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++)
        assert_int_equal(play(seed), play(seed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kills)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
