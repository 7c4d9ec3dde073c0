/* Collections of all shapes on a committee of nodes whose members are killed under load:
 * what a writer was told is there, once and in order, at a reader that verified it and in
 * every member. All through the public interface. */
#include "world.h"

#include <mosaik/collection.h>
#include <mosaik/node.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MEMBERS 3u
#define AGENT 20u /* its node */
#define WRITES 240u

enum { MAP, VEC, SET, CELL, ONCE, QUEUE, N_SPECS };
static const struct mk_surface_spec specs[N_SPECS] = {
    {.kind = MK_SURFACE_MAP, .name = "map", .key = &mk_u64_type, .value = &mk_u64_type},
    {.kind = MK_SURFACE_VEC, .name = "vec", .value = &mk_u64_type},
    {.kind = MK_SURFACE_SET, .name = "set", .value = &mk_u64_type},
    {.kind = MK_SURFACE_CELL, .name = "cell", .value = &mk_u64_type},
    {.kind = MK_SURFACE_ONCE, .name = "once", .value = &mk_u64_type},
    {.kind = MK_SURFACE_QUEUE, .name = "queue", .key = &mk_u64_type, .value = &mk_u64_type},
};

struct committee;

/* What a member shows of its own surfaces. */
struct watcher {
    struct mk_driver driver;
    struct mk_host *host;
    struct member *member;
};

struct member {
    struct committee *c;
    unsigned i;
    struct mk_node *node;
    struct mk_host *host; /* NULL while it is down */
};

struct committee {
    struct world *w;
    struct mk_key keys[MEMBERS];
    struct mk_peer peers[MEMBERS];
    struct mk_roster roster;
    char address[MEMBERS][100];
    struct mk_str addresses[MEMBERS];
    struct mk_id stable_id, deployment, content;
    struct member members[MEMBERS];
};

/* --- members ------------------------------------------------------------------------------- */

static int watcher_start(struct mk_driver *d, struct mk_host *h, struct mk_fault *reterr)
{
    struct watcher *x = (struct watcher *)d;

    (void)reterr;
    x->host = h;
    x->member->host = h;
    return 0;
}

static void watcher_stop(struct mk_driver *d)
{
    ((struct watcher *)d)->member->host = NULL;
    mk_free(d);
}

static const struct mk_driver_ops watcher_ops = {.start = watcher_start, .stop = watcher_stop};

static struct mk_driver *watcher_new(struct member *m)
{
    struct watcher *x = mk_alloc(sizeof *x);

    x->driver.ops = &watcher_ops;
    x->member = m;
    return &x->driver;
}

static void *member_boot(struct mk_env *e, unsigned node, void *arg)
{
    static const struct mk_acl_composition open_to_all;
    struct member *m = arg;
    struct committee *c = m->c;
    struct mk_fault fault = {.text = ""};
    char listen[16];
    struct mk_component_options o = {.label = MK_STR("shelf"),
                                     .stable_id = c->stable_id,
                                     .content_hash = c->content,
                                     .deployment = c->deployment,
                                     .roster = &c->roster,
                                     .addresses = c->addresses,
                                     .n_addresses = MEMBERS,
                                     .acl = &open_to_all,
                                     .found = true};

    snprintf(listen, sizeof listen, "n%u:7000", node);
    mk_env_vouch(e, &c->keys[m->i].peer);
    o.machine = mk_collections_machine_new("shelf", 1, specs, N_SPECS);
    o.driver = watcher_new(m);
    if (mk_node_open(
            e, &m->node,
            &(struct mk_node_options){.key = &c->keys[m->i], .listen = listen, .vouched = true},
            &fault) != 0 ||
        mk_node_add(m->node, &o, &fault) != 0)
        fail_msg("member %u: %s", m->i, fault.text);
    return m;
}

static void member_destroy(void *state)
{
    struct member *m = state;

    m->host = NULL;
    mk_node_close(m->node);
}

static const struct world_program member_program = {member_boot, member_destroy};

static int by_peer(const void *a, const void *b)
{
    return mk_peer_cmp(&((const struct mk_key *)a)->peer, &((const struct mk_key *)b)->peer);
}

