/* history_clients.c - clients of a real committee, who write down what they do as EDN, for
 * `coalition check history --model kv`.
 *
 *     history_clients MEMBERS BASE_PORT CLIENTS KEYS SEED [PAUSE_MS [leases]]
 *                                                              until end of standard input
 *
 * Each client has a key, links and sessions of its own and does one operation at a time.
 * The first also reads the map, as the committee's time moves only for a reader. All run in one
 * loop, so the lines stand in the order in which things happened. A write
 * whose outcome is not known ends as :info, and its client goes on under a new number.
 * With `leases` reads ask for no more than a leader's lease gives, and every second client only
 * reads: no write of its own ever leads it away from a leader that was. */
#include "bench/kv.h"
#include "sim/prng.h"
#include <mosaik/map.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <poll.h>

#define CLIENTS_MAX 32u
#define PATIENCE_MS 3000u

struct client {
    struct mk_exec x;
    struct mk_network *net;
    struct mk_bond *bond;
    struct recorder *all;
    unsigned process, key;
    uint64_t next_ms; /* no operation before it */
    uint64_t value;   /* written; 0: a read */
    bool busy, reads;
};

struct recorder {
    struct client v[CLIENTS_MAX];
    unsigned n, keys, next_process;
    uint64_t pause_ms, values, answered;
    bool leases;
    struct prng prng;
    struct mk_env *loop;
    struct mk_map *map;
};

static void record(const struct client *x, const char *type, const char *value)
{
    printf("{:process %u, :type :%s, :f :%s, :key \"%u\", :value %s}\n", x->process, type,
           x->value > 0 ? "put" : "get", x->key, value);
}

static void done(struct mk_exec *exec, int status, const struct mk_outcome *outcome,
                 const struct mk_fault *fault)
{
    struct client *x = mk_container_of(exec, struct client, x);
    char text[64] = "\"\"";

    (void)fault;
    x->busy = false;
    if (x->value > 0)
        snprintf(text, sizeof text, "\"%" PRIu64 "\"", x->value);
    else if (status == 0)
        snprintf(text, sizeof text, "\"%.*s\"",
                 (int)(outcome->answer.n < 20 ? outcome->answer.n : 20),
                 (const char *)outcome->answer.p);
    if (status == 0 || (status == MK_ENOTFOUND && x->value == 0)) {
        x->all->answered++;
        record(x, "ok", text);
    } else if (x->value == 0) {
        record(x, "fail", "nil");
    } else {
        record(x, "info", text);
        x->process = x->all->next_process++;
    }
}

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void begin(struct client *x)
{
    struct recorder *r = x->all;
    struct mk_buf b = {0};
    char key[16], value[32];
    int rv;

    x->next_ms = now_ms() + r->pause_ms;
    x->key = (unsigned)prng_below(&r->prng, r->keys);
    x->value = prng_below(&r->prng, 2) == 0 && !(r->leases && x->reads) ? ++r->values : 0;
    snprintf(key, sizeof key, "%u", x->key);
    snprintf(value, sizeof value, "%" PRIu64, x->value);
    x->x.cb = done;
    x->busy = true;
    if (x->value > 0) {
        char quoted[40];

        snprintf(quoted, sizeof quoted, "\"%s\"", value);
        record(x, "invoke", quoted);
        mk_encode(&b, &kv_put_type,
                  &(struct kv_put){MK_BYTES(key, strlen(key)), MK_BYTES(value, strlen(value))});
        rv = mk_execute(x->bond, &x->x, mk_buf_bytes(&b), MK_STEP_COMMITTED, PATIENCE_MS);
    } else {
        record(x, "invoke", "nil");
        mk_buf_put_str(&b, key);
        rv = mk_query(x->bond, &x->x, mk_buf_bytes(&b), r->leases ? MK_READ_LEASE : MK_READ_LINEAR,
                      PATIENCE_MS);
    }
    mk_buf_done(&b);
    if (rv != 0) {
        fprintf(stderr, "history_clients: %s\n", mk_strerror(rv));
        exit(1);
    }
}

static int open_client(struct recorder *r, unsigned i, const struct kv_committee *c)
{
    struct client *x = &r->v[i];
    struct mk_fault fault = {{0}};
    struct mk_reference ref;
    struct kv_group group;

    kv_group_init(&group, c, 0);
    ref = kv_reference(c, &group);
    x->all = r;
    x->reads = i % 2 == 1;
    x->process = r->next_process++;
    if (mk_network_open(r->loop, &x->net, &(struct mk_network_options){0}, &fault) == 0 &&
        mk_bond_open(x->net, &x->bond, &ref, &fault) == 0 &&
        mk_bond_wait(x->bond, 30000, &fault) == 0)
        return 0;
    fprintf(stderr, "history_clients: %s\n", fault.text);
    return 1;
}

static bool told_to_end(void)
{
    struct pollfd p = {.fd = 0, .events = POLLIN};
    char byte;

    return poll(&p, 1, 0) > 0 && read(0, &byte, 1) <= 0;
}

static bool busy(const struct recorder *r)
{
    for (unsigned i = 0; i < r->n; i++)
        if (r->v[i].busy)
            return true;
    return false;
}

/* All of it digits; 0 otherwise. */
static uint64_t number(const char *text)
{
    uint64_t v = 0;

    for (; *text >= '0' && *text <= '9' && v < UINT32_MAX; text++)
        v = v * 10 + (uint64_t)(*text - '0');
    return *text == 0 ? v : 0;
}

int main(int argc, char **argv)
{
    static struct recorder r;
    struct kv_committee c;
    struct mk_fault fault = {{0}};
    bool end = false;

    if (argc < 6)
        return 2;
    kv_committee_init(&c, (unsigned)number(argv[1]), (unsigned)number(argv[2]));
    r.n = (unsigned)number(argv[3]);
    r.keys = (unsigned)number(argv[4]);
    r.prng = prng_of(number(argv[5]), 1);
    r.pause_ms = argc > 6 ? number(argv[6]) : 0;
    r.leases = argc > 7 && strcmp(argv[7], "leases") == 0;
    if (r.n == 0 || r.n > CLIENTS_MAX || mk_loop_open(&r.loop, NULL, &fault) != 0)
        return 2;
    for (unsigned i = 0; i < r.n; i++)
        if (open_client(&r, i, &c) != 0)
            return 1;
    if (mk_map_open(r.v[0].bond, &r.map, &kv_surfaces[0], NULL, NULL) != 0)
        return 1;
    while (!end || busy(&r)) {
        end = end || told_to_end();
        for (unsigned i = 0; i < r.n && !end; i++)
            if (!r.v[i].busy && now_ms() >= r.v[i].next_ms &&
                prng_below(&r.prng, 4) == 0) /* not all at once */
                begin(&r.v[i]);
        mk_loop_turn(r.loop, 2);
        fflush(stdout);
    }
    fprintf(stderr, "answered=%" PRIu64 "\n", r.answered);
    mk_map_close(r.map);
    for (unsigned i = 0; i < r.n; i++)
        mk_network_close(r.v[i].net);
    mk_loop_free(r.loop);
    return 0;
}
