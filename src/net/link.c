/* link.c - one connection: its handshake, its frames, its end.
 *
 * The happy path: the channel's handshake, a HELLO each way, READY from the lesser
 * id, then frames. What arrives is parsed in place and handed to conversations in
 * the event that brought it. What is to be sent waits until the end of the turn:
 * link_advance() gathers control frames and the conversations' messages in turns of
 * one frame's size, encrypts them in records as large as TLS allows, and writes them
 * to the connection at once.
 *
 * Failure: every one goes through link_fail(), which only notes it; link_advance()
 * then tells the other side (GOAWAY, or TLS's alert), ends the conversations, tells
 * the watchers, and lingers until the other side has read the reason or
 * NET_LINGER_MS is over. Closing at once instead would make the kernel answer unread
 * bytes with a reset, and the reason would be lost with it. */
#include "net/net_int.h"

#include <stdio.h>
#include <string.h>

/* --- sending ------------------------------------------------------------------------- */

void link_later(struct mk_link *l)
{
    mk_later(l->net->env, &l->task);
}

static void link_send_wire(struct mk_link *l)
{
    struct mk_buf *w = &l->net->wire;

    if (w->n == 0)
        return;
    l->net->stats.bytes_out += w->n;
    if (!l->sock_ended && mk_sock_write(l->sock, w->p, w->n) == MK_EFULL)
        l->sock_full = true;
    mk_buf_clear(w);
}

/* Encrypts and sends what is staged. */
static void link_send_stage(struct mk_link *l)
{
    struct mk_net *net = l->net;

    if (net->stage.n == 0)
        return;
    if (l->chan->ops->write(l->chan, net->stage.p, net->stage.n) != 0)
        link_fail(l, MK_CLOSE_LOST, /* tell= */ false, "%s", l->chan->why);
    mk_buf_clear(&net->stage);
    link_send_wire(l);
}

static void link_stage_control(struct mk_link *l)
{
    struct mk_buf *stage = &l->net->stage;

    if (l->pong_due)
        mk_frame_put_token(stage, MK_FRAME_PONG, l->pong_token);
    l->pong_due = false;
    mk_buf_put(stage, l->ctl.p, l->ctl.n);
    mk_buf_done(&l->ctl);
    conv_emit_credits(l);
}

static void link_flush(struct mk_link *l)
{
    MK_ASSERT(l->net->stage.n == 0 && l->net->wire.n == 0);
    if (!l->chan->ready)
        return;
    if (l->sock_full) {
        if (l->ctl.n > NET_CONTROL_MAX)
            link_fail(l, MK_CLOSE_SLOW, /* tell= */ true, "%zu bytes of answers are not read",
                      l->ctl.n);
        return;
    }
    link_stage_control(l);
    while (l->state == LINK_UP && !mk_list_empty(&l->active) && !l->sock_full) {
        conv_emit_next(l);
        if (l->net->stage.n >= NET_STAGE_MAX)
            link_send_stage(l);
    }
    link_send_stage(l);
    conv_wake_waiting(l);
}

void link_ping(struct mk_link *l)
{
    if (l->ping_out)
        return;
    l->ping_out = true;
    l->ping_ns = mk_now(l->net->env);
    mk_frame_put_token(&l->ctl, MK_FRAME_PING, l->ping_ns);
    link_later(l);
}

/* --- the end ------------------------------------------------------------------------- */

/* Who counts what: a connection leaves the books of its state. */
static void link_leave(struct mk_link *l)
{
    struct mk_net *net = l->net;

    if (l->state == LINK_UP) {
        table_remove(l);
        net->stats.links--;
        net->n_inbound -= l->dialed ? 0 : 1;
        net->n_strangers -= l->stranger ? 1 : 0;
    } else if (!l->dialed) {
        if (l->known)
            net->stats.links_refused++;
        else
            net->stats.handshakes_refused++;
        net->n_handshakes -= l->known ? 0 : 1;
        net->n_probation -= l->probation && !l->known ? 1 : 0;
        net->n_waiting -= l->state == LINK_WAITING ? 1 : 0;
        net_count_refusal(net, l->close, l->remote, l->detail);
    }
}

