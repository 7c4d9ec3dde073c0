/* gather.c - all producers of one surface that discovery knows of.
 *
 *   entry offers the surface ----> consumer ----> subscribed
 *                                     |
 *       entry gone, not subscribed ---+--> parked: its cursor is kept
 *
 * Entries are looked through when discovery has changed, but not more than five times a
 * second: among thousands of peers something changes all the time. Those known are bounded;
 * beyond, the one that was parked first is forgotten, and without any the newcomer waits
 * until the next look. */
#include "base/assert.h"
#include "streams/consumer.h"
#include "streams/judge.h"
#include "streams/streams.h"

#include <string.h>

#define PRODUCERS_MAX 64u
#define PARKED_MAX 64u
#define LOOK_MS 200u

struct gathered {
    struct mk_gather *of;
    struct mk_list node;
    struct mk_watch watch; /* of c, for conditions on the whole */
    struct mk_peer peer;
    struct mk_consumer *c; /* NULL: parked */
    struct mk_stream_cursor cursor;
    bool offered; /* by the entries of the present look */
};

struct mk_gather {
    struct mk_streams *streams;
    struct mk_list node; /* of streams->gathers */
    struct mk_signal signal;
    struct mk_gather_options options;
    struct mk_judge judge; /* holds the copy of the ACL */
    struct mk_consumer_cbs cbs;
    void *owner;
    struct mk_list active, parked; /* of struct gathered */
    unsigned n_active, n_parked;
    struct mk_discovery_watch watch;
    struct mk_timer look;
    uint64_t looked_ns;
};

static struct gathered *find(const struct mk_list *list, const struct mk_peer *peer)
{
    mk_list_each(n, list)
    {
        struct gathered *p = mk_container_of(n, struct gathered, node);

        if (mk_peer_eq(&p->peer, peer))
            return p;
    }
    return NULL;
}

/* --- coming and going ------------------------------------------------------------------------ */

static void consumer_changed(struct mk_watch *w, const struct mk_bytes *item)
{
    mk_signal_raise(&mk_container_of(w, struct gathered, watch)->of->signal, item);
}

static void start(struct mk_gather *g, struct gathered *p)
{
    struct mk_consumer_options o = g->options.consumer;

    o.producer = p->peer;
    o.address = NULL; /* the entry has it */
    o.run = p->cursor.run;
    o.after = p->cursor.last;
    mk_streams_consume(g->streams, &p->c, &o, &g->cbs, g->owner);
    p->of = g;
    p->watch.cb = consumer_changed;
    mk_watch_start(mk_consumer_signal(p->c), &p->watch);
    mk_list_add_tail(&g->active, &p->node);
    g->n_active++;
}

static void park(struct mk_gather *g, struct gathered *p)
{
    mk_consumer_cursor(p->c, &p->cursor);
    mk_consumer_close(p->c);
    p->c = NULL;
    mk_list_del(&p->node);
    mk_list_add_tail(&g->parked, &p->node);
    g->n_active--;
    if (++g->n_parked <= PARKED_MAX)
        return;
    mk_free(mk_container_of(mk_list_pop(&g->parked), struct gathered, node));
    g->n_parked--;
}

static void offered_cb(void *arg, const struct mk_peer *peer, const struct mk_str *addresses,
                       size_t n_addresses)
{
    struct mk_gather *g = arg;
    struct gathered *p = find(&g->active, peer);

    (void)addresses;
    (void)n_addresses;
    if (p != NULL) {
        p->offered = true;
        return;
    }
    if (g->n_active >= g->options.producers_max)
        return;
    p = find(&g->parked, peer);
    if (p != NULL) {
        mk_list_del(&p->node);
        g->n_parked--;
    } else {
        p = mk_alloc(sizeof *p);
        p->peer = *peer;
    }
    p->offered = true;
    start(g, p);
}

static void look_cb(struct mk_timer *t)
{
    struct mk_gather *g = mk_container_of(t, struct mk_gather, look);

    g->looked_ns = mk_now(g->streams->env);
    mk_list_each(n, &g->active) mk_container_of(n, struct gathered, node)->offered = false;
    mk_discovery_find_surface(g->streams->discovery, &g->options.consumer.surface, offered_cb, g);
    mk_list_each(n, &g->active)
    {
        struct gathered *p = mk_container_of(n, struct gathered, node);
        struct mk_consumer_stats s;

        mk_consumer_stats(p->c, &s);
        if (!p->offered && !s.subscribed)
            park(g, p);
    }
    /* One that is subscribed and not offered any more is looked at again. */
    mk_list_each(n, &g->active) if (!mk_container_of(n, struct gathered, node)->offered)
        mk_timer_start(g->streams->env, &g->look, g->looked_ns + MK_S);
}

static void changed(struct mk_discovery_watch *w)
{
    struct mk_gather *g = mk_container_of(w, struct mk_gather, watch);
    uint64_t at = g->looked_ns + LOOK_MS * MK_MS, now = mk_now(g->streams->env);

    mk_timer_start(g->streams->env, &g->look, at > now ? at : now);
}

/* --- public ------------------------------------------------------------------------------ */

int mk_streams_gather(struct mk_streams *s, struct mk_gather **ret,
                      const struct mk_gather_options *o, const struct mk_consumer_cbs *cbs,
                      void *owner)
{
    struct mk_gather *g = mk_alloc(sizeof *g);
    const struct mk_consumer_options *c = &o->consumer;

    g->streams = s;
    g->options = *o;
    if (g->options.producers_max == 0)
        g->options.producers_max = PRODUCERS_MAX;
    mk_judge_init(&g->judge, c->acl, &c->stable_id, &c->own_issuer, c->issuers, s->attestation);
    g->judge.gate.standing = s->standing;
    g->options.consumer.acl = &g->judge.acl;
    g->cbs = *cbs;
    g->owner = owner;
    mk_list_init(&g->active);
    mk_list_init(&g->parked);
    mk_list_add_tail(&s->gathers, &g->node);
    g->look.cb = look_cb;
    g->watch.changed = changed;
    mk_discovery_watch(s->discovery, &g->watch);
    mk_timer_start(s->env, &g->look, mk_now(s->env));
    *ret = g;
    return 0;
}

static void free_all(struct mk_list *list)
{
    struct mk_list *n;

    while ((n = mk_list_pop(list)) != NULL) {
        struct gathered *p = mk_container_of(n, struct gathered, node);

        mk_consumer_close(p->c); /* NULL is fine */
        mk_free(p);
    }
}

struct mk_env *mk_gather_env(const struct mk_gather *g)
{
    return g->streams->env;
}

struct mk_signal *mk_gather_signal(struct mk_gather *g)
{
    return &g->signal;
}

void mk_gather_close(struct mk_gather *g)
{
    if (g == NULL)
        return;
    mk_signal_close(&g->signal);
    mk_discovery_unwatch(&g->watch);
    mk_timer_stop(&g->look);
    mk_list_del(&g->node);
    free_all(&g->active);
    free_all(&g->parked);
    mk_judge_done(&g->judge);
    mk_free(g);
}

void mk_gather_close_node(struct mk_list *node)
{
    mk_gather_close(mk_container_of(node, struct mk_gather, node));
}

unsigned mk_gather_subscribed(const struct mk_gather *g)
{
    unsigned n = 0;

    mk_list_each(pos, &g->active)
    {
        struct mk_consumer_stats s;

        mk_consumer_stats(mk_container_of(pos, struct gathered, node)->c, &s);
        n += s.subscribed ? 1 : 0;
    }
    return n;
}
