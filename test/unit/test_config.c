/* The rules of configs as properties: what moves the fingerprint, what does not, and
 * what a config must keep before anybody relies on it. */
#include <coalition/file.h>
#include <coalition/retirement.h>
#include <coalition/stance.h>

#include "unit.h"

/* Ids that are anything but equal. */
static struct mk_id some_id(unsigned n)
{
    return mk_hash(MK_BYTES(&n, sizeof n));
}

/* A coalition with everything, in parts that the tests change one at a time. */
struct whole {
    struct coa_lattice_ref lattices[2];
    struct coa_organism_ref organisms[2];
    struct coa_atlas_config atlas;
    struct coa_almanac_config almanac;
    struct coa_ticket_issuer_config issuer;
    struct coa_coalition_config c;
    struct mk_buf catalogue;
    struct mk_arena arena;
};

static struct mk_acl_clause own_issuer = {.tag = mk_acl_clause_RecogniseOwnIssuer};

static void recatalogue(struct whole *w)
{
    struct coa_atlas_content content = {
        .members = coa_atlas_catalogue(&w->c.lattices, &w->c.organisms, &w->arena)};

    mk_buf_clear(&w->catalogue);
    mk_encode(&w->catalogue, &coa_atlas_content_type, &content);
    w->atlas.body.content = mk_buf_bytes(&w->catalogue);
}

static void whole_init(struct whole *w)
{
    *w = (struct whole){
        .lattices = {{MK_STR_INIT("one"), some_id(1), {0}}, {MK_STR_INIT("two"), some_id(2), {0}}},
        .organisms = {{MK_STR_INIT("oracle"), some_id(3), {0}},
                      {MK_STR_INIT("oracle"), some_id(4), {true, some_id(5)}}},
        .atlas = {.body = {.instance = MK_STR_INIT("default")}},
        .almanac = {.body = {.instance = MK_STR_INIT("default"),
                             .content = MK_BYTES("\xe8\x07\x01\x00", 4),
                             .acl = {{&own_issuer, 1}}}},
        .issuer = {.name = MK_STR_INIT("tickets")},
        .c = {.schema_version = COA_SCHEMA_VERSION,
              .seed = COA_ROOT_SEED_INIT,
              .instance_name = MK_STR_INIT("whole")},
    };
    w->c.lattices = (struct coa_lattice_refs){w->lattices, 2};
    w->c.organisms = (struct coa_organism_refs){w->organisms, 2};
    w->c.atlas = &w->atlas;
    w->c.almanac = &w->almanac;
    w->c.ticket_issuer = &w->issuer;
    recatalogue(w);
}

static void whole_done(struct whole *w)
{
    mk_buf_done(&w->catalogue);
    mk_arena_done(&w->arena);
}

static bool same_root(const struct whole *w, const struct mk_id *before)
{
    struct mk_id now = coa_coalition_id(&w->c);

    return mk_id_eq(&now, before);
}

/* Each change alone moves the root; undoing it brings the root back. */
#define MOVES(w, before, change, undo)      \
    do {                                    \
        change;                             \
        assert_false(same_root(w, before)); \
        undo;                               \
        assert_true(same_root(w, before));  \
    } while (0)

static void swap_refs(struct coa_organism_ref *a, struct coa_organism_ref *b)
{
    struct coa_organism_ref t = *a;

    *a = *b;
    *b = t;
}