void link_fail(struct mk_link *l, unsigned close, bool tell, const char *fmt, ...)
{
    va_list ap;

    if (l->state >= LINK_CLOSING)
        return;
    va_start(ap, fmt);
    vsnprintf(l->detail, sizeof l->detail, fmt, ap);
    va_end(ap);
    if (l->detail[0] == 0)
        snprintf(l->detail, sizeof l->detail, "%s", mk_close_text(close));
    l->close = close;
    l->tell = tell;
    link_leave(l);
    l->state = LINK_CLOSING;
    mk_list_del(&l->node);
    mk_list_add_tail(&l->net->ending, &l->node);
    link_later(l);
}

/* Says why, after what conversations still had to say. */
static void link_say_goodbye(struct mk_link *l)
{
    struct mk_net *net = l->net;

    if (!l->tell || l->sock_ended || !l->chan->ready)
        return;
    link_stage_control(l);
    while (l->was_up && !mk_list_empty(&l->active) && !l->sock_full) {
        conv_emit_next(l);
        if (net->stage.n >= NET_STAGE_MAX)
            link_send_stage(l);
    }
    mk_frame_put_close(&net->stage, 0, l->close, l->detail);
    link_send_stage(l);
    l->chan->ops->finish(l->chan);
    link_send_wire(l);
}

static void link_linger(struct mk_link *l)
{
    struct mk_net *net = l->net;

    l->state = LINK_LINGERING;
    l->deadline_ns = mk_now(net->env) + NET_LINGER_MS * MK_MS;
    net_wake_at(net, l->deadline_ns);
    net->n_ending++;
    mk_list_each(n, &net->ending)
    {
        struct mk_link *old = mk_container_of(n, struct mk_link, node);

        if (net->n_ending <= NET_ENDING_MAX)
            break;
        if (old->state == LINK_LINGERING)
            link_free(old); /* l itself is last and is never reached */
    }
}

static void link_finish(struct mk_link *l)
{
    struct mk_net *net = l->net;
    bool was_up = l->was_up;

    link_say_goodbye(l);
    conv_end_all(l);
    l->was_up = false;
    l->chan->ops->free(l->chan);
    l->chan = NULL;
    mk_buf_done(&l->tail);
    mk_buf_done(&l->ctl);
    if (l->dialer != NULL || was_up)
        dial_link_down(net, l);
    if (was_up) {
        net_notify_down(l);
        table_settle(net, &l->peer, /* lives= */ false);
    } else if (l->close == MK_CLOSE_OTHER_VERSION || l->close == MK_CLOSE_OTHER_NETWORK ||
               (l->close == MK_CLOSE_REFUSED && l->dialed)) {
        net_notify_refused(l);
    }
    if (l->tell && !l->sock_ended && !net->closing)
        link_linger(l);
    else
        link_free(l);
}

void link_free(struct mk_link *l)
{
    if (l->state == LINK_LINGERING)
        l->net->n_ending--;
    MK_ASSERT(l->n_convs == 0);
    mk_later_cancel(&l->task);
    mk_list_del(&l->node);
    mk_sock_close(l->sock);
    mk_free(l->slots);
    mk_free(l);
}

/* A link of the same peer whose end is not told yet is told first, so that watchers
 * see down and up in the order in which they happened. */
static void link_tell_older(struct mk_link *l)
{
    mk_list_each(n, &l->net->ending)
    {
        struct mk_link *old = mk_container_of(n, struct mk_link, node);

        if (old->was_up && mk_peer_eq(&old->peer, &l->peer)) {
            mk_later_cancel(&old->task);
            link_finish(old);
            return; /* there is at most one: each link_up() does this */
        }
    }
}

/* --- coming up ----------------------------------------------------------------------- */

static void link_note_stranger(struct mk_link *l)
{
    struct mk_net *net = l->net;

    if (l->dialed)
        return;
    net->n_inbound++;
    l->stranger = !dial_wanted(net, &l->peer);
    net->n_strangers += l->stranger ? 1 : 0;
    if (net->n_strangers <= NET_STRANGERS_MAX)
        return;
    mk_list_each(n, &net->links)
    {
        struct mk_link *old = mk_container_of(n, struct mk_link, node);

        if (old->stranger) {
            link_fail(old, MK_CLOSE_BUSY, /* tell= */ true,
                      "too many peers without a conversation");
            return;
        }
    }
}

