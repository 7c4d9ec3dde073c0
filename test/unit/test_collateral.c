/* Collateral: the status that Intel's rules give to each platform, module and QE; dates;
 * revocation; what may replace what; the shapes that documents come in. */
#include "forge.h"
#include "vectors.h"

#include "attest/pieces.h"
#include "attest/tcb.h"
#include "attest/x509.h"
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

static void add(struct mk_collateral *c, struct mk_bytes doc, int want)
{
    struct mk_fault fault = {{0}};
    int rv = mk_collateral_add(c, &doc, 1, &fault);

    if (rv != want)
        fail_msg("%d instead of %d: %s", rv, want, fault.text);
    assert_int_equal(rv == 0, fault.text[0] == '\0');
}

/* Judges q under f's collateral. */
static struct mk_quote_verdict judge(struct forge *f, struct mk_quote *q, uint64_t now)
{
    struct mk_collateral *c = mk_collateral_new(f->root);
    struct mk_buf doc = {0}, bytes = {0};
    struct mk_quote_verdict v;
    struct mk_quote parsed;

    forge_sign(f, q, &bytes);
    assert_int_equal(mk_quote_parse(&parsed, mk_buf_bytes(&bytes), NULL), 0);
    forge_collateral(f, &doc);
    add(c, mk_buf_bytes(&doc), 0);
    mk_quote_verify(f->root, c, &parsed, NULL, now, &v);
    assert_int_equal(v.ok, v.reason[0] == '\0');
    mk_collateral_free(c);
    mk_buf_done(&doc);
    mk_buf_done(&bytes);
    return v;
}

static void expect(struct mk_quote_verdict v, const char *reason)
{
    if (reason == NULL && !v.ok)
        fail_msg("refused: %s", v.reason);
    if (reason != NULL && (v.ok || strstr(v.reason, reason) == NULL))
        fail_msg("expected \"%s\", got \"%s\"", reason, v.reason);
}

/* --- status ----------------------------------------------------------------------------------- */

#define ZEROS10                                                                             \
    ",{\"svn\":0},{\"svn\":0},{\"svn\":0},{\"svn\":0},{\"svn\":0},{\"svn\":0},{\"svn\":0}," \
    "{\"svn\":0},{\"svn\":0},{\"svn\":0}"
#define SIX(a) \
    "[{\"svn\":" #a "},{\"svn\":0},{\"svn\":2},{\"svn\":2},{\"svn\":2},{\"svn\":2}" ZEROS10 "]"
#define LEVEL(sgx, pce, tdx, status, more)                                                       \
    "{\"tcb\":{\"sgxtcbcomponents\":" SIX(sgx) ",\"pcesvn\":" #pce ",\"tdxtcbcomponents\":" SIX( \
        tdx) "},\"tcbDate\":\"2024-03-13T00:00:00Z\","                                           \
             "\"tcbStatus\":\"" status "\"" more "}"
#define SVN(n, status, more)                                                                    \
    "{\"tcb\":{\"isvsvn\":" #n "},\"tcbDate\":\"2024-03-13T00:00:00Z\",\"tcbStatus\":\"" status \
    "\"" more "}"
#define MODULE(id, levels)                                                                    \
    "{\"id\":\"" id "\",\"mrsigner\":\""                                                      \
    "000000000000000000000000000000000000000000000000"                                        \
    "000000000000000000000000000000000000000000000000\",\"attributes\":\"0000000000000000\"," \
    "\"attributesMask\":\"FFFFFFFFFFFFFFFF\",\"tcbLevels\":[" levels "]}"

