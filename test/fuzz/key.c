/* key.c - the key file: what is accepted is written back as it was. */
#include "targets.h"

#include <mosaik/key.h>
#include <string.h>

bool fuzz_key(const uint8_t *p, size_t n)
{
    struct mk_key key;
    struct mk_fault fault = {{0}};
    struct mk_buf text = {0};
    char *lower;
    bool same;

    if (mk_key_parse(&key, MK_BYTES(p, n), &fault) != 0) {
        FUZZ_CHECK(fault.text[0] != '\0');
        return false;
    }
    mk_key_format(&key, &text);
    mk_key_done(&key);
    lower = mk_memdup(p, n);
    for (size_t i = 0; i < n; i++)
        if (lower[i] >= 'A' && lower[i] <= 'F')
            lower[i] = (char)(lower[i] + 32);
    same = text.n == n && memcmp(text.p, lower, n) == 0;
    FUZZ_CHECK(same);
    mk_free(lower);
    mk_buf_done(&text);
    return true;
}

void fuzz_make_key(struct fuzz_random *r, struct mk_buf *out)
{
    struct mk_key key;
    uint8_t seed[32];

    for (unsigned i = 0; i < sizeof seed; i++)
        seed[i] = (uint8_t)fuzz_u64(r);
    mk_key_from_seed(&key, seed);
    mk_key_format(&key, out);
    mk_key_done(&key);
}
