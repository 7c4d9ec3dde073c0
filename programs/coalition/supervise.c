/* supervise.c - a small supervisor: start, watch, restart, stop.
 *
 * Children die with us (PR_SET_PDEATHSIG), so that an `up` killed with -9 leaves nothing
 * behind. Only processes started here are ever signalled, by their id, and an id is
 * forgotten in the moment it is reaped. */
#include "supervise.h"

#include <mosaik/bytes.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RESTART_MS_MIN 200u
#define RESTART_MS_MAX 5000u
#define SAME_MS_MAX 60000u /* of one that ends for ever for one reason */
#define SAME_MIN 3u        /* so often is for ever */
#define SOON_MS 10000u     /* who ran longer did not end for what it was started with */
#define PORT_MIN 10240u    /* of those that a member listens at */
#define EPHEMERAL_USUAL 32768u
#define TAIL_BYTES 4096u /* of a log are read for the reason */

uint64_t monotonic_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t); /* tidy: ok, a program's own clock */
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct child *children_add(struct children *c, const char *name, const char *log_path,
                           const char *const *argv)
{
    struct child *ch;
    unsigned n = 0;

    c->v = mk_realloc(c->v, (c->n + 1) * sizeof *c->v);
    ch = &c->v[c->n++];
    memset(ch, 0, sizeof *ch);
    snprintf(ch->name, sizeof ch->name, "%s", name);
    snprintf(ch->log_path, sizeof ch->log_path, "%s", log_path);
    for (; argv[n] != NULL && n < CHILD_ARGS_MAX; n++)
        ch->argv[n] = mk_strdup(argv[n]);
    return ch;
}

static void run_child(const struct child *c, int log, pid_t parent)
{
    int null = open("/dev/null", O_RDONLY);

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(0); /* it died before we asked */
    setpgid(
        0,
        0); /* Ctrl-C at the terminal reaches the supervisor alone, which then stops us in order */
    if (!c->keep_stdin && null >= 0)
        dup2(null, 0);
    dup2(log, 1);
    dup2(log, 2);
    execv(c->argv[0], c->argv);
    dprintf(2, "cannot run %s: %s\n", c->argv[0], strerror(errno));
    _exit(127);
}

