/* forge.c - see forge.h. Made with OpenSSL's own X.509, so that it shares no code with the
 * reader under test. */
#include "forge.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "attest/dates.h"

static const struct forge_cert certs[] = {
    [FORGE_ROOT] = {.subject = "Forged Root CA",
                    .issuer = "Forged Root CA",
                    .key = FORGE_ROOT,
                    .signer = FORGE_ROOT,
                    .serial = 1,
                    .ca = true,
                    .usage = KU_KEY_CERT_SIGN | KU_CRL_SIGN},
    [FORGE_CA] = {.subject = "Forged PCK CA",
                  .issuer = "Forged Root CA",
                  .key = FORGE_CA,
                  .signer = FORGE_ROOT,
                  .serial = 2,
                  .ca = true,
                  .usage = KU_KEY_CERT_SIGN | KU_CRL_SIGN},
    [FORGE_PCK] = {.subject = "Forged PCK",
                   .issuer = "Forged PCK CA",
                   .key = FORGE_PCK,
                   .signer = FORGE_CA,
                   .serial = 3,
                   .sgx = true,
                   .usage = KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION},
    [FORGE_TCB] = {.subject = "Forged TCB Signing",
                   .issuer = "Forged Root CA",
                   .key = FORGE_TCB,
                   .signer = FORGE_ROOT,
                   .serial = 4,
                   .usage = KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION},
};

#define COMPONENTS(a, b)                                                                   \
    "[{\"svn\":" #a "},{\"svn\":" #b "},{\"svn\":2},{\"svn\":2},{\"svn\":2},{\"svn\":2},"  \
    "{\"svn\":0},{\"svn\":0},{\"svn\":0},{\"svn\":0},{\"svn\":0},{\"svn\":0},{\"svn\":0}," \
    "{\"svn\":0},{\"svn\":0},{\"svn\":0}]"

void forge_init(struct forge *f)
{
    memset(f, 0, sizeof *f);
    for (unsigned i = 0; i < N_FORGE; i++)
        f->key[i] = EVP_EC_gen("P-256");
    for (unsigned i = 0; i < 4; i++) {
        f->cert[i] = certs[i];
        f->cert[i].from = FORGE_FROM;
        f->cert[i].to = FORGE_TO;
    }
    f->levels = "[{\"tcb\":{\"sgxtcbcomponents\":" COMPONENTS(
        5, 5) ",\"pcesvn\":11,"
              "\"tdxtcbcomponents\":" COMPONENTS(
                  3, 0) "},"
                        "\"tcbDate\":\"2024-03-13T00:00:00Z\",\"tcbStatus\":\"UpToDate\"}]";
    f->qe_levels = "[{\"tcb\":{\"isvsvn\":4},\"tcbDate\":\"2024-03-13T00:00:00Z\","
                   "\"tcbStatus\":\"UpToDate\"}]";
    f->fmspc = "00806F050000";
    f->pce_id = "0000";
    f->info_from = f->qe_from = f->list_from = FORGE_FROM;
    f->info_to = f->qe_to = f->list_to = FORGE_TO;
    f->json_signer = FORGE_TCB;
    forge_chain(f);
}

void forge_done(struct forge *f)
{
    for (unsigned i = 0; i < N_FORGE; i++)
        EVP_PKEY_free(f->key[i]);
    mk_buf_done(&f->chain);
    mk_quote_root_free(f->root);
}

/* --- certificates --------------------------------------------------------------------------- */

static void set_name(X509_NAME *name, const char *cn)
{
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)cn, -1, -1, 0), 1);
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const uint8_t *)"Forgers", -1, -1, 0),
        1);
}

static void add_raw(X509 *x, const char *oid, bool critical, const void *p, size_t n)
{
    ASN1_OBJECT *o = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *s = ASN1_OCTET_STRING_new();
    X509_EXTENSION *e;

    ASN1_OCTET_STRING_set(s, p, (int)n);
    e = X509_EXTENSION_create_by_OBJ(NULL, o, critical, s);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
    ASN1_OCTET_STRING_free(s);
    ASN1_OBJECT_free(o);
}

