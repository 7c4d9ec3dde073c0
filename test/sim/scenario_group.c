/* Named situations of a committee in the simulated world; each reads like a sentence.
 * The checkers of cluster.h run after every event of each. */
#include "cluster.h"
#include "collections/certificate.h"
#include "collections/surface.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct cluster *ready(const struct cluster_options *o)
{
    struct cluster *c = cluster_new(o);

    assert_true(cluster_until_ready(c, 10000));
    return c;
}

static void converge_and_end(struct cluster *c)
{
    assert_true(cluster_until_equal(c, 20000));
    cluster_check_durable(c);
    cluster_free(c);
}

static const char *why(struct cluster *c, unsigned i)
{
    static struct mk_group_status s;

    cluster_status(c, i, &s);
    return s.why;
}

static bool says(struct cluster *c, unsigned i, const char *part)
{
    return strstr(why(c, i), part) != NULL;
}

/* --- founding ----------------------------------------------------------------------------- */

static void test_founds_and_commits(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 1});

    (void)state;
    assert_int_equal(cluster_set(c, "a", "1", 3000), 0);
    assert_int_equal(cluster_set(c, "b", "2", 3000), 0);
    converge_and_end(c);
}

struct told {
    struct cluster *c;
    uint64_t index;
};

static bool all_know(void *arg)
{
    const struct told *t = arg;
    struct mk_group_status s;

    for (unsigned i = 0; i < t->c->n; i++) {
        cluster_status(t->c, i, &s);
        if (s.applied < t->index)
            return false;
    }
    return true;
}

/* Between two heartbeats, which are 100 ms apart: so that signatures do not wait for one. */
static void test_followers_hear_of_a_commit_soon(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 12});
    struct told t = {.c = c};
    struct mk_group_status s;

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        char key[8];

        world_run(c->w, 237); /* idle, and elsewhere in the heartbeat's rhythm each time */
        snprintf(key, sizeof key, "k%u", i);
        assert_int_equal(cluster_set(c, key, "1", 3000), 0);
        cluster_status(c, (unsigned)cluster_leader(c), &s);
        t.index = s.commit;
        assert_true(world_run_until(c->w, all_know, &t, 15));
    }
    converge_and_end(c);
}

/* A command's course is told to its sender, step by step, and to nobody else. */
static void test_a_write_is_traced(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 13});
    unsigned leader = (unsigned)cluster_leader(c);
    const struct mk_peer *sender = &c->peers[leader];
    struct mk_trace t, first = {0};

    (void)state;
    assert_false(mk_group_traced(cluster_group(c, 0), sender, &t));
    for (unsigned i = 0; i < c->n; i++)
        mk_group_trace(cluster_group(c, i), sender);
    assert_false(mk_group_traced(cluster_group(c, 0), sender, &t));
    assert_int_equal(cluster_set(c, "a", "1", 3000), 0);
    assert_true(cluster_until_equal(c, 1000));
    world_run(c->w, 10);
    for (unsigned i = 0; i < c->n; i++) {
        assert_true(mk_group_traced(cluster_group(c, i), sender, &t));
        assert_false(mk_group_traced(cluster_group(c, i), &c->peers[(leader + 1) % 3], &first));
        assert_true(t.index > 0);
        assert_true(0 < t.at_us[MK_TRACE_LOGGED]);
        assert_true(t.at_us[MK_TRACE_LOGGED] <= t.at_us[MK_TRACE_DURABLE]);
        assert_true(t.at_us[MK_TRACE_LOGGED] <= t.at_us[MK_TRACE_COMMITTED]);
        assert_true(t.at_us[MK_TRACE_COMMITTED] <= t.at_us[MK_TRACE_APPLIED]);
        if (i != leader) /* it commits only what its own disk has */
            assert_true(t.at_us[MK_TRACE_DURABLE] <= t.at_us[MK_TRACE_COMMITTED]);
    }
    world_run(c->w, 31000); /* it is forgotten */
    assert_int_equal(cluster_set(c, "b", "1", 3000), 0);
    assert_true(cluster_until_equal(c, 1000));
    for (unsigned i = 0; i < c->n; i++)
        assert_false(mk_group_traced(cluster_group(c, i), sender, &t));
    converge_and_end(c);
}

