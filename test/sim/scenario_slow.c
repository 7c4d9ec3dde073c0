/* Slow links that lose packets, and much that has to go over them: what a leader has under way to
 * a member is bounded by what the way takes, so that heartbeats and votes do not wait behind it. */
#include "cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct course {
    uint64_t seed;
    unsigned entry, entries; /* bytes of one, how many */
    struct world_link link;
    uint64_t at_most_ms;
    uint64_t terms_at_most; /* elections, with the first one */
};

static struct cluster *ready(uint64_t seed)
{
    struct cluster *c = cluster_new(&(struct cluster_options){.seed = seed});

    assert_true(cluster_until_ready(c, 10000));
    assert_int_equal(cluster_set(c, "a", "1", 3000), 0);
    assert_true(cluster_until_equal(c, 5000));
    return c;
}

static void fill(struct cluster *c, unsigned bytes, unsigned n)
{
    char *command = mk_alloc(bytes + 1);

    memset(command, 'f', bytes);
    memcpy(command, "fill ", 5);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(cluster_command(c, (unsigned)cluster_leader(c), command, 5000), 0);
    mk_free(command);
}

static uint64_t term(struct cluster *c)
{
    struct mk_group_status s;

    cluster_status(c, (unsigned)cluster_leader(c), &s);
    return s.term;
}

/* One member is away while all that is committed; then the leader goes, so that nothing is
 * committed before the new one has brought the other up to it. */
static void backlog(const struct course *x)
{
    struct cluster *c = ready(x->seed);
    unsigned away = cluster_follower(c), old = (unsigned)cluster_leader(c);
    uint64_t began, before;

    world_kill(c->w, away);
    fill(c, x->entry, x->entries);
    before = term(c);
    world_kill(c->w, old);
    world_link(c->w, WORLD_ALL, WORLD_ALL, x->link);
    world_restart(c->w, away);
    began = world_time(c->w);
    assert_true(cluster_until_ready(c, 10 * x->at_most_ms));
    assert_int_equal(cluster_set(c, "b", "2", x->at_most_ms), 0);
    print_message("# %u entries of %u bytes at %lu bytes/s: %lu ms, %lu terms\n", x->entries,
                  x->entry, (unsigned long)x->link.bytes_per_s,
                  (unsigned long)(world_time(c->w) - began), (unsigned long)(term(c) - before));
    assert_true(world_time(c->w) - began <= x->at_most_ms);
    assert_true(term(c) - before <= x->terms_at_most);
    world_restart(c->w, old);
    assert_true(cluster_until_equal(c, 4 * x->at_most_ms));
    cluster_check_durable(c);
    cluster_free(c);
}

/* 8 MB take 16 s on this line. */
static void test_a_new_leader_with_a_backlog(void **state)
{
    (void)state;
    for (uint64_t seed = 901; seed < 904; seed++)
        backlog(&(struct course){seed, 60u << 10, 137, {20000, 25000, 0, 512u << 10}, 20000, 3});
}

static void test_a_line_that_loses_packets(void **state)
{
    (void)state;
    for (uint64_t seed = 911; seed < 914; seed++)
        backlog(&(struct course){seed, 60u << 10, 137, {20000, 25000, 10000, 2u << 20}, 10000, 6});
}

/* As above, on a line that carries four heartbeats' worth of a window's least in a second. */
static void test_small_entries_on_a_thin_line(void **state)
{
    (void)state;
    for (uint64_t seed = 921; seed < 924; seed++)
        backlog(&(struct course){seed, 400, 2500, {20000, 25000, 0, 80u << 10}, 25000, 8});
}

/* An answer takes longer than a heartbeat: nothing is said twice for that. */
static void test_a_long_way(void **state)
{
    (void)state;
    for (uint64_t seed = 931; seed < 934; seed++)
        backlog(&(struct course){seed, 4000, 2000, {60000, 65000, 0, 1u << 20}, 12000, 3});
}

struct lead {
    struct cluster *c;
    int who;
};

static bool leads(void *arg)
{
    const struct lead *x = arg;

    return cluster_leader(x->c) == x->who;
}

/* Who is to lead lacks entries that are still on their way to it: it is told to begin when it has
 * them, not before, when it would refuse. */
static void test_a_successor_that_is_behind(void **state)
{
    struct cluster *c = ready(941);
    unsigned old = (unsigned)cluster_leader(c);
    struct lead x = {c, (int)cluster_follower(c)};

    (void)state;
    world_link(c->w, old, (unsigned)x.who, (struct world_link){20000, 25000, 0, 512u << 10});
    fill(c, 10u << 10, 7);
    assert_int_equal(mk_group_transfer(cluster_group(c, old), &c->peers[x.who]), 0);
    assert_true(world_run_until(c->w, leads, &x, 290));
    assert_int_equal(cluster_set(c, "b", "2", 3000), 0);
    assert_true(cluster_until_equal(c, 10000));
    cluster_check_durable(c);
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_leader_with_a_backlog),
        cmocka_unit_test(test_a_line_that_loses_packets),
        cmocka_unit_test(test_small_entries_on_a_thin_line),
        cmocka_unit_test(test_a_long_way),
        cmocka_unit_test(test_a_successor_that_is_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
