/* trie.c - the map's trie, in memory a crit-bit tree over H(key).
 *
 * A branch stands only where two leaves part, and remembers the bit at which
 * they do; a run of single children between two branches is not stored. So a map
 * of n keys has n leaves and n - 1 branches, whatever the keys are, and a change
 * touches one path. The root that the specification names does have the runs in
 * it: a branch at bit b under a parent at bit p is hashed at b and then lifted,
 * once with ZERO beside it for each bit between. The lifted hash of a child is kept
 * in its parent: there the depth is known, whatever other parent the same (shared)
 * child has in another fork; and who hashes a changed path needs the hashes of all
 * siblings beside it, which so lie in the nodes that he has in hand anyway, instead
 * of each being a cache miss. A hash that is not valid is computed when it is asked for.
 *
 * Memory: a walk down a large map is a chain of cache misses, one a branch, and costs more
 * than all else that a change does but hashing. So branches are 32 bytes, in cells side by
 * side, with their hashes, which a walk does not need, elsewhere. The cells belong to all
 * forks of a map together and go with the last.
 *
 * Sharing: a node with one reference may be changed in place; any other is
 * copied first, which gives its children one more reference each, so that they
 * are copied in turn when the change goes on downwards. Freeing and hashing are
 * recursive; the depth is at most 256, the bits of a hash.
 *
 * Proofs: siblings of all levels from the root down to where the key's leaf
 * stands or would stand. Three ends are possible there: its own leaf, another
 * single leaf (then that one is shown), nothing (then the proof starts from
 * ZERO). Since leaf and node have different tags, and a real trie has one node
 * at each place, no second set of siblings adds up to the same root. */
#include "collections/trie_int.h"

#include <string.h>

/* The first bit in which two paths differ; DEPTH_MAX when they are equal. */
static unsigned first_difference(const struct mk_id *a, const struct mk_id *b)
{
    for (unsigned i = 0; i < sizeof a->b; i++) {
        unsigned x = a->b[i] ^ b->b[i];

        if (x != 0)
            return i * 8 + (unsigned)__builtin_clz(x) - (unsigned)(sizeof x - 1) * 8;
    }
    return DEPTH_MAX;
}

static struct mk_bytes leaf_key(const struct leaf *l)
{
    return MK_BYTES(l->bytes, l->n_key);
}

static struct mk_trie_node *leaf_new(const struct mk_id *path, struct mk_bytes key,
                                     struct mk_bytes value)
{
    struct leaf *l = mk_realloc(NULL, sizeof *l + key.n + value.n); /* all of it is set */

    l->node = (struct mk_trie_node){.refs = 1, .bit = DEPTH_MAX};
    l->path = *path;
    l->n_key = (uint32_t)key.n;
    l->n_value = (uint32_t)value.n;
    if (key.n > 0)
        memcpy(l->bytes, key.p, key.n);
    if (value.n > 0)
        memcpy(l->bytes + key.n, value.p, value.n);
    return &l->node;
}

static struct branch *branch_new(struct mk_trie_pool *p)
{
    struct branch *b = mk_cells_take(&p->branches);

    b->node = (struct mk_trie_node){.refs = 1};
    b->hash = mk_cells_take(&p->hashes);
    return b;
}

static void branch_free(struct mk_trie_pool *p, struct branch *b)
{
    mk_cells_give(&p->hashes, b->hash);
    mk_cells_give(&p->branches, b);
}

static void unref(struct mk_trie_pool *p, struct mk_trie_node *n)
{
    if (n == NULL || --n->refs > 0)
        return;
    if (is_leaf(n)) {
        mk_free(as_leaf(n));
        return;
    }
    unref(p, as_branch(n)->child[0]);
    unref(p, as_branch(n)->child[1]);
    branch_free(p, as_branch(n));
}

/* Makes the branch in *slot ours alone, to be changed. */
static struct branch *own_branch(struct mk_trie_pool *p, struct mk_trie_node **slot)
{
    struct branch *b = as_branch(*slot);
    struct branch *copy;

    if (b->node.refs == 1)
        return b;
    copy = branch_new(p);
    copy->node.bit = b->node.bit;
    copy->node.hashed = b->node.hashed;
    copy->child[0] = b->child[0];
    copy->child[1] = b->child[1];
    *copy->hash = *b->hash;
    copy->child[0]->refs++;
    copy->child[1]->refs++;
    b->node.refs--;
    *slot = &copy->node;
    return copy;
}

