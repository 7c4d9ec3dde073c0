/* replay.h - a component's log, applied again without its group.
 *
 * The directory of a member is read and left as it is; the member may be running. What
 * is stored begins with a snapshot where the log was cut. The last entries may be such
 * that were never committed: a log on one disk does not know. */
#ifndef MOSAIK_REPLAY_H
#define MOSAIK_REPLAY_H

#include <mosaik/evidence.h>
#include <mosaik/machine.h>

struct mk_env;
struct mk_replay;

/** What one entry led to. Two members whose entries at an index have the same term have
 * the same log up to there, so their hashes must be equal. */
struct mk_replay_step {
    uint64_t index, term;
    struct mk_id hash;  /* over all surfaces' (index, commit, state root) after it */
    struct mk_id state; /* over everything, also what no surface shows (the machine's own state,
                         * sessions, time): at each MK_REPLAY_STATE_EVERY-th index, else zero */
};
#define MK_REPLAY_STATE_EVERY 64u

struct mk_replay_surface {
    const char *kind, *name;
    uint64_t index;
    struct mk_id commit, state; /* as in a head */
};

struct mk_replay_options {
    struct mk_id stable_id, deployment;
    const struct mk_roster *roster; /* the first one; copied */
    struct mk_machine *machine;     /* taken */
};

/** Opens the log below e's directory, read-only, and applies all of it. Blocks.
 *
 * 0; MK_ENOTFOUND: no such component here, or nothing founded; MK_ECORRUPT: the log is
 * damaged (where, in reterr); MK_ENOTSUP: another machine wrote it (both, in reterr). */
int mk_replay_open(struct mk_env *e, struct mk_replay **ret, const struct mk_replay_options *o,
                   struct mk_fault *reterr);
void mk_replay_close(struct mk_replay *r); /* NULL is fine */

/** Index of the snapshot that it began with; 0: with the beginning of the log. */
uint64_t mk_replay_snapshot(const struct mk_replay *r);
size_t mk_replay_steps(const struct mk_replay *r, const struct mk_replay_step **ret); /* lent */
unsigned mk_replay_surfaces(const struct mk_replay *r);
/** The i-th, as the last entry left it. */
void mk_replay_surface(struct mk_replay *r, struct mk_replay_surface *ret, unsigned i);

/** The first step at which two replays of one component differ, in commits or in state; false: none
 * does. */
bool mk_replay_differ(const struct mk_replay *a, const struct mk_replay *b,
                      struct mk_replay_step *ret_a, struct mk_replay_step *ret_b);

/* --- evidence (evidence.h) ------------------------------------------------------------------ */

/** A pointer that a command of the log carries. */
struct mk_replay_cite {
    uint64_t entry;
    struct mk_evidence_pointer pointer;
    bool resolved; /* by what came beside the command; else the command was refused */
    char why[96];  /* why not */
};
size_t mk_replay_cites(const struct mk_replay *r, const struct mk_replay_cite **ret); /* lent */
/** The stable id of the component. */
const struct mk_id *mk_replay_stable_id(const struct mk_replay *r);
/** Did this log make that commit? 0 and its index. MK_ENOTFOUND: no. MK_ESTALE: what is stored
 * begins at *ret_index, after the surface's first commit, and it is not among it. MK_EINVALID: no
 * such surface. */
int mk_replay_find(const struct mk_replay *r, const struct mk_id *surface,
                   const struct mk_id *commit, uint64_t *ret_index);

#endif /* MOSAIK_REPLAY_H */
