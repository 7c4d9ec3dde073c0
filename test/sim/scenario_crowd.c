/* scenario_crowd.c - discovery among ten thousand peers: how fast news come to all of them, and
 * what that costs each. CROWD_PEERS says how many (10,000).
 *
 * Ten thousand tables of ten thousand entries do not fit into one process. So the crowd is looked
 * at from two sides: all of them spread the entries of a few (how far, how fast, how many messages
 * and bytes a peer), and a few hold the entries of ten thousand (what a table takes, what comparing
 * and catching up cost). In a third scene some hundreds all have an entry and choose their
 * neighbours themselves. */
#include "crowd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PUBLISHERS 4u
#define HINTS 3u
#define PERIODS_MAX 10u

static unsigned peers(void)
{
    const char *text = getenv("CROWD_PEERS");

    return text != NULL ? crowd_number(text) : 10000;
}

/* --- one entry, ten thousand peers ------------------------------------------------------------ */

struct scene {
    struct crowd *c;
    unsigned n;
    struct mk_peer who; /* whose entry is awaited, */
    uint64_t version;   /*   at least this one */
    unsigned looked;    /* all before have it */
    size_t size;
};

static bool has(struct scene *s, unsigned i)
{
    struct crowd_node *n = crowd_at(s->c, i);
    struct mk_peer_entry e;

    return n == NULL || mk_peer_eq(&n->key.peer, &s->who) ||
           (mk_discovery_entry(n->d, &e, &s->who) == 0 && e.version >= s->version);
}

static bool all_have(void *arg)
{
    struct scene *s = arg;

    while (s->looked < s->n && has(s, s->looked))
        s->looked++;
    return s->looked == s->n;
}

static bool none_has(void *arg)
{
    struct scene *s = arg;

    for (; s->looked < s->n; s->looked++) {
        if (crowd_at(s->c, s->looked) != NULL && has(s, s->looked))
            return false;
    }
    return true;
}

static bool all_know(void *arg)
{
    struct scene *s = arg;

    for (; s->looked < s->n; s->looked++) {
        struct crowd_node *n = crowd_at(s->c, s->looked);

        if (n != NULL && mk_discovery_size(n->d) + (s->looked < PUBLISHERS) < s->size)
            return false;
    }
    return true;
}

static struct scene *scene_new(uint64_t seed)
{
    struct scene *s = mk_alloc(sizeof *s);

    s->n = peers();
    s->c = crowd_new(seed, s->n + 1, 0);
    for (unsigned i = 0; i < s->n; i++) {
        unsigned hints[HINTS];

        for (unsigned h = 0; h < HINTS; h++)
            hints[h] = (unsigned)crowd_draw(s->c, i > 0 ? i : 1);
        crowd_start(s->c, i, i<PUBLISHERS, hints, i> 0 ? HINTS : 0);
    }
    s->size = PUBLISHERS;
    assert_true(crowd_until(s->c, all_know, s, 60000));
    crowd_run(s->c, 2000);
    crowd_count_anew(s->c);
    return s;
}

static void scene_free(struct scene *s)
{
    crowd_free(s->c);
    mk_free(s);
}

/* Waits for all; says how long it took and what it cost; asserts the bounds, when so many news were
 * under way. */
static void spread(struct scene *s, const char *what, unsigned news)
{
    uint64_t from = crowd_ms(s->c), messages = 0, bytes = 0, most_messages = 0, most_bytes = 0;
    unsigned most_links = 0, links = 0;
    uint64_t took;

    s->looked = 0;
    assert_true(crowd_until(s->c, all_have, s, PERIODS_MAX * MK_DISCOVERY_PERIOD_MS));
    took = crowd_ms(s->c) - from;
    for (unsigned i = 0; i < s->n; i++) {
        const struct crowd_node *n = crowd_at(s->c, i);
        unsigned l = n != NULL ? crowd_links(s->c, i) : 0;

        if (n == NULL)
            continue;

        messages += n->messages;
        bytes += n->bytes;
        links += l;
        most_links = l > most_links ? l : most_links;
        most_messages = n->messages > most_messages ? n->messages : most_messages;
        most_bytes = n->bytes > most_bytes ? n->bytes : most_bytes;
    }
    print_message("# %s: all %u have it after %llu ms (%.1f periods); a peer: links %.1f (most %u),"
                  " messages %.1f (most %llu), bytes %.0f (most %llu)\n",
                  what, s->n, (unsigned long long)took, (double)took / MK_DISCOVERY_PERIOD_MS,
                  (double)links / s->n, most_links, (double)messages / s->n,
                  (unsigned long long)most_messages, (double)bytes / s->n,
                  (unsigned long long)most_bytes);
    assert_true(took <= PERIODS_MAX * MK_DISCOVERY_PERIOD_MS);
    /* An announcement on each link but one, and one question and one answer of each. */
    assert_true(messages <= (uint64_t)s->n * news * (2 * HINTS + 4));
    assert_true(bytes <= (uint64_t)s->n * news * 1024);
}

