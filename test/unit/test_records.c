/* The shared records: their layouts as the specification writes them, the
 * encodings of its vectors, and the rules between fields. */
#include <mosaik/records.h>

#include "collections/certificate.h"

#include "unit.h"

#define PEER1 "68ef6aeafb004ae96cdee14b2f365a7290ab1a3f3dc01fb16cfe706eee6e29dd"
#define PEER2 "8b468e2b3257c8948ea3571589bd227e1511d1e41cfe77c3dc2b932eb2903c40"
#define PEER3 "b9922a02d4cc1eda4875943962dd50593644b7d97e2a75e6f1f96164c5cc1f39"
#define ATLAS_ID "435f6c7dec4b96e647b6176a348c9517f20cde6757f296dfab96a25f02cebf52"
#define SIG "{peer:peer,signature:[64]u8}"
#define HEAD "{deployment:id,epoch:u64,surface:id,index:u64,commit:id,state:id,time_ms:u64}"
#define ROSTER "{deployment:id,epoch:u64,previous:id,peers:*peer}"
#define MEASUREMENTS                                                                             \
    "{mr_td:[48]u8,mr_config_id:?[48]u8,mr_owner:?[48]u8,mr_owner_config:?[48]u8,rtmr0:?[48]u8," \
    "rtmr1:?[48]u8,rtmr2:?[48]u8,rtmr3:?[48]u8}"
#define REF \
    "{kind:u8,role:str,stable_id:id,content_hash:?id,deployment:?id,coalition:?id,operator:?peer}"

static void test_layouts(void **state)
{
    static const struct {
        const struct mk_type *type;
        const char *layout;
    } cases[] = {
        {&mk_roster_type, "Roster" ROSTER},
        {&mk_head_type, "Head" HEAD},
        {&mk_roster_change_type,
         "RosterChange{roster:" ROSTER ",heads:*" HEAD ",old:*" SIG ",new:*" SIG "}"},
        {&mk_certificate_type, "Certificate{head:" HEAD ",signatures:*" SIG "}"},
        {&mk_map_proof_type, "MapProof{siblings:*id,other:?{key:id,value:id}}"},
        {&mk_deployment_type, "Deployment{stable_id:id,deployment:id,content_hash:id,version:u64,"
                              "roster:" ROSTER ",addresses:*str,operator:peer,signature:[64]u8}"},
        {&mk_founding_type, "Founding{deployment:id,roster:" ROSTER ",raft_ids:*u64,"
                            "operators:*{member:id,operator:peer},default_operator:?peer}"},
        {&mk_advance_type, "Advance{peer:peer,unix_ms:u64,signature:[64]u8}"},
        {&mk_map_op_type, "MapOp(Insert=0{key:bytes,value:bytes},Remove=1{key:bytes},"
                          "CompareSet=2{key:bytes,expect:?bytes,value:bytes},Clear=3,"
                          "Many=4{changes:*{key:bytes,value:?bytes}})"},
        {&mk_retirement_marker_type,
         "RetirementMarker{effective_at:(AtSequence=0{seq:u64},AtTimestamp=1{unix_ms:u64},"
         "AtTick=2{almanac:id,tick:u64}),reason:(Rotation=0,Retired=1,OperatorExit=2,Emergency=3),"
         "replacement:?" REF "}"},
        {&mk_component_ref_type, "ComponentRef" REF},
        {&mk_measurements_type, "Measurements" MEASUREMENTS},
        {&mk_acl_composition_type,
         "AclComposition{clauses:*(RecogniseIssuer=0{root:id},RequireTdx=1{"
         "measurements:" MEASUREMENTS "},VerifyPeerTdx=2{measurements:" MEASUREMENTS
         "},TdxInSet=3{set:*" MEASUREMENTS "},RequireJwt=4{issuer:str,algorithm:str,key:bytes},"
         "ReputationFloor=5{organism:id,floor_bps:u16},MarketSettlement=6{organism:id},"
         "ComputeModulePin=7{module:id},RequesterAcl=8{module:id},AttestationFloor=9{level:u8},"
         "PeerList=10{peers:*peer},RecogniseOwnIssuer=11,OwnComputeModule=12,OwnRequesterAcl=13,"
         "GateReaders=14,RecogniseAnyIssuer=15{roots:*id})}"},
        {&mk_evidence_pointer_type,
         "EvidencePointer{member:[20]u8,surface:id,clock:u64,commit:id}"},
        {&mk_almanac_range_type, "AlmanacRange{almanac:id,start:u64,end:u64}"},
        {&mk_ticket_type, "Ticket{class:id,data:bytes}"},
        {&mk_signed_ticket_type, "SignedTicket{claims:bytes,epoch:u64,signatures:*" SIG "}"},
        {&mk_ticket_revocations_type,
         "TicketRevocations{root:id,epoch:u64,version:u64,jti:*[16]u8}"},
    };
    struct mk_buf out = {0};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mk_id digest = mk_schema_digest(cases[i].type);
        struct mk_id expected = mk_hash(MK_BYTES(cases[i].layout, strlen(cases[i].layout)));

        mk_buf_clear(&out);
        mk_layout(&out, cases[i].type);
        mk_buf_put_u8(&out, 0);
        assert_string_equal((char *)out.p, cases[i].layout);
        assert_true(mk_id_eq(&digest, &expected));
    }
    mk_buf_done(&out);
}

