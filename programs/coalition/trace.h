/* trace.h - the course of one write across a component's members: `--trace` of every command that
 * executes one. */
#ifndef PROGRAMS_TRACE_H
#define PROGRAMS_TRACE_H

#include "agent.h"

/** Before the command, when r asks for it: takes a quarter of timeout_ms at most. */
void trace_begin(struct mk_bond *b, const struct reach *r, uint32_t timeout_ms);
/** What became of the last command since then: [{peer, index, leads, steps: {name: us}}]; NULL when
 * nobody asked. */
json_t *trace_end(struct mk_bond *b, const struct reach *r, uint32_t timeout_ms);
/** As lines, by time, from the first of them all. */
void trace_print(const json_t *nodes);

#endif
