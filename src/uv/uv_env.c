/* The real world's loop.
 *
 * A turn is one uv_run(UV_RUN_ONCE), which waits in epoll and delivers what the
 * sockets and the threads have; then, outside libuv, the timers that are due, the
 * tasks, and last the sends of all sockets that were written to in this turn, one
 * system call each. Sending may call back (writable), which may queue tasks, so tasks
 * and sends alternate until both are empty. Then the next wait begins.
 *
 * The clock is read when it is first asked for after a wait, at most twice a turn.
 * Our timers sit in one heap; a single uv_timer wakes the poll for the earliest, so a
 * thousand timers cost libuv nothing and moving one costs no system call. Nothing
 * polls: with no timer armed the process sleeps in epoll_wait for ever. */
#include "uv/uv_env.h"

#include "base/assert.h"
#include <errno.h>
#include <malloc.h>
#include <mosaik/loop.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

int mk_uv_errno(int err)
{
    switch (err) {
    case 0:
        return 0;
    case ENOENT:
    case ENOTDIR:
        return MK_ENOTFOUND;
    case EEXIST:
    case EADDRINUSE:
        return MK_EEXISTS;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return MK_ENOSPACE;
    default:
        return MK_EIO;
    }
}

/* --- time ------------------------------------------------------------------ */

static uint64_t env_now(struct mk_env *base)
{
    struct mk_uv_env *e = mk_uv_env_of(base);

    if (e->now_stale) {
        e->now_ns = uv_hrtime();
        e->now_stale = false;
    }
    return e->now_ns;
}

static uint64_t env_clock(struct mk_env *base)
{
    (void)base;
    return uv_hrtime();
}

static uint64_t env_wall_ms(struct mk_env *base)
{
    struct timespec ts;

    (void)base;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void env_timer_start(struct mk_env *base, struct mk_timer *t, uint64_t at_ns)
{
    uint64_t now = env_now(base);

    mk_heap_put(&mk_uv_env_of(base)->timers, &t->item, at_ns <= now ? now + 1 : at_ns);
}

static void env_timer_stop(struct mk_env *base, struct mk_timer *t)
{
    mk_heap_del(&mk_uv_env_of(base)->timers, &t->item);
}

/* The wait is what matters: the timers themselves are fired by the turn. libuv may run
 * this before the poll instead of after it; as it repeats, the poll ends soon even so. */
static void env_timer_cb(uv_timer_t *t)
{
    mk_container_of(t, struct mk_uv_env, timer)->timer_at_ms = 0;
}

/* Makes the poll end when the earliest timer is due, wait_ms_max from now at most. */
static void env_arm(struct mk_uv_env *e, uint32_t wait_ms_max)
{
    const struct mk_heap_slot *top = mk_heap_top(&e->timers);
    uint64_t at_ms = UINT64_MAX, now_ms = uv_now(&e->loop);

    if (top != NULL)
        at_ms = top->at / MK_MS + 1;
    if (wait_ms_max != UINT32_MAX && (now_ms + wait_ms_max < at_ms))
        at_ms = now_ms + wait_ms_max;
    if (at_ms == e->timer_at_ms)
        return;
    e->timer_at_ms = at_ms;
    if (at_ms == UINT64_MAX)
        uv_timer_stop(&e->timer);
    else
        uv_timer_start(&e->timer, env_timer_cb, at_ms > now_ms ? at_ms - now_ms : 0,
                       /* repeat= */ 1);
}

/* Fires what is due. One that is started meanwhile is later than now, whatever it asked
 * for, so it waits for the next turn and cannot hold the loop. */
static void env_fire_timers(struct mk_uv_env *e)
{
    const struct mk_heap_slot *top = mk_heap_top(&e->timers);
    uint64_t now;

    if (top == NULL)
        return;
    now = env_now(&e->base);
    while ((top = mk_heap_top(&e->timers)) != NULL && top->at <= now) {
        struct mk_timer *t = mk_container_of(top->item, struct mk_timer, item);

        mk_heap_del(&e->timers, &t->item);
        t->armed = false;
        t->cb(t);
    }
}

static void env_entropy(struct mk_env *base, void *out, size_t n)
{
    uint8_t *p = out;

    (void)base;
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);

        MK_ASSERT(got > 0 || errno == EINTR);
        if (got > 0) {
            p += got;
            n -= (size_t)got;
        }
    }
}

/* --- slow work ---------------------------------------------------------------- */

struct work_job {
    struct mk_uv_job job;
    struct mk_work *work;
};

