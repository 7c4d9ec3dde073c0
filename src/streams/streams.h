/* streams.h - one peer's producers and consumers, and the protocol between them. The
 * public face is <mosaik/stream.h>; src/node binds it to a network handle. */
#ifndef STREAMS_STREAMS_H
#define STREAMS_STREAMS_H

#include "discovery/discovery.h"
#include "net/net.h"
#include "streams/wire.h"
#include <mosaik/ticket.h>

struct mk_streams {
    struct mk_env *env;
    struct mk_net *net;
    struct mk_discovery *discovery;
    const struct mk_bytes *tickets; /* ours, borrowed: what consumers show */
    size_t n_tickets;
    struct mk_attestation *attestation; /* borrowed; NULL: no quotes are verified */
    struct mk_standing *standing;       /* borrowed; NULL: no organism's cards are followed */
    struct mk_list producers, consumers, gathers;
    struct mk_service service;
    struct mk_net_watch links;
    void (*changed)(struct mk_streams *s); /* a producer opened or closed; may be NULL */
};

/** Serves the protocol "stream". Everything borrowed must outlive it. */
int mk_streams_open(struct mk_streams *s, struct mk_env *e, struct mk_net *net,
                    struct mk_discovery *d, const struct mk_bytes *tickets, size_t n_tickets);
/** Closes what is still open. */
void mk_streams_done(struct mk_streams *s);

/** Revocations came, or what is known of a quote changed: every subscriber and every producer is
 * judged again, now. */
void mk_streams_rejudge(struct mk_streams *s);

/** Peer shows these from now on (copied): what it is subscribed to here, and what we are at it, is
 * judged by them. */
void mk_streams_retake(struct mk_streams *s, const struct mk_peer *peer,
                       const struct mk_stream_tickets *tickets);
/** We show others: the consumers that wait because they were refused ask at once. */
void mk_streams_renewed(struct mk_streams *s, const struct mk_bytes *tickets, size_t n_tickets);

/* As in <mosaik/stream.h>. */
int mk_streams_produce(struct mk_streams *s, struct mk_producer **ret,
                       const struct mk_producer_options *o);
int mk_streams_consume(struct mk_streams *s, struct mk_consumer **ret,
                       const struct mk_consumer_options *o, const struct mk_consumer_cbs *cbs,
                       void *owner);

int mk_streams_gather(struct mk_streams *s, struct mk_gather **ret,
                      const struct mk_gather_options *o, const struct mk_consumer_cbs *cbs,
                      void *owner);
/** The surfaces of the open producers, one each. */
void mk_streams_surfaces(const struct mk_streams *s, struct mk_id *out);

/* Between the files of this folder. */
void mk_gather_close_node(struct mk_list *node);
struct mk_producer *mk_streams_find(struct mk_streams *s, const struct mk_id *surface);
/** Admits a subscriber, or returns the close code. */
unsigned mk_producer_subscribe(struct mk_producer *p, struct mk_conv *c,
                               const struct mk_subscribe *hello, char detail[MK_REASON_MAX]);
void mk_producer_close_node(struct mk_list *node);
void mk_producer_rejudge_node(struct mk_list *node);
/** Looks at it at once; what it is told comes in a later turn. */
void mk_consumer_rejudge_node(struct mk_list *node);
void mk_consumer_close_node(struct mk_list *node);
void mk_producer_retake_node(struct mk_list *node, const struct mk_peer *peer,
                             const struct mk_stream_tickets *tickets);
void mk_consumer_retake_node(struct mk_list *node, const struct mk_peer *peer,
                             const struct mk_stream_tickets *tickets);
void mk_consumer_renewed_node(struct mk_list *node);
void mk_consumer_link_up(struct mk_list *node, struct mk_link *l);

#endif
