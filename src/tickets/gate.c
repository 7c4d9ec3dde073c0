/* gate.c - judging a bearer by an AclComposition (spec/identity.md, "ACL
 * composition").
 *
 * Every clause must admit, in order; the first that does not is named. Within a
 * clause any one ticket suffices, and of several the one that lasts longest
 * counts; across clauses the earliest end is when to judge again.
 *
 * What can refuse by mistake of ours is only what we cannot evaluate: clauses
 * for which this build has no evaluator refuse and say so. Nothing is ever
 * admitted because it was not understood. */
#include "tickets/standing.h"
#include "tickets/times.h"
#include <mosaik/standing.h>
#include <mosaik/ticket.h>

#include <stdio.h>
#include <string.h>

/* One judgement in progress. */
struct gate_case {
    const struct mk_gate *gate;
    const struct mk_bearer *bearer;
    enum mk_scope scope;
    uint64_t now_ms;
    bool pending; /* the refusal is for now: evidence is on its way */
    uint64_t again_ms;
};

/* A refusal that time may heal. */
static void gate_again(struct gate_case *c, uint64_t at_ms)
{
    c->again_ms = at_ms > c->now_ms && at_ms < c->again_ms ? at_ms : c->again_ms;
}

/* "RequireTdx" out of the clause's descriptor. */
static const char *gate_clause_name(const struct mk_acl_clause *clause)
{
    for (size_t i = 0; i < mk_acl_clause_type.n_fields; i++) {
        if (mk_acl_clause_type.fields[i].tag == clause->tag)
            return mk_acl_clause_type.fields[i].name;
    }
    return "unknown clause";
}

static int gate_count(const struct gate_case *c, struct mk_fault *reterr)
{
    if (c->bearer->n_tickets > MK_TICKETS_MAX)
        return mk_fault(reterr, MK_EREFUSED, "the peer shows %zu tickets, at most %u are read",
                        c->bearer->n_tickets, MK_TICKETS_MAX);
    if (c->bearer->n_tickets == 0)
        return mk_fault(reterr, MK_EREFUSED, "the peer shows no ticket");
    return 0;
}

/* The ticket's class, without the cost of checking it. */
static bool gate_has_class(struct mk_bytes ticket, const struct mk_id *class)
{
    struct mk_reader r = {.p = ticket.p, .n = ticket.n};
    struct mk_bytes b = mk_read_bytes(&r, sizeof class->b);

    return !r.failed && mk_bytes_eq(b, MK_ID_BYTES(class));
}

/* When a ticket that was refused begins to count, by its own word: checked again then. */
static void gate_not_before(struct gate_case *c, struct mk_bytes ticket)
{
    struct mk_arena arena = {0};
    struct mk_signed_ticket s;
    struct mk_claims claims;
    struct mk_ticket t;

    if (ticket.n <= MK_TICKET_MAX && mk_decode(&t, &mk_ticket_type, ticket, &arena, NULL) == 0 &&
        mk_decode(&s, &mk_signed_ticket_type, t.data, &arena, NULL) == 0 &&
        mk_claims_parse(&claims, s.claims, NULL) == 0 && claims.nbf < UINT64_MAX / 1000 &&
        claims.nbf * 1000 > MK_TICKET_SKEW_MS)
        gate_again(c, claims.nbf * 1000 - MK_TICKET_SKEW_MS);
    mk_arena_done(&arena);
}

/* Any ticket that is good for this root; *end is raised to its end. Of several
 * refusals the one about a ticket of the right issuer is reported. */
static int gate_issuer(struct gate_case *c, const struct mk_id *root, uint64_t *end,
                       struct mk_fault *reterr)
{
    bool admitted = false, judged_own = false;
    int rv = gate_count(c, reterr);

    for (size_t i = 0; rv == 0 && i < c->bearer->n_tickets; i++) {
        struct mk_bytes ticket = c->bearer->tickets[i];
        bool own = gate_has_class(ticket, root);
        struct mk_claims claims;

        if (mk_ticket_check(&claims, ticket, c->gate->issuers, root, &c->gate->stable_id,
                            &c->bearer->peer, c->scope, c->now_ms,
                            own || !judged_own ? reterr : NULL) == 0) {
            *end = !admitted || claims.exp * 1000 > *end ? claims.exp * 1000 : *end;
            admitted = true;
        } else if (own) {
            gate_not_before(c, ticket);
        }
        judged_own = judged_own || own;
    }
    return rv == 0 && !admitted ? MK_EREFUSED : rv;
}

static int gate_any_issuer(struct gate_case *c, const struct mk_issuer_roots *roots, uint64_t *end,
                           struct mk_fault *reterr)
{
    bool admitted = false;

