/* rsa.h - verifying RSA signatures of foreign issuers (RFC 7518 sections 3.3, 3.5). */
#ifndef CRYPTO_RSA_H
#define CRYPTO_RSA_H

#include "crypto/hmac.h"
#include <mosaik/error.h>

#define MK_RSA_BITS_MIN 2048u
#define MK_RSA_BITS_MAX 8192u

struct mk_rsa { /* big-endian, without leading zeros; borrowed */
    struct mk_bytes n, e;
};

/** Is this a public key that can be trusted with a signature? 0, or MK_EINVALID with what is wrong:
 * its size, an even modulus, an exponent that is even, 1 or over 64 bits, or the pattern of the
 * generator whose keys can be factored (CVE-2017-15361). */
int mk_rsa_key_check(const struct mk_rsa *key, struct mk_fault *reterr);

/** pss: RSASSA-PSS with MGF1 of the same hash and a salt of its length; else RSASSA-PKCS1-v1_5. 0
 * or MK_ESIGNATURE; the signature has the modulus' length. */
int mk_rsa_verify(const struct mk_rsa *key, enum mk_sha h, bool pss, struct mk_bytes message,
                  struct mk_bytes signature);

#endif
