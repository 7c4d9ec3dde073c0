/* attest.h - [attest] of a file made into what the library takes; the emulator's directory.
 *
 *   DIR/emulator.key     the seed, 64 hex digits, mode 0600: whoever has it quotes anything
 *   DIR/root.pem         what must be trusted for it: root = "DIR/root.pem"
 *   DIR/collateral/      what its platform is judged by: collateral = "DIR/collateral"
 *   DIR/measured.json    what its quotes measure, in the form of a published file
 *   DIR/attest.toml      all of it for --attest */
#ifndef PROGRAMS_ATTEST_H
#define PROGRAMS_ATTEST_H

#include "program.h"

#include <mosaik/witness.h>

/** What stands behind mk_witness_options; in place as long as they are used. */
struct attest {
    struct mk_witness_options options;
    struct mk_str collateral; /* the directory; p NULL: none */
    const char *file;         /* read again with the collateral: its policy may change */
    bool of_node;             /* a node file; else one of [attest]'s keys alone */
    struct mk_arena arena;
};

/** Fills a->options. Paths are seen from the folder of `file`. MK_EINVALID: something named is not
 * there or is wrong; the fault says which file. */
int attest_open(struct attest *a, const struct coa_attest *from, const char *file, bool of_node,
                struct mk_fault *reterr);
/** The same from a file of --attest. */
int attest_load(struct attest *a, const char *path, struct mk_fault *reterr);
void attest_done(struct attest *a); /* after the network that was opened with it */

#define EMULATOR_DAYS 30u
bool emulator_is_there(const char *dir);

/** Makes DIR, or renews what in it has dates. measured: NULL keeps what DIR measures (a fixed
 * value in a new one). collateral_s: how long it counts. */
int emulator_lay_out(const char *dir, const struct mk_measurements *measured, uint64_t collateral_s,
                     struct mk_measurements *ret_measured, struct mk_fault *reterr);

#endif