void link_up(struct mk_link *l)
{
    struct mk_net *net = l->net;

    MK_ASSERT(l->state == LINK_WAITING);
    link_tell_older(l);
    if (l->state >= LINK_UP)
        return; /* a watcher closed or raised it */
    if (table_find(net, &l->peer) != NULL) {
        table_judge(l); /* telling the older one's end let a third one take its place */
        return;
    }
    net->n_waiting -= l->dialed ? 0 : 1;
    l->state = LINK_UP;
    l->was_up = true;
    l->deadline_ns = 0;
    l->since_ns = mk_now(net->env);
    mk_list_del(&l->node);
    mk_list_add_tail(&net->links, &l->node);
    table_add(l);
    net->stats.links++;
    if (mk_peer_cmp(&net->key->peer, &l->peer) < 0)
        mk_frame_put_header(&l->ctl, MK_FRAME_READY, 0, 0);
    link_ping(l);
    link_note_stranger(l);
    net_wake_at(net, mk_now(net->env) + MK_NET_IDLE_MS * MK_MS);
    dial_link_up(net, l);
    net_notify_up(l);
    link_check_use(l);
}

void link_check_use(struct mk_link *l)
{
    if (l->state == LINK_UP && l->dialed && l->n_convs == 0 && !dial_wanted(l->net, &l->peer))
        link_fail(l, MK_CLOSE_NONE, /* tell= */ true, "not needed any more");
}

static void say_hello(struct mk_link *l)
{
    if (l->greeted)
        return;
    l->greeted = true;
    mk_frame_put_hello(&l->ctl, l->net->protocols, &l->net->network, l->net->instance);
    link_later(l);
}

/* The other side named a network beside ours: the link is of that one from here on. */
static void link_move(struct mk_link *l, struct mk_net *to)
{
    char why[MK_REASON_MAX];

    if (!to->inside.admits(to->inside.arg, &l->peer, why)) {
        link_fail(l, MK_CLOSE_REFUSED, /* tell= */ true, "%s", why);
        return;
    }
    mk_list_del(&l->node);
    l->net = to;
    l->chan->wire = &to->wire;
    mk_list_add_tail(&to->greeting, &l->node);
    net_wake_at(to, l->deadline_ns);
}

/* The channel is through: compare, and say hello. Where networks stand beside ours, whoever dialed
 * says first to which it wants. */
static void link_greet(struct mk_link *l)
{
    char hex[MK_ID_HEX];

    l->peer = l->chan->peer;
    if (l->dialed && !mk_peer_eq(&l->peer, &l->expected)) {
        link_fail(l, MK_CLOSE_WRONG_PEER, /* tell= */ true, "%s answered at %s",
                  mk_peer_hex(&l->peer, hex), l->remote);
        return;
    }
    if (mk_peer_eq(&l->peer, &l->net->key->peer)) {
        link_fail(l, MK_CLOSE_DUPLICATE, /* tell= */ true, "the other side has our own key");
        return;
    }
    if (l->dialed || mk_list_empty(&l->net->besides))
        say_hello(l);
}

/* --- frames about the link ----------------------------------------------------------- */

/* In the same words on both sides, whoever comes first. */
static void refuse_protocols(struct mk_link *l)
{
    const struct mk_peer *us = &l->net->key->peer, *a = us, *b = &l->peer;
    struct mk_protocols of_a = l->net->protocols, of_b = l->protocols;
    char hex_a[MK_ID_HEX], hex_b[MK_ID_HEX];

    if (mk_peer_cmp(a, b) > 0) {
        a = b;
        b = us;
        of_a = l->protocols;
        of_b = l->net->protocols;
    }
    link_fail(l, MK_CLOSE_OTHER_VERSION, /* tell= */ true,
              "node %.8s speaks protocols %u to %u, node %.8s %u to %u", mk_peer_hex(a, hex_a),
              of_a.oldest, of_a.newest, mk_peer_hex(b, hex_b), of_b.oldest, of_b.newest);
}

