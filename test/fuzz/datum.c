/* datum.c - one target for every datum type, out of its table.
 *
 * For each accepted input: encoding the value gives the input again, the length
 * computed beforehand is right, the value passes validation, its JSON is JSON,
 * and what decoding allocated is bounded by the input. For each refused one: the
 * refusal has a text. Values are made from the table too, so that a type has
 * inputs that must be accepted from the day it is declared. */
#include "targets.h"

#include <jansson.h>
#include <string.h>

/* A value in the arena is larger than its bytes: a struct of twelve options of
 * 48 bytes is 12 bytes on the wire. */
#define FUZZ_ARENA_FACTOR 4096u

static void check_json(const struct mk_type *t, const void *value)
{
    struct mk_buf text = {0};
    json_error_t error;
    json_t *parsed;

    mk_print_json(&text, t, value);
    parsed = json_loadb((const char *)text.p, text.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (parsed == NULL)
        fprintf(stderr, "%s: %.*s\n", error.text, (int)text.n, (const char *)text.p);
    FUZZ_CHECK(parsed != NULL);
    json_decref(parsed);
    mk_buf_done(&text);
}

static void check_accepted(const struct mk_type *t, const void *value, struct mk_bytes in)
{
    struct mk_buf again = {0};
    struct mk_fault fault = {{0}};

    mk_encode(&again, t, value);
    FUZZ_CHECK(mk_bytes_eq(mk_buf_bytes(&again), in));
    FUZZ_CHECK(mk_encoded_len(t, value) == in.n);
    mk_buf_done(&again);
    if (mk_validate(t, value, &fault) != 0)
        fprintf(stderr, "%s\n", fault.text);
    FUZZ_CHECK(fault.text[0] == '\0');
    check_json(t, value);
}

bool fuzz_datum(const struct mk_type *t, const uint8_t *p, size_t n)
{
    struct mk_arena arena = {0};
    struct mk_fault fault = {{0}};
    void *value = mk_alloc(t->size);
    int rv = mk_decode(value, t, MK_BYTES(p, n), &arena, &fault);

    FUZZ_CHECK(rv == 0 || rv == MK_EMALFORMED || rv == MK_ELIMIT);
    FUZZ_CHECK((rv == 0) == (fault.text[0] == '\0'));
    FUZZ_CHECK(arena.used <= FUZZ_ARENA_FACTOR * (n + 1));
    if (rv == 0)
        check_accepted(t, value, MK_BYTES(p, n));
    mk_arena_done(&arena);
    mk_free(value);
    return rv == 0;
}

/* --- values from a table ------------------------------------------------------- */

struct maker {
    struct fuzz_random *r;
    struct mk_arena arena;
    unsigned depth;
};

static void make_value(struct maker *m, const struct mk_type *t, void *out);

static size_t make_length(struct maker *m, size_t limit, size_t usual)
{
    size_t most = fuzz_below(m->r, 16) == 0 ? 4 * usual : usual;

    return fuzz_below(m->r, (most < limit ? most : limit) + 1);
}

static void make_bytes(struct maker *m, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)fuzz_u64(m->r);
}

static void make_text(struct maker *m, const struct mk_type *t, struct mk_str *out)
{
    static const char *const words[] = {
        "a", "Z", "9", ".", "/", "-", " ", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8c\x8d"};
    bool name = (t->flags & MK_TEXT_NAME) != 0;
    size_t limit = name && t->limit > 128 ? 128 : t->limit;
    size_t n = make_length(m, limit, 12);
    struct mk_buf text = {0};

    while (text.n < n || (name && text.n == 0)) {
        const char *w = words[fuzz_below(m->r, sizeof words / sizeof words[0])];

        if (text.n + strlen(w) > limit)
            break;
        mk_buf_put_str(&text, w);
    }
    out->p = mk_arena_copy(&m->arena, text.p, text.n);
    out->n = text.n;
    mk_buf_done(&text);
}

/* What a sorted sequence is sorted by: the item's encoding, or its first field's. */
static void encode_key(const struct mk_type *seq, const uint8_t *item, struct mk_buf *out)
{
    const struct mk_type *t = seq->inner;

    if (seq->flags & MK_SEQ_KEYED)
        mk_encode(out, t->fields[0].type, item + t->fields[0].offset);
    else
        mk_encode(out, t, item);
}

/* Sorted by key, duplicates dropped; returns how many are left. */
static size_t sort_items(const struct mk_type *seq, uint8_t *items, size_t n)
{
    const struct mk_type *t = seq->inner;
    struct mk_buf *pc = mk_alloc((n + 1) * sizeof *pc);
    uint8_t *sorted = mk_alloc(n * t->size + 1);
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        struct mk_buf one = {0};
        size_t at = 0;
        int order = 1;

        encode_key(seq, items + i * t->size, &one);
        while (at < kept && (order = mk_bytes_cmp(mk_buf_bytes(&pc[at]), mk_buf_bytes(&one))) < 0)
            at++;
        if (at < kept && order == 0) {
            mk_buf_done(&one);
            continue;
        }
        memmove(&pc[at + 1], &pc[at], (kept - at) * sizeof *pc);
        memmove(sorted + (at + 1) * t->size, sorted + at * t->size, (kept - at) * t->size);
        pc[at] = one;
        memcpy(sorted + at * t->size, items + i * t->size, t->size);
        kept++;
    }
    memcpy(items, sorted, kept * t->size);
    for (size_t i = 0; i < kept; i++)
        mk_buf_done(&pc[i]);
    mk_free(pc);
    mk_free(sorted);
    return kept;
}

