/* standing.c - the clauses that rest on another component's cards (mosaik/standing.h). */
#include "tickets/standing.h"

#include "tickets/times.h"
#include <mosaik/standing.h>

MK_STRUCT_DEFINE(mk_score, "Score", MK_SCORE_TABLE)
MK_STRUCT_DEFINE(mk_settlement, "Settlement", MK_SETTLEMENT_TABLE)

const struct mk_surface_spec mk_scores_spec = {
    .kind = MK_SURFACE_MAP, .name = "scores", .key = &mk_peer_type, .value = &mk_score_type};
const struct mk_surface_spec mk_settlements_spec = {.kind = MK_SURFACE_MAP,
                                                    .name = "settlements",
                                                    .key = &mk_peer_type,
                                                    .value = &mk_settlement_type};

/* The certified card, decoded. */
static int card_of(const struct mk_gate *g, const struct mk_id *organism, enum mk_card kind,
                   const struct mk_peer *peer, const struct mk_type *type, void *ret,
                   bool *ret_pending, struct mk_fault *reterr)
{
    struct mk_arena arena = {0};
    struct mk_bytes bytes;
    int rv;

    if (g->standing == NULL)
        return mk_fault(reterr, MK_EREFUSED, "this node follows no organism's cards");
    rv = g->standing->card(g->standing, organism, kind, peer, &bytes, reterr);
    *ret_pending = rv == MK_EUNREACHABLE;
    if (rv == MK_ENOTFOUND)
        return mk_fault(reterr, MK_EREFUSED, "the peer has no card there");
    if (rv != 0)
        return MK_EREFUSED; /* reterr says why */
    rv = mk_decode(ret, type, bytes, &arena, NULL);
    mk_arena_done(&arena);
    return rv == 0 ? 0 : mk_fault(reterr, MK_EREFUSED, "the peer's card there is malformed");
}

static int still_counts(uint64_t valid_until_ms, uint64_t now_ms, uint64_t *end,
                        struct mk_fault *reterr)
{
    uint64_t again = now_ms + MK_STANDING_AGAIN_MS;
    char text[32];

    if (valid_until_ms <= now_ms)
        return mk_fault(reterr, MK_EREFUSED, "the peer's card there ended at %s",
                        mk_ticket_utc(valid_until_ms / 1000, text));
    *end = valid_until_ms < again ? valid_until_ms : again;
    return 0;
}

int mk_standing_reputation(const struct mk_gate *g, const struct mk_clause_reputation *clause,
                           const struct mk_peer *peer, uint64_t now_ms, uint64_t *end,
                           bool *ret_pending, struct mk_fault *reterr)
{
    struct mk_score s;
    int rv =
        card_of(g, &clause->organism, MK_CARD_SCORE, peer, &mk_score_type, &s, ret_pending, reterr);

    if (rv == 0)
        rv = still_counts(s.valid_until_ms, now_ms, end, reterr);
    if (rv == 0 && s.score_bps < clause->floor_bps)
        rv =
            mk_fault(reterr, MK_EREFUSED, "the peer's score there is %u basis points, %u are asked",
                     s.score_bps, clause->floor_bps);
    return rv;
}

int mk_standing_settlement(const struct mk_gate *g, const struct mk_clause_organism *clause,
                           const struct mk_peer *peer, uint64_t now_ms, uint64_t *end,
                           bool *ret_pending, struct mk_fault *reterr)
{
    struct mk_settlement s;
    int rv = card_of(g, &clause->organism, MK_CARD_SETTLEMENT, peer, &mk_settlement_type, &s,
                     ret_pending, reterr);

    if (rv == 0 && mk_id_is_zero(&s.evidence))
        rv = mk_fault(reterr, MK_EREFUSED, "the peer's settlement there names no evidence");
    return rv == 0 ? still_counts(s.valid_until_ms, now_ms, end, reterr) : rv;
}
