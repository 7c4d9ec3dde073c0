/* test_streams_rogue.c - producers and consumers that do not keep to the protocol: each is
 * closed with a named reason, nothing it says is believed, and the others go on. */
#include "stream_bed.h"

#include "net/net.h"
#include "streams/producer.h"
#include <stdio.h>

#define ROGUE 9u

/* A peer with a net and nothing else. */
struct rogue {
    struct bed *bed;
    struct mk_net *net;
    struct mk_dial dial;
    struct mk_service service;
    struct mk_conv *conv;
    unsigned n_accepted, n_messages, close;
    char detail[MK_REASON_MAX];
    struct mk_subscribe hello; /* the last, without its tickets */
};

static void rogue_message(struct mk_conv *c, struct mk_bytes m)
{
    ((struct rogue *)c->owner)->n_messages++;
    mk_conv_consumed(c, m.n);
}

static void rogue_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct rogue *r = c->owner;

    r->conv = NULL;
    r->close = close;
    snprintf(r->detail, sizeof r->detail, "%s", detail);
}

static const struct mk_conv_cbs rogue_cbs = {.message = rogue_message, .closed = rogue_closed};

static unsigned rogue_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                             char detail[MK_REASON_MAX])
{
    struct rogue *r = mk_container_of(s, struct rogue, service);
    struct mk_arena arena = {0};

    (void)detail;
    assert_int_equal(mk_decode(&r->hello, &mk_subscribe_type, first, &arena, NULL), 0);
    mk_arena_done(&arena);
    c->cbs = &rogue_cbs;
    c->owner = r;
    r->conv = c;
    r->n_accepted++;
    return 0;
}

static void rogue_open(struct rogue *r, struct bed *b)
{
    struct mk_env *e = world_node(b->w, ROGUE);

    *r = (struct rogue){.bed = b};
    mk_env_vouch(e, &b->peers[ROGUE].key.peer);
    assert_int_equal(mk_net_open(e, &r->net,
                                 &(struct mk_net_options){.key = &b->peers[ROGUE].key,
                                                          .network = MK_UNIVERSE,
                                                          .vouched = true}),
                     0);
    assert_int_equal(mk_net_listen(r->net, "n9:7000", NULL), 0);
    r->service = (struct mk_service){.proto = "stream", .accept = rogue_accept};
    assert_int_equal(mk_net_serve(r->net, &r->service), 0);
}

static void rogue_close(struct rogue *r)
{
    if (r->dial.impl != NULL)
        mk_net_undial(&r->dial);
    mk_net_close(r->net);
}

static bool rogue_talks(void *arg)
{
    return ((struct rogue *)arg)->conv != NULL;
}

static bool rogue_is_silent(void *arg)
{
    return ((struct rogue *)arg)->conv == NULL;
}

static void rogue_say(struct rogue *r, const struct mk_stream_message *m)
{
    struct mk_buf b = {0};

    mk_encode(&b, &mk_stream_message_type, m);
    assert_int_equal(mk_conv_send(r->conv, mk_buf_bytes(&b)), 0);
    mk_buf_done(&b);
}

/* --- a producer that lies ------------------------------------------------------------------- */

static const uint8_t seq_7[8] = {7};
static const struct mk_bytes item_7 = {seq_7, 8};
static const mk_stream_item_d some_items[1] = {{seq_7, 8}};

#define BEGIN(r, at)                                                           \
    {                                                                          \
        .tag = mk_stream_message_Begin, .u.begin = {.run = (r), .next = (at) } \
    }
#define BATCH(f, new_)                               \
    {                                                \
        .tag = mk_stream_message_Batch, .u.batch = { \
            .first = (f),                            \
            .newest = (new_),                        \
            .items = {some_items, 1}                 \
        }                                            \
    }
#define LOST(f, l)                                                            \
    {                                                                         \
        .tag = mk_stream_message_Lost, .u.lost = {.first = (f), .last = (l) } \
    }

