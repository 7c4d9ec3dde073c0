/* raft.c - what members say to each other, as bytes and as deeds.
 *
 * raft: a message that is accepted is the one form of what it says.
 * consensus: a member of three is driven by a script of bytes, in which the two
 * others may say anything well-formed at any time, also what no honest member
 * says, while time passes, commands are submitted and durability comes late. It may
 * refuse, drop, or stop as corrupt; it must stay within its memory and assertions. */
#include "consensus/wire.h"
#include "targets.h"

#include <string.h>

/* --- raft ------------------------------------------------------------------------- */

/* A log that holds the message's entries where the message says they are. */
static void log_of(const struct mk_message *m, struct mk_log *log)
{
    memset(log, 0, sizeof *log);
    mk_log_reset(log, m->index + 1);
    for (uint32_t i = 0; i < m->n; i++) {
        struct mk_entry e = m->entries[i];

        e.blob = mk_blob_ref(e.blob);
        mk_log_append(log, e);
    }
}

bool fuzz_raft(const uint8_t *p, size_t n)
{
    struct mk_buf again = {0};
    struct mk_message m;
    struct mk_log log;

    if (mk_message_decode(&m, MK_BYTES(p, n)) != 0)
        return false;
    log_of(&m, &log);
    mk_message_encode(&m, &log, &again);
    FUZZ_CHECK(mk_bytes_eq(mk_buf_bytes(&again), MK_BYTES(p, n)));
    mk_buf_done(&again);
    mk_log_done(&log);
    mk_message_done(&m);
    return true;
}

/* --- messages out of a script ---------------------------------------------------------- */

struct script {
    const uint8_t *p;
    size_t n;
};

static uint8_t take(struct script *s)
{
    uint8_t v = s->n > 0 ? s->p[0] : 0;

    if (s->n > 0) {
        s->p++;
        s->n--;
    }
    return v;
}

/* Near a number that means something, now and then far from it. */
static uint64_t take_near(struct script *s, uint64_t here)
{
    uint8_t v = take(s);
    uint64_t delta = v & 7;

    if (v >= 250)
        return MK_CONSENSUS_NUMBER_MAX - 1 - delta;
    if (v & 8)
        return here > delta ? here - delta : 0;
    return here + delta;
}

static struct mk_configuration three(void)
{
    return (struct mk_configuration){
        .n = 3, .servers = {{1, MK_SERVER_VOTER}, {2, MK_SERVER_VOTER}, {3, MK_SERVER_VOTER}}};
}

static struct mk_blob *configuration_blob(struct script *s)
{
    struct mk_configuration c = three();
    struct mk_buf b = {0};
    struct mk_blob *blob;
    uint8_t v = take(s);

    if (v & 1)
        c.servers[c.n++] = (struct mk_server){4, v & 2 ? MK_SERVER_LEARNER : MK_SERVER_VOTER};
    if (v & 4)
        c.servers[0].role = MK_SERVER_LEARNER;
    mk_configuration_encode(&c, &b);
    blob = mk_blob_new(b.p, b.n);
    mk_buf_done(&b);
    return blob;
}

static struct mk_entry take_entry(struct script *s, uint64_t term, bool first)
{
    uint8_t v = take(s) % 8;

    if (first || v == 7)
        return (struct mk_entry){term, MK_ENTRY_CHANGE, configuration_blob(s)};
    if (v == 6)
        return (struct mk_entry){term, MK_ENTRY_BARRIER, mk_blob_new("", 0)};
    return (struct mk_entry){term, MK_ENTRY_COMMAND, mk_blob_new("command", v)};
}