static void test_founds_alone(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 2, .n = 1});

    (void)state;
    assert_int_equal(cluster_set(c, "a", "1", 3000), 0);
    world_crash(c->w, 0);
    world_restart(c->w, 0);
    assert_true(cluster_until_ready(c, 5000));
    converge_and_end(c);
}

static void test_founds_over_tls(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 3, .tls = true});

    (void)state;
    assert_int_equal(cluster_set(c, "a", "1", 3000), 0);
    converge_and_end(c);
}

static void test_nobody_founds_without_being_told(void **state)
{
    struct cluster *c = cluster_new(&(struct cluster_options){.seed = 4, .unfounded = true});

    (void)state;
    assert_false(cluster_until_ready(c, 5000));
    assert_true(says(c, 1, "waits for the founding"));
    cluster_free(c);
}

static void test_founder_waits_for_all(void **state)
{
    struct cluster *c = cluster_new(&(struct cluster_options){.seed = 5});

    (void)state;
    world_isolate(c->w, 2);
    assert_false(cluster_until_ready(c, 5000));
    assert_true(says(c, 0, "to link before founding"));
    world_heal(c->w);
    assert_true(cluster_until_ready(c, 20000));
    assert_int_equal(cluster_set(c, "a", "1", 3000), 0);
    converge_and_end(c);
}

/* A member that was cut off when the others were given the Founding gets it later. */
static void test_the_founding_is_given_to_who_asks(void **state)
{
    struct cluster *c = cluster_new(&(struct cluster_options){.seed = 6});
    struct mk_group_status s = {0};

    (void)state;
    for (unsigned i = 0; i < 4000 && s.state == MK_GROUP_BLANK; i++) {
        world_step(c->w);
        cluster_status(c, 0, &s);
    }
    world_crash(c->w, 2);
    assert_true(cluster_until_ready(c, 10000));
    assert_int_equal(cluster_set(c, "a", "1", 3000), 0);
    world_restart(c->w, 2);
    converge_and_end(c);
}

/* --- crashes -------------------------------------------------------------------------------- */

static void test_leader_crash_fails_over(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 10});
    int leader = cluster_leader(c);
    uint64_t before;

    (void)state;
    assert_int_equal(cluster_set(c, "a", "1", 3000), 0);
    world_crash(c->w, (unsigned)leader);
    before = world_time(c->w);
    assert_true(cluster_until_ready(c, 5000));
    assert_true(world_time(c->w) - before < 1500);
    assert_int_not_equal(cluster_leader(c), leader);
    assert_int_equal(cluster_set(c, "b", "2", 3000), 0);
    world_restart(c->w, (unsigned)leader);
    converge_and_end(c);
}

static void test_all_crash_at_once(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 11});

    (void)state;
    assert_int_equal(cluster_set(c, "a", "1", 3000), 0);
    assert_int_equal(cluster_set(c, "a", "2", 3000), 0);
    for (unsigned i = 0; i < 3; i++)
        world_crash(c->w, i);
    for (unsigned i = 0; i < 3; i++)
        world_restart(c->w, i);
    assert_true(cluster_until_ready(c, 10000));
    assert_int_equal(cluster_set(c, "b", "3", 3000), 0);
    converge_and_end(c);
}

static void test_two_down_wait_and_say_so(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 12});

    (void)state;
    assert_int_equal(cluster_set(c, "a", "1", 3000), 0);
    world_kill(c->w, 1);
    world_kill(c->w, 2);
    world_run(c->w, 1500);
    assert_int_equal(cluster_command(c, 0, "set b 2", 3000), MK_ETIMEDOUT);
    assert_true(says(c, 0, "no majority: 1 of 3 members linked"));
    world_restart(c->w, 1);
    assert_true(cluster_until_ready(c, 10000));
    assert_int_equal(cluster_set(c, "c", "3", 3000), 0);
    assert_string_equal(cluster_value(c, 0, "b"), "2"); /* it waited, and then it went */
    world_restart(c->w, 2);
    converge_and_end(c);
}

