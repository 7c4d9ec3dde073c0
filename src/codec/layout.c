/* layout.c - the canonical text of a type, whose hash is its schema digest. */
#include <mosaik/datum.h>

#include "base/assert.h"
#include "codec/scalar.h"

static void put_type(struct mk_buf *out, const struct mk_type *t, bool outermost);

static const char *plain_name(enum mk_kind kind)
{
    static const char *const names[] = {
        [MK_KIND_U8] = "u8",     [MK_KIND_U16] = "u16",   [MK_KIND_U32] = "u32",
        [MK_KIND_U64] = "u64",   [MK_KIND_U128] = "u128", [MK_KIND_I8] = "i8",
        [MK_KIND_I16] = "i16",   [MK_KIND_I32] = "i32",   [MK_KIND_I64] = "i64",
        [MK_KIND_I128] = "i128", [MK_KIND_BOOL] = "bool", [MK_KIND_F32] = "f32",
        [MK_KIND_F64] = "f64",   [MK_KIND_STR] = "str",   [MK_KIND_BYTES] = "bytes",
        [MK_KIND_ID] = "id",     [MK_KIND_PEER] = "peer",
    };

    MK_ASSERT((size_t)kind < sizeof names / sizeof names[0]);
    return names[kind];
}

static void put_struct(struct mk_buf *out, const struct mk_type *t)
{
    mk_buf_put_u8(out, '{');
    for (size_t i = 0; i < t->n_fields; i++) {
        mk_buf_printf(out, "%s%s:", i > 0 ? "," : "", t->fields[i].name);
        put_type(out, t->fields[i].type, false);
    }
    mk_buf_put_u8(out, '}');
}

static void put_enum(struct mk_buf *out, const struct mk_type *t)
{
    mk_buf_put_u8(out, '(');
    for (size_t i = 0; i < t->n_fields; i++) {
        const struct mk_field *v = &t->fields[i];

        mk_buf_printf(out, "%s%s=%u", i > 0 ? "," : "", v->name, v->tag);
        if (mk_variant_payload(v) != NULL) {
            MK_ASSERT(v->type->kind == MK_KIND_STRUCT);
            put_struct(out, v->type);
        }
    }
    mk_buf_put_u8(out, ')');
}

static void put_type(struct mk_buf *out, const struct mk_type *t, bool outermost)
{
    if (outermost && t->name != NULL)
        mk_buf_put_str(out, t->name);
    switch ((int)t->kind) {
    case MK_KIND_ARRAY:
        mk_buf_printf(out, "[%zu]u8", t->size);
        break;
    case MK_KIND_OPTION:
        mk_buf_put_u8(out, '?');
        put_type(out, t->inner, outermost);
        break;
    case MK_KIND_SEQ:
        mk_buf_put_u8(out, '*');
        put_type(out, t->inner, outermost);
        break;
    case MK_KIND_STRUCT:
        put_struct(out, t);
        break;
    case MK_KIND_ENUM:
        put_enum(out, t);
        break;
    default:
        mk_buf_put_str(out, plain_name(t->kind));
        break;
    }
}

void mk_layout(struct mk_buf *out, const struct mk_type *t)
{
    put_type(out, t, true);
}

struct mk_id mk_schema_digest(const struct mk_type *t)
{
    struct mk_buf text = {0};
    struct mk_id digest;

    mk_layout(&text, t);
    digest = mk_hash(mk_buf_bytes(&text));
    mk_buf_done(&text);
    return digest;
}

struct mk_id mk_schema_digest_pair(const struct mk_type *k, const struct mk_type *v)
{
    struct mk_buf text = {0};
    struct mk_id digest;

    mk_layout(&text, k);
    mk_buf_put_u8(&text, '>');
    mk_layout(&text, v);
    digest = mk_hash(mk_buf_bytes(&text));
    mk_buf_done(&text);
    return digest;
}
