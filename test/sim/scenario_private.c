/* A committee whose members speak on a network of their own, derive(deployment, "private"), behind
 * the listeners that everybody dials: clients and readers notice nothing, through kills too;
 * strangers do not come in, and are told why. And, over it, evidence: what one committee certified,
 * cited by the commands of another. */
#include "citer.h"
#include "shelf.h"

#include "group/wire.h"
#include "net/net.h"
#include "node/node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define AGENT 20u
#define STRANGER 21u

/* --- a writer ------------------------------------------------------------------------------- */

struct writer {
    struct mk_bond *bond;
    struct mk_exec exec;
    bool done;
    int status;
    char text[MK_FAULT_MAX];
};

static void exec_cb(struct mk_exec *x, int status, const struct mk_outcome *outcome,
                    const struct mk_fault *fault)
{
    struct writer *w = mk_container_of(x, struct writer, exec);

    (void)outcome;
    w->done = true;
    w->status = status;
    snprintf(w->text, sizeof w->text, "%s", fault != NULL ? fault->text : "");
}

static bool is_done(void *arg)
{
    return ((struct writer *)arg)->done;
}

static int write_number(struct shelf *c, struct writer *w, uint64_t n)
{
    struct mk_buf value = {0}, command = {0};
    struct mk_bytes item = shelf_number(&value, n);
    struct mk_op append = {.tag = mk_op_Append, .u.append = {.items = {&item, 1}}};

    mk_collection_command_put(&command, &shelf_specs[SHELF_STREAM], &append);
    w->exec.cb = exec_cb;
    w->done = false;
    assert_int_equal(
        mk_execute(w->bond, &w->exec, mk_buf_bytes(&command), MK_STEP_CERTIFIED, 20000), 0);
    assert_true(world_run_until(c->w, is_done, w, 30000));
    mk_buf_done(&value);
    mk_buf_done(&command);
    return w->status;
}

/* Members' conversations are on the private network alone. */
static unsigned links_on(struct mk_net *net, const struct shelf *c)
{
    unsigned n = 0;

    for (unsigned i = 0; i < SHELF_MEMBERS; i++)
        n += mk_net_link(net, &c->peers[i]) != NULL;
    return n;
}

static void test_through_kills(void **state)
{
    struct shelf *c = shelf_new_private(31);
    struct writer w = {0};
    struct mk_network *agent = shelf_agent(c, AGENT, false, &w.bond);

    (void)state;
    for (unsigned i = 0; i < 9; i++) {
        if (write_number(c, &w, i) != 0)
            fail_msg("%s", w.text);
        if (i % 3 == 2) {
            world_crash(c->w, i / 3);
            world_run(c->w, 2000);
            world_restart(c->w, i / 3);
            world_run(c->w, 3000);
        }
    }
    for (unsigned i = 0; i < SHELF_MEMBERS; i++) {
        struct mk_host *h = c->members[i].host;

        assert_non_null(h->inner);
        assert_int_equal(links_on(h->inner, c), SHELF_MEMBERS - 1);
        assert_null(mk_net_link(h->inner, mk_network_peer(agent)));
        assert_int_equal(mk_surface_index(mk_host_surfaces(h), SHELF_STREAM), 9);
    }
    mk_network_close(agent);
    shelf_free(c);
}

/* --- strangers ----------------------------------------------------------------------------------
 */

struct stranger {
    struct mk_key key;
    struct mk_net *net;
    struct mk_dial dial;
    struct mk_conv *conv;
    unsigned close;
    char detail[MK_REASON_MAX];
};

static void stranger_open(struct stranger *s, struct shelf *c, const struct mk_id *network)
{
    struct mk_env *e = world_node(c->w, STRANGER);
    uint8_t seed[32] = "stranger";

    *s = (struct stranger){.close = 0};
    mk_key_from_seed(&s->key, seed);
    mk_env_vouch(e, &s->key.peer);
    assert_int_equal(
        mk_net_open(e, &s->net,
                    &(struct mk_net_options){.key = &s->key, .network = *network, .vouched = true}),
        0);
    mk_net_dial(s->net, &s->dial, &c->peers[0], "n0:7000");
}

static bool was_refused(void *arg)
{
    return ((struct stranger *)arg)->dial.last_close != 0;
}

static void test_a_stranger_is_refused_by_name(void **state)
{
    struct shelf *c = shelf_new_private(32);
    const struct mk_id nowhere = {{7}};
    struct stranger s;

    (void)state;
    world_run(c->w, 3000);
    stranger_open(&s, c, &c->inner);
    assert_true(world_run_until(c->w, was_refused, &s, 5000));
    assert_int_equal(s.dial.last_close, MK_CLOSE_REFUSED);
    assert_non_null(strstr(s.dial.last_detail, "private to the committee of shelf"));
    assert_null(mk_net_link(s.net, &c->peers[0]));
    mk_net_close(s.net);
    stranger_open(&s, c, &nowhere); /* one that nobody here has */
    assert_true(world_run_until(c->w, was_refused, &s, 5000));
    assert_int_equal(s.dial.last_close, MK_CLOSE_OTHER_NETWORK);
    mk_net_close(s.net);
    shelf_free(c);
}

static void conv_message(struct mk_conv *v, struct mk_bytes m)
{
    mk_conv_consumed(v, m.n);
}

static void conv_closed(struct mk_conv *v, unsigned close, const char *detail)
{
    struct stranger *s = v->owner;

    s->close = close;
    snprintf(s->detail, sizeof s->detail, "%s", detail);
}

static bool has_link(void *arg)
{
    struct stranger *s = arg;

    return mk_net_next_link(s->net, NULL) != NULL;
}

