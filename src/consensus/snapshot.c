/* snapshot.c - the log is cut here, or replaced by another member's snapshot.
 *
 * An offer (INSTALL) from a leader is not fed to the core at once: from that moment
 * the core would hear nothing else, and it knows no way back. The owner first
 * fetches the bytes; only then the core sees the message, voids its log, and waits
 * for the reference to be durable. Meanwhile the leader offers again with every
 * heartbeat that we refuse; those say nothing new.
 *
 * When the offer's term has gone by while the bytes travelled, the next leader's
 * offer of the same snapshot is taken up at once. */
#include "base/assert.h"
#include "consensus/core.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int mk_consensus_describe(const struct mk_consensus *c, struct mk_snapshot_meta *ret,
                          uint64_t index)
{
    struct mk_snapshot_meta m = {.index = index};

    if (index == 0 || index > c->commit)
        return MK_ENOTFOUND;
    if (index == c->snap.index) {
        *ret = c->snap;
        ret->handle_n = 0;
        return 0;
    }
    m.term = mk_log_term(&c->log, index);
    if (m.term == 0)
        return MK_ENOTFOUND;
    mk_core_configuration_at(c, &m.configuration, &m.configuration_index, index);
    *ret = m;
    return 0;
}

int mk_consensus_compact(struct mk_consensus *c, const struct mk_snapshot_meta *m,
                         unsigned trailing, uint64_t now_ms)
{
    struct raft_event ev = {.type = RAFT_SNAPSHOT};
    uint64_t keep;
    int rv = mk_core_enter(c, now_ms);

    if (rv != 0)
        return rv;
    if (c->installing || m->index <= c->snap.index || m->index > c->commit ||
        mk_log_term(&c->log, m->index) != m->term || m->term == 0)
        return MK_EINVALID;
    ev.snapshot.metadata.index = m->index;
    ev.snapshot.metadata.term = m->term;
    ev.snapshot.metadata.configuration_index = m->configuration_index;
    mk_core_configuration(&ev.snapshot.metadata.configuration, &m->configuration); /* taken */
    ev.snapshot.trailing = trailing;
    c->snap = *m;
    rv = mk_core_step(c, &ev, NULL, NULL, 0);
    if (rv != 0)
        return rv;
    keep = m->index > trailing ? m->index - trailing + 1 : 1;
    mk_log_drop_before(&c->log, keep);
    mk_core_prune_messages(c);
    return 0;
}

/* Do we have everything that the snapshot stands for? */
static bool covered(const struct mk_consensus *c, const struct mk_snapshot_meta *s)
{
    return s->index <= c->snap.index || mk_log_term(&c->log, s->index) >= s->term;
}

static int feed_install(struct mk_consensus *c, uint64_t from, uint64_t term,
                        const struct mk_snapshot_meta *s)
{
    struct raft_message rm = {.type = RAFT_INSTALL_SNAPSHOT};
    struct raft_install_snapshot *in = &rm.install_snapshot;
    struct raft_event ev = {.type = RAFT_RECEIVE};
    char address[24];

    snprintf(address, sizeof address, "%" PRIu64, from);
    rm.server_id = from;
    rm.server_address = address;
    in->term = term;
    in->last_index = s->index;
    in->last_term = s->term;
    in->conf_index = s->configuration_index;
    mk_core_configuration(&in->conf, &s->configuration); /* taken */
    in->data.base = raft_malloc(1);                      /* the bytes travel beside */
    in->data.len = 1;
    MK_ASSERT(in->data.base != NULL);
    c->install_meta = *s;
    ev.receive.message = &rm;
    return mk_core_step(c, &ev, NULL, NULL, 0);
}

static bool same_snapshot(const struct mk_snapshot_meta *a, const struct mk_snapshot_meta *b)
{
    return a->index == b->index && a->term == b->term && a->handle_n == b->handle_n &&
           memcmp(a->handle, b->handle, a->handle_n) == 0;
}

