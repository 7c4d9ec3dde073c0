/* Threads for what would hold up the loop: making writes durable, and pure work.
 *
 * Two pools, so that slow work never stands in the way of a commit. A thread starts
 * when a job finds all others busy, up to the pool's bound, so a node that writes to one
 * file has one writer thread. A job's way: queue -> run on a thread -> the env's done
 * list -> uv_async -> done() on the loop. The lock is let go before the condition is
 * signalled, else the woken thread would run into it. There and back takes 2.5 us where
 * libuv's own pool takes 4 (median, both on one busy pair of cores); that one would also
 * start all its threads at once and let work delay a write. */
#include "uv/uv_env.h"

#include "base/assert.h"
#include <signal.h>

static void pool_finish(struct mk_uv_env *e, struct mk_uv_job *j)
{
    bool first;

    pthread_mutex_lock(&e->done_lock);
    first = mk_list_empty(&e->done);
    mk_list_add_tail(&e->done, &j->node);
    j->finished = true;
    pthread_cond_broadcast(&e->finished);
    pthread_mutex_unlock(&e->done_lock);
    if (first)
        uv_async_send(&e->wake);
}

/* The next job, or NULL when the pool ends. Called with the lock. */
static struct mk_uv_job *pool_next(struct mk_uv_pool *p)
{
    struct mk_uv_job *j;

    while (mk_list_empty(&p->queue) && !p->quit)
        pthread_cond_wait(&p->wake, &p->lock);
    if (p->quit)
        return NULL;
    j = mk_container_of(mk_list_pop(&p->queue), struct mk_uv_job, node);
    j->taken = true;
    return j;
}

static void *pool_thread(void *arg)
{
    struct mk_uv_pool *p = arg;
    struct mk_uv_job *j;

    pthread_mutex_lock(&p->lock);
    while ((j = pool_next(p)) != NULL) {
        pthread_mutex_unlock(&p->lock);
        j->run(j);
        pthread_mutex_lock(&p->lock);
        p->n_jobs--; /* before the loop can know: its next job needs no further thread */
        pthread_mutex_unlock(&p->lock);
        pool_finish(p->env, j);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* With the lock. When no thread can be had there must be one already. */
static void pool_grow(struct mk_uv_pool *p)
{
    pthread_attr_t attr;
    sigset_t all, old;
    int rv;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, MK_UV_STACK_SIZE);
    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rv = pthread_create(&p->threads[p->n_threads], &attr, pool_thread, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (rv == 0)
        p->n_threads++;
    MK_ASSERT(p->n_threads > 0);
}

void mk_uv_pool_init(struct mk_uv_pool *p, struct mk_uv_env *env, unsigned n_threads_max)
{
    MK_ASSERT(n_threads_max <= MK_UV_DISK_THREADS);
    *p = (struct mk_uv_pool){.env = env, .n_threads_max = n_threads_max};
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    mk_list_init(&p->queue);
}

void mk_uv_pool_add(struct mk_uv_pool *p, struct mk_uv_job *j)
{
    pthread_mutex_lock(&p->lock);
    j->pool = p;
    mk_list_add_tail(&p->queue, &j->node);
    p->n_jobs++;
    if (p->n_jobs > p->n_threads && p->n_threads < p->n_threads_max)
        pool_grow(p);
    pthread_mutex_unlock(&p->lock);
    pthread_cond_signal(&p->wake);
}

void mk_uv_pool_cancel(struct mk_uv_pool *p, struct mk_uv_job *j)
{
    bool taken;

    pthread_mutex_lock(&p->lock);
    taken = j->taken;
    if (!taken) {
        mk_list_del(&j->node);
        p->n_jobs--;
    }
    pthread_mutex_unlock(&p->lock);
    if (!taken)
        return;
    pthread_mutex_lock(&p->env->done_lock);
    while (!j->finished)
        pthread_cond_wait(&p->env->finished, &p->env->done_lock);
    mk_list_del(&j->node);
    pthread_mutex_unlock(&p->env->done_lock);
}

void mk_uv_pool_done(struct mk_uv_pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->quit = true;
    pthread_mutex_unlock(&p->lock);
    pthread_cond_broadcast(&p->wake);
    for (unsigned i = 0; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
}
