/* Consensus decides, this carries out: the store for what must last, the links for what
 * must be said, in the order that consensus.h asks for.
 *
 *   effects --meta----> store ---------.
 *          \-entries--> store --durable--> mk_consensus_persisted
 *           \-messages: wait only for meta; so a leader's AppendEntries leave while its
 *             own disk still writes
 *
 * Messages that wait for a term or vote to be durable are held here in order. Those to
 * a member that is not up are dropped: consensus repeats what matters. A member is whom it
 * names on the link: a lost disk has a fresh Raft id, which nothing was promised to or
 * by, and which votes only once a configuration lists it.
 *
 * A follower hears of a commit with the next AppendEntries. When the leader has nothing
 * more to send it sends one without entries, 3 ms later, so that signatures and
 * readers on followers do not wait for a heartbeat. */
#include "base/planted.h"
#include "group/group_int.h"

#include <stdio.h>
#include <string.h>

#define RAFT_HELD_MAX (2u << 20) /* bytes waiting for a member above which raft's are dropped */
#define NUDGE_NS (3 * MK_MS)

struct held {
    struct mk_list node;
    uint64_t lsn, raft_id;
    struct mk_member *to;
    size_t n;
    uint8_t p[];
};

struct persist {
    struct mk_store_wait wait;
    struct mk_list node;
    struct mk_group *g;
    uint64_t index, term;
};

uint64_t mk_drive_now_ms(const struct mk_group *g)
{
    return mk_clock(g->env) / MK_MS; /* not the turn's: leases are promises about time */
}

/* Anything but 0 from consensus that is not the message's fault ends this member. */
static void input_done(struct mk_group *g, int rv)
{
    if (rv != 0)
        mk_group_fail(g, rv, "the log and consensus contradict each other");
    else
        mk_group_wake(g);
}

/* --- opening ------------------------------------------------------------------------ */

int mk_drive_open(struct mk_group *g, const struct mk_consensus_start *start,
                  struct mk_fault *reterr)
{
    struct mk_consensus_options o = {
        .id = g->raft_id,
        .election_ms = g->election_ms,
        .heartbeat_ms = g->heartbeat_ms,
        .lease_ms = g->lease_ms,
        .uncured = g->uncured,
    };
    int rv;

    mk_entropy(g->env, &o.seed, sizeof o.seed);
    rv = mk_consensus_open(&g->raft, &o, start, mk_drive_now_ms(g));
    if (rv != 0)
        return mk_fault(reterr, rv, "the stored log cannot be a log");
    g->state = MK_GROUP_FOLLOWING;
    g->caught_up = mk_consensus_last(g->raft);
    mk_overdue_forget(g);
    for (unsigned i = 0; i < g->n_members; i++)
        if (g->members[i]->up)
            mk_drive_link(g, g->members[i], true);
    mk_group_wake(g);
    return 0;
}

struct recovery {
    struct mk_entry *v;
    unsigned n, room;
};

static int recover_entry(void *arg, const struct mk_store_entry *e)
{
    struct recovery *r = arg;

    if (r->n == r->room) {
        r->room = r->room > 0 ? 2 * r->room : 256;
        r->v = mk_realloc(r->v, r->room * sizeof *r->v);
    }
    r->v[r->n++] = (struct mk_entry){e->term, (enum mk_entry_type)e->type,
                                     mk_blob_new(e->bytes.p, e->bytes.n)};
    return 0;
}

int mk_drive_recover(struct mk_group *g, struct mk_fault *reterr)
{
    struct mk_consensus_start start = {0};
    struct mk_snapshot_meta meta;
    struct mk_store_state s;
    struct recovery r = {0};
    int rv;

    mk_store_state(g->disk, &s);
    start.term = s.term;
    start.vote = MK_PLANTED(DOUBLE_VOTE) ? 0 : s.vote;
    if (s.snapshot_index > 0) {
        rv = mk_snapshot_meta_decode(&meta, s.snapshot);
        if (rv != 0)
            return mk_fault(reterr, MK_ECORRUPT, "the snapshot's description is corrupt");
        rv = mk_snap_recover(g, &meta, reterr);
        if (rv != 0)
            return rv;
        start.snapshot = &meta;
    }
    mk_store_each_entry(g->disk, recover_entry, &r);
    mk_store_forget(g->disk);
    start.first_index = s.first_index;
    start.entries = r.v;
    start.n_entries = r.n;
    rv = mk_drive_open(g, &start, reterr);
    for (unsigned i = 0; i < r.n; i++)
        mk_blob_unref(r.v[i].blob);
    mk_free(r.v);
    return rv;
}

void mk_drive_close(struct mk_group *g)
{
    struct mk_list *at;

    mk_candidacy_close(g);
    mk_store_wait_cancel(&g->held_wait);
    while ((at = mk_list_pop(&g->held)) != NULL)
        mk_free(mk_container_of(at, struct held, node));
    while ((at = mk_list_pop(&g->persists)) != NULL) {
        struct persist *p = mk_container_of(at, struct persist, node);

        mk_store_wait_cancel(&p->wait);
        mk_free(p);
    }
    mk_consensus_free(g->raft);
    g->raft = NULL;
    mk_buf_done(&g->scratch);
}

