/* Conditions over everything that has one, in a running world: met when they should be, told
 * once, explained while they are not, and over when their object goes. */
#include "shelf.h"

#include <mosaik/standing.h>
#include <mosaik/when.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define AGENT 20u

struct bed {
    struct shelf *c;
    struct mk_network *network;
    struct mk_bond *bond;
    struct mk_collection *map, *queue;
    struct mk_exec exec;
    bool busy;
    struct mk_written written;
};

static bool is_ready(void *arg)
{
    const struct bed *b = arg;

    return mk_collection_online(b->map) && mk_collection_online(b->queue);
}

static struct bed *bed_new(void)
{
    struct bed *b = mk_alloc(sizeof *b);

    b->c = shelf_new(11);
    b->network = shelf_agent(b->c, AGENT, /* listen= */ false, &b->bond);
    assert_int_equal(mk_collection_open(b->bond, &b->map, &shelf_specs[SHELF_MAP], NULL, NULL), 0);
    assert_int_equal(mk_collection_open(b->bond, &b->queue, &shelf_specs[SHELF_QUEUE], NULL, NULL),
                     0);
    assert_true(world_run_until(b->c->w, is_ready, b, 30000));
    return b;
}

static void bed_free(struct bed *b)
{
    mk_collection_close(b->map);
    mk_collection_close(b->queue);
    mk_network_close(b->network);
    shelf_free(b->c);
    mk_free(b);
}

static void exec_cb(struct mk_exec *x, int status, const struct mk_outcome *outcome,
                    const struct mk_fault *fault)
{
    struct bed *b = mk_container_of(x, struct bed, exec);

    (void)fault;
    assert_int_equal(status, 0);
    assert_int_equal(mk_written_read(&b->written, outcome->answer, NULL), 0);
    b->busy = false;
}

static bool is_free(void *arg)
{
    return !((struct bed *)arg)->busy;
}

static void do_write(struct bed *b, unsigned surface, const struct mk_op *op)
{
    struct mk_buf command = {0};

    mk_collection_command_put(&command, &shelf_specs[surface], op);
    b->exec.cb = exec_cb;
    b->busy = true;
    assert_int_equal(
        mk_execute(b->bond, &b->exec, mk_buf_bytes(&command), MK_STEP_CERTIFIED, 10000), 0);
    assert_true(world_run_until(b->c->w, is_free, b, 20000));
    mk_buf_done(&command);
}

static void put(struct bed *b, uint64_t key, uint64_t value)
{
    struct mk_buf k = {0}, v = {0};
    struct mk_op_entry e = {shelf_number(&k, key), shelf_number(&v, value)};

    do_write(b, SHELF_MAP, &(struct mk_op){.tag = mk_op_Extend, .u.extend = {.entries = {&e, 1}}});
    mk_buf_done(&k);
    mk_buf_done(&v);
}

static void append(struct bed *b, uint64_t value)
{
    struct mk_buf v = {0};
    struct mk_bytes item = shelf_number(&v, value);

    do_write(b, SHELF_STREAM,
             &(struct mk_op){.tag = mk_op_Append, .u.append = {.items = {&item, 1}}});
    mk_buf_done(&v);
}

/* --- telling ------------------------------------------------------------------------------ */

struct told {
    unsigned met, ceased;
    bool now, free_it;
};

static void told_cb(struct mk_when *w, bool met, void *arg)
{
    struct told *t = arg;

    t->met += met;
    t->ceased += !met;
    t->now = met;
    if (t->free_it)
        mk_when_free(w);
}

static bool was_met(void *arg)
{
    return ((struct told *)arg)->met > 0;
}

static bool says(const struct mk_when *w, const char *words)
{
    struct mk_buf out = {0};
    bool found;

    mk_when_explain(w, &out);
    mk_buf_put_u8(&out, 0);
    found = strstr((const char *)out.p, words) != NULL;
    if (!found)
        print_message("said: %s\n", (const char *)out.p);
    mk_buf_done(&out);
    return found;
}

static bool has_two(const struct mk_view *v, void *arg)
{
    (void)arg;
    return mk_view_count(v) >= 2;
}

