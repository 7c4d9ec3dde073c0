/* identity.c - the formulas of spec/identity.md for members, surfaces, signers, draws. */
#include <coalition/identity.h>

#include "coalition/preimage.h"

#include <string.h>

const struct mk_id COA_ROOT_SEED = COA_ROOT_SEED_INIT;

#define NONE ((struct mk_str){0})

int coa_name_check(struct mk_str name, struct mk_fault *reterr)
{
    return mk_validate(&mk_name_type, &name, reterr);
}

struct mk_id coa_stable_id_x(struct mk_str name, const struct mk_id *network, struct coa_explain *x)
{
    struct preimage p;

    coa_pre_begin(&p, x);
    coa_pre_put(&p, "instance|", 9);
    coa_pre_put(&p, name.p, name.n);
    coa_pre_put(&p, "|", 1);
    coa_pre_put(&p, network->b, sizeof network->b);
    return coa_pre_end(&p, "stable_id", name);
}

struct mk_id coa_stable_id(struct mk_str name, const struct mk_id *network)
{
    return coa_stable_id_x(name, network, NULL);
}

struct mk_id coa_content_fp_x(struct mk_bytes content, struct mk_str of, struct coa_explain *x)
{
    struct preimage p;

    coa_pre_begin(&p, x);
    coa_pre_put(&p, content.p, content.n);
    return coa_pre_end(&p, "content_fp", of);
}

struct mk_id coa_content_fp(struct mk_bytes content)
{
    return coa_content_fp_x(content, NONE, NULL);
}

struct mk_id coa_acl_fp_x(const struct mk_acl_composition *acl, struct mk_str of,
                          struct coa_explain *x)
{
    struct preimage p;
    struct mk_buf bytes = {0};
    struct mk_id id;

    mk_encode(&bytes, &mk_acl_composition_type, acl);
    coa_pre_begin(&p, x);
    coa_pre_put_tag(&p, "acl");
    coa_pre_put(&p, "|", 1);
    coa_pre_put(&p, bytes.p, bytes.n);
    id = coa_pre_end(&p, "acl_fp", of);
    mk_buf_done(&bytes);
    return id;
}

struct mk_id coa_acl_fp(const struct mk_acl_composition *acl)
{
    return coa_acl_fp_x(acl, NONE, NULL);
}

struct mk_id coa_content_hash_x(const struct mk_id *content_fp, const struct mk_id *acl_fp,
                                struct mk_str of, struct coa_explain *x)
{
    struct preimage p;

    coa_pre_begin(&p, x);
    coa_pre_part_id(&p, content_fp);
    coa_pre_part_id(&p, acl_fp);
    return coa_pre_end(&p, "content_hash", of);
}

struct mk_id coa_content_hash(const struct mk_id *content_fp, const struct mk_id *acl_fp)
{
    return coa_content_hash_x(content_fp, acl_fp, NONE, NULL);
}

struct mk_id coa_derive_x(const struct mk_id *id, struct mk_str segment, const char *what,
                          struct mk_str of, struct coa_explain *x)
{
    struct preimage p;

    coa_pre_begin(&p, x);
    coa_pre_put(&p, id->b, sizeof id->b);
    coa_pre_put(&p, segment.p, segment.n);
    return coa_pre_end(&p, what, of);
}

struct mk_id coa_lattice_ref_fp_x(const struct coa_lattice_ref *r, struct coa_explain *x)
{
    struct preimage p;

    coa_pre_begin(&p, x);
    coa_pre_part(&p, "lattice-ref", 11);
    coa_pre_part_id(&p, &r->stable_id);
    coa_pre_part_opt_id(&p, &r->content_hash);
    return coa_pre_end(&p, "lattice_ref_fp", r->name);
}

struct mk_id coa_lattice_ref_fp(const struct coa_lattice_ref *r)
{
    return coa_lattice_ref_fp_x(r, NULL);
}

struct mk_id coa_organism_ref_fp_x(const struct coa_organism_ref *r, struct coa_explain *x)
{
    struct preimage p;

    coa_pre_begin(&p, x);
    coa_pre_part(&p, "organism-ref", 12);
    coa_pre_part(&p, r->role.p, r->role.n);
    coa_pre_part_id(&p, &r->stable_id);
    coa_pre_part_opt_id(&p, &r->content_hash);
    return coa_pre_end(&p, "organism_ref_fp", r->role);
}

