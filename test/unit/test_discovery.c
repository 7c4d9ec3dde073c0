/* test_discovery.c - many nodes with one hint each, in the simulated world. */
#include "discovery_bed.h"

/* --- finding each other ------------------------------------------------------------------ */

static uint64_t chain_of_20(uint64_t seed, uint64_t *ret_ms)
{
    struct bed *b = bed_new(seed);
    uint64_t hash;

    bed_chain(b, 20, 0);
    assert_true(bed_until_all_see(b, 19, 20000));
    *ret_ms = world_time(b->w);
    world_run(b->w, 5000);
    assert_true(bed_all_see(b, 19));
    hash = world_hash(b->w);
    bed_free(b);
    return hash;
}

static void test_chain_converges(void **state)
{
    uint64_t ms;

    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        chain_of_20(seed, &ms);
        assert_in_range(ms, 1, 10000);
    }
}

static void test_same_seed_same_run(void **state)
{
    uint64_t ms[2];

    (void)state;
    assert_true(chain_of_20(42, &ms[0]) == chain_of_20(42, &ms[1]));
    assert_true(ms[0] == ms[1]);
    assert_true(chain_of_20(42, &ms[0]) != chain_of_20(43, &ms[1]));
}

/* Some links, not all: nobody is linked with everybody. */
static void test_a_few_links_each(void **state)
{
    struct bed *b = bed_new(3);
    size_t total = 0;

    (void)state;
    bed_chain(b, 20, 0);
    assert_true(bed_until_all_see(b, 19, 20000));
    world_run(b->w, 20000);
    for (unsigned i = 0; i < 20; i++) {
        struct mk_net_stats s;

        mk_net_stats(bed_at(b, i)->net, &s);
        assert_true(s.links >= MK_DISCOVERY_DEGREE);
        total += s.links;
    }
    assert_in_range(total, 20 * MK_DISCOVERY_DEGREE, 20 * 9);
    bed_free(b);
}

static void test_quiet_when_nothing_changes(void **state)
{
    struct bed *b = bed_new(4);
    struct mk_discovery_stats before, after;

    (void)state;
    bed_chain(b, 5, 0);
    assert_true(bed_until_all_see(b, 4, 20000));
    world_run(b->w, 10000);
    mk_discovery_stats(bed_d(b, 2), &before);
    world_run(b->w, 40000); /* within half a life: nobody renews */
    mk_discovery_stats(bed_d(b, 2), &after);
    assert_true(before.records_out > 0);
    assert_true(after.records_out == before.records_out);
    bed_free(b);
}

struct found {
    unsigned n;
    struct mk_peer peers[8];
    char address[64];
};

static void found_cb(void *arg, const struct mk_peer *peer, const struct mk_str *addresses,
                     size_t n_addresses)
{
    struct found *f = arg;

    assert_true(f->n < 8);
    f->peers[f->n++] = *peer;
    assert_int_equal(n_addresses, 1);
    snprintf(f->address, sizeof f->address, "%.*s", (int)addresses[0].n, addresses[0].p);
}

static bool found_two(void *arg)
{
    struct bed *b = arg;
    struct mk_id id = mk_id_of_text(MK_STR("deployment"));
    struct found f = {0};

    mk_discovery_find(bed_d(b, 9), &id, found_cb, &f);
    return f.n == 2;
}

