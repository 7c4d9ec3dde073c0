/* test_quiet.c - groups at rest: who falls quiet, who does not, and what wakes whom. */
#include "unit.h"

#include "consensus/core.h"
#include "raft_world.h"

static struct world *three(uint64_t seed)
{
    struct world *w = world_new(seed);

    w->election_ms = w->heartbeat_ms = 0;
    w->delay_max = 1;
    w->hints = true;
    world_boot(w, 3);
    assert_non_null(world_wait_leader(w, 3000));
    assert_true(world_wait_agreement(w, 1000));
    world_run(w, 300); /* all know what is committed */
    return w;
}

static void done(struct world *w)
{
    if (w->found != NULL)
        fail_msg("%s", w->found);
    world_free(w);
}

static unsigned quiet_ones(const struct world *w)
{
    unsigned n = 0;

    for (unsigned i = 1; i <= 3; i++)
        n += w->node[i].up && mk_consensus_is_quiet(w->node[i].c);
    return n;
}

static struct world_node *some_follower(struct world *w)
{
    return world_leader(w)->id == 1 ? &w->node[2] : &w->node[1];
}

/* All three are quiet, without any message under way. */
static struct world *quiet(uint64_t seed)
{
    struct world *w = three(seed);

    assert_int_equal(world_rest(w, world_leader(w)), 0);
    world_run(w, 10);
    assert_int_equal(quiet_ones(w), 3);
    return w;
}

static void a_quiet_group_does_nothing_at_all(void **state)
{
    struct world *w = quiet(1);
    uint64_t events = w->events, term = world_leader(w)->term;

    (void)state;
    world_run(w, 3600000);
    assert_int_equal(w->events, events);
    for (unsigned i = 1; i <= 3; i++)
        assert_true(w->node[i].deadline == UINT64_MAX);
    assert_int_equal(world_leader(w)->term, term);
    done(w);
}

static void a_command_wakes_all(void **state)
{
    struct world *w = quiet(2);
    struct world_node *l = world_leader(w);
    uint64_t term = l->term, committed = w->committed;

    (void)state;
    world_run(w, 100000);
    assert_int_equal(world_submit(w, l, 10), 0);
    world_run(w, 50);
    assert_true(w->committed > committed);
    assert_int_equal(quiet_ones(w), 0);
    world_run(w, 5000); /* and the leader's heartbeats go on */
    assert_ptr_equal(world_leader(w), l);
    assert_int_equal(l->term, term);
    assert_true(world_wait_agreement(w, 100));
    assert_int_equal(world_rest(w, l), 0);
    world_run(w, 10);
    assert_int_equal(quiet_ones(w), 3);
    done(w);
}

static void a_read_wakes_the_leader(void **state)
{
    struct world *w = quiet(3);
    uint64_t reads = w->reads;

    (void)state;
    world_run(w, 100000);
    assert_true(world_read(w, world_leader(w)));
    world_run(w, 100);
    assert_int_equal(w->reads, reads + 1);
    done(w);
}

static void a_broken_link_to_the_leader_wakes(void **state)
{
    struct world *w = quiet(4);
    struct world_node *l = world_leader(w);
    uint64_t at;

    (void)state;
    world_run(w, 1000000);
    at = w->now;
    world_crash(w, (unsigned)l->id);
    assert_non_null(world_wait_leader(w, 1000));
    assert_ptr_not_equal(world_leader(w), l);
    assert_true(w->now - at < 200);
    done(w);
}

/* Silence is the owner's to notice; the time that it noticed counts as heartbeats missed. */
static void a_silent_leader_is_replaced_after_one_timer(void **state)
{
    struct world *w = quiet(5);
    struct world_node *l = world_leader(w);
    uint64_t heard, at;

    (void)state;
    world_run(w, 1000000);
    heard = w->now;
    w->hints = false;
    world_isolate(w, (unsigned)l->id, true);
    world_run(w, 300);
    at = w->now;
    for (unsigned i = 1; i <= 3; i++)
        if (i != l->id)
            world_wake(w, &w->node[i], heard);
    assert_non_null(world_wait_leader(w, 1000));
    while (world_leader(w) == l)
        world_run(w, 1);
    assert_true(w->now - at < 600);
    done(w);
}

/* A follower that wakes by itself, while all live, does not unseat its leader. */
static void a_follower_that_wakes_hears_its_leader(void **state)
{
    struct world *w = quiet(6);
    struct world_node *l = world_leader(w), *f = some_follower(w);
    uint64_t term = l->term;

    (void)state;
    world_run(w, 1000000);
    world_wake(w, f, w->now);
    world_run(w, 3000);
    assert_ptr_equal(world_leader(w), l);
    assert_int_equal(l->term, term);
    assert_false(mk_consensus_is_quiet(l->c));
    done(w);
}

static void who_lacks_an_entry_keeps_all_awake(void **state)
{
    struct world *w = three(7);
    struct world_node *l = world_leader(w), *f = some_follower(w);

    (void)state;
    w->hints = false;
    world_isolate(w, (unsigned)f->id, true); /* its link does not break */
    assert_int_equal(world_submit(w, l, 10), 0);
    world_run(w, 50);
    assert_int_equal(mk_consensus_commit(l->c), mk_consensus_last(l->c));
    assert_int_equal(world_rest(w, l), MK_EFULL);
    assert_int_equal(quiet_ones(w), 0);
    world_heal(w);
    assert_true(world_wait_agreement(w, 3000));
    done(w);
}

