/* test_consensus_faults.c - one scenario for each fault of libraft's core that
 * consensus cures (numbers as in docs/dependencies.md; 7 to 9 are ours). Each is
 * played twice: with the cure it must end well, without it must not, or the scenario
 * proves nothing. The second time in a child: the core's assertions are compiled
 * out, so a fault may end in a crash. */
#include "unit.h"

#include "base/assert.h"
#include "consensus/core.h"
#include "raft_world.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- a member driven by hand ------------------------------------------------------- */

static struct mk_configuration servers(unsigned voters, unsigned learners)
{
    struct mk_configuration c = {.n = voters + learners};

    for (unsigned i = 0; i < c.n; i++)
        c.servers[i] = (struct mk_server){i + 1, i < voters ? MK_SERVER_VOTER : MK_SERVER_LEARNER};
    return c;
}

static struct mk_entry entry(uint64_t term)
{
    return (struct mk_entry){term, MK_ENTRY_COMMAND, mk_blob_new("x", 1)};
}

static struct mk_entry change(uint64_t term, struct mk_configuration c)
{
    struct mk_buf b = {0};
    struct mk_entry e = {term, MK_ENTRY_CHANGE, NULL};

    mk_configuration_encode(&c, &b);
    e.blob = mk_blob_new(b.p, b.n);
    mk_buf_done(&b);
    return e;
}

#define PROMISED_MS 201u /* whoever starts votes for nobody for so long: see lease.c */

/* At 1000 ms, when what it may have promised has ended. Takes the entries' references. */
static struct mk_consensus *member(unsigned uncured, uint64_t term,
                                   const struct mk_snapshot_meta *snap, uint64_t first,
                                   struct mk_entry *e, unsigned n)
{
    struct mk_consensus_options o = {.id = 1, .seed = 7, .uncured = uncured};
    struct mk_consensus_start s = {
        .term = term, .snapshot = snap, .first_index = first, .entries = e, .n_entries = n};
    struct mk_consensus *c = NULL;

    if (mk_consensus_open(&c, &o, &s, 1000 - PROMISED_MS) != 0)
        c = NULL;
    else
        c->now = 1000;
    for (unsigned i = 0; i < n; i++)
        mk_blob_unref(e[i].blob);
    return c;
}

static struct mk_consensus *young_member(unsigned uncured)
{
    struct mk_entry e = change(1, servers(3, 0));

    return member(uncured, 1, NULL, 1, &e, 1);
}

static struct mk_snapshot_meta snapshot_at(uint64_t index, uint64_t term)
{
    return (struct mk_snapshot_meta){
        .index = index, .term = term, .configuration_index = 1, .configuration = servers(3, 0)};
}

static int deliver(struct mk_consensus *c, const struct mk_message *m, const struct mk_log *log)
{
    struct mk_buf b = {0};
    int rv;

    mk_message_encode(m, log, &b);
    rv = mk_consensus_receive(c, m->peer, mk_buf_bytes(&b), c->now);
    mk_buf_done(&b);
    return rv;
}

/* AppendEntries of server 2; takes the entries' references. */
static int append(struct mk_consensus *c, uint64_t term, uint64_t prev, uint64_t prev_term,
                  uint64_t commit, struct mk_entry *e, unsigned n)
{
    struct mk_message m = {.peer = 2,
                           .kind = MK_MSG_APPEND,
                           .term = term,
                           .index = prev,
                           .index_term = prev_term,
                           .commit = commit,
                           .n = n};
    struct mk_log log = {0};
    int rv;

    mk_log_reset(&log, prev + 1);
    for (unsigned i = 0; i < n; i++)
        mk_log_append(&log, e[i]);
    rv = deliver(c, &m, &log);
    mk_log_done(&log);
    return rv;
}

