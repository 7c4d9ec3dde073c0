/* What documents of collateral must say, and what those of real machines do. */
#include "forge.h"
#include "tcb_json.h"
#include "vectors.h"

#include "attest/pieces.h"
#include "attest/tcb.h"
#include "attest/x509.h"
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

/* --- what documents must say --- */

#define INFO                                                                                       \
    "{\"id\":\"TDX\",\"version\":3,\"issueDate\":\"2025-06-19T10:16:03Z\",\"nextUpdate\":"         \
    "\"2025-07-19T10:16:03Z\",\"fmspc\":\"B0C06F000000\",\"pceId\":\"0000\","                      \
    "\"tcbEvaluationDataNumber\":17,\"tdxModule\":" MODULE(                                        \
        "TDX_00",                                                                                  \
        "") ",\"tdxModuleIdentities\":[" MODULE("TDX_01",                                          \
                                                SVN(4, "UpToDate",                                 \
                                                    "")) "],\"tcbLevels\":[" LEVEL(5, 11, 3,       \
                                                                                   "UpToDate",     \
                                                                                   ",\"advisoryID" \
                                                                                   "s\":[\"INTEL-" \
                                                                                   "SA-1\"]") "]}"
#define IDENTITY                                                                             \
    "{\"id\":\"TD_QE\",\"version\":2,\"issueDate\":\"2025-06-19T10:16:03Z\",\"nextUpdate\":" \
    "\"2025-07-19T10:16:03Z\",\"tcbEvaluationDataNumber\":17,\"miscselect\":\"00000000\","   \
    "\"miscselectMask\":\"FFFFFFFF\",\"attributes\":\"00000000000000000000000000000000\","   \
    "\"attributesMask\":\"FBFFFFFFFFFFFFFF0000000000000000\",\"mrsigner\":\""                \
    "5151515151515151515151515151515151515151515151515151515151515151\",\"isvprodid\":2,"    \
    "\"tcbLevels\":[" SVN(4, "UpToDate", "") "]}"

/* The text with the first `from` in it replaced. */
static struct mk_buf replaced(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    struct mk_buf b = {0};

    assert_non_null(at);
    mk_buf_put(&b, text, (size_t)(at - text));
    mk_buf_put_str(&b, to);
    mk_buf_put_str(&b, at + strlen(from));
    return b;
}

