/* proof.h - the proof of step two: commits under a certificate. */
#ifndef GROUP_PROOF_H
#define GROUP_PROOF_H

#include "collections/certificate.h"
#include "group/wire.h"

/** Each commit of the outcome, in order, has a proof that adds up to a certificate that the memory
 * accepts (or accepted before). 0; MK_ESIGNATURE: it does not add up; MK_EUNKNOWN: the member has
 * no proof any more; MK_ENOTFOUND: of an unknown epoch; MK_ECONFLICT, MK_ELIMIT as
 * mk_reader_accept(). */
int mk_commit_proofs_check(struct mk_reader_memory *memory, const struct mk_outcome *outcome,
                           const struct mk_commit_proofs *proofs, struct mk_fault *reterr);
/** As mk_reader_accept(), without checking the signatures of a certificate that is the newest
 * already; a lower one that is valid is 0 too. */
int mk_reader_believes(struct mk_reader_memory *memory, const struct mk_certificate *c,
                       struct mk_fault *reterr);

#endif