/* With a link that is known to be broken the others may rest; they wake when it is back. */
static void who_is_away_hinders_nobody(void **state)
{
    struct world *w = three(8);
    struct world_node *l = world_leader(w), *f = some_follower(w);

    (void)state;
    world_crash(w, (unsigned)f->id);
    world_run(w, 300);
    assert_int_equal(world_rest(w, l), 0);
    world_run(w, 10);
    assert_int_equal(quiet_ones(w), 2);
    world_run(w, 100000);
    world_start(w, (unsigned)f->id);
    assert_true(world_wait_agreement(w, 3000));
    assert_ptr_equal(world_leader(w), l);
    done(w);
}

static void put_quiet(struct mk_buf *b, uint64_t term, uint64_t index, uint64_t index_term)
{
    struct mk_message m = {
        .kind = MK_MSG_QUIET, .term = term, .index = index, .index_term = index_term, .round = 1};

    mk_buf_clear(b);
    mk_message_encode(&m, NULL, b);
}

static void another_term_leader_or_log_is_not_believed(void **state)
{
    struct world *w = three(9);
    struct world_node *l = world_leader(w), *f = some_follower(w);
    uint64_t other = 6 - l->id - f->id, last = mk_consensus_last(f->c), term = l->term;
    struct mk_buf b = {0};

    (void)state;
    put_quiet(&b, term - 1, last, term - 1);
    assert_int_equal(world_forge(w, f, l->id, mk_buf_bytes(&b)), 0);
    assert_false(mk_consensus_is_quiet(f->c));
    put_quiet(&b, term + 1, last, term);
    assert_int_equal(world_forge(w, f, l->id, mk_buf_bytes(&b)), 0);
    assert_false(mk_consensus_is_quiet(f->c));
    assert_int_equal(mk_consensus_term(f->c), term);
    put_quiet(&b, term, last + 1, term);
    assert_int_equal(world_forge(w, f, l->id, mk_buf_bytes(&b)), 0);
    assert_false(mk_consensus_is_quiet(f->c));
    put_quiet(&b, term, last - 1, term);
    assert_int_equal(world_forge(w, f, l->id, mk_buf_bytes(&b)), 0);
    assert_false(mk_consensus_is_quiet(f->c));
    put_quiet(&b, term, last, term);
    assert_int_equal(world_forge(w, f, other, mk_buf_bytes(&b)), 0);
    assert_false(mk_consensus_is_quiet(f->c));
    assert_int_equal(world_forge(w, f, l->id, mk_buf_bytes(&b)), 0);
    assert_true(mk_consensus_is_quiet(f->c)); /* the very one */
    mk_buf_done(&b);
    world_run(w, 1000); /* its leader did not rest: heartbeats leave it asleep */
    assert_true(mk_consensus_is_quiet(f->c));
    assert_int_equal(world_submit(w, l, 10), 0);
    world_run(w, 200);
    assert_false(mk_consensus_is_quiet(f->c));
    done(w);
}

/* Some sleep by the word of a leader that is none any more: it tells them. */
static void a_leader_that_goes_wakes_its_followers(void **state)
{
    struct world *w = quiet(10);
    struct world_node *l = world_leader(w), *f = some_follower(w);
    struct world_node *other = &w->node[6 - l->id - f->id];
    uint64_t term = l->term;

    (void)state;
    /* f and its leader see a candidate of a later term; the third one cannot be heard by it. */
    w->cut[other->id][f->id] = w->cut[f->id][other->id] = true;
    assert_int_equal(world_transfer(w, l, f->id), 0);
    while (world_leader(w) == l || world_leader(w) == NULL)
        world_run(w, 1);
    assert_ptr_equal(world_leader(w), f);
    assert_true(f->term > term);
    world_run(w, 20);
    assert_false(mk_consensus_is_quiet(other->c));
    world_heal(w);
    assert_true(world_wait_agreement(w, 5000));
    done(w);
}

static void only_a_beat_of_its_leader_counts(void **state)
{
    struct world *w = quiet(11);
    struct world_node *l = world_leader(w), *f = some_follower(w);
    uint64_t other = 6 - l->id - f->id, from = w->now;

    (void)state;
    world_run(w, 10000);
    mk_consensus_heard(f->c, other, w->now);
    assert_true(f->c->beat <= from);
    mk_consensus_heard(f->c, l->id, w->now - 5);
    assert_int_equal(f->c->beat, w->now - 5);
    mk_consensus_heard(f->c, l->id, w->now - 50); /* never back */
    assert_int_equal(f->c->beat, w->now - 5);
    done(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quiet_group_does_nothing_at_all),
        cmocka_unit_test(a_command_wakes_all),
        cmocka_unit_test(a_read_wakes_the_leader),
        cmocka_unit_test(a_broken_link_to_the_leader_wakes),
        cmocka_unit_test(a_silent_leader_is_replaced_after_one_timer),
        cmocka_unit_test(a_follower_that_wakes_hears_its_leader),
        cmocka_unit_test(who_lacks_an_entry_keeps_all_awake),
        cmocka_unit_test(who_is_away_hinders_nobody),
        cmocka_unit_test(another_term_leader_or_log_is_not_believed),
        cmocka_unit_test(a_leader_that_goes_wakes_its_followers),
        cmocka_unit_test(only_a_beat_of_its_leader_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
