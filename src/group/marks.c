/* Marks: at which entries heads are signed (spec/committees.md, "Heads and certificates").
 *
 * The leader marks the last entry of a batch. Where somebody waits for certificates (a client, a
 * reader, here or at another member, whose process says so) a batch is what one turn proposes.
 * Where nobody does it is what MARK_NS propose, and no more than MARK_EVERY entries, which the
 * specification asks for: each mark costs every member the state root and a signature, and with
 * many groups of few writes each that is most of what a write costs.
 *
 *   entries without a mark --MARK_NS, or somebody waits--> the next batch's last entry is
 *   marked, or, when none comes, an entry that is nothing but a mark
 *
 * Consensus may refuse that entry (the log is full, or leadership is being handed over): then it
 * comes again a moment later, as long as we lead.
 *
 * A new leader looks at what it inherited: a tail without a mark gets one. */
#include "group/beat.h"

#define MARK_NS (100 * MK_MS)
#define MARK_EVERY 256u
#define AGAIN_NS (20 * MK_MS) /* a mark that was refused is tried again */
#define INTEREST_NS MK_S      /* nobody waits any more, for that long: the others are told */

static bool all_would_say(const struct mk_group *g)
{
    for (unsigned i = 0; i < g->n_members; i++) {
        const struct mk_member *m = g->members[i];
        const struct mk_process *p;

        if (i == g->self || !m->up)
            continue;
        p = mk_beats_find(g->hub, &m->peer);
        if (m->waits || p == NULL || !p->ready)
            return false;
    }
    return true;
}

static bool somebody_waits(const struct mk_group *g)
{
    return g->interest > 0 || g->hub == NULL || !all_would_say(g);
}

/* The time counts from the first entry without a mark. */
static bool late(struct mk_group *g, bool first)
{
    uint64_t now = mk_now(g->env);

    if (first && now >= g->mark_ns)
        g->mark_ns = now + MARK_NS;
    return now >= g->mark_ns;
}

void mk_marks_set(struct mk_group *g, struct mk_blob **batch, unsigned n)
{
    bool first = g->unmarked == 0;

    g->mark_queued = false;
    for (unsigned i = 0; i < n; i++) {
        if (++g->unmarked == MARK_EVERY)
            batch[i]->p[0] |= MK_ENTRY_MARK;
        if ((batch[i]->p[0] & MK_ENTRY_MARK) != 0)
            g->unmarked = 0;
    }
    if (g->unmarked == 0 || (!late(g, first || g->unmarked < n) && !somebody_waits(g)))
        return;
    batch[n - 1]->p[0] |= MK_ENTRY_MARK;
    g->unmarked = 0;
}

/* An entry of no command: every member refuses it, and signs at it. What it is for counts as
 * unmarked until it is in the log. */
static void propose_mark(struct mk_group *g)
{
    const uint8_t mark = MK_ENTRY_MARK;

    g->mark_queued = true;
    mk_pending_extra(g, mk_blob_new(&mark, 1));
}

void mk_marks_refused(struct mk_group *g, unsigned unmarked)
{
    g->unmarked = unmarked;
    g->mark_queued = false;
    g->mark_again_ns = mk_now(g->env) + AGAIN_NS;
}

static bool may_propose(const struct mk_group *g)
{
    return g->unmarked > 0 && !g->mark_queued && mk_group_leads(g);
}

void mk_marks_leads(struct mk_group *g)
{
    uint64_t i = mk_consensus_last(g->raft);
    const struct mk_entry *e = mk_consensus_entry(g->raft, i);

    g->unmarked = 0;
    g->mark_queued = false;
    for (; e != NULL && g->unmarked < MARK_EVERY - 1; e = mk_consensus_entry(g->raft, --i)) {
        if (e->type != MK_ENTRY_COMMAND)
            continue;
        if (e->blob->n == 0 || (e->blob->p[0] & MK_ENTRY_MARK) != 0)
            break;
        g->unmarked++;
    }
    g->mark_ns = mk_now(g->env) + MARK_NS;
}

void mk_marks_interest(struct mk_group *g, int more)
{
    g->interest += (unsigned)more;
    g->interest_ns = mk_now(g->env);
    if (g->interest > 0 && !g->interest_told) {
        g->interest_told = true;
        mk_beats_interest(g, true);
    }
}

void mk_marks_turn(struct mk_group *g)
{
    if (g->interest_told && g->interest == 0 && mk_now(g->env) >= g->interest_ns + INTEREST_NS) {
        g->interest_told = false;
        mk_beats_interest(g, false);
    }
    if (may_propose(g) && mk_now(g->env) >= g->mark_again_ns &&
        (mk_now(g->env) >= g->mark_ns || somebody_waits(g)))
        propose_mark(g);
}

uint64_t mk_marks_deadline(const struct mk_group *g)
{
    if (!may_propose(g))
        return UINT64_MAX;
    return g->mark_again_ns > mk_now(g->env) ? g->mark_again_ns : g->mark_ns;
}
