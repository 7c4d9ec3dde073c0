/* Faults of a swarm. All of it is drawn from the seed (world_chaos), and no fault takes
 * what the rules do not promise: of disks only one is lost until every member votes
 * again. */
#include "faults.h"
#include "checks.h"
#include "group/group_int.h"
#include "prng.h"

#include <string.h>

/* --- options ------------------------------------------------------------------------------ */

struct plan plan_draw(uint64_t seed)
{
    static const unsigned sizes[] = {3, 3, 3, 3, 3, 5, 5, 1};
    static const uint64_t snapshots[] = {0, 20, 60, 200};
    static const uint32_t quiets[] = {0, 1, 20, 100};
    static const uint64_t means[] = {60, 150, 400, 1000, 2500};
    struct prng p = prng_of(seed, 77);
    struct plan plan = {
        .o = {.seed = seed,
              .n = sizes[prng_below(&p, 8)],
              .clients = 2 + (unsigned)prng_below(&p, 4),
              .snapshot_entries = snapshots[prng_below(&p, 4)]},
        .faults = 8 + (unsigned)prng_below(&p, 24),
        .storms = 1,
        .keys = 1 + (unsigned)prng_below(&p, 4),
        .mean_ms = means[prng_below(&p, 5)],
        .early = prng_one_in(&p, 6),
        .reader = prng_one_in(&p, 3),
        .link = {50, 200 + (uint32_t)prng_below(&p, 6000), (uint32_t)prng_below(&p, 3) * 10000, 0},
        .drift_ppm = prng_one_in(&p, 4) ? 30000 : 200,
        .sync_us = 200 + (uint32_t)prng_below(&p, 8000),
        .kinds = 1u << FAULT_RESTART | 1u << FAULT_HEAL,
    };

    if (plan.mean_ms > 400)
        plan.faults = 4 + plan.faults / 3;
    plan.pause_ms = 1 + (unsigned)prng_below(&p, 20 + plan.mean_ms / 20);
    while (plan.kinds == (1u << FAULT_RESTART | 1u << FAULT_HEAL))
        for (unsigned k = FAULT_CRASH; k < FAULT_KINDS; k++)
            if (prng_below(&p, 3) == 0)
                plan.kinds |= 1u << k;
    if (prng_one_in(&p, 4)) /* an upgrade: as many as still are of the build before */
        plan.o.old = (unsigned)prng_below(&p, 1u << plan.o.n);
    if (prng_one_in(&p, 2)) {
        plan.o.lease_ms = 200;
        if (prng_one_in(&p, 2))
            plan.kinds |= 1u << FAULT_SNATCH;
    }
    if (plan.o.n < 3)
        plan.kinds &= ~(1u << FAULT_LOST_DISK);
    if (plan.o.n != 3) /* a roster of two cannot replace a disk; five are all that there are */
        plan.kinds &= ~(1u << FAULT_ROSTER);
    if (plan.kinds >> FAULT_ROSTER & 1)
        plan.o.spares = 1 + (unsigned)prng_below(&p, 2);
    plan.o.quiet_ms = quiets[prng_below(&p, 4)];
    return plan;
}

void plan_long_life(struct plan *plan)
{
    struct prng p = prng_of(plan->o.seed, 78);

    plan->storms = 3 + (unsigned)prng_below(&p, 6);
    plan->calm_ms = (1 + prng_below(&p, 30)) * 60000;
    plan->faults = 1 + (unsigned)prng_below(&p, 6);
}

void plan_weather(struct cluster *c, const struct plan *p)
{
    world_link(c->w, WORLD_ALL, WORLD_ALL, p->link);
    for (unsigned i = 0; i < c->n; i++) {
        world_clock_drift(c->w, i,
                          (int)world_chaos(c->w, (uint64_t)p->drift_ppm * 2) - p->drift_ppm);
        world_disk_speed(c->w, i, 100, 200 + (uint32_t)world_chaos(c->w, p->sync_us));
    }
    c->may_fail = (p->kinds & (1u << FAULT_DISK | 1u << FAULT_SPACE)) != 0;
}

