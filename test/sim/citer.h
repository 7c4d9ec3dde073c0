/* citer.h - a test organism whose commands rest on what another component committed: each cites
 * stream items of an upstream, numbers, and their sum becomes an item of its own. */
#ifndef SIM_CITER_H
#define SIM_CITER_H

#include <mosaik/evidence.h>

#define CITER_SUMS 0u

MK_SEQ_DECLARE(citer_pointers, mk_evidence_pointer)
#define CITER_COMMAND_TABLE(F, S) F(S, citer_pointers, pointers)
MK_STRUCT_DECLARE(citer_command, CITER_COMMAND_TABLE)
/** What it commits: the sum, and what it was made of. */
#define CITER_SUM_TABLE(F, S) \
    F(S, mk_u64, sum)         \
    F(S, citer_pointers, of)
MK_STRUCT_DECLARE(citer_sum, CITER_SUM_TABLE)

extern const struct mk_surface_spec citer_specs[1];

/** anchor: borrowed. What is cited is a stream of pc(u64), its clock the commit's index. */
struct mk_machine *citer_new(const struct mk_evidence_anchor *anchor);
/** Appends the command that cites these, with them beside it. */
void citer_put(struct mk_buf *out, const struct mk_exhibit *v, size_t n);

#endif
