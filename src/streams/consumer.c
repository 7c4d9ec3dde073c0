/* consumer.c - a subscription that outlives its links.
 *
 *   waiting --link up--> asking --Begin--> subscribed --closed--> waiting (after a pause)
 *                          |                    |
 *                          '-- we refuse -------'-- what the producer showed has ended
 *
 * A producer that accepts and says nothing is given up after BEGIN_MS.
 *
 * After each reconnection it resumes after the last item it delivered; the producer says
 * what of that is gone, or that it began anew. The pause doubles from 200 ms to 5 s as long
 * as no subscription comes about, so that one who is refused does not ask all the time.
 *
 * While paused, messages wait here (at most the window's bytes, because no credit is given
 * back) and the producer keeps the cursor. When the conversation ends meanwhile, its end
 * waits behind them: what had come is delivered, then the user is told, then it comes back.
 *
 * A user's callback may close the consumer. Whoever calls one raises `busy`, and the memory
 * goes when the last of them has returned. */
#include "base/assert.h"
#include "streams/batch.h"
#include "streams/consumer.h"
#include "streams/judge.h"
#include "streams/streams.h"

#include <stdio.h>
#include <string.h>
#include <mosaik/loop.h>

#define AGAIN_MIN_MS 200u
#define AGAIN_MAX_MS 5000u
#define BEGIN_MS 10000u /* for the producer's first message */

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

/* --- memory ------------------------------------------------------------------------------- */

static void drop_held(struct mk_consumer *c)
{
    struct mk_list *n;

    while ((n = mk_list_pop(&c->held)) != NULL)
        mk_free(mk_container_of(n, struct held, node));
}

static void enter(struct mk_consumer *c)
{
    c->busy++;
}

/** c may be gone after it. */
static void leave(struct mk_consumer *c)
{
    if (--c->busy > 0 || !c->closed)
        return;
    drop_held(c);
    mk_shown_done(&c->shown);
    mk_judge_done(&c->judge);
    mk_free(c);
}

/* --- the end of a conversation -------------------------------------------------------------- */

static bool is_refusal(unsigned close)
{
    return close == MK_CLOSE_REFUSED || close == MK_CLOSE_EXPIRED;
}

/** Not subscribed (any more): says so, and tries again in a while. Inside enter. */
static void ended(struct mk_consumer *c, unsigned close, const char *detail)
{
    struct mk_env *e = c->streams->env;

    c->conv = NULL;
    c->subscribed = c->ending = false;
    mk_signal_raise(&c->signal, NULL);
    c->close = close;
    if (detail != c->why)
        snprintf(c->why, sizeof c->why, "%s", detail);
    c->stats.refusals += is_refusal(close) ? 1 : 0;
    drop_held(c);
    mk_timer_stop(&c->expiry);
    mk_timer_stop(&c->asked);
    mk_timer_start(e, &c->again, mk_now(e) + c->again_ms * MK_MS);
    c->again_ms = 2 * c->again_ms < AGAIN_MAX_MS ? 2 * c->again_ms : AGAIN_MAX_MS;
    if (c->cbs.state != NULL)
        c->cbs.state(c, /* subscribed= */ false, close, c->why);
}

/** We end it. */
static void end(struct mk_consumer *c, unsigned close, const char *detail)
{
    if (c->conv != NULL)
        mk_conv_close(c->conv, close, detail);
    ended(c, close, detail);
}

/* --- delivery --------------------------------------------------------------------------------- */

static void lose(struct mk_consumer *c, uint64_t last)
{
    uint64_t first = c->last + 1;

    c->last = last;
    c->stats.lost += last - first + 1;
    if (last > c->stats.newest)
        c->stats.newest = last;
    if (c->cbs.lost != NULL)
        c->cbs.lost(c, first, last);
}

/** again: the rest of a message whose delivery was paused. */
static bool take_batch(struct mk_consumer *c, struct mk_batch *b, bool again)
{
    uint64_t seq = b->first, end = b->first + b->n;

    if (!c->subscribed || b->first == 0 || end < b->first || b->newest < end - 1 ||
        (!again && b->first != c->last + 1))
        return false;
    if (b->newest > c->stats.newest)
        c->stats.newest = b->newest;
    while (seq < end && !c->closed && !c->paused) {
        struct mk_bytes item = mk_batch_next(b);

        if (seq++ <= c->last)
            continue; /* delivered before the pause */
        c->last++;
        c->stats.items++;
        c->stats.bytes += item.n;
        mk_signal_raise(&c->signal, &item);
        c->cbs.item(c, c->last, item);
    }
    return true;
}

