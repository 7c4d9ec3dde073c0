/* encode.c - pc(v): a value into bytes, by its type's table.
 *
 * The value is our own, so there is nothing to refuse; an unknown enum tag is
 * a mistake of this program. */
#include <mosaik/datum.h>

#include "base/assert.h"
#include "codec/scalar.h"

#include <string.h>

mk_u128_d mk_scalar_load_unsigned(enum mk_kind kind, const void *p)
{
    switch ((int)kind) {
    case MK_KIND_U8:
        return *(const uint8_t *)p;
    case MK_KIND_U16:
        return *(const uint16_t *)p;
    case MK_KIND_U32:
        return *(const uint32_t *)p;
    case MK_KIND_U64:
        return *(const uint64_t *)p;
    default:
        MK_ASSERT(kind == MK_KIND_U128);
        return *(const mk_u128_d *)p;
    }
}

mk_i128_d mk_scalar_load_signed(enum mk_kind kind, const void *p)
{
    switch ((int)kind) {
    case MK_KIND_I8:
        return *(const int8_t *)p;
    case MK_KIND_I16:
        return *(const int16_t *)p;
    case MK_KIND_I32:
        return *(const int32_t *)p;
    case MK_KIND_I64:
        return *(const int64_t *)p;
    default:
        MK_ASSERT(kind == MK_KIND_I128);
        return *(const mk_i128_d *)p;
    }
}

const struct mk_field *mk_variant_of(const struct mk_type *t, uint64_t tag)
{
    for (size_t i = 0; i < t->n_fields; i++) {
        if (t->fields[i].tag == tag)
            return &t->fields[i];
    }
    return NULL;
}

static void put_varint128(struct mk_buf *out, mk_u128_d v)
{
    while (v >= 0x80) {
        mk_buf_put_u8(out, (uint8_t)v | 0x80);
        v >>= 7;
    }
    mk_buf_put_u8(out, (uint8_t)v);
}

static void encode_integer(struct mk_buf *out, const struct mk_type *t, const void *value)
{
    mk_u128_d v = mk_scalar_is_signed(t->kind) ? mk_zigzag(mk_scalar_load_signed(t->kind, value))
                                               : mk_scalar_load_unsigned(t->kind, value);

    if (t->kind == MK_KIND_U8 || t->kind == MK_KIND_I8)
        mk_buf_put_u8(out, *(const uint8_t *)value);
    else if (v <= UINT64_MAX)
        mk_put_varint(out, (uint64_t)v);
    else
        put_varint128(out, v);
}

static void encode_float(struct mk_buf *out, const struct mk_type *t, const void *value)
{
    uint32_t bits32;
    uint64_t bits64;

    if (t->kind == MK_KIND_F32) {
        memcpy(&bits32, value, sizeof bits32);
        mk_buf_put_u32le(out, bits32);
    } else {
        memcpy(&bits64, value, sizeof bits64);
        mk_buf_put_u64le(out, bits64);
    }
}

static void encode_seq(struct mk_buf *out, const struct mk_type *t, const void *value)
{
    const struct mk_ids *seq = value; /* all seqs have this shape */
    const uint8_t *item = (const uint8_t *)seq->v;
    enum mk_kind kind = t->inner->kind;

    mk_put_varint(out, seq->n);
    if (kind == MK_KIND_ID || kind == MK_KIND_PEER || kind == MK_KIND_ARRAY) {
        mk_buf_put(out, item, seq->n * t->inner->size);
        return;
    }
    for (size_t i = 0; i < seq->n; i++)
        mk_encode(out, t->inner, item + i * t->inner->size);
}

static void encode_enum(struct mk_buf *out, const struct mk_type *t, const void *value)
{
    uint32_t tag = *(const uint32_t *)value;
    const struct mk_field *variant = mk_variant_of(t, tag);

    MK_ASSERT(variant != NULL);
    mk_put_varint(out, tag);
    if (mk_variant_payload(variant) != NULL)
        mk_encode(out, variant->type, (const uint8_t *)value + variant->offset);
}