static void work_run(struct mk_uv_job *j)
{
    struct mk_work *w = mk_container_of(j, struct work_job, job)->work;

    w->run(w);
}

static void work_done(struct mk_uv_job *j)
{
    struct work_job *wj = mk_container_of(j, struct work_job, job);
    struct mk_work *w = wj->work;

    mk_free(wj);
    w->impl = NULL;
    w->done(w);
}

static void env_work_start(struct mk_env *base, struct mk_work *w)
{
    struct work_job *wj = mk_alloc(sizeof(*wj));

    wj->job = (struct mk_uv_job){.run = work_run, .done = work_done};
    wj->work = w;
    w->impl = wj;
    mk_uv_pool_add(&mk_uv_env_of(base)->work, &wj->job);
}

static void env_work_cancel(struct mk_env *base, struct mk_work *w)
{
    struct work_job *wj = w->impl;

    mk_uv_pool_cancel(&mk_uv_env_of(base)->work, &wj->job);
    mk_free(wj);
    w->impl = NULL;
}

static void env_wake_cb(uv_async_t *a)
{
    struct mk_uv_env *e = mk_container_of(a, struct mk_uv_env, wake);
    struct mk_list mine, *n;

    mk_list_init(&mine);
    pthread_mutex_lock(&e->done_lock);
    while ((n = mk_list_pop(&e->done)) != NULL)
        mk_list_add_tail(&mine, n);
    pthread_mutex_unlock(&e->done_lock);
    while ((n = mk_list_pop(&mine)) != NULL) {
        struct mk_uv_job *j = mk_container_of(n, struct mk_uv_job, node);

        j->done(j);
    }
}

/* --- turns -------------------------------------------------------------------- */

void mk_uv_defer(struct mk_uv_env *e, struct mk_uv_deferred *d)
{
    if (d->node.next == NULL)
        mk_list_add_tail(&e->deferred, &d->node);
}

void mk_uv_defer_cancel(struct mk_uv_deferred *d)
{
    if (d->node.next == NULL)
        return;
    mk_list_del(&d->node);
    d->node.next = d->node.prev = NULL;
}

/* Those that are there now; what they defer themselves waits for the next turn. */
static void env_run_deferred(struct mk_uv_env *e)
{
    struct mk_list mine, *n;

    if (mk_list_empty(&e->deferred))
        return;
    mk_list_init(&mine);
    while ((n = mk_list_pop(&e->deferred)) != NULL)
        mk_list_add_tail(&mine, n);
    while (!mk_list_empty(&mine)) {
        struct mk_uv_deferred *d = mk_container_of(mine.next, struct mk_uv_deferred, node);

        mk_uv_defer_cancel(d);
        d->cb(d);
    }
}

static void env_tasks_and_sends(struct mk_uv_env *e)
{
    struct mk_list *n;

    do {
        mk_env_run_tasks(&e->base);
        while ((n = mk_list_pop(&e->dirty)) != NULL)
            mk_uv_sock_flush(mk_container_of(n, struct mk_uv_sock, dirty));
    } while (!mk_list_empty(&e->base.tasks));
}

/* What is written on the loop itself waits until all that was to be sent is on its way. Writes
 * that follow from these wait for the next turn: the sockets come first. */
static void env_end_turn(struct mk_uv_env *e)
{
    struct mk_list mine, *n;

    env_tasks_and_sends(e);
    mk_list_init(&mine);
    while ((n = mk_list_pop(&e->writes)) != NULL)
        mk_list_add_tail(&mine, n);
    while ((n = mk_list_pop(&mine)) != NULL) {
        struct mk_uv_deferred *d = mk_container_of(n, struct mk_uv_deferred, node);

        d->cb(d);
        e->now_stale = true;
        env_tasks_and_sends(e);
    }
}

/* Runs just before the poll waits: what the clock said before is old afterwards. */
static void env_prepare_cb(uv_prepare_t *p)
{
    mk_container_of(p, struct mk_uv_env, prepare)->now_stale = true;
}

/* What would not wait for a poll, which counts whole milliseconds. The clock is the one by
 * which the last turn set its timers. */
static bool env_is_due(struct mk_uv_env *e)
{
    const struct mk_heap_slot *top = mk_heap_top(&e->timers);

    return top != NULL && top->at <= env_now(&e->base) + 1;
}

