/* standing.h - what other components certify of a peer, for the clauses ReputationFloor and
 * MarketSettlement (ticket.h).
 *
 * The clause names an organism by its stable id. That organism publishes a map of cards, one a
 * peer, and a member that judges by it follows the map as any reader does: what counts is what
 * a majority of that organism's roster has signed. A card says itself until when it counts.
 *
 *   clause             surface          key    card
 *   ReputationFloor    map scores       peer   Score{score_bps:u16,valid_until_ms:u64}
 *   MarketSettlement   map settlements  peer   Settlement{evidence:id,valid_until_ms:u64}
 *
 * Admitted is who has a card that counts now, with score_bps at or above the floor; it is judged
 * again when the card ends, and every MK_STANDING_AGAIN_MS, so that a score that fell ends bonds.
 */
#ifndef MOSAIK_STANDING_H
#define MOSAIK_STANDING_H

#include <mosaik/machine.h>
#include <mosaik/network.h>
#include <mosaik/ticket.h>

#define MK_STANDING_AGAIN_MS 10000u

#define MK_SCORE_TABLE(F, S)                                     \
    F(S, mk_u16, score_bps)      /* basis points, up to 10000 */ \
    F(S, mk_u64, valid_until_ms) /* unix */
MK_STRUCT_DECLARE(mk_score, MK_SCORE_TABLE)
/** evidence: what settled it; opaque here. */
#define MK_SETTLEMENT_TABLE(F, S)                                   \
    F(S, mk_id, evidence)        /* what settled it; opaque here */ \
    F(S, mk_u64, valid_until_ms) /* unix */
MK_STRUCT_DECLARE(mk_settlement, MK_SETTLEMENT_TABLE)

/** The surfaces, for organisms that publish them and for whoever follows. */
extern const struct mk_surface_spec mk_scores_spec, mk_settlements_spec;

/* --- the evaluator of a network handle ------------------------------------------------------- */

/** An organism that clauses may name; copied. This agent's components and streams judge by what it
 * certifies from then on; nothing is followed before a clause asks. 0, also when it is known;
 * MK_ELIMIT; what mk_bond_open returns. */
int mk_network_follow(struct mk_network *n, const struct mk_reference *organism,
                      struct mk_fault *reterr);
/** What a gate of one's own takes; lent until the network closes. */
struct mk_standing *mk_network_standing(struct mk_network *n);

#endif /* MOSAIK_STANDING_H */
