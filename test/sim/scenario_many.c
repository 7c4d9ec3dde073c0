/* A thousand groups in three processes, one log each: at rest, woken by one command, and when
 * the process dies that led some of them.
 *
 * Groups here have the machine of toy.h and no checkers beside: what is asked of them is that
 * they are quiet when they may be, and each answers when it must. */
#include "toy.h"

#include "collections/surface.h"
#include "group/group_int.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODES 3u
#define MANY 1000u
#define SOME 60u

struct many {
    struct world *w;
    unsigned n; /* groups */
    uint64_t snapshot_entries;
    struct mk_key keys[NODES];
    struct mk_peer peers[NODES];
    struct mk_id *deployments;
    struct boot {
        struct many *m;
        unsigned i;
    } boots[NODES];
    uint64_t session;
};

/* One process. */
struct shop {
    struct many *m;
    unsigned i;
    struct mk_env *env;
    struct mk_store *store;
    struct mk_net *net;
    struct mk_group **groups;
    struct mk_dial dials[NODES];
};

static void open_group(struct shop *s, unsigned k)
{
    static const struct mk_acl_composition open_acl;
    struct many *m = s->m;
    struct mk_roster roster = {.deployment = m->deployments[k], .epoch = 1};
    struct mk_group_options o = {
        .deployment = m->deployments[k],
        .stable_id = m->deployments[k],
        .roster = &roster,
        .key = &m->keys[s->i],
        .machine = toy_new(),
        .acl = &open_acl,
        .found = true,
        .snapshot_entries = m->snapshot_entries,
    };
    struct mk_fault f = {{0}};

    roster.peers = (struct mk_peers){m->peers, NODES};
    if (mk_group_open(s->env, s->net, s->store, &s->groups[k], &o, &f) != 0)
        fail_msg("group %u of process %u: %s", k, s->i, f.text);
}

static void *shop_boot(struct mk_env *e, unsigned node, void *arg)
{
    struct boot *b = arg;
    struct shop *s = mk_alloc(sizeof *s);
    struct mk_fault f = {{0}};
    char address[32];

    (void)node;
    s->m = b->m;
    s->i = b->i;
    s->env = e;
    s->groups = mk_alloc(s->m->n * sizeof(struct mk_group *));
    mk_env_vouch(e, &s->m->peers[s->i]);
    snprintf(address, sizeof address, "n%u:7000", s->i);
    if (mk_store_open(e, &s->store, &(struct mk_store_options){0}, &f) != 0 ||
        mk_net_open(
            e, &s->net,
            &(struct mk_net_options){&s->m->keys[s->i], MK_UNIVERSE, /* vouched= */ true}) != 0 ||
        mk_net_listen(s->net, address, &f) != 0)
        fail_msg("process %u: %s", s->i, f.text);
    for (unsigned k = 0; k < s->m->n; k++)
        open_group(s, k);
    for (unsigned i = 0; i < NODES; i++) {
        snprintf(address, sizeof address, "n%u:7000", i);
        if (i != s->i)
            mk_net_dial(s->net, &s->dials[i], &s->m->peers[i], address);
    }
    return s;
}

static void shop_destroy(void *state)
{
    struct shop *s = state;

    for (unsigned k = 0; k < s->m->n; k++)
        mk_group_close(s->groups[k]);
    for (unsigned i = 0; i < NODES; i++)
        if (s->dials[i].impl != NULL)
            mk_net_undial(&s->dials[i]);
    mk_net_close(s->net);
    mk_store_close(s->store, NULL, NULL);
    mk_free(s->groups);
    mk_free(s);
}

static const struct world_program shop_program = {shop_boot, shop_destroy};

static int key_cmp(const void *a, const void *b)
{
    return mk_peer_cmp(&((const struct mk_key *)a)->peer, &((const struct mk_key *)b)->peer);
}

static struct many *many_new(uint64_t seed, unsigned n, uint64_t snapshot_entries)
{
    struct many *m = mk_alloc(sizeof *m);

