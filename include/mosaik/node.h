/* node.h - a process that runs committee members: one key, one listener, one log for
 * all its components.
 *
 * A component is a machine (machine.h) and, where it needs the outside, a driver. The
 * node founds, replicates, serves readers and spreads the Deployments; the machine and
 * the driver know nothing of that. */
#ifndef MOSAIK_NODE_H
#define MOSAIK_NODE_H

#include <mosaik/input.h>
#include <mosaik/machine.h>
#include <mosaik/network.h>
#include <mosaik/retention.h>

struct mk_node;
struct mk_host; /* one component as it runs here; lent to its driver */

/* --- drivers: a component's hands ------------------------------------------------------ */

struct mk_driver;
struct mk_driver_ops {
    /** The component runs (founded or not). 0, or why it cannot. */
    int (*start)(struct mk_driver *d, struct mk_host *h, struct mk_fault *reterr);
    /** Leadership, founding or applied state may have changed. May be NULL. */
    void (*changed)(struct mk_driver *d);
    /** Lines for `coalition status`: a JSON object's members, without braces. May be NULL. */
    void (*status)(const struct mk_driver *d, struct mk_buf *json);
    /** Stop and free; no call comes after it. */
    void (*stop)(struct mk_driver *d);
};
struct mk_driver {
    const struct mk_driver_ops *ops;
};

/** Does this member lead? Has it state at all? The loop that it runs on. */
bool mk_host_leads(const struct mk_host *h);
bool mk_host_founded(const struct mk_host *h);
struct mk_env *mk_host_loop(const struct mk_host *h);
/** The network handle of the node: to bind what the component rests on. Lent. */
struct mk_network *mk_host_network(const struct mk_host *h);
const struct mk_surfaces *
mk_host_surfaces(const struct mk_host *h); /* lent until the loop is entered again */
/** Commits a command in this member's name; x as in network.h, step one. In order of submission.
 * MK_EFULL: too many wait; try again after a callback. */
