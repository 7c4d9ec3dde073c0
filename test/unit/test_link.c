/* Links and conversations between peers that keep the rules, in three worlds. */
#include "net_bed.h"

static bool conv_is_over(void *arg)
{
    return ((struct bed_conv *)arg)->over;
}

struct want {
    struct bed_conv *c;
    size_t bytes;
};

static bool conv_has(void *arg)
{
    struct want *w = arg;

    return w->c->got.n >= w->bytes;
}

static void await_bytes(struct bed *b, struct bed_conv *c, size_t n)
{
    struct want w = {c, n};

    assert_true(bed_until(b, conv_has, &w, 30000));
    assert_int_equal(c->got.n, n);
}

static struct bed *setup_pair(void **state, struct bed_peer **a, struct bed_peer **b,
                              struct mk_dial *d)
{
    struct bed *bed = bed_new(*(enum bed_kind *)*state);

    *a = bed_open(bed, 0);
    *b = bed_open(bed, 1);
    bed_link(*a, *b, d);
    return bed;
}

/* --- conversations ------------------------------------------------------------------- */

static void test_echo(void **state)
{
    struct bed_peer *a, *b;
    struct mk_dial d;
    struct bed *bed = setup_pair(state, &a, &b, &d);
    struct mk_link *l = mk_net_link(a->net, &b->key.peer);
    struct bed_conv *c = bed_talk(a, l, "echo", "hello");

    assert_int_equal(mk_conv_send(c->c, MK_BYTES(", world", 7)), 0);
    await_bytes(bed, c, 12);
    assert_memory_equal(c->got.p, "hello, world", 12);
    assert_int_equal(c->n_got, 2);
    assert_int_equal(b->n_convs, 1);
    assert_true(mk_link_rtt_us(l) > 0);
    assert_true(mk_peer_eq(mk_link_peer(l), &b->key.peer));
    assert_ptr_equal(mk_net_next_link(a->net, NULL), l);
    assert_null(mk_net_next_link(a->net, l));
    mk_conv_close(c->c, MK_CLOSE_NONE, "done");
    assert_true(bed_until(bed, conv_is_over, &b->convs[0], 5000));
    assert_int_equal(b->convs[0].close, MK_CLOSE_NONE);
    assert_string_equal(b->convs[0].detail, "done");
    bed_free(bed);
}

static void test_many_conversations(void **state)
{
    struct bed_peer *a, *b;
    struct mk_dial d;
    struct bed *bed = setup_pair(state, &a, &b, &d);
    struct mk_link *l = mk_net_link(a->net, &b->key.peer);

    for (unsigned i = 0; i < 100; i++) {
        struct bed_conv *c = bed_talk(a, l, "echo", "");

        for (unsigned j = 0; j < 10; j++)
            assert_int_equal(mk_conv_send(c->c, MK_BYTES(&i, sizeof i)), 0);
    }
    for (unsigned i = 0; i < 100; i++) {
        await_bytes(bed, &a->convs[i], 10 * sizeof i);
        assert_memory_equal(a->convs[i].got.p, &i, sizeof i);
        assert_int_equal(a->convs[i].n_got, 11); /* the empty first one came back, too */
    }
    /* Ends in the middle of the table; the others go on. */
    for (unsigned i = 0; i < 100; i += 3)
        mk_conv_close(a->convs[i].c, MK_CLOSE_NONE, NULL);
    for (unsigned i = 1; i < 100; i += 3)
        assert_int_equal(mk_conv_send(a->convs[i].c, MK_BYTES("x", 1)), 0);
    for (unsigned i = 1; i < 100; i += 3)
        await_bytes(bed, &a->convs[i], 10 * sizeof i + 1);
    bed_free(bed);
}

