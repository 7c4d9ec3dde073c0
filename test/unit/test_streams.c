/* test_streams.c - a producer and its subscribers: order, back-pressure, the two policies
 * for a slow one, resuming, what a restart does, and ends from inside callbacks. */
#include "stream_bed.h"

#include "node/network.h"
#include <mosaik/machine.h>
#include <stdio.h>

#define ITEM 100u

static const struct mk_consumer_options from_oldest = {0};
static const struct mk_consumer_options from_newest = {.from_newest = true};

/* --- order ----------------------------------------------------------------------------- */

static void test_all_in_order_for_each(void **state)
{
    struct bed *b = bed_new(1);
    struct bed_taker *t[3];
    uint64_t last;

    (void)state;
    bed_produce(b, 0, (struct mk_producer_options){0});
    for (unsigned i = 0; i < 3; i++)
        t[i] = bed_take(b, 1 + i, 0, from_oldest);
    for (unsigned i = 0; i < 3; i++)
        bed_until_subscribed(t[i]);
    bed_send(b, 0, 50, ITEM);
    world_run(b->w, 5);
    last = bed_send(b, 0, 5000, ITEM);
    for (unsigned i = 0; i < 3; i++) {
        bed_until_last(t[i], last);
        assert_int_equal(t[i]->first, 1);
        assert_int_equal(t[i]->n_items, 5050);
        assert_int_equal(t[i]->n_lost, 0);
    }
    assert_int_equal(bed_stats(b, 0).subscribers, 3);
    assert_int_equal(bed_stats(b, 0).dropped, 0);
    assert_int_equal(bed_stats(b, 0).bytes, 5050 * ITEM);
    bed_free(b);
}

static void test_newest_begins_with_what_comes(void **state)
{
    struct bed *b = bed_new(2);
    struct bed_taker *t;

    (void)state;
    bed_produce(b, 0, (struct mk_producer_options){0});
    bed_send(b, 0, 10, ITEM);
    t = bed_take(b, 1, 0, from_newest);
    bed_until_subscribed(t);
    bed_until_last(t, bed_send(b, 0, 1, ITEM));
    assert_int_equal(t->first, 11);
    bed_free(b);
}

/* The oldest that is retained, although much was sent before. */
static void test_oldest_of_a_lapped_ring(void **state)
{
    for (unsigned slow = 0; slow < 2; slow++) {
        struct bed *b = bed_new(3);
        struct bed_taker *t;

        (void)state;
        bed_produce(b, 0,
                    (struct mk_producer_options){.retain_items = 10, .slow = (enum mk_slow)slow});
        bed_send(b, 0, 35, ITEM);
        t = bed_take(b, 1, 0, from_oldest);
        bed_until_last(t, 35);
        assert_int_equal(t->first, 26);
        assert_int_equal(t->n_lost, 0); /* it never had a claim to them */
        assert_int_equal(bed_stats(b, 0).closed_slow, 0);
        bed_free(b);
    }
}

static void test_large_items(void **state)
{
    struct bed *b = bed_new(4);
    struct bed_taker *t;

    (void)state;
    bed_produce(b, 0, (struct mk_producer_options){0});
    t = bed_take(b, 1, 0, from_oldest);
    bed_send(b, 0, 3, ITEM);
    bed_send(b, 0, 10, MK_STREAM_ITEM_MAX);
    bed_until_last(t, bed_send(b, 0, 3, ITEM));
    assert_int_equal(t->n_items, 16);
    bed_free(b);
}

/** Each producer's order is kept; their numbers have nothing to do with each other. */
static void test_several_producers(void **state)
{
    struct bed *b = bed_new(5);
    struct bed_taker *t[3];

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        bed_produce(b, i, (struct mk_producer_options){0});
    for (unsigned i = 0; i < 3; i++)
        t[i] = bed_take(b, 3, i, from_oldest);
    for (unsigned k = 0; k < 20; k++) {
        for (unsigned i = 0; i < 3; i++)
            bed_send(b, i, 1 + k * i, ITEM);
        world_run(b->w, 1);
    }
    for (unsigned i = 0; i < 3; i++) {
        bed_until_last(t[i], bed_stats(b, i).sent);
        assert_int_equal(t[i]->n_items, bed_stats(b, i).sent);
        assert_int_equal(t[i]->first, 1);
    }
    bed_free(b);
}

