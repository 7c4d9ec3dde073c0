/* Conversations "group" between members.
 *
 * Happy path: a link to a roster peer comes up; the lesser peer opens the conversation
 * with its hello; the greater judges it and answers with its own; the lesser judges
 * that; both are up. Each side judges for itself (the gate, scope committee), again
 * when the admission expires.
 *
 * A hello can come again later: a member that was blank says so when it is founded.
 *
 * Failure modes: a refusal (by a clause, another deployment, another machine) is kept
 * with its text for the status, and tried again every 2 s at most while the link lives. A
 * member whose messages pile up is dropped and greeted anew: consensus repeats what
 * was lost, commands find their way anew. */
#include "group/beat.h"
#include "group/group_int.h"
#include "group/written.h"

#include <stdio.h>
#include <string.h>

#define LATE_NS (2 * MK_MS)  /* what may wait for another message waits so long at most */
#define LATE_MAX (64u << 10) /* and is no more than that */

/* --- judging ----------------------------------------------------------------------- */

static void keep_tickets(struct mk_member *m, const struct mk_wire_tickets *t)
{
    mk_arena_done(&m->tickets_mem);
    memset(&m->tickets_mem, 0, sizeof m->tickets_mem);
    m->tickets = mk_arena_take(&m->tickets_mem, (t->n + 1) * sizeof *m->tickets);
    m->n_tickets = t->n;
    for (size_t i = 0; i < t->n; i++)
        m->tickets[i] = MK_BYTES(mk_arena_copy(&m->tickets_mem, t->v[i].p, t->v[i].n), t->v[i].n);
}

/* 0, or the close code that refuses it. */
static unsigned judge(struct mk_member *m)
{
    struct mk_group *g = m->g;
    struct mk_bearer b = {.peer = m->peer, .tickets = m->tickets, .n_tickets = m->n_tickets};
    struct mk_verdict v;

    m->rejudge = false;
    mk_group_judge(g, &v, &b, MK_SCOPE_COMMITTEE);
    m->expires_ms = v.expires_ms;
    m->refused = !v.admitted && !v.pending;
    if (v.admitted)
        return 0;
    m->clause = v.clause;
    snprintf(m->detail, sizeof m->detail, "%s", v.reason);
    return v.pending ? MK_CLOSE_NOT_READY : MK_CLOSE_REFUSED;
}

/* 0, or the close code that refuses it. */
static unsigned check_hello(struct mk_member *m, const struct mk_member_hello *h, uint16_t newest,
                            char detail[MK_REASON_MAX])
{
    struct mk_group *g = m->g;
    const struct mk_machine_ops *own = mk_state_machine(g->st)->ops;
    char ours[MK_MACHINE_TEXT], theirs[MK_MACHINE_TEXT], us[MK_ID_HEX], them[MK_ID_HEX];
    unsigned close;

    if (!mk_id_eq(&h->machine, &g->machine_id)) {
        snprintf(detail, MK_REASON_MAX, "node %.8s runs machine %s, node %.8s %s",
                 mk_peer_hex(mk_net_self(g->net), us),
                 mk_machine_text(ours, mk_str_of(own->name), own->version, &g->machine_id),
                 mk_peer_hex(&m->peer, them),
                 mk_machine_text(theirs, h->machine_name, h->machine_version, &h->machine));
        close = MK_CLOSE_OTHER_VERSION;
    } else {
        close = mk_level_judge(m, h->level, newest, detail);
    }
    if (close != 0) {
        mk_member_estranged(m, close, detail);
        return close;
    }
    keep_tickets(m, &h->tickets);
    close = judge(m);
    if (close != 0)
        snprintf(detail, MK_REASON_MAX, "%s", m->detail);
    return close;
}

/* --- up and down ---------------------------------------------------------------------- */

static void take_hello(struct mk_member *m, const struct mk_member_hello *h)
{
    struct mk_group *g = m->g;

    if (m->raft_id != h->raft_id) { /* another disk than before */
        if (m->raft_id != 0 && g->raft != NULL)
            mk_consensus_link(g->raft, m->raft_id, false, mk_drive_now_ms(g));
        m->applied = 0;
    }
    m->newest = mk_link_protocols(m->conv->link).newest;
    m->founded = h->founded;
    m->epoch = h->epoch;
    m->raft_id = h->raft_id;
    m->highest_signed = h->highest_signed;
    m->reported = true;
}