static void test_bad_documents(void **state)
{
    static const struct {
        const char *from, *to, *why;
    } infos[] = {
        {"TDX\"", "XDT\"", "neither SGX nor TDX"},
        {"\"id\":\"TDX\",", "", "id is missing"},
        {"\"version\":3", "\"version\":2", "version 2"},
        {"\"version\":3", "\"version\":\"3\"", "version is missing"},
        {"2025-06-19T", "2025-06-31T", "issueDate is no date"},
        {"B0C06F000000", "B0C06F0000", "fmspc is not of 12"},
        {"\"pceId\":\"0000\"", "\"pceId\":0", "pceId is missing"},
        {"17", "-17", "tcbEvaluationDataNumber"},
        {"17", "4294967296", "tcbEvaluationDataNumber"},
        {"\"tdxModule\"", "\"tdxmodule\"", "mrsigner is missing"},
        {"TDX_01", "TDX_1", "no TDX module"},
        {"TDX_01", "SGX_01", "no TDX module"},
        {"\"isvsvn\":4", "\"isvsvn\":65536", "isvsvn"},
        {"\"isvsvn\":4", "\"isvsvn\":4.0", "isvsvn"},
        {"\"sgxtcbcomponents\":[{\"svn\":5},", "\"sgxtcbcomponents\":[", "15 items, not 16"},
        {"\"sgxtcbcomponents\":[", "\"sgxtcbcomponents\":[{},", "more than 16"},
        {"\"sgxtcbcomponents\":[", "\"sgxtcbcomponents\":7,\"x\":[", "no list"},
        {"\"sgxtcbcomponents\":[{\"svn\":5}", "\"sgxtcbcomponents\":[{\"svn\":-5}", "svn is"},
        {"\"tdxtcbcomponents\"", "\"x\"", "tdxtcbcomponents is missing"},
        {"\"pcesvn\":11", "\"pcesvn\":65536", "pcesvn"},
        {"INTEL-SA-1\"", "INTEL-SA-00000000000000000000000001\"", "no advisory"},
        {"[\"INTEL-SA-1\"]", "[1]", "no advisory"},
        {"[\"INTEL-SA-1\"]", "1", "no list"},
        {"\"UpToDate\"", "\"Fine\"", "tcbStatus \"Fine\""},
        {"2024-03-13T", "2024-03-13 ", "tcbDate is no date"},
        {"{\"id\"", "[{\"id\"", "no JSON"},
        {"\"fmspc\"", "\"pceId\":\"0001\",\"fmspc\"", "no JSON"},
    };
    static const struct {
        const char *from, *to, *why;
    } identities[] = {
        {"TD_QE", "QVE", "neither QE nor TD_QE"},
        {"\"version\":2", "\"version\":1", "version 1"},
        {"miscselect\":\"00000000", "miscselect\":\"000000", "miscselect is not"},
        {"FFFFFFFF", "FFFFFFFG", "miscselectMask"},
        {"\"attributes\"", "\"x\"", "attributes is missing"},
        {"FBFF", "FB", "attributesMask"},
        {"5151", "51", "mrsigner is not of 64"},
        {"\"isvprodid\":2", "\"isvprodid\":70000", "isvprodid"},
        {"\"tcbLevels\":[", "\"tcbLevels\":{},\"x\":[", "tcbLevels is missing"},
        {"2025-07-19T10", "2025-07-19T24", "nextUpdate is no date"},
        {"{\"id\"", "", "no JSON"},
    };
    struct mk_fault fault = {{0}};
    struct qe_identity *qe;
    struct tcb_info *info;
    struct mk_buf b;

    (void)state;
    assert_int_equal(tcb_info_parse(&info, MK_BYTES(INFO, strlen(INFO)), NULL), 0);
    assert_int_equal(info->n_modules, 1);
    assert_int_equal(info->modules[0].version, 1);
    tcb_info_free(info);
    assert_int_equal(qe_identity_parse(&qe, MK_BYTES(IDENTITY, strlen(IDENTITY)), NULL), 0);
    qe_identity_free(qe);
    for (size_t i = 0; i < sizeof infos / sizeof infos[0]; i++) {
        b = replaced(INFO, infos[i].from, infos[i].to);
        assert_int_not_equal(tcb_info_parse(&info, mk_buf_bytes(&b), &fault), 0);
        if (strncmp(fault.text, "TCB info: ", 10) != 0 || strstr(fault.text, infos[i].why) == NULL)
            fail_msg("\"%s\" instead of \"%s\"", fault.text, infos[i].why);
        mk_buf_done(&b);
    }
    for (size_t i = 0; i < sizeof identities / sizeof identities[0]; i++) {
        b = replaced(IDENTITY, identities[i].from, identities[i].to);
        assert_int_not_equal(qe_identity_parse(&qe, mk_buf_bytes(&b), &fault), 0);
        if (strncmp(fault.text, "QE identity: ", 13) != 0 ||
            strstr(fault.text, identities[i].why) == NULL)
            fail_msg("\"%s\" instead of \"%s\"", fault.text, identities[i].why);
        mk_buf_done(&b);
    }
}

/* A PCK's SGX extension: each byte of it counts, or belongs to what is skipped. */
static void test_platform_extension(void **state)
{
    struct x509_platform good, p;
    struct mk_buf der = {0}, ext = {0};
    struct x509_cert cert;
    struct mk_fault fault;
    unsigned refused = 0, moved = 0, same = 0;
    struct forge f;

    (void)state;
    forge_init(&f);
    forge_certificate(&f, &f.cert[FORGE_PCK], &der);
    assert_int_equal(x509_cert_parse(&cert, mk_buf_bytes(&der), NULL), 0);
    assert_int_equal(x509_platform_parse(&good, cert.sgx, NULL), 0);
    assert_int_equal(good.pce_svn, 11);
    assert_memory_equal(good.svn, "\5\5\2\2\2\2\0", 7);
    assert_memory_equal(good.cpu_svn, "0123456789abcdef", 16);
    for (size_t i = 0; i < cert.sgx.n; i++) {
        assert_int_not_equal(x509_platform_parse(&p, MK_BYTES(cert.sgx.p, i), &fault), 0);
        for (unsigned bit = 0; bit < 8; bit++) {
            mk_buf_clear(&ext);
            mk_buf_put(&ext, cert.sgx.p, cert.sgx.n);
            ext.p[i] ^= (uint8_t)(1u << bit);
            if (x509_platform_parse(&p, mk_buf_bytes(&ext), &fault) != 0)
                refused++;
            else if (memcmp(&p, &good, sizeof p) != 0)
                moved++;
            else
                same++;
        }
    }
    assert_true(moved >= 8 * (16 + 2 + 6)); /* CPUSVN, PCE-ID, FMSPC, and small numbers */
    assert_true(same < 8 * 17);             /* the last item, the type, is skipped */
    assert_true(refused > 4 * moved);
    mk_buf_done(&der);
    mk_buf_done(&ext);
    forge_done(&f);
}