static void test_roster(void **state)
{
    struct mk_peer peers[3];
    struct mk_roster r = {.deployment = unit_id(ATLAS_ID), .epoch = 1, .peers = {peers, 3}};
    struct mk_roster back;
    struct mk_buf out = {0};
    struct mk_arena arena = {0};
    struct mk_fault f;

    (void)state;
    assert_int_equal(mk_peer_unhex(&peers[0], MK_STR(PEER1)), 0);
    assert_int_equal(mk_peer_unhex(&peers[1], MK_STR(PEER2)), 0);
    assert_int_equal(mk_peer_unhex(&peers[2], MK_STR(PEER3)), 0);
    mk_encode(&out, &mk_roster_type, &r);
    unit_assert_hex(out.p, out.n,
                    ATLAS_ID "010000000000000000000000000000000000000000000000000000000000000000"
                             "03" PEER1 PEER2 PEER3);
    assert_int_equal(mk_decode(&back, &mk_roster_type, mk_buf_bytes(&out), &arena, &f), 0);
    assert_true(mk_peer_eq(&back.peers.v[2], &peers[2]));
    unit_assert_id(mk_roster_id(&r),
                   "b16fade7c930b14683eb75d0008598d48045218b32e5e6333ccbe090dc9e1aba");
    peers[1] = peers[0];
    assert_int_equal(mk_validate(&mk_roster_type, &r, &f), MK_EMALFORMED);
    assert_string_equal(f.text, "item 2: items must be distinct");
    r.peers.n = 0;
    assert_int_equal(mk_validate(&mk_roster_type, &r, &f), MK_EMALFORMED);
    mk_arena_done(&arena);
    mk_buf_done(&out);
}

static void test_head(void **state)
{
    struct mk_head h = {
        .deployment = unit_id("026f683ee4592ba7045e4ed3ef3884b9fad7093bb5c5046494b302f4d168bde7"),
        .epoch = 1,
        .surface = unit_id("19f6c35218b325395b72938e39555f02f0a085c2eda7ab8412104fa0bffd7754"),
        .index = 3,
        .commit = unit_id("cf9b1255f5353e7b9e8d5fe776ab21b16933f801dc3a110787ae66bd51d32dbc"),
        .time_ms = 1700000000000,
    };
    struct mk_buf out = {0};

    (void)state;
    mk_buf_put_str(&out, "mosaik.head.v1");
    mk_encode(&out, &mk_head_type, &h);
    unit_assert_hex(
        out.p, out.n,
        "6d6f7361696b2e686561642e7631026f683ee4592ba7045e4ed3ef3884b9fad7093bb5c5046494b302f4d168"
        "bde70119f6c35218b325395b72938e39555f02f0a085c2eda7ab8412104fa0bffd775403cf9b1255f5353e7b"
        "9e8d5fe776ab21b16933f801dc3a110787ae66bd51d32dbc0000000000000000000000000000000000000000"
        "00000000000000000000000080d095ffbc31");
    mk_buf_done(&out);
}

static void assert_acl(const struct mk_acl_clause *clauses, size_t n, const char *hex)
{
    struct mk_acl_composition acl = {{clauses, n}}, back;
    struct mk_buf out = {0};
    struct mk_arena arena = {0};
    struct mk_fault f;

    assert_int_equal(mk_validate(&mk_acl_composition_type, &acl, &f), 0);
    mk_encode(&out, &mk_acl_composition_type, &acl);
    unit_assert_hex(out.p, out.n, hex);
    assert_int_equal(mk_decode(&back, &mk_acl_composition_type, mk_buf_bytes(&out), &arena, &f), 0);
    assert_int_equal(mk_acl_check(&back, &f), 0);
    mk_arena_done(&arena);
    mk_buf_done(&out);
}