static void make_seq(struct maker *m, const struct mk_type *t, void *out)
{
    struct {
        const void *v;
        size_t n;
    } seq;
    size_t n = make_length(m, t->limit, m->depth > 3 ? 1 : 3);
    uint8_t *items;

    if (n == 0 && (t->flags & MK_SEQ_NONEMPTY))
        n = 1;
    items = mk_arena_take(&m->arena, n * t->inner->size + 1);
    for (size_t i = 0; i < n; i++)
        make_value(m, t->inner, items + i * t->inner->size);
    if (t->flags & (MK_SEQ_SORTED | MK_SEQ_KEYED))
        n = sort_items(t, items, n);
    seq.v = items;
    seq.n = n;
    memcpy(out, &seq, sizeof seq);
}

static void make_enum(struct maker *m, const struct mk_type *t, uint8_t *out)
{
    const struct mk_field *v = &t->fields[fuzz_below(m->r, t->n_fields)];

    memcpy(out, &v->tag, sizeof v->tag);
    if (v->type)
        make_value(m, v->type, out + v->offset);
}

static void make_number(struct maker *m, uint8_t *out, size_t n)
{
    uint64_t low = fuzz_odd_number(m->r), high = fuzz_odd_number(m->r);

    memcpy(out, &low, n < 8 ? n : 8);
    if (n > 8)
        memcpy(out + 8, &high, n - 8);
}

static void make_value(struct maker *m, const struct mk_type *t, void *out)
{
    uint8_t *bytes = out;

    m->depth++;
    switch (t->kind) {
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
        make_number(m, bytes, t->size);
        break;
    case MK_KIND_BOOL:
        *(bool *)out = fuzz_below(m->r, 2);
        break;
    case MK_KIND_F32:
        *(float *)out = (float)fuzz_below(m->r, 1000) / 8;
        break;
    case MK_KIND_F64:
        *(double *)out = (double)fuzz_below(m->r, 1000) / 8;
        break;
    case MK_KIND_STR:
        make_text(m, t, out);
        break;
    case MK_KIND_BYTES: {
        struct mk_bytes b = {.n = make_length(m, t->limit, 40)};
        uint8_t *copy = mk_arena_take(&m->arena, b.n + 1);

        make_bytes(m, copy, b.n);
        b.p = copy;
        memcpy(out, &b, sizeof b);
        break;
    }
    case MK_KIND_ID:
    case MK_KIND_PEER:
    case MK_KIND_ARRAY:
        make_bytes(m, bytes, t->size);
        break;
    case MK_KIND_OPTION:
        *(bool *)out = m->depth < 12 && fuzz_below(m->r, 2);
        if (*(bool *)out)
            make_value(m, t->inner, bytes + t->offset);
        break;
    case MK_KIND_SEQ:
        make_seq(m, t, out);
        break;
    case MK_KIND_STRUCT:
        for (size_t i = 0; i < t->n_fields; i++)
            make_value(m, t->fields[i].type, bytes + t->fields[i].offset);
        break;
    case MK_KIND_ENUM:
        make_enum(m, t, bytes);
        break;
    }
    m->depth--;
}

void fuzz_make_datum(const struct mk_type *t, struct fuzz_random *r, struct mk_buf *out)
{
    struct maker m = {.r = r};
    void *value = mk_alloc(t->size);

    make_value(&m, t, value);
    mk_encode(out, t, value);
    mk_arena_done(&m.arena);
    mk_free(value);
}
