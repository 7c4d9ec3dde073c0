/* Snapshots, fetched and installed.
 *
 * A member that was away too long is offered one: consensus names it by its size and root,
 * the bytes travel beside, asked for by the member, so that it sets the pace:
 *
 *   the table of the chunks' hashes (its own hash is the root, so whoever gives it is not
 *   trusted) -> what an earlier fetch left of the file, checked chunk by chunk and written once
 *   more -> the rest, some chunks ahead, each checked when it comes, written, and filled into the
 *   next state
 *   -> the file is durable -> consensus hears of it -> the reference is made durable (the
 *   stored log is void) -> the next state takes the place of the present one
 *
 * So an installation holds two blocks of the file and some chunks in memory, and two states
 * while it lasts where the member had one; its work is spread over the chunks.
 *
 * A link that is lost, or a giver that is silent for 5 s, pauses the fetch: the leader is asked
 * to offer its snapshot again, and it goes on, with whoever leads then. A process that ends leaves
 * the file: the next one goes on, too. An offer of another snapshot, or the log arriving first,
 * ends it.
 *
 * A disk that has no room for it stops this member: it would lag for ever. */
#include "base/assert.h"
#include "group/group_int.h"
#include "group/image.h"
#include "group/serve.h"

#include <string.h>

#define FETCH_STALL_NS (5 * MK_S)
#define AGAIN_NS (100 * MK_MS)
#define AGAIN_MAX_NS (1 * MK_S)
#define AHEAD 6u               /* chunks asked for and not yet there */
#define PENDING_MAX (8u << 20) /* bytes on their way to the disk above which asking waits */

enum fetch_stage { FETCH_TABLE, FETCH_KEPT, FETCH_CHUNKS, FETCH_FINISHING, FETCH_WHOLE };

struct mk_fetching {
    struct mk_group *g; /* NULL: forgotten while the file is finished */
    uint64_t index, from;
    struct mk_snap_info info;
    enum fetch_stage stage;
    bool paused;
    struct mk_buf table;
    uint64_t n; /* chunks */
    uint64_t there, asked, have;
    struct mk_snap_writer *writer; /* NULL once whole */
    struct mk_filling *filling;
    uint64_t stalled_ns;
    uint64_t again_ns; /* paused: when to ask for another offer */
    struct mk_work work;
    bool working;
    /* work's own while it works */
    struct mk_buf kept;
    int status;
};

struct mk_installing {
    struct mk_group *g;
    uint64_t index;
    struct mk_store_wait wait;
};

static bool handle_get(const struct mk_snapshot_meta *m, struct mk_snap_info *ret)
{
    struct mk_reader r = {m->handle, m->handle_n, false};

    if (m->handle_n != MK_SNAP_HANDLE)
        return false;
    ret->size = mk_read_u64le(&r);
    memcpy(ret->hash.b, r.p, sizeof ret->hash.b);
    return ret->size <= MK_SNAP_MAX;
}

/* --- the end of a fetch -------------------------------------------------------------------- */

static void fetching_free(struct mk_fetching *f)
{
    mk_buf_done(&f->table);
    mk_buf_done(&f->kept);
    mk_filling_free(f->filling);
    mk_free(f);
}

static void fetch_forget(struct mk_group *g)
{
    struct mk_fetching *f = g->fetching;

    if (f == NULL)
        return;
    g->fetching = NULL;
    f->g = NULL;
    if (f->working)
        mk_work_cancel(&f->work);
    if (f->stage == FETCH_FINISHING && !mk_env_is_dead(g->env))
        return; /* fetched() comes */
    if (f->writer != NULL)
        mk_snap_cancel(f->writer);
    fetching_free(f);
}

/* It may go on with the next offer. */
static void fetch_pause(struct mk_group *g)
{
    struct mk_fetching *f = g->fetching;

    f->paused = true;
    f->again_ns = mk_now(g->env) + AGAIN_NS;
    f->asked = f->have;
    mk_consensus_fetch_failed(g->raft, f->index);
    mk_group_wake(g);
}

