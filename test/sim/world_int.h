/* world_int.h - what the files of the simulated world share.
 *
 *     world --- node (lasts) --- life (an env, until the crash) --- socks, files, timers
 *                 |
 *                disk (lasts)
 *
 * world.c  events, time, nodes      sim_env.c   a node's clock, timers, tasks, work
 * sim_net.c   connections           sim_dial.c  listening and dialing
 * sim_disk.c  files and crashes     sim_input.c lines from outside
 * sim_cast.c  multicast */
#ifndef SIM_WORLD_INT_H
#define SIM_WORLD_INT_H

#include "base/assert.h"
#include "env/address.h"
#include "env/env_ops.h"
#include "env/lines.h"
#include "prng.h"
#include "world.h"

#define SIM_RTO (200 * MK_MS)

/* --- events ------------------------------------------------------------------------- */

enum sim_kind {
    SIM_TURN = 1,
    SIM_TIMER,
    SIM_WORK,
    SIM_SYNCED,
    SIM_READ,
    SIM_PUMP,
    SIM_END,
    SIM_SYN,
    SIM_ACCEPT,
    SIM_CONNECTED,
    SIM_INPUT,
    SIM_WORLD,
    SIM_BOOT,
    SIM_CRASH,
    SIM_WRITE,
    SIM_DISK,
    SIM_NOTE,
};

/** One thing that will happen. All zero but fire and kind is a valid idle one. */
struct sim_event {
    enum sim_kind kind;
    void (*fire)(struct sim_event *ev);
    void (*drop)(struct sim_event *ev); /* its life ends first; may be NULL */
    struct mk_heap_item item;
    struct sim_life *life;  /* NULL: the world's */
    struct mk_list of_life; /* in life->events while scheduled */
    struct mk_list waiting; /* in life->backlog while the node is paused */
    struct world *w;
    bool scheduled;
};

/** Schedules or moves. life may be NULL. */
void sim_event_at(struct world *w, struct sim_life *life, struct sim_event *ev, uint64_t at_ns);
void sim_event_cancel(struct sim_event *ev);

/* --- world, node, life ----------------------------------------------------------------- */

enum sim_concern { SIM_NET, SIM_DISKS, SIM_CHAOS, SIM_WORKLOAD, SIM_SCHED, SIM_CONCERNS };

struct sim_link {
    struct world_link set;
    bool cut;
    uint64_t busy_until_ns;
};

struct world {
    uint64_t seed, now_ns, n_events, hash;
    struct mk_heap heap;
    struct prng prng[SIM_CONCERNS];
    struct sim_node *nodes[WORLD_NODES_MAX];
    struct sim_link links[WORLD_NODES_MAX][WORLD_NODES_MAX];
    struct mk_list conns; /* struct sim_conn.node */
    struct sim_life *running;
    struct mk_list afters; /* world_after() in wait */
    void (*on_step)(void *arg);
    void *on_step_arg;
    bool hash_bytes;
    FILE *out;
    bool (*skip_match)(void *arg, const char *path, const void *p, size_t n); /* for all nodes */
    void *skip_arg;
};

struct sim_node {
    struct world *w;
    unsigned index;
    struct sim_life *life; /* NULL: down */
    const struct world_program *program;
    void *arg;
    struct sim_disk *disk;
    struct prng entropy;
    bool paused;
    int drift_ppm;
    int64_t wall_offset_ms;
};

/** A node between boot and crash. */
struct sim_life {
    struct mk_env base; /* first */
    struct world *w;
    struct sim_node *node;
    void *state;
    bool dead;
    uint64_t since_ns, clock_ns; /* at true time since_ns its clock showed clock_ns */
    struct mk_heap timers;
    uint64_t armed_seq; /* which timer the event stands for */
    struct sim_event timer, turn;
    struct mk_list events, backlog;
    struct mk_list socks, dirty, listeners, files, inputs, casts;
    bool vouched;
    struct mk_peer self;
};

static inline struct sim_life *sim_life_of(struct mk_env *e)
{
    return mk_container_of(e, struct sim_life, base);
}

struct sim_node *sim_node_get(struct world *w, unsigned i);
/** Calls from outside a turn ask for one. */
void sim_life_need_turn(struct sim_life *l);
/** What follows the callback of each turn: tasks, sends, timers armed. */
void sim_life_end_turn(struct sim_life *l);
struct sim_life *sim_life_new(struct sim_node *n);
/** Frees what the program left open. */
void sim_life_free(struct sim_life *l);
/** Moves the life's timer event to its earliest timer. */
void sim_life_arm(struct sim_life *l);
uint64_t sim_life_now(const struct sim_life *l);
/** The clock goes on from here at the node's present rate. */
void sim_life_rebase(struct sim_life *l);

