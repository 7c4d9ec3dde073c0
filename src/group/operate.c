/* What operators ask of a group: another roster, another leader.
 *
 * A proposal is judged where it arrives, by the rule of the log (rosters.c), then goes to
 * the leader as an entry; whoever asked sees it done when the roster of that epoch is the
 * present one. The leader also wants every peer that is new to be linked already: a roster
 * whose majority never comes would end the group. Asking twice does no harm: the second
 * is refused by its epoch. */
#include "group/group_int.h"

#include <string.h>

static void short_hex(const struct mk_peer *p, char out[17])
{
    char hex[MK_ID_HEX];

    mk_peer_hex(p, hex);
    memcpy(out, hex, 16);
    out[16] = 0;
}

/* The peer that is new and that cannot be of this group: it knows too little; NULL: none. */
static const struct mk_peer *outdated(const struct mk_group *g, const struct mk_roster *r)
{
    for (size_t i = 0; i < r->peers.n; i++) {
        const struct mk_peer *p = &r->peers.v[i];
        const struct mk_link *l = mk_net_link(g->outer, p);

        if (!mk_roster_has(&g->roster, p) && l != NULL &&
            mk_link_protocols(l).newest < mk_state_level(g->st))
            return p;
    }
    return NULL;
}

/* The peer that is new and that we have no link to; NULL: none. */
static const struct mk_peer *missing(const struct mk_group *g, const struct mk_roster *r)
{
    for (size_t i = 0; i < r->peers.n; i++) {
        const struct mk_peer *p = &r->peers.v[i];

        if (!mk_roster_has(&g->roster, p) && !mk_peer_eq(p, mk_net_self(g->net)) &&
            mk_net_link(g->outer, p) == NULL)
            return p;
    }
    return NULL;
}

static void propose(struct mk_group *g, const struct mk_proposal *p)
{
    struct mk_logged e = {.tag = mk_logged_Propose, .u.propose = *p};
    struct mk_buf b = {0};

    mk_buf_put_u8(&b, MK_ENTRY_MARK);
    mk_encode(&b, &mk_logged_type, &e);
    mk_pending_extra(g, mk_blob_new(b.p, b.n));
    mk_buf_done(&b);
}

int mk_group_propose(struct mk_group *g, const struct mk_proposal *p, struct mk_fault *reterr)
{
    struct mk_member_message msg = {.tag = mk_member_message_Propose, .u.propose = *p};
    struct mk_member *leader = mk_member_leader(g);
    const struct mk_peer *absent;
    char hex[17];
    int rv = mk_proposal_check(g->st, p, reterr);

    if (rv != 0)
        return rv;
    if (!mk_group_leads(g)) {
        if (leader == NULL || !mk_member_send(leader, &msg))
            return mk_fault(reterr, MK_ENOTLEADER, "no leader is known here now");
        return 0;
    }
    if (!mk_group_settled(g))
        return mk_fault(reterr, MK_EREFUSED, "roster: a member is being replaced; ask again");
    absent = missing(g, &p->roster);
    if (absent != NULL) {
        short_hex(absent, hex);
        return mk_fault(reterr, MK_EREFUSED,
                        "roster: %s is new and has no link to the leader; start it first", hex);
    }
    absent = outdated(g, &p->roster);
    if (absent != NULL) {
        short_hex(absent, hex);
        return mk_fault(
            reterr, MK_EREFUSED, "roster: %s knows protocols up to %u, the group works at %u", hex,
            mk_link_protocols(mk_net_link(g->outer, absent)).newest, mk_state_level(g->st));
    }
    propose(g, p);
    return 0;
}

int mk_group_transfer(struct mk_group *g, const struct mk_peer *to)
{
    struct mk_member_message msg = {.tag = mk_member_message_Transfer};
    struct mk_member *leader = mk_member_leader(g);
    uint64_t id = 0;
    int rv;

    if (to != NULL)
        msg.u.transfer = (struct mk_opt_peer){.some = true, .v = *to};
    if (g->raft == NULL || g->state == MK_GROUP_FAILED)
        return MK_ENOTLEADER;
    if (!mk_group_leads(g))
        return leader != NULL && mk_member_send(leader, &msg) ? 0 : MK_ENOTLEADER;
    if (to != NULL && mk_peer_eq(to, mk_net_self(g->net)))
        return 0;
    if (to != NULL) {
        id = mk_state_seat(g->st, to);
        if (id == 0)
            return MK_ENOTFOUND;
    }
    rv = mk_consensus_transfer(g->raft, id, mk_drive_now_ms(g));
    mk_group_wake(g);
    return rv;
}

/* A leader whose disk hangs goes on with its heartbeats: nobody stands against it, and nothing is
 * committed as long as its log does not grow. It cannot know whether the disk comes back, so
 * whoever has all that it sent takes over; with its own vote it could not stand again before it can
 * write. */
#define HUNG_MS 1000u

void mk_operate_turn(struct mk_group *g)
{
    uint64_t since = mk_store_writing_ns(g->store), now = mk_now(g->env);

    if (since == 0 || now < since + HUNG_MS * MK_MS || now < g->yielded_ns + HUNG_MS * MK_MS ||
        g->n_members < 2 || !mk_group_leads(g))
        return;
    g->yielded_ns = now;
    if (mk_consensus_transfer(g->raft, 0, mk_drive_now_ms(g)) == 0)
        mk_group_wake(g);
}

bool mk_group_obeys(const struct mk_group *g, const struct mk_peer *peer)
{
    const struct mk_founding *f = mk_state_founding(g->st);

    return mk_roster_has(&g->roster, peer) ||
           (f != NULL && f->default_operator.some && mk_peer_eq(&f->default_operator.v, peer));
}

const struct mk_roster *mk_group_roster(const struct mk_group *g)
{
    return mk_state_roster(g->st);
}

const struct mk_roster_change *mk_group_change(const struct mk_group *g, uint64_t epoch)
{
    return mk_state_change(g->st, epoch);
}

bool mk_group_settled(const struct mk_group *g)
{
    const struct mk_configuration *c;

    if (g->raft == NULL || mk_state_draft(g->st) != NULL || mk_state_founding(g->st) == NULL ||
        mk_consensus_changing(g->raft) != 0)
        return false;
    c = mk_consensus_configuration(g->raft);
    if (c->n != g->roster.peers.n || mk_configuration_voters(c) != c->n)
        return false;
    for (size_t i = 0; i < g->roster.peers.n; i++)
        if (mk_configuration_find(c, mk_state_seat(g->st, &g->roster.peers.v[i])) == NULL)
            return false;
    return true;
}
