/* serve_reader.c - what one reader of a surface is sent, message by message.
 *
 *   START --welcome--> SNAPSHOT --items--> FOLLOWS --commits, certificates--> ...
 *     |  \-------------------------------> FOLLOWS                             |
 *     ^--------------- the retained history no longer reaches back ------------'
 *
 * Commits go out up to the newest certified head only, then its certificate; so what a
 * reader was sent can be proven at the end of each burst. Each step sends one message or
 * none: when the conversation has no credit the step is simply tried again later, since
 * cursors move only after a message was taken. */
#include "group/serve_int.h"

#include "base/assert.h"

#include <stdio.h>

#define MESSAGE_BYTES (64u << 10) /* payload put into one message, unless one item is larger */
#define MESSAGE_ITEMS 512u

static struct mk_served *served_of(const struct mk_serve_reader *r)
{
    return &r->serve->v[r->surface];
}

static struct mk_surface *surface_of(const struct mk_serve_reader *r)
{
    struct mk_surfaces *surfaces = r->serve->host->surfaces(r->serve->host);

    return surfaces == NULL ? NULL : &surfaces->v[r->surface];
}

/* Bytes sent; 0 when there is no credit now. */
static size_t send_message(struct mk_serve_reader *r, const struct mk_surface_message *m)
{
    struct mk_buf *b = &r->serve->scratch;
    int rv;

    mk_buf_clear(b);
    mk_encode(b, &mk_surface_message_type, m);
    rv = mk_conv_send(r->conv, mk_buf_bytes(b));
    if (rv == 0)
        return b->n;
    MK_ASSERT(rv != MK_ELIMIT); /* messages are cut below it */
    r->blocked = true;
    return 0;
}

static void snap_done(struct mk_serve_reader *r)
{
    mk_trie_done(&r->snap);
    mk_free(r->snap_at);
    r->snap_at = NULL;
}

void mk_serve_reader_free(struct mk_serve_reader *r)
{
    struct mk_serve *s = r->serve;

    mk_list_del(&r->node);
    s->n_readers--;
    for (unsigned i = 0; i < r->n_asked; i++)
        mk_free(r->asked[i].key);
    snap_done(r);
    mk_arena_done(&r->tickets_mem);
    if (--s->v[r->surface].n_readers == 0)
        mk_serve_end(s, r->surface);
    s->host->interest(s->host, r->surface, -1);
    mk_free(r);
}

void mk_serve_reader_restart(struct mk_serve_reader *r)
{
    snap_done(r);
    if (r->state == MK_READER_FOLLOWS && r->from.tag != mk_from_Lookups) {
        r->from.tag = mk_from_After;
        r->from.u.after.index = r->next - 1;
    }
    r->state = MK_READER_START;
    r->any_sent = false;
}

/* --- where to begin -------------------------------------------------------------------- */

static void begin_at(struct mk_welcome *w, const struct mk_surface *s, uint64_t next)
{
    struct mk_id before;

    if (next < w->oldest)
        next = w->oldest;
    w->next = next;
    if (mk_surface_hash_at(s, next - 1, &before) == 0)
        w->before = before;
}

/* false: what the reader has is ahead of our newest certificate. */
static bool plan_welcome(const struct mk_serve_reader *r, const struct mk_surface *s,
                         struct mk_welcome *w)
{
    const struct mk_head *head = &served_of(r)->certificate.head;

    *w = (struct mk_welcome){.index = head->index,
                             .oldest = mk_surface_oldest(s),
                             .epoch = r->serve->host->epoch(r->serve->host),
                             .follows = true};
    switch ((enum mk_from_tag)r->from.tag) {
    case mk_from_After:
        if (r->from.u.after.index > head->index)
            return false;
        w->follows = r->from.u.after.index + 1 >= w->oldest;
        if (w->follows || !mk_surface_keyed(s->spec->kind)) {
            begin_at(w, s, r->from.u.after.index + 1);
            return true;
        }
        break; /* a map's reader that is too far behind */
    case mk_from_Oldest:
        begin_at(w, s, w->oldest);
        return true;
    case mk_from_Newest:
        begin_at(w, s, head->index + 1);
        return true;
    case mk_from_Snapshot:
        w->follows = false;
        break;
    case mk_from_Lookups:
        break;
    }
    w->next = head->index + 1;
    w->before = head->commit;
    return true;
}

