/* record.c - see record.h. What is read here passed a checksum with a secret key, so a
 * bad record is a bug or another version's; it is refused all the same, not trusted. */
#include "store/record.h"

#include <string.h>

void mk_record_put(struct mk_buf *out, const struct mk_record *r)
{
    mk_buf_put_u8(out, (uint8_t)r->kind);
    mk_buf_put_u32le(out, r->group);
    switch (r->kind) {
    case MK_REC_GROUP:
        mk_buf_put(out, r->id.b, sizeof r->id.b);
        break;
    case MK_REC_TERM:
        mk_buf_put_u64le(out, r->term);
        mk_buf_put_u64le(out, r->vote);
        break;
    case MK_REC_ENTRY:
        mk_buf_put_u64le(out, r->index);
        mk_buf_put_u64le(out, r->term);
        mk_buf_put_u8(out, r->type);
        mk_buf_put_u32le(out, (uint32_t)r->bytes.n);
        mk_buf_put(out, r->bytes.p, r->bytes.n);
        break;
    case MK_REC_FACT:
        mk_buf_put_u8(out, (uint8_t)r->key.n);
        mk_buf_put(out, r->key.p, r->key.n);
        mk_buf_put_u32le(out, (uint32_t)r->bytes.n);
        mk_buf_put(out, r->bytes.p, r->bytes.n);
        break;
    case MK_REC_SNAPSHOT:
        mk_buf_put_u64le(out, r->index);
        mk_buf_put_u64le(out, r->first);
        mk_buf_put_u8(out, r->type);
        mk_buf_put_u32le(out, (uint32_t)r->bytes.n);
        mk_buf_put(out, r->bytes.p, r->bytes.n);
        break;
    case MK_REC_EXTENT:
    case MK_REC_SLOT:
        mk_buf_put_u64le(out, r->first);
        mk_buf_put_u64le(out, r->index);
        break;
    case MK_REC_REMOVE:
    case MK_REC_BEGIN:
    case MK_REC_END:
        break;
    }
}

struct rd {
    struct mk_bytes b;
    bool bad;
};

static struct mk_bytes rd_take(struct rd *r, uint64_t n)
{
    struct mk_bytes got = MK_BYTES(r->b.p, n);

    if (r->bad || n > r->b.n) {
        r->bad = true;
        return MK_BYTES(NULL, 0);
    }
    r->b.p += n;
    r->b.n -= n;
    return got;
}

static uint64_t rd_le(struct rd *r, unsigned n)
{
    struct mk_bytes b = rd_take(r, n);
    uint64_t v = 0;

    for (size_t i = b.n; i > 0; i--)
        v = v << 8 | b.p[i - 1];
    return v;
}

static void rd_body(struct rd *r, struct mk_record *ret)
{
    struct mk_bytes id;

    switch (ret->kind) {
    case MK_REC_GROUP:
        id = rd_take(r, sizeof ret->id.b);
        if (!r->bad)
            memcpy(ret->id.b, id.p, sizeof ret->id.b);
        break;
    case MK_REC_TERM:
        ret->term = rd_le(r, 8);
        ret->vote = rd_le(r, 8);
        break;
    case MK_REC_ENTRY:
        ret->index = rd_le(r, 8);
        ret->term = rd_le(r, 8);
        ret->type = (uint8_t)rd_le(r, 1);
        ret->bytes = rd_take(r, rd_le(r, 4));
        break;
    case MK_REC_FACT:
        ret->key = rd_take(r, rd_le(r, 1));
        ret->bytes = rd_take(r, rd_le(r, 4));
        break;
    case MK_REC_SNAPSHOT:
        ret->index = rd_le(r, 8);
        ret->first = rd_le(r, 8);
        ret->type = (uint8_t)rd_le(r, 1);
        ret->bytes = rd_take(r, rd_le(r, 4));
        break;
    case MK_REC_EXTENT:
    case MK_REC_SLOT:
        ret->first = rd_le(r, 8);
        ret->index = rd_le(r, 8);
        break;
    case MK_REC_REMOVE:
    case MK_REC_BEGIN:
    case MK_REC_END:
        break;
    }
}

bool mk_record_take(struct mk_record *ret, struct mk_bytes *b)
{
    struct rd r = {*b, false};
    uint64_t kind = rd_le(&r, 1);

    memset(ret, 0, sizeof *ret);
    ret->group = (uint32_t)rd_le(&r, 4);
    if (kind < MK_REC_GROUP || kind > MK_REC_END)
        r.bad = true;
    if (r.bad)
        return false;
    ret->kind = (enum mk_record_kind)kind;
    rd_body(&r, ret);
    if (r.bad)
        return false;
    *b = r.b;
    return true;
}
