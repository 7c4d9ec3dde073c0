/* hmac.h - HMAC with SHA-2, for tokens that a private validator shares a secret with
 * (RFC 7518 section 3.2). */
#ifndef CRYPTO_HMAC_H
#define CRYPTO_HMAC_H

#include <mosaik/bytes.h>

enum mk_sha { MK_SHA256, MK_SHA384, MK_SHA512 };
#define MK_SHA_LEN_MAX 64u

size_t mk_sha_len(enum mk_sha h); /* 32, 48, 64 */
/** out has mk_sha_len() bytes. */
void mk_hmac(enum mk_sha h, struct mk_bytes key, struct mk_bytes message,
             uint8_t out[MK_SHA_LEN_MAX]);
/** In constant time; a mac of another length does not verify. */
bool mk_hmac_check(enum mk_sha h, struct mk_bytes key, struct mk_bytes message,
                   struct mk_bytes mac);

#endif