/* The SGX extension of a real shape: PPID, TCB, PCE-ID, FMSPC, type. Components as in the
 * default levels. */
static void add_sgx(X509 *x)
{
    static const uint8_t svn[18] = {5, 5, 2, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11};
    static const uint8_t head[] = {0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 1, 13, 1, 2};
    struct mk_buf tcb = {0}, all = {0};
    uint8_t oid10[] = {0x06, 0x0a, 0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 1, 13, 1, 0};

    for (uint8_t i = 1; i <= 17; i++) {
        mk_buf_put(&tcb, "\x30\x10", 2);
        mk_buf_put(&tcb, head, sizeof head);
        mk_buf_put_u8(&tcb, i);
        mk_buf_put(&tcb, "\x02\x01", 2);
        mk_buf_put_u8(&tcb, svn[i - 1]);
    }
    mk_buf_put(&tcb, "\x30\x1f", 2);
    mk_buf_put(&tcb, head, sizeof head);
    mk_buf_put(&tcb,
               "\x12\x04\x10"
               "0123456789abcdef",
               19);
    mk_buf_put(&all, "\x30\x82\0\0", 4);
    oid10[11] = 2; /* TCB */
    mk_buf_put(&all, "\x30\x82\0\0", 4);
    mk_buf_put(&all, oid10, sizeof oid10);
    mk_buf_put(&all, "\x30\x82", 2);
    mk_buf_put_u8(&all, (uint8_t)(tcb.n >> 8));
    mk_buf_put_u8(&all, (uint8_t)tcb.n);
    mk_buf_put(&all, tcb.p, tcb.n);
    all.p[6] = (uint8_t)((all.n - 8) >> 8);
    all.p[7] = (uint8_t)(all.n - 8);
    oid10[11] = 3; /* PCE-ID */
    mk_buf_put(&all, "\x30\x10", 2);
    mk_buf_put(&all, oid10, sizeof oid10);
    mk_buf_put(&all, "\x04\x02\0\0", 4);
    oid10[11] = 4; /* FMSPC */
    mk_buf_put(&all, "\x30\x14", 2);
    mk_buf_put(&all, oid10, sizeof oid10);
    mk_buf_put(&all, "\x04\x06\0\x80\x6f\x05\0\0", 8);
    oid10[11] = 5; /* type */
    mk_buf_put(&all, "\x30\x0f", 2);
    mk_buf_put(&all, oid10, sizeof oid10);
    mk_buf_put(&all, "\x0a\x01\x01", 3);
    all.p[2] = (uint8_t)((all.n - 4) >> 8);
    all.p[3] = (uint8_t)(all.n - 4);
    add_raw(x, "1.2.840.113741.1.13.1", false, all.p, all.n);
    mk_buf_done(&tcb);
    mk_buf_done(&all);
}

static void add_extensions(X509 *x, const struct forge_cert *c)
{
    uint8_t usage[] = {0x03, 0x02, 0x00, (uint8_t)c->usage};

    if (c->usage != 0)
        add_raw(x, "2.5.29.15", true, usage, sizeof usage);
    if (c->ca)
        add_raw(x, "2.5.29.19", true, "\x30\x03\x01\x01\xff", 5);
    else
        add_raw(x, "2.5.29.19", true, "\x30\x00", 2);
    if (c->sgx)
        add_sgx(x);
    if (c->strange_critical)
        add_raw(x, "1.2.3.4", true, "\x05\x00", 2);
}

void forge_certificate(struct forge *f, const struct forge_cert *c, struct mk_buf *out)
{
    X509 *x = X509_new();
    uint8_t *der = NULL;
    int n;

    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), c->serial);
    set_name(X509_get_subject_name(x), c->subject);
    set_name(X509_get_issuer_name(x), c->issuer);
    ASN1_TIME_set(X509_getm_notBefore(x), (time_t)c->from);
    ASN1_TIME_set(X509_getm_notAfter(x), (time_t)c->to);
    X509_set_pubkey(x, f->key[c->key]);
    add_extensions(x, c);
    assert_true(X509_sign(x, f->key[c->signer], EVP_sha256()) > 0);
    n = i2d_X509(x, &der);
    assert_true(n > 0);
    mk_buf_put(out, der, (size_t)n);
    OPENSSL_free(der);
    X509_free(x);
}

