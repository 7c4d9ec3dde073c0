/* disk_tree.c - files in memory, and what a power cut makes of them.
 *
 * Each file is as processes see it, with the list of its changes since the last sync: rolled back
 * from the last to the first they give what is durable, and those that a cut keeps are then done
 * again, in their order. A change that is durable stays in the list only while an earlier one that
 * is not stands before it. Directories have the same with names in place of bytes. */
#include "disk_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void *get(size_t n)
{
    void *p = calloc(1, n);

    if (p == NULL)
        abort();
    return p;
}

/* splitmix64 */
static uint64_t draw(uint64_t *prng, uint64_t below)
{
    uint64_t z = *prng += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) % below;
}

/* --- inodes ------------------------------------------------------------------------------- */

static struct disk_inode *inode_new(struct disk_tree *t, unsigned mode)
{
    struct disk_inode *i = get(sizeof *i);

    i->number = ++t->numbers;
    i->mode = mode;
    i->next = t->all;
    if (t->all != NULL)
        t->all->prev = i;
    t->all = i;
    return i;
}

static struct disk_inode *ref(struct disk_inode *i)
{
    if (i != NULL)
        i->refs++;
    return i;
}

static void change_free(struct disk_inode *i, struct disk_change *c)
{
    *(c->prev != NULL ? &c->prev->next : &i->first_change) = c->next;
    *(c->next != NULL ? &c->next->prev : &i->last_change) = c->prev;
    free(c);
}

static void unref(struct disk_tree *t, struct disk_inode *i);

static void naming_free(struct disk_tree *t, struct disk_inode *dir, struct disk_naming *x)
{
    *(x->prev != NULL ? &x->prev->next : &dir->first_naming) = x->next;
    *(x->next != NULL ? &x->next->prev : &dir->last_naming) = x->prev;
    unref(t, x->old);
    unref(t, x->new);
    free(x);
}

static void inode_empty(struct disk_tree *t, struct disk_inode *i)
{
    while (i->first_change != NULL)
        change_free(i, i->first_change);
    while (i->first_naming != NULL)
        naming_free(t, i, i->first_naming);
    while (i->entries != NULL) {
        struct disk_entry *e = i->entries;

        i->entries = e->next;
        unref(t, e->inode);
        free(e);
    }
}

static void inode_free(struct disk_tree *t, struct disk_inode *i)
{
    t->used -= i->size;
    *(i->prev != NULL ? &i->prev->next : &t->all) = i->next;
    if (i->next != NULL)
        i->next->prev = i->prev;
    free(i->data);
    free(i);
}

static void unref(struct disk_tree *t, struct disk_inode *i)
{
    if (i == NULL || --i->refs > 0)
        return;
    inode_empty(t, i);
    inode_free(t, i);
}

struct disk_inode *disk_hold(struct disk_inode *i)
{
    if (i->lookups++ == 0)
        ref(i);
    return i;
}

void disk_forget(struct disk_tree *t, struct disk_inode *i, uint64_t n)
{
    if (i->lookups == 0)
        return;
    i->lookups -= n < i->lookups ? n : i->lookups;
    if (i->lookups == 0)
        unref(t, i);
}

bool disk_is_dir(const struct disk_inode *i)
{
    return S_ISDIR(i->mode);
}

void disk_tree_init(struct disk_tree *t)
{
    *t = (struct disk_tree){0};
    t->root = ref(inode_new(t, S_IFDIR | 0755));
}

void disk_tree_done(struct disk_tree *t)
{
    for (struct disk_inode *i = t->all; i != NULL; i = i->next)
        ref(i); /* so that none goes before its turn */
    for (struct disk_inode *i = t->all; i != NULL; i = i->next)
        inode_empty(t, i);
    while (t->all != NULL)
        inode_free(t, t->all);
}

/* --- names ------------------------------------------------------------------------------- */

static struct disk_entry **slot_of(struct disk_inode *dir, const char *name)
{
    struct disk_entry **e = &dir->entries;

    while (*e != NULL && strcmp((*e)->name, name) != 0)
        e = &(*e)->next;
    return e;
}

struct disk_inode *disk_find(const struct disk_inode *dir, const char *name)
{
    for (const struct disk_entry *e = dir->entries; e != NULL; e = e->next)
        if (strcmp(e->name, name) == 0)
            return e->inode;
    return NULL;
}

