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
#include <mosaik/ticket.h>

#include <stdio.h>

/* One judgement in progress. */
struct gate_case {
    const struct mk_gate *gate;
    const struct mk_bearer *bearer;
    enum mk_scope scope;
    uint64_t now_ms;
};

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

/* Any ticket that is good for this root; *end is raised to its end. Of several
 * refusals the one about a ticket of the right issuer is reported. */
static int gate_issuer(const struct gate_case *c, const struct mk_id *root, uint64_t *end,
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
        }
        judged_own = judged_own || own;
    }
    return rv == 0 && !admitted ? MK_EREFUSED : rv;
}

static int gate_any_issuer(const struct gate_case *c, const struct mk_issuer_roots *roots,
                           uint64_t *end, struct mk_fault *reterr)
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

static int gate_own_issuer(const struct gate_case *c, uint64_t *end, struct mk_fault *reterr)
{
    if (mk_id_is_zero(&c->gate->own_issuer))
        return mk_fault(reterr, MK_EREFUSED,
                        "this component was not started for a coalition with a ticket issuer");
    return gate_issuer(c, &c->gate->own_issuer, end, reterr);
}

static int gate_jwt(const struct gate_case *c, const struct mk_clause_jwt *jwt, uint64_t *end,
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
    return rv == 0 && !admitted ? MK_EREFUSED : rv;
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
static int gate_clause(const struct gate_case *c, const struct mk_acl_clause *clause, uint64_t *end,
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
    case mk_acl_clause_VerifyPeerTdx:
    case mk_acl_clause_TdxInSet:
    case mk_acl_clause_ReputationFloor:
    case mk_acl_clause_MarketSettlement:
    case mk_acl_clause_ComputeModulePin:
    case mk_acl_clause_RequesterAcl:
    case mk_acl_clause_AttestationFloor:
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

void mk_gate_judge(const struct mk_gate *g, struct mk_verdict *ret, const struct mk_bearer *bearer,
                   enum mk_scope scope, uint64_t now_ms)
{
    const struct gate_case c = {g, bearer, scope, now_ms};
    struct mk_fault fault;

    *ret = (struct mk_verdict){.admitted = true, .expires_ms = UINT64_MAX};
    if (scope == MK_SCOPE_READ && !gate_readers(g->acl))
        return;
    for (size_t i = 0; i < g->acl->clauses.n; i++) {
        const struct mk_acl_clause *clause = &g->acl->clauses.v[i];
        uint64_t end = UINT64_MAX;

        fault.text[0] = '\0';
        if (gate_clause(&c, clause, &end, &fault) != 0) {
            ret->admitted = false;
            ret->clause = (unsigned)i;
            ret->expires_ms = 0;
            snprintf(ret->reason, sizeof ret->reason, "clause %zu %s: %.200s", i,
                     gate_clause_name(clause), fault.text);
            return;
        }
        ret->expires_ms = end < ret->expires_ms ? end : ret->expires_ms;
    }
}
