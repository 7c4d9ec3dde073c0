/* snap.c - snapshot files: snap/<group>/<index>.snap, and .new while one is written.
 *
 *   content | u64le magic | u64le size | 32 bytes: BLAKE3 of the content
 *
 * The trailer is written last, the file synced, renamed, the directory synced; so a file
 * under its name is whole, and its bytes are right as long as the disk keeps them. */
#include "store/store_int.h"

#define SNAP_MAGIC 0x31504e534b4du
#define SNAP_TRAILER 48u
#define SNAP_CHUNK (1u << 20)

struct mk_snap_writer {
    struct mk_store_group *group;
    uint64_t index;
    struct mk_file *file;
    struct mk_buf pending, flying;
    uint64_t at; /* bytes handed to the disk */
    struct mk_hasher hash;
    uint64_t size;
    bool in_flight, finishing, cancelled, trailed;
    int status;
    struct mk_write_sync write;
    struct mk_task task;
    struct mk_snap_info info;
    bool has_expect;
    struct mk_snap_info expect;
    void (*cb)(void *arg, int status, const struct mk_snap_info *info);
    void *arg;
};

static void snap_dir(char out[96], const struct mk_store_group *g)
{
    char hex[MK_ID_HEX];

    snprintf(out, 96, "snap/%s", mk_id_hex(&g->id, hex));
}

static void snap_path(char out[160], const struct mk_store_group *g, uint64_t index,
                      const char *ending)
{
    char dir[96];

    snap_dir(dir, g);
    snprintf(out, 160, "%s/%llu%s", dir, (unsigned long long)index, ending);
}

/* --- writing -------------------------------------------------------------------------- */

static void writer_continue(struct mk_snap_writer *w);

static void writer_free(struct mk_snap_writer *w)
{
    mk_later_cancel(&w->task);
    if (w->file != NULL)
        mk_file_close(w->file);
    mk_buf_done(&w->pending);
    mk_buf_done(&w->flying);
    mk_free(w);
}

static void write_cb(struct mk_write_sync *ws, int status)
{
    struct mk_snap_writer *w = mk_container_of(ws, struct mk_snap_writer, write);

    w->in_flight = false;
    if (w->cancelled) {
        writer_free(w);
        return;
    }
    if (w->status == 0)
        w->status = status;
    mk_buf_clear(&w->flying);
    writer_continue(w);
}

static int put_in_place(struct mk_snap_writer *w)
{
    struct mk_env *e = w->group->store->env;
    char from[160], to[160], dir[96];
    int rv;

    snap_path(from, w->group, w->index, ".new");
    snap_path(to, w->group, w->index, ".snap");
    snap_dir(dir, w->group);
    rv = mk_rename(e, from, to);
    return rv != 0 ? rv : mk_dir_sync(e, dir);
}

static void writer_end(struct mk_snap_writer *w)
{
    void (*cb)(void *arg, int status, const struct mk_snap_info *info) = w->cb;
    struct mk_snap_info info = w->info;
    void *arg = w->arg;
    int status = w->status;

    mk_file_close(w->file);
    w->file = NULL;
    if (status == 0 && w->has_expect &&
        (w->expect.size != info.size || !mk_id_eq(&w->expect.hash, &info.hash)))
        status = MK_ECORRUPT;
    if (status == 0)
        status = put_in_place(w);
    writer_free(w);
    cb(arg, status, &info);
}

static void put_trailer(struct mk_snap_writer *w)
{
    w->trailed = true;
    w->info = (struct mk_snap_info){.size = w->size, .hash = mk_hasher_end(&w->hash)};
    mk_buf_put_u64le(&w->pending, SNAP_MAGIC);
    mk_buf_put_u64le(&w->pending, w->info.size);
    mk_buf_put(&w->pending, w->info.hash.b, sizeof w->info.hash.b);
}

static void writer_continue(struct mk_snap_writer *w)
{
    struct mk_buf swap;

    if (w->in_flight)
        return;
    if (w->finishing && !w->trailed)
        put_trailer(w);
    if (w->status != 0)
        mk_buf_clear(&w->pending);
    if (w->pending.n == 0) {
        if (w->finishing)
            writer_end(w);
        return;
    }
    if (w->pending.n < SNAP_CHUNK && !w->finishing)
        return; /* more comes */
    swap = w->flying;
    w->flying = w->pending;
    w->pending = swap;
    w->in_flight = true;
    w->write.cb = write_cb;
    mk_write_sync(w->file, &w->write, w->flying.p, w->flying.n, w->at);
    w->at += w->flying.n;
}

static void task_cb(struct mk_task *t)
{
    writer_continue(mk_container_of(t, struct mk_snap_writer, task));
}

int mk_snap_create(struct mk_store_group *g, struct mk_snap_writer **ret, uint64_t index)
{
    struct mk_env *e = g->store->env;
    struct mk_snap_writer *w;
    char path[160];
    int rv;

    snap_dir(path, g);
    rv = mk_mkdir(e, path);
    if (rv == 0)
        rv = mk_dir_sync(e, "snap");
    if (rv != 0)
        return rv;
    w = mk_alloc(sizeof *w);
    w->group = g;
    w->index = index;
    w->task.cb = task_cb;
    mk_hasher_init(&w->hash);
    snap_path(path, g, index, ".new");
    mk_unlink(e, path);
    rv = mk_file_open(e, &w->file, path, MK_OPEN_CREATE);
    if (rv != 0) {
        mk_free(w);
        return rv;
    }
    *ret = w;
    return 0;
}

