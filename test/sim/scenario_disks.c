/* A disk that is full, or fails, under one member: it stops with the named reason and
 * says nothing that is not so, the others go on, and it comes back when it is mended. */
#include "cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct cluster *ready(const struct cluster_options *o)
{
    struct cluster *c = cluster_new(o);

    assert_true(cluster_until_ready(c, 10000));
    assert_int_equal(cluster_set(c, "a", "1", 3000), 0);
    assert_true(cluster_until_equal(c, 5000));
    c->may_fail = true;
    return c;
}

struct failed {
    struct cluster *c;
    unsigned i;
};

static bool has_failed(void *arg)
{
    struct failed *x = arg;
    struct mk_group_status s;

    cluster_status(x->c, x->i, &s);
    return s.state == MK_GROUP_FAILED;
}

/* Writes until the member has stopped; what is acknowledged is in the cluster's book, but
 * for the filling. */
static void write_until_failed(struct cluster *c, unsigned i, unsigned filling, const char *part)
{
    struct failed x = {c, i};
    struct mk_group_status s;
    char key[16], value[16], fill[480];

    memset(fill, 'f', sizeof fill);
    memcpy(fill, "set fill ", 9);
    fill[filling < sizeof fill ? filling : sizeof fill - 1] = 0;
    for (unsigned n = 0; n < 4000 && !has_failed(&x); n++) {
        snprintf(key, sizeof key, "k%u", n % 50);
        snprintf(value, sizeof value, "%u", n);
        if (n % 10 == 0 || filling == 0)
            (void)cluster_set(c, key, value, 3000);
        else if (cluster_leader(c) >= 0)
            (void)cluster_command(c, (unsigned)cluster_leader(c), fill, 3000);
    }
    cluster_status(c, i, &s);
    if (strstr(s.why, part) == NULL)
        cluster_violation("member %u does not say '%s' but '%s'", i, part, s.why);
}

static void mended(struct cluster *c, unsigned i)
{
    world_disk_capacity(c->w, i, 0);
    world_disk_fail_on(c->w, i, 0, NULL, 0, 0);
    world_kill(c->w, i);
    world_restart(c->w, i);
}

static void converge_and_end(struct cluster *c)
{
    assert_true(cluster_until_equal(c, 30000));
    cluster_check_durable(c);
    cluster_free(c);
}

/* --- hung ------------------------------------------------------------------------------- */

struct led {
    struct cluster *c;
    int before;
};

static bool another_leads(void *arg)
{
    const struct led *x = arg;
    int leader = cluster_leader(x->c);

    return leader >= 0 && leader != x->before;
}

/* A sync that does not end says nothing: who leads goes on with its heartbeats, so nobody would
 * stand against it, and it commits nothing. It hands over; when the disk is back it follows. */
static void test_a_leader_whose_disk_hangs(void **state)
{
    (void)state;
    for (uint64_t seed = 750; seed < 760; seed++) {
        struct cluster *c = ready(&(struct cluster_options){.seed = seed});
        struct led x = {c, cluster_leader(c)};
        uint64_t at = world_time(c->w);

        world_disk_speed(c->w, (unsigned)x.before, 20000000, 20000000);
        (void)cluster_command(c, (unsigned)x.before, "set b 1", 1); /* something to write */
        assert_true(world_run_until(c->w, another_leads, &x, 5000));
        assert_int_equal(cluster_set(c, "b", "2", 3000), 0);
        assert_true(world_time(c->w) - at < 6000);
        world_disk_speed(c->w, (unsigned)x.before, 120, 300);
        converge_and_end(c);
    }
}

/* --- full ------------------------------------------------------------------------------- */

/* The log's next segment has no room. */
static void full(uint64_t seed, bool leads)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = seed});
    unsigned i = leads ? (unsigned)cluster_leader(c) : cluster_follower(c);

    world_disk_capacity(c->w, i, (1u << 20) + 4096);
    write_until_failed(c, i, 479, "no space left");
    assert_true(cluster_until_ready(c, 10000)); /* the others have a leader */
    assert_int_not_equal(cluster_leader(c), (int)i);
    assert_int_equal(cluster_set(c, "b", "2", 5000), 0);
    mended(c, i);
    converge_and_end(c);
}

static void test_full_disk_of_a_follower(void **state)
{
    (void)state;
    full(401, false);
}

static void test_full_disk_of_the_leader(void **state)
{
    (void)state;
    full(402, true);
}

