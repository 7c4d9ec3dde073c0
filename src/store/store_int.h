/* store_int.h - what the files of the store share.
 *
 *   store.c    groups, appending, waiting: what is in memory   frame.c    a frame's bytes
 *   slots.c    the files: writing, rotating, preparing spares  recover.c  from files to memory
 *   records.c  what a frame holds                              snap.c     snapshot files */
#ifndef STORE_STORE_INT_H
#define STORE_STORE_INT_H

#include "base/assert.h"
#include "env/env.h"
#include "store/store.h"
#include <mosaik/datum.h>

#include <stdio.h>
#include <string.h>

#define MK_SLOT_FIRST (1u << 20)  /* bytes of the first two slots: a small store stays small */
#define MK_SLOT_BYTES (16u << 20) /* of the later ones */
#define MK_SLOT_FILL (1u << 20)   /* bytes of zeros written at once into a spare */
#define MK_FRAME_HEADER 40u
#define MK_FRAME_MAX (8u << 20) /* bytes of one frame's records, but for one larger record */

/* --- frames ------------------------------------------------------------------------- */

/** u32le magic, u32le length, u64le life, u64le sequence, 16 bytes of checksum, the records. */
struct mk_frame {
    uint64_t life;     /* of the slot, when it was written */
    uint64_t sequence; /* of all frames of the store */
    struct mk_bytes records;
};
/** Appends a frame to out. */
void mk_frame_put(struct mk_buf *out, const uint8_t key[32], const struct mk_frame *f);
/** The frame at the beginning of b; false when there is no whole, right one. */
bool mk_frame_get(struct mk_frame *ret, const uint8_t key[32], struct mk_bytes b);
/** The offset of a right frame of this life with a sequence above `after` at or behind from;
 * SIZE_MAX: none. */
size_t mk_frame_find(const uint8_t key[32], struct mk_bytes b, size_t from, uint64_t life,
                     uint64_t after);

/* --- in memory ------------------------------------------------------------------------ */

struct mk_fact {
    struct mk_list node; /* sorted by key */
    char key[MK_STORE_KEY_MAX + 1];
    uint8_t *value;
    size_t n;
};

/** Entries from `from` on, up to the next run's, were written in this life. */
struct mk_run {
    uint64_t from, life;
};

struct mk_kept {
    uint64_t term;
    uint8_t type;
    uint32_t n;
    uint8_t *bytes; /* NULL: in a slot that is gone (while recovering) */
};

struct mk_store_group {
    struct mk_store *store;
    struct mk_id id;
    uint64_t number;
    uint64_t term, vote;
    uint64_t first, last; /* first = last + 1: no entries */
    uint64_t snapshot;
    struct mk_buf description;
    struct mk_list facts;
    unsigned n_facts;
    struct mk_run *runs; /* ascending; covers first..last */
    size_t n_runs, cap_runs;
    struct mk_kept *kept; /* recovered entries: first..last; NULL when forgotten */
    size_t n_kept, cap_kept;
    bool keeping;
    uint64_t prune_lsn, prune_below; /* snapshot files below go when this lsn is durable */
};

struct mk_slot {
    unsigned number; /* of its file */
    uint64_t life;   /* 0: free */
    uint64_t size;
};

struct mk_store {
    struct mk_env *env;
    bool read_only;
    uint32_t slot_bytes;
    uint8_t key[32];
    struct mk_store_group **groups; /* by number */
    size_t n_groups, cap_groups;

    struct mk_slot *slots;
    size_t n_slots, cap_slots;
    struct mk_file *file; /* of the slot being written */
    unsigned current;     /* index into slots */
    uint64_t at, size;
    uint64_t life, sequence; /* newest life; last sequence used */
    uint64_t keep_life;      /* slots of a life below it are free: a durable checkpoint said so */
    uint64_t keep_next;      /* what the checkpoint in flight says */

    struct mk_buf gathered; /* records */
    uint64_t lsn, flying_lsn, durable;
    struct mk_buf out; /* the write in flight */
    bool flying;
    struct mk_write_sync write;
    struct mk_task flush;
    struct mk_task tell;
    struct mk_list waits;
    int status;

    struct mk_file *spare; /* being filled with zeros */
    uint64_t spare_at, spare_size;
    unsigned spare_number;
    bool spare_flying, spare_ready;
    struct mk_write_sync spare_write;

    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

struct mk_store_group *mk_store_group_new(struct mk_store *s, const struct mk_id *id);
struct mk_fact *mk_fact_find(const struct mk_store_group *g, const char *key);
void mk_fact_put(struct mk_store_group *g, const char *key, struct mk_bytes value);
/** Entry at index in this life: what stands at or above it goes. */
void mk_group_entry(struct mk_store_group *g, uint64_t index, uint64_t life);
void mk_group_snapshot(struct mk_store_group *g, uint64_t index, struct mk_bytes description,
                       uint64_t first, bool void_log);
void mk_group_clear(struct mk_store_group *g);
void mk_group_forget(struct mk_store_group *g);
/** The least life that still holds a live entry. */
uint64_t mk_store_live(const struct mk_store *s);
void mk_store_fail(struct mk_store *s, int status);
void mk_store_written(struct mk_store *s); /* the write in flight is durable */
void mk_store_maybe_free(struct mk_store *s);

/* --- records ------------------------------------------------------------------------------ */

enum mk_record_kind {
    MK_RECORD_GROUP = 1,      /* number, id */
    MK_RECORD_ENTRY = 2,      /* number, index, term, type, n, bytes */
    MK_RECORD_TERM = 3,       /* number, term, vote */
    MK_RECORD_FACT = 4,       /* number, key n, key, n, value */
    MK_RECORD_SNAPSHOT = 5,   /* number, index, first, void, n, description */
    MK_RECORD_REMOVE = 6,     /* number */
    MK_RECORD_CHECKPOINT = 7, /* keep life, n; n bytes: the groups as they are */
    MK_RECORD_EXTENT = 8,     /* number, snapshot, first, last, n, description */
};
void mk_record_group(struct mk_buf *b, const struct mk_store_group *g);
void mk_record_term(struct mk_buf *b, const struct mk_store_group *g);
void mk_record_fact(struct mk_buf *b, const struct mk_store_group *g, const char *key,
                    struct mk_bytes v);
void mk_record_checkpoint(struct mk_buf *b, const struct mk_store *s, uint64_t keep_life);
/** Applies a frame's records to memory; a checkpoint's groups only from the oldest slot.
 * MK_ECORRUPT. */
int mk_records_apply(struct mk_store *s, struct mk_bytes records, uint64_t life, bool oldest,
                     uint64_t *ret_keep_life);

/* --- slots ---------------------------------------------------------------------------------- */

void mk_slot_path(char out[32], unsigned number);
/** A new life in a free, spare or new slot, current from now on. Blocks only when no spare is
 * ready. */
int mk_slots_rotate(struct mk_store *s, uint64_t bytes_wanted);
void mk_slots_write(struct mk_store *s); /* what is gathered, when nothing is in flight */
void mk_slots_close(struct mk_store *s);
struct mk_slot *mk_slots_add(struct mk_store *s, unsigned number, uint64_t life, uint64_t size);
int mk_slot_create(struct mk_store *s, unsigned number, uint64_t size);
extern const char MK_STORE_KEY_FILE[]; /* "log/key" */

int mk_store_recover(struct mk_store *s, struct mk_fault *reterr);
/** Removes the group's snapshot files but the one it stands on. */
void mk_snap_prune(struct mk_store_group *g, uint64_t keep);

#endif
