/* A committee that requires TDX, in the simulated world: three peers with emulated quotes under
 * their own root, and every way in which a quote is not good enough; then one verifier against a
 * prover that cheats. The checkers of cluster.h run after every event. */
#include "group/replica.h"
#include "readers.h"

#include <mosaik/emulator.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "witness/wire.h"

#include <cmocka.h>

#define MINUTE 60000u

/* --- what the members show and believe ----------------------------------------------- */

struct bed {
    struct mk_acl_clause clauses[3];
    struct mk_acl_composition acl;
    struct mk_measurements measured[3]; /* of each member */
    struct mk_emulator *emulators[3];
    struct mk_buf root, collateral;
    bool intel;     /* they believe Intel's root, not the emulator's */
    bool blind[3];  /* shows quotes, and verifies none */
    bool published; /* what member 0 measures is a published build */
    const char *fetch;
    const struct mk_quote_policy *policy; /* loaded with the collateral from now on */
    size_t n_published;                   /* with it */
    struct cluster *c;
};

static void fill(struct mk_b48 *r, uint8_t n)
{
    memset(r->b, n, sizeof r->b);
}

static uint64_t wall_s(struct cluster *c)
{
    return mk_wall_ms(world_node(c->w, 0)) / 1000;
}

static void make_emulator(struct bed *b, unsigned i)
{
    uint8_t seed[32] = "an authority for all";

    mk_emulator_free(b->emulators[i]);
    assert_int_equal(mk_emulator_new(&b->emulators[i], seed, &b->measured[i], NULL), 0);
}

static int load(void *arg, struct mk_collateral_put *p, struct mk_fault *reterr)
{
    struct bed *b = arg;

    (void)reterr;
    if (b->collateral.n > 0)
        p->put(p, mk_buf_bytes(&b->collateral));
    if (b->policy != NULL)
        p->policy(p, b->policy, b->measured, b->n_published);
    return 0;
}

static void attest(void *arg, unsigned i, struct mk_witness_options *ret)
{
    struct bed *b = arg;

    *ret = (struct mk_witness_options){
        .source = MK_SOURCE_EMULATOR,
        .emulator = b->emulators[i],
        .verifies = !b->blind[i],
        .root = b->intel ? MK_BYTES(NULL, 0) : mk_buf_bytes(&b->root),
        .published = b->measured,
        .n_published = b->published ? 1 : 0,
        .load = load,
        .load_arg = b,
        .fetch = b->fetch,
    };
}

static struct bed *bed_new(uint32_t tag)
{
    struct bed *b = mk_alloc(sizeof *b);

    for (unsigned i = 0; i < 3; i++) {
        fill(&b->measured[i].mr_td, 1);
        make_emulator(b, i);
    }
    mk_emulator_root(b->emulators[0], &b->root);
    b->clauses[0].tag = tag;
    b->clauses[0].u.require_tdx.measurements = b->measured[0];
    b->acl.clauses = (struct mk_acl_clauses){b->clauses, 1};
    return b;
}

/* Unix time at which the simulated world begins. */
static uint64_t world_begins_s(uint64_t seed)
{
    struct world *w = world_new(seed);
    uint64_t now_s = mk_wall_ms(world_node(w, 0)) / 1000;

    world_free(w);
    return now_s;
}

/* The collateral that the members load from now on. */
static void renew(struct bed *b, uint64_t until_s)
{
    mk_buf_clear(&b->collateral);
    assert_int_equal(
        mk_emulator_collateral(b->emulators[0], until_s - 86400, until_s, &b->collateral, NULL), 0);
}

static void start(struct bed *b, const struct cluster_options *with)
{
    struct cluster_options o = *with;

    if (b->collateral.n == 0)
        renew(b, world_begins_s(o.seed) + 86400);
    o.acl = &b->acl;
    o.attest = attest;
    o.attest_arg = b;
    b->c = cluster_new(&o);
    world_hash_bytes(b->c->w, false); /* ECDSA draws numbers of OpenSSL's own */
}

static void bed_free(struct bed *b)
{
    cluster_free(b->c);
    for (unsigned i = 0; i < 3; i++)
        mk_emulator_free(b->emulators[i]);
    mk_buf_done(&b->root);
    mk_buf_done(&b->collateral);
    mk_free(b);
}

static const char *detail(struct bed *b, unsigned of, unsigned about)
{
    static char text[MK_REASON_MAX];
    struct mk_peer peer;
    uint64_t match;
    bool linked;

    text[0] = '\0';
    mk_group_member(cluster_group(b->c, of), about, &peer, &linked, &match, text);
    return text;
}

/* Somebody refused `about`, and said this. */
static bool told(struct bed *b, unsigned about, const char *what)
{
    for (unsigned i = 0; i < b->c->n; i++)
        if (i != about && strstr(detail(b, i, about), what) != NULL)
            return true;
    return false;
}

static void says(struct bed *b, unsigned about, const char *what)
{
    if (told(b, about, what))
        return;
    for (unsigned i = 0; i < b->c->n; i++)
        print_message("# of %u: %s\n", i, detail(b, i, about));
    fail_msg("nobody said \"%s\" of member %u", what, about);
}

