/* read_acl.c - `acl = [ { require = "tdx", mr_td = "..." }, ... ]` (spec/cli.md). */
#include "coalition/reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the keys of a clause are read into. */
struct input {
    struct mk_acl_clause clause;
    struct coa_foreign_issuer foreign;
};

#define AT(member) offsetof(struct input, clause.u.member)
#define REQUIRE                               \
    {                                         \
        "require", read_ignore, 0, true, 0, 0 \
    }
#define REGISTER(of, name)                                         \
    {                                                              \
#name, read_opt_b48, AT(of.measurements.name), false, 0, 0 \
    }
#define TDX(of)                                                                            \
    REQUIRE, {"mr_td", read_b48, AT(of.measurements.mr_td), true, 0, 0},                   \
        REGISTER(of, mr_config_id), REGISTER(of, mr_owner), REGISTER(of, mr_owner_config), \
        REGISTER(of, rtmr0), REGISTER(of, rtmr1), REGISTER(of, rtmr2), REGISTER(of, rtmr3)

static int measurements_cmp(const void *a, const void *b)
{
    struct mk_buf x = {0}, y = {0};
    int order;

    mk_encode(&x, &mk_measurements_type, a);
    mk_encode(&y, &mk_measurements_type, b);
    order = mk_bytes_cmp(mk_buf_bytes(&x), mk_buf_bytes(&y));
    mk_buf_done(&x);
    mk_buf_done(&y);
    return order;
}

static int read_set(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    struct mk_measurements_set *set = ret;
    void *items;
    int rv;

    (void)f;
    rv = read_tables(r, n, "set", MK_ACL_SET_MAX, measurements_fields, MEASUREMENTS_FIELDS,
                     sizeof(struct mk_measurements), &items, &set->n);
    if (rv != 0)
        return rv;
    if (set->n == 0)
        return reader_fail(r, n->at, "set is empty; it must have an item");
    qsort(items, set->n, sizeof(struct mk_measurements), measurements_cmp);
    set->v = items;
    for (size_t i = 1; i < set->n; i++) {
        if (measurements_cmp(&set->v[i - 1], &set->v[i]) == 0)
            return reader_fail(r, n->at, "set holds an item twice; items must be distinct");
    }
    return 0;
}

static int read_roots(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    struct mk_issuer_roots *roots = ret;
    struct mk_id *ids = NULL;
    int rv = read_id_set(r, n, MK_ACL_SET_MAX, &ids, &roots->n);

    (void)f;
    roots->v = ids;
    return rv;
}

static int read_peers(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    struct mk_peer_list *peers = ret;
    struct mk_id *ids = NULL;
    int rv = read_id_set(r, n, MK_PEER_LIST_MAX, &ids, &peers->n);

    (void)f;
    _Static_assert(sizeof(struct mk_id) == sizeof(struct mk_peer), "both are 32 bytes");
    peers->v = (const struct mk_peer *)(const void *)ids;
    return rv;
}

static const struct field own_fields[] = {REQUIRE};
static const struct field issuer_fields[] = {
    REQUIRE,
    {"root", read_id, AT(recognise_issuer.root), true, 0, 0},
    {"operator", read_opt_peer, offsetof(struct input, foreign.operator), false, 0, 0},
    {"committee", read_committee, offsetof(struct input, foreign.committee), false, 0, 0},
};
static const struct field tdx_fields[] = {TDX(require_tdx)};
static const struct field peer_tdx_fields[] = {TDX(verify_peer_tdx)};
static const struct field tdx_in_fields[] = {REQUIRE,
                                             {"set", read_set, AT(tdx_in_set.set), true, 0, 0}};
static const struct field jwt_fields[] = {
    REQUIRE,
    {"issuer", read_text, AT(require_jwt.issuer), true, 1, MK_JWT_ISSUER_MAX},
    {"algorithm", read_name, AT(require_jwt.algorithm), true, 0, 0},
    {"key", read_hex, AT(require_jwt.key), true, 32, 67},
};
static const struct field reputation_fields[] = {
    REQUIRE,
    {"organism", read_id, AT(reputation_floor.organism), true, 0, 0},
    {"floor", read_bps, AT(reputation_floor.floor_bps), true, 0, 0},
};
static const struct field settlement_fields[] = {
    REQUIRE, {"organism", read_id, AT(market_settlement.organism), true, 0, 0}};
static const struct field compute_fields[] = {
    REQUIRE, {"module", read_id, AT(compute_module_pin.module), true, 0, 0}};
static const struct field requester_fields[] = {
    REQUIRE, {"module", read_id, AT(requester_acl.module), true, 0, 0}};
static const struct field attestation_fields[] = {
    REQUIRE, {"level", read_u8, AT(attestation_floor.level), true, 0, 4}};
static const struct field peers_fields[] = {REQUIRE,
                                            {"peers", read_peers, AT(peer_list.peers), true, 0, 0}};
static const struct field any_fields[] = {
    REQUIRE, {"roots", read_roots, AT(recognise_any_issuer.roots), true, 0, 0}};

