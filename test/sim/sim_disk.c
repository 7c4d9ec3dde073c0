/* Names, handles and faults of a simulated disk, which outlives its node.
 *
 * Names are kept twice: as they are now, and as they would be after a power loss. An
 * operation on names (create, rename, unlink) changes the first at once and waits in a
 * list until a sync of its directory applies it to the second. At a crash the waiting
 * ones are all kept, all lost, kept up to one (a journal), or decided one by one. A
 * rename is one operation: it has happened or it has not.
 *
 * A synced file whose name was not synced is gone with its name. A write that is under
 * way counts as written and not synced. When a sync fails, what it should have made
 * durable never will be, as with a real kernel. */
#include "sim_disk.h"

#include <stdlib.h>
#include <string.h>

#define SYNC_MIN_US 120u
#define SYNC_MEAN_US 300u

struct name {
    char *path;
    struct sim_inode *inode; /* one ref */
};

struct names {
    struct name *a; /* sorted by path */
    size_t n, cap;
};

enum name_kind { NAME_SET, NAME_REMOVE, NAME_MOVE };

struct name_op {
    enum name_kind kind;
    char *path, *to;         /* to: NAME_MOVE */
    struct sim_inode *inode; /* one ref */
};

struct sim_disk {
    struct sim_node *node;
    struct names now, durable;
    struct name_op *ops;
    size_t n_ops, ops_cap;
    uint64_t capacity;
    uint32_t min_us, mean_us;
    const char *fail_part;
    int fail_err;
    unsigned fail_count, fail_what;
    bool (*skip_match)(void *arg, const char *path, const void *p, size_t n);
    void *skip_arg;
    const char *turn_part; /* a bit of each write to such paths turns */
};

struct sim_file {
    struct mk_file base; /* first */
    struct sim_life *life;
    struct sim_inode *inode; /* one ref */
    struct mk_list node;     /* in life->files */
    char *path;              /* as opened */
    bool writable;
    struct mk_write_sync *req; /* at most one in flight */
    uint64_t mark;
    int status;
    bool skipped;
    struct sim_event ev;
};

static struct sim_file *file_of(struct mk_file *f)
{
    return mk_container_of(f, struct sim_file, base);
}

static struct sim_disk *disk_of(struct mk_env *e)
{
    return sim_life_of(e)->node->disk;
}

/* --- names ------------------------------------------------------------------------------- */

/* The index of path, or where it belongs. */
static size_t names_index(const struct names *ns, const char *path, bool *ret_found)
{
    size_t lo = 0, hi = ns->n;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = strcmp(ns->a[mid].path, path);

        if (c == 0) {
            *ret_found = true;
            return mid;
        }
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *ret_found = false;
    return lo;
}

static struct sim_inode *names_get(const struct names *ns, const char *path)
{
    bool found;
    size_t i = names_index(ns, path, &found);

    return found ? ns->a[i].inode : NULL;
}

static void names_set(struct names *ns, const char *path, struct sim_inode *inode)
{
    bool found;
    size_t i = names_index(ns, path, &found);

    sim_inode_ref(inode);
    if (found) {
        sim_inode_unref(ns->a[i].inode);
        ns->a[i].inode = inode;
        return;
    }
    if (ns->n == ns->cap) {
        ns->cap = ns->cap == 0 ? 8 : 2 * ns->cap;
        ns->a = mk_realloc(ns->a, ns->cap * sizeof(*ns->a));
    }
    memmove(&ns->a[i + 1], &ns->a[i], (ns->n - i) * sizeof(*ns->a));
    ns->a[i] = (struct name){mk_strdup(path), inode};
    ns->n++;
}

static void names_del_at(struct names *ns, size_t i)
{
    sim_inode_unref(ns->a[i].inode);
    mk_free(ns->a[i].path);
    ns->n--;
    memmove(&ns->a[i], &ns->a[i + 1], (ns->n - i) * sizeof(*ns->a));
}

