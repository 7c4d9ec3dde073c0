/* Who is refused, by which clause, and that the others go on: a group that was founded
 * with tickets, members that come back without one, tickets that expire while it runs,
 * clients and readers that have none. */
#include "cluster.h"
#include "collections/surface.h"
#include "group/client.h"
#include <mosaik/issuers.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define OUTSIDER_NODE 30u
#define WALL_START_S UINT64_C(1700000000) /* of the simulated world */
#define DAY_S UINT64_C(86400)

/* --- the issuer ------------------------------------------------------------------------ */

struct office {
    struct mk_key signers[3];
    struct mk_peer peers[3];
    struct mk_roster roster;
    struct mk_id root;
    struct mk_issuer_book *book;
    struct mk_acl_clause clauses[2];
    struct mk_acl_composition acl;
    uint64_t exp_s[CLUSTER_MEMBERS_MAX]; /* of each member's ticket; 0: it shows none */
    struct mk_buf ticket;
    uint64_t nbf_s; /* tickets count from so long after the start on */
};

static void office_open(struct office *o, bool readers_too)
{
    memset(o, 0, sizeof *o);
    for (uint8_t i = 0; i < 3; i++) {
        uint8_t seed[32] = {i, 0x3c};
        struct mk_key k;
        int at = i;

        mk_key_from_seed(&k, seed);
        for (; at > 0 && mk_peer_cmp(&k.peer, &o->signers[at - 1].peer) < 0; at--)
            o->signers[at] = o->signers[at - 1];
        o->signers[at] = k;
    }
    for (int i = 0; i < 3; i++)
        o->peers[i] = o->signers[i].peer;
    o->root = mk_id_of_text(MK_STR("a simulated issuer"));
    o->roster = (struct mk_roster){
        .deployment = mk_id_of_text(MK_STR("its deployment")), .epoch = 1, .peers = {o->peers, 3}};
    o->book = mk_issuer_book_new();
    assert_int_equal(mk_issuer_book_add(o->book, &o->root, &o->roster, NULL), 0);
    o->clauses[0].tag = mk_acl_clause_RecogniseOwnIssuer;
    o->clauses[1].tag = mk_acl_clause_GateReaders;
    o->acl.clauses.v = o->clauses;
    o->acl.clauses.n = readers_too ? 2 : 1;
    for (unsigned i = 0; i < CLUSTER_MEMBERS_MAX; i++)
        o->exp_s[i] = WALL_START_S + DAY_S;
}

static void office_close(struct office *o)
{
    mk_buf_done(&o->ticket);
    mk_issuer_book_free(o->book);
}

/* Lent until the next one. */
static struct mk_bytes issue(struct office *o, const struct mk_peer *to, const struct mk_id *aud,
                             uint64_t exp_s)
{
    struct mk_claims claims = {.iss = o->root,
                               .sub = *to,
                               .aud = *aud,
                               .read = true,
                               .write = true,
                               .iat = WALL_START_S,
                               .nbf = WALL_START_S + o->nbf_s,
                               .exp = exp_s};
    struct mk_peer_signature shares[2];
    struct mk_buf text = {0};

    mk_claims_format(&claims, &text);
    for (int i = 0; i < 2; i++) {
        shares[i].peer = o->signers[i].peer;
        mk_ticket_sign(&o->signers[i], &o->root, 1, mk_buf_bytes(&text), &shares[i].signature);
    }
    mk_buf_clear(&o->ticket);
    assert_int_equal(mk_ticket_build(&o->ticket, &o->root, 1, mk_buf_bytes(&text), shares, 2, NULL),
                     0);
    mk_buf_done(&text);
    return mk_buf_bytes(&o->ticket);
}

static size_t member_tickets(void *arg, struct cluster *c, unsigned member, struct mk_bytes *ret)
{
    struct office *o = arg;

    if (o->exp_s[member] == 0)
        return 0;
    ret[0] = issue(o, &c->peers[member], &c->stable_id, o->exp_s[member]);
    return 1;
}

