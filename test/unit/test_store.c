/* test_store.c - the log and the snapshots, on simulated disks.
 *
 * The crash test keeps a list of everything it appended, in order, and the lsn of each.
 * After a crash (power loss, or kill -9) at any moment, what is recovered must be what
 * some prefix of that list gives, and the prefix must contain everything that was
 * reported durable. Then it goes on from there. `test_store FROM TO` plays other seeds. */
#include "unit.h"

#include "env/env.h"
#include "store/record.h"
#include "store/store_int.h"
#include "world.h"

#include <mosaik/datum.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS 3u
#define SEEDS 100

static struct mk_id group_id(unsigned k)
{
    struct mk_id id = {.b = {(uint8_t)(k + 1), 7}};

    return id;
}

/* --- a program that has a store ------------------------------------------------------ */

struct node {
    struct mk_env *env;
    struct mk_store *store;
    int rv;
    struct mk_fault fault;
};

static uint32_t segment_bytes;

static void *node_boot(struct mk_env *e, unsigned i, void *arg)
{
    struct node *n = mk_alloc(sizeof *n);
    struct mk_store_options o = {.segment_bytes = segment_bytes};

    (void)i;
    (void)arg;
    n->env = e;
    n->rv = mk_store_open(e, &n->store, &o, &n->fault);
    return n;
}

static struct mk_snap_writer *unfinished; /* of a node that crashes; NULL: none */

static void node_destroy(void *state)
{
    struct node *n = state;

    if (unfinished != NULL)
        mk_snap_cancel(unfinished);
    unfinished = NULL;
    mk_store_close(n->store, NULL, NULL);
    mk_free(n);
}

static const struct world_program program = {node_boot, node_destroy};

static struct node *boot(struct world *w)
{
    struct node *n;

    world_boot(w, 0, &program, NULL);
    n = world_state(w, 0);
    if (n->rv != 0)
        fail_msg("%s", n->fault.text);
    return n;
}

static struct node *restart(struct world *w)
{
    struct node *n;

    world_restart(w, 0);
    n = world_state(w, 0);
    if (n->rv != 0)
        fail_msg("%s", n->fault.text);
    return n;
}

/* --- a model of it ---------------------------------------------------------------------- */

struct model_group {
    uint64_t term, vote, first, last, snapshot;
    uint32_t sums[4096]; /* of the entries, by index */
    uint32_t fact[4];
};

struct op {
    enum { OP_ENTRY, OP_TERM, OP_FACT, OP_SNAPSHOT, OP_REMOVE } kind;
    unsigned group;
    uint64_t index, first, lsn;
    uint32_t sum;
    bool void_log;
};

#define OPS_MAX 60000

static struct {
    struct op ops[OPS_MAX];
    size_t n;
    struct model_group now[GROUPS], base[GROUPS]; /* base: before the first op */
} model;

static uint32_t sum_of(const uint8_t *p, size_t n)
{
    uint32_t h = 2166136261u ^ (uint32_t)n;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 16777619u;
    return h | 1;
}

static void model_apply(struct model_group *g, const struct op *o)
{
    switch (o->kind) {
    case OP_ENTRY:
        if (g->first > g->last)
            g->first = o->index;
        g->last = o->index;
        g->sums[o->index] = o->sum;
        break;
    case OP_TERM:
        g->term = o->index;
        g->vote = o->sum;
        break;
    case OP_FACT:
        g->fact[o->index] = o->sum;
        break;
    case OP_SNAPSHOT:
        g->snapshot = o->index;
        if (o->void_log || g->last < o->index || g->first > g->last) {
            g->first = o->index + 1;
            g->last = o->index;
        } else if (o->first > g->first) {
            g->first = o->first;
        }
        break;
    case OP_REMOVE:
        memset(g, 0, sizeof *g);
        g->first = 1;
        break;
    }
}

static void model_begin(void)
{
    memset(model.now, 0, sizeof model.now);
    for (unsigned k = 0; k < GROUPS; k++)
        model.now[k].first = 1;
    memcpy(model.base, model.now, sizeof model.base);
    model.n = 0;
}

/* --- what was recovered -------------------------------------------------------------------- */

static int collect(void *arg, const struct mk_store_entry *e)
{
    struct model_group *g = arg;

    assert_true(e->index < 4096);
    assert_true(e->index == g->first || g->sums[e->index - 1] != 0);
    assert_int_equal(e->type, 1);
    g->sums[e->index] = sum_of(e->bytes.p, e->bytes.n);
    return 0;
}

static void recovered(struct mk_store *s, unsigned k, struct model_group *ret)
{
    struct mk_id id = group_id(k);
    struct mk_store_group *g = mk_store_group(s, &id);
    struct mk_store_state st;
    struct mk_bytes v;
    char key[8];

    memset(ret, 0, sizeof *ret);
    mk_store_state(g, &st);
    ret->term = st.term;
    ret->vote = st.vote;
    ret->first = st.first_index;
    ret->last = st.last_index;
    ret->snapshot = st.snapshot_index;
    if (st.snapshot_index != 0)
        assert_int_equal(st.snapshot.n, st.snapshot_index % 100);
    assert_int_equal(mk_store_each_entry(g, collect, ret), 0);
    for (unsigned i = 0; i < 4; i++) {
        snprintf(key, sizeof key, "fact%u", i);
        if (mk_store_get(g, &v, key) == 0)
            ret->fact[i] = sum_of(v.p, v.n);
    }
    mk_store_forget(g);
}

static bool same(const struct model_group *a, const struct model_group *b)
{
    bool empty = a->first > a->last && b->first > b->last;

    if (a->term != b->term || a->vote != b->vote || a->snapshot != b->snapshot ||
        memcmp(a->fact, b->fact, sizeof a->fact) != 0)
        return false;
    if (a->last != b->last && !(empty && a->snapshot == 0))
        return false;
    if (!empty && a->first != b->first)
        return false;
    for (uint64_t i = a->first; !empty && i <= a->last; i++)
        if (a->sums[i] != b->sums[i])
            return false;
    return true;
}

static void say(unsigned k, const struct model_group *got, const struct model_group *at)
{
    print_error("group %u%s: term %d, vote %d, snapshot %d, entries %d..%d; the model: %d, %d, "
                "%d, %d..%d\n",
                k, same(got, at) ? "" : " (differs)", (int)got->term, (int)got->vote,
                (int)got->snapshot, (int)got->first, (int)got->last, (int)at->term, (int)at->vote,
                (int)at->snapshot, (int)at->first, (int)at->last);
}

/* The recovered state is that of a prefix that ends at or after `durable`; the model goes
 * on from it. */
