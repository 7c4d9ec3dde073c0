/* batch.c - a stream's Batch is read by hand where it lies: it must accept what the codec
 * accepts, say the same of it, and be written as the codec writes it. */
#include "streams/batch.h"
#include "targets.h"

bool fuzz_batch(const uint8_t *p, size_t n)
{
    struct mk_stream_message m;
    struct mk_arena arena = {0};
    struct mk_batch b;
    int rv = mk_batch_read(&b, MK_BYTES(p, n));
    bool is_batch = mk_decode(&m, &mk_stream_message_type, MK_BYTES(p, n), &arena, NULL) == 0 &&
                    m.tag == mk_stream_message_Batch;
    uint8_t head[MK_BATCH_HEAD_MAX];
    size_t head_n;

    FUZZ_CHECK((rv == 0) == is_batch);
    if (is_batch) {
        FUZZ_CHECK(b.first == m.u.batch.first && b.newest == m.u.batch.newest);
        FUZZ_CHECK(b.n == m.u.batch.items.n);
        head_n = mk_batch_head(head, b.first, b.newest, b.n);
        FUZZ_CHECK(head_n < n && mk_bytes_eq(MK_BYTES(head, head_n), MK_BYTES(p, head_n)));
        for (size_t i = 0; i < b.n; i++) {
            struct mk_bytes item = mk_batch_next(&b);

            FUZZ_CHECK(item.n == m.u.batch.items.v[i].n);
            FUZZ_CHECK(item.n == 0 || item.p == m.u.batch.items.v[i].p);
        }
        FUZZ_CHECK(!b.items.failed && b.items.n == 0);
    }
    mk_arena_done(&arena);
    return is_batch;
}

void fuzz_make_batch(struct fuzz_random *r, struct mk_buf *out)
{
    size_t n = 1 + fuzz_below(r, 20);
    uint8_t head[MK_BATCH_HEAD_MAX];

    mk_buf_put(out, head, mk_batch_head(head, fuzz_u64(r), fuzz_u64(r), n));
    for (size_t i = 0; i < n; i++) {
        size_t len = fuzz_below(r, 8) == 0 ? fuzz_below(r, 20000) : fuzz_below(r, 200);

        mk_put_varint(out, len);
        for (size_t k = 0; k < len; k++)
            mk_buf_put_u8(out, (uint8_t)fuzz_u64(r));
    }
}
