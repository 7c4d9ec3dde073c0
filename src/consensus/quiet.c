/* quiet.c - a group with nothing to do says nothing.
 *
 *   leader                                  followers it has links to
 *   all agree? --QUIET(term, last, round)-->  same term, same leader, same log, all of it
 *                                             durable and committed? then: quiet
 *   all said so? <-----QUIET_ACK(round)-----
 *   then: quiet
 *
 * What is quiet has no deadline: the core's clock stands still. That the leader's process lives
 * is heard by its owner, for all groups of a process at once (group/quiet.c), and told with
 * mk_consensus_heard(). Whatever happens (a command, a vote, a link that comes or goes, silence)
 * wakes this member, and its clock goes on as if nothing had passed since the leader's
 * process was heard last: a follower that wakes because its leader's process is silent has waited
 * as long as one that missed heartbeats.
 *
 * Nothing here is needed for safety, which never rests on time; what is at stake is that nobody
 * waits for a leader that is none any more:
 *
 *   a follower sleeps only while its leader's process lives and has not said otherwise. A leader
 *   that stops leading, for whatever reason, says WAKE to all; where that cannot arrive the link
 *   breaks, and that wakes too. A follower that wakes by itself says WAKE to its leader.
 *
 *   a follower that lacks an entry, or does not know it committed, does not sleep, and then
 *   neither does its leader: it would never learn of it.
 *
 *   Conversations keep their order, so an answer to the round means that the follower slept when
 *   it gave it. It wakes only by what wakes the leader too, or tells it: a heartbeat that was
 *   under way, or that the leader goes on with while others have not answered, does not wake.
 *   So the round may take its time, however busy the processes are.
 *
 * Members that are not linked do not hinder it, as long as a majority is: when they are back, the
 * link wakes the leader. */
#include "base/assert.h"
#include "base/planted.h"
#include "consensus/core.h"

uint64_t mk_core_time(const struct mk_consensus *c)
{
    return (c->quiet ? c->quiet_at : c->now) + (uint64_t)c->ahead;
}

static void fall_quiet(struct mk_consensus *c)
{
    c->quiet = true;
    c->quiet_at = c->beat = c->now;
    c->hint_at = 0;
}

/* A follower's leader may sleep on: it must speak again, or we would wait for it in vain. */
void mk_core_wake(struct mk_consensus *c, bool tell_leader)
{
    uint64_t from = c->role == MK_ROLE_LEADER || c->beat > c->now ? c->now : c->beat;

    c->quiet_asked = false;
    if (!c->quiet)
        return;
    MK_ASSERT(from >= c->quiet_at);
    c->quiet = false;
    c->ahead -= (int64_t)(from - c->quiet_at);
    c->heard = from;
    if (tell_leader && c->role == MK_ROLE_FOLLOWER && c->leader != 0)
        mk_core_message(c, MK_MSG_WAKE, c->leader);
}

bool mk_consensus_is_quiet(const struct mk_consensus *c)
{
    return c->quiet;
}

void mk_consensus_wake(struct mk_consensus *c, uint64_t now_ms)
{
    if (mk_core_enter(c, now_ms) == 0)
        mk_core_wake(c, /* tell_leader= */ true);
}

void mk_consensus_heard(struct mk_consensus *c, uint64_t id, uint64_t at_ms)
{
    if (!c->quiet || c->role != MK_ROLE_FOLLOWER || id != c->leader || at_ms <= c->beat)
        return;
    c->beat = at_ms;
}

/* --- leader ------------------------------------------------------------------------------ */

static bool is_linked(const struct mk_consensus *c, uint64_t id)
{
    for (unsigned k = 0; k < c->n_peers; k++)
        if (c->peers[k].id == id)
            return c->peers[k].up;
    return false;
}

/* Nothing is under way, here or with anybody we have a link to. */
static bool all_agree(const struct mk_consensus *c)
{
    uint64_t last = mk_log_last(&c->log);
    unsigned voters = 0;

    if (!mk_consensus_ready(c) || c->commit != last || mk_consensus_stored(c) != last)
        return false;
    if (c->raft.configuration_uncommitted_index != 0 || raft_transferee(&c->raft) != 0)
        return false;
    if (c->read_wanted || c->read_done < c->read_round || c->persist_from != 0)
        return false;
    for (unsigned i = 0; i < c->conf.n; i++) {
        const struct mk_server *s = &c->conf.servers[i];
        bool linked = s->id == c->o.id || is_linked(c, s->id);

        if (linked && s->id != c->o.id && mk_consensus_match(c, s->id) != last &&
            !MK_PLANTED(QUIET_BEHIND))
            return false;
        voters += linked && s->role == MK_SERVER_VOTER;
    }
    return voters > mk_configuration_voters(&c->conf) / 2;
}

