/* kv_load.c - the benchmark's client, measuring as the peers' clients do (one thread, a
 * closed loop of N outstanding, warm-up discarded, latency from issue to answer).
 *
 *     kv_load load MEMBERS BASE_PORT OUTSTANDING WARM_S MEASURE_S [VALUE_BYTES [GROUPS]]
 *                                                 (OUTSTANDING and KEYS in all, evenly over
 *                                                 the groups: the peers have as many)
 *     kv_load start MEMBERS BASE_PORT T0_NS          ms from T0 (CLOCK_MONOTONIC) to the first
 * write kv_load kill MEMBERS BASE_PORT SIGNAL PID... : a write every 5 ms; SIGNAL goes to the
 * leader's process (PID list in member order); ms to the first write begun and done after it
 *
 *     kv_load fill MEMBERS BASE_PORT OUTSTANDING KEYS VALUE_BYTES      writes each key once
 *     kv_load pace MEMBERS BASE_PORT RATE VALUE_BYTES        RATE writes a second until SIGTERM;
 *                                                 latency from when each was to begin
 *
 * PIDS in the environment (of the servers) adds their CPU time a write. */
#include "kv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define KEYS 10000u
#define TIMEOUT_MS 60000u

struct load;

struct request {
    struct mk_exec x;
    struct load *load;
    struct mk_bond *bond;
    uint64_t t0;
    bool busy;
};

struct load {
    struct mk_env *loop;
    struct mk_network *net;
    struct mk_bond *bonds[KV_GROUPS_MAX];
    unsigned n_groups;
    struct request *requests;
    unsigned n;
    size_t value_bytes;
    uint64_t sequence, last, keys, done, errors;
    uint64_t scheduled_ns; /* pace: when the next was to begin; 0: now */
    bool reissue, measuring;
    uint32_t *latencies; /* in 100 ns */
    size_t n_latencies, cap;
    uint64_t killed_ns, first_after_ns, last_before_ns;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t); /* a benchmark's clock */
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/** User and system time of the processes in PIDS, in us. */
static double servers_cpu_us(void)
{
    const char *pids = getenv("PIDS");
    double total = 0;

    while (pids != NULL && *pids != '\0') {
        char path[64], line[1024], *end;
        long pid = strtol(pids, &end, 10);
        unsigned long user, system;
        const char *p;
        FILE *f;

        if (end == pids)
            break;
        pids = end + strspn(end, " ,\n");
        snprintf(path, sizeof path, "/proc/%ld/stat", pid);
        f = fopen(path, "r");
        if (f == NULL)
            continue;
        if (fgets(line, sizeof line, f) != NULL && (p = strrchr(line, ')')) != NULL &&
            sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) ==
                2)
            total += (double)(user + system) * 1e6 / (double)sysconf(_SC_CLK_TCK);
        fclose(f);
    }
    return total;
}

