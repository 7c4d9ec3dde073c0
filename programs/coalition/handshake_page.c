/* handshake_page.c - the facts of a handshake as one page for people.
 *
 * The page is drawn from the JSON alone, so both say the same. It has no script and loads
 * nothing: it can be mailed, archived, printed. Whatever comes from the file is escaped, and
 * only http and https texts become links. Ids break anywhere, so that a narrow screen never
 * scrolls sideways; in print the text is small and in two columns, for one sheet. */
#include "handshake.h"

#include <stdio.h>
#include <string.h>

static const char head[] =
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
    "'unsafe-inline'\">\n";

static const char style[] =
    "<style>\n"
    ":root{color-scheme:light dark}\n"
    "*{box-sizing:border-box}\n"
    "body{font:16px/1.45 system-ui,sans-serif;max-width:56rem;margin:0 auto;padding:1rem;"
    "overflow-wrap:anywhere}\n"
    "h1{font-size:1.5rem;line-height:1.2;margin:0 0 .5rem}\n"
    "h2{font-size:1.15rem;margin:1.6rem 0 .4rem;border-bottom:2px solid}\n"
    "h3{font-size:1rem;margin:0 0 .3rem}\n"
    "article{border:1px solid #8886;border-radius:.4rem;padding:.6rem .75rem;margin:.6rem 0}\n"
    "dl{margin:0}\n"
    "dt{font-size:.8rem;opacity:.75;margin-top:.35rem}\n"
    "dd{margin:0}\n"
    "code,pre{font:.82rem/1.35 ui-monospace,monospace;word-break:break-all}\n"
    "pre{white-space:pre-wrap;margin:.4rem 0}\n"
    ".k{font-size:.8rem;opacity:.75}\n"
    ".not{color:#b3261e;font-weight:600}\n"
    ".off h3{display:inline;font-weight:400}\n"
    "p{margin:.4rem 0}\n"
    "@media(prefers-color-scheme:dark){.not{color:#ff8a80}}\n"
    "@media(min-width:44rem){dl>div{display:grid;grid-template-columns:10rem 1fr;gap:.75rem}"
    "dt{margin-top:.2rem}}\n"
    "@page{size:A4;margin:7mm}\n"
    "@media print{:root{color-scheme:light}body{font-size:6.1pt;line-height:1.12;max-width:none;"
    "padding:0;column-count:2;column-gap:5mm}h1{font-size:11pt;margin:0}h2{font-size:8pt;"
    "margin:3pt 0 1pt;border-width:1px;break-after:avoid}h3{font-size:7pt;margin:0;"
    "break-after:avoid}article{border:0;padding:0;margin:1pt 0 2.5pt}dl>div{display:block}"
    "dl>div.s{display:inline}dl>div.s+div.s::before{content:' \\00b7  '}"
    "dt{display:inline;font-size:inherit;margin:0}dt::after{content:': '}dd{display:inline}"
    "dd>div{display:inline}dd>div+div::before{content:' \\00b7 '}code{font-size:5.5pt;"
    "line-height:1.1}.k{font-size:inherit}details,.layout{display:none!important}"
    "p{margin:1pt 0}a{color:inherit}}\n"
    "</style>\n";

static void put_escaped(struct mk_buf *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        switch (s[i]) {
        case '&':
            mk_buf_put_str(out, "&amp;");
            break;
        case '<':
            mk_buf_put_str(out, "&lt;");
            break;
        case '>':
            mk_buf_put_str(out, "&gt;");
            break;
        case '"':
            mk_buf_put_str(out, "&quot;");
            break;
        default:
            mk_buf_put_u8(out, (uint8_t)s[i]);
        }
    }
}

static void put_string(struct mk_buf *out, const json_t *s)
{
    put_escaped(out, json_string_value(s), json_string_length(s));
}

static bool is_id(const char *s, size_t n)
{
    return n >= 32 && strspn(s, "0123456789abcdef") == n;
}

static bool is_link(const char *s, size_t n)
{
    return strlen(s) == n && (strncmp(s, "https://", 8) == 0 || strncmp(s, "http://", 7) == 0) &&
           strcspn(s, " \t\r\n\"'<>\\") == n;
}

