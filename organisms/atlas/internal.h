/* internal.h - what the files of Atlas share and nobody else needs. */
#ifndef ORGANISMS_ATLAS_INTERNAL_H
#define ORGANISMS_ATLAS_INTERNAL_H

#include "atlas/atlas.h"

/** 0, or MK_ESIGNATURE when it is not by `before`. */
int atlas_set_operator_verify(const struct atlas_set_operator *s, const struct mk_id *module_id,
                              const struct mk_peer *before);

#endif
