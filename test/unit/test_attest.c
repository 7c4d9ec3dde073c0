/* Quotes judged: forged ones of every version, each bit of them wrong in turn, chains that
 * must not hold; and the real ones of the vectors at the times that their sources state. */
#include "forge.h"
#include "vectors.h"

#include "attest/root.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#define REAL_NOW 1780000000u /* inside all chains of the vectors */

static const struct {
    uint16_t version;
    enum mk_quote_body body;
} shapes[] = {{3, MK_BODY_SGX}, {4, MK_BODY_SGX},   {4, MK_BODY_TDX10},
              {5, MK_BODY_SGX}, {5, MK_BODY_TDX10}, {5, MK_BODY_TDX15}};
#define N_SHAPES (sizeof shapes / sizeof shapes[0])

/* Parses and verifies; a quote that does not parse is refused with the parser's words. */
static struct mk_quote_verdict judge(struct mk_quote_root *root, const struct mk_collateral *c,
                                     struct mk_bytes bytes, uint64_t now)
{
    struct mk_quote_verdict v = {0};
    struct mk_fault fault = {{0}};
    struct mk_quote q;

    if (mk_quote_parse(&q, bytes, &fault) == 0) {
        mk_quote_verify(root, c, &q, NULL, now, &v);
        assert_int_equal(v.ok, v.reason[0] == '\0');
    } else {
        memcpy(v.reason, fault.text, sizeof v.reason);
    }
    return v;
}

static void expect(struct mk_quote_verdict v, const char *reason)
{
    if (reason == NULL && !v.ok)
        fail_msg("refused: %s", v.reason);
    if (reason != NULL && (v.ok || strstr(v.reason, reason) == NULL))
        fail_msg("expected \"%s\", got \"%s\"", reason, v.reason);
}

/* --- forged ones ------------------------------------------------------------------------------ */

static void test_forged(void **state)
{
    struct mk_quote_root *intel = mk_quote_root_intel();
    struct mk_buf bytes = {0};
    struct mk_quote q;
    struct forge f;

    (void)state;
    forge_init(&f);
    assert_true(mk_quote_root_is_intel(intel));
    assert_false(mk_quote_root_is_intel(f.root));
    for (size_t i = 0; i < N_SHAPES; i++) {
        struct mk_quote_verdict v;

        forge_quote(&f, &q, shapes[i].version, shapes[i].body);
        forge_sign(&f, &q, &bytes);
        v = judge(f.root, NULL, mk_buf_bytes(&bytes), FORGE_NOW);
        expect(v, NULL);
        assert_int_equal(v.chain, MK_QUOTE_CHAIN_OK);
        assert_false(v.has_status);
        assert_int_equal(v.expires_s, FORGE_TO);
        assert_memory_equal(v.fmspc, "\0\x80\x6f\x05\0\0", 6);
        v = judge(intel, NULL, mk_buf_bytes(&bytes), FORGE_NOW);
        expect(v, "not by the trusted root");
        assert_int_equal(v.chain, MK_QUOTE_CHAIN_REFUSED);
        memset(mk_buf_grow(&bytes, 3065), 0, 3065);
        expect(judge(f.root, NULL, mk_buf_bytes(&bytes), FORGE_NOW), NULL);
    }
    mk_buf_done(&bytes);
    mk_quote_root_free(intel);
    forge_done(&f);
}

/* Of how many bits one is turned: under valgrind each costs thirty times as much. */
static size_t stride(void)
{
    return getenv("MK_VALGRIND") != NULL ? 37 : 1;
}

/* Whatever bit of the first n bytes is turned, the quote is refused. */
static size_t turn_bits(struct mk_quote_root *root, struct mk_buf *bytes, size_t n, uint64_t now)
{
    size_t turned = 0;

    for (size_t i = 0; i < 8 * n; i += stride()) {
        bytes->p[i / 8] ^= (uint8_t)(1u << i % 8);
        if (judge(root, NULL, mk_buf_bytes(bytes), now).ok)
            fail_msg("byte %zu with bit %zu turned is accepted", i / 8, i % 8);
        bytes->p[i / 8] ^= (uint8_t)(1u << i % 8);
        turned++;
    }
    return turned;
}

