/* Two follows through the public rules alone: certificates, chains, proofs are theirs to
 * check; order and holes are checked here. */
#include "watch.h"
#include "checks.h"

#include "base/assert.h"
#include "collections/surface.h"
#include "group/client.h"
#include <stdio.h>
#include <string.h>

#define WATCH_NODE 40u

struct watch {
    struct cluster *c;
    struct mk_env *env;
    struct mk_key key;
    struct mk_net *net;
    struct mk_dial dials[CLUSTER_MEMBERS_MAX];
    struct mk_reader_memory *memory;
    struct mk_component component;
    struct mk_follow *follows[2];
    uint64_t seen[2];    /* index of the last commit */
    struct mk_buf ticks; /* u64 of each, in order */
    bool holes;
};

static unsigned which(const struct watch *w, const struct mk_follow *f)
{
    return f == w->follows[CLUSTER_TICKS] ? CLUSTER_TICKS : CLUSTER_MAP;
}

static void on_commit(struct mk_follow *f, uint64_t index, struct mk_bytes payload, bool marker)
{
    struct watch *w = mk_follow_owner(f);
    unsigned s = which(w, f);
    struct mk_arena none = {0};
    uint64_t tick;

    (void)marker;
    if (index != w->seen[s] + 1)
        cluster_violation("a reader of surface %u was shown %llu after %llu", s,
                          (unsigned long long)index, (unsigned long long)w->seen[s]);
    w->seen[s] = index;
    if (s == CLUSTER_TICKS && mk_decode(&tick, &mk_u64_type, payload, &none, NULL) == 0)
        mk_buf_put(&w->ticks, &tick, sizeof tick);
}

static void on_snapshot(struct mk_follow *f, uint64_t index)
{
    struct watch *w = mk_follow_owner(f);

    if (index < w->seen[CLUSTER_MAP])
        cluster_violation("a reader of the map was taken back from %llu to %llu",
                          (unsigned long long)w->seen[CLUSTER_MAP], (unsigned long long)index);
    w->seen[CLUSTER_MAP] = index;
}

static void on_gap(struct mk_follow *f, uint64_t from, uint64_t to)
{
    struct watch *w = mk_follow_owner(f);
    unsigned s = which(w, f);

    if (from != w->seen[s] + 1 || to < from)
        cluster_violation("a reader was told of a hole from %llu to %llu after %llu",
                          (unsigned long long)from, (unsigned long long)to,
                          (unsigned long long)w->seen[s]);
    w->seen[s] = to;
    w->holes = true;
}

static void on_failed(struct mk_follow *f, int status, const struct mk_fault *fault)
{
    (void)f;
    cluster_violation("a reader gave up: %s (%s)", mk_strerror(status), fault->text);
}

static const struct mk_follow_cbs follow_cbs = {
    .commit = on_commit, .snapshot = on_snapshot, .gap = on_gap, .failed = on_failed};

static void follow(struct watch *w, unsigned s)
{
    const struct mk_surface_spec *spec = &cluster_surfaces[s];
    struct mk_follow_options o = {.surface = mk_surface_id(spec, &w->c->stable_id),
                                  .kind = spec->kind,
                                  .schema = mk_surface_schema(spec),
                                  .from = s == CLUSTER_MAP ? mk_from_Snapshot : mk_from_Oldest};
    int rv = mk_follow_open(w->env, w->net, &w->follows[s], &w->component, w->memory, &o,
                            &follow_cbs, w, NULL);

    MK_ASSERT(rv == 0);
}

struct watch *watch_new(struct cluster *c)
{
    struct watch *w = mk_alloc(sizeof *w);
    uint8_t seed[32] = "a watch";
    char address[32];
    int rv;

    w->c = c;
    w->env = world_node(c->w, WATCH_NODE);
    mk_key_from_seed(&w->key, seed);
    mk_env_vouch(w->env, &w->key.peer);
    rv = mk_net_open(w->env, &w->net,
                     &(struct mk_net_options){&w->key, MK_UNIVERSE, .vouched = true});
    MK_ASSERT(rv == 0);
    for (unsigned i = 0; i < c->n; i++) {
        snprintf(address, sizeof address, "n%u:7000", i);
        mk_net_dial(w->net, &w->dials[i], &c->peers[i], address);
    }
    w->memory = mk_reader_memory_new(&c->roster);
    w->component = (struct mk_component){
        .deployment = c->deployment, .stable_id = c->stable_id, .roster = c->roster};
    follow(w, CLUSTER_MAP);
    follow(w, CLUSTER_TICKS);
    return w;
}

void watch_free(struct watch *w)
{
    if (w == NULL)
        return;
    mk_follow_close(w->follows[CLUSTER_MAP]);
    mk_follow_close(w->follows[CLUSTER_TICKS]);
    mk_net_close(w->net);
    mk_reader_memory_free(w->memory);
    mk_buf_done(&w->ticks);
    mk_free(w);
}

static bool is_even(void *arg)
{
    struct watch *w = arg;
    int leader = cluster_leader(w->c);
    const struct mk_surfaces *s;

    if (leader < 0)
        return false;
    s = mk_group_surfaces(cluster_group(w->c, (unsigned)leader));
    return w->seen[CLUSTER_MAP] == s->v[CLUSTER_MAP].index &&
           w->seen[CLUSTER_TICKS] == s->v[CLUSTER_TICKS].index;
}

bool watch_until_even(struct watch *w, uint64_t ms)
{
    return world_run_until(w->c->w, is_even, w, ms);
}

/* Ticks carry the number of their operation. */
void watch_check_ticks(struct watch *w)
{
    const struct operation *ops = (const struct operation *)(const void *)w->c->history.p;
    const uint64_t *v = (const uint64_t *)(const void *)w->ticks.p;
    size_t n = w->ticks.n / sizeof *v, n_ops = w->c->history.n / sizeof *ops;
    uint64_t latest = 0; /* invocation among those that came before */
    bool *there = mk_alloc(n_ops + 1);

    for (size_t i = 0; i < n; i++) {
        if (v[i] == 0 || v[i] > n_ops || ops[v[i] - 1].kind != OP_TICK)
            cluster_violation("the stream has %llu, which nobody sent", (unsigned long long)v[i]);
        if (there[v[i]])
            cluster_violation("the stream has %llu twice", (unsigned long long)v[i]);
        there[v[i]] = true;
        if (ops[v[i] - 1].returned < latest)
            cluster_violation("the stream has %llu behind one that was sent after its answer",
                              (unsigned long long)v[i]);
        latest = ops[v[i] - 1].invoked > latest ? ops[v[i] - 1].invoked : latest;
    }
    for (size_t i = 0; i < n_ops && !w->holes; i++)
        if (ops[i].kind == OP_TICK && ops[i].returned != UINT64_MAX && !there[i + 1])
            cluster_violation("the stream has lost %zu, which was acknowledged", i + 1);
    mk_free(there);
}
