/* jwk.c - sets of verification keys, and a token under one of them (mosaik/jwt.h).
 *
 * A key is of one kind and knows the algorithms that it may serve; the kinds share no
 * algorithm. So when a token says HS256 and the set holds somebody's public key, no key
 * fits, whatever bytes that key has. */
#include <mosaik/jwt.h>

#include "codec/base64url.h"
#include "crypto/ecdsa.h"
#include "crypto/rsa.h"
#include "tickets/json.h"
#include "tickets/jws.h"

#include <string.h>

enum kind { KIND_SECRET, KIND_PUBLIC /* a point or a peer */, KIND_RSA };

struct algorithm {
    const char *name;
    enum kind kind;
    enum mk_jws_alg public_alg; /* KIND_PUBLIC */
    enum mk_sha sha;
    bool pss;
};
static const struct algorithm algorithms[] = {
    {"HS256", KIND_SECRET, 0, MK_SHA256, false},
    {"HS384", KIND_SECRET, 0, MK_SHA384, false},
    {"HS512", KIND_SECRET, 0, MK_SHA512, false},
    {"ES256", KIND_PUBLIC, MK_JWS_ES256, 0, false},
    {"ES256K", KIND_PUBLIC, MK_JWS_ES256K, 0, false},
    {"ES384", KIND_PUBLIC, MK_JWS_ES384, 0, false},
    {"ES512", KIND_PUBLIC, MK_JWS_ES512, 0, false},
    {"EdDSA", KIND_PUBLIC, MK_JWS_EdDSA, 0, false},
    {"RS256", KIND_RSA, 0, MK_SHA256, false},
    {"RS384", KIND_RSA, 0, MK_SHA384, false},
    {"RS512", KIND_RSA, 0, MK_SHA512, false},
    {"PS256", KIND_RSA, 0, MK_SHA256, true},
    {"PS384", KIND_RSA, 0, MK_SHA384, true},
    {"PS512", KIND_RSA, 0, MK_SHA512, true},
};
#define N_ALGORITHMS (unsigned)(sizeof algorithms / sizeof algorithms[0])

struct key {
    enum kind kind;
    uint32_t algs;       /* bits of algorithms[] that it may serve */
    struct mk_buf bytes; /* the secret, the point, or the modulus */
    struct mk_buf e;     /* RSA */
};

struct mk_jwt_keys {
    struct key v[MK_JWT_KEYS_MAX];
    size_t n;
    uint32_t allowed; /* bits; 0: all */
};

static int algorithm_of(struct mk_str name, unsigned *ret)
{
    for (unsigned i = 0; i < N_ALGORITHMS; i++)
        if (mk_str_is(name, algorithms[i].name)) {
            *ret = i;
            return 0;
        }
    return MK_ENOTSUP;
}

struct mk_jwt_keys *mk_jwt_keys_new(void)
{
    return mk_alloc(sizeof(struct mk_jwt_keys));
}

static void key_done(struct key *k)
{
    if (k->bytes.n > 0)
        mk_wipe(k->bytes.p, k->bytes.n);
    mk_buf_done(&k->bytes);
    mk_buf_done(&k->e);
}

void mk_jwt_keys_free(struct mk_jwt_keys *k)
{
    if (k == NULL)
        return;
    for (size_t i = 0; i < k->n; i++)
        key_done(&k->v[i]);
    mk_free(k);
}

int mk_jwt_keys_allow(struct mk_jwt_keys *k, struct mk_str alg, struct mk_fault *reterr)
{
    unsigned a;

    if (algorithm_of(alg, &a) != 0)
        return mk_fault(reterr, MK_ENOTSUP, "%.*s is no algorithm that is supported",
                        (int)(alg.n < 32 ? alg.n : 32), alg.p);
    k->allowed |= 1u << a;
    return 0;
}

/* --- rules of a key -------------------------------------------------------------------------- */

/* The algorithms of `algs` that these bytes can serve. */
static uint32_t fitting(enum kind kind, uint32_t algs, size_t n)
{
    uint32_t fit = 0;

    for (unsigned i = 0; i < N_ALGORITHMS; i++) {
        const struct algorithm *a = &algorithms[i];

        if ((algs >> i & 1) == 0 || a->kind != kind)
            continue;
        if (kind == KIND_RSA || (kind == KIND_SECRET && n >= mk_sha_len(a->sha)) ||
            (kind == KIND_PUBLIC && n == mk_jws_key_len(a->public_alg)))
            fit |= 1u << i;
    }
    return fit;
}

