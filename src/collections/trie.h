/* trie.h - the map behind a Map surface: a trie over the bits of H(key), most
 * significant first (spec/identity.md, "map state root").
 *
 *            node                 root of no leaf:   ZERO
 *           /    \                one leaf:          H("leaf|" || H(key) || H(value))
 *        node    leaf             more:              H("node|" || left || right)
 *        /  \
 *     leaf  leaf
 *
 * Nodes are immutable once shared and reference counted, so a fork is O(1) and a
 * change copies one path. Hashes are computed when a root is asked for, each
 * node once. Paths of single children are compressed in memory, not in the
 * hashes: a node with one empty side hashes with ZERO there only where more than
 * one leaf lies below it. */
#ifndef COLLECTIONS_TRIE_H
#define COLLECTIONS_TRIE_H

#include <mosaik/records.h>

struct mk_trie_node;
struct mk_trie_pool;

/** All zero is an empty map. */
struct mk_trie {
    struct mk_trie_node *root;
    struct mk_trie_pool *pool; /* shared by all forks */
    size_t count;
    size_t bytes; /* of keys and values */
    bool hashed;  /* hash is the state root */
    struct mk_id hash;
};

void mk_trie_done(struct mk_trie *t);
/** dst (empty) becomes a copy of src in O(1). */
void mk_trie_fork(struct mk_trie *dst, const struct mk_trie *src);
/** lent until the next change of t. MK_ENOTFOUND. */
int mk_trie_get(const struct mk_trie *t, struct mk_bytes key, struct mk_bytes *ret_value);
/** true when the state changed. Copies. */
bool mk_trie_set(struct mk_trie *t, struct mk_bytes key, struct mk_bytes value);
/** As mk_trie_set for who knows path = H(key) already. */
bool mk_trie_put(struct mk_trie *t, const struct mk_id *path, struct mk_bytes key,
                 struct mk_bytes value);
bool mk_trie_remove(struct mk_trie *t, struct mk_bytes key);

/** The right edge of a map that is filled in the order of its paths. All zero for an empty map;
 * void once anything else has changed or hashed the map, or forked it. */
struct mk_trie_edge {
    struct mk_trie_node *spine[256]; /* branches, from the root on */
    unsigned n;
    struct mk_trie_node *last; /* leaf */
};
/** Adds a leaf behind all others, without a walk from the root. Copies. false: path = H(key) is not
 * above the last one; nothing is done. */
bool mk_trie_append(struct mk_trie *t, struct mk_trie_edge *e, const struct mk_id *path,
                    struct mk_bytes key, struct mk_bytes value);
/** Hashes what can be hashed already, so that the root is quick at the end; e stays good. */
void mk_trie_edge_hash(struct mk_trie_edge *e);
/** The state root; computes what is missing. */
struct mk_id mk_trie_root(struct mk_trie *t);

/** A part of a large map whose hash is missing: other threads may compute the hashes of parts, each
 * of its own, while nobody changes the map or its forks. */
struct mk_trie_part {
    struct mk_trie_node *parent;
    unsigned side;
};
/** Splits what is not hashed into parts of similar size, none below another. Their number, at most
 * max; 0: there is too little. */
size_t mk_trie_parts(struct mk_trie *t, struct mk_trie_part *parts, size_t max);
void mk_trie_part_hash(const struct mk_trie_part *part);
/** On the owner's thread, after mk_trie_part_hash(): mk_trie_root() finds it. */
void mk_trie_part_done(const struct mk_trie_part *part);
/** The first leaf with H(key) > *cursor (or >= zero when first); updates *cursor. */
bool mk_trie_next(const struct mk_trie *t, struct mk_id *cursor, struct mk_bytes *ret_key,
                  struct mk_bytes *ret_value);

/** All leaves in that order, each in O(1): what mk_trie_next() does with a descent for each.
 *
 * t must not change meanwhile; its forks may, and a fork that is left alone may be walked on
 * another thread while they do: what two forks share is copied before it is changed, but for
 * counts of references and hashes, which a walk does not look at. */
struct mk_trie_walk {
    const struct mk_trie_node *stack[257]; /* a leaf's depth is at most 256 */
    unsigned n;
};
void mk_trie_walk_begin(struct mk_trie_walk *w, const struct mk_trie *t);
/** lent until t goes. false: there are no more. */
bool mk_trie_walk_next(struct mk_trie_walk *w, struct mk_bytes *ret_key,
                       struct mk_bytes *ret_value);

/** Proof of presence or absence; siblings from the root down, lent from arena. */
void mk_trie_prove(struct mk_trie *t, struct mk_map_proof *ret, struct mk_bytes key,
                   struct mk_arena *arena);
/** Checks a proof against a certified root. value NULL claims absence. 0 or MK_ESIGNATURE
 * ("the proof does not add up to the certified root"). */
int mk_map_proof_check(const struct mk_id *root, struct mk_bytes key, const struct mk_bytes *value,
                       const struct mk_map_proof *proof, struct mk_fault *reterr);

#endif
