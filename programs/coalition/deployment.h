/* deployment.h - signing a Deployment record. */
#ifndef PROGRAMS_DEPLOYMENT_H
#define PROGRAMS_DEPLOYMENT_H

#include <mosaik/key.h>
#include <mosaik/records.h>

/** Fills operator and signature, by key: ed25519 over "mosaik.deployment.v1" || the encoding
 * without the signature; out gets the whole record. */
void deployment_sign(struct mk_deployment *d, const struct mk_key *key, struct mk_buf *out);

#endif
