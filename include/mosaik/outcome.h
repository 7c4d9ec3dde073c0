/* outcome.h - what became of a command: the answer of "execute"
 * (spec/committees.md, "Two steps of execute"). */
#ifndef MOSAIK_OUTCOME_H
#define MOSAIK_OUTCOME_H

#include <mosaik/datum.h>

/* A commit that a command made. */
#define MK_COMMIT_REF_TABLE(F, S) \
    F(S, mk_id, surface)          \
    F(S, mk_u64, index)           \
    F(S, mk_id, commit)
MK_STRUCT_DECLARE(mk_commit_ref, MK_COMMIT_REF_TABLE)
MK_SEQ_DECLARE(mk_commit_refs, mk_commit_ref)

/* What the machine answered; kept by the session for retries. status is 0 or a MK_E code,
 * negated; rule is the text of the refusal; commits is empty for "unchanged". */
#define MK_OUTCOME_TABLE(F, S)    \
    F(S, mk_u32, status)          \
    F(S, mk_text, rule)           \
    F(S, mk_commit_refs, commits) \
    F(S, mk_blob, answer)
MK_STRUCT_DECLARE(mk_outcome, MK_OUTCOME_TABLE)

#endif /* MOSAIK_OUTCOME_H */
