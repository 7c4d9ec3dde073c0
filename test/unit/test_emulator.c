/* test_emulator.c - what the emulator makes passes the same verification as what machines make,
 * under its own root and no other. */
#include "unit.h"

#include <mosaik/attest.h>
#include <mosaik/emulator.h>

#define NOW_S UINT64_C(1800000000)
#define DAY UINT64_C(86400)

struct scene {
    struct mk_emulator *e;
    struct mk_buf pem, collateral_json, bytes;
    struct mk_quote_root *root;
    struct mk_collateral *collateral;
    struct mk_measurements measured;
    struct mk_quote quote;
    struct mk_quote_verdict verdict;
    uint8_t data[64];
};

static void fill(struct mk_b48 *r, uint8_t n)
{
    memset(r->b, n, sizeof r->b);
}

static void emulator_of(struct mk_emulator **ret, uint8_t n, const struct mk_measurements *m)
{
    uint8_t seed[32] = {n};

    assert_int_equal(mk_emulator_new(ret, seed, m, NULL), 0);
}

static struct mk_collateral *collateral_of(struct scene *s, struct mk_quote_root *root,
                                           const struct mk_emulator *e, uint64_t until_s)
{
    struct mk_collateral *c = mk_collateral_new(root);
    struct mk_fault f = {{0}};
    struct mk_bytes doc;

    mk_buf_clear(&s->collateral_json);
    assert_int_equal(mk_emulator_collateral(e, NOW_S - DAY, until_s, &s->collateral_json, &f), 0);
    doc = mk_buf_bytes(&s->collateral_json);
    if (mk_collateral_add(c, &doc, 1, &f) != 0)
        fail_msg("%s", f.text);
    return c;
}

static int setup(void **state)
{
    struct scene *s = mk_alloc(sizeof *s);

    fill(&s->measured.mr_td, 1);
    s->measured.rtmr2.some = true;
    fill(&s->measured.rtmr2.v, 2);
    emulator_of(&s->e, 1, &s->measured);
    mk_emulator_root(s->e, &s->pem);
    assert_int_equal(mk_quote_root_new(&s->root, mk_buf_bytes(&s->pem), NULL), 0);
    s->collateral = collateral_of(s, s->root, s->e, NOW_S + DAY);
    memset(s->data, 0x77, sizeof s->data);
    assert_int_equal(mk_emulator_quote(s->e, s->data, &s->bytes, NULL), 0);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;

    mk_collateral_free(s->collateral);
    mk_quote_root_free(s->root);
    mk_emulator_free(s->e);
    mk_buf_done(&s->pem);
    mk_buf_done(&s->collateral_json);
    mk_buf_done(&s->bytes);
    mk_free(s);
    return 0;
}

static void verify(struct scene *s, struct mk_quote_root *root, const struct mk_collateral *c,
                   uint64_t now_s)
{
    struct mk_fault f = {{0}};

    if (mk_quote_parse(&s->quote, mk_buf_bytes(&s->bytes), &f) != 0)
        fail_msg("%s", f.text);
    mk_quote_verify(root, c, &s->quote, NULL, now_s, &s->verdict);
}

static void test_its_quote_passes_under_its_root(void **state)
{
    struct scene *s = *state;

    verify(s, s->root, s->collateral, NOW_S);
    if (!s->verdict.ok)
        fail_msg("%s", s->verdict.reason);
    assert_true(s->verdict.has_status);
    assert_int_equal(s->verdict.status, MK_TCB_UpToDate);
    assert_int_equal(s->verdict.expires_s, NOW_S + DAY);
    assert_memory_equal(mk_quote_report_data(&s->quote), s->data, 64);
    assert_null(mk_measurements_differ(&s->measured, &s->quote.td));
    assert_false(mk_quote_root_is_intel(s->root));
}

static void test_it_passes_under_no_other_root(void **state)
{
    struct scene *s = *state;
    struct mk_quote_root *intel = mk_quote_root_intel(), *other;
    struct mk_emulator *another;
    struct mk_buf pem = {0};

    verify(s, intel, NULL, NOW_S);
    assert_false(s->verdict.ok);
    assert_int_equal(s->verdict.chain, MK_QUOTE_CHAIN_REFUSED);
    mk_quote_root_free(intel);

    emulator_of(&another, 2, &s->measured); /* the same names, other keys */
    mk_emulator_root(another, &pem);
    assert_int_equal(mk_quote_root_new(&other, mk_buf_bytes(&pem), NULL), 0);
    verify(s, other, NULL, NOW_S);
    assert_false(s->verdict.ok);
    mk_quote_root_free(other);
    mk_emulator_free(another);
    mk_buf_done(&pem);
}

/* The root's certificate is made anew at each start; its key is what counts. */
static void test_the_same_seed_is_the_same_authority(void **state)
{
    struct scene *s = *state;
    struct mk_emulator *again;

    emulator_of(&again, 1, &s->measured);
    mk_buf_clear(&s->bytes);
    assert_int_equal(mk_emulator_quote(again, s->data, &s->bytes, NULL), 0);
    verify(s, s->root, s->collateral, NOW_S);
    if (!s->verdict.ok)
        fail_msg("%s", s->verdict.reason);
    mk_emulator_free(again);
}

static void test_its_collateral_expires_with_the_date(void **state)
{
    struct scene *s = *state;

    verify(s, s->root, s->collateral, NOW_S + DAY);
    assert_false(s->verdict.ok);
    if (strstr(s->verdict.reason, "2027-01-16") == NULL)
        fail_msg("no date in \"%s\"", s->verdict.reason);
}

/* What is signed is the header and the body: each byte of them. */
static void test_each_byte_of_a_quote_is_signed(void **state)
{
    struct scene *s = *state;

    for (size_t i = 0; i < 48 + MK_TD_REPORT_10; i += 7) {
        s->bytes.p[i] ^= 0x10;
        if (mk_quote_parse(&s->quote, mk_buf_bytes(&s->bytes), NULL) == 0) {
            verify(s, s->root, NULL, NOW_S);
            assert_false(s->verdict.ok);
        }
        s->bytes.p[i] ^= 0x10;
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_its_quote_passes_under_its_root),     T(test_it_passes_under_no_other_root),
        T(test_the_same_seed_is_the_same_authority), T(test_its_collateral_expires_with_the_date),
        T(test_each_byte_of_a_quote_is_signed),
    };
#undef T

    return cmocka_run_group_tests(tests, NULL, NULL);
}
