/* hashes.h - many short inputs of one length, hashed several at a time where the processor can
 * (16 with AVX-512). Nodes of a trie are such. */
#ifndef CRYPTO_HASHES_H
#define CRYPTO_HASHES_H

#include <mosaik/id.h>

#define MK_HASH_EACH_MAX 1024u /* bytes of an input */

/** ret[i] = mk_hash() of the len <= MK_HASH_EACH_MAX bytes at inputs[i]. */
void mk_hash_each(struct mk_id *ret, const uint8_t *const *inputs, size_t n, size_t len);

#endif
