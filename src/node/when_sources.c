/* when_sources.c - leaves that look at bonds, collections, producers, discovery, members. */
#include "node/map.h"
#include "node/node.h"
#include "node/when.h"

#include "collections/surface.h"
#include "streams/producer.h"

struct leaf {
    struct mk_when_leaf leaf;
    uint64_t n; /* a version, a number */
    unsigned surface;
    struct mk_id id;
    bool (*pred)(const struct mk_view *v, void *arg);
    bool (*peer)(const struct mk_subscriber_stats *s, void *arg);
    void *arg;
};

static const struct leaf *leaf_of(const struct mk_when *w)
{
    return (const struct leaf *)w;
}

static struct mk_when *leaf_new(const struct mk_when_ops *ops, struct mk_env *env,
                                struct mk_signal *signal, void *object, struct leaf of)
{
    struct leaf *l = mk_alloc(sizeof *l);

    *l = of;
    mk_when_leaf_init(&l->leaf, ops, env, signal, object);
    return &l->leaf.when;
}

#define LEAF_OPS(name)                                                       \
    static const struct mk_when_ops name##_ops = {.holds = name##_holds,     \
                                                  .never = mk_leaf_never,    \
                                                  .explain = name##_explain, \
                                                  .free = mk_leaf_free}

/* --- bonds -------------------------------------------------------------------------------------
 */

static bool bound_holds(const struct mk_when *w)
{
    const struct mk_bond *b = mk_leaf_of(w)->object;

    return !mk_leaf_gone(w) && b->state == MK_BOND_READY;
}

static void bound_explain(const struct mk_when *w, struct mk_buf *out)
{
    const struct mk_bond *b = mk_leaf_of(w)->object;
    struct mk_bond_status st;

    if (mk_leaf_gone(w)) {
        mk_buf_put_str(out, "a bond that was closed is ready");
        return;
    }
    mk_bond_status(b, &st);
    mk_buf_printf(out, "%.*s is bound (%s)", (int)b->reference.label.n, b->reference.label.p,
                  st.text);
}
LEAF_OPS(bound);

struct mk_when *mk_when_bound(struct mk_bond *b)
{
    return leaf_new(&bound_ops, b->network->env, &b->signal, b, (struct leaf){.n = 0});
}

/* --- collections ---------------------------------------------------------------------------------
 */

static const struct mk_collection *collection(const struct mk_when *w)
{
    return mk_leaf_of(w)->object;
}

static bool is_online(const struct mk_when *w)
{
    return !mk_leaf_gone(w) && mk_collection_online(collection(w));
}

static void explain_version(const struct mk_when *w, struct mk_buf *out)
{
    if (mk_leaf_gone(w))
        mk_buf_put_str(out, " (its reader was closed)");
    else if (!is_online(w))
        mk_buf_put_str(out, " (it is offline)");
    else
        mk_buf_printf(out, " (it is at %llu)",
                      (unsigned long long)mk_collection_version(collection(w)));
}

static bool online_holds(const struct mk_when *w)
{
    return is_online(w);
}

static void online_explain(const struct mk_when *w, struct mk_buf *out)
{
    mk_buf_put_str(out, "a collection is online");
    explain_version(w, out);
}
LEAF_OPS(online);

static bool reaches_holds(const struct mk_when *w)
{
    return is_online(w) && mk_collection_version(collection(w)) >= leaf_of(w)->n;
}

static void reaches_explain(const struct mk_when *w, struct mk_buf *out)
{
    mk_buf_printf(out, "a collection reaches version %llu", (unsigned long long)leaf_of(w)->n);
    explain_version(w, out);
}
LEAF_OPS(reaches);

static bool state_holds(const struct mk_when *w)
{
    return is_online(w) && leaf_of(w)->pred(mk_collection_view(collection(w)), leaf_of(w)->arg);
}

static void state_explain(const struct mk_when *w, struct mk_buf *out)
{
    mk_buf_put_str(out, "a collection is in the state asked for");
    explain_version(w, out);
}
LEAF_OPS(state);