static void test_large_messages(void **state)
{
    struct bed_peer *a, *b;
    struct mk_dial d;
    struct bed *bed = setup_pair(state, &a, &b, &d);
    struct mk_link *l = mk_net_link(a->net, &b->key.peer);
    struct mk_buf m = {0};
    struct bed_conv *c[6];

    for (uint32_t i = 0; i < MK_NET_MESSAGE_MAX / 4; i++)
        mk_buf_put_u32le(&m, i * 2654435761u);
    for (unsigned i = 0; i < 6; i++)
        c[i] = bed_talk(a, l, "echo", "");
    for (unsigned i = 0; i < 6; i++) /* more at once than may be in pieces at once */
        assert_int_equal(mk_conv_send(c[i]->c, mk_buf_bytes(&m)), 0);
    assert_int_equal(mk_conv_send(c[0]->c, mk_buf_bytes(&m)), MK_EFULL);
    for (unsigned i = 0; i < 6; i++) {
        await_bytes(bed, c[i], m.n);
        assert_memory_equal(c[i]->got.p, m.p, m.n);
        assert_int_equal(c[i]->last_n, m.n);
    }
    assert_true(c[0]->n_writable > 0);
    mk_buf_put_u8(&m, 0);
    assert_int_equal(mk_conv_send(c[0]->c, mk_buf_bytes(&m)), MK_ELIMIT);
    assert_int_equal(
        mk_conv_sendv(c[0]->c, (struct mk_bytes[]){MK_BYTES(m.p, m.n - 1), MK_BYTES("x", 1)}, 2),
        MK_ELIMIT);
    /* Sizes around those of a frame, from pieces. */
    mk_buf_clear(&c[1]->got);
    for (size_t n = 0; n < 40; n++) {
        struct mk_bytes parts[] = {MK_BYTES(m.p, n), MK_BYTES(m.p + n, MK_FRAME_BODY_MAX - 20)};

        assert_int_equal(mk_conv_sendv(c[1]->c, parts, 2), 0);
        await_bytes(bed, c[1], n + MK_FRAME_BODY_MAX - 20);
        assert_memory_equal(c[1]->got.p, m.p, n + MK_FRAME_BODY_MAX - 20);
        mk_buf_clear(&c[1]->got);
    }
    mk_buf_done(&m);
    bed_free(bed);
}

static void test_first_message_in_pieces(void **state)
{
    struct bed_peer *a, *b;
    struct mk_dial d;
    struct bed *bed = setup_pair(state, &a, &b, &d);
    struct mk_link *l = mk_net_link(a->net, &b->key.peer);
    char *text = mk_alloc(MK_NET_MESSAGE_MAX + 2);
    struct bed_conv *c;

    memset(text, 'f', MK_NET_MESSAGE_MAX);
    c = bed_talk(a, l, "echo", text);
    await_bytes(bed, c, MK_NET_MESSAGE_MAX);
    assert_int_equal(c->n_got, 1);
    text[MK_NET_MESSAGE_MAX] = 'f';
    assert_int_equal(
        mk_conv_open(l, &c->c, "echo", MK_BYTES(text, MK_NET_MESSAGE_MAX + 1), NULL, NULL),
        MK_ELIMIT);
    assert_int_equal(mk_conv_open(l, &c->c, "", MK_BYTES("", 0), NULL, NULL), MK_EINVALID);
    mk_free(text);
    bed_free(bed);
}

/* Fills c until there is no credit left; returns the bytes. */
static size_t fill(struct bed_conv *c)
{
    static uint8_t block[10000];
    size_t n = 0;

    while (mk_conv_room(c->c) >= sizeof block) {
        assert_int_equal(mk_conv_send(c->c, MK_BYTES(block, sizeof block)), 0);
        n += sizeof block;
    }
    return n;
}

static void test_slow_reader_stops_itself_alone(void **state)
{
    struct bed_peer *a, *b;
    struct mk_dial d;
    struct bed *bed = setup_pair(state, &a, &b, &d);
    struct mk_link *l = mk_net_link(a->net, &b->key.peer);
    static uint8_t block[MK_NET_MESSAGE_MAX];
    struct bed_conv *slow, *quick;
    size_t n;

    b->greedy = true;
    slow = bed_talk(a, l, "sink", "");
    assert_int_equal(mk_conv_room(slow->c), MK_NET_WINDOW);
    n = fill(slow);
    assert_true(n > MK_NET_WINDOW - 10000);
    await_bytes(bed, &b->convs[0], n);
    n += fill(slow); /* what the window has above its name */
    assert_true(n <= MK_NET_WINDOW + 65536);
    assert_int_equal(mk_conv_send(slow->c, MK_BYTES(block, sizeof block)), MK_EFULL);
    b->greedy = false;
    quick = bed_talk(a, l, "echo", "");
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(mk_conv_send(quick->c, MK_BYTES(block, 100000)), 0);
        await_bytes(bed, quick, 100000 * (i + 1));
    }
    assert_int_equal(slow->n_writable, 0);
    await_bytes(bed, &b->convs[0], n);
    mk_conv_consumed(b->convs[0].c, n);
    mk_conv_consumed(b->convs[0].c, 1); /* more than was delivered counts for nothing */
    while (slow->n_writable == 0)
        bed_run(bed, 1);
    assert_int_equal(slow->n_writable, 1);
    assert_int_equal(mk_conv_send(slow->c, MK_BYTES(block, sizeof block)), 0);
    await_bytes(bed, &b->convs[0], n + sizeof block);
    bed_free(bed);
}

