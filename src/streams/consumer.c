/* consumer.c - a subscription that outlives its links.
 *
 *   waiting --link up--> asking --Begin--> subscribed --closed--> waiting (after a pause)
 *
 * After each reconnection it resumes after the last item it delivered; the producer says
 * what of that is gone. While paused, messages wait here (at most the window's bytes,
 * because no credit is given back) and the producer keeps the cursor. */
#include "base/assert.h"
#include "streams/streams.h"

#include <stdio.h>
#include <string.h>

#define AGAIN_NS (200 * MK_MS)

struct held {
    struct mk_list node;
    size_t n;
    uint8_t p[];
};

struct mk_consumer {
    struct mk_streams *streams;
    struct mk_list node; /* of streams->consumers */
    struct mk_consumer_options options;
    struct mk_consumer_cbs cbs;
    void *owner;
    struct mk_conv *conv;
    bool subscribed, paused, delivering, closed;
    uint64_t last;   /* delivered, or told lost */
    bool positioned; /* last means something */
    struct mk_list held;
    struct mk_timer again;
    struct mk_task resume;
};

static void subscribe(struct mk_consumer *c);

static void say(struct mk_consumer *c, bool subscribed, unsigned close, const char *detail)
{
    c->subscribed = subscribed;
    if (c->cbs.state != NULL)
        c->cbs.state(c, subscribed, close, detail);
}

static void drop_held(struct mk_consumer *c)
{
    struct mk_list *n;

    while ((n = mk_list_pop(&c->held)) != NULL)
        mk_free(mk_container_of(n, struct held, node));
}

/* --- delivery ----------------------------------------------------------------------------- */

static void tell_lost(struct mk_consumer *c, uint64_t first, uint64_t last)
{
    if (first <= last && c->cbs.lost != NULL)
        c->cbs.lost(c, first, last);
}

static bool take_batch(struct mk_consumer *c, const struct mk_stream_batch *b)
{
    if (!c->subscribed || b->first != c->last + 1)
        return false;
    for (size_t i = 0; i < b->items.n && !c->closed; i++) {
        c->last = b->first + i;
        c->cbs.item(c, c->last, b->items.v[i]);
    }
    return true;
}

static bool take_begin(struct mk_consumer *c, uint64_t next)
{
    if (c->subscribed || next == 0)
        return false;
    if (!c->positioned || next <= c->last)
        c->last = next - 1; /* the first time, or a producer that began anew */
    c->positioned = true;
    if (next > c->last + 1)
        return false;
    say(c, true, 0, "");
    return true;
}

static bool take_lost(struct mk_consumer *c, const struct mk_stream_lost *l)
{
    if (!c->subscribed || l->first != c->last + 1 || l->last < l->first)
        return false;
    c->last = l->last;
    tell_lost(c, l->first, l->last);
    return true;
}

/** false: the producer does not keep to the protocol. */
static bool take_message(struct mk_consumer *c, struct mk_bytes bytes)
{
    struct mk_arena arena = {0};
    struct mk_stream_message m;
    bool ok = false;

    if (mk_decode(&m, &mk_stream_message_type, bytes, &arena, NULL) == 0) {
        switch ((enum mk_stream_message_tag)m.tag) {
        case mk_stream_message_Begin:
            ok = take_begin(c, m.u.begin.next);
            break;
        case mk_stream_message_Batch:
            ok = take_batch(c, &m.u.batch);
            break;
        case mk_stream_message_Lost:
            ok = take_lost(c, &m.u.lost);
            break;
        }
    }
    mk_arena_done(&arena);
    return ok;
}

static void leave(struct mk_consumer *c, unsigned close, const char *detail)
{
    c->conv = NULL;
    drop_held(c);
    say(c, false, close, detail);
    if (!c->closed)
        mk_timer_start(c->streams->env, &c->again, mk_now(c->streams->env) + AGAIN_NS);
}

static void deliver(struct mk_consumer *c, struct mk_bytes m)
{
    bool ok;

    c->delivering = true;
    ok = take_message(c, m);
    c->delivering = false;
    if (c->closed || c->conv == NULL)
        return;
    if (ok) {
        mk_conv_consumed(c->conv, m.n);
        return;
    }
    mk_conv_close(c->conv, MK_CLOSE_MALFORMED, "out of order, or not a stream message");
    leave(c, MK_CLOSE_MALFORMED, "the producer sent what no producer sends");
}

