/* decode.c - bytes from a stranger into a value, or a reason why not.
 *
 * Everything that has a second spelling is refused, so that what was decoded
 * encodes to the same bytes: a signature or hash over a value is then one over
 * its bytes. Nothing is allocated before the count of items was held against
 * what is left of the input and the type's limit; types are not recursive, so
 * neither is the depth unbounded. */
#include <mosaik/datum.h>

#include "base/assert.h"
#include "codec/rules.h"
#include "codec/scalar.h"

#include <string.h>

#define SMALL 1024u /* bytes of a value that is decoded without asking malloc */

struct input {
    const uint8_t *start;
    const uint8_t *p;
    size_t n; /* left */
    struct mk_arena *arena;
    struct mk_fault *reterr;
    const char *field;
};

static int decode_value(struct input *in, const struct mk_type *t, void *ret);

static int bad(struct input *in, int err, const char *rule)
{
    return mk_fault(in->reterr, err, "offset %zu, field %s: %s", (size_t)(in->p - in->start),
                    in->field, rule);
}

/* Takes n bytes; NULL and a fault when there are fewer. */
static const uint8_t *take(struct input *in, size_t n)
{
    const uint8_t *p = in->p;

    if (n > in->n) {
        bad(in, MK_EMALFORMED, "the input ends too early");
        return NULL;
    }
    in->p += n;
    in->n -= n;
    return p;
}

static int decode_varint(struct input *in, unsigned bits, mk_u128_d *ret)
{
    mk_u128_d v = 0;

    for (unsigned shift = 0; shift < bits; shift += 7) {
        const uint8_t *byte = take(in, 1);

        if (byte == NULL)
            return MK_EMALFORMED;
        if (bits - shift < 7 && (*byte & 0x7f) >> (bits - shift) != 0)
            return bad(in, MK_EMALFORMED, "the integer is too wide for its type");
        if (shift > 0 && *byte == 0)
            return bad(in, MK_EMALFORMED, "an integer must have its shortest form");
        v |= (mk_u128_d)(*byte & 0x7f) << shift;
        if (*byte < 0x80) {
            *ret = v;
            return 0;
        }
    }
    return bad(in, MK_EMALFORMED, "the integer is too wide for its type");
}

void mk_scalar_store_unsigned(enum mk_kind kind, void *p, mk_u128_d v)
{
    switch ((int)kind) {
    case MK_KIND_U16:
        *(uint16_t *)p = (uint16_t)v;
        break;
    case MK_KIND_U32:
        *(uint32_t *)p = (uint32_t)v;
        break;
    case MK_KIND_U64:
        *(uint64_t *)p = (uint64_t)v;
        break;
    default:
        MK_ASSERT(kind == MK_KIND_U128);
        *(mk_u128_d *)p = v;
        break;
    }
}

void mk_scalar_store_signed(enum mk_kind kind, void *p, mk_i128_d v)
{
    switch ((int)kind) {
    case MK_KIND_I16:
        *(int16_t *)p = (int16_t)v;
        break;
    case MK_KIND_I32:
        *(int32_t *)p = (int32_t)v;
        break;
    case MK_KIND_I64:
        *(int64_t *)p = (int64_t)v;
        break;
    default:
        MK_ASSERT(kind == MK_KIND_I128);
        *(mk_i128_d *)p = v;
        break;
    }
}

static int decode_integer(struct input *in, const struct mk_type *t, void *ret)
{
    mk_u128_d v;
    int rv;

    rv = decode_varint(in, mk_scalar_bits(t->kind), &v);
    if (rv != 0)
        return rv;
    if (mk_scalar_is_signed(t->kind))
        mk_scalar_store_signed(t->kind, ret, mk_unzigzag(v));
    else
        mk_scalar_store_unsigned(t->kind, ret, v);
    return 0;
}

static int decode_flag(struct input *in, const char *rule, bool *ret)
{
    const uint8_t *byte = take(in, 1);

    if (byte == NULL)
        return MK_EMALFORMED;
    if (*byte > 1)
        return bad(in, MK_EMALFORMED, rule);
    *ret = *byte == 1;
    return 0;
}