static void take_append(struct script *s, struct mk_message *m, uint64_t last)
{
    uint64_t term;

    m->index = take_near(s, last);
    m->index_term = m->index == 0 ? 0 : take_near(s, m->term);
    m->commit = take_near(s, last);
    if (m->index > 0 && (m->index_term == 0 || m->index_term > m->term))
        m->index_term = m->term;
    m->n = take(s) % 5;
    term = m->index_term > 0 ? m->index_term : 1;
    m->entries = mk_alloc((m->n + 1) * sizeof *m->entries);
    for (uint32_t i = 0; i < m->n; i++) {
        if (term < m->term && (take(s) & 3) == 0)
            term++;
        m->entries[i] = take_entry(s, term, m->index == 0 && i == 0);
    }
}

static void take_snapshot(struct script *s, struct mk_message *m, uint64_t last)
{
    m->snapshot = mk_alloc(sizeof *m->snapshot);
    m->snapshot->index = 1 + take_near(s, last) % 1000;
    m->snapshot->term = 1 + take(s) % m->term;
    m->snapshot->configuration_index = 1;
    m->snapshot->configuration = three();
    m->snapshot->handle_n = take(s) % 4;
}

static void take_message(struct script *s, struct mk_message *m, uint64_t term, uint64_t last)
{
    uint8_t flags;

    memset(m, 0, sizeof *m);
    m->kind = (enum mk_message_kind)(1 + take(s) % 8);
    m->term = take_near(s, term);
    if (m->term == 0)
        m->term = 1;
    flags = take(s);
    m->granted = flags & 1;
    m->disrupt = flags & 1;
    m->pre_vote = (flags & 2) != 0;
    if (m->kind == MK_MSG_APPEND) {
        take_append(s, m, last);
        return;
    }
    if (m->kind == MK_MSG_INSTALL) {
        take_snapshot(s, m, last);
        return;
    }
    m->index = take_near(s, last);
    m->index_term = m->index == 0 ? 0 : 1 + take(s) % m->term;
    m->rejected = flags & 4 ? take_near(s, last) : 0;
    m->round = take(s);
}

static void encode_message(const struct mk_message *m, struct mk_buf *out)
{
    struct mk_log log;

    log_of(m, &log);
    mk_message_encode(m, &log, out);
    mk_log_done(&log);
}

void fuzz_make_raft(struct fuzz_random *r, struct mk_buf *out)
{
    uint8_t bytes[64];
    struct script s = {bytes, sizeof bytes};
    struct mk_message m;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)fuzz_u64(r) & 0x7f;
    take_message(&s, &m, 3, 9);
    encode_message(&m, out);
    mk_message_done(&m);
}

/* --- consensus ---------------------------------------------------------------------------- */

struct member {
    struct mk_consensus *c;
    uint64_t now_ms;
    uint64_t stored, stored_term; /* appended and not yet reported durable */
    bool stopped;
};

static void open_member(struct member *b)
{
    struct mk_configuration c = three();
    struct mk_buf bytes = {0};
    struct mk_entry first = {1, MK_ENTRY_CHANGE, NULL};
    struct mk_consensus_options o = {.id = 1, .seed = 7};
    struct mk_consensus_start start = {
        .term = 1, .first_index = 1, .entries = &first, .n_entries = 1};

    mk_configuration_encode(&c, &bytes);
    first.blob = mk_blob_new(bytes.p, bytes.n);
    memset(b, 0, sizeof *b);
    FUZZ_CHECK(mk_consensus_open(&b->c, &o, &start, 0) == 0);
    mk_blob_unref(first.blob);
    mk_buf_done(&bytes);
}

static void judge(struct member *b, int rv)
{
    if (rv == MK_ECORRUPT)
        b->stopped = true; /* its owner would stop it here */
}

static void persisted(struct member *b)
{
    if (b->stored > 0 && !b->stopped)
        judge(b, mk_consensus_persisted(b->c, b->stored, b->stored_term, b->now_ms));
    b->stored = 0;
}