static bool has_one_more(void *arg)
{
    const struct bed_taker *t = arg;

    return t->n_items == t->wait;
}

/** One item alone goes at once; many of one turn go together. */
static void test_latency_when_idle_batches_when_busy(void **state)
{
    struct bed *b = bed_new(17);
    struct mk_net_stats before, after;
    struct bed_taker *t;
    uint64_t begun;

    (void)state;
    world_link(b->w, WORLD_ALL, WORLD_ALL, (struct world_link){.min_us = 100, .mean_us = 100});
    bed_produce(b, 0, (struct mk_producer_options){0});
    t = bed_take(b, 1, 0, from_oldest);
    bed_until_subscribed(t);
    world_run(b->w, 1000);
    for (unsigned i = 1; i <= 10; i++) {
        t->wait = i;
        begun = world_time_ns(b->w);
        bed_send(b, 0, 1, 128);
        assert_true(world_run_until(b->w, has_one_more, t, 10));
        assert_true(world_time_ns(b->w) - begun <= 200 * 1000);
        world_run(b->w, 10);
    }
    mk_net_stats(b->peers[0].net->net, &before);
    bed_until_last(t, bed_send(b, 0, 5000, 128));
    mk_net_stats(b->peers[0].net->net, &after);
    assert_true(after.messages_out - before.messages_out <= 5000 * 130 / 15000);
    bed_free(b);
}

static void test_one_producer_a_surface(void **state)
{
    struct bed *b = bed_new(15);
    struct mk_producer *p = bed_produce(b, 0, (struct mk_producer_options){0}), *second = NULL;
    const struct mk_producer_options o = {.surface = bed_surface};

    (void)state;
    assert_int_equal(mk_producer_open(b->peers[0].net, &second, &o), MK_EEXISTS);
    assert_null(second);
    mk_producer_close(p);
    assert_int_equal(mk_producer_open(b->peers[0].net, &b->peers[0].producer, &o), 0);
    bed_free(b);
}

/** One declaration for both sides: name and schema are in the surface's id, so sides that mean
 * different things do not meet. */
static void test_a_declared_stream(void **state)
{
    static const struct mk_surface_spec specs[] = {
        {.kind = MK_SURFACE_STREAM, .name = "words", .value = &mk_text_type},
        {.kind = MK_SURFACE_STREAM, .name = "words", .value = &mk_u64_type},
        {.kind = MK_SURFACE_STREAM, .name = "other", .value = &mk_text_type},
    };
    static const struct mk_id stable = {{5}};
    struct mk_str word = MK_STR("a word of some length");
    struct bed *b = bed_new(16);
    struct bed_taker *t[3];
    struct mk_producer *p;

    (void)state;
    p = bed_produce(b, 0,
                    (struct mk_producer_options){.surface = mk_surface_id(&specs[0], &stable)});
    for (unsigned i = 0; i < 3; i++) {
        t[i] = bed_take(b, 1 + i, 0,
                        (struct mk_consumer_options){.surface = mk_surface_id(&specs[i], &stable)});
        t[i]->loose = true;
    }
    bed_until_subscribed(t[0]);
    assert_int_equal(mk_producer_send_datum(p, &mk_text_type, &word), 1);
    bed_until_last(t[0], 1);
    assert_int_equal(t[0]->bytes, word.n + 1);
    for (unsigned i = 1; i < 3; i++) {
        bed_until_not(t[i]);
        assert_int_equal(t[i]->close, 20 /* MK_CLOSE_NOT_FOUND */);
    }
    bed_free(b);
}

/* --- back-pressure and the slow one ------------------------------------------------------ */

/** One of eight does not read: the others notice nothing, and it misses nothing either as
 * long as the ring holds what it has not taken. */
