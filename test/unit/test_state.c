/* state.c and its neighbours: what a group decides from its log alone. */
#include "collections/certificate.h"
#include "collections/surface.h"
#include "group/sessions.h"
#include "group/state.h"
#include "toy.h"

#include <mosaik/key.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HOUR 3600000u

struct bed {
    struct mk_key keys[3];
    struct mk_peer peers[3];
    struct mk_roster roster;
    struct mk_id deployment;
    struct mk_state *s;
    uint64_t index;
    struct mk_applied last;
};

static const struct mk_retention *retain; /* NULL: as declared */

static struct mk_state *state_of(struct bed *b)
{
    return mk_state_new(
        &(struct mk_state_options){.deployment = b->deployment,
                                   .stable_id = MK_UNIVERSE,
                                   .roster = &b->roster,
                                   .machine = toy_new(),
                                   .retain = retain != NULL ? *retain : (struct mk_retention){0},
                                   .seed = 9});
}

static struct bed *bed_new(void)
{
    struct bed *b = mk_alloc(sizeof *b);

    for (unsigned i = 0; i < 3; i++) {
        uint8_t seed[32] = {(uint8_t)(i + 1)};
        unsigned at = i;

        mk_key_from_seed(&b->keys[i], seed);
        for (; at > 0 && mk_peer_cmp(&b->keys[at - 1].peer, &b->keys[at].peer) > 0; at--) {
            struct mk_key t = b->keys[at];

            b->keys[at] = b->keys[at - 1];
            b->keys[at - 1] = t;
        }
    }
    for (unsigned i = 0; i < 3; i++)
        b->peers[i] = b->keys[i].peer;
    b->deployment = mk_id_of_text(MK_STR("deployment"));
    b->roster = (struct mk_roster){.deployment = b->deployment, .epoch = 1};
    b->roster.peers = (struct mk_peers){b->peers, 3};
    b->s = state_of(b);
    return b;
}

static void bed_free(struct bed *b)
{
    mk_state_free(b->s);
    mk_free(b);
}

static void apply(struct bed *b, const struct mk_logged *e, unsigned frame)
{
    struct mk_buf out = {0};

    mk_buf_put_u8(&out, (uint8_t)frame);
    mk_encode(&out, &mk_logged_type, e);
    mk_state_apply(b->s, ++b->index, mk_buf_bytes(&out), &b->last);
    mk_buf_done(&out);
}

static void found(struct bed *b)
{
    static const uint64_t ids[3] = {11, 12, 13};
    struct mk_logged e = {
        .tag = mk_logged_Genesis,
        .u.genesis = {.deployment = b->deployment, .roster = b->roster, .raft_ids = {ids, 3}}};

    apply(b, &e, 0);
}

static void advance(struct bed *b, unsigned who, uint64_t ms, unsigned frame)
{
    struct mk_logged e = {.tag = mk_logged_Advance,
                          .u.advance = {.peer = b->peers[who], .unix_ms = ms}};
    struct mk_buf m = {0};

    mk_buf_put_str(&m, "mosaik.time.v1");
    mk_buf_put(&m, b->deployment.b, 32);
    mk_buf_put_u64le(&m, ms);
    mk_sign(&b->keys[who], mk_buf_bytes(&m), &e.u.advance.signature);
    mk_buf_done(&m);
    apply(b, &e, frame);
}

static int execute(struct bed *b, uint64_t session, uint64_t number, const char *text,
                   unsigned frame)
{
    struct mk_logged e = {.tag = mk_logged_Execute,
                          .u.execute = {.sender = b->peers[0],
                                        .session = session,
                                        .number = number,
                                        .command = MK_BYTES(text, strlen(text))}};
    struct mk_arena arena = {0};
    struct mk_outcome o;

    apply(b, &e, frame);
    assert_int_equal(mk_decode(&o, &mk_outcome_type, b->last.outcome, &arena, NULL), 0);
    mk_arena_done(&arena);
    return -(int)o.status;
}

/* --- time ---------------------------------------------------------------------------------- */

