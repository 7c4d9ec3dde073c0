/* test_lan.c - neighbours on the local network: the DNS messages, byte by byte, and nodes in the
 * simulated world that have nothing but a network in common. */
#include "discovery_bed.h"

#include "discovery/dns.h"
#include "discovery/lan_wire.h"

/* --- messages ------------------------------------------------------------------------------ */

static struct mk_lan_peer somebody(unsigned i)
{
    return (struct mk_lan_peer){.peer = bed_peer(i),
                                .universe = MK_UNIVERSE,
                                .port = 7700,
                                .has_address = true,
                                .address = {192, 168, 1, 7},
                                .ttl_s = MK_LAN_TTL_S};
}

static void test_an_answer_is_read_back(void **state)
{
    struct mk_lan_peer p = somebody(1);
    struct mk_lan_said said;
    struct mk_buf m = {0};

    (void)state;
    mk_lan_put_answer(&m, &p);
    assert_int_equal(mk_lan_read(&said, mk_buf_bytes(&m)), 0);
    assert_false(said.asks);
    assert_int_equal(said.n_peers, 1);
    assert_true(mk_peer_eq(&said.peers[0].peer, &p.peer));
    assert_true(mk_id_eq(&said.peers[0].universe, &MK_UNIVERSE));
    assert_int_equal(said.peers[0].port, 7700);
    assert_memory_equal(said.peers[0].address, p.address, 4);
    assert_int_equal(said.peers[0].ttl_s, MK_LAN_TTL_S);
    for (size_t n = 0; n < m.n; n++) /* no beginning of it is one */
        assert_int_not_equal(mk_lan_read(&said, MK_BYTES(m.p, n)), 0);
    mk_buf_put_u8(&m, 0);
    assert_int_equal(mk_lan_read(&said, mk_buf_bytes(&m)), MK_EMALFORMED);
    mk_buf_done(&m);
}

static void test_a_question_names_who_is_known(void **state)
{
    struct mk_peer known[2] = {bed_peer(1), bed_peer(2)};
    struct mk_lan_said said;
    struct mk_buf m = {0};

    (void)state;
    mk_lan_put_question(&m, known, 2);
    assert_int_equal(mk_lan_read(&said, mk_buf_bytes(&m)), 0);
    assert_true(said.asks);
    assert_int_equal(said.n_known, 2);
    assert_memory_equal(said.known[1].b, known[1].b, 20);
    mk_buf_done(&m);
}

/* The bytes of a question as other programs send it: names compressed, letters of both cases. */
static void test_a_foreign_question(void **state)
{
    static const uint8_t m[] = "\0\0\0\0\0\2\0\0\0\0\0\0"
                               "\x05_http\x04_tcp\x05local\0\0\x0c\0\1"
                               "\x0a_COALITION\xc0\x12\0\x0c\x80\1";
    struct mk_lan_said said;

    (void)state;
    assert_int_equal(mk_lan_read(&said, MK_BYTES(m, sizeof m - 1)), 0);
    assert_true(said.asks);
    assert_int_equal(said.n_known, 0);
}

/* Records may come in any order, among those of others; of two universes one is ours. */
static void test_what_is_missing_or_contradicts(void **state)
{
    struct mk_lan_peer p = somebody(3);
    struct mk_lan_said said;
    struct mk_buf m = {0};
    uint8_t *at;

    (void)state;
    mk_lan_put_answer(&m, &p);
    at = memmem(m.p, m.n, "peer=", 5);
    at[5] = at[5] == 'a' ? 'b' : 'a'; /* the name says another peer */
    assert_int_equal(mk_lan_read(&said, mk_buf_bytes(&m)), 0);
    assert_int_equal(said.n_peers, 0);
    mk_buf_clear(&m);
    p.port = 0;
    mk_lan_put_answer(&m, &p);
    assert_int_equal(mk_lan_read(&said, mk_buf_bytes(&m)), 0);
    assert_int_equal(said.n_peers, 0);
    mk_buf_clear(&m);
    p.port = 1;
    p.ttl_s = 0;
    mk_lan_put_answer(&m, &p);
    assert_int_equal(mk_lan_read(&said, mk_buf_bytes(&m)), 0);
    assert_int_equal(said.peers[0].ttl_s, 0);
    mk_buf_done(&m);
}