/* What the producer shows must satisfy our own validator. */
static bool take_shown(struct mk_consumer *c, const struct mk_stream_tickets *tickets)
{
    struct mk_env *e = c->streams->env;
    char reason[256];

    mk_shown_done(&c->shown);
    mk_shown_init(&c->shown, &c->options.producer, tickets);
    if (mk_judge(&c->judge, &c->shown, MK_SCOPE_WRITE, mk_wall_ms(e), c->conv->link, reason) != 0) {
        end(c, c->shown.pending ? MK_CLOSE_NOT_READY : MK_CLOSE_REFUSED, reason);
        return false;
    }
    if (c->shown.expires_ms != UINT64_MAX)
        mk_timer_start(e, &c->expiry, mk_judge_next(e, c->shown.expires_ms));
    return true;
}

static bool take_begin(struct mk_consumer *c, const struct mk_stream_begin *b)
{
    bool restarted =
        c->positioned && ((c->run != 0 && c->run != b->run) || (c->run == 0 && b->next <= c->last));

    if (c->subscribed || b->next == 0 || b->run == 0 ||
        (c->positioned && !restarted && b->next != c->last + 1))
        return false;
    if (!take_shown(c, &b->tickets))
        return true;
    mk_timer_stop(&c->asked);
    if (restarted)
        c->stats.newest = 0;
    c->run = b->run;
    c->last = b->next - 1;
    c->positioned = c->subscribed = true;
    mk_signal_raise(&c->signal, NULL);
    c->again_ms = AGAIN_MIN_MS;
    c->close = 0;
    c->why[0] = 0;
    c->stats.subscriptions++;
    if (c->last > c->stats.newest)
        c->stats.newest = c->last;
    if (c->cbs.state != NULL)
        c->cbs.state(c, /* subscribed= */ true, 0, "");
    if (restarted && !c->closed) {
        c->stats.restarts++;
        if (c->cbs.restarted != NULL)
            c->cbs.restarted(c);
    }
    return true;
}

static bool take_lost(struct mk_consumer *c, const struct mk_stream_lost *l)
{
    if (!c->subscribed || l->first != c->last + 1 || l->last < l->first || l->last == UINT64_MAX)
        return false;
    lose(c, l->last);
    return true;
}

/* Begin or Lost. */
static bool take_rare(struct mk_consumer *c, struct mk_bytes bytes)
{
    struct mk_arena arena = {0};
    struct mk_stream_message m;
    bool ok = false;

    if (mk_decode(&m, &mk_stream_message_type, bytes, &arena, NULL) == 0) {
        switch ((enum mk_stream_message_tag)m.tag) {
        case mk_stream_message_Begin:
            ok = take_begin(c, &m.u.begin);
            break;
        case mk_stream_message_Lost:
            ok = take_lost(c, &m.u.lost);
            break;
        case mk_stream_message_Batch:
            break; /* was looked for before */
        }
    }
    mk_arena_done(&arena);
    return ok;
}

/** false: the producer does not keep to the protocol. */
static bool take_message(struct mk_consumer *c, struct mk_bytes bytes, bool again)
{
    struct mk_batch b;

    switch (mk_batch_read(&b, bytes)) {
    case 0:
        return take_batch(c, &b, again);
    case MK_ENOTFOUND:
        return take_rare(c, bytes);
    default:
        return false;
    }
}

/** Inside enter. False when not all of m is delivered, because a callback paused us. */
static bool deliver(struct mk_consumer *c, struct mk_bytes m, bool again)
{
    struct mk_conv *conv = c->conv;

    if (!take_message(c, m, again) && !c->closed) {
        end(c, MK_CLOSE_MALFORMED, "out of order, or not a stream message");
        return true;
    }
    if (c->closed || c->conv != conv || !c->subscribed)
        return true;
    if (c->paused)
        return false; /* whether something is left, the next time will show */
    if (conv != NULL)
        mk_conv_consumed(conv, m.n);
    return true;
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

    if (c->subscribed && (c->paused || !mk_list_empty(&c->held))) {
        hold(c, m);
        return;
    }
    enter(c);
    if (!deliver(c, m, /* again= */ false))
        hold(c, m);
    leave(c);
}