static void time_is_the_lower_median(void **state)
{
    struct bed *b = bed_new();

    (void)state;
    found(b);
    advance(b, 0, 1000, 0);
    assert_int_equal(mk_state_time_ms(b->s), 0); /* no majority has spoken */
    advance(b, 2, 5000, 0);
    assert_int_equal(mk_state_time_ms(b->s), 1000);
    assert_true(b->last.advanced);
    advance(b, 1, 3000, 0);
    assert_int_equal(mk_state_time_ms(b->s), 3000);
    advance(b, 1, 3000, 0); /* does not exceed its last */
    assert_true(b->last.refused);
    advance(b, 2, 9000, 0);
    assert_false(b->last.advanced);
    assert_int_equal(mk_state_last_ms(b->s, &b->peers[2]), 9000);
    bed_free(b);
}

static void an_advance_must_be_signed_by_a_peer_of_the_roster(void **state)
{
    struct bed *b = bed_new();
    struct mk_logged e = {.tag = mk_logged_Advance,
                          .u.advance = {.peer = b->peers[0], .unix_ms = 7}};

    (void)state;
    found(b);
    apply(b, &e, 0);
    assert_true(b->last.refused);
    e.u.advance.peer.b[0] ^= 1;
    apply(b, &e, 0);
    assert_true(b->last.refused);
    assert_int_equal(mk_state_last_ms(b->s, &b->peers[0]), 0);
    bed_free(b);
}

/* --- the founding ----------------------------------------------------------------------------- */

static void a_founding_is_taken_once_and_only_ours(void **state)
{
    struct bed *b = bed_new();

    (void)state;
    b->deployment.b[0] ^= 1;
    found(b);
    assert_true(b->last.refused);
    assert_null(mk_state_founding(b->s));
    b->deployment.b[0] ^= 1;
    found(b);
    assert_false(b->last.refused);
    assert_int_equal(mk_state_founding(b->s)->raft_ids.v[2], 13);
    found(b);
    assert_true(b->last.refused);
    bed_free(b);
}

static void what_is_no_entry_changes_nothing(void **state)
{
    struct bed *b = bed_new();
    struct mk_id before;

    (void)state;
    found(b);
    mk_state_skip(b->s, ++b->index);
    before = mk_surfaces_hash(mk_state_surfaces(b->s));
    for (unsigned n = 0; n < 64; n++) {
        uint8_t junk[64];

        memset(junk, (int)(n * 37), sizeof junk);
        mk_state_apply(b->s, ++b->index, MK_BYTES(junk, n), &b->last);
        assert_true(b->last.refused);
    }
    assert_true(mk_id_eq(&before, &(struct mk_id){{0}}) == false);
    before.b[0] ^= mk_surfaces_hash(mk_state_surfaces(b->s)).b[0];
    assert_int_equal(before.b[0], 0);
    bed_free(b);
}

/* --- sessions
 * --------------------------------------------------------------------------------------- */

static void a_session_keeps_its_last_answer_for_an_hour(void **state)
{
    struct bed *b = bed_new();

    (void)state;
    found(b);
    for (unsigned i = 0; i < 2; i++)
        advance(b, i, 1000, 0);
    assert_int_equal(execute(b, 7, 1, "set a 1", 0), 0);
    assert_int_equal(b->last.changed, 1);
    assert_int_equal(execute(b, 7, 1, "set a 1", 0), 0);
    assert_true(b->last.repeated);
    assert_int_equal(b->last.changed, 0);
    assert_int_equal(execute(b, 7, 3, "set a 3", 0), 0); /* numbers may skip */
    assert_int_equal(execute(b, 7, 2, "set a 2", 0), MK_EUNKNOWN);
    for (unsigned i = 0; i < 2; i++)
        advance(b, i, 1000 + HOUR - 1, 0);
    assert_int_equal(execute(b, 7, 3, "set a 3", 0), 0);
    for (unsigned i = 0; i < 2; i++)
        advance(b, i, 1000 + HOUR, 0);
    assert_int_equal(execute(b, 7, 3, "set a 3", 0), MK_EUNKNOWN);
    assert_int_equal(mk_state_surfaces(b->s)->v[0].index, 2);
    bed_free(b);
}