/* The name stands for this inode now, NULL: for none. */
static void name_set(struct disk_tree *t, struct disk_inode *dir, const char *name,
                     struct disk_inode *inode)
{
    struct disk_entry **slot = slot_of(dir, name), *e = *slot;

    ref(inode);
    if (e != NULL) {
        unref(t, e->inode);
        e->inode = inode;
        if (inode == NULL) {
            *slot = e->next;
            free(e);
        }
    } else if (inode != NULL) {
        e = get(sizeof *e + strlen(name) + 1);
        memcpy(e->name, name, strlen(name) + 1);
        e->inode = inode;
        e->cookie = ++t->cookies;
        *slot = e; /* the last one: cookies grow */
    }
}

static void name_change(struct disk_tree *t, struct disk_inode *dir, const char *name,
                        struct disk_inode *inode, unsigned group)
{
    struct disk_naming *x = get(sizeof *x + strlen(name) + 1);

    memcpy(x->name, name, strlen(name) + 1);
    x->old = ref(disk_find(dir, name));
    x->new = ref(inode);
    x->group = group;
    x->prev = dir->last_naming;
    *(x->prev != NULL ? &x->prev->next : &dir->first_naming) = x;
    dir->last_naming = x;
    name_set(t, dir, name, inode);
}

int disk_make(struct disk_tree *t, struct disk_inode *dir, const char *name, unsigned mode,
              struct disk_inode **ret)
{
    if (!disk_is_dir(dir))
        return ENOTDIR;
    if (disk_find(dir, name) != NULL)
        return EEXIST;
    *ret = inode_new(t, mode);
    name_change(t, dir, name, *ret, ++t->groups);
    return 0;
}

int disk_remove(struct disk_tree *t, struct disk_inode *dir, const char *name, bool a_dir)
{
    struct disk_inode *i = disk_find(dir, name);

    if (i == NULL)
        return ENOENT;
    if (disk_is_dir(i) != a_dir)
        return a_dir ? ENOTDIR : EISDIR;
    if (a_dir && i->entries != NULL)
        return ENOTEMPTY;
    name_change(t, dir, name, NULL, ++t->groups);
    return 0;
}

int disk_rename(struct disk_tree *t, struct disk_inode *dir, const char *name,
                struct disk_inode *to_dir, const char *to_name)
{
    struct disk_inode *i = disk_find(dir, name), *there = disk_find(to_dir, to_name);
    unsigned group = ++t->groups;

    if (i == NULL)
        return ENOENT;
    if (there == i)
        return 0;
    if (there != NULL && disk_is_dir(there) != disk_is_dir(i))
        return disk_is_dir(i) ? ENOTDIR : EISDIR;
    if (there != NULL && there->entries != NULL)
        return ENOTEMPTY;
    name_change(t, to_dir, to_name, i, group);
    name_change(t, dir, name, NULL, group);
    return 0;
}

/* --- bytes --------------------------------------------------------------------------------- */

static void resize(struct disk_tree *t, struct disk_inode *i, uint64_t size)
{
    if (size > i->cap) {
        i->cap = size + size / 2 + 4096;
        i->data = realloc(i->data, i->cap);
        if (i->data == NULL)
            abort();
    }
    if (size > i->size)
        memset(i->data + i->size, 0, size - i->size);
    t->used = t->used - i->size + size;
    i->size = size;
}

/* What is at off now, n bytes at most, becomes `n_new` bytes of p; the size new_size. */
static int change(struct disk_tree *t, struct disk_inode *i, uint64_t off, size_t n_old,
                  const void *p, size_t n_new, uint64_t new_size)
{
    struct disk_change *c;

    if (new_size > i->size && t->capacity > 0 && t->used + (new_size - i->size) > t->capacity)
        return ENOSPC;
    c = get(sizeof *c + n_old + n_new);
    c->off = off;
    c->old_size = i->size;
    c->new_size = new_size;
    c->n_old = n_old;
    c->n_new = n_new;
    if (n_old > 0)
        memcpy(c->bytes, i->data + off, n_old);
    if (n_new > 0)
        memcpy(c->bytes + n_old, p, n_new);
    c->prev = i->last_change;
    *(c->prev != NULL ? &c->prev->next : &i->first_change) = c;
    i->last_change = c;
    resize(t, i, new_size);
    if (n_new > 0)
        memcpy(i->data + off, p, n_new);
    return 0;
}

