/* evidence_feed.c - a surface of a bound component, commit by commit, with what proves each of them
 * to whoever trusts that component's operator (mosaik/evidence.h).
 *
 * The follower verifies; here the commits of one burst wait for its end, which is a certified head,
 * and are then handed over with the links that lead there. A burst that is longer than evidence may
 * reach loses its beginning, which is told as a gap. */
#include "node/network.h"

#include <mosaik/evidence.h>

#include <string.h>

#define REACHED (MK_EVIDENCE_LINKS_MAX + 1) /* commits of a burst that can be evidence */
#define ROOM (2 * REACHED)

struct gathered {
    uint64_t index;
    struct mk_id before, hash;
    bool marker;
    struct mk_buf payload; /* empty when it is too large to be evidence */
    bool large;
};

struct mk_evidence_feed {
    struct mk_bond_part part;
    struct mk_bond *bond; /* NULL once ended */
    const struct mk_evidence_surface *surface;
    uint64_t after;
    struct mk_id after_commit;
    struct mk_evidence_feed_cbs cbs;
    void *owner;
    struct mk_follow *follow;
    struct gathered *v; /* of this burst, oldest first */
    struct mk_chain_link *links;
    size_t n;
    uint64_t lost_first, lost_last; /* commits that no evidence reaches */
    unsigned depth;
    bool closed;
};

static void forget(struct mk_evidence_feed *g)
{
    for (size_t i = 0; i < g->n; i++)
        mk_buf_done(&g->v[i].payload);
    g->n = 0;
}

static void feed_leave(struct mk_evidence_feed *g)
{
    if (--g->depth > 0 || !g->closed)
        return;
    forget(g);
    mk_free(g->v);
    mk_free(g->links);
    mk_free(g);
}

static void feed_end(struct mk_evidence_feed *g, int status, const struct mk_fault *fault)
{
    if (g->closed)
        return;
    mk_follow_close(g->follow);
    g->follow = NULL;
    g->depth++;
    if (g->cbs.ended != NULL)
        g->cbs.ended(g, status, fault);
    feed_leave(g);
}

/* --- handing over ---------------------------------------------------------------------------- */

/** The changes that lead from the bond's Deployment to an epoch; lent from arena. */
static struct mk_roster_changes chain_to(struct mk_bond *b, uint64_t epoch, struct mk_arena *arena)
{
    struct mk_roster_change *v = mk_arena_take(arena, MK_EVIDENCE_CHAIN_MAX * sizeof *v);
    size_t n = 0;

    for (uint64_t e = b->component.roster.epoch + 1; e <= epoch && n < MK_EVIDENCE_CHAIN_MAX; e++) {
        const struct mk_roster_change *c = mk_reader_change(b->memory, e);

        if (c != NULL)
            v[n++] = *c;
    }
    return (struct mk_roster_changes){v, n};
}

/** The operator's record of the deployment that is bound, when there is one. */
static struct mk_opt_deployment record_of(struct mk_bond *b)
{
    struct mk_opt_deployment d = {.some = false};

    if (b->version > 0 && b->reference.operator_.some &&
        mk_discovery_deployment(b->network->discovery, &d.v, &b->reference.stable_id,
                                &b->reference.operator_.v) == 0)
        d.some = mk_id_eq(&d.v.deployment, &b->component.deployment);
    return d;
}

static void hand_over(struct mk_evidence_feed *g, const struct mk_certificate *c)
{
    struct mk_bond *b = g->bond;
    struct mk_arena arena = {0};
    struct mk_exhibit e = {.stable_id = b->reference.stable_id,
                           .record = record_of(b),
                           .chain = chain_to(b, c->head.epoch, &arena),
                           .certificate = *c};

    e.pointer.member = mk_member_id_of(&e.stable_id);
    e.pointer.surface = c->head.surface;
    for (size_t i = 0; i < g->n && !g->closed; i++) {
        const struct gathered *x = &g->v[i];

        if (x->large || mk_evidence_clock(g->surface, x->index, x->marker,
                                          mk_buf_bytes(&x->payload), &e.pointer.clock) != 0)
            continue;
        e.pointer.commit = x->hash;
        e.index = x->index;
        e.before = x->before;
        e.marker = x->marker;
        e.payload = mk_buf_bytes(&x->payload);
        e.between = (struct mk_evidence_links){g->links + i + 1, g->n - i - 1};
        g->cbs.evidence(g, &e);
    }
    mk_arena_done(&arena);
}

static void tell_lost(struct mk_evidence_feed *g)
{
    if (g->lost_last == 0)
        return;
    if (g->cbs.gap != NULL)
        g->cbs.gap(g, g->lost_first, g->lost_last);
    g->lost_last = 0;
}

/* --- what the follower says ------------------------------------------------------------------- */

/* All but the newest that a certified head at their end would still reach. */
static void drop_unreached(struct mk_evidence_feed *g)
{
    size_t drop = g->n > REACHED ? g->n - REACHED : 0;

    if (drop == 0)
        return;
    if (g->lost_last == 0)
        g->lost_first = g->v[0].index;
    g->lost_last = g->v[drop - 1].index;
    for (size_t i = 0; i < drop; i++)
        mk_buf_done(&g->v[i].payload);
    g->n -= drop;
    memmove(&g->v[0], &g->v[drop], g->n * sizeof *g->v);
    memmove(&g->links[0], &g->links[drop], g->n * sizeof *g->links);
}