static void test_news_come_to_all(void **state)
{
    struct scene *s = scene_new(1);
    struct mk_id tag = mk_id_of_text(MK_STR("gpu"));
    const unsigned hint[1] = {s->n / 2};

    (void)state;
    /* A newer entry of one that is known. */
    s->who = crowd_at(s->c, 3)->key.peer;
    s->version = mk_wall_ms(&crowd_at(s->c, 3)->env);
    assert_int_equal(mk_discovery_tag(crowd_at(s->c, 3)->d, &tag, 1), 0);
    spread(s, "a newer entry", 1);
    assert_int_equal(mk_discovery_count_tagged(crowd_at(s->c, s->n - 1)->d, &tag), 1);

    /* A peer that nobody knew, with one hint. */
    crowd_run(s->c, 3000);
    crowd_count_anew(s->c);
    s->who = crowd_peer(s->n);
    s->version = 0;
    crowd_start(s->c, s->n, true, hint, 1);
    spread(s, "a new peer", 1);

    /* One in fifty is gone at once, silently, while everybody has just spoken of other things: all
     * have to wait for their period, and some for a second neighbour. */
    crowd_run(s->c, 3000);
    for (unsigned i = PUBLISHERS; i < s->n; i += 50)
        crowd_stop(s->c, i, /* crashes= */ true);
    assert_int_equal(mk_discovery_tag(crowd_at(s->c, 1)->d, &tag, 1), 0);
    crowd_run(s->c, 200);
    crowd_count_anew(s->c);
    s->who = crowd_at(s->c, 2)->key.peer;
    s->version = mk_wall_ms(&crowd_at(s->c, 2)->env);
    assert_int_equal(mk_discovery_tag(crowd_at(s->c, 2)->d, &tag, 1), 0);
    spread(s, "among crashes and other news", 2);

    /* The new peer leaves, and says so. */
    crowd_run(s->c, 3000);
    s->who = crowd_peer(s->n);
    s->version = 0;
    crowd_stop(s->c, s->n, /* crashes= */ false);
    s->looked = 0;
    assert_true(crowd_until(s->c, none_has, s, PERIODS_MAX * MK_DISCOVERY_PERIOD_MS));
    scene_free(s);
}

/* --- the entries of ten thousand -------------------------------------------------------------- */

/* A signed entry of a peer that runs nowhere. */
static void entry_of(struct mk_buf *out, unsigned i, uint64_t wall_ms, const struct mk_id *tag)
{
    uint8_t seed[32] = {(uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16), 0xe5};
    struct mk_peer_entry e = {
        .network = MK_UNIVERSE, .version = wall_ms, .expires_ms = wall_ms + 3000000};
    char text[32];
    struct mk_str address = {text, 0};
    struct mk_key k;

    mk_key_from_seed(&k, seed);
    address.n =
        (size_t)snprintf(text, sizeof text, "10.%u.%u.%u:7700", i >> 16, (i >> 8) & 255, i & 255);
    e.peer = k.peer;
    e.addresses = (struct mk_entry_addresses){&address, 1};
    e.tags = (struct mk_entry_tags){tag, 1};
    mk_record_sign_entry(&e, &k, out);
    mk_key_done(&k);
}

/* As if one of two peers had told it: one alone may fill half of a table. */
static void feed(struct crowd *c, unsigned to, unsigned i, const struct mk_id *tag)
{
    struct mk_source source = {.peer = crowd_peer(1000 + i % 2), .group = 1 + i % 2};
    struct mk_buf b = {0};
    uint64_t hash;

    entry_of(&b, i, mk_wall_ms(&crowd_at(c, to)->env), tag);
    assert_int_equal(mk_discovery_take(crowd_at(c, to)->d, MK_RECORD_PEER, mk_buf_bytes(&b),
                                       &source, &hash, NULL),
                     0);
    mk_buf_done(&b);
}

