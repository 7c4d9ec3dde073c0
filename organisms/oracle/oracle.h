/* oracle.h - a composite organism over price feeds: it observes their ticks, each by an evidence
 * pointer that is resolved in the log, and publishes the median of what its sources say last.
 *
 *   feed A --tick--\                                   stream base/quote: PriceTick
 *   feed B --tick---+--Observe{pointers} + evidence--> map latest: who said what last, with the
 *   feed C --tick--/                                               pointer to where
 *
 * The operators of the sources stand in the content, so which Deployments count is part of what
 * the organism is. A tick is published when a quorum of sources has spoken; its price is the lower
 * median, its confidence half of the spread. With two sources or more it is not stale
 * (spec/services.md, "Feeds"). All its state is in its surfaces. */
#ifndef ORGANISMS_ORACLE_H
#define ORGANISMS_ORACLE_H

#include "price-feed/price_feed.h"
#include <mosaik/evidence.h>

/** Whose price of which pair (by its number in the content). */
#define ORACLE_SOURCE_TABLE(F, S) \
    F(S, mk_member_id, member)    \
    F(S, mk_u16, pair)
MK_STRUCT_DECLARE(oracle_source, ORACLE_SOURCE_TABLE)
#define ORACLE_OBSERVED_TABLE(F, S)     \
    F(S, mk_evidence_pointer, evidence) \
    F(S, mk_i128, mantissa)             \
    F(S, mk_u64, timestamp_ms)
MK_STRUCT_DECLARE(oracle_observed, ORACLE_OBSERVED_TABLE)

MK_SEQ_DECLARE(oracle_pointers, mk_evidence_pointer) /* not empty, up to MK_EVIDENCE_MAX */
#define ORACLE_OBSERVE_TABLE(F, S) F(S, oracle_pointers, pointers)
MK_STRUCT_DECLARE(oracle_observe, ORACLE_OBSERVE_TABLE)
#define ORACLE_COMMAND_TABLE(F, S) F(S, Observe, 0, oracle_observe, observe)
MK_ENUM_DECLARE(oracle_command, ORACLE_COMMAND_TABLE)

/** The map beside the pairs' streams. */
extern const struct mk_surface_spec oracle_latest_spec;

/** The machine for an organism's content (pc(OracleContent), copied). */
int oracle_machine_new(struct mk_machine **ret, struct mk_bytes content, struct mk_fault *reterr);
/** The driver: follows the sources and, on the member that leads, commits what they say. */
int oracle_driver_new(struct mk_driver **ret, struct mk_bytes content, struct mk_fault *reterr);

/** The names of the content's surfaces, "base/quote", terminated, in order; from arena. */
const char *const *oracle_names(const struct coa_pairs *pairs, struct mk_arena *arena);

#endif /* ORGANISMS_ORACLE_H */
