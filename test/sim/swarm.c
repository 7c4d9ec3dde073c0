/* The swarm: each seed draws a committee, its weather, and which faults may come (faults.h);
 * clients read and write meanwhile, a reader follows. First safety, then a core is healed and
 * must go on while the rest is away, then everything heals and must come together. Every eighth
 * seed is a long life: many such storms with minutes of calm between, an hour or more in all. The
 * checkers of cluster.h run after every event, the history is judged at the end. Every seed
 * runs twice, and both runs must be the same to the last event.
 *
 *     swarm                     seeds SIM_FROM (1) to SIM_SEEDS (200), every SIM_STEP-th (1)
 *     swarm --seed N            one, with a line
 *     swarm --seed N --print    ... and every event of both runs
 *     swarm --seed N --bug NAME ... with a planted bug
 *     swarm --once              seeds that found something once
 *     swarm --hunt              each planted bug: HUNT_SEEDS (1000) at most until it is caught
 *     swarm --hunt NAME         one of them
 *
 * Ends with 1 and a line that repeats the failure. */
#include "attested.h"
#include "planted.h"
#include "watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct planted *bug; /* NULL: none */
static FILE *print_to;
static uint64_t simulated_ms; /* in both runs of all seeds */

/* --- a run --------------------------------------------------------------------------------- */

/* What a member says of the others, for whoever has to find out. */
static void print_members(struct mk_group *g)
{
    char detail[MK_REASON_MAX];
    struct mk_peer peer;
    uint64_t match;
    bool linked;

    for (unsigned i = 0; g != NULL && mk_group_member(g, i, &peer, &linked, &match, detail); i++)
        fprintf(stderr, "    %02x.. %s match %llu %s\n", peer.b[0], linked ? "linked" : "away",
                (unsigned long long)match, detail);
}

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
        print_members(cluster_group(c, i));
    }
    cluster_violation("no progress after all healed: %s", what);
}

static bool idle(void *arg)
{
    return cluster_workload_idle(arg);
}

struct growth {
    struct cluster *c;
    uint64_t from;
};

static bool has_grown(void *arg)
{
    struct growth *g = arg;

    return cluster_operations(g->c) >= g->from + 10;
}

/* What a disk refused before may only come to light later: such members start once more. */
static void demand_until(struct cluster *c, bool (*until)(struct cluster *, uint64_t ms),
                         const char *what)
{
    for (unsigned i = 0; i < 3; i++) {
        if (until(c, 2000))
            return;
        heal_failed(c);
    }
    demand(until(c, 60000), c, what);
}

static bool until_answers(struct cluster *c, uint64_t ms)
{
    struct growth g = {c, cluster_operations(c)};

    return world_run_until(c->w, has_grown, &g, ms);
}

/* A majority alone must answer clients, then all come together. */
static void demand_progress(struct cluster *c)
{
    heal_core(c);
    demand_until(c, until_answers, "answers by a healed core");
    heal_all(c);
    demand_until(c, cluster_until_ready, "a leader that commits");
    demand_until(c, cluster_until_settled, "every peer of the roster votes");
    world_run(c->w, 500);
    heal_failed(c);
}

static void demand_evenness(struct cluster *c, struct watch *w)
{
    cluster_workload_stop(c);
    demand(world_run_until(c->w, idle, c, 60000), c, "answers for every client");
    demand_until(c, cluster_until_equal, "all members at one index");
    if (w != NULL)
        demand(watch_until_even(w, 60000), c, "a reader that has what the members have");
}

static void storm(struct cluster *c, const struct plan *plan)
{
    for (unsigned i = 0; i < plan->faults; i++) {
        world_run(c->w, world_chaos(c->w, 2 * plan->mean_ms));
        fault(c, plan);
    }
    if (cluster_operations(c) == 0) { /* perhaps before the founding, which needs all */
        heal_all(c);
        demand_until(c, cluster_until_ready, "founding");
    }
    demand_progress(c);
}

