/* reader.c - how fast a map reader that is far behind is at the newest version again.
 *
 *     reader DIR CHANGES KEYS BYTES PORT
 *
 * A committee of one, in a process of its own, takes CHANGES changes of a Map over KEYS keys.
 * Then a reader that knows nothing opens the map, over TLS, and runs until its verified state
 * is at the last of them: snapshot or changes, as the member sees fit. Every head is checked
 * against the certificate, every root recomputed.
 *
 * One line: changes a second of that, and of writing them. */
#include "kv.h"
#include <mosaik/loop.h>
#include <mosaik/map.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCH 1000u
#define WAIT_MS 120000u

static struct kv_committee committee;
static struct kv_group group;
static struct mk_fault fault;
static uint64_t n_keys;
static size_t value_n;

static double seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(int rv, const char *what)
{
    if (rv == 0)
        return;
    fprintf(stderr, "reader: %s: %s\n", what, fault.text[0] != 0 ? fault.text : mk_strerror(rv));
    exit(1);
}

/* --- the member: a command is where to begin, and makes BATCH changes -------------------- */

static int fill_apply(struct mk_machine *m, struct mk_apply *a, struct mk_bytes command)
{
    struct mk_reader r = {.p = command.p, .n = command.n};
    uint64_t first = mk_read_u64le(&r);
    uint8_t *value;
    bool changed;
    int rv = 0;

    (void)m;
    if (r.failed)
        return mk_refuse(a, "command: a number is wanted");
    value = mk_alloc(value_n);
    for (uint64_t i = first; i < first + BATCH && rv == 0; i++) {
        struct mk_buf k = {0}, v = {0};
        uint64_t key = i % n_keys;

        memcpy(value, &i, sizeof i);
        mk_put_varint(&k, sizeof key); /* pc(bytes) */
        mk_buf_put(&k, &key, sizeof key);
        mk_put_varint(&v, value_n);
        mk_buf_put(&v, value, value_n);
        rv = mk_map_insert(a, 0, mk_buf_bytes(&k), mk_buf_bytes(&v), &changed);
        mk_buf_done(&k);
        mk_buf_done(&v);
    }
    mk_free(value);
    return rv;
}

static int fill_query(struct mk_machine *m, const struct mk_surfaces *s, struct mk_bytes query,
                      struct mk_buf *answer, struct mk_fault *reterr)
{
    (void)m;
    (void)s;
    (void)query;
    (void)answer;
    return mk_fault(reterr, MK_EREFUSED, "nothing is asked here");
}

static void fill_free(struct mk_machine *m)
{
    mk_free(m);
}

static pid_t member;

/* However we end. */
static void stop_member(void)
{
    if (member > 0)
        kill(member, SIGTERM);
}

static void stop_cb(void *arg, int signo)
{
    (void)signo;
    mk_loop_stop(arg);
}

static void member_run(const char *dir, unsigned port)
{
    static const struct mk_acl_composition open = {0};
    static const struct mk_machine_ops ops = {.name = "bench-fill",
                                              .version = 1,
                                              .surfaces = kv_surfaces,
                                              .n_surfaces = 1,
                                              .apply = fill_apply,
                                              .query = fill_query,
                                              .free = fill_free};
    struct mk_machine *m = mk_alloc(sizeof *m);
    struct mk_node *node;
    struct mk_env *loop;
    char listen[64];

    m->ops = &ops;
    snprintf(listen, sizeof listen, "127.0.0.1:%u", port);
    must(mk_loop_open(&loop, dir, &fault), "loop");
    mk_loop_on_signal(loop, stop_cb, loop);
    must(mk_node_open(loop, &node,
                      &(struct mk_node_options){.key = &committee.keys[0], .listen = listen},
                      &fault),
         "node");
    must(mk_node_add(node,
                     &(struct mk_component_options){.label = MK_STR("fill"),
                                                    .stable_id = group.stable_id,
                                                    .content_hash = group.content,
                                                    .deployment = group.deployment,
                                                    .roster = &group.roster,
                                                    .addresses = committee.address_list,
                                                    .n_addresses = committee.n,
                                                    .acl = &open,
                                                    .machine = m,
                                                    .found = true},
                     &fault),
         "member");
    mk_loop_run(loop);
    mk_node_close(node);
    mk_loop_free(loop);
    _exit(0);
}

