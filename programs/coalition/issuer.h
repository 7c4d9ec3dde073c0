/* issuer.h - a ticket issuer whose roster comes together with its key files
 * (spec/services.md, "Ticket issuer"): each member signs the same bytes, a majority counts. */
#ifndef PROGRAMS_ISSUER_H
#define PROGRAMS_ISSUER_H

#include "program.h"

#include <mosaik/issuers.h>
#include <mosaik/ticket.h>

struct issuer {
    struct coa_coalition_file f;
    struct coa_coalition_ids ids;
    struct mk_roster roster;
    struct mk_arena arena;
};

/** The issuer that a coalition file ships, with its first roster. A status, after a complaint. */
int issuer_open(struct issuer *i, const char *path);
void issuer_done(struct issuer *i);

/** Signs what with each key file; n_keys shares, in their order. Each key is of the roster, none
 * twice, and they are a majority. A status, after a complaint. */
int issuer_sign(const struct issuer *i, struct mk_peer_signature *shares, const char *const *keys,
                unsigned n_keys,
                void (*sign)(const struct mk_key *key, const struct issuer *i, struct mk_bytes what,
                             struct mk_signature *ret),
                struct mk_bytes what);

#endif
