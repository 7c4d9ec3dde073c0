/* wire.h - the messages between members of a group, and their bytes.
 *
 * Little-endian, fixed widths; a decoder takes every byte or refuses:
 *
 *   message        u8 kind, u64 term, then
 *   APPEND         u64 prev_index, u64 prev_term, u64 commit, u32 n,
 *                  n times { u64 term, u8 type, u32 len, bytes }
 *   APPEND_RESULT  u64 rejected, u64 last_index
 *   VOTE           u64 last_index, u64 last_term, u8 flags (1 disrupt, 2 pre-vote)
 *   VOTE_RESULT    u8 flags (1 granted, 2 pre-vote)
 *   INSTALL        a snapshot description, as the store keeps it
 *   TIMEOUT_NOW    u64 last_index, u64 last_term
 *   PING           u64 round (a linearizable read asks who still follows), u32 ms of the
 *                  promise that is asked for, 0: none
 *   PONG           u64 round, u8 flags (1 promised)
 *
 *   QUIET          u64 last_index, u64 last_term, u64 round (quiet.c)
 *   QUIET_ACK      u64 round
 *   WAKE
 *
 *   configuration  u8 1, u8 n, n times { u64 id, u8 role }, sorted by id
 *   snapshot       u8 1, u64 index, u64 term, u64 configuration_index,
 *                  u8 len, handle, configuration
 *
 * Sender and receiver are the link's business, not the message's. */
#ifndef CONSENSUS_WIRE_H
#define CONSENSUS_WIRE_H

#include "consensus/log.h"

enum mk_message_kind {
    MK_MSG_APPEND = 1,
    MK_MSG_APPEND_RESULT = 2,
    MK_MSG_VOTE = 3,
    MK_MSG_VOTE_RESULT = 4,
    MK_MSG_INSTALL = 5,
    MK_MSG_TIMEOUT_NOW = 6,
    MK_MSG_PING = 7,
    MK_MSG_PONG = 8,
    MK_MSG_QUIET = 9, /* these three only between members that say they know them */
    MK_MSG_QUIET_ACK = 10,
    MK_MSG_WAKE = 11,
};

/** Terms and indices of messages stay below this: sums of them cannot overflow. */
#define MK_CONSENSUS_NUMBER_MAX (1ull << 62)

struct mk_message {
    uint64_t peer; /* to whom, or from whom */
    enum mk_message_kind kind;
    uint64_t term;
    uint64_t index; /* APPEND: prev; APPEND_RESULT, VOTE, TIMEOUT_NOW, QUIET: last */
    uint64_t index_term;
    uint64_t commit;                   /* APPEND */
    uint64_t rejected;                 /* APPEND_RESULT */
    uint64_t round;                    /* PING, PONG, QUIET, QUIET_ACK */
    uint32_t lease_ms;                 /* PING */
    uint32_t n;                        /* APPEND: entries */
    bool promised;                     /* PONG */
    bool granted;                      /* VOTE_RESULT */
    bool disrupt;                      /* VOTE */
    bool pre_vote;                     /* VOTE, VOTE_RESULT */
    struct mk_entry *entries;          /* APPEND, decoded; NULL in one to be sent */
    struct mk_snapshot_meta *snapshot; /* INSTALL */
};

/** Appends m's bytes; the entries of an APPEND come from log, which must hold them. */
void mk_message_encode(const struct mk_message *m, const struct mk_log *log, struct mk_buf *out);
/** Strict; *ret owns entries and snapshot afterwards: mk_message_done(). Every term is
 * in 1..NUMBER_MAX, entries' terms do not go down and do not exceed the message's.
 * MK_EMALFORMED. */
int mk_message_decode(struct mk_message *ret, struct mk_bytes b);
void mk_message_done(struct mk_message *m);

#endif /* CONSENSUS_WIRE_H */
