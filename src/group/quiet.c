/* A group at rest: no timer, no message, no work (spec/committees.md is silent on heartbeats).
 *
 *   nothing happened for MK_QUIET_MS --leader--> mk_consensus_rest(): all agree? --> quiet
 *   quiet: the processes' beats (beat.c) stand for the heartbeats of all such groups
 *   anything that happens wakes; so does a process that is silent, or whose link breaks
 *
 * Only members whose processes serve the protocol "beat" are asked; a group with one that does
 * not goes on with heartbeats. Machine time needs nothing more: a member proposes an Advance only
 * while it serves a reader, or when the machine waits for a time (time.c), and that proposal
 * wakes the group like any other. */
#include "group/beat.h"

void mk_quiet_stir(struct mk_group *g)
{
    g->quiet_ns = mk_now(g->env) + g->quiet_ms * MK_MS;
}

/* All who are up can be asked. */
static bool all_know(struct mk_group *g)
{
    for (unsigned i = 0; i < g->n_members; i++) {
        const struct mk_member *m = g->members[i];
        const struct mk_process *p;

        if (i == g->self || !m->up || m->raft_id == 0)
            continue;
        p = mk_beats_find(g->hub, &m->peer);
        if (p == NULL || !p->ready)
            return false;
    }
    return true;
}

static bool is_idle(const struct mk_group *g)
{
    return mk_list_empty(&g->pending) && mk_list_empty(&g->extras) && mk_list_empty(&g->queries) &&
           mk_list_empty(&g->held) && mk_list_empty(&g->persists) && g->snapping == NULL &&
           g->fetching == NULL && g->installing == NULL && !g->reroute && g->unmarked == 0 &&
           mk_state_index(g->st) == g->commit;
}

void mk_quiet_ask(struct mk_group *g)
{
    if (!mk_group_leads(g) || mk_now(g->env) < g->quiet_ns || mk_consensus_is_quiet(g->raft))
        return;
    mk_quiet_stir(g);
    if (is_idle(g) && all_know(g))
        (void)mk_consensus_rest(g->raft, mk_drive_now_ms(g)); /* not now: asked again later */
}

/* With whom: a leader with all that are up, a follower with its leader. */
static bool rests_with(const struct mk_group *g, const struct mk_member *m)
{
    return m->up && m->raft_id != 0 && (mk_group_leads(g) || m->raft_id == g->leader);
}

void mk_quiet_turn(struct mk_group *g)
{
    bool quiet = mk_consensus_is_quiet(g->raft) && g->state != MK_GROUP_FAILED;

    if (quiet == g->quiet)
        return;
    g->quiet = quiet;
    for (unsigned i = 0; i < g->n_members; i++) {
        struct mk_member *m = g->members[i];

        if (i == g->self)
            continue;
        if (m->rests != NULL)
            mk_beats_rest(m->rests, -1);
        m->rests = quiet && rests_with(g, m) ? mk_beats_find(g->hub, &m->peer) : NULL;
        if (m->rests != NULL)
            mk_beats_rest(m->rests, +1);
    }
    if (!quiet)
        mk_quiet_stir(g);
}

void mk_quiet_said(struct mk_member *m)
{
    if (m->rests != NULL)
        m->rests->heard_ns = mk_now(m->g->env);
}

void mk_quiet_heard(struct mk_group *g)
{
    for (unsigned i = 0; i < g->n_members && g->quiet; i++) {
        const struct mk_member *m = g->members[i];

        if (m->rests != NULL)
            mk_consensus_heard(g->raft, m->raft_id, m->rests->heard_ns / MK_MS);
    }
}

void mk_quiet_lost(struct mk_group *g, struct mk_process *p)
{
    bool rests = false;

    for (unsigned i = 0; i < g->n_members && g->quiet; i++)
        rests = rests || g->members[i]->rests == p;
    if (!rests)
        return;
    mk_quiet_heard(g);
    mk_consensus_wake(g->raft, mk_drive_now_ms(g));
    mk_quiet_turn(g);
    mk_group_wake(g);
}

void mk_quiet_close(struct mk_group *g)
{
    for (unsigned i = 0; i < g->n_members; i++) {
        if (g->members[i]->rests != NULL)
            mk_beats_rest(g->members[i]->rests, -1);
        g->members[i]->rests = NULL;
    }
    g->quiet = false;
}

uint64_t mk_quiet_deadline(const struct mk_group *g)
{
    return mk_group_leads(g) && !g->quiet ? g->quiet_ns : UINT64_MAX;
}
