/* Who is of a committee: lost disks, other rosters, leaders that go. The checkers of
 * cluster.h run after every event of each. */
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

static bool idle(void *arg)
{
    return cluster_workload_idle(arg);
}

static void end(struct cluster *c)
{
    if (c->o.clients > 0) {
        cluster_workload_stop(c);
        assert_true(world_run_until(c->w, idle, c, 30000));
        cluster_check_history(c);
    }
    assert_true(cluster_until_equal(c, 20000));
    cluster_check_durable(c);
    cluster_free(c);
}

static void lose(struct cluster *c, unsigned i)
{
    world_crash(c->w, i);
    cluster_lose_disk(c, i);
}

struct life {
    struct cluster *c;
    unsigned i;
    enum mk_group_state state;
};

static bool has_state(void *arg)
{
    struct life *l = arg;
    struct mk_group_status s;

    cluster_status(l->c, l->i, &s);
    return s.state == l->state;
}

static bool becomes(struct cluster *c, unsigned i, enum mk_group_state state, uint64_t ms)
{
    struct life l = {c, i, state};

    return world_run_until(c->w, has_state, &l, ms);
}

/* --- lost disks ------------------------------------------------------------------------- */

static void test_a_wiped_member_rejoins_under_load(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 1, .clients = 3});
    unsigned wiped = cluster_follower(c), other;

    (void)state;
    cluster_workload(c, 3, 2);
    world_run(c->w, 500);
    assert_int_equal(cluster_set(c, "before", "1", 3000), 0);
    lose(c, wiped);
    assert_true(becomes(c, wiped, MK_GROUP_FOLLOWING, 5000));
    assert_true(cluster_until_settled(c, 1000));
    assert_int_equal(cluster_set(c, "after", "2", 3000), 0);
    /* Its vote and its log count again: any other one may go. */
    other = cluster_follower(c) == wiped ? (unsigned)cluster_leader(c) : cluster_follower(c);
    world_crash(c->w, other);
    assert_true(cluster_until_ready(c, 5000));
    assert_int_equal(cluster_set(c, "alone", "3", 3000), 0);
    world_restart(c->w, other);
    end(c);
}

static void test_a_wiped_leader_rejoins(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 2});
    unsigned wiped = (unsigned)cluster_leader(c);

    (void)state;
    assert_int_equal(cluster_set(c, "a", "1", 3000), 0);
    lose(c, wiped);
    assert_true(becomes(c, wiped, MK_GROUP_FOLLOWING, 10000));
    assert_int_equal(cluster_set(c, "b", "2", 3000), 0);
    end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_wiped_member_rejoins_under_load),
        cmocka_unit_test(test_a_wiped_leader_rejoins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