static void test_isolated_leader_commits_nothing(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 13});
    unsigned old = (unsigned)cluster_leader(c);

    (void)state;
    assert_int_equal(cluster_set(c, "a", "1", 3000), 0);
    world_isolate(c->w, old);
    assert_int_equal(cluster_command(c, old, "set a old", 1000), MK_ETIMEDOUT);
    world_run(c->w, 3000);
    assert_int_not_equal(cluster_leader(c), (int)old);
    assert_int_equal(cluster_set(c, "a", "new", 3000), 0);
    assert_string_equal(cluster_value(c, old, "a"), "1");
    world_heal(c->w);
    assert_true(cluster_until_equal(c, 20000));
    cluster_free(c); /* "old" may follow "new" now: it was asked for, and is not known */
}

/* --- snapshots -------------------------------------------------------------------------------- */

static void test_snapshot_catches_up_who_was_away(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 20, .snapshot_entries = 40});
    struct mk_group_status s;
    unsigned away = cluster_follower(c);

    (void)state;
    world_crash(c->w, away);
    assert_true(cluster_write_many(c, 200));
    cluster_status(c, (unsigned)cluster_leader(c), &s);
    assert_true(s.snapshot > 100);
    world_restart(c->w, away);
    assert_true(cluster_until_equal(c, 20000));
    cluster_status(c, away, &s);
    assert_true(s.snapshot > 100);
    assert_true(cluster_write_many(c, 20));
    converge_and_end(c);
}

static void test_restart_from_snapshot_and_log(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 21, .snapshot_entries = 40});

    (void)state;
    assert_true(cluster_write_many(c, 110));
    for (unsigned i = 0; i < 3; i++)
        world_crash(c->w, i);
    for (unsigned i = 0; i < 3; i++)
        world_restart(c->w, i);
    assert_true(cluster_until_ready(c, 10000));
    assert_true(cluster_write_many(c, 5));
    converge_and_end(c);
}

/* --- lost disks ----------------------------------------------------------------------------------
 */

static void test_lost_disk_is_refused_its_vote(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 30});
    struct mk_group_status s;

    (void)state;
    assert_int_equal(cluster_set(c, "a", "1", 3000), 0);
    assert_true(cluster_until_equal(c, 5000));
    world_kill(c->w, 1);
    world_crash(c->w, 2);
    cluster_lose_disk(c, 2);
    world_run(c->w, 5000);
    cluster_status(c, 2, &s);
    assert_int_equal(s.state, MK_GROUP_LOST_DISK);
    assert_true(says(c, 2, "waits for replacement"));
    assert_int_equal(cluster_command(c, 0, "set c 3", 2000), MK_ETIMEDOUT); /* its vote is gone */
    assert_true(says(c, 0, "lost the disk"));
    world_restart(c->w, 1);
    assert_true(cluster_until_ready(c, 10000));
    assert_true(cluster_until_settled(c, 10000));
    assert_int_equal(cluster_set(c, "b", "2", 3000), 0);
    converge_and_end(c);
}

/* --- sessions
 * ---------------------------------------------------------------------------------------- */

static void test_a_retry_gives_the_first_answer(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 40});
    unsigned leader = (unsigned)cluster_leader(c);
    char first[64] = "", again[64] = "";

    (void)state;
    assert_int_equal(cluster_command_as(c, leader, 5, 1, "add 0", 3000, first), 0);
    assert_int_equal(cluster_command_as(c, leader, 5, 1, "add 0", 3000, again), 0);
    assert_string_equal(first, "1");
    assert_string_equal(again, "1");
    assert_int_equal(cluster_command_as(c, leader, 5, 2, "add 0", 3000, again), 0);
    assert_string_equal(again, "2");
    assert_int_equal(cluster_command_as(c, leader, 5, 1, "add 0", 3000, again), MK_EUNKNOWN);
    assert_int_equal(cluster_command_as(c, leader, 6, 9, "add 0", 3000, again), MK_EUNKNOWN);
    assert_int_equal(cluster_command_as(c, leader, 5, 3, "nonsense", 3000, again), MK_EREFUSED);
    converge_and_end(c);
}

static void test_a_retry_survives_fail_over_and_snapshot(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 41, .snapshot_entries = 20});
    unsigned asker = cluster_follower(c);
    char answer[64] = "";

    (void)state;
    assert_int_equal(cluster_command_as(c, asker, 5, 1, "add 3", 3000, answer), 0);
    assert_true(cluster_write_many(c, 60));
    for (unsigned i = 0; i < 3; i++)
        world_crash(c->w, i);
    for (unsigned i = 0; i < 3; i++)
        world_restart(c->w, i);
    assert_true(cluster_until_ready(c, 10000));
    assert_int_equal(cluster_command_as(c, asker, 5, 1, "add 3", 3000, answer), 0);
    assert_string_equal(answer, "1");
    converge_and_end(c);
}