void forge_pem(struct mk_bytes der, struct mk_buf *out)
{
    BIO *b = BIO_new(BIO_s_mem());
    char *text;
    long n;

    PEM_write_bio(b, "CERTIFICATE", "", der.p, (long)der.n);
    n = BIO_get_mem_data(b, &text);
    mk_buf_put(out, text, (size_t)n);
    BIO_free(b);
}

static void put_pem(struct forge *f, enum forge_key which, struct mk_buf *out)
{
    struct mk_buf der = {0};

    forge_certificate(f, &f->cert[which], &der);
    forge_pem(mk_buf_bytes(&der), out);
    mk_buf_done(&der);
}

void forge_chain(struct forge *f)
{
    struct mk_buf root = {0};
    struct mk_fault fault = {{0}};

    mk_buf_clear(&f->chain);
    put_pem(f, FORGE_PCK, &f->chain);
    put_pem(f, FORGE_CA, &f->chain);
    put_pem(f, FORGE_ROOT, &root);
    mk_buf_put(&f->chain, root.p, root.n);
    mk_quote_root_free(f->root);
    f->root = NULL;
    if (mk_quote_root_new(&f->root, mk_buf_bytes(&root), &fault) != 0)
        fail_msg("%s", fault.text);
    mk_buf_done(&root);
}

/* --- quotes ---------------------------------------------------------------------------------- */

static void sign_raw(EVP_PKEY *key, struct mk_bytes message, uint8_t ret[64])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t der[80];
    const uint8_t *p = der;
    size_t n = sizeof der;
    ECDSA_SIG *sig;

    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, der, &n, message.p, message.n), 1);
    sig = d2i_ECDSA_SIG(NULL, &p, (long)n);
    BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret + 32, 32);
    ECDSA_SIG_free(sig);
    EVP_MD_CTX_free(ctx);
}

void forge_quote(struct forge *f, struct mk_quote *q, uint16_t version, enum mk_quote_body body)
{
    uint8_t point[65];
    size_t n;

    memset(q, 0, sizeof *q);
    q->version = version;
    q->body = body;
    q->tee = body == MK_BODY_SGX ? MK_TEE_SGX : MK_TEE_TDX;
    f->sgx = body == MK_BODY_SGX;
    memcpy(q->td.tee_tcb_svn, "\x03\x00\x02\x02\x02\x02", 6);
    memcpy(q->td.tee_tcb_svn_2, "\x03\x00\x02\x02\x02\x02", 6);
    memset(q->td.mr_td, 0xa1, sizeof q->td.mr_td);
    for (unsigned i = 0; i < 4; i++)
        memset(q->td.rtmr[i], (int)(0xb0 + i), sizeof q->td.rtmr[i]);
    memset(q->td.report_data, 0xda, sizeof q->td.report_data);
    memset(q->enclave.report_data, 0xda, sizeof q->enclave.report_data);
    memset(q->qe_report.mr_signer, 0x51, sizeof q->qe_report.mr_signer);
    q->qe_report.isv_prod_id[0] = 2;
    q->qe_report.isv_svn[0] = 4;
    q->qe_auth = MK_BYTES("auth", 4);
    q->cert_type = MK_CERT_PCK_CHAIN;
    q->cert_data = mk_buf_bytes(&f->chain);
    EVP_PKEY_get_octet_string_param(f->key[FORGE_ATT], "pub", point, sizeof point, &n);
    assert_int_equal(n, 65);
    memcpy(q->attestation_key, point + 1, 64);
}

void forge_sign(struct forge *f, struct mk_quote *q, struct mk_buf *out)
{
    struct mk_buf part = {0};

    mk_quote_qe_binding(q, q->qe_report.report_data);
    sign_raw(f->key[FORGE_PCK], MK_BYTES(&q->qe_report, sizeof q->qe_report), q->qe_signature);
    mk_quote_format_signed(q, &part);
    sign_raw(f->key[FORGE_ATT], mk_buf_bytes(&part), q->signature);
    mk_buf_clear(out);
    mk_quote_format(q, out);
    mk_buf_done(&part);
}