static void test_small_messages_pass_large_ones(void **state)
{
    struct bed_peer *a, *b;
    struct mk_dial d;
    struct bed *bed = setup_pair(state, &a, &b, &d);
    struct mk_link *l = mk_net_link(a->net, &b->key.peer);
    static uint8_t block[MK_NET_MESSAGE_MAX];
    struct bed_conv *large = bed_talk(a, l, "sink", ""), *small = bed_talk(a, l, "sink", "");

    assert_int_equal(mk_conv_send(large->c, MK_BYTES(block, sizeof block)), 0);
    assert_int_equal(mk_conv_send(small->c, MK_BYTES("quick", 5)), 0);
    await_bytes(bed, &b->convs[0], sizeof block);
    assert_int_equal(b->convs[1].last_at, 1);
    assert_int_equal(b->convs[0].last_at, 2);
    bed_free(bed);
}

/* All that is said in one turn travels together: one record, one write. */
static void test_a_turn_is_one_record(void **state)
{
    struct bed_peer *a, *b;
    struct mk_dial d;
    struct bed *bed = setup_pair(state, &a, &b, &d);
    struct mk_link *l = mk_net_link(a->net, &b->key.peer);
    struct mk_net_stats before, after;
    uint8_t message[100] = {0};
    uint64_t expect = 64 * (MK_FRAME_HEADER + sizeof message);

    for (unsigned i = 0; i < 64; i++)
        bed_talk(a, l, "sink", "");
    bed_run(bed, 50);
    mk_net_stats(a->net, &before);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(mk_conv_send(a->convs[i].c, MK_BYTES(message, sizeof message)), 0);
    await_bytes(bed, &b->convs[63], sizeof message);
    mk_net_stats(a->net, &after);
    if (bed->kind != BED_VOUCHED)
        expect += 5 + 1 + 16; /* a TLS record's header, type and tag */
    assert_int_equal(after.bytes_out - before.bytes_out, expect);
    assert_int_equal(after.messages_out - before.messages_out, 64);
    bed_free(bed);
}

static void test_refusals_of_conversations(void **state)
{
    struct bed_peer *a, *b;
    struct mk_dial d;
    struct bed *bed = setup_pair(state, &a, &b, &d);
    struct mk_link *l = mk_net_link(a->net, &b->key.peer);
    struct bed_conv *none = bed_talk(a, l, "none", "x"), *shop = bed_talk(a, l, "shop", "x");
    struct bed_conv *echo = bed_talk(a, l, "echo", "still here");

    assert_true(bed_until(bed, conv_is_over, none, 5000));
    assert_true(bed_until(bed, conv_is_over, shop, 5000));
    assert_int_equal(none->close, MK_CLOSE_NO_PROTOCOL);
    assert_string_equal(none->detail, "no such protocol here");
    assert_int_equal(shop->close, MK_CLOSE_REFUSED);
    assert_string_equal(shop->detail, "no clause fits");
    await_bytes(bed, echo, 10);
    bed_free(bed);
}

static void test_close_comes_after_what_was_queued(void **state)
{
    struct bed_peer *a, *b;
    struct mk_dial d;
    struct bed *bed = setup_pair(state, &a, &b, &d);
    struct mk_link *l = mk_net_link(a->net, &b->key.peer);
    struct bed_conv *c = bed_talk(a, l, "sink", "");
    size_t n = fill(c);

    mk_conv_close(c->c, MK_CLOSE_EXPIRED, "the ticket ended");
    assert_true(bed_until(bed, conv_is_over, &b->convs[0], 5000));
    assert_int_equal(b->convs[0].got.n, n);
    assert_int_equal(b->convs[0].close, MK_CLOSE_EXPIRED);
    assert_string_equal(b->convs[0].detail, "the ticket ended");
    assert_false(c->over);
    bed_free(bed);
}

