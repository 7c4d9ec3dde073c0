/* subscriber.c - one subscriber of a producer: admitted, sent to, closed.
 *
 * It is a cursor into the ring. When it is admitted it gets Begin, then what its
 * conversation's credit takes, straight out of the ring: nothing is ever queued for one
 * subscriber beyond that. Without room it is `stalled` until the conversation tells of new
 * room, and costs a pump no more than a look.
 *
 * When the ring has passed the cursor the policy decides. One that came back for items that
 * were gone before is not slow: it is told what it missed, whatever the policy. */
#include "base/assert.h"
#include "streams/batch.h"
#include "streams/producer.h"

#include <stdio.h>
#include <string.h>

/* Bytes of items in a message: with its head it fits in one frame, so that it is handed over
 * at the other end where it lies, and no large queue stands before a later item. */
#define BATCH_BYTES 16000u

static void subscriber_free(struct mk_subscriber *s)
{
    struct mk_producer *p = s->producer;

    mk_list_del(&s->node);
    p->stats.subscribers--;
    mk_shown_done(&s->shown);
    mk_free(s);
    mk_producer_touch(p);
}

void mk_subscriber_close(struct mk_subscriber *s, unsigned close, const char *detail)
{
    mk_conv_close(s->conv, close, detail);
    subscriber_free(s);
}

/* --- sending -------------------------------------------------------------------------------- */

/* False when there is no room: the conversation will tell. */
static bool put(struct mk_subscriber *s, const struct mk_bytes *parts, size_t n_parts)
{
    s->stalled = mk_conv_sendv(s->conv, parts, n_parts) != 0;
    return !s->stalled;
}

static bool put_message(struct mk_subscriber *s, const struct mk_stream_message *m)
{
    struct mk_buf b = {0};
    struct mk_bytes bytes;
    bool sent;

    mk_encode(&b, &mk_stream_message_type, m);
    bytes = mk_buf_bytes(&b);
    sent = put(s, &bytes, 1);
    mk_buf_done(&b);
    return sent;
}

static bool put_begin(struct mk_subscriber *s)
{
    const struct mk_producer *p = s->producer;
    struct mk_stream_message m = {
        .tag = mk_stream_message_Begin,
        .u.begin = {p->run, s->cursor, {p->streams->tickets, p->streams->n_tickets}}};

    s->begun = put_message(s, &m);
    return s->begun;
}

/* The ring has passed the cursor. False when there is no room to say so. */
static bool put_lost(struct mk_subscriber *s)
{
    struct mk_producer *p = s->producer;
    uint64_t n = p->ring.oldest - s->cursor;
    struct mk_stream_message m = {.tag = mk_stream_message_Lost,
                                  .u.lost = {s->cursor, p->ring.oldest - 1}};

    if (!put_message(s, &m))
        return false;
    if (s->late) {
        s->stats.missed += n;
        p->stats.missed += n;
    } else {
        s->stats.dropped += n;
        p->stats.dropped += n;
    }
    s->late = false;
    s->cursor = p->ring.oldest;
    return true;
}

/* A Batch, whose items lie encoded in the ring. Returns its bytes, 0 without room. */
static size_t put_batch(struct mk_subscriber *s)
{
    struct mk_producer *p = s->producer;
    size_t room = mk_conv_room(s->conv), n, bytes;
    uint8_t head[MK_BATCH_HEAD_MAX];
    struct mk_bytes parts[3];

    room = room > MK_BATCH_HEAD_MAX ? room - MK_BATCH_HEAD_MAX : 0;
    n = mk_ring_slice(&p->ring, s->cursor, room < BATCH_BYTES ? room : BATCH_BYTES,
                      MK_STREAM_BATCH_MAX, &parts[1]);
    parts[0] = MK_BYTES(head, mk_batch_head(head, s->cursor, p->ring.next - 1, n));
    bytes = parts[1].n + parts[2].n;
    if (!put(s, parts, parts[2].n > 0 ? 3 : 2))
        return 0;
    s->cursor += n;
    s->stats.delivered += n;
    s->stats.delivered_bytes += bytes;
    p->stats.delivered += n;
    return bytes;
}