/* Some member waits, and says what for. */
static void says_why(struct bed *b, const char *what)
{
    struct mk_group_status st;

    for (unsigned i = 0; i < b->c->n; i++) {
        cluster_status(b->c, i, &st);
        if (strstr(st.why, what) != NULL)
            return;
    }
    for (unsigned i = 0; i < b->c->n; i++) {
        cluster_status(b->c, i, &st);
        print_message("# %u: %s\n", i, st.why);
    }
    fail_msg("nobody waits with \"%s\"", what);
}

static struct mk_witness_status status(struct bed *b, unsigned i)
{
    struct mk_witness_status st;

    mk_witness_status(cluster_process(b->c, i)->witness, &st);
    return st;
}

/* --- admitted -------------------------------------------------------------------------- */

static void test_three_emulated_peers_are_admitted(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);

    (void)state;
    start(b, &(struct cluster_options){.seed = 900});
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
    start(b, &(struct cluster_options){.seed = 901, .tls = true});
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
    start(b, &(struct cluster_options){.seed = 902});
    assert_true(cluster_until_ready(b->c, 10000));
    world_run(b->c->w, 5 * MINUTE);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(status(b, i).verifications, 2);
        assert_int_equal(status(b, i).quotes, 2);
    }
    world_crash(b->c->w, 1); /* a new bond, a new quote */
    world_restart(b->c->w, 1);
    world_run(b->c->w, MINUTE);
    assert_int_equal(status(b, 0).verifications, 3);
    assert_int_equal(status(b, 1).verifications, 2);
    assert_true(cluster_until_equal(b->c, 10000));
    bed_free(b);
}

/* --- refused ----------------------------------------------------------------------------- */

static void test_the_same_peers_are_refused_under_intels_root(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);

    (void)state;
    b->intel = true;
    start(b, &(struct cluster_options){.seed = 910});
    assert_false(cluster_until_ready(b->c, MINUTE));
    says(b, 1, "clause 0 RequireTdx: ");
    bed_free(b);
}

/* A good committee; then one member comes back as another program. */
static void test_another_measurement_is_refused(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);

    (void)state;
    start(b, &(struct cluster_options){.seed = 911});
    assert_true(cluster_until_ready(b->c, 10000));
    world_crash(b->c->w, 2);
    fill(&b->measured[2].mr_td, 2);
    make_emulator(b, 2);
    world_restart(b->c->w, 2);
    world_run(b->c->w, MINUTE);
    says(b, 2, "clause 0 RequireTdx: the quote's mr_td is not the one wanted");
    assert_int_equal(cluster_set(b->c, "a", "1", 5000), 0); /* two of three still agree */
    assert_string_equal(cluster_value(b->c, 2, "a"), "");
    world_crash(b->c->w, 2);
    fill(&b->measured[2].mr_td, 1);
    make_emulator(b, 2);
    world_restart(b->c->w, 2);
    assert_true(cluster_until_equal(b->c, 20000));
    bed_free(b);
}

static void test_without_collateral_measurements_are_not_enough(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);

    (void)state;
    mk_buf_put_u8(&b->collateral, ' '); /* something that start() leaves, and no collateral */
    start(b, &(struct cluster_options){.seed = 912});
    assert_false(cluster_until_ready(b->c, 10000));
    says(b, 1, "the quote shows TdxLocal, wanted is TdxRemote");
    bed_free(b);
}

/* --- expiry --------------------------------------------------------------------------------- */

static void test_expired_collateral_lets_go_of_bonds(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);

    (void)state;
    renew(b, world_begins_s(921) + 90);
    start(b, &(struct cluster_options){.seed = 921});
    assert_true(cluster_until_ready(b->c, 10000));
    assert_int_equal(cluster_set(b->c, "a", "1", 3000), 0);
    world_run(b->c->w, 95000);
    says(b, 1, "clause 0 RequireTdx: ");
    says(b, 1, "expired");
    says_why(b, "no majority: ");
    says_why(b, "refused by clause 0");
    assert_int_equal(cluster_command(b->c, 0, "set a 2", 3000), MK_ETIMEDOUT);
    renew(b, wall_s(b->c) + 86400); /* the directory was refreshed: found within a minute */
    world_run(b->c->w, 70000);
    assert_true(cluster_until_ready(b->c, 10000));
    assert_int_equal(cluster_set(b->c, "b", "3", 5000), 0);
    bed_free(b);
}

/* Whoever writes into the directory cannot go back, over a crash of all either. */
static void test_older_collateral_is_refused_after_a_crash(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);
    uint64_t now_s = world_begins_s(924);

    (void)state;
    renew(b, now_s + 80000);
    start(b, &(struct cluster_options){.seed = 924});
    assert_true(cluster_until_ready(b->c, 10000));
    assert_int_equal(cluster_set(b->c, "a", "1", 3000), 0);
    renew(b, now_s + 70000); /* older, and good for hours */
    for (unsigned i = 0; i < 3; i++)
        world_crash(b->c->w, i);
    for (unsigned i = 0; i < 3; i++)
        world_restart(b->c->w, i);
    world_run(b->c->w, 10000);
    assert_non_null(strstr(status(b, 0).fault, "older than the one of"));
    assert_int_equal(cluster_command(b->c, 0, "set a 2", 3000), MK_ETIMEDOUT);
    renew(b, now_s + 80000);
    world_run(b->c->w, 70000);
    assert_true(cluster_until_ready(b->c, 10000));
    assert_int_equal(cluster_set(b->c, "a", "2", 5000), 0);
    bed_free(b);
}

