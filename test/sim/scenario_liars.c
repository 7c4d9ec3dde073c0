/* Who shows false rosters (lineage.c): forged, rolled back, of another deployment, none at all, too
 * many at once; and a member that gives a false Founding to one that lost its disk. Whoever is
 * lied to keeps what it knows, says what it refused, and goes on. */
#include "collections/certificate.h"
#include "group/group_int.h"
#include "cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LIES_MAX 4u
#define CROWD (MK_SHOWINGS_MAX + 4u)

/* --- the liar: a key, and another program behind it --------------------------------------- */

static struct script {
    bool none;                    /* it opens no conversation about rosters */
    struct mk_buf says[LIES_MAX]; /* its first message, then one for each that it hears */
    unsigned n, said;
    unsigned close; /* how it ended; 0: it has not */
    char detail[MK_REASON_MAX];
    const struct mk_founding *founding; /* given to whoever opens "group" */
    bool founded;
} script;

struct liar {
    struct cluster *c;
    unsigned i;
    struct mk_net *net;
    struct mk_dial dial;
    struct mk_net_watch watch;
    struct mk_service group;
    struct mk_conv *conv;
};

static void roster_message(struct mk_conv *c, struct mk_bytes m)
{
    mk_conv_consumed(c, m.n);
    if (script.said < script.n)
        mk_conv_send(c, mk_buf_bytes(&script.says[script.said++]));
}

static void roster_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct liar *r = c->owner;

    r->conv = NULL;
    script.close = close;
    snprintf(script.detail, sizeof script.detail, "%s", detail != NULL ? detail : "");
}

static const struct mk_conv_cbs roster_cbs = {.message = roster_message, .closed = roster_closed};

static void link_up(struct mk_net_watch *w, struct mk_link *l)
{
    struct liar *r = mk_container_of(w, struct liar, watch);

    if (script.none || r->conv != NULL || script.close != 0 ||
        !mk_peer_eq(mk_link_peer(l), &r->c->peers[0]))
        return;
    script.said = 1;
    assert_int_equal(
        mk_conv_open(l, &r->conv, "roster", mk_buf_bytes(&script.says[0]), &roster_cbs, r), 0);
}

static void link_down(struct mk_net_watch *w, const struct mk_peer *p, unsigned close,
                      const char *detail)
{
    (void)w;
    (void)p;
    (void)close;
    (void)detail;
}

static void group_message(struct mk_conv *c, struct mk_bytes m)
{
    mk_conv_consumed(c, m.n);
}

static void group_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    (void)c;
    (void)close;
    (void)detail;
}

static void send_to(struct mk_conv *c, const struct mk_member_message *m)
{
    struct mk_buf b = {0};

    mk_encode(&b, &mk_member_message_type, m);
    mk_conv_send(c, mk_buf_bytes(&b));
    mk_buf_done(&b);
}

/* Greets, and gives a Founding that names the other's present id, as if it were seated. */
static unsigned group_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                             char detail[MK_REASON_MAX])
{
    static const struct mk_conv_cbs cbs = {.message = group_message, .closed = group_closed};
    struct liar *r = mk_container_of(s, struct liar, group);
    struct mk_member_message hello, m = {.tag = mk_member_message_Founding};
    struct mk_arena arena = {0};
    uint64_t ids[CLUSTER_MEMBERS_MAX];

    (void)detail;
    c->cbs = &cbs;
    c->owner = r;
    assert_int_equal(mk_decode(&hello, &mk_member_message_type, first, &arena, NULL), 0);
    m.u.founding = *script.founding;
    for (size_t i = 0; i < m.u.founding.roster.peers.n; i++)
        ids[i] = i == 0 ? hello.u.hello.raft_id : 4200 + i;
    m.u.founding.raft_ids = (struct mk_raft_ids){ids, m.u.founding.roster.peers.n};
    hello.u.hello.raft_id = 4242;
    hello.u.hello.founded = true;
    send_to(c, &hello);
    send_to(c, &m);
    mk_arena_done(&arena);
    script.founded = true;
    return 0;
}

