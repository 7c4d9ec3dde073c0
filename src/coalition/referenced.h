/* referenced.h - organism files that another file names. */
#ifndef COALITION_REFERENCED_H
#define COALITION_REFERENCED_H

#include "coalition/reader.h"

/** Loads and parses the organism file at path (as written in r's file, at `at`). Given:
 * referenced_done. */
int referenced_load(struct reader *r, struct toml_place at, struct mk_str path,
                    const struct coa_organism_file **ret);
/** The same, held against the reference's stable id and pin. */
int referenced_organism(struct reader *r, struct toml_place at, struct mk_str path,
                        const struct coa_organism_ref *ref, const struct coa_organism_file **ret);
void referenced_done(const struct coa_organism_file *f); /* NULL is fine */

bool coa_roster_of(const struct coa_contacts *committee, const struct mk_id *deployment,
                   struct mk_roster *ret, struct mk_arena *arena);

#endif