static void check_prefix(struct mk_store *s, uint64_t durable, uint64_t seed)
{
    static struct model_group got[GROUPS], at[GROUPS];
    size_t least = 0;

    for (unsigned k = 0; k < GROUPS; k++)
        recovered(s, k, &got[k]);
    memcpy(at, model.base, sizeof at);
    while (least < model.n && model.ops[least].lsn <= durable)
        model_apply(&at[model.ops[least].group], &model.ops[least]), least++;
    for (size_t n = least;; n++) {
        bool all = true;

        for (unsigned k = 0; k < GROUPS && all; k++)
            all = same(&got[k], &at[k]);
        if (all)
            break;
        if (n == model.n) {
            for (unsigned k = 0; k < GROUPS; k++)
                say(k, &got[k], &at[k]);
            fail_msg("seed %d: what was durable (%d of %d) is not there", (int)seed, (int)least,
                     (int)model.n);
        }
        model_apply(&at[model.ops[n].group], &model.ops[n]);
    }
    memcpy(model.base, at, sizeof at);
    memcpy(model.now, at, sizeof at);
    model.n = 0;
}

/* --- appending ----------------------------------------------------------------------------------
 */

static void put_entry(struct world *w, struct mk_store *s, unsigned k, uint64_t index, size_t bytes)
{
    struct mk_id id = group_id(k);
    struct op *o = &model.ops[model.n++];
    uint8_t *p = mk_alloc(bytes);
    struct mk_store_entry e = {.index = index, .term = 1, .type = 1, .bytes = MK_BYTES(p, bytes)};

    for (size_t i = 0; i < bytes; i++)
        p[i] = (uint8_t)world_workload(w, 256);
    *o = (struct op){.kind = OP_ENTRY, .group = k, .index = index, .sum = sum_of(p, bytes)};
    assert_int_equal(mk_store_append(mk_store_group(s, &id), &o->lsn, &e), 0);
    model_apply(&model.now[k], o);
    mk_free(p);
}

static void put_term(struct world *w, struct mk_store *s, unsigned k)
{
    struct mk_id id = group_id(k);
    struct op *o = &model.ops[model.n++];

    *o = (struct op){.kind = OP_TERM,
                     .group = k,
                     .index = model.now[k].term + 1,
                     .sum = (uint32_t)world_workload(w, 5)};
    assert_int_equal(mk_store_set_term(mk_store_group(s, &id), &o->lsn, o->index, o->sum), 0);
    model_apply(&model.now[k], o);
}

static void put_fact(struct world *w, struct mk_store *s, unsigned k)
{
    struct mk_id id = group_id(k);
    struct op *o = &model.ops[model.n++];
    uint8_t v[300];
    size_t n = (size_t)world_workload(w, sizeof v);
    char key[8];

    for (size_t i = 0; i < n; i++)
        v[i] = (uint8_t)world_workload(w, 256);
    *o = (struct op){.kind = OP_FACT, .group = k, .index = world_workload(w, 4)};
    o->sum = n == 0 ? 0 : sum_of(v, n);
    snprintf(key, sizeof key, "fact%u", (unsigned)o->index);
    assert_int_equal(mk_store_put(mk_store_group(s, &id), &o->lsn, key, MK_BYTES(v, n)), 0);
    model_apply(&model.now[k], o);
}

static void put_snapshot(struct mk_store *s, unsigned k, uint64_t index, uint64_t first,
                         bool void_log)
{
    static const uint8_t description[100];
    struct mk_id id = group_id(k);
    struct op *o = &model.ops[model.n++];

    *o = (struct op){
        .kind = OP_SNAPSHOT, .group = k, .index = index, .first = first, .void_log = void_log};
    assert_int_equal(mk_store_set_snapshot(mk_store_group(s, &id), &o->lsn, index,
                                           MK_BYTES(description, index % 100), first, void_log),
                     0);
    model_apply(&model.now[k], o);
}

static void put_removal(struct mk_store *s, unsigned k)
{
    struct mk_id id = group_id(k);
    struct op *o = &model.ops[model.n++];

    *o = (struct op){.kind = OP_REMOVE, .group = k};
    assert_int_equal(mk_store_remove(mk_store_group(s, &id), &o->lsn), 0);
    model_apply(&model.now[k], o);
}

/* Something that a group would do. */
static void put_something(struct world *w, struct mk_store *s, size_t bytes_max)
{
    unsigned k = (unsigned)world_workload(w, GROUPS), what = (unsigned)world_workload(w, 100);
    struct model_group *g = &model.now[k];
    bool empty = g->first > g->last;
    uint64_t live = empty ? 0 : g->last - g->first + 1, index = g->last + 1;

    if (k == 2 && what > 10)
        return; /* an idle group */
    if (what < 70 || live < 3) {
        if (what < 8 && live > 3)
            index = g->last - world_workload(w, 3); /* replaces a tail */
        if (index < 4000)
            put_entry(w, s, k, index, (size_t)world_workload(w, bytes_max));
    } else if (what < 78) {
        put_term(w, s, k);
    } else if (what < 86) {
        put_fact(w, s, k);
    } else if (what < 97) {
        uint64_t at = g->first + world_workload(w, live), back = world_workload(w, 4);

        if (at > g->snapshot)
            put_snapshot(s, k, at, at + 1 > back ? at + 1 - back : 1, /* void_log= */ false);
    } else if (what < 99) {
        if (g->last < 3900)
            put_snapshot(
                s, k, g->snapshot > g->last ? g->snapshot + 5 : g->last - world_workload(w, 3) + 1,
                1, /* void_log= */ true);
    } else {
        put_removal(s, k);
    }
}

/* --- the tests
 * -------------------------------------------------------------------------------------- */

static uint64_t first_seed, end_seed = SEEDS;

static void crash_run(uint64_t seed, unsigned rounds)
{
    struct world *w = world_new(seed);
    struct node *n = boot(w);
    size_t bytes_max = seed % 4 == 0 ? 20000 : 300;

    model_begin();
    for (unsigned round = 0; round < rounds; round++) {
        unsigned turns = (unsigned)world_chaos(w, 60);
        uint64_t durable;

        for (unsigned t = 0; t < turns; t++) {
            for (unsigned i = (unsigned)world_workload(w, 8); i > 0; i--)
                put_something(w, n->store, bytes_max);
            for (unsigned steps = (unsigned)world_chaos(w, 5); steps > 0; steps--)
                if (!world_step(w))
                    break;
        }
        durable = mk_store_durable(n->store);
        if (world_chaos(w, 4) == 0)
            world_kill(w, 0);
        else
            world_crash(w, 0);
        n = restart(w);
        check_prefix(n->store, durable, seed);
        if (world_chaos(w, 3) == 0) { /* recovery of recovery: at once, nothing appended */
            world_crash(w, 0);
            n = restart(w);
            check_prefix(n->store, 0, seed);
        }
    }
    world_free(w);
}