static int install_fetched(struct mk_consensus *c)
{
    struct mk_snapshot_meta s = c->fetch_meta;

    c->fetch = FETCH_NONE;
    return feed_install(c, c->fetch_from, c->fetch_term, &s);
}

/* libraft answers an installation of an old term with `rejected` unset; ours says it. A leader
 * whose snapshot is refused stops waiting for it to be installed, and offers its newest. */
static int refuse(struct mk_consensus *c, uint64_t to, const struct mk_snapshot_meta *s)
{
    struct mk_message *m = mk_core_message(c, MK_MSG_APPEND_RESULT, to);

    m->term = c->term;
    m->rejected = s->index;
    m->index = mk_log_last(&c->log);
    return 0;
}

int mk_core_offered(struct mk_consensus *c, const struct mk_message *m)
{
    const struct mk_snapshot_meta *s = m->snapshot;

    if (m->term == c->term && c->role == MK_ROLE_LEADER)
        return MK_EPROTOCOL;
    /* Fault 5: an install during an install leaks both its parts. */
    if (c->installing && mk_core_cured(c, MK_CURE_INSTALL))
        return 0;
    if (m->term < c->term)
        return refuse(c, m->peer, s);
    if (covered(c, s))
        return feed_install(c, m->peer, m->term, s); /* answered, not installed */
    if (c->installing)
        return feed_install(c, m->peer, m->term, s); /* uncured */
    if (s->index <= c->commit)
        return MK_EPROTOCOL; /* another history than what is committed here */
    if (c->fetch != FETCH_NONE && same_snapshot(s, &c->fetch_meta)) {
        c->fetch_from = m->peer;
        c->fetch_term = m->term;
        return c->fetch == FETCH_READY ? install_fetched(c) : 0;
    }
    if (c->fetch == FETCH_RUNNING)
        return 0; /* one at a time; the owner gives up when its source is gone */
    c->fetch = FETCH_RUNNING;
    c->fetch_meta = *s;
    c->fetch_from = m->peer;
    c->fetch_term = m->term;
    c->fx_fetch = true;
    return 0;
}

int mk_consensus_fetched(struct mk_consensus *c, uint64_t index, uint64_t now_ms)
{
    int rv = mk_core_enter(c, now_ms);

    if (rv != 0)
        return rv;
    if (c->fetch != FETCH_RUNNING || c->fetch_meta.index != index)
        return 0;
    if (covered(c, &c->fetch_meta)) {
        c->fetch = FETCH_NONE; /* the log arrived first */
        return 0;
    }
    c->fetch = FETCH_READY;
    if (c->fetch_term < c->term || (c->fetch_term == c->term && c->role == MK_ROLE_LEADER))
        return 0; /* wait for a new offer */
    return install_fetched(c);
}

void mk_consensus_fetch_failed(struct mk_consensus *c, uint64_t index)
{
    if (c->fetch_meta.index == index)
        c->fetch = FETCH_NONE; /* also one that is ready, and waits for an offer of this term */
}

int mk_consensus_ask_again(struct mk_consensus *c, uint64_t now_ms)
{
    int rv = mk_core_enter(c, now_ms);

    if (rv != 0 || c->fetch != FETCH_NONE || c->installing || c->fetch_meta.index == 0 ||
        c->role != MK_ROLE_FOLLOWER || mk_consensus_leader(c) == 0)
        return rv;
    return refuse(c, mk_consensus_leader(c), &c->fetch_meta);
}

int mk_consensus_installed(struct mk_consensus *c, uint64_t index, uint64_t now_ms)
{
    struct raft_event ev = {.type = RAFT_PERSISTED_SNAPSHOT};
    int rv = mk_core_enter(c, now_ms);

    if (rv != 0)
        return rv;
    if (!c->installing || c->install_meta.index != index)
        return 0;
    ev.persisted_snapshot.metadata = c->install_raft; /* its configuration is taken */
    ev.persisted_snapshot.last = true;
    memset(&c->install_raft, 0, sizeof c->install_raft);
    c->installing = false;
    c->snap = c->install_meta;
    return mk_core_step(c, &ev, NULL, NULL, 0);
}