static void consumer_free(struct mk_consumer *c)
{
    drop_held(c);
    mk_free(c);
}

static void hold(struct mk_consumer *c, struct mk_bytes m)
{
    struct held *h = mk_alloc(sizeof *h + m.n);

    h->n = m.n;
    memcpy(h->p, m.p, m.n);
    mk_list_add_tail(&c->held, &h->node);
}

static void conv_message(struct mk_conv *conv, struct mk_bytes m)
{
    struct mk_consumer *c = conv->owner;

    if (c->paused || !mk_list_empty(&c->held)) {
        hold(c, m);
        return;
    }
    deliver(c, m);
    if (c->closed)
        consumer_free(c);
}

static void resume_cb(struct mk_task *t)
{
    struct mk_consumer *c = mk_container_of(t, struct mk_consumer, resume);
    struct mk_list *n;

    while (!c->paused && !c->closed && (n = mk_list_pop(&c->held)) != NULL) {
        struct held *h = mk_container_of(n, struct held, node);

        deliver(c, MK_BYTES(h->p, h->n));
        mk_free(h);
    }
    if (c->closed)
        consumer_free(c);
}

static void conv_closed(struct mk_conv *conv, unsigned close, const char *detail)
{
    leave(conv->owner, close, detail);
}

static const struct mk_conv_cbs conv_cbs = {.message = conv_message, .closed = conv_closed};

/* --- subscribing ------------------------------------------------------------------------------ */

static void subscribe(struct mk_consumer *c)
{
    struct mk_streams *s = c->streams;
    struct mk_link *l = mk_net_link(s->net, &c->options.producer);
    struct mk_subscribe hello = {.surface = c->options.surface,
                                 .after = c->positioned ? c->last : c->options.after,
                                 .newest = !c->positioned && c->options.from_newest,
                                 .tickets = {s->tickets, s->n_tickets}};
    struct mk_buf b = {0};

    if (l == NULL || c->conv != NULL)
        return;
    mk_encode(&b, &mk_subscribe_type, &hello);
    if (mk_conv_open(l, &c->conv, "stream", mk_buf_bytes(&b), &conv_cbs, c) != 0)
        c->conv = NULL;
    mk_buf_done(&b);
}

void mk_consumer_link_up(struct mk_list *node, struct mk_link *l)
{
    struct mk_consumer *c = mk_container_of(node, struct mk_consumer, node);

    if (mk_peer_eq(mk_link_peer(l), &c->options.producer) && !c->again.armed)
        subscribe(c);
}

static void again_cb(struct mk_timer *t)
{
    subscribe(mk_container_of(t, struct mk_consumer, again));
}

int mk_streams_consume(struct mk_streams *s, struct mk_consumer **ret,
                       const struct mk_consumer_options *o, const struct mk_consumer_cbs *cbs,
                       void *owner)
{
    struct mk_consumer *c = mk_alloc(sizeof *c);

    c->streams = s;
    c->options = *o;
    c->options.address = NULL; /* used here only */
    c->cbs = *cbs;
    c->owner = owner;
    if (o->after > 0) {
        c->last = o->after;
        c->positioned = true;
    }
    c->again.cb = again_cb;
    c->resume.cb = resume_cb;
    mk_list_init(&c->held);
    mk_list_add_tail(&s->consumers, &c->node);
    mk_discovery_want(s->discovery, &o->producer, o->address);
    subscribe(c);
    *ret = c;
    return 0;
}

void mk_consumer_close(struct mk_consumer *c)
{
    if (c == NULL)
        return;
    c->closed = true;
    mk_timer_stop(&c->again);
    mk_later_cancel(&c->resume);
    if (c->conv != NULL)
        mk_conv_close(c->conv, MK_CLOSE_NONE, NULL);
    c->conv = NULL;
    mk_discovery_unwant(c->streams->discovery, &c->options.producer);
    mk_list_del(&c->node);
    if (!c->delivering) /* else the delivery that called us frees it */
        consumer_free(c);
}

void mk_consumer_close_node(struct mk_list *node)
{
    mk_consumer_close(mk_container_of(node, struct mk_consumer, node));
}

void *mk_consumer_owner(const struct mk_consumer *c)
{
    return c->owner;
}

void mk_consumer_pause(struct mk_consumer *c, bool paused)
{
    c->paused = paused;
    if (!paused)
        mk_later(c->streams->env, &c->resume);
}
