/* producer.c - one peer's stream to its subscribers.
 *
 *   ring:   [oldest .......................... next)
 *   subscriber A:                        ^ cursor
 *   subscriber B:        ^ cursor (slow: no credit)
 *
 * Sending appends to the ring and asks for one pump at the end of the turn, so many small
 * items travel in one message when busy and one alone when idle. The pump gives each
 * subscriber what its credit takes. When the ring drops an item that a cursor has not
 * passed, the policy decides: the subscriber is closed with MK_CLOSE_SLOW, or its cursor
 * jumps and it is told which items it lost. Nothing is ever queued for one subscriber
 * alone, so the slow one costs the producer nothing. */
#include "base/assert.h"
#include "streams/streams.h"

#include <stdio.h>
#include <string.h>

#define RETAIN_ITEMS 65536u
#define RETAIN_BYTES (16u << 20)
#define SUBSCRIBERS_MAX 1024u

struct item {
    uint32_t n;
    uint8_t p[];
};

struct mk_producer {
    struct mk_streams *streams;
    struct mk_list node; /* of streams->producers */
    struct mk_producer_options options;
    struct mk_acl_composition acl;
    struct mk_arena arena; /* of acl */
    struct item **ring;    /* options.retain_items slots; seq s is at s % retain_items */
    uint64_t oldest, next; /* seq; next is the one to come, from 1 */
    size_t bytes;
    struct mk_list subscribers;
    struct mk_task pump;
    struct mk_producer_stats stats;
};

struct subscriber {
    struct mk_producer *producer;
    struct mk_list node;
    struct mk_conv *conv;
    uint64_t cursor; /* next seq to send */
    struct mk_bearer bearer;
    struct mk_arena arena; /* of the bearer's tickets */
    struct mk_timer expiry;
};

/* --- the ring ------------------------------------------------------------------------------- */

static struct item *ring_at(const struct mk_producer *p, uint64_t seq)
{
    return p->ring[seq % p->options.retain_items];
}

static void drop_oldest(struct mk_producer *p)
{
    struct item *it = ring_at(p, p->oldest);

    p->bytes -= it->n;
    mk_free(it);
    p->ring[p->oldest % p->options.retain_items] = NULL;
    p->oldest++;
}

uint64_t mk_producer_send(struct mk_producer *p, struct mk_bytes item)
{
    struct item *it;

    MK_ASSERT(item.n <= MK_STREAM_ITEM_MAX);
    while (p->next > p->oldest && (p->next - p->oldest >= p->options.retain_items ||
                                   p->bytes + item.n > p->options.retain_bytes))
        drop_oldest(p);
    it = mk_alloc(sizeof *it + item.n);
    it->n = (uint32_t)item.n;
    memcpy(it->p, item.p, item.n);
    p->ring[p->next % p->options.retain_items] = it;
    p->bytes += item.n;
    p->stats.sent++;
    p->stats.bytes += item.n;
    mk_later(p->streams->env, &p->pump);
    return p->next++;
}

/* --- subscribers ------------------------------------------------------------------------------ */

static void subscriber_free(struct subscriber *s)
{
    mk_timer_stop(&s->expiry);
    mk_list_del(&s->node);
    s->producer->stats.subscribers--;
    mk_arena_done(&s->arena);
    mk_free(s);
}

static void subscriber_close(struct subscriber *s, unsigned close, const char *detail)
{
    mk_conv_close(s->conv, close, detail);
    subscriber_free(s);
}

/** Sends m when there is room. */
static bool try_send(struct subscriber *s, const struct mk_stream_message *m)
{
    struct mk_buf b = {0};
    bool sent;

    mk_encode(&b, &mk_stream_message_type, m);
    sent = mk_conv_send(s->conv, mk_buf_bytes(&b)) == 0;
    mk_buf_done(&b);
    return sent;
}

/** The ring has passed the cursor. false when the subscriber is gone. */
static bool catch_lost(struct subscriber *s)
{
    struct mk_producer *p = s->producer;
    struct mk_stream_message m = {.tag = mk_stream_message_Lost,
                                  .u.lost = {s->cursor, p->oldest - 1}};

    if (p->options.slow == MK_SLOW_CLOSE) {
        p->stats.closed_slow++;
        subscriber_close(s, MK_CLOSE_SLOW, "the stream's retained items were overtaken");
        return false;
    }
    if (!try_send(s, &m))
        return true; /* told when there is credit again; the cursor waits with it */
    p->stats.dropped += p->oldest - s->cursor;
    s->cursor = p->oldest;
    return true;
}

