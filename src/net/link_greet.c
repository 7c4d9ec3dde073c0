/* link_greet.c - how a connection becomes a link.
 *
 * The channel is through: the key at the other end is known (link_greet). A HELLO each way
 * (link_recv_hello) compares protocols and networks, and may move the link to a network beside
 * ours. Then the peer with the lesser id judges which of two links of one pair stays (table.c) and
 * says READY; the other one waits for it (link_recv_ready). A link that is up is in the table,
 * watchers know it, and conversations may begin.
 *
 * Whoever is refused is told why, in words that are alike on both sides. */
#include "net/net_int.h"

#include <string.h>

/* --- hello --------------------------------------------------------------------------- */

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
void link_greet(struct mk_link *l)
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

void link_recv_hello(struct mk_link *l, const struct mk_frame *f)
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

/* --- up ------------------------------------------------------------------------------ */

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

void link_recv_ready(struct mk_link *l)
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

/* The older link did not show that it lives. */
void link_win(struct mk_link *l)
{
    struct mk_link *old = table_find(l->net, &l->peer);

    if (old != NULL)
        link_fail(old, MK_CLOSE_LOST, /* tell= */ true, "it did not answer, a newer link did");
    link_up(l);
}