/* --- the writer and the reader --------------------------------------------------------------- */

static struct mk_bond *bind_to(struct mk_env *loop, struct mk_network **ret)
{
    struct mk_reference r = kv_reference(&committee, &group);
    struct mk_bond *b;

    must(mk_network_open(loop, ret, &(struct mk_network_options){0}, &fault), "network");
    must(mk_bond_open(*ret, &b, &r, &fault), "bond");
    must(mk_bond_wait(b, WAIT_MS, &fault), "bond");
    return b;
}

static double write_all(struct mk_env *loop, uint64_t changes)
{
    struct mk_arena arena = {0};
    struct mk_network *net;
    struct mk_bond *b = bind_to(loop, &net);
    double begun = seconds_now();

    for (uint64_t i = 0; i < changes; i += BATCH) {
        struct mk_buf command = {0};

        mk_buf_put_u64le(&command, i);
        must(mk_execute_wait(b, NULL, mk_buf_bytes(&command), MK_STEP_COMMITTED, WAIT_MS, &arena,
                             &fault),
             "execute");
        mk_buf_done(&command);
    }
    begun = seconds_now() - begun;
    mk_network_close(net);
    mk_arena_done(&arena);
    return begun;
}

struct reading {
    struct mk_map *map;
    uint64_t version;
};

static bool is_there(void *arg)
{
    const struct reading *r = arg;

    return mk_map_synced(r->map) && mk_map_version(r->map) >= r->version;
}

static double read_all(struct mk_env *loop, uint64_t changes)
{
    static const struct mk_map_cbs cbs;
    struct reading r = {.version = changes};
    struct mk_network *net;
    struct mk_bond *b = bind_to(loop, &net);
    double begun = seconds_now();

    must(mk_map_open(b, &r.map, &kv_surfaces[0], &cbs, NULL), "map");
    if (!mk_loop_run_until(loop, is_there, &r, WAIT_MS))
        must(MK_ETIMEDOUT, "the reader");
    begun = seconds_now() - begun;
    if (mk_map_size(r.map) != (n_keys < changes ? n_keys : changes))
        must(MK_EPROTOCOL, "the map's size");
    mk_map_close(r.map);
    mk_network_close(net);
    return begun;
}

int main(int argc, char **argv)
{
    double wrote, took;
    uint64_t changes;
    struct mk_env *loop;
    unsigned port;

    if (argc != 6) {
        fprintf(stderr, "usage: reader DIR CHANGES KEYS BYTES PORT\n");
        return 2;
    }
    changes = strtoull(argv[2], NULL, 10);       /* tidy: ok */
    n_keys = strtoull(argv[3], NULL, 10);        /* tidy: ok */
    value_n = strtoull(argv[4], NULL, 10);       /* tidy: ok */
    port = (unsigned)strtoul(argv[5], NULL, 10); /* tidy: ok */
    if (changes == 0 || changes % BATCH != 0 || n_keys == 0 || value_n < 8 || value_n > 4096)
        return 2;
    kv_committee_init(&committee, 1, port);
    kv_group_init(&group, &committee, 0);
    member = fork();
    if (member == 0)
        member_run(argv[1], port);
    atexit(stop_member);
    must(mk_loop_open(&loop, NULL, &fault), "loop");
    wrote = write_all(loop, changes);
    took = read_all(loop, changes);
    mk_loop_free(loop);
    stop_member();
    waitpid(member, NULL, 0);
    member = 0;
    printf("changes=%llu keys=%llu read_per_s=%.0f written_per_s=%.0f seconds=%.3f\n",
           (unsigned long long)changes, (unsigned long long)n_keys, (double)changes / took,
           (double)changes / wrote, took);
    return 0;
}