static void test_find_by_deployment(void **state)
{
    struct bed *b = bed_new(5);
    struct mk_id ids[2] = {mk_id_of_text(MK_STR("deployment")), mk_id_of_text(MK_STR("other"))};
    struct mk_peer two = bed_peer(2);
    struct mk_peer_entry e;
    struct found f = {0};

    (void)state;
    bed_chain(b, 10, 0);
    assert_true(bed_until_all_see(b, 9, 20000));
    mk_discovery_offer(bed_d(b, 2), ids, 1, ids, 2);
    mk_discovery_offer(bed_d(b, 6), NULL, 0, ids, 1);
    mk_discovery_offer(bed_d(b, 7), ids, 1, ids + 1, 1); /* as a surface only */
    assert_true(world_run_until(b->w, found_two, b, 5000));
    mk_discovery_find(bed_d(b, 9), &ids[0], found_cb, &f);
    assert_true(mk_peer_cmp(&f.peers[0], &f.peers[1]) < 0);
    f.n = 0;
    mk_discovery_find(bed_d(b, 2), &ids[0], found_cb, &f); /* not itself */
    assert_int_equal(f.n, 1);
    assert_string_equal(f.address, "n6:7000");
    assert_int_equal(mk_discovery_entry(bed_d(b, 9), &e, &two), 0);
    assert_int_equal(e.deployments.n, 2);
    assert_int_equal(e.surfaces.n, 1);
    bed_free(b);
}

static bool ticket_seen(void *arg)
{
    struct bed *b = arg;
    struct mk_peer zero = bed_peer(0);
    struct mk_peer_entry e;

    return mk_discovery_entry(bed_d(b, 2), &e, &zero) == 0 && e.tickets.n == 1 &&
           mk_str_is((struct mk_str){(const char *)e.tickets.v[0].data.p, e.tickets.v[0].data.n},
                     "ticket");
}

static void test_entry_shows_tickets(void **state)
{
    struct bed *b = bed_new(6);
    struct mk_ticket t = {.class = mk_id_of_text(MK_STR("class")), .data = MK_BYTES("ticket", 6)};
    struct mk_buf bytes = {0};
    struct mk_bytes many[MK_ENTRY_TICKETS_MAX + 1];

    (void)state;
    bed_chain(b, 3, 0);
    mk_encode(&bytes, &mk_ticket_type, &t);
    for (size_t i = 0; i <= MK_ENTRY_TICKETS_MAX; i++)
        many[i] = mk_buf_bytes(&bytes);
    assert_int_equal(mk_discovery_show(bed_d(b, 0), many, MK_ENTRY_TICKETS_MAX + 1), MK_ELIMIT);
    many[1].n--;
    assert_int_equal(mk_discovery_show(bed_d(b, 0), many, 2), MK_EMALFORMED);
    assert_int_equal(mk_discovery_show(bed_d(b, 0), many, 1), 0);
    assert_true(world_run_until(b->w, ticket_seen, b, 10000));
    mk_buf_done(&bytes);
    bed_free(b);
}

static void test_watchers_hear(void **state)
{
    struct bed *b = bed_new(7);
    unsigned before;

    (void)state;
    bed_chain(b, 3, 0);
    assert_true(bed_until_all_see(b, 2, 10000));
    world_run(b->w, 1000);
    before = bed_at(b, 0)->n_changed;
    world_run(b->w, 5000);
    assert_int_equal(bed_at(b, 0)->n_changed, before);
    bed_start(b, 3, 2, 0);
    assert_true(bed_until_all_see(b, 3, 10000));
    world_run(b->w, 1000);
    assert_true(bed_at(b, 0)->n_changed > before);
    before = bed_at(b, 0)->n_changed;
    mk_discovery_unwatch(&bed_at(b, 0)->watch);
    bed_start(b, 4, 2, 0);
    assert_true(bed_until_all_see(b, 4, 10000));
    world_run(b->w, 1000);
    assert_int_equal(bed_at(b, 0)->n_changed, before);
    mk_discovery_watch(bed_d(b, 0), &bed_at(b, 0)->watch);
    bed_free(b);
}

static void test_a_reader_sees_and_is_not_seen(void **state)
{
    struct bed *b = bed_new(8);

    (void)state;
    bed_chain(b, 4, 0);
    bed_observe(b, 4, 1);
    assert_false(bed_until_all_see(b, 4, 10000)); /* the four see three, the reader four */
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(mk_discovery_size(bed_d(b, i)), 3);
        assert_false(bed_sees(b, i, 4));
    }
    assert_int_equal(mk_discovery_size(bed_d(b, 4)), 4);
    bed_free(b);
}