static struct cluster *founded(struct office *o, uint64_t seed)
{
    struct cluster *c = cluster_new(&(struct cluster_options){
        .seed = seed,
        .acl = &o->acl,
        .own_issuer = o->root,
        .issuers = mk_issuer_book_issuers(o->book),
        .tickets = member_tickets,
        .tickets_arg = o,
    });

    assert_true(cluster_until_ready(c, 10000));
    assert_int_equal(cluster_set(c, "a", "1", 3000), 0);
    assert_true(cluster_until_equal(c, 5000));
    return c;
}

static void reboot(struct cluster *c, unsigned i)
{
    world_kill(c->w, i);
    world_restart(c->w, i);
}

/* --- conditions ------------------------------------------------------------------------- */

struct says {
    struct cluster *c;
    unsigned member, of; /* what member says of another, or (the same) of itself */
    const char *part;
};

static bool does_say(void *arg)
{
    struct says *x = arg;
    struct mk_group *g = cluster_group(x->c, x->member);
    char detail[MK_REASON_MAX];
    struct mk_group_status s;
    struct mk_peer peer;
    uint64_t match;
    bool linked;

    if (x->member == x->of) {
        cluster_status(x->c, x->member, &s);
        return strstr(s.why, x->part) != NULL;
    }
    assert_true(mk_group_member(g, x->of, &peer, &linked, &match, detail));
    return !linked && strstr(detail, x->part) != NULL;
}

static void until_says(struct cluster *c, unsigned member, unsigned of, const char *part)
{
    struct says x = {c, member, of, part};

    assert_true(world_run_until(c->w, does_say, &x, 10000));
}

/* --- members -------------------------------------------------------------------------------- */

static void test_a_member_without_a_ticket(void **state)
{
    struct office o;
    struct cluster *c;

    (void)state;
    office_open(&o, false);
    c = founded(&o, 201);
    o.exp_s[2] = 0;
    reboot(c, 2);
    until_says(c, 0, 2, "clause 0 RecogniseOwnIssuer");
    until_says(c, 1, 2, "clause 0 RecogniseOwnIssuer");
    until_says(c, 2, 2, "no majority: refused by 2 members");
    until_says(c, 2, 2, "clause 0 RecogniseOwnIssuer");
    assert_int_equal(cluster_set(c, "a", "2", 5000), 0); /* the others go on without it */
    assert_string_not_equal(cluster_value(c, 2, "a"), "2");
    o.exp_s[2] = WALL_START_S + DAY_S;
    reboot(c, 2);
    assert_true(cluster_until_equal(c, 10000));
    cluster_check_durable(c);
    cluster_free(c);
    office_close(&o);
}

static void test_refused_members_cost_the_majority(void **state)
{
    struct office o;
    struct cluster *c;

    (void)state;
    office_open(&o, false);
    c = founded(&o, 202);
    o.exp_s[1] = o.exp_s[2] = 0;
    reboot(c, 1);
    reboot(c, 2);
    until_says(c, 0, 0, "no majority: 2 members refused by clause 0");
    assert_int_equal(cluster_command(c, 0, "set c 2", 3000), MK_ETIMEDOUT);
    o.exp_s[1] = WALL_START_S + DAY_S;
    reboot(c, 1);
    assert_true(cluster_until_ready(c, 10000));
    assert_int_equal(cluster_set(c, "b", "1", 5000), 0);
    o.exp_s[2] = WALL_START_S + DAY_S;
    reboot(c, 2);
    assert_true(cluster_until_equal(c, 10000));
    cluster_check_durable(c);
    cluster_free(c);
    office_close(&o);
}

