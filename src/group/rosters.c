/* Who is of the committee, decided from the log alone (spec/committees.md, "Lost disks",
 * "Rosters in time").
 *
 *   Seat      a roster peer's Raft id: a new one after a lost disk, the first one of a peer
 *             that a new roster brought in
 *   Propose   the next roster. From this entry on the epoch is the next one; the heads as
 *             it left them, of the old epoch, are the old epoch's last
 *   Changed   the same with the signatures of both majorities: readers follow it. Only then
 *             may another roster be proposed, so at most one change is under way
 *
 * Seats say whose id is whose; which ids vote is the Raft configuration, which the leader
 * brings in line with the seats one step at a time (reseat.c).
 *
 * Who may propose: the operator that the Founding names, or a majority of the present
 * roster; the signature is in the entry, so every replica judges alike. */
#include "group/state_int.h"
#include "collections/certificate.h"

#include <string.h>

#define PROPOSE_TAG "mosaik.roster.propose.v1"

/* --- copies that live as long as the state ------------------------------------------- */

static void roster_copy(struct mk_state *s, struct mk_roster *ret, const struct mk_roster *r)
{
    *ret = *r;
    ret->peers.v = mk_arena_copy(&s->rosters, r->peers.v, r->peers.n * sizeof(struct mk_peer));
}

static int slot_of(const struct mk_roster *r, const struct mk_peer *peer)
{
    for (size_t i = 0; i < r->peers.n; i++)
        if (mk_peer_eq(&r->peers.v[i], peer))
            return (int)i;
    return -1;
}

void mk_rosters_init(struct mk_state *s, const struct mk_roster *first)
{
    roster_copy(s, &s->first, first);
    s->roster = s->first;
}

void mk_rosters_done(struct mk_state *s)
{
    mk_free(s->changes);
    s->changes = NULL;
    s->n_changes = 0;
}

void mk_rosters_reset(struct mk_state *s)
{
    mk_rosters_done(s);
    s->roster = s->first;
    s->changing = false;
    memset(s->seats, 0, sizeof s->seats);
    memset(s->last_ms, 0, sizeof s->last_ms);
    s->membership_index = 0;
}

void mk_rosters_founded(struct mk_state *s)
{
    for (size_t i = 0; i < s->founding.raft_ids.n; i++)
        s->seats[i] = s->founding.raft_ids.v[i];
    s->membership_index = s->index;
}

/* --- seats ----------------------------------------------------------------------------- */

int mk_seat_check(const struct mk_state *s, const struct mk_seat *x)
{
    int slot = slot_of(&s->roster, &x->peer);

    if (!s->founded || slot < 0 || x->raft_id == 0 || s->seats[slot] != x->before)
        return MK_EREFUSED;
    for (size_t i = 0; i < s->roster.peers.n; i++)
        if (s->seats[i] == x->raft_id)
            return MK_EREFUSED;
    return 0;
}

void mk_apply_seat(struct mk_state *s, const struct mk_seat *x, struct mk_applied *ret)
{
    if (mk_seat_check(s, x) != 0) {
        ret->refused = true;
        return;
    }
    s->seats[slot_of(&s->roster, &x->peer)] = x->raft_id;
    s->membership_index = s->index;
    ret->membership = true;
}

/* --- proposals ---------------------------------------------------------------------------- */

void mk_proposal_message(struct mk_buf *out, const struct mk_roster *r)
{
    mk_buf_put_str(out, PROPOSE_TAG);
    mk_encode(out, &mk_roster_type, r);
}

/* By the operator, or by a majority of the roster; distinct signers (the type says so). */
static bool is_authorised(const struct mk_state *s, const struct mk_proposal *p)
{
    const struct mk_opt_peer *operator= & s->founding.default_operator;
    struct mk_buf m = {0};
    bool by_operator = false;
    size_t members = 0;

    mk_proposal_message(&m, &p->roster);
    for (size_t i = 0; i < p->signatures.n; i++) {
        const struct mk_peer_signature *x = &p->signatures.v[i];

        if (mk_verify(&x->peer, mk_buf_bytes(&m), &x->signature) != 0)
            continue;
        by_operator = by_operator || (operator->some && mk_peer_eq(&operator->v, &x->peer));
        members += slot_of(&s->roster, &x->peer) >= 0;
    }
    mk_buf_done(&m);
    return by_operator || members >= mk_roster_majority(&s->roster);
}

int mk_proposal_check(const struct mk_state *s, const struct mk_proposal *p,
                      struct mk_fault *reterr)
{
    struct mk_id previous = mk_roster_id(&s->roster);
    int rv;

