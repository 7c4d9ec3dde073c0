/* hashes.h - many short inputs of one length, hashed several at a time where the processor can
 * (16 with AVX-512). Nodes of a trie are such. */
#ifndef CRYPTO_HASHES_H
#define CRYPTO_HASHES_H

#include <mosaik/id.h>

#define MK_HASH_EACH_MAX 1024u /* bytes of an input */

/** BLAKE3's code for AVX-512 reads so many bytes (that for AVX2 16) behind the last whole block of
 * an input, as if the next chunk lay there, and uses nothing of them. */
#define MK_HASH_EACH_BEHIND 48u

/** May these bytes be hashed where they lie, whatever is behind them? */
static inline bool mk_hash_each_alone(size_t len)
{
    return len < 64 || len % 64 >= MK_HASH_EACH_BEHIND;
}

/** ret[i] = mk_hash() of the len <= MK_HASH_EACH_MAX bytes at inputs[i], each of which is followed
 * by MK_HASH_EACH_BEHIND bytes that may be read, unless mk_hash_each_alone(). */
void mk_hash_each(struct mk_id *ret, const uint8_t *const *inputs, size_t n, size_t len);

#endif
