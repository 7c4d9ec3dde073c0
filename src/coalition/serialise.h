/* serialise.h - pc(CoalitionConfig): the table behind coa_coalition_encode. */
#ifndef COALITION_SERIALISE_H
#define COALITION_SERIALISE_H

#include <coalition/config.h>

#define COA_SERIAL_MODULE_TABLE(F, S) \
    F(S, mk_u8, kind)                 \
    F(S, mk_name, instance)           \
    F(S, coa_content, content)        \
    F(S, mk_acl_composition, acl)
MK_STRUCT_DECLARE(coa_serial_module, COA_SERIAL_MODULE_TABLE)
MK_SEQ_DECLARE(coa_serial_modules, coa_serial_module) /* in COA_MODULES order, distinct */

#define COA_SERIAL_COALITION_TABLE(F, S)       \
    F(S, mk_u8, schema_version)                \
    F(S, mk_id, seed)                          \
    F(S, mk_name, instance_name)               \
    F(S, coa_lattice_refs, lattices)           \
    F(S, coa_organism_refs, organisms)         \
    F(S, coa_serial_modules, modules)          \
    F(S, coa_opt_ticket_issuer, ticket_issuer) \
    F(S, mk_u8, retirement_policy)
MK_STRUCT_DECLARE(coa_serial_coalition, COA_SERIAL_COALITION_TABLE)

#endif
