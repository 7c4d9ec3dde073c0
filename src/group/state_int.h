/* state_int.h - what the files of the state share.
 *
 * state.c  entries and time      machine.c  the machine's hands during apply
 * image.c  snapshot, restore, hash */
#ifndef GROUP_STATE_INT_H
#define GROUP_STATE_INT_H

#include "base/assert.h"
#include "group/state.h"

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
    uint64_t time_ms;
    uint64_t last_ms[MK_ROSTER_MAX]; /* in roster order */
    struct mk_surfaces surfaces;
    struct mk_sessions sessions;
    struct mk_buf outcome; /* of the last command */
    struct mk_apply apply; /* its buffers are used again and again */
};

/** Appends pc(Outcome) from its parts. */
void mk_outcome_put(struct mk_buf *out, int err, const char *rule, struct mk_bytes refs,
                    size_t n_refs, struct mk_bytes answer);
/** Makes a ready for the next command. */
void mk_apply_begin(struct mk_apply *a, struct mk_state *s, uint64_t index,
                    const struct mk_peer *sender);
/** Takes a Founding's bytes as the state's. MK_EMALFORMED; MK_EINVALID: not this component's. */
int mk_state_found(struct mk_state *s, struct mk_bytes founding);

#endif
