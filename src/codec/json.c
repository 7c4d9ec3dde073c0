/* json.c - one value as one line of JSON.
 *
 * For people and scripts; nothing is ever read back from it. Numbers that a
 * double cannot hold are strings, since most readers use doubles. */
#include <mosaik/datum.h>

#include "base/assert.h"
#include "codec/scalar.h"

#include <math.h>
#include <string.h>

#define JSON_EXACT ((mk_u128_d)1 << 53)

static void put_hex(struct mk_buf *out, const void *p, size_t n)
{
    char *at;

    mk_buf_put_u8(out, '"');
    mk_buf_reserve(out, 2 * n + 1);
    at = (char *)mk_buf_grow(out, 2 * n);
    mk_hex(at, p, n); /* its terminator falls into the reserve */
    mk_buf_put_u8(out, '"');
}

void mk_print_json_str(struct mk_buf *out, struct mk_str s)
{
    mk_buf_put_u8(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c == '"' || c == '\\')
            mk_buf_printf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            mk_buf_printf(out, "\\u%04x", c);
        else
            mk_buf_put_u8(out, c);
    }
    mk_buf_put_u8(out, '"');
}

static void put_decimal(struct mk_buf *out, mk_u128_d v)
{
    char digits[40];
    size_t n = sizeof digits;

    do {
        digits[--n] = (char)('0' + (int)(v % 10));
        v /= 10;
    } while (v > 0);
    mk_buf_put(out, digits + n, sizeof digits - n);
}

static void put_integer(struct mk_buf *out, const struct mk_type *t, const void *value)
{
    bool is_signed = mk_scalar_is_signed(t->kind);
    mk_i128_d v = is_signed ? mk_scalar_load_signed(t->kind, value) : 0;
    mk_u128_d size = is_signed ? (mk_u128_d)v : mk_scalar_load_unsigned(t->kind, value);
    bool quoted;

    if (v < 0)
        size = (mk_u128_d)0 - size;
    quoted = mk_scalar_bits(t->kind) == 128 || size > JSON_EXACT;
    if (quoted)
        mk_buf_put_u8(out, '"');
    if (v < 0)
        mk_buf_put_u8(out, '-');
    put_decimal(out, size);
    if (quoted)
        mk_buf_put_u8(out, '"');
}

static void put_float(struct mk_buf *out, double v, int digits)
{
    if (isfinite(v))
        mk_buf_printf(out, "%.*g", digits, v);
    else
        mk_buf_put_str(out, isnan(v) ? "\"nan\"" : v > 0 ? "\"inf\"" : "\"-inf\"");
}

static void put_seq(struct mk_buf *out, const struct mk_type *t, const struct mk_ids *seq)
{
    mk_buf_put_u8(out, '[');
    for (size_t i = 0; i < seq->n; i++) {
        if (i > 0)
            mk_buf_put_u8(out, ',');
        mk_print_json(out, t->inner, (const uint8_t *)seq->v + i * t->inner->size);
    }
    mk_buf_put_u8(out, ']');
}

static void put_struct(struct mk_buf *out, const struct mk_type *t, const uint8_t *p)
{
    mk_buf_put_u8(out, '{');
    for (size_t i = 0; i < t->n_fields; i++) {
        mk_buf_printf(out, "%s\"%s\":", i > 0 ? "," : "", t->fields[i].name);
        mk_print_json(out, t->fields[i].type, p + t->fields[i].offset);
    }
    mk_buf_put_u8(out, '}');
}

static void put_enum(struct mk_buf *out, const struct mk_type *t, const uint8_t *p)
{
    const struct mk_field *v = mk_variant_of(t, *(const uint32_t *)(const void *)p);

    MK_ASSERT(v != NULL);
    if (mk_variant_payload(v) == NULL) {
        mk_buf_printf(out, "\"%s\"", v->name);
        return;
    }
    mk_buf_printf(out, "{\"%s\":", v->name);
    mk_print_json(out, v->type, p + v->offset);
    mk_buf_put_u8(out, '}');
}

void mk_print_json(struct mk_buf *out, const struct mk_type *t, const void *value)
{
    const uint8_t *p = value;

    switch ((int)t->kind) {
    case MK_KIND_BOOL:
        mk_buf_put_str(out, *(const bool *)value ? "true" : "false");
        break;
    case MK_KIND_F32:
        put_float(out, (double)*(const float *)value, 9);
        break;
    case MK_KIND_F64:
        put_float(out, *(const double *)value, 17);
        break;
    case MK_KIND_STR:
        mk_print_json_str(out, *(const struct mk_str *)value);
        break;
    case MK_KIND_BYTES:
        put_hex(out, ((const struct mk_bytes *)value)->p, ((const struct mk_bytes *)value)->n);
        break;
    case MK_KIND_ID:
    case MK_KIND_PEER:
    case MK_KIND_ARRAY:
        put_hex(out, p, t->size);
        break;
    case MK_KIND_OPTION:
        if (*(const bool *)value)
            mk_print_json(out, t->inner, p + t->offset);
        else
            mk_buf_put_str(out, "null");
        break;
    case MK_KIND_SEQ:
        put_seq(out, t, value);
        break;
    case MK_KIND_STRUCT:
        put_struct(out, t, p);
        break;
    case MK_KIND_ENUM:
        put_enum(out, t, p);
        break;
    default:
        put_integer(out, t, value);
        break;
    }
}