    for (size_t i = 0; i < roots->n; i++) {
        uint64_t e = 0;

        if (gate_issuer(c, &roots->v[i], &e, reterr) != 0)
            continue;
        *end = !admitted || e > *end ? e : *end;
        admitted = true;
    }
    return admitted ? 0 : MK_EREFUSED;
}

static int gate_own_issuer(struct gate_case *c, uint64_t *end, struct mk_fault *reterr)
{
    if (mk_id_is_zero(&c->gate->own_issuer))
        return mk_fault(reterr, MK_EREFUSED,
                        "this component was not started for a coalition with a ticket issuer");
    return gate_issuer(c, &c->gate->own_issuer, end, reterr);
}

static int gate_jwt(struct gate_case *c, const struct mk_clause_jwt *jwt, uint64_t *end,
                    struct mk_fault *reterr)
{
    const struct mk_id class = mk_id_of_text(MK_STR("jwt"));
    bool admitted = false, shown = false;
    int rv = gate_count(c, reterr);

    for (size_t i = 0; rv == 0 && i < c->bearer->n_tickets; i++) {
        struct mk_bytes bytes = c->bearer->tickets[i];
        struct mk_arena arena = {0};
        struct mk_ticket t;
        uint64_t e;

        if (!gate_has_class(bytes, &class) || bytes.n > MK_TICKET_MAX)
            continue;
        shown = true;
        if (mk_decode(&t, &mk_ticket_type, bytes, &arena, reterr) == 0 &&
            mk_jwt_check(t.data, jwt->issuer, jwt->algorithm, jwt->key, &c->gate->stable_id,
                         &c->bearer->peer, c->now_ms, &e, reterr) == 0) {
            *end = !admitted || e > *end ? e : *end;
            admitted = true;
        }
        mk_arena_done(&arena);
    }
    if (rv == 0 && !shown)
        rv = mk_fault(reterr, MK_EREFUSED, "the peer shows no JWT");
    else if (rv == 0 && !admitted)
        gate_again(c, c->now_ms + MK_STANDING_AGAIN_MS);
    return rv == 0 && !admitted ? MK_EREFUSED : rv;
}

/* --- quotes ------------------------------------------------------------------------- */

/* Evidence that is good now; NULL with the reason in reterr. */
static const struct mk_evidence *gate_evidence(struct gate_case *c, struct mk_fault *reterr)
{
    struct mk_attestation *a = c->gate->attestation;
    const struct mk_evidence *e;
    char when[32];

    if (a == NULL) {
        mk_fault(reterr, MK_EREFUSED,
                 "this node verifies no quotes: its file has no [attest] (a command: no --attest)");
        return NULL;
    }
    e = a->evidence(a, &c->bearer->peer);
    if (e != NULL && e->state == MK_EVIDENCE_GOOD && c->now_ms >= e->from_ms &&
        c->now_ms < e->expires_ms)
        return e;
    if (e == NULL)
        mk_fault(reterr, MK_EREFUSED, "there is no link on which a quote could be shown");
    else if (e->state == MK_EVIDENCE_GOOD && c->now_ms < e->from_ms)
        mk_fault(reterr, MK_EREFUSED, "what the quote rests on is not valid before %s",
                 mk_ticket_utc(e->from_ms / 1000, when));
    else if (e->state == MK_EVIDENCE_GOOD)
        mk_fault(reterr, MK_EREFUSED, "the collateral of the quote expired at %s",
                 mk_ticket_utc(e->expires_ms / 1000, when));
    else
        mk_fault(reterr, MK_EREFUSED, "%s", e->reason);
    c->pending = e != NULL && e->state == MK_EVIDENCE_PENDING;
    if (e != NULL)
        gate_again(c, e->from_ms);
    return NULL;
}

/* The same, and of this level. */
static const struct mk_evidence *gate_level(struct gate_case *c, unsigned level,
                                            struct mk_fault *reterr)
{
    const struct mk_evidence *e = gate_evidence(c, reterr);

    if (e == NULL || e->level >= level)
        return e;
    c->pending = e->undecided;
    mk_fault(reterr, MK_EREFUSED, "the quote shows %s, wanted is %s: %s",
             mk_attestation_level_name((uint8_t)e->level),
             mk_attestation_level_name((uint8_t)level), e->reason);
    return NULL;
}

static const char *differ48(const struct mk_opt_b48 *pin, const struct mk_opt_b48 *v,
                            const char *name)
{
    return pin->some && (!v->some || memcmp(pin->v.b, v->v.b, sizeof v->v.b) != 0) ? name : NULL;
}

