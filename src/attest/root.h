/* root.h - a trusted root, and what was found good under it.
 *
 *   root --> PCK CA (intermediate) --> PCK --> QE report
 *
 * Chains are remembered by the hash of their bytes: a machine shows the same chain in each
 * of its quotes, and a signature that verified once verifies again. Dates and revocation are
 * looked at each time. Only what verified is remembered. */
#ifndef ATTEST_ROOT_H
#define ATTEST_ROOT_H

#include "attest/p256.h"
#include "attest/x509.h"

#include <mosaik/attest.h>

#define ROOT_CHAINS 64u  /* remembered PCK chains; the oldest goes */
#define MK_SGX_DEBUG 2u  /* in an enclave's attributes[0] */
#define ROOT_SIGNERS 16u /* remembered certificates signed by the root */

/** From when to when something counts, in unix seconds: from <= now < to. */
struct span {
    uint64_t from, to;
};

/** MK_ESTALE with the date: now is outside. */
int span_check(const struct span *s, const char *what, uint64_t now_s, struct mk_fault *reterr);
void span_narrow(struct span *s, uint64_t from, uint64_t to);

/** A PCK that is signed by a CA that is signed by the root. */
struct pck {
    bool used;
    uint8_t digest[32]; /* of the certification data it was read from */
    struct span span;   /* of the whole chain */
    struct evp_pkey_st *key;
    struct x509_platform platform;
    uint8_t serial[21], ca_serial[21];
    uint8_t n_serial, n_ca_serial;
    uint8_t ca[32]; /* signer_id() of its CA */
};

struct mk_quote_root {
    struct mk_buf der;
    struct x509_cert cert; /* slices of der */
    struct evp_pkey_st *key;
    uint8_t id[32]; /* signer_id() */
    struct pck chains[ROOT_CHAINS];
    unsigned next_chain;
    uint8_t signers[ROOT_SIGNERS][32]; /* hashes of certificates */
    unsigned n_signers;
};

/** Names a signer of lists: hash of its name and key. */
void signer_id(const struct x509_cert *c, uint8_t ret[32]);

/** Is c signed by the root? Whatever else it must be is the caller's to check.
 * MK_ESIGNATURE, MK_EREFUSED (another issuer). */
int root_signed(struct mk_quote_root *r, const struct x509_cert *c, struct mk_fault *reterr);
/** Is c the root itself, or another certificate of the same name and key? */
bool root_is(const struct mk_quote_root *r, const struct x509_cert *c);
/** A CA below the root that may sign certificates and lists. */
int root_check_ca(struct mk_quote_root *r, const struct x509_cert *c, struct mk_fault *reterr);

/** Is it one of Intel's own quoting enclaves, and not under debug? For quotes that are judged
 * without a QE identity: a PCK also signs reports of others who may use the provisioning key. */
bool intel_quoting_enclave(enum mk_tee tee, const struct mk_sgx_report *qe);

/** The PCK of a quote's certification data, lent until the next call. MK_EMALFORMED,
 * MK_ESIGNATURE, MK_EREFUSED. */
int root_pck(struct mk_quote_root *r, struct mk_bytes cert_data, const struct pck **ret,
             struct mk_fault *reterr);

#endif /* ATTEST_ROOT_H */
