/* key.h - ed25519 peer keys (RFC 8032, cofactorless, S < L, canonical A and R,
 * neither of small order: spec/identity.md, "ACL composition"). */
#ifndef MOSAIK_KEY_H
#define MOSAIK_KEY_H

#include <mosaik/error.h>
#include <mosaik/id.h>

/** A secret key; wiped by mk_key_done(). Never copied by assignment. */
struct mk_key {
    struct mk_peer peer; /* public */
    uint8_t secret[64];  /* seed || public */
};

/** RFC 8032, 5.1.5. The seed is the secret: wipe it. */
void mk_key_from_seed(struct mk_key *ret, const uint8_t seed[32]);
/** Wipes it. */
void mk_key_done(struct mk_key *k);
/** Over the message as it stands; tags are the caller's. */
void mk_sign(const struct mk_key *k, struct mk_bytes message, struct mk_signature *ret);
/** 0 or MK_ESIGNATURE. */
int mk_verify(const struct mk_peer *peer, struct mk_bytes message, const struct mk_signature *sig);

/** The key file: one line of text, "mosaik-ed25519-key-v1 <64 hex digits of the seed>\n".
 * Parsing wipes what it copied. MK_EMALFORMED with the rule in reterr. */
int mk_key_parse(struct mk_key *ret, struct mk_bytes file, struct mk_fault *reterr);
void mk_key_format(const struct mk_key *k, struct mk_buf *out); /* wipe out afterwards */

/** Zeroes that the compiler cannot leave out. */
void mk_wipe(void *p, size_t n);
/** Constant time. */
bool mk_secret_eq(const void *a, const void *b, size_t n);

#endif /* MOSAIK_KEY_H */
