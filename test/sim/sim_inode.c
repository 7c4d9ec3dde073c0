/* The content of one simulated file.
 *
 * Only what a reader sees is held, and beside it each operation that is not yet durable
 * with the bytes it replaced. A crash takes all of them back, newest first, which gives
 * the durable content, and then does again those that survive: whole, in part, or not
 * at all. A write that overwrites is torn at sectors of 512 bytes, of which each is kept
 * or lost by itself; one that makes the file longer may also end at any byte.
 *
 * An operation whose sync failed is never durable, and later ones may be, over the same bytes, too:
 * those stay behind it in the list, to be done again after it was taken back. */
#include "sim_disk.h"

#include <string.h>

#define SECTOR 512u
#define OPS_MAX 4096u /* then the oldest reach the disk by themselves, as they would */

struct sim_op {
    uint64_t serial;
    uint64_t off; /* of a write; the new size of a truncation */
    uint64_t old_size;
    size_t n, old_n;      /* old: what was there in [off, off + old_n) */
    uint8_t *bytes, *old; /* bytes NULL: truncation */
    bool doomed, durable;
};

static void op_done(struct sim_op *op)
{
    mk_free(op->bytes);
    mk_free(op->old);
}

struct sim_inode *sim_inode_new(bool is_dir)
{
    struct sim_inode *i = mk_alloc(sizeof(*i));

    i->refs = 1;
    i->is_dir = is_dir;
    return i;
}

void sim_inode_ref(struct sim_inode *i)
{
    i->refs++;
}

void sim_inode_unref(struct sim_inode *i)
{
    if (i == NULL || --i->refs > 0)
        return;
    for (size_t k = 0; k < i->n_ops; k++)
        op_done(&i->ops[k]);
    mk_free(i->ops);
    mk_buf_done(&i->data);
    mk_free(i);
}

static void data_resize(struct mk_buf *b, uint64_t size)
{
    if (size > b->n) {
        size_t more = (size_t)size - b->n;

        memset(mk_buf_grow(b, more), 0, more);
    }
    b->n = (size_t)size;
}

static void data_put(struct mk_buf *b, const uint8_t *p, size_t n, uint64_t off)
{
    if (n == 0)
        return;
    if (off + n > b->n)
        data_resize(b, off + n);
    memcpy(b->p + off, p, n);
}

static struct sim_op *op_add(struct sim_inode *i)
{
    static const struct sim_op none;
    uint64_t serial = i->next_serial++;

    if (i->n_ops == OPS_MAX) {
        for (size_t k = 0; k < OPS_MAX / 2; k++)
            i->ops[k].doomed = false;
        sim_inode_settle(i, i->ops[OPS_MAX / 2].serial);
    }
    if (i->n_ops == i->ops_cap) {
        i->ops_cap = i->ops_cap == 0 ? 4 : 2 * i->ops_cap;
        i->ops = mk_realloc(i->ops, i->ops_cap * sizeof(*i->ops));
    }
    i->ops[i->n_ops] = none;
    i->ops[i->n_ops].serial = serial;
    i->ops[i->n_ops].old_size = i->data.n;
    return &i->ops[i->n_ops++];
}

/* Remembers [off, off + n) as far as it exists. */
static void op_keep_old(struct sim_inode *i, struct sim_op *op, uint64_t off, uint64_t n)
{
    if (off >= i->data.n)
        return;
    op->old_n = (size_t)(n < i->data.n - off ? n : i->data.n - off);
    op->old = mk_memdup(i->data.p + off, op->old_n);
}

void sim_inode_write(struct sim_inode *i, const void *p, size_t n, uint64_t off)
{
    struct sim_op *op;

    if (n == 0)
        return;
    op = op_add(i);
    op->off = off;
    op->n = n;
    op->bytes = mk_memdup(p, n);
    op_keep_old(i, op, off, n);
    data_put(&i->data, p, n, off);
}

void sim_inode_truncate(struct sim_inode *i, uint64_t size)
{
    struct sim_op *op = op_add(i);

    op->off = size;
    op_keep_old(i, op, size, UINT64_MAX);
    data_resize(&i->data, size);
}

uint64_t sim_inode_mark(const struct sim_inode *i)
{
    return i->next_serial;
}

void sim_inode_settle(struct sim_inode *i, uint64_t mark)
{
    size_t first = 0;

    for (size_t k = 0; k < i->n_ops; k++)
        i->ops[k].durable |= i->ops[k].serial < mark && !i->ops[k].doomed;
    while (first < i->n_ops && i->ops[first].durable)
        op_done(&i->ops[first++]);
    i->n_ops -= first;
    if (first > 0)
        memmove(i->ops, i->ops + first, i->n_ops * sizeof *i->ops);
}

void sim_inode_doom(struct sim_inode *i, uint64_t mark)
{
    for (size_t k = 0; k < i->n_ops; k++) {
        if (i->ops[k].serial < mark && !i->ops[k].durable)
            i->ops[k].doomed = true;
    }
}

/* --- crash ------------------------------------------------------------------------------ */

static void op_undo(struct sim_inode *i, const struct sim_op *op)
{
    data_resize(&i->data, op->old_size);
    data_put(&i->data, op->old, op->old_n, op->off);
}

static void op_redo(struct sim_inode *i, const struct sim_op *op)
{
    if (op->bytes == NULL)
        data_resize(&i->data, op->off);
    else
        data_put(&i->data, op->bytes, op->n, op->off);
}

static void op_redo_sectors(struct sim_inode *i, const struct sim_op *op, struct prng *p)
{
    for (size_t at = 0; at < op->n;) {
        size_t n = SECTOR - (size_t)((op->off + at) % SECTOR);

        if (n > op->n - at)
            n = op->n - at;
        if (prng_one_in(p, 2))
            data_put(&i->data, op->bytes + at, n, op->off + at);
        at += n;
    }
}

static void op_redo_torn(struct sim_inode *i, const struct sim_op *op, struct prng *p)
{
    size_t n = (size_t)prng_below(p, op->n);

    if (op->bytes == NULL)
        return;
    if (op->off + op->n > op->old_size && prng_one_in(p, 2))
        data_put(&i->data, op->bytes, n, op->off);
    else
        op_redo_sectors(i, op, p);
}

void sim_inode_crash(struct sim_inode *i, struct prng *p, enum sim_fate fate)
{
    for (size_t k = i->n_ops; k > 0 && fate != SIM_ALL_KEPT; k--)
        op_undo(i, &i->ops[k - 1]);
    for (size_t k = 0; k < i->n_ops; k++) {
        uint64_t one = i->ops[k].durable ? 1 : fate == SIM_MIXED ? prng_below(p, 3) : 0;

        if (one == 1 && fate != SIM_ALL_KEPT)
            op_redo(i, &i->ops[k]);
        else if (one == 2)
            op_redo_torn(i, &i->ops[k], p);
        op_done(&i->ops[k]);
    }
    i->n_ops = 0;
}
