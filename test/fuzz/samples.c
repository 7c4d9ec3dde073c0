/* samples.c - types that hold every kind a table can, so that the codec is fuzzed whole
 * whatever the project's own types happen to use. */
#include <mosaik/datum.h>

#define SAMPLE_CHOICE_TABLE(F, S)   \
    F(S, None, 0, mk_unit, none)    \
    F(S, Number, 1, mk_i64, number) \
    F(S, Name, 300, mk_name, name)  \
    F(S, Wide, 70000, mk_i128, wide)
MK_ENUM_DECLARE(sample_choice, SAMPLE_CHOICE_TABLE)
MK_ENUM_DEFINE(sample_choice, "Choice", SAMPLE_CHOICE_TABLE)

MK_SEQ_DECLARE(sample_choices, sample_choice)
MK_SEQ_DEFINE(sample_choices, sample_choice, 9, MK_SEQ_SORTED)
MK_SEQ_DECLARE(sample_names, mk_text)
MK_SEQ_DEFINE(sample_names, mk_text, 5, MK_SEQ_NONEMPTY)
MK_OPTION_DECLARE(sample_maybe, sample_names)
MK_OPTION_DEFINE(sample_maybe, sample_names)
MK_BLOB_DECLARE(sample_blob)
MK_BLOB_DEFINE(sample_blob, 200)

#define SAMPLE_SMALL_TABLE(F, S) \
    F(S, mk_u8, a)               \
    F(S, mk_i8, b)               \
    F(S, mk_bool, c)
MK_STRUCT_DECLARE(sample_small, SAMPLE_SMALL_TABLE)
MK_STRUCT_DEFINE(sample_small, "Small", SAMPLE_SMALL_TABLE)
MK_SEQ_DECLARE(sample_smalls, sample_small)
MK_SEQ_DEFINE(sample_smalls, sample_small, 300, MK_SEQ_SORTED | MK_SEQ_NONEMPTY)
MK_SEQ_DECLARE(sample_keyed, sample_small)
MK_SEQ_DEFINE(sample_keyed, sample_small, 20, MK_SEQ_KEYED)

#define SAMPLE_NUMBERS_TABLE(F, S) \
    F(S, mk_u16, u16)              \
    F(S, mk_u32, u32)              \
    F(S, mk_u64, u64)              \
    F(S, mk_u128, u128)            \
    F(S, mk_i16, i16)              \
    F(S, mk_i32, i32)              \
    F(S, mk_i64, i64)              \
    F(S, mk_i128, i128)            \
    F(S, mk_f32, f32)              \
    F(S, mk_f64, f64)
MK_STRUCT_DECLARE(sample_numbers, SAMPLE_NUMBERS_TABLE)
MK_STRUCT_DEFINE(sample_numbers, "Numbers", SAMPLE_NUMBERS_TABLE)

#define SAMPLE_ALL_TABLE(F, S)    \
    F(S, mk_id, id)               \
    F(S, mk_peer, peer)           \
    F(S, mk_signature, signature) \
    F(S, mk_member_id, member)    \
    F(S, mk_b48, b48)             \
    F(S, mk_b16, b16)             \
    F(S, mk_blob, blob)           \
    F(S, sample_blob, short_blob) \
    F(S, mk_opt_b48, opt)         \
    F(S, sample_maybe, maybe)     \
    F(S, sample_choices, choices) \
    F(S, sample_smalls, smalls)   \
    F(S, sample_keyed, keyed)     \
    F(S, mk_ids, ids)             \
    F(S, sample_numbers, numbers)
MK_STRUCT_DECLARE(sample_all, SAMPLE_ALL_TABLE)
MK_STRUCT_DEFINE(sample_all, "All", SAMPLE_ALL_TABLE)
