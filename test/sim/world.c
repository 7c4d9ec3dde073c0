/* Events, time and nodes.
 *
 * A step takes the earliest event off the heap, moves the clock there and fires it. An
 * event of a paused node goes to the node's backlog instead and comes back, in order,
 * when the node is resumed. A crash cancels all events of the life, lets the disk decide
 * what it kept, tells the other ends of the connections, and then has the program's
 * memory freed by its own destroy(), with the env dead under it. */
#include "world_int.h"

#include <stdlib.h>
#include <string.h>

/* --- trace ----------------------------------------------------------------------------- */

static void hash_fold(struct world *w, uint64_t v)
{
    w->hash = (w->hash ^ v) * 0x9e3779b97f4a7c15ull;
    w->hash ^= w->hash >> 29;
}

static const char *kind_name(enum sim_kind k)
{
    switch (k) {
    case SIM_TURN:
        return "turn";
    case SIM_TIMER:
        return "timer";
    case SIM_WORK:
        return "work";
    case SIM_SYNCED:
        return "synced";
    case SIM_READ:
        return "read";
    case SIM_PUMP:
        return "pump";
    case SIM_END:
        return "end";
    case SIM_SYN:
        return "syn";
    case SIM_ACCEPT:
        return "accept";
    case SIM_CONNECTED:
        return "connected";
    case SIM_INPUT:
        return "input";
    case SIM_WORLD:
        return "world";
    case SIM_BOOT:
        return "boot";
    case SIM_CRASH:
        return "crash";
    case SIM_WRITE:
        return "write";
    case SIM_DISK:
        return "disk";
    case SIM_NOTE:
        return "note";
    }
    return "?";
}

void sim_trace(struct world *w, enum sim_kind kind, unsigned node, uint64_t a, uint64_t b)
{
    hash_fold(w, w->now_ns);
    hash_fold(w, (uint64_t)kind << 32 | node);
    hash_fold(w, a);
    hash_fold(w, b);
    if (w->out != NULL)
        fprintf(w->out, "%8llu %5llu.%06llu ms n%-2u %-9s %llu %llu\n",
                (unsigned long long)w->n_events, (unsigned long long)(w->now_ns / MK_MS),
                (unsigned long long)(w->now_ns % MK_MS), node, kind_name(kind),
                (unsigned long long)a, (unsigned long long)b);
}

void sim_trace_bytes(struct world *w, const void *p, size_t n)
{
    const uint8_t *q = p;
    uint64_t v = 0;

    hash_fold(w, n);
    if (!w->hash_bytes)
        return;
    for (; n >= 8; n -= 8, q += 8) {
        memcpy(&v, q, 8);
        hash_fold(w, v);
    }
    v = 0;
    if (n > 0)
        memcpy(&v, q, n);
    hash_fold(w, v);
}

uint64_t world_hash(const struct world *w)
{
    return w->hash;
}

uint64_t world_events(const struct world *w)
{
    return w->n_events;
}

void world_hash_bytes(struct world *w, bool on)
{
    w->hash_bytes = on;
}

void world_note(struct world *w, const void *p, size_t n)
{
    sim_trace(w, SIM_NOTE, 0, n, 0);
    sim_trace_bytes(w, p, n);
}

void world_print(struct world *w, FILE *out)
{
    w->out = out;
}

/* --- events ---------------------------------------------------------------------------- */

void sim_event_at(struct world *w, struct sim_life *life, struct sim_event *ev, uint64_t at_ns)
{
    MK_ASSERT(life == NULL || !life->dead);
    sim_event_cancel(ev);
    ev->w = w;
    ev->life = life;
    ev->scheduled = true;
    mk_list_init(&ev->waiting);
    if (life != NULL)
        mk_list_add_tail(&life->events, &ev->of_life);
    mk_heap_put(&w->heap, &ev->item, at_ns < w->now_ns ? w->now_ns : at_ns);
}

/* Also what happens to one that is about to fire. */
static void event_take_out(struct sim_event *ev)
{
    mk_heap_del(&ev->w->heap, &ev->item);
    mk_list_del(&ev->waiting);
    if (ev->life != NULL)
        mk_list_del(&ev->of_life);
    ev->scheduled = false;
}

void sim_event_cancel(struct sim_event *ev)
{
    if (ev->scheduled)
        event_take_out(ev);
}

static void event_fire(struct world *w, struct sim_event *ev)
{
    struct sim_life *l = ev->life;

    event_take_out(ev);
    w->n_events++;
    w->running = l;
    sim_trace(w, ev->kind, l == NULL ? WORLD_NODES_MAX : l->node->index, 0, 0);
    ev->fire(ev);
    if (l != NULL)
        sim_life_end_turn(l);
    w->running = NULL;
    if (w->on_step != NULL)
        w->on_step(w->on_step_arg);
}