/** As many items as the room and a message take. */
static bool send_batch(struct subscriber *s)
{
    struct mk_producer *p = s->producer;
    mk_stream_item_d items[256];
    size_t n = 0, bytes = 64, room = mk_conv_room(s->conv);
    struct mk_stream_message m = {.tag = mk_stream_message_Batch};

    while (n < 256 && s->cursor + n < p->next && (n == 0 || bytes < MK_STREAM_MESSAGE_TARGET)) {
        const struct item *it = ring_at(p, s->cursor + n);

        if (bytes + it->n + 8 > room)
            break;
        items[n++] = MK_BYTES(it->p, it->n);
        bytes += it->n + 8;
    }
    if (n == 0)
        return false;
    m.u.batch.first = s->cursor;
    m.u.batch.items.v = items;
    m.u.batch.items.n = n;
    if (!try_send(s, &m))
        return false;
    s->cursor += n;
    return true;
}

static void subscriber_pump(struct subscriber *s)
{
    struct mk_producer *p = s->producer;

    while (s->cursor < p->next) {
        if (s->cursor < p->oldest) {
            if (!catch_lost(s))
                return;
            if (s->cursor < p->oldest)
                return;
        }
        if (!send_batch(s))
            return;
    }
}

static void pump_all(struct mk_task *t)
{
    struct mk_producer *p = mk_container_of(t, struct mk_producer, pump);

    mk_list_each(n, &p->subscribers) subscriber_pump(mk_container_of(n, struct subscriber, node));
}

static void conv_message(struct mk_conv *c, struct mk_bytes m)
{
    (void)m;
    subscriber_close(c->owner, MK_CLOSE_MALFORMED, "a subscriber sends no messages");
}

static void conv_writable(struct mk_conv *c)
{
    subscriber_pump(c->owner);
}

static void conv_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    (void)close;
    (void)detail;
    subscriber_free(c->owner);
}

static const struct mk_conv_cbs conv_cbs = {
    .message = conv_message, .writable = conv_writable, .closed = conv_closed};

/* --- admission ----------------------------------------------------------------------------------
 */

static void judge(const struct subscriber *s, struct mk_verdict *ret)
{
    const struct mk_producer *p = s->producer;
    struct mk_gate gate = {
        .acl = &p->acl, .stable_id = p->options.stable_id, .issuers = p->options.issuers};

    mk_gate_judge(&gate, ret, &s->bearer, MK_SCOPE_READ, mk_wall_ms(p->streams->env));
}

static void arm_expiry(struct subscriber *s, const struct mk_verdict *v)
{
    struct mk_env *e = s->producer->streams->env;
    uint64_t now_ms = mk_wall_ms(e), left;

    if (v->expires_ms == UINT64_MAX)
        return;
    left = v->expires_ms > now_ms ? v->expires_ms - now_ms : 0;
    mk_timer_start(e, &s->expiry, mk_now(e) + left * MK_MS);
}

static void expiry_cb(struct mk_timer *t)
{
    struct subscriber *s = mk_container_of(t, struct subscriber, expiry);
    struct mk_verdict v;

    judge(s, &v);
    if (v.admitted)
        arm_expiry(s, &v);
    else
        subscriber_close(s, MK_CLOSE_EXPIRED, v.reason);
}

static struct subscriber *subscriber_new(struct mk_producer *p, struct mk_conv *c,
                                         const struct mk_subscribe *hello)
{
    struct subscriber *s = mk_alloc(sizeof *s);
    struct mk_bytes *tickets = mk_arena_take(&s->arena, (hello->tickets.n + 1) * sizeof *tickets);

    for (size_t i = 0; i < hello->tickets.n; i++)
        tickets[i] =
            MK_BYTES(mk_arena_copy(&s->arena, hello->tickets.v[i].p, hello->tickets.v[i].n),
                     hello->tickets.v[i].n);
    s->producer = p;
    s->conv = c;
    s->bearer = (struct mk_bearer){
        .peer = *mk_link_peer(c->link), .tickets = tickets, .n_tickets = hello->tickets.n};
    s->expiry.cb = expiry_cb;
    mk_list_add_tail(&p->subscribers, &s->node);
    p->stats.subscribers++;
    return s;
}

