/* planted.h - bugs that the checkers must catch. */
#ifndef SIM_PLANTED_H
#define SIM_PLANTED_H

#include "world.h"

/** Writes of node i that hold a term or vote and no entry are reported durable and are
 * not (they become so with the next sync, or are lost). */
void planted_skip_vote_sync(struct world *w, unsigned i);

#endif