/* Collateral of tomorrow: refused until then, and judged again at that moment by itself. */
static void test_what_is_not_valid_yet_is_judged_when_it_is(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);
    uint64_t begins_s = world_begins_s(923) + 100;

    (void)state;
    renew(b, begins_s + 86400);
    start(b, &(struct cluster_options){.seed = 923});
    world_run(b->c->w, 95000);
    says(b, 1, "is not valid before");
    assert_int_equal(status(b, 0).verifications, 2);
    world_run(b->c->w, 8000);
    assert_true(cluster_until_ready(b->c, 5000));
    assert_int_equal(cluster_set(b->c, "a", "1", 3000), 0);
    assert_int_equal(status(b, 0).verifications, 4);
    bed_free(b);
}

static void test_renewed_in_time_nothing_happens(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);
    struct mk_group_status before, after;

    (void)state;
    renew(b, world_begins_s(922) + 200);
    start(b, &(struct cluster_options){.seed = 922});
    assert_true(cluster_until_ready(b->c, 10000));
    cluster_status(b->c, 0, &before);
    renew(b, wall_s(b->c) + 86400);
    world_run(b->c->w, 5 * MINUTE);
    cluster_status(b->c, 0, &after);
    assert_true(before.term == after.term);
    assert_int_equal(status(b, 0).verifications, 4); /* each bond twice: collateral moved */
    assert_int_equal(status(b, 0).quotes, 2);
    bed_free(b);
}

/* The command is run in time, and what it leaves behind is loaded when it ends. */
static void test_collateral_is_fetched_before_it_expires(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);

    (void)state;
    b->fetch = "renew it";
    renew(b, world_begins_s(923) + 1000);
    start(b, &(struct cluster_options){.seed = 923});
    assert_true(cluster_until_ready(b->c, 10000));
    assert_false(world_input_end(b->c->w, 0, "renew it", 0)); /* enough is left */
    world_run(b->c->w, 3 * MINUTE);                           /* less than a quarter of an hour */
    renew(b, wall_s(b->c) + 86400);
    for (unsigned i = 0; i < 3; i++)
        assert_true(world_input_end(b->c->w, i, "renew it", 0));
    world_run(b->c->w, 1000); /* at once, not with the next reading */
    for (unsigned i = 0; i < 3; i++) {
        assert_true(status(b, i).collateral_expires_s > wall_s(b->c) + 80000);
        assert_string_equal(status(b, i).fault, "");
    }
    bed_free(b);
}

static void test_a_fetch_that_fails_is_said_and_tried_again(void **state)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);

    (void)state;
    b->fetch = "renew it";
    renew(b, world_begins_s(924) + 300);
    start(b, &(struct cluster_options){.seed = 924});
    assert_true(cluster_until_ready(b->c, 10000));
    assert_true(world_input_end(b->c->w, 0, "renew it", MK_EIO));
    world_run(b->c->w, 100);
    assert_non_null(strstr(status(b, 0).fault, "the command \"renew it\" failed"));
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
    start(b, &(struct cluster_options){.seed = 925});
    assert_true(cluster_until_ready(b->c, 10000));
    b->policy = &same;
    world_run(b->c->w, 3 * MINUTE);
    assert_int_equal(status(b, 0).verifications, 2);
    b->policy = &strange; /* nobody with an up-to-date platform, please */
    world_run(b->c->w, MINUTE + 5000);
    says(b, 1, "clause 0 RequireTdx: ");
    says(b, 1, "UpToDate");
    assert_int_equal(cluster_command(b->c, 0, "set a 2", 3000), MK_ETIMEDOUT);
    b->policy = &same;
    world_run(b->c->w, MINUTE + 5000);
    assert_true(cluster_until_ready(b->c, 10000));
    assert_int_equal(status(b, 0).quotes, 2); /* judged again, not asked for again */
    bed_free(b);
}

static void test_publishing_a_build_raises_its_level(void **state)
{
    static const struct mk_quote_policy same = {0};
    struct bed *b = bed_new(mk_acl_clause_AttestationFloor);

    (void)state;
    memset(&b->clauses[0].u, 0, sizeof b->clauses[0].u);
    b->clauses[0].u.attestation_floor.level = MK_LEVEL_TDX_REPRODUCIBLE;
    start(b, &(struct cluster_options){.seed = 926});
    assert_false(cluster_until_ready(b->c, 10000));
    b->policy = &same;
    b->n_published = 1;
    world_run(b->c->w, MINUTE + 5000);
    assert_true(cluster_until_ready(b->c, 10000));
    bed_free(b);
}

/* --- the ladder ---------------------------------------------------------------------------------
 */

static struct bed *ladder(unsigned level)
{
    struct bed *b = bed_new(mk_acl_clause_AttestationFloor);

    memset(&b->clauses[0].u, 0, sizeof b->clauses[0].u);
    b->clauses[0].u.attestation_floor.level = (uint8_t)level;
    return b;
}