static struct committee *committee_new(uint64_t seed)
{
    struct committee *c = mk_alloc(sizeof *c);

    for (unsigned i = 0; i < MEMBERS; i++) {
        uint8_t secret[32] = "shelf";

        secret[16] = (uint8_t)i;
        mk_key_from_seed(&c->keys[i], secret);
    }
    qsort(c->keys, MEMBERS, sizeof c->keys[0], by_peer);
    for (unsigned i = 0; i < MEMBERS; i++) {
        char hex[MK_ID_HEX];

        c->peers[i] = c->keys[i].peer;
        snprintf(c->address[i], sizeof c->address[i], "%s@n%u:7000", mk_peer_hex(&c->peers[i], hex),
                 i);
        c->addresses[i] = mk_str_of(c->address[i]);
        c->members[i] = (struct member){.c = c, .i = i};
    }
    c->stable_id = mk_id_of_text(MK_STR("shelf"));
    c->deployment = mk_id_of_text(MK_STR("shelf, deployed"));
    c->content = mk_id_of_text(MK_STR("shelf's content"));
    c->roster =
        (struct mk_roster){.deployment = c->deployment, .epoch = 1, .peers = {c->peers, MEMBERS}};
    c->w = world_new(seed);
    for (unsigned i = 0; i < MEMBERS; i++)
        world_boot(c->w, i, &member_program, &c->members[i]);
    return c;
}

/* --- an agent: one writer, a reader of each shape ------------------------------------------------
 */

struct agent {
    struct committee *c;
    struct mk_key key;
    struct mk_network *network;
    struct mk_bond *bond;
    struct mk_collection *readers[N_SPECS];
    struct mk_exec exec;
    bool busy;
    uint64_t n;             /* the write in flight, from 1 */
    bool acked[WRITES + 1]; /* certified */
    uint64_t version[N_SPECS], updates;
    unsigned unknown;
};

static void reader_updated(struct mk_collection *r, uint64_t version)
{
    struct agent *a = mk_collection_owner(r);

    a->updates++;
    assert_int_equal(version, mk_collection_version(r));
}

static void reader_ended(struct mk_collection *r, int status, const struct mk_fault *fault)
{
    (void)r;
    fail_msg("a reader ended: %s (%s)", mk_strerror(status), fault != NULL ? fault->text : "");
}

static const struct mk_collection_cbs reader_cbs = {.updated = reader_updated,
                                                    .ended = reader_ended};

static void agent_open(struct agent *a, struct committee *c)
{
    struct mk_reference r = {.label = MK_STR_INIT("shelf"),
                             .stable_id = c->stable_id,
                             .has_version0 = true,
                             .deployment = c->deployment,
                             .deployed_content = c->content,
                             .roster = c->roster,
                             .addresses = c->addresses,
                             .n_addresses = MEMBERS};
    struct mk_env *e = world_node(c->w, AGENT);
    uint8_t secret[32] = "agent";
    struct mk_fault fault = {.text = ""};

    *a = (struct agent){.c = c};
    mk_key_from_seed(&a->key, secret);
    mk_env_vouch(e, &a->key.peer);
    if (mk_network_open(e, &a->network,
                        &(struct mk_network_options){.key = &a->key, .vouched = true},
                        &fault) != 0 ||
        mk_bond_open(a->network, &a->bond, &r, &fault) != 0)
        fail_msg("agent: %s", fault.text);
    for (unsigned i = 0; i < N_SPECS; i++)
        assert_int_equal(mk_collection_open(a->bond, &a->readers[i], &specs[i], &reader_cbs, a), 0);
}

static void agent_close(struct agent *a)
{
    for (unsigned i = 0; i < N_SPECS; i++)
        mk_collection_close(a->readers[i]);
    mk_network_close(a->network);
    mk_key_done(&a->key);
}

