/* test_node.c - a node of one member and an integrator on this machine's loopback, with a machine
 * of a component author's own: what the public headers promise of machines, queries, bonds, feeds
 * and status. */
#include "node/network.h"
#include "unit.h"

#include <mosaik/feed.h>
#include <mosaik/loop.h>
#include <mosaik/map.h>
#include <mosaik/node.h>
#include <mosaik/stream.h>
#include <mosaik/ticket.h>

#include <arpa/inet.h>
#include <ftw.h>
#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 60000u

/* --- a machine: a map, a stream ------------------------------------------------------------- */

enum { BOARD_MAP, BOARD_LOG };
static const struct mk_surface_spec board_surfaces[] = {
    {.kind = MK_SURFACE_MAP, .name = "map", .key = &mk_u8_type, .value = &mk_u8_type},
    {.kind = MK_SURFACE_STREAM, .name = "log", .value = &mk_u8_type},
};

static void answer(struct mk_apply *a, uint64_t v)
{
    struct mk_buf b = {0};

    mk_buf_put_u64le(&b, v);
    mk_answer(a, mk_buf_bytes(&b));
    mk_buf_done(&b);
}

/* "=kov": key k from o to v, "-" for absent; "!": clear; "t": the time; "+v": append. */
static int board_apply(struct mk_machine *m, struct mk_apply *a, struct mk_bytes c)
{
    bool changed = false;
    int rv = 0;

    (void)m;
    if (c.n == 4 && c.p[0] == '=') {
        struct mk_bytes expect = MK_BYTES(c.p + 2, 1);

        rv = mk_map_compare_set(a, BOARD_MAP, MK_BYTES(c.p + 1, 1), c.p[2] != '-' ? &expect : NULL,
                                MK_BYTES(c.p + 3, 1), &changed);
        if (rv != 0)
            return mk_refuse(a, "%c is not %c", c.p[1], c.p[2]);
    } else if (c.n == 1 && c.p[0] == '!') {
        rv = mk_map_clear(a, BOARD_MAP, &changed);
    } else if (c.n == 1 && c.p[0] == 't') {
        answer(a, mk_apply_time_ms(a));
        return 0;
    } else if (c.n == 2 && c.p[0] == '+') {
        mk_stream_append(a, BOARD_LOG, MK_BYTES(c.p + 1, 1));
    } else {
        return mk_refuse(a, "no such command");
    }
    answer(a, changed);
    return rv;
}

/* The keys, in the order of the map. */
static int board_query(struct mk_machine *m, const struct mk_surfaces *s, struct mk_bytes query,
                       struct mk_buf *out, struct mk_fault *reterr)
{
    struct mk_id cursor = MK_ZERO_ID;
    struct mk_bytes key, value;

    (void)m;
    if (query.n > 0)
        return mk_fault(reterr, MK_EREFUSED, "a query has no bytes");
    while (mk_map_next(s, BOARD_MAP, &cursor, &key, &value)) {
        mk_buf_put(out, key.p, key.n);
        mk_buf_put(out, value.p, value.n);
    }
    return 0;
}

static void board_free(struct mk_machine *m)
{
    mk_free(m);
}

static const struct mk_machine_ops board_ops = {.name = "board",
                                                .version = 1,
                                                .surfaces = board_surfaces,
                                                .n_surfaces = 2,
                                                .apply = board_apply,
                                                .query = board_query,
                                                .free = board_free};

/* --- a node and an integrator ---------------------------------------------------------------- */

struct bed {
    struct mk_env *loop, *reader; /* the node's has a directory */
    struct mk_key key;
    struct mk_node *node;
    struct mk_network *net;
    struct mk_bond *bond;
    struct mk_arena arena;
    char dir[64], address[128];
};

static int add_board(struct mk_node *n, const struct mk_machine_ops *ops,
                     const struct mk_peer *peers, size_t n_peers, struct mk_fault *fault)
{
    static const struct mk_acl_composition open;
    struct mk_id id = mk_id_of_text(MK_STR("board"));
    struct mk_str address = MK_STR("");
    struct mk_machine *m = mk_alloc(sizeof *m);
    struct mk_roster roster = {.deployment = id, .epoch = 1, .peers = {peers, n_peers}};
    struct mk_component_options o = {.label = MK_STR("board"),
                                     .stable_id = id,
                                     .content_hash = id,
                                     .deployment = id,
                                     .roster = &roster,
                                     .addresses = &address,
                                     .acl = &open,
                                     .machine = m,
                                     .found = true};

    m->ops = ops;
    return mk_node_add(n, &o, fault);
}

static void open_node(struct bed *b)
{
    struct mk_fault fault = {{0}};

    if (mk_node_open(b->loop, &b->node,
                     &(struct mk_node_options){.key = &b->key, .listen = "127.0.0.1:0"},
                     &fault) != 0 ||
        add_board(b->node, &board_ops, &b->key.peer, 1, &fault) != 0)
        fail_msg("%s", fault.text);
}

/* An integrator that binds the board where it listens now. */
static void open_net(struct bed *b)
{
    struct mk_id id = mk_id_of_text(MK_STR("board"));
    char hex[MK_ID_HEX];
    struct mk_str address;
    struct mk_reference r = {.label = MK_STR("board"),
                             .stable_id = id,
                             .has_version0 = true,
                             .deployment = id,
                             .deployed_content = id,
                             .addresses = &address,
                             .n_addresses = 1};

    snprintf(b->address, sizeof b->address, "%s@127.0.0.1:%u", mk_peer_hex(&b->key.peer, hex),
             mk_node_port(b->node));
    address = mk_str_of(b->address);
    r.roster = (struct mk_roster){.deployment = id, .epoch = 1, .peers = {&b->key.peer, 1}};
    assert_int_equal(mk_network_open(b->loop, &b->net, &(struct mk_network_options){0}, NULL), 0);
    assert_int_equal(mk_bond_open(b->net, &b->bond, &r, NULL), 0);
}