/* The platform has SGX components 5 5 2 2 2 2, PCE svn 11; TDX components as in the quote. */
static void test_levels(void **state)
{
    static const struct {
        const char *levels;
        uint8_t module_svn;
        const char *status; /* NULL: below every level */
    } rows[] = {
        {"[" LEVEL(5, 11, 3, "UpToDate", "") "]", 3, "UpToDate"},
        {"[" LEVEL(4, 10, 2, "UpToDate", "") "]", 3, "UpToDate"},
        {"[" LEVEL(6, 11, 3, "UpToDate", "") "]", 3, NULL},
        {"[" LEVEL(5, 12, 3, "UpToDate", "") "]", 3, NULL},
        {"[" LEVEL(5, 11, 4, "UpToDate", "") "]", 3, NULL},
        {"[" LEVEL(5, 11, 3, "UpToDate", "") "]", 2, NULL},
        {"[]", 3, NULL},
        {"[" LEVEL(6, 11, 3, "UpToDate", "") "," LEVEL(5, 11, 3, "SWHardeningNeeded", "") "]", 3,
         "SWHardeningNeeded"},
        {"[" LEVEL(5, 11, 4, "UpToDate", "") "," LEVEL(5, 5, 3, "OutOfDate", "") "]", 3,
         "OutOfDate"},
        {"[" LEVEL(5, 11, 3, "ConfigurationNeeded", "") "," LEVEL(5, 11, 3, "UpToDate", "") "]", 3,
         "ConfigurationNeeded"},
        {"[" LEVEL(5, 11, 3, "Revoked", "") "]", 3, "Revoked"},
    };
    struct forge f;

    (void)state;
    forge_init(&f);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mk_quote_verdict v;
        struct mk_quote q;

        forge_quote(&f, &q, 4, MK_BODY_TDX10);
        f.levels = rows[i].levels;
        q.td.tee_tcb_svn[0] = rows[i].module_svn;
        v = judge(&f, &q, FORGE_NOW);
        assert_int_equal(v.has_status, rows[i].status != NULL);
        if (rows[i].status == NULL) {
            expect(v, "below every level");
            continue;
        }
        assert_string_equal(mk_tcb_status_name(v.status), rows[i].status);
        assert_string_equal(v.tcb_date, "2024-03-13T00:00:00Z");
        assert_int_equal(v.evaluation_number, 17);
        assert_int_equal(v.ok, (MK_TCB_DEFAULT & 1u << v.status) != 0);
        if (!v.ok)
            expect(v, "is not accepted");
    }
    forge_done(&f);
}

/* Platform, module (TDX 1.5: svn[1] is 1) and QE together. */
static void test_together(void **state)
{
    static const struct {
        const char *platform, *module, *qe, *whole;
    } rows[] = {
        {"UpToDate", "UpToDate", "UpToDate", "UpToDate"},
        {"UpToDate", "OutOfDate", "UpToDate", "OutOfDate"},
        {"UpToDate", "UpToDate", "OutOfDate", "OutOfDate"},
        {"SWHardeningNeeded", "UpToDate", "UpToDate", "SWHardeningNeeded"},
        {"SWHardeningNeeded", "OutOfDate", "UpToDate", "OutOfDate"},
        {"SWHardeningNeeded", "UpToDate", "OutOfDate", "OutOfDate"},
        {"ConfigurationNeeded", "UpToDate", "UpToDate", "ConfigurationNeeded"},
        {"ConfigurationNeeded", "OutOfDate", "UpToDate", "OutOfDateConfigurationNeeded"},
        {"ConfigurationNeeded", "UpToDate", "OutOfDate", "OutOfDateConfigurationNeeded"},
        {"ConfigurationAndSWHardeningNeeded", "UpToDate", "OutOfDate",
         "OutOfDateConfigurationNeeded"},
        {"ConfigurationAndSWHardeningNeeded", "UpToDate", "UpToDate",
         "ConfigurationAndSWHardeningNeeded"},
        {"OutOfDate", "UpToDate", "UpToDate", "OutOfDate"},
        {"OutOfDate", "OutOfDate", "OutOfDate", "OutOfDate"},
        {"OutOfDateConfigurationNeeded", "OutOfDate", "OutOfDate", "OutOfDateConfigurationNeeded"},
        {"UpToDate", "Revoked", "UpToDate", "Revoked"},
        {"UpToDate", "UpToDate", "Revoked", "Revoked"},
        {"OutOfDate", "Revoked", "OutOfDate", "Revoked"},
        /* what Intel says of no part: no better than old */
        {"UpToDate", "OutOfDateConfigurationNeeded", "UpToDate", "OutOfDate"},
        {"UpToDate", "UpToDate", "OutOfDateConfigurationNeeded", "OutOfDate"},
        {"UpToDate", "UpToDate", "TDRelaunchAdvised", "OutOfDate"},
        {"ConfigurationNeeded", "ConfigurationNeeded", "UpToDate", "OutOfDateConfigurationNeeded"},
        {"Revoked", "UpToDate", "UpToDate", "Revoked"},
    };
    struct forge f;

    (void)state;
    forge_init(&f);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char levels[2048], modules[2048], qe[512];
        struct mk_quote_verdict v;
        struct mk_quote q;

        snprintf(levels, sizeof levels, "[" LEVEL(5, 11, 99, "%s", "") "]", rows[i].platform);
        snprintf(modules, sizeof modules,
                 "[" MODULE("TDX_03", SVN(9, "UpToDate", "")) "," MODULE(
                     "TDX_01", SVN(4, "UpToDate", "") "," SVN(2, "%s", "")) "]",
                 rows[i].module);
        snprintf(qe, sizeof qe, "[" SVN(4, "%s", "") "]", rows[i].qe);
        f.levels = levels;
        f.modules = modules;
        f.qe_levels = qe;
        forge_quote(&f, &q, 4, MK_BODY_TDX10);
        q.td.tee_tcb_svn[1] = 1; /* so component 0 counts against the module's levels alone */
        v = judge(&f, &q, FORGE_NOW);
        assert_true(v.has_status);
        assert_string_equal(mk_tcb_status_name(v.status), rows[i].whole);
    }
    forge_done(&f);
}