static void exec_cb(struct mk_exec *x, int status, const struct mk_outcome *outcome,
                    const struct mk_fault *fault)
{
    struct agent *a = mk_container_of(x, struct agent, exec);
    unsigned shape = (unsigned)(a->n % N_SPECS);
    struct mk_written w;

    a->busy = false;
    if (status != 0) {
        assert_int_not_equal(status, MK_EREFUSED);
        a->unknown++;
        (void)fault;
        return;
    }
    assert_int_equal(mk_written_read(&w, outcome->answer, NULL), 0);
    assert_true(w.version >= a->version[shape]);
    if (shape == ONCE)
        assert_true(w.version == 1);
    else
        assert_true(w.changed && w.version > a->version[shape]);
    a->version[shape] = w.version;
    a->acked[a->n] = true;
}

static struct mk_bytes number(struct mk_buf *b, uint64_t n)
{
    mk_encode(b, &mk_u64_type, &n);
    return mk_buf_bytes(b);
}

static void write_next(struct agent *a)
{
    struct mk_buf text = {0}, command = {0};
    struct mk_bytes x = number(&text, a->n + 1);
    struct mk_op_entry entry = {x, x};
    struct mk_op_ranked ranked = {(a->n + 1) % 7, x, x};
    const struct mk_op ops[N_SPECS] = {
        [MAP] = {.tag = mk_op_Extend, .u.extend = {.entries = {&entry, 1}}},
        [VEC] = {.tag = mk_op_PushBack, .u.push_back = {.items = {&x, 1}}},
        [SET] = {.tag = mk_op_Add, .u.add = {.items = {&x, 1}}},
        [CELL] = {.tag = mk_op_Write, .u.write = {.value = x}},
        [ONCE] = {.tag = mk_op_Write, .u.write = {.value = x}},
        [QUEUE] = {.tag = mk_op_Enqueue, .u.enqueue = {.entries = {&ranked, 1}}}};
    unsigned shape = (unsigned)(++a->n % N_SPECS);

    mk_collection_command_put(&command, &specs[shape], &ops[shape]);
    a->exec.cb = exec_cb;
    a->busy = mk_execute(a->bond, &a->exec, mk_buf_bytes(&command), MK_STEP_CERTIFIED, 8000) == 0;
    if (!a->busy)
        a->n--; /* not bound yet */
    mk_buf_done(&text);
    mk_buf_done(&command);
}

static bool is_free(void *arg)
{
    return !((struct agent *)arg)->busy;
}

/* --- judging
 * ------------------------------------------------------------------------------------------ */

static uint64_t value_of(struct mk_bytes b)
{
    struct mk_arena arena = {0};
    uint64_t v = 0;

    assert_int_equal(mk_decode(&v, &mk_u64_type, b, &arena, NULL), 0);
    mk_arena_done(&arena);
    return v;
}

static void check_vec(const struct agent *a, const struct mk_view *v)
{
    uint64_t before = 0;
    struct mk_bytes value;
    size_t acked = 0;

    for (uint64_t i = 0; mk_vec_at(v, i, &value) == 0; i++) {
        uint64_t n = value_of(value);

        assert_true(n > before && n % N_SPECS == VEC); /* once, in the order of the writes */
        before = n;
        acked += a->acked[n];
    }
    for (uint64_t n = 1; n <= a->n; n++)
        acked -= a->acked[n] && n % N_SPECS == VEC;
    assert_int_equal(acked, 0);
}

static void check_queue(const struct mk_view *v)
{
    uint64_t priority, before = 0;
    struct mk_bytes key, value;

    for (uint64_t i = 0; mk_queue_at(v, i, &priority, &key, &value) == 0; i++) {
        assert_true(priority >= before);
        assert_int_equal(priority, value_of(key) % 7);
        assert_int_equal(value_of(key), value_of(value));
        before = priority;
    }
}

static void check_one(const struct agent *a, const struct mk_view *v, bool once)
{
    struct mk_bytes value;
    uint64_t n, first = 0, last = 0;

    for (n = 1; n <= a->n; n++)
        if (a->acked[n] && n % N_SPECS == (once ? ONCE : CELL)) {
            first = first == 0 ? n : first;
            last = n;
        }
    assert_int_equal(mk_view_get(v, MK_BYTES(NULL, 0), &value), 0);
    if (once)
        assert_true(value_of(value) <= first);
    else
        assert_true(value_of(value) >= last);
}

