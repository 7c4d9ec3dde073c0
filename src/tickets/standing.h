/* standing.h - the clauses that rest on another component's cards, for the gate. */
#ifndef TICKETS_STANDING_H
#define TICKETS_STANDING_H

#include <mosaik/ticket.h>

/** 0 and when to judge again; MK_EREFUSED with the reason, *ret_pending when it is only that the
 * cards are not at hand yet. */
int mk_standing_reputation(const struct mk_gate *g, const struct mk_clause_reputation *clause,
                           const struct mk_peer *peer, uint64_t now_ms, uint64_t *end,
                           bool *ret_pending, struct mk_fault *reterr);
int mk_standing_settlement(const struct mk_gate *g, const struct mk_clause_organism *clause,
                           const struct mk_peer *peer, uint64_t now_ms, uint64_t *end,
                           bool *ret_pending, struct mk_fault *reterr);

#endif
