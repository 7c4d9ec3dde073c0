/* claims.c - what a ticket says, as JSON (spec/services.md, "Ticket issuer").
 *
 * Signatures cover the bytes of the claims as the issuer wrote them, so reading
 * need not demand one canonical text; it demands one meaning: each of the eight
 * keys exactly once, no other key, no type that could be read two ways. We
 * ourselves write the keys in bytewise order without white space. */
#include <mosaik/ticket.h>

#include "base/assert.h"
#include "tickets/json.h"
#include <inttypes.h>
#include <string.h>

static const char *const claim_keys[] = {"aud", "exp", "iat", "iss", "jti", "nbf", "scope", "sub"};
#define CLAIM_KEYS (sizeof claim_keys / sizeof claim_keys[0])

static const char *claims_scope(const struct mk_claims *c)
{
    MK_ASSERT(c->read || c->write);
    if (c->read && c->write)
        return "read write";
    return c->read ? "read" : "write";
}

void mk_claims_format(const struct mk_claims *c, struct mk_buf *out)
{
    char aud[MK_ID_HEX], iss[MK_ID_HEX], sub[MK_ID_HEX], jti[33];

    mk_hex(jti, c->jti, sizeof c->jti);
    mk_buf_printf(out,
                  "{\"aud\":\"%s\",\"exp\":%" PRIu64 ",\"iat\":%" PRIu64
                  ",\"iss\":\"%s\",\"jti\":\"%s\",\"nbf\":%" PRIu64
                  ",\"scope\":\"%s\",\"sub\":\"%s\"}",
                  mk_id_hex(&c->aud, aud), c->exp, c->iat, mk_id_hex(&c->iss, iss), jti, c->nbf,
                  claims_scope(c), mk_peer_hex(&c->sub, sub));
}

/* Names the first key that is not one of ours. */
static int claims_no_others(json_t *o, struct mk_fault *reterr)
{
    const char *key;
    json_t *value;

    json_object_foreach(o, key, value)
    {
        bool known = false;

        for (size_t i = 0; i < CLAIM_KEYS; i++)
            known = known || strcmp(key, claim_keys[i]) == 0;
        if (!known)
            return mk_fault(reterr, MK_EMALFORMED, "claims: unknown key %.64s", key);
    }
    return 0;
}

/* n bytes written as 2n hex digits. */
static int claims_hex(void *ret, size_t n, const json_t *o, const char *key,
                      struct mk_fault *reterr)
{
    struct mk_str s;
    int rv = mk_json_str(&s, o, key, reterr);

    if (rv == 0 && mk_unhex(ret, n, s.p, s.n) != 0)
        rv = mk_fault(reterr, MK_EMALFORMED, "%s is not %zu hex digits", key, 2 * n);
    return rv;
}

static int claims_read_scope(struct mk_claims *c, const json_t *o, struct mk_fault *reterr)
{
    struct mk_str s;
    int rv = mk_json_str(&s, o, "scope", reterr);

    if (rv != 0)
        return rv;
    c->read = mk_str_is(s, "read") || mk_str_is(s, "read write");
    c->write = mk_str_is(s, "write") || mk_str_is(s, "read write");
    if (!c->read && !c->write)
        return mk_fault(reterr, MK_EMALFORMED, "scope is not read, write or read write");
    return 0;
}

/* The times must make sense together, whatever the time is now. */
static int claims_times(const struct mk_claims *c, struct mk_fault *reterr)
{
    if (c->exp <= c->iat || c->exp <= c->nbf)
        return mk_fault(reterr, MK_EMALFORMED, "exp is not after iat and nbf");
    if (c->exp - c->iat > MK_TICKET_DAYS_MAX * UINT64_C(86400))
        return mk_fault(reterr, MK_EMALFORMED, "exp is more than %u days after iat",
                        MK_TICKET_DAYS_MAX);
    return 0;
}

static int claims_fields(struct mk_claims *c, json_t *o, struct mk_fault *reterr)
{
    int rv = claims_no_others(o, reterr);

    if (rv == 0)
        rv = claims_hex(c->iss.b, sizeof c->iss.b, o, "iss", reterr);
    if (rv == 0)
        rv = claims_hex(c->sub.b, sizeof c->sub.b, o, "sub", reterr);
    if (rv == 0)
        rv = claims_hex(c->aud.b, sizeof c->aud.b, o, "aud", reterr);
    if (rv == 0)
        rv = claims_hex(c->jti, sizeof c->jti, o, "jti", reterr);
    if (rv == 0)
        rv = claims_read_scope(c, o, reterr);
    if (rv == 0)
        rv = mk_json_seconds(&c->iat, o, "iat", reterr);
    if (rv == 0)
        rv = mk_json_seconds(&c->nbf, o, "nbf", reterr);
    if (rv == 0)
        rv = mk_json_seconds(&c->exp, o, "exp", reterr);
    if (rv == 0)
        rv = claims_times(c, reterr);
    return rv;
}

int mk_claims_parse(struct mk_claims *ret, struct mk_bytes json, struct mk_fault *reterr)
{
    struct mk_claims c = {0};
    json_t *o;
    int rv;

    if (json.n > MK_TICKET_MAX)
        return mk_fault(reterr, MK_ELIMIT, "claims: longer than %u bytes", MK_TICKET_MAX);
    rv = mk_json_object(&o, json, "claims", reterr);
    if (rv != 0)
        return rv;
    rv = claims_fields(&c, o, reterr);
    json_decref(o);
    if (rv == 0)
        *ret = c;
    return rv;
}