static void *liar_boot(struct mk_env *e, unsigned node, void *arg)
{
    struct cluster_boot *b = arg;
    struct liar *r = mk_alloc(sizeof *r);
    struct mk_net_options o = {
        .key = &b->c->keys[b->i], .network = MK_UNIVERSE, .vouched = !b->c->o.tls};

    (void)node;
    r->c = b->c;
    r->i = b->i;
    mk_env_vouch(e, &r->c->peers[r->i]);
    assert_int_equal(mk_net_open(e, &r->net, &o), 0);
    r->watch.up = link_up;
    r->watch.down = link_down;
    mk_net_watch(r->net, &r->watch);
    r->group = (struct mk_service){.proto = "group", .accept = group_accept};
    if (script.founding != NULL)
        assert_int_equal(mk_net_serve(r->net, &r->group), 0);
    mk_net_dial(r->net, &r->dial, &r->c->peers[0], "n0:7000");
    return r;
}

static void liar_destroy(void *state)
{
    struct liar *r = state;

    mk_net_undial(&r->dial);
    mk_net_unwatch(&r->watch);
    if (script.founding != NULL)
        mk_net_unserve(&r->group);
    mk_net_close(r->net);
    mk_free(r);
}

static const struct world_program liar_program = {liar_boot, liar_destroy};

static bool has_ended(void *arg)
{
    (void)arg;
    return script.close != 0;
}

/* Member i's place is taken by the liar, who plays the script; its end, or none after 10 s. */
static void play(struct cluster *c, unsigned i)
{
    if (world_is_up(c->w, i))
        world_kill(c->w, i);
    c->rogues |= 1u << i;
    script.close = script.said = 0;
    script.founded = false;
    world_boot(c->w, i, &liar_program, &c->boots[i]);
    if (!script.none)
        assert_true(world_run_until(c->w, has_ended, c, 20000));
}

static void clear(void)
{
    for (unsigned i = 0; i < LIES_MAX; i++)
        mk_buf_done(&script.says[i]);
    memset(&script, 0, sizeof script);
}

/* --- what it says -------------------------------------------------------------------------- */

static void add(const struct mk_roster_message *m)
{
    assert_true(script.n < LIES_MAX);
    mk_encode(&script.says[script.n++], &mk_roster_message_type, m);
}

static void add_known(const struct mk_id *deployment, uint64_t epoch, struct mk_id roster)
{
    add(&(struct mk_roster_message){.tag = mk_roster_message_Known,
                                    .u.known = {*deployment, epoch, roster}});
}

struct lie {
    struct mk_peer peers[CLUSTER_MEMBERS_MAX];
    struct mk_peer_signature old[CLUSTER_MEMBERS_MAX], new[CLUSTER_MEMBERS_MAX];
    struct mk_roster_change c;
};

static size_t sign(struct cluster *c, struct lie *x, unsigned bits, struct mk_peer_signature *v)
{
    struct mk_buf m = {0};
    size_t n = 0;

    mk_roster_change_message(&m, &x->c);
    for (unsigned i = 0; i < c->n; i++) {
        if ((bits >> i & 1) == 0)
            continue;
        v[n].peer = c->peers[i];
        mk_sign(&c->keys[i], mk_buf_bytes(&m), &v[n++].signature);
    }
    mk_buf_done(&m);
    return n;
}

static void sign_both(struct cluster *c, struct lie *x, unsigned old, unsigned new)
{
    x->c.old = (struct mk_peer_signatures){0};
    x->c.new = (struct mk_peer_signatures){0};
    x->c.old = (struct mk_peer_signatures){x->old, sign(c, x, old, x->old)};
    x->c.new = (struct mk_peer_signatures){x->new, sign(c, x, new, x->new)};
}

/* The change after `before` to the members of the bits, with those signatures. */
static void lie_of(struct cluster *c, struct lie *x, const struct mk_roster *before, unsigned bits,
                   unsigned old, unsigned new)
{
    size_t n = 0;

    for (unsigned i = 0; i < c->n; i++)
        if (bits >> i & 1)
            x->peers[n++] = c->peers[i];
    x->c = (struct mk_roster_change){.roster = {.deployment = c->deployment,
                                                .epoch = before->epoch + 1,
                                                .previous = mk_roster_id(before),
                                                .peers = {x->peers, n}}};
    sign_both(c, x, old, new);
}

static void add_change(const struct lie *x)
{
    add(&(struct mk_roster_message){.tag = mk_roster_message_Change, .u.change = x->c});
}

/* --- guests ------------------------------------------------------------------------------------
 */

#define GUEST 4u

static struct cluster *ready(uint64_t seed)
{
    struct cluster *c = cluster_new(&(struct cluster_options){.seed = seed, .spares = 2});

    assert_true(cluster_until_ready(c, 10000));
    return c;
}