/* --- leaving ---------------------------------------------------------------------------------- */

static void leave(struct bed *b, unsigned i)
{
    struct bed_node *n = bed_at(b, i);

    mk_discovery_close(n->d);
    mk_net_close(n->net);
    n->d = NULL;
    n->net = NULL;
}

static void test_departure(void **state)
{
    struct bed *b = bed_new(9);

    (void)state;
    bed_chain(b, 10, 20000);
    assert_true(bed_until_all_see(b, 9, 20000));
    leave(b, 5);
    assert_true(bed_until_all_see(b, 8, 2000));
    for (unsigned s = 0; s < 30; s++) { /* no stale copy comes back */
        world_run(b->w, 1000);
        assert_true(bed_all_see(b, 8));
    }
    world_kill(b->w, 5);
    world_restart(b->w, 5);
    assert_true(bed_until_all_see(b, 9, 10000));
    bed_free(b);
}

/* One who was away while another left does not bring the old entry back. */
static void test_departure_is_kept(void **state)
{
    struct bed *b = bed_new(10);

    (void)state;
    bed_chain(b, 6, 60000);
    assert_true(bed_until_all_see(b, 5, 20000));
    world_isolate(b->w, 2);
    leave(b, 4);
    world_run(b->w, 10000);
    assert_true(bed_sees(b, 2, 4));
    assert_false(bed_sees(b, 0, 4));
    world_heal(b->w);
    assert_true(bed_until_all_see(b, 4, 40000));
    world_run(b->w, 5000);
    assert_true(bed_all_see(b, 4));
    bed_free(b);
}

static void test_stale_entries_are_purged(void **state)
{
    struct bed *b = bed_new(11);

    (void)state;
    bed_chain(b, 8, 20000);
    assert_true(bed_until_all_see(b, 7, 20000));
    world_run(b->w, 30000); /* renewed, for more than a life */
    assert_true(bed_all_see(b, 7));
    world_crash(b->w, 3);
    world_run(b->w, 5000);
    assert_true(bed_sees(b, 0, 3)); /* nobody said good-bye */
    assert_true(bed_until_all_see(b, 6, 20000));
    world_restart(b->w, 3);
    assert_true(bed_until_all_see(b, 7, 20000));
    bed_free(b);
}

static void test_restart_with_a_clock_behind(void **state)
{
    struct bed *b = bed_new(12);
    struct mk_peer one = bed_peer(1);
    struct mk_peer_entry e;
    uint64_t version;

    (void)state;
    bed_chain(b, 4, 60000);
    assert_true(bed_until_all_see(b, 3, 20000));
    assert_int_equal(mk_discovery_entry(bed_d(b, 0), &e, &one), 0);
    version = e.version;
    world_crash(b->w, 1);
    world_clock_jump(b->w, 1, -20000);
    world_restart(b->w, 1);
    world_run(b->w, 15000);
    assert_int_equal(mk_discovery_entry(bed_d(b, 0), &e, &one), 0);
    assert_true(e.version > version);
    assert_true(bed_all_see(b, 3));
    bed_free(b);
}

/* The clocks of a whole site are put back by ten minutes: what is said from then on is heard, by
 * those who were there and by a newcomer. */
static void test_clocks_that_go_back(void **state)
{
    struct bed *b = bed_new(13);
    struct mk_id tag = mk_id_of_text(MK_STR("late"));
    struct mk_discovery_stats st;

    (void)state;
    bed_chain(b, 4, 60000);
    assert_true(bed_until_all_see(b, 3, 20000));
    for (unsigned i = 0; i < 5; i++) {
        world_node(b->w, i);
        world_clock_jump(b->w, i, -600000);
    }
    assert_int_equal(mk_discovery_tag(bed_d(b, 1), &tag, 1), 0);
    world_run(b->w, 5000);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(mk_discovery_count_tagged(bed_d(b, i), &tag), i != 1);
    world_crash(b->w, 4);
    bed_start(b, 4, 3, 60000);
    assert_true(bed_until_all_see(b, 4, 60000));
    mk_discovery_stats(bed_d(b, 4), &st);
    assert_int_equal(st.expelled, 0);
    bed_free(b);
}

