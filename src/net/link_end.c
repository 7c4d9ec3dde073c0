/* link_end.c - how a connection ends.
 *
 * Every failure, and every end that was wanted, goes through link_fail(), which only notes it and
 * takes the link out of the books of its state. At the end of the turn link_finish() tells the
 * other side (GOAWAY, or TLS's alert), ends the conversations, tells the watchers, and lingers
 * until the other side has read the reason or NET_LINGER_MS is over. Closing at once instead would
 * make the kernel answer unread bytes with a reset, and the reason would be lost with it. */
#include "net/net_int.h"

#include <stdio.h>

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

void link_finish(struct mk_link *l)
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

void link_tell_older(struct mk_link *l)
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