void mk_loop_turn(struct mk_env *base, uint32_t wait_ms_max)
{
    struct mk_uv_env *e = mk_uv_env_of(base);
    bool busy = !mk_list_empty(&e->deferred) || !mk_list_empty(&base->tasks) ||
                !mk_list_empty(&e->dirty) || !mk_list_empty(&e->writes) || wait_ms_max == 0 ||
                env_is_due(e);

    env_arm(e, wait_ms_max);
    uv_run(&e->loop, busy ? UV_RUN_NOWAIT : UV_RUN_ONCE);
    env_run_deferred(e);
    env_fire_timers(e);
    env_end_turn(e);
}

void mk_loop_run(struct mk_env *base)
{
    struct mk_uv_env *e = mk_uv_env_of(base);

    while (!e->stopped)
        mk_loop_turn(base, UINT32_MAX);
    e->stopped = false;
}

void mk_loop_stop(struct mk_env *base)
{
    mk_uv_env_of(base)->stopped = true;
}

bool mk_loop_run_until(struct mk_env *base, bool (*cond)(void *arg), void *arg, uint32_t timeout_ms)
{
    uint64_t end = uv_hrtime() + timeout_ms * MK_MS, now;

    while (!cond(arg)) {
        now = uv_hrtime();
        if (now >= end)
            return false;
        mk_loop_turn(base, (uint32_t)((end - now) / MK_MS + 1));
    }
    return true;
}

static void env_signal_cb(uv_signal_t *s, int signo)
{
    struct mk_uv_env *e = s->data;

    e->signal_cb(e->signal_arg, signo);
}

void mk_loop_on_signal(struct mk_env *base, void (*cb)(void *arg, int signo), void *arg)
{
    struct mk_uv_env *e = mk_uv_env_of(base);
    static const int wanted[2] = {SIGINT, SIGTERM};

    MK_ASSERT(!e->signals_on);
    e->signal_cb = cb;
    e->signal_arg = arg;
    e->signals_on = true;
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&e->loop, &e->signals[i]);
        e->signals[i].data = e;
        uv_signal_start(&e->signals[i], env_signal_cb, wanted[i]);
    }
}

/* --- opening and closing --------------------------------------------------------- */

static int env_no_vouch(const struct mk_sock *s, struct mk_peer *ret)
{
    (void)s;
    (void)ret;
    return MK_ENOTSUP;
}

/* Who we are is what the certificate says, here. */
static void env_vouch(struct mk_env *e, const struct mk_peer *self)
{
    (void)e;
    (void)self;
}

static const struct mk_env_ops mk_uv_ops = {
    .now = env_now,
    .clock = env_clock,
    .wall_ms = env_wall_ms,
    .timer_start = env_timer_start,
    .timer_stop = env_timer_stop,
    .entropy = env_entropy,
    .work_start = env_work_start,
    .work_cancel = env_work_cancel,
    .tsm_quote = mk_uv_tsm_quote,
    .cast_open = mk_uv_cast_open,
    .cast_send = mk_uv_cast_send,
    .cast_close = mk_uv_cast_close,
    .http_open = mk_uv_http_open,
    .http_port = mk_uv_http_port,
    .http_close = mk_uv_http_close,
    .file_open = mk_uv_file_open,
    .file_close = mk_uv_file_close,
    .file_size = mk_uv_file_size,
    .file_read = mk_uv_file_read,
    .file_write = mk_uv_file_write,
    .file_truncate = mk_uv_file_truncate,
    .file_sync = mk_uv_file_sync,
    .rename = mk_uv_disk_rename,
    .unlink = mk_uv_disk_unlink,
    .mkdir = mk_uv_disk_mkdir,
    .dir_sync = mk_uv_disk_dir_sync,
    .dir_list = mk_uv_disk_dir_list,
    .dir_lock = mk_uv_disk_dir_lock,
    .write_sync = mk_uv_disk_write_sync,
    .sock_write = mk_uv_sock_write,
    .sock_queued = mk_uv_sock_queued,
    .sock_pause = mk_uv_sock_pause,
    .sock_close = mk_uv_sock_close,
    .sock_remote = mk_uv_sock_remote,
    .sock_vouched = env_no_vouch,
    .vouch = env_vouch,
    .listen = mk_uv_net_listen,
    .listener_port = mk_uv_net_listener_port,
    .listener_close = mk_uv_net_listener_close,
    .connect = mk_uv_net_connect,
    .connect_cancel = mk_uv_net_connect_cancel,
    .input_open = mk_uv_input_open,
    .input_pause = mk_uv_input_pause,
    .input_close = mk_uv_input_close,
};

/* One heap of malloc for all threads (each further one would cost a node memory), one
 * thread for libuv's own needs (names), and no SIGPIPE or SIGXFSZ: what cannot be written
 * is an error. */
