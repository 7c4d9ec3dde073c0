/* collection.h - a collection's keys and values as words of a command line, and its writes. */
#ifndef PROGRAMS_COLLECTION_H
#define PROGRAMS_COLLECTION_H

#include "program.h"

#include <mosaik/collection.h>

/** pc(T) of a text: str as it stands; u64, i64, f64 in decimal; true or false; what is bytes, and
 * the encoding of any other type, as hex. Given from the arena. A status, after a complaint that
 * names `what`. */
int datum_parse(struct mk_bytes *ret, const struct mk_type *t, const char *text, const char *what,
                struct mk_arena *arena);
/** As JSON; the bytes in hex when they are no such datum. */
json_t *datum_json(const struct mk_type *t, struct mk_bytes b);

/** The write that words mean, words[0] its name. A status, after a complaint. */
int op_parse(struct mk_op *ret, const struct mk_surface_spec *spec, const char *const *words,
             unsigned n, struct mk_arena *arena);
/** Lines that tell which there are. */
extern const char op_help[];

#endif