void mk_encode(struct mk_buf *out, const struct mk_type *t, const void *value)
{
    const uint8_t *p = value;
    const struct mk_bytes *slice = value; /* mk_str has the same shape */

    switch (t->kind) {
    case MK_KIND_BOOL:
        mk_buf_put_u8(out, *(const bool *)value ? 1 : 0);
        break;
    case MK_KIND_F32:
    case MK_KIND_F64:
        encode_float(out, t, value);
        break;
    case MK_KIND_STR:
    case MK_KIND_BYTES:
        mk_put_varint(out, slice->n);
        mk_buf_put(out, slice->p, slice->n);
        break;
    case MK_KIND_ID:
    case MK_KIND_PEER:
    case MK_KIND_ARRAY:
        mk_buf_put(out, p, t->size);
        break;
    case MK_KIND_OPTION:
        mk_buf_put_u8(out, *(const bool *)value ? 1 : 0);
        if (*(const bool *)value)
            mk_encode(out, t->inner, p + t->offset);
        break;
    case MK_KIND_SEQ:
        encode_seq(out, t, value);
        break;
    case MK_KIND_STRUCT:
        for (size_t i = 0; i < t->n_fields; i++)
            mk_encode(out, t->fields[i].type, p + t->fields[i].offset);
        break;
    case MK_KIND_ENUM:
        encode_enum(out, t, value);
        break;
    case MK_KIND_U8:
    case MK_KIND_U16:
    case MK_KIND_U32:
    case MK_KIND_U64:
    case MK_KIND_U128:
    case MK_KIND_I8:
    case MK_KIND_I16:
    case MK_KIND_I32:
    case MK_KIND_I64:
    case MK_KIND_I128:
    default:
        encode_integer(out, t, value);
        break;
    }
}

static size_t varint_len(mk_u128_d v)
{
    size_t n = 1;

    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}

static size_t seq_len(const struct mk_type *t, const struct mk_ids *seq)
{
    const uint8_t *item = (const uint8_t *)seq->v;
    size_t n = varint_len(seq->n);

    for (size_t i = 0; i < seq->n; i++)
        n += mk_encoded_len(t->inner, item + i * t->inner->size);
    return n;
}

static size_t enum_len(const struct mk_type *t, const void *value)
{
    uint32_t tag = *(const uint32_t *)value;
    const struct mk_field *variant = mk_variant_of(t, tag);
    size_t n = varint_len(tag);

    MK_ASSERT(variant != NULL);
    if (mk_variant_payload(variant) != NULL)
        n += mk_encoded_len(variant->type, (const uint8_t *)value + variant->offset);
    return n;
}

size_t mk_encoded_len(const struct mk_type *t, const void *value)
{
    const uint8_t *p = value;
    size_t n = 0;

    switch ((int)t->kind) {
    case MK_KIND_U8:
    case MK_KIND_I8:
    case MK_KIND_BOOL:
        return 1;
    case MK_KIND_F32:
        return 4;
    case MK_KIND_F64:
        return 8;
    case MK_KIND_STR:
    case MK_KIND_BYTES:
        n = ((const struct mk_bytes *)value)->n;
        return varint_len(n) + n;
    case MK_KIND_ID:
    case MK_KIND_PEER:
    case MK_KIND_ARRAY:
        return t->size;
    case MK_KIND_OPTION:
        return *(const bool *)value ? 1 + mk_encoded_len(t->inner, p + t->offset) : 1;
    case MK_KIND_SEQ:
        return seq_len(t, value);
    case MK_KIND_STRUCT:
        for (size_t i = 0; i < t->n_fields; i++)
            n += mk_encoded_len(t->fields[i].type, p + t->fields[i].offset);
        return n;
    case MK_KIND_ENUM:
        return enum_len(t, value);
    default:
        return varint_len(mk_scalar_is_signed(t->kind)
                              ? mk_zigzag(mk_scalar_load_signed(t->kind, value))
                              : mk_scalar_load_unsigned(t->kind, value));
    }
}