int child_start(struct child *c, struct mk_fault *reterr)
{
    int log = open(c->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pid_t parent = getpid(), pid;
    struct stat st;

    if (log < 0)
        return mk_fault(reterr, MK_EIO, "%s: %s", c->log_path, strerror(errno));
    c->log_from = fstat(log, &st) == 0 ? (uint64_t)st.st_size : 0;
    c->started_ms = monotonic_ms();
    pid = fork();
    if (pid == 0)
        run_child(c, log, parent);
    close(log);
    if (pid < 0)
        return mk_fault(reterr, MK_EIO, "cannot start %s: %s", c->name, strerror(errno));
    c->pid = pid;
    c->starts++;
    return 0;
}

static uint64_t restart_pause(const struct child *c)
{
    unsigned doublings = c->starts > 6 ? 5 : c->starts > 0 ? c->starts - 1 : 0;
    uint64_t ms = (uint64_t)RESTART_MS_MIN << doublings;

    ms = ms < RESTART_MS_MAX ? ms : RESTART_MS_MAX;
    if (c->same <= SAME_MIN)
        return ms;
    doublings = c->same - SAME_MIN > 6 ? 6 : c->same - SAME_MIN;
    ms = (uint64_t)1000 << doublings;
    return ms < SAME_MS_MAX ? ms : SAME_MS_MAX;
}

uint64_t child_pause_ms(const struct child *c)
{
    uint64_t now = monotonic_ms();

    return c->start_at_ms > now ? c->start_at_ms - now : 0;
}

/* The last line that this run of it wrote; "" when it wrote none. */
static void last_line(const struct child *c, char *out, size_t room)
{
    char text[TAIL_BYTES + 1], *line;
    int log = open(c->log_path, O_RDONLY | O_CLOEXEC);
    off_t size = log >= 0 ? lseek(log, 0, SEEK_END) : 0, from = (off_t)c->log_from;
    ssize_t n = 0;

    out[0] = '\0';
    if (size > from + (off_t)TAIL_BYTES)
        from = size - (off_t)TAIL_BYTES;
    if (size > from)
        n = pread(log, text, TAIL_BYTES, from);
    if (log >= 0)
        close(log);
    while (n > 0 && text[n - 1] == '\n')
        n--;
    if (n <= 0)
        return;
    text[n] = '\0';
    line = strrchr(text, '\n');
    line = line != NULL ? line + 1 : text;
    snprintf(out, room, "%.*s", (int)room - 1, line);
}

/** Notes why it ended; text is lent. */
static void note_reason(struct child *c, const char *text, bool by_itself)
{
    bool soon = monotonic_ms() - c->started_ms < SOON_MS;

    c->same = !by_itself || !soon ? 0 : strcmp(c->reason, text) == 0 ? c->same + 1 : 1;
    snprintf(c->reason, sizeof c->reason, "%s", text);
}

static void note_end(struct child *c)
{
    char line[300], text[400];
    int status = c->last_status;

    last_line(c, line, sizeof line);
    if (WIFSIGNALED(status))
        snprintf(text, sizeof text, "killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else if (line[0] != '\0')
        snprintf(text, sizeof text, "%s", line);
    else
        snprintf(text, sizeof text, "status %d, and not a word in its log", WEXITSTATUS(status));
    note_reason(c, text, !WIFSIGNALED(status));
}

void children_tend(struct children *c, void (*ended)(void *arg, struct child *c),
                   void (*started)(void *arg, struct child *c), void *arg)
{
    uint64_t now = monotonic_ms();
    struct mk_fault fault = {{0}};

    for (unsigned i = 0; i < c->n; i++) {
        struct child *ch = &c->v[i];

        if (ch->pid != 0 && waitpid(ch->pid, &ch->last_status, WNOHANG) == ch->pid) {
            ch->pid = 0;
            note_end(ch);
            ch->start_at_ms = now + restart_pause(ch);
            ended(arg, ch);
        }
        if (ch->pid != 0 || ch->starts == 0 || now < ch->start_at_ms)
            continue;
        if (child_start(ch, &fault) == 0) {
            started(arg, ch);
            continue;
        }
        ch->started_ms = now;
        note_reason(ch, fault.text, true);
        ch->start_at_ms = now + restart_pause(ch);
        ended(arg, ch);
    }
}

static bool any_running(struct children *c)
{
    bool running = false;

    for (unsigned i = 0; i < c->n; i++) {
        struct child *ch = &c->v[i];

        if (ch->pid != 0 && waitpid(ch->pid, &ch->last_status, WNOHANG) == ch->pid)
            ch->pid = 0;
        running |= ch->pid != 0;
    }
    return running;
}

static void signal_all(struct children *c, int signo)
{
    for (unsigned i = 0; i < c->n; i++) {
        if (c->v[i].pid != 0)
            kill(c->v[i].pid, signo);
    }
}

void children_stop(struct children *c, unsigned grace_ms)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    uint64_t deadline = monotonic_ms() + grace_ms;

    signal_all(c, SIGTERM);
    while (any_running(c) && monotonic_ms() < deadline)
        nanosleep(&pause, NULL); /* tidy: ok, polls for the end of children */
    signal_all(c, SIGKILL);
    while (any_running(c))
        nanosleep(&pause, NULL); /* tidy: ok, as above */
}

void children_free(struct children *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        for (char **a = c->v[i].argv; *a != NULL; a++)
            mk_free(*a);
    }
    mk_free(c->v);
    *c = (struct children){0};
}

static bool is_free(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool bound = s >= 0 && bind(s, (struct sockaddr *)&a, sizeof a) == 0;

    if (s >= 0)
        close(s);
    return bound;
}

/** The least port that the kernel gives to a connection. */
static unsigned first_ephemeral(void)
{
    FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    char line[64] = "";
    unsigned first = 0;

    if (f != NULL && fgets(line, sizeof line, f) == NULL)
        line[0] = '\0';
    if (f != NULL)
        fclose(f);
    for (const char *p = line; *p >= '0' && *p <= '9' && first <= UINT16_MAX; p++)
        first = first * 10 + (unsigned)(*p - '0');
    return first > PORT_MIN && first <= UINT16_MAX ? first : EPHEMERAL_USUAL;
}

uint16_t free_port(uint16_t before)
{
    unsigned end = first_ephemeral(), n = end - PORT_MIN;
    uint16_t at = 0;

    if (before != 0)
        at = (uint16_t)(before + 1 - PORT_MIN);
    else if (getrandom(&at, sizeof at, 0) != (ssize_t)sizeof at)
        return 0;
    for (unsigned i = 0; i < n; i++) {
        uint16_t port = (uint16_t)(PORT_MIN + (at + i) % n);

        if (port != before && is_free(port))
            return port;
    }
    return 0;
}