/* Started again while it still is full: it stops again, with the reason, and loses nothing. */
static void test_still_full_after_a_restart(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 403});
    unsigned i = cluster_follower(c);

    (void)state;
    world_disk_capacity(c->w, i, (1u << 20) + 4096);
    write_until_failed(c, i, 479, "no space left");
    for (unsigned round = 0; round < 3; round++) {
        world_kill(c->w, i);
        world_restart(c->w, i);
        world_run(c->w, 2000);
        write_until_failed(c, i, 479, "no space left");
    }
    mended(c, i);
    converge_and_end(c);
}

/* Room for the log, none for the snapshot: what of that is refused. */
static void no_room_for_snapshots(uint64_t seed, enum world_disk_what what)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = seed, .snapshot_entries = 50});
    unsigned i = cluster_follower(c);

    world_disk_fail_on(c->w, i, what, "snap/", MK_ENOSPACE, ~0u);
    write_until_failed(c, i, 0, "a snapshot could not be written (no space left");
    mended(c, i);
    converge_and_end(c);
}

static void test_no_room_for_a_snapshot(void **state)
{
    (void)state;
    no_room_for_snapshots(404, WORLD_WRITES);
}

static void test_no_room_to_begin_a_snapshot(void **state)
{
    (void)state;
    no_room_for_snapshots(405, WORLD_NAMES);
}

/* A member that was away is given a snapshot that it has no room for. */
static void test_no_room_for_a_fetched_snapshot(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 406, .snapshot_entries = 50});
    struct failed x = {c, cluster_follower(c)};
    struct mk_group_status s;
    char key[16];

    (void)state;
    world_kill(c->w, x.i);
    for (unsigned n = 0; n < 300; n++) {
        snprintf(key, sizeof key, "k%u", n % 50);
        assert_int_equal(cluster_set(c, key, "v", 5000), 0);
    }
    world_disk_fail_on(c->w, x.i, WORLD_WRITES, "snap/", MK_ENOSPACE, ~0u);
    world_restart(c->w, x.i);
    assert_true(world_run_until(c->w, has_failed, &x, 10000));
    cluster_status(c, x.i, &s);
    assert_non_null(strstr(s.why, "a snapshot could not be stored (no space left"));
    mended(c, x.i);
    converge_and_end(c);
}

/* --- failing ------------------------------------------------------------------------------- */

static void failing(uint64_t seed, bool leads, unsigned what)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = seed});
    unsigned i = leads ? (unsigned)cluster_leader(c) : cluster_follower(c);

    world_disk_fail_on(c->w, i, what, "log/", MK_EIO, 1);
    write_until_failed(c, i, 0, "the disk failed (");
    assert_true(cluster_until_ready(c, 10000));
    assert_int_not_equal(cluster_leader(c), (int)i);
    assert_int_equal(cluster_set(c, "b", "2", 5000), 0);
    world_crash(c->w, i); /* what the failed sync should have kept may be gone */
    world_restart(c->w, i);
    converge_and_end(c);
}

static void test_a_write_fails(void **state)
{
    (void)state;
    failing(410, false, WORLD_WRITES);
    failing(411, true, WORLD_WRITES);
}

static void test_a_sync_fails(void **state)
{
    (void)state;
    failing(412, false, WORLD_SYNCS);
    failing(413, true, WORLD_SYNCS);
}

/* The log cannot be read at the start: the member does not open, and names the file. */
static void test_a_read_fails_at_the_start(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 414});
    struct process *p;

    (void)state;
    world_kill(c->w, 2);
    world_disk_fail_on(c->w, 2, WORLD_READS, "log/0", MK_EIO, ~0u);
    world_restart(c->w, 2);
    p = cluster_process(c, 2);
    assert_null(p->group);
    assert_non_null(strstr(p->failed, "log/000001.seg"));
    assert_int_equal(cluster_set(c, "b", "2", 5000), 0);
    mended(c, 2);
    converge_and_end(c);
}

static void test_a_snapshot_cannot_be_read_at_the_start(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 415, .snapshot_entries = 50});
    struct process *p;
    char key[16];

    (void)state;
    for (unsigned n = 0; n < 200; n++) {
        snprintf(key, sizeof key, "k%u", n % 50);
        assert_int_equal(cluster_set(c, key, "v", 5000), 0);
    }
    assert_true(cluster_until_equal(c, 10000));
    world_kill(c->w, 2);
    world_disk_fail_on(c->w, 2, WORLD_READS, "snap/", MK_EIO, ~0u);
    world_restart(c->w, 2);
    p = cluster_process(c, 2);
    assert_null(p->group);
    assert_non_null(strstr(p->failed, "snap/"));
    mended(c, 2);
    converge_and_end(c);
}

