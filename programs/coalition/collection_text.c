/* collection_text.c - keys and values as text; see collection.h. */
#include "collection.h"

#include <string.h>

static int bad(const char *what, const char *text, const char *wanted)
{
    return complain(STATUS_USAGE, "%s: \"%.80s\" is no %s", what, text, wanted);
}

/** Hex of the encoding, which is checked. */
static int parse_hex(struct mk_bytes *ret, const struct mk_type *t, const char *text,
                     const char *what, struct mk_arena *arena)
{
    size_t n = strlen(text) / 2;
    uint8_t *p = mk_arena_take(arena, n + 1);
    struct mk_fault fault = {{0}};

    if (mk_unhex(p, n, text, strlen(text)) != 0)
        return bad(what, text, "hex, two digits a byte");
    *ret = MK_BYTES(p, n);
    if (mk_decode(mk_arena_take(arena, t->size), t, *ret, arena, &fault) != 0)
        return complain(STATUS_USAGE, "%s: %s", what, fault.text);
    return 0;
}

static int parse_blob(struct mk_bytes *ret, const char *text, const char *what,
                      struct mk_arena *arena)
{
    size_t n = strlen(text) / 2;
    uint8_t *p = mk_arena_take(arena, n + 1);

    if (mk_unhex(p, n, text, strlen(text)) != 0)
        return bad(what, text, "hex, two digits a byte");
    *ret = MK_BYTES(p, n);
    return 0;
}

static int parse_i64(int64_t *ret, const char *text, const char *what)
{
    bool minus = text[0] == '-';
    uint64_t n, most = (uint64_t)INT64_MAX + (minus ? 1 : 0);

    if (parse_u64(&n, text + minus, most) != 0)
        return bad(what, text, "integer of 64 bits");
    *ret = minus ? (int64_t)(0 - n) : (int64_t)n;
    return 0;
}

/** As JSON has numbers. */
static int parse_f64(double *ret, const char *text, const char *what)
{
    json_t *o = json_loads(text, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);

    if (!json_is_real(o)) {
        json_decref(o);
        return bad(what, text, "number");
    }
    *ret = json_real_value(o);
    json_decref(o);
    return 0;
}

static int parse_bool(bool *ret, const char *text, const char *what)
{
    *ret = strcmp(text, "true") == 0;
    return *ret || strcmp(text, "false") == 0 ? 0 : bad(what, text, "true or false");
}

int datum_parse(struct mk_bytes *ret, const struct mk_type *t, const char *text, const char *what,
                struct mk_arena *arena)
{
    union {
        uint64_t u;
        int64_t i;
        double f;
        bool b;
        struct mk_str s;
        struct mk_bytes p;
    } value;
    struct mk_buf b = {0};
    int status = 0;

    if (t == &mk_u64_type)
        status = parse_u64(&value.u, text, UINT64_MAX) != 0 ? bad(what, text, "u64") : 0;
    else if (t == &mk_i64_type)
        status = parse_i64(&value.i, text, what);
    else if (t == &mk_f64_type)
        status = parse_f64(&value.f, text, what);
    else if (t == &mk_bool_type)
        status = parse_bool(&value.b, text, what);
    else if (t == &mk_text_type)
        value.s = mk_str_of(text);
    else if (t == &mk_blob_type)
        status = parse_blob(&value.p, text, what, arena);
    else
        return parse_hex(ret, t, text, what, arena);
    if (status != 0)
        return status;
    if (t == &mk_text_type && !mk_utf8_valid(text, strlen(text)))
        return bad(what, text, "UTF-8");
    mk_encode(&b, t, &value);
    *ret = MK_BYTES(mk_arena_copy(arena, b.p, b.n), b.n);
    mk_buf_done(&b);
    return 0;
}

json_t *datum_json(const struct mk_type *t, struct mk_bytes b)
{
    struct mk_arena arena = {0};
    struct mk_buf text = {0};
    void *value = mk_arena_take(&arena, t->size);
    json_t *o = NULL;

    if (mk_decode(value, t, b, &arena, NULL) == 0) {
        mk_print_json(&text, t, value);
        o = json_loadb((const char *)text.p, text.n, JSON_DECODE_ANY, NULL);
    }
    mk_buf_done(&text);
    mk_arena_done(&arena);
    return o != NULL ? o : json_hex(b.p, b.n);
}