static void what_was_durable_survives_any_crash(void **state)
{
    (void)state;
    segment_bytes = 64 << 10;
    for (uint64_t seed = first_seed; seed < end_seed; seed++)
        crash_run(seed, 12);
    segment_bytes = 0;
}

static void settle(struct world *w)
{
    world_run(w, 200);
}

struct log_size {
    unsigned files;
    uint64_t bytes;
    struct mk_env *env;
};

static void log_size_cb(void *arg, const char *name)
{
    struct log_size *z = arg;
    struct mk_file *f;
    char path[64];
    uint64_t n;

    if (strstr(name, ".seg") == NULL)
        return;
    snprintf(path, sizeof path, "log/%s", name);
    assert_int_equal(mk_file_open(z->env, &f, path, MK_OPEN_READ), 0);
    assert_int_equal(mk_file_size(f, &n), 0);
    mk_file_close(f);
    z->files++;
    z->bytes += n;
}

static struct log_size log_size(struct mk_env *e)
{
    struct log_size z = {.env = e};

    assert_int_equal(mk_dir_list(e, "log", log_size_cb, &z), 0);
    return z;
}

/* A hundred megabytes go through a log of a few. One group is idle with three entries. */
static void slots_are_used_again(void **state)
{
    struct world *w = world_new(3);
    struct node *n = boot(w);

    (void)state;
    model_begin();
    for (uint64_t i = 1; i <= 3; i++)
        put_entry(w, n->store, 2, i, 50);
    for (uint64_t round = 0; round < 100; round++) {
        struct model_group *g = &model.now[0];

        if (round % 30 == 29) {
            put_removal(n->store, 0);
            settle(w);
        }
        for (unsigned i = 0; i < 100; i++)
            put_entry(w, n->store, 0, g->last + 1, 10000);
        put_snapshot(n->store, 0, g->last - 5, g->last - 10, false);
        settle(w);
    }
    assert_int_equal(mk_store_status(n->store), 0);
    assert_true(log_size(n->env).bytes < (60u << 20));
    assert_true(log_size(n->env).files <= 8);
    world_crash(w, 0);
    n = restart(w);
    check_prefix(n->store, model.ops[model.n - 1].lsn, 3);
    world_free(w);
}

static void write_some(struct world *w, struct node *n, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        put_entry(w, n->store, 0, model.now[0].last + 1, 200);
        put_term(w, n->store, 1);
        settle(w);
    }
}

static unsigned spoiled[GROUPS + 1]; /* how often each group was; the last: none */

/* It opens; at most one group is damaged, and says where; all others have all that was written. */
static void reopen_has_all_but_one(struct world *w, const char *path, uint64_t off)
{
    static struct model_group got;
    unsigned damaged = GROUPS;
    struct node *n;

    world_restart(w, 0);
    n = world_state(w, 0);
    if (n->rv != 0)
        fail_msg("a byte at %d: %s", (int)off, n->fault.text);
    for (unsigned k = 0; k < GROUPS; k++) {
        struct mk_id id = group_id(k);
        const char *why = mk_store_damage(mk_store_group(n->store, &id));

        if (why[0] != 0) {
            if (strstr(why, path) == NULL || strstr(why, "offset") == NULL)
                fail_msg("no place in: %s", why);
            assert_int_equal(damaged, GROUPS);
            damaged = k;
            continue;
        }
        recovered(n->store, k, &got);
        if (!same(&got, &model.now[k])) {
            say(k, &got, &model.now[k]);
            fail_msg("a byte at %d spoiled group %u, which does not say so", (int)off, k);
        }
    }
    spoiled[damaged]++;
    settle(w);
    world_crash(w, 0); /* it stays so, wherever the damaged frame is by then */
    n = restart(w);
    if (damaged < GROUPS) {
        struct mk_id id = group_id(damaged);

        assert_true(mk_store_damage(mk_store_group(n->store, &id))[0] != 0);
        assert_int_equal(mk_store_remove(mk_store_group(n->store, &id), NULL), 0);
        assert_true(mk_store_damage(mk_store_group(n->store, &id))[0] == 0);
        settle(w);
        world_crash(w, 0);
        n = restart(w);
        assert_true(mk_store_damage(mk_store_group(n->store, &id))[0] == 0);
    }
}

static void a_wrong_byte_spoils_one_group(void **state)
{
    (void)state;
    memset(spoiled, 0, sizeof spoiled);
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct world *w = world_new(seed);
        struct node *n = boot(w);
        struct mk_buf b = {0};
        uint64_t end, off;

        model_begin();
        write_some(w, n, 10 + (unsigned)seed % 10);
        put_fact(w, n->store, 2);
        settle(w);
        world_crash(w, 0);
        assert_int_equal(world_disk_read(w, 0, "log/000001.seg", &b), 0);
        for (end = b.n; end > 0 && b.p[end - 1] == 0;)
            end--;
        mk_buf_done(&b);
        off = world_chaos(w, end);
        if (seed % 4 == 0)
            off = end - 1 - world_chaos(w, 600); /* the newest, too */
        world_disk_rot(w, 0, "log/000001.seg", off);
        reopen_has_all_but_one(w, "log/000001.seg", off);
        world_free(w);
    }
    for (unsigned k = 0; k <= GROUPS; k++)
        assert_true(spoiled[k] > 0);
}

/* Damage in a slot that was closed long ago, and in the first frame of the newest. */
static void a_wrong_byte_in_any_slot_spoils_one_group(void **state)
{
    (void)state;
    memset(spoiled, 0, sizeof spoiled);
    for (unsigned seed = 0; seed < 60; seed++) {
        unsigned which = 1 + seed % 2;
        struct world *w = world_new(seed);
        uint64_t off = world_chaos(w, which == 1 ? 900000 : 2000);
        struct node *n;
        char path[32];

        segment_bytes = 1 << 20;
        n = boot(w);
        model_begin();
        for (unsigned i = 0; i < 70; i++) {
            put_entry(w, n->store, 0, model.now[0].last + 1, 20000);
            put_term(w, n->store, i % GROUPS);
            settle(w);
        }
        world_crash(w, 0);
        snprintf(path, sizeof path, "log/%06u.seg", which);
        world_disk_rot(w, 0, path, off);
        reopen_has_all_but_one(w, path, off);
        world_free(w);
        segment_bytes = 0;
    }
    assert_true(spoiled[0] > 0 && spoiled[GROUPS] > 0);
}