static void a_refusal_is_kept_too_and_unchanged_makes_no_commit(void **state)
{
    struct bed *b = bed_new();

    (void)state;
    found(b);
    assert_int_equal(execute(b, 1, 1, "nonsense", 0), MK_EREFUSED);
    assert_int_equal(execute(b, 1, 1, "nonsense", 0), MK_EREFUSED);
    assert_true(b->last.repeated);
    assert_int_equal(execute(b, 1, 2, "set a 1", 0), 0);
    assert_int_equal(execute(b, 1, 3, "set a 1", 0), 0);
    assert_int_equal(b->last.changed, 0);
    assert_int_equal(mk_state_surfaces(b->s)->v[0].index, 1);
    bed_free(b);
}

static void too_many_sessions_forget_the_least_recently_used(void **state)
{
    struct bed *b = bed_new();

    (void)state;
    found(b);
    for (uint64_t i = 1; i <= 65536; i++)
        assert_int_equal(execute(b, i, 1, "tick 1", 0), 0);
    assert_int_equal(execute(b, 1, 2, "tick 1", 0), 0); /* the oldest is used again */
    assert_int_equal(execute(b, 70000, 1, "tick 1", 0), 0);
    assert_int_equal(execute(b, 2, 2, "tick 1", 0), MK_EUNKNOWN); /* the next oldest went */
    assert_int_equal(execute(b, 1, 2, "tick 1", 0), 0);
    assert_true(b->last.repeated);
    bed_free(b);
}

static void a_peer_of_many_sessions_loses_its_own(void **state)
{
    struct mk_sessions s;
    struct mk_peer victim = {{1}}, greedy = {{2}};
    struct mk_bytes kept;

    (void)state;
    mk_sessions_init(&s, 1);
    mk_sessions_keep(&s, &victim, 7, 1, 1000, MK_BYTES("x", 1));
    for (uint64_t i = 0; i < 2 * MK_SESSIONS_MAX; i++) {
        mk_sessions_keep(&s, &greedy, i, 1, 1000, MK_BYTES("y", 1));
        mk_sessions_trim(&s, /* fair= */ true);
    }
    assert_int_equal(s.table.n, MK_SESSIONS_MAX);
    assert_int_equal(mk_sessions_look(&s, &victim, 7, 1, &kept), MK_SESSION_REPEATED);
    assert_int_equal(mk_sessions_look(&s, &greedy, 2, 2, &kept), MK_SESSION_UNKNOWN);
    mk_sessions_done(&s);
}

/* --- marks
 * --------------------------------------------------------------------------------------------- */

static void marks_name_what_changed_or_is_five_seconds_old(void **state)
{
    struct bed *b = bed_new();

    (void)state;
    found(b);
    assert_int_equal(execute(b, 1, 1, "set a 1", 0), 0);
    assert_int_equal(b->last.heads, 0); /* not marked */
    assert_int_equal(execute(b, 1, 2, "tick 1", MK_ENTRY_MARK), 0);
    assert_int_equal(b->last.heads, 3); /* both, since the mark before */
    assert_int_equal(execute(b, 1, 3, "tick 2", MK_ENTRY_MARK), 0);
    assert_int_equal(b->last.heads, 2);
    for (unsigned i = 0; i < 2; i++)
        advance(b, i, 100000, MK_ENTRY_MARK);
    assert_int_equal(b->last.heads, 3); /* the renewal */
    for (unsigned i = 0; i < 2; i++)
        advance(b, i, 104999, MK_ENTRY_MARK);
    assert_int_equal(b->last.heads, 0);
    for (unsigned i = 0; i < 2; i++)
        advance(b, i, 105000, MK_ENTRY_MARK);
    assert_int_equal(b->last.heads, 3);
    bed_free(b);
}

static void empty_surfaces_have_heads_too(void **state)
{
    struct bed *b = bed_new();
    struct mk_head h;

    (void)state;
    found(b);
    for (unsigned i = 0; i < 2; i++)
        advance(b, i, 100000, MK_ENTRY_MARK);
    assert_int_equal(b->last.heads, 3);
    mk_state_head(b->s, 0, &h);
    assert_int_equal(h.index, 0);
    assert_true(mk_id_is_zero(&h.state));
    assert_int_equal(h.time_ms, 100000);
    bed_free(b);
}

