/* world.h - the simulated world: nodes, network, disks and time from one seed.
 *
 *     struct world *w = world_new(7);
 *
 *     for (unsigned i = 0; i < 3; i++)
 *         world_boot(w, i, &program, &args[i]);
 *     world_isolate(w, 0);
 *     assert_true(world_run_until(w, new_leader, &args, 5000));
 *     world_heal(w);
 *     world_crash(w, 1);
 *     world_run(w, 200);
 *     world_restart(w, 1);
 *     ...
 *     world_free(w);
 *
 * Everything happens in one heap of events ordered by (time, sequence). An event
 * belongs to a node or to the world; a node's event is one turn of its loop: the
 * callback, then its tasks, then its sends. Between two steps no node is running, and
 * the test may call into the nodes (a call that queues work gets a turn at once).
 *
 * The same seed and the same calls give the same run: world_hash() proves it. Nothing
 * in here reads a clock or a random source of the machine.
 *
 * Times in ms are virtual and from now unless said otherwise. Node i is called "n<i>"
 * ("n0:7000"). Nodes are 0 .. WORLD_NODES_MAX-1 and exist from their first mention. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "env/env.h"
#include <stdio.h>

struct world;

#define WORLD_NODES_MAX 64u
#define WORLD_ALL (~0u) /* where a node is asked for: every one, also later ones */

struct world *world_new(uint64_t seed);
/** Destroys all programs and frees everything. */
void world_free(struct world *w);

/* --- nodes ------------------------------------------------------------------------ */

/** What runs on a node. */
struct world_program {
    /** Starts it, as main() would, from the env's disk alone. Returns its state. */
    void *(*boot)(struct mk_env *e, unsigned node, void *arg);
    /** Frees the state after a crash and at world_free(); may be NULL. The env is dead:
     * calls on it are allowed (mk_sock_close, mk_file_close, mk_timer_stop, ...), free
     * memory, and have no effect on the world; nothing calls back. */
    void (*destroy)(void *state);
};

/** Starts a program on a node that is not up. p and arg are borrowed until the node is
 * booted with others, or the world is freed. */
void world_boot(struct world *w, unsigned i, const struct world_program *p, void *arg);
/** The node's env, lent until it crashes. A node that was never booted comes up with no
 * program. */
struct mk_env *world_node(struct world *w, unsigned i);
/** What boot returned; NULL when it is down. */
void *world_state(struct world *w, unsigned i);
bool world_is_up(struct world *w, unsigned i);

/** Power loss: memory is gone, writes that were not synced are kept, lost or torn. The
 * others may hear of it at once, late, or never. Not from inside the node's own turn. */
void world_crash(struct world *w, unsigned i);
/** kill -9: as a crash, but what was written survives (the machine still runs), and the
 * others hear of it as soon as the network lets them. */
void world_kill(struct world *w, unsigned i);
/** Boots it again with the program it had. */
void world_restart(struct world *w, unsigned i);
/** SIGSTOP: its events wait. */
void world_pause(struct world *w, unsigned i);
void world_resume(struct world *w, unsigned i);
/** The node has crashed; its disk is replaced by an empty one. */
void world_lose_disk(struct world *w, unsigned i);

/** Monotonic clock: parts per million faster (or slower) than true time. */
void world_clock_drift(struct world *w, unsigned i, int ppm);
/** Wall clock: jumps by so much, either way. */
void world_clock_jump(struct world *w, unsigned i, int64_t ms);

/* --- running ------------------------------------------------------------------------ */

/** True time since the beginning. */
uint64_t world_time_ns(const struct world *w);
uint64_t world_time(const struct world *w); /* ms */
/** Fires the next event; false when there is none. */
bool world_step(struct world *w);
/** Runs all events of the next ms. */
void world_run(struct world *w, uint64_t ms);
/** Runs until cond(arg), which is asked first and after each event; false when
 * deadline_ms from now passed without. */
bool world_run_until(struct world *w, bool (*cond)(void *arg), void *arg, uint64_t deadline_ms);
/** Calls cb after each event: a checker. NULL takes it away. */
void world_on_step(struct world *w, void (*cb)(void *arg), void *arg);
/** Calls cb as an event of the world in ms: faults at a planned moment. */
void world_after(struct world *w, uint64_t ms, void (*cb)(struct world *w, void *arg), void *arg);
/** 0 .. below-1 for choosing faults, and for choosing requests. */
uint64_t world_chaos(struct world *w, uint64_t below);
uint64_t world_workload(struct world *w, uint64_t below);

