/* cluster.h - a committee in the simulated world: members with their disks, a small
 * machine, clients, and checkers that run after every event.
 *
 *     struct cluster *c = cluster_new(&(struct cluster_options){.seed = 7});
 *
 *     assert_true(cluster_until_ready(c, 5000));
 *     assert_int_equal(cluster_set(c, "k", "v", 3000), 0);
 *     world_crash(c->w, cluster_leader(c));
 *     ...
 *     cluster_free(c);
 *
 * Members are nodes 0 .. n-1 in roster order (0 founds), the last of them spares that are of
 * no roster yet; clients are the nodes above.
 *
 * The machine: commands are "set KEY VALUE", "remove KEY", "tick N" (appends N to the
 * stream), "fill ..." (does nothing), "bulk N" (64 keys of 4 KB that follow from N), "add KEY" (a
 * counter in the machine's own state, answers the new value), "refuse WHY"; a query "get KEY"
 * answers the value, "count KEY" the counter.
 *
 * Always checked: one leader a term; at most one change of the configuration under way; equal
 * state hashes after every entry that is applied; the
 * applied index of a life never goes back; certificates carry a majority of good
 * signatures and never conflict. A violation prints what was broken and aborts. */
#ifndef SIM_CLUSTER_H
#define SIM_CLUSTER_H

#include "group/group.h"
#include "group/wire.h"
#include "witness/witness.h"
#include "world.h"

#define CLUSTER_MEMBERS_MAX 5u
#define CLUSTER_CLIENTS_MAX 8u

struct cluster;

enum cluster_surface { CLUSTER_MAP, CLUSTER_TICKS };

struct cluster_options {
    uint64_t seed;
    unsigned n;       /* members; 0: 3 */
    unsigned spares;  /* processes beyond the first roster, which may join it later */
    unsigned clients; /* nodes with a client on them */
    bool tls;         /* real TLS on the simulated streams */
    uint64_t snapshot_entries;
    uint32_t quiet_ms; /* 0: the default */
    unsigned old; /* bits: members of the build before, that knows protocol 1 (c->old goes on) */
    unsigned lease_ms; /* reads under a lease; 0: none. Three of four gets ask for one. */
    unsigned uncured;
    bool unfounded;                       /* nobody is started with --found */
    const struct mk_acl_composition *acl; /* NULL: OPEN */
    struct mk_id own_issuer;
    struct mk_issuers *issuers; /* borrowed */
    /** What a member shows, asked at each boot: at most MK_TICKETS_MAX, lent for the call. NULL:
     * nothing. */
    size_t (*tickets)(void *arg, struct cluster *c, unsigned member, struct mk_bytes *ret);
    void *tickets_arg;
    /** What member i shows and believes of quotes; NULL: nothing. */
    void (*attest)(void *arg, unsigned i, struct mk_witness_options *ret);
    void *attest_arg;
};

/** A member's process: everything hangs on its env and dies with it. */
struct process {
    struct cluster *c;
    unsigned i;
    struct mk_env *env;
    struct mk_store *store;
    struct mk_net *net;
    struct mk_witness *witness; /* NULL: without attest */
    struct mk_group *group;     /* NULL: it could not open */
    struct mk_dial dials[CLUSTER_MEMBERS_MAX];
    char failed[MK_FAULT_MAX];
    uint64_t checked; /* applied index that was checked last */
    uint64_t asked;   /* ... at which certificates were asked for */
    uint64_t certified[2], certified_ms[2];
    uint64_t time_ms;                /* machine time that was seen last */
    uint64_t conf_last, conf_commit; /* to where configurations were looked at */
    uint64_t blank_at; /* it began with an empty disk when so much was committed; 0: it did not */
};

struct client;
struct checks;

struct cluster {
    struct world *w;
    struct cluster_options o;
    unsigned n; /* with the spares */
    struct mk_key keys[CLUSTER_MEMBERS_MAX];
    struct mk_key client_keys[CLUSTER_CLIENTS_MAX];
    struct mk_peer peers[CLUSTER_MEMBERS_MAX];
    struct mk_roster roster;
    struct mk_id deployment, stable_id;
    struct cluster_boot {
        struct cluster *c;
        unsigned i;
    } boots[CLUSTER_MEMBERS_MAX + CLUSTER_CLIENTS_MAX];
    struct checks *checks;
    uint64_t blank[CLUSTER_MEMBERS_MAX]; /* see blank_at, for the next boot */
    bool may_fail;                       /* a member may stop: its disk was made to fail */
    const char *excuse;                  /* ... and may say this, besides full and failing */
    bool stop;                           /* clients: nothing new */
    /* bits of nodes, 0: none: the clients among them read a key from the members among them, the
     * others write it elsewhere (cluster_snatch()) */
    uint64_t snatched;
    unsigned snatches;     /* each has a key of its own: histories of one key stay short */
    unsigned old, foreign; /* bits: at their next boot of an older build, with another machine */
    unsigned rogues;       /* bit i: another program runs on member i's node */
    unsigned aside;        /* bits: at its next boot puts its log away as damaged */
    unsigned wiped;        /* bits: lost the disk in this swarm */
    struct mk_buf history;
};

