/* snap.c - writing snapshot files.
 *
 *   chunk, chunk, ... 256 KiB each, the last may be shorter
 *   table: 32 bytes for each, its BLAKE3
 *   64 bytes: "MKSNAP02", u64 size of the content, 32 the root, 16 of these 48's BLAKE3
 *
 * Written under another name, in blocks of several chunks, each synced; when the end is
 * durable too, the file is renamed and its directory synced. Only then it is reported, so
 * a file with the right name is complete. A failure concerns this file alone: the log is
 * another file, and the store lives.
 *
 * A file that is fetched has a name of its own until then (.part), and is not removed when
 * fetching ends early or the process does: what came is checked chunk by chunk, by whoever
 * has the table, and the rest follows. A crash may have torn any of it; that is seen. Not seen
 * is what a sync that failed left in the kernel's memory only: it reads well, and no later sync
 * writes it. So what came is not fetched again, but written again (as recover.c's tail is).
 *
 * The writer holds two blocks: one that is filled and one that is written. */
#include "base/assert.h"
#include "base/planted.h"
#include "store/store_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BLOCK (2u << 20) /* the log's own syncs wait behind one of them at most */

struct mk_snap_writer {
    struct mk_env *env; /* not the store: a file that is finished outlives it */
    struct mk_id group;
    uint64_t index;
    const char *ext; /* "tmp", or "part": it is resumed */
    struct mk_file *file;
    struct mk_buf fill, flight;
    uint64_t off; /* in the file, of what is next written */
    uint64_t size;
    struct mk_id *table;
    size_t n_table, cap_table;
    struct mk_write_sync write;
    struct mk_task task;
    bool writing, finishing, ended, canceled, expects;
    int status;
    struct mk_snap_info expect, info;
    void (*watch)(void *arg);
    void *watch_arg;
    void (*cb)(void *arg, int status, const struct mk_snap_info *info);
    void *arg;
};

uint64_t mk_snap_chunks(uint64_t size)
{
    return (size + MK_SNAP_CHUNK - 1) / MK_SNAP_CHUNK;
}

struct mk_id mk_snap_root(uint64_t size, const struct mk_id *table)
{
    struct mk_hasher h;

    mk_hasher_init(&h);
    mk_hasher_put_str(&h, "MKSNAP02");
    mk_hasher_put_u64le(&h, size);
    mk_hasher_put(&h, table, mk_snap_chunks(size) * sizeof *table);
    return mk_hasher_end(&h);
}

bool mk_snap_is_chunk(struct mk_bytes chunk, const struct mk_id *hash)
{
    struct mk_id is;

    if (MK_PLANTED(UNCHECKED_CHUNK))
        return true;
    is = mk_hash(chunk);
    return mk_id_eq(&is, hash);
}

void mk_snap_path(char out[128], const struct mk_id *group, uint64_t index, const char *ext)
{
    char hex[MK_ID_HEX];

    mk_id_hex(group, hex);
    if (ext == NULL)
        snprintf(out, 128, "snap/%s", hex);
    else
        snprintf(out, 128, "snap/%s/%016" PRIx64 ".%s", hex, index, ext);
}

static void writer_free(struct mk_snap_writer *w)
{
    mk_later_cancel(&w->task);
    mk_file_close(w->file);
    mk_buf_done(&w->fill);
    mk_buf_done(&w->flight);
    mk_free(w->table);
    mk_free(w);
}

static int put_in_place(struct mk_snap_writer *w)
{
    char from[128], to[128], dir[128];
    int rv;

    mk_snap_path(from, &w->group, w->index, w->ext);
    mk_snap_path(to, &w->group, w->index, "snap");
    mk_snap_path(dir, &w->group, 0, NULL);
    rv = mk_rename(w->env, from, to);
    return rv != 0 ? rv : mk_dir_sync(w->env, dir);
}

static void discard(struct mk_snap_writer *w)
{
    char path[128];

    mk_snap_path(path, &w->group, w->index, w->ext);
    (void)mk_unlink(w->env, path); /* else at the next opening, or by the next fetch */
}

