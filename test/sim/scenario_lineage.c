/* Members that know an old roster alone, none of whose peers is there any more: those of the newest
 * show them how it came about (lineage.c). The checkers of cluster.h run after every event. */
#include "collections/certificate.h"
#include "group/group_int.h"
#include "readers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct cluster *ready(const struct cluster_options *o)
{
    struct cluster *c = cluster_new(o);

    assert_true(cluster_until_ready(c, 10000));
    return c;
}

static void change(struct cluster *c, unsigned bits)
{
    assert_int_equal(cluster_propose(c, bits), 0);
    world_run(c->w, 50);
    assert_true(cluster_until_settled(c, 10000));
}

static void end(struct cluster *c)
{
    assert_true(cluster_until_equal(c, 20000));
    cluster_check_durable(c);
    cluster_free(c);
}

/* Member 0 is stopped; 3 and 4 take the places of 1 and 2, which go. */
static void replace_all_while_0_is_away(struct cluster *c)
{
    world_kill(c->w, 0);
    assert_true(cluster_until_ready(c, 10000));
    change(c, 0x1e);
    change(c, 0x18);
    world_crash(c->w, 1);
    world_crash(c->w, 2);
    assert_true(cluster_until_ready(c, 10000));
}

/* Seed 8608 in short: a roster follows that shares few with the first, those of the first go, and
 * one of it loses its disk. Its node file names nobody who is there. */
static void test_blank_among_strangers(void **state)
{
    for (unsigned wiped = 2; wiped < 5; wiped++) {
        struct cluster *c = ready(&(struct cluster_options){.seed = wiped, .n = 2, .spares = 3});

        (void)state;
        assert_int_equal(cluster_set(c, "before", "1", 3000), 0);
        change(c, 0x1f);
        change(c, 0x1c);
        world_crash(c->w, 0);
        world_crash(c->w, 1);
        assert_true(cluster_until_ready(c, 10000));
        world_crash(c->w, wiped);
        cluster_lose_disk(c, wiped);
        assert_true(cluster_until_state(c, wiped, MK_GROUP_FOLLOWING, 10000));
        assert_true(cluster_until_settled(c, 5000));
        assert_int_equal(cluster_set(c, "after", "2", 3000), 0);
        end(c);
    }
}

/* It keeps its log, and was away while all others were replaced: back in the roster, it knows
 * nobody of it. The lesser peer opens conversations, so it is the one who must learn. */
static void test_stale_among_strangers(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 7, .spares = 2});

    (void)state;
    assert_int_equal(cluster_set(c, "before", "1", 3000), 0);
    replace_all_while_0_is_away(c);
    assert_int_equal(cluster_set(c, "without", "2", 3000), 0);
    world_restart(c->w, 0);
    world_run(c->w, 1000); /* linked; the leader asks for that before it takes it in */
    change(c, 0x19);
    assert_true(cluster_until_state(c, 0, MK_GROUP_FOLLOWING, 10000));
    assert_int_equal(cluster_set(c, "after", "3", 3000), 0);
    end(c);
}

static bool knows_epoch_3(void *arg)
{
    struct mk_group_status s;

    cluster_status(arg, 0, &s);
    return strstr(s.why, "not of the roster of epoch 3") != NULL;
}

/* It was away when it was taken out: it must say that it is of it no more, not that an election is
 * under way for ever. */
static void test_stale_outside(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 8, .spares = 2});
    struct mk_group_status s;

    (void)state;
    replace_all_while_0_is_away(c);
    world_restart(c->w, 0);
    assert_true(world_run_until(c->w, knows_epoch_3, c, 5000));
    cluster_status(c, 0, &s);
    assert_int_equal(s.state, MK_GROUP_OUTSIDE);
    end(c);
}

struct learning {
    struct cluster *c;
    uint64_t epoch;
};

static bool has_learned(void *arg)
{
    struct learning *l = arg;

    return mk_reseat_epoch(cluster_group(l->c, 3)) >= l->epoch;
}

/* One change a message, however many there are; it loses power in the midst of them, thrice. */
static void test_a_long_chain(void **state)
{
    struct cluster *c = ready(&(struct cluster_options){.seed = 9, .n = 2, .spares = 3});
    struct learning l = {c, 0};

    (void)state;
    for (unsigned i = 0; i < 30; i++)
        change(c, i % 2 == 0 ? 0x1 : 0x3); /* of none that is there in the end */
    change(c, 0x1f);
    change(c, 0x1c);
    world_crash(c->w, 0);
    world_crash(c->w, 1);
    assert_true(cluster_until_ready(c, 10000));
    world_crash(c->w, 3);
    cluster_lose_disk(c, 3);
    for (l.epoch = 5; l.epoch < 33; l.epoch += 10) {
        assert_true(world_run_until(c->w, has_learned, &l, 10000));
        assert_true(mk_reseat_epoch(cluster_group(c, 3)) < 33);
        world_crash(c->w, 3);
        world_restart(c->w, 3);
    }
    assert_true(cluster_until_state(c, 3, MK_GROUP_FOLLOWING, 10000));
    assert_int_equal(mk_reseat_epoch(cluster_group(c, 3)), 33);
    assert_int_equal(cluster_set(c, "after", "1", 3000), 0);
    end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blank_among_strangers),
        cmocka_unit_test(test_stale_among_strangers),
        cmocka_unit_test(test_stale_outside),
        cmocka_unit_test(test_a_long_chain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
