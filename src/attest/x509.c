/* x509.c - see the header.
 *
 * A reader of its own instead of OpenSSL's: d2i_X509() costs as much as one and a half
 * verifications (it decodes the key through its provider stack), and takes many shapes that
 * Intel never issues. The signatures are OpenSSL's business. */
#include "attest/x509.h"

#include "attest/der.h"

#include <string.h>

#define OID(...) MK_BYTES(((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__}))
#define OID_ECDSA_SHA256 OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2)
#define OID_EC_PUBLIC_KEY OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1)
#define OID_P256 OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7)
#define OID_COMMON_NAME OID(0x55, 4, 3)

/* SEQUENCE { ecdsa-with-SHA256 }, no parameters. */
static bool x509_algorithm(struct der *d)
{
    struct der in = der_enter(d, DER_SEQUENCE);

    return der_take_oid(&in, OID_ECDSA_SHA256) && der_done(&in);
}

static void x509_key(struct der *d, uint8_t ret[64])
{
    struct der in = der_enter(d, DER_SEQUENCE), alg = der_enter(&in, DER_SEQUENCE);
    bool ok =
        der_take_oid(&alg, OID_EC_PUBLIC_KEY) && der_take_oid(&alg, OID_P256) && der_done(&alg);
    struct mk_bytes point = der_take_bits(&in);

    if (!ok || !der_done(&in) || point.n != 65 || point.p[0] != 4) {
        d->bad = true;
        return;
    }
    memcpy(ret, point.p + 1, 64);
}

static struct mk_bytes x509_serial(struct der *d)
{
    struct mk_bytes s = der_take(d, DER_INTEGER);

    if (s.n == 0 || s.n > 21)
        d->bad = true;
    return s;
}

/* --- extensions --------------------------------------------------------------------------- */

enum extension { EXT_SGX, EXT_USAGE, EXT_CONSTRAINTS, EXT_OTHER, N_EXTENSIONS };

static enum extension extension_of(struct mk_bytes oid)
{
    if (mk_bytes_eq(oid, OID(0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 1, 13, 1)))
        return EXT_SGX;
    if (mk_bytes_eq(oid, OID(0x55, 0x1d, 15)))
        return EXT_USAGE;
    if (mk_bytes_eq(oid, OID(0x55, 0x1d, 19)))
        return EXT_CONSTRAINTS;
    return EXT_OTHER;
}

/* A bit string of at most 9 bits; bit 0 is the first. */
static bool extension_usage(struct x509_cert *c, struct mk_bytes value)
{
    struct der d = der_of(value);
    struct mk_bytes b = der_take(&d, DER_BIT_STRING);

    if (!der_done(&d) || b.n < 2 || b.n > 3 || b.p[0] > 7)
        return false;
    c->has_usage = true;
    for (unsigned i = 0; i < 8 * (b.n - 1); i++) {
        if (b.p[1 + i / 8] & (0x80u >> i % 8))
            c->usage |= 1u << i;
    }
    return true;
}

static bool extension_constraints(struct x509_cert *c, struct mk_bytes value)
{
    struct der d = der_of(value), in = der_enter(&d, DER_SEQUENCE);

    if (der_peek(&in) == DER_BOOLEAN)
        c->is_ca = der_take_bool(&in);
    if (der_peek(&in) == DER_INTEGER)
        c->path_len = der_take_u32(&in);
    return der_done(&in) && der_done(&d);
}

static bool extension_take(struct x509_cert *c, enum extension which, bool critical,
                           struct mk_bytes value)
{
    switch (which) {
    case EXT_SGX:
        c->sgx = value;
        return true;
    case EXT_USAGE:
        return extension_usage(c, value);
    case EXT_CONSTRAINTS:
        return extension_constraints(c, value);
    case EXT_OTHER:
    case N_EXTENSIONS:
        break;
    }
    return !critical;
}

/* [3] { SEQUENCE OF SEQUENCE { oid, [critical], OCTET STRING } } */
static void x509_extensions(struct der *d, struct x509_cert *c)
{
    struct der outer = der_enter(d, DER_CONTEXT_3), list = der_enter(&outer, DER_SEQUENCE);
    bool seen[N_EXTENSIONS] = {false};

    while (der_more(&list)) {
        struct der e = der_enter(&list, DER_SEQUENCE);
        enum extension which = extension_of(der_take(&e, DER_OID));
        bool critical = der_peek(&e) == DER_BOOLEAN && der_take_bool(&e);
        struct mk_bytes value = der_take(&e, DER_OCTET_STRING);

        if (!der_done(&e) || (which != EXT_OTHER && seen[which]) ||
            !extension_take(c, which, critical, value))
            list.bad = true;
        seen[which] = true;
    }
    if (!der_done(&list) || !der_done(&outer))
        d->bad = true;
}

/* --- certificates --------------------------------------------------------------------------- */

