/* The search for an order, after Wing and Gong, with Lowe's memory.
 *
 * Invocations and answers stand in a list by time. An operation may come next in the order
 * when its invocation stands before the first answer in the list: then nothing that is
 * left had to come before it. It is taken (its two entries leave the list) if the model
 * allows it; when the list begins with an answer, or nothing else may come, the last
 * choice is taken back. When no answer is left, an order was found: what was not answered
 * may never have happened.
 *
 *   w(1) ----        take r first? the model refuses: the register is nil
 *     r=1 -----      take w, then r: an order
 *
 * What makes it fast: a configuration (which were taken, the state) that was seen before
 * leads nowhere, again. An operation that never changes anything (a read) is taken as soon
 * as it is allowed, and for good: any order that has it later is as good with it here. Of
 * operations without an answer that do the same, the first invoked is taken first, and none where
 * it changes nothing.
 *
 * A configuration is remembered exactly: those answered as the length of the prefix that
 * was taken, in order of invocation, and the bits behind it; the others as bits. */
#include "linear_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX
#define ASK_EVERY 1024u
#define BYTES_DEFAULT ((size_t)1 << 30)

struct entry {
    uint32_t prev, next; /* indices in entries */
    uint32_t op;
    bool answer;
};

struct node { /* an operation */
    const struct mk_op *op;
    uint32_t call, answer; /* entries; answer NONE: there is none */
    uint32_t rank;         /* among those with, or those without an answer */
    uint32_t twin;         /* without: the one before that does the same, or NONE */
    bool taken, idle;      /* idle: it never changes anything */
};

struct choice {
    uint32_t op;
    uint64_t state; /* before it */
    uint32_t low, high, open_high;
    bool forced;
};

struct seen {
    uint64_t hash;
    size_t at; /* in keys; 0: empty */
};

struct search {
    struct mk_linear *h;
    struct entry *entries; /* 0 is the head */
    struct node *ops;
    size_t n, n_answered;
    uint64_t *answered, *open; /* bits of what was taken, by rank */
    uint32_t low, high;        /* answered: all below low are taken, none from high on */
    uint32_t open_high;        /* open: none from here on */
    struct choice *choices;
    size_t n_choices, left; /* left: answers */
    uint64_t state;
    struct seen *table;
    size_t table_n, n_seen;
    struct mk_buf keys, key;
    size_t deepest;
    bool out; /* of time or memory */
    const struct mk_op *stuck;
};

/* --- making the list ---------------------------------------------------------------------- */

struct moment {
    uint64_t time;
    uint32_t op;
    bool answer;
};

/* At one time invocations come first: then the two overlap, which is what is not known. */
static int by_time(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;

    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    if (x->answer != y->answer)
        return x->answer ? 1 : -1;
    return x->op < y->op ? -1 : x->op > y->op;
}

static void make_list(struct search *s)
{
    struct moment *m = mk_alloc((2 * s->n + 1) * sizeof *m);
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->n; i++) {
        const struct mk_linear_operation *o = &s->ops[i].op->o;

        m[n++] = (struct moment){o->invoked, i, false};
        if (o->answered != MK_LINEAR_NEVER)
            m[n++] = (struct moment){o->answered, i, true};
    }
    qsort(m, n, sizeof *m, by_time);
    s->entries = mk_alloc((n + 1) * sizeof *s->entries);
    for (uint32_t i = 0; i <= n; i++)
        s->entries[i] =
            (struct entry){.prev = i == 0 ? NONE : i - 1, .next = i == n ? NONE : i + 1};
    for (uint32_t i = 0; i < n; i++) {
        s->entries[i + 1].op = m[i].op;
        s->entries[i + 1].answer = m[i].answer;
        if (m[i].answer)
            s->ops[m[i].op].answer = i + 1;
        else
            s->ops[m[i].op].call = i + 1;
    }
    mk_free(m);
}

static uint32_t find_twin(const struct search *s, uint32_t i)
{
    for (uint32_t j = i; j-- > 0;)
        if (s->ops[j].op->o.answered == MK_LINEAR_NEVER &&
            mk_model_same(s->ops[j].op, s->ops[i].op))
            return j;
    return NONE;
}

