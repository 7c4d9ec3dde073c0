/* log.h - the tail of the log in memory.
 *
 *   dropped | off ........ off + n | spare
 *             first        last
 *
 * Indices are contiguous. Dropping at the front moves off; the array is moved
 * together when the dropped part outgrows the rest. */
#ifndef CONSENSUS_LOG_H
#define CONSENSUS_LOG_H

#include "consensus/consensus.h"

struct mk_log {
    uint64_t first; /* index of the entry at off; where the next goes when n is 0 */
    struct mk_entry *e;
    size_t off, n, cap;
    uint64_t *changes; /* indices of the entries of type CHANGE, ascending */
    size_t n_changes, cap_changes;
};

void mk_log_done(struct mk_log *l);
/** Forgets everything; the next entry gets index first. */
void mk_log_reset(struct mk_log *l, uint64_t first);
uint64_t mk_log_last(const struct mk_log *l); /* first - 1 when empty */
/** NULL when it is not there; lent until the log changes. */
const struct mk_entry *mk_log_get(const struct mk_log *l, uint64_t index);
/** 0 when it is not there. */
uint64_t mk_log_term(const struct mk_log *l, uint64_t index);
/** Takes e's reference. */
void mk_log_append(struct mk_log *l, struct mk_entry e);
/** Removes index and everything after it. Returns the bytes that went. */
uint64_t mk_log_truncate(struct mk_log *l, uint64_t index);
/** Removes everything before index (at most to the end). */
void mk_log_drop_before(struct mk_log *l, uint64_t index);
/** The newest CHANGE at or before index, or 0. */
uint64_t mk_log_change_at(const struct mk_log *l, uint64_t index);
/** The oldest CHANGE after index, or 0. */
uint64_t mk_log_change_after(const struct mk_log *l, uint64_t index);

#endif /* CONSENSUS_LOG_H */
