/* The simulated world's own promises: what a crash leaves, what a network does, and
 * that a seed is a run. */
#include "env_fixture.h"

#define N 4096u

static uint8_t pattern(size_t i)
{
    return (uint8_t)((i * 7 + (i >> 9)) | 1); /* never 0 */
}

static void fill(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = pattern(i);
}

static struct mk_file *file_new(struct world *w, const char *path)
{
    struct mk_file *f;

    assert_int_equal(mk_file_open(world_node(w, 0), &f, path, MK_OPEN_CREATE), 0);
    return f;
}

static void sync_names(struct world *w)
{
    assert_int_equal(mk_dir_sync(world_node(w, 0), ""), 0);
}

/* What became of a file of N bytes of the pattern: 0 lost, 1 torn, 2 kept; -1 no file. */
static int fate_of(struct world *w, const char *path)
{
    struct mk_buf b = {0};
    size_t right = 0;
    int fate;

    if (world_disk_read(w, 0, path, &b) != 0)
        return -1;
    for (size_t i = 0; i < b.n; i++) {
        assert_true(b.p[i] == pattern(i) || b.p[i] == 0);
        right += b.p[i] == pattern(i);
    }
    fate = right == 0 ? 0 : right == N ? 2 : 1;
    mk_buf_done(&b);
    return fate;
}

/* --- disk ----------------------------------------------------------------------- */

/* Runs one case on 200 seeds, each ending in a power loss, and counts the fates. */
struct fates {
    unsigned gone, lost, torn, kept;
};

static struct fates fates_of(void (*run)(struct world *w, uint8_t *bytes))
{
    struct fates fs = {0};
    uint8_t bytes[N];

    fill(bytes, N);
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct world *w = world_new(seed);

        run(w, bytes);
        world_crash(w, 0);
        switch (fate_of(w, "f")) {
        case -1:
            fs.gone++;
            break;
        case 0:
            fs.lost++;
            break;
        case 1:
            fs.torn++;
            break;
        default:
            fs.kept++;
        }
        world_free(w);
    }
    return fs;
}

static void run_unsynced(struct world *w, uint8_t *bytes)
{
    struct mk_file *f = file_new(w, "f");

    sync_names(w);
    assert_int_equal(mk_file_write(f, bytes, N, 0), 0);
}

static void run_overwrite(struct world *w, uint8_t *bytes)
{
    struct mk_file *f = file_new(w, "f");
    uint8_t zeros[N] = {0};

    sync_names(w);
    assert_int_equal(mk_file_write(f, zeros, N, 0), 0);
    assert_int_equal(mk_file_sync(f), 0);
    assert_int_equal(mk_file_write(f, bytes, N, 0), 0);
}

static void run_synced(struct world *w, uint8_t *bytes)
{
    run_unsynced(w, bytes);
    for (struct mk_file *f; mk_file_open(world_node(w, 0), &f, "f", MK_OPEN_READ) == 0;) {
        assert_int_equal(mk_file_sync(f), 0);
        mk_file_close(f);
        return;
    }
    fail();
}

static void run_name_unsynced(struct world *w, uint8_t *bytes)
{
    struct mk_file *f = file_new(w, "f");

    assert_int_equal(mk_file_write(f, bytes, N, 0), 0);
    assert_int_equal(mk_file_sync(f), 0);
}

static void run_store(struct world *w, uint8_t *bytes)
{
    assert_int_equal(mk_file_store(world_node(w, 0), "f", MK_BYTES(bytes, N)), 0);
}

static void no_cb(struct mk_write_sync *ws, int status)
{
    (void)ws;
    (void)status;
    fail_msg("a crash calls nobody");
}

static void run_in_flight(struct world *w, uint8_t *bytes)
{
    static struct mk_write_sync ws;

    ws.cb = no_cb;
    mk_write_sync(file_new(w, "f"), &ws, bytes, N, 0);
    sync_names(w);
}

static void run_sync_failed(struct world *w, uint8_t *bytes)
{
    struct mk_file *f = file_new(w, "f");

    sync_names(w);
    assert_int_equal(mk_file_write(f, bytes, N, 0), 0);
    world_disk_fail(w, 0, "f", MK_EIO, 1);
    assert_int_equal(mk_file_sync(f), MK_EIO);
    assert_int_equal(mk_file_sync(f), 0); /* and means nothing */
}

static void run_sync_skipped(struct world *w, uint8_t *bytes)
{
    world_skip_sync(w, WORLD_ALL, world_path_contains, (char[]){"f"});
    run_synced(w, bytes);
}

