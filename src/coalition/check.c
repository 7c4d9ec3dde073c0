/* check.c - what a config must keep before anybody relies on its ids.
 *
 * A file is checked while it is read, with the place of each mistake; this is for
 * configs that were compiled in or came serialised, and has no places to name. */
#include <coalition/config.h>

#include "coalition/check.h"
#include "coalition/duplicates.h"

/* A fault of a part, with the part's name before it. */
static int within(struct mk_fault *reterr, int rv, const char *part, const struct mk_fault *inner)
{
    return rv == 0 ? 0 : mk_fault(reterr, rv, "%s: %s", part, inner->text);
}

const char *coa_own_clause_rule(const struct mk_acl_clause *c, enum coa_own own)
{
    bool is_own = c->tag == mk_acl_clause_RecogniseOwnIssuer ||
                  c->tag == mk_acl_clause_OwnComputeModule ||
                  c->tag == mk_acl_clause_OwnRequesterAcl;

    if (is_own && own == COA_OWN_FORBIDDEN)
        return "a clause of the own coalition stands only in a module or the ticket issuer";
    if (c->tag == mk_acl_clause_RecogniseOwnIssuer && own == COA_OWN_ISSUER)
        return "the ticket issuer cannot be gated by its own tickets";
    return NULL;
}

int coa_acl_check(const struct mk_acl_composition *acl, enum coa_own own, struct mk_fault *reterr)
{
    int rv;

    rv = mk_validate(&mk_acl_composition_type, acl, reterr);
    if (rv == 0)
        rv = mk_acl_check(acl, reterr);
    for (size_t i = 0; i < acl->clauses.n && rv == 0; i++) {
        const char *rule = coa_own_clause_rule(&acl->clauses.v[i], own);

        if (rule != NULL)
            rv = mk_fault(reterr, MK_EMALFORMED, "clause %zu: %s", i + 1, rule);
    }
    return rv;
}

/* No zero id; no stable id or member id twice. */
static int ids_check(const struct mk_id *ids, size_t n, struct mk_fault *reterr)
{
    size_t earlier, later;
    char hex[MK_ID_HEX];

    for (size_t i = 0; i < n; i++) {
        if (mk_id_is_zero(&ids[i]))
            return mk_fault(reterr, MK_EMALFORMED, "member %zu: a stable id must not be zero",
                            i + 1);
    }
    if (!coa_duplicates_find(ids, n, &earlier, &later))
        return 0;
    return mk_fault(
        reterr, MK_EMALFORMED, "members %zu and %zu have %s: %s", earlier + 1, later + 1,
        mk_id_eq(&ids[earlier], &ids[later]) ? "the same stable id" : "equal member ids",
        mk_id_hex(&ids[later], hex));
}

static int members_check(const struct coa_lattice_refs *lattices,
                         const struct coa_organism_refs *organisms, struct mk_fault *reterr)
{
    size_t n = lattices->n + organisms->n;
    struct mk_id *ids;
    int rv;

    rv = mk_validate(&coa_lattice_refs_type, lattices, reterr);
    if (rv == 0)
        rv = mk_validate(&coa_organism_refs_type, organisms, reterr);
    if (rv != 0)
        return rv;
    ids = mk_alloc(n * sizeof *ids);
    for (size_t i = 0; i < lattices->n; i++)
        ids[i] = lattices->v[i].stable_id;
    for (size_t i = 0; i < organisms->n; i++)
        ids[lattices->n + i] = organisms->v[i].stable_id;
    rv = ids_check(ids, n, reterr);
    mk_free(ids);
    return rv;
}

int coa_organism_check(const struct coa_organism_config *o, struct mk_fault *reterr)
{
    struct mk_fault inner;
    int rv;

    rv = within(reterr, coa_name_check(o->name, &inner), "name", &inner);
    if (rv == 0)
        rv = members_check(&o->lattices, &o->organisms, reterr);
    if (rv == 0 && o->content.n > COA_CONTENT_MAX)
        rv = mk_fault(reterr, MK_ELIMIT, "content: at most %u bytes", COA_CONTENT_MAX);
    if (rv == 0)
        rv = within(reterr, coa_acl_check(&o->acl, COA_OWN_FORBIDDEN, &inner), "acl", &inner);
    return rv;
}