static void test_forged_bits(void **state)
{
    struct mk_buf bytes = {0};
    struct mk_quote q;
    struct forge f;

    (void)state;
    forge_init(&f);
    for (size_t i = 0; i < N_SHAPES; i += N_SHAPES - 1) { /* version 3 of SGX, version 5 of TDX */
        forge_quote(&f, &q, shapes[i].version, shapes[i].body);
        forge_sign(&f, &q, &bytes);
        expect(judge(f.root, NULL, mk_buf_bytes(&bytes), FORGE_NOW), NULL);
        /* the chain is the same at the end of both: once is enough */
        turn_bits(f.root, &bytes, i == 0 ? bytes.n - q.cert_data.n : bytes.n, FORGE_NOW);
    }
    mk_buf_done(&bytes);
    forge_done(&f);
}

/* --- chains --------------------------------------------------------------------------------- */

/* A quote under cert[] as it was changed. */
static struct mk_quote_verdict judge_chain(struct forge *f, uint64_t now)
{
    struct mk_quote_verdict v;
    struct mk_buf bytes = {0};
    struct mk_quote q;

    forge_chain(f);
    forge_quote(f, &q, 4, MK_BODY_TDX10);
    forge_sign(f, &q, &bytes);
    v = judge(f->root, NULL, mk_buf_bytes(&bytes), now);
    mk_buf_done(&bytes);
    return v;
}

static void test_dates(void **state)
{
    struct forge f;

    (void)state;
    forge_init(&f);
    f.cert[FORGE_PCK].to = FORGE_NOW;
    expect(judge_chain(&f, FORGE_NOW - 1), NULL);
    expect(judge_chain(&f, FORGE_NOW), "expired at 2025-06-15T15:06:40Z");
    f.cert[FORGE_PCK].to = FORGE_TO;
    f.cert[FORGE_CA].from = FORGE_NOW + 1;
    expect(judge_chain(&f, FORGE_NOW), "is not valid before 2025-06-15T15:06:41Z");
    f.cert[FORGE_CA].from = FORGE_FROM;
    f.cert[FORGE_ROOT].to = FORGE_NOW;
    expect(judge_chain(&f, FORGE_NOW), "expired");
    forge_done(&f);
}

static void test_bad_chains(void **state)
{
    static const struct {
        enum forge_key which;
        const char *reason;
        const char *subject;
        enum forge_key key, signer;
        bool ca, sgx, strange;
        unsigned usage;
    } rows[] = {
#define CA "Forged PCK CA", FORGE_CA
#define PCK "Forged PCK", FORGE_PCK
        {FORGE_CA, "may not issue", CA, FORGE_ROOT, 0, 0, 0, 0},
        {FORGE_CA, "may not issue", CA, FORGE_ROOT, 1, 0, 0, KU_CRL_SIGN},
        {FORGE_CA, "not signed by the trusted root", CA, FORGE_STRANGER, 1, 0, 0, 0},
        {FORGE_CA, "not issued by the CA", "Another CA", FORGE_CA, FORGE_ROOT, 1, 0, 0, 0},
        {FORGE_CA, "not of the shape", CA, FORGE_ROOT, 1, 0, 1, 0},
        {FORGE_CA, "not signed by its CA", "Forged PCK CA", FORGE_STRANGER, FORGE_ROOT, 1, 0, 0, 0},
        {FORGE_PCK, "not of a PCK", PCK, FORGE_CA, 0, 0, 0, 0},
        {FORGE_PCK, "not of a PCK", PCK, FORGE_CA, 1, 1, 0, 0},
        {FORGE_PCK, "not of a PCK", PCK, FORGE_CA, 0, 1, 0, KU_KEY_CERT_SIGN},
        {FORGE_PCK, "not signed by its CA", PCK, FORGE_ROOT, 0, 1, 0, 0},
        {FORGE_PCK, "not of the shape", PCK, FORGE_CA, 0, 1, 1, 0},
        {FORGE_PCK, "not signed by the PCK", "Forged PCK", FORGE_STRANGER, FORGE_CA, 0, 1, 0, 0},
#undef CA
#undef PCK
    };
    struct forge f;

    (void)state;
    forge_init(&f);
    expect(judge_chain(&f, FORGE_NOW), NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct forge_cert was = f.cert[rows[i].which], c = was;

        c.subject = rows[i].subject;
        c.key = rows[i].key;
        c.signer = rows[i].signer;
        c.ca = rows[i].ca;
        c.sgx = rows[i].sgx;
        c.strange_critical = rows[i].strange;
        c.usage = rows[i].usage;
        f.cert[rows[i].which] = c;
        expect(judge_chain(&f, FORGE_NOW), rows[i].reason);
        f.cert[rows[i].which] = was;
    }
    forge_done(&f);
}