int disk_write(struct disk_tree *t, struct disk_inode *i, uint64_t off, const void *p, size_t n)
{
    uint64_t end = off + n;
    size_t n_old = off >= i->size ? 0 : end <= i->size ? n : i->size - (size_t)off;

    if (disk_is_dir(i))
        return EISDIR;
    return change(t, i, off, n_old, p, n, end > i->size ? end : i->size);
}

int disk_truncate(struct disk_tree *t, struct disk_inode *i, uint64_t size)
{
    if (disk_is_dir(i))
        return EISDIR;
    return change(t, i, size, size < i->size ? i->size - size : 0, NULL, 0, size);
}

void disk_sync(struct disk_tree *t, struct disk_inode *i, bool failed)
{
    for (struct disk_change *c = i->first_change; c != NULL; c = c->next)
        if (c->state == DISK_PENDING)
            c->state = failed ? DISK_DOOMED : DISK_DURABLE;
    while (i->first_change != NULL && i->first_change->state == DISK_DURABLE)
        change_free(i, i->first_change);
    while (!failed && i->first_naming != NULL)
        naming_free(t, i, i->first_naming);
}

/* --- the cut: prng is NULL where nothing is kept ------------------------------------------- */

static void cut_names(struct disk_tree *t, struct disk_inode *dir, uint64_t *prng,
                      struct disk_cut *ret)
{
    unsigned n = 0, keep;
    struct disk_naming *x;

    for (x = dir->first_naming; x != NULL; x = x->next)
        n++;
    keep = n > 0 && prng != NULL ? (unsigned)draw(prng, n + 1) : 0;
    x = dir->first_naming;
    while (keep > 0 && x != NULL) { /* whole groups */
        unsigned group = x->group;

        for (; x != NULL && x->group == group; keep -= keep > 0) {
            x = x->next;
            ret->names_kept++;
        }
    }
    for (struct disk_naming *last; x != NULL && (last = dir->last_naming) != NULL;) {
        bool at_end = last == x;

        name_set(t, dir, last->name, last->old);
        naming_free(t, dir, last);
        ret->names_lost++;
        if (at_end)
            break;
    }
    while (dir->first_naming != NULL)
        naming_free(t, dir, dir->first_naming);
}

static void again(struct disk_tree *t, struct disk_inode *i, const struct disk_change *c, size_t n)
{
    uint64_t end = c->off + n;

    if (c->n_new == 0) {
        resize(t, i, c->new_size);
        return;
    }
    if (end > i->size)
        resize(t, i, end);
    memcpy(i->data + c->off, c->bytes + c->n_old, n);
}

static void cut_bytes(struct disk_tree *t, struct disk_inode *i, uint64_t *prng,
                      struct disk_cut *ret)
{
    for (const struct disk_change *c = i->last_change; c != NULL; c = c->prev) {
        resize(t, i, c->old_size);
        if (c->n_old > 0)
            memcpy(i->data + c->off, c->bytes, c->n_old);
    }
    while (i->first_change != NULL) {
        const struct disk_change *c = i->first_change;
        uint64_t kind = c->state == DISK_PENDING && prng != NULL ? draw(prng, 3) : 3;

        if (kind == 0 || c->state == DISK_DURABLE) {
            again(t, i, c, c->n_new);
            ret->kept += kind == 0;
        } else if (kind == 1 && c->n_new > 1) {
            again(t, i, c, 1 + (size_t)draw(prng, c->n_new - 1));
            ret->torn++;
        } else {
            ret->lost++;
        }
        change_free(i, i->first_change);
    }
}

void disk_power_cut(struct disk_tree *t, uint64_t seed, struct disk_cut *ret)
{
    uint64_t *prng = seed != DISK_KEEP_NOTHING ? &seed : NULL;

    *ret = (struct disk_cut){0};
    for (struct disk_inode *i = t->all; i != NULL; i = i->next)
        if (!disk_is_dir(i))
            cut_bytes(t, i, prng, ret);
    for (struct disk_inode *i = ref(t->all), *next; i != NULL; i = next) {
        if (disk_is_dir(i))
            cut_names(t, i, prng, ret);
        next = ref(i->next); /* which may be held by i alone */
        unref(t, i);
    }
}
