/* ring.h - the items that a producer retains, encoded once as they travel.
 *
 *   bytes:  ....[n item][n item][n item]....      a ring of at most bytes_max bytes
 *   index:      end, end, end: position behind item seq, at seq & (n_index - 1)
 *
 * Positions count bytes from the producer's beginning, so that the difference of two is a
 * length; the place of a position is its remainder by the ring's size. A batch is a slice
 * of the ring, in two parts where it wraps. Memory follows the content up to the limits,
 * and goes when the last item does. */
#ifndef STREAMS_RING_H
#define STREAMS_RING_H

#include <mosaik/bytes.h>

struct mk_ring_item {
    uint64_t end;
    uint64_t at_ns;
};

struct mk_ring {
    size_t items_max, bytes_max;
    uint64_t oldest, next; /* seq of the first item and of the one to come */
    uint64_t begin, end;   /* positions of the oldest item and behind the newest */
    struct mk_ring_item *index;
    size_t n_index;
    uint8_t *bytes;
    size_t cap;
};

/** items_max at least 1; bytes_max holds at least one encoded item of the largest size. */
void mk_ring_init(struct mk_ring *r, size_t items_max, size_t bytes_max);
void mk_ring_done(struct mk_ring *r);
/** Whether an item of n bytes fits without dropping one. */
bool mk_ring_fits(const struct mk_ring *r, size_t n);
/** Appends an item (copied), for which there is room. */
uint64_t mk_ring_put(struct mk_ring *r, struct mk_bytes item, uint64_t now_ns);
void mk_ring_drop_oldest(struct mk_ring *r); /* there is one */
/** When the oldest was put; there is one. */
uint64_t mk_ring_oldest_ns(const struct mk_ring *r);
/** Encoded bytes from seq (oldest..next) to the end. */
uint64_t mk_ring_left(const struct mk_ring *r, uint64_t seq);
/** When seq (oldest..next - 1) was put. */
uint64_t mk_ring_put_ns(const struct mk_ring *r, uint64_t seq);
/** How many items from seq on, which is there, fit in bytes_max, items_max at most; one at
 * least, whatever its size. Their encoding in one part or two, lent until the ring changes. */
size_t mk_ring_slice(const struct mk_ring *r, uint64_t seq, size_t bytes_max, size_t items_max,
                     struct mk_bytes ret_parts[2]);

#endif