/* The chain's certificates by themselves, in any number and order. */
static void test_chain_forms(void **state)
{
    struct mk_buf part[3] = {{0}, {0}, {0}}, der = {0}, bytes = {0}, text = {0};
    static const enum forge_key order[] = {FORGE_PCK, FORGE_CA, FORGE_ROOT};
    struct mk_quote q;
    struct forge f;

    (void)state;
    forge_init(&f);
    forge_quote(&f, &q, 4, MK_BODY_TDX10);
    for (unsigned i = 0; i < 3; i++)
        forge_certificate(&f, &f.cert[order[i]], &part[i]);
    for (unsigned i = 0; i < 3; i++) /* DER, the root first */
        mk_buf_put(&der, part[2 - i].p, part[2 - i].n);
    q.cert_data = mk_buf_bytes(&der);
    forge_sign(&f, &q, &bytes);
    expect(judge(f.root, NULL, mk_buf_bytes(&bytes), FORGE_NOW), NULL);
    q.cert_data.n--;
    forge_sign(&f, &q, &bytes);
    expect(judge(f.root, NULL, mk_buf_bytes(&bytes), FORGE_NOW), "neither PEM nor DER");
    forge_pem(mk_buf_bytes(&part[0]), &text); /* the root may be left out */
    q.cert_data = mk_buf_bytes(&text);
    forge_sign(&f, &q, &bytes);
    expect(judge(f.root, NULL, mk_buf_bytes(&bytes), FORGE_NOW), "PCK and its CA are needed");
    forge_pem(mk_buf_bytes(&part[1]), &text);
    mk_buf_put(&text, "\0\0", 2);
    q.cert_data = mk_buf_bytes(&text);
    forge_sign(&f, &q, &bytes);
    expect(judge(f.root, NULL, mk_buf_bytes(&bytes), FORGE_NOW), NULL);
    forge_pem(mk_buf_bytes(&part[2]), &text);
    forge_pem(mk_buf_bytes(&part[2]), &text);
    q.cert_data = mk_buf_bytes(&text);
    forge_sign(&f, &q, &bytes);
    expect(judge(f.root, NULL, mk_buf_bytes(&bytes), FORGE_NOW), "more than 3 blocks");
    q.cert_type = 1;
    forge_sign(&f, &q, &bytes);
    expect(judge(f.root, NULL, mk_buf_bytes(&bytes), FORGE_NOW), "carries no certificate chain");
    mk_buf_done(&der);
    mk_buf_done(&bytes);
    mk_buf_done(&text);
    for (unsigned i = 0; i < 3; i++)
        mk_buf_done(&part[i]);
    forge_done(&f);
}

/* More platforms than are remembered: each verdict stays right. */
static void test_memory_of_chains(void **state)
{
    struct mk_buf bytes[3] = {{0}, {0}, {0}};
    struct mk_quote_root *root;
    struct mk_quote q;
    struct forge f;

    (void)state;
    forge_init(&f);
    for (unsigned i = 0; i < 200; i++) {
        f.cert[FORGE_PCK].serial = 100 + i;
        mk_buf_clear(&f.chain);
        root = f.root;
        f.root = NULL;
        forge_chain(&f);
        mk_quote_root_free(f.root);
        f.root = root; /* one root remembers them all */
        forge_quote(&f, &q, 4, MK_BODY_TDX10);
        forge_sign(&f, &q, &bytes[i % 3]);
        for (unsigned k = 0; k < 3 && k <= i; k++)
            expect(judge(f.root, NULL, mk_buf_bytes(&bytes[k]), FORGE_NOW), NULL);
    }
    for (unsigned k = 0; k < 3; k++)
        mk_buf_done(&bytes[k]);
    forge_done(&f);
}

