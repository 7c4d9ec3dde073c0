/* test_gate_quotes.c - the clauses that want a TDX quote, over evidence of every kind. */
#include "unit.h"

#include <mosaik/ticket.h>
#include <stdio.h>

#define NOW_MS UINT64_C(1800000000000)

struct scene {
    struct mk_attestation face; /* first */
    struct mk_evidence evidence;
    bool no_link;
    unsigned asked;
    struct mk_acl_clause clauses[3];
    struct mk_acl_composition acl;
    struct mk_gate gate;
    struct mk_bearer bearer;
    struct mk_verdict verdict;
};

static const struct mk_evidence *give(struct mk_attestation *a, const struct mk_peer *peer)
{
    struct scene *s = mk_container_of(a, struct scene, face);

    assert_true(mk_peer_eq(peer, &s->bearer.peer));
    s->asked++;
    return s->no_link ? NULL : &s->evidence;
}

static struct mk_b48 register_of(uint8_t n)
{
    struct mk_b48 r;

    memset(r.b, n, sizeof r.b);
    return r;
}

static struct mk_measurements td(void)
{
    return (struct mk_measurements){
        .mr_td = register_of(1),
        .mr_config_id = {true, register_of(2)},
        .mr_owner = {true, register_of(3)},
        .mr_owner_config = {true, register_of(4)},
        .rtmr0 = {true, register_of(5)},
        .rtmr1 = {true, register_of(6)},
        .rtmr2 = {true, register_of(7)},
        .rtmr3 = {true, register_of(8)},
    };
}

static int setup(void **state)
{
    struct scene *s = mk_alloc(sizeof *s);

    s->face.evidence = give;
    s->evidence = (struct mk_evidence){.state = MK_EVIDENCE_GOOD,
                                       .level = MK_LEVEL_TDX_REMOTE,
                                       .measured = td(),
                                       .expires_ms = NOW_MS + 1000,
                                       .reason = "the peer has not judged ours"};
    s->acl.clauses.v = s->clauses;
    s->gate = (struct mk_gate){.acl = &s->acl, .attestation = &s->face};
    memset(s->bearer.peer.b, 0x42, sizeof s->bearer.peer.b);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    mk_free(*state);
    return 0;
}

static void add(struct scene *s, uint32_t tag, const struct mk_measurements *m)
{
    struct mk_acl_clause c = {.tag = tag};

    c.u.require_tdx.measurements = *m; /* of both clauses: they hold the same struct */
    s->clauses[s->acl.clauses.n++] = c;
}

static void judge(struct scene *s, enum mk_scope scope)
{
    mk_gate_judge(&s->gate, &s->verdict, &s->bearer, scope, NOW_MS);
}

static void admitted(struct scene *s, enum mk_scope scope)
{
    judge(s, scope);
    if (!s->verdict.admitted)
        fail_msg("refused: %s", s->verdict.reason);
}

static void refused(struct scene *s, enum mk_scope scope, bool pending, const char *why)
{
    judge(s, scope);
    assert_false(s->verdict.admitted);
    assert_int_equal(s->verdict.pending, pending);
    if (strstr(s->verdict.reason, why) == NULL)
        fail_msg("expected \"%s\" in \"%s\"", why, s->verdict.reason);
}

static void test_require_admits_and_ends_with_the_evidence(void **state)
{
    struct scene *s = *state;
    const struct mk_measurements m = td();

    add(s, mk_acl_clause_RequireTdx, &m);
    admitted(s, MK_SCOPE_WRITE);
    assert_true(s->verdict.expires_ms == NOW_MS + 1000);
    admitted(s, MK_SCOPE_COMMITTEE);
    s->evidence.expires_ms = NOW_MS;
    refused(s, MK_SCOPE_WRITE, false,
            "clause 0 RequireTdx: the collateral of the quote expired at 2027-01-15T08:00:00Z");
}

static void test_each_register_is_compared(void **state)
{
    static const char *const names[] = {"mr_td", "mr_config_id", "mr_owner", "mr_owner_config",
                                        "rtmr0", "rtmr1",        "rtmr2",    "rtmr3"};
    struct scene *s = *state;
    struct mk_measurements m = td();
    struct mk_opt_b48 *pins[] = {
        &m.mr_config_id, &m.mr_owner, &m.mr_owner_config, &m.rtmr0, &m.rtmr1, &m.rtmr2, &m.rtmr3};
    char want[64];

    for (size_t i = 0; i < 8; i++) {
        uint8_t *byte = i == 0 ? &m.mr_td.b[47] : &pins[i - 1]->v.b[47];

        *byte ^= 1;
        s->acl.clauses.n = 0;
        add(s, mk_acl_clause_RequireTdx, &m);
        snprintf(want, sizeof want, "the quote's %s is not the one wanted", names[i]);
        refused(s, MK_SCOPE_WRITE, false, want);
        if (i > 0) { /* not pinned: not compared */
            pins[i - 1]->some = false;
            s->acl.clauses.n = 0;
            add(s, mk_acl_clause_RequireTdx, &m);
            admitted(s, MK_SCOPE_WRITE);
            pins[i - 1]->some = true;
        }
        *byte ^= 1;
    }
}

static void test_a_set_wants_one_of_its_members(void **state)
{
    struct scene *s = *state;
    struct mk_measurements set[2] = {td(), td()};
    struct mk_acl_clause c = {.tag = mk_acl_clause_TdxInSet};

    set[0].mr_td = register_of(9);
    c.u.tdx_in_set.set = (struct mk_measurements_set){set, 2};
    s->clauses[s->acl.clauses.n++] = c;
    admitted(s, MK_SCOPE_WRITE);
    set[1].rtmr3.v = register_of(9);
    refused(s, MK_SCOPE_WRITE, false, "clause 0 TdxInSet: the quote matches none of the 2");
}