/* Removes path if it still means inode. */
static void names_del(struct names *ns, const char *path, const struct sim_inode *inode)
{
    bool found;
    size_t i = names_index(ns, path, &found);

    if (found && ns->a[i].inode == inode)
        names_del_at(ns, i);
}

static void names_done(struct names *ns)
{
    while (ns->n > 0)
        names_del_at(ns, ns->n - 1);
    mk_free(ns->a);
    *ns = (struct names){0};
}

static void names_apply(struct names *ns, const struct name_op *op)
{
    switch (op->kind) {
    case NAME_SET:
        names_set(ns, op->path, op->inode);
        break;
    case NAME_REMOVE:
        names_del(ns, op->path, op->inode);
        break;
    case NAME_MOVE:
        names_set(ns, op->to, op->inode);
        names_del(ns, op->path, op->inode);
        break;
    }
}

/* Does it to the names of now, and remembers it. */
static void disk_name_op(struct sim_disk *d, enum name_kind kind, const char *path, const char *to,
                         struct sim_inode *inode)
{
    struct name_op *op;

    if (d->n_ops == d->ops_cap) {
        d->ops_cap = d->ops_cap == 0 ? 8 : 2 * d->ops_cap;
        d->ops = mk_realloc(d->ops, d->ops_cap * sizeof(*d->ops));
    }
    op = &d->ops[d->n_ops++];
    *op = (struct name_op){kind, mk_strdup(path), to == NULL ? NULL : mk_strdup(to), inode};
    sim_inode_ref(inode);
    names_apply(&d->now, op);
}

static void name_op_done(struct name_op *op)
{
    mk_free(op->path);
    mk_free(op->to);
    sim_inode_unref(op->inode);
}

static bool in_dir(const char *path, const char *dir)
{
    char parent[MK_PATH_MAX];

    mk_path_parent(parent, path);
    return strcmp(parent, dir) == 0;
}

static bool dir_exists(const struct names *ns, const char *dir)
{
    struct sim_inode *i = *dir == 0 ? NULL : names_get(ns, dir);

    return *dir == 0 || (i != NULL && i->is_dir);
}

static bool parent_exists(const struct names *ns, const char *path)
{
    char parent[MK_PATH_MAX];

    mk_path_parent(parent, path);
    return dir_exists(ns, parent);
}

/* --- faults ------------------------------------------------------------------------------- */

/* Does this, of this path, fail now? */
static int disk_fault(struct sim_disk *d, enum world_disk_what what, const char *path)
{
    if (d->fail_count == 0 || (d->fail_what & what) == 0 ||
        (d->fail_part != NULL && strstr(path, d->fail_part) == NULL))
        return 0;
    d->fail_count--;
    return d->fail_err;
}

static bool sync_skipped(struct sim_file *f, const void *p, size_t n)
{
    struct sim_disk *d = f->life->node->disk;
    struct world *w = f->life->w;

    if (d->skip_match != NULL && d->skip_match(d->skip_arg, f->path, p, n))
        return true;
    return w->skip_match != NULL && w->skip_match(w->skip_arg, f->path, p, n);
}

/* Room for the file to end at end? */
static int disk_room(struct sim_disk *d, const struct sim_inode *i, uint64_t end)
{
    uint64_t used = 0;

    if (d->capacity == 0 || end <= i->data.n)
        return 0;
    for (size_t k = 0; k < d->now.n; k++)
        used += d->now.a[k].inode->data.n;
    return used + (end - i->data.n) > d->capacity ? MK_ENOSPACE : 0;
}

/* --- the seam's calls ------------------------------------------------------------------------ */

static struct sim_file *file_new(struct sim_life *l, struct sim_inode *i, const char *path,
                                 bool writable);

