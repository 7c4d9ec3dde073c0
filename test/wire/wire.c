/* wire.c - a wire of our own between network namespaces, for tests with real processes.
 *
 *     wire NODES [SEED]           NODES namespaces; commands on standard input until its end
 *
 * Why: what a network does to processes (delay, loss, disorder, one direction that is dead) must
 * be done to the real ones too, and the kernel's own means for it are a module that many kernels
 * do not have. A TUN device gives the packets of a namespace to whoever holds its descriptor, so
 * one process that holds one of each namespace is the wire among them.
 *
 * Node i has the address 10.99.0.(i + 1). For each it prints `node I ADDRESS NAMESPACE`, where
 * NAMESPACE is a path for nsenter(1), then `ready`. Each command is answered by one line, `ok ...`
 * or `error ...`:
 *
 *     set FROM TO KEY=VALUE...    FROM and TO are numbers or `*`; one direction only. Keys:
 *                                 delay, jitter (us; jitter keeps the order),
 *                                 loss, dup, reorder (of a million; a reordered packet waits
 *                                 once more, so that others overtake it),
 *                                 rate (bytes a second, 0: no limit), queue (bytes), cut (0, 1)
 *     clear                       everything passes at once again
 *     show FROM TO                what became of the packets of one direction so far
 *
 * A cut swallows what is on its way too, as a partition does. The choices follow from SEED and
 * the order of packets. All that is held is bounded by `queue` of each direction. */
#include "lines.h"
#include "wire_pair.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/if_tun.h>
#include <net/if.h>

#define NODES_MAX 16u
#define PACKET_MAX 65536u
#define TURN_PACKETS 64u /* of one device before the others have their turn */

struct wire {
    unsigned n;
    int tun[NODES_MAX], ns[NODES_MAX];
    struct wire_pair pair[NODES_MAX][NODES_MAX];
    struct wire_queue queue;
    uint64_t prng;
    struct lines commands;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int fail(const char *what)
{
    fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
    return -1;
}

/* --- namespaces and devices ----------------------------------------------------------- */

static int interface_up(int s, const char *name, const char *address)
{
    struct ifreq r;
    struct sockaddr_in *a = (struct sockaddr_in *)&r.ifr_addr;

    memset(&r, 0, sizeof r);
    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    if (address != NULL) {
        a->sin_family = AF_INET;
        if (inet_pton(AF_INET, address, &a->sin_addr) != 1 || ioctl(s, SIOCSIFADDR, &r) != 0)
            return fail("an address");
        if (inet_pton(AF_INET, "255.255.255.0", &a->sin_addr) != 1 ||
            ioctl(s, SIOCSIFNETMASK, &r) != 0)
            return fail("a netmask");
    }
    if (ioctl(s, SIOCGIFFLAGS, &r) != 0)
        return fail("flags of a device");
    r.ifr_flags |= IFF_UP | IFF_RUNNING;
    return ioctl(s, SIOCSIFFLAGS, &r) == 0 ? 0 : fail("a device up");
}

/* A namespace, which this process is in afterwards, and its device. */
static int node_open(struct wire *w, unsigned i)
{
    struct ifreq r = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    char address[32];
    int s, rv;

    if (unshare(CLONE_NEWNET) != 0)
        return fail("a network namespace");
    w->ns[i] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    w->tun[i] = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (w->ns[i] < 0 || w->tun[i] < 0)
        return fail("/dev/net/tun");
    snprintf(r.ifr_name, sizeof r.ifr_name, "wire");
    if (ioctl(w->tun[i], TUNSETIFF, &r) != 0)
        return fail("a TUN device");
    s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return fail("a socket");
    snprintf(address, sizeof address, WIRE_NET ".%u", i + 1);
    rv = interface_up(s, "lo", NULL) == 0 && interface_up(s, "wire", address) == 0 ? 0 : -1;
    close(s);
    return rv;
}

/* --- packets ---------------------------------------------------------------------------- */

static void deliver(struct wire *w, const struct wire_packet *p)
{
    struct wire_pair *x = &w->pair[p->from][p->to];

    if (x->rule.cut) {
        x->count.cut++;
        return;
    }
    if (write(w->tun[p->to], p->bytes, p->n) == (ssize_t)p->n)
        x->count.passed++;
    else
        x->count.full++; /* the device's queue: a wire drops, too */
}

/* The node that an IPv4 packet is for, or n. */
static unsigned addressee(const struct wire *w, const uint8_t *p, size_t n)
{
    static const uint8_t net[3] = {10, 99, 0};

    if (n < 20 || p[0] >> 4 != 4 || memcmp(p + 16, net, 3) != 0 || p[19] == 0 || p[19] > w->n)
        return w->n;
    return p[19] - 1u;
}

static void forward(struct wire *w, unsigned from, const uint8_t *bytes, size_t n, uint64_t now)
{
    unsigned to = addressee(w, bytes, n);
    struct wire_packet *made[2];
    unsigned n_made;

    if (to == w->n)
        return; /* multicast, IPv6: not for us */
    n_made = wire_pair_take(&w->pair[from][to], &w->prng, bytes, n, now, made);
    for (unsigned i = 0; i < n_made; i++) {
        made[i]->from = from;
        made[i]->to = to;
        wire_queue_add(&w->queue, made[i]);
    }
}

static void read_device(struct wire *w, unsigned from)
{
    static uint8_t bytes[PACKET_MAX];

    for (unsigned i = 0; i < TURN_PACKETS; i++) {
        ssize_t n = read(w->tun[from], bytes, sizeof bytes);

        if (n <= 0)
            return;
        forward(w, from, bytes, (size_t)n, now_ns());
    }
}

static void deliver_due(struct wire *w)
{
    struct wire_packet *p;
    uint64_t now = now_ns();

    while ((p = wire_queue_due(&w->queue, now)) != NULL) {
        deliver(w, p);
        w->pair[p->from][p->to].queued -= p->n;
        free(p);
    }
}

/* --- commands ----------------------------------------------------------------------------- */

/* `*` or a number below n: the first of them and the one behind the last. */
static int parse_nodes(const struct wire *w, const char *text, unsigned *ret_first,
                       unsigned *ret_end)
{
    uint64_t v;

    if (text != NULL && strcmp(text, "*") == 0) {
        *ret_first = 0;
        *ret_end = w->n;
        return 0;
    }
    if (text == NULL || lines_number(text, &v) != 0 || v >= w->n)
        return -1;
    *ret_first = (unsigned)v;
    *ret_end = (unsigned)v + 1;
    return 0;
}

/* Of one text; the rest is left in *text. NULL at the end. */
static char *word(char **text)
{
    char *begin = *text + strspn(*text, " ");

    if (*begin == 0)
        return NULL;
    *text = begin + strcspn(begin, " ");
    if (**text != 0)
        *(*text)++ = 0;
    return begin;
}

static const char *set(struct wire *w, char *rest)
{
    const char *from = word(&rest), *to = word(&rest);
    unsigned i0, i1, j0, j1;
    char *one;

    if (parse_nodes(w, from, &i0, &i1) != 0 || parse_nodes(w, to, &j0, &j1) != 0)
        return "set wants FROM and TO: numbers of nodes, or *";
    while ((one = word(&rest)) != NULL)
        for (unsigned i = i0; i < i1; i++)
            for (unsigned j = j0; j < j1; j++)
                if (wire_rule_set(&w->pair[i][j].rule, one) != 0)
                    return "not KEY=NUMBER with a key of a rule, or out of its range";
    return NULL;
}

static const char *show(struct wire *w, char *rest)
{
    const char *from = word(&rest), *to = word(&rest);
    unsigned i, j, end;
    const struct wire_pair *x;

    if (parse_nodes(w, from, &i, &end) != 0 || end != i + 1 || parse_nodes(w, to, &j, &end) != 0 ||
        end != j + 1)
        return "show wants FROM and TO: numbers of nodes";
    x = &w->pair[i][j];
    printf("ok taken=%" PRIu64 " passed=%" PRIu64 " lost=%" PRIu64 " cut=%" PRIu64
           " doubled=%" PRIu64 " reordered=%" PRIu64 " full=%" PRIu64 " queued=%zu\n",
           x->count.taken, x->count.passed, x->count.lost, x->count.cut, x->count.doubled,
           x->count.reordered, x->count.full, x->queued);
    return NULL;
}

static void obey(void *arg, char *line)
{
    struct wire *w = arg;
    const char *verb = word(&line), *error = NULL;

    if (verb == NULL) {
        error = "an empty line";
    } else if (strcmp(verb, "set") == 0) {
        error = set(w, line);
        if (error == NULL)
            printf("ok\n");
    } else if (strcmp(verb, "show") == 0) {
        error = show(w, line);
    } else if (strcmp(verb, "clear") == 0) {
        for (unsigned i = 0; i < w->n; i++)
            for (unsigned j = 0; j < w->n; j++)
                w->pair[i][j].rule = WIRE_RULE_NONE;
        printf("ok\n");
    } else {
        error = "set, clear or show";
    }
    if (error != NULL)
        printf("error %s\n", error);
    fflush(stdout);
}

static void turn(struct wire *w, bool *ret_on)
{
    struct pollfd p[NODES_MAX + 1];
    uint64_t due = wire_queue_next(&w->queue), now = now_ns();
    uint64_t ns = due <= now ? 0 : due - now;
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};