/* The message of that kind to that server among the effects, decoded. */
static bool take(struct mk_consensus *c, struct mk_message *ret, enum mk_message_kind kind,
                 uint64_t to)
{
    struct mk_effects fx;
    bool got = false;

    mk_consensus_effects(c, &fx);
    for (unsigned i = 0; i < fx.n_messages; i++) {
        struct mk_buf b = {0};
        struct mk_message m;
        uint64_t peer = mk_consensus_encode(c, i, &b);

        MK_ASSERT(mk_message_decode(&m, mk_buf_bytes(&b)) == 0);
        mk_buf_done(&b);
        if (m.kind == kind && peer == to) {
            if (got)
                mk_message_done(ret);
            *ret = m;
            got = true;
        } else {
            mk_message_done(&m);
        }
    }
    return got;
}

/* --- the scenarios: true when all is well ------------------------------------------- */

/* 1: a late AppendEntries begins before our snapshot. */
static bool trims_what_the_snapshot_covers(unsigned uncured)
{
    struct mk_snapshot_meta snap = snapshot_at(10, 1);
    struct mk_consensus *c = member(uncured, 2, &snap, 0, NULL, 0);
    struct mk_entry e[7];
    bool well;

    for (unsigned i = 0; i < 7; i++)
        e[i] = entry(i < 5 ? 1 : 2); /* 6..10, 11, 12 */
    well = append(c, 2, 5, 1, 0, e, 7) == 0 && mk_consensus_last(c) == 12 && mk_core_check(c) &&
           mk_log_term(&c->log, 11) == 2 && mk_consensus_first(c) == 11;
    mk_consensus_free(c);
    return well;
}

/* 2: a configuration in the middle of a message. */
static bool records_a_configuration_where_it_stands(unsigned uncured)
{
    struct mk_consensus *c = young_member(uncured);
    struct mk_entry e[3] = {entry(2), change(2, servers(3, 1)), entry(2)};
    bool well = append(c, 2, 1, 1, 0, e, 3) == 0 && mk_consensus_changing(c) == 3;

    mk_consensus_free(c);
    return well;
}

/* 3: the refusal of a pre-vote tells our term. */
static bool refuses_a_pre_vote_with_its_own_term(unsigned uncured)
{
    struct mk_entry e[2] = {change(1, servers(3, 0)), entry(7)};
    struct mk_consensus *c = member(uncured, 7, NULL, 1, e, 2);
    struct mk_message ask = {
        .peer = 2, .kind = MK_MSG_VOTE, .term = 4, .index = 1, .index_term = 1, .pre_vote = true};
    struct mk_message answer = {0};
    bool well = deliver(c, &ask, NULL) == 0 && take(c, &answer, MK_MSG_VOTE_RESULT, 2) &&
                !answer.granted && answer.term == 7;

    mk_consensus_free(c);
    return well;
}

/* 4: a change waits for a voter that does not hold the last one. */
static bool waits_with_a_change_for_all_voters(unsigned uncured)
{
    struct world *w = world_new(4);
    struct mk_configuration conf = servers(3, 1);
    struct world_node *l;
    bool well;

    w->uncured = uncured;
    world_boot(w, 3);
    l = world_wait_leader(w, 3000);
    world_wait_agreement(w, 1000);
    world_isolate(w, l->id == 3 ? 2 : 3, true);
    well = world_change(w, l, &conf) == 0;
    world_run(w, 100); /* a majority has it, and it commits; one voter does not know it */
    conf.servers[3].role = MK_SERVER_VOTER;
    well = well && mk_consensus_changing(l->c) == 0 && world_change(w, l, &conf) == MK_EFULL;
    world_free(w);
    return well;
}

static long live; /* of the core's allocations */

static void *count_malloc(void *data, size_t n)
{
    (void)data;
    live++;
    return malloc(n);
}

static void count_free(void *data, void *p)
{
    (void)data;
    live -= p != NULL;
    free(p);
}

static void *count_calloc(void *data, size_t n, size_t size)
{
    (void)data;
    live++;
    return calloc(n, size);
}

