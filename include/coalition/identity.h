/* identity.h - ids and fingerprints of members, surfaces, signers
 * (spec/identity.md). Every function here is pure: the same input gives the same
 * id, in every program, for ever. Names are folded as they stand; who reads them
 * from a stranger checks them first (coa_name_check). */
#ifndef COALITION_IDENTITY_H
#define COALITION_IDENTITY_H

#include <mosaik/records.h>

#define COA_SCHEMA_VERSION 1u
/** id("coalition.root.v1"), usable in a static initialiser. */
#define COA_ROOT_SEED_INIT                                                                      \
    {                                                                                           \
        {                                                                                       \
            0xbb, 0x8e, 0xb9, 0xbd, 0xa9, 0xe5, 0x43, 0xd8, 0x58, 0x7c, 0x1d, 0x10, 0x51, 0x6b, \
                0xef, 0x9c, 0x6b, 0x74, 0xc2, 0x7c, 0x46, 0x31, 0xb4, 0x6f, 0x78, 0x76, 0xa7,   \
                0x41, 0x71, 0xfc, 0x97, 0x46                                                    \
        }                                                                                       \
    }
extern const struct mk_id COA_ROOT_SEED;

/** 1 to 128 bytes of UTF-8, no control characters, no '|'. MK_EMALFORMED with the rule. */
int coa_name_check(struct mk_str name, struct mk_fault *reterr);

/* --- members ------------------------------------------------------------------- */

/** H("instance|" name "|" network). */
struct mk_id coa_stable_id(struct mk_str name, const struct mk_id *network);
/** H(content). */
struct mk_id coa_content_fp(struct mk_bytes content);
/** H("acl|" V "|" pc(acl)). */
struct mk_id coa_acl_fp(const struct mk_acl_composition *acl);
/** hash_many(content_fp, acl_fp). */
struct mk_id coa_content_hash(const struct mk_id *content_fp, const struct mk_id *acl_fp);

/** How a config names a lattice. Only stable_id is folded into a coalition. */
#define COA_LATTICE_REF_TABLE(F, S)      \
    F(S, mk_name, name) /* for people */ \
    F(S, mk_id, stable_id)               \
    F(S, mk_opt_id, content_hash) /* a pin */
MK_STRUCT_DECLARE(coa_lattice_ref, COA_LATTICE_REF_TABLE)

/** How a config names an organism; content_hash is the optional pin. */
#define COA_ORGANISM_REF_TABLE(F, S)                                   \
    F(S, mk_name, role) /* what it is to this coalition; may repeat */ \
    F(S, mk_id, stable_id)                                             \
    F(S, mk_opt_id, content_hash) /* a pin */
MK_STRUCT_DECLARE(coa_organism_ref, COA_ORGANISM_REF_TABLE)

/** hash_many("lattice-ref", stable_id, content_hash or ZERO). */
struct mk_id coa_lattice_ref_fp(const struct coa_lattice_ref *r);
/** hash_many("organism-ref", role, stable_id, content_hash or ZERO). */
struct mk_id coa_organism_ref_fp(const struct coa_organism_ref *r);

/* --- surfaces ------------------------------------------------------------------- */

/** "stream", "map", "vec", "set", "cell", "once" or "queue". */
bool coa_surface_kind_known(struct mk_str kind);
/** hash_many("surface|" V, stable_id, kind, name, schema_digest). */
struct mk_id coa_surface_id(const struct mk_id *stable_id, struct mk_str kind, struct mk_str name,
                            const struct mk_id *schema_digest);
/** Is the text a canonical layout ("T" or "K>V", spec/identity.md)? MK_EMALFORMED with the offset
 * and the rule. */
int coa_layout_check(struct mk_str layout, struct mk_fault *reterr);

/** The layout of PriceTick, the type of every feed's surfaces. */
extern const char COA_PRICE_TICK_LAYOUT[];
/** The layout of an oracle's map `latest`. */
extern const char COA_ORACLE_LATEST_LAYOUT[];
/** Appends "lesser/greater". MK_EMALFORMED for a symbol that is no name, holds '/', or equals the
 * other. */
int coa_pair_name(struct mk_buf *out, struct mk_str a, struct mk_str b, struct mk_fault *reterr);
/** The surface id of an oracle's pair. As coa_pair_name. */
int coa_oracle_stream_id(struct mk_id *ret, const struct mk_id *stable_id, struct mk_str a,
                         struct mk_str b, struct mk_fault *reterr);

/* --- signers --------------------------------------------------------------------- */

enum coa_signature_scheme {
    COA_BLS_AGGREGATE_G1 = 0,
    COA_BLS_AGGREGATE_G2 = 1,
    COA_FROST_SCHNORR_SECP256K1 = 2,
    COA_FROST_SCHNORR_ED25519 = 3,
    COA_FROST_ECDSA_SECP256K1 = 4,
    COA_LAGRANGE_BLS = 5,
};
enum coa_attestation_level {
    COA_SOFTWARE = 0,
    COA_TDX_LOCAL = 1,
    COA_TDX_REMOTE = 2,
    COA_TDX_RA_TLS_BIDIRECTIONAL = 3,
    COA_TDX_PLUS_REPRODUCIBLE_BUILD = 4,
};
struct coa_signer_config {
    struct mk_str name;
    struct mk_str type_tag;
    enum coa_signature_scheme scheme;
    uint16_t threshold;
    uint16_t committee_size;
    enum coa_attestation_level level;
    struct mk_id committee_key_digest;
};
/** The signer organism's organism_id. */
struct mk_id coa_signer_id(const struct coa_signer_config *s);

/* --- draws -------------------------------------------------------------------------- */

/** H(beacon value || domain separator). */
struct mk_id coa_targeted_draw(const uint8_t beacon_value[32], struct mk_bytes domain);
/** The same with our own domain: module_id || u64le round || label. */
struct mk_id coa_draw(const uint8_t beacon_value[32], const struct mk_id *module_id, uint64_t round,
                      struct mk_str label);

#endif /* COALITION_IDENTITY_H */