static void make_ops(struct search *s, const struct mk_op *const *v)
{
    uint32_t with = 0, without = 0;

    s->ops = mk_alloc((s->n + 1) * sizeof *s->ops);
    for (uint32_t i = 0; i < s->n; i++) {
        bool open = v[i]->o.answered == MK_LINEAR_NEVER;

        s->ops[i] = (struct node){.op = v[i], .answer = NONE, .twin = NONE};
        s->ops[i].idle = mk_model_idle(v[i]);
        s->ops[i].rank = open ? without++ : with++;
        if (open)
            s->ops[i].twin = find_twin(s, i);
    }
    s->n_answered = s->left = with;
    s->answered = mk_alloc((with / 64 + 2) * sizeof *s->answered);
    s->open = mk_alloc((without / 64 + 2) * sizeof *s->open);
    s->choices = mk_alloc((s->n + 1) * sizeof *s->choices);
}

/* --- taking and giving back --------------------------------------------------------------- */

static bool bit(const uint64_t *bits, uint32_t i)
{
    return bits[i / 64] >> (i % 64) & 1;
}

static void unlink_entry(struct search *s, uint32_t i)
{
    struct entry *e = &s->entries[i];

    s->entries[e->prev].next = e->next;
    if (e->next != NONE)
        s->entries[e->next].prev = e->prev;
}

static void relink_entry(struct search *s, uint32_t i)
{
    struct entry *e = &s->entries[i];

    s->entries[e->prev].next = i;
    if (e->next != NONE)
        s->entries[e->next].prev = i;
}

static void take(struct search *s, uint32_t i, uint64_t next, bool forced)
{
    struct node *o = &s->ops[i];

    s->choices[s->n_choices++] =
        (struct choice){i, s->state, s->low, s->high, s->open_high, forced};
    o->taken = true;
    s->state = next;
    unlink_entry(s, o->call);
    if (o->answer == NONE) {
        s->open[o->rank / 64] |= (uint64_t)1 << (o->rank % 64);
        s->open_high = o->rank >= s->open_high ? o->rank + 1 : s->open_high;
        return;
    }
    unlink_entry(s, o->answer);
    s->left--;
    s->answered[o->rank / 64] |= (uint64_t)1 << (o->rank % 64);
    s->high = o->rank >= s->high ? o->rank + 1 : s->high;
    while (s->low < s->high && bit(s->answered, s->low))
        s->low++;
}

static struct choice give_back(struct search *s)
{
    struct choice c = s->choices[--s->n_choices];
    struct node *o = &s->ops[c.op];
    uint64_t *bits = o->answer == NONE ? s->open : s->answered;

    bits[o->rank / 64] &= ~((uint64_t)1 << (o->rank % 64));
    if (o->answer != NONE) {
        relink_entry(s, o->answer);
        s->left++;
    }
    relink_entry(s, o->call);
    o->taken = false;
    s->state = c.state;
    s->low = c.low;
    s->high = c.high;
    s->open_high = c.open_high;
    return c;
}

/* --- remembering ------------------------------------------------------------------------------ */

static void put_key(struct search *s)
{
    mk_buf_clear(&s->key);
    mk_buf_put_u64le(&s->key, s->state);
    mk_buf_put_u32le(&s->key, s->low);
    mk_buf_put_u32le(&s->key, s->high);
    for (uint32_t w = s->low / 64; w * 64 < s->high; w++)
        mk_buf_put(&s->key, &s->answered[w], sizeof s->answered[w]);
    for (uint32_t w = 0; w * 64 < s->open_high; w++)
        mk_buf_put(&s->key, &s->open[w], sizeof s->open[w]);
}

static uint64_t hash_key(const struct mk_buf *key)
{
    uint64_t h = key->n;

    for (size_t i = 0; i < key->n; i += 8) {
        uint64_t word;

        memcpy(&word, key->p + i, 8);
        h = (h ^ word) * 0x9e3779b97f4a7c15ull;
        h ^= h >> 32;
    }
    return h;
}

