/* config.h - organisms, lattices and coalitions as constants that a program compiles in,
 * and every id that follows from them (spec/identity.md).
 *
 *     static const struct coa_organism_ref organisms[] = {
 *         {.role = MK_STR_INIT("oracle"), .stable_id = {{0x3f, 0xec, ...}}},
 *     };
 *     const struct coa_coalition_config ETH_SUPERCHAIN = {
 *         .schema_version = COA_SCHEMA_VERSION,
 *         .seed = COA_ROOT_SEED_INIT,
 *         .instance_name = MK_STR_INIT("ethereum.superchain"),
 *         .organisms = {organisms, 1},
 *         .atlas = &atlas,              // NULL: not shipped
 *     };
 *
 * `coalition freeze --c` prints such a header. Everything is borrowed: a config owns
 * nothing. */
#ifndef COALITION_CONFIG_H
#define COALITION_CONFIG_H

#include <coalition/identity.h>
#include <coalition/modules.h>

MK_SEQ_DECLARE(coa_lattice_refs, coa_lattice_ref)
MK_SEQ_DECLARE(coa_organism_refs, coa_organism_ref)

/** Collects preimages; for `freeze --explain`. what is lent, for example "acl_fp of atlas". */
struct coa_explain {
    void (*derived)(struct coa_explain *x, const char *what, struct mk_bytes preimage,
                    const struct mk_id *id);
};

/* --- organisms, standalone and composite --------------------------------------------- */

/** An organism spans members when either list is not empty: a composite organism. */
struct coa_organism_config {
    struct mk_str name;
    const struct mk_id *network; /* NULL: MK_UNIVERSE */
    struct coa_lattice_refs lattices;
    struct coa_organism_refs organisms;
    struct mk_bytes content; /* pc of its parameter struct, empty when it has none */
    struct mk_acl_composition acl;
};

struct coa_organism_ids {
    struct mk_id stable_id;
    struct mk_member_id member_id;
    struct mk_id content_fp, acl_fp, content_hash;
    struct mk_id organism_id; /* its deployment id */
    struct mk_id committee;
    struct mk_id private_network;
};

/** All ids of an organism. x may be NULL. */
void coa_organism_derive(const struct coa_organism_config *o, struct coa_organism_ids *ret,
                         struct coa_explain *x);
/** One of the above: stable_id(name, network); organism_id; content_hash. */
struct mk_id coa_organism_stable_id(const struct coa_organism_config *o);
struct mk_id coa_organism_id(const struct coa_organism_config *o);
struct mk_id coa_organism_content_hash(const struct coa_organism_config *o);
/** A reference to it under a role, pinned or not. */
struct coa_organism_ref coa_organism_reference(const struct coa_organism_config *o,
                                               struct mk_str role, bool pinned);
/** Names, span, ACL (no clause of a coalition's own: 11 to 13). */
int coa_organism_check(const struct coa_organism_config *o, struct mk_fault *reterr);

/* --- lattices -------------------------------------------------------------------------- */

struct coa_lattice_config {
    struct mk_str name;
    uint64_t chain_id;
    struct mk_id zipnet, unseal, offer, atelier, relay, tally; /* organism ids */
};
/** Also its content hash. */
struct mk_id coa_lattice_id(const struct coa_lattice_config *l);
/** stable_id(name, UNIVERSE). */
struct mk_id coa_lattice_stable_id(const struct coa_lattice_config *l);

/* --- coalitions ------------------------------------------------------------------------- */

/** Which member changes make the coalition republish; not folded. */
enum coa_retirement_policy {
    COA_CONSERVATIVE = 0, /* every content change of a member; the default */
    COA_LENIENT = 1,
};

struct coa_coalition_config {
    uint8_t schema_version; /* COA_SCHEMA_VERSION */
    struct mk_id seed;      /* COA_ROOT_SEED */
    struct mk_str instance_name;
    struct coa_lattice_refs lattices;
    struct coa_organism_refs organisms;
    const struct coa_atlas_config *atlas; /* NULL: not shipped; so with all of these */
    const struct coa_almanac_config *almanac;
    const struct coa_chronicle_config *chronicle;
    const struct coa_compute_config *compute;
    const struct coa_randomness_config *randomness;
    const struct coa_ticket_issuer_config *ticket_issuer;
    enum coa_retirement_policy retirement_policy;
};