static void test_modules(void **state)
{
    struct mk_quote_verdict v;
    struct mk_quote q;
    struct forge f;

    (void)state;
    forge_init(&f);
    f.levels = "[" LEVEL(5, 11, 3, "UpToDate", "") "]";
    forge_quote(&f, &q, 4, MK_BODY_TDX10);
    q.td.tee_tcb_svn[1] = 1;
    expect(judge(&f, &q, FORGE_NOW), "no identity of TDX module TDX_01");
    f.modules = "[" MODULE("TDX_01", SVN(4, "UpToDate", "")) "]";
    expect(judge(&f, &q, FORGE_NOW), "svn 3 is below every level");
    f.modules = "[" MODULE("TDX_01", SVN(3, "UpToDate", "")) "]";
    v = judge(&f, &q, FORGE_NOW);
    expect(v, NULL);
    q.td.mr_signer_seam[47] = 1;
    expect(judge(&f, &q, FORGE_NOW), "signed by somebody else");
    q.td.mr_signer_seam[47] = 0;
    q.td.seam_attributes[7] = 0x80;
    expect(judge(&f, &q, FORGE_NOW), "attributes");
    forge_done(&f);
}

/* TDX 1.5: the module was replaced under the TD, which was launched with the old one. */
static void test_relaunch(void **state)
{
    static const struct {
        const char *platform;
        uint8_t svn, svn2, version2;
        const char *qe, *whole;
    } rows[] = {
        {"UpToDate", 3, 4, 1, "UpToDate", "TDRelaunchAdvised"},
        {"ConfigurationNeeded", 3, 4, 1, "UpToDate", "TDRelaunchAdvisedConfigurationNeeded"},
        {"UpToDate", 3, 3, 1, "UpToDate", "OutOfDate"}, /* still the old one */
        {"UpToDate", 4, 4, 1, "UpToDate", "UpToDate"},
        {"UpToDate", 3, 4, 2, "UpToDate", "OutOfDate"}, /* a module that nobody knows */
        {"UpToDate", 3, 4, 1, "OutOfDate", "OutOfDate"},
        {"OutOfDate", 3, 4, 1, "UpToDate", "OutOfDate"},
        {"UpToDate", 3, 9, 0, "UpToDate", "TDRelaunchAdvised"},
        {"UpToDate", 3, 2, 0, "UpToDate", "OutOfDate"},
    };
    struct forge f;

    (void)state;
    forge_init(&f);
    f.modules = "[" MODULE("TDX_01", SVN(4, "UpToDate", "") "," SVN(3, "OutOfDate", "")) "]";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char levels[2048], qe[512];
        struct mk_quote_verdict v;
        struct mk_quote q;

        snprintf(levels, sizeof levels, "[" LEVEL(5, 11, 5, "%s", "") "]", rows[i].platform);
        snprintf(qe, sizeof qe, "[" SVN(4, "%s", "") "]", rows[i].qe);
        f.levels = levels;
        f.qe_levels = qe;
        forge_quote(&f, &q, 5, MK_BODY_TDX15);
        q.td.tee_tcb_svn[0] = rows[i].svn;
        q.td.tee_tcb_svn[1] = 1;
        q.td.tee_tcb_svn_2[0] = rows[i].svn2;
        q.td.tee_tcb_svn_2[1] = rows[i].version2;
        v = judge(&f, &q, FORGE_NOW);
        assert_true(v.has_status);
        assert_string_equal(mk_tcb_status_name(v.status), rows[i].whole);
    }
    forge_done(&f);
}