/* --- inputs -------------------------------------------------------------------------------- */

static bool speaks_raft(const struct mk_group *g, const struct mk_member *m)
{
    return g->raft != NULL && m->up && m->raft_id != 0;
}

/* Its vote of before may be forgotten, too, and an entry that it helped to commit: it is not spoken
 * to as it is. */
static void drop_who_forgot(struct mk_group *g, struct mk_member *m)
{
    struct mk_consensus_short s;
    char hex[MK_ID_HEX], detail[MK_REASON_MAX];

    if (!mk_consensus_short(g->raft, &s) || s.id != m->raft_id)
        return;
    snprintf(
        detail, sizeof detail,
        "node %.8s acknowledged entry %llu, and its log ends at entry %llu now: an old copy of "
        "it was put back, or its disk lost what it had synced",
        mk_peer_hex(&m->peer, hex), (unsigned long long)s.had, (unsigned long long)s.has);
    g->n_forgot++;
    mk_member_estranged(m, MK_CLOSE_FORGOT, detail);
    mk_member_drop(m, MK_CLOSE_FORGOT, detail);
}

void mk_drive_received(struct mk_group *g, struct mk_member *m, struct mk_bytes raft)
{
    int rv;

    if (!speaks_raft(g, m))
        return;
    mk_quiet_said(m);
    mk_quiet_heard(g);
    rv = mk_consensus_receive(g->raft, m->raft_id, raft, mk_drive_now_ms(g));
    if (rv == MK_EMALFORMED)
        mk_member_drop(m, MK_CLOSE_MALFORMED, "malformed raft message");
    else
        input_done(g, rv == MK_EPROTOCOL ? 0 : rv);
    drop_who_forgot(g, m);
}

void mk_drive_link(struct mk_group *g, struct mk_member *m, bool up)
{
    if (g->raft == NULL)
        return;
    mk_quiet_heard(g);
    mk_consensus_link(g->raft, m->raft_id, up && speaks_raft(g, m), mk_drive_now_ms(g));
    mk_group_wake(g);
}

static void persist_done(struct mk_store_wait *w, int status)
{
    struct persist *p = mk_container_of(w, struct persist, wait);
    struct mk_group *g = p->g;
    uint64_t index = p->index, term = p->term;

    mk_list_del(&p->node);
    mk_free(p);
    if (status != 0) {
        mk_group_fail(g, status, "the disk failed");
        return;
    }
    g->persisted_ns = mk_now(g->env);
    input_done(g, mk_consensus_persisted(g->raft, index, term, mk_drive_now_ms(g)));
    mk_pending_persisted(g, index);
}

/* --- effects -----------------------------------------------------------------------------------
 */

/* A planted bug: what is in the store already stays as it is there. */
static bool is_stored(struct mk_group *g, uint64_t index)
{
    struct mk_store_state s;

    mk_store_state(g->disk, &s);
    return index <= s.last_index;
}

static void persist_entries(struct mk_group *g, uint64_t from, uint64_t last)
{
    struct persist *p = mk_alloc(sizeof *p);
    uint64_t lsn = 0;

    for (uint64_t i = from; i <= last; i++) {
        const struct mk_entry *e = mk_consensus_entry(g->raft, i);
        struct mk_store_entry s;
        int rv;

        MK_ASSERT(e != NULL);
        s = (struct mk_store_entry){i, e->term, (uint8_t)e->type, MK_BYTES(e->blob->p, e->blob->n)};
        rv =
            MK_PLANTED(LOST_TRUNCATION) && is_stored(g, i) ? 0 : mk_store_append(g->disk, &lsn, &s);
        if (rv != 0) {
            mk_free(p);
            mk_group_fail(g, rv, "the log could not be written");
            return;
        }
        p->index = i;
        p->term = e->term;
    }
    p->g = g;
    p->wait.cb = persist_done;
    mk_list_add_tail(&g->persists, &p->node);
    mk_store_wait(g->store, &p->wait, MK_PLANTED(EARLY_ACK) ? 0 : lsn);
}

static void send_raft(struct mk_group *g, struct mk_member *to, struct mk_bytes message)
{
    uint8_t head[8];
    struct mk_buf h = {.p = head, .cap = sizeof head};
    struct mk_bytes parts[2];

    if (!speaks_raft(g, to) || to->out.held.n - to->out.at > RAFT_HELD_MAX)
        return;
    mk_put_varint(&h, mk_member_message_Raft);
    mk_put_varint(&h, message.n);
    parts[0] = mk_buf_bytes(&h);
    parts[1] = message;
    mk_member_put(to, parts, 2);
}

