/* Snapshots: the log's beginning, replaced by the state it led to.
 *
 * Taking one, every so many entries: describe, write the file off the loop, make the
 * reference durable, tell consensus that the entries may go (all but some, kept for
 * followers that are a little behind).
 *
 * A member that was away too long gets one: consensus names it by its size and hash,
 * the bytes travel beside, asked for chunk by chunk from whoever leads, so that the
 * asker sets the pace; the file's hash is checked before consensus hears of it. Then
 * the reference is made durable (the stored log is void), the state replaced, readers
 * begin again.
 *
 * A fetch that stalls for 5 s, or whose giver goes, is forgotten; consensus offers the
 * snapshot again, a newer one perhaps.
 *
 * A disk that has no room for a snapshot, or cannot give back the one it has, stops this
 * member: it would lag for ever, or as leader keep others from catching up. */
#include "group/group_int.h"
#include "group/serve.h"

#include <stdio.h>
#include <string.h>

#define TRAILING 4096u            /* entries kept below a snapshot */
#define SNAPSHOT_MAX (4ull << 30) /* bytes of a state */
#define FETCH_STALL_NS (5 * MK_S)
#define HANDLE_BYTES 40u /* u64le size, hash */

struct mk_snapping {
    struct mk_group *g; /* NULL: the group is closed */
    struct mk_snapshot_meta meta;
    struct mk_snap_writer *writer; /* until the file is written */
    struct mk_store_wait wait;
    bool waiting;
};

struct mk_fetching {
    struct mk_group *g; /* NULL: forgotten while the file is finished */
    uint64_t index, from;
    struct mk_snap_info info;
    uint64_t offset;
    struct mk_snap_writer *writer; /* NULL once complete */
    struct mk_snap_writer *finishing;
    uint64_t stalled_ns;
};

struct mk_installing {
    struct mk_group *g;
    uint64_t index;
    struct mk_store_wait wait;
};

static void handle_put(struct mk_snapshot_meta *m, const struct mk_snap_info *info)
{
    for (unsigned i = 0; i < 8; i++)
        m->handle[i] = (uint8_t)(info->size >> (8 * i));
    memcpy(m->handle + 8, info->hash.b, sizeof info->hash.b);
    m->handle_n = HANDLE_BYTES;
}

static bool handle_get(const struct mk_snapshot_meta *m, struct mk_snap_info *ret)
{
    struct mk_reader r = {m->handle, m->handle_n, false};

    if (m->handle_n != HANDLE_BYTES)
        return false;
    ret->size = mk_read_u64le(&r);
    memcpy(ret->hash.b, r.p, sizeof ret->hash.b);
    return ret->size <= SNAPSHOT_MAX;
}

/* --- taking ---------------------------------------------------------------------------- */

static void snapping_end(struct mk_snapping *s)
{
    if (s->g != NULL)
        s->g->snapping = NULL;
    mk_free(s);
}

static void referenced(struct mk_store_wait *w, int status)
{
    struct mk_snapping *s = mk_container_of(w, struct mk_snapping, wait);
    struct mk_group *g = s->g;

    s->waiting = false;
    if (status != 0)
        mk_group_fail(g, status, "the disk failed");
    else if (mk_consensus_compact(g->raft, &s->meta, g->trailing, mk_drive_now_ms(g)) == 0)
        mk_group_wake(g);
    snapping_end(s);
}

static void written(void *arg, int status, const struct mk_snap_info *info)
{
    struct mk_snapping *s = arg;
    struct mk_group *g = s->g;
    struct mk_buf description = {0};
    uint64_t keep, lsn = 0;

    s->writer = NULL;

    /* A snapshot that was installed meanwhile is newer. */
    if (g == NULL || status != 0 || mk_consensus_installing(g->raft) ||
        mk_consensus_snapshot(g->raft) >= s->meta.index) {
        if (g != NULL && status != 0)
            mk_group_fail(g, status, "a snapshot could not be written");
        snapping_end(s);
        return;
    }
    handle_put(&s->meta, info);
    mk_snapshot_meta_encode(&s->meta, &description);
    keep = s->meta.index > g->trailing ? s->meta.index - g->trailing + 1 : 1;
    if (keep < mk_consensus_first(g->raft))
        keep = mk_consensus_first(g->raft);
    status = mk_store_set_snapshot(g->disk, &lsn, s->meta.index, mk_buf_bytes(&description), keep,
                                   false);
    mk_buf_done(&description);
    if (status != 0) {
        mk_group_fail(g, status, "a snapshot could not be referenced");
        snapping_end(s);
        return;
    }
    s->waiting = true;
    s->wait.cb = referenced;
    mk_store_wait(g->store, &s->wait, lsn);
}

