/* election.c - when to stop waiting for a leader.
 *
 * Raft's followers wait 1 to 2 election timeouts, drawn at random, and refuse every
 * vote while they know a leader; so left alone, the later of two timers decides. Two
 * things end the wait earlier, both without risk: pre-vote asks a majority first, and
 * safety never rests on time.
 *
 *   silence  a follower that has not heard its leader for one whole election timeout
 *            grants votes although its own timer is still running: the first timer
 *            decides, not the last.
 *   hints    the link to the leader broke (a killed process: at once, everywhere), or
 *            nobody leads and links to a majority have come up. The core's clock is
 *            put ahead to the end of its timer. All followers get the hint together,
 *            so they take turns: RANK_MS apart, in an order that changes with the term.
 *
 * The core sees now + ahead (quiet.c: or stands still); its time never goes back, and a
 * deadline of the core's is now's by subtracting.
 *
 * A pre-vote that found no majority (the others had not noticed yet) is tried again
 * a few times on the same rhythm; real elections keep Raft's random timers. */
#include "base/assert.h"
#include "consensus/core.h"

#include <string.h>

#define FIRST_MS 4u  /* others need a moment to notice the broken link, too */
#define RANK_MS 25u  /* about what a round of votes with two disk writes takes */
#define RETRY_MS 60u /* between pre-votes that a hint caused */
#define TRIES_MAX 8u

struct mk_core_peer *mk_core_peer(struct mk_consensus *c, uint64_t id)
{
    for (unsigned i = 0; i < c->n_peers; i++)
        if (c->peers[i].id == id)
            return &c->peers[i];
    if (c->n_peers == sizeof c->peers / sizeof c->peers[0]) { /* forget who left long ago */
        unsigned k = 0;

        for (unsigned i = 0; i < c->n_peers; i++)
            if (mk_configuration_find(&c->conf, c->peers[i].id) != NULL)
                c->peers[k++] = c->peers[i];
        c->n_peers = k;
    }
    if (c->n_peers == sizeof c->peers / sizeof c->peers[0])
        return NULL;
    c->peers[c->n_peers] = (struct mk_core_peer){.id = id};
    return &c->peers[c->n_peers++];
}

/* Our turn among the voters other than the lost leader. */
static unsigned rank_of(const struct mk_consensus *c)
{
    unsigned n = 0, ours = 0;

    for (unsigned i = 0; i < c->conf.n; i++) {
        const struct mk_server *s = &c->conf.servers[i];

        if (s->role != MK_SERVER_VOTER || (c->leader_lost && s->id == c->leader))
            continue;
        if (s->id == c->o.id)
            ours = n;
        n++;
    }
    return n == 0 ? 0 : (unsigned)((ours + c->term) % n);
}

static bool is_voter(const struct mk_consensus *c)
{
    const struct mk_server *s = mk_configuration_find(&c->conf, c->o.id);

    return s != NULL && s->role == MK_SERVER_VOTER;
}

static void hint_arm(struct mk_consensus *c, unsigned wait_ms)
{
    if (is_voter(c) && c->role != MK_ROLE_LEADER && c->hint_at == 0 && c->hint_tries < TRIES_MAX)
        c->hint_at = c->now + wait_ms + rank_of(c) * RANK_MS;
}

void mk_core_heard_leader(struct mk_consensus *c)
{
    c->heard = c->now;
    c->hint_at = 0;
    c->hint_tries = 0;
    c->leader_lost = false;
}

bool mk_core_leader_is_lost(const struct mk_consensus *c)
{
    if (mk_core_promised(c))
        return false;
    return c->role == MK_ROLE_FOLLOWER && (c->leader_lost || c->now >= c->heard + c->o.election_ms);
}

static bool majority_linked(const struct mk_consensus *c)
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->conf.n; i++) {
        const struct mk_server *s = &c->conf.servers[i];
        bool up = s->id == c->o.id;

        for (unsigned k = 0; k < c->n_peers && !up; k++)
            up = c->peers[k].id == s->id && c->peers[k].up;
        n += s->role == MK_SERVER_VOTER && up;
    }
    return n > mk_configuration_voters(&c->conf) / 2;
}

void mk_consensus_link(struct mk_consensus *c, uint64_t id, bool up, uint64_t now_ms)
{
    struct mk_core_peer *p;

    if (mk_core_enter(c, now_ms) != 0 || id == 0 || id == c->o.id)
        return;
    p = mk_core_peer(c, id);
    if (p == NULL || p->up == up)
        return;
    if (c->role == MK_ROLE_LEADER || id == c->leader)
        mk_core_wake(c, /* tell_leader= */ false);
    p->up = up;
    mk_core_flow_link(c, id);
    if (!up && c->role == MK_ROLE_FOLLOWER && id == c->leader) {
        c->leader_lost = true;
        hint_arm(c, FIRST_MS);
    }
    if (up && c->role != MK_ROLE_LEADER && c->leader == 0 && majority_linked(c))
        hint_arm(c, FIRST_MS);
}

static int core_timeout(struct mk_consensus *c)
{
    struct raft_event ev = {.type = RAFT_TIMEOUT};

    return mk_core_step(c, &ev, NULL, NULL, 0);
}

/* The core's timer ends now. */
static int run_ahead(struct mk_consensus *c)
{
    raft_time end = raft_timeout(&c->raft);

    if (end > mk_core_time(c))
        c->ahead += (int64_t)(end - mk_core_time(c));
    return core_timeout(c);
}

static int hint_fire(struct mk_consensus *c)
{
    bool waits = c->role == MK_ROLE_FOLLOWER && (c->leader_lost || c->leader == 0);
    bool asks = c->role == MK_ROLE_CANDIDATE && c->raft.candidate_state.in_pre_vote;
    int rv = 0;

    c->hint_at = 0;
    if (!waits && !asks)
        return 0;
    c->hint_tries++;
    if (mk_consensus_stored(c) == mk_consensus_last(c)) /* else not electable yet: try again */
        rv = run_ahead(c);
    if (rv == 0 && c->role != MK_ROLE_LEADER)
        hint_arm(c, RETRY_MS);
    return rv;
}

int mk_consensus_timeout(struct mk_consensus *c, uint64_t now_ms)
{
    int rv = mk_core_enter(c, now_ms);

    if (rv != 0)
        return rv;
    if (c->quiet || (mk_core_promised(c) && c->role != MK_ROLE_LEADER))
        return 0;
    if (c->hint_at != 0 && c->now >= c->hint_at)
        rv = hint_fire(c);
    if (rv == 0 && mk_core_time(c) >= raft_timeout(&c->raft))
        rv = core_timeout(c);
    if (rv == 0)
        mk_core_read_timeout(c);
    return rv;
}

uint64_t mk_core_deadline(const struct mk_consensus *c)
{
    uint64_t end = raft_timeout(&c->raft);
    uint64_t core = mk_core_time(c);
    uint64_t at = end > core ? c->now + (end - core) : c->now;

    if (c->quiet)
        return UINT64_MAX;
    if (c->hint_at != 0 && c->hint_at < at)
        at = c->hint_at;
    if (c->role != MK_ROLE_LEADER && mk_core_promised(c) && at < c->promised_until)
        at = c->promised_until;
    if (c->role == MK_ROLE_LEADER && c->read_done < c->read_round &&
        c->read_sent_ms + c->o.heartbeat_ms < at)
        at = c->read_sent_ms + c->o.heartbeat_ms;
    return at > c->now ? at : c->now + 1;
}
