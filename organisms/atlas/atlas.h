/* atlas.h - Atlas, the coalition's directory: Map<MemberId, MemberCard>, surface `cards`
 * (spec/services.md, "Atlas").
 *
 * Each referenced member's operator publishes a signed card; the machine accepts
 * what the rules below allow and nothing else. A card is advice: being listed gives a
 * member nothing, being absent takes nothing away. */
#ifndef ORGANISMS_ATLAS_H
#define ORGANISMS_ATLAS_H

#include <coalition/modules.h>
#include <mosaik/machine.h>
#include <mosaik/map.h>

#define ATLAS_HINTS_MAX 16u /* endpoint hints of a card */
#define ATLAS_HINT_MAX 256u /* bytes of one */
#define ATLAS_VERSION_STEP_MAX (1ull << 32)
#define ATLAS_SUCCESSOR_HOPS_MAX 16u

/* --- the card ---------------------------------------------------------------------- */

MK_TEXT_DECLARE(atlas_hint)
MK_SEQ_DECLARE(atlas_hints, atlas_hint)

#define ATLAS_STATUS_TABLE(F, S)         \
    F(S, Active, 0, mk_unit, active)     \
    F(S, Retiring, 1, mk_unit, retiring) \
    F(S, Retired, 2, mk_unit, retired)
MK_ENUM_DECLARE(atlas_status, ATLAS_STATUS_TABLE)

#define ATLAS_CARD_TABLE(F, S)              \
    F(S, mk_member_id, member_id)           \
    F(S, mk_id, stable_id)                  \
    F(S, mk_u8, kind)                       \
    F(S, mk_name, role)                     \
    F(S, mk_opt_id, content_hash)           \
    F(S, atlas_hints, endpoint_hints)       \
    F(S, mk_opt_id, ticket_root)            \
    F(S, mk_opt_measurements, measurements) \
    F(S, mk_opt_id, successor_hint)         \
    F(S, atlas_status, status)              \
    F(S, mk_u64, version)                   \
    F(S, mk_peer, operator)                 \
    F(S, mk_signature, signature)
MK_STRUCT_DECLARE(atlas_card, ATLAS_CARD_TABLE)

/** Fills card->operator and card->signature: ed25519 over "atlas.card.v1" || module_id ||
 * encoding without the signature. */
void atlas_card_sign(struct atlas_card *card, const struct mk_id *module_id,
                     const struct mk_key *operator_);
int atlas_card_verify(const struct atlas_card *card, const struct mk_id *module_id);

/* --- commands -------------------------------------------------------------------------- */

#define ATLAS_SET_OPERATOR_TABLE(F, S) \
    F(S, mk_id, member)                \
    F(S, mk_peer, operator)            \
    F(S, mk_u64, version)              \
    F(S, mk_signature, signature)
MK_STRUCT_DECLARE(atlas_set_operator, ATLAS_SET_OPERATOR_TABLE)

#define ATLAS_COMMAND_TABLE(F, S)         \
    F(S, Publish, 0, atlas_card, publish) \
    F(S, SetOperator, 1, atlas_set_operator, set_operator)
MK_ENUM_DECLARE(atlas_command, ATLAS_COMMAND_TABLE)

/** Fills the signature, by the operator before (or the default one): over "atlas.operator.v1" ||
 * module_id || encoding without the signature. */
void atlas_set_operator_sign(struct atlas_set_operator *s, const struct mk_id *module_id,
                             const struct mk_key *before);

/* --- running it --------------------------------------------------------------------------- */

/** Surface number 0. */
extern const struct mk_surface_spec atlas_surfaces[1];

/** The machine for a module's content (pc(AtlasContent), copied). Freed by its group.
 * MK_EMALFORMED. */
int atlas_machine_new(struct mk_machine **ret, struct mk_bytes content, struct mk_fault *reterr);

/* --- reading it ------------------------------------------------------------------------------ */

/** Follows the cards; see map.h for cbs (may be NULL). */
int atlas_read(struct mk_bond *b, struct mk_map **ret, const struct mk_map_cbs *cbs, void *owner);
/** The card of a member in a followed map; lent from arena and the map. MK_ENOTFOUND. */
int atlas_card_of(const struct mk_map *m, const struct mk_member_id *member, struct atlas_card *ret,
                  struct mk_arena *arena);
/** Iterates the cards in the order of H(key); *cursor zero first. */
bool atlas_next(const struct mk_map *m, struct mk_id *cursor, struct atlas_card *ret,
                struct mk_arena *arena);
/** One card by a proof, without following; blocks. MK_ENOTFOUND is proven absence. */
int atlas_get_wait(struct mk_bond *b, const struct mk_member_id *member, uint64_t max_age_ms,
                   uint32_t timeout_ms, struct atlas_card *ret, struct mk_arena *arena,
                   struct mk_fault *reterr);
/** Follows successor hints from a member to the last; at most 16 hops. MK_ELIMIT; MK_ECONFLICT: a
 * loop. The last hint may lie outside the catalogue: then *ret_stable_id is it and MK_ENOTFOUND is
 * returned. */
int atlas_successor(const struct mk_map *m, const struct mk_id *stable_id,
                    struct mk_id *ret_stable_id, struct mk_fault *reterr);
/** Publishes a signed card; certified; blocks. MK_EREFUSED with the rule; MK_ESTALE: the
 * stored card's version is as high, read it again. */
int atlas_publish_wait(struct mk_bond *b, const struct atlas_card *card, uint32_t timeout_ms,
                       struct mk_fault *reterr);

#endif /* ORGANISMS_ATLAS_H */
