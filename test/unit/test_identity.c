/* Every value of the specification's vectors that the rung derives, typed in. */
#include <coalition/config.h>
#include <coalition/stance.h>

#include "unit.h"

/* --- stable ids ---------------------------------------------------------------- */

static void test_stable_ids(void **state)
{
    static const struct {
        const char *name, *stable_id;
    } cases[] = {
        {"ethereum.mainnet", "83612ff2930a210370bbef474e257e8757006bb4b9450ebe009787663512a065"},
        {"unichain.mainnet", "7970728a6c0603c5b949eb018b158eae8722131d78e4df584076c425b3029716"},
        {"base.mainnet", "53f3b01024cbddf3e7a5c4ee967c3ae6db1829e993ee1bd9f0d682343272c057"},
        {"price-feed.eur", "3fec36213c5196c06109ad480c9d6cc989aa2e45913c919d51b1e85ed7caf8c7"},
        {"searcher-\xce\xb1"
         ".searcher",
         "06039a7e038fd6da6c0d0b83e495dfd77d18e4a25db5e35e1c29dc012894b6ee"},
        {"oracle-\xce\xb3"
         ".oracle",
         "81e87867472157719e5272d3bf7c81f2d91beeb0f6ddd7ef81f8a2584a2c9120"},
    };
    struct mk_id network = mk_id_of_text(MK_STR("testnet"));
    struct mk_id id;
    struct mk_member_id member;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        id = coa_stable_id(mk_str_of(cases[i].name), &MK_UNIVERSE);
        unit_assert_id(id, cases[i].stable_id);
        member = mk_member_id_of(&id);
        assert_memory_equal(member.b, id.b, 20);
    }
    unit_assert_id(network, "6431c500781a7b440ea8e40ef377ec7d8d4e267d8d7de9408d2e39f6d7b892e6");
    unit_assert_id(coa_stable_id(MK_STR("a"), &network),
                   "52eb8037282f7a72410b6be4736c017e5faf1fc55ff9229c98e9734efb9c8a1d");
    id = mk_id_of_text(MK_STR("coalition.root.v1"));
    assert_true(mk_id_eq(&id, &COA_ROOT_SEED));
}

/* --- ACLs ------------------------------------------------------------------------ */

#define ACL_OPEN "00"
#define ACL_ISSUER "01008c14894cf8fca349dddd408f2ca2191b9b5100003adb3cc164497ef3aed3da71"
#define ACL_TDX                                                                        \
    "0301000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425" \
    "262728292a2b2c2d2e2f000000010000000000000000000000000000000000000000000000000000" \
    "0000000000000000000000000000000000000000000000000005006f17ec5211022ce8c9c2796ce3" \
    "5d596d9502a96f8adc14cf9eb87de8b6dd26fc2a063ada4503f85d6b7b705f9a693c180b4cd2c43e" \
    "4030d00098080867dc363c8df3"

static struct mk_acl_composition decode_acl(const char *hex, struct mk_arena *arena)
{
    struct mk_buf in = unit_unhex(hex);
    struct mk_acl_composition acl;
    struct mk_bytes own = {mk_arena_copy(arena, in.p, in.n), in.n};

    assert_int_equal(mk_decode(&acl, &mk_acl_composition_type, own, arena, NULL), 0);
    mk_buf_done(&in);
    return acl;
}

static void test_acls(void **state)
{
    static const char *const cases[][2] = {
        {ACL_OPEN, "6d6292537f6aca908619d8c126e7139eecaf40da8cf8e9cbbedfdab8d15f0372"},
        {ACL_ISSUER, "eb6e840cac769ad895b5eec5e7c59a2202d2287cda7e46de4348d71ff9b62eab"},
        {ACL_TDX, "0af0ae1465ba103a9ff349c70315cc58bb2f4520cd2a17bff4467da0076015ca"},
    };
    struct mk_arena arena = {0};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct mk_acl_composition acl = decode_acl(cases[i][0], &arena);

        unit_assert_id(coa_acl_fp(&acl), cases[i][1]);
    }
    mk_arena_done(&arena);
}

/* --- organisms ---------------------------------------------------------------------- */

