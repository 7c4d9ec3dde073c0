/* ledger_clients.c - clients of a ledger, who write down what was acknowledged and check it.
 *
 *     ledger_clients MEMBERS BASE_PORT ACCOUNTS RATE REQUEST_MS TARGET RECORD
 *
 * One write at a time for each account, RATE of them a second in all (0: as many as go), until
 * TARGET are acknowledged (0: until the end of standard input). RECORD is a file in which every
 * account's last acknowledged and last begun write stand, by a shared mapping: killed with -9 and
 * started again with the same file this program goes on where it was, and knows what it was
 * promised. At its end, and wherever it does not know what became of a write, it reads the account
 * (linearizably). An account that has less than was acknowledged, more than was begun, or another
 * digest, ends the program with 1 and the words `LOST` or `WRONG`.
 *
 * A request is one mk_execute() or mk_query() with its own retries, REQUEST_MS its deadline. Twice
 * a second, and at the end, a line: acked=N requests=N failed=N p50=MS p999=MS max=MS. */
#include "bench/kv.h"
#include "ledger.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ACCOUNTS_MAX 4096u
#define HISTOGRAM_MS 65536u
#define REPORT_NS 500000000u

/* Of one account, in the file. */
struct promise {
    struct ledger_balance acked;
    uint64_t begun; /* number of the last write begun: acked, or one more */
};

enum phase { ASKING, IDLE, WRITING };

struct account {
    struct mk_exec x;
    struct clients *all;
    uint64_t id, t0;
    enum phase phase;
    bool busy;
};

struct clients {
    struct mk_env *loop;
    struct mk_network *net;
    struct mk_bond *bond;
    struct account *accounts;
    struct promise *promises;
    unsigned n, next;
    uint64_t rate, target, started_ns, scheduled;
    uint32_t request_ms;
    uint64_t acked, requests, failed;
    uint32_t *histogram; /* of ms */
    bool broken, ending;
    char last_failure[160];
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void broken(struct clients *c, const struct account *a, const char *word,
                   const struct ledger_balance *there)
{
    const struct promise *p = &c->promises[a->id];

    printf("%s account=%" PRIu64 " acknowledged=%" PRIu64 " begun=%" PRIu64 " there=%" PRIu64 "\n",
           word, a->id, p->acked.number, p->begun, there->number);
    c->broken = true;
}

/* --- what came back ------------------------------------------------------------------------ */

/* An account's balance, from an answer or a reading: what follows from it. */
static void settle(struct clients *c, struct account *a, const struct ledger_balance *there)
{
    struct promise *p = &c->promises[a->id];
    struct ledger_balance next = ledger_next(a->id, &p->acked);

    a->phase = IDLE;
    if (ledger_balance_eq(there, &p->acked))
        return;
    if (there->number < p->acked.number)
        broken(c, a, "LOST", there);
    else if (p->begun == p->acked.number || !ledger_balance_eq(there, &next))
        broken(c, a, "WRONG", there);
    else
        p->acked = next;
}

static void note_time(struct clients *c, uint64_t t0)
{
    uint64_t ms = (now_ns() - t0) / 1000000u;

    c->histogram[ms < HISTOGRAM_MS ? ms : HISTOGRAM_MS - 1]++;
}

static void done(struct mk_exec *x, int status, const struct mk_outcome *outcome,
                 const struct mk_fault *fault)
{
    struct account *a = mk_container_of(x, struct account, x);
    struct clients *c = a->all;
    struct ledger_balance there = {0};
    bool writing = a->phase == WRITING;

    a->busy = false;
    c->requests++;
    note_time(c, a->t0);
    if (status == 0 && ledger_balance_read(&there, outcome->answer) == 0) {
        settle(c, a, &there);
        if (writing && c->promises[a->id].acked.number == c->promises[a->id].begun)
            c->acked++;
        else if (writing)
            broken(c, a, "LOST", &there); /* it says yes, and shows the balance from before */
        return;
    }
    if (status == MK_EREFUSED) { /* a gap: something acknowledged is gone */
        printf("%s\n", fault->text);
        broken(c, a, "LOST", &there);
        return;
    }
    c->failed++;
    snprintf(c->last_failure, sizeof c->last_failure, "%.150s", fault->text);
    a->phase = ASKING;
}

/* --- what goes out --------------------------------------------------------------------------- */

static void begin(struct clients *c, struct account *a)
{
    struct mk_buf b = {0};
    int rv;

    a->x.cb = done;
    a->busy = true;
    a->t0 = now_ns();
    if (a->phase == IDLE) {
        a->phase = WRITING;
        c->promises[a->id].begun = c->promises[a->id].acked.number + 1;
        ledger_command(&b, a->id, c->promises[a->id].begun);
        rv = mk_execute(c->bond, &a->x, mk_buf_bytes(&b), MK_STEP_COMMITTED, c->request_ms);
    } else {
        ledger_query(&b, a->id);
        rv = mk_query(c->bond, &a->x, mk_buf_bytes(&b), MK_READ_LINEAR, c->request_ms);
    }
    mk_buf_done(&b);
    if (rv != 0) {
        fprintf(stderr, "ledger_clients: %s\n", mk_strerror(rv));
        exit(1);
    }
}

static bool writes_due(struct clients *c)
{
    return c->rate == 0 || c->scheduled < (now_ns() - c->started_ns) * c->rate / 1000000000u;
}

static bool enough(const struct clients *c)
{
    return c->ending || (c->target > 0 && c->acked >= c->target);
}

static void begin_due(struct clients *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        struct account *a = &c->accounts[c->next++ % c->n];

        if (a->busy)
            continue;
        if (a->phase == IDLE) {
            if (enough(c) || !writes_due(c))
                continue;
            c->scheduled++;
        }
        begin(c, a);
    }
}

