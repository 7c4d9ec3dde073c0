/* consumer.h - a consumer, for the files of this folder, and what conditions see of it. */
#ifndef STREAMS_CONSUMER_H
#define STREAMS_CONSUMER_H

#include "base/signal.h"
#include "streams/judge.h"
#include "streams/streams.h"

#define MK_CONSUMER_AGAIN_MIN_MS 200u /* before it asks again */

struct mk_consumer {
    struct mk_streams *streams;
    struct mk_list node; /* of streams->consumers */
    struct mk_consumer_options options;
    struct mk_consumer_cbs cbs;
    void *owner;
    struct mk_judge judge;
    struct mk_shown shown; /* by the producer, while subscribed */
    struct mk_conv *conv;
    bool subscribed, paused, closed;
    struct mk_signal signal;
    unsigned busy;
    bool positioned; /* run and last mean something */
    uint64_t run;    /* 0: not known */
    uint64_t last;   /* delivered, or told lost */
    struct mk_list held;
    bool ending; /* the conversation has ended; the user is told when held is empty */
    struct mk_timer again, asked, expiry;
    bool anew; /* judged again, whether its time has come or not */
    uint32_t again_ms;
    struct mk_task resume;
    struct mk_consumer_stats stats;
    unsigned close; /* why it is not subscribed */
    char why[MK_REASON_MAX];
};

/* consumer.c */

/** Around whatever may call a callback of the user's. */
void mk_consumer_enter(struct mk_consumer *c);
/** c may be gone after it. */
void mk_consumer_leave(struct mk_consumer *c);
/** Not subscribed (any more): says so, and tries again in a while. Inside enter. */
void mk_consumer_ended(struct mk_consumer *c, unsigned close, const char *detail);
/** The same, and it is us who end the conversation. */
void mk_consumer_end(struct mk_consumer *c, unsigned close, const char *detail);

/* deliver.c */

void mk_consumer_message(struct mk_conv *conv, struct mk_bytes m);
/** What was held while paused goes on. */
void mk_consumer_resume_cb(struct mk_task *t);
void mk_consumer_drop_held(struct mk_consumer *c);

/* For conditions. */
struct mk_env *mk_consumer_env(const struct mk_consumer *c);
struct mk_signal *mk_consumer_signal(struct mk_consumer *c); /* raised with each item */
/** The same of all that are gathered. */
struct mk_env *mk_gather_env(const struct mk_gather *g);
struct mk_signal *mk_gather_signal(struct mk_gather *g);

#endif
