/* buf.c - a growing buffer. It doubles, so n puts cost O(n) in all. */
#include <mosaik/bytes.h>

#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BUF_FIRST 64u

void mk_buf_done(struct mk_buf *b)
{
    mk_free(b->p);
    *b = (struct mk_buf){0};
}

void mk_buf_clear(struct mk_buf *b)
{
    b->n = 0;
}

void mk_buf_reserve(struct mk_buf *b, size_t n)
{
    size_t cap = b->cap > 0 ? b->cap : BUF_FIRST;

    MK_ASSERT(n <= SIZE_MAX / 4 && b->n <= SIZE_MAX / 4);
    if (b->cap - b->n >= n)
        return;
    while (cap < b->n + n)
        cap *= 2;
    b->p = mk_realloc(b->p, cap);
    b->cap = cap;
}

uint8_t *mk_buf_grow(struct mk_buf *b, size_t n)
{
    uint8_t *p;

    mk_buf_reserve(b, n > 0 ? n : 1);
    p = b->p + b->n;
    b->n += n;
    return p;
}

void mk_buf_put(struct mk_buf *b, const void *p, size_t n)
{
    if (n > 0)
        memcpy(mk_buf_grow(b, n), p, n);
}

void mk_buf_put_u8(struct mk_buf *b, uint8_t v)
{
    *mk_buf_grow(b, 1) = v;
}

static void put_le(uint8_t *p, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

void mk_buf_put_u32le(struct mk_buf *b, uint32_t v)
{
    put_le(mk_buf_grow(b, 4), v, 4);
}

void mk_buf_put_u64le(struct mk_buf *b, uint64_t v)
{
    put_le(mk_buf_grow(b, 8), v, 8);
}

void mk_buf_put_str(struct mk_buf *b, const char *terminated)
{
    mk_buf_put(b, terminated, strlen(terminated));
}

void mk_buf_printf(struct mk_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    MK_ASSERT(n >= 0);
    mk_buf_reserve(b, (size_t)n + 1);
    vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, again);
    va_end(again);
    b->n += (size_t)n;
}

void mk_buf_drop_front(struct mk_buf *b, size_t n)
{
    MK_ASSERT(n <= b->n);
    if (n == 0)
        return;
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
}

struct mk_bytes mk_buf_bytes(const struct mk_buf *b)
{
    return (struct mk_bytes){b->p, b->n};
}
