/* test_jws.c - compact JWS: what the standards print, what must be refused, and
 * the cases of others (skipped where they are not there). */
#include "vectors.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "codec/base64url.h"
#include "crypto/ecdsa.h"
#include <mosaik/jws.h>
#include <mosaik/key.h>

/* --- helpers --------------------------------------------------------------------- */

/* A key as a JWK names it, in the form that a clause holds. */
struct key {
    enum mk_jws_alg alg;
    uint8_t b[67];
    size_t n;
};

static void key_coordinate(uint8_t *out, size_t len, const char *text)
{
    struct mk_buf b = {0};

    assert_int_equal(mk_base64url_get(&b, mk_str_of(text)), 0);
    assert_int_equal(b.n, len);
    memcpy(out, b.p, len);
    mk_buf_done(&b);
}

static struct key key_of_jwk(enum mk_jws_alg alg, const char *x, const char *y)
{
    struct key k = {.alg = alg, .n = mk_jws_key_len(alg)};
    uint8_t last[66];

    if (alg == MK_JWS_EdDSA) {
        key_coordinate(k.b, 32, x);
        return k;
    }
    key_coordinate(k.b + 1, k.n - 1, x);
    key_coordinate(last, k.n - 1, y);
    k.b[0] = (uint8_t)(2 + (last[k.n - 2] & 1));
    return k;
}

static int verify(const char *token, const struct key *k, char *ret_payload, size_t room)
{
    struct mk_buf payload = {0};
    struct mk_fault fault = {{0}};
    int rv = mk_jws_verify(&payload, MK_BYTES(token, strlen(token)), k->alg, MK_BYTES(k->b, k->n),
                           &fault);

    if (rv == 0 && ret_payload != NULL) {
        assert_true(payload.n < room);
        memcpy(ret_payload, payload.p, payload.n);
        ret_payload[payload.n] = '\0';
    }
    if (rv != 0) {
        assert_int_equal(payload.n, 0);
        assert_true(strlen(fault.text) > 0);
    }
    mk_buf_done(&payload);
    return rv;
}

static void put_part(struct mk_buf *token, const char *text)
{
    mk_base64url_put(token, MK_BYTES(text, strlen(text)));
}

/* header.payload signed by pkey with ES..., as r || s. */
static void sign_ec(struct mk_buf *token, EVP_PKEY *pkey, enum mk_curve curve, const char *digest,
                    const char *header, const char *payload)
{
    size_t len = mk_curve_len(curve), der_len = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t der[256], raw[132];
    const uint8_t *p = der;
    ECDSA_SIG *sig;

    put_part(token, header);
    mk_buf_put_str(token, ".");
    put_part(token, payload);
    der_len = sizeof der;
    assert_int_equal(EVP_DigestSignInit_ex(ctx, NULL, digest, NULL, NULL, pkey, NULL), 1);
    assert_int_equal(EVP_DigestSign(ctx, der, &der_len, token->p, token->n), 1);
    sig = d2i_ECDSA_SIG(NULL, &p, (long)der_len);
    assert_non_null(sig);
    BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, (int)len);
    BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + len, (int)len);
    mk_buf_put_str(token, ".");
    mk_base64url_put(token, MK_BYTES(raw, 2 * len));
    mk_buf_put_u8(token, 0);
    ECDSA_SIG_free(sig);
    EVP_MD_CTX_free(ctx);
}

static struct key key_of_pkey(enum mk_jws_alg alg, EVP_PKEY *pkey)
{
    struct key k = {.alg = alg};
    uint8_t point[133];
    size_t n = 0;

    assert_int_equal(
        EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &n), 1);
    k.n = mk_jws_key_len(alg);
    assert_int_equal(n, 2 * (k.n - 1) + 1);
    memcpy(k.b, point, k.n);
    k.b[0] = (uint8_t)(2 + (point[n - 1] & 1));
    return k;
}