static void test_one_stalls(void **state)
{
    struct bed *b = bed_new(6);
    struct bed_taker *t[8];
    uint64_t last = 0;

    (void)state;
    bed_produce(b, 0, (struct mk_producer_options){.slow = MK_SLOW_CLOSE});
    for (unsigned i = 0; i < 8; i++)
        t[i] = bed_take(b, 1 + i, 0, from_oldest);
    for (unsigned i = 0; i < 8; i++)
        bed_until_subscribed(t[i]);
    mk_consumer_pause(t[0]->c, true);
    for (unsigned k = 0; k < 50; k++) {
        last = bed_send(b, 0, 200, 1000);
        world_run(b->w, 20);
    }
    for (unsigned i = 1; i < 8; i++)
        bed_until_last(t[i], last);
    assert_int_equal(t[0]->n_items, 0);
    assert_true(bed_stats(b, 0).lag_items_max > 8000); /* its credit took a little over 1 MiB */
    assert_int_equal(bed_stats(b, 0).subscribers, 8);
    mk_consumer_pause(t[0]->c, false);
    bed_until_last(t[0], last);
    assert_int_equal(t[0]->n_items, last);
    assert_int_equal(t[0]->n_lost, 0);
    bed_free(b);
}

static void test_slow_one_is_closed_with_a_reason(void **state)
{
    struct bed *b = bed_new(7);
    struct bed_taker *slow, *fast;
    uint64_t last = 0, before;

    (void)state;
    bed_produce(b, 0, (struct mk_producer_options){.retain_items = 500, .slow = MK_SLOW_CLOSE});
    slow = bed_take(b, 1, 0, from_oldest);
    fast = bed_take(b, 2, 0, from_oldest);
    bed_until_subscribed(slow);
    bed_until_subscribed(fast);
    mk_consumer_pause(slow->c, true);
    for (unsigned k = 0; k < 40; k++) {
        last = bed_send(b, 0, 100, 1000);
        world_run(b->w, 20);
    }
    bed_until_last(fast, last);
    assert_int_equal(fast->n_lost, 0);
    assert_int_equal(bed_stats(b, 0).closed_slow, 1);
    assert_int_equal(bed_stats(b, 0).dropped, 0);
    assert_int_equal(slow->n_items, 0);
    /* It comes back: what is gone is told, the rest delivered, and it is not closed again. */
    mk_consumer_pause(slow->c, false);
    bed_until_not(slow); /* after what had come before it was closed */
    before = slow->n_items;
    assert_true(before > 1000 && before < 1200);
    bed_until_last(slow, last);
    assert_true(slow->n_lost > 0);
    assert_int_equal(slow->n_items + slow->n_lost, last);
    assert_int_equal(slow->n_lost, bed_stats(b, 0).missed);
    assert_int_equal(slow->n_closes[17 /* MK_CLOSE_SLOW */], 1);
    assert_int_equal(bed_stats(b, 0).closed_slow, 1);
    assert_int_equal(slow->n_items - before, 500);
    bed_until_last(slow, bed_send(b, 0, 1, ITEM));
    bed_free(b);
}

static void test_slow_one_drops_with_a_count(void **state)
{
    struct bed *b = bed_new(8);
    struct bed_taker *slow, *fast;
    uint64_t last = 0;

    (void)state;
    bed_produce(b, 0, (struct mk_producer_options){.retain_items = 500, .slow = MK_SLOW_DROP});
    slow = bed_take(b, 1, 0, from_oldest);
    fast = bed_take(b, 2, 0, from_oldest);
    bed_until_subscribed(slow);
    bed_until_subscribed(fast);
    for (unsigned round = 0; round < 5; round++) {
        mk_consumer_pause(slow->c, true);
        for (unsigned k = 0; k < 40; k++) {
            last = bed_send(b, 0, 100, 1000);
            world_run(b->w, 20);
        }
        mk_consumer_pause(slow->c, false);
        bed_until_last(slow, last);
    }
    bed_until_last(fast, last);
    assert_int_equal(fast->n_items, last);
    assert_true(slow->n_lost > 1000);
    assert_int_equal(slow->n_items + slow->n_lost, last);
    assert_int_equal(slow->n_lost, bed_stats(b, 0).dropped);
    assert_int_equal(slow->n_subscribed, 1);
    assert_int_equal(bed_stats(b, 0).closed_slow, 0);
    bed_free(b);
}

