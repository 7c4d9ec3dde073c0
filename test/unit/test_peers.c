/* test_peers.c - what agents know of each other, through the public face: who is there, who is of
 * another universe, who left, tags, and streams and conditions that go by them. */
#include "stream_bed.h"

#include "node/network.h"
#include <mosaik/when.h>

#include <stdio.h>

/* --- finding each other ------------------------------------------------------------------ */

struct crowd {
    struct bed *b;
    unsigned from, to;
    size_t n;
};

static bool all_know(void *arg)
{
    const struct crowd *c = arg;

    for (unsigned i = c->from; i < c->to; i++) {
        if (c->b->peers[i].net != NULL && mk_network_peers(c->b->peers[i].net) != c->n)
            return false;
    }
    return true;
}

static bool until_all_know(struct bed *b, unsigned from, unsigned to, size_t n, uint64_t ms)
{
    struct crowd c = {b, from, to, n};

    return world_run_until(b->w, all_know, &c, ms);
}

/* Ten and one first contact: ten seconds. */
static void test_one_contact(void **state)
{
    struct bed *b = bed_new(1);

    (void)state;
    b->hinted = true;
    for (unsigned i = 0; i < 11; i++)
        bed_up(b, i, NULL, 0);
    assert_true(until_all_know(b, 0, 11, 10, 10000));
    bed_free(b);
}

/* Who leaves in order is gone everywhere in two seconds, though its entry would live for two
 * minutes; who is killed is forgotten when its entry ends; both are known again when they are back.
 */
static void test_leaving(void **state)
{
    struct bed *b = bed_new(2);

    (void)state;
    b->hinted = true;
    for (unsigned i = 0; i < 8; i++)
        bed_up(b, i, NULL, 0);
    assert_true(until_all_know(b, 0, 8, 7, 10000));
    bed_down(b, 5);
    assert_true(until_all_know(b, 0, 8, 6, 2000));
    bed_up(b, 5, NULL, 0);
    assert_true(until_all_know(b, 0, 8, 7, 10000));
    bed_kill(b, 6);
    world_run(b->w, 20000);
    assert_int_equal(mk_network_peers(b->peers[0].net), 7);
    assert_true(until_all_know(b, 0, 8, 6, 130000));
    bed_up(b, 6, NULL, 0);
    assert_true(until_all_know(b, 0, 8, 7, 10000));
    bed_free(b);
}

static void up_in(struct bed *b, unsigned i, const struct mk_id *universe)
{
    struct bed_peer *p = &b->peers[i];
    char listen[32];

    snprintf(listen, sizeof listen, "n%u:7000", i);
    mk_env_vouch(world_node(b->w, i), &p->key.peer);
    assert_int_equal(mk_network_open(world_node(b->w, i), &p->net,
                                     &(struct mk_network_options){.key = &p->key,
                                                                  .universe = universe,
                                                                  .listen = listen,
                                                                  .vouched = true},
                                     NULL),
                     0);
}

static void hint(struct bed *b, unsigned i, unsigned to)
{
    char hex[MK_ID_HEX], text[128];

    snprintf(text, sizeof text, "%s@n%u:7000", mk_peer_hex(&b->peers[to].key.peer, hex), to);
    assert_int_equal(mk_network_hint(b->peers[i].net, mk_str_of(text), NULL), 0);
}

