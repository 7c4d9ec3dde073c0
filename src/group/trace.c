/* trace.c - the course of one write, as this member saw it.
 *
 * Somebody who is about to send a command asks for it first. For half a minute the indices of log,
 * disk, commit and state are then noted at the end of each turn in which one of them moved, with
 * the time; when a command of that sender is applied, its entry's index says which note was the
 * first to cover it at each step. A group that nobody asked pays a comparison a turn. */
#include "group/group_int.h"

#include <string.h>

#define TRACE_NS (30 * MK_S) /* how long it is noted after somebody asked */
#define NOTES_MAX 256u       /* turns that are remembered; a command takes a handful */

struct note {
    uint64_t at_us;
    uint64_t v[MK_TRACE_STEPS]; /* entries that had come so far; of the last, certificates */
};

struct mk_tracing {
    struct mk_peer senders[MK_TRACED_MAX]; /* the newest who asked, first */
    unsigned n_senders;
    struct mk_trace traces[MK_TRACED_MAX]; /* the last command of each */
    uint64_t certificates[MK_TRACED_MAX];  /* assembled before it was applied */
    uint64_t until_ns, base_us, base_ns;
    struct note notes[NOTES_MAX];
    unsigned first, n;
};

static uint64_t now_us(const struct mk_group *g)
{
    return g->tracing->base_us + (mk_now(g->env) - g->tracing->base_ns) / 1000;
}

void mk_group_trace(struct mk_group *g, const struct mk_peer *sender)
{
    struct mk_tracing *t = g->tracing;
    unsigned i = 0;

    if (t == NULL) {
        t = g->tracing = mk_alloc(sizeof *t);
        t->base_us = mk_wall_ms(g->env) * 1000;
        t->base_ns = mk_now(g->env);
    }
    while (i < t->n_senders && !mk_peer_eq(&t->senders[i], sender))
        i++;
    if (i == t->n_senders && t->n_senders < MK_TRACED_MAX)
        t->n_senders++;
    if (i == MK_TRACED_MAX)
        i--; /* the one who asked longest ago */
    for (; i > 0; i--) {
        t->senders[i] = t->senders[i - 1];
        t->traces[i] = t->traces[i - 1];
        t->certificates[i] = t->certificates[i - 1];
    }
    t->senders[0] = *sender;
    t->traces[0] = (struct mk_trace){0};
    t->until_ns = mk_now(g->env) + TRACE_NS;
    mk_group_wake(g);
}

static void note_now(struct mk_group *g, struct note *ret)
{
    *ret = (struct note){.at_us = now_us(g)};
    if (g->raft != NULL) {
        ret->v[MK_TRACE_LOGGED] = mk_consensus_last(g->raft);
        ret->v[MK_TRACE_DURABLE] = mk_consensus_stored(g->raft);
        ret->v[MK_TRACE_COMMITTED] = mk_consensus_commit(g->raft);
    }
    ret->v[MK_TRACE_APPLIED] = mk_state_index(g->st);
    ret->v[MK_TRACE_CERTIFIED] = g->n_certificates;
}

void mk_trace_turn(struct mk_group *g)
{
    struct mk_tracing *t = g->tracing;
    const struct note *last;
    struct note now;

    if (mk_now(g->env) >= t->until_ns) {
        mk_trace_close(g);
        return;
    }
    note_now(g, &now);
    last = &t->notes[(t->first + t->n + NOTES_MAX - 1) % NOTES_MAX];
    if (t->n > 0 && memcmp(last->v, now.v, sizeof now.v) == 0)
        return;
    t->notes[(t->first + t->n) % NOTES_MAX] = now;
    if (t->n < NOTES_MAX)
        t->n++;
    else
        t->first = (t->first + 1) % NOTES_MAX;
}

void mk_trace_command(struct mk_group *g, uint64_t index, const struct mk_applied *a)
{
    struct mk_tracing *t = g->tracing;

    for (unsigned i = 0; i < t->n_senders; i++) {
        if (!mk_peer_eq(&t->senders[i], &a->sender) || a->repeated)
            continue;
        t->traces[i] = (struct mk_trace){.index = index};
        t->certificates[i] = g->n_certificates;
    }
}

bool mk_group_traced(const struct mk_group *g, const struct mk_peer *sender, struct mk_trace *ret)
{
    const struct mk_tracing *t = g->tracing;
    unsigned i = 0;

    while (t != NULL && i < t->n_senders && !mk_peer_eq(&t->senders[i], sender))
        i++;
    if (t == NULL || i == t->n_senders || t->traces[i].index == 0)
        return false;
    *ret = t->traces[i];
    for (unsigned k = 0; k < t->n; k++) {
        const struct note *n = &t->notes[(t->first + k) % NOTES_MAX];

        for (unsigned s = 0; s < MK_TRACE_STEPS; s++) {
            uint64_t wanted = s == MK_TRACE_CERTIFIED ? t->certificates[i] + 1 : ret->index;

            if (ret->at_us[s] == 0 && n->v[s] >= wanted)
                ret->at_us[s] = n->at_us;
        }
    }
    return true;
}

const char *mk_trace_step_name(enum mk_trace_step s)
{
    static const char *const names[MK_TRACE_STEPS] = {"logged", "durable", "committed", "applied",
                                                      "certified"};

    return names[s];
}

void mk_trace_close(struct mk_group *g)
{
    mk_free(g->tracing);
    g->tracing = NULL;
}