static void test_each_level_that_is_shown_is_admitted(void **state)
{
    (void)state;
    for (unsigned level = 0; level <= 4; level++) {
        struct bed *b = ladder(level);

        b->published = level == 4;
        if (level == MK_LEVEL_TDX_LOCAL)
            mk_buf_put_u8(&b->collateral, ' ');
        start(b, &(struct cluster_options){.seed = 930 + level});
        assert_true(cluster_until_ready(b->c, 20000));
        bed_free(b);
    }
}

static void test_a_peer_that_judges_nothing_is_no_bidirectional_one(void **state)
{
    struct bed *b = ladder(MK_LEVEL_TDX_RA_TLS);

    (void)state;
    b->blind[1] = true;
    start(b, &(struct cluster_options){.seed = 940});
    assert_false(cluster_until_ready(b->c, MINUTE));
    says(b, 1, "wanted is TdxRaTlsBidirectional: the peer has not judged ours");
    bed_free(b);
}

static void test_an_unpublished_build_is_not_reproducible(void **state)
{
    struct bed *b = ladder(MK_LEVEL_TDX_REPRODUCIBLE);

    (void)state;
    start(b, &(struct cluster_options){.seed = 941});
    assert_false(cluster_until_ready(b->c, 10000));
    says(b, 2, "not among the published ones");
    bed_free(b);
}

/* --- clients and readers -----------------------------------------------------------------------
 */

/* A committee in which whoever comes and whoever serves shows a quote, readers too. */
static struct bed *strict(uint64_t seed, uint64_t valid_s)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);

    b->clauses[1] = b->clauses[0];
    b->clauses[1].tag = mk_acl_clause_VerifyPeerTdx;
    b->clauses[2].tag = mk_acl_clause_GateReaders;
    b->acl.clauses.n = 3;
    renew(b, world_begins_s(seed) + valid_s);
    start(b, &(struct cluster_options){.seed = seed});
    assert_true(cluster_until_ready(b->c, 10000));
    return b;
}

static struct reader *come(struct bed *b, unsigned node, bool shows, bool intel)
{
    struct mk_witness_options o;

    attest(b, 0, &o);
    if (!shows) {
        o.source = MK_SOURCE_NONE;
        o.emulator = NULL;
    }
    if (intel)
        o.root = MK_BYTES(NULL, 0);
    return reader_new_attested(b->c, node, &o);
}

static void test_a_client_shows_and_judges(void **state)
{
    struct bed *b = strict(970, 86400);
    struct reader *r = come(b, READER_NODE, true, false);
    struct mk_witness_status st;
    struct call x;

    (void)state;
    r->map = reader_follow(r, CLUSTER_MAP);
    assert_int_equal(reader_execute(r, &x, "set a 1", MK_WANT_CERTIFIED), 0);
    assert_int_equal(reader_get(r, &x, "a", 0), 0);
    assert_true(reader_until_caught_up(r, 20000));
    mk_witness_status(r->witness, &st);
    assert_true(st.verifications <= 3); /* a member each, whatever is done on its link */
    reader_free(r);
    bed_free(b);
}

static void test_a_client_without_a_quote_is_refused(void **state)
{
    struct bed *b = strict(971, 86400);
    struct reader *r = come(b, READER_NODE, false, false);
    struct call x;

    (void)state;
    r->map = reader_follow(r, CLUSTER_MAP);
    assert_int_equal(reader_execute(r, &x, "set a 1", MK_WANT_COMMITTED), MK_EREFUSED);
    assert_non_null(strstr(x.text, "clause 0 RequireTdx: it shows no quote"));
    world_run(b->c->w, 10000);
    assert_int_equal(r->failed, MK_EREFUSED);
    reader_free(r);
    bed_free(b);
}

static void test_a_client_refuses_members_itself(void **state)
{
    struct bed *b = strict(972, 86400);
    struct reader *r = come(b, READER_NODE, true, true);
    struct call x;

    (void)state;
    assert_int_equal(reader_execute(r, &x, "set a 1", MK_WANT_COMMITTED), MK_EREFUSED);
    assert_non_null(strstr(x.text, "clause 1 VerifyPeerTdx: "));
    reader_free(r);
    r = reader_new_attested(b->c, READER_NODE + 1, &(struct mk_witness_options){0});
    assert_int_equal(reader_execute(r, &x, "set a 1", MK_WANT_COMMITTED), MK_EREFUSED);
    assert_non_null(strstr(x.text, "this node verifies no quotes"));
    reader_free(r);
    bed_free(b);
}

/* What runs ends with the collateral, for who writes and for who reads. */
static void test_running_clients_are_let_go(void **state)
{
    struct bed *b = strict(973, 100);
    struct reader *r = come(b, READER_NODE, true, false);
    struct call x;

    (void)state;
    r->map = reader_follow(r, CLUSTER_MAP);
    assert_int_equal(reader_execute(r, &x, "set a 1", MK_WANT_COMMITTED), 0);
    assert_true(reader_until_caught_up(r, 20000));
    world_run(b->c->w, 105000);
    assert_int_equal(r->failed, MK_EREFUSED);
    assert_int_not_equal(reader_execute(r, &x, "set a 2", MK_WANT_COMMITTED), 0);
    assert_non_null(strstr(x.text, "expired"));
    renew(b, wall_s(b->c) + 86400);
    world_run(b->c->w, 70000);
    assert_true(cluster_until_ready(b->c, 10000));
    assert_int_equal(reader_execute(r, &x, "set a 3", MK_WANT_COMMITTED), 0);
    reader_free(r);
    bed_free(b);
}