unsigned mk_producer_subscribe(struct mk_producer *p, struct mk_conv *c,
                               const struct mk_subscribe *hello, char detail[MK_REASON_MAX])
{
    struct mk_stream_message begin = {.tag = mk_stream_message_Begin};
    struct subscriber *s;
    struct mk_verdict v;

    if (p->stats.subscribers >= p->options.subscribers_max) {
        snprintf(detail, MK_REASON_MAX, "the stream has its %u subscribers",
                 p->options.subscribers_max);
        return MK_CLOSE_BUSY;
    }
    s = subscriber_new(p, c, hello);
    judge(s, &v);
    if (!v.admitted) {
        snprintf(detail, MK_REASON_MAX, "%s", v.reason);
        subscriber_free(s);
        return MK_CLOSE_REFUSED;
    }
    c->cbs = &conv_cbs;
    c->owner = s;
    arm_expiry(s, &v);
    s->cursor = hello->newest ? p->next : hello->after + 1;
    if (s->cursor > p->next)
        s->cursor = p->next; /* the producer began anew: its numbers did too */
    begin.u.begin.next = s->cursor;
    try_send(s, &begin);
    mk_later(p->streams->env, &p->pump);
    return 0;
}

static void copy_acl(struct mk_producer *p, const struct mk_acl_composition *acl)
{
    struct mk_buf b = {0};
    int rv;

    mk_encode(&b, &mk_acl_composition_type, acl);
    rv = mk_decode(&p->acl, &mk_acl_composition_type,
                   MK_BYTES(mk_arena_copy(&p->arena, b.p, b.n), b.n), &p->arena, NULL);
    MK_ASSERT(rv == 0);
    mk_buf_done(&b);
}

/* --- public
 * ----------------------------------------------------------------------------------------- */

int mk_streams_produce(struct mk_streams *s, struct mk_producer **ret,
                       const struct mk_producer_options *o)
{
    static const struct mk_acl_composition open = {0};
    struct mk_producer *p;

    if (mk_streams_find(s, &o->surface) != NULL)
        return MK_EEXISTS;
    p = mk_alloc(sizeof *p);
    p->streams = s;
    p->options = *o;
    if (p->options.retain_items == 0)
        p->options.retain_items = RETAIN_ITEMS;
    if (p->options.retain_bytes == 0)
        p->options.retain_bytes = RETAIN_BYTES;
    if (p->options.subscribers_max == 0)
        p->options.subscribers_max = SUBSCRIBERS_MAX;
    copy_acl(p, o->acl != NULL ? o->acl : &open);
    p->ring = mk_alloc(p->options.retain_items * sizeof *p->ring);
    p->oldest = p->next = 1;
    p->pump.cb = pump_all;
    mk_list_init(&p->subscribers);
    mk_list_add_tail(&s->producers, &p->node);
    *ret = p;
    return 0;
}

void mk_producer_close(struct mk_producer *p)
{
    if (p == NULL)
        return;
    while (!mk_list_empty(&p->subscribers))
        subscriber_close(mk_container_of(p->subscribers.next, struct subscriber, node),
                         MK_CLOSE_SHUTDOWN, NULL);
    while (p->oldest < p->next)
        drop_oldest(p);
    mk_later_cancel(&p->pump);
    mk_list_del(&p->node);
    mk_free(p->ring);
    mk_arena_done(&p->arena);
    mk_free(p);
}

void mk_producer_close_node(struct mk_list *node)
{
    mk_producer_close(mk_container_of(node, struct mk_producer, node));
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

void mk_producer_stats(const struct mk_producer *p, struct mk_producer_stats *ret)
{
    *ret = p->stats;
    ret->lag_items_max = 0;
    mk_list_each(n, &p->subscribers)
    {
        const struct subscriber *s = mk_container_of(n, struct subscriber, node);

        if (p->next - s->cursor > ret->lag_items_max)
            ret->lag_items_max = p->next - s->cursor;
    }
}