#define ETHEREUM "83612ff2930a210370bbef474e257e8757006bb4b9450ebe009787663512a065"
#define UNICHAIN "7970728a6c0603c5b949eb018b158eae8722131d78e4df584076c425b3029716"
#define BASE "53f3b01024cbddf3e7a5c4ee967c3ae6db1829e993ee1bd9f0d682343272c057"
#define ORACLE "3fec36213c5196c06109ad480c9d6cc989aa2e45913c919d51b1e85ed7caf8c7"
#define INTENTS "d79f7241a4ae3adfb541cedc8d15758362a57ff30726cbe36bf8fb4172fb9436"
#define LEDGER "3cca28a0f17a6b53d2a14d168b2e2231aefeb081067a11bb1a8403b3b4ce93bf"
#define LEDGER_CONTENT "64bf52843bf357998ab66ed2d4ca1c9ab9c232f142d88315f53ccd087fa4a8ad"

static void assert_organism(const struct coa_organism_config *o, const char *stable_id,
                            const char *organism_id, const char *committee,
                            const char *content_hash)
{
    struct coa_organism_ids ids;
    struct mk_fault f;

    assert_int_equal(coa_organism_check(o, &f), 0);
    coa_organism_derive(o, &ids, NULL);
    unit_assert_id(ids.stable_id, stable_id);
    unit_assert_id(ids.organism_id, organism_id);
    unit_assert_id(ids.committee, committee);
    unit_assert_id(ids.content_hash, content_hash);
    unit_assert_id(coa_organism_stable_id(o), stable_id);
    unit_assert_id(coa_organism_id(o), organism_id);
    unit_assert_id(coa_organism_content_hash(o), content_hash);
}

static void test_organisms(void **state)
{
    struct mk_arena arena = {0};
    const struct coa_lattice_ref lattices[] = {
        {MK_STR_INIT("ethereum"), unit_id(ETHEREUM), {0}},
        {MK_STR_INIT("unichain"), unit_id(UNICHAIN), {0}},
        {MK_STR_INIT("base"), unit_id(BASE), {0}},
    };
    const struct coa_lattice_ref pinned = {
        MK_STR_INIT("ethereum"),
        unit_id(ETHEREUM),
        {true, unit_id("6cc8677933df2f583de49ba1c77d836754fe84fe0d16d5d283fdd6bb89ae7d20")}};
    const struct coa_organism_ref oracle = {MK_STR_INIT("oracle"), unit_id(ORACLE), {0}};
    struct coa_organism_config o = {.name = MK_STR_INIT("intents"), .lattices = {lattices, 3}};
    struct coa_organism_ids ids;

    (void)state;
    o.content = MK_BYTES("\x01", 1);
    assert_organism(&o, "d79f7241a4ae3adfb541cedc8d15758362a57ff30726cbe36bf8fb4172fb9436",
                    "026f683ee4592ba7045e4ed3ef3884b9fad7093bb5c5046494b302f4d168bde7",
                    "2cbcbfff6b03b1b5ba59e7b5349864e1d97b68c95c63c256b5e591c7f0be2fdf",
                    "4accc5c0702546537fc95a078bf4df634b891fe1637dfcde59c06526f5a2e022");
    coa_organism_derive(&o, &ids, NULL);
    unit_assert_id(ids.private_network,
                   "5886ff168bc47db105cc4747e874d506e5a182cc5ebe633d1eba92ba54dea30e");
    o.name = MK_STR("ledger");
    o.content.n = 0;
    o.acl = decode_acl(ACL_ISSUER, &arena);
    assert_organism(&o, "3cca28a0f17a6b53d2a14d168b2e2231aefeb081067a11bb1a8403b3b4ce93bf",
                    "15df86e25f9e6aad2772bc9c15bc37e1bb39f006488559eb31308dbee5a9131c",
                    "1209f2810505a16bb08693ea060419d0ebaa4a2269c66721bf7a5448777ea499",
                    "64bf52843bf357998ab66ed2d4ca1c9ab9c232f142d88315f53ccd087fa4a8ad");
    o.name = MK_STR("correlate");
    o.lattices = (struct coa_lattice_refs){&pinned, 1};
    o.organisms = (struct coa_organism_refs){&oracle, 1};
    o.content = MK_BYTES("\x05hello", 6);
    o.acl = decode_acl(ACL_TDX, &arena);
    assert_organism(&o, "ee9c3e6ec175e8a36f29b71c27c5cbf99eb0d923fb7ad58e300c6061139579ec",
                    "6091586b3d22a20637498c3952ed12d9a070c03b4cee1dc3617ac24be39115b5",
                    "29748aa36be6cd8fabd71c9b78e8ff0cd9ed521e3a307aa257a82785d4054845",
                    "de02b4d111261e22957417376217b5c1243b8b62d04d00f2fc7e4a216d4aaa3d");
    mk_arena_done(&arena);
}

