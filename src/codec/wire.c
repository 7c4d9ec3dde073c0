/* wire.c - the latching reader and varints, for framings that are not a datum. */
#include <mosaik/datum.h>

struct mk_bytes mk_read_bytes(struct mk_reader *r, size_t n)
{
    struct mk_bytes got = {r->p, n};

    if (r->failed || n > r->n) {
        r->failed = true;
        return (struct mk_bytes){0};
    }
    if (n > 0)
        r->p += n;
    r->n -= n;
    return got;
}

static uint64_t read_le(struct mk_reader *r, size_t n)
{
    struct mk_bytes b = mk_read_bytes(r, n);
    uint64_t v = 0;

    for (size_t i = b.n; i > 0; i--)
        v = v << 8 | b.p[i - 1];
    return v;
}

uint8_t mk_read_u8(struct mk_reader *r)
{
    return (uint8_t)read_le(r, 1);
}

uint32_t mk_read_u32le(struct mk_reader *r)
{
    return (uint32_t)read_le(r, 4);
}

uint64_t mk_read_u64le(struct mk_reader *r)
{
    return read_le(r, 8);
}

uint64_t mk_read_varint(struct mk_reader *r)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = mk_read_u8(r);

        if (r->failed)
            return 0;
        if ((shift == 63 && byte > 1) || (shift > 0 && byte == 0))
            break; /* wider than 64 bits, or not minimal */
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return v;
    }
    r->failed = true;
    return 0;
}

void mk_put_varint(struct mk_buf *b, uint64_t v)
{
    while (v >= 0x80) {
        mk_buf_put_u8(b, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    mk_buf_put_u8(b, (uint8_t)v);
}
