/* consumer.h - what conditions see of a consumer. */
#ifndef STREAMS_CONSUMER_H
#define STREAMS_CONSUMER_H

#include "base/signal.h"
#include "streams/streams.h"

struct mk_env *mk_consumer_env(const struct mk_consumer *c);
struct mk_signal *mk_consumer_signal(struct mk_consumer *c); /* raised with each item */

#endif
