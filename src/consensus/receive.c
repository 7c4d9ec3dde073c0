/* receive.c - a message from another member: decoded, judged, fed to the core.
 *
 * libraft states its preconditions as assertions, and Debian compiles them out, so
 * each is checked here first; a message that no honest member sends is dropped with
 * MK_EPROTOCOL. Then the cures: an AppendEntries is cut to begin at our snapshot
 * (fault 1), and fed in pieces of which a configuration is always the first entry
 * (fault 2). A commit index that would take ours back is hidden (7: a late message
 * that ends before our commit index). A second configuration while the core thinks
 * one uncommitted means that the first is committed, for no leader proposes two: the
 * core is told so, lest a rollback skip both (8). A rejection of an index that matched
 * already is an old one; it would set the core to send from before what matched, and
 * its count of entries in flight, then negative, would never let it send again (9). And a
 * learner votes: whoever has the entry that promotes it counts on that vote, whether
 * the learner has the entry or not; with another voter down nobody else could give it (10). */
#include "base/assert.h"
#include "base/planted.h"
#include "consensus/core.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Nobody's term runs ahead of ours by more than this: a single member could else use
 * up all terms there are. */
#define TERM_JUMP_MAX (1ull << 32)

struct address {
    char text[24];
};

static struct address address_of(uint64_t id)
{
    struct address a;

    snprintf(a.text, sizeof a.text, "%" PRIu64, id);
    return a;
}

static int feed(struct mk_consensus *c, struct raft_message *rm, uint64_t from,
                struct raft_entry *array, const struct mk_entry *entries, unsigned n)
{
    struct address a = address_of(from);
    struct raft_event ev = {.type = RAFT_RECEIVE};

    rm->server_id = from;
    rm->server_address = a.text; /* the core copies it */
    ev.receive.message = rm;
    return mk_core_step(c, &ev, array, entries, n);
}

/* --- AppendEntries ----------------------------------------------------------------- */

/* A slice of a received AppendEntries. */
struct piece {
    uint64_t from, term, prev, prev_term, commit;
    const struct mk_entry *e;
    unsigned n;
};

/* Does it contradict what is committed here? Only a liar's does. */
static bool contradicts(const struct mk_consensus *c, const struct piece *p)
{
    uint64_t ours = mk_log_term(&c->log, p->prev);

    if (p->prev <= c->commit && ours != 0 && ours != p->prev_term)
        return true;
    if (p->prev == c->snap.index && p->prev > 0 && p->prev_term != c->snap.term)
        return true;
    for (unsigned i = 0; i < p->n && p->prev + 1 + i <= c->commit; i++) {
        ours = mk_log_term(&c->log, p->prev + 1 + i);
        if (ours != 0 && ours != p->e[i].term)
            return true;
    }
    return false;
}

/* Fault 1. */
static void trim(const struct mk_consensus *c, struct piece *p)
{
    uint64_t k = c->snap.index - p->prev;

    if (k > p->n)
        k = p->n;
    if (k > 0)
        p->e += k;
    p->n -= (unsigned)k;
    p->prev = c->snap.index;
    p->prev_term = c->snap.term;
}

static int settle_older_change(struct mk_consensus *c, const struct piece *p)
{
    uint64_t pending = c->raft.configuration_uncommitted_index;

    if (p->n == 0 || p->e[0].type != MK_ENTRY_CHANGE || pending == 0 || pending > p->prev ||
        !mk_core_cured(c, MK_CURE_SETTLE))
        return 0;
    if (mk_log_term(&c->log, p->prev) != p->prev_term)
        return 0; /* will be refused */
    return mk_core_configuration_committed(c, pending);
}

static int feed_piece(struct mk_consensus *c, const struct piece *p)
{
    struct raft_message rm = {.type = RAFT_APPEND_ENTRIES};
    struct raft_append_entries *a = &rm.append_entries;
    uint64_t reach = p->prev + p->n;
    struct raft_entry *array;
    int rv = settle_older_change(c, p);

    if (rv != 0)
        return rv;
    a->term = p->term;
    a->prev_log_index = p->prev;
    a->prev_log_term = p->prev_term;
    a->leader_commit = p->commit;
    if (mk_consensus_stored(c) < reach)
        reach = mk_consensus_stored(c);
    if (reach < c->commit && mk_core_cured(c, MK_CURE_COMMIT))
        a->leader_commit = 0;
    a->n_entries = p->n;
    if (p->n == 0)
        return feed(c, &rm, p->from, NULL, NULL, 0);
    array = mk_core_entries(p->e, p->n);
    a->entries = array;
    rv = feed(c, &rm, p->from, array, p->e, p->n);
    mk_core_entries_done(array, p->n);
    return rv;
}