/* --- a read replica ---------------------------------------------------------------------------
 */

#define REPLICA_NODE 40u

struct mirror {
    struct bed *b;
    struct reader *own; /* its net, memory, quotes, links to members */
    struct mk_replica *replica;
};

static void mirror_open(struct mirror *m, struct bed *b, bool shows)
{
    struct mk_replica_options o = {.specs = cluster_surfaces, .n_specs = 2, .acl = &b->acl};
    struct mk_fault f;

    m->b = b;
    m->own = come(b, REPLICA_NODE, shows, /* intel= */ false);
    assert_int_equal(mk_net_listen(m->own->net, "n40:7000", &f), 0);
    o.component = &m->own->component;
    o.memory = m->own->memory;
    o.witness = m->own->witness;
    o.report = &m->own->report;
    assert_int_equal(mk_replica_open(m->own->env, m->own->net, &m->replica, &o), 0);
}

static void mirror_close(struct mirror *m)
{
    mk_replica_close(m->replica);
    reader_free(m->own);
    bed_free(m->b);
}

static struct reader *come_through(struct mirror *m, unsigned node, bool shows, bool intel)
{
    struct mk_witness_options o;

    attest(m->b, 0, &o);
    if (!shows) {
        o.source = MK_SOURCE_NONE;
        o.emulator = NULL;
    }
    if (intel)
        o.root = MK_BYTES(NULL, 0);
    return reader_through_attested(m->b->c, node, &o, &m->own->key.peer, "n40:7000");
}

static void refused_with(struct mirror *m, uint64_t at_least, const char *reason)
{
    const char *said;

    assert_true(mk_replica_refused(m->replica, &said) >= at_least);
    if (strstr(said, reason) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", reason, said);
}

static void test_a_replica_judges_quotes_as_members_do(void **state)
{
    struct bed *b = strict(974, 100);
    struct reader *good, *silent, *sceptic;
    struct mirror m;
    struct call x;

    (void)state;
    mirror_open(&m, b, /* shows= */ true);
    assert_int_equal(cluster_set(b->c, "a", "1", 5000), 0);
    good = come_through(&m, READER_NODE, true, false);
    good->map = reader_follow(good, CLUSTER_MAP);
    assert_true(reader_until_caught_up(good, 20000));
    assert_int_equal(reader_get(good, &x, "a", 10000), 0);
    assert_string_equal(x.text, "1");
    refused_with(&m, 0, "");

    silent = come_through(&m, READER_NODE + 1, false, false);
    assert_int_not_equal(reader_get(silent, &x, "a", 0), 0);
    assert_non_null(strstr(x.text, "clause 0 RequireTdx: it shows no quote"));
    refused_with(&m, 1, "clause 0 RequireTdx: it shows no quote");
    sceptic = come_through(&m, READER_NODE + 2, true, true);
    assert_int_not_equal(reader_get(sceptic, &x, "a", 0), 0);
    assert_non_null(strstr(x.text, "clause 1 VerifyPeerTdx: "));

    /* What is running ends with the collateral; the replica, too, hears no more, and says how old
     * it is; all goes on when there is other collateral. */
    world_run(b->c->w, 130000);
    assert_int_equal(good->failed, MK_EREFUSED);
    assert_int_equal(mk_replica_readers(m.replica), 0);
    refused_with(&m, 2, "expired");
    assert_true(mk_replica_age_ms(m.replica) > 20000);
    renew(b, wall_s(b->c) + 86400);
    world_run(b->c->w, 70000);
    assert_true(cluster_until_ready(b->c, 20000));
    assert_int_equal(cluster_set(b->c, "a", "2", 5000), 0);
    world_run(b->c->w, 10000);
    assert_true(mk_replica_age_ms(m.replica) < 10000);
    assert_int_equal(reader_get(good, &x, "a", 10000), 0);
    assert_string_equal(x.text, "2");
    reader_free(sceptic);
    reader_free(silent);
    reader_free(good);
    mirror_close(&m);
}

static void test_a_replica_without_a_quote_has_nothing_to_serve(void **state)
{
    struct bed *b = strict(975, 86400);
    struct mirror m;

    (void)state;
    mirror_open(&m, b, /* shows= */ false);
    assert_int_equal(cluster_set(b->c, "a", "1", 5000), 0);
    world_run(b->c->w, 10000);
    assert_true(mk_replica_age_ms(m.replica) == UINT64_MAX);
    assert_true(m.own->n_said >= 3); /* each member, and again after a while */
    assert_non_null(
        strstr(m.own->said[(m.own->n_said - 1) % 8], "clause 0 RequireTdx: it shows no quote"));
    mirror_close(&m);
}

/* A floor is a level of the ladder: a reader whose build is not published is below this one. */
static void test_a_replica_holds_the_floor(void **state)
{
    struct bed *b = ladder(MK_LEVEL_TDX_REPRODUCIBLE);
    struct reader *r;
    struct mirror m;
    struct call x;

    (void)state;
    b->clauses[1].tag = mk_acl_clause_GateReaders;
    b->acl.clauses.n = 2;
    b->published = true;
    start(b, &(struct cluster_options){.seed = 976});
    assert_true(cluster_until_ready(b->c, 20000));
    assert_int_equal(cluster_set(b->c, "a", "1", 5000), 0);
    mirror_open(&m, b, /* shows= */ true);
    r = come_through(&m, READER_NODE, true, false);
    assert_int_equal(reader_get(r, &x, "a", 10000), 0);
    reader_free(r);
    r = come_through(&m, READER_NODE + 1, false, false);
    assert_int_not_equal(reader_get(r, &x, "a", 0), 0);
    refused_with(&m, 1, "clause 0 AttestationFloor: ");
    print_message("# %s\n", x.text);
    reader_free(r);
    mirror_close(&m);
}

/* --- one verifier, one prover that cheats --------------------------------------------------------
 */

enum cheat { HONEST, OTHER_KEY, OTHER_NONCE, OTHER_VERIFIER, REPLAY, NOISE, TWICE, SILENT, CHEATS };

struct duel {
    struct world *w;
    struct mk_key keys[2]; /* verifier, prover */
    struct mk_emulator *emulator;
    struct mk_buf root, collateral, kept; /* kept: a quote that was good once */
    enum cheat cheat;
    unsigned asked;
    /* node 0 */
    struct mk_net *net;
    struct mk_witness *witness;
    struct mk_dial dial;
    /* node 1 */
    struct mk_env *env;
    struct mk_net *rogue;
    struct mk_service service;
};

static int duel_load(void *arg, struct mk_collateral_put *p, struct mk_fault *reterr)
{
    struct duel *d = arg;

    (void)reterr;
    p->put(p, mk_buf_bytes(&d->collateral));
    return 0;
}

static void *verifier_boot(struct mk_env *e, unsigned node, void *arg)
{
    struct duel *d = arg;
    struct mk_witness_options o = {
        .verifies = true, .root = mk_buf_bytes(&d->root), .load = duel_load, .load_arg = d};

    (void)node;
    mk_env_vouch(e, &d->keys[0].peer);
    assert_int_equal(
        mk_net_open(e, &d->net, &(struct mk_net_options){&d->keys[0], MK_UNIVERSE, true}), 0);
    assert_int_equal(mk_witness_open(e, d->net, &d->witness, &o, NULL), 0);
    mk_net_dial(d->net, &d->dial, &d->keys[1].peer, "n1:7000");
    return d;
}

static void verifier_destroy(void *state)
{
    struct duel *d = state;

    mk_witness_close(d->witness);
    mk_net_undial(&d->dial);
    mk_net_close(d->net);
}

static void rogue_message(struct mk_conv *c, struct mk_bytes m)
{
    (void)c; /* how it was judged */
    (void)m;
}

static void rogue_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    (void)c;
    (void)close;
    (void)detail;
}