static void sign_eddsa(struct mk_buf *token, const struct mk_key *key, const char *header,
                       const char *payload)
{
    struct mk_signature sig;

    put_part(token, header);
    mk_buf_put_str(token, ".");
    put_part(token, payload);
    mk_sign(key, mk_buf_bytes(token), &sig);
    mk_buf_put_str(token, ".");
    mk_base64url_put(token, MK_BYTES(sig.b, sizeof sig.b));
    mk_buf_put_u8(token, 0);
}

static struct key eddsa_key(struct mk_key *key)
{
    static const uint8_t seed[32] = {7};
    struct key k = {.alg = MK_JWS_EdDSA, .n = 32};

    mk_key_from_seed(key, seed);
    memcpy(k.b, key->peer.b, 32);
    return k;
}

static int eddsa_round(const char *header, const char *payload)
{
    struct mk_key key;
    struct key k = eddsa_key(&key);
    struct mk_buf token = {0};
    int rv;

    sign_eddsa(&token, &key, header, payload);
    rv = verify((char *)token.p, &k, NULL, 0);
    mk_buf_done(&token);
    mk_key_done(&key);
    return rv;
}

/* --- what the standards print ------------------------------------------------------ */

#define A3_HEADER "eyJhbGciOiJFUzI1NiJ9"
#define A3_PAYLOAD                                                                                 \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ"
#define A3_SIGNATURE \
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
#define A3 A3_HEADER "." A3_PAYLOAD "." A3_SIGNATURE