    m->n = n;
    m->snapshot_entries = snapshot_entries;
    m->deployments = mk_alloc(n * sizeof *m->deployments);
    for (unsigned i = 0; i < NODES; i++) {
        uint8_t bytes[32] = "one of many";

        bytes[16] = (uint8_t)i;
        mk_key_from_seed(&m->keys[i], bytes);
    }
    qsort(m->keys, NODES, sizeof m->keys[0], key_cmp);
    for (unsigned i = 0; i < NODES; i++)
        m->peers[i] = m->keys[i].peer;
    for (unsigned k = 0; k < n; k++) {
        char text[32];

        snprintf(text, sizeof text, "group %u", k);
        m->deployments[k] = mk_id_of_text(mk_str_of(text));
    }
    m->w = world_new(seed);
    for (unsigned i = 0; i < NODES; i++) {
        m->boots[i] = (struct boot){m, i};
        world_boot(m->w, i, &shop_program, &m->boots[i]);
    }
    return m;
}

static void many_free(struct many *m)
{
    world_free(m->w);
    mk_free(m->deployments);
    mk_free(m);
}

static struct shop *shop_of(struct many *m, unsigned i)
{
    return world_is_up(m->w, i) ? world_state(m->w, i) : NULL;
}

/* --- looking ------------------------------------------------------------------------------ */

static unsigned up(struct many *m)
{
    unsigned n = 0;

    for (unsigned i = 0; i < NODES; i++)
        n += world_is_up(m->w, i);
    return n;
}

static int leader_of(struct many *m, unsigned k)
{
    struct mk_group_status s;
    uint64_t term = 0;
    int leader = -1;

    for (unsigned i = 0; i < NODES; i++) {
        if (shop_of(m, i) == NULL)
            continue;
        mk_group_glance(shop_of(m, i)->groups[k], &s);
        if (s.state == MK_GROUP_LEADING && s.term > term) {
            term = s.term;
            leader = (int)i;
        }
    }
    return leader;
}

/* Members that are quiet, of all groups. */
static unsigned quiet_ones(struct many *m)
{
    struct mk_group_status s;
    unsigned n = 0;

    for (unsigned i = 0; i < NODES; i++)
        for (unsigned k = 0; k < m->n && shop_of(m, i) != NULL; k++) {
            mk_group_glance(shop_of(m, i)->groups[k], &s);
            n += s.quiet;
        }
    return n;
}

/* Looked at every 20 ms of the world, since looking at thousands costs more than an event. */
static bool until(struct many *m, bool (*cond)(struct many *m), uint64_t ms)
{
    for (uint64_t end = world_time(m->w) + ms; world_time(m->w) < end; world_run(m->w, 20))
        if (cond(m))
            return true;
    return cond(m);
}

static bool all_quiet(struct many *m)
{
    return quiet_ones(m) == up(m) * m->n;
}

static bool all_led(struct many *m)
{
    for (unsigned k = 0; k < m->n; k++)
        if (leader_of(m, k) < 0)
            return false;
    return true;
}

static bool all_equal(struct many *m)
{
    struct mk_group_status a, b;

    for (unsigned k = 0; k < m->n; k++) {
        mk_group_glance(shop_of(m, 0)->groups[k], &a);
        for (unsigned i = 1; i < NODES; i++) {
            mk_group_glance(shop_of(m, i)->groups[k], &b);
            if (a.applied != b.applied || a.term != b.term)
                return false;
        }
    }
    return true;
}

static uint64_t term_of(struct many *m, unsigned k)
{
    struct mk_group_status s;

    mk_group_glance(shop_of(m, (unsigned)leader_of(m, k))->groups[k], &s);
    return s.term;
}

/* --- asking -------------------------------------------------------------------------------- */

struct asked {
    struct mk_submit submit;
    unsigned *answered;
};

static void asked_cb(struct mk_submit *s, int status, const struct mk_outcome *o)
{
    struct asked *a = mk_container_of(s, struct asked, submit);

    (void)o;
    *a->answered += status == 0;
}

