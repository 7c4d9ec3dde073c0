/* consensus.c - opening, effects, queries; see consensus.h and core.h.
 *
 * Opening proves that what was stored is a log: it begins with a configuration or
 * at most one past the snapshot, its terms never go down and never exceed the
 * stored term, and at the snapshot's index it agrees with the snapshot. Entries
 * that end before the snapshot are dropped (fault 6). */
#include "base/assert.h"
#include "consensus/core.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ELECTION_MS 300u
#define HEARTBEAT_MS 100u
#define INSTALL_MS 10000u

static int options_fill(struct mk_consensus_options *ret, const struct mk_consensus_options *o)
{
    *ret = *o;
    if (ret->election_ms == 0)
        ret->election_ms = ELECTION_MS;
    if (ret->heartbeat_ms == 0)
        ret->heartbeat_ms = HEARTBEAT_MS;
    if (ret->install_ms == 0)
        ret->install_ms = INSTALL_MS;
    if (ret->id == 0 || ret->heartbeat_ms >= ret->election_ms)
        return MK_EINVALID;
    return ret->lease_ms > mk_core_lease_longest(ret) ? MK_EINVALID : 0;
}

/* Terms, types, configurations; the entries themselves. */
static bool entries_are_a_log(const struct mk_consensus_start *s)
{
    uint64_t term = 1;
    struct mk_configuration conf;

    for (unsigned i = 0; i < s->n_entries; i++) {
        const struct mk_entry *e = &s->entries[i];

        if (e->term < term || e->term > s->term)
            return false;
        if (e->type < MK_ENTRY_COMMAND || e->type > MK_ENTRY_CHANGE)
            return false;
        if (e->type == MK_ENTRY_CHANGE &&
            mk_configuration_decode(&conf, MK_BYTES(e->blob->p, e->blob->n)) != 0)
            return false;
        term = e->term;
    }
    return true;
}

/* *ret_n: how many of the entries are to be used. */
static int start_check(const struct mk_consensus *c, const struct mk_consensus_start *s,
                       unsigned *ret_n)
{
    uint64_t last = s->first_index + s->n_entries - 1;
    const struct mk_snapshot_meta *snap = s->snapshot;

    *ret_n = s->n_entries;
    if (snap != NULL && (snap->index == 0 || snap->term == 0 || snap->term > s->term))
        return MK_ECORRUPT;
    if (s->n_entries == 0)
        return 0;
    if (!entries_are_a_log(s) || s->first_index == 0)
        return MK_ECORRUPT;
    if (snap == NULL)
        return s->first_index == 1 && s->entries[0].type == MK_ENTRY_CHANGE ? 0 : MK_ECORRUPT;
    if (last < snap->index) {
        if (mk_core_cured(c, MK_CURE_START))
            *ret_n = 0;
        return 0;
    }
    if (s->first_index > snap->index + 1)
        return MK_ECORRUPT;
    if (s->first_index <= snap->index &&
        s->entries[snap->index - s->first_index].term != snap->term)
        return MK_ECORRUPT;
    return 0;
}

static void core_init(struct mk_consensus *c)
{
    char address[24];
    int rv;

    snprintf(address, sizeof address, "%" PRIu64, c->o.id);
    rv = raft_init(&c->raft, NULL, NULL, c->o.id, address);
    MK_ASSERT(rv == 0);
    c->raft.tracer = NULL; /* the default one formats every line before it drops it */
    raft_seed(&c->raft, (unsigned)((c->o.seed + c->o.id) * 0x9e3779b97f4a7c15ull >> 32));
    raft_set_pre_vote(&c->raft, true);
    raft_set_election_timeout(&c->raft, c->o.election_ms);
    raft_set_heartbeat_timeout(&c->raft, c->o.heartbeat_ms);
    raft_set_install_snapshot_timeout(&c->raft, c->o.install_ms);
    raft_set_max_inflight_entries(&c->raft, MK_CONSENSUS_INFLIGHT_MAX);
}

