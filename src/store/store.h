/* store.h - one log on disk for all groups of a process; snapshots beside it.
 *
 *   log/key            32 random bytes, folded into every checksum
 *   log/top            which segment is the newest
 *   log/000001.seg     slots: preallocated files, used again and again
 *   snap/<group>/<index>.snap
 *
 *   a slot:   [frame][frame][frame] ... zeros or an older life's bytes
 *   a frame:  one batch = everything appended while the write before was under way;
 *             written and synced at once, valid as a whole or not there
 *   a slot's first frame is a checkpoint: every group's term, vote, facts, snapshot
 *   reference and extent, and the slots that hold live entries. So a slot whose
 *   entries are all below their groups' first index can be used again.
 *
 * Everything appended in a turn of the loop goes out in one write at its end; while
 * one is in flight the next batch gathers. Each append returns a sequence number
 * (lsn); mk_store_wait() tells when everything up to one is durable.
 *
 * After a failed write nothing is known about the disk: the store is dead, every
 * call says MK_EIO, and the owner stops its members (they go on elsewhere).
 *
 * A frame cut short by a crash was never reported durable: it is cut off at opening.
 * A bad frame with a valid later one behind it is damage: the groups whose records it
 * spoiled say so (mk_store_damage), the others are whole; MK_ECORRUPT, with file and
 * offset, where that cannot be told. So that the last frame has one behind it, too, an
 * empty one is written when there was nothing to write for a moment. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/list.h"
#include <mosaik/error.h>
#include <mosaik/id.h>

struct mk_buf;
struct mk_env;
struct mk_store;
struct mk_store_group; /* a group's part; lives as long as the store */

#define MK_STORE_ENTRY_MAX ((1u << 20) + 4096) /* bytes of one entry */
#define MK_STORE_VALUE_MAX (256u << 10)        /* bytes of one fact or snapshot description */
#define MK_STORE_KEY_MAX 64u                   /* bytes of a fact's key */
#define MK_STORE_FACTS_MAX 4096u               /* facts of one group */
#define MK_STORE_GROUPS_MAX 65536u

/** Zero in a field means its default. */
struct mk_store_options {
    uint32_t segment_bytes; /* of a slot at most; default 4 MiB; the first are smaller */
    bool read_only;         /* nothing is written, the lock is not taken; appends: MK_EINVALID */
};

/** Takes the directory's lock, recovers, makes what it recovered durable (blocks).
 *
 * 0; MK_EINUSE: another process, or env, has the directory; MK_ECORRUPT, MK_EIO, MK_ENOSPACE
 * with the reason in reterr (which file, at which offset). */
int mk_store_open(struct mk_env *e, struct mk_store **ret, const struct mk_store_options *o,
                  struct mk_fault *reterr);

/** Puts a log that is damaged away, whole, into the folder "damaged" beside it, with why; the
 * directory then opens as a new one. Only while it is not open. For members whose committee
 * goes on without them: they begin as one that lost its disk. MK_EIO, MK_ENOSPACE. */
int mk_store_set_aside(struct mk_env *e, const char *why, struct mk_fault *reterr);
/** Why there is such a folder; MK_ENOTFOUND: there is none. */
int mk_store_aside(struct mk_env *e, struct mk_buf *ret_why);

/** Closes without waiting: what is in flight or gathered may be lost, and waits are
 * not called. cb (may be NULL) when the memory is gone: not before the write in
 * flight has ended. NULL is fine. */
void mk_store_close(struct mk_store *s, void (*cb)(void *arg), void *arg);

/** When the write that is under way began (mk_now()); 0: none is. A disk that hangs shows here. */
uint64_t mk_store_writing_ns(const struct mk_store *s);
/** For metrics: what went to the log since it was opened, and how long each write and sync took. */
#define MK_STORE_BUCKETS 12u
extern const uint32_t mk_store_bucket_us[MK_STORE_BUCKETS]; /* upper bounds, rising */
struct mk_store_stats {
    uint64_t frames, bytes;                      /* each frame one write and one sync */
    uint64_t sync_ns;                            /* of all together */
    uint64_t sync_buckets[MK_STORE_BUCKETS + 1]; /* by the first bound that holds; the last: none */
    size_t segments;
};
void mk_store_stats(const struct mk_store *s, struct mk_store_stats *ret);
/** 0, or why the store is dead. */
int mk_store_status(const struct mk_store *s);

/* --- groups and what was recovered ---------------------------------------------------- */

/** The group's part, made when it is new. */
struct mk_store_group *mk_store_group(struct mk_store *s, const struct mk_id *id);
/** Only when it is there already; else NULL. */
struct mk_store_group *mk_store_find(struct mk_store *s, const struct mk_id *id);

/** Why what is known of this group is not all that was durable once: bits have turned in its
 * records, file and place; "" when it is whole. Stays so across openings, until mk_store_remove():
 * the group must promise nothing, and begin anew from its other members. Its entries are not
 * recovered. Other groups are not concerned. */
