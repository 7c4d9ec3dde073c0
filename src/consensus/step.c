/* step.c - one raft_step(), and what it left.
 *
 * libraft owns and frees memory by rules of its own (docs/dependencies.md): every
 * configuration in an event is taken; an entry array stays ours, while the `batch`
 * that its entries share is freed by the core when it refuses them and ours again
 * when they come back in an update. So arrays made here carry one token as batch,
 * and no bytes at all: the core reads the contents of configurations only.
 *
 * Happy path: fill in the time, step, then collect in this order: term and vote,
 * entries (into the log; what they replace goes), an install, messages (translated,
 * long ones cut, fault 3 cured), and last the commit index, which tells the core
 * about each configuration that it covers now.
 *
 * An error other than "not the leader" means that the core and we disagree about
 * something that cannot be repaired in place: the member is dead. */
#include "base/assert.h"
#include "consensus/core.h"

#include <string.h>

bool mk_core_cured(const struct mk_consensus *c, enum mk_cure cure)
{
    return (c->o.uncured & (unsigned)cure) == 0;
}

int mk_core_dead(struct mk_consensus *c)
{
    c->dead = MK_ECORRUPT;
    return c->dead;
}

int mk_core_enter(struct mk_consensus *c, uint64_t now_ms)
{
    if (now_ms > c->now)
        c->now = now_ms;
    mk_core_lately(c);
    if (c->n_lent > 0) { /* shown already: the owner has encoded them */
        for (unsigned i = 0; i < c->n_lent; i++)
            mk_message_done(&c->out[i]);
        c->n_out -= c->n_lent;
        memmove(c->out, c->out + c->n_lent, c->n_out * sizeof *c->out);
        c->n_lent = 0;
    }
    return c->dead;
}

struct raft_entry *mk_core_entries(const struct mk_entry *entries, unsigned n)
{
    struct raft_entry *array = mk_alloc(n * sizeof *array);
    void *token = raft_malloc(1);

    MK_ASSERT(token != NULL);
    for (unsigned i = 0; i < n; i++) {
        array[i].term = entries[i].term;
        array[i].type = (enum raft_entry_type)entries[i].type;
        array[i].batch = token;
        if (entries[i].type == MK_ENTRY_CHANGE) {
            struct mk_configuration conf;
            struct raft_configuration rc;
            int rv =
                mk_configuration_decode(&conf, MK_BYTES(entries[i].blob->p, entries[i].blob->n));

            MK_ASSERT(rv == 0);
            mk_core_configuration(&rc, &conf);
            rv = raft_configuration_encode(&rc, &array[i].buf);
            MK_ASSERT(rv == 0);
            raft_configuration_close(&rc);
        }
    }
    return array;
}

void mk_core_entries_done(struct raft_entry *array, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        raft_free(array[i].buf.base);
    mk_free(array);
}

/* --- messages -------------------------------------------------------------------- */

struct mk_message *mk_core_message(struct mk_consensus *c, enum mk_message_kind kind, uint64_t to)
{
    struct mk_message *m;

    if (c->n_out == c->cap_out) {
        c->cap_out = c->cap_out == 0 ? 16 : 2 * c->cap_out;
        c->out = mk_realloc(c->out, c->cap_out * sizeof *c->out);
    }
    m = &c->out[c->n_out++];
    memset(m, 0, sizeof *m);
    m->kind = kind;
    m->peer = to;
    m->term = c->term;
    return m;
}

void mk_core_prune_messages(struct mk_consensus *c)
{
    unsigned k = 0;

    for (unsigned i = 0; i < c->n_out; i++) {
        struct mk_message *m = &c->out[i];

        if (m->kind == MK_MSG_APPEND && m->n > 0 &&
            (m->index + 1 < c->log.first || m->index + m->n > mk_log_last(&c->log)))
            continue;
        c->out[k++] = *m;
    }
    c->n_out = k;
}

static void send_install(struct mk_consensus *c, const struct raft_message *rm)
{
    const struct raft_install_snapshot *s = &rm->install_snapshot;
    struct mk_message *m;

    mk_core_flow_install(c, rm->server_id);
    if (s->last_index != c->snap.index)
        return; /* offered again with the newest one */
    m = mk_core_message(c, MK_MSG_INSTALL, rm->server_id);
    m->term = s->term;
    m->snapshot = mk_memdup(&c->snap, sizeof c->snap);
}

static void send_vote_result(struct mk_consensus *c, const struct raft_message *rm)
{
    const struct raft_request_vote_result *v = &rm->request_vote_result;
    struct mk_message *m = mk_core_message(c, MK_MSG_VOTE_RESULT, rm->server_id);

    m->term = v->term;
    m->granted = v->vote_granted;
    m->pre_vote = v->pre_vote;
    /* Fault 3: the core answers a pre-vote with the asker's term; an asker whose term
     * is behind would never learn ours, and never be electable. */
    if (v->pre_vote && !v->vote_granted && c->term > v->term &&
        mk_core_cured(c, MK_CURE_REFUSAL_TERM))
        m->term = c->term;
}

