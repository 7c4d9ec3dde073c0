/* machine.c - quotes in, ticks out: one stream a pair of the content.
 *
 * Only a member of the feed's own roster may commit quotes. No state of its own: a
 * tick's seq is its commit's index, which ascends by one and survives restarts. */
#include "price-feed/price_feed.h"

#include <string.h>

struct price_feed {
    struct mk_machine machine;
    struct mk_machine_ops ops; /* surfaces differ from feed to feed */
    struct mk_arena arena;
    struct coa_price_feed_content content;
    struct mk_b32 source_set; /* H(stable_id): this feed is its only source */
};

static bool is_member(const struct mk_roster *r, const struct mk_peer *p)
{
    for (size_t i = 0; i < r->peers.n; i++) {
        if (mk_peer_eq(&r->peers.v[i], p))
            return true;
    }
    return false;
}

static void publish(struct price_feed *f, struct mk_apply *a, const struct price_quote *q)
{
    const struct coa_pair *pair = &f->content.pairs.v[q->pair];
    struct price_tick t = {.timestamp_ms = q->time_ms,
                           .pair = {pair->base, pair->quote},
                           .price = {q->mantissa, pair->scale},
                           .confidence = {0, pair->scale},
                           .source_set_digest = f->source_set,
                           .source_count = 1,
                           .stale = true, /* a single source: services.md, "Feeds" */
                           .seq = mk_surface_index(mk_apply_surfaces(a), q->pair) + 1};
    struct mk_buf item = {0};

    mk_encode(&item, &price_tick_type, &t);
    mk_stream_append(a, q->pair, mk_buf_bytes(&item));
    mk_buf_done(&item);
}

static int check_quotes(struct price_feed *f, struct mk_apply *a, const struct price_quotes *q)
{
    const struct mk_peer *sender = mk_apply_sender(a);

    if (sender == NULL || !is_member(mk_apply_roster(a), sender))
        return mk_refuse(a, "sender: only a member of the feed's own committee commits quotes");
    for (size_t i = 0; i < q->n; i++) {
        if (q->v[i].pair >= f->content.pairs.n)
            return mk_refuse(a, "pair: number %u, the feed has %zu", q->v[i].pair,
                             f->content.pairs.n);
        if (q->v[i].mantissa <= 0)
            return mk_refuse(a, "price: must be above zero");
    }
    return 0;
}

static int feed_apply(struct mk_machine *m, struct mk_apply *a, struct mk_bytes command)
{
    struct price_feed *f = mk_container_of(m, struct price_feed, machine);
    struct mk_arena arena = {0};
    struct price_command c;
    struct mk_fault fault;
    int rv;

    if (mk_decode(&c, &price_command_type, command, &arena, &fault) != 0)
        rv = mk_refuse(a, "command: %.120s", fault.text);
    else
        rv = check_quotes(f, a, &c.u.quotes);
    for (size_t i = 0; rv == 0 && i < c.u.quotes.n; i++)
        publish(f, a, &c.u.quotes.v[i]);
    mk_arena_done(&arena);
    return rv;
}

static int feed_query(struct mk_machine *m, const struct mk_surfaces *s, struct mk_bytes query,
                      struct mk_buf *answer, struct mk_fault *reterr)
{
    const struct price_feed *f = mk_container_of(m, struct price_feed, machine);
    struct mk_bytes item;

    for (unsigned i = 0; i < f->ops.n_surfaces; i++) {
        const char *name = f->ops.surfaces[i].name;

        if (query.n != strlen(name) || memcmp(query.p, name, query.n) != 0)
            continue;
        if (mk_stream_get(s, i, mk_surface_index(s, i), &item) != 0)
            return mk_fault(reterr, MK_ENOTFOUND, "no tick of %s yet", name);
        mk_buf_put(answer, item.p, item.n);
        return 0;
    }
    return mk_fault(reterr, MK_ENOTFOUND, "query: the name of a pair of this feed");
}

static void feed_free(struct mk_machine *m)
{
    struct price_feed *f = mk_container_of(m, struct price_feed, machine);

    mk_arena_done(&f->arena);
    mk_free(f);
}

static const struct mk_machine_ops base_ops = {.name = "price-feed",
                                               .version = 1,
                                               .apply = feed_apply,
                                               .query = feed_query,
                                               .free = feed_free};

/** "base/quote", terminated, in the arena. */
static const char *surface_name(struct price_feed *f, const struct coa_pair *p)
{
    size_t n = p->base.n + 1 + p->quote.n;
    char *s = mk_arena_take(&f->arena, n + 1);

    memcpy(s, p->base.p, p->base.n);
    s[p->base.n] = '/';
    memcpy(s + p->base.n + 1, p->quote.p, p->quote.n);
    return s;
}

int price_feed_machine_new(struct mk_machine **ret, struct mk_bytes content,
                           const struct mk_id *stable_id, struct mk_fault *reterr)
{
    struct price_feed *f = mk_alloc(sizeof *f);
    struct mk_bytes own = {mk_arena_copy(&f->arena, content.p, content.n), content.n};
    struct mk_surface_spec *surfaces;
    struct mk_id digest = mk_hash(MK_ID_BYTES(stable_id));
    int rv = mk_decode(&f->content, &coa_price_feed_content_type, own, &f->arena, reterr);

    if (rv == 0 && (f->content.pairs.n == 0 || f->content.pairs.n > MK_SURFACES_MAX))
        rv = mk_fault(reterr, MK_ELIMIT, "a feed has 1 to %u pairs", MK_SURFACES_MAX);
    if (rv != 0) {
        feed_free(&f->machine);
        return rv;
    }
    surfaces = mk_arena_take(&f->arena, f->content.pairs.n * sizeof *surfaces);
    for (size_t i = 0; i < f->content.pairs.n; i++)
        surfaces[i] = price_feed_surface(surface_name(f, &f->content.pairs.v[i]));
    memcpy(f->source_set.b, digest.b, sizeof digest.b);
    f->ops = base_ops;
    f->ops.surfaces = surfaces;
    f->ops.n_surfaces = (unsigned)f->content.pairs.n;
    f->machine.ops = &f->ops;
    *ret = &f->machine;
    return 0;
}
