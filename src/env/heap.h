/* heap.h - what comes next: items ordered by time, ties by the order of arrival.
 *
 * Both worlds keep their timers in one; the simulated world its events too. The
 * times lie beside each other in one array, so that comparing touches no item:
 *
 *     slots: [ at seq item ] [ at seq item ] [ at seq item ] ...
 *                                 item->pos points back (0: not in a heap) */
#ifndef ENV_HEAP_H
#define ENV_HEAP_H

#include <mosaik/bytes.h>

struct mk_heap_item {
    size_t pos; /* index + 1; 0 when in no heap */
};

struct mk_heap_slot {
    uint64_t at, seq;
    struct mk_heap_item *item;
};

/** All zero is a valid empty heap. */
struct mk_heap {
    struct mk_heap_slot *slots;
    size_t n, cap;
    uint64_t seq; /* of the next item put */
};

/** Puts item in, or moves it: as if it had been put now. item is borrowed while inside. */
void mk_heap_put(struct mk_heap *h, struct mk_heap_item *item, uint64_t at);
/** Safe for an item that is in no heap. */
void mk_heap_del(struct mk_heap *h, struct mk_heap_item *item);
/** The earliest, lent until the heap changes; NULL when empty. */
const struct mk_heap_slot *mk_heap_top(const struct mk_heap *h);
/** Frees the array; items that are inside are as if taken out. */
void mk_heap_done(struct mk_heap *h);

#endif
