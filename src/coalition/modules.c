/* modules.c - descriptors of module contents, and each kind's own rules. */
#include <coalition/modules.h>

#include "base/assert.h"
#include "coalition/preimage.h"

#include <string.h>

MK_STRUCT_DEFINE(coa_lattice_ref, "LatticeRef", COA_LATTICE_REF_TABLE)
MK_STRUCT_DEFINE(coa_organism_ref, "OrganismRef", COA_ORGANISM_REF_TABLE)
MK_BLOB_DEFINE(coa_content, COA_CONTENT_MAX)
MK_STRUCT_DEFINE(coa_ticket_issuer_config, "TicketIssuer", COA_TICKET_ISSUER_TABLE)
MK_OPTION_DEFINE(coa_opt_ticket_issuer, coa_ticket_issuer_config)

MK_STRUCT_DEFINE(coa_atlas_member, "AtlasMember", COA_ATLAS_MEMBER_TABLE)
MK_SEQ_DEFINE(coa_atlas_members, coa_atlas_member, COA_MEMBERS_MAX, 0)
MK_STRUCT_DEFINE(coa_atlas_content, "AtlasContent", COA_ATLAS_CONTENT_TABLE)
MK_STRUCT_DEFINE(coa_almanac_content, "AlmanacContent", COA_ALMANAC_CONTENT_TABLE)
MK_STRUCT_DEFINE(coa_continuation, "Continuation", COA_CONTINUATION_TABLE)
MK_OPTION_DEFINE(coa_opt_continuation, coa_continuation)
MK_TEXT_DEFINE(coa_anchor, 128, MK_TEXT_NAME)
MK_STRUCT_DEFINE(coa_chronicle_content, "ChronicleContent", COA_CHRONICLE_CONTENT_TABLE)
MK_STRUCT_DEFINE(coa_clock_tick, "Tick", COA_CLOCK_TICK_TABLE)
MK_ENUM_DEFINE(coa_clock, "Clock", COA_CLOCK_TABLE)
MK_ENUM_DEFINE(coa_clearing, "Clearing", COA_CLEARING_TABLE)
MK_STRUCT_DEFINE(coa_compute_content, "ComputeContent", COA_COMPUTE_CONTENT_TABLE)
MK_BLOB_DEFINE(coa_source_params, COA_SOURCE_PARAMS_MAX)
MK_STRUCT_DEFINE(coa_source, "Source", COA_SOURCE_TABLE)
MK_SEQ_DEFINE(coa_sources, coa_source, COA_SOURCES_MAX, 0)
MK_STRUCT_DEFINE(coa_randomness_content, "RandomnessContent", COA_RANDOMNESS_CONTENT_TABLE)
MK_STRUCT_DEFINE(coa_pair, "Pair", COA_PAIR_TABLE)
MK_SEQ_DEFINE(coa_pairs, coa_pair, COA_PAIRS_MAX, 0)
MK_STRUCT_DEFINE(coa_price_feed_content, "PriceFeedContent", COA_PRICE_FEED_CONTENT_TABLE)
MK_STRUCT_DEFINE(coa_oracle_source, "OracleSource", COA_ORACLE_SOURCE_TABLE)
MK_SEQ_DEFINE(coa_oracle_sources, coa_oracle_source, COA_ORACLE_SOURCES_MAX,
              MK_SEQ_KEYED | MK_SEQ_NONEMPTY)
MK_STRUCT_DEFINE(coa_oracle_content, "OracleContent", COA_ORACLE_CONTENT_TABLE)

static const char *const names[COA_MODULE_KINDS] = {"atlas", "almanac", "chronicle", "compute",
                                                    "randomness"};

const char *coa_module_name(enum coa_module_kind kind)
{
    MK_ASSERT((unsigned)kind < COA_MODULE_KINDS);
    return names[kind];
}

int coa_module_kind_of(enum coa_module_kind *ret, struct mk_str name)
{
    for (unsigned i = 0; i < COA_MODULE_KINDS; i++) {
        if (mk_str_is(name, names[i])) {
            *ret = (enum coa_module_kind)i;
            return 0;
        }
    }
    return MK_ENOTFOUND;
}