/* Whoever leads cannot read the snapshot that a member needs: it stops, another leads and
 * gives its own. */
static void test_a_snapshot_cannot_be_given(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 416, .snapshot_entries = 50});
    unsigned away = cluster_follower(c);
    struct failed x = {c, (unsigned)cluster_leader(c)};
    struct mk_group_status s;
    char key[16];

    (void)state;
    world_kill(c->w, away);
    for (unsigned n = 0; n < 300; n++) {
        snprintf(key, sizeof key, "k%u", n % 50);
        assert_int_equal(cluster_set(c, key, "v", 5000), 0);
    }
    assert_int_equal(cluster_leader(c), (int)x.i);
    world_disk_fail_on(c->w, x.i, WORLD_READS, "snap/", MK_EIO, ~0u);
    world_restart(c->w, away);
    assert_true(world_run_until(c->w, has_failed, &x, 10000));
    cluster_status(c, x.i, &s);
    assert_non_null(strstr(s.why, "the snapshot could not be read ("));
    assert_true(cluster_until_ready(c, 10000));
    assert_int_equal(cluster_set(c, "b", "2", 5000), 0);
    mended(c, x.i);
    converge_and_end(c);
}

/* --- flipped bits ----------------------------------------------------------------------------
 */

static const char *group_hex(struct cluster *c)
{
    static char hex[MK_ID_HEX];

    return mk_id_hex(&c->deployment, hex);
}

/* A bit of the last place in its log where that text stands. The process is not up. */
static void rot_text(struct cluster *c, unsigned i, const char *text)
{
    size_t n = strlen(text);
    struct mk_buf log = {0};

    assert_int_equal(world_disk_read(c->w, i, "log/000001.seg", &log), 0);
    while (log.n > n && memcmp(log.p + log.n - n, text, n) != 0)
        log.n--;
    assert_true(log.n > n);
    world_disk_rot(c->w, i, "log/000001.seg", log.n - 2);
    mk_buf_done(&log);
}

static void flip_log(struct cluster *c, unsigned i)
{
    world_crash(c->w, i);
    rot_text(c, i, "set k30");
    world_restart(c->w, i);
}

static bool is_mended(void *arg)
{
    struct failed *x = arg;
    struct mk_group_status s;

    cluster_status(x->c, x->i, &s);
    return s.mended > 0;
}

/* It says so, with file and place, and takes no part. */
static void says_damaged(struct cluster *c, unsigned i, const char *part)
{
    struct mk_group_status s;

    cluster_status(c, i, &s);
    if (s.state != MK_GROUP_DAMAGED || strstr(s.why, part) == NULL ||
        strstr(s.why, "offset") == NULL)
        cluster_violation("member %u does not say '%s' but '%s'", i, part, s.why);
    if (s.term != 0 || s.vote != 0)
        cluster_violation("member %u takes part, damaged as it is", i);
}

/* What the others have when i begins anew: it signs nothing below that again. */
static void note_blank(struct cluster *c, unsigned i)
{
    struct mk_group_status s;

    for (unsigned k = 0; k < c->n; k++) {
        cluster_status(c, k, &s);
        c->blank[i] = s.commit > c->blank[i] ? s.commit : c->blank[i];
    }
}

/* What `coalition node --set-aside` does. */
static void set_aside(struct cluster *c, unsigned i)
{
    struct mk_buf kept = {0};

    note_blank(c, i);
    world_kill(c->w, i);
    c->aside |= 1u << i;
    world_restart(c->w, i);
    assert_int_equal(world_disk_read(c->w, i, "damaged/why", &kept), 0);
    mk_buf_done(&kept);
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

/* One member's: it is filled again from the others, with nobody's word, and votes again. */
static void test_a_flipped_bit_in_the_log(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 430});
    struct failed x = {c, 2};
    struct mk_group_status s;

    (void)state;
    write_some(c, 60);
    assert_true(cluster_until_equal(c, 5000));
    note_blank(c, 2);
    flip_log(c, 2);
    says_damaged(c, 2, "log/000001.seg: damaged records");
    assert_true(world_run_until(c->w, is_mended, &x, 20000));
    cluster_status(c, 2, &s);
    assert_int_equal(s.damages, 1);
    assert_true(cluster_until_equal(c, 20000));
    assert_true(cluster_until_settled(c, 10000));
    world_crash(c->w, 2); /* what it has now lasts */
    world_restart(c->w, 2);
    world_kill(c->w, 1);
    assert_true(cluster_until_ready(c, 10000)); /* and its vote counts */
    assert_int_equal(cluster_set(c, "c", "3", 5000), 0);
    world_restart(c->w, 1);
    converge_and_end(c);
}

