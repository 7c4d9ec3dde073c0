/* producer.c - one peer's stream to its subscribers.
 *
 *   ring:   [oldest .......................... next)
 *   subscriber A:                        ^ cursor
 *   subscriber B:        ^ cursor (slow: no credit)
 *
 * Sending appends to the ring, encoded as it travels, and asks for one pump at the end of the
 * turn: many small items travel in one message when busy, and one alone at once when idle. The
 * pump gives each subscriber what its credit takes, a share a turn, so that many subscribers
 * that are far behind take turns and what is being copied stays in the cache.
 *
 * When the ring must drop an item that a subscriber could still take (a burst larger than the
 * ring within one turn), it is pumped first. What is dropped over the head of one that has no
 * credit is a matter of the policy: subscriber.c. */
#include "streams/producer.h"
#include "base/assert.h"

#include <string.h>

#define RETAIN_ITEMS 65536u
#define RETAIN_BYTES (16u << 20)
#define SUBSCRIBERS_MAX 1024u
#define SHARE_BYTES (128u << 10) /* of one subscriber in one turn */
#define ITEM_HEAD_MAX 8u         /* bytes of an item's length */

/* --- the pump ---------------------------------------------------------------------------- */

void mk_producer_note(struct mk_producer *p, const struct mk_subscriber *s, bool more)
{
    if (more && s->cursor < p->floor)
        p->floor = s->cursor;
    if (more)
        mk_later(p->streams->env, &p->pump);
}

static void pump(struct mk_producer *p, size_t share)
{
    bool more = false;

    p->floor = UINT64_MAX;
    mk_list_each(n, &p->subscribers)
    {
        struct mk_subscriber *s = mk_container_of(n, struct mk_subscriber, node);

        if (!mk_subscriber_pump(s, share))
            continue; /* stalled, caught up or gone */
        more = true;
        if (s->cursor < p->floor)
            p->floor = s->cursor;
    }
    if (p->floor > p->ring.next)
        p->floor = p->ring.next;
    if (more)
        mk_timer_start(p->streams->env, &p->more, mk_now(p->streams->env));
}

static void pump_cb(struct mk_task *t)
{
    pump(mk_container_of(t, struct mk_producer, pump), SHARE_BYTES);
}

static void more_cb(struct mk_timer *t)
{
    struct mk_producer *p = mk_container_of(t, struct mk_producer, more);

    mk_later(p->streams->env, &p->pump);
}

/* --- sending, and what it pushes out -------------------------------------------------------- */

static void drop_oldest(struct mk_producer *p)
{
    if (p->floor <= p->ring.oldest)
        pump(p, SIZE_MAX);
    mk_ring_drop_oldest(&p->ring);
}

static void age_start(struct mk_producer *p)
{
    if (p->options.retain_ms > 0 && p->ring.oldest < p->ring.next)
        mk_timer_start(p->streams->env, &p->age,
                       mk_ring_oldest_ns(&p->ring) + p->options.retain_ms * MK_MS);
}

static void age_cb(struct mk_timer *t)
{
    struct mk_producer *p = mk_container_of(t, struct mk_producer, age);
    uint64_t now = mk_now(p->streams->env), life = p->options.retain_ms * MK_MS;

    while (p->ring.oldest < p->ring.next && mk_ring_oldest_ns(&p->ring) + life <= now)
        drop_oldest(p);
    age_start(p);
    mk_later(p->streams->env, &p->pump); /* the policy, for those that were passed */
}

uint64_t mk_producer_send(struct mk_producer *p, struct mk_bytes item)
{
    MK_ASSERT(item.n <= MK_STREAM_ITEM_MAX);
    while (!mk_ring_fits(&p->ring, item.n))
        drop_oldest(p);
    mk_ring_put(&p->ring, item, mk_now(p->streams->env));
    p->stats.sent++;
    p->stats.bytes += item.n;
    if (!p->age.armed)
        age_start(p);
    if (p->whens != NULL)
        mk_producer_touch(p);
    mk_later(p->streams->env, &p->pump);
    return p->ring.next - 1;
}

uint64_t mk_producer_send_datum(struct mk_producer *p, const struct mk_type *t, const void *value)
{
    struct mk_buf b = {0};
    uint64_t seq;

    mk_encode(&b, t, value);
    seq = mk_producer_send(p, mk_buf_bytes(&b));
    mk_buf_done(&b);
    return seq;
}

/* --- opened and closed ------------------------------------------------------------------- */

static void expiry_cb(struct mk_timer *t)
{
    mk_producer_judge(mk_container_of(t, struct mk_producer, expiry), /* anew= */ false);
}

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value > 0 ? value : otherwise;
}

static void set_limits(struct mk_producer *p)
{
    struct mk_producer_options *o = &p->options;

    o->acl = NULL; /* used while opening only */
    o->retain_items = or_default(o->retain_items, RETAIN_ITEMS);
    o->retain_bytes = or_default(o->retain_bytes, RETAIN_BYTES);
    if (o->retain_bytes < MK_STREAM_ITEM_MAX + ITEM_HEAD_MAX)
        o->retain_bytes = MK_STREAM_ITEM_MAX + ITEM_HEAD_MAX;
    o->subscribers_max = or_default(o->subscribers_max, SUBSCRIBERS_MAX);
    o->online_at = or_default(o->online_at, 1);
}

