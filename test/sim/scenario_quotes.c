/* A committee that requires TDX, in the simulated world: three peers with emulated quotes under
 * their own root, and every way in which a quote is not good enough. The checkers of cluster.h run
 * after every event. Its clients and readers: scenario_quote_readers.c. */
#include "quotes_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* --- admitted -------------------------------------------------------------------------- */

static void test_three_emulated_peers_are_admitted(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);

    (void)state;
    bed_start(b, &(struct cluster_options){.seed = 900});
    assert_true(cluster_until_ready(b->c, 10000));
    assert_int_equal(cluster_set(b->c, "a", "1", 3000), 0);
    assert_true(cluster_until_equal(b->c, 10000));
    bed_free(b);
}

static void test_over_tls_the_channel_is_bound_too(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_TdxInSet);

    (void)state;
    b->clauses[0].u.tdx_in_set.set = (struct mk_measurements_set){b->measured, 1};
    bed_start(b, &(struct cluster_options){.seed = 901, .tls = true});
    assert_true(cluster_until_ready(b->c, 10000));
    assert_int_equal(cluster_set(b->c, "a", "1", 3000), 0);
    bed_free(b);
}

/* Two bonds a member, two verifications, however long they last and whoever asks. */
static void test_a_bond_costs_one_verification(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_VerifyPeerTdx);

    (void)state;
    b->clauses[1] = (struct mk_acl_clause){.tag = mk_acl_clause_RequireTdx};
    b->clauses[1].u.require_tdx.measurements = b->measured[0];
    b->acl.clauses.n = 2;
    bed_start(b, &(struct cluster_options){.seed = 902});
    assert_true(cluster_until_ready(b->c, 10000));
    world_run(b->c->w, 5 * MINUTE);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(bed_status(b, i).verifications, 2);
        assert_int_equal(bed_status(b, i).quotes, 2);
    }
    world_crash(b->c->w, 1); /* a new bond, a new quote */
    world_restart(b->c->w, 1);
    world_run(b->c->w, MINUTE);
    assert_int_equal(bed_status(b, 0).verifications, 3);
    assert_int_equal(bed_status(b, 1).verifications, 2);
    assert_true(cluster_until_equal(b->c, 10000));
    bed_free(b);
}

/* --- refused ----------------------------------------------------------------------------- */

static void test_the_same_peers_are_refused_under_intels_root(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);

    (void)state;
    b->intel = true;
    bed_start(b, &(struct cluster_options){.seed = 910});
    assert_false(cluster_until_ready(b->c, MINUTE));
    bed_says(b, 1, "clause 0 RequireTdx: ");
    bed_free(b);
}

/* A good committee; then one member comes back as another program. */
static void test_another_measurement_is_refused(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);

    (void)state;
    bed_start(b, &(struct cluster_options){.seed = 911});
    assert_true(cluster_until_ready(b->c, 10000));
    world_crash(b->c->w, 2);
    bed_measure(&b->measured[2].mr_td, 2);
    bed_emulate(b, 2);
    world_restart(b->c->w, 2);
    world_run(b->c->w, MINUTE);
    bed_says(b, 2, "clause 0 RequireTdx: the quote's mr_td is not the one wanted");
    assert_int_equal(cluster_set(b->c, "a", "1", 5000), 0); /* two of three still agree */
    assert_string_equal(cluster_value(b->c, 2, "a"), "");
    world_crash(b->c->w, 2);
    bed_measure(&b->measured[2].mr_td, 1);
    bed_emulate(b, 2);
    world_restart(b->c->w, 2);
    assert_true(cluster_until_equal(b->c, 20000));
    bed_free(b);
}

static void test_without_collateral_measurements_are_not_enough(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);

    (void)state;
    mk_buf_put_u8(&b->collateral, ' '); /* something that bed_start() leaves, and no collateral */
    bed_start(b, &(struct cluster_options){.seed = 912});
    assert_false(cluster_until_ready(b->c, 10000));
    bed_says(b, 1, "the quote shows TdxLocal, wanted is TdxRemote");
    bed_free(b);
}

/* --- expiry --------------------------------------------------------------------------------- */

static void test_expired_collateral_lets_go_of_bonds(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);

    (void)state;
    bed_renew(b, bed_begins_s(921) + 90);
    bed_start(b, &(struct cluster_options){.seed = 921});
    assert_true(cluster_until_ready(b->c, 10000));
    assert_int_equal(cluster_set(b->c, "a", "1", 3000), 0);
    world_run(b->c->w, 95000);
    bed_says(b, 1, "clause 0 RequireTdx: ");
    bed_says(b, 1, "expired");
    bed_says_why(b, "no majority: ");
    bed_says_why(b, "refused by clause 0");
    assert_int_equal(cluster_command(b->c, 0, "set a 2", 3000), MK_ETIMEDOUT);
    bed_renew(b, bed_wall_s(b->c) + 86400); /* the directory was refreshed: found within a minute */
    world_run(b->c->w, 70000);
    assert_true(cluster_until_ready(b->c, 10000));
    assert_int_equal(cluster_set(b->c, "b", "3", 5000), 0);
    bed_free(b);
}

