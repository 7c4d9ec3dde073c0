/* batch.h - a Batch, written from the ring and read where it lies: the one message that comes
 * often. The form is wire.h's; the fuzz target "batch" holds both against the codec. */
#ifndef STREAMS_BATCH_H
#define STREAMS_BATCH_H

#include "streams/wire.h"

#define MK_BATCH_HEAD_MAX 32u

/** What stands before the items. Returns its length. */
size_t mk_batch_head(uint8_t out[MK_BATCH_HEAD_MAX], uint64_t first, uint64_t newest, size_t n);

struct mk_batch {
    uint64_t first, newest;
    size_t n;
    struct mk_reader items; /* what mk_batch_next() has not given yet */
};
/** Checks all of m. 0; MK_ENOTFOUND: another kind of message; MK_EMALFORMED. */
int mk_batch_read(struct mk_batch *ret, struct mk_bytes m);
/** The next of its n items, lent from m. */
struct mk_bytes mk_batch_next(struct mk_batch *b);

#endif
