/* exec.h - one client's conversation, as exec.c and query.c see it. */
#ifndef GROUP_EXEC_H
#define GROUP_EXEC_H

#include "group/group_int.h"

struct mk_exec_conv {
    struct mk_group *g;
    struct mk_list node; /* g->clients */
    struct mk_list dead; /* g->dead_clients, once it has ended */
    struct mk_conv *conv;
    struct mk_outbox out;
    struct mk_list waiters;
    unsigned n_waiting; /* commands and queries in flight */
    bool may_write, may_read;
    uint64_t epoch;      /* the newest that it knows */
    uint64_t expires_ms; /* of its admission; unix */
    char reason[MK_REASON_MAX];
    struct mk_peer hinted; /* the leader it was told of last */
    struct mk_arena mem;
    struct mk_bytes *tickets;
    size_t n_tickets;
};

#endif
