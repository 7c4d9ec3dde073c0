/* test_streams_live.c - streams on this machine's loopback, with TLS: the calls that block,
 * and many subscribers of which one does not read. */
#include "unit.h"

#include <mosaik/loop.h>
#include <mosaik/stream.h>
#include <stdio.h>

#define SUBSCRIBERS 16u
#define ITEMS 20000u
#define ITEM 128u
#define WAIT_MS 60000u

static const struct mk_id surface = {{7}};

struct live {
    struct mk_env *env;
    struct mk_network *server, *nets[SUBSCRIBERS];
    struct mk_producer *producer;
    struct mk_consumer *consumers[SUBSCRIBERS];
    uint64_t last[SUBSCRIBERS], lost[SUBSCRIBERS];
    unsigned n_reading;
};

static void live_item(struct mk_consumer *c, uint64_t seq, struct mk_bytes item)
{
    uint64_t *last = mk_consumer_owner(c);

    assert_int_equal(item.n, ITEM);
    assert_int_equal(seq, *last + 1);
    *last = seq;
}

static void live_lost(struct mk_consumer *c, uint64_t first, uint64_t last)
{
    uint64_t *at = mk_consumer_owner(c);

    assert_int_equal(first, *at + 1);
    *at = last;
    at[SUBSCRIBERS] += last - first + 1; /* of `lost` */
}

static void live_open(struct live *l, struct mk_producer_options o, unsigned n)
{
    static const struct mk_consumer_cbs cbs = {.item = live_item, .lost = live_lost};
    struct mk_consumer_options c = {.surface = surface};
    char address[64];

    *l = (struct live){.n_reading = n};
    o.surface = surface;
    assert_int_equal(mk_loop_open(&l->env, NULL, NULL), 0);
    assert_int_equal(mk_network_open(l->env, &l->server,
                                     &(struct mk_network_options){.listen = "127.0.0.1:0"}, NULL),
                     0);
    assert_int_equal(mk_producer_open(l->server, &l->producer, &o), 0);
    snprintf(address, sizeof address, "127.0.0.1:%u", mk_network_port(l->server));
    c.producer = *mk_network_peer(l->server);
    c.address = address;
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(
            mk_network_open(l->env, &l->nets[i], &(struct mk_network_options){0}, NULL), 0);
        assert_int_equal(mk_consumer_open(l->nets[i], &l->consumers[i], &c, &cbs, &l->last[i]), 0);
    }
}

static void live_close(struct live *l)
{
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        mk_network_close(l->nets[i]);
    mk_network_close(l->server);
    mk_loop_free(l->env);
}

static void live_send(struct live *l, unsigned n)
{
    uint8_t item[ITEM] = {0};

    while (n-- > 0)
        mk_producer_send(l->producer, MK_BYTES(item, sizeof item));
}

/** All but the first, which may be paused. */
static bool others_have_all(void *arg)
{
    struct live *l = arg;
    struct mk_producer_stats s;

    mk_producer_stats(l->producer, &s);
    for (unsigned i = 1; i < l->n_reading; i++)
        if (l->last[i] < s.sent)
            return false;
    return true;
}

static bool first_has_all(void *arg)
{
    struct live *l = arg;
    struct mk_producer_stats s;

    mk_producer_stats(l->producer, &s);
    return l->last[0] == s.sent;
}

static void test_waiting(void **state)
{
    struct mk_fault fault;
    struct live l;

    (void)state;
    live_open(&l, (struct mk_producer_options){0}, 2);
    assert_int_equal(mk_producer_wait_subscribed(l.producer, 2, WAIT_MS), 0);
    assert_int_equal(mk_producer_wait_subscribed(l.producer, 3, 50), MK_ETIMEDOUT);
    assert_int_equal(mk_consumer_wait_subscribed(l.consumers[0], WAIT_MS, &fault), 0);
    assert_int_equal(mk_consumer_wait_subscribed(l.consumers[1], WAIT_MS, &fault), 0);
    live_close(&l);
}

static void test_waiting_in_vain(void **state)
{
    struct mk_acl_clause clauses[2] = {{.tag = mk_acl_clause_PeerList},
                                       {.tag = mk_acl_clause_GateReaders}};
    struct mk_acl_composition acl = {.clauses = {clauses, 2}};
    struct mk_peer somebody = {{1}};
    struct mk_fault fault;
    struct live l;

    (void)state;
    clauses[0].u.peer_list.peers.v = &somebody;
    clauses[0].u.peer_list.peers.n = 1;
    live_open(&l, (struct mk_producer_options){.acl = &acl}, 1);
    assert_int_equal(mk_consumer_wait_subscribed(l.consumers[0], WAIT_MS, &fault), MK_EREFUSED);
    assert_string_equal(fault.text, "clause 0 PeerList: the peer is not listed");
    mk_producer_close(l.producer);
    mk_network_close(l.server);
    l.server = NULL;
    mk_consumer_close(l.consumers[0]);
    live_close(&l);
}

/** 2.5 MB a subscriber, one of sixteen does not read until the end: it is told what the ring
 * lost meanwhile, and the producer never held more for it than its credit. */
static void test_one_of_many_stalls(void **state)
{
    struct mk_subscriber_stats s;
    struct mk_producer_stats p;
    struct live l;

    (void)state;
    live_open(&l, (struct mk_producer_options){.retain_items = 4096, .slow = MK_SLOW_DROP},
              SUBSCRIBERS);
    assert_int_equal(mk_producer_wait_subscribed(l.producer, SUBSCRIBERS, WAIT_MS), 0);
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        assert_int_equal(mk_consumer_wait_subscribed(l.consumers[i], WAIT_MS, NULL), 0);
    mk_consumer_pause(l.consumers[0], true);
    for (unsigned k = 0; k < ITEMS; k += 1000) {
        live_send(&l, 1000);
        assert_true(mk_loop_run_until(l.env, others_have_all, &l, WAIT_MS));
    }
    assert_int_equal(l.last[0], 0);
    mk_producer_stats(l.producer, &p);
    assert_true(p.retained_items <= 4096 && p.retained_bytes <= 4096 * (ITEM + 2));
    for (unsigned i = 0; mk_producer_subscriber(l.producer, i, &s); i++)
        assert_true(s.delivered == ITEMS ||
                    (s.stalled && s.delivered_bytes < (1u << 20) + (64u << 10)));
    mk_consumer_pause(l.consumers[0], false);
    assert_true(mk_loop_run_until(l.env, first_has_all, &l, WAIT_MS));
    mk_producer_stats(l.producer, &p);
    assert_true(l.lost[0] > 0);
    assert_int_equal(p.dropped, l.lost[0]);
    for (unsigned i = 1; i < SUBSCRIBERS; i++)
        assert_int_equal(l.lost[i], 0);
    live_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_waiting_in_vain),
        cmocka_unit_test(test_one_of_many_stalls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