static const struct mk_conv_cbs rogue_cbs = {.message = rogue_message, .closed = rogue_closed};

static void rogue_quote(struct duel *d, const struct mk_quote_ask *ask, struct mk_buf *ret)
{
    struct mk_peer prover = d->keys[1].peer, verifier = d->keys[0].peer;
    uint8_t nonce[32], channel[32] = {0}, data[64];

    memcpy(nonce, ask->nonce.b, sizeof nonce);
    nonce[31] ^= d->cheat == OTHER_NONCE;
    prover.b[0] ^= d->cheat == OTHER_KEY;
    verifier.b[0] ^= d->cheat == OTHER_VERIFIER;
    mk_quote_bond_data(&prover, &verifier, nonce, channel, data);
    if (d->cheat == NOISE)
        mk_buf_put_str(ret, "this is no quote");
    else if (d->cheat == REPLAY)
        mk_buf_put(ret, d->kept.p, d->kept.n);
    else
        assert_int_equal(mk_emulator_quote(d->emulator, data, ret, NULL), 0);
    if (d->cheat == HONEST)
        mk_buf_put(&d->kept, ret->p, ret->n);
}

static unsigned rogue_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                             char text[MK_REASON_MAX])
{
    struct duel *d = mk_container_of(s, struct duel, service);
    struct mk_quote_message m = {.tag = mk_quote_message_Quote};
    struct mk_buf quote = {0}, bytes = {0};
    struct mk_arena arena = {0};
    struct mk_quote_ask ask;

    (void)text;
    assert_int_equal(mk_decode(&ask, &mk_quote_ask_type, first, &arena, NULL), 0);
    d->asked++;
    c->cbs = &rogue_cbs;
    rogue_quote(d, &ask, &quote);
    m.u.quote = mk_buf_bytes(&quote);
    mk_encode(&bytes, &mk_quote_message_type, &m);
    for (unsigned i = 0; d->cheat != SILENT && i < (d->cheat == TWICE ? 2u : 1u); i++)
        assert_int_equal(mk_conv_send(c, mk_buf_bytes(&bytes)), 0);
    mk_buf_done(&quote);
    mk_buf_done(&bytes);
    mk_arena_done(&arena);
    return 0;
}