static void check_view(const struct agent *a, unsigned shape, const struct mk_view *v)
{
    struct mk_bytes value;

    for (uint64_t n = 1; n <= a->n; n++) {
        struct mk_buf key = {0};

        if (a->acked[n] && n % N_SPECS == shape && shape != VEC && shape != CELL && shape != ONCE) {
            assert_int_equal(mk_view_get(v, number(&key, n), &value), 0);
            assert_int_equal(value_of(value), n);
        }
        mk_buf_done(&key);
    }
    if (shape == VEC)
        check_vec(a, v);
    if (shape == QUEUE)
        check_queue(v);
    if (shape == CELL || shape == ONCE)
        check_one(a, v, shape == ONCE);
}

/* The reader's and every member's are one state: as many entries, each with the same value. */
static void check_same(const struct mk_view *a, const struct mk_view *b)
{
    struct mk_id ca = MK_ZERO_ID, cb = MK_ZERO_ID;
    struct mk_bytes ka, va, kb, vb;

    assert_int_equal(mk_view_count(a), mk_view_count(b));
    while (mk_view_next(a, &ca, &ka, &va)) {
        assert_true(mk_view_next(b, &cb, &kb, &vb));
        assert_true(mk_bytes_eq(ka, kb) && mk_bytes_eq(va, vb));
    }
}

static bool all_reached(void *arg)
{
    struct agent *a = arg;

    for (unsigned i = 0; i < N_SPECS; i++) {
        if (!mk_collection_online(a->readers[i]))
            return false;
        for (unsigned m = 0; m < MEMBERS; m++) {
            const struct mk_host *h = a->c->members[m].host;

            if (h == NULL ||
                mk_surface_index(mk_host_surfaces(h), i) != mk_collection_version(a->readers[i]))
                return false;
        }
        if (mk_collection_version(a->readers[i]) < a->version[i])
            return false;
    }
    return true;
}

/* --- the play
 * ------------------------------------------------------------------------------------------- */

static void kill_some(struct committee *c, unsigned round)
{
    unsigned victim = (unsigned)world_chaos(c->w, MEMBERS);

    if (round % 8 != 0)
        return;
    for (unsigned i = 0; i < MEMBERS; i++)
        if (!world_is_up(c->w, i))
            world_restart(c->w, i);
    if (round % 16 == 0)
        world_crash(c->w, victim);
    else
        world_kill(c->w, victim);
}

static uint64_t play(uint64_t seed)
{
    struct committee *c = committee_new(seed);
    struct agent a;
    unsigned acked = 0;
    uint64_t hash;

    agent_open(&a, c);
    for (unsigned round = 1; a.n < WRITES; round++) {
        assert_true(round < 20 * WRITES);
        if (!a.busy)
            write_next(&a);
        if (!a.busy)
            world_run(c->w, 200);
        assert_true(world_run_until(c->w, is_free, &a, 20000));
        if (a.n > 10)
            kill_some(c, round);
    }
    for (unsigned i = 0; i < MEMBERS; i++)
        if (!world_is_up(c->w, i))
            world_restart(c->w, i);
    assert_true(world_run_until(c->w, all_reached, &a, 60000));
    for (unsigned i = 0; i < N_SPECS; i++) {
        const struct mk_view *v = mk_collection_view(a.readers[i]);

        check_view(&a, i, v);
        for (unsigned m = 0; m < MEMBERS; m++)
            check_same(v, mk_surfaces_view(mk_host_surfaces(c->members[m].host), i));
    }
    for (unsigned n = 1; n <= WRITES; n++)
        acked += a.acked[n];
    assert_true(acked > WRITES / 2 && a.updates > 0);
    agent_close(&a);
    hash = world_hash(c->w);
    world_free(c->w);
    for (unsigned i = 0; i < MEMBERS; i++)
        mk_key_done(&c->keys[i]);
    mk_free(c);
    return hash;
}

static void test_kills(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++)
        assert_int_equal(play(seed), play(seed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kills)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
