/* hex.c - ids in files and on command lines: mk_unhex takes exactly the digits, or nothing. */
#include "targets.h"

#include <mosaik/id.h>
#include <string.h>

bool fuzz_hex(const uint8_t *p, size_t n)
{
    struct mk_id id;
    char digits[MK_ID_HEX];

    memset(&id, 0xa5, sizeof id);
    if (mk_id_unhex(&id, (struct mk_str){(const char *)p, n}) != 0) {
        for (size_t i = 0; i < sizeof id.b; i++)
            FUZZ_CHECK(id.b[i] == 0xa5); /* results are written on success only */
        return false;
    }
    FUZZ_CHECK(n == 2 * sizeof id.b);
    mk_id_hex(&id, digits);
    for (size_t i = 0; i < n; i++)
        FUZZ_CHECK(digits[i] == (p[i] >= 'A' && p[i] <= 'F' ? p[i] + 32 : p[i]));
    return true;
}

void fuzz_make_hex(struct fuzz_random *r, struct mk_buf *out)
{
    for (unsigned i = 0; i < 64; i++)
        mk_buf_put_u8(out, (uint8_t) "0123456789abcdefABCDEF"[fuzz_below(r, 22)]);
}