static int decode_float(struct input *in, const struct mk_type *t, void *ret)
{
    const uint8_t *p = take(in, t->size);
    uint64_t bits = 0;
    uint32_t bits32;

    if (p == NULL)
        return MK_EMALFORMED;
    for (size_t i = t->size; i > 0; i--)
        bits = bits << 8 | p[i - 1];
    bits32 = (uint32_t)bits;
    if (t->kind == MK_KIND_F32)
        memcpy(ret, &bits32, sizeof bits32);
    else
        memcpy(ret, &bits, sizeof bits);
    return 0;
}

static int decode_slice(struct input *in, const struct mk_type *t, struct mk_bytes *ret)
{
    mk_u128_d n;
    const char *rule;
    int rv;

    rv = decode_varint(in, 64, &n);
    if (rv != 0)
        return rv;
    if (n > in->n)
        return bad(in, MK_EMALFORMED, "the length exceeds the input");
    if (n > t->limit)
        return bad(in, MK_ELIMIT, "the length exceeds the limit of this field");
    if (t->kind == MK_KIND_STR) {
        rule = mk_text_rule(t, (struct mk_str){(const char *)in->p, (size_t)n});
        if (rule != NULL)
            return bad(in, MK_EMALFORMED, rule);
    }
    *ret = (struct mk_bytes){take(in, (size_t)n), (size_t)n};
    return 0;
}

/* The least number of bytes that a value of t can take. */
static size_t len_min(const struct mk_type *t)
{
    size_t n = 0;

    switch ((int)t->kind) {
    case MK_KIND_F32:
        return 4;
    case MK_KIND_F64:
        return 8;
    case MK_KIND_ID:
    case MK_KIND_PEER:
    case MK_KIND_ARRAY:
        return t->size;
    case MK_KIND_STRUCT:
        for (size_t i = 0; i < t->n_fields; i++)
            n += len_min(t->fields[i].type);
        return n;
    default:
        return 1;
    }
}

/* The bytes of the item at p that order it: its first field's, or all. */
static struct mk_bytes order_key(const struct mk_type *seq, const uint8_t *p, size_t first,
                                 size_t n)
{
    return (struct mk_bytes){p, (seq->flags & MK_SEQ_KEYED) != 0 ? first : n};
}

static int decode_struct(struct input *in, const struct mk_type *t, void *ret, size_t *ret_first)
{
    const uint8_t *start = in->p;
    const char *outer = in->field;
    int rv;

    for (size_t i = 0; i < t->n_fields; i++) {
        in->field = t->fields[i].name;
        rv = decode_value(in, t->fields[i].type, (uint8_t *)ret + t->fields[i].offset);
        if (rv != 0)
            return rv;
        if (i == 0)
            *ret_first = (size_t)(in->p - start);
    }
    in->field = outer;
    return 0;
}

static int decode_items(struct input *in, const struct mk_type *t, uint8_t *items, size_t n)
{
    struct mk_bytes before = {0};
    const char *rule;
    int rv;

    for (size_t i = 0; i < n; i++) {
        const uint8_t *start = in->p;
        struct mk_bytes key;
        size_t first = 0;

        if (t->inner->kind == MK_KIND_STRUCT)
            rv = decode_struct(in, t->inner, items + i * t->inner->size, &first);
        else
            rv = decode_value(in, t->inner, items + i * t->inner->size);
        if (rv != 0)
            return rv;
        key = order_key(t, start, first, (size_t)(in->p - start));
        rule = i == 0 ? NULL : mk_order_rule(t, before, key);
        if (rule != NULL)
            return bad(in, MK_EMALFORMED, rule);
        before = key;
    }
    return 0;
}

