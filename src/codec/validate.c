/* validate.c - checks values that did not come through the decoder. */
#include <mosaik/datum.h>

#include "codec/rules.h"
#include "codec/scalar.h"

const char *mk_text_rule(const struct mk_type *t, struct mk_str s)
{
    if (!mk_utf8_valid(s.p, s.n))
        return "text must be valid UTF-8";
    if ((t->flags & MK_TEXT_NAME) == 0)
        return NULL;
    if (s.n == 0)
        return "a name must not be empty";
    if (s.n > MK_NAME_MAX)
        return "a name has at most 128 bytes";
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return "a name must not hold control characters";
        if (s.p[i] == '|')
            return "a name must not hold '|'";
    }
    return NULL;
}

const char *mk_order_rule(const struct mk_type *t, struct mk_bytes before, struct mk_bytes after)
{
    int order;

    if ((t->flags & (MK_SEQ_SORTED | MK_SEQ_KEYED)) == 0)
        return NULL;
    order = mk_bytes_cmp(before, after);
    if (order == 0)
        return "items must be distinct";
    return order > 0 ? "items must be sorted" : NULL;
}

/* What orders an item: its first field, or all of it. */
static void encode_key(struct mk_buf *out, const struct mk_type *seq, const uint8_t *item)
{
    const struct mk_type *t = seq->inner;

    mk_buf_clear(out);
    if ((seq->flags & MK_SEQ_KEYED) != 0)
        mk_encode(out, t->fields[0].type, item + t->fields[0].offset);
    else
        mk_encode(out, t, item);
}

static int validate_order(const struct mk_type *t, const struct mk_ids *seq,
                          struct mk_fault *reterr)
{
    const uint8_t *items = (const uint8_t *)seq->v;
    struct mk_buf key[2] = {{0}, {0}};
    const char *rule = NULL;
    size_t i;

    for (i = 0; i < seq->n && rule == NULL; i++) {
        encode_key(&key[i % 2], t, items + i * t->inner->size);
        if (i > 0)
            rule = mk_order_rule(t, mk_buf_bytes(&key[(i + 1) % 2]), mk_buf_bytes(&key[i % 2]));
    }
    mk_buf_done(&key[0]);
    mk_buf_done(&key[1]);
    return rule == NULL ? 0 : mk_fault(reterr, MK_EMALFORMED, "item %zu: %s", i, rule);
}

static int validate_seq(const struct mk_type *t, const void *value, struct mk_fault *reterr)
{
    const struct mk_ids *seq = value;
    int rv;

    if (seq->n > t->limit)
        return mk_fault(reterr, MK_ELIMIT, "%zu items, at most %zu are allowed", seq->n, t->limit);
    if (seq->n == 0 && (t->flags & MK_SEQ_NONEMPTY) != 0)
        return mk_fault(reterr, MK_EMALFORMED, "the list must not be empty");
    for (size_t i = 0; i < seq->n; i++) {
        rv = mk_validate(t->inner, (const uint8_t *)seq->v + i * t->inner->size, reterr);
        if (rv != 0)
            return rv;
    }
    if ((t->flags & (MK_SEQ_SORTED | MK_SEQ_KEYED)) != 0)
        return validate_order(t, seq, reterr);
    return 0;
}

static int validate_enum(const struct mk_type *t, const void *value, struct mk_fault *reterr)
{
    uint32_t tag = *(const uint32_t *)value;
    const struct mk_field *variant = mk_variant_of(t, tag);

    if (variant == NULL)
        return mk_fault(reterr, MK_EMALFORMED, "%u is not a variant of %s", tag, t->name);
    if (mk_variant_payload(variant) == NULL)
        return 0;
    return mk_validate(variant->type, (const uint8_t *)value + variant->offset, reterr);
}

static int validate_text(const struct mk_type *t, const struct mk_str *s, struct mk_fault *reterr)
{
    const char *rule = mk_text_rule(t, *s);

    if (rule != NULL)
        return mk_fault(reterr, MK_EMALFORMED, "%s", rule);
    if (s->n > t->limit)
        return mk_fault(reterr, MK_ELIMIT, "%zu bytes, at most %zu are allowed", s->n, t->limit);
    return 0;
}

int mk_validate(const struct mk_type *t, const void *value, struct mk_fault *reterr)
{
    const uint8_t *p = value;
    int rv = 0;

    switch ((int)t->kind) {
    case MK_KIND_STR:
        return validate_text(t, value, reterr);
    case MK_KIND_BYTES:
        if (((const struct mk_bytes *)value)->n > t->limit)
            return mk_fault(reterr, MK_ELIMIT, "%zu bytes, at most %zu are allowed",
                            ((const struct mk_bytes *)value)->n, t->limit);
        return 0;
    case MK_KIND_OPTION:
        return *(const bool *)value ? mk_validate(t->inner, p + t->offset, reterr) : 0;
    case MK_KIND_SEQ:
        return validate_seq(t, value, reterr);
    case MK_KIND_STRUCT:
        for (size_t i = 0; i < t->n_fields && rv == 0; i++)
            rv = mk_validate(t->fields[i].type, p + t->fields[i].offset, reterr);
        return rv;
    case MK_KIND_ENUM:
        return validate_enum(t, value, reterr);
    default:
        return 0;
    }
}