static void *count_realloc(void *data, void *p, size_t n)
{
    (void)data;
    live += p == NULL;
    return realloc(p, n);
}

void raft_heap_set(struct raft_heap *heap);
void raft_heap_set_default(void);

/* 5: an offer while another is being installed. */
static bool drops_an_install_during_an_install(unsigned uncured)
{
    struct raft_heap heap = {.malloc = count_malloc,
                             .free = count_free,
                             .calloc = count_calloc,
                             .realloc = count_realloc};
    struct mk_snapshot_meta snap = snapshot_at(20, 2);
    struct mk_message offer = {.peer = 2, .kind = MK_MSG_INSTALL, .term = 2, .snapshot = &snap};
    struct mk_consensus *c;
    struct mk_effects fx;
    bool well;

    live = 0;
    raft_heap_set(&heap);
    c = young_member(uncured);
    well = deliver(c, &offer, NULL) == 0;
    mk_consensus_effects(c, &fx);
    well = well && fx.fetch != NULL && fx.fetch->index == 20 && fx.fetch_from == 2;
    well = well && mk_consensus_fetched(c, 20, 1001) == 0 && mk_consensus_installing(c);
    well = well && deliver(c, &offer, NULL) == 0;
    well = well && mk_consensus_installed(c, 20, 1002) == 0 && mk_consensus_commit(c) == 20 &&
           mk_consensus_snapshot(c) == 20 && mk_core_check(c);
    mk_consensus_free(c);
    raft_heap_set_default();
    return well && live == 0;
}

/* 6: the log on disk ends before the snapshot. */
static bool starts_from_the_snapshot_when_the_log_ends_before_it(unsigned uncured)
{
    struct mk_snapshot_meta snap = snapshot_at(10, 1);
    struct mk_entry e[3] = {change(1, servers(3, 0)), entry(1), entry(1)};
    struct mk_consensus *c = member(uncured, 1, &snap, 1, e, 3);
    struct mk_entry next = entry(2);
    bool well = c != NULL && mk_consensus_last(c) == 10 && mk_core_check(c);

    well = append(c, 2, 10, 1, 0, &next, 1) == 0 && mk_consensus_last(c) == 11 && well;
    mk_consensus_free(c);
    return well;
}

/* 7: a late message that ends before what is committed, but knows of later commits. */
static bool never_takes_the_commit_index_back(unsigned uncured)
{
    struct mk_consensus *c = young_member(uncured);
    struct mk_entry e[5];
    bool well;

    for (unsigned i = 0; i < 5; i++)
        e[i] = entry(2);
    for (unsigned i = 0; i < 2; i++)
        mk_blob_ref(e[i].blob);
    well = append(c, 2, 1, 1, 0, e, 5) == 0 && mk_consensus_persisted(c, 6, 2, 1001) == 0;
    well = well && append(c, 2, 6, 2, 5, NULL, 0) == 0 && mk_consensus_commit(c) == 5;
    well = append(c, 2, 1, 1, 6, e, 2) == 0 && well && mk_consensus_commit(c) == 5;
    mk_consensus_free(c);
    return well;
}

/* 8: two configurations in one message; the second is taken back. */
static bool rolls_back_one_configuration_only(unsigned uncured)
{
    struct mk_consensus *c = young_member(uncured);
    struct mk_entry e[3] = {change(2, servers(3, 1)), entry(2), change(2, servers(4, 0))};
    struct mk_entry other = entry(3);
    bool well = append(c, 2, 1, 1, 0, e, 3) == 0 && mk_consensus_changing(c) == 4;

    well = append(c, 3, 3, 2, 0, &other, 1) == 0 && well;
    well = well && mk_consensus_configuration(c)->n == 4 &&
           mk_configuration_voters(mk_consensus_configuration(c)) == 3;
    mk_consensus_free(c);
    return well;
}

