/* id(), derive, hash_many: the values of the specification's vectors. */
#include "unit.h"

#include "crypto/hashes.h"

#include <sys/mman.h>
#include <unistd.h>

static void test_id_of_text(void **state)
{
    static const char *const cases[][2] = {
        {"mosaik.universe", "b82b6f3b4a1e53d2d56523f5a7b1974e3842ac37a068cc302286065a8853cf43"},
        {"coalition.root.v1", "bb8eb9bda9e543d8587c1d10516bef9c6b74c27c4631b46f7876a74171fc9746"},
        {"", "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"},
        {"searcher-\xce\xb1", "bef1656d284ff93fc3274ebda79097e4c58fb58e5d5f9a10e5a585e7fde35427"},
        {"abababababababababababababababababababababababababababababababab",
         "abababababababababababababababababababababababababababababababab"},
        {"ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB",
         "abababababababababababababababababababababababababababababababab"},
        {"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
         "99dbab7730feb9a818a88e3d659e0aee23ba3c970e70575b0c6a4651c391e88d"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        unit_assert_id(mk_id_of_text(mk_str_of(cases[i][0])), cases[i][1]);
    unit_assert_id(MK_UNIVERSE, cases[0][1]);
    assert_true(mk_id_is_zero(&MK_ZERO_ID));
    assert_false(mk_id_is_zero(&MK_UNIVERSE));
}

static void test_derive(void **state)
{
    struct mk_id module = mk_derive(&MK_UNIVERSE, MK_STR("module"));

    (void)state;
    unit_assert_id(module, "a69941a967202b3e0188f4495af1e35fbbe2bb32f1f6d0cd778bd97f241c9c0b");
    unit_assert_id(mk_derive(&module, MK_STR("atlas")),
                   "8fb8a683bce39a64be3c7b4ed2655fa5aef4558d884e72a787a8c48e4a06531c");
    unit_assert_id(mk_derive(&MK_UNIVERSE, MK_STR("tickets")),
                   "167329697e61ae664660fb34a2ff3f250df73ebd78e851f249854d5585a136f9");
    /* a segment of 64 digits is text all the same */
    unit_assert_id(
        mk_derive(&MK_UNIVERSE,
                  MK_STR("abababababababababababababababababababababababababababababababab")),
        "24e1687898fd7263b89df73e3162ade0ce632a5594b957ff573b07c68aeceff0");
}

static void test_hash_many(void **state)
{
    const struct mk_bytes empty[] = {MK_BYTES("", 0)};
    const struct mk_bytes a_bc[] = {MK_BYTES("a", 1), MK_BYTES("bc", 2)};
    const struct mk_bytes ab_c[] = {MK_BYTES("ab", 2), MK_BYTES("c", 1)};

    (void)state;
    unit_assert_id(mk_hash_many(empty, 1),
                   "71e0a99173564931c0b8acc52d2685a8e39c64dc52e3d02390fdac2a12b155cb");
    unit_assert_id(mk_hash_many(a_bc, 2),
                   "405e183e2494cdbe2df89349cc0ffa5b77fb885ad97a1d5660ecd0692ef8142a");
    unit_assert_id(mk_hash_many(ab_c, 2),
                   "a0968c014f3fc7bd1a7d9a8d1ad1177eb379bd2f05e56309eb4e20347c5e7eba");
    unit_assert_id(mk_hash_many(NULL, 0),
                   "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
}

static void test_hasher(void **state)
{
    struct mk_hasher h;
    const struct mk_bytes parts[] = {MK_BYTES("a", 1), MK_BYTES("bc", 2)};
    struct mk_id joined, many = mk_hash_many(parts, 2);

    (void)state;
    mk_hasher_init(&h);
    mk_hasher_put_u64le(&h, 1);
    mk_hasher_put(&h, "a", 1);
    mk_hasher_put_u64le(&h, 2);
    mk_hasher_put_str(&h, "bc");
    joined = mk_hasher_end(&h);
    assert_true(mk_id_eq(&joined, &many));
}

/* What is hashed in one go has a way of its own: lengths around blocks and the chunk. */
static void test_hash_lengths(void **state)
{
    uint8_t x[1100];

    (void)state;
    for (size_t i = 0; i < sizeof x; i++)
        x[i] = (uint8_t)(i * 251 + i / 251);
    for (size_t n = 0; n <= sizeof x; n++) {
        struct mk_id once = mk_hash(MK_BYTES(x, n)), parts;
        struct mk_hasher h;

        mk_hasher_init(&h);
        mk_hasher_put(&h, x, n / 3);
        mk_hasher_put(&h, x + n / 3, n - n / 3);
        parts = mk_hasher_end(&h);
        assert_true(mk_id_eq(&once, &parts));
    }
}

/* Several at a time give what each gives alone: all lengths, all remainders of the widest step. */
static void test_hash_each(void **state)
{
    static uint8_t bytes[41][MK_HASH_EACH_MAX]; /* the last one is what is behind */
    const uint8_t *inputs[40];
    struct mk_id each[41];

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i / MK_HASH_EACH_MAX][i % MK_HASH_EACH_MAX] = (uint8_t)(i * 7 + i / 251);
    for (unsigned i = 0; i < 40; i++)
        inputs[i] = bytes[i];
    for (size_t len = 0; len <= MK_HASH_EACH_MAX; len++) {
        size_t n = 1 + len % 40;

        memset(each, 0x5a, sizeof each);
        mk_hash_each(each, inputs, n, len);
        for (size_t i = 0; i < n; i++) {
            struct mk_id alone = mk_hash(MK_BYTES(inputs[i], len));

            assert_memory_equal(each[i].b, alone.b, sizeof alone.b);
        }
        assert_int_equal(each[n].b[0], 0x5a);
    }
    mk_hash_each(each, inputs, 0, 69);
}

/* What may lie anywhere is not read beyond its end: there the next page begins, and is none. */
static void test_hash_each_reads_no_further(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const uint8_t *inputs[9];
    uint8_t *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct mk_id each[9];

    (void)state;
    assert_true(p != MAP_FAILED);
    assert_int_equal(mprotect(p + page, page, PROT_NONE), 0);
    for (size_t len = 1; len <= MK_HASH_EACH_MAX; len++) {
        size_t end = mk_hash_each_alone(len) ? page : page - MK_HASH_EACH_BEHIND;

        for (unsigned i = 0; i < 9; i++)
            inputs[i] = p + end - len;
        for (unsigned n = 1; n <= 9; n++) {
            mk_hash_each(each, inputs, n, len);
            assert_memory_equal(each[n - 1].b, each[0].b, sizeof each[0].b);
        }
    }
    munmap(p, 2 * page);
}

static void test_text(void **state)
{
    struct mk_id id = unit_id("83612FF2930a210370bbef474e257e8757006bb4b9450ebe009787663512a065");
    struct mk_member_id m = mk_member_id_of(&id);
    struct mk_id other = MK_ZERO_ID;
    char out[MK_ID_HEX];

    (void)state;
    unit_assert_hex(m.b, sizeof m.b, "83612ff2930a210370bbef474e257e8757006bb4");
    assert_string_equal(mk_id_hex(&id, out),
                        "83612ff2930a210370bbef474e257e8757006bb4b9450ebe009787663512a065");
    assert_int_equal(mk_id_unhex(&other, MK_STR("83")), MK_EMALFORMED);
    assert_true(mk_id_is_zero(&other));
    assert_true(mk_id_cmp(&other, &id) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_id_of_text),
        cmocka_unit_test(test_derive),
        cmocka_unit_test(test_hash_many),
        cmocka_unit_test(test_hasher),
        cmocka_unit_test(test_hash_lengths),
        cmocka_unit_test(test_hash_each),
        cmocka_unit_test(test_hash_each_reads_no_further),
        cmocka_unit_test(test_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
