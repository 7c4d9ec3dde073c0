/* Reads under a leader's lease (src/consensus/lease.c): without a round while the promises last,
 * never after; a transfer, broken links, restarts, clocks that drift within the bound. What the
 * clients saw is judged at the end. */
#include "cluster.h"
#include "group/group_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LEASE_MS 200u

static struct cluster *ready(uint64_t seed, unsigned lease_ms)
{
    struct cluster *c = cluster_new(
        &(struct cluster_options){.seed = seed, .n = 3, .clients = 3, .lease_ms = lease_ms});

    assert_true(cluster_until_ready(c, 10000));
    return c;
}

static uint64_t leased(struct cluster *c)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < c->n; i++)
        n += cluster_group(c, i) != NULL ? cluster_group(c, i)->n_leased : 0;
    return n;
}

static bool idle(void *arg)
{
    return cluster_workload_idle(arg);
}

static void end(struct cluster *c)
{
    world_heal(c->w);
    cluster_snatch(c, 0);
    cluster_workload_stop(c);
    assert_true(world_run_until(c->w, idle, c, 60000));
    assert_true(cluster_until_equal(c, 20000));
    cluster_check_history(c);
    cluster_free(c);
}

/* The leader and the first client on one side. */
static uint64_t side_of(struct cluster *c, int leader)
{
    return 1ull << leader | 1ull << c->n;
}

static void test_most_reads_need_no_round(void **state)
{
    struct cluster *c = ready(501, LEASE_MS);
    uint64_t all;

    (void)state;
    cluster_workload(c, 2, 2);
    world_run(c->w, 5000);
    all = cluster_operations(c);
    printf("# %llu of %llu operations were read under a lease\n", (unsigned long long)leased(c),
           (unsigned long long)all);
    assert_true(leased(c) > all / 10);
    end(c);
}

static void test_without_leases_none_is_used(void **state)
{
    struct cluster *c = ready(502, 0);

    (void)state;
    cluster_workload(c, 2, 2);
    world_run(c->w, 2000);
    assert_true(cluster_operations(c) > 50);
    assert_int_equal(leased(c), 0);
    end(c);
}

static bool another_leads(void *arg)
{
    struct cluster *c = arg;
    int leader = cluster_leader(c);

    return leader >= 0 && (c->snatched >> leader & 1) == 0;
}

/* The leader reads on alone while its lease lasts; the others elect nobody before, although
 * their links to it broke at once; afterwards it answers nothing. */
static void test_a_leader_that_is_cut_off(void **state)
{
    struct cluster *c = ready(503, LEASE_MS);
    int leader = cluster_leader(c);
    uint64_t at, before;

    (void)state;
    cluster_workload(c, 1, 2);
    cluster_snatch(c, side_of(c, leader));
    world_run(c->w, 1000);
    assert_int_equal(cluster_leader(c), leader);
    for (unsigned i = 0; i < c->n; i++)
        if ((int)i != leader)
            world_break(c->w, (unsigned)leader, i);
    world_partition(c->w, c->snatched);
    before = leased(c);
    at = world_time(c->w);
    assert_true(world_run_until(c->w, another_leads, c, 5000));
    printf("# another led after %llu ms\n", (unsigned long long)(world_time(c->w) - at));
    assert_true(leased(c) > before);
    before = leased(c);
    world_run(c->w, 3000);
    assert_int_equal(leased(c), before); /* neither of them: the new one has no reader */
    end(c);
}

/* From the moment that it hands over it asks again, whatever it was promised. */
static void test_no_lease_after_a_transfer(void **state)
{
    (void)state;
    for (unsigned wait = 0; wait < 12; wait += 2) {
        struct cluster *c = ready(510 + wait, LEASE_MS);
        int leader = cluster_leader(c);
        uint64_t before;

        cluster_workload(c, 1, 1);
        cluster_snatch(c, side_of(c, leader));
        world_run(c->w, 1000);
        before = leased(c);
        assert_true(before > 0);
        assert_int_equal(mk_group_transfer(cluster_group(c, (unsigned)leader), NULL), 0);
        world_run(c->w, wait);
        world_partition(c->w, c->snatched);
        world_run(c->w, 150);
        assert_int_equal(cluster_group(c, (unsigned)leader)->n_leased, before);
        end(c);
    }
}

