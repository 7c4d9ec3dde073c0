/* wake.c - what it costs until somebody who waits for a condition goes on.
 *
 *     wake ROUNDS
 *
 *   eventfd    two threads, two eventfds, epoll on one side: write, the other reads and writes
 *              back, epoll wakes. Nothing else: the floor.
 *   condition  mk_when_wait() on a loop that sleeps; the change comes from another thread, as
 *              everything from outside the loop does (mk_work_start() and back), raises an
 *              object's signal, and the tree of two conditions is looked at.
 *
 * Both are a round trip between two threads that sleep. One line: the medians, in us. */
#include "node/when.h"
#include <mosaik/loop.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX 1000000u

static unsigned rounds;
static uint32_t *took; /* ns */

static uint64_t ns_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static double median_us(void)
{
    qsort(took, rounds, sizeof *took, by_value);
    return took[rounds / 2] / 1000.0;
}

/* --- the floor ------------------------------------------------------------------------ */

static int to_there, to_here;

static void *there(void *arg)
{
    uint64_t v;

    for (unsigned i = 0; i < rounds; i++)
        if (read(to_there, &v, sizeof v) != sizeof v || write(to_here, &v, sizeof v) != sizeof v)
            exit(2);
    return arg;
}

static double eventfd_us(void)
{
    int poll_fd = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN};
    pthread_t thread;
    uint64_t v = 1;

    to_there = eventfd(0, 0);
    to_here = eventfd(0, EFD_NONBLOCK);
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, to_here, &e) != 0 ||
        pthread_create(&thread, NULL, there, NULL) != 0)
        exit(2);
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t begun = ns_now();

        if (write(to_there, &v, sizeof v) != sizeof v || epoll_wait(poll_fd, &e, 1, -1) != 1 ||
            read(to_here, &v, sizeof v) != sizeof v)
            exit(2);
        took[i] = (uint32_t)(ns_now() - begun);
    }
    pthread_join(thread, NULL);
    return median_us();
}

/* --- the condition ----------------------------------------------------------------------- */

struct object {
    struct mk_work work;
    struct mk_signal signal;
    bool changed;
};

static void object_run(struct mk_work *w)
{
    (void)w; /* it is the way there and back that counts */
}

static void object_done(struct mk_work *w)
{
    struct object *o = mk_container_of(w, struct object, work);

    o->changed = true;
    mk_signal_raise(&o->signal, NULL);
}

static bool leaf_holds(const struct mk_when *w)
{
    return ((const struct object *)mk_leaf_of(w)->object)->changed;
}

static void leaf_explain(const struct mk_when *w, struct mk_buf *out)
{
    (void)w;
    mk_buf_put_str(out, "the object has changed");
}

static const struct mk_when_ops leaf_ops = {
    .holds = leaf_holds, .never = mk_leaf_never, .explain = leaf_explain, .free = mk_leaf_free};

static struct mk_when *leaf_of(struct mk_env *env, struct object *o)
{
    struct mk_when_leaf *l = mk_alloc(sizeof *l);

    mk_when_leaf_init(l, &leaf_ops, env, &o->signal, o);
    return &l->when;
}

static double condition_us(void)
{
    struct object o = {.work = {.run = object_run, .done = object_done}};
    struct mk_env *env;
    struct mk_when *w;

    if (mk_loop_open(&env, NULL, NULL) != 0)
        exit(2);
    w = MK_WHEN_ALL(leaf_of(env, &o), leaf_of(env, &o));
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t begun = ns_now();

        o.changed = false;
        mk_work_start(env, &o.work);
        if (mk_when_wait(w, 5000, NULL) != 0)
            exit(1);
        took[i] = (uint32_t)(ns_now() - begun);
    }
    mk_when_free(w);
    mk_loop_free(env);
    return median_us();
}

int main(int argc, char **argv)
{
    double condition, floor;

    rounds = argc == 2 ? (unsigned)atoi(argv[1]) : 0; /* tidy: ok */
    if (rounds == 0 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: wake ROUNDS\n");
        return 2;
    }
    took = calloc(rounds, sizeof *took);
    floor = eventfd_us();
    condition = condition_us();
    printf("condition_us=%.2f eventfd_us=%.2f\n", condition, floor);
    return 0;
}
