/* Readers and clients that are in no committee, against the real group: what they are
 * shown is what the members have and have certified, whatever happens to members. */
#include "cluster.h"
#include "collections/surface.h"
#include "group/client.h"
#include "toy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define READER_NODE 30u

struct reader {
    struct cluster *c;
    struct mk_env *env;
    struct mk_key key;
    struct mk_net *net;
    struct mk_dial dials[CLUSTER_MEMBERS_MAX];
    struct mk_reader_memory *memory;
    struct mk_client_report report;
    struct mk_follow *map, *ticks;
    struct mk_client *client;
    struct mk_component component;
    unsigned snapshots, changes, gaps;
    uint64_t ticks_seen, index;
    int failed;
    char said[8][300];
    unsigned n_said;
};

static void said(struct mk_client_report *report, const struct mk_peer *peer, unsigned close,
                 const char *text)
{
    struct reader *r = mk_container_of(report, struct reader, report);

    (void)peer;
    snprintf(r->said[r->n_said++ % 8], sizeof r->said[0], "%s: %s", mk_close_name(close), text);
}

static struct reader *reader_new(struct cluster *c, unsigned node)
{
    struct reader *r = mk_alloc(sizeof *r);
    uint8_t seed[32] = {(uint8_t)node, 0x77};
    char address[32];

    r->c = c;
    r->env = world_node(c->w, node);
    mk_key_from_seed(&r->key, seed);
    mk_env_vouch(r->env, &r->key.peer);
    assert_int_equal(
        mk_net_open(r->env, &r->net,
                    &(struct mk_net_options){&r->key, MK_UNIVERSE, .vouched = !c->o.tls}),
        0);
    for (unsigned i = 0; i < c->n; i++) {
        snprintf(address, sizeof address, "n%u:7000", i);
        mk_net_dial(r->net, &r->dials[i], &c->peers[i], address);
    }
    r->memory = mk_reader_memory_new(&c->roster);
    r->report.said = said;
    r->component = (struct mk_component){
        .deployment = c->deployment, .stable_id = c->stable_id, .roster = c->roster};
    assert_int_equal(
        mk_client_open(r->env, r->net, &r->client, &r->component, r->memory, &r->report), 0);
    return r;
}

static void reader_free(struct reader *r)
{
    mk_follow_close(r->map);
    mk_follow_close(r->ticks);
    mk_client_close(r->client);
    mk_net_close(r->net);
    mk_reader_memory_free(r->memory);
    mk_free(r);
}

static void on_commit(struct mk_follow *f, uint64_t index, struct mk_bytes payload, bool marker)
{
    struct reader *r = mk_follow_owner(f);

    (void)marker;
    (void)payload;
    if (f == r->map) {
        assert_int_equal(index, r->index + 1);
        r->index = index;
        r->changes++;
    } else {
        assert_int_equal(index, r->ticks_seen + 1);
        r->ticks_seen = index;
    }
}

static void on_snapshot(struct mk_follow *f, uint64_t index)
{
    struct reader *r = mk_follow_owner(f);

    r->snapshots++;
    r->index = index;
}

static void on_gap(struct mk_follow *f, uint64_t from, uint64_t to)
{
    struct reader *r = mk_follow_owner(f);

    (void)from;
    r->gaps++;
    r->ticks_seen = to;
}

static void on_failed(struct mk_follow *f, int status, const struct mk_fault *fault)
{
    struct reader *r = mk_follow_owner(f);

    (void)fault;
    r->failed = status;
}

static const struct mk_follow_cbs follow_cbs = {
    .commit = on_commit, .snapshot = on_snapshot, .gap = on_gap, .failed = on_failed};

static struct mk_follow *follow(struct reader *r, enum cluster_surface which)
{
    const struct mk_surface_spec *s = &cluster_surfaces[which];
    struct mk_follow_options o = {.surface = mk_surface_id(s, &r->c->stable_id),
                                  .kind = s->kind,
                                  .schema = mk_surface_schema(s),
                                  .from = which == CLUSTER_MAP ? mk_from_Snapshot : mk_from_Oldest};
    struct mk_follow *f;