struct wait {
    struct crowd *c;
    unsigned i;
    size_t n;
    const struct mk_id *tag;
    bool synced;
};

static bool knows(void *arg)
{
    struct wait *w = arg;

    return mk_discovery_size(crowd_at(w->c, w->i)->d) >= w->n;
}

static bool is_tagged(void *arg)
{
    struct wait *w = arg;

    return mk_discovery_count_tagged(crowd_at(w->c, w->i)->d, w->tag) == w->n;
}

static void synced_cb(struct mk_discovery_sync *s, int status, const struct mk_fault *fault)
{
    (void)s;
    (void)fault;
    assert_int_equal(status, 0);
}

static uint64_t bytes_of(struct crowd *c, unsigned n)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < n; i++)
        bytes += crowd_at(c, i)->bytes;
    return bytes;
}

/* Two that hold ten thousand entries, and what it costs to be like them. */
static void test_a_large_catalogue(void **state)
{
    struct crowd *c = crowd_new(2, 4, 0);
    const unsigned hints[2] = {0, 1};
    struct mk_id tag = mk_id_of_text(MK_STR("old")), newer = mk_id_of_text(MK_STR("new"));
    struct wait w = {.c = c, .i = 2, .n = peers()};
    struct mk_discovery_stats st;
    struct mk_discovery_sync sync = {.cb = synced_cb};
    struct mk_peer zero = crowd_peer(0);
    uint64_t from, bytes, whole;

    (void)state;
    crowd_start(c, 0, true, NULL, 0);
    crowd_start(c, 1, true, NULL, 0);
    for (unsigned i = 0; i < peers(); i++) {
        feed(c, 0, i, &tag);
        feed(c, 1, i, &tag);
    }

    /* A newcomer: one source may fill half of its table, so it takes two to tell it all. */
    crowd_start(c, 2, true, hints, 2);
    from = crowd_ms(c);
    assert_true(crowd_until(c, knows, &w, 60000));
    mk_discovery_stats(crowd_at(c, 2)->d, &st);
    whole = bytes_of(c, 3);
    print_message("# a newcomer knows %zu entries after %llu ms, %llu bytes an entry over all; its"
                  " table holds %zu bytes an entry\n",
                  st.entries, (unsigned long long)(crowd_ms(c) - from),
                  (unsigned long long)(whole / st.entries), st.bytes / st.entries);
    assert_true(st.bytes / st.entries < MK_DISCOVERY_BYTES_MAX / MK_DISCOVERY_ENTRIES_MAX);
    crowd_run(c, 5000);

    /* The link breaks, one entry changes meanwhile, the link is back: what does comparing cost? */
    crowd_cut(c, 2, 0);
    crowd_cut(c, 2, 1);
    crowd_cut(c, 0, 1);
    crowd_run(c, 100);
    feed(c, 0, 7, &newer);
    crowd_count_anew(c);
    w.tag = &newer;
    w.n = 1;
    mk_discovery_sync(crowd_at(c, 2)->d, &sync, &zero, "n0.in.net0:1");
    assert_true(crowd_until(c, is_tagged, &w, 60000));
    crowd_run(c, 2000);
    bytes = bytes_of(c, 3);
    print_message("# one of %u entries differs: %llu bytes to find and give it; all of them took"
                  " %llu\n",
                  peers(), (unsigned long long)bytes, (unsigned long long)whole);
    assert_true(bytes < 64 * 1024);
    mk_discovery_sync_cancel(&sync);
    crowd_free(c);
}

/* --- everybody has an entry ----------------------------------------------------------------------
 */