static int bed_up(void **state)
{
    static const uint8_t seed[32] = "a node of one";
    struct bed *b = mk_alloc(sizeof *b);

    snprintf(b->dir, sizeof b->dir, "/tmp/test_node.XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    mk_key_from_seed(&b->key, seed);
    assert_int_equal(mk_loop_open(&b->loop, b->dir, NULL), 0);
    open_node(b);
    assert_int_not_equal(mk_node_port(b->node), 0);
    assert_int_equal(mk_node_port(b->node), mk_network_port(mk_node_network(b->node)));
    open_net(b);
    *state = b;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *f)
{
    (void)st;
    (void)what;
    (void)f;
    return remove(path);
}

static int remove_tree(const char *dir)
{
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int bed_down(void **state)
{
    struct bed *b = *state;
    int rv;

    mk_network_close(b->net);
    mk_node_close(b->node);
    mk_loop_turn(b->loop, 0);
    mk_loop_free(b->loop);
    mk_key_done(&b->key);
    mk_arena_done(&b->arena);
    rv = remove_tree(b->dir);
    mk_free(b);
    return rv;
}

/* The answer as a number; UINT64_MAX when it was refused with that rule. */
static uint64_t put(struct bed *b, const char *command, const char *rule)
{
    struct mk_fault fault = {{0}};
    struct mk_outcome o;
    struct mk_reader r;
    int rv = mk_execute_wait(b->bond, &o, MK_BYTES(command, strlen(command)), MK_STEP_CERTIFIED,
                             WAIT_MS, &b->arena, &fault);

    if (rule != NULL) {
        assert_int_equal(rv, MK_EREFUSED);
        assert_string_equal(fault.text, rule);
        return UINT64_MAX;
    }
    if (rv != 0)
        fail_msg("%s: %s", command, fault.text);
    r = (struct mk_reader){.p = o.answer.p, .n = o.answer.n};
    return mk_read_u64le(&r);
}

static void holds(struct bed *b, size_t n_keys, const char *has)
{
    struct mk_outcome o;

    for (unsigned linearizable = 0; linearizable < 2; linearizable++) {
        assert_int_equal(
            mk_query_wait(b->bond, &o, MK_BYTES(NULL, 0), linearizable, WAIT_MS, &b->arena, NULL),
            0);
        assert_int_equal(o.answer.n, 2 * n_keys);
        assert_true(has == NULL || memmem(o.answer.p, o.answer.n, has, 2) != NULL);
    }
}

/* --- tests ------------------------------------------------------------------------------------ */

static void test_a_machines_map(void **state)
{
    struct bed *b = *state;
    struct mk_map *m;

    assert_int_equal(put(b, "=a-1", NULL), 1);
    put(b, "=a-2", "a is not -");
    put(b, "=a52", "a is not 5");
    assert_int_equal(put(b, "=a11", NULL), 0); /* as it was: no commit */
    assert_int_equal(put(b, "=a12", NULL), 1);
    assert_int_equal(put(b, "=b-9", NULL), 1);
    put(b, "?", "no such command");
    holds(b, 2, "a2");
    assert_int_equal(mk_map_open(b->bond, &m, &board_surfaces[BOARD_MAP], NULL, NULL), 0);
    assert_int_equal(mk_map_size(m), 0); /* nothing is shown before it is verified */
    assert_int_equal(mk_map_wait(m, 0, WAIT_MS, NULL), 0);
    assert_int_equal(mk_map_size(m), 2);
    mk_map_close(m);
    assert_int_equal(put(b, "!", NULL), 1);
    assert_int_equal(put(b, "!", NULL), 0);
    holds(b, 0, NULL);
}

static void test_a_machines_time(void **state)
{
    struct bed *b = *state;
    uint64_t first = 0, next;

    for (unsigned i = 0; i < 1000 && first == 0; i++) { /* until its committee has spoken */
        first = put(b, "t", NULL);
        mk_loop_turn(b->loop, 10);
    }
    assert_true(first > 1700000000000ull);
    next = put(b, "t", NULL);
    assert_true(next >= first && next - first < 60000);
}

static void test_a_query_is_refused(void **state)
{
    struct bed *b = *state;
    struct mk_fault fault = {{0}};
    struct mk_outcome o;

    assert_int_equal(mk_query_wait(b->bond, &o, MK_BYTES("x", 1), true, WAIT_MS, &b->arena, &fault),
                     MK_EREFUSED);
    assert_string_equal(fault.text, "a query has no bytes");
}

struct watcher {
    struct mk_bond_watch watch;
    unsigned n;
    struct mk_bond_status last;
};

static void bond_changed(struct mk_bond_watch *w, struct mk_bond *bond)
{
    struct watcher *x = mk_container_of(w, struct watcher, watch);

    x->n++;
    mk_bond_status(bond, &x->last);
}

static bool left_ready(void *arg)
{
    return ((struct watcher *)arg)->last.state != MK_BOND_READY;
}

static void test_a_bond_is_watched(void **state)
{
    struct bed *b = *state;
    struct watcher stays = {.watch.changed = bond_changed}, goes = stays;

    mk_bond_watch(b->bond, &stays.watch);
    mk_bond_watch(b->bond, &goes.watch);
    assert_int_equal(mk_bond_wait(b->bond, WAIT_MS, NULL), 0);
    mk_loop_turn(b->loop, 0);
    assert_int_equal(stays.last.state, MK_BOND_READY);
    assert_true(stays.n > 0 && goes.n == stays.n);
    mk_bond_unwatch(b->bond, &goes.watch);
    mk_node_close(b->node);
    b->node = NULL;
    assert_true(mk_loop_run_until(b->loop, left_ready, &stays, WAIT_MS));
    assert_true(stays.n > goes.n);
    mk_bond_unwatch(b->bond, &stays.watch);
}

static void feed_item(struct mk_feed *f, uint64_t index, struct mk_bytes item)
{
    uint64_t *last = mk_feed_owner(f);

    (void)item;
    assert_int_equal(index, *last + 1);
    *last = index;
}

static void feed_ended(struct mk_feed *f, int status, const struct mk_fault *fault)
{
    (void)f;
    fail_msg("%d: %s", status, fault->text);
}

static bool has_six(void *last)
{
    return *(uint64_t *)last == 6;
}

static void test_a_paused_feed(void **state)
{
    static const struct mk_feed_cbs cbs = {.item = feed_item, .ended = feed_ended};
    struct mk_feed_options o = {.from = MK_FEED_OLDEST};
    struct bed *b = *state;
    uint64_t paused = 0, reads = 0;
    struct mk_feed *f, *g;

    assert_int_equal(mk_feed_open(b->bond, &f, &board_surfaces[BOARD_LOG], &o, &cbs, &paused), 0);
    assert_int_equal(mk_feed_open(b->bond, &g, &board_surfaces[BOARD_LOG], &o, &cbs, &reads), 0);
    mk_feed_pause(f, true);
    for (unsigned i = 0; i < 6; i++)
        put(b, "+x", NULL);
    assert_true(mk_loop_run_until(b->loop, has_six, &reads, WAIT_MS));
    assert_int_equal(paused, 0);
    mk_feed_pause(f, false);
    assert_true(mk_loop_run_until(b->loop, has_six, &paused, WAIT_MS));
    mk_feed_close(f);
    mk_feed_close(g);
}

/* A record by which the board is bound without its file. */
static void deploy_board(struct bed *b, const struct mk_key *by)
{
    struct mk_id id = mk_id_of_text(MK_STR("board"));
    struct mk_deployment d = {.stable_id = id,
                              .deployment = id,
                              .content_hash = id,
                              .version = 1,
                              .roster = {.deployment = id, .epoch = 1, .peers = {&b->key.peer, 1}},
                              .operator= by->peer };
    struct mk_buf message = {0}, record = {0};
    struct mk_fault fault = {{0}};

    mk_buf_put_str(&message, "mosaik.deployment.v1");
    mk_encode(&message, &mk_deployment_type, &d);
    message.n -= sizeof d.signature;
    mk_sign(by, mk_buf_bytes(&message), &d.signature);
    mk_encode(&record, &mk_deployment_type, &d);
    if (mk_discovery_publish(b->net->discovery, mk_buf_bytes(&record), &fault) != 0)
        fail_msg("%s", fault.text);
    mk_buf_done(&message);
    mk_buf_done(&record);
}

static void test_a_feed_that_was_paused_early(void **state)
{
    static const struct mk_feed_cbs cbs = {.item = feed_item, .ended = feed_ended};
    static const uint8_t seed[32] = "an operator";
    struct bed *b = *state;
    struct mk_key by;
    struct mk_str address = mk_str_of(b->address);
    struct mk_reference r = {.label = MK_STR("board"),
                             .stable_id = mk_id_of_text(MK_STR("board")),
                             .addresses = &address,
                             .n_addresses = 1};
    uint64_t paused = 0, reads = 0;
    struct mk_feed *f, *g;
    struct mk_bond *bond;

    mk_key_from_seed(&by, seed);
    r.operator_ = (struct mk_opt_peer){true, by.peer};
    assert_int_equal(mk_bond_open(b->net, &bond, &r, NULL), 0);
    assert_int_equal(mk_feed_open(bond, &f, &board_surfaces[BOARD_LOG], NULL, &cbs, &paused), 0);
    assert_int_equal(mk_feed_open(bond, &g, &board_surfaces[BOARD_LOG], NULL, &cbs, &reads), 0);
    mk_feed_pause(f, true); /* nobody knows yet what runs */
    deploy_board(b, &by);
    assert_int_equal(mk_bond_wait(bond, WAIT_MS, NULL), 0);
    for (unsigned i = 0; i < 6; i++)
        put(b, "+x", NULL);
    assert_true(mk_loop_run_until(b->loop, has_six, &reads, WAIT_MS));
    assert_int_equal(paused, 0);
    mk_feed_pause(f, false);
    assert_true(mk_loop_run_until(b->loop, has_six, &paused, WAIT_MS));
    mk_feed_close(f);
    mk_feed_close(g);
    mk_bond_close(bond);
    mk_key_done(&by);
}

static void take(struct bed *b, struct mk_feed *f, uint64_t index)
{
    struct mk_fault fault = {{0}};
    struct mk_feed_cursor at = {.index = 0};
    struct mk_bytes item;
    uint64_t got;

    if (mk_feed_next_wait(f, &item, &got, WAIT_MS, &b->arena, &fault) != 0)
        fail_msg("%s", fault.text);
    assert_int_equal(got, index);
    assert_true(mk_feed_cursor(f, &at));
    assert_int_equal(at.index, index);
    assert_int_equal(mk_feed_lost(f), 0);
}

static void test_a_feed_goes_on_at_a_cursor(void **state)
{
    static const struct mk_feed_cbs cbs = {.item = feed_item, .ended = feed_ended};
    struct mk_feed_options o = {.from = MK_FEED_NEWEST}, after = {.from = MK_FEED_AFTER};
    struct bed *b = *state;
    struct mk_feed_cursor begin = {.index = 99};
    uint64_t last = 4;
    struct mk_feed *f;

    put(b, "+x", NULL);
    put(b, "+x", NULL);
    assert_int_equal(mk_feed_open(b->bond, &f, &board_surfaces[BOARD_LOG], &o, NULL, NULL), 0);
    assert_false(mk_feed_cursor(f, &begin)); /* nobody has served it */
    assert_int_equal(begin.index, 99);
    while (!mk_feed_cursor(f, &begin))
        mk_loop_turn(b->loop, 10);
    assert_int_equal(begin.index, 2); /* where it begins, before anything came */
    mk_feed_close(f);
    for (unsigned i = 0; i < 4; i++)
        put(b, "+x", NULL);
    after.after = begin;
    assert_int_equal(mk_feed_open(b->bond, &f, &board_surfaces[BOARD_LOG], &after, NULL, NULL), 0);
    take(b, f, 3);
    take(b, f, 4);
    assert_true(mk_feed_cursor(f, &after.after));
    mk_feed_close(f);
    assert_int_equal(mk_feed_open(b->bond, &f, &board_surfaces[BOARD_LOG], &after, &cbs, &last), 0);
    assert_true(mk_loop_run_until(b->loop, has_six, &last, WAIT_MS));
    assert_true(mk_feed_cursor(f, &begin));
    assert_int_equal(begin.index, 6);
    mk_feed_close(f);
    after.after.surface.b[0] ^= 1;
    assert_int_equal(mk_feed_open(b->bond, &f, &board_surfaces[BOARD_LOG], &after, NULL, NULL),
                     MK_EINVALID);
}

static void test_status_is_asked(void **state)
{
    struct bed *b = *state;
    struct mk_fault fault = {{0}};
    struct mk_buf json = {0};
    char hex[MK_ID_HEX], gone[128];

    assert_int_equal(mk_node_ask_status(b->net, mk_str_of(b->address), WAIT_MS, &json, &fault), 0);
    mk_peer_hex(&b->key.peer, hex);
    assert_non_null(memmem(json.p, json.n, hex, 64));
    assert_non_null(memmem(json.p, json.n, "\"component\":\"board\"", 19));
    mk_buf_clear(&json);
    memset(hex, 'a', 64);
    snprintf(gone, sizeof gone, "%.64s@127.0.0.1:%u", hex, mk_node_port(b->node));
    assert_int_equal(mk_node_ask_status(b->net, mk_str_of(gone), 4000, &json, &fault),
                     MK_EUNREACHABLE);
    assert_non_null(strstr(fault.text, "another peer answered"));
    assert_int_equal(json.n, 0);
    mk_buf_done(&json);
}

static void test_the_network_says_what_it_bound(void **state)
{
    struct bed *b = *state;
    struct mk_buf json = {0};

    assert_int_equal(mk_bond_wait(b->bond, WAIT_MS, NULL), 0);
    mk_network_status(b->net, &json);
    mk_buf_put_u8(&json, 0);
    assert_non_null(strstr((const char *)json.p, "\"bonds\":[{\"component\":\"board\""));
    assert_non_null(strstr((const char *)json.p, "\"state\":\"ready\",\"why\":\"\""));
    mk_buf_done(&json);
}

static bool in_metrics(struct mk_node *n, const char *line)
{
    struct mk_buf text = {0};
    bool found;

    mk_node_metrics(n, &text);
    mk_buf_put_u8(&text, 0);
    found = strstr((const char *)text.p, line) != NULL;
    mk_buf_done(&text);
    return found;
}

static void stream_item(struct mk_consumer *c, uint64_t seq, struct mk_bytes item)
{
    (void)item;
    *(uint64_t *)mk_consumer_owner(c) = seq;
}

static void test_streams_are_measured(void **state)
{
    static const struct mk_consumer_cbs cbs = {.item = stream_item};
    struct bed *b = *state;
    struct mk_network *n = mk_node_network(b->node);
    struct mk_producer_options o = {.surface = {{0xab}}};
    struct mk_consumer_options c = {
        .surface = {{0xab}}, .producer = b->key.peer, .address = strchr(b->address, '@') + 1};
    struct mk_producer *p;
    struct mk_consumer *got, *own;
    uint64_t last = 0, none = 0;

    assert_int_equal(mk_producer_open(n, &p, &o), 0);
    assert_int_equal(mk_consumer_open(b->net, &got, &c, &cbs, &last), 0);
    c.surface.b[1] = 1; /* that nobody produces, at somebody else */
    c.producer = *mk_network_peer(b->net);
    c.address = NULL;
    assert_int_equal(mk_consumer_open(n, &own, &c, &cbs, &none), 0);
    assert_int_equal(mk_consumer_wait_subscribed(got, WAIT_MS, NULL), 0);
    for (unsigned i = 0; i < 6; i++)
        mk_producer_send(p, MK_BYTES("x", 1));
    assert_true(mk_loop_run_until(b->loop, has_six, &last, WAIT_MS));
    assert_true(in_metrics(b->node, "stream_subscribers{surface=\"ab00000000000000\"} 1\n"));
    assert_true(in_metrics(b->node, "stream_items_total{surface=\"ab00000000000000\"} 6\n"));
    assert_true(
        in_metrics(b->node, "consumer_subscribed{surface=\"ab01000000000000\",producer=\""));
    assert_string_equal(mk_consumer_why(got), "");
    assert_true(strlen(mk_consumer_why(own)) > 0);
    mk_consumer_close(got);
    mk_consumer_close(own);
    mk_producer_close(p);
    assert_false(in_metrics(b->node, "stream_subscribers{"));
}

struct counting_rule {
    struct mk_stream_rule rule;
    unsigned asked;
    size_t n_tickets; /* that were shown last */
};

static bool counts(struct mk_stream_rule *base, const struct mk_bearer *b, uint32_t rtt_us,
                   char reason[256])
{
    struct counting_rule *r = mk_container_of(base, struct counting_rule, rule);

    (void)rtt_us;
    (void)reason;
    r->asked++;
    r->n_tickets = b->n_tickets;
    return true;
}

static bool shows_two(void *rule)
{
    return ((struct counting_rule *)rule)->n_tickets == 2;
}

/** Judging costs signatures: who renews all the time is judged once a second, by the last word. */
static void test_renewals_are_judged_once_a_second(void **state)
{
    static const struct mk_consumer_cbs cbs = {.item = stream_item};
    struct bed *b = *state;
    struct counting_rule rule = {.rule.admits = counts};
    struct mk_producer_options o = {.surface = {{0xcd}}, .rule = &rule.rule};
    struct mk_consumer_options c = {
        .surface = {{0xcd}}, .producer = b->key.peer, .address = strchr(b->address, '@') + 1};
    struct mk_ticket t = {.class = {{9}}};
    struct mk_buf ticket = {0};
    struct mk_bytes many[9];
    struct mk_producer *p;
    struct mk_consumer *got;
    struct mk_fault fault;
    uint64_t last = 0;
    unsigned asked;

    mk_encode(&ticket, &mk_ticket_type, &t);
    for (unsigned i = 0; i < 9; i++)
        many[i] = mk_buf_bytes(&ticket);
    assert_int_equal(mk_producer_open(mk_node_network(b->node), &p, &o), 0);
    assert_int_equal(mk_consumer_open(b->net, &got, &c, &cbs, &last), 0);
    assert_int_equal(mk_consumer_wait_subscribed(got, WAIT_MS, NULL), 0);
    asked = rule.asked;
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(mk_network_renew(b->net, many, i < 99 ? 1 : 2, &fault), 0);
        mk_loop_turn(b->loop, 0);
    }
    assert_true(mk_loop_run_until(b->loop, shows_two, &rule, WAIT_MS));
    assert_in_range(rule.asked - asked, 2, 10); /* a slow machine has several seconds */
    many[1].n--;
    assert_int_equal(mk_network_renew(b->net, many, 2, &fault), MK_EMALFORMED);
    assert_non_null(strstr(fault.text, "ticket 1 is none"));
    assert_int_equal(mk_network_renew(b->net, many, 9, &fault), MK_ELIMIT);
    mk_consumer_close(got);
    mk_producer_close(p);
    mk_buf_done(&ticket);
}

static void test_anothers_ticket_is_not_shown(void **state)
{
    struct bed *b = *state;
    struct mk_claims claims = {.iss = {{7}}, .read = true, .iat = 1, .nbf = 1, .exp = 1000};
    struct mk_peer_signature share = {.peer = b->key.peer};
    struct mk_fault fault = {{0}};
    struct mk_buf json = {0}, ticket = {0};
    struct mk_bytes one;

    for (unsigned i = 0; i < 2; i++) {
        if (i == 1)
            claims.sub = *mk_network_peer(b->net);
        mk_buf_clear(&json);
        mk_buf_clear(&ticket);
        mk_claims_format(&claims, &json);
        mk_ticket_sign(&b->key, &claims.iss, 1, mk_buf_bytes(&json), &share.signature);
        assert_int_equal(
            mk_ticket_build(&ticket, &claims.iss, 1, mk_buf_bytes(&json), &share, 1, &fault), 0);
        one = mk_buf_bytes(&ticket);
        assert_int_equal(mk_network_renew(b->net, &one, 1, &fault), i == 0 ? MK_EREFUSED : 0);
        assert_int_equal(b->net->wallet.n, i);
    }
    assert_non_null(strstr(fault.text, "ticket 0 is another peer's: its sub is 0000"));
    mk_buf_done(&json);
    mk_buf_done(&ticket);
}

static void other_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    (void)detail;
    *(unsigned *)c->owner = close;
}