static void test_collections(void **state)
{
    struct bed *b = bed_new();
    struct mk_when *online = mk_when_online(b->map), *updated = mk_when_updated(b->map);
    struct mk_when *both = MK_WHEN_ALL(mk_when_reaches(b->map, 2), mk_when_online(b->queue));
    struct mk_when *two = mk_when_state(b->map, has_two, NULL);
    struct told to = {0}, tu = {0}, tb = {0}, t2 = {0};

    (void)state;
    assert_true(mk_when_holds(online) && !mk_when_holds(updated) && !mk_when_holds(both));
    assert_true(says(both, "reaches version 2 (it is at 0)"));
    mk_when_start(online, told_cb, &to);
    mk_when_start(updated, told_cb, &tu);
    mk_when_start(both, told_cb, &tb);
    mk_when_start(two, told_cb, &t2);
    assert_true(world_run_until(b->c->w, was_met, &to, 1000));
    put(b, 1, 1);
    assert_true(world_run_until(b->c->w, was_met, &tu, 10000));
    assert_true(tb.met == 0 && t2.met == 0);
    put(b, 2, 1);
    assert_true(world_run_until(b->c->w, was_met, &tb, 10000));
    assert_true(world_run_until(b->c->w, was_met, &t2, 10000));
    put(b, 2, 2);
    world_run(b->c->w, 2000);
    assert_int_equal(tu.met, 3); /* an event: again each time */
    assert_int_equal(tu.ceased, 0);
    assert_int_equal(tb.met, 1); /* levels: once */
    assert_int_equal(to.met, 1);
    do_write(b, SHELF_MAP, &(struct mk_op){.tag = mk_op_Clear});
    world_run(b->c->w, 2000);
    assert_true(t2.ceased == 1 && !t2.now);
    mk_when_free(online);
    mk_when_free(updated);
    mk_when_free(both);
    mk_when_free(two);
    bed_free(b);
}

static void test_gone(void **state)
{
    struct bed *b = bed_new();
    struct mk_when *offline = mk_when_not(mk_when_online(b->map));
    struct mk_when *any = MK_WHEN_ANY(mk_when_reaches(b->map, 100), mk_when_online(b->queue));
    struct mk_when *all = MK_WHEN_ALL(mk_when_reaches(b->map, 100), mk_when_online(b->queue));
    struct told off = {.free_it = true}, t = {0};
    struct mk_fault fault;

    (void)state;
    mk_when_start(offline, told_cb, &off);
    mk_when_start(any, told_cb, &t);
    world_run(b->c->w, 100);
    assert_true(off.met == 0 && t.met == 1);
    mk_collection_close(b->map);
    b->map = NULL;
    assert_true(world_run_until(b->c->w, was_met, &off, 1000)); /* and frees itself */
    assert_true(mk_when_holds(any) && !mk_when_holds(all));
    assert_true(says(all, "its reader was closed"));
    assert_int_equal(mk_when_wait(all, 1000, &fault), MK_ECLOSED);
    assert_non_null(strstr(fault.text, "it can never be that a collection reaches version 100"));
    mk_when_stop(any);
    assert_int_equal(mk_when_wait(any, 1000, &fault), 0); /* holds, so nothing is waited for */
    mk_when_free(any);
    mk_when_free(all);
    bed_free(b);
}

static void test_restart(void **state)
{
    struct bed *b = bed_new();
    struct mk_when *w = MK_WHEN_ALL(mk_when_updated(b->map), mk_when_updated(b->queue));
    struct told t = {0};
    struct mk_buf n = {0};
    struct mk_op_ranked r = {1, shelf_number(&n, 1), shelf_number(&n, 1)};

    (void)state;
    mk_when_start(w, told_cb, &t);
    put(b, 1, 1);
    world_run(b->c->w, 1000);
    assert_int_equal(t.met, 0);    /* half of it is latched */
    mk_when_start(w, told_cb, &t); /* and forgotten */
    r.key = r.value = MK_BYTES("\x01", 1);
    do_write(b, SHELF_QUEUE,
             &(struct mk_op){.tag = mk_op_Enqueue, .u.enqueue = {.entries = {&r, 1}}});
    world_run(b->c->w, 1000);
    assert_int_equal(t.met, 0);
    put(b, 1, 2);
    assert_true(world_run_until(b->c->w, was_met, &t, 10000));
    mk_when_stop(w);
    put(b, 1, 3);
    world_run(b->c->w, 1000);
    assert_int_equal(t.met, 1);
    mk_when_free(w);
    mk_buf_done(&n);
    bed_free(b);
}

/* --- items -------------------------------------------------------------------------------------
 */

static bool above(struct mk_bytes item, void *arg)
{
    return shelf_value(item) > *(uint64_t *)arg;
}

