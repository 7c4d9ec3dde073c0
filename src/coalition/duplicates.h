/* duplicates.h - the same stable id twice, or two with equal member ids. */
#ifndef COALITION_DUPLICATES_H
#define COALITION_DUPLICATES_H

#include <mosaik/id.h>

/** Of all pairs of ids whose first 20 bytes are equal, the one whose later index is least.
 * False when there is none. O(n log n). */
bool coa_duplicates_find(const struct mk_id *ids, size_t n, size_t *ret_earlier, size_t *ret_later);

#endif