/* Entries that a snapshot has replaced may rot: nobody needs them. */
static void damage_below_a_snapshot_is_none(void **state)
{
    struct world *w = world_new(77);
    struct node *n;

    (void)state;
    segment_bytes = 1 << 20;
    n = boot(w);
    model_begin();
    put_entry(w, n->store, 1, 1, 100); /* keeps the slot */
    for (unsigned i = 0; i < 70; i++) {
        put_entry(w, n->store, 0, model.now[0].last + 1, 20000);
        settle(w);
    }
    put_snapshot(n->store, 0, 69, 70, false);
    settle(w);
    world_crash(w, 0);
    memset(spoiled, 0, sizeof spoiled);
    world_disk_rot(w, 0, "log/000001.seg", 500000);
    reopen_has_all_but_one(w, "log/000001.seg", 500000);
    assert_int_equal(spoiled[GROUPS], 1);
    world_free(w);
    segment_bytes = 0;
}

static void a_missing_key_or_slot_is_reported(void **state)
{
    (void)state;
    for (unsigned which = 0; which < 2; which++) {
        struct world *w = world_new(which);
        struct node *n;

        segment_bytes = 1 << 20;
        n = boot(w);
        model_begin();
        for (unsigned i = 0; i < 70; i++) {
            put_entry(w, n->store, 0, model.now[0].last + 1, 20000);
            settle(w);
        }
        assert_int_equal(mk_unlink(n->env, which == 0 ? "log/key" : "log/000001.seg"), 0);
        assert_int_equal(mk_dir_sync(n->env, "log"), 0);
        world_crash(w, 0);
        world_restart(w, 0);
        n = world_state(w, 0);
        assert_int_equal(n->rv, MK_ECORRUPT);
        world_free(w);
        segment_bytes = 0;
    }
}

/* A log of one slot is refused without its key as soon as it holds something: a vote is enough. */
static void a_young_log_without_its_key_is_refused(void **state)
{
    (void)state;
    for (unsigned records = 0; records < 3; records++) {
        struct world *w = world_new(80 + records);
        struct node *n = boot(w);

        model_begin();
        for (unsigned i = 0; i < records; i++)
            put_term(w, n->store, 0);
        if (records > 0)
            settle(w);
        assert_int_equal(mk_unlink(n->env, "log/key"), 0);
        if (records == 0)
            assert_int_equal(mk_unlink(n->env, "log/top"), 0);
        assert_int_equal(mk_dir_sync(n->env, "log"), 0);
        world_crash(w, 0);
        world_restart(w, 0);
        n = world_state(w, 0);
        if (records == 0) { /* as a crash leaves it between slot 1 and the key */
            assert_int_equal(n->rv, 0);
        } else {
            assert_int_equal(n->rv, MK_ECORRUPT);
            assert_non_null(strstr(n->fault.text, "log/key: it is missing"));
        }
        world_free(w);
    }
}

static void empty_file(struct mk_env *e, const char *path)
{
    struct mk_file *f;

    assert_int_equal(mk_file_open(e, &f, path, MK_OPEN_WRITE), 0);
    assert_int_equal(mk_file_truncate(f, 0), 0);
    assert_int_equal(mk_file_sync(f), 0);
    mk_file_close(f);
}

static struct node *two_segments(struct world *w)
{
    struct node *n = boot(w);

    model_begin();
    for (unsigned i = 0; i < 70; i++) {
        put_entry(w, n->store, 0, model.now[0].last + 1, 20000);
        settle(w);
    }
    assert_int_equal(n->store->segment, 2);
    return n;
}

/* The newest file of the log is gone, or empty: what is left looks like a log that ended earlier,
 * and is none. */
static void a_missing_newest_segment_is_reported(void **state)
{
    enum { REMOVED, EMPTIED, NOTE_EMPTIED, NOTE_REMOVED, BOTH_REMOVED, BOTH_EMPTIED, WAYS };

    (void)state;
    segment_bytes = 1 << 20;
    for (unsigned how = 0; how < WAYS; how++) {
        struct world *w = world_new(90 + how);
        struct node *n = two_segments(w);
        char path[32];

        bool note = how >= NOTE_EMPTIED;

        mk_slot_path(path, mk_slot_current(n->store)->file);
        if (how == EMPTIED || how == BOTH_EMPTIED)
            empty_file(n->env, path);
        if (how == NOTE_EMPTIED || how == BOTH_EMPTIED)
            empty_file(n->env, "log/top");
        world_crash(w, 0);
        if (how == REMOVED || how == BOTH_REMOVED)
            world_disk_remove(w, 0, path);
        if (how == NOTE_REMOVED || how == BOTH_REMOVED)
            world_disk_remove(w, 0, "log/top");
        world_restart(w, 0);
        n = world_state(w, 0);
        assert_int_equal(n->rv, MK_ECORRUPT);
        assert_non_null(strstr(n->fault.text, note ? "log/top: " : path));
        world_free(w);
    }
    segment_bytes = 0;
}

static void zero(struct mk_env *e, const char *path, size_t n)
{
    uint8_t *zeros = mk_alloc(n);
    struct mk_file *f;

    assert_int_equal(mk_file_open(e, &f, path, MK_OPEN_WRITE), 0);
    assert_int_equal(mk_file_write(f, zeros, n, 0), 0);
    assert_int_equal(mk_file_sync(f), 0);
    mk_file_close(f);
    mk_free(zeros);
}

/* Header and index of a slot's first frame are gone, and frames behind it: what is left of a later
 * frame is not taken for the first. Of the very first frame, which holds nothing, a part may go. */
static void a_log_without_its_beginning_is_refused(void **state)
{
    static const struct {
        unsigned entries, zeros;
        bool opens;
    } cases[] = {{5, 64, true},     {5, 1024, false}, {5, 300, false},
                 {70, 1024, false}, {70, 300, false}, {70, 40000, false}};

    (void)state;
    segment_bytes = 1 << 20;
    for (unsigned k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        struct world *w = world_new(120 + k);
        struct node *n = boot(w);
        uint64_t durable;

        model_begin();
        for (unsigned i = 0; i < cases[k].entries; i++) {
            put_entry(w, n->store, 0, model.now[0].last + 1, cases[k].entries > 5 ? 20000 : 200);
            settle(w);
        }
        durable = mk_store_durable(n->store);
        zero(n->env, "log/000001.seg", cases[k].zeros);
        world_crash(w, 0);
        world_restart(w, 0);
        n = world_state(w, 0);
        assert_int_equal(n->rv, cases[k].opens ? 0 : MK_ECORRUPT);
        if (cases[k].opens)
            check_prefix(n->store, durable, k);
        else
            assert_non_null(strstr(n->fault.text, "log/000001.seg: a damaged"));
        world_free(w);
    }
    segment_bytes = 0;
}

/* A build that made no note left a log that says nothing of one: it is taken as it is, and has one
 * from then on. */
