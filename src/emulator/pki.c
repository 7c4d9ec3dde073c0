/* pki.c - see the header.
 *
 * A key is derived, not drawn: the scalar is a hash of seed and label, hashed on in the one
 * case in four thousand million in which it is not below the group's order. So an emulator
 * is one seed, and the tests of a simulated world need no randomness of OpenSSL's.
 *
 * Certificates look like Intel's where software looks (a PCK certificate carries FMSPC and
 * SVNs in Intel's extension) and say in every name that they are not. */
#include "emulator/pki.h"

#include <mosaik/emulator.h>
#include <mosaik/key.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

/* --- keys ------------------------------------------------------------------------------ */

static bool scalar_of(const uint8_t seed[32], const char *label, const BIGNUM *order, BIGNUM *ret)
{
    struct mk_buf b = {0};
    struct mk_id h;
    bool ok;

    mk_buf_put_str(&b, "mosaik.emulator.v1|");
    mk_buf_put(&b, seed, 32);
    mk_buf_put_str(&b, label);
    h = mk_hash(mk_buf_bytes(&b));
    ok = BN_bin2bn(h.b, sizeof h.b, ret) != NULL;
    while (ok && (BN_is_zero(ret) || BN_cmp(ret, order) >= 0)) {
        h = mk_hash(MK_BYTES(h.b, sizeof h.b));
        ok = BN_bin2bn(h.b, sizeof h.b, ret) != NULL;
    }
    mk_wipe(b.p, b.n);
    mk_wipe(&h, sizeof h);
    mk_buf_done(&b);
    return ok;
}

static EVP_PKEY *key_of(const BIGNUM *scalar, const uint8_t *point, size_t n)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *key = NULL;

    if (bld != NULL && ctx != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, scalar) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, n) == 1)
        params = OSSL_PARAM_BLD_to_param(bld);
    if (params == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
        key = NULL;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

EVP_PKEY *emu_key(const uint8_t seed[32], const char *label)
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *point = group != NULL ? EC_POINT_new(group) : NULL;
    BIGNUM *scalar = BN_secure_new();
    uint8_t octets[65];
    EVP_PKEY *key = NULL;

    if (point != NULL && scalar != NULL &&
        scalar_of(seed, label, EC_GROUP_get0_order(group), scalar) &&
        EC_POINT_mul(group, point, scalar, NULL, NULL, NULL) == 1 &&
        EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, octets, sizeof octets,
                           NULL) == sizeof octets)
        key = key_of(scalar, octets, sizeof octets);
    BN_clear_free(scalar);
    EC_POINT_free(point);
    EC_GROUP_free(group);
    ERR_clear_error();
    return key;
}

int emu_public(EVP_PKEY *key, uint8_t ret[64])
{
    uint8_t octets[65];
    size_t n = 0;

    if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, octets, sizeof octets, &n) !=
            1 ||
        n != sizeof octets)
        return MK_EIO;
    memcpy(ret, octets + 1, 64);
    return 0;
}

int emu_sign(EVP_PKEY *key, struct mk_bytes message, uint8_t ret[64])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char der[128];
    const unsigned char *p = der;
    size_t n = sizeof der;
    ECDSA_SIG *sig = NULL;
    int rv = MK_EIO;

    if (ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
        EVP_DigestSign(ctx, der, &n, message.p, message.n) == 1)
        sig = d2i_ECDSA_SIG(NULL, &p, (long)n);
    if (sig != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret, 32) == 32 &&
        BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret + 32, 32) == 32)
        rv = 0;
    ECDSA_SIG_free(sig);
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return rv;
}

/* --- Intel's extension of a PCK certificate -------------------------------------------------- */

#define DER_INTEGER 0x02u
#define DER_OCTETS 0x04u
#define DER_OID 0x06u
#define DER_ENUM 0x0au
#define DER_SEQUENCE 0x30u

