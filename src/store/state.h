/* state.h - what the log says, in memory: groups, their facts, extents, and (after a
 * recovery, until forgotten) their entries.
 *
 * The same function applies a record when it is appended and when it is read back. */
#ifndef STORE_STATE_H
#define STORE_STATE_H

#include "store/record.h"
#include "store/store.h"

struct mk_fact {
    char key[MK_STORE_KEY_MAX + 1];
    struct mk_buf value;
};

/** A recovered entry. */
struct mk_kept {
    uint64_t term;
    uint8_t *p;
    uint32_t n;
    uint8_t type;
};

struct mk_store_group {
    struct mk_store *store;
    struct mk_id id;
    uint32_t number; /* 0: the log does not know it */
    uint64_t term, vote;
    uint64_t first, last; /* entries first..last; first = last + 1: none */
    /* As they were before the batch that is gathered (its number), if that touches them: a
     * checkpoint stands before its batch, and replaying the batch must begin there. */
    uint64_t batch, before_first, before_last;
    uint64_t dropped; /* entries below it are gone because somebody said so */
    uint64_t snap_index;
    struct mk_buf snap;
    struct mk_fact *facts; /* sorted by key */
    size_t n_facts, cap_facts;
    struct mk_kept *kept; /* of kept_first .. kept_first + n_kept - 1 */
    uint64_t kept_first;
    size_t n_kept, cap_kept;
    void (*damaged)(void *arg, const char *why, bool in_log); /* NULL: nobody asks */
    void *damaged_arg;
    char damage[160];                        /* "": what was recovered of it is whole */
    bool named;                              /* by the checkpoint that is being read */
    bool (*behind)(void *arg, bool pressed); /* its entries hold the oldest slot; may be NULL */
    void *behind_arg;
    uint64_t slot; /* segment and position of this group's extent in its slot */
    size_t slot_at;
};

/** Every group there ever was a handle for. */
struct mk_stored {
    struct mk_store_group **groups;
    size_t n, cap;
    uint32_t *slots;                   /* by id: 1 + which of groups, 0: free */
    size_t n_slots;                    /* a power of two, or 0 */
    struct mk_store_group **by_number; /* NULL: gone */
    size_t n_numbers, cap_numbers;
    uint64_t *floor; /* recovery: entries of number i below floor[i] need not be kept */
    size_t n_floor;
};

void mk_stored_done(struct mk_stored *s);
struct mk_store_group *mk_stored_find(struct mk_stored *s, const struct mk_id *id);
struct mk_store_group *mk_stored_add(struct mk_stored *s, const struct mk_id *id);
/** Gives g the next number. */
uint32_t mk_stored_number(struct mk_stored *s, struct mk_store_group *g);
/** Applies a record; keep: hold the bytes of entries. MK_ECORRUPT: it makes no sense. */
int mk_stored_apply(struct mk_stored *s, const struct mk_record *r, bool keep);
/** Writes everything but entries and slots as the records of a checkpoint, without
 * BEGIN and END; extents as before the batch. */
void mk_stored_write(const struct mk_stored *s, struct mk_buf *out, size_t *at_run, uint64_t batch);
const struct mk_fact *mk_stored_fact(const struct mk_store_group *g, const char *key, size_t n);
void mk_stored_forget(struct mk_store_group *g);

#endif /* STORE_STATE_H */