/* The first register that has not its pinned value; NULL: all have. */
static const char *gate_differ(const struct mk_measurements *pin, const struct mk_measurements *v)
{
    const char *differs[] = {
        memcmp(pin->mr_td.b, v->mr_td.b, sizeof v->mr_td.b) != 0 ? "mr_td" : NULL,
        differ48(&pin->mr_config_id, &v->mr_config_id, "mr_config_id"),
        differ48(&pin->mr_owner, &v->mr_owner, "mr_owner"),
        differ48(&pin->mr_owner_config, &v->mr_owner_config, "mr_owner_config"),
        differ48(&pin->rtmr0, &v->rtmr0, "rtmr0"),
        differ48(&pin->rtmr1, &v->rtmr1, "rtmr1"),
        differ48(&pin->rtmr2, &v->rtmr2, "rtmr2"),
        differ48(&pin->rtmr3, &v->rtmr3, "rtmr3"),
    };

    for (size_t i = 0; i < sizeof differs / sizeof differs[0]; i++) {
        if (differs[i] != NULL)
            return differs[i];
    }
    return NULL;
}

static int gate_tdx(struct gate_case *c, const struct mk_measurements *pin, uint64_t *end,
                    struct mk_fault *reterr)
{
    const struct mk_evidence *e = gate_level(c, MK_LEVEL_TDX_REMOTE, reterr);
    const char *differs = e != NULL ? gate_differ(pin, &e->measured) : NULL;
    char hex[2 * sizeof e->measured.mr_td.b + 1];

    if (e == NULL)
        return MK_EREFUSED;
    *end = e->expires_ms;
    if (differs == NULL)
        return 0;
    mk_hex(hex, e->measured.mr_td.b, sizeof e->measured.mr_td.b);
    return mk_fault(reterr, MK_EREFUSED,
                    "the quote's %s is not the one wanted (its mr_td is %.16s...)", differs, hex);
}

static int gate_tdx_set(struct gate_case *c, const struct mk_measurements_set *set, uint64_t *end,
                        struct mk_fault *reterr)
{
    const struct mk_evidence *e = gate_level(c, MK_LEVEL_TDX_REMOTE, reterr);
    char hex[2 * sizeof e->measured.mr_td.b + 1];

    if (e == NULL)
        return MK_EREFUSED;
    *end = e->expires_ms;
    for (size_t i = 0; i < set->n; i++) {
        if (gate_differ(&set->v[i], &e->measured) == NULL)
            return 0;
    }
    mk_hex(hex, e->measured.mr_td.b, sizeof e->measured.mr_td.b);
    return mk_fault(reterr, MK_EREFUSED,
                    "the quote matches none of the %zu measurements (its mr_td is %.16s...)",
                    set->n, hex);
}

static int gate_floor(struct gate_case *c, unsigned level, uint64_t *end, struct mk_fault *reterr)
{
    const struct mk_evidence *e;

    if (level == MK_LEVEL_SOFTWARE)
        return 0; /* the link has proven its key */
    e = gate_level(c, level, reterr);
    if (e == NULL)
        return MK_EREFUSED;
    *end = e->expires_ms;
    return 0;
}

static int gate_peer_list(const struct gate_case *c, const struct mk_peer_list *peers,
                          struct mk_fault *reterr)
{
    for (size_t i = 0; i < peers->n; i++) {
        if (mk_peer_eq(&peers->v[i], &c->bearer->peer))
            return 0;
    }
    return mk_fault(reterr, MK_EREFUSED, "the peer is not listed");
}

/* 0, or refused with the reason; *end (UINT64_MAX on entry) is when it ends. */
static int gate_clause(struct gate_case *c, const struct mk_acl_clause *clause, uint64_t *end,
                       struct mk_fault *reterr)
{
    switch ((enum mk_acl_clause_tag)clause->tag) {
    case mk_acl_clause_RecogniseIssuer:
        return gate_issuer(c, &clause->u.recognise_issuer.root, end, reterr);
    case mk_acl_clause_RecogniseOwnIssuer:
        return gate_own_issuer(c, end, reterr);
    case mk_acl_clause_RecogniseAnyIssuer:
        return gate_any_issuer(c, &clause->u.recognise_any_issuer.roots, end, reterr);
    case mk_acl_clause_RequireJwt:
        return gate_jwt(c, &clause->u.require_jwt, end, reterr);
    case mk_acl_clause_PeerList:
        return gate_peer_list(c, &clause->u.peer_list.peers, reterr);
    case mk_acl_clause_GateReaders:
        return 0; /* says whom the other clauses judge */
    case mk_acl_clause_RequireTdx:
        return gate_tdx(c, &clause->u.require_tdx.measurements, end, reterr);
    case mk_acl_clause_VerifyPeerTdx:
        return gate_tdx(c, &clause->u.verify_peer_tdx.measurements, end, reterr);
    case mk_acl_clause_TdxInSet:
        return gate_tdx_set(c, &clause->u.tdx_in_set.set, end, reterr);
    case mk_acl_clause_AttestationFloor:
        return gate_floor(c, clause->u.attestation_floor.level, end, reterr);
    case mk_acl_clause_ReputationFloor:
        gate_again(c, c->now_ms + MK_STANDING_AGAIN_MS); /* cards come and go */
        return mk_standing_reputation(c->gate, &clause->u.reputation_floor, &c->bearer->peer,
                                      c->now_ms, end, &c->pending, reterr);
    case mk_acl_clause_MarketSettlement:
        gate_again(c, c->now_ms + MK_STANDING_AGAIN_MS);
        return mk_standing_settlement(c->gate, &clause->u.market_settlement, &c->bearer->peer,
                                      c->now_ms, end, &c->pending, reterr);
    case mk_acl_clause_ComputeModulePin:
    case mk_acl_clause_RequesterAcl:
    case mk_acl_clause_OwnComputeModule:
    case mk_acl_clause_OwnRequesterAcl:
        return mk_fault(reterr, MK_EREFUSED,
                        "no evaluator is configured in this build, so nobody is admitted");
    }
    return mk_fault(reterr, MK_EREFUSED, "a clause that this build does not know");
}