static struct key a3_key(void)
{
    return key_of_jwk(MK_JWS_ES256, "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                      "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
}

#define ED_HEADER "eyJhbGciOiJFZERTQSJ9"
#define ED_PAYLOAD "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
#define ED_SIGNATURE \
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

static void test_rfc7515_a3(void **state)
{
    struct key k = a3_key();
    char payload[128];

    (void)state;
    assert_int_equal(verify(A3, &k, payload, sizeof payload), 0);
    assert_string_equal(payload, "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n "
                                 "\"http://example.com/is_root\":true}");
}

static void test_rfc8037_a4(void **state)
{
    struct key k = key_of_jwk(MK_JWS_EdDSA, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", NULL);
    char payload[64];

    (void)state;
    assert_int_equal(verify(ED_HEADER "." ED_PAYLOAD "." ED_SIGNATURE, &k, payload, sizeof payload),
                     0);
    assert_string_equal(payload, "Example of Ed25519 signing");
}

/* --- every algorithm, with a key of our own ------------------------------------------ */

static void test_each_curve(void **state)
{
    static const struct {
        enum mk_jws_alg alg;
        enum mk_curve curve;
        const char *group, *digest;
    } rows[] = {
        {MK_JWS_ES256, MK_CURVE_P256, "P-256", "SHA256"},
        {MK_JWS_ES256K, MK_CURVE_SECP256K1, "secp256k1", "SHA256"},
        {MK_JWS_ES384, MK_CURVE_P384, "P-384", "SHA384"},
        {MK_JWS_ES512, MK_CURVE_P521, "P-521", "SHA512"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        EVP_PKEY *pkey = EVP_EC_gen(rows[i].group);
        struct mk_buf token = {0};
        char header[64];
        struct key k, other;

        assert_non_null(pkey);
        snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"1\"}",
                 mk_jws_alg_name(rows[i].alg));
        sign_ec(&token, pkey, rows[i].curve, rows[i].digest, header, "{}");
        k = key_of_pkey(rows[i].alg, pkey);
        assert_int_equal(verify((char *)token.p, &k, NULL, 0), 0);

        other = k; /* the same x with the other y is another key */
        other.b[0] ^= 1;
        assert_int_equal(verify((char *)token.p, &other, NULL, 0), MK_ESIGNATURE);
        other = k;
        other.b[0] = 4;
        assert_int_equal(verify((char *)token.p, &other, NULL, 0), MK_EINVALID);
        other = k;
        other.n--;
        assert_int_equal(verify((char *)token.p, &other, NULL, 0), MK_EINVALID);
        mk_buf_done(&token);
        EVP_PKEY_free(pkey);
    }
}

static void test_key_off_the_curve(void **state)
{
    struct key k = a3_key();
    unsigned off = 0;

    (void)state;
    for (unsigned i = 0; i < 32; i++) { /* about every second x has no point */
        k.b[32] = (uint8_t)i;
        off += verify(A3, &k, NULL, 0) == MK_EINVALID;
    }
    assert_in_range(off, 4, 28);
}

/* --- refusals ------------------------------------------------------------------------ */

static void test_every_changed_character(void **state)
{
    struct key k = a3_key();
    char token[sizeof A3];

    (void)state;
    for (size_t i = 0; i < sizeof A3 - 1; i++) {
        for (const char *c = "AQgw_-0.="; *c != '\0'; c++) {
            memcpy(token, A3, sizeof A3);
            if (token[i] == *c)
                continue;
            token[i] = *c;
            assert_int_not_equal(verify(token, &k, NULL, 0), 0);
        }
    }
}

static void test_shape(void **state)
{
    static const char *const bad[] = {
        "",
        ".",
        "..",
        "...",
        A3_HEADER "." A3_PAYLOAD,
        A3_HEADER "." A3_PAYLOAD ".",
        "." A3_PAYLOAD "." A3_SIGNATURE,
        A3 ".",
        A3 ".AA",
        A3 "=",
        A3 "\n",
        " " A3,
        A3_HEADER " ." A3_PAYLOAD "." A3_SIGNATURE,
        A3_HEADER "=." A3_PAYLOAD "." A3_SIGNATURE,
        "{\"payload\":\"Zm9v\"}",
    };
    struct key k = a3_key();
    char *huge = mk_alloc(MK_JWS_MAX + 2);

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(verify(bad[i], &k, NULL, 0), MK_EMALFORMED);
    /* An empty payload can be signed; this one was not. */
    assert_int_equal(verify(A3_HEADER ".." A3_SIGNATURE, &k, NULL, 0), MK_ESIGNATURE);
    memset(huge, 'A', MK_JWS_MAX + 1);
    assert_int_equal(verify(huge, &k, NULL, 0), MK_ELIMIT);
    mk_free(huge);
}

static void test_header_rules(void **state)
{
    (void)state;
    assert_int_equal(eddsa_round("{\"alg\":\"EdDSA\"}", "{}"), 0);
    assert_int_equal(
        eddsa_round("{\"typ\":\"JWT\",\"alg\":\"EdDSA\",\"jwk\":{},\"kid\":\"x\"}", "{}"), 0);
    assert_int_equal(eddsa_round("{\"alg\":\"EdDSA\",\"alg\":\"EdDSA\"}", "{}"), MK_EMALFORMED);
    assert_int_equal(eddsa_round("{\"alg\":\"none\",\"\\u0061lg\":\"EdDSA\"}", "{}"),
                     MK_EMALFORMED);
    assert_int_equal(eddsa_round("{\"alg\":[\"EdDSA\"]}", "{}"), MK_EMALFORMED);
    assert_int_equal(eddsa_round("{\"typ\":\"JWT\"}", "{}"), MK_EMALFORMED);
    assert_int_equal(eddsa_round("{\"alg\":\"EdDSA\"} x", "{}"), MK_EMALFORMED);
    assert_int_equal(eddsa_round("[\"EdDSA\"]", "{}"), MK_EMALFORMED);
    assert_int_equal(eddsa_round("{\"alg\":\"none\"}", "{}"), MK_EREFUSED);
    assert_int_equal(eddsa_round("{\"alg\":\"eddsa\"}", "{}"), MK_EREFUSED);
    assert_int_equal(eddsa_round("{\"alg\":\"EdDSA\\u0000\"}", "{}"), MK_EMALFORMED);
    assert_int_equal(eddsa_round("{\"alg\":\"HS256\"}", "{}"), MK_EREFUSED);
    assert_int_equal(eddsa_round("{\"alg\":\"ES256\"}", "{}"), MK_EREFUSED);
    assert_int_equal(eddsa_round("{\"alg\":\"EdDSA\",\"crit\":[\"exp\"]}", "{}"), MK_EREFUSED);
    assert_int_equal(eddsa_round("{\"alg\":\"EdDSA\",\"b64\":false}", "{}"), MK_EREFUSED);
    assert_int_equal(eddsa_round("{\"alg\":\"EdDSA\",\"zip\":\"DEF\"}", "{}"), MK_EREFUSED);
}

/* A token that says HS256 and was made with the public key as the secret. */
static void test_no_shared_secret(void **state)
{
    struct key k = a3_key();
    struct mk_buf token = {0};
    uint8_t mac[64];
    size_t n = 0;

    (void)state;
    put_part(&token, "{\"alg\":\"HS256\"}");
    mk_buf_put_str(&token, ".");
    put_part(&token, "{}");
    assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, k.b, k.n, token.p, token.n, mac,
                              sizeof mac, &n));
    mk_buf_put_str(&token, ".");
    mk_base64url_put(&token, MK_BYTES(mac, n));
    mk_buf_put_u8(&token, 0);
    for (enum mk_jws_alg alg = MK_JWS_ES256; alg <= MK_JWS_EdDSA; alg++) {
        struct key as = k;

        as.alg = alg;
        assert_int_not_equal(verify((char *)token.p, &as, NULL, 0), 0);
    }
    mk_buf_done(&token);
}

