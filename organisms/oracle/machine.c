/* machine.c - ticks of sources in, medians out (oracle.h).
 *
 * Whether a tick was committed by its source is decided before this machine sees the command
 * (mosaik/evidence.h). Here: is it of a pair of ours, with our scale, and newer than what that
 * source said last? Then it is its source's latest, and the pair is due for a tick of its own. */
#include "oracle/oracle.h"

#include <string.h>

MK_STRUCT_DEFINE(oracle_source, "Source", ORACLE_SOURCE_TABLE)
MK_STRUCT_DEFINE(oracle_observed, "Observed", ORACLE_OBSERVED_TABLE)
MK_SEQ_DEFINE(oracle_pointers, mk_evidence_pointer, MK_EVIDENCE_MAX, MK_SEQ_NONEMPTY)
MK_STRUCT_DEFINE(oracle_observe, "Observe", ORACLE_OBSERVE_TABLE)
MK_ENUM_DEFINE(oracle_command, "OracleCommand", ORACLE_COMMAND_TABLE)

const struct mk_surface_spec oracle_latest_spec = {.kind = MK_SURFACE_MAP,
                                                   .name = "latest",
                                                   .key = &oracle_source_type,
                                                   .value = &oracle_observed_type};

struct oracle {
    struct mk_machine machine;
    struct mk_machine_ops ops; /* surfaces differ from oracle to oracle */
    struct mk_arena arena;
    struct coa_oracle_content content;
    struct mk_evidence_surface *cited; /* the sources' surfaces: one a pair */
};

static unsigned latest_of(const struct oracle *o)
{
    return (unsigned)o->content.pairs.n;
}

/* --- observing ------------------------------------------------------------------------------- */

/** What a source said last of a pair; false: nothing yet. */
static bool latest(const struct oracle *o, const struct mk_apply *a,
                   const struct mk_member_id *member, size_t pair, struct oracle_observed *ret)
{
    struct oracle_source key = {*member, (uint16_t)pair};
    struct mk_arena arena = {0};
    struct mk_buf k = {0};
    struct mk_bytes v;
    bool there;

    mk_encode(&k, &oracle_source_type, &key);
    there = mk_map_get(mk_apply_surfaces(a), latest_of(o), mk_buf_bytes(&k), &v) == 0 &&
            mk_decode(ret, &oracle_observed_type, v, &arena, NULL) == 0;
    mk_buf_done(&k);
    mk_arena_done(&arena);
    return there;
}

/** The tick that a pointer resolved to, and its pair. */
static int read_tick(const struct oracle *o, struct mk_apply *a, const struct mk_resolved *r,
                     struct price_tick *ret, size_t *ret_pair, struct mk_arena *arena)
{
    if (r->marker || mk_decode(ret, &price_tick_type, r->payload, arena, NULL) != 0)
        return mk_refuse(a, "evidence: not a tick");
    for (size_t i = 0; i < o->content.pairs.n; i++) {
        const struct coa_pair *p = &o->content.pairs.v[i];

        if (!mk_str_eq(p->base, ret->pair.base) || !mk_str_eq(p->quote, ret->pair.quote))
            continue;
        if (ret->price.scale != p->scale || ret->price.mantissa <= 0)
            return mk_refuse(a, "price: of scale %u, this oracle's is %u", ret->price.scale,
                             p->scale);
        *ret_pair = i;
        return 0;
    }
    return mk_refuse(a, "pair: none of this oracle's");
}

struct observation {
    size_t pair;
    struct oracle_source key;
    struct oracle_observed value;
};

static int check_one(const struct oracle *o, struct mk_apply *a, const struct mk_resolved *r,
                     struct observation *ret)
{
    struct mk_arena arena = {0};
    struct oracle_observed before;
    struct price_tick t;
    int rv = read_tick(o, a, r, &t, &ret->pair, &arena);

    if (rv == 0 && latest(o, a, &r->pointer.member, ret->pair, &before) &&
        r->pointer.clock <= before.evidence.clock) {
        mk_refuse(a, "clock: %llu is not above the source's last, %llu",
                  (unsigned long long)r->pointer.clock, (unsigned long long)before.evidence.clock);
        rv = MK_ESTALE;
    }
    if (rv == 0) {
        ret->key = (struct oracle_source){r->pointer.member, (uint16_t)ret->pair};
        ret->value = (struct oracle_observed){r->pointer, t.price.mantissa, t.timestamp_ms};
    }
    mk_arena_done(&arena);
    return rv;
}