struct mk_id coa_ticket_issuer_fp_x(const struct coa_ticket_issuer_config *t, struct coa_explain *x)
{
    struct mk_id acl_fp = coa_acl_fp_x(&t->acl, MK_STR("ticket_issuer"), x);
    struct preimage p;

    coa_pre_begin(&p, x);
    coa_pre_part_tag_text(&p, "ticket-issuer", t->name);
    coa_pre_part_id(&p, &acl_fp);
    return coa_pre_end(&p, "ticket_issuer_fp", t->name);
}

struct mk_id coa_ticket_issuer_fp(const struct coa_ticket_issuer_config *t)
{
    return coa_ticket_issuer_fp_x(t, NULL);
}

const struct mk_type *coa_module_content_type(enum coa_module_kind kind)
{
    static const struct mk_type *const types[COA_MODULE_KINDS] = {
        &coa_atlas_content_type, &coa_almanac_content_type, &coa_chronicle_content_type,
        &coa_compute_content_type, &coa_randomness_content_type};

    MK_ASSERT((unsigned)kind < COA_MODULE_KINDS);
    return types[kind];
}

/* --- each kind's rules --------------------------------------------------------------- */

static bool is_cadence(uint32_t ms)
{
    return ms >= COA_CADENCE_MS_MIN && ms <= COA_CADENCE_MS_MAX;
}

static const char *atlas_rule(const struct coa_atlas_content *c)
{
    for (size_t i = 0; i < c->members.n; i++) {
        if (c->members.v[i].kind > 1)
            return "a catalogue entry's kind is 0 (lattice) or 1 (organism)";
    }
    return NULL;
}

static const char *almanac_rule(const struct coa_almanac_content *c)
{
    return is_cadence(c->cadence_ms) ? NULL : "cadence_ms is 10 to 3600000";
}

/* "evm:<chain id>:<contract>": decimal without leading zeros, 40 hex digits after 0x. */
static bool is_evm_anchor(struct mk_str a)
{
    size_t i = 4, start;
    uint8_t address[20];

    if (a.n < 4 || memcmp(a.p, "evm:", 4) != 0)
        return false;
    start = i;
    while (i < a.n && a.p[i] >= '0' && a.p[i] <= '9')
        i++;
    if (i == start || i - start > 20 || a.p[start] == '0' || i == a.n || a.p[i] != ':')
        return false;
    i++;
    if (a.n - i == 42 && a.p[i] == '0' && a.p[i + 1] == 'x')
        i += 2;
    return a.n - i == 40 && mk_unhex(address, sizeof address, a.p + i, 40) == 0;
}

static const char *chronicle_rule(const struct coa_chronicle_content *c)
{
    if (!mk_str_is(c->anchor, "none") && !mk_str_is(c->anchor, "file") && !is_evm_anchor(c->anchor))
        return "anchor is \"none\", \"file\" or \"evm:<chain id>:<contract address>\"";
    if (c->anchor_every == 0)
        return "anchor_every is at least 1";
    return NULL;
}

static const char *compute_rule(const struct coa_compute_content *c)
{
    if (c->reputation_floor_bps > 10000)
        return "a reputation floor is at most 1.0";
    if (c->reputation_floor_bps > 0 && !c->provider_reputation.some)
        return "a reputation floor needs provider_reputation";
    if (c->clock.tag == coa_clock_Tick && !is_cadence(c->clock.u.tick.cadence_ms))
        return "cadence_ms is 10 to 3600000";
    return NULL;
}

static bool is_scheme(struct mk_str scheme)
{
    return mk_str_is(scheme, "threshold-bls") || mk_str_is(scheme, "vrf") ||
           mk_str_is(scheme, "tdx-attested") || mk_str_is(scheme, "external");
}

static const char *randomness_rule(const struct coa_randomness_content *c)
{
    if (c->period_ms == 0)
        return "period_ms is at least 1";
    for (size_t i = 0; i < c->sources.n; i++) {
        const struct coa_source *s = &c->sources.v[i];

        if (!is_scheme(s->scheme))
            return "a source's scheme is threshold-bls, vrf, tdx-attested or external";
        if (mk_str_is(s->scheme, "vrf") && s->params.n != 32)
            return "the params of a vrf source are its 32-byte key";
    }
    return NULL;
}