const char *mk_store_damage(const struct mk_store_group *g);
/** What else of the group is found damaged (a snapshot): from now on mk_store_damage() says so.
 * *ret_lsn (may be NULL): when the next start does, too. */
int mk_store_set_damage(struct mk_store_group *g, uint64_t *ret_lsn, const char *why);

/** cb (NULL: not any more) when a scrub finds damage in the group's records (in_log) or in its
 * snapshot: a snapshot of the state in memory, with no entry kept below it, makes it good. */
void mk_store_on_damage(struct mk_store_group *g,
                        void (*cb)(void *arg, const char *why, bool in_log), void *arg);

/** As appended last, durable or not yet; after opening: as recovered. */
struct mk_store_state {
    uint64_t term;
    uint64_t vote;
    uint64_t first_index; /* of the entries kept; last_index + 1 when there are none */
    uint64_t last_index;
    uint64_t snapshot_index;  /* 0: none */
    struct mk_bytes snapshot; /* the description given with it; lent until the next one */
};
void mk_store_state(const struct mk_store_group *g, struct mk_store_state *ret);

struct mk_store_entry {
    uint64_t index;
    uint64_t term;
    uint8_t type; /* not 0; else the caller's business */
    struct mk_bytes bytes;
};
/** Recovered entries, first_index to last_index; lent for the call. They are held in
 * memory until mk_store_forget(). A cb that returns an error ends it. */
int mk_store_each_entry(struct mk_store_group *g,
                        int (*cb)(void *arg, const struct mk_store_entry *e), void *arg);
void mk_store_forget(struct mk_store_group *g);

/** A fact's value, lent until the key is put again. MK_ENOTFOUND. */
int mk_store_get(const struct mk_store_group *g, struct mk_bytes *ret, const char *key);

/* --- appending ------------------------------------------------------------------------- */
/* All: *ret_lsn may be NULL; bytes are copied. 0; MK_EIO: dead; MK_ELIMIT. */

/** Entry e. It must follow the last one, or lie within first_index..last_index: then it
 * and everything after it is replaced; or the group has no entries. MK_EINVALID
 * otherwise. */
int mk_store_append(struct mk_store_group *g, uint64_t *ret_lsn, const struct mk_store_entry *e);
int mk_store_set_term(struct mk_store_group *g, uint64_t *ret_lsn, uint64_t term, uint64_t vote);
/** n = 0 removes the fact. */
int mk_store_put(struct mk_store_group *g, uint64_t *ret_lsn, const char *key,
                 struct mk_bytes value);
/** From now on the group starts from the snapshot at index (its file must be durable;
 * see below), described by `description`. Entries below first_index are dropped.
 *
 *  first_index  at most index + 1; entries from it to the last stay. When the last is
 *               below index, or `void_log`, all go and the log begins at index + 1.
 *
 * When it is durable, older snapshot files of the group are removed. */
int mk_store_set_snapshot(struct mk_store_group *g, uint64_t *ret_lsn, uint64_t index,
                          struct mk_bytes description, uint64_t first_index, bool void_log);
/** Entries of one group that writes little would hold old slots for ever, and with them what
 * others wrote there. Once more than MK_STORE_SLOTS_FEW slots hold entries, cb is called, from the
 * loop, for groups whose entries hold the oldest: it may see to it that they go, by a snapshot
 * with hardly an entry behind it, and answers true then. `pressed`: there are more than
 * MK_STORE_SLOTS_MANY, so that groups that write all the time are to do it too, some of them at
 * each slot (a snapshot of each costs more than what it writes). arg is borrowed; cb NULL ends
 * it. */
#define MK_STORE_SLOTS_FEW 8u
#define MK_STORE_SLOTS_MANY 24u
void mk_store_on_behind(struct mk_store_group *g, bool (*cb)(void *arg, bool pressed), void *arg);
/** Forgets the group: entries, facts, snapshots. g stays valid, and empty. */
int mk_store_remove(struct mk_store_group *g, uint64_t *ret_lsn);

/** Wait until everything up to lsn is durable.
 *
 * Memory of the caller until cb. cb exactly once, never from inside this call: 0, or
 * MK_EIO/MK_ENOSPACE: the store died. Not called after mk_store_close(). */
struct mk_store_wait {
    void (*cb)(struct mk_store_wait *w, int status);
    uint64_t lsn; /* private from here on */
    struct mk_list node;
};
void mk_store_wait(struct mk_store *s, struct mk_store_wait *w, uint64_t lsn);
/** cb is not called any more. Safe on a zeroed or finished one. */
void mk_store_wait_cancel(struct mk_store_wait *w);
/** The highest lsn known durable. */
uint64_t mk_store_durable(const struct mk_store *s);
/** Bytes gathered and not yet durable: the owner's back-pressure. */
uint64_t mk_store_pending(const struct mk_store *s);

