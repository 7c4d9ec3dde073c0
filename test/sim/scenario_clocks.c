/* Clocks of one member that run fast or slow, jump ahead and back: machine time follows
 * the majority and never goes back (cluster.h checks it after every event), sessions
 * keep their memory, and nothing is committed twice. */
#include "cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define WALL_START_MS UINT64_C(1700000000000) /* of the simulated world */
#define HOUR_MS 3600000

static struct cluster *ready(uint64_t seed, unsigned clients)
{
    struct cluster *c =
        cluster_new(&(struct cluster_options){.seed = seed, .clients = clients, .n = 3});

    assert_true(cluster_until_ready(c, 10000));
    return c;
}

static uint64_t true_ms(struct cluster *c)
{
    return WALL_START_MS + world_time(c->w);
}

static uint64_t time_of(struct cluster *c, unsigned i)
{
    struct mk_group_status s;

    cluster_status(c, i, &s);
    return s.time_ms;
}

static bool has_time(void *arg)
{
    struct cluster *c = arg;

    for (unsigned i = 0; i < c->n; i++)
        if (time_of(c, i) == 0)
            return false;
    return true;
}

static void restart_all(struct cluster *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        world_kill(c->w, i);
        world_restart(c->w, i);
    }
    assert_true(cluster_until_ready(c, 10000));
    assert_true(cluster_until_equal(c, 10000));
}

/* No member's time is far from the truth: ms may be late by what passed since the last
 * Advance, and by no more than a little early. */
static void assert_near(struct cluster *c, uint64_t late_ms)
{
    for (unsigned i = 0; i < c->n; i++) {
        assert_true(time_of(c, i) <= true_ms(c) + 2000);
        assert_true(time_of(c, i) + late_ms >= true_ms(c));
    }
}

/* One session, one number: whatever the clocks do, the first answer comes again. */
static void add_again(struct cluster *c, uint64_t number, const char *expected)
{
    char answer[64] = "";

    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(cluster_command_as(c, 2, 77, number, "add 1", 5000, answer), 0);
        assert_string_equal(answer, expected);
    }
}

/* The clock of one jumps while it runs, hours ahead and hours back. */
static void test_jumps_of_a_running_member(void **state)
{
    static const int64_t jumps[] = {2 * HOUR_MS, -5 * HOUR_MS, 48 * HOUR_MS, -100 * HOUR_MS};
    struct cluster *c = ready(301, 0);
    char expected[8];

    (void)state;
    assert_true(world_run_until(c->w, has_time, c, 10000));
    for (unsigned i = 0; i < 4; i++) {
        world_clock_jump(c->w, i == 3 ? (unsigned)cluster_leader(c) : i, jumps[i]);
        snprintf(expected, sizeof expected, "%u", i + 1);
        add_again(c, i + 1, expected);
        world_run(c->w, 3000);
        assert_near(c, 30000);
    }
    assert_true(cluster_until_equal(c, 10000));
    cluster_free(c);
}

/* A member that begins with a wrong clock proposes it; the median is not moved by one. */
static void jump_and_restart(uint64_t seed, int64_t jump)
{
    struct cluster *c = ready(seed, 0);

    assert_true(world_run_until(c->w, has_time, c, 10000));
    add_again(c, 1, "1");
    world_clock_jump(c->w, 1, jump);
    restart_all(c);
    add_again(c, 1, "1"); /* the session is not an hour old */
    add_again(c, 2, "2");
    world_run(c->w, 10000);
    restart_all(c);
    add_again(c, 2, "2");
    assert_near(c, 60000);
    cluster_free(c);
}

static void test_a_member_wakes_up_in_the_future(void **state)
{
    (void)state;
    jump_and_restart(302, 300 * HOUR_MS);
}

static void test_a_member_wakes_up_in_the_past(void **state)
{
    (void)state;
    jump_and_restart(303, -300 * HOUR_MS);
}

/* A majority's clocks go back: time stands still, and goes on when they have caught up;
 * it does not go back. */
static void test_a_majority_goes_back(void **state)
{
    struct cluster *c = ready(304, 0);
    uint64_t before;

    (void)state;
    assert_true(world_run_until(c->w, has_time, c, 10000));
    assert_true(cluster_until_equal(c, 5000));
    before = time_of(c, 0);
    world_clock_jump(c->w, 0, -HOUR_MS);
    world_clock_jump(c->w, 1, -HOUR_MS);
    restart_all(c);
    add_again(c, 1, "1");
    for (unsigned i = 0; i < c->n; i++) {
        assert_true(time_of(c, i) >= before);
        assert_true(time_of(c, i) <= true_ms(c) + 2000);
    }
    cluster_free(c);
}

static bool idle(void *arg)
{
    return cluster_workload_idle(arg);
}

/* The monotonic clock of one runs 5 % fast, of another 5 % slow, and wall clocks jump,
 * under clients; histories stay linearizable, no addition is done twice. */
static void test_slew_under_load(void **state)
{
    struct cluster *c = ready(305, 3);

    (void)state;
    world_clock_drift(c->w, 0, 50000);
    world_clock_drift(c->w, 1, -50000);
    cluster_workload(c, 3, 5);
    for (unsigned i = 0; i < 12; i++) {
        world_run(c->w, 700);
        world_clock_jump(c->w, i % 3, (i % 2 ? -1 : 1) * (int64_t)(i + 1) * 600000);
        if (i % 4 == 3) {
            unsigned down = i / 4 % 3;

            world_crash(c->w, down);
            world_run(c->w, 400);
            world_restart(c->w, down);
        }
    }
    cluster_workload_stop(c);
    assert_true(world_run_until(c->w, idle, c, 30000));
    assert_true(cluster_operations(c) > 300);
    cluster_check_history(c);
    assert_true(cluster_until_equal(c, 10000));
    cluster_free(c);
}

/* Machine time stands still while nobody reads, and makes up for hours when a member restarts. */
static void test_a_session_used_just_now_is_kept(void **state)
{
    struct cluster *c = cluster_new(&(struct cluster_options){.seed = 779});
    char first[64] = "", again[64] = "";
    struct mk_group_status before, after;
    unsigned restarted;

    (void)state;
    assert_true(cluster_until_ready(c, 10000));
    assert_true(cluster_until_equal(c, 10000));
    world_run(c->w, 67 * 60000);
    cluster_status(c, (unsigned)cluster_leader(c), &before);
    assert_int_equal(cluster_command_as(c, 0, 7, 1, "add x", 5000, first), 0);
    assert_int_equal(cluster_command_as(c, 0, 8, 1, "add y", 5000, NULL), 0);
    restarted = cluster_follower(c);
    world_kill(c->w, restarted);
    world_restart(c->w, restarted);
    world_run(c->w, 3000);
    cluster_status(c, (unsigned)cluster_leader(c), &after);
    assert_true(after.time_ms > before.time_ms + MK_SESSION_LIFE_MS);
    assert_int_equal(cluster_command_as(c, 0, 7, 1, "add x", 5000, again), 0);
    assert_string_equal(again, first);
    assert_int_equal(cluster_command_as(c, 0, 8, 2, "add y", 5000, NULL), 0);
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_session_used_just_now_is_kept),
        cmocka_unit_test(test_jumps_of_a_running_member),
        cmocka_unit_test(test_a_member_wakes_up_in_the_future),
        cmocka_unit_test(test_a_member_wakes_up_in_the_past),
        cmocka_unit_test(test_a_majority_goes_back),
        cmocka_unit_test(test_slew_under_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
