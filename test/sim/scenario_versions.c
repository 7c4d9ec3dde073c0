/* Builds of two ages in one committee, and those that cannot be of it: a group works at the
 * protocol that all its members know, goes on by itself when the last one is new, and never goes
 * back; who knows less, or runs another machine, is refused in words that say both. */
#include "cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct cluster *ready(uint64_t seed, unsigned old, uint64_t snapshots)
{
    struct cluster *c = cluster_new(&(struct cluster_options){
        .seed = seed, .n = 3, .old = old, .clients = 2, .snapshot_entries = snapshots});

    assert_true(cluster_until_ready(c, 10000));
    return c;
}

static bool all_at_2(void *arg)
{
    struct cluster *c = arg;

    for (unsigned i = 0; i < c->n; i++)
        if (cluster_group(c, i) == NULL || mk_group_level(cluster_group(c, i)) != 2)
            return false;
    return true;
}

static void upgrade(struct cluster *c, unsigned i)
{
    c->old &= ~(1u << i);
    world_kill(c->w, i);
    world_restart(c->w, i);
    assert_true(cluster_until_ready(c, 10000));
    assert_true(cluster_until_equal(c, 10000));
}

/* What some member says of the i-th member. */
static bool is_said(struct cluster *c, unsigned by, const char *what)
{
    char detail[MK_REASON_MAX];

    for (unsigned i = 0; i < 8; i++)
        if (cluster_group(c, by) != NULL && mk_group_estranged(cluster_group(c, by), i, detail) &&
            strstr(detail, what) != NULL)
            return true;
    return false;
}

struct check {
    struct cluster *c;
    uint64_t nonce;
};

static bool all_checked(void *arg)
{
    struct check *k = arg;
    struct mk_group_check x;

    for (unsigned i = 0; i < k->c->n; i++)
        if (!mk_group_checked(cluster_group(k->c, i), &x) || x.nonce != k->nonce)
            return false;
    return true;
}

static void assert_equal_hashes(struct cluster *c, uint64_t nonce)
{
    struct check k = {c, nonce};
    struct mk_group_check first, x;

    assert_true(world_run_until(c->w, all_checked, &k, 5000));
    mk_group_checked(cluster_group(c, 0), &first);
    for (unsigned i = 1; i < c->n; i++) {
        mk_group_checked(cluster_group(c, i), &x);
        assert_int_equal(x.index, first.index);
        assert_memory_equal(&x.hash, &first.hash, sizeof x.hash);
    }
}

static bool idle(void *arg)
{
    return cluster_workload_idle(arg);
}

static void end(struct cluster *c)
{
    cluster_workload_stop(c);
    assert_true(world_run_until(c->w, idle, c, 60000));
    assert_true(cluster_until_equal(c, 20000));
    cluster_check_history(c);
    cluster_free(c);
}

/* One after the other becomes new, under load; the last one lets the group go on. */
static void test_an_upgrade_member_by_member(void **state)
{
    struct cluster *c = ready(601, 7, 40);
    struct mk_fault f = {{0}};

    (void)state;
    cluster_workload(c, 2, 5);
    for (unsigned i = 0; i < 3; i++) {
        world_run(c->w, 1000);
        for (unsigned k = 0; k < 3; k++) {
            assert_int_equal(mk_group_level(cluster_group(c, k)), 1);
            assert_int_equal(mk_group_check(cluster_group(c, k), 5, &f), MK_ENOTSUP);
            assert_non_null(strstr(f.text, "works at protocol 1"));
        }
        upgrade(c, i);
    }
    assert_true(world_run_until(c->w, all_at_2, c, 5000));
    world_run(c->w, 1000);
    assert_int_equal(mk_group_check(cluster_group(c, 1), 77, &f), 0);
    assert_equal_hashes(c, 77);
    end(c);
}

static bool is_missed(void *arg)
{
    struct cluster *c = arg;
    struct mk_fault f = {{0}};

    return mk_group_check(cluster_group(c, 0), 1, &f) == MK_ENOTSUP &&
           strstr(f.text, "is away") != NULL;
}