int sim_file_open(struct mk_env *e, struct mk_file **ret, const char *path, enum mk_open_mode mode)
{
    struct sim_life *l = sim_life_of(e);
    struct sim_disk *d = l->node->disk;
    struct sim_inode *i = names_get(&d->now, path);

    sim_trace(l->w, SIM_DISK, l->node->index, 1, mode);
    sim_trace_bytes(l->w, path, strlen(path));
    if (l->dead)
        return MK_EIO;
    if (mode != MK_OPEN_CREATE) {
        if (i == NULL)
            return MK_ENOTFOUND;
        if (i->is_dir)
            return MK_EIO;
        *ret = &file_new(l, i, path, mode == MK_OPEN_WRITE)->base;
        return 0;
    }
    if (i != NULL)
        return MK_EEXISTS;
    if (!parent_exists(&d->now, path))
        return MK_ENOTFOUND;
    if (disk_fault(d, WORLD_NAMES, path) != 0)
        return d->fail_err;
    i = sim_inode_new(/* is_dir= */ false);
    disk_name_op(d, NAME_SET, path, NULL, i);
    *ret = &file_new(l, i, path, /* writable= */ true)->base;
    sim_inode_unref(i);
    return 0;
}

static void file_free(struct sim_file *f)
{
    sim_event_cancel(&f->ev);
    mk_list_del(&f->node);
    sim_inode_unref(f->inode);
    mk_free(f->path);
    mk_free(f);
}

void sim_file_close(struct mk_file *base)
{
    struct sim_file *f = file_of(base);

    MK_ASSERT(f->req == NULL || f->life->dead);
    file_free(f);
}

void sim_files_free(struct sim_life *l)
{
    while (!mk_list_empty(&l->files))
        file_free(mk_container_of(l->files.next, struct sim_file, node));
}

int sim_file_size(struct mk_file *f, uint64_t *ret)
{
    *ret = file_of(f)->inode->data.n;
    return 0;
}

int sim_file_read(struct mk_file *base, void *out, size_t n, uint64_t off, size_t *ret_n)
{
    const struct mk_buf *b = &file_of(base)->inode->data;
    int rv = disk_fault(disk_of(base->env), WORLD_READS, file_of(base)->path);

    if (rv != 0)
        return rv;
    if (off >= b->n)
        n = 0;
    else if (n > b->n - off)
        n = b->n - (size_t)off;
    if (n > 0)
        memcpy(out, b->p + off, n);
    *ret_n = n;
    return 0;
}

#define TURNED_MIN 100u

static void write_turned(struct sim_file *f, const void *p, size_t n, uint64_t off)
{
    uint8_t *copy = mk_memdup(p, n);

    copy[n / 3] ^= 4;
    sim_inode_write(f->inode, copy, n, off);
    mk_free(copy);
}

static int file_write(struct sim_file *f, const void *p, size_t n, uint64_t off)
{
    struct sim_disk *d = f->life->node->disk;
    int rv = f->life->dead || !f->writable ? MK_EIO : disk_fault(d, WORLD_WRITES, f->path);

    if (rv == 0)
        rv = disk_room(d, f->inode, off + n);
    if (rv != 0)
        return rv;
    sim_trace(f->life->w, SIM_WRITE, f->life->node->index, off, n);
    sim_trace_bytes(f->life->w, p, n);
    if (d->turn_part != NULL && n >= TURNED_MIN && strstr(f->path, d->turn_part) != NULL)
        write_turned(f, p, n, off);
    else
        sim_inode_write(f->inode, p, n, off);
    return 0;
}

int sim_file_write(struct mk_file *f, const void *p, size_t n, uint64_t off)
{
    return file_write(file_of(f), p, n, off);
}

int sim_file_truncate(struct mk_file *base, uint64_t size)
{
    struct sim_file *f = file_of(base);
    int rv = f->life->dead || !f->writable ? MK_EIO : disk_room(disk_of(base->env), f->inode, size);

    if (rv != 0)
        return rv;
    sim_trace(f->life->w, SIM_DISK, f->life->node->index, 2, size);
    sim_inode_truncate(f->inode, size);
    return 0;
}

