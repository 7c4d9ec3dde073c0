/* feed.h - what conditions see of a feed. */
#ifndef NODE_FEED_H
#define NODE_FEED_H

#include "node/network.h"
#include <mosaik/feed.h>

struct mk_env *mk_feed_env(const struct mk_feed *f);
struct mk_signal *mk_feed_signal(struct mk_feed *f); /* raised with each item */

/* A feed without callbacks keeps items until they are taken; conditions count those, too. */
struct mk_feed_waiting {
    uint64_t number; /* which of those that came, from 1 */
    uint64_t at_ns;  /* when */
    struct mk_bytes item;
};
uint64_t mk_feed_came(const struct mk_feed *f); /* while its signal is raised: the item's number */
/** Those above `after`, oldest first, until cb says false; item is lent for the call. */
void mk_feed_each_waiting(const struct mk_feed *f, uint64_t after,
                          bool (*cb)(const struct mk_feed_waiting *i, void *arg), void *arg);
/** How many keep the rest from coming until some are taken; 0: none do. */
unsigned mk_feed_held_up(const struct mk_feed *f);

#endif