/* --- the real ones
 * ---------------------------------------------------------------------------------- */

/* TCB infos of many platforms, printed and compact, of the present and the past. */
static void test_real_infos(void **state)
{
    static const char *const names[] = {
        "edgeless/tcbinfo.json",
        "google/sample_tcbInfo_response",
        "google/sample_tcbinfo_response_v5",
        "teekit-tcbinfo/tcbInfo-sgx-00806f050000.json",
        "teekit-tcbinfo/tcbInfo-sgx-00906ed50000.json",
        "teekit-tcbinfo/tcbInfo-sgx-30606a000000.json",
        "teekit-tcbinfo/tcbInfo-sgx-50806f000000.json",
        "teekit-tcbinfo/tcbInfo-sgx-90c06f000000.json",
        "teekit-tcbinfo/tcbInfo-sgx-b0c06f000000.json",
    };

    (void)state;
    vectors_need("open/tdx/collateral");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct mk_fault fault = {{0}};
        struct tcb_info *t;
        char path[200], *text;
        json_t *o;

        snprintf(path, sizeof path, "open/tdx/collateral/%s", names[i]);
        o = vectors_json(path);
        text = json_dumps(json_object_get(o, "tcbInfo"), JSON_COMPACT);
        if (tcb_info_parse(&t, MK_BYTES(text, strlen(text)), &fault) != 0)
            fail_msg("%s: %s", names[i], fault.text);
        assert_true(t->n_levels > 1);
        assert_true(t->head.span.from < t->head.span.to);
        tcb_info_free(t);
        free(text);
        json_decref(o);
    }
}

/* The signed JSON of a document. */
static struct mk_bytes piece_of(struct pieces *pieces, const char *path)
{
    struct mk_fault fault = {{0}};
    struct mk_buf doc = {0};

    vectors_read(path, &doc);
    if (pieces_read(pieces, mk_buf_bytes(&doc), &fault) != 0)
        fail_msg("%s: %s", path, fault.text);
    mk_buf_done(&doc);
    return pieces->v[0].bytes;
}

/* Levels of real platforms by TCB infos that came without lists of revocations: of TDX 1.0, and
 * of 1.5 with its module identities. */
static void test_real_levels(void **state)
{
    static const struct {
        const char *quote, *info, *identity, *status; /* NULL: below every level */
    } rows[] = {
        {"edgeless-qpl.v4.dat", "edgeless/tcbinfo.json", "edgeless/qeidentity.json", "UpToDate"},
        {"google-v5-sample.v5.dat", "google/sample_tcbinfo_response_v5",
         "google/sample_qeIdentity_response", "UpToDate"},
        {"google-spr-e4.v4.dat", "google/sample_tcbInfo_response",
         "google/sample_qeIdentity_response", NULL},
    };

    (void)state;
    vectors_need("open/tdx/quotes");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pieces *pieces = mk_alloc(2 * sizeof *pieces);
        struct mk_quote_root *intel = mk_quote_root_intel();
        struct mk_quote_verdict v = {0};
        struct mk_fault fault = {{0}};
        struct mk_buf bytes = {0};
        struct qe_identity *qe;
        struct tcb_info *info;
        const struct pck *pck;
        struct mk_quote q;
        char path[200];
        int rv;

        snprintf(path, sizeof path, "open/tdx/quotes/%s", rows[i].quote);
        vectors_read(path, &bytes);
        assert_int_equal(mk_quote_parse(&q, mk_buf_bytes(&bytes), NULL), 0);
        assert_int_equal(root_pck(intel, q.cert_data, &pck, NULL), 0);
        snprintf(path, sizeof path, "open/tdx/collateral/%s", rows[i].info);
        assert_int_equal(tcb_info_parse(&info, piece_of(&pieces[0], path), NULL), 0);
        snprintf(path, sizeof path, "open/tdx/collateral/%s", rows[i].identity);
        assert_int_equal(qe_identity_parse(&qe, piece_of(&pieces[1], path), NULL), 0);
        rv = tcb_judge(info, qe, &q, pck, &v, &fault);
        if (rows[i].status == NULL)
            assert_non_null(strstr(fault.text, "below every level"));
        else if (rv != 0)
            fail_msg("%s: %s", rows[i].quote, fault.text);
        else
            assert_string_equal(mk_tcb_status_name(v.status), rows[i].status);
        tcb_info_free(info);
        qe_identity_free(qe);
        pieces_done(&pieces[0]);
        pieces_done(&pieces[1]);
        mk_free(pieces);
        mk_buf_done(&bytes);
        mk_quote_root_free(intel);
    }
}

