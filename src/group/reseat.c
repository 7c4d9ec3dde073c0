/* Bringing the Raft configuration in line with the seats (spec/committees.md, "Lost disks",
 * "Rosters in time").
 *
 * The log says whose Raft id is whose (rosters.c); the configuration says which ids vote.
 * Where they differ, the leader takes one step at a time, each when every voter that
 * remains has applied the step before:
 *
 *   a peer names another id than its seat's -----> Seat entry (its old id has no link then)
 *   an id without a seat, not linked ------------> removed
 *   a seat's id that is not in the configuration > learner
 *   a learner that holds nearly all of the log --> voter
 *   an id without a seat, linked ----------------> removed, once all seats vote
 *   that is the leader's own --------------------> it hands over to a seat that votes, before
 *             all else: who joins knows the new roster alone; the next leader removes it
 *
 * So a lost disk costs no majority that was there before, and a peer that leaves goes last.
 * The new id is a voter in its own eyes only by the entry that makes it one, and it has
 * every entry before that one: it casts no vote before it has caught up.
 *
 * A member that is behind, or blank, is given the chain of epochs by whoever it links with:
 * it checks it as a reader does, and then links with peers that its own log does not know yet.
 * Where nobody is left whom it knows, lineage.c does the same among strangers.
 *
 * What a member knows of rosters is a fact of its store before it says that it applied it:
 * after a crash of all it must know whom to link with before it knows what is committed.
 *
 * Failure modes: the leader goes between two steps: the next one sees the same difference.
 * The peer loses its disk again meanwhile: a new Seat, and the learner's id has no seat. */
#include "group/group_int.h"

#include <string.h>

#define FACT_ROSTER "roster" /* pc(Roster), the newest that is known */
#define FACT_PEERS "peers"   /* 32 bytes each: whom we had slots for, who leave included */
#define STEP_NS (20 * MK_MS) /* between looks while something is to be done */
#define SEAT_NS (500 * MK_MS)

/* --- what is known, durably ------------------------------------------------------------- */

/* Those of a roster that was applied before the crash get slots: links come first. */
void mk_reseat_open(struct mk_group *g)
{
    struct mk_bytes pc;
    struct mk_reader r;

    if (mk_store_get(g->disk, &pc, FACT_PEERS) == 0) {
        r = (struct mk_reader){pc.p, pc.n, false};
        while (r.n >= sizeof(struct mk_peer)) {
            struct mk_peer peer;
            struct mk_member *m;

            memcpy(peer.b, mk_read_bytes(&r, sizeof peer.b).p, sizeof peer.b);
            m = mk_peers_slot(g, &peer);
            if (m != NULL)
                m->remembered = true;
        }
    }
    if (mk_store_get(g->disk, &pc, FACT_ROSTER) != 0)
        return;
    pc.p = mk_arena_copy(&g->ahead_mem, pc.p, pc.n);
    if (mk_decode(&g->ahead, &mk_roster_type, pc, &g->ahead_mem, NULL) != 0)
        memset(&g->ahead, 0, sizeof g->ahead);
    mk_peers_roster(g);
}

static void store_roster(struct mk_group *g, const struct mk_roster *r, uint64_t *ret_lsn)
{
    struct mk_buf pc = {0};

    mk_encode(&pc, &mk_roster_type, r);
    mk_store_put(g->disk, ret_lsn, FACT_ROSTER, mk_buf_bytes(&pc));
    mk_buf_done(&pc);
}

static void store_peers(struct mk_group *g)
{
    struct mk_buf b = {0};

    for (unsigned i = 0; i < g->n_members; i++)
        if (g->members[i]->used)
            mk_buf_put(&b, g->members[i]->peer.b, sizeof g->members[i]->peer.b);
    mk_store_put(g->disk, NULL, FACT_PEERS, mk_buf_bytes(&b));
    mk_buf_done(&b);
}

/* What a member that is behind does not know. */
static void give_chain(struct mk_group *g, struct mk_member *m)
{
    const struct mk_roster_change *c;

    for (uint64_t e = m->epoch + 1; (c = mk_state_change(g->st, e)) != NULL; e++) {
        struct mk_member_message msg = {.tag = mk_member_message_Changed, .u.changed = *c};

        if (!mk_member_send(m, &msg))
            return;
        m->epoch = e;
    }
}

void mk_reseat_certified(struct mk_group *g)
{
    for (unsigned i = 0; i < g->n_members; i++)
        if (i != g->self && g->members[i]->up)
            give_chain(g, g->members[i]);
    mk_reseat_look(g);
}

const struct mk_roster *mk_reseat_newest(const struct mk_group *g)
{
    return g->ahead.epoch > g->roster.epoch ? &g->ahead : &g->roster;
}

