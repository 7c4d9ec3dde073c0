/* hub.h - the protocols of groups on one net: a conversation's first message names a
 * deployment, and goes to the group of that deployment. One hub a net, made by the
 * first group on it and gone with the last. */
#ifndef GROUP_HUB_H
#define GROUP_HUB_H

#include "net/net.h"

struct mk_group;
struct mk_hub;

/** MK_EEXISTS: the net has a group of this deployment already. */
int mk_hub_join(struct mk_group *g);
void mk_hub_leave(struct mk_group *g);

#endif