static void *rogue_boot(struct mk_env *e, unsigned node, void *arg)
{
    struct duel *d = arg;

    (void)node;
    mk_env_vouch(e, &d->keys[1].peer);
    assert_int_equal(
        mk_net_open(e, &d->rogue, &(struct mk_net_options){&d->keys[1], MK_UNIVERSE, true}), 0);
    d->service = (struct mk_service){.proto = "quote", .accept = rogue_accept};
    assert_int_equal(mk_net_serve(d->rogue, &d->service), 0);
    assert_int_equal(mk_net_listen(d->rogue, "n1:7000", NULL), 0);
    return d;
}

static void rogue_destroy(void *state)
{
    mk_net_close(((struct duel *)state)->rogue);
}

static const struct mk_evidence *look(struct duel *d)
{
    struct mk_attestation *a = mk_witness_attestation(d->witness);

    return a->evidence(a, &d->keys[1].peer);
}

/* On a link where the prover was asked anew. */
static bool is_judged(void *arg)
{
    struct duel *d = arg;
    const struct mk_evidence *e = look(d);

    return e != NULL && e->state != MK_EVIDENCE_PENDING && d->asked > 0;
}

static void verdict(struct duel *d, enum cheat cheat, const char *reason)
{
    d->cheat = cheat;
    d->asked = 0;
    world_break(d->w, 0, 1); /* a new link, in time */
    assert_true(world_run_until(d->w, is_judged, d, 2 * MINUTE));
    if (reason == NULL) {
        assert_int_equal(look(d)->state, MK_EVIDENCE_GOOD);
        return;
    }
    assert_int_equal(look(d)->state, MK_EVIDENCE_BAD);
    if (strstr(look(d)->reason, reason) == NULL)
        fail_msg("expected \"%s\" in \"%s\"", reason, look(d)->reason);
}

static void test_a_quote_for_anything_else_is_refused(void **state)
{
    static const struct world_program verifier = {verifier_boot, verifier_destroy},
                                      rogue = {rogue_boot, rogue_destroy};
    struct duel d = {.w = world_new(950)};
    struct mk_measurements m = {0};
    uint8_t seed[32] = {7};
    uint64_t now_s = mk_wall_ms(world_node(d.w, 2)) / 1000;

    (void)state;
    world_hash_bytes(d.w, false);
    for (unsigned i = 0; i < 2; i++) {
        seed[1] = (uint8_t)i;
        mk_key_from_seed(&d.keys[i], seed);
    }
    assert_int_equal(mk_emulator_new(&d.emulator, seed, &m, NULL), 0);
    mk_emulator_root(d.emulator, &d.root);
    assert_int_equal(
        mk_emulator_collateral(d.emulator, now_s - 9, now_s + 86400, &d.collateral, NULL), 0);
    world_boot(d.w, 1, &rogue, &d);
    world_boot(d.w, 0, &verifier, &d);

    verdict(&d, HONEST, NULL);
    verdict(&d, OTHER_KEY, "another key");
    verdict(&d, OTHER_NONCE, "another nonce");
    verdict(&d, OTHER_VERIFIER, "its report data is not of this bond");
    verdict(&d, REPLAY, "its report data is not of this bond");
    verdict(&d, NOISE, "");
    verdict(&d, SILENT, "it showed no quote within 15 s");
    verdict(&d, HONEST, NULL);
    world_run(d.w, MINUTE);
    assert_int_equal(d.asked, 1); /* judged once a bond, however often it is looked at */
    verdict(&d, TWICE, "its answer is malformed");
    world_run(d.w, 1000);
    assert_int_equal(look(&d)->state, MK_EVIDENCE_BAD); /* its first quote counts no longer */
    world_free(d.w);
    mk_emulator_free(d.emulator);
    mk_buf_done(&d.root);
    mk_buf_done(&d.collateral);
    mk_buf_done(&d.kept);
}

/* --- one prover, one asker without measure
 * --------------------------------------------------------- */

struct asker {
    struct duel d; /* its node 0 asks, its node 1 shows quotes */
    unsigned quotes, busy, others, malformed;
};

static void greedy_message(struct mk_conv *c, struct mk_bytes m)
{
    struct asker *x = c->owner;

    (void)m;
    x->quotes++;
    mk_conv_close(c, MK_CLOSE_NONE, ""); /* not judged: the next one, please */
}

static void greedy_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct asker *x = c->owner;

    (void)detail;
    x->busy += close == MK_CLOSE_BUSY;
    x->others += close != MK_CLOSE_BUSY;
}

static const struct mk_conv_cbs greedy_cbs = {.message = greedy_message, .closed = greedy_closed};

static void ask_as(struct asker *x, const char *first, size_t n, const struct mk_conv_cbs *cbs)
{
    struct mk_conv *c;

    assert_int_equal(mk_conv_open(mk_net_link(x->d.net, &x->d.keys[1].peer), &c, "quote",
                                  MK_BYTES(first, n), cbs, x),
                     0);
}

static void ask_once(struct asker *x, const char *first, size_t n)
{
    ask_as(x, first, n, &greedy_cbs);
}