static void crash_tears_what_is_unsynced(void **state)
{
    void (*const unsafe[])(struct world *, uint8_t *) = {run_unsynced, run_overwrite, run_in_flight,
                                                         run_sync_failed, run_sync_skipped};
    struct fates fs;

    (void)state;
    for (unsigned i = 0; i < sizeof(unsafe) / sizeof(unsafe[0]); i++) {
        fs = fates_of(unsafe[i]);
        assert_true(fs.lost >= 10 && fs.torn >= 10 && fs.kept >= 10);
        assert_int_equal(fs.gone, 0);
    }
    fs = fates_of(run_synced);
    assert_int_equal(fs.kept, 200);
    fs = fates_of(run_store);
    assert_int_equal(fs.kept, 200);
    fs = fates_of(run_name_unsynced);
    assert_true(fs.gone >= 10 && fs.kept >= 10);
    assert_int_equal(fs.gone + fs.kept, 200);
}

/* A rename is whole or has not been, with the content that was synced. */
static void rename_is_atomic(void **state)
{
    unsigned old = 0, new = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct world *w = world_new(seed);
        struct mk_buf b = {0};
        struct mk_file *f;

        assert_int_equal(mk_file_store(world_node(w, 0), "x", MK_BYTES("old", 3)), 0);
        f = file_new(w, "y");
        assert_int_equal(mk_file_write(f, "newer", 5, 0), 0);
        assert_int_equal(mk_file_sync(f), 0);
        assert_int_equal(mk_rename(world_node(w, 0), "y", "x"), 0);
        world_crash(w, 0);
        assert_int_equal(world_disk_read(w, 0, "x", &b), 0);
        if (b.n == 3)
            assert_memory_equal(b.p, "old", 3);
        else
            assert_memory_equal(b.p, "newer", 5);
        old += b.n == 3;
        new += b.n == 5;
        mk_buf_done(&b);
        world_free(w);
    }
    assert_true(old >= 10 && new >= 10);
    assert_int_equal(old + new, 100);
}

static void count_cb(void *arg, const char *name)
{
    (void)name;
    ++*(unsigned *)arg;
}

/* A lost directory takes its content along; kill -9 loses nothing that was written. */
static void directories_and_kills(void **state)
{
    unsigned lost = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct world *w = world_new(seed);
        struct mk_buf b = {0};
        unsigned names;
        int rv;

        assert_int_equal(mk_mkdir(world_node(w, 0), "d"), 0);
        assert_int_equal(mk_file_store(world_node(w, 0), "d/x", MK_BYTES("x", 1)), 0);
        world_kill(w, 0);
        assert_int_equal(world_disk_read(w, 0, "d/x", &b), 0);
        world_restart(w, 0);
        world_crash(w, 0);
        rv = world_disk_read(w, 0, "d/x", &b);
        lost += rv == MK_ENOTFOUND;
        world_restart(w, 0);
        assert_int_equal(mk_mkdir(world_node(w, 0), "d"), 0);
        names = 0;
        assert_int_equal(mk_dir_list(world_node(w, 0), "d", count_cb, &names), 0);
        assert_int_equal(names, rv == 0);
        mk_buf_done(&b);
        world_free(w);
    }
    assert_in_range(lost, 5, 45);
}

static void full_disk(void **state)
{
    struct world *w = world_new(1);
    struct mk_file *f;
    uint8_t bytes[N];

    (void)state;
    fill(bytes, N);
    f = file_new(w, "f");
    world_disk_capacity(w, 0, N + 100);
    assert_int_equal(mk_file_write(f, bytes, N, 0), 0);
    assert_int_equal(mk_file_write(f, bytes, 101, N), MK_ENOSPACE);
    assert_int_equal(mk_file_write(f, bytes, 100, 50), 0); /* overwriting needs none */
    assert_int_equal(mk_file_truncate(f, N + 100), 0);
    world_disk_fail(w, 0, NULL, MK_ENOSPACE, 1);
    assert_int_equal(mk_file_write(f, bytes, 1, 0), MK_ENOSPACE);
    assert_int_equal(mk_file_write(f, bytes, 1, 0), 0);
    world_crash(w, 0);
    world_lose_disk(w, 0);
    world_restart(w, 0);
    assert_int_equal(mk_file_open(world_node(w, 0), &f, "f", MK_OPEN_READ), MK_ENOTFOUND);
    world_free(w);
}