static void member_up(struct mk_member *m)
{
    struct mk_group *g = m->g;

    m->up = true;
    m->turned_away = false;
    m->given = false;
    m->retry_ms = 0;
    m->estranged = 0;
    m->detail[0] = 0;
    if (g->hub != NULL)
        mk_beats_meet(g->hub, &m->peer);
    mk_drive_link(g, m, true);
    mk_heads_greet(g, m);
    mk_reseat_greet(g, m);
    mk_epoch_greet(g, m);
    g->reroute = true;
    mk_group_changed(g);
    mk_group_wake(g);
}

/* 50 ms, doubling: a member that only starts is there soon, one that refuses is not asked
 * all the time. */
static void retry_later(struct mk_member *m)
{
    m->retry_ms = m->retry_ms == 0 ? 50 : m->retry_ms * 2;
    if (m->retry_ms > MK_REFUSED_RETRY_MS)
        m->retry_ms = MK_REFUSED_RETRY_MS;
    m->retry_ns = mk_now(m->g->env) + m->retry_ms * MK_MS;
}

static void member_down(struct mk_member *m)
{
    struct mk_group *g = m->g;
    bool was_up = m->up;

    m->up = false;
    m->conv = NULL;
    mk_outbox_done(&m->out);
    mk_buf_done(&m->late);
    m->late_ns = 0;
    retry_later(m);
    if (was_up) {
        mk_reseat_look(g);
        mk_drive_link(g, m, false);
        mk_snap_link_lost(g, m);
        mk_query_forget(g, NULL, m);
        mk_waiters_forget(g, &m->waiters);
        g->reroute = true;
        mk_group_changed(g);
    }
    mk_group_wake(g);
}

void mk_member_drop(struct mk_member *m, unsigned close, const char *detail)
{
    struct mk_conv *c = m->conv;

    if (c == NULL)
        return;
    if (detail != m->detail)
        snprintf(m->detail, sizeof m->detail, "%.255s", detail);
    member_down(m);
    mk_conv_close(c, close, detail);
}

void mk_member_estranged(struct mk_member *m, unsigned close, const char *detail)
{
    snprintf(m->detail, sizeof m->detail, "%s: %.200s", mk_close_text(close), detail);
    m->estranged = close;
    mk_group_changed(m->g);
}

/* --- messages ------------------------------------------------------------------------- */

static void greet_again(struct mk_member *m, const struct mk_member_hello *h)
{
    char detail[MK_REASON_MAX] = "";
    unsigned close;

    if (m->up) { /* news of a member that is up: it was founded since */
        take_hello(m, h);
        mk_reseat_look(m->g);
        mk_drive_link(m->g, m, true);
        mk_group_wake(m->g);
        return;
    }
    close = check_hello(m, h, mk_link_protocols(m->conv->link).newest, detail);
    if (close != 0) {
        mk_member_drop(m, close, detail);
        return;
    }
    take_hello(m, h);
    member_up(m);
}

static void forwarded_in(struct mk_member *m, const struct mk_forward *f)
{
    struct mk_group *g = m->g;
    struct mk_waiter *w;

    if (f->query != 0) {
        mk_query_start(g, NULL, m, f->id, mk_read_of(f->query), f->execute.command);
        return;
    }
    w = mk_waiter_new(MK_WAITER_MEMBER, f->id, false);
    w->member = m;
    mk_list_add_tail(&m->waiters, &w->owner);
    if (mk_pending_add(g, &f->execute.sender, f->execute.session, f->execute.number,
                       f->execute.command, w) != 0)
        mk_waiter_free(w); /* the sender tries again: its own clock tells it to */
}

static void answer_in(struct mk_member *m, const struct mk_forwarded *f)
{
    mk_pending_forwarded(m->g, m, f->id, &f->outcome);
    mk_query_forwarded(m->g, f->id, &f->outcome);
    mk_mend_answered(m->g, f->id, &f->outcome);
}