static void test_advisories(void **state)
{
    static const char *const want[] = {"INTEL-SA-00001", "INTEL-SA-00002", "INTEL-SA-00003",
                                       "INTEL-SA-00004"};
    struct mk_quote_verdict v;
    struct mk_quote q;
    struct forge f;

    (void)state;
    forge_init(&f);
    f.levels = "[" LEVEL(5, 11, 3, "SWHardeningNeeded",
                         ",\"advisoryIDs\":[\"INTEL-SA-00003\",\"INTEL-SA-00001\"]") "]";
    f.modules =
        "[" MODULE("TDX_01", SVN(1, "UpToDate",
                                 ",\"advisoryIDs\":[\"INTEL-SA-00003\",\"INTEL-SA-00004\"]")) "]";
    f.qe_levels = "[" SVN(4, "UpToDate", ",\"advisoryIDs\":[\"INTEL-SA-00002\"]") "]";
    forge_quote(&f, &q, 4, MK_BODY_TDX10);
    q.td.tee_tcb_svn[1] = 1;
    v = judge(&f, &q, FORGE_NOW);
    expect(v, NULL);
    assert_int_equal(v.n_advisories, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_string_equal(v.advisories[i], want[i]);
    forge_done(&f);
}

/* What must be equal between quote, PCK and documents. */
static void test_mismatches(void **state)
{
    struct mk_quote q;
    struct forge f;

    (void)state;
    forge_init(&f);
    forge_quote(&f, &q, 4, MK_BODY_TDX10);
    expect(judge(&f, &q, FORGE_NOW), NULL);
    f.fmspc = "00806F050001";
    expect(judge(&f, &q, FORGE_NOW), "no TCB info of FMSPC 00806f050000 for tdx");
    f.fmspc = "00806F050000";
    f.pce_id = "0001";
    expect(judge(&f, &q, FORGE_NOW), "another PCE");
    f.pce_id = "0000";
    f.sgx = true;
    expect(judge(&f, &q, FORGE_NOW), "no TCB info");
    forge_quote(&f, &q, 3, MK_BODY_SGX);
    expect(judge(&f, &q, FORGE_NOW), NULL);
    f.sgx = false;
    expect(judge(&f, &q, FORGE_NOW), "no TCB info");
    forge_quote(&f, &q, 4, MK_BODY_TDX10);
    q.qe_report.mr_signer[0] ^= 1;
    expect(judge(&f, &q, FORGE_NOW), "mrsigner");
    q.qe_report.mr_signer[0] ^= 1;
    q.qe_report.isv_prod_id[1] = 1;
    expect(judge(&f, &q, FORGE_NOW), "isvprodid");
    q.qe_report.isv_prod_id[1] = 0;
    q.qe_report.misc_select[3] = 1;
    expect(judge(&f, &q, FORGE_NOW), "miscselect");
    q.qe_report.misc_select[3] = 0;
    q.qe_report.attributes[0] = 2;
    expect(judge(&f, &q, FORGE_NOW), "attributes");
    q.qe_report.attributes[0] = 4; /* outside the mask */
    expect(judge(&f, &q, FORGE_NOW), NULL);
    q.qe_report.isv_svn[0] = 3;
    expect(judge(&f, &q, FORGE_NOW), "the QE's svn 3 is below every level");
    forge_done(&f);
}

/* --- dates and revocation ------------------------------------------------------------------------
 */

static void test_dates(void **state)
{
    static const struct {
        size_t from, to;
        const char *what;
    } rows[] = {
        {offsetof(struct forge, info_from), offsetof(struct forge, info_to), "TCB info"},
        {offsetof(struct forge, qe_from), offsetof(struct forge, qe_to), "QE identity"},
        {offsetof(struct forge, list_from), offsetof(struct forge, list_to), "revocation list"},
    };
    struct forge f;

    (void)state;
    forge_init(&f);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t *from = (uint64_t *)(void *)((char *)&f + rows[i].from);
        uint64_t *to = (uint64_t *)(void *)((char *)&f + rows[i].to);
        struct mk_quote_verdict v;
        struct mk_quote q;

        forge_quote(&f, &q, 4, MK_BODY_TDX10);
        *to = FORGE_NOW;
        v = judge(&f, &q, FORGE_NOW - 1);
        expect(v, NULL);
        assert_int_equal(v.expires_s, FORGE_NOW);
        v = judge(&f, &q, FORGE_NOW);
        expect(v, rows[i].what);
        expect(v, "expired at 2025-06-15T15:06:40Z");
        *to = FORGE_TO;
        *from = FORGE_NOW + 1;
        v = judge(&f, &q, FORGE_NOW);
        expect(v, rows[i].what);
        expect(v, "is not valid before 2025-06-15T15:06:41Z");
        *from = FORGE_FROM;
    }
    f.cert[FORGE_TCB].to = FORGE_NOW; /* a document counts no longer than who signed it */
    {
        struct mk_quote q;

        forge_quote(&f, &q, 4, MK_BODY_TDX10);
        expect(judge(&f, &q, FORGE_NOW), "TCB info expired");
    }
    forge_done(&f);
}

static void test_revocation(void **state)
{
    struct mk_quote q;
    struct forge f;

    (void)state;
    forge_init(&f);
    forge_quote(&f, &q, 4, MK_BODY_TDX10);
    f.revoked_by_ca = 3;
    expect(judge(&f, &q, FORGE_NOW), "the PCK certificate is revoked");
    f.revoked_by_ca = 99;
    expect(judge(&f, &q, FORGE_NOW), NULL);
    f.revoked_by_root = 2;
    expect(judge(&f, &q, FORGE_NOW), "the PCK's CA is revoked");
    f.revoked_by_root = 4;
    expect(judge(&f, &q, FORGE_NOW), "the certificate that signs it is revoked");
    f.revoked_by_root = 3; /* the root's list speaks of its own certificates */
    expect(judge(&f, &q, FORGE_NOW), NULL);
    forge_done(&f);
}

