/* What strangers do, and peers that break the rules: refused with the named reason,
 * within bounds, and the others go on. */
#include "net_rogue.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#define GREATEST 9 /* byte of a key whose peer id is above all others used here */
#define WANTED 3   /* above p's, too */
#define LEAST 12   /* below */
#define ROGUE_NODE 40

static struct bed *setup_one(void **state, struct bed_peer **p)
{
    struct bed *bed = bed_new(*(enum bed_kind *)*state);

    *p = bed_open(bed, 0);
    return bed;
}

#define SHORT_MS 2000u

/* The same with a net that does not wait for long: what waits for it in real time is soon over. */
static struct bed *setup_short(void **state, struct bed_peer **p)
{
    struct bed *bed = bed_new(*(enum bed_kind *)*state);

    bed->handshake_ms = SHORT_MS;
    *p = bed_open(bed, 0);
    return bed;
}

/* A rogue whose link to p is up. */
static struct rogue *setup_rogue(void **state, struct bed_peer **p)
{
    struct bed *bed = setup_one(state, p);
    struct rogue *r = rogue_new(bed, ROGUE_NODE, GREATEST, /* raw= */ false);

    rogue_link(r, *p);
    return r;
}

static void teardown(struct rogue *r)
{
    struct bed *bed = r->bed;

    rogue_free(r);
    bed_free(bed);
}

static void put_open(struct rogue *r, uint32_t conv, const char *proto, size_t n, bool more)
{
    size_t len = strlen(proto);

    mk_frame_put_header(&r->out, MK_FRAME_OPEN | (more ? MK_FRAME_MORE : 0), conv, 1 + len + n);
    mk_buf_put_u8(&r->out, (uint8_t)len);
    mk_buf_put(&r->out, proto, len);
    memset(mk_buf_grow(&r->out, n), 'o', n);
}

static void put_data(struct rogue *r, uint32_t conv, size_t n, bool more)
{
    mk_frame_put_header(&r->out, MK_FRAME_DATA | (more ? MK_FRAME_MORE : 0), conv, n);
    memset(mk_buf_grow(&r->out, n), 'd', n);
}

static void put_raw_header(struct rogue *r, uint8_t type, uint32_t len, uint32_t conv)
{
    uint8_t h[4] = {type, (uint8_t)len, (uint8_t)(len >> 8), (uint8_t)(len >> 16)};

    mk_buf_put(&r->out, h, 4);
    mk_buf_put_u32le(&r->out, conv);
}

/* --- rules broken on a link that is up ----------------------------------------------- */

static void break_unknown_type(struct rogue *r)
{
    put_raw_header(r, 77, 0, 0);
}
static void break_huge_length(struct rogue *r)
{
    put_raw_header(r, MK_FRAME_DATA, 0xffffff, 1);
}
static void break_length_by_one(struct rogue *r)
{
    put_raw_header(r, MK_FRAME_GOAWAY, MK_FRAME_BODY_MAX + 1, 0);
}
static void break_second_hello(struct rogue *r)
{
    mk_frame_put_hello(&r->out, mk_protocols, &MK_UNIVERSE, r->instance);
}
static void break_second_ready(struct rogue *r)
{
    mk_frame_put_header(&r->out, MK_FRAME_READY, 0, 0);
}
static void break_unknown_conv(struct rogue *r)
{
    put_data(r, 1, 10, false);
}
static void break_their_conv(struct rogue *r)
{
    put_open(r, 2, "echo", 0, false); /* even numbers belong to the side that was dialed */
}
static void break_conv_again(struct rogue *r)
{
    put_open(r, 5, "echo", 0, false);
    put_open(r, 3, "echo", 0, false);
}
static void break_conv_zero(struct rogue *r)
{
    put_open(r, 0, "echo", 0, false);
}
static void break_empty_proto(struct rogue *r)
{
    put_open(r, 1, "", 10, false);
}
static void break_credit_zero(struct rogue *r)
{
    put_open(r, 1, "sink", 0, false);
    mk_frame_put_header(&r->out, MK_FRAME_CREDIT, 1, 4);
    mk_buf_put_u32le(&r->out, 0);
}
static void break_credit_above(struct rogue *r)
{
    put_open(r, 1, "sink", 0, false);
    mk_frame_put_credit(&r->out, 1, 1);
}
static void break_pong(struct rogue *r)
{
    mk_frame_put_token(&r->out, MK_FRAME_PONG, 1);
}
static void break_text(struct rogue *r)
{
    mk_frame_put_header(&r->out, MK_FRAME_GOAWAY, 0, 4);
    mk_buf_put(&r->out, "\x01\x00\xc3(", 4);
}
static void break_more_of_nothing(struct rogue *r)
{
    put_open(r, 1, "sink", 0, true);
}
static void break_message_limit(struct rogue *r)
{
    put_open(r, 1, "sink", 0, false);
    for (unsigned i = 0; i < 65; i++)
        put_data(r, 1, MK_FRAME_BODY_MAX, true);
}
static void break_first_message_limit(struct rogue *r)
{
    put_open(r, 1, "sink", 1, true);
    for (unsigned i = 0; i < 64; i++)
        put_data(r, 1, MK_FRAME_BODY_MAX, true);
}
static void break_pieces_limit(struct rogue *r)
{
    for (uint32_t i = 0; i < 5; i++)
        put_open(r, 1 + 2 * i, "sink", 100, true);
}
/* Never given back, since its reader is greedy. */
static void break_credit(struct rogue *r)
{
    put_open(r, 1, "sink", 0, false);
    for (unsigned i = 0; i < 69; i++) /* 68 times 16 KiB is the whole credit */
        put_data(r, 1, MK_FRAME_BODY_MAX, false);
}

