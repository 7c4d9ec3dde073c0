/* config.c - every id that follows from a config (spec/identity.md, "Organisms", "The
 * coalition", "Modules and the ticket issuer").
 *
 * A coalition's root folds its members by their stable ids and its modules by their
 * fingerprints; the modules' own ids are then derived from the root. No circle: a
 * module's fingerprint holds no root. */
#include <coalition/config.h>

#include "coalition/preimage.h"

#define NONE ((struct mk_str){0})

MK_SEQ_DEFINE(coa_lattice_refs, coa_lattice_ref, COA_MEMBERS_MAX, 0)
MK_SEQ_DEFINE(coa_organism_refs, coa_organism_ref, COA_MEMBERS_MAX, 0)

/* --- organisms ------------------------------------------------------------------------ */

static struct mk_id composite_stable_id(const struct coa_organism_config *o,
                                        const struct mk_id *named, struct coa_explain *x)
{
    struct preimage p;

    coa_pre_begin(&p, x);
    coa_pre_part_id(&p, named);
    coa_pre_u64le(&p, 4 + 32 * (uint64_t)o->lattices.n);
    coa_pre_u32le(&p, (uint32_t)o->lattices.n);
    for (size_t i = 0; i < o->lattices.n; i++)
        coa_pre_put(&p, o->lattices.v[i].stable_id.b, 32);
    coa_pre_u64le(&p, 4 + 32 * (uint64_t)o->organisms.n);
    coa_pre_u32le(&p, (uint32_t)o->organisms.n);
    for (size_t i = 0; i < o->organisms.n; i++)
        coa_pre_put(&p, o->organisms.v[i].stable_id.b, 32);
    return coa_pre_end(&p, "composite stable_id", o->name);
}

static struct mk_id organism_stable_id(const struct coa_organism_config *o, struct coa_explain *x)
{
    const struct mk_id *network = o->network != NULL ? o->network : &MK_UNIVERSE;
    struct mk_id named = coa_stable_id_x(o->name, network, x);

    if (o->lattices.n == 0 && o->organisms.n == 0)
        return named;
    return composite_stable_id(o, &named, x);
}

/* hash_many's part list(organism_ref_fp...). */
static void put_organism_list(struct preimage *p, const struct coa_organism_refs *refs)
{
    coa_pre_u64le(p, 4 + 32 * (uint64_t)refs->n);
    coa_pre_u32le(p, (uint32_t)refs->n);
    for (size_t i = 0; i < refs->n; i++) {
        struct mk_id fp = coa_organism_ref_fp_x(&refs->v[i], p->x);

        coa_pre_put(p, fp.b, sizeof fp.b);
    }
}

static struct mk_id organism_id(const struct coa_organism_config *o, const struct mk_id *content_fp,
                                const struct mk_id *acl_fp, struct coa_explain *x)
{
    struct preimage p;

    coa_pre_begin(&p, x);
    coa_pre_part_tag_text(&p, "organism", o->name);
    coa_pre_u64le(&p, 4 + 32 * (uint64_t)o->lattices.n);
    coa_pre_u32le(&p, (uint32_t)o->lattices.n);
    for (size_t i = 0; i < o->lattices.n; i++) {
        struct mk_id fp = coa_lattice_ref_fp_x(&o->lattices.v[i], x);

        coa_pre_put(&p, fp.b, sizeof fp.b);
    }
    put_organism_list(&p, &o->organisms);
    coa_pre_part_id(&p, content_fp);
    coa_pre_part_id(&p, acl_fp);
    return coa_pre_end(&p, "organism_id", o->name);
}

void coa_organism_derive(const struct coa_organism_config *o, struct coa_organism_ids *ret,
                         struct coa_explain *x)
{
    ret->stable_id = organism_stable_id(o, x);
    ret->member_id = mk_member_id_of(&ret->stable_id);
    ret->content_fp = coa_content_fp_x(o->content, o->name, x);
    ret->acl_fp = coa_acl_fp_x(&o->acl, o->name, x);
    ret->content_hash = coa_content_hash_x(&ret->content_fp, &ret->acl_fp, o->name, x);
    ret->organism_id = organism_id(o, &ret->content_fp, &ret->acl_fp, x);
    ret->committee = coa_derive_x(&ret->organism_id, MK_STR("committee"), "committee", o->name, x);
    ret->private_network =
        coa_derive_x(&ret->organism_id, MK_STR("private"), "private network", o->name, x);
}