/* Takes k, or says why not. */
static int keys_take(struct mk_jwt_keys *keys, struct key *k, struct mk_fault *reterr)
{
    struct mk_rsa rsa = {mk_buf_bytes(&k->bytes), mk_buf_bytes(&k->e)};
    int rv = 0;

    k->algs = fitting(k->kind, k->algs, k->bytes.n);
    if (keys->n == MK_JWT_KEYS_MAX)
        rv = mk_fault(reterr, MK_ELIMIT, "more than %u keys", MK_JWT_KEYS_MAX);
    else if (k->kind == KIND_SECRET && k->bytes.n > MK_JWT_SECRET_MAX)
        rv = mk_fault(reterr, MK_EINVALID, "the secret has more than %u bytes", MK_JWT_SECRET_MAX);
    else if (k->algs == 0)
        rv =
            mk_fault(reterr, MK_EINVALID,
                     k->kind == KIND_SECRET ? "the secret is shorter than the hash of its algorithm"
                                            : "the key is of another kind than its algorithm");
    else if (k->kind == KIND_RSA)
        rv = mk_rsa_key_check(&rsa, reterr);
    if (rv == 0)
        keys->v[keys->n++] = *k;
    else
        key_done(k);
    return rv;
}

int mk_jwt_keys_add(struct mk_jwt_keys *keys, struct mk_str alg, struct mk_bytes bytes,
                    struct mk_fault *reterr)
{
    struct key k = {0};
    unsigned a;

    if (algorithm_of(alg, &a) != 0 || algorithms[a].kind == KIND_RSA)
        return mk_fault(reterr, MK_ENOTSUP, "%.*s takes no plain key",
                        (int)(alg.n < 32 ? alg.n : 32), alg.p);
    k.kind = algorithms[a].kind;
    k.algs = 1u << a;
    mk_buf_put(&k.bytes, bytes.p, bytes.n);
    return keys_take(keys, &k, reterr);
}

/* --- JWK ----------------------------------------------------------------------------------------
 */

static int jwk_bytes(struct mk_buf *ret, const json_t *o, const char *name, struct mk_fault *reterr)
{
    struct mk_str text;
    int rv = mk_json_str(&text, o, name, reterr);

    if (rv == 0 && mk_base64url_get(ret, text) != 0)
        rv = mk_fault(reterr, MK_EMALFORMED, "%s is not base64url", name);
    return rv;
}

static int jwk_point(struct key *k, const json_t *o, struct mk_str crv, struct mk_fault *reterr)
{
    static const struct {
        const char *name;
        enum mk_curve curve;
    } curves[] = {{"P-256", MK_CURVE_P256},
                  {"secp256k1", MK_CURVE_SECP256K1},
                  {"P-384", MK_CURVE_P384},
                  {"P-521", MK_CURVE_P521}};
    struct mk_buf x = {0}, y = {0};
    size_t i = 0;
    int rv;

    while (i < 4 && !mk_str_is(crv, curves[i].name))
        i++;
    if (i == 4)
        return mk_fault(reterr, MK_ENOTSUP, "crv is no curve that is supported");
    rv = jwk_bytes(&x, o, "x", reterr);
    if (rv == 0)
        rv = jwk_bytes(&y, o, "y", reterr);
    if (rv == 0 &&
        (x.n != mk_curve_len(curves[i].curve) || y.n != x.n ||
         mk_ecdsa_compress(curves[i].curve, mk_buf_grow(&k->bytes, 1 + x.n), x.p, y.p) != 0))
        rv = mk_fault(reterr, MK_EINVALID, "x, y are no point of %s", curves[i].name);
    mk_buf_done(&x);
    mk_buf_done(&y);
    /* Lengths tell three curves apart, and not the two of 32 bytes. */
    k->algs = mk_str_is(crv, "secp256k1") ? 1u << 4 : ~(1u << 4);
    return rv;
}