/* --- members ------------------------------------------------------------------------------- */

static unsigned pick(struct cluster *c)
{
    return (unsigned)world_chaos(c->w, c->n);
}

static bool has_failed(struct cluster *c, unsigned i)
{
    struct process *p = cluster_process(c, i);
    struct mk_group_status s;

    cluster_status(c, i, &s);
    return p != NULL && (p->group == NULL || s.state == MK_GROUP_FAILED);
}

static void restart(struct cluster *c, unsigned i)
{
    world_disk_fail_on(c->w, i, 0, NULL, 0, 0);
    world_disk_capacity(c->w, i, 0);
    if (has_failed(c, i))
        world_crash(c->w, i);
    if (world_is_up(c->w, i))
        return;
    if ((c->old >> i & 1) != 0 && world_chaos(c->w, 2) == 0)
        c->old &= ~(1u << i); /* it comes back with the next build */
    world_restart(c->w, i);
}

static void crash(struct cluster *c, unsigned i)
{
    if (world_is_up(c->w, i))
        world_crash(c->w, i);
}

struct rise {
    struct cluster *c;
    uint64_t term;
};

static bool led_higher(void *arg)
{
    struct rise *r = arg;
    struct mk_group_status s;
    int leader = cluster_leader(r->c);

    if (leader < 0)
        return false;
    mk_group_glance(cluster_group(r->c, (unsigned)leader), &s);
    return s.term > r->term;
}

/* An election, and at the moment it is won everyone but the winner loses power and the
 * winner its links: who voted must remember it. */
static void strike(struct cluster *c)
{
    int leader = cluster_leader(c);
    struct mk_group_status s = {0};
    struct rise r = {c, 0};

    if (leader >= 0) {
        mk_group_glance(cluster_group(c, (unsigned)leader), &s);
        r.term = s.term;
        world_crash(c->w, (unsigned)leader);
    }
    if (!world_run_until(c->w, led_higher, &r, 1500))
        return;
    leader = cluster_leader(c);
    world_isolate(c->w, (unsigned)leader);
    world_run(c->w, world_chaos(c->w, 4));
    for (unsigned i = 0; i < c->n; i++) {
        if ((int)i == leader)
            continue;
        crash(c, i);
        world_restart(c->w, i);
    }
}

/* --- disks ------------------------------------------------------------------------------------ */

static void fail_disk(struct cluster *c, unsigned i)
{
    static const unsigned what[] = {WORLD_WRITES, WORLD_SYNCS, WORLD_NAMES, WORLD_READS};

    world_disk_fail_on(c->w, i, what[world_chaos(c->w, 4)], NULL, MK_EIO,
                       1 + (unsigned)world_chaos(c->w, 3));
}

/* Each has a seat and what the others have. */
static bool is_whole(void *arg)
{
    struct cluster *c = arg;
    struct mk_group_status s;
    uint64_t applied = 0;

    for (unsigned i = 0; i < c->n; i++) {
        cluster_status(c, i, &s);
        if (!cluster_in_roster(c, i))
            continue;
        if (s.state != MK_GROUP_LEADING && s.state != MK_GROUP_FOLLOWING)
            return false;
        if (s.applied + 20 < applied)
            return false;
        applied = s.applied;
    }
    return cluster_leader(c) >= 0 &&
           mk_group_settled(cluster_group(c, (unsigned)cluster_leader(c)));
}

/* Only while all are whole: the rules promise nothing when a majority has lost disks. */
static void lose_disk(struct cluster *c)
{
    unsigned i = pick(c);

    heal_all(c);
    if (!world_run_until(c->w, is_whole, c, 5000))
        return;
    world_crash(c->w, i);
    cluster_lose_disk(c, i);
    c->wiped = 1u << i;
}

/* --- who is of it ------------------------------------------------------------------------- */