/* The conversation ended so, and nothing is known that was not known before. */
static void assert_refused(struct cluster *c, unsigned close, const char *text, uint64_t epoch)
{
    struct mk_group *g = cluster_group(c, 0);

    if (script.close != close || strstr(script.detail, text) == NULL)
        fail_msg("ended with %s: %s", mk_close_name(script.close), script.detail);
    assert_int_equal(mk_reseat_epoch(g), epoch);
    assert_null(mk_member_of_peer(g, &c->peers[GUEST]));
    if (close == MK_CLOSE_CONFLICT)
        assert_non_null(strstr(g->disowned, text));
    assert_int_equal(g->n_showings[0], 0);
    clear();
}

static void test_a_guest_shows_forged_rosters(void **state)
{
    struct cluster *c = ready(1);
    struct mk_id any = {{1}};
    struct lie x, y;

    (void)state;
    /* It would be the roster alone. The old one's signatures are not theirs. */
    lie_of(c, &x, &c->roster, 1u << GUEST, 0x7, 1u << GUEST);
    x.old[1].signature.b[5] ^= 1;
    add_known(&c->deployment, 2, mk_roster_id(&x.c.roster));
    add_change(&x);
    play(c, GUEST);
    assert_refused(c, MK_CLOSE_CONFLICT, "roster change, old", 1);
    /* No majority signed. */
    lie_of(c, &x, &c->roster, 1u << GUEST, 0x1, 1u << GUEST);
    add_known(&c->deployment, 2, mk_roster_id(&x.c.roster));
    add_change(&x);
    play(c, GUEST);
    assert_refused(c, MK_CLOSE_CONFLICT, "roster change, old", 1);
    /* The new one did not sign. */
    lie_of(c, &x, &c->roster, 1u << GUEST, 0x7, 0);
    add_known(&c->deployment, 2, mk_roster_id(&x.c.roster));
    add_change(&x);
    play(c, GUEST);
    assert_refused(c, MK_CLOSE_CONFLICT, "roster change, new", 1);
    /* Of another deployment, good in itself. */
    lie_of(c, &x, &c->roster, 1u << GUEST, 0x7, 1u << GUEST);
    x.c.roster.deployment = any;
    sign_both(c, &x, 0x7, 1u << GUEST);
    add_known(&c->deployment, 2, mk_roster_id(&x.c.roster));
    add_change(&x);
    play(c, GUEST);
    assert_refused(c, MK_CLOSE_CONFLICT, "another deployment", 1);
    /* The one after the next. */
    lie_of(c, &x, &c->roster, 1u << GUEST, 0x7, 1u << GUEST);
    lie_of(c, &y, &x.c.roster, 1u << GUEST, 1u << GUEST, 1u << GUEST);
    add_known(&c->deployment, 3, mk_roster_id(&y.c.roster));
    add_change(&y);
    play(c, GUEST);
    assert_refused(c, MK_CLOSE_CONFLICT, "to epoch 3, from 1", 1);
    assert_int_equal(cluster_set(c, "after", "1", 3000), 0);
    cluster_free(c);
}

static void test_a_guest_shows_nothing(void **state)
{
    struct cluster *c = ready(2);
    struct mk_id any = {{1}};

    (void)state;
    add_known(&c->deployment, UINT64_MAX, any); /* endless, and none of it comes */
    add_known(&c->deployment, UINT64_MAX, any);
    play(c, GUEST);
    assert_refused(c, MK_CLOSE_NOT_READY, "none was shown", 1);
    add_known(&c->deployment, 2, any); /* says no more */
    play(c, GUEST);
    assert_refused(c, MK_CLOSE_IDLE, "", 1);
    add_known(&c->deployment, 1, any); /* a stranger who knows no more hears nothing */
    play(c, GUEST);
    assert_refused(c, MK_CLOSE_REFUSED, "not a peer of the roster of epoch 1", 1);
    add_known(&any, 2, any);
    play(c, GUEST);
    assert_refused(c, MK_CLOSE_OTHER_DEPLOYMENT, "", 1);
    mk_buf_put_str(&script.says[script.n++], "\x7frubbish");
    play(c, GUEST);
    assert_refused(c, MK_CLOSE_MALFORMED, "", 1);
    add_known(&c->deployment, 2, any);
    mk_buf_put_str(&script.says[script.n++], "\x01\x01"); /* a piece of a change */
    play(c, GUEST);
    assert_refused(c, MK_CLOSE_MALFORMED, "", 1);
    assert_int_equal(cluster_set(c, "after", "1", 3000), 0);
    cluster_free(c);
}

