/* Members that sign what their group did not commit (spec/committees.md, "Byzantine
 * members"): one is found out, kept as proof and dropped, and the group goes on; when a
 * majority signed another history the honest member stops and keeps both certificates. */
#include "cluster.h"
#include "collections/certificate.h"
#include "collections/surface.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A member's key and address, and another program behind them. */
struct rogue {
    struct cluster *c;
    unsigned i;
    struct mk_env *env;
    struct mk_net *net;
    struct mk_dial dial;
    struct mk_service service;
    struct mk_conv *conv;
    struct mk_member_hello hello;
    struct mk_head head; /* what it signs */
    unsigned sent;
};

static struct mk_member_hello honest_hello; /* as an honest member says it */
static struct mk_head other_head;

static void rogue_send(struct rogue *r, const struct mk_member_message *m)
{
    struct mk_buf b = {0};

    mk_encode(&b, &mk_member_message_type, m);
    mk_conv_send(r->conv, mk_buf_bytes(&b));
    mk_buf_done(&b);
}

static void rogue_lie(struct rogue *r)
{
    struct mk_head_signature s = {.head = other_head};
    struct mk_member_message m = {.tag = mk_member_message_Signatures, .u.signatures = {&s, 1}};

    mk_head_sign(&r->c->keys[r->i], &s.head, &s.signature);
    rogue_send(r, &m);
    r->sent++;
}

static void rogue_message(struct mk_conv *c, struct mk_bytes m)
{
    mk_conv_consumed(c, m.n);
}

static void rogue_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct rogue *r = c->owner;

    (void)close;
    (void)detail;
    r->conv = NULL;
}

static unsigned rogue_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                             char detail[MK_REASON_MAX])
{
    static const struct mk_conv_cbs cbs = {.message = rogue_message, .closed = rogue_closed};
    struct rogue *r = mk_container_of(s, struct rogue, service);
    struct mk_member_message m = {.tag = mk_member_message_Hello, .u.hello = honest_hello};

    (void)first;
    (void)detail;
    r->conv = c;
    c->cbs = &cbs;
    c->owner = r;
    m.u.hello.founded = true;
    m.u.hello.raft_id = 4242 + r->i;
    rogue_send(r, &m);
    rogue_lie(r);
    return 0;
}

static void *rogue_boot(struct mk_env *e, unsigned node, void *arg)
{
    struct cluster_boot *b = arg;
    struct rogue *r = mk_alloc(sizeof *r);
    char address[32];

    (void)node;
    r->c = b->c;
    r->i = b->i;
    r->env = e;
    mk_env_vouch(e, &r->c->peers[r->i]);
    assert_int_equal(
        mk_net_open(e, &r->net, &(struct mk_net_options){&r->c->keys[r->i], MK_UNIVERSE, true}), 0);
    snprintf(address, sizeof address, "n%u:7000", r->i);
    assert_int_equal(mk_net_listen(r->net, address, NULL), 0);
    r->service = (struct mk_service){.proto = "group", .accept = rogue_accept};
    assert_int_equal(mk_net_serve(r->net, &r->service), 0);
    mk_net_dial(r->net, &r->dial, &r->c->peers[0], "n0:7000");
    return r;
}

static void rogue_destroy(void *state)
{
    struct rogue *r = state;

    mk_net_undial(&r->dial);
    mk_net_unserve(&r->service);
    mk_net_close(r->net);
    mk_free(r);
}

static const struct world_program rogue_program = {rogue_boot, rogue_destroy};

/* A committee with ten certified values, and the lie about them ready. */
static struct cluster *prepared(uint64_t seed)
{
    struct cluster *c = cluster_new(&(struct cluster_options){.seed = seed});
    const struct mk_certificate *cert;
    struct mk_group *g;
    char value[16];

    assert_true(cluster_until_ready(c, 10000));
    for (unsigned i = 0; i < 10; i++) {
        snprintf(value, sizeof value, "%u", i);
        assert_int_equal(cluster_set(c, "k", value, 3000), 0);
    }
    assert_true(cluster_until_equal(c, 5000));
    world_run(c->w, 500);
    g = cluster_group(c, 0);
    assert_int_equal(mk_group_certificate(g, &mk_group_surfaces(g)->v[CLUSTER_MAP].id, &cert), 0);
    other_head = cert->head;
    other_head.commit.b[0] ^= 1;
    honest_hello = (struct mk_member_hello){
        .deployment = c->deployment,
        .machine = cluster_machine_id(),
        .epoch = 1,
    };
    return c;
}

static bool in_conflict(void *arg)
{
    struct cluster *c = arg;
    const struct mk_certificate *a, *b;
    struct mk_peers guilty;

    return mk_group_conflict(cluster_group(c, 0), &a, &b, &guilty);
}

static bool has_stopped(void *arg)
{
    struct cluster *c = arg;
    struct mk_group_status s;

    mk_group_glance(cluster_group(c, 0), &s);
    return s.state == MK_GROUP_FAILED;
}

static void one_liar_is_found_out_and_the_group_goes_on(void **state)
{
    struct cluster *c = prepared(70);
    const struct mk_certificate *a, *b;
    struct mk_peers guilty;

    (void)state;
    world_crash(c->w, 2);
    c->rogues = 1u << 2;
    world_boot(c->w, 2, &rogue_program, &c->boots[2]);
    assert_true(world_run_until(c->w, in_conflict, c, 10000));
    assert_true(mk_group_conflict(cluster_group(c, 0), &a, &b, &guilty));
    assert_int_equal(a->head.index, b->head.index);
    assert_false(mk_id_eq(&a->head.commit, &b->head.commit));
    assert_int_equal(guilty.n, 1); /* it signed both: before, and now */
    assert_true(mk_peer_eq(&guilty.v[0], &c->peers[2]));
    assert_int_equal(
        mk_head_verify(&a->head, &a->signatures.v[0].peer, &a->signatures.v[0].signature), 0);
    assert_false(has_stopped(c));
    assert_true(cluster_until_ready(c, 5000));
    assert_int_equal(cluster_set(c, "k", "on", 3000), 0);
    cluster_free(c);
}

static void two_histories_signed_by_majorities_stop_the_member(void **state)
{
    struct cluster *c = prepared(71);
    const struct mk_certificate *a, *b;
    struct mk_peers guilty;

    (void)state;
    c->may_fail = true;
    for (unsigned i = 1; i < 3; i++) {
        world_crash(c->w, i);
        c->rogues |= 1u << i;
        world_boot(c->w, i, &rogue_program, &c->boots[i]);
    }
    assert_true(world_run_until(c->w, has_stopped, c, 20000));
    assert_true(mk_group_conflict(cluster_group(c, 0), &a, &b, &guilty));
    assert_int_equal(mk_certificate_check(a, &c->roster, NULL), 0);
    assert_int_equal(mk_certificate_check(b, &c->roster, NULL), 0);
    assert_true(guilty.n >= 1);
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_liar_is_found_out_and_the_group_goes_on),
        cmocka_unit_test(two_histories_signed_by_majorities_stop_the_member),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
