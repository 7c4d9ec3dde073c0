/* conv.c - conversations: messages, credit, and taking turns.
 *
 * A message is queued in its conversation's `out` when there is credit for it, so
 * what is queued may always be sent. At the end of the turn the conversations with
 * something to send are served one after the other, each up to one frame's size,
 * so that a small message never waits behind more than a frame of each of the others.
 * A message of more than a frame goes in pieces; at most NET_PARTIALS_MAX messages
 * of a link are in pieces at a time, which bounds what the other side must hold.
 *
 * A conversation that the user has closed stays until its queue and its CLOSE are
 * sent (`ended`); frames that come for it meanwhile, or later under its number, are
 * dropped. Numbers are given when the OPEN is sent and never given again on a link.
 *
 * Failure: what breaks the rules (credit, sizes, numbers) ends the link, since its
 * other end can not be trusted to count; what is merely unwelcome (an unknown
 * protocol, a refusal, too many conversations) ends the conversation. */
#include "net/net_int.h"

#include <stdio.h>
#include <string.h>

#define CONV_QUEUED_HEAD 4u /* bytes of a message's length in `out` */

/* --- the table of a link ------------------------------------------------------------- */

static struct conv **conv_slot(struct mk_link *l, uint32_t id)
{
    return &l->slots[(id * 2654435761u >> 7) & (l->n_slots - 1)];
}

static struct conv *conv_find(struct mk_link *l, uint32_t id)
{
    if (l->n_slots == 0)
        return NULL;
    for (struct conv *c = *conv_slot(l, id); c != NULL; c = c->slot_next)
        if (c->id == id)
            return c;
    return NULL;
}

static void conv_slots_grow(struct mk_link *l)
{
    mk_free(l->slots);
    l->n_slots = l->n_slots == 0 ? 8 : l->n_slots * 2;
    l->slots = mk_alloc(l->n_slots * sizeof(struct conv *));
    mk_list_each(n, &l->convs)
    {
        struct conv *c = mk_container_of(n, struct conv, node);

        if (c->id != 0) {
            c->slot_next = *conv_slot(l, c->id);
            *conv_slot(l, c->id) = c;
        }
    }
}

/* Gives c, which is in l->convs, its number. */
static void conv_number(struct mk_link *l, struct conv *c, uint32_t id)
{
    MK_ASSERT(c->id == 0 && conv_find(l, id) == NULL);
    if (l->n_convs > l->n_slots)
        conv_slots_grow(l);
    c->id = id;
    c->slot_next = *conv_slot(l, id);
    *conv_slot(l, id) = c;
}

static struct conv *conv_new(struct mk_link *l, struct mk_str proto, bool ours)
{
    struct conv *c = mk_alloc(sizeof *c);

    MK_ASSERT(proto.n > 0 && proto.n <= MK_NET_PROTO_MAX);
    c->pub.link = l;
    c->ours = ours;
    memcpy(c->proto, proto.p, proto.n);
    c->send_credit = c->recv_credit = NET_CREDIT_MAX;
    mk_list_init(&c->active);
    mk_list_init(&c->credit);
    mk_list_init(&c->wait);
    mk_list_add_tail(&l->convs, &c->node);
    l->n_convs++;
    if (ours)
        l->n_convs_ours++;
    else
        l->n_convs_theirs++;
    return c;
}

/* What of an unfinished message has come is given up. */
static void conv_drop_partial(struct conv *c)
{
    struct mk_link *l = c->pub.link;

    if (!c->in_partial)
        return;
    c->in_partial = false;
    l->partials_in--;
    l->net->partial -= c->partial.n;
    if (c->partial_strange)
        l->net->partial_strangers -= c->partial.n;
    mk_buf_done(&c->partial);
}

/* Takes c off every list and table; its memory stays for a last callback. */
static void conv_detach(struct conv *c)
{
    struct mk_link *l = c->pub.link;

    conv_drop_partial(c);
    if (c->id != 0) {
        struct conv **p = conv_slot(l, c->id);

        while (*p != c)
            p = &(*p)->slot_next;
        *p = c->slot_next;
    }
    l->queued -= c->out_queued;
    l->partials_out -= c->out_partial ? 1 : 0;
    mk_list_del(&c->node);
    mk_list_del(&c->active);
    mk_list_del(&c->credit);
    mk_list_del(&c->wait);
    l->n_convs--;
    if (c->ours)
        l->n_convs_ours--;
    else
        l->n_convs_theirs--;
}