static bool x509_tbs(struct x509_cert *c)
{
    struct der d = der_of(c->signed_part), t = der_enter(&d, DER_SEQUENCE),
               version = der_enter(&t, DER_CONTEXT_0), validity;
    bool ok = der_take_u32(&version) == 2 && der_done(&version);

    c->serial = x509_serial(&t);
    ok &= x509_algorithm(&t);
    c->issuer = der_take_whole(&t, DER_SEQUENCE);
    validity = der_enter(&t, DER_SEQUENCE);
    c->not_before = der_take_time(&validity);
    c->not_after = der_take_time(&validity);
    ok &= der_done(&validity);
    c->subject = der_take_whole(&t, DER_SEQUENCE);
    x509_key(&t, c->key);
    x509_extensions(&t, c);
    return ok && der_done(&t) && der_done(&d);
}

int x509_cert_parse(struct x509_cert *ret, struct mk_bytes der, struct mk_fault *reterr)
{
    struct der d = der_of(der), in = der_enter(&d, DER_SEQUENCE);
    struct x509_cert c = {.der = der, .path_len = UINT32_MAX};
    bool ok;

    if (der.n > X509_DER_MAX)
        return mk_fault(reterr, MK_ELIMIT, "certificate: longer than %u bytes", X509_DER_MAX);
    c.signed_part = der_take_whole(&in, DER_SEQUENCE);
    ok = x509_algorithm(&in);
    c.signature = der_take_bits(&in);
    if (!ok || !der_done(&in) || !der_done(&d) || !x509_tbs(&c))
        return mk_fault(reterr, MK_EMALFORMED,
                        "certificate: not of the shape of Intel's (X.509 v3, ECDSA P-256)");
    *ret = c;
    return 0;
}

const char *x509_common_name(struct mk_bytes name, char out[64])
{
    struct der d = der_of(name), n = der_enter(&d, DER_SEQUENCE);

    out[0] = '\0';
    while (der_more(&n)) {
        struct der set = der_enter(&n, DER_SET), pair = der_enter(&set, DER_SEQUENCE);
        bool cn = der_take_oid(&pair, OID_COMMON_NAME);
        int tag = der_peek(&pair);
        struct mk_bytes text = der_take(&pair, tag < 0 ? 0 : (uint8_t)tag);

        if (cn && text.n < 64) {
            for (size_t i = 0; i < text.n; i++)
                out[i] = text.p[i] >= 0x20 && text.p[i] < 0x7f ? (char)text.p[i] : '?';
            out[text.n] = '\0';
            break;
        }
    }
    return out;
}

/* --- revocation lists ---------------------------------------------------------------------- */

/* Each entry: serial, date, extensions of which none is read. */
static bool crl_entry(struct der *list)
{
    struct der e = der_enter(list, DER_SEQUENCE);

    x509_serial(&e);
    der_take_time(&e);
    if (der_more(&e))
        der_take(&e, DER_SEQUENCE);
    return der_done(&e);
}

/* CRL number and authority key alone are known; a critical one could limit the list's scope. */
static bool crl_extensions(struct der *t)
{
    struct der outer = der_enter(t, DER_CONTEXT_0), list = der_enter(&outer, DER_SEQUENCE);

    while (der_more(&list)) {
        struct der e = der_enter(&list, DER_SEQUENCE);

        der_take(&e, DER_OID);
        if (der_peek(&e) == DER_BOOLEAN && der_take_bool(&e))
            return false;
        der_take(&e, DER_OCTET_STRING);
        if (!der_done(&e))
            return false;
    }
    return der_done(&list) && der_done(&outer);
}

static bool crl_tbs(struct x509_crl *c)
{
    struct der d = der_of(c->signed_part), t = der_enter(&d, DER_SEQUENCE), list;
    bool ok = der_take_u32(&t) == 1;

    ok &= x509_algorithm(&t);
    c->issuer = der_take_whole(&t, DER_SEQUENCE);
    c->this_update = der_take_time(&t);
    c->next_update = der_take_time(&t);
    if (der_peek(&t) == DER_SEQUENCE)
        c->revoked = der_take(&t, DER_SEQUENCE);
    list = der_of(c->revoked);
    while (der_more(&list)) {
        if (!crl_entry(&list))
            return false;
    }
    return ok && der_done(&list) && crl_extensions(&t) && der_done(&t) && der_done(&d);
}

int x509_crl_parse(struct x509_crl *ret, struct mk_bytes der, struct mk_fault *reterr)
{
    struct der d = der_of(der), in = der_enter(&d, DER_SEQUENCE);
    struct x509_crl c = {.der = der};
    bool ok;

    c.signed_part = der_take_whole(&in, DER_SEQUENCE);
    ok = x509_algorithm(&in);
    c.signature = der_take_bits(&in);
    if (!ok || !der_done(&in) || !der_done(&d) || !crl_tbs(&c))
        return mk_fault(reterr, MK_EMALFORMED,
                        "revocation list: not of the shape of Intel's (X.509 v2, ECDSA P-256)");
    *ret = c;
    return 0;
}

/* The entries were checked when the list was parsed: here only their serials are read. */
bool x509_crl_lists(const struct x509_crl *crl, struct mk_bytes serial)
{
    struct der list = der_of(crl->revoked);

    while (der_more(&list)) {
        struct der e = der_enter(&list, DER_SEQUENCE);

        if (mk_bytes_eq(der_take(&e, DER_INTEGER), serial))
            return true;
    }
    return false;
}