static void put_text(struct mk_buf *out, const json_t *s)
{
    const char *text = json_string_value(s);
    size_t n = json_string_length(s);

    if (is_id(text, n) || (n > 65 && text[64] == '@')) {
        mk_buf_put_str(out, "<code>");
        put_string(out, s);
        mk_buf_put_str(out, "</code>");
    } else if (is_link(text, n)) {
        mk_buf_put_str(out, "<a rel=\"noopener noreferrer\" href=\"");
        put_string(out, s);
        mk_buf_put_str(out, "\">");
        put_string(out, s);
        mk_buf_put_str(out, "</a>");
    } else {
        put_string(out, s);
    }
}

/* "stable_id" -> "stable id". */
static void put_label(struct mk_buf *out, const char *key)
{
    for (; *key != '\0'; key++)
        mk_buf_put_u8(out, *key == '_' ? ' ' : (uint8_t)*key);
}

static void put_value(struct mk_buf *out, const json_t *v);

/* An object within a row, on as few lines as it takes; what is null there does not apply. */
static void put_inner(struct mk_buf *out, const json_t *o)
{
    const char *key, *separator = "";
    json_t *v;

    json_object_foreach((json_t *)o, key, v)
    {
        if (json_is_null(v))
            continue;
        mk_buf_printf(out, "<span%s>%s<span class=\"k\">",
                      strcmp(key, "layout") == 0 ? " class=\"layout\"" : "", separator);
        put_label(out, key);
        mk_buf_put_str(out, "</span> ");
        put_value(out, v);
        mk_buf_put_str(out, "</span>");
        separator = " ";
    }
}

static void put_list(struct mk_buf *out, const json_t *list)
{
    size_t i;
    json_t *v;

    if (json_array_size(list) == 0)
        mk_buf_put_str(out, "none");
    json_array_foreach(list, i, v)
    {
        mk_buf_put_str(out, "<div>");
        put_value(out, v);
        mk_buf_put_str(out, "</div>");
    }
}

static void put_value(struct mk_buf *out, const json_t *v)
{
    if (json_is_null(v))
        mk_buf_put_str(out, "<span class=\"not\">not stated</span>");
    else if (json_is_boolean(v))
        mk_buf_put_str(out, json_is_true(v) ? "yes" : "no");
    else if (json_is_integer(v))
        mk_buf_printf(out, "%lld", (long long)json_integer_value(v));
    else if (json_is_string(v))
        put_text(out, v);
    else if (json_is_array(v))
        put_list(out, v);
    else
        put_inner(out, v);
}

/* In print, short rows share a line. */
static bool is_short(const json_t *v)
{
    return json_is_boolean(v) || json_is_integer(v) || json_is_null(v) ||
           (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_string(v) && json_string_length(v) <= 40);
}

static void put_row(struct mk_buf *out, const char *key, const json_t *v)
{
    mk_buf_put_str(out, is_short(v) ? "<div class=\"s\"><dt>" : "<div><dt>");
    put_label(out, key);
    mk_buf_put_str(out, "</dt><dd>");
    if (strcmp(key, "acl") == 0 && json_array_size(v) == 0)
        mk_buf_put_str(out, "open to everyone");
    else
        put_value(out, v);
    mk_buf_put_str(out, "</dd></div>\n");
}

/* The key that names a card. */
static const char *title_key(const json_t *card)
{
    static const char *const keys[] = {"name", "role", "kind", "operator"};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (json_is_string(json_object_get(card, keys[i])))
            return keys[i];
    }
    return NULL;
}

static void put_card(struct mk_buf *out, const json_t *card)
{
    const char *title = title_key(card), *key;
    bool off = json_is_false(json_object_get(card, "shipped"));
    json_t *v;

    mk_buf_put_str(out, off ? "<article class=\"off\">" : "<article>");
    if (title != NULL) {
        mk_buf_put_str(out, "<h3>");
        put_text(out, json_object_get(card, title));
        mk_buf_put_str(out, "</h3>\n");
    }
    if (off) {
        mk_buf_put_str(out,
                       title != NULL ? ": not shipped</article>\n" : "not shipped</article>\n");
        return;
    }
    mk_buf_put_str(out, "<dl>\n");
    json_object_foreach((json_t *)card, key, v)
    {
        if (title == NULL || strcmp(key, title) != 0)
            put_row(out, key, v);
    }
    mk_buf_put_str(out, "</dl></article>\n");
}

