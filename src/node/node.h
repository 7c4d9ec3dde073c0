/* node.h - what node.c, host.c and status.c share: the node and its components. */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "group/group.h"
#include "group/replica.h"
#include "node/network.h"
#include "store/store.h"
#include <mosaik/node.h>

#define MK_COMPONENTS_MAX 16384u
#define MK_HOST_WANTED_MAX (4u * MK_ROSTER_MAX)
#define MK_HOST_QUEUE_MAX 1024u /* commands of one driver that wait */

struct mk_host {
    struct mk_node *of;
    struct mk_list node; /* of of->hosts */
    struct mk_str label;
    struct mk_id stable_id, content_hash, deployment;
    struct mk_machine *machine; /* the group's */
    struct mk_driver *driver;
    struct mk_group *group;
    struct mk_group_watch watch;
    struct mk_signal signal;
    struct mk_arena arena; /* label, roster */
    struct mk_roster roster;
    struct mk_peer wanted[MK_HOST_WANTED_MAX]; /* members that we keep links to */
    size_t n_wanted;
    struct mk_net *inner; /* NULL: members speak where everybody does */
    struct inner_dial {
        struct mk_dial dial;
        bool is;
    } * dials;      /* on it, as wanted; NULL without */
    uint64_t epoch; /* seen last */
    enum mk_group_state state;

    /* Commands of the driver: one in flight, in order, retried under one number. */
    uint64_t session, number;
    struct mk_submit submit;
    struct mk_list queue; /* struct queued_exec, host.c */
    unsigned queued;
    bool in_flight;
    bool closing;
    bool failed;                    /* the group has stopped, and the log says why */
    enum mk_group_state seen_state; /* what the log said last */
    uint64_t seen_term, refusals_logged, damages_logged, mended_logged;
    char estranged[MK_REASON_MAX]; /* what was logged of members of another version */
    uint64_t refused_ns;           /* when it last told of a refusal */
    struct mk_timer retry;
};

/** A component of another committee that is served to readers here (mirror.c). */
struct mk_mirror {
    struct mk_node *of;
    struct mk_list node; /* of of->mirrors */
    struct mk_bond_part part;
    struct mk_bond *bond;
    struct mk_replica *replica; /* NULL: not bound, or it could not open */
    struct mk_machine *machine; /* for its surfaces alone */
    struct mk_arena arena;      /* label, acl */
    struct mk_str label;
    struct mk_id stable_id, own_issuer;
    struct mk_acl_composition acl;
    struct mk_issuers *issuers;
};

struct mk_node {
    struct mk_env *env;
    struct mk_network *network;
    struct mk_store *store;
    struct mk_list hosts;
    struct mk_list mirrors;
    unsigned n_hosts;
    struct mk_service trace; /* protocol "trace" */
    struct mk_service operate;
    struct mk_task offer; /* our entry names all that is here, at the end of the turn */
    struct mk_discovery_watch records;
    uint64_t lists_seen; /* of the issuer book's changes: the groups were judged by them */
    void (*log)(void *arg, const struct mk_log_line *line);
    void *log_arg;
    struct mk_http http;
    uint64_t http_requests, opened_ns;
    void (*failed)(void *arg, const char *why); /* NULL: nobody asks, or it was told */
    void *failed_arg;
    struct mk_bytes *tickets;
    struct mk_buf aside; /* why a damaged log was put away; empty: none was */
};

/** One event of the log; h NULL: of the node itself. */
void mk_node_log(struct mk_node *n, const struct mk_host *h, const char *event, bool warning,
                 const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/** Serves /metrics, /livez, /readyz and /status (http.c). */
int mk_node_http_open(struct mk_node *n, const char *address, struct mk_fault *reterr);
/** A component stopped: tells the owner when nothing is left. */
void mk_node_component_failed(struct mk_node *n, const char *why);
/** Our entry in discovery names the surfaces and deployments of all components, at the end of
 * the turn. */
void mk_node_offer(struct mk_node *n);
int mk_host_open(struct mk_node *n, const struct mk_component_options *o, struct mk_fault *reterr);
void mk_host_close(struct mk_host *h);
/** As mk_host_open(): o->machine is taken on success. */
int mk_mirror_open(struct mk_node *n, const struct mk_component_options *o,
                   struct mk_fault *reterr);
void mk_mirror_close(struct mk_mirror *m);
void mk_mirror_log(const struct mk_mirror *m, const char *text);
/** Discovery knows more: members whose address was not known are dialed. */
void mk_host_redial(struct mk_host *h);
/** Its network answers the protocol "status" with what mk_node_status() says. */
void mk_status_serve(struct mk_node *n);
/** Serves the protocol "trace" (trace.c). */
int mk_trace_serve(struct mk_node *n);
/** Serves the protocol "operate". */
int mk_operate_serve(struct mk_node *n);

#endif
