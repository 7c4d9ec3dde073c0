/* wire.c - see wire.h. The reader latches: after the first failure everything reads
 * as zero, and one check at the end decides. Nothing is allocated for a count or a
 * length that the bytes at hand do not cover. */
#include "consensus/wire.h"
#include "base/assert.h"

#include <string.h>

struct rd {
    const uint8_t *p;
    size_t n;
    bool bad;
};

static const uint8_t *rd_take(struct rd *r, size_t n)
{
    const uint8_t *p = r->p;

    if (r->bad || r->n < n) {
        r->bad = true;
        return NULL;
    }
    r->p += n;
    r->n -= n;
    return p;
}

static uint64_t rd_le(struct rd *r, size_t n)
{
    const uint8_t *p = rd_take(r, n);
    uint64_t v = 0;

    for (size_t i = n; p != NULL && i > 0; i--)
        v = v << 8 | p[i - 1];
    return v;
}

static uint8_t rd_u8(struct rd *r)
{
    return (uint8_t)rd_le(r, 1);
}

/* A term or an index. */
static uint64_t rd_number(struct rd *r)
{
    uint64_t v = rd_le(r, 8);

    if (v >= MK_CONSENSUS_NUMBER_MAX)
        r->bad = true;
    return v;
}

static uint8_t rd_flags(struct rd *r, uint8_t known)
{
    uint8_t v = rd_u8(r);

    if ((v & ~known) != 0)
        r->bad = true;
    return v;
}

/* --- configurations and snapshot descriptions ----------------------------------- */

void mk_configuration_encode(const struct mk_configuration *c, struct mk_buf *out)
{
    MK_ASSERT(c->n > 0 && c->n <= MK_CONSENSUS_SERVERS_MAX);
    mk_buf_put_u8(out, 1);
    mk_buf_put_u8(out, (uint8_t)c->n);
    for (unsigned i = 0; i < c->n; i++) {
        mk_buf_put_u64le(out, c->servers[i].id);
        mk_buf_put_u8(out, (uint8_t)c->servers[i].role);
    }
}

static void rd_configuration(struct rd *r, struct mk_configuration *ret)
{
    uint64_t before = 0;
    unsigned voters = 0;

    memset(ret, 0, sizeof *ret);
    if (rd_u8(r) != 1)
        r->bad = true;
    ret->n = rd_u8(r);
    if (ret->n == 0 || ret->n > MK_CONSENSUS_SERVERS_MAX)
        r->bad = true;
    for (unsigned i = 0; i < ret->n && !r->bad; i++) {
        uint64_t id = rd_le(r, 8);
        uint8_t role = rd_flags(r, 1);

        if (id <= before)
            r->bad = true;
        before = id;
        ret->servers[i] = (struct mk_server){id, (enum mk_server_role)role};
        voters += role == MK_SERVER_VOTER;
    }
    if (voters == 0)
        r->bad = true;
}

int mk_configuration_decode(struct mk_configuration *ret, struct mk_bytes b)
{
    struct rd r = {b.p, b.n, false};
    struct mk_configuration c;

    rd_configuration(&r, &c);
    if (r.bad || r.n != 0)
        return MK_EMALFORMED;
    *ret = c;
    return 0;
}

void mk_snapshot_meta_encode(const struct mk_snapshot_meta *m, struct mk_buf *out)
{
    MK_ASSERT(m->handle_n <= MK_CONSENSUS_HANDLE_MAX);
    mk_buf_put_u8(out, 1);
    mk_buf_put_u64le(out, m->index);
    mk_buf_put_u64le(out, m->term);
    mk_buf_put_u64le(out, m->configuration_index);
    mk_buf_put_u8(out, (uint8_t)m->handle_n);
    mk_buf_put(out, m->handle, m->handle_n);
    mk_configuration_encode(&m->configuration, out);
}

