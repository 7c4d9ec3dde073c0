/* handle.c - Atlas from outside: reading cards, following successors, publishing. */
#include "atlas/atlas.h"

int atlas_read(struct mk_bond *b, struct mk_map **ret, const struct mk_map_cbs *cbs, void *owner)
{
    return mk_map_open(b, ret, &atlas_surfaces[0], cbs, owner);
}

int atlas_card_of(const struct mk_map *m, const struct mk_member_id *member, struct atlas_card *ret,
                  struct mk_arena *arena)
{
    struct mk_bytes value;
    int rv = mk_map_read(m, MK_BYTES(member->b, sizeof member->b), &value);

    return rv != 0 ? rv : mk_decode(ret, &atlas_card_type, value, arena, NULL);
}

bool atlas_next(const struct mk_map *m, struct mk_id *cursor, struct atlas_card *ret,
                struct mk_arena *arena)
{
    struct mk_bytes key, value;

    return mk_map_each(m, cursor, &key, &value) &&
           mk_decode(ret, &atlas_card_type, value, arena, NULL) == 0;
}

int atlas_get_wait(struct mk_bond *b, const struct mk_member_id *member, uint64_t max_age_ms,
                   uint32_t timeout_ms, struct atlas_card *ret, struct mk_arena *arena,
                   struct mk_fault *reterr)
{
    struct mk_bytes value;
    int rv = mk_map_lookup_wait(b, &atlas_surfaces[0], MK_BYTES(member->b, sizeof member->b),
                                max_age_ms, timeout_ms, &value, arena, reterr);

    return rv != 0 ? rv : mk_decode(ret, &atlas_card_type, value, arena, reterr);
}

int atlas_successor(const struct mk_map *m, const struct mk_id *stable_id,
                    struct mk_id *ret_stable_id, struct mk_fault *reterr)
{
    struct mk_id path[ATLAS_SUCCESSOR_HOPS_MAX + 1];
    struct mk_arena arena = {0};
    struct atlas_card card;
    unsigned hops = 0;
    int rv = 0;

    path[0] = *stable_id;
    for (;;) {
        struct mk_member_id member = mk_member_id_of(&path[hops]);

        rv = atlas_card_of(m, &member, &card, &arena);
        if (rv != 0 || !card.successor_hint.some)
            break;
        if (hops == ATLAS_SUCCESSOR_HOPS_MAX) {
            rv = mk_fault(reterr, MK_ELIMIT, "more than %u successors in a row",
                          ATLAS_SUCCESSOR_HOPS_MAX);
            goto out;
        }
        path[++hops] = card.successor_hint.v;
        for (unsigned i = 0; i < hops; i++) {
            if (mk_id_eq(&path[i], &path[hops])) {
                rv = mk_fault(reterr, MK_ECONFLICT, "the successor hints form a loop");
                goto out;
            }
        }
    }
    *ret_stable_id = path[hops];
out:
    mk_arena_done(&arena);
    return rv;
}

int atlas_publish_wait(struct mk_bond *b, const struct atlas_card *card, uint32_t timeout_ms,
                       struct mk_fault *reterr)
{
    struct atlas_command c = {.tag = atlas_command_Publish, .u.publish = *card};
    struct mk_buf command = {0};
    int rv;

    mk_encode(&command, &atlas_command_type, &c);
    rv = mk_execute_wait(b, NULL, mk_buf_bytes(&command), MK_STEP_CERTIFIED, timeout_ms, NULL,
                         reterr);
    mk_buf_done(&command);
    return rv;
}