/* Nothing breaks, clients ask now and then, and in the end members must have one state. */
static void calm(struct cluster *c, const struct plan *plan, struct watch *w)
{
    cluster_workload(c, plan->keys, 500 + (unsigned)world_chaos(c->w, 20000));
    world_run(c->w, world_chaos(c->w, plan->calm_ms));
    demand_evenness(c, w);
    cluster_workload(c, plan->keys, plan->pause_ms);
}

static uint64_t run(uint64_t seed, uint64_t *ret_operations)
{
    struct plan plan = plan_draw(seed);
    struct cluster *c;
    struct watch *w;
    uint64_t hash;

    if (seed % ATTESTED_EVERY == 0)
        attested_plan(&plan);
    else if (seed % LONG_LIFE_EVERY == 3)
        plan_long_life(&plan);
    c = cluster_new(&plan.o);
    if (plan.o.attest != NULL)
        world_hash_bytes(c->w, false); /* the nonces of ECDSA are OpenSSL's own */
    if (print_to != NULL)
        world_print(c->w, print_to);
    plan_weather(c, &plan);
    if (bug != NULL)
        planted_on(bug, c->w, c->n);
    if (!plan.early)
        demand(cluster_until_ready(c, 30000), c, "founding");
    cluster_workload(c, plan.keys, plan.pause_ms);
    w = plan.reader ? watch_new(c) : NULL;
    for (unsigned i = 0; i < plan.storms; i++) {
        storm(c, &plan);
        if (i + 1 < plan.storms)
            calm(c, &plan, w);
    }
    demand_evenness(c, w);
    cluster_check_history(c);
    if (w != NULL)
        watch_check_ticks(w);
    *ret_operations = cluster_operations(c);
    simulated_ms += world_time(c->w);
    hash = world_hash(c->w);
    watch_free(w);
    cluster_free(c);
    return hash;
}

static const char *again(uint64_t seed)
{
    static char text[160];

    snprintf(text, sizeof text, "test/sim/swarm --seed %llu%s%s", (unsigned long long)seed,
             bug != NULL ? " --bug " : "", bug != NULL ? bug->name : "");
    return text;
}

static uint64_t run_twice(uint64_t seed)
{
    uint64_t operations, hash;

    cluster_again = again(seed);
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
    if (from > seeds) {
        printf("not ok 1 - no seed from SIM_FROM=%llu to SIM_SEEDS=%llu\n",
               (unsigned long long)from, (unsigned long long)seeds);
        return 1;
    }
    for (uint64_t seed = from; seed <= seeds; seed += step)
        operations += run_twice(seed);
    printf("ok 1 - seeds %llu to %llu by %llu, each twice: %llu operations answered, %.2f hours "
           "simulated\n",
           (unsigned long long)from, (unsigned long long)seeds, (unsigned long long)step,
           (unsigned long long)operations, (double)simulated_ms / 3600000);
    return 0;
}

/* Seeds that found something once. What they draw changes with the options that there are; the
 * commit that mended each says what it was. */
static const struct {
    uint64_t seed;
    const char *what;
} once_failed[] = {
    {234, "the protocol was raised past a member that left and still had the log"},
    {289, "no snapshot was fetched any more after the log had overtaken one"},
    {396, "a leader asked where logs agree with all its tail in each question"},
    {8608,
     "a wiped member whose first roster's peers knew no later one refused the newest members"},
};

static int again_once(void)
{
    unsigned n = sizeof once_failed / sizeof once_failed[0];

    printf("1..%u\n", n);
    for (unsigned i = 0; i < n; i++) {
        run_twice(once_failed[i].seed);
        printf("ok %u - seed %llu: %s\n", i + 1, (unsigned long long)once_failed[i].seed,
               once_failed[i].what);
    }
    return 0;
}

/* --- hunting ---------------------------------------------------------------------------------
 */

