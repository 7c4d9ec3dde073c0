/* watch.h - a reader outside, who follows both surfaces while a swarm goes on: what it is
 * shown comes in order, without a hole that is not told, and is what the members have. */
#ifndef SIM_WATCH_H
#define SIM_WATCH_H

#include "cluster.h"

struct watch;
struct watch *watch_new(struct cluster *c);
void watch_free(struct watch *w); /* NULL is fine */
/** It has what the members have; false after ms. */
bool watch_until_even(struct watch *w, uint64_t ms);
/** Each tick once, and in the order that clients can know. */
void watch_check_ticks(struct watch *w);

#endif
