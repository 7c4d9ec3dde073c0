/* A node's own view: its clock, its timers, its tasks, its entropy, its slow work.
 *
 * The clock of each life starts somewhere else, so that nobody can compare clocks of
 * two nodes and get away with it, and runs at the node's own rate. Timers are kept in
 * the node's time; one event of the world stands for the earliest. They fire a little
 * late, as timers do. */
#include "world_int.h"

#define TIMER_LATE_MAX (100 * 1000ull) /* ns */
#define WORK_MIN_US 20u
#define WORK_MEAN_US 500u
#define WALL_START_MS 1700000000000ull

/* --- time ---------------------------------------------------------------------------- */

static uint64_t rate(const struct sim_life *l)
{
    return (uint64_t)(1000000 + l->node->drift_ppm);
}

uint64_t sim_life_now(const struct sim_life *l)
{
    unsigned __int128 d = l->w->now_ns - l->since_ns;

    return l->clock_ns + (uint64_t)(d * rate(l) / 1000000);
}

/* When the node's clock shows at_ns. */
static uint64_t true_time(const struct sim_life *l, uint64_t at_ns)
{
    unsigned __int128 d = at_ns <= l->clock_ns ? 0 : at_ns - l->clock_ns;

    return l->since_ns + (uint64_t)((d * 1000000 + rate(l) - 1) / rate(l));
}

void sim_life_rebase(struct sim_life *l)
{
    l->clock_ns = sim_life_now(l);
    l->since_ns = l->w->now_ns;
}

static uint64_t sim_now(struct mk_env *e)
{
    return sim_life_now(sim_life_of(e));
}

static uint64_t sim_wall_ms(struct mk_env *e)
{
    struct sim_life *l = sim_life_of(e);

    return (uint64_t)((int64_t)(WALL_START_MS + l->w->now_ns / MK_MS) + l->node->wall_offset_ms);
}

/* --- timers and turns ------------------------------------------------------------------ */

void sim_life_arm(struct sim_life *l)
{
    const struct mk_heap_slot *top = mk_heap_top(&l->timers);

    if (l->dead)
        return;
    if (top == NULL)
        sim_event_cancel(&l->timer);
    else
        sim_event_at(l->w, l, &l->timer,
                     true_time(l, top->at) + prng_below(&l->w->prng[SIM_SCHED], TIMER_LATE_MAX));
}

static void timer_fire(struct sim_event *ev)
{
    struct sim_life *l = mk_container_of(ev, struct sim_life, timer);
    uint64_t now = sim_life_now(l);
    const struct mk_heap_slot *top;

    while ((top = mk_heap_top(&l->timers)) != NULL && top->at <= now) {
        struct mk_timer *t = mk_container_of(top->item, struct mk_timer, item);

        mk_heap_del(&l->timers, &t->item);
        t->armed = false;
        t->cb(t);
    }
}

/* Whether the earliest changed is seen once, when the turn ends. */
static void sim_timer_start(struct mk_env *e, struct mk_timer *t, uint64_t at_ns)
{
    struct sim_life *l = sim_life_of(e);
    uint64_t now = sim_life_now(l);

    if (l->dead)
        return;
    mk_heap_put(&l->timers, &t->item, at_ns <= now ? now + 1 : at_ns);
    sim_life_need_turn(l);
}

static void sim_timer_stop(struct mk_env *e, struct mk_timer *t)
{
    mk_heap_del(&sim_life_of(e)->timers, &t->item);
}

static void turn_fire(struct sim_event *ev)
{
    (void)ev; /* a turn with nothing but its end */
}

void sim_life_need_turn(struct sim_life *l)
{
    if (l->w->running != l && !l->dead && !l->turn.scheduled)
        sim_event_at(l->w, l, &l->turn, l->w->now_ns);
}

void sim_life_end_turn(struct sim_life *l)
{
    const struct mk_heap_slot *top;

    do {
        mk_env_run_tasks(&l->base);
        sim_net_flush(l);
    } while (!mk_list_empty(&l->base.tasks));
    top = mk_heap_top(&l->timers);
    if (top == NULL || !l->timer.scheduled || top->seq != l->armed_seq) {
        l->armed_seq = top == NULL ? 0 : top->seq;
        sim_life_arm(l);
    }
}

static void sim_tasks_wait(struct mk_env *e)
{
    struct sim_life *l = sim_life_of(e);

    if (l->dead)
        mk_env_drop_tasks(e);
    else
        sim_life_need_turn(l);
}

/* --- entropy and work -------------------------------------------------------------------- */

static void sim_entropy(struct mk_env *e, void *out, size_t n)
{
    struct prng *p = &sim_life_of(e)->node->entropy;
    uint8_t *q = out;

    for (size_t i = 0; i < n; i++)
        q[i] = (uint8_t)(prng_next(p) >> 32);
}

