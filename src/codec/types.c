/* types.c - the descriptors of the basic tokens of datum.h. */
#include <mosaik/datum.h>

#define BASIC(T, K) const struct mk_type T##_type = {.kind = K, .size = sizeof(T##_d)};

BASIC(mk_u8, MK_KIND_U8)
BASIC(mk_u16, MK_KIND_U16)
BASIC(mk_u32, MK_KIND_U32)
BASIC(mk_u64, MK_KIND_U64)
BASIC(mk_u128, MK_KIND_U128)
BASIC(mk_i8, MK_KIND_I8)
BASIC(mk_i16, MK_KIND_I16)
BASIC(mk_i32, MK_KIND_I32)
BASIC(mk_i64, MK_KIND_I64)
BASIC(mk_i128, MK_KIND_I128)
BASIC(mk_bool, MK_KIND_BOOL)
BASIC(mk_f32, MK_KIND_F32)
BASIC(mk_f64, MK_KIND_F64)
BASIC(mk_id, MK_KIND_ID)
BASIC(mk_peer, MK_KIND_PEER)
BASIC(mk_signature, MK_KIND_ARRAY)
BASIC(mk_member_id, MK_KIND_ARRAY)
BASIC(mk_b48, MK_KIND_ARRAY)
BASIC(mk_b32, MK_KIND_ARRAY)
BASIC(mk_b16, MK_KIND_ARRAY)

const struct mk_type mk_unit_type = {
    .kind = MK_KIND_STRUCT, .name = "", .size = sizeof(struct mk_unit)};

MK_TEXT_DEFINE(mk_text, MK_TEXT_MAX, 0)
MK_TEXT_DEFINE(mk_name, MK_NAME_MAX, MK_TEXT_NAME)
MK_BLOB_DEFINE(mk_blob, MK_BLOB_MAX)

MK_OPTION_DEFINE(mk_opt_id, mk_id)
MK_OPTION_DEFINE(mk_opt_peer, mk_peer)
MK_OPTION_DEFINE(mk_opt_blob, mk_blob)
MK_OPTION_DEFINE(mk_opt_b48, mk_b48)
MK_SEQ_DEFINE(mk_ids, mk_id, 65536, 0)
