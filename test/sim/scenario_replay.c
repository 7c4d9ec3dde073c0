/* A member's log applied again, beside the running member: replay.h. */
#include "cluster.h"
#include "toy.h"

#include <mosaik/replay.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct cluster *written(const struct cluster_options *o, int n)
{
    struct cluster *c = cluster_new(o);

    assert_true(cluster_until_ready(c, 10000));
    for (int i = 0; i < n; i++) {
        char key[16];

        snprintf(key, sizeof key, "k%d", i % 7);
        assert_int_equal(cluster_set(c, key, key, 5000), 0);
    }
    assert_true(cluster_until_equal(c, 20000));
    world_run(c->w, 500);
    return c;
}

static int open_with(struct cluster *c, unsigned i, struct mk_machine *m, struct mk_replay **ret,
                     struct mk_fault *fault)
{
    struct mk_replay_options o = {
        .stable_id = c->stable_id, .deployment = c->deployment, .roster = &c->roster, .machine = m};

    return mk_replay_open(cluster_process(c, i)->env, ret, &o, fault);
}

static struct mk_replay *replay_of(struct cluster *c, unsigned i)
{
    struct mk_fault fault;
    struct mk_replay *r;

    if (open_with(c, i, toy_new(), &r, &fault) != 0)
        fail_msg("%s", fault.text);
    return r;
}

/* A machine that leaves out one set. */
static struct mk_machine_ops forgetful_ops;
static int (*honest_apply)(struct mk_machine *m, struct mk_apply *a, struct mk_bytes command);
static uint64_t forgotten;

static int forgetful_apply(struct mk_machine *m, struct mk_apply *a, struct mk_bytes command)
{
    return mk_apply_index(a) == forgotten ? 0 : honest_apply(m, a, command);
}

static struct mk_machine *forgetful_new(uint64_t index)
{
    struct mk_machine *m = toy_new();

    forgotten = index;
    honest_apply = m->ops->apply;
    forgetful_ops = *m->ops;
    forgetful_ops.apply = forgetful_apply;
    m->ops = &forgetful_ops;
    return m;
}

static void test_members_replay_alike(void **state)
{
    struct cluster *c = written(&(struct cluster_options){.seed = 5}, 30);
    struct mk_replay *r[3];
    struct mk_replay_step a, b;
    struct mk_replay_surface s;
    const struct mk_replay_step *v;

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        r[i] = replay_of(c, i);
    assert_false(mk_replay_differ(r[0], r[1], &a, &b));
    assert_false(mk_replay_differ(r[1], r[2], &a, &b));
    assert_int_equal(mk_replay_snapshot(r[0]), 0);
    assert_true(mk_replay_steps(r[0], &v) >= 32);
    assert_int_equal(v[0].index, 1);
    assert_int_equal(mk_replay_surfaces(r[0]), 2);
    mk_replay_surface(r[0], &s, CLUSTER_MAP);
    assert_string_equal(s.kind, "map");
    assert_int_equal(s.index, 7); /* setting a key to what it is makes no commit */
    for (unsigned i = 0; i < 3; i++)
        mk_replay_close(r[i]);
    cluster_free(c);
}

static void test_the_first_divergence_is_named(void **state)
{
    struct cluster *c = written(&(struct cluster_options){.seed = 6}, 7);
    struct mk_replay *honest = replay_of(c, 0), *other;
    struct mk_replay_step a, b;
    struct mk_fault fault;
    const struct mk_replay_step *v;
    size_t n = mk_replay_steps(honest, &v);
    uint64_t at = 0;

    (void)state;
    for (size_t i = 1; i < n; i++) /* the last set that changed something */
        if (!mk_id_eq(&v[i].hash, &v[i - 1].hash))
            at = v[i].index;
    assert_true(at > 0);
    assert_int_equal(open_with(c, 1, forgetful_new(at), &other, &fault), 0);
    assert_true(mk_replay_differ(honest, other, &a, &b));
    assert_int_equal(a.index, at);
    assert_int_equal(b.index, at);
    mk_replay_close(honest);
    mk_replay_close(other);
    cluster_free(c);
}

/* The machine's own state shows in no commit; it is compared at each 64th entry. */
static void test_a_hidden_divergence_is_named(void **state)
{
    struct cluster *c = written(&(struct cluster_options){.seed = 9}, 3);
    struct mk_replay *honest, *other;
    struct mk_replay_step a, b;
    struct mk_fault fault;
    const struct mk_replay_step *v;
    uint64_t first;

    (void)state;
    honest = replay_of(c, 0);
    first = mk_replay_steps(honest, &v) + 1;
    mk_replay_close(honest);
    for (unsigned i = 0; i < 70; i++)
        assert_int_equal(cluster_command(c, (unsigned)cluster_leader(c), "add 3", 3000), 0);
    assert_true(cluster_until_equal(c, 5000));
    honest = replay_of(c, 0);
    assert_int_equal(open_with(c, 1, forgetful_new(first + 4), &other, &fault), 0);
    assert_true(mk_replay_differ(honest, other, &a, &b));
    assert_int_equal(a.index, 64);
    assert_true(mk_id_eq(&a.hash, &b.hash));
    mk_replay_close(honest);
    mk_replay_close(other);
    cluster_free(c);
}

static void test_a_cut_log_begins_with_its_snapshot(void **state)
{
    struct cluster *c = written(&(struct cluster_options){.seed = 7, .snapshot_entries = 20}, 70);
    struct mk_replay *a = replay_of(c, 0), *b = replay_of(c, 1), *other;
    struct mk_replay_step x, y;
    const struct mk_replay_step *v;
    struct mk_fault fault;

    (void)state;
    assert_true(mk_replay_snapshot(a) >= 40);
    assert_true(mk_replay_steps(a, &v) > 0);
    assert_int_equal(v[0].index, mk_replay_snapshot(a) + 1);
    assert_false(mk_replay_differ(a, b, &x, &y));
    assert_int_equal(open_with(c, 2, forgetful_new(5), &other, &fault), 0); /* before the cut */
    assert_false(mk_replay_differ(a, other, &x, &y));
    mk_replay_close(a);
    mk_replay_close(b);
    mk_replay_close(other);
    cluster_free(c);
}

/* Another machine would make something else of it, and call that a divergence. */
static void test_another_machines_log_is_not_replayed(void **state)
{
    struct cluster *c = written(&(struct cluster_options){.seed = 9}, 1);
    struct mk_fault fault;
    struct mk_replay *r;

    (void)state;
    assert_int_equal(open_with(c, 0, toy_new_version(2), &r, &fault), MK_ENOTSUP);
    assert_non_null(strstr(fault.text, "the log was written by machine toy version 1 ("));
    cluster_free(c);
}

static void test_what_is_not_there_is_said(void **state)
{
    struct cluster *c = written(&(struct cluster_options){.seed = 8}, 1);
    struct mk_fault fault;
    struct mk_replay *r;

    (void)state;
    c->deployment = mk_id_of_text(MK_STR("another"));
    assert_int_equal(open_with(c, 0, toy_new(), &r, &fault), MK_ENOTFOUND);
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_replay_alike),
        cmocka_unit_test(test_the_first_divergence_is_named),
        cmocka_unit_test(test_a_hidden_divergence_is_named),
        cmocka_unit_test(test_a_cut_log_begins_with_its_snapshot),
        cmocka_unit_test(test_another_machines_log_is_not_replayed),
        cmocka_unit_test(test_what_is_not_there_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
