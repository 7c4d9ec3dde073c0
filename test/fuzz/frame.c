/* frame.c - what arrives on a link: frames, and the addresses that lead to it.
 *
 * A frame that is accepted is the one form of what it says, and no beginning of
 * it is refused: what is missing is waited for. */
#include "net/frame.h"
#include "net/net.h"
#include "targets.h"

#include <string.h>

/* The frame again, from its parts. */
static void write_frame(const struct mk_frame *f, struct mk_buf *out)
{
    unsigned type = f->type | (f->more ? MK_FRAME_MORE : 0);
    char text[MK_REASON_MAX];

    switch (f->type) {
    case MK_FRAME_HELLO:
        mk_frame_put_hello(out, f->protocols, &f->network, f->instance);
        break;
    case MK_FRAME_READY:
        mk_frame_put_header(out, type, 0, 0);
        break;
    case MK_FRAME_OPEN:
        mk_frame_put_header(out, type, f->conv, 1 + f->text.n + f->body.n);
        mk_buf_put_u8(out, (uint8_t)f->text.n);
        mk_buf_put(out, f->text.p, f->text.n);
        mk_buf_put(out, f->body.p, f->body.n);
        break;
    case MK_FRAME_DATA:
        mk_frame_put_header(out, type, f->conv, f->body.n);
        mk_buf_put(out, f->body.p, f->body.n);
        break;
    case MK_FRAME_CREDIT:
        mk_frame_put_credit(out, f->conv, f->number);
        break;
    case MK_FRAME_PING:
    case MK_FRAME_PONG:
        mk_frame_put_token(out, f->type, f->token);
        break;
    case MK_FRAME_CLOSE:
    case MK_FRAME_GOAWAY:
        mk_frame_text(f, text);
        mk_frame_put_close(out, f->conv, f->number, text);
        break;
    }
}

static bool has_controls(struct mk_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((uint8_t)s.p[i] < ' ' || s.p[i] == 0x7f)
            return true;
    return false;
}

static void check_frame(const struct mk_frame *f, const uint8_t *p, size_t n)
{
    struct mk_buf again = {0};
    struct mk_frame part;
    size_t used = 1;

    for (size_t cut = 0; cut < n; cut += 1 + cut / 8)
        FUZZ_CHECK(mk_frame_parse(p, cut, &part, &used, NULL) == 0 && used == 0);
    if (f->type == MK_FRAME_HELLO && !mk_protocols_meet(f->protocols, mk_protocols))
        return; /* only they are known */
    if ((f->type == MK_FRAME_CLOSE || f->type == MK_FRAME_GOAWAY) && has_controls(f->text))
        return; /* shown with '?' */
    write_frame(f, &again);
    FUZZ_CHECK(mk_bytes_eq(mk_buf_bytes(&again), MK_BYTES(p, n)));
    mk_buf_done(&again);
}

bool fuzz_frame(const uint8_t *p, size_t n)
{
    struct mk_fault fault = {{0}};
    struct mk_frame f;
    size_t used;

    while (n > 0) {
        if (mk_frame_parse(p, n, &f, &used, &fault) != 0) {
            FUZZ_CHECK(fault.text[0] != '\0');
            return false;
        }
        if (used == 0)
            return false;
        FUZZ_CHECK(used <= n);
        check_frame(&f, p, used);
        p += used;
        n -= used;
    }
    return true;
}

static void make_one(struct fuzz_random *r, struct mk_buf *out)
{
    struct mk_frame f = {.type = (enum mk_frame_type)(1 + fuzz_below(r, 9)),
                         .conv = 1 + (uint32_t)fuzz_u64(r) % 1000,
                         .number = 1 + (uint32_t)fuzz_below(r, 60000),
                         .token = fuzz_u64(r),
                         .protocols = {(uint16_t)(1 + fuzz_below(r, MK_PROTOCOL_NEWEST)),
                                       (uint16_t)(MK_PROTOCOL_NEWEST + fuzz_below(r, 9))}};
    uint8_t bytes[64];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)fuzz_u64(r);
    memcpy(f.network.b, bytes, 32);
    memcpy(f.instance, bytes + 32, sizeof f.instance);
    f.body = MK_BYTES(bytes, 1 + fuzz_below(r, sizeof bytes));
    f.text = MK_STR("surface");
    f.more = (f.type == MK_FRAME_OPEN || f.type == MK_FRAME_DATA) && fuzz_below(r, 2);
    if (f.type == MK_FRAME_GOAWAY)
        f.conv = 0;
    write_frame(&f, out);
}

void fuzz_make_frame(struct fuzz_random *r, struct mk_buf *out)
{
    for (uint64_t i = 0; i <= fuzz_below(r, 4); i++)
        make_one(r, out);
}

/* "<peer hex>@host:port": what is accepted comes back but for the case of its digits. */
bool fuzz_address(const uint8_t *p, size_t n)
{
    struct mk_fault fault = {{0}};
    struct mk_peer peer;
    char host_port[256], digits[MK_ID_HEX];

    memset(host_port, 'x', sizeof host_port);
    if (mk_net_parse_address(&peer, host_port, (struct mk_str){(const char *)p, n}, &fault) != 0) {
        FUZZ_CHECK(fault.text[0] != '\0');
        return false;
    }
    FUZZ_CHECK(memchr(host_port, 0, sizeof host_port) != NULL);
    FUZZ_CHECK(n == 65 + strlen(host_port) && memcmp(p + 65, host_port, n - 65) == 0);
    mk_peer_hex(&peer, digits);
    return p[64] == '@';
}

void fuzz_make_address(struct fuzz_random *r, struct mk_buf *out)
{
    static const char *const hosts[] = {"127.0.0.1:1", "127.0.0.1:65535", "[::1]:7700",
                                        "10.1.2.3:7701"};

    for (unsigned i = 0; i < 64; i++)
        mk_buf_put_u8(out, (uint8_t) "0123456789abcdefABCDEF"[fuzz_below(r, 22)]);
    mk_buf_put_u8(out, '@');
    mk_buf_put_str(out, hosts[fuzz_below(r, 4)]);
}