static void a_log_of_before_the_note_gets_one(void **state)
{
    struct world *w = world_new(98);
    struct node *n;
    uint64_t durable;
    char path[32];

    (void)state;
    segment_bytes = 1 << 20;
    n = two_segments(w);
    assert_int_equal(mk_store_remove(mk_store_group(n->store, &mk_top_own), NULL), 0);
    settle(w);
    durable = mk_store_durable(n->store);
    world_crash(w, 0);
    world_disk_remove(w, 0, "log/top");
    n = restart(w);
    check_prefix(n->store, durable, 0);
    settle(w);
    mk_slot_path(path, mk_slot_current(n->store)->file);
    world_crash(w, 0);
    world_disk_remove(w, 0, "log/top");
    world_restart(w, 0);
    n = world_state(w, 0);
    assert_int_equal(n->rv, MK_ECORRUPT);
    assert_non_null(strstr(n->fault.text, "log/top: it is missing, and the log had one"));
    world_free(w);
    segment_bytes = 0;
}

static uint64_t noted_segment(struct world *w)
{
    struct mk_buf b = {0};
    uint64_t best = 0, v;

    assert_int_equal(world_disk_read(w, 0, "log/top", &b), 0);
    assert_int_equal(b.n, MK_TOP_BYTES);
    for (size_t at = 0; at < b.n; at += MK_TOP_BYTES / 2) {
        struct mk_reader r = {b.p + at + 8, 8, false};

        v = mk_read_u64le(&r);
        best = v > best ? v : best;
    }
    mk_buf_done(&b);
    return best;
}

/* Power goes at each step of it, also between the new segment and the note of it: the log opens,
 * and holds all that was reported. */
static void a_crash_while_a_segment_begins(void **state)
{
    unsigned between = 0, begun = 0;

    (void)state;
    segment_bytes = 1 << 20;
    for (unsigned steps = 0; steps < 120; steps++) {
        struct world *w = world_new(steps / 40);
        struct node *n = boot(w);
        const struct mk_slot *slot = mk_slot_current(n->store);
        uint64_t durable;

        model_begin();
        while (slot->end + 45000 < slot->size) {
            put_entry(w, n->store, 0, model.now[0].last + 1, 20000);
            settle(w);
        }
        for (unsigned i = 0; i < 4; i++)
            put_entry(w, n->store, 0, model.now[0].last + 1, 20000);
        for (unsigned i = 0; i < steps % 40; i++)
            world_step(w);
        durable = mk_store_durable(n->store);
        world_crash(w, 0);
        n = restart(w);
        check_prefix(n->store, durable, steps);
        begun += n->store->segment == 2;
        world_free(w);
    }
    for (unsigned seed = 0; seed < 60; seed++) { /* ... and just there */
        struct world *w = world_new(seed);
        struct node *n = boot(w);
        uint64_t durable, noted;

        model_begin();
        while (n->store->segment == 1) {
            put_entry(w, n->store, 0, model.now[0].last + 1, 20000);
            for (unsigned i = 0; i < 3 && n->store->segment == 1; i++)
                world_step(w);
        }
        while (n->store->rotating && n->store->top_write.n == 0)
            world_step(w);
        durable = mk_store_durable(n->store);
        world_crash(w, 0);
        noted = noted_segment(w);
        n = restart(w);
        check_prefix(n->store, durable, seed);
        between += noted < n->store->segment;
        assert_int_equal(noted_segment(w), n->store->segment);
        world_free(w);
    }
    assert_true(begun > 0 && begun < 120);
    assert_true(between > 0);
    segment_bytes = 0;
}

static struct mk_store_wait *told[4];
static int told_status[4];
static unsigned n_told;

static void told_cb(struct mk_store_wait *w, int status)
{
    told[n_told] = w;
    told_status[n_told++] = status;
}

static void waits_are_told_once_in_order(void **state)
{
    struct world *w = world_new(5);
    struct node *n = boot(w);
    struct mk_store_wait a = {.cb = told_cb}, b = {.cb = told_cb}, c = {.cb = told_cb};

    (void)state;
    model_begin();
    n_told = 0;
    put_term(w, n->store, 0);
    put_term(w, n->store, 1);
    mk_store_wait(n->store, &b, model.ops[1].lsn);
    mk_store_wait(n->store, &a, model.ops[0].lsn);
    mk_store_wait(n->store, &c, model.ops[1].lsn);
    mk_store_wait_cancel(&c);
    assert_int_equal(n_told, 0);
    settle(w);
    assert_int_equal(n_told, 2);
    assert_int_equal(told_status[0] | told_status[1], 0);
    mk_store_wait(n->store, &c, model.ops[1].lsn); /* durable already */
    assert_int_equal(n_told, 2);
    settle(w);
    assert_int_equal(n_told, 3);
    assert_int_equal(mk_store_pending(n->store), 0);
    world_free(w);
}

static void a_failed_write_is_the_end(void **state)
{
    static const int errors[] = {MK_EIO, MK_ENOSPACE};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct world *w = world_new(6);
        struct node *n = boot(w);
        struct mk_id id = group_id(0);
        struct mk_store_wait a = {.cb = told_cb}, b = {.cb = told_cb};

        model_begin();
        n_told = 0;
        put_term(w, n->store, 0);
        mk_store_wait(n->store, &a, model.ops[0].lsn);
        settle(w);
        world_disk_fail(w, 0, "log/", errors[i], 1);
        put_term(w, n->store, 0);
        mk_store_wait(n->store, &b, model.ops[1].lsn);
        settle(w);
        assert_int_equal(n_told, 2);
        assert_int_equal(told_status[0], 0);
        assert_int_equal(told_status[1], errors[i]);
        assert_int_equal(mk_store_status(n->store), errors[i]);
        assert_int_equal(mk_store_set_term(mk_store_group(n->store, &id), NULL, 9, 9), MK_EIO);
        world_crash(w, 0); /* the disk is well again: what was promised is there */
        n = restart(w);
        check_prefix(n->store, model.ops[0].lsn, 6);
        world_free(w);
    }
}

/* A kernel shows what a failed sync could not write as if it had, and its next sync succeeds. Who
 * is killed then, starts again and reads that, must not build on it: when power fails it is gone,
 * and a log with a hole is left. */
static void what_a_failed_sync_left_in_the_cache_is_made_durable(void **state)
{
    unsigned seen = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct world *w = world_new(seed);
        struct node *n = boot(w);
        uint64_t durable;

        model_begin();
        put_entry(w, n->store, 0, 1, 200);
        settle(w);
        durable = model.ops[0].lsn;
        world_disk_fail_on(w, 0, WORLD_SYNCS, "log/", MK_EIO, 1);
        put_entry(w, n->store, 0, 2, 200);
        settle(w);
        assert_int_equal(mk_store_status(n->store), MK_EIO);
        world_kill(w, 0); /* the machine runs on: its cache is what is read */
        n = restart(w);
        check_prefix(n->store, durable, seed); /* from here on this counts as durable */
        seen += model.now[0].last == 2;
        for (uint64_t i = seed % 4; i > 0; i--)
            put_entry(w, n->store, 0, model.now[0].last + 1, 200);
        settle(w);
        assert_int_equal(mk_store_status(n->store), 0);
        durable = mk_store_durable(n->store);
        world_crash(w, 0);
        n = restart(w);
        check_prefix(n->store, durable, seed);
        world_free(w);
    }
    assert_true(seen > 10); /* else this test shows nothing */
}