int sim_file_sync(struct mk_file *base)
{
    struct sim_file *f = file_of(base);
    int rv = f->life->dead ? MK_EIO : disk_fault(disk_of(base->env), WORLD_SYNCS, f->path);

    sim_trace(f->life->w, SIM_DISK, f->life->node->index, 3, (uint64_t)-rv);
    if (rv != 0)
        sim_inode_doom(f->inode, sim_inode_mark(f->inode));
    else if (!sync_skipped(f, NULL, 0))
        sim_inode_settle(f->inode, sim_inode_mark(f->inode));
    return rv;
}

/* --- write and sync ---------------------------------------------------------------------- */

static void synced_fire(struct sim_event *ev)
{
    struct sim_file *f = mk_container_of(ev, struct sim_file, ev);
    struct mk_write_sync *w = f->req;
    int status = f->status;

    if (status != 0)
        sim_inode_doom(f->inode, f->mark);
    else if (!f->skipped)
        sim_inode_settle(f->inode, f->mark);
    sim_trace(f->life->w, SIM_SYNCED, f->life->node->index, w->n, (uint64_t)-status);
    f->req = NULL;
    w->cb(w, status);
}

void sim_write_sync(struct mk_file *base, struct mk_write_sync *w)
{
    struct sim_file *f = file_of(base);
    struct sim_life *l = f->life;
    struct sim_disk *d = l->node->disk;

    MK_ASSERT(f->req == NULL);
    if (l->dead)
        return;
    f->status = file_write(f, w->p, w->n, w->off);
    if (f->status == 0)
        f->status = disk_fault(d, WORLD_SYNCS, f->path); /* or the sync fails */
    f->req = w;
    f->mark = sim_inode_mark(f->inode);
    f->skipped = sync_skipped(f, w->p, w->n);
    sim_event_at(l->w, l, &f->ev,
                 l->w->now_ns + 1000 * prng_delay(&l->w->prng[SIM_DISKS], d->min_us, d->mean_us));
}

static struct sim_file *file_new(struct sim_life *l, struct sim_inode *i, const char *path,
                                 bool writable)
{
    struct sim_file *f = mk_alloc(sizeof(*f));

    f->base.env = &l->base;
    f->life = l;
    f->inode = i;
    sim_inode_ref(i);
    f->path = mk_strdup(path);
    f->writable = writable;
    f->ev = (struct sim_event){.kind = SIM_SYNCED, .fire = synced_fire};
    mk_list_add_tail(&l->files, &f->node);
    return f;
}

/* --- directories --------------------------------------------------------------------------- */

int sim_rename(struct mk_env *e, const char *from, const char *to)
{
    struct sim_life *l = sim_life_of(e);
    struct sim_disk *d = l->node->disk;
    struct sim_inode *i = names_get(&d->now, from), *old = names_get(&d->now, to);

    if (l->dead)
        return MK_EIO;
    if (i == NULL || !parent_exists(&d->now, to))
        return MK_ENOTFOUND;
    if (i->is_dir || (old != NULL && old->is_dir))
        return MK_EIO; /* nobody above renames directories */
    if (disk_fault(d, WORLD_NAMES, to) != 0)
        return d->fail_err;
    sim_trace(l->w, SIM_DISK, l->node->index, 4, 0);
    sim_trace_bytes(l->w, to, strlen(to));
    if (i != old)
        disk_name_op(d, NAME_MOVE, from, to, i);
    return 0;
}

static bool dir_empty(const struct names *ns, const char *dir)
{
    for (size_t k = 0; k < ns->n; k++) {
        if (in_dir(ns->a[k].path, dir))
            return false;
    }
    return true;
}

int sim_unlink(struct mk_env *e, const char *path)
{
    struct sim_life *l = sim_life_of(e);
    struct sim_disk *d = l->node->disk;
    struct sim_inode *i = names_get(&d->now, path);

    if (l->dead)
        return MK_EIO;
    if (i == NULL)
        return MK_ENOTFOUND;
    if (i->is_dir && !dir_empty(&d->now, path))
        return MK_EEXISTS;
    if (disk_fault(d, WORLD_NAMES, path) != 0)
        return d->fail_err;
    sim_trace(l->w, SIM_DISK, l->node->index, 5, 0);
    sim_trace_bytes(l->w, path, strlen(path));
    disk_name_op(d, NAME_REMOVE, path, NULL, i);
    return 0;
}