static void test_what_moves_the_root(void **state)
{
    struct whole w;
    struct mk_id before;
    struct coa_lattice_ref first;
    static const struct coa_randomness_config randomness = {
        .body = {MK_STR_INIT("default"), {(const uint8_t *)"\x00\xb8\x17\x01\x00", 5}, {{0}}}};

    (void)state;
    whole_init(&w);
    before = coa_coalition_id(&w.c);
    assert_int_equal(coa_coalition_check(&w.c, NULL), 0);
    first = w.lattices[0];
    MOVES(&w, &before, (w.lattices[0] = w.lattices[1], w.lattices[1] = first),
          (w.lattices[1] = w.lattices[0], w.lattices[0] = first));
    MOVES(&w, &before, swap_refs(&w.organisms[0], &w.organisms[1]),
          swap_refs(&w.organisms[0], &w.organisms[1]));
    MOVES(&w, &before, w.organisms[0].role = MK_STR("prices"),
          w.organisms[0].role = MK_STR("oracle"));
    MOVES(&w, &before, w.organisms[1].content_hash.some = false,
          w.organisms[1].content_hash.some = true);
    MOVES(&w, &before, w.organisms[1].content_hash.v = some_id(6),
          w.organisms[1].content_hash.v = some_id(5));
    MOVES(&w, &before, w.c.atlas = NULL, w.c.atlas = &w.atlas);
    MOVES(&w, &before, w.c.randomness = &randomness, w.c.randomness = NULL);
    MOVES(&w, &before, w.atlas.body.instance = MK_STR("other"),
          w.atlas.body.instance = MK_STR("default"));
    MOVES(&w, &before, w.almanac.body.acl.clauses.n = 0, w.almanac.body.acl.clauses.n = 1);
    MOVES(&w, &before, w.almanac.body.content = MK_BYTES("\xe9\x07\x01\x00", 4),
          w.almanac.body.content = MK_BYTES("\xe8\x07\x01\x00", 4));
    MOVES(&w, &before, w.c.ticket_issuer = NULL, w.c.ticket_issuer = &w.issuer);
    MOVES(&w, &before, w.issuer.name = MK_STR("others"), w.issuer.name = MK_STR("tickets"));
    MOVES(&w, &before, w.c.instance_name = MK_STR("Whole"), w.c.instance_name = MK_STR("whole"));
    MOVES(&w, &before, w.c.seed = some_id(7), w.c.seed = COA_ROOT_SEED);
    MOVES(&w, &before, w.c.lattices.n = 1, w.c.lattices.n = 2);
    whole_done(&w);
}

static void test_what_does_not(void **state)
{
    struct whole w;
    struct mk_id before;

    (void)state;
    whole_init(&w);
    before = coa_coalition_id(&w.c);
    w.c.retirement_policy = COA_LENIENT;
    w.lattices[0].name = MK_STR("another label");
    w.lattices[0].content_hash = (struct mk_opt_id){true, some_id(9)};
    assert_true(same_root(&w, &before));
    whole_done(&w);
}

/* Files that differ in operators, committees, peers, links and [publish] alone. */
static void test_anchors_and_links(void **state)
{
    static const char head[] = "schema_version = 1\ninstance_name = \"a\"\n";
#define PEER "13aad82f1b006d9fa6cce864a1ebd63f2b82a001a8e36c6f0763f0b107ae5824"
    static const char *const tails[] = {
        "[atlas]\ninstance = \"default\"\n",
        "operator = \"" PEER "\"\n[atlas]\ninstance = \"default\"\n",
        "[atlas]\ninstance = \"default\"\ncommittee = [\"" PEER "@a:1\"]\n",
        "peers = [\"" PEER "@a:1\"]\n[atlas]\ninstance = \"default\"\n[publish]\nnotes = \"n\"\n",
    };
    struct mk_id root, anchors[4];

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct mk_buf text = {0};
        struct coa_coalition_file f;
        struct coa_coalition_ids ids;
        struct mk_fault fault = {{0}};

        mk_buf_put_str(&text, head);
        mk_buf_put_str(&text, tails[i]);
        if (coa_coalition_file_parse(&f, "a.toml", mk_buf_bytes(&text), NULL, &fault) != 0)
            fail_msg("%s", fault.text);
        coa_coalition_derive(&f.config, &ids, NULL);
        anchors[i] = coa_file_anchors_digest(&f, &ids, NULL);
        if (i == 0)
            root = ids.coalition_id;
        assert_true(mk_id_eq(&ids.coalition_id, &root));
        coa_coalition_file_done(&f);
        mk_buf_done(&text);
    }
    assert_false(mk_id_eq(&anchors[0], &anchors[1])); /* an operator */
    assert_false(mk_id_eq(&anchors[0], &anchors[2])); /* a roster */
    assert_true(mk_id_eq(&anchors[0], &anchors[3]));  /* hints and links */
}