/* The place of the child that path takes, to be changed: its hash is void then. */
static struct mk_trie_node **descend(struct mk_trie_pool *p, struct mk_trie_node **slot,
                                     const struct mk_id *path)
{
    struct branch *b = own_branch(p, slot);
    unsigned side = bit_at(path, b->node.bit);

    b->node.hashed &= (uint16_t) ~(1u << side);
    __builtin_prefetch(b->hash, /* write= */ 1); /* the next root needs the other side's */
    return &b->child[side];
}

/* The leaf that shares the longest path with `path`, as far as branches can tell. */
static struct leaf *nearest(const struct mk_trie *t, const struct mk_id *path)
{
    struct mk_trie_node *n = t->root;

    MK_ASSERT(n != NULL);
    while (!is_leaf(n))
        n = as_branch(n)->child[bit_at(path, n->bit)];
    return as_leaf(n);
}

void mk_trie_done(struct mk_trie *t)
{
    struct mk_trie_pool *p = t->pool;

    unref(p, t->root);
    *t = (struct mk_trie){0};
    if (p == NULL || --p->refs > 0)
        return;
    mk_cells_done(&p->branches);
    mk_cells_done(&p->hashes);
    mk_free(p);
}

static struct mk_trie_pool *pool_of(struct mk_trie *t)
{
    if (t->pool != NULL)
        return t->pool;
    t->pool = mk_alloc(sizeof *t->pool);
    t->pool->refs = 1;
    mk_cells_init(&t->pool->branches, sizeof(struct branch));
    mk_cells_init(&t->pool->hashes, sizeof(struct hashes));
    return t->pool;
}

void mk_trie_fork(struct mk_trie *dst, const struct mk_trie *src)
{
    *dst = *src;
    if (dst->root != NULL)
        dst->root->refs++;
    if (dst->pool != NULL)
        dst->pool->refs++;
}

int mk_trie_get(const struct mk_trie *t, struct mk_bytes key, struct mk_bytes *ret_value)
{
    struct mk_id path = mk_hash(key);
    const struct leaf *l;

    if (t->root == NULL)
        return MK_ENOTFOUND;
    l = nearest(t, &path);
    if (!mk_id_eq(&l->path, &path))
        return MK_ENOTFOUND;
    *ret_value = leaf_value(l);
    return 0;
}

/* Gives the leaf with this path another value: in place where nobody shares it. */
static void replace(struct mk_trie *t, const struct mk_id *path, struct mk_bytes key,
                    struct mk_bytes value)
{
    struct mk_trie_node **slot = &t->root;
    struct leaf *l;

    while (!is_leaf(*slot))
        slot = descend(t->pool, slot, path);
    l = as_leaf(*slot);
    if (l->node.refs == 1 && l->n_value == value.n) {
        memmove(l->bytes + l->n_key, value.p, value.n);
        return;
    }
    *slot = leaf_new(path, key, value);
    unref(t->pool, &l->node);
}

/* Puts a leaf beside what stands where its path parts from all others, at bit d. */
static void insert(struct mk_trie *t, const struct mk_id *path, unsigned d,
                   struct mk_trie_node *fresh)
{
    struct mk_trie_node **slot = &t->root;
    struct branch *b;

    while ((*slot)->bit < d)
        slot = descend(t->pool, slot, path);
    MK_ASSERT((*slot)->bit > d);
    b = branch_new(pool_of(t));
    b->node.bit = (uint16_t)d;
    b->child[bit_at(path, d)] = fresh;
    b->child[!bit_at(path, d)] = *slot;
    *slot = &b->node;
}

bool mk_trie_set(struct mk_trie *t, struct mk_bytes key, struct mk_bytes value)
{
    struct mk_id path = mk_hash(key);

    return mk_trie_put(t, &path, key, value);
}

bool mk_trie_put(struct mk_trie *t, const struct mk_id *path, struct mk_bytes key,
                 struct mk_bytes value)
{
    const struct leaf *l;
    unsigned d;

    if (t->root == NULL) {
        t->root = leaf_new(path, key, value);
        t->count = 1;
        t->bytes = key.n + value.n;
        t->hashed = false;
        return true;
    }
    l = nearest(t, path);
    d = first_difference(&l->path, path);
    if (d == DEPTH_MAX && mk_bytes_eq(leaf_value(l), value))
        return false;
    t->hashed = false;
    if (d == DEPTH_MAX) {
        t->bytes = t->bytes - l->n_value + value.n;
        replace(t, path, key, value);
        return true;
    }
    insert(t, path, d, leaf_new(path, key, value));
    t->count++;
    t->bytes += key.n + value.n;
    return true;
}

