/* jwt.h - JSON Web Tokens for validators of one's own: an agent that wants to see a token
 * of some issuer before it speaks with a peer (RFC 7519; mosaik's JWT validator).
 *
 * The clause RequireJwt of an ACL is another matter (ticket.h): an ACL is public, so it
 * holds public keys alone. Here the keys stay with the validator, so they may be shared
 * secrets (HS256, HS384, HS512) too; ES256, ES256K, ES384, ES512, EdDSA, RS256 .. PS512 are
 * as everywhere. There is no "none".
 *
 * No confusion of algorithms: each key is of one kind (a secret, a point of one curve, an
 * RSA modulus) and has a set of algorithms of that kind; a token's header only chooses
 * among them. A JWK says itself what it is for. */
#ifndef MOSAIK_JWT_H
#define MOSAIK_JWT_H

#include <mosaik/jws.h>
#include <mosaik/key.h>

#define MK_JWT_KEYS_MAX 64u        /* of one set */
#define MK_JWT_JWK_MAX (64u << 10) /* bytes of a JWK or a JWK set */
#define MK_JWT_SECRET_MAX 1024u    /* bytes of a shared secret */

/* --- keys -------------------------------------------------------------------------------- */

struct mk_jwt_keys;

/** An empty set; given: mk_jwt_keys_free(). */
struct mk_jwt_keys *mk_jwt_keys_new(void);
void mk_jwt_keys_free(struct mk_jwt_keys *k); /* wipes the secrets; NULL is fine */
/** A key for one algorithm, copied: a secret of at least the hash's length, a SEC1 compressed
 * point, or 32 bytes for EdDSA. MK_EINVALID with what is wrong; MK_ENOTSUP: no such algorithm. */
int mk_jwt_keys_add(struct mk_jwt_keys *k, struct mk_str alg, struct mk_bytes key,
                    struct mk_fault *reterr);
/** A JWK or a JWK set (RFC 7517). `use`, `key_ops` and `alg` are honoured: a key that is not for
 * verifying signatures, or whose alg is not of its kind, is an error, as is a set that mixes
 * secrets with public keys. Private parts are ignored. MK_EMALFORMED, MK_EINVALID, MK_ENOTSUP. */
int mk_jwt_keys_add_jwk(struct mk_jwt_keys *k, struct mk_bytes json, struct mk_fault *reterr);
/** From now on only algorithms that were allowed so count. MK_ENOTSUP: no such algorithm. */
int mk_jwt_keys_allow(struct mk_jwt_keys *k, struct mk_str alg, struct mk_fault *reterr);

/** Verifies a compact JWS under any key of the set that its alg fits; the payload, whatever it is,
 * is appended on success. MK_EMALFORMED, MK_EREFUSED, MK_ESIGNATURE with the reason. */
int mk_jwt_verify(const struct mk_jwt_keys *k, struct mk_buf *ret_payload, struct mk_bytes token,
                  struct mk_fault *reterr);

/* --- judging -------------------------------------------------------------------------------- */

struct mk_jwt_claim {
    struct mk_str name;
    struct mk_str json; /* the value as JSON text; must be equal as a JSON value */
};

/** What a token must say beside being signed. All borrowed; lists of 0 ask for nothing. */
struct mk_jwt_policy {
    const struct mk_jwt_keys *keys;
    const struct mk_str *issuers; /* iss is one of them */
    size_t n_issuers;
    const struct mk_str *audiences; /* aud is, or holds, one of them */
    size_t n_audiences;
    const struct mk_peer *peer; /* NULL: of nobody in particular; else sub is it in hex, */
    struct mk_str subject;      /*   or this text, if p is not NULL */
    const struct mk_jwt_claim *claims;
    size_t n_claims;
    bool non_expiring;       /* a token without exp is good, and never expires */
    uint64_t max_lifetime_s; /* exp is at most this far ahead; 0: any */
    uint64_t max_age_s;      /* iat, which must be there, is at most this long ago; 0: any */
};

/** 0 and when it expires (UINT64_MAX: never); else MK_EREFUSED or what mk_jwt_verify returns, with
 * the reason. exp: refused from the second on that it names. nbf and iat: 30 s of skew.
 * ret_claims (may be NULL): the payload, appended. */
int mk_jwt_judge(const struct mk_jwt_policy *p, struct mk_bytes token, uint64_t now_ms,
                 uint64_t *ret_expires_ms, struct mk_buf *ret_claims, struct mk_fault *reterr);

/* --- issuing --------------------------------------------------------------------------------- */

/** Appends a token with the header {"alg":ALG,"typ":"JWT"} over the claims, which are JSON text:
 * HS256, HS384, HS512 with a secret. MK_EINVALID, MK_ENOTSUP. */
int mk_jwt_issue_secret(struct mk_buf *out, struct mk_str alg, struct mk_bytes secret,
                        struct mk_bytes claims, struct mk_fault *reterr);
/** The same with EdDSA and a peer's key. */
void mk_jwt_issue(struct mk_buf *out, const struct mk_key *key, struct mk_bytes claims);

#endif /* MOSAIK_JWT_H */