int sim_mkdir(struct mk_env *e, const char *path)
{
    struct sim_life *l = sim_life_of(e);
    struct sim_disk *d = l->node->disk;
    struct sim_inode *i = names_get(&d->now, path);

    if (l->dead)
        return MK_EIO;
    if (i != NULL)
        return i->is_dir ? 0 : MK_EEXISTS;
    if (!parent_exists(&d->now, path))
        return MK_ENOTFOUND;
    i = sim_inode_new(/* is_dir= */ true);
    disk_name_op(d, NAME_SET, path, NULL, i);
    sim_inode_unref(i);
    return 0;
}

int sim_dir_sync(struct mk_env *e, const char *path)
{
    struct sim_life *l = sim_life_of(e);
    struct sim_disk *d = l->node->disk;
    size_t kept = 0;

    if (l->dead)
        return MK_EIO;
    if (!dir_exists(&d->now, path))
        return MK_ENOTFOUND;
    sim_trace(l->w, SIM_DISK, l->node->index, 6, d->n_ops);
    for (size_t k = 0; k < d->n_ops; k++) {
        struct name_op *op = &d->ops[k];

        if (in_dir(op->path, path) || (op->to != NULL && in_dir(op->to, path))) {
            names_apply(&d->durable, op);
            name_op_done(op);
        } else {
            d->ops[kept++] = *op;
        }
    }
    d->n_ops = kept;
    return 0;
}

int sim_dir_list(struct mk_env *e, const char *path, void (*cb)(void *arg, const char *name),
                 void *arg)
{
    struct names *ns = &disk_of(e)->now;
    char **found;
    size_t n = 0;

    if (!dir_exists(ns, path))
        return MK_ENOTFOUND;
    /* copied first: cb may change the directory */
    found = mk_alloc((ns->n + 1) * sizeof(*found));
    for (size_t k = 0; k < ns->n; k++) {
        const char *slash = strrchr(ns->a[k].path, '/');

        if (in_dir(ns->a[k].path, path))
            found[n++] = mk_strdup(slash == NULL ? ns->a[k].path : slash + 1);
    }
    for (size_t k = 0; k < n; k++) {
        cb(arg, found[k]);
        mk_free(found[k]);
    }
    mk_free(found);
    return 0;
}

/* Nobody else has this disk. */
int sim_dir_lock(struct mk_env *e)
{
    (void)e;
    return 0;
}

/* --- power loss ------------------------------------------------------------------------------ */

static void crash_names(struct sim_disk *d, struct prng *p)
{
    uint64_t kind = prng_below(p, 4), upto = prng_below(p, d->n_ops + 1);

    for (size_t k = 0; k < d->n_ops; k++) {
        bool kept = kind == 0 || (kind == 2 && k < upto) || (kind == 3 && prng_one_in(p, 2));

        if (kept)
            names_apply(&d->durable, &d->ops[k]);
        name_op_done(&d->ops[k]);
    }
    d->n_ops = 0;
    for (size_t k = 0; k < d->durable.n;) { /* sorted: a directory comes before its content */
        if (parent_exists(&d->durable, d->durable.a[k].path))
            k++;
        else
            names_del_at(&d->durable, k);
    }
}

void sim_disk_crash(struct sim_disk *d)
{
    static const enum sim_fate fates[] = {SIM_ALL_KEPT, SIM_ALL_LOST, SIM_MIXED, SIM_MIXED};
    struct prng *p = &d->node->w->prng[SIM_DISKS];
    enum sim_fate fate = fates[prng_below(p, 4)];

    crash_names(d, p);
    names_done(&d->now);
    for (size_t k = 0; k < d->durable.n; k++) {
        sim_inode_crash(d->durable.a[k].inode, p, fate);
        names_set(&d->now, d->durable.a[k].path, d->durable.a[k].inode);
    }
}

