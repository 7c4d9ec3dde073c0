/* test_consensus.c - members of one log: elections and how long they take, changes,
 * snapshots, reads, and what a stranger's bytes may do. */
#include "unit.h"

#include "consensus/core.h"
#include "raft_world.h"

#include <stdlib.h>

static struct mk_configuration servers(unsigned voters, unsigned learners)
{
    struct mk_configuration c = {.n = voters + learners};

    for (unsigned i = 0; i < c.n; i++)
        c.servers[i] = (struct mk_server){i + 1, i < voters ? MK_SERVER_VOTER : MK_SERVER_LEARNER};
    return c;
}

/* Three voters with the default times, and a leader. */
static struct world *three(uint64_t seed, bool hints)
{
    struct world *w = world_new(seed);

    w->election_ms = w->heartbeat_ms = 0;
    w->delay_max = 1;
    w->hints = hints;
    world_boot(w, 3);
    assert_non_null(world_wait_leader(w, 3000));
    assert_true(world_wait_agreement(w, 1000));
    return w;
}

static void done(struct world *w)
{
    if (w->found != NULL)
        fail_msg("%s", w->found);
    world_free(w);
}

static int u64_cmp(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

#define ROUNDS 41

/* Milliseconds without a leader that commits, in order. */
static void failovers(uint64_t out[ROUNDS], bool crash)
{
    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        struct world *w = three(seed, crash);
        struct world_node *l = world_leader(w);
        uint64_t start;

        world_run(w, 100 + world_random(w, 100));
        start = w->now;
        if (crash)
            world_crash(w, (unsigned)l->id);
        else
            world_isolate(w, (unsigned)l->id, true); /* silent, and no link breaks */
        while (world_leader(w) == l || world_leader(w) == NULL ||
               !mk_consensus_ready(world_leader(w)->c))
            world_run(w, 1);
        out[seed] = w->now - start;
        done(w);
    }
    qsort(out, ROUNDS, sizeof *out, u64_cmp);
}

static void a_killed_leader_is_replaced_at_once(void **state)
{
    uint64_t ms[ROUNDS];

    (void)state;
    failovers(ms, true);
    print_message("# killed: median %d ms, worst %d ms\n", (int)ms[ROUNDS / 2],
                  (int)ms[ROUNDS - 1]);
    assert_true(ms[ROUNDS / 2] < 60);
    assert_true(ms[ROUNDS - 1] < 400);
}

static void a_silent_leader_is_replaced_after_one_timer(void **state)
{
    uint64_t ms[ROUNDS];

    (void)state;
    failovers(ms, false);
    print_message("# silent: median %d ms, worst %d ms\n", (int)ms[ROUNDS / 2],
                  (int)ms[ROUNDS - 1]);
    assert_true(ms[ROUNDS / 2] < 450);
    assert_true(ms[ROUNDS - 1] < 900);
}

static void idle_members_wake_rarely(void **state)
{
    struct world *w = three(5, true);
    uint64_t events, woken[4];

    (void)state;
    for (unsigned i = 1; i <= 3; i++)
        woken[i] = w->node[i].timeouts;
    events = w->events;
    world_run(w, 10000);
    for (unsigned i = 1; i <= 3; i++) {
        bool leads = &w->node[i] == world_leader(w);

        assert_true(w->node[i].timeouts - woken[i] <= (leads ? 210 : 60));
    }
    assert_true(w->events - events < 1000); /* in ten seconds, all three together */
    done(w);
}

static void an_isolated_follower_disturbs_nobody(void **state)
{
    struct world *w = three(6, false);
    struct world_node *l = world_leader(w);
    unsigned f = l->id == 1 ? 2 : 1;
    uint64_t term = l->term;

    (void)state;
    world_isolate(w, f, true);
    world_run(w, 5000);
    world_isolate(w, f, false);
    world_run(w, 2000);
    assert_ptr_equal(world_leader(w), l);
    assert_int_equal(l->term, term);
    done(w);
}