struct mk_id coa_organism_stable_id(const struct coa_organism_config *o)
{
    return organism_stable_id(o, NULL);
}

struct mk_id coa_organism_id(const struct coa_organism_config *o)
{
    struct coa_organism_ids ids;

    coa_organism_derive(o, &ids, NULL);
    return ids.organism_id;
}

struct mk_id coa_organism_content_hash(const struct coa_organism_config *o)
{
    struct coa_organism_ids ids;

    coa_organism_derive(o, &ids, NULL);
    return ids.content_hash;
}

struct coa_organism_ref coa_organism_reference(const struct coa_organism_config *o,
                                               struct mk_str role, bool pinned)
{
    struct coa_organism_ids ids;
    struct coa_organism_ref ref = {.role = role};

    coa_organism_derive(o, &ids, NULL);
    ref.stable_id = ids.stable_id;
    if (pinned)
        ref.content_hash = (struct mk_opt_id){true, ids.content_hash};
    return ref;
}

/* --- lattices -------------------------------------------------------------------------- */

struct mk_id coa_lattice_id(const struct coa_lattice_config *l)
{
    const struct mk_id *organisms[] = {&l->zipnet,  &l->unseal, &l->offer,
                                       &l->atelier, &l->relay,  &l->tally};
    struct mk_buf text = {0};
    struct mk_id built;
    struct preimage p;

    mk_buf_put_str(&text, "builder|");
    mk_buf_put(&text, l->name.p, l->name.n);
    mk_buf_printf(&text, "|chain=%llu", (unsigned long long)l->chain_id);
    built = mk_hash(mk_buf_bytes(&text));
    mk_buf_done(&text);
    coa_pre_begin(&p, NULL);
    coa_pre_part_id(&p, &built);
    for (size_t i = 0; i < sizeof organisms / sizeof organisms[0]; i++)
        coa_pre_part_id(&p, organisms[i]);
    return coa_pre_end(&p, "lattice_id", l->name);
}

struct mk_id coa_lattice_stable_id(const struct coa_lattice_config *l)
{
    return coa_stable_id(l->name, &MK_UNIVERSE);
}

/* --- coalitions ------------------------------------------------------------------------- */

const struct coa_module_config *coa_module_body(const struct coa_coalition_config *c,
                                                enum coa_module_kind kind)
{
    switch (kind) {
    case COA_ATLAS:
        return c->atlas == NULL ? NULL : &c->atlas->body;
    case COA_ALMANAC:
        return c->almanac == NULL ? NULL : &c->almanac->body;
    case COA_CHRONICLE:
        return c->chronicle == NULL ? NULL : &c->chronicle->body;
    case COA_COMPUTE:
        return c->compute == NULL ? NULL : &c->compute->body;
    case COA_RANDOMNESS:
        return c->randomness == NULL ? NULL : &c->randomness->body;
    default:
        return NULL;
    }
}

/* What a module's root does not enter: its fingerprint and content hash. */
static void module_fingerprint(const struct coa_coalition_config *c, enum coa_module_kind kind,
                               struct coa_module_ids *ret, struct coa_explain *x)
{
    const struct coa_module_config *m = coa_module_body(c, kind);
    struct mk_str name = mk_str_of(coa_module_name(kind));
    struct preimage p;

    *ret = (struct coa_module_ids){.shipped = m != NULL};
    if (m == NULL)
        return;
    ret->content_fp = coa_content_fp_x(m->content, name, x);
    ret->acl_fp = coa_acl_fp_x(&m->acl, name, x);
    ret->content_hash = coa_content_hash_x(&ret->content_fp, &ret->acl_fp, name, x);
    coa_pre_begin(&p, x);
    coa_pre_part_tag_text(&p, "module", name);
    coa_pre_part(&p, m->instance.p, m->instance.n);
    coa_pre_part_id(&p, &ret->content_fp);
    coa_pre_part_id(&p, &ret->acl_fp);
    ret->module_fp = coa_pre_end(&p, "module_fp", name);
}