static void other_message(struct mk_conv *c, struct mk_bytes m)
{
    (void)c;
    fail_msg("%zu bytes came", m.n);
}

static bool is_closed(void *close)
{
    return *(unsigned *)close != 0;
}

static void test_garbage_for_tickets(void **state)
{
    static const struct mk_conv_cbs cbs = {.message = other_message, .closed = other_closed};
    struct bed *b = *state;
    unsigned close = 0;
    struct mk_conv *c;

    assert_int_equal(mk_bond_wait(b->bond, WAIT_MS, NULL), 0);
    assert_int_equal(mk_conv_open(mk_net_link(b->net->net, &b->key.peer), &c, "tickets",
                                  MK_BYTES("\xff\xff garbage", 10), &cbs, &close),
                     0);
    assert_true(mk_loop_run_until(b->loop, is_closed, &close, WAIT_MS));
    assert_int_equal(close, MK_CLOSE_MALFORMED);
}

static void test_the_same_component_twice(void **state)
{
    struct bed *b = *state;
    struct mk_fault fault = {{0}};

    assert_int_equal(add_board(b->node, &board_ops, &b->key.peer, 1, &fault), MK_EEXISTS);
    assert_non_null(strstr(fault.text, "already"));
    assert_int_equal(put(b, "=a-1", NULL), 1); /* the first one goes on */
}

