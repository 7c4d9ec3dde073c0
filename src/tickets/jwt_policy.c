/* jwt_policy.c - a token against a validator of one's own: the signature first, then what
 * the claims say (mosaik/jwt.h). Nothing of the claims is read before they are known to be
 * signed. */
#include <mosaik/jwt.h>

#include "tickets/json.h"
#include "tickets/times.h"

#include <string.h>

#define AUDIENCES_MAX 16u

static bool is_one_of(const json_t *v, const struct mk_str *list, size_t n)
{
    for (size_t i = 0; i < n && json_is_string(v); i++)
        if (mk_str_eq((struct mk_str){json_string_value(v), json_string_length(v)}, list[i]))
            return true;
    return false;
}

static int judge_issuer(const struct mk_jwt_policy *p, const json_t *o, struct mk_fault *reterr)
{
    if (p->n_issuers == 0 || is_one_of(json_object_get(o, "iss"), p->issuers, p->n_issuers))
        return 0;
    return mk_fault(reterr, MK_EREFUSED, "the token's iss is missing or another issuer");
}

static int judge_audience(const struct mk_jwt_policy *p, const json_t *o, struct mk_fault *reterr)
{
    const json_t *aud = json_object_get(o, "aud"), *v;
    bool named = is_one_of(aud, p->audiences, p->n_audiences);
    size_t i;

    if (p->n_audiences == 0)
        return 0;
    if (json_array_size(aud) > AUDIENCES_MAX)
        return mk_fault(reterr, MK_EREFUSED, "aud has more than %u entries", AUDIENCES_MAX);
    json_array_foreach(aud, i, v)
    {
        named = named || is_one_of(v, p->audiences, p->n_audiences);
    }
    return named ? 0 : mk_fault(reterr, MK_EREFUSED, "the token's aud is missing or another one");
}

static int judge_subject(const struct mk_jwt_policy *p, const json_t *o, struct mk_fault *reterr)
{
    const json_t *sub = json_object_get(o, "sub");
    char hex[MK_ID_HEX];
    struct mk_str want = p->subject;

    if (want.p == NULL && p->peer == NULL)
        return 0;
    if (want.p == NULL)
        want = mk_str_of(mk_peer_hex(p->peer, hex));
    if (is_one_of(sub, &want, 1))
        return 0;
    return mk_fault(reterr, MK_EREFUSED, "the token's sub is missing or somebody else");
}

static int judge_claims(const struct mk_jwt_policy *p, const json_t *o, struct mk_fault *reterr)
{
    for (size_t i = 0; i < p->n_claims; i++) {
        const struct mk_jwt_claim *c = &p->claims[i];
        json_t *want = json_loadb(c->json.p, c->json.n, JSON_DECODE_ANY, NULL);
        json_t *is = json_object_getn(o, c->name.p, c->name.n);
        bool equal = want != NULL && is != NULL && json_equal(want, is) == 1;

        json_decref(want);
        if (!equal)
            return mk_fault(reterr, MK_EREFUSED, "the token's claim %.*s is missing or another",
                            (int)(c->name.n < 64 ? c->name.n : 64), c->name.p);
    }
    return 0;
}

/* 0 and *ret, which stays as it is when the claim is not there. */
static int seconds(uint64_t *ret, const json_t *o, const char *key, struct mk_fault *reterr)
{
    return json_object_get(o, key) == NULL ? 0 : mk_json_seconds(ret, o, key, reterr);
}

static int judge_times(const struct mk_jwt_policy *p, const json_t *o, uint64_t now_ms,
                       uint64_t *ret_exp, struct mk_fault *reterr)
{
    const uint64_t never = MK_JSON_SECONDS_MAX + 1;
    uint64_t exp = never, nbf = 0, iat = 0, now = now_ms / 1000;
    int rv = seconds(&exp, o, "exp", reterr);

    if (rv == 0)
        rv = seconds(&nbf, o, "nbf", reterr);
    if (rv == 0)
        rv = seconds(&iat, o, "iat", reterr);
    if (rv != 0)
        return rv;
    if (exp == never && !p->non_expiring)
        return mk_fault(reterr, MK_EREFUSED, "the token has no exp");
    rv = mk_ticket_times("token", nbf, exp, now_ms, reterr);
    if (rv != 0)
        return rv;
    if (p->max_lifetime_s > 0 && (exp == never || exp - now > p->max_lifetime_s))
        return mk_fault(reterr, MK_EREFUSED, "the token lives longer than %llu s",
                        (unsigned long long)p->max_lifetime_s);
    if (iat > 0 && iat * 1000 > now_ms + MK_TICKET_SKEW_MS)
        return mk_fault(reterr, MK_EREFUSED, "the token's iat is in the future");
    if (p->max_age_s > 0 && json_object_get(o, "iat") == NULL)
        return mk_fault(reterr, MK_EREFUSED, "the token has no iat");
    if (p->max_age_s > 0 && now > iat && now - iat > p->max_age_s)
        return mk_fault(reterr, MK_EREFUSED, "the token is older than %llu s",
                        (unsigned long long)p->max_age_s);
    *ret_exp = exp == never ? UINT64_MAX : exp * 1000;
    return 0;
}

static int judge(const struct mk_jwt_policy *p, struct mk_bytes payload, uint64_t now_ms,
                 uint64_t *ret_exp, struct mk_fault *reterr)
{
    json_t *o;
    int rv = mk_json_object(&o, payload, "token payload", reterr);

    if (rv != 0)
        return rv;
    rv = judge_issuer(p, o, reterr);
    if (rv == 0)
        rv = judge_subject(p, o, reterr);
    if (rv == 0)
        rv = judge_times(p, o, now_ms, ret_exp, reterr);
    if (rv == 0)
        rv = judge_audience(p, o, reterr);
    if (rv == 0)
        rv = judge_claims(p, o, reterr);
    json_decref(o);
    return rv;
}

int mk_jwt_judge(const struct mk_jwt_policy *p, struct mk_bytes token, uint64_t now_ms,
                 uint64_t *ret_expires_ms, struct mk_buf *ret_claims, struct mk_fault *reterr)
{
    struct mk_buf payload = {0};
    uint64_t expires_ms = 0;
    int rv = mk_jwt_verify(p->keys, &payload, token, reterr);

    if (rv == 0)
        rv = judge(p, mk_buf_bytes(&payload), now_ms, &expires_ms, reterr);
    if (rv == 0)
        *ret_expires_ms = expires_ms;
    if (rv == 0 && ret_claims != NULL)
        mk_buf_put(ret_claims, payload.p, payload.n);
    mk_buf_done(&payload);
    return rv;
}
