/* fan.c - one producer, many subscribers, TLS between them: two processes on loopback.
 *
 *     fan rate SUBSCRIBERS BYTES SECONDS         as fast as the slowest takes it
 *     fan pace SUBSCRIBERS BYTES SECONDS RATE    so many items a second: latency
 *     fan stall SUBSCRIBERS BYTES SECONDS        as fast as the slowest but one takes it: that
 *                                                one does not read
 *     fan stop SUBSCRIBERS BYTES SECONDS         that one is a process that is stopped
 *
 * The producer is this process; all subscribers are in a second one, each with a key, a
 * network handle and a connection of its own, on one loop: as the peer's client has it
 * (../shared/bench/natsraw.c). The producer stays within 4 MiB of the slowest: in
 * `rate` by its own condition (what subscribers have credit for), in the others by what those
 * that read have got, while it drops what the other one does not take.
 *
 * One line: messages delivered a second over all subscribers, the producer's CPU a delivery,
 * latency at every subscriber (stamped before the item is sent), the producer's memory. */
#include <mosaik/stream.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SUBSCRIBERS_MAX 1024u
#define WINDOW_BYTES (4u << 20)
#define BURST 256u
#define WARM_S 0.7
#define LATENCIES_MAX (1u << 22)

/* Between the two processes. */
struct shared {
    volatile unsigned ready, stopped, over;
    volatile uint64_t last; /* what the slowest of those that read has */
};

static struct shared *shared;
static const struct mk_id surface = {{1}};
static bool pacing, stalling, stopping; /* stopping implies stalling */
static size_t item_n;

static double seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t ns_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/** User and system time of a process, in us. */
static double cpu_us(pid_t pid)
{
    char path[64], line[1024], *at;
    unsigned long user = 0, sys = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    f = fopen(path, "r");
    if (f == NULL)
        return 0;
    if (fgets(line, sizeof line, f) != NULL && (at = strrchr(line, ')')) != NULL)
        sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, /* tidy: ok */
               &sys);
    fclose(f);
    return (double)(user + sys) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

/** KiB that only this process has. */
static unsigned long private_kib(pid_t pid)
{
    char path[64], line[256];
    unsigned long kib = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    f = fopen(path, "r");
    if (f == NULL)
        return 0;
    while (fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "Private_Dirty: %lu", &kib) == 1) /* tidy: ok */
            break;
    fclose(f);
    return kib;
}

/* --- the subscribers ------------------------------------------------------------------ */

static struct {
    struct mk_env *env;
    struct mk_network *nets[SUBSCRIBERS_MAX];
    struct mk_consumer *consumers[SUBSCRIBERS_MAX];
    unsigned n, n_subscribed;
    uint64_t n_items, last[SUBSCRIBERS_MAX];
    bool measuring;
    uint32_t *latencies; /* in units of 100 ns */
    size_t n_latencies;
} subs;