static void recv_hello(struct mk_link *l, const struct mk_frame *f)
{
    struct mk_net *net = l->net, *named = l->dialed ? net : net_named(net, &f->network);
    char theirs[MK_ID_HEX], ours[MK_ID_HEX];

    if (l->known) {
        link_fail(l, MK_CLOSE_BAD_FRAME, /* tell= */ true, "a second hello");
        return;
    }
    if (!l->dialed) {
        net->n_handshakes--;
        net->n_probation -= l->probation ? 1 : 0;
        if (!l->probation)
            source_known(net, l->remote);
    }
    l->known = true;
    memcpy(l->instance, f->instance, sizeof l->instance);
    l->protocols = f->protocols;
    if (named != NULL && named != net)
        link_move(l, named);
    if (l->state != LINK_GREETING)
        return;
    net = l->net;
    say_hello(l);
    if (!mk_protocols_meet(f->protocols, net->protocols))
        refuse_protocols(l);
    else if (!mk_id_eq(&f->network, &net->network))
        link_fail(l, MK_CLOSE_OTHER_NETWORK, /* tell= */ true, "network %.16s met network %.16s",
                  mk_id_hex(&f->network, theirs), mk_id_hex(&net->network, ours));
    else if (!l->dialed && net->n_inbound >= MK_NET_LINKS_MAX && !dial_wanted(net, &l->peer))
        link_fail(l, MK_CLOSE_BUSY, /* tell= */ true, "%u links are open", net->n_inbound);
    else if (!l->dialed && !dial_wanted(net, &l->peer) && !source_stranger(net, l->remote))
        link_fail(l, MK_CLOSE_BUSY, /* tell= */ true, "too many connections from its address");
    else if (!l->dialed && net->n_waiting >= NET_WAITING_MAX)
        link_fail(l, MK_CLOSE_BUSY, /* tell= */ true, "%u links wait to be ready", net->n_waiting);
    if (l->state != LINK_GREETING)
        return;
    l->state = LINK_WAITING;
    net->n_waiting += l->dialed ? 0 : 1;
    if (mk_peer_cmp(&net->key->peer, &l->peer) < 0)
        table_judge(l);
}

static void recv_ready(struct mk_link *l)
{
    struct mk_link *old;

    if (l->state != LINK_WAITING || mk_peer_cmp(&l->net->key->peer, &l->peer) < 0) {
        link_fail(l, MK_CLOSE_BAD_FRAME, /* tell= */ true, "a ready out of turn");
        return;
    }
    old = table_find(l->net, &l->peer);
    if (old != NULL)
        link_fail(old, MK_CLOSE_DUPLICATE, /* tell= */ true, "the peer chose a newer link");
    link_up(l);
}

static void recv_pong(struct mk_link *l, const struct mk_frame *f)
{
    uint64_t now = mk_now(l->net->env);

    if (!l->ping_out || f->token != l->ping_ns) {
        link_fail(l, MK_CLOSE_BAD_FRAME, /* tell= */ true, "a pong that nobody asked for");
        return;
    }
    l->ping_out = false;
    l->rtt_us = now - l->ping_ns < 1000 ? 1 : (uint32_t)((now - l->ping_ns) / 1000);
    table_settle(l->net, &l->peer, /* lives= */ true);
}

static void recv_goaway(struct mk_link *l, const struct mk_frame *f)
{
    char text[MK_REASON_MAX];

    mk_frame_text(f, text);
    link_fail(l, f->number, /* tell= */ false, "%s", text);
}

static void link_recv(struct mk_link *l, const struct mk_frame *f)
{
    bool early = f->type != MK_FRAME_HELLO && f->type != MK_FRAME_GOAWAY;

    if (early && l->state != LINK_UP && !(f->type == MK_FRAME_READY && l->state == LINK_WAITING)) {
        link_fail(l, MK_CLOSE_BAD_FRAME, /* tell= */ true, "a frame of type %u before its time",
                  (unsigned)f->type);
        return;
    }
    switch (f->type) {
    case MK_FRAME_HELLO:
        recv_hello(l, f);
        return;
    case MK_FRAME_READY:
        recv_ready(l);
        return;
    case MK_FRAME_OPEN:
    case MK_FRAME_DATA:
    case MK_FRAME_CREDIT:
    case MK_FRAME_CLOSE:
        conv_recv(l, f);
        return;
    case MK_FRAME_PING:
        l->pong_due = true;
        l->pong_token = f->token;
        link_later(l);
        return;
    case MK_FRAME_PONG:
        recv_pong(l, f);
        return;
    case MK_FRAME_GOAWAY:
        recv_goaway(l, f);
        return;
    }
}

/* --- receiving ----------------------------------------------------------------------- */

/* Handles the whole frames of p; what is left begins one. Returns the bytes used. */
static size_t link_parse(struct mk_link *l, const uint8_t *p, size_t n)
{
    struct mk_fault fault;
    struct mk_frame f;
    size_t at = 0, used;
    int rv;

    while (l->state < LINK_CLOSING) {
        rv = mk_frame_parse(p + at, n - at, &f, &used, &fault);
        if (rv != 0) {
            link_fail(l, rv == MK_ELIMIT ? MK_CLOSE_TOO_LONG : MK_CLOSE_BAD_FRAME,
                      /* tell= */ true, "%s", fault.text);
            break;
        }
        if (used == 0)
            break;
        link_recv(l, &f);
        at += used;
    }
    return at;
}

