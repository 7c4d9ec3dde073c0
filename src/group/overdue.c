/* Since when the oldest commit of a surface waits for its certificate, for alarms.
 *
 *   commits applied here --> noted when, by our own monotonic clock
 *   somebody asks --> what can be assembled is --> all covered: nothing waits
 *                                              --> else the time of the oldest that is not
 *
 * Not machine time: it stands still while a committee rests, and a commit that ends hours of
 * rest would be hours old at once. What an earlier life or a snapshot brought is not noted.
 *
 * Without readers a head may be lost for good: an epoch begins, and heads of the one before that
 * nobody had assembled count no more, nor are due again while machine time stands. It costs
 * nobody anything until a reader comes, whose Advance makes them due. Whoever asks how long
 * commits wait asks for the same Advance; so what stays overdue is what cannot be certified. */
#include "group/group_int.h"

#define PATIENCE_NS MK_S /* a mark and its signatures come well within */

void mk_overdue_forget(struct mk_group *g)
{
    const struct mk_surfaces *s = mk_state_surfaces(g->st);

    for (unsigned i = 0; i < s->n; i++)
        g->seals[i].wait = (struct mk_waiting){.seen = s->v[i].index};
}

void mk_overdue_applied(struct mk_group *g)
{
    const struct mk_surfaces *s = mk_state_surfaces(g->st);
    uint64_t now = mk_now(g->env);

    for (unsigned i = 0; i < s->n; i++) {
        struct mk_waiting *w = &g->seals[i].wait;

        if (s->v[i].index <= w->seen)
            continue;
        w->newest = w->seen + 1;
        w->newest_ns = now;
        w->seen = s->v[i].index;
        if (w->oldest == 0) {
            w->oldest = w->newest;
            w->oldest_ns = now;
        }
    }
}

/* The oldest that waited is covered: when the next one came is known of the newest only; of one
 * between them it counts from when somebody asks. */
static void covered_to(struct mk_waiting *w, uint64_t index, uint64_t now)
{
    if (w->oldest == 0 || index < w->oldest)
        return;
    if (index >= w->seen) {
        w->oldest = 0;
        return;
    }
    w->oldest = index + 1;
    w->oldest_ns = w->oldest >= w->newest ? w->newest_ns : now;
}

uint64_t mk_group_uncertified_ms(struct mk_group *g, unsigned surface)
{
    struct mk_seal *seal = &g->seals[surface];
    uint64_t now = mk_now(g->env);

    mk_heads_assemble(g, surface);
    if (seal->has_certificate)
        covered_to(&seal->wait, seal->certificate.head.index, now);
    if (seal->wait.oldest == 0)
        return 0;
    if (now >= seal->wait.oldest_ns + PATIENCE_NS && !g->advance_wanted) {
        g->advance_wanted = true;
        mk_group_wake(g);
    }
    return (now - seal->wait.oldest_ns) / MK_MS;
}