/* --- ends of links ------------------------------------------------------------------- */

static bool peer_is_down(void *arg)
{
    struct bed_peer *p = arg;

    return p->n_down == p->n_up;
}

static bool peer_is_up(void *arg)
{
    struct bed_peer *p = arg;

    return p->n_up > p->n_down;
}

static void test_every_close_code_arrives(void **state)
{
    static const unsigned codes[] = {
#define MK_CLOSE_X(name, code, text) code,
        MK_CLOSE_MAP(MK_CLOSE_X)
#undef MK_CLOSE_X
            999};
    struct bed_peer *a, *b;
    struct mk_dial d;
    struct bed *bed = setup_pair(state, &a, &b, &d);

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct mk_link *l = mk_net_link(a->net, &b->key.peer);
        struct bed_conv *c = bed_talk(a, l, "echo", "x"), *theirs = &b->convs[b->n_convs];
        unsigned ups = a->n_up;
        char text[40];

        snprintf(text, sizeof text, "because %u\n", codes[i]);
        await_bytes(bed, c, 1);
        assert_int_equal(mk_conv_send(c->c, MK_BYTES("last words", 10)), 0);
        mk_link_close(l, codes[i], text);
        assert_null(mk_net_link(a->net, &b->key.peer));
        assert_int_equal(mk_conv_send(c->c, MK_BYTES("x", 1)), MK_ECLOSED);
        assert_false(c->over); /* never from inside the call */
        assert_true(bed_until(bed, conv_is_over, theirs, 5000));
        while (a->n_down < ups)
            bed_run(bed, 1);
        assert_true(c->over);
        assert_int_equal(c->close, codes[i]);
        assert_int_equal(theirs->close, codes[i]);
        assert_int_equal(theirs->got.n, 10);
        text[strlen(text) - 1] = '?'; /* one line, on arrival */
        assert_string_equal(theirs->detail, text);
        assert_int_equal(b->down_close, codes[i]);
        assert_string_equal(b->down_detail, text);
        mk_net_undial(&d); /* its back-off has grown: these links do not last */
        bed_link(a, b, &d);
        assert_true(bed_until(bed, peer_is_up, b, 10000));
    }
    assert_string_equal(mk_close_name(9), "NO_CREDIT");
    assert_string_equal(mk_close_name(999), "UNKNOWN");
    bed_free(bed);
}

/* Both ends know it, and another link between the same peers has another one. */
static void test_both_ends_export_the_same(void **state)
{
    static const uint8_t nothing[32];
    bool secret = *(enum bed_kind *)*state != BED_VOUCHED;
    uint8_t ours[32], theirs[32], later[32];
    struct bed_peer *a, *b;
    struct mk_dial d;
    struct bed *bed = setup_pair(state, &a, &b, &d);
    unsigned downs = a->n_down;

    assert_int_equal(mk_link_exported(mk_net_link(a->net, &b->key.peer), ours), 0);
    assert_int_equal(mk_link_exported(mk_net_link(b->net, &a->key.peer), theirs), 0);
    assert_memory_equal(ours, theirs, sizeof ours);
    assert_int_equal(memcmp(ours, nothing, sizeof ours) != 0, secret);
    mk_link_close(mk_net_link(a->net, &b->key.peer), MK_CLOSE_NONE, "again");
    while (a->n_down == downs)
        bed_run(bed, 1);
    mk_net_undial(&d);
    bed_link(a, b, &d);
    assert_int_equal(mk_link_exported(mk_net_link(a->net, &b->key.peer), later), 0);
    assert_int_equal(memcmp(ours, later, sizeof ours) != 0, secret);
    bed_free(bed);
}

