/* The codec: every kind there and back, every rejection with its reason. */
#include <mosaik/datum.h>

#include "unit.h"

#define SHAPE_CIRCLE_TABLE(F, S) F(S, mk_u16, radius)
MK_STRUCT_DECLARE(shape_circle, SHAPE_CIRCLE_TABLE)
MK_STRUCT_DEFINE(shape_circle, "Circle", SHAPE_CIRCLE_TABLE)

#define SHAPE_TABLE(F, S)           \
    F(S, Nothing, 0, mk_unit, none) \
    F(S, Circle, 3, shape_circle, circle)
MK_ENUM_DECLARE(shape, SHAPE_TABLE)
MK_ENUM_DEFINE(shape, "Shape", SHAPE_TABLE)

MK_SEQ_DECLARE(shapes, shape)
MK_SEQ_DEFINE(shapes, shape, 4, 0)
MK_SEQ_DECLARE(set, mk_u16)
MK_SEQ_DEFINE(set, mk_u16, 8, MK_SEQ_SORTED | MK_SEQ_NONEMPTY)
MK_OPTION_DECLARE(opt_shape, shape)
MK_OPTION_DEFINE(opt_shape, shape)
MK_TEXT_DECLARE(short_text)
MK_TEXT_DEFINE(short_text, 4, 0)
MK_BLOB_DECLARE(short_blob)
MK_BLOB_DEFINE(short_blob, 4)

#define PAIR_TABLE(F, S) F(S, mk_u8, key) F(S, mk_u8, value)
MK_STRUCT_DECLARE(pair, PAIR_TABLE)
MK_STRUCT_DEFINE(pair, "Pair", PAIR_TABLE)
MK_SEQ_DECLARE(pairs, pair)
MK_SEQ_DEFINE(pairs, pair, 8, MK_SEQ_KEYED)

#define ALL_TABLE(F, S)   \
    F(S, mk_u8, a)        \
    F(S, mk_u16, b)       \
    F(S, mk_u32, c)       \
    F(S, mk_u64, d)       \
    F(S, mk_u128, e)      \
    F(S, mk_i8, f)        \
    F(S, mk_i16, g)       \
    F(S, mk_i32, h)       \
    F(S, mk_i64, i)       \
    F(S, mk_i128, j)      \
    F(S, mk_bool, k)      \
    F(S, mk_f32, l)       \
    F(S, mk_f64, m)       \
    F(S, mk_text, n)      \
    F(S, mk_blob, o)      \
    F(S, mk_id, p)        \
    F(S, mk_member_id, q) \
    F(S, opt_shape, r)    \
    F(S, shapes, s)       \
    F(S, set, t)          \
    F(S, mk_name, u)      \
    F(S, mk_peer, v)
MK_STRUCT_DECLARE(all, ALL_TABLE)
MK_STRUCT_DEFINE(all, "All", ALL_TABLE)

static const shape_d two_shapes[] = {{.tag = shape_Nothing},
                                     {.tag = shape_Circle, .u.circle = {300}}};
static const uint16_t three[] = {1, 2, 300};

static all_d example(void)
{
    return (all_d){.a = 255,
                   .b = 65535,
                   .c = UINT32_MAX,
                   .d = UINT64_MAX,
                   .e = ~(mk_u128_d)0,
                   .f = -128,
                   .g = INT16_MIN,
                   .h = INT32_MIN,
                   .i = INT64_MIN,
                   .j = (mk_i128_d)((mk_u128_d)1 << 127),
                   .k = true,
                   .l = 1.5f,
                   .m = -0.1,
                   .n = MK_STR_INIT("h\xc3\xa9"),
                   .o = {(const uint8_t *)"\x00\xff", 2},
                   .r = {true, {.tag = shape_Circle, .u.circle = {7}}},
                   .s = {two_shapes, 2},
                   .t = {three, 3},
                   .u = MK_STR_INIT("name")};
}