int mk_host_execute(struct mk_host *h, struct mk_exec *x, struct mk_bytes command);
/** A line in the node's log, of event "driver". */
void mk_host_log(struct mk_host *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* --- the node ----------------------------------------------------------------------------- */

/** One event of a node's log. Lent for the call. */
struct mk_log_line {
    const char *event;       /* "leader", "refused", "listening", ...: docs/metrics.md lists them */
    struct mk_str component; /* its label; p NULL: the node itself */
    bool warning;            /* somebody should look */
    const char *text;
};

struct mk_node_options {
    const struct mk_key *key;     /* borrowed */
    const struct mk_id *universe; /* NULL: MK_UNIVERSE */
    const char *listen;           /* "host:port" */
    const char *advertise;        /* NULL: what listen says */
    const struct mk_str *hints;
    size_t n_hints;
    const struct mk_bytes *tickets;
    size_t n_tickets;
    const char *lan;           /* multicast DNS on this interface, or "*"; NULL: none */
    const struct mk_str *tags; /* words that its entry shows; copied */
    size_t n_tags;
    const struct mk_witness_options *witness; /* quotes (witness.h); NULL: none */
    bool vouched;                             /* simulated world only */
    const char *http; /* "host:port" of /metrics, /livez, /readyz, /status; NULL: none */
    /** The node's log, one event at a time; may be NULL. */
    void (*log)(void *arg, const struct mk_log_line *line);
    void *log_arg;
    /** Nothing is left for the node to do: its disk failed, or each of its components did. Once,
     * from the loop; the log says which and why before. Its owner should end it, and whoever
     * supervises the process start it again. May be NULL. */
    void (*failed)(void *arg, const char *why);
    void *failed_arg;
};
/** Locks and opens the loop's directory (the log is recovered before this returns). A loop has one
 * node at a time, as its directory holds one log; another needs a loop and a directory of its own.
 * MK_EINUSE: the loop has a node already, or another process, or another loop of this one, has the
 * directory; MK_EEXISTS: an address is taken. */
int mk_node_open(struct mk_env *e, struct mk_node **ret, const struct mk_node_options *o,
                 struct mk_fault *reterr);
/** After mk_node_open() or mk_node_add() said MK_ECORRUPT, and everything is closed: puts the log
 * away into the folder "damaged" of the loop's directory, with why. The directory then opens as
 * that of a member that lost its disk: it founds nothing, and begins anew where a majority goes on
 * without it. MK_EINUSE: a node is open; MK_EIO, MK_ENOSPACE. */
int mk_node_set_aside(struct mk_env *e, const char *why, struct mk_fault *reterr);
/** Departure is announced, drivers stop, members close, the log is closed. */
void mk_node_close(struct mk_node *n);
/** The node's own handle; lent until it closes. */
struct mk_network *mk_node_network(struct mk_node *n);
/** The port that it listens on. */
uint16_t mk_node_port(const struct mk_node *n);

struct mk_component_options {
    struct mk_str label; /* "atlas", "price-feed.eur" */
    struct mk_id stable_id, content_hash;
    struct mk_id deployment;
    const struct mk_roster *roster; /* the first roster */
    const struct mk_str *addresses; /* "<peer hex>@host:port" of every member */
    size_t n_addresses;
    const struct mk_founding *founding;   /* operators; its raft_ids are ignored; NULL: none */
    const struct mk_acl_composition *acl; /* who is admitted; must be there: one without clauses
                                           * (all zero) admits everybody. Copied */
    struct mk_id own_issuer;              /* zero: none */
    struct mk_issuers *issuers;           /* NULL: the book of the node's network */
    struct mk_machine *machine;           /* taken */
    struct mk_driver *driver;             /* taken; NULL: none */
    struct mk_bytes record;               /* pc(Deployment) to spread; empty: none */
    struct mk_id inner; /* members speak on this network alone, behind the same listener: derive(
                         * deployment, "private"); zero: where everybody speaks */
    const struct mk_retention *retain; /* to keep more of the past than declared; NULL: no more */
    bool found;                        /* --found */
    bool join;                         /* --join: the peer may be of no roster yet */
    bool replica;     /* not of the committee: its surfaces are followed, and served to
                       * readers with its certificates; found, join, driver are unused */
    bool read_leases; /* the leader may answer MK_READ_LEASE without asking the others;
                       * alike in all members' files (see MK_READ_LEASE) */
};
/** MK_EINVALID besides: roster, acl or machine is NULL, roster->deployment differs from deployment,
 * or a replica is asked for where the first roster has this node's own key. MK_ENOTSUP: the log was
 * written by another machine; reterr names both. Start the build that wrote it. */
int mk_node_add(struct mk_node *n, const struct mk_component_options *o, struct mk_fault *reterr);
/** One JSON object: peer, components with role, term, indices, members, what each waits for, bonds.
 * The same that `coalition status` prints; its keys are in docs/cli.md. */
void mk_node_status(struct mk_node *n, struct mk_buf *json);

/** The same in the text format of Prometheus; docs/metrics.md has the names. */
void mk_node_metrics(struct mk_node *n, struct mk_buf *out);
/** Can it do its work? Its log lives, each component is founded, has not failed and knows a leader.
 * Lines that say what is not so are appended to why (may be NULL). */
bool mk_node_ready(struct mk_node *n, struct mk_buf *why);
/** The port of `http`; 0: none. */
uint16_t mk_node_http_port(const struct mk_node *n);

/** Asks the node at "<peer hex>@host:port" for the same object. Blocks. MK_EUNREACHABLE with what
 * happened. */
int mk_node_ask_status(struct mk_network *n, struct mk_str address, uint32_t timeout_ms,
                       struct mk_buf *json, struct mk_fault *reterr);

/** What one of several nodes said. */
struct mk_status_answer {
    struct mk_str address; /* whom to ask; borrowed */
    int status;            /* 0: json holds the object; else fault says what happened */
    struct mk_buf json;    /* given: mk_buf_done() */
    struct mk_fault fault;
};
/** Asks all at once; blocks until each has answered or the one deadline has passed. */
void mk_node_ask_all(struct mk_network *n, struct mk_status_answer *answers, size_t n_answers,
                     uint32_t timeout_ms);

/* --- who is of a committee ----------------------------------------------------------------- */

/** Proposes the next roster of a component to the member at "<peer hex>@host:port" (the leader says
 * most about a refusal), signed with the operator's key, or those of a majority of the present
 * roster. next->epoch and next->previous are those that status tells, epoch + 1 and roster_id.
 * Blocks. 0: it is on its way; status shows epoch and `settled`. MK_EREFUSED with the rule;
 * MK_ENOTLEADER: ask again; MK_EUNREACHABLE, MK_ETIMEDOUT. */
int mk_node_propose(struct mk_network *n, struct mk_str address, const struct mk_roster *next,
                    const struct mk_key *keys, size_t n_keys, uint32_t timeout_ms,
                    struct mk_fault *reterr);
/** Asks for another leader: to, or a suitable member when NULL. The network's key must be that of
 * the operator, or of a member. Blocks. As above; MK_ENOTFOUND: that peer has no vote. */
int mk_node_transfer(struct mk_network *n, struct mk_str address, const struct mk_id *deployment,
                     const struct mk_peer *to, uint32_t timeout_ms, struct mk_fault *reterr);
/** Asks a committee to take the hash of its state at one entry, on every member; each shows it in
 * its status under this nonce (a random one), with the entry's index. As above; MK_ENOTSUP: not
 * every member knows how (an upgrade is under way), reterr says which. */
int mk_node_check(struct mk_network *n, struct mk_str address, const struct mk_id *deployment,
                  uint64_t nonce, uint32_t timeout_ms, struct mk_fault *reterr);
/** Hands over every leadership that members of this node hold, for a restart that nobody notices:
 * runs the loop until that is done, or timeout_ms have passed. */
void mk_node_yield(struct mk_node *n, uint32_t timeout_ms);

#endif /* MOSAIK_NODE_H */
