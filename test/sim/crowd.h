/* crowd.h - ten thousand peers in one process: the real discovery on a light wire.
 *
 *     struct crowd *c = crowd_new(seed, n, entries_max);
 *
 *     crowd_start(c, i, publishes, hints, n_hints);
 *     crowd_run(c, 5000);
 *     mk_discovery_...(crowd_at(c, i)->d, ...);
 *     crowd_free(c);
 *
 * The whole simulated world (world.h) has sockets, frames, disks and crashes for some tens of
 * nodes. Here src/discovery runs as it is, each peer with an env and a key of its own, and below it
 * crowd.c stands in for src/net: links with a delay, conversations with order and credit, dials
 * that meet whoever listens, counted in messages and bytes. What it leaves out (TLS, frames, pings)
 * discovery does not see. The same seed gives the same run. */
#ifndef SIM_CROWD_H
#define SIM_CROWD_H

#include "discovery/discovery_int.h"
#include "env/env_ops.h"
#include "prng.h"

#define CROWD_DELAY_MIN_US 10000u /* one way; of a link, for its life */
#define CROWD_DELAY_MAX_US 60000u
#define CROWD_FRAME 13u /* bytes that a message costs on the wire beside its own */

struct crowd;

struct crowd_node {
    struct mk_env env; /* first */
    struct crowd *crowd;
    unsigned i;
    struct mk_key key;
    struct mk_net *net;
    struct mk_discovery *d;
    struct prng entropy;
    struct mk_list node; /* of those that are gone */
    bool turning;
    struct mk_heap_item turn;
    int64_t wall_offset_ms;
    uint64_t messages, bytes; /* sent */
};

struct crowd *crowd_new(uint64_t seed, unsigned n, uint32_t entries_max);
void crowd_free(struct crowd *c);
/** Starts peer i, which listens at "n<i>.in.net<i / 256>:1". publishes: has an entry of its own. */
void crowd_start(struct crowd *c, unsigned i, bool publishes, const unsigned *hints,
                 unsigned n_hints);
/** It is gone: a departure is said first, unless it crashes. */
void crowd_stop(struct crowd *c, unsigned i, bool crashes);
/** Ends the link between the two, if there is one. */
void crowd_cut(struct crowd *c, unsigned a, unsigned b);
struct crowd_node *crowd_at(struct crowd *c, unsigned i); /* NULL: not up */
uint64_t crowd_ms(const struct crowd *c);                 /* since the beginning */
void crowd_run(struct crowd *c, uint64_t ms);
/** Until cond holds, asked every 10 ms; false when the time is over. */
bool crowd_until(struct crowd *c, bool (*cond)(void *arg), void *arg, uint64_t ms);
struct mk_peer crowd_peer(unsigned i);
uint64_t crowd_draw(struct crowd *c, uint64_t below);
unsigned crowd_links(struct crowd *c, unsigned i);
/** The number that these digits begin with. */
unsigned crowd_number(const char *digits);
/** Forgets what was counted. */
void crowd_count_anew(struct crowd *c);

#endif