void mk_snap_turn(struct mk_group *g)
{
    uint64_t index = mk_state_index(g->st);
    struct mk_snap_writer *w;
    struct mk_snapping *s;
    struct mk_buf image = {0};
    int rv;

    if (g->snapping != NULL || g->fetching != NULL || g->installing != NULL ||
        index < g->snapshot_at + g->snapshot_entries)
        return;
    s = mk_alloc(sizeof *s);
    if (mk_consensus_describe(g->raft, &s->meta, index) != 0) {
        mk_free(s);
        return;
    }
    rv = mk_snap_create(g->disk, &w, index);
    if (rv != 0) {
        mk_free(s);
        mk_group_fail(g, rv, "a snapshot could not be written");
        return;
    }
    g->snapshot_at = index;
    g->snapping = s;
    s->g = g;
    mk_state_snapshot(g->st, &image);
    mk_snap_append(w, mk_buf_bytes(&image));
    mk_buf_done(&image);
    s->writer = w;
    mk_snap_finish(w, NULL, written, s);
}

/* --- giving ------------------------------------------------------------------------------- */

static void send_chunk(struct mk_member *m, uint64_t index, uint64_t offset, struct mk_bytes bytes)
{
    struct mk_member_message msg = {
        .tag = mk_member_message_SnapChunk,
        .u.snap_chunk = {.index = index, .offset = offset, .bytes = bytes},
    };

    mk_member_send(m, &msg);
}

/* MK_ENOTFOUND: a newer one has taken its place. */
static int giving_open(struct mk_group *g, struct mk_member *m, uint64_t index)
{
    int rv;

    if (m->giving != NULL && m->giving_index == index)
        return 0;
    mk_snap_close(m->giving);
    m->giving = NULL;
    rv = mk_snap_open(g->disk, &m->giving, &m->giving_info, index);
    if (rv == 0)
        m->giving_index = index;
    else
        m->giving = NULL;
    return rv;
}

/* Who had it whole and asks for it again found that it is not what its hash says: our disk
 * may have turned a bit. */
static int check_given(struct mk_group *g, const struct mk_member *m, const struct mk_snap_want *w)
{
    struct mk_buf image = {0};
    int rv;

    if (w->offset != 0 || m->gave != w->index)
        return 0;
    rv = mk_snap_load(g->disk, &image, SNAPSHOT_MAX, w->index);
    mk_buf_done(&image);
    return rv;
}

void mk_snap_wanted(struct mk_group *g, struct mk_member *m, const struct mk_snap_want *w)
{
    struct mk_buf b = {0};
    uint64_t n = 0;
    int rv = g->raft == NULL ? MK_ENOTFOUND : giving_open(g, m, w->index);

    if (rv == 0)
        rv = check_given(g, m, w);

    if (rv == 0 && w->offset < m->giving_info.size) {
        n = m->giving_info.size - w->offset;
        n = n > MK_WIRE_CHUNK ? MK_WIRE_CHUNK : n;
        rv = mk_snap_read(m->giving, mk_buf_grow(&b, n), n, w->offset);
    }
    /* An empty chunk says that this snapshot is not here any more. */
    send_chunk(m, w->index, w->offset, MK_BYTES(b.p, rv == 0 ? n : 0));
    mk_buf_done(&b);
    if (rv != 0 && rv != MK_ENOTFOUND)
        mk_group_fail(g, rv, "the snapshot could not be read");
    if (rv != 0)
        return;
    if (w->offset + n == m->giving_info.size) {
        mk_snap_close(m->giving);
        m->giving = NULL;
        m->gave = w->index;
    }
}

/* --- fetching -------------------------------------------------------------------------------- */

static void fetch_forget(struct mk_group *g)
{
    struct mk_fetching *f = g->fetching;

    if (f == NULL)
        return;
    g->fetching = NULL;
    f->g = NULL;
    if (f->writer == NULL && !mk_env_is_dead(g->env))
        return; /* mk_snap_finish() still has it */
    mk_snap_cancel(f->writer != NULL ? f->writer : f->finishing);
    mk_free(f);
}

static void fetch_failed(struct mk_group *g)
{
    uint64_t index = g->fetching->index;

    fetch_forget(g);
    mk_consensus_fetch_failed(g->raft, index);
    mk_group_wake(g);
}

static void want(struct mk_group *g)
{
    struct mk_fetching *f = g->fetching;
    struct mk_member *m = mk_member_of_raft(g, f->from);
    struct mk_member_message msg = {
        .tag = mk_member_message_SnapWant,
        .u.snap_want = {.index = f->index, .offset = f->offset},
    };

    f->stalled_ns = mk_now(g->env) + FETCH_STALL_NS;
    if (m == NULL || !mk_member_send(m, &msg))
        fetch_failed(g);
}

/* Ours to mend, where another giver or another snapshot would not help. */
static void disk_refuses(struct mk_group *g, int status)
{
    if (status == MK_EIO || status == MK_ENOSPACE)
        mk_group_fail(g, status, "a snapshot could not be stored");
}

