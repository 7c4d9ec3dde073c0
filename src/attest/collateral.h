/* collateral.h - what Intel publishes about its platforms, once it was found to be signed.
 *
 *   pool: CAs and TCB signers (good under the root)
 *   lists: the root's, one a PCK CA          TCB infos: one a (TEE, FMSPC)
 *   QE identities: one a TEE                 each with its span of dates */
#ifndef ATTEST_COLLATERAL_H
#define ATTEST_COLLATERAL_H

#include "attest/root.h"
#include "attest/tcb.h"

/** A certificate that the root signed: a PCK CA or a TCB signer. */
struct signer_item {
    struct mk_buf der;
    struct x509_cert cert; /* slices of der */
};

struct crl_item {
    struct mk_buf der;
    struct x509_crl crl; /* slices of der */
    uint8_t signer[32];  /* signer_id() */
};

struct mk_collateral {
    struct mk_quote_root *root;
    struct signer_item *signers;
    size_t n_signers;
    struct crl_item *lists;
    size_t n_lists;
    struct tcb_info **infos;
    size_t n_infos;
    struct qe_identity **identities;
    size_t n_identities;
    uint64_t generation;
};

/** The list of a signer_id(), or NULL; lent until the next addition. */
struct crl_item *collateral_list(const struct mk_collateral *c, const uint8_t signer[32]);

/** Step 4 of a verification: 0 and v's status, advisories, dates; else why not. */
int collateral_judge(const struct mk_collateral *c, const struct mk_quote_root *root,
                     const struct mk_quote *q, const struct pck *pck, uint64_t now_s,
                     struct mk_quote_verdict *v, struct mk_fault *reterr);

#endif /* ATTEST_COLLATERAL_H */