static void test_debug(void **state)
{
    struct mk_quote_policy tolerant = {.debug = true};
    struct mk_quote_verdict v;
    struct mk_buf bytes = {0};
    struct mk_quote q;
    struct forge f;

    (void)state;
    forge_init(&f);
    for (unsigned sgx = 0; sgx < 2; sgx++) {
        forge_quote(&f, &q, 4, sgx ? MK_BODY_SGX : MK_BODY_TDX10);
        q.td.td_attributes[0] = 1;
        q.enclave.attributes[0] = 2;
        forge_sign(&f, &q, &bytes);
        expect(judge(f.root, NULL, mk_buf_bytes(&bytes), FORGE_NOW), "under debug");
        assert_int_equal(mk_quote_parse(&q, mk_buf_bytes(&bytes), NULL), 0);
        mk_quote_verify(f.root, NULL, &q, &tolerant, FORGE_NOW, &v);
        assert_true(v.ok);
    }
    mk_buf_done(&bytes);
    forge_done(&f);
}

/* Without a QE identity, an enclave that somebody else signed is no quoting enclave. */
static void test_quoting_enclaves(void **state)
{
    static const uint8_t td_qe[32] = {0xdc, 0x9e, 0x2a, 0x7c, 0x6f, 0x94, 0x8f, 0x17,
                                      0x47, 0x4e, 0x34, 0xa7, 0xfc, 0x43, 0xed, 0x03,
                                      0x0f, 0x7c, 0x15, 0x63, 0xf1, 0xba, 0xbd, 0xdf,
                                      0x63, 0x40, 0xc8, 0x2e, 0x0e, 0x54, 0xa8, 0xc5};
    struct mk_sgx_report qe = {.isv_prod_id = {2, 0}, .attributes = {0x15}};

    (void)state;
    memcpy(qe.mr_signer, td_qe, sizeof td_qe);
    assert_true(intel_quoting_enclave(MK_TEE_TDX, &qe));
    assert_false(intel_quoting_enclave(MK_TEE_SGX, &qe));
    for (unsigned i = 0; i < 32; i++) {
        qe.mr_signer[i] ^= 0x80;
        assert_false(intel_quoting_enclave(MK_TEE_TDX, &qe));
        qe.mr_signer[i] ^= 0x80;
    }
    qe.isv_prod_id[1] = 1;
    assert_false(intel_quoting_enclave(MK_TEE_TDX, &qe));
    qe.isv_prod_id[1] = 0;
    qe.attributes[0] |= 2;
    assert_false(intel_quoting_enclave(MK_TEE_TDX, &qe));
}

static void test_roots(void **state)
{
    struct mk_quote_root *r;
    struct mk_buf der = {0};
    struct mk_fault fault;
    struct forge f;

    (void)state;
    forge_init(&f);
    forge_certificate(&f, &f.cert[FORGE_CA], &der);
    assert_int_equal(mk_quote_root_new(&r, mk_buf_bytes(&der), &fault), MK_EMALFORMED);
    mk_buf_clear(&der);
    forge_certificate(&f, &f.cert[FORGE_ROOT], &der);
    assert_int_equal(mk_quote_root_new(&r, mk_buf_bytes(&der), &fault), 0);
    mk_quote_root_free(r);
    for (size_t i = 0; i < der.n; i++) {
        der.p[i] ^= 0x10;
        assert_int_not_equal(mk_quote_root_new(&r, mk_buf_bytes(&der), &fault), 0);
        der.p[i] ^= 0x10;
    }
    assert_int_equal(mk_quote_root_new(&r, MK_BYTES("-----BEGIN CERTIFICATE-----", 27), &fault),
                     MK_EMALFORMED);
    mk_buf_done(&der);
    forge_done(&f);
}

/* --- the real ones ---------------------------------------------------------------------------- */

