/* ed25519 as the specification narrows it; the key file.
 *
 * The odd signatures were computed once from the curve's formulas: A_MIXED is
 * 12345678901234567890 * B plus a point of order 8. */
#include <mosaik/key.h>

#include "unit.h"

#define PUB "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
#define R_OK "715144ae5f3eb2b6d5060365ce80106793070859dd0a9da32aac239bb32153c9"
#define A_MIXED "b15bf26424d1b69dd33b7a9e57db5de4a2aadea4a2a051efd9bfd6af74165d2b"
#define ONE "0100000000000000000000000000000000000000000000000000000000000000"

static int verify(const char *peer, const char *sig)
{
    struct mk_peer p;
    struct mk_signature s;

    assert_int_equal(mk_peer_unhex(&p, mk_str_of(peer)), 0);
    assert_int_equal(mk_unhex(s.b, sizeof s.b, sig, strlen(sig)), 0);
    return mk_verify(&p, MK_BYTES("cofactor", 8), &s);
}

static void test_sign(void **state)
{
    uint8_t seed[32];
    struct mk_key k;
    struct mk_signature s;

    (void)state;
    for (unsigned i = 0; i < sizeof seed; i++)
        seed[i] = (uint8_t)i;
    mk_key_from_seed(&k, seed);
    unit_assert_hex(k.peer.b, sizeof k.peer.b, PUB);
    mk_sign(&k, MK_BYTES("cofactor", 8), &s);
    unit_assert_hex(s.b, sizeof s.b,
                    R_OK "8e31b6953fbe2e712b86e59f5de6a58119df2f78c74ca09513bada2e9a30ff03");
    assert_int_equal(mk_verify(&k.peer, MK_BYTES("cofactor", 8), &s), 0);
    assert_int_equal(mk_verify(&k.peer, MK_BYTES("Cofactor", 8), &s), MK_ESIGNATURE);
    for (unsigned i = 0; i < 512; i += 37) {
        s.b[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_int_equal(mk_verify(&k.peer, MK_BYTES("cofactor", 8), &s), MK_ESIGNATURE);
        s.b[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    mk_key_done(&k);
    assert_int_equal(k.secret[0] | k.secret[31] | k.peer.b[5], 0);
}

static void test_scalar_below_l(void **state)
{
    (void)state;
    /* the same signature with S + L */
    assert_int_equal(
        verify(PUB, R_OK "7b05acf2592141c90123dd423ce0849619df2f78c74ca09513bada2e9a30ff13"),
        MK_ESIGNATURE);
}

static void test_cofactorless(void **state)
{
    (void)state;
    /* holds only after multiplication by 8 */
    assert_int_equal(verify(A_MIXED,
                            "c9a3f86aae465f0e56513864510f3997561fa2c9e85ea21dc2292309f3cd6022"
                            "7f7e1e683fe6acf9c2a874e074e5da20da14b46cedfff36e9e68837c51cdc709"),
                     MK_ESIGNATURE);
    /* of the same key, and holds as it stands */
    assert_int_equal(verify(A_MIXED,
                            "c0f1225584444ec730446e231390781ffdd2f256e9fcbeb2f40dddc2c2233d7f"
                            "e4d7af63c8d09a7adf7d964558b2a672a0b96db05455142d3603f320deef1e08"),
                     0);
}

static void test_small_order(void **state)
{
    static const char *const points[] = {
        ONE,
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p, that is 0 */
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p + 1 */
    };

    (void)state;
    /* with A the neutral point, R = S * B holds for every message */
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++)
        assert_int_equal(verify(points[i],
                                "b862409fb5c4c4123df2abf7462b88f041ad36dd6864ce872fd5472be363c5b1"
                                "0700000000000000000000000000000000000000000000000000000000000000"),
                         MK_ESIGNATURE);
    /* R the neutral point, S = h * a: the equation holds */
    assert_int_equal(
        verify(PUB, ONE "dd6e0629a864c99eb1e28d99f3bdfb30426e054a9e08e2d81cbbdb37f4f6a003"),
        MK_ESIGNATURE);
}

static void test_canonical(void **state)
{
    (void)state;
    /* y = p + 3 is a point, written a second way; as A and as R */
    assert_int_equal(verify("f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", R_OK
                            "8e31b6953fbe2e712b86e59f5de6a58119df2f78c74ca09513bada2e9a30ff03"),
                     MK_ESIGNATURE);
    assert_int_equal(verify(PUB,
                            "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"
                            "8e31b6953fbe2e712b86e59f5de6a58119df2f78c74ca09513bada2e9a30ff03"),
                     MK_ESIGNATURE);
}

static void test_file(void **state)
{
    static const char good[] = "mosaik-ed25519-key-v1 "
                               "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
    struct mk_key k;
    struct mk_buf out = {0};
    struct mk_fault f;

    (void)state;
    assert_int_equal(mk_key_parse(&k, MK_BYTES(good, sizeof good - 1), &f), 0);
    unit_assert_hex(k.peer.b, sizeof k.peer.b, PUB);
    mk_key_format(&k, &out);
    assert_true(mk_bytes_eq(mk_buf_bytes(&out), MK_BYTES(good, sizeof good - 1)));
    assert_int_equal(mk_key_parse(&k, MK_BYTES(good, sizeof good - 2), &f), MK_EMALFORMED);
    assert_int_equal(mk_key_parse(&k, MK_BYTES("-----BEGIN", 10), &f), MK_EMALFORMED);
    out.p[30] = 'g';
    assert_int_equal(mk_key_parse(&k, mk_buf_bytes(&out), &f), MK_EMALFORMED);
    assert_string_equal(f.text, "the seed in a key file is 64 hex digits");
    mk_buf_done(&out);
    mk_key_done(&k);
    assert_true(mk_secret_eq("ab", "ab", 2));
    assert_false(mk_secret_eq("ab", "ac", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sign),         cmocka_unit_test(test_scalar_below_l),
        cmocka_unit_test(test_cofactorless), cmocka_unit_test(test_small_order),
        cmocka_unit_test(test_canonical),    cmocka_unit_test(test_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