static void feed_item(struct mk_feed *f, uint64_t index, struct mk_bytes item)
{
    (void)index;
    (void)item;
    ++*(unsigned *)mk_feed_owner(f);
}

static bool some(void *arg)
{
    return *(unsigned *)arg > 0;
}

static void test_window(void **state)
{
    static const struct mk_feed_cbs cbs = {.item = feed_item};
    static const struct mk_feed_options from_oldest = {.from = MK_FEED_OLDEST};
    struct bed *b = bed_new();
    uint64_t threshold = 10;
    unsigned items = 0;
    struct mk_feed *f;
    struct mk_when *burst, *next;
    struct told tb = {0}, tn = {0};

    (void)state;
    assert_int_equal(
        mk_feed_open(b->bond, &f, &shelf_specs[SHELF_STREAM], &from_oldest, &cbs, &items), 0);
    append(b, 1);
    assert_true(world_run_until(b->c->w, some, &items, 10000));
    burst = mk_when_feed_window(
        f, &(struct mk_when_window){
               .window_ms = 5000, .count = 3, .filter = above, .arg = &threshold});
    next = mk_when_appended(f, above, &threshold);
    mk_when_start(burst, told_cb, &tb);
    mk_when_start(next, told_cb, &tn);
    append(b, 5);
    world_run(b->c->w, 500);
    assert_int_equal(tn.met, 0);
    append(b, 11);
    append(b, 12);
    world_run(b->c->w, 500);
    assert_true(tn.met == 2 && tb.met == 0);
    assert_true(says(burst, "3 items that pass came within 5000 ms (2 did)"));
    append(b, 13);
    world_run(b->c->w, 500);
    assert_true(tb.met == 1 && tb.now);
    world_run(b->c->w, 6000); /* they leave the window */
    assert_true(tb.ceased == 1 && !tb.now);
    for (unsigned i = 0; i < 3; i++)
        append(b, 20 + i);
    world_run(b->c->w, 500);
    assert_true(tb.met == 2 && tn.met == 6);
    mk_feed_close(f);
    world_run(b->c->w, 6000);
    assert_true(tb.ceased == 2 && tb.met == 2);
    assert_true(says(next, "closed"));
    mk_when_free(burst);
    mk_when_free(next);
    bed_free(b);
}

/* --- producers, discovery, members
 * ------------------------------------------------------------------ */

static void consumer_item(struct mk_consumer *c, uint64_t seq, struct mk_bytes item)
{
    (void)c;
    (void)seq;
    (void)item;
}

static bool is_stalled(const struct mk_subscriber_stats *s, void *arg)
{
    (void)arg;
    return s->stalled;
}

static void test_streams(void **state)
{
    static const struct mk_consumer_cbs cbs = {.item = consumer_item};
    struct bed *b = bed_new();
    struct mk_network *from = shelf_agent(b->c, 21, /* listen= */ true, NULL);
    struct mk_id surface = mk_id_of_text(MK_STR("a stream of one peer"));
    struct mk_producer *p;
    struct mk_consumer *c;
    struct mk_when *subscribed, *stalled, *consuming, *received, *window;
    struct told ts = {0}, tc = {0}, tr = {0}, tw = {0};
    struct mk_buf n = {0};

    (void)state;
    assert_int_equal(mk_producer_open(from, &p, &(struct mk_producer_options){.surface = surface}),
                     0);
    subscribed = mk_when_subscribed(p, 1, NULL, NULL);
    stalled = mk_when_subscribed(p, 1, is_stalled, NULL);
    mk_when_start(subscribed, told_cb, &ts);
    assert_int_equal(
        mk_consumer_open(b->network, &c,
                         &(struct mk_consumer_options){.surface = surface,
                                                       .producer = *mk_network_peer(from),
                                                       .address = "n21:7000"},
                         &cbs, NULL),
        0);
    consuming = mk_when_consuming(c);
    received = mk_when_received(c, NULL, NULL);
    window = mk_when_consumer_window(c, &(struct mk_when_window){.window_ms = 1000, .count = 2});
    mk_when_start(consuming, told_cb, &tc);
    mk_when_start(received, told_cb, &tr);
    mk_when_start(window, told_cb, &tw);
    assert_true(world_run_until(b->c->w, was_met, &ts, 20000));
    assert_true(world_run_until(b->c->w, was_met, &tc, 20000));
    assert_true(!mk_when_holds(stalled) && says(stalled, "1 are subscribed (there are 0)"));
    mk_producer_send(p, shelf_number(&n, 7));
    mk_producer_send(p, shelf_number(&n, 8));
    assert_true(world_run_until(b->c->w, was_met, &tr, 5000));
    assert_true(world_run_until(b->c->w, was_met, &tw, 5000));
    mk_consumer_close(c);
    world_run(b->c->w, 2000);
    assert_true(tc.ceased == 1 && ts.ceased == 1);
    mk_producer_close(p);
    assert_true(says(subscribed, "the producer was closed"));
    mk_when_free(subscribed);
    mk_when_free(stalled);
    mk_when_free(consuming);
    mk_when_free(received);
    mk_when_free(window);
    mk_network_close(from);
    mk_buf_done(&n);
    bed_free(b);
}