/* A hint that is wrong: the link to a living leader broke, for one follower. */
static void a_wrong_hint_costs_nothing(void **state)
{
    struct world *w = three(7, false);
    struct world_node *l = world_leader(w), *f = &w->node[l->id == 1 ? 2 : 1];
    uint64_t term = l->term;

    (void)state;
    for (int i = 0; i < 20; i++) {
        mk_consensus_link(f->c, l->id, true, w->now);
        mk_consensus_link(f->c, l->id, false, w->now);
        f->deadline = w->now;
        world_run(w, 333);
    }
    assert_ptr_equal(world_leader(w), l);
    assert_int_equal(l->term, term);
    done(w);
}

static void an_isolated_leader_steps_down_and_confirms_no_read(void **state)
{
    struct world *w = three(8, false);
    struct world_node *l = world_leader(w);

    (void)state;
    assert_true(world_read(w, l));
    world_run(w, 50);
    assert_int_equal(w->reads, 1);
    world_isolate(w, (unsigned)l->id, true);
    assert_true(world_read(w, l));
    world_run(w, 2000);
    assert_int_equal(w->reads, 1);
    assert_int_equal(mk_consensus_role(l->c) == MK_ROLE_LEADER, false);
    world_heal(w);
    assert_true(world_wait_agreement(w, 3000));
    done(w);
}

static void leadership_moves_on_request(void **state)
{
    struct world *w = three(9, false);
    struct world_node *l = world_leader(w);
    uint64_t to = l->id == 1 ? 2 : 1, start = w->now;

    (void)state;
    assert_int_equal(world_transfer(w, l, 9), MK_ENOTFOUND);
    assert_int_equal(world_transfer(w, l, to), 0);
    assert_int_equal(world_submit(w, l, 3), MK_ENOTLEADER);
    while (w->node[to].role != MK_ROLE_LEADER && w->now < start + 2000)
        world_run(w, 1);
    assert_true(w->now - start < 100);
    assert_true(world_wait_agreement(w, 1000));
    assert_int_equal(world_submit(w, &w->node[to], 3), 0);
    done(w);
}

static void a_learner_catches_up_and_is_promoted(void **state)
{
    struct world *w = three(10, false);
    struct world_node *l = world_leader(w);
    struct mk_configuration conf = servers(3, 1);
    struct mk_configuration leap = servers(5, 0);

    (void)state;
    for (int i = 0; i < 50; i++)
        assert_int_equal(world_submit(w, l, 100), 0);
    assert_true(world_wait_agreement(w, 1000));
    for (unsigned i = 1; i <= 3; i++)
        assert_true(world_snapshot(w, &w->node[i], 2));
    world_start(w, 4);
    assert_int_equal(world_change(w, l, &leap), MK_EINVALID);
    assert_int_equal(world_change(w, l, &conf), 0);
    assert_int_equal(world_change(w, l, &conf), MK_EINVALID); /* that is the present one */
    world_run(w, 2000);
    assert_int_equal(w->installs, 1);
    assert_int_equal(w->node[4].applied, l->applied);
    conf.servers[3].role = MK_SERVER_VOTER;
    assert_int_equal(world_change(w, l, &conf), 0);
    assert_true(world_wait_agreement(w, 1000));
    assert_int_equal(mk_configuration_voters(mk_consensus_configuration(w->node[4].c)), 4);
    done(w);
}

static void a_removed_leader_goes(void **state)
{
    struct world *w = three(11, false);
    struct world_node *l = world_leader(w);
    struct mk_configuration conf = servers(3, 0);

    (void)state;
    for (unsigned i = 0; i < conf.n; i++)
        if (conf.servers[i].id == l->id)
            conf.servers[i] = conf.servers[--conf.n];
    assert_int_equal(world_change(w, l, &conf), 0);
    world_run(w, 2000);
    assert_true(world_leader(w) != l && world_leader(w) != NULL);
    assert_int_equal(world_submit(w, world_leader(w), 5), 0);
    assert_true(world_wait_agreement(w, 1000));
    done(w);
}