/* --- snapshots
 * -------------------------------------------------------------------------------------------- */

static void fill(struct bed *b)
{
    char text[32];

    found(b);
    for (unsigned i = 0; i < 2; i++)
        advance(b, i, 100000, MK_ENTRY_MARK);
    for (unsigned i = 0; i < 50; i++) {
        snprintf(text, sizeof text, "set k%u %u", i % 7, i);
        execute(b, i % 5, 1 + i / 5, text, i % 3 == 0 ? MK_ENTRY_MARK : 0);
        execute(b, 100 + i % 5, 1 + i / 5, i % 2 == 0 ? "add 3" : "tick 9", 0);
    }
}

static void a_snapshot_is_the_state(void **state)
{
    struct bed *b = bed_new();
    struct mk_buf one = {0}, two = {0};
    struct mk_state *old;
    struct mk_id before, after;

    (void)state;
    fill(b);
    before = mk_state_hash(b->s);
    mk_state_snapshot(b->s, &one);
    old = b->s;
    b->s = state_of(b);
    assert_int_equal(mk_state_restore(b->s, mk_buf_bytes(&one), NULL), 0);
    mk_state_snapshot(b->s, &two);
    after = mk_state_hash(b->s);
    assert_true(mk_bytes_eq(mk_buf_bytes(&one), mk_buf_bytes(&two)));
    assert_true(mk_id_eq(&before, &after));
    assert_int_equal(mk_state_index(b->s), mk_state_index(old));
    assert_int_equal(execute(b, 3, 10, "set k1 x", MK_ENTRY_MARK), 0);
    assert_true(b->last.repeated); /* sessions travel too */
    mk_state_free(old);
    mk_buf_done(&one);
    mk_buf_done(&two);
    bed_free(b);
}

static void a_cut_or_foreign_snapshot_is_refused(void **state)
{
    struct bed *b = bed_new();
    struct mk_buf one = {0};

    (void)state;
    fill(b);
    mk_state_snapshot(b->s, &one);
    for (size_t n = 0; n < one.n; n += 1 + n / 16) {
        struct mk_state *s = state_of(b);

        assert_int_not_equal(mk_state_restore(s, MK_BYTES(one.p, n), NULL), 0);
        mk_state_free(s);
    }
    mk_buf_put_u8(&one, 0);
    mk_state_free(b->s);
    b->s = state_of(b);
    assert_int_not_equal(mk_state_restore(b->s, mk_buf_bytes(&one), NULL), 0);
    mk_buf_done(&one);
    bed_free(b);
}

static void a_snapshot_of_another_build_is_refused_by_name(void **state)
{
    struct bed *b = bed_new();
    struct mk_state *s = state_of(b);
    struct mk_fault f = {{0}};
    struct mk_buf one = {0};

    (void)state;
    fill(b);
    mk_state_snapshot(b->s, &one);
    assert_memory_equal(one.p, "mosaik.state.v", 14);
    one.p[14] = '9';
    assert_int_equal(mk_state_restore(s, mk_buf_bytes(&one), &f), MK_ENOTSUP);
    assert_non_null(strstr(f.text, "of form 9, a later build's; this build understands forms 3"));
    mk_state_free(s);
    s = state_of(b);
    one.p[14] = '2';
    assert_int_equal(mk_state_restore(s, mk_buf_bytes(&one), &f), MK_ENOTSUP);
    assert_non_null(strstr(f.text, "of form 2, an earlier build's"));
    mk_state_free(s);
    mk_buf_done(&one);
    bed_free(b);
}

/* --- seats and rosters ---------------------------------------------------------------------- */

static bool seat(struct bed *b, unsigned who, uint64_t before, uint64_t id)
{
    struct mk_logged e = {.tag = mk_logged_Seat, .u.seat = {b->peers[who], before, id}};

    apply(b, &e, 0);
    return !b->last.refused;
}

