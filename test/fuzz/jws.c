/* jws.c - what a bearer shows: base64url, compact tokens, the claims of a ticket. */
#include "codec/base64url.h"
#include "targets.h"

#include <mosaik/jws.h>
#include <mosaik/key.h>
#include <mosaik/ticket.h>
#include <string.h>

/* Each text that is accepted is the one text of its bytes. */
bool fuzz_base64url(const uint8_t *p, size_t n)
{
    struct mk_buf bytes = {0}, text = {0};
    int rv = mk_base64url_get(&bytes, (struct mk_str){(const char *)p, n});

    if (rv == 0) {
        mk_base64url_put(&text, mk_buf_bytes(&bytes));
        FUZZ_CHECK(mk_bytes_eq(mk_buf_bytes(&text), MK_BYTES(p, n)));
    } else {
        FUZZ_CHECK(bytes.n == 0);
    }
    mk_buf_done(&bytes);
    mk_buf_done(&text);
    return rv == 0;
}

void fuzz_make_base64url(struct fuzz_random *r, struct mk_buf *out)
{
    uint8_t bytes[40];
    size_t n = fuzz_below(r, sizeof bytes);

    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)fuzz_u64(r);
    mk_base64url_put(out, MK_BYTES(bytes, n));
}

static void fixed_key(struct mk_key *ret)
{
    static const uint8_t seed[32] = "a key that everybody may know...";

    mk_key_from_seed(ret, seed);
}

bool fuzz_jws(const uint8_t *p, size_t n)
{
    struct mk_buf payload = {0};
    struct mk_fault fault = {{0}};
    struct mk_key key;
    int rv;

    fixed_key(&key);
    rv = mk_jws_verify(&payload, MK_BYTES(p, n), MK_JWS_EdDSA, MK_BYTES(key.peer.b, 32), &fault);
    FUZZ_CHECK((rv == 0) == (fault.text[0] == '\0'));
    FUZZ_CHECK(rv == 0 || payload.n == 0);
    mk_buf_done(&payload);
    mk_key_done(&key);
    return rv == 0;
}

void fuzz_make_jws(struct fuzz_random *r, struct mk_buf *out)
{
    static const char *const headers[] = {"{\"alg\":\"EdDSA\"}",
                                          "{ \"typ\": \"JWT\", \"alg\": \"EdDSA\", \"kid\": 3 }"};
    const char *header = headers[fuzz_below(r, 2)];
    struct mk_signature signature;
    struct mk_buf payload = {0};
    struct mk_key key;

    mk_buf_printf(&payload, "{\"exp\":%llu}", (unsigned long long)fuzz_odd_number(r));
    mk_base64url_put(out, MK_BYTES(header, strlen(header)));
    mk_buf_put_u8(out, '.');
    mk_base64url_put(out, mk_buf_bytes(&payload));
    fixed_key(&key);
    mk_sign(&key, mk_buf_bytes(out), &signature);
    mk_buf_put_u8(out, '.');
    mk_base64url_put(out, MK_BYTES(signature.b, sizeof signature.b));
    mk_buf_done(&payload);
    mk_key_done(&key);
}

/* What is accepted says the same when it is written and read again. */
bool fuzz_claims(const uint8_t *p, size_t n)
{
    struct mk_claims claims, again;
    struct mk_fault fault = {{0}};
    struct mk_buf text = {0}, text2 = {0};

    if (mk_claims_parse(&claims, MK_BYTES(p, n), &fault) != 0) {
        FUZZ_CHECK(fault.text[0] != '\0');
        return false;
    }
    mk_claims_format(&claims, &text);
    FUZZ_CHECK(mk_claims_parse(&again, mk_buf_bytes(&text), &fault) == 0);
    mk_claims_format(&again, &text2);
    FUZZ_CHECK(mk_bytes_eq(mk_buf_bytes(&text), mk_buf_bytes(&text2)));
    FUZZ_CHECK(claims.exp - claims.iat <= MK_TICKET_DAYS_MAX * 86400u);
    mk_buf_done(&text);
    mk_buf_done(&text2);
    return true;
}

void fuzz_make_claims(struct fuzz_random *r, struct mk_buf *out)
{
    struct mk_claims claims = {.read = true, .write = fuzz_below(r, 2)};

    for (unsigned i = 0; i < 32; i++) {
        claims.iss.b[i] = (uint8_t)fuzz_u64(r);
        claims.sub.b[i] = (uint8_t)fuzz_u64(r);
        claims.aud.b[i] = (uint8_t)fuzz_u64(r);
        claims.jti[i / 2] = (uint8_t)fuzz_u64(r);
    }
    claims.iat = fuzz_below(r, 4000000000u);
    claims.nbf = claims.iat + fuzz_below(r, 1000);
    claims.exp = claims.nbf + 1 + fuzz_below(r, 80 * 86400u);
    mk_claims_format(&claims, out);
}
