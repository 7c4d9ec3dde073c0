/* quotes_bed.h - a committee of three that requires TDX, in the simulated world: each shows
 * emulated quotes and judges those of the others, by collateral that the bed issues and renews. */
#ifndef SIM_QUOTES_BED_H
#define SIM_QUOTES_BED_H

#include "cluster.h"

#include <mosaik/emulator.h>

#define MINUTE 60000u

struct bed {
    struct mk_acl_clause clauses[3];
    struct mk_acl_composition acl;
    struct mk_measurements measured[3]; /* of each member */
    struct mk_emulator *emulators[3];
    struct mk_buf root, collateral;
    bool intel;     /* they believe Intel's root, not the emulator's */
    bool blind[3];  /* shows quotes, and verifies none */
    bool published; /* what member 0 measures is a published build */
    const char *fetch;
    const struct mk_quote_policy *policy; /* loaded with the collateral from now on */
    size_t n_published;                   /* with it */
    struct cluster *c;
};

/** A measurement of n's alone. */
void bed_measure(struct mk_b48 *r, uint8_t n);
uint64_t bed_wall_s(struct cluster *c);
/** Member i's emulator anew, of what it measures now; one authority for all. */
void bed_emulate(struct bed *b, unsigned i);
/** What member i shows and believes; cluster_options' attest, with the bed as its arg. */
void bed_attest(void *arg, unsigned i, struct mk_witness_options *ret);
/** With one clause of that tag; bed_start() boots the committee. */
struct bed *bed_new(uint32_t tag);
/** With an AttestationFloor of that level. */
struct bed *bed_floor(unsigned level);
/** Unix time at which the simulated world begins. */
uint64_t bed_begins_s(uint64_t seed);
/** The collateral that the members load from now on. */
void bed_renew(struct bed *b, uint64_t until_s);
void bed_start(struct bed *b, const struct cluster_options *with);
void bed_free(struct bed *b);
/** Some member says so of `about`; the test fails where none does. */
void bed_says(struct bed *b, unsigned about, const char *what);
/** Some member waits, and says so. */
void bed_says_why(struct bed *b, const char *what);
struct mk_witness_status bed_status(struct bed *b, unsigned i);

#endif