static void send_message(struct mk_consensus *c, const struct raft_message *rm)
{
    struct mk_message *m;

    switch (rm->type) {
    case RAFT_APPEND_ENTRIES:
        mk_core_flow_append(c, rm->server_id, &rm->append_entries);
        break;
    case RAFT_APPEND_ENTRIES_RESULT:
        m = mk_core_message(c, MK_MSG_APPEND_RESULT, rm->server_id);
        m->term = rm->append_entries_result.term;
        m->rejected = rm->append_entries_result.rejected;
        m->index = rm->append_entries_result.last_log_index;
        /* libraft leaves the hint unset when it refuses an old term */
        if (m->rejected != 0 || m->index > mk_log_last(&c->log))
            m->index = mk_log_last(&c->log);
        break;
    case RAFT_REQUEST_VOTE:
        m = mk_core_message(c, MK_MSG_VOTE, rm->server_id);
        m->term = rm->request_vote.term;
        m->index = rm->request_vote.last_log_index;
        m->index_term = rm->request_vote.last_log_term;
        m->disrupt = rm->request_vote.disrupt_leader;
        m->pre_vote = rm->request_vote.pre_vote;
        break;
    case RAFT_REQUEST_VOTE_RESULT:
        send_vote_result(c, rm);
        break;
    case RAFT_INSTALL_SNAPSHOT:
        send_install(c, rm);
        break;
    case RAFT_TIMEOUT_NOW:
        mk_core_flow_timeout_now(c, rm->server_id);
        break;
    }
}

/* --- collecting ------------------------------------------------------------------- */

static void log_replace_from(struct mk_consensus *c, uint64_t index)
{
    if (index > mk_log_last(&c->log))
        return;
    MK_ASSERT(index > c->commit && index > c->snap.index);
    c->backlog -= mk_log_truncate(&c->log, index);
    mk_core_prune_messages(c);
    if (c->persist_from > index)
        c->persist_from = index;
}

/* New entries: out of the event's array, or the barrier that a new leader makes. */
static void collect_entries(struct mk_consensus *c, const struct raft_update *u,
                            struct raft_entry *array, const struct mk_entry *entries, unsigned n)
{
    uint64_t index = u->entries.index;
    bool ours = array != NULL && u->entries.batch >= array && u->entries.batch < array + n;
    size_t at = ours ? (size_t)(u->entries.batch - array) : 0;

    MK_ASSERT(u->entries.n > 0 && (!ours || at + u->entries.n <= n));
    log_replace_from(c, index);
    if (c->log.n == 0)
        c->log.first = index;
    MK_ASSERT(index == mk_log_last(&c->log) + 1);
    for (unsigned i = 0; i < u->entries.n; i++) {
        const struct raft_entry *re = &u->entries.batch[i];
        struct mk_entry e = {re->term, (enum mk_entry_type)re->type, NULL};

        MK_ASSERT(ours || re->type == RAFT_BARRIER);
        e.blob = ours ? mk_blob_ref(entries[at + i].blob) : mk_blob_new(NULL, 0);
        c->backlog += e.blob->n;
        mk_log_append(&c->log, e);
    }
    if (c->persist_from == 0 || index < c->persist_from)
        c->persist_from = index;
    raft_free(u->entries.batch[0].batch); /* ours again: the token, or the barrier's bytes */
}

/* The core has voided its log for a snapshot whose bytes the owner already has. */
static void collect_install(struct mk_consensus *c, const struct raft_update *u)
{
    MK_ASSERT(!c->installing && u->snapshot.metadata.index == c->install_meta.index);
    raft_free(u->snapshot.chunk.base);
    c->install_raft = u->snapshot.metadata;
    c->installing = c->fx_install = true;
    mk_log_reset(&c->log, c->install_meta.index + 1);
    c->persist_from = 0;
    c->backlog = 0;
    mk_core_prune_messages(c);
}

