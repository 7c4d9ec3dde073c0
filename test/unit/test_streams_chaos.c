/* test_streams_chaos.c - two producers and eight consumers among breaks, silence, pauses and
 * kill -9, over seeds: whatever happens, each consumer is told of every item of a run exactly
 * once and in order, as an item or as lost, and when all is well again it has the newest. */
#include "stream_bed.h"

#include "prng.h"

#define SEEDS 20u
#define STEPS 150u
#define PRODUCERS 2u
#define CONSUMERS 8u

static void chaos_produce(struct bed *b, struct prng *p, unsigned i)
{
    bed_produce(b, i,
                (struct mk_producer_options){
                    .retain_items = 50 + (uint32_t)prng_below(p, 2000),
                    .retain_ms = prng_one_in(p, 3) ? 500 + (uint32_t)prng_below(p, 3000) : 0,
                    .slow = prng_one_in(p, 2) ? MK_SLOW_CLOSE : MK_SLOW_DROP});
    bed_send(b, i, 1, 8); /* so that there is a newest one to wait for */
}

static void chaos_step(struct bed *b, struct prng *p)
{
    struct bed_taker *t = &b->takers[prng_below(p, CONSUMERS)];
    unsigned producer = (unsigned)prng_below(p, PRODUCERS);
    unsigned consumer = PRODUCERS + (unsigned)prng_below(p, CONSUMERS);

    switch (prng_below(p, 14)) {
    case 0:
        world_break(b->w, producer, consumer);
        break;
    case 1:
        world_isolate(b->w, consumer);
        break;
    case 2:
        world_heal(b->w);
        break;
    case 3:
        mk_consumer_pause(t->c, true);
        break;
    case 4:
    case 5:
        mk_consumer_pause(t->c, false);
        break;
    case 6:
        t->pause_at = t->last + prng_below(p, 100);
        break;
    case 7:
        if (!prng_one_in(p, 8))
            break;
        bed_kill(b, producer);
        world_run(b->w, prng_below(p, 500));
        chaos_produce(b, p, producer);
        break;
    default:
        bed_send(b, producer, 1 + (unsigned)prng_below(p, 400), 8 + (size_t)prng_below(p, 2000));
        break;
    }
    world_run(b->w, prng_below(p, 60));
}

static void chaos_end(struct bed *b)
{
    world_heal(b->w);
    for (unsigned i = 0; i < b->n_takers; i++) {
        b->takers[i].pause_at = 0;
        mk_consumer_pause(b->takers[i].c, false);
    }
    world_run(b->w, 70000); /* links that are dead and do not know it yet */
    for (unsigned i = 0; i < b->n_takers; i++) {
        struct bed_taker *t = &b->takers[i];
        struct mk_consumer_stats s;

        bed_until_subscribed(t);
        bed_until_last(t, bed_send(b, i % PRODUCERS, 3, 8));
        mk_consumer_stats(t->c, &s);
        assert_int_equal(s.items, t->n_items);
        assert_int_equal(s.lost, t->n_lost);
        assert_int_equal(s.restarts, t->n_restarts);
        assert_int_equal(s.lag_items, 0);
    }
}

static void run_seed(uint64_t seed)
{
    struct bed *b = bed_new(seed);
    struct prng p = prng_of(seed, 77);

    for (unsigned i = 0; i < PRODUCERS; i++)
        chaos_produce(b, &p, i);
    for (unsigned i = 0; i < CONSUMERS; i++)
        bed_take(b, PRODUCERS + i, i % PRODUCERS,
                 (struct mk_consumer_options){.from_newest = prng_one_in(&p, 3)});
    for (unsigned k = 0; k < STEPS; k++)
        chaos_step(b, &p);
    chaos_end(b);
    bed_free(b);
}

static void test_seeds(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run_seed(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_seeds)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
