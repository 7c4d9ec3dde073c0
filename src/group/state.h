/* state.h - everything a group decides from its log alone: the machine, its surfaces,
 * the sessions, machine time, the founding (spec/committees.md). Pure: the same log
 * gives the same state on every member, and in a replay without any group.
 *
 *   entry --decode--> Genesis   founding, founded()
 *                     Advance   a peer's time; the lower median is the machine's
 *                     Execute   session look-up, machine's apply, commits, answer
 *                     Seat, Propose, Changed   who is of the committee (rosters.c)
 *                     Level     the protocol that the group works at from here on
 *                     Check     all members take the hash of their state here
 *
 * An entry that is malformed or refused changes nothing but, for a command, its
 * session. */
#ifndef GROUP_STATE_H
#define GROUP_STATE_H

#include "collections/surface.h"
#include "group/sessions.h"
#include "group/wire.h"

struct mk_state;

#define MK_HEAD_RENEW_MS 5000u /* machine time after which an unchanged head is signed again */
#define MK_COMMITS_MAX 1024u   /* commits of one command that its outcome names */

/** A pointer of a command: was it resolved, and if not, why. */
struct mk_cited {
    struct mk_evidence_pointer pointer;
    bool resolved;
    char why[96];
};

struct mk_state_options {
    struct mk_id deployment, stable_id;
    const struct mk_roster *roster; /* the first one; copied */
    struct mk_machine *machine;     /* taken */
    uint64_t seed;                  /* of the tables' hash; changes nothing that is decided */
    uint16_t newest;                /* protocol that is known; 0: this build's */
    struct mk_retention retain;     /* more than declared; changes nothing that is decided either */
};
struct mk_state *mk_state_new(const struct mk_state_options *o);
void mk_state_free(struct mk_state *s); /* NULL is fine */

/** What one entry did. Lent until the next apply. */
struct mk_applied {
    enum mk_logged_tag kind;
    bool refused;          /* malformed, or refused by a rule of the group itself */
    bool repeated;         /* a command applied before: its first answer */
    struct mk_peer sender; /* Execute: whose, which, */
    uint64_t session, number;
    struct mk_bytes outcome; /* and pc(Outcome) */
    uint64_t changed;        /* bit i: surface i has new commits */
    uint64_t heads;          /* bit i: the entry is marked, and surface i's head is to be signed */
    bool advanced;           /* machine time moved */
    bool membership;         /* seats or roster are others now */
    bool epoch;              /* a new epoch began */
    bool certified_change;   /* the present epoch's change has its signatures */
    const struct mk_cited *cited; /* Execute: the pointers that it rests on */
    unsigned n_cited;
    uint16_t beyond; /* not 0: the group goes on at this protocol, which is not known here:
                      * the state must be used no more */
    bool check;      /* the hash of the state is wanted */
    uint64_t nonce;  /* ... under this number */
};

/** Applies the entry at index (above the last one): a frame byte and pc(Logged). */
void mk_state_apply(struct mk_state *s, uint64_t index, struct mk_bytes entry,
                    struct mk_applied *ret);
/** An entry that is nothing to the machine (a configuration, a barrier). */
void mk_state_skip(struct mk_state *s, uint64_t index);

/** What the session knows of a command before it is proposed; see sessions.h. */
enum mk_session_verdict mk_state_look(const struct mk_state *s, const struct mk_peer *sender,
                                      uint64_t session, uint64_t number,
                                      struct mk_bytes *ret_outcome);

uint64_t mk_state_index(const struct mk_state *s); /* last applied */
uint64_t mk_state_time_ms(const struct mk_state *s);
uint16_t mk_state_level(const struct mk_state *s); /* the protocol it works at (base/protocol.h) */
/** The last Advance of a peer of the roster, or 0. */
uint64_t mk_state_last_ms(const struct mk_state *s, const struct mk_peer *peer);
uint64_t mk_state_waits_for(const struct mk_state *s); /* machine time; UINT64_MAX: none */
const struct mk_roster *mk_state_roster(const struct mk_state *s);
/** The Raft id of a roster peer; 0: none, or not of the roster. */
uint64_t mk_state_seat(const struct mk_state *s, const struct mk_peer *peer);
/** Index of the last entry that changed seats or roster. */
uint64_t mk_state_membership_index(const struct mk_state *s);
/** The change under way, without its signatures, and the roster before it; NULL: none is. */
const struct mk_roster_change *mk_state_draft(const struct mk_state *s);
const struct mk_roster *mk_state_roster_before(const struct mk_state *s);
/** The change that led to an epoch; NULL: the first epoch, not certified yet, beyond. */
const struct mk_roster_change *mk_state_change(const struct mk_state *s, uint64_t epoch);
/** Would it be taken now? 0; MK_EREFUSED, MK_EMALFORMED with the rule. */
int mk_proposal_check(const struct mk_state *s, const struct mk_proposal *p,
                      struct mk_fault *reterr);
int mk_seat_check(const struct mk_state *s, const struct mk_seat *x);
/** What a proposal's signers sign: "mosaik.roster.propose.v1" || pc(Roster). */
void mk_proposal_message(struct mk_buf *out, const struct mk_roster *r);
const struct mk_founding *mk_state_founding(const struct mk_state *s); /* NULL: not applied yet */
struct mk_surfaces *mk_state_surfaces(struct mk_state *s);
struct mk_machine *mk_state_machine(struct mk_state *s);
/** The machine's own read. 0; MK_EREFUSED or MK_EMALFORMED with reterr. */
int mk_state_query(struct mk_state *s, struct mk_bytes query, struct mk_buf *answer,
                   struct mk_fault *reterr);
/** The head of surface i as it stands. */
void mk_state_head(struct mk_state *s, unsigned surface, struct mk_head *ret);

/** Deterministic bytes, and back (whatever s held before). Strict: MK_EMALFORMED; MK_ENOTSUP: of
 * a protocol that is not known here, with both in reterr. After a failed restore s must be freed.
 */
void mk_state_snapshot(struct mk_state *s, struct mk_buf *out);
int mk_state_restore(struct mk_state *s, struct mk_bytes snapshot, struct mk_fault *reterr);
/** H over all of it: replicas must agree at every index. Costs as much as a snapshot,
 * but for the surfaces. */
struct mk_id mk_state_hash(struct mk_state *s);

/** pc(Outcome) of an answer that no machine gave (a refusal at the door, a time-out).
 * err: 0 or a MK_E code. */
void mk_outcome_plain(struct mk_buf *out, int err, const char *rule);
/** Appends pc(Outcome) from its parts. */
void mk_outcome_put(struct mk_buf *out, int err, const char *rule, struct mk_bytes refs,
                    size_t n_refs, struct mk_bytes answer);

#endif
