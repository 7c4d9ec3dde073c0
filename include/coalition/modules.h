/* modules.h - the five basic services, the ticket issuer, and the parameter structs
 * ("contents") of components that this project knows (spec/services.md).
 *
 * Each module's config is a type of its own around one shared body, so that a
 * compute config cannot stand where an atlas config is expected. */
#ifndef COALITION_MODULES_H
#define COALITION_MODULES_H

#include <coalition/identity.h>

#define COA_CONTENT_MAX (4u << 20)   /* bytes of a content */
#define COA_MEMBERS_MAX 65536u       /* lattices, organisms, entries of a catalogue */
#define COA_PAIRS_MAX 64u            /* pairs of a feed: one surface each */
#define COA_ORACLE_SOURCES_MAX 16u   /* feeds that an oracle observes */
#define COA_SOURCES_MAX 64u          /* sources of a Randomness module */
#define COA_SOURCE_PARAMS_MAX 65536u /* bytes of a source's parameters */
#define COA_SCALE_MAX 18u            /* decimals of a price */
#define COA_CADENCE_MS_MIN 10u
#define COA_CADENCE_MS_MAX 3600000u

/** In COA_MODULES order; the numbers are those of the serialised config. */
enum coa_module_kind {
    COA_ATLAS = 0,
    COA_ALMANAC = 1,
    COA_CHRONICLE = 2,
    COA_COMPUTE = 3,
    COA_RANDOMNESS = 4,
};
#define COA_MODULE_KINDS 5u
/** "atlas", "almanac", "chronicle", "compute", "randomness". */
const char *coa_module_name(enum coa_module_kind kind);
/** MK_ENOTFOUND when the text names no kind. */
int coa_module_kind_of(enum coa_module_kind *ret, struct mk_str name);

MK_BLOB_DECLARE(coa_content)

/** What every module has. All borrowed. */
struct coa_module_config {
    struct mk_str instance;
    struct mk_bytes content; /* pc of the kind's content, below */
    struct mk_acl_composition acl;
};
struct coa_atlas_config {
    struct coa_module_config body;
};
struct coa_almanac_config {
    struct coa_module_config body;
};
struct coa_chronicle_config {
    struct coa_module_config body;
};
struct coa_compute_config {
    struct coa_module_config body;
};
struct coa_randomness_config {
    struct coa_module_config body;
};

/** Optional in a coalition; recognised by whoever chooses to. */
#define COA_TICKET_ISSUER_TABLE(F, S) \
    F(S, mk_name, name)               \
    F(S, mk_acl_composition, acl) /* who may ask it for tickets */
MK_STRUCT_DECLARE(coa_ticket_issuer_config, COA_TICKET_ISSUER_TABLE)
MK_OPTION_DECLARE(coa_opt_ticket_issuer, coa_ticket_issuer_config)

/** The issuer's fingerprint: hash_many("ticket-issuer|" V "|" name, acl_fp). */
struct mk_id coa_ticket_issuer_fp(const struct coa_ticket_issuer_config *t);

/* --- contents ---------------------------------------------------------------------- */

#define COA_ATLAS_MEMBER_TABLE(F, S)                \
    F(S, mk_id, stable_id)                          \
    F(S, mk_u8, kind)   /* 0 lattice, 1 organism */ \
    F(S, mk_name, role) /* "lattice", or its role */
MK_STRUCT_DECLARE(coa_atlas_member, COA_ATLAS_MEMBER_TABLE)
MK_SEQ_DECLARE(coa_atlas_members, coa_atlas_member) /* lattices, then organisms, as declared */
#define COA_ATLAS_CONTENT_TABLE(F, S)                                         \
    F(S, coa_atlas_members, members) /* the catalogue: who may have a card */ \
    F(S, mk_opt_id, stance)          /* fingerprint (stance.h) */
MK_STRUCT_DECLARE(coa_atlas_content, COA_ATLAS_CONTENT_TABLE)

#define COA_ALMANAC_CONTENT_TABLE(F, S)                      \
    F(S, mk_u32, cadence_ms) /* COA_CADENCE_MS_MIN .. MAX */ \
    F(S, mk_u64, first_seq)                                  \
    F(S, mk_opt_id, stance)
MK_STRUCT_DECLARE(coa_almanac_content, COA_ALMANAC_CONTENT_TABLE)

#define COA_CONTINUATION_TABLE(F, S)                      \
    F(S, mk_id, module) /* module_id of the log before */ \
    F(S, mk_u64, size)  /* its entries */                 \
    F(S, mk_b32, root)  /* of its Merkle tree */          \
    F(S, mk_id, digest) /* its last digest */
MK_STRUCT_DECLARE(coa_continuation, COA_CONTINUATION_TABLE)
MK_OPTION_DECLARE(coa_opt_continuation, coa_continuation)
MK_TEXT_DECLARE(coa_anchor) /* "none", "file", "evm:<chain id>:<contract>" */
#define COA_CHRONICLE_CONTENT_TABLE(F, S)                                     \
    F(S, mk_u16, schema) /* 1 */                                              \
    F(S, coa_anchor, anchor)                                                  \
    F(S, mk_u32, anchor_every)            /* entries */                       \
    F(S, coa_opt_continuation, continues) /* the log that this one goes on */ \
    F(S, mk_opt_id, stance)
MK_STRUCT_DECLARE(coa_chronicle_content, COA_CHRONICLE_CONTENT_TABLE)

