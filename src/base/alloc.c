/* alloc.c - memory that cannot be had ends the process.
 *
 * What a stranger can make us hold is limited before it is allocated, so
 * running out means that this machine is too small or that we leak; neither
 * is cured by an error path that nobody exercises. One line says so. */
#include <mosaik/bytes.h>

#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void out_of_memory(size_t n) __attribute__((noreturn));

static void out_of_memory(size_t n)
{
    fprintf(stderr, "coalition: out of memory (%zu bytes wanted)\n", n);
    abort();
}

void mk_assert_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "coalition: assertion failed: %s (%s:%d)\n", what, file, line);
    abort();
}

/* What is small comes from malloc: glibc's calloc (before 2.41) passes by the cache of blocks that
 * were freed just now, which nearly all of ours are. What is large may be fresh pages, which
 * are zero already and are not to be touched. */
#define SMALL 4096u

void *mk_alloc(size_t n)
{
    void *p = n > SMALL ? calloc(1, n) : malloc(n > 0 ? n : 1);

    if (p == NULL)
        out_of_memory(n);
    if (n <= SMALL)
        memset(p, 0, n > 0 ? n : 1);
    return p;
}

void *mk_realloc(void *p, size_t n)
{
    p = realloc(p, n > 0 ? n : 1);
    if (p == NULL)
        out_of_memory(n);
    return p;
}

void *mk_memdup(const void *p, size_t n)
{
    void *copy = mk_alloc(n);

    if (n > 0)
        memcpy(copy, p, n);
    return copy;
}

char *mk_strdup(const char *s)
{
    return mk_memdup(s, strlen(s) + 1);
}

void mk_free(void *p)
{
    free(p);
}
