/* read.c - linearizable reads: is this leader still the leader?
 *
 * A ticket is the number of a round. The round goes out with the next effects, as a
 * PING to each voter; a voter answers PONG while its term is still ours. A majority
 * of answers means that, when they were given, no majority had gone on to a later
 * term, so nothing was committed by anybody else before the round began; whatever
 * was committed then is at or below our commit index now. That holds only once we
 * have committed an entry of our own term (before, ours may lag), so rounds wait
 * for it.
 *
 * Lost PINGs are sent again with the heartbeat's rhythm. Leaving the leader's role
 * ends all tickets; rounds keep counting, so an old PONG confirms nothing new. */
#include "base/assert.h"
#include "base/planted.h"
#include "consensus/core.h"

#include <stdlib.h>

int mk_consensus_read(struct mk_consensus *c, uint64_t *ret_ticket, uint64_t now_ms)
{
    int rv = mk_core_enter(c, now_ms);

    if (rv != 0)
        return rv;
    if (c->role != MK_ROLE_LEADER)
        return MK_ENOTLEADER;
    mk_core_wake(c, /* tell_leader= */ false);
    c->read_wanted = true;
    *ret_ticket = c->read_round + 1;
    return 0;
}

static int round_cmp(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? 1 : x > y ? -1 : 0;
}

/* The highest round that a majority of voters answered. */
static void tally(struct mk_consensus *c)
{
    uint64_t rounds[MK_CONSENSUS_SERVERS_MAX];
    unsigned n = 0;

    for (unsigned i = 0; i < c->conf.n; i++) {
        const struct mk_server *s = &c->conf.servers[i];

        if (s->role != MK_SERVER_VOTER)
            continue;
        rounds[n] = s->id == c->o.id ? c->read_round : 0;
        for (unsigned k = 0; k < c->n_peers; k++)
            if (c->peers[k].id == s->id)
                rounds[n] = c->peers[k].round;
        n++;
    }
    if (n == 0)
        return;
    qsort(rounds, n, sizeof rounds[0], round_cmp);
    if (MK_PLANTED(STALE_READ))
        n = 1; /* our own answer */
    if (rounds[n / 2] > c->read_done)
        c->read_done = rounds[n / 2];
}

static void send_pings(struct mk_consensus *c)
{
    for (unsigned i = 0; i < c->conf.n; i++) {
        const struct mk_server *s = &c->conf.servers[i];

        if (s->role == MK_SERVER_VOTER && s->id != c->o.id) {
            struct mk_message *m = mk_core_message(c, MK_MSG_PING, s->id);

            m->round = c->read_round;
            m->lease_ms = (uint32_t)c->round_lease;
        }
    }
    c->read_sent_ms = c->now;
}

void mk_core_read_flush(struct mk_consensus *c)
{
    if (!c->read_wanted || c->role != MK_ROLE_LEADER || !mk_consensus_ready(c))
        return;
    c->read_wanted = false;
    c->read_round++;
    mk_core_lease_round(c);
    send_pings(c);
    tally(c);
    mk_core_lease_tally(c);
}

void mk_core_read_pong(struct mk_consensus *c, uint64_t from, uint64_t round, bool promised)
{
    struct mk_core_peer *p;

    if (mk_configuration_find(&c->conf, from) == NULL || round > c->read_round)
        return;
    p = mk_core_peer(c, from);
    if (p == NULL || round <= p->round)
        return;
    p->round = round;
    tally(c);
    if (!promised)
        return;
    p->promised = round;
    mk_core_lease_tally(c);
}

void mk_core_read_timeout(struct mk_consensus *c)
{
    if (c->role == MK_ROLE_LEADER && c->read_done < c->read_round &&
        c->now >= c->read_sent_ms + c->o.heartbeat_ms)
        send_pings(c);
}

void mk_core_read_role(struct mk_consensus *c)
{
    for (unsigned i = 0; i < c->n_peers; i++)
        c->peers[i].round = c->peers[i].promised = 0;
    c->read_wanted = c->lease_wanted = false;
    mk_core_lease_drop(c);
}