    for (unsigned i = 0; i < w->n; i++)
        p[i] = (struct pollfd){.fd = w->tun[i], .events = POLLIN};
    p[w->n] = (struct pollfd){.fd = 0, .events = POLLIN};
    if (ppoll(p, w->n + 1, due == UINT64_MAX ? NULL : &t, NULL) > 0) {
        for (unsigned i = 0; i < w->n; i++)
            if (p[i].revents != 0)
                read_device(w, i);
        if (p[w->n].revents != 0)
            *ret_on = lines_read(&w->commands, obey, w);
    }
    deliver_due(w);
}

int main(int argc, char **argv)
{
    static struct wire w;
    uint64_t n = 0, seed = 1;
    bool on = true;

    if (argc < 2 || lines_number(argv[1], &n) != 0 || n == 0 || n > NODES_MAX ||
        (argc > 2 && lines_number(argv[2], &seed) != 0)) {
        fprintf(stderr, "usage: wire NODES [SEED], 1 to %u nodes\n", NODES_MAX);
        return 2;
    }
    w.n = (unsigned)n;
    w.prng = seed;
    for (unsigned i = 0; i < w.n; i++)
        for (unsigned j = 0; j < w.n; j++)
            w.pair[i][j].rule = WIRE_RULE_NONE;
    for (unsigned i = 0; i < w.n; i++) {
        if (node_open(&w, i) != 0)
            return 1;
        printf("node %u " WIRE_NET ".%u /proc/%d/fd/%d\n", i, i + 1, (int)getpid(), w.ns[i]);
    }
    printf("ready\n");
    fflush(stdout);
    while (on)
        turn(&w, &on);
    wire_queue_done(&w.queue);
    return 0;
}
