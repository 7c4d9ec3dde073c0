/* base64url.c - see the header.
 *
 * Lenient decoders let one signature wear many texts; a token is then "another"
 * token to whoever compares or revokes by text. So each byte sequence has
 * exactly one accepted text here, and everything else is malformed. */
#include "codec/base64url.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void mk_base64url_put(struct mk_buf *out, struct mk_bytes in)
{
    uint32_t bits = 0;
    unsigned n = 0;

    for (size_t i = 0; i < in.n; i++) {
        bits = bits << 8 | in.p[i];
        for (n += 8; n >= 6; n -= 6)
            mk_buf_put_u8(out, (uint8_t)alphabet[bits >> (n - 6) & 63]);
    }
    if (n > 0)
        mk_buf_put_u8(out, (uint8_t)alphabet[bits << (6 - n) & 63]);
}

/* The value of one digit, or -1. */
static int base64url_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '-')
        return 62;
    return c == '_' ? 63 : -1;
}

int mk_base64url_get(struct mk_buf *out, struct mk_str text)
{
    size_t before = out->n;
    uint32_t bits = 0;
    unsigned n = 0;

    if (text.n % 4 == 1)
        return MK_EMALFORMED;
    for (size_t i = 0; i < text.n; i++) {
        int digit = base64url_digit(text.p[i]);

        if (digit < 0) {
            out->n = before;
            return MK_EMALFORMED;
        }
        bits = bits << 6 | (uint32_t)digit;
        n += 6;
        if (n >= 8) {
            n -= 8;
            mk_buf_put_u8(out, (uint8_t)(bits >> n));
        }
    }
    if ((bits & ((1u << n) - 1)) != 0) {
        out->n = before;
        return MK_EMALFORMED;
    }
    return 0;
}