/* --- trace ---------------------------------------------------------------------------- */

/** Of all that happened so far. */
uint64_t world_hash(const struct world *w);
uint64_t world_events(const struct world *w); /* fired so far */
/** Whether bytes on links and disks are hashed, or their lengths only: for runs with
 * real TLS, whose bytes differ. From the beginning: true. */
void world_hash_bytes(struct world *w, bool on);
/** Folds something of the test's own into the hash. */
void world_note(struct world *w, const void *p, size_t n);
/** Prints each event from now on; NULL stops. out is borrowed. */
void world_print(struct world *w, FILE *out);

/* --- network ---------------------------------------------------------------------------- */
/* TCP as programs see it. Bytes of one connection keep their order, those of different
 * connections do not. A lost packet is a delay. A link that is cut is silent: bytes
 * wait, and after seconds the sender may be told that the connection broke, or never;
 * when it heals before that, they arrive. */

struct world_link {
    uint32_t min_us, mean_us; /* delay one way; 100 and 400 from the beginning */
    uint32_t loss_ppm;        /* of segments; each costs a retransmission timeout */
    uint64_t bytes_per_s;     /* 0: no limit */
};

/** Sets the link from node a to node b (one way); WORLD_ALL for either. */
void world_link(struct world *w, unsigned from, unsigned to, struct world_link link);
/** Nothing gets from one to the other any more, in that direction. */
void world_cut(struct world *w, unsigned from, unsigned to);
void world_mend(struct world *w, unsigned from, unsigned to);
/** Both directions, between i and all others. */
void world_isolate(struct world *w, unsigned i);
/** Nodes whose bit is set in side on the one side, all others on the other. */
void world_partition(struct world *w, uint64_t side);
/** Mends every link. */
void world_heal(struct world *w);
/** Breaks the connections between the two (bytes in flight are lost). Each side is told
 * soon, late, or when it next writes. */
void world_break(struct world *w, unsigned a, unsigned b);

/* --- disks --------------------------------------------------------------------------------- */

/** How long a sync takes; 120 and 300 us from the beginning. */
void world_disk_speed(struct world *w, unsigned i, uint32_t min_us, uint32_t mean_us);
/** Bytes; 0: no limit. */
void world_disk_capacity(struct world *w, unsigned i, uint64_t bytes);
/** The next count writes and syncs of files whose path contains part (NULL: any) fail
 * with err (MK_EIO, MK_ENOSPACE). Count 0 ends it. part is borrowed. */
void world_disk_fail(struct world *w, unsigned i, const char *part, int err, unsigned count);
/** The same for one kind alone. Names are creating, renaming and removing files. */
enum world_disk_what { WORLD_WRITES = 1, WORLD_SYNCS = 2, WORLD_READS = 4, WORLD_NAMES = 8 };
void world_disk_fail_on(struct world *w, unsigned i, unsigned what, const char *part, int err,
                        unsigned count);

/** A planted bug: syncs that it matches are reported complete and do nothing.
 *
 *  match  p and n are what the mk_write_sync() wrote; NULL and 0 for mk_file_sync().
 *         NULL: no bug. arg is borrowed. */
void world_skip_sync(struct world *w, unsigned i,
                     bool (*match)(void *arg, const char *path, const void *p, size_t n),
                     void *arg);
/** A bit turns in each write to files whose path contains part (borrowed), and nobody is told. */
void world_disk_turns(struct world *w, unsigned i, const char *part);
/** A match for world_skip_sync(): arg is a string that the path contains. */
bool world_path_contains(void *arg, const char *path, const void *p, size_t n);

/** A file as the node would read it now; MK_ENOTFOUND. For checkers. */
int world_disk_read(struct world *w, unsigned i, const char *path, struct mk_buf *out);
/** Flips one bit of it, durably. */
void world_disk_rot(struct world *w, unsigned i, const char *path, uint64_t off);
/** Its content is this, durably; it is there. The node is not up. */
void world_disk_put(struct world *w, unsigned i, const char *path, struct mk_bytes content);
/** Takes it away, durably; it is there. The node is not up. */
void world_disk_remove(struct world *w, unsigned i, const char *path);

/* --- lines from outside ----------------------------------------------------------------------- */

/** Feeds text to the input that the node opened on this path or command, or on
 * descriptor n as "fd:<n>"; false when none is open. */
bool world_input(struct world *w, unsigned i, const char *name, const char *text);
/** Ends it with status. */
bool world_input_end(struct world *w, unsigned i, const char *name, int status);

#endif