/* All new from the beginning: at once. A member that is away holds the group where it is. */
static void test_who_is_away_is_waited_for(void **state)
{
    struct cluster *c = ready(602, 4, 0);

    (void)state;
    world_crash(c->w, 2);
    assert_int_equal(cluster_set(c, "a", "1", 5000), 0);
    assert_true(world_run_until(c->w, is_missed, c, 90000));
    assert_int_equal(mk_group_level(cluster_group(c, 0)), 1);
    c->old = 0;
    world_restart(c->w, 2);
    assert_true(world_run_until(c->w, all_at_2, c, 10000));
    end(c);
}

/* Back to the build before: it stops and says why; so do the others, of it. The same with what it
 * needs in a snapshot instead of its log. */
static void go_back(uint64_t seed, uint64_t snapshots)
{
    struct cluster *c = ready(seed, 0, snapshots);
    struct mk_group_status s = {0};
    const char *says;
    unsigned who = 0;

    c->may_fail = true;
    c->excuse = "protocol";
    assert_true(world_run_until(c->w, all_at_2, c, 5000));
    for (unsigned i = 0; i < 30; i++)
        assert_int_equal(cluster_set(c, "a", "1", 5000), 0);
    assert_true(cluster_until_equal(c, 10000));
    who = cluster_follower(c);
    c->old = 1u << who;
    world_kill(c->w, who);
    world_restart(c->w, who);
    world_run(c->w, 3000);
    if (cluster_group(c, who) != NULL)
        cluster_status(c, who, &s);
    says = cluster_group(c, who) != NULL ? s.why : cluster_process(c, who)->failed;
    print_message("# it says: %s\n", says);
    assert_non_null(strstr(says, "the group works at protocol 2;"));
    assert_non_null(strstr(says, "knows protocols up to 1"));
    assert_int_equal(cluster_set(c, "b", "2", 5000), 0); /* the others go on */
    c->old = 0;
    world_crash(c->w, who);
    world_restart(c->w, who);
    end(c);
}

static void test_no_way_back(void **state)
{
    (void)state;
    go_back(603, 1000);
    go_back(604, 8);
}

struct word {
    struct cluster *c;
    unsigned who;
    const char *what;
};

static bool both_say(void *arg)
{
    struct word *w = arg;
    bool others = false;

    for (unsigned i = 0; i < w->c->n; i++)
        others = others || (i != w->who && is_said(w->c, i, w->what));
    return others && is_said(w->c, w->who, w->what);
}

/* An old member whose disk is lost is refused at the hello, in the same words on both sides. */
static void test_a_stranger_to_the_level_is_refused_by_name(void **state)
{
    struct cluster *c = ready(605, 0, 0);
    struct word w = {c, 2, "the group works at protocol 2; node"};

    (void)state;
    assert_true(world_run_until(c->w, all_at_2, c, 5000));
    w.who = cluster_follower(c);
    world_crash(c->w, w.who);
    c->old = 1u << w.who;
    cluster_lose_disk(c, w.who);
    assert_true(world_run_until(c->w, both_say, &w, 10000));
    c->old = 0;
    world_crash(c->w, w.who);
    world_restart(c->w, w.who);
    assert_true(cluster_until_settled(c, 30000));
    end(c);
}

/* Another machine than the others': both versions, on both sides. */
static void test_another_machine_is_refused_by_name(void **state)
{
    struct cluster *c = ready(606, 0, 0);
    struct word ours = {c, 2, "machine toy version"}, theirs = {c, 2, "toy version 2 ("};

    (void)state;
    assert_int_equal(cluster_set(c, "a", "1", 5000), 0);
    ours.who = theirs.who = cluster_follower(c);
    c->foreign = 1u << ours.who;
    world_crash(c->w, ours.who);
    cluster_lose_disk(c, ours.who);
    assert_true(world_run_until(c->w, both_say, &ours, 10000));
    assert_true(world_run_until(c->w, both_say, &theirs, 10000));
    theirs.what = "toy version 1 (";
    assert_true(world_run_until(c->w, both_say, &theirs, 10000));
    assert_int_equal(cluster_set(c, "b", "2", 5000), 0);
    c->foreign = 0;
    world_crash(c->w, ours.who);
    world_restart(c->w, ours.who);
    assert_true(cluster_until_settled(c, 30000));
    end(c);
}

