/* emulator.h - an emulated TDX platform, for development and tests. It proves nothing.
 *
 *   seed --> root "NOT INTEL" --> PCK CA --> PCK --> QE report --> attestation key --> quotes
 *                  |------------> TCB signing --> TCB info, QE identity
 *                  `------------> revocation lists
 *
 * All keys follow from one seed; quotes and collateral have the form of real ones and pass
 * the same verification (attest.h), under this emulator's root and no other. Whoever knows
 * the seed can quote any measurements: a node that accepts this root trusts everybody who
 * has read the seed, which is why only development trusts it, and `status` says so. */
#ifndef MOSAIK_EMULATOR_H
#define MOSAIK_EMULATOR_H

#include <mosaik/error.h>
#include <mosaik/records.h>

struct mk_emulator;

/** Of every certificate of an emulator, so that nobody takes one for Intel's. */
#define MK_EMULATOR_NAME "TDX emulator, NOT INTEL, proves nothing"

/** Makes the platform.
 *
 *  seed      32 secret bytes: the same seed gives the same keys.
 *  measured  what its quotes will measure; registers that are not stated are zero.
 *
 * given; MK_EIO: OpenSSL failed. A work's thread may use it while nobody else does. */
int mk_emulator_new(struct mk_emulator **ret, const uint8_t seed[32],
                    const struct mk_measurements *measured, struct mk_fault *reterr);
void mk_emulator_free(struct mk_emulator *e); /* wipes the keys; NULL is fine */

/** Its root certificate, PEM, appended. */
void mk_emulator_root(const struct mk_emulator *e, struct mk_buf *out);
/** Collateral that covers it (one JSON object, as attest.h reads it), valid from issued_s to
 * until_s (unix seconds, before 2050), appended. MK_EIO. */
int mk_emulator_collateral(const struct mk_emulator *e, uint64_t issued_s, uint64_t until_s,
                           struct mk_buf *out, struct mk_fault *reterr);
/** A quote of data, version 4, appended. MK_EIO. */
int mk_emulator_quote(const struct mk_emulator *e, const uint8_t data[64], struct mk_buf *out,
                      struct mk_fault *reterr);

#endif /* MOSAIK_EMULATOR_H */
