/* emulator.c - see the header, and pki.c for keys and certificates.
 *
 * Happy path: everything that does not depend on the quoted bytes (keys, certificates, the
 * QE's report and its signature) is made once; a quote is then one signature. Collateral is
 * made on demand, since it has dates.
 *
 * Failure modes: OpenSSL's only; each ends in MK_EIO and nothing is handed out. */

#include "base/assert.h"
#include "emulator/pki.h"
#include <mosaik/attest.h>
#include <mosaik/emulator.h>
#include <mosaik/key.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define QE_SVN 1u
#define QE_PROD 2u
#define QE_ATTRIBUTES 0x11u

static const uint8_t intel_qe[16] = {0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9,
                                     0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07};

struct mk_emulator {
    EVP_PKEY *root_key, *ca_key, *pck_key, *tcb_key, *att_key;
    X509 *root, *ca, *pck, *tcb;
    struct mk_quote quote; /* all but report data and signature */
    struct mk_buf chain;   /* PEM: PCK, CA, root */
    uint8_t qe_auth[32];
};

/* --- the platform ----------------------------------------------------------------------- */

static int make_keys(struct mk_emulator *e, const uint8_t seed[32])
{
    e->root_key = emu_key(seed, "root");
    e->ca_key = emu_key(seed, "pck-ca");
    e->pck_key = emu_key(seed, "pck");
    e->tcb_key = emu_key(seed, "tcb-signing");
    e->att_key = emu_key(seed, "attestation");
    if (e->root_key == NULL || e->ca_key == NULL || e->pck_key == NULL || e->tcb_key == NULL ||
        e->att_key == NULL)
        return MK_EIO;
    e->root = emu_certificate(EMU_ROOT, e->root_key, e->root_key);
    e->ca = emu_certificate(EMU_PCK_CA, e->ca_key, e->root_key);
    e->pck = emu_certificate(EMU_PCK, e->pck_key, e->ca_key);
    e->tcb = emu_certificate(EMU_TCB_SIGNING, e->tcb_key, e->root_key);
    if (e->root == NULL || e->ca == NULL || e->pck == NULL || e->tcb == NULL ||
        emu_pem(e->pck, &e->chain) != 0 || emu_pem(e->ca, &e->chain) != 0 ||
        emu_pem(e->root, &e->chain) != 0)
        return MK_EIO;
    return 0;
}

static void put48(uint8_t ret[48], const struct mk_opt_b48 *v)
{
    if (v->some)
        memcpy(ret, v->v.b, 48);
}

static void measure(struct mk_td_report *td, const struct mk_measurements *m)
{
    td->tee_tcb_svn[0] = EMU_SVN; /* of module version 0: the TCB info's tdxModule */
    td->td_attributes[3] = 0x10;  /* as real guests have it: no #VE on pending pages */
    td->xfam[0] = 0xe7;
    td->xfam[1] = 0x02;
    td->xfam[2] = 0x06;
    memcpy(td->mr_td, m->mr_td.b, 48);
    put48(td->mr_config_id, &m->mr_config_id);
    put48(td->mr_owner, &m->mr_owner);
    put48(td->mr_owner_config, &m->mr_owner_config);
    put48(td->rtmr[0], &m->rtmr0);
    put48(td->rtmr[1], &m->rtmr1);
    put48(td->rtmr[2], &m->rtmr2);
    put48(td->rtmr[3], &m->rtmr3);
}

static void qe_signer(uint8_t ret[32])
{
    struct mk_id h = mk_hash(MK_BYTES(MK_EMULATOR_NAME, sizeof MK_EMULATOR_NAME - 1));

    memcpy(ret, h.b, 32);
}

/* The quoting enclave's report, bound to the attestation key and signed by the PCK. */
static int make_qe(struct mk_emulator *e)
{
    struct mk_quote *q = &e->quote;
    struct mk_sgx_report *r = &q->qe_report;

    for (unsigned i = 0; i < sizeof e->qe_auth; i++)
        e->qe_auth[i] = (uint8_t)i;
    q->qe_auth = MK_BYTES(e->qe_auth, sizeof e->qe_auth);
    memset(r->cpu_svn, EMU_SVN, sizeof r->cpu_svn);
    r->attributes[0] = QE_ATTRIBUTES;
    qe_signer(r->mr_signer);
    r->isv_prod_id[0] = QE_PROD;
    r->isv_svn[0] = QE_SVN;
    if (emu_public(e->att_key, q->attestation_key) != 0)
        return MK_EIO;
    mk_quote_qe_binding(q, r->report_data);
    return emu_sign(e->pck_key, MK_BYTES(r, sizeof *r), q->qe_signature);
}