static void dispatch(struct mk_member *m, const struct mk_member_message *msg)
{
    struct mk_group *g = m->g;

    switch ((enum mk_member_message_tag)msg->tag) {
    case mk_member_message_Hello:
        greet_again(m, &msg->u.hello);
        break;
    case mk_member_message_Founding:
        mk_found_received(g, m, &msg->u.founding);
        break;
    case mk_member_message_Raft:
        mk_drive_received(g, m, msg->u.raft);
        break;
    case mk_member_message_Signatures:
        mk_heads_received(g, m, &msg->u.signatures);
        break;
    case mk_member_message_SnapOffer:
        break; /* the handle of a snapshot travels in its raft message */
    case mk_member_message_SnapWant:
        mk_snap_wanted(g, m, &msg->u.snap_want);
        break;
    case mk_member_message_SnapChunk:
        mk_snap_chunk_received(g, m, &msg->u.snap_chunk);
        break;
    case mk_member_message_Forward:
        forwarded_in(m, &msg->u.forward);
        break;
    case mk_member_message_Forwarded:
        answer_in(m, &msg->u.forwarded);
        break;
    case mk_member_message_Advance:
        mk_time_received(g, m, &msg->u.advance);
        break;
    case mk_member_message_Applied:
        mk_reseat_received(g, m, msg->u.applied.index);
        break;
    case mk_member_message_Vouch:
        mk_epoch_received(g, m, &msg->u.vouch);
        break;
    case mk_member_message_Changed:
        mk_reseat_learn(g, &msg->u.changed, NULL); /* or known already, or not the next one */
        break;
    case mk_member_message_Propose:
        mk_group_propose(g, &msg->u.propose, NULL); /* who asked sees what becomes of it */
        break;
    case mk_member_message_Check:
        if (mk_group_leads(g))
            mk_group_check(g, msg->u.check.nonce, NULL); /* who asked sees what becomes of it */
        break;
    case mk_member_message_Transfer:
        if (mk_group_leads(g))
            mk_group_transfer(g, msg->u.transfer.some ? &msg->u.transfer.v : NULL);
        break;
    }
}

static void conv_message(struct mk_conv *c, struct mk_bytes bytes)
{
    struct mk_member *m = c->owner;
    struct mk_arena arena = {0};
    struct mk_member_message msg;
    struct mk_fault f = {{0}};
    size_t n = bytes.n;

    if (mk_decode(&msg, &mk_member_message_type, bytes, &arena, &f) != 0)
        mk_member_drop(m, MK_CLOSE_MALFORMED, f.text);
    else if (!m->up && msg.tag != mk_member_message_Hello)
        mk_member_drop(m, MK_CLOSE_MALFORMED, "a message before the hello");
    else
        dispatch(m, &msg);
    mk_arena_done(&arena);
    if (m->conv == c)
        mk_conv_consumed(c, n);
}

static void conv_writable(struct mk_conv *c)
{
    struct mk_member *m = c->owner;

    mk_outbox_flush(&m->out);
}

static void conv_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct mk_member *m = c->owner;

    if (m->conv != c)
        return;
    m->refused = close == MK_CLOSE_REFUSED || close == MK_CLOSE_EXPIRED;
    m->turned_away = close == MK_CLOSE_REFUSED;
    if (m->refused)
        m->clause = UINT32_MAX; /* theirs to name: it is in the text */
    snprintf(m->detail, sizeof m->detail, "%s%s%.200s", mk_close_text(close),
             detail != NULL && detail[0] != 0 ? ": " : "", detail != NULL ? detail : "");
    if (close == MK_CLOSE_OTHER_VERSION && detail != NULL)
        mk_member_estranged(m, close, detail);
    if (close == MK_CLOSE_FORGOT && detail != NULL)
        mk_mend_forgot(m, detail);
    member_down(m);
}

static const struct mk_conv_cbs conv_cbs = {
    .message = conv_message,
    .writable = conv_writable,
    .closed = conv_closed,
};

/* Its Raft id is durable, or it has none to say. */
static bool speaks(const struct mk_group *g)
{
    return g->named || g->state == MK_GROUP_DAMAGED;
}

static void fill_hello(struct mk_group *g, struct mk_member_message *ret)
{
    ret->tag = mk_member_message_Hello;
    ret->u.hello = (struct mk_member_hello){
        .deployment = g->deployment,
        .machine = g->machine_id,
        .machine_name = mk_str_of(mk_state_machine(g->st)->ops->name),
        .machine_version = mk_state_machine(g->st)->ops->version,
        .level = mk_state_level(g->st),
        .raft_id = g->raft_id,
        .founded = g->raft != NULL,
        .epoch = mk_reseat_epoch(g),
        .highest_signed = g->highest_signed > g->caught_up ? g->highest_signed : g->caught_up,
        .tickets = {g->wallet->v, g->wallet->n},
    };
}