static void test_algorithm_names(void **state)
{
    static const char *const others[] = {"none",   "HS256", "RS256", "PS256",  "es256",
                                         "ES256 ", "",      "ES521", "Ed25519"};
    enum mk_jws_alg alg;

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_int_equal(mk_jws_alg_parse(&alg, mk_str_of(others[i])), MK_ENOTSUP);
    for (enum mk_jws_alg a = MK_JWS_ES256; a <= MK_JWS_EdDSA; a++) {
        assert_int_equal(mk_jws_alg_parse(&alg, mk_str_of(mk_jws_alg_name(a))), 0);
        assert_int_equal(alg, a);
    }
}

/* r and s at their borders; DER where raw is due. */
static void test_ecdsa_borders(void **state)
{
    static const uint8_t order[32] = {0xff, 0xff, 0xff, 0xff, 0,    0,    0,    0,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
                                      0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
    struct key k = a3_key();
    struct mk_bytes key = MK_BYTES(k.b, k.n);
    struct mk_bytes message = MK_BYTES(A3, sizeof A3_HEADER + sizeof A3_PAYLOAD - 1);
    struct mk_buf good = {0};
    uint8_t sig[66];

    (void)state;
    assert_int_equal(mk_base64url_get(&good, mk_str_of(A3_SIGNATURE)), 0);
    for (unsigned half = 0; half < 2; half++) {
        memcpy(sig, good.p, 64);
        memset(sig + 32 * half, 0, 32);
        assert_int_equal(mk_ecdsa_verify(MK_CURVE_P256, key, message, MK_BYTES(sig, 64)),
                         MK_ESIGNATURE);
        memcpy(sig + 32 * half, order, 32);
        assert_int_equal(mk_ecdsa_verify(MK_CURVE_P256, key, message, MK_BYTES(sig, 64)),
                         MK_ESIGNATURE);
    }
    for (size_t n = 0; n < 64; n++)
        assert_int_equal(mk_ecdsa_verify(MK_CURVE_P256, key, message, MK_BYTES(good.p, n)),
                         MK_ESIGNATURE);
    assert_int_equal(mk_ecdsa_verify(MK_CURVE_P256, key, message, mk_buf_bytes(&good)), 0);
    mk_buf_done(&good);
}

static void test_base64url(void **state)
{
    static const char *const bad[] = {"A",   "AAAAA", "AB=", "AA==",   "A+A",     "A/A",
                                      "A A", "AB",    "AAB", "AAAAAB", "\xc3\xa4"};
    struct mk_buf text = {0}, back = {0};
    uint8_t bytes[64];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(mk_base64url_get(&back, mk_str_of(bad[i])), MK_EMALFORMED);
        assert_int_equal(back.n, 0);
    }
    for (size_t n = 0; n < sizeof bytes; n++) {
        bytes[n] = (uint8_t)(n * 37 + 11);
        mk_buf_clear(&text);
        mk_buf_clear(&back);
        mk_base64url_put(&text, MK_BYTES(bytes, n));
        assert_int_equal(mk_base64url_get(&back, (struct mk_str){(char *)text.p, text.n}), 0);
        assert_true(mk_bytes_eq(mk_buf_bytes(&back), MK_BYTES(bytes, n)));
    }
    mk_buf_done(&text);
    mk_buf_done(&back);
}