static void conv_free(struct conv *c)
{
    mk_buf_done(&c->out);
    mk_free(c->detail);
    mk_free(c);
}

/* c ends; its holder is told, if there is one. */
static void conv_end(struct conv *c, unsigned close, const char *detail)
{
    struct mk_link *l = c->pub.link;
    bool held = !c->ended && (c->ours || c->accepted);

    conv_detach(c);
    c->ended = true;
    if (held)
        c->pub.cbs->closed(&c->pub, close, detail);
    conv_free(c);
    link_check_use(l);
}

void conv_end_all(struct mk_link *l)
{
    while (!mk_list_empty(&l->convs))
        conv_end(mk_container_of(l->convs.next, struct conv, node), l->close, l->detail);
}

/* --- sending ------------------------------------------------------------------------- */

static void conv_activate(struct conv *c)
{
    if (mk_list_empty(&c->active))
        mk_list_add_tail(&c->pub.link->active, &c->active);
    link_later(c->pub.link);
}

static void conv_queue(struct conv *c, const struct mk_bytes *parts, size_t n_parts, size_t total)
{
    size_t queued = CONV_QUEUED_HEAD + total;

    mk_buf_reserve(&c->out, queued);
    mk_buf_put_u32le(&c->out, (uint32_t)total);
    for (size_t i = 0; i < n_parts; i++)
        mk_buf_put(&c->out, parts[i].p, parts[i].n);
    c->send_credit -= (uint32_t)total;
    c->out_queued += queued;
    c->pub.link->queued += queued;
    c->pub.link->net->stats.messages_out++;
    conv_activate(c);
}

static bool conv_has_out(const struct conv *c)
{
    return c->out_begun || c->out_at < c->out.n;
}

/* Starts on the next queued message; false when it must wait for others in pieces. */
static bool conv_begin_message(struct conv *c, size_t piece_max)
{
    const uint8_t *p = c->out.p + c->out_at;
    size_t len = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
    struct mk_link *l = c->pub.link;

    if (len > piece_max) {
        if (l->partials_out == NET_PARTIALS_MAX)
            return false;
        l->partials_out++;
        c->out_partial = true;
    }
    c->out_at += CONV_QUEUED_HEAD;
    c->out_queued -= CONV_QUEUED_HEAD;
    l->queued -= CONV_QUEUED_HEAD;
    c->out_left = len;
    c->out_begun = true;
    return true;
}

/* Stages one frame; returns its size, 0 when it must wait. */
static size_t conv_emit_frame(struct conv *c)
{
    struct mk_link *l = c->pub.link;
    struct mk_buf *stage = &l->net->stage;
    bool open = c->ours && c->id == 0;
    size_t head = open ? 1 + strlen(c->proto) : 0, piece = MK_FRAME_BODY_MAX - head;
    unsigned more;

    if (!c->out_begun && !conv_begin_message(c, piece))
        return 0;
    piece = c->out_left < piece ? c->out_left : piece;
    more = piece < c->out_left ? MK_FRAME_MORE : 0;
    if (open) {
        conv_number(l, c, l->next_ours);
        l->next_ours += 2;
    }
    mk_frame_put_header(stage, (open ? MK_FRAME_OPEN : MK_FRAME_DATA) | more, c->id, head + piece);
    if (open) {
        mk_buf_put_u8(stage, (uint8_t)(head - 1));
        mk_buf_put(stage, c->proto, head - 1);
    }
    mk_buf_put(stage, c->out.p + c->out_at, piece);
    c->out_at += piece;
    c->out_left -= piece;
    c->out_queued -= piece;
    l->queued -= piece;
    c->out_begun = more != 0;
    if (c->out_partial && more == 0) {
        c->out_partial = false;
        l->partials_out--;
    }
    return MK_FRAME_HEADER + head + piece;
}

/* The queue's memory follows its content. */
static void conv_trim_out(struct conv *c)
{
    if (c->out_at == c->out.n) {
        c->out_at = 0;
        if (c->out.cap > MK_FRAME_BODY_MAX)
            mk_buf_done(&c->out);
        else
            mk_buf_clear(&c->out);
    } else if (c->out_at > c->out.n / 2 && c->out_at >= MK_FRAME_BODY_MAX) {
        mk_buf_drop_front(&c->out, c->out_at);
        c->out_at = 0;
    }
}