struct mk_id coa_organism_ref_fp(const struct coa_organism_ref *r)
{
    return coa_organism_ref_fp_x(r, NULL);
}

/* --- surfaces ------------------------------------------------------------------- */

bool coa_surface_kind_known(struct mk_str kind)
{
    static const char *const kinds[] = {"stream", "map", "vec", "set", "cell", "once", "queue"};

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (mk_str_is(kind, kinds[i]))
            return true;
    }
    return false;
}

struct mk_id coa_surface_id(const struct mk_id *stable_id, struct mk_str kind, struct mk_str name,
                            const struct mk_id *schema_digest)
{
    struct preimage p;

    coa_pre_begin(&p, NULL);
    coa_pre_part_tag(&p, "surface");
    coa_pre_part_id(&p, stable_id);
    coa_pre_part(&p, kind.p, kind.n);
    coa_pre_part(&p, name.p, name.n);
    coa_pre_part_id(&p, schema_digest);
    return coa_pre_end(&p, "surface id", name);
}

int coa_pair_name(struct mk_buf *out, struct mk_str a, struct mk_str b, struct mk_fault *reterr)
{
    const struct mk_str symbols[] = {a, b};
    int order;

    for (size_t i = 0; i < 2; i++) {
        int rv = coa_name_check(symbols[i], reterr);

        if (rv != 0)
            return rv;
        if (memchr(symbols[i].p, '/', symbols[i].n) != NULL)
            return mk_fault(reterr, MK_EMALFORMED, "a symbol must not hold '/'");
    }
    order = mk_bytes_cmp(MK_BYTES(a.p, a.n), MK_BYTES(b.p, b.n));
    if (order == 0)
        return mk_fault(reterr, MK_EMALFORMED, "the symbols of a pair must differ");
    mk_buf_put(out, symbols[order > 0].p, symbols[order > 0].n);
    mk_buf_put_u8(out, '/');
    mk_buf_put(out, symbols[order < 0].p, symbols[order < 0].n);
    return 0;
}

int coa_oracle_stream_id(struct mk_id *ret, const struct mk_id *stable_id, struct mk_str a,
                         struct mk_str b, struct mk_fault *reterr)
{
    struct mk_id schema = mk_hash(MK_BYTES(COA_PRICE_TICK_LAYOUT, strlen(COA_PRICE_TICK_LAYOUT)));
    struct mk_buf name = {0};
    int rv;

    rv = coa_pair_name(&name, a, b, reterr);
    if (rv == 0)
        *ret = coa_surface_id(stable_id, MK_STR("stream"),
                              (struct mk_str){(const char *)name.p, name.n}, &schema);
    mk_buf_done(&name);
    return rv;
}

/* --- signers and draws -------------------------------------------------------------- */

struct mk_id coa_signer_id(const struct coa_signer_config *s)
{
    const uint8_t numbers[] = {(uint8_t)s->scheme,
                               (uint8_t)s->threshold,
                               (uint8_t)(s->threshold >> 8),
                               (uint8_t)s->committee_size,
                               (uint8_t)(s->committee_size >> 8),
                               (uint8_t)s->level};
    struct preimage p;

    coa_pre_begin(&p, NULL);
    coa_pre_part_tag(&p, "signer");
    coa_pre_part(&p, s->name.p, s->name.n);
    coa_pre_part(&p, s->type_tag.p, s->type_tag.n);
    coa_pre_part(&p, numbers, sizeof numbers);
    coa_pre_part_id(&p, &s->committee_key_digest);
    return coa_pre_end(&p, "signer id", s->name);
}

struct mk_id coa_targeted_draw(const uint8_t beacon_value[32], struct mk_bytes domain)
{
    struct preimage p;

    coa_pre_begin(&p, NULL);
    coa_pre_put(&p, beacon_value, 32);
    coa_pre_put(&p, domain.p, domain.n);
    return coa_pre_end(&p, "targeted draw", NONE);
}

struct mk_id coa_draw(const uint8_t beacon_value[32], const struct mk_id *module_id, uint64_t round,
                      struct mk_str label)
{
    struct mk_buf domain = {0};
    struct mk_id drawn;

    mk_buf_put(&domain, module_id->b, sizeof module_id->b);
    mk_buf_put_u64le(&domain, round);
    mk_buf_put(&domain, label.p, label.n);
    drawn = coa_targeted_draw(beacon_value, mk_buf_bytes(&domain));
    mk_buf_done(&domain);
    return drawn;
}