/* Two of one universe and three of another, each told of all: none knows of the other's. */
static void test_universes_are_apart(void **state)
{
    struct bed *b = bed_new(3);
    struct mk_id a = mk_id_of_text(MK_STR("universe a")), z = mk_id_of_text(MK_STR("universe z"));
    struct mk_buf foreign = {0};
    struct mk_bytes entry;

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        up_in(b, i, i < 2 ? &a : &z);
    for (unsigned i = 0; i < 5; i++) {
        for (unsigned k = 0; k < 5; k++) {
            if (i != k)
                hint(b, i, k);
        }
    }
    world_run(b->w, 60000);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(mk_network_peers(b->peers[i].net), i < 2 ? 1 : 2);
        for (unsigned k = 0; k < 5; k++) /* no link across, either */
            assert_int_equal(mk_net_link(b->peers[i].net->net, &b->peers[k].key.peer) != NULL,
                             i != k && (i < 2) == (k < 2));
    }
    assert_int_equal(mk_network_entry(b->peers[4].net, &entry), 0);
    mk_buf_put(&foreign, entry.p, entry.n);
    assert_int_equal(mk_network_feed(b->peers[0].net, mk_buf_bytes(&foreign), NULL), MK_EINVALID);
    mk_buf_done(&foreign);
    bed_free(b);
}

/* --- comparing with one peer --------------------------------------------------------------- */

struct syncing {
    struct mk_discovery_sync sync;
    unsigned done;
    int status;
};

static void synced_cb(struct mk_discovery_sync *s, int status, const struct mk_fault *fault)
{
    struct syncing *q = mk_container_of(s, struct syncing, sync);

    (void)fault;
    q->done++;
    q->status = status;
}

static bool is_done(void *arg)
{
    return ((struct syncing *)arg)->done > 0;
}

/* Two pairs that know nothing of each other; one of the first is told to compare with one of the
 * second. */
static void test_sync_with_a_named_peer(void **state)
{
    struct bed *b = bed_new(4);
    struct syncing q = {.sync = {.cb = synced_cb}};
    struct mk_discovery *d;

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        bed_up(b, i, NULL, 0);
    hint(b, 1, 0);
    hint(b, 3, 2);
    assert_true(until_all_know(b, 0, 4, 1, 10000));
    d = b->peers[1].net->discovery;
    mk_discovery_sync(d, &q.sync, &b->peers[2].key.peer, "n2:7000");
    assert_true(world_run_until(b->w, is_done, &q, 10000));
    assert_int_equal(q.status, 0);
    assert_int_equal(mk_network_peers(b->peers[1].net), 3); /* at once */
    assert_true(until_all_know(b, 0, 4, 3, 5000));          /* and the others by gossip */

    /* Again, while there is a conversation; and one that nobody answers. */
    q.done = 0;
    mk_discovery_sync(d, &q.sync, &b->peers[2].key.peer, NULL);
    assert_true(world_run_until(b->w, is_done, &q, 10000));
    assert_int_equal(q.status, 0);
    q.done = 0;
    mk_discovery_sync(d, &q.sync, &b->peers[7].key.peer, "n7:7000");
    assert_false(world_run_until(b->w, is_done, &q, 5000));
    mk_discovery_sync_cancel(&q.sync);
    bed_free(b);
}

/* --- tags ------------------------------------------------------------------------------------ */

static void tag(struct bed *b, unsigned i, const char *word)
{
    struct mk_str tags[1] = {mk_str_of(word)};

    assert_int_equal(mk_network_tag(b->peers[i].net, tags, word[0] != 0), 0);
}

static bool holds(void *arg)
{
    return mk_when_holds(arg);
}

static void test_conditions_by_tag(void **state)
{
    struct bed *b = bed_new(5);
    struct mk_id gpu = mk_id_of_text(MK_STR("gpu"));
    struct mk_when *two, *none;

    (void)state;
    b->hinted = true;
    for (unsigned i = 0; i < 5; i++)
        bed_up(b, i, NULL, 0);
    two = mk_when_tagged(b->peers[4].net, &gpu, 2);
    none = mk_when_not(mk_when_tagged(b->peers[4].net, &gpu, 1));
    assert_true(mk_when_holds(none));
    tag(b, 1, "gpu");
    tag(b, 4, "gpu"); /* itself does not count */
    world_run(b->w, 5000);
    assert_false(mk_when_holds(two) || mk_when_holds(none));
    assert_true(mk_network_tagged(b->peers[4].net, &b->peers[1].key.peer, &gpu));
    assert_true(mk_network_tagged(b->peers[4].net, &b->peers[4].key.peer, &gpu));
    assert_false(mk_network_tagged(b->peers[4].net, &b->peers[2].key.peer, &gpu));
    tag(b, 3, "gpu");
    assert_true(world_run_until(b->w, holds, two, 5000));
    tag(b, 1, "");
    bed_down(b, 3);
    assert_true(world_run_until(b->w, holds, none, 5000));
    mk_when_free(two);
    mk_when_free(none);
    bed_free(b);
}