static bool running(const struct mk_fetching *f)
{
    return f != NULL && !f->paused && (f->stage == FETCH_TABLE || f->stage == FETCH_CHUNKS);
}

/* Ours to mend, where another giver or another snapshot would not help. */
static void disk_refuses(struct mk_group *g, int status)
{
    if (status == MK_EIO || status == MK_ENOSPACE)
        mk_group_fail(g, status, "a snapshot could not be stored");
}

static void fetched(void *arg, int status, const struct mk_snap_info *info)
{
    struct mk_fetching *f = arg;
    struct mk_group *g = f->g;
    uint64_t index = f->index;

    (void)info;
    f->writer = NULL;
    f->stage = FETCH_WHOLE;
    if (g == NULL) {
        fetching_free(f);
        return;
    }
    if (status != 0) {
        fetch_forget(g);
        mk_consensus_fetch_failed(g->raft, index);
        disk_refuses(g, status);
    } else if (mk_consensus_fetched(g->raft, index, mk_drive_now_ms(g)) != 0) {
        mk_group_fail(g, MK_ECORRUPT, "a fetched snapshot was not expected");
    }
    mk_group_wake(g);
}

/* --- asking -------------------------------------------------------------------------------- */

static bool want(struct mk_group *g, uint64_t offset)
{
    struct mk_fetching *f = g->fetching;
    struct mk_member *m = mk_member_of_raft(g, f->from);
    struct mk_member_message msg = {
        .tag = mk_member_message_SnapWant,
        .u.snap_want = {.index = f->index, .offset = offset},
    };

    return m != NULL && mk_member_send(m, &msg);
}

static void fetch_finish(struct mk_fetching *f)
{
    f->stage = FETCH_FINISHING;
    mk_snap_finish(f->writer, &f->info, fetched, f);
}

static void fetch_more(struct mk_group *g)
{
    struct mk_fetching *f = g->fetching;

    if (f->stage == FETCH_CHUNKS && f->have == f->n) {
        fetch_finish(f);
        return;
    }
    if (mk_snap_status(f->writer) != 0) {
        disk_refuses(g, mk_snap_status(f->writer));
        return;
    }
    if (!running(f))
        return;
    if (f->stage == FETCH_TABLE && !want(g, f->info.size + f->table.n)) {
        fetch_pause(g);
        return;
    }
    while (f->stage == FETCH_CHUNKS && f->asked < f->n && f->asked - f->have < AHEAD &&
           mk_snap_pending(f->writer) < PENDING_MAX) {
        if (!want(g, f->asked * MK_SNAP_CHUNK)) {
            fetch_pause(g);
            return;
        }
        f->asked++;
    }
    mk_group_wake(g); /* the deadline is another */
}

static void kept_next(struct mk_fetching *f);

static void drained(void *arg)
{
    struct mk_fetching *f = arg;

    if (f->g != NULL && f->stage == FETCH_KEPT)
        kept_next(f);
    else if (f->g != NULL && !f->paused)
        fetch_more(f->g);
}

/* --- what an earlier fetch left ------------------------------------------------------------ */

static size_t chunk_size(const struct mk_fetching *f, uint64_t i)
{
    uint64_t left = f->info.size - i * MK_SNAP_CHUNK;

    return left < MK_SNAP_CHUNK ? left : MK_SNAP_CHUNK;
}

static const struct mk_id *chunk_hash(const struct mk_fetching *f, uint64_t i)
{
    return (const struct mk_id *)(const void *)f->table.p + i;
}

/* Into the next state. */
static bool fill(struct mk_group *g, struct mk_bytes chunk)
{
    struct mk_fault why = {{0}};

    if (mk_filling_put(g->fetching->filling, chunk, &why) == 0)
        return true;
    mk_group_fail(g, MK_EMALFORMED, why.text);
    return false;
}