static bool has_closed(void *arg)
{
    return ((struct stranger *)arg)->close != 0;
}

/* On the network of all, nobody is a member: the protocol of members is answered by name. */
static void test_members_are_not_met_outside(void **state)
{
    static const struct mk_conv_cbs cbs = {.message = conv_message, .closed = conv_closed};
    struct shelf *c = shelf_new_private(33);
    struct mk_member_message hello = {.tag = mk_member_message_Hello};
    struct mk_buf first = {0};
    struct stranger s;

    (void)state;
    world_run(c->w, 3000);
    stranger_open(&s, c, &MK_UNIVERSE);
    assert_true(world_run_until(c->w, has_link, &s, 5000));
    hello.u.hello.deployment = c->deployment;
    mk_encode(&first, &mk_member_message_type, &hello);
    assert_int_equal(mk_conv_open(mk_net_next_link(s.net, NULL), &s.conv, "group",
                                  mk_buf_bytes(&first), &cbs, &s),
                     0);
    assert_true(world_run_until(c->w, has_closed, &s, 5000));
    assert_int_equal(s.close, MK_CLOSE_OTHER_NETWORK);
    assert_non_null(strstr(s.detail, "speak on a private network"));
    mk_buf_done(&first);
    mk_net_close(s.net);
    shelf_free(c);
}

/* --- evidence across components ------------------------------------------------------------------
 */

struct gathered {
    struct mk_buf pc[16]; /* of exhibits */
    unsigned n;
    uint64_t gaps;
    int ended;
};

static void on_evidence(struct mk_evidence_feed *f, const struct mk_exhibit *e)
{
    struct gathered *g = mk_evidence_feed_owner(f);

    assert_true(g->n < 16);
    assert_int_equal(e->index, g->n + 1);
    mk_encode(&g->pc[g->n++], &mk_exhibit_type, e);
}

static void on_gap(struct mk_evidence_feed *f, uint64_t first, uint64_t last)
{
    ((struct gathered *)mk_evidence_feed_owner(f))->gaps += last - first + 1;
}

static void on_ended(struct mk_evidence_feed *f, int status, const struct mk_fault *fault)
{
    (void)fault;
    ((struct gathered *)mk_evidence_feed_owner(f))->ended = status;
}

static bool has_nine(void *arg)
{
    return ((struct gathered *)arg)->n >= 9;
}

/** Resolves each piece in a book of its own, as a member that sees the entry does. */
static void resolve_all(const struct shelf *c, struct gathered *g)
{
    const struct mk_evidence_surface surface = {&shelf_specs[SHELF_STREAM], NULL};
    const struct mk_evidence_anchor anchor = {
        .stable_id = c->stable_id, .first = &c->roster, .surfaces = &surface, .n_surfaces = 1};
    struct mk_evidence_book book = {0};

    for (unsigned i = 0; i < g->n; i++) {
        struct mk_arena arena = {0};
        struct mk_resolved r;
        struct mk_exhibit e;
        struct mk_fault fault;

        assert_int_equal(mk_decode(&e, &mk_exhibit_type, mk_buf_bytes(&g->pc[i]), &arena, NULL), 0);
        if (mk_evidence_resolve(&book, &anchor, &e, &r, &fault) != 0)
            fail_msg("%u: %s", i, fault.text);
        assert_int_equal(shelf_value(r.payload), i);
        e.pointer.clock++;
        assert_int_equal(mk_evidence_resolve(&book, &anchor, &e, &r, &fault), MK_EREFUSED);
        mk_arena_done(&arena);
    }
    mk_evidence_book_done(&book);
}

static void test_evidence_is_gathered(void **state)
{
    static const struct mk_evidence_feed_cbs cbs = {on_evidence, on_gap, on_ended};
    static const struct mk_evidence_surface surface = {&shelf_specs[SHELF_STREAM], NULL};
    struct shelf *c = shelf_new_private(34);
    struct writer w = {0};
    struct mk_network *agent = shelf_agent(c, AGENT, false, &w.bond);
    struct mk_evidence_feed *early, *late;
    struct gathered a = {.n = 0}, b = {.n = 0};

    (void)state;
    assert_int_equal(mk_evidence_feed_open(w.bond, &early, &surface, 0, NULL, &cbs, &a), 0);
    for (unsigned i = 0; i < 9; i++) {
        assert_int_equal(write_number(c, &w, i), 0);
        if (i == 4)
            world_crash(c->w, 1);
        if (i == 6)
            world_restart(c->w, 1);
    }
    assert_int_equal(mk_evidence_feed_open(w.bond, &late, &surface, 0, NULL, &cbs, &b), 0);
    assert_true(world_run_until(c->w, has_nine, &a, 20000));
    assert_true(world_run_until(c->w, has_nine, &b, 20000));
    assert_int_equal(a.gaps + b.gaps, 0);
    resolve_all(c, &a);
    resolve_all(c, &b);
    mk_evidence_feed_close(early);
    mk_bond_close(w.bond);
    assert_int_equal(b.ended, MK_ECANCELED);
    mk_evidence_feed_close(late);
    for (unsigned i = 0; i < 16; i++) {
        mk_buf_done(&a.pc[i]);
        mk_buf_done(&b.pc[i]);
    }
    mk_network_close(agent);
    shelf_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_through_kills),
        cmocka_unit_test(test_a_stranger_is_refused_by_name),
        cmocka_unit_test(test_members_are_not_met_outside),
        cmocka_unit_test(test_evidence_is_gathered),
    };

    return cmocka_run_group_tests_name("private", tests, NULL, NULL);
}
