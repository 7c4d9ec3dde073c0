/* How many groups of a process stand for election at once.
 *
 * A process that starts, or loses another one, may have thousands of groups without a leader. If
 * all of them ask for votes at once, the answers come later than an election timeout, all begin
 * again, and none is ever elected. So a group whose timer ends takes one of MK_CANDIDATES_MAX
 * places, or waits in line for one:
 *
 *   timer ends --a place is free--> stands --elected and ready, or another leads--> gives it back
 *         \--none is--> waits, in order ---'  \--its timer ends again, and others wait--> waits
 *
 * Fewer groups than that never wait. Who waits votes, and follows a leader that is elected
 * elsewhere: then its timer runs again, and it leaves the line. Who cannot win, since no majority
 * is linked, needs no place: it asks nobody.
 *
 * A process without processor sees its timers late, and what leaders said meanwhile waits in its
 * sockets; or it is the leaders' process that has none, with thousands of groups awake. Each would
 * stand against a leader that lives, and that makes all of them busier still. So a timer that is
 * seen late is given as long again for what waits to be read, a second at most, and one more
 * millisecond for each other group that is awake, three seconds at most: so many would wait longer
 * in the line anyway.
 *
 * Safety rests on none of it. */
#include "group/group_int.h"
#include "group/hub_int.h"

#define LATE_MS 20u       /* a timer that ended longer ago is late */
#define LATE_MAX_MS 1000u /* what it is given at most */
#define CROWD 128u        /* groups awake that are none */
#define CROWD_MAX_MS 3000u
#define READY_NS (1000 * MK_MS) /* a leader that is not ready by then does not keep its place */

static struct mk_hub *office(const struct mk_group *g)
{
    return g->door.hub != NULL ? g->door.hub : g->hub; /* one a process, also for private ones */
}

/* Does a majority of those who vote hear us? */
static bool can_win(struct mk_group *g)
{
    const struct mk_configuration *conf = mk_consensus_configuration(g->raft);
    unsigned n = 0;

    for (unsigned i = 0; i < conf->n; i++) {
        const struct mk_server *s = &conf->servers[i];
        const struct mk_member *m = mk_member_of_raft(g, s->id);

        n += s->role == MK_SERVER_VOTER && (s->id == g->raft_id || (m != NULL && m->up));
    }
    return n > mk_configuration_voters(conf) / 2;
}

static void leave_line(struct mk_group *g)
{
    if (!g->candidacy.waits)
        return;
    g->candidacy.waits = false;
    mk_list_del(&g->candidacy.node);
}

static void join_line(struct mk_group *g)
{
    if (g->candidacy.waits)
        return;
    g->candidacy.waits = true;
    mk_list_add_tail(&office(g)->candidacies, &g->candidacy.node);
}

static void take_place(struct mk_group *g)
{
    leave_line(g);
    g->candidacy.stands = true;
    g->candidacy.tried = false;
    g->candidacy.since_ns = mk_now(g->env);
    office(g)->n_candidates++;
}

/* It goes to the first in line. */
static void give_back(struct mk_group *g)
{
    struct mk_hub *h = office(g);
    struct mk_group *next;

    if (!g->candidacy.stands)
        return;
    g->candidacy.stands = false;
    h->n_candidates--;
    if (mk_list_empty(&h->candidacies))
        return;
    next = mk_container_of(h->candidacies.next, struct mk_group, candidacy.node);
    take_place(next);
    mk_group_wake(next);
}

static uint64_t grace_ms(struct mk_group *g, uint64_t late)
{
    uint64_t crowd = office(g)->n_awake, ms = late > LATE_MAX_MS ? LATE_MAX_MS : late;

    if (ms <= LATE_MS)
        ms = 0;
    if (crowd <= CROWD)
        return ms;
    return ms + (crowd - CROWD > CROWD_MAX_MS ? CROWD_MAX_MS : crowd - CROWD);
}

/* May what would have reset the timer be under way? Asked again until it may not. */
static bool is_patient(struct mk_group *g)
{
    uint64_t now = mk_drive_now_ms(g);

    if (g->candidacy.late_for != g->deadline_ms) {
        g->candidacy.late_for = g->deadline_ms;
        g->candidacy.until_ms = now + grace_ms(g, now - g->deadline_ms);
    }
    return now < g->candidacy.until_ms;
}

uint64_t mk_candidacy_deadline(const struct mk_group *g)
{
    bool late = g->role != MK_ROLE_LEADER && g->candidacy.late_for == g->deadline_ms;

    return late && g->candidacy.until_ms > g->deadline_ms ? g->candidacy.until_ms : g->deadline_ms;
}

bool mk_candidacy_may(struct mk_group *g)
{
    struct mk_hub *h = office(g);

    if (g->role == MK_ROLE_LEADER || !can_win(g)) {
        mk_candidacy_close(g);
        return true;
    }
    if (is_patient(g))
        return false;
    if (g->candidacy.stands && g->candidacy.tried && !mk_list_empty(&h->candidacies))
        give_back(g); /* once a turn */
    if (!g->candidacy.stands && h->n_candidates < MK_CANDIDATES_MAX)
        take_place(g);
    if (!g->candidacy.stands)
        join_line(g);
    g->candidacy.tried = g->candidacy.stands;
    return g->candidacy.stands;
}

/* Its timer has ended: consensus says "in a ms" then. */
static bool is_due(const struct mk_group *g)
{
    return g->role != MK_ROLE_LEADER && g->deadline_ms <= mk_drive_now_ms(g) + 1;
}

static bool is_under_way(const struct mk_group *g)
{
    if (!g->candidacy.tried)
        return is_due(g);
    if (g->role != MK_ROLE_LEADER)
        return g->role == MK_ROLE_CANDIDATE;
    return !mk_consensus_ready(g->raft) && mk_now(g->env) < g->candidacy.since_ns + READY_NS;
}

static void count_awake(struct mk_group *g, bool awake)
{
    if (awake == g->candidacy.awake)
        return;
    g->candidacy.awake = awake;
    office(g)->n_awake += awake ? 1 : -1u;
}

void mk_candidacy_turn(struct mk_group *g)
{
    count_awake(g, !mk_consensus_is_quiet(g->raft));
    if (g->candidacy.waits && !is_due(g))
        leave_line(g);
    if (g->candidacy.stands && !is_under_way(g))
        give_back(g);
}

void mk_candidacy_close(struct mk_group *g)
{
    leave_line(g);
    give_back(g);
}

void mk_candidacy_gone(struct mk_group *g)
{
    mk_candidacy_close(g);
    count_awake(g, false);
}