/* An agent that dials only is heard of when it has tags. */
static void test_an_integrator_with_tags(void **state)
{
    struct bed *b = bed_new(6);
    struct mk_id eu = mk_id_of_text(MK_STR("eu-west"));
    const struct mk_str tags[1] = {MK_STR("eu-west")};
    struct mk_str many[MK_NETWORK_TAGS_MAX + 1];
    struct mk_bytes entry;

    (void)state;
    for (unsigned i = 0; i <= MK_NETWORK_TAGS_MAX; i++)
        many[i] = MK_STR("x");
    bed_up(b, 0, NULL, 0);
    assert_int_equal(mk_network_tag(b->peers[0].net, many, MK_NETWORK_TAGS_MAX + 1), MK_ELIMIT);
    for (unsigned i = 1; i < 3; i++) {
        mk_env_vouch(world_node(b->w, i), &b->peers[i].key.peer);
        assert_int_equal(mk_network_open(world_node(b->w, i), &b->peers[i].net,
                                         &(struct mk_network_options){.key = &b->peers[i].key,
                                                                      .tags = tags,
                                                                      .n_tags = i == 1,
                                                                      .vouched = true},
                                         NULL),
                         0);
        hint(b, i, 0);
    }
    world_run(b->w, 5000);
    assert_int_equal(mk_network_entry(b->peers[2].net, &entry), MK_ENOTFOUND);
    assert_int_equal(mk_network_peers(b->peers[0].net), 1);
    assert_true(mk_network_tagged(b->peers[0].net, &b->peers[1].key.peer, &eu));
    bed_free(b);
}

/* Either side may ask for a tag; who gets it is let in, who loses it is let go. */
static void test_streams_by_tag(void **state)
{
    const struct mk_str gpu[1] = {MK_STR("gpu")};

    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        struct bed *b = bed_new(7 + k);
        unsigned judged = k == 0 ? 1 : 0; /* the consumer, then the producer */
        struct mk_tag_rule rule;
        struct bed_taker *t;

        bed_up(b, 0, NULL, 0);
        bed_up(b, 1, NULL, 0);
        mk_tag_rule_init(&rule, b->peers[1 - judged].net, gpu, 1);
        bed_produce(b, 0, (struct mk_producer_options){.rule = k == 0 ? &rule.rule : NULL});
        t = bed_take(b, 1, 0, (struct mk_consumer_options){.rule = k == 1 ? &rule.rule : NULL});
        bed_until_not(t);
        assert_int_equal(t->close, MK_CLOSE_REFUSED);
        assert_non_null(strstr(t->detail, "rule: "));
        assert_non_null(strstr(t->detail, "the tag \"gpu\""));
        tag(b, judged, "gpu");
        bed_until_subscribed(t);
        bed_until_last(t, bed_send(b, 0, 3, 64));
        tag(b, judged, "cpu");
        bed_until_not(t);
        assert_int_equal(t->close, MK_CLOSE_EXPIRED);
        bed_free(b);
    }
}

/* Who is refused before its entry has come is counted apart from who does not show the tag, and
 * both are told the word. */
