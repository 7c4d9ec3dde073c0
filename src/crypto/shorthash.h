/* shorthash.h - a hash for tables whose keys a stranger chooses: SipHash-2-4 under a secret
 * key, so that nobody can put all of his into one chain. Not for anything that leaves
 * the process. */
#ifndef CRYPTO_SHORTHASH_H
#define CRYPTO_SHORTHASH_H

#include <mosaik/bytes.h>

#define MK_SHORTHASH_KEY 16u

uint64_t mk_shorthash(const uint8_t key[MK_SHORTHASH_KEY], struct mk_bytes x);

#endif