static int jwk_material(struct key *k, const json_t *o, struct mk_fault *reterr)
{
    struct mk_str kty, crv;
    int rv = mk_json_str(&kty, o, "kty", reterr);

    if (rv != 0)
        return rv;
    k->algs = ~0u;
    if (mk_str_is(kty, "oct")) {
        k->kind = KIND_SECRET;
        return jwk_bytes(&k->bytes, o, "k", reterr);
    }
    if (mk_str_is(kty, "RSA")) {
        k->kind = KIND_RSA;
        rv = jwk_bytes(&k->bytes, o, "n", reterr);
        return rv != 0 ? rv : jwk_bytes(&k->e, o, "e", reterr);
    }
    k->kind = KIND_PUBLIC;
    if (!mk_str_is(kty, "EC") && !mk_str_is(kty, "OKP"))
        return mk_fault(reterr, MK_ENOTSUP, "kty is none that is supported");
    rv = mk_json_str(&crv, o, "crv", reterr);
    if (rv != 0)
        return rv;
    if (mk_str_is(kty, "EC"))
        return jwk_point(k, o, crv, reterr);
    if (!mk_str_is(crv, "Ed25519"))
        return mk_fault(reterr, MK_ENOTSUP, "crv is no curve that is supported");
    return jwk_bytes(&k->bytes, o, "x", reterr);
}

/* RFC 7517 4.2, 4.3: is it a key for verifying signatures? */
static int jwk_purpose(const json_t *o, struct mk_fault *reterr)
{
    const json_t *use = json_object_get(o, "use"), *ops = json_object_get(o, "key_ops"), *v;
    bool verifies = ops == NULL;
    size_t i;

    if (use != NULL && (!json_is_string(use) || strcmp(json_string_value(use), "sig") != 0))
        return mk_fault(reterr, MK_EINVALID, "the key's use is not sig");
    json_array_foreach(ops, i, v)
    {
        verifies = verifies || (json_is_string(v) && strcmp(json_string_value(v), "verify") == 0);
    }
    return verifies ? 0 : mk_fault(reterr, MK_EINVALID, "the key's key_ops do not hold verify");
}

/* Keeps of k->algs what the JWK's alg says. ES521 is how some spell ES512. */
static int jwk_algorithm(struct key *k, const json_t *o, struct mk_fault *reterr)
{
    struct mk_str alg;
    unsigned a;
    int rv;

    if (json_object_get(o, "alg") == NULL)
        return 0;
    rv = mk_json_str(&alg, o, "alg", reterr);
    if (rv != 0)
        return rv;
    if (algorithm_of(mk_str_is(alg, "ES521") ? mk_str_of("ES512") : alg, &a) != 0)
        return mk_fault(reterr, MK_ENOTSUP, "the key's alg is none that is supported");
    k->algs &= 1u << a;
    return 0;
}

static int keys_add_one(struct mk_jwt_keys *keys, const json_t *o, struct mk_fault *reterr)
{
    struct key k = {0};
    int rv;

    if (!json_is_object(o))
        return mk_fault(reterr, MK_EMALFORMED, "a key is not a JSON object");
    rv = jwk_purpose(o, reterr);
    if (rv == 0)
        rv = jwk_material(&k, o, reterr);
    if (rv == 0)
        rv = jwk_algorithm(&k, o, reterr);
    if (rv == 0)
        return keys_take(keys, &k, reterr);
    key_done(&k);
    return rv;
}

static int keys_add_set(struct mk_jwt_keys *keys, const json_t *set, struct mk_fault *reterr)
{
    bool secret = false, other = false;
    const json_t *o;
    size_t i;
    int rv = 0;

    if (!json_is_array(set) || json_array_size(set) == 0)
        return mk_fault(reterr, MK_EMALFORMED, "keys is not a list of keys");
    json_array_foreach(set, i, o)
    {
        size_t before = keys->n;

        rv = keys_add_one(keys, o, reterr);
        if (rv != 0)
            return rv;
        if (keys->n > before && keys->v[before].kind == KIND_SECRET)
            secret = true;
        else
            other = true;
    }
    if (secret && other)
        return mk_fault(reterr, MK_EINVALID, "the set mixes secrets with public keys");
    return 0;
}

int mk_jwt_keys_add_jwk(struct mk_jwt_keys *keys, struct mk_bytes json, struct mk_fault *reterr)
{
    size_t before = keys->n;
    json_t *o;
    int rv;

    if (json.n > MK_JWT_JWK_MAX)
        return mk_fault(reterr, MK_ELIMIT, "the JWK is longer than %u bytes", MK_JWT_JWK_MAX);
    rv = mk_json_object(&o, json, "JWK", reterr);
    if (rv != 0)
        return rv;
    rv = json_object_get(o, "keys") != NULL ? keys_add_set(keys, json_object_get(o, "keys"), reterr)
                                            : keys_add_one(keys, o, reterr);
    json_decref(o);
    while (rv != 0 && keys->n > before)
        key_done(&keys->v[--keys->n]);
    return rv;
}

/* --- verifying
 * ------------------------------------------------------------------------------------- */

