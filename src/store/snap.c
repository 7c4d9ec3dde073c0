/* snap.c - snapshot files.
 *
 *   content
 *   64 bytes: "MKSNAP01", u64 size of the content, 32 its BLAKE3, 16 of these 48's
 *
 * Written under another name, in chunks, each synced; when the end is durable too, the
 * file is renamed and its directory synced. Only then it is reported, so a file with
 * the right name is complete. A failure concerns this file alone: the log is another
 * file, and the store lives. */
#include "base/assert.h"
#include "store/store_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CHUNK (256u << 10)
#define END_SIZE 64u

struct mk_snap_writer {
    struct mk_store *store;
    struct mk_id group;
    uint64_t index;
    struct mk_file *file;
    struct mk_buf pending;
    size_t taken; /* bytes at the front of pending that are on their way or written */
    struct mk_buf chunk;
    uint64_t off, size;
    struct mk_hasher hasher;
    struct mk_write_sync write;
    struct mk_task task;
    bool writing, finishing, ended, canceled, expects;
    int status;
    struct mk_snap_info expect;
    void (*cb)(void *arg, int status, const struct mk_snap_info *info);
    void *arg;
};

struct mk_snap_reader {
    struct mk_file *file;
    struct mk_snap_info info;
};

void mk_snap_path(char out[128], const struct mk_id *group, uint64_t index, const char *ext)
{
    char hex[MK_ID_HEX];

    mk_id_hex(group, hex);
    if (ext == NULL)
        snprintf(out, 128, "snap/%s", hex);
    else
        snprintf(out, 128, "snap/%s/%016" PRIx64 ".%s", hex, index, ext);
}

/* --- writing ----------------------------------------------------------------------------- */

static void writer_free(struct mk_snap_writer *w)
{
    mk_later_cancel(&w->task);
    mk_file_close(w->file);
    mk_buf_done(&w->pending);
    mk_buf_done(&w->chunk);
    mk_free(w);
}

static int put_in_place(struct mk_snap_writer *w)
{
    char from[128], to[128], dir[128];
    int rv;

    mk_snap_path(from, &w->group, w->index, "tmp");
    mk_snap_path(to, &w->group, w->index, "snap");
    mk_snap_path(dir, &w->group, 0, NULL);
    rv = mk_rename(w->store->env, from, to);
    return rv != 0 ? rv : mk_dir_sync(w->store->env, dir);
}

static void writer_end(struct mk_snap_writer *w)
{
    void (*cb)(void *arg, int status, const struct mk_snap_info *info) = w->cb;
    void *arg = w->arg;
    struct mk_snap_info info = {w->size, mk_hasher_end(&w->hasher)};
    int status = w->status;

    if (status == 0)
        status = put_in_place(w);
    if (status != 0) {
        char path[128];

        mk_snap_path(path, &w->group, w->index, "tmp");
        (void)mk_unlink(w->store->env, path); /* else at the next opening */
    }
    writer_free(w);
    cb(arg, status, &info);
}

static void put_end(struct mk_snap_writer *w)
{
    struct mk_id hash = mk_hasher_end(&w->hasher), check;

    if (w->expects && (w->expect.size != w->size || !mk_id_eq(&w->expect.hash, &hash)))
        w->status = MK_ECORRUPT;
    mk_buf_put_str(&w->chunk, "MKSNAP01");
    mk_buf_put_u64le(&w->chunk, w->size);
    mk_buf_put(&w->chunk, hash.b, sizeof hash.b);
    check = mk_hash(mk_buf_bytes(&w->chunk));
    mk_buf_put(&w->chunk, check.b, 16);
    w->ended = true;
}

static void put_chunk(struct mk_snap_writer *w)
{
    size_t n = w->pending.n - w->taken;

    if (n > CHUNK)
        n = CHUNK;
    mk_buf_put(&w->chunk, w->pending.p + w->taken, n);
    mk_hasher_put(&w->hasher, w->chunk.p, n);
    w->size += n;
    w->taken += n;
    if (2 * w->taken >= w->pending.n) {
        mk_buf_drop_front(&w->pending, w->taken);
        w->taken = 0;
    }
}

