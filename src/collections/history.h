/* history.h - the retained commits of one surface, oldest first, in a ring that
 * grows to the surface's declared limits and then loses its oldest. */
#ifndef COLLECTIONS_HISTORY_H
#define COLLECTIONS_HISTORY_H

#include <mosaik/id.h>

#define MK_RETAIN_COMMITS 65536u /* where a surface declares 0 */
#define MK_RETAIN_BYTES (16u << 20)

struct mk_past {
    struct mk_id hash; /* of the commit */
    uint8_t *payload;
    uint32_t n_payload;
    bool marker;    /* its digest is the retirement marker's */
    uint64_t at_ms; /* machine time when it came here, at the latest */
};

struct mk_history {
    struct mk_id before; /* commit hash that the oldest one continues */
    struct mk_past *ring;
    size_t cap;   /* a power of two, or 0 */
    size_t start; /* of the oldest */
    size_t n;
    size_t bytes; /* of payloads */
    /* What machines see: the declared window, the same at every member. */
    size_t commits_max, bytes_max;
    size_t n_window, window_bytes;
    /* What is kept: never less; see mosaik/retention.h. */
    size_t keep_commits, keep_bytes;
    uint64_t keep_ms;
    const uint64_t *clock; /* machine time; NULL: always 0 */
    bool cut;              /* bytes made it let go of what it was to keep */
    bool filling;          /* from a snapshot, whose history may be longer than ours */
    unsigned frozen;       /* copies that are not thawed yet */
    uint8_t **grave;       /* payloads that were dropped since, and that they may hold */
    size_t n_grave, cap_grave;
};

/** What a history was at one moment: a snapshot reads it while the history goes on. */
struct mk_history_copy {
    struct mk_history *of;
    struct mk_id before;
    struct mk_past *v; /* oldest first */
    size_t n;
};

/** before: the commit hash that the first push continues. */
struct mk_history *mk_history_new(const struct mk_id *before, uint32_t commits_max,
                                  uint32_t bytes_max);
void mk_history_free(struct mk_history *h);
/** Copies the payload. Drops the oldest where a limit is passed, but never the one pushed. */
void mk_history_push(struct mk_history *h, const struct mk_id *hash, struct mk_bytes payload,
                     bool marker);
/** More is to be kept than declared: the greater of each counts. */
void mk_history_keep(struct mk_history *h, size_t commits, uint64_t ms, size_t bytes,
                     const uint64_t *clock);
/** Machine time was was_ms and has gone on: what came while it was is as if of to_ms. */
void mk_history_age(struct mk_history *h, uint64_t was_ms, uint64_t to_ms);
/** i from 0, the oldest; lent until the next push. */
const struct mk_past *mk_history_at(const struct mk_history *h, size_t i);
/** Nothing is retained any more; the next push continues `before`. */
void mk_history_reset(struct mk_history *h, const struct mk_id *before);

/** O(commits), of 48 bytes each: payloads are not copied. May be read on another thread. */
void mk_history_freeze(struct mk_history *h, struct mk_history_copy *ret);
/** Before the history is freed. Safe on a zeroed one. */
void mk_history_thaw(struct mk_history_copy *c);

#endif
