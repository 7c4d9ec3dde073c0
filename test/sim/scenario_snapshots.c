/* Snapshots of many chunks: taken while commits go on, fetched across lost links and restarts,
 * with what is sent again bounded. The checkers compare state hashes at equal indices all the
 * time, so a snapshot that mixed two states would be seen. */
#include "cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CHUNK MK_SNAP_CHUNK
#define BULKS 24u                    /* commands of 256 KB: 6 MB of state, as much of history */
#define AHEAD (8ull * CHUNK)         /* asked for and under way when a link is lost */
#define UNSYNCED (2ull * (4u << 20)) /* blocks that a crash may lose */

struct fetch {
    struct cluster *c;
    unsigned i;
    uint64_t bytes;
};

static struct mk_group_snap_stats stats(struct cluster *c, unsigned i)
{
    struct mk_group_snap_stats s = {0};

    if (cluster_group(c, i) != NULL)
        mk_group_snap_stats(cluster_group(c, i), &s);
    return s;
}

static bool has_fetched(void *arg)
{
    struct fetch *x = arg;

    return stats(x->c, x->i).fetched_bytes >= x->bytes;
}

static bool has_installed(void *arg)
{
    struct fetch *x = arg;

    return stats(x->c, x->i).installed > 0;
}

static bool has_taken(void *arg)
{
    struct fetch *x = arg;

    return stats(x->c, x->i).taken >= x->bytes;
}

static void write_some(struct cluster *c, unsigned n)
{
    char key[16], value[16];

    for (unsigned i = 0; i < n; i++) {
        snprintf(key, sizeof key, "k%u", i % 50);
        snprintf(value, sizeof value, "%u", i);
        assert_int_equal(cluster_set(c, key, value, 5000), 0);
    }
}

static void bulk(struct cluster *c, unsigned from, unsigned n)
{
    char command[32];

    for (unsigned i = from; i < from + n; i++) {
        snprintf(command, sizeof command, "bulk %u", i);
        assert_int_equal(cluster_command(c, (unsigned)cluster_leader(c), command, 10000), 0);
    }
}

static struct cluster *ready(uint64_t seed)
{
    struct cluster *c =
        cluster_new(&(struct cluster_options){.seed = seed, .snapshot_entries = 40});

    assert_true(cluster_until_ready(c, 10000));
    assert_int_equal(cluster_set(c, "a", "1", 3000), 0);
    assert_true(cluster_until_equal(c, 5000));
    return c;
}

/* A member is away until the others have a snapshot of many chunks, and no log from before it. */
static struct fetch away(struct cluster *c)
{
    struct fetch x = {c, cluster_follower(c), 0};
    struct fetch leader = {c, (unsigned)cluster_leader(c), 0};

    world_kill(c->w, x.i);
    bulk(c, 0, BULKS);
    leader.bytes = stats(c, leader.i).taken + 1;
    write_some(c, 100);
    assert_true(world_run_until(c->w, has_taken, &leader, 20000));
    assert_int_equal(cluster_leader(c), (int)leader.i);
    return x;
}

static void end(struct cluster *c)
{
    assert_true(cluster_until_equal(c, 30000));
    cluster_check_durable(c);
    cluster_free(c);
}

/* --- taking -------------------------------------------------------------------------------- */

/* The leader's disk is slow; a commit takes no longer for the snapshot. */
static void test_commits_go_on_while_one_is_taken(void **state)
{
    struct cluster *c = ready(601);
    struct fetch x = {c, (unsigned)cluster_leader(c), 1};
    uint64_t begun, longest = 0, written = 0;
    struct mk_group_status s;

    (void)state;
    bulk(c, 0, BULKS);
    assert_true(stats(c, x.i).taken == 0);
    world_disk_speed(c->w, x.i, 20000, 30000);
    begun = world_time(c->w);
    while (!has_taken(&x) && world_time(c->w) < begun + 20000) {
        uint64_t t = world_time(c->w);
        char command[32];

        snprintf(command, sizeof command, "bulk %u", (unsigned)(written % BULKS));
        if (written % 7 == 0)
            assert_int_equal(cluster_command(c, x.i, command, 5000), 0); /* changes nothing */
        write_some(c, 1);
        t = world_time(c->w) - t;
        longest = t > longest ? t : longest;
        written++;
    }
    assert_true(has_taken(&x));
    cluster_status(c, x.i, &s);
    assert_true(s.applied > s.snapshot + 2); /* while it was taken */
    assert_true(longest < 300);
    world_disk_speed(c->w, x.i, 120, 300);
    assert_true(cluster_until_equal(c, 10000));
    for (unsigned i = 0; i < 3; i++)
        world_crash(c->w, i); /* from the snapshots now */
    for (unsigned i = 0; i < 3; i++)
        world_restart(c->w, i);
    assert_true(cluster_until_ready(c, 20000));
    end(c);
}

/* --- fetching ------------------------------------------------------------------------------ */