static const char all_hex[] = "ff"
                              "ffff03"
                              "ffffffff0f"
                              "ffffffffffffffffff01"
                              "ffffffffffffffffffffffffffffffffffff03"
                              "80"
                              "ffff03"
                              "ffffffff0f"
                              "ffffffffffffffffff01"
                              "ffffffffffffffffffffffffffffffffffff03"
                              "01"
                              "0000c03f"
                              "9a9999999999b9bf"
                              "0368c3a9"
                              "0200ff"
                              "0000000000000000000000000000000000000000000000000000000000000000"
                              "0000000000000000000000000000000000000000"
                              "010307"
                              "020003ac02"
                              "030102ac02"
                              "046e616d65"
                              "0000000000000000000000000000000000000000000000000000000000000000";

static void test_round_trip(void **state)
{
    struct mk_buf out = {0}, again = {0};
    struct mk_arena arena = {0};
    all_d in = example(), back;
    struct mk_fault f;

    (void)state;
    mk_encode(&out, &all_type, &in);
    unit_assert_hex(out.p, out.n, all_hex);
    assert_int_equal(mk_encoded_len(&all_type, &in), out.n);
    assert_int_equal(mk_decode(&back, &all_type, mk_buf_bytes(&out), &arena, &f), 0);
    assert_true(back.j == in.j && back.e == in.e && back.i == INT64_MIN && back.f == -128);
    assert_true(mk_str_is(back.n, "h\xc3\xa9"));
    assert_int_equal(back.s.v[1].u.circle.radius, 300);
    mk_encode(&again, &all_type, &back);
    assert_true(mk_bytes_eq(mk_buf_bytes(&out), mk_buf_bytes(&again)));
    assert_int_equal(mk_validate(&all_type, &back, &f), 0);
    mk_arena_done(&arena);
    mk_buf_done(&out);
    mk_buf_done(&again);
}

static void test_truncated(void **state)
{
    struct mk_buf in = unit_unhex(all_hex);
    struct mk_arena arena = {0};
    all_d back;

    (void)state;
    for (size_t n = 0; n < in.n; n++) {
        uint8_t *exact = mk_memdup(in.p, n); /* so that a sanitizer sees one byte too many */

        assert_int_equal(mk_decode(&back, &all_type, MK_BYTES(exact, n), &arena, NULL),
                         MK_EMALFORMED);
        mk_free(exact);
    }
    mk_arena_done(&arena);
    mk_buf_done(&in);
}

/* Every one-bit change either is refused or encodes to what was read. */
static void test_canonical(void **state)
{
    struct mk_buf in = unit_unhex(all_hex), out = {0};
    unsigned accepted = 0, refused = 0;
    struct mk_fault f;

    (void)state;
    for (size_t bit = 0; bit < in.n * 8; bit++) {
        struct mk_arena arena = {0};
        all_d back;

        in.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (mk_decode(&back, &all_type, mk_buf_bytes(&in), &arena, &f) == 0) {
            mk_buf_clear(&out);
            mk_encode(&out, &all_type, &back);
            assert_true(mk_bytes_eq(mk_buf_bytes(&in), mk_buf_bytes(&out)));
            assert_int_equal(mk_validate(&all_type, &back, &f), 0);
            accepted++;
        } else {
            refused++;
        }
        in.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        mk_arena_done(&arena);
    }
    assert_true(accepted > 100 && refused > 50);
    mk_buf_done(&in);
    mk_buf_done(&out);
}

static void refuse(const struct mk_type *t, const char *hex, int err, const char *reason)
{
    struct mk_buf in = unit_unhex(hex);
    struct mk_arena arena = {0};
    _Alignas(16) uint8_t out[256];
    struct mk_fault f = {{0}};

    memset(out, 0x5a, sizeof out);
    assert_int_equal(mk_decode(out, t, mk_buf_bytes(&in), &arena, &f), err);
    if (strstr(f.text, reason) == NULL)
        fail_msg("%s: \"%s\" does not say \"%s\"", hex, f.text, reason);
    for (size_t i = 0; i < sizeof out; i++)
        assert_int_equal(out[i], 0x5a);
    mk_arena_done(&arena);
    mk_buf_done(&in);
}