static void vote_for(struct mk_consensus *c, bool pre_vote)
{
    struct mk_message m = {.peer = 3,
                           .kind = MK_MSG_VOTE_RESULT,
                           .term = pre_vote ? c->term + 1 : c->term,
                           .granted = true,
                           .pre_vote = pre_vote};

    MK_ASSERT(deliver(c, &m, NULL) == 0);
}

static int answer(struct mk_consensus *c, uint64_t from, uint64_t rejected, uint64_t last)
{
    struct mk_message m = {.peer = from,
                           .kind = MK_MSG_APPEND_RESULT,
                           .term = c->term,
                           .rejected = rejected,
                           .index = last};

    return deliver(c, &m, NULL);
}

/* 9: server 2 is silent for a while, then an old rejection of what matched arrives. */
static bool goes_on_after_a_late_rejection(unsigned uncured)
{
    struct mk_consensus *c = young_member(uncured);
    struct mk_blob *b = mk_blob_new("y", 1);
    struct mk_message m = {0};
    uint64_t now = 5000, first;
    bool well;

    mk_consensus_timeout(c, now);
    vote_for(c, true);
    vote_for(c, false);
    well = mk_consensus_role(c) == MK_ROLE_LEADER && mk_consensus_last(c) == 2;
    well = well && mk_consensus_persisted(c, 2, 2, now) == 0 && answer(c, 2, 0, 2) == 0 &&
           answer(c, 3, 0, 2) == 0 && mk_consensus_commit(c) == 2;
    for (unsigned i = 0; i < 20; i++) { /* only server 3 answers */
        now += 50;
        well = well && mk_consensus_timeout(c, now) == 0 && answer(c, 3, 0, 2) == 0;
    }
    well = well && mk_consensus_role(c) == MK_ROLE_LEADER && answer(c, 2, 2, 1) == 0;
    well = mk_consensus_submit(c, &first, &b, 1, now) == 0 && well;
    well = well && mk_consensus_timeout(c, now + 150) == 0;
    well = take(c, &m, MK_MSG_APPEND, 2) && well && m.n == 1 && m.index == 2;
    mk_message_done(&m);
    mk_consensus_free(c);
    return well;
}

/* 10: the entry that promotes us is on others only; one of them asks for our vote. */
static bool votes_before_it_knows_of_its_promotion(unsigned uncured)
{
    struct mk_configuration conf = servers(4, 0);
    struct mk_message ask = {
        .peer = 2, .kind = MK_MSG_VOTE, .term = 3, .index = 2, .index_term = 2, .pre_vote = true};
    struct mk_message answer = {0};
    struct mk_consensus *c;
    struct mk_entry e;
    bool well;

    conf.servers[0].role = MK_SERVER_LEARNER; /* that is us */
    e = change(1, conf);
    c = member(uncured, 2, NULL, 1, &e, 1);
    well = deliver(c, &ask, NULL) == 0 && take(c, &answer, MK_MSG_VOTE_RESULT, 2) && answer.granted;
    ask.pre_vote = false;
    well = well && deliver(c, &ask, NULL) == 0 && take(c, &answer, MK_MSG_VOTE_RESULT, 2) &&
           answer.granted && mk_consensus_vote(c) == 2;
    ask.index = ask.index_term = 0; /* one with less than we have gets none */
    ask.term = 4;
    well = well && deliver(c, &ask, NULL) == 0 && take(c, &answer, MK_MSG_VOTE_RESULT, 2) &&
           !answer.granted;
    well = well && mk_configuration_voters(mk_consensus_configuration(c)) == 3 && mk_core_check(c);
    mk_consensus_free(c);
    return well;
}

/* --- ours, not the library's: once ------------------------------------------------------ */

/* The offer's term has gone when the bytes are whole; the log comes first, the owner forgets the
 * file: nothing is under way any more, and the member can rest. */