static void writer_end(struct mk_snap_writer *w)
{
    void (*cb)(void *arg, int status, const struct mk_snap_info *info) = w->cb;
    void *arg = w->arg;
    struct mk_snap_info info = w->info;
    int status = w->status;

    if (status == 0)
        status = put_in_place(w);
    if (status != 0)
        discard(w);
    writer_free(w);
    cb(arg, status, &info);
}

static void put_end(struct mk_snap_writer *w)
{
    struct mk_buf end = {0};
    struct mk_id check;

    w->info = (struct mk_snap_info){w->size, mk_snap_root(w->size, w->table)};
    if (w->expects && (w->expect.size != w->size || !mk_id_eq(&w->expect.hash, &w->info.hash))) {
        w->status = MK_ECORRUPT;
        return;
    }
    mk_buf_put(&w->fill, w->table, w->n_table * sizeof *w->table);
    mk_buf_put_str(&end, "MKSNAP02");
    mk_buf_put_u64le(&end, w->size);
    mk_buf_put(&end, w->info.hash.b, sizeof w->info.hash.b);
    check = mk_hash(mk_buf_bytes(&end));
    mk_buf_put(&end, check.b, 16);
    mk_buf_put(&w->fill, end.p, end.n);
    mk_buf_done(&end);
    w->ended = true;
}

static void writer_step(struct mk_snap_writer *w);

static void snap_write_cb(struct mk_write_sync *req, int status)
{
    struct mk_snap_writer *w = mk_container_of(req, struct mk_snap_writer, write);

    w->writing = false;
    w->off += w->flight.n;
    if (w->canceled) {
        writer_free(w);
        return;
    }
    if (status != 0)
        w->status = status;
    writer_step(w);
}

static void block_start(struct mk_snap_writer *w)
{
    struct mk_buf t = w->flight;

    w->flight = w->fill;
    w->fill = t;
    mk_buf_clear(&w->fill);
    w->writing = true;
    w->write.cb = snap_write_cb;
    mk_write_sync(w->file, &w->write, w->flight.p, w->flight.n, w->off);
}

static void writer_step(struct mk_snap_writer *w)
{
    if (w->writing)
        return;
    if (w->finishing && !w->ended && w->status == 0)
        put_end(w);
    if (w->finishing && (w->status != 0 || w->fill.n == 0)) {
        writer_end(w);
        return;
    }
    if (w->status == 0 && (w->fill.n >= BLOCK || w->finishing))
        block_start(w);
    if (!w->finishing && w->watch != NULL)
        w->watch(w->watch_arg);
}

static void snap_task_cb(struct mk_task *t)
{
    writer_step(mk_container_of(t, struct mk_snap_writer, task));
}

static int make_dir(struct mk_store *s, const struct mk_id *group)
{
    char dir[128];
    int rv;

    mk_snap_path(dir, group, 0, NULL);
    rv = mk_mkdir(s->env, dir);
    return rv != 0 ? rv : mk_dir_sync(s->env, "snap");
}

static struct mk_snap_writer *writer_new(struct mk_store_group *g, struct mk_file *file,
                                         uint64_t index, const char *ext)
{
    struct mk_snap_writer *w = mk_alloc(sizeof *w);

    w->env = g->store->env;
    w->group = g->id;
    w->index = index;
    w->ext = ext;
    w->file = file;
    mk_file_bulk(file);
    w->task.cb = snap_task_cb;
    return w;
}

int mk_snap_create(struct mk_store_group *g, struct mk_snap_writer **ret, uint64_t index)
{
    struct mk_store *s = g->store;
    struct mk_file *file;
    char path[128];
    int rv;

    if (s->read_only)
        return MK_EINVALID;
    mk_snap_path(path, &g->id, index, "tmp");
    rv = make_dir(s, &g->id);
    if (rv == 0)
        rv = mk_unlink(s->env, path);
    if (rv == 0 || rv == MK_ENOTFOUND)
        rv = mk_file_open(s->env, &file, path, MK_OPEN_CREATE);
    if (rv == 0)
        *ret = writer_new(g, file, index, "tmp");
    return rv;
}