    if (!s->founded)
        return mk_fault(reterr, MK_EREFUSED, "roster: the group is not founded yet");
    if (s->n_changes + 2 >= MK_READER_EPOCHS_MAX)
        return mk_fault(reterr, MK_EREFUSED, "roster: no reader follows so many epochs");
    if (s->changing)
        return mk_fault(reterr, MK_EREFUSED,
                        "roster: the change to epoch %llu is not certified yet",
                        (unsigned long long)s->roster.epoch);
    if (!mk_id_eq(&p->roster.deployment, &s->deployment))
        return mk_fault(reterr, MK_EREFUSED, "roster: of another deployment");
    if (p->roster.epoch != s->roster.epoch + 1)
        return mk_fault(reterr, MK_EREFUSED, "roster: of epoch %llu, the next one is %llu",
                        (unsigned long long)p->roster.epoch,
                        (unsigned long long)s->roster.epoch + 1);
    if (!mk_id_eq(&p->roster.previous, &previous))
        return mk_fault(reterr, MK_EREFUSED, "roster: it does not continue the present one");
    rv = mk_validate(&mk_roster_type, &p->roster, reterr);
    if (rv != 0)
        return rv;
    if (p->roster.peers.n == s->roster.peers.n &&
        memcmp(p->roster.peers.v, s->roster.peers.v, p->roster.peers.n * sizeof(struct mk_peer)) ==
            0)
        return mk_fault(reterr, MK_EREFUSED, "roster: it is the present one");
    if (!is_authorised(s, p))
        return mk_fault(reterr, MK_EREFUSED,
                        "roster: signed neither by the operator nor by a majority of the members");
    return 0;
}

static int by_surface(const struct mk_head *a, const struct mk_head *b)
{
    return mk_id_cmp(&a->surface, &b->surface);
}

/* One head a surface, as they stand, sorted. */
static void ending_heads(struct mk_state *s, struct mk_heads *ret)
{
    struct mk_head v[MK_SURFACES_MAX];

    for (unsigned i = 0; i < s->surfaces.n; i++) {
        struct mk_head h;
        unsigned at = i;

        mk_state_head(s, i, &h);
        for (; at > 0 && by_surface(&v[at - 1], &h) > 0; at--)
            v[at] = v[at - 1];
        v[at] = h;
    }
    ret->v = mk_arena_copy(&s->rosters, v, s->surfaces.n * sizeof *v);
    ret->n = s->surfaces.n;
}

/* Who stays keeps his seat and his clock. */
static void move_over(struct mk_state *s, const struct mk_roster *old, const struct mk_roster *new)
{
    uint64_t seats[MK_ROSTER_MAX] = {0}, last_ms[MK_ROSTER_MAX] = {0};

    for (size_t i = 0; i < new->peers.n; i++) {
        int slot = slot_of(old, &new->peers.v[i]);

        if (slot < 0)
            continue;
        seats[i] = s->seats[slot];
        last_ms[i] = s->last_ms[slot];
    }
    memcpy(s->seats, seats, sizeof seats);
    memcpy(s->last_ms, last_ms, sizeof last_ms);
}

void mk_apply_propose(struct mk_state *s, const struct mk_proposal *p, struct mk_applied *ret)
{
    if (mk_proposal_check(s, p, NULL) != 0) {
        ret->refused = true;
        return;
    }
    memset(&s->draft, 0, sizeof s->draft);
    ending_heads(s, &s->draft.heads);
    roster_copy(s, &s->draft.roster, &p->roster);
    s->before = s->roster;
    move_over(s, &s->before, &s->draft.roster);
    s->roster = s->draft.roster;
    s->changing = true;
    s->membership_index = s->index;
    for (unsigned i = 0; i < s->surfaces.n; i++)
        s->surfaces.v[i].head_index = UINT64_MAX; /* every surface gets a head of the new epoch */
    ret->membership = ret->epoch = true;
}

/* --- certified ------------------------------------------------------------------------------- */

/* The same statement, signatures apart? */
static bool same_statement(const struct mk_roster_change *a, const struct mk_roster_change *b)
{
    struct mk_buf x = {0}, y = {0};
    bool same;

    mk_roster_change_message(&x, a);
    mk_roster_change_message(&y, b);
    same = mk_bytes_eq(mk_buf_bytes(&x), mk_buf_bytes(&y));
    mk_buf_done(&x);
    mk_buf_done(&y);
    return same;
}

/* Bytes of a change, decoded into what lives as long as the state. */
static int take_change(struct mk_state *s, struct mk_bytes pc, struct mk_roster_change *ret)
{
    const void *copy = mk_arena_copy(&s->rosters, pc.p, pc.n);

    return mk_decode(ret, &mk_roster_change_type, MK_BYTES(copy, pc.n), &s->rosters, NULL);
}

