/* p256.h - ECDSA P-256 with SHA-256 through OpenSSL, and SHA-256 itself. */
#ifndef ATTEST_P256_H
#define ATTEST_P256_H

#include <mosaik/bytes.h>
#include <stdbool.h>

struct evp_pkey_st;

/** A key from x || y; given, NULL when it is no point of the curve. */
struct evp_pkey_st *p256_key(const uint8_t xy[64]);
void p256_key_free(struct evp_pkey_st *k); /* NULL is fine */

/** A signature in DER (SEQUENCE of r and s) over message. */
bool p256_verify_der(struct evp_pkey_st *k, struct mk_bytes message, struct mk_bytes signature);
/** A signature r || s. */
bool p256_verify(struct evp_pkey_st *k, struct mk_bytes message, const uint8_t signature[64]);

void sha256(struct mk_bytes message, uint8_t ret[32]);
void sha384(struct mk_bytes message, uint8_t ret[48]);

#endif /* ATTEST_P256_H */
