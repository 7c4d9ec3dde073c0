/* sessions.h - the last answer of each (peer, session), so that a retry after an
 * unknown outcome gets the first answer and makes no second commit
 * (spec/committees.md, "Two steps of execute").
 *
 *   a session not known      number 0 or 1 begins it; anything else: unknown
 *   number above the last    a new command
 *   number the last          the first answer again
 *   number below the last    unknown: only the last answer is kept
 *
 * Decided from the log alone: kept in the order of last use, which is also the order
 * of machine time, so who is forgotten is the same on every member.
 *
 * Machine time stands still while nobody reads. What was used since it last moved may have been
 * used just now, so it ages from when time goes on.
 *
 * A retry of number 1 after its session was forgotten would be a new command. So a session is
 * kept an hour, and one peer's flood of sessions forgets that peer's: above the limits the
 * writer loses its own oldest while it has more than its share of them. */
#ifndef GROUP_SESSIONS_H
#define GROUP_SESSIONS_H

#include "base/list.h"
#include "group/table.h"
#include <mosaik/datum.h>

#define MK_SESSIONS_BYTES_MAX                                           \
    (64u << 20) /* of kept answers; above it the least recently used go \
                 */

struct mk_session {
    struct mk_table_node node;
    struct mk_list order;
    struct mk_session_peer *owner;
    struct mk_list of_peer;
    struct mk_peer peer;
    uint64_t id;
    uint64_t number;  /* of the last command */
    uint64_t used_ms; /* machine time of it */
    uint32_t n, cap;
    uint8_t *outcome; /* pc(Outcome) */
};

/** All sessions of one peer. */
struct mk_session_peer {
    struct mk_table_node node;
    struct mk_peer peer;
    struct mk_list order; /* least recently used first */
    size_t n, bytes;
};

struct mk_sessions {
    struct mk_table table, peers;
    struct mk_list order; /* least recently used first */
    size_t bytes;
};

enum mk_session_verdict { MK_SESSION_NEW, MK_SESSION_REPEATED, MK_SESSION_UNKNOWN };

void mk_sessions_init(struct mk_sessions *s, uint64_t seed);
void mk_sessions_done(struct mk_sessions *s);
/** What (peer, session, number) is; *ret_outcome (lent) when repeated. */
enum mk_session_verdict mk_sessions_look(const struct mk_sessions *s, const struct mk_peer *peer,
                                         uint64_t session, uint64_t number,
                                         struct mk_bytes *ret_outcome);
/** Keeps the answer of a NEW command. Copied. */
void mk_sessions_keep(struct mk_sessions *s, const struct mk_peer *peer, uint64_t session,
                      uint64_t number, uint64_t now_ms, struct mk_bytes outcome);
/** Forgets the least recently used above the limits, never the one just kept. fair: of a peer that
 * has more than its share first (base/protocol.h, MK_PROTOCOL_SESSIONS). */
void mk_sessions_trim(struct mk_sessions *s, bool fair);
/** Machine time is no longer was_ms: those used while it was are as if used at used_ms. That is
 * below the present one, so that the next call does not take them for used since. */
void mk_sessions_age(struct mk_sessions *s, uint64_t was_ms, uint64_t used_ms);
/** Forgets those not used since an hour of machine time. */
void mk_sessions_expire(struct mk_sessions *s, uint64_t now_ms);

void mk_sessions_snapshot(const struct mk_sessions *s, struct mk_buf *out);
/** Into an empty one. False when the bytes are malformed. */
bool mk_sessions_restore(struct mk_sessions *s, struct mk_reader *in);

#endif
