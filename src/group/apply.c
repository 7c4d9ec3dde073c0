/* Committed entries become state, answers, heads: in order, each once.
 *
 * Answers are sent in the turn that applied; heads and signatures come in the next one, so
 * that nobody waits for a trie's hashes and an ed25519 signature who has not asked for them.
 * A member that is far behind applies in slices, so that its links live meanwhile.
 *
 * Where consensus had something to write or to say in this turn, applying waits for the
 * next one: the disk and the other members then work while we do. */
#include "base/planted.h"
#include "group/group_int.h"
#include "group/serve.h"

#define APPLY_SLICE 2048u /* entries of one turn */
#define APPLY_WAITS 3u    /* turns that applying waits for consensus */

static void one_command(struct mk_group *g, const struct mk_applied *a)
{
    g->n_executed++;
    mk_pending_answer(g, &a->sender, a->session, a->number, a->outcome);
}

static void one_entry(struct mk_group *g, uint64_t index, const struct mk_entry *e)
{
    struct mk_applied a;

    mk_heads_settle(g);
    g->log_bytes += e->blob->n;
    if (e->type != MK_ENTRY_COMMAND) {
        mk_state_skip(g->st, index);
        if (e->type == MK_ENTRY_CHANGE) {
            mk_peers_roster(g); /* whoever left has no id in the configuration any more */
            mk_reseat_say(g);
        }
        return;
    }
    mk_state_apply(g->st, index, MK_BYTES(e->blob->p, e->blob->n), &a);
    if (a.beyond != 0) {
        mk_level_beyond(g, a.beyond);
        return;
    }
    if (a.check)
        mk_level_checked(g, index, a.nonce);
    if (a.membership)
        mk_reseat_applied(g);
    if ((a.epoch || a.certified_change) && index > g->caught_up)
        mk_course_epoch(g, a.epoch ? MK_COURSE_PROPOSED : MK_COURSE_CERTIFIED, g->roster.epoch);
    if (a.epoch)
        mk_heads_epoch(g);
    if (a.certified_change) {
        mk_heads_ask_all(g);
        mk_peers_roster(g);
        mk_reseat_certified(g);
    }
    if (a.heads != 0)
        mk_heads_marked(g, a.heads);
    if (a.kind == mk_logged_Execute && a.outcome.n > 0)
        one_command(g, &a);
    if (g->tracing != NULL && a.kind == mk_logged_Execute)
        mk_trace_command(g, index, &a);
    if (a.kind == mk_logged_Advance)
        mk_time_applied(g);
}

/* A planted bug: of two commands that are both committed, the second is applied first. */
static uint64_t reordered(struct mk_group *g, uint64_t index)
{
    const struct mk_entry *e = mk_consensus_entry(g->raft, index);
    const struct mk_entry *f = mk_consensus_entry(g->raft, index ^ 1);

    if (g->self != 0 || (index | 1) > g->commit || e == NULL || f == NULL ||
        e->type != MK_ENTRY_COMMAND || f->type != MK_ENTRY_COMMAND)
        return index;
    return index ^ 1;
}

void mk_apply_turn(struct mk_group *g)
{
    uint64_t index = mk_state_index(g->st), from = index;

    if (g->drove && index < g->commit && g->apply_waited < APPLY_WAITS) {
        g->apply_waited++;
        return; /* founded_deadline() asks for a turn at once */
    }
    g->apply_waited = 0;
    while (index < g->commit && index - from < APPLY_SLICE && g->state != MK_GROUP_FAILED) {
        const struct mk_entry *e = mk_consensus_entry(
            g->raft, MK_PLANTED(REORDERED_APPLY) ? reordered(g, index + 1) : index + 1);

        if (e == NULL)
            break; /* a snapshot that covers it is being fetched */
        one_entry(g, ++index, e);
        if (g->applied != NULL)
            g->applied(g->applied_arg, index);
    }
    if (index == from)
        return;
    g->moved_ns = mk_now(g->env);
    mk_overdue_applied(g);
    mk_query_applied(g);
    mk_snap_turn(g);
    mk_group_changed(g);
}
