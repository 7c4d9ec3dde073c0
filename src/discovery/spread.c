/* spread.c - what is new is announced, asked for, given.
 *
 * Happy path. Our own records go whole to every neighbour: none of them can have it. A record that
 * came from elsewhere is announced to the others by 8 bytes of its hash, at once when nothing was
 * announced within the last period, else together with what else is new when the period is over.
 * Who hears of a record that he lacks asks for it, once; who announces it meanwhile is remembered
 * (a wish). So records travel along the fastest links, as a tree, and names along all others.
 *
 * Failure. What was asked for and does not come in a second is asked for at the next one who
 * announced it; nobody left: the wish is forgotten, and the next comparison finds what is missing.
 * One who lets many lapse in a row loses the conversation. A record that was refused here is not
 * asked for again for half a minute, however many announce it. Wishes are bounded, in all and for
 * each conversation, so a liar who announces what is not there crowds nobody out. */
#include "discovery/discovery_int.h"

#include <string.h>

/* --- declined ------------------------------------------------------------------------------ */

static void decline(struct mk_discovery *d, uint64_t hash)
{
    if (d->declined == NULL)
        d->declined = mk_alloc(SPREAD_DECLINED_MAX * sizeof *d->declined);
    d->declined[d->declined_at++ % SPREAD_DECLINED_MAX] =
        (struct mk_declined){hash, mk_now(d->env) + SPREAD_DECLINED_NS};
}

static bool is_declined(const struct mk_discovery *d, uint64_t hash, uint64_t now)
{
    for (unsigned i = 0; d->declined != NULL && i < SPREAD_DECLINED_MAX; i++) {
        if (d->declined[i].hash == hash && now < d->declined[i].until_ns)
            return true;
    }
    return false;
}

/* --- wishes ---------------------------------------------------------------------------------- */

static struct mk_list *wish_chain(struct mk_discovery *d, uint64_t hash)
{
    return &d->chains[hash % SPREAD_CHAINS];
}

static struct mk_wish *wish_find(struct mk_discovery *d, uint64_t hash)
{
    if (d->chains == NULL)
        return NULL;
    mk_list_each(n, wish_chain(d, hash))
    {
        struct mk_wish *w = mk_container_of(n, struct mk_wish, chain);

        if (w->hash == hash)
            return w;
    }
    return NULL;
}

static void wish_ask(struct mk_wish *w, struct mk_gossip *g)
{
    struct mk_discovery *d = g->d;

    w->asked = g->id;
    w->until_ns = mk_now(d->env) + SPREAD_ASK_NS;
    g->n_wishes++;
    mk_buf_put(&g->asking, &w->hash, sizeof w->hash);
    mk_list_del(&w->node);
    mk_list_add_tail(&d->wishes, &w->node);
}

static void wish_new(struct mk_gossip *g, uint64_t hash)
{
    struct mk_discovery *d = g->d;
    struct mk_wish *w;

    if (d->n_wishes >= SPREAD_WISHES_MAX || g->n_wishes >= SPREAD_CONV_MAX)
        return; /* the next comparison finds it */
    if (d->chains == NULL) {
        d->chains = mk_alloc(SPREAD_CHAINS * sizeof *d->chains);
        for (unsigned i = 0; i < SPREAD_CHAINS; i++)
            mk_list_init(&d->chains[i]);
    }
    w = mk_alloc(sizeof *w);
    w->hash = hash;
    mk_list_init(&w->node);
    mk_list_add_tail(wish_chain(d, hash), &w->chain);
    d->n_wishes++;
    wish_ask(w, g);
}

static void wish_free(struct mk_discovery *d, struct mk_wish *w)
{
    mk_list_del(&w->node);
    mk_list_del(&w->chain);
    d->n_wishes--;
    mk_free(w);
}

static void wish_also(struct mk_wish *w, uint32_t id)
{
    for (unsigned i = 0; i < w->n_others; i++) {
        if (w->others[i] == id)
            return;
    }
    if (w->asked != id && w->n_others < SPREAD_OTHERS)
        w->others[w->n_others++] = id;
}

void mk_spread_announced(struct mk_gossip *g, struct mk_reader *r)
{
    struct mk_discovery *d = g->d;
    uint64_t now = mk_now(d->env), hash;

    if (r->n == 0 || r->n % 8 != 0 || r->n / 8 > GOSSIP_ANNOUNCE_MAX) {
        mk_gossip_doom(g, MK_CLOSE_MALFORMED, true, "an announcement that is none");
        return;
    }
    g->tokens -= (int64_t)(r->n / 8) * 10;
    while (r->n > 0) {
        struct mk_wish *w;

        memcpy(&hash, mk_read_bytes(r, 8).p, sizeof hash);
        d->stats.announced_in++;
        if (mk_catalog_by_hash(&d->table, hash) != NULL || is_declined(d, hash, now))
            continue;
        w = wish_find(d, hash);
        if (w != NULL)
            wish_also(w, g->id);
        else
            wish_new(g, hash);
    }
}

void mk_spread_came(struct mk_discovery *d, uint64_t hash, bool taken)
{
    struct mk_wish *w = wish_find(d, hash);
    struct mk_gossip *g;

    if (!taken)
        decline(d, hash);
    if (w == NULL)
        return;
    g = mk_gossip_by_id(d, w->asked);
    if (g != NULL) {
        g->n_wishes--;
        g->lapses = 0;
    }
    wish_free(d, w);
}