static int core_start(struct mk_consensus *c, const struct mk_consensus_start *s, unsigned n)
{
    struct raft_event ev = {.type = RAFT_START};
    struct raft_snapshot_metadata meta = {0};
    struct raft_entry *array = n > 0 ? mk_core_entries(s->entries, n) : NULL;
    void *token = n > 0 ? array[0].batch : NULL;
    int rv;

    ev.start.term = s->term;
    ev.start.voted_for = s->vote;
    ev.start.start_index = mk_log_last(&c->log) + 1;
    if (n > 0)
        ev.start.start_index = c->log.first;
    if (c->snap.index > 0) {
        meta.index = c->snap.index;
        meta.term = c->snap.term;
        meta.configuration_index = c->snap.configuration_index;
        mk_core_configuration(&meta.configuration, &c->snap.configuration); /* taken */
        ev.start.metadata = &meta;
    }
    ev.start.entries = array;
    ev.start.n_entries = n;
    rv = mk_core_step(c, &ev, array, s->entries, n);
    if (n > 0) {
        raft_free(token); /* entries at start stay ours */
        mk_core_entries_done(array, n);
    }
    return rv;
}

int mk_consensus_open(struct mk_consensus **ret, const struct mk_consensus_options *o,
                      const struct mk_consensus_start *start, uint64_t now_ms)
{
    struct mk_consensus *c = mk_alloc(sizeof *c);
    unsigned n = 0;
    int rv = options_fill(&c->o, o);

    if (rv == 0)
        rv = start_check(c, start, &n);
    if (rv != 0) {
        mk_free(c);
        return rv;
    }
    c->now = c->heard = now_ms;
    c->term = start->term;
    c->vote = start->vote;
    if (start->snapshot != NULL)
        c->snap = *start->snapshot;
    mk_log_reset(&c->log, n > 0 ? start->first_index : c->snap.index + 1);
    for (unsigned i = 0; i < n; i++) {
        mk_blob_ref(start->entries[i].blob);
        mk_log_append(&c->log, start->entries[i]);
        if (start->first_index + i > c->snap.index)
            c->backlog += start->entries[i].blob->n;
    }
    c->commit = c->snap.index;
    mk_core_lease_start(c);
    core_init(c);
    rv = core_start(c, start, n);
    if (rv != 0) {
        mk_consensus_free(c);
        return rv;
    }
    *ret = c;
    return 0;
}

void mk_consensus_free(struct mk_consensus *c)
{
    if (c == NULL)
        return;
    raft_close(&c->raft, NULL);
    raft_configuration_close(&c->install_raft.configuration);
    mk_log_done(&c->log);
    for (unsigned i = 0; i < c->n_out; i++)
        mk_message_done(&c->out[i]);
    mk_free(c->out);
    mk_core_flow_role(c);
    mk_free(c);
}

int mk_consensus_persisted(struct mk_consensus *c, uint64_t index, uint64_t term, uint64_t now_ms)
{
    struct raft_event ev = {.type = RAFT_PERSISTED_ENTRIES};
    int rv = mk_core_enter(c, now_ms);

    if (rv != 0)
        return rv;
    /* Replaced since, or told before: the core would take it for something else. */
    if (c->installing || mk_log_term(&c->log, index) != term || term == 0 ||
        index <= c->raft.last_stored)
        return 0;
    ev.persisted_entries.index = index;
    return mk_core_step(c, &ev, NULL, NULL, 0);
}

/* --- effects ------------------------------------------------------------------------- */

void mk_consensus_effects(struct mk_consensus *c, struct mk_effects *ret)
{
    (void)mk_core_enter(c, c->now);
    mk_core_read_flush(c);
    memset(ret, 0, sizeof *ret);
    ret->meta = c->fx_meta;
    ret->term = c->term;
    ret->vote = c->vote;
    ret->persist_from = c->persist_from;
    ret->persist_last = c->persist_from == 0 ? 0 : mk_log_last(&c->log);
    ret->n_messages = c->n_lent = c->n_out;
    ret->role_changed = c->fx_role;
    ret->commit_changed = c->fx_commit;
    ret->commit = c->commit;
    ret->fetch = c->fx_fetch ? &c->fetch_meta : NULL;
    ret->fetch_from = c->fx_fetch ? c->fetch_from : 0;
    ret->install = c->fx_install ? &c->install_meta : NULL;
    ret->reads_done = c->read_done;
    ret->read_index = c->commit;
    ret->deadline_ms = mk_core_deadline(c);
    c->persist_from = 0;
    c->fx_meta = c->fx_role = c->fx_commit = c->fx_fetch = c->fx_install = false;
}