/** The unit of deadlines, validity and ages. */
#define COA_CLOCK_TICK_TABLE(F, S)           \
    F(S, mk_id, almanac)     /* module_id */ \
    F(S, mk_u32, cadence_ms) /* its cadence */
MK_STRUCT_DECLARE(coa_clock_tick, COA_CLOCK_TICK_TABLE)
#define COA_CLOCK_TABLE(F, S)                                         \
    F(S, Millis, 0, mk_unit, millis)    /* unix ms of machine time */ \
    F(S, Tick, 1, coa_clock_tick, tick) /* an Almanac's ticks */
MK_ENUM_DECLARE(coa_clock, COA_CLOCK_TABLE)
#define COA_CLEARING_TABLE(F, S)                                      \
    F(S, LowestRate, 0, mk_unit, lowest_rate)                         \
    F(S, FirstFit, 1, mk_unit, first_fit) /* earliest registration */ \
    F(S, ReputationWeighted, 2, mk_unit, reputation_weighted)
MK_ENUM_DECLARE(coa_clearing, COA_CLEARING_TABLE)
#define COA_COMPUTE_CONTENT_TABLE(F, S)                                             \
    F(S, coa_clock, clock)               /* of all times below */                   \
    F(S, mk_opt_id, provider_reputation) /* stable id of an organism with scores */ \
    F(S, mk_u16, reputation_floor_bps)   /* basis points */                         \
    F(S, mk_u64, card_max_age)           /* in units of the clock */                \
    F(S, coa_clearing, clearing)         /* who wins a round */                     \
    F(S, mk_opt_id, stance)
MK_STRUCT_DECLARE(coa_compute_content, COA_COMPUTE_CONTENT_TABLE)

MK_BLOB_DECLARE(coa_source_params)
#define COA_SOURCE_TABLE(F, S)                              \
    F(S, mk_name, scheme) /* "threshold-bls", "vrf", ... */ \
    F(S, mk_member_id, provider)                            \
    F(S, coa_source_params, params) /* the scheme's, encoded */
MK_STRUCT_DECLARE(coa_source, COA_SOURCE_TABLE)
MK_SEQ_DECLARE(coa_sources, coa_source) /* round n belongs to sources[n mod count] */
#define COA_RANDOMNESS_CONTENT_TABLE(F, S)         \
    F(S, coa_sources, sources) /* taken in turn */ \
    F(S, mk_u32, period_ms)                        \
    F(S, mk_u64, first_round)                      \
    F(S, mk_opt_id, stance)
MK_STRUCT_DECLARE(coa_randomness_content, COA_RANDOMNESS_CONTENT_TABLE)

/** base is the bytewise lesser symbol. */
#define COA_PAIR_TABLE(F, S)                             \
    F(S, mk_name, base) /* the bytewise lesser symbol */ \
    F(S, mk_name, quote)                                 \
    F(S, mk_u8, scale) /* decimals, up to COA_SCALE_MAX */
MK_STRUCT_DECLARE(coa_pair, COA_PAIR_TABLE)
MK_SEQ_DECLARE(coa_pairs, coa_pair) /* sorted by surface name, distinct */
#define COA_PRICE_FEED_CONTENT_TABLE(F, S) F(S, coa_pairs, pairs)
MK_STRUCT_DECLARE(coa_price_feed_content, COA_PRICE_FEED_CONTENT_TABLE)

/** A feed that an oracle observes, and whose word counts for which Deployment is its. */
#define COA_ORACLE_SOURCE_TABLE(F, S)         \
    F(S, mk_id, stable_id)  /* of the feed */ \
    F(S, mk_peer, operator) /* whose Deployments count as its */
MK_STRUCT_DECLARE(coa_oracle_source, COA_ORACLE_SOURCE_TABLE)
MK_SEQ_DECLARE(coa_oracle_sources, coa_oracle_source) /* sorted by stable id, distinct */
/** quorum: sources that must have spoken of a pair before a tick of it is published. */
#define COA_ORACLE_CONTENT_TABLE(F, S) \
    F(S, coa_pairs, pairs)             \
    F(S, coa_oracle_sources, sources)  \
    F(S, mk_u8, quorum) /* sources that must have spoken of a pair */
MK_STRUCT_DECLARE(coa_oracle_content, COA_ORACLE_CONTENT_TABLE)

/** The content type of a kind. */
const struct mk_type *coa_module_content_type(enum coa_module_kind kind);
/** Decodes a module's content and applies the kind's own rules (cadence, anchor, sources, ...);
 * the catalogue of an Atlas is held against the coalition by coa_coalition_check. */
int coa_module_content_check(enum coa_module_kind kind, struct mk_bytes content,
                             struct mk_fault *reterr);
/** Symbols, order, scales. */
int coa_price_feed_check(const struct coa_price_feed_content *c, struct mk_fault *reterr);
/** As above; a quorum of 1 up to all sources. */
int coa_oracle_check(const struct coa_oracle_content *c, struct mk_fault *reterr);

/* --- surfaces ------------------------------------------------------------------------ */

/** A surface by its texts; schema digest = H(layout). */
struct coa_surface {
    struct mk_str kind;
    struct mk_str name;
    struct mk_str layout;
};
struct coa_surfaces {
    const struct coa_surface *v;
    size_t n;
};
/** The surfaces of a module kind; static. */
struct coa_surfaces coa_module_surfaces(enum coa_module_kind kind);
/** The id of a surface under a stable id (a module's is its module_root). */
struct mk_id coa_surface_id_of(const struct coa_surface *s, const struct mk_id *stable_id);

#endif /* COALITION_MODULES_H */