static void test_what_is_no_evidence_refuses(void **state)
{
    struct scene *s = *state;
    const struct mk_measurements m = td();

    add(s, mk_acl_clause_RequireTdx, &m);
    s->evidence.state = MK_EVIDENCE_PENDING;
    snprintf(s->evidence.reason, sizeof s->evidence.reason, "asked for");
    refused(s, MK_SCOPE_WRITE, true, "clause 0 RequireTdx: asked for");
    s->evidence.state = MK_EVIDENCE_BAD;
    snprintf(s->evidence.reason, sizeof s->evidence.reason, "root of others");
    refused(s, MK_SCOPE_WRITE, false, "clause 0 RequireTdx: root of others");
    s->no_link = true;
    refused(s, MK_SCOPE_WRITE, false, "there is no link");
    s->gate.attestation = NULL;
    refused(s, MK_SCOPE_WRITE, false, "this node verifies no quotes");
}

static void test_the_ladder(void **state)
{
    struct scene *s = *state;

    s->acl.clauses.n = 1;
    for (unsigned has = 1; has <= 4; has++) {
        for (unsigned wants = 0; wants <= 4; wants++) {
            s->evidence.level = has;
            s->clauses[0] = (struct mk_acl_clause){.tag = mk_acl_clause_AttestationFloor};
            s->clauses[0].u.attestation_floor.level = (uint8_t)wants;
            if (wants <= has)
                admitted(s, MK_SCOPE_WRITE);
            else
                refused(s, MK_SCOPE_WRITE, false, "clause 0 AttestationFloor: the quote shows Tdx");
        }
    }
    s->evidence.level = MK_LEVEL_TDX_REMOTE;
    s->clauses[0].u.attestation_floor.level = MK_LEVEL_TDX_RA_TLS;
    s->evidence.undecided = true;
    refused(s, MK_SCOPE_WRITE, true, "wanted is TdxRaTlsBidirectional: the peer has not judged");
}

static void test_software_asks_for_no_quote(void **state)
{
    struct scene *s = *state;

    s->acl.clauses.n = 1;
    s->clauses[0] = (struct mk_acl_clause){.tag = mk_acl_clause_AttestationFloor};
    s->gate.attestation = NULL;
    admitted(s, MK_SCOPE_COMMITTEE);
    assert_false(mk_gate_wants_quote(&s->acl, MK_SCOPE_COMMITTEE));
}

/* A quote without collateral shows no more than TdxLocal: too little for measurements. */
static void test_measurements_want_the_platform_too(void **state)
{
    struct scene *s = *state;
    const struct mk_measurements m = td();

    add(s, mk_acl_clause_RequireTdx, &m);
    s->evidence.level = MK_LEVEL_TDX_LOCAL;
    snprintf(s->evidence.reason, sizeof s->evidence.reason, "no collateral");
    refused(s, MK_SCOPE_WRITE, false,
            "the quote shows TdxLocal, wanted is TdxRemote: no collateral");
}

/* VerifyPeerTdx speaks of those who serve: committee peers, and members seen by clients. */
static void test_who_is_judged_by_which_clause(void **state)
{
    struct scene *s = *state;
    struct mk_measurements m = td();

    m.mr_td = register_of(9);
    add(s, mk_acl_clause_VerifyPeerTdx, &m);
    admitted(s, MK_SCOPE_WRITE);
    admitted(s, MK_SCOPE_READ);
    refused(s, MK_SCOPE_COMMITTEE, false, "clause 0 VerifyPeerTdx");
    refused(s, MK_SCOPE_HOST, false, "clause 0 VerifyPeerTdx");
    s->clauses[0].tag = mk_acl_clause_RequireTdx;
    admitted(s, MK_SCOPE_HOST);
    admitted(s, MK_SCOPE_READ);
    refused(s, MK_SCOPE_WRITE, false, "clause 0 RequireTdx");
    s->clauses[s->acl.clauses.n++] = (struct mk_acl_clause){.tag = mk_acl_clause_GateReaders};
    refused(s, MK_SCOPE_READ, false, "clause 0 RequireTdx");
}

static void test_preparing_asks_only_where_it_matters(void **state)
{
    struct scene *s = *state;
    const struct mk_measurements m = td();

    assert_true(mk_gate_prepare(&s->gate, &s->bearer.peer, MK_SCOPE_COMMITTEE));
    add(s, mk_acl_clause_RequireTdx, &m);
    assert_true(mk_gate_prepare(&s->gate, &s->bearer.peer, MK_SCOPE_HOST));
    assert_true(mk_gate_prepare(&s->gate, &s->bearer.peer, MK_SCOPE_READ));
    assert_int_equal(s->asked, 0);
    s->evidence.state = MK_EVIDENCE_PENDING;
    assert_false(mk_gate_prepare(&s->gate, &s->bearer.peer, MK_SCOPE_COMMITTEE));
    s->evidence.state = MK_EVIDENCE_BAD;
    assert_true(mk_gate_prepare(&s->gate, &s->bearer.peer, MK_SCOPE_WRITE));
    assert_int_equal(s->asked, 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_require_admits_and_ends_with_the_evidence),
        T(test_each_register_is_compared),
        T(test_a_set_wants_one_of_its_members),
        T(test_what_is_no_evidence_refuses),
        T(test_the_ladder),
        T(test_software_asks_for_no_quote),
        T(test_measurements_want_the_platform_too),
        T(test_who_is_judged_by_which_clause),
        T(test_preparing_asks_only_where_it_matters),
    };
#undef T

    return cmocka_run_group_tests(tests, NULL, NULL);
}
