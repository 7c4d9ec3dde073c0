/* cells.h - memory in cells of one size, side by side: for structures of many small parts,
 * whose speed is that of the cache. A cell that is given back is used again; the memory is
 * freed when all is. Not zeroed, aligned to 32 bytes. */
#ifndef COLLECTIONS_CELLS_H
#define COLLECTIONS_CELLS_H

#include <mosaik/bytes.h>

struct mk_cells {
    size_t size; /* of a cell; a multiple of 32 */
    void *free;  /* those given back, linked by their first word */
    uint8_t *at, *end;
    void *chunks; /* linked by their first word */
    size_t n_chunk;
};

void mk_cells_init(struct mk_cells *c, size_t size);
void mk_cells_done(struct mk_cells *c);
void *mk_cells_take(struct mk_cells *c);
void mk_cells_give(struct mk_cells *c, void *cell);

#endif