static void resume_cb(struct mk_task *t)
{
    struct mk_consumer *c = mk_container_of(t, struct mk_consumer, resume);

    enter(c);
    while (!c->paused && !c->closed && !mk_list_empty(&c->held)) {
        struct held *h = mk_container_of(c->held.next, struct held, node);

        mk_list_del(&h->node);
        if (deliver(c, MK_BYTES(h->p, h->n), /* again= */ true))
            mk_free(h);
        else /* at the head again */
            mk_list_add_tail(c->held.next, &h->node);
    }
    if (c->ending && !c->closed && mk_list_empty(&c->held))
        ended(c, c->close, c->why);
    leave(c);
}

static void conv_closed(struct mk_conv *conv, unsigned close, const char *detail)
{
    struct mk_consumer *c = conv->owner;

    if (!mk_list_empty(&c->held)) {
        c->conv = NULL;
        c->ending = true;
        c->close = close;
        snprintf(c->why, sizeof c->why, "%s", detail);
        return;
    }
    enter(c);
    ended(c, close, detail);
    leave(c);
}

static const struct mk_conv_cbs conv_cbs = {.message = conv_message, .closed = conv_closed};

static void expiry_cb(struct mk_timer *t)
{
    struct mk_consumer *c = mk_container_of(t, struct mk_consumer, expiry);
    struct mk_env *e = c->streams->env;
    uint64_t wall = mk_wall_ms(e);
    char reason[256];

    if (!c->subscribed && !c->ending)
        return;
    if ((!c->anew && c->shown.expires_ms > wall) ||
        mk_judge(&c->judge, &c->shown, MK_SCOPE_WRITE, wall, c->conv != NULL ? c->conv->link : NULL,
                 reason) == 0) {
        c->anew = false;
        if (c->shown.expires_ms != UINT64_MAX)
            mk_timer_start(e, &c->expiry, mk_judge_next(e, c->shown.expires_ms));
        return;
    }
    c->anew = false;
    enter(c);
    end(c, MK_CLOSE_EXPIRED, reason);
    leave(c);
}

void mk_consumer_judge_again(struct mk_consumer *c)
{
    if (c->closed)
        return;
    c->anew = true;
    mk_timer_start(c->streams->env, &c->expiry, mk_now(c->streams->env));
}

void mk_consumer_rejudge_node(struct mk_list *node)
{
    mk_consumer_judge_again(mk_container_of(node, struct mk_consumer, node));
}

/* --- subscribing ------------------------------------------------------------------------------ */

static void subscribe(struct mk_consumer *c)
{
    struct mk_streams *s = c->streams;
    struct mk_link *l = mk_net_link(s->net, &c->options.producer);
    struct mk_subscribe hello = {.surface = c->options.surface,
                                 .run = c->run,
                                 .after = c->positioned ? c->last : 0,
                                 .newest = !c->positioned && c->options.from_newest,
                                 .tickets = {s->tickets, s->n_tickets}};
    struct mk_buf b = {0};

    if (l == NULL || c->conv != NULL)
        return; /* mk_consumer_link_up() comes */
    mk_encode(&b, &mk_subscribe_type, &hello);
    if (mk_conv_open(l, &c->conv, "stream", mk_buf_bytes(&b), &conv_cbs, c) != 0) {
        c->conv = NULL; /* the link is full, or ends */
        mk_timer_start(s->env, &c->again, mk_now(s->env) + AGAIN_MIN_MS * MK_MS);
    } else {
        mk_timer_start(s->env, &c->asked, mk_now(s->env) + BEGIN_MS * MK_MS);
    }
    mk_buf_done(&b);
}

void mk_consumer_link_up(struct mk_list *node, struct mk_link *l)
{
    struct mk_consumer *c = mk_container_of(node, struct mk_consumer, node);

    if (mk_peer_eq(mk_link_peer(l), &c->options.producer) && !c->again.armed && !c->ending)
        subscribe(c);
}