/* One that was not given in time. */
static void wish_lapse(struct mk_discovery *d, struct mk_wish *w)
{
    struct mk_gossip *g = mk_gossip_by_id(d, w->asked);

    d->stats.lapsed++;
    if (g != NULL) {
        g->n_wishes--;
        if (++g->lapses >= SPREAD_LAPSES_MAX)
            mk_gossip_doom(g, MK_CLOSE_SLOW, false, "announced what it did not give");
    }
    while (w->n_others > 0) {
        g = mk_gossip_by_id(d, w->others[--w->n_others]);
        if (g != NULL && g->doomed == 0) {
            wish_ask(w, g);
            return;
        }
    }
    wish_free(d, w);
}

uint64_t mk_spread_expire(struct mk_discovery *d)
{
    uint64_t now = mk_now(d->env);

    mk_list_each(n, &d->wishes)
    {
        struct mk_wish *w = mk_container_of(n, struct mk_wish, node);

        if (w->until_ns > now)
            return w->until_ns;
        if (mk_catalog_by_hash(&d->table, w->hash) != NULL)
            mk_spread_came(d, w->hash, /* taken= */ true);
        else
            wish_lapse(d, w);
    }
    return UINT64_MAX;
}

void mk_spread_close(struct mk_discovery *d)
{
    mk_list_each(n, &d->wishes) wish_free(d, mk_container_of(n, struct mk_wish, node));
    mk_free(d->chains);
    mk_free(d->declined);
    d->chains = NULL;
    d->declined = NULL;
}

/* --- giving -------------------------------------------------------------------------------- */

void mk_spread_asked(struct mk_gossip *g, struct mk_reader *r)
{
    if (r->n == 0 || r->n % 8 != 0 || r->n / 8 > GOSSIP_ANNOUNCE_MAX) {
        mk_gossip_doom(g, MK_CLOSE_MALFORMED, true, "a question that is none");
        return;
    }
    g->tokens -= (int64_t)(r->n / 8) * 10;
    if (g->asked.n + r->n <= GOSSIP_ASKED_MAX * 8) /* beyond, it may ask another */
        mk_buf_put(&g->asked, r->p, r->n);
}

static void give(struct mk_gossip *g)
{
    struct mk_buf batch = {0};
    size_t at = 0;

    while (at < g->asked.n) {
        size_t to = at;

        mk_buf_clear(&batch);
        for (; to < g->asked.n && batch.n < GOSSIP_BATCH_MAX; to += 8) {
            const struct mk_record *r;
            uint64_t hash;

            memcpy(&hash, g->asked.p + to, sizeof hash);
            r = mk_catalog_by_hash(&g->d->table, hash);
            if (r != NULL)
                mk_gossip_put(g->d, &batch, r);
        }
        if (batch.n > 0 && !mk_gossip_send(g, mk_buf_bytes(&batch)))
            break;
        at = to;
    }
    memmove(g->asked.p, g->asked.p + at, g->asked.n - at);
    g->asked.n -= at;
    if (g->asked.n == 0)
        mk_buf_done(&g->asked);
    mk_buf_done(&batch);
}

static void ask(struct mk_gossip *g)
{
    struct mk_buf m = {0};

    mk_buf_put_u8(&m, GOSSIP_ASK);
    mk_buf_put(&m, g->asking.p, g->asking.n);
    mk_gossip_send(g, mk_buf_bytes(&m)); /* no room: the wishes lapse, and others are asked */
    mk_buf_done(&m);
    mk_buf_done(&g->asking);
}

/* --- announcing ------------------------------------------------------------------------------ */

/* The first record, in the order of changes, that was not passed on there. */
static struct mk_list *unspread(struct mk_gossip *g)
{
    struct mk_catalog *t = &g->d->table;
    struct mk_list *n = t->recent.prev;

    while (n != &t->recent && mk_container_of(n, struct mk_record, recent)->seq > g->sent_seq)
        n = n->prev;
    return n->next;
}

/* What is ours goes whole, the rest by name, never back to who brought it. False: no room. */
static bool announce(struct mk_gossip *g)
{
    struct mk_catalog *t = &g->d->table;
    struct mk_buf batch = {0}, names = {0};
    struct mk_list *n = unspread(g);
    uint64_t seq = g->sent_seq;
    bool room = true;

    mk_buf_put_u8(&names, GOSSIP_ANNOUNCE);
    for (; n != &t->recent && batch.n < GOSSIP_BATCH_MAX && names.n < 1 + 8 * GOSSIP_ANNOUNCE_MAX;
         n = n->next) {
        const struct mk_record *r = mk_container_of(n, struct mk_record, recent);

        seq = r->seq;
        if (mk_peer_eq(&r->source.peer, &g->d->self))
            mk_gossip_put(g->d, &batch, r);
        else if (!mk_peer_eq(&r->source.peer, &g->source.peer) || r->rival.n > 0)
            mk_buf_put(&names, r->hash.b, 8);
    }
    if (names.n > 1)
        room = mk_gossip_send(g, mk_buf_bytes(&names));
    if (room && batch.n > 0)
        room = mk_gossip_send(g, mk_buf_bytes(&batch)); /* a name twice does no harm */
    if (room)
        g->sent_seq = seq;
    mk_buf_done(&batch);
    mk_buf_done(&names);
    return room;
}

uint64_t mk_spread_advance(struct mk_gossip *g)
{
    struct mk_discovery *d = g->d;
    uint64_t now = mk_now(d->env);

    if (g->asked.n > 0)
        give(g);
    if (g->asking.n > 0)
        ask(g);
    if (g->sent_seq == d->table.seq)
        return UINT64_MAX;
    if (now < g->announce_ns && !d->closing)
        return g->announce_ns;
    g->announce_ns = now + MK_DISCOVERY_PERIOD_MS * MK_MS;
    while (g->sent_seq != d->table.seq) {
        if (!announce(g))
            break; /* writable() comes */
    }
    return UINT64_MAX;
}