int mk_emulator_new(struct mk_emulator **ret, const uint8_t seed[32],
                    const struct mk_measurements *measured, struct mk_fault *reterr)
{
    struct mk_emulator *e = mk_alloc(sizeof *e);
    struct mk_quote *q = &e->quote;

    q->version = 4;
    q->tee = MK_TEE_TDX;
    q->body = MK_BODY_TDX10;
    q->header.version[0] = 4;
    q->header.att_key_type[0] = 2;
    q->header.tee_type[0] = MK_TEE_TDX;
    memcpy(q->header.qe_vendor_id, intel_qe, sizeof intel_qe);
    measure(&q->td, measured);
    if (make_keys(e, seed) != 0 || make_qe(e) != 0) {
        mk_emulator_free(e);
        return mk_fault(reterr, MK_EIO, "the TDX emulator: OpenSSL failed");
    }
    q->cert_type = MK_CERT_PCK_CHAIN;
    q->cert_data = mk_buf_bytes(&e->chain);
    *ret = e;
    return 0;
}

void mk_emulator_free(struct mk_emulator *e)
{
    if (e == NULL)
        return;
    X509_free(e->root);
    X509_free(e->ca);
    X509_free(e->pck);
    X509_free(e->tcb);
    EVP_PKEY_free(e->root_key); /* OpenSSL clears scalars when it frees them */
    EVP_PKEY_free(e->ca_key);
    EVP_PKEY_free(e->pck_key);
    EVP_PKEY_free(e->tcb_key);
    EVP_PKEY_free(e->att_key);
    mk_buf_done(&e->chain);
    mk_free(e);
}

void mk_emulator_root(const struct mk_emulator *e, struct mk_buf *out)
{
    MK_ASSERT(emu_pem(e->root, out) == 0); /* it worked when the chain was made */
}

int mk_emulator_quote(const struct mk_emulator *e, const uint8_t data[64], struct mk_buf *out,
                      struct mk_fault *reterr)
{
    struct mk_quote q = e->quote;
    struct mk_buf b = {0};
    int rv;

    memcpy(q.td.report_data, data, 64);
    mk_quote_format_signed(&q, &b);
    rv = emu_sign(e->att_key, mk_buf_bytes(&b), q.signature);
    mk_buf_done(&b);
    if (rv != 0)
        return mk_fault(reterr, rv, "the TDX emulator: OpenSSL failed to sign");
    mk_quote_format(&q, out);
    return 0;
}

/* --- collateral --------------------------------------------------------------------------------
 */

static json_t *components(unsigned n_ones)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < 16; i++)
        json_array_append_new(list, json_pack("{s:i}", "svn", i < n_ones ? (int)EMU_SVN : 0));
    return list;
}

static json_t *tcb_info(const char *issued, const char *until)
{
    char zeros[97], fmspc[13];

    memset(zeros, '0', sizeof zeros - 1);
    zeros[sizeof zeros - 1] = '\0';
    mk_hex(fmspc, EMU_FMSPC, 6);
    for (char *p = fmspc; *p != '\0'; p++)
        *p = *p >= 'a' ? (char)(*p - 'a' + 'A') : *p;
    return json_pack(
        "{s:s, s:i, s:s, s:s, s:s, s:s, s:i, s:i, s:{s:s, s:s, s:s}, s:[], s:[{s:{s:o, "
        "s:i, s:o}, s:s, s:s}]}",
        "id", "TDX", "version", 3, "issueDate", issued, "nextUpdate", until, "fmspc", fmspc,
        "pceId", "0000", "tcbType", 0, "tcbEvaluationDataNumber", 1, "tdxModule", "mrsigner", zeros,
        "attributes", "0000000000000000", "attributesMask", "FFFFFFFFFFFFFFFF",
        "tdxModuleIdentities", "tcbLevels", "tcb", "sgxtcbcomponents", components(16), "pcesvn",
        (int)EMU_PCE_SVN, "tdxtcbcomponents", components(1), "tcbDate", "2020-01-01T00:00:00Z",
        "tcbStatus", "UpToDate");
}

static json_t *qe_identity(const char *issued, const char *until)
{
    uint8_t signer[32];
    char hex[65], attributes[33] = "11000000000000000000000000000000";

    qe_signer(signer);
    mk_hex(hex, signer, sizeof signer);
    for (char *p = hex; *p != '\0'; p++)
        *p = *p >= 'a' ? (char)(*p - 'a' + 'A') : *p;
    return json_pack("{s:s, s:i, s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:i, s:[{s:{s:i}, s:s, "
                     "s:s}]}",
                     "id", "TD_QE", "version", 2, "issueDate", issued, "nextUpdate", until,
                     "tcbEvaluationDataNumber", 1, "miscselect", "00000000", "miscselectMask",
                     "FFFFFFFF", "attributes", attributes, "attributesMask",
                     "FBFFFFFFFFFFFFFF0000000000000000", "mrsigner", hex, "isvprodid", (int)QE_PROD,
                     "tcbLevels", "tcb", "isvsvn", (int)QE_SVN, "tcbDate", "2020-01-01T00:00:00Z",
                     "tcbStatus", "UpToDate");
}