static void kept_run(struct mk_work *w)
{
    struct mk_fetching *f = mk_container_of(w, struct mk_fetching, work);

    mk_buf_clear(&f->kept);
    f->status =
        mk_snap_kept(f->writer, &f->kept, f->have, chunk_size(f, f->have), chunk_hash(f, f->have));
}

static void kept_next(struct mk_fetching *f)
{
    struct mk_group *g = f->g;

    if (f->working)
        return;
    if (mk_snap_status(f->writer) != 0) {
        disk_refuses(g, mk_snap_status(f->writer));
        return;
    }
    if (f->have < f->there) {
        if (mk_snap_pending(f->writer) < PENDING_MAX) { /* else drained() goes on */
            f->working = true;
            mk_work_start(g->env, &f->work);
        }
        return;
    }
    mk_buf_done(&f->kept);
    f->stage = FETCH_CHUNKS;
    f->asked = f->have;
    f->stalled_ns = mk_now(g->env) + FETCH_STALL_NS;
    if (!f->paused || f->have == f->n)
        fetch_more(g);
}

static void kept_done(struct mk_work *w)
{
    struct mk_fetching *f = mk_container_of(w, struct mk_fetching, work);
    struct mk_group *g = f->g;

    f->working = false;
    if (f->status != 0) { /* from here on it was torn, or never there */
        f->there = f->have;
    } else { /* that it can be read does not mean that it is durable: see mk_snap_resume() */
        mk_snap_put(f->writer, mk_buf_bytes(&f->kept), chunk_hash(f, f->have));
        g->snaps.kept_bytes += f->kept.n;
        f->have++;
        if (!fill(g, mk_buf_bytes(&f->kept)))
            return;
    }
    kept_next(f);
}

/* --- fetching ------------------------------------------------------------------------------ */

static int fetching_new(struct mk_group *g, const struct mk_snapshot_meta *meta, uint64_t from)
{
    struct mk_fetching *f = mk_alloc(sizeof *f);
    int rv = MK_EMALFORMED;

    if (handle_get(meta, &f->info))
        rv = mk_snap_resume(g->disk, &f->writer, &f->there, meta->index, f->info.size);
    if (rv != 0) {
        mk_free(f);
        return rv;
    }
    f->g = g;
    f->index = meta->index;
    f->from = from;
    f->n = mk_snap_chunks(f->info.size);
    f->filling = mk_state_fill(g->st);
    f->work = (struct mk_work){.run = kept_run, .done = kept_done};
    mk_snap_watch(f->writer, drained, f);
    g->fetching = f;
    return 0;
}

static bool same(const struct mk_fetching *f, const struct mk_snapshot_meta *meta)
{
    struct mk_snap_info info;

    return f != NULL && f->stage != FETCH_FINISHING && f->index == meta->index &&
           handle_get(meta, &info) && info.size == f->info.size &&
           mk_id_eq(&info.hash, &f->info.hash);
}

void mk_snap_fetch(struct mk_group *g, const struct mk_snapshot_meta *meta, uint64_t from)
{
    int rv = 0;

    if (!same(g->fetching, meta)) {
        fetch_forget(g);
        rv = fetching_new(g, meta, from);
    }
    if (rv != 0) {
        mk_consensus_fetch_failed(g->raft, meta->index);
        disk_refuses(g, rv);
        return;
    }
    g->fetching->from = from;
    g->fetching->paused = false;
    g->fetching->stalled_ns = mk_now(g->env) + FETCH_STALL_NS;
    if (g->fetching->stage == FETCH_WHOLE) {
        if (mk_consensus_fetched(g->raft, meta->index, mk_drive_now_ms(g)) != 0)
            mk_group_fail(g, MK_ECORRUPT, "a fetched snapshot was not expected");
        mk_group_wake(g);
        return;
    }
    fetch_more(g);
}

