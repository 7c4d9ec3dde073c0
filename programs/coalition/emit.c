/* emit.c - TOML out of configs. What is written is read back and compared by its
 * fingerprint by whoever calls, so a mistake here cannot pass unseen. */
#include "emit.h"

#include <coalition/modules.h>

static void put_text(struct mk_buf *out, struct mk_str s)
{
    mk_buf_put_u8(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            mk_buf_put_u8(out, '\\');
        mk_buf_put_u8(out, (uint8_t)s.p[i]);
    }
    mk_buf_put_u8(out, '"');
}

static void put_hex(struct mk_buf *out, const void *p, size_t n)
{
    char *hex = mk_alloc(2 * n + 1);

    mk_hex(hex, p, n);
    mk_buf_printf(out, "\"%s\"", hex);
    mk_free(hex);
}

static void put_key_text(struct mk_buf *out, const char *key, struct mk_str s)
{
    mk_buf_printf(out, "%s = ", key);
    put_text(out, s);
    mk_buf_put_str(out, "\n");
}

static void put_key_id(struct mk_buf *out, const char *key, const struct mk_id *id)
{
    mk_buf_printf(out, "%s = ", key);
    put_hex(out, id->b, sizeof id->b);
    mk_buf_put_str(out, "\n");
}

static void put_list(struct mk_buf *out, const char *key, const struct mk_str *v, size_t n)
{
    mk_buf_printf(out, "%s = [", key);
    for (size_t i = 0; i < n; i++) {
        mk_buf_put_str(out, i > 0 ? ", " : "");
        put_text(out, v[i]);
    }
    mk_buf_put_str(out, "]\n");
}

/* --- clauses ---------------------------------------------------------------------------- */

static void put_register(struct mk_buf *out, const char *key, const struct mk_opt_b48 *r)
{
    if (!r->some)
        return;
    mk_buf_printf(out, ", %s = ", key);
    put_hex(out, r->v.b, sizeof r->v.b);
}

/** "mr_td = ..., rtmr0 = ...", without braces. */
static void put_measurements(struct mk_buf *out, const struct mk_measurements *m)
{
    mk_buf_put_str(out, "mr_td = ");
    put_hex(out, m->mr_td.b, sizeof m->mr_td.b);
    put_register(out, "mr_config_id", &m->mr_config_id);
    put_register(out, "mr_owner", &m->mr_owner);
    put_register(out, "mr_owner_config", &m->mr_owner_config);
    put_register(out, "rtmr0", &m->rtmr0);
    put_register(out, "rtmr1", &m->rtmr1);
    put_register(out, "rtmr2", &m->rtmr2);
    put_register(out, "rtmr3", &m->rtmr3);
}

static void put_one_id(struct mk_buf *out, const char *require, const char *key,
                       const struct mk_id *id)
{
    mk_buf_printf(out, "require = \"%s\", %s = ", require, key);
    put_hex(out, id->b, sizeof id->b);
}

static void put_hex_list(struct mk_buf *out, const char *key, const void *first, size_t n)
{
    const uint8_t *p = first;

    mk_buf_printf(out, "%s = [", key);
    for (size_t i = 0; i < n; i++) {
        mk_buf_put_str(out, i > 0 ? ", " : "");
        put_hex(out, p + 32 * i, 32);
    }
    mk_buf_put_str(out, "]");
}

static void put_set(struct mk_buf *out, const struct mk_measurements_set *set)
{
    mk_buf_put_str(out, "require = \"tdx-in\", set = [");
    for (size_t i = 0; i < set->n; i++) {
        mk_buf_put_str(out, i > 0 ? ", { " : "{ ");
        put_measurements(out, &set->v[i]);
        mk_buf_put_str(out, " }");
    }
    mk_buf_put_str(out, "]");
}

static void put_jwt(struct mk_buf *out, const struct mk_clause_jwt *j)
{
    mk_buf_put_str(out, "require = \"jwt\", issuer = ");
    put_text(out, j->issuer);
    mk_buf_put_str(out, ", algorithm = ");
    put_text(out, j->algorithm);
    mk_buf_put_str(out, ", key = ");
    put_hex(out, j->key.p, j->key.n);
}