/* Fault 2: a configuration comes first in its piece. */
static unsigned piece_length(const struct mk_consensus *c, const struct mk_entry *e, unsigned n)
{
    unsigned k = 1;

    if (n == 0 || !mk_core_cured(c, MK_CURE_SPLIT))
        return n;
    while (k < n && e[k].type != MK_ENTRY_CHANGE)
        k++;
    return k;
}

static int feed_pieces(struct mk_consensus *c, struct piece p)
{
    unsigned left = p.n;
    int rv;

    do {
        p.n = piece_length(c, p.e, left);
        rv = feed_piece(c, &p);
        if (rv != 0 || p.n == left)
            return rv;
        left -= p.n;
        p.prev += p.n;
        p.prev_term = p.e[p.n - 1].term;
        p.e += p.n;
    } while (mk_log_term(&c->log, p.prev) == p.prev_term); /* else refused: so would be the rest */
    return 0;
}

static int recv_append(struct mk_consensus *c, const struct mk_message *m)
{
    struct piece p = {m->peer, m->term, m->index, m->index_term, m->commit, m->entries, m->n};
    int rv;

    if (m->term == c->term && c->role == MK_ROLE_LEADER)
        return MK_EPROTOCOL; /* two leaders in one term */
    if (m->term < c->term)
        p.n = 0; /* the core answers with our term, and that is all */
    else if (contradicts(c, &p))
        return MK_EPROTOCOL;
    if (c->installing && p.n > 0)
        return 0; /* sent again once the snapshot stands */
    if (m->term >= c->term && p.prev < c->snap.index && mk_core_cured(c, MK_CURE_TRIM))
        trim(c, &p);
    rv = feed_pieces(c, p);
    if (rv == 0 && m->term == c->term) {
        mk_core_heard_leader(c);
        c->beat = c->now;
    }
    return rv;
}

/* --- the others --------------------------------------------------------------------- */

static int recv_result(struct mk_consensus *c, const struct mk_message *m)
{
    struct raft_message rm = {.type = RAFT_APPEND_ENTRIES_RESULT};
    uint64_t match = mk_consensus_match(c, m->peer);
    int rv;

    rm.append_entries_result.term = m->term;
    rm.append_entries_result.rejected = m->rejected;
    rm.append_entries_result.last_log_index = m->index;
    if (m->rejected > 0 && m->rejected <= match && mk_core_cured(c, MK_CURE_REJECTION)) {
        rm.append_entries_result.rejected = 0; /* a sign of life, and no more */
        rm.append_entries_result.last_log_index = match;
    }
    if (m->rejected > match && m->term == c->term)
        mk_core_flow_rejected(c, m->peer, m->rejected);
    if (c->role == MK_ROLE_LEADER && m->term == c->term)
        mk_core_flow_held(c, m->peer, match, m->index,
                          m->rejected > 0 && m->rejected <= match && m->index < match);
    rm.append_entries_result.capacity = UINT16_MAX;
    rv = feed(c, &rm, m->peer, NULL, NULL, 0);
    mk_core_flow_acked(c, m->peer);
    return rv;
}

/* Our own entry in the core's configuration, if we are a learner there. */
static struct raft_server *own_learner(struct mk_consensus *c)
{
    for (unsigned i = 0; i < c->raft.configuration.n; i++) {
        struct raft_server *s = &c->raft.configuration.servers[i];

        if (s->id == c->o.id)
            return s->role == RAFT_VOTER ? NULL : s;
    }
    return NULL;
}

/* Fault 10. A vote changes no configuration, so the role can be put back. */
static int feed_vote(struct mk_consensus *c, struct raft_message *rm, uint64_t from)
{
    struct raft_server *self = mk_core_cured(c, MK_CURE_LEARNER) ? own_learner(c) : NULL;
    int role, rv;

    if (self == NULL)
        return feed(c, rm, from, NULL, NULL, 0);
    role = self->role;
    self->role = RAFT_VOTER;
    rv = feed(c, rm, from, NULL, NULL, 0);
    self->role = role;
    mk_core_configuration_back(&c->conf, &c->raft.configuration);
    return rv;
}

static int recv_vote(struct mk_consensus *c, const struct mk_message *m)
{
    struct raft_message rm = {.type = RAFT_REQUEST_VOTE};
    struct raft_request_vote *v = &rm.request_vote;

    if (mk_core_promised(c) && !m->disrupt)
        return 0; /* a leader reads as long as it relies on this */
    v->version = 2;
    v->term = m->term;
    v->candidate_id = m->peer;
    v->last_log_index = m->index;
    v->last_log_term = m->index_term;
    v->disrupt_leader = m->disrupt || mk_core_leader_is_lost(c);
    v->pre_vote = m->pre_vote;
    return feed_vote(c, &rm, m->peer);
}

