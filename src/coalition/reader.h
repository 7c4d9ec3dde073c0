/* reader.h - reads a TOML tree into C structs by tables of fields, strictly.
 *
 * A table of fields names each key that may stand in a TOML table, how its value is
 * read and where it goes; everything else is an error with its place. */
#ifndef COALITION_READER_H
#define COALITION_READER_H

#include <coalition/file.h>

#include "coalition/check.h"
#include "coalition/toml.h"

struct reader {
    const char *file; /* for messages; terminated */
    struct mk_arena *arena;
    struct coa_loader *loader;
    struct mk_fault *reterr;
    enum coa_own own; /* of the ACL being read */
    /* gathered; given to the result at the end */
    struct mk_buf warnings; /* struct mk_str */
    struct mk_buf foreign;  /* struct coa_foreign_issuer */
};

struct field {
    const char *key;
    int (*read)(struct reader *r, const struct toml_node *n, const struct field *f, void *ret);
    size_t offset; /* of ret in the struct */
    bool required;
    uint64_t min, max; /* of numbers; of bytes */
};

#define FIELDS(a) (a), sizeof(a) / sizeof(a)[0]

/** MK_EMALFORMED with "file:line:column: " before the text. */
int reader_fail(struct reader *r, struct toml_place at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void reader_warn(struct reader *r, struct toml_place at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/** What was read ends here: gives warnings (and foreign issuers, may be NULL). */
void reader_done(struct reader *r, struct coa_warnings *ret_warnings,
                 struct coa_foreign_issuers *ret_foreign);

/** A TOML table into a struct. what names it in messages: "[atlas]". */
int read_table(struct reader *r, const struct toml_node *n, const char *what,
               const struct field *fields, size_t n_fields, void *ret);
/** An array of tables into an array of structs, given from the arena. */
int read_tables(struct reader *r, const struct toml_node *n, const char *what, size_t limit,
                const struct field *fields, size_t n_fields, size_t size, void **ret,
                size_t *ret_n);
/** Is the root one of a coalition file, which has an instance_name? Then MK_EMALFORMED, since a
 * file of `wanted` ("organism", "lattice") is expected. */
int reader_no_coalition(struct reader *r, const struct toml_node *root, const char *wanted);
/** The node is of this kind, or an error that says what is expected. */
int read_expect(struct reader *r, const struct toml_node *n, enum toml_kind kind);

/* Readers of values; f gives limits. The C type they write is in the comment. */
typedef int field_read(struct reader *r, const struct toml_node *n, const struct field *f,
                       void *ret);
field_read read_ignore;         /* nothing; checked elsewhere */
field_read read_schema_version; /* nothing; must be 1 */
field_read read_name;           /* struct mk_str */
field_read read_text;           /* struct mk_str, f->max bytes */
field_read read_id;             /* struct mk_id, not zero */
field_read read_opt_id;         /* struct mk_opt_id */
field_read read_network;        /* struct mk_opt_id; text goes through id() */
field_read read_opt_peer;       /* struct mk_opt_peer */
field_read read_u8;             /* uint8_t, f->min to f->max; so with the next ones */
field_read read_u16;
field_read read_u32;
field_read read_u64;
field_read read_bps;          /* uint16_t: 0 to 1, at most four decimals */
field_read read_hex;          /* struct mk_bytes, f->min to f->max bytes */
field_read read_member_id;    /* struct mk_member_id */
field_read read_b32;          /* struct mk_b32 */
field_read read_b48;          /* struct mk_b48 */
field_read read_opt_b48;      /* struct mk_opt_b48 */
field_read read_measurements; /* struct mk_opt_measurements */
field_read read_committee;    /* struct coa_contacts, sorted, 1 to 15 */
field_read read_contacts;     /* struct coa_contacts, in order */
field_read read_acl;          /* struct mk_acl_composition, by r->own */
field_read read_publish;      /* struct coa_publish */
field_read read_attest;       /* into a struct coa_node_file */

/** An array of ids, sorted here, distinct, not empty. */
int read_id_set(struct reader *r, const struct toml_node *n, size_t limit, struct mk_id **ret,
                size_t *ret_n);

/** The keys that may stand beside any component, for a struct with a member `notes`. */
#define NOTES_FIELDS(S)                                                                    \
    {"operator", read_opt_peer, offsetof(S, notes.operator), false, 0, 0},                 \
        {"committee", read_committee, offsetof(S, notes.committee), false, 0, 0},          \
        {"handshake", read_text, offsetof(S, notes.handshake), false, 1, 2048},            \
        {"description", read_text, offsetof(S, notes.description), false, 1, 65536},       \
        {"measurements", read_measurements, offsetof(S, notes.measurements), false, 0, 0}, \
        {"state_machine", read_text, offsetof(S, notes.state_machine), false, 1, 65536},   \
        {"ticket_root", read_opt_id, offsetof(S, notes.ticket_root), false, 0, 0},         \
        {"operator_name", read_text, offsetof(S, notes.operator_name), false, 1, 2048},    \
        {"failure_policy", read_text, offsetof(S, notes.failure_policy), false, 1, 65536}, \
    {                                                                                      \
        "retention", read_text, offsetof(S, notes.retention), false, 1, 65536              \
    }

extern const struct field measurements_fields[];
#define MEASUREMENTS_FIELDS 8u

/** Why a name deserves a warning (not NFC, mixed scripts), or NULL. */
const char *coa_name_warning(struct mk_str name);

#endif