static void test_refused_integers(void **state)
{
    (void)state;
    refuse(&mk_u8_type, "0102", MK_EMALFORMED, "bytes after the end");
    refuse(&mk_u8_type, "", MK_EMALFORMED, "ends too early");
    refuse(&mk_u16_type, "8000", MK_EMALFORMED, "shortest form");
    refuse(&mk_u16_type, "ff8000", MK_EMALFORMED, "shortest form");
    refuse(&mk_u16_type, "ffff04", MK_EMALFORMED, "too wide");
    refuse(&mk_u16_type, "ffffff01", MK_EMALFORMED, "too wide");
    refuse(&mk_u32_type, "ffffffff1f", MK_EMALFORMED, "too wide");
    refuse(&mk_u32_type, "ffffffff8f00", MK_EMALFORMED, "too wide");
    refuse(&mk_u64_type, "ffffffffffffffffff02", MK_EMALFORMED, "too wide");
    refuse(&mk_u64_type, "80808080808080808000", MK_EMALFORMED, "shortest form");
    refuse(&mk_u128_type, "ffffffffffffffffffffffffffffffffffff04", MK_EMALFORMED, "too wide");
    refuse(&mk_i32_type, "ffffffff1f", MK_EMALFORMED, "too wide");
    refuse(&mk_i64_type, "80", MK_EMALFORMED, "ends too early");
    refuse(&mk_bool_type, "02", MK_EMALFORMED, "boolean is 0 or 1");
    refuse(&mk_f64_type, "00000000", MK_EMALFORMED, "ends too early");
}

static void test_refused_lengths(void **state)
{
    (void)state;
    refuse(&short_text_type, "05616161", MK_EMALFORMED, "length exceeds the input");
    refuse(&short_text_type, "056161616161", MK_ELIMIT, "length exceeds the limit");
    refuse(&short_blob_type, "056161616161", MK_ELIMIT, "length exceeds the limit");
    refuse(&short_blob_type, "ffffffffffffffffff01", MK_EMALFORMED, "length exceeds the input");
    refuse(&shapes_type, "050000000000", MK_ELIMIT, "count exceeds the limit");
    refuse(&shapes_type, "0500", MK_EMALFORMED, "count exceeds the input");
    refuse(&mk_ids_type, "ffffffffffffffffff01", MK_EMALFORMED, "count exceeds the input");
    refuse(&mk_ids_type, "02000000000000000000000000000000000000000000000000000000000000000000",
           MK_EMALFORMED, "count exceeds the input");
    refuse(&short_text_type, "8100", MK_EMALFORMED, "shortest form");
}

static void test_refused_rest(void **state)
{
    (void)state;
    refuse(&short_text_type, "01ff", MK_EMALFORMED, "UTF-8");
    refuse(&short_text_type, "03eda080", MK_EMALFORMED, "UTF-8");
    refuse(&opt_shape_type, "02", MK_EMALFORMED, "option's tag is 0 or 1");
    refuse(&shape_type, "01", MK_EMALFORMED, "unknown variant");
    refuse(&shape_type, "8300", MK_EMALFORMED, "shortest form");
    refuse(&shape_type, "03", MK_EMALFORMED, "ends too early");
    refuse(&set_type, "00", MK_EMALFORMED, "must not be empty");
    refuse(&set_type, "020201", MK_EMALFORMED, "must be sorted");
    refuse(&set_type, "020202", MK_EMALFORMED, "must be distinct");
    refuse(&pairs_type, "0201000100", MK_EMALFORMED, "must be distinct");
    refuse(&pairs_type, "0201010102", MK_EMALFORMED, "must be distinct");
    refuse(&pairs_type, "0202000100", MK_EMALFORMED, "must be sorted");
    refuse(&mk_name_type, "00", MK_EMALFORMED, "must not be empty");
    refuse(&mk_name_type, "03617c62", MK_EMALFORMED, "'|'");
    refuse(&mk_name_type, "03610a62", MK_EMALFORMED, "control");
    refuse(&mk_name_type, "017f", MK_EMALFORMED, "control");
}

