/* streams.c - the protocol "stream": a subscription arrives, the producer of its surface
 * judges it; a link comes up, the consumers that wait for its peer subscribe. */
#include "streams/streams.h"

#include <stdio.h>

static unsigned accept_subscription(struct mk_service *service, struct mk_conv *c,
                                    struct mk_bytes first, char detail[MK_REASON_MAX])
{
    struct mk_streams *s = mk_container_of(service, struct mk_streams, service);
    struct mk_arena arena = {0};
    struct mk_subscribe hello;
    struct mk_producer *p;
    struct mk_fault fault;
    unsigned close;

    if (mk_decode(&hello, &mk_subscribe_type, first, &arena, &fault) != 0) {
        snprintf(detail, MK_REASON_MAX, "%.200s", fault.text);
        close = MK_CLOSE_MALFORMED;
    } else if ((p = mk_streams_find(s, &hello.surface)) == NULL) {
        close = MK_CLOSE_NOT_FOUND;
    } else {
        close = mk_producer_subscribe(p, c, &hello, detail);
    }
    mk_arena_done(&arena);
    return close;
}

static void links_up(struct mk_net_watch *w, struct mk_link *l)
{
    struct mk_streams *s = mk_container_of(w, struct mk_streams, links);

    mk_list_each(n, &s->consumers) mk_consumer_link_up(n, l);
}

static void links_down(struct mk_net_watch *w, const struct mk_peer *peer, unsigned close,
                       const char *detail)
{
    (void)w; /* the conversations tell */
    (void)peer;
    (void)close;
    (void)detail;
}

void mk_streams_rejudge(struct mk_streams *s)
{
    mk_list_each(n, &s->producers) mk_producer_rejudge_node(n);
    mk_list_each(n, &s->consumers) mk_consumer_rejudge_node(n);
}

void mk_streams_retake(struct mk_streams *s, const struct mk_peer *peer,
                       const struct mk_stream_tickets *tickets)
{
    mk_list_each(n, &s->producers) mk_producer_retake_node(n, peer, tickets);
    mk_list_each(n, &s->consumers) mk_consumer_retake_node(n, peer, tickets);
}

void mk_streams_renewed(struct mk_streams *s, const struct mk_bytes *tickets, size_t n_tickets)
{
    s->tickets = tickets;
    s->n_tickets = n_tickets;
    mk_list_each(n, &s->consumers) mk_consumer_renewed_node(n);
}

int mk_streams_open(struct mk_streams *s, struct mk_env *e, struct mk_net *net,
                    struct mk_discovery *d, const struct mk_bytes *tickets, size_t n_tickets)
{
    int rv;

    *s = (struct mk_streams){
        .env = e, .net = net, .discovery = d, .tickets = tickets, .n_tickets = n_tickets};
    mk_list_init(&s->producers);
    mk_list_init(&s->consumers);
    mk_list_init(&s->gathers);
    s->service = (struct mk_service){.proto = "stream", .accept = accept_subscription};
    rv = mk_net_serve(net, &s->service);
    if (rv != 0)
        return rv;
    s->links = (struct mk_net_watch){.up = links_up, .down = links_down};
    mk_net_watch(net, &s->links);
    return 0;
}

void mk_streams_done(struct mk_streams *s)
{
    while (!mk_list_empty(&s->gathers))
        mk_gather_close_node(s->gathers.next);
    while (!mk_list_empty(&s->consumers))
        mk_consumer_close_node(s->consumers.next);
    while (!mk_list_empty(&s->producers))
        mk_producer_close_node(s->producers.next);
    mk_net_unwatch(&s->links);
    mk_net_unserve(&s->service);
}