static void test_shutdown_and_return(void **state)
{
    struct bed_peer *a, *b;
    struct mk_dial d;
    struct bed *bed = setup_pair(state, &a, &b, &d);
    struct mk_link *l = mk_net_link(a->net, &b->key.peer);
    struct bed_conv *c = bed_talk(a, l, "echo", "x");
    char address[64];

    await_bytes(bed, c, 1);
    snprintf(address, sizeof address, "%s", b->address);
    bed_close(b);
    assert_true(b->convs[0].over);
    assert_int_equal(b->convs[0].close, MK_CLOSE_SHUTDOWN);
    assert_true(bed_until(bed, peer_is_down, a, 5000));
    assert_int_equal(a->down_close, MK_CLOSE_SHUTDOWN);
    assert_int_equal(c->close, MK_CLOSE_SHUTDOWN);
    bed_run(bed, 300);
    assert_int_equal(d.last_close, MK_CLOSE_UNREACHABLE);
    memset(b->convs, 0, sizeof b->convs);
    b->n_convs = b->n_up = b->n_down = 0;
    bed_open(bed, 1);
    mk_dial_add_address(&d, b->address); /* the port differs on loopback */
    assert_true(bed_until(bed, peer_is_up, a, 10000));
    assert_int_equal(d.last_close, MK_CLOSE_NONE);
    await_bytes(bed, bed_talk(a, mk_net_link(a->net, &b->key.peer), "echo", "again"), 5);
    bed_free(bed);
}

static void test_unneeded_link_goes(void **state)
{
    struct bed_peer *a, *b;
    struct mk_dial d;
    struct bed *bed = setup_pair(state, &a, &b, &d);
    struct bed_conv *c = bed_talk(a, mk_net_link(a->net, &b->key.peer), "echo", "x");

    mk_net_undial(&d);
    mk_net_undial(&d);
    await_bytes(bed, c, 1); /* a conversation holds it */
    mk_conv_close(c->c, MK_CLOSE_NONE, NULL);
    assert_true(bed_until(bed, peer_is_down, b, 5000));
    assert_int_equal(b->down_close, MK_CLOSE_NONE);
    assert_string_equal(b->down_detail, "not needed any more");
    bed_free(bed);
}

/* --- dialing ------------------------------------------------------------------------- */

static bool dial_has_failed(void *arg)
{
    return ((struct mk_dial *)arg)->last_close != MK_CLOSE_NONE;
}

static void test_wrong_peer(void **state)
{
    struct bed *bed = bed_new(*(enum bed_kind *)*state);
    struct bed_peer *a = bed_open(bed, 0), *b = bed_open(bed, 1), *c = bed_open(bed, 2);
    char expect[MK_REASON_MAX], hex[MK_ID_HEX];
    struct mk_net_stats s;
    struct mk_dial d;

    mk_net_dial(a->net, &d, &c->key.peer, b->address);
    assert_true(bed_until(bed, dial_has_failed, &d, 5000));
    bed_run(bed, 20); /* the reason's way */
    assert_int_equal(d.last_close, MK_CLOSE_WRONG_PEER);
    snprintf(expect, sizeof expect, "%s answered at %s", mk_peer_hex(&b->key.peer, hex),
             b->address);
    assert_string_equal(d.last_detail, expect);
    mk_net_stats(b->net, &s);
    assert_int_equal(s.refused_by[MK_CLOSE_WRONG_PEER], s.handshakes_refused);
    assert_true(s.handshakes_refused > 0);
    assert_int_equal(s.handshakes, 0);
    assert_non_null(strstr(s.last_refusal, "WRONG_PEER: "));
    /* A second address, the right one. */
    mk_dial_add_address(&d, c->address);
    assert_true(bed_until(bed, peer_is_up, c, 10000));
    assert_true(mk_peer_eq(&a->last_up, &c->key.peer));
    bed_free(bed);
}

static void test_own_key(void **state)
{
    struct bed *bed = bed_new(*(enum bed_kind *)*state);
    struct bed_peer *a = bed_open(bed, 0);
    struct mk_net_stats s;
    struct mk_dial d;

    mk_net_dial(a->net, &d, &a->key.peer, a->address);
    for (mk_net_stats(a->net, &s); s.dials < 2; mk_net_stats(a->net, &s))
        bed_run(bed, 10);
    assert_int_equal(a->n_up, 0);
    assert_int_equal(s.links, 0);
    bed_free(bed);
}

