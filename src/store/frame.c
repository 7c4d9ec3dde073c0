/* frame.c - a frame: everything that one write made durable.
 *
 * The checksum is BLAKE3, cut to 16 bytes, over the store's own random key, the header's
 * fields and the records. The key and the slot's life are in it, so that bytes of an older
 * life, of another store, or sent by a stranger and stored as content never look like a
 * frame of this one. */
#include "store/store_int.h"

#define FRAME_MAGIC 0x47534b4du

static void frame_sum(uint8_t out[16], const uint8_t key[32], const struct mk_frame *f)
{
    struct mk_hasher h;
    struct mk_id id;

    mk_hasher_init(&h);
    mk_hasher_put(&h, key, 32);
    mk_hasher_put_u64le(&h, f->life);
    mk_hasher_put_u64le(&h, f->sequence);
    mk_hasher_put_u64le(&h, f->records.n);
    mk_hasher_put(&h, f->records.p, f->records.n);
    id = mk_hasher_end(&h);
    memcpy(out, id.b, 16);
}

void mk_frame_put(struct mk_buf *out, const uint8_t key[32], const struct mk_frame *f)
{
    uint8_t sum[16];

    frame_sum(sum, key, f);
    mk_buf_put_u32le(out, FRAME_MAGIC);
    mk_buf_put_u32le(out, (uint32_t)f->records.n);
    mk_buf_put_u64le(out, f->life);
    mk_buf_put_u64le(out, f->sequence);
    mk_buf_put(out, sum, sizeof sum);
    mk_buf_put(out, f->records.p, f->records.n);
}

bool mk_frame_get(struct mk_frame *ret, const uint8_t key[32], struct mk_bytes b)
{
    struct mk_reader r = {.p = b.p, .n = b.n};
    uint32_t magic = mk_read_u32le(&r), n = mk_read_u32le(&r);
    struct mk_frame f = {.life = mk_read_u64le(&r)};
    struct mk_bytes sum;
    uint8_t right[16];

    f.sequence = mk_read_u64le(&r);
    sum = mk_read_bytes(&r, 16);
    f.records = mk_read_bytes(&r, n);
    if (r.failed || magic != FRAME_MAGIC)
        return false;
    frame_sum(right, key, &f);
    if (memcmp(right, sum.p, sizeof right) != 0)
        return false;
    *ret = f;
    return true;
}

size_t mk_frame_find(const uint8_t key[32], struct mk_bytes b, size_t from, uint64_t life,
                     uint64_t after)
{
    const uint8_t first = FRAME_MAGIC & 0xff;

    while (from + MK_FRAME_HEADER <= b.n) {
        const uint8_t *p = memchr(b.p + from, first, b.n - from);
        struct mk_frame f;

        if (p == NULL)
            return SIZE_MAX;
        from = (size_t)(p - b.p);
        if (mk_frame_get(&f, key, MK_BYTES(p, b.n - from)) && f.life == life && f.sequence > after)
            return from;
        from++;
    }
    return SIZE_MAX;
}