static void step_top(struct world *w, const struct mk_heap_slot *top)
{
    struct sim_event *ev = mk_container_of(top->item, struct sim_event, item);

    MK_ASSERT(w->running == NULL);
    MK_ASSERT(top->at >= w->now_ns);
    w->now_ns = top->at;
    if (ev->life == NULL || !ev->life->node->paused) {
        event_fire(w, ev);
        return;
    }
    mk_heap_del(&w->heap, &ev->item);
    mk_list_add_tail(&ev->life->backlog, &ev->waiting);
}

bool world_step(struct world *w)
{
    const struct mk_heap_slot *top = mk_heap_top(&w->heap);

    if (top == NULL)
        return false;
    step_top(w, top);
    return true;
}

void world_run(struct world *w, uint64_t ms)
{
    uint64_t end = w->now_ns + ms * MK_MS;
    const struct mk_heap_slot *top;

    while ((top = mk_heap_top(&w->heap)) != NULL && top->at <= end)
        step_top(w, top);
    w->now_ns = end;
}

bool world_run_until(struct world *w, bool (*cond)(void *arg), void *arg, uint64_t deadline_ms)
{
    uint64_t end = w->now_ns + deadline_ms * MK_MS;
    const struct mk_heap_slot *top;

    while (!cond(arg)) {
        top = mk_heap_top(&w->heap);
        if (top == NULL || top->at > end) {
            w->now_ns = end;
            return false;
        }
        step_top(w, top);
    }
    return true;
}

void world_on_step(struct world *w, void (*cb)(void *arg), void *arg)
{
    w->on_step = cb;
    w->on_step_arg = arg;
}

struct sim_after {
    struct sim_event ev;
    struct mk_list node;
    void (*cb)(struct world *w, void *arg);
    void *arg;
};

static void after_fire(struct sim_event *ev)
{
    struct sim_after *a = mk_container_of(ev, struct sim_after, ev);
    struct sim_after copy = *a;

    mk_list_del(&a->node);
    mk_free(a);
    copy.cb(copy.ev.w, copy.arg);
}

void world_after(struct world *w, uint64_t ms, void (*cb)(struct world *w, void *arg), void *arg)
{
    struct sim_after *a = mk_alloc(sizeof(*a));

    a->ev.kind = SIM_WORLD;
    a->ev.fire = after_fire;
    a->cb = cb;
    a->arg = arg;
    mk_list_add_tail(&w->afters, &a->node);
    sim_event_at(w, NULL, &a->ev, w->now_ns + ms * MK_MS);
}

uint64_t world_chaos(struct world *w, uint64_t below)
{
    return prng_below(&w->prng[SIM_CHAOS], below);
}

uint64_t world_workload(struct world *w, uint64_t below)
{
    return prng_below(&w->prng[SIM_WORKLOAD], below);
}

uint64_t world_time_ns(const struct world *w)
{
    return w->now_ns;
}

uint64_t world_time(const struct world *w)
{
    return w->now_ns / MK_MS;
}

/* --- nodes ----------------------------------------------------------------------------- */

struct sim_node *sim_node_get(struct world *w, unsigned i)
{
    struct sim_node *n;

    MK_ASSERT(i < WORLD_NODES_MAX);
    if (w->nodes[i] != NULL)
        return w->nodes[i];
    n = mk_alloc(sizeof(*n));
    n->w = w;
    n->index = i;
    n->entropy = prng_of(w->seed, 1000 + i);
    n->disk = sim_disk_new(n);
    w->nodes[i] = n;
    return n;
}

static void node_boot(struct sim_node *n)
{
    struct world *w = n->w;
    struct sim_life *l;

    MK_ASSERT(n->life == NULL && w->running == NULL);
    l = n->life = sim_life_new(n);
    n->paused = false;
    sim_trace(w, SIM_BOOT, n->index, 0, 0);
    w->running = l;
    if (n->program != NULL)
        l->state = n->program->boot(&l->base, n->index, n->arg);
    sim_life_end_turn(l);
    w->running = NULL;
}

void world_boot(struct world *w, unsigned i, const struct world_program *p, void *arg)
{
    struct sim_node *n = sim_node_get(w, i);

    MK_ASSERT(n->life == NULL);
    n->program = p;
    n->arg = arg;
    node_boot(n);
}

struct mk_env *world_node(struct world *w, unsigned i)
{
    struct sim_node *n = sim_node_get(w, i);

    if (n->life == NULL && n->program == NULL)
        node_boot(n);
    MK_ASSERT(n->life != NULL);
    return &n->life->base;
}

