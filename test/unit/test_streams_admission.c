/* test_streams_admission.c - who may subscribe, and to whom: clauses and rules on both sides,
 * tickets that end or are revoked under a subscription, issuers that the network handle knows. */
#include "stream_bed.h"

#include "node/network.h"
#include <mosaik/issuers.h>
#include <stdio.h>

#define ITEM 100u

static const struct mk_consumer_options from_oldest = {0};

/* --- admission --------------------------------------------------------------------------- */

/* An ACL of one PeerList clause, for readers too. */
static void acl_of(struct mk_acl_composition *ret, struct mk_acl_clause clauses[2],
                   const struct mk_peer *peer)
{
    clauses[0] =
        (struct mk_acl_clause){.tag = mk_acl_clause_PeerList, .u.peer_list = {.peers = {peer, 1}}};
    clauses[1] = (struct mk_acl_clause){.tag = mk_acl_clause_GateReaders};
    *ret = (struct mk_acl_composition){.clauses = {clauses, 2}};
}

static void test_producer_refuses_by_clause(void **state)
{
    struct bed *b = bed_new(40);
    struct mk_acl_composition acl;
    struct mk_acl_clause clauses[2];
    struct bed_taker *in, *out;

    (void)state;
    acl_of(&acl, clauses, &b->peers[1].key.peer);
    bed_produce(b, 0, (struct mk_producer_options){.acl = &acl});
    in = bed_take(b, 1, 0, from_oldest);
    out = bed_take(b, 2, 0, from_oldest);
    bed_until_subscribed(in);
    bed_until_not(out);
    assert_int_equal(out->close, 12 /* MK_CLOSE_REFUSED */);
    assert_string_equal(out->detail, "clause 0 PeerList: the peer is not listed");
    bed_until_last(in, bed_send(b, 0, 10, ITEM));
    world_run(b->w, 30000);
    assert_int_equal(out->n_items, 0);
    /* It asks again, less and less often: 0.2, 0.4, ... 5 s. */
    assert_true(out->n_states >= 8 && out->n_states <= 12);
    assert_int_equal(bed_stats(b, 0).refused, out->n_states);
    assert_int_equal(bed_stats(b, 0).subscribed, 1);
    bed_free(b);
}

static void test_consumer_refuses_by_clause(void **state)
{
    struct bed *b = bed_new(41);
    struct mk_acl_composition acl;
    struct mk_acl_clause clauses[2];
    struct mk_consumer_stats stats;
    struct bed_taker *t;

    (void)state;
    acl_of(&acl, clauses, &b->peers[5].key.peer);
    bed_produce(b, 0, (struct mk_producer_options){0});
    bed_produce(b, 5, (struct mk_producer_options){0});
    bed_send(b, 0, 10, ITEM);
    bed_send(b, 5, 10, ITEM);
    t = bed_take(b, 1, 0, (struct mk_consumer_options){.acl = &acl});
    bed_until_not(t);
    assert_int_equal(t->close, 12 /* MK_CLOSE_REFUSED */);
    assert_string_equal(t->detail, "clause 0 PeerList: the peer is not listed");
    world_run(b->w, 3000);
    assert_int_equal(t->n_items + t->n_lost, 0);
    assert_int_equal(t->n_subscribed, 0);
    mk_consumer_stats(t->c, &stats);
    assert_int_equal(stats.refusals, t->n_states);
    t = bed_take(b, 2, 5, (struct mk_consumer_options){.acl = &acl});
    bed_until_last(t, 10);
    bed_free(b);
}

struct rule {
    struct mk_stream_rule rule;
    bool open;
    uint32_t rtt_us_max; /* 0: any */
};

static bool rule_admits(struct mk_stream_rule *base, const struct mk_bearer *b, uint32_t rtt_us,
                        char reason[256])
{
    struct rule *r = mk_container_of(base, struct rule, rule);

    (void)b;
    if (r->open && (r->rtt_us_max == 0 || (rtt_us > 0 && rtt_us <= r->rtt_us_max)))
        return true;
    snprintf(reason, 256, r->open ? "too far away" : "not now");
    return false;
}

/** A rule of the program's own, on either side: refused with its words, admitted when it changes,
 * ended when it changes back. */