static void send_hello(struct mk_member *m)
{
    struct mk_member_message msg;

    fill_hello(m->g, &msg);
    mk_member_send(m, &msg);
}

unsigned mk_peers_accept(struct mk_group *g, struct mk_conv *c, const struct mk_member_hello *h,
                         char detail[MK_REASON_MAX])
{
    struct mk_member *m = mk_member_of_peer(g, mk_link_peer(c->link));
    unsigned close;

    if (m == NULL) {
        snprintf(detail, MK_REASON_MAX, "not a peer of the roster of epoch %llu",
                 (unsigned long long)mk_reseat_epoch(g));
        return MK_CLOSE_REFUSED;
    }
    if (g->state == MK_GROUP_FAILED || !speaks(g)) {
        snprintf(detail, MK_REASON_MAX, "this member %s", g->named ? "has failed" : "only starts");
        return MK_CLOSE_NOT_READY;
    }
    close = check_hello(m, h, mk_link_protocols(c->link).newest, detail);
    if (close != 0)
        return close;
    mk_member_drop(m, MK_CLOSE_DUPLICATE, "greeted anew");
    m->conv = m->out.conv = c;
    c->cbs = &conv_cbs;
    c->owner = m;
    m->up = true; /* so that the hello goes out first */
    send_hello(m);
    take_hello(m, h);
    member_up(m);
    return 0;
}

static void member_open(struct mk_member *m, struct mk_link *l)
{
    struct mk_group *g = m->g;
    struct mk_member_message msg;
    struct mk_buf first = {0};

    fill_hello(g, &msg);
    mk_encode(&first, &mk_member_message_type, &msg);
    retry_later(m);
    if (mk_conv_open(l, &m->conv, "group", mk_buf_bytes(&first), &conv_cbs, m) != 0)
        m->conv = NULL;
    m->out.conv = m->conv;
    mk_buf_done(&first);
}

/* --- sending --------------------------------------------------------------------------- */

static void put_now(struct mk_member *m, const struct mk_bytes *parts, size_t n)
{
    if (mk_outbox_put(&m->out, parts, n))
        return;
    m->slow = true;
    mk_group_wake(m->g);
}

static void put_late(struct mk_member *m)
{
    struct mk_reader r = {m->late.p, m->late.n, false};

    while (r.n > 0) {
        uint32_t n = mk_read_u32le(&r);
        struct mk_bytes whole = mk_read_bytes(&r, n);

        put_now(m, &whole, 1);
    }
    mk_buf_clear(&m->late);
    m->late_ns = 0;
}

void mk_member_put(struct mk_member *m, const struct mk_bytes *parts, size_t n)
{
    if (!m->up)
        return;
    put_now(m, parts, n);
    put_late(m);
}

void mk_member_send_late(struct mk_member *m, const struct mk_member_message *msg)
{
    struct mk_buf b = {0};

    if (!m->up)
        return;
    mk_encode(&b, &mk_member_message_type, msg);
    mk_buf_put_u32le(&m->late, (uint32_t)b.n);
    mk_buf_put(&m->late, b.p, b.n);
    mk_buf_done(&b);
    if (m->late_ns == 0)
        m->late_ns = mk_now(m->g->env) + LATE_NS;
    if (m->late.n > LATE_MAX)
        put_late(m);
    else
        mk_group_wake(m->g); /* for its deadline */
}

bool mk_member_send(struct mk_member *m, const struct mk_member_message *msg)
{
    struct mk_buf b = {0};
    struct mk_bytes whole;

    if (!m->up)
        return false;
    mk_encode(&b, &mk_member_message_type, msg);
    whole = mk_buf_bytes(&b);
    mk_member_put(m, &whole, 1);
    mk_buf_done(&b);
    return true;
}

void mk_member_send_all(struct mk_group *g, const struct mk_member_message *msg)
{
    for (unsigned i = 0; i < g->n_members; i++)
        if (i != g->self)
            mk_member_send(g->members[i], msg);
}

/* --- finding ----------------------------------------------------------------------------- */

struct mk_member *mk_member_of_peer(struct mk_group *g, const struct mk_peer *peer)
{
    for (unsigned i = 0; i < g->n_members; i++)
        if (i != g->self && g->members[i]->used && mk_peer_eq(&g->members[i]->peer, peer))
            return g->members[i];
    return NULL;
}