/** A burst of one turn that is larger than the ring costs a subscriber with credit nothing. */
static void test_burst_larger_than_the_ring(void **state)
{
    for (unsigned slow = 0; slow < 2; slow++) {
        struct bed *b = bed_new(9);
        struct bed_taker *t;

        (void)state;
        bed_produce(b, 0,
                    (struct mk_producer_options){.retain_items = 100, .slow = (enum mk_slow)slow});
        t = bed_take(b, 1, 0, from_oldest);
        bed_until_subscribed(t);
        bed_until_last(t, bed_send(b, 0, 5000, ITEM));
        assert_int_equal(t->n_lost, 0);
        assert_int_equal(t->n_items, 5000);
        assert_int_equal(bed_stats(b, 0).closed_slow, 0);
        bed_free(b);
    }
}

/* --- coming back ---------------------------------------------------------------------------- */

static void test_resumes_after_a_break(void **state)
{
    struct bed *b = bed_new(10);
    struct bed_taker *t;
    uint64_t last = 0;

    (void)state;
    bed_produce(b, 0, (struct mk_producer_options){0});
    t = bed_take(b, 1, 0, from_oldest);
    bed_until_subscribed(t);
    for (unsigned k = 0; k < 30; k++) {
        last = bed_send(b, 0, 300, ITEM);
        world_run(b->w, 30);
        if (k % 5 == 4) {
            bed_until_subscribed(t);
            world_break(b->w, 0, 1);
            bed_until_not(t);
        }
    }
    bed_until_last(t, last);
    assert_int_equal(t->n_items, last);
    assert_int_equal(t->n_lost, 0);
    assert_int_equal(t->n_subscribed, 7);
    bed_free(b);
}

static void test_told_what_it_missed(void **state)
{
    struct bed *b = bed_new(11);
    struct bed_taker *t;
    uint64_t had, last;

    (void)state;
    bed_produce(b, 0, (struct mk_producer_options){.retain_items = 100, .slow = MK_SLOW_CLOSE});
    t = bed_take(b, 1, 0, from_oldest);
    had = bed_send(b, 0, 50, ITEM);
    bed_until_last(t, had);
    world_isolate(b->w, 1);
    world_break(b->w, 0, 1);
    bed_until_not(t);
    world_run(b->w, 100);
    last = bed_send(b, 0, 1000, ITEM);
    world_heal(b->w);
    bed_until_last(t, last);
    assert_int_equal(t->n_spans, 1);
    assert_int_equal(t->lost[0].first, had + 1);
    assert_int_equal(t->lost[0].last, last - 100);
    assert_int_equal(t->n_items, had + 100);
    bed_free(b);
}

static void test_resumes_after_a_known_number(void **state)
{
    struct bed *b = bed_new(12);
    struct bed_taker *t;

    (void)state;
    bed_produce(b, 0, (struct mk_producer_options){0});
    bed_send(b, 0, 50, ITEM);
    t = bed_take(b, 1, 0, (struct mk_consumer_options){.after = 20});
    bed_until_last(t, 50);
    assert_int_equal(t->first, 21);
    t = bed_take(b, 2, 0, (struct mk_consumer_options){.after = 50});
    bed_until_subscribed(t);
    bed_until_last(t, bed_send(b, 0, 1, ITEM));
    assert_int_equal(t->first, 51);
    bed_free(b);
}

/* --- ends from inside -------------------------------------------------------------------- */

static void test_close_from_callbacks(void **state)
{
    struct bed *b = bed_new(13);
    struct bed_taker *on_item, *on_lost, *on_state, *held;

    (void)state;
    bed_produce(b, 0, (struct mk_producer_options){.retain_items = 100, .slow = MK_SLOW_DROP});
    on_item = bed_take(b, 1, 0, from_oldest);
    on_lost = bed_take(b, 2, 0, (struct mk_consumer_options){.after = 1});
    on_state = bed_take(b, 3, 0, from_oldest);
    held = bed_take(b, 4, 0, from_oldest);
    on_item->close_at = 450;
    on_lost->close_on_lost = true;
    on_state->close_on_state = true;
    held->close_at = 460;
    bed_until_subscribed(on_state);
    mk_consumer_pause(held->c, true);
    bed_send(b, 0, 400, ITEM);
    bed_until_last(on_item, 400);
    world_run(b->w, 50);
    bed_send(b, 0, 90, ITEM);
    bed_until_last(on_item, 450);
    world_run(b->w, 50);
    assert_null(on_item->c);
    assert_int_equal(on_item->last, 450);
    mk_consumer_pause(held->c, false);
    bed_until_last(held, 460);
    world_run(b->w, 50);
    assert_null(held->c);
    assert_int_equal(held->last, 460);
    mk_producer_close(b->peers[0].producer);
    b->peers[0].producer = NULL;
    bed_until_not(on_state);
    assert_null(on_state->c);
    assert_int_equal(on_state->close, 1 /* MK_CLOSE_SHUTDOWN */);
    bed_free(b);
}