/* The catalogue must be this coalition's: its entries are who may publish cards. */
static int catalogue_check(const struct coa_coalition_config *c, struct mk_fault *reterr)
{
    struct mk_arena arena = {0};
    struct coa_atlas_content content;
    struct coa_atlas_members expected;
    int rv;

    rv = mk_decode(&content, &coa_atlas_content_type, c->atlas->body.content, &arena, reterr);
    if (rv == 0) {
        expected = coa_atlas_catalogue(&c->lattices, &c->organisms, &arena);
        for (size_t i = 0; i < expected.n && i < content.members.n && rv == 0; i++) {
            const struct coa_atlas_member *a = &expected.v[i], *b = &content.members.v[i];

            if (!mk_id_eq(&a->stable_id, &b->stable_id) || a->kind != b->kind ||
                !mk_str_eq(a->role, b->role))
                rv = mk_fault(reterr, MK_EMALFORMED,
                              "catalogue entry %zu is not member %zu of the coalition", i + 1,
                              i + 1);
        }
        if (rv == 0 && expected.n != content.members.n)
            rv = mk_fault(reterr, MK_EMALFORMED,
                          "the catalogue has %zu entries, the coalition %zu members",
                          content.members.n, expected.n);
    }
    mk_arena_done(&arena);
    return rv;
}

static int module_check(const struct coa_coalition_config *c, enum coa_module_kind kind,
                        struct mk_fault *reterr)
{
    const struct coa_module_config *m = coa_module_body(c, kind);
    struct mk_fault inner;
    int rv;

    if (m == NULL)
        return 0;
    rv = coa_name_check(m->instance, &inner);
    if (rv == 0)
        rv = coa_module_content_check(kind, m->content, &inner);
    if (rv == 0 && kind == COA_ATLAS)
        rv = catalogue_check(c, &inner);
    if (rv == 0)
        rv = coa_acl_check(&m->acl, COA_OWN_ALLOWED, &inner);
    return within(reterr, rv, coa_module_name(kind), &inner);
}

static int issuer_check(const struct coa_ticket_issuer_config *t, struct mk_fault *reterr)
{
    struct mk_fault inner;
    int rv;

    if (t == NULL)
        return 0;
    rv = coa_name_check(t->name, &inner);
    if (rv == 0)
        rv = coa_acl_check(&t->acl, COA_OWN_ISSUER, &inner);
    return within(reterr, rv, "ticket_issuer", &inner);
}

int coa_coalition_check(const struct coa_coalition_config *c, struct mk_fault *reterr)
{
    struct mk_fault inner;
    int rv;

    if (c->schema_version != COA_SCHEMA_VERSION)
        return mk_fault(reterr, MK_EMALFORMED, "schema_version is %u; this build knows %u",
                        c->schema_version, COA_SCHEMA_VERSION);
    if (!mk_id_eq(&c->seed, &COA_ROOT_SEED))
        return mk_fault(reterr, MK_EMALFORMED, "the seed is id(\"coalition.root.v1\")");
    if ((unsigned)c->retirement_policy > COA_LENIENT)
        return mk_fault(reterr, MK_EMALFORMED, "a retirement policy is 0 or 1");
    rv = within(reterr, coa_name_check(c->instance_name, &inner), "instance_name", &inner);
    if (rv == 0)
        rv = members_check(&c->lattices, &c->organisms, reterr);
    for (unsigned i = 0; i < COA_MODULE_KINDS && rv == 0; i++)
        rv = module_check(c, (enum coa_module_kind)i, reterr);
    if (rv == 0)
        rv = issuer_check(c->ticket_issuer, reterr);
    return rv;
}
