/* The swarm: each seed draws a committee, its weather and its faults; clients read and
 * write meanwhile. First safety under faults, then everything heals and progress is
 * demanded. The checkers of cluster.h run after every event. Every seed runs twice, and
 * both runs must be the same to the last event.
 *
 *     swarm                     SIM_SEEDS seeds (200), from SIM_FROM (1), every SIM_STEP-th (1)
 *     swarm --seed N            one, with a line
 *     swarm --seed N --print    ... and every event of both runs
 *     swarm --planted           with the fsync of votes skipped: must be caught
 *
 * Ends with 1 and a line that repeats the failure. */
#include "cluster.h"
#include "planted.h"
#include "prng.h"
#include <mosaik/emulator.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct plan {
    struct cluster_options o;
    unsigned faults, pause_ms, keys;
    uint64_t mean_ms; /* between faults */
    bool early;       /* faults from the first moment, before the founding */
    struct world_link link;
};

static bool planted;
static FILE *print_to;

/* --- quotes ------------------------------------------------------------------------------ */

#define ATTESTED_EVERY 8u /* seeds: a committee whose members demand quotes of each other */

/* One authority for all runs of the process: certificates have random signatures, whose lengths
 * differ, and two runs of a seed must not. */
static struct {
    struct mk_emulator *emulator;
    struct mk_buf root, collateral;
    struct mk_acl_clause clause;
    struct mk_acl_composition acl;
} authority;

static void authority_open(void)
{
    uint8_t seed[32] = "the authority of the swarm";
    struct mk_measurements measured = {.mr_td = {{1, 2, 3}}};
    struct mk_fault f = {{0}};

    if (authority.emulator != NULL)
        return;
    if (mk_emulator_new(&authority.emulator, seed, &measured, &f) != 0 ||
        mk_emulator_collateral(authority.emulator, 1600000000, 2500000000, &authority.collateral,
                               &f) != 0)
        cluster_violation("%s", f.text);
    mk_emulator_root(authority.emulator, &authority.root);
    authority.clause.tag = mk_acl_clause_VerifyPeerTdx;
    authority.clause.u.verify_peer_tdx.measurements = measured;
    authority.acl.clauses = (struct mk_acl_clauses){&authority.clause, 1};
}

static int load(void *arg, struct mk_collateral_put *p, struct mk_fault *reterr)
{
    (void)arg;
    (void)reterr;
    p->put(p, mk_buf_bytes(&authority.collateral));
    return 0;
}

static void attest(void *arg, unsigned member, struct mk_witness_options *ret)
{
    (void)arg;
    (void)member;
    *ret = (struct mk_witness_options){.source = MK_SOURCE_EMULATOR,
                                       .emulator = authority.emulator,
                                       .verifies = true,
                                       .root = mk_buf_bytes(&authority.root),
                                       .load = load};
}

static struct plan draw(uint64_t seed)
{
    static const unsigned sizes[] = {3, 3, 3, 3, 3, 5, 5, 1};
    static const uint64_t snapshots[] = {0, 20, 60, 200};
    struct prng p = prng_of(seed, 77);
    struct plan plan = {
        .o = {.seed = seed,
              .n = sizes[prng_below(&p, 8)],
              .clients = 2 + (unsigned)prng_below(&p, 2),
              .snapshot_entries = snapshots[prng_below(&p, 4)]},
        .faults = 10 + (unsigned)prng_below(&p, 20),
        .pause_ms = 1 + (unsigned)prng_below(&p, 60),
        .keys = 1 + (unsigned)prng_below(&p, 4),
        .mean_ms = 60 + prng_below(&p, 400),
        .early = prng_one_in(&p, 4),
        .link = {50, 200 + (uint32_t)prng_below(&p, 8000), (uint32_t)prng_below(&p, 3) * 10000, 0},
    };

    if (seed % ATTESTED_EVERY == 0) {
        authority_open();
        plan.o.acl = &authority.acl;
        plan.o.attest = attest;
    }
    return plan;
}

/* --- faults ---------------------------------------------------------------------------- */

static unsigned pick(struct cluster *c)
{
    return (unsigned)world_chaos(c->w, c->n);
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
        if ((int)i != leader && world_is_up(c->w, i))
            world_crash(c->w, i);
        if (!world_is_up(c->w, i))
            world_restart(c->w, i);
    }
}

static void fault(struct cluster *c)
{
    unsigned i = pick(c);

    switch (world_chaos(c->w, 14)) {
    case 12:
    case 13:
        strike(c);
        break;
    case 0:
    case 1:
        if (world_is_up(c->w, i))
            world_crash(c->w, i);
        break;
    case 2:
        if (world_is_up(c->w, i))
            world_kill(c->w, i);
        break;
    case 3:
    case 4:
    case 5:
        for (i = 0; i < c->n; i++)
            if (!world_is_up(c->w, i) && world_chaos(c->w, 3) > 0)
                world_restart(c->w, i);
        break;
    case 6:
        world_isolate(c->w, i);
        break;
    case 7:
        world_partition(c->w, 1 + world_chaos(c->w, (1u << c->n) - 1));
        break;
    case 8:
        world_heal(c->w);
        break;
    case 9:
        if (world_is_up(c->w, i)) {
            world_pause(c->w, i);
            world_run(c->w, world_chaos(c->w, 900));
            world_resume(c->w, i);
        }
        break;
    case 10:
        world_break(c->w, i, pick(c));
        break;
    case 11:
        world_clock_jump(c->w, i, (int64_t)world_chaos(c->w, 20000) - 10000);
        break;
    }
}

