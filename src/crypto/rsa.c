/* rsa.c - see the header.
 *
 * The pattern: keys made by one vendor's library are primes k * M + (65537^a mod M), M being
 * the product of the first primes. So modulo each small prime their modulus is a power of
 * 65537, and for a modulus made otherwise that holds by chance for all of them once in
 * some 2^27: such a key is refused. */
#include "crypto/rsa.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

static unsigned mod_small(struct mk_bytes n, unsigned p)
{
    unsigned r = 0;

    for (size_t i = 0; i < n.n; i++)
        r = (r << 8 | n.p[i]) % p;
    return r;
}

static bool is_power_of_65537(unsigned v, unsigned p)
{
    unsigned x = 1;

    for (unsigned i = 0; i < p; i++) {
        if (x == v)
            return true;
        x = x * (65537 % p) % p;
    }
    return false;
}

static bool has_the_pattern(struct mk_bytes n)
{
    static const uint8_t primes[] = {
        3,  5,  7,  11, 13, 17,  19,  23,  29,  31,  37,  41,  43,  47,  53,  59,  61,  67,  71,
        73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167};

    for (size_t i = 0; i < sizeof primes; i++)
        if (!is_power_of_65537(mod_small(n, primes[i]), primes[i]))
            return false;
    return true;
}

int mk_rsa_key_check(const struct mk_rsa *key, struct mk_fault *reterr)
{
    const uint8_t *n = key->n.p, *e = key->e.p;
    size_t n_len = key->n.n, e_len = key->e.n;

    if (n_len == 0 || e_len == 0 || n[0] == 0 || e[0] == 0)
        return mk_fault(reterr, MK_EINVALID, "the RSA key's numbers are empty or begin with zeros");
    if (n_len * 8 < MK_RSA_BITS_MIN || (n_len * 8 == MK_RSA_BITS_MIN && n[0] < 0x80) ||
        n_len * 8 > MK_RSA_BITS_MAX)
        return mk_fault(reterr, MK_EINVALID, "an RSA key must have %u to %u bits", MK_RSA_BITS_MIN,
                        MK_RSA_BITS_MAX);
    if (n[n_len - 1] % 2 == 0)
        return mk_fault(reterr, MK_EINVALID, "the RSA modulus is even");
    if (e[e_len - 1] % 2 == 0 || (e_len == 1 && e[0] == 1) || e_len > 8)
        return mk_fault(reterr, MK_EINVALID, "the RSA exponent is even, 1 or over 64 bits");
    if (has_the_pattern(key->n))
        return mk_fault(reterr, MK_EINVALID,
                        "the RSA key is of a generator whose keys can be factored");
    return 0;
}

/* NULL when it is none; given. */
static EVP_PKEY *rsa_key(const struct mk_rsa *key)
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    BIGNUM *n = BN_bin2bn(key->n.p, (int)key->n.n, NULL);
    BIGNUM *e = BN_bin2bn(key->e.p, (int)key->e.n, NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *pkey = NULL;

    if (build != NULL && n != NULL && e != NULL &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1)
        params = OSSL_PARAM_BLD_to_param(build);
    if (ctx == NULL || params == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    BN_free(n);
    BN_free(e);
    return pkey;
}

static const char *sha_name(enum mk_sha h)
{
    return h == MK_SHA256 ? "SHA256" : h == MK_SHA384 ? "SHA384" : "SHA512";
}

static bool set_padding(EVP_PKEY_CTX *ctx, bool pss)
{
    if (!pss)
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

int mk_rsa_verify(const struct mk_rsa *key, enum mk_sha h, bool pss, struct mk_bytes message,
                  struct mk_bytes signature)
{
    EVP_PKEY *pkey = rsa_key(key);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *how = NULL;
    int rv = MK_ESIGNATURE;

    if (pkey != NULL && ctx != NULL && signature.n == key->n.n &&
        EVP_DigestVerifyInit_ex(ctx, &how, sha_name(h), NULL, NULL, pkey, NULL) == 1 &&
        set_padding(how, pss) &&
        EVP_DigestVerify(ctx, signature.p, signature.n, message.p, message.n) == 1)
        rv = 0;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return rv;
}