uint64_t mk_reseat_epoch(const struct mk_group *g)
{
    return mk_reseat_newest(g)->epoch;
}

int mk_reseat_learn(struct mk_group *g, const struct mk_roster_change *c, struct mk_fault *reterr)
{
    struct mk_buf pc = {0};
    const void *copy;
    int rv = mk_roster_change_check(c, mk_reseat_newest(g), reterr);

    if (rv != 0)
        return rv;
    if (c->roster.epoch - g->plan.roster.epoch >= MK_READER_EPOCHS_MAX)
        return mk_fault(reterr, MK_ELIMIT, "more than %u epochs", MK_READER_EPOCHS_MAX);
    mk_encode(&pc, &mk_roster_type, &c->roster);
    mk_arena_done(&g->ahead_mem); /* of the one before */
    copy = mk_arena_copy(&g->ahead_mem, pc.p, pc.n);
    rv = mk_decode(&g->ahead, &mk_roster_type, MK_BYTES(copy, pc.n), &g->ahead_mem, NULL);
    MK_ASSERT(rv == 0);
    mk_buf_done(&pc);
    store_roster(g, &g->ahead, NULL);
    mk_course_epoch(g, MK_COURSE_SHOWN, g->ahead.epoch);
    mk_peers_roster(g);
    mk_group_changed(g);
    return 0;
}

void mk_reseat_close(struct mk_group *g)
{
    mk_store_wait_cancel(&g->notable_wait);
    mk_arena_done(&g->ahead_mem);
}

static void say_to(struct mk_group *g, struct mk_member *m)
{
    struct mk_member_message msg = {.tag = mk_member_message_Applied, .u.applied = {g->said}};

    if (m != NULL)
        mk_member_send(m, &msg);
    else
        mk_member_send_all(g, &msg);
}

static void say(struct mk_group *g)
{
    g->said = g->notable;
    say_to(g, NULL);
    mk_reseat_look(g);
}

static void notable_durable(struct mk_store_wait *w, int status)
{
    struct mk_group *g = mk_container_of(w, struct mk_group, notable_wait);

    g->notable_waiting = false;
    if (status != 0)
        mk_group_fail(g, status, "the disk failed");
    else
        say(g);
}

void mk_reseat_say(struct mk_group *g)
{
    g->notable = mk_state_index(g->st);
    if (!g->notable_waiting)
        say(g);
}

void mk_reseat_applied(struct mk_group *g)
{
    uint64_t lsn = 0;

    g->roster = *mk_state_roster(g->st);
    mk_peers_roster(g);
    store_peers(g);
    g->notable = mk_state_index(g->st);
    mk_reseat_certified(g);
    if (g->roster.epoch < g->ahead.epoch) { /* what is stored is newer: it will be applied again */
        mk_reseat_say(g);
        return;
    }
    store_roster(g, &g->roster, &lsn);
    if (g->notable_waiting)
        mk_store_wait_cancel(&g->notable_wait);
    g->notable_waiting = true; /* for the peers, too: one log */
    g->notable_wait.cb = notable_durable;
    mk_store_wait(g->store, &g->notable_wait, lsn);
    mk_group_changed(g);
}

void mk_reseat_greet(struct mk_group *g, struct mk_member *m)
{
    mk_reseat_look(g);
    if (g->raft == NULL)
        return;
    say_to(g, m);
    give_chain(g, m);
}

void mk_reseat_received(struct mk_group *g, struct mk_member *m, uint64_t index)
{
    if (index > m->applied)
        m->applied = index;
    mk_reseat_look(g);
}

/* --- ids and peers -------------------------------------------------------------------------- */

static uint64_t named_id(const struct mk_group *g, const struct mk_member *m)
{
    return m->i == g->self ? g->raft_id : m->up ? m->raft_id : 0;
}

static bool is_seat(const struct mk_group *g, uint64_t id)
{
    for (size_t i = 0; i < g->roster.peers.n; i++)
        if (mk_state_seat(g->st, &g->roster.peers.v[i]) == id)
            return true;
    return false;
}

static bool is_linked(const struct mk_group *g, uint64_t id)
{
    for (unsigned i = 0; i < g->n_members; i++)
        if (g->members[i]->used && named_id(g, g->members[i]) == id)
            return true;
    return false;
}

static bool is_voter(const struct mk_configuration *c, uint64_t id)
{
    const struct mk_server *s = mk_configuration_find(c, id);

    return s != NULL && s->role == MK_SERVER_VOTER;
}

bool mk_reseat_lost_disk(const struct mk_group *g, const struct mk_member *m)
{
    uint64_t seat = mk_state_seat(g->st, &m->peer);

    if (!m->up || m->raft_id == 0 || !m->in_roster || mk_state_founding(g->st) == NULL)
        return false;
    return seat != m->raft_id || !is_voter(mk_consensus_configuration(g->raft), seat);
}

