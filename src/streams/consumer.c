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
 * While paused, messages wait (deliver.c) and the producer keeps the cursor. When the
 * conversation ends meanwhile, its end waits behind them: what had come is delivered, then
 * the user is told, then it comes back.
 *
 * A user's callback may close the consumer. Whoever calls one raises `busy`, and the memory
 * goes when the last of them has returned. */
#include "base/assert.h"
#include "streams/consumer.h"

#include <stdio.h>
#include <string.h>
#include <mosaik/loop.h>

#define AGAIN_MAX_MS 5000u
#define BEGIN_MS 10000u /* for the producer's first message */

/* --- memory ------------------------------------------------------------------------------- */

void mk_consumer_enter(struct mk_consumer *c)
{
    c->busy++;
}

/** c may be gone after it. */
void mk_consumer_leave(struct mk_consumer *c)
{
    if (--c->busy > 0 || !c->closed)
        return;
    mk_consumer_drop_held(c);
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
void mk_consumer_ended(struct mk_consumer *c, unsigned close, const char *detail)
{
    struct mk_env *e = c->streams->env;

    c->conv = NULL;
    c->subscribed = c->ending = false;
    mk_signal_raise(&c->signal, NULL);
    c->close = close;
    if (detail != c->why)
        snprintf(c->why, sizeof c->why, "%s", detail);
    c->stats.refusals += is_refusal(close) ? 1 : 0;
    mk_consumer_drop_held(c);
    mk_timer_stop(&c->expiry);
    mk_timer_stop(&c->asked);
    mk_timer_start(e, &c->again, mk_now(e) + c->again_ms * MK_MS);
    c->again_ms = 2 * c->again_ms < AGAIN_MAX_MS ? 2 * c->again_ms : AGAIN_MAX_MS;
    if (c->cbs.state != NULL)
        c->cbs.state(c, /* subscribed= */ false, close, c->why);
}

/** We end it. */
void mk_consumer_end(struct mk_consumer *c, unsigned close, const char *detail)
{
    if (c->conv != NULL)
        mk_conv_close(c->conv, close, detail);
    mk_consumer_ended(c, close, detail);
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
    mk_consumer_enter(c);
    mk_consumer_ended(c, close, detail);
    mk_consumer_leave(c);
}

static const struct mk_conv_cbs conv_cbs = {.message = mk_consumer_message, .closed = conv_closed};

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
    mk_consumer_enter(c);
    mk_consumer_end(c, MK_CLOSE_EXPIRED, reason);
    mk_consumer_leave(c);
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

void mk_consumer_retake_node(struct mk_list *node, const struct mk_peer *peer,
                             const struct mk_stream_tickets *tickets)
{
    struct mk_consumer *c = mk_container_of(node, struct mk_consumer, node);

    if (!mk_peer_eq(&c->options.producer, peer) || (!c->subscribed && !c->ending))
        return;
    mk_shown_retake(&c->shown, tickets);
    mk_consumer_judge_again(c);
}

void mk_consumer_renewed_node(struct mk_list *node)
{
    struct mk_consumer *c = mk_container_of(node, struct mk_consumer, node);

    if (c->again.armed && is_refusal(c->close))
        mk_timer_start(c->streams->env, &c->again, mk_now(c->streams->env));
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
        mk_timer_start(s->env, &c->again, mk_now(s->env) + MK_CONSUMER_AGAIN_MIN_MS * MK_MS);
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

    mk_consumer_enter(c);
    mk_consumer_end(c, MK_CLOSE_IDLE, "the producer did not answer the subscription");
    mk_consumer_leave(c);
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
    c->again_ms = MK_CONSUMER_AGAIN_MIN_MS;
    c->again.cb = again_cb;
    c->asked.cb = asked_cb;
    c->expiry.cb = expiry_cb;
    c->resume.cb = mk_consumer_resume_cb;
    snprintf(c->why, sizeof c->why, "no link to the producer yet");
    mk_judge_init(&c->judge, o->acl, &o->stable_id, &o->own_issuer, o->issuers, s->attestation);
    c->judge.gate.standing = s->standing;
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
    mk_consumer_enter(c);
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
    mk_consumer_leave(c);
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

const char *mk_consumer_why(const struct mk_consumer *c)
{
    return c->subscribed ? "" : c->why;
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