static void ask(struct many *m, unsigned node, unsigned k, struct asked *a, const char *command)
{
    a->submit.cb = asked_cb;
    assert_int_equal(mk_group_submit(shop_of(m, node)->groups[k], &a->submit, ++m->session, 1,
                                     MK_BYTES(command, strlen(command))),
                     0);
}

/* Each group takes a write, asked for at a process that is up. */
static void all_answer(struct many *m, uint64_t ms)
{
    struct asked *a = mk_alloc(m->n * sizeof *a);
    unsigned answered = 0;

    for (unsigned k = 0; k < m->n; k++) {
        a[k].answered = &answered;
        ask(m, world_is_up(m->w, 0) ? 0 : 1, k, &a[k], "set key value");
    }
    for (uint64_t end = world_time(m->w) + ms; answered < m->n && world_time(m->w) < end;)
        world_run(m->w, 5);
    assert_int_equal(answered, m->n);
    mk_free(a);
}

static struct many *quiet(uint64_t seed, unsigned n)
{
    struct many *m = many_new(seed, n, 0);

    assert_true(until(m, all_led, 20000));
    assert_true(until(m, all_quiet, 20000));
    return m;
}

static uint64_t events_in(struct many *m, uint64_t ms)
{
    uint64_t before = world_events(m->w);

    world_run(m->w, ms);
    return world_events(m->w) - before;
}

/* --- the scenarios -----------------------------------------------------------------------------
 */

static void a_thousand_rest_wake_and_lose_a_process(void **state)
{
    struct many *m = quiet(1, MANY);
    unsigned led[NODES] = {0};
    uint64_t *terms = mk_alloc(MANY * sizeof *terms);
    struct asked a;
    unsigned answered = 0, dead = 0, one;
    int *leaders = mk_alloc(MANY * sizeof *leaders);

    (void)state;
    /* At rest: beats between three processes, nothing for a group. */
    world_run(m->w, 1000);
    assert_in_range(events_in(m, 10000), 600, 4000);
    assert_true(all_quiet(m));

    /* One command wakes one group. */
    a.answered = &answered;
    one = 17;
    ask(m, (unsigned)leader_of(m, one), one, &a, "set a 1");
    world_run(m->w, 50);
    assert_int_equal(answered, 1);
    assert_int_equal(quiet_ones(m), NODES * (MANY - 1));
    assert_true(until(m, all_quiet, 5000));

    /* One process is killed: whatever it led has another leader soon, the rest keeps its own. */
    for (unsigned k = 0; k < MANY; k++) {
        leaders[k] = leader_of(m, k);
        terms[k] = term_of(m, k);
        led[leaders[k]]++;
    }
    for (unsigned i = 1; i < NODES; i++)
        if (led[i] > led[dead])
            dead = i;
    print_message("# leaders: %u %u %u\n", led[0], led[1], led[2]);
    world_kill(m->w, dead);
    assert_true(until(m, all_led, 3000));
    all_answer(m, 5000);
    for (unsigned k = 0; k < MANY; k++)
        if (leaders[k] != (int)dead) {
            assert_int_equal(leader_of(m, k), leaders[k]);
            assert_int_equal(term_of(m, k), terms[k]);
        }
    assert_true(until(m, all_quiet, 10000)); /* the two */
    world_restart(m->w, dead);
    assert_true(until(m, all_equal, 20000));
    assert_true(until(m, all_quiet, 20000));
    mk_free(terms);
    mk_free(leaders);
    many_free(m);
}

