/* lease.c - reads without a round: may this leader answer from what it has?
 *
 * A round of PINGs may ask for a promise: "vote for nobody for L ms". A follower that
 * grants it (it follows this leader, in this term) counts L from when the PING came; the
 * leader counts from when it sent the round, and takes a tenth off. While a majority's
 * promises last nobody else can be elected, so nothing is committed elsewhere, and what is
 * committed here is all there is.
 *
 * What it rests on: of two members' clocks none runs more than a tenth faster than the
 * other, and none stands still while the process lives (CLOCK_MONOTONIC: a machine that
 * is suspended, or a guest that is paused and whose clock is, breaks this). Nothing else
 * in consensus rests on clocks; so a lease is the owner's choice, and a round is the
 * default.
 *
 * The ends of a lease:
 *   - its time; another role or term;
 *   - a transfer: the successor may ask for votes in spite of promises (`disrupt`), and the
 *     message that tells it so may come late. So there is no lease any more in this term;
 *   - another configuration: its majorities need not meet those of the one that promised.
 *
 * A promise outlives a process and no disk has it: who starts again votes for nobody for as
 * long as the longest that any member may give, whatever its own option says now: the last life
 * may have had leases that this one has not. It costs a cold start that long at most; a silent
 * leader is waited for longer, and the only voter of a group waits for nobody. A member that is
 * promised away does not ask for votes itself, broken link or not: the price of leases is that a
 * killed leader is replaced when the promises end, not before. They are asked for only while
 * somebody reads under a lease. */
#include "base/planted.h"
#include "consensus/core.h"

#include <stdlib.h>

#define TICK_MS 1u /* what the clocks, in whole milliseconds, hide on each side */
#define PLANTED_MS 3000u

/* --- the follower ---------------------------------------------------------------------- */

bool mk_core_promised(const struct mk_consensus *c)
{
    return c->promised_until > c->now && !MK_PLANTED(BROKEN_PROMISE);
}

unsigned mk_core_lease_longest(const struct mk_consensus_options *o)
{
    return o->election_ms / 3 * 2;
}

void mk_core_lease_start(struct mk_consensus *c)
{
    /* A promise was given to a leader, whose term is above that of the founding; and the
     * PONG left only when that term was durable here. */
    if (c->term > 1)
        c->promised_until = c->now + mk_core_lease_longest(&c->o) + TICK_MS;
}

bool mk_core_promise(struct mk_consensus *c, uint64_t leader, uint64_t ms)
{
    if (ms == 0 || ms > c->o.lease_ms || c->role != MK_ROLE_FOLLOWER || c->leader != leader)
        return false;
    if (c->promised_until < c->now + ms + TICK_MS)
        c->promised_until = c->now + ms + TICK_MS;
    return true;
}

void mk_core_released(struct mk_consensus *c)
{
    c->promised_until = 0;
}

/* --- the leader ------------------------------------------------------------------------ */

static bool may_lease(const struct mk_consensus *c)
{
    return c->o.lease_ms > 0 && c->role == MK_ROLE_LEADER && mk_consensus_ready(c) &&
           c->no_lease_term != c->term;
}

void mk_core_lease_round(struct mk_consensus *c)
{
    bool ask = c->lease_wanted && may_lease(c);

    c->lease_wanted = false;
    c->round_sent_ms[c->read_round % MK_CORE_ROUNDS] = c->now;
    c->round_lease = ask ? c->o.lease_ms : 0;
}

static int newest_first(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? 1 : x > y ? -1 : 0;
}

void mk_core_lease_tally(struct mk_consensus *c)
{
    uint64_t rounds[MK_CONSENSUS_SERVERS_MAX], round, end;
    unsigned n = 0;

    if (!may_lease(c))
        return;
    for (unsigned i = 0; i < c->conf.n; i++) {
        const struct mk_server *s = &c->conf.servers[i];

        if (s->role != MK_SERVER_VOTER)
            continue;
        rounds[n] = s->id == c->o.id ? c->read_round : 0;
        for (unsigned k = 0; k < c->n_peers; k++)
            if (c->peers[k].id == s->id)
                rounds[n] = c->peers[k].promised;
        n++;
    }
    if (n == 0)
        return;
    qsort(rounds, n, sizeof rounds[0], newest_first);
    round = rounds[n / 2];
    if (round <= c->lease_after || round + MK_CORE_ROUNDS <= c->read_round)
        return;
    end = c->round_sent_ms[round % MK_CORE_ROUNDS] +
          (MK_PLANTED(LONG_LEASE) ? PLANTED_MS : c->o.lease_ms - c->o.lease_ms / 10 - 2 * TICK_MS);
    if (end > c->lease_until)
        c->lease_until = end;
}

void mk_core_lease_drop(struct mk_consensus *c)
{
    c->lease_until = 0;
    c->lease_after = c->read_round;
}

void mk_core_lease_bar(struct mk_consensus *c)
{
    if (MK_PLANTED(TRANSFERRED_LEASE))
        return;
    c->no_lease_term = c->term;
    mk_core_lease_drop(c);
}

int mk_consensus_read_leased(struct mk_consensus *c, uint64_t *ret_ticket, uint64_t now_ms)
{
    int rv = mk_core_enter(c, now_ms);

    if (rv != 0)
        return rv;
    if (!may_lease(c) || c->now >= c->lease_until) {
        c->lease_wanted = true;
        return mk_consensus_read(c, ret_ticket, now_ms);
    }
    /* Half way through it is time for the next round, for which nobody waits. */
    if (c->read_done == c->read_round && c->lease_until - c->now < c->o.lease_ms / 2) {
        mk_core_wake(c, /* tell_leader= */ false);
        c->lease_wanted = c->read_wanted = true;
    }
    *ret_ticket = 0;
    return 0;
}