static void keep(const struct oracle *o, struct mk_apply *a, const struct observation *x)
{
    struct mk_buf key = {0}, value = {0};
    bool changed;

    mk_encode(&key, &oracle_source_type, &x->key);
    mk_encode(&value, &oracle_observed_type, &x->value);
    mk_map_insert(a, latest_of(o), mk_buf_bytes(&key), mk_buf_bytes(&value), &changed);
    mk_buf_done(&key);
    mk_buf_done(&value);
}

/* --- publishing --------------------------------------------------------------------------------
 */

/** Of a pair: what its sources say, in ascending order of price. */
struct said {
    mk_i128_d prices[COA_ORACLE_SOURCES_MAX];
    uint64_t times[COA_ORACLE_SOURCES_MAX];
    struct mk_buf sources; /* their stable ids */
    size_t n;
};

static void gather(const struct oracle *o, const struct mk_apply *a, size_t pair, struct said *s)
{
    for (size_t i = 0; i < o->content.sources.n; i++) {
        const struct coa_oracle_source *source = &o->content.sources.v[i];
        struct mk_member_id member = mk_member_id_of(&source->stable_id);
        struct oracle_observed v;
        size_t at, t;

        if (!latest(o, a, &member, pair, &v))
            continue;
        for (at = s->n; at > 0 && s->prices[at - 1] > v.mantissa; at--)
            s->prices[at] = s->prices[at - 1];
        s->prices[at] = v.mantissa;
        for (t = s->n; t > 0 && s->times[t - 1] > v.timestamp_ms; t--)
            s->times[t] = s->times[t - 1];
        s->times[t] = v.timestamp_ms;
        s->n++;
        mk_buf_put(&s->sources, source->stable_id.b, sizeof source->stable_id.b);
    }
}

static void publish(const struct oracle *o, struct mk_apply *a, size_t pair)
{
    const struct coa_pair *p = &o->content.pairs.v[pair];
    struct said s = {.n = 0};
    struct mk_buf item = {0};
    struct mk_id digest;

    gather(o, a, pair, &s);
    if (s.n >= o->content.quorum) {
        size_t median = (s.n - 1) / 2;
        struct price_tick t = {.timestamp_ms = s.times[median],
                               .pair = {p->base, p->quote},
                               .price = {s.prices[median], p->scale},
                               .confidence = {(s.prices[s.n - 1] - s.prices[0] + 1) / 2, p->scale},
                               .source_count = (uint8_t)s.n,
                               .stale = s.n < 2,
                               .seq = mk_surface_index(mk_apply_surfaces(a), (unsigned)pair) + 1};

        digest = mk_hash(mk_buf_bytes(&s.sources));
        memcpy(t.source_set_digest.b, digest.b, sizeof digest.b);
        mk_encode(&item, &price_tick_type, &t);
        mk_stream_append(a, (unsigned)pair, mk_buf_bytes(&item));
    }
    mk_buf_done(&s.sources);
    mk_buf_done(&item);
}

static int oracle_apply(struct mk_machine *m, struct mk_apply *a, struct mk_bytes command)
{
    const struct oracle *o = mk_container_of(m, struct oracle, machine);
    struct observation v[MK_EVIDENCE_MAX];
    bool due[COA_PAIRS_MAX] = {false};
    const struct mk_resolved *r;
    struct mk_arena arena = {0};
    struct oracle_command c;
    struct mk_fault fault;
    size_t n;
    int rv = mk_decode(&c, &oracle_command_type, command, &arena, &fault);

    mk_arena_done(&arena);
    if (rv != 0)
        return mk_refuse(a, "command: %.120s", fault.text);
    r = mk_apply_evidence(a, &n);
    for (size_t i = 0; i < n; i++) {
        rv = check_one(o, a, &r[i], &v[i]);
        for (size_t k = 0; rv == 0 && k < i; k++)
            if (v[k].pair == v[i].pair &&
                memcmp(v[k].key.member.b, v[i].key.member.b, sizeof v[i].key.member.b) == 0)
                rv = mk_refuse(a, "evidence: a source's pair stands twice");
        if (rv != 0)
            return rv;
        due[v[i].pair] = true;
    }
    for (size_t i = 0; i < n; i++)
        keep(o, a, &v[i]);
    for (size_t i = 0; i < o->content.pairs.n; i++)
        if (due[i])
            publish(o, a, i);
    return 0;
}

static int oracle_query(struct mk_machine *m, const struct mk_surfaces *s, struct mk_bytes query,
                        struct mk_buf *answer, struct mk_fault *reterr)
{
    const struct oracle *o = mk_container_of(m, struct oracle, machine);
    struct mk_bytes item;