static void keep(struct mk_evidence_feed *g, uint64_t index, struct mk_bytes payload, bool marker)
{
    struct gathered *x;

    if (g->n == ROOM)
        drop_unreached(g);
    x = &g->v[g->n];
    *x = (struct gathered){.index = index,
                           .before = *mk_follow_before(g->follow),
                           .hash = *mk_follow_hash(g->follow),
                           .marker = marker,
                           .large = payload.n > MK_EVIDENCE_PAYLOAD_MAX};
    if (!x->large)
        mk_buf_put(&x->payload, payload.p, payload.n);
    g->links[g->n++] =
        (struct mk_chain_link){.digest = marker ? mk_schema_digest(&mk_retirement_marker_type)
                                                : mk_surface_schema(g->surface->spec),
                               .payload = mk_hash(payload)};
}

static void follow_commit(struct mk_follow *fo, uint64_t index, struct mk_bytes payload,
                          bool marker)
{
    struct mk_evidence_feed *g = mk_follow_owner(fo);
    const struct mk_certificate *c = mk_follow_certificate(fo);

    keep(g, index, payload, marker);
    if (index != c->head.index)
        return;
    drop_unreached(g);
    g->depth++;
    tell_lost(g);
    if (!g->closed)
        hand_over(g, c);
    forget(g);
    feed_leave(g);
}

static void follow_certified(struct mk_follow *fo, const struct mk_certificate *c)
{
    struct mk_evidence_feed *g = mk_follow_owner(fo);

    (void)c;
    mk_bond_remember(g->bond, false);
}

static void follow_snapshot(struct mk_follow *fo, uint64_t index)
{
    struct mk_evidence_feed *g = mk_follow_owner(fo);

    (void)index;
    forget(g);
}

static void follow_gap(struct mk_follow *fo, uint64_t from, uint64_t to)
{
    struct mk_evidence_feed *g = mk_follow_owner(fo);

    forget(g);
    g->depth++;
    if (g->cbs.gap != NULL)
        g->cbs.gap(g, from, to);
    feed_leave(g);
}

static void follow_failed(struct mk_follow *fo, int status, const struct mk_fault *fault)
{
    feed_end(mk_follow_owner(fo), status, fault);
}

static const struct mk_follow_cbs follow_cbs = {.commit = follow_commit,
                                                .snapshot = follow_snapshot,
                                                .certified = follow_certified,
                                                .gap = follow_gap,
                                                .failed = follow_failed};

static void part_rebind(struct mk_bond_part *p)
{
    struct mk_evidence_feed *g = mk_container_of(p, struct mk_evidence_feed, part);
    struct mk_bond *b = g->bond;
    const struct mk_surface_spec *spec = g->surface->spec;
    bool keyed = mk_surface_keyed(spec->kind), first = g->follow == NULL && g->after > 0;
    struct mk_follow_options o = {.surface = mk_surface_id(spec, &b->reference.stable_id),
                                  .kind = spec->kind,
                                  .schema = mk_surface_schema(spec),
                                  .from = keyed   ? mk_from_Snapshot
                                          : first ? mk_from_After
                                                  : mk_from_Oldest,
                                  .after = {g->after, g->after_commit}};
    int rv;

    forget(g);
    mk_follow_close(g->follow);
    g->follow = NULL;
    rv = mk_follow_open(b->network->env, b->network->net, &g->follow, &b->component, b->memory, &o,
                        &follow_cbs, g, &b->report);
    if (rv != 0)
        feed_end(g, rv, NULL);
}

static void part_end(struct mk_bond_part *p, int status, const struct mk_fault *fault)
{
    struct mk_evidence_feed *g = mk_container_of(p, struct mk_evidence_feed, part);

    g->bond = NULL;
    feed_end(g, status, fault);
}

int mk_evidence_feed_open(struct mk_bond *b, struct mk_evidence_feed **ret,
                          const struct mk_evidence_surface *surface, uint64_t after,
                          const struct mk_id *after_commit, const struct mk_evidence_feed_cbs *cbs,
                          void *owner)
{
    struct mk_evidence_feed *g = mk_alloc(sizeof *g);

    g->part = (struct mk_bond_part){.rebind = part_rebind, .end = part_end};
    g->bond = b;
    g->surface = surface;
    g->after = after;
    if (after > 0)
        g->after_commit = *after_commit;
    g->cbs = *cbs;
    g->owner = owner;
    g->v = mk_alloc(ROOM * sizeof *g->v);
    g->links = mk_alloc(ROOM * sizeof *g->links);
    mk_list_add_tail(&b->parts, &g->part.node);
    *ret = g;
    if (b->bound)
        part_rebind(&g->part);
    return 0;
}

void mk_evidence_feed_close(struct mk_evidence_feed *g)
{
    if (g == NULL || g->closed)
        return;
    g->closed = true;
    mk_follow_close(g->follow);
    g->follow = NULL;
    if (g->bond != NULL)
        mk_list_del(&g->part.node);
    g->bond = NULL;
    g->depth++;
    feed_leave(g);
}

void *mk_evidence_feed_owner(const struct mk_evidence_feed *g)
{
    return g->owner;
}
