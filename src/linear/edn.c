/* As much of EDN as histories are written in: tokens (numbers, symbols, keywords,
 * characters), strings, lists, vectors, sets, maps, comments, tags (passed over). Commas
 * are blanks. Depth is limited; nothing is copied but strings with escapes. */
#include "linear_int.h"

#include <string.h>

void mk_edn_begin(struct mk_edn_reader *r, struct mk_str text, unsigned line)
{
    *r = (struct mk_edn_reader){.at = text.p, .end = text.p + text.n, .line = line};
}

static void skip_blanks(struct mk_edn_reader *r)
{
    bool comment = false;

    for (; r->at < r->end; r->at++) {
        char c = *r->at;

        if (c == '\n') {
            r->line++;
            comment = false;
        } else if (c == ';') {
            comment = true;
        } else if (!comment && strchr(" \t\r,", c) == NULL) {
            return;
        }
    }
}

static bool ends_token(char c)
{
    return c == 0 || strchr(" \t\r\n,;()[]{}\"", c) != NULL;
}

static int bad(struct mk_fault *reterr, unsigned line, const char *what)
{
    return mk_fault(reterr, MK_EMALFORMED, "line %u: %s", line, what);
}

static char unescaped(char c)
{
    return c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
}

static int read_string(struct mk_edn_reader *r, struct mk_edn *e, struct mk_arena *a,
                       struct mk_fault *reterr)
{
    const char *from = ++r->at;
    bool escapes = false;
    char *copy;
    size_t n = 0;

    for (; r->at < r->end && *r->at != '"'; r->at++) {
        r->line += *r->at == '\n';
        if (*r->at == '\\') {
            escapes = true;
            r->at++;
        }
    }
    if (r->at >= r->end)
        return bad(reterr, e->line, "a string that does not end");
    e->kind = MK_EDN_STRING;
    e->text = (struct mk_str){from, (size_t)(r->at++ - from)};
    if (!escapes)
        return 0;
    copy = mk_arena_copy(a, from, e->text.n);
    for (size_t i = 0; i < e->text.n; i++)
        copy[n++] = copy[i] == '\\' ? unescaped(copy[++i]) : copy[i];
    e->text = (struct mk_str){copy, n};
    return 0;
}

static int read_form(struct mk_edn_reader *r, struct mk_edn **ret, struct mk_arena *a,
                     unsigned depth, struct mk_fault *reterr);

static int read_parts(struct mk_edn_reader *r, struct mk_edn *e, char end, struct mk_arena *a,
                      unsigned depth, struct mk_fault *reterr)
{
    struct mk_edn **last = &e->first;
    int rv;

    if (depth >= MK_EDN_DEPTH_MAX)
        return bad(reterr, e->line, "nested too deep");
    e->kind = end == '}' ? MK_EDN_MAP : MK_EDN_SEQUENCE;
    for (r->at++;;) {
        skip_blanks(r);
        if (r->at >= r->end)
            return bad(reterr, e->line, "a bracket that is not closed");
        if (*r->at == end)
            break;
        rv = read_form(r, last, a, depth + 1, reterr);
        if (rv != 0)
            return rv;
        last = &(*last)->next;
        e->n++;
    }
    r->at++;
    return e->kind == MK_EDN_MAP && e->n % 2 != 0 ? bad(reterr, e->line,
                                                        "a map with a key and "
                                                        "no value")
                                                  : 0;
}

static int read_token(struct mk_edn_reader *r, struct mk_edn *e, struct mk_fault *reterr)
{
    const char *from = r->at;

    if (strchr(")]}", *from) != NULL)
        return bad(reterr, r->line, "a closing bracket without its opening one");
    if (*from == '\\' && r->end - from > 1)
        r->at += 2;
    while (r->at < r->end && !ends_token(*r->at))
        r->at++;
    if (r->at == from)
        return bad(reterr, r->line, "a byte that begins nothing");
    e->kind = MK_EDN_TOKEN;
    e->text = (struct mk_str){from, (size_t)(r->at - from)};
    return 0;
}

/* Something is there: blanks were passed. A tag is read over. */
static int read_form(struct mk_edn_reader *r, struct mk_edn **ret, struct mk_arena *a,
                     unsigned depth, struct mk_fault *reterr)
{
    struct mk_edn *e = mk_arena_take(a, sizeof *e);

    while (r->end - r->at > 1 && *r->at == '#') {
        r->at++;
        while (r->at < r->end && !ends_token(*r->at))
            r->at++;
        skip_blanks(r);
    }
    *ret = e;
    e->line = r->line;
    if (r->at >= r->end)
        return bad(reterr, r->line, "a tag without a value");
    switch (*r->at) {
    case '"':
        return read_string(r, e, a, reterr);
    case '(':
        return read_parts(r, e, ')', a, depth, reterr);
    case '[':
        return read_parts(r, e, ']', a, depth, reterr);
    case '{':
        return read_parts(r, e, '}', a, depth, reterr);
    default:
        return read_token(r, e, reterr);
    }
}

bool mk_edn_enter(struct mk_edn_reader *r)
{
    skip_blanks(r);
    if (r->open > 0 || r->at >= r->end || (*r->at != '[' && *r->at != '('))
        return false;
    r->at++;
    r->open = 1;
    return true;
}

int mk_edn_next(struct mk_edn_reader *r, struct mk_edn **ret, struct mk_arena *a,
                struct mk_fault *reterr)
{
    skip_blanks(r);
    if (r->open > 0 && r->at < r->end && (*r->at == ']' || *r->at == ')')) {
        r->at++;
        r->open--;
        skip_blanks(r);
    }
    if (r->at >= r->end)
        return r->open > 0 ? bad(reterr, r->line, "the list of operations is not closed")
                           : MK_ENOTFOUND;
    return read_form(r, ret, a, 0, reterr);
}

const struct mk_edn *mk_edn_get(const struct mk_edn *map, const char *key)
{
    for (const struct mk_edn *k = map->first; k != NULL; k = k->next->next)
        if (mk_edn_is(k, key))
            return k->next;
    return NULL;
}

bool mk_edn_is(const struct mk_edn *e, const char *token)
{
    return e != NULL && e->kind == MK_EDN_TOKEN && mk_str_is(e->text, token);
}

void mk_edn_print(const struct mk_edn *e, struct mk_buf *out)
{
    if (e->kind == MK_EDN_STRING)
        mk_buf_printf(out, "\"%zu:", e->text.n);
    if (e->kind == MK_EDN_TOKEN || e->kind == MK_EDN_STRING) {
        mk_buf_put(out, e->text.p, e->text.n);
        return;
    }
    mk_buf_put_u8(out, e->kind == MK_EDN_MAP ? '{' : '[');
    for (const struct mk_edn *p = e->first; p != NULL; p = p->next) {
        mk_edn_print(p, out);
        mk_buf_put_u8(out, ' ');
    }
    mk_buf_put_u8(out, ']');
}