static struct mk_id coalition_root(const struct coa_coalition_config *c,
                                   const struct coa_coalition_ids *ids, struct coa_explain *x)
{
    struct preimage p;
    struct mk_id named;

    coa_pre_begin(&p, x);
    coa_pre_put_tag(&p, "coalition");
    coa_pre_put(&p, "|", 1);
    coa_pre_put(&p, c->seed.b, sizeof c->seed.b);
    coa_pre_put(&p, "|", 1);
    coa_pre_put(&p, c->instance_name.p, c->instance_name.n);
    named = coa_pre_end(&p, "COALITION", NONE);

    coa_pre_begin(&p, x);
    coa_pre_part_id(&p, &named);
    coa_pre_u64le(&p, 4 + 32 * (uint64_t)c->lattices.n);
    coa_pre_u32le(&p, (uint32_t)c->lattices.n);
    for (size_t i = 0; i < c->lattices.n; i++)
        coa_pre_put(&p, c->lattices.v[i].stable_id.b, 32);
    put_organism_list(&p, &c->organisms);
    coa_pre_u64le(&p, 32 * COA_MODULE_KINDS);
    for (unsigned i = 0; i < COA_MODULE_KINDS; i++)
        coa_pre_put(&p, ids->modules[i].module_fp.b, 32);
    coa_pre_part_id(&p, &ids->ticket_issuer_fp);
    return coa_pre_end(&p, "COALITION_ROOT", NONE);
}

static void module_ids(const struct coa_coalition_config *c, enum coa_module_kind kind,
                       const struct mk_id *under, struct coa_module_ids *m, struct coa_explain *x)
{
    const struct coa_module_config *body = coa_module_body(c, kind);
    struct mk_str name = mk_str_of(coa_module_name(kind));
    struct preimage p;

    m->module_root = coa_derive_x(under, name, "module_root", name, body != NULL ? x : NULL);
    if (body == NULL)
        return;
    coa_pre_begin(&p, x);
    coa_pre_part_id(&p, &m->module_root);
    coa_pre_part(&p, body->instance.p, body->instance.n);
    coa_pre_part_id(&p, &m->content_hash);
    m->module_id = coa_pre_end(&p, "module_id", name);
    m->committee = coa_derive_x(&m->module_id, MK_STR("committee"), "committee", name, x);
}

void coa_coalition_derive(const struct coa_coalition_config *c, struct coa_coalition_ids *ret,
                          struct coa_explain *x)
{
    struct mk_id under;
    struct preimage p;

    ret->ticket_issuer_fp = MK_ZERO_ID;
    if (c->ticket_issuer != NULL)
        ret->ticket_issuer_fp = coa_ticket_issuer_fp_x(c->ticket_issuer, x);
    for (unsigned i = 0; i < COA_MODULE_KINDS; i++)
        module_fingerprint(c, (enum coa_module_kind)i, &ret->modules[i], x);
    ret->coalition_id = coalition_root(c, ret, x);
    under = coa_derive_x(&ret->coalition_id, MK_STR("module"), "root of the modules", NONE, x);
    for (unsigned i = 0; i < COA_MODULE_KINDS; i++)
        module_ids(c, (enum coa_module_kind)i, &under, &ret->modules[i], x);
    ret->tickets_root =
        coa_derive_x(&ret->coalition_id, MK_STR("tickets"), "TICKETS_ROOT", NONE, x);
    coa_pre_begin(&p, c->ticket_issuer != NULL ? x : NULL);
    coa_pre_part_id(&p, &ret->tickets_root);
    coa_pre_part_id(&p, &ret->ticket_issuer_fp);
    ret->issuer_deployment = coa_pre_end(&p, "deployment", MK_STR("ticket_issuer"));
}

struct mk_id coa_coalition_id(const struct coa_coalition_config *c)
{
    struct coa_coalition_ids ids;

    coa_coalition_derive(c, &ids, NULL);
    return ids.coalition_id;
}

struct mk_id coa_tickets_root(const struct coa_coalition_config *c)
{
    struct coa_coalition_ids ids;

