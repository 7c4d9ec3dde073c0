/* Every callback of a follow is checked against what was shown before: commits come one
 * after the other, a map stands where a member's stood at the same index. */
#include "readers.h"
#include "collections/surface.h"
#include "toy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void said(struct mk_client_report *report, const struct mk_peer *peer, unsigned close,
                 const char *text)
{
    struct reader *r = mk_container_of(report, struct reader, report);

    (void)peer;
    snprintf(r->said[r->n_said++ % 8], sizeof r->said[0], "%s: %s", mk_close_name(close), text);
}

/* Its links go to the replica alone, or to every member. */
static struct reader *reader_make(struct cluster *c, unsigned node,
                                  const struct mk_witness_options *w, const struct mk_peer *replica,
                                  const char *replica_address)
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
    if (replica != NULL) {
        r->through = *replica;
        mk_net_dial(r->net, &r->dials[0], &r->through, replica_address);
    }
    for (unsigned i = 0; i < c->n && replica == NULL; i++) {
        snprintf(address, sizeof address, "n%u:7000", i);
        mk_net_dial(r->net, &r->dials[i], &c->peers[i], address);
    }
    if (w != NULL)
        assert_int_equal(mk_witness_open(r->env, r->net, &r->witness, w, NULL), 0);
    r->memory = mk_reader_memory_new(&c->roster);
    r->report.said = said;
    r->component = (struct mk_component){
        .deployment = c->deployment, .stable_id = c->stable_id, .roster = c->roster};
    if (w != NULL) {
        r->component.acl = c->o.acl;
        r->component.witness = r->witness;
    }
    r->component.through = &r->through;
    r->component.n_through = replica != NULL ? 1 : 0;
    assert_int_equal(
        mk_client_open(r->env, r->net, &r->client, &r->component, r->memory, &r->report), 0);
    return r;
}

struct reader *reader_new_attested(struct cluster *c, unsigned node,
                                   const struct mk_witness_options *w)
{
    return reader_make(c, node, w, NULL, NULL);
}

struct reader *reader_new(struct cluster *c, unsigned node)
{
    return reader_make(c, node, NULL, NULL, NULL);
}

struct reader *reader_through(struct cluster *c, unsigned node, const struct mk_peer *replica,
                              const char *address)
{
    return reader_make(c, node, NULL, replica, address);
}

struct reader *reader_through_attested(struct cluster *c, unsigned node,
                                       const struct mk_witness_options *w,
                                       const struct mk_peer *replica, const char *address)
{
    return reader_make(c, node, w, replica, address);
}

void reader_free(struct reader *r)
{
    mk_follow_close(r->map);
    mk_follow_close(r->ticks);
    mk_client_close(r->client);
    mk_witness_close(r->witness);
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

struct mk_follow *reader_follow(struct reader *r, enum cluster_surface which)
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

bool reader_until_caught_up(struct reader *r, uint64_t ms)
{
    return world_run_until(r->c->w, caught_up, r, ms);
}

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

int reader_finish(struct reader *r, struct call *x)
{
    assert_true(world_run_until(r->c->w, ended, x, 60000));
    assert_int_equal(x->n, 1);
    return x->status;
}

void reader_start(struct reader *r, struct call *x, const char *command, enum mk_want want,
                  uint32_t ms)
{
    *x = (struct call){.call.cb = call_cb};
    assert_int_equal(
        mk_client_execute(r->client, &x->call, MK_BYTES(command, strlen(command)), want, ms), 0);
}

int reader_execute(struct reader *r, struct call *x, const char *command, enum mk_want want)
{
    reader_start(r, x, command, want, 20000);
    return reader_finish(r, x);
}

int reader_query(struct reader *r, struct call *x, const char *text, bool linearizable)
{
    *x = (struct call){.call.cb = call_cb};
    assert_int_equal(
        mk_client_query(r->client, &x->call, MK_BYTES(text, strlen(text)), linearizable, 10000), 0);
    return reader_finish(r, x);
}

int reader_get(struct reader *r, struct call *x, const char *key, uint64_t max_age_ms)
{
    struct mk_id map = mk_surface_id(&cluster_surfaces[CLUSTER_MAP], &r->c->stable_id);
    struct mk_buf pc = {0};

    *x = (struct call){.get.cb = get_cb};
    toy_text(&pc, key);
    assert_int_equal(mk_client_get(r->client, &x->get, &map, mk_buf_bytes(&pc), max_age_ms, 20000),
                     0);
    mk_buf_done(&pc);
    return reader_finish(r, x);
}
