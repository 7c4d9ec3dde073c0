/* types.h - the types that keys and values may be of where a surface is declared by words: by the
 * operator's command `collection`, and by other languages. */
#ifndef ORGANISMS_TYPES_H
#define ORGANISMS_TYPES_H

#include <mosaik/datum.h>

/** bytes, str, u64, i64, bool, f64, id, peer, member_id, AtlasCard, PriceTick, Score, Settlement;
 * NULL for another name, or for none. */
const struct mk_type *coalition_type_named(const char *name);
/** All of them, from 0; NULL past the last. */
const struct mk_type *coalition_type_at(size_t i);

#endif
