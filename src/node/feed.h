/* feed.h - what conditions see of a feed. */
#ifndef NODE_FEED_H
#define NODE_FEED_H

#include "node/network.h"
#include <mosaik/feed.h>

struct mk_env *mk_feed_env(const struct mk_feed *f);
struct mk_signal *mk_feed_signal(struct mk_feed *f); /* raised with each item */

#endif