int mk_streams_produce(struct mk_streams *s, struct mk_producer **ret,
                       const struct mk_producer_options *o)
{
    struct mk_producer *p;

    if (mk_streams_find(s, &o->surface) != NULL)
        return MK_EEXISTS;
    p = mk_alloc(sizeof *p);
    p->streams = s;
    p->options = *o;
    set_limits(p);
    mk_judge_init(&p->judge, o->acl, &o->stable_id, &o->own_issuer, o->issuers, s->attestation);
    p->judge.gate.standing = s->standing;
    p->judge.rule = o->rule;
    while (p->run == 0)
        mk_entropy(s->env, &p->run, sizeof p->run);
    mk_ring_init(&p->ring, p->options.retain_items, p->options.retain_bytes);
    p->floor = p->ring.next;
    p->pump.cb = pump_cb;
    p->more.cb = more_cb;
    p->age.cb = age_cb;
    p->expiry.cb = expiry_cb;
    mk_producer_whens_init(p);
    mk_list_init(&p->subscribers);
    mk_list_add_tail(&s->producers, &p->node);
    if (s->changed != NULL)
        s->changed(s);
    *ret = p;
    return 0;
}

void mk_producer_close(struct mk_producer *p)
{
    if (p == NULL)
        return;
    mk_producer_whens_done(p);
    mk_signal_close(&p->signal);
    while (!mk_list_empty(&p->subscribers))
        mk_subscriber_close(mk_container_of(p->subscribers.next, struct mk_subscriber, node),
                            MK_CLOSE_SHUTDOWN, NULL);
    mk_later_cancel(&p->pump);
    mk_timer_stop(&p->more);
    mk_timer_stop(&p->age);
    mk_timer_stop(&p->expiry);
    mk_timer_stop(&p->tell);
    mk_list_del(&p->node);
    if (p->streams->changed != NULL)
        p->streams->changed(p->streams);
    mk_ring_done(&p->ring);
    mk_judge_done(&p->judge);
    p->closed = true;
    if (!p->telling) /* else when.c frees it */
        mk_free(p);
}

void mk_producer_close_node(struct mk_list *node)
{
    mk_producer_close(mk_container_of(node, struct mk_producer, node));
}

void mk_producer_judge_again(struct mk_producer *p)
{
    mk_producer_judge(p, /* anew= */ true);
}

void mk_producer_rejudge_node(struct mk_list *node)
{
    mk_producer_judge_again(mk_container_of(node, struct mk_producer, node));
}

struct mk_producer *mk_streams_find(struct mk_streams *s, const struct mk_id *surface)
{
    mk_list_each(pos, &s->producers)
    {
        struct mk_producer *p = mk_container_of(pos, struct mk_producer, node);

        if (mk_id_eq(&p->options.surface, surface))
            return p;
    }
    return NULL;
}

/* --- statistics -------------------------------------------------------------------------- */

void mk_streams_surfaces(const struct mk_streams *s, struct mk_id *out)
{
    mk_list_each(pos, &s->producers) *out++ =
        mk_container_of(pos, struct mk_producer, node)->options.surface;
}

uint64_t mk_producer_lag(const struct mk_producer *p)
{
    uint64_t lag = 0;

    mk_list_each(n, &p->subscribers)
    {
        const struct mk_subscriber *s = mk_container_of(n, struct mk_subscriber, node);

        if (p->ring.next - s->cursor > lag)
            lag = p->ring.next - s->cursor;
    }
    return lag;
}

void mk_producer_stats(const struct mk_producer *p, struct mk_producer_stats *ret)
{
    *ret = p->stats;
    ret->lag_items_max = mk_producer_lag(p);
    ret->retained_items = p->ring.next - p->ring.oldest;
    ret->retained_bytes = p->ring.end - p->ring.begin;
}

bool mk_producer_is_online(const struct mk_producer *p)
{
    return p->stats.subscribers >= p->options.online_at;
}

void mk_subscriber_describe(const struct mk_subscriber *s, struct mk_subscriber_stats *ret)
{
    const struct mk_producer *p = s->producer;
    const struct mk_ring *r = &p->ring;
    uint64_t at = s->cursor > r->oldest ? s->cursor : r->oldest;

    *ret = s->stats;
    ret->expires_ms = s->shown.expires_ms;
    ret->stalled = s->stalled;
    ret->lag_items = r->next - s->cursor;
    ret->lag_bytes = mk_ring_left(r, at);
    if (at < r->next)
        ret->lag_ms = (mk_now(p->streams->env) - mk_ring_put_ns(r, at)) / MK_MS;
}

bool mk_producer_subscriber(const struct mk_producer *p, unsigned i,
                            struct mk_subscriber_stats *ret)
{
    mk_list_each(n, &p->subscribers)
    {
        if (i-- > 0)
            continue;
        mk_subscriber_describe(mk_container_of(n, struct mk_subscriber, node), ret);
        return true;
    }
    return false;
}

bool mk_producer_refusal(const struct mk_producer *p, unsigned i, struct mk_stream_refusal *ret)
{
    if (i >= p->n_refusals)
        return false;
    *ret = p->refusals[i];
    return true;
}