/* Since it was let go, a later version was seen: n is the one that was there then. */
static bool updated_holds(const struct mk_when *w)
{
    return is_online(w) && mk_collection_version(collection(w)) > leaf_of(w)->n;
}

static void updated_let_go(struct mk_when *w)
{
    if (!mk_leaf_gone(w))
        ((struct leaf *)w)->n = mk_collection_version(collection(w));
}

static void updated_explain(const struct mk_when *w, struct mk_buf *out)
{
    mk_buf_put_str(out, "a collection is updated");
    explain_version(w, out);
}

static const struct mk_when_ops updated_ops = {.holds = updated_holds,
                                               .let_go = updated_let_go,
                                               .never = mk_leaf_never,
                                               .explain = updated_explain,
                                               .free = mk_leaf_free};

static struct mk_when *collection_leaf(struct mk_collection *c, const struct mk_when_ops *ops,
                                       struct leaf of)
{
    struct mk_map *m = mk_collection_map(c);

    return leaf_new(ops, m->env, &m->signal, c, of);
}

struct mk_when *mk_when_online(struct mk_collection *c)
{
    return collection_leaf(c, &online_ops, (struct leaf){.n = 0});
}

struct mk_when *mk_when_updated(struct mk_collection *c)
{
    return collection_leaf(c, &updated_ops, (struct leaf){.n = mk_collection_version(c)});
}

struct mk_when *mk_when_reaches(struct mk_collection *c, uint64_t version)
{
    return collection_leaf(c, &reaches_ops, (struct leaf){.n = version});
}

struct mk_when *mk_when_state(struct mk_collection *c,
                              bool (*pred)(const struct mk_view *v, void *arg), void *arg)
{
    return collection_leaf(c, &state_ops, (struct leaf){.pred = pred, .arg = arg});
}

/* --- producers
 * -------------------------------------------------------------------------------------- */

static unsigned count_subscribers(const struct leaf *l)
{
    const struct mk_producer *p = l->leaf.object;
    struct mk_subscriber_stats s;
    unsigned n = 0;

    for (unsigned i = 0; mk_producer_subscriber(p, i, &s); i++)
        n += l->peer == NULL || l->peer(&s, l->arg);
    return n;
}

static bool subscribed_holds(const struct mk_when *w)
{
    const struct leaf *l = leaf_of(w);
    const struct mk_producer *p = l->leaf.object;

    if (mk_leaf_gone(w) || p->stats.subscribers < l->n)
        return false;
    return l->peer == NULL || count_subscribers(l) >= l->n;
}

static void subscribed_explain(const struct mk_when *w, struct mk_buf *out)
{
    mk_buf_printf(out, "%llu are subscribed", (unsigned long long)leaf_of(w)->n);
    if (mk_leaf_gone(w))
        mk_buf_put_str(out, " (the producer was closed)");
    else
        mk_buf_printf(out, " (there are %u)", count_subscribers(leaf_of(w)));
}
LEAF_OPS(subscribed);

struct mk_when *mk_when_subscribed(struct mk_producer *p, unsigned n,
                                   bool (*pred)(const struct mk_subscriber_stats *s, void *arg),
                                   void *arg)
{
    return leaf_new(&subscribed_ops, p->streams->env, &p->signal, p,
                    (struct leaf){.n = n, .peer = pred, .arg = arg});
}

/* --- discovery
 * ---------------------------------------------------------------------------------------- */

static size_t count_tagged(const struct leaf *l)
{
    return mk_discovery_count_tagged(((struct mk_network *)l->leaf.object)->discovery, &l->id);
}

static size_t count_offered(const struct leaf *l)
{
    return mk_discovery_count(((struct mk_network *)l->leaf.object)->discovery, &l->id);
}