static void put_clause(struct mk_buf *out, const struct mk_acl_clause *c)
{
    switch ((enum mk_acl_clause_tag)c->tag) {
    case mk_acl_clause_RecogniseIssuer:
        put_one_id(out, "issuer", "root", &c->u.recognise_issuer.root);
        return;
    case mk_acl_clause_RequireTdx:
        mk_buf_put_str(out, "require = \"tdx\", ");
        put_measurements(out, &c->u.require_tdx.measurements);
        return;
    case mk_acl_clause_VerifyPeerTdx:
        mk_buf_put_str(out, "require = \"peer-tdx\", ");
        put_measurements(out, &c->u.verify_peer_tdx.measurements);
        return;
    case mk_acl_clause_TdxInSet:
        put_set(out, &c->u.tdx_in_set.set);
        return;
    case mk_acl_clause_RequireJwt:
        put_jwt(out, &c->u.require_jwt);
        return;
    case mk_acl_clause_ReputationFloor:
        put_one_id(out, "reputation", "organism", &c->u.reputation_floor.organism);
        mk_buf_printf(out, ", floor = %u.%04u", c->u.reputation_floor.floor_bps / 10000,
                      c->u.reputation_floor.floor_bps % 10000);
        return;
    case mk_acl_clause_MarketSettlement:
        put_one_id(out, "settlement", "organism", &c->u.market_settlement.organism);
        return;
    case mk_acl_clause_ComputeModulePin:
        put_one_id(out, "compute-module", "module", &c->u.compute_module_pin.module);
        return;
    case mk_acl_clause_RequesterAcl:
        put_one_id(out, "requester-acl", "module", &c->u.requester_acl.module);
        return;
    case mk_acl_clause_AttestationFloor:
        mk_buf_printf(out, "require = \"attestation\", level = %u", c->u.attestation_floor.level);
        return;
    case mk_acl_clause_PeerList:
        mk_buf_put_str(out, "require = \"peers\", ");
        put_hex_list(out, "peers", c->u.peer_list.peers.v, c->u.peer_list.peers.n);
        return;
    case mk_acl_clause_RecogniseOwnIssuer:
        mk_buf_put_str(out, "require = \"own-issuer\"");
        return;
    case mk_acl_clause_OwnComputeModule:
        mk_buf_put_str(out, "require = \"own-compute\"");
        return;
    case mk_acl_clause_OwnRequesterAcl:
        mk_buf_put_str(out, "require = \"own-requesters\"");
        return;
    case mk_acl_clause_GateReaders:
        mk_buf_put_str(out, "require = \"readers\"");
        return;
    case mk_acl_clause_RecogniseAnyIssuer:
        mk_buf_put_str(out, "require = \"any-issuer\", ");
        put_hex_list(out, "roots", c->u.recognise_any_issuer.roots.v,
                     c->u.recognise_any_issuer.roots.n);
        return;
    }
}

static void put_acl(struct mk_buf *out, const struct mk_acl_composition *acl)
{
    mk_buf_put_str(out, "acl = [");
    for (size_t i = 0; i < acl->clauses.n; i++) {
        mk_buf_put_str(out, i > 0 ? ", { " : "{ ");
        put_clause(out, &acl->clauses.v[i]);
        mk_buf_put_str(out, " }");
    }
    mk_buf_put_str(out, "]\n");
}

/* --- files --------------------------------------------------------------------------------- */

static void put_anchors(struct mk_buf *out, const struct emit_component *c)
{
    if (c == NULL)
        return;
    if (c->config != NULL)
        put_key_text(out, "config", mk_str_of(c->config));
    if (c->operator_ != NULL)
        put_key_text(out, "operator", mk_str_of(c->operator_));
    if (c->n_committee > 0)
        put_list(out, "committee", c->committee, c->n_committee);
}

static void put_stance(struct mk_buf *out, const struct coa_module_config *m)
{
    struct mk_arena arena = {0};
    struct coa_atlas_content content;

    if (mk_decode(&content, &coa_atlas_content_type, m->content, &arena, NULL) == 0 &&
        content.stance.some)
        put_key_id(out, "stance", &content.stance.v);
    mk_arena_done(&arena);
}

static void put_organism_ref(struct mk_buf *out, const struct coa_organism_ref *o,
                             const struct emit_component *e)
{
    mk_buf_put_str(out, "\n[[organism]]\n");
    put_key_text(out, "role", o->role);
    put_key_id(out, "stable_id", &o->stable_id);
    if (o->content_hash.some)
        put_key_id(out, "content_hash", &o->content_hash.v);
    put_anchors(out, e);
}