/* --- a crowd of guests ----------------------------------------------------------------------- */

struct crowd {
    struct mk_key keys[CROWD];
    struct mk_net *nets[CROWD];
    struct mk_dial dials[CROWD];
    struct mk_net_watch watches[CROWD];
    struct cluster *c;
    unsigned busy, ended;
};
static struct crowd *the_crowd;

static void crowd_message(struct mk_conv *c, struct mk_bytes m)
{
    mk_conv_consumed(c, m.n); /* and says no more */
}

static void crowd_closed(struct mk_conv *conv, unsigned close, const char *detail)
{
    struct crowd *r = conv->owner;

    (void)detail;
    r->busy += close == MK_CLOSE_BUSY;
    r->ended++;
}

static void crowd_up(struct mk_net_watch *w, struct mk_link *l)
{
    static const struct mk_conv_cbs cbs = {.message = crowd_message, .closed = crowd_closed};
    struct mk_conv *conv;

    (void)w;
    assert_int_equal(
        mk_conv_open(l, &conv, "roster", mk_buf_bytes(&script.says[0]), &cbs, the_crowd), 0);
}

static void *crowd_boot(struct mk_env *e, unsigned node, void *arg)
{
    struct cluster_boot *b = arg;
    struct crowd *r = mk_alloc(sizeof *r);

    (void)node;
    the_crowd = r;
    r->c = b->c;
    for (unsigned i = 0; i < CROWD; i++) {
        uint8_t seed[32] = {0xc0, (uint8_t)i};
        struct mk_net_options o = {.key = &r->keys[i], .network = MK_UNIVERSE};

        mk_key_from_seed(&r->keys[i], seed);
        assert_int_equal(mk_net_open(e, &r->nets[i], &o), 0);
        r->watches[i].up = crowd_up;
        r->watches[i].down = link_down;
        mk_net_watch(r->nets[i], &r->watches[i]);
        mk_net_dial(r->nets[i], &r->dials[i], &r->c->peers[0], "n0:7000");
    }
    return r;
}

static void crowd_destroy(void *state)
{
    struct crowd *r = state;

    for (unsigned i = 0; i < CROWD; i++) {
        mk_net_undial(&r->dials[i]);
        mk_net_unwatch(&r->watches[i]);
        mk_net_close(r->nets[i]);
    }
    mk_free(r);
    the_crowd = NULL;
}

static bool crowd_is_heard(void *arg)
{
    struct cluster *c = arg;

    return cluster_group(c, 0)->n_showings[0] == MK_SHOWINGS_MAX;
}

static bool crowd_has_ended(void *arg)
{
    struct cluster *c = arg;

    assert_true(cluster_group(c, 0)->n_showings[0] <= MK_SHOWINGS_MAX);
    return the_crowd->ended == CROWD;
}

/* Each names an epoch and shows nothing: no more than the limit are heard at once, each for a
 * while, who comes with something good is heard too, and those who are of it go on. */
static void test_a_crowd_of_guests(void **state)
{
    static const struct world_program program = {crowd_boot, crowd_destroy};
    struct cluster *c = cluster_new(&(struct cluster_options){.seed = 5, .spares = 2, .tls = true});
    struct mk_id any = {{1}};
    struct lie x;

    (void)state;
    assert_true(cluster_until_ready(c, 10000));
    add_known(&c->deployment, 2, any);
    world_kill(c->w, GUEST);
    c->rogues = 1u << GUEST;
    world_boot(c->w, GUEST, &program, &c->boots[GUEST]);
    assert_true(world_run_until(c->w, crowd_is_heard, c, 10000));
    assert_int_equal(cluster_set(c, "meanwhile", "1", 3000), 0);
    clear();
    lie_of(c, &x, &c->roster, 0xf, 0x7, 0xf); /* as good as true */
    add_known(&c->deployment, 2, mk_roster_id(&x.c.roster));
    add_change(&x);
    world_run(c->w, 1000);
    play(c, 3);
    assert_refused(c, MK_CLOSE_IDLE, "", 2);
    assert_true(world_run_until(c->w, crowd_has_ended, c, 20000));
    assert_int_equal(the_crowd->busy, CROWD - MK_SHOWINGS_MAX + 1); /* one made room */
    cluster_free(c);
}

/* --- peers -------------------------------------------------------------------------------------
 */

/* A majority of the first roster signed another second one, as after a copy of old disks: who
 * knows one refuses the other, by name, and so does whoever is refused. */