/* --- a program that talks and writes ------------------------------------------------ */

/* Each node dials every other and sends it numbered bytes; what arrives must be
 * numbered without a gap. It keeps a count on disk and never promises more than that. */
#define CHAT_NODES 4u

struct chat;

struct line { /* a connection, from either side */
    struct mk_list node;
    struct chat *chat;
    struct mk_sock *sock;
    uint64_t sent, got;
};

struct dialer {
    struct chat *chat;
    unsigned to;
    struct mk_connect connect;
    struct mk_timer again;
    struct line *line;
};

struct chat {
    struct mk_env *e;
    unsigned self;
    struct mk_listener listener;
    struct dialer dialers[CHAT_NODES];
    struct mk_list lines;
    struct mk_timer tick;
    struct mk_file *file;
    struct mk_write_sync ws;
    struct mk_work work;
    uint64_t count, durable;
    uint8_t record[8];
    bool writing;
};

/* What the nodes promised, and what went wrong, beyond their crashes. */
struct chat_log {
    uint64_t promised[CHAT_NODES], received, n_ends, n_errors;
    bool reordered, forgot;
};
static struct chat_log chat_log;

static void line_free(struct line *l)
{
    mk_sock_close(l->sock);
    mk_list_del(&l->node);
    mk_free(l);
}

static void line_read(struct mk_sock *s, const uint8_t *p, size_t n)
{
    struct line *l = s->owner;

    for (size_t i = 0; i < n; i++)
        chat_log.reordered |= p[i] != (uint8_t)(l->got++ % 251);
    chat_log.received += n;
}

static void line_writable(struct mk_sock *s)
{
    (void)s;
}

static void dialer_rest(struct dialer *d)
{
    mk_timer_start(d->chat->e, &d->again, mk_now(d->chat->e) + 50 * MK_MS);
}

static void line_end(struct mk_sock *s, int status)
{
    struct line *l = s->owner;
    struct chat *c = l->chat;

    chat_log.n_ends++;
    chat_log.n_errors += status != 0;
    for (unsigned i = 0; i < CHAT_NODES; i++) {
        if (c->dialers[i].line == l) {
            c->dialers[i].line = NULL;
            dialer_rest(&c->dialers[i]);
        }
    }
    line_free(l);
}

static const struct mk_sock_cbs line_cbs = {line_read, line_writable, line_end};

static struct line *line_new(struct chat *c, struct mk_sock *s)
{
    struct line *l = mk_alloc(sizeof(*l));

    l->chat = c;
    l->sock = s;
    s->cbs = &line_cbs;
    s->owner = l;
    mk_list_add_tail(&c->lines, &l->node);
    return l;
}

static void chat_accept(struct mk_listener *l, struct mk_sock *s)
{
    line_new(mk_container_of(l, struct chat, listener), s);
}

static void dialer_connected(struct mk_connect *mc, struct mk_sock *s, int status)
{
    struct dialer *d = mk_container_of(mc, struct dialer, connect);

    if (status == 0)
        d->line = line_new(d->chat, s);
    else
        dialer_rest(d);
}

static void dialer_again(struct mk_timer *t)
{
    struct dialer *d = mk_container_of(t, struct dialer, again);
    char address[16];

    snprintf(address, sizeof(address), "n%u:7000", d->to);
    assert_int_equal(mk_connect(d->chat->e, &d->connect, address), 0);
}

static void chat_written(struct mk_write_sync *ws, int status)
{
    struct chat *c = mk_container_of(ws, struct chat, ws);

    c->writing = false;
    if (status == 0) {
        memcpy(&c->durable, c->record, 8);
        chat_log.promised[c->self] = c->durable;
    }
}

static void chat_run(struct mk_work *w)
{
    (void)w;
}

static void chat_ran(struct mk_work *w)
{
    struct chat *c = mk_container_of(w, struct chat, work);

    if (c->writing)
        return;
    c->writing = true;
    memcpy(c->record, &c->count, 8);
    mk_write_sync(c->file, &c->ws, c->record, 8, 0);
}

static void chat_tick(struct mk_timer *t)
{
    struct chat *c = mk_container_of(t, struct chat, tick);
    uint8_t bytes[600], n_draw[2];
    size_t n;

    c->count++;
    mk_entropy(c->e, n_draw, 2);
    n = 1 + (n_draw[0] << 8 | n_draw[1]) % sizeof(bytes);
    mk_list_each(pos, &c->lines)
    {
        struct line *l = mk_container_of(pos, struct line, node);

        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)(l->sent++ % 251);
        mk_sock_write(l->sock, bytes, n);
    }
    if (c->work.impl == NULL)
        mk_work_start(c->e, &c->work);
    mk_timer_start(c->e, t, mk_now(c->e) + 5 * MK_MS);
}