bool mk_subscriber_pump(struct mk_subscriber *s, size_t share)
{
    struct mk_producer *p = s->producer;
    size_t sent = 0, n = 1;

    if (s->cursor < p->ring.oldest && !s->late && p->options.slow == MK_SLOW_CLOSE) {
        p->stats.closed_slow++;
        mk_subscriber_close(s, MK_CLOSE_SLOW, "the stream's retained items were overtaken");
        return false;
    }
    if (s->stalled || (!s->begun && !put_begin(s)))
        return false;
    if (s->cursor < p->ring.oldest && !put_lost(s))
        return false;
    while (n > 0 && sent < share && s->cursor < p->ring.next) {
        n = put_batch(s);
        sent += n;
    }
    if (sent > 0)
        mk_producer_touch(p);
    return n > 0 && s->cursor < p->ring.next;
}

/* --- the conversation ------------------------------------------------------------------------ */

static void conv_message(struct mk_conv *c, struct mk_bytes m)
{
    (void)m;
    mk_subscriber_close(c->owner, MK_CLOSE_MALFORMED, "a subscriber sends no messages");
}

static void conv_writable(struct mk_conv *c)
{
    struct mk_subscriber *s = c->owner;

    s->stalled = false;
    mk_producer_note(s->producer, s, /* more= */ true);
}

static void conv_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    (void)close;
    (void)detail;
    subscriber_free(c->owner);
}

static const struct mk_conv_cbs conv_cbs = {
    .message = conv_message, .writable = conv_writable, .closed = conv_closed};

/* --- admission -------------------------------------------------------------------------------- */

/* Where delivery begins. */
static void place(struct mk_subscriber *s, const struct mk_subscribe *hello)
{
    const struct mk_producer *p = s->producer;
    bool known = hello->run == p->run || (hello->run == 0 && hello->after > 0);

    if (hello->newest) {
        s->cursor = p->ring.next;
    } else if (!known || hello->after >= p->ring.next) {
        /* The first contact, or we began anew: of the earlier run nothing is here. */
        s->cursor = hello->run == 0 && hello->after == 0 ? p->ring.oldest : 1;
    } else {
        s->cursor = hello->after + 1;
    }
    s->late = s->cursor < p->ring.oldest;
}

static unsigned of_peer(const struct mk_producer *p, const struct mk_peer *peer)
{
    unsigned n = 0;

    mk_list_each(pos, &p->subscribers) n +=
        mk_peer_eq(&mk_container_of(pos, struct mk_subscriber, node)->stats.peer, peer);
    return n;
}

/* Which clause keeps whom out, for `status`: the first ones stay when there are more. */
static void note_refusal(struct mk_producer *p, int clause, const struct mk_peer *peer,
                         const char *reason)
{
    struct mk_stream_refusal *r = NULL;

    for (unsigned i = 0; i < p->n_refusals && r == NULL; i++) {
        if (p->refusals[i].clause == clause)
            r = &p->refusals[i];
    }
    if (r == NULL && p->n_refusals == MK_STREAM_REFUSALS_MAX)
        return;
    if (r == NULL)
        r = &p->refusals[p->n_refusals++];
    r->clause = clause;
    r->count++;
    r->peer = *peer;
    snprintf(r->reason, sizeof r->reason, "%s", reason);
}

static unsigned refuse_by_limit(struct mk_producer *p, const struct mk_peer *peer,
                                const char *detail)
{
    p->stats.refused++;
    note_refusal(p, MK_BY_LIMIT, peer, detail);
    return MK_CLOSE_BUSY;
}