static void one_member_alone_commits(void **state)
{
    struct world *w = world_new(12);

    (void)state;
    world_boot(w, 1);
    assert_non_null(world_wait_leader(w, 2000));
    assert_int_equal(world_submit(w, &w->node[1], 5), 0);
    assert_true(world_wait_agreement(w, 1000));
    assert_true(world_read(w, &w->node[1]));
    assert_int_equal(w->reads, 1);
    world_crash(w, 1);
    world_start(w, 1);
    assert_non_null(world_wait_leader(w, 2000));
    assert_true(world_wait_agreement(w, 1000));
    done(w);
}

static void large_entries_travel_in_pieces(void **state)
{
    struct world *w = three(13, false);
    struct world_node *l = world_leader(w);
    unsigned f = l->id == 1 ? 2 : 1;

    (void)state;
    world_crash(w, f);
    for (int i = 0; i < 20; i++)
        assert_int_equal(world_submit(w, l, 100000), 0);
    assert_int_equal(world_submit(w, l, MK_CONSENSUS_ENTRY_MAX), 0);
    assert_int_equal(world_submit(w, l, MK_CONSENSUS_ENTRY_MAX + 1), MK_ELIMIT);
    world_start(w, f);
    assert_true(world_wait_agreement(w, 5000));
    done(w);
}

static void a_backlog_says_full(void **state)
{
    struct world *w = three(14, false);
    struct world_node *l = world_leader(w);
    int rv = 0, n = 0;

    (void)state;
    for (unsigned i = 1; i <= 3; i++)
        if (i != l->id)
            world_crash(w, i);
    while (n < 200 && (rv = world_submit(w, l, MK_CONSENSUS_ENTRY_MAX)) == 0)
        n++;
    assert_int_equal(rv, MK_EFULL);
    assert_in_range(n, 64, 66);
    done(w);
}

/* --- what is stored --------------------------------------------------------------- */

static int open_stored(const struct mk_snapshot_meta *snap, uint64_t term, uint64_t first,
                       const uint64_t *terms, unsigned n)
{
    struct mk_consensus_options o = {.id = 1};
    struct mk_configuration conf = servers(3, 0);
    struct mk_entry e[8];
    struct mk_consensus_start s = {
        .term = term, .snapshot = snap, .first_index = first, .entries = e, .n_entries = n};
    struct mk_consensus *c;
    struct mk_buf b = {0};
    int rv;

    mk_configuration_encode(&conf, &b);
    for (unsigned i = 0; i < n; i++)
        e[i] = first + i == 1 ? (struct mk_entry){terms[i], MK_ENTRY_CHANGE, mk_blob_new(b.p, b.n)}
                              : (struct mk_entry){terms[i], MK_ENTRY_COMMAND, mk_blob_new("", 0)};
    mk_buf_done(&b);
    rv = mk_consensus_open(&c, &o, &s, 0);
    for (unsigned i = 0; i < n; i++)
        mk_blob_unref(e[i].blob);
    if (rv == 0)
        mk_consensus_free(c);
    return rv;
}

static void what_is_no_log_does_not_open(void **state)
{
    struct mk_snapshot_meta snap = {
        .index = 3, .term = 2, .configuration_index = 1, .configuration = servers(3, 0)};

    (void)state;
    assert_int_equal(open_stored(NULL, 1, 1, (uint64_t[]){1, 1}, 2), 0);
    assert_int_equal(open_stored(NULL, 0, 1, NULL, 0), 0);
    assert_int_equal(open_stored(NULL, 1, 2, (uint64_t[]){1, 1}, 2), MK_ECORRUPT);
    assert_int_equal(open_stored(NULL, 3, 1, (uint64_t[]){2, 1}, 2), MK_ECORRUPT);
    assert_int_equal(open_stored(NULL, 1, 1, (uint64_t[]){1, 2}, 2), MK_ECORRUPT);
    assert_int_equal(open_stored(&snap, 2, 4, (uint64_t[]){2, 2}, 2), 0);
    assert_int_equal(open_stored(&snap, 2, 5, (uint64_t[]){2, 2}, 2), MK_ECORRUPT);
    assert_int_equal(open_stored(&snap, 2, 2, (uint64_t[]){1, 2, 2}, 3), 0);
    assert_int_equal(open_stored(&snap, 2, 2, (uint64_t[]){1, 1, 2}, 3), MK_ECORRUPT);
    assert_int_equal(open_stored(&snap, 1, 4, (uint64_t[]){1}, 1), MK_ECORRUPT);
}