extern const struct mk_surface_spec cluster_surfaces[2];

/** The signature of the machine, as members name it to each other. */
struct mk_id cluster_machine_id(void);
struct cluster *cluster_new(const struct cluster_options *o);
void cluster_free(struct cluster *c);

struct process *cluster_process(struct cluster *c, unsigned i); /* NULL: down */
struct mk_group *cluster_group(struct cluster *c, unsigned i);  /* NULL: down or not open */
/** The member that leads in the highest term, or -1. */
int cluster_leader(struct cluster *c);
/** Some member that is up and does not lead. */
unsigned cluster_follower(struct cluster *c);
void cluster_status(struct cluster *c, unsigned i, struct mk_group_status *ret);

/** The member has crashed; its disk is replaced by an empty one, and it boots again. */
void cluster_lose_disk(struct cluster *c, unsigned i);
/** Proposes the roster whose peers are the members of the bits, signed by a majority of the
 * present one. 0, or why it was refused. */
int cluster_propose(struct cluster *c, unsigned bits);
/** As many as it takes until every peer of the leader's roster votes and nobody else does. */
bool cluster_until_settled(struct cluster *c, uint64_t ms);
/** Of the roster that the leader has. */
bool cluster_in_roster(struct cluster *c, unsigned i);

/** A leader that has committed; false when there is none after ms. */
bool cluster_until_ready(struct cluster *c, uint64_t ms);
/** Every member is up and has applied what the leader has; false after ms. */
bool cluster_until_equal(struct cluster *c, uint64_t ms);
/** Member i is in that state; false after ms. */
bool cluster_until_state(struct cluster *c, unsigned i, enum mk_group_state state, uint64_t ms);

/** Submits through the member that leads (or any) and runs the world until the answer.
 * The outcome's status; MK_ETIMEDOUT after ms. session 0: a fresh one. */
int cluster_command(struct cluster *c, unsigned member, const char *command, uint64_t ms);
/** As above with a session and number of the caller, and the answer as text. */
int cluster_command_as(struct cluster *c, unsigned member, uint64_t session, uint64_t number,
                       const char *command, uint64_t ms, char answer[64]);
int cluster_set(struct cluster *c, const char *key, const char *value, uint64_t ms);
/** n writes, one after the other, to 37 keys; false when one is not acknowledged. */
bool cluster_write_many(struct cluster *c, unsigned n);
/** A member's own value of a key; "" for none. Lent until the world moves. */
const char *cluster_value(struct cluster *c, unsigned member, const char *key);
/** Every key acknowledged is there, with a value written at or after it, on all members. */
void cluster_check_durable(struct cluster *c);

/* --- clients over links (protocol "exec"), for histories ---------------------------- */

/** What a client did: an operation on one key, with what it knows of its outcome. */
struct operation {
    enum operation_kind { OP_SET, OP_GET, OP_ADD, OP_TICK } kind;
    unsigned key;
    uint64_t value; /* set: written; get: read (0: none); add: the answer; tick: its own number */
    uint64_t invoked, returned; /* ns; returned UINT64_MAX: not known */
    bool failed;                /* certainly not applied */
};

/** Starts a loop of random operations on `keys` keys on every client node, or sets another pace. */
void cluster_workload(struct cluster *c, unsigned keys, unsigned pause_ms);
void cluster_workload_stop(struct cluster *c);
/** Clients in `side` read one key from members in it, those outside write it outside, at once
 * and quickly: what a leader that is cut off with a reader must not answer. 0: as before. */
void cluster_snatch(struct cluster *c, uint64_t side);
bool cluster_workload_idle(struct cluster *c); /* stopped, and nothing is in flight */
/** Linearizable, and no add was applied twice. Aborts otherwise. */
void cluster_check_history(struct cluster *c);
uint64_t cluster_operations(const struct cluster *c); /* that got an answer */

/** Stops with a line; `again` (may be NULL) is printed first: how to repeat it. */
void cluster_violation(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
extern const char *cluster_again;

#endif
