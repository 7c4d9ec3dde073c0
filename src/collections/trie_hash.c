/* trie_hash.c - the trie's root, many nodes at a time.
 *
 * A batch of writes leaves some hundred hashes of a map void, and a map that was just read a
 * million. Hashed one by one on the way back from a recursion each waits for the one before;
 * those that do not depend on each other are hashed side by side instead (hashes.h):
 *
 *   visit:  every void hash becomes a job, children before parents, with a rank above those of
 *           what it depends on
 *   run:    the jobs of one rank after those of the rank below, LANES at a time
 *
 * A job is done when its hash was lifted to the depth at which its parent wants it; each step of
 * a lift is one more rank. Jobs lie in a table of fixed size: when it is full, those that
 * are in it are run. All of what they depend on is in it, too, or done. */
#include "collections/trie_int.h"
#include "crypto/hashes.h"

#include <string.h>

#define JOBS 1024u
#define LANES 64u
#define RANKS (DEPTH_MAX + 2)
#define NODE_SIZE (5 + 2 * sizeof(struct mk_id)) /* a tag, and two hashes */
#define NONE UINT16_MAX

struct job {
    const struct mk_trie_node *n;
    struct mk_id *out;        /* where the hash is wanted */
    const struct mk_id *path; /* of some leaf below n, where it is to be lifted */
    uint16_t at, depth;       /* what is in *out is seen from `at`, and wanted from `depth` */
    uint16_t next;            /* of its rank */
};

struct batch {
    unsigned n, top; /* jobs, highest rank among them */
    struct job jobs[JOBS];
    uint16_t rank[RANKS]; /* first job */
};

/* What is known of a place when its job is in the table. */
struct placed {
    unsigned rank;            /* of whoever depends on it */
    const struct mk_id *path; /* of a leaf below, or NULL */
};

/* --- running ---------------------------------------------------------------------------- */

static void push(struct batch *b, unsigned rank, struct job *j)
{
    MK_ASSERT(rank < RANKS);
    j->next = b->rank[rank];
    b->rank[rank] = (uint16_t)(j - b->jobs);
    if (rank > b->top)
        b->top = rank;
}

static unsigned take(struct batch *b, unsigned rank, struct job *lanes[LANES])
{
    unsigned n = 0;

    while (n < LANES && b->rank[rank] != NONE) {
        lanes[n] = &b->jobs[b->rank[rank]];
        b->rank[rank] = lanes[n++]->next;
    }
    return n;
}

/* H(value) of leaves, into *out; neighbours whose values have one length together. */
static void hash_values(struct job *const lanes[LANES], unsigned n)
{
    uint8_t copies[LANES][MK_HASH_EACH_MAX + MK_HASH_EACH_BEHIND];
    const uint8_t *inputs[LANES] = {0};
    struct mk_id h[LANES];

    for (unsigned i = 0, end; i < n; i = end) {
        struct mk_bytes v = leaf_value(as_leaf(lanes[i]->n));

        for (end = i; end < n && as_leaf(lanes[end]->n)->n_value == v.n; end++)
            inputs[end] = leaf_value(as_leaf(lanes[end]->n)).p;
        for (unsigned k = i; k < end && v.n <= MK_HASH_EACH_MAX && !mk_hash_each_alone(v.n); k++)
            inputs[k] = memcpy(copies[k], inputs[k], v.n); /* a leaf ends with its value */
        if (v.n <= MK_HASH_EACH_MAX)
            mk_hash_each(h + i, inputs + i, end - i, v.n);
        for (unsigned k = i; k < end; k++)
            *lanes[k]->out = v.n <= MK_HASH_EACH_MAX ? h[k] : mk_hash(MK_BYTES(inputs[k], v.n));
    }
}

/* What is hashed next for a job; *out has H(value), or what is to be lifted. */
static void put_node(uint8_t *p, const struct job *j)
{
    const struct mk_id *zero_side = j->out, *one_side = j->out;

    memcpy(p, is_leaf(j->n) ? "leaf|" : "node|", 5);
    if (is_leaf(j->n)) {
        zero_side = &as_leaf(j->n)->path;
    } else if (j->at > j->n->bit) {
        zero_side = &as_branch(j->n)->hash->v[0];
        one_side = &as_branch(j->n)->hash->v[1];
    } else if (bit_at(j->path, j->at - 1u) == 0) {
        one_side = &MK_ZERO_ID;
    } else {
        zero_side = &MK_ZERO_ID;
    }
    memcpy(p + 5, zero_side->b, sizeof zero_side->b);
    memcpy(p + 5 + sizeof zero_side->b, one_side->b, sizeof one_side->b);
}

static void run_lanes(struct batch *b, unsigned rank, struct job *const lanes[LANES], unsigned n)
{
    uint8_t nodes[LANES][NODE_SIZE + MK_HASH_EACH_BEHIND];
    const uint8_t *inputs[LANES] = {0};
    struct mk_id h[LANES];

    for (unsigned i = 0; i < n; i++) {
        put_node(nodes[i], lanes[i]);
        inputs[i] = nodes[i];
    }
    mk_hash_each(h, inputs, n, NODE_SIZE);
    for (unsigned i = 0; i < n; i++) {
        struct job *j = lanes[i];

        *j->out = h[i];
        if (!is_leaf(j->n) && --j->at > j->depth)
            push(b, rank + 1, j);
    }
}

