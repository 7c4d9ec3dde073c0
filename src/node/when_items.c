/* when_items.c - leaves that look at items as they come: the next one that passes, and so
 * many of them within a window.
 *
 * A window keeps the times of the newest `count` items that passed, in a ring: when the
 * oldest of these lies within the window, they all do. A timer wakes the tree when it
 * leaves it. */
#include "node/when.h"

#include "node/feed.h"
#include "streams/consumer.h"

struct items {
    struct mk_when_leaf leaf;
    const char *what;
    bool (*filter)(struct mk_bytes item, void *arg);
    void *arg;
    struct mk_feed *feed; /* NULL: of another source */
    /* The feed's items up to `seen` were counted, or do not pass; `latched` is the one that passed.
     */
    uint64_t seen, latched;
    /* A window: */
    uint64_t window_ns;
    struct mk_timer timer;
    size_t count, n, next; /* n of count times, the next place in the ring */
    uint64_t times[];
};

static bool passes(const struct items *x, const struct mk_bytes *item)
{
    return item != NULL && (x->filter == NULL || x->filter(*item, x->arg));
}

static struct items *items_new(struct mk_env *env, struct mk_signal *signal, void *object,
                               const struct mk_when_ops *ops, const struct mk_when_window *o,
                               void (*cb)(struct mk_watch *w, const struct mk_bytes *item))
{
    struct items *x = mk_alloc(sizeof *x + o->count * sizeof x->times[0]);

    x->filter = o->filter;
    x->arg = o->arg;
    x->window_ns = o->window_ms * MK_MS;
    x->count = o->count;
    x->leaf.watch.cb = cb;
    mk_when_leaf_init(&x->leaf, ops, env, signal, object);
    return x;
}

/* --- the next one -------------------------------------------------------------------------------
 */

static void next_look(struct items *x, uint64_t number, const struct mk_bytes *item)
{
    if (passes(x, item)) {
        x->leaf.latched = true;
        x->latched = number;
    } else if (number == x->seen + 1) {
        x->seen = number;
    }
}

static void next_watch_cb(struct mk_watch *w, const struct mk_bytes *item)
{
    struct items *x = mk_container_of(w, struct items, leaf.watch);

    if (!x->leaf.latched && item != NULL)
        next_look(x, x->feed != NULL ? mk_feed_came(x->feed) : 0, item);
    mk_when_touch(&x->leaf.when);
}

static bool next_waiting_cb(const struct mk_feed_waiting *i, void *arg)
{
    struct items *x = arg;

    next_look(x, i->number, &i->item);
    return !x->leaf.latched;
}

/** Items that came and were not taken count, each once: while a feed's queue is full, no others
 * come. */
static void next_arm(struct mk_when *w)
{
    struct items *x = (struct items *)w;

    x->leaf.latched = false;
    if (x->feed != NULL && !mk_leaf_gone(w))
        mk_feed_each_waiting(x->feed, x->seen, next_waiting_cb, x);
}

/** It was met. */
static void next_let_go(struct mk_when *w)
{
    struct items *x = (struct items *)w;

    if (x->leaf.latched && x->latched > x->seen)
        x->seen = x->latched;
    x->leaf.latched = false;
}

/** Why nothing comes. */
static void explain_held_up(const struct items *x, struct mk_buf *out)
{
    unsigned n = x->feed != NULL && !mk_leaf_gone(&x->leaf.when) ? mk_feed_held_up(x->feed) : 0;

    if (n > 0)
        mk_buf_printf(out, "; %u items wait on the feed to be taken, and no others come before", n);
}

static bool next_never(const struct mk_when *w)
{
    return mk_leaf_gone(w) && !mk_leaf_latched(w);
}

static void next_explain(const struct mk_when *w, struct mk_buf *out)
{
    mk_buf_put_str(out, mk_leaf_gone(w) ? "an item comes on a stream that was closed"
                                        : "an item comes that passes");
    explain_held_up((const struct items *)w, out);
}

static const struct mk_when_ops next_ops = {.holds = mk_leaf_latched,
                                            .arm = next_arm,
                                            .let_go = next_let_go,
                                            .never = next_never,
                                            .explain = next_explain,
                                            .free = mk_leaf_free};

/* --- windows
 * -------------------------------------------------------------------------------------- */

/* When the oldest of the newest `count` came; UINT64_MAX: there are not so many. */
static uint64_t oldest(const struct items *x)
{
    return x->n < x->count ? UINT64_MAX : x->times[x->next];
}

static bool window_holds(const struct mk_when *w)
{
    const struct items *x = (const struct items *)w;
    uint64_t at = oldest(x);

    return at != UINT64_MAX && mk_now(w->env) - at < x->window_ns;
}

static void window_timer_cb(struct mk_timer *t)
{
    mk_when_touch(&mk_container_of(t, struct items, timer)->leaf.when);
}

static void window_count(struct items *x, uint64_t at)
{
    x->times[x->next] = at;
    x->next = (x->next + 1) % x->count;
    if (x->n < x->count)
        x->n++;
    if (oldest(x) != UINT64_MAX)
        mk_timer_start(x->leaf.when.env, &x->timer, oldest(x) + x->window_ns);
}

static void window_watch_cb(struct mk_watch *w, const struct mk_bytes *item)
{
    struct items *x = mk_container_of(w, struct items, leaf.watch);

    if (passes(x, item))
        window_count(x, mk_now(x->leaf.when.env));
    mk_when_touch(&x->leaf.when);
}