/* Sorted is by the encoding, bytewise: 300 = ac 02 comes after 1 and 2, and
 * before 255 = ff 01. */
static void test_sorted_by_encoding(void **state)
{
    static const uint16_t odd[] = {300, 255};
    static const uint16_t wrong[] = {255, 300};
    struct mk_buf out = {0};
    struct mk_arena arena = {0};
    struct mk_fault f;
    set_d s = {odd, 2}, back;

    (void)state;
    assert_int_equal(mk_validate(&set_type, &s, &f), 0);
    mk_encode(&out, &set_type, &s);
    assert_int_equal(mk_decode(&back, &set_type, mk_buf_bytes(&out), &arena, &f), 0);
    s.v = wrong;
    assert_int_equal(mk_validate(&set_type, &s, &f), MK_EMALFORMED);
    assert_string_equal(f.text, "item 2: items must be sorted");
    mk_arena_done(&arena);
    mk_buf_done(&out);
}

static void test_validate(void **state)
{
    static const pair_d twice[] = {{1, 1}, {1, 2}};
    struct mk_fault f;
    pairs_d p = {twice, 2};
    shapes_d many = {two_shapes, 5};
    shape_d odd = {.tag = 1};
    struct mk_str name = MK_STR("a|b"), text = MK_STR("12345"), bad = MK_STR("\xff");
    struct mk_bytes blob = MK_BYTES("12345", 5);

    (void)state;
    assert_int_equal(mk_validate(&pairs_type, &p, &f), MK_EMALFORMED);
    assert_int_equal(mk_validate(&shapes_type, &many, &f), MK_ELIMIT);
    assert_int_equal(mk_validate(&shape_type, &odd, &f), MK_EMALFORMED);
    assert_string_equal(f.text, "1 is not a variant of Shape");
    assert_int_equal(mk_validate(&mk_name_type, &name, &f), MK_EMALFORMED);
    assert_int_equal(mk_validate(&short_text_type, &text, &f), MK_ELIMIT);
    assert_int_equal(mk_validate(&short_text_type, &bad, &f), MK_EMALFORMED);
    assert_int_equal(mk_validate(&short_blob_type, &blob, &f), MK_ELIMIT);
}

/* A count that fits the input may cost its size times a constant, no more. */
static void test_bounded_allocation(void **state)
{
    struct mk_arena arena = {0};
    mk_ids_d ids;
    uint8_t in[64];

    (void)state;
    memset(in, 0xff, sizeof in);
    in[3] = 0x7f; /* a count of 2^28 - 1 */
    assert_int_equal(mk_decode(&ids, &mk_ids_type, MK_BYTES(in, sizeof in), &arena, NULL),
                     MK_EMALFORMED);
    assert_int_equal(arena.used, 0);
    mk_arena_done(&arena);
}

static void test_json(void **state)
{
    struct mk_buf out = {0};
    all_d in = example();

    (void)state;
    mk_print_json(&out, &all_type, &in);
    mk_buf_put_u8(&out, 0);
    assert_string_equal(
        (char *)out.p,
        "{\"a\":255,\"b\":65535,\"c\":4294967295,\"d\":\"18446744073709551615\","
        "\"e\":\"340282366920938463463374607431768211455\",\"f\":-128,\"g\":-32768,"
        "\"h\":-2147483648,\"i\":\"-9223372036854775808\","
        "\"j\":\"-170141183460469231731687303715884105728\",\"k\":true,\"l\":1.5,"
        "\"m\":-0.10000000000000001,\"n\":\"h\xc3\xa9\",\"o\":\"00ff\","
        "\"p\":\"0000000000000000000000000000000000000000000000000000000000000000\","
        "\"q\":\"0000000000000000000000000000000000000000\",\"r\":{\"Circle\":{\"radius\":7}},"
        "\"s\":[\"Nothing\",{\"Circle\":{\"radius\":300}}],\"t\":[1,2,300],\"u\":\"name\","
        "\"v\":\"0000000000000000000000000000000000000000000000000000000000000000\"}");
    mk_buf_clear(&out);
    mk_print_json_str(&out, MK_STR("a\"\\\n\x01"));
    mk_buf_put_u8(&out, 0);
    assert_string_equal((char *)out.p, "\"a\\\"\\\\\\u000a\\u0001\"");
    mk_buf_done(&out);
}