static void test_other_network(void **state)
{
    struct bed *bed = bed_new(*(enum bed_kind *)*state);
    struct bed_peer *a = bed_open(bed, 0);
    struct bed_peer *b = bed_open_as(bed, 1, 2, mk_id_of_text(MK_STR("elsewhere")));
    struct mk_dial d;

    mk_net_dial(a->net, &d, &b->key.peer, b->address);
    assert_true(bed_until(bed, dial_has_failed, &d, 5000));
    assert_int_equal(d.last_close, MK_CLOSE_OTHER_NETWORK);
    assert_int_equal(a->n_up + b->n_up, 0);
    bed_free(bed);
}

static void test_back_off(void **state)
{
    struct bed *bed = bed_new(*(enum bed_kind *)*state);
    struct bed_peer *a = bed_open(bed, 0);
    const char *nobody = bed->w != NULL ? "n9:7000" : "127.0.0.1:1";
    struct mk_net_stats s;
    struct mk_dial d, other;

    if (bed->w != NULL)
        world_node(bed->w, 9); /* up, and not listening */
    mk_net_dial(a->net, &d, &(struct mk_peer){{1}}, nobody);
    mk_net_dial(a->net, &other, &(struct mk_peer){{2}}, "rubbish");
    assert_true(bed_until(bed, dial_has_failed, &d, 5000));
    assert_true(bed_until(bed, dial_has_failed, &other, 5000));
    assert_int_equal(d.last_close, MK_CLOSE_UNREACHABLE);
    assert_int_equal(other.last_close, MK_CLOSE_UNREACHABLE);
    assert_string_equal(other.last_detail, "rubbish is no address");
    mk_net_undial(&other);
    mk_net_stats(a->net, &s);
    s.dials -= 2;
    bed_run(bed, bed->w != NULL ? 60000 : 1000);
    mk_net_stats(a->net, &s);
    /* 50 ms doubling to 5 s, each jittered by up to a half. */
    assert_in_range(s.dials, bed->w != NULL ? 15 : 4, bed->w != NULL ? 36 : 9);
    bed_free(bed);
}

static bool both_settled(void *arg)
{
    struct bed *bed = arg;
    struct bed_peer *a = &bed->peers[0], *b = &bed->peers[1];

    return mk_net_link(a->net, &b->key.peer) != NULL && mk_net_link(b->net, &a->key.peer) != NULL;
}

static void test_dialing_each_other(void **state)
{
    unsigned rounds = *(enum bed_kind *)*state == BED_VOUCHED ? 200 : 20;

    for (unsigned i = 0; i < rounds; i++) {
        struct bed *bed = bed_new(*(enum bed_kind *)*state);
        struct bed_peer *a = bed_open(bed, 0), *b = bed_open(bed, 1);
        struct bed_conv *c;
        struct mk_dial da, db;

        mk_net_dial(a->net, &da, &b->key.peer, b->address);
        if (bed->w != NULL) /* from at once to clearly later */
            world_run(bed->w, i % 10 == 0 ? 0 : world_chaos(bed->w, 4) + i % 4);
        mk_net_dial(b->net, &db, &a->key.peer, a->address);
        assert_true(bed_until(bed, both_settled, bed, 5000));
        c = bed_talk(a, mk_net_link(a->net, &b->key.peer), "echo", "x");
        bed_run(bed, bed->w != NULL ? 3000 : 50);
        assert_true(both_settled(bed));
        assert_int_equal(a->n_up - a->n_down, 1);
        assert_int_equal(b->n_up - b->n_down, 1);
        assert_null(mk_net_next_link(a->net, mk_net_next_link(a->net, NULL)));
        assert_int_equal(a->n_up, 1); /* the first one up is kept */
        assert_int_equal(c->got.n, 1);
        bed_free(bed);
    }
}