static bool has_answered(struct mk_consensus *c, uint64_t id)
{
    const struct mk_core_peer *p = mk_core_peer(c, id);

    return p != NULL && p->quiet_round == c->quiet_round;
}

/* Whom we asked, has it said so? */
static void tally(struct mk_consensus *c)
{
    for (unsigned i = 0; i < c->conf.n; i++) {
        uint64_t id = c->conf.servers[i].id;

        if (id != c->o.id && is_linked(c, id) && !has_answered(c, id))
            return;
    }
    c->quiet_asked = false;
    fall_quiet(c);
}

int mk_consensus_rest(struct mk_consensus *c, uint64_t now_ms)
{
    int rv = mk_core_enter(c, now_ms);

    if (rv != 0)
        return rv;
    if (c->role != MK_ROLE_LEADER)
        return MK_ENOTLEADER;
    if (c->quiet)
        return 0;
    if (!all_agree(c))
        return MK_EFULL;
    if (!c->quiet_asked)
        c->quiet_round++;
    for (unsigned i = 0; i < c->conf.n; i++) {
        const struct mk_server *s = &c->conf.servers[i];
        struct mk_message *m;

        if (s->id == c->o.id || !is_linked(c, s->id) || has_answered(c, s->id))
            continue;
        m = mk_core_message(c, MK_MSG_QUIET, s->id);
        m->index = mk_log_last(&c->log);
        m->index_term = mk_core_last_term(c);
        m->round = c->quiet_round;
    }
    c->quiet_asked = c->quiet_ever = true;
    tally(c);
    return 0;
}

void mk_core_quiet_ack(struct mk_consensus *c, const struct mk_message *m)
{
    struct mk_core_peer *p;

    if (m->term != c->term || c->role != MK_ROLE_LEADER || m->round != c->quiet_round)
        return;
    p = mk_core_peer(c, m->peer);
    if (p == NULL)
        return;
    p->quiet_round = m->round;
    if (c->quiet_asked && all_agree(c))
        tally(c);
}

/* We led, and whoever sleeps by our word must know that we do not any more. */
void mk_core_quiet_role(struct mk_consensus *c)
{
    c->quiet_asked = false;
    if (!c->quiet_ever)
        return;
    c->quiet_ever = false;
    for (unsigned i = 0; i < c->conf.n; i++)
        if (c->conf.servers[i].id != c->o.id)
            mk_core_message(c, MK_MSG_WAKE, c->conf.servers[i].id);
}

/* --- follower ---------------------------------------------------------------------------- */

static bool agrees(const struct mk_consensus *c, const struct mk_message *m)
{
    uint64_t last = mk_log_last(&c->log);

    if (MK_PLANTED(QUIET_BEHIND))
        return c->role == MK_ROLE_FOLLOWER;
    return m->term == c->term && c->role == MK_ROLE_FOLLOWER && c->leader == m->peer &&
           m->index == last && m->index_term == mk_core_last_term(c) &&
           mk_consensus_stored(c) == last && c->commit == last && c->fetch == FETCH_NONE &&
           !c->installing;
}

bool mk_core_is_heartbeat(const struct mk_consensus *c, const struct mk_message *m)
{
    return c->quiet && m->kind == MK_MSG_APPEND && m->term == c->term && m->peer == c->leader &&
           m->n == 0 && m->index == mk_log_last(&c->log) && m->commit == c->commit;
}

void mk_core_quiet_asked(struct mk_consensus *c, const struct mk_message *m)
{
    if (!agrees(c, m))
        return;
    mk_core_heard_leader(c);
    mk_core_message(c, MK_MSG_QUIET_ACK, m->peer)->round = m->round;
    fall_quiet(c);
}

void mk_core_woken(struct mk_consensus *c, const struct mk_message *m)
{
    if (c->role == MK_ROLE_LEADER || m->peer == c->leader)
        mk_core_wake(c, /* tell_leader= */ false);
}