static int decode_seq(struct input *in, const struct mk_type *t, struct mk_ids *ret)
{
    size_t least = len_min(t->inner);
    mk_u128_d n;
    uint8_t *items;
    int rv;

    MK_ASSERT(least > 0);
    MK_ASSERT((t->flags & MK_SEQ_KEYED) == 0 || t->inner->kind == MK_KIND_STRUCT);
    rv = decode_varint(in, 64, &n);
    if (rv != 0)
        return rv;
    if (n > in->n / least)
        return bad(in, MK_EMALFORMED, "the count exceeds the input");
    if (n > t->limit)
        return bad(in, MK_ELIMIT, "the count exceeds the limit of this field");
    if (n == 0 && (t->flags & MK_SEQ_NONEMPTY) != 0)
        return bad(in, MK_EMALFORMED, "the list must not be empty");
    items = n == 0 ? NULL : mk_arena_take(in->arena, (size_t)n * t->inner->size);
    rv = decode_items(in, t, items, (size_t)n);
    if (rv != 0)
        return rv;
    ret->v = (const struct mk_id *)(const void *)items;
    ret->n = (size_t)n;
    return 0;
}

static int decode_option(struct input *in, const struct mk_type *t, void *ret)
{
    bool some = false;
    int rv;

    rv = decode_flag(in, "an option's tag is 0 or 1", &some);
    if (rv != 0)
        return rv;
    *(bool *)ret = some;
    return some ? decode_value(in, t->inner, (uint8_t *)ret + t->offset) : 0;
}

static int decode_enum(struct input *in, const struct mk_type *t, void *ret)
{
    const struct mk_field *variant;
    mk_u128_d tag;
    int rv;

    rv = decode_varint(in, 32, &tag);
    if (rv != 0)
        return rv;
    variant = mk_variant_of(t, (uint64_t)tag);
    if (variant == NULL)
        return bad(in, MK_EMALFORMED, "unknown variant");
    *(uint32_t *)ret = (uint32_t)tag;
    if (mk_variant_payload(variant) == NULL)
        return 0;
    return decode_value(in, variant->type, (uint8_t *)ret + variant->offset);
}

static int decode_raw(struct input *in, const struct mk_type *t, void *ret)
{
    const uint8_t *p = take(in, t->size);

    if (p == NULL)
        return MK_EMALFORMED;
    memcpy(ret, p, t->size);
    return 0;
}

static int decode_value(struct input *in, const struct mk_type *t, void *ret)
{
    size_t first;

    switch ((int)t->kind) {
    case MK_KIND_U8:
    case MK_KIND_I8:
    case MK_KIND_ID:
    case MK_KIND_PEER:
    case MK_KIND_ARRAY:
        return decode_raw(in, t, ret);
    case MK_KIND_BOOL:
        return decode_flag(in, "a boolean is 0 or 1", ret);
    case MK_KIND_F32:
    case MK_KIND_F64:
        return decode_float(in, t, ret);
    case MK_KIND_STR:
    case MK_KIND_BYTES:
        return decode_slice(in, t, ret);
    case MK_KIND_OPTION:
        return decode_option(in, t, ret);
    case MK_KIND_SEQ:
        return decode_seq(in, t, ret);
    case MK_KIND_STRUCT:
        return decode_struct(in, t, ret, &first);
    case MK_KIND_ENUM:
        return decode_enum(in, t, ret);
    default:
        return decode_integer(in, t, ret);
    }
}

int mk_decode(void *ret, const struct mk_type *t, struct mk_bytes bytes, struct mk_arena *arena,
              struct mk_fault *reterr)
{
    static const uint8_t nothing[1];
    struct input in = {.start = bytes.n > 0 ? bytes.p : nothing,
                       .n = bytes.n,
                       .arena = arena,
                       .reterr = reterr,
                       .field = t->name != NULL ? t->name : "value"};
    struct mk_arena scratch = {0};
    _Alignas(16) uint8_t small[SMALL];
    void *value =
        t->size <= sizeof small ? memset(small, 0, t->size) : mk_arena_take(&scratch, t->size);
    int rv;

    in.p = in.start;
    rv = decode_value(&in, t, value);
    if (rv == 0 && in.n > 0)
        rv = bad(&in, MK_EMALFORMED, "bytes after the end of the value");
    if (rv == 0)
        memcpy(ret, value, t->size);
    mk_arena_done(&scratch);
    return rv;
}