static void asked_cb(struct mk_timer *t)
{
    struct mk_consumer *c = mk_container_of(t, struct mk_consumer, asked);

    enter(c);
    end(c, MK_CLOSE_IDLE, "the producer did not answer the subscription");
    leave(c);
}

static void again_cb(struct mk_timer *t)
{
    subscribe(mk_container_of(t, struct mk_consumer, again));
}

/* --- public ------------------------------------------------------------------------------ */

int mk_streams_consume(struct mk_streams *s, struct mk_consumer **ret,
                       const struct mk_consumer_options *o, const struct mk_consumer_cbs *cbs,
                       void *owner)
{
    struct mk_consumer *c = mk_alloc(sizeof *c);

    c->streams = s;
    c->options = *o;
    c->options.address = NULL; /* used here only, as */
    c->options.acl = NULL;
    c->cbs = *cbs;
    c->owner = owner;
    c->positioned = o->after > 0 || o->run > 0;
    c->run = o->run;
    c->last = o->after < UINT64_MAX ? o->after : UINT64_MAX - 1;
    c->again_ms = AGAIN_MIN_MS;
    c->again.cb = again_cb;
    c->asked.cb = asked_cb;
    c->expiry.cb = expiry_cb;
    c->resume.cb = resume_cb;
    snprintf(c->why, sizeof c->why, "no link to the producer yet");
    mk_judge_init(&c->judge, o->acl, &o->stable_id, &o->own_issuer, o->issuers, s->attestation);
    c->judge.rule = o->rule;
    mk_list_init(&c->held);
    mk_list_add_tail(&s->consumers, &c->node);
    mk_discovery_want(s->discovery, &o->producer, o->address);
    subscribe(c);
    *ret = c;
    return 0;
}

void mk_consumer_close(struct mk_consumer *c)
{
    if (c == NULL || c->closed)
        return;
    enter(c);
    c->closed = true;
    mk_signal_close(&c->signal);
    mk_timer_stop(&c->again);
    mk_timer_stop(&c->asked);
    mk_timer_stop(&c->expiry);
    mk_later_cancel(&c->resume);
    if (c->conv != NULL)
        mk_conv_close(c->conv, MK_CLOSE_NONE, NULL);
    c->conv = NULL;
    mk_discovery_unwant(c->streams->discovery, &c->options.producer);
    mk_list_del(&c->node);
    leave(c);
}

void mk_consumer_close_node(struct mk_list *node)
{
    mk_consumer_close(mk_container_of(node, struct mk_consumer, node));
}

struct mk_env *mk_consumer_env(const struct mk_consumer *c)
{
    return c->streams->env;
}

struct mk_signal *mk_consumer_signal(struct mk_consumer *c)
{
    return &c->signal;
}

void *mk_consumer_owner(const struct mk_consumer *c)
{
    return c->owner;
}

const struct mk_peer *mk_consumer_producer(const struct mk_consumer *c)
{
    return &c->options.producer;
}

void mk_consumer_pause(struct mk_consumer *c, bool paused)
{
    c->paused = paused;
    if (!paused && !c->closed)
        mk_later(c->streams->env, &c->resume);
}

void mk_consumer_cursor(const struct mk_consumer *c, struct mk_stream_cursor *ret)
{
    *ret = (struct mk_stream_cursor){c->run, c->positioned ? c->last : 0};
}

void mk_consumer_stats(const struct mk_consumer *c, struct mk_consumer_stats *ret)
{
    *ret = c->stats;
    ret->subscribed = c->subscribed;
    ret->lag_items = c->stats.newest > c->last ? c->stats.newest - c->last : 0;
}

static bool is_settled(void *arg)
{
    const struct mk_consumer *c = arg;

    return c->subscribed || is_refusal(c->close);
}

int mk_consumer_wait_subscribed(struct mk_consumer *c, uint32_t timeout_ms, struct mk_fault *reterr)
{
    if (!is_settled(c))
        mk_loop_run_until(c->streams->env, is_settled, c, timeout_ms);
    if (c->subscribed)
        return 0;
    return mk_fault(reterr, is_refusal(c->close) ? MK_EREFUSED : MK_ETIMEDOUT, "%s", c->why);
}