static void forgets_a_ready_snapshot_that_the_log_overtook_test(void **state)
{
    struct mk_snapshot_meta snap = snapshot_at(3, 2);
    struct mk_message offer = {.peer = 2, .kind = MK_MSG_INSTALL, .term = 2, .snapshot = &snap};
    struct mk_message rest = {.peer = 2, .kind = MK_MSG_QUIET, .term = 3, .round = 1, .index = 3};
    struct mk_message answer = {0};
    struct mk_consensus *c = young_member(0);
    struct mk_entry e[2] = {entry(2), entry(2)};
    struct mk_effects fx;

    (void)state;
    assert_int_equal(deliver(c, &offer, NULL), 0);
    mk_consensus_effects(c, &fx);
    assert_non_null(fx.fetch);
    assert_int_equal(append(c, 3, 1, 1, 0, NULL, 0), 0); /* another term */
    assert_int_equal(mk_consensus_fetched(c, 3, 1001), 0);
    assert_false(mk_consensus_installing(c)); /* it waits for an offer of this term */
    assert_int_equal(append(c, 3, 1, 1, 3, e, 2), 0);
    assert_int_equal(mk_consensus_persisted(c, 3, 2, 1001), 0);
    assert_int_equal(append(c, 3, 3, 2, 3, NULL, 0), 0);
    assert_int_equal(mk_consensus_commit(c), 3);
    mk_consensus_fetch_failed(c, 3);
    rest.index_term = 2;
    assert_int_equal(deliver(c, &rest, NULL), 0);
    assert_true(take(c, &answer, MK_MSG_QUIET_ACK, 2));
    assert_true(mk_consensus_is_quiet(c));
    mk_consensus_free(c);
}

/* --- each twice ----------------------------------------------------------------------- */

static bool ends_badly(bool (*scenario)(unsigned uncured), unsigned cure)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        static const int crashes[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};

        for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++)
            signal(crashes[i], SIG_DFL); /* cmocka's would go on with the next test */
        close(STDERR_FILENO);            /* what it has to say is expected */
        _exit(scenario(cure) ? 0 : 1);
    }
    assert_true(waitpid(pid, &status, 0) == pid);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

#define SCENARIO(name, cure)                 \
    static void name##_test(void **state)    \
    {                                        \
        (void)state;                         \
        assert_true(name(0));                \
        assert_true(ends_badly(name, cure)); \
    }

SCENARIO(trims_what_the_snapshot_covers, MK_CURE_TRIM)
SCENARIO(records_a_configuration_where_it_stands, MK_CURE_SPLIT)
SCENARIO(refuses_a_pre_vote_with_its_own_term, MK_CURE_REFUSAL_TERM)
SCENARIO(waits_with_a_change_for_all_voters, MK_CURE_CHANGE)
SCENARIO(drops_an_install_during_an_install, MK_CURE_INSTALL)
SCENARIO(starts_from_the_snapshot_when_the_log_ends_before_it, MK_CURE_START)
SCENARIO(never_takes_the_commit_index_back, MK_CURE_COMMIT)
SCENARIO(rolls_back_one_configuration_only, MK_CURE_SETTLE)
SCENARIO(goes_on_after_a_late_rejection, MK_CURE_REJECTION)
SCENARIO(votes_before_it_knows_of_its_promotion, MK_CURE_LEARNER)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trims_what_the_snapshot_covers_test),
        cmocka_unit_test(records_a_configuration_where_it_stands_test),
        cmocka_unit_test(refuses_a_pre_vote_with_its_own_term_test),
        cmocka_unit_test(waits_with_a_change_for_all_voters_test),
        cmocka_unit_test(drops_an_install_during_an_install_test),
        cmocka_unit_test(starts_from_the_snapshot_when_the_log_ends_before_it_test),
        cmocka_unit_test(never_takes_the_commit_index_back_test),
        cmocka_unit_test(rolls_back_one_configuration_only_test),
        cmocka_unit_test(goes_on_after_a_late_rejection_test),
        cmocka_unit_test(votes_before_it_knows_of_its_promotion_test),
        cmocka_unit_test(forgets_a_ready_snapshot_that_the_log_overtook_test),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
