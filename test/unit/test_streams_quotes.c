/* test_streams_quotes.c - subscriptions whose two sides demand TDX quotes of each other. */
#include "stream_bed.h"

#include <mosaik/emulator.h>
#include <stdio.h>

#define ITEM 100u
#define VALID_S 120u /* of the collateral, from the beginning */

/* Peer 0 produces, peer 1 takes. Quotes of both under one emulated authority. */
struct scene {
    struct bed *b;
    struct mk_emulator *emulators[2];
    struct mk_buf root, collateral;
    struct mk_witness_options witness[2];
    struct mk_acl_clause clause;
    struct mk_acl_clause clauses[2]; /* of the producer: and readers are gated */
    struct mk_acl_composition of_taker, of_producer;
};

static struct mk_measurements measured(uint8_t n)
{
    struct mk_measurements m = {0};

    memset(m.mr_td.b, n, sizeof m.mr_td.b);
    return m;
}

static int load(void *arg, struct mk_collateral_put *p, struct mk_fault *reterr)
{
    struct scene *s = arg;

    (void)reterr;
    p->put(p, mk_buf_bytes(&s->collateral));
    return 0;
}

static void prepare(struct scene *s, unsigned i, uint8_t measures)
{
    struct mk_measurements m = measured(measures);
    uint8_t seed[32] = "an authority";

    assert_int_equal(mk_emulator_new(&s->emulators[i], seed, &m, NULL), 0);
    s->witness[i] = (struct mk_witness_options){.source = MK_SOURCE_EMULATOR,
                                                .emulator = s->emulators[i],
                                                .verifies = true,
                                                .load = load,
                                                .load_arg = s};
    s->b->peers[i].witness = &s->witness[i];
}

static struct scene *scene_new(uint64_t seed, uint8_t producer, uint8_t taker)
{
    struct scene *s = mk_alloc(sizeof *s);
    struct mk_measurements m = measured(1);
    uint64_t now_s;

    s->b = bed_new(seed);
    now_s = mk_wall_ms(world_node(s->b->w, 0)) / 1000;
    prepare(s, 0, producer);
    prepare(s, 1, taker);
    mk_emulator_root(s->emulators[0], &s->root);
    assert_int_equal(
        mk_emulator_collateral(s->emulators[0], now_s - 60, now_s + VALID_S, &s->collateral, NULL),
        0);
    for (unsigned i = 0; i < 2; i++)
        s->witness[i].root = mk_buf_bytes(&s->root);
    s->clause.tag = mk_acl_clause_RequireTdx;
    s->clause.u.require_tdx.measurements = m;
    s->clauses[0] = s->clause;
    s->clauses[1].tag = mk_acl_clause_GateReaders;
    s->of_taker.clauses = (struct mk_acl_clauses){&s->clause, 1};
    s->of_producer.clauses = (struct mk_acl_clauses){s->clauses, 2};
    world_hash_bytes(s->b->w, false); /* ECDSA draws numbers of OpenSSL's own */
    return s;
}

static struct bed_taker *open_both(struct scene *s)
{
    bed_produce(s->b, 0, (struct mk_producer_options){.acl = &s->of_producer});
    if (s->b->peers[1].net == NULL)
        bed_up(s->b, 1, NULL, 0);
    return bed_take(s->b, 1, 0, (struct mk_consumer_options){.acl = &s->of_taker});
}

static void scene_free(struct scene *s)
{
    bed_free(s->b);
    mk_emulator_free(s->emulators[0]);
    mk_emulator_free(s->emulators[1]);
    mk_buf_done(&s->root);
    mk_buf_done(&s->collateral);
    mk_free(s);
}

static struct mk_witness_status status(struct scene *s, unsigned i)
{
    struct mk_witness_status st;

    mk_witness_status(mk_network_witness(s->b->peers[i].net), &st);
    return st;
}

static void test_both_sides_show_and_judge(void **state)
{
    struct scene *s = scene_new(50, 1, 1);
    struct bed_taker *t = open_both(s);

    (void)state;
    bed_until_subscribed(t);
    bed_until_last(t, bed_send(s->b, 0, 100, ITEM));
    world_run(s->b->w, 60000);
    assert_true(t->subscribed);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(status(s, i).verifications, 1);
        assert_int_equal(status(s, i).quotes, 1);
    }
    assert_int_equal(bed_stats(s->b, 0).refused, 0); /* having to wait is no refusal */
    scene_free(s);
}

static void test_it_ends_with_the_collateral(void **state)
{
    struct scene *s = scene_new(51, 1, 1);
    struct bed_taker *t = open_both(s);

    (void)state;
    bed_until_subscribed(t);
    bed_until_last(t, bed_send(s->b, 0, 10, ITEM));
    world_run(s->b->w, (VALID_S + 5) * 1000);
    assert_false(t->subscribed);
    assert_non_null(strstr(t->detail, "RequireTdx"));
    assert_non_null(strstr(t->detail, "expired"));
    assert_int_equal(bed_stats(s->b, 0).subscribers, 0);
    scene_free(s);
}

static void refused(uint64_t seed, uint8_t producer, uint8_t taker, bool shows)
{
    struct scene *s = scene_new(seed, producer, taker);
    struct bed_taker *t;

    if (!shows) {
        s->witness[1].source = MK_SOURCE_NONE;
        s->witness[1].emulator = NULL;
    }
    t = open_both(s);
    bed_until_not(t);
    world_run(s->b->w, 10000);
    assert_false(t->subscribed);
    assert_int_equal(t->n_items, 0);
    if (strstr(t->detail, "clause 0 RequireTdx: ") == NULL)
        fail_msg("refused by something else: %s", t->detail);
    scene_free(s);
}

static void test_a_subscriber_without_a_quote_is_refused(void **state)
{
    (void)state;
    refused(52, 1, 1, /* shows= */ false);
}

static void test_a_subscriber_of_another_build_is_refused(void **state)
{
    (void)state;
    refused(53, 1, 2, true);
}

static void test_a_producer_of_another_build_is_refused(void **state)
{
    (void)state;
    refused(54, 2, 1, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_sides_show_and_judge),
        cmocka_unit_test(test_it_ends_with_the_collateral),
        cmocka_unit_test(test_a_subscriber_without_a_quote_is_refused),
        cmocka_unit_test(test_a_subscriber_of_another_build_is_refused),
        cmocka_unit_test(test_a_producer_of_another_build_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