static void run(struct batch *b)
{
    struct job *lanes[LANES];
    unsigned n;

    for (unsigned rank = 0; rank <= b->top; rank++) {
        while ((n = take(b, rank, lanes)) > 0) {
            if (rank == 0) /* leaves are here, and nothing else */
                hash_values(lanes, n);
            run_lanes(b, rank, lanes, n);
        }
    }
    b->n = b->top = 0;
}

/* --- visiting --------------------------------------------------------------------------- */

static struct placed add(struct batch *b, const struct mk_trie_node *n, unsigned depth,
                         struct mk_id *out, struct placed below)
{
    unsigned lifts = is_leaf(n) ? 0 : n->bit - depth;
    struct job *j;

    if (b->n == JOBS)
        run(b);
    if (lifts > 0 && below.path == NULL)
        below.path = &any_leaf(n)->path;
    j = &b->jobs[b->n++];
    *j = (struct job){.n = n,
                      .out = out,
                      .path = below.path,
                      .at = (uint16_t)(n->bit + 1u),
                      .depth = (uint16_t)depth};
    push(b, below.rank, j);
    return (struct placed){below.rank + 1 + lifts, below.path};
}

/* The hash of what lies below n goes to *out. */
static struct placed visit(struct batch *b, const struct mk_trie_node *n, unsigned depth,
                           struct mk_id *out)
{
    struct placed below = {1, NULL}, p;
    struct branch *x;

    if (is_leaf(n))
        return add(b, n, depth, out, (struct placed){0, &as_leaf(n)->path});
    x = as_branch(n);
    MK_ASSERT(depth <= n->bit);
    for (unsigned side = 0; side < 2; side++) {
        if ((x->node.hashed >> side & 1) != 0)
            continue;
        p = visit(b, x->child[side], n->bit + 1u, &x->hash->v[side]);
        if (p.rank > below.rank)
            below.rank = p.rank;
        below.path = p.path;
    }
    x->node.hashed = 3; /* from here on who asks finds a job, which is run before we return */
    return add(b, n, depth, out, below);
}

struct mk_id mk_trie_hash_below(struct mk_trie_node *n, unsigned depth)
{
    struct batch b;
    struct mk_id h;

    b.n = b.top = 0;
    memset(b.rank, 0xff, sizeof b.rank);
    visit(&b, n, depth, &h);
    run(&b);
    return h;
}

struct mk_id mk_trie_root(struct mk_trie *t)
{
    if (t->root == NULL)
        return MK_ZERO_ID;
    if (!t->hashed) {
        t->hash = mk_trie_hash_below(t->root, 0);
        t->hashed = true;
    }
    return t->hash;
}

/* What lies left of the edge does not change any more. */
void mk_trie_edge_hash(struct mk_trie_edge *e)
{
    for (unsigned i = 0; i < e->n; i++) {
        struct branch *b = as_branch(e->spine[i]);

        if ((b->node.hashed & 1) == 0)
            b->hash->v[0] = mk_trie_hash_below(b->child[0], b->node.bit + 1u);
        b->node.hashed |= 1;
    }
}

/* --- parts ------------------------------------------------------------------------------ */

static const struct mk_trie_node *below(const struct mk_trie_part *part)
{
    return as_branch(part->parent)->child[part->side];
}

/* Hashes spread leaves evenly, so halving the parts in turn leaves them of one size. */
size_t mk_trie_parts(struct mk_trie *t, struct mk_trie_part *parts, size_t max)
{
    size_t n = 0, i = 0, whole = 0; /* in turn; parts in a row that cannot be halved */

    if (t->root == NULL || t->hashed || is_leaf(t->root) || t->root->hashed != 0 || max < 2)
        return 0;
    for (unsigned side = 0; side < 2; side++)
        parts[n++] = (struct mk_trie_part){t->root, side};
    while (n < max && whole < n) {
        const struct mk_trie_node *x = below(&parts[i]);

        if (is_leaf(x) || x->hashed != 0) {
            whole++;
        } else {
            struct mk_trie_node *halved = as_branch(parts[i].parent)->child[parts[i].side];

            parts[i] = (struct mk_trie_part){halved, 0};
            parts[n++] = (struct mk_trie_part){halved, 1};
            whole = 0;
        }
        i = (i + 1) % n;
    }
    return n;
}

void mk_trie_part_hash(const struct mk_trie_part *part)
{
    struct branch *b = as_branch(part->parent);

    b->hash->v[part->side] = mk_trie_hash_below(b->child[part->side], b->node.bit + 1u);
}

void mk_trie_part_done(const struct mk_trie_part *part)
{
    part->parent->hashed |= (uint16_t)(1u << part->side);
}
