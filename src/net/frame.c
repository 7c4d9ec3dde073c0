/* frame.c - parse and write frames.
 *
 * The parser is strict: one form for each frame, every byte accounted for. It
 * looks at the header alone first, so that an absurd length is refused after
 * eight bytes and never waited or allocated for. */
#include "net/frame.h"
#include "base/assert.h"
#include "net/net.h"

#include <string.h>

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get_u64(const uint8_t *p)
{
    return get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

static int parse_hello(const uint8_t *b, size_t n, struct mk_frame *f, struct mk_fault *reterr)
{
    if (n < 8)
        return mk_fault(reterr, MK_EMALFORMED, "a hello of %zu bytes", n);
    if (get_u32(b) != MK_FRAME_MAGIC)
        return mk_fault(reterr, MK_EMALFORMED, "a hello that is not ours");
    f->protocols =
        (struct mk_protocols){(uint16_t)(b[4] | b[5] << 8), (uint16_t)(b[6] | b[7] << 8)};
    if (f->protocols.oldest == 0 || f->protocols.oldest > f->protocols.newest)
        return mk_fault(reterr, MK_EMALFORMED, "a hello of protocols %u to %u", f->protocols.oldest,
                        f->protocols.newest);
    if (!mk_protocols_meet(f->protocols, mk_protocols))
        return 0; /* the rest has a shape that we cannot know */
    if (n != 8 + 32 + MK_FRAME_INSTANCE)
        return mk_fault(reterr, MK_EMALFORMED, "a hello of %zu bytes", n);
    memcpy(f->network.b, b + 8, 32);
    memcpy(f->instance, b + 40, MK_FRAME_INSTANCE);
    return 0;
}

static int parse_open(const uint8_t *b, size_t n, struct mk_frame *f, struct mk_fault *reterr)
{
    if (n < 2 || b[0] == 0 || b[0] > MK_NET_PROTO_MAX || n < 1u + b[0])
        return mk_fault(reterr, MK_EMALFORMED, "an open without a protocol");
    f->text = (struct mk_str){(const char *)b + 1, b[0]};
    for (size_t i = 0; i < f->text.n; i++)
        if (f->text.p[i] <= ' ' || f->text.p[i] > '~')
            return mk_fault(reterr, MK_EMALFORMED, "a protocol's name with other characters");
    f->body = MK_BYTES(b + 1 + b[0], n - 1 - b[0]);
    if (f->more && f->body.n == 0)
        return mk_fault(reterr, MK_EMALFORMED, "an empty piece of a message");
    return 0;
}

static int parse_close(const uint8_t *b, size_t n, struct mk_frame *f, struct mk_fault *reterr)
{
    if (n < 2 || n - 2 >= MK_REASON_MAX)
        return mk_fault(reterr, MK_EMALFORMED, "a close of %zu bytes", n);
    f->number = (uint32_t)(b[0] | b[1] << 8);
    f->text = (struct mk_str){(const char *)b + 2, n - 2};
    if (!mk_utf8_valid(f->text.p, f->text.n))
        return mk_fault(reterr, MK_EMALFORMED, "a close whose text is not UTF-8");
    return 0;
}

static int parse_data(const uint8_t *b, size_t n, struct mk_frame *f, struct mk_fault *reterr)
{
    f->body = MK_BYTES(b, n);
    if (f->more && n == 0)
        return mk_fault(reterr, MK_EMALFORMED, "an empty piece of a message");
    return 0;
}

static int parse_credit(const uint8_t *b, size_t n, struct mk_frame *f, struct mk_fault *reterr)
{
    if (n != 4 || get_u32(b) == 0)
        return mk_fault(reterr, MK_EMALFORMED, "a credit of %zu bytes", n);
    f->number = get_u32(b);
    return 0;
}

static int parse_token(const uint8_t *b, size_t n, struct mk_frame *f, struct mk_fault *reterr)
{
    if (n != 8)
        return mk_fault(reterr, MK_EMALFORMED, "a ping of %zu bytes", n);
    f->token = get_u64(b);
    return 0;
}

/* Whether the header alone is possible: type, flag, conversation. */
static int check_header(const struct mk_frame *f, struct mk_fault *reterr)
{
    bool about_conv = false;

    switch (f->type) {
    case MK_FRAME_OPEN:
    case MK_FRAME_DATA:
    case MK_FRAME_CREDIT:
    case MK_FRAME_CLOSE:
        about_conv = true;
        break;
    case MK_FRAME_HELLO:
    case MK_FRAME_READY:
    case MK_FRAME_PING:
    case MK_FRAME_PONG:
    case MK_FRAME_GOAWAY:
        break;
    }
    if (f->type < MK_FRAME_HELLO || f->type > MK_FRAME_GOAWAY)
        return mk_fault(reterr, MK_EMALFORMED, "a frame of unknown type %u", (unsigned)f->type);
    if (f->more && f->type != MK_FRAME_OPEN && f->type != MK_FRAME_DATA)
        return mk_fault(reterr, MK_EMALFORMED, "a frame of type %u in pieces", (unsigned)f->type);
    if (about_conv != (f->conv != 0))
        return mk_fault(reterr, MK_EMALFORMED, "a frame of type %u for conversation %u",
                        (unsigned)f->type, f->conv);
    return 0;
}

static int parse_body(const uint8_t *b, size_t n, struct mk_frame *f, struct mk_fault *reterr)
{
    switch (f->type) {
    case MK_FRAME_HELLO:
        return parse_hello(b, n, f, reterr);
    case MK_FRAME_READY:
        return n == 0 ? 0 : mk_fault(reterr, MK_EMALFORMED, "a ready of %zu bytes", n);
    case MK_FRAME_OPEN:
        return parse_open(b, n, f, reterr);
    case MK_FRAME_DATA:
        return parse_data(b, n, f, reterr);
    case MK_FRAME_CREDIT:
        return parse_credit(b, n, f, reterr);
    case MK_FRAME_PING:
    case MK_FRAME_PONG:
        return parse_token(b, n, f, reterr);
    case MK_FRAME_CLOSE:
    case MK_FRAME_GOAWAY:
        return parse_close(b, n, f, reterr);
    }
    return mk_fault(reterr, MK_EMALFORMED, "a frame of unknown type %u", (unsigned)f->type);
}

int mk_frame_parse(const uint8_t *p, size_t n, struct mk_frame *ret, size_t *ret_used,
                   struct mk_fault *reterr)
{
    struct mk_frame f = {0};
    size_t len;
    int rv;

    if (n < MK_FRAME_HEADER) {
        *ret_used = 0;
        return 0;
    }
    f.type = (enum mk_frame_type)(p[0] & ~MK_FRAME_MORE);
    f.more = (p[0] & MK_FRAME_MORE) != 0;
    len = (size_t)p[1] | (size_t)p[2] << 8 | (size_t)p[3] << 16;
    f.conv = get_u32(p + 4);
    rv = check_header(&f, reterr);
    if (rv != 0)
        return rv;
    if (len > MK_FRAME_BODY_MAX)
        return mk_fault(reterr, MK_ELIMIT, "a frame of %zu bytes, the limit is %u", len,
                        MK_FRAME_BODY_MAX);
    if (n - MK_FRAME_HEADER < len) {
        *ret_used = 0;
        return 0;
    }
    rv = parse_body(p + MK_FRAME_HEADER, len, &f, reterr);
    if (rv != 0)
        return rv;
    *ret = f;
    *ret_used = MK_FRAME_HEADER + len;
    return 0;
}

void mk_frame_text(const struct mk_frame *f, char out[MK_REASON_MAX])
{
    MK_ASSERT(f->text.n < MK_REASON_MAX);
    for (size_t i = 0; i < f->text.n; i++)
        out[i] = (uint8_t)f->text.p[i] < ' ' || f->text.p[i] == 0x7f ? '?' : f->text.p[i];
    out[f->text.n] = 0;
}

void mk_frame_put_header(struct mk_buf *out, unsigned type, uint32_t conv, size_t body_len)
{
    uint8_t *p = mk_buf_grow(out, MK_FRAME_HEADER);

    MK_ASSERT(body_len <= MK_FRAME_BODY_MAX);
    p[0] = (uint8_t)type;
    p[1] = (uint8_t)body_len;
    p[2] = (uint8_t)(body_len >> 8);
    p[3] = (uint8_t)(body_len >> 16);
    p[4] = (uint8_t)conv;
    p[5] = (uint8_t)(conv >> 8);
    p[6] = (uint8_t)(conv >> 16);
    p[7] = (uint8_t)(conv >> 24);
}

void mk_frame_put_hello(struct mk_buf *out, struct mk_protocols protocols,
                        const struct mk_id *network, const uint8_t instance[MK_FRAME_INSTANCE])
{
    mk_frame_put_header(out, MK_FRAME_HELLO, 0, 8 + 32 + MK_FRAME_INSTANCE);
    mk_buf_put_u32le(out, MK_FRAME_MAGIC);
    mk_buf_put_u32le(out, protocols.oldest | (uint32_t)protocols.newest << 16);
    mk_buf_put(out, network->b, 32);
    mk_buf_put(out, instance, MK_FRAME_INSTANCE);
}

void mk_frame_put_credit(struct mk_buf *out, uint32_t conv, uint32_t bytes)
{
    MK_ASSERT(conv != 0 && bytes != 0);
    mk_frame_put_header(out, MK_FRAME_CREDIT, conv, 4);
    mk_buf_put_u32le(out, bytes);
}

void mk_frame_put_token(struct mk_buf *out, enum mk_frame_type type, uint64_t token)
{
    mk_frame_put_header(out, type, 0, 8);
    mk_buf_put_u64le(out, token);
}

/* The longest beginning of text of at most max bytes that ends between characters. */
static size_t clip_utf8(const char *text, size_t max)
{
    size_t n = strnlen(text, max + 1);

    if (n <= max)
        return n;
    for (n = max; n > 0 && ((uint8_t)text[n] & 0xc0) == 0x80;)
        n--;
    return n;
}

void mk_frame_put_close(struct mk_buf *out, uint32_t conv, unsigned code, const char *text)
{
    size_t n = clip_utf8(text, MK_REASON_MAX - 1);

    if (!mk_utf8_valid(text, n))
        n = 0;
    mk_frame_put_header(out, conv != 0 ? MK_FRAME_CLOSE : MK_FRAME_GOAWAY, conv, 2 + n);
    mk_buf_put_u8(out, (uint8_t)code);
    mk_buf_put_u8(out, (uint8_t)(code >> 8));
    mk_buf_put(out, text, n);
}