    coa_coalition_derive(c, &ids, NULL);
    return ids.tickets_root;
}

bool coa_module_ref(const struct coa_coalition_config *c, enum coa_module_kind kind,
                    struct coa_organism_ref *ret)
{
    struct coa_coalition_ids ids;

    if (coa_module_body(c, kind) == NULL)
        return false;
    coa_coalition_derive(c, &ids, NULL);
    *ret = (struct coa_organism_ref){.role = mk_str_of(coa_module_name(kind)),
                                     .stable_id = ids.modules[kind].module_root,
                                     .content_hash = {true, ids.modules[kind].content_hash}};
    return true;
}

bool coa_atlas(const struct coa_coalition_config *c, struct coa_organism_ref *ret)
{
    return coa_module_ref(c, COA_ATLAS, ret);
}

bool coa_almanac(const struct coa_coalition_config *c, struct coa_organism_ref *ret)
{
    return coa_module_ref(c, COA_ALMANAC, ret);
}

bool coa_chronicle(const struct coa_coalition_config *c, struct coa_organism_ref *ret)
{
    return coa_module_ref(c, COA_CHRONICLE, ret);
}

bool coa_compute(const struct coa_coalition_config *c, struct coa_organism_ref *ret)
{
    return coa_module_ref(c, COA_COMPUTE, ret);
}

bool coa_randomness(const struct coa_coalition_config *c, struct coa_organism_ref *ret)
{
    return coa_module_ref(c, COA_RANDOMNESS, ret);
}

bool coa_ticket_issuer(const struct coa_coalition_config *c, struct coa_organism_ref *ret)
{
    struct coa_coalition_ids ids;

    if (c->ticket_issuer == NULL)
        return false;
    coa_coalition_derive(c, &ids, NULL);
    *ret = (struct coa_organism_ref){.role = MK_STR("tickets"),
                                     .stable_id = ids.tickets_root,
                                     .content_hash = {true, ids.ticket_issuer_fp}};
    return true;
}

const struct coa_organism_ref *coa_organisms_by_role(const struct coa_coalition_config *c,
                                                     struct mk_str role, size_t *cursor)
{
    while (*cursor < c->organisms.n) {
        const struct coa_organism_ref *ref = &c->organisms.v[(*cursor)++];

        if (mk_str_eq(ref->role, role))
            return ref;
    }
    return NULL;
}

struct coa_atlas_members coa_atlas_catalogue(const struct coa_lattice_refs *lattices,
                                             const struct coa_organism_refs *organisms,
                                             struct mk_arena *arena)
{
    size_t n = lattices->n + organisms->n;
    struct coa_atlas_member *v = n == 0 ? NULL : mk_arena_take(arena, n * sizeof *v);

    for (size_t i = 0; i < lattices->n; i++)
        v[i] = (struct coa_atlas_member){lattices->v[i].stable_id, 0, MK_STR_INIT("lattice")};
    for (size_t i = 0; i < organisms->n; i++)
        v[lattices->n + i] =
            (struct coa_atlas_member){organisms->v[i].stable_id, 1, organisms->v[i].role};
    return (struct coa_atlas_members){v, n};
}

/* --- anchors ------------------------------------------------------------------------------ */

struct mk_id coa_anchors_digest(const struct mk_id *coalition_id, const struct coa_anchors *a,
                                struct coa_explain *x)
{
    struct mk_buf bytes = {0};
    struct preimage p;

    coa_pre_begin(&p, x);
    coa_pre_part_tag(&p, "anchors");
    coa_pre_part_id(&p, coalition_id);
    coa_pre_part(&p, a->operator.some ? a->operator.v.b : MK_ZERO_ID.b, 32);
    for (unsigned i = 0; i < COA_ANCHORS; i++) {
        struct mk_id digest = MK_ZERO_ID;

        if (a->rosters[i] != NULL) {
            mk_buf_clear(&bytes);
            mk_encode(&bytes, &mk_roster_type, a->rosters[i]);
            digest = mk_hash(mk_buf_bytes(&bytes));
        }
        coa_pre_part_id(&p, &digest);
    }
    mk_buf_done(&bytes);
    return coa_pre_end(&p, "anchors_digest", NONE);
}