static void add_file(struct mk_collateral *c, const char *path)
{
    struct mk_fault fault = {{0}};
    struct mk_buf doc = {0};
    struct mk_bytes b;

    vectors_read(path, &doc);
    b = mk_buf_bytes(&doc);
    if (mk_collateral_add(c, &b, 1, &fault) != 0)
        fail_msg("%s: %s", path, fault.text);
    mk_buf_done(&doc);
}

/* What expected.json says was checked of each: the chain, and so all signatures. */
static void test_real(void **state)
{
    json_t *expected = vectors_json("open/tdx/quotes/expected.json"), *o;
    struct mk_quote_root *intel = mk_quote_root_intel();
    unsigned n = 0;
    const char *name;

    (void)state;
    json_object_foreach(expected, name, o)
    {
        bool chain = json_is_true(
            json_object_get(json_object_get(o, "checked"), "chain_to_intel_sgx_root_ca"));
        char path[200];
        struct mk_buf bytes = {0};

        snprintf(path, sizeof path, "open/tdx/quotes/%s", name);
        vectors_read(path, &bytes);
        expect(judge(intel, NULL, mk_buf_bytes(&bytes), REAL_NOW),
               chain ? NULL : "carries no certificate chain");
        n += chain;
        mk_buf_done(&bytes);
    }
    assert_int_equal(n, 9);
    json_decref(expected);
    mk_quote_root_free(intel);
}

/* Statuses as their sources state them, and the end of what they rely on. */
static void test_real_status(void **state)
{
    static const struct {
        const char *quote, *collateral;
        uint64_t at;
        enum mk_tcb_status status;
        unsigned n_advisories;
        const char *reason;
    } rows[] = {
        {"phala-tdx.v4.dat", "phala-tdx_quote_collateral.json", 1751000000, MK_TCB_UpToDate, 0,
         NULL},
        {"phala-tdx.v4.dat", "phala-tdx_quote_collateral.json", 1752999999, 0, 0,
         "expired at 2025-07-19T10:00:35Z"},
        {"phala-tdx.v4.dat", "phala-tdx_quote_collateral.json", 1750000000, 0, 0,
         "is not valid before 2025-06-19T"},
        {"phala-sgx.v3.dat", "phala-sgx_quote_collateral.json", 1751000000,
         MK_TCB_ConfigurationAndSWHardeningNeeded, 2, NULL},
        {"flashbots-dcap-1766059550570652607.v4.dat", "flashbots-dcap-quote-collateral-00.yaml",
         1769509141, MK_TCB_UpToDate, 0, NULL},
        {"phala-tappd.v4.dat", "phala-sgx_quote_collateral.json", 1751000000, 0, 0, "collateral"},
    };

    (void)state;
    vectors_need("open/tdx/quotes");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mk_quote_root *intel = mk_quote_root_intel();
        struct mk_collateral *c = mk_collateral_new(intel);
        struct mk_quote_verdict v;
        struct mk_buf bytes = {0};
        char path[200];

        snprintf(path, sizeof path, "open/tdx/collateral/%s", rows[i].collateral);
        add_file(c, path);
        snprintf(path, sizeof path, "open/tdx/quotes/%s", rows[i].quote);
        vectors_read(path, &bytes);
        v = judge(intel, c, mk_buf_bytes(&bytes), rows[i].at);
        expect(v, rows[i].reason);
        assert_int_equal(v.has_status, rows[i].reason == NULL);
        assert_int_equal(v.status, rows[i].status);
        assert_int_equal(v.n_advisories, rows[i].n_advisories);
        if (v.n_advisories == 2) {
            assert_string_equal(v.advisories[0], "INTEL-SA-00289");
            assert_string_equal(v.advisories[1], "INTEL-SA-00615");
        }
        if (v.ok)
            assert_true(v.expires_s == mk_collateral_expires_s(c));
        mk_buf_done(&bytes);
        mk_collateral_free(c);
        mk_quote_root_free(intel);
    }
}

