/* table.c - which link to a peer is the link to that peer.
 *
 * Two peers may dial each other at once, or one may have lost a link that the other
 * still believes in. So one of the two judges, the one with the lesser id: when
 * the hello of a link is in and there is no other, it sends READY and the link is
 * up on its side; the other side takes it up on READY, and drops what it had.
 *
 * When the judge has a link to that peer already:
 *   - another instance (the process was started anew): the old link is dead;
 *   - dialed by the same side: that side dials only when it has no link, so the old
 *     one is dead;
 *   - dialed by different sides: a race, or the other side lost the old link. Ask:
 *     ping the old link. If it answers, the new one is a DUPLICATE; if not within
 *     NET_PROBE_MS, the old one is LOST and the new one is up. */
#include "net/net_int.h"

#include <string.h>

static struct mk_link **table_bucket(struct mk_net *net, const struct mk_peer *peer)
{
    return &net->peers[(peer->b[0] ^ peer->b[9]) % NET_PEER_BUCKETS];
}

struct mk_link *table_find(struct mk_net *net, const struct mk_peer *peer)
{
    for (struct mk_link *l = *table_bucket(net, peer); l != NULL; l = l->peer_next)
        if (mk_peer_eq(&l->peer, peer))
            return l;
    return NULL;
}

void table_add(struct mk_link *l)
{
    struct mk_link **b = table_bucket(l->net, &l->peer);

    MK_ASSERT(table_find(l->net, &l->peer) == NULL);
    l->peer_next = *b;
    *b = l;
}

void table_remove(struct mk_link *l)
{
    for (struct mk_link **p = table_bucket(l->net, &l->peer); *p != NULL; p = &(*p)->peer_next) {
        if (*p == l) {
            *p = l->peer_next;
            return;
        }
    }
}

void table_judge(struct mk_link *l)
{
    struct mk_link *old = table_find(l->net, &l->peer);

    MK_ASSERT(mk_peer_cmp(&l->net->key->peer, &l->peer) < 0);
    if (old == NULL) {
        link_up(l);
        return;
    }
    if (old->dialed == l->dialed || memcmp(old->instance, l->instance, sizeof l->instance) != 0) {
        link_fail(old, MK_CLOSE_DUPLICATE, /* tell= */ true, "a newer link took its place");
        link_up(l);
        return;
    }
    l->deadline_ns = mk_now(l->net->env) + NET_PROBE_MS * MK_MS;
    net_wake_at(l->net, l->deadline_ns);
    link_ping(old);
}

void table_settle(struct mk_net *net, const struct mk_peer *peer, bool lives)
{
    if (net->closing || mk_peer_cmp(&net->key->peer, peer) > 0)
        return; /* not ours to judge */
    mk_list_each(n, &net->greeting)
    {
        struct mk_link *l = mk_container_of(n, struct mk_link, node);

        if (l->state != LINK_WAITING || !mk_peer_eq(&l->peer, peer))
            continue;
        if (lives) {
            link_fail(l, MK_CLOSE_DUPLICATE, /* tell= */ true, "there is a link already");
        } else {
            link_up(l);
            return;
        }
    }
}
