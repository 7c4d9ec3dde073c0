/* change.c - what a leader is asked to do: submit, change the configuration, go.
 *
 * Fault 4: a server whose own configuration does not list it as a voter refuses its
 * vote. After quick changes enough servers can be in that state to make elections
 * impossible. So a change waits until every voter of the new configuration holds
 * the present one, durably, and nearly all of the log: all but NEARLY entries, or what
 * there was a heartbeat ago, since under load the last entries are always on their way.
 * Who is to be promoted must hold the latter: it has then caught up with everything that
 * was committed before it was let in. */
#include "base/assert.h"
#include "consensus/core.h"

#include <string.h>

#define NEARLY 64u /* entries that a voter may be behind when a change is proposed */

void mk_consensus_tell_commit(struct mk_consensus *c, uint64_t now_ms)
{
    uint64_t commit, term;

    if (mk_core_enter(c, now_ms) != 0 || c->role != MK_ROLE_LEADER || !mk_consensus_ready(c))
        return;
    commit = mk_consensus_commit(c);
    term = mk_log_term(&c->log, commit);
    for (unsigned i = 0; i < c->conf.n; i++) {
        const struct mk_server *s = &c->conf.servers[i];
        struct mk_message *m;

        if (s->id == c->o.id || term == 0 || mk_consensus_match(c, s->id) < commit)
            continue;
        m = mk_core_message(c, MK_MSG_APPEND, s->id);
        m->index = commit;
        m->index_term = term;
        m->commit = commit;
        m->n = 0;
    }
}

int mk_consensus_submit(struct mk_consensus *c, uint64_t *ret_first, struct mk_blob **blobs,
                        unsigned n, uint64_t now_ms)
{
    struct mk_entry *entries;
    uint64_t first;
    int rv = mk_core_enter(c, now_ms);

    if (rv != 0)
        return rv;
    if (c->role != MK_ROLE_LEADER || raft_transferee(&c->raft) != 0)
        return MK_ENOTLEADER;
    if (n == 0 || n > MK_CONSENSUS_SUBMIT_MAX)
        return MK_ELIMIT;
    for (unsigned i = 0; i < n; i++)
        if (blobs[i]->n > MK_CONSENSUS_ENTRY_MAX)
            return MK_ELIMIT;
    if (c->backlog > MK_CONSENSUS_BACKLOG_BYTES)
        return MK_EFULL;
    mk_core_wake(c, /* tell_leader= */ false);
    entries = mk_alloc(n * sizeof *entries);
    for (unsigned i = 0; i < n; i++)
        entries[i] = (struct mk_entry){c->term, MK_ENTRY_COMMAND, blobs[i]};
    first = mk_log_last(&c->log) + 1;
    rv = mk_core_submit(c, entries, n);
    mk_free(entries);
    if (rv != 0)
        return rv;
    for (unsigned i = 0; i < n; i++)
        mk_blob_unref(blobs[i]); /* the log has its own */
    *ret_first = first;
    return 0;
}

/* Servers that are in one of the two and not, or not in the same role, in the other. */
static unsigned distance(const struct mk_configuration *a, const struct mk_configuration *b)
{
    unsigned d = 0;

    for (unsigned i = 0; i < a->n; i++) {
        const struct mk_server *s = mk_configuration_find(b, a->servers[i].id);

        d += s == NULL || s->role != a->servers[i].role;
    }
    for (unsigned i = 0; i < b->n; i++)
        d += mk_configuration_find(a, b->servers[i].id) == NULL;
    return d;
}

void mk_core_lately(struct mk_consensus *c)
{
    if (c->role != MK_ROLE_LEADER || c->now < c->lately_ms + c->o.heartbeat_ms)
        return;
    c->lately = c->lately_next;
    c->lately_next = mk_log_last(&c->log);
    c->lately_ms = c->now;
}

/* Does this server hold enough of the log to count in a change? */
static bool is_near(const struct mk_consensus *c, uint64_t id, uint64_t match)
{
    const struct mk_server *now = mk_configuration_find(&c->conf, id);

    if (match >= c->lately)
        return true;
    return now != NULL && now->role == MK_SERVER_VOTER && match + NEARLY >= mk_log_last(&c->log);
}