struct mk_member *mk_member_of_raft(struct mk_group *g, uint64_t raft_id)
{
    for (unsigned i = 0; i < g->n_members && raft_id != 0; i++)
        if (i != g->self && g->members[i]->used && g->members[i]->raft_id == raft_id)
            return g->members[i];
    return NULL;
}

struct mk_member *mk_member_leader(struct mk_group *g)
{
    return g->raft == NULL || g->leader == 0 ? NULL : mk_member_of_raft(g, g->leader);
}

/* --- the turn ------------------------------------------------------------------------------- */

static bool has_expired(const struct mk_member *m)
{
    return m->expires_ms != UINT64_MAX && m->expires_ms <= mk_wall_ms(m->g->env);
}

static void member_turn(struct mk_group *g, struct mk_member *m)
{
    struct mk_link *l;

    if (m->slow) {
        m->slow = false;
        mk_member_drop(m, MK_CLOSE_SLOW, "its messages pile up");
        return;
    }
    if (m->lied) {
        m->lied = false;
        mk_member_drop(m, MK_CLOSE_CONFLICT, m->detail);
        return;
    }
    if (m->late_ns != 0 && m->late_ns <= mk_now(g->env))
        put_late(m);
    if (m->up && (m->rejudge || has_expired(m)) && judge(m) != 0) {
        mk_member_drop(m, MK_CLOSE_EXPIRED, m->detail);
        return;
    }
    mk_lineage_offer(m);
    if (m->conv != NULL || !m->used || !speaks(g) || mk_peer_cmp(mk_net_self(g->net), &m->peer) > 0)
        return;
    if (m->retry_ns > mk_now(g->env) || g->state == MK_GROUP_FAILED)
        return;
    l = mk_net_link(g->net, &m->peer);
    if (l != NULL && mk_gate_prepare(&g->gate, &m->peer, MK_SCOPE_COMMITTEE))
        member_open(m, l);
}

void mk_peers_turn(struct mk_group *g)
{
    for (unsigned i = 0; i < g->n_members; i++)
        if (i != g->self)
            member_turn(g, g->members[i]);
}

void mk_peers_rejudge(struct mk_group *g)
{
    for (unsigned i = 0; i < g->n_members; i++)
        g->members[i]->rejudge = true;
}

void mk_peers_retake(struct mk_group *g, const struct mk_peer *peer,
                     const struct mk_wire_tickets *tickets)
{
    struct mk_member *m = mk_member_of_peer(g, peer);

    if (m == NULL)
        return;
    keep_tickets(m, tickets);
    m->rejudge = true;
}

void mk_peers_link_changed(struct mk_group *g, const struct mk_peer *peer)
{
    struct mk_member *m = mk_member_of_peer(g, peer);

    if (m == NULL)
        return;
    m->retry_ns = 0;
    mk_lineage_link(m);
    mk_group_wake(g);
}

static uint64_t left_ms(const struct mk_group *g, uint64_t expires_ms)
{
    uint64_t wall = mk_wall_ms(g->env);

    return expires_ms > wall ? expires_ms - wall : 0;
}

uint64_t mk_peers_deadline(const struct mk_group *g)
{
    uint64_t at = UINT64_MAX;

    for (unsigned i = 0; i < g->n_members; i++) {
        const struct mk_member *m = g->members[i];
        uint64_t t = UINT64_MAX;

        if (i == g->self || !m->used)
            continue;
        if (m->up && m->expires_ms != UINT64_MAX)
            t = mk_now(g->env) + left_ms(g, m->expires_ms) * MK_MS;
        else if (m->conv == NULL && mk_net_link(g->net, &m->peer) != NULL &&
                 mk_peer_cmp(mk_net_self(g->net), &m->peer) < 0 && speaks(g))
            t = m->retry_ns;
        at = t < at ? t : at;
        t = mk_lineage_due(m);
        at = t < at ? t : at;
        if (m->late_ns != 0 && m->late_ns < at)
            at = m->late_ns;
    }
    return at;
}

/* --- slots --------------------------------------------------------------------------------- */

static struct mk_member *slot_take(struct mk_group *g)
{
    struct mk_member *m;

    for (unsigned i = 0; i < g->n_members; i++)
        if (!g->members[i]->used)
            return g->members[i];
    if (g->n_members == MK_MEMBERS_MAX)
        return NULL;
    m = mk_alloc(sizeof *m);
    m->g = g;
    m->i = g->n_members;
    mk_list_init(&m->waiters);
    g->members[g->n_members++] = m;
    mk_heads_members(g, m->i);
    return m;
}