static void put_section(struct mk_buf *out, const json_t *facts, const char *key,
                        const char *heading)
{
    json_t *v = json_object_get(facts, key), *card;
    size_t i;

    if (v == NULL)
        return;
    mk_buf_printf(out, "<section id=\"%s\"><h2>%s</h2>\n", key, heading);
    if (json_is_object(v))
        put_card(out, v);
    else if (json_array_size(v) == 0)
        mk_buf_put_str(out, "<p>none</p>\n");
    json_array_foreach(v, i, card)
    {
        put_card(out, card);
    }
    mk_buf_put_str(out, "</section>\n");
}

static const struct {
    const char *key, *heading;
} sections[] = {{"lattices", "Lattices"},
                {"organisms", "Organisms"},
                {"modules", "Modules"},
                {"ticket_issuer", "Ticket issuer"},
                {"operators", "Operator roll call"}};

static bool is_apart(const char *key)
{
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (strcmp(sections[i].key, key) == 0)
            return true;
    }
    return strcmp(key, "name") == 0 || strcmp(key, "config_c") == 0 ||
           strcmp(key, "config_hex") == 0;
}

static void put_definition(struct mk_buf *out, const json_t *facts, const char *key,
                           const char *summary)
{
    const json_t *v = json_object_get(facts, key);

    if (v == NULL)
        return;
    mk_buf_printf(out, "<details><summary>%s</summary><pre>", summary);
    put_string(out, v);
    mk_buf_put_str(out, "</pre></details>\n");
}

static void put_missing(struct mk_buf *out, const json_t *missing)
{
    size_t i;
    json_t *v;

    if (json_array_size(missing) == 0)
        return;
    mk_buf_put_str(out, "<section id=\"missing\"><h2>Not stated</h2><p class=\"not\">");
    json_array_foreach(missing, i, v)
    {
        mk_buf_put_str(out, i > 0 ? ", " : "");
        put_string(out, v);
    }
    mk_buf_put_str(out, "</p></section>\n");
}

static void put_head(struct mk_buf *out, const struct handshake *h, const char *json_name)
{
    const json_t *name = json_object_get(h->facts, "name");
    const char *key;
    json_t *v;

    mk_buf_put_str(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n");
    mk_buf_put_str(out, head);
    mk_buf_put_str(out, "<title>");
    put_string(out, name);
    mk_buf_put_str(out, ": handshake</title>\n");
    mk_buf_put_str(out, style);
    mk_buf_put_str(out, "</head>\n<body>\n<main>\n<h1>");
    put_string(out, name);
    mk_buf_put_str(out, "</h1>\n<p>A fingerprint names what is written here; it does not sign it. "
                        "Compare every id with what its own operator publishes. The same facts "
                        "for programs: <a href=\"");
    put_escaped(out, json_name, strlen(json_name));
    mk_buf_put_str(out, "\">");
    put_escaped(out, json_name, strlen(json_name));
    mk_buf_put_str(out, "</a></p>\n<section id=\"facts\"><dl>\n");
    json_object_foreach(h->facts, key, v)
    {
        if (!is_apart(key))
            put_row(out, key, v);
    }
    mk_buf_put_str(out, "</dl></section>\n");
}

void handshake_page(struct mk_buf *out, const struct handshake *h, const char *name)
{
    put_head(out, h, name);
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++)
        put_section(out, h->facts, sections[i].key, sections[i].heading);
    put_missing(out, h->missing);
    put_definition(out, h->facts, "config_c", "The config as a C header");
    put_definition(out, h->facts, "config_hex", "The serialised config");
    mk_buf_put_str(out, "</main>\n</body>\n</html>\n");
}