int mk_snap_resume(struct mk_store_group *g, struct mk_snap_writer **ret, uint64_t *ret_there,
                   uint64_t index, uint64_t size)
{
    struct mk_store *s = g->store;
    struct mk_file *file;
    uint64_t there = 0;
    char path[128];
    int rv;

    if (s->read_only)
        return MK_EINVALID;
    mk_snap_path(path, &g->id, index, "part");
    rv = make_dir(s, &g->id);
    if (rv == 0)
        mk_snap_sweep_parts(s, &g->id, index);
    if (rv == 0)
        rv = mk_file_open(s->env, &file, path, MK_OPEN_WRITE);
    if (rv == MK_ENOTFOUND)
        rv = mk_file_open(s->env, &file, path, MK_OPEN_CREATE);
    if (rv != 0)
        return rv;
    mk_snap_path(path, &g->id, 0, NULL);
    rv = mk_dir_sync(s->env, path); /* so that a crash finds it */
    if (rv == 0)
        rv = mk_file_size(file, &there);
    if (rv == 0 && there > size) /* it was nearly complete, or is of another size */
        rv = mk_file_truncate(file, there = size);
    if (rv != 0) {
        mk_file_close(file);
        return rv;
    }
    *ret_there = there == size ? mk_snap_chunks(size) : there / MK_SNAP_CHUNK;
    *ret = writer_new(g, file, index, "part");
    return 0;
}

int mk_snap_kept(struct mk_snap_writer *w, struct mk_buf *out, uint64_t i, size_t n,
                 const struct mk_id *hash)
{
    uint8_t *p = mk_buf_grow(out, n);
    size_t got;
    int rv = mk_file_read(w->file, p, n, i * MK_SNAP_CHUNK, &got);

    if (rv == 0 && (got != n || !mk_snap_is_chunk(MK_BYTES(p, n), hash)))
        rv = MK_ECORRUPT;
    return rv;
}

static void note_chunk(struct mk_snap_writer *w, size_t n, const struct mk_id *hash)
{
    MK_ASSERT(!w->finishing && w->size % MK_SNAP_CHUNK == 0 && n > 0 && n <= MK_SNAP_CHUNK);
    if (w->n_table == w->cap_table) {
        w->cap_table = w->cap_table == 0 ? 16 : 2 * w->cap_table;
        w->table = mk_realloc(w->table, w->cap_table * sizeof *w->table);
    }
    w->table[w->n_table++] = *hash;
    w->size += n;
}

void mk_snap_put(struct mk_snap_writer *w, struct mk_bytes chunk, const struct mk_id *hash)
{
    struct mk_id computed;

    if (hash == NULL) {
        computed = mk_hash(chunk);
        hash = &computed;
    }
    note_chunk(w, chunk.n, hash);
    mk_buf_put(&w->fill, chunk.p, chunk.n);
    if (w->fill.n >= BLOCK)
        mk_later(w->env, &w->task);
}

uint64_t mk_snap_pending(const struct mk_snap_writer *w)
{
    return w->fill.n + (w->writing ? w->flight.n : 0);
}

int mk_snap_status(const struct mk_snap_writer *w)
{
    return w->status;
}

void mk_snap_watch(struct mk_snap_writer *w, void (*cb)(void *arg), void *arg)
{
    w->watch = cb;
    w->watch_arg = arg;
}

void mk_snap_finish(struct mk_snap_writer *w, const struct mk_snap_info *expect,
                    void (*cb)(void *arg, int status, const struct mk_snap_info *info), void *arg)
{
    MK_ASSERT(!w->finishing);
    w->finishing = true;
    w->cb = cb;
    w->arg = arg;
    if (expect != NULL) {
        w->expects = true;
        w->expect = *expect;
    }
    mk_later(w->env, &w->task);
}

void mk_snap_cancel(struct mk_snap_writer *w)
{
    bool dead = mk_env_is_dead(w->env);

    if (!dead && strcmp(w->ext, "tmp") == 0)
        discard(w);
    mk_later_cancel(&w->task);
    w->canceled = true;
    if (!w->writing || dead)
        writer_free(w);
}