static void writer_step(struct mk_snap_writer *w);

static void snap_write_cb(struct mk_write_sync *req, int status)
{
    struct mk_snap_writer *w = mk_container_of(req, struct mk_snap_writer, write);

    w->writing = false;
    w->off += w->chunk.n;
    if (w->canceled) {
        writer_free(w);
        return;
    }
    if (status != 0)
        w->status = status;
    writer_step(w);
}

static void writer_step(struct mk_snap_writer *w)
{
    size_t left = w->pending.n - w->taken;

    if (w->writing)
        return;
    if (w->finishing && (w->status != 0 || w->ended)) {
        writer_end(w);
        return;
    }
    if (w->status != 0 || (left < CHUNK && !w->finishing))
        return;
    mk_buf_clear(&w->chunk);
    if (left > 0)
        put_chunk(w);
    else
        put_end(w);
    if (w->status != 0) { /* it is not what was expected */
        writer_end(w);
        return;
    }
    w->writing = true;
    w->write.cb = snap_write_cb;
    mk_write_sync(w->file, &w->write, w->chunk.p, w->chunk.n, w->off);
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

int mk_snap_create(struct mk_store_group *g, struct mk_snap_writer **ret, uint64_t index)
{
    struct mk_store *s = g->store;
    struct mk_snap_writer *w;
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
    if (rv != 0)
        return rv;
    w = mk_alloc(sizeof *w);
    w->store = s;
    w->group = g->id;
    w->index = index;
    w->file = file;
    w->task.cb = snap_task_cb;
    mk_hasher_init(&w->hasher);
    *ret = w;
    return 0;
}

void mk_snap_append(struct mk_snap_writer *w, struct mk_bytes b)
{
    MK_ASSERT(!w->finishing);
    mk_buf_put(&w->pending, b.p, b.n);
    if (w->pending.n - w->taken >= CHUNK)
        mk_later(w->store->env, &w->task);
}

uint64_t mk_snap_pending(const struct mk_snap_writer *w)
{
    return w->pending.n - w->taken + (w->writing ? w->chunk.n : 0);
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
    mk_later(w->store->env, &w->task);
}

void mk_snap_cancel(struct mk_snap_writer *w)
{
    char path[128];
    bool dead = mk_env_is_dead(w->store->env);

    if (!dead) {
        mk_snap_path(path, &w->group, w->index, "tmp");
        (void)mk_unlink(w->store->env, path);
    }
    mk_later_cancel(&w->task);
    w->canceled = true;
    if (!w->writing || dead)
        writer_free(w);
}

/* --- reading ------------------------------------------------------------------------------- */

static int read_end(struct mk_file *f, struct mk_snap_info *ret)
{
    uint8_t end[END_SIZE];
    struct mk_id check;
    uint64_t size, n = 0;
    size_t got;
    int rv = mk_file_size(f, &size);

    if (rv != 0)
        return rv;
    if (size < END_SIZE)
        return MK_ECORRUPT;
    rv = mk_file_read(f, end, END_SIZE, size - END_SIZE, &got);
    if (rv != 0)
        return rv;
    check = mk_hash(MK_BYTES(end, 48));
    for (int i = 15; i >= 8; i--)
        n = n << 8 | end[i];
    if (got != END_SIZE || memcmp(end, "MKSNAP01", 8) != 0 || memcmp(end + 48, check.b, 16) != 0 ||
        n != size - END_SIZE)
        return MK_ECORRUPT;
    ret->size = n;
    memcpy(ret->hash.b, end + 16, sizeof ret->hash.b);
    return 0;
}

int mk_snap_open(struct mk_store_group *g, struct mk_snap_reader **ret, struct mk_snap_info *info,
                 uint64_t index)
{
    struct mk_snap_info found;
    struct mk_file *file;
    char path[128];
    int rv;

    mk_snap_path(path, &g->id, index, "snap");
    rv = mk_file_open(g->store->env, &file, path, MK_OPEN_READ);
    if (rv != 0)
        return rv;
    rv = read_end(file, &found);
    if (rv != 0) {
        mk_file_close(file);
        return rv;
    }
    *ret = mk_alloc(sizeof **ret);
    (*ret)->file = file;
    (*ret)->info = *info = found;
    return 0;
}

int mk_snap_read(struct mk_snap_reader *r, void *out, size_t n, uint64_t off)
{
    size_t got;
    int rv;

    if (off > r->info.size || n > r->info.size - off)
        return MK_EINVALID;
    rv = mk_file_read(r->file, out, n, off, &got);
    return rv == 0 && got != n ? MK_EIO : rv;
}

void mk_snap_close(struct mk_snap_reader *r)
{
    if (r == NULL)
        return;
    mk_file_close(r->file);
    mk_free(r);
}

int mk_snap_load(struct mk_store_group *g, struct mk_buf *out, uint64_t max, uint64_t index)
{
    struct mk_snap_info info;
    struct mk_snap_reader *r;
    size_t before = out->n;
    struct mk_id hash;
    int rv = mk_snap_open(g, &r, &info, index);

    if (rv != 0)
        return rv;
    if (info.size > max) {
        mk_snap_close(r);
        return MK_ELIMIT;
    }
    rv = mk_snap_read(r, mk_buf_grow(out, info.size), info.size, 0);
    mk_snap_close(r);
    hash = mk_hash(MK_BYTES(out->p + before, info.size));
    if (rv == 0 && !mk_id_eq(&hash, &info.hash))
        rv = MK_ECORRUPT;
    if (rv != 0)
        out->n = before;
    return rv;
}

/* --- removing ------------------------------------------------------------------------------- */

struct sweep {
    struct mk_store *s;
    const char *dir;
    uint64_t below;         /* complete files below it go */
    bool unfinished, other; /* unfinished ones go; all other indices go */
    uint64_t keep;
};

/* "<16 hex digits>.<ext>" */
static bool parse_name(const char *name, uint64_t *ret_index, bool *ret_complete)
{
    uint64_t v = 0;

    if (strlen(name) < 18 || name[16] != '.')
        return false;
    for (int i = 0; i < 16; i++) {
        const char *digits = "0123456789abcdef", *at = strchr(digits, name[i]);

        if (at == NULL)
            return false;
        v = v << 4 | (uint64_t)(at - digits);
    }
    *ret_index = v;
    *ret_complete = strcmp(name + 17, "snap") == 0;
    return *ret_complete || strcmp(name + 17, "tmp") == 0;
}

static void sweep_cb(void *arg, const char *name)
{
    struct sweep *sw = arg;
    char path[256];
    uint64_t index;
    bool complete;

    if (!parse_name(name, &index, &complete))
        return;
    if (complete ? !(index < sw->below || (sw->other && index != sw->keep)) : !sw->unfinished)
        return;
    snprintf(path, sizeof path, "%s/%s", sw->dir, name);
    (void)mk_unlink(sw->s->env, path); /* found again at the next opening */
}

void mk_snap_sweep(struct mk_store *s, const struct mk_id *group, uint64_t below)
{
    char dir[128];
    struct sweep sw = {.s = s, .dir = dir, .below = below};

    mk_snap_path(dir, group, 0, NULL);
    (void)mk_dir_list(s->env, dir, sweep_cb, &sw);
}

static void clean_cb(void *arg, const char *name)
{
    struct mk_store *s = arg;
    const struct mk_store_group *g = NULL;
    struct mk_id id;
    char dir[128];
    struct sweep sw = {.s = s, .dir = dir, .unfinished = true, .other = true};

    if (mk_id_unhex(&id, mk_str_of(name)) != 0)
        return;
    g = mk_stored_find(&s->state, &id);
    sw.keep = g == NULL ? 0 : g->snap_index;
    snprintf(dir, sizeof dir, "snap/%s", name);
    (void)mk_dir_list(s->env, dir, sweep_cb, &sw);
}

int mk_snap_clean(struct mk_store *s)
{
    int rv = mk_dir_list(s->env, "snap", clean_cb, s);

    return rv == MK_ENOTFOUND ? 0 : rv;
}