static void test_lattice(void **state)
{
    const struct coa_lattice_config l = {
        .name = MK_STR_INIT("ethereum.mainnet"),
        .chain_id = 1,
        .zipnet = unit_id("fc7d7b929d71c42f4e8a1124f6f4dafd01fe176a8da51e14e771b9daa105d09a"),
        .unseal = unit_id("efa0edde19e627fa625aba82c7505615a0ae0aea051b393919d58af1f44782fb"),
        .offer = unit_id("3cdbe8d90254f02558d2560ff27c685d69fc3d696c58b878a62e1794b5092549"),
        .atelier = unit_id("bf1945578a02546bd8c4f0b62a75a7eaac62da93f05122f2b18aa8db2f73340d"),
        .relay = unit_id("06cec789568a2203e4f55d0df87971e60c661719fa37d693fa0b87825a74d008"),
        .tally = unit_id("5f505298717f7aa4808b945d9efdf3815a4d4eca750f79f96503ebf0898d45b3"),
    };

    (void)state;
    unit_assert_id(coa_lattice_id(&l),
                   "8bb8921ec1d31fe29099c1dc5c5b59530199911799ac15aa264134a46117e8e2");
    unit_assert_id(coa_lattice_stable_id(&l), ETHEREUM);
}

/* --- coalitions ------------------------------------------------------------------------ */

#define COALITION(name)                                                   \
    {                                                                     \
        .schema_version = COA_SCHEMA_VERSION, .seed = COA_ROOT_SEED_INIT, \
        .instance_name = MK_STR_INIT(name)                                \
    }

static void assert_coalition(const struct coa_coalition_config *c, const char *id,
                             const char *tickets_root)
{
    struct mk_fault f;

    assert_int_equal(coa_coalition_check(c, &f), 0);
    unit_assert_id(coa_coalition_id(c), id);
    unit_assert_id(coa_tickets_root(c), tickets_root);
}

