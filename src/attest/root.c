/* root.c - see root.h. */
#include "attest/root.h"

#include "attest/dates.h"
#include "attest/pem.h"
#include "base/assert.h"

#include <string.h>

/* --- spans -------------------------------------------------------------------------------- */

int span_check(const struct span *s, const char *what, uint64_t now_s, struct mk_fault *reterr)
{
    char date[DATE_MAX];

    if (now_s >= s->to)
        return mk_fault(reterr, MK_ESTALE, "%s expired at %s", what, date_text(s->to, date));
    if (now_s < s->from)
        return mk_fault(reterr, MK_ESTALE, "%s is not valid before %s", what,
                        date_text(s->from, date));
    return 0;
}

void span_narrow(struct span *s, uint64_t from, uint64_t to)
{
    s->from = from > s->from ? from : s->from;
    s->to = to < s->to ? to : s->to;
}

/* --- the root ------------------------------------------------------------------------------ */

void signer_id(const struct x509_cert *c, uint8_t ret[32])
{
    struct mk_buf b = {0};

    mk_buf_put(&b, c->subject.p, c->subject.n);
    mk_buf_put(&b, c->key, sizeof c->key);
    sha256(mk_buf_bytes(&b), ret);
    mk_buf_done(&b);
}

/* The certificate's bytes, from either form. */
static int root_der(struct mk_buf *ret, struct mk_bytes certificate, struct mk_fault *reterr)
{
    struct pem_block block;
    size_t n;
    int rv;

    if (!pem_is(certificate)) {
        if (certificate.n > X509_DER_MAX)
            return mk_fault(reterr, MK_ELIMIT, "longer than %u bytes", X509_DER_MAX);
        mk_buf_put(ret, certificate.p, certificate.n);
        return 0;
    }
    rv = pem_read(&block, 1, &n, certificate, ret, reterr);
    if (rv == 0 && (n != 1 || block.kind != PEM_CERTIFICATE))
        rv = mk_fault(reterr, MK_EMALFORMED, "not one certificate");
    return rv;
}

static int root_open(struct mk_quote_root *r, struct mk_bytes certificate, struct mk_fault *reterr)
{
    struct mk_fault why = {{0}};
    int rv = root_der(&r->der, certificate, &why);

    if (rv == 0)
        rv = x509_cert_parse(&r->cert, mk_buf_bytes(&r->der), &why);
    if (rv != 0)
        return mk_fault(reterr, rv, "root certificate: %s", why.text);
    if (!r->cert.is_ca || !mk_bytes_eq(r->cert.issuer, r->cert.subject))
        return mk_fault(reterr, MK_EMALFORMED, "root certificate: not of a root");
    r->key = p256_key(r->cert.key);
    if (r->key == NULL || !p256_verify_der(r->key, r->cert.signed_part, r->cert.signature))
        return mk_fault(reterr, MK_ESIGNATURE, "root certificate: it is not signed by itself");
    signer_id(&r->cert, r->id);
    return 0;
}

int mk_quote_root_new(struct mk_quote_root **ret, struct mk_bytes certificate,
                      struct mk_fault *reterr)
{
    struct mk_quote_root *r = mk_alloc(sizeof *r);
    int rv = root_open(r, certificate, reterr);

    if (rv != 0) {
        mk_quote_root_free(r);
        return rv;
    }
    *ret = r;
    return 0;
}

void mk_quote_root_free(struct mk_quote_root *r)
{
    if (r == NULL)
        return;
    for (unsigned i = 0; i < ROOT_CHAINS; i++)
        p256_key_free(r->chains[i].key);
    p256_key_free(r->key);
    mk_buf_done(&r->der);
    mk_free(r);
}

bool root_is(const struct mk_quote_root *r, const struct x509_cert *c)
{
    if (mk_bytes_eq(c->der, r->cert.der))
        return true;
    return mk_bytes_eq(c->subject, r->cert.subject) && mk_bytes_eq(c->issuer, c->subject) &&
           memcmp(c->key, r->cert.key, sizeof c->key) == 0 &&
           p256_verify_der(r->key, c->signed_part, c->signature);
}

