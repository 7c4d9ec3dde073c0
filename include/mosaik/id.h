/* id.h - 32-byte ids and how they are derived (spec/identity.md, "Notation"). */
#ifndef MOSAIK_ID_H
#define MOSAIK_ID_H

#include <mosaik/bytes.h>

struct mk_id {
    uint8_t b[32];
};
/** An ed25519 public key. */
struct mk_peer {
    uint8_t b[32];
};
struct mk_signature {
    uint8_t b[64];
};
/** The first 20 bytes of a stable id. */
struct mk_member_id {
    uint8_t b[20];
};

#define MK_ID_HEX 65u /* room for 64 digits and a terminator */

extern const struct mk_id MK_ZERO_ID;
extern const struct mk_id MK_UNIVERSE; /* id("mosaik.universe") */

/** Bytewise; cmp: <0, 0, >0. */
bool mk_id_is_zero(const struct mk_id *a);
bool mk_id_eq(const struct mk_id *a, const struct mk_id *b);
int mk_id_cmp(const struct mk_id *a, const struct mk_id *b);
/** The same of peers. */
bool mk_peer_eq(const struct mk_peer *a, const struct mk_peer *b);
int mk_peer_cmp(const struct mk_peer *a, const struct mk_peer *b);
/** 64 digits; returns out. */
char *mk_id_hex(const struct mk_id *a, char out[MK_ID_HEX]);
char *mk_peer_hex(const struct mk_peer *a, char out[MK_ID_HEX]);
/** 64 digits of either case, all of it. MK_EMALFORMED. */
int mk_id_unhex(struct mk_id *ret, struct mk_str digits);
int mk_peer_unhex(struct mk_peer *ret, struct mk_str digits);

/** H(x): BLAKE3, 32 bytes. */
struct mk_id mk_hash(struct mk_bytes x);
/** hash_many(p1..pn) = H(u64le(len p1) || p1 || ...). */
struct mk_id mk_hash_many(const struct mk_bytes *parts, size_t n);
/** derive(id, s) = H(id || s). */
struct mk_id mk_derive(const struct mk_id *id, struct mk_str segment);
/** id(s): 64 hex digits stand for themselves, anything else is hashed. */
struct mk_id mk_id_of_text(struct mk_str s);
/** Its first 20 bytes. */
struct mk_member_id mk_member_id_of(const struct mk_id *stable_id);

/** Incremental H, for preimages that are joined, not listed. */
struct mk_hasher {
    uint64_t opaque[240]; /* holds blake3_hasher; checked at compile time */
};
/** init, put any number of times, end: H of all that was put. end may be asked again. */
void mk_hasher_init(struct mk_hasher *h);
void mk_hasher_put(struct mk_hasher *h, const void *p, size_t n);
void mk_hasher_put_str(struct mk_hasher *h, const char *terminated);
void mk_hasher_put_u64le(struct mk_hasher *h, uint64_t v);
struct mk_id mk_hasher_end(const struct mk_hasher *h);

#define MK_ID_BYTES(idp) MK_BYTES((idp)->b, sizeof(idp)->b)

#endif /* MOSAIK_ID_H */
