/* datum.h - the datum encoding (spec/identity.md): one table a type.
 *
 * A type is declared once, by a table; struct, encoder, decoder, JSON printer,
 * layout text, schema digest and fuzz target come out of it:
 *
 *     #define MK_HEAD_TABLE(F, S)     \
 *         F(S, mk_id, deployment)     \
 *         F(S, mk_u64, epoch)         \
 *         F(S, mk_id, surface)
 *     MK_STRUCT_DECLARE(mk_head, MK_HEAD_TABLE)          in the header
 *     MK_STRUCT_DEFINE(mk_head, "Head", MK_HEAD_TABLE)   in one .c
 *
 * Reading a table: what the compiler sees of the one above is
 *
 *     struct mk_head {             F(S, mk_u64, epoch) is a field: its token, its name
 *         struct mk_id deployment;
 *         uint64_t epoch;
 *         struct mk_id surface;
 *     };
 *
 * and of an enum, F(S, Insert, 0, mk_map_insert_op, insert): a variant, its number on the wire,
 * what it carries (mk_unit: nothing), and where: .tag == mk_map_op_Insert, then .u.insert.
 *
 * For a token X of a table, X_d is its C type and X_type its descriptor.
 * Tokens: mk_u8 mk_u16 mk_u32 mk_u64 mk_u128 mk_i8 ... mk_i128 mk_bool mk_f32
 * mk_f64 mk_text and mk_name (str) mk_blob (bytes) mk_id mk_peer mk_signature
 * mk_member_id mk_b48 mk_b32 mk_b16, and whatever the macros below declare.
 *
 * Decoded str, bytes and seq items are lent: strings and bytes point into the
 * input, items into the arena. A decoder rejects everything the specification
 * lists; for each accepted input encode(decode(x)) = x. Its allocation is
 * bounded by the input's length times a constant, and by each seq's limit. */
#ifndef MOSAIK_DATUM_H
#define MOSAIK_DATUM_H

#include <mosaik/bytes.h>
#include <mosaik/error.h>
#include <mosaik/id.h>

enum mk_kind {
    MK_KIND_U8,
    MK_KIND_U16,
    MK_KIND_U32,
    MK_KIND_U64,
    MK_KIND_U128,
    MK_KIND_I8,
    MK_KIND_I16,
    MK_KIND_I32,
    MK_KIND_I64,
    MK_KIND_I128,
    MK_KIND_BOOL,
    MK_KIND_F32,
    MK_KIND_F64,
    MK_KIND_STR,    /* struct mk_str, limit bytes */
    MK_KIND_BYTES,  /* struct mk_bytes, limit bytes */
    MK_KIND_ID,     /* struct mk_id */
    MK_KIND_PEER,   /* struct mk_peer */
    MK_KIND_ARRAY,  /* size raw bytes, layout [size]u8 */
    MK_KIND_OPTION, /* struct { bool some; T v; } */
    MK_KIND_SEQ,    /* struct { const T *v; size_t n; }, limit items */
    MK_KIND_STRUCT,
    MK_KIND_ENUM, /* struct { uint32_t tag; union {...} u; } */
};

#define MK_SEQ_SORTED 1u /* by pc of the item, bytewise; implies distinct */
#define MK_SEQ_NONEMPTY 2u
#define MK_TEXT_NAME 4u /* 1..128 bytes, no controls, no '|' (a name, role, tag, ...) */
#define MK_SEQ_KEYED 8u /* items are structs, sorted by pc of their first field: distinct keys */

struct mk_type;

struct mk_field {
    const char *name;
    const struct mk_type *type; /* &mk_unit_type for an enum variant without payload */
    size_t offset;
    uint32_t tag; /* of an enum variant */
};

struct mk_type {
    enum mk_kind kind;
    const char *name;              /* struct and enum: the name in a layout */
    size_t size;                   /* of the C type */
    const struct mk_type *inner;   /* option, seq */
    size_t offset;                 /* option: of v */
    size_t limit;                  /* str, bytes: bytes; seq: items */
    unsigned flags;                /* MK_SEQ_*, MK_TEXT_* */
    const struct mk_field *fields; /* struct: fields; enum: variants */
    size_t n_fields;
};

#define MK_TEXT_MAX 65536u
#define MK_NAME_MAX 128u
#define MK_BLOB_MAX (1u << 20)