static const struct broken_rule {
    const char *name;
    void (*put)(struct rogue *r);
    unsigned close;
} broken_rules[] = {
    {"unknown type", break_unknown_type, MK_CLOSE_BAD_FRAME},
    {"huge length", break_huge_length, MK_CLOSE_TOO_LONG},
    {"length over the limit by one", break_length_by_one, MK_CLOSE_TOO_LONG},
    {"second hello", break_second_hello, MK_CLOSE_BAD_FRAME},
    {"second ready", break_second_ready, MK_CLOSE_BAD_FRAME},
    {"unknown conversation", break_unknown_conv, MK_CLOSE_BAD_FRAME},
    {"number of the other side", break_their_conv, MK_CLOSE_BAD_FRAME},
    {"number used before", break_conv_again, MK_CLOSE_BAD_FRAME},
    {"conversation 0", break_conv_zero, MK_CLOSE_BAD_FRAME},
    {"no protocol's name", break_empty_proto, MK_CLOSE_BAD_FRAME},
    {"credit of nothing", break_credit_zero, MK_CLOSE_BAD_FRAME},
    {"credit above the window", break_credit_above, MK_CLOSE_BAD_FRAME},
    {"pong unasked", break_pong, MK_CLOSE_BAD_FRAME},
    {"text not UTF-8", break_text, MK_CLOSE_BAD_FRAME},
    {"empty piece", break_more_of_nothing, MK_CLOSE_BAD_FRAME},
    {"message over its limit", break_message_limit, MK_CLOSE_TOO_LONG},
    {"first message over its limit", break_first_message_limit, MK_CLOSE_TOO_LONG},
    {"five messages in pieces", break_pieces_limit, MK_CLOSE_TOO_LONG},
    {"no credit", break_credit, MK_CLOSE_NO_CREDIT},
};

static void test_broken_rules(void **state)
{
    for (size_t i = 0; i < sizeof broken_rules / sizeof broken_rules[0]; i++) {
        struct bed_peer *p;
        struct rogue *r = setup_rogue(state, &p);
        struct mk_net_stats s;

        p->greedy = true;
        broken_rules[i].put(r);
        rogue_send(r);
        rogue_expect(r, broken_rules[i].close);
        assert_int_equal(p->n_down, 1);
        assert_int_equal(p->down_close, broken_rules[i].close);
        mk_net_stats(p->net, &s);
        assert_int_equal(s.links, 0);
        assert_int_equal(s.unfinished_bytes, 0);
        for (unsigned c = 0; c < p->n_convs; c++)
            assert_true(p->convs[c].over);
        teardown(r);
    }
}

/* --- limits that cost a conversation or a link --------------------------------------- */

struct count {
    struct rogue *r;
    enum mk_frame_type type;
    unsigned n;
};

static bool has_frames(void *arg)
{
    struct count *c = arg;

    return c->r->n_frames[c->type] >= c->n;
}

static unsigned keep_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                            char detail[MK_REASON_MAX])
{
    static const struct mk_conv_cbs cbs = {0};

    (void)s;
    (void)first;
    (void)detail;
    c->cbs = &cbs;
    mk_conv_close(c, MK_CLOSE_NONE, NULL); /* accepted, said nothing, gone */
    return 0;
}

static void test_conversations_have_a_limit(void **state)
{
    struct bed_peer *p;
    struct rogue *r = setup_rogue(state, &p);
    struct count c = {r, MK_FRAME_CLOSE, 1};

    /* First messages that never end keep their conversations, at most four; so the
     * limit is reached with those that are being closed in one turn. */
    struct mk_service keep = {.proto = "keep", .accept = keep_accept};

    assert_int_equal(mk_net_serve(p->net, &keep), 0);
    for (uint32_t i = 0; i < MK_NET_CONVS_MAX + 1; i++)
        put_open(r, 1 + 2 * i, "keep", 0, false);
    rogue_send(r);
    c.n = MK_NET_CONVS_MAX + 1;
    assert_true(bed_until(r->bed, has_frames, &c, 5000));
    assert_false(r->ended);
    mk_net_unserve(&keep);
    teardown(r);
}

static void test_unread_answers_end_the_link(void **state)
{
    struct bed_peer *p;
    struct rogue *r = setup_rogue(state, &p);
    uint32_t conv = 1;

    mk_sock_pause(r->sock, true);
    while (p->n_down == 0) { /* each refused; nobody reads the refusals */
        for (unsigned i = 0; i < 5000; i++, conv += 2)
            put_open(r, conv, "none", 0, false);
        rogue_send(r);
        bed_run(r->bed, 1);
        assert_true(conv < 4000000);
    }
    assert_int_equal(p->down_close, MK_CLOSE_SLOW);
    teardown(r);
}

