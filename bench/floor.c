/* floor.c - the least that a durable write on three processes can cost here: TLS 1.3 and
 * fdatasync on each, group commit, a majority's acknowledgement; no Raft, no state, no
 * signatures. What ours is measured against, beside it, in the same run.
 *
 *     floor DIR OUTSTANDING WARM_S MEASURE_S
 *
 *   client --records--> leader --records--> two followers (write, sync, acknowledge a count)
 *                         `--own disk, in a thread of its own
 *   the leader tells the client how many are durable on two of three. */
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RECORD 144u /* bytes of a write: 128 and a header */
#define BUFFER (1u << 20)
#define LOG_BYTES (128u << 20)

static void die(const char *what)
{
    perror(what);
    _exit(2);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- TLS over blocking setup, then non-blocking sockets ------------------------------------ */

static SSL_CTX *tls_context(bool server)
{
    static EVP_PKEY *key;
    static X509 *cert;
    SSL_CTX *c = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

    if (key == NULL) {
        key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        cert = X509_new();
        ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
        X509_gmtime_adj(X509_getm_notBefore(cert), 0);
        X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
        X509_set_pubkey(cert, key);
        X509_sign(cert, key, NULL);
    }
    SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION);
    if (SSL_CTX_use_certificate(c, cert) != 1 || SSL_CTX_use_PrivateKey(c, key) != 1)
        die("certificate");
    SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_num_tickets(c, 0);
    return c;
}

static SSL *tls_on(int fd, bool server)
{
    SSL *s = SSL_new(tls_context(server));
    int one = 1;

    SSL_set_fd(s, fd);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if ((server ? SSL_accept(s) : SSL_connect(s)) != 1)
        _exit(2);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return s;
}

static int listen_on(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int s = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(s, (struct sockaddr *)&a, sizeof a) != 0 || listen(s, 4) != 0 ||
        getsockname(s, (struct sockaddr *)&a, &len) != 0)
        die("listen");
    *port = ntohs(a.sin_port);
    return s;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM, 0);

    if (connect(s, (struct sockaddr *)&a, sizeof a) != 0)
        die("connect");
    return s;
}

static void write_all(SSL *s, const void *p, size_t n)
{
    const char *b = p;

    while (n > 0) {
        int w = SSL_write(s, b, (int)n);

        if (w > 0) {
            b += w;
            n -= (size_t)w;
            continue;
        }
        struct pollfd pfd = {SSL_get_fd(s), POLLOUT, 0};

        if (SSL_get_error(s, w) != SSL_ERROR_WANT_WRITE)
            _exit(0);
        poll(&pfd, 1, 1000);
    }
}

/** What can be read now; exits when the other side is gone. */
static size_t read_some(SSL *s, char *b, size_t room)
{
    size_t got = 0;
    int r = 1;

    while (got < room && (r = SSL_read(s, b + got, (int)(room - got))) > 0)
        got += (size_t)r;
    if (r <= 0 && SSL_get_error(s, r) != SSL_ERROR_WANT_READ)
        _exit(0);
    return got;
}

/* --- the log ---------------------------------------------------------------------------------- */

struct disk {
    int fd;
    off_t at;
};

static void disk_open(struct disk *d, const char *dir, int i)
{
    char path[4096];
    char *zeros = calloc(1, BUFFER);

    snprintf(path, sizeof path, "%s/floor.%d", dir, i);
    d->fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (d->fd < 0)
        die(path);
    unlink(path);
    for (unsigned k = 0; k < LOG_BYTES / BUFFER; k++) {
        if (write(d->fd, zeros, BUFFER) != BUFFER)
            die("preallocate");
    }
    fsync(d->fd);
    d->at = 0;
    free(zeros);
}

static void disk_write(struct disk *d, const char *p, size_t n)
{
    if (d->at + (off_t)n > (off_t)LOG_BYTES)
        d->at = 0;
    if (pwrite(d->fd, p, n, d->at) != (ssize_t)n || fdatasync(d->fd) != 0)
        die("write");
    d->at += (off_t)n;
}

/* --- follower ------------------------------------------------------------------------------------
 */