static void note(struct load *l, uint64_t ns)
{
    if (l->n_latencies == l->cap) {
        l->cap = l->cap != 0 ? l->cap * 2 : 65536;
        l->latencies = mk_realloc(l->latencies, l->cap * sizeof *l->latencies);
    }
    l->latencies[l->n_latencies++] = ns / 100 > UINT32_MAX ? UINT32_MAX : (uint32_t)(ns / 100);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static double percentile(const struct load *l, double p)
{
    size_t i = (size_t)(p * (double)l->n_latencies);

    if (l->n_latencies == 0)
        return 0;
    return l->latencies[i < l->n_latencies ? i : l->n_latencies - 1] / 10.0;
}

static void issue(struct request *r);

static void exec_cb(struct mk_exec *x, int status, const struct mk_outcome *outcome,
                    const struct mk_fault *fault)
{
    struct request *r = mk_container_of(x, struct request, x);
    struct load *l = r->load;
    uint64_t t = now_ns();

    (void)outcome;
    r->busy = false;
    if (status == MK_ECANCELED && !l->measuring)
        return; /* it was under way when we ended */
    if (status != 0) {
        l->errors++;
        if (l->errors == 1)
            fprintf(stderr, "first error: %s\n", fault->text);
        return;
    }
    l->done++;
    if (l->measuring)
        note(l, t - r->t0);
    if (l->killed_ns == 0)
        l->last_before_ns = t;
    else if (r->t0 > l->killed_ns && l->first_after_ns == 0)
        l->first_after_ns = t;
    if (l->reissue && (l->last == 0 || l->sequence < l->last))
        issue(r);
}

static void issue(struct request *r)
{
    struct load *l = r->load;
    uint8_t value[4096];
    char key[16];
    struct kv_put put = {.key = MK_BYTES(key, 9), .value = MK_BYTES(value, l->value_bytes)};
    struct mk_buf b = {0};
    int rv;

    snprintf(key, sizeof key, "k%08u", (unsigned)(l->sequence % l->keys));
    memset(value, 'v', l->value_bytes);
    memcpy(value, &l->sequence, sizeof l->sequence); /* each write changes something */
    l->sequence++;
    mk_encode(&b, &kv_put_type, &put);
    r->x.cb = exec_cb;
    r->busy = true;
    r->t0 = l->scheduled_ns != 0 ? l->scheduled_ns : now_ns();
    rv = mk_execute(r->bond, &r->x, mk_buf_bytes(&b), MK_STEP_COMMITTED, TIMEOUT_MS);
    mk_buf_done(&b);
    if (rv != 0) {
        r->busy = false;
        l->errors++;
    }
}

static void requests_new(struct load *l, unsigned n)
{
    l->n = n;
    l->requests = mk_alloc(n * sizeof *l->requests);
    for (unsigned i = 0; i < n; i++) {
        l->requests[i].load = l;
        l->requests[i].bond = l->bonds[i % l->n_groups];
    }
}

static void run_ns(struct load *l, uint64_t ns)
{
    uint64_t until = now_ns() + ns;

    while (now_ns() < until)
        mk_loop_turn(l->loop, 10);
}

static int load_main(struct load *l, char **argv)
{
    unsigned outstanding = (unsigned)strtoul(argv[4], NULL, 10);
    double warm = strtod(argv[5], NULL), measure = strtod(argv[6], NULL), cpu, seconds;
    uint64_t started, done, cpu_done;

    requests_new(l, outstanding);
    l->reissue = true;
    for (unsigned i = 0; i < outstanding; i++)
        issue(&l->requests[i]);
    run_ns(l, (uint64_t)(warm * 1e9));
    l->measuring = true;
    cpu = servers_cpu_us();
    cpu_done = l->done;
    started = now_ns();
    run_ns(l, (uint64_t)(measure * 1e9));
    l->measuring = false;
    seconds = (double)(now_ns() - started) / 1e9;
    cpu = servers_cpu_us() - cpu;
    done = l->done - cpu_done;
    l->reissue = false;
    if (l->n_latencies > 0)
        qsort(l->latencies, l->n_latencies, sizeof *l->latencies, compare);
    printf("out=%u rate=%.0f p50_us=%.0f p99_us=%.0f max_us=%.0f err=%llu srv_cpu_us_per_op=%.1f "
           "srv_cores=%.2f\n",
           outstanding, (double)done / seconds, percentile(l, .5), percentile(l, .99),
           percentile(l, 1), (unsigned long long)l->errors, done > 0 ? cpu / (double)done : 0,
           cpu / 1e6 / seconds);
    return done > 0 ? 0 : 1;
}

static void print_latencies(struct load *l)
{
    if (l->n_latencies > 0)
        qsort(l->latencies, l->n_latencies, sizeof *l->latencies, compare);
    printf("done=%llu err=%llu p50_us=%.0f p99_us=%.0f max_us=%.0f\n", (unsigned long long)l->done,
           (unsigned long long)l->errors, percentile(l, .5), percentile(l, .99), percentile(l, 1));
}

static int fill_main(struct load *l, char **argv)
{
    unsigned outstanding = (unsigned)strtoul(argv[4], NULL, 10);

    l->keys = l->last = strtoul(argv[5], NULL, 10);
    requests_new(l, outstanding);
    l->reissue = l->measuring = true;
    for (unsigned i = 0; i < outstanding; i++)
        issue(&l->requests[i]);
    while (l->done + l->errors < l->last)
        mk_loop_turn(l->loop, 10);
    print_latencies(l);
    return l->errors == 0 ? 0 : 1;
}

static bool stopped;

static void stop_cb(void *arg, int signo)
{
    (void)arg;
    (void)signo;
    stopped = true;
}

static int pace_main(struct load *l, char **argv)
{
    uint64_t step = 1000000000u / strtoul(argv[4], NULL, 10), next = now_ns();

    mk_loop_on_signal(l->loop, stop_cb, NULL);
    requests_new(l, 4096);
    l->measuring = true;
    while (!stopped) {
        while (now_ns() >= next) {
            unsigned i = 0;

            while (i < l->n && l->requests[i].busy)
                i++;
            l->scheduled_ns = next;
            next += step;
            if (i < l->n)
                issue(&l->requests[i]);
            else
                l->errors++;
        }
        mk_loop_turn(l->loop, 1);
    }
    l->measuring = false;
    print_latencies(l);
    return l->errors == 0 ? 0 : 1;
}

static int start_main(struct load *l, char **argv)
{
    uint64_t t0 = strtoull(argv[4], NULL, 10);

    requests_new(l, 1);
    issue(&l->requests[0]);
    while (l->requests[0].busy)
        mk_loop_turn(l->loop, 10);
    printf("first_write_ms=%.0f\n", (double)(now_ns() - t0) / 1e6);
    return l->done == 1 ? 0 : 1;
}

static int kill_main(struct load *l, char **argv)
{
    int signo = (int)strtol(argv[4], NULL, 10);
    long pid = strtol(argv[5], NULL, 10);
    uint64_t next = now_ns(), begin = next, warm = 2000000000u;

    requests_new(l, 4096);
    while (l->first_after_ns == 0 && now_ns() - begin < 30000000000u) {
        if (l->killed_ns == 0 && now_ns() - begin > warm) {
            l->killed_ns = now_ns();
            kill((pid_t)pid, signo);
        }
        if (now_ns() >= next) {
            next += 5000000;
            for (unsigned i = 0; i < l->n; i++) {
                if (!l->requests[i].busy) {
                    issue(&l->requests[i]);
                    break;
                }
            }
        }
        mk_loop_turn(l->loop, 1);
    }
    if (l->first_after_ns == 0) {
        printf("failover timeout\n");
        return 1;
    }
    printf("failover_ms=%.0f\n", (double)(l->first_after_ns - l->killed_ns) / 1e6);
    return 0;
}

static int bind(struct load *l, const struct kv_committee *c, struct mk_fault *reterr)
{
    for (unsigned i = 0; i < l->n_groups; i++) {
        struct kv_group g;
        struct mk_reference ref;
        int rv;

        kv_group_init(&g, c, i);
        ref = kv_reference(c, &g);
        rv = mk_bond_open(l->net, &l->bonds[i], &ref, reterr);
        if (rv != 0)
            return rv;
    }
    for (unsigned i = 0; i < l->n_groups; i++) {
        int rv = mk_bond_wait(l->bonds[i], 30000, reterr);

        if (rv != 0)
            return rv;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct load l = {.value_bytes = 128, .n_groups = 1};
    struct kv_committee c;
    struct mk_fault fault = {{0}};
    int rv;

    if (argc < 4 || (argc < 5 && strcmp(argv[1], "addresses") != 0) ||
        (strcmp(argv[1], "load") == 0 && argc < 7) || (strcmp(argv[1], "kill") == 0 && argc < 6)) {
        fprintf(stderr, "usage: kv_load load|fill|pace|start|kill MEMBERS BASE_PORT ...\n");
        return 2;
    }
    if (strcmp(argv[1], "load") == 0 && argc > 7)
        l.value_bytes = strtoul(argv[7], NULL, 10);
    if (strcmp(argv[1], "load") == 0 && argc > 8)
        l.n_groups = (unsigned)strtoul(argv[8], NULL, 10);
    if (strcmp(argv[1], "fill") == 0 || strcmp(argv[1], "pace") == 0) {
        if (argc < (argv[1][0] == 'f' ? 7 : 6))
            return 2;
        l.value_bytes = strtoul(argv[argv[1][0] == 'f' ? 6 : 5], NULL, 10);
    }
    if (l.value_bytes < 8 || l.value_bytes > 4096 || l.n_groups == 0 || l.n_groups > KV_GROUPS_MAX)
        return 2;
    l.keys = (KEYS + l.n_groups - 1) / l.n_groups;
    kv_committee_init(&c, (unsigned)strtoul(argv[2], NULL, 10),
                      (unsigned)strtoul(argv[3], NULL, 10));
    if (strcmp(argv[1], "addresses") == 0) {
        for (unsigned i = 0; i < c.n; i++)
            printf("%s\n", c.addresses[i]);
        return 0;
    }
    if (mk_loop_open(&l.loop, NULL, &fault) != 0 ||
        mk_network_open(l.loop, &l.net, &(struct mk_network_options){0}, &fault) != 0 ||
        bind(&l, &c, &fault) != 0) {
        fprintf(stderr, "kv_load: %s\n", fault.text);
        return 1;
    }
    if (strcmp(argv[1], "load") == 0)
        rv = load_main(&l, argv);
    else if (strcmp(argv[1], "fill") == 0)
        rv = fill_main(&l, argv);
    else if (strcmp(argv[1], "pace") == 0)
        rv = pace_main(&l, argv);
    else if (strcmp(argv[1], "start") == 0)
        rv = start_main(&l, argv);
    else
        rv = kill_main(&l, argv);
    fflush(stdout);
    mk_network_close(l.net);
    mk_loop_free(l.loop);
    mk_free(l.requests);
    mk_free(l.latencies);
    return rv;
}
