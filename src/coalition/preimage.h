/* preimage.h - builds a preimage piece by piece and hashes it.
 *
 * Small pieces are gathered before they reach the hash, so that the thousands of
 * short preimages of a big coalition cost little more than their hashes. With an
 * explainer the whole preimage is kept and handed over at the end. */
#ifndef COALITION_PREIMAGE_H
#define COALITION_PREIMAGE_H

#include <coalition/config.h>

#define PREIMAGE_STAGE 16384u

struct preimage {
    struct mk_hasher h;
    struct coa_explain *x; /* may be NULL */
    struct mk_buf copy;    /* for x */
    size_t n;              /* staged */
    uint8_t stage[PREIMAGE_STAGE];
};

void coa_pre_begin(struct preimage *p, struct coa_explain *x);
void coa_pre_put(struct preimage *p, const void *bytes, size_t n);
void coa_pre_u32le(struct preimage *p, uint32_t v);
void coa_pre_u64le(struct preimage *p, uint64_t v);
/** A part of hash_many: its length, then itself. */
void coa_pre_part(struct preimage *p, const void *bytes, size_t n);
void coa_pre_part_id(struct preimage *p, const struct mk_id *id);
/** ZERO stands for none. */
void coa_pre_part_opt_id(struct preimage *p, const struct mk_opt_id *id);
/** tag "|" V; with a text: tag "|" V "|" text. */
void coa_pre_put_tag(struct preimage *p, const char *tag);
void coa_pre_part_tag(struct preimage *p, const char *tag);
void coa_pre_part_tag_text(struct preimage *p, const char *tag, struct mk_str text);
/** The hash. what and subject make the explainer's "what of subject". */
struct mk_id coa_pre_end(struct preimage *p, const char *what, struct mk_str subject);

/* Derivations with an explainer; the public ones pass none. */
struct mk_id coa_acl_fp_x(const struct mk_acl_composition *acl, struct mk_str of,
                          struct coa_explain *x);
struct mk_id coa_content_fp_x(struct mk_bytes content, struct mk_str of, struct coa_explain *x);
struct mk_id coa_content_hash_x(const struct mk_id *content_fp, const struct mk_id *acl_fp,
                                struct mk_str of, struct coa_explain *x);
struct mk_id coa_derive_x(const struct mk_id *id, struct mk_str segment, const char *what,
                          struct mk_str of, struct coa_explain *x);
struct mk_id coa_stable_id_x(struct mk_str name, const struct mk_id *network,
                             struct coa_explain *x);
struct mk_id coa_lattice_ref_fp_x(const struct coa_lattice_ref *r, struct coa_explain *x);
struct mk_id coa_organism_ref_fp_x(const struct coa_organism_ref *r, struct coa_explain *x);
struct mk_id coa_ticket_issuer_fp_x(const struct coa_ticket_issuer_config *t,
                                    struct coa_explain *x);

#endif
