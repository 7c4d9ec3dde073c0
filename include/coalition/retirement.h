/* retirement.h - the last commit of a component, in the shapes that have a name
 * (spec/committees.md, "Retirement"). The types are in mosaik/records.h. */
#ifndef COALITION_RETIREMENT_H
#define COALITION_RETIREMENT_H

#include <mosaik/records.h>

static inline struct mk_retirement_instant coa_at_sequence(uint64_t seq)
{
    return (struct mk_retirement_instant){.tag = mk_retirement_instant_AtSequence,
                                          .u.at_sequence = {seq}};
}
static inline struct mk_retirement_instant coa_at_timestamp(uint64_t unix_ms)
{
    return (struct mk_retirement_instant){.tag = mk_retirement_instant_AtTimestamp,
                                          .u.at_timestamp = {unix_ms}};
}
static inline struct mk_retirement_instant coa_at_tick(struct mk_id almanac, uint64_t tick)
{
    return (struct mk_retirement_instant){.tag = mk_retirement_instant_AtTick,
                                          .u.at_tick = {almanac, tick}};
}

/** Another deployment takes over; followers rebind as spec/committees.md says. */
static inline struct mk_retirement_marker coa_rotation(struct mk_retirement_instant effective_at,
                                                       struct mk_component_ref replacement)
{
    return (struct mk_retirement_marker){.effective_at = effective_at,
                                         .reason = {.tag = mk_retirement_reason_Rotation},
                                         .replacement = {true, replacement}};
}
/** The component ends, nothing replaces it. */
static inline struct mk_retirement_marker coa_retired(struct mk_retirement_instant effective_at)
{
    return (struct mk_retirement_marker){.effective_at = effective_at,
                                         .reason = {.tag = mk_retirement_reason_Retired}};
}
/** Its operator leaves. */
static inline struct mk_retirement_marker
coa_operator_exit(struct mk_retirement_instant effective_at)
{
    return (struct mk_retirement_marker){.effective_at = effective_at,
                                         .reason = {.tag = mk_retirement_reason_OperatorExit}};
}

#endif /* COALITION_RETIREMENT_H */
