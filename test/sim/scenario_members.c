/* Who is of a committee: lost disks, other rosters, leaders that go. The checkers of
 * cluster.h run after every event of each. */
#include "collections/certificate.h"
#include "collections/surface.h"
#include "readers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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
    assert_true(cluster_until_state(c, wiped, MK_GROUP_FOLLOWING, 5000));
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
    assert_true(cluster_until_state(c, wiped, MK_GROUP_FOLLOWING, 10000));
    assert_int_equal(cluster_set(c, "b", "2", 3000), 0);
    end(c);
}

static void test_a_wiped_member_gets_a_snapshot(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 3, .snapshot_entries = 40});
    struct mk_group_status s;
    unsigned wiped = cluster_follower(c);

    (void)state;
    assert_true(cluster_write_many(c, 150));
    lose(c, wiped);
    assert_true(cluster_until_state(c, wiped, MK_GROUP_FOLLOWING, 10000));
    cluster_status(c, wiped, &s);
    assert_true(s.snapshot > 0);
    assert_true(cluster_write_many(c, 60));
    end(c);
}

/* Wiped again and again, and once more while it is being replaced; restarts between. */
static void test_wiped_over_and_over(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 4, .n = 5, .clients = 2});

    (void)state;
    cluster_workload(c, 3, 5);
    for (unsigned i = 0; i < 5; i++) {
        lose(c, i);
        world_run(c->w, 30 * i);
        lose(c, i);
        assert_true(cluster_until_state(c, i, MK_GROUP_FOLLOWING, 10000));
        assert_true(cluster_until_settled(c, 5000));
        world_crash(c->w, i);
        world_restart(c->w, i);
    }
    assert_true(cluster_until_ready(c, 10000));
    end(c);
}

/* --- rosters -------------------------------------------------------------------------------- */

static void change(struct cluster *c, unsigned bits)
{
    assert_int_equal(cluster_propose(c, bits), 0);
    world_run(c->w, 50);
    assert_true(cluster_until_settled(c, 10000));
}

/* Where in a member's course of changes that step is; it must be there once. */
static unsigned step_at(struct cluster *c, unsigned i, enum mk_course_step step,
                        const struct mk_peer *of)
{
    struct mk_course x;
    unsigned at = 0, n = 0;

    for (unsigned k = 0; mk_group_course(cluster_group(c, i), k, &x); k++) {
        if (x.step != step || x.epoch != 2 || (of != NULL && !mk_peer_eq(&x.peer, of)))
            continue;
        at = k;
        n++;
    }
    if (n != 1)
        fail_msg("%s is %u times in the course", mk_course_step_name(step), n);
    return at;
}

/* Each member can tell when it saw what. */
static void check_course(struct cluster *c, unsigned came, unsigned left)
{
    unsigned leader = (unsigned)cluster_leader(c);
    unsigned at[] = {step_at(c, leader, MK_COURSE_PROPOSED, NULL),
                     step_at(c, leader, MK_COURSE_SIGNED, NULL),
                     step_at(c, leader, MK_COURSE_CERTIFIED, NULL),
                     step_at(c, leader, MK_COURSE_REMOVED, &c->peers[left])};
    unsigned learner = step_at(c, leader, MK_COURSE_LEARNER, &c->peers[came]);
    unsigned voter = step_at(c, leader, MK_COURSE_VOTER, &c->peers[came]);

    for (unsigned k = 1; k < sizeof at / sizeof at[0]; k++)
        assert_true(at[k - 1] < at[k]);
    assert_true(at[0] < learner && learner < voter && voter < at[3]);
    step_at(c, came, MK_COURSE_PROPOSED, NULL);
    step_at(c, came, MK_COURSE_CERTIFIED, NULL);
}