static void test_a_lost_link_resumes(void **state)
{
    struct cluster *c = ready(602);
    struct fetch x = away(c);
    unsigned leader = (unsigned)cluster_leader(c), breaks = 0;
    struct mk_group_snap_stats s;
    uint64_t size;

    (void)state;
    world_restart(c->w, x.i);
    for (x.bytes = 2 * CHUNK; breaks < 6; x.bytes += 5 * CHUNK) {
        assert_true(world_run_until(c->w, has_fetched, &x, 20000));
        world_break(c->w, x.i, leader);
        breaks++;
    }
    assert_true(world_run_until(c->w, has_installed, &x, 30000));
    s = stats(c, x.i);
    size = s.fetched_bytes;
    assert_int_equal(s.installed, 1);
    assert_int_equal(s.kept_bytes, 0);
    assert_true(size > 40ull * CHUNK && size < 60ull * CHUNK); /* each chunk once */
    assert_true(stats(c, leader).given_bytes >= size);
    assert_true(stats(c, leader).given_bytes <= size + breaks * AHEAD);
    end(c);
}

/* -9 and power cuts of the one that fetches: what was on its disk is not fetched again. */
static void test_a_restart_resumes(void **state)
{
    struct cluster *c = ready(603);
    struct fetch x = away(c);
    unsigned leader = (unsigned)cluster_leader(c), stops = 0;
    uint64_t fetched = 0, size;
    struct mk_group_snap_stats s;

    (void)state;
    world_restart(c->w, x.i);
    for (; stops < 4; stops++) {
        x.bytes = 20 * CHUNK;
        if (stops > 1)
            x.bytes = CHUNK;
        assert_true(world_run_until(c->w, has_fetched, &x, 20000));
        fetched += stats(c, x.i).fetched_bytes;
        if (stops % 2 == 0)
            world_kill(c->w, x.i);
        else
            world_crash(c->w, x.i);
        world_restart(c->w, x.i);
    }
    assert_true(world_run_until(c->w, has_installed, &x, 30000));
    s = stats(c, x.i);
    size = s.fetched_bytes + s.kept_bytes;
    assert_true(s.kept_bytes >= 16ull * CHUNK);
    assert_true(size > 40ull * CHUNK);
    assert_true(fetched + s.fetched_bytes <= size + stops * UNSYNCED);
    assert_true(stats(c, leader).given_bytes <= size + stops * (UNSYNCED + AHEAD));
    end(c);
}

/* The one that gives goes: the next leader's snapshot is another, or the same. */
static void test_the_giver_goes(void **state)
{
    struct cluster *c = ready(604);
    struct fetch x = away(c);
    unsigned leader = (unsigned)cluster_leader(c);

    (void)state;
    world_restart(c->w, x.i);
    x.bytes = 10 * CHUNK;
    assert_true(world_run_until(c->w, has_fetched, &x, 20000));
    world_crash(c->w, leader);
    world_run(c->w, 1000);
    world_restart(c->w, leader);
    assert_true(cluster_until_ready(c, 20000));
    assert_true(world_run_until(c->w, has_installed, &x, 30000));
    end(c);
}

/* Commits go on while it is given; a newer snapshot does not take the place of the one that is
 * being given for ever. */
static void test_a_writer_while_one_is_given(void **state)
{
    struct cluster *c = ready(605);
    struct fetch x = away(c);

    (void)state;
    world_link(c->w, (unsigned)cluster_leader(c), x.i,
               (struct world_link){.min_us = 2000, .mean_us = 4000});
    world_restart(c->w, x.i);
    for (unsigned i = 0; i < 400 && !has_installed(&x); i++)
        write_some(c, 1);
    assert_true(world_run_until(c->w, has_installed, &x, 30000));
    write_some(c, 20);
    end(c);
}

static bool has_failed(void *arg)
{
    struct fetch *x = arg;
    struct mk_group_status s;

    cluster_status(x->c, x->i, &s);
    return s.state == MK_GROUP_FAILED;
}

/* A sync of what is fetched fails, and the process restarts: what it wrote can be read, and is in
 * the kernel's memory only. It is kept, and must not be taken for durable: the power goes later. */
static void test_what_a_failed_sync_left_is_written_again(void **state)
{
    struct cluster *c = ready(777);
    struct fetch x = away(c);
    struct mk_group_status s;

    (void)state;
    c->may_fail = true;
    world_restart(c->w, x.i);
    x.bytes = 10 * CHUNK;
    assert_true(world_run_until(c->w, has_fetched, &x, 20000));
    world_disk_fail_on(c->w, x.i, WORLD_SYNCS, "snap/", MK_EIO, 1);
    assert_true(world_run_until(c->w, has_failed, &x, 20000));
    world_kill(c->w, x.i); /* the process only; the kernel's memory stays */
    world_disk_fail_on(c->w, x.i, 0, NULL, 0, 0);
    world_restart(c->w, x.i);
    assert_true(world_run_until(c->w, has_installed, &x, 30000));
    assert_true(stats(c, x.i).kept_bytes >= 8ull * CHUNK); /* it was not fetched again */
    assert_true(cluster_until_equal(c, 30000));
    world_run(c->w, 2000);
    world_crash(c->w, x.i);
    world_restart(c->w, x.i);
    cluster_status(c, x.i, &s);
    assert_int_not_equal(s.state, MK_GROUP_DAMAGED);
    assert_int_not_equal(s.state, MK_GROUP_FAILED);
    end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commits_go_on_while_one_is_taken),
        cmocka_unit_test(test_a_lost_link_resumes),
        cmocka_unit_test(test_a_restart_resumes),
        cmocka_unit_test(test_what_a_failed_sync_left_is_written_again),
        cmocka_unit_test(test_the_giver_goes),
        cmocka_unit_test(test_a_writer_while_one_is_given),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
