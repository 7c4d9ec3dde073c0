/* hmac.c - see the header. OpenSSL does the arithmetic; that it fails can only mean that it
 * cannot allocate, and then the process has no memory either. */
#include "crypto/hmac.h"

#include "base/assert.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static const EVP_MD *digest_of(enum mk_sha h)
{
    switch (h) {
    case MK_SHA256:
        return EVP_sha256();
    case MK_SHA384:
        return EVP_sha384();
    case MK_SHA512:
        return EVP_sha512();
    }
    return NULL;
}

size_t mk_sha_len(enum mk_sha h)
{
    return (size_t)EVP_MD_get_size(digest_of(h));
}

void mk_hmac(enum mk_sha h, struct mk_bytes key, struct mk_bytes message,
             uint8_t out[MK_SHA_LEN_MAX])
{
    unsigned n = 0;
    const uint8_t *mac = HMAC(digest_of(h), key.p, (int)key.n, message.p, message.n, out, &n);

    MK_ASSERT(mac != NULL && n == mk_sha_len(h));
}

bool mk_hmac_check(enum mk_sha h, struct mk_bytes key, struct mk_bytes message, struct mk_bytes mac)
{
    uint8_t own[MK_SHA_LEN_MAX];
    bool good;

    mk_hmac(h, key, message, own);
    good = mac.n == mk_sha_len(h) && CRYPTO_memcmp(own, mac.p, mac.n) == 0;
    OPENSSL_cleanse(own, sizeof own);
    return good;
}
