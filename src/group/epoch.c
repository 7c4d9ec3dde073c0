/* Certifying a change of the roster (spec/committees.md, "Rosters in time").
 *
 *   Propose applied --> each member of the old or the new roster signs the change, with the
 *   heads as that entry left them, and sends the signature to all
 *   leader: majorities of both --> the Changed entry --> every member can give it to readers
 *
 * The bytes that are signed follow from the committed log, so signing again after a restart
 * is harmless. Certificates of the new epoch wait for the Changed entry: before it, no
 * reader could verify them. */
#include "group/group_int.h"

#include <string.h>

#define AGAIN_NS (500 * MK_MS)

static bool is_concerned(const struct mk_group *g, const struct mk_peer *peer)
{
    return mk_roster_has(mk_state_roster(g->st), peer) ||
           mk_roster_has(mk_state_roster_before(g->st), peer);
}

static void send_vouch(struct mk_group *g, struct mk_member *to)
{
    const struct mk_member *self = g->members[g->self];
    struct mk_member_message msg = {.tag = mk_member_message_Vouch,
                                    .u.vouch = {self->vouch_epoch, self->vouch}};

    if (to != NULL)
        mk_member_send(to, &msg);
    else
        mk_member_send_all(g, &msg);
}

static void vouch(struct mk_group *g, const struct mk_roster_change *draft)
{
    struct mk_member *self = g->members[g->self];
    struct mk_buf m = {0};

    mk_roster_change_message(&m, draft);
    mk_sign(g->key, mk_buf_bytes(&m), &self->vouch);
    mk_buf_done(&m);
    self->vouch_epoch = draft->roster.epoch;
    self->vouch_checked = true;
    g->vouched = draft->roster.epoch;
    mk_course_epoch(g, MK_COURSE_SIGNED, draft->roster.epoch);
    send_vouch(g, NULL);
}

/* Its signature under this change; one that is not good is forgotten. */
static bool vouches(struct mk_member *m, const struct mk_roster_change *draft)
{
    struct mk_buf b = {0};

    if (!m->used || m->vouch_epoch != draft->roster.epoch)
        return false;
    if (m->vouch_checked)
        return true;
    mk_roster_change_message(&b, draft);
    m->vouch_checked = mk_verify(&m->peer, mk_buf_bytes(&b), &m->vouch) == 0;
    mk_buf_done(&b);
    if (!m->vouch_checked)
        m->vouch_epoch = 0;
    return m->vouch_checked;
}

static struct mk_member *slot_of_peer(struct mk_group *g, const struct mk_peer *p)
{
    for (unsigned i = 0; i < g->n_members; i++)
        if (g->members[i]->used && mk_peer_eq(&g->members[i]->peer, p))
            return g->members[i];
    return NULL;
}

/* Rosters are sorted, so the list is. */
static size_t gather(struct mk_group *g, const struct mk_roster_change *draft,
                     const struct mk_roster *r, struct mk_peer_signature *v)
{
    size_t n = 0;

    for (size_t i = 0; i < r->peers.n; i++) {
        struct mk_member *m = slot_of_peer(g, &r->peers.v[i]);

        if (m != NULL && vouches(m, draft))
            v[n++] = (struct mk_peer_signature){m->peer, m->vouch};
    }
    return n;
}

static void propose(struct mk_group *g, const struct mk_roster_change *c)
{
    struct mk_logged e = {.tag = mk_logged_Changed, .u.changed = *c};
    struct mk_buf b = {0};

    mk_buf_put_u8(&b, MK_ENTRY_MARK);
    mk_encode(&b, &mk_logged_type, &e);
    mk_pending_extra(g, mk_blob_new(b.p, b.n));
    mk_buf_done(&b);
}

static void assemble(struct mk_group *g, const struct mk_roster_change *draft)
{
    const struct mk_roster *old = mk_state_roster_before(g->st);
    struct mk_peer_signature a[MK_ROSTER_MAX], b[MK_ROSTER_MAX];
    struct mk_roster_change c = *draft;

    if (mk_now(g->env) < g->change_ns)
        return;
    c.old = (struct mk_peer_signatures){a, gather(g, draft, old, a)};
    c.new = (struct mk_peer_signatures){b, gather(g, draft, &draft->roster, b)};
    if (c.old.n < mk_roster_majority(old) || c.new.n < mk_roster_majority(&draft->roster))
        return;
    g->change_ns = mk_now(g->env) + AGAIN_NS;
    propose(g, &c);
}

bool mk_epoch_left(struct mk_group *g)
{
    const struct mk_roster *old = mk_state_roster_before(g->st);
    struct mk_peer_signature v[MK_ROSTER_MAX];

    return old != NULL && gather(g, mk_state_draft(g->st), old, v) >= mk_roster_majority(old);
}

void mk_epoch_turn(struct mk_group *g)
{
    const struct mk_roster_change *draft = mk_state_draft(g->st);

    if (draft == NULL)
        return;
    if (g->vouched != draft->roster.epoch && is_concerned(g, mk_net_self(g->net)))
        vouch(g, draft);
    if (mk_group_leads(g))
        assemble(g, draft);
}

void mk_epoch_greet(struct mk_group *g, struct mk_member *m)
{
    if (g->vouched != 0)
        send_vouch(g, m);
}

void mk_epoch_received(struct mk_group *g, struct mk_member *m, const struct mk_change_signature *s)
{
    if (m->vouch_epoch == s->epoch && m->vouch_checked)
        return;
    m->vouch_epoch = s->epoch;
    m->vouch = s->signature;
    m->vouch_checked = false;
    mk_reseat_look(g);
}
