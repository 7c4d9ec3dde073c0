/* Slices, buffers, arenas, hex, UTF-8, faults. */
#include "unit.h"

static void test_hex(void **state)
{
    uint8_t out[2] = {7, 7};

    (void)state;
    assert_int_equal(mk_unhex(out, 2, "aBcD", 4), 0);
    unit_assert_hex(out, 2, "abcd");
    assert_int_equal(mk_unhex(out, 2, "abc", 3), MK_EMALFORMED);
    assert_int_equal(mk_unhex(out, 2, "abcdef", 6), MK_EMALFORMED);
    assert_int_equal(mk_unhex(out, 2, "0x12", 4), MK_EMALFORMED);
    assert_int_equal(mk_unhex(out, 2, "12 4", 4), MK_EMALFORMED);
    unit_assert_hex(out, 2, "abcd"); /* untouched by failures */
}

static void test_utf8(void **state)
{
    static const char *const good[] = {"",
                                       "abc",
                                       "\xce\xb1",
                                       "\xe2\x82\xac",
                                       "\xf0\x9f\x98\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\xaf",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "a\xce",
                                      "\xe2\x82",
                                      "\xe2\x28\xa1"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(mk_utf8_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(mk_utf8_valid(bad[i], strlen(bad[i])));
}

static void test_slices(void **state)
{
    (void)state;
    assert_true(mk_str_eq(MK_STR("ab"), mk_str_of("ab")));
    assert_false(mk_str_is(MK_STR("ab"), "abc"));
    assert_true(mk_bytes_cmp(MK_BYTES("a", 1), MK_BYTES("ab", 2)) < 0);
    assert_true(mk_bytes_cmp(MK_BYTES("b", 1), MK_BYTES("ab", 2)) > 0);
    assert_int_equal(mk_bytes_cmp(MK_BYTES("ab", 2), MK_BYTES("ab", 2)), 0);
    assert_true(mk_bytes_cmp((struct mk_bytes){0}, MK_BYTES("a", 1)) < 0);
    assert_true(mk_bytes_eq((struct mk_bytes){0}, MK_BYTES("a", 0)));
}

static void test_buf(void **state)
{
    struct mk_buf b = {0};

    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        mk_buf_put_u8(&b, (uint8_t)i);
    mk_buf_drop_front(&b, 998);
    assert_int_equal(b.n, 2);
    assert_int_equal(b.p[1], 999 & 255);
    mk_buf_clear(&b);
    mk_buf_put_u32le(&b, 0x01020304);
    mk_buf_put_u64le(&b, 5);
    unit_assert_hex(b.p, b.n, "040302010500000000000000");
    mk_buf_clear(&b);
    mk_buf_printf(&b, "%d-%s", 7, "x");
    assert_true(mk_bytes_eq(mk_buf_bytes(&b), MK_BYTES("7-x", 3)));
    mk_buf_done(&b);
    assert_null(b.p);
}

static void test_arena(void **state)
{
    struct mk_arena a = {0};
    struct mk_str s;

    (void)state;
    for (size_t n = 0; n < 3000; n += 7) {
        uint8_t *p = mk_arena_take(&a, n);

        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, n);
    }
    s = mk_arena_str(&a, MK_STR("name"));
    assert_string_equal(s.p, "name");
    assert_non_null(mk_arena_take(&a, 1000000));
    mk_arena_done(&a);
    assert_int_equal(a.used, 0);
}

static void test_fault(void **state)
{
    struct mk_fault f;
    char longer[600];

    (void)state;
    assert_int_equal(mk_fault(&f, MK_EINVALID, "a\nb\x1b[31m%c", 0x7f), MK_EINVALID);
    assert_string_equal(f.text, "a?b?[31m?");
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    mk_fault(&f, MK_EINVALID, "%s", longer);
    assert_int_equal(strlen(f.text), MK_FAULT_MAX - 1);
    assert_int_equal(mk_fault(NULL, MK_EIO, "x"), MK_EIO);
    assert_string_equal(mk_strerror(MK_ENOTLEADER), "not the leader");
    assert_string_equal(mk_strerror(-999), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hex), cmocka_unit_test(test_utf8),  cmocka_unit_test(test_slices),
        cmocka_unit_test(test_buf), cmocka_unit_test(test_arena), cmocka_unit_test(test_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
