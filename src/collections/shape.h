/* shape.h - a write to a collection, turned into what it changes in the keyed store. */
#ifndef COLLECTIONS_SHAPE_H
#define COLLECTIONS_SHAPE_H

#include "collections/surface.h"

/** Does op to a surface that is not retired: all of it as one commit, or nothing. 0 and
 * *ret_changed; MK_EREFUSED with the rule, and then nothing changed. */
int mk_shape_apply(struct mk_surface *s, const struct mk_op *op, bool *ret_changed,
                   struct mk_fault *reterr);

#endif