static void test_small_coalitions(void **state)
{
    (void)state;
    {
        struct coa_coalition_config c = COALITION("empty");

        assert_coalition(&c, "8a9795f90a92146b67bb5fea9abf44f8ab62cebc0434fd220a31b7863babb8a4",
                         "3fa5bc06e9dd0e91af61c6f8e5f11e0b605bdf25b59da3c5849c28a11dff37cb");
    }
    {
        struct coa_coalition_config c = COALITION("searcher-\xce\xb1");
        const struct coa_lattice_ref lattices[] = {
            {MK_STR_INIT("l0"),
             unit_id("fa788cd707217b17b7fb9500e1da7bbe552ef62ae0d2debe54c8349cf9b943c9"),
             {0}},
        };
        const struct coa_organism_ref organisms[] = {
            {MK_STR_INIT("searcher"),
             unit_id("06039a7e038fd6da6c0d0b83e495dfd77d18e4a25db5e35e1c29dc012894b6ee"),
             {0}},
        };

        c.lattices = (struct coa_lattice_refs){lattices, 1};
        c.organisms = (struct coa_organism_refs){organisms, 1};
        assert_coalition(&c, "83424f960cb9b0f716a78809623a179b51719568d668c5683f64d57f40e36dc1",
                         "4ced88389ea9bf46d61ec074648018eab360014ae5ff423c658c72b643b90d41");
    }
    {
        struct coa_coalition_config c = COALITION("oracle-\xce\xb3");
        const struct coa_organism_ref organisms[] = {
            {MK_STR_INIT("oracle"),
             unit_id("81e87867472157719e5272d3bf7c81f2d91beeb0f6ddd7ef81f8a2584a2c9120"),
             {true, unit_id("3fba5250be9ac259c56e7250c526bc83bacb4be825f2799d3d59e5b4878dd74e")}},
        };

        c.organisms = (struct coa_organism_refs){organisms, 1};
        assert_coalition(&c, "6f4e7f5be1fdaf75a411c0a96dec59d26fc85dbb81af9977fe0c8785c2cace7e",
                         "9318afe6667753b50ca396eb7c3b654d6debe80cd0ca02c645d3781df25f35e1");
    }
    {
        struct coa_coalition_config c = COALITION("two.organisms");
        const struct coa_organism_ref organisms[] = {
            {MK_STR_INIT("a"),
             unit_id("15e573cfdeb64200c230309ef42ddbb302de9a4228ef409873062921bc83fe21"),
             {0}},
            {MK_STR_INIT("b"),
             unit_id("cbf3ce6aa9bc41246ad0ffe0e6827e1f01277e9de9d520517281a1b7b42874d5"),
             {0}},
        };

        c.organisms = (struct coa_organism_refs){organisms, 2};
        assert_coalition(&c, "3787c236dfb962b7b76aaf00e74b51101ee41b9b51d67f8cb47541b03d8cf148",
                         "22e94a5c8df0df46a825bea70cc1baa971610d3d8a1febd143bfd705bb344a6e");
    }
    {
        struct coa_coalition_config c = COALITION("two.lattices");
        const struct coa_lattice_ref lattices[] = {
            {MK_STR_INIT("l0"),
             unit_id("83612ff2930a210370bbef474e257e8757006bb4b9450ebe009787663512a065"),
             {0}},
            {MK_STR_INIT("l1"),
             unit_id("7970728a6c0603c5b949eb018b158eae8722131d78e4df584076c425b3029716"),
             {0}},
        };

        c.lattices = (struct coa_lattice_refs){lattices, 2};
        assert_coalition(&c, "be1f2e37872c997e4674f5b69c2f6a5aa224a313e42fe62afeb032bdf6990673",
                         "2251fc1ee2852e52eb937f20ced03c8059cc3b3bfb6234d59be6fb3342873a98");
    }
}

/* The superchain of the vectors, in memory that lives as long as the arena. */
struct superchain {
    struct mk_arena arena;
    struct mk_buf atlas_content;
    struct coa_lattice_ref lattices[3];
    struct coa_organism_ref organisms[3];
    struct mk_acl_clause own_issuer;
    struct coa_atlas_config atlas;
    struct coa_almanac_config almanac;
    struct coa_ticket_issuer_config issuer;
    struct coa_coalition_config c;
};

static void superchain_init(struct superchain *s)
{
    struct coa_atlas_content content = {0};

    *s = (struct superchain){
        .lattices = {{MK_STR_INIT("ethereum.mainnet"), unit_id(ETHEREUM), {0}},
                     {MK_STR_INIT("unichain.mainnet"), unit_id(UNICHAIN), {0}},
                     {MK_STR_INIT("base.mainnet"), unit_id(BASE), {0}}},
        .organisms = {{MK_STR_INIT("oracle"), unit_id(ORACLE), {0}},
                      {MK_STR_INIT("intents"), unit_id(INTENTS), {0}},
                      {MK_STR_INIT("ledger"), unit_id(LEDGER), {true, unit_id(LEDGER_CONTENT)}}},
        .own_issuer = {.tag = mk_acl_clause_RecogniseOwnIssuer},
        .issuer = {.name = MK_STR_INIT("superchain.tickets")},
        .c = COALITION("ethereum.superchain"),
    };
    s->c.lattices = (struct coa_lattice_refs){s->lattices, 3};
    s->c.organisms = (struct coa_organism_refs){s->organisms, 3};
    content.members = coa_atlas_catalogue(&s->c.lattices, &s->c.organisms, &s->arena);
    mk_encode(&s->atlas_content, &coa_atlas_content_type, &content);
    s->atlas.body = (struct coa_module_config){.instance = MK_STR_INIT("default"),
                                               .content = mk_buf_bytes(&s->atlas_content)};
    s->almanac.body = (struct coa_module_config){.instance = MK_STR_INIT("default"),
                                                 .content = MK_BYTES("\xe8\x07\x01\x00", 4),
                                                 .acl = {{&s->own_issuer, 1}}};
    s->c.atlas = &s->atlas;
    s->c.almanac = &s->almanac;
    s->c.ticket_issuer = &s->issuer;
}

