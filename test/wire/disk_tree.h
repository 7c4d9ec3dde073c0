/* disk_tree.h - a tree of files that knows of each change whether it is durable.
 *
 * The strictest reading of POSIX: bytes are durable once their file was synced, names once their
 * directory was. What a sync that failed should have made durable never becomes so, as with real
 * kernels. A power cut goes back to what is durable, and of what is not each change is kept, lost
 * or torn, each directory keeps the first so many of its names' changes. Pure: the generator is
 * given. */
#ifndef TEST_WIRE_DISK_TREE_H
#define TEST_WIRE_DISK_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum disk_state { DISK_PENDING, DISK_DURABLE, DISK_DOOMED };

/** A write or a truncation: what was at `off` before and is now. */
struct disk_change {
    struct disk_change *next, *prev;
    enum disk_state state;
    uint64_t off, old_size, new_size;
    size_t n_old, n_new;
    uint8_t bytes[]; /* old, then new */
};

/** A name that came to stand for another inode, or for none. */
struct disk_naming {
    struct disk_naming *next, *prev;
    struct disk_inode *old, *new; /* NULL: none */
    unsigned group;               /* the two of one rename are kept or lost together */
    char name[];
};

struct disk_entry {
    struct disk_entry *next;
    struct disk_inode *inode;
    uint64_t cookie; /* grows in the order of the list */
    char name[];
};

struct disk_inode {
    struct disk_inode *next, *prev; /* all of the tree */
    uint64_t number;
    unsigned mode; /* with the type */
    size_t refs, lookups;
    uint8_t *data;
    size_t size, cap;
    struct disk_change *first_change, *last_change;
    struct disk_entry *entries;
    struct disk_naming *first_naming, *last_naming;
};

struct disk_tree {
    struct disk_inode *root, *all;
    uint64_t used, capacity; /* bytes of all files; capacity 0: no limit */
    uint64_t numbers, cookies;
    unsigned groups;
};

/** What a power cut did. */
struct disk_cut {
    unsigned kept, lost, torn, names_kept, names_lost;
};

void disk_tree_init(struct disk_tree *t);
void disk_tree_done(struct disk_tree *t);

bool disk_is_dir(const struct disk_inode *i);
/** NULL: no such name. */
struct disk_inode *disk_find(const struct disk_inode *dir, const char *name);
/** One reference that the kernel holds; disk_forget() gives back n of them. */
struct disk_inode *disk_hold(struct disk_inode *i);
void disk_forget(struct disk_tree *t, struct disk_inode *i, uint64_t n);

/* 0, or an errno. */
int disk_make(struct disk_tree *t, struct disk_inode *dir, const char *name, unsigned mode,
              struct disk_inode **ret);
int disk_remove(struct disk_tree *t, struct disk_inode *dir, const char *name, bool a_dir);
int disk_rename(struct disk_tree *t, struct disk_inode *dir, const char *name,
                struct disk_inode *to_dir, const char *to_name);
int disk_write(struct disk_tree *t, struct disk_inode *i, uint64_t off, const void *p, size_t n);
int disk_truncate(struct disk_tree *t, struct disk_inode *i, uint64_t size);
/** Makes what is pending of a file or directory durable or, when the sync failed, never so. */
void disk_sync(struct disk_tree *t, struct disk_inode *i, bool failed);
#define DISK_KEEP_NOTHING 0u /* a seed: all that is not durable is lost */
void disk_power_cut(struct disk_tree *t, uint64_t seed, struct disk_cut *ret);

#endif