/** Paused from inside a delivery: nothing more comes until it goes on. */
static void test_pause_from_inside(void **state)
{
    struct bed *b = bed_new(14);
    struct bed_taker *t;

    (void)state;
    bed_produce(b, 0, (struct mk_producer_options){0});
    t = bed_take(b, 1, 0, from_oldest);
    t->pause_at = 33;
    bed_send(b, 0, 100, ITEM);
    bed_until_last(t, 33);
    world_run(b->w, 1000);
    assert_int_equal(t->last, 33);
    mk_consumer_pause(t->c, false);
    bed_until_last(t, 100);
    assert_int_equal(t->n_items, 100);
    bed_free(b);
}

/* --- a producer that begins anew ------------------------------------------------------------- */

/** Killed, and up again with fewer items than the consumer had, or with more: it is told,
 * and gets all that the new run retains. */
static void test_producer_restarts(void **state)
{
    static const struct {
        unsigned items, retain;
        uint64_t lost;
    } cases[] = {{3, 0, 0}, {500, 0, 0}, {500, 100, 400}, {50, 0, 0}};

    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bed *b = bed_new(20 + i);
        struct bed_taker *t;

        bed_produce(b, 0, (struct mk_producer_options){0});
        t = bed_take(b, 1, 0, from_oldest);
        bed_until_last(t, bed_send(b, 0, 50, ITEM));
        bed_kill(b, 0);
        bed_until_not(t);
        bed_produce(b, 0, (struct mk_producer_options){.retain_items = cases[i].retain});
        bed_send(b, 0, cases[i].items, ITEM);
        bed_until_restarted(t, 1);
        bed_until_last(t, cases[i].items);
        assert_int_equal(t->first, 1);
        assert_int_equal(t->n_lost, cases[i].lost);
        assert_int_equal(t->n_items, 50 + cases[i].items - cases[i].lost);
        bed_free(b);
    }
}

/** A cursor that was kept: within its run it goes on, in another one it is told. */
static void test_cursor_is_kept(void **state)
{
    struct bed *b = bed_new(24);
    struct mk_stream_cursor cursor, other;
    struct bed_taker *t;

    (void)state;
    bed_produce(b, 0, (struct mk_producer_options){0});
    t = bed_take(b, 1, 0, from_oldest);
    mk_consumer_cursor(t->c, &cursor);
    assert_int_equal(cursor.run, 0);
    bed_until_last(t, bed_send(b, 0, 50, ITEM));
    mk_consumer_cursor(t->c, &cursor);
    assert_int_equal(cursor.last, 50);
    assert_int_not_equal(cursor.run, 0);
    bed_down(b, 1);
    bed_send(b, 0, 50, ITEM);
    t = bed_take(b, 1, 0, (struct mk_consumer_options){.run = cursor.run, .after = cursor.last});
    bed_until_last(t, 100);
    assert_int_equal(t->first, 51);
    assert_int_equal(t->n_restarts, 0);
    bed_down(b, 0);
    bed_produce(b, 0, (struct mk_producer_options){0});
    bed_send(b, 0, 70, ITEM);
    t = bed_take(b, 2, 0, (struct mk_consumer_options){.run = cursor.run, .after = cursor.last});
    bed_until_last(t, 70);
    assert_int_equal(t->first, 1);
    assert_int_equal(t->n_restarts, 1);
    mk_consumer_cursor(t->c, &other);
    assert_int_not_equal(other.run, cursor.run);
    bed_free(b);
}

/* --- limits, statistics, conditions ------------------------------------------------------ */