/* --- collateral ------------------------------------------------------------------------------- */

void forge_list(struct forge *f, const struct forge_cert *signer, unsigned revoked,
                struct mk_buf *out)
{
    X509_CRL *crl = X509_CRL_new();
    X509_NAME *name = X509_NAME_new();
    ASN1_TIME *t = ASN1_TIME_new();
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    uint8_t *der = NULL;
    int n;

    X509_CRL_set_version(crl, 1);
    set_name(name, signer->subject);
    X509_CRL_set_issuer_name(crl, name);
    X509_CRL_set1_lastUpdate(crl, ASN1_TIME_set(t, (time_t)f->list_from));
    X509_CRL_set1_nextUpdate(crl, ASN1_TIME_set(t, (time_t)f->list_to));
    if (revoked != 0) {
        X509_REVOKED *r = X509_REVOKED_new();

        ASN1_INTEGER_set(number, revoked);
        X509_REVOKED_set_serialNumber(r, number);
        X509_REVOKED_set_revocationDate(r, ASN1_TIME_set(t, (time_t)f->list_from));
        X509_CRL_add0_revoked(crl, r);
    }
    ASN1_INTEGER_set(number, 1);
    X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0);
    assert_true(X509_CRL_sign(crl, f->key[signer->key], EVP_sha256()) > 0);
    n = i2d_X509_CRL(crl, &der);
    mk_buf_put(out, der, (size_t)n);
    OPENSSL_free(der);
    ASN1_INTEGER_free(number);
    ASN1_TIME_free(t);
    X509_NAME_free(name);
    X509_CRL_free(crl);
}

static void put_json_string(struct mk_buf *out, const char *key, struct mk_bytes text)
{
    mk_buf_printf(out, "%s\"%s\":\"", out->n > 1 ? "," : "", key);
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\n')
            mk_buf_put_str(out, "\\n");
        else if (text.p[i] == '"')
            mk_buf_put_str(out, "\\\"");
        else
            mk_buf_put_u8(out, text.p[i]);
    }
    mk_buf_put_u8(out, '"');
}

static void put_hex(struct mk_buf *out, const char *key, struct mk_bytes b)
{
    char *hex = mk_alloc(2 * b.n + 1);

    mk_hex(hex, b.p, b.n);
    put_json_string(out, key, MK_BYTES(hex, 2 * b.n));
    mk_free(hex);
}

static void put_list(struct forge *f, const char *key, enum forge_key signer, unsigned revoked,
                     struct mk_buf *out)
{
    struct mk_buf der = {0};

    forge_list(f, &f->cert[signer], revoked, &der);
    put_hex(out, key, mk_buf_bytes(&der));
    mk_buf_done(&der);
}

static void put_signed(struct forge *f, const char *key, struct mk_bytes json, struct mk_buf *out)
{
    uint8_t signature[64];
    char name[64];

    sign_raw(f->key[f->json_signer], json, signature);
    put_json_string(out, key, json);
    snprintf(name, sizeof name, "%s_signature", key);
    put_hex(out, name, MK_BYTES(signature, sizeof signature));
}

static void put_info(struct forge *f, struct mk_buf *out)
{
    static const char zero[] = "000000000000000000000000000000000000000000000000"
                               "000000000000000000000000000000000000000000000000";
    char from[DATE_MAX], to[DATE_MAX];
    struct mk_buf json = {0};

    mk_buf_printf(&json,
                  "{\"id\":\"%s\",\"version\":3,\"issueDate\":\"%s\",\"nextUpdate\":\"%s\","
                  "\"fmspc\":\"%s\",\"pceId\":\"%s\",\"tcbType\":0,"
                  "\"tcbEvaluationDataNumber\":17,",
                  f->sgx ? "SGX" : "TDX", date_text(f->info_from, from), date_text(f->info_to, to),
                  f->fmspc, f->pce_id);
    if (!f->sgx)
        mk_buf_printf(&json,
                      "\"tdxModule\":{\"mrsigner\":\"%s\",\"attributes\":\"0000000000000000\","
                      "\"attributesMask\":\"FFFFFFFFFFFFFFFF\"},",
                      zero);
    if (f->modules != NULL)
        mk_buf_printf(&json, "\"tdxModuleIdentities\":%s,", f->modules);
    mk_buf_printf(&json, "\"tcbLevels\":%s}", f->levels);
    put_signed(f, "tcb_info", mk_buf_bytes(&json), out);
    mk_buf_done(&json);
}

