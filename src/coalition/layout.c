/* layout.c - is a text a canonical layout (spec/identity.md, "The datum encoding")?
 *
 * A layout that is written differently gives another digest and so another surface,
 * which nobody would ever find: so the text in a file is parsed, not merely hashed. */
#include <coalition/identity.h>

#include <string.h>

#define LAYOUT_DEPTH_MAX 32u

struct scan {
    const char *start, *p, *end;
    unsigned depth;
    const char *rule; /* broken; NULL while all is well */
};

static void scan_type(struct scan *s, bool outermost);

static bool fail(struct scan *s, const char *rule)
{
    if (s->rule == NULL)
        s->rule = rule;
    return false;
}

static bool is_at(const struct scan *s, char c)
{
    return s->rule == NULL && s->p < s->end && *s->p == c;
}

static bool accept(struct scan *s, char c)
{
    if (!is_at(s, c))
        return false;
    s->p++;
    return true;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static struct mk_str scan_word(struct scan *s)
{
    const char *start = s->p;

    while (s->p < s->end && is_word(*s->p))
        s->p++;
    return (struct mk_str){start, (size_t)(s->p - start)};
}

static bool is_identifier(struct mk_str word)
{
    return word.n > 0 && (word.p[0] < '0' || word.p[0] > '9');
}

/* A decimal without leading zeros, up to 9 digits. */
static void scan_number(struct scan *s)
{
    struct mk_str digits = scan_word(s);

    if (digits.n == 0 || digits.n > 9 || (digits.n > 1 && digits.p[0] == '0'))
        fail(s, "a number without leading zeros is expected");
    for (size_t i = 0; i < digits.n; i++) {
        if (digits.p[i] < '0' || digits.p[i] > '9')
            fail(s, "a number is expected");
    }
}

static void scan_fields(struct scan *s)
{
    do {
        if (!is_identifier(scan_word(s)))
            fail(s, "a field's name is expected");
        if (!accept(s, ':'))
            fail(s, "':' and the field's type are expected");
        scan_type(s, false);
    } while (accept(s, ','));
    if (!accept(s, '}'))
        fail(s, "',' or '}' is expected");
}

static void scan_variants(struct scan *s)
{
    do {
        if (!is_identifier(scan_word(s)))
            fail(s, "a variant's name is expected");
        if (!accept(s, '='))
            fail(s, "'=' and the variant's number are expected");
        scan_number(s);
        if (accept(s, '{'))
            scan_fields(s);
    } while (accept(s, ','));
    if (!accept(s, ')'))
        fail(s, "',' or ')' is expected");
}

static bool is_plain(struct mk_str word)
{
    static const char *const plain[] = {"u8",  "u16", "u32",   "u64",  "u128", "i8",
                                        "i16", "i32", "i64",   "i128", "bool", "f32",
                                        "f64", "str", "bytes", "id",   "peer"};

    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (mk_str_is(word, plain[i]))
            return true;
    }
    return false;
}

static void scan_array(struct scan *s)
{
    scan_number(s);
    if (!accept(s, ']') || !mk_str_is(scan_word(s), "u8"))
        fail(s, "an array is written [N]u8");
}

static void scan_named(struct scan *s, bool outermost)
{
    struct mk_str word = scan_word(s);
    bool opens = is_at(s, '{') || is_at(s, '(');

    if (!opens) {
        if (!is_plain(word))
            fail(s, "a type is expected");
        return;
    }
    if (outermost && !is_identifier(word))
        fail(s, "the outermost struct or enum has a name");
    if (!outermost && word.n > 0)
        fail(s, "a nested struct or enum has no name");
    if (accept(s, '{'))
        scan_fields(s);
    else if (accept(s, '('))
        scan_variants(s);
}

static void scan_type(struct scan *s, bool outermost)
{
    if (s->rule != NULL)
        return;
    if (s->depth == LAYOUT_DEPTH_MAX) {
        fail(s, "the type is nested too deeply");
        return;
    }
    s->depth++;
    if (accept(s, '?') || accept(s, '*'))
        scan_type(s, outermost);
    else if (accept(s, '['))
        scan_array(s);
    else
        scan_named(s, outermost);
    s->depth--;
}

int coa_layout_check(struct mk_str layout, struct mk_fault *reterr)
{
    struct scan s = {.start = layout.p, .p = layout.p, .end = layout.p + layout.n};

    scan_type(&s, true);
    if (accept(&s, '>'))
        scan_type(&s, true);
    if (s.rule == NULL && s.p != s.end)
        fail(&s, "the layout ends here");
    if (s.rule == NULL)
        return 0;
    return mk_fault(reterr, MK_EMALFORMED, "at byte %zu: %s", (size_t)(s.p - s.start) + 1, s.rule);
}