/* Fills the net's buffer behind what was left over; returns the bytes there are. */
static size_t link_decrypt(struct mk_link *l, uint8_t *plain)
{
    size_t have = l->tail.n, n = 0;

    while (NET_PLAIN_MAX - have > MK_FRAME_BODY_MAX) {
        if (l->chan->ops->read(l->chan, plain + have, NET_PLAIN_MAX - have, &n) != 0) {
            link_fail(l, l->known ? MK_CLOSE_BAD_FRAME : MK_CLOSE_BAD_HANDSHAKE, /* tell= */ true,
                      "%s", l->chan->why);
            return 0;
        }
        if (n == 0)
            break;
        have += n;
    }
    if (have > l->tail.n && l->tail.n > 0)
        memcpy(plain, l->tail.p, l->tail.n);
    return have;
}

static void link_read(struct mk_link *l)
{
    uint8_t *plain = l->net->plain;

    while (l->state < LINK_CLOSING) {
        size_t had = l->tail.n, have = link_decrypt(l, plain), used;

        link_send_wire(l); /* key updates, alerts */
        if (have <= had)
            return;
        used = link_parse(l, plain, have);
        mk_buf_done(&l->tail);
        if (used < have && l->state < LINK_CLOSING)
            mk_buf_put(&l->tail, plain + used, have - used);
    }
}

static void link_handshake(struct mk_link *l)
{
    int rv = l->chan->ops->step(l->chan);

    link_send_wire(l);
    if (rv != 0)
        link_fail(l, MK_CLOSE_BAD_HANDSHAKE, /* tell= */ true, "%s", l->chan->why);
    else if (l->chan->ready)
        link_greet(l);
}

static void link_feed(struct mk_link *l, const uint8_t *p, size_t n)
{
    l->chan->in = p;
    l->chan->in_n = n;
    if (!l->chan->ready)
        link_handshake(l);
    if (l->state < LINK_CLOSING && l->chan->ready)
        link_read(l);
    if (l->chan != NULL)
        l->chan->in_n = 0;
}

static void link_sock_read(struct mk_sock *s, const uint8_t *p, size_t n)
{
    struct mk_link *l = s->owner;
    size_t first = n;

    l->net->stats.bytes_in += n;
    l->heard_ns = mk_now(l->net->env);
    if (!l->known && n > MK_NET_HANDSHAKE_BYTES_MAX - l->early)
        first = MK_NET_HANDSHAKE_BYTES_MAX - l->early;
    if (!l->known)
        l->early += first;
    if (l->state < LINK_CLOSING && first > 0)
        link_feed(l, p, first);
    if (l->state >= LINK_CLOSING || first == n)
        return;
    if (l->known)
        link_feed(l, p + first, n - first);
    else
        link_fail(l, MK_CLOSE_TOO_LONG, /* tell= */ true, "more than %u bytes before a hello",
                  MK_NET_HANDSHAKE_BYTES_MAX);
}

void link_feed_first(struct mk_link *l, struct mk_bytes first)
{
    if (first.n > 0)
        link_sock_read(l->sock, first.p, first.n);
}

static void link_sock_writable(struct mk_sock *s)
{
    struct mk_link *l = s->owner;

    l->sock_full = false;
    if (l->state < LINK_CLOSING)
        link_later(l);
}

static void link_sock_end(struct mk_sock *s, int status)
{
    struct mk_link *l = s->owner;

    l->sock_ended = true;
    if (l->state == LINK_LINGERING)
        link_free(l);
    else
        link_fail(l, MK_CLOSE_LOST, /* tell= */ false, "%s%s",
                  status == 0 ? "the other side ended the connection" : "the connection broke",
                  l->known ? "" : " before its hello");
}

static const struct mk_sock_cbs link_sock_cbs = {
    .read = link_sock_read,
    .writable = link_sock_writable,
    .end = link_sock_end,
};

/* --- the turn, the timer ------------------------------------------------------------- */

/* The older link did not show that it lives. */
static void link_win(struct mk_link *l)
{
    struct mk_link *old = table_find(l->net, &l->peer);

    if (old != NULL)
        link_fail(old, MK_CLOSE_LOST, /* tell= */ true, "it did not answer, a newer link did");
    link_up(l);
}