static void table_received(struct mk_group *g, struct mk_bytes piece)
{
    struct mk_fetching *f = g->fetching;
    uint64_t size = f->n * sizeof(struct mk_id);
    struct mk_id root;

    if (piece.n > size - f->table.n) {
        fetch_pause(g);
        return;
    }
    mk_buf_put(&f->table, piece.p, piece.n);
    if (f->table.n < size) {
        fetch_more(g);
        return;
    }
    root = mk_snap_root(f->info.size, (const struct mk_id *)(const void *)f->table.p);
    if (!mk_id_eq(&root, &f->info.hash)) {
        mk_buf_clear(&f->table);
        fetch_pause(g);
        return;
    }
    f->stage = FETCH_KEPT;
    kept_next(f);
}

static void next_received(struct mk_group *g, struct mk_bytes chunk)
{
    struct mk_fetching *f = g->fetching;

    if (chunk.n != chunk_size(f, f->have) || !mk_snap_is_chunk(chunk, chunk_hash(f, f->have))) {
        fetch_pause(g); /* not what the table says: it will be asked for again */
        return;
    }
    mk_snap_put(f->writer, chunk, chunk_hash(f, f->have));
    g->snaps.fetched_bytes += chunk.n;
    f->have++;
    if (fill(g, chunk))
        fetch_more(g);
}

void mk_snap_chunk_received(struct mk_group *g, struct mk_member *m, const struct mk_snap_chunk *c)
{
    struct mk_fetching *f = g->fetching;

    if (!running(f) || mk_member_of_raft(g, f->from) != m || c->index != f->index)
        return;
    f->stalled_ns = mk_now(g->env) + FETCH_STALL_NS;
    if (c->bytes.n == 0) { /* it is not there any more */
        fetch_pause(g);
    } else if (f->stage == FETCH_TABLE) {
        if (c->offset == f->info.size + f->table.n)
            table_received(g, c->bytes);
    } else if (f->have < f->n && c->offset == f->have * MK_SNAP_CHUNK) {
        next_received(g, c->bytes);
    }
}

void mk_snap_link_lost(struct mk_group *g, struct mk_member *m)
{
    if (running(g->fetching) && mk_member_of_raft(g, g->fetching->from) == m)
        fetch_pause(g);
}

/* Whoever leads waits for us to install what it offered: we do not. */
static void ask_again(struct mk_group *g)
{
    g->fetching->again_ns = mk_now(g->env) + AGAIN_MAX_NS;
    if (mk_consensus_ask_again(g->raft, mk_drive_now_ms(g)) != 0)
        mk_group_fail(g, MK_ECORRUPT, "the log and consensus contradict each other");
}

void mk_snap_stalled(struct mk_group *g)
{
    struct mk_fetching *f = g->fetching;

    if (f == NULL)
        return;
    if (mk_state_index(g->st) >= f->index && f->stage != FETCH_FINISHING) {
        /* the log was faster; consensus takes the next offer only when it knows that */
        mk_consensus_fetch_failed(g->raft, f->index);
        fetch_forget(g);
    } else if (running(f) && mk_now(g->env) >= f->stalled_ns) {
        fetch_pause(g);
    } else if (f->paused && mk_now(g->env) >= f->again_ns) {
        ask_again(g);
    }
}

uint64_t mk_snap_deadline(const struct mk_group *g)
{
    if (running(g->fetching))
        return g->fetching->stalled_ns;
    return g->fetching != NULL && g->fetching->paused ? g->fetching->again_ns : UINT64_MAX;
}

/* --- installing ---------------------------------------------------------------------------- */

static int load_chunk(void *arg, struct mk_bytes chunk, struct mk_fault *reterr)
{
    return mk_filling_put(arg, chunk, reterr);
}

static int load(struct mk_group *g, uint64_t index, struct mk_filling **ret,
                struct mk_fault *reterr)
{
    struct mk_filling *filling = mk_state_fill(g->st);
    int rv = mk_snap_each(g->disk, index, MK_SNAP_MAX, load_chunk, filling, reterr);