static void subs_item(struct mk_consumer *c, uint64_t seq, struct mk_bytes item)
{
    uint64_t sent, took;

    *(uint64_t *)mk_consumer_owner(c) = seq;
    subs.n_items++;
    if (!subs.measuring || !pacing)
        return;
    memcpy(&sent, item.p, sizeof sent);
    took = (ns_now() - sent) / 100;
    if (subs.n_latencies < LATENCIES_MAX)
        subs.latencies[subs.n_latencies++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
}

static void subs_lost(struct mk_consumer *c, uint64_t first, uint64_t last)
{
    (void)c;
    if (stalling)
        return;
    fprintf(stderr, "fan: items %llu to %llu were lost\n", (unsigned long long)first,
            (unsigned long long)last);
    exit(1);
}

static void subs_state(struct mk_consumer *c, bool subscribed, unsigned close, const char *detail)
{
    (void)c;
    (void)close;
    if (subscribed) {
        subs.n_subscribed++;
    } else if (subs.measuring) {
        fprintf(stderr, "fan: %s\n", detail);
        exit(1);
    }
}

static bool subs_all(void *arg)
{
    (void)arg;
    return subs.n_subscribed == subs.n;
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

/* Runs for so long, and says how far the slowest is that reads. */
static void subs_turns(double seconds)
{
    double end = seconds_now() + seconds;

    while (seconds_now() < end) {
        uint64_t last = UINT64_MAX;

        mk_loop_turn(subs.env, 20);
        for (unsigned i = stalling && !stopping ? 1 : 0; i < subs.n; i++)
            last = subs.last[i] < last ? subs.last[i] : last;
        shared->last = last;
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static double percentile(double part)
{
    size_t i = (size_t)(part * (double)subs.n_latencies);

    if (subs.n_latencies == 0)
        return 0;
    return subs.latencies[i < subs.n_latencies ? i : subs.n_latencies - 1] / 10.0;
}

static void subs_open(uint16_t port)
{
    static const struct mk_consumer_cbs cbs = {
        .item = subs_item, .lost = subs_lost, .state = subs_state};
    struct mk_consumer_options o = {.surface = surface, .from_newest = true};
    struct mk_key producer;
    uint8_t seed[32] = {1};
    char address[64];

    mk_key_from_seed(&producer, seed);
    o.producer = producer.peer;
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)port);
    o.address = address;
    if (mk_loop_open(&subs.env, NULL, NULL) != 0)
        exit(2);
    for (unsigned i = 0; i < subs.n; i++) {
        if (mk_network_open(subs.env, &subs.nets[i], &(struct mk_network_options){0}, NULL) != 0 ||
            mk_consumer_open(subs.nets[i], &subs.consumers[i], &o, &cbs, &subs.last[i]) != 0)
            exit(2);
        /* Within what a stranger's address may have under way. */
        mk_loop_run_until(subs.env, never, NULL, i % 32 == 31 ? 200 : 0);
    }
    if (!mk_loop_run_until(subs.env, subs_all, NULL, 30000)) {
        fprintf(stderr, "fan: %u of %u subscribers are subscribed\n", subs.n_subscribed, subs.n);
        exit(1);
    }
}

static void subs_run(unsigned n, double seconds, uint16_t port)
{
    pid_t producer = getppid();
    double t, cpu;
    uint64_t items;

    subs.n = n;
    subs.latencies = calloc(LATENCIES_MAX, sizeof *subs.latencies);
    subs_open(port);
    if (stalling && !stopping)
        mk_consumer_pause(subs.consumers[0], true);
    shared->ready = 1;
    subs_turns(WARM_S);
    subs.measuring = true;
    items = subs.n_items;
    t = seconds_now();
    cpu = cpu_us(producer);
    subs_turns(seconds);
    subs.measuring = false;
    t = seconds_now() - t;
    cpu = cpu_us(producer) - cpu;
    items = subs.n_items - items;
    qsort(subs.latencies, subs.n_latencies, sizeof *subs.latencies, by_value);
    printf("subs=%u size=%zu delivered_per_s=%.0f cpu_us_per_delivery=%.3f cores=%.2f p50_us=%.1f "
           "p99_us=%.1f private_kib=%lu\n",
           n, item_n, (double)items / t, items > 0 ? cpu / (double)items : 0.0, cpu / 1e6 / t,
           percentile(0.5), percentile(0.99), private_kib(producer));
    fflush(stdout);
    shared->over = 1;
    _exit(items > 0 ? 0 : 1);
}

/* One subscriber that is subscribed and then gets no time at all, until it is killed. */
static void stop_run(uint16_t port)
{
    subs.n = 1;
    subs_open(port);
    shared->stopped = 1;
    raise(SIGSTOP);
    _exit(0);
}

/* --- the producer ----------------------------------------------------------------------- */

static struct {
    struct mk_env *env;
    struct mk_network *net;
    struct mk_producer *producer;
    struct mk_producer_when within;
    bool may_send;
    uint8_t *item;
} prod;

static void within_cb(struct mk_producer_when *w, struct mk_producer *p, bool holds)
{
    (void)w;
    (void)p;
    prod.may_send = holds;
}

static void prod_open(void)
{
    struct mk_producer_options o = {.surface = surface,
                                    .slow = stalling ? MK_SLOW_DROP : MK_SLOW_CLOSE};
    uint8_t seed[32] = {1};
    struct mk_key key;

    mk_key_from_seed(&key, seed);
    if (mk_loop_open(&prod.env, NULL, NULL) != 0 ||
        mk_network_open(prod.env, &prod.net,
                        &(struct mk_network_options){.key = &key, .listen = "127.0.0.1:0"},
                        NULL) != 0 ||
        mk_producer_open(prod.net, &prod.producer, &o) != 0)
        exit(2);
    prod.item = calloc(1, item_n);
    prod.within = (struct mk_producer_when){
        .kind = MK_WHEN_WITHIN, .n = WINDOW_BYTES / item_n, .cb = within_cb};
    if (!stalling)
        mk_producer_when(prod.producer, &prod.within);
    prod.may_send = stalling;
}

static void send_stamped(void)
{
    uint64_t now = ns_now();

    memcpy(prod.item, &now, sizeof now);
    mk_producer_send(prod.producer, MK_BYTES(prod.item, item_n));
}

static void prod_turn_fast(void)
{
    static uint64_t n_sent;

    if (stalling)
        prod.may_send = n_sent < shared->last + WINDOW_BYTES / item_n;
    if (!prod.may_send) {
        mk_loop_turn(prod.env, stalling ? 1 : 20);
        return;
    }
    for (unsigned i = 0; i < BURST; i++)
        send_stamped();
    n_sent += BURST;
    mk_loop_turn(prod.env, 0);
}

static void prod_turn_paced(double rate)
{
    static uint64_t begun, sent;
    uint64_t due, now = ns_now();

    if (begun == 0)
        begun = now;
    due = begun + (uint64_t)((double)sent * 1e9 / rate);
    if (now < due) {
        struct timespec rest = {0, (long)(due - now)};

        nanosleep(&rest, NULL); /* tidy: ok, paced as the peer's client is */
        return;
    }
    for (unsigned i = 0; i < BURST && due <= now; i++) {
        send_stamped();
        sent++;
        due = begun + (uint64_t)((double)sent * 1e9 / rate);
    }
    mk_loop_turn(prod.env, 0);
}

/* --- the two processes, or three ---------------------------------------------------------- */

static bool parse(int argc, char **argv, unsigned *ret_n, double *ret_seconds, double *ret_rate)
{
    const char *what = argc > 1 ? argv[1] : "";

    pacing = strcmp(what, "pace") == 0;
    stopping = strcmp(what, "stop") == 0;
    stalling = stopping || strcmp(what, "stall") == 0;
    if ((!pacing && !stalling && strcmp(what, "rate") != 0) || argc != (pacing ? 6 : 5))
        return false;
    *ret_n = (unsigned)atoi(argv[2]);       /* tidy: ok */
    item_n = (size_t)atoi(argv[3]);         /* tidy: ok */
    *ret_seconds = atof(argv[4]);           /* tidy: ok */
    *ret_rate = pacing ? atof(argv[5]) : 0; /* tidy: ok */
    return *ret_n > (stalling ? 1 : 0) && *ret_n <= SUBSCRIBERS_MAX && item_n >= 8 &&
           item_n <= MK_STREAM_ITEM_MAX && *ret_seconds > 0 && (!pacing || *ret_rate > 0);
}

/* A process of subscribers, which hears of the port through the pipe; seconds 0: the one that is
 * stopped. */
static pid_t subs_fork(unsigned n, double seconds, int *ret_port_fd)
{
    int fds[2];
    uint16_t port;
    pid_t child;

    if (pipe(fds) != 0)
        exit(2);
    child = fork();
    if (child == 0) {
        if (read(fds[0], &port, sizeof port) != sizeof port)
            _exit(2);
        if (seconds > 0)
            subs_run(n, seconds, port);
        stop_run(port);
    }
    *ret_port_fd = fds[1];
    return child;
}

static void tell_port(int fd)
{
    uint16_t port = mk_network_port(prod.net);

    if (write(fd, &port, sizeof port) != sizeof port)
        exit(2);
}

/* Until the readers are through; their status. */
static int produce(pid_t readers, double rate)
{
    int status = 1;

    while (!shared->over) {
        if (!shared->ready || (stopping && !shared->stopped))
            mk_loop_turn(prod.env, 10);
        else if (pacing)
            prod_turn_paced(rate);
        else
            prod_turn_fast();
        if (waitpid(readers, &status, WNOHANG) == readers)
            return status;
    }
    waitpid(readers, &status, 0);
    return status;
}

int main(int argc, char **argv)
{
    int status, readers_fd, stopped_fd = -1;
    double seconds, rate;
    pid_t readers, stopped = -1;
    unsigned n;

    if (!parse(argc, argv, &n, &seconds, &rate)) {
        fprintf(stderr, "usage: fan rate|stall|stop SUBSCRIBERS BYTES SECONDS\n"
                        "       fan pace SUBSCRIBERS BYTES SECONDS RATE\n");
        return 2;
    }
    prctl(PR_SET_TIMERSLACK, 1000);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    readers = subs_fork(stopping ? n - 1 : n, seconds, &readers_fd);
    if (stopping)
        stopped = subs_fork(1, 0, &stopped_fd);
    prod_open();
    tell_port(readers_fd);
    if (stopping)
        tell_port(stopped_fd);
    status = produce(readers, rate);
    if (stopping) {
        kill(stopped, SIGKILL);
        waitpid(stopped, NULL, 0);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