static void a_seat_follows_the_one_before(void **state)
{
    struct bed *b = bed_new();

    (void)state;
    assert_false(seat(b, 0, 0, 5)); /* nobody is founded */
    found(b);
    assert_int_equal(mk_state_seat(b->s, &b->peers[1]), 12);
    assert_false(seat(b, 1, 11, 22)); /* it was another id's */
    assert_false(seat(b, 1, 12, 13)); /* somebody sits there */
    assert_false(seat(b, 1, 12, 0));
    assert_true(seat(b, 1, 12, 22));
    assert_false(seat(b, 1, 12, 23)); /* the same again, late */
    assert_int_equal(mk_state_seat(b->s, &b->peers[1]), 22);
    assert_int_equal(mk_state_membership_index(b->s), b->index - 1);
    bed_free(b);
}

/* The next roster: the first two, and a peer that is new. */
struct next {
    struct mk_key fresh;
    struct mk_peer peers[3];
    struct mk_proposal p;
    struct mk_peer_signature signatures[3];
};

static void next_make(struct bed *b, struct next *x, unsigned signers)
{
    uint8_t seed[32] = {77};
    struct mk_buf m = {0};

    memset(x, 0, sizeof *x);
    mk_key_from_seed(&x->fresh, seed);
    x->peers[0] = b->peers[0];
    x->peers[1] = b->peers[1];
    x->peers[2] = x->fresh.peer;
    for (unsigned i = 2; i > 0 && mk_peer_cmp(&x->peers[i - 1], &x->peers[i]) > 0; i--) {
        struct mk_peer t = x->peers[i];

        x->peers[i] = x->peers[i - 1];
        x->peers[i - 1] = t;
    }
    x->p.roster = (struct mk_roster){b->deployment, 2, mk_roster_id(&b->roster), {x->peers, 3}};
    mk_proposal_message(&m, &x->p.roster);
    for (unsigned i = 0; i < signers; i++) {
        x->signatures[i].peer = b->peers[i];
        mk_sign(&b->keys[i], mk_buf_bytes(&m), &x->signatures[i].signature);
    }
    mk_buf_done(&m);
    x->p.signatures = (struct mk_peer_signatures){x->signatures, signers};
}

static bool propose(struct bed *b, const struct mk_proposal *p)
{
    struct mk_logged e = {.tag = mk_logged_Propose, .u.propose = *p};

    apply(b, &e, MK_ENTRY_MARK);
    return !b->last.refused;
}

static void a_roster_is_proposed_by_a_majority(void **state)
{
    struct bed *b = bed_new();
    struct next x;

    (void)state;
    found(b);
    next_make(b, &x, 1);
    assert_false(propose(b, &x.p)); /* one of three */
    next_make(b, &x, 2);
    x.p.roster.epoch = 3;
    assert_false(propose(b, &x.p));
    x.p.roster.epoch = 2;
    x.p.roster.previous = MK_ZERO_ID;
    assert_false(propose(b, &x.p));
    next_make(b, &x, 2);
    x.signatures[0].signature.b[5] ^= 1;
    assert_false(propose(b, &x.p));
    next_make(b, &x, 2);
    assert_true(propose(b, &x.p));
    assert_true(b->last.epoch);
    assert_int_equal(b->last.heads, 3); /* every surface has a head of the new epoch */
    assert_int_equal(mk_state_roster(b->s)->epoch, 2);
    assert_int_equal(mk_state_seat(b->s, &b->peers[0]), 11);
    assert_int_equal(mk_state_seat(b->s, &b->peers[2]), 0); /* it left */
    assert_false(propose(b, &x.p));                         /* one change at a time */
    bed_free(b);
}

/* Signed by so many of the first roster. */
static bool changed(struct bed *b, unsigned signers)
{
    struct mk_logged e = {.tag = mk_logged_Changed};
    struct mk_peer_signature v[3];
    struct mk_buf m = {0};

    if (mk_state_draft(b->s) == NULL)
        return false;
    e.u.changed = *mk_state_draft(b->s);
    mk_roster_change_message(&m, &e.u.changed);
    for (unsigned i = 0; i < signers; i++) {
        v[i].peer = b->peers[i];
        mk_sign(&b->keys[i], mk_buf_bytes(&m), &v[i].signature);
    }
    mk_buf_done(&m);
    e.u.changed.old = (struct mk_peer_signatures){v, signers};
    e.u.changed.new = (struct mk_peer_signatures){v, signers};
    apply(b, &e, MK_ENTRY_MARK);
    return !b->last.refused;
}