void link_advance(struct mk_link *l)
{
    if (l->state == LINK_WAITING && l->won)
        link_win(l);
    if (l->state == LINK_UP)
        conv_run_ready(l);
    if (l->state < LINK_CLOSING)
        link_flush(l);
    if (l->state == LINK_CLOSING) {
        mk_later_cancel(&l->task);
        link_finish(l);
    }
}

static void link_task(struct mk_task *t)
{
    link_advance(mk_container_of(t, struct mk_link, task));
}

static uint64_t link_tick_up(struct mk_link *l, uint64_t now)
{
    uint64_t idle = MK_NET_IDLE_MS * MK_MS, dead = l->heard_ns + 3 * idle;

    if (now >= dead) {
        link_fail(l, MK_CLOSE_IDLE, /* tell= */ true, "nothing heard for %u s",
                  3 * MK_NET_IDLE_MS / 1000);
        return UINT64_MAX;
    }
    if (now >= l->heard_ns + idle)
        link_ping(l);
    /* Whole seconds, so that many links share a wake-up. */
    idle += l->heard_ns;
    return ((now >= idle ? dead : idle) / MK_S + 1) * MK_S;
}

uint64_t link_tick(struct mk_link *l, uint64_t now)
{
    switch (l->state) {
    case LINK_UP:
        return link_tick_up(l, now);
    case LINK_CLOSING:
        return UINT64_MAX;
    case LINK_GREETING:
    case LINK_WAITING:
    case LINK_LINGERING:
        break;
    }
    if (now < l->deadline_ns)
        return l->deadline_ns;
    if (l->state == LINK_LINGERING) {
        link_free(l);
    } else if (l->state == LINK_WAITING && mk_peer_cmp(&l->net->key->peer, &l->peer) < 0) {
        l->won = true;
        link_later(l);
    } else {
        link_fail(l, MK_CLOSE_BAD_HANDSHAKE, /* tell= */ true, "no %s within %u ms",
                  l->known ? "ready" : "hello", l->net->handshake_ms);
    }
    return UINT64_MAX;
}

/* --- made ---------------------------------------------------------------------------- */

struct mk_link *link_new(struct mk_net *net, struct mk_sock *s, bool dialed)
{
    struct mk_chan *chan = net->tls != NULL ? mk_chan_tls(net->tls, dialed, &net->wire)
                                            : mk_chan_vouched(s, &net->wire);
    struct mk_link *l;

    if (chan == NULL)
        return NULL;
    l = mk_alloc(sizeof *l);
    l->net = net;
    l->sock = s;
    l->chan = chan;
    l->dialed = dialed;
    l->task.cb = link_task;
    l->next_ours = dialed ? 1 : 2;
    l->next_theirs = dialed ? 2 : 1;
    l->since_ns = l->heard_ns = mk_now(net->env);
    l->deadline_ns = l->since_ns + net->handshake_ms * MK_MS;
    snprintf(l->remote, sizeof l->remote, "%s", mk_sock_remote(s));
    mk_list_init(&l->convs);
    mk_list_init(&l->active);
    mk_list_init(&l->credits);
    mk_list_init(&l->waiting);
    mk_list_init(&l->ready);
    mk_list_add_tail(&net->greeting, &l->node);
    net->n_handshakes += dialed ? 0 : 1;
    s->cbs = &link_sock_cbs;
    s->owner = l;
    return l;
}

void link_start(struct mk_link *l)
{
    net_wake_at(l->net, l->deadline_ns);
    if (l->chan->ready)
        link_greet(l);
    else
        link_handshake(l);
}

/* --- the public face ----------------------------------------------------------------- */

const struct mk_peer *mk_link_peer(const struct mk_link *l)
{
    return &l->peer;
}

struct mk_protocols mk_link_protocols(const struct mk_link *l)
{
    return l->protocols;
}

const char *mk_link_remote(const struct mk_link *l)
{
    return l->remote;
}

uint32_t mk_link_rtt_us(const struct mk_link *l)
{
    return l->rtt_us;
}

int mk_link_exported(struct mk_link *l, uint8_t ret[32])
{
    if (l->chan == NULL || !l->chan->ready)
        return MK_ECLOSED;
    return l->chan->ops->exported(l->chan, ret);
}

void mk_link_close(struct mk_link *l, unsigned close, const char *detail)
{
    link_fail(l, close, /* tell= */ true, "%s", detail != NULL ? detail : "");
}