static void chat_load(struct chat *c)
{
    size_t n;

    if (mk_file_open(c->e, &c->file, "count", MK_OPEN_WRITE) != 0) {
        assert_int_equal(mk_file_open(c->e, &c->file, "count", MK_OPEN_CREATE), 0);
        assert_int_equal(mk_dir_sync(c->e, ""), 0);
    }
    if (mk_file_read(c->file, &c->count, 8, 0, &n) != 0 || n != 8)
        c->count = 0;
    chat_log.forgot |= c->count < chat_log.promised[c->self];
}

static void *chat_boot(struct mk_env *e, unsigned node, void *arg)
{
    struct chat *c = mk_alloc(sizeof(*c));

    (void)arg;
    c->e = e;
    c->self = node;
    mk_list_init(&c->lines);
    c->listener.accept = chat_accept;
    c->tick.cb = chat_tick;
    c->ws.cb = chat_written;
    c->work.run = chat_run;
    c->work.done = chat_ran;
    chat_load(c);
    assert_int_equal(mk_listen(e, &c->listener, "0.0.0.0:7000", NULL), 0);
    mk_timer_start(e, &c->tick, 0);
    for (unsigned i = 0; i < CHAT_NODES; i++) {
        c->dialers[i] = (struct dialer){
            .chat = c, .to = i, .connect = {.cb = dialer_connected}, .again = {.cb = dialer_again}};
        if (i != node)
            mk_timer_start(e, &c->dialers[i].again, 0);
    }
    return c;
}

static void chat_destroy(void *state)
{
    struct chat *c = state;

    mk_timer_stop(&c->tick);
    for (unsigned i = 0; i < CHAT_NODES; i++) {
        mk_timer_stop(&c->dialers[i].again);
        mk_connect_cancel(&c->dialers[i].connect);
    }
    while (!mk_list_empty(&c->lines))
        line_free(mk_container_of(c->lines.next, struct line, node));
    mk_listener_close(&c->listener);
    mk_file_close(c->file);
    mk_free(c);
}

static const struct world_program chat_program = {chat_boot, chat_destroy};

/* One fault, drawn. */
static void chaos(struct world *w)
{
    unsigned i = (unsigned)world_chaos(w, CHAT_NODES), j = (unsigned)world_chaos(w, CHAT_NODES);

    switch (world_chaos(w, 10)) {
    case 0:
        world_crash(w, i);
        break;
    case 1:
        world_kill(w, i);
        break;
    case 2:
    case 3:
        if (!world_is_up(w, i))
            world_restart(w, i);
        break;
    case 4:
        world_isolate(w, i);
        break;
    case 5:
        world_cut(w, i, j);
        break;
    case 6:
        world_heal(w);
        break;
    case 7:
        world_break(w, i, j);
        break;
    case 8:
        world_pause(w, i);
        break;
    default:
        world_resume(w, i);
        world_clock_drift(w, j, (int)world_chaos(w, 2000) - 1000);
        world_clock_jump(w, j, (int64_t)world_chaos(w, 100000) - 50000);
    }
}

static uint64_t chat_run_seed(uint64_t seed, unsigned faults)
{
    struct world *w = world_new(seed);
    uint64_t hash;

    memset(&chat_log, 0, sizeof(chat_log));
    world_link(w, WORLD_ALL, WORLD_ALL,
               (struct world_link){.min_us = 100,
                                   .mean_us = 1000,
                                   .loss_ppm = 2000,
                                   .bytes_per_s = seed % 2 == 0 ? 0 : 1000000});
    for (unsigned i = 0; i < CHAT_NODES; i++)
        world_boot(w, i, &chat_program, NULL);
    for (unsigned k = 0; k < faults; k++) {
        world_run(w, world_chaos(w, 400));
        chaos(w);
    }
    world_heal(w);
    for (unsigned i = 0; i < CHAT_NODES; i++) {
        world_resume(w, i);
        if (!world_is_up(w, i))
            world_restart(w, i);
    }
    chat_log.received = 0;
    world_run(w, 30000);
    assert_true(chat_log.received > 100000);
    hash = world_hash(w);
    world_free(w);
    return hash;
}