static void test_a_spare_takes_a_members_place(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 10, .spares = 1, .clients = 2});
    struct mk_group_status s;
    unsigned leaves = cluster_follower(c);

    (void)state;
    cluster_workload(c, 3, 5);
    assert_int_equal(cluster_set(c, "before", "1", 3000), 0);
    change(c, 0xf & ~(1u << leaves));
    assert_int_equal(cluster_set(c, "after", "2", 3000), 0);
    cluster_status(c, 3, &s);
    assert_int_equal(s.epoch, 2);
    assert_int_equal(s.state, MK_GROUP_FOLLOWING);
    assert_true(cluster_until_state(c, leaves, MK_GROUP_OUTSIDE, 5000));
    check_course(c, 3, leaves);
    world_crash(c->w, leaves); /* nobody misses it */
    world_run(c->w, 3000);
    assert_int_equal(cluster_set(c, "without", "3", 3000), 0);
    end(c);
}

static void test_the_leader_leaves(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 11, .spares = 1, .clients = 2});
    unsigned leaves = (unsigned)cluster_leader(c);
    uint64_t before;

    (void)state;
    cluster_workload(c, 3, 5);
    assert_int_equal(cluster_set(c, "before", "1", 3000), 0);
    before = world_time(c->w);
    change(c, 0xf & ~(1u << leaves));
    assert_true(world_time(c->w) - before < 1000);
    assert_int_not_equal(cluster_leader(c), leaves);
    assert_int_equal(cluster_set(c, "after", "2", 3000), 0);
    end(c);
}

static void test_from_one_to_five_and_back(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 12, .n = 1, .spares = 4});
    static const unsigned rosters[] = {0x3, 0x7, 0x1f, 0x1c, 0x10};

    (void)state;
    for (unsigned i = 0; i < sizeof rosters / sizeof rosters[0]; i++) {
        assert_int_equal(cluster_set(c, "step", "x", 3000), 0);
        change(c, rosters[i]);
    }
    assert_int_equal(cluster_leader(c), 4);
    assert_int_equal(cluster_set(c, "last", "one", 3000), 0);
    end(c);
}

static void say_all(struct cluster *c, unsigned seed)
{
    struct mk_group_status s;

    for (unsigned i = 0; i < c->n; i++) {
        char detail[MK_REASON_MAX];
        struct mk_peer peer;
        uint64_t match;
        bool linked;

        cluster_status(c, i, &s);
        print_message("# seed %u: member %u %s, term %llu, applied %llu of %llu: %s\n", seed, i,
                      mk_group_state_name(s.state), (unsigned long long)s.term,
                      (unsigned long long)s.applied, (unsigned long long)s.last, s.why);
        for (unsigned k = 0;
             cluster_group(c, i) != NULL &&
             mk_group_member(cluster_group(c, i), k, &peer, &linked, &match, detail);
             k++)
            print_message("#   %02x linked %d, match %llu %s\n", peer.b[0], linked,
                          (unsigned long long)match, detail);
    }
    fail_msg("no leader that commits");
}

/* All lose power right after; they know whom to link with from their disks alone. */
static void test_all_crash_in_a_change(void **state)
{
    for (unsigned seed = 20; seed < 40; seed++) {
        struct cluster *c = ready(&(struct cluster_options){.seed = seed, .spares = 1});

        (void)state;
        assert_int_equal(cluster_set(c, "before", "1", 3000), 0);
        assert_int_equal(cluster_propose(c, 0xe), 0);
        world_run(c->w, world_chaos(c->w, 60));
        for (unsigned i = 0; i < 4; i++)
            world_crash(c->w, i);
        for (unsigned i = 1; i < 4; i++) /* the one that leaves does not come back */
            world_restart(c->w, i);
        if (!cluster_until_ready(c, 20000))
            say_all(c, seed);
        if (!cluster_in_roster(c, 3))
            change(c, 0xe);
        assert_true(cluster_until_settled(c, 20000));
        assert_int_equal(cluster_set(c, "after", "2", 3000), 0);
        end(c);
    }
}

static void test_a_proposal_is_judged(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 13, .spares = 1});

    (void)state;
    world_kill(c->w, 3);
    world_run(c->w, 1000);
    assert_int_equal(cluster_propose(c, 0xe), MK_EREFUSED); /* the new one is not there */
    assert_int_equal(cluster_propose(c, 0x7), MK_EREFUSED); /* it is the present one */
    world_restart(c->w, 3);
    world_run(c->w, 3000);
    assert_int_equal(cluster_propose(c, 0xe), 0);
    assert_int_equal(cluster_propose(c, 0xe), 0); /* twice: the second is refused by its epoch */
    assert_true(cluster_until_settled(c, 10000));
    end(c);
}