static bool leads_now(void *arg)
{
    struct failed *x = arg;

    return cluster_leader(x->c) == (int)x->i;
}

static bool is_seated(void *arg)
{
    struct failed *x = arg;

    return cluster_in_roster(x->c, x->i);
}

/* The same where the leader came with a later roster than the damaged one knows of: it asks him
 * too, once the others have shown it the chain of rosters. */
static void test_a_leader_of_a_later_roster(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 432, .spares = 1});
    struct failed x = {c, 1}, newcomer = {c, 3};

    (void)state;
    write_some(c, 60);
    assert_true(cluster_until_equal(c, 5000));
    assert_int_equal(cluster_propose(c, 0xb), 0); /* 3 in the place of 2 */
    assert_true(world_run_until(c->w, is_seated, &newcomer, 20000));
    assert_true(cluster_until_settled(c, 20000));
    world_kill(c->w, 2);
    assert_int_equal(mk_group_transfer(cluster_group(c, (unsigned)cluster_leader(c)), &c->peers[3]),
                     0);
    assert_true(world_run_until(c->w, leads_now, &newcomer, 5000));
    note_blank(c, 1);
    flip_log(c, 1);
    assert_true(world_run_until(c->w, is_mended, &x, 20000));
    assert_true(cluster_until_settled(c, 10000));
    assert_int_equal(cluster_set(c, "c", "3", 5000), 0);
    world_restart(c->w, 2);
    converge_and_end(c);
}

static void test_a_flipped_bit_in_a_snapshot(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 431, .snapshot_entries = 50});
    struct failed x = {c, 1};
    struct mk_group_status s;
    char path[160];

    (void)state;
    write_some(c, 180);
    assert_true(cluster_until_equal(c, 5000));
    cluster_status(c, 1, &s);
    assert_true(s.snapshot > 0);
    snprintf(path, sizeof path, "snap/%s/%016llx.snap", group_hex(c),
             (unsigned long long)s.snapshot);
    note_blank(c, 1);
    world_kill(c->w, 1);
    world_disk_rot(c->w, 1, path, 300);
    world_restart(c->w, 1);
    says_damaged(c, 1, ".snap: a damaged chunk at offset 0");
    world_crash(c->w, 1); /* a restart changes nothing */
    world_restart(c->w, 1);
    says_damaged(c, 1, ".snap: a damaged chunk at offset 0");
    assert_true(cluster_until_ready(c, 10000));
    assert_int_equal(cluster_set(c, "b", "2", 5000), 0);
    assert_true(world_run_until(c->w, is_mended, &x, 20000));
    assert_true(cluster_until_equal(c, 20000));
    assert_true(cluster_until_settled(c, 10000));
    converge_and_end(c);
}

/* Protocol-Aware Recovery's case: an entry is on two of three disks and acknowledged, the third
 * member is behind. One of the two loses it to a flipped bit; the other is away. The damaged one
 * must not help the third to lead without the entry. */
static void test_a_flipped_bit_and_one_behind(void **state)
{
    for (uint64_t seed = 434; seed < 444; seed++) {
        struct cluster *c = ready(&(struct cluster_options){.seed = seed});
        unsigned leader = (unsigned)cluster_leader(c), behind = (leader + 1) % 3;
        struct failed x = {c, (leader + 2) % 3};

        (void)state;
        write_some(c, 20);
        assert_true(cluster_until_equal(c, 5000));
        world_isolate(c->w, behind);
        assert_int_equal(cluster_set(c, "only", "two", 5000), 0);
        world_run(c->w, 300); /* the newest frame has one behind it */
        world_crash(c->w, leader);
        world_crash(c->w, x.i);
        note_blank(c, x.i);
        rot_text(c, x.i, "only");
        world_heal(c->w);
        world_restart(c->w, x.i);
        says_damaged(c, x.i, "log/000001.seg: damaged records");
        world_run(c->w, 3000);
        assert_int_equal(cluster_leader(c), -1);
        says_damaged(c, x.i, "log/000001.seg: damaged records");
        world_restart(c->w, leader); /* who has it */
        assert_true(world_run_until(c->w, is_mended, &x, 20000));
        assert_true(cluster_until_equal(c, 20000));
        assert_string_equal(cluster_value(c, x.i, "only"), "two");
        assert_true(cluster_until_settled(c, 10000));
        converge_and_end(c);
    }
}