/* No link breaks: only the beats stop. */
static void a_silent_process_loses_what_it_led(void **state)
{
    struct many *m = quiet(2, SOME);
    uint64_t at;

    (void)state;
    world_run(m->w, 20000);
    for (unsigned i = 0; i < NODES; i++) {
        assert_true(all_quiet(m));
        at = world_time(m->w);
        world_pause(m->w, i);
        world_run(m->w, 1500);
        for (unsigned k = 0; k < m->n; k++) { /* who is stopped may think that it leads still */
            struct mk_group_status s, t;
            unsigned x = (i + 1) % NODES, y = (i + 2) % NODES;

            mk_group_glance(shop_of(m, x)->groups[k], &s);
            mk_group_glance(shop_of(m, y)->groups[k], &t);
            assert_true(s.state == MK_GROUP_LEADING || t.state == MK_GROUP_LEADING);
        }
        assert_true(world_time(m->w) - at <= 1600);
        world_resume(m->w, i);
        assert_true(until(m, all_equal, 20000));
        assert_true(until(m, all_quiet, 20000));
    }
    all_answer(m, 5000);
    many_free(m);
}

static void a_short_stop_costs_nobody_the_lead(void **state)
{
    struct many *m = quiet(3, SOME);
    uint64_t terms[SOME];

    (void)state;
    for (unsigned k = 0; k < SOME; k++)
        terms[k] = term_of(m, k);
    for (unsigned i = 0; i < NODES; i++) {
        world_pause(m->w, i);
        world_run(m->w, 150);
        world_resume(m->w, i);
        world_run(m->w, 1000);
    }
    assert_true(all_quiet(m));
    for (unsigned k = 0; k < SOME; k++)
        assert_int_equal(term_of(m, k), terms[k]);
    many_free(m);
}

/* Led, answering, alike, and then at rest. */
static void all_are_well(struct many *m)
{
    assert_true(until(m, all_led, 20000));
    all_answer(m, 20000);
    assert_true(until(m, all_equal, 20000));
    assert_true(until(m, all_quiet, 20000));
}

/* Of all at once. */
static void power_cut(struct many *m)
{
    for (unsigned i = 0; i < NODES; i++)
        world_crash(m->w, i);
    world_run(m->w, 1000);
    for (unsigned i = 0; i < NODES; i++)
        world_restart(m->w, i);
}

/* Where a thousand groups would have to be led anew, a process that has no processor for nearly
 * half a second is waited for; without that patience three quarters of them were led anew. */
static void a_crowd_is_patient_with_a_starved_process(void **state)
{
    struct many *m = quiet(32, MANY);
    uint64_t *terms = mk_alloc(MANY * sizeof *terms);
    unsigned others = 0;

    (void)state;
    for (unsigned k = 0; k < MANY; k++)
        terms[k] = term_of(m, k);
    for (unsigned i = 0; i < NODES; i++) {
        world_pause(m->w, i);
        world_run(m->w, 450);
        world_resume(m->w, i);
        assert_true(until(m, all_quiet, 20000));
    }
    assert_true(all_led(m));
    for (unsigned k = 0; k < MANY; k++)
        others += term_of(m, k) != terms[k];
    print_message("# %u of %u were led anew\n", others, MANY);
    assert_true(others < MANY / 10);
    mk_free(terms);
    many_free(m);
}

static void a_partition_heals(void **state)
{
    struct many *m = quiet(4, SOME);

    (void)state;
    for (unsigned i = 0; i < NODES; i++) {
        world_isolate(m->w, i);
        world_run(m->w, 3000);
        world_heal(m->w);
        all_are_well(m);
    }
    many_free(m);
}

/* One that hears and is not heard, and the other way round. */
static void a_one_way_cut_heals(void **state)
{
    struct many *m = quiet(5, SOME);

    (void)state;
    for (unsigned i = 0; i < NODES; i++) {
        world_cut(m->w, i, (i + 1) % NODES);
        world_run(m->w, 4000);
        world_heal(m->w);
        all_are_well(m);
    }
    many_free(m);
}

/* All lose power at once, and find each other again. */
static void a_power_cut_of_all(void **state)
{
    struct many *m = quiet(6, SOME);

    (void)state;
    all_answer(m, 5000);
    power_cut(m);
    assert_true(until(m, all_led, 20000));
    all_answer(m, 10000);
    assert_true(until(m, all_quiet, 20000));
    many_free(m);
}

