/* test_consensus_chaos.c - seeds: first faults and requests, then everything heals and
 * the members must agree. `test_consensus_chaos FROM TO [STEPS]` plays other seeds;
 * MK_UNCURED=bits leaves cures out, to see what finds them. */
#include "unit.h"

#include "raft_world.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <stdlib.h>

#define SEEDS 400
#define STEPS 150

static void random_change(struct world *w, struct world_node *l)
{
    struct mk_configuration conf = *mk_consensus_configuration(l->c);
    uint64_t who = 1 + world_random(w, 4);
    unsigned voters = mk_configuration_voters(&conf), i = 0;

    while (i < conf.n && conf.servers[i].id != who)
        i++;
    if (i == conf.n)
        conf.servers[conf.n++] = (struct mk_server){who, MK_SERVER_LEARNER};
    else if (conf.servers[i].role == MK_SERVER_LEARNER && world_random(w, 2) == 0)
        conf.servers[i].role = MK_SERVER_VOTER;
    else if (conf.servers[i].role == MK_SERVER_LEARNER || voters > 2)
        conf.servers[i] = conf.servers[--conf.n];
    else
        return;
    world_change(w, l, &conf);
}

static void step(struct world *w)
{
    unsigned k = world_random(w, 100), id = 1 + world_random(w, 4);
    struct world_node *x = &w->node[id], *l = world_leader(w);

    if (k < 60 && l == NULL)
        ;
    else if (k < 50)
        world_submit(w, l, 1 + world_random(w, 200));
    else if (k < 55)
        for (unsigned i = world_random(w, 40); i > 0 && l->role == MK_ROLE_LEADER; i--)
            world_submit(w, l, 64);
    else if (k < 60)
        world_read(w, l);
    else if (k < 64 && x->up)
        world_crash(w, id);
    else if (k >= 64 && k < 74 && !x->up)
        world_start(w, id);
    else if (k >= 74 && k < 77)
        world_isolate(w, id, true);
    else if (k >= 77 && k < 84)
        world_isolate(w, id, false);
    else if (k >= 84 && k < 90 && x->up)
        world_snapshot(w, x, world_random(w, 5));
    else if (k >= 90 && k < 93 && l != NULL)
        world_transfer(w, l, world_random(w, 2) == 0 ? 0 : 1 + world_random(w, 4));
    else if (k >= 93 && l != NULL)
        random_change(w, l);
    world_run(w, world_random(w, 60));
}

/* All is well again: a submit must be agreed on, and a read be answered. */
static bool recovers(struct world *w)
{
    world_heal(w);
    for (unsigned i = 1; i <= 4; i++)
        if (!w->node[i].up)
            world_start(w, i);
    for (int tries = 0; tries < 20 && w->found == NULL; tries++) {
        struct world_node *l = world_wait_leader(w, 3000);
        uint64_t reads = w->reads;

        world_run(w, 100);
        if (l == NULL || !l->up || world_submit(w, l, 10) != 0)
            continue;
        if (!world_wait_agreement(w, 3000) || world_leader(w) != l)
            continue;
        l->read_ticket = 0;
        if (!world_read(w, l))
            continue;
        world_run(w, 200);
        if (w->reads > reads)
            return true;
    }
    return false;
}

static struct world *play(uint64_t seed, unsigned steps, unsigned uncured, const char **ret_why)
{
    struct world *w = world_new(seed);

    w->uncured = uncured;
    w->hints = world_random(w, 2) == 0;
    w->drop_percent = world_random(w, 20);
    w->delay_max = 1 + world_random(w, 40);
    w->disk_max = world_random(w, 30);
    world_boot(w, 3);
    world_start(w, 4);
    for (unsigned i = 0; i < steps && w->found == NULL; i++)
        step(w);
    *ret_why = w->found;
    if (w->found == NULL && !recovers(w))
        *ret_why = w->found != NULL ? w->found : "no agreement after everything healed";
    return w;
}

