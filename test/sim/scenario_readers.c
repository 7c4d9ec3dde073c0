/* Readers and clients that are in no committee, against the real group: what they are
 * shown is what the members have and have certified, whatever happens to members. */
#include "collections/surface.h"
#include "readers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static uint64_t seed_shift; /* each test has a seed of its own; the argument moves them all */

static struct cluster *ready(struct cluster_options o)
{
    struct cluster *c;

    o.seed += seed_shift;
    c = cluster_new(&o);

    assert_true(cluster_until_ready(c, 10000));
    return c;
}

static void write_some(struct cluster *c, unsigned from, unsigned n)
{
    char key[16], value[16], tick[24];

    for (unsigned i = from; i < from + n; i++) {
        snprintf(key, sizeof key, "k%u", i % 23);
        snprintf(value, sizeof value, "%u", i);
        assert_int_equal(cluster_set(c, key, value, 5000), 0);
        snprintf(tick, sizeof tick, "tick %u", i);
        assert_int_equal(cluster_command(c, (unsigned)cluster_leader(c), tick, 5000), 0);
    }
}

/* --- following --------------------------------------------------------------------------- */

static void test_a_reader_keeps_up(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 101});
    struct reader *r = reader_new(c, READER_NODE);

    (void)state;
    write_some(c, 0, 20);
    r->map = reader_follow(r, CLUSTER_MAP);
    r->ticks = reader_follow(r, CLUSTER_TICKS);
    assert_true(reader_until_caught_up(r, 8000));
    write_some(c, 20, 20);
    assert_true(reader_until_caught_up(r, 3000));
    world_run(c->w, 3000);
    assert_int_equal(r->ticks_seen, 40);
    assert_int_equal(r->snapshots, 1);
    assert_int_equal(r->n_said, 0);
    reader_free(r);
    cluster_free(c);
}

/* A component that nobody has written to has a certified state too: an empty one. */
static void test_an_empty_map_can_be_read(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 102});
    struct reader *r = reader_new(c, READER_NODE);

    (void)state;
    r->map = reader_follow(r, CLUSTER_MAP);
    assert_true(reader_until_caught_up(r, 15000));
    assert_int_equal(mk_follow_map(r->map)->count, 0);
    world_run(c->w, 60000);
    assert_int_equal(r->n_said, 0); /* heads are renewed: nobody is silent */
    reader_free(r);
    cluster_free(c);
}

static void test_a_reader_outlives_members(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 103});
    struct reader *r = reader_new(c, READER_NODE);

    (void)state;
    write_some(c, 0, 10);
    r->map = reader_follow(r, CLUSTER_MAP);
    r->ticks = reader_follow(r, CLUSTER_TICKS);
    assert_true(reader_until_caught_up(r, 8000));
    for (unsigned i = 0; i < c->n; i++) {
        world_crash(c->w, i);
        assert_true(cluster_until_ready(c, 10000));
        write_some(c, 10 + 5 * i, 5);
        assert_true(reader_until_caught_up(r, 30000));
        world_restart(c->w, i);
        assert_true(cluster_until_equal(c, 20000));
    }
    assert_int_equal(r->snapshots, 1);
    assert_int_equal(r->gaps, 0);
    assert_int_equal(r->failed, 0);
    reader_free(r);
    cluster_free(c);
}

static void test_all_restart_under_a_reader(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 104, .snapshot_entries = 20});
    struct reader *r = reader_new(c, READER_NODE), *late;

    (void)state;
    write_some(c, 0, 30);
    r->map = reader_follow(r, CLUSTER_MAP);
    assert_true(reader_until_caught_up(r, 8000));
    for (unsigned i = 0; i < c->n; i++)
        world_crash(c->w, i);
    world_run(c->w, 2000);
    for (unsigned i = 0; i < c->n; i++)
        world_restart(c->w, i);
    assert_true(cluster_until_ready(c, 10000));
    late = reader_new(c, READER_NODE + 1); /* nothing was written since: heads are renewed */
    late->map = reader_follow(late, CLUSTER_MAP);
    assert_true(reader_until_caught_up(late, 20000));
    write_some(c, 30, 5);
    assert_true(reader_until_caught_up(r, 30000));
    assert_true(reader_until_caught_up(late, 5000));
    reader_free(r);
    reader_free(late);
    cluster_free(c);
}

