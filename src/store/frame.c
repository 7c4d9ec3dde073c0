/* frame.c - see frame.h. */
#include "store/frame.h"
#include "base/assert.h"

#include <mosaik/id.h>

#include <string.h>

#define MAGIC 0x52464b4du /* "MKFR" */

static uint64_t le(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;

    for (unsigned i = n; i > 0; i--)
        v = v << 8 | p[i - 1];
    return v;
}

static void put_le(uint8_t *p, unsigned n, uint64_t v)
{
    for (unsigned i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static struct mk_id checksum(const uint8_t key[MK_FRAME_KEY], const uint8_t *header,
                             struct mk_bytes payload)
{
    struct mk_hasher h;

    mk_hasher_init(&h);
    mk_hasher_put(&h, key, MK_FRAME_KEY);
    mk_hasher_put(&h, header, 24);
    mk_hasher_put(&h, payload.p, payload.n);
    return mk_hasher_end(&h);
}

uint64_t mk_frame_size(uint64_t n)
{
    return (MK_FRAME_HEADER + n + 7) & ~7ull;
}

void mk_frame_seal(struct mk_buf *b, const uint8_t key[MK_FRAME_KEY], uint64_t segment,
                   uint64_t seq)
{
    uint64_t n = b->n - MK_FRAME_HEADER;
    struct mk_id sum;

    MK_ASSERT(b->n >= MK_FRAME_HEADER && n <= UINT32_MAX);
    put_le(b->p, 4, MAGIC);
    put_le(b->p + 4, 4, n);
    put_le(b->p + 8, 8, segment);
    put_le(b->p + 16, 8, seq);
    sum = checksum(key, b->p, MK_BYTES(b->p + MK_FRAME_HEADER, n));
    memcpy(b->p + 24, sum.b, 16);
    while (b->n % 8 != 0)
        mk_buf_put_u8(b, 0);
}

bool mk_frame_at(struct mk_frame *ret, struct mk_bytes file, uint64_t off,
                 const uint8_t key[MK_FRAME_KEY])
{
    const uint8_t *p = file.p + off;
    struct mk_frame f;
    struct mk_id sum;

    if (off > file.n || file.n - off < MK_FRAME_HEADER || le(p, 4) != MAGIC)
        return false;
    f.payload = MK_BYTES(p + MK_FRAME_HEADER, le(p + 4, 4));
    f.segment = le(p + 8, 8);
    f.seq = le(p + 16, 8);
    f.size = mk_frame_size(f.payload.n);
    if (f.payload.n > file.n - off - MK_FRAME_HEADER)
        return false;
    sum = checksum(key, p, f.payload);
    if (memcmp(sum.b, p + 24, 16) != 0)
        return false;
    *ret = f;
    return true;
}

bool mk_frame_peek(struct mk_bytes *ret, struct mk_bytes b)
{
    if (b.n < MK_FRAME_HEADER || le(b.p, 4) != MAGIC || le(b.p + 4, 4) > b.n - MK_FRAME_HEADER)
        return false;
    *ret = MK_BYTES(b.p + MK_FRAME_HEADER, le(b.p + 4, 4));
    return true;
}

bool mk_frame_scan(struct mk_frame *ret, uint64_t *ret_off, struct mk_bytes file, uint64_t off,
                   const uint8_t key[MK_FRAME_KEY], uint64_t segment, uint64_t seq)
{
    for (off = (off + 7) & ~7ull; off + MK_FRAME_HEADER <= file.n; off += 8) {
        const uint8_t *p = file.p + off;

        if (le(p, 4) != MAGIC || le(p + 8, 8) < segment || le(p + 16, 8) < seq)
            continue;
        if (mk_frame_at(ret, file, off, key)) {
            *ret_off = off;
            return true;
        }
    }
    return false;
}