static size_t step_start(struct mk_serve_reader *r, const struct mk_surface *s)
{
    struct mk_surface_message m = {.tag = mk_surface_message_Welcome};
    struct mk_served *v = served_of(r);
    size_t sent;

    if (!v->certified || !plan_welcome(r, s, &m.u.welcome))
        return 0;
    sent = send_message(r, &m);
    if (sent == 0)
        return 0;
    r->next = m.u.welcome.next;
    r->state = MK_READER_FOLLOWS;
    if (mk_surface_keyed(s->spec->kind) && !m.u.welcome.follows) {
        r->state = MK_READER_SNAPSHOT;
        mk_trie_fork(&r->snap, &v->map);
        r->snap_at = mk_alloc(sizeof *r->snap_at);
        mk_trie_walk_begin(r->snap_at, &r->snap);
        r->serve->stats.snapshots_sent++;
        m = (struct mk_surface_message){
            .tag = mk_surface_message_SnapBegin,
            .u.snap_begin = {v->certificate.head.index, v->certificate.head.commit, r->snap.count}};
        if (send_message(r, &m) == 0)
            mk_serve_reader_restart(r); /* it says welcome again, once there is credit */
    }
    return sent;
}

/* --- a map's snapshot -------------------------------------------------------------------- */

static size_t step_snapshot(struct mk_serve_reader *r)
{
    struct mk_snap_item items[MESSAGE_ITEMS];
    struct mk_surface_message m = {.tag = mk_surface_message_SnapItems};
    struct mk_trie_walk at = *r->snap_at;
    size_t n = 0, bytes = 0, sent;

    while (n < MESSAGE_ITEMS && bytes < MESSAGE_BYTES &&
           mk_trie_walk_next(&at, &items[n].key, &items[n].value)) {
        bytes += items[n].key.n + items[n].value.n;
        n++;
    }
    if (n == 0) {
        m.tag = mk_surface_message_SnapEnd;
    } else {
        m.u.snap_items.v = items;
        m.u.snap_items.n = n;
    }
    sent = send_message(r, &m);
    if (sent == 0)
        return 0;
    *r->snap_at = at;
    if (n == 0) {
        snap_done(r);
        r->state = MK_READER_FOLLOWS;
    }
    return sent;
}

/* --- commits and certificates ---------------------------------------------------------------- */

static size_t send_commits(struct mk_serve_reader *r, const struct mk_surface *s, uint64_t last)
{
    struct mk_record records[MESSAGE_ITEMS];
    struct mk_surface_message m = {.tag = mk_surface_message_Records};
    size_t n = 0, bytes = 0, sent;
    struct mk_commit c;

    while (n < MESSAGE_ITEMS && bytes < MESSAGE_BYTES && r->next + n <= last) {
        int rv = mk_surface_commit_at(s, r->next + n, &c);

        MK_ASSERT(rv == 0);
        records[n].marker = !mk_id_eq(&c.digest, &s->schema);
        records[n].payload = c.payload;
        bytes += c.payload.n;
        n++;
    }
    m.u.records = (struct mk_records){.first = r->next, .records = {records, n}};
    sent = send_message(r, &m);
    if (sent > 0) {
        r->next += n;
        r->serve->stats.commits_sent += n;
    }
    return sent;
}

static bool certificate_is_new(const struct mk_serve_reader *r, const struct mk_head *head)
{
    return !r->any_sent || head->index != r->sent_index || head->time_ms != r->sent_ms;
}

/* The chain of rosters comes before the first certificate that needs it. */
static size_t send_roster_change(struct mk_serve_reader *r, uint64_t epoch)
{
    struct mk_surface_message m = {.tag = mk_surface_message_RosterChange};
    const struct mk_roster_change *change = r->serve->host->change(r->serve->host, r->epoch + 1);
    size_t sent = 1;

    if (change == NULL) {
        r->epoch = epoch; /* before our own first: the reader has to find another member */
        return sent;
    }
    m.u.roster_change = *change;
    sent = send_message(r, &m);
    if (sent > 0)
        r->epoch++;
    return sent;
}

static size_t step_follow(struct mk_serve_reader *r, const struct mk_surface *s)
{
    struct mk_served *v = served_of(r);
    const struct mk_head *head = &v->certificate.head;
    struct mk_surface_message m = {.tag = mk_surface_message_Certificate};
    size_t sent;

    if (!v->certified || r->from.tag == mk_from_Lookups)
        return 0;
    if (r->epoch < head->epoch)
        return send_roster_change(r, head->epoch);
    if (r->next < mk_surface_oldest(s)) {
        r->serve->stats.fell_behind++;
        mk_serve_reader_restart(r);
        return step_start(r, s);
    }
    if (r->next <= head->index)
        return send_commits(r, s, head->index);
    if (!certificate_is_new(r, head))
        return 0;
    m.u.certificate = v->certificate;
    sent = send_message(r, &m);
    if (sent > 0) {
        r->any_sent = true;
        r->sent_index = head->index;
        r->sent_ms = head->time_ms;
    }
    return sent;
}

