/* Read replicas: of no committee, believed by nobody, and yet enough to read from. */
#include "collections/surface.h"
#include "group/replica.h"
#include "readers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define REPLICA_NODE 40u

/* A reader's node that serves what it reads. */
struct bed {
    struct cluster *c;
    struct reader *own; /* its net, memory, links to members */
    struct mk_replica *replica;
};

static void bed_open(struct bed *b, const struct cluster_options *o)
{
    static const struct mk_acl_composition open_acl;
    struct mk_replica_options ro = {.specs = cluster_surfaces, .n_specs = 2, .acl = &open_acl};
    struct mk_fault f;

    b->c = cluster_new(o);
    assert_true(cluster_until_ready(b->c, 10000));
    b->own = reader_new(b->c, REPLICA_NODE);
    assert_int_equal(mk_net_listen(b->own->net, "n40:7000", &f), 0);
    ro.component = &b->own->component;
    ro.memory = b->own->memory;
    assert_int_equal(mk_replica_open(b->own->env, b->own->net, &b->replica, &ro), 0);
}

static void bed_close(struct bed *b)
{
    mk_replica_close(b->replica);
    reader_free(b->own);
    cluster_free(b->c);
}

static void write_some(struct cluster *c, unsigned n)
{
    char key[16], value[16], tick[24];

    for (unsigned i = 0; i < n; i++) {
        snprintf(key, sizeof key, "k%u", i % 7);
        snprintf(value, sizeof value, "%u", i);
        assert_int_equal(cluster_set(c, key, value, 5000), 0);
        snprintf(tick, sizeof tick, "tick %u", i);
        assert_int_equal(cluster_command(c, (unsigned)cluster_leader(c), tick, 5000), 0);
    }
}

struct even {
    struct reader *r;
    uint64_t ticks;
};

static bool has_ticks(void *arg)
{
    const struct even *e = arg;

    return e->r->ticks_seen >= e->ticks;
}

static void test_a_replica_serves_what_it_read(void **state)
{
    struct reader *far, *late;
    struct even even;
    struct call x;
    struct bed b;

    (void)state;
    bed_open(&b, &(struct cluster_options){.seed = 1});
    write_some(b.c, 20);
    far = reader_through(b.c, READER_NODE, &b.own->key.peer, "n40:7000");
    far->map = reader_follow(far, CLUSTER_MAP);
    far->ticks = reader_follow(far, CLUSTER_TICKS);
    assert_true(reader_until_caught_up(far, 20000));
    write_some(b.c, 20);
    assert_true(reader_until_caught_up(far, 20000));
    even = (struct even){far, 40};
    assert_true(world_run_until(b.c->w, has_ticks, &even, 10000));
    assert_int_equal(far->failed, 0);
    assert_int_equal(far->gaps, 0);
    assert_int_equal(reader_get(far, &x, "k3", 10000), 0); /* fresh, by a proof */
    assert_string_equal(x.text, "17");
    assert_int_equal(reader_get(far, &x, "none", 10000), MK_ENOTFOUND); /* proven absent */
    assert_true(mk_replica_age_ms(b.replica) < 10000);
    assert_int_equal(mk_replica_readers(b.replica), 3);

    /* The committee is gone: what was certified is there, and says that it is old. */
    for (unsigned i = 0; i < 3; i++)
        world_crash(b.c->w, i);
    world_run(b.c->w, 30000);
    assert_true(mk_replica_age_ms(b.replica) > 20000);
    late = reader_through(b.c, READER_NODE + 1, &b.own->key.peer, "n40:7000");
    assert_int_equal(reader_get(late, &x, "k3", 0), 0);
    assert_string_equal(x.text, "17");
    assert_int_equal(reader_get(late, &x, "k3", 10000), MK_ESTALE);
    for (unsigned i = 0; i < 3; i++)
        world_restart(b.c->w, i);
    assert_true(cluster_until_ready(b.c, 10000));
    write_some(b.c, 8);
    assert_int_equal(reader_get(late, &x, "k3", 10000), 0); /* it goes on by itself */
    assert_string_equal(x.text, "3");
    reader_free(late);
    reader_free(far);
    bed_close(&b);
}

/* It passes the chain of epochs on, and follows it itself. */
static void test_a_replica_follows_the_chain(void **state)
{
    struct reader *far;
    struct call x;
    struct bed b;

    (void)state;
    bed_open(&b, &(struct cluster_options){.seed = 2, .spares = 1});
    write_some(b.c, 5);
    far = reader_through(b.c, READER_NODE, &b.own->key.peer, "n40:7000");
    far->map = reader_follow(far, CLUSTER_MAP);
    assert_true(reader_until_caught_up(far, 20000));
    assert_int_equal(cluster_propose(b.c, 0xe), 0);
    world_run(b.c->w, 100);
    assert_true(cluster_until_settled(b.c, 10000));
    assert_int_equal(cluster_set(b.c, "k1", "later", 3000), 0);
    world_run(b.c->w, 1000); /* a replica may be behind by less than its age */
    assert_int_equal(reader_get(far, &x, "k1", 10000), 0);
    assert_string_equal(x.text, "later");
    assert_int_equal(mk_reader_epoch(far->memory), 2);
    assert_int_equal(far->failed, 0);
    reader_free(far);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_replica_serves_what_it_read),
        cmocka_unit_test(test_a_replica_follows_the_chain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