static void same_seed_same_run(void **state)
{
    uint64_t last = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        uint64_t hash = chat_run_seed(seed, 40);

        assert_false(chat_log.reordered);
        assert_false(chat_log.forgot);
        assert_true(chat_log.n_ends > 0);
        assert_int_equal(chat_run_seed(seed, 40), hash);
        assert_int_not_equal(hash, last);
        last = hash;
    }
}

/* The run depends on what the nodes say, not only on how much. */
static void hash_covers_bytes(void **state)
{
    struct world *w[2];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        w[i] = world_new(1);
        world_hash_bytes(w[i], false);
        assert_int_equal(mk_file_store(world_node(w[i], 0), "x", MK_BYTES(i == 0 ? "a" : "b", 1)),
                         0);
    }
    assert_int_equal(world_hash(w[0]), world_hash(w[1]));
    for (unsigned i = 0; i < 2; i++) {
        world_hash_bytes(w[i], true);
        assert_int_equal(mk_file_store(world_node(w[i], 0), "x", MK_BYTES(i == 0 ? "a" : "b", 1)),
                         0);
    }
    assert_int_not_equal(world_hash(w[0]), world_hash(w[1]));
    world_free(w[0]);
    world_free(w[1]);
}

/* The planted bug is caught: a promise made after a skipped sync is forgotten. */
static bool skip_count(void *arg, const char *path, const void *p, size_t n)
{
    (void)arg;
    return p != NULL && n == 8 && strcmp(path, "count") == 0;
}

static void planted_bug_is_caught(void **state)
{
    bool caught = false;

    (void)state;
    for (uint64_t seed = 0; seed < 200 && !caught; seed++) {
        struct world *w = world_new(seed);

        memset(&chat_log, 0, sizeof(chat_log));
        world_skip_sync(w, WORLD_ALL, skip_count, NULL);
        world_boot(w, 0, &chat_program, NULL);
        world_run(w, 100);
        world_crash(w, 0);
        world_restart(w, 0);
        caught = chat_log.forgot;
        world_free(w);
    }
    assert_true(caught);
}

/* --- network -------------------------------------------------------------------------- */

static struct chat *chat_of(struct world *w, unsigned i)
{
    return world_state(w, i);
}

static bool pair_talks(void *arg)
{
    struct world *w = arg;

    return chat_of(w, 0)->dialers[1].line != NULL && chat_of(w, 0)->dialers[1].line->got > 1000;
}

static struct world *pair_new(uint64_t seed)
{
    struct world *w = world_new(seed);

    memset(&chat_log, 0, sizeof(chat_log));
    world_boot(w, 0, &chat_program, NULL);
    world_boot(w, 1, &chat_program, NULL);
    assert_true(world_run_until(w, pair_talks, w, 2000));
    return w;
}

/* A short cut is silence, and then everything arrives in order. */
static void cut_is_silence(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct world *w = pair_new(seed);
        uint64_t before;

        world_cut(w, 0, 1);
        world_run(w, 10); /* what was under way */
        before = chat_of(w, 1)->dialers[0].line->got;
        world_run(w, 1000);
        assert_int_equal(chat_of(w, 1)->dialers[0].line->got, before);
        assert_int_equal(chat_log.n_ends, 0);
        assert_true(chat_of(w, 0)->dialers[1].line->got > before); /* the other way is open */
        world_mend(w, 0, 1);
        world_run(w, 1000);
        assert_true(chat_of(w, 1)->dialers[0].line->got > before);
        assert_int_equal(chat_log.n_ends, 0);
        assert_false(chat_log.reordered);
        world_free(w);
    }
}

/* A long one is noticed by the sender, or never. */
static void long_cut_breaks_or_not(void **state)
{
    unsigned told = 0, silent = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct world *w = pair_new(seed);

        world_isolate(w, 0);
        world_run(w, 30000);
        told += chat_log.n_errors > 0;
        silent += chat_of(w, 0)->dialers[1].line != NULL;
        world_heal(w);
        world_run(w, 30000);
        assert_non_null(chat_of(w, 0)->dialers[1].line);
        assert_non_null(chat_of(w, 1)->dialers[0].line);
        assert_false(chat_log.reordered);
        world_free(w);
    }
    assert_in_range(told, 20, 40);
    assert_in_range(silent, 3, 20);
}