typedef uint8_t mk_u8_d;
typedef uint16_t mk_u16_d;
typedef uint32_t mk_u32_d;
typedef uint64_t mk_u64_d;
__extension__ typedef unsigned __int128 mk_u128_d;
typedef int8_t mk_i8_d;
typedef int16_t mk_i16_d;
typedef int32_t mk_i32_d;
typedef int64_t mk_i64_d;
__extension__ typedef __int128 mk_i128_d;
typedef bool mk_bool_d;
typedef float mk_f32_d;
typedef double mk_f64_d;
typedef struct mk_str mk_text_d;   /* up to MK_TEXT_MAX bytes */
typedef struct mk_str mk_name_d;   /* MK_TEXT_NAME */
typedef struct mk_bytes mk_blob_d; /* up to MK_BLOB_MAX bytes */
typedef struct mk_id mk_id_d;
typedef struct mk_peer mk_peer_d;
typedef struct mk_signature mk_signature_d;
typedef struct mk_member_id mk_member_id_d;
struct mk_b48 {
    uint8_t b[48];
};
struct mk_b32 { /* 32 bytes that are not an id: a Merkle root, a beacon value */
    uint8_t b[32];
};
struct mk_b16 {
    uint8_t b[16];
};
typedef struct mk_b48 mk_b48_d;
typedef struct mk_b32 mk_b32_d;
typedef struct mk_b16 mk_b16_d;

extern const struct mk_type mk_u8_type, mk_u16_type, mk_u32_type, mk_u64_type, mk_u128_type,
    mk_i8_type, mk_i16_type, mk_i32_type, mk_i64_type, mk_i128_type, mk_bool_type, mk_f32_type,
    mk_f64_type, mk_text_type, mk_name_type, mk_blob_type, mk_id_type, mk_peer_type,
    mk_signature_type, mk_member_id_type, mk_b48_type, mk_b32_type, mk_b16_type;

/** An enum variant without payload. */
struct mk_unit {
    uint8_t none;
};
typedef struct mk_unit mk_unit_d;
extern const struct mk_type mk_unit_type;

/* --- declaring types ------------------------------------------------------ */

/* Struct: TABLE(F, S) lists F(S, token, field). */
#define MK_FIELD_C_(S, T, field) T##_d field;
#define MK_FIELD_T_(S, T, field) {#field, &T##_type, offsetof(struct S, field), 0},
#define MK_STRUCT_DECLARE(T, TABLE) \
    struct T {                      \
        TABLE(MK_FIELD_C_, T)       \
    };                              \
    typedef struct T T##_d;         \
    extern const struct mk_type T##_type;
#define MK_STRUCT_DEFINE(T, NAME, TABLE)                                  \
    static const struct mk_field T##_fields_[] = {TABLE(MK_FIELD_T_, T)}; \
    const struct mk_type T##_type = {.kind = MK_KIND_STRUCT,              \
                                     .name = NAME,                        \
                                     .size = sizeof(struct T),            \
                                     .fields = T##_fields_,               \
                                     .n_fields = sizeof T##_fields_ / sizeof T##_fields_[0]};

/* Enum: TABLE(F, S) lists F(S, Variant, number, token or mk_unit, member of u).
 * Constants are S_Variant, as in mk_map_op_Insert; payloads, which are structs,
 * are in .u.member. */
#define MK_VARIANT_N_(S, V, number, T, member) S##_##V = number,
#define MK_VARIANT_C_(S, V, number, T, member) T##_d member;
#define MK_VARIANT_T_(S, V, number, T, member) \
    {#V, &T##_type, offsetof(struct S, u.member), number},
#define MK_ENUM_DECLARE(T, TABLE)          \
    enum T##_tag{TABLE(MK_VARIANT_N_, T)}; \
    struct T {                             \
        uint32_t tag;                      \
        union {                            \
            TABLE(MK_VARIANT_C_, T)        \
        } u;                               \
    };                                     \
    typedef struct T T##_d;                \
    extern const struct mk_type T##_type;
#define MK_ENUM_DEFINE(T, NAME, TABLE)                                      \
    static const struct mk_field T##_fields_[] = {TABLE(MK_VARIANT_T_, T)}; \
    const struct mk_type T##_type = {.kind = MK_KIND_ENUM,                  \
                                     .name = NAME,                          \
                                     .size = sizeof(struct T),              \
                                     .fields = T##_fields_,                 \
                                     .n_fields = sizeof T##_fields_ / sizeof T##_fields_[0]};

/* Option and seq of a token; bytes and text with another limit. */
#define MK_OPTION_DECLARE(T, INNER) \
    struct T {                      \
        bool some;                  \
        INNER##_d v;                \
    };                              \
    typedef struct T T##_d;         \
    extern const struct mk_type T##_type;
#define MK_OPTION_DEFINE(T, INNER)                             \
    const struct mk_type T##_type = {.kind = MK_KIND_OPTION,   \
                                     .size = sizeof(struct T), \
                                     .inner = &INNER##_type,   \
                                     .offset = offsetof(struct T, v)};
