/* standing.c - following the organisms that clauses name (mosaik/standing.h).
 *
 * A bond and two maps an organism, opened when a clause first asks. Until the map is there the
 * answer is "not at hand yet", and the judgement is put off; when the organism cannot be
 * reached, members that were certified before still count until their cards end. */
#include "node/network.h"

#include <mosaik/map.h>
#include <mosaik/standing.h>

#define ORGANISMS_MAX 64u

struct organism {
    struct mk_id stable_id;
    struct mk_bond *bond;
    struct mk_map *maps[2]; /* by enum mk_card; NULL: nobody asked */
};

struct mk_standings {
    struct mk_standing standing;
    struct organism v[ORGANISMS_MAX];
    unsigned n;
};

static struct organism *find(struct mk_standings *s, const struct mk_id *stable_id)
{
    for (unsigned i = 0; i < s->n; i++)
        if (mk_id_eq(&s->v[i].stable_id, stable_id))
            return &s->v[i];
    return NULL;
}

static int card(struct mk_standing *base, const struct mk_id *stable_id, enum mk_card kind,
                const struct mk_peer *peer, struct mk_bytes *ret, struct mk_fault *reterr)
{
    struct mk_standings *s = mk_container_of(base, struct mk_standings, standing);
    struct organism *o = find(s, stable_id);
    char hex[MK_ID_HEX];

    if (o == NULL)
        return mk_fault(reterr, MK_EREFUSED, "the organism %.16s is none that this node follows",
                        mk_id_hex(stable_id, hex));
    if (o->maps[kind] == NULL)
        mk_map_open(o->bond, &o->maps[kind],
                    kind == MK_CARD_SCORE ? &mk_scores_spec : &mk_settlements_spec, NULL, NULL);
    if (!mk_map_synced(o->maps[kind]))
        return mk_fault(reterr, MK_EUNREACHABLE, "nothing that %.*s certified is at hand yet",
                        (int)o->bond->reference.label.n, o->bond->reference.label.p);
    return mk_map_read(o->maps[kind], MK_BYTES(peer->b, sizeof peer->b), ret);
}

struct mk_standings *mk_standings_new(void)
{
    struct mk_standings *s = mk_alloc(sizeof *s);

    s->standing.card = card;
    return s;
}

int mk_network_follow(struct mk_network *n, const struct mk_reference *organism,
                      struct mk_fault *reterr)
{
    struct mk_standings *s = n->standings;
    struct organism *o = &s->v[s->n];
    int rv;

    if (find(s, &organism->stable_id) != NULL)
        return 0;
    if (s->n == ORGANISMS_MAX)
        return mk_fault(reterr, MK_ELIMIT, "more than %u organisms are to be followed",
                        ORGANISMS_MAX);
    rv = mk_bond_open(n, &o->bond, organism, reterr);
    if (rv != 0)
        return rv;
    o->stable_id = organism->stable_id;
    s->n++;
    return 0;
}

struct mk_standing *mk_standings_standing(struct mk_standings *s)
{
    return &s->standing;
}

struct mk_standing *mk_network_standing(struct mk_network *n)
{
    return &n->standings->standing;
}

void mk_standings_free(struct mk_standings *s)
{
    if (s == NULL)
        return;
    for (unsigned i = 0; i < s->n; i++) {
        mk_map_close(s->v[i].maps[0]);
        mk_map_close(s->v[i].maps[1]);
        mk_bond_close(s->v[i].bond);
    }
    mk_free(s);
}
