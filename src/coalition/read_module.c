/* read_module.c - the parameters of the five modules, with the values that left-out ones
 * take (spec/cli.md); both are folded alike. */
#include "coalition/read_module.h"

#include "base/assert.h"

#include <string.h>

#define AT(member) offsetof(struct module_input, member)
#define COMMON                                                                                  \
    {"instance", read_name, AT(instance), true, 0, 0}, {"acl", read_acl, AT(acl), false, 0, 0}, \
        {"stance", read_opt_id, AT(stance), false, 0, 0}, NOTES_FIELDS(struct module_input)

static int read_continues(struct reader *r, const struct toml_node *n, const struct field *f,
                          void *ret)
{
    static const struct field fields[] = {
        {"module", read_id, offsetof(struct coa_continuation, module), true, 0, 0},
        {"size", read_u64, offsetof(struct coa_continuation, size), true, 1, INT64_MAX},
        {"root", read_b32, offsetof(struct coa_continuation, root), true, 0, 0},
        {"digest", read_id, offsetof(struct coa_continuation, digest), true, 0, 0},
    };
    struct coa_opt_continuation *c = ret;

    (void)f;
    c->some = true;
    return read_table(r, n, "continues", FIELDS(fields), &c->v);
}

/* "millis", or { almanac, cadence_ms }. */
static int read_clock(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    static const struct field fields[] = {
        {"almanac", read_id, offsetof(struct coa_clock_tick, almanac), true, 0, 0},
        {"cadence_ms", read_u32, offsetof(struct coa_clock_tick, cadence_ms), true,
         COA_CADENCE_MS_MIN, COA_CADENCE_MS_MAX},
    };
    struct coa_clock *clock = ret;

    (void)f;
    if (n->kind == TOML_TEXT && mk_str_is(n->text, "millis"))
        return 0;
    if (n->kind != TOML_TABLE)
        return reader_fail(r, n->at,
                           "clock must be \"millis\" or { almanac = \"<id>\", "
                           "cadence_ms = <number> }");
    clock->tag = coa_clock_Tick;
    return read_table(r, n, "clock", FIELDS(fields), &clock->u.tick);
}

static int read_clearing(struct reader *r, const struct toml_node *n, const struct field *f,
                         void *ret)
{
    static const char *const names[] = {"lowest-rate", "first-fit", "reputation-weighted"};
    int rv = read_expect(r, n, TOML_TEXT);

    (void)f;
    if (rv != 0)
        return rv;
    for (uint32_t i = 0; i < 3; i++) {
        if (mk_str_is(n->text, names[i])) {
            ((struct coa_clearing *)ret)->tag = i;
            return 0;
        }
    }
    return reader_fail(r, n->at,
                       "clearing is \"%s\"; it must be \"lowest-rate\", \"first-fit\" or "
                       "\"reputation-weighted\"",
                       n->text.p);
}

static int read_sources(struct reader *r, const struct toml_node *n, const struct field *f,
                        void *ret)
{
    static const struct field fields[] = {
        {"scheme", read_name, offsetof(struct coa_source, scheme), true, 0, 0},
        {"provider", read_member_id, offsetof(struct coa_source, provider), true, 0, 0},
        {"params", read_hex, offsetof(struct coa_source, params), true, 0, COA_SOURCE_PARAMS_MAX},
    };
    struct coa_sources *sources = ret;
    void *v = NULL;
    int rv;

    (void)f;
    rv = read_tables(r, n, "[[randomness.sources]]", COA_SOURCES_MAX, FIELDS(fields),
                     sizeof(struct coa_source), &v, &sources->n);
    sources->v = v;
    return rv;
}