static void test_acl_encodings(void **state)
{
    struct mk_acl_clause c[3] = {
        {.tag = mk_acl_clause_RequireTdx, .u.require_tdx.measurements.rtmr0.some = true},
        {.tag = mk_acl_clause_ReputationFloor, .u.reputation_floor.floor_bps = 5500},
        {.tag = mk_acl_clause_MarketSettlement},
    };
    struct mk_id roots[2];
    struct mk_acl_clause any = {.tag = mk_acl_clause_RecogniseAnyIssuer,
                                .u.recognise_any_issuer.roots = {roots, 2}};
    struct mk_acl_clause gate = {.tag = mk_acl_clause_GateReaders};
    struct mk_peer peers[3];
    struct mk_acl_clause list = {.tag = mk_acl_clause_PeerList, .u.peer_list.peers = {peers, 3}};

    (void)state;
    for (unsigned i = 0; i < 48; i++)
        c[0].u.require_tdx.measurements.mr_td.b[i] = (uint8_t)i;
    c[1].u.reputation_floor.organism =
        unit_id("006f17ec5211022ce8c9c2796ce35d596d9502a96f8adc14cf9eb87de8b6dd26");
    c[2].u.market_settlement.organism =
        unit_id("3ada4503f85d6b7b705f9a693c180b4cd2c43e4030d00098080867dc363c8df3");
    assert_acl(c, 3,
               "0301000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223242526"
               "2728292a2b2c2d2e2f0000000100000000000000000000000000000000000000000000000000000000"
               "000000000000000000000000000000000000000000000005006f17ec5211022ce8c9c2796ce35d596d"
               "9502a96f8adc14cf9eb87de8b6dd26fc2a063ada4503f85d6b7b705f9a693c180b4cd2c43e4030d000"
               "98080867dc363c8df3");
    roots[0] = unit_id("08112a9e334ce73042b531c25668cf5cb12a1ee040a4326afeac065461079a06");
    roots[1] = unit_id("3ae7d805f6789a6402acb70ad4096a85a56bf6804eaf25c0493ac697548d30b5");
    assert_acl(&any, 1,
               "010f0208112a9e334ce73042b531c25668cf5cb12a1ee040a4326afeac065461079a06"
               "3ae7d805f6789a6402acb70ad4096a85a56bf6804eaf25c0493ac697548d30b5");
    assert_acl(&gate, 1, "010e");
    assert_int_equal(mk_peer_unhex(&peers[0], MK_STR(PEER1)), 0);
    assert_int_equal(mk_peer_unhex(&peers[1], MK_STR(PEER2)), 0);
    assert_int_equal(mk_peer_unhex(&peers[2], MK_STR(PEER3)), 0);
    assert_acl(&list, 1, "010a03" PEER1 PEER2 PEER3);
    assert_acl(NULL, 0, "00");
}

static void refuse_clause(struct mk_acl_clause c, const char *reason)
{
    struct mk_acl_composition acl = {{&c, 1}};
    struct mk_fault f = {{0}};

    assert_int_equal(mk_acl_check(&acl, &f), MK_EMALFORMED);
    assert_non_null(strstr(f.text, reason));
}

static void test_acl_rules(void **state)
{
    static const uint8_t key[67] = {2};
    struct mk_clause_jwt jwt = {MK_STR_INIT("https://issuer"), MK_STR_INIT("HS256"), {key, 32}};

    (void)state;
#define JWT ((struct mk_acl_clause){.tag = mk_acl_clause_RequireJwt, .u.require_jwt = jwt})
    refuse_clause(JWT, "the algorithm is");
    jwt.algorithm = MK_STR("ES256");
    refuse_clause(JWT, "length of its algorithm");
    jwt.key.p = key + 1;
    jwt.key.n = 33;
    refuse_clause(JWT, "starts with 02 or 03");
    jwt.key.p = key;
    jwt.issuer.n = 0;
    refuse_clause(JWT, "issuer must not be empty");
    refuse_clause((struct mk_acl_clause){.tag = mk_acl_clause_ReputationFloor,
                                         .u.reputation_floor.floor_bps = 10001},
                  "10000");
    refuse_clause((struct mk_acl_clause){.tag = mk_acl_clause_AttestationFloor,
                                         .u.attestation_floor.level = 5},
                  "0 to 4");
}

static void test_marker_rules(void **state)
{
    struct mk_retirement_marker m = {.reason.tag = mk_retirement_reason_Rotation};
    struct mk_almanac_range range = {.start = 2, .end = 1};
    struct mk_fault f;

    (void)state;
    assert_int_equal(mk_retirement_marker_check(&m, &f), MK_EMALFORMED);
    m.replacement = (struct mk_opt_component_ref){true, {.kind = 1, .role = MK_STR_INIT("oracle")}};
    assert_int_equal(mk_retirement_marker_check(&m, &f), 0);
    m.replacement.v.kind = 4;
    assert_int_equal(mk_retirement_marker_check(&m, &f), MK_EMALFORMED);
    m.replacement.v.kind = 0;
    m.reason.tag = mk_retirement_reason_Retired;
    assert_int_equal(mk_retirement_marker_check(&m, &f), MK_EMALFORMED);
    m.reason.tag = mk_retirement_reason_OperatorExit;
    assert_int_equal(mk_retirement_marker_check(&m, &f), MK_EMALFORMED);
    m.reason.tag = mk_retirement_reason_Emergency;
    assert_int_equal(mk_retirement_marker_check(&m, &f), 0);
    assert_int_equal(mk_almanac_range_check(&range, &f), MK_EMALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layouts),   cmocka_unit_test(test_roster),
        cmocka_unit_test(test_head),      cmocka_unit_test(test_acl_encodings),
        cmocka_unit_test(test_acl_rules), cmocka_unit_test(test_marker_rules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