struct knows {
    struct reader *r;
    uint64_t epoch;
};

/* It stands on a certificate of that epoch. */
static bool has_epoch(void *arg)
{
    const struct knows *k = arg;
    const struct mk_certificate *c = mk_follow_certificate(k->r->map);

    return c != NULL && c->head.epoch == k->epoch;
}

static bool reaches(struct reader *r, uint64_t epoch)
{
    struct knows k = {r, epoch};

    if (world_run_until(r->c->w, has_epoch, &k, 5000))
        return true;
    for (unsigned i = 0; i < r->n_said && i < 8; i++)
        print_message("# the reader said: %s\n", r->said[i]);
    return false;
}

static void test_a_reader_follows_the_chain(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 14, .spares = 2});
    struct mk_certificate old;
    struct reader *r = reader_new(c, READER_NODE), *late;
    struct mk_fault f;
    struct call x;

    (void)state;
    r->map = reader_follow(r, CLUSTER_MAP);
    r->ticks = reader_follow(r, CLUSTER_TICKS);
    assert_int_equal(cluster_set(c, "a", "1", 3000), 0);
    assert_true(reader_until_caught_up(r, 5000));
    old = *mk_follow_certificate(r->map);
    assert_int_equal(old.head.epoch, 1);
    change(c, 0xe);
    assert_int_equal(cluster_set(c, "a", "2", 3000), 0);
    assert_true(reaches(r, 2));
    change(c, 0x1c);
    assert_int_equal(reader_execute(r, &x, "set b 3", MK_WANT_CERTIFIED), 0);
    assert_true(reaches(r, 3));
    assert_int_equal(r->failed, 0);

    /* One that knows the first roster alone reaches the third through the chain, and is shown
     * a proof of the third by the way of a command. */
    late = reader_new(c, READER_NODE + 1);
    assert_int_equal(reader_execute(late, &x, "set c 4", MK_WANT_CERTIFIED), 0);
    assert_int_equal(mk_reader_epoch(late->memory), 3);
    late->map = reader_follow(late, CLUSTER_MAP);
    assert_true(reader_until_caught_up(late, 5000));
    assert_int_equal(reader_get(late, &x, "c", 10000), 0);
    old.head.index += 100; /* what an old epoch's majority might still sign */
    assert_int_equal(mk_reader_accept(late->memory, &old, &f), MK_ESIGNATURE);
    reader_free(late);
    reader_free(r);
    end(c);
}

struct witness {
    struct cluster *c;
    unsigned i;
};

/* Asked for at any time it has a majority of the roster of its epoch: of three, of four in 2. */
static bool certifies_epoch_3(void *arg)
{
    struct witness *x = arg;
    struct mk_group *g = cluster_group(x->c, x->i);
    const struct mk_surfaces *s = mk_group_surfaces(g);
    const struct mk_certificate *cert;

    for (unsigned i = 0; i < s->n; i++)
        if (mk_group_certificate(g, &s->v[i].id, &cert) == 0)
            assert_true(cert->signatures.n >= (cert->head.epoch == 2 ? 3 : 2));
    return mk_group_certificate(g, &s->v[0].id, &cert) == 0 && cert->head.epoch == 3;
}