void emit_coalition(struct mk_buf *out, const struct emit_coalition *e)
{
    const struct coa_coalition_config *c = e->config;

    mk_buf_printf(out, "schema_version = %u\n", c->schema_version);
    put_key_text(out, "instance_name", c->instance_name);
    put_key_text(out, "retirement_policy",
                 c->retirement_policy == COA_LENIENT ? MK_STR("lenient") : MK_STR("conservative"));
    if (e->operator_ != NULL)
        put_key_text(out, "operator", mk_str_of(e->operator_));
    put_list(out, "peers", e->peers, e->n_peers);
    for (size_t i = 0; i < c->lattices.n; i++) {
        mk_buf_put_str(out, "\n[[lattice]]\n");
        put_key_text(out, "name", c->lattices.v[i].name);
        put_key_id(out, "stable_id", &c->lattices.v[i].stable_id);
        if (e->operator_ != NULL)
            put_key_text(out, "operator", mk_str_of(e->operator_));
    }
    for (size_t i = 0; i < c->organisms.n; i++)
        put_organism_ref(out, &c->organisms.v[i], e->organisms != NULL ? &e->organisms[i] : NULL);
    if (c->atlas != NULL) {
        mk_buf_put_str(out, "\n[atlas]\n");
        put_key_text(out, "instance", c->atlas->body.instance);
        put_stance(out, &c->atlas->body);
        put_acl(out, &c->atlas->body.acl);
        put_anchors(out, &e->atlas);
    }
    if (c->ticket_issuer != NULL) {
        mk_buf_put_str(out, "\n[ticket_issuer]\n");
        put_key_text(out, "name", c->ticket_issuer->name);
        put_acl(out, &c->ticket_issuer->acl);
        put_anchors(out, &e->issuer);
    }
}

static bool put_price_feed(struct mk_buf *out, struct mk_bytes content)
{
    struct coa_price_feed_content c;
    struct mk_arena arena = {0};
    bool ok = mk_decode(&c, &coa_price_feed_content_type, content, &arena, NULL) == 0;

    if (ok) {
        mk_buf_put_str(out, "type = \"price-feed\"\npairs = [");
        for (size_t i = 0; i < c.pairs.n; i++) {
            mk_buf_put_str(out, i > 0 ? ", { base = " : "{ base = ");
            put_text(out, c.pairs.v[i].base);
            mk_buf_put_str(out, ", quote = ");
            put_text(out, c.pairs.v[i].quote);
            mk_buf_printf(out, ", scale = %u }", c.pairs.v[i].scale);
        }
        mk_buf_put_str(out, "]\n");
    }
    mk_arena_done(&arena);
    return ok;
}

static void put_span(struct mk_buf *out, const struct coa_organism_config *o)
{
    for (size_t i = 0; i < o->lattices.n; i++) {
        mk_buf_put_str(out, "\n[[span.lattice]]\n");
        if (o->lattices.v[i].name.n > 0)
            put_key_text(out, "name", o->lattices.v[i].name);
        put_key_id(out, "stable_id", &o->lattices.v[i].stable_id);
        if (o->lattices.v[i].content_hash.some)
            put_key_id(out, "content_hash", &o->lattices.v[i].content_hash.v);
    }
    for (size_t i = 0; i < o->organisms.n; i++) {
        mk_buf_put_str(out, "\n[[span.organism]]\n");
        put_key_text(out, "role", o->organisms.v[i].role);
        put_key_id(out, "stable_id", &o->organisms.v[i].stable_id);
        if (o->organisms.v[i].content_hash.some)
            put_key_id(out, "content_hash", &o->organisms.v[i].content_hash.v);
    }
}

void emit_organism(struct mk_buf *out, const struct coa_organism_config *o,
                   const char *content_type, const struct emit_component *anchors)
{
    mk_buf_printf(out, "schema_version = %u\nkind = \"organism\"\n", COA_SCHEMA_VERSION);
    put_key_text(out, "name", o->name);
    if (o->network != NULL)
        put_key_id(out, "network", o->network);
    put_anchors(out, anchors);
    put_acl(out, &o->acl);
    mk_buf_put_str(out, "\n[content]\n");
    if (content_type == NULL || !mk_str_is(MK_STR("price-feed"), content_type) ||
        !put_price_feed(out, o->content)) {
        mk_buf_put_str(out, "hex = ");
        put_hex(out, o->content.p, o->content.n);
        mk_buf_put_str(out, "\n");
    }
    put_span(out, o);
}