static void der_put(struct mk_buf *out, unsigned tag, const void *p, size_t n)
{
    mk_buf_put_u8(out, (uint8_t)tag);
    if (n >= 256) {
        mk_buf_put_u8(out, 0x82);
        mk_buf_put_u8(out, (uint8_t)(n >> 8));
    } else if (n >= 128) {
        mk_buf_put_u8(out, 0x81);
    }
    mk_buf_put_u8(out, (uint8_t)n);
    mk_buf_put(out, p, n);
}

/* SEQUENCE { OID 1.2.840.113741.1.13.1.a[.b], value } */
static void sgx_put(struct mk_buf *out, unsigned a, unsigned b, unsigned tag, const void *p,
                    size_t n)
{
    const uint8_t oid[] = {0x2a, 0x86, 0x48, 0x86,       0xf8,      0x4d,
                           0x01, 0x0d, 0x01, (uint8_t)a, (uint8_t)b};
    struct mk_buf inner = {0};

    der_put(&inner, DER_OID, oid, sizeof oid - (b == 0));
    der_put(&inner, tag, p, n);
    der_put(out, DER_SEQUENCE, inner.p, inner.n);
    mk_buf_done(&inner);
}

static void sgx_extension(struct mk_buf *out)
{
    static const uint8_t ppid[16], pceid[2], standard = 0;
    const uint8_t svn = EMU_SVN, pce = EMU_PCE_SVN;
    uint8_t cpu_svn[16];
    struct mk_buf tcb = {0}, all = {0};

    memset(cpu_svn, EMU_SVN, sizeof cpu_svn);
    for (unsigned i = 1; i <= 16; i++)
        sgx_put(&tcb, 2, i, DER_INTEGER, &svn, 1);
    sgx_put(&tcb, 2, 17, DER_INTEGER, &pce, 1);
    sgx_put(&tcb, 2, 18, DER_OCTETS, cpu_svn, sizeof cpu_svn);
    sgx_put(&all, 1, 0, DER_OCTETS, ppid, sizeof ppid);
    sgx_put(&all, 2, 0, DER_SEQUENCE, tcb.p, tcb.n);
    sgx_put(&all, 3, 0, DER_OCTETS, pceid, sizeof pceid);
    sgx_put(&all, 4, 0, DER_OCTETS, EMU_FMSPC, 6);
    sgx_put(&all, 5, 0, DER_ENUM, &standard, 1);
    der_put(out, DER_SEQUENCE, all.p, all.n);
    mk_buf_done(&tcb);
    mk_buf_done(&all);
}

static bool add_sgx_extension(X509 *x)
{
    ASN1_OBJECT *oid = OBJ_txt2obj("1.2.840.113741.1.13.1", 1);
    ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
    X509_EXTENSION *ext = NULL;
    struct mk_buf der = {0};
    bool ok;

    sgx_extension(&der);
    ok = oid != NULL && octets != NULL && ASN1_OCTET_STRING_set(octets, der.p, (int)der.n) == 1 &&
         (ext = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, octets)) != NULL &&
         X509_add_ext(x, ext, -1) == 1;
    mk_buf_done(&der);
    X509_EXTENSION_free(ext);
    ASN1_OCTET_STRING_free(octets);
    ASN1_OBJECT_free(oid);
    return ok;
}