/* --- taking in
 * ------------------------------------------------------------------------------------ */

static void test_replacing(void **state)
{
    struct mk_buf first = {0}, second = {0}, bytes = {0};
    struct mk_quote_verdict v;
    struct mk_collateral *c;
    struct mk_quote q;
    struct forge f;
    uint64_t generation;

    (void)state;
    forge_init(&f);
    c = mk_collateral_new(f.root);
    assert_true(mk_collateral_expires_s(c) == UINT64_MAX);
    forge_quote(&f, &q, 4, MK_BODY_TDX10);
    forge_sign(&f, &q, &bytes);
    assert_int_equal(mk_quote_parse(&q, mk_buf_bytes(&bytes), NULL), 0);
    mk_quote_verify(f.root, c, &q, NULL, FORGE_NOW, &v);
    expect(v, "there is no revocation list of the root");
    f.info_to = FORGE_NOW;
    forge_collateral(&f, &first);
    add(c, mk_buf_bytes(&first), 0);
    assert_true(mk_collateral_expires_s(c) == FORGE_NOW);
    generation = mk_collateral_generation(c);
    add(c, mk_buf_bytes(&first), 0); /* the same again changes nothing */
    assert_true(mk_collateral_generation(c) == generation);
    mk_quote_verify(f.root, c, &q, NULL, FORGE_NOW, &v);
    expect(v, "TCB info expired");
    f.info_to = FORGE_TO;
    f.info_from++;
    forge_collateral(&f, &second);
    add(c, mk_buf_bytes(&second), 0);
    assert_true(mk_collateral_generation(c) == generation + 1);
    mk_quote_verify(f.root, c, &q, NULL, FORGE_NOW, &v);
    expect(v, NULL);
    add(c, mk_buf_bytes(&first), MK_ESTALE); /* nobody brings the older one back */
    mk_quote_verify(f.root, c, &q, NULL, FORGE_NOW, &v);
    expect(v, NULL);
    mk_collateral_free(c);
    mk_buf_done(&first);
    mk_buf_done(&second);
    mk_buf_done(&bytes);
    forge_done(&f);
}

/* Whoever signs must be who may; and nothing of another root gets in. */
/* What was seen outlives the process: the older document is refused by one that never had the
 * newer. */
static void test_seen(void **state)
{
    struct mk_buf old = {0}, fresh = {0}, seen = {0}, again = {0}, none = {0};
    struct mk_collateral *c;
    struct mk_fault fault = {{0}};
    struct mk_bytes doc;
    struct forge f;

    (void)state;
    forge_init(&f);
    forge_collateral(&f, &old);
    f.info_from++;
    forge_collateral(&f, &fresh);
    c = mk_collateral_new(f.root);
    mk_collateral_seen(c, &none);
    add(c, mk_buf_bytes(&fresh), 0);
    mk_collateral_seen(c, &seen);
    assert_true(seen.n > none.n);
    mk_collateral_free(c);
    c = mk_collateral_new(f.root);
    assert_int_equal(mk_collateral_recall(c, mk_buf_bytes(&seen), &fault), 0);
    mk_collateral_seen(c, &again);
    assert_true(mk_bytes_eq(mk_buf_bytes(&seen), mk_buf_bytes(&again)));
    doc = mk_buf_bytes(&old);
    assert_int_equal(mk_collateral_add(c, &doc, 1, &fault), MK_ESTALE);
    assert_non_null(strstr(fault.text, "TCB info: older than the one of "));
    add(c, mk_buf_bytes(&fresh), 0); /* the very one that was seen is welcome */
    mk_collateral_free(c);
    for (size_t i = 0; i < seen.n; i++) { /* cut, or of another root */
        c = mk_collateral_new(f.root);
        assert_int_equal(mk_collateral_recall(c, MK_BYTES(seen.p, i), &fault), MK_EMALFORMED);
        mk_collateral_free(c);
    }
    seen.p[1] ^= 1;
    c = mk_collateral_new(f.root);
    assert_int_equal(mk_collateral_recall(c, mk_buf_bytes(&seen), &fault), MK_EMALFORMED);
    add(c, mk_buf_bytes(&old), 0);
    mk_collateral_free(c);
    mk_buf_done(&old);
    mk_buf_done(&fresh);
    mk_buf_done(&seen);
    mk_buf_done(&again);
    mk_buf_done(&none);
    forge_done(&f);
}

