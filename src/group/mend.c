/* A member whose stored records, or whose snapshot, are not what was written (store.h,
 * mk_store_damage).
 *
 * It may have forgotten a vote, or an entry that it acknowledged: what is left must neither
 * vote nor count. So nothing of it is opened; the member keeps its links, says no Raft id,
 * and asks the others for a linearizable read. An answer comes only from a leader whom a
 * majority confirmed after the question, and this member was not of it: so the others have
 * all that was ever acknowledged, and need nothing that is left here. Then the group's part
 * of the store is removed and the member begins anew as one that lost its disk: with another
 * Raft id, which nothing was promised by, seated again by the leader (reseat.c), filled from
 * its snapshot and log, promoted when it holds everything.
 *
 * Without such an answer nothing is removed and nobody is misled: with a majority damaged the
 * group halts, and each of them names file and place. A restart changes none of that: the
 * damage is a fact of the store.
 *
 * A member may look whole and have forgotten all the same: an old copy of its log was put back, or
 * a disk lost what it had synced. Its leader, whom it acknowledged more, tells it so (consensus.h,
 * mk_consensus_short). Then it is damaged like the others, and stops, since its consensus runs
 * already; what begins anew is its next start. Who lies to it so makes it fetch what it had:
 * nothing is removed without the word of a majority of the others.
 *
 * Other groups of the process are not concerned. */
#include "group/group_int.h"

#include <mosaik/outcome.h>

#include <stdio.h>

#define ASK_NS (500 * MK_MS)

void mk_mend_begin(struct mk_group *g, const char *why)
{
    mk_group_damaged(g, why);
    g->state = MK_GROUP_DAMAGED;
    g->mend_ns = 0;
}

static void forgot_stored(struct mk_store_wait *w, int status)
{
    struct mk_group *g = mk_container_of(w, struct mk_group, forgot_wait);

    mk_group_fail(g, status != 0 ? status : MK_ECORRUPT,
                  "its log was put back, or lost: start it again, and the others fill it");
}

void mk_mend_forgot(struct mk_member *m, const char *detail)
{
    struct mk_group *g = m->g;
    char why[MK_REASON_MAX];
    uint64_t lsn;

    if (g->raft == NULL || g->state == MK_GROUP_FAILED || m != mk_member_leader(g) || g->forgot)
        return;
    snprintf(why, sizeof why, "%s", detail); /* of the conversation that ends */
    g->forgot = true;
    g->named = false; /* from here on nobody hears of us */
    mk_group_damaged(g, why);
    for (unsigned i = 0; i < g->n_members; i++)
        if (g->members[i] != m)
            mk_member_drop(g->members[i], MK_CLOSE_NOT_READY, why);
    if (mk_store_set_damage(g->disk, &lsn, why) != 0)
        lsn = 0; /* a store that is dead says so at once */
    g->forgot_wait.cb = forgot_stored;
    mk_store_wait(g->store, &g->forgot_wait, lsn);
}

void mk_mend_close(struct mk_group *g)
{
    mk_store_wait_cancel(&g->forgot_wait);
}

static void ask(struct mk_group *g, struct mk_member *m)
{
    struct mk_member_message msg = {.tag = mk_member_message_Forward};

    msg.u.forward.id = ++g->forward_ids;
    msg.u.forward.query = MK_READ_LINEAR;
    msg.u.forward.execute.sender = *mk_net_self(g->net);
    mk_member_send(m, &msg);
}

/** Of the newest roster that we know: what is left here may be of an older one, and only a leader
 * answers; others show us the chain of rosters as soon as we are linked (reseat.c). */
static bool may_lead(const struct mk_group *g, const struct mk_member *m)
{
    return m->in_roster || (g->ahead.epoch > g->roster.epoch && mk_roster_has(&g->ahead, &m->peer));
}

void mk_mend_turn(struct mk_group *g)
{
    if (g->state != MK_GROUP_DAMAGED || mk_now(g->env) < g->mend_ns)
        return;
    g->mend_ns = mk_now(g->env) + ASK_NS;
    g->mend_asked = g->forward_ids;
    for (unsigned i = 0; i < g->n_members; i++) {
        struct mk_member *m = g->members[i];

        if (i != g->self && may_lead(g, m) && m->up && m->founded)
            ask(g, m);
    }
}

uint64_t mk_mend_deadline(const struct mk_group *g)
{
    return g->state == MK_GROUP_DAMAGED ? g->mend_ns : UINT64_MAX;
}

/* What the group itself answers to a read that no majority confirmed; anything else the machine
 * said. */
static bool is_confirmed(const struct mk_outcome *o)
{
    static const int unconfirmed[] = {MK_ENOTLEADER, MK_EFULL, MK_ETIMEDOUT, MK_ECANCELED,
                                      MK_ENOMAJORITY};

    for (size_t i = 0; i < sizeof unconfirmed / sizeof unconfirmed[0]; i++)
        if (o->status == (uint32_t)-unconfirmed[i])
            return false;
    return true;
}

void mk_mend_answered(struct mk_group *g, uint64_t id, const struct mk_outcome *o)
{
    uint64_t lsn;
    int rv;

    if (g->state != MK_GROUP_DAMAGED || id <= g->mend_asked || !is_confirmed(o))
        return;
    rv = mk_store_remove(g->disk, &lsn);
    if (rv != 0) {
        mk_group_fail(g, rv, "what is damaged could not be removed");
        return;
    }
    g->state = MK_GROUP_BLANK;
    g->mending = true;
    for (unsigned i = 0; i < g->n_members; i++)
        mk_member_drop(g->members[i], MK_CLOSE_NOT_READY, "this member begins anew");
    mk_found_anew(g);
    mk_group_changed(g);
}