/* A member that promised, died and is back keeps its word: whoever is cut off with the lease
 * reads on, and nobody else leads before its end. `then_ms`: the leases that its new life has. */
static void restart_who_promised(unsigned then_ms)
{
    for (unsigned k = 0; k < 4; k++) {
        struct cluster *c = ready(530 + k, LEASE_MS);
        int leader = cluster_leader(c);
        uint64_t at;

        cluster_workload(c, 1, 1);
        cluster_snatch(c, side_of(c, leader));
        world_run(c->w, 1000);
        assert_int_equal(cluster_leader(c), leader);
        world_partition(c->w, c->snatched);
        at = world_time(c->w);
        for (unsigned i = 0; i < c->n; i++) {
            if ((int)i == leader)
                continue;
            if (k % 2 == 0)
                world_crash(c->w, i);
            else
                world_kill(c->w, i);
            c->o.lease_ms = then_ms;
            world_restart(c->w, i);
            c->o.lease_ms = LEASE_MS;
        }
        assert_true(world_run_until(c->w, another_leads, c, 5000));
        assert_true(world_time(c->w) - at >= LEASE_MS);
        world_run(c->w, 500);
        end(c);
    }
}

static void test_a_promise_outlives_its_process(void **state)
{
    (void)state;
    restart_who_promised(LEASE_MS);
}

/* The owner has taken `read_leases` out of the node file meanwhile. */
static void test_a_promise_outlives_its_option(void **state)
{
    (void)state;
    restart_who_promised(0);
}

/* A tenth between the fastest and the slowest clock, the leader's the slow one: it thinks
 * longest that its lease lasts, and those who promised are the first to be free. */
static void test_clocks_that_drift_within_the_bound(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        struct cluster *c = ready(550 + k, LEASE_MS);
        int leader = cluster_leader(c);

        for (unsigned i = 0; i < c->n; i++)
            world_clock_drift(c->w, i, (int)i == leader ? -47000 : 47000);
        cluster_workload(c, 1, 1);
        cluster_snatch(c, side_of(c, leader));
        world_run(c->w, 1000 + 13 * k);
        for (unsigned i = 0; i < c->n; i++)
            if ((int)i != leader)
                world_break(c->w, (unsigned)leader, i);
        world_partition(c->w, c->snatched);
        world_run(c->w, 1500);
        end(c);
    }
}

/* The majority that promised is none of the roster that comes. */
static void test_another_configuration_ends_the_lease(void **state)
{
    struct cluster *c = cluster_new(&(struct cluster_options){
        .seed = 570, .n = 3, .spares = 1, .clients = 3, .lease_ms = LEASE_MS});

    (void)state;
    assert_true(cluster_until_ready(c, 10000));
    cluster_workload(c, 1, 2);
    world_run(c->w, 1000);
    cluster_snatch(c, 7 | 1ull << c->n); /* the spare answers nobody */
    world_run(c->w, 1000);
    assert_true(leased(c) > 0);
    cluster_snatch(c, 0);
    assert_int_equal(cluster_propose(c, 0xf), 0);
    assert_true(cluster_until_settled(c, 30000));
    assert_int_equal(cluster_propose(c, 0xe), 0);
    assert_true(cluster_until_settled(c, 30000));
    world_run(c->w, 1000);
    end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_most_reads_need_no_round),
        cmocka_unit_test(test_without_leases_none_is_used),
        cmocka_unit_test(test_a_leader_that_is_cut_off),
        cmocka_unit_test(test_no_lease_after_a_transfer),
        cmocka_unit_test(test_a_promise_outlives_its_process),
        cmocka_unit_test(test_a_promise_outlives_its_option),
        cmocka_unit_test(test_clocks_that_drift_within_the_bound),
        cmocka_unit_test(test_another_configuration_ends_the_lease),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