static void test_signers(void **state)
{
    static const enum forge_key strangers[] = {FORGE_ROOT, FORGE_CA, FORGE_PCK, FORGE_ATT,
                                               FORGE_STRANGER};
    struct mk_collateral *c;
    struct mk_buf doc = {0}, bytes = {0};
    struct mk_quote_verdict v;
    struct mk_quote q;
    struct forge f, other;

    (void)state;
    forge_init(&f);
    forge_init(&other);
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        c = mk_collateral_new(f.root);
        f.json_signer = strangers[i];
        forge_collateral(&f, &doc);
        add(c, mk_buf_bytes(&doc), MK_ESIGNATURE);
        mk_collateral_free(c);
    }
    f.json_signer = FORGE_TCB;
    f.cert[FORGE_TCB].subject = "Forged Something Else";
    c = mk_collateral_new(f.root);
    forge_collateral(&f, &doc);
    add(c, mk_buf_bytes(&doc), MK_ESIGNATURE);
    mk_collateral_free(c);
    c = mk_collateral_new(f.root);
    forge_collateral(&other, &doc);
    add(c, mk_buf_bytes(&doc), MK_ESIGNATURE);
    assert_true(mk_collateral_expires_s(c) == UINT64_MAX);
    mk_collateral_free(c);
    c = mk_collateral_new(other.root);
    add(c, mk_buf_bytes(&doc), 0);
    forge_quote(&f, &q, 4, MK_BODY_TDX10);
    forge_sign(&f, &q, &bytes);
    assert_int_equal(mk_quote_parse(&q, mk_buf_bytes(&bytes), NULL), 0);
    mk_quote_verify(f.root, c, &q, NULL, FORGE_NOW, &v);
    expect(v, "of another root");
    mk_collateral_free(c);
    mk_buf_done(&doc);
    mk_buf_done(&bytes);
    forge_done(&f);
    forge_done(&other);
}

/* Every byte of a document changed: what is not signed cannot matter, what is is refused. */
static void test_changed_documents(void **state)
{
    struct mk_buf doc = {0}, bytes = {0};
    unsigned refused = 0;
    struct mk_quote q;
    struct forge f;

    (void)state;
    forge_init(&f);
    forge_quote(&f, &q, 4, MK_BODY_TDX10);
    forge_sign(&f, &q, &bytes);
    assert_int_equal(mk_quote_parse(&q, mk_buf_bytes(&bytes), NULL), 0);
    forge_collateral(&f, &doc);
    for (size_t i = 0; i < doc.n; i++) {
        struct mk_collateral *c = mk_collateral_new(f.root);
        struct mk_fault fault = {{0}};
        struct mk_bytes b = mk_buf_bytes(&doc);
        struct mk_quote_verdict v;

        doc.p[i] ^= 1;
        if (mk_collateral_add(c, &b, 1, &fault) != 0)
            refused++;
        mk_quote_verify(f.root, c, &q, NULL, FORGE_NOW, &v);
        if (v.ok && (v.status != MK_TCB_UpToDate || v.expires_s != FORGE_TO))
            fail_msg("byte %zu changed is believed", i);
        doc.p[i] ^= 1;
        mk_collateral_free(c);
    }
    assert_true(refused > doc.n * 9 / 10);
    mk_buf_done(&doc);
    mk_buf_done(&bytes);
    forge_done(&f);
}

/* --- shapes of documents
 * --------------------------------------------------------------------------- */

/* The members of a bundle as documents of their own. */
static void test_shapes(void **state)
{
    struct mk_buf doc = {0}, der = {0}, pem = {0}, part = {0};
    struct mk_collateral *c;
    json_t *o, *parts[2];
    struct forge f;
    static const char *const keys[2][2] = {{"tcb_info", "tcbInfo"},
                                           {"qe_identity", "enclaveIdentity"}};

    (void)state;
    forge_init(&f);
    c = mk_collateral_new(f.root);
    forge_list(&f, &f.cert[FORGE_ROOT], 0, &der);
    add(c, mk_buf_bytes(&der), 0); /* a list in DER, of the root: no other signer is needed */
    mk_buf_clear(&der);
    forge_list(&f, &f.cert[FORGE_CA], 0, &der);
    add(c, mk_buf_bytes(&der), MK_ESIGNATURE);
    mk_buf_clear(&part);
    forge_certificate(&f, &f.cert[FORGE_CA], &part);
    add(c, mk_buf_bytes(&part), 0); /* a certificate in DER */
    add(c, mk_buf_bytes(&der), 0);
    mk_buf_clear(&part);
    forge_certificate(&f, &f.cert[FORGE_TCB], &part);
    forge_pem(mk_buf_bytes(&part), &pem);
    add(c, mk_buf_bytes(&pem), 0);
    forge_collateral(&f, &doc);
    o = json_loadb((char *)doc.p, doc.n, 0, NULL);
    for (unsigned i = 0; i < 2; i++) {
        char name[64];

        parts[i] = json_object_get(o, keys[i][0]);
        snprintf(name, sizeof name, "%s_signature", keys[i][0]);
        mk_buf_clear(&part);
        mk_buf_printf(&part, " {\"signature\" : \"%s\", \"x\":[\"}\\\"\"], \"%s\" :  %s }\n",
                      json_string_value(json_object_get(o, name)), keys[i][1],
                      json_string_value(parts[i]));
        add(c, mk_buf_bytes(&part), 0);
    }
    assert_true(mk_collateral_expires_s(c) == FORGE_TO);
    assert_int_equal(mk_collateral_generation(c), 4);
    json_decref(o);
    mk_collateral_free(c);
    mk_buf_done(&doc);
    mk_buf_done(&der);
    mk_buf_done(&pem);
    mk_buf_done(&part);
    forge_done(&f);
}