/** After a good beginning at 7, or instead of one. */
static void test_lying_producers(void **state)
{
    static const struct mk_stream_message lies[][3] = {
        {BEGIN(5, 0)},                           /* before the first */
        {BEGIN(0, 7)},                           /* no run */
        {BATCH(7, 7)},                           /* nothing began */
        {LOST(7, 9)},                            /* nothing began */
        {BEGIN(5, 7), BEGIN(5, 7)},              /* twice */
        {BEGIN(5, 7), BATCH(6, 7)},              /* again */
        {BEGIN(5, 7), BATCH(8, 8)},              /* left out */
        {BEGIN(5, 7), BATCH(7, 6)},              /* newer than the newest */
        {BEGIN(5, 7), BATCH(7, 7), BATCH(7, 7)}, /* twice */
        {BEGIN(5, 7), LOST(8, 9)},               /* left out */
        {BEGIN(5, 7), LOST(7, 6)},               /* backwards */
        {BEGIN(5, 7), LOST(7, UINT64_MAX)},      /* nothing could follow */
        {BEGIN(5, UINT64_MAX), BATCH(UINT64_MAX, UINT64_MAX), BATCH(0, 0)}, /* round again */
    };

    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct bed *b = bed_new(100 + i);
        struct bed_taker *t;
        struct rogue r;

        rogue_open(&r, b);
        t = bed_take(b, 1, ROGUE, (struct mk_consumer_options){0});
        t->loose = true;
        assert_true(world_run_until(b->w, rogue_talks, &r, 10000));
        for (unsigned k = 0; k < 3; k++) {
            static const struct mk_stream_message none;

            if (k == 0 || memcmp(&lies[i][k], &none, sizeof none) != 0)
                rogue_say(&r, &lies[i][k]);
        }
        bed_until_not(t);
        assert_int_equal(t->close, MK_CLOSE_MALFORMED);
        assert_string_equal(t->detail, "out of order, or not a stream message");
        assert_true(world_run_until(b->w, rogue_is_silent, &r, 1000));
        assert_int_equal(r.close, MK_CLOSE_MALFORMED);
        /* It tries again, in case it was a mistake. */
        assert_true(world_run_until(b->w, rogue_talks, &r, 10000));
        rogue_close(&r);
        bed_free(b);
    }
}

static void test_garbage(void **state)
{
    struct bed *b = bed_new(120);
    struct bed_taker *t;
    struct rogue r;

    (void)state;
    rogue_open(&r, b);
    t = bed_take(b, 1, ROGUE, (struct mk_consumer_options){0});
    assert_true(world_run_until(b->w, rogue_talks, &r, 10000));
    assert_int_equal(mk_conv_send(r.conv, item_7), 0);
    bed_until_not(t);
    assert_int_equal(t->close, MK_CLOSE_MALFORMED);
    rogue_close(&r);
    bed_free(b);
}

/** It takes the subscription and never answers. */
static void test_silent_producer(void **state)
{
    struct bed *b = bed_new(121);
    struct bed_taker *t;
    struct rogue r;

    (void)state;
    rogue_open(&r, b);
    t = bed_take(b, 1, ROGUE, (struct mk_consumer_options){.after = 33, .run = 44});
    bed_until_not(t);
    assert_int_equal(t->close, MK_CLOSE_IDLE);
    assert_string_equal(t->detail, "the producer did not answer the subscription");
    assert_true(t->closed_ms >= 10000 && t->closed_ms < 11000);
    assert_int_equal(r.hello.after, 33);
    assert_int_equal(r.hello.run, 44);
    rogue_close(&r);
    bed_free(b);
}

/* --- a consumer that lies -----------------------------------------------------------------------
 */

static bool rogue_linked(void *arg)
{
    struct rogue *r = arg;

    return mk_net_link(r->net, &r->dial.peer) != NULL;
}

static void rogue_subscribe(struct rogue *r, struct mk_bytes first)
{
    assert_int_equal(
        mk_conv_open(mk_net_link(r->net, &r->dial.peer), &r->conv, "stream", first, &rogue_cbs, r),
        0);
}

static void rogue_subscribe_to(struct rogue *r, struct mk_subscribe hello)
{
    struct mk_buf b = {0};

    mk_encode(&b, &mk_subscribe_type, &hello);
    rogue_subscribe(r, mk_buf_bytes(&b));
    mk_buf_done(&b);
}

