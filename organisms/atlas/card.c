/* card.c - the shapes of Atlas, and the two signatures in them. */
#include "atlas/atlas.h"
#include "atlas/internal.h"

#include <string.h>

MK_TEXT_DEFINE(atlas_hint, ATLAS_HINT_MAX, 0)
MK_SEQ_DEFINE(atlas_hints, atlas_hint, ATLAS_HINTS_MAX, 0)
MK_ENUM_DEFINE(atlas_status, "Status", ATLAS_STATUS_TABLE)
MK_STRUCT_DEFINE(atlas_card, "MemberCard", ATLAS_CARD_TABLE)
MK_STRUCT_DEFINE(atlas_set_operator, "SetOperator", ATLAS_SET_OPERATOR_TABLE)
MK_ENUM_DEFINE(atlas_command, "AtlasCommand", ATLAS_COMMAND_TABLE)

/** tag || module_id || encoding without the signature, which is the last field of both shapes. */
static void signed_bytes(struct mk_buf *out, const char *tag, const struct mk_id *module_id,
                         const struct mk_type *t, const void *value)
{
    mk_buf_put_str(out, tag);
    mk_buf_put(out, module_id->b, sizeof module_id->b);
    mk_encode(out, t, value);
    out->n -= sizeof(struct mk_signature);
}

static int verify(const char *tag, const struct mk_id *module_id, const struct mk_type *t,
                  const void *value, const struct mk_peer *by, const struct mk_signature *signature)
{
    struct mk_buf b = {0};
    int rv;

    signed_bytes(&b, tag, module_id, t, value);
    rv = mk_verify(by, mk_buf_bytes(&b), signature);
    mk_buf_done(&b);
    return rv;
}

void atlas_card_sign(struct atlas_card *card, const struct mk_id *module_id,
                     const struct mk_key *operator_)
{
    struct mk_buf b = {0};

    card->operator= operator_->peer;
    signed_bytes(&b, "atlas.card.v1", module_id, &atlas_card_type, card);
    mk_sign(operator_, mk_buf_bytes(&b), &card->signature);
    mk_buf_done(&b);
}

int atlas_card_verify(const struct atlas_card *card, const struct mk_id *module_id)
{
    return verify("atlas.card.v1", module_id, &atlas_card_type, card,
                  &card->operator, & card->signature);
}

void atlas_set_operator_sign(struct atlas_set_operator *s, const struct mk_id *module_id,
                             const struct mk_key *before)
{
    struct mk_buf b = {0};

    signed_bytes(&b, "atlas.operator.v1", module_id, &atlas_set_operator_type, s);
    mk_sign(before, mk_buf_bytes(&b), &s->signature);
    mk_buf_done(&b);
}

int atlas_set_operator_verify(const struct atlas_set_operator *s, const struct mk_id *module_id,
                              const struct mk_peer *before)
{
    return verify("atlas.operator.v1", module_id, &atlas_set_operator_type, s, before,
                  &s->signature);
}
