/* What a stranger sends without ever ending a line is held up to max bytes and one
 * read more; a line that is too long is reported once, with its beginning, and the
 * rest up to its end is thrown away as it comes. */
#include "env/lines.h"

#include <mosaik/error.h>
#include <string.h>

void mk_lines_put(struct mk_lines *l, const void *p, size_t n)
{
    if (l->head > 0) {
        mk_buf_drop_front(&l->acc, l->head);
        l->head = 0;
    }
    mk_buf_put(&l->acc, p, n);
}

static size_t lines_trim(const uint8_t *p, size_t n)
{
    return n > 0 && p[n - 1] == '\r' ? n - 1 : n;
}

/* The line is over max and its end has not been seen, or has: hand out the beginning. */
static int lines_too_long(struct mk_lines *l, struct mk_str *ret, const uint8_t *p, size_t consumed,
                          bool ended)
{
    *ret = (struct mk_str){(const char *)p, l->max};
    l->head += consumed;
    l->skipping = !ended;
    return MK_ELIMIT;
}

int mk_lines_next(struct mk_lines *l, struct mk_str *ret, bool at_end)
{
    for (;;) {
        const uint8_t *p = l->acc.p + l->head;
        size_t left = l->acc.n - l->head;
        const uint8_t *end = left == 0 ? NULL : memchr(p, '\n', left);
        size_t n = end == NULL ? left : (size_t)(end - p);
        size_t consumed = end == NULL ? n : n + 1;

        if (l->skipping) {
            l->head += consumed;
            l->skipping = end == NULL;
            if (end == NULL)
                return MK_ENOTFOUND;
            continue;
        }
        if (end == NULL && n <= l->max + 1 && !(at_end && n > 0))
            return MK_ENOTFOUND;
        n = lines_trim(p, n);
        if (n > l->max)
            return lines_too_long(l, ret, p, consumed, end != NULL);
        *ret = (struct mk_str){(const char *)p, n};
        l->head += consumed;
        return 0;
    }
}

void mk_lines_done(struct mk_lines *l)
{
    mk_buf_done(&l->acc);
    l->head = 0;
    l->skipping = false;
}