/* --- bytes from outside ------------------------------------------------------------- */

static void sample(struct mk_message *m, struct mk_log *log, struct mk_snapshot_meta *snap,
                   enum mk_message_kind kind)
{
    *m = (struct mk_message){.kind = kind,
                             .term = 9,
                             .index = 4,
                             .index_term = 3,
                             .commit = 2,
                             .rejected = 1,
                             .round = 77,
                             .granted = true,
                             .pre_vote = true};
    mk_log_reset(log, 5);
    *snap = (struct mk_snapshot_meta){.index = 8,
                                      .term = 3,
                                      .configuration_index = 1,
                                      .configuration = servers(2, 1),
                                      .handle = {1, 2, 3},
                                      .handle_n = 3};
    if (kind == MK_MSG_INSTALL)
        m->snapshot = snap;
    if (kind == MK_MSG_APPEND) {
        for (uint64_t t = 3; t < 6; t++)
            mk_log_append(log, (struct mk_entry){t, MK_ENTRY_COMMAND, mk_blob_new("abcdef", t)});
        m->n = 3;
    }
}

static void every_message_survives_its_bytes(void **state)
{
    (void)state;
    for (int kind = MK_MSG_APPEND; kind <= MK_MSG_PONG; kind++) {
        struct mk_log log = {0}, copy = {0};
        struct mk_snapshot_meta snap;
        struct mk_message m, back;
        struct mk_buf a = {0}, b = {0};

        sample(&m, &log, &snap, (enum mk_message_kind)kind);
        mk_message_encode(&m, &log, &a);
        assert_int_equal(mk_message_decode(&back, mk_buf_bytes(&a)), 0);
        mk_log_reset(&copy, 5);
        for (uint32_t i = 0; i < back.n; i++) {
            mk_blob_ref(back.entries[i].blob);
            mk_log_append(&copy, back.entries[i]);
        }
        mk_message_encode(&back, &copy, &b);
        assert_true(mk_bytes_eq(mk_buf_bytes(&a), mk_buf_bytes(&b)));
        mk_message_done(&back);
        mk_log_done(&log);
        mk_log_done(&copy);
        mk_buf_done(&a);
        mk_buf_done(&b);
    }
}

static void cut_or_longer_bytes_are_refused(void **state)
{
    (void)state;
    for (int kind = MK_MSG_APPEND; kind <= MK_MSG_PONG; kind++) {
        struct mk_log log = {0};
        struct mk_snapshot_meta snap;
        struct mk_message m, back;
        struct mk_buf b = {0};

        sample(&m, &log, &snap, (enum mk_message_kind)kind);
        mk_message_encode(&m, &log, &b);
        for (size_t n = 0; n < b.n; n++)
            assert_int_equal(mk_message_decode(&back, MK_BYTES(b.p, n)), MK_EMALFORMED);
        mk_buf_put_u8(&b, 0);
        assert_int_equal(mk_message_decode(&back, mk_buf_bytes(&b)), MK_EMALFORMED);
        mk_log_done(&log);
        mk_buf_done(&b);
    }
}