/* At least three of them, drawn; the leader may refuse it: one change at a time. */
static void propose(struct cluster *c)
{
    unsigned bits = 0, n = 0;

    for (unsigned i = 0; i < c->n; i++)
        if (world_chaos(c->w, 3) > 0) {
            bits |= 1u << i;
            n++;
        }
    if (n >= 3)
        cluster_propose(c, bits);
}

struct lease {
    struct cluster *c;
    unsigned leader;
    uint64_t reads;
};

/* Its lease was used since. */
static bool has_lease(void *arg)
{
    struct lease *l = arg;
    struct mk_group_status s = {0};

    if (cluster_group(l->c, l->leader) == NULL)
        return false;
    mk_group_glance(cluster_group(l->c, l->leader), &s);
    return s.leased > l->reads;
}

/* The leader and a client on one side, everybody else on the other: at once, or with its links
 * broken so that all see it, or while it hands over. What it then answers must still hold. */
static void snatch(struct cluster *c)
{
    int leader = cluster_leader(c);
    unsigned how = (unsigned)world_chaos(c->w, 3);
    struct lease l = {c, (unsigned)leader, 0};
    struct mk_group_status s = {0};
    uint64_t side;

    if (leader < 0)
        return;
    world_heal(c->w);
    mk_group_glance(cluster_group(c, l.leader), &s);
    l.reads = s.leased;
    side = 1ull << leader | 1ull << (c->n + (unsigned)world_chaos(c->w, c->o.clients));
    cluster_snatch(c, side);
    if (!world_run_until(c->w, has_lease, &l, 1000) || cluster_leader(c) != leader) {
        cluster_snatch(c, 0);
        return;
    }
    for (unsigned i = 0; i < c->n && how == 1; i++)
        if ((int)i != leader)
            world_break(c->w, (unsigned)leader, i);
    if (how == 2) {
        mk_group_transfer(cluster_group(c, (unsigned)leader), NULL);
        world_run(c->w, world_chaos(c->w, 8));
    }
    world_partition(c->w, side);
    world_run(c->w, 100 + world_chaos(c->w, 1000));
    world_heal(c->w);
    cluster_snatch(c, 0);
}

static void transfer(struct cluster *c, unsigned to)
{
    int leader = cluster_leader(c);

    if (leader >= 0)
        mk_group_transfer(cluster_group(c, (unsigned)leader), &c->peers[to]);
}

/* --- load ----------------------------------------------------------------------------------------
 */

static void forget(struct mk_submit *s, int status, const struct mk_outcome *o)
{
    (void)s;
    (void)status;
    (void)o;
}

/* More than a group may hold, into one member; it says "full", and goes on. */
static void flood(struct cluster *c, unsigned i)
{
    struct mk_group *g = cluster_group(c, i);
    struct mk_buf b = {0};

    if (g == NULL)
        return;
    mk_buf_put_str(&b, "fill ");
    memset(mk_buf_grow(&b, 200000), 'f', 200000);
    for (unsigned k = 0; k < 50; k++) {
        struct mk_submit *s = checks_memory(c, sizeof *s);

        s->cb = forget;
        if (mk_group_submit(g, s, checks_session(c), 1, mk_buf_bytes(&b)) != 0)
            break;
    }
    mk_buf_done(&b);
}

/* --- the choice
 * ------------------------------------------------------------------------------------ */

static enum fault_kind choose(struct cluster *c, uint32_t kinds)
{
    /* it takes several moments of chance to show anything: try often */
    if ((kinds >> FAULT_SNATCH & 1) != 0 && world_chaos(c->w, 3) == 0)
        return FAULT_SNATCH;
    for (;;) {
        /* what mends comes as often as the rest together */
        unsigned k = world_chaos(c->w, 3) == 0 ? (unsigned)world_chaos(c->w, 2)
                                               : (unsigned)world_chaos(c->w, FAULT_KINDS);

        if (kinds >> k & 1)
            return (enum fault_kind)k;
    }
}