uint64_t mk_core_last_term(const struct mk_consensus *c)
{
    uint64_t last = mk_log_last(&c->log);

    return last == c->snap.index && last > 0 ? c->snap.term : mk_log_term(&c->log, last);
}

uint64_t mk_consensus_encode(const struct mk_consensus *c, unsigned i, struct mk_buf *out)
{
    MK_ASSERT(i < c->n_lent);
    mk_message_encode(&c->out[i], &c->log, out);
    return c->out[i].peer;
}

/* --- queries -------------------------------------------------------------------------- */

enum mk_consensus_role mk_consensus_role(const struct mk_consensus *c)
{
    return c->role;
}

uint64_t mk_consensus_term(const struct mk_consensus *c)
{
    return c->term;
}

uint64_t mk_consensus_vote(const struct mk_consensus *c)
{
    return c->vote;
}

uint64_t mk_consensus_leader(const struct mk_consensus *c)
{
    return c->leader;
}

uint64_t mk_consensus_commit(const struct mk_consensus *c)
{
    return c->commit;
}

uint64_t mk_consensus_stored(const struct mk_consensus *c)
{
    return c->raft.last_stored;
}

uint64_t mk_consensus_first(const struct mk_consensus *c)
{
    return c->log.first;
}

uint64_t mk_consensus_last(const struct mk_consensus *c)
{
    return mk_log_last(&c->log);
}

uint64_t mk_consensus_snapshot(const struct mk_consensus *c)
{
    return c->snap.index;
}

bool mk_consensus_installing(const struct mk_consensus *c)
{
    return c->installing;
}

bool mk_consensus_ready(const struct mk_consensus *c)
{
    if (c->role != MK_ROLE_LEADER)
        return false;
    if (c->commit == c->snap.index)
        return c->snap.term == c->term;
    return mk_log_term(&c->log, c->commit) == c->term;
}

uint64_t mk_consensus_match(const struct mk_consensus *c, uint64_t id)
{
    raft_index match = 0;

    if (c->role != MK_ROLE_LEADER || mk_configuration_find(&c->conf, id) == NULL)
        return 0;
    return raft_match_index(&c->raft, id, &match) == 0 ? match : 0;
}

const struct mk_entry *mk_consensus_entry(const struct mk_consensus *c, uint64_t index)
{
    return mk_log_get(&c->log, index);
}

const struct mk_configuration *mk_consensus_configuration(const struct mk_consensus *c)
{
    return &c->conf;
}

uint64_t mk_consensus_changed_at(const struct mk_consensus *c)
{
    return c->raft.configuration_committed_index;
}

uint64_t mk_consensus_changing(const struct mk_consensus *c)
{
    return c->raft.configuration_uncommitted_index;
}

bool mk_core_check(const struct mk_consensus *c)
{
    struct mk_configuration conf, committed;
    uint64_t at, committed_index = c->raft.configuration_committed_index;

    if (c->installing)
        return true;
    if (raft_last_index((struct raft *)&c->raft) != mk_log_last(&c->log))
        return false;
    mk_core_configuration_at(c, &conf, &at, mk_log_last(&c->log));
    if (memcmp(&conf, &c->conf, sizeof conf) != 0)
        return false;
    if (c->raft.configuration_uncommitted_index != 0) {
        mk_core_configuration_back(&committed, &c->raft.configuration_committed);
        mk_core_configuration_at(c, &conf, &at, c->raft.configuration_uncommitted_index - 1);
        if (committed_index != at || memcmp(&conf, &committed, sizeof conf) != 0)
            return false;
    }
    return c->term == raft_current_term(&c->raft) && c->commit == raft_commit_index(&c->raft);
}