static void test_layout(void **state)
{
    struct mk_buf out = {0};

    (void)state;
    mk_layout(&out, &all_type);
    mk_buf_put_u8(&out, 0);
    assert_string_equal((char *)out.p,
                        "All{a:u8,b:u16,c:u32,d:u64,e:u128,f:i8,g:i16,h:i32,i:i64,j:i128,k:bool,"
                        "l:f32,m:f64,n:str,o:bytes,p:id,q:[20]u8,"
                        "r:?(Nothing=0,Circle=3{radius:u16}),s:*(Nothing=0,Circle=3{radius:u16}),"
                        "t:*u16,u:str,v:peer}");
    mk_buf_clear(&out);
    mk_layout(&out, &shape_type);
    mk_buf_put_u8(&out, 0);
    assert_string_equal((char *)out.p, "Shape(Nothing=0,Circle=3{radius:u16})");
    mk_buf_done(&out);
}

static void test_reader(void **state)
{
    static const uint8_t in[] = {7, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0xac, 2, 'x'};
    static const uint8_t wide[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2};
    static const uint8_t longer[] = {0x80, 0};
    struct mk_reader r = {in, sizeof in, false};

    (void)state;
    assert_int_equal(mk_read_u8(&r), 7);
    assert_int_equal(mk_read_u32le(&r), 1);
    assert_int_equal(mk_read_u64le(&r), 2);
    assert_int_equal(mk_read_varint(&r), 300);
    assert_int_equal(mk_read_bytes(&r, 1).p[0], 'x');
    assert_false(r.failed);
    assert_int_equal(mk_read_u8(&r), 0);
    assert_true(r.failed);
    r = (struct mk_reader){wide, sizeof wide, false};
    assert_int_equal(mk_read_varint(&r), 0);
    assert_true(r.failed);
    r = (struct mk_reader){longer, sizeof longer, false};
    mk_read_varint(&r);
    assert_true(r.failed);
    r = (struct mk_reader){in, sizeof in, false};
    assert_null(mk_read_bytes(&r, 17).p);
    assert_int_equal(mk_read_u8(&r), 0); /* latched */
}

/* A seeded, plain generator: the test is the same on every machine. */
static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static void test_random_bytes(void **state)
{
    uint64_t seed = 1;
    struct mk_buf out = {0};

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t in[24];
        size_t n = next_random(&seed) % sizeof in;
        struct mk_arena arena = {0};
        shapes_d back;

        for (size_t i = 0; i < n; i++)
            in[i] = (uint8_t)(next_random(&seed) % 6);
        if (mk_decode(&back, &shapes_type, MK_BYTES(in, n), &arena, NULL) == 0) {
            mk_buf_clear(&out);
            mk_encode(&out, &shapes_type, &back);
            assert_true(mk_bytes_eq(mk_buf_bytes(&out), MK_BYTES(in, n)));
        }
        mk_arena_done(&arena);
    }
    mk_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_canonical),
        cmocka_unit_test(test_refused_integers),
        cmocka_unit_test(test_refused_lengths),
        cmocka_unit_test(test_refused_rest),
        cmocka_unit_test(test_sorted_by_encoding),
        cmocka_unit_test(test_validate),
        cmocka_unit_test(test_bounded_allocation),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_reader),
        cmocka_unit_test(test_random_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
