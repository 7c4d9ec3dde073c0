/* feed.c - a committee's Stream, followed on a bond: certified items in order.
 *
 * With callbacks, items are passed on as they come. Without, they wait in a queue of
 * at most FEED_QUEUE_MAX items; above it the follower is paused, its credit runs out, and
 * the member keeps the rest in its history.
 *
 * The cursor is that of the user, not of the link: it moves when an item is handed out. Before the
 * first it is where the member began, once a certificate has shown that this is a place. What was
 * lost is told with the next item, so a cursor saved before that is one before the loss, and
 * whoever goes on there is told again. */
#include "node/feed.h"

#include <stdio.h>
#include <string.h>

#define FEED_QUEUE_MAX 1024u

struct queued {
    struct mk_list node;
    struct mk_feed_cursor here;
    uint64_t lost;          /* right before it */
    uint64_t number, at_ns; /* which of those that came, and when */
    size_t n;
    uint8_t p[];
};

struct mk_feed {
    struct mk_bond_part part;
    struct mk_bond *bond; /* NULL once ended */
    struct mk_env *env;
    struct mk_signal signal;
    const struct mk_surface_spec *spec;
    struct mk_feed_options options;
    struct mk_feed_cbs cbs;
    void *owner;
    struct mk_follow *follow;
    bool blocking;
    struct mk_list queue;
    unsigned queued;
    uint64_t came; /* items, ever */
    bool full;     /* paused until some of the queue are taken */
    bool paused;   /* by the user */
    struct mk_feed_cursor cursor;
    bool placed;   /* cursor means something */
    uint64_t lost; /* not told yet; and before the last one taken: */
    uint64_t lost_before;
    int ended;
    struct mk_fault why;
};

static void feed_end(struct mk_feed *f, int status, const struct mk_fault *fault)
{
    if (f->ended != 0)
        return;
    f->ended = status;
    mk_signal_raise(&f->signal, NULL);
    if (fault != NULL)
        f->why = *fault;
    mk_follow_close(f->follow);
    f->follow = NULL;
    if (f->cbs.ended != NULL)
        f->cbs.ended(f, status, fault);
}

/** Both reasons to wait. */
static void set_pause(struct mk_feed *f)
{
    if (f->follow != NULL)
        mk_follow_pause(f->follow, f->full || f->paused);
}

static void enqueue(struct mk_feed *f, const struct mk_feed_cursor *here, struct mk_bytes item)
{
    struct queued *q = mk_alloc(sizeof *q + item.n);

    q->here = *here;
    q->lost = f->lost;
    f->lost = 0;
    q->number = f->came;
    q->at_ns = mk_now(f->env);
    q->n = item.n;
    memcpy(q->p, item.p, item.n);
    mk_list_add_tail(&f->queue, &q->node);
    if (++f->queued < FEED_QUEUE_MAX)
        return;
    f->full = true;
    set_pause(f);
}

static struct mk_id surface_of(const struct mk_feed *f)
{
    return mk_surface_id(f->spec, &f->bond->reference.stable_id);
}

static void place(struct mk_feed *f, const struct mk_feed_cursor *at)
{
    f->cursor = *at;
    f->placed = true;
}

static void follow_commit(struct mk_follow *fo, uint64_t index, struct mk_bytes payload,
                          bool marker)
{
    struct mk_feed *f = mk_follow_owner(fo);
    struct mk_feed_cursor here = {surface_of(f), f->bond->component.deployment, index,
                                  *mk_follow_hash(fo)};

    if (marker)
        return;
    f->came++;
    mk_signal_raise(&f->signal, &payload);
    if (f->blocking) {
        enqueue(f, &here, payload);
        return;
    }
    place(f, &here);
    f->cbs.item(f, index, payload);
}

static void follow_snapshot(struct mk_follow *fo, uint64_t index)
{
    (void)fo;
    (void)index; /* streams have none */
}

static void follow_certified(struct mk_follow *fo, const struct mk_certificate *c)
{
    struct mk_feed *f = mk_follow_owner(fo);
    struct mk_feed_cursor begin = {.surface = surface_of(f),
                                   .deployment = f->bond->component.deployment};

    (void)c;
    mk_bond_remember(f->bond, false);
    if (!f->placed && mk_follow_position(fo, &begin.index, &begin.commit))
        place(f, &begin);
}