/* A batch may come in any order, as a directory's files do; of its faults an old document is
 * the least. */
static void test_batch(void **state)
{
    struct mk_buf doc = {0}, old = {0}, der[2] = {{0}, {0}}, info = {0};
    struct mk_bytes docs[3];
    struct mk_fault fault = {{0}};
    struct mk_collateral *c;
    struct forge f;
    json_t *o;

    (void)state;
    forge_init(&f);
    forge_collateral(&f, &doc);
    o = json_loadb((char *)doc.p, doc.n, 0, NULL);
    mk_buf_printf(&info, "{\"tcbInfo\":%s,\"signature\":\"%s\"}",
                  json_string_value(json_object_get(o, "tcb_info")),
                  json_string_value(json_object_get(o, "tcb_info_signature")));
    forge_list(&f, &f.cert[FORGE_CA], 0, &der[0]);
    forge_certificate(&f, &f.cert[FORGE_TCB], &der[1]);
    docs[0] = mk_buf_bytes(&info);
    docs[1] = mk_buf_bytes(&der[0]);
    docs[2] = mk_buf_bytes(&der[1]);
    c = mk_collateral_new(f.root);
    assert_int_equal(mk_collateral_add(c, docs, 3, &fault), MK_ESIGNATURE); /* the CA's list */
    assert_int_equal(mk_collateral_generation(c), 1);                       /* the TCB info */
    add(c, mk_buf_bytes(&doc), 0);
    mk_buf_put(&old, doc.p, doc.n);
    f.info_from = f.list_from = FORGE_FROM + 5;
    forge_collateral(&f, &doc);
    add(c, mk_buf_bytes(&doc), 0);
    docs[0] = mk_buf_bytes(&old);
    assert_int_equal(mk_collateral_add(c, docs, 1, &fault), MK_ESTALE);
    docs[1] = MK_BYTES("{\"enclaveIdentity\":{},\"signature\":\"\"}", 37);
    assert_int_equal(mk_collateral_add(c, docs, 2, &fault), MK_EMALFORMED);
    assert_int_equal(mk_collateral_add(c, docs, 1025, &fault), MK_ELIMIT);
    json_decref(o);
    mk_collateral_free(c);
    mk_buf_done(&doc);
    mk_buf_done(&old);
    mk_buf_done(&info);
    mk_buf_done(&der[0]);
    mk_buf_done(&der[1]);
    forge_done(&f);
}

static void test_yaml(void **state)
{
    struct mk_buf doc = {0}, yaml = {0};
    struct mk_collateral *c;
    const char *key;
    json_t *o, *v;
    struct forge f;

    (void)state;
    forge_init(&f);
    c = mk_collateral_new(f.root);
    forge_collateral(&f, &doc);
    o = json_loadb((char *)doc.p, doc.n, 0, NULL);
    mk_buf_put_str(&yaml, "# of a tool\n---\nunknown: |\n  lines\n\n  more\n");
    json_object_foreach(o, key, v)
    {
        mk_buf_printf(&yaml, "%s: |-\n  ", key);
        for (const char *p = json_string_value(v); *p != '\0'; p++) {
            mk_buf_put_u8(&yaml, (uint8_t)*p);
            if (*p == '\n')
                mk_buf_put_str(&yaml, "  ");
        }
        mk_buf_put_u8(&yaml, '\n');
    }
    add(c, mk_buf_bytes(&yaml), 0);
    assert_true(mk_collateral_expires_s(c) == FORGE_TO);
    json_decref(o);
    mk_collateral_free(c);
    mk_buf_done(&doc);
    mk_buf_done(&yaml);
    forge_done(&f);
}