void *world_state(struct world *w, unsigned i)
{
    struct sim_node *n = sim_node_get(w, i);

    return n->life == NULL ? NULL : n->life->state;
}

bool world_is_up(struct world *w, unsigned i)
{
    return sim_node_get(w, i)->life != NULL;
}

static void life_drop_events(struct sim_life *l)
{
    while (!mk_list_empty(&l->events)) {
        struct sim_event *ev = mk_container_of(l->events.next, struct sim_event, of_life);

        event_take_out(ev);
        if (ev->drop != NULL)
            ev->drop(ev);
    }
}

/* Ends a life. told: do the others hear of it by themselves. */
static void node_end(struct sim_node *n, bool told)
{
    struct sim_life *l = n->life;
    struct world *w = n->w;

    MK_ASSERT(w->running == NULL);
    sim_trace(w, SIM_CRASH, n->index, told, 0);
    sim_net_leave(l, told);
    life_drop_events(l);
    mk_env_drop_tasks(&l->base);
    mk_heap_done(&l->timers);
    l->dead = l->base.dead = true;
    n->life = NULL;
    n->paused = false;
    if (n->program != NULL && n->program->destroy != NULL && l->state != NULL)
        n->program->destroy(l->state);
    sim_life_free(l);
}

void world_crash(struct world *w, unsigned i)
{
    struct sim_node *n = sim_node_get(w, i);

    if (n->life == NULL)
        return;
    node_end(n, /* told= */ prng_below(&w->prng[SIM_NET], 4) != 0);
    sim_disk_crash(n->disk);
}

void world_kill(struct world *w, unsigned i)
{
    struct sim_node *n = sim_node_get(w, i);

    if (n->life != NULL)
        node_end(n, /* told= */ true);
}

void world_restart(struct world *w, unsigned i)
{
    node_boot(sim_node_get(w, i));
}

void world_pause(struct world *w, unsigned i)
{
    sim_node_get(w, i)->paused = true;
}

void world_resume(struct world *w, unsigned i)
{
    struct sim_node *n = sim_node_get(w, i);
    struct mk_list *e;

    n->paused = false;
    if (n->life == NULL)
        return;
    while ((e = mk_list_pop(&n->life->backlog)) != NULL) {
        struct sim_event *ev = mk_container_of(e, struct sim_event, waiting);

        mk_heap_put(&w->heap, &ev->item, w->now_ns);
    }
}

void world_lose_disk(struct world *w, unsigned i)
{
    struct sim_node *n = sim_node_get(w, i);

    MK_ASSERT(n->life == NULL);
    sim_disk_free(n->disk);
    n->disk = sim_disk_new(n);
}

void world_clock_drift(struct world *w, unsigned i, int ppm)
{
    struct sim_node *n = sim_node_get(w, i);

    if (n->life != NULL)
        sim_life_rebase(n->life);
    n->drift_ppm = ppm;
    if (n->life != NULL)
        sim_life_arm(n->life);
}

void world_clock_jump(struct world *w, unsigned i, int64_t ms)
{
    sim_node_get(w, i)->wall_offset_ms += ms;
}

/* --- beginning and end ------------------------------------------------------------------ */

struct world *world_new(uint64_t seed)
{
    struct world *w = mk_alloc(sizeof(*w));

    w->seed = seed;
    w->hash_bytes = true;
    hash_fold(w, seed);
    mk_list_init(&w->conns);
    mk_list_init(&w->afters);
    for (unsigned c = 0; c < SIM_CONCERNS; c++)
        w->prng[c] = prng_of(seed, c + 1);
    world_link(w, WORLD_ALL, WORLD_ALL, (struct world_link){.min_us = 100, .mean_us = 400});
    return w;
}

void world_free(struct world *w)
{
    struct mk_list *a;

    if (w == NULL)
        return;
    w->on_step = NULL;
    for (unsigned i = 0; i < WORLD_NODES_MAX; i++) {
        if (w->nodes[i] != NULL && w->nodes[i]->life != NULL)
            node_end(w->nodes[i], /* told= */ false);
    }
    for (unsigned i = 0; i < WORLD_NODES_MAX; i++) {
        if (w->nodes[i] != NULL)
            sim_disk_free(w->nodes[i]->disk);
        mk_free(w->nodes[i]);
    }
    while ((a = mk_list_pop(&w->afters)) != NULL) {
        struct sim_after *sa = mk_container_of(a, struct sim_after, node);

        sim_event_cancel(&sa->ev);
        mk_free(sa);
    }
    MK_ASSERT(mk_list_empty(&w->conns));
    mk_heap_done(&w->heap);
    mk_free(w);
}