/* In a child of its own: the violation that is hoped for aborts. Its word is in said. */
static bool child_dies(uint64_t seed, char *said, size_t n)
{
    int ends[2], status = 0;
    uint64_t operations;
    size_t got = 0;
    ssize_t more;
    pid_t child;

    if (pipe(ends) != 0 || (child = fork()) < 0)
        return false;
    if (child == 0) {
        dup2(ends[1], 2);
        close(ends[0]);
        cluster_again = NULL;
        if (bug->code != 0 && !planted_begin(bug))
            _exit(0);
        run(seed, &operations);
        _exit(0);
    }
    close(ends[1]);
    while (got < n - 1 && (more = read(ends[0], said + got, n - 1 - got)) > 0)
        got += (size_t)more;
    said[got] = 0;
    close(ends[0]);
    return waitpid(child, &status, 0) == child && WIFSIGNALED(status);
}

/* The line that says what was seen; else the last one. */
static const char *word_of(char *said)
{
    char *at = strstr(said, "violation: "), *end;

    if (at == NULL)
        at = strstr(said, "assertion failed");
    if (at == NULL)
        return "it died";
    end = strchr(at, '\n');
    if (end != NULL)
        *end = 0;
    return at;
}

/* Of children, in seconds: what a hunt costs, however busy the machine is. */
static double cpu_s(void)
{
    struct rusage u;

    getrusage(RUSAGE_CHILDREN, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static bool hunt(const struct planted *b, unsigned number)
{
    uint64_t seeds = from_env("HUNT_SEEDS", 1000);
    double from = cpu_s();
    char said[4096];

    bug = b;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        if (!child_dies(seed, said, sizeof said))
            continue;
        printf("ok %u - %s: caught by seed %llu after %.1f s: %s\n", number, b->name,
               (unsigned long long)seed, cpu_s() - from, word_of(said));
        fflush(stdout);
        return true;
    }
    printf("not ok %u - %s: %s, and %llu seeds do not notice\n", number, b->name, b->what,
           (unsigned long long)seeds);
    return false;
}

static int hunts(const char *name)
{
    const struct planted *one = name == NULL ? NULL : planted_find(name);
    bool all_caught = true;

    if (name != NULL && one == NULL) {
        fprintf(stderr, "no planted bug is called %s\n", name);
        return 2;
    }
    printf("1..%u\n", one != NULL ? 1 : planted_n);
    fflush(stdout);
    for (unsigned i = 0; i < (one != NULL ? 1 : planted_n); i++)
        all_caught = hunt(one != NULL ? one : &planted_bugs[i], i + 1) && all_caught;
    return all_caught ? 0 : 1;
}

static int one(uint64_t seed, bool print)
{
    uint64_t operations;

    cluster_again = again(seed);
    if (bug != NULL && bug->code != 0 && !planted_begin(bug))
        return 2;
    if (print) {
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

static const char usage[] =
    "usage: swarm                      seeds SIM_FROM (1) to SIM_SEEDS (200), every SIM_STEP-th\n"
    "       swarm --seed N [--print] [--bug NAME]\n"
    "       swarm --once               seeds that found something once\n"
    "       swarm --hunt [NAME]        planted bugs, until each is caught\n";

static int misused(const char *word)
{
    fprintf(stderr, "swarm: %s: not understood\n%s", word, usage);
    return 2;
}

/* All of the text, in decimal. */
static bool read_seed(const char *text, uint64_t *ret)
{
    const char *at = text;
    uint64_t seed = 0;

    for (; *at >= '0' && *at <= '9' && at - text < 19; at++)
        seed = seed * 10 + (uint64_t)(*at - '0');
    *ret = seed;
    return at > text && *at == 0;
}

int main(int argc, char **argv)
{
    uint64_t seed = 0;
    bool print = false, single = false;

    if (argc >= 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }

    if (argc >= 2 && argc <= 3 && strcmp(argv[1], "--hunt") == 0)
        return hunts(argc > 2 ? argv[2] : NULL);
    if (argc == 2 && strcmp(argv[1], "--once") == 0)
        return again_once();
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(argv[i], "--print") == 0) {
            print = true;
        } else if (strcmp(argv[i], "--bug") == 0 && (bug = planted_find(next)) != NULL) {
            i++;
        } else if (strcmp(argv[i], "--seed") == 0 && read_seed(next, &seed)) {
            single = true;
            i++;
        } else {
            return misused(argv[i]);
        }
    }
    return single ? one(seed, print) : all();
}