static void test_subscribers_max(void **state)
{
    struct bed *b = bed_new(30);
    struct mk_stream_refusal r;
    struct bed_taker *t[7];
    unsigned n = 0;

    (void)state;
    bed_produce(b, 0, (struct mk_producer_options){.subscribers_max = 3});
    for (unsigned i = 0; i < 7; i++)
        t[i] = bed_take(b, 1 + i, 0, from_oldest);
    world_run(b->w, 3000);
    for (unsigned i = 0; i < 7; i++)
        n += t[i]->subscribed ? 1 : 0;
    assert_int_equal(n, 3);
    assert_int_equal(bed_stats(b, 0).subscribers, 3);
    assert_true(bed_stats(b, 0).refused >= 4);
    assert_true(mk_producer_refusal(b->peers[0].producer, 0, &r));
    assert_int_equal(r.clause, MK_BY_LIMIT);
    assert_int_equal(r.count, bed_stats(b, 0).refused);
    assert_string_equal(r.reason, "the stream has its 3 subscribers");
    assert_false(mk_producer_refusal(b->peers[0].producer, 1, &r));
    for (unsigned i = 0; i < 7; i++) {
        if (t[i]->subscribed)
            continue;
        assert_int_equal(t[i]->close, 10 /* MK_CLOSE_BUSY */);
        assert_string_equal(t[i]->detail, "the stream has its 3 subscribers");
    }
    for (unsigned i = 0; i < 7; i++) {
        if (!t[i]->subscribed)
            continue;
        bed_down(b, 1 + i);
        break;
    }
    world_run(b->w, 6000); /* one that was refused takes the place */
    assert_int_equal(bed_stats(b, 0).subscribers, 3);
    assert_int_equal(bed_stats(b, 0).subscribed, 4);
    bed_free(b);
}

static void test_items_come_of_age(void **state)
{
    struct bed *b = bed_new(31);
    struct bed_taker *t, *away;

    (void)state;
    bed_produce(b, 0, (struct mk_producer_options){.retain_ms = 1000});
    away = bed_take(b, 2, 0, from_oldest);
    bed_until_last(away, bed_send(b, 0, 5, ITEM));
    world_isolate(b->w, 2);
    world_break(b->w, 0, 2);
    bed_until_not(away);
    bed_send(b, 0, 100, ITEM);
    world_run(b->w, 600);
    bed_send(b, 0, 10, ITEM);
    world_run(b->w, 600);
    assert_int_equal(bed_stats(b, 0).retained_items, 10);
    t = bed_take(b, 1, 0, from_oldest);
    bed_until_last(t, 115);
    assert_int_equal(t->first, 106);
    world_heal(b->w);
    bed_until_last(away, 105);
    assert_int_equal(away->lost[0].first, 6);
    world_run(b->w, 600);
    assert_int_equal(bed_stats(b, 0).retained_items, 0);
    assert_int_equal(bed_stats(b, 0).retained_bytes, 0);
    bed_free(b);
}

static void test_statistics(void **state)
{
    struct bed *b = bed_new(32);
    struct mk_subscriber_stats s;
    struct mk_consumer_stats c;
    struct bed_taker *t[2];

    (void)state;
    bed_produce(b, 0, (struct mk_producer_options){0});
    t[0] = bed_take(b, 1, 0, from_oldest);
    bed_until_subscribed(t[0]);
    bed_until_last(t[0], bed_send(b, 0, 10, ITEM));
    t[1] = bed_take(b, 2, 0, from_newest);
    bed_until_subscribed(t[1]);
    mk_consumer_pause(t[1]->c, true);
    bed_until_last(t[0], bed_send(b, 0, 3000, 1000));
    world_run(b->w, 500);

    assert_true(mk_producer_subscriber(b->peers[0].producer, 0, &s));
    assert_true(mk_peer_eq(&s.peer, &b->peers[1].key.peer));
    assert_int_equal(s.delivered, 3010);
    assert_int_equal(s.lag_items, 0);
    assert_int_equal(s.lag_bytes, 0);
    assert_false(s.stalled);
    assert_true(mk_producer_subscriber(b->peers[0].producer, 1, &s));
    assert_true(s.stalled);
    assert_true(s.delivered > 1000 && s.delivered < 1200); /* 1 MiB and a step */
    assert_int_equal(s.lag_items, 3000 - s.delivered);
    assert_int_equal(s.lag_bytes, s.lag_items * 1002);
    assert_true(s.lag_ms >= 500 && s.lag_ms < 2000);
    assert_int_equal(bed_stats(b, 0).lag_items_max, s.lag_items);
    assert_int_equal(bed_stats(b, 0).delivered, 3010 + s.delivered);
    assert_false(mk_producer_subscriber(b->peers[0].producer, 2, &s));

    mk_consumer_stats(t[0]->c, &c);
    assert_true(c.subscribed);
    assert_int_equal(c.items, 3010);
    assert_int_equal(c.bytes, 10 * ITEM + 3000 * 1000);
    assert_int_equal(c.lag_items, 0);
    assert_int_equal(c.newest, 3010);
    mk_consumer_pause(t[1]->c, false);
    bed_until_last(t[1], 3010);
    mk_consumer_stats(t[1]->c, &c);
    assert_int_equal(c.items, 3000);
    assert_int_equal(c.lost, 0);
    bed_free(b);
}