static void test_a_members_ticket_expires(void **state)
{
    struct office o;
    struct cluster *c;
    uint64_t left_ms;

    (void)state;
    office_open(&o, false);
    o.exp_s[2] = WALL_START_S + 12;
    c = founded(&o, 203);
    assert_true(world_time(c->w) < 10000);
    left_ms = 12000 - world_time(c->w);
    world_run(c->w, left_ms - 200);
    assert_int_equal(cluster_set(c, "a", "2", 150), 0); /* to the last moment */
    assert_true(cluster_until_equal(c, 100));
    world_run(c->w, 500);
    until_says(c, 0, 2, "expired");
    until_says(c, 1, 2, "clause 0 RecogniseOwnIssuer");
    until_says(c, 2, 2, "refused by 2 members");
    assert_int_equal(cluster_set(c, "a", "3", 5000), 0);
    assert_string_equal(cluster_value(c, 2, "a"), "2");
    o.exp_s[2] = WALL_START_S + DAY_S;
    reboot(c, 2);
    assert_true(cluster_until_equal(c, 10000));
    cluster_check_durable(c);
    cluster_free(c);
    office_close(&o);
}

/* The leader's own ticket: the others drop it, elect another, and lose nothing. */
static void test_the_leaders_ticket_expires(void **state)
{
    struct office o;
    struct cluster *c;
    unsigned old;

    (void)state;
    office_open(&o, false);
    for (unsigned i = 0; i < 3; i++)
        o.exp_s[i] = WALL_START_S + 12;
    c = founded(&o, 204);
    old = (unsigned)cluster_leader(c);
    for (unsigned i = 0; i < 3; i++) {
        if (i == old)
            continue;
        o.exp_s[i] = WALL_START_S + DAY_S;
        reboot(c, i);
        assert_true(cluster_until_equal(c, 10000));
        assert_int_equal(cluster_leader(c), (int)old);
    }
    world_run(c->w, 14000 - world_time(c->w));
    assert_int_not_equal(cluster_leader(c), (int)old);
    until_says(c, old, old, "refused by 2 members");
    assert_int_equal(cluster_set(c, "a", "2", 5000), 0);
    o.exp_s[old] = WALL_START_S + DAY_S;
    reboot(c, old);
    assert_true(cluster_until_equal(c, 10000));
    cluster_check_durable(c);
    cluster_free(c);
    office_close(&o);
}

/* --- clients and readers ------------------------------------------------------------------------
 */

struct outsider {
    struct cluster *c;
    struct mk_env *env;
    struct mk_key key;
    struct mk_net *net;
    struct mk_dial dials[CLUSTER_MEMBERS_MAX];
    struct mk_reader_memory *memory;
    struct mk_client_report report;
    struct mk_component component;
    struct mk_client *client;
    struct mk_follow *follow;
    struct mk_call call;
    struct mk_bytes ticket;
    struct mk_buf kept;
    bool ended, snapshot;
    int status, failed;
    char text[MK_FAULT_MAX], said[300];
};

static void said(struct mk_client_report *report, const struct mk_peer *peer, unsigned close,
                 const char *text)
{
    struct outsider *x = mk_container_of(report, struct outsider, report);

    (void)peer;
    snprintf(x->said, sizeof x->said, "%s: %s", mk_close_name(close), text);
}

/* exp_s 0: it has no ticket. */
static struct outsider *outsider_new(struct cluster *c, struct office *o, uint64_t exp_s)
{
    struct outsider *x = mk_alloc(sizeof *x);
    uint8_t seed[32] = {9, 0x77};
    char address[32];

    x->c = c;
    x->env = world_node(c->w, OUTSIDER_NODE);
    mk_key_from_seed(&x->key, seed);
    mk_env_vouch(x->env, &x->key.peer);
    assert_int_equal(mk_net_open(x->env, &x->net,
                                 &(struct mk_net_options){&x->key, MK_UNIVERSE, .vouched = true}),
                     0);
    for (unsigned i = 0; i < c->n; i++) {
        snprintf(address, sizeof address, "n%u:7000", i);
        mk_net_dial(x->net, &x->dials[i], &c->peers[i], address);
    }
    x->memory = mk_reader_memory_new(&c->roster);
    x->report.said = said;
    x->component = (struct mk_component){
        .deployment = c->deployment, .stable_id = c->stable_id, .roster = c->roster};
    if (exp_s > 0) {
        x->ticket = issue(o, &x->key.peer, &c->stable_id, exp_s);
        mk_buf_put(&x->kept, x->ticket.p, x->ticket.n);
        x->ticket = mk_buf_bytes(&x->kept);
        x->component.tickets = &x->ticket;
        x->component.n_tickets = 1;
    }
    assert_int_equal(
        mk_client_open(x->env, x->net, &x->client, &x->component, x->memory, &x->report), 0);
    return x;
}

