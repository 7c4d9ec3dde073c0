/* Who is of no committee and shows a quote, or none: clients and readers of a committee that
 * requires TDX, and a read replica of it that judges as its members do. */
#include "group/replica.h"
#include "quotes_bed.h"
#include "readers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* --- clients and readers ---------------------------------------------------------------------- */

/* A committee in which whoever comes and whoever serves shows a quote, readers too. */
static struct bed *strict(uint64_t seed, uint64_t valid_s)
{
    struct bed *b = bed_new(mk_acl_clause_RequireTdx);

    b->clauses[1] = b->clauses[0];
    b->clauses[1].tag = mk_acl_clause_VerifyPeerTdx;
    b->clauses[2].tag = mk_acl_clause_GateReaders;
    b->acl.clauses.n = 3;
    bed_renew(b, bed_begins_s(seed) + valid_s);
    bed_start(b, &(struct cluster_options){.seed = seed});
    assert_true(cluster_until_ready(b->c, 10000));
    return b;
}

static struct reader *come(struct bed *b, unsigned node, bool shows, bool intel)
{
    struct mk_witness_options o;

    bed_attest(b, 0, &o);
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
    bed_renew(b, bed_wall_s(b->c) + 86400);
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

    bed_attest(m->b, 0, &o);
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
    bed_renew(b, bed_wall_s(b->c) + 86400);
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
    struct bed *b = bed_floor(MK_LEVEL_TDX_REPRODUCIBLE);
    struct reader *r;
    struct mirror m;
    struct call x;

    (void)state;
    b->clauses[1].tag = mk_acl_clause_GateReaders;
    b->acl.clauses.n = 2;
    b->published = true;
    bed_start(b, &(struct cluster_options){.seed = 976});
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_client_shows_and_judges),
        cmocka_unit_test(test_a_client_without_a_quote_is_refused),
        cmocka_unit_test(test_a_client_refuses_members_itself),
        cmocka_unit_test(test_running_clients_are_let_go),
        cmocka_unit_test(test_a_replica_judges_quotes_as_members_do),
        cmocka_unit_test(test_a_replica_without_a_quote_has_nothing_to_serve),
        cmocka_unit_test(test_a_replica_holds_the_floor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