#define MK_SEQ_DECLARE(T, INNER) \
    struct T {                   \
        const INNER##_d *v;      \
        size_t n;                \
    };                           \
    typedef struct T T##_d;      \
    extern const struct mk_type T##_type;
#define MK_SEQ_DEFINE(T, INNER, LIMIT, FLAGS)                  \
    const struct mk_type T##_type = {.kind = MK_KIND_SEQ,      \
                                     .size = sizeof(struct T), \
                                     .inner = &INNER##_type,   \
                                     .limit = (LIMIT),         \
                                     .flags = (FLAGS)};
#define MK_TEXT_DECLARE(T)       \
    typedef struct mk_str T##_d; \
    extern const struct mk_type T##_type;
#define MK_TEXT_DEFINE(T, LIMIT, FLAGS) \
    const struct mk_type T##_type = {   \
        .kind = MK_KIND_STR, .size = sizeof(struct mk_str), .limit = (LIMIT), .flags = (FLAGS)};
#define MK_BLOB_DECLARE(T)         \
    typedef struct mk_bytes T##_d; \
    extern const struct mk_type T##_type;
#define MK_BLOB_DEFINE(T, LIMIT)      \
    const struct mk_type T##_type = { \
        .kind = MK_KIND_BYTES, .size = sizeof(struct mk_bytes), .limit = (LIMIT)};

/* Common ones. */
MK_OPTION_DECLARE(mk_opt_id, mk_id)
MK_OPTION_DECLARE(mk_opt_peer, mk_peer)
MK_OPTION_DECLARE(mk_opt_blob, mk_blob)
MK_OPTION_DECLARE(mk_opt_b48, mk_b48)
MK_SEQ_DECLARE(mk_ids, mk_id) /* up to 65536, any order */

/* --- using types ---------------------------------------------------------- */

/** Appends pc(*value). The value must be well formed (a program's own values
 * are): asserts on unknown enum tags, checks nothing else. */
void mk_encode(struct mk_buf *out, const struct mk_type *t, const void *value);
/** The length of pc(*value), without encoding. */
size_t mk_encoded_len(const struct mk_type *t, const void *value);

/** Decodes all of in into *ret. Strings and bytes are lent from in; items from
 * arena, which may be NULL for a type that has no sequence in it. MK_EMALFORMED, with the offset,
 * field and rule in reterr, for every input that the specification rejects; MK_ELIMIT for a named
 * limit. */
int mk_decode(void *ret, const struct mk_type *t, struct mk_bytes in, struct mk_arena *arena,
              struct mk_fault *reterr);

/** Checks a value that did not come through mk_decode (a config from a file or
 * compiled in): limits, sortedness, names, UTF-8. */
int mk_validate(const struct mk_type *t, const void *value, struct mk_fault *reterr);

/** One JSON value: ids and bytes as hex strings, 128-bit integers and those
 * above 2^53 as decimal strings, options as null, enums as "Variant" or
 * {"Variant": payload}. */
void mk_print_json(struct mk_buf *out, const struct mk_type *t, const void *value);
/** Valid UTF-8 as a JSON string, quotes included. */
void mk_print_json_str(struct mk_buf *out, struct mk_str s);

/** The canonical layout text, and its hash. */
void mk_layout(struct mk_buf *out, const struct mk_type *t);
/** H of the layout. */
struct mk_id mk_schema_digest(const struct mk_type *t);
/** The digest of a surface of two types: H("K>V"). */
struct mk_id mk_schema_digest_pair(const struct mk_type *k, const struct mk_type *v);

/* --- wire pieces, for framings that are not a datum ----------------------- */

/** A latching reader: a failed read makes all later ones return zero; one
 * check of `failed` at the end decides. */
struct mk_reader {
    const uint8_t *p;
    size_t n;
    bool failed;
};
/** 0, and r->failed, past the end. */
uint8_t mk_read_u8(struct mk_reader *r);
uint32_t mk_read_u32le(struct mk_reader *r);
uint64_t mk_read_u64le(struct mk_reader *r);
uint64_t mk_read_varint(struct mk_reader *r);                 /* minimal LEB128, at most 64 bits */
struct mk_bytes mk_read_bytes(struct mk_reader *r, size_t n); /* lent */
void mk_put_varint(struct mk_buf *b, uint64_t v);

#endif /* MOSAIK_DATUM_H */