/* A member that hears every one-byte change of real messages stays a member. */
static void altered_bytes_never_break_a_member(void **state)
{
    struct world *w = three(15, false);
    struct world_node *l = world_leader(w), *f = &w->node[l->id == 1 ? 2 : 1];
    uint64_t last = mk_consensus_last(f->c), commit = mk_consensus_commit(f->c);

    (void)state;
    for (int kind = MK_MSG_APPEND; kind <= MK_MSG_PONG; kind++) {
        struct mk_log log = {0};
        struct mk_snapshot_meta snap;
        struct mk_message m;
        struct mk_buf b = {0};

        sample(&m, &log, &snap, (enum mk_message_kind)kind);
        m.term = 1; /* old: whatever it says, it changes nothing committed */
        m.index_term = 1;
        m.n = 0;
        snap.term = 1;
        mk_message_encode(&m, &log, &b);
        for (size_t i = 9; i < b.n; i++)
            for (unsigned bit = 0; bit < 8; bit++) {
                int rv;

                b.p[i] ^= (uint8_t)(1u << bit);
                rv = mk_consensus_receive(f->c, l->id, mk_buf_bytes(&b), w->now);
                assert_true(rv == 0 || rv == MK_EMALFORMED || rv == MK_EPROTOCOL);
                b.p[i] ^= (uint8_t)(1u << bit);
            }
        mk_log_done(&log);
        mk_buf_done(&b);
    }
    assert_true(mk_core_check(f->c));
    assert_int_equal(mk_consensus_last(f->c), last);
    assert_int_equal(mk_consensus_commit(f->c), commit);
    assert_int_equal(world_submit(w, l, 5), 0);
    assert_true(world_wait_agreement(w, 3000));
    done(w);
}

static int tell(struct mk_consensus *c, uint64_t from, struct mk_message m, struct mk_entry *e)
{
    struct mk_log log = {0};
    struct mk_buf b = {0};
    int rv;

    mk_log_reset(&log, m.index + 1);
    if (e != NULL)
        mk_log_append(&log, *e);
    m.n = e != NULL;
    mk_message_encode(&m, &log, &b);
    rv = mk_consensus_receive(c, from, mk_buf_bytes(&b), c->now);
    mk_log_done(&log);
    mk_buf_done(&b);
    return rv;
}

static void a_liar_is_told_so(void **state)
{
    struct world *w = three(16, false);
    struct world_node *l = world_leader(w), *f = &w->node[l->id == 1 ? 2 : 1];
    uint64_t t = f->term, commit = mk_consensus_commit(f->c);
    struct mk_entry e = {t, MK_ENTRY_COMMAND, mk_blob_new("evil", 4)};
    struct mk_message m = {.kind = MK_MSG_APPEND, .term = t, .index = commit - 1, .index_term = 1};

    (void)state;
    m.term = t + 1; /* another entry where one is committed */
    e.term = t + 1;
    assert_int_equal(tell(f->c, l->id, m, &e), MK_EPROTOCOL);
    m.term = t; /* a second leader in the leader's own term */
    assert_int_equal(tell(l->c, f->id, m, NULL), MK_EPROTOCOL);
    m.term = t + (1ull << 33); /* uses up the terms */
    assert_int_equal(tell(f->c, l->id, m, NULL), MK_EPROTOCOL);
    m = (struct mk_message){.kind = MK_MSG_VOTE_RESULT, .term = t + 9, .granted = true};
    assert_int_equal(tell(f->c, l->id, m, NULL), MK_EPROTOCOL);
    m = (struct mk_message){.kind = MK_MSG_PING, .term = t};
    assert_int_equal(tell(f->c, f->id, m, NULL), MK_EPROTOCOL); /* from ourselves */
    assert_int_equal(mk_consensus_term(f->c), t);
    assert_true(mk_core_check(f->c) && mk_core_check(l->c));
    done(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_leader_is_replaced_at_once),
        cmocka_unit_test(a_silent_leader_is_replaced_after_one_timer),
        cmocka_unit_test(idle_members_wake_rarely),
        cmocka_unit_test(an_isolated_follower_disturbs_nobody),
        cmocka_unit_test(a_wrong_hint_costs_nothing),
        cmocka_unit_test(an_isolated_leader_steps_down_and_confirms_no_read),
        cmocka_unit_test(leadership_moves_on_request),
        cmocka_unit_test(a_learner_catches_up_and_is_promoted),
        cmocka_unit_test(a_removed_leader_goes),
        cmocka_unit_test(one_member_alone_commits),
        cmocka_unit_test(large_entries_travel_in_pieces),
        cmocka_unit_test(a_backlog_says_full),
        cmocka_unit_test(what_is_no_log_does_not_open),
        cmocka_unit_test(every_message_survives_its_bytes),
        cmocka_unit_test(cut_or_longer_bytes_are_refused),
        cmocka_unit_test(altered_bytes_never_break_a_member),
        cmocka_unit_test(a_liar_is_told_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