/* --- what we are ------------------------------------------------------------------------------ */

static enum mk_group_state present_state(const struct mk_group *g)
{
    const struct mk_configuration *c = mk_consensus_configuration(g->raft);

    if (g->role == MK_ROLE_LEADER)
        return MK_GROUP_LEADING;
    if (!g->members[g->self]->in_roster ||
        (g->ahead.epoch > g->roster.epoch && !mk_roster_has(&g->ahead, mk_net_self(g->net))))
        return MK_GROUP_OUTSIDE; /* though it may vote until it is removed */
    if (is_voter(c, g->raft_id))
        return MK_GROUP_FOLLOWING;
    if (mk_state_seat(g->st, mk_net_self(g->net)) == g->raft_id)
        return MK_GROUP_JOINING;
    return MK_GROUP_LOST_DISK;
}

static void note_state(struct mk_group *g)
{
    enum mk_group_state s = present_state(g);

    if (g->state == s || g->state == MK_GROUP_FAILED)
        return;
    g->state = s;
    if (g->mending && (s == MK_GROUP_FOLLOWING || s == MK_GROUP_LEADING)) {
        g->mending = false;
        g->n_mended++;
    }
    if (s == MK_GROUP_OUTSIDE) {
        mk_serve_dismiss(g->serve, "this member is not of the roster");
        mk_exec_close(g);
    }
    mk_group_changed(g);
}

/* --- the leader's steps --------------------------------------------------------------------- */

/* An id that will not answer any more: its peer is to leave and is not there, or names another
 * one, so that it has lost the disk behind it. */
static bool is_gone(const struct mk_group *g, uint64_t id)
{
    if (is_linked(g, id))
        return false;
    for (unsigned i = 0; i < g->n_members; i++) {
        const struct mk_member *m = g->members[i];

        if (m->used && mk_state_seat(g->st, &m->peer) == id)
            return m->up && m->raft_id != id;
    }
    return true;
}

/* Every voter of the next configuration that is to remain has applied the last one, the seats
 * and the roster. */
static bool all_applied(const struct mk_group *g, const struct mk_configuration *next)
{
    uint64_t since = mk_state_membership_index(g->st);
    uint64_t change = mk_consensus_changed_at(g->raft);

    if (change > since)
        since = change;
    for (unsigned i = 0; i < next->n; i++) {
        const struct mk_member *m;

        if (next->servers[i].role != MK_SERVER_VOTER)
            continue;
        if (is_gone(g, next->servers[i].id)) {
            mk_consensus_gone(g->raft, next->servers[i].id);
            continue;
        }
        m = mk_member_of_raft((struct mk_group *)g, next->servers[i].id);
        if (next->servers[i].id == g->raft_id ? g->said < since : m == NULL || m->applied < since)
            return false;
    }
    return true;
}

static void change_to(struct mk_group *g, const struct mk_configuration *next)
{
    uint64_t index;

    if (all_applied(g, next))
        mk_consensus_change(g->raft, &index, next, mk_drive_now_ms(g)); /* or later: MK_EFULL */
}

static void remove_id(struct mk_group *g, uint64_t id)
{
    struct mk_configuration next = *mk_consensus_configuration(g->raft);
    unsigned k = 0;

    for (unsigned i = 0; i < next.n; i++)
        if (next.servers[i].id != id)
            next.servers[k++] = next.servers[i];
    next.n = k;
    change_to(g, &next);
}

static void put_id(struct mk_group *g, uint64_t id, enum mk_server_role role)
{
    struct mk_configuration next = *mk_consensus_configuration(g->raft);

    for (unsigned i = 0; i < next.n; i++)
        if (next.servers[i].id == id) {
            next.servers[i].role = role;
            change_to(g, &next);
            return;
        }
    if (next.n == MK_CONSENSUS_SERVERS_MAX)
        return;
    next.servers[next.n++] = (struct mk_server){id, role};
    if (mk_configuration_check(&next) == 0)
        change_to(g, &next);
}

/* An id without a seat that may go; 0: there is none. Whoever leaves stays until the change is
 * certified, since it may be one of the majority that has to sign it; one that is not there
 * goes once the old roster's majority has signed without it. */
static uint64_t stray(struct mk_group *g, bool linked)
{
    const struct mk_configuration *c = mk_consensus_configuration(g->raft);

    if (mk_state_draft(g->st) != NULL && (linked || !mk_epoch_left(g)))
        return 0;
    for (unsigned i = 0; i < c->n; i++) {
        uint64_t id = c->servers[i].id;

        if (id != g->raft_id && !is_seat(g, id) && is_linked(g, id) == linked)
            return id;
    }
    return 0;
}