static void test_rubbish(void **state)
{
    static const char *const docs[] = {
        "",
        " \n",
        "{}",
        "{",
        "[]",
        "hello",
        "30",
        "3082",
        "abc",
        "{\"tcbInfo\":{}}",
        "{\"tcbInfo\":{},\"signature\":\"00\"}",
        "{\"tcb_info\":\"{}\"}",
        "{\"tcb_info\":\"{}\",\"tcb_info\":\"{}\"}",
        "{\"root_ca_crl\":\"zz\"}",
        "{\"tcb_info\":7,\"root_ca_crl\":\"\"}",
        "-----BEGIN CERTIFICATE-----\n",
        "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
        "tcb_info: |-\n",
        "tcb_info: |-\n  {}\ntcb_info_signature: 00\n",
    };
    struct mk_collateral *c;
    struct mk_buf big = {0};
    struct forge f;

    (void)state;
    forge_init(&f);
    c = mk_collateral_new(f.root);
    for (size_t i = 0; i < sizeof docs / sizeof docs[0]; i++) {
        struct mk_bytes b = MK_BYTES(docs[i], strlen(docs[i]));
        struct mk_fault fault = {{0}};

        if (mk_collateral_add(c, &b, 1, &fault) == 0)
            fail_msg("\"%s\" is taken", docs[i]);
        assert_true(fault.text[0] != '\0');
    }
    memset(mk_buf_grow(&big, MK_COLLATERAL_DOC_MAX + 1), '{', MK_COLLATERAL_DOC_MAX + 1);
    add(c, mk_buf_bytes(&big), MK_ELIMIT);
    mk_buf_done(&big);
    mk_collateral_free(c);
    forge_done(&f);
}

/* --- many, and too many --- */

/* Many platforms and both TEEs side by side; each document is replaced by its own successor. */
static void test_platforms(void **state)
{
    static const char *const fmspcs[] = {"00806F050000", "B0C06F000000", "90C06F000000"};
    struct mk_quote_verdict v;
    struct mk_buf doc = {0}, bytes[2] = {{0}, {0}};
    struct mk_collateral *c;
    struct mk_quote q[2];
    struct forge f;

    (void)state;
    forge_init(&f);
    c = mk_collateral_new(f.root);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 6; i++) {
            f.sgx = i % 2 == 1;
            f.fmspc = fmspcs[i / 2];
            forge_collateral(&f, &doc);
            add(c, mk_buf_bytes(&doc), 0);
        }
        /* two lists, two identities, six infos; in the second round all but the lists */
        assert_int_equal(mk_collateral_generation(c), round == 0 ? 10 : 18);
        f.info_from++;
        f.qe_from++;
    }
    f.sgx = false;
    f.qe_from = FORGE_FROM;
    forge_collateral(&f, &doc);
    add(c, mk_buf_bytes(&doc), MK_ESTALE);
    for (unsigned i = 0; i < 2; i++) {
        forge_quote(&f, &q[i], 4, i == 0 ? MK_BODY_TDX10 : MK_BODY_SGX);
        forge_sign(&f, &q[i], &bytes[i]);
        assert_int_equal(mk_quote_parse(&q[i], mk_buf_bytes(&bytes[i]), NULL), 0);
        mk_quote_verify(f.root, c, &q[i], NULL, FORGE_NOW, &v);
        expect(v, NULL);
        assert_int_equal(mk_quote_report_data(&q[i])[63], 0xda);
        mk_buf_done(&bytes[i]);
    }
    mk_collateral_free(c);
    mk_buf_done(&doc);
    forge_done(&f);
}

/* As many signers as there is room for, and one more. */
static void test_limits(void **state)
{
    struct mk_buf doc = {0}, pem = {0};
    struct mk_collateral *c;
    struct forge f;

    (void)state;
    forge_init(&f);
    c = mk_collateral_new(f.root);
    for (unsigned i = 0; i <= MK_COLLATERAL_MAX; i++) {
        f.cert[FORGE_TCB].serial = 1000 + i;
        mk_buf_clear(&doc);
        forge_certificate(&f, &f.cert[FORGE_TCB], &doc);
        add(c, mk_buf_bytes(&doc), i < MK_COLLATERAL_MAX ? 0 : MK_ELIMIT);
        if (i < 17)
            forge_pem(mk_buf_bytes(&doc), &pem);
    }
    add(c, mk_buf_bytes(&pem), MK_ELIMIT); /* blocks of one document */
    mk_collateral_free(c);
    mk_buf_done(&doc);
    mk_buf_done(&pem);
    forge_done(&f);
}

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
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_modules),
        cmocka_unit_test(test_relaunch),
        cmocka_unit_test(test_advisories),
        cmocka_unit_test(test_mismatches),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_revocation),
        cmocka_unit_test(test_replacing),
        cmocka_unit_test(test_seen),
        cmocka_unit_test(test_signers),
        cmocka_unit_test(test_changed_documents),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_yaml),
        cmocka_unit_test(test_rubbish),
        cmocka_unit_test(test_platforms),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_bad_documents),
        cmocka_unit_test(test_platform_extension),
        cmocka_unit_test(test_real_infos),
        cmocka_unit_test(test_real_levels),
        cmocka_unit_test(test_real_certificates),
        cmocka_unit_test(test_real_lists),
    };
    return cmocka_run_group_tests_name("collateral", tests, NULL, NULL);
}