struct mk_member *mk_peers_slot(struct mk_group *g, const struct mk_peer *peer)
{
    struct mk_member *m;

    for (unsigned i = 0; i < g->n_members; i++)
        if (g->members[i]->used && mk_peer_eq(&g->members[i]->peer, peer))
            return g->members[i];
    m = slot_take(g);
    if (m == NULL)
        return NULL;
    m->used = true;
    m->peer = *peer;
    m->expires_ms = UINT64_MAX;
    m->retry_ns = 0;
    return m;
}

/* It left, and its Raft id too. The slot waits for another peer, in its next turn. */
static void slot_free(struct mk_member *m)
{
    struct mk_group *g = m->g;

    snprintf(m->detail, sizeof m->detail, "not a peer of the roster of epoch %llu",
             (unsigned long long)g->roster.epoch);
    mk_member_drop(m, MK_CLOSE_REFUSED, m->detail);
    mk_heads_slot_free(g, m->i);
    mk_snap_give_stop(m);
    m->used = m->remembered = m->refused = m->founded = m->reported = false;
    m->turned_away = m->shown = false;
    m->raft_id = m->applied = m->vouch_epoch = 0;
    m->detail[0] = 0;
}

static bool is_ahead(const struct mk_group *g, const struct mk_member *m)
{
    return g->ahead.epoch > g->roster.epoch && mk_roster_has(&g->ahead, &m->peer);
}

/* It leaves, and may have to sign that. */
static bool is_leaving(const struct mk_group *g, const struct mk_member *m)
{
    const struct mk_roster *before = mk_state_roster_before(g->st);

    return before != NULL && mk_roster_has(before, &m->peer);
}

/* A server of the configuration that is nobody's as far as we know: it may be that of any peer
 * that we had a slot for once. */
static bool is_unaccounted(const struct mk_group *g)
{
    const struct mk_configuration *c = g->raft == NULL ? NULL : mk_consensus_configuration(g->raft);
    bool known = true;

    if (c == NULL)
        return true;
    for (unsigned k = 0; k < c->n && known; k++) {
        known = c->servers[k].id == g->raft_id;
        for (unsigned i = 0; i < g->n_members && !known; i++)
            known = g->members[i]->used &&
                    (g->members[i]->raft_id == c->servers[k].id ||
                     mk_state_seat(g->st, &g->members[i]->peer) == c->servers[k].id);
    }
    return !known;
}

static bool in_configuration(const struct mk_group *g, const struct mk_member *m)
{
    return g->raft != NULL && m->raft_id != 0 &&
           mk_configuration_find(mk_consensus_configuration(g->raft), m->raft_id) != NULL;
}

void mk_peers_roster(struct mk_group *g)
{
    bool unaccounted = is_unaccounted(g);

    for (unsigned i = 0; i < g->n_members; i++) {
        struct mk_member *m = g->members[i];

        m->in_roster = m->used && mk_roster_has(&g->roster, &m->peer);
        if (m->remembered && unaccounted)
            continue;
        if (m->used && !m->in_roster && i != g->self && !in_configuration(g, m) &&
            !is_ahead(g, m) && !is_leaving(g, m))
            slot_free(m);
    }
    for (size_t i = 0; i < g->ahead.peers.n && g->ahead.epoch > g->roster.epoch; i++)
        mk_peers_slot(g, &g->ahead.peers.v[i]);
    for (size_t i = 0; i < g->roster.peers.n; i++) {
        struct mk_member *m = mk_peers_slot(g, &g->roster.peers.v[i]);

        if (m != NULL)
            m->in_roster = true;
    }
}

void mk_peers_open(struct mk_group *g)
{
    mk_peers_roster(g);
    g->self = mk_peers_slot(g, mk_net_self(g->net))->i;
}

void mk_peers_close(struct mk_group *g)
{
    for (unsigned i = 0; i < g->n_members; i++) {
        struct mk_member *m = g->members[i];
        struct mk_conv *c = m->conv;

        m->up = false;
        m->conv = NULL;
        if (c != NULL)
            mk_conv_close(c, MK_CLOSE_SHUTDOWN, "");
        mk_outbox_done(&m->out);
        mk_buf_done(&m->late);
        mk_snap_give_stop(m);
        mk_arena_done(&m->tickets_mem);
    }
}