/* A member that was away gets a snapshot; who reads from it goes on. */
static void test_a_member_installs_a_snapshot(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 105, .snapshot_entries = 20});
    struct reader *r = reader_new(c, READER_NODE);
    unsigned away = cluster_follower(c);

    (void)state;
    write_some(c, 0, 5);
    world_isolate(c->w, away);
    write_some(c, 5, 60);
    world_heal(c->w);
    r->map = reader_follow(r, CLUSTER_MAP);
    assert_true(reader_until_caught_up(r, 30000));
    assert_true(cluster_until_equal(c, 20000));
    for (unsigned i = 0; i < c->n; i++)
        if (i != away)
            mk_net_undial(&r->dials[i]);
    for (unsigned i = 0; i < c->n; i++)
        if (i != away && mk_net_link(r->net, &c->peers[i]) != NULL)
            mk_link_close(mk_net_link(r->net, &c->peers[i]), MK_CLOSE_SHUTDOWN, NULL);
    write_some(c, 65, 5);
    assert_true(reader_until_caught_up(r, 30000)); /* through the one that was away */
    reader_free(r);
    cluster_free(c);
}

static void test_a_reader_over_tls(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 106, .tls = true});
    struct reader *r = reader_new(c, READER_NODE);

    (void)state;
    write_some(c, 0, 10);
    r->map = reader_follow(r, CLUSTER_MAP);
    assert_true(reader_until_caught_up(r, 8000));
    write_some(c, 10, 10);
    assert_true(reader_until_caught_up(r, 3000));
    reader_free(r);
    cluster_free(c);
}

/* Crashes, cuts and breaks at random while commands come; then all is well again, and every
 * reader stands where the members stand, having been shown nothing out of order. */
static void chaos_step(struct cluster *c)
{
    unsigned i = (unsigned)world_chaos(c->w, c->n);

    switch (world_chaos(c->w, 6)) {
    case 0:
        if (world_is_up(c->w, i))
            world_crash(c->w, i);
        break;
    case 1:
        world_isolate(c->w, i);
        break;
    case 2:
        world_heal(c->w);
        break;
    case 3:
        world_break(c->w, i, READER_NODE + (unsigned)world_chaos(c->w, 3));
        break;
    default:
        for (unsigned m = 0; m < c->n; m++)
            if (!world_is_up(c->w, m))
                world_restart(c->w, m);
        break;
    }
}

static void test_readers_in_chaos(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 107, .snapshot_entries = 60});
    struct reader *r[3];
    char command[24];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        r[i] = reader_new(c, READER_NODE + i);
        r[i]->map = reader_follow(r[i], CLUSTER_MAP);
        r[i]->ticks = reader_follow(r[i], CLUSTER_TICKS);
    }
    for (unsigned step = 0; step < 60; step++) {
        int leader = cluster_leader(c);

        chaos_step(c);
        if (step % 2 == 0)
            snprintf(command, sizeof command, "tick %u", step);
        else
            snprintf(command, sizeof command, "set k%u %u", step % 9, step);
        if (leader >= 0 && cluster_group(c, (unsigned)leader) != NULL)
            cluster_command(c, (unsigned)leader, command, 300);
        else
            world_run(c->w, 300);
    }
    world_heal(c->w);
    for (unsigned m = 0; m < c->n; m++)
        if (!world_is_up(c->w, m))
            world_restart(c->w, m);
    assert_true(cluster_until_ready(c, 30000));
    write_some(c, 0, 5);
    assert_true(cluster_until_equal(c, 30000));
    for (unsigned i = 0; i < 3; i++) {
        assert_true(reader_until_caught_up(r[i], 60000));
        assert_int_equal(r[i]->failed, 0);
        reader_free(r[i]);
    }
    cluster_free(c);
}

/* --- executing ------------------------------------------------------------------------------ */

static void test_both_steps(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 110});
    struct reader *r = reader_new(c, READER_NODE);
    struct call x[64];

    (void)state;
    assert_int_equal(reader_execute(r, &x[0], "set a 1", MK_WANT_COMMITTED), 0);
    assert_int_equal(x[0].n_commits, 1);
    assert_int_equal(reader_execute(r, &x[0], "set a 2", MK_WANT_CERTIFIED), 0);
    assert_int_equal(x[0].n_commits, 1);
    assert_int_equal(reader_execute(r, &x[0], "set a 2", MK_WANT_CERTIFIED), 0); /* unchanged */
    assert_int_equal(x[0].n_commits, 0);
    assert_int_equal(reader_execute(r, &x[0], "nonsense", MK_WANT_CERTIFIED), MK_EREFUSED);
    assert_string_equal(x[0].text, "no such command: nonsense");
    for (unsigned i = 0; i < 64; i++)
        reader_start(r, &x[i], i % 2 ? "add 7" : "tick 9", MK_WANT_CERTIFIED, 20000);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(reader_finish(r, &x[i]), 0);
    assert_int_equal(reader_query(r, &x[0], "count 7", true), 0);
    assert_string_equal(x[0].text, "32");
    assert_int_equal(reader_query(r, &x[0], "get a", false), 0);
    assert_int_equal(r->n_said, 0);
    reader_free(r);
    cluster_free(c);
}