struct sim_work {
    struct sim_event ev;
    struct mk_work *work;
};

static void work_fire(struct sim_event *ev)
{
    struct sim_work *sw = mk_container_of(ev, struct sim_work, ev);
    struct mk_work *w = sw->work;

    mk_free(sw);
    w->impl = NULL;
    w->run(w);
    w->done(w);
}

static void work_drop(struct sim_event *ev)
{
    mk_free(mk_container_of(ev, struct sim_work, ev));
}

static void sim_work_start(struct mk_env *e, struct mk_work *w)
{
    struct sim_life *l = sim_life_of(e);
    struct sim_work *sw;

    if (l->dead)
        return;
    sw = mk_alloc(sizeof(*sw));
    sw->ev.kind = SIM_WORK;
    sw->ev.fire = work_fire;
    sw->ev.drop = work_drop;
    sw->work = w;
    w->impl = sw;
    sim_event_at(l->w, l, &sw->ev,
                 l->w->now_ns +
                     1000 * prng_delay(&l->w->prng[SIM_SCHED], WORK_MIN_US, WORK_MEAN_US));
}

static void sim_work_cancel(struct mk_env *e, struct mk_work *w)
{
    struct sim_work *sw = w->impl;

    w->impl = NULL;
    if (sim_life_of(e)->dead)
        return; /* the event went with the life */
    sim_event_cancel(&sw->ev);
    mk_free(sw);
}

static int sim_tsm_quote(struct mk_env *e, const char *dir, const char *entry,
                         const uint8_t data[64], size_t max, struct mk_buf *out,
                         struct mk_fault *reterr)
{
    (void)e;
    (void)entry;
    (void)data;
    (void)max;
    (void)out;
    return mk_fault(reterr, MK_ENOTFOUND, "%s: the simulated world has no TDX", dir);
}

/* --- a life ------------------------------------------------------------------------------- */

static const struct mk_env_ops sim_ops = {
    .now = sim_now,
    .wall_ms = sim_wall_ms,
    .timer_start = sim_timer_start,
    .timer_stop = sim_timer_stop,
    .tasks_wait = sim_tasks_wait,
    .entropy = sim_entropy,
    .work_start = sim_work_start,
    .work_cancel = sim_work_cancel,
    .tsm_quote = sim_tsm_quote,
    .cast_open = sim_cast_open,
    .cast_send = sim_cast_send,
    .cast_close = sim_cast_close,
    .file_open = sim_file_open,
    .file_close = sim_file_close,
    .file_size = sim_file_size,
    .file_read = sim_file_read,
    .file_write = sim_file_write,
    .file_truncate = sim_file_truncate,
    .file_sync = sim_file_sync,
    .rename = sim_rename,
    .unlink = sim_unlink,
    .mkdir = sim_mkdir,
    .dir_sync = sim_dir_sync,
    .dir_list = sim_dir_list,
    .dir_lock = sim_dir_lock,
    .write_sync = sim_write_sync,
    .sock_write = sim_sock_write,
    .sock_queued = sim_sock_queued,
    .sock_pause = sim_sock_pause,
    .sock_close = sim_sock_close,
    .sock_remote = sim_sock_remote,
    .sock_vouched = sim_sock_vouched,
    .vouch = sim_vouch,
    .listen = sim_listen,
    .listener_port = sim_listener_port,
    .listener_close = sim_listener_close,
    .connect = sim_connect,
    .connect_cancel = sim_connect_cancel,
    .input_open = sim_input_open,
    .input_pause = sim_input_pause,
    .input_close = sim_input_close,
};

struct sim_life *sim_life_new(struct sim_node *n)
{
    struct sim_life *l = mk_alloc(sizeof(*l));

    mk_env_base_init(&l->base, &sim_ops);
    l->w = n->w;
    l->node = n;
    l->since_ns = n->w->now_ns;
    l->clock_ns = MK_S + prng_below(&n->w->prng[SIM_SCHED], 1000 * MK_S);
    l->timer.kind = SIM_TIMER;
    l->timer.fire = timer_fire;
    l->turn.kind = SIM_TURN;
    l->turn.fire = turn_fire;
    mk_list_init(&l->events);
    mk_list_init(&l->backlog);
    mk_list_init(&l->socks);
    mk_list_init(&l->dirty);
    mk_list_init(&l->listeners);
    mk_list_init(&l->files);
    mk_list_init(&l->inputs);
    mk_list_init(&l->casts);
    return l;
}

void sim_life_free(struct sim_life *l)
{
    MK_ASSERT(l->dead);
    sim_inputs_free(l);
    sim_casts_free(l);
    sim_listeners_free(l);
    sim_socks_free(l);
    sim_files_free(l);
    mk_free(l);
}
