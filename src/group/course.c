/* course.c - what became of the last changes of the roster and of its seats, as this member saw it.
 *
 * A change goes through the hands of all: it is proposed, signed by majorities of two rosters,
 * certified, and then the leader moves one Raft id after the other. Where it stands still the steps
 * say at whom. They are rare, so each member keeps the newest MK_COURSE_MAX of them, with the time
 * of its own clock, and shows them in its status (`coalition committee --trace` puts those of all
 * side by side). A group whose roster never changed keeps none.
 *
 * Which ids vote is looked at when a configuration was committed, and compared with the one before;
 * entries that were in the log when it opened are not told again. */
#include "group/group_int.h"

#include <string.h>

struct place {
    struct mk_server server;
    bool known;
    struct mk_peer peer; /* whose it was when it came */
};

struct mk_coursing {
    struct mk_course v[MK_COURSE_MAX];
    unsigned first, n;
};

static void add(struct mk_group *g, const struct mk_course *x)
{
    struct mk_coursing *c = g->coursing;

    if (c == NULL)
        c = g->coursing = mk_alloc(sizeof *c);
    c->v[(c->first + c->n) % MK_COURSE_MAX] = *x;
    c->v[(c->first + c->n) % MK_COURSE_MAX].unix_ms = mk_wall_ms(g->env);
    if (c->n < MK_COURSE_MAX)
        c->n++;
    else
        c->first = (c->first + 1) % MK_COURSE_MAX;
}

void mk_course_epoch(struct mk_group *g, enum mk_course_step step, uint64_t epoch)
{
    add(g, &(struct mk_course){.step = step, .epoch = epoch});
}

/* --- ids ---------------------------------------------------------------------------------- */

static void name_place(const struct mk_group *g, struct place *p)
{
    uint64_t id = p->server.id;

    for (unsigned i = 0; i < g->n_members; i++) {
        const struct mk_member *m = g->members[i];
        uint64_t named = i == g->self ? g->raft_id : m->raft_id;

        if (!m->used || (named != id && mk_state_seat(g->st, &m->peer) != id))
            continue;
        p->known = true;
        p->peer = m->peer;
    }
}

static const struct place *place_of(const struct mk_group *g, uint64_t id)
{
    const struct place *v = g->places;

    for (unsigned i = 0; i < g->n_places; i++)
        if (v[i].server.id == id)
            return &v[i];
    return NULL;
}

static void tell(struct mk_group *g, enum mk_course_step step, const struct place *p)
{
    add(g, &(struct mk_course){.step = step,
                               .epoch = g->roster.epoch,
                               .raft_id = p->server.id,
                               .peer_known = p->known,
                               .peer = p->peer});
}

static void compare(struct mk_group *g, const struct mk_configuration *now)
{
    const struct place *before = g->places;
    struct place *next = mk_alloc((now->n + 1) * sizeof *next);

    for (unsigned i = 0; i < now->n; i++) {
        const struct place *p = place_of(g, now->servers[i].id);

        if (p != NULL)
            next[i] = *p;
        next[i].server = now->servers[i];
        name_place(g, &next[i]);
        if (before != NULL && (p == NULL || p->server.role != now->servers[i].role))
            tell(g, now->servers[i].role == MK_SERVER_VOTER ? MK_COURSE_VOTER : MK_COURSE_LEARNER,
                 &next[i]);
    }
    for (unsigned i = 0; i < g->n_places; i++)
        if (mk_configuration_find(now, before[i].server.id) == NULL)
            tell(g, MK_COURSE_REMOVED, &before[i]);
    mk_free(g->places);
    g->places = next;
    g->n_places = now->n;
}

void mk_course_turn(struct mk_group *g)
{
    uint64_t at = mk_consensus_changed_at(g->raft);

    if (at == g->course_at || mk_consensus_changing(g->raft) != 0)
        return;
    g->course_at = at;
    compare(g, mk_consensus_configuration(g->raft));
}

void mk_course_close(struct mk_group *g)
{
    mk_free(g->coursing);
    mk_free(g->places);
    g->coursing = NULL;
    g->places = NULL;
    g->n_places = 0;
}

/* --- telling ------------------------------------------------------------------------------- */

bool mk_group_course(const struct mk_group *g, unsigned i, struct mk_course *ret)
{
    const struct mk_coursing *c = g->coursing;

    if (c == NULL || i >= c->n)
        return false;
    *ret = c->v[(c->first + i) % MK_COURSE_MAX];
    return true;
}

const char *mk_course_step_name(enum mk_course_step s)
{
    static const char *const names[MK_COURSE_STEPS] = {"shown",   "proposed", "signed", "certified",
                                                       "learner", "voter",    "removed"};

    return names[s];
}