static void follower(const char *dir, int i, int listener)
{
    struct disk d;
    char *b = malloc(BUFFER);
    size_t have = 0;
    uint64_t total = 0;
    SSL *s;

    disk_open(&d, dir, i);
    s = tls_on(accept(listener, NULL, NULL), true);
    for (;;) {
        struct pollfd pfd = {SSL_get_fd(s), POLLIN, 0};
        size_t whole;

        have += read_some(s, b + have, BUFFER - have);
        whole = have / RECORD * RECORD;
        if (whole == 0) {
            poll(&pfd, 1, 2000);
            continue;
        }
        disk_write(&d, b, whole);
        total += whole / RECORD;
        memmove(b, b + whole, have - whole);
        have -= whole;
        write_all(s, &total, sizeof total);
    }
}

/* --- leader
 * ---------------------------------------------------------------------------------------- */

struct writer {
    pthread_mutex_t mutex;
    pthread_cond_t some;
    char *gathered, *writing;
    size_t n;
    uint64_t durable;
    int event;
    struct disk disk;
};

static void *writer_run(void *arg)
{
    struct writer *w = arg;
    const uint64_t one = 1;

    for (;;) {
        char *p;
        size_t n;

        pthread_mutex_lock(&w->mutex);
        while (w->n == 0)
            pthread_cond_wait(&w->some, &w->mutex);
        p = w->gathered;
        w->gathered = w->writing;
        w->writing = p;
        n = w->n;
        w->n = 0;
        pthread_mutex_unlock(&w->mutex);
        disk_write(&w->disk, p, n);
        __atomic_add_fetch(&w->durable, n / RECORD, __ATOMIC_RELEASE);
        if (write(w->event, &one, sizeof one) < 0)
            die("eventfd");
    }
    return NULL;
}

static uint64_t second_of_three(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t high = a > b ? a : b, low = a > b ? b : a;

    return c > high ? high : c < low ? low : c;
}

struct acks {
    SSL *s;
    char part[8];
    size_t n;
    uint64_t count;
};

static void read_acks(struct acks *a)
{
    char t[4096];
    size_t got = read_some(a->s, t, sizeof t);

    for (size_t i = 0; i < got; i++) {
        a->part[a->n++] = t[i];
        if (a->n == sizeof a->part) {
            memcpy(&a->count, a->part, sizeof a->count);
            a->n = 0;
        }
    }
}

static void leader_take(struct writer *w, struct acks f[2], const char *b, size_t n)
{
    write_all(f[0].s, b, n);
    write_all(f[1].s, b, n);
    pthread_mutex_lock(&w->mutex);
    if (w->n + n > 8 * BUFFER)
        die("too much outstanding");
    memcpy(w->gathered + w->n, b, n);
    w->n += n;
    pthread_cond_signal(&w->some);
    pthread_mutex_unlock(&w->mutex);
}

static void leader(const char *dir, int listener, const uint16_t ports[2])
{
    struct writer w = {.mutex = PTHREAD_MUTEX_INITIALIZER, .some = PTHREAD_COND_INITIALIZER};
    struct acks f[2] = {{0}};
    char *b = malloc(BUFFER);
    size_t have = 0;
    uint64_t told = 0;
    pthread_t thread;
    SSL *client;

    disk_open(&w.disk, dir, 2);
    w.gathered = malloc(8 * BUFFER);
    w.writing = malloc(8 * BUFFER);
    w.event = eventfd(0, EFD_NONBLOCK);
    for (int i = 0; i < 2; i++)
        f[i].s = tls_on(connect_to(ports[i]), false);
    client = tls_on(accept(listener, NULL, NULL), true);
    pthread_create(&thread, NULL, writer_run, &w);
    for (;;) {
        struct pollfd p[4] = {{SSL_get_fd(client), POLLIN, 0},
                              {SSL_get_fd(f[0].s), POLLIN, 0},
                              {SSL_get_fd(f[1].s), POLLIN, 0},
                              {w.event, POLLIN, 0}};
        uint64_t drop, durable;
        size_t whole;

        poll(p, 4, -1);
        if (p[3].revents != 0 && read(w.event, &drop, sizeof drop) < 0)
            continue;
        for (int i = 0; i < 2; i++) {
            if (p[1 + i].revents != 0)
                read_acks(&f[i]);
        }
        if (p[0].revents != 0) {
            have += read_some(client, b + have, BUFFER - have);
            whole = have / RECORD * RECORD;
            if (whole > 0)
                leader_take(&w, f, b, whole);
            memmove(b, b + whole, have - whole);
            have -= whole;
        }
        durable =
            second_of_three(f[0].count, f[1].count, __atomic_load_n(&w.durable, __ATOMIC_ACQUIRE));
        if (durable > told) {
            told = durable;
            write_all(client, &told, sizeof told);
        }
    }
}