/* kill -9 is heard of at once; after a power loss sometimes not before the node is back. */
static void crash_is_heard_of(void **state)
{
    unsigned at_once = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct world *w = pair_new(seed);

        world_kill(w, 1);
        world_run(w, 20);
        assert_int_equal(chat_log.n_ends, 2);
        world_restart(w, 1);
        world_run(w, 8000);
        assert_non_null(chat_of(w, 0)->dialers[1].line);
        chat_log.n_ends = 0;
        world_crash(w, 1);
        world_run(w, 20);
        at_once += chat_log.n_ends == 2;
        world_restart(w, 1);
        world_run(w, 8000);
        assert_true(chat_log.n_ends >= 2);
        assert_non_null(chat_of(w, 0)->dialers[1].line);
        world_free(w);
    }
    assert_in_range(at_once, 15, 39);
}

static void paused_node_stands_still(void **state)
{
    struct world *w = pair_new(3);
    uint64_t count = chat_of(w, 1)->count, got = chat_of(w, 0)->dialers[1].line->got;

    (void)state;
    world_pause(w, 1);
    world_run(w, 5000);
    assert_int_equal(chat_of(w, 1)->count, count);
    assert_in_range(chat_of(w, 0)->dialers[1].line->got - got, 0, 2000);
    world_resume(w, 1);
    world_run(w, 1000);
    assert_true(chat_of(w, 1)->count > count);
    assert_true(chat_of(w, 0)->dialers[1].line->got > got + 2000);
    assert_false(chat_log.reordered);
    world_free(w);
}

static void clocks_drift_and_jump(void **state)
{
    struct world *w = world_new(5);
    struct mk_env *a = world_node(w, 0), *b = world_node(w, 1);
    uint64_t a0 = mk_now(a), b0 = mk_now(b), wall = mk_wall_ms(a);

    (void)state;
    assert_int_not_equal(a0, b0); /* nobody may compare them */
    world_clock_drift(w, 1, 500);
    world_run(w, 100000);
    assert_int_equal(mk_now(a) - a0, 100000 * MK_MS);
    assert_int_equal(mk_now(b) - b0, 100050 * MK_MS);
    world_clock_drift(w, 1, 0);
    assert_int_equal(mk_now(b) - b0, 100050 * MK_MS); /* monotonic */
    assert_int_equal(mk_wall_ms(a), wall + 100000);
    world_clock_jump(w, 0, -5000);
    assert_int_equal(mk_wall_ms(a), wall + 95000);
    world_free(w);
}

static void vouch_accept(struct mk_listener *l, struct mk_sock *s)
{
    struct chat *c = mk_container_of(l, struct chat, listener);

    c->dialers[0].line = line_new(c, s);
}

/* The world says who is at the other end. */
static void world_vouches(void **state)
{
    struct world *w = world_new(1);
    struct chat a = {.e = world_node(w, 0)}, b = {.e = world_node(w, 1)};
    struct mk_peer peer_a = {{1}}, peer;

    (void)state;
    mk_list_init(&a.lines);
    mk_list_init(&b.lines);
    mk_env_vouch(a.e, &peer_a);
    b.listener.accept = vouch_accept;
    assert_int_equal(mk_listen(b.e, &b.listener, "n1:7000", NULL), 0);
    a.dialers[1] = (struct dialer){.chat = &a, .connect = {.cb = dialer_connected}};
    assert_int_equal(mk_connect(a.e, &a.dialers[1].connect, "n1:7000"), 0);
    world_run(w, 100);
    assert_int_equal(mk_sock_vouched(b.dialers[0].line->sock, &peer), 0);
    assert_true(mk_peer_eq(&peer, &peer_a));
    assert_int_equal(mk_sock_vouched(a.dialers[1].line->sock, &peer), MK_ENOTFOUND);
    line_free(a.dialers[1].line);
    line_free(b.dialers[0].line);
    mk_listener_close(&b.listener);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crash_tears_what_is_unsynced),
        cmocka_unit_test(rename_is_atomic),
        cmocka_unit_test(directories_and_kills),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(same_seed_same_run),
        cmocka_unit_test(hash_covers_bytes),
        cmocka_unit_test(planted_bug_is_caught),
        cmocka_unit_test(cut_is_silence),
        cmocka_unit_test(long_cut_breaks_or_not),
        cmocka_unit_test(crash_is_heard_of),
        cmocka_unit_test(paused_node_stands_still),
        cmocka_unit_test(clocks_drift_and_jump),
        cmocka_unit_test(world_vouches),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