static bool has_caught_up(void *arg)
{
    struct failed *x = arg;
    struct mk_group_status s, l;

    cluster_status(x->c, x->i, &s);
    cluster_status(x->c, (unsigned)cluster_leader(x->c), &l);
    return s.applied == l.applied && s.applied > 0;
}

/* The leader's snapshot, which a member that was away needs: the leader finds out when it reads
 * the chunk, gives nothing of it, and takes another of the state in its memory. */
static void test_a_flipped_bit_in_what_is_given(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 433, .snapshot_entries = 50});
    struct failed x = {c, cluster_follower(c)};
    unsigned leader = (unsigned)cluster_leader(c);
    struct mk_group_status s;
    char path[160];

    (void)state;
    world_kill(c->w, x.i);
    write_some(c, 220);
    cluster_status(c, leader, &s);
    snprintf(path, sizeof path, "snap/%s/%016llx.snap", group_hex(c),
             (unsigned long long)s.snapshot);
    world_disk_rot(c->w, leader, path, 300);
    world_restart(c->w, x.i);
    assert_true(world_run_until(c->w, has_caught_up, &x, 20000));
    cluster_status(c, leader, &s);
    assert_int_equal(s.damages, 1);
    assert_non_null(strstr(s.damage, path));
    assert_non_null(strstr(s.damage, ": a damaged chunk at offset 0"));
    assert_int_equal(cluster_leader(c), (int)leader);
    world_crash(c->w, leader); /* what it has on disk is whole again */
    world_restart(c->w, leader);
    assert_true(cluster_until_ready(c, 10000));
    assert_int_equal(cluster_set(c, "b", "2", 5000), 0);
    assert_true(cluster_until_settled(c, 10000));
    converge_and_end(c);
}

/* A majority's: the group halts, says so, and nothing is made up. */
static void test_flipped_bits_of_a_majority(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 432});
    struct mk_group_status s;

    (void)state;
    write_some(c, 60);
    assert_true(cluster_until_equal(c, 5000));
    flip_log(c, 1);
    flip_log(c, 2);
    for (unsigned round = 0; round < 2; round++) {
        world_run(c->w, 5000);
        says_damaged(c, 1, "log/000001.seg: damaged records");
        says_damaged(c, 2, "log/000001.seg: damaged records");
        assert_int_equal(cluster_command(c, 0, "set b 2", 3000), MK_ETIMEDOUT);
        cluster_status(c, 0, &s);
        assert_non_null(strstr(s.why, "no majority: 2 members are damaged"));
        for (unsigned i = 1; i < 3; i++) {
            world_crash(c->w, i); /* another start does not help, nor harm */
            world_restart(c->w, i);
        }
    }
    set_aside(c, 1); /* against the advice */
    set_aside(c, 2);
    world_run(c->w, 5000);
    assert_int_equal(cluster_command(c, 0, "set b 2", 3000), MK_ETIMEDOUT);
    cluster_status(c, 0, &s);
    assert_non_null(strstr(s.why, "lost the disk"));
    assert_string_equal(cluster_value(c, 0, "b"), "");
    cluster_free(c);
}

/* The file goes; the member does not open, and names it. says lasts. */
static void lose_file(struct cluster *c, unsigned i, const char *path, const char *says)
{
    const struct process *p;

    c->excuse = says;
    world_crash(c->w, i);
    world_disk_remove(c->w, i, path);
    world_restart(c->w, i);
    p = cluster_process(c, i);
    if (p->group != NULL || strstr(p->failed, says) == NULL || strstr(p->failed, path) == NULL)
        cluster_violation("member %u does not say '%s: %s' but '%s'", i, path, says, p->failed);
}

/* One that does not open: the others go on; told to, it begins anew. */
static void begins_anew(struct cluster *c, unsigned i)
{
    assert_int_equal(cluster_set(c, "b", "2", 5000), 0);
    set_aside(c, i);
    assert_true(cluster_until_settled(c, 20000));
    converge_and_end(c);
}