static int recv_vote_result(struct mk_consensus *c, const struct mk_message *m)
{
    struct raft_message rm = {.type = RAFT_REQUEST_VOTE_RESULT};
    struct raft_request_vote_result *v = &rm.request_vote_result;

    v->version = 2;
    v->term = m->term;
    v->vote_granted = m->granted || MK_PLANTED(WRONG_QUORUM);
    v->pre_vote = m->pre_vote;
    v->capacity = UINT16_MAX;
    if (m->granted && m->term > c->term + 1)
        return MK_EPROTOCOL; /* we asked for no vote in that term */
    if (c->raft.state != RAFT_CANDIDATE)
        return 0; /* libraft would look into the state of a candidacy that is over */
    return feed(c, &rm, m->peer, NULL, NULL, 0);
}

static int recv_timeout_now(struct mk_consensus *c, const struct mk_message *m)
{
    struct raft_message rm = {.type = RAFT_TIMEOUT_NOW};

    if (mk_consensus_stored(c) < mk_consensus_last(c) || c->installing)
        return 0; /* not electable with entries that are not durable */
    if (m->term == c->term && m->peer == c->leader)
        mk_core_released(c);
    rm.timeout_now.term = m->term;
    rm.timeout_now.last_log_index = m->index;
    rm.timeout_now.last_log_term = m->index_term;
    return feed(c, &rm, m->peer, NULL, NULL, 0);
}

/* A PING asks whether we have gone on to another term; a leader's own term only grows
 * by AppendEntries and votes. */
static int recv_ping(struct mk_consensus *c, const struct mk_message *m)
{
    struct mk_message *pong;

    if (m->term != c->term || c->role == MK_ROLE_LEADER)
        return 0;
    pong = mk_core_message(c, MK_MSG_PONG, m->peer);
    pong->round = m->round;
    pong->promised = mk_core_promise(c, m->peer, m->lease_ms);
    return 0;
}

static int recv_pong(struct mk_consensus *c, const struct mk_message *m)
{
    if (m->term == c->term && c->role == MK_ROLE_LEADER)
        mk_core_read_pong(c, m->peer, m->round, m->promised);
    return 0;
}

/* What is about sleep itself, and late answers, need no clock. */
static bool wakes(const struct mk_consensus *c, const struct mk_message *m)
{
    if (mk_core_is_heartbeat(c, m))
        return false;
    return m->kind != MK_MSG_QUIET && m->kind != MK_MSG_QUIET_ACK && m->kind != MK_MSG_WAKE &&
           m->kind != MK_MSG_APPEND_RESULT;
}

static int dispatch(struct mk_consensus *c, const struct mk_message *m)
{
    if (wakes(c, m))
        mk_core_wake(c, /* tell_leader= */ m->peer != c->leader);
    switch (m->kind) {
    case MK_MSG_APPEND:
        return recv_append(c, m);
    case MK_MSG_APPEND_RESULT:
        return recv_result(c, m);
    case MK_MSG_VOTE:
        return recv_vote(c, m);
    case MK_MSG_VOTE_RESULT:
        return recv_vote_result(c, m);
    case MK_MSG_INSTALL:
        return mk_core_offered(c, m);
    case MK_MSG_TIMEOUT_NOW:
        return recv_timeout_now(c, m);
    case MK_MSG_PING:
        return recv_ping(c, m);
    case MK_MSG_PONG:
        return recv_pong(c, m);
    case MK_MSG_QUIET:
        mk_core_quiet_asked(c, m);
        return 0;
    case MK_MSG_QUIET_ACK:
        mk_core_quiet_ack(c, m);
        return 0;
    case MK_MSG_WAKE:
        mk_core_woken(c, m);
        return 0;
    }
    return MK_EMALFORMED;
}

int mk_consensus_receive(struct mk_consensus *c, uint64_t from, struct mk_bytes bytes,
                         uint64_t now_ms)
{
    struct mk_message m;
    int rv = mk_core_enter(c, now_ms);

    if (rv != 0)
        return rv;
    rv = mk_message_decode(&m, bytes);
    if (rv != 0)
        return rv;
    m.peer = from;
    if (from == 0 || from == c->o.id || m.term > c->term + TERM_JUMP_MAX)
        rv = MK_EPROTOCOL;
    else
        rv = dispatch(c, &m);
    mk_message_done(&m);
    return rv;
}
