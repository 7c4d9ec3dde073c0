/* Four peers that all want links to all, in a network that breaks, goes silent and
 * heals, while processes end and return: at every moment each peer has at most one link
 * to each other and hears of ups and downs in turn; once healed, every pair agrees on
 * one link, and it carries messages. */
#include "net_bed.h"

#include <stdlib.h>

struct chaos_peer {
    struct mk_net_watch watch;
    struct mk_dial dials[BED_PEERS];
    bool up[BED_PEERS];
    struct mk_peer ids[BED_PEERS];
};

struct chaos {
    struct bed *bed;
    struct chaos_peer peers[BED_PEERS];
};

static unsigned index_of(const struct chaos_peer *c, const struct mk_peer *id)
{
    for (unsigned i = 0; i < BED_PEERS; i++)
        if (mk_peer_eq(&c->ids[i], id))
            return i;
    fail();
    return 0;
}

static void chaos_up(struct mk_net_watch *w, struct mk_link *l)
{
    struct chaos_peer *c = mk_container_of(w, struct chaos_peer, watch);
    unsigned i = index_of(c, mk_link_peer(l));

    assert_false(c->up[i]);
    c->up[i] = true;
}

static void chaos_down(struct mk_net_watch *w, const struct mk_peer *peer, unsigned close,
                       const char *detail)
{
    struct chaos_peer *c = mk_container_of(w, struct chaos_peer, watch);
    unsigned i = index_of(c, peer);

    (void)close;
    (void)detail;
    assert_true(c->up[i]);
    c->up[i] = false;
}

static void chaos_boot(struct chaos *c, unsigned i)
{
    struct bed_peer *p = bed_open(c->bed, i);
    struct chaos_peer *cp = &c->peers[i];
    char address[32];

    memset(p->convs, 0, sizeof p->convs);
    p->n_convs = p->n_up = p->n_down = 0;
    memset(cp, 0, sizeof *cp);
    cp->watch.up = chaos_up;
    cp->watch.down = chaos_down;
    mk_net_watch(p->net, &cp->watch);
    for (unsigned j = 0; j < BED_PEERS; j++) {
        uint8_t seed[32];
        struct mk_key k;

        memset(seed, (int)(j + 1), sizeof seed);
        mk_key_from_seed(&k, seed);
        cp->ids[j] = k.peer;
        snprintf(address, sizeof address, "n%u:7000", j);
        if (j != i)
            mk_net_dial(p->net, &cp->dials[j], &k.peer, address);
    }
}

static void chaos_close_a_link(struct chaos *c, unsigned i)
{
    struct mk_link *l = mk_net_next_link(c->bed->peers[i].net, NULL);

    if (l != NULL)
        mk_link_close(l, MK_CLOSE_REFUSED, "for no reason");
}

static void chaos_event(struct chaos *c)
{
    struct world *w = c->bed->w;
    unsigned a = (unsigned)world_chaos(w, BED_PEERS), b = (unsigned)world_chaos(w, BED_PEERS);

    switch (world_chaos(w, 8)) {
    case 0:
        world_break(w, a, (a + 1 + b % 3) % BED_PEERS);
        break;
    case 1:
        world_cut(w, a, b);
        break;
    case 2:
        world_isolate(w, a);
        break;
    case 3:
        world_heal(w);
        break;
    case 4:
        bed_close(&c->bed->peers[a]);
        chaos_boot(c, a);
        break;
    case 5:
        chaos_close_a_link(c, a);
        break;
    case 6: /* both ends at once */
        chaos_close_a_link(c, a);
        chaos_close_a_link(c, b);
        break;
    default: /* a wish ends and returns */
        b = (a + 1) % BED_PEERS;
        mk_net_undial(&c->peers[a].dials[b]);
        mk_net_dial(c->bed->peers[a].net, &c->peers[a].dials[b], &c->peers[a].ids[b],
                    c->bed->peers[b].address);
        break;
    }
}

static bool all_linked(void *arg)
{
    struct chaos *c = arg;

    for (unsigned i = 0; i < BED_PEERS; i++)
        for (unsigned j = 0; j < BED_PEERS; j++)
            if (i != j && mk_net_link(c->bed->peers[i].net, &c->peers[i].ids[j]) == NULL)
                return false;
    return true;
}

static void check_books(struct chaos *c)
{
    for (unsigned i = 0; i < BED_PEERS; i++) {
        struct mk_net *net = c->bed->peers[i].net;
        struct mk_net_stats s;
        unsigned n = 0, n_up = 0;

        for (struct mk_link *l = NULL; (l = mk_net_next_link(net, l)) != NULL; n++)
            assert_ptr_equal(mk_net_link(net, mk_link_peer(l)), l);
        mk_net_stats(net, &s);
        assert_int_equal(s.links, n);
        assert_in_range(s.handshakes, 0, MK_NET_HANDSHAKES_MAX);
        for (unsigned j = 0; j < BED_PEERS; j++)
            n_up += c->peers[i].up[j] ? 1 : 0;
        assert_true(n_up >= n); /* one more while a down is on its way */
    }
}

static bool echo_came(void *arg)
{
    return ((struct bed_conv *)arg)->got.n > 0 || ((struct bed_conv *)arg)->over;
}

/* The links agree: what one end sends on its, the other end answers. */
static void check_echoes(struct chaos *c)
{
    for (unsigned i = 0; i < BED_PEERS; i++)
        for (unsigned j = 0; j < BED_PEERS; j++) {
            struct bed_peer *p = &c->bed->peers[i];
            struct bed_conv *conv;

            if (i == j)
                continue;
            conv = bed_talk(p, mk_net_link(p->net, &c->peers[i].ids[j]), "echo", "x");
            assert_true(bed_until(c->bed, echo_came, conv, 5000));
            assert_false(conv->over);
        }
}

static void chaos_run(enum bed_kind kind, uint64_t seed)
{
    struct chaos c = {.bed = bed_new_seed(kind, seed)};

    for (unsigned i = 0; i < BED_PEERS; i++)
        chaos_boot(&c, i);
    for (unsigned i = 0; i < 40; i++) {
        world_run(c.bed->w, world_chaos(c.bed->w, i % 4 == 0 ? 20000 : 400));
        check_books(&c);
        chaos_event(&c);
    }
    world_heal(c.bed->w);
    world_run(c.bed->w, 60000); /* silence that began before is noticed, duplicates settle */
    assert_true(bed_until(c.bed, all_linked, &c, 20000));
    check_books(&c);
    check_echoes(&c);
    bed_free(c.bed);
}

static void test_seeds_vouched(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++)
        chaos_run(BED_VOUCHED, seed);
}

static void test_seeds_tls(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++)
        chaos_run(BED_SIM_TLS, seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeds_vouched),
        cmocka_unit_test(test_seeds_tls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
