/* cells.c - chunks begin with 16 cells and double up to 64 KiB: a small structure costs little, a
 * large one is dense. */
#include "collections/cells.h"

#include "base/assert.h"

#include <string.h>

#define ALIGN 64u /* of the first cell of a chunk: a line of the cache */
#define CELL 32u
#define FIRST_CELLS 16u
#define CHUNK_MAX (64u << 10)

void mk_cells_init(struct mk_cells *c, size_t size)
{
    MK_ASSERT(size >= CELL && size % CELL == 0);
    *c = (struct mk_cells){.size = size, .n_chunk = FIRST_CELLS * size};
}

void mk_cells_done(struct mk_cells *c)
{
    while (c->chunks != NULL) {
        void *next;

        memcpy(&next, c->chunks, sizeof next);
        mk_free(c->chunks);
        c->chunks = next;
    }
    *c = (struct mk_cells){0};
}

static void grow(struct mk_cells *c)
{
    uint8_t *chunk = mk_realloc(NULL, sizeof c->chunks + ALIGN + c->n_chunk);
    uintptr_t first = ((uintptr_t)(chunk + sizeof c->chunks) + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1);

    memcpy(chunk, &c->chunks, sizeof c->chunks);
    c->chunks = chunk;
    c->at = chunk + (first - (uintptr_t)chunk);
    c->end = c->at + c->n_chunk;
    if (c->n_chunk < CHUNK_MAX)
        c->n_chunk *= 2;
}

void *mk_cells_take(struct mk_cells *c)
{
    void *cell = c->free;

    if (cell != NULL) {
        memcpy(&c->free, cell, sizeof c->free);
        return cell;
    }
    if (c->at == c->end)
        grow(c);
    cell = c->at;
    c->at += c->size;
    return cell;
}

void mk_cells_give(struct mk_cells *c, void *cell)
{
    memcpy(cell, &c->free, sizeof c->free);
    c->free = cell;
}
