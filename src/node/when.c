/* when.c - trees of conditions: looking, latching, waiting (mosaik/when.h).
 *
 * A leaf is told by its object's signal, touches the root, and the root is looked at when
 * the turn ends: the whole tree, from the objects' present state. So nothing has to be kept
 * in step, and what came and went within one turn is not told, except for events, which the
 * leaf latches.
 *
 * When it is met, first everything latched is let go, then the owner is called: so what
 * comes during the call counts for the next time. */
#include "node/when.h"

#include <string.h>

void mk_when_touch(struct mk_when *w)
{
    while (w->parent != NULL)
        w = w->parent;
    if (w->cb != NULL)
        mk_later(w->env, &w->task);
}

bool mk_when_holds(const struct mk_when *w)
{
    return w->ops->holds(w);
}

static void let_go(struct mk_when *w)
{
    if (w->ops->let_go != NULL)
        w->ops->let_go(w);
}

static void arm(struct mk_when *w)
{
    if (w->ops->arm != NULL)
        w->ops->arm(w);
    else
        let_go(w);
}

static void when_task_cb(struct mk_task *t)
{
    struct mk_when *w = mk_container_of(t, struct mk_when, task);
    bool now = mk_when_holds(w);

    if (w->cb == NULL || now == w->told)
        return;
    if (now)
        let_go(w);
    w->told = now && mk_when_holds(w);
    w->cb(w, now, w->arg);
}

void mk_when_start(struct mk_when *w, void (*cb)(struct mk_when *w, bool met, void *arg), void *arg)
{
    MK_ASSERT(w->parent == NULL);
    arm(w);
    w->cb = cb;
    w->arg = arg;
    w->told = false;
    w->task.cb = when_task_cb;
    mk_later(w->env, &w->task);
}

void mk_when_stop(struct mk_when *w)
{
    w->cb = NULL;
    mk_later_cancel(&w->task);
}

void mk_when_explain(const struct mk_when *w, struct mk_buf *out)
{
    w->ops->explain(w, out);
}

void mk_when_free(struct mk_when *w)
{
    if (w == NULL)
        return;
    mk_when_stop(w);
    w->ops->free(w);
}

/* --- blocking ------------------------------------------------------------------------------- */

static bool met_or_never(void *arg)
{
    const struct mk_when *w = arg;

    return w->interrupted || w->ops->holds(w) || w->ops->never(w);
}

void mk_when_interrupt(struct mk_when *w)
{
    while (w->parent != NULL)
        w = w->parent;
    w->interrupted = true;
}

int mk_when_wait(struct mk_when *w, uint32_t timeout_ms, struct mk_fault *reterr)
{
    struct mk_buf missing = {0};
    int rv;

    MK_ASSERT(w->parent == NULL && w->cb == NULL);
    w->interrupted = false;
    arm(w);
    if (!met_or_never(w))
        mk_loop_run_until(w->env, met_or_never, w, timeout_ms);
    if (w->interrupted)
        return mk_fault(reterr, MK_ECANCELED, "the wait was interrupted");
    if (mk_when_holds(w)) {
        let_go(w);
        return 0;
    }
    mk_when_explain(w, &missing);
    rv = w->ops->never(w) ? MK_ECLOSED : MK_ETIMEDOUT;
    if (rv == MK_ECLOSED)
        mk_fault(reterr, rv, "it can never be that %.*s", (int)missing.n, (char *)missing.p);
    else
        mk_fault(reterr, rv, "after %u ms it is not so that %.*s", timeout_ms, (int)missing.n,
                 (char *)missing.p);
    mk_buf_done(&missing);
    return rv;
}

/* --- leaves ----------------------------------------------------------------------------------- */

static void leaf_watch_cb(struct mk_watch *watch, const struct mk_bytes *item)
{
    (void)item;
    mk_when_touch(&mk_container_of(watch, struct mk_when_leaf, watch)->when);
}

void mk_when_leaf_init(struct mk_when_leaf *l, const struct mk_when_ops *ops, struct mk_env *env,
                       struct mk_signal *signal, void *object)
{
    l->when.ops = ops;
    l->when.env = env;
    l->object = object;
    if (l->watch.cb == NULL)
        l->watch.cb = leaf_watch_cb;
    mk_watch_start(signal, &l->watch);
}

bool mk_leaf_never(const struct mk_when *w)
{
    return mk_leaf_gone(w);
}

void mk_leaf_free(struct mk_when *w)
{
    struct mk_when_leaf *l = (struct mk_when_leaf *)w;

    mk_watch_stop(&l->watch);
    mk_free(l);
}