/* --- certificates
 * ----------------------------------------------------------------------------------------- */

struct certified {
    struct cluster *c;
    uint64_t index;
};

static bool all_certified(void *arg)
{
    struct certified *x = arg;

    for (unsigned i = 0; i < x->c->n; i++) {
        struct mk_group *g = cluster_group(x->c, i);
        const struct mk_certificate *cert;

        if (mk_group_certificate(g, &mk_group_surfaces(g)->v[CLUSTER_MAP].id, &cert) != 0 ||
            cert->head.index < x->index)
            return false;
    }
    return true;
}

static void test_certificates_carry_a_majority(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 50});
    struct certified x = {c, 0};
    const struct mk_certificate *cert;
    struct mk_group *g;

    (void)state;
    assert_true(cluster_write_many(c, 30));
    x.index = 30;
    assert_true(world_run_until(c->w, all_certified, &x, 3000));
    g = cluster_group(c, 0);
    assert_int_equal(mk_group_certificate(g, &mk_group_surfaces(g)->v[CLUSTER_MAP].id, &cert), 0);
    assert_int_equal(mk_certificate_check(cert, &c->roster, NULL), 0);
    assert_true(cert->signatures.n >= 2);
    converge_and_end(c);
}

static void test_certificates_go_on_after_a_restart(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 51});
    struct certified x = {c, 13};

    (void)state;
    assert_true(cluster_write_many(c, 12));
    for (unsigned i = 0; i < 3; i++)
        world_crash(c->w, i);
    for (unsigned i = 0; i < 3; i++)
        world_restart(c->w, i);
    assert_true(cluster_until_ready(c, 10000));
    assert_int_equal(cluster_set(c, "one more", "x", 3000), 0);
    assert_true(world_run_until(c->w, all_certified, &x, 5000));
    cluster_free(c);
}

/* --- clients
 * --------------------------------------------------------------------------------------------------
 */

static bool idle(void *arg)
{
    return cluster_workload_idle(arg);
}

static void test_clients_see_one_register(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 60, .clients = 3});

    (void)state;
    cluster_workload(c, 3, 5);
    world_run(c->w, 2000);
    world_crash(c->w, (unsigned)cluster_leader(c));
    world_run(c->w, 3000);
    for (unsigned i = 0; i < 3; i++)
        if (!world_is_up(c->w, i))
            world_restart(c->w, i);
    world_run(c->w, 1000);
    cluster_workload_stop(c);
    assert_true(world_run_until(c->w, idle, c, 30000));
    assert_true(cluster_operations(c) > 100);
    cluster_check_history(c);
    converge_and_end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_founds_and_commits),
        cmocka_unit_test(test_followers_hear_of_a_commit_soon),
        cmocka_unit_test(test_a_write_is_traced),
        cmocka_unit_test(test_founds_alone),
        cmocka_unit_test(test_founds_over_tls),
        cmocka_unit_test(test_nobody_founds_without_being_told),
        cmocka_unit_test(test_founder_waits_for_all),
        cmocka_unit_test(test_the_founding_is_given_to_who_asks),
        cmocka_unit_test(test_leader_crash_fails_over),
        cmocka_unit_test(test_all_crash_at_once),
        cmocka_unit_test(test_two_down_wait_and_say_so),
        cmocka_unit_test(test_isolated_leader_commits_nothing),
        cmocka_unit_test(test_snapshot_catches_up_who_was_away),
        cmocka_unit_test(test_restart_from_snapshot_and_log),
        cmocka_unit_test(test_lost_disk_is_refused_its_vote),
        cmocka_unit_test(test_a_retry_gives_the_first_answer),
        cmocka_unit_test(test_a_retry_survives_fail_over_and_snapshot),
        cmocka_unit_test(test_certificates_carry_a_majority),
        cmocka_unit_test(test_certificates_go_on_after_a_restart),
        cmocka_unit_test(test_clients_see_one_register),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
