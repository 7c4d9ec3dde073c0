/* stance.h - shapes of political theory that a component can publish and fold into its
 * content (spec/identity.md, "ACL composition", the last table).
 *
 * A stance describes; it enforces nothing. The is_substrate predicates say which part
 * of it the primitives below keep by themselves; whoever reads a stance may refuse the
 * rest. */
#ifndef COALITION_STANCE_H
#define COALITION_STANCE_H

#include <mosaik/records.h>

#define COA_DELEGATIONS_MAX 256u

/* The admission boundary: how a member comes to be bound. */
#define COA_CONSENT_TABLE(F, S)            \
    F(S, Voluntary, 0, mk_unit, voluntary) \
    F(S, Tacit, 1, mk_unit, tacit)         \
    F(S, Delegated, 2, mk_unit, delegated) \
    F(S, Compulsory, 3, mk_unit, compulsory)
MK_ENUM_DECLARE(coa_consent, COA_CONSENT_TABLE)

/* A module's quorum or a composite organism's threshold. */
#define COA_SUPERMAJORITY_TABLE(F, S) F(S, mk_u16, threshold_bps) /* basis points, up to 10000 */
MK_STRUCT_DECLARE(coa_supermajority, COA_SUPERMAJORITY_TABLE)
#define COA_DECISION_RULE_TABLE(F, S)                        \
    F(S, Unanimity, 0, mk_unit, unanimity)                   \
    F(S, Majority, 1, mk_unit, majority)                     \
    F(S, Supermajority, 2, coa_supermajority, supermajority) \
    F(S, Plurality, 3, mk_unit, plurality)                   \
    F(S, Operator, 4, mk_unit, by_operator)
MK_ENUM_DECLARE(coa_decision_rule, COA_DECISION_RULE_TABLE)

/* What a consumer's validators check; bits. */
#define COA_LEGITIMACY_CONSENT 1u
#define COA_LEGITIMACY_ATTESTATION 2u
#define COA_LEGITIMACY_REPUTATION 4u
#define COA_LEGITIMACY_PERFORMANCE 8u
#define COA_LEGITIMACY_TRADITION 16u
#define COA_LEGITIMACY_ALL 31u

/* Who may act. */
#define COA_FRANCHISE_TICKETED_TABLE(F, S) F(S, mk_id, root) /* an issuer's TICKETS_ROOT */
MK_STRUCT_DECLARE(coa_franchise_ticketed, COA_FRANCHISE_TICKETED_TABLE)
#define COA_FRANCHISE_ATTESTED_TABLE(F, S) \
    F(S, mk_id, measurements) /* an id that stands for them */
MK_STRUCT_DECLARE(coa_franchise_attested, COA_FRANCHISE_ATTESTED_TABLE)
#define COA_FRANCHISE_LISTED_TABLE(F, S) F(S, mk_peer_list, peers)
MK_STRUCT_DECLARE(coa_franchise_listed, COA_FRANCHISE_LISTED_TABLE)
#define COA_FRANCHISE_TABLE(F, S)                       \
    F(S, Open, 0, mk_unit, open)                        \
    F(S, Ticketed, 1, coa_franchise_ticketed, ticketed) \
    F(S, Attested, 2, coa_franchise_attested, attested) \
    F(S, Listed, 3, coa_franchise_listed, listed)
MK_ENUM_DECLARE(coa_franchise, COA_FRANCHISE_TABLE)

#define COA_COMPOSITION_TABLE(F, S)                 \
    F(S, Direct, 0, mk_unit, direct)                \
    F(S, MultiOperator, 1, mk_unit, multi_operator) \
    F(S, Nested, 2, mk_unit, nested)
MK_ENUM_DECLARE(coa_composition, COA_COMPOSITION_TABLE)

/* A published claim; the substrate keeps None alone. */
#define COA_SOVEREIGNTY_TABLE(F, S)        \
    F(S, None, 0, mk_unit, none)           \
    F(S, Shared, 1, mk_unit, shared)       \
    F(S, Delegated, 2, mk_unit, delegated) \
    F(S, Absolute, 3, mk_unit, absolute)
MK_ENUM_DECLARE(coa_sovereignty, COA_SOVEREIGNTY_TABLE)

#define COA_ON_NOTICE_TABLE(F, S) F(S, mk_u64, ticks) /* of an Almanac */
MK_STRUCT_DECLARE(coa_on_notice, COA_ON_NOTICE_TABLE)
#define COA_REVOCABILITY_TABLE(F, S)            \
    F(S, AtWill, 0, mk_unit, at_will)           \
    F(S, OnNotice, 1, coa_on_notice, on_notice) \
    F(S, OnRotation, 2, mk_unit, on_rotation)   \
    F(S, Irrevocable, 3, mk_unit, irrevocable)
MK_ENUM_DECLARE(coa_revocability, COA_REVOCABILITY_TABLE)

#define COA_DELEGATION_TABLE(F, S)                         \
    F(S, mk_id, to)      /* stable id */                   \
    F(S, mk_name, scope) /* what is delegated, in words */ \
    F(S, coa_revocability, revocability)
MK_STRUCT_DECLARE(coa_delegation, COA_DELEGATION_TABLE)
MK_SEQ_DECLARE(coa_delegations, coa_delegation)

#define COA_POLITICAL_STANCE_TABLE(F, S)                            \
    F(S, coa_consent, consent) /* how a member comes to be bound */ \
    F(S, coa_decision_rule, decision_rule)                          \
    F(S, mk_u8, legitimacy)        /* COA_LEGITIMACY_* bits */      \
    F(S, coa_franchise, franchise) /* who may act */                \
    F(S, coa_composition, composition)                              \
    F(S, coa_sovereignty, sovereignty) /* a claim */                \
    F(S, coa_delegations, delegations)
MK_STRUCT_DECLARE(coa_political_stance, COA_POLITICAL_STANCE_TABLE)

/** Voluntary, Majority, consent, Open, Direct, None, no delegations. */
extern const struct coa_political_stance COA_STANCE_DEFAULT;

/** hash_many("stance|" V "|", pc(stance)): what a content folds. */
struct mk_id coa_stance_fingerprint(const struct coa_political_stance *s);
/** Neither Compulsory nor Absolute. */
bool coa_stance_is_substrate_consistent(const struct coa_political_stance *s);
/** Shape, thresholds up to 10000, known legitimacy bits. */
int coa_stance_check(const struct coa_political_stance *s, struct mk_fault *reterr);

/* What the primitives keep by themselves, as against published commentary. */
bool coa_consent_is_substrate_enforced(const struct coa_consent *c);   /* Voluntary */
bool coa_consent_is_substrate_consistent(const struct coa_consent *c); /* not Compulsory */
bool coa_decision_rule_is_substrate_enforced(const struct coa_decision_rule *d); /* Majority */
bool coa_legitimacy_is_substrate_checkable(uint8_t bits); /* consent and attestation alone */
bool coa_franchise_is_substrate_enforced(const struct coa_franchise *f); /* all: ACL clauses */
bool coa_composition_is_substrate_expressible(const struct coa_composition *c); /* all */
bool coa_sovereignty_is_substrate_enforced(const struct coa_sovereignty *s);    /* None */
bool coa_sovereignty_is_substrate_consistent(const struct coa_sovereignty *s);  /* not Absolute */
bool coa_revocability_is_substrate_enforced(const struct coa_revocability *r);  /* AtWill,
                                                                                   OnRotation */

#endif /* COALITION_STANCE_H */
