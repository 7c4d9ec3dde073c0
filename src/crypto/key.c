/* key.c - ed25519 on libsodium.
 *
 * The rule (spec/identity.md) is narrower than "what libsodium accepts":
 * cofactorless equation, S < L, canonical A and R, neither of small order.
 * libsodium 1.0.18 checks S, the canonical form and the order of A, the order
 * of R, and compares R with the recomputed point byte for byte, which settles
 * its canonical form and the equation. A later release could compare points,
 * or multiply by the cofactor, without anybody here noticing. So what can be
 * seen in the bytes alone is checked here as well, and a unit test holds
 * a signature that only a cofactored verifier accepts. */
#include <mosaik/key.h>

#include "base/assert.h"

#include <sodium.h>
#include <string.h>

#define KEY_TAG "mosaik-ed25519-key-v1 "

_Static_assert(sizeof(((struct mk_key *)0)->secret) == crypto_sign_SECRETKEYBYTES, "secret key");

static void sodium_ready(void)
{
    static bool ready;

    if (ready)
        return;
    MK_ASSERT(sodium_init() >= 0);
    ready = true;
}

void mk_key_from_seed(struct mk_key *ret, const uint8_t seed[32])
{
    sodium_ready();
    crypto_sign_seed_keypair(ret->peer.b, ret->secret, seed);
}

void mk_key_done(struct mk_key *k)
{
    mk_wipe(k, sizeof *k);
}

void mk_sign(const struct mk_key *k, struct mk_bytes message, struct mk_signature *ret)
{
    sodium_ready();
    crypto_sign_detached(ret->b, NULL, message.p, message.n, k->secret);
}

/* little-endian a < b */
static bool below(const uint8_t a[32], const uint8_t b[32])
{
    for (int i = 31; i >= 0; i--) {
        if (a[i] != b[i])
            return a[i] < b[i];
    }
    return false;
}

/* A point's y, without the sign of x, is below p = 2^255 - 19. */
static bool y_is_canonical(const uint8_t point[32])
{
    static const uint8_t p[32] = {0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};
    uint8_t y[32];

    memcpy(y, point, sizeof y);
    y[31] &= 0x7f;
    return below(y, p);
}

/* The canonical y of the eight points of small order: 0 (order 4), 1 (1),
 * -1 (2), and the two y of order 8. */
static bool is_small_order(const uint8_t point[32])
{
    static const uint8_t ys[5][32] = {
        {0},
        {1},
        {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
        {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
         0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
         0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
        {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b,
         0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39,
         0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
    };
    uint8_t y[32];

    memcpy(y, point, sizeof y);
    y[31] &= 0x7f;
    for (size_t i = 0; i < sizeof ys / sizeof ys[0]; i++) {
        if (memcmp(y, ys[i], sizeof y) == 0)
            return true;
    }
    return false;
}

static bool scalar_is_canonical(const uint8_t s[32])
{
    static const uint8_t l[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7,
                                  0xa2, 0xde, 0xf9, 0xde, 0x14, 0,    0,    0,    0,    0,    0,
                                  0,    0,    0,    0,    0,    0,    0,    0,    0,    0x10};

    return below(s, l);
}

int mk_verify(const struct mk_peer *peer, struct mk_bytes message, const struct mk_signature *sig)
{
    sodium_ready();
    if (!y_is_canonical(peer->b) || is_small_order(peer->b))
        return MK_ESIGNATURE;
    if (!y_is_canonical(sig->b) || is_small_order(sig->b) || !scalar_is_canonical(sig->b + 32))
        return MK_ESIGNATURE;
    if (crypto_sign_verify_detached(sig->b, message.p, message.n, peer->b) != 0)
        return MK_ESIGNATURE;
    return 0;
}

int mk_key_parse(struct mk_key *ret, struct mk_bytes file, struct mk_fault *reterr)
{
    const size_t tag = sizeof KEY_TAG - 1;
    uint8_t seed[32];
    int rv;

    if (file.n < tag || memcmp(file.p, KEY_TAG, tag) != 0)
        return mk_fault(reterr, MK_EMALFORMED, "not a key file: it must start with \"%s\"",
                        KEY_TAG);
    if (file.n != tag + 65 || file.p[file.n - 1] != '\n')
        return mk_fault(reterr, MK_EMALFORMED,
                        "a key file is one line with 64 hex digits after the tag");
    rv = mk_unhex(seed, sizeof seed, (const char *)file.p + tag, 64);
    if (rv != 0)
        return mk_fault(reterr, rv, "the seed in a key file is 64 hex digits");
    mk_key_from_seed(ret, seed);
    mk_wipe(seed, sizeof seed);
    return 0;
}

void mk_key_format(const struct mk_key *k, struct mk_buf *out)
{
    char digits[65];

    mk_hex(digits, k->secret, 32);
    mk_buf_reserve(out, sizeof KEY_TAG + 65); /* no copy of the seed is left behind by growing */
    mk_buf_put_str(out, KEY_TAG);
    mk_buf_put(out, digits, 64);
    mk_buf_put_u8(out, '\n');
    mk_wipe(digits, sizeof digits);
}

void mk_wipe(void *p, size_t n)
{
    sodium_memzero(p, n);
}

bool mk_secret_eq(const void *a, const void *b, size_t n)
{
    return sodium_memcmp(a, b, n) == 0;
}