struct told {
    struct mk_producer_when when;
    unsigned n_yes, n_no;
    bool close;
};

static void told_cb(struct mk_producer_when *w, struct mk_producer *p, bool holds)
{
    struct told *t = mk_container_of(w, struct told, when);

    assert_ptr_equal(w->producer, p);
    assert_true(holds == w->holds);
    t->n_yes += holds ? 1 : 0;
    t->n_no += holds ? 0 : 1;
    if (t->close)
        mk_producer_close(p);
}

static void test_conditions(void **state)
{
    struct told one = {.when = {MK_WHEN_SUBSCRIBED, 1, told_cb}},
                two = {.when = {MK_WHEN_SUBSCRIBED, 2, told_cb}},
                online = {.when = {MK_WHEN_ONLINE, 0, told_cb}},
                within = {.when = {MK_WHEN_WITHIN, 100, told_cb}},
                late = {.when = {MK_WHEN_SUBSCRIBED, 0, told_cb}};
    struct bed *b = bed_new(33);
    struct mk_producer *p = bed_produce(b, 0, (struct mk_producer_options){.online_at = 2});
    struct bed_taker *t;

    (void)state;
    mk_producer_when(p, &one.when);
    mk_producer_when(p, &two.when);
    mk_producer_when(p, &online.when);
    mk_producer_when(p, &within.when);
    world_run(b->w, 10);
    assert_int_equal(one.n_yes + two.n_yes + online.n_yes, 0);
    assert_int_equal(within.n_yes, 1); /* nobody is behind */
    assert_false(mk_producer_is_online(p));

    t = bed_take(b, 1, 0, from_oldest);
    bed_until_subscribed(t);
    world_run(b->w, 10);
    assert_int_equal(one.n_yes, 1);
    assert_int_equal(two.n_yes, 0);
    bed_until_subscribed(bed_take(b, 2, 0, from_oldest));
    world_run(b->w, 10);
    assert_int_equal(two.n_yes, 1);
    assert_int_equal(online.n_yes, 1);
    assert_true(mk_producer_is_online(p));

    mk_consumer_pause(t->c, true);
    bed_send(b, 0, 3000, 1000);
    world_run(b->w, 100);
    assert_int_equal(within.n_no, 1);
    mk_consumer_pause(t->c, false);
    bed_until_last(t, 3000);
    world_run(b->w, 10);
    assert_int_equal(within.n_yes, 2);

    bed_down(b, 1);
    world_run(b->w, 1000);
    assert_int_equal(two.n_no, 1);
    assert_int_equal(online.n_no, 1);
    assert_int_equal(one.n_no, 0);
    mk_producer_when_stop(&two.when);
    mk_producer_when_stop(&two.when);
    mk_producer_when(p, &two.when); /* may be used again */
    mk_producer_when(p, &late.when);
    late.close = true;
    world_run(b->w, 10);
    b->peers[0].producer = NULL;
    assert_int_equal(late.n_yes, 1);
    assert_null(one.when.producer);
    bed_free(b);
}

/* --- all producers of a surface ---------------------------------------------------------- */