    if (rv != 0) {
        mk_filling_free(filling);
        return rv == MK_ENOTFOUND ? MK_ECORRUPT : rv;
    }
    *ret = filling;
    return 0;
}

/* Takes filling. */
static int replace_state(struct mk_group *g, struct mk_filling *filling,
                         const struct mk_snapshot_meta *meta, struct mk_fault *reterr)
{
    struct mk_snap_info info = {0};
    int rv;

    mk_snap_take_stop(g); /* it shares the present state */
    rv = mk_filling_take(filling, g->st, reterr);
    if (rv == 0 && mk_state_index(g->st) != meta->index)
        rv = mk_fault(reterr, MK_ECORRUPT, "the snapshot is of another index");
    if (rv != 0)
        return rv;
    g->snapshot_at = meta->index;
    g->snapshot_bytes = handle_get(meta, &info) ? info.size : 0;
    g->log_bytes = 0;
    mk_reseat_applied(g);
    return 0;
}

int mk_snap_recover(struct mk_group *g, const struct mk_snapshot_meta *meta,
                    struct mk_fault *reterr)
{
    struct mk_filling *filling;
    int rv = load(g, meta->index, &filling, reterr);

    return rv != 0 ? rv : replace_state(g, filling, meta, reterr);
}

static void installed(struct mk_store_wait *w, int status)
{
    struct mk_installing *i = mk_container_of(w, struct mk_installing, wait);
    struct mk_group *g = i->g;
    uint64_t index = i->index;

    g->installing = NULL;
    mk_free(i);
    g->snaps.installed++;
    if (status != 0 || mk_consensus_installed(g->raft, index, mk_drive_now_ms(g)) != 0)
        mk_group_fail(g, status != 0 ? status : MK_ECORRUPT, "a snapshot could not be installed");
    mk_group_wake(g);
}

static int install_state(struct mk_group *g, const struct mk_snapshot_meta *meta,
                         struct mk_fault *reterr)
{
    struct mk_fetching *f = g->fetching;
    struct mk_filling *filling = NULL;
    int rv = 0;

    if (f != NULL && f->stage == FETCH_WHOLE && f->index == meta->index) {
        filling = f->filling;
        f->filling = NULL;
    }
    fetch_forget(g);
    if (meta->index <= mk_state_index(g->st)) {
        mk_filling_free(filling);
        return 0;
    }
    if (filling == NULL)
        rv = load(g, meta->index, &filling, reterr);
    if (rv == 0)
        rv = replace_state(g, filling, meta, reterr);
    mk_heads_replaced(g);
    mk_serve_replaced(g->serve);
    return rv;
}

void mk_snap_install(struct mk_group *g, const struct mk_snapshot_meta *meta)
{
    struct mk_buf description = {0};
    struct mk_fault f = {{0}};
    struct mk_installing *i;
    uint64_t lsn = 0;
    int rv;

    mk_snapshot_meta_encode(meta, &description);
    rv = mk_store_set_snapshot(g->disk, &lsn, meta->index, mk_buf_bytes(&description),
                               meta->index + 1, true);
    mk_buf_done(&description);
    if (rv == 0)
        rv = install_state(g, meta, &f);
    if (rv != 0) {
        mk_group_fail(g, rv, f.text[0] != 0 ? f.text : "a snapshot could not be installed");
        return;
    }
    i = mk_alloc(sizeof *i);
    i->g = g;
    i->index = meta->index;
    i->wait.cb = installed;
    g->installing = i;
    mk_store_wait(g->store, &i->wait, lsn);
}

void mk_snap_fetch_stop(struct mk_group *g)
{
    fetch_forget(g);
    if (g->installing == NULL)
        return;
    mk_store_wait_cancel(&g->installing->wait);
    mk_free(g->installing);
    g->installing = NULL;
}

void mk_group_snap_stats(const struct mk_group *g, struct mk_group_snap_stats *ret)
{
    *ret = g->snaps;
}