static void test_names_that_are_none(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
    } bad[] = {
        {"\xc0\x0c", 2},      /* a pointer to itself */
        {"\x01x\xc0\x0c", 4}, /* a loop */
        {"\xc0\xff", 2},      /* beyond the end */
        {"\xc0\x02", 2},      /* into the header */
        {"\x80xxxx", 5},      /* a label of no kind */
        {"\x40", 1},          /* another */
        {"\x05xx", 3},        /* cut */
        {"\xc0", 1},          /* half a pointer */
        {"\x02xx", 3},        /* no end */
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct mk_buf m = {0};
        struct mk_dns_reader r;
        struct mk_dns_name name;
        size_t at = 12;

        mk_dns_put_header(&m, 0, 1, 0, 0);
        mk_buf_put(&m, bad[i].bytes, bad[i].n);
        assert_int_equal(mk_dns_open(&r, mk_buf_bytes(&m)), 0);
        assert_int_equal(mk_dns_read_name(&r, &at, &name), MK_EMALFORMED);
        assert_int_equal(at, 12);
        mk_buf_done(&m);
    }
}

/* 255 bytes are a name, 256 are none; too many records are no message. */
static void test_limits(void **state)
{
    struct mk_buf m = {0};
    struct mk_dns_reader r;
    struct mk_dns_name name;
    struct mk_lan_said said;
    size_t at = 12;

    (void)state;
    mk_dns_put_header(&m, 0, 1, 0, 0);
    for (unsigned i = 0; i < 127; i++)
        mk_buf_put(&m, "\1x", 2);
    mk_buf_put_u8(&m, 0);
    assert_int_equal(mk_dns_open(&r, mk_buf_bytes(&m)), 0);
    assert_int_equal(mk_dns_read_name(&r, &at, &name), 0);
    assert_int_equal(name.n, 255);
    assert_int_equal(at, m.n);
    m.p[m.n - 1] = 1;
    mk_buf_put(&m, "x\0", 2);
    at = 12;
    assert_int_equal(mk_dns_open(&r, mk_buf_bytes(&m)), 0);
    assert_int_equal(mk_dns_read_name(&r, &at, &name), MK_EMALFORMED);
    mk_buf_clear(&m);
    mk_dns_put_header(&m, 0, MK_DNS_RECORDS_MAX + 1, 0, 0);
    assert_int_equal(mk_lan_read(&said, mk_buf_bytes(&m)), MK_ELIMIT);
    mk_buf_clear(&m);
    mk_dns_put_header(&m, 0x0003, 0, 0, 0); /* an error */
    assert_int_equal(mk_lan_read(&said, mk_buf_bytes(&m)), MK_EMALFORMED);
    mk_buf_done(&m);
}

static void test_where_others_reach_us(void **state)
{
    static const struct {
        const char *text;
        unsigned port;
        bool has;
    } v[] = {{"10.1.2.3:7", 7, true},      {"0.0.0.0:7", 7, false},    {"127.0.0.1:9", 9, false},
             {"host.example:7", 7, false}, {"10.1.2.300:7", 7, false}, {"[::1]:7", 7, false},
             {"10.1.2:7", 7, false},       {"nothing", 0, false}};

    (void)state;
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++) {
        struct mk_lan_peer p = {0};

        mk_lan_place(&p, v[i].text);
        assert_int_equal(p.port, v[i].port);
        assert_int_equal(p.has_address, v[i].has);
    }
}

/* --- nodes ----------------------------------------------------------------------------------- */

static void on_lan(struct bed *b, unsigned i)
{
    assert_int_equal(mk_discovery_lan(bed_d(b, i), "*", NULL), 0);
}

/* Nobody was told of anybody. */
static void test_a_lan_of_six(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct bed *b = bed_new(seed);

        for (unsigned i = 0; i < 6; i++) {
            bed_start(b, i, BED_NONE, 0);
            on_lan(b, i);
        }
        bed_start(b, 6, BED_NONE, 0); /* does not take part */
        assert_false(bed_until_all_see(b, 6, 10000));
        for (unsigned i = 0; i < 7; i++)
            assert_int_equal(mk_discovery_size(bed_d(b, i)), i < 6 ? 5 : 0);
        assert_int_equal(mk_discovery_lan(bed_d(b, 0), "*", NULL), MK_EEXISTS);
        assert_int_equal(mk_discovery_lan(bed_d(b, 6), "eth9", NULL), MK_ENOTFOUND);
        bed_free(b);
    }
}