static void test_a_roster_of_another_deployment(void **state)
{
    struct bed *b = *state;
    struct mk_fault fault = {{0}};
    struct mk_id id = mk_id_of_text(MK_STR("zero"));
    struct mk_roster roster = {.epoch = 1, .peers = {&b->key.peer, 1}};
    static const struct mk_acl_composition open;
    struct mk_machine m = {.ops = &board_ops};
    struct mk_component_options o = {.label = MK_STR("zero"),
                                     .stable_id = id,
                                     .deployment = id,
                                     .roster = &roster,
                                     .acl = &open,
                                     .machine = &m};
    struct mk_reference r = {.label = MK_STR("zero"),
                             .stable_id = id,
                             .has_version0 = true,
                             .deployment = id,
                             .roster = roster};
    struct mk_bond *bond;

    assert_int_equal(mk_node_add(b->node, &o, &fault), MK_EINVALID);
    assert_string_equal(fault.text, "zero: the roster's deployment is not the component's");
    assert_int_equal(mk_bond_open(b->net, &bond, &r, &fault), MK_EINVALID);
    assert_string_equal(fault.text, "zero: the roster's deployment is not the reference's");
    roster.deployment = id;
    o.replica = true;
    assert_int_equal(mk_node_add(b->node, &o, &fault), MK_EINVALID);
    assert_non_null(strstr(fault.text, "zero: replica = true, but this node's key is of"));
}

