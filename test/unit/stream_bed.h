/* stream_bed.h - producers and consumers on peers of the simulated world, through the
 * public face alone. Peer i is node "n<i>" and listens on port 7000. */
#ifndef STREAM_BED_H
#define STREAM_BED_H

#include "unit.h"

#include "env/env.h"
#include "world.h"
#include <mosaik/network.h>
#include <mosaik/stream.h>

#define BED_PEERS 12u
#define BED_TAKERS 24u
#define BED_SPANS 64u

struct bed_peer {
    struct mk_key key;
    struct mk_network *net; /* NULL: down */
    struct mk_producer *producer;
    const struct mk_witness_options *witness; /* for bed_up(); NULL: no quotes */
};

/** A range of sequence numbers that was told lost. */
struct bed_span {
    uint64_t first, last;
};

/** A consumer and what it was told; asserts the order of it. */
struct bed_taker {
    struct bed *bed;
    struct mk_consumer *c; /* NULL once closed */
    uint64_t n_items, n_lost, n_states, n_subscribed, n_restarts;
    uint64_t n_closes[32]; /* times that it was told not to be subscribed, by code */
    uint64_t first, last;  /* of what came: items and losses */
    bool any, subscribed;
    unsigned close;
    char detail[256];
    struct bed_span lost[BED_SPANS];
    unsigned n_spans;
    size_t bytes;
    uint64_t closed_ms; /* virtual time at which it was last told that it is not subscribed */
    /* What it does with itself from inside a callback. */
    uint64_t pause_at, close_at; /* seq; 0: never */
    bool close_on_lost, close_on_state;
    bool loose;    /* what items say is not looked at */
    uint64_t wait; /* for the conditions below */
};

struct bed {
    struct world *w;
    struct bed_peer peers[BED_PEERS];
    struct bed_taker takers[BED_TAKERS];
    unsigned n_takers;
    struct mk_gather *gather;
    unsigned want;
    bool hinted; /* whoever comes up is told of peer 0 */
};

struct bed *bed_new(uint64_t seed);
void bed_free(struct bed *b);
/** Brings peer i up with its tickets (borrowed during the call). */
void bed_up(struct bed *b, unsigned i, const struct mk_bytes *tickets, size_t n_tickets);
/** As the end of its process: everything closed in order. */
void bed_down(struct bed *b, unsigned i);
/** kill -9 and, later, bed_up() again. */
void bed_kill(struct bed *b, unsigned i);

extern const struct mk_id bed_surface;
/** A producer of bed_surface, unless o names another, on peer i (brought up when it is down). */
struct mk_producer *bed_produce(struct bed *b, unsigned i, struct mk_producer_options o);
/** A consumer of the same on peer i, at peer `from`. */
struct bed_taker *bed_take(struct bed *b, unsigned i, unsigned from, struct mk_consumer_options o);
/** What a consumer opened by somebody else calls; the owner is a taker of bed_taker(). */
extern const struct mk_consumer_cbs bed_taker_cbs;
struct bed_taker *bed_taker(struct bed *b);
/** Sends n items of len bytes (at least 8); returns the last number. */
uint64_t bed_send(struct bed *b, unsigned i, unsigned n, size_t len);
/** Runs until the taker was told of everything up to seq; fails the test after 60 s. */
void bed_until_last(struct bed_taker *t, uint64_t seq);
void bed_until_subscribed(struct bed_taker *t);
/** What a gather of b calls, b being its owner: what comes is sorted by its producer into the
 * takers of b, of which there is one a peer. */
extern const struct mk_consumer_cbs bed_gathered_cbs;
/** Until b->gather is subscribed to n producers. */
void bed_until_gathered(struct bed *b, unsigned n);
/** Until it is told that it is not subscribed. */
void bed_until_not(struct bed_taker *t);
/** Until it was told n times that the producer began anew. */
void bed_until_restarted(struct bed_taker *t, uint64_t n);
struct mk_producer_stats bed_stats(struct bed *b, unsigned i);

#endif
