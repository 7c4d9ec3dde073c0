/* toy.h - the machine of the simulated committee: see cluster.h. */
#ifndef SIM_TOY_H
#define SIM_TOY_H

#include "cluster.h"
#include <mosaik/machine.h>

struct mk_machine *toy_new(void);
struct mk_machine *toy_new_version(unsigned version); /* 1 or 2 */
/** pc of a text, as the map's keys and values are. */
void toy_text(struct mk_buf *out, const char *text);

#endif
