/* verify.c - the verdict over a quote (Intel's "Verification of a quote", 4.1.2.4).
 *
 *   1. chain: root > CA > PCK, each signature, each date
 *   2. QE report: signed by the PCK; its report data bind the attestation key
 *   3. header and body: signed by the attestation key
 *   4. collateral, when there is some: revocation, TCB level, the QE's identity; without
 *      it, under Intel's root, whether the QE is one that Intel signs
 *   5. policy: not under debug, and a status that is accepted
 *
 * The first fault decides, and refuses. What is expensive comes after what is cheap only
 * within a step: nothing that is not yet authentic decides anything but a refusal. */
#include "attest/collateral.h"
#include "attest/root.h"

#include <string.h>

static const char *const status_names[] = {
#define MK_TCB_STATUS_X(name) [MK_TCB_##name] = #name,
    MK_TCB_STATUS_MAP(MK_TCB_STATUS_X)
#undef MK_TCB_STATUS_X
};
#define N_STATUSES (sizeof status_names / sizeof status_names[0])

const char *mk_tcb_status_name(enum mk_tcb_status s)
{
    return status_names[s];
}

int mk_tcb_status_parse(enum mk_tcb_status *ret, struct mk_str name)
{
    for (size_t i = 0; i < N_STATUSES; i++) {
        if (mk_str_is(name, status_names[i])) {
            *ret = (enum mk_tcb_status)i;
            return 0;
        }
    }
    return MK_ENOTFOUND;
}

static int verify_chain(struct mk_quote_root *root, const struct mk_quote *q, uint64_t now_s,
                        const struct pck **ret, struct mk_quote_verdict *v, struct mk_fault *reterr)
{
    int rv;

    if (q->cert_type != MK_CERT_PCK_CHAIN) {
        v->chain = MK_QUOTE_CHAIN_ABSENT;
        return mk_fault(reterr, MK_EREFUSED,
                        "the quote carries no certificate chain (certification data of type %u)",
                        q->cert_type);
    }
    rv = root_pck(root, q->cert_data, ret, reterr);
    if (rv == 0)
        v->from_s = (*ret)->span.from;
    if (rv == 0)
        rv = span_check(&(*ret)->span, "PCK certificate chain", now_s, reterr);
    v->chain = rv == 0 ? MK_QUOTE_CHAIN_OK : MK_QUOTE_CHAIN_REFUSED;
    if (rv == 0) {
        memcpy(v->fmspc, (*ret)->platform.fmspc, sizeof v->fmspc);
        v->expires_s = (*ret)->span.to;
    }
    return rv;
}

/* The QE's report names the attestation key: SHA-256(key || auth data), then zeros. */
static int verify_binding(const struct mk_quote *q, struct mk_fault *reterr)
{
    uint8_t want[64] = {0};

    mk_quote_qe_binding(q, want);
    if (memcmp(want, q->qe_report.report_data, sizeof want) != 0)
        return mk_fault(reterr, MK_EREFUSED,
                        "the QE report does not bind the attestation key and the QE's data");
    return 0;
}

static int verify_body(const struct mk_quote *q, struct mk_fault *reterr)
{
    struct evp_pkey_st *key = p256_key(q->attestation_key);
    bool ok = key != NULL && p256_verify(key, q->signed_part, q->signature);

    p256_key_free(key);
    if (!ok)
        return mk_fault(reterr, MK_ESIGNATURE,
                        "the attestation key's signature over header and body does not verify");
    return 0;
}

static int verify_signatures(const struct mk_quote *q, const struct pck *pck,
                             struct mk_fault *reterr)
{
    int rv = verify_binding(q, reterr);

    if (rv == 0 && pck != NULL &&
        !p256_verify(pck->key, MK_BYTES(&q->qe_report, sizeof q->qe_report), q->qe_signature))
        rv = mk_fault(reterr, MK_ESIGNATURE, "the QE report is not signed by the PCK");
    return rv != 0 ? rv : verify_body(q, reterr);
}

/* A program under debug has its memory read and written by the host. */
static int verify_debug(const struct mk_quote *q, const struct mk_quote_policy *policy,
                        struct mk_fault *reterr)
{
    bool debug = q->tee == MK_TEE_TDX ? q->td.td_attributes[0] != 0
                                      : (q->enclave.attributes[0] & MK_SGX_DEBUG) != 0;

    if (debug && !policy->debug)
        return mk_fault(reterr, MK_EREFUSED, "the quoted program runs under debug");
    return 0;
}

static int verify_status(const struct mk_quote_verdict *v, const struct mk_quote_policy *policy,
                         struct mk_fault *reterr)
{
    uint32_t accepted = policy->statuses != 0 ? policy->statuses : MK_TCB_DEFAULT;

    if (!v->has_status)
        return 0;
    if (v->status == MK_TCB_Revoked || (accepted & 1u << v->status) == 0)
        return mk_fault(reterr, MK_EREFUSED, "TCB status %s is not accepted (level of %s)",
                        mk_tcb_status_name(v->status), v->tcb_date);
    return 0;
}

/* Without collateral: what it would say in any case. Intel signs the QE, and the TDX module, whose
 * signer and attributes are then zero. */
static int verify_alone(const struct mk_quote *q, struct mk_fault *reterr)
{
    static const uint8_t zero[48];

    if (!intel_quoting_enclave(q->tee, &q->qe_report))
        return mk_fault(reterr, MK_EREFUSED,
                        "the quote was made by an enclave that is not Intel's quoting enclave");
    if (memcmp(q->td.mr_signer_seam, zero, sizeof q->td.mr_signer_seam) != 0 ||
        memcmp(q->td.seam_attributes, zero, sizeof q->td.seam_attributes) != 0)
        return mk_fault(reterr, MK_EREFUSED, "the TDX module is not Intel's production module");
    return 0;
}

static int verify_all(struct mk_quote_root *root, const struct mk_collateral *collateral,
                      const struct mk_quote *q, const struct mk_quote_policy *policy,
                      uint64_t now_s, struct mk_quote_verdict *v, struct mk_fault *reterr)
{
    const struct pck *pck = NULL;
    int chain = verify_chain(root, q, now_s, &pck, v, reterr), rv;

    if (v->chain == MK_QUOTE_CHAIN_REFUSED)
        return chain;
    rv = verify_signatures(q, pck, reterr);
    if (rv != 0 || chain != 0) /* without a chain the signatures are worth a remark, no more */
        return rv != 0 ? rv : chain;
    if (collateral != NULL)
        rv = collateral_judge(collateral, root, q, pck, now_s, v, reterr);
    else if (mk_quote_root_is_intel(root))
        rv = verify_alone(q, reterr);
    if (rv == 0)
        rv = verify_debug(q, policy, reterr);
    return rv != 0 ? rv : verify_status(v, policy, reterr);
}

void mk_quote_verify(struct mk_quote_root *root, const struct mk_collateral *collateral,
                     const struct mk_quote *q, const struct mk_quote_policy *policy, uint64_t now_s,
                     struct mk_quote_verdict *ret)
{
    static const struct mk_quote_policy none;
    struct mk_fault fault = {{0}};

    memset(ret, 0, sizeof *ret);
    ret->expires_s = now_s;
    ret->ok =
        verify_all(root, collateral, q, policy != NULL ? policy : &none, now_s, ret, &fault) == 0;
    if (!ret->ok)
        memcpy(ret->reason, fault.text, sizeof ret->reason);
}