static void test_rules(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        bool of_consumer = k == 1;
        struct rule r = {.rule = {.admits = rule_admits}};
        struct bed *b = bed_new(42 + k);
        struct mk_producer *p;
        struct bed_taker *t;

        p = bed_produce(b, 0, (struct mk_producer_options){.rule = of_consumer ? NULL : &r.rule});
        t = bed_take(b, 1, 0, (struct mk_consumer_options){.rule = of_consumer ? &r.rule : NULL});
        bed_until_not(t);
        assert_int_equal(t->close, 12 /* MK_CLOSE_REFUSED */);
        assert_string_equal(t->detail, "rule: not now");
        r.open = true;
        r.rtt_us_max = 5000000;
        bed_until_subscribed(t);
        bed_until_last(t, bed_send(b, 0, 10, ITEM));
        r.rtt_us_max = 1;
        if (of_consumer)
            mk_consumer_judge_again(t->c);
        else
            mk_producer_judge_again(p);
        bed_until_not(t);
        assert_int_equal(t->close, 16 /* MK_CLOSE_EXPIRED: it was admitted before */);
        assert_string_equal(t->detail, "rule: too far away");
        world_run(b->w, 10000);
        assert_false(t->subscribed);
        bed_free(b);
    }
}

/* --- tickets that end -------------------------------------------------------------------- */

struct office {
    struct mk_issuers issuers;
    struct mk_key signer;
    struct mk_roster roster;
    struct mk_id root, aud;
    bool revoking;
};

static const struct mk_roster *office_roster(struct mk_issuers *i, const struct mk_id *root,
                                             uint64_t epoch)
{
    const struct office *o = mk_container_of(i, struct office, issuers);

    return mk_id_eq(root, &o->root) && epoch == 1 ? &o->roster : NULL;
}

static bool office_revoked(struct mk_issuers *i, const struct mk_id *root, const uint8_t jti[16],
                           uint64_t now_ms)
{
    (void)root;
    (void)now_ms;
    return mk_container_of(i, struct office, issuers)->revoking && jti[0] == 1;
}

static void office_init(struct office *o)
{
    uint8_t seed[32] = {0x0f};

    *o = (struct office){.issuers = {.roster = office_roster, .revoked = office_revoked},
                         .root = {{9}},
                         .aud = {{8}}};
    mk_key_from_seed(&o->signer, seed);
    o->roster =
        (struct mk_roster){.deployment = o->root, .epoch = 1, .peers = {&o->signer.peer, 1}};
}

/* A ticket for peer, good until exp (unix seconds). */
static void office_issue(struct office *o, struct mk_buf *out, const struct mk_peer *peer,
                         uint64_t now_s, uint64_t exp)
{
    struct mk_claims c = {.iss = o->root,
                          .sub = *peer,
                          .aud = o->aud,
                          .read = true,
                          .write = true,
                          .iat = now_s,
                          .nbf = now_s,
                          .exp = exp,
                          .jti = {1}};
    struct mk_peer_signature share = {.peer = o->signer.peer};
    struct mk_buf claims = {0};

    mk_claims_format(&c, &claims);
    mk_ticket_sign(&o->signer, &o->root, 1, mk_buf_bytes(&claims), &share.signature);
    assert_int_equal(mk_ticket_build(out, &o->root, 1, mk_buf_bytes(&claims), &share, 1, NULL), 0);
    mk_buf_done(&claims);
}

/* One side has a ticket that ends at exp (unix seconds), the other asks for it. */
struct ticketed {
    struct mk_acl_clause clauses[2];
    struct mk_acl_composition acl;
    struct mk_buf ticket;
    struct office office;
};

/* The subscription, with ten items taken. of_producer: the ticket is the producer's. */
static struct bed_taker *ticketed_new(struct ticketed *x, struct bed *b, bool of_producer,
                                      uint64_t exp)
{
    unsigned bearer = of_producer ? 0 : 1;
    struct office *o = &x->office;
    struct mk_bytes bytes;
    struct bed_taker *t;

    *x = (struct ticketed){
        .clauses = {{.tag = mk_acl_clause_RecogniseIssuer}, {.tag = mk_acl_clause_GateReaders}},
        .acl = {.clauses = {x->clauses, 2}}};
    office_init(o);
    x->clauses[0].u.recognise_issuer.root = o->root;
    office_issue(o, &x->ticket, &b->peers[bearer].key.peer, mk_wall_ms(world_node(b->w, 0)) / 1000,
                 exp);
    bytes = mk_buf_bytes(&x->ticket);
    bed_up(b, bearer, &bytes, 1);
    bed_produce(b, 0,
                (struct mk_producer_options){.acl = of_producer ? NULL : &x->acl,
                                             .stable_id = o->aud,
                                             .issuers = &o->issuers});
    t = bed_take(b, 1, 0,
                 (struct mk_consumer_options){.acl = of_producer ? &x->acl : NULL,
                                              .stable_id = o->aud,
                                              .issuers = &o->issuers});
    bed_until_last(t, bed_send(b, 0, 10, ITEM));
    return t;
}

/** The subscription ends at the second at which the ticket does, with the clause; also when
 * the wall clock jumps there. */