/* --- look-ups ------------------------------------------------------------------------------------
 */

static size_t step_lookup(struct mk_serve_reader *r)
{
    struct mk_surface_message m = {.tag = mk_surface_message_Found};
    struct mk_served *v = served_of(r);
    struct mk_asked *a = &r->asked[0];
    struct mk_arena arena = {0};
    struct mk_bytes key;
    size_t sent;

    if (r->n_asked == 0 || !v->certified)
        return 0;
    if (r->epoch < v->certificate.head.epoch)
        return send_roster_change(r, v->certificate.head.epoch);
    key = MK_BYTES(a->key, a->n_key);
    m.u.found.id = a->id;
    m.u.found.value.some = mk_trie_get(&v->map, key, &m.u.found.value.v) == 0;
    m.u.found.certificate = v->certificate;
    mk_trie_prove(&v->map, &m.u.found.proof, key, &arena);
    sent = send_message(r, &m);
    mk_arena_done(&arena);
    if (sent == 0)
        return 0;
    r->serve->stats.lookups_answered++;
    mk_free(a->key);
    r->n_asked--;
    for (unsigned i = 0; i < r->n_asked; i++)
        r->asked[i] = r->asked[i + 1];
    return sent;
}

static void reader_end(struct mk_serve_reader *r, unsigned close, const char *detail)
{
    mk_conv_close(r->conv, close, detail);
    mk_serve_reader_free(r);
}

static void reader_message_cb(struct mk_conv *c, struct mk_bytes bytes)
{
    struct mk_serve_reader *r = c->owner;
    const struct mk_surface *s = surface_of(r);
    struct mk_arena arena = {0};
    struct mk_fault fault = {{0}};
    struct mk_lookup ask;
    int rv;

    rv = mk_decode(&ask, &mk_lookup_type, bytes, &arena, &fault);
    mk_arena_done(&arena);
    if (rv != 0) {
        reader_end(r, MK_CLOSE_MALFORMED, fault.text);
        return;
    }
    if (s != NULL && !mk_surface_keyed(s->spec->kind)) {
        reader_end(r, MK_CLOSE_MALFORMED, "a stream has no keys");
        return;
    }
    if (ask.key.n > MK_KEY_MAX || r->n_asked >= MK_SERVE_LOOKUPS_MAX) {
        reader_end(r, MK_CLOSE_TOO_LONG, "a key over its limit, or too many look-ups at once");
        return;
    }
    r->asked[r->n_asked++] =
        (struct mk_asked){.id = ask.id, .key = mk_memdup(ask.key.p, ask.key.n), .n_key = ask.key.n};
    mk_conv_consumed(c, bytes.n);
    mk_serve_wake(r->serve);
}

static void reader_writable_cb(struct mk_conv *c)
{
    struct mk_serve_reader *r = c->owner;

    r->blocked = false;
    mk_serve_wake(r->serve);
}

static void reader_closed_cb(struct mk_conv *c, unsigned close, const char *detail)
{
    (void)close;
    (void)detail;
    mk_serve_reader_free(c->owner);
}

const struct mk_conv_cbs mk_serve_reader_cbs = {
    .message = reader_message_cb, .writable = reader_writable_cb, .closed = reader_closed_cb};

/* --- a turn
 * ------------------------------------------------------------------------------------------ */

static size_t reader_step(struct mk_serve_reader *r)
{
    const struct mk_surface *s = surface_of(r);
    size_t sent;

    if (s == NULL)
        return 0; /* a snapshot is being installed */
    if (r->state == MK_READER_START)
        return step_start(r, s);
    sent = step_lookup(r);
    if (sent > 0 || r->blocked)
        return sent;
    switch (r->state) {
    case MK_READER_START:
        break;
    case MK_READER_SNAPSHOT:
        return step_snapshot(r);
    case MK_READER_FOLLOWS:
        return step_follow(r, s);
    }
    return 0;
}

size_t mk_serve_reader_turn(struct mk_serve_reader *r, size_t budget)
{
    size_t total = 0;

    while (total < budget && !r->blocked) {
        size_t sent = reader_step(r);

        if (sent == 0)
            break;
        total += sent;
    }
    return total;
}
