/* handshake.h - what an operator publishes about a coalition, an organism or a lattice:
 * one JSON object, and the same as one page. */
#ifndef PROGRAMS_HANDSHAKE_H
#define PROGRAMS_HANDSHAKE_H

#include <coalition/file.h>
#include <jansson.h>

/** facts: keys in the order of the page. A key whose value is null should be stated and is not;
 * then missing (texts) holds its place in the file, as "atlas.description" or
 * "lattice[0].handshake". What need not be stated and is not has no key. Both are given. */
struct handshake {
    json_t *facts;
    json_t *missing;
};

void handshake_coalition(struct handshake *ret, const struct coa_coalition_file *f);
void handshake_organism(struct handshake *ret, const struct coa_organism_file *f);
void handshake_lattice(struct handshake *ret, const struct coa_lattice_file *f);
void handshake_done(struct handshake *h);

/** Appends the page: self-contained, no script, nothing loaded from elsewhere. name is the file
 * name of the JSON, for a link. */
void handshake_page(struct mk_buf *out, const struct handshake *h, const char *name);

#endif
