/* label.h - names of a Vec's elements that sort like their places.
 *
 * An element keeps its label while others come and go, so that an insertion is one new
 * key and nothing moves. A label is one or more levels of eight bytes, big end first:
 *
 *     first element           8000000000000000
 *     after the last          its first level + 2^36        (below: - 2^36 before the first)
 *     between two             the middle of the level in which they part, and where they leave
 *                             no room in it, one level more under the smaller one */
#ifndef COLLECTIONS_LABEL_H
#define COLLECTIONS_LABEL_H

#include <mosaik/bytes.h>

#define MK_LABEL_MAX 1024u     /* bytes: what a key may have */
#define MK_LABEL_EASY 64u      /* beyond it, the neighbourhood is labelled anew if that is cheap */
#define MK_LABEL_RELABELED 48u /* what they then have at most */

struct mk_label {
    uint8_t b[MK_LABEL_MAX];
    size_t n;
};

/** Where the new labels go: n of them, alike far apart, between `before` and `after` (NULL: an
 * end), of at most `limit` bytes each. */
struct mk_label_room {
    const struct mk_bytes *before, *after;
    uint64_t n;     /* at most 2^20 */
    uint64_t least; /* from one to the next, at least */
    bool deeper;    /* may a level be added below the one in which the two part? */
    size_t limit;
};

/** The i-th of them. false for all i alike: there is no room, or these are no labels in order.
 * Where n > 1, room is left between them. */
bool mk_label_at(struct mk_label *ret, const struct mk_label_room *room, uint64_t i);

#endif