/* --- certificates -------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    enum emu_cert issuer;
    bool ca;
} certs[] = {
    [EMU_ROOT] = {"Emulated SGX Root CA", EMU_ROOT, true},
    [EMU_PCK_CA] = {"Emulated SGX PCK Platform CA", EMU_ROOT, true},
    [EMU_PCK] = {"Emulated SGX PCK Certificate", EMU_PCK_CA, false},
    [EMU_TCB_SIGNING] = {"Emulated SGX TCB Signing", EMU_ROOT, false},
};

static X509_NAME *name_of(enum emu_cert kind)
{
    X509_NAME *n = X509_NAME_new();

    if (n != NULL &&
        X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const uint8_t *)certs[kind].name, -1,
                                   -1, 0) == 1 &&
        X509_NAME_add_entry_by_txt(n, "O", MBSTRING_UTF8, (const uint8_t *)MK_EMULATOR_NAME, -1, -1,
                                   0) == 1)
        return n;
    X509_NAME_free(n);
    return NULL;
}

static bool add_extension(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    bool ok = ext != NULL && X509_add_ext(x, ext, -1) == 1;

    X509_EXTENSION_free(ext);
    return ok;
}

static bool fill(X509 *x, enum emu_cert kind, EVP_PKEY *key, X509_NAME *subject, X509_NAME *issuer)
{
    bool ca = certs[kind].ca;

    return X509_set_version(x, X509_VERSION_3) == 1 &&
           ASN1_INTEGER_set(X509_get_serialNumber(x), (long)kind + 1) == 1 &&
           ASN1_TIME_set_string(X509_getm_notBefore(x), "200101000000Z") == 1 &&
           ASN1_TIME_set_string(X509_getm_notAfter(x), "491231235959Z") == 1 &&
           X509_set_subject_name(x, subject) == 1 && X509_set_issuer_name(x, issuer) == 1 &&
           X509_set_pubkey(x, key) == 1 &&
           add_extension(x, NID_basic_constraints, ca ? "critical,CA:TRUE" : "critical,CA:FALSE") &&
           add_extension(x, NID_key_usage,
                         ca ? "critical,keyCertSign,cRLSign"
                            : "critical,digitalSignature,nonRepudiation") &&
           (kind != EMU_PCK || add_sgx_extension(x));
}

X509 *emu_certificate(enum emu_cert kind, EVP_PKEY *key, EVP_PKEY *issuer)
{
    X509_NAME *subject = name_of(kind), *by = name_of(certs[kind].issuer);
    X509 *x = X509_new();

    if (x == NULL || subject == NULL || by == NULL || !fill(x, kind, key, subject, by) ||
        X509_sign(x, issuer, EVP_sha256()) <= 0) {
        X509_free(x);
        x = NULL;
    }
    X509_NAME_free(subject);
    X509_NAME_free(by);
    ERR_clear_error();
    return x;
}

static bool crl_fill(X509_CRL *c, enum emu_cert of, uint64_t issued_s, uint64_t until_s)
{
    X509_NAME *issuer = name_of(of);
    ASN1_TIME *from = ASN1_TIME_set(NULL, (time_t)issued_s),
              *to = ASN1_TIME_set(NULL, (time_t)until_s);
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    bool ok = issuer != NULL && from != NULL && to != NULL && number != NULL &&
              ASN1_INTEGER_set_uint64(number, issued_s) == 1 &&
              X509_CRL_set_version(c, X509_CRL_VERSION_2) == 1 &&
              X509_CRL_set_issuer_name(c, issuer) == 1 && X509_CRL_set1_lastUpdate(c, from) == 1 &&
              X509_CRL_set1_nextUpdate(c, to) == 1 &&
              X509_CRL_add1_ext_i2d(c, NID_crl_number, number, 0, 0) == 1;

    X509_NAME_free(issuer);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    ASN1_INTEGER_free(number);
    return ok;
}

int emu_crl(enum emu_cert of, EVP_PKEY *issuer, uint64_t issued_s, uint64_t until_s,
            struct mk_buf *out)
{
    X509_CRL *c = X509_CRL_new();
    unsigned char *der = NULL;
    int n = -1;

    if (c != NULL && crl_fill(c, of, issued_s, until_s) &&
        X509_CRL_sign(c, issuer, EVP_sha256()) > 0)
        n = i2d_X509_CRL(c, &der);
    if (n > 0)
        mk_buf_put(out, der, (size_t)n);
    OPENSSL_free(der);
    X509_CRL_free(c);
    ERR_clear_error();
    return n > 0 ? 0 : MK_EIO;
}

int emu_pem(X509 *x, struct mk_buf *out)
{
    BIO *b = BIO_new(BIO_s_mem());
    char *p;
    long n = b != NULL && PEM_write_bio_X509(b, x) == 1 ? BIO_get_mem_data(b, &p) : 0;

    if (n > 0)
        mk_buf_put(out, p, (size_t)n);
    BIO_free(b);
    return n > 0 ? 0 : MK_EIO;
}