static void carry_out(struct member *b, struct script *s)
{
    struct mk_buf bytes = {0};
    struct mk_effects fx;
    uint64_t fetch = 0, install = 0;

    mk_consensus_effects(b->c, &fx);
    FUZZ_CHECK(fx.commit <= mk_consensus_last(b->c) || mk_consensus_installing(b->c));
    for (unsigned i = 0; i < fx.n_messages; i++) {
        struct mk_message m;

        mk_buf_clear(&bytes);
        FUZZ_CHECK(mk_consensus_encode(b->c, i, &bytes) != 0);
        FUZZ_CHECK(mk_message_decode(&m, mk_buf_bytes(&bytes)) == 0);
        mk_message_done(&m);
    }
    mk_buf_done(&bytes);
    if (fx.persist_from > 0) {
        const struct mk_entry *e = mk_consensus_entry(b->c, fx.persist_last);

        FUZZ_CHECK(e != NULL);
        b->stored = fx.persist_last;
        b->stored_term = e->term;
    }
    if (fx.fetch != NULL)
        fetch = fx.fetch->index;
    if (fx.install != NULL)
        install = fx.install->index;
    if (fetch > 0 && take(s) & 1)
        judge(b, mk_consensus_fetched(b->c, fetch, b->now_ms));
    else if (fetch > 0)
        mk_consensus_fetch_failed(b->c, fetch);
    if (install > 0 && !b->stopped)
        judge(b, mk_consensus_installed(b->c, install, b->now_ms));
}

static void submit(struct member *b)
{
    struct mk_blob *blob = mk_blob_new("command", 7);
    uint64_t first;
    int rv = mk_consensus_submit(b->c, &first, &blob, 1, b->now_ms);

    if (rv != 0)
        mk_blob_unref(blob);
    judge(b, rv);
}

static void hear(struct member *b, struct script *s)
{
    uint64_t from = 2 + take(s) % 3;
    struct mk_buf bytes = {0};
    struct mk_message m;
    int rv;

    take_message(s, &m, mk_consensus_term(b->c), mk_consensus_last(b->c));
    encode_message(&m, &bytes);
    mk_message_done(&m);
    rv = mk_consensus_receive(b->c, from, mk_buf_bytes(&bytes), b->now_ms);
    FUZZ_CHECK(rv == 0 || rv == MK_EPROTOCOL || rv == MK_EMALFORMED || rv == MK_ECORRUPT);
    judge(b, rv);
    mk_buf_done(&bytes);
}

static void step(struct member *b, struct script *s)
{
    uint64_t ticket;

    switch (take(s) % 12) {
    case 0:
        b->now_ms += 40 * (uint64_t)take(s);
        judge(b, mk_consensus_timeout(b->c, b->now_ms));
        break;
    case 1:
        submit(b);
        break;
    case 2:
        mk_consensus_link(b->c, 2 + take(s) % 2, take(s) & 1, b->now_ms);
        break;
    case 3:
        judge(b, mk_consensus_read(b->c, &ticket, b->now_ms));
        break;
    case 4:
        judge(b, mk_consensus_transfer(b->c, take(s) % 4, b->now_ms));
        break;
    case 5:
    case 6:
        persisted(b);
        break;
    default:
        hear(b, s);
        break;
    }
    if (!b->stopped)
        carry_out(b, s);
}

bool fuzz_consensus(const uint8_t *p, size_t n)
{
    struct script s = {p, n};
    struct member b;

    open_member(&b);
    carry_out(&b, &s);
    for (unsigned i = 0; s.n > 0 && !b.stopped && i < 400; i++)
        step(&b, &s);
    mk_consensus_free(b.c);
    return true;
}

void fuzz_make_consensus(struct fuzz_random *r, struct mk_buf *out)
{
    size_t n = 20 + fuzz_below(r, 400);

    for (size_t i = 0; i < n; i++)
        mk_buf_put_u8(out, (uint8_t)fuzz_u64(r) & (fuzz_below(r, 8) == 0 ? 0xff : 0x1f));
}
