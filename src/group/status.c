/* What a group says about itself: numbers, members, and in words what it waits for. */
#include "group/group_int.h"
#include "group/serve.h"

#include <stdio.h>
#include <string.h>

const char *mk_group_state_name(enum mk_group_state s)
{
    switch (s) {
    case MK_GROUP_BLANK:
        return "blank";
    case MK_GROUP_DAMAGED:
        return "damaged";
    case MK_GROUP_LOST_DISK:
        return "lost disk";
    case MK_GROUP_OUTSIDE:
        return "outside";
    case MK_GROUP_JOINING:
        return "joining";
    case MK_GROUP_FOLLOWING:
        return "following";
    case MK_GROUP_LEADING:
        return "leading";
    case MK_GROUP_FAILED:
        return "failed";
    }
    return "unknown";
}

static bool has_lost_disk(const struct mk_group *g, const struct mk_member *m)
{
    return g->raft != NULL && mk_reseat_lost_disk(g, m);
}

static void short_hex(const struct mk_peer *p, char out[9])
{
    char hex[MK_ID_HEX];

    mk_peer_hex(p, hex);
    memcpy(out, hex, 8);
    out[8] = 0;
}

/* Blank: whom the founder still waits for, or that there is no Founding yet. */
static void why_blank(const struct mk_group *g, char *out, size_t n)
{
    char peer[9];
    size_t at;

    if (g->ahead.epoch > g->roster.epoch) {
        snprintf(out, n, "waits for the founding from any member of the roster of epoch %llu",
                 (unsigned long long)g->ahead.epoch);
        return;
    }
    if (!g->found || g->self != 0) {
        short_hex(&g->roster.peers.v[0], peer);
        snprintf(out, n, "waits for the founding from %s (the founder) or any member", peer);
        return;
    }
    at = (size_t)snprintf(out, n, "waits for all members to link before founding:");
    for (unsigned i = 0; i < g->n_members && at + 24 < n; i++) {
        const struct mk_member *m = g->members[i];

        if (i == g->self || (m->up && !m->founded))
            continue;
        short_hex(&m->peer, peer);
        at += (size_t)snprintf(out + at, n - at, " %s%s", peer,
                               m->refused   ? " (refused)"
                               : m->founded ? " (not blank)"
                                            : "");
    }
}

/* Up, with nothing to vote with. */
static bool is_blank(const struct mk_group *g, const struct mk_member *m)
{
    return g->raft != NULL && m->i != g->self && m->used && m->up && m->raft_id == 0;
}

static void why_no_majority(const struct mk_group *g, char *out, size_t n, unsigned reachable)
{
    unsigned refused = 0, lost = 0, blank = 0, clause = UINT32_MAX;
    const char *detail = "", *other = NULL;

    for (unsigned i = 0; i < g->n_members; i++) {
        const struct mk_member *m = g->members[i];

        if (i != g->self && m->used && m->estranged != 0)
            other = m->detail;
        lost += i != g->self && m->up && has_lost_disk(g, m);
        blank += is_blank(g, m);
        if (i == g->self || !m->refused)
            continue;
        refused++;
        clause = m->clause;
        detail = m->detail;
    }
    if (refused > 0 && clause != UINT32_MAX)
        snprintf(out, n, "no majority: %u member%s refused by clause %u", refused,
                 refused == 1 ? "" : "s", clause);
    else if (refused > 0)
        snprintf(out, n, "no majority: refused by %u member%s (%.120s)", refused,
                 refused == 1 ? "" : "s", detail);
    else if (other != NULL)
        snprintf(out, n, "no majority: %.200s", other);
    else if (lost > 0)
        snprintf(out, n, "no majority: %u member%s lost the disk", lost, lost == 1 ? "" : "s");
    else if (blank > 0)
        snprintf(out, n, "no majority: %u member%s damaged or without a log", blank,
                 blank == 1 ? " is" : "s are");
    else
        snprintf(out, n, "no majority: %u of %u members linked", reachable,
                 (unsigned)g->roster.peers.n);
}

static void why_not(const struct mk_group *g, char out[256])
{
    unsigned reachable = 1;

    out[0] = 0;
    if (g->state == MK_GROUP_FAILED) {
        snprintf(out, 256, "failed: %s", g->failure);
        return;
    }
    if (g->state == MK_GROUP_DAMAGED) {
        snprintf(out, 256, "damaged: %s; it waits for a majority of the others", g->damage);
        return;
    }
    if (g->state == MK_GROUP_LOST_DISK) {
        snprintf(out, 256,
                 "this member has lost its disk: the group has another Raft id for it; it waits "
                 "for replacement");
        return;
    }
    if (g->state == MK_GROUP_OUTSIDE) {
        snprintf(out, 256, "this member is not of the roster of epoch %llu; it has no vote",
                 (unsigned long long)mk_reseat_epoch(g));
        return;
    }
    if (g->state == MK_GROUP_JOINING) {
        snprintf(out, 256, "this member catches up; it has no vote yet");
        return;
    }
    if (g->state == MK_GROUP_BLANK) {
        why_blank(g, out, 256);
        return;
    }
    for (unsigned i = 0; i < g->n_members; i++)
        reachable += g->members[i]->in_roster && i != g->self && g->members[i]->up &&
                     !has_lost_disk(g, g->members[i]) && !is_blank(g, g->members[i]);
    if (reachable < mk_roster_majority(&g->roster))
        why_no_majority(g, out, 256, reachable);
    else if (g->leader == 0)
        snprintf(out, 256, "an election is under way");
}