static void restart_all(struct cluster *c, unsigned foreign)
{
    c->may_fail = true;
    c->excuse = "the log was written by machine";
    c->foreign = foreign;
    for (unsigned i = 0; i < c->n; i++)
        world_crash(c->w, i);
    for (unsigned i = 0; i < c->n; i++)
        world_restart(c->w, i);
    world_run(c->w, 100);
}

static void assert_refused_by_its_log(struct cluster *c, unsigned i)
{
    const char *says = cluster_process(c, i)->failed;

    print_message("# it says: %s\n", says);
    assert_null(cluster_group(c, i));
    assert_non_null(strstr(says, "the log was written by machine toy version 1 ("));
    assert_non_null(strstr(says, "), this build runs toy version 2 ("));
}

/* With all of them gone nobody is left to refuse at a hello: what is stored says whose it is, from
 * the log and from a checkpoint alike. */
static void come_back_with_another_machine(uint64_t seed, uint64_t snapshots)
{
    struct cluster *c = ready(seed, 0, snapshots);

    for (unsigned i = 0; i < 30; i++)
        assert_int_equal(cluster_set(c, "a", i % 2 != 0 ? "1" : "2", 5000), 0);
    assert_true(cluster_until_equal(c, 10000));
    restart_all(c, 7);
    for (unsigned i = 0; i < c->n; i++)
        assert_refused_by_its_log(c, i);
    restart_all(c, 0); /* nothing was harmed */
    assert_true(cluster_until_ready(c, 10000));
    assert_int_equal(cluster_set(c, "b", "2", 5000), 0);
    end(c);
}

static void test_a_log_is_refused_to_another_machine(void **state)
{
    (void)state;
    come_back_with_another_machine(608, 1000);
    come_back_with_another_machine(609, 8);
}

/* An earlier build noted no machine: its logs are taken for this build's, once. */
static void test_a_log_without_a_machine_is_taken_over_once(void **state)
{
    struct cluster *c = ready(610, 0, 0);

    (void)state;
    assert_int_equal(cluster_set(c, "a", "1", 5000), 0);
    for (unsigned i = 0; i < c->n; i++) {
        struct process *p = cluster_process(c, i);

        assert_false(mk_group_adopted(p->group));
        assert_int_equal(mk_store_put(mk_store_find(p->store, &c->deployment), NULL, "machine",
                                      MK_BYTES(NULL, 0)),
                         0);
    }
    world_run(c->w, 1000);
    restart_all(c, 0);
    for (unsigned i = 0; i < c->n; i++)
        assert_true(mk_group_adopted(cluster_group(c, i)));
    assert_true(cluster_until_ready(c, 10000));
    restart_all(c, 7);
    for (unsigned i = 0; i < c->n; i++)
        assert_refused_by_its_log(c, i);
    restart_all(c, 0);
    assert_true(cluster_until_ready(c, 10000));
    for (unsigned i = 0; i < c->n; i++)
        assert_false(mk_group_adopted(cluster_group(c, i)));
    end(c);
}

/* A roster with a node that could not take part is refused before it is one. */
static void test_an_old_newcomer_is_no_peer(void **state)
{
    struct cluster *c =
        cluster_new(&(struct cluster_options){.seed = 607, .n = 3, .spares = 1, .old = 8});

    (void)state;
    assert_true(cluster_until_ready(c, 10000));
    world_run(c->w, 3000);
    assert_int_equal(mk_group_level(cluster_group(c, 0)), 2);
    assert_int_equal(cluster_propose(c, 0xe), MK_EREFUSED);
    c->old = 0;
    world_crash(c->w, 3);
    world_restart(c->w, 3);
    world_run(c->w, 2000);
    assert_int_equal(cluster_propose(c, 0xe), 0);
    assert_true(cluster_until_settled(c, 30000));
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_upgrade_member_by_member),
        cmocka_unit_test(test_who_is_away_is_waited_for),
        cmocka_unit_test(test_no_way_back),
        cmocka_unit_test(test_a_stranger_to_the_level_is_refused_by_name),
        cmocka_unit_test(test_another_machine_is_refused_by_name),
        cmocka_unit_test(test_a_log_is_refused_to_another_machine),
        cmocka_unit_test(test_a_log_without_a_machine_is_taken_over_once),
        cmocka_unit_test(test_an_old_newcomer_is_no_peer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
