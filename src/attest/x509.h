/* x509.h - the certificates and revocation lists of Intel's PKI (RFC 5280; "PCK Certificate
 * and Certificate Revocation List Profile").
 *
 * Only their shape: version 3 and 2, ecdsa-with-SHA256, keys on P-256. Anything else is
 * refused, also a critical extension that is not known here. */
#ifndef ATTEST_X509_H
#define ATTEST_X509_H

#include <mosaik/bytes.h>
#include <mosaik/error.h>

#define X509_DER_MAX 8192u /* bytes of a certificate */

enum { X509_DIGITAL_SIGNATURE = 1u << 0, X509_CERT_SIGN = 1u << 5, X509_CRL_SIGN = 1u << 6 };

/** Slices are lent from what was parsed. */
struct x509_cert {
    struct mk_bytes der, signed_part, signature;
    struct mk_bytes serial;          /* content of the INTEGER */
    struct mk_bytes issuer, subject; /* whole names */
    uint64_t not_before, not_after;  /* unix seconds, both inclusive */
    uint8_t key[64];                 /* x || y */
    bool is_ca;
    uint32_t path_len; /* UINT32_MAX: not limited */
    bool has_usage;
    uint32_t usage;
    struct mk_bytes sgx; /* content of the SGX extension, or none */
};

int x509_cert_parse(struct x509_cert *ret, struct mk_bytes der, struct mk_fault *reterr);
/** The common name of a name, for messages; "" when there is none. Returns out. */
const char *x509_common_name(struct mk_bytes name, char out[64]);

struct x509_crl {
    struct mk_bytes der, signed_part, signature;
    struct mk_bytes issuer;
    uint64_t this_update, next_update;
    struct mk_bytes revoked; /* the entries, checked */
};

int x509_crl_parse(struct x509_crl *ret, struct mk_bytes der, struct mk_fault *reterr);
bool x509_crl_lists(const struct x509_crl *crl, struct mk_bytes serial);

/** What a PCK certificate says of its platform (OID 1.2.840.113741.1.13.1). */
struct x509_platform {
    uint8_t svn[16]; /* SGX TCB components */
    uint16_t pce_svn;
    uint8_t cpu_svn[16];
    uint8_t pce_id[2];
    uint8_t fmspc[6];
};

int x509_platform_parse(struct x509_platform *ret, struct mk_bytes sgx, struct mk_fault *reterr);

#endif /* ATTEST_X509_H */