static void mirror(struct mk_consensus *c)
{
    enum mk_consensus_role role = MK_ROLE_FOLLOWER;
    const char *address;
    raft_id leader = 0;
    bool led;
    uint64_t term = raft_current_term(&c->raft), vote = raft_voted_for(&c->raft);
    struct mk_configuration before = c->conf;

    if (raft_state(&c->raft) == RAFT_LEADER)
        role = MK_ROLE_LEADER;
    else if (raft_state(&c->raft) == RAFT_CANDIDATE)
        role = MK_ROLE_CANDIDATE;
    raft_leader(&c->raft, &leader, &address);
    if (role == MK_ROLE_LEADER)
        leader = c->o.id; /* also while it is being transferred */
    if (term != c->term || vote != c->vote)
        c->fx_meta = true;
    if (role != c->role || term != c->term || leader != c->leader)
        c->fx_role = true;
    if (term != c->term || role != c->role) {
        mk_core_read_role(c);
        mk_core_flow_role(c);
        c->lately = c->lately_next = mk_log_last(&c->log);
        c->lately_ms = c->now;
    }
    if (leader != c->leader)
        c->leader_lost = false;
    led = c->role == MK_ROLE_LEADER && role != MK_ROLE_LEADER;
    if (role != c->role || term != c->term || leader != c->leader)
        mk_core_wake(c, /* tell_leader= */ false);
    c->term = term;
    c->vote = vote;
    c->role = role;
    c->leader = leader;
    mk_core_configuration_back(&c->conf, &c->raft.configuration);
    if (led)
        mk_core_quiet_role(c);
    if (memcmp(&before, &c->conf, sizeof before) != 0)
        mk_core_lease_drop(c);
}

/* Tells the core about configurations that are committed now; it steps down by that
 * when it is the leader that went. */
static int commit_configurations(struct mk_consensus *c, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; (at = mk_log_change_after(&c->log, at)) != 0 && at <= to;) {
        int rv = mk_core_configuration_committed(c, at);

        if (rv != 0)
            return rv;
    }
    return 0;
}

static int collect_commit(struct mk_consensus *c)
{
    uint64_t before = c->commit, now = raft_commit_index(&c->raft);

    if (now < before)
        return mk_core_dead(c);
    if (now == before)
        return 0;
    for (uint64_t i = before + 1; i <= now; i++) {
        const struct mk_entry *e = mk_log_get(&c->log, i);

        if (e != NULL)
            c->backlog -= e->blob->n;
    }
    c->commit = now;
    c->fx_commit = true;
    return commit_configurations(c, before, now);
}

int mk_core_configuration_committed(struct mk_consensus *c, uint64_t index)
{
    struct raft_event ev = {.type = RAFT_CONFIGURATION};
    struct mk_configuration conf;
    uint64_t at;

    mk_core_configuration_at(c, &conf, &at, index);
    if (at != index)
        return 0; /* older than the snapshot's */
    ev.configuration.index = index;
    mk_core_configuration(&ev.configuration.conf, &conf); /* taken */
    return mk_core_step(c, &ev, NULL, NULL, 0);
}

static int refused(struct mk_consensus *c, int rv)
{
    switch (rv) {
    case RAFT_NOTLEADER:
        return MK_ENOTLEADER;
    case RAFT_CANTCHANGE:
    case RAFT_NOSPACE:
        return MK_EFULL;
    case RAFT_NOTFOUND:
    case RAFT_BADID:
        return MK_ENOTFOUND;
    default:
        return mk_core_dead(c);
    }
}

/* A new leader's first entry is a barrier: only with an entry of its own term can it
 * find out what is committed. The core makes one only when its log has a tail. */
static int lead_with_barrier(struct mk_consensus *c)
{
    struct mk_entry e = {c->term, MK_ENTRY_BARRIER, NULL};
    int rv;

    if (c->role != MK_ROLE_LEADER || mk_log_term(&c->log, mk_log_last(&c->log)) == c->term)
        return 0;
    e.blob = mk_blob_new(NULL, 0);
    rv = mk_core_submit(c, &e, 1);
    mk_blob_unref(e.blob);
    return rv;
}

int mk_core_step(struct mk_consensus *c, struct raft_event *ev, struct raft_entry *array,
                 const struct mk_entry *entries, unsigned n)
{
    struct raft_update u;
    int rv;

    memset(&u, 0, sizeof u);
    ev->time = mk_core_time(c);
    ev->capacity = UINT16_MAX;
    rv = raft_step(&c->raft, ev, &u);
    if (rv != 0)
        return refused(c, rv);
    if (u.flags & (RAFT_UPDATE_ENTRIES))
        collect_entries(c, &u, array, entries, n);
    if (u.flags & (RAFT_UPDATE_SNAPSHOT))
        collect_install(c, &u);
    mirror(c);
    if (u.flags & (RAFT_UPDATE_MESSAGES))
        for (unsigned i = 0; i < u.messages.n; i++)
            send_message(c, &u.messages.batch[i]);
    rv = collect_commit(c);
    return rv == 0 ? lead_with_barrier(c) : rv;
}

int mk_core_submit(struct mk_consensus *c, const struct mk_entry *entries, unsigned n)
{
    struct raft_event ev = {.type = RAFT_SUBMIT};
    struct raft_entry *array = mk_core_entries(entries, n);
    void *token = array[0].batch;
    int rv;

    ev.submit.entries = array;
    ev.submit.n = n;
    rv = mk_core_step(c, &ev, array, entries, n);
    if (rv == MK_ENOTLEADER || rv == MK_EFULL)
        raft_free(token); /* refused: still ours */
    mk_core_entries_done(array, n);
    return rv;
}
