/* toml_scan.c - bounds what a parser could choke on, before it sees the file.
 *
 * toml++ limits nesting, but dotted keys build nested tables too, one level a dot,
 * and are destroyed recursively: a million dots overflow the stack. So brackets and
 * dots outside strings and comments are counted here. The scanner follows TOML's own
 * lexical rules; where a file breaks them the parser stops at the same place, so what
 * it has built by then is within the bounds. Control characters are refused first. */
#include "coalition/toml.h"

#include <coalition/file.h>

#include <string.h>

struct scan {
    const char *file;
    const uint8_t *p, *end;
    struct toml_place at;
    unsigned dots, nesting;
    struct mk_fault *reterr;
};

static int fail(const struct scan *s, int err, const char *rule)
{
    return mk_fault(s->reterr, err, "%s:%u:%u: %s", s->file, s->at.line, s->at.column, rule);
}

static void step(struct scan *s)
{
    if (*s->p == '\n') {
        s->at.line++;
        s->at.column = 1;
        s->dots = 0;
    } else if ((*s->p & 0xc0) != 0x80) {
        s->at.column++; /* columns count characters */
    }
    s->p++;
}

static bool sees(const struct scan *s, const char *what)
{
    size_t n = strlen(what);

    return (size_t)(s->end - s->p) >= n && memcmp(s->p, what, n) == 0;
}

static void skip_n(struct scan *s, size_t n)
{
    while (n-- > 0 && s->p < s->end)
        step(s);
}

/* From behind the opening quotes to behind the closing ones (or the end). */
static void skip_string(struct scan *s, const char *close, bool escapes, bool lines)
{
    while (s->p < s->end && !sees(s, close)) {
        if (!lines && *s->p == '\n')
            return;
        if (escapes && *s->p == '\\')
            step(s);
        if (s->p < s->end)
            step(s);
    }
    skip_n(s, strlen(close));
    while (lines && s->p < s->end && *s->p == (uint8_t)close[0])
        step(s); /* up to two more quotes belong to the text */
}

static bool skip_quoted(struct scan *s)
{
    static const struct {
        const char *quotes;
        bool escapes, lines;
    } kinds[] = {
        {"\"\"\"", true, true}, {"'''", false, true}, {"\"", true, false}, {"'", false, false}};

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!sees(s, kinds[i].quotes))
            continue;
        skip_n(s, strlen(kinds[i].quotes));
        skip_string(s, kinds[i].quotes, kinds[i].escapes, kinds[i].lines);
        return true;
    }
    return false;
}

static int scan_plain(struct scan *s)
{
    if (*s->p >= 0x80) /* toml++ relies on some of them not to come where it looks for blanks */
        return fail(s, MK_EMALFORMED, "a character that only strings and comments may hold");
    switch (*s->p) {
    case '#':
        while (s->p < s->end && *s->p != '\n')
            step(s);
        return 0;
    case '.':
        if (++s->dots > TOML_DOTS_MAX)
            return fail(s, MK_ELIMIT, "too many dots on a line; keys here need at most two parts");
        break;
    case '[':
    case '{':
        if (++s->nesting > TOML_NESTING_MAX)
            return fail(s, MK_ELIMIT, "nested too deeply; no value here needs more than 16 levels");
        break;
    case ']':
    case '}':
        s->nesting -= s->nesting > 0;
        break;
    default:
        break;
    }
    step(s);
    return 0;
}

/* The place of the first byte that is not UTF-8. */
static int utf8_fail(struct scan *s)
{
    while (s->p < s->end) {
        size_t len = 1;

        while (len < 4 && len < (size_t)(s->end - s->p) && (s->p[len] & 0xc0) == 0x80)
            len++;
        if (!mk_utf8_valid(s->p, len))
            break;
        skip_n(s, len);
    }
    return fail(s, MK_EMALFORMED, "the bytes are not UTF-8; a TOML file is UTF-8 text");
}

/* TOML has no control characters but tab and line ends; toml++ asserts on some. */
static int controls_fail(struct scan *s)
{
    while (s->p < s->end) {
        bool line_end = *s->p == '\n' || sees(s, "\r\n");

        if ((*s->p < ' ' && *s->p != '\t' && !line_end) || *s->p == 0x7f)
            return fail(s, MK_EMALFORMED,
                        "a control character; in a string write \\u and four digits");
        step(s);
    }
    return 0;
}

int toml_scan(const char *file, struct mk_bytes bytes, struct mk_fault *reterr)
{
    struct scan s = {.file = file,
                     .p = bytes.p,
                     .end = bytes.n > 0 ? bytes.p + bytes.n : bytes.p,
                     .at = {1, 1},
                     .reterr = reterr};
    int rv;

    if (bytes.n > COA_FILE_MAX)
        return fail(&s, MK_ELIMIT, "the file is too big; at most 4 MiB are read");
    if (!mk_utf8_valid(bytes.p, bytes.n))
        return utf8_fail(&s);
    rv = controls_fail(&s);
    if (rv != 0)
        return rv;
    s.p = bytes.p;
    s.at = (struct toml_place){1, 1};
    if (sees(&s, "\xef\xbb\xbf"))
        s.p += 3; /* a byte order mark */
    while (s.p < s.end) {
        if (skip_quoted(&s))
            continue;
        rv = scan_plain(&s);
        if (rv != 0)
            return rv;
    }
    return 0;
}

int toml_parse(struct toml_node *ret, const char *file, struct mk_bytes bytes,
               struct mk_arena *arena, struct mk_fault *reterr)
{
    struct mk_fault description;
    struct toml_place at = {1, 1};
    int rv;

    rv = toml_scan(file, bytes, reterr);
    if (rv != 0)
        return rv;
    rv = toml_parse_scanned(ret, bytes, arena, &at, &description);
    if (rv != 0)
        return mk_fault(reterr, rv, "%s:%u:%u: not valid TOML: %s", file, at.line, at.column,
                        description.text);
    return 0;
}
