/* link.c - one connection: what comes and goes on it, turn by turn.
 *
 * The happy path: the channel's handshake, then a link that comes up (link_greet.c), then
 * frames. What arrives is parsed in place and handed to conversations in the event that
 * brought it. What is to be sent waits until the end of the turn: link_advance() gathers
 * control frames and the conversations' messages in turns of one frame's size, encrypts
 * them in records as large as TLS allows, and writes them to the connection at once.
 *
 * Failure: every one goes through link_fail(), which only notes it; link_advance() then
 * ends the link (link_end.c). */
#include "net/net_int.h"

#include <stdio.h>
#include <string.h>

/* --- sending ------------------------------------------------------------------------- */

void link_later(struct mk_link *l)
{
    mk_later(l->net->env, &l->task);
}

void link_send_wire(struct mk_link *l)
{
    struct mk_buf *w = &l->net->wire;

    if (w->n == 0)
        return;
    l->net->stats.bytes_out += w->n;
    if (!l->sock_ended && mk_sock_write(l->sock, w->p, w->n) == MK_EFULL)
        l->sock_full = true;
    mk_buf_clear(w);
}

void link_send_stage(struct mk_link *l)
{
    struct mk_net *net = l->net;

    if (net->stage.n == 0)
        return;
    if (l->chan->ops->write(l->chan, net->stage.p, net->stage.n) != 0)
        link_fail(l, MK_CLOSE_LOST, /* tell= */ false, "%s", l->chan->why);
    mk_buf_clear(&net->stage);
    link_send_wire(l);
}

void link_stage_control(struct mk_link *l)
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

/* --- frames about the link ----------------------------------------------------------- */

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
        link_recv_hello(l, f);
        return;
    case MK_FRAME_READY:
        link_recv_ready(l);
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