/* Our reader of certificates and OpenSSL's say the same of the real ones. */
static void compare_certificate(struct mk_bytes der)
{
    const uint8_t *p = der.p;
    X509 *x = d2i_X509(NULL, &p, (long)der.n);
    struct x509_cert c;
    uint8_t point[65];
    char name[64];
    size_t n;

    assert_non_null(x);
    assert_int_equal(x509_cert_parse(&c, der, NULL), 0);
    assert_int_equal(c.serial.n, X509_get0_serialNumber(x)->length + (c.serial.p[0] == 0));
    assert_memory_equal(c.serial.p + (c.serial.p[0] == 0), X509_get0_serialNumber(x)->data,
                        X509_get0_serialNumber(x)->length);
    EVP_PKEY_get_octet_string_param(X509_get0_pubkey(x), "pub", point, sizeof point, &n);
    assert_memory_equal(c.key, point + 1, 64);
    X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, (char *)point, 64);
    assert_string_equal(x509_common_name(c.subject, name), (char *)point);
    assert_int_equal(ASN1_TIME_cmp_time_t(X509_get0_notBefore(x), (time_t)c.not_before), 0);
    assert_int_equal(ASN1_TIME_cmp_time_t(X509_get0_notAfter(x), (time_t)c.not_after), 0);
    assert_int_equal(c.is_ca, X509_check_ca(x) == 1);
    X509_free(x);
}

static void test_real_certificates(void **state)
{
    struct mk_buf der = {0};

    (void)state;
    vectors_need("open/tdx/collateral");
    vectors_read("open/tdx/collateral/IntelSGXRootCA.der", &der);
    compare_certificate(mk_buf_bytes(&der));
    mk_buf_done(&der);
}

static void test_real_lists(void **state)
{
    static const char *const names[] = {"google/pckcrl", "google/rootcrl.der"};

    (void)state;
    vectors_need("open/tdx/collateral");
    for (unsigned i = 0; i < 2; i++) {
        struct mk_buf der = {0};
        struct x509_crl ours;
        const uint8_t *p;
        STACK_OF(X509_REVOKED) * revoked;
        X509_CRL *crl;
        char path[200];

        snprintf(path, sizeof path, "open/tdx/collateral/%s", names[i]);
        vectors_read(path, &der);
        p = der.p;
        crl = d2i_X509_CRL(NULL, &p, (long)der.n);
        assert_non_null(crl);
        assert_int_equal(x509_crl_parse(&ours, mk_buf_bytes(&der), NULL), 0);
        revoked = X509_CRL_get_REVOKED(crl);
        assert_int_equal(sk_X509_REVOKED_num(revoked) > 0, i == 0);
        for (int k = 0; k < sk_X509_REVOKED_num(revoked); k++) {
            const ASN1_INTEGER *s =
                X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(revoked, k));
            uint8_t serial[32] = {0};
            bool pad = s->data[0] >= 0x80;

            memcpy(serial + pad, s->data, (size_t)s->length);
            assert_true(x509_crl_lists(&ours, MK_BYTES(serial, (size_t)s->length + pad)));
            serial[s->length - 1] ^= 0xff;
            assert_false(x509_crl_lists(&ours, MK_BYTES(serial, (size_t)s->length + pad)));
        }
        X509_CRL_free(crl);
        mk_buf_done(&der);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_documents),     cmocka_unit_test(test_platform_extension),
        cmocka_unit_test(test_real_infos),        cmocka_unit_test(test_real_levels),
        cmocka_unit_test(test_real_certificates), cmocka_unit_test(test_real_lists),
    };

    return cmocka_run_group_tests_name("collateral", tests, NULL, NULL);
}
