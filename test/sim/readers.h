/* readers.h - a reader in no committee, in the simulated world: it follows surfaces, executes and
 * asks, and believes certificates alone. What it is shown must add up; it asserts that. */
#ifndef SIM_READERS_H
#define SIM_READERS_H

#include "cluster.h"
#include "group/client.h"

#define READER_NODE 30u

struct reader {
    struct cluster *c;
    struct mk_env *env;
    struct mk_key key;
    struct mk_net *net;
    struct mk_witness *witness; /* NULL: no quotes */
    struct mk_dial dials[CLUSTER_MEMBERS_MAX];
    struct mk_reader_memory *memory;
    struct mk_client_report report;
    struct mk_follow *map, *ticks;
    struct mk_client *client;
    struct mk_component component;
    struct mk_peer through;
    unsigned snapshots, changes, gaps;
    uint64_t ticks_seen, index;
    int failed;
    char said[8][300];
    unsigned n_said;
};

struct reader *reader_new(struct cluster *c, unsigned node);
/** One that shows and judges quotes, and knows the component's ACL (both borrowed). */
struct reader *reader_new_attested(struct cluster *c, unsigned node,
                                   const struct mk_witness_options *w);
/** One that knows no member's address, only that of a replica. */
struct reader *reader_through(struct cluster *c, unsigned node, const struct mk_peer *replica,
                              const char *address);
/** The same, with quotes as reader_new_attested() has them. */
struct reader *reader_through_attested(struct cluster *c, unsigned node,
                                       const struct mk_witness_options *w,
                                       const struct mk_peer *replica, const char *address);
void reader_free(struct reader *r);
struct mk_follow *reader_follow(struct reader *r, enum cluster_surface which);
/** The follower of the map stands where some member stands; false after ms. */
bool reader_until_caught_up(struct reader *r, uint64_t ms);

/** A command, query or key in flight, and what became of it. */
struct call {
    struct mk_call call;
    struct mk_get get;
    unsigned n;
    int status;
    size_t n_commits;
    char text[300];
};

/** Starts one, runs the world until it has ended; its status. */
void reader_start(struct reader *r, struct call *x, const char *command, enum mk_want want,
                  uint32_t ms);
int reader_finish(struct reader *r, struct call *x);
int reader_execute(struct reader *r, struct call *x, const char *command, enum mk_want want);
int reader_query(struct reader *r, struct call *x, const char *text, bool linearizable);
int reader_get(struct reader *r, struct call *x, const char *key, uint64_t max_age_ms);

#endif
