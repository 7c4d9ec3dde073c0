/* The status that Intel's rules give to each platform, module and QE, by forged collateral; dates
 * and revocation. */
#include "forge.h"
#include "tcb_json.h"

#include <stdio.h>

/* --- status ----------------------------------------------------------------------------------- */

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
        v = forge_judge(&f, &q, FORGE_NOW);
        assert_int_equal(v.has_status, rows[i].status != NULL);
        if (rows[i].status == NULL) {
            forge_expect(v, "below every level");
            continue;
        }
        assert_string_equal(mk_tcb_status_name(v.status), rows[i].status);
        assert_string_equal(v.tcb_date, "2024-03-13T00:00:00Z");
        assert_int_equal(v.evaluation_number, 17);
        assert_int_equal(v.ok, (MK_TCB_DEFAULT & 1u << v.status) != 0);
        if (!v.ok)
            forge_expect(v, "is not accepted");
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
        v = forge_judge(&f, &q, FORGE_NOW);
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
    forge_expect(forge_judge(&f, &q, FORGE_NOW), "no identity of TDX module TDX_01");
    f.modules = "[" MODULE("TDX_01", SVN(4, "UpToDate", "")) "]";
    forge_expect(forge_judge(&f, &q, FORGE_NOW), "svn 3 is below every level");
    f.modules = "[" MODULE("TDX_01", SVN(3, "UpToDate", "")) "]";
    v = forge_judge(&f, &q, FORGE_NOW);
    forge_expect(v, NULL);
    q.td.mr_signer_seam[47] = 1;
    forge_expect(forge_judge(&f, &q, FORGE_NOW), "signed by somebody else");
    q.td.mr_signer_seam[47] = 0;
    q.td.seam_attributes[7] = 0x80;
    forge_expect(forge_judge(&f, &q, FORGE_NOW), "attributes");
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
        v = forge_judge(&f, &q, FORGE_NOW);
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
    v = forge_judge(&f, &q, FORGE_NOW);
    forge_expect(v, NULL);
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
    forge_expect(forge_judge(&f, &q, FORGE_NOW), NULL);
    f.fmspc = "00806F050001";
    forge_expect(forge_judge(&f, &q, FORGE_NOW), "no TCB info of FMSPC 00806f050000 for tdx");
    f.fmspc = "00806F050000";
    f.pce_id = "0001";
    forge_expect(forge_judge(&f, &q, FORGE_NOW), "another PCE");
    f.pce_id = "0000";
    f.sgx = true;
    forge_expect(forge_judge(&f, &q, FORGE_NOW), "no TCB info");
    forge_quote(&f, &q, 3, MK_BODY_SGX);
    forge_expect(forge_judge(&f, &q, FORGE_NOW), NULL);
    f.sgx = false;
    forge_expect(forge_judge(&f, &q, FORGE_NOW), "no TCB info");
    forge_quote(&f, &q, 4, MK_BODY_TDX10);
    q.qe_report.mr_signer[0] ^= 1;
    forge_expect(forge_judge(&f, &q, FORGE_NOW), "mrsigner");
    q.qe_report.mr_signer[0] ^= 1;
    q.qe_report.isv_prod_id[1] = 1;
    forge_expect(forge_judge(&f, &q, FORGE_NOW), "isvprodid");
    q.qe_report.isv_prod_id[1] = 0;
    q.qe_report.misc_select[3] = 1;
    forge_expect(forge_judge(&f, &q, FORGE_NOW), "miscselect");
    q.qe_report.misc_select[3] = 0;
    q.qe_report.attributes[0] = 2;
    forge_expect(forge_judge(&f, &q, FORGE_NOW), "attributes");
    q.qe_report.attributes[0] = 4; /* outside the mask */
    forge_expect(forge_judge(&f, &q, FORGE_NOW), NULL);
    q.qe_report.isv_svn[0] = 3;
    forge_expect(forge_judge(&f, &q, FORGE_NOW), "the QE's svn 3 is below every level");
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
        v = forge_judge(&f, &q, FORGE_NOW - 1);
        forge_expect(v, NULL);
        assert_int_equal(v.expires_s, FORGE_NOW);
        v = forge_judge(&f, &q, FORGE_NOW);
        forge_expect(v, rows[i].what);
        forge_expect(v, "expired at 2025-06-15T15:06:40Z");
        *to = FORGE_TO;
        *from = FORGE_NOW + 1;
        v = forge_judge(&f, &q, FORGE_NOW);
        forge_expect(v, rows[i].what);
        forge_expect(v, "is not valid before 2025-06-15T15:06:41Z");
        *from = FORGE_FROM;
    }
    f.cert[FORGE_TCB].to = FORGE_NOW; /* a document counts no longer than who signed it */
    {
        struct mk_quote q;

        forge_quote(&f, &q, 4, MK_BODY_TDX10);
        forge_expect(forge_judge(&f, &q, FORGE_NOW), "TCB info expired");
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
    forge_expect(forge_judge(&f, &q, FORGE_NOW), "the PCK certificate is revoked");
    f.revoked_by_ca = 99;
    forge_expect(forge_judge(&f, &q, FORGE_NOW), NULL);
    f.revoked_by_root = 2;
    forge_expect(forge_judge(&f, &q, FORGE_NOW), "the PCK's CA is revoked");
    f.revoked_by_root = 4;
    forge_expect(forge_judge(&f, &q, FORGE_NOW), "the certificate that signs it is revoked");
    f.revoked_by_root = 3; /* the root's list speaks of its own certificates */
    forge_expect(forge_judge(&f, &q, FORGE_NOW), NULL);
    forge_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),     cmocka_unit_test(test_together),
        cmocka_unit_test(test_modules),    cmocka_unit_test(test_relaunch),
        cmocka_unit_test(test_advisories), cmocka_unit_test(test_mismatches),
        cmocka_unit_test(test_dates),      cmocka_unit_test(test_revocation),
    };

    return cmocka_run_group_tests_name("collateral", tests, NULL, NULL);
}