/* --- faults -------------------------------------------------------------------------------------
 */

static void test_partition_and_heal(void **state)
{
    (void)state;
    for (uint64_t seed = 20; seed < 23; seed++) {
        struct bed *b = bed_new(seed);

        bed_chain(b, 20, 20000);
        assert_true(bed_until_all_see(b, 19, 20000));
        world_partition(b->w, 0x3ff); /* 0..9 and 10..19 */
        assert_true(bed_until_all_see(b, 9, 60000));
        for (unsigned i = 0; i < 20; i++)
            assert_int_equal(bed_sees(b, i, 0), i < 10 && i != 0 ? 1 : i == 0);
        world_heal(b->w);
        assert_true(bed_until_all_see(b, 19, 120000));
        bed_free(b);
    }
}

static void test_the_middle_falls_out(void **state)
{
    struct bed *b = bed_new(24);

    (void)state;
    bed_chain(b, 15, 20000);
    assert_true(bed_until_all_see(b, 14, 20000));
    world_run(b->w, 10000);
    world_crash(b->w, 7); /* the only hint between 0..6 and 8..14 */
    world_run(b->w, 60000);
    assert_true(bed_all_see(b, 13));
    bed_free(b);
}

static void test_swarm(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 110; seed++) {
        struct bed *b = bed_new(seed);

        world_link(b->w, WORLD_ALL, WORLD_ALL, (struct world_link){500, 20000, 20000, 0});
        bed_chain(b, 12, 20000);
        for (unsigned i = 0; i < 12; i++)
            world_clock_jump(b->w, i, (int64_t)world_chaos(b->w, 4000) - 2000);
        for (unsigned k = 0; k < 40; k++) {
            unsigned i = (unsigned)world_chaos(b->w, 12);

            if (!world_is_up(b->w, i))
                world_restart(b->w, i);
            else if (world_chaos(b->w, 3) == 0)
                world_crash(b->w, i);
            else
                world_break(b->w, i, (unsigned)world_chaos(b->w, 12));
            world_run(b->w, world_chaos(b->w, 2000));
        }
        for (unsigned i = 0; i < 12; i++) {
            if (!world_is_up(b->w, i))
                world_restart(b->w, i);
        }
        world_heal(b->w);
        assert_true(bed_until_all_see(b, 11, 120000));
        bed_free(b);
    }
}

/* --- Deployments
 * ------------------------------------------------------------------------------------ */

struct deployment_wait {
    struct bed *b;
    unsigned nodes;
    uint64_t version; /* 0: a conflict */
};

static struct mk_id stable(void)
{
    return mk_id_of_text(MK_STR("stable"));
}

static bool deployment_everywhere(void *arg)
{
    struct deployment_wait *w = arg;
    struct mk_id id = stable();
    struct mk_peer op = bed_peer(500);

    for (unsigned i = 0; i < w->nodes; i++) {
        struct mk_deployment d;
        int rv = mk_discovery_deployment(bed_d(w->b, i), &d, &id, &op);

        if (w->version == 0 ? rv != MK_ECONFLICT : rv != 0 || d.version != w->version)
            return false;
    }
    return true;
}

static int publish(struct bed *b, unsigned i, uint64_t version, const char *content)
{
    struct mk_buf bytes = {0};
    struct mk_key op;
    int rv;

    bed_key(&op, 500);
    bed_deployment(&bytes, "stable", &op, version, content);
    rv = mk_discovery_publish(bed_d(b, i), mk_buf_bytes(&bytes), NULL);
    mk_buf_done(&bytes);
    mk_key_done(&op);
    return rv;
}