/* The log's key is gone, while the log is young: it is not begun anew by itself. */
static void test_the_key_of_a_young_log_goes(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 434});

    (void)state;
    lose_file(c, 2, "log/key", "it is missing");
    begins_anew(c, 2);
}

/* ... of all: no other committee is founded in the place of this one. */
static void test_the_keys_of_all_logs_go(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 435});

    (void)state;
    for (unsigned i = 0; i < c->n; i++)
        world_crash(c->w, i);
    for (unsigned i = 0; i < c->n; i++)
        lose_file(c, i, "log/key", "it is missing");
    world_run(c->w, 5000);
    for (unsigned i = 0; i < c->n; i++)
        assert_null(cluster_process(c, i)->group);
    cluster_free(c);
}

/* The first file of a log is 1 MiB: they go on in a second one. */
static void two_segments(struct cluster *c)
{
    static char command[100000];

    memset(command, 'x', sizeof command - 1);
    memcpy(command, "fill ", 5);
    for (unsigned k = 0; k < 16; k++)
        assert_int_equal(cluster_command(c, (unsigned)cluster_leader(c), command, 10000), 0);
    assert_true(cluster_until_equal(c, 10000));
    world_run(c->w, 2000);
}

/* The file that a log goes on in, as its note says. */
static void lose_newest(struct cluster *c, unsigned i)
{
    struct mk_buf b = {0};
    unsigned best = 0;
    char path[32];

    assert_int_equal(world_disk_read(c->w, i, "log/top", &b), 0);
    for (size_t at = 0; at < b.n; at += b.n / 2) /* u64 segment, u64 file: both small here */
        if (b.p[at + 8] > b.p[best + 8])
            best = (unsigned)at;
    assert_true(b.p[best + 8] > 1);
    snprintf(path, sizeof path, "log/%06u.seg", b.p[best + 16]);
    mk_buf_done(&b);
    lose_file(c, i, path, "missing or empty");
}

/* A member whose log ends early has forgotten votes and entries: it does not open, and the others
 * go on; told to, it begins anew. */
static void test_the_newest_segment_goes(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 436});

    (void)state;
    two_segments(c);
    lose_newest(c, 2);
    begins_anew(c, 2);
}

/* ... a majority's: what was acknowledged is not made up anew without it. */
static void test_the_newest_segments_of_a_majority_go(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 437});

    (void)state;
    two_segments(c);
    world_crash(c->w, 0);
    lose_newest(c, 1);
    lose_newest(c, 2);
    world_restart(c->w, 0);
    world_run(c->w, 5000);
    assert_int_equal(cluster_command(c, 0, "set b 2", 3000), MK_ETIMEDOUT);
    assert_null(cluster_process(c, 1)->group);
    assert_null(cluster_process(c, 2)->group);
    cluster_free(c);
}

static const char *const log_files[] = {"log/000001.seg", "log/top"};

struct copy {
    struct mk_buf files[sizeof log_files / sizeof log_files[0]];
};

static void copy_log(struct cluster *c, unsigned i, struct copy *ret)
{
    for (unsigned k = 0; k < sizeof log_files / sizeof log_files[0]; k++) {
        mk_buf_clear(&ret->files[k]);
        assert_int_equal(world_disk_read(c->w, i, log_files[k], &ret->files[k]), 0);
    }
}

/* It is not up. */
static void put_back(struct cluster *c, unsigned i, struct copy *old)
{
    for (unsigned k = 0; k < sizeof log_files / sizeof log_files[0]; k++) {
        world_disk_put(c->w, i, log_files[k], mk_buf_bytes(&old->files[k]));
        mk_buf_done(&old->files[k]);
    }
}

struct told {
    struct cluster *c;
    unsigned who;
};

/* Its leader says so of it, and it of itself. */
static bool both_say_it_forgot(void *arg)
{
    struct told *x = arg;
    int leader = cluster_leader(x->c);
    struct mk_group_status s;
    char said[MK_REASON_MAX];
    bool says = false;

    if (leader < 0)
        return false;
    for (unsigned i = 0; i < 8; i++)
        says = says || (mk_group_estranged(cluster_group(x->c, (unsigned)leader), i, said) &&
                        strstr(said, "acknowledged entry") != NULL &&
                        strstr(said, "an old copy of it was put back") != NULL);
    cluster_status(x->c, (unsigned)leader, &s);
    says = says && s.forgot == 1;
    cluster_status(x->c, x->who, &s);
    return says && s.state == MK_GROUP_FAILED && strstr(s.why, "start it again") != NULL &&
           strstr(s.damage, "acknowledged entry") != NULL;
}

