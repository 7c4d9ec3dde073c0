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

/** The newest that was seen of a document, in this process or an earlier one (seen.c). */
enum seen_kind { SEEN_LIST, SEEN_INFO, SEEN_IDENTITY, SEEN_KINDS };
#define SEEN_MAX (3u * MK_COLLATERAL_MAX)
struct seen_item {
    uint8_t kind;
    uint8_t key[32];     /* of a list its signer_id(); else the TEE, and of an info the FMSPC */
    uint64_t issued;     /* unix seconds */
    uint32_t evaluation; /* of signed JSON */
};

struct mk_collateral {
    struct seen_item *seen; /* sorted */
    size_t n_seen;
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

/** Is it no older than what was seen? 0; MK_ESTALE. */
int seen_check(const struct mk_collateral *c, const struct seen_item *fresh, const char *what,
               struct mk_fault *reterr);
/** It was taken in. 0; MK_ELIMIT. */
int seen_note(struct mk_collateral *c, const struct seen_item *fresh, struct mk_fault *reterr);

/** Step 4 of a verification: 0 and v's status, advisories, dates; else why not. */
int collateral_judge(const struct mk_collateral *c, const struct mk_quote_root *root,
                     const struct mk_quote *q, const struct pck *pck, uint64_t now_s,
                     struct mk_quote_verdict *v, struct mk_fault *reterr);

#endif /* ATTEST_COLLATERAL_H */
