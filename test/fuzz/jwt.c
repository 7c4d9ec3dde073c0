/* jwt.c - keys of other people, and their tokens under a secret. */
#include "codec/base64url.h"
#include "targets.h"

#include <mosaik/jwt.h>
#include <stdlib.h>
#include <string.h>

/* A key that is taken verifies nothing that it did not sign. */
bool fuzz_jwk(const uint8_t *p, size_t n)
{
    static const char forged[] = "eyJhbGciOiJIUzI1NiJ9.e30.AAAA";
    struct mk_jwt_keys *keys = mk_jwt_keys_new();
    struct mk_buf payload = {0};
    struct mk_fault fault = {{0}};
    int rv = mk_jwt_keys_add_jwk(keys, MK_BYTES(p, n), &fault);

    FUZZ_CHECK((rv == 0) == (fault.text[0] == '\0'));
    FUZZ_CHECK(mk_jwt_verify(keys, &payload, MK_BYTES(forged, sizeof forged - 1), NULL) != 0);
    FUZZ_CHECK(payload.n == 0);
    mk_jwt_keys_free(keys);
    return rv == 0;
}

void fuzz_make_jwk(struct fuzz_random *r, struct mk_buf *out)
{
    static const char *const algs[] = {"HS256", "HS384", "EdDSA"};
    uint64_t kind = fuzz_below(r, 3);
    uint8_t bytes[64];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)fuzz_u64(r);
    mk_buf_printf(out, "{\"kty\":\"%s\",\"alg\":\"%s\",%s:\"",
                  kind == 2 ? "OKP\",\"crv\":\"Ed25519" : "oct", algs[kind],
                  kind == 2 ? "\"x\"" : "\"k\"");
    mk_base64url_put(out, MK_BYTES(bytes, kind == 2 ? 32 : sizeof bytes));
    mk_buf_put_str(out, "\"}");
}

static const uint8_t secret[32] = "a secret that everybody may know";

static struct mk_jwt_keys *fixed_keys(void)
{
    struct mk_jwt_keys *keys = mk_jwt_keys_new();

    FUZZ_CHECK(mk_jwt_keys_add(keys, MK_STR("HS256"), MK_BYTES(secret, sizeof secret), NULL) == 0);
    return keys;
}

bool fuzz_jwt(const uint8_t *p, size_t n)
{
    struct mk_jwt_keys *keys = fixed_keys();
    struct mk_str audience = MK_STR("x");
    struct mk_jwt_policy policy = {
        .keys = keys, .audiences = &audience, .n_audiences = 1, .max_age_s = 1000};
    struct mk_buf claims = {0};
    uint64_t expires = 0;
    int rv = mk_jwt_judge(&policy, MK_BYTES(p, n), 1000, &expires, &claims, NULL);

    FUZZ_CHECK((rv == 0) == (expires > 1000));
    FUZZ_CHECK(rv == 0 || claims.n == 0);
    mk_buf_done(&claims);
    mk_jwt_keys_free(keys);
    return rv == 0;
}

void fuzz_make_jwt(struct fuzz_random *r, struct mk_buf *out)
{
    struct mk_buf claims = {0};

    mk_buf_printf(&claims, "{\"exp\":%llu,\"iat\":%llu,\"aud\":%s}",
                  (unsigned long long)(2 + fuzz_below(r, 1ull << 37)),
                  (unsigned long long)fuzz_below(r, 30),
                  fuzz_below(r, 2) == 0 ? "\"x\"" : "[\"y\",\"x\"]");
    FUZZ_CHECK(mk_jwt_issue_secret(out, MK_STR("HS256"), MK_BYTES(secret, sizeof secret),
                                   mk_buf_bytes(&claims), NULL) == 0);
    mk_buf_done(&claims);
}