unsigned mk_producer_subscribe(struct mk_producer *p, struct mk_conv *c,
                               const struct mk_subscribe *hello, char detail[MK_REASON_MAX])
{
    static const struct mk_stream_tickets
        no_tickets; /* kept for nobody who is not judged by them */
    struct mk_subscriber *s;
    uint64_t wall = mk_wall_ms(p->streams->env);

    if (of_peer(p, mk_link_peer(c->link)) >= MK_STREAM_PEER_MAX) {
        snprintf(detail, MK_REASON_MAX, "the peer has its %u subscriptions", MK_STREAM_PEER_MAX);
        return refuse_by_limit(p, mk_link_peer(c->link), detail);
    }
    if (p->stats.subscribers >= p->options.subscribers_max) {
        snprintf(detail, MK_REASON_MAX, "the stream has its %u subscribers",
                 p->options.subscribers_max);
        return refuse_by_limit(p, mk_link_peer(c->link), detail);
    }
    s = mk_alloc(sizeof *s);
    s->producer = p;
    s->conv = c;
    mk_shown_init(&s->shown, mk_link_peer(c->link),
                  mk_judge_reads(&p->judge, MK_SCOPE_READ) ? &hello->tickets : &no_tickets);
    if (mk_judge(&p->judge, &s->shown, MK_SCOPE_READ, wall, c->link, detail) != 0) {
        bool pending = s->shown.pending;

        if (!pending)
            note_refusal(p, s->shown.clause, mk_link_peer(c->link), detail);
        mk_shown_done(&s->shown);
        mk_free(s);
        p->stats.refused += pending ? 0 : 1;
        return pending ? MK_CLOSE_NOT_READY : MK_CLOSE_REFUSED;
    }
    s->stats.peer = *mk_link_peer(c->link);
    s->stats.since_ms = wall;
    c->cbs = &conv_cbs;
    c->owner = s;
    place(s, hello);
    mk_list_add_tail(&p->subscribers, &s->node);
    p->stats.subscribers++;
    p->stats.subscribed++;
    mk_producer_judge(p, /* anew= */ false);
    mk_producer_note(p, s, /* more= */ true);
    mk_producer_touch(p);
    return 0;
}

void mk_producer_retake_node(struct mk_list *node, const struct mk_peer *peer,
                             const struct mk_stream_tickets *tickets)
{
    struct mk_producer *p = mk_container_of(node, struct mk_producer, node);
    bool any = false;

    if (!mk_judge_reads(&p->judge, MK_SCOPE_READ))
        return; /* nobody is judged by tickets here */
    mk_list_each(n, &p->subscribers)
    {
        struct mk_subscriber *s = mk_container_of(n, struct mk_subscriber, node);

        if (!mk_peer_eq(&s->stats.peer, peer))
            continue;
        mk_shown_retake(&s->shown, tickets);
        any = true;
    }
    if (any)
        mk_producer_judge(p, /* anew= */ false);
}

/* One whose time has come is judged again; false when it is closed for that. */
static bool still_admitted(struct mk_subscriber *s, uint64_t wall, bool anew)
{
    struct mk_producer *p = s->producer;
    char reason[256];

    if ((!anew && s->shown.expires_ms > wall) ||
        mk_judge(&p->judge, &s->shown, MK_SCOPE_READ, wall, s->conv->link, reason) == 0)
        return true;
    p->stats.expired++;
    note_refusal(p, s->shown.clause, &s->stats.peer, reason);
    mk_subscriber_close(s, MK_CLOSE_EXPIRED, reason);
    return false;
}

void mk_producer_judge(struct mk_producer *p, bool anew)
{
    struct mk_env *e = p->streams->env;
    uint64_t wall = mk_wall_ms(e), first = UINT64_MAX;

    mk_list_each(n, &p->subscribers)
    {
        struct mk_subscriber *s = mk_container_of(n, struct mk_subscriber, node);

        if (still_admitted(s, wall, anew) && s->shown.expires_ms < first)
            first = s->shown.expires_ms;
    }
    mk_timer_stop(&p->expiry);
    if (first != UINT64_MAX)
        mk_timer_start(e, &p->expiry, mk_judge_next(e, first));
}