/* The branch at bit d takes the place of what hangs below the last branch above d: all of that lies
 * on its left, and is never looked at again. */
bool mk_trie_append(struct mk_trie *t, struct mk_trie_edge *e, const struct mk_id *path,
                    struct mk_bytes key, struct mk_bytes value)
{
    struct mk_trie_node **slot = &t->root;
    struct branch *b;
    unsigned d;

    if (e->last == NULL) {
        MK_ASSERT(t->root == NULL);
        mk_trie_put(t, path, key, value);
        e->last = t->root;
        return true;
    }
    d = first_difference(&as_leaf(e->last)->path, path);
    if (d == DEPTH_MAX || bit_at(path, d) == 0)
        return false;
    while (e->n > 0 && e->spine[e->n - 1]->bit > d)
        e->n--;
    if (e->n > 0)
        slot = &as_branch(e->spine[e->n - 1])->child[1];
    b = branch_new(pool_of(t));
    b->node.bit = (uint16_t)d;
    b->child[0] = *slot;
    b->child[1] = e->last = leaf_new(path, key, value);
    *slot = e->spine[e->n++] = &b->node;
    t->hashed = false;
    t->count++;
    t->bytes += key.n + value.n;
    return true;
}

bool mk_trie_remove(struct mk_trie *t, struct mk_bytes key)
{
    struct mk_id path = mk_hash(key);
    struct mk_trie_node **slot = &t->root, **parent = NULL, *rest;
    struct branch *b;
    const struct leaf *l;

    if (t->root == NULL)
        return false;
    l = nearest(t, &path);
    if (!mk_id_eq(&l->path, &path))
        return false;
    t->hashed = false;
    t->count--;
    t->bytes -= (size_t)l->n_key + l->n_value;
    while (!is_leaf(*slot)) {
        parent = slot;
        slot = descend(t->pool, slot, &path);
    }
    if (parent == NULL) {
        unref(t->pool, t->root);
        t->root = NULL;
        return true;
    }
    b = as_branch(*parent); /* ours alone, so its other child just moves up */
    rest = b->child[!bit_at(&path, b->node.bit)];
    unref(t->pool, *slot);
    *parent = rest;
    branch_free(t->pool, b);
    return true;
}

/* --- order ----------------------------------------------------------------------- */

bool mk_trie_next(const struct mk_trie *t, struct mk_id *cursor, struct mk_bytes *ret_key,
                  struct mk_bytes *ret_value)
{
    const struct mk_trie_node *n = t->root, *greater = NULL;
    const struct leaf *l;
    unsigned d;

    if (n == NULL)
        return false;
    d = first_difference(&nearest(t, cursor)->path, cursor);
    while (n->bit < d) {
        unsigned side = bit_at(cursor, n->bit);

        if (side == 0)
            greater = as_branch(n)->child[1];
        n = as_branch(n)->child[side];
    }
    /* All below n agree with the cursor up to d and differ from it there. */
    if (d < DEPTH_MAX && bit_at(cursor, d) == 0)
        greater = n;
    if (greater == NULL)
        return false;
    l = any_leaf(greater); /* leftmost */
    *cursor = l->path;
    *ret_key = leaf_key(l);
    *ret_value = leaf_value(l);
    return true;
}

void mk_trie_walk_begin(struct mk_trie_walk *w, const struct mk_trie *t)
{
    w->n = 0;
    if (t->root != NULL)
        w->stack[w->n++] = t->root;
}

bool mk_trie_walk_next(struct mk_trie_walk *w, struct mk_bytes *ret_key, struct mk_bytes *ret_value)
{
    const struct mk_trie_node *n;
    const struct leaf *l;

    if (w->n == 0)
        return false;
    n = w->stack[--w->n];
    while (!is_leaf(n)) {
        w->stack[w->n++] = as_branch(n)->child[1];
        n = as_branch(n)->child[0];
    }
    l = as_leaf(n);
    *ret_key = leaf_key(l);
    *ret_value = leaf_value(l);
    return true;
}

/* --- proofs ----------------------------------------------------------------------- */

struct siblings {
    struct mk_id v[DEPTH_MAX];
    size_t n;
};