static bool window_waiting_cb(const struct mk_feed_waiting *i, void *arg)
{
    if (passes(arg, &i->item))
        window_count(arg, i->at_ns);
    return true;
}

static bool window_never(const struct mk_when *w)
{
    return mk_leaf_gone(w) && !window_holds(w);
}

static void window_explain(const struct mk_when *w, struct mk_buf *out)
{
    const struct items *x = (const struct items *)w;
    size_t within = 0;

    for (size_t i = 0; i < x->n; i++)
        within += mk_now(w->env) - x->times[i] < x->window_ns;
    mk_buf_printf(out, "%zu items that pass came within %llu ms (%zu did)", x->count,
                  (unsigned long long)(x->window_ns / MK_MS), within);
    explain_held_up(x, out);
}

static void window_free(struct mk_when *w)
{
    mk_timer_stop(&((struct items *)w)->timer);
    mk_leaf_free(w);
}

static const struct mk_when_ops window_ops = {
    .holds = window_holds, .never = window_never, .explain = window_explain, .free = window_free};

static struct mk_when *window_new(struct mk_env *env, struct mk_signal *signal, void *object,
                                  const struct mk_when_window *o)
{
    struct items *x;

    MK_ASSERT(o->count > 0 && o->count <= MK_WHEN_COUNT_MAX);
    x = items_new(env, signal, object, &window_ops, o, window_watch_cb);
    x->timer.cb = window_timer_cb;
    return &x->leaf.when;
}

/* --- of feeds and consumers
 * -------------------------------------------------------------------------- */

struct mk_when *mk_when_appended(struct mk_feed *f, bool (*filter)(struct mk_bytes item, void *arg),
                                 void *arg)
{
    struct mk_when_window o = {.filter = filter, .arg = arg};
    struct items *x = items_new(mk_feed_env(f), mk_feed_signal(f), f, &next_ops, &o, next_watch_cb);

    x->feed = f;
    return &x->leaf.when;
}

struct mk_when *mk_when_feed_window(struct mk_feed *f, const struct mk_when_window *o)
{
    struct mk_when *w = window_new(mk_feed_env(f), mk_feed_signal(f), f, o);
    struct items *x = (struct items *)w;

    x->feed = f;
    mk_feed_each_waiting(f, 0, window_waiting_cb, x);
    return w;
}

struct mk_when *mk_when_received(struct mk_consumer *c,
                                 bool (*filter)(struct mk_bytes item, void *arg), void *arg)
{
    struct mk_when_window o = {.filter = filter, .arg = arg};

    return &items_new(mk_consumer_env(c), mk_consumer_signal(c), c, &next_ops, &o, next_watch_cb)
                ->leaf.when;
}

struct mk_when *mk_when_consumer_window(struct mk_consumer *c, const struct mk_when_window *o)
{
    return window_new(mk_consumer_env(c), mk_consumer_signal(c), c, o);
}

struct mk_when *mk_when_gather_received(struct mk_gather *g,
                                        bool (*filter)(struct mk_bytes item, void *arg), void *arg)
{
    struct mk_when_window o = {.filter = filter, .arg = arg};

    return &items_new(mk_gather_env(g), mk_gather_signal(g), g, &next_ops, &o, next_watch_cb)
                ->leaf.when;
}

struct mk_when *mk_when_gather_window(struct mk_gather *g, const struct mk_when_window *o)
{
    return window_new(mk_gather_env(g), mk_gather_signal(g), g, o);
}

static bool consuming_holds(const struct mk_when *w)
{
    struct mk_consumer_stats s;

    if (mk_leaf_gone(w))
        return false;
    mk_consumer_stats(mk_leaf_of(w)->object, &s);
    return s.subscribed;
}

static void consuming_explain(const struct mk_when *w, struct mk_buf *out)
{
    mk_buf_put_str(out, mk_leaf_gone(w) ? "a consumer that was closed is subscribed"
                                        : "the consumer is subscribed");
}

static const struct mk_when_ops consuming_ops = {.holds = consuming_holds,
                                                 .never = mk_leaf_never,
                                                 .explain = consuming_explain,
                                                 .free = mk_leaf_free};

struct mk_when *mk_when_consuming(struct mk_consumer *c)
{
    struct mk_when_leaf *l = mk_alloc(sizeof *l);

    mk_when_leaf_init(l, &consuming_ops, mk_consumer_env(c), mk_consumer_signal(c), c);
    return &l->when;
}

struct gathered {
    struct mk_when_leaf leaf;
    unsigned n;
};

static bool gathered_holds(const struct mk_when *w)
{
    return !mk_leaf_gone(w) &&
           mk_gather_subscribed(mk_leaf_of(w)->object) >= ((const struct gathered *)w)->n;
}

static void gathered_explain(const struct mk_when *w, struct mk_buf *out)
{
    mk_buf_printf(out, "%u producers are subscribed to", ((const struct gathered *)w)->n);
    if (mk_leaf_gone(w))
        mk_buf_put_str(out, " (the gathering was closed)");
    else
        mk_buf_printf(out, " (%u are)", mk_gather_subscribed(mk_leaf_of(w)->object));
}

static const struct mk_when_ops gathered_ops = {.holds = gathered_holds,
                                                .never = mk_leaf_never,
                                                .explain = gathered_explain,
                                                .free = mk_leaf_free};

struct mk_when *mk_when_gathered(struct mk_gather *g, unsigned n)
{
    struct gathered *x = mk_alloc(sizeof *x);

    x->n = n;
    mk_when_leaf_init(&x->leaf, &gathered_ops, mk_gather_env(g), mk_gather_signal(g), g);
    return &x->leaf.when;
}