static void test_pings_are_answered_once_a_turn(void **state)
{
    struct bed_peer *p;
    struct rogue *r = setup_rogue(state, &p);
    struct count c = {r, MK_FRAME_PONG, 1};

    for (uint64_t i = 0; i < 1000; i++)
        mk_frame_put_token(&r->out, MK_FRAME_PING, i);
    rogue_send(r);
    assert_true(bed_until(r->bed, has_frames, &c, 5000));
    bed_run(r->bed, 50);
    assert_true(r->n_frames[MK_FRAME_PONG] < 20);
    teardown(r);
}

/* --- before a link is up -----------------------------------------------------------------------
 */

static bool rogue_is_over(void *arg)
{
    return ((struct rogue *)arg)->ended;
}

/* Refused: ended, or (the other side waits a while for our end) told by TLS's alert. */
static bool rogue_is_refused(void *arg)
{
    struct rogue *r = arg;

    return r->ended || (r->bed->w == NULL && r->raw_in > 0);
}

static bool rogue_is_connected(void *arg)
{
    return ((struct rogue *)arg)->connected;
}

static struct rogue *rogue_connected(struct bed *bed, struct bed_peer *p, bool raw)
{
    struct rogue *r = rogue_new(bed, ROGUE_NODE, GREATEST, raw);

    r->no_hello = true;
    rogue_dial(r, p->address);
    assert_true(bed_until(bed, rogue_is_connected, r, 5000));
    return r;
}

static bool rogue_is_ready(void *arg)
{
    return ((struct rogue *)arg)->chan->ready;
}

static void test_bad_hellos(void **state)
{
    for (unsigned i = 0; i < 6; i++) {
        static const unsigned expect[] = {MK_CLOSE_OTHER_VERSION, MK_CLOSE_OTHER_NETWORK,
                                          MK_CLOSE_BAD_FRAME,     MK_CLOSE_BAD_FRAME,
                                          MK_CLOSE_BAD_FRAME,     MK_CLOSE_TOO_LONG};
        struct bed_peer *p;
        struct bed *bed = setup_one(state, &p);
        struct rogue *r = rogue_connected(bed, p, /* raw= */ false);
        struct mk_net_stats s;

        assert_true(bed_until(bed, rogue_is_ready, r, 5000));
        if (i == 0) { /* of a version to come, in a shape to come */
            mk_frame_put_header(&r->out, MK_FRAME_HELLO, 0, 9);
            mk_buf_put_u32le(&r->out, MK_FRAME_MAGIC);
            mk_buf_put_u32le(&r->out, (MK_PROTOCOL_NEWEST + 1u) | (MK_PROTOCOL_NEWEST + 2u) << 16);
            mk_buf_put_u8(&r->out, 0);
        } else if (i == 1) {
            mk_frame_put_hello(&r->out, mk_protocols, &MK_ZERO_ID, r->instance);
        } else if (i == 2) { /* magic */
            mk_frame_put_header(&r->out, MK_FRAME_HELLO, 0, 56);
            memset(mk_buf_grow(&r->out, 56), 0, 56);
        } else if (i == 3) { /* length */
            mk_frame_put_header(&r->out, MK_FRAME_HELLO, 0, 8);
            mk_buf_put_u32le(&r->out, MK_FRAME_MAGIC);
            mk_buf_put_u32le(&r->out, MK_PROTOCOL_OLDEST | MK_PROTOCOL_NEWEST << 16);
        } else if (i == 4) { /* something else first */
            put_open(r, 1, "echo", 0, false);
        } else {
            put_raw_header(r, MK_FRAME_HELLO, MK_FRAME_BODY_MAX + 1, 0);
        }
        rogue_send(r);
        rogue_expect(r, expect[i]);
        mk_net_stats(p->net, &s);
        assert_int_equal(s.refused_by[expect[i]], 1);
        assert_int_equal(s.handshakes, 0);
        assert_non_null(strstr(s.last_refusal, mk_close_name(expect[i])));
        assert_int_equal(p->n_up, 0);
        teardown(r);
    }
}

static void test_silence_before_the_hello(void **state)
{
    struct bed_peer *p;
    struct bed *bed = setup_short(state, &p);
    struct rogue *mute = rogue_connected(bed, p, /* raw= */ true);
    struct rogue *half = rogue_connected(bed, p, /* raw= */ false);
    struct rogue *begun = rogue_connected(bed, p, /* raw= */ true);
    struct mk_net_stats s;

    /* The beginning of a TLS record, or of a frame, that says it is longer. */
    rogue_send_raw(begun, "\x16\x03\x01\x02\x00\x01\x00", bed->kind == BED_VOUCHED ? 1 : 7);
    assert_true(bed_until(bed, rogue_is_over, mute, 7000));
    assert_true(bed_until(bed, rogue_is_over, begun, 7000));
    rogue_expect(half, MK_CLOSE_BAD_HANDSHAKE);
    assert_string_equal(half->text, "no hello within 2000 ms");
    mk_net_stats(p->net, &s);
    assert_int_equal(s.refused_by[MK_CLOSE_BAD_HANDSHAKE], 3);
    assert_int_equal(s.handshakes, 0);
    rogue_free(mute);
    rogue_free(begun);
    teardown(half);
}