static void superchain_done(struct superchain *s)
{
    mk_buf_done(&s->atlas_content);
    mk_arena_done(&s->arena);
}

static void assert_module(const struct coa_module_ids *m, const char *fp, const char *root,
                          const char *id, const char *committee)
{
    unit_assert_id(m->module_fp, fp);
    unit_assert_id(m->module_root, root);
    unit_assert_id(m->module_id, id);
    unit_assert_id(m->committee, committee);
}

static void test_superchain(void **state)
{
    struct superchain s;
    struct coa_coalition_ids ids;
    struct coa_almanac_content almanac = {.cadence_ms = 1000, .first_seq = 1};
    struct mk_buf out = {0};

    (void)state;
    superchain_init(&s);
    unit_assert_hex(
        s.atlas_content.p, s.atlas_content.n,
        "0683612ff2930a210370bbef474e257e8757006bb4b9450ebe009787663512a06500076c61747469"
        "63657970728a6c0603c5b949eb018b158eae8722131d78e4df584076c425b302971600076c617474"
        "69636553f3b01024cbddf3e7a5c4ee967c3ae6db1829e993ee1bd9f0d682343272c05700076c6174"
        "746963653fec36213c5196c06109ad480c9d6cc989aa2e45913c919d51b1e85ed7caf8c701066f72"
        "61636c65d79f7241a4ae3adfb541cedc8d15758362a57ff30726cbe36bf8fb4172fb94360107696e"
        "74656e74733cca28a0f17a6b53d2a14d168b2e2231aefeb081067a11bb1a8403b3b4ce93bf01066c"
        "656467657200");
    mk_encode(&out, &coa_almanac_content_type, &almanac);
    unit_assert_hex(out.p, out.n, "e8070100");
    assert_coalition(&s.c, "77f196935d9616b16172406d8696c59fa2e8fb726f277c0c6eb6fcbb8cf7011b",
                     "f282fe4268bc765a7afc708afb8fa75db0e02ce01381bd10023d8eb12ac0744e");
    coa_coalition_derive(&s.c, &ids, NULL);
    assert_module(&ids.modules[COA_ATLAS],
                  "8296121748ec52ba70af370203535e2c93e5e4713215e22e68a14075e41d2750",
                  "d5432ee84e6f99d37ef5cc04f7b3c8bfe4ed9dd30c717e868f18c5beacd6aa88",
                  "435f6c7dec4b96e647b6176a348c9517f20cde6757f296dfab96a25f02cebf52",
                  "611f3b23d2c5a5627443b0d93e04b6d94267a92a44407ea6e9a006e6dad8cc3d");
    assert_module(&ids.modules[COA_ALMANAC],
                  "1c7b61c2d3e470a2f8bde647757f94be0a439f3771c2d4792dd3d7173c73909b",
                  "44ebd73113db5ff20dedad3e7fda7405d78f393914afb336ac6a5fbd4d3e74b0",
                  "7e5037eec61a1eceddef8372dc26f135e244fde2aef6890a0d5e55dd2a6b1a8f",
                  "8a879085a02c6112dcdc6e14d887549b019319bcdda6ead9b92da4a48d93cb30");
    assert_false(ids.modules[COA_COMPUTE].shipped);
    assert_true(mk_id_is_zero(&ids.modules[COA_COMPUTE].module_fp));
    mk_buf_done(&out);
    superchain_done(&s);
}