    assert_int_equal(mk_follow_open(r->env, r->net, &f, &r->component, r->memory, &o, &follow_cbs,
                                    r, &r->report),
                     0);
    return f;
}

/* --- conditions ------------------------------------------------------------------------ */

/* The follower stands where some member stands. */
static bool caught_up(void *arg)
{
    struct reader *r = arg;

    for (unsigned i = 0; i < r->c->n; i++) {
        const struct mk_surfaces *s;
        struct mk_trie fork;
        struct mk_id a, b;
        bool same;

        if (cluster_group(r->c, i) == NULL || mk_follow_certificate(r->map) == NULL)
            continue;
        s = mk_group_surfaces(cluster_group(r->c, i));
        if (s == NULL || mk_follow_certificate(r->map)->head.index != s->v[CLUSTER_MAP].index)
            continue;
        mk_trie_fork(&fork, mk_follow_map(r->map));
        a = mk_trie_root(&fork);
        b = mk_trie_root((struct mk_trie *)(uintptr_t)&s->v[CLUSTER_MAP].map);
        mk_trie_done(&fork);
        same = mk_id_eq(&a, &b);
        assert_true(same);
        return true;
    }
    return false;
}

static bool until_caught_up(struct reader *r, uint64_t ms)
{
    return world_run_until(r->c->w, caught_up, r, ms);
}

static uint64_t seed_shift; /* each test has a seed of its own; the argument moves them all */

static struct cluster *ready(struct cluster_options o)
{
    struct cluster *c;

    o.seed += seed_shift;
    c = cluster_new(&o);

    assert_true(cluster_until_ready(c, 10000));
    return c;
}

static void write_some(struct cluster *c, unsigned from, unsigned n)
{
    char key[16], value[16], tick[24];

    for (unsigned i = from; i < from + n; i++) {
        snprintf(key, sizeof key, "k%u", i % 23);
        snprintf(value, sizeof value, "%u", i);
        assert_int_equal(cluster_set(c, key, value, 5000), 0);
        snprintf(tick, sizeof tick, "tick %u", i);
        assert_int_equal(cluster_command(c, (unsigned)cluster_leader(c), tick, 5000), 0);
    }
}

/* --- following --------------------------------------------------------------------------- */

static void test_a_reader_keeps_up(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 101});
    struct reader *r = reader_new(c, READER_NODE);

    (void)state;
    write_some(c, 0, 20);
    r->map = follow(r, CLUSTER_MAP);
    r->ticks = follow(r, CLUSTER_TICKS);
    assert_true(until_caught_up(r, 8000));
    write_some(c, 20, 20);
    assert_true(until_caught_up(r, 3000));
    world_run(c->w, 3000);
    assert_int_equal(r->ticks_seen, 40);
    assert_int_equal(r->snapshots, 1);
    assert_int_equal(r->n_said, 0);
    reader_free(r);
    cluster_free(c);
}

/* A component that nobody has written to has a certified state too: an empty one. */
static void test_an_empty_map_can_be_read(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 102});
    struct reader *r = reader_new(c, READER_NODE);

    (void)state;
    r->map = follow(r, CLUSTER_MAP);
    assert_true(until_caught_up(r, 15000));
    assert_int_equal(mk_follow_map(r->map)->count, 0);
    world_run(c->w, 60000);
    assert_int_equal(r->n_said, 0); /* heads are renewed: nobody is silent */
    reader_free(r);
    cluster_free(c);
}

static void test_a_reader_outlives_members(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 103});
    struct reader *r = reader_new(c, READER_NODE);

    (void)state;
    write_some(c, 0, 10);
    r->map = follow(r, CLUSTER_MAP);
    r->ticks = follow(r, CLUSTER_TICKS);
    assert_true(until_caught_up(r, 8000));
    for (unsigned i = 0; i < c->n; i++) {
        world_crash(c->w, i);
        assert_true(cluster_until_ready(c, 10000));
        write_some(c, 10 + 5 * i, 5);
        assert_true(until_caught_up(r, 30000));
        world_restart(c->w, i);
        assert_true(cluster_until_equal(c, 20000));
    }
    assert_int_equal(r->snapshots, 1);
    assert_int_equal(r->gaps, 0);
    assert_int_equal(r->failed, 0);
    reader_free(r);
    cluster_free(c);
}

