/* sync.c - comparing with one named peer, now, because somebody here asked for it.
 *
 * The peer is wanted (contacts.c) until it is done. When there is a conversation with it a round of
 * comparing is begun, or the first one, which every conversation begins with, is waited for; when
 * it is over each side holds what the other held. A conversation that ends before says why. */
#include "discovery/discovery_int.h"

void mk_discovery_sync(struct mk_discovery *d, struct mk_discovery_sync *s,
                       const struct mk_peer *peer, const char *address)
{
    s->peer = *peer;
    s->d = d;
    s->conv = s->rounds = 0;
    mk_list_add_tail(&d->syncs, &s->node);
    mk_discovery_want(d, peer, address);
    mk_discovery_poke(d);
}

void mk_discovery_sync_cancel(struct mk_discovery_sync *s)
{
    if (s->d == NULL)
        return;
    mk_list_del(&s->node);
    mk_discovery_unwant(s->d, &s->peer);
    s->d = NULL;
}

static void sync_end(struct mk_discovery_sync *s, int status, const struct mk_fault *fault)
{
    mk_discovery_sync_cancel(s);
    s->cb(s, status, fault);
}

/* Which round it waits for. */
static void sync_begin(struct mk_discovery_sync *s, struct mk_gossip *g)
{
    s->conv = g->id;
    s->rounds = g->rounds + 1;
    if (mk_compare_over(g))
        mk_compare_begin(g, g->compare.round + 1);
}

void mk_sync_advance(struct mk_discovery *d)
{
    static const struct mk_fault none = {{0}};
    struct mk_list ready, *n;

    mk_list_init(&ready);
    mk_list_each(i, &d->syncs)
    {
        struct mk_discovery_sync *s = mk_container_of(i, struct mk_discovery_sync, node);
        struct mk_gossip *g = mk_gossip_find(d, &s->peer);

        if (g == NULL)
            continue;
        if (s->conv == 0)
            sync_begin(s, g);
        if (s->conv != g->id || g->rounds < s->rounds)
            continue;
        mk_list_del(i);
        mk_list_add_tail(&ready, i);
    }
    while ((n = mk_list_pop(&ready)) != NULL)
        sync_end(mk_container_of(n, struct mk_discovery_sync, node), 0, &none);
}

void mk_sync_lost(struct mk_discovery *d, uint32_t conv, unsigned close, const char *detail)
{
    struct mk_list lost, *n;
    struct mk_fault fault = {{0}};

    mk_fault(&fault, MK_EREFUSED, "%s", detail[0] != 0 ? detail : mk_close_text(close));
    mk_list_init(&lost);
    mk_list_each(i, &d->syncs)
    {
        if (mk_container_of(i, struct mk_discovery_sync, node)->conv != conv)
            continue;
        mk_list_del(i);
        mk_list_add_tail(&lost, i);
    }
    while ((n = mk_list_pop(&lost)) != NULL)
        sync_end(mk_container_of(n, struct mk_discovery_sync, node), MK_EREFUSED, &fault);
}