static const struct clause_kind {
    const char *name;
    uint32_t tag;
    const struct field *fields;
    size_t n_fields;
} kinds[] = {
    {"issuer", mk_acl_clause_RecogniseIssuer, FIELDS(issuer_fields)},
    {"tdx", mk_acl_clause_RequireTdx, FIELDS(tdx_fields)},
    {"peer-tdx", mk_acl_clause_VerifyPeerTdx, FIELDS(peer_tdx_fields)},
    {"tdx-in", mk_acl_clause_TdxInSet, FIELDS(tdx_in_fields)},
    {"jwt", mk_acl_clause_RequireJwt, FIELDS(jwt_fields)},
    {"reputation", mk_acl_clause_ReputationFloor, FIELDS(reputation_fields)},
    {"settlement", mk_acl_clause_MarketSettlement, FIELDS(settlement_fields)},
    {"compute-module", mk_acl_clause_ComputeModulePin, FIELDS(compute_fields)},
    {"requester-acl", mk_acl_clause_RequesterAcl, FIELDS(requester_fields)},
    {"attestation", mk_acl_clause_AttestationFloor, FIELDS(attestation_fields)},
    {"peers", mk_acl_clause_PeerList, FIELDS(peers_fields)},
    {"own-issuer", mk_acl_clause_RecogniseOwnIssuer, FIELDS(own_fields)},
    {"own-compute", mk_acl_clause_OwnComputeModule, FIELDS(own_fields)},
    {"own-requesters", mk_acl_clause_OwnRequesterAcl, FIELDS(own_fields)},
    {"readers", mk_acl_clause_GateReaders, FIELDS(own_fields)},
    {"any-issuer", mk_acl_clause_RecogniseAnyIssuer, FIELDS(any_fields)},
};

static int find_kind(struct reader *r, const struct toml_node *n, const struct clause_kind **ret)
{
    const struct toml_node *require = NULL;
    int rv;

    for (size_t i = 0; i < n->n; i++) {
        if (mk_str_is(n->children[i].key, "require"))
            require = &n->children[i];
    }
    if (require == NULL)
        return reader_fail(r, n->at, "a clause has no require; write { require = \"...\", ... }");
    rv = read_expect(r, require, TOML_TEXT);
    if (rv != 0)
        return rv;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (mk_str_is(require->text, kinds[i].name)) {
            *ret = &kinds[i];
            return 0;
        }
    }
    return reader_fail(r, require->at,
                       "unknown clause \"%s\"; known are issuer, any-issuer, own-issuer, tdx, "
                       "peer-tdx, tdx-in, jwt, reputation, settlement, compute-module, "
                       "requester-acl, attestation, peers, own-compute, own-requesters, readers",
                       require->text.p);
}

static int read_clause(struct reader *r, const struct toml_node *n, struct mk_acl_clause *ret)
{
    struct input in = {0};
    struct mk_acl_composition alone = {{&in.clause, 1}};
    const struct clause_kind *kind = NULL;
    struct mk_fault rule;
    const char *own;
    char what[64];
    int rv;

    rv = read_expect(r, n, TOML_TABLE);
    if (rv == 0)
        rv = find_kind(r, n, &kind);
    if (rv != 0)
        return rv;
    in.clause.tag = kind->tag;
    snprintf(what, sizeof what, "the clause %s", kind->name);
    rv = read_table(r, n, what, kind->fields, kind->n_fields, &in);
    if (rv != 0)
        return rv;
    if (mk_acl_check(&alone, &rule) != 0) /* "clause 1: " is cut off: the place says which */
        return reader_fail(r, n->at, "%s: %s", what, rule.text + strlen("clause 1: "));
    own = coa_own_clause_rule(&in.clause, r->own);
    if (own != NULL)
        return reader_fail(r, n->at, "%s: %s", what, own);
    if (in.foreign.operator.some || in.foreign.committee.n> 0) {
        in.foreign.root = in.clause.u.recognise_issuer.root;
        mk_buf_put(&r->foreign, &in.foreign, sizeof in.foreign);
    }
    *ret = in.clause;
    return 0;
}

int read_acl(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    struct mk_acl_composition *acl = ret;
    struct mk_acl_clause *clauses;
    int rv;

    (void)f;
    rv = read_expect(r, n, TOML_ARRAY);
    if (rv != 0)
        return rv;
    if (n->n > MK_ACL_CLAUSES_MAX)
        return reader_fail(r, n->children[MK_ACL_CLAUSES_MAX].at, "an acl has at most %u clauses",
                           MK_ACL_CLAUSES_MAX);
    clauses = mk_arena_take(r->arena, n->n * sizeof *clauses);
    for (size_t i = 0; i < n->n; i++) {
        rv = read_clause(r, &n->children[i], &clauses[i]);
        if (rv != 0)
            return rv;
    }
    acl->clauses = (struct mk_acl_clauses){n->n > 0 ? clauses : NULL, n->n};
    return 0;
}