static void held_durable(struct mk_store_wait *w, int status)
{
    struct mk_group *g = mk_container_of(w, struct mk_group, held_wait);

    g->held_waiting = false;
    if (status != 0) {
        mk_group_fail(g, status, "the disk failed");
        return;
    }
    mk_list_each(at, &g->held)
    {
        struct held *h = mk_container_of(at, struct held, node);

        if (h->lsn > mk_store_durable(g->store)) {
            g->held_waiting = true;
            mk_store_wait(g->store, &g->held_wait, h->lsn);
            return;
        }
        mk_list_del(&h->node);
        if (h->to->raft_id == h->raft_id)
            send_raft(g, h->to, MK_BYTES(h->p, h->n));
        mk_free(h);
    }
}

static void hold(struct mk_group *g, struct mk_member *to, struct mk_bytes message)
{
    struct held *h = mk_alloc(sizeof *h + message.n);

    h->lsn = g->meta_lsn;
    h->to = to;
    h->raft_id = to->raft_id;
    h->n = message.n;
    memcpy(h->p, message.p, message.n);
    mk_list_add_tail(&g->held, &h->node);
    if (g->held_waiting)
        return;
    g->held_waiting = true;
    g->held_wait.cb = held_durable;
    mk_store_wait(g->store, &g->held_wait, h->lsn);
}

static void send_messages(struct mk_group *g, unsigned n)
{
    bool now = mk_store_durable(g->store) >= g->meta_lsn && mk_list_empty(&g->held);

    for (unsigned i = 0; i < n; i++) {
        struct mk_member *to;

        mk_buf_clear(&g->scratch);
        to = mk_member_of_raft(g, mk_consensus_encode(g->raft, i, &g->scratch));
        if (to == NULL)
            continue;
        if (now)
            send_raft(g, to, mk_buf_bytes(&g->scratch));
        else
            hold(g, to, mk_buf_bytes(&g->scratch));
    }
}

static void role_changed(struct mk_group *g)
{
    g->role = mk_consensus_role(g->raft);
    g->leader = mk_consensus_leader(g->raft);
    g->last_term = mk_consensus_term(g->raft);
    if (g->role == MK_ROLE_LEADER || g->state == MK_GROUP_LEADING)
        g->state = g->role == MK_ROLE_LEADER ? MK_GROUP_LEADING : MK_GROUP_FOLLOWING;
    if (g->role == MK_ROLE_LEADER)
        mk_marks_leads(g);
    g->reroute = true;
    mk_query_role_changed(g);
    mk_reseat_look(g);
    mk_group_changed(g);
    mk_group_wake(g);
}

static bool nothing(const struct mk_effects *fx)
{
    return !fx->meta && fx->persist_from == 0 && fx->n_messages == 0 && !fx->role_changed &&
           !fx->commit_changed && fx->fetch == NULL && fx->install == NULL;
}

static void carry_out(struct mk_group *g, const struct mk_effects *fx)
{
    if (fx->meta && mk_store_set_term(g->disk, &g->meta_lsn, fx->term, fx->vote) != 0) {
        mk_group_fail(g, mk_store_status(g->store), "the vote could not be written");
        return;
    }
    if (fx->persist_from > 0)
        persist_entries(g, fx->persist_from, fx->persist_last);
    if (g->state == MK_GROUP_FAILED)
        return;
    send_messages(g, fx->n_messages);
    if (fx->fetch != NULL)
        mk_snap_fetch(g, fx->fetch, fx->fetch_from);
    if (fx->install != NULL)
        mk_snap_install(g, fx->install);
    if (fx->role_changed)
        role_changed(g);
}

static void nudge(struct mk_group *g)
{
    if (g->nudge_ns == 0 || mk_now(g->env) < g->nudge_ns)
        return;
    g->nudge_ns = 0;
    if (g->n_members > 1 && mk_group_leads(g) &&
        mk_consensus_last(g->raft) == mk_consensus_commit(g->raft))
        mk_consensus_tell_commit(g->raft, mk_drive_now_ms(g));
}

void mk_drive_turn(struct mk_group *g)
{
    struct mk_effects fx;

    if (mk_drive_now_ms(g) >= g->deadline_ms && mk_candidacy_may(g)) {
        int rv = mk_consensus_timeout(g->raft, mk_drive_now_ms(g));

        if (rv != 0) {
            input_done(g, rv);
            return;
        }
    }
    nudge(g);
    mk_quiet_ask(g);
    g->drove = false;
    do {
        mk_consensus_effects(g->raft, &fx);
        g->deadline_ms = fx.deadline_ms;
        g->drove = g->drove || fx.persist_from > 0 || fx.n_messages > 0;
        if (fx.persist_from > 0 || fx.commit_changed || fx.role_changed)
            mk_quiet_stir(g);
        carry_out(g, &fx);
        if (g->state == MK_GROUP_FAILED)
            return;
        if (fx.commit > g->commit) {
            g->commit = fx.commit;
            if (mk_group_leads(g))
                g->nudge_ns = mk_now(g->env) + NUDGE_NS;
        }
        mk_query_confirmed(g, fx.reads_done, fx.read_index);
    } while (!nothing(&fx));
    mk_candidacy_turn(g);
    if (g->drove)
        mk_heads_hurry(g);
}