static void keep_change(struct mk_state *s, const struct mk_roster_change *c)
{
    struct mk_buf pc = {0};
    int rv;

    mk_encode(&pc, &mk_roster_change_type, c);
    s->changes = mk_realloc(s->changes, (s->n_changes + 1) * sizeof *s->changes);
    rv = take_change(s, mk_buf_bytes(&pc), &s->changes[s->n_changes]);
    MK_ASSERT(rv == 0);
    s->n_changes++;
    mk_buf_done(&pc);
}

void mk_apply_changed(struct mk_state *s, const struct mk_roster_change *c, struct mk_applied *ret)
{
    if (!s->changing || !same_statement(c, &s->draft) ||
        mk_roster_change_check(c, &s->before, NULL) != 0) {
        ret->refused = true;
        return;
    }
    keep_change(s, c);
    s->changing = false;
    ret->certified_change = true;
}

const struct mk_roster_change *mk_state_draft(const struct mk_state *s)
{
    return s->changing ? &s->draft : NULL;
}

const struct mk_roster *mk_state_roster_before(const struct mk_state *s)
{
    return s->changing ? &s->before : NULL;
}

const struct mk_roster_change *mk_state_change(const struct mk_state *s, uint64_t epoch)
{
    if (epoch <= s->first.epoch || epoch - s->first.epoch > s->n_changes)
        return NULL;
    return &s->changes[epoch - s->first.epoch - 1];
}

uint64_t mk_state_seat(const struct mk_state *s, const struct mk_peer *peer)
{
    int slot = slot_of(&s->roster, peer);

    return slot < 0 ? 0 : s->seats[slot];
}

uint64_t mk_state_membership_index(const struct mk_state *s)
{
    return s->membership_index;
}

/* --- in snapshots ----------------------------------------------------------------------------- */

static void put_item(struct mk_buf *out, struct mk_bytes b)
{
    mk_buf_put_u64le(out, b.n);
    mk_buf_put(out, b.p, b.n);
}

static struct mk_bytes get_item(struct mk_reader *in)
{
    uint64_t n = mk_read_u64le(in);

    return mk_read_bytes(in, n > in->n ? in->n + 1 : n);
}

void mk_rosters_snapshot(const struct mk_state *s, struct mk_buf *out)
{
    struct mk_buf pc = {0};

    mk_buf_put_u64le(out, s->membership_index);
    mk_buf_put_u64le(out, s->n_changes);
    for (size_t i = 0; i < s->n_changes; i++) {
        mk_buf_clear(&pc);
        mk_encode(&pc, &mk_roster_change_type, &s->changes[i]);
        put_item(out, mk_buf_bytes(&pc));
    }
    mk_buf_clear(&pc);
    if (s->changing)
        mk_encode(&pc, &mk_roster_change_type, &s->draft);
    put_item(out, mk_buf_bytes(&pc));
    mk_buf_done(&pc);
    mk_buf_put_u64le(out, s->roster.peers.n);
    for (size_t i = 0; i < s->roster.peers.n; i++) {
        mk_buf_put_u64le(out, s->seats[i]);
        mk_buf_put_u64le(out, s->last_ms[i]);
    }
}

static int restore_changes(struct mk_state *s, struct mk_reader *in)
{
    uint64_t n = mk_read_u64le(in);

    for (uint64_t i = 0; i < n; i++) {
        struct mk_bytes pc = get_item(in);
        struct mk_roster_change c;

        if (in->failed || take_change(s, pc, &c) != 0 ||
            mk_roster_change_check(&c, &s->roster, NULL) != 0)
            return MK_EMALFORMED;
        keep_change(s, &c);
        s->roster = c.roster;
    }
    return 0;
}

int mk_rosters_restore(struct mk_state *s, struct mk_reader *in)
{
    struct mk_bytes draft;
    uint64_t index;

    mk_rosters_reset(s);
    index = mk_read_u64le(in);
    if (in->failed || restore_changes(s, in) != 0)
        return MK_EMALFORMED;
    draft = get_item(in);
    if (in->failed || (draft.n > 0 && take_change(s, draft, &s->draft) != 0))
        return MK_EMALFORMED;
    if (draft.n > 0) {
        s->before = s->roster;
        s->roster = s->draft.roster;
        s->changing = true;
    }
    if (mk_read_u64le(in) != s->roster.peers.n)
        return MK_EMALFORMED;
    for (size_t i = 0; i < s->roster.peers.n; i++) {
        s->seats[i] = mk_read_u64le(in);
        s->last_ms[i] = mk_read_u64le(in);
    }
    s->membership_index = index;
    return in->failed ? MK_EMALFORMED : 0;
}