/* Nobody waits for certificates: one signature stands for many writes, and the last one has its
 * own a moment later. */
static void marks_are_rare_where_nobody_waits(void **state)
{
    struct many *m = quiet(7, 2);
    unsigned l = (unsigned)leader_of(m, 0), n = 300, answered = 0;
    struct asked *a = mk_alloc(n * sizeof *a);
    struct mk_group_status s;

    (void)state;
    for (unsigned i = 0; i < n; i++) {
        char command[32];

        a[i].answered = &answered;
        snprintf(command, sizeof command, "set key %u", i);
        ask(m, l, 0, &a[i], command);
        world_run(m->w, 2);
    }
    world_run(m->w, 400);
    assert_int_equal(answered, n);
    for (unsigned i = 0; i < NODES; i++) {
        struct mk_group *g = shop_of(m, i)->groups[0];
        const struct mk_certificate *c;

        mk_group_status(g, &s); /* assembles */
        assert_int_equal(mk_group_certificate(g, &mk_group_surfaces(g)->v[0].id, &c), 0);
        assert_int_equal(c->head.index, n);
        assert_in_range(s.signatures, 5, 40);
    }
    assert_true(until(m, all_quiet, 10000)); /* no mark asks for another one */
    mk_free(a);
    many_free(m);
}

/* What is certified does not seem to wait: not in the moment in which a write ends a long rest,
 * while machine time stands still; what cannot be certified does, by the clock on the wall. */
static void a_rest_does_not_look_uncertified(void **state)
{
    struct many *m = quiet(9, 2);
    unsigned l = (unsigned)leader_of(m, 0);
    uint64_t late;

    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        unsigned answered = 0;
        struct asked a = {.answered = &answered};

        world_run(m->w, 811000);
        l = (unsigned)leader_of(m, 0);
        ask(m, l, 0, &a, round == 0 ? "set key 1" : "set key 2");
        for (unsigned ms = 0; answered == 0 && ms < 1000; ms++)
            world_run(m->w, 1);
        assert_int_equal(answered, 1);
        for (unsigned i = 0; i < NODES; i++)
            assert_in_range(mk_group_uncertified_ms(shop_of(m, i)->groups[0], 0), 0, 50);
        if (round == 1)
            break; /* not marked yet */
        world_run(m->w, 1000);
        for (unsigned i = 0; i < NODES; i++)
            assert_int_equal(mk_group_uncertified_ms(shop_of(m, i)->groups[0], 0), 0);
    }
    for (unsigned i = 0; i < NODES; i++)
        if (i != l)
            world_crash(m->w, i);
    world_run(m->w, 20000);
    late = mk_group_uncertified_ms(shop_of(m, l)->groups[0], 0);
    assert_in_range(late, 20000, 20100);
    for (unsigned i = 0; i < NODES; i++)
        if (i != l)
            world_restart(m->w, i);
    assert_true(until(m, all_led, 20000));
    world_run(m->w, 5000);
    for (unsigned i = 0; i < NODES; i++)
        assert_int_equal(mk_group_uncertified_ms(shop_of(m, i)->groups[0], 0), 0);
    many_free(m);
}

/* Signed by all, assembled by nobody, and then an epoch begins, whose roster signs nothing older:
 * whoever asks for how long the commit waits has it signed anew. */
static void a_head_that_an_epoch_lost_is_signed_again(void **state)
{
    struct many *m = quiet(10, 2);
    unsigned answered = 0;
    struct asked a = {.answered = &answered};
    bool waited = false;
    uint64_t ms = 1;

    (void)state;
    world_run(m->w, 60000);
    ask(m, (unsigned)leader_of(m, 0), 0, &a, "set key 1");
    world_run(m->w, 500);
    assert_int_equal(answered, 1);
    for (unsigned i = 0; i < NODES; i++)
        mk_heads_epoch(shop_of(m, i)->groups[0]);
    for (unsigned s = 0; s < 10 && ms > 0; s++) {
        ms = 0;
        for (unsigned i = 0; i < NODES; i++)
            ms += mk_group_uncertified_ms(shop_of(m, i)->groups[0], 0);
        waited = waited || ms > 0;
        world_run(m->w, 1000);
    }
    assert_true(waited);
    assert_int_equal(ms, 0);
    assert_true(until(m, all_quiet, 10000));
    many_free(m);
}

