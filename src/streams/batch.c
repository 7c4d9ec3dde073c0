/* batch.c - see batch.h. */
#include "streams/batch.h"

static size_t put_varint(uint8_t *p, uint64_t v)
{
    size_t n = 0;

    for (; v >= 0x80; v >>= 7)
        p[n++] = (uint8_t)(v | 0x80);
    p[n++] = (uint8_t)v;
    return n;
}

size_t mk_batch_head(uint8_t out[MK_BATCH_HEAD_MAX], uint64_t first, uint64_t newest, size_t n)
{
    size_t at = put_varint(out, mk_stream_message_Batch); /* at most 1 + 10 + 10 + 10 */

    at += put_varint(out + at, first);
    at += put_varint(out + at, newest);
    return at + put_varint(out + at, n);
}

/* An item's length; most have one of one or two bytes. */
static uint64_t read_len(struct mk_reader *r)
{
    uint64_t v;

    if (r->n >= 2 && r->p[0] < 0x80) {
        v = r->p[0];
        r->p++;
        r->n--;
        return v;
    }
    if (r->n >= 2 && r->p[1] < 0x80 && r->p[1] > 0) {
        v = (uint64_t)(r->p[0] & 0x7f) | (uint64_t)r->p[1] << 7;
        r->p += 2;
        r->n -= 2;
        return v;
    }
    return mk_read_varint(r);
}

int mk_batch_read(struct mk_batch *ret, struct mk_bytes m)
{
    struct mk_reader r = {.p = m.p, .n = m.n};
    uint64_t tag = mk_read_varint(&r), n;

    if (r.failed || tag != mk_stream_message_Batch)
        return MK_ENOTFOUND;
    ret->first = mk_read_varint(&r);
    ret->newest = mk_read_varint(&r);
    n = mk_read_varint(&r);
    if (r.failed || n == 0 || n > MK_STREAM_BATCH_MAX)
        return MK_EMALFORMED;
    ret->n = (size_t)n;
    ret->items = r;
    for (; n > 0 && !r.failed; n--) {
        uint64_t len = read_len(&r);

        if (len > MK_STREAM_ITEM_MAX)
            return MK_EMALFORMED;
        mk_read_bytes(&r, (size_t)len);
    }
    return r.failed || r.n > 0 ? MK_EMALFORMED : 0;
}

struct mk_bytes mk_batch_next(struct mk_batch *b)
{
    return mk_read_bytes(&b->items, (size_t)read_len(&b->items));
}