/** Three peers offer the surface; a fourth knows one of them, and that one does not. */
static void test_gather(void **state)
{
    struct mk_gather_options o = {.consumer = {.surface = bed_surface}};
    struct bed *b = bed_new(70);

    (void)state;
    b->hinted = true;
    bed_up(b, 0, NULL, 0);
    bed_taker(b);
    for (unsigned i = 1; i < 4; i++) {
        bed_produce(b, i, (struct mk_producer_options){0});
        bed_send(b, i, 10 * i, ITEM);
        bed_taker(b);
    }
    bed_up(b, 5, NULL, 0);
    assert_int_equal(mk_gather_open(b->peers[5].net, &b->gather, &o, &bed_gathered_cbs, b), 0);
    bed_until_gathered(b, 3);
    for (unsigned i = 1; i < 4; i++) {
        bed_send(b, i, 10, ITEM);
        bed_until_last(&b->takers[i], 10 * i + 10);
    }
    /* One stops offering: what it had is kept in mind. */
    bed_down(b, 2);
    bed_until_gathered(b, 2);
    /* One more comes. */
    bed_produce(b, 4, (struct mk_producer_options){0});
    bed_taker(b);
    bed_send(b, 4, 5, ITEM);
    bed_until_gathered(b, 3);
    bed_until_last(&b->takers[4], 5);
    /* The one that left comes back as another run: nothing of it is left out. */
    b->takers[2].any = false;
    bed_produce(b, 2, (struct mk_producer_options){0});
    bed_send(b, 2, 3, ITEM);
    bed_until_gathered(b, 4);
    bed_until_last(&b->takers[2], 3);
    /* Links break and entries stay: each goes on where it stood. */
    world_break(b->w, 5, 1);
    world_run(b->w, 60000);
    bed_send(b, 1, 1, ITEM);
    bed_until_last(&b->takers[1], 21);
    assert_int_equal(b->takers[1].n_items, 21);
    mk_gather_close(b->gather);
    bed_send(b, 1, 1, ITEM);
    world_run(b->w, 1000);
    assert_int_equal(b->takers[1].n_items, 21);
    assert_int_equal(bed_stats(b, 1).subscribers, 0);
    bed_free(b);
}

/** A producer that is closed is let go by its reason, and offered no more. */
static void test_a_closed_producer_leaves_the_entry(void **state)
{
    struct mk_gather_options o = {.consumer = {.surface = bed_surface}};
    struct bed *b = bed_new(71);

    (void)state;
    b->hinted = true;
    bed_up(b, 0, NULL, 0);
    bed_taker(b);
    bed_produce(b, 1, (struct mk_producer_options){0});
    bed_taker(b);
    bed_up(b, 2, NULL, 0);
    assert_int_equal(mk_gather_open(b->peers[2].net, &b->gather, &o, &bed_gathered_cbs, b), 0);
    bed_until_gathered(b, 1);
    mk_producer_close(b->peers[1].producer);
    b->peers[1].producer = NULL;
    bed_until_gathered(b, 0);
    world_run(b->w, 60000);
    assert_int_equal(mk_gather_subscribed(b->gather), 0);
    bed_produce(b, 1, (struct mk_producer_options){0}); /* and offered again, found again */
    bed_until_gathered(b, 1);
    mk_gather_close(b->gather);
    bed_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_in_order_for_each),
        cmocka_unit_test(test_newest_begins_with_what_comes),
        cmocka_unit_test(test_oldest_of_a_lapped_ring),
        cmocka_unit_test(test_large_items),
        cmocka_unit_test(test_several_producers),
        cmocka_unit_test(test_latency_when_idle_batches_when_busy),
        cmocka_unit_test(test_one_producer_a_surface),
        cmocka_unit_test(test_a_declared_stream),
        cmocka_unit_test(test_one_stalls),
        cmocka_unit_test(test_slow_one_is_closed_with_a_reason),
        cmocka_unit_test(test_slow_one_drops_with_a_count),
        cmocka_unit_test(test_burst_larger_than_the_ring),
        cmocka_unit_test(test_resumes_after_a_break),
        cmocka_unit_test(test_told_what_it_missed),
        cmocka_unit_test(test_resumes_after_a_known_number),
        cmocka_unit_test(test_close_from_callbacks),
        cmocka_unit_test(test_pause_from_inside),
        cmocka_unit_test(test_producer_restarts),
        cmocka_unit_test(test_cursor_is_kept),
        cmocka_unit_test(test_subscribers_max),
        cmocka_unit_test(test_items_come_of_age),
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_gather),
        cmocka_unit_test(test_a_closed_producer_leaves_the_entry),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
