/* planted.h - bugs that the swarm must catch: in the source (base/planted.h), in the
 * simulated disks, in the machine, and the faults of the Raft library, uncured.
 *
 *     swarm --hunt NAME     plays seeds until the bug is caught; NAME all: each bug */
#ifndef SIM_PLANTED_H
#define SIM_PLANTED_H

#include "world.h"

struct planted {
    const char *name, *what;
    unsigned code;                              /* enum mk_planted, or 0 */
    void (*plant)(struct world *w, unsigned i); /* on member i's node; may be NULL */
};
extern const struct planted planted_bugs[];
extern const unsigned planted_n;
/** Each machine made counts from somewhere else. */
extern bool planted_unequal;

const struct planted *planted_find(const char *name); /* NULL: none */
/** Plants it in this process. false: this build has no such bug. */
bool planted_begin(const struct planted *p);
/** And on the nodes below `nodes`. */
void planted_on(const struct planted *p, struct world *w, unsigned nodes);

#endif