static void table_grow(struct search *s)
{
    struct seen *old = s->table;
    size_t old_n = s->table_n;

    s->table_n = old_n == 0 ? 1024 : 2 * old_n;
    s->table = mk_alloc(s->table_n * sizeof *s->table);
    for (size_t i = 0; i < old_n; i++) {
        size_t at = old[i].hash & (s->table_n - 1);

        if (old[i].at == 0)
            continue;
        while (s->table[at].at != 0)
            at = (at + 1) & (s->table_n - 1);
        s->table[at] = old[i];
    }
    mk_free(old);
}

/* Is the configuration new? It is remembered. */
static bool is_new(struct search *s)
{
    uint64_t hash;
    size_t at;

    put_key(s);
    hash = hash_key(&s->key);
    if (3 * (s->n_seen + 1) > 2 * s->table_n)
        table_grow(s);
    for (at = hash & (s->table_n - 1); s->table[at].at != 0; at = (at + 1) & (s->table_n - 1)) {
        const uint8_t *k = s->keys.p + s->table[at].at;
        uint32_t n;

        memcpy(&n, k, sizeof n);
        if (s->table[at].hash == hash && n == s->key.n && memcmp(k + sizeof n, s->key.p, n) == 0)
            return false;
    }
    if (s->keys.n == 0)
        mk_buf_put_u8(&s->keys, 0); /* so that no key is at 0 */
    s->table[at] = (struct seen){hash, s->keys.n};
    s->n_seen++;
    mk_buf_put_u32le(&s->keys, (uint32_t)s->key.n);
    mk_buf_put(&s->keys, s->key.p, s->key.n);
    return true;
}

static size_t memory(const struct search *s)
{
    return s->keys.cap + s->table_n * sizeof *s->table + s->h->states.bytes +
           s->h->steps.cap * sizeof *s->h->steps.v;
}

/* --- the search
 * ----------------------------------------------------------------------------------- */

/* May it come next, with which state after it? */
static bool allowed(struct search *s, uint32_t i, uint64_t *ret)
{
    const struct node *o = &s->ops[i];

    if (o->twin != NONE && !s->ops[o->twin].taken)
        return false;
    return mk_model_step(s->h, o->op, s->state, ret) && (o->answer != NONE || *ret != s->state);
}

/* Takes every operation that is allowed and never changes anything. */
static void take_idle(struct search *s)
{
    uint32_t at = s->entries[0].next;
    uint64_t next;

    while (at != NONE && !s->entries[at].answer) {
        uint32_t i = s->entries[at].op;

        at = s->entries[at].next;
        if (s->ops[i].idle && allowed(s, i, &next))
            take(s, i, next, /* forced= */ true);
        if (at != NONE && s->entries[at].answer && s->ops[s->entries[at].op].taken)
            at = s->entries[0].next;
    }
}

static void note_stuck(struct search *s, uint32_t op)
{
    size_t done = s->n_answered - s->left;

    if (s->stuck != NULL && done <= s->deepest)
        return;
    s->deepest = done;
    s->stuck = s->ops[op].op;
}

/* Back to the last choice that was one; the entry behind it, or NONE: there was none. */
static uint32_t go_back(struct search *s)
{
    while (s->n_choices > 0) {
        struct choice c = give_back(s);

        if (!c.forced)
            return s->entries[s->ops[c.op].call].next;
    }
    return NONE;
}

/* Texts only: the next read to be answered saw what this state cannot become, since what
 * may still come before it appends, or puts another beginning. A search would find that
 * out, much later: each order of appends is another state. */
static bool is_off(const struct search *s)
{
    uint32_t at = s->entries[0].next, read = at;

    if (s->h->model != MK_LINEAR_KV)
        return false;
    while (read != NONE && !(s->entries[read].answer && s->ops[s->entries[read].op].idle))
        read = s->entries[read].next;
    if (read == NONE || !mk_model_off(s->h, s->ops[s->entries[read].op].op, s->state))
        return false;
    for (; at != read; at = s->entries[at].next) {
        const struct mk_op *put = s->ops[s->entries[at].op].op;

        if (put->o.kind == MK_LINEAR_WRITE &&
            mk_model_begins(s->h, s->ops[s->entries[read].op].op, put))
            return false;
    }
    return true;
}