static void follow_gap(struct mk_follow *fo, uint64_t from, uint64_t to)
{
    struct mk_feed *f = mk_follow_owner(fo);

    f->lost += to - from + 1;
    if (f->cbs.gap != NULL)
        f->cbs.gap(f, from, to);
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

/** A new deployment starts at index 1: nothing to resume after. */
static enum mk_from_tag from_tag(const struct mk_feed *f)
{
    if (f->follow != NULL)
        return mk_from_Oldest;
    switch (f->options.from) {
    case MK_FEED_OLDEST:
        return mk_from_Oldest;
    case MK_FEED_NEWEST:
        return mk_from_Newest;
    case MK_FEED_AFTER:
        return f->options.after.index > 0 &&
                       mk_id_eq(&f->options.after.deployment, &f->bond->component.deployment)
                   ? mk_from_After
                   : mk_from_Oldest;
    }
    return mk_from_Newest;
}

static void part_rebind(struct mk_bond_part *p)
{
    struct mk_feed *f = mk_container_of(p, struct mk_feed, part);
    struct mk_bond *b = f->bond;
    struct mk_follow_options o = {.surface = surface_of(f),
                                  .kind = MK_SURFACE_STREAM,
                                  .schema = mk_surface_schema(f->spec),
                                  .from = from_tag(f),
                                  .after = {f->options.after.index, f->options.after.commit}};
    int rv;

    if (f->ended != 0)
        return;
    mk_follow_close(f->follow);
    f->follow = NULL;
    rv = mk_follow_open(b->network->env, b->network->net, &f->follow, &b->component, b->memory, &o,
                        &follow_cbs, f, &b->report);
    if (rv != 0)
        feed_end(f, rv, NULL);
    else
        set_pause(f);
}

static void part_end(struct mk_bond_part *p, int status, const struct mk_fault *fault)
{
    struct mk_feed *f = mk_container_of(p, struct mk_feed, part);

    feed_end(f, status, fault);
    f->bond = NULL;
}

int mk_feed_open(struct mk_bond *b, struct mk_feed **ret, const struct mk_surface_spec *spec,
                 const struct mk_feed_options *o, const struct mk_feed_cbs *cbs, void *owner)
{
    struct mk_id surface = mk_surface_id(spec, &b->reference.stable_id);
    struct mk_feed *f;

    MK_ASSERT(spec->kind == MK_SURFACE_STREAM);
    if (o != NULL && o->from == MK_FEED_AFTER && !mk_id_eq(&o->after.surface, &surface))
        return MK_EINVALID;
    f = mk_alloc(sizeof *f);
    f->part = (struct mk_bond_part){.rebind = part_rebind, .end = part_end};
    f->bond = b;
    f->env = b->network->env;
    f->spec = spec;
    if (o != NULL)
        f->options = *o;
    if (f->options.from == MK_FEED_AFTER)
        place(f, &f->options.after);
    f->blocking = cbs == NULL;
    if (cbs != NULL)
        f->cbs = *cbs;
    f->owner = owner;
    mk_list_init(&f->queue);
    mk_list_add_tail(&b->parts, &f->part.node);
    if (b->bound)
        part_rebind(&f->part);
    *ret = f;
    return 0;
}

void mk_feed_close(struct mk_feed *f)
{
    struct mk_list *n;

    if (f == NULL)
        return;
    mk_signal_close(&f->signal);
    mk_follow_close(f->follow);
    if (f->bond != NULL)
        mk_list_del(&f->part.node);
    while ((n = mk_list_pop(&f->queue)) != NULL)
        mk_free(mk_container_of(n, struct queued, node));
    mk_free(f);
}

struct mk_env *mk_feed_env(const struct mk_feed *f)
{
    return f->env;
}

struct mk_signal *mk_feed_signal(struct mk_feed *f)
{
    return &f->signal;
}

uint64_t mk_feed_came(const struct mk_feed *f)
{
    return f->came;
}

unsigned mk_feed_held_up(const struct mk_feed *f)
{
    return f->full ? f->queued : 0;
}

void mk_feed_each_waiting(const struct mk_feed *f, uint64_t after,
                          bool (*cb)(const struct mk_feed_waiting *i, void *arg), void *arg)
{
    mk_list_each(n, &f->queue)
    {
        const struct queued *q = mk_container_of(n, struct queued, node);
        struct mk_feed_waiting i = {q->number, q->at_ns, MK_BYTES(q->p, q->n)};

        if (q->number > after && !cb(&i, arg))
            return;
    }
}

void *mk_feed_owner(const struct mk_feed *f)
{
    return f->owner;
}

void mk_feed_pause(struct mk_feed *f, bool paused)
{
    f->paused = paused;
    set_pause(f);
}

uint64_t mk_feed_lost(const struct mk_feed *f)
{
    return f->lost_before;
}

bool mk_feed_cursor(const struct mk_feed *f, struct mk_feed_cursor *ret)
{
    if (f->placed)
        *ret = f->cursor;
    return f->placed;
}

static bool has_item_or_ended(void *arg)
{
    const struct mk_feed *f = arg;

    return f->ended != 0 || f->queued > 0;
}

/** Nothing came; where nobody ever served it, why not. */
static int no_item(const struct mk_feed *f, uint32_t timeout_ms, struct mk_fault *reterr)
{
    bool served = f->follow != NULL && mk_follow_certificate(f->follow) != NULL;
    struct mk_bond_status st;
    const char *why = "";

    mk_bond_status(f->bond, &st);
    if (!served)
        why = st.text[0] != '\0'            ? st.text
              : f->bond->said[0][0] != '\0' ? f->bond->said[0]
                                            : "members are linked, none served it";
    return mk_fault(reterr, MK_ETIMEDOUT, "%s: no item within %u ms%s%s", f->spec->name, timeout_ms,
                    why[0] != '\0' ? ": " : "", why);
}

int mk_feed_next_wait(struct mk_feed *f, struct mk_bytes *ret, uint64_t *ret_index,
                      uint32_t timeout_ms, struct mk_arena *arena, struct mk_fault *reterr)
{
    struct mk_list *n;
    struct queued *q;

    MK_ASSERT(f->blocking);
    if (f->queued == 0 && f->ended == 0)
        mk_loop_run_until(f->bond->network->env, has_item_or_ended, f, timeout_ms);
    n = mk_list_pop(&f->queue);
    if (n == NULL && f->ended != 0) {
        if (reterr != NULL)
            *reterr = f->why;
        return f->ended;
    }
    if (n == NULL)
        return no_item(f, timeout_ms, reterr);
    q = mk_container_of(n, struct queued, node);
    if (--f->queued == FEED_QUEUE_MAX / 2) {
        f->full = false;
        set_pause(f);
    }
    place(f, &q->here);
    f->lost_before = q->lost;
    *ret = MK_BYTES(mk_arena_copy(arena, q->p, q->n), q->n);
    if (ret_index != NULL)
        *ret_index = q->here.index;
    mk_free(q);
    return 0;
}