static void a_change_is_certified_once_and_survives_a_snapshot(void **state)
{
    struct bed *b = bed_new();
    struct mk_state *other = state_of(b);
    struct mk_buf image = {0};
    struct mk_id x, y;
    struct next n;

    (void)state;
    found(b);
    next_make(b, &n, 2);
    assert_false(changed(b, 2)); /* none is under way */
    assert_true(propose(b, &n.p));
    assert_false(changed(b, 1));
    for (unsigned round = 0; round < 2; round++) { /* under way, then certified */
        mk_buf_clear(&image);
        mk_state_snapshot(b->s, &image);
        assert_int_equal(mk_state_restore(other, mk_buf_bytes(&image), NULL), 0);
        x = mk_state_hash(b->s);
        y = mk_state_hash(other);
        assert_true(mk_id_eq(&x, &y));
        assert_int_equal(mk_state_draft(other) != NULL, round == 0);
        assert_int_equal(mk_state_roster(other)->epoch, 2);
        if (round == 0) {
            assert_true(changed(b, 2));
            assert_true(b->last.certified_change);
        }
    }
    assert_false(changed(b, 2));
    assert_non_null(mk_state_change(other, 2));
    assert_int_equal(mk_roster_change_check(mk_state_change(other, 2), &b->roster, NULL), 0);
    assert_null(mk_state_change(other, 1));
    assert_null(mk_state_change(other, 3));
    mk_state_free(other);
    mk_buf_done(&image);
    bed_free(b);
}

/* Machine time stands without readers: a commit of then is not as old as the next Advance is late.
 */
static void what_was_promised_for_a_day_outlasts_a_rest(void **state)
{
    const struct mk_retention day = {.ms = 86400000};
    struct bed *b;
    char value[32];

    (void)state;
    retain = &day;
    b = bed_new();
    retain = NULL;
    found(b);
    for (unsigned who = 0; who < 3; who++)
        advance(b, who, 1000000, 0);
    for (unsigned i = 1; i <= 66000; i++) { /* more than are kept by number */
        snprintf(value, sizeof value, "set k %u", i);
        assert_int_equal(execute(b, i, 1, value, 0), 0);
    }
    assert_int_equal(mk_surface_oldest(&mk_state_surfaces(b->s)->v[0]), 1);
    for (unsigned who = 0; who < 3; who++)
        advance(b, who, 1000000 + UINT64_C(30) * 86400000, 0);
    assert_int_equal(execute(b, 70000, 1, "set k 70000", 0), 0);
    assert_int_equal(mk_surface_oldest(&mk_state_surfaces(b->s)->v[0]), 1);
    bed_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_is_the_lower_median),
        cmocka_unit_test(an_advance_must_be_signed_by_a_peer_of_the_roster),
        cmocka_unit_test(a_founding_is_taken_once_and_only_ours),
        cmocka_unit_test(what_is_no_entry_changes_nothing),
        cmocka_unit_test(a_session_keeps_its_last_answer_for_an_hour),
        cmocka_unit_test(a_refusal_is_kept_too_and_unchanged_makes_no_commit),
        cmocka_unit_test(too_many_sessions_forget_the_least_recently_used),
        cmocka_unit_test(a_peer_of_many_sessions_loses_its_own),
        cmocka_unit_test(marks_name_what_changed_or_is_five_seconds_old),
        cmocka_unit_test(empty_surfaces_have_heads_too),
        cmocka_unit_test(a_snapshot_is_the_state),
        cmocka_unit_test(a_cut_or_foreign_snapshot_is_refused),
        cmocka_unit_test(a_snapshot_of_another_build_is_refused_by_name),
        cmocka_unit_test(a_seat_follows_the_one_before),
        cmocka_unit_test(a_roster_is_proposed_by_a_majority),
        cmocka_unit_test(a_change_is_certified_once_and_survives_a_snapshot),
        cmocka_unit_test(what_was_promised_for_a_day_outlasts_a_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