static void test_a_ticket_ends(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        bool of_producer = k % 2 == 1, jump = k / 2 == 1;
        struct bed *b = bed_new(50 + k);
        struct ticketed x;
        struct bed_taker *t;
        uint64_t wall = mk_wall_ms(world_node(b->w, 0)), exp = wall / 1000 + 20, before;

        t = ticketed_new(&x, b, of_producer, exp);
        if (jump) {
            world_clock_jump(b->w, of_producer ? 1 : 0, 15000);
            exp -= 15;
        }
        world_run(b->w, exp * 1000 - wall - world_time(b->w) - 10);
        assert_true(t->subscribed);
        before = t->n_items;
        bed_until_not(t);
        assert_int_equal(t->close, 16 /* MK_CLOSE_EXPIRED */);
        assert_non_null(strstr(t->detail, "clause 0 RecogniseIssuer: ticket expired at "));
        assert_true(wall + t->closed_ms >= exp * 1000);
        assert_true(wall + t->closed_ms <= exp * 1000 + (jump ? 1000 : 0) + 50);
        bed_send(b, 0, 10, ITEM);
        world_run(b->w, 5000);
        assert_int_equal(t->n_items, before);
        assert_int_equal(t->close, 12 /* MK_CLOSE_REFUSED: by then it is not admitted at all */);
        assert_int_equal(bed_stats(b, 0).expired, of_producer ? 0 : 1);
        mk_buf_done(&x.ticket);
        bed_free(b);
    }
}

/** A ticket that is revoked while its subscription lasts: each side ends it when the list
 * comes. */
static void test_a_ticket_is_revoked(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        bool of_producer = k == 1;
        struct bed *b = bed_new(60 + k);
        struct ticketed x;
        struct bed_taker *t;
        uint64_t wall = mk_wall_ms(world_node(b->w, 0));

        t = ticketed_new(&x, b, of_producer, wall / 1000 + 86400);
        mk_streams_rejudge(&b->peers[of_producer ? 1 : 0].net->streams);
        world_run(b->w, 1000);
        assert_true(t->subscribed); /* nothing is wrong with it */
        x.office.revoking = true;
        mk_streams_rejudge(&b->peers[of_producer ? 1 : 0].net->streams);
        bed_until_not(t);
        assert_int_equal(t->close, 16 /* MK_CLOSE_EXPIRED */);
        assert_non_null(strstr(t->detail, "clause 0 RecogniseIssuer: "));
        assert_non_null(strstr(t->detail, "revoked"));
        mk_buf_done(&x.ticket);
        bed_free(b);
    }
}

/** A consumer of one producer and one of all judge by what their network handle knows of
 * issuers, when nothing else is said. */
static void test_the_networks_own_issuers(void **state)
{
    struct mk_acl_clause clause = {.tag = mk_acl_clause_RecogniseIssuer};
    struct mk_acl_clause clauses[2] = {clause, {.tag = mk_acl_clause_GateReaders}};
    struct mk_acl_composition acl = {.clauses = {clauses, 2}};
    struct bed *b = bed_new(71);
    uint64_t wall = mk_wall_ms(world_node(b->w, 0)) / 1000;
    struct mk_gather_options o = {.consumer = {.surface = bed_surface, .acl = &acl}};
    struct mk_buf tickets[2] = {{0}};
    struct mk_bytes bytes;
    struct office office;
    struct bed_taker *t;

    (void)state;
    office_init(&office);
    o.consumer.stable_id = office.aud;
    clauses[0].u.recognise_issuer.root = office.root;
    for (unsigned i = 0; i < 2; i++) {
        office_issue(&office, &tickets[i], &b->peers[i].key.peer, wall, wall + 86400);
        bytes = mk_buf_bytes(&tickets[i]);
        bed_up(b, i, &bytes, 1);
        bed_taker(b);
        assert_int_equal(mk_issuer_book_add(mk_network_issuers(b->peers[i].net), &office.root,
                                            &office.roster, NULL),
                         0);
        b->hinted = true;
    }
    bed_produce(b, 0, (struct mk_producer_options){.acl = &acl, .stable_id = office.aud});
    t = bed_take(b, 1, 0, (struct mk_consumer_options){.acl = &acl, .stable_id = office.aud});
    bed_until_subscribed(t);
    assert_int_equal(mk_gather_open(b->peers[1].net, &b->gather, &o, &bed_gathered_cbs, b), 0);
    bed_until_gathered(b, 1);
    bed_send(b, 0, 10, ITEM);
    bed_until_last(&b->takers[0], 10);
    bed_until_last(t, 10);
    bed_free(b);
    mk_buf_done(&tickets[0]);
    mk_buf_done(&tickets[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_producer_refuses_by_clause),
        cmocka_unit_test(test_consumer_refuses_by_clause),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_a_ticket_ends),
        cmocka_unit_test(test_a_ticket_is_revoked),
        cmocka_unit_test(test_the_networks_own_issuers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