static void test_garbage(void **state)
{
    struct bed_peer *p;
    struct bed *bed = setup_short(state, &p);
    struct mk_net_stats s;
    unsigned rounds = bed->w != NULL ? 40 : 4;
    uint32_t x = 1;

    for (unsigned i = 0; i < rounds; i++) {
        struct rogue *r = rogue_connected(bed, p, /* raw= */ true);
        uint8_t junk[2000];

        for (size_t j = 0; j < sizeof junk; j++)
            junk[j] = (uint8_t)((x = x * 1103515245 + 12345) >> 16);
        if (i % 4 == 1)
            memcpy(junk, "GET / HTTP/1.1\r\n\r\n", 18);
        if (i % 4 == 2 && (bed->w != NULL || i == 2)) /* says it is longer than it is */
            memcpy(junk, "\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03", 11);
        if (i % 4 == 3) /* vouched: a length that never comes; refused on the header */
            memcpy(junk, "\x01\xff\xff\xff\0\0\0\0", 8);
        rogue_send_raw(r, junk, sizeof junk);
        assert_true(bed_until(bed, rogue_is_refused, r, 7000));
        rogue_free(r);
    }
    bed_run(bed, 10);
    mk_net_stats(p->net, &s);
    assert_int_equal(s.handshakes_refused, rounds);
    assert_int_equal(s.refused_by[MK_CLOSE_BAD_HANDSHAKE] + s.refused_by[MK_CLOSE_BAD_FRAME] +
                         s.refused_by[MK_CLOSE_TOO_LONG],
                     rounds);
    bed_free(bed);
}

static void test_too_much_before_the_hello(void **state)
{
    struct bed_peer *p;
    struct bed *bed = setup_one(state, &p);
    struct rogue *r = rogue_connected(bed, p, /* raw= */ true);
    struct mk_net_stats s;
    uint8_t block[1000] = {0x16, 3, 1, 0x40, 0}; /* TLS: one handshake record of 16 KiB */

    if (bed->kind == BED_VOUCHED) {
        uint8_t hello[8] = {MK_FRAME_HELLO, 0, 0x40, 0};

        memcpy(block, hello, 8);
    } else {
        memcpy(block + 5, "\x01\x00\x3f\xfc\x03\x03", 6);
    }
    rogue_send_raw(r, block, sizeof block);
    memset(block, 0, sizeof block);
    for (unsigned i = 0; i < 30; i++)
        rogue_send_raw(r, block, sizeof block);
    assert_true(bed_until(bed, rogue_is_refused, r, 4000));
    mk_net_stats(p->net, &s);
    assert_int_equal(s.handshakes_refused, 1);
    /* Where its whole record fits, TLS may find out for itself first. */
    assert_int_equal(s.refused_by[MK_CLOSE_TOO_LONG] + s.refused_by[MK_CLOSE_BAD_HANDSHAKE] +
                         s.refused_by[MK_CLOSE_BAD_FRAME],
                     1);
    teardown(r);
}

/* --- which link is the link ----------------------------------------------------------------------
 */

struct up_down {
    struct bed_peer *p;
    unsigned up, down;
};

static bool peer_counts(void *arg)
{
    struct up_down *u = arg;

    return u->p->n_up >= u->up && u->p->n_down >= u->down;
}

/* p has dialed the rogue, which is up; now the rogue dials, as one that has lost the
 * first link, or in a race. */
static void contend(void **state, bool alive)
{
    struct bed_peer *p;
    struct bed *bed = setup_one(state, &p);
    struct rogue *x = rogue_new(bed, ROGUE_NODE, GREATEST, /* raw= */ false);
    struct rogue *y = rogue_new(bed, ROGUE_NODE, GREATEST, /* raw= */ false);
    struct up_down up = {p, 1, 0};
    struct mk_dial d;
    char address[64] = "n40:7000";

    if (bed->w == NULL) {
        rogue_listen(x, "127.0.0.1:0");
        snprintf(address, sizeof address, "127.0.0.1:%u", mk_listener_port(&x->listener));
    } else {
        rogue_listen(x, address);
    }
    x->answers_pings = true; /* the first one, at least */
    mk_net_dial(p->net, &d, &x->key.peer, address);
    assert_true(bed_until(bed, peer_counts, &up, 5000));
    bed_run(bed, 50);
    x->answers_pings = alive;
    rogue_dial(y, p->address);
    if (alive) {
        rogue_expect(y, MK_CLOSE_DUPLICATE);
        assert_int_equal(p->n_up, 1);
        assert_false(x->ended);
    } else {
        up = (struct up_down){p, 2, 1};
        assert_true(bed_until(bed, peer_counts, &up, 5000));
        rogue_expect(x, MK_CLOSE_LOST);
        assert_int_equal(y->n_frames[MK_FRAME_READY], 1);
    }
    rogue_free(x);
    teardown(y);
}

static void test_living_link_wins(void **state)
{
    contend(state, /* alive= */ true);
}

static void test_dead_link_loses(void **state)
{
    contend(state, /* alive= */ false);
}

/* --- crowds -------------------------------------------------------------------------- */

