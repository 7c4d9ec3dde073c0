/* ecdsa.c - see the header.
 *
 * The key comes as a compressed point and the signature as r || s, while OpenSSL
 * wants a key object and DER. All lengths are checked before OpenSSL sees
 * anything, so that no byte of either can be dropped, padded or read twice. What
 * OpenSSL checks itself: that the point is on its curve, that 1 <= r, s < n. A
 * failure to allocate inside OpenSSL counts as a bad signature: refusing is safe. */
#include "crypto/ecdsa.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

static const struct {
    const char *group;
    const char *digest;
    size_t len;
} curves[] = {
    [MK_CURVE_P256] = {"prime256v1", "SHA256", 32},
    [MK_CURVE_SECP256K1] = {"secp256k1", "SHA256", 32},
    [MK_CURVE_P384] = {"secp384r1", "SHA384", 48},
    [MK_CURVE_P521] = {"secp521r1", "SHA512", 66},
};

size_t mk_curve_len(enum mk_curve c)
{
    return curves[c].len;
}

/* The key object of a SEC1 point, or NULL when it is no point of the curve; given. */
static EVP_PKEY *ecdsa_key(enum mk_curve c, struct mk_bytes key)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                         (char *)(uintptr_t)curves[c].group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)key.p, key.n),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx;
    EVP_PKEY *pkey = NULL;

    ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

int mk_ecdsa_compress(enum mk_curve c, uint8_t *ret, const uint8_t *x, const uint8_t *y)
{
    uint8_t point[1 + 2 * 66] = {4};
    size_t len = curves[c].len;
    EVP_PKEY *pkey;

    memcpy(point + 1, x, len);
    memcpy(point + 1 + len, y, len);
    pkey = ecdsa_key(c, MK_BYTES(point, 1 + 2 * len));
    ERR_clear_error();
    if (pkey == NULL)
        return MK_EINVALID;
    EVP_PKEY_free(pkey);
    ret[0] = (uint8_t)(2 + (y[len - 1] & 1));
    memcpy(ret + 1, x, len);
    return 0;
}

/* r || s as DER; its length, or 0. *ret given, freed with OPENSSL_free(). */
static size_t ecdsa_der(unsigned char **ret, struct mk_bytes signature)
{
    int half = (int)(signature.n / 2), n = 0;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature.p, half, NULL);
    BIGNUM *s = BN_bin2bn(signature.p + half, half, NULL);

    if (sig != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = s = NULL; /* now sig's */
        n = i2d_ECDSA_SIG(sig, ret);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return n > 0 ? (size_t)n : 0;
}

int mk_ecdsa_verify(enum mk_curve c, struct mk_bytes key, struct mk_bytes message,
                    struct mk_bytes signature)
{
    unsigned char *der = NULL;
    EVP_MD_CTX *ctx = NULL;
    EVP_PKEY *pkey = NULL;
    size_t der_len;
    int rv = MK_ESIGNATURE;

    if (key.n == 1 + curves[c].len && (key.p[0] == 2 || key.p[0] == 3))
        pkey = ecdsa_key(c, key);
    if (pkey == NULL) {
        ERR_clear_error();
        return MK_EINVALID;
    }
    if (signature.n != 2 * curves[c].len)
        goto out;
    der_len = ecdsa_der(&der, signature);
    ctx = EVP_MD_CTX_new();
    if (der_len > 0 && ctx != NULL &&
        EVP_DigestVerifyInit_ex(ctx, NULL, curves[c].digest, NULL, NULL, pkey, NULL) == 1 &&
        EVP_DigestVerify(ctx, der, der_len, message.p, message.n) == 1)
        rv = 0;
out:
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return rv;
}