/* The longest run of commands in the leader's log without a mark; how many marks there are. */
static unsigned longest_unmarked(struct mk_group *g, unsigned *ret_marks)
{
    uint64_t first = mk_consensus_first(g->raft), last = mk_consensus_last(g->raft);
    unsigned run = 0, longest = 0;

    *ret_marks = 0;
    for (uint64_t i = first; i <= last; i++) {
        const struct mk_entry *e = mk_consensus_entry(g->raft, i);
        bool marked = (e->blob->n > 0 && (e->blob->p[0] & MK_ENTRY_MARK) != 0);

        if (e->type != MK_ENTRY_COMMAND)
            continue;
        *ret_marks += marked;
        run = marked ? 0 : run + 1;
        longest = run > longest ? run : longest;
    }
    return longest;
}

static bool tail_is_marked(struct mk_group *g)
{
    const struct mk_entry *e = NULL;

    for (uint64_t i = mk_consensus_last(g->raft); e == NULL || e->type != MK_ENTRY_COMMAND; i--) {
        e = mk_consensus_entry(g->raft, i);
        assert_non_null(e);
    }
    return (e->blob->p[0] & MK_ENTRY_MARK) != 0;
}

/* The entry that is nothing but a mark comes while leadership is being handed over to one who does
 * not hear of it, and is refused. Nobody writes again, or asks: it comes by itself. */
static void a_mark_that_was_refused_comes_again(void **state)
{
    struct many *m = quiet(12, 2);
    unsigned l = (unsigned)leader_of(m, 0), to = (l + 1) % NODES, answered = 0;
    struct mk_group *g = shop_of(m, l)->groups[0];
    struct asked a = {.answered = &answered};
    uint64_t term = term_of(m, 0);

    (void)state;
    ask(m, l, 0, &a, "set key 1");
    for (unsigned ms = 0; answered == 0 && ms < 1000; ms++)
        world_run(m->w, 1);
    assert_int_equal(answered, 1);
    assert_false(tail_is_marked(g));
    world_isolate(m->w, to);
    assert_int_equal(mk_group_transfer(g, &m->peers[to]), 0);
    world_run(m->w, 200);
    assert_false(tail_is_marked(g)); /* it was due after 100 ms */
    world_run(m->w, 3000);
    assert_int_equal(term_of(m, 0), term); /* it leads on */
    assert_true(tail_is_marked(g));
    many_free(m);
}

/* In the midst of a burst whose leader goes, too, one in 256 is marked, and hardly more. */
static void one_in_256_is_marked_in_a_burst(void **state)
{
    struct many *m = quiet(9, 2);
    unsigned n = 3000, answered = 0, before, marks;
    struct asked *a = mk_alloc(n * sizeof *a);
    struct mk_group *g;

    (void)state;
    assert_true(longest_unmarked(shop_of(m, (unsigned)leader_of(m, 0))->groups[0], &before) < 256);
    for (unsigned i = 0; i < n; i++) {
        char command[32];
        int l = leader_of(m, 0);

        a[i].answered = &answered;
        snprintf(command, sizeof command, "set key %u", i);
        ask(m, l < 0 ? 0 : (unsigned)l, 0, &a[i], command);
        if (i % 100 == 99)
            world_run(m->w, 1);
        if (i == n / 2)
            mk_group_transfer(shop_of(m, (unsigned)l)->groups[0], NULL);
    }
    for (unsigned at = 0; answered < n && at < 10000; at++)
        world_run(m->w, 5);
    assert_int_equal(answered, n);
    world_run(m->w, 400);
    g = shop_of(m, (unsigned)leader_of(m, 0))->groups[0];
    assert_in_range(longest_unmarked(g, &marks), 100, 255);
    assert_in_range(marks - before, n / 256, n / 256 + 12);
    mk_free(a);
    many_free(m);
}