static int key_verify(const struct key *k, const struct algorithm *a, const struct mk_jws *j)
{
    struct mk_bytes bytes = mk_buf_bytes(&k->bytes), signature = mk_buf_bytes(&j->signature);

    switch (k->kind) {
    case KIND_SECRET:
        return mk_hmac_check(a->sha, bytes, j->message, signature) ? 0 : MK_ESIGNATURE;
    case KIND_PUBLIC:
        return mk_jws_signature_check(a->public_alg, bytes, j);
    case KIND_RSA:
        return mk_rsa_verify(&(struct mk_rsa){bytes, mk_buf_bytes(&k->e)}, a->sha, a->pss,
                             j->message, signature);
    }
    return MK_ESIGNATURE;
}

static int keys_verify(const struct mk_jwt_keys *keys, const struct mk_jws *j,
                       struct mk_fault *reterr)
{
    bool tried = false;
    unsigned a;

    if (algorithm_of(mk_str_of(j->alg), &a) != 0)
        return mk_fault(reterr, MK_EREFUSED, "token: alg %s is not supported", j->alg);
    if (keys->allowed != 0 && (keys->allowed >> a & 1) == 0)
        return mk_fault(reterr, MK_EREFUSED, "token: alg %s is not allowed", j->alg);
    for (size_t i = 0; i < keys->n; i++) {
        if ((keys->v[i].algs >> a & 1) == 0)
            continue;
        tried = true;
        if (key_verify(&keys->v[i], &algorithms[a], j) == 0)
            return 0;
    }
    if (!tried)
        return mk_fault(reterr, MK_EREFUSED, "token: alg is %s, and no key is for that", j->alg);
    return mk_fault(reterr, MK_ESIGNATURE, "token: the %s signature does not verify", j->alg);
}

int mk_jwt_verify(const struct mk_jwt_keys *k, struct mk_buf *ret_payload, struct mk_bytes token,
                  struct mk_fault *reterr)
{
    struct mk_jws j;
    int rv = mk_jws_open(&j, token, reterr);

    if (rv != 0)
        return rv;
    rv = keys_verify(k, &j, reterr);
    if (rv == 0)
        rv = mk_jws_payload(ret_payload, &j, reterr);
    mk_jws_done(&j);
    return rv;
}

/* --- issuing
 * ---------------------------------------------------------------------------------------- */

static void put_text(struct mk_buf *out, struct mk_str alg, struct mk_bytes claims)
{
    struct mk_buf header = {0};

    mk_buf_printf(&header, "{\"alg\":\"%.*s\",\"typ\":\"JWT\"}", (int)alg.n, alg.p);
    mk_base64url_put(out, mk_buf_bytes(&header));
    mk_buf_put_u8(out, '.');
    mk_base64url_put(out, claims);
    mk_buf_done(&header);
}

int mk_jwt_issue_secret(struct mk_buf *out, struct mk_str alg, struct mk_bytes secret,
                        struct mk_bytes claims, struct mk_fault *reterr)
{
    uint8_t mac[MK_SHA_LEN_MAX];
    size_t start = out->n;
    unsigned a;

    if (algorithm_of(alg, &a) != 0 || algorithms[a].kind != KIND_SECRET)
        return mk_fault(reterr, MK_ENOTSUP, "%.*s takes no secret", (int)(alg.n < 32 ? alg.n : 32),
                        alg.p);
    if (secret.n < mk_sha_len(algorithms[a].sha) || secret.n > MK_JWT_SECRET_MAX)
        return mk_fault(reterr, MK_EINVALID, "a secret for %s has %zu to %u bytes",
                        algorithms[a].name, mk_sha_len(algorithms[a].sha), MK_JWT_SECRET_MAX);
    put_text(out, alg, claims);
    mk_hmac(algorithms[a].sha, secret, MK_BYTES(out->p + start, out->n - start), mac);
    mk_buf_put_u8(out, '.');
    mk_base64url_put(out, MK_BYTES(mac, mk_sha_len(algorithms[a].sha)));
    return 0;
}

void mk_jwt_issue(struct mk_buf *out, const struct mk_key *key, struct mk_bytes claims)
{
    struct mk_signature sig;
    size_t start = out->n;

    put_text(out, MK_STR("EdDSA"), claims);
    mk_sign(key, MK_BYTES(out->p + start, out->n - start), &sig);
    mk_buf_put_u8(out, '.');
    mk_base64url_put(out, MK_BYTES(sig.b, sizeof sig.b));
}
