/* types.c - see types.h. */
#include "types/types.h"

#include "atlas/atlas.h"
#include "price-feed/price_feed.h"
#include <mosaik/standing.h>

#include <string.h>

static const struct {
    const char *name;
    const struct mk_type *type;
} types[] = {{"bytes", &mk_blob_type},
             {"str", &mk_text_type},
             {"u64", &mk_u64_type},
             {"i64", &mk_i64_type},
             {"bool", &mk_bool_type},
             {"f64", &mk_f64_type},
             {"id", &mk_id_type},
             {"peer", &mk_peer_type},
             {"member_id", &mk_member_id_type},
             {"AtlasCard", &atlas_card_type},
             {"PriceTick", &price_tick_type},
             {"Score", &mk_score_type},
             {"Settlement", &mk_settlement_type}};
#define N_TYPES (sizeof types / sizeof types[0])

const struct mk_type *coalition_type_named(const char *name)
{
    for (size_t i = 0; i < N_TYPES; i++)
        if (name != NULL && strcmp(types[i].name, name) == 0)
            return types[i].type;
    return NULL;
}

const struct mk_type *coalition_type_at(size_t i)
{
    return i < N_TYPES ? types[i].type : NULL;
}