/* --- snapshots --------------------------------------------------------------------------- */
/* A file of chunks, then a table of their BLAKE3s, then an end that holds size and root, which
 * is the BLAKE3 of size and table: it names the content. So each chunk can be checked by itself,
 * wherever it comes from. Written in blocks off the loop, synced, renamed into place, its
 * directory synced. Writing one does not reference it: mk_store_set_snapshot() does. */

#define MK_SNAP_CHUNK (256u << 10) /* bytes of a chunk; the last may be shorter */
#define MK_SNAP_MAX (16ull << 30)  /* bytes of a snapshot */

struct mk_snap_info {
    uint64_t size;     /* bytes of content */
    struct mk_id hash; /* the root */
};

uint64_t mk_snap_chunks(uint64_t size);
struct mk_id mk_snap_root(uint64_t size, const struct mk_id *table);
/** Is this the chunk of that hash? */
bool mk_snap_is_chunk(struct mk_bytes chunk, const struct mk_id *hash);

struct mk_snap_writer;

/** Begins a file for the state at index; replaces one of that index. MK_EIO, ENOSPACE. */
int mk_snap_create(struct mk_store_group *g, struct mk_snap_writer **ret, uint64_t index);
/** The same for one that comes from elsewhere and may have come in part already: what is there
 * stays, across restarts, until the file is complete or another is begun (then this one goes).
 * *ret_there: chunks that may be there, each to be checked with mk_snap_kept() and put again: what
 * can be read need not be durable, after a sync that failed in an earlier process. */
int mk_snap_resume(struct mk_store_group *g, struct mk_snap_writer **ret, uint64_t *ret_there,
                   uint64_t index, uint64_t size);
/** Reads chunk i of what was there (n bytes of it) into out; blocks, and touches nothing that
 * the loop does, so a mk_work's run may call it. MK_ECORRUPT: it has another hash; MK_EIO. */
int mk_snap_kept(struct mk_snap_writer *w, struct mk_buf *out, uint64_t i, size_t n,
                 const struct mk_id *hash);
/** The next chunk, copied: MK_SNAP_CHUNK bytes but for the last. hash NULL: is computed. */
void mk_snap_put(struct mk_snap_writer *w, struct mk_bytes chunk, const struct mk_id *hash);
/** Bytes put and not yet on disk: the sender's back-pressure. */
uint64_t mk_snap_pending(const struct mk_snap_writer *w);
/** 0, or why it will fail. */
int mk_snap_status(const struct mk_snap_writer *w);
/** cb after each block that is durable (or failed), until it is finished; from the loop. */
void mk_snap_watch(struct mk_snap_writer *w, void (*cb)(void *arg), void *arg);
/** The content is complete. cb once, never from inside: the file is durable and in
 * place (0), or MK_EIO, MK_ENOSPACE, MK_ECORRUPT: content is not what `expect` (may
 * be NULL) says. w is gone when cb is called. */
void mk_snap_finish(struct mk_snap_writer *w, const struct mk_snap_info *expect,
                    void (*cb)(void *arg, int status, const struct mk_snap_info *info), void *arg);
/** Forgets it; no callback. What was resumed stays for the next time. Not after
 * mk_snap_finish(). */
void mk_snap_cancel(struct mk_snap_writer *w);

struct mk_snap_reader;

/** For serving it in pieces; its table is checked. MK_ENOTFOUND; MK_ECORRUPT, with file and
 * place in reterr (may be NULL). Lives on when the file is removed. */
int mk_snap_open(struct mk_store_group *g, struct mk_snap_reader **ret, struct mk_snap_info *info,
                 uint64_t index, struct mk_fault *reterr);
/** Appends chunk i to out, checked. Blocks; a mk_work's run may call it. MK_ECORRUPT, MK_EIO. */
int mk_snap_chunk(struct mk_snap_reader *r, struct mk_buf *out, uint64_t i);
const struct mk_id *mk_snap_table(const struct mk_snap_reader *r); /* lent */
/** "snap/.../....snap: a damaged chunk at offset N". Returns MK_ECORRUPT. */
int mk_snap_place(const struct mk_snap_reader *r, uint64_t i, struct mk_fault *reterr);
void mk_snap_close(struct mk_snap_reader *r); /* NULL is fine */
/** All chunks in order, each checked and lent; ends with cb's first error. MK_ENOTFOUND;
 * MK_ECORRUPT with file and place; MK_EIO; MK_ELIMIT: above max. */
int mk_snap_each(struct mk_store_group *g, uint64_t index, uint64_t max,
                 int (*cb)(void *arg, struct mk_bytes chunk, struct mk_fault *reterr), void *arg,
                 struct mk_fault *reterr);
/** The whole content; errors as above. */
int mk_snap_load(struct mk_store_group *g, struct mk_buf *out, uint64_t max, uint64_t index);

#endif /* STORE_STORE_H */