/* Hundreds that chose their neighbours themselves, from one hint; a day's work of renewing. */
static void test_all_publish(void **state)
{
    const unsigned n = peers() / 200 + 30, hint[1] = {0};
    struct crowd *c = crowd_new(3, n, 0);
    struct wait w = {.c = c, .n = n - 1};
    uint64_t records = 0, bytes = 0, messages = 0;
    unsigned most_links = 0;

    (void)state;
    for (unsigned i = 0; i < n; i++) {
        crowd_start(c, i, true, hint, i > 0);
        crowd_run(c, 20);
    }
    for (w.i = 0; w.i < n; w.i++)
        assert_true(crowd_until(c, knows, &w, 30000));
    crowd_run(c, 20000); /* all have chosen */
    for (unsigned i = 0; i < n; i++) {
        struct mk_discovery_stats st;

        mk_discovery_stats(crowd_at(c, i)->d, &st);
        records -= st.records_in;
    }
    crowd_count_anew(c);
    crowd_run(c, 120000); /* each renews twice */
    for (unsigned i = 0; i < n; i++) {
        struct mk_discovery_stats st;
        unsigned links = crowd_links(c, i);

        mk_discovery_stats(crowd_at(c, i)->d, &st);
        records += st.records_in;
        bytes += crowd_at(c, i)->bytes;
        messages += crowd_at(c, i)->messages;
        most_links = i > 0 && links > most_links ? links : most_links; /* 0 is everybody's hint */
        assert_int_equal(mk_discovery_size(crowd_at(c, i)->d), n - 1);
        assert_true(st.refused == st.refused_by[MK_RUMOUR_OLDER]);
    }
    print_message("# %u peers renew: a renewal reaches a peer %.2f times, %.0f bytes and %.1f"
                  " messages of it; links at most %u\n",
                  n, (double)records / n / (2.0 * n), (double)bytes / n / (2.0 * n),
                  (double)messages / n / (2.0 * n), most_links);
    assert_true(records < (uint64_t)n * 2 * n * 3 / 2);
    assert_true(bytes < (uint64_t)n * 2 * n * 640);
    assert_true(most_links <= 24);
    crowd_free(c);
}

/* --- those who would have it otherwise
 * ------------------------------------------------------------- */

#define TABLE 600u

/* Source s of a group brings entries [from, to). Returns how many were taken. */
static unsigned bring(struct crowd *c, unsigned s, uint32_t group, unsigned from, unsigned to,
                      const struct mk_id *tag)
{
    struct mk_source source = {.peer = crowd_peer(s), .group = group};
    unsigned taken = 0;

    for (unsigned i = from; i < to; i++) {
        struct mk_buf b = {0};
        uint64_t hash;

        entry_of(&b, i, mk_wall_ms(&crowd_at(c, 0)->env), tag);
        taken += mk_discovery_take(crowd_at(c, 0)->d, MK_RECORD_PEER, mk_buf_bytes(&b), &source,
                                   &hash, NULL) == 0;
        mk_buf_done(&b);
    }
    return taken;
}

/* Ten peers tell what they know; then four of one network, with keys as many as they like, fill
 * the table; then ten more tell. Of those who are honest nobody is missing. */
static void test_a_flood_of_many_sources(void **state)
{
    struct crowd *c = crowd_new(4, 1, TABLE);
    struct mk_id honest = mk_id_of_text(MK_STR("honest")), flood = mk_id_of_text(MK_STR("flood"));
    struct mk_discovery_stats st;
    uint64_t displaced;

    (void)state;
    crowd_start(c, 0, false, NULL, 0);
    for (unsigned s = 0; s < 10; s++)
        assert_int_equal(bring(c, 100 + s, 100 + s, 20 * s, 20 * s + 20, &honest), 20);
    for (unsigned s = 0; s < 4; s++)
        bring(c, 200 + s, 7, 10000 + 500 * s, 10500 + 500 * s, &flood);
    mk_discovery_stats(crowd_at(c, 0)->d, &st);
    assert_int_equal(st.entries, TABLE);
    assert_true(st.refused_by[MK_RUMOUR_NO_ROOM] > 0);
    displaced = st.displaced;
    assert_int_equal(mk_discovery_count_tagged(crowd_at(c, 0)->d, &honest), 200);
    for (unsigned s = 10; s < 20; s++)
        assert_int_equal(bring(c, 100 + s, 100 + s, 20 * s, 20 * s + 20, &honest), 20);
    mk_discovery_stats(crowd_at(c, 0)->d, &st);
    assert_int_equal(mk_discovery_count_tagged(crowd_at(c, 0)->d, &honest), 400);
    assert_int_equal(st.displaced - displaced, 200);
    assert_int_equal(st.entries, TABLE);

    /* What was held for long gives way to nobody. */
    crowd_run(c, MK_DISCOVERY_SETTLED_MS + 1000);
    assert_int_equal(bring(c, 300, 300, 20000, 20010, &honest), 0);
    crowd_free(c);
}