/** Folds an event into the hash, and prints it if asked. */
void sim_trace(struct world *w, enum sim_kind kind, unsigned node, uint64_t a, uint64_t b);
void sim_trace_bytes(struct world *w, const void *p, size_t n);

/* --- network ------------------------------------------------------------------------------- */

struct sim_conn;
struct sim_link *sim_link_of(struct world *w, const struct sim_node *from,
                             const struct sim_node *to);
uint64_t sim_net_delay(struct world *w, const struct sim_node *from, const struct sim_node *to);
/** Makes both ends of a connection; accept() follows at the listener at once, and the
 * dialer has the answer at answer_at_ns. */
struct sim_conn *sim_conn_new(struct world *w, struct sim_life *dialer, struct sim_life *listener,
                              uint16_t port, uint64_t answer_at_ns);
/** The sock of end 0 (dialer) or 1 (listener), given. */
struct mk_sock *sim_conn_sock(struct sim_conn *c, unsigned end);
/** An end that nobody wanted. */
void sim_conn_refuse(struct sim_conn *c, unsigned end);
void sim_conn_ref(struct sim_conn *c);
void sim_conn_unref(struct sim_conn *c);
/** Hands end 1 to the listener on port; false when there is none any more. */
bool sim_accept(struct sim_life *l, struct sim_conn *c, uint16_t port);
/** The life ends: told is whether the others hear of it by themselves. */
void sim_net_leave(struct sim_life *l, bool told);
void sim_net_flush(struct sim_life *l);
void sim_socks_free(struct sim_life *l);

int sim_sock_write(struct mk_sock *s, const void *p, size_t n);
size_t sim_sock_queued(const struct mk_sock *s);
void sim_sock_pause(struct mk_sock *s, bool paused);
void sim_sock_close(struct mk_sock *s);
const char *sim_sock_remote(const struct mk_sock *s);
int sim_sock_vouched(const struct mk_sock *s, struct mk_peer *ret);
void sim_vouch(struct mk_env *e, const struct mk_peer *self);
int sim_listen(struct mk_env *e, struct mk_listener *l, const char *address,
               struct mk_fault *reterr);
uint16_t sim_listener_port(const struct mk_listener *l);
void sim_listener_close(struct mk_listener *l);
void sim_listeners_free(struct sim_life *l);
int sim_connect(struct mk_env *e, struct mk_connect *c, const char *address);
void sim_connect_cancel(struct mk_connect *c);

int sim_cast_open(struct mk_env *e, struct mk_cast *c, const char *group, const char *interface,
                  struct mk_fault *reterr);
void sim_cast_send(struct mk_cast *c, struct mk_bytes datagram);
void sim_cast_close(struct mk_cast *c);
void sim_casts_free(struct sim_life *l);

/* --- disks ------------------------------------------------------------------------------------ */

struct sim_disk *sim_disk_new(struct sim_node *n);
void sim_disk_free(struct sim_disk *d);
/** Decides what became of all that was not synced. */
void sim_disk_crash(struct sim_disk *d);
void sim_files_free(struct sim_life *l);

int sim_file_open(struct mk_env *e, struct mk_file **ret, const char *path, enum mk_open_mode mode);
void sim_file_close(struct mk_file *f);
int sim_file_size(struct mk_file *f, uint64_t *ret);
int sim_file_read(struct mk_file *f, void *out, size_t n, uint64_t off, size_t *ret_n);
int sim_file_write(struct mk_file *f, const void *p, size_t n, uint64_t off);
int sim_file_truncate(struct mk_file *f, uint64_t size);
int sim_file_sync(struct mk_file *f);
int sim_rename(struct mk_env *e, const char *from, const char *to);
int sim_unlink(struct mk_env *e, const char *path);
int sim_mkdir(struct mk_env *e, const char *path);
int sim_dir_sync(struct mk_env *e, const char *path);
int sim_dir_list(struct mk_env *e, const char *path, void (*cb)(void *arg, const char *name),
                 void *arg);
int sim_dir_lock(struct mk_env *e);
void sim_write_sync(struct mk_file *f, struct mk_write_sync *w);

/* --- lines -------------------------------------------------------------------------------------
 */

int sim_input_open(struct mk_env *e, struct mk_input *in, const struct mk_input_spec *spec,
                   struct mk_fault *reterr);
void sim_input_pause(struct mk_input *in, bool paused);
void sim_input_close(struct mk_input *in);
void sim_inputs_free(struct sim_life *l);

#endif