static struct mk_id child_hash(struct branch *b, unsigned side)
{
    if ((b->node.hashed >> side & 1) == 0) {
        b->hash->v[side] = mk_trie_hash_below(b->child[side], b->node.bit + 1u);
        b->node.hashed |= (uint16_t)(1u << side);
    }
    return b->hash->v[side];
}

/* Walks to the place of path; returns the leaf that stands there, NULL for none. */
static struct leaf *walk(struct mk_trie *t, const struct mk_id *path, struct siblings *s)
{
    struct mk_trie_node *n = t->root;
    unsigned d;

    if (n == NULL)
        return NULL;
    d = first_difference(&nearest(t, path)->path, path);
    while (!is_leaf(n)) {
        struct branch *b = as_branch(n);
        unsigned side;

        if (d < n->bit) { /* the key would part from a run: it stands alone there */
            while (s->n < d)
                s->v[s->n++] = MK_ZERO_ID;
            s->v[s->n] = mk_trie_hash_below(n, (unsigned)s->n + 1);
            s->n++;
            return NULL;
        }
        while (s->n < n->bit)
            s->v[s->n++] = MK_ZERO_ID;
        side = bit_at(path, n->bit);
        s->v[s->n++] = child_hash(b, !side);
        n = b->child[side];
    }
    return as_leaf(n);
}

void mk_trie_prove(struct mk_trie *t, struct mk_map_proof *ret, struct mk_bytes key,
                   struct mk_arena *arena)
{
    struct mk_id path = mk_hash(key);
    struct siblings s = {.n = 0};
    const struct leaf *l = walk(t, &path, &s);

    *ret = (struct mk_map_proof){0};
    ret->siblings.v = s.n == 0 ? NULL : mk_arena_copy(arena, s.v, s.n * sizeof s.v[0]);
    ret->siblings.n = s.n;
    if (l != NULL && !mk_id_eq(&l->path, &path)) {
        ret->other.some = true;
        ret->other.v.key = l->path;
        ret->other.v.value = mk_hash(leaf_value(l));
    }
}

static struct mk_id hash_tagged(const char tag[5], const struct mk_id *a, const struct mk_id *b)
{
    uint8_t x[5 + 2 * sizeof a->b];

    memcpy(x, tag, 5);
    memcpy(x + 5, a->b, sizeof a->b);
    memcpy(x + 5 + sizeof a->b, b->b, sizeof b->b);
    return mk_hash(MK_BYTES(x, sizeof x));
}

static struct mk_id hash_node(const struct mk_id *zero_side, const struct mk_id *one_side)
{
    return hash_tagged("node|", zero_side, one_side);
}

/* The root of the level above, when `below` stands on the side that `path` takes there. */
static struct mk_id hash_up(const struct mk_id *path, unsigned depth, const struct mk_id *below,
                            const struct mk_id *beside)
{
    return bit_at(path, depth) == 0 ? hash_node(below, beside) : hash_node(beside, below);
}

int mk_map_proof_check(const struct mk_id *root, struct mk_bytes key, const struct mk_bytes *value,
                       const struct mk_map_proof *proof, struct mk_fault *reterr)
{
    struct mk_id path = mk_hash(key), h = MK_ZERO_ID;

    if (proof->siblings.n > DEPTH_MAX)
        return mk_fault(reterr, MK_ESIGNATURE, "the proof has more than 256 levels");
    if (value != NULL && proof->other.some)
        return mk_fault(reterr, MK_ESIGNATURE, "the proof shows another leaf beside a present key");
    if (value != NULL) {
        struct mk_id hv = mk_hash(*value);

        h = hash_tagged("leaf|", &path, &hv);
    } else if (proof->other.some) {
        unsigned d = first_difference(&path, &proof->other.v.key);

        if (d == DEPTH_MAX || d < proof->siblings.n)
            return mk_fault(reterr, MK_ESIGNATURE,
                            "the proof shows a leaf that does not stand where the key would");
        h = hash_tagged("leaf|", &proof->other.v.key, &proof->other.v.value);
    }
    for (size_t i = proof->siblings.n; i > 0; i--)
        h = hash_up(&path, (unsigned)i - 1, &h, &proof->siblings.v[i - 1]);
    if (!mk_id_eq(&h, root))
        return mk_fault(reterr, MK_ESIGNATURE, "the proof does not add up to the certified root");
    return 0;
}
