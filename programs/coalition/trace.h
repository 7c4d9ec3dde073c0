/* trace.h - the course of one write across a component's members (`--trace`). */
#ifndef PROGRAMS_TRACE_H
#define PROGRAMS_TRACE_H

#include "agent.h"

#include <mosaik/node.h>

struct trace {
    struct agent *a;
    struct component component;
    struct mk_status_answer *answers;
    size_t n;
};

/** Asks the members of c to note our next commands; those that do not answer in time are left out.
 */
void trace_begin(struct trace *t, struct agent *a, const struct component *c, uint32_t timeout_ms);
/** What became of the last one: [{peer, index, leads, steps: {name: us}}]. */
json_t *trace_end(struct trace *t, uint32_t timeout_ms);
/** As lines, by time, from the first of them all. */
void trace_print(const json_t *nodes);

#endif
