/* client_int.h - what client.c (execute, query) and lookup.c (single keys) share. */
#ifndef GROUP_CLIENT_INT_H
#define GROUP_CLIENT_INT_H

#include "base/list.h"
#include "group/choose.h"

/** One conversation under "surface" for single keys of one map. */
struct mk_lookups {
    struct mk_list node; /* of the client */
    struct mk_client *client;
    struct mk_id surface;
    struct mk_chooser chooser;
    struct mk_peers through;
    struct mk_conv *conv;
    struct mk_peer peer;
    bool blocked;
    struct mk_list gets;
    unsigned n_gets;
    uint64_t ids;
    uint64_t heard_ns;
    struct mk_task task;
    struct mk_timer timer;
};

struct mk_client {
    struct mk_env *env;
    struct mk_net *net;
    struct mk_component component;
    struct mk_arena arena;
    struct mk_reader_memory *memory;
    struct mk_chooser chooser;
    struct mk_net_watch watch;
    struct mk_task task;
    struct mk_timer timer;
    struct mk_conv *conv;
    struct mk_peer peer; /* the member in use */
    bool blocked;
    uint64_t heard_ns;
    uint64_t answered_ns;    /* a call, or when they began to wait */
    unsigned stuck;          /* members in a row that were left because they answered none */
    uint64_t moved_ns;       /* when it last went to the leader on a member's advice */
    struct mk_list calls;    /* oldest first */
    struct mk_list sessions; /* idle ones */
    unsigned n_calls, n_sessions;
    uint64_t ids;
    struct mk_list lookups;
    unsigned n_lookups;
    unsigned depth; /* events being handled */
    bool closed;    /* in one of them */
};

void mk_client_enter(struct mk_client *c);
void mk_client_leave(struct mk_client *c);
/** Ends all gets with MK_ECANCELED and frees the conversations. */
void mk_lookups_close(struct mk_client *c);
void mk_lookups_link_up(struct mk_client *c);

#endif