static void process_settle(void)
{
    static bool settled;

    if (settled)
        return;
    settled = true;
    mallopt(M_ARENA_MAX, 1);
    setenv("UV_THREADPOOL_SIZE", "1", /* overwrite= */ 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

int mk_loop_open(struct mk_env **ret, const char *dir, struct mk_fault *reterr)
{
    struct mk_uv_env *e;
    int rv;

    process_settle();
    e = mk_alloc(sizeof(*e));
    mk_env_base_init(&e->base, &mk_uv_ops);
    mk_list_init(&e->deferred);
    mk_list_init(&e->dirty);
    mk_list_init(&e->writes);
    mk_list_init(&e->done);
    e->now_stale = true;
    e->timer_at_ms = UINT64_MAX;
    e->dirfd = -1;
    rv = dir == NULL ? 0 : mk_uv_disk_open_dir(e, dir, reterr);
    if (rv != 0)
        goto err_env;
    rv = uv_loop_init(&e->loop);
    if (rv != 0) {
        rv = mk_fault(reterr, MK_EIO, "cannot make an event loop: %s", uv_strerror(rv));
        goto err_dir;
    }
    pthread_mutex_init(&e->done_lock, NULL);
    pthread_cond_init(&e->finished, NULL);
    uv_timer_init(&e->loop, &e->timer);
    uv_prepare_init(&e->loop, &e->prepare);
    uv_prepare_start(&e->prepare, env_prepare_cb);
    uv_async_init(&e->loop, &e->wake, env_wake_cb);
    mk_uv_pool_init(&e->disk, e, MK_UV_DISK_THREADS);
    mk_uv_pool_init(&e->work, e, MK_UV_WORK_THREADS);
    e->read_buf = mk_realloc(NULL, MK_UV_READ_CHUNK); /* not zeroed: only what is read is touched */
    *ret = &e->base;
    return 0;

err_dir:
    if (e->dirfd >= 0)
        close(e->dirfd);
err_env:
    mk_free(e);
    return rv;
}

/* Work that ended while the threads were joined is not delivered. */
static void env_drop_done(struct mk_uv_env *e)
{
    struct mk_list *n;

    while ((n = mk_list_pop(&e->done)) != NULL) {
        struct mk_uv_job *j = mk_container_of(n, struct mk_uv_job, node);

        if (j->done == work_done)
            mk_free(mk_container_of(j, struct work_job, job));
    }
}

static void env_reap(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h) && (h->type == UV_POLL || h->type == UV_FS_EVENT))
        mk_assert_failed("a network, or another connection, is still open on this loop", __FILE__,
                         __LINE__);
    if (h->type == UV_PROCESS && !uv_is_closing(h))
        mk_uv_input_reap((uv_process_t *)h);
}

/* Whoever closed while it wrote ends when the write does. Who did not close may start the next
 * write when he hears of one, so not for ever. */
static void env_end_writes(struct mk_uv_env *e)
{
    for (unsigned i = 0; e->n_writes > 0 && i < 64; i++)
        mk_loop_turn(&e->base, 1000);
}

void mk_loop_free(struct mk_env *base)
{
    struct mk_uv_env *e;

    if (base == NULL)
        return;
    if (mk_env_has_node(base))
        mk_assert_failed("a node is still open on this loop: mk_node_close() comes first", __FILE__,
                         __LINE__);
    e = mk_uv_env_of(base);
    env_end_writes(e);
    mk_uv_pool_done(&e->disk);
    mk_uv_pool_done(&e->work);
    env_drop_done(e);
    mk_env_drop_tasks(base);
    uv_walk(&e->loop, env_reap, NULL);
    uv_close((uv_handle_t *)&e->timer, NULL);
    uv_close((uv_handle_t *)&e->prepare, NULL);
    uv_close((uv_handle_t *)&e->wake, NULL);
    for (int i = 0; i < 2 && e->signals_on; i++)
        uv_close((uv_handle_t *)&e->signals[i], NULL);
    uv_run(&e->loop, UV_RUN_DEFAULT); /* the handles of closed sockets end here */
    if (uv_loop_close(&e->loop) != 0)
        mk_assert_failed("something that was opened on this loop is still open", __FILE__,
                         __LINE__);
    mk_heap_done(&e->timers);
    pthread_cond_destroy(&e->finished);
    pthread_mutex_destroy(&e->done_lock);
    if (e->dirfd >= 0)
        close(e->dirfd);
    mk_free(e->read_buf);
    mk_free(e);
}