/* Said hello, has the lesser id, and never says READY. */
static void test_never_ready(void **state)
{
    struct bed_peer *p;
    struct bed *bed = setup_one(state, &p);
    static struct rogue *crowd[300];
    struct mk_net_stats s;
    unsigned n_busy = 0;

    for (unsigned i = 0; i < 300; i++) {
        struct rogue *r = crowd[i] = rogue_new(bed, ROGUE_NODE, LEAST, /* raw= */ false);

        rogue_dial(r, p->address);
        for (unsigned j = 0; j < 2000 && r->n_frames[MK_FRAME_HELLO] == 0; j++)
            bed_run(bed, 1);
        assert_int_equal(r->n_frames[MK_FRAME_HELLO], 1);
    }
    bed_run(bed, 10);
    for (unsigned i = 0; i < 300; i++)
        n_busy += crowd[i]->goaway == MK_CLOSE_BUSY ? 1 : 0;
    assert_int_equal(n_busy, 300 - 256);
    rogue_expect(crowd[0], MK_CLOSE_BAD_HANDSHAKE);
    assert_string_equal(crowd[0]->text, "no ready within 5000 ms");
    mk_net_stats(p->net, &s);
    assert_int_equal(s.refused_by[MK_CLOSE_BUSY], n_busy);
    assert_int_equal(p->n_up, 0);
    for (unsigned i = 0; i < 300; i++)
        rogue_free(crowd[i]);
    bed_free(bed);
}

/* The second number of statm, in pages of 4 KiB. */
static long rss_kib(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    char line[200];
    long pages = 0;

    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    fclose(f);
    for (const char *p = strchr(line, ' ') + 1; *p >= '0' && *p <= '9'; p++)
        pages = pages * 10 + (*p - '0');
    return pages * 4;
}

static bool echo_has(void *arg)
{
    struct bed_conv *c = arg;

    return c->got.n >= 100;
}

#define CROWD 500u
#define LOBBY 256u /* connections without a byte that one address may have */

static bool crowd_is_refused(void *arg)
{
    struct bed_peer *p = arg;
    struct mk_net_stats s;

    mk_net_stats(p->net, &s);
    return s.refused_by[MK_CLOSE_BUSY] >=
           CROWD - (p->bed->kind == BED_VOUCHED ? 2 * MK_NET_HANDSHAKES_MAX : LOBBY);
}

/* 500 connections at once that say nothing, half a hello, or garbage: a link between
 * two others goes on, memory and handshakes are bounded, and newcomers get in again. */
static void test_crowd(void **state)
{
    struct bed_peer *a;
    struct bed *bed = setup_one(state, &a);
    struct bed_peer *b = bed_open(bed, 1), *late = bed_open(bed, 2);
    struct mk_dial d, d2;
    struct bed_conv *c = bed_talk(a, bed_link(a, b, &d), "echo", "");
    static struct rogue *crowd[CROWD];
    long before = rss_kib();
    struct mk_net_stats s;
    struct up_down up = {late, 1, 0};

    for (unsigned i = 0; i < CROWD; i++) {
        crowd[i] = rogue_new(bed, ROGUE_NODE, GREATEST, /* raw= */ true);
        rogue_dial(crowd[i], b->address);
    }
    for (unsigned turn = 0; turn < 100; turn++) {
        mk_net_stats(b->net, &s);
        assert_in_range(s.handshakes, 0, MK_NET_HANDSHAKES_MAX);
        assert_int_equal(mk_conv_send(c->c, MK_BYTES("x", 1)), 0);
        bed_run(bed, 5);
        if (turn == 50)
            for (unsigned i = 0; i < CROWD; i += 2)
                if (crowd[i]->sock != NULL && !crowd[i]->ended)
                    rogue_send_raw(crowd[i], "\x16\x03\x01\x01", 4);
    }
    assert_true(bed_until(bed, echo_has, c, 5000));
    assert_true(rss_kib() - before < 64 * 1024);
    assert_true(bed_until(bed, crowd_is_refused, b, 10000));
    mk_net_stats(b->net, &s);
    assert_non_null(strstr(s.last_refusal, "BUSY: too many"));
    mk_net_dial(late->net, &d2, &b->key.peer, b->address);
    assert_true(bed_until(bed, peer_counts, &up, 30000));
    mk_net_stats(b->net, &s);
    assert_int_equal(s.links, 2);
    for (unsigned i = 0; i < CROWD; i++)
        rogue_free(crowd[i]);
    bed_free(bed);
}

/* A rogue that p dials too, in vain: so it is no stranger. */
static struct rogue *rogue_wanted(struct bed *bed, struct bed_peer *p, struct mk_dial *d)
{
    struct rogue *r = rogue_new(bed, ROGUE_NODE, WANTED, /* raw= */ false);

    mk_net_dial(p->net, d, &r->key.peer, bed->w != NULL ? "n3:1" : "127.0.0.1:1");
    return r;
}

#define SILENT 40u
#define FLOOD_NS (5 * MK_S) /* of the ten: the other five are for what comes then */