static void heal(struct cluster *c)
{
    world_heal(c->w);
    for (unsigned i = 0; i < c->n; i++)
        if (!world_is_up(c->w, i))
            world_restart(c->w, i);
}

static bool idle(void *arg)
{
    return cluster_workload_idle(arg);
}

static void weather(struct cluster *c, const struct plan *plan)
{
    world_link(c->w, WORLD_ALL, WORLD_ALL, plan->link);
    for (unsigned i = 0; i < c->n; i++) {
        world_clock_drift(c->w, i, (int)world_chaos(c->w, 400) - 200);
        world_disk_speed(c->w, i, 100, 200 + (uint32_t)world_chaos(c->w, 8000));
        if (planted)
            planted_skip_vote_sync(c->w, i);
    }
}

/* --- a run --------------------------------------------------------------------------------- */

static void demand(bool ok, struct cluster *c, const char *what)
{
    struct mk_group_status s;

    if (ok)
        return;
    for (unsigned i = 0; i < c->n; i++) {
        cluster_status(c, i, &s);
        fprintf(stderr, "  member %u %s term %llu applied %llu of %llu: %s\n", i,
                mk_group_state_name(s.state), (unsigned long long)s.term,
                (unsigned long long)s.applied, (unsigned long long)s.last, s.why);
    }
    cluster_violation("no progress after all healed: %s", what);
}

static uint64_t run(uint64_t seed, uint64_t *ret_operations)
{
    struct plan plan = draw(seed);
    struct cluster *c = cluster_new(&plan.o);
    uint64_t hash;

    if (print_to != NULL)
        world_print(c->w, print_to);
    if (plan.o.attest != NULL)
        world_hash_bytes(c->w, false); /* the nonces of ECDSA are OpenSSL's own */
    weather(c, &plan);
    if (!plan.early)
        demand(cluster_until_ready(c, 30000), c, "founding");
    cluster_workload(c, plan.keys, plan.pause_ms);
    for (unsigned i = 0; i < plan.faults; i++) {
        world_run(c->w, world_chaos(c->w, 2 * plan.mean_ms));
        fault(c);
    }
    heal(c);
    demand(cluster_until_ready(c, 60000), c, "a leader that commits");
    world_run(c->w, 500);
    cluster_workload_stop(c);
    demand(world_run_until(c->w, idle, c, 60000), c, "answers for every client");
    demand(cluster_until_equal(c, 60000), c, "all members at one index");
    cluster_check_history(c);
    *ret_operations = cluster_operations(c);
    hash = world_hash(c->w);
    cluster_free(c);
    return hash;
}

static uint64_t run_twice(uint64_t seed)
{
    static char again[64];
    uint64_t operations, hash;

    snprintf(again, sizeof again, "test/sim/swarm --seed %llu", (unsigned long long)seed);
    cluster_again = again;
    hash = run(seed, &operations);
    if (run(seed, &operations) != hash)
        cluster_violation("two runs of seed %llu differ", (unsigned long long)seed);
    return operations;
}

static uint64_t from_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name); /* tidy: ok: how many seeds, before any world exists */
    uint64_t v = 0;

    if (text == NULL || *text == 0)
        return otherwise;
    for (; *text >= '0' && *text <= '9'; text++)
        v = v * 10 + (uint64_t)(*text - '0');
    return v;
}

static int all(void)
{
    uint64_t from = from_env("SIM_FROM", 1), step = from_env("SIM_STEP", 1);
    uint64_t seeds = from_env("SIM_SEEDS", 200), operations = 0;

    printf("1..1\n");
    for (uint64_t seed = from; seed <= seeds; seed += step)
        operations += run_twice(seed);
    printf("ok 1 - seeds %llu to %llu by %llu, each twice: %llu operations answered\n",
           (unsigned long long)from, (unsigned long long)seeds, (unsigned long long)step,
           (unsigned long long)operations);
    return 0;
}

/* Each seed in a child of its own: the violation that is hoped for aborts. */
static int hunt(void)
{
    uint64_t seeds = from_env("SIM_SEEDS", 200);

    printf("1..1\n");
    fflush(stdout);
    planted = true;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        uint64_t operations;
        pid_t child = fork();
        int status = 0;

        if (child == 0) {
            if (freopen("/dev/null", "w", stderr) == NULL)
                _exit(2);
            run(seed, &operations);
            _exit(0);
        }
        if (child < 0 || waitpid(child, &status, 0) != child)
            return 1;
        if (WIFSIGNALED(status)) {
            printf("ok 1 - a vote that is not synced is caught by seed %llu\n",
                   (unsigned long long)seed);
            return 0;
        }
    }
    printf("not ok 1 - votes that are not synced went unnoticed\n");
    return 1;
}

int main(int argc, char **argv)
{
    uint64_t operations, seed = 0;

    if (argc == 2 && strcmp(argv[1], "--planted") == 0)
        return hunt();
    if (argc < 3 || strcmp(argv[1], "--seed") != 0)
        return all();
    for (const char *at = argv[2]; *at >= '0' && *at <= '9'; at++)
        seed = seed * 10 + (uint64_t)(*at - '0');
    if (argc > 3 && strcmp(argv[3], "--print") == 0) {
        print_to = stdout;
        run(seed, &operations);
        printf("--- again\n");
        run(seed, &operations);
        return 0;
    }
    operations = run_twice(seed);
    printf("seed %llu: %llu operations answered\n", (unsigned long long)seed,
           (unsigned long long)operations);
    return 0;
}
