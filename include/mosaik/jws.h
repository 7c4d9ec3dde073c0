/* jws.h - compact JSON Web Signatures of foreign issuers, verified strictly
 * (RFC 7515, RFC 7518 section 3.4, RFC 8037; spec/identity.md, RequireJwt).
 *
 * The verifier's side names the algorithm and the key; the token's header only
 * has to agree. There is no "none", no shared secret, no key out of a header. */
#ifndef MOSAIK_JWS_H
#define MOSAIK_JWS_H

#include <mosaik/error.h>
#include <mosaik/bytes.h>

#define MK_JWS_MAX 8192u /* bytes of a compact token */

#define MK_JWS_ALG_MAP(X) \
    X(ES256)              \
    X(ES256K)             \
    X(ES384)              \
    X(ES512)              \
    X(EdDSA)

enum mk_jws_alg {
#define MK_JWS_ALG_X(name) MK_JWS_##name,
    MK_JWS_ALG_MAP(MK_JWS_ALG_X)
#undef MK_JWS_ALG_X
};

/** By its exact name. MK_ENOTSUP for every other one (also HS256 and none). */
int mk_jws_alg_parse(enum mk_jws_alg *ret, struct mk_str name);
/** Its exact name, static. */
const char *mk_jws_alg_name(enum mk_jws_alg alg);
/** Bytes of a key: 32 for EdDSA, else of the SEC1 compressed point. */
size_t mk_jws_key_len(enum mk_jws_alg alg);

/** Verifies token = base64url(header) '.' base64url(payload) '.' base64url(signature).
 *
 *  ret_payload  the payload's bytes are appended to it, on success only.
 *  key          raw 32 bytes for EdDSA, else the SEC1 compressed point.
 *
 * The header must be one JSON object without duplicate keys whose alg is `alg`;
 * crit, b64, enc and zip are refused (we implement no extension); keys and
 * certificates in it are ignored. An empty part is refused.
 * 0; MK_ELIMIT over MK_JWS_MAX; MK_EMALFORMED; MK_EREFUSED (algorithm, crit);
 * MK_EINVALID (the verifier's key is no key); MK_ESIGNATURE. */
int mk_jws_verify(struct mk_buf *ret_payload, struct mk_bytes token, enum mk_jws_alg alg,
                  struct mk_bytes key, struct mk_fault *reterr);

#endif /* MOSAIK_JWS_H */
