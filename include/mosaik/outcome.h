/* outcome.h - what became of a command: the answer of "execute"
 * (spec/committees.md, "Two steps of execute"). */
#ifndef MOSAIK_OUTCOME_H
#define MOSAIK_OUTCOME_H

#include <mosaik/datum.h>

/** How new the answer of a query must be. */
enum mk_read {
    MK_READ_WEAK = 0,   /* what the member that was asked has applied */
    MK_READ_LINEAR = 1, /* all that was answered to anybody before it was asked: the leader lets a
                         * majority confirm that it leads, a way there and back */
    MK_READ_LEASE = 2,  /* the same, without asking while the leader holds a lease, in a committee
                         * that has leases ("read_leases"); rests on clocks that run alike, within
                         * a tenth (consensus/lease.c). Elsewhere MK_READ_LINEAR. */
};

/* A commit that a command made. */
#define MK_COMMIT_REF_TABLE(F, S)         \
    F(S, mk_id, surface) /* surface id */ \
    F(S, mk_u64, index)  /* from 1 */     \
    F(S, mk_id, commit)  /* its hash */
MK_STRUCT_DECLARE(mk_commit_ref, MK_COMMIT_REF_TABLE)
MK_SEQ_DECLARE(mk_commit_refs, mk_commit_ref)

/* What the machine answered; kept by the session for retries. status is 0 or a MK_E code,
 * negated; rule is the text of the refusal; commits is empty for "unchanged". */
#define MK_OUTCOME_TABLE(F, S)                                    \
    F(S, mk_u32, status)          /* 0, or a MK_E code negated */ \
    F(S, mk_text, rule)           /* which refused it */          \
    F(S, mk_commit_refs, commits) /* empty: unchanged */          \
    F(S, mk_blob, answer)         /* the machine's, up to MK_ANSWER_MAX */
MK_STRUCT_DECLARE(mk_outcome, MK_OUTCOME_TABLE)

#endif /* MOSAIK_OUTCOME_H */