/* So many that more are too many. False: it took so long that they will be forgotten soon. */
static bool flood(struct bed *bed, struct bed_peer *p)
{
    uint64_t begun = mk_now(p->env);

    for (unsigned i = 0; i < MK_NET_LINKS_SOURCE_MAX; i++) {
        struct rogue *r = rogue_connected(bed, p, /* raw= */ true);

        rogue_send_raw(r, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10);
        bed_run(bed, 2);
        rogue_free(r);
    }
    return mk_now(p->env) - begun < FLOOD_NS;
}

/* More connections from one address in ten seconds than are tolerable, one after the other: then
 * few of its handshakes go on at once. Who says who he is comes in by them, flood or no flood. */
static void test_flood_from_one_address(void **state)
{
    struct bed_peer *p;
    struct bed *bed = setup_one(state, &p);
    struct rogue *silent[SILENT], *r;
    struct mk_dial d = {0};
    struct mk_net_stats s;

    while (!flood(bed, p))
        bed_run(bed, 10000); /* on a busy machine: until they are forgotten, then again */
    for (unsigned i = 0; i < SILENT; i++) { /* the beginning of a record, and no more */
        silent[i] = rogue_connected(bed, p, /* raw= */ true);
        rogue_send_raw(silent[i], "\x16", 1);
    }
    bed_run(bed, 50);
    mk_net_stats(p->net, &s);
    assert_in_range(s.handshakes, 1, 8);
    assert_in_range(s.refused_by[MK_CLOSE_BUSY], SILENT - 8, SILENT);
    assert_non_null(strstr(s.last_refusal, "too many connections from its address"));
    bed_run(bed, 120);
    r = rogue_new(bed, ROGUE_NODE, GREATEST, /* raw= */ false);
    rogue_link(r, p);
    rogue_free(r);
    bed_run(bed, 120);
    r = rogue_wanted(bed, p, &d);
    rogue_link(r, p);
    rogue_free(r);
    mk_net_undial(&d);
    for (unsigned i = 0; i < SILENT; i++)
        rogue_free(silent[i]);
    if (bed->w != NULL) {
        bed_run(bed, 10000);
        r = rogue_new(bed, ROGUE_NODE, GREATEST, /* raw= */ false);
        rogue_link(r, p);
        rogue_free(r);
    }
    bed_free(bed);
}

/* Connections that never say anything, as fast as they come: they take no handshake's place, the
 * oldest give way, and whoever speaks is served at once, from their address too. */
static void test_silent_crowd(void **state)
{
    struct bed_peer *p;
    struct bed *bed = setup_one(state, &p);
    static struct rogue *crowd[CROWD];
    struct mk_net_stats s;
    struct rogue *r;

    for (unsigned i = 0; i < CROWD; i++)
        crowd[i] = rogue_connected(bed, p, /* raw= */ true);
    bed_run(bed, 20);
    mk_net_stats(p->net, &s);
    assert_int_equal(s.handshakes, 0);
    assert_int_equal(s.refused_by[MK_CLOSE_BUSY], CROWD - LOBBY);
    assert_non_null(strstr(s.last_refusal, "too many silent connections from its address"));
    r = rogue_new(bed, ROGUE_NODE, GREATEST, /* raw= */ false);
    rogue_dial(r, p->address);
    for (unsigned i = 0; i < 1000 && p->n_up == 0; i++)
        bed_run(bed, 1);
    assert_int_equal(p->n_up, 1);
    assert_false(r->ended);
    assert_true(bed_until(bed, rogue_is_over, crowd[CROWD - 1], 7000));
    mk_net_stats(p->net, &s);
    assert_int_equal(s.refused_by[MK_CLOSE_BAD_HANDSHAKE] + s.refused_by[MK_CLOSE_BUSY], CROWD);
    for (unsigned i = 0; i < CROWD; i++)
        rogue_free(crowd[i]);
    teardown(r);
}

/* One address keeps every handshake's place, and another one comes. */
static void test_slow_crowd_elsewhere(void **state)
{
    struct bed_peer *p;
    struct bed *bed = setup_one(state, &p);
    static struct rogue *crowd[MK_NET_HANDSHAKES_MAX];
    struct mk_net_stats s;
    struct rogue *r;

    for (unsigned i = 0; i < MK_NET_HANDSHAKES_MAX; i++) {
        crowd[i] = rogue_connected(bed, p, /* raw= */ true);
        rogue_send_raw(crowd[i], "\x16", 1);
    }
    bed_run(bed, 150); /* less than any of them has by the rule for its own address */
    mk_net_stats(p->net, &s);
    assert_int_equal(s.handshakes, MK_NET_HANDSHAKES_MAX);
    r = rogue_new(bed, ROGUE_NODE + 1, GREATEST, /* raw= */ false);
    rogue_link(r, p);
    assert_int_equal(p->n_up, 1);
    mk_net_stats(p->net, &s);
    assert_int_equal(s.refused_by[MK_CLOSE_BUSY], 1);
    assert_non_null(strstr(s.last_refusal, "another address waits for its place"));
    for (unsigned i = 0; i < MK_NET_HANDSHAKES_MAX; i++)
        rogue_free(crowd[i]);
    teardown(r);
}