/* Whoever writes into the directory cannot go back, over a crash of all either. */
static void test_older_collateral_is_refused_after_a_crash(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);
    uint64_t now_s = bed_begins_s(924);

    (void)state;
    bed_renew(b, now_s + 80000);
    bed_start(b, &(struct cluster_options){.seed = 924});
    assert_true(cluster_until_ready(b->c, 10000));
    assert_int_equal(cluster_set(b->c, "a", "1", 3000), 0);
    bed_renew(b, now_s + 70000); /* older, and good for hours */
    for (unsigned i = 0; i < 3; i++)
        world_crash(b->c->w, i);
    for (unsigned i = 0; i < 3; i++)
        world_restart(b->c->w, i);
    world_run(b->c->w, 10000);
    assert_non_null(strstr(bed_status(b, 0).fault, "older than the one of"));
    assert_int_equal(cluster_command(b->c, 0, "set a 2", 3000), MK_ETIMEDOUT);
    bed_renew(b, now_s + 80000);
    world_run(b->c->w, 70000);
    assert_true(cluster_until_ready(b->c, 10000));
    assert_int_equal(cluster_set(b->c, "a", "2", 5000), 0);
    bed_free(b);
}

/* Collateral of tomorrow: refused until then, and judged again at that moment by itself. */
static void test_what_is_not_valid_yet_is_judged_when_it_is(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);
    uint64_t begins_s = bed_begins_s(923) + 100;

    (void)state;
    bed_renew(b, begins_s + 86400);
    bed_start(b, &(struct cluster_options){.seed = 923});
    world_run(b->c->w, 95000);
    bed_says(b, 1, "is not valid before");
    assert_int_equal(bed_status(b, 0).verifications, 2);
    world_run(b->c->w, 8000);
    assert_true(cluster_until_ready(b->c, 5000));
    assert_int_equal(cluster_set(b->c, "a", "1", 3000), 0);
    assert_int_equal(bed_status(b, 0).verifications, 4);
    bed_free(b);
}

static void test_renewed_in_time_nothing_happens(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);
    struct mk_group_status before, after;

    (void)state;
    bed_renew(b, bed_begins_s(922) + 200);
    bed_start(b, &(struct cluster_options){.seed = 922});
    assert_true(cluster_until_ready(b->c, 10000));
    cluster_status(b->c, 0, &before);
    bed_renew(b, bed_wall_s(b->c) + 86400);
    world_run(b->c->w, 5 * MINUTE);
    cluster_status(b->c, 0, &after);
    assert_true(before.term == after.term);
    assert_int_equal(bed_status(b, 0).verifications, 4); /* each bond twice: collateral moved */
    assert_int_equal(bed_status(b, 0).quotes, 2);
    bed_free(b);
}

/* The command is run in time, and what it leaves behind is loaded when it ends. */
static void test_collateral_is_fetched_before_it_expires(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);

    (void)state;
    b->fetch = "renew it";
    bed_renew(b, bed_begins_s(923) + 1000);
    bed_start(b, &(struct cluster_options){.seed = 923});
    assert_true(cluster_until_ready(b->c, 10000));
    assert_false(world_input_end(b->c->w, 0, "renew it", 0)); /* enough is left */
    world_run(b->c->w, 3 * MINUTE);                           /* less than a quarter of an hour */
    bed_renew(b, bed_wall_s(b->c) + 86400);
    for (unsigned i = 0; i < 3; i++)
        assert_true(world_input_end(b->c->w, i, "renew it", 0));
    world_run(b->c->w, 1000); /* at once, not with the next reading */
    for (unsigned i = 0; i < 3; i++) {
        assert_true(bed_status(b, i).collateral_expires_s > bed_wall_s(b->c) + 80000);
        assert_string_equal(bed_status(b, i).fault, "");
    }
    bed_free(b);
}

static void test_a_fetch_that_fails_is_said_and_tried_again(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);

    (void)state;
    b->fetch = "renew it";
    bed_renew(b, bed_begins_s(924) + 300);
    bed_start(b, &(struct cluster_options){.seed = 924});
    assert_true(cluster_until_ready(b->c, 10000));
    assert_true(world_input_end(b->c->w, 0, "renew it", MK_EIO));
    world_run(b->c->w, 100);
    assert_non_null(strstr(bed_status(b, 0).fault, "the command \"renew it\" failed"));
    world_run(b->c->w, 130000);
    assert_true(world_input_end(b->c->w, 0, "renew it", MK_EIO));
    bed_free(b);
}