    for (unsigned i = 0; i < o->content.pairs.n; i++) {
        const char *name = o->ops.surfaces[i].name;

        if (query.n != strlen(name) || memcmp(query.p, name, query.n) != 0)
            continue;
        if (mk_stream_get(s, i, mk_surface_index(s, i), &item) != 0)
            return mk_fault(reterr, MK_ENOTFOUND, "no tick of %s yet", name);
        mk_buf_put(answer, item.p, item.n);
        return 0;
    }
    return mk_fault(reterr, MK_ENOTFOUND, "query: the name of a pair of this oracle");
}

static void oracle_free(struct mk_machine *m)
{
    struct oracle *o = mk_container_of(m, struct oracle, machine);

    mk_arena_done(&o->arena);
    mk_free(o);
}

static const struct mk_machine_ops base_ops = {.name = "oracle",
                                               .version = 1,
                                               .apply = oracle_apply,
                                               .query = oracle_query,
                                               .free = oracle_free};

/* --- evidence ------------------------------------------------------------------------------------
 */

static int hook_anchor(const struct mk_machine *inner, const struct mk_apply *a,
                       const struct mk_id *stable_id, struct mk_evidence_anchor *ret)
{
    const struct oracle *o =
        mk_container_of((struct mk_machine *)(uintptr_t)inner, struct oracle, machine);

    (void)a;
    for (size_t i = 0; i < o->content.sources.n; i++) {
        const struct coa_oracle_source *s = &o->content.sources.v[i];

        if (!mk_id_eq(&s->stable_id, stable_id))
            continue;
        *ret = (struct mk_evidence_anchor){.stable_id = s->stable_id,
                                           .operator_ = {true, s->operator}, .surfaces = o->cited,
                                                         .n_surfaces = o->content.pairs.n};
        return 0;
    }
    return MK_ENOTFOUND;
}

static int hook_cites(const struct mk_machine *inner, struct mk_bytes command,
                      struct mk_evidence_pointer ret[MK_EVIDENCE_MAX], size_t *ret_n)
{
    struct mk_arena arena = {0};
    struct oracle_command c;
    int rv = mk_decode(&c, &oracle_command_type, command, &arena, NULL);

    (void)inner;
    *ret_n = rv == 0 ? c.u.observe.pointers.n : 0;
    for (size_t i = 0; i < *ret_n; i++)
        ret[i] = c.u.observe.pointers.v[i];
    mk_arena_done(&arena);
    return rv;
}

const char *const *oracle_names(const struct coa_pairs *pairs, struct mk_arena *arena)
{
    const char **v = mk_arena_take(arena, (pairs->n + 1) * sizeof *v);

    for (size_t i = 0; i < pairs->n; i++) {
        const struct coa_pair *p = &pairs->v[i];
        char *s = mk_arena_take(arena, p->base.n + p->quote.n + 2);

        memcpy(s, p->base.p, p->base.n);
        s[p->base.n] = '/';
        memcpy(s + p->base.n + 1, p->quote.p, p->quote.n);
        v[i] = s;
    }
    return v;
}

int oracle_machine_new(struct mk_machine **ret, struct mk_bytes content, struct mk_fault *reterr)
{
    static const struct mk_evidence_hooks hooks = {hook_anchor, hook_cites};
    struct oracle *o = mk_alloc(sizeof *o);
    struct mk_bytes own = {mk_arena_copy(&o->arena, content.p, content.n), content.n};
    struct mk_surface_spec *surfaces;
    const char *const *names;
    int rv = mk_decode(&o->content, &coa_oracle_content_type, own, &o->arena, reterr);

    if (rv == 0)
        rv = coa_oracle_check(&o->content, reterr);
    if (rv == 0 && o->content.pairs.n >= MK_SURFACES_MAX)
        rv = mk_fault(reterr, MK_ELIMIT, "an oracle has at most %u pairs", MK_SURFACES_MAX - 1);
    if (rv != 0) {
        oracle_free(&o->machine);
        return rv;
    }
    names = oracle_names(&o->content.pairs, &o->arena);
    surfaces = mk_arena_take(&o->arena, (o->content.pairs.n + 1) * sizeof *surfaces);
    o->cited = mk_arena_take(&o->arena, o->content.pairs.n * sizeof *o->cited);
    for (size_t i = 0; i < o->content.pairs.n; i++) {
        surfaces[i] = price_feed_surface(names[i]);
        o->cited[i] = (struct mk_evidence_surface){&surfaces[i], "seq"};
    }
    surfaces[o->content.pairs.n] = oracle_latest_spec;
    o->ops = base_ops;
    o->ops.surfaces = surfaces;
    o->ops.n_surfaces = (unsigned)o->content.pairs.n + 1;
    o->machine.ops = &o->ops;
    *ret = mk_evidenced_machine_new(&o->machine, &hooks);
    return 0;
}