/* The folds that a config does not show by themselves, from their parts. */
static void test_parts(void **state)
{
    struct coa_lattice_ref lattice = {.name = MK_STR("l"), .stable_id = {{1}}};
    struct coa_ticket_issuer_config issuer = {.name = MK_STR("tickets")};
    struct mk_id content = coa_content_fp(MK_BYTES("abc", 3)), acl = coa_acl_fp(&issuer.acl), id;
    struct mk_buf text = {0};
    struct mk_bytes three[] = {MK_BYTES("lattice-ref", 11), MK_ID_BYTES(&lattice.stable_id),
                               MK_ID_BYTES(&MK_ZERO_ID)};
    struct mk_bytes two[] = {MK_ID_BYTES(&content), MK_ID_BYTES(&acl)};

    (void)state;
    /* BLAKE3 of "abc" */
    unit_assert_id(content, "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
    id = mk_hash_many(two, 2);
    content = coa_content_hash(&content, &acl);
    assert_true(mk_id_eq(&content, &id));
    id = mk_hash_many(three, 3);
    content = coa_lattice_ref_fp(&lattice);
    assert_true(mk_id_eq(&content, &id));
    lattice.content_hash = (struct mk_opt_id){.some = true, .v = acl};
    three[2] = MK_ID_BYTES(&acl);
    id = mk_hash_many(three, 3);
    content = coa_lattice_ref_fp(&lattice);
    assert_true(mk_id_eq(&content, &id));
    mk_buf_printf(&text, "ticket-issuer|\x01|tickets");
    two[0] = mk_buf_bytes(&text);
    id = mk_hash_many(two, 2);
    content = coa_ticket_issuer_fp(&issuer);
    assert_true(mk_id_eq(&content, &id));
    mk_buf_done(&text);
}

static void test_serialised(void **state)
{
    struct superchain s;
    struct mk_buf out = {0}, again = {0};
    struct mk_arena arena = {0};
    struct coa_coalition_config back;
    struct mk_fault f;

    (void)state;
    superchain_init(&s);
    coa_coalition_encode(&s.c, &out);
    unit_assert_hex(
        out.p, out.n,
        "01bb8eb9bda9e543d8587c1d10516bef9c6b74c27c4631b46f7876a74171fc974613657468657265"
        "756d2e7375706572636861696e0310657468657265756d2e6d61696e6e657483612ff2930a210370"
        "bbef474e257e8757006bb4b9450ebe009787663512a0650010756e69636861696e2e6d61696e6e65"
        "747970728a6c0603c5b949eb018b158eae8722131d78e4df584076c425b3029716000c626173652e"
        "6d61696e6e657453f3b01024cbddf3e7a5c4ee967c3ae6db1829e993ee1bd9f0d682343272c05700"
        "03066f7261636c653fec36213c5196c06109ad480c9d6cc989aa2e45913c919d51b1e85ed7caf8c7"
        "0007696e74656e7473d79f7241a4ae3adfb541cedc8d15758362a57ff30726cbe36bf8fb4172fb94"
        "3600066c65646765723cca28a0f17a6b53d2a14d168b2e2231aefeb081067a11bb1a8403b3b4ce93"
        "bf0164bf52843bf357998ab66ed2d4ca1c9ab9c232f142d88315f53ccd087fa4a8ad020007646566"
        "61756c74f6010683612ff2930a210370bbef474e257e8757006bb4b9450ebe009787663512a06500"
        "076c6174746963657970728a6c0603c5b949eb018b158eae8722131d78e4df584076c425b3029716"
        "00076c61747469636553f3b01024cbddf3e7a5c4ee967c3ae6db1829e993ee1bd9f0d682343272c0"
        "5700076c6174746963653fec36213c5196c06109ad480c9d6cc989aa2e45913c919d51b1e85ed7ca"
        "f8c701066f7261636c65d79f7241a4ae3adfb541cedc8d15758362a57ff30726cbe36bf8fb4172fb"
        "94360107696e74656e74733cca28a0f17a6b53d2a14d168b2e2231aefeb081067a11bb1a8403b3b4"
        "ce93bf01066c65646765720000010764656661756c7404e8070100010b0112737570657263686169"
        "6e2e7469636b6574730000");
    assert_int_equal(coa_coalition_decode(&back, mk_buf_bytes(&out), &arena, &f), 0);
    unit_assert_id(coa_coalition_id(&back),
                   "77f196935d9616b16172406d8696c59fa2e8fb726f277c0c6eb6fcbb8cf7011b");
    coa_coalition_encode(&back, &again);
    assert_true(mk_bytes_eq(mk_buf_bytes(&out), mk_buf_bytes(&again)));
    out.p[out.n - 1] = 2; /* the policy */
    assert_int_equal(coa_coalition_decode(&back, mk_buf_bytes(&out), &arena, &f), MK_EMALFORMED);
    assert_string_equal(f.text, "a retirement policy is 0 or 1");
    mk_arena_done(&arena);
    mk_buf_done(&out);
    mk_buf_done(&again);
    superchain_done(&s);
}

static void test_anchors(void **state)
{
    struct mk_id root = unit_id("77f196935d9616b16172406d8696c59fa2e8fb726f277c0c6eb6fcbb8cf7011b");
    struct mk_peer peers[3];
    struct mk_roster roster = {
        .deployment = unit_id("435f6c7dec4b96e647b6176a348c9517f20cde6757f296dfab96a25f02cebf52"),
        .epoch = 1,
        .peers = {peers, 3}};
    struct coa_anchors anchors = {.rosters = {&roster}};

    (void)state;
    mk_peer_unhex(&peers[0],
                  MK_STR("68ef6aeafb004ae96cdee14b2f365a7290ab1a3f3dc01fb16cfe706eee6e29dd"));
    mk_peer_unhex(&peers[1],
                  MK_STR("8b468e2b3257c8948ea3571589bd227e1511d1e41cfe77c3dc2b932eb2903c40"));
    mk_peer_unhex(&peers[2],
                  MK_STR("b9922a02d4cc1eda4875943962dd50593644b7d97e2a75e6f1f96164c5cc1f39"));
    anchors.operator=(struct mk_opt_peer){true, peers[0]};
    unit_assert_id(coa_anchors_digest(&root, &anchors, NULL),
                   "592684de29e67b01c919984be6fe772e0964269a5baeddd188215a910ea66a06");
}

/* --- surfaces, signers ------------------------------------------------------------------- */

static void test_surfaces(void **state)
{
    struct mk_id intents =
        unit_id("d79f7241a4ae3adfb541cedc8d15758362a57ff30726cbe36bf8fb4172fb9436");
    struct mk_id schema = mk_hash(MK_BYTES(COA_PRICE_TICK_LAYOUT, strlen(COA_PRICE_TICK_LAYOUT)));
    struct mk_id atlas =
        unit_id("d5432ee84e6f99d37ef5cc04f7b3c8bfe4ed9dd30c717e868f18c5beacd6aa88");
    const struct coa_surface *cards = coa_module_surfaces(COA_ATLAS).v;

    (void)state;
    unit_assert_id(schema, "266f5f48dd77f420a972fc50382f397f353a0a6459402b2c8c07569ef8548685");
    unit_assert_id(coa_surface_id(&intents, MK_STR("stream"), MK_STR("routed"), &schema),
                   "19f6c35218b325395b72938e39555f02f0a085c2eda7ab8412104fa0bffd7754");
    unit_assert_id(mk_hash(MK_BYTES(cards->layout.p, cards->layout.n)),
                   "8cdbd379dfa713837da8d88cdb995f6a51bcc9fd9f6cf38777b298a6c63b0067");
    unit_assert_id(coa_surface_id_of(cards, &atlas),
                   "239fdcb588e497df02cc115397b4c0a9e59d0194d665cd51ca7b508a07a4e7a0");
}

static void test_signer(void **state)
{
    const struct coa_signer_config s = {
        .name = MK_STR_INIT("signer-\xce\xb4"
                            ".default"),
        .type_tag = MK_STR_INIT("opaque-bytes.v1"),
        .scheme = COA_BLS_AGGREGATE_G1,
        .threshold = 5,
        .committee_size = 7,
        .level = COA_TDX_REMOTE,
        .committee_key_digest =
            unit_id("248bdf6845f123828f0ee7d2d9c744ba7cff27b81aeae6ddf59b5174af29f77e"),
    };

    (void)state;
    unit_assert_id(coa_signer_id(&s),
                   "03f7dfec10952c9d5914ceae503524f98a4648b7cfa27b7f65a652f8e8e21e94");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stable_ids),
        cmocka_unit_test(test_acls),
        cmocka_unit_test(test_organisms),
        cmocka_unit_test(test_lattice),
        cmocka_unit_test(test_small_coalitions),
        cmocka_unit_test(test_superchain),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_serialised),
        cmocka_unit_test(test_anchors),
        cmocka_unit_test(test_surfaces),
        cmocka_unit_test(test_signer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