/* --- client
 * ------------------------------------------------------------------------------------------ */

static double cpu_us(const pid_t *pids)
{
    double total = 0;

    for (int i = 0; i < 3; i++) {
        char path[64], line[1024];
        unsigned long user, system;
        const char *p;
        FILE *f;

        snprintf(path, sizeof path, "/proc/%d/stat", (int)pids[i]);
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

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

struct measure {
    uint32_t *latencies; /* 100 ns */
    size_t n, cap;
    uint64_t from_ns, done_before;
    double cpu;
};

static void client(uint16_t port, unsigned outstanding, double warm, double seconds,
                   const pid_t *pids)
{
    SSL *s = tls_on(connect_to(port), false);
    char *b = calloc(outstanding, RECORD);
    uint64_t *begun = calloc(outstanding, sizeof *begun), done = 0, start = now_ns(), now;
    struct acks a = {.s = s};
    struct measure m = {.cap = 8u << 20};

    m.latencies = malloc(m.cap * sizeof *m.latencies);
    for (unsigned i = 0; i < outstanding; i++)
        begun[i] = start;
    write_all(s, b, (size_t)outstanding * RECORD);
    for (;;) {
        struct pollfd p = {SSL_get_fd(s), POLLIN, 0};

        poll(&p, 1, 100);
        read_acks(&a);
        now = now_ns();
        if (m.from_ns == 0 && now - start > (uint64_t)(warm * 1e9)) {
            m.from_ns = now;
            m.done_before = done;
            m.cpu = cpu_us(pids);
        }
        if (m.from_ns != 0 && now - m.from_ns > (uint64_t)(seconds * 1e9))
            break;
        for (uint64_t i = done; i < a.count; i++) {
            if (m.from_ns != 0 && m.n < m.cap)
                m.latencies[m.n++] = (uint32_t)((now - begun[i % outstanding]) / 100);
            begun[i % outstanding] = now;
        }
        if (a.count > done)
            write_all(s, b, (size_t)(a.count - done) * RECORD);
        done = a.count;
    }
    m.cpu = cpu_us(pids) - m.cpu;
    seconds = (double)(now - m.from_ns) / 1e9;
    qsort(m.latencies, m.n, sizeof *m.latencies, compare);
    done -= m.done_before;
    printf("out=%u rate=%.0f p50_us=%.0f p99_us=%.0f srv_cpu_us_per_op=%.1f\n", outstanding,
           (double)done / seconds, m.n > 0 ? m.latencies[m.n / 2] / 10.0 : 0,
           m.n > 0 ? m.latencies[m.n * 99 / 100] / 10.0 : 0, done > 0 ? m.cpu / (double)done : 0);
}

int main(int argc, char **argv)
{
    uint16_t ports[3];
    int listeners[3];
    pid_t pids[3];

    if (argc < 5) {
        fprintf(stderr, "usage: floor DIR OUTSTANDING WARM_S MEASURE_S\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < 3; i++)
        listeners[i] = listen_on(&ports[i]);
    for (int i = 0; i < 3; i++) {
        pids[i] = fork();
        if (pids[i] != 0)
            continue;
        if (i < 2)
            follower(argv[1], i, listeners[i]);
        else
            leader(argv[1], listeners[2], ports);
    }
    client(ports[2], (unsigned)strtoul(argv[2], NULL, 10), strtod(argv[3], NULL),
           strtod(argv[4], NULL), pids);
    for (int i = 0; i < 3; i++) {
        kill(pids[i], SIGTERM);
        waitpid(pids[i], NULL, 0);
    }
    return 0;
}
