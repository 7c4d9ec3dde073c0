/* arena.c - a bump allocator: many small things that die together.
 *
 * Chunks double up to 64 KiB; a bigger wish gets a chunk of its own. Memory
 * comes zeroed from mk_alloc and is handed out once, so it is still zero. */
#include <mosaik/bytes.h>

#include "base/assert.h"

#include <stddef.h>
#include <string.h>

#define ARENA_FIRST 992u /* with its head, the largest block that malloc keeps at hand */
#define ARENA_CHUNK_MAX 65536u
#define ARENA_ALIGN 16u

struct mk_arena_chunk {
    struct mk_arena_chunk *next;
    size_t cap;
    size_t n;
    _Alignas(ARENA_ALIGN) uint8_t data[];
};

_Static_assert(_Alignof(max_align_t) <= ARENA_ALIGN, "chunks must fit any type");

static struct mk_arena_chunk *arena_add(struct mk_arena *a, size_t n)
{
    size_t cap = a->chunks == NULL ? ARENA_FIRST : a->chunks->cap * 2;
    struct mk_arena_chunk *c;

    if (cap > ARENA_CHUNK_MAX)
        cap = ARENA_CHUNK_MAX;
    if (cap < n)
        cap = n;
    MK_ASSERT(cap <= SIZE_MAX - sizeof *c);
    c = mk_alloc(sizeof *c + cap);
    c->cap = cap;
    c->next = a->chunks;
    a->chunks = c;
    return c;
}

void *mk_arena_take(struct mk_arena *a, size_t n)
{
    struct mk_arena_chunk *c = a->chunks;
    size_t padded = (n + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    void *p;

    MK_ASSERT(padded >= n);
    if (c == NULL || c->cap - c->n < padded)
        c = arena_add(a, padded);
    p = c->data + c->n;
    c->n += padded;
    a->used += padded;
    return p;
}

void *mk_arena_copy(struct mk_arena *a, const void *p, size_t n)
{
    void *copy = mk_arena_take(a, n);

    if (n > 0)
        memcpy(copy, p, n);
    return copy;
}

struct mk_str mk_arena_str(struct mk_arena *a, struct mk_str s)
{
    char *copy = mk_arena_take(a, s.n + 1);

    if (s.n > 0)
        memcpy(copy, s.p, s.n);
    return (struct mk_str){copy, s.n};
}

void mk_arena_done(struct mk_arena *a)
{
    while (a->chunks != NULL) {
        struct mk_arena_chunk *next = a->chunks->next;

        mk_free(a->chunks);
        a->chunks = next;
    }
    a->used = 0;
}