static void wrong_calls_are_refused(void **state)
{
    static uint8_t big[MK_STORE_VALUE_MAX + 1];
    struct world *w = world_new(7);
    struct node *n = boot(w);
    struct mk_id id = group_id(0);
    struct mk_store_group *g = mk_store_group(n->store, &id);
    struct mk_store_entry e = {.index = 5, .term = 1, .type = 1};

    (void)state;
    assert_int_equal(mk_store_append(g, NULL, &e), 0);
    e.index = 7;
    assert_int_equal(mk_store_append(g, NULL, &e), MK_EINVALID);
    e.index = 4;
    assert_int_equal(mk_store_append(g, NULL, &e), MK_EINVALID);
    e.index = 6;
    e.type = 0;
    assert_int_equal(mk_store_append(g, NULL, &e), MK_EINVALID);
    assert_int_equal(mk_store_put(g, NULL, "", MK_BYTES("x", 1)), MK_ELIMIT);
    assert_int_equal(mk_store_put(g, NULL, "k", MK_BYTES(big, sizeof big)), MK_ELIMIT);
    assert_int_equal(mk_store_set_snapshot(g, NULL, 5, MK_BYTES("x", 1), 7, false), MK_EINVALID);
    world_free(w);
}

static void reading_changes_nothing(void **state)
{
    struct world *w = world_new(9);
    struct node *n = boot(w);
    struct mk_store_options o = {.read_only = true};
    struct mk_store *s;
    struct mk_fault f;
    struct mk_buf before = {0}, after = {0};
    struct mk_id id = group_id(0);

    (void)state;
    model_begin();
    write_some(w, n, 10);
    assert_int_equal(world_disk_read(w, 0, "log/000001.seg", &before), 0);
    if (mk_store_open(n->env, &s, &o, &f) != 0) /* beside the owner */
        fail_msg("%s", f.text);
    check_prefix(s, model.ops[model.n - 1].lsn, 9);
    assert_int_equal(mk_store_set_term(mk_store_group(s, &id), NULL, 9, 9), MK_EINVALID);
    mk_store_close(s, NULL, NULL);
    settle(w);
    assert_int_equal(world_disk_read(w, 0, "log/000001.seg", &after), 0);
    assert_true(mk_bytes_eq(mk_buf_bytes(&before), mk_buf_bytes(&after)));
    mk_buf_done(&before);
    mk_buf_done(&after);
    world_free(w);
}

/* --- snapshots ------------------------------------------------------------------------------ */

static int snap_status;
static struct mk_snap_info snap_info;

static void snap_cb(void *arg, int status, const struct mk_snap_info *info)
{
    *(bool *)arg = true;
    snap_status = status;
    snap_info = *info;
}

static bool is_true(void *arg)
{
    return *(bool *)arg;
}

static int make_snapshot(struct world *w, struct mk_store_group *g, uint64_t index, size_t n,
                         const struct mk_snap_info *expect)
{
    uint8_t *p = mk_alloc(n);
    struct mk_snap_writer *sw;
    bool done = false;
    int rv = mk_snap_create(g, &sw, index);

    if (rv != 0)
        return rv;
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(i * 7 + index);
    for (size_t at = 0; at < n; at += MK_SNAP_CHUNK)
        mk_snap_put(sw, MK_BYTES(p + at, n - at < MK_SNAP_CHUNK ? n - at : MK_SNAP_CHUNK), NULL);
    mk_free(p);
    mk_snap_finish(sw, expect, snap_cb, &done);
    assert_false(done);
    assert_true(world_run_until(w, is_true, &done, 5000));
    return snap_status;
}

static void check_snapshot(struct mk_store_group *g, uint64_t index, size_t n)
{
    struct mk_buf b = {0};
    struct mk_snap_reader *r;
    struct mk_snap_info info;

    assert_int_equal(mk_snap_load(g, &b, 10 << 20, index), 0);
    assert_int_equal(b.n, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(b.p[i], (uint8_t)(i * 7 + index));
    mk_buf_done(&b);
    assert_int_equal(mk_snap_open(g, &r, &info, index, NULL), 0);
    assert_int_equal(info.size, n);
    assert_int_equal(mk_snap_chunk(r, &b, 0), 0);
    assert_int_equal(b.n, n < MK_SNAP_CHUNK ? n : MK_SNAP_CHUNK);
    assert_int_equal(b.p[3], (uint8_t)(3 * 7 + index));
    assert_int_equal(mk_snap_chunk(r, &b, mk_snap_chunks(n)), MK_EINVALID);
    mk_buf_done(&b);
    mk_snap_close(r);
}

static void snapshots_are_files_that_are_whole(void **state)
{
    static const size_t sizes[] = {5, 100, 262144, 262145, 3000000};
    struct world *w = world_new(11);
    struct node *n = boot(w);
    struct mk_id id = group_id(0);
    struct mk_store_group *g = mk_store_group(n->store, &id);
    struct mk_snap_info wrong = {.size = 9};
    struct mk_buf b = {0};

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(make_snapshot(w, g, i + 1, sizes[i], NULL), 0);
        check_snapshot(g, i + 1, sizes[i]);
        assert_int_equal(snap_info.size, sizes[i]);
    }
    assert_int_equal(make_snapshot(w, g, 9, 500, &wrong), MK_ECORRUPT);
    assert_int_equal(mk_snap_load(g, &b, 1 << 20, 9), MK_ENOTFOUND);
    assert_int_equal(mk_snap_load(g, &b, 10, 2), MK_ELIMIT);
    /* referenced: the older ones go; the others at the next opening */
    assert_int_equal(mk_store_set_snapshot(g, NULL, 4, MK_BYTES("d", 1), 1, false), 0);
    settle(w);
    assert_int_equal(mk_snap_load(g, &b, 1 << 20, 3), MK_ENOTFOUND);
    world_crash(w, 0);
    n = restart(w);
    g = mk_store_group(n->store, &id);
    check_snapshot(g, 4, sizes[3]);
    assert_int_equal(mk_snap_load(g, &b, 10 << 20, 5), MK_ENOTFOUND);
    mk_buf_done(&b);
    world_free(w);
}

