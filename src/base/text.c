/* text.c - slices compared, hex, UTF-8. */
#include <mosaik/bytes.h>
#include <mosaik/error.h>

#include <string.h>

struct mk_str mk_str_of(const char *terminated)
{
    return (struct mk_str){terminated, terminated == NULL ? 0 : strlen(terminated)};
}

bool mk_str_eq(struct mk_str a, struct mk_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool mk_str_is(struct mk_str a, const char *terminated)
{
    return mk_str_eq(a, mk_str_of(terminated));
}

bool mk_bytes_eq(struct mk_bytes a, struct mk_bytes b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

int mk_bytes_cmp(struct mk_bytes a, struct mk_bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n == 0 ? 0 : memcmp(a.p, b.p, n);

    if (order != 0)
        return order;
    return (a.n > b.n) - (a.n < b.n);
}

void mk_hex(char *out, const void *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *b = p;

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[b[i] >> 4];
        out[2 * i + 1] = digits[b[i] & 15];
    }
    out[2 * n] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int mk_unhex(void *out, size_t n, const char *digits, size_t n_digits)
{
    uint8_t *b = out;

    if (n_digits % 2 != 0 || n_digits / 2 != n)
        return MK_EMALFORMED;
    for (size_t i = 0; i < n_digits; i++) {
        if (hex_digit(digits[i]) < 0)
            return MK_EMALFORMED;
    }
    for (size_t i = 0; i < n; i++)
        b[i] = (uint8_t)(hex_digit(digits[2 * i]) << 4 | hex_digit(digits[2 * i + 1]));
    return 0;
}

/* The length of the well-formed sequence at p (Unicode, table 3-7), or 0. */
static size_t utf8_sequence(const uint8_t *p, size_t n)
{
    uint8_t low = 0x80, high = 0xbf;
    size_t len;

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        len = 2;
    else if (p[0] >= 0xe0 && p[0] <= 0xef)
        len = 3;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        len = 4;
    else
        return 0;
    if (n < len)
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0; /* overlong */
    else if (p[0] == 0xed)
        high = 0x9f; /* surrogates */
    else if (p[0] == 0xf0)
        low = 0x90; /* overlong */
    else if (p[0] == 0xf4)
        high = 0x8f; /* beyond U+10FFFF */
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    }
    return len;
}

bool mk_utf8_valid(const void *p, size_t n)
{
    const uint8_t *b = p;

    while (n > 0) {
        size_t len = utf8_sequence(b, n);

        if (len == 0)
            return false;
        b += len;
        n -= len;
    }
    return true;
}