/* Puts the text of doc (taken) and the TCB key's signature over it. */
static int put_signed(const struct mk_emulator *e, json_t *o, const char *key, json_t *doc)
{
    char *text = doc != NULL ? json_dumps(doc, JSON_COMPACT) : NULL, name[40], hex[129];
    uint8_t sig[64];
    int rv = MK_EIO;

    json_decref(doc);
    if (text != NULL && emu_sign(e->tcb_key, MK_BYTES(text, strlen(text)), sig) == 0) {
        mk_hex(hex, sig, sizeof sig);
        snprintf(name, sizeof name, "%s_signature", key);
        json_object_set_new(o, key, json_string(text));
        json_object_set_new(o, name, json_string(hex));
        rv = 0;
    }
    free(text); /* tidy: ok, jansson made it */
    return rv;
}

static int put_chain(json_t *o, const char *key, X509 *leaf, X509 *root)
{
    struct mk_buf pem = {0};
    int rv = emu_pem(leaf, &pem) != 0 || emu_pem(root, &pem) != 0 ? MK_EIO : 0;

    if (rv == 0)
        json_object_set_new(o, key, json_stringn((const char *)pem.p, pem.n));
    mk_buf_done(&pem);
    return rv;
}

static int put_crl(json_t *o, const char *key, enum emu_cert of, EVP_PKEY *issuer, uint64_t issued,
                   uint64_t until)
{
    struct mk_buf der = {0};
    char *hex;
    int rv = emu_crl(of, issuer, issued, until, &der);

    if (rv == 0) {
        hex = mk_alloc(2 * der.n + 1);
        mk_hex(hex, der.p, der.n);
        json_object_set_new(o, key, json_string(hex));
        mk_free(hex);
    }
    mk_buf_done(&der);
    return rv;
}

static int time_text(uint64_t s, char ret[32])
{
    ASN1_TIME *t = ASN1_TIME_set(NULL, (time_t)s);
    struct tm tm;
    int rv = t != NULL && ASN1_TIME_to_tm(t, &tm) == 1 ? 0 : MK_EIO;

    if (rv == 0)
        snprintf(ret, 32, "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)(tm.tm_year + 1900) % 10000,
                 (unsigned)(tm.tm_mon + 1) % 100, (unsigned)tm.tm_mday % 100,
                 (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
    ASN1_TIME_free(t);
    return rv;
}

static int fill_collateral(const struct mk_emulator *e, json_t *o, uint64_t issued_s,
                           uint64_t until_s)
{
    char issued[32], until[32];

    if (time_text(issued_s, issued) != 0 || time_text(until_s, until) != 0 ||
        put_chain(o, "pck_crl_issuer_chain", e->ca, e->root) != 0 ||
        put_crl(o, "root_ca_crl", EMU_ROOT, e->root_key, issued_s, until_s) != 0 ||
        put_crl(o, "pck_crl", EMU_PCK_CA, e->ca_key, issued_s, until_s) != 0 ||
        put_chain(o, "tcb_info_issuer_chain", e->tcb, e->root) != 0 ||
        put_signed(e, o, "tcb_info", tcb_info(issued, until)) != 0 ||
        put_chain(o, "qe_identity_issuer_chain", e->tcb, e->root) != 0 ||
        put_signed(e, o, "qe_identity", qe_identity(issued, until)) != 0)
        return MK_EIO;
    return 0;
}

int mk_emulator_collateral(const struct mk_emulator *e, uint64_t issued_s, uint64_t until_s,
                           struct mk_buf *out, struct mk_fault *reterr)
{
    json_t *o = json_pack("{s:s}", "emulator", MK_EMULATOR_NAME);
    int rv = o != NULL ? fill_collateral(e, o, issued_s, until_s) : MK_EIO;
    char *text = rv == 0 ? json_dumps(o, JSON_INDENT(1)) : NULL;

    if (text != NULL)
        mk_buf_put_str(out, text);
    else
        rv = mk_fault(reterr, MK_EIO, "the TDX emulator: OpenSSL failed to make collateral");
    free(text); /* tidy: ok, jansson made it */
    json_decref(o);
    return rv;
}