static const char *content_rule(enum coa_module_kind kind, const void *content)
{
    switch (kind) {
    case COA_ATLAS:
        return atlas_rule(content);
    case COA_ALMANAC:
        return almanac_rule(content);
    case COA_CHRONICLE:
        return chronicle_rule(content);
    case COA_COMPUTE:
        return compute_rule(content);
    case COA_RANDOMNESS:
        return randomness_rule(content);
    default:
        return "no such module";
    }
}

int coa_module_content_check(enum coa_module_kind kind, struct mk_bytes content,
                             struct mk_fault *reterr)
{
    union {
        struct coa_atlas_content atlas;
        struct coa_almanac_content almanac;
        struct coa_chronicle_content chronicle;
        struct coa_compute_content compute;
        struct coa_randomness_content randomness;
    } value;
    struct mk_arena arena = {0};
    const char *rule;
    int rv;

    rv = mk_decode(&value, coa_module_content_type(kind), content, &arena, reterr);
    if (rv == 0) {
        rule = content_rule(kind, &value);
        if (rule != NULL)
            rv = mk_fault(reterr, MK_EMALFORMED, "%s", rule);
    }
    mk_arena_done(&arena);
    return rv;
}

/* --- feeds ------------------------------------------------------------------------------ */

static int pair_check(struct mk_buf *name, const struct coa_pair *pair, struct mk_fault *reterr)
{
    int rv;

    mk_buf_clear(name);
    rv = coa_pair_name(name, pair->base, pair->quote, reterr);
    if (rv != 0)
        return rv;
    if (memcmp(name->p, pair->base.p, pair->base.n) != 0 || name->p[pair->base.n] != '/')
        return mk_fault(reterr, MK_EMALFORMED, "base must be the bytewise lesser symbol");
    if (name->n > MK_NAME_MAX)
        return mk_fault(reterr, MK_EMALFORMED, "base/quote has at most 128 bytes");
    if (pair->scale > COA_SCALE_MAX)
        return mk_fault(reterr, MK_EMALFORMED, "a scale is 0 to 18");
    return 0;
}

int coa_price_feed_check(const struct coa_price_feed_content *c, struct mk_fault *reterr)
{
    struct mk_buf name[2] = {{0}, {0}};
    int order, rv = 0;

    if (c->pairs.n > COA_PAIRS_MAX)
        rv = mk_fault(reterr, MK_ELIMIT, "a feed has at most %u pairs", COA_PAIRS_MAX);
    for (size_t i = 0; i < c->pairs.n && rv == 0; i++) {
        rv = pair_check(&name[i % 2], &c->pairs.v[i], reterr);
        if (rv != 0 || i == 0)
            continue;
        order = mk_bytes_cmp(mk_buf_bytes(&name[(i + 1) % 2]), mk_buf_bytes(&name[i % 2]));
        if (order >= 0)
            rv = mk_fault(reterr, MK_EMALFORMED,
                          order == 0 ? "a pair stands twice"
                                     : "pairs must be sorted by their surface name");
    }
    mk_buf_done(&name[0]);
    mk_buf_done(&name[1]);
    return rv;
}

int coa_oracle_check(const struct coa_oracle_content *c, struct mk_fault *reterr)
{
    const struct coa_price_feed_content pairs = {.pairs = c->pairs};

    if (c->pairs.n == 0)
        return mk_fault(reterr, MK_EMALFORMED, "an oracle has at least one pair");
    if (c->pairs.n >= COA_PAIRS_MAX) /* and the map of latest */
        return mk_fault(reterr, MK_ELIMIT, "an oracle has at most %u pairs", COA_PAIRS_MAX - 1);
    if (c->quorum == 0 || c->quorum > c->sources.n)
        return mk_fault(reterr, MK_EMALFORMED, "the quorum is %u, of %zu sources", c->quorum,
                        c->sources.n);
    return coa_price_feed_check(&pairs, reterr);
}