int root_signed(struct mk_quote_root *r, const struct x509_cert *c, struct mk_fault *reterr)
{
    char subject[64], issuer[64];
    uint8_t digest[32];

    if (!mk_bytes_eq(c->issuer, r->cert.subject))
        return mk_fault(reterr, MK_EREFUSED,
                        "certificate \"%s\" is issued by \"%s\", not by the "
                        "trusted root",
                        x509_common_name(c->subject, subject), x509_common_name(c->issuer, issuer));
    sha256(c->der, digest);
    for (unsigned i = 0; i < ROOT_SIGNERS && i < r->n_signers; i++) {
        if (memcmp(r->signers[i], digest, sizeof digest) == 0)
            return 0;
    }
    if (!p256_verify_der(r->key, c->signed_part, c->signature))
        return mk_fault(reterr, MK_ESIGNATURE,
                        "certificate \"%s\" is not signed by the trusted root",
                        x509_common_name(c->subject, subject));
    memcpy(r->signers[r->n_signers++ % ROOT_SIGNERS], digest, sizeof digest);
    return 0;
}

int root_check_ca(struct mk_quote_root *r, const struct x509_cert *c, struct mk_fault *reterr)
{
    char subject[64];

    if (!c->is_ca || (c->has_usage && (c->usage & X509_CERT_SIGN) == 0))
        return mk_fault(reterr, MK_EREFUSED, "certificate \"%s\" may not issue others",
                        x509_common_name(c->subject, subject));
    return root_signed(r, c, reterr);
}

/* --- PCK chains ---------------------------------------------------------------------------- */

#define CHAIN_MAX 3u

struct chain {
    struct mk_buf bytes; /* decoded PEM */
    struct x509_cert cert[CHAIN_MAX];
    size_t n;
};

/* One certificate after the other in DER, as Intel's own samples have it. */
static int chain_split_der(struct pem_block *ret, size_t *ret_n, struct mk_bytes data,
                           struct mk_fault *reterr)
{
    size_t n = 0;

    while (data.n > 0 && data.p[0] != 0) {
        size_t len = data.n > 4 ? 4u + (size_t)(data.p[2] << 8 | data.p[3]) : 0;

        if (n == CHAIN_MAX || len == 0 || len > data.n || data.p[0] != 0x30 || data.p[1] != 0x82)
            return mk_fault(reterr, MK_EMALFORMED, "certificate chain: neither PEM nor DER");
        ret[n++] = (struct pem_block){PEM_CERTIFICATE, MK_BYTES(data.p, len)};
        data = MK_BYTES(data.p + len, data.n - len);
    }
    *ret_n = n;
    return 0;
}

/* Machines put the PCK first; Intel's own test chain has the root first. */
static void chain_turn(struct chain *c)
{
    struct x509_cert first = c->cert[0];

    if (mk_bytes_eq(first.issuer, first.subject)) {
        c->cert[0] = c->cert[c->n - 1];
        c->cert[c->n - 1] = first;
    }
}

static int chain_read(struct chain *c, struct mk_bytes data, struct mk_fault *reterr)
{
    struct pem_block blocks[CHAIN_MAX];
    int rv = data.n > 0 && data.p[0] == 0x30
                 ? chain_split_der(blocks, &c->n, data, reterr)
                 : pem_read(blocks, CHAIN_MAX, &c->n, data, &c->bytes, reterr);

    if (rv == 0 && c->n < 2)
        return mk_fault(reterr, MK_EMALFORMED,
                        "certificate chain: %zu certificates; PCK and its CA are needed", c->n);
    for (size_t i = 0; rv == 0 && i < c->n; i++) {
        if (blocks[i].kind != PEM_CERTIFICATE)
            return mk_fault(reterr, MK_EMALFORMED, "certificate chain: item %zu is none", i + 1);
        rv = x509_cert_parse(&c->cert[i], blocks[i].der, reterr);
    }
    if (rv == 0)
        chain_turn(c);
    return rv;
}