static void rd_snapshot_meta(struct rd *r, struct mk_snapshot_meta *m)
{
    const uint8_t *p;

    memset(m, 0, sizeof *m);
    if (rd_u8(r) != 1)
        r->bad = true;
    m->index = rd_number(r);
    m->term = rd_number(r);
    m->configuration_index = rd_number(r);
    m->handle_n = rd_u8(r);
    if (m->handle_n > MK_CONSENSUS_HANDLE_MAX)
        r->bad = true;
    p = rd_take(r, m->handle_n);
    if (p != NULL && m->handle_n > 0)
        memcpy(m->handle, p, m->handle_n);
    rd_configuration(r, &m->configuration);
    if (m->index == 0 || m->term == 0 || m->configuration_index == 0 ||
        m->configuration_index > m->index)
        r->bad = true;
}

int mk_snapshot_meta_decode(struct mk_snapshot_meta *ret, struct mk_bytes b)
{
    struct rd r = {b.p, b.n, false};
    struct mk_snapshot_meta m;

    rd_snapshot_meta(&r, &m);
    if (r.bad || r.n != 0)
        return MK_EMALFORMED;
    *ret = m;
    return 0;
}

/* --- messages ------------------------------------------------------------------- */

static void encode_entries(const struct mk_message *m, const struct mk_log *log, struct mk_buf *out)
{
    mk_buf_put_u32le(out, m->n);
    for (uint32_t i = 0; i < m->n; i++) {
        const struct mk_entry *e = mk_log_get(log, m->index + 1 + i);

        MK_ASSERT(e != NULL);
        mk_buf_put_u64le(out, e->term);
        mk_buf_put_u8(out, (uint8_t)e->type);
        mk_buf_put_u32le(out, e->blob->n);
        mk_buf_put(out, e->blob->p, e->blob->n);
    }
}

void mk_message_encode(const struct mk_message *m, const struct mk_log *log, struct mk_buf *out)
{
    mk_buf_put_u8(out, (uint8_t)m->kind);
    mk_buf_put_u64le(out, m->term);
    switch (m->kind) {
    case MK_MSG_APPEND:
        mk_buf_put_u64le(out, m->index);
        mk_buf_put_u64le(out, m->index_term);
        mk_buf_put_u64le(out, m->commit);
        encode_entries(m, log, out);
        break;
    case MK_MSG_APPEND_RESULT:
        mk_buf_put_u64le(out, m->rejected);
        mk_buf_put_u64le(out, m->index);
        break;
    case MK_MSG_VOTE:
        mk_buf_put_u64le(out, m->index);
        mk_buf_put_u64le(out, m->index_term);
        mk_buf_put_u8(out, (uint8_t)(m->disrupt | m->pre_vote << 1));
        break;
    case MK_MSG_VOTE_RESULT:
        mk_buf_put_u8(out, (uint8_t)(m->granted | m->pre_vote << 1));
        break;
    case MK_MSG_INSTALL:
        mk_snapshot_meta_encode(m->snapshot, out);
        break;
    case MK_MSG_TIMEOUT_NOW:
        mk_buf_put_u64le(out, m->index);
        mk_buf_put_u64le(out, m->index_term);
        break;
    case MK_MSG_PING:
        mk_buf_put_u64le(out, m->round);
        mk_buf_put_u32le(out, m->lease_ms);
        break;
    case MK_MSG_PONG:
        mk_buf_put_u64le(out, m->round);
        mk_buf_put_u8(out, m->promised);
        break;
    case MK_MSG_QUIET_ACK:
        mk_buf_put_u64le(out, m->round);
        break;
    case MK_MSG_QUIET:
        mk_buf_put_u64le(out, m->index);
        mk_buf_put_u64le(out, m->index_term);
        mk_buf_put_u64le(out, m->round);
        break;
    case MK_MSG_WAKE:
        break;
    }
}

static void rd_entry(struct rd *r, struct mk_entry *ret, uint64_t term_min, uint64_t term_max)
{
    uint64_t term = rd_number(r);
    uint8_t type = rd_u8(r);
    uint32_t n = (uint32_t)rd_le(r, 4);
    struct mk_configuration conf;
    const uint8_t *p;

    if (n > MK_CONSENSUS_ENTRY_MAX || term < term_min || term > term_max)
        r->bad = true;
    if (type < MK_ENTRY_COMMAND || type > MK_ENTRY_CHANGE)
        r->bad = true;
    p = rd_take(r, n);
    if (r->bad)
        return;
    if (type == MK_ENTRY_BARRIER && n != 0)
        r->bad = true;
    if (type == MK_ENTRY_CHANGE && mk_configuration_decode(&conf, MK_BYTES(p, n)) != 0)
        r->bad = true;
    *ret = (struct mk_entry){term, (enum mk_entry_type)type, mk_blob_new(p, n)};
}

