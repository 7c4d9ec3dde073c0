/* scalar.h - integers of any width behind a pointer, and how they are folded
 * into the unsigned numbers that a varint carries. */
#ifndef CODEC_SCALAR_H
#define CODEC_SCALAR_H

#include <mosaik/datum.h>

/** Bits of an integer kind; 0 for a kind that is not an integer. */
static inline unsigned mk_scalar_bits(enum mk_kind kind)
{
    static const unsigned bits[] = {
        [MK_KIND_U8] = 8,     [MK_KIND_U16] = 16,  [MK_KIND_U32] = 32, [MK_KIND_U64] = 64,
        [MK_KIND_U128] = 128, [MK_KIND_I8] = 8,    [MK_KIND_I16] = 16, [MK_KIND_I32] = 32,
        [MK_KIND_I64] = 64,   [MK_KIND_I128] = 128};

    return (unsigned)kind < sizeof bits / sizeof bits[0] ? bits[kind] : 0;
}

static inline bool mk_scalar_is_signed(enum mk_kind kind)
{
    return kind >= MK_KIND_I8 && kind <= MK_KIND_I128;
}

mk_u128_d mk_scalar_load_unsigned(enum mk_kind kind, const void *p);
mk_i128_d mk_scalar_load_signed(enum mk_kind kind, const void *p);
void mk_scalar_store_unsigned(enum mk_kind kind, void *p, mk_u128_d v);
void mk_scalar_store_signed(enum mk_kind kind, void *p, mk_i128_d v);

static inline mk_u128_d mk_zigzag(mk_i128_d v)
{
    return ((mk_u128_d)v << 1) ^ (v < 0 ? ~(mk_u128_d)0 : 0);
}

static inline mk_i128_d mk_unzigzag(mk_u128_d v)
{
    return (mk_i128_d)((v >> 1) ^ ((v & 1) != 0 ? ~(mk_u128_d)0 : 0));
}

/** What an enum variant's payload is; NULL when it has none. */
static inline const struct mk_type *mk_variant_payload(const struct mk_field *variant)
{
    return variant->type == &mk_unit_type ? NULL : variant->type;
}

const struct mk_field *mk_variant_of(const struct mk_type *t, uint64_t tag);

#endif