/* Strangers that do say who they are, one after the other: their address waits too. */
static void test_strangers_of_one_address(void **state)
{
    struct bed_peer *p;
    struct bed *bed = setup_one(state, &p);
    struct mk_dial d = {0};
    struct rogue *r;

    for (unsigned i = 0; i < MK_NET_STRANGERS_SOURCE_MAX; i++) {
        r = rogue_new(bed, ROGUE_NODE, GREATEST, /* raw= */ false);
        rogue_link(r, p);
        rogue_free(r);
    }
    r = rogue_new(bed, ROGUE_NODE, GREATEST, /* raw= */ false);
    rogue_dial(r, p->address);
    rogue_expect(r, MK_CLOSE_BUSY);
    assert_string_equal(r->text, "too many connections from its address");
    rogue_free(r);
    r = rogue_wanted(bed, p, &d);
    rogue_link(r, p);
    rogue_free(r);
    mk_net_undial(&d);
    bed_run(bed, 10000);
    r = rogue_new(bed, ROGUE_NODE, GREATEST, /* raw= */ false);
    rogue_link(r, p);
    rogue_free(r);
    bed_free(bed);
}

/* 600 peers with keys of their own, none of which starts a conversation. */
static void test_crowd_with_keys(void **state)
{
    struct bed_peer *p;
    struct bed *bed;
    static struct rogue *crowd[600];
    struct mk_net_stats s;
    long before = 0;

    if (getenv("MK_VALGRIND") != NULL) /* a crowd is late there */
        skip();
    bed = setup_one(state, &p);
    for (unsigned i = 0; i < 600; i++) {
        struct rogue *r = mk_alloc(sizeof *r);
        uint8_t seed[32] = {(uint8_t)i, (uint8_t)(i >> 8)};

        crowd[i] = r;
        r->bed = bed;
        r->env = bed_stranger_env(bed, ROGUE_NODE);
        mk_key_from_seed(&r->key, seed);
        if (bed->w != NULL)
            mk_env_vouch(r->env, &r->key.peer);
        if (bed->kind != BED_VOUCHED)
            assert_int_equal(mk_tls_open(&r->tls, &r->key), 0);
        rogue_dial(r, p->address);
        for (unsigned j = 0; j < 2000 && r->n_frames[MK_FRAME_HELLO] == 0; j++)
            bed_run(bed, 1);
        assert_int_equal(r->n_frames[MK_FRAME_HELLO], 1);
        if (mk_peer_cmp(&r->key.peer, &p->key.peer) < 0) {
            mk_frame_put_header(&r->out, MK_FRAME_READY, 0, 0);
            rogue_send(r);
        }
        if (i == 100)
            before = rss_kib();
    }
    bed_run(bed, 100);
    mk_net_stats(p->net, &s);
    assert_int_equal(p->n_up, 600);
    assert_int_equal(s.links, 512);
    assert_int_equal(crowd[0]->goaway, MK_CLOSE_BUSY);
    assert_string_equal(crowd[0]->text, "too many peers without a conversation");
    assert_int_equal(crowd[599]->goaway, 0);
    assert_true(rss_kib() - before < 128 * 1024); /* both sides live here */
    for (unsigned i = 0; i < 600; i++)
        rogue_free(crowd[i]);
    bed_free(bed);
}

/* --- TLS of another kind ------------------------------------------------------------- */

static X509 *make_cert(EVP_PKEY *subject, EVP_PKEY *signer, const EVP_MD *md)
{
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);

    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    ASN1_TIME_set_string(X509_getm_notBefore(x), "19700101000000Z");
    ASN1_TIME_set_string(X509_getm_notAfter(x), "99991231235959Z");
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"x", -1, -1, 0);
    X509_set_issuer_name(x, name);
    X509_set_pubkey(x, subject);
    assert_true(X509_sign(x, signer, md) > 0);
    return x;
}

enum odd_tls {
    ODD_NOTHING, /* as ours: must work */
    ODD_NO_CERT, /* TLS 1.3, no certificate */
    ODD_P256,    /* another kind of key */
    ODD_FORGED,  /* our key in a certificate that another key has signed */
    ODD_NO_ALPN,
    ODD_OTHER_ALPN,
    ODD_TLS12,
    ODD_CASES
};

static SSL_CTX *odd_context(enum odd_tls odd)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), *other;
    X509 *x;

    other = odd == ODD_P256 ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")
                            : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    if (odd == ODD_P256)
        x = make_cert(other, other, EVP_sha256());
    else
        x = make_cert(ed, odd == ODD_FORGED ? other : ed, NULL);
    if (odd != ODD_NO_CERT) {
        assert_int_equal(SSL_CTX_use_certificate(ctx, x), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(ctx, odd == ODD_P256 ? other : ed), 1);
    }
    if (odd != ODD_NO_ALPN)
        SSL_CTX_set_alpn_protos(ctx,
                                odd == ODD_OTHER_ALPN ? (const uint8_t *)"\x08http/1.1"
                                                      : (const uint8_t *)"\x08mosaik/1",
                                9);
    if (odd == ODD_TLS12)
        SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    X509_free(x);
    EVP_PKEY_free(ed);
    EVP_PKEY_free(other);
    return ctx;
}

struct odd_client {
    SSL *ssl;
    BIO *in, *out;
    struct mk_sock *sock;
    struct mk_connect connect;
    bool ended, said_hello, greeted;
};