/* A seat's id that is to be a learner, or to be promoted. Returns whether there is a seat
 * that does not vote. */
static bool seat_step(struct mk_group *g)
{
    const struct mk_configuration *c = mk_consensus_configuration(g->raft);
    bool pending = false;

    for (size_t i = 0; i < g->roster.peers.n; i++) {
        uint64_t id = mk_state_seat(g->st, &g->roster.peers.v[i]);

        if (id == 0 || is_voter(c, id)) {
            pending = pending || id == 0;
            continue;
        }
        pending = true;
        if (!is_linked(g, id))
            continue;
        put_id(g, id, mk_configuration_find(c, id) == NULL ? MK_SERVER_LEARNER : MK_SERVER_VOTER);
        return true;
    }
    return pending;
}

static void propose_seat(struct mk_group *g, const struct mk_member *m)
{
    struct mk_logged e = {.tag = mk_logged_Seat,
                          .u.seat = {m->peer, mk_state_seat(g->st, &m->peer), m->raft_id}};
    struct mk_buf b = {0};

    if (mk_now(g->env) < g->seat_ns + SEAT_NS && g->seat_ns != 0)
        return;
    g->seat_ns = mk_now(g->env);
    mk_buf_put_u8(&b, MK_ENTRY_MARK);
    mk_encode(&b, &mk_logged_type, &e);
    mk_pending_extra(g, mk_blob_new(b.p, b.n));
    mk_buf_done(&b);
}

/* A peer of the roster that names another id than its seat's, while every other seat votes,
 * or has no one yet: one replacement at a time. */
static struct mk_member *unseated(const struct mk_group *g)
{
    const struct mk_configuration *c = mk_consensus_configuration(g->raft);
    struct mk_member *found = NULL;

    for (unsigned i = 0; i < g->n_members; i++) {
        struct mk_member *m = g->members[i];
        uint64_t seat = mk_state_seat(g->st, &m->peer), named = named_id(g, m);

        if (!m->used || !m->in_roster)
            continue;
        if (named != 0 && named != seat && i != g->self)
            found = found == NULL ? m : found;
        else if (seat != 0 && !is_voter(c, seat) && is_linked(g, seat))
            return NULL;
    }
    return found;
}

static bool all_linked(const struct mk_group *g)
{
    for (size_t i = 0; i < g->roster.peers.n; i++)
        if (!is_linked(g, mk_state_seat(g->st, &g->roster.peers.v[i])))
            return false;
    return true;
}

/* We leave and the change is certified: the seat that leads from now on; 0: nobody can yet, or
 * we do not leave. */
static uint64_t successor(const struct mk_group *g)
{
    const struct mk_configuration *c = mk_consensus_configuration(g->raft);
    uint64_t best = 0, best_match = 0;

    if (is_seat(g, g->raft_id) || mk_state_draft(g->st) != NULL)
        return 0;
    for (size_t i = 0; i < g->roster.peers.n; i++) {
        uint64_t id = mk_state_seat(g->st, &g->roster.peers.v[i]);
        uint64_t match = mk_consensus_match(g->raft, id);

        if (!is_voter(c, id) || !is_linked(g, id) || match < best_match)
            continue;
        best = id;
        best_match = match;
    }
    return best;
}

/* Returns whether something remains to be done. */
static bool step(struct mk_group *g)
{
    struct mk_member *m = unseated(g);
    uint64_t id = successor(g);
    bool pending;

    if (id != 0) {
        mk_consensus_transfer(g->raft, id, mk_drive_now_ms(g));
        return true;
    }
    if (m != NULL) {
        propose_seat(g, m);
        return true;
    }
    id = stray(g, /* linked= */ false);
    if (id != 0) {
        remove_id(g, id);
        return true;
    }
    pending = seat_step(g);
    if (pending)
        return true;
    id = stray(g, /* linked= */ true);
    if (id != 0) {
        if (all_linked(g)) /* nobody who can help goes while one of those who stay is away */
            remove_id(g, id);
        return true;
    }
    return false;
}

void mk_reseat_turn(struct mk_group *g)
{
    uint64_t now = mk_now(g->env);
    bool more;

    note_state(g);
    if (now < g->step_ns)
        return;
    if (!mk_group_leads(g))
        more = false;
    else if (!mk_consensus_ready(g->raft) || mk_consensus_changing(g->raft) != 0)
        more = true;
    else
        more = mk_state_founding(g->st) == NULL || step(g);
    g->step_ns = more ? now + STEP_NS : UINT64_MAX;
}

void mk_reseat_look(struct mk_group *g)
{
    g->step_ns = 0;
    mk_group_wake(g);
}

uint64_t mk_reseat_deadline(const struct mk_group *g)
{
    return g->step_ns;
}
