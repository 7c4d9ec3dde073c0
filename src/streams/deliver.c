/* deliver.c - what a producer says, checked, counted and handed to the user.
 *
 * Numbers must follow each other without a gap, in Batch and Lost alike; anything else ends
 * the subscription as malformed, so that a user never has to look for gaps himself.
 *
 * While paused, messages wait here (at most the window's bytes, because no credit is given
 * back). A pause from inside a delivery keeps the message; what of it was delivered is
 * passed over when it goes on. */
#include "streams/batch.h"
#include "streams/consumer.h"

#include <string.h>

struct held {
    struct mk_list node;
    size_t n;
    uint8_t p[];
};

void mk_consumer_drop_held(struct mk_consumer *c)
{
    struct mk_list *n;

    while ((n = mk_list_pop(&c->held)) != NULL)
        mk_free(mk_container_of(n, struct held, node));
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
        mk_consumer_end(c, c->shown.pending ? MK_CLOSE_NOT_READY : MK_CLOSE_REFUSED, reason);
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
    c->again_ms = MK_CONSUMER_AGAIN_MIN_MS;
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
        mk_consumer_end(c, MK_CLOSE_MALFORMED, "out of order, or not a stream message");
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

void mk_consumer_message(struct mk_conv *conv, struct mk_bytes m)
{
    struct mk_consumer *c = conv->owner;

    if (c->subscribed && (c->paused || !mk_list_empty(&c->held))) {
        hold(c, m);
        return;
    }
    mk_consumer_enter(c);
    if (!deliver(c, m, /* again= */ false))
        hold(c, m);
    mk_consumer_leave(c);
}

void mk_consumer_resume_cb(struct mk_task *t)
{
    struct mk_consumer *c = mk_container_of(t, struct mk_consumer, resume);

    mk_consumer_enter(c);
    while (!c->paused && !c->closed && !mk_list_empty(&c->held)) {
        struct held *h = mk_container_of(c->held.next, struct held, node);

        mk_list_del(&h->node);
        if (deliver(c, MK_BYTES(h->p, h->n), /* again= */ true))
            mk_free(h);
        else /* at the head again */
            mk_list_add_tail(c->held.next, &h->node);
    }
    if (c->ending && !c->closed && mk_list_empty(&c->held))
        mk_consumer_ended(c, c->close, c->why);
    mk_consumer_leave(c);
}
