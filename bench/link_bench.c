/* link_bench.c - what a link costs: two processes on loopback, TLS 1.3 between them.
 *
 *     link_bench [conversations [bytes [seconds]]]      64, 128 and 2 without
 *
 *   echo    every conversation has one message under way: it comes back, then the
 *           next one goes. Messages counted in both directions.
 *   stream  every conversation sends as long as there is credit; the other side
 *           gives it back at once.
 *   large   the same with messages of 1 MiB on one conversation.
 *
 * A line each: messages a second, and microseconds of CPU a message in either process. */
#include "net/net.h"
#include <mosaik/loop.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONVS_MAX 1024

struct bench {
    struct mk_env *env;
    struct mk_net *net;
    struct mk_key key;
    struct mk_service echo, sink;
    struct mk_net_watch watch;
    bool up, streaming, over;
    uint64_t n_got, n_sent;
    uint8_t *block;
    size_t block_n;
    struct mk_conv *convs[CONVS_MAX];
};

static struct bench bench; /* of this process */

static double seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_of(int who)
{
    struct rusage u;

    getrusage(who, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* --- the serving process ------------------------------------------------------------- */

static void serve_echo(struct mk_conv *c, struct mk_bytes m)
{
    mk_conv_consumed(c, m.n);
    if (mk_conv_send(c, m) != 0)
        exit(3);
}

static void serve_sink(struct mk_conv *c, struct mk_bytes m)
{
    mk_conv_consumed(c, m.n);
}

static void serve_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    (void)c;
    (void)close;
    (void)detail;
}

static const struct mk_conv_cbs serve_echo_cbs = {serve_echo, NULL, serve_closed};
static const struct mk_conv_cbs serve_sink_cbs = {serve_sink, NULL, serve_closed};

static unsigned serve_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                             char detail[MK_REASON_MAX])
{
    (void)first;
    (void)detail;
    c->cbs = s == &bench.echo ? &serve_echo_cbs : &serve_sink_cbs;
    return 0;
}

static void serve_down(struct mk_net_watch *w, const struct mk_peer *peer, unsigned close,
                       const char *detail)
{
    (void)w;
    (void)peer;
    (void)close;
    (void)detail;
    mk_loop_stop(bench.env);
}

static void bench_open(uint8_t key)
{
    struct mk_net_options o = {.key = &bench.key, .network = MK_UNIVERSE};
    uint8_t seed[32] = {key};

    mk_key_from_seed(&bench.key, seed);
    if (mk_loop_open(&bench.env, NULL, NULL) != 0 || mk_net_open(bench.env, &bench.net, &o) != 0)
        exit(2);
}

static void serve(int port_fd)
{
    uint16_t port;

    bench_open(1);
    bench.echo = (struct mk_service){.proto = "echo", .accept = serve_accept};
    bench.sink = (struct mk_service){.proto = "sink", .accept = serve_accept};
    bench.watch.down = serve_down;
    mk_net_watch(bench.net, &bench.watch);
    if (mk_net_listen(bench.net, "127.0.0.1:0", NULL) != 0 ||
        mk_net_serve(bench.net, &bench.echo) != 0 || mk_net_serve(bench.net, &bench.sink) != 0)
        exit(2);
    port = mk_net_port(bench.net);
    if (write(port_fd, &port, sizeof port) != sizeof port)
        exit(2);
    mk_loop_run(bench.env);
    mk_net_close(bench.net);
    mk_loop_free(bench.env);
    exit(0);
}

/* --- the asking process -------------------------------------------------------------- */

static void ask_send(struct mk_conv *c)
{
    while (!bench.over && mk_conv_send(c, MK_BYTES(bench.block, bench.block_n)) == 0) {
        bench.n_sent++;
        if (!bench.streaming)
            return;
    }
}

static void ask_message(struct mk_conv *c, struct mk_bytes m)
{
    bench.n_got++;
    mk_conv_consumed(c, m.n);
    ask_send(c);
}

