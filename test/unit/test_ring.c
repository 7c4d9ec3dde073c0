/* test_ring.c - the retained items against a plain list of them. */
#include "unit.h"

#include "prng.h"
#include "streams/ring.h"
#include "streams/wire.h"

#define ITEMS_MAX 40u
#define BYTES_MAX 5000u

/* An item's bytes follow from its number. */
static size_t make_item(uint64_t seq, uint8_t *out)
{
    size_t n = (size_t)(seq * 2654435761u % 997 * (seq % 7 == 0 ? 4 : 1)) % 3000;

    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(seq + i);
    return n;
}

/* What a slice holds must decode to the items that were put. */
static void check_slice(const struct mk_ring *r, uint64_t seq, size_t bytes_max, size_t items_max)
{
    struct mk_bytes parts[2];
    size_t n = mk_ring_slice(r, seq, bytes_max, items_max, parts);
    struct mk_buf b = {0};
    struct mk_arena arena = {0};
    struct mk_stream_items items;
    uint8_t expected[4096];

    assert_true(n >= 1 && n <= items_max && seq + n <= r->next);
    mk_put_varint(&b, n);
    mk_buf_put(&b, parts[0].p, parts[0].n);
    mk_buf_put(&b, parts[1].p, parts[1].n);
    assert_int_equal(mk_decode(&items, &mk_stream_items_type, mk_buf_bytes(&b), &arena, NULL), 0);
    assert_int_equal(items.n, n);
    for (size_t i = 0; i < n; i++) {
        size_t len = make_item(seq + i, expected);

        assert_int_equal(items.v[i].n, len);
        assert_memory_equal(items.v[i].p, expected, len);
    }
    /* As many as fit: one more would not. */
    if (n > 1)
        assert_true(parts[0].n + parts[1].n <= bytes_max);
    if (n < items_max && seq + n < r->next)
        assert_true(mk_ring_left(r, seq) - mk_ring_left(r, seq + n + 1) > bytes_max);
    mk_arena_done(&arena);
    mk_buf_done(&b);
}

static void test_against_the_items(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct prng p = prng_of(seed, 1);
        struct mk_ring r;
        uint8_t item[4096];

        (void)state;
        mk_ring_init(&r, 1 + prng_below(&p, ITEMS_MAX), BYTES_MAX);
        for (unsigned k = 0; k < 2000; k++) {
            size_t n = make_item(r.next, item);

            while (!mk_ring_fits(&r, n))
                mk_ring_drop_oldest(&r);
            if (prng_below(&p, 100) == 0)
                while (r.oldest < r.next)
                    mk_ring_drop_oldest(&r);
            mk_ring_put(&r, MK_BYTES(item, n), k);
            assert_true(r.next - r.oldest <= r.items_max && r.end - r.begin <= BYTES_MAX);
            assert_true(r.cap <= BYTES_MAX);
            assert_int_equal(mk_ring_put_ns(&r, r.next - 1), k);
            check_slice(&r, r.oldest + prng_below(&p, r.next - r.oldest), prng_below(&p, BYTES_MAX),
                        1 + prng_below(&p, 10));
        }
        mk_ring_done(&r);
    }
}

static void test_memory_goes_with_the_items(void **state)
{
    uint8_t item[3000] = {0};
    struct mk_ring r;

    (void)state;
    mk_ring_init(&r, 100000, 1u << 20);
    while (mk_ring_fits(&r, sizeof item))
        mk_ring_put(&r, MK_BYTES(item, sizeof item), 0);
    assert_true(r.cap == 1u << 20);
    while (r.oldest < r.next)
        mk_ring_drop_oldest(&r);
    assert_int_equal(r.cap, 0);
    assert_null(r.bytes);
    mk_ring_put(&r, MK_BYTES(item, 1), 0);
    assert_true(r.cap <= 4096);
    mk_ring_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_the_items),
        cmocka_unit_test(test_memory_goes_with_the_items),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
