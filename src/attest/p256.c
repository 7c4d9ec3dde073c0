/* p256.c - see the header.
 *
 * Making a key object from scratch costs OpenSSL a fourth of a verification; copying the
 * curve from an object that has it costs a tenth of that. So one template is kept as long
 * as the process lives. A failure to allocate inside OpenSSL counts as a bad key or
 * signature: refusing is safe. */
#include "attest/p256.h"

#include "base/assert.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

static EVP_PKEY *template; /* NULL when OpenSSL has no P-256 */
static CRYPTO_ONCE template_once =
    CRYPTO_ONCE_STATIC_INIT; /* verification runs on the pool's threads */

static void template_make(void)
{
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                                            (char *)(uintptr_t) "prime256v1", 0),
                           OSSL_PARAM_construct_end()};
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);

    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &template, EVP_PKEY_KEY_PARAMETERS, params) != 1)
        template = NULL;
    EVP_PKEY_CTX_free(ctx);
}

EVP_PKEY *p256_key(const uint8_t xy[64])
{
    uint8_t point[65] = {4};
    EVP_PKEY *k = EVP_PKEY_new();

    memcpy(point + 1, xy, 64);
    if (CRYPTO_THREAD_run_once(&template_once, template_make) != 1 || template == NULL ||
        k == NULL || EVP_PKEY_copy_parameters(k, template) != 1 ||
        EVP_PKEY_set1_encoded_public_key(k, point, sizeof point) != 1) {
        ERR_clear_error();
        EVP_PKEY_free(k);
        return NULL;
    }
    return k;
}

void p256_key_free(EVP_PKEY *k)
{
    EVP_PKEY_free(k);
}

void sha256(struct mk_bytes message, uint8_t ret[32])
{
    MK_ASSERT(EVP_Digest(message.n > 0 ? message.p : (const uint8_t *)"", message.n, ret, NULL,
                         EVP_sha256(), NULL) == 1);
}

void sha384(struct mk_bytes message, uint8_t ret[48])
{
    MK_ASSERT(EVP_Digest(message.n > 0 ? message.p : (const uint8_t *)"", message.n, ret, NULL,
                         EVP_sha384(), NULL) == 1);
}

bool p256_verify_der(EVP_PKEY *k, struct mk_bytes message, struct mk_bytes signature)
{
    uint8_t digest[32];
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(k, NULL);
    bool ok;

    sha256(message, digest);
    ok = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 &&
         EVP_PKEY_verify(ctx, signature.p, signature.n, digest, sizeof digest) == 1;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

/* One number of 32 bytes, big-endian, as a DER INTEGER; its length. */
static size_t der_integer(uint8_t *out, const uint8_t v[32])
{
    size_t skip = 0, n;

    while (skip < 31 && v[skip] == 0)
        skip++;
    n = 32 - skip;
    out[0] = 2;
    out[1] = (uint8_t)(n + (v[skip] >= 0x80));
    out[2] = 0;
    memcpy(out + 2 + (v[skip] >= 0x80), v + skip, n);
    return 2u + out[1];
}

bool p256_verify(EVP_PKEY *k, struct mk_bytes message, const uint8_t signature[64])
{
    uint8_t der[2 + 2 * 35];
    size_t n = der_integer(der + 2, signature);

    n += der_integer(der + 2 + n, signature + 32);
    der[0] = 0x30;
    der[1] = (uint8_t)n;
    return p256_verify_der(k, message, MK_BYTES(der, 2 + n));
}