void mk_snap_append(struct mk_snap_writer *w, struct mk_bytes b)
{
    mk_hasher_put(&w->hash, b.p, b.n);
    w->size += b.n;
    mk_buf_put(&w->pending, b.p, b.n);
    mk_later(w->group->store->env, &w->task);
}

uint64_t mk_snap_pending(const struct mk_snap_writer *w)
{
    return w->pending.n + w->flying.n;
}

void mk_snap_finish(struct mk_snap_writer *w, const struct mk_snap_info *expect,
                    void (*cb)(void *arg, int status, const struct mk_snap_info *info), void *arg)
{
    w->finishing = true;
    w->has_expect = expect != NULL;
    if (expect != NULL)
        w->expect = *expect;
    w->cb = cb;
    w->arg = arg;
    mk_later(w->group->store->env, &w->task);
}

void mk_snap_cancel(struct mk_snap_writer *w)
{
    MK_ASSERT(!w->finishing);
    mk_later_cancel(&w->task);
    w->cancelled = true;
    if (!w->in_flight)
        writer_free(w);
}

/* --- reading ------------------------------------------------------------------------------ */

struct mk_snap_reader {
    struct mk_file *file;
    uint64_t size;
};

static int read_trailer(struct mk_file *f, struct mk_snap_info *ret)
{
    uint8_t b[SNAP_TRAILER];
    struct mk_reader r = {.p = b, .n = sizeof b};
    uint64_t size = 0, magic;
    size_t n = 0;
    int rv = mk_file_size(f, &size);

    if (rv == 0 && size < SNAP_TRAILER)
        rv = MK_ECORRUPT;
    if (rv == 0)
        rv = mk_file_read(f, b, sizeof b, size - SNAP_TRAILER, &n);
    if (rv != 0)
        return rv;
    magic = mk_read_u64le(&r);
    ret->size = mk_read_u64le(&r);
    memcpy(ret->hash.b, r.p, sizeof ret->hash.b);
    return n == sizeof b && magic == SNAP_MAGIC && ret->size == size - SNAP_TRAILER ? 0
                                                                                    : MK_ECORRUPT;
}

int mk_snap_open(struct mk_store_group *g, struct mk_snap_reader **ret, struct mk_snap_info *info,
                 uint64_t index)
{
    struct mk_file *f;
    char path[160];
    int rv;

    snap_path(path, g, index, ".snap");
    rv = mk_file_open(g->store->env, &f, path, MK_OPEN_READ);
    if (rv != 0)
        return rv;
    rv = read_trailer(f, info);
    if (rv != 0) {
        mk_file_close(f);
        return rv;
    }
    *ret = mk_alloc(sizeof **ret);
    (*ret)->file = f;
    (*ret)->size = info->size;
    return 0;
}

int mk_snap_read(struct mk_snap_reader *r, void *out, size_t n, uint64_t off)
{
    size_t got = 0;
    int rv;

    if (off > r->size || n > r->size - off)
        return MK_EINVALID;
    rv = mk_file_read(r->file, out, n, off, &got);
    return rv != 0 ? rv : got == n ? 0 : MK_EIO;
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
    struct mk_snap_reader *r;
    struct mk_snap_info info;
    struct mk_id hash;
    size_t before = out->n;
    int rv = mk_snap_open(g, &r, &info, index);

    if (rv != 0)
        return rv;
    if (info.size > max) {
        rv = MK_ELIMIT;
    } else {
        rv = mk_snap_read(r, mk_buf_grow(out, (size_t)info.size), (size_t)info.size, 0);
        hash = mk_hash(MK_BYTES(out->p + before, (size_t)info.size));
        if (rv == 0 && !mk_id_eq(&hash, &info.hash))
            rv = MK_ECORRUPT;
        if (rv != 0)
            out->n = before;
    }
    mk_snap_close(r);
    return rv;
}

/* --- pruning ---------------------------------------------------------------------------------- */

struct prune {
    struct mk_env *env;
    char dir[96];
    char keep[32], fresh[32];
    uint64_t below;
};

static void prune_cb(void *arg, const char *name)
{
    const struct prune *p = arg;
    char path[400];
    uint64_t index = 0;
    const char *c = name;

    for (; *c >= '0' && *c <= '9' && index < UINT64_MAX / 10 - 9; c++)
        index = 10 * index + (uint64_t)(*c - '0');
    if (strcmp(name, p->keep) == 0 || index >= p->below)
        return;
    snprintf(path, sizeof path, "%s/%.255s", p->dir, name);
    mk_unlink(p->env, path);
}

void mk_snap_prune(struct mk_store_group *g, uint64_t keep)
{
    struct prune p = {.env = g->store->env, .below = keep == UINT64_MAX ? UINT64_MAX : keep};

    snap_dir(p.dir, g);
    snprintf(p.keep, sizeof p.keep, "%llu.snap", (unsigned long long)keep);
    mk_dir_list(p.env, p.dir, prune_cb, &p);
}
