/* names.c - names that look like others.
 *
 * Names are folded byte by byte and never normalised, so two that look alike are two
 * names. A tool warns about the simple cases: combining marks and singletons (the
 * name may not be NFC), and letters of several scripts. */
#include "coalition/reader.h"

static uint32_t next_character(struct mk_str *s)
{
    const unsigned char *p = (const unsigned char *)s->p;
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    uint32_t c = len == 1 ? p[0] : p[0] & (0xffu >> (len + 1));

    for (size_t i = 1; i < len; i++)
        c = c << 6 | (p[i] & 0x3f);
    s->p += len;
    s->n -= len;
    return c;
}

static bool is_not_nfc(uint32_t c)
{
    return (c >= 0x300 && c <= 0x36f) || c == 0x212a || c == 0x212b || c == 0x2126 ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x1100 && c <= 0x11ff);
}

static unsigned script_bit(uint32_t c)
{
    static const struct {
        uint32_t from, to;
        unsigned bit;
    } scripts[] = {
        {'A', 'Z', 1},         {'a', 'z', 1},         {0xc0, 0x24f, 1},     {0x1e00, 0x1eff, 1},
        {0x370, 0x3ff, 2},     {0x1f00, 0x1fff, 2},   {0x400, 0x52f, 4},    {0x530, 0x58f, 8},
        {0x590, 0x5ff, 16},    {0x600, 0x6ff, 32},    {0x13a0, 0x13ff, 64}, {0x3040, 0x30ff, 128},
        {0x4e00, 0x9fff, 128}, {0xac00, 0xd7a3, 256},
    };

    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        if (c >= scripts[i].from && c <= scripts[i].to)
            return scripts[i].bit;
    }
    return 0;
}

const char *coa_name_warning(struct mk_str name)
{
    unsigned scripts = 0;

    while (name.n > 0) {
        uint32_t c = next_character(&name);

        if (is_not_nfc(c))
            return "may not be in the normal form NFC; names are folded byte by byte";
        scripts |= script_bit(c);
    }
    if ((scripts & (scripts - 1)) != 0)
        return "mixes scripts; another name may look the same";
    return NULL;
}
