/* trie_int.h - what the parts of the trie share: trie.c (its shape), trie_hash.c (its root). */
#ifndef COLLECTIONS_TRIE_INT_H
#define COLLECTIONS_TRIE_INT_H

#include "collections/trie.h"

#include "base/assert.h"
#include "collections/cells.h"

#define DEPTH_MAX 256u /* bits of H(key) */

struct mk_trie_node {
    uint32_t refs;
    uint16_t bit;    /* branch: where its children part; leaf: DEPTH_MAX */
    uint16_t hashed; /* branch: bits 0 and 1: hash[0], hash[1] are valid */
};

struct hashes {
    struct mk_id v[2]; /* root of what lies below child[i], seen from depth bit + 1 */
};

struct branch {
    struct mk_trie_node node;
    struct mk_trie_node *child[2];
    struct hashes *hash;
};

_Static_assert(sizeof(struct branch) % 32 == 0, "branches lie in cells");

struct mk_trie_pool {
    size_t refs; /* forks */
    struct mk_cells branches, hashes;
};

struct leaf {
    struct mk_trie_node node;
    struct mk_id path; /* H(key) */
    uint32_t n_key;
    uint32_t n_value;
    uint8_t bytes[]; /* key, value */
};

static inline bool is_leaf(const struct mk_trie_node *n)
{
    return n->bit == DEPTH_MAX;
}

static inline struct branch *as_branch(const struct mk_trie_node *n)
{
    MK_ASSERT(!is_leaf(n));
    return mk_container_of(n, struct branch, node);
}

static inline struct leaf *as_leaf(const struct mk_trie_node *n)
{
    MK_ASSERT(is_leaf(n));
    return mk_container_of(n, struct leaf, node);
}

static inline unsigned bit_at(const struct mk_id *path, unsigned bit)
{
    MK_ASSERT(bit < DEPTH_MAX);
    return path->b[bit / 8] >> (7 - bit % 8) & 1u;
}

static inline struct mk_bytes leaf_value(const struct leaf *l)
{
    return MK_BYTES(l->bytes + l->n_key, l->n_value);
}

static inline const struct leaf *any_leaf(const struct mk_trie_node *n)
{
    while (!is_leaf(n))
        n = as_branch(n)->child[0];
    return as_leaf(n);
}

/* The root of what lies below n, seen from `depth`; what is missing below is computed and kept. */
struct mk_id mk_trie_hash_below(struct mk_trie_node *n, unsigned depth);

#endif
