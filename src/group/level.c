/* The protocol that a group works at (base/protocol.h), and the check that protocol 2 brought.
 *
 * Happy path of an upgrade: members are started anew with the next build one after the other;
 * each says on its links what it knows. The leader, once it is of the new build and is linked to
 * every peer of the roster and they all know the next protocol, proposes a Level; from that entry
 * on the log may hold what came with it. Nothing is switched by hand.
 *
 * Failure modes: a member of the old build that comes afterwards is refused at its hello, on
 * both sides, saying both numbers; one that finds the Level in its own log, or a snapshot of that
 * level, stops and says the same. A member that is away keeps its group at the level it has.
 *
 * A check: every member takes the hash of its whole state at one entry of the log, on demand, since
 * it costs as much as a snapshot but for the surfaces; operators compare what the members
 * say (`coalition committee --check`). */
#include "group/group_int.h"

#include <stdio.h>

#define AGAIN_NS MK_S

static void propose(struct mk_group *g, const struct mk_logged *e)
{
    struct mk_buf b = {0};

    mk_buf_put_u8(&b, 0);
    mk_encode(&b, &mk_logged_type, e);
    mk_pending_extra(g, mk_blob_new(b.p, b.n));
    mk_buf_done(&b);
}

/* Of the roster, or still of the configuration: it is given the log. */
static bool takes_part(const struct mk_group *g, const struct mk_member *m)
{
    const struct mk_configuration *c = mk_consensus_configuration(g->raft);

    return m->used &&
           (m->in_roster || (m->raft_id != 0 && mk_configuration_find(c, m->raft_id) != NULL));
}

/* The first peer that must know the next protocol and, as far as we know, does not. */
static const struct mk_member *behind(const struct mk_group *g, uint16_t next)
{
    if (g->raft == NULL)
        return NULL;
    for (unsigned i = 0; i < g->n_members; i++) {
        const struct mk_member *m = g->members[i];

        if (i != g->self && takes_part(g, m) && (!m->up || m->newest < next))
            return m;
    }
    return NULL;
}

void mk_level_turn(struct mk_group *g)
{
    uint16_t level = mk_state_level(g->st);
    struct mk_logged e = {.tag = mk_logged_Level, .u.level = {(uint16_t)(level + 1)}};
    uint64_t now = mk_now(g->env);

    if (level >= mk_net_protocols(g->net).newest || !mk_group_leads(g) || now < g->level_ns ||
        !mk_consensus_ready(g->raft) || mk_state_founding(g->st) == NULL || behind(g, level + 1))
        return;
    g->level_ns = now + AGAIN_NS;
    propose(g, &e);
}

uint64_t mk_level_deadline(const struct mk_group *g)
{
    uint16_t level = mk_state_level(g->st);

    if (level >= mk_net_protocols(g->net).newest || !mk_group_leads(g) || g->level_ns == 0 ||
        behind(g, level + 1))
        return UINT64_MAX;
    return g->level_ns;
}

unsigned mk_level_judge(const struct mk_member *m, uint16_t theirs, uint16_t newest,
                        char detail[MK_REASON_MAX])
{
    const struct mk_group *g = m->g;
    uint16_t level = mk_state_level(g->st), ours = mk_net_protocols(g->net).newest;
    char us[MK_ID_HEX], them[MK_ID_HEX];

    mk_peer_hex(mk_net_self(g->net), us);
    mk_peer_hex(&m->peer, them);
    if (level > newest) {
        snprintf(detail, MK_REASON_MAX,
                 "the group works at protocol %u; node %.8s knows protocols up to %u", level, them,
                 newest);
        return MK_CLOSE_OTHER_VERSION;
    }
    if (theirs > ours) {
        snprintf(detail, MK_REASON_MAX,
                 "the group works at protocol %u; node %.8s knows protocols up to %u", theirs, us,
                 ours);
        return MK_CLOSE_OTHER_VERSION;
    }
    return 0;
}

void mk_level_beyond(struct mk_group *g, uint16_t level)
{
    char text[120];

    snprintf(text, sizeof text,
             "the group works at protocol %u; this build knows protocols up to %u", level,
             mk_net_protocols(g->net).newest);
    mk_group_fail(g, MK_ENOTSUP, text);
}

/* --- checks -------------------------------------------------------------------------------- */

void mk_level_checked(struct mk_group *g, uint64_t index, uint64_t nonce)
{
    g->check = (struct mk_group_check){index, nonce, mk_state_hash(g->st)};
    mk_group_changed(g);
}

int mk_group_check(struct mk_group *g, uint64_t nonce, struct mk_fault *reterr)
{
    struct mk_member_message msg = {.tag = mk_member_message_Check, .u.check = {nonce}};
    struct mk_logged e = {.tag = mk_logged_Check, .u.check = {nonce}};
    struct mk_member *leader = mk_member_leader(g);
    const struct mk_member *late;
    char hex[MK_ID_HEX];

    if (mk_state_level(g->st) < MK_PROTOCOL_CHECK) {
        late = behind(g, MK_PROTOCOL_CHECK);
        return mk_fault(reterr, MK_ENOTSUP,
                        "the group works at protocol %u, checks came with %u%s%.8s%s",
                        mk_state_level(g->st), MK_PROTOCOL_CHECK, late != NULL ? "; node " : "",
                        late != NULL ? mk_peer_hex(&late->peer, hex) : "",
                        late == NULL ? ""
                        : late->up   ? " does not know that yet"
                                     : " is away");
    }
    if (mk_group_leads(g))
        propose(g, &e);
    else if (leader == NULL || leader->newest < MK_PROTOCOL_CHECK || !mk_member_send(leader, &msg))
        return mk_fault(reterr, MK_ENOTLEADER, "no leader is known here now");
    return 0;
}

bool mk_group_checked(const struct mk_group *g, struct mk_group_check *ret)
{
    *ret = g->check;
    return g->check.index != 0;
}

uint16_t mk_group_level(const struct mk_group *g)
{
    return mk_state_level(g->st);
}
