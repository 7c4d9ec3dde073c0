/* bind.h - from a coalition file to references that a network handle can bind
 * (spec/committees.md, "Binding a reference"). */
#ifndef COALITION_BIND_H
#define COALITION_BIND_H

#include <coalition/file.h>
#include <mosaik/network.h>

/** The reference to a module that the file ships: version 0 when the file states its committee,
 * else by the file's operator. Lent from f and arena. MK_ENOTFOUND: not shipped. */
int coa_module_reference(const struct coa_coalition_file *f, const struct coa_coalition_ids *ids,
                         enum coa_module_kind kind, struct mk_reference *ret,
                         struct mk_arena *arena);
/** The reference to the i-th organism: version 0 when its organism file is at hand and a committee
 * is stated there or beside the reference; by its operator, when one is stated. */
void coa_organism_binding(const struct coa_coalition_file *f, size_t i, struct mk_reference *ret,
                          struct mk_arena *arena);

/** Puts into the book what the file says of issuers: the coalition's own with its first roster, and
 * those that clauses name with a committee beside them. For mk_network_issuers(), before the loop
 * runs. 0; MK_ECONFLICT, MK_ELIMIT, MK_EINVALID as mk_issuer_book_add. */
int coa_know_issuers(const struct coa_coalition_file *f, const struct coa_coalition_ids *ids,
                     struct mk_issuer_book *book, struct mk_fault *reterr);

#endif
