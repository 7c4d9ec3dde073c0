/* hub.h - the protocols of groups on one net: a conversation's first message names a
 * deployment, and goes to the group of that deployment. One hub a net, made by the
 * first group on it and gone with the last. */
#ifndef GROUP_HUB_H
#define GROUP_HUB_H

#include "net/net.h"

#include "base/list.h"

struct mk_group;
struct mk_hub;
struct mk_serve;

/** Where a group whose members speak on a network of their own meets everybody else. */
struct mk_hub_door {
    struct mk_list node;
    struct mk_hub *hub; /* NULL: it has none */
    struct mk_group *g;
};

/** MK_EEXISTS: the net has a group of this deployment already. */
int mk_hub_join(struct mk_group *g);
void mk_hub_leave(struct mk_group *g);

/** Somebody without a group who serves a deployment's surfaces: a replica. */
struct mk_hub_reader {
    struct mk_list node;
    struct mk_hub *hub;
    struct mk_id deployment;
    struct mk_serve *serve; /* borrowed */
};
/** MK_EEXISTS: the net has the deployment already. */
int mk_hub_add_reader(struct mk_env *e, struct mk_net *net, struct mk_hub_reader *r);
void mk_hub_remove_reader(struct mk_hub_reader *r);

#endif
