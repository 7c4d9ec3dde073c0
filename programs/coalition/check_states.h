/* check_states.h - do all members of a committee have the same state? */
#ifndef PROGRAM_CHECK_STATES_H
#define PROGRAM_CHECK_STATES_H

#include "agent.h"

struct checking {
    struct agent *agent;      /* looks on, under a key of its own */
    struct mk_network *asker; /* under the operator's key: who may ask for a check */
    const struct mk_reference *reference;
    bool json;
    uint64_t deadline;
};

/** Asks the member at address for a check, waits until every member shows its hash, prints them;
 * of one that does not, the reason.
 * A status: 0; STATUS_CHECK when they differ, STATUS_TIMEOUT when not all answered. */
int check_states(const struct checking *k, struct mk_str address);

#endif