/* Whatever dies, a command that is answered was done once. */
static void test_once(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 111});
    struct reader *r = reader_new(c, READER_NODE);
    struct call x[40], q;

    (void)state;
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < 10; i++)
            reader_start(r, &x[round * 10 + i], "add 1",
                         i % 2 ? MK_WANT_CERTIFIED : MK_WANT_COMMITTED, 60000);
        world_run(c->w, round);
        world_crash(c->w, (unsigned)cluster_leader(c));
        assert_true(cluster_until_ready(c, 10000));
        for (unsigned i = 0; i < c->n; i++)
            if (!world_is_up(c->w, i))
                world_restart(c->w, i);
        for (unsigned i = 0; i < 10; i++)
            assert_int_equal(reader_finish(r, &x[round * 10 + i]), 0);
        assert_true(cluster_until_equal(c, 20000));
    }
    assert_int_equal(reader_query(r, &q, "count 1", true), 0);
    assert_string_equal(q.text, "40");
    reader_free(r);
    cluster_free(c);
}

static void test_no_majority_is_said(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 112});
    struct reader *r = reader_new(c, READER_NODE);
    struct call x;

    (void)state;
    assert_int_equal(reader_execute(r, &x, "set a 1", MK_WANT_CERTIFIED), 0);
    world_kill(c->w, 1);
    world_kill(c->w, 2);
    world_run(c->w, 2000);
    reader_start(r, &x, "set a 2", MK_WANT_CERTIFIED, 8000);
    assert_int_equal(reader_finish(r, &x), MK_ETIMEDOUT);
    assert_non_null(strstr(x.text, "no majority"));
    reader_free(r);
    cluster_free(c);
}

/* The member that a client uses lives, hears it, and can do nothing for it, since it is cut off
 * from the others: in both directions, or in one of them only. The client leaves it. */
static void test_a_member_that_answers_nothing_is_left(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 9; k++) {
        struct cluster *c = ready((struct cluster_options){.seed = 120 + k});
        struct reader *r = reader_new(c, READER_NODE);
        unsigned who = k % 3; /* each of them, for one of them is used */
        struct call x;
        uint64_t at;

        assert_int_equal(reader_execute(r, &x, "set a 1", MK_WANT_COMMITTED), 0);
        for (unsigned i = 0; i < c->n; i++) {
            if (i != who && k / 3 != 1)
                world_cut(c->w, who, i);
            if (i != who && k / 3 != 2)
                world_cut(c->w, i, who);
        }
        at = world_time(c->w);
        reader_start(r, &x, "set a 2", MK_WANT_COMMITTED, 20000);
        assert_int_equal(reader_finish(r, &x), 0);
        print_message("# %u cut off: %llu ms\n", who, (unsigned long long)(world_time(c->w) - at));
        assert_true(world_time(c->w) - at < 4000);
        world_heal(c->w);
        reader_free(r);
        cluster_free(c);
    }
}

static void test_single_keys(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 113});
    struct reader *r = reader_new(c, READER_NODE);
    struct call x;

    (void)state;
    write_some(c, 0, 30);
    assert_int_equal(reader_get(r, &x, "k3", 10000), 0);
    assert_string_equal(x.text, "26");
    assert_int_equal(reader_get(r, &x, "nobody", 10000), MK_ENOTFOUND);
    world_run(c->w, 60000); /* nobody reads: heads grow old */
    assert_int_equal(reader_get(r, &x, "k3", 7000), 0);
    assert_string_equal(x.text, "26");
    reader_free(r);
    cluster_free(c);
}

/* scenario_readers [SHIFT]: other seeds. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_reader_keeps_up),
        cmocka_unit_test(test_an_empty_map_can_be_read),
        cmocka_unit_test(test_a_reader_outlives_members),
        cmocka_unit_test(test_all_restart_under_a_reader),
        cmocka_unit_test(test_a_member_installs_a_snapshot),
        cmocka_unit_test(test_a_reader_over_tls),
        cmocka_unit_test(test_readers_in_chaos),
        cmocka_unit_test(test_both_steps),
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_no_majority_is_said),
        cmocka_unit_test(test_a_member_that_answers_nothing_is_left),
        cmocka_unit_test(test_single_keys),
    };

    for (const char *d = argc > 1 ? argv[1] : ""; *d >= '0' && *d <= '9'; d++)
        seed_shift = seed_shift * 10 + (uint64_t)(*d - '0');
    return cmocka_run_group_tests(tests, NULL, NULL);
}