/* Tries what may come next, beginning with the entry. True: one was taken. */
static bool choose(struct search *s, uint32_t at)
{
    for (; at != NONE && !s->entries[at].answer; at = s->entries[at].next) {
        uint64_t next;

        if (!allowed(s, s->entries[at].op, &next))
            continue;
        take(s, s->entries[at].op, next, /* forced= */ false);
        if (!is_off(s) && is_new(s))
            return true;
        give_back(s);
    }
    if (at != NONE)
        note_stuck(s, s->entries[at].op);
    return false;
}

static enum mk_linear_verdict search(struct search *s, const struct mk_linear_limits *l,
                                     uint64_t steps_max)
{
    size_t bytes = l->bytes > 0 ? l->bytes : BYTES_DEFAULT;
    uint64_t steps = 0;
    uint32_t at;

    take_idle(s);
    at = s->entries[0].next;
    while (s->left > 0) {
        if (steps++ == steps_max)
            return MK_LINEAR_UNKNOWN;
        if (steps % ASK_EVERY == 0 &&
            ((l->expired != NULL && l->expired(l->arg)) || memory(s) > bytes)) {
            s->out = true;
            return MK_LINEAR_UNKNOWN;
        }
        if (choose(s, at)) {
            take_idle(s);
            at = s->entries[0].next;
            continue;
        }
        if (s->n_choices == 0)
            return MK_LINEAR_REFUSED;
        at = go_back(s);
        if (at == NONE && s->n_choices == 0)
            return MK_LINEAR_REFUSED;
    }
    return MK_LINEAR_OK;
}

static void explain(const struct search *s, struct mk_linear_result *ret)
{
    static const char *const names[] = {
        [MK_LINEAR_READ] = "read",       [MK_LINEAR_WRITE] = "write",
        [MK_LINEAR_CAS] = "cas",         [MK_LINEAR_ADD] = "addition",
        [MK_LINEAR_ACQUIRE] = "acquire", [MK_LINEAR_RELEASE] = "release",
        [MK_LINEAR_APPEND] = "append",   [MK_LINEAR_TXN] = "transaction",
    };

    if (ret->verdict == MK_LINEAR_UNKNOWN) {
        snprintf(ret->why, sizeof ret->why, "out of time or memory after %zu configurations",
                 s->n_seen);
        return;
    }
    MK_ASSERT(s->stuck != NULL);
    ret->line = s->stuck->line;
    snprintf(ret->why, sizeof ret->why,
             "no order explains the answer of a %s; the best explains %zu of %zu answers",
             names[s->stuck->o.kind], s->deepest, s->n_answered);
}

bool mk_linear_part(struct mk_linear *h, const struct mk_op *const *v, size_t n,
                    struct mk_linear_result *ret, const struct mk_linear_limits *limits,
                    uint64_t steps_max)
{
    const struct mk_op **settled = mk_alloc((n + 1) * sizeof(struct mk_op *));
    struct mk_op *copies = mk_alloc((n + 1) * sizeof *copies);
    struct search s = {.h = h};

    MK_ASSERT(n < NONE / 4);
    s.n = mk_linear_settle(h, v, n, settled, copies);
    make_ops(&s, settled);
    make_list(&s);
    s.state = mk_model_begin(h);
    ret->verdict = search(&s, limits, steps_max);
    if (ret->verdict != MK_LINEAR_OK)
        explain(&s, ret);
    mk_free(s.entries);
    mk_free(s.ops);
    mk_free(s.answered);
    mk_free(s.open);
    mk_free(s.choices);
    mk_free(s.table);
    mk_buf_done(&s.keys);
    mk_buf_done(&s.key);
    mk_free(settled);
    mk_free(copies);
    return s.out;
}