static void on_network(struct cluster *c, enum fault_kind kind, unsigned i)
{
    if (kind == FAULT_HEAL)
        world_heal(c->w);
    else if (kind == FAULT_ISOLATE)
        world_isolate(c->w, i);
    else if (kind == FAULT_PARTITION)
        world_partition(c->w, 1 + world_chaos(c->w, (1u << (c->n + c->o.clients)) - 1));
    else if (kind == FAULT_ONE_WAY)
        world_cut(c->w, i, pick(c));
    else if (kind == FAULT_BREAK)
        world_break(c->w, i, pick(c));
}

static void on_members(struct cluster *c, enum fault_kind kind, unsigned i)
{
    if (kind == FAULT_RESTART) {
        for (i = 0; i < c->n; i++)
            if ((!world_is_up(c->w, i) || has_failed(c, i)) && world_chaos(c->w, 3) > 0)
                restart(c, i);
    } else if (kind == FAULT_CRASH) {
        crash(c, i);
    } else if (kind == FAULT_KILL) {
        if (world_is_up(c->w, i))
            world_kill(c->w, i);
    } else if (kind == FAULT_ALL_DOWN) {
        for (i = 0; i < c->n; i++)
            crash(c, i);
        for (i = 0; i < c->n; i++)
            world_restart(c->w, i);
    } else if (kind == FAULT_STRIKE) {
        strike(c);
    } else if (kind == FAULT_PAUSE && world_is_up(c->w, i)) {
        int leader = cluster_leader(c);

        i = leader >= 0 && world_chaos(c->w, 2) == 0 ? (unsigned)leader : i;
        world_pause(c->w, i);
        world_run(c->w, world_chaos(c->w, 2000));
        world_resume(c->w, i);
    }
}

void fault(struct cluster *c, const struct plan *p)
{
    enum fault_kind kind = choose(c, p->kinds);
    unsigned i = pick(c);

    switch (kind) {
    case FAULT_CLOCK:
        world_clock_jump(c->w, i, (int64_t)world_chaos(c->w, 20000000) - 10000000);
        break;
    case FAULT_DISK:
        fail_disk(c, i);
        break;
    case FAULT_SPACE:
        world_disk_capacity(c->w, i, (1u << 20) + 4096 + world_chaos(c->w, 1u << 17));
        break;
    case FAULT_LOST_DISK:
        lose_disk(c);
        break;
    case FAULT_ROSTER:
        propose(c);
        break;
    case FAULT_TRANSFER:
        transfer(c, i);
        break;
    case FAULT_FLOOD:
        flood(c, i);
        break;
    case FAULT_SNATCH:
        snatch(c);
        break;
    case FAULT_HEAL:
    case FAULT_ISOLATE:
    case FAULT_PARTITION:
    case FAULT_ONE_WAY:
    case FAULT_BREAK:
        on_network(c, kind, i);
        break;
    case FAULT_RESTART:
    case FAULT_CRASH:
    case FAULT_KILL:
    case FAULT_ALL_DOWN:
    case FAULT_STRIKE:
    case FAULT_PAUSE:
    case FAULT_KINDS:
        on_members(c, kind, i);
        break;
    }
}

/* --- mending
 * ------------------------------------------------------------------------------------------ */

/* --- a core ----------------------------------------------------------------------------------- */

/* What the members hold that may count: bits of nodes. */
struct quorums {
    unsigned sets[4 * CLUSTER_MEMBERS_MAX]; /* voters of a configuration, peers of a roster */
    unsigned sizes[4 * CLUSTER_MEMBERS_MAX];
    unsigned n, any, least;
    bool changing; /* not all are the same */
};

static void quorums_add(struct quorums *q, unsigned set, unsigned size)
{
    q->changing = q->changing || (q->n > 0 && (set != q->sets[0] || size != q->sizes[0]));
    q->sets[q->n] = set;
    q->sizes[q->n++] = size;
    q->any |= set;
    q->least = q->least == 0 || size < q->least ? size : q->least;
}