static int ignore(void *arg, struct mk_bytes chunk, struct mk_fault *reterr)
{
    (void)arg;
    (void)chunk;
    (void)reterr;
    return 0;
}

static void a_rotten_snapshot_is_not_loaded(void **state)
{
    struct mk_fault f = {{0}};
    struct mk_snap_info info;
    struct mk_snap_reader *r;
    struct world *w = world_new(12);
    struct node *n = boot(w);
    struct mk_id id = group_id(0);
    struct mk_store_group *g = mk_store_group(n->store, &id);
    struct mk_buf b = {0};
    char path[128], hex[MK_ID_HEX];

    (void)state;
    assert_int_equal(make_snapshot(w, g, 3, 1000, NULL), 0);
    snprintf(path, sizeof path, "snap/%s/%016x.snap", mk_id_hex(&id, hex), 3);
    if (world_disk_read(w, 0, path, &b) != 0)
        snprintf(path, sizeof path, "snap/%s/%d.snap", hex, 3);
    mk_buf_done(&b);
    world_disk_rot(w, 0, path, 500);
    assert_int_equal(mk_snap_load(g, &b, 1 << 20, 3), MK_ECORRUPT);
    assert_int_equal(make_snapshot(w, g, 4, 3 * MK_SNAP_CHUNK, NULL), 0);
    path[strlen(path) - 6] = '4';
    world_disk_rot(w, 0, path, MK_SNAP_CHUNK + 10);
    assert_int_equal(mk_snap_open(g, &r, &info, 4, NULL), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(mk_snap_chunk(r, &b, i), i == 1 ? MK_ECORRUPT : 0);
    mk_snap_close(r);
    assert_int_equal(mk_snap_each(g, 4, MK_SNAP_MAX, ignore, NULL, &f), MK_ECORRUPT);
    assert_non_null(strstr(f.text, path));
    assert_non_null(strstr(f.text, "a damaged chunk at offset 262144"));
    world_disk_rot(w, 0, path, 3 * MK_SNAP_CHUNK + 40);
    assert_int_equal(mk_snap_open(g, &r, &info, 4, &f), MK_ECORRUPT);
    assert_non_null(strstr(f.text, "a damaged table, at offset 786432"));
    world_disk_rot(w, 0, path, 3 * MK_SNAP_CHUNK + 96 + 20);
    assert_int_equal(mk_snap_open(g, &r, &info, 4, &f), MK_ECORRUPT);
    assert_non_null(strstr(f.text, "a damaged end, at offset 786528"));
    mk_buf_done(&b);
    world_free(w);
}

/* Crashes while a snapshot is being written, or canceled. */
static void an_unfinished_snapshot_leaves_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct world *w = world_new(seed);
        struct node *n = boot(w);
        struct mk_id id = group_id(0);
        struct mk_store_group *g = mk_store_group(n->store, &id);
        struct mk_snap_writer *sw;
        struct mk_buf b = {0};
        static uint8_t bytes[MK_SNAP_CHUNK];

        assert_int_equal(make_snapshot(w, g, 1, 1000, NULL), 0);
        assert_int_equal(mk_store_set_snapshot(g, NULL, 1, MK_BYTES("d", 1), 1, false), 0);
        settle(w);
        assert_int_equal(mk_snap_create(g, &sw, 2), 0);
        mk_snap_put(sw, MK_BYTES(bytes, sizeof bytes), NULL);
        for (unsigned k = (unsigned)world_chaos(w, 6); k > 0; k--)
            world_step(w);
        mk_snap_cancel(sw);
        settle(w);
        world_crash(w, 0);
        n = restart(w);
        g = mk_store_group(n->store, &id);
        assert_int_equal(mk_snap_load(g, &b, 1 << 20, 2), MK_ENOTFOUND);
        check_snapshot(g, 1, 1000);
        mk_buf_done(&b);
        world_free(w);
    }
}

static void put_pieces(struct mk_snap_writer *sw, const uint8_t *p, size_t from, size_t to,
                       size_t n, struct mk_id *table)
{
    for (size_t i = from; i < to; i++) {
        size_t at = i * MK_SNAP_CHUNK, size = n - at < MK_SNAP_CHUNK ? n - at : MK_SNAP_CHUNK;

        table[i] = mk_hash(MK_BYTES(p + at, size));
        mk_snap_put(sw, MK_BYTES(p + at, size), NULL);
    }
}

/* What was fetched before a crash is found again, chunk by chunk, and nothing else is taken. */
static void a_fetched_snapshot_is_resumed(void **state)
{
    const size_t n = 40 * MK_SNAP_CHUNK + 100, chunks = 41;
    uint8_t *p = mk_alloc(n);
    unsigned most = 0;

    (void)state;
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(i * 31 + (i >> 15));
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct world *w = world_new(100 + seed);
        struct node *node = boot(w);
        struct mk_id id = group_id(0), table[41];
        struct mk_store_group *g = mk_store_group(node->store, &id);
        struct mk_snap_info expect = {.size = n};
        struct mk_snap_writer *sw;
        struct mk_buf b = {0};
        uint64_t there, kept = 0;
        bool done = false;

        assert_int_equal(mk_store_set_term(g, NULL, 1, 0), 0); /* else nobody knows the group */
        settle(w);
        assert_int_equal(mk_snap_resume(g, &sw, &there, 7, n), 0);
        assert_int_equal(there, 0);
        put_pieces(sw, p, 0, 20 + seed, n, table);
        world_run(w, 5 * seed);
        unfinished = sw;
        world_crash(w, 0);
        node = restart(w);
        g = mk_store_group(node->store, &id);
        assert_int_equal(mk_snap_resume(g, &sw, &there, 7, n), 0);
        for (size_t i = 0; i < chunks; i++)
            table[i] = mk_hash(MK_BYTES(p + i * MK_SNAP_CHUNK, i < 40 ? MK_SNAP_CHUNK : 100));
        while (kept < there && mk_snap_kept(sw, &b, kept, MK_SNAP_CHUNK, &table[kept]) == 0) {
            mk_snap_put(sw, mk_buf_bytes(&b), &table[kept++]);
            mk_buf_clear(&b);
        }
        mk_buf_done(&b);
        most = kept > most ? (unsigned)kept : most;
        put_pieces(sw, p, kept, chunks, n, table);
        expect.hash = mk_snap_root(n, table);
        mk_snap_finish(sw, &expect, snap_cb, &done);
        assert_true(world_run_until(w, is_true, &done, 60000));
        assert_int_equal(snap_status, 0);
        assert_int_equal(mk_snap_load(g, &b, 1ull << 30, 7), 0);
        assert_int_equal(b.n, n);
        assert_memory_equal(b.p, p, n);
        mk_buf_done(&b);
        world_free(w);
    }
    assert_true(most >= 16);
    mk_free(p);
}