struct sim_disk *sim_disk_new(struct sim_node *n)
{
    struct sim_disk *d = mk_alloc(sizeof(*d));

    d->node = n;
    d->min_us = SYNC_MIN_US;
    d->mean_us = SYNC_MEAN_US;
    return d;
}

void sim_disk_free(struct sim_disk *d)
{
    for (size_t k = 0; k < d->n_ops; k++)
        name_op_done(&d->ops[k]);
    mk_free(d->ops);
    names_done(&d->now);
    names_done(&d->durable);
    mk_free(d);
}

/* --- what a test asks for ----------------------------------------------------------------------
 */

void world_disk_speed(struct world *w, unsigned i, uint32_t min_us, uint32_t mean_us)
{
    struct sim_disk *d = sim_node_get(w, i)->disk;

    d->min_us = min_us;
    d->mean_us = mean_us;
}

void world_disk_capacity(struct world *w, unsigned i, uint64_t bytes)
{
    sim_node_get(w, i)->disk->capacity = bytes;
}

void world_disk_fail(struct world *w, unsigned i, const char *part, int err, unsigned count)
{
    world_disk_fail_on(w, i, WORLD_WRITES | WORLD_SYNCS, part, err, count);
}

void world_disk_fail_on(struct world *w, unsigned i, unsigned what, const char *part, int err,
                        unsigned count)
{
    struct sim_disk *d = sim_node_get(w, i)->disk;

    d->fail_what = what;
    d->fail_part = part;
    d->fail_err = err;
    d->fail_count = count;
}

void world_disk_turns(struct world *w, unsigned i, const char *part)
{
    sim_node_get(w, i)->disk->turn_part = part;
}

void world_skip_sync(struct world *w, unsigned i,
                     bool (*match)(void *arg, const char *path, const void *p, size_t n), void *arg)
{
    if (i == WORLD_ALL) {
        w->skip_match = match;
        w->skip_arg = arg;
    } else {
        sim_node_get(w, i)->disk->skip_match = match;
        sim_node_get(w, i)->disk->skip_arg = arg;
    }
}

bool world_path_contains(void *arg, const char *path, const void *p, size_t n)
{
    (void)p;
    (void)n;
    return strstr(path, arg) != NULL;
}

int world_disk_read(struct world *w, unsigned i, const char *path, struct mk_buf *out)
{
    struct sim_inode *inode = names_get(&sim_node_get(w, i)->disk->now, path);

    if (inode == NULL || inode->is_dir)
        return MK_ENOTFOUND;
    mk_buf_put(out, inode->data.p, inode->data.n);
    return 0;
}

void world_disk_rot(struct world *w, unsigned i, const char *path, uint64_t off)
{
    struct sim_inode *inode = names_get(&sim_node_get(w, i)->disk->now, path);

    MK_ASSERT(inode != NULL && off < inode->data.n);
    inode->data.p[off] ^= (uint8_t)(1u << prng_below(&w->prng[SIM_DISKS], 8));
}

void world_disk_put(struct world *w, unsigned i, const char *path, struct mk_bytes content)
{
    struct sim_inode *inode = names_get(&sim_node_get(w, i)->disk->now, path);

    MK_ASSERT(inode != NULL && inode->n_ops == 0);
    mk_buf_clear(&inode->data);
    mk_buf_put(&inode->data, content.p, content.n);
}

void world_disk_remove(struct world *w, unsigned i, const char *path)
{
    struct sim_disk *d = sim_node_get(w, i)->disk;
    bool found;
    size_t at = names_index(&d->now, path, &found);

    MK_ASSERT(found);
    names_del_at(&d->now, at);
    at = names_index(&d->durable, path, &found);
    if (found)
        names_del_at(&d->durable, at);
}