#define NETS 20u
#define LIARS 100u

static unsigned honest_peer(unsigned k)
{
    return 256 * (k + 2); /* each in a network of its own */
}

static void neighbours(struct crowd *c, unsigned i, unsigned *ret_all, unsigned *ret_liars,
                       unsigned *ret_anchors)
{
    struct crowd_node *n = crowd_at(c, i);

    *ret_all = *ret_liars = *ret_anchors = 0;
    mk_list_each(p, &n->d->contacts)
    {
        const struct mk_contact *k = mk_container_of(p, struct mk_contact, node);

        *ret_all += k->is_neighbour && k->linked_ns != 0;
        *ret_anchors += k->is_anchor && k->linked_ns != 0;
        for (unsigned l = 0; k->is_neighbour && l < LIARS; l++) {
            struct mk_peer liar = crowd_peer(256 + l);

            *ret_liars += mk_peer_eq(&liar, &k->peer);
        }
    }
}

/* A hundred of one network against twenty of twenty: a newcomer whose only hint is one of the
 * hundred, and to whom all of them offer themselves, has neighbours elsewhere; and comes back to
 * those whom it knew, when all its links break at once. */
static void test_an_eclipse(void **state)
{
    struct crowd *c = crowd_new(5, honest_peer(NETS), 0);
    const unsigned victim = 0, bad[1] = {256}, good[1] = {honest_peer(0)};
    unsigned all, liars, anchors;

    (void)state;
    crowd_start(c, good[0], true, NULL, 0);
    for (unsigned k = 1; k < NETS; k++)
        crowd_start(c, honest_peer(k), true, good, 1);
    for (unsigned l = 0; l < LIARS; l++)
        crowd_start(c, 256 + l, true, l == 0 ? good : bad, 1);
    crowd_run(c, 20000);
    crowd_start(c, victim, true, bad, 1);
    crowd_run(c, 20000);
    neighbours(c, victim, &all, &liars, &anchors);
    assert_true(all >= MK_DISCOVERY_DEGREE - 1); /* the hint is the third */
    assert_int_equal(liars, 0);
    crowd_run(c, 90000);
    neighbours(c, victim, &all, &liars, &anchors);
    assert_int_equal(anchors, all);
    for (unsigned i = 0; i < honest_peer(NETS); i++) {
        if (i != victim && crowd_at(c, i) != NULL)
            crowd_cut(c, victim, i);
    }
    crowd_run(c, 60000);
    neighbours(c, victim, &all, &liars, &anchors);
    assert_true(anchors >= MK_DISCOVERY_DEGREE - 1);
    assert_int_equal(liars, 0);
    crowd_free(c);
}

/* More want to talk than there are places: everybody who comes is told what there is, those who
 * were here first stay. */
static void test_more_than_places(void **state)
{
    const unsigned n = MK_DISCOVERY_CONVS_MAX + 64, hint[1] = {0};
    struct crowd *c = crowd_new(6, n + 1, 0);
    struct wait w = {.c = c, .n = 1};
    struct mk_discovery_stats st;

    (void)state;
    crowd_start(c, 0, true, NULL, 0);
    for (unsigned i = 1; i <= n; i++) { /* they dial and have no entry: guests */
        crowd_start(c, i, false, hint, 1);
        crowd_run(c, 20);
    }
    for (w.i = 1; w.i <= n; w.i++)
        assert_true(crowd_until(c, knows, &w, 5000));
    mk_discovery_stats(crowd_at(c, 0)->d, &st);
    assert_true(st.conversations <= MK_DISCOVERY_CONVS_MAX + 1);
    assert_true(st.busy >= 63);
    for (unsigned i = 1; i <= MK_DISCOVERY_CONVS_MAX / 2; i++)
        assert_non_null(mk_gossip_find(crowd_at(c, 0)->d, &crowd_at(c, i)->key.peer));
    crowd_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_flood_of_many_sources), cmocka_unit_test(test_an_eclipse),
        cmocka_unit_test(test_more_than_places),        cmocka_unit_test(test_news_come_to_all),
        cmocka_unit_test(test_a_large_catalogue),       cmocka_unit_test(test_all_publish),
    };

    return cmocka_run_group_tests_name("crowd", tests, NULL, NULL);
}