static void test_second_instance_replaces_first(void **state)
{
    struct bed_peer *a, *b, *again;
    struct mk_dial d, d2;
    struct bed *bed = setup_pair(state, &b, &a, &d); /* b dials a, as does the other b */

    again = bed_open_as(bed, 2, 1, MK_UNIVERSE);
    mk_net_undial(&d);
    bed_run(bed, 50);
    mk_net_dial(b->net, &d, &a->key.peer, a->address);
    assert_true(bed_until(bed, peer_is_up, a, 5000));
    mk_net_dial(again->net, &d2, &a->key.peer, a->address);
    assert_true(bed_until(bed, peer_is_up, again, 5000));
    assert_true(bed_until(bed, peer_is_down, b, 5000));
    assert_int_equal(b->down_close, MK_CLOSE_DUPLICATE);
    assert_int_equal(a->n_up - a->n_down, 1);
    bed_free(bed);
}

/* --- the simulated world alone ------------------------------------------------------- */

static void test_silence_ends_a_link(void **state)
{
    struct bed_peer *a, *b;
    struct mk_dial d;
    struct bed *bed = setup_pair(state, &a, &b, &d);
    uint64_t events, at;

    bed_run(bed, 3000);
    events = world_events(bed->w);
    bed_run(bed, 600000);
    assert_int_equal(a->n_down, 0); /* pings keep it */
    assert_true(world_events(bed->w) - events < 600 / 15 * 30);
    world_cut(bed->w, 0, 1);
    world_cut(bed->w, 1, 0);
    at = world_time(bed->w);
    assert_true(bed_until(bed, peer_is_down, a, 60000));
    if (a->down_close == MK_CLOSE_IDLE) /* else the world has told that it broke */
        assert_in_range(world_time(bed->w) - at, 29000, 47000);
    else
        assert_int_equal(a->down_close, MK_CLOSE_LOST);
    world_heal(bed->w);
    assert_true(bed_until(bed, peer_is_up, a, 30000));
    bed_free(bed);
}

static bool settled_with_one(void *arg)
{
    struct bed *bed = arg;
    struct bed_peer *a = &bed->peers[0];

    return a->n_up - a->n_down == 1 && mk_net_next_link(a->net, NULL) != NULL &&
           mk_net_next_link(a->net, mk_net_next_link(a->net, NULL)) == NULL;
}

/* Of the keys 1 and 2 the one with the lesser peer id. */
static uint8_t lesser_key(void)
{
    struct mk_key k[2];
    uint8_t seed[32];
    int order;

    for (unsigned i = 0; i < 2; i++) {
        memset(seed, (int)i + 1, sizeof seed);
        mk_key_from_seed(&k[i], seed);
    }
    order = mk_peer_cmp(&k[0].peer, &k[1].peer);
    mk_key_done(&k[0]);
    mk_key_done(&k[1]);
    return order < 0 ? 1 : 2;
}

/* Swarm seed 573. Two peers dial each other; while the judge asks whether the first link lives, a
 * second process with the other's key comes: the first link ends for that one, and the telling of
 * its end lets the one that waited take the place. At each moment of the race. */
static void test_a_third_link_while_the_first_ends(void **state)
{
    for (unsigned after = 0; after < 60; after++) {
        struct bed *bed = bed_new_seed(*(enum bed_kind *)*state, 573 + after);
        uint8_t judge = lesser_key();
        struct bed_peer *a = bed_open_as(bed, 0, judge, MK_UNIVERSE);
        struct bed_peer *b = bed_open_as(bed, 1, 3 - judge, MK_UNIVERSE);
        struct bed_peer *again = bed_open_as(bed, 2, 3 - judge, MK_UNIVERSE);
        struct mk_dial da, db, dc;

        world_link(bed->w, WORLD_ALL, WORLD_ALL, (struct world_link){40000, 40000, 0, 0});
        mk_net_dial(a->net, &da, &b->key.peer, b->address);
        mk_net_dial(b->net, &db, &a->key.peer, a->address);
        world_run(bed->w, after * 5);
        mk_net_dial(again->net, &dc, &a->key.peer, a->address);
        world_run(bed->w, 1000);
        mk_net_undial(&db); /* one process of that key is enough */
        assert_true(bed_until(bed, settled_with_one, bed, 20000));
        bed_free(bed);
    }
}