static bool all_idle(const struct clients *c)
{
    for (unsigned i = 0; i < c->n; i++)
        if (c->accounts[i].busy || c->accounts[i].phase != IDLE)
            return false;
    return true;
}

/* --- the whole ----------------------------------------------------------------------------------
 */

/* ms within which so many of a thousand requests ended. */
static unsigned within(const struct clients *c, uint64_t of_a_thousand)
{
    uint64_t sum = 0, wanted = (c->requests * of_a_thousand + 999) / 1000;
    unsigned ms = 0;

    for (; ms < HISTOGRAM_MS - 1; ms++) {
        sum += c->histogram[ms];
        if (sum >= wanted)
            break;
    }
    return ms;
}

static void report(const struct clients *c)
{
    printf("acked=%" PRIu64 " requests=%" PRIu64 " failed=%" PRIu64 " p50=%u p999=%u max=%u\n",
           c->acked, c->requests, c->failed, within(c, 500), within(c, 999), within(c, 1000));
    fflush(stdout);
}

static bool told_to_end(void)
{
    struct pollfd p = {.fd = 0, .events = POLLIN};
    char byte;

    return poll(&p, 1, 0) > 0 && read(0, &byte, 1) <= 0;
}

static void work(struct clients *c)
{
    uint64_t next_report = 0;

    while (!c->broken && !(enough(c) && all_idle(c))) {
        c->ending = c->ending || told_to_end();
        begin_due(c);
        mk_loop_turn(c->loop, 2);
        if (now_ns() >= next_report) {
            report(c);
            next_report = now_ns() + REPORT_NS;
        }
    }
}

/* Each account once more, read when all is quiet. */
static void check_all(struct clients *c)
{
    for (unsigned i = 0; i < c->n; i++)
        c->accounts[i].phase = ASKING;
    while (!c->broken && !all_idle(c)) {
        begin_due(c);
        mk_loop_turn(c->loop, 2);
    }
}

static int record_open(struct clients *c, const char *path)
{
    size_t n = c->n * sizeof *c->promises;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0 || (st.st_size != 0 && (size_t)st.st_size != n) ||
        ftruncate(fd, (off_t)n) != 0)
        return -1;
    c->promises = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return c->promises != MAP_FAILED ? 0 : -1;
}

static int bind_all(struct clients *c, const struct kv_committee *committee)
{
    struct mk_fault fault = {{0}};
    struct kv_group group;
    struct mk_reference ref;

    kv_group_init(&group, committee, 0);
    ref = kv_reference(committee, &group);
    if (mk_loop_open(&c->loop, NULL, &fault) == 0 &&
        mk_network_open(c->loop, &c->net, &(struct mk_network_options){0}, &fault) == 0 &&
        mk_bond_open(c->net, &c->bond, &ref, &fault) == 0 &&
        mk_bond_wait(c->bond, 60000, &fault) == 0)
        return 0;
    fprintf(stderr, "ledger_clients: %s\n", fault.text);
    return -1;
}

/* All of it digits; UINT32_MAX otherwise. */
static uint64_t number(const char *text)
{
    uint64_t v = 0;

    for (; *text >= '0' && *text <= '9' && v < UINT32_MAX; text++)
        v = v * 10 + (uint64_t)(*text - '0');
    return *text == 0 ? v : UINT32_MAX;
}

int main(int argc, char **argv)
{
    static struct clients c;
    struct kv_committee committee;

    if (argc != 8) {
        fprintf(stderr, "usage: ledger_clients MEMBERS BASE_PORT ACCOUNTS RATE REQUEST_MS TARGET "
                        "RECORD\n");
        return 2;
    }
    kv_committee_init(&committee, (unsigned)number(argv[1]), (unsigned)number(argv[2]));
    c.n = (unsigned)number(argv[3]);
    c.rate = number(argv[4]);
    c.request_ms = (uint32_t)number(argv[5]);
    c.target = number(argv[6]);
    if (c.n == 0 || c.n > ACCOUNTS_MAX || record_open(&c, argv[7]) != 0 ||
        bind_all(&c, &committee) != 0)
        return 2;
    c.histogram = mk_alloc(HISTOGRAM_MS * sizeof *c.histogram);
    c.accounts = mk_alloc(c.n * sizeof *c.accounts);
    for (unsigned i = 0; i < c.n; i++)
        c.accounts[i] = (struct account){.all = &c, .id = i, .phase = ASKING};
    c.started_ns = now_ns();
    work(&c);
    check_all(&c);
    report(&c);
    if (c.failed > 0)
        fprintf(stderr, "last failure: %s\n", c.last_failure);
    mk_network_close(c.net);
    mk_loop_free(c.loop);
    mk_free(c.accounts);
    mk_free(c.histogram);
    return c.broken ? 1 : 0;
}