static void test_all_restart_under_a_reader(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 104, .snapshot_entries = 20});
    struct reader *r = reader_new(c, READER_NODE), *late;

    (void)state;
    write_some(c, 0, 30);
    r->map = follow(r, CLUSTER_MAP);
    assert_true(until_caught_up(r, 8000));
    for (unsigned i = 0; i < c->n; i++)
        world_crash(c->w, i);
    world_run(c->w, 2000);
    for (unsigned i = 0; i < c->n; i++)
        world_restart(c->w, i);
    assert_true(cluster_until_ready(c, 10000));
    late = reader_new(c, READER_NODE + 1); /* nothing was written since: heads are renewed */
    late->map = follow(late, CLUSTER_MAP);
    assert_true(until_caught_up(late, 20000));
    write_some(c, 30, 5);
    assert_true(until_caught_up(r, 30000));
    assert_true(until_caught_up(late, 5000));
    reader_free(r);
    reader_free(late);
    cluster_free(c);
}

/* A member that was away gets a snapshot; who reads from it goes on. */
static void test_a_member_installs_a_snapshot(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 105, .snapshot_entries = 20});
    struct reader *r = reader_new(c, READER_NODE);
    unsigned away = cluster_follower(c);

    (void)state;
    write_some(c, 0, 5);
    world_isolate(c->w, away);
    write_some(c, 5, 60);
    world_heal(c->w);
    r->map = follow(r, CLUSTER_MAP);
    assert_true(until_caught_up(r, 30000));
    assert_true(cluster_until_equal(c, 20000));
    for (unsigned i = 0; i < c->n; i++)
        if (i != away)
            mk_net_undial(&r->dials[i]);
    for (unsigned i = 0; i < c->n; i++)
        if (i != away && mk_net_link(r->net, &c->peers[i]) != NULL)
            mk_link_close(mk_net_link(r->net, &c->peers[i]), MK_CLOSE_SHUTDOWN, NULL);
    write_some(c, 65, 5);
    assert_true(until_caught_up(r, 30000)); /* through the one that was away */
    reader_free(r);
    cluster_free(c);
}

static void test_a_reader_over_tls(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 106, .tls = true});
    struct reader *r = reader_new(c, READER_NODE);

    (void)state;
    write_some(c, 0, 10);
    r->map = follow(r, CLUSTER_MAP);
    assert_true(until_caught_up(r, 8000));
    write_some(c, 10, 10);
    assert_true(until_caught_up(r, 3000));
    reader_free(r);
    cluster_free(c);
}

/* Crashes, cuts and breaks at random while commands come; then all is well again, and every
 * reader stands where the members stand, having been shown nothing out of order. */
static void chaos_step(struct cluster *c)
{
    unsigned i = (unsigned)world_chaos(c->w, c->n);

    switch (world_chaos(c->w, 6)) {
    case 0:
        if (world_is_up(c->w, i))
            world_crash(c->w, i);
        break;
    case 1:
        world_isolate(c->w, i);
        break;
    case 2:
        world_heal(c->w);
        break;
    case 3:
        world_break(c->w, i, READER_NODE + (unsigned)world_chaos(c->w, 3));
        break;
    default:
        for (unsigned m = 0; m < c->n; m++)
            if (!world_is_up(c->w, m))
                world_restart(c->w, m);
        break;
    }
}