static void outsider_free(struct outsider *x)
{
    mk_follow_close(x->follow);
    mk_client_close(x->client);
    mk_net_close(x->net);
    mk_reader_memory_free(x->memory);
    mk_buf_done(&x->kept);
    mk_free(x);
}

static void call_cb(struct mk_call *call, int status, const struct mk_outcome *outcome,
                    const struct mk_fault *fault)
{
    struct outsider *x = mk_container_of(call, struct outsider, call);

    (void)outcome;
    x->ended = true;
    x->status = status;
    snprintf(x->text, sizeof x->text, "%s", fault != NULL ? fault->text : "");
}

static bool has_ended(void *arg)
{
    return ((struct outsider *)arg)->ended;
}

static int finish(struct outsider *x)
{
    assert_true(world_run_until(x->c->w, has_ended, x, 30000));
    return x->status;
}

static int execute(struct outsider *x, const char *command)
{
    x->ended = false;
    x->call = (struct mk_call){.cb = call_cb};
    assert_int_equal(mk_client_execute(x->client, &x->call, MK_BYTES(command, strlen(command)),
                                       MK_WANT_CERTIFIED, 8000),
                     0);
    return finish(x);
}

static int query(struct outsider *x, const char *text)
{
    x->ended = false;
    x->call = (struct mk_call){.cb = call_cb};
    assert_int_equal(mk_client_query(x->client, &x->call, MK_BYTES(text, strlen(text)), true, 8000),
                     0);
    return finish(x);
}

static void on_snapshot(struct mk_follow *f, uint64_t index)
{
    (void)index;
    ((struct outsider *)mk_follow_owner(f))->snapshot = true;
}

static void on_commit(struct mk_follow *f, uint64_t index, struct mk_bytes payload, bool marker)
{
    (void)f;
    (void)index;
    (void)payload;
    (void)marker;
}

static void on_failed(struct mk_follow *f, int status, const struct mk_fault *fault)
{
    struct outsider *x = mk_follow_owner(f);

    x->failed = status;
    snprintf(x->text, sizeof x->text, "%s", fault->text);
}

static void follow(struct outsider *x)
{
    static const struct mk_follow_cbs cbs = {
        .commit = on_commit, .snapshot = on_snapshot, .failed = on_failed};
    const struct mk_surface_spec *s = &cluster_surfaces[CLUSTER_MAP];
    struct mk_follow_options o = {.surface = mk_surface_id(s, &x->c->stable_id),
                                  .kind = s->kind,
                                  .schema = mk_surface_schema(s),
                                  .from = mk_from_Snapshot};

    assert_int_equal(mk_follow_open(x->env, x->net, &x->follow, &x->component, x->memory, &o, &cbs,
                                    x, &x->report),
                     0);
}

static bool has_snapshot(void *arg)
{
    return ((struct outsider *)arg)->snapshot;
}

static bool has_failed(void *arg)
{
    return ((struct outsider *)arg)->failed != 0;
}

/* Who may not write may still read, where readers are not gated. */
static void test_a_writer_without_a_ticket(void **state)
{
    struct office o;
    struct cluster *c;
    struct outsider *x;

    (void)state;
    office_open(&o, false);
    c = founded(&o, 205);
    x = outsider_new(c, &o, 0);
    assert_int_equal(execute(x, "set a stranger"), MK_EREFUSED);
    assert_non_null(strstr(x->text, "clause 0 RecogniseOwnIssuer"));
    assert_int_equal(query(x, "get a"), 0);
    assert_string_equal(cluster_value(c, 0, "a"), "1");
    outsider_free(x);
    cluster_free(c);
    office_close(&o);
}