/* One organism is one organism in every coalition; modules are not. */
static void test_membership(void **state)
{
    struct whole w;
    struct coa_coalition_ids a, b;
    const struct coa_organism_config o = {.name = MK_STR_INIT("feed")};
    struct mk_id before = coa_organism_id(&o), after;

    (void)state;
    whole_init(&w);
    coa_coalition_derive(&w.c, &a, NULL);
    w.organisms[0] = coa_organism_reference(&o, MK_STR("oracle"), /* pinned= */ true);
    recatalogue(&w);
    coa_coalition_derive(&w.c, &b, NULL);
    after = coa_organism_id(&o);
    assert_true(mk_id_eq(&before, &after));
    assert_false(mk_id_eq(&a.modules[COA_ALMANAC].module_id, &b.modules[COA_ALMANAC].module_id));
    assert_true(mk_id_eq(&a.modules[COA_ALMANAC].module_fp, &b.modules[COA_ALMANAC].module_fp));
    assert_false(mk_id_eq(&a.tickets_root, &b.tickets_root));
    whole_done(&w);
}

/* A rotation of content or ACL keeps the stable id and so the surfaces; a change of span does not;
 * all move the deployment. */
static void test_rotation(void **state)
{
    static const struct coa_lattice_ref spans[2] = {{MK_STR_INIT("a"), {{1}}, {0}},
                                                    {MK_STR_INIT("b"), {{2}}, {0}}};
    struct coa_organism_config o = {.name = MK_STR_INIT("ledger"), .lattices = {spans, 2}};
    struct coa_organism_ids first, second;

    (void)state;
    coa_organism_derive(&o, &first, NULL);
    o.content = MK_BYTES("\x01", 1);
    coa_organism_derive(&o, &second, NULL);
    assert_true(mk_id_eq(&first.stable_id, &second.stable_id));
    assert_false(mk_id_eq(&first.content_hash, &second.content_hash));
    assert_false(mk_id_eq(&first.organism_id, &second.organism_id));
    o.content.n = 0;
    o.lattices.n = 1;
    coa_organism_derive(&o, &second, NULL);
    assert_false(mk_id_eq(&first.stable_id, &second.stable_id));
    assert_true(mk_id_eq(&first.content_hash, &second.content_hash));
    assert_false(mk_id_eq(&first.organism_id, &second.organism_id));
}

static void test_accessors(void **state)
{
    struct whole w;
    struct coa_coalition_ids ids;
    struct coa_organism_ref ref;
    size_t cursor = 0;

    (void)state;
    whole_init(&w);
    coa_coalition_derive(&w.c, &ids, NULL);
    assert_true(coa_atlas(&w.c, &ref));
    assert_true(mk_str_is(ref.role, "atlas"));
    assert_true(mk_id_eq(&ref.stable_id, &ids.modules[COA_ATLAS].module_root));
    assert_true(mk_id_eq(&ref.content_hash.v, &ids.modules[COA_ATLAS].content_hash));
    assert_true(coa_almanac(&w.c, &ref));
    assert_false(coa_chronicle(&w.c, &ref));
    assert_false(coa_compute(&w.c, &ref));
    assert_false(coa_randomness(&w.c, &ref));
    assert_true(coa_ticket_issuer(&w.c, &ref));
    assert_true(mk_id_eq(&ref.stable_id, &ids.tickets_root));
    w.c.ticket_issuer = NULL;
    assert_false(coa_ticket_issuer(&w.c, &ref));
    assert_ptr_equal(coa_organisms_by_role(&w.c, MK_STR("oracle"), &cursor), &w.organisms[0]);
    assert_ptr_equal(coa_organisms_by_role(&w.c, MK_STR("oracle"), &cursor), &w.organisms[1]);
    assert_null(coa_organisms_by_role(&w.c, MK_STR("oracle"), &cursor));
    cursor = 0;
    assert_null(coa_organisms_by_role(&w.c, MK_STR("none"), &cursor));
    whole_done(&w);
}

/* --- what a config must keep ------------------------------------------------------------- */

