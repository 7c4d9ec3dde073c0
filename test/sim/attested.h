/* attested.h - swarms whose members demand quotes of each other. */
#ifndef SIM_ATTESTED_H
#define SIM_ATTESTED_H

#include "faults.h"

#define ATTESTED_EVERY 8u /* seeds */

/** The committee of this plan demands quotes. */
void attested_plan(struct plan *p);

#endif