static bool is_filled_again(void *arg)
{
    struct told *x = arg;
    struct mk_group_status s;

    cluster_status(x->c, x->who, &s);
    return s.mended == 1;
}

/* An old copy of a log is whole, and a lie: whoever has it promised more than it knows. Its leader
 * remembers what it acknowledged; it stops, and its next start begins anew. */
static void test_an_old_log_is_put_back(void **state)
{
    (void)state;
    for (uint64_t seed = 438; seed < 443; seed++) {
        struct cluster *c = ready(&(struct cluster_options){.seed = seed});
        struct told x = {c, cluster_follower(c)};
        struct copy old = {0};

        c->excuse = "start it again";
        world_run(c->w, 1000);
        copy_log(c, x.who, &old);
        for (unsigned k = 0; k < 20; k++)
            assert_int_equal(cluster_set(c, "b", k % 2 != 0 ? "1" : "2", 5000), 0);
        assert_true(cluster_until_equal(c, 10000));
        world_run(c->w, seed % 2 != 0 ? 100 : 5000); /* the group rests then */
        world_crash(c->w, x.who);
        put_back(c, x.who, &old);
        world_restart(c->w, x.who);
        assert_true(world_run_until(c->w, both_say_it_forgot, &x, 20000));
        assert_int_equal(cluster_set(c, "c", "1", 5000), 0); /* the others go on */
        note_blank(c, x.who);
        world_crash(c->w, x.who);
        world_restart(c->w, x.who);
        assert_true(world_run_until(c->w, is_filled_again, &x, 20000));
        assert_true(cluster_until_settled(c, 20000));
        converge_and_end(c);
    }
}

/* What looks like it and is none: restarts in whatever state, again and again. */
static void test_who_forgot_nothing_is_not_told_so(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 443, .clients = 2});

    (void)state;
    cluster_workload(c, 2, 5);
    for (unsigned round = 0; round < 30; round++) {
        unsigned i = round % c->n;

        world_run(c->w, 100 + 37 * round);
        world_crash(c->w, i);
        world_run(c->w, 10 * (round % 40));
        world_restart(c->w, i);
        assert_true(cluster_until_ready(c, 20000));
        for (unsigned k = 0; k < c->n; k++) {
            struct mk_group_status s;

            cluster_status(c, k, &s);
            assert_int_equal(s.forgot, 0);
        }
    }
    cluster_workload_stop(c);
    converge_and_end(c);
}

static bool has_found_damage(void *arg)
{
    struct failed *x = arg;
    struct mk_group_status s;

    cluster_status(x->c, x->i, &s);
    return s.damages > 0;
}

/* A bit turns under a member that is up: it is found without a restart, what is in memory is
 * written anew, and the next start finds nothing. */
static void found_by_the_scrub(struct cluster *c, unsigned i, const char *part)
{
    struct failed x = {c, i};
    struct mk_group_status s;

    assert_true(world_run_until(c->w, has_found_damage, &x, 200000));
    cluster_status(c, i, &s);
    assert_non_null(strstr(s.damage, part));
    assert_true(s.state == MK_GROUP_FOLLOWING || s.state == MK_GROUP_LEADING);
    world_run(c->w, 5000);
    for (unsigned round = 0; round < 2; round++) {
        world_crash(c->w, i);
        world_restart(c->w, i);
        assert_true(cluster_until_ready(c, 20000));
        assert_true(cluster_until_equal(c, 20000));
        cluster_status(c, i, &s);
        assert_int_equal(s.damages, 0);
    }
}

static void test_a_scrub_finds_a_bit_in_the_log(void **state)
{
    for (uint64_t seed = 450; seed < 454; seed++) {
        struct cluster *c = ready(&(struct cluster_options){.seed = seed});

        (void)state;
        write_some(c, 60);
        assert_true(cluster_until_equal(c, 5000));
        rot_text(c, seed % 3, "set k30");
        found_by_the_scrub(c, seed % 3, "log/000001.seg: damaged records");
        converge_and_end(c);
    }
}