static unsigned node_of_raft(struct cluster *c, uint64_t id)
{
    for (unsigned i = 0; i < c->n; i++)
        if (cluster_group(c, i) != NULL && cluster_group(c, i)->raft_id == id)
            return 1u << i;
    return 0; /* a disk that was lost */
}

static unsigned node_of_peer(struct cluster *c, const struct mk_peer *peer)
{
    for (unsigned i = 0; i < c->n; i++)
        if (mk_peer_eq(&c->peers[i], peer))
            return 1u << i;
    return 0;
}

static void quorums_of(struct cluster *c, const struct mk_group *g, struct quorums *q)
{
    const struct mk_configuration *conf = mk_consensus_configuration(g->raft);
    unsigned set = 0;

    for (unsigned i = 0; i < conf->n; i++)
        if (conf->servers[i].role == MK_SERVER_VOTER)
            set |= node_of_raft(c, conf->servers[i].id);
    quorums_add(q, set, mk_configuration_voters(conf));
    set = 0;
    for (size_t i = 0; i < g->roster.peers.n; i++)
        set |= node_of_peer(c, &g->roster.peers.v[i]);
    quorums_add(q, set, (unsigned)g->roster.peers.n);
    q->changing = q->changing || mk_consensus_changing(g->raft) != 0;
}

/* May these be left out? A majority of whatever may be in force stays; while that changes, also
 * of one with a voter less, which is on the way from one to the next. */
static bool can_miss(const struct quorums *q, unsigned out)
{
    for (unsigned i = 0; i < q->n; i++) {
        unsigned here = (unsigned)__builtin_popcount(q->sets[i] & ~out);

        if (here <= q->sizes[i] / 2 || (q->changing && here <= (q->sizes[i] + 1) / 2))
            return false;
    }
    return true;
}

/* Who is left out: those of no configuration and no roster, then who lost its disk, then some. */
static unsigned choose_out(struct cluster *c)
{
    struct quorums q = {0};
    unsigned out;

    for (unsigned i = 0; i < c->n; i++)
        if (cluster_group(c, i) != NULL && cluster_group(c, i)->raft != NULL)
            quorums_of(c, cluster_group(c, i), &q);
    if (q.n == 0)
        return 0;
    out = ((1u << c->n) - 1) & ~q.any;
    for (unsigned i = 0; i < c->n; i++)
        if (c->wiped >> i & 1 && can_miss(&q, out | 1u << i))
            out |= 1u << i;
    for (unsigned tries = 0; tries < 2 * c->n; tries++) {
        unsigned one = 1u << pick(c);

        if (can_miss(&q, out | one))
            out |= one;
    }
    return can_miss(&q, out) ? out : 0;
}

/* A change may be under way: what each member holds of it is looked at when all are up. */
static void heal_core_of_roster(struct cluster *c)
{
    unsigned out;

    for (unsigned i = 0; i < c->n; i++)
        restart(c, i);
    out = choose_out(c);
    world_heal(c->w);
    for (unsigned i = 0; i < c->n; i++)
        if (out >> i & 1)
            world_isolate(c->w, i);
}

void heal_core(struct cluster *c)
{
    unsigned out = (c->n - 1) / 2, left = 0;

    if (c->o.spares > 0) {
        heal_core_of_roster(c);
        return;
    }
    /* Who lost its disk has no vote yet: it is left out first. */
    for (unsigned i = 0; i < c->n && out > 0; i++)
        if (c->wiped >> i & 1) {
            left |= 1u << i;
            out--;
        }
    for (; out > 0; out--)
        left |= 1u << pick(c);
    world_heal(c->w);
    for (unsigned i = 0; i < c->n; i++) {
        if (left >> i & 1)
            world_isolate(c->w, i);
        else
            restart(c, i);
    }
}

void heal_all(struct cluster *c)
{
    world_heal(c->w);
    for (unsigned i = 0; i < c->n; i++)
        restart(c, i);
}

void heal_failed(struct cluster *c)
{
    for (unsigned i = 0; i < c->n; i++)
        if (has_failed(c, i))
            restart(c, i);
}
