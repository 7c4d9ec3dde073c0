/* hub_int.h - what hub.c (finding groups) and beat.c (processes) share. */
#ifndef GROUP_HUB_INT_H
#define GROUP_HUB_INT_H

#include "env/env.h"
#include "group/hub.h"
#include "group/table.h"

struct mk_hub {
    struct mk_env *env;
    struct mk_net *net;
    struct mk_list groups, readers, doors;
    struct mk_table by_deployment; /* struct mk_group, of_table */
    struct mk_service group, roster, exec, surface;
    /* candidacy.c */
    unsigned n_candidates;
    unsigned n_awake;           /* groups that do not rest */
    struct mk_list candidacies; /* who waits in line */
    /* beat.c */
    struct mk_service beat;
    struct mk_list processes; /* struct mk_process */
    struct mk_timer tick;
    uint64_t tick_ns; /* it is due then */
};

/** NULL: it is not run here. */
struct mk_group *mk_hub_find(struct mk_hub *h, const struct mk_id *deployment);

#endif