static void explain_peers(const struct mk_when *w, struct mk_buf *out, const char *do_what,
                          size_t (*count)(const struct leaf *l))
{
    char hex[MK_ID_HEX];

    mk_buf_printf(out, "%llu peers are known that %s %.16s", (unsigned long long)leaf_of(w)->n,
                  do_what, mk_id_hex(&leaf_of(w)->id, hex));
    if (mk_leaf_gone(w))
        mk_buf_put_str(out, " (the network was closed)");
    else
        mk_buf_printf(out, " (there are %zu)", count(leaf_of(w)));
}

static bool tagged_holds(const struct mk_when *w)
{
    return !mk_leaf_gone(w) && count_tagged(leaf_of(w)) >= leaf_of(w)->n;
}

static void tagged_explain(const struct mk_when *w, struct mk_buf *out)
{
    explain_peers(w, out, "show the tag", count_tagged);
}
LEAF_OPS(tagged);

struct mk_when *mk_when_tagged(struct mk_network *net, const struct mk_id *tag, unsigned n)
{
    return leaf_new(&tagged_ops, net->env, &net->signal, net, (struct leaf){.n = n, .id = *tag});
}

static bool offered_holds(const struct mk_when *w)
{
    return !mk_leaf_gone(w) && count_offered(leaf_of(w)) >= leaf_of(w)->n;
}

static void offered_explain(const struct mk_when *w, struct mk_buf *out)
{
    explain_peers(w, out, "name", count_offered);
}
LEAF_OPS(offered);

struct mk_when *mk_when_offered(struct mk_network *net, const struct mk_id *id, unsigned n)
{
    return leaf_new(&offered_ops, net->env, &net->signal, net, (struct leaf){.n = n, .id = *id});
}

/* --- members
 * --------------------------------------------------------------------------------------------- */

static bool founded_holds(const struct mk_when *w)
{
    return !mk_leaf_gone(w) && mk_host_founded(mk_leaf_of(w)->object);
}

static void founded_explain(const struct mk_when *w, struct mk_buf *out)
{
    mk_buf_put_str(out, mk_leaf_gone(w) ? "a member that was closed is of a committee"
                                        : "this member leads or follows a leader");
}
LEAF_OPS(founded);

static bool leads_holds(const struct mk_when *w)
{
    return !mk_leaf_gone(w) && mk_host_leads(mk_leaf_of(w)->object);
}

static void leads_explain(const struct mk_when *w, struct mk_buf *out)
{
    mk_buf_put_str(out, mk_leaf_gone(w) ? "a member that was closed leads" : "this member leads");
}
LEAF_OPS(leads);

static uint64_t version_of(const struct leaf *l)
{
    const struct mk_surfaces *s = mk_host_surfaces(l->leaf.object);

    return l->surface < s->n ? mk_surface_index(s, l->surface) : 0;
}

static bool applied_holds(const struct mk_when *w)
{
    return !mk_leaf_gone(w) && version_of(leaf_of(w)) >= leaf_of(w)->n;
}

static void applied_explain(const struct mk_when *w, struct mk_buf *out)
{
    mk_buf_printf(out, "surface %u of this member is at version %llu", leaf_of(w)->surface,
                  (unsigned long long)leaf_of(w)->n);
    if (!mk_leaf_gone(w))
        mk_buf_printf(out, " (it is at %llu)", (unsigned long long)version_of(leaf_of(w)));
}
LEAF_OPS(applied);

struct mk_when *mk_when_founded(struct mk_host *h)
{
    return leaf_new(&founded_ops, h->of->env, &h->signal, h, (struct leaf){.n = 0});
}

struct mk_when *mk_when_leads(struct mk_host *h)
{
    return leaf_new(&leads_ops, h->of->env, &h->signal, h, (struct leaf){.n = 0});
}

struct mk_when *mk_when_applied(struct mk_host *h, unsigned surface, uint64_t version)
{
    return leaf_new(&applied_ops, h->of->env, &h->signal, h,
                    (struct leaf){.n = version, .surface = surface});
}
