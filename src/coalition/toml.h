/* toml.h - a TOML file as a plain C tree with the place of every key and value.
 *
 * toml++ does the parsing, in one C++ file; what could exhaust its stack (nesting,
 * dotted keys) is bounded by toml_scan() before it sees the bytes. */
#ifndef COALITION_TOML_H
#define COALITION_TOML_H

#include <mosaik/bytes.h>
#include <mosaik/error.h>

#define TOML_DOTS_MAX 16u    /* dots outside strings on a line */
#define TOML_NESTING_MAX 16u /* open brackets and braces */

enum toml_kind {
    TOML_TABLE,
    TOML_ARRAY,
    TOML_TEXT,
    TOML_INTEGER,
    TOML_FLOAT,
    TOML_BOOL,
    TOML_DATE,
};

struct toml_place {
    uint32_t line, column; /* from 1 */
};

struct toml_node {
    enum toml_kind kind;
    struct mk_str key; /* in a table; terminated */
    struct toml_place key_at;
    struct toml_place at;
    struct mk_str text; /* terminated; may hold zero bytes */
    int64_t integer;
    double real;
    bool flag;
    struct toml_node *children; /* table: in the order of their keys' places */
    size_t n;
};

/** The tree; all of it from arena. MK_EMALFORMED with "file:line:column: ...". */
int toml_parse(struct toml_node *ret, const char *file, struct mk_bytes bytes,
               struct mk_arena *arena, struct mk_fault *reterr);

/** Size, UTF-8, nesting and dots. As toml_parse. */
int toml_scan(const char *file, struct mk_bytes bytes, struct mk_fault *reterr);

/** toml++ itself, for toml_parse. Returns 0, or MK_EMALFORMED with place and description. */
int toml_parse_scanned(struct toml_node *ret, struct mk_bytes bytes, struct mk_arena *arena,
                       struct toml_place *ret_at, struct mk_fault *ret_description);

#endif