/* The file is whole and in its place when the store closed while it was written: the writer ends
 * by itself. */
static void a_snapshot_outlives_its_store(void **state)
{
    struct world *w = world_new(17);
    struct node *n = boot(w);
    struct mk_id id = group_id(0);
    struct mk_store_group *g = mk_store_group(n->store, &id);
    struct mk_snap_writer *sw;
    bool done = false;

    (void)state;
    assert_int_equal(mk_snap_create(g, &sw, 3), 0);
    mk_snap_put(sw, MK_BYTES("snapshot", 8), NULL);
    mk_snap_finish(sw, NULL, snap_cb, &done);
    mk_store_close(n->store, NULL, NULL);
    n->store = NULL;
    assert_true(world_run_until(w, is_true, &done, 5000));
    assert_int_equal(snap_status, 0);
    world_free(w);
}

/* Many small records in one turn go out in one write. */
static void a_turn_is_one_write(void **state)
{
    struct world *w = world_new(13);
    struct node *n = boot(w);
    uint64_t events;

    (void)state;
    model_begin();
    settle(w);
    events = world_events(w);
    for (unsigned i = 0; i < 1000; i++)
        put_entry(w, n->store, 0, model.now[0].last + 1, 100);
    settle(w);
    assert_int_equal(mk_store_durable(n->store), model.ops[model.n - 1].lsn);
    assert_true(world_events(w) - events < 20);
    world_free(w);
}

static uint64_t number(const char *digits)
{
    uint64_t v = 0;

    for (; *digits >= '0' && *digits <= '9'; digits++)
        v = 10 * v + (uint64_t)(*digits - '0');
    return v;
}

/* A store of a build of another age is refused with both formats, and is no damage. */
static void another_format_is_refused_by_name(void **state)
{
    static const struct {
        char format;
        const char *says;
    } cases[] = {
        {'1', "the log is of format 1, an earlier build's; this build understands format 2"},
        {'3', "the log is of format 3, a later build's; this build understands format 2"}};

    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        struct world *w = world_new(70 + k);
        struct node *n = boot(w);
        struct mk_buf log = {0};

        assert_int_equal(mk_file_load(n->env, "log/000001.seg", 1u << 24, &log), 0);
        assert_memory_equal(log.p, "MKF2", 4);
        for (size_t i = 0; i + 4 <= log.n; i += 8) /* where frames may begin */
            if (memcmp(log.p + i, "MKF2", 4) == 0)
                log.p[i + 3] = (uint8_t)cases[k].format;
        assert_int_equal(mk_file_store(n->env, "log/000001.seg", mk_buf_bytes(&log)), 0);
        mk_buf_done(&log);
        world_kill(w, 0);
        world_restart(w, 0);
        n = world_state(w, 0);
        assert_int_equal(n->rv, MK_ENOTSUP);
        assert_non_null(strstr(n->fault.text, cases[k].says));
        assert_non_null(strstr(n->fault.text, "start that build"));
        world_free(w);
    }
}

static uint32_t u32_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Of a whole frame: the zeros that fill a run to a multiple of 8. */
static bool is_padding(const struct mk_buf *b, size_t at)
{
    size_t run = MK_FRAME_HEADER;

    while (run < b->n) {
        size_t end = run + MK_RUN_HEADER + u32_at(b->p + run + 4);

        if (at < end)
            return false;
        run = (end + 7) / 8 * 8;
        if (at < run)
            return true;
    }
    return false;
}

/* A bit that turns in silence is one of those that say nothing. */
static void every_bit_but_padding_is_checked(void **state)
{
    const uint8_t key[MK_FRAME_KEY] = {7};
    struct mk_buf b = {0};
    struct mk_frame frame;
    size_t at_run = 0, silent = 0;

    (void)state;
    memset(mk_buf_grow(&b, MK_FRAME_HEADER), 0, MK_FRAME_HEADER);
    b.n = MK_FRAME_HEADER;
    for (uint32_t i = 0; i < 6; i++) {
        struct mk_record r = {.kind = MK_REC_ENTRY,
                              .group = 1 + i / 2,
                              .index = 1 + i,
                              .term = 1,
                              .type = 1,
                              .bytes = MK_BYTES("some bytes", 1 + i)};

        mk_frame_add(&b, &at_run, &r);
    }
    mk_frame_seal(&b, key, 1, 1);
    assert_true(mk_frame_at(&frame, mk_buf_bytes(&b), 0, key));
    for (size_t bit = 0; bit < b.n * 8; bit++) {
        uint8_t turned = (uint8_t)(1u << bit % 8), *at = &b.p[bit / 8];
        bool padding = is_padding(&b, bit / 8), passes;

        *at ^= turned;
        passes = mk_frame_at(&frame, mk_buf_bytes(&b), 0, key);
        *at ^= turned;
        assert_int_equal(passes, padding);
        silent += passes;
    }
    assert_in_range(silent, 1, 4 * 7 * 8); /* of three runs and the index */
    mk_buf_done(&b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_durable_survives_any_crash),
        cmocka_unit_test(slots_are_used_again),
        cmocka_unit_test(a_wrong_byte_spoils_one_group),
        cmocka_unit_test(a_wrong_byte_in_any_slot_spoils_one_group),
        cmocka_unit_test(damage_below_a_snapshot_is_none),
        cmocka_unit_test(a_missing_key_or_slot_is_reported),
        cmocka_unit_test(a_young_log_without_its_key_is_refused),
        cmocka_unit_test(a_missing_newest_segment_is_reported),
        cmocka_unit_test(a_log_of_before_the_note_gets_one),
        cmocka_unit_test(a_log_without_its_beginning_is_refused),
        cmocka_unit_test(a_crash_while_a_segment_begins),
        cmocka_unit_test(waits_are_told_once_in_order),
        cmocka_unit_test(a_failed_write_is_the_end),
        cmocka_unit_test(what_a_failed_sync_left_in_the_cache_is_made_durable),
        cmocka_unit_test(wrong_calls_are_refused),
        cmocka_unit_test(reading_changes_nothing),
        cmocka_unit_test(snapshots_are_files_that_are_whole),
        cmocka_unit_test(a_rotten_snapshot_is_not_loaded),
        cmocka_unit_test(an_unfinished_snapshot_leaves_nothing),
        cmocka_unit_test(a_fetched_snapshot_is_resumed),
        cmocka_unit_test(a_snapshot_outlives_its_store),
        cmocka_unit_test(every_bit_but_padding_is_checked),
        cmocka_unit_test(a_turn_is_one_write),
        cmocka_unit_test(another_format_is_refused_by_name),
    };

    if (argc == 3) {
        first_seed = number(argv[1]);
        end_seed = number(argv[2]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
