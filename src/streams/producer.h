/* producer.h - a producer and its subscribers, for the files of this folder. */
#ifndef STREAMS_PRODUCER_H
#define STREAMS_PRODUCER_H

#include "base/signal.h"
#include "streams/judge.h"
#include "streams/ring.h"
#include "streams/streams.h"

struct mk_producer {
    struct mk_streams *streams;
    struct mk_list node; /* of streams->producers */
    struct mk_producer_options options;
    struct mk_judge judge;
    uint64_t run;
    struct mk_ring ring;
    /* No subscriber that could take more has its cursor below this; the ring may drop what
     * is older without asking anybody. */
    uint64_t floor;
    struct mk_list subscribers;
    struct mk_task pump;    /* this turn's items, to everybody */
    struct mk_timer more;   /* the next turn: somebody had more than a turn's share */
    struct mk_timer age;    /* the oldest item comes of age */
    struct mk_timer expiry; /* the first ticket of a subscriber ends */
    struct mk_timer tell;   /* conditions, in the next turn */
    struct mk_producer_when *whens;
    struct mk_signal signal; /* raised with the conditions */
    bool telling, closed;    /* conditions are told; closed from inside that */
    struct mk_producer_stats stats;
    struct mk_stream_refusal refusals[MK_STREAM_REFUSALS_MAX];
    unsigned n_refusals;
};

struct mk_subscriber {
    struct mk_producer *producer;
    struct mk_list node;
    struct mk_conv *conv;
    uint64_t cursor; /* next seq to send */
    bool begun;      /* Begin was sent */
    bool late;       /* it came back for items that are gone: told, whatever the policy */
    bool stalled;    /* no room; the conversation tells when there is */
    struct mk_shown shown;
    struct mk_subscriber_stats stats;
};

/* subscriber.c */

/** Sends s what its room takes, `share` bytes at most; it may be closed by that. Whether it
 * could take more and there is more. */
bool mk_subscriber_pump(struct mk_subscriber *s, size_t share);
void mk_subscriber_close(struct mk_subscriber *s, unsigned close, const char *detail);
/** Closes those whose tickets have ended, and sets the timer for the next. anew: judges all,
 * whether their time has come or not. */
void mk_producer_judge(struct mk_producer *p, bool anew);

/* producer.c */

/** s has moved on, come or stalled: what the producer must know of it. */
void mk_producer_note(struct mk_producer *p, const struct mk_subscriber *s, bool more);
void mk_subscriber_describe(const struct mk_subscriber *s, struct mk_subscriber_stats *ret);
/** The furthest behind, in items. */
uint64_t mk_producer_lag(const struct mk_producer *p);

/* when.c */

/** Something changed that conditions are about. */
void mk_producer_touch(struct mk_producer *p);
void mk_producer_whens_init(struct mk_producer *p);
void mk_producer_whens_done(struct mk_producer *p);

#endif