static void refused(const struct whole *w, const char *reason)
{
    struct mk_fault f = {{0}};

    assert_int_not_equal(coa_coalition_check(&w->c, &f), 0);
    if (strstr(f.text, reason) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", f.text, reason);
}

static void test_refused_configs(void **state)
{
    struct whole w;

    (void)state;
#define BREAK(change, reason) \
    do {                      \
        whole_init(&w);       \
        change;               \
        refused(&w, reason);  \
        whole_done(&w);       \
    } while (0)
    BREAK(w.c.schema_version = 2, "schema_version is 2");
    BREAK(w.c.seed = some_id(1), "the seed");
    BREAK(w.c.retirement_policy = (enum coa_retirement_policy)2, "policy is 0 or 1");
    BREAK(w.c.instance_name = MK_STR("a|b"), "instance_name: a name must not hold '|'");
    BREAK(w.organisms[0].role.n = 0, "must not be empty");
    BREAK(w.lattices[1].stable_id = MK_ZERO_ID, "member 2: a stable id must not be zero");
    BREAK(w.organisms[1].stable_id = some_id(1), "members 1 and 4 have the same stable id");
    BREAK((w.organisms[0].stable_id = some_id(1), w.organisms[0].stable_id.b[31] ^= 1),
          "members 1 and 3 have equal member ids");
    BREAK(w.almanac.body.content.n = 3, "almanac: offset 3, field stance");
    BREAK(w.almanac.body.content = MK_BYTES("\x09\x01\x00", 3), "cadence_ms is 10 to 3600000");
    BREAK(w.organisms[0].role = MK_STR("moved"), "catalogue entry 3 is not member 3");
    BREAK(w.c.organisms.n = 1, "the catalogue has 4 entries, the coalition 3 members");
    BREAK((w.issuer.acl.clauses = (struct mk_acl_clauses){&own_issuer, 1}),
          "cannot be gated by its own tickets");
    BREAK(w.issuer.name.n = 0, "ticket_issuer: a name must not be empty");
#undef BREAK
}

static void test_refused_organisms(void **state)
{
    struct coa_organism_config o = {.name = MK_STR_INIT("o"), .acl = {{&own_issuer, 1}}};
    struct mk_fault f;

    (void)state;
    assert_int_equal(coa_organism_check(&o, &f), MK_EMALFORMED);
    assert_non_null(strstr(f.text, "clause 1: a clause of the own coalition"));
    o.acl.clauses.n = 0;
    assert_int_equal(coa_organism_check(&o, &f), 0);
    o.content.n = COA_CONTENT_MAX + 1;
    assert_int_equal(coa_organism_check(&o, &f), MK_ELIMIT);
}

static void test_module_contents(void **state)
{
    static const struct {
        enum coa_module_kind kind;
        const char *hex, *reason; /* NULL: accepted */
    } cases[] = {
        {COA_CHRONICLE, "01046e6f6e65400000", NULL},
        {COA_CHRONICLE, "01046e6f6f6e400000", "anchor is"},
        {COA_CHRONICLE, "01046e6f6e65000000", "anchor_every is at least 1"},
        {COA_COMPUTE,
         "00000078000"
         "0",
         NULL},
        {COA_COMPUTE, "000001780000", "needs provider_reputation"},
        {COA_COMPUTE, "000000780300", "unknown variant"},
        {COA_RANDOMNESS, "00b8170100", NULL},
        {COA_RANDOMNESS, "00000100", "period_ms is at least 1"},
        {COA_RANDOMNESS, "0103767266000000000000000000000000000000000000000000b8170100",
         "32-byte key"},
        {COA_RANDOMNESS,
         "01046469636500000000000000000000000000000000000000000"
         "0b8170100",
         "a source's scheme is"},
        {COA_ATLAS, "0000", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mk_buf in = unit_unhex(cases[i].hex);
        struct mk_fault f = {{0}};
        int rv = coa_module_content_check(cases[i].kind, mk_buf_bytes(&in), &f);

        if ((rv == 0) != (cases[i].reason == NULL) ||
            (rv != 0 && strstr(f.text, cases[i].reason) == NULL))
            fail_msg("%s: %d \"%s\"", cases[i].hex, rv, f.text);
        mk_buf_done(&in);
    }
}

/* --- layouts, pairs, stances, draws, markers ------------------------------------------------ */

static void test_layouts(void **state)
{
    static const char *const good[] = {"u8",
                                       "bytes",
                                       "?id",
                                       "**peer",
                                       "[20]u8",
                                       "T{a:u8}",
                                       "*T{a:?{b:[1]u8}}",
                                       "T(A=0,B=12{x:i128})",
                                       "id>T{a:u8}",
                                       "K{a:u8}>V(A=0)",
                                       "[20]u8>u64"};
    static const char *const bad[] = {"",         "T",       "u9",       "{a:u8}",       "T{}",
                                      "T{a}",     "T{a:u8",  "T{a:u8,}", "T{a: u8}",     "T{1:u8}",
                                      "T(A)",     "T(A=01)", "T(A=0",    "T{a:U{b:u8}}", "[020]u8",
                                      "[2]u16",   "u8>",     "u8>u8>u8", "u8 ",          "?",
                                      "T{a:u8}}", "T(A=0{})"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(coa_layout_check(mk_str_of(good[i]), NULL), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(coa_layout_check(mk_str_of(bad[i]), NULL), MK_EMALFORMED);
    for (unsigned kind = 0; kind < COA_MODULE_KINDS; kind++) {
        struct coa_surfaces s = coa_module_surfaces((enum coa_module_kind)kind);

        for (size_t i = 0; i < s.n; i++)
            assert_int_equal(coa_layout_check(s.v[i].layout, NULL), 0);
    }
    assert_int_equal(coa_layout_check(mk_str_of(COA_PRICE_TICK_LAYOUT), NULL), 0);
}

static void test_pairs(void **state)
{
    struct mk_id stable_id = some_id(1), one, other, named;
    struct mk_id schema = mk_hash(MK_BYTES(COA_PRICE_TICK_LAYOUT, strlen(COA_PRICE_TICK_LAYOUT)));

    (void)state;
    assert_int_equal(coa_oracle_stream_id(&one, &stable_id, MK_STR("USD"), MK_STR("EUR"), NULL), 0);
    assert_int_equal(coa_oracle_stream_id(&other, &stable_id, MK_STR("EUR"), MK_STR("USD"), NULL),
                     0);
    assert_true(mk_id_eq(&one, &other));
    named = coa_surface_id(&stable_id, MK_STR("stream"), MK_STR("EUR/USD"), &schema);
    assert_true(mk_id_eq(&one, &named));
    assert_int_equal(coa_oracle_stream_id(&one, &stable_id, MK_STR("A"), MK_STR("A"), NULL),
                     MK_EMALFORMED);
    assert_int_equal(coa_oracle_stream_id(&one, &stable_id, MK_STR("A/B"), MK_STR("C"), NULL),
                     MK_EMALFORMED);
}

static void test_stance(void **state)
{
    struct coa_political_stance s = COA_STANCE_DEFAULT;
    struct mk_id before = coa_stance_fingerprint(&s), expected, after;
    struct mk_buf bytes = {0};
    const struct mk_bytes parts[] = {MK_BYTES("stance|\x01|", 9),
                                     MK_BYTES("\x00\x01\x01\x00\x00\x00\x00", 7)};
    struct mk_fault f;

    (void)state;
    mk_encode(&bytes, &coa_political_stance_type, &s);
    assert_true(mk_bytes_eq(mk_buf_bytes(&bytes), parts[1]));
    expected = mk_hash_many(parts, 2);
    assert_true(mk_id_eq(&before, &expected));
    mk_buf_clear(&bytes);
    mk_layout(&bytes, &coa_political_stance_type);
    mk_buf_put_u8(&bytes, 0);
    assert_string_equal(
        (char *)bytes.p,
        "PoliticalStance{consent:(Voluntary=0,Tacit=1,Delegated=2,Compulsory=3),"
        "decision_rule:(Unanimity=0,Majority=1,Supermajority=2{threshold_bps:u16},Plurality=3,"
        "Operator=4),legitimacy:u8,franchise:(Open=0,Ticketed=1{root:id},Attested=2{"
        "measurements:id},Listed=3{peers:*peer}),composition:(Direct=0,MultiOperator=1,Nested=2),"
        "sovereignty:(None=0,Shared=1,Delegated=2,Absolute=3),delegations:*{to:id,scope:str,"
        "revocability:(AtWill=0,OnNotice=1{ticks:u64},OnRotation=2,Irrevocable=3)}}");
    assert_true(coa_stance_is_substrate_consistent(&s));
    s.sovereignty.tag = coa_sovereignty_Absolute;
    assert_false(coa_stance_is_substrate_consistent(&s));
    after = coa_stance_fingerprint(&s);
    assert_false(mk_id_eq(&before, &after));
    s = COA_STANCE_DEFAULT;
    s.consent.tag = coa_consent_Compulsory;
    assert_false(coa_stance_is_substrate_consistent(&s));
    assert_int_equal(coa_stance_check(&s, &f), 0); /* publishable all the same */
    s.legitimacy = 32;
    assert_int_equal(coa_stance_check(&s, &f), MK_EMALFORMED);
    s = COA_STANCE_DEFAULT;
    s.decision_rule =
        (struct coa_decision_rule){coa_decision_rule_Supermajority, .u.supermajority = {10001}};
    assert_int_equal(coa_stance_check(&s, &f), MK_EMALFORMED);
    mk_buf_done(&bytes);
}

static void test_stance_predicates(void **state)
{
    (void)state;
#define EACH(T, predicate, mask)                           \
    for (uint32_t tag = 0; tag < T##_type.n_fields; tag++) \
    assert_int_equal(predicate(&(struct T){.tag = tag}), (mask) >> tag & 1)
    EACH(coa_consent, coa_consent_is_substrate_enforced, 0x1);
    EACH(coa_consent, coa_consent_is_substrate_consistent, 0x7);
    EACH(coa_decision_rule, coa_decision_rule_is_substrate_enforced, 0x2);
    EACH(coa_franchise, coa_franchise_is_substrate_enforced, 0xf);
    EACH(coa_composition, coa_composition_is_substrate_expressible, 0x7);
    EACH(coa_sovereignty, coa_sovereignty_is_substrate_enforced, 0x1);
    EACH(coa_sovereignty, coa_sovereignty_is_substrate_consistent, 0x7);
    EACH(coa_revocability, coa_revocability_is_substrate_enforced, 0x5);
#undef EACH
    assert_true(coa_legitimacy_is_substrate_checkable(COA_LEGITIMACY_CONSENT));
    assert_false(coa_legitimacy_is_substrate_checkable(COA_LEGITIMACY_TRADITION));
    assert_false(coa_legitimacy_is_substrate_checkable(0));
}

static void test_draws(void **state)
{
    uint8_t value[32] = {1};
    uint8_t joined[32 + 32 + 8 + 5] = {1};
    struct mk_id module = some_id(1), drawn = coa_draw(value, &module, 7, MK_STR("label")), plain;

    (void)state;
    memcpy(joined + 32, module.b, 32);
    joined[64] = 7;
    memcpy(joined + 72, "label", 5);
    plain = mk_hash(MK_BYTES(joined, sizeof joined));
    assert_true(mk_id_eq(&drawn, &plain));
    plain = coa_targeted_draw(value, MK_BYTES(joined + 32, sizeof joined - 32));
    assert_true(mk_id_eq(&drawn, &plain));
}

static void test_markers(void **state)
{
    const struct mk_component_ref successor = {.kind = MK_COMPONENT_ORGANISM,
                                               .role = MK_STR_INIT("oracle")};
    struct mk_retirement_marker m = coa_rotation(coa_at_sequence(100), successor);

    (void)state;
    assert_int_equal(mk_retirement_marker_check(&m, NULL), 0);
    assert_int_equal(m.effective_at.u.at_sequence.seq, 100);
    m = coa_retired(coa_at_timestamp(1700000000000));
    assert_int_equal(mk_retirement_marker_check(&m, NULL), 0);
    m = coa_operator_exit(coa_at_tick(some_id(1), 9));
    assert_int_equal(mk_retirement_marker_check(&m, NULL), 0);
    assert_int_equal(m.effective_at.u.at_tick.tick, 9);
}

/* The file that names a node. */
static void test_node_file(void **state)
{
    static const char text[] =
        "key = \"node.key\"\nlisten = \"127.0.0.1:7701\"\ndir = \"state\"\nadvertise = \"a:1\"\n"
        "tickets = [\"t1\", \"t2\"]\nlan = \"*\"\ntags = [\"gpu\", \"eu-west\"]\npeers = [\"" PEER
        "@[::1]:9\"]\n"
        "components = [{ file = \"c.toml\", component = \"atlas\", deployment = \"d\" },\n"
        "              { file = \"feed.toml\", source = \"exec:prices\" }]\n"
        "[anchor]\npath = \"anchors\"\n";
    struct coa_node_file f;
    struct mk_fault fault = {{0}};

    (void)state;
    if (coa_node_file_parse(&f, "node.toml", MK_BYTES(text, sizeof text - 1), &fault) != 0)
        fail_msg("%s", fault.text);
    assert_int_equal(f.n_components, 2);
    assert_string_equal(f.components[0].component.p, "atlas");
    assert_null(f.components[1].component.p);
    assert_string_equal(f.components[1].source.p, "exec:prices");
    assert_string_equal(f.lan.p, "*");
    assert_int_equal(f.n_tags, 2);
    assert_string_equal(f.tags[0].p, "gpu");
    assert_int_equal(f.n_tickets, 2);
    assert_string_equal(f.tickets[1].p, "t2");
    assert_string_equal(f.anchor_path.p, "anchors");
    assert_null(f.http.p);
    coa_node_file_done(&f);
    assert_int_equal(coa_node_file_parse(&f, "n", MK_BYTES("key = 1\n", 8), &fault), MK_EMALFORMED);
    assert_string_equal(fault.text, "n:1:7: key is an integer; it must be a string");
}

/* The six organism files of a lattice come through the loader. */
struct six {
    struct coa_loader loader;
    unsigned loads;
};

static int load_organism(struct coa_loader *l, const char *path, struct mk_buf *ret,
                         struct mk_fault *reterr)
{
    struct six *six = mk_container_of(l, struct six, loader);

    if (strncmp(path, "dir/", 4) != 0)
        return mk_fault(reterr, MK_ENOTFOUND, "no such file");
    six->loads++;
    mk_buf_printf(ret, "schema_version = 1\nkind = \"organism\"\nname = \"%s\"\n", path + 4);
    return 0;
}

static void test_lattice_file(void **state)
{
    static const char text[] =
        "schema_version = 1\nkind = \"lattice\"\nname = \"l\"\nchain_id = 8453\nzipnet = \"z\"\n"
        "unseal = \"u\"\noffer = \"o\"\natelier = \"a\"\nrelay = \"r\"\ntally = \"/t\"\n";
    struct six six = {.loader = {load_organism}};
    struct coa_lattice_file f;
    struct mk_fault fault = {{0}};
    struct mk_buf fixed = {0};
    struct mk_id zipnet;
    enum coa_file_kind kind;

    (void)state;
    assert_int_equal(coa_lattice_file_parse(&f, "dir/l.toml", MK_BYTES(text, sizeof text - 1),
                                            &six.loader, &fault),
                     MK_EMALFORMED);
    assert_non_null(strstr(fault.text, "dir/l.toml:10:9: cannot read /t: no such file"));
    mk_buf_put(&fixed, text, sizeof text - 6);
    mk_buf_put_str(&fixed, "\"t\"\n");
    assert_int_equal(
        coa_lattice_file_parse(&f, "dir/l.toml", mk_buf_bytes(&fixed), &six.loader, &fault), 0);
    assert_int_equal(six.loads, 5 + 6);
    zipnet = coa_organism_id(&(struct coa_organism_config){.name = MK_STR_INIT("z")});
    assert_true(mk_id_eq(&f.config.zipnet, &zipnet));
    coa_lattice_file_done(&f);
    assert_int_equal(coa_file_kind(&kind, "l", mk_buf_bytes(&fixed), &fault), 0);
    assert_int_equal(kind, COA_FILE_LATTICE);
    mk_buf_done(&fixed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_moves_the_root),
        cmocka_unit_test(test_what_does_not),
        cmocka_unit_test(test_anchors_and_links),
        cmocka_unit_test(test_membership),
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_accessors),
        cmocka_unit_test(test_refused_configs),
        cmocka_unit_test(test_refused_organisms),
        cmocka_unit_test(test_module_contents),
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_stance),
        cmocka_unit_test(test_stance_predicates),
        cmocka_unit_test(test_draws),
        cmocka_unit_test(test_markers),
        cmocka_unit_test(test_node_file),
        cmocka_unit_test(test_lattice_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