void mk_snap_fetch(struct mk_group *g, const struct mk_snapshot_meta *meta, uint64_t from)
{
    struct mk_fetching *f;
    int rv = MK_EMALFORMED;

    fetch_forget(g);
    f = mk_alloc(sizeof *f);
    f->g = g;
    f->index = meta->index;
    f->from = from;
    g->fetching = f;
    if (handle_get(meta, &f->info))
        rv = mk_snap_create(g->disk, &f->writer, meta->index);
    if (rv != 0) {
        g->fetching = NULL;
        mk_free(f);
        mk_consensus_fetch_failed(g->raft, meta->index);
        disk_refuses(g, rv);
        return;
    }
    want(g);
}

static void fetched(void *arg, int status, const struct mk_snap_info *info)
{
    struct mk_fetching *f = arg;
    struct mk_group *g = f->g;
    uint64_t index = f->index;

    (void)info;
    mk_free(f);
    if (g == NULL)
        return;
    g->fetching = NULL;
    if (status != 0) {
        mk_consensus_fetch_failed(g->raft, index);
        disk_refuses(g, status);
    } else if (mk_consensus_fetched(g->raft, index, mk_drive_now_ms(g)) != 0) {
        mk_group_fail(g, MK_ECORRUPT, "a fetched snapshot was not expected");
    }
    mk_group_wake(g);
}

void mk_snap_chunk_received(struct mk_group *g, struct mk_member *m, const struct mk_snap_chunk *c)
{
    struct mk_fetching *f = g->fetching;
    struct mk_snap_writer *w;

    if (f == NULL || f->writer == NULL || mk_member_of_raft(g, f->from) != m ||
        c->index != f->index || c->offset != f->offset)
        return;
    if (c->bytes.n == 0 || c->bytes.n > f->info.size - f->offset) {
        fetch_failed(g);
        return;
    }
    mk_snap_append(f->writer, c->bytes);
    f->offset += c->bytes.n;
    if (f->offset < f->info.size) {
        want(g);
        return;
    }
    w = f->finishing = f->writer;
    f->writer = NULL;
    mk_snap_finish(w, &f->info, fetched, f);
}

void mk_snap_link_lost(struct mk_group *g, struct mk_member *m)
{
    mk_snap_close(m->giving);
    m->giving = NULL;
    if (g->fetching != NULL && g->fetching->writer != NULL &&
        mk_member_of_raft(g, g->fetching->from) == m)
        fetch_failed(g);
}

void mk_snap_stalled(struct mk_group *g)
{
    if (mk_now(g->env) >= mk_snap_deadline(g))
        fetch_failed(g);
}

uint64_t mk_snap_deadline(const struct mk_group *g)
{
    return g->fetching != NULL && g->fetching->writer != NULL ? g->fetching->stalled_ns
                                                              : UINT64_MAX;
}

/* --- installing ---------------------------------------------------------------------------------
 */

static int load(struct mk_group *g, uint64_t index, struct mk_fault *reterr)
{
    struct mk_buf image = {0};
    int rv = mk_snap_load(g->disk, &image, SNAPSHOT_MAX, index);

    if (rv == 0)
        rv = mk_state_restore(g->st, mk_buf_bytes(&image), reterr);
    else
        mk_fault(reterr, rv, "the snapshot at %llu cannot be read", (unsigned long long)index);
    mk_buf_done(&image);
    if (rv == 0 && mk_state_index(g->st) != index)
        rv = mk_fault(reterr, MK_ECORRUPT, "the snapshot is of another index");
    g->snapshot_at = index;
    if (rv == 0)
        mk_reseat_applied(g);
    return rv;
}

int mk_snap_recover(struct mk_group *g, const struct mk_snapshot_meta *meta,
                    struct mk_fault *reterr)
{
    return load(g, meta->index, reterr);
}

static void installed(struct mk_store_wait *w, int status)
{
    struct mk_installing *i = mk_container_of(w, struct mk_installing, wait);
    struct mk_group *g = i->g;
    uint64_t index = i->index;

    g->installing = NULL;
    mk_free(i);
    if (status != 0 || mk_consensus_installed(g->raft, index, mk_drive_now_ms(g)) != 0)
        mk_group_fail(g, status != 0 ? status : MK_ECORRUPT, "a snapshot could not be installed");
    mk_group_wake(g);
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
    if (rv == 0 && meta->index > mk_state_index(g->st)) {
        rv = load(g, meta->index, &f);
        mk_heads_replaced(g);
        mk_serve_replaced(g->serve);
    }
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

void mk_snap_shut(struct mk_group *g)
{
    fetch_forget(g);
    if (g->installing != NULL) {
        mk_store_wait_cancel(&g->installing->wait);
        mk_free(g->installing);
        g->installing = NULL;
    }
    if (g->snapping == NULL)
        return;
    if (g->snapping->waiting)
        mk_store_wait_cancel(&g->snapping->wait);
    else if (mk_env_is_dead(g->env))
        mk_snap_cancel(g->snapping->writer);
    if (g->snapping->waiting || mk_env_is_dead(g->env))
        mk_free(g->snapping);
    else
        g->snapping->g = NULL; /* mk_snap_finish() still has it */
    g->snapping = NULL;
}