static bool gate_readers(const struct mk_acl_composition *acl)
{
    for (size_t i = 0; i < acl->clauses.n; i++) {
        if (acl->clauses.v[i].tag == mk_acl_clause_GateReaders)
            return true;
    }
    return false;
}

/* Whom does a clause judge? GateReaders was asked before. */
static bool gate_speaks_of(const struct mk_acl_clause *clause, enum mk_scope scope)
{
    bool of_servers = clause->tag == mk_acl_clause_VerifyPeerTdx;

    return scope == MK_SCOPE_COMMITTEE || of_servers == (scope == MK_SCOPE_HOST);
}

void mk_gate_judge(const struct mk_gate *g, struct mk_verdict *ret, const struct mk_bearer *bearer,
                   enum mk_scope scope, uint64_t now_ms)
{
    struct gate_case c = {g, bearer, scope, now_ms, false, UINT64_MAX};
    struct mk_fault fault;

    *ret = (struct mk_verdict){.admitted = true, .expires_ms = UINT64_MAX, .again_ms = UINT64_MAX};
    if (scope == MK_SCOPE_READ && !gate_readers(g->acl))
        return;
    for (size_t i = 0; i < g->acl->clauses.n; i++) {
        const struct mk_acl_clause *clause = &g->acl->clauses.v[i];
        uint64_t end = UINT64_MAX;

        fault.text[0] = '\0';
        if (!gate_speaks_of(clause, scope))
            continue;
        if (gate_clause(&c, clause, &end, &fault) != 0) {
            ret->admitted = false;
            ret->pending = c.pending;
            ret->clause = (unsigned)i;
            ret->expires_ms = 0;
            ret->again_ms = c.again_ms;
            snprintf(ret->reason, sizeof ret->reason, "clause %zu %s: %.200s", i,
                     gate_clause_name(clause), fault.text);
            return;
        }
        ret->expires_ms = end < ret->expires_ms ? end : ret->expires_ms;
    }
}

static bool gate_is_about_quotes(const struct mk_acl_clause *clause)
{
    return clause->tag == mk_acl_clause_RequireTdx || clause->tag == mk_acl_clause_VerifyPeerTdx ||
           clause->tag == mk_acl_clause_TdxInSet ||
           (clause->tag == mk_acl_clause_AttestationFloor &&
            clause->u.attestation_floor.level > MK_LEVEL_SOFTWARE);
}

bool mk_gate_wants_quote(const struct mk_acl_composition *acl, enum mk_scope scope)
{
    if (scope == MK_SCOPE_READ && !gate_readers(acl))
        return false;
    for (size_t i = 0; i < acl->clauses.n; i++) {
        if (gate_is_about_quotes(&acl->clauses.v[i]) && gate_speaks_of(&acl->clauses.v[i], scope))
            return true;
    }
    return false;
}

bool mk_gate_prepare(const struct mk_gate *g, const struct mk_peer *peer, enum mk_scope scope)
{
    const struct mk_evidence *e;

    if (g->attestation == NULL || !mk_gate_wants_quote(g->acl, scope))
        return true;
    e = g->attestation->evidence(g->attestation, peer);
    return e == NULL || e->state != MK_EVIDENCE_PENDING;
}

const char *mk_evidence_name(const struct mk_evidence *e)
{
    return e->state == MK_EVIDENCE_GOOD      ? mk_attestation_level_name((uint8_t)e->level)
           : e->state == MK_EVIDENCE_PENDING ? "pending"
                                             : "refused";
}