/* One run with some of everything; its hash. */
static uint64_t run_hash(enum bed_kind kind)
{
    struct bed *bed = bed_new(kind);
    struct bed_peer *a, *b;
    struct mk_dial da, db;
    uint64_t hash;

    if (kind == BED_SIM_TLS)
        world_hash_bytes(bed->w, false);
    a = bed_open(bed, 0);
    b = bed_open(bed, 1);
    mk_net_dial(a->net, &da, &b->key.peer, b->address);
    mk_net_dial(b->net, &db, &a->key.peer, a->address);
    assert_true(bed_until(bed, both_settled, bed, 5000));
    for (unsigned i = 0; i < 20; i++)
        fill(bed_talk(a, mk_net_link(a->net, &b->key.peer), i % 2 ? "sink" : "shop", "x"));
    bed_run(bed, 1000);
    world_break(bed->w, 0, 1);
    bed_run(bed, 20000);
    hash = world_hash(bed->w);
    bed_free(bed);
    return hash;
}

static void test_same_seed_same_run(void **state)
{
    enum bed_kind kind = *(enum bed_kind *)*state;

    assert_true(run_hash(kind) == run_hash(kind));
}

/* --- small things -------------------------------------------------------------------- */

static void test_parse_address(void **state)
{
    static const char *const bad[] = {
        "",
        "@n:1",
        "zz02030405060708010203040506070801020304050607080102030405060708@n:1",
        "0102030405060708010203040506070801020304050607080102030405060708n:1",
        "0102030405060708010203040506070801020304050607080102030405060708@",
        "0102030405060708010203040506070801020304050607080102030405060708@n",
        "0102030405060708010203040506070801020304050607080102030405060708@:1",
        "0102030405060708010203040506070801020304050607080102030405060708@n:",
        "0102030405060708010203040506070801020304050607080102030405060708@n:0",
        "0102030405060708010203040506070801020304050607080102030405060708@n:01",
        "0102030405060708010203040506070801020304050607080102030405060708@n:65536",
        "0102030405060708010203040506070801020304050607080102030405060708@n:123456",
        "0102030405060708010203040506070801020304050607080102030405060708@n m:1",
        "0102030405060708010203040506070801020304050607080102030405060708@n@m:1",
    };
    struct mk_fault f;
    struct mk_peer peer;
    char host[256];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(mk_net_parse_address(&peer, host, mk_str_of(bad[i]), &f), MK_EMALFORMED);
    assert_int_equal(mk_net_parse_address(&peer, host,
                                          MK_STR("010203040506070801020304050607080102030405060708"
                                                 "0102030405060708@[::1]:65535"),
                                          &f),
                     0);
    assert_string_equal(host, "[::1]:65535");
    assert_int_equal(peer.b[31], 8);
}

static enum bed_kind kinds[] = {BED_VOUCHED, BED_SIM_TLS, BED_LIVE};

#define IN_SIMULATION(f)                              \
    {#f " vouched", f, NULL, NULL, &kinds[0]},        \
    {                                                 \
#f " TLS simulated", f, NULL, NULL, &kinds[1] \
    }
#define IN_WORLDS(f)                                 \
    IN_SIMULATION(f),                                \
    {                                                \
#f " TLS loopback", f, NULL, NULL, &kinds[2] \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLDS(test_echo),
        IN_WORLDS(test_many_conversations),
        IN_WORLDS(test_large_messages),
        IN_WORLDS(test_first_message_in_pieces),
        IN_WORLDS(test_slow_reader_stops_itself_alone),
        IN_WORLDS(test_small_messages_pass_large_ones),
        IN_WORLDS(test_a_turn_is_one_record),
        IN_WORLDS(test_refusals_of_conversations),
        IN_WORLDS(test_close_comes_after_what_was_queued),
        IN_WORLDS(test_every_close_code_arrives),
        IN_WORLDS(test_both_ends_export_the_same),
        IN_WORLDS(test_shutdown_and_return),
        IN_WORLDS(test_unneeded_link_goes),
        IN_WORLDS(test_wrong_peer),
        IN_WORLDS(test_own_key),
        IN_WORLDS(test_other_network),
        IN_WORLDS(test_back_off),
        IN_WORLDS(test_dialing_each_other),
        IN_WORLDS(test_second_instance_replaces_first),
        IN_SIMULATION(test_silence_ends_a_link),
        IN_SIMULATION(test_a_third_link_while_the_first_ends),
        IN_SIMULATION(test_same_seed_same_run),
        cmocka_unit_test(test_parse_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