static void test_a_writers_ticket_expires(void **state)
{
    struct office o;
    struct cluster *c;
    struct outsider *x;

    (void)state;
    office_open(&o, false);
    c = founded(&o, 206);
    x = outsider_new(c, &o, WALL_START_S + 12);
    assert_int_equal(execute(x, "set a 2"), 0);
    world_run(c->w, 13000 - world_time(c->w));
    assert_int_equal(execute(x, "set a 3"), MK_EREFUSED);
    assert_non_null(strstr(x->text, "clause 0 RecogniseOwnIssuer"));
    assert_non_null(strstr(x->text, "expired"));
    assert_string_equal(cluster_value(c, 0, "a"), "2");
    outsider_free(x);
    cluster_free(c);
    office_close(&o);
}

/* Who stays because he may read is let in to write the moment that his ticket begins. */
static void test_a_writers_ticket_begins(void **state)
{
    struct office o;
    struct cluster *c;
    struct outsider *x;

    (void)state;
    office_open(&o, false);
    c = founded(&o, 209);
    o.nbf_s = 90; /* with a skew of 30 s: from the 60th on */
    x = outsider_new(c, &o, WALL_START_S + 3600);
    assert_int_equal(query(x, "get a"), 0);
    assert_int_equal(execute(x, "set a 2"), MK_EREFUSED);
    assert_non_null(strstr(x->text, "not valid before"));
    world_run(c->w, 59000 - world_time(c->w));
    assert_int_equal(execute(x, "set a 3"), MK_EREFUSED);
    world_run(c->w, 61000 - world_time(c->w));
    assert_int_equal(execute(x, "set a 4"), 0);
    assert_string_equal(cluster_value(c, 0, "a"), "4");
    outsider_free(x);
    cluster_free(c);
    office_close(&o);
}

static void test_a_reader_without_a_ticket(void **state)
{
    struct office o;
    struct cluster *c;
    struct outsider *x;

    (void)state;
    office_open(&o, true);
    c = founded(&o, 207);
    x = outsider_new(c, &o, 0);
    follow(x);
    assert_true(world_run_until(c->w, has_failed, x, 30000));
    assert_int_equal(x->failed, MK_EREFUSED);
    assert_non_null(strstr(x->text, "clause 0 RecogniseOwnIssuer"));
    assert_false(x->snapshot);
    assert_int_equal(query(x, "get a"), MK_EREFUSED);
    assert_non_null(strstr(x->text, "clause 0 RecogniseOwnIssuer"));
    outsider_free(x);
    cluster_free(c);
    office_close(&o);
}

static void test_a_readers_ticket_expires(void **state)
{
    struct office o;
    struct cluster *c;
    struct outsider *x;

    (void)state;
    office_open(&o, true);
    c = founded(&o, 208);
    x = outsider_new(c, &o, WALL_START_S + 12);
    follow(x);
    assert_true(world_run_until(c->w, has_snapshot, x, 5000));
    assert_int_equal(x->failed, 0);
    assert_true(world_run_until(c->w, has_failed, x, 30000));
    assert_true(world_time(c->w) >= 12000);
    assert_int_equal(x->failed, MK_EREFUSED);
    assert_non_null(strstr(x->text, "clause 0 RecogniseOwnIssuer"));
    assert_int_equal(cluster_set(c, "a", "2", 5000), 0);
    outsider_free(x);
    cluster_free(c);
    office_close(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_member_without_a_ticket),
        cmocka_unit_test(test_refused_members_cost_the_majority),
        cmocka_unit_test(test_a_members_ticket_expires),
        cmocka_unit_test(test_the_leaders_ticket_expires),
        cmocka_unit_test(test_a_writer_without_a_ticket),
        cmocka_unit_test(test_a_writers_ticket_expires),
        cmocka_unit_test(test_a_writers_ticket_begins),
        cmocka_unit_test(test_a_reader_without_a_ticket),
        cmocka_unit_test(test_a_readers_ticket_expires),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