static unsigned play_all(uint64_t from, uint64_t to, unsigned steps, unsigned uncured)
{
    uint64_t installs = 0, reads = 0, changes = 0, events = 0;
    unsigned bad = 0;

    for (uint64_t seed = from; seed < to; seed++) {
        const char *why;
        struct world *w = play(seed, steps, uncured, &why);

        if (why != NULL) {
            bad++;
            fprintf(stderr, "# seed %llu: %s, at %llu ms\n", (unsigned long long)seed, why,
                    (unsigned long long)w->now);
            world_say(w);
        }
        installs += w->installs;
        reads += w->reads;
        changes += w->changes;
        events += w->events;
        world_free(w);
    }
    fprintf(stderr, "# %llu events, %llu installs, %llu reads, %llu changes, %u bad\n",
            (unsigned long long)events, (unsigned long long)installs, (unsigned long long)reads,
            (unsigned long long)changes, bad);
    return bad;
}

static void seeds_agree_and_recover(void **state)
{
    (void)state;
    assert_int_equal(play_all(0, SEEDS, STEPS, 0), 0);
}

static void a_seed_always_plays_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 1000; seed < 1010; seed++) {
        const char *why;
        struct world *a = play(seed, STEPS, 0, &why), *b = play(seed, STEPS, 0, &why);

        assert_int_equal(a->events, b->events);
        assert_int_equal(a->random, b->random);
        assert_memory_equal(a->states, b->states, WORLD_HISTORY * sizeof *a->states);
        world_free(a);
        world_free(b);
    }
}

static uint64_t number(const char *digits)
{
    uint64_t v = 0;

    for (; *digits >= '0' && *digits <= '9'; digits++)
        v = 10 * v + (uint64_t)(*digits - '0');
    return v;
}

/* --- hunting: the faults of the library, uncured ----------------------------------------- */

struct caught {
    uint64_t seed;
    char why[200];
};

/* In a child, since some end by an assertion. */
static bool catches(unsigned uncured, uint64_t seeds, struct caught *shared)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(2);
        for (shared->seed = 0; shared->seed < seeds; shared->seed++) {
            const char *why;
            struct world *w = play(shared->seed, STEPS, uncured, &why);

            snprintf(shared->why, sizeof shared->why, "%s", why == NULL ? "an assertion" : why);
            world_free(w);
            if (why != NULL)
                _exit(1);
        }
        _exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child &&
           (WIFSIGNALED(status) || WEXITSTATUS(status) == 1);
}

/* Of children, in seconds: what a hunt costs, however busy the machine is. */
static double cpu_s(void)
{
    struct rusage u;

    getrusage(RUSAGE_CHILDREN, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* The first four, and those that random seeds find besides. */
static int hunt(uint64_t seeds)
{
    static const struct {
        unsigned cure;
        const char *name;
    } faults[] = {
        {MK_CURE_TRIM, "fault 1, an append behind the snapshot"},
        {MK_CURE_SPLIT, "fault 2, a configuration within a message"},
        {MK_CURE_REFUSAL_TERM, "fault 3, the term of a refused pre-vote"},
        {MK_CURE_CHANGE, "fault 4, a change before all hold the last"},
        {MK_CURE_COMMIT, "fault 7, the commit index taken back"},
        {MK_CURE_SETTLE, "fault 8, two configurations rolled back"},
    };
    const unsigned n = sizeof faults / sizeof faults[0];
    struct caught *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool all = true;

    printf("1..%u\n", n);
    fflush(stdout);
    for (unsigned i = 0; i < n && shared != MAP_FAILED; i++) {
        double from = cpu_s();
        bool caught = catches(faults[i].cure, seeds, shared);

        printf("%s %u - %s, uncured: %s by seed %llu after %.1f s: %s\n", caught ? "ok" : "not ok",
               i + 1, faults[i].name, caught ? "caught" : "not caught",
               (unsigned long long)shared->seed, cpu_s() - from, shared->why);
        fflush(stdout);
        all = all && caught;
    }
    return all && shared != MAP_FAILED ? 0 : 1;
}

/* test_consensus_chaos [--hunt SEEDS | FROM TO [STEPS]] */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeds_agree_and_recover),
        cmocka_unit_test(a_seed_always_plays_the_same),
    };

    if (argc == 3 && strcmp(argv[1], "--hunt") == 0)
        return hunt(number(argv[2]));
    if (argc >= 3) {
        const char *uncured = getenv("MK_UNCURED");
        unsigned steps = argc > 3 ? (unsigned)number(argv[3]) : STEPS;

        return play_all(number(argv[1]), number(argv[2]), steps,
                        uncured == NULL ? 0 : (unsigned)number(uncured)) != 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
