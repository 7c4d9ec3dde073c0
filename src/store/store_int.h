/* store_int.h - inside the store.
 *
 *   frame.c    one batch on disk            record.c  what is in it
 *   state.c    what the log says, in memory
 *   slot.c     files: which are live, which may be used again, making new ones
 *   begin.c    opening for the first time
 *   recover.c  opening: from files to state
 *   top.c      which segment is the newest
 *   append.c   from calls to records, batches, waits
 *   store.c    opening, closing, what was recovered
 *   scrub.c    reading what nobody reads
 *   snap.c     writing snapshot files      snap_read.c  reading and removing them
 *
 * A slot's life:
 *
 *     absent -> preparing -> spare -> current -> live -> spare ...
 *               (zeros)      (next)   (tail)     (holds live entries) */
#ifndef STORE_STORE_INT_H
#define STORE_STORE_INT_H

#include "env/env.h"
#include "store/frame.h"
#include "store/state.h"

#define MK_SLOT_FIRST (1u << 20) /* bytes of the first slot; each next is twice as large */
#define MK_SLOT_CHUNK (1u << 20) /* zeros are written so many at a time */
#define MK_SLOT_SPARES 6u        /* kept: what a snapshot frees; more are removed */

/** The highest index of a group in a slot. */
struct mk_extent {
    uint32_t group;
    uint64_t last;
};

enum mk_slot_use { MK_SLOT_SPARE, MK_SLOT_LIVE, MK_SLOT_CURRENT };

struct mk_slot {
    uint32_t file; /* log/<file>.seg */
    enum mk_slot_use use;
    uint64_t segment; /* 0: never used */
    uint64_t size;
    uint64_t end; /* of the last frame */
    bool listed;  /* by the newest checkpoint: it holds live entries */
    struct mk_extent *extents;
    size_t n_extents, cap_extents;
};

/** The newest segment, as noted; 0: none is. */
struct mk_top {
    uint64_t segment;
    uint32_t file;
};
#define MK_TOP_BYTES 1024u

struct mk_store {
    struct mk_env *env;
    bool read_only, closing;
    uint32_t segment_bytes;
    int status; /* why it is dead, or 0 */
    uint8_t key[MK_FRAME_KEY];
    struct mk_stored state;

    struct mk_slot *slots;
    size_t n_slots, cap_slots;
    uint32_t next_file;
    uint64_t segment;     /* of the current slot */
    uint64_t frame;       /* number of the next frame */
    struct mk_file *file; /* of the current slot */

    /* the batch */
    struct mk_buf gather; /* runs of records, behind room for a frame's header */
    size_t gather_run;    /* where the last one begins */
    uint64_t batch;       /* number of the one that is gathered */
    struct mk_buf flight; /* the frame being written */
    struct mk_write_sync write;
    bool writing;
    uint64_t write_ns;    /* when it began */
    bool sealed, sealing; /* the last frame is an empty one; the one in flight is */
    struct mk_timer seal_timer;
    struct mk_store_stats stats;
    struct mk_file *old_file; /* the slot before, closed when the rotation is durable */
    bool rotating;            /* the frame in flight begins a slot */
    struct mk_file *top_file;
    struct mk_write_sync top_write; /* ... which is noted before it counts as written */
    uint8_t top[MK_TOP_BYTES / 2];
    uint64_t lsn, flight_lsn, durable;
    struct mk_task flush_task, ready_task;
    /* struct mk_store_wait: to be told, for the frame in flight, for what is gathered */
    struct mk_list told, flying, later;
    struct mk_list sweeps; /* struct mk_sweep: snapshot files to remove */

    /* preparing a slot */
    bool preparing;
    uint32_t prep_number;
    uint64_t prep_size, prep_done;
    struct mk_file *prep_file;
    struct mk_write_sync prep;
    uint8_t *zeros;

    bool rotate_now; /* the current slot is damaged */
    struct mk_scrub *scrub;