static bool rogue_has_messages(void *arg)
{
    return ((struct rogue *)arg)->n_messages >= 2;
}

static void test_lying_consumers(void **state)
{
    static const struct mk_subscribe places[] = {
        {.run = 1, .after = UINT64_MAX},
        {.run = 0, .after = UINT64_MAX},
        {.run = UINT64_MAX, .after = 0},
        {.run = 1, .after = 5},
    };
    struct mk_conv *many[MK_STREAM_PEER_MAX + 1];
    struct bed *b = bed_new(122);
    struct bed_taker *t;
    struct rogue r;

    (void)state;
    bed_produce(b, 0, (struct mk_producer_options){.retain_items = 10, .slow = MK_SLOW_CLOSE});
    t = bed_take(b, 1, 0, (struct mk_consumer_options){0});
    bed_until_subscribed(t);
    bed_until_last(t, bed_send(b, 0, 20, 8));
    rogue_open(&r, b);
    mk_net_dial(r.net, &r.dial, &b->peers[0].key.peer, "n0:7000");
    assert_true(world_run_until(b->w, rogue_linked, &r, 10000));

    rogue_subscribe(&r, item_7);
    assert_true(world_run_until(b->w, rogue_is_silent, &r, 1000));
    assert_int_equal(r.close, MK_CLOSE_MALFORMED);
    rogue_subscribe_to(&r, (struct mk_subscribe){.surface = {{1, 2, 3}}});
    assert_true(world_run_until(b->w, rogue_is_silent, &r, 1000));
    assert_int_equal(r.close, MK_CLOSE_NOT_FOUND);
    /* One that talks back. */
    rogue_subscribe_to(&r, (struct mk_subscribe){.surface = bed_surface});
    assert_true(world_run_until(b->w, rogue_has_messages, &r, 1000));
    assert_int_equal(mk_conv_send(r.conv, item_7), 0);
    assert_true(world_run_until(b->w, rogue_is_silent, &r, 1000));
    assert_int_equal(r.close, MK_CLOSE_MALFORMED);
    assert_string_equal(r.detail, "a subscriber sends no messages");
    /* One that wants all the places, and shows what nobody looks at. */
    for (unsigned i = 0; i <= MK_STREAM_PEER_MAX; i++) {
        static const uint8_t ticket[MK_TICKET_MAX];
        mk_stream_ticket_d tickets[MK_TICKETS_MAX];

        for (unsigned k = 0; k < MK_TICKETS_MAX; k++)
            tickets[k] = MK_BYTES(ticket, sizeof ticket);
        rogue_subscribe_to(&r, (struct mk_subscribe){.surface = bed_surface,
                                                     .tickets = {tickets, MK_TICKETS_MAX}});
        many[i] = r.conv;
        world_run(b->w, 20);
    }
    assert_null(r.conv);
    assert_int_equal(r.close, MK_CLOSE_BUSY);
    assert_string_equal(r.detail, "the peer has its 16 subscriptions");
    assert_int_equal(bed_stats(b, 0).subscribers, 1 + MK_STREAM_PEER_MAX);
    mk_list_each(n, &b->peers[0].producer->subscribers)
        assert_int_equal(mk_container_of(n, struct mk_subscriber, node)->shown.bearer.n_tickets, 0);
    for (unsigned i = 0; i < MK_STREAM_PEER_MAX; i++)
        mk_conv_close(many[i], MK_CLOSE_NONE, NULL);
    world_run(b->w, 20);
    /* Places where nobody can be: it gets what there is. */
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct mk_subscribe hello = places[i];

        hello.surface = bed_surface;
        r.n_messages = 0;
        rogue_subscribe_to(&r, hello);
        assert_true(world_run_until(b->w, rogue_has_messages, &r, 1000));
        mk_conv_close(r.conv, MK_CLOSE_NONE, NULL);
        r.conv = NULL;
    }
    bed_until_last(t, bed_send(b, 0, 20, 8));
    assert_int_equal(t->n_items, 40);
    world_run(b->w, 100);
    assert_int_equal(bed_stats(b, 0).subscribers, 1);
    rogue_close(&r);
    bed_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lying_producers),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_silent_producer),
        cmocka_unit_test(test_lying_consumers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
