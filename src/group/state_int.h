/* state_int.h - what the files of the state share.
 *
 * state.c  entries and time      machine.c  the machine's hands during apply
 * image.c  snapshot, restore, hash
 * rosters.c  seats and epochs */
#ifndef GROUP_STATE_INT_H
#define GROUP_STATE_INT_H

#include "base/assert.h"
#include "group/state.h"

#include <mosaik/evidence.h>

/** One command being applied. */
struct mk_apply {
    struct mk_state *s;
    uint64_t index;
    const struct mk_peer *sender; /* NULL from the group itself */
    struct mk_buf refs;           /* pc of each CommitRef */
    size_t n_refs;
    struct mk_buf answer;
    bool mutated, refused;
    char rule[MK_RULE_MAX];
    uint64_t changed;
    const struct mk_resolved *evidence; /* of a command that came with some */
    size_t n_evidence;
    struct mk_cited *cited; /* room for MK_EVIDENCE_MAX, or NULL */
    unsigned n_cited;
};

struct mk_state {
    struct mk_id deployment, stable_id;
    struct mk_machine *machine;
    struct mk_arena rosters; /* what roster and founding point into */
    struct mk_roster first, roster;
    bool founded;
    struct mk_founding founding;
    struct mk_buf founding_pc; /* its bytes, borrowed by founding */
    uint64_t index;
    uint16_t level, newest; /* the protocol it works at, and the newest that we know */
    uint64_t time_ms;
    struct mk_retention retain;
    uint64_t last_ms[MK_ROSTER_MAX]; /* in roster order */
    /* rosters.c */
    uint64_t seats[MK_ROSTER_MAX]; /* Raft ids, in roster order; 0: none yet */
    bool changing;                 /* the change to roster is not certified yet: */
    struct mk_roster before;
    struct mk_roster_change draft;    /* without signatures */
    struct mk_roster_change *changes; /* from the first epoch's successor on */
    size_t n_changes;
    uint64_t membership_index; /* of the last entry that changed seats or roster */
    struct mk_surfaces surfaces;
    struct mk_sessions sessions;
    struct mk_buf outcome; /* of the last command */
    struct mk_apply apply; /* its buffers are used again and again */
};

/** Makes a ready for the next command. */
void mk_apply_begin(struct mk_apply *a, struct mk_state *s, uint64_t index,
                    const struct mk_peer *sender);
/** Takes a Founding's bytes as the state's. MK_EMALFORMED; MK_EINVALID: not this component's. */
int mk_state_found(struct mk_state *s, struct mk_bytes founding);

/* rosters.c */
void mk_rosters_init(struct mk_state *s, const struct mk_roster *first);
void mk_rosters_done(struct mk_state *s);
void mk_rosters_reset(struct mk_state *s);   /* to the first roster */
void mk_rosters_founded(struct mk_state *s); /* the genesis was applied */
void mk_apply_seat(struct mk_state *s, const struct mk_seat *x, struct mk_applied *ret);
void mk_apply_propose(struct mk_state *s, const struct mk_proposal *p, struct mk_applied *ret);
void mk_apply_changed(struct mk_state *s, const struct mk_roster_change *c, struct mk_applied *ret);
/** Seats, epochs and the peers' clocks as bytes, and back. MK_EMALFORMED. */
void mk_rosters_snapshot(const struct mk_state *s, struct mk_buf *out);
int mk_rosters_restore(struct mk_state *s, struct mk_reader *in);

#endif