static void test_deployment_spreads(void **state)
{
    struct bed *b = bed_new(30);
    struct deployment_wait w = {b, 8, 3};
    struct mk_id id = stable();
    struct mk_peer stranger = bed_peer(501);
    struct mk_deployment d;

    (void)state;
    bed_chain(b, 8, 0);
    assert_int_equal(publish(b, 3, 3, "a"), 0);
    assert_true(world_run_until(b->w, deployment_everywhere, &w, 20000));
    assert_int_equal(publish(b, 3, 3, "a"), 0); /* again */
    assert_int_equal(publish(b, 6, 2, "b"), MK_ESTALE);
    assert_int_equal(publish(b, 6, 4, "b"), 0);
    w.version = 4;
    assert_true(world_run_until(b->w, deployment_everywhere, &w, 20000));
    assert_int_equal(publish(b, 0, 4 + (UINT64_C(1) << 32) + 1, "c"), MK_ELIMIT);
    assert_int_equal(publish(b, 0, 4 + (UINT64_C(1) << 32), "c"), 0);
    w.version = 4 + (UINT64_C(1) << 32);
    assert_true(world_run_until(b->w, deployment_everywhere, &w, 20000));
    assert_int_equal(mk_discovery_deployment(bed_d(b, 0), &d, &id, &stranger), MK_ENOTFOUND);
    assert_int_equal(publish(b, 0, 0, "c"), MK_EMALFORMED);
    bed_free(b);
}

/* Two of one version, published far apart: everybody gets both as proof. */
static void test_deployment_conflict(void **state)
{
    struct bed *b = bed_new(31);
    struct deployment_wait w = {b, 6, 0};
    struct mk_id id = stable(), hashes[2];
    struct mk_peer op = bed_peer(500);
    struct mk_bytes proof[2];

    (void)state;
    bed_chain(b, 6, 0);
    assert_int_equal(publish(b, 0, 9, "a"), 0);
    assert_int_equal(mk_discovery_conflict(bed_d(b, 0), proof, &id, &op), MK_ENOTFOUND);
    assert_int_equal(publish(b, 5, 9, "b"), 0);
    assert_true(world_run_until(b->w, deployment_everywhere, &w, 20000));
    assert_int_equal(publish(b, 2, 9, "a"), MK_ECONFLICT);
    assert_int_equal(publish(b, 2, 9, "c"), MK_ECONFLICT);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(mk_discovery_conflict(bed_d(b, i), proof, &id, &op), 0);
        hashes[0] = mk_hash(proof[0]);
        hashes[1] = mk_hash(proof[1]);
        assert_false(mk_id_eq(&hashes[0], &hashes[1]));
    }
    assert_int_equal(publish(b, 4, 10, "d"), 0); /* the operator goes on */
    w.version = 10;
    assert_true(world_run_until(b->w, deployment_everywhere, &w, 20000));
    bed_free(b);
}

static void test_deployment_forged(void **state)
{
    struct bed *b = bed_new(32);
    struct mk_buf bytes = {0};
    struct mk_key op;

    (void)state;
    bed_chain(b, 2, 0);
    bed_key(&op, 500);
    bed_deployment(&bytes, "stable", &op, 1, "a");
    bytes.p[bytes.n - 1] ^= 1;
    assert_int_equal(mk_discovery_publish(bed_d(b, 0), mk_buf_bytes(&bytes), NULL), MK_ESIGNATURE);
    assert_int_equal(mk_discovery_publish(bed_d(b, 0), MK_BYTES(bytes.p, bytes.n - 1), NULL),
                     MK_EMALFORMED);
    mk_buf_done(&bytes);
    mk_key_done(&op);
    bed_free(b);
}