static void test_tags_not_known_yet(void **state)
{
    struct bed *b = bed_new(10);
    const struct mk_str gpu[1] = {MK_STR("gpu")};
    struct mk_stream_refusal r;
    struct mk_tag_rule rule;
    struct mk_bytes entry;
    struct bed_taker *t;

    (void)state;
    bed_up(b, 0, NULL, 0);
    bed_up(b, 1, NULL, 0);
    mk_tag_rule_init(&rule, b->peers[0].net, gpu, 1);
    bed_produce(b, 0, (struct mk_producer_options){.rule = &rule.rule});
    t = bed_take(b, 1, 0, (struct mk_consumer_options){0});
    bed_until_not(t);
    assert_true(mk_producer_refusal(b->peers[0].producer, 0, &r));
    assert_int_equal(r.clause, MK_BY_UNKNOWN);
    assert_string_equal(r.reason, "rule: the tag \"gpu\" is asked for, and its entry is not known "
                                  "here yet");
    assert_int_equal(mk_network_entry(b->peers[1].net, &entry), 0);
    (void)mk_network_feed(b->peers[0].net, entry, NULL); /* or it has come by gossip */
    for (unsigned i = 0; i < 200 && !mk_producer_refusal(b->peers[0].producer, 1, &r); i++)
        world_run(b->w, 100);
    assert_int_equal(r.clause, MK_BY_RULE);
    assert_string_equal(r.reason, "rule: its entry does not show the tag \"gpu\"");
    tag(b, 1, "gpu");
    bed_until_subscribed(t);
    bed_free(b);
}

/* The entry comes by another way than gossip, which is cut: it counts at once. */
static void test_feeding_judges_again(void **state)
{
    struct bed *b = bed_new(9);
    const struct mk_str gpu[1] = {MK_STR("gpu")};
    struct mk_tag_rule rule;
    struct mk_bytes entry;
    struct mk_buf old = {0}, bytes = {0};
    struct bed_taker *t;

    (void)state;
    bed_up(b, 0, NULL, 0);
    bed_up(b, 1, NULL, 0);
    tag(b, 1, "gpu");
    assert_int_equal(mk_network_entry(b->peers[1].net, &entry), 0);
    mk_buf_put(&old, entry.p, entry.n);
    assert_int_equal(mk_network_feed(b->peers[0].net, mk_buf_bytes(&old), NULL), 0);
    mk_tag_rule_init(&rule, b->peers[0].net, gpu, 1);
    bed_produce(b, 0, (struct mk_producer_options){.rule = &rule.rule});
    t = bed_take(b, 1, 0, (struct mk_consumer_options){0});
    bed_until_subscribed(t);
    world_run(b->w, 2000);

    tag(b, 1, "");
    assert_int_equal(mk_network_entry(b->peers[1].net, &entry), 0);
    mk_buf_put(&bytes, entry.p, entry.n);
    assert_int_equal(mk_network_feed(b->peers[0].net, mk_buf_bytes(&bytes), NULL), 0);
    assert_int_equal(mk_network_feed(b->peers[0].net, mk_buf_bytes(&bytes), NULL), MK_EEXISTS);
    assert_int_equal(mk_network_feed(b->peers[0].net, mk_buf_bytes(&old), NULL), MK_EEXISTS);
    bed_until_not(t);
    assert_int_equal(t->close, MK_CLOSE_EXPIRED);
    bytes.p[bytes.n - 1] ^= 1;
    bytes.p[70] ^= 1; /* a newer version, perhaps; not signed */
    assert_int_not_equal(mk_network_feed(b->peers[0].net, mk_buf_bytes(&bytes), NULL), 0);
    mk_buf_done(&old);
    mk_buf_done(&bytes);
    bed_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_contact),         cmocka_unit_test(test_leaving),
        cmocka_unit_test(test_universes_are_apart), cmocka_unit_test(test_sync_with_a_named_peer),
        cmocka_unit_test(test_conditions_by_tag),   cmocka_unit_test(test_an_integrator_with_tags),
        cmocka_unit_test(test_streams_by_tag),      cmocka_unit_test(test_feeding_judges_again),
        cmocka_unit_test(test_tags_not_known_yet),
    };

    return cmocka_run_group_tests_name("peers", tests, NULL, NULL);
}