static void test_a_scrub_finds_a_bit_in_a_snapshot(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 455, .snapshot_entries = 50});
    struct mk_group_status s;
    char path[160];

    (void)state;
    write_some(c, 180);
    assert_true(cluster_until_equal(c, 5000));
    cluster_status(c, 1, &s);
    snprintf(path, sizeof path, "snap/%s/%016llx.snap", group_hex(c),
             (unsigned long long)s.snapshot);
    world_disk_rot(c->w, 1, path, 300);
    found_by_the_scrub(c, 1, ".snap: a damaged chunk at offset 0");
    converge_and_end(c);
}

/* --- never lies ------------------------------------------------------------------------------ */

static bool idle(void *arg)
{
    return cluster_workload_idle(arg);
}

/* It follows the others again, who go on meanwhile. */
static bool has_come_back(void *arg)
{
    struct failed *x = arg;
    struct mk_group_status s, l;
    int leader = cluster_leader(x->c);

    if (leader < 0)
        return false;
    cluster_status(x->c, (unsigned)leader, &l);
    cluster_status(x->c, x->i, &s);
    return s.state != MK_GROUP_FAILED && s.applied >= 2 && s.applied + 10 > l.last;
}

/* One disk after the other fails under clients, in every way; never two at once. */
static void test_failing_disks_under_load(void **state)
{
    static const unsigned what[] = {WORLD_WRITES, WORLD_SYNCS, WORLD_READS | WORLD_SYNCS,
                                    WORLD_NAMES | WORLD_WRITES};
    struct cluster *c =
        ready(&(struct cluster_options){.seed = 420, .clients = 3, .snapshot_entries = 60});

    (void)state;
    cluster_workload(c, 3, 4);
    for (unsigned round = 0; round < 16; round++) {
        struct failed x = {c, round % 3};

        world_run(c->w, round % 3 * 900);
        world_disk_fail_on(c->w, x.i, what[round % 4], NULL, round % 5 == 0 ? MK_ENOSPACE : MK_EIO,
                           1 + round % 3);
        assert_true(world_run_until(c->w, has_failed, &x, 20000));
        world_run(c->w, round * 37 % 400);
        world_crash(c->w, x.i);
        world_disk_fail_on(c->w, x.i, 0, NULL, 0, 0);
        world_restart(c->w, x.i);
        assert_true(world_run_until(c->w, has_come_back, &x, 30000));
    }
    cluster_workload_stop(c);
    assert_true(world_run_until(c->w, idle, c, 30000));
    assert_true(cluster_operations(c) > 300);
    cluster_check_history(c);
    converge_and_end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_leader_whose_disk_hangs),
        cmocka_unit_test(test_full_disk_of_a_follower),
        cmocka_unit_test(test_full_disk_of_the_leader),
        cmocka_unit_test(test_still_full_after_a_restart),
        cmocka_unit_test(test_no_room_for_a_snapshot),
        cmocka_unit_test(test_no_room_to_begin_a_snapshot),
        cmocka_unit_test(test_no_room_for_a_fetched_snapshot),
        cmocka_unit_test(test_a_write_fails),
        cmocka_unit_test(test_a_sync_fails),
        cmocka_unit_test(test_a_read_fails_at_the_start),
        cmocka_unit_test(test_a_snapshot_cannot_be_read_at_the_start),
        cmocka_unit_test(test_a_snapshot_cannot_be_given),
        cmocka_unit_test(test_a_flipped_bit_in_the_log),
        cmocka_unit_test(test_a_leader_of_a_later_roster),
        cmocka_unit_test(test_a_flipped_bit_in_a_snapshot),
        cmocka_unit_test(test_a_flipped_bit_and_one_behind),
        cmocka_unit_test(test_a_flipped_bit_in_what_is_given),
        cmocka_unit_test(test_flipped_bits_of_a_majority),
        cmocka_unit_test(test_the_key_of_a_young_log_goes),
        cmocka_unit_test(test_the_keys_of_all_logs_go),
        cmocka_unit_test(test_the_newest_segment_goes),
        cmocka_unit_test(test_the_newest_segments_of_a_majority_go),
        cmocka_unit_test(test_an_old_log_is_put_back),
        cmocka_unit_test(test_who_forgot_nothing_is_not_told_so),
        cmocka_unit_test(test_a_scrub_finds_a_bit_in_the_log),
        cmocka_unit_test(test_a_scrub_finds_a_bit_in_a_snapshot),
        cmocka_unit_test(test_failing_disks_under_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
