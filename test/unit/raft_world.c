/* raft_world.c - see raft_world.h. Time is a heap of (time, sequence); the sequence
 * breaks ties, so a seed always plays the same. */
#include "raft_world.h"

#include "base/assert.h"
#include "consensus/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK_EVERY 16

enum item_kind { ITEM_MESSAGE, ITEM_WRITTEN, ITEM_FETCHED, ITEM_LINK };

struct world_item {
    uint64_t at, seq;
    enum item_kind kind;
    unsigned to, incarnation, from;
    struct mk_buf bytes; /* MESSAGE */
    uint64_t index;      /* FETCHED */
    bool flag;           /* FETCHED: it went well; LINK: up */
};

struct world_write {
    struct world_write *next;
    bool has_meta, installs;
    uint64_t term, vote;
    uint64_t from; /* entries from here; 0: none */
    struct mk_entry *e;
    size_t n;
    struct world_snapshot snap;
    struct mk_buf *held; /* messages that wait for it */
    uint64_t *held_to;
    size_t n_held;
};

static void found(struct world *w, const char *what)
{
    if (w->found == NULL)
        w->found = what;
}

uint32_t world_random(struct world *w, uint32_t below)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return below == 0 ? 0 : (uint32_t)((w->random * 0x9e3779b97f4a7c15ull >> 33) % below);
}

static uint64_t mix(uint64_t s, const void *p, size_t n)
{
    const uint8_t *b = p;

    for (size_t i = 0; i < n; i++)
        s = (s ^ b[i]) * 1099511628211ull;
    return s ^ s >> 29;
}

static uint64_t entry_hash(const struct mk_entry *e)
{
    uint64_t h = mix(14695981039346656037ull, &e->term, sizeof e->term);

    return mix(h, e->blob->p, e->blob->n) | 1;
}

/* --- the heap --------------------------------------------------------------------- */

static bool item_before(const struct world_item *a, const struct world_item *b)
{
    return a->at < b->at || (a->at == b->at && a->seq < b->seq);
}

static void heap_swap(struct world *w, size_t a, size_t b)
{
    struct world_item t = w->heap[a];

    w->heap[a] = w->heap[b];
    w->heap[b] = t;
}