void conv_emit_next(struct mk_link *l)
{
    struct conv *c = mk_container_of(mk_list_pop(&l->active), struct conv, active);
    size_t sent = 0, n = 1;

    while (conv_has_out(c) && sent < MK_FRAME_BODY_MAX && n > 0) {
        n = conv_emit_frame(c);
        sent += n;
    }
    conv_trim_out(c);
    if (conv_has_out(c)) {
        mk_list_add_tail(&l->active, &c->active);
    } else if (c->ended) {
        mk_frame_put_close(&l->net->stage, c->id, c->close, c->detail);
        conv_end(c, 0, "");
    }
}

void conv_emit_credits(struct mk_link *l)
{
    struct mk_list *n;

    while ((n = mk_list_pop(&l->credits)) != NULL) {
        struct conv *c = mk_container_of(n, struct conv, credit);

        mk_frame_put_credit(&l->net->stage, c->id, c->owed);
        c->recv_credit += c->owed;
        c->owed = 0;
        MK_ASSERT(c->recv_credit <= NET_CREDIT_MAX);
    }
}

/* --- waiting for room ---------------------------------------------------------------- */

static size_t link_room(const struct mk_link *l)
{
    return l->queued + CONV_QUEUED_HEAD >= NET_QUEUE_MAX
               ? 0
               : NET_QUEUE_MAX - l->queued - CONV_QUEUED_HEAD;
}

static void conv_wait(struct conv *c, size_t want)
{
    c->want = want;
    mk_list_del(&c->wait);
    mk_list_add_tail(&c->pub.link->waiting, &c->wait);
    if (want > link_room(c->pub.link))
        c->pub.link->queue_blocked = true;
}

/* c goes from waiting to ready when what it wanted to send would fit. */
static void conv_check_ready(struct conv *c)
{
    if (c->want > c->send_credit || c->want > link_room(c->pub.link))
        return;
    mk_list_del(&c->wait);
    mk_list_add_tail(&c->pub.link->ready, &c->wait);
    link_later(c->pub.link);
}

void conv_wake_waiting(struct mk_link *l)
{
    if (!l->queue_blocked || l->queued > NET_QUEUE_MAX / 2)
        return;
    l->queue_blocked = false;
    mk_list_each(n, &l->waiting) conv_check_ready(mk_container_of(n, struct conv, wait));
}

void conv_run_ready(struct mk_link *l)
{
    while (l->state == LINK_UP && !mk_list_empty(&l->ready)) {
        struct conv *c = mk_container_of(mk_list_pop(&l->ready), struct conv, wait);

        c->want = 0;
        if (c->pub.cbs->writable != NULL)
            c->pub.cbs->writable(&c->pub);
    }
}

/* --- receiving ----------------------------------------------------------------------- */

static void conv_give_back(struct conv *c, size_t n)
{
    c->owed += (uint32_t)n;
    if (c->owed < NET_CREDIT_STEP || !mk_list_empty(&c->credit))
        return;
    mk_list_add_tail(&c->pub.link->credits, &c->credit);
    link_later(c->pub.link);
}

static void conv_refuse(struct conv *c, unsigned close, const char *detail)
{
    mk_frame_put_close(&c->pub.link->ctl, c->id, close, detail);
    link_later(c->pub.link);
    conv_end(c, 0, "");
}

/* The first message is whole: the service decides. */
static void conv_accept(struct conv *c, struct mk_bytes first)
{
    struct mk_link *l = c->pub.link;
    struct mk_service *s = net_service(l->net, mk_str_of(c->proto));
    char detail[MK_REASON_MAX] = "";
    unsigned close = MK_CLOSE_NO_PROTOCOL;

    if (s != NULL)
        close = s->accept(s, &c->pub, first, detail);
    if (close != 0) {
        detail[MK_REASON_MAX - 1] = 0;
        conv_refuse(c, close, detail[0] != 0 ? detail : mk_close_text(close));
        return;
    }
    c->opening = false;
    if (c->ended)
        return;
    MK_ASSERT(c->pub.cbs != NULL);
    c->accepted = true;
    if (l->stranger && l->state == LINK_UP)
        l->net->n_strangers--;
    l->stranger = false;
    conv_give_back(c, first.n);
}