/* Two of four signed a head: no majority then, and none after they are two of three. */
static void test_signatures_of_an_old_epoch_are_counted_by_its_roster(void **state)
{
    struct cluster *c =
        ready(&(struct cluster_options){.seed = 12, .spares = 1, .snapshot_entries = 40});
    struct mk_group_status s;
    unsigned leader, away, out = 0;

    (void)state;
    assert_int_equal(cluster_propose(c, 0xf), 0);
    assert_true(cluster_until_settled(c, 5000));
    leader = (unsigned)cluster_leader(c);
    away = cluster_follower(c);
    while (out == leader || out == away)
        out++;
    for (unsigned i = 0; i < c->n; i++)
        if (i != leader)
            world_cut(c->w, i, away);
    assert_true(cluster_write_many(c, 20));
    world_run(c->w, 300);
    world_isolate(c->w, away);
    for (unsigned i = 0; i < c->n; i++)
        if (i != away)
            world_break(c->w, i, away); /* what was on its way never comes */
    assert_int_equal(cluster_propose(c, 0xfu & ~(1u << out)), 0);
    assert_true(cluster_write_many(c, 600));
    world_heal(c->w);
    assert_true(world_run_until(c->w, certifies_epoch_3, &(struct witness){c, away}, 10000));
    cluster_status(c, away, &s);
    assert_true(s.snapshot > 0);
    end(c);
}

/* --- leaders that go ------------------------------------------------------------------------- */

static void test_leadership_is_handed_over(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 30});
    unsigned to = cluster_follower(c);
    uint64_t before = world_time(c->w);

    (void)state;
    /* asked of a follower, which passes it on */
    assert_int_equal(mk_group_transfer(cluster_group(c, to), &c->peers[to]), 0);
    assert_true(cluster_until_state(c, to, MK_GROUP_LEADING, 500));
    assert_true(world_time(c->w) - before < 200);
    assert_int_equal(cluster_set(c, "a", "1", 3000), 0);
    end(c);
}

static int by_time(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* The longest time without an answer to any client between two moments, ms. */
static uint64_t longest_gap(struct cluster *c, uint64_t from_ns, uint64_t to_ns)
{
    const struct operation *ops = (const struct operation *)(const void *)c->history.p;
    size_t n_ops = c->history.n / sizeof *ops, n = 0;
    uint64_t *at = mk_alloc((n_ops + 2) * sizeof *at), longest = 0;

    at[n++] = from_ns;
    for (size_t i = 0; i < n_ops; i++)
        if (ops[i].returned > from_ns && ops[i].returned < to_ns)
            at[n++] = ops[i].returned;
    at[n++] = to_ns;
    qsort(at, n, sizeof *at, by_time);
    for (size_t i = 1; i < n; i++)
        if (at[i] - at[i - 1] > longest)
            longest = at[i] - at[i - 1];
    mk_free(at);
    return longest / 1000000;
}

static void test_a_rolling_restart_is_not_noticed(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 31, .clients = 3});
    uint64_t from, longest;

    (void)state;
    cluster_workload(c, 3, 5);
    world_run(c->w, 500);
    from = world_time_ns(c->w);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < 3; i++) {
            if (cluster_leader(c) == (int)i) {
                assert_int_equal(mk_group_transfer(cluster_group(c, i), NULL), 0);
                assert_true(cluster_until_state(c, i, MK_GROUP_FOLLOWING, 500));
                world_run(c->w, 20);
            }
            world_kill(c->w, i);
            world_restart(c->w, i);
            assert_true(cluster_until_state(c, i, MK_GROUP_FOLLOWING, 5000));
            world_run(c->w, 500);
        }
    longest = longest_gap(c, from, world_time_ns(c->w));
    print_message("# longest time without an answer: %llu ms\n", (unsigned long long)longest);
    assert_true(longest > 0 && longest < 1000);
    end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_wiped_member_rejoins_under_load),
        cmocka_unit_test(test_a_wiped_leader_rejoins),
        cmocka_unit_test(test_a_wiped_member_gets_a_snapshot),
        cmocka_unit_test(test_wiped_over_and_over),
        cmocka_unit_test(test_a_spare_takes_a_members_place),
        cmocka_unit_test(test_the_leader_leaves),
        cmocka_unit_test(test_from_one_to_five_and_back),
        cmocka_unit_test(test_all_crash_in_a_change),
        cmocka_unit_test(test_a_proposal_is_judged),
        cmocka_unit_test(test_a_reader_follows_the_chain),
        cmocka_unit_test(test_signatures_of_an_old_epoch_are_counted_by_its_roster),
        cmocka_unit_test(test_leadership_is_handed_over),
        cmocka_unit_test(test_a_rolling_restart_is_not_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