/* --- policy -------------------------------------------------------------------------------------
 */

static void test_another_policy_judges_again(void **state)
{
    static const struct mk_quote_policy same = {0}, strange = {.statuses = 1u << MK_TCB_OutOfDate};
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);

    (void)state;
    bed_start(b, &(struct cluster_options){.seed = 925});
    assert_true(cluster_until_ready(b->c, 10000));
    b->policy = &same;
    world_run(b->c->w, 3 * MINUTE);
    assert_int_equal(bed_status(b, 0).verifications, 2);
    b->policy = &strange; /* nobody with an up-to-date platform, please */
    world_run(b->c->w, MINUTE + 5000);
    bed_says(b, 1, "clause 0 RequireTdx: ");
    bed_says(b, 1, "UpToDate");
    assert_int_equal(cluster_command(b->c, 0, "set a 2", 3000), MK_ETIMEDOUT);
    b->policy = &same;
    world_run(b->c->w, MINUTE + 5000);
    assert_true(cluster_until_ready(b->c, 10000));
    assert_int_equal(bed_status(b, 0).quotes, 2); /* judged again, not asked for again */
    bed_free(b);
}

static void test_publishing_a_build_raises_its_level(void **state)
{
    static const struct mk_quote_policy same = {0};
    struct bed *b = bed_new(mk_acl_clause_AttestationFloor);

    (void)state;
    memset(&b->clauses[0].u, 0, sizeof b->clauses[0].u);
    b->clauses[0].u.attestation_floor.level = MK_LEVEL_TDX_REPRODUCIBLE;
    bed_start(b, &(struct cluster_options){.seed = 926});
    assert_false(cluster_until_ready(b->c, 10000));
    b->policy = &same;
    b->n_published = 1;
    world_run(b->c->w, MINUTE + 5000);
    assert_true(cluster_until_ready(b->c, 10000));
    bed_free(b);
}

/* --- the ladder ---------------------------------------------------------------------------------
 */

static void test_each_level_that_is_shown_is_admitted(void **state)
{
    (void)state;
    for (unsigned level = 0; level <= 4; level++) {
        struct bed *b = bed_floor(level);

        b->published = level == 4;
        if (level == MK_LEVEL_TDX_LOCAL)
            mk_buf_put_u8(&b->collateral, ' ');
        bed_start(b, &(struct cluster_options){.seed = 930 + level});
        assert_true(cluster_until_ready(b->c, 20000));
        bed_free(b);
    }
}

static void test_a_peer_that_judges_nothing_is_no_bidirectional_one(void **state)
{
    struct bed *b = bed_floor(MK_LEVEL_TDX_RA_TLS);

    (void)state;
    b->blind[1] = true;
    bed_start(b, &(struct cluster_options){.seed = 940});
    assert_false(cluster_until_ready(b->c, MINUTE));
    bed_says(b, 1, "wanted is TdxRaTlsBidirectional: the peer has not judged ours");
    bed_free(b);
}

static void test_an_unpublished_build_is_not_reproducible(void **state)
{
    struct bed *b = bed_floor(MK_LEVEL_TDX_REPRODUCIBLE);

    (void)state;
    bed_start(b, &(struct cluster_options){.seed = 941});
    assert_false(cluster_until_ready(b->c, 10000));
    bed_says(b, 2, "not among the published ones");
    bed_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_emulated_peers_are_admitted),
        cmocka_unit_test(test_over_tls_the_channel_is_bound_too),
        cmocka_unit_test(test_a_bond_costs_one_verification),
        cmocka_unit_test(test_the_same_peers_are_refused_under_intels_root),
        cmocka_unit_test(test_another_measurement_is_refused),
        cmocka_unit_test(test_without_collateral_measurements_are_not_enough),
        cmocka_unit_test(test_expired_collateral_lets_go_of_bonds),
        cmocka_unit_test(test_what_is_not_valid_yet_is_judged_when_it_is),
        cmocka_unit_test(test_older_collateral_is_refused_after_a_crash),
        cmocka_unit_test(test_renewed_in_time_nothing_happens),
        cmocka_unit_test(test_collateral_is_fetched_before_it_expires),
        cmocka_unit_test(test_a_fetch_that_fails_is_said_and_tried_again),
        cmocka_unit_test(test_another_policy_judges_again),
        cmocka_unit_test(test_publishing_a_build_raises_its_level),
        cmocka_unit_test(test_each_level_that_is_shown_is_admitted),
        cmocka_unit_test(test_a_peer_that_judges_nothing_is_no_bidirectional_one),
        cmocka_unit_test(test_an_unpublished_build_is_not_reproducible),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
