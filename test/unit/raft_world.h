/* raft_world.h - members of one log in memory, on virtual time, with checkers.
 *
 * No env, no store, no links: messages are the real bytes of consensus/wire.c, the
 * disk is a list of writes that end one after the other, a crash keeps a prefix of
 * the writes under way. After every event the world checks:
 *
 *   - one leader a term, one vote a term and server, also across restarts
 *   - durable term and vote never go back
 *   - a committed entry never changes, for nobody, ever; machines agree
 *   - log matching, every CHECK_EVERY events
 *   - the wrapper's mirror of the core (mk_core_check)
 *   - a confirmed read sees everything committed when it was asked for
 *
 * A checker that finds something writes it to w->found and stops the world: planted
 * faults are expected there, a test of the cured core demands an empty one. */
#ifndef UNIT_RAFT_WORLD_H
#define UNIT_RAFT_WORLD_H

#include "consensus/consensus.h"

#include <stdbool.h>
#include <stdint.h>

#define WORLD_NODES 5 /* ids 1..5 */
#define WORLD_HISTORY 200000

struct world_snapshot {
    struct mk_snapshot_meta meta;
    uint64_t state;
};

struct world_disk {
    uint64_t term, vote;
    uint64_t first;
    struct mk_entry *e;
    size_t n, cap;
    struct world_snapshot snap; /* meta.index 0: none */
};

struct world_write; /* a write under way */

struct world_node {
    uint64_t id;
    bool up;
    unsigned incarnation;
    struct mk_consensus *c;
    struct world_disk disk;
    struct world_write *writes; /* oldest first */
    uint64_t n_writes, done_writes;
    uint64_t meta_write; /* messages wait until this many writes are done */
    uint64_t applied, state;
    uint64_t deadline;
    uint64_t read_ticket, read_floor; /* of the read under way */
    enum mk_consensus_role role;
    uint64_t term;
    uint64_t timeouts; /* calls of mk_consensus_timeout */
};

struct world_item;

struct world {
    uint64_t seed, random, now, seq, events;
    struct world_node node[WORLD_NODES + 1];
    bool cut[WORLD_NODES + 1][WORLD_NODES + 1];
    struct world_item *heap;
    size_t n_heap, cap_heap;
    unsigned drop_percent, delay_max, disk_max;
    unsigned uncured, election_ms, heartbeat_ms;
    bool hints;        /* crashes and cuts are told to the others as broken links */
    uint64_t *history; /* hash of (term, bytes) by index */
    uint64_t *states;  /* machine's state by index */
    uint64_t *leaders; /* by term */
    uint64_t (*votes)[WORLD_NODES + 1]; /* by term and voter */
    uint64_t committed;                 /* the highest index anybody knew */
    uint64_t installs, reads, changes;
    const char *found; /* what a checker found; NULL: nothing */
};

#define WORLD_TERMS 20000

struct world *world_new(uint64_t seed);
void world_free(struct world *w);
uint32_t world_random(struct world *w, uint32_t below);

/** Servers 1..n become voters of index 1, and start. */
void world_boot(struct world *w, unsigned n);
void world_start(struct world *w, unsigned id);
void world_crash(struct world *w, unsigned id);
void world_isolate(struct world *w, unsigned id, bool on);
void world_heal(struct world *w);

void world_run(struct world *w, uint64_t ms);
/** The leader of the highest term that is up, or NULL. */
struct world_node *world_leader(struct world *w);
/** Runs until there is a leader that is ready; NULL after ms. */
struct world_node *world_wait_leader(struct world *w, uint64_t ms);
/** Every voter of the leader's configuration is up and has applied all of its log. */
bool world_agrees(struct world *w);
bool world_wait_agreement(struct world *w, uint64_t ms);

int world_submit(struct world *w, struct world_node *x, size_t bytes);
int world_change(struct world *w, struct world_node *x, const struct mk_configuration *conf);
int world_transfer(struct world *w, struct world_node *x, uint64_t to);
bool world_read(struct world *w, struct world_node *x);
/** mk_consensus_rest(), and what follows at once. */
int world_rest(struct world *w, struct world_node *x);
/** Its timers run again; the leader's process was heard last at heard_ms. */
void world_wake(struct world *w, struct world_node *x, uint64_t heard_ms);
/** Bytes that server `from` did not send, as if it had. */
int world_forge(struct world *w, struct world_node *x, uint64_t from, struct mk_bytes bytes);
/** A snapshot of what is applied, keeping `trailing` entries. False: nothing new. */
bool world_snapshot(struct world *w, struct world_node *x, unsigned trailing);
/** Where every member stands, to standard error. */
void world_say(const struct world *w);

#endif