/* Half of what is said gets lost, nodes crash and come back. */
static void test_a_lan_that_loses(void **state)
{
    struct bed *b = bed_new(9);

    (void)state;
    world_link(b->w, WORLD_ALL, WORLD_ALL, (struct world_link){500, 20000, 300000, 0});
    for (unsigned i = 0; i < 5; i++) {
        bed_start(b, i, BED_NONE, 20000);
        on_lan(b, i);
    }
    assert_true(bed_until_all_see(b, 4, 60000));
    world_crash(b->w, 2);
    world_run(b->w, 30000);
    world_restart(b->w, 2);
    on_lan(b, 2);
    assert_true(bed_until_all_see(b, 4, 60000));
    bed_free(b);
}

/* One that asks and has no entry finds the others, and is no news to them. */
static void test_a_reader_on_a_lan(void **state)
{
    struct bed *b = bed_new(10);

    (void)state;
    bed_start(b, 0, BED_NONE, 0);
    on_lan(b, 0);
    bed_observe(b, 1, 0);
    world_crash(b->w, 1);
    b->plans[1].hint = BED_NONE;
    world_restart(b->w, 1);
    on_lan(b, 1);
    world_run(b->w, 10000);
    assert_int_equal(mk_discovery_size(bed_d(b, 1)), 1);
    assert_int_equal(mk_discovery_size(bed_d(b, 0)), 0);
    bed_free(b);
}

static void ignore(struct mk_cast *c, struct mk_bytes datagram, const char *from)
{
    (void)c;
    (void)datagram;
    (void)from;
}

/* One that shouts garbage, and speaks for a thousand peers that are not there: a bounded number is
 * dialed, and those who are there still find each other. */
static void test_a_liar_on_a_lan(void **state)
{
    struct bed *b = bed_new(11);
    struct mk_cast shout = {.got = ignore};
    struct mk_discovery_stats st;

    (void)state;
    bed_start(b, 0, BED_NONE, 0);
    on_lan(b, 0);
    assert_int_equal(mk_cast_open(world_node(b->w, 20), &shout, MK_LAN_GROUP, "*", NULL), 0);
    for (unsigned i = 0; i < 1000; i++) {
        struct mk_lan_peer p = somebody(2000 + i);
        struct mk_buf m = {0};

        mk_lan_put_answer(&m, &p);
        if (i % 3 == 0)
            m.p[world_workload(b->w, m.n)] ^= 0x55;
        mk_cast_send(&shout, mk_buf_bytes(&m));
        mk_buf_done(&m);
        world_run(b->w, 5);
        assert_true(bed_d(b, 0)->n_lan <= MK_DISCOVERY_LAN_MAX);
    }
    mk_discovery_stats(bed_d(b, 0), &st);
    assert_true(st.lan_ignored > 0);
    assert_int_equal(bed_d(b, 0)->n_lan, MK_DISCOVERY_LAN_MAX);
    mk_cast_close(&shout);
    bed_start(b, 1, BED_NONE, 0);
    on_lan(b, 1);
    assert_true(bed_until_all_see(b, 1, 150000)); /* at the latest when the lies have ended */
    world_run(b->w, 130000);
    assert_int_equal(bed_d(b, 0)->n_lan, 0);
    bed_free(b);
}

/* It says good-bye, and is not dialed any more. */
static void test_leaving_a_lan(void **state)
{
    struct bed *b = bed_new(12);
    struct mk_discovery_stats st;
    struct bed_node *one;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        bed_start(b, i, BED_NONE, 0);
        on_lan(b, i);
    }
    assert_true(bed_until_all_see(b, 1, 10000));
    one = bed_at(b, 1);
    mk_discovery_close(one->d);
    mk_net_close(one->net);
    one->d = NULL;
    one->net = NULL;
    world_run(b->w, 3000);
    mk_discovery_stats(bed_d(b, 0), &st);
    assert_int_equal(mk_discovery_size(bed_d(b, 0)), 0);
    assert_int_equal(bed_d(b, 0)->n_lan, 0);
    assert_true(st.lan_heard >= 2);
    bed_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_is_read_back),
        cmocka_unit_test(test_a_question_names_who_is_known),
        cmocka_unit_test(test_a_foreign_question),
        cmocka_unit_test(test_what_is_missing_or_contradicts),
        cmocka_unit_test(test_names_that_are_none),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_where_others_reach_us),
        cmocka_unit_test(test_a_lan_of_six),
        cmocka_unit_test(test_a_lan_that_loses),
        cmocka_unit_test(test_a_reader_on_a_lan),
        cmocka_unit_test(test_a_liar_on_a_lan),
        cmocka_unit_test(test_leaving_a_lan),
    };

    return cmocka_run_group_tests_name("lan", tests, NULL, NULL);
}
