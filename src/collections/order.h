/* order.h - an ordered set of byte strings that can be counted into: the k-th key, and
 * how many keys are smaller, each in O(log n). Each key carries one number.
 *
 * What a Vec (keys: the labels of its elements) and a queue (keys: priority, then key)
 * keep beside their trie, which knows no order but that of the hashes. Derived from the
 * trie, never hashed, never stored. */
#ifndef COLLECTIONS_ORDER_H
#define COLLECTIONS_ORDER_H

#include <mosaik/bytes.h>

struct mk_order_node;

/** All zero is empty. */
struct mk_order {
    struct mk_order_node *root;
    uint64_t dice;
};

void mk_order_done(struct mk_order *o); /* empty again */
size_t mk_order_count(const struct mk_order *o);
/** Copies the key; of a key that is there the note is replaced. */
void mk_order_put(struct mk_order *o, struct mk_bytes key, uint64_t note);
/** false: it was not there. */
bool mk_order_remove(struct mk_order *o, struct mk_bytes key);
/** MK_ENOTFOUND. */
int mk_order_find(const struct mk_order *o, struct mk_bytes key, uint64_t *ret_note);
/** The key at position i < count, from the smallest on; lent until the next change. */
struct mk_bytes mk_order_at(const struct mk_order *o, size_t i);
/** How many keys are smaller. */
size_t mk_order_rank(const struct mk_order *o, struct mk_bytes key);

#endif