    void (*close_cb)(void *arg);
    void *close_arg;
};

/** Older snapshot files of a group go when the newer reference is durable. */
struct mk_sweep {
    struct mk_list node;
    struct mk_id group;
    uint64_t below; /* UINT64_MAX: all */
    uint64_t lsn;
};

/* slot.c */
void mk_slot_path(char out[32], uint32_t file);
struct mk_slot *mk_slot_add(struct mk_store *s, uint32_t file, uint64_t size);
struct mk_slot *mk_slot_current(struct mk_store *s);
/** Notes that a group's entry lies in the slot. */
void mk_slot_note(struct mk_slot *slot, struct mk_store_group *g, uint64_t index);
bool mk_slot_needed(const struct mk_store *s, const struct mk_slot *slot);
/** A spare of at least size bytes; NULL: none. */
struct mk_slot *mk_slot_spare(struct mk_store *s, uint64_t size);
/** Sees to it that there will be a spare of at least size bytes. */
void mk_slot_prepare(struct mk_store *s, uint64_t size);
/** Bytes that the next new slot should have, at least `size`. */
uint64_t mk_slot_next_size(const struct mk_store *s, uint64_t size);
/** Removes spares above the limit. */
void mk_slot_trim(struct mk_store *s);
void mk_slots_done(struct mk_store *s);
/** Tells groups whose entries hold the oldest slot, when there are too many. */
void mk_slot_tell_behind(struct mk_store *s);

/* begin.c */
#define MK_STORE_KEY_PATH "log/key"
/** There is no key: makes key and first slot, durable; MK_ECORRUPT: the log was in use. */
int mk_begin(struct mk_store *s, struct mk_fault *reterr);

/* top.c */
/** Whose the store's own facts are: no group's id, which are hashes. */
extern const struct mk_id mk_top_own;
/** 0 with *ret zero where there is no such file. MK_ECORRUPT; MK_EIO. */
int mk_top_read(struct mk_store *s, struct mk_top *ret, struct mk_fault *reterr);
/** MK_ECORRUPT when the segment that was found newest (s->segment) is older than that, or there is
 * no note where the log says that it had one. */
int mk_top_check(struct mk_store *s, const struct mk_top *top, struct mk_fault *reterr);
/** Notes the segment that this opening goes on with, which is durable; blocks. */
int mk_top_open(struct mk_store *s);
/** The log says from now on that there is a note. */
void mk_top_opened(struct mk_store *s);
/** Notes the current segment; cb when that is durable, or has failed. */
void mk_top_write(struct mk_store *s, void (*cb)(struct mk_write_sync *w, int status));

/* recover.c */
int mk_recover(struct mk_store *s, struct mk_fault *reterr);

/* append.c */
void mk_append_init(struct mk_store *s);
void mk_append_done(struct mk_store *s);
void mk_append_opened(struct mk_store *s);
/** The store is dead from now on; everybody who waits is told. */
void mk_store_die(struct mk_store *s, int status);
/** Something changed that a flush may have waited for. */
void mk_append_wake(struct mk_store *s);
/** A slot's first frame, unsealed: the whole state, then what is gathered. */
void mk_append_checkpoint(struct mk_store *s, struct mk_buf *out);

/* snap.c, snap_read.c */
void mk_snap_path(char out[128], const struct mk_id *group, uint64_t index, const char *ext);
/** Removes what no group refers to. */
int mk_snap_clean(struct mk_store *s);
void mk_snap_sweep(struct mk_store *s, const struct mk_id *group, uint64_t below);
/** Removes what was fetched in part, but for that of the index. */
void mk_snap_sweep_parts(struct mk_store *s, const struct mk_id *group, uint64_t keep);

/* scrub.c */
void mk_scrub_open(struct mk_store *s);
void mk_scrub_close(struct mk_store *s);

/* store.c */
/** Frees s when nothing is in flight any more and it is closing. */
void mk_store_closed(struct mk_store *s);

#endif /* STORE_STORE_INT_H */