static void conv_deliver(struct conv *c, struct mk_bytes m)
{
    c->pub.link->net->stats.messages_in++;
    if (c->opening) {
        conv_accept(c, m);
        return;
    }
    c->held += m.n;
    c->pub.cbs->message(&c->pub, m);
}

/* Whether one more piece may be kept; ends the link when not. */
static bool conv_may_keep(struct conv *c, size_t n)
{
    struct mk_link *l = c->pub.link;
    struct mk_net *net = l->net;

    if (!c->in_partial && l->partials_in == NET_PARTIALS_MAX)
        link_fail(l, MK_CLOSE_TOO_LONG, /* tell= */ true, "more than %u messages in pieces",
                  NET_PARTIALS_MAX);
    else if (c->partial.n + n > MK_NET_MESSAGE_MAX)
        link_fail(l, MK_CLOSE_TOO_LONG, /* tell= */ true, "a message over %u bytes",
                  MK_NET_MESSAGE_MAX);
    else if (net->partial + n > NET_PARTIAL_MAX ||
             (l->stranger && net->partial_strangers + n > NET_PARTIAL_STRANGERS_MAX))
        link_fail(l, MK_CLOSE_BUSY, /* tell= */ true, "too many unfinished messages here");
    return l->state == LINK_UP;
}

static void conv_keep(struct conv *c, struct mk_bytes piece)
{
    struct mk_link *l = c->pub.link;

    if (!c->in_partial) {
        c->in_partial = true;
        c->partial_strange = l->stranger;
        l->partials_in++;
    }
    mk_buf_put(&c->partial, piece.p, piece.n);
    l->net->partial += piece.n;
    if (c->partial_strange)
        l->net->partial_strangers += piece.n;
}

static void recv_piece(struct conv *c, const struct mk_frame *f)
{
    struct mk_link *l = c->pub.link;
    struct mk_buf whole;

    if (f->body.n > c->recv_credit) {
        link_fail(l, MK_CLOSE_NO_CREDIT, /* tell= */ true, "%zu bytes with a credit of %u",
                  f->body.n, c->recv_credit);
        return;
    }
    c->recv_credit -= (uint32_t)f->body.n;
    if (!c->in_partial && !f->more) {
        conv_deliver(c, f->body);
        return;
    }
    if (!conv_may_keep(c, f->body.n))
        return;
    conv_keep(c, f->body);
    if (f->more)
        return;
    whole = c->partial; /* delivered from here, since c may end meanwhile */
    l->net->partial -= whole.n;
    if (c->partial_strange)
        l->net->partial_strangers -= whole.n;
    l->partials_in--;
    c->in_partial = false;
    c->partial = (struct mk_buf){0};
    conv_deliver(c, mk_buf_bytes(&whole));
    mk_buf_done(&whole);
}

static void recv_open(struct mk_link *l, const struct mk_frame *f)
{
    struct conv *c;
    bool busy = l->n_convs_theirs >=
                (dial_wanted(l->net, &l->peer) ? MK_NET_CONVS_WANTED_MAX : MK_NET_CONVS_MAX);

    if ((f->conv ^ l->next_theirs) & 1 || f->conv < l->next_theirs || f->conv > UINT32_MAX - 2) {
        link_fail(l, MK_CLOSE_BAD_FRAME, /* tell= */ true, "conversation %u opened after %u",
                  f->conv, l->next_theirs);
        return;
    }
    l->next_theirs = f->conv + 2;
    if (busy || net_service(l->net, f->text) == NULL) {
        unsigned close = busy ? MK_CLOSE_BUSY : MK_CLOSE_NO_PROTOCOL;

        mk_frame_put_close(&l->ctl, f->conv, close, mk_close_text(close));
        link_later(l);
        return;
    }
    c = conv_new(l, f->text, /* ours= */ false);
    conv_number(l, c, f->conv);
    c->opening = true;
    recv_piece(c, f);
}

static void recv_credit(struct conv *c, const struct mk_frame *f)
{
    if (f->number > NET_CREDIT_MAX - c->send_credit) {
        link_fail(c->pub.link, MK_CLOSE_BAD_FRAME, /* tell= */ true, "a credit over the window");
        return;
    }
    c->send_credit += f->number;
    if (c->want > 0 && !mk_list_empty(&c->wait))
        conv_check_ready(c);
}