/** A module's body; NULL when it is not shipped. */
const struct coa_module_config *coa_module_body(const struct coa_coalition_config *c,
                                                enum coa_module_kind kind);

struct coa_module_ids {
    bool shipped; /* the derivations of root stand all the same */
    struct mk_id content_fp, acl_fp, content_hash;
    struct mk_id module_fp;   /* ZERO when not shipped */
    struct mk_id module_root; /* its stable id */
    struct mk_id module_id;   /* its deployment id */
    struct mk_id committee;
};

struct coa_coalition_ids {
    struct mk_id coalition_id; /* stable id, fingerprint, COALITION_ROOT */
    struct coa_module_ids modules[COA_MODULE_KINDS];
    struct mk_id tickets_root;      /* the issuer's stable id */
    struct mk_id ticket_issuer_fp;  /* its content hash; ZERO without an issuer */
    struct mk_id issuer_deployment; /* hash_many(tickets_root, ticket_issuer_fp) */
};

/** All ids of a coalition. x may be NULL. */
void coa_coalition_derive(const struct coa_coalition_config *c, struct coa_coalition_ids *ret,
                          struct coa_explain *x);
/** The fingerprint alone. */
struct mk_id coa_coalition_id(const struct coa_coalition_config *c);
/** The ticket issuer's root: TICKETS_ROOT. */
struct mk_id coa_tickets_root(const struct coa_coalition_config *c);

/** An accessor gives a reference (role = kind, stable id = module_root, content hash), or
 * false and nothing when the module is not shipped. */
bool coa_module_ref(const struct coa_coalition_config *c, enum coa_module_kind kind,
                    struct coa_organism_ref *ret);
/** coa_module_ref() of one kind each. */
bool coa_atlas(const struct coa_coalition_config *c, struct coa_organism_ref *ret);
bool coa_almanac(const struct coa_coalition_config *c, struct coa_organism_ref *ret);
bool coa_chronicle(const struct coa_coalition_config *c, struct coa_organism_ref *ret);
bool coa_compute(const struct coa_coalition_config *c, struct coa_organism_ref *ret);
bool coa_randomness(const struct coa_coalition_config *c, struct coa_organism_ref *ret);
/** The issuer as a reference: role "tickets", stable id TICKETS_ROOT, content hash
 * ticket_issuer_fp; false without one. */
bool coa_ticket_issuer(const struct coa_coalition_config *c, struct coa_organism_ref *ret);
/** The organisms of a role in declared order: *cursor 0 first. NULL at the end; lent. */
const struct coa_organism_ref *coa_organisms_by_role(const struct coa_coalition_config *c,
                                                     struct mk_str role, size_t *cursor);

/** Everything that a config must keep: version, seed, names, no zero or repeated stable id, no two
 * equal member ids, contents that decode and keep their kind's rules, an Atlas catalogue that is
 * this coalition's, own-coalition clauses only where they may stand. */
int coa_coalition_check(const struct coa_coalition_config *c, struct mk_fault *reterr);

/** The Atlas catalogue of a coalition: lattices (kind 0, role "lattice"), then organisms (kind 1,
 * their role), in declared order. Taken from arena. */
struct coa_atlas_members coa_atlas_catalogue(const struct coa_lattice_refs *lattices,
                                             const struct coa_organism_refs *organisms,
                                             struct mk_arena *arena);

/* --- anchors ------------------------------------------------------------------------------ */

/** First rosters by component: the five kinds, then the issuer. */
#define COA_ANCHORS 6u
#define COA_ANCHOR_ISSUER 5u
struct coa_anchors {
    struct mk_opt_peer operator;
    const struct mk_roster *rosters[COA_ANCHORS]; /* NULL: none */
};
/** anchors_digest = hash_many("anchors|" V, root, operator or ZERO, six H(pc(roster)) or ZERO). */
struct mk_id coa_anchors_digest(const struct mk_id *coalition_id, const struct coa_anchors *a,
                                struct coa_explain *x);

/* --- the serialised config ------------------------------------------------------------------- */

/** Appends pc(CoalitionConfig). */
void coa_coalition_encode(const struct coa_coalition_config *c, struct mk_buf *out);
/** Back, checked (coa_coalition_check). Lent from in and arena. MK_EMALFORMED. */
int coa_coalition_decode(struct coa_coalition_config *ret, struct mk_bytes in,
                         struct mk_arena *arena, struct mk_fault *reterr);

#endif /* COALITION_CONFIG_H */
