/* stream.h - a producer's stream: direct, from one peer to its subscribers, nobody else
 * vouches for it (spec/committees.md, "Two kinds of stream").
 *
 *   producer --ring of the last items--> subscriber queue (a cursor) --credit--> consumer
 *
 * A subscriber is a cursor into the producer's ring, so a slow one costs the producer
 * nothing but the ring. When the ring laps it, the declared policy says what happens: it
 * is closed with a reason, or it skips and is told how many it lost. */
#ifndef MOSAIK_STREAM_H
#define MOSAIK_STREAM_H

#include <mosaik/network.h>
#include <mosaik/ticket.h>

#define MK_STREAM_ITEM_MAX (256u << 10)

struct mk_producer;
struct mk_consumer;

enum mk_slow { MK_SLOW_CLOSE /* with MK_CLOSE_SLOW */, MK_SLOW_DROP /* and tell the count */ };

struct mk_producer_options {
    struct mk_id surface;   /* surface id (identity.md), kind stream */
    struct mk_id stable_id; /* a ticket's aud */
    const struct mk_acl_composition
        *acl; /* who may subscribe, when it holds GateReaders; copied; NULL: OPEN */
    struct mk_issuers *issuers;
    uint32_t retain_items;    /* 0: 65,536 */
    uint32_t retain_bytes;    /* 0: 16 MiB */
    uint32_t subscribers_max; /* 0: 1,024 */
    enum mk_slow slow;
};
int mk_producer_open(struct mk_network *n, struct mk_producer **ret,
                     const struct mk_producer_options *o);
/** Subscribers are closed with MK_CLOSE_SHUTDOWN. */
void mk_producer_close(struct mk_producer *p);
/** Appends one item (copied) for every subscriber; never blocks, never fails for a slow one.
 * Returns its sequence number, from 1. MK_STREAM_ITEM_MAX bounds it (asserted: our own mistake). */
uint64_t mk_producer_send(struct mk_producer *p, struct mk_bytes item);
struct mk_producer_stats {
    uint64_t sent, bytes;
    unsigned subscribers;
    uint64_t dropped;       /* items skipped over all subscribers */
    uint64_t closed_slow;   /* subscribers closed */
    uint64_t lag_items_max; /* the furthest behind */
};
void mk_producer_stats(const struct mk_producer *p, struct mk_producer_stats *ret);

struct mk_consumer_cbs {
    void (*item)(struct mk_consumer *c, uint64_t seq, struct mk_bytes item); /* lent, ascending */
    /** Items first..last were lost: dropped by the policy, or no longer retained when we came back.
     */
    void (*lost)(struct mk_consumer *c, uint64_t first, uint64_t last);
    /** Link state; the consumer reconnects by itself and resumes after the last item it delivered.
     */
    void (*state)(struct mk_consumer *c, bool subscribed, unsigned close, const char *detail);
};
struct mk_consumer_options {
    struct mk_id surface;
    struct mk_peer producer;
    const char *address; /* "host:port" hint; NULL: discovery */
    uint64_t after;      /* resume after this sequence number; 0 with from_newest false: the oldest
                            retained */
    bool from_newest;
};
int mk_consumer_open(struct mk_network *n, struct mk_consumer **ret,
                     const struct mk_consumer_options *o, const struct mk_consumer_cbs *cbs,
                     void *owner);
void mk_consumer_close(struct mk_consumer *c);
void *mk_consumer_owner(const struct mk_consumer *c);
/** Stops reading: credit runs out, the producer keeps our cursor. */
void mk_consumer_pause(struct mk_consumer *c, bool paused);

#endif /* MOSAIK_STREAM_H */