static void recv_close(struct conv *c, const struct mk_frame *f)
{
    char text[MK_REASON_MAX];

    mk_frame_text(f, text);
    conv_end(c, f->number, text[0] != 0 ? text : mk_close_text(f->number));
}

void conv_recv(struct mk_link *l, const struct mk_frame *f)
{
    struct conv *c;

    if (f->type == MK_FRAME_OPEN) {
        recv_open(l, f);
        return;
    }
    c = conv_find(l, f->conv);
    if (c == NULL) {
        uint32_t next = ((f->conv ^ l->next_ours) & 1) == 0 ? l->next_ours : l->next_theirs;

        if (f->conv >= next)
            link_fail(l, MK_CLOSE_BAD_FRAME, /* tell= */ true, "conversation %u was never opened",
                      f->conv);
        return;
    }
    if (f->type == MK_FRAME_CLOSE)
        recv_close(c, f);
    else if (f->type == MK_FRAME_CREDIT)
        recv_credit(c, f);
    else if (!c->ended)
        recv_piece(c, f);
}

/* --- the public face ----------------------------------------------------------------- */

int mk_conv_open(struct mk_link *l, struct mk_conv **ret, const char *proto, struct mk_bytes first,
                 const struct mk_conv_cbs *cbs, void *owner)
{
    struct mk_str name = mk_str_of(proto);
    struct conv *c;

    if (l->state != LINK_UP)
        return MK_ECLOSED;
    if (name.n == 0 || name.n > MK_NET_PROTO_MAX)
        return MK_EINVALID;
    if (first.n > MK_NET_MESSAGE_MAX)
        return MK_ELIMIT;
    if (l->n_convs_ours >= MK_NET_CONVS_WANTED_MAX || first.n > link_room(l) ||
        l->next_ours > UINT32_MAX - 4 * MK_NET_CONVS_WANTED_MAX)
        return MK_EFULL;
    if (l->stranger)
        l->net->n_strangers--;
    l->stranger = false;
    c = conv_new(l, name, /* ours= */ true);
    c->pub.cbs = cbs;
    c->pub.owner = owner;
    conv_queue(c, &first, 1, first.n);
    *ret = &c->pub;
    return 0;
}

int mk_conv_sendv(struct mk_conv *conv, const struct mk_bytes *parts, size_t n_parts)
{
    struct conv *c = mk_container_of(conv, struct conv, pub);
    size_t total = 0;

    MK_ASSERT(!c->ended || conv->link->state != LINK_UP);
    if (conv->link->state != LINK_UP)
        return MK_ECLOSED;
    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].n > MK_NET_MESSAGE_MAX - total)
            return MK_ELIMIT;
        total += parts[i].n;
    }
    if (total > c->send_credit || total > link_room(conv->link)) {
        conv_wait(c, total);
        return MK_EFULL;
    }
    conv_queue(c, parts, n_parts, total);
    return 0;
}

int mk_conv_send(struct mk_conv *c, struct mk_bytes m)
{
    return mk_conv_sendv(c, &m, 1);
}

size_t mk_conv_room(const struct mk_conv *conv)
{
    const struct conv *c = mk_container_of(conv, struct conv, pub);
    size_t room = link_room(conv->link);

    if (conv->link->state != LINK_UP)
        return 0;
    if (room > c->send_credit)
        room = c->send_credit;
    return room > MK_NET_WINDOW ? MK_NET_WINDOW : room;
}

void mk_conv_consumed(struct mk_conv *conv, size_t n)
{
    struct conv *c = mk_container_of(conv, struct conv, pub);

    if (n > c->held) /* the first message is given back by the net itself */
        n = c->held;
    c->held -= n;
    if (n > 0 && !c->ended && conv->link->state == LINK_UP)
        conv_give_back(c, n);
}

void mk_conv_close(struct mk_conv *conv, unsigned close, const char *detail)
{
    struct conv *c = mk_container_of(conv, struct conv, pub);

    MK_ASSERT(!c->ended);
    c->ended = true;
    if (conv->link->state != LINK_UP)
        return; /* goes with its link */
    c->close = close;
    c->detail = mk_strdup(detail != NULL && detail[0] != 0 ? detail : mk_close_text(close));
    conv_drop_partial(c);
    mk_list_del(&c->credit);
    mk_list_del(&c->wait);
    conv_activate(c);
}