static void test_gathered(void **state)
{
    static const struct mk_consumer_cbs cbs = {.item = consumer_item};
    struct bed *b = bed_new();
    struct mk_network *from[2] = {shelf_agent(b->c, 21, /* listen= */ true, NULL),
                                  shelf_agent(b->c, 22, /* listen= */ true, NULL)};
    struct mk_gather_options o = {
        .consumer = {.surface = mk_id_of_text(MK_STR("a stream of several"))}};
    struct mk_producer *p[2];
    struct mk_gather *g;
    struct mk_when *both, *one, *burst;
    struct told tb = {0}, to = {0}, tw = {0};
    struct mk_buf n = {0};

    (void)state;
    assert_int_equal(mk_gather_open(b->network, &g, &o, &cbs, NULL), 0);
    both = mk_when_gathered(g, 2);
    one = mk_when_gather_received(g, NULL, NULL);
    burst = mk_when_gather_window(g, &(struct mk_when_window){.window_ms = 5000, .count = 2});
    mk_when_start(both, told_cb, &tb);
    mk_when_start(one, told_cb, &to);
    mk_when_start(burst, told_cb, &tw);
    assert_true(says(both, "2 producers are subscribed to (0 are)"));
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(
            mk_producer_open(from[i], &p[i],
                             &(struct mk_producer_options){.surface = o.consumer.surface}),
            0);
    assert_true(world_run_until(b->c->w, was_met, &tb, 60000));
    assert_int_equal(to.met, 0);
    mk_producer_send(p[0], shelf_number(&n, 1));
    assert_true(world_run_until(b->c->w, was_met, &to, 5000));
    assert_int_equal(tw.met, 0);
    mk_producer_send(p[1], shelf_number(&n, 2));
    assert_true(world_run_until(b->c->w, was_met, &tw, 5000));
    mk_producer_close(p[1]);
    world_run(b->c->w, 2000);
    assert_int_equal(tb.ceased, 1);
    mk_gather_close(g);
    assert_true(says(both, "the gathering was closed"));
    mk_when_free(both);
    mk_when_free(one);
    mk_when_free(burst);
    mk_network_close(from[0]);
    mk_network_close(from[1]);
    mk_buf_done(&n);
    bed_free(b);
}

/* The clause's evaluator: pending until the organism's map is there, then what it certifies. */
static void test_standing(void **state)
{
    struct bed *b = bed_new();
    struct mk_reference shelf = shelf_reference(b->c);
    const struct mk_peer *peer = mk_network_peer(b->network);
    struct mk_acl_clause clause = {.tag = mk_acl_clause_ReputationFloor,
                                   .u.reputation_floor = {b->c->stable_id, 100}};
    struct mk_acl_composition acl = {.clauses = {&clause, 1}};
    struct mk_bearer bearer = {.peer = *peer};
    struct mk_score score = {100, 5000};
    struct mk_buf pc = {0};
    struct mk_op_entry entry = {.key = MK_BYTES(peer->b, sizeof peer->b)};
    struct mk_verdict v;
    struct mk_gate gate;

    (void)state;
    mk_encode(&pc, &mk_score_type, &score);
    entry.value = mk_buf_bytes(&pc);
    do_write(b, SHELF_SCORES,
             &(struct mk_op){.tag = mk_op_Extend, .u.extend = {.entries = {&entry, 1}}});
    gate = (struct mk_gate){.acl = &acl, .standing = mk_network_standing(b->network)};
    mk_gate_judge(&gate, &v, &bearer, MK_SCOPE_WRITE, 1000);
    assert_true(!v.admitted && !v.pending);
    assert_non_null(strstr(v.reason, "none that this node follows"));
    assert_int_equal(mk_network_follow(b->network, &shelf, NULL), 0);
    assert_int_equal(mk_network_follow(b->network, &shelf, NULL), 0);
    mk_gate_judge(&gate, &v, &bearer, MK_SCOPE_WRITE, 1000);
    assert_true(!v.admitted && v.pending);
    world_run(b->c->w, 5000);
    mk_gate_judge(&gate, &v, &bearer, MK_SCOPE_WRITE, 1000);
    assert_true(v.admitted && v.expires_ms == 5000);
    clause.u.reputation_floor.floor_bps = 101;
    mk_gate_judge(&gate, &v, &bearer, MK_SCOPE_WRITE, 1000);
    assert_true(!v.admitted && !v.pending);
    bearer.peer.b[0] ^= 1;
    mk_gate_judge(&gate, &v, &bearer, MK_SCOPE_WRITE, 1000);
    assert_non_null(strstr(v.reason, "has no card"));
    mk_buf_done(&pc);
    bed_free(b);
}