static void test_a_forked_roster(void **state)
{
    struct cluster *c = ready(3);
    char ours[MK_ID_HEX], theirs[MK_ID_HEX];
    struct mk_id id;
    struct lie x, y;

    (void)state;
    assert_int_equal(cluster_propose(c, 0xf), 0);
    world_run(c->w, 50);
    assert_true(cluster_until_settled(c, 10000));
    lie_of(c, &x, &c->roster, 0x17, 0x7, 0x17);
    add_known(&c->deployment, 2, mk_roster_id(&x.c.roster));
    play(c, 2);
    id = mk_roster_id(mk_reseat_newest(cluster_group(c, 0)));
    mk_id_hex(&id, ours);
    id = mk_roster_id(&x.c.roster);
    mk_id_hex(&id, theirs);
    ours[16] = theirs[16] = 0;
    assert_non_null(strstr(script.detail, ours));
    assert_non_null(strstr(script.detail, theirs));
    assert_refused(c, MK_CLOSE_CONFLICT, "two rosters of epoch 2", 2);
    world_run(c->w, 100);
    lie_of(c, &y, &x.c.roster, 0x17, 0x17, 0x17); /* a longer chain on the fork */
    add_known(&c->deployment, 3, mk_roster_id(&y.c.roster));
    add_change(&y);
    play(c, 2);
    assert_refused(c, MK_CLOSE_CONFLICT, "it continues another roster", 2);
    add_known(&c->deployment, 1, mk_roster_id(&x.c.roster)); /* another first one */
    play(c, 2);
    assert_refused(c, MK_CLOSE_CONFLICT, "two rosters of epoch 1", 2);
    assert_int_equal(cluster_set(c, "after", "1", 3000), 0);
    cluster_free(c);
}

struct life {
    struct cluster *c;
    enum mk_group_state state;
};

static bool has_state(void *arg)
{
    struct life *l = arg;
    struct mk_group_status s;

    cluster_status(l->c, 0, &s);
    return s.state == l->state;
}

static bool was_given(void *arg)
{
    (void)arg;
    return script.founded;
}

/* A guest replays the real chain to one that lost its disk and sees nobody else: it learns, and
 * does not take the guest in. A member of that roster then gives it a Founding that would seat it
 * in a group of the liar's: it is taken for one that lost its disk, and votes for nobody. */
static void test_a_false_founding(void **state)
{
    struct cluster *c = ready(4);
    struct life l = {c, MK_GROUP_LOST_DISK};
    const struct mk_roster_change *real;
    struct mk_founding f = {.deployment = c->deployment, .roster = c->roster};
    struct mk_group_status s;

    (void)state;
    assert_int_equal(cluster_propose(c, 0xf), 0);
    world_run(c->w, 50);
    assert_true(cluster_until_settled(c, 10000));
    assert_true(cluster_until_equal(c, 5000));
    real = mk_group_change(cluster_group(c, 1), 2);
    add_known(&c->deployment, 2, mk_roster_id(&real->roster));
    add(&(struct mk_roster_message){.tag = mk_roster_message_Change, .u.change = *real});
    for (unsigned i = 1; i < 4; i++)
        world_cut(c->w, 0, i);
    world_kill(c->w, 0);
    cluster_lose_disk(c, 0);
    for (unsigned i = 1; i < 4; i++)
        world_cut(c->w, i, 0);
    play(c, GUEST);
    assert_refused(c, MK_CLOSE_IDLE, "", 2); /* it learned, and heard no more */
    world_kill(c->w, GUEST);
    world_heal(c->w);
    for (unsigned i = 1; i < 3; i++)
        world_kill(c->w, i);
    script.none = true;
    script.founding = &f;
    world_kill(c->w, 3);
    play(c, 3);
    assert_true(world_run_until(c->w, was_given, c, 10000));
    assert_true(world_run_until(c->w, has_state, &l, 10000));
    world_run(c->w, 2000);
    cluster_status(c, 0, &s);
    assert_int_equal(s.term, 0);
    assert_int_equal(s.vote, 0);
    world_kill(c->w, 3);
    clear();
    c->rogues = 0;
    for (unsigned i = 1; i < 4; i++)
        world_restart(c->w, i);
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_guest_shows_forged_rosters),
        cmocka_unit_test(test_a_guest_shows_nothing),
        cmocka_unit_test(test_a_crowd_of_guests),
        cmocka_unit_test(test_a_forked_roster),
        cmocka_unit_test(test_a_false_founding),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
