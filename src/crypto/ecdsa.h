/* ecdsa.h - verifying ECDSA signatures of foreign issuers (RFC 7518 section 3.4).
 *
 * We never sign with these curves; they are here because a clause may name the
 * key of somebody who does (spec/identity.md, "ACL composition": RequireJwt). */
#ifndef CRYPTO_ECDSA_H
#define CRYPTO_ECDSA_H

#include <mosaik/bytes.h>
#include <mosaik/error.h>

enum mk_curve {
    MK_CURVE_P256,      /* with SHA-256 */
    MK_CURVE_SECP256K1, /* with SHA-256 */
    MK_CURVE_P384,      /* with SHA-384 */
    MK_CURVE_P521,      /* with SHA-512 */
};

/** Bytes of one coordinate: 32, 32, 48, 66. */
size_t mk_curve_len(enum mk_curve c);

/** Verifies r || s, each of exactly mk_curve_len() bytes, big-endian.
 *
 *  key  the SEC1 compressed point: 02 or 03, then the x coordinate.
 *
 * 0; MK_EINVALID: key is no such point; MK_ESIGNATURE: anything else that is
 * wrong (a length, r or s outside 1..n-1, the equation). */
int mk_ecdsa_verify(enum mk_curve c, struct mk_bytes key, struct mk_bytes message,
                    struct mk_bytes signature);

/** The compressed form (1 + mk_curve_len() bytes) of a point given by both coordinates, each of
 * mk_curve_len() bytes. MK_EINVALID: they are no point of the curve. */
int mk_ecdsa_compress(enum mk_curve c, uint8_t *ret, const uint8_t *x, const uint8_t *y);

#endif /* CRYPTO_ECDSA_H */