bool mk_leaf_latched(const struct mk_when *w)
{
    return mk_leaf_of(w)->latched;
}

void mk_leaf_let_go(struct mk_when *w)
{
    ((struct mk_when_leaf *)w)->latched = false;
}

/* --- combining ----------------------------------------------------------------------------------
 */

struct combined {
    struct mk_when when;
    bool any;
    size_t n;
    struct mk_when *v[];
};

static bool combined_holds(const struct mk_when *w)
{
    const struct combined *c = (const struct combined *)w;

    for (size_t i = 0; i < c->n; i++)
        if (mk_when_holds(c->v[i]) == c->any)
            return c->any;
    return !c->any;
}

static bool combined_never(const struct mk_when *w)
{
    const struct combined *c = (const struct combined *)w;

    for (size_t i = 0; i < c->n; i++)
        if (c->v[i]->ops->never(c->v[i]) != c->any)
            return !c->any;
    return c->any;
}

static void combined_let_go(struct mk_when *w)
{
    struct combined *c = (struct combined *)w;

    for (size_t i = 0; i < c->n; i++)
        let_go(c->v[i]);
}

static void combined_arm(struct mk_when *w)
{
    struct combined *c = (struct combined *)w;

    for (size_t i = 0; i < c->n; i++)
        arm(c->v[i]);
}

static void combined_explain(const struct mk_when *w, struct mk_buf *out)
{
    const struct combined *c = (const struct combined *)w;
    bool first = true;

    for (size_t i = 0; i < c->n; i++) {
        if (!c->any && mk_when_holds(c->v[i]))
            continue; /* not what is missing */
        if (!first)
            mk_buf_put_str(out, c->any ? " or " : " and ");
        first = false;
        mk_when_explain(c->v[i], out);
    }
    if (first)
        mk_buf_put_str(out, "all of it holds");
}

static void combined_free(struct mk_when *w)
{
    struct combined *c = (struct combined *)w;

    for (size_t i = 0; i < c->n; i++)
        mk_when_free(c->v[i]);
    mk_free(c);
}

static const struct mk_when_ops combined_ops = {.holds = combined_holds,
                                                .let_go = combined_let_go,
                                                .arm = combined_arm,
                                                .never = combined_never,
                                                .explain = combined_explain,
                                                .free = combined_free};

static struct mk_when *combine(struct mk_when *const *v, size_t n, bool any)
{
    struct combined *c = mk_alloc(sizeof *c + n * sizeof *v);

    MK_ASSERT(n > 0 && n <= MK_WHEN_OPERANDS_MAX);
    c->when.ops = &combined_ops;
    c->when.env = v[0]->env;
    c->any = any;
    c->n = n;
    for (size_t i = 0; i < n; i++) {
        MK_ASSERT(v[i]->parent == NULL && v[i]->cb == NULL);
        c->v[i] = v[i];
        c->v[i]->parent = &c->when;
    }
    return &c->when;
}

struct mk_when *mk_when_all(struct mk_when *const *v, size_t n)
{
    return combine(v, n, /* any= */ false);
}

struct mk_when *mk_when_any(struct mk_when *const *v, size_t n)
{
    return combine(v, n, /* any= */ true);
}

struct negated {
    struct mk_when when;
    struct mk_when *of;
};

static const struct mk_when *operand(const struct mk_when *w)
{
    return ((const struct negated *)w)->of;
}

static bool not_holds(const struct mk_when *w)
{
    return !mk_when_holds(operand(w));
}

static bool not_never(const struct mk_when *w)
{
    (void)w;
    return false; /* what can never be is not so: it holds */
}

static void not_let_go(struct mk_when *w)
{
    let_go(((struct negated *)w)->of);
}

static void not_arm(struct mk_when *w)
{
    arm(((struct negated *)w)->of);
}

static void not_explain(const struct mk_when *w, struct mk_buf *out)
{
    mk_buf_put_str(out, "not (");
    mk_when_explain(operand(w), out);
    mk_buf_put_str(out, ")");
}

static void not_free(struct mk_when *w)
{
    mk_when_free(((struct negated *)w)->of);
    mk_free(w);
}

static const struct mk_when_ops not_ops = {.holds = not_holds,
                                           .let_go = not_let_go,
                                           .arm = not_arm,
                                           .never = not_never,
                                           .explain = not_explain,
                                           .free = not_free};

struct mk_when *mk_when_not(struct mk_when *w)
{
    struct negated *n = mk_alloc(sizeof *n);

    MK_ASSERT(w->parent == NULL && w->cb == NULL);
    n->when.ops = &not_ops;
    n->when.env = w->env;
    n->of = w;
    w->parent = &n->when;
    return &n->when;
}
