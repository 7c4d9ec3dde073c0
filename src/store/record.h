/* record.h - what frames carry: records, one after the other.
 *
 *   u8 kind, u32 group (a number of this log's; 0 where there is none), then
 *
 *   GROUP     32 bytes: the id that the number stands for
 *   TERM      u64 term, u64 vote
 *   ENTRY     u64 index, u64 term, u8 type, u32 len, bytes
 *   FACT      u8 len, key, u32 len, value; an empty value removes it
 *   SNAPSHOT  u64 index, u64 first, u8 void (2: in a checkpoint), u32 len, description
 *   REMOVE
 *   EXTENT    u64 first, u64 last: entries outside are gone (checkpoints only)
 *   BEGIN     a checkpoint: what metadata was known before is void
 *   SLOT      u64 segment, u64 end: this segment holds live entries up to its end
 *   END       of the checkpoint: groups that it did not name are gone */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include <mosaik/id.h>

enum mk_record_kind {
    MK_REC_GROUP = 1,
    MK_REC_TERM = 2,
    MK_REC_ENTRY = 3,
    MK_REC_FACT = 4,
    MK_REC_SNAPSHOT = 5,
    MK_REC_REMOVE = 6,
    MK_REC_EXTENT = 7,
    MK_REC_BEGIN = 8,
    MK_REC_SLOT = 9,
    MK_REC_END = 10,
};

#define MK_REC_SNAPSHOT_KNOWN 2

/** One record; which fields count depends on the kind. */
struct mk_record {
    enum mk_record_kind kind;
    uint32_t group;
    struct mk_id id;       /* GROUP */
    uint64_t index;        /* ENTRY, SNAPSHOT; EXTENT: last; SLOT: segment */
    uint64_t term;         /* TERM, ENTRY */
    uint64_t vote;         /* TERM */
    uint64_t first;        /* SNAPSHOT, EXTENT; SLOT: end */
    uint8_t type;          /* ENTRY; SNAPSHOT: void */
    struct mk_bytes key;   /* FACT */
    struct mk_bytes bytes; /* ENTRY, FACT, SNAPSHOT; lent */
};

void mk_record_put(struct mk_buf *out, const struct mk_record *r);
/** Takes the next record off *b. False when *b is empty (then b->n is 0) or bad. */
bool mk_record_take(struct mk_record *ret, struct mk_bytes *b);

#endif /* STORE_RECORD_H */