static void put_identity(struct forge *f, struct mk_buf *out)
{
    char from[DATE_MAX], to[DATE_MAX];
    struct mk_buf json = {0};

    mk_buf_printf(&json,
                  "{\"id\":\"%s\",\"version\":2,\"issueDate\":\"%s\",\"nextUpdate\":\"%s\","
                  "\"tcbEvaluationDataNumber\":17,\"miscselect\":\"00000000\","
                  "\"miscselectMask\":\"FFFFFFFF\","
                  "\"attributes\":\"00000000000000000000000000000000\","
                  "\"attributesMask\":\"FBFFFFFFFFFFFFFF0000000000000000\",\"mrsigner\":\""
                  "5151515151515151515151515151515151515151515151515151515151515151\","
                  "\"isvprodid\":2,\"tcbLevels\":%s}",
                  f->sgx ? "QE" : "TD_QE", date_text(f->qe_from, from), date_text(f->qe_to, to),
                  f->qe_levels);
    put_signed(f, "qe_identity", mk_buf_bytes(&json), out);
    mk_buf_done(&json);
}

void forge_collateral(struct forge *f, struct mk_buf *out)
{
    struct mk_buf pem = {0};

    mk_buf_clear(out);
    mk_buf_put_u8(out, '{');
    put_pem(f, FORGE_CA, &pem);
    put_pem(f, FORGE_ROOT, &pem);
    put_json_string(out, "pck_crl_issuer_chain", mk_buf_bytes(&pem));
    put_list(f, "root_ca_crl", FORGE_ROOT, f->revoked_by_root, out);
    put_list(f, "pck_crl", FORGE_CA, f->revoked_by_ca, out);
    mk_buf_clear(&pem);
    put_pem(f, FORGE_TCB, &pem);
    put_pem(f, FORGE_ROOT, &pem);
    put_json_string(out, "tcb_info_issuer_chain", mk_buf_bytes(&pem));
    put_info(f, out);
    put_identity(f, out);
    mk_buf_put_u8(out, '}');
    mk_buf_done(&pem);
}

/* --- judged ----------------------------------------------------------------------------- */

void forge_add(struct mk_collateral *c, struct mk_bytes doc, int want)
{
    struct mk_fault fault = {{0}};
    int rv = mk_collateral_add(c, &doc, 1, &fault);

    if (rv != want)
        fail_msg("%d instead of %d: %s", rv, want, fault.text);
    assert_int_equal(rv == 0, fault.text[0] == '\0');
}

struct mk_quote_verdict forge_judge(struct forge *f, struct mk_quote *q, uint64_t now)
{
    struct mk_collateral *c = mk_collateral_new(f->root);
    struct mk_buf doc = {0}, bytes = {0};
    struct mk_quote_verdict v;
    struct mk_quote parsed;

    forge_sign(f, q, &bytes);
    assert_int_equal(mk_quote_parse(&parsed, mk_buf_bytes(&bytes), NULL), 0);
    forge_collateral(f, &doc);
    forge_add(c, mk_buf_bytes(&doc), 0);
    mk_quote_verify(f->root, c, &parsed, NULL, now, &v);
    assert_int_equal(v.ok, v.reason[0] == '\0');
    mk_collateral_free(c);
    mk_buf_done(&doc);
    mk_buf_done(&bytes);
    return v;
}

void forge_expect(struct mk_quote_verdict v, const char *reason)
{
    if (reason == NULL && !v.ok)
        fail_msg("refused: %s", v.reason);
    if (reason != NULL && (v.ok || strstr(v.reason, reason) == NULL))
        fail_msg("expected \"%s\", got \"%s\"", reason, v.reason);
}