static void test_readers_in_chaos(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 107, .snapshot_entries = 60});
    struct reader *r[3];
    char command[24];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        r[i] = reader_new(c, READER_NODE + i);
        r[i]->map = follow(r[i], CLUSTER_MAP);
        r[i]->ticks = follow(r[i], CLUSTER_TICKS);
    }
    for (unsigned step = 0; step < 60; step++) {
        int leader = cluster_leader(c);

        chaos_step(c);
        if (step % 2 == 0)
            snprintf(command, sizeof command, "tick %u", step);
        else
            snprintf(command, sizeof command, "set k%u %u", step % 9, step);
        if (leader >= 0 && cluster_group(c, (unsigned)leader) != NULL)
            cluster_command(c, (unsigned)leader, command, 300);
        else
            world_run(c->w, 300);
    }
    world_heal(c->w);
    for (unsigned m = 0; m < c->n; m++)
        if (!world_is_up(c->w, m))
            world_restart(c->w, m);
    assert_true(cluster_until_ready(c, 30000));
    write_some(c, 0, 5);
    assert_true(cluster_until_equal(c, 30000));
    for (unsigned i = 0; i < 3; i++) {
        assert_true(until_caught_up(r[i], 60000));
        assert_int_equal(r[i]->failed, 0);
        reader_free(r[i]);
    }
    cluster_free(c);
}

/* --- executing ------------------------------------------------------------------------------ */

struct call {
    struct mk_call call;
    struct mk_get get;
    unsigned n;
    int status;
    size_t n_commits;
    char text[300];
};

static void call_cb(struct mk_call *k, int status, const struct mk_outcome *o,
                    const struct mk_fault *f)
{
    struct call *x = mk_container_of(k, struct call, call);

    x->n++;
    x->status = status;
    if (o != NULL) {
        x->n_commits = o->commits.n;
        snprintf(x->text, sizeof x->text, "%.*s", (int)o->answer.n, (const char *)o->answer.p);
    }
    if (f != NULL)
        snprintf(x->text, sizeof x->text, "%.290s", f->text);
}

static void get_cb(struct mk_get *g, int status, struct mk_bytes value,
                   const struct mk_certificate *c, const struct mk_fault *f)
{
    struct call *x = mk_container_of(g, struct call, get);

    (void)c;
    x->n++;
    x->status = status;
    if (status == 0)
        snprintf(x->text, sizeof x->text, "%.*s", (int)value.n - 1, (const char *)value.p + 1);
    else if (f != NULL)
        snprintf(x->text, sizeof x->text, "%.290s", f->text);
}

static bool ended(void *arg)
{
    return ((struct call *)arg)->n > 0;
}

static int finish(struct reader *r, struct call *x)
{
    assert_true(world_run_until(r->c->w, ended, x, 60000));
    assert_int_equal(x->n, 1);
    return x->status;
}

static void start(struct reader *r, struct call *x, const char *command, enum mk_want want,
                  uint32_t ms)
{
    *x = (struct call){.call.cb = call_cb};
    assert_int_equal(
        mk_client_execute(r->client, &x->call, MK_BYTES(command, strlen(command)), want, ms), 0);
}

static int execute(struct reader *r, struct call *x, const char *command, enum mk_want want)
{
    start(r, x, command, want, 20000);
    return finish(r, x);
}

static int query(struct reader *r, struct call *x, const char *text, bool linearizable)
{
    *x = (struct call){.call.cb = call_cb};
    assert_int_equal(
        mk_client_query(r->client, &x->call, MK_BYTES(text, strlen(text)), linearizable, 10000), 0);
    return finish(r, x);
}

static int get(struct reader *r, struct call *x, const char *key, uint64_t max_age_ms)
{
    struct mk_id map = mk_surface_id(&cluster_surfaces[CLUSTER_MAP], &r->c->stable_id);
    struct mk_buf pc = {0};

    *x = (struct call){.get.cb = get_cb};
    toy_text(&pc, key);
    assert_int_equal(mk_client_get(r->client, &x->get, &map, mk_buf_bytes(&pc), max_age_ms, 20000),
                     0);
    mk_buf_done(&pc);
    return finish(r, x);
}

