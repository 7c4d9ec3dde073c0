/* stance.c - the fingerprint of a stance and its predicates. */
#include <coalition/stance.h>

#include "coalition/preimage.h"

MK_ENUM_DEFINE(coa_consent, "Consent", COA_CONSENT_TABLE)
MK_STRUCT_DEFINE(coa_supermajority, "Supermajority", COA_SUPERMAJORITY_TABLE)
MK_ENUM_DEFINE(coa_decision_rule, "DecisionRule", COA_DECISION_RULE_TABLE)
MK_STRUCT_DEFINE(coa_franchise_ticketed, "Ticketed", COA_FRANCHISE_TICKETED_TABLE)
MK_STRUCT_DEFINE(coa_franchise_attested, "Attested", COA_FRANCHISE_ATTESTED_TABLE)
MK_STRUCT_DEFINE(coa_franchise_listed, "Listed", COA_FRANCHISE_LISTED_TABLE)
MK_ENUM_DEFINE(coa_franchise, "Franchise", COA_FRANCHISE_TABLE)
MK_ENUM_DEFINE(coa_composition, "Composition", COA_COMPOSITION_TABLE)
MK_ENUM_DEFINE(coa_sovereignty, "Sovereignty", COA_SOVEREIGNTY_TABLE)
MK_STRUCT_DEFINE(coa_on_notice, "OnNotice", COA_ON_NOTICE_TABLE)
MK_ENUM_DEFINE(coa_revocability, "Revocability", COA_REVOCABILITY_TABLE)
MK_STRUCT_DEFINE(coa_delegation, "Delegation", COA_DELEGATION_TABLE)
MK_SEQ_DEFINE(coa_delegations, coa_delegation, COA_DELEGATIONS_MAX, 0)
MK_STRUCT_DEFINE(coa_political_stance, "PoliticalStance", COA_POLITICAL_STANCE_TABLE)

const struct coa_political_stance COA_STANCE_DEFAULT = {
    .consent = {.tag = coa_consent_Voluntary},
    .decision_rule = {.tag = coa_decision_rule_Majority},
    .legitimacy = COA_LEGITIMACY_CONSENT,
    .franchise = {.tag = coa_franchise_Open},
    .composition = {.tag = coa_composition_Direct},
    .sovereignty = {.tag = coa_sovereignty_None},
};

struct mk_id coa_stance_fingerprint(const struct coa_political_stance *s)
{
    struct mk_buf bytes = {0};
    struct preimage p;
    struct mk_id id;

    mk_encode(&bytes, &coa_political_stance_type, s);
    coa_pre_begin(&p, NULL);
    coa_pre_part_tag_text(&p, "stance", (struct mk_str){0});
    coa_pre_part(&p, bytes.p, bytes.n);
    id = coa_pre_end(&p, "stance", (struct mk_str){0});
    mk_buf_done(&bytes);
    return id;
}

bool coa_stance_is_substrate_consistent(const struct coa_political_stance *s)
{
    return coa_consent_is_substrate_consistent(&s->consent) &&
           coa_sovereignty_is_substrate_consistent(&s->sovereignty);
}

int coa_stance_check(const struct coa_political_stance *s, struct mk_fault *reterr)
{
    int rv = mk_validate(&coa_political_stance_type, s, reterr);

    if (rv != 0)
        return rv;
    if ((s->legitimacy & ~COA_LEGITIMACY_ALL) != 0)
        return mk_fault(reterr, MK_EMALFORMED, "legitimacy bits are 1, 2, 4, 8 and 16");
    if (s->decision_rule.tag == coa_decision_rule_Supermajority &&
        s->decision_rule.u.supermajority.threshold_bps > 10000)
        return mk_fault(reterr, MK_EMALFORMED, "a threshold is at most 10000 basis points");
    return 0;
}

bool coa_consent_is_substrate_enforced(const struct coa_consent *c)
{
    return c->tag == coa_consent_Voluntary;
}

bool coa_consent_is_substrate_consistent(const struct coa_consent *c)
{
    return c->tag != coa_consent_Compulsory;
}

bool coa_decision_rule_is_substrate_enforced(const struct coa_decision_rule *d)
{
    return d->tag == coa_decision_rule_Majority;
}

bool coa_legitimacy_is_substrate_checkable(uint8_t bits)
{
    return bits != 0 && (bits & ~(COA_LEGITIMACY_CONSENT | COA_LEGITIMACY_ATTESTATION)) == 0;
}

/* Each has its ACL clause: OPEN, RecogniseIssuer, RequireTdx, PeerList. */
bool coa_franchise_is_substrate_enforced(const struct coa_franchise *f)
{
    return f->tag <= coa_franchise_Listed;
}

bool coa_composition_is_substrate_expressible(const struct coa_composition *c)
{
    return c->tag <= coa_composition_Nested;
}

bool coa_sovereignty_is_substrate_enforced(const struct coa_sovereignty *s)
{
    return s->tag == coa_sovereignty_None;
}

bool coa_sovereignty_is_substrate_consistent(const struct coa_sovereignty *s)
{
    return s->tag != coa_sovereignty_Absolute;
}

bool coa_revocability_is_substrate_enforced(const struct coa_revocability *r)
{
    return r->tag == coa_revocability_AtWill || r->tag == coa_revocability_OnRotation;
}
