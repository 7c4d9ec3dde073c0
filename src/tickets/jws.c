/* jws.c - see mosaik/jws.h.
 *
 * 1. Split at exactly two dots. 2. Decode the header, check alg and what it must
 * not hold. 3. Decode the signature, check it over the text "header.payload".
 * 4. Only then is the payload decoded and handed out: nobody reads a word that
 * was not signed.
 *
 * Each algorithm has its own key length, so a key for one can never be taken for
 * a key of another, and a public key can never become a shared secret. */
#include <mosaik/jws.h>

#include "codec/base64url.h"
#include "crypto/ecdsa.h"
#include "tickets/json.h"
#include "tickets/jws.h"
#include <mosaik/key.h>
#include <string.h>

static const char *const alg_names[] = {
#define MK_JWS_ALG_X(name) [MK_JWS_##name] = #name,
    MK_JWS_ALG_MAP(MK_JWS_ALG_X)
#undef MK_JWS_ALG_X
};

int mk_jws_alg_parse(enum mk_jws_alg *ret, struct mk_str name)
{
    for (size_t i = 0; i < sizeof alg_names / sizeof alg_names[0]; i++) {
        if (mk_str_is(name, alg_names[i])) {
            *ret = (enum mk_jws_alg)i;
            return 0;
        }
    }
    return MK_ENOTSUP;
}

const char *mk_jws_alg_name(enum mk_jws_alg alg)
{
    return alg_names[alg];
}

static bool jws_curve(enum mk_curve *ret, enum mk_jws_alg alg)
{
    switch (alg) {
    case MK_JWS_ES256:
        *ret = MK_CURVE_P256;
        return true;
    case MK_JWS_ES256K:
        *ret = MK_CURVE_SECP256K1;
        return true;
    case MK_JWS_ES384:
        *ret = MK_CURVE_P384;
        return true;
    case MK_JWS_ES512:
        *ret = MK_CURVE_P521;
        return true;
    case MK_JWS_EdDSA:
        return false;
    }
    return false;
}

size_t mk_jws_key_len(enum mk_jws_alg alg)
{
    enum mk_curve c;

    return jws_curve(&c, alg) ? 1 + mk_curve_len(c) : sizeof(struct mk_peer);
}

/* The three parts, lent from token. Only the payload may be empty. */
static int jws_split(struct mk_str parts[3], struct mk_bytes token, struct mk_fault *reterr)
{
    const char *p = (const char *)token.p;
    size_t n = 0, start = 0;

    for (size_t i = 0; i <= token.n; i++) {
        if (i < token.n && p[i] != '.')
            continue;
        if (n == 3)
            return mk_fault(reterr, MK_EMALFORMED, "token: more than three parts");
        if (i == start && n != 1)
            return mk_fault(reterr, MK_EMALFORMED, "token: part %zu is empty", n + 1);
        parts[n++] = (struct mk_str){p + start, i - start};
        start = i + 1;
    }
    if (n != 3)
        return mk_fault(reterr, MK_EMALFORMED, "token: not three parts");
    return 0;
}

static int jws_header_rules(struct mk_jws *ret, const json_t *header, struct mk_fault *reterr)
{
    static const char *const refused[] = {"crit", "b64", "enc", "zip"};
    struct mk_str name;
    int rv = mk_json_str(&name, header, "alg", reterr);

    if (rv != 0)
        return rv;
    if (name.n >= sizeof ret->alg || strlen(name.p) != name.n)
        return mk_fault(reterr, MK_EREFUSED, "token: alg is none that is known");
    memcpy(ret->alg, name.p, name.n + 1);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (json_object_get(header, refused[i]) != NULL)
            return mk_fault(reterr, MK_EREFUSED, "token: header %s is not supported", refused[i]);
    }
    return 0;
}

static int jws_header(struct mk_jws *ret, struct mk_str part, struct mk_fault *reterr)
{
    struct mk_buf text = {0};
    json_t *header = NULL;
    int rv = mk_base64url_get(&text, part);

    if (rv != 0)
        mk_fault(reterr, rv, "token: the header is not base64url");
    else
        rv = mk_json_object(&header, mk_buf_bytes(&text), "token header", reterr);
    if (rv == 0)
        rv = jws_header_rules(ret, header, reterr);
    json_decref(header);
    mk_buf_done(&text);
    return rv;
}

int mk_jws_open(struct mk_jws *ret, struct mk_bytes token, struct mk_fault *reterr)
{
    struct mk_str parts[3];
    int rv;

    *ret = (struct mk_jws){.payload = {NULL, 0}};
    if (token.n > MK_JWS_MAX)
        return mk_fault(reterr, MK_ELIMIT, "token: longer than %u bytes", MK_JWS_MAX);
    rv = jws_split(parts, token, reterr);
    if (rv == 0)
        rv = jws_header(ret, parts[0], reterr);
    if (rv != 0)
        return rv;
    if (mk_base64url_get(&ret->signature, parts[2]) != 0) {
        mk_jws_done(ret);
        return mk_fault(reterr, MK_EMALFORMED, "token: the signature is not base64url");
    }
    ret->message = MK_BYTES(parts[0].p, parts[0].n + 1 + parts[1].n);
    ret->payload = parts[1];
    return 0;
}

void mk_jws_done(struct mk_jws *j)
{
    mk_buf_done(&j->signature);
}

int mk_jws_payload(struct mk_buf *ret, const struct mk_jws *j, struct mk_fault *reterr)
{
    if (mk_base64url_get(ret, j->payload) != 0)
        return mk_fault(reterr, MK_EMALFORMED, "token: the payload is not base64url");
    return 0;
}

int mk_jws_signature_check(enum mk_jws_alg alg, struct mk_bytes key, const struct mk_jws *j)
{
    struct mk_bytes signature = mk_buf_bytes(&j->signature);
    enum mk_curve curve;
    struct mk_peer peer;
    struct mk_signature sig;

    if (jws_curve(&curve, alg))
        return mk_ecdsa_verify(curve, key, j->message, signature);
    if (signature.n != sizeof sig.b)
        return MK_ESIGNATURE;
    memcpy(peer.b, key.p, sizeof peer.b);
    memcpy(sig.b, signature.p, sizeof sig.b);
    return mk_verify(&peer, j->message, &sig);
}

int mk_jws_verify(struct mk_buf *ret_payload, struct mk_bytes token, enum mk_jws_alg alg,
                  struct mk_bytes key, struct mk_fault *reterr)
{
    struct mk_jws j;
    int rv;

    if (key.n != mk_jws_key_len(alg))
        return mk_fault(reterr, MK_EINVALID, "a key of %zu bytes is none for %s", key.n,
                        alg_names[alg]);
    rv = mk_jws_open(&j, token, reterr);
    if (rv != 0)
        return rv;
    if (strcmp(j.alg, alg_names[alg]) != 0) {
        rv = mk_fault(reterr, MK_EREFUSED, "token: alg is not %s", alg_names[alg]);
        goto out;
    }
    rv = mk_jws_signature_check(alg, key, &j);
    if (rv != 0) {
        mk_fault(reterr, rv,
                 rv == MK_EINVALID ? "the %s key is no point of its curve"
                                   : "token: the %s signature does not verify",
                 alg_names[alg]);
        goto out;
    }
    rv = mk_jws_payload(ret_payload, &j, reterr);
out:
    mk_jws_done(&j);
    return rv;
}
