/* view.h - the state of a collection: its trie, and the order that a Vec or a queue needs
 * beside it (collection.h says how each shape uses keys and values). */
#ifndef COLLECTIONS_VIEW_H
#define COLLECTIONS_VIEW_H

#include "collections/order.h"
#include "collections/trie.h"
#include <mosaik/collection.h>

struct mk_view {
    enum mk_surface_kind kind;
    const struct mk_trie *map; /* borrowed */
    /* vec: the labels. queue: big-endian priority, then key. */
    struct mk_order places;
    struct mk_order priorities; /* queue: by key; the note is the priority */
};

void mk_view_init(struct mk_view *v, enum mk_surface_kind kind, const struct mk_trie *map);
void mk_view_done(struct mk_view *v);
/** To be told of each change of the trie, before or after it. */
void mk_view_put(struct mk_view *v, struct mk_bytes key, struct mk_bytes value);
void mk_view_remove(struct mk_view *v, struct mk_bytes key);
void mk_view_clear(struct mk_view *v);
/** Forgets its orders and makes them again from the trie. */
void mk_view_rebuild(struct mk_view *v);

/** A queue's value as it is stored, and apart. A stored value that has no priority counts as 0. */
void mk_ranked_put(struct mk_buf *out, uint64_t priority, struct mk_bytes value);
uint64_t mk_ranked_read(struct mk_bytes stored, struct mk_bytes *ret_value);
/** The key of a set's element; room for it in out. */
struct mk_bytes mk_element_key(struct mk_id *out, struct mk_bytes element);

#endif