static void restart_members(struct bed *b, const struct mk_acl_composition *acl)
{
    b->c->acl = acl;
    for (unsigned i = 0; i < SHELF_MEMBERS; i++)
        world_crash(b->c->w, i);
    for (unsigned i = 0; i < SHELF_MEMBERS; i++)
        world_restart(b->c->w, i);
}

/* All members refused us for a time; once they do not, what the organism certifies counts again. */
static void test_standing_after_a_refusal(void **state)
{
    struct bed *b = bed_new();
    struct mk_reference shelf = shelf_reference(b->c);
    struct mk_bearer bearer = {.peer = *mk_network_peer(b->network)};
    struct mk_acl_clause floor = {.tag = mk_acl_clause_ReputationFloor,
                                  .u.reputation_floor = {b->c->stable_id, 100}};
    struct mk_acl_clause closed[2] = {{.tag = mk_acl_clause_PeerList},
                                      {.tag = mk_acl_clause_GateReaders}};
    struct mk_acl_composition acl = {.clauses = {&floor, 1}}, nobody = {.clauses = {closed, 2}};
    struct mk_gate gate = {.acl = &acl, .standing = mk_network_standing(b->network)};
    struct mk_verdict v;

    (void)state;
    closed[0].u.peer_list.peers = (struct mk_peer_list){b->c->roster.peers.v, b->c->roster.peers.n};
    restart_members(b, &nobody);
    assert_int_equal(mk_network_follow(b->network, &shelf, NULL), 0);
    mk_gate_judge(&gate, &v, &bearer, MK_SCOPE_WRITE, 1000);
    world_run(b->c->w, 20000);
    mk_gate_judge(&gate, &v, &bearer, MK_SCOPE_WRITE, 1000);
    assert_true(!v.admitted && v.pending);
    assert_non_null(strstr(v.reason, "clause"));
    restart_members(b, NULL);
    for (unsigned i = 0; i < 3; i++) { /* the first one asks again */
        world_run(b->c->w, 10000);
        mk_gate_judge(&gate, &v, &bearer, MK_SCOPE_WRITE, 1000);
    }
    assert_true(!v.pending);
    assert_non_null(strstr(v.reason, "has no card"));
    bed_free(b);
}

static void test_members(void **state)
{
    struct bed *b = bed_new();
    struct mk_when *tagged = mk_when_offered(b->network, &b->c->deployment, SHELF_MEMBERS);
    struct mk_when *bound = mk_when_bound(b->bond);
    struct mk_when *founded = mk_when_founded(b->c->members[1].host);
    struct mk_when *leader =
        MK_WHEN_ANY(mk_when_leads(b->c->members[0].host), mk_when_leads(b->c->members[1].host),
                    mk_when_leads(b->c->members[2].host));
    struct mk_when *applied = mk_when_applied(b->c->members[2].host, SHELF_MAP, 1);
    struct told tt = {0}, ta = {0};

    (void)state;
    mk_when_start(tagged, told_cb, &tt);
    mk_when_start(applied, told_cb, &ta);
    assert_true(world_run_until(b->c->w, was_met, &tt, 60000));
    assert_true(mk_when_holds(bound) && mk_when_holds(founded) && mk_when_holds(leader));
    assert_false(mk_when_holds(applied));
    put(b, 1, 1);
    assert_true(world_run_until(b->c->w, was_met, &ta, 5000));
    mk_when_free(tagged);
    mk_when_free(bound);
    mk_when_free(founded);
    mk_when_free(leader);
    mk_when_free(applied);
    bed_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_collections),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_standing),
        cmocka_unit_test(test_gathered),
        cmocka_unit_test(test_standing_after_a_refusal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
