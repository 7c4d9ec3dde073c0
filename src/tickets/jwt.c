/* jwt.c - a foreign issuer's JWT against the clause RequireJwt.
 *
 * The signature is checked first, with the algorithm and key of the clause; then
 * iss, aud, sub and the times. sub is the peer itself, whose possession of the
 * key TLS has proved: a token that somebody else took is worth nothing. */
#include <mosaik/ticket.h>

#include "tickets/json.h"
#include "tickets/times.h"
#include <mosaik/jws.h>

#define JWT_AUDIENCES_MAX 16u

static int jwt_issuer(const json_t *o, struct mk_str issuer, struct mk_fault *reterr)
{
    struct mk_str iss;
    int rv = mk_json_str(&iss, o, "iss", reterr);

    if (rv == 0 && !mk_str_eq(iss, issuer))
        rv = mk_fault(reterr, MK_EREFUSED, "the token's iss is another issuer");
    return rv;
}

static bool jwt_names(const json_t *v, const struct mk_id *aud)
{
    struct mk_id id;

    return json_is_string(v) &&
           mk_id_unhex(&id, (struct mk_str){json_string_value(v), json_string_length(v)}) == 0 &&
           mk_id_eq(&id, aud);
}

/* RFC 7519 4.1.3: one string, or an array of strings that holds it. */
static int jwt_audience(const json_t *o, const struct mk_id *aud, struct mk_fault *reterr)
{
    const json_t *v = json_object_get(o, "aud");
    bool named = jwt_names(v, aud);

    if (v == NULL)
        return mk_fault(reterr, MK_EREFUSED, "aud is missing");
    if (json_array_size(v) > JWT_AUDIENCES_MAX)
        return mk_fault(reterr, MK_EREFUSED, "aud has more than %u entries", JWT_AUDIENCES_MAX);
    for (size_t i = 0; i < json_array_size(v); i++)
        named = named || jwt_names(json_array_get(v, i), aud);
    if (!named)
        return mk_fault(reterr, MK_EREFUSED, "the token's aud is another component");
    return 0;
}

static int jwt_subject(const json_t *o, const struct mk_peer *sub, struct mk_fault *reterr)
{
    struct mk_str s;
    struct mk_peer peer;
    int rv = mk_json_str(&s, o, "sub", reterr);

    if (rv == 0 && (mk_peer_unhex(&peer, s) != 0 || !mk_peer_eq(&peer, sub)))
        rv = mk_fault(reterr, MK_EREFUSED, "the token's sub is another peer");
    return rv;
}

static int jwt_times(const json_t *o, uint64_t now_ms, uint64_t *ret_exp, struct mk_fault *reterr)
{
    uint64_t exp, iat, nbf = 0;
    int rv = mk_json_seconds(&exp, o, "exp", reterr);

    if (rv == 0 && json_object_get(o, "nbf") != NULL)
        rv = mk_json_seconds(&nbf, o, "nbf", reterr);
    if (rv == 0 && json_object_get(o, "iat") != NULL)
        rv = mk_json_seconds(&iat, o, "iat", reterr);
    if (rv == 0)
        rv = mk_ticket_times("token", nbf, exp, now_ms, reterr);
    if (rv == 0)
        *ret_exp = exp;
    return rv;
}

int mk_jwt_check(struct mk_bytes token, struct mk_str issuer, struct mk_str algorithm,
                 struct mk_bytes key, const struct mk_id *aud, const struct mk_peer *sub,
                 uint64_t now_ms, uint64_t *ret_exp_ms, struct mk_fault *reterr)
{
    struct mk_buf payload = {0};
    enum mk_jws_alg alg;
    json_t *o = NULL;
    uint64_t exp = 0;
    int rv;

    if (mk_jws_alg_parse(&alg, algorithm) != 0)
        return mk_fault(reterr, MK_EREFUSED, "the clause's algorithm is not supported");
    rv = mk_jws_verify(&payload, token, alg, key, reterr);
    if (rv == 0)
        rv = mk_json_object(&o, mk_buf_bytes(&payload), "token payload", reterr);
    if (rv == 0)
        rv = jwt_issuer(o, issuer, reterr);
    if (rv == 0)
        rv = jwt_audience(o, aud, reterr);
    if (rv == 0)
        rv = jwt_subject(o, sub, reterr);
    if (rv == 0)
        rv = jwt_times(o, now_ms, &exp, reterr);
    json_decref(o);
    mk_buf_done(&payload);
    if (rv == 0)
        *ret_exp_ms = exp * 1000;
    return rv == 0 ? 0 : MK_EREFUSED;
}