static void odd_pump(struct odd_client *o)
{
    char buf[4096];
    int n;

    if (SSL_do_handshake(o->ssl) == 1 && !o->said_hello) {
        struct mk_buf hello = {0};
        uint8_t instance[MK_FRAME_INSTANCE] = {0};

        o->said_hello = true;
        mk_frame_put_hello(&hello, mk_protocols, &MK_UNIVERSE, instance);
        SSL_write(o->ssl, hello.p, (int)hello.n);
        mk_buf_done(&hello);
    }
    if (o->said_hello && SSL_read(o->ssl, buf, sizeof buf) > 0 && buf[0] == MK_FRAME_HELLO)
        o->greeted = true;
    while ((n = BIO_read(o->out, buf, sizeof buf)) > 0)
        if (!o->ended)
            mk_sock_write(o->sock, buf, (size_t)n);
    ERR_clear_error();
}

static void odd_read(struct mk_sock *s, const uint8_t *p, size_t n)
{
    struct odd_client *o = s->owner;

    BIO_write(o->in, p, (int)n);
    odd_pump(o);
}

static void odd_end(struct mk_sock *s, int status)
{
    (void)status;
    ((struct odd_client *)s->owner)->ended = true;
}

static const struct mk_sock_cbs odd_cbs = {odd_read, NULL, odd_end};

static void odd_connect_cb(struct mk_connect *c, struct mk_sock *s, int status)
{
    struct odd_client *o = mk_container_of(c, struct odd_client, connect);

    assert_int_equal(status, 0);
    o->sock = s;
    s->cbs = &odd_cbs;
    s->owner = o;
    odd_pump(o);
}

static bool odd_is_settled(void *arg)
{
    struct odd_client *o = arg;

    return o->ended || o->greeted;
}

static void test_tls_of_another_kind(void **state)
{
    for (enum odd_tls odd = ODD_NOTHING; odd < ODD_CASES; odd++) {
        struct bed_peer *p;
        struct bed *bed = setup_one(state, &p);
        SSL_CTX *ctx = odd_context(odd);
        struct odd_client o = {.ssl = SSL_new(ctx), .connect.cb = odd_connect_cb};
        struct mk_net_stats s;

        o.in = BIO_new(BIO_s_mem());
        o.out = BIO_new(BIO_s_mem());
        SSL_set_bio(o.ssl, o.in, o.out);
        SSL_set_connect_state(o.ssl);
        assert_int_equal(mk_connect(bed_stranger_env(bed, ROGUE_NODE), &o.connect, p->address), 0);
        assert_true(bed_until(bed, odd_is_settled, &o, 4000));
        mk_net_stats(p->net, &s);
        if (odd == ODD_NOTHING) {
            assert_true(o.greeted);
            assert_int_equal(s.handshakes_refused, 0);
        } else {
            assert_false(o.greeted);
            assert_int_equal(s.handshakes_refused, 1);
            assert_int_equal(s.refused_by[MK_CLOSE_BAD_HANDSHAKE], 1);
        }
        if (odd == ODD_FORGED)
            assert_non_null(strstr(s.last_refusal, "not signed by its own ed25519 key"));
        if (odd == ODD_P256)
            assert_non_null(strstr(s.last_refusal, "BAD_HANDSHAKE: "));
        SSL_free(o.ssl);
        SSL_CTX_free(ctx);
        mk_sock_close(o.sock);
        bed_free(bed);
    }
}

static enum bed_kind kinds[] = {BED_VOUCHED, BED_SIM_TLS, BED_LIVE};

#define IN_TLS(f)                                    \
    {#f " TLS simulated", f, NULL, NULL, &kinds[1]}, \
    {                                                \
#f " TLS loopback", f, NULL, NULL, &kinds[2] \
    }
/* Where the other world would show the same, in the time of real clocks. */
#define VOUCHED(f)                              \
    {                                           \
#f " vouched", f, NULL, NULL, &kinds[0] \
    }
#define SIMULATED(f)                                  \
    VOUCHED(f),                                       \
    {                                                 \
#f " TLS simulated", f, NULL, NULL, &kinds[1] \
    }
#define IN_WORLDS(f) {#f " vouched", f, NULL, NULL, &kinds[0]}, IN_TLS(f)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLDS(test_broken_rules),
        IN_WORLDS(test_conversations_have_a_limit),
        IN_WORLDS(test_unread_answers_end_the_link),
        IN_WORLDS(test_pings_are_answered_once_a_turn),
        IN_WORLDS(test_bad_hellos),
        IN_WORLDS(test_silence_before_the_hello),
        IN_WORLDS(test_garbage),
        IN_WORLDS(test_too_much_before_the_hello),
        IN_WORLDS(test_living_link_wins),
        IN_WORLDS(test_dead_link_loses),
        SIMULATED(test_never_ready),
        IN_WORLDS(test_crowd),
        IN_WORLDS(test_flood_from_one_address),
        IN_TLS(test_silent_crowd),
        SIMULATED(test_slow_crowd_elsewhere),
        VOUCHED(test_strangers_of_one_address),
        IN_WORLDS(test_crowd_with_keys),
        IN_TLS(test_tls_of_another_kind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
