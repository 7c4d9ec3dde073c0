/* serialise.c - a coalition config as bytes and back (spec/identity.md, "The coalition").
 *
 * The C struct has a slot a module, of its own type; the bytes have a list. */
#include "coalition/serialise.h"

MK_STRUCT_DEFINE(coa_serial_module, "Module", COA_SERIAL_MODULE_TABLE)
MK_SEQ_DEFINE(coa_serial_modules, coa_serial_module, COA_MODULE_KINDS, MK_SEQ_KEYED)
MK_STRUCT_DEFINE(coa_serial_coalition, "CoalitionConfig", COA_SERIAL_COALITION_TABLE)

void coa_coalition_encode(const struct coa_coalition_config *c, struct mk_buf *out)
{
    struct coa_serial_module modules[COA_MODULE_KINDS];
    struct coa_serial_coalition s = {
        .schema_version = c->schema_version,
        .seed = c->seed,
        .instance_name = c->instance_name,
        .lattices = c->lattices,
        .organisms = c->organisms,
        .modules = {modules, 0},
        .retirement_policy = (uint8_t)c->retirement_policy,
    };

    for (unsigned i = 0; i < COA_MODULE_KINDS; i++) {
        const struct coa_module_config *m = coa_module_body(c, (enum coa_module_kind)i);

        if (m != NULL)
            modules[s.modules.n++] =
                (struct coa_serial_module){(uint8_t)i, m->instance, m->content, m->acl};
    }
    if (c->ticket_issuer != NULL)
        s.ticket_issuer = (struct coa_opt_ticket_issuer){true, *c->ticket_issuer};
    mk_encode(out, &coa_serial_coalition_type, &s);
}

static int set_module(struct coa_coalition_config *c, const struct coa_serial_module *m,
                      struct mk_arena *arena, struct mk_fault *reterr)
{
    struct coa_module_config body = {m->instance, m->content, m->acl};
    struct coa_module_config *copy = mk_arena_copy(arena, &body, sizeof body);

    switch (m->kind) { /* each config type is its body alone */
    case COA_ATLAS:
        c->atlas = mk_container_of(copy, struct coa_atlas_config, body);
        return 0;
    case COA_ALMANAC:
        c->almanac = mk_container_of(copy, struct coa_almanac_config, body);
        return 0;
    case COA_CHRONICLE:
        c->chronicle = mk_container_of(copy, struct coa_chronicle_config, body);
        return 0;
    case COA_COMPUTE:
        c->compute = mk_container_of(copy, struct coa_compute_config, body);
        return 0;
    case COA_RANDOMNESS:
        c->randomness = mk_container_of(copy, struct coa_randomness_config, body);
        return 0;
    default:
        return mk_fault(reterr, MK_EMALFORMED, "a module's kind is 0 to 4");
    }
}

int coa_coalition_decode(struct coa_coalition_config *ret, struct mk_bytes in,
                         struct mk_arena *arena, struct mk_fault *reterr)
{
    struct coa_serial_coalition s;
    struct coa_coalition_config c;
    int rv;

    rv = mk_decode(&s, &coa_serial_coalition_type, in, arena, reterr);
    if (rv != 0)
        return rv;
    c = (struct coa_coalition_config){
        .schema_version = s.schema_version,
        .seed = s.seed,
        .instance_name = s.instance_name,
        .lattices = s.lattices,
        .organisms = s.organisms,
        .retirement_policy = (enum coa_retirement_policy)s.retirement_policy,
    };
    for (size_t i = 0; i < s.modules.n && rv == 0; i++)
        rv = set_module(&c, &s.modules.v[i], arena, reterr);
    if (rv == 0 && s.ticket_issuer.some)
        c.ticket_issuer = mk_arena_copy(arena, &s.ticket_issuer.v, sizeof s.ticket_issuer.v);
    if (rv == 0)
        rv = coa_coalition_check(&c, reterr);
    if (rv == 0)
        *ret = c;
    return rv;
}