void mk_consensus_gone(struct mk_consensus *c, uint64_t id)
{
    struct mk_core_peer *p = id == 0 ? NULL : mk_core_peer(c, id);

    if (p != NULL)
        p->gone = true;
}

static bool is_gone(const struct mk_consensus *c, uint64_t id)
{
    for (unsigned i = 0; i < c->n_peers; i++)
        if (c->peers[i].id == id)
            return c->peers[i].gone;
    return false;
}

/* Fault 4's cure. */
static bool voters_hold_the_last_one(const struct mk_consensus *c,
                                     const struct mk_configuration *next)
{
    uint64_t held = c->raft.configuration_committed_index;
    unsigned holders = 0;

    for (unsigned i = 0; i < next->n; i++) {
        uint64_t match;

        if (next->servers[i].role != MK_SERVER_VOTER)
            continue;
        match = mk_consensus_match(c, next->servers[i].id);
        if (match != 0 && match >= held && is_near(c, next->servers[i].id, match))
            holders++;
        else if (!is_gone(c, next->servers[i].id))
            return false;
    }
    return holders > mk_configuration_voters(next) / 2;
}

int mk_consensus_change(struct mk_consensus *c, uint64_t *ret_index,
                        const struct mk_configuration *next, uint64_t now_ms)
{
    struct mk_configuration conf = *next;
    struct mk_buf buf = {0};
    struct mk_entry e;
    int rv = mk_core_enter(c, now_ms);

    if (rv != 0)
        return rv;
    if (c->role != MK_ROLE_LEADER || raft_transferee(&c->raft) != 0)
        return MK_ENOTLEADER;
    mk_core_wake(c, /* tell_leader= */ false);
    if (mk_configuration_check(&conf) != 0 || distance(&c->conf, &conf) != 1)
        return MK_EINVALID;
    if (c->raft.configuration_uncommitted_index != 0)
        return MK_EFULL;
    if (mk_core_cured(c, MK_CURE_CHANGE) &&
        (!mk_consensus_ready(c) || !voters_hold_the_last_one(c, &conf)))
        return MK_EFULL;
    mk_configuration_encode(&conf, &buf);
    e = (struct mk_entry){c->term, MK_ENTRY_CHANGE, mk_blob_new(buf.p, buf.n)};
    mk_buf_done(&buf);
    rv = mk_core_submit(c, &e, 1);
    mk_blob_unref(e.blob);
    if (rv == 0)
        *ret_index = mk_log_last(&c->log);
    return rv;
}

/* The voter that is furthest; 0: none. */
static uint64_t best_voter(const struct mk_consensus *c)
{
    uint64_t best = 0, best_match = 0;

    for (unsigned i = 0; i < c->conf.n; i++) {
        const struct mk_server *s = &c->conf.servers[i];
        uint64_t match = mk_consensus_match(c, s->id);

        if (s->role == MK_SERVER_VOTER && s->id != c->o.id && (best == 0 || match > best_match)) {
            best = s->id;
            best_match = match;
        }
    }
    return best;
}

int mk_consensus_transfer(struct mk_consensus *c, uint64_t id, uint64_t now_ms)
{
    struct raft_event ev = {.type = RAFT_TRANSFER};
    const struct mk_server *s;
    int rv = mk_core_enter(c, now_ms);

    if (rv != 0)
        return rv;
    if (c->role != MK_ROLE_LEADER || raft_transferee(&c->raft) != 0)
        return MK_ENOTLEADER;
    mk_core_wake(c, /* tell_leader= */ false);
    if (id == 0)
        id = best_voter(c);
    s = mk_configuration_find(&c->conf, id);
    if (s == NULL || s->role != MK_SERVER_VOTER || id == c->o.id)
        return MK_ENOTFOUND;
    mk_core_lease_bar(c);
    ev.transfer.server_id = id;
    return mk_core_step(c, &ev, NULL, NULL, 0);
}
