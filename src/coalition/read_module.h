/* read_module.h - the tables [atlas] ... [randomness] and [ticket_issuer] of a coalition file. */
#ifndef COALITION_READ_MODULE_H
#define COALITION_READ_MODULE_H

#include "coalition/reader.h"

/** What a module's table is read into; the content of its kind alone is meaningful. */
struct module_input {
    bool shipped;
    struct toml_place at;
    struct mk_str instance;
    struct mk_acl_composition acl;
    struct coa_notes notes;
    struct mk_opt_id stance;
    struct coa_almanac_content almanac;
    struct coa_chronicle_content chronicle;
    struct coa_compute_content compute;
    struct coa_randomness_content randomness;
};

int read_module(struct reader *r, const struct toml_node *n, enum coa_module_kind kind,
                struct module_input *ret);

/** The module's body, its content encoded and checked; members is the catalogue of an Atlas. */
int module_body(struct reader *r, const struct module_input *in, enum coa_module_kind kind,
                struct coa_atlas_members members, struct coa_module_config *ret);

#endif