/* Judges what it was shown, and judges it again. */
static void chatty_message(struct mk_conv *c, struct mk_bytes quote)
{
    struct asker *x = c->owner;
    struct mk_quote_message m = {.tag = mk_quote_message_Judged, .u.judged = {.believed = true}};
    struct mk_buf b = {0};

    (void)quote;
    x->quotes++;
    mk_encode(&b, &mk_quote_message_type, &m);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(mk_conv_send(c, mk_buf_bytes(&b)), 0);
    mk_buf_done(&b);
}

static void chatty_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct asker *x = c->owner;

    (void)detail;
    x->malformed += close == MK_CLOSE_MALFORMED;
}

static const struct mk_conv_cbs chatty_cbs = {.message = chatty_message, .closed = chatty_closed};

static void *asker_boot(struct mk_env *e, unsigned node, void *arg)
{
    struct duel *d = arg;

    (void)node;
    mk_env_vouch(e, &d->keys[0].peer);
    assert_int_equal(
        mk_net_open(e, &d->net, &(struct mk_net_options){&d->keys[0], MK_UNIVERSE, true}), 0);
    mk_net_dial(d->net, &d->dial, &d->keys[1].peer, "n1:7000");
    return d;
}

static void asker_destroy(void *state)
{
    struct duel *d = state;

    mk_net_undial(&d->dial);
    mk_net_close(d->net);
}

static void *prover_boot(struct mk_env *e, unsigned node, void *arg)
{
    struct duel *d = arg;
    struct mk_witness_options o = {.source = MK_SOURCE_EMULATOR, .emulator = d->emulator};

    (void)node;
    mk_env_vouch(e, &d->keys[1].peer);
    assert_int_equal(
        mk_net_open(e, &d->rogue, &(struct mk_net_options){&d->keys[1], MK_UNIVERSE, true}), 0);
    assert_int_equal(mk_witness_open(e, d->rogue, &d->witness, &o, NULL), 0);
    assert_int_equal(mk_net_listen(d->rogue, "n1:7000", NULL), 0);
    return d;
}

static void prover_destroy(void *state)
{
    struct duel *d = state;

    mk_witness_close(d->witness);
    mk_net_close(d->rogue);
}

static bool is_linked(void *arg)
{
    struct duel *d = arg;

    return mk_net_link(d->net, &d->keys[1].peer) != NULL;
}

static void test_quotes_are_not_for_the_asking(void **state)
{
    static const struct world_program asker = {asker_boot, asker_destroy},
                                      prover = {prover_boot, prover_destroy};
    struct asker x = {.d = {.w = world_new(960)}};
    struct mk_measurements m = {0};
    char ask[33] = {0}; /* pc(QuoteAsk): a nonce, and false */
    uint8_t seed[32] = {9};

    (void)state;
    world_hash_bytes(x.d.w, false);
    for (unsigned i = 0; i < 2; i++) {
        seed[1] = (uint8_t)i;
        mk_key_from_seed(&x.d.keys[i], seed);
    }
    assert_int_equal(mk_emulator_new(&x.d.emulator, seed, &m, NULL), 0);
    world_boot(x.d.w, 1, &prover, &x.d);
    world_boot(x.d.w, 0, &asker, &x.d);
    assert_true(world_run_until(x.d.w, is_linked, &x.d, 20000));

    ask_once(&x, ask, sizeof ask);
    ask_once(&x, ask, sizeof ask); /* beside it: one at a time */
    world_run(x.d.w, 1000);
    assert_int_equal(x.quotes, 1);
    assert_int_equal(x.busy, 1);
    for (unsigned i = 0; i < 20; i++) {
        ask_once(&x, ask, sizeof ask);
        world_run(x.d.w, 500);
    }
    assert_int_equal(x.quotes, MK_QUOTE_ASKS_MAX);
    assert_int_equal(x.quotes + x.busy, 22);
    world_run(x.d.w, MK_QUOTE_ASKS_MS);
    ask_once(&x, ask, sizeof ask);
    ask_once(&x, "no ask", 6);
    world_run(x.d.w, 1000);
    assert_int_equal(x.quotes, MK_QUOTE_ASKS_MAX + 1);
    assert_int_equal(x.others, 1);
    ask_as(&x, ask, sizeof ask, &chatty_cbs);
    world_run(x.d.w, 1000);
    assert_int_equal(x.quotes, MK_QUOTE_ASKS_MAX + 2);
    assert_int_equal(x.malformed, 1); /* one word on each quote */
    world_free(x.d.w);
    mk_emulator_free(x.d.emulator);
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
        cmocka_unit_test(test_a_client_shows_and_judges),
        cmocka_unit_test(test_a_client_without_a_quote_is_refused),
        cmocka_unit_test(test_a_client_refuses_members_itself),
        cmocka_unit_test(test_running_clients_are_let_go),
        cmocka_unit_test(test_a_replica_judges_quotes_as_members_do),
        cmocka_unit_test(test_a_replica_without_a_quote_has_nothing_to_serve),
        cmocka_unit_test(test_a_replica_holds_the_floor),
        cmocka_unit_test(test_a_quote_for_anything_else_is_refused),
        cmocka_unit_test(test_quotes_are_not_for_the_asking),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
