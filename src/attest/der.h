/* der.h - a strict reader of DER (X.690): definite, minimal lengths; low tag numbers.
 *
 * It latches: after the first fault every read gives nothing, and `bad` decides at the end. */
#ifndef ATTEST_DER_H
#define ATTEST_DER_H

#include <mosaik/bytes.h>

enum {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_OID = 0x06,
    DER_ENUMERATED = 0x0a,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_CONTEXT_0 = 0xa0, /* constructed */
    DER_CONTEXT_3 = 0xa3,
};

struct der {
    const uint8_t *p, *end;
    bool bad;
};

struct der der_of(struct mk_bytes b);
/** Nothing is left and nothing was bad. */
bool der_done(const struct der *d);
bool der_more(const struct der *d);
/** The next tag, or -1. */
int der_peek(const struct der *d);
/** The content of the next item, which must have this tag. */
struct mk_bytes der_take(struct der *d, uint8_t tag);
/** The same with its tag and length. */
struct mk_bytes der_take_whole(struct der *d, uint8_t tag);
/** A reader inside the next item. */
struct der der_enter(struct der *d, uint8_t tag);
/** Is the next item an OID of these content bytes? It is taken. */
bool der_take_oid(struct der *d, struct mk_bytes oid);
/** A non-negative integer of at most 32 bits. */
uint32_t der_take_u32(struct der *d);
bool der_take_bool(struct der *d);
/** UTCTime or GeneralizedTime as certificates have them: to the second, Z. */
uint64_t der_take_time(struct der *d);
/** A bit string without unused bits. */
struct mk_bytes der_take_bits(struct der *d);

#endif /* ATTEST_DER_H */
