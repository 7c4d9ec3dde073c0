/* when.c - conditions on a producer, told in the turn after the one that made them true or
 * false. Each is looked at once a turn, so that one whose callback changes what another is
 * about cannot keep the turn from ending.
 *
 * A callback may stop any condition and close the producer: the list is walked by marks, and
 * the memory of a producer that was closed meanwhile goes when the walk is over. */
#include "base/assert.h"
#include "streams/producer.h"
#include <mosaik/loop.h>

void mk_producer_touch(struct mk_producer *p)
{
    mk_signal_raise(&p->signal, NULL);
    if (p->whens != NULL && !p->tell.armed)
        mk_timer_start(p->streams->env, &p->tell, mk_now(p->streams->env));
}

static bool holds(const struct mk_producer *p, const struct mk_producer_when *w)
{
    switch (w->kind) {
    case MK_WHEN_SUBSCRIBED:
        return p->stats.subscribers >= w->n;
    case MK_WHEN_ONLINE:
        return mk_producer_is_online(p);
    case MK_WHEN_WITHIN:
        return mk_producer_lag(p) <= w->n;
    }
    return false;
}

static struct mk_producer_when *next_unchecked(struct mk_producer *p)
{
    struct mk_producer_when *w = p->whens;

    while (w != NULL && w->checked)
        w = w->next;
    return w;
}

static void tell_cb(struct mk_timer *t)
{
    struct mk_producer *p = mk_container_of(t, struct mk_producer, tell);
    struct mk_producer_when *w;

    for (w = p->whens; w != NULL; w = w->next)
        w->checked = false;
    p->telling = true;
    while ((w = next_unchecked(p)) != NULL) {
        bool now = holds(p, w);

        w->checked = true;
        if (now == w->holds)
            continue;
        w->holds = now;
        w->cb(w, p, now);
    }
    p->telling = false;
    if (p->closed)
        mk_free(p);
}

void mk_producer_whens_init(struct mk_producer *p)
{
    p->tell.cb = tell_cb;
}

void mk_producer_whens_done(struct mk_producer *p)
{
    while (p->whens != NULL)
        mk_producer_when_stop(p->whens);
}

void mk_producer_when(struct mk_producer *p, struct mk_producer_when *w)
{
    MK_ASSERT(w->producer == NULL);
    w->producer = p;
    w->holds = false;
    w->checked = true; /* looked at from the next turn on */
    w->next = p->whens;
    p->whens = w;
    mk_producer_touch(p);
}

void mk_producer_when_stop(struct mk_producer_when *w)
{
    struct mk_producer_when **at;

    if (w->producer == NULL)
        return;
    for (at = &w->producer->whens; *at != w; at = &(*at)->next)
        MK_ASSERT(*at != NULL);
    *at = w->next;
    w->producer = NULL;
    w->next = NULL;
}

/* --- blocking --------------------------------------------------------------------------------- */

struct wait_subscribed {
    const struct mk_producer *p;
    unsigned n;
};

static bool is_subscribed(void *arg)
{
    const struct wait_subscribed *w = arg;

    return w->p->stats.subscribers >= w->n;
}

int mk_producer_wait_subscribed(struct mk_producer *p, unsigned n, uint32_t timeout_ms)
{
    struct wait_subscribed w = {p, n};

    if (is_subscribed(&w) || mk_loop_run_until(p->streams->env, is_subscribed, &w, timeout_ms))
        return 0;
    return MK_ETIMEDOUT;
}
