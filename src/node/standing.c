/* standing.c - following the organisms that clauses name (mosaik/standing.h).
 *
 * A bond and two maps an organism, opened when a clause first asks. Until the map is there the
 * answer is "not at hand yet", and the judgement is put off; when the organism cannot be
 * reached, members that were certified before still count until their cards end. A map that ended
 * (all members refused us, a ticket was out of date) holds nothing any more, and is opened anew
 * with the next question, every AGAIN_NS at most. */
#include "env/env.h"
#include "node/network.h"

#include <mosaik/map.h>
#include <mosaik/standing.h>
#include <stdio.h>

#define ORGANISMS_MAX 64u
#define AGAIN_NS (5000 * MK_MS)

struct cards {
    struct mk_map *map; /* NULL: nobody asked */
    bool ended;
    uint64_t opened_ns;
    char why[MK_REASON_MAX];
};

struct organism {
    struct mk_id stable_id;
    struct mk_bond *bond;
    struct cards cards[2]; /* by enum mk_card */
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

static void on_ended(struct mk_map *m, int status, const struct mk_fault *fault)
{
    struct cards *c = mk_map_owner(m);

    c->ended = true;
    snprintf(c->why, sizeof c->why, ": %.200s", fault != NULL ? fault->text : mk_strerror(status));
}

static void follow(struct cards *c, struct mk_bond *bond, enum mk_card kind, uint64_t now)
{
    static const struct mk_map_cbs cbs = {.ended = on_ended};
    const struct mk_surface_spec *spec =
        kind == MK_CARD_SCORE ? &mk_scores_spec : &mk_settlements_spec;

    if (c->map != NULL && (!c->ended || now < c->opened_ns + AGAIN_NS))
        return;
    mk_map_close(c->map);
    c->ended = false;
    c->opened_ns = now;
    mk_map_open(bond, &c->map, spec, &cbs, c);
}

static int card(struct mk_standing *base, const struct mk_id *stable_id, enum mk_card kind,
                const struct mk_peer *peer, struct mk_bytes *ret, struct mk_fault *reterr)
{
    struct mk_standings *s = mk_container_of(base, struct mk_standings, standing);
    struct organism *o = find(s, stable_id);
    struct cards *c;
    char hex[MK_ID_HEX];

    if (o == NULL)
        return mk_fault(reterr, MK_EREFUSED, "the organism %.16s is none that this node follows",
                        mk_id_hex(stable_id, hex));
    c = &o->cards[kind];
    follow(c, o->bond, kind, mk_now(o->bond->network->env));
    if (!mk_map_synced(c->map))
        return mk_fault(reterr, MK_EUNREACHABLE, "nothing that %.*s certified is at hand yet%s",
                        (int)o->bond->reference.label.n, o->bond->reference.label.p, c->why);
    return mk_map_read(c->map, MK_BYTES(peer->b, sizeof peer->b), ret);
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
        mk_map_close(s->v[i].cards[0].map);
        mk_map_close(s->v[i].cards[1].map);
        mk_bond_close(s->v[i].bond);
    }
    mk_free(s);
}