static void ask_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    (void)c;
    if (bench.over)
        return;
    fprintf(stderr, "link_bench: %s: %s\n", mk_close_name(close), detail);
    exit(1);
}

static const struct mk_conv_cbs ask_cbs = {ask_message, ask_send, ask_closed};

static void ask_up(struct mk_net_watch *w, struct mk_link *l)
{
    (void)w;
    (void)l;
    bench.up = true;
}

static bool is_up(void *arg)
{
    (void)arg;
    return bench.up;
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

static void ask_link(uint16_t port)
{
    static struct mk_dial d;
    struct mk_key server;
    uint8_t seed[32] = {1};
    char address[64];

    mk_key_from_seed(&server, seed);
    bench_open(2);
    bench.watch.up = ask_up;
    mk_net_watch(bench.net, &bench.watch);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    mk_net_dial(bench.net, &d, &server.peer, address);
    if (!mk_loop_run_until(bench.env, is_up, NULL, 5000))
        exit(1);
}

/* One row: a server of its own, in a process of its own. */
static void bench_row(const char *row, unsigned n_convs, size_t block_n, unsigned seconds)
{
    double t, cpu, cpu_server = cpu_of(RUSAGE_CHILDREN);
    uint16_t port;
    int fds[2];
    double n;

    memset(&bench, 0, sizeof bench);
    if (pipe(fds) != 0)
        exit(2);
    if (fork() == 0)
        serve(fds[1]);
    if (read(fds[0], &port, sizeof port) != sizeof port)
        exit(2);
    ask_link(port);
    bench.streaming = strcmp(row, "echo") != 0;
    bench.block_n = block_n;
    bench.block = calloc(1, block_n);
    t = seconds_now();
    cpu = cpu_of(RUSAGE_SELF);
    for (unsigned i = 0; i < n_convs; i++) {
        if (mk_conv_open(mk_net_next_link(bench.net, NULL), &bench.convs[i],
                         bench.streaming ? "sink" : "echo", MK_BYTES("", 0), &ask_cbs, NULL) != 0)
            exit(1);
        ask_send(bench.convs[i]);
    }
    mk_loop_run_until(bench.env, never, NULL, seconds * 1000);
    bench.over = true;
    t = seconds_now() - t;
    cpu = cpu_of(RUSAGE_SELF) - cpu;
    n = (double)(bench.streaming ? bench.n_sent : 2 * bench.n_got);
    mk_net_close(bench.net);
    mk_loop_free(bench.env);
    wait(NULL);
    cpu_server = cpu_of(RUSAGE_CHILDREN) - cpu_server;
    printf("%-7s %4u conversations of %7zu bytes: %9.0f messages/s, %7.1f MB/s; CPU a message "
           "%.2f + %.2f us\n",
           row, n_convs, block_n, n / t, n / t * (double)block_n / 1e6, cpu / n * 1e6,
           cpu_server / n * 1e6);
    fflush(stdout);
    free(bench.block);
    close(fds[0]);
    close(fds[1]);
}

/* A number above 0, in digits alone; 0 for anything else. */
static size_t number(const char *s)
{
    size_t v = 0;

    for (; *s >= '0' && *s <= '9' && v <= MK_NET_MESSAGE_MAX; s++)
        v = v * 10 + (size_t)(*s - '0');
    return *s == 0 ? v : 0;
}

int main(int argc, char **argv)
{
    unsigned n_convs = argc > 1 ? (unsigned)number(argv[1]) : 64;
    size_t bytes = argc > 2 ? number(argv[2]) : 128;
    unsigned seconds = argc > 3 ? (unsigned)number(argv[3]) : 2;

    if (n_convs == 0 || n_convs > CONVS_MAX || bytes == 0 || bytes > MK_NET_MESSAGE_MAX ||
        seconds == 0)
        return 2;
    bench_row("echo", n_convs, bytes, seconds);
    bench_row("stream", n_convs, bytes, seconds);
    bench_row("large", 1, MK_NET_MESSAGE_MAX, seconds);
    return 0;
}