static void rd_append(struct rd *r, struct mk_message *m)
{
    uint64_t term_min;
    uint32_t n;

    m->index = rd_number(r);
    m->index_term = rd_number(r);
    m->commit = rd_number(r);
    n = (uint32_t)rd_le(r, 4);
    if (n > MK_CONSENSUS_APPEND_MAX || n > r->n / 13 || m->index_term > m->term ||
        (m->index == 0) != (m->index_term == 0))
        r->bad = true;
    if (r->bad || n == 0)
        return;
    term_min = m->index_term > 0 ? m->index_term : 1;
    m->entries = mk_alloc(n * sizeof *m->entries);
    for (; m->n < n && !r->bad; m->n++) {
        rd_entry(r, &m->entries[m->n], term_min, m->term);
        term_min = m->entries[m->n].term;
    }
    /* The first entry of every log is a configuration (spec/committees.md, "Founding"). */
    if (m->index == 0 && m->entries[0].type != MK_ENTRY_CHANGE)
        r->bad = true;
}

static void rd_body(struct rd *r, struct mk_message *m)
{
    uint8_t flags;

    switch (m->kind) {
    case MK_MSG_APPEND:
        rd_append(r, m);
        break;
    case MK_MSG_APPEND_RESULT:
        m->rejected = rd_number(r);
        m->index = rd_number(r);
        break;
    case MK_MSG_VOTE:
        m->index = rd_number(r);
        m->index_term = rd_number(r);
        flags = rd_flags(r, 3);
        m->disrupt = (flags & 1) != 0;
        m->pre_vote = (flags & 2) != 0;
        if (m->index_term > m->term)
            r->bad = true;
        break;
    case MK_MSG_VOTE_RESULT:
        flags = rd_flags(r, 3);
        m->granted = (flags & 1) != 0;
        m->pre_vote = (flags & 2) != 0;
        break;
    case MK_MSG_INSTALL:
        m->snapshot = mk_alloc(sizeof *m->snapshot);
        rd_snapshot_meta(r, m->snapshot);
        if (m->snapshot->term > m->term)
            r->bad = true;
        break;
    case MK_MSG_TIMEOUT_NOW:
        m->index = rd_number(r);
        m->index_term = rd_number(r);
        break;
    case MK_MSG_PING:
        m->round = rd_le(r, 8);
        m->lease_ms = (uint32_t)rd_le(r, 4);
        break;
    case MK_MSG_PONG:
        m->round = rd_le(r, 8);
        m->promised = rd_flags(r, 1) != 0;
        break;
    case MK_MSG_QUIET_ACK:
        m->round = rd_le(r, 8);
        break;
    case MK_MSG_QUIET:
        m->index = rd_number(r);
        m->index_term = rd_number(r);
        m->round = rd_le(r, 8);
        if (m->index_term > m->term)
            r->bad = true;
        break;
    case MK_MSG_WAKE:
        break;
    }
}

int mk_message_decode(struct mk_message *ret, struct mk_bytes b)
{
    struct rd r = {b.p, b.n, b.n > MK_CONSENSUS_MESSAGE_MAX};
    struct mk_message m = {0};
    uint8_t kind = rd_u8(&r);

    m.term = rd_number(&r);
    if (kind < MK_MSG_APPEND || kind > MK_MSG_WAKE || m.term == 0)
        r.bad = true;
    if (r.bad)
        return MK_EMALFORMED;
    m.kind = (enum mk_message_kind)kind;
    rd_body(&r, &m);
    if (r.bad || r.n != 0) {
        mk_message_done(&m);
        return MK_EMALFORMED;
    }
    *ret = m;
    return 0;
}

void mk_message_done(struct mk_message *m)
{
    for (uint32_t i = 0; m->entries != NULL && i < m->n; i++)
        mk_blob_unref(m->entries[i].blob);
    mk_free(m->entries);
    mk_free(m->snapshot);
    m->entries = NULL;
    m->snapshot = NULL;
}