/* The signatures, from the root down. */
static int chain_verify(struct mk_quote_root *r, const struct chain *c, struct mk_fault *reterr)
{
    const struct x509_cert *leaf = &c->cert[0], *ca = &c->cert[1];
    struct evp_pkey_st *key;
    bool ok;
    int rv = root_check_ca(r, ca, reterr);

    if (rv != 0)
        return rv;
    if (c->n > 2 && !root_is(r, &c->cert[2]))
        return mk_fault(reterr, MK_EREFUSED, "certificate chain: its root is not the trusted one");
    if (leaf->is_ca || leaf->sgx.p == NULL ||
        (leaf->has_usage && (leaf->usage & X509_DIGITAL_SIGNATURE) == 0))
        return mk_fault(reterr, MK_EREFUSED,
                        "certificate chain: its first certificate is not of a PCK");
    if (!mk_bytes_eq(leaf->issuer, ca->subject))
        return mk_fault(reterr, MK_EREFUSED,
                        "certificate chain: the PCK is not issued by the CA beside it");
    key = p256_key(ca->key);
    ok = key != NULL && p256_verify_der(key, leaf->signed_part, leaf->signature);
    p256_key_free(key);
    if (!ok)
        return mk_fault(reterr, MK_ESIGNATURE, "the PCK certificate is not signed by its CA");
    return 0;
}

static void copy_serial(uint8_t *ret, uint8_t *ret_n, struct mk_bytes serial)
{
    MK_ASSERT(serial.n <= 21); /* the parser's limit */
    memcpy(ret, serial.p, serial.n);
    *ret_n = (uint8_t)serial.n;
}

static int pck_fill(struct pck *p, const struct mk_quote_root *r, const struct chain *c,
                    struct mk_fault *reterr)
{
    int rv = x509_platform_parse(&p->platform, c->cert[0].sgx, reterr);

    if (rv != 0)
        return rv;
    p->key = p256_key(c->cert[0].key);
    if (p->key == NULL)
        return mk_fault(reterr, MK_EMALFORMED, "the PCK's key is no point of its curve");
    p->span = (struct span){r->cert.not_before, r->cert.not_after};
    for (size_t i = 0; i < c->n; i++)
        span_narrow(&p->span, c->cert[i].not_before, c->cert[i].not_after);
    copy_serial(p->serial, &p->n_serial, c->cert[0].serial);
    copy_serial(p->ca_serial, &p->n_ca_serial, c->cert[1].serial);
    signer_id(&c->cert[1], p->ca);
    return 0;
}

static int pck_read(struct pck *p, struct mk_quote_root *r, struct mk_bytes cert_data,
                    struct mk_fault *reterr)
{
    struct chain c = {0};
    int rv = chain_read(&c, cert_data, reterr);

    if (rv == 0)
        rv = chain_verify(r, &c, reterr);
    if (rv == 0)
        rv = pck_fill(p, r, &c, reterr);
    mk_buf_done(&c.bytes);
    return rv;
}

int root_pck(struct mk_quote_root *r, struct mk_bytes cert_data, const struct pck **ret,
             struct mk_fault *reterr)
{
    struct pck fresh = {.used = true}, *slot;
    int rv;

    sha256(cert_data, fresh.digest);
    for (unsigned i = 0; i < ROOT_CHAINS; i++) {
        if (r->chains[i].used && memcmp(r->chains[i].digest, fresh.digest, 32) == 0) {
            *ret = &r->chains[i];
            return 0;
        }
    }
    rv = pck_read(&fresh, r, cert_data, reterr);
    if (rv != 0)
        return rv;
    slot = &r->chains[r->next_chain++ % ROOT_CHAINS];
    p256_key_free(slot->key);
    *slot = fresh;
    *ret = slot;
    return 0;
}