static void test_both_steps(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 110});
    struct reader *r = reader_new(c, READER_NODE);
    struct call x[64];

    (void)state;
    assert_int_equal(execute(r, &x[0], "set a 1", MK_WANT_COMMITTED), 0);
    assert_int_equal(x[0].n_commits, 1);
    assert_int_equal(execute(r, &x[0], "set a 2", MK_WANT_CERTIFIED), 0);
    assert_int_equal(x[0].n_commits, 1);
    assert_int_equal(execute(r, &x[0], "set a 2", MK_WANT_CERTIFIED), 0); /* unchanged */
    assert_int_equal(x[0].n_commits, 0);
    assert_int_equal(execute(r, &x[0], "nonsense", MK_WANT_CERTIFIED), MK_EREFUSED);
    assert_string_equal(x[0].text, "no such command: nonsense");
    for (unsigned i = 0; i < 64; i++)
        start(r, &x[i], i % 2 ? "add 7" : "tick 9", MK_WANT_CERTIFIED, 20000);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(finish(r, &x[i]), 0);
    assert_int_equal(query(r, &x[0], "count 7", true), 0);
    assert_string_equal(x[0].text, "32");
    assert_int_equal(query(r, &x[0], "get a", false), 0);
    assert_int_equal(r->n_said, 0);
    reader_free(r);
    cluster_free(c);
}

/* Whatever dies, a command that is answered was done once. */
static void test_once(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 111});
    struct reader *r = reader_new(c, READER_NODE);
    struct call x[40], q;

    (void)state;
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < 10; i++)
            start(r, &x[round * 10 + i], "add 1", i % 2 ? MK_WANT_CERTIFIED : MK_WANT_COMMITTED,
                  60000);
        world_run(c->w, round);
        world_crash(c->w, (unsigned)cluster_leader(c));
        assert_true(cluster_until_ready(c, 10000));
        for (unsigned i = 0; i < c->n; i++)
            if (!world_is_up(c->w, i))
                world_restart(c->w, i);
        for (unsigned i = 0; i < 10; i++)
            assert_int_equal(finish(r, &x[round * 10 + i]), 0);
        assert_true(cluster_until_equal(c, 20000));
    }
    assert_int_equal(query(r, &q, "count 1", true), 0);
    assert_string_equal(q.text, "40");
    reader_free(r);
    cluster_free(c);
}

static void test_no_majority_is_said(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 112});
    struct reader *r = reader_new(c, READER_NODE);
    struct call x;

    (void)state;
    assert_int_equal(execute(r, &x, "set a 1", MK_WANT_CERTIFIED), 0);
    world_kill(c->w, 1);
    world_kill(c->w, 2);
    world_run(c->w, 2000);
    start(r, &x, "set a 2", MK_WANT_CERTIFIED, 8000);
    assert_int_equal(finish(r, &x), MK_ETIMEDOUT);
    assert_non_null(strstr(x.text, "no majority"));
    reader_free(r);
    cluster_free(c);
}

static void test_single_keys(void **state)
{
    struct cluster *c = ready((struct cluster_options){.seed = 113});
    struct reader *r = reader_new(c, READER_NODE);
    struct call x;

    (void)state;
    write_some(c, 0, 30);
    assert_int_equal(get(r, &x, "k3", 10000), 0);
    assert_string_equal(x.text, "26");
    assert_int_equal(get(r, &x, "nobody", 10000), MK_ENOTFOUND);
    world_run(c->w, 60000); /* nobody reads: heads grow old */
    assert_int_equal(get(r, &x, "k3", 7000), 0);
    assert_string_equal(x.text, "26");
    reader_free(r);
    cluster_free(c);
}

/* scenario_readers [SHIFT]: other seeds. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_reader_keeps_up),
        cmocka_unit_test(test_an_empty_map_can_be_read),
        cmocka_unit_test(test_a_reader_outlives_members),
        cmocka_unit_test(test_all_restart_under_a_reader),
        cmocka_unit_test(test_a_member_installs_a_snapshot),
        cmocka_unit_test(test_a_reader_over_tls),
        cmocka_unit_test(test_readers_in_chaos),
        cmocka_unit_test(test_both_steps),
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_no_majority_is_said),
        cmocka_unit_test(test_single_keys),
    };

    for (const char *d = argc > 1 ? argv[1] : ""; *d >= '0' && *d <= '9'; d++)
        seed_shift = seed_shift * 10 + (uint64_t)(*d - '0');
    return cmocka_run_group_tests(tests, NULL, NULL);
}