/* --- cases of others ------------------------------------------------------------------ */

static const char *text(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

/* The key of a JWK for alg; false when it is of a kind that no clause holds. */
static bool jwk(struct key *ret, const json_t *o, const char *alg)
{
    enum mk_jws_alg a;

    if (alg != NULL && strcmp(alg, "ES521") == 0)
        alg = "ES512"; /* so misspelt in the collection */
    if (alg == NULL || mk_jws_alg_parse(&a, mk_str_of(alg)) != 0)
        return false;
    *ret = key_of_jwk(a, text(o, "x"), text(o, "y"));
    return true;
}

/* Tokens of kinds that we do not take are refused under each of our algorithms. */
static void refused_by_all(const char *token)
{
    struct key ec = a3_key();

    for (enum mk_jws_alg alg = MK_JWS_ES256; alg <= MK_JWS_EdDSA; alg++) {
        struct key k = ec;

        k.alg = alg;
        k.n = mk_jws_key_len(alg);
        assert_int_not_equal(verify(token, &k, NULL, 0), 0);
    }
}

static void test_wycheproof(void **state)
{
    json_t *file = vectors_json("open/crypto/wycheproof/json_web_signature_test.json"), *group,
           *test;
    unsigned n = 0, n_valid = 0;
    size_t i, j;

    (void)state;
    json_array_foreach(json_object_get(file, "testGroups"), i, group)
    {
        json_t *o = json_object_get(group, "public");
        struct key k;
        bool ours = jwk(&k, o, text(o, "alg"));

        json_array_foreach(json_object_get(group, "tests"), j, test)
        {
            bool valid = ours && strcmp(text(test, "result"), "valid") == 0;

            if (ours)
                assert_int_equal(verify(text(test, "jws"), &k, NULL, 0) == 0, valid);
            else
                refused_by_all(text(test, "jws"));
            n++;
            n_valid += valid;
        }
    }
    assert_int_equal(n, json_integer_value(json_object_get(file, "numberOfTests")));
    assert_int_equal(n_valid, 2);
    json_decref(file);
}

static void test_cookbook(void **state)
{
    static const char *const names[] = {"open/jwt/jose-cookbook/jws_4_3.ecdsa_signature.json",
                                        "open/jwt/jose-cookbook/curve25519_jws.json"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        json_t *file = vectors_json(names[i]), *input = json_object_get(file, "input");
        const char *token = text(json_object_get(file, "output"), "compact");
        char payload[512];
        struct key k;

        assert_true(jwk(&k, json_object_get(input, "key"), text(input, "alg")));
        assert_int_equal(verify(token, &k, payload, sizeof payload), 0);
        assert_string_equal(payload, text(input, "payload"));
        json_decref(file);
    }
}

static void test_cookbook_hs256_refused(void **state)
{
    json_t *file =
        vectors_json("open/jwt/jose-cookbook/jws_4_4.hmac-sha2_integrity_protection.json");

    (void)state;
    refused_by_all(text(json_object_get(file, "output"), "compact"));
    json_decref(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc7515_a3),
        cmocka_unit_test(test_rfc8037_a4),
        cmocka_unit_test(test_each_curve),
        cmocka_unit_test(test_key_off_the_curve),
        cmocka_unit_test(test_every_changed_character),
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_header_rules),
        cmocka_unit_test(test_no_shared_secret),
        cmocka_unit_test(test_algorithm_names),
        cmocka_unit_test(test_ecdsa_borders),
        cmocka_unit_test(test_base64url),
        cmocka_unit_test(test_wycheproof),
        cmocka_unit_test(test_cookbook),
        cmocka_unit_test(test_cookbook_hs256_refused),
    };

    return cmocka_run_group_tests_name("jws", tests, NULL, NULL);
}