/* What stands still may stand still for that. */
void mk_group_why(const struct mk_group *g, char out[256])
{
    size_t n;

    why_not(g, out);
    n = strlen(out);
    if (n > 0 && g->disowned[0] != 0 && g->state != MK_GROUP_FAILED)
        snprintf(out + n, 256 - n, "; %s", g->disowned);
}

static unsigned count_refused(const struct mk_group *g)
{
    unsigned n = 0;

    for (unsigned i = 0; i < g->n_members; i++)
        n += i != g->self && g->members[i]->refused;
    return n;
}

void mk_group_glance(const struct mk_group *g, struct mk_group_status *ret)
{
    struct mk_member *leader = mk_member_leader((struct mk_group *)g);

    memset(ret, 0, sizeof *ret);
    ret->state = g->state;
    ret->epoch = g->roster.epoch;
    ret->applied = mk_state_index(g->st);
    ret->time_ms = mk_state_time_ms(g->st);
    ret->forgot = g->n_forgot;
    ret->damages = g->n_damages;
    ret->mended = g->n_mended;
    if (g->damage[0] != 0)
        snprintf(ret->damage, sizeof ret->damage, "%s", g->damage);
    ret->leased = g->n_leased;
    if (g->state == MK_GROUP_FAILED)
        snprintf(ret->why, sizeof ret->why, "failed: %s", g->failure);
    if (g->raft != NULL) {
        ret->term = mk_consensus_term(g->raft);
        ret->vote = mk_consensus_vote(g->raft);
        ret->commit = mk_consensus_commit(g->raft);
        ret->last = mk_consensus_last(g->raft);
        ret->snapshot = mk_consensus_snapshot(g->raft);
    }
    ret->quiet = g->quiet;
    ret->has_leader = g->raft != NULL && g->leader != 0;
    if (leader != NULL)
        ret->leader = leader->peer;
    else if (ret->has_leader)
        ret->leader = *mk_net_self(g->net);
}

void mk_group_status(const struct mk_group *g, struct mk_group_status *ret)
{
    mk_group_glance(g, ret);
    for (unsigned i = 0; i < g->n_members; i++)
        ret->links += i != g->self && g->members[i]->up;
    ret->refused = count_refused(g);
    for (unsigned i = 0; i < mk_state_surfaces(g->st)->n; i++)
        mk_heads_assemble((struct mk_group *)g, i);
    ret->certified_ms = g->certified_ms;
    ret->certificates = g->n_certificates;
    ret->signatures = g->n_signed;
    ret->executed = g->n_executed;
    ret->answered = g->n_answered;
    for (unsigned i = 0; i < mk_state_surfaces(g->st)->n; i++)
        ret->commits += mk_state_surfaces(g->st)->v[i].index;
    ret->readers = mk_serve_readers(g->serve);
    ret->clients = g->n_clients;
    mk_group_why(g, ret->why);
}

void mk_group_serve_stats(const struct mk_group *g, struct mk_serve_stats *ret)
{
    mk_serve_stats(g->serve, ret);
}

static const struct mk_member *member_at(const struct mk_group *g, unsigned i)
{
    for (unsigned k = 0; k < g->n_members; k++)
        if (g->members[k]->used && i-- == 0)
            return g->members[k];
    return NULL;
}

uint16_t mk_group_newest(const struct mk_group *g, unsigned i)
{
    const struct mk_member *m = member_at(g, i);

    if (m == NULL)
        return 0;
    return m->i == g->self ? mk_net_protocols(g->net).newest : m->newest;
}

bool mk_group_estranged(const struct mk_group *g, unsigned i, char ret[MK_REASON_MAX])
{
    const struct mk_member *m = member_at(g, i);

    if (m == NULL || m->estranged == 0)
        return false;
    snprintf(ret, MK_REASON_MAX, "%s", m->detail);
    return true;
}

unsigned mk_group_has_estranged(const struct mk_group *g)
{
    unsigned close = 0;

    for (unsigned i = 0; i < g->n_members; i++)
        if (g->members[i]->used && g->members[i]->estranged != 0)
            close = g->members[i]->estranged;
    return close;
}

const char *mk_group_place(const struct mk_group *g, unsigned i)
{
    const struct mk_member *m = member_at(g, i);
    const struct mk_server *s = NULL;

    if (m == NULL || g->raft == NULL)
        return "none";
    s = mk_configuration_find(mk_consensus_configuration(g->raft),
                              m->i == g->self ? g->raft_id : m->raft_id);
    if (s == NULL)
        s = mk_configuration_find(mk_consensus_configuration(g->raft),
                                  mk_state_seat(g->st, &m->peer));
    if (s == NULL)
        return m->in_roster ? "joining" : "none";
    if (!m->in_roster)
        return "leaving";
    return s->role == MK_SERVER_VOTER ? "voter" : "learner";
}

bool mk_group_member(const struct mk_group *g, unsigned i, struct mk_peer *ret_peer,
                     bool *ret_linked, uint64_t *ret_match, char ret_detail[MK_REASON_MAX])
{
    const struct mk_member *m = member_at(g, i);

    if (m == NULL)
        return false;
    *ret_peer = m->peer;
    *ret_linked = m->i == g->self || m->up;
    *ret_match = 0;
    if (g->raft != NULL && g->role == MK_ROLE_LEADER)
        *ret_match = m->i == g->self ? mk_consensus_stored(g->raft)
                                     : mk_consensus_match(g->raft, m->raft_id);
    snprintf(ret_detail, MK_REASON_MAX, "%s",
             m->up && has_lost_disk(g, m) ? "lost its disk" : m->detail);
    return true;
}

const struct mk_surfaces *mk_group_surfaces(const struct mk_group *g)
{
    return mk_state_surfaces(g->st);
}

struct mk_id mk_group_state_hash(struct mk_group *g)
{
    return mk_state_hash(g->st);
}