/* Of the process that has most. */
static size_t most_slots(struct many *m)
{
    struct mk_store_stats s;
    size_t most = 0;

    for (unsigned i = 0; i < NODES; i++) {
        mk_store_stats(shop_of(m, i)->store, &s);
        most = s.segments > most ? s.segments : most;
    }
    return most;
}

/* One group of a thousand writes 300 MiB of log while the others rest, whose entries lie in the
 * first slots. */
static void who_rests_does_not_hold_the_log(void **state)
{
    struct many *m = many_new(8, MANY, 200);
    char *command = mk_alloc(100000 + 32);
    unsigned answered = 0, n = 3000, done = 0, at = 0;
    struct asked *a = mk_alloc(n * sizeof *a);
    size_t most = 0;

    (void)state;
    assert_true(until(m, all_led, 20000));
    memset(command, 'x', 100000);
    memcpy(command, "set key ", 8);
    for (unsigned i = 0; i < n; i++) {
        /* now and then another one writes a little, into whatever slot is the newest */
        unsigned k = i % 50 == 49 ? 1 + i / 50 % (m->n - 1) : 0;

        a[i].answered = &answered;
        snprintf(command + 8, 16, "%07u", i);
        command[15] = 'x';
        ask(m, (unsigned)leader_of(m, k), k, &a[i], k == 0 ? command : "set little thing");
        for (done = answered; answered == done && at < 200000; at++)
            world_run(m->w, 1);
        if (most_slots(m) > most)
            most = most_slots(m);
    }
    assert_int_equal(answered, n);
    print_message("# %u groups rest, %u MiB written, %u slots of the log at most\n", m->n - 1,
                  n / 10, (unsigned)most);
    assert_true(most <= 32); /* of 4 MiB; 75 would be all */
    assert_true(until(m, all_equal, 10000));

    power_cut(m);
    assert_true(until(m, all_led, 20000));
    all_answer(m, 20000);
    assert_true(until(m, all_equal, 10000));
    mk_free(a);
    mk_free(command);
    many_free(m);
}

/* --- all at once -------------------------------------------------------------------------------
 */

/* Lines that carry a few elections at a time, as processes without a processor do: were all groups
 * to ask for votes at once, the answers would come after the timeouts, and so for ever. */
static void all_are_elected_in_turn(void **state)
{
    struct many *m = many_new(31, 300, 0);

    (void)state;
    world_link(m->w, WORLD_ALL, WORLD_ALL, (struct world_link){300, 500, 0, 200000});
    assert_true(until(m, all_led, 20000));
    assert_true(until(m, all_quiet, 40000));
    for (unsigned i = 0; i < NODES; i++)
        world_kill(m->w, i);
    for (unsigned i = 0; i < NODES; i++)
        world_restart(m->w, i);
    assert_true(until(m, all_led, 20000));
    assert_true(until(m, all_quiet, 40000));
    all_answer(m, 15000);
    many_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_rest_wake_and_lose_a_process),
        cmocka_unit_test(a_silent_process_loses_what_it_led),
        cmocka_unit_test(a_short_stop_costs_nobody_the_lead),
        cmocka_unit_test(a_crowd_is_patient_with_a_starved_process),
        cmocka_unit_test(a_partition_heals),
        cmocka_unit_test(a_one_way_cut_heals),
        cmocka_unit_test(a_power_cut_of_all),
        cmocka_unit_test(marks_are_rare_where_nobody_waits),
        cmocka_unit_test(a_rest_does_not_look_uncertified),
        cmocka_unit_test(a_head_that_an_epoch_lost_is_signed_again),
        cmocka_unit_test(a_mark_that_was_refused_comes_again),
        cmocka_unit_test(one_in_256_is_marked_in_a_burst),
        cmocka_unit_test(who_rests_does_not_hold_the_log),
        cmocka_unit_test(all_are_elected_in_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