/* Intel's own test PKI: its root alone makes it pass. Its QE identity is of another signer. */
static void test_real_test_pki(void **state)
{
    static const char *const docs[] = {"pckSignChain.pem", "tcbSignChain.pem",
                                       "rootCaCrl.der",    "intermediateCaCrl.der",
                                       "tcbInfo.json",     "qeIdentity.json"};
    struct mk_quote_root *intel, *own;
    struct mk_buf pem = {0}, bytes = {0};
    struct mk_collateral *c;
    char path[200];

    (void)state;
    vectors_need("open/tdx/intel-qvl-testpki");
    intel = mk_quote_root_intel();
    vectors_read("open/tdx/intel-qvl-testpki/trustedRootCaCert.pem", &pem);
    vectors_read("open/tdx/intel-qvl-testpki/quote.dat", &bytes);
    assert_int_equal(mk_quote_root_new(&own, mk_buf_bytes(&pem), NULL), 0);
    assert_false(mk_quote_root_is_intel(own));
    expect(judge(own, NULL, mk_buf_bytes(&bytes), FORGE_NOW), NULL);
    expect(judge(intel, NULL, mk_buf_bytes(&bytes), FORGE_NOW), "not signed by the trusted root");
    c = mk_collateral_new(own);
    for (size_t i = 0; i < sizeof docs / sizeof docs[0]; i++) {
        snprintf(path, sizeof path, "open/tdx/intel-qvl-testpki/%s", docs[i]);
        add_file(c, path);
    }
    expect(judge(own, c, mk_buf_bytes(&bytes), FORGE_NOW), "the QE's mrsigner is another");
    expect(judge(intel, c, mk_buf_bytes(&bytes), FORGE_NOW), "not signed by the trusted root");
    mk_collateral_free(c);
    mk_buf_done(&pem);
    mk_buf_done(&bytes);
    mk_quote_root_free(intel);
    mk_quote_root_free(own);
}

/* Every bit of the quotes of real machines, their certificates too: QUOTE_BITS of them (1). */
static void test_real_bits(void **state)
{
    static const char *const names[] = {"phala-tdx.v4.dat",
                                        "google-v5-sample.v5.dat",
                                        "phala-sgx.v3.dat",
                                        "google-spr-e4.v4.dat",
                                        "google-cos113.v4.dat",
                                        "edgeless-qpl.v4.dat",
                                        "phala-tappd.v4.dat",
                                        "phala-tdx-hex.v4.dat",
                                        "flashbots-dcap-1766059550570652607.v4.dat"};
    const char *text = getenv("QUOTE_BITS");
    size_t wanted = text != NULL && *text >= '1' && *text <= '9' ? (size_t)(*text - '0') : 1;

    (void)state;
    vectors_need("open/tdx/quotes");
    for (size_t i = 0; i < wanted && i < sizeof names / sizeof names[0]; i++) {
        struct mk_quote_root *intel = mk_quote_root_intel();
        struct mk_buf bytes = {0};
        struct mk_quote q;
        char path[200];

        snprintf(path, sizeof path, "open/tdx/quotes/%s", names[i]);
        vectors_read(path, &bytes);
        expect(judge(intel, NULL, mk_buf_bytes(&bytes), REAL_NOW), NULL);
        assert_int_equal(mk_quote_parse(&q, mk_buf_bytes(&bytes), NULL), 0);
        assert_int_equal(turn_bits(intel, &bytes, q.len, REAL_NOW),
                         (8 * q.len + stride() - 1) / stride());
        if (q.len < bytes.n) { /* what follows is nobody's */
            bytes.p[q.len] ^= 1;
            expect(judge(intel, NULL, mk_buf_bytes(&bytes), REAL_NOW), NULL);
        }
        mk_buf_done(&bytes);
        mk_quote_root_free(intel);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forged),      cmocka_unit_test(test_forged_bits),
        cmocka_unit_test(test_dates),       cmocka_unit_test(test_bad_chains),
        cmocka_unit_test(test_chain_forms), cmocka_unit_test(test_memory_of_chains),
        cmocka_unit_test(test_debug),       cmocka_unit_test(test_quoting_enclaves),
        cmocka_unit_test(test_roots),       cmocka_unit_test(test_real),
        cmocka_unit_test(test_real_status), cmocka_unit_test(test_real_test_pki),
        cmocka_unit_test(test_real_bits),
    };
    return cmocka_run_group_tests_name("attest", tests, NULL, NULL);
}