static const struct field atlas_fields[] = {COMMON};
static const struct field almanac_fields[] = {
    COMMON,
    {"cadence_ms", read_u32, AT(almanac.cadence_ms), false, COA_CADENCE_MS_MIN, COA_CADENCE_MS_MAX},
    {"first_seq", read_u64, AT(almanac.first_seq), false, 0, INT64_MAX},
};
static const struct field chronicle_fields[] = {
    COMMON,
    {"schema", read_u16, AT(chronicle.schema), false, 1, UINT16_MAX},
    {"anchor", read_name, AT(chronicle.anchor), false, 0, 0},
    {"anchor_every", read_u32, AT(chronicle.anchor_every), false, 1, UINT32_MAX},
    {"continues", read_continues, AT(chronicle.continues), false, 0, 0},
};
static const struct field compute_fields[] = {
    COMMON,
    {"clock", read_clock, AT(compute.clock), false, 0, 0},
    {"provider_reputation", read_opt_id, AT(compute.provider_reputation), false, 0, 0},
    {"reputation_floor", read_bps, AT(compute.reputation_floor_bps), false, 0, 0},
    {"card_max_age", read_u64, AT(compute.card_max_age), false, 0, INT64_MAX},
    {"clearing", read_clearing, AT(compute.clearing), false, 0, 0},
};
static const struct field randomness_fields[] = {
    COMMON,
    {"sources", read_sources, AT(randomness.sources), false, 0, 0},
    {"period_ms", read_u32, AT(randomness.period_ms), false, 1, UINT32_MAX},
    {"first_round", read_u64, AT(randomness.first_round), false, 0, INT64_MAX},
};

static const struct {
    const char *what;
    const struct field *fields;
    size_t n_fields;
} tables[COA_MODULE_KINDS] = {
    [COA_ATLAS] = {"[atlas]", FIELDS(atlas_fields)},
    [COA_ALMANAC] = {"[almanac]", FIELDS(almanac_fields)},
    [COA_CHRONICLE] = {"[chronicle]", FIELDS(chronicle_fields)},
    [COA_COMPUTE] = {"[compute]", FIELDS(compute_fields)},
    [COA_RANDOMNESS] = {"[randomness]", FIELDS(randomness_fields)},
};

int read_module(struct reader *r, const struct toml_node *n, enum coa_module_kind kind,
                struct module_input *ret)
{
    *ret = (struct module_input){
        .shipped = true,
        .at = n->at,
        .almanac = {.cadence_ms = 1000, .first_seq = 1},
        .chronicle = {.schema = 1, .anchor = MK_STR_INIT("none"), .anchor_every = 64},
        .compute = {.card_max_age = 120},
        .randomness = {.period_ms = 3000, .first_round = 1},
    };
    r->own = COA_OWN_ALLOWED;
    return read_table(r, n, tables[kind].what, tables[kind].fields, tables[kind].n_fields, ret);
}

/* A lone vrf provider can withhold a round that he does not like. */
static void warn_lone_vrf(struct reader *r, const struct module_input *in)
{
    for (size_t i = 0; i < in->randomness.sources.n; i++) {
        if (!mk_str_is(in->randomness.sources.v[i].scheme, "vrf"))
            return;
    }
    if (in->randomness.sources.n == 1)
        reader_warn(r, in->at,
                    "[randomness] has one vrf source alone; its provider can withhold "
                    "a round");
}

int module_body(struct reader *r, const struct module_input *in, enum coa_module_kind kind,
                struct coa_atlas_members members, struct coa_module_config *ret)
{
    struct coa_atlas_content atlas = {members, in->stance};
    struct coa_almanac_content almanac = in->almanac;
    struct coa_chronicle_content chronicle = in->chronicle;
    struct coa_compute_content compute = in->compute;
    struct coa_randomness_content randomness = in->randomness;
    const void *contents[COA_MODULE_KINDS] = {&atlas, &almanac, &chronicle, &compute, &randomness};
    struct mk_buf bytes = {0};
    struct mk_fault rule;
    int rv;

    almanac.stance = chronicle.stance = compute.stance = randomness.stance = in->stance;
    if (kind == COA_RANDOMNESS)
        warn_lone_vrf(r, in);
    mk_encode(&bytes, coa_module_content_type(kind), contents[kind]);
    rv = coa_module_content_check(kind, mk_buf_bytes(&bytes), &rule);
    if (rv != 0)
        rv = reader_fail(r, in->at, "%s: %s", tables[kind].what, rule.text);
    else
        *ret = (struct coa_module_config){
            in->instance, {mk_arena_copy(r->arena, bytes.p, bytes.n), bytes.n}, in->acl};
    mk_buf_done(&bytes);
    return rv;
}