/* --- wants
 * ---------------------------------------------------------------------------------------------- */

struct want {
    struct bed *b;
    unsigned i, other;
};

static bool linked(void *arg)
{
    struct want *w = arg;
    struct mk_peer peer = bed_peer(w->other);

    return mk_net_link(bed_at(w->b, w->i)->net, &peer) != NULL;
}

static bool wrong_peer(void *arg)
{
    struct want *w = arg;
    struct mk_peer peer = bed_peer(w->other);
    char detail[MK_REASON_MAX];
    unsigned close;

    mk_discovery_diagnose(bed_d(w->b, w->i), &peer, &close, detail);
    return close == MK_CLOSE_WRONG_PEER && strlen(detail) > 0;
}

static void test_want(void **state)
{
    struct bed *b = bed_new(33);
    struct want w = {b, 0, 8};
    struct mk_peer eight = bed_peer(8);
    char detail[MK_REASON_MAX];
    unsigned close;

    (void)state;
    bed_chain(b, 3, 0);
    mk_discovery_want(bed_d(b, 0), &eight, NULL);
    world_run(b->w, 2000);
    mk_discovery_diagnose(bed_d(b, 0), &eight, &close, detail);
    assert_int_equal(close, MK_CLOSE_UNREACHABLE);
    assert_string_equal(detail, "no address of this peer is known");
    mk_discovery_want(bed_d(b, 0), &eight, "n2:7000"); /* another one lives there */
    assert_true(world_run_until(b->w, wrong_peer, &w, 10000));
    bed_start(b, 8, 2, 0); /* its entry brings the address */
    assert_true(world_run_until(b->w, linked, &w, 20000));
    mk_discovery_diagnose(bed_d(b, 0), &eight, &close, detail);
    assert_int_equal(close, MK_CLOSE_NONE);
    assert_string_equal(detail, "");
    world_crash(b->w, 8); /* held: dialed again when it is back */
    world_run(b->w, 30000);
    assert_false(linked(&w));
    world_restart(b->w, 8);
    assert_true(world_run_until(b->w, linked, &w, 20000));
    mk_discovery_unwant(bed_d(b, 0), &eight);
    mk_discovery_unwant(bed_d(b, 0), &eight);
    bed_free(b);
}

static void test_want_follows_a_new_address(void **state)
{
    struct bed *b = bed_new(34);
    struct want w = {b, 0, 2};
    struct mk_peer two = bed_peer(2);

    (void)state;
    bed_chain(b, 3, 0);
    mk_discovery_want(bed_d(b, 0), &two, "n50:1");
    assert_true(world_run_until(b->w, linked, &w, 20000));
    bed_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain_converges),
        cmocka_unit_test(test_same_seed_same_run),
        cmocka_unit_test(test_a_few_links_each),
        cmocka_unit_test(test_quiet_when_nothing_changes),
        cmocka_unit_test(test_find_by_deployment),
        cmocka_unit_test(test_entry_shows_tickets),
        cmocka_unit_test(test_watchers_hear),
        cmocka_unit_test(test_a_reader_sees_and_is_not_seen),
        cmocka_unit_test(test_departure),
        cmocka_unit_test(test_departure_is_kept),
        cmocka_unit_test(test_stale_entries_are_purged),
        cmocka_unit_test(test_restart_with_a_clock_behind),
        cmocka_unit_test(test_clocks_that_go_back),
        cmocka_unit_test(test_partition_and_heal),
        cmocka_unit_test(test_the_middle_falls_out),
        cmocka_unit_test(test_swarm),
        cmocka_unit_test(test_deployment_spreads),
        cmocka_unit_test(test_deployment_conflict),
        cmocka_unit_test(test_deployment_forged),
        cmocka_unit_test(test_want),
        cmocka_unit_test(test_want_follows_a_new_address),
    };

    return cmocka_run_group_tests_name("discovery", tests, NULL, NULL);
}
