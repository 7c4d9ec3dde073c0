/* sim_disk.h - the two halves of a simulated disk.
 *
 *     sim_inode.c  the content of one file, and which of it would survive
 *     sim_disk.c   names, handles, faults; the calls of the seam */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "world_int.h"

struct sim_op; /* a write or truncation not yet durable */

struct sim_inode {
    unsigned refs; /* names (present and durable) and handles */
    bool is_dir;
    struct mk_buf data; /* as a reader sees it */
    struct sim_op *ops; /* oldest first */
    size_t n_ops, ops_cap;
    uint64_t next_serial;
};

struct sim_inode *sim_inode_new(bool is_dir); /* one ref */
void sim_inode_ref(struct sim_inode *i);
void sim_inode_unref(struct sim_inode *i);
void sim_inode_write(struct sim_inode *i, const void *p, size_t n, uint64_t off);
void sim_inode_truncate(struct sim_inode *i, uint64_t size);
/** How many operations there are: what a sync that starts now will make durable. */
uint64_t sim_inode_mark(const struct sim_inode *i);
/** The operations before mark are durable. */
void sim_inode_settle(struct sim_inode *i, uint64_t mark);
/** The sync of those before mark failed: no later one makes them durable either. */
void sim_inode_doom(struct sim_inode *i, uint64_t mark);

enum sim_fate { SIM_ALL_KEPT, SIM_ALL_LOST, SIM_MIXED };
/** The operations that are left are kept, lost or torn; then there are none. */
void sim_inode_crash(struct sim_inode *i, struct prng *p, enum sim_fate fate);

#endif