static void push(struct world *w, struct world_item it)
{
    size_t i = w->n_heap++;

    if (w->n_heap > w->cap_heap) {
        w->cap_heap = w->cap_heap == 0 ? 256 : 2 * w->cap_heap;
        w->heap = mk_realloc(w->heap, w->cap_heap * sizeof *w->heap);
    }
    it.seq = w->seq++;
    it.incarnation = w->node[it.to].incarnation;
    w->heap[i] = it;
    for (; i > 0 && item_before(&w->heap[i], &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap_swap(w, i, (i - 1) / 2);
}

static struct world_item pop(struct world *w)
{
    struct world_item it = w->heap[0];
    size_t i = 0;

    w->heap[0] = w->heap[--w->n_heap];
    for (;;) {
        size_t k = 2 * i + 1;

        if (k >= w->n_heap)
            return it;
        if (k + 1 < w->n_heap && item_before(&w->heap[k + 1], &w->heap[k]))
            k++;
        if (!item_before(&w->heap[k], &w->heap[i]))
            return it;
        heap_swap(w, i, k);
        i = k;
    }
}

/* --- the disk ---------------------------------------------------------------------- */

static void disk_truncate(struct world_disk *d, size_t n)
{
    while (d->n > n)
        mk_blob_unref(d->e[--d->n].blob);
}

static void disk_drop_before(struct world_disk *d, uint64_t first)
{
    size_t k = 0;

    while (k < d->n && d->first + k < first)
        mk_blob_unref(d->e[k++].blob);
    memmove(d->e, d->e + k, (d->n - k) * sizeof *d->e);
    d->n -= k;
    if (d->first < first)
        d->first = first;
}

static void disk_put(struct world_disk *d, const struct world_write *wr)
{
    if (wr->from == 0)
        return;
    if (d->n == 0)
        d->first = wr->from;
    MK_ASSERT(wr->from >= d->first && wr->from <= d->first + d->n);
    disk_truncate(d, wr->from - d->first);
    for (size_t i = 0; i < wr->n; i++) {
        if (d->n == d->cap) {
            d->cap = d->cap == 0 ? 64 : 2 * d->cap;
            d->e = mk_realloc(d->e, d->cap * sizeof *d->e);
        }
        d->e[d->n] = wr->e[i];
        mk_blob_ref(d->e[d->n++].blob);
    }
}

static void write_apply(struct world *w, struct world_node *x, const struct world_write *wr)
{
    struct world_disk *d = &x->disk;

    if (wr->has_meta) {
        if (wr->term < d->term || (wr->term == d->term && d->vote != 0 && wr->vote != d->vote))
            found(w, "durable term or vote went back");
        d->term = wr->term;
        d->vote = wr->vote;
    }
    if (wr->installs) {
        disk_truncate(d, 0);
        d->first = wr->snap.meta.index + 1;
        d->snap = wr->snap;
    }
    disk_put(d, wr);
}

static void write_free(struct world_write *wr)
{
    for (size_t i = 0; i < wr->n; i++)
        mk_blob_unref(wr->e[i].blob);
    for (size_t i = 0; i < wr->n_held; i++)
        mk_buf_done(&wr->held[i]);
    mk_free(wr->held);
    mk_free(wr->held_to);
    mk_free(wr->e);
    mk_free(wr);
}

static struct world_write *write_add(struct world *w, struct world_node *x)
{
    struct world_write *wr = mk_alloc(sizeof *wr), **at = &x->writes;

    while (*at != NULL)
        at = &(*at)->next;
    *at = wr;
    x->n_writes++;
    push(w, (struct world_item){.at = w->now + world_random(w, w->disk_max + 1) + 1,
                                .kind = ITEM_WRITTEN,
                                .to = (unsigned)x->id});
    return wr;
}

/* --- checkers ------------------------------------------------------------------------ */

static void check_vote(struct world *w, uint64_t voter, uint64_t term, uint64_t candidate)
{
    if (term >= WORLD_TERMS)
        return;
    if (w->votes[term][voter] != 0 && w->votes[term][voter] != candidate)
        found(w, "two votes in one term");
    w->votes[term][voter] = candidate;
}

static void check_leader(struct world *w, const struct world_node *x)
{
    uint64_t term = mk_consensus_term(x->c);

    if (mk_consensus_role(x->c) != MK_ROLE_LEADER || term >= WORLD_TERMS)
        return;
    if (w->leaders[term] != 0 && w->leaders[term] != x->id)
        found(w, "two leaders in one term");
    w->leaders[term] = x->id;
}

/* Two logs that agree on (index, term) agree on everything before. */
static void check_matching(struct world *w, const struct world_node *a, const struct world_node *b)
{
    uint64_t i = mk_consensus_last(a->c), first = mk_consensus_first(a->c);
    bool agree = false;

    if (i > mk_consensus_last(b->c))
        i = mk_consensus_last(b->c);
    if (first < mk_consensus_first(b->c))
        first = mk_consensus_first(b->c);
    for (; i >= first && i > 0; i--) {
        const struct mk_entry *x = mk_consensus_entry(a->c, i), *y = mk_consensus_entry(b->c, i);

        if (x->term == y->term)
            agree = true;
        if (agree && entry_hash(x) != entry_hash(y))
            found(w, "logs agree at an index and differ before it");
        if (agree && x->blob == y->blob && i + 64 < mk_consensus_last(a->c))
            return;
    }
}

static void check_node(struct world *w, struct world_node *x)
{
    check_leader(w, x);
    if (!mk_core_check(x->c))
        found(w, "the core and its mirror differ");
    if (w->events % CHECK_EVERY != 0)
        return;
    for (unsigned i = 1; i <= WORLD_NODES; i++)
        if (i != x->id && w->node[i].up)
            check_matching(w, x, &w->node[i]);
}

/* --- effects --------------------------------------------------------------------------- */

/* A vote counts once it leaves: before, a crash takes it back. */
static void check_sent(struct world *w, uint64_t from, uint64_t to, const struct mk_buf *bytes)
{
    struct mk_message m;
    int rv = mk_message_decode(&m, mk_buf_bytes(bytes));

    MK_ASSERT(rv == 0); /* what we send, we can read */
    if (m.kind == MK_MSG_VOTE_RESULT && m.granted && !m.pre_vote)
        check_vote(w, from, m.term, to);
    if (m.kind == MK_MSG_VOTE && !m.pre_vote)
        check_vote(w, from, m.term, from);
    mk_message_done(&m);
}

static void deliver_later(struct world *w, unsigned from, uint64_t to, struct mk_buf *bytes)
{
    bool lost =
        to == 0 || to > WORLD_NODES || w->cut[from][to] || world_random(w, 100) < w->drop_percent;

    check_sent(w, from, to, bytes);
    if (lost) {
        mk_buf_done(bytes);
        return;
    }
    push(w, (struct world_item){.at = w->now + 1 + world_random(w, w->delay_max),
                                .kind = ITEM_MESSAGE,
                                .to = (unsigned)to,
                                .from = from,
                                .bytes = *bytes});
}

static void send(struct world *w, struct world_node *x, unsigned i)
{
    struct mk_buf bytes = {0};
    uint64_t to = mk_consensus_encode(x->c, i, &bytes);
    struct world_write *wr = x->writes;

    if (x->done_writes >= x->meta_write) {
        deliver_later(w, (unsigned)x->id, to, &bytes);
        return;
    }
    for (uint64_t k = x->done_writes + 1; k < x->meta_write; k++)
        wr = wr->next;
    wr->held = mk_realloc(wr->held, (wr->n_held + 1) * sizeof *wr->held);
    wr->held_to = mk_realloc(wr->held_to, (wr->n_held + 1) * sizeof *wr->held_to);
    wr->held[wr->n_held] = bytes;
    wr->held_to[wr->n_held++] = to;
}

static void persist(struct world *w, struct world_node *x, const struct mk_effects *fx)
{
    struct world_write *wr;

    if (!fx->meta && fx->persist_from == 0 && fx->install == NULL)
        return;
    wr = write_add(w, x);
    wr->has_meta = fx->meta;
    wr->term = fx->term;
    wr->vote = fx->vote;
    if (fx->meta)
        x->meta_write = x->n_writes;
    if (fx->install != NULL) {
        wr->installs = true;
        wr->snap.meta = *fx->install;
        memcpy(&wr->snap.state, fx->install->handle, sizeof wr->snap.state);
    }
    wr->from = fx->persist_from;
    if (wr->from == 0)
        return;
    wr->n = fx->persist_last - fx->persist_from + 1;
    wr->e = mk_alloc(wr->n * sizeof *wr->e);
    for (size_t i = 0; i < wr->n; i++) {
        wr->e[i] = *mk_consensus_entry(x->c, wr->from + i);
        mk_blob_ref(wr->e[i].blob);
    }
}

static void apply(struct world *w, struct world_node *x, uint64_t commit)
{
    const struct mk_entry *e;

    while (x->applied < commit && (e = mk_consensus_entry(x->c, x->applied + 1)) != NULL) {
        uint64_t h = entry_hash(e), i = ++x->applied;

        if (i >= WORLD_HISTORY)
            return;
        x->state = mix(x->state, &h, sizeof h);
        if (w->history[i] != 0 && w->history[i] != h)
            found(w, "a committed entry changed");
        if (w->states[i] != 0 && w->states[i] != x->state)
            found(w, "machines differ");
        w->history[i] = h;
        w->states[i] = x->state;
    }
    if (x->applied > w->committed)
        w->committed = x->applied;
}

static void fetch(struct world *w, struct world_node *x, const struct mk_effects *fx)
{
    push(w, (struct world_item){.at = w->now + 1 + world_random(w, 20),
                                .kind = ITEM_FETCHED,
                                .to = (unsigned)x->id,
                                .index = fx->fetch->index,
                                .flag = world_random(w, 100) >= w->drop_percent});
}

static void read_done(struct world *w, struct world_node *x, const struct mk_effects *fx)
{
    if (fx->role_changed)
        x->read_ticket = 0;
    if (x->read_ticket == 0 || fx->reads_done < x->read_ticket)
        return;
    if (fx->read_index < x->read_floor)
        found(w, "a confirmed read misses what was committed");
    x->read_ticket = 0;
    w->reads++;
}

static void react(struct world *w, struct world_node *x)
{
    struct mk_effects fx;

    mk_consensus_effects(x->c, &fx);
    persist(w, x, &fx);
    for (unsigned i = 0; i < fx.n_messages; i++)
        send(w, x, i);
    if (fx.fetch != NULL)
        fetch(w, x, &fx);
    apply(w, x, fx.commit);
    read_done(w, x, &fx);
    x->deadline = fx.deadline_ms;
    x->role = mk_consensus_role(x->c);
    x->term = mk_consensus_term(x->c);
    w->events++;
    check_node(w, x);
}

static void judge(struct world *w, int rv)
{
    if (rv != 0 && rv != MK_ENOTLEADER && rv != MK_EFULL && rv != MK_EINVALID &&
        rv != MK_ENOTFOUND && rv != MK_ELIMIT)
        found(w, rv == MK_EPROTOCOL ? "an honest message was refused" : "a member died");
}

/* --- events ---------------------------------------------------------------------------- */

static void on_written(struct world *w, struct world_node *x)
{
    struct world_write *wr = x->writes;

    x->writes = wr->next;
    x->done_writes++;
    write_apply(w, x, wr);
    for (size_t i = 0; i < wr->n_held; i++)
        deliver_later(w, (unsigned)x->id, wr->held_to[i], &wr->held[i]);
    wr->n_held = 0;
    if (wr->installs) {
        x->applied = wr->snap.meta.index;
        x->state = wr->snap.state;
        if (w->states[x->applied] != x->state)
            found(w, "an installed snapshot is another history");
        judge(w, mk_consensus_installed(x->c, wr->snap.meta.index, w->now));
        w->installs++;
    }
    if (wr->from != 0)
        judge(w, mk_consensus_persisted(x->c, wr->from + wr->n - 1, wr->e[wr->n - 1].term, w->now));
    write_free(wr);
    react(w, x);
}

/* What the processes' beats would have told it by now. */
static void hear(struct world *w, struct world_node *x)
{
    uint64_t leader = mk_consensus_leader(x->c);

    if (mk_consensus_is_quiet(x->c) && leader != 0 && leader <= WORLD_NODES && w->node[leader].up &&
        !w->cut[leader][x->id])
        mk_consensus_heard(x->c, leader, w->now);
}

static void on_item(struct world *w, struct world_item *it)
{
    struct world_node *x = &w->node[it->to];

    if (!x->up || x->incarnation != it->incarnation ||
        (it->kind == ITEM_MESSAGE && w->cut[it->from][it->to]))
        return;
    hear(w, x);
    switch (it->kind) {
    case ITEM_MESSAGE:
        judge(w, mk_consensus_receive(x->c, it->from, mk_buf_bytes(&it->bytes), w->now));
        break;
    case ITEM_WRITTEN:
        on_written(w, x);
        return;
    case ITEM_FETCHED:
        if (it->flag)
            judge(w, mk_consensus_fetched(x->c, it->index, w->now));
        else
            mk_consensus_fetch_failed(x->c, it->index);
        break;
    case ITEM_LINK:
        mk_consensus_link(x->c, it->from, it->flag, w->now);
        break;
    }
    react(w, x);
}

void world_run(struct world *w, uint64_t ms)
{
    uint64_t until = w->now + ms;

    while (w->found == NULL) {
        struct world_node *x = NULL;
        uint64_t at = until;

        for (unsigned i = 1; i <= WORLD_NODES; i++)
            if (w->node[i].up && w->node[i].deadline < at) {
                x = &w->node[i];
                at = x->deadline;
            }
        if (w->n_heap > 0 && w->heap[0].at <= at) {
            struct world_item it = pop(w);

            if (it.at > w->now)
                w->now = it.at;
            on_item(w, &it);
            mk_buf_done(&it.bytes);
            continue;
        }
        if (x == NULL)
            break;
        if (at > w->now)
            w->now = at;
        x->timeouts++;
        judge(w, mk_consensus_timeout(x->c, w->now));
        react(w, x);
    }
    w->now = until;
}

/* --- nodes ------------------------------------------------------------------------------ */

struct world *world_new(uint64_t seed)
{
    struct world *w = mk_alloc(sizeof *w);

    w->seed = seed;
    w->random = seed * 0x9e3779b97f4a7c15ull + 0x1234567;
    w->delay_max = 5;
    w->disk_max = 3;
    w->election_ms = 150;
    w->heartbeat_ms = 30;
    w->history = mk_alloc(WORLD_HISTORY * sizeof *w->history);
    w->states = mk_alloc(WORLD_HISTORY * sizeof *w->states);
    w->leaders = mk_alloc(WORLD_TERMS * sizeof *w->leaders);
    w->votes = mk_alloc(WORLD_TERMS * sizeof *w->votes);
    for (unsigned i = 1; i <= WORLD_NODES; i++) {
        w->node[i].id = i;
        w->node[i].disk.first = 1;
    }
    return w;
}

static void tell_links(struct world *w, unsigned id, bool up)
{
    for (unsigned i = 1; w->hints && i <= WORLD_NODES; i++) {
        if (i == id)
            continue;
        push(w, (struct world_item){.at = w->now + 1,
                                    .kind = ITEM_LINK,
                                    .to = i,
                                    .from = id,
                                    .flag = up && w->node[i].up});
        push(w, (struct world_item){.at = w->now + 1,
                                    .kind = ITEM_LINK,
                                    .to = id,
                                    .from = i,
                                    .flag = up && w->node[i].up});
    }
}

void world_start(struct world *w, unsigned id)
{
    struct world_node *x = &w->node[id];
    struct world_disk *d = &x->disk;
    struct mk_consensus_options o = {.id = id,
                                     .seed = w->seed * 31 + id * 7919 + x->incarnation,
                                     .election_ms = w->election_ms,
                                     .heartbeat_ms = w->heartbeat_ms,
                                     .install_ms = 300,
                                     .uncured = w->uncured};
    struct mk_consensus_start s = {.term = d->term,
                                   .vote = d->vote,
                                   .snapshot = d->snap.meta.index > 0 ? &d->snap.meta : NULL,
                                   .first_index = d->first,
                                   .entries = d->e,
                                   .n_entries = (unsigned)d->n};

    MK_ASSERT(!x->up);
    if (mk_consensus_open(&x->c, &o, &s, w->now) != 0) {
        found(w, "a member does not open");
        return;
    }
    x->up = true;
    x->incarnation++;
    x->applied = d->snap.meta.index;
    x->state = d->snap.state;
    tell_links(w, id, true);
    react(w, x);
}

void world_crash(struct world *w, unsigned id)
{
    struct world_node *x = &w->node[id];
    bool keep = true;

    MK_ASSERT(x->up);
    for (unsigned i = 1; i <= WORLD_NODES; i++)
        if (w->node[i].up)
            hear(w, &w->node[i]);
    while (x->writes != NULL) { /* a prefix of what was under way may have made it */
        struct world_write *wr = x->writes;

        x->writes = wr->next;
        keep = keep && world_random(w, 2) == 0;
        if (keep)
            write_apply(w, x, wr);
        write_free(wr);
    }
    mk_consensus_free(x->c);
    x->c = NULL;
    x->up = false;
    x->incarnation++;
    x->n_writes = x->done_writes = x->meta_write = x->read_ticket = 0;
    tell_links(w, id, false);
}

void world_free(struct world *w)
{
    for (unsigned i = 1; i <= WORLD_NODES; i++) {
        if (w->node[i].up)
            world_crash(w, i);
        disk_truncate(&w->node[i].disk, 0);
        mk_free(w->node[i].disk.e);
    }
    for (size_t i = 0; i < w->n_heap; i++)
        mk_buf_done(&w->heap[i].bytes);
    mk_free(w->heap);
    mk_free(w->history);
    mk_free(w->states);
    mk_free(w->leaders);
    mk_free(w->votes);
    mk_free(w);
}

void world_boot(struct world *w, unsigned n)
{
    struct mk_configuration conf = {.n = n};
    struct mk_buf b = {0};

    for (unsigned i = 0; i < n; i++)
        conf.servers[i] = (struct mk_server){i + 1, MK_SERVER_VOTER};
    mk_configuration_encode(&conf, &b);
    for (unsigned i = 1; i <= n; i++) {
        struct world_disk *d = &w->node[i].disk;

        d->term = 1;
        d->cap = d->n = 1;
        d->e = mk_alloc(sizeof *d->e);
        d->e[0] = (struct mk_entry){1, MK_ENTRY_CHANGE, mk_blob_new(b.p, b.n)};
        world_start(w, i);
    }
    mk_buf_done(&b);
}

void world_isolate(struct world *w, unsigned id, bool on)
{
    for (unsigned i = 1; i <= WORLD_NODES; i++)
        if (i != id)
            w->cut[i][id] = w->cut[id][i] = on;
}

void world_heal(struct world *w)
{
    memset(w->cut, 0, sizeof w->cut);
    w->drop_percent = 0;
    w->delay_max = 5;
}

struct world_node *world_leader(struct world *w)
{
    struct world_node *best = NULL;

    for (unsigned i = 1; i <= WORLD_NODES; i++) {
        struct world_node *x = &w->node[i];

        if (x->up && x->role == MK_ROLE_LEADER && (best == NULL || x->term > best->term))
            best = x;
    }
    return best;
}

struct world_node *world_wait_leader(struct world *w, uint64_t ms)
{
    for (uint64_t end = w->now + ms; w->now < end && w->found == NULL;) {
        struct world_node *x = world_leader(w);

        if (x != NULL && mk_consensus_ready(x->c))
            return x;
        world_run(w, 1);
    }
    return NULL;
}

bool world_agrees(struct world *w)
{
    struct world_node *l = world_leader(w);
    const struct mk_configuration *conf;

    if (l == NULL || !mk_consensus_ready(l->c) || l->applied != mk_consensus_last(l->c))
        return false;
    conf = mk_consensus_configuration(l->c);
    for (unsigned i = 0; i < conf->n; i++) {
        struct world_node *x = &w->node[conf->servers[i].id];

        if (conf->servers[i].role == MK_SERVER_VOTER && (!x->up || x->applied != l->applied))
            return false;
    }
    return true;
}

bool world_wait_agreement(struct world *w, uint64_t ms)
{
    for (uint64_t end = w->now + ms; w->now < end && w->found == NULL; world_run(w, 10))
        if (world_agrees(w))
            return true;
    return false;
}

/* --- requests ---------------------------------------------------------------------------- */

int world_submit(struct world *w, struct world_node *x, size_t bytes)
{
    struct mk_blob *b = mk_blob_take(bytes);
    uint64_t first;
    int rv;

    for (size_t i = 0; i < bytes; i++)
        b->p[i] = (uint8_t)world_random(w, 256);
    rv = mk_consensus_submit(x->c, &first, &b, 1, w->now);
    if (rv != 0)
        mk_blob_unref(b);
    judge(w, rv);
    react(w, x);
    return rv;
}

int world_rest(struct world *w, struct world_node *x)
{
    int rv = mk_consensus_rest(x->c, w->now);

    judge(w, rv);
    react(w, x);
    return rv;
}

void world_wake(struct world *w, struct world_node *x, uint64_t heard_ms)
{
    mk_consensus_heard(x->c, mk_consensus_leader(x->c), heard_ms);
    mk_consensus_wake(x->c, w->now);
    react(w, x);
}

int world_forge(struct world *w, struct world_node *x, uint64_t from, struct mk_bytes bytes)
{
    int rv = mk_consensus_receive(x->c, from, bytes, w->now);

    react(w, x);
    return rv;
}

int world_change(struct world *w, struct world_node *x, const struct mk_configuration *conf)
{
    uint64_t index;
    int rv = mk_consensus_change(x->c, &index, conf, w->now);

    judge(w, rv);
    if (rv == 0)
        w->changes++;
    react(w, x);
    return rv;
}

int world_transfer(struct world *w, struct world_node *x, uint64_t to)
{
    int rv = mk_consensus_transfer(x->c, to, w->now);

    judge(w, rv);
    react(w, x);
    return rv;
}

bool world_read(struct world *w, struct world_node *x)
{
    if (x->read_ticket != 0 || mk_consensus_read(x->c, &x->read_ticket, w->now) != 0)
        return false;
    x->read_floor = w->committed;
    react(w, x);
    return true;
}

bool world_snapshot(struct world *w, struct world_node *x, unsigned trailing)
{
    struct world_snapshot s = {.state = x->state};

    if (mk_consensus_installing(x->c) || x->applied <= mk_consensus_snapshot(x->c) ||
        mk_consensus_describe(x->c, &s.meta, x->applied) != 0)
        return false;
    memcpy(s.meta.handle, &s.state, sizeof s.state);
    s.meta.handle_n = sizeof s.state;
    if (mk_consensus_stored(x->c) < s.meta.index && x->writes != NULL)
        return false; /* our store is in order: what is referenced is durable */
    x->disk.snap = s;
    judge(w, mk_consensus_compact(x->c, &s.meta, trailing, w->now));
    disk_drop_before(&x->disk, mk_consensus_first(x->c));
    react(w, x);
    return true;
}

void world_say(const struct world *w)
{
    static const char *const roles[] = {"follower", "candidate", "leader"};

    for (unsigned i = 1; i <= WORLD_NODES; i++) {
        const struct world_node *x = &w->node[i];
        const struct mk_configuration *conf;

        if (!x->up)
            continue;
        conf = mk_consensus_configuration(x->c);
        fprintf(stderr,
                "#   %u %s term %d leader %d log %d..%d stored %d commit %d applied %d snap %d%s",
                i, roles[mk_consensus_role(x->c)], (int)mk_consensus_term(x->c),
                (int)mk_consensus_leader(x->c), (int)mk_consensus_first(x->c),
                (int)mk_consensus_last(x->c), (int)mk_consensus_stored(x->c),
                (int)mk_consensus_commit(x->c), (int)x->applied, (int)mk_consensus_snapshot(x->c),
                mk_consensus_installing(x->c) ? " installing" : "");
        for (unsigned k = 0; k < conf->n; k++)
            fprintf(stderr, "%s %d%s", k == 0 ? "; of" : ",", (int)conf->servers[k].id,
                    conf->servers[k].role == MK_SERVER_VOTER ? "" : " (learner)");
        fprintf(stderr, "; %d timeouts\n", (int)x->timeouts);
    }
}