/* A deployment of one member at an address; both lent. */
static struct mk_reference reference_of(const char *label, const struct mk_peer *member,
                                        const struct mk_str *address)
{
    struct mk_id id = mk_id_of_text(mk_str_of(label));

    return (struct mk_reference){.label = mk_str_of(label),
                                 .stable_id = id,
                                 .has_version0 = true,
                                 .deployment = id,
                                 .deployed_content = id,
                                 .roster = {.deployment = id, .epoch = 1, .peers = {member, 1}},
                                 .addresses = address,
                                 .n_addresses = 1};
}

/* Whoever takes connections and says nothing is named, long before a handshake is given up. */
static void test_a_silent_member(void **state)
{
    static const struct mk_peer silent = {{7}};
    struct bed *b = *state;
    struct mk_fault fault = {{0}};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int s = socket(AF_INET, SOCK_STREAM, 0);
    char text[128], why[MK_FAULT_MAX];
    struct mk_str address;
    struct mk_reference r = reference_of("silent", &silent, &address);
    struct mk_bond *bond;

    assert_true(s >= 0);
    assert_int_equal(bind(s, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(s, 8), 0);
    assert_int_equal(getsockname(s, (struct sockaddr *)&at, &n), 0);
    snprintf(text, sizeof text, "07%062d@127.0.0.1:%u", 0, ntohs(at.sin_port));
    address = mk_str_of(text);
    assert_int_equal(mk_bond_open(b->net, &bond, &r, NULL), 0);
    assert_int_equal(mk_bond_wait(bond, 700, &fault), MK_EUNREACHABLE);
    assert_non_null(strstr(fault.text, "took the connection and is silent for "));
    mk_network_why_not(b->net, &silent, why);
    assert_non_null(strstr(why, text + 65));
    assert_non_null(strstr(why, "took the connection and is silent for "));
    mk_bond_close(bond);
    close(s);
}

static void test_nobody_answers(void **state)
{
    static const struct mk_peer nobody = {{7}};
    struct bed *b = *state;
    struct mk_fault fault = {{0}};
    struct mk_str address =
        MK_STR("0700000000000000000000000000000000000000000000000000000000000000@127.0.0.1:1");
    struct mk_reference r = reference_of("elsewhere", &nobody, &address);
    struct mk_bond *bond;

    assert_int_equal(mk_bond_open(b->net, &bond, &r, &fault), 0); /* at once */
    assert_int_equal(mk_bond_wait(bond, 1000, &fault), MK_EUNREACHABLE);
    assert_non_null(strstr(fault.text, "07000000"));
    assert_non_null(strstr(fault.text, "nobody answered"));
    mk_bond_close(bond);
}

static void test_what_a_component_must_have(void **state)
{
    static const struct mk_acl_composition open;
    struct bed *b = *state;
    struct mk_id id = mk_id_of_text(MK_STR("another"));
    struct mk_roster roster = {.deployment = id, .epoch = 1, .peers = {&b->key.peer, 1}};
    struct mk_machine m = {.ops = &board_ops};
    static const char *const names[] = {"`roster`", "`acl`", "`machine`"};

    for (unsigned i = 0; i < 3; i++) {
        struct mk_component_options o = {.label = MK_STR("another"), .deployment = id};
        struct mk_fault fault = {{0}};

        o.roster = i == 0 ? NULL : &roster;
        o.acl = i == 1 ? NULL : &open;
        o.machine = i == 2 ? NULL : &m;
        assert_int_equal(mk_node_add(b->node, &o, &fault), MK_EINVALID);
        assert_non_null(strstr(fault.text, "another: "));
        assert_non_null(strstr(fault.text, names[i]));
    }
}

static void test_a_member_of_another_deployment(void **state)
{
    static const struct mk_acl_composition open;
    struct bed *b = *state;
    struct mk_fault fault = {{0}};
    struct mk_id id = mk_id_of_text(MK_STR("elsewhere"));
    struct mk_str address = mk_str_of(b->address);
    struct mk_reference r = reference_of("elsewhere", &b->key.peer, &address);
    struct mk_component_options o = {.label = MK_STR("elsewhere"),
                                     .stable_id = id,
                                     .content_hash = id,
                                     .deployment = id,
                                     .roster = &r.roster,
                                     .acl = &open,
                                     .found = true};
    struct mk_machine *m = mk_alloc(sizeof *m);
    struct mk_bond_status st;
    struct mk_bond *bond;

    assert_int_equal(mk_bond_open(b->net, &bond, &r, &fault), 0);
    for (unsigned i = 0; i < 3; i++) { /* long before the deadline, each time asked anew */
        assert_int_equal(mk_bond_wait(bond, 10 * WAIT_MS, &fault), MK_EUNREACHABLE);
        assert_non_null(strstr(fault.text, "not run by any member that can be reached"));
        assert_non_null(strstr(fault.text, "the peer runs another deployment"));
        assert_non_null(strstr(fault.text, "nor another one of this component"));
    }
    mk_bond_status(bond, &st);
    assert_int_equal(st.state, MK_BOND_CONNECTING);
    assert_non_null(strstr(st.text, "is not run here"));
    assert_int_equal(st.linked, 1);
    assert_int_equal(mk_bond_wait(b->bond, WAIT_MS, &fault), 0); /* the one that it runs */
    m->ops = &board_ops;
    o.machine = m;
    assert_int_equal(mk_node_add(b->node, &o, &fault), 0);
    assert_int_equal(mk_bond_wait(bond, WAIT_MS, &fault), 0); /* it came */
    mk_bond_close(bond);
}

static void test_another_deployment_is_named(void **state)
{
    struct bed *b = *state;
    struct mk_id expected = mk_id_of_text(MK_STR("the next board"));
    struct mk_id actual = mk_id_of_text(MK_STR("board"));
    struct mk_str addresses[2] = {
        mk_str_of(b->address),
        MK_STR("0700000000000000000000000000000000000000000000000000000000000000@127.0.0.1:1")};
    struct mk_peer peers[2] = {{{7}}, b->key.peer};
    struct mk_reference r = {.label = MK_STR("board"),
                             .stable_id = actual,
                             .has_version0 = true,
                             .deployment = expected,
                             .deployed_content = expected,
                             .roster = {.deployment = expected, .epoch = 1, .peers = {peers, 2}},
                             .addresses = addresses,
                             .n_addresses = 2};
    struct mk_fault fault = {{0}};
    char text[MK_FAULT_MAX], was[MK_ID_HEX], is[MK_ID_HEX];
    struct mk_bond *bond;

    if (mk_peer_cmp(&peers[0], &peers[1]) > 0) {
        peers[0] = b->key.peer;
        peers[1] = (struct mk_peer){{7}};
    }
    snprintf(text, sizeof text, "deployment %.16s is not run here, but %.16s is",
             mk_id_hex(&expected, was), mk_id_hex(&actual, is));
    assert_int_equal(mk_bond_open(b->net, &bond, &r, &fault), 0);
    assert_int_equal(mk_bond_wait(bond, 10 * WAIT_MS, &fault), MK_EUNREACHABLE);
    assert_non_null(strstr(fault.text, text)); /* the other member is not there */
    mk_bond_close(bond);
}

static void test_one_node_a_loop(void **state)
{
    struct mk_node_options o = {.listen = "127.0.0.1:0"};
    struct bed *b = *state;
    struct mk_fault fault = {{0}};
    struct mk_node *other;
    struct mk_env *loop;

    o.key = &b->key;
    assert_int_equal(mk_node_open(b->loop, &other, &o, &fault), MK_EINUSE);
    assert_non_null(strstr(fault.text, "a node is open on this loop already"));
    assert_int_equal(mk_node_set_aside(b->loop, "why", &fault), MK_EINUSE);
    assert_int_equal(put(b, "=a-1", NULL), 1); /* the first is as it was */
    assert_int_equal(mk_loop_open(&loop, b->dir, NULL), 0);
    assert_int_equal(mk_node_open(loop, &other, &o, &fault), MK_EINUSE);
    assert_non_null(strstr(fault.text, "by another node of this one"));
    mk_loop_free(loop);
    mk_node_close(b->node);
    open_node(b); /* what was written is there: on this loop again */
    b->bond = NULL;
    mk_network_close(b->net);
    open_net(b);
    assert_int_equal(put(b, "=b-1", NULL), 1);
    holds(b, 2, "a1");
}

/* What the process says that frees a loop on which a node is open. */
static void test_a_loop_with_a_node_is_not_freed(void **state)
{
    char dir[] = "/tmp/test_node.XXXXXX", said[1024] = {0};
    int out[2], status;
    pid_t child;

    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(pipe(out), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct bed b = {0};
        uint8_t seed[32] = {9};

        signal(SIGABRT, SIG_DFL);
        dup2(out[1], 2);
        mk_key_from_seed(&b.key, seed);
        if (mk_loop_open(&b.loop, dir, NULL) == 0 &&
            mk_node_open(b.loop, &b.node,
                         &(struct mk_node_options){.key = &b.key, .listen = "127.0.0.1:0"},
                         NULL) == 0)
            mk_loop_free(b.loop);
        _exit(0);
    }
    close(out[1]);
    for (ssize_t n = 1, at = 0; n > 0 && at<(ssize_t)sizeof said - 1; at += n> 0 ? n : 0)
        n = read(out[0], said + at, sizeof said - 1 - (size_t)at);
    close(out[0]);
    assert_true(waitpid(child, &status, 0) == child);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_non_null(strstr(said, "a node is still open on this loop"));
    assert_int_equal(remove_tree(dir), 0);
}

/* --- two members of which one runs another build --------------------------------------------- */

struct pair {
    struct mk_env *loops[2];
    struct mk_key keys[2];
    struct mk_node *nodes[2];
    char dirs[2][64];
};

static bool says_machine(void *arg)
{
    struct pair *p = arg;
    struct mk_buf json = {0};
    bool found;

    mk_loop_turn(p->loops[1], 0);
    mk_node_status(p->nodes[0], &json);
    mk_buf_put_u8(&json, 0);
    found = strstr((const char *)json.p, "runs machine board version 1 (") != NULL &&
            strstr((const char *)json.p, " board version 2 (") != NULL;
    mk_buf_done(&json);
    return found;
}

static void test_another_machine_is_refused_by_name(void **state)
{
    struct mk_machine_ops other = board_ops;
    struct mk_fault fault = {{0}};
    struct pair p = {.dirs = {"/tmp/test_node.XXXXXX", "/tmp/test_node.XXXXXX"}};
    struct mk_peer peers[2];
    char address[2][128], hex[MK_ID_HEX];

    (void)state;
    other.version = 2;
    for (unsigned i = 0; i < 2; i++) {
        uint8_t seed[32] = {(uint8_t)(i + 1)};

        mk_key_from_seed(&p.keys[i], seed);
        peers[i] = p.keys[i].peer;
    }
    if (mk_peer_cmp(&peers[0], &peers[1]) > 0) {
        peers[0] = p.keys[1].peer;
        peers[1] = p.keys[0].peer;
    }
    for (unsigned i = 0; i < 2; i++) {
        struct mk_node_options o = {.key = &p.keys[i], .listen = "127.0.0.1:0"};
        struct mk_str hint = mk_str_of(address[0]);

        o.hints = &hint;
        o.n_hints = i; /* the second knows the first */
        assert_non_null(mkdtemp(p.dirs[i]));
        assert_int_equal(mk_loop_open(&p.loops[i], p.dirs[i], NULL), 0);
        if (mk_node_open(p.loops[i], &p.nodes[i], &o, &fault) != 0 ||
            add_board(p.nodes[i], i == 0 ? &board_ops : &other, peers, 2, &fault) != 0)
            fail_msg("%s", fault.text);
        snprintf(address[i], sizeof address[i], "%s@127.0.0.1:%u",
                 mk_peer_hex(&p.keys[i].peer, hex), mk_node_port(p.nodes[i]));
    }
    assert_true(mk_loop_run_until(p.loops[0], says_machine, &p, WAIT_MS));
    for (unsigned i = 0; i < 2; i++) {
        mk_node_close(p.nodes[i]);
        mk_loop_turn(p.loops[i], 0);
        mk_loop_free(p.loops[i]);
        mk_key_done(&p.keys[i]);
    }
    assert_int_equal(remove_tree(p.dirs[0]), 0);
    assert_int_equal(remove_tree(p.dirs[1]), 0);
}

int main(void)
{
#define ON_A_NODE(f) cmocka_unit_test_setup_teardown(f, bed_up, bed_down)
    const struct CMUnitTest tests[] = {
        ON_A_NODE(test_a_machines_map),
        ON_A_NODE(test_a_machines_time),
        ON_A_NODE(test_a_query_is_refused),
        ON_A_NODE(test_a_bond_is_watched),
        ON_A_NODE(test_a_paused_feed),
        ON_A_NODE(test_a_feed_that_was_paused_early),
        ON_A_NODE(test_a_feed_goes_on_at_a_cursor),
        ON_A_NODE(test_status_is_asked),
        ON_A_NODE(test_the_network_says_what_it_bound),
        ON_A_NODE(test_streams_are_measured),
        ON_A_NODE(test_renewals_are_judged_once_a_second),
        ON_A_NODE(test_garbage_for_tickets),
        ON_A_NODE(test_anothers_ticket_is_not_shown),
        ON_A_NODE(test_the_same_component_twice),
        ON_A_NODE(test_a_roster_of_another_deployment),
        ON_A_NODE(test_a_silent_member),
        ON_A_NODE(test_nobody_answers),
        ON_A_NODE(test_a_member_of_another_deployment),
        ON_A_NODE(test_another_deployment_is_named),
        ON_A_NODE(test_one_node_a_loop),
        ON_A_NODE(test_what_a_component_must_have),
        cmocka_unit_test(test_a_loop_with_a_node_is_not_freed),
        cmocka_unit_test(test_another_machine_is_refused_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
