/* scenario_revocation.c - whole nodes in the simulated world, gated by tickets: a list of revoked
 * tickets that one node takes reaches all by discovery, ends the bonds that run, with the clause
 * named, and outlives a restart of everybody.
 *
 *   n0 n1 n2   committee members: node, store, group of the toy machine; ACL own-issuer, readers
 *   n3         a bearer: a network handle, a bond, a followed map */
#include "toy.h"

#include "node/node.h"
#include <mosaik/map.h>
#include <mosaik/stream.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MEMBERS 3u
#define BEARER MEMBERS

struct scene;

struct place { /* what a node is started with */
    struct scene *s;
    unsigned i;
};

struct scene {
    struct world *w;
    struct mk_key keys[MEMBERS + 1];
    struct mk_peer peers[MEMBERS];
    struct mk_roster roster;
    struct mk_id stable_id, root;
    struct mk_key signer; /* the issuer: a roster of one */
    struct mk_peer signer_peer;
    struct mk_roster issuer;
    struct mk_acl_clause clauses[2];
    struct mk_acl_composition acl;
    struct mk_buf tickets[MEMBERS + 1];
    struct mk_str hints[MEMBERS];
    char addresses[MEMBERS][96];
    struct place places[MEMBERS + 1];
    unsigned wanted; /* for conditions */
};

struct member {
    struct mk_node *node;
};

struct bearer {
    struct mk_network *net;
    struct mk_bond *bond;
    struct mk_map *map;
    const struct mk_surface_spec *spec;
};

/* --- the issuer ------------------------------------------------------------------------ */

static struct mk_b16 jti_of(unsigned i)
{
    return (struct mk_b16){{(uint8_t)(i + 1), 7}};
}

static void issue(struct scene *s, unsigned i, uint64_t now_ms)
{
    const struct mk_b16 jti = jti_of(i);
    struct mk_claims c = {.iss = s->root,
                          .sub = s->keys[i].peer,
                          .aud = s->stable_id,
                          .read = true,
                          .write = true,
                          .iat = now_ms / 1000,
                          .nbf = now_ms / 1000,
                          .exp = now_ms / 1000 + 86400};
    struct mk_peer_signature share = {.peer = s->signer_peer};
    struct mk_buf claims = {0};

    memcpy(c.jti, jti.b, sizeof c.jti);
    mk_claims_format(&c, &claims);
    mk_ticket_sign(&s->signer, &s->root, 1, mk_buf_bytes(&claims), &share.signature);
    assert_int_equal(
        mk_ticket_build(&s->tickets[i], &s->root, 1, mk_buf_bytes(&claims), &share, 1, NULL), 0);
    mk_buf_done(&claims);
}

/** A list that revokes the ticket of i, taken by member `at`. */
static void revoke(struct scene *s, unsigned i, unsigned at)
{
    struct member *m = world_state(s->w, at);
    const struct mk_b16 jti = jti_of(i);
    struct mk_ticket_revocations list = {
        .root = s->root, .epoch = 1, .version = mk_wall_ms(world_node(s->w, at)), .jti = {&jti, 1}};
    struct mk_peer_signature share = {.peer = s->signer_peer};
    struct mk_buf body = {0}, out = {0};

    mk_encode(&body, &mk_ticket_revocations_type, &list);
    mk_revocations_sign(&s->signer, &s->root, 1, mk_buf_bytes(&body), &share.signature);
    assert_int_equal(mk_revocations_build(&out, mk_buf_bytes(&body), &share, 1, NULL), 0);
    assert_int_equal(mk_network_revoke(mk_node_network(m->node), mk_buf_bytes(&out), NULL), 0);
    assert_int_equal(mk_network_revoke(mk_node_network(m->node), mk_buf_bytes(&out), NULL), 0);
    mk_buf_done(&body);
    mk_buf_done(&out);
}

/* --- processes ------------------------------------------------------------------------- */

static struct mk_network_options network_options(struct scene *s, unsigned i,
                                                 struct mk_bytes *ticket)
{
    *ticket = mk_buf_bytes(&s->tickets[i]);
    return (struct mk_network_options){.key = &s->keys[i],
                                       .hints = s->hints,
                                       .n_hints = MEMBERS,
                                       .tickets = ticket,
                                       .n_tickets = 1,
                                       .vouched = true};
}

static void *member_boot(struct mk_env *e, unsigned node, void *arg)
{
    struct place *p = arg;
    struct scene *s = p->s;
    struct member *m = mk_alloc(sizeof *m);
    struct mk_bytes ticket;
    struct mk_network_options n = network_options(s, p->i, &ticket);
    char listen[32];
    struct mk_node_options o = {.key = n.key,
                                .listen = listen,
                                .hints = n.hints,
                                .n_hints = n.n_hints,
                                .tickets = n.tickets,
                                .n_tickets = n.n_tickets,
                                .vouched = true};
    struct mk_component_options c = {.label = MK_STR("toy"),
                                     .stable_id = s->stable_id,
                                     .content_hash = s->stable_id,
                                     .deployment = s->roster.deployment,
                                     .roster = &s->roster,
                                     .addresses = s->hints,
                                     .n_addresses = MEMBERS,
                                     .acl = &s->acl,
                                     .own_issuer = s->root,
                                     .machine = toy_new(),
                                     .found = true};
    struct mk_fault fault = {{0}};

    (void)node;
    mk_env_vouch(e, &s->keys[p->i].peer);
    snprintf(listen, sizeof listen, "n%u:7000", p->i);
    if (mk_node_open(e, &m->node, &o, &fault) != 0)
        fail_msg("%s", fault.text);
    assert_int_equal(mk_issuer_book_add(mk_network_issuers(mk_node_network(m->node)), &s->root,
                                        &s->issuer, NULL),
                     0);
    if (mk_node_add(m->node, &c, &fault) != 0)
        fail_msg("%s", fault.text);
    return m;
}

static void member_destroy(void *state)
{
    struct member *m = state;

    mk_node_close(m->node);
    mk_free(m);
}

static void *bearer_boot(struct mk_env *e, unsigned node, void *arg)
{
    struct place *p = arg;
    struct scene *s = p->s;
    struct bearer *b = mk_alloc(sizeof *b);
    struct mk_bytes ticket;
    struct mk_network_options o = network_options(s, p->i, &ticket);
    struct mk_machine *toy = toy_new();
    struct mk_reference r = {.label = MK_STR("toy"),
                             .stable_id = s->stable_id,
                             .has_version0 = true,
                             .deployment = s->roster.deployment,
                             .deployed_content = s->stable_id,
                             .roster = s->roster,
                             .addresses = s->hints,
                             .n_addresses = MEMBERS};

    (void)node;
    b->spec = &toy->ops->surfaces[0];
    toy->ops->free(toy);
    mk_env_vouch(e, &s->keys[p->i].peer);
    assert_int_equal(mk_network_open(e, &b->net, &o, NULL), 0);
    assert_int_equal(mk_issuer_book_add(mk_network_issuers(b->net), &s->root, &s->issuer, NULL), 0);
    assert_int_equal(mk_bond_open(b->net, &b->bond, &r, NULL), 0);
    assert_int_equal(mk_map_open(b->bond, &b->map, b->spec, NULL, NULL), 0);
    return b;
}

static void bearer_destroy(void *state)
{
    struct bearer *b = state;

    mk_map_close(b->map);
    mk_network_close(b->net);
    mk_free(b);
}

static const struct world_program member_program = {member_boot, member_destroy},
                                  bearer_program = {bearer_boot, bearer_destroy};

/* --- conditions ------------------------------------------------------------------------ */

static struct mk_group *group_of(struct scene *s, unsigned i)
{
    struct member *m = world_state(s->w, i);

    return mk_container_of(m->node->hosts.next, struct mk_host, node)->group;
}

static struct bearer *bearer_of(struct scene *s)
{
    return world_state(s->w, BEARER);
}

static unsigned links_of(struct scene *s, unsigned i)
{
    struct mk_group_status st;

    mk_group_status(group_of(s, i), &st);
    return st.links;
}

static bool all_linked(void *arg)
{
    struct scene *s = arg;

    for (unsigned i = 0; i < MEMBERS; i++) {
        if (links_of(s, i) != MEMBERS - 1)
            return false;
    }
    return true;
}

static bool bearer_synced(void *arg)
{
    return mk_map_synced(bearer_of(arg)->map);
}

static bool have_list(void *arg)
{
    struct scene *s = arg;
    uint64_t now_ms = mk_wall_ms(world_node(s->w, 0));

    for (unsigned i = 0; i <= MEMBERS; i++) {
        struct member *m = world_state(s->w, i);
        struct mk_network *n = i == BEARER ? bearer_of(s)->net : mk_node_network(m->node);

        if (!mk_issuer_book_is_fresh(mk_network_issuers(n), &s->root, now_ms))
            return false;
    }
    return true;
}

static bool said(struct mk_bond *b, const char *text)
{
    struct mk_str line;

    for (unsigned i = 0; mk_bond_said(b, i, &line); i++) {
        if (memmem(line.p, line.n, text, strlen(text)) != NULL)
            return true;
    }
    return false;
}

/** Every member refuses the bearer by that clause, and serves it nothing. */
static bool bearer_refused(void *arg)
{
    struct scene *s = arg;
    struct mk_group_status st;
    struct mk_refusal r;

    for (unsigned i = 0; i < MEMBERS; i++) {
        mk_group_status(group_of(s, i), &st);
        if (st.readers > 0 || !mk_group_refusal(group_of(s, i), 0, &r) ||
            strcmp(r.reason, "clause 0 RecogniseOwnIssuer: ticket was revoked by its issuer") != 0)
            return false;
    }
    return said(bearer_of(s)->bond,
                "clause 0 RecogniseOwnIssuer: ticket was revoked by its issuer");
}

/** The others have dropped that member, and say why; it may have dropped them. */
static bool member_dropped(void *arg)
{
    struct scene *s = arg;
    char detail[MK_REASON_MAX];
    struct mk_peer peer;
    uint64_t match;
    bool linked;

    for (unsigned i = 0; i < MEMBERS; i++) {
        if (i == s->wanted)
            continue;
        mk_group_member(group_of(s, i), s->wanted, &peer, &linked, &match, detail);
        if (linked || strstr(detail, "ticket was revoked") == NULL ||
            strstr(detail, "clause 0") == NULL || links_of(s, i) != MEMBERS - 2)
            return false;
    }
    return true;
}

/* --- the scene -------------------------------------------------------------------------- */

static int key_cmp(const void *a, const void *b)
{
    return mk_peer_cmp(&((const struct mk_key *)a)->peer, &((const struct mk_key *)b)->peer);
}

static void make_keys(struct scene *s)
{
    uint8_t seed[32] = "a ticket issuer";

    mk_key_from_seed(&s->signer, seed);
    s->signer_peer = s->signer.peer;
    for (unsigned i = 0; i <= MEMBERS; i++) {
        uint8_t own[32] = {(uint8_t)i, 0x77};

        mk_key_from_seed(&s->keys[i], own);
    }
    qsort(s->keys, MEMBERS, sizeof s->keys[0], key_cmp);
    for (unsigned i = 0; i < MEMBERS; i++) {
        char hex[MK_ID_HEX];

        s->peers[i] = s->keys[i].peer;
        snprintf(s->addresses[i], sizeof s->addresses[i], "%s@n%u:7000",
                 mk_peer_hex(&s->peers[i], hex), i);
        s->hints[i] = mk_str_of(s->addresses[i]);
    }
}

static int setup(void **state)
{
    struct scene *s = mk_alloc(sizeof *s);

    s->w = world_new(20);
    make_keys(s);
    s->stable_id = mk_id_of_text(MK_STR("a gated component"));
    s->root = mk_id_of_text(MK_STR("a root"));
    s->roster = (struct mk_roster){.deployment = mk_id_of_text(MK_STR("a gated deployment")),
                                   .epoch = 1,
                                   .peers = {s->peers, MEMBERS}};
    s->issuer = (struct mk_roster){.epoch = 1, .peers = {&s->signer_peer, 1}};
    s->clauses[0].tag = mk_acl_clause_RecogniseOwnIssuer;
    s->clauses[1].tag = mk_acl_clause_GateReaders;
    s->acl.clauses.v = s->clauses;
    s->acl.clauses.n = 2;
    for (unsigned i = 0; i <= MEMBERS; i++) {
        issue(s, i, mk_wall_ms(world_node(s->w, 40)));
        s->places[i] = (struct place){s, i};
        world_boot(s->w, i, i == BEARER ? &bearer_program : &member_program, &s->places[i]);
    }
    assert_true(world_run_until(s->w, all_linked, s, 10000));
    assert_true(world_run_until(s->w, bearer_synced, s, 10000));
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;

    world_free(s->w);
    for (unsigned i = 0; i <= MEMBERS; i++)
        mk_buf_done(&s->tickets[i]);
    mk_free(s);
    return 0;
}

/* --- what must hold --------------------------------------------------------------------- */

static void test_a_revoked_ticket_ends_running_bonds(void **state)
{
    struct scene *s = *state;

    assert_false(have_list(s));
    revoke(s, BEARER, 1);
    assert_true(world_run_until(s->w, bearer_refused, s, 2000));
    assert_true(world_run_until(s->w, have_list, s, 2000));
    assert_true(all_linked(s)); /* nobody else is touched */
}

static void test_a_revoked_member_is_dropped_by_name(void **state)
{
    struct scene *s = *state;

    s->wanted = 2;
    revoke(s, 2, 0);
    assert_true(world_run_until(s->w, member_dropped, s, 2000));
    world_run(s->w, 3000); /* and it does not come back */
    assert_true(member_dropped(s));
}

static void test_a_list_outlives_everybody(void **state)
{
    struct scene *s = *state;

    revoke(s, BEARER, 0);
    assert_true(world_run_until(s->w, bearer_refused, s, 2000));
    for (unsigned i = 0; i <= MEMBERS; i++)
        world_crash(s->w, i);
    world_run(s->w, 100);
    for (unsigned i = 0; i <= MEMBERS; i++)
        world_restart(s->w, i);
    assert_true(world_run_until(s->w, all_linked, s, 20000));
    assert_true(world_run_until(s->w, bearer_refused, s, 20000));
    assert_false(bearer_synced(s));
}

static bool is_shown(void *arg)
{
    struct scene *s = arg;
    struct mk_peer_entry e;

    return mk_discovery_entry(bearer_of(s)->net->discovery, &e, &s->peers[0]) == 0 &&
           e.tickets.n == 1 && mk_id_eq(&e.tickets.v[0].class, &s->root);
}

static void test_an_entry_shows_the_tickets(void **state)
{
    struct scene *s = *state;

    assert_true(world_run_until(s->w, is_shown, s, 2000));
}

/* --- a producer's own stream ------------------------------------------------------------- */

struct hearing {
    struct mk_producer *producer;
    struct mk_consumer *consumer;
    bool subscribed;
    unsigned close;
    char detail[MK_REASON_MAX];
};

static void heard_item(struct mk_consumer *c, uint64_t seq, struct mk_bytes item)
{
    (void)c;
    (void)seq;
    (void)item;
}

static void heard_state(struct mk_consumer *c, bool subscribed, unsigned close, const char *detail)
{
    struct hearing *h = mk_consumer_owner(c);

    h->subscribed = subscribed;
    h->close = close;
    snprintf(h->detail, sizeof h->detail, "%s", detail != NULL ? detail : "");
}

static bool subscribed(void *arg)
{
    return ((struct hearing *)arg)->subscribed;
}

static bool let_go(void *arg)
{
    const struct hearing *h = arg;

    return !h->subscribed && (h->close == MK_CLOSE_EXPIRED || h->close == MK_CLOSE_REFUSED) &&
           strstr(h->detail, "clause 0 RecogniseOwnIssuer: ticket was revoked") != NULL;
}

/** Member 1 produces for who shows a ticket; the bearer asks the producer for one, too. */
static void hear(struct scene *s, struct hearing *h)
{
    static const struct mk_consumer_cbs cbs = {.item = heard_item, .state = heard_state};
    struct member *m = world_state(s->w, 1);
    const struct mk_id surface = mk_id_of_text(MK_STR("a producer's stream"));
    struct mk_producer_options po = {
        .surface = surface, .stable_id = s->stable_id, .acl = &s->acl, .own_issuer = s->root};
    struct mk_consumer_options co = {.surface = surface,
                                     .producer = s->peers[1],
                                     .stable_id = s->stable_id,
                                     .acl = &s->acl,
                                     .own_issuer = s->root};

    assert_int_equal(mk_producer_open(mk_node_network(m->node), &h->producer, &po), 0);
    assert_int_equal(mk_consumer_open(bearer_of(s)->net, &h->consumer, &co, &cbs, h), 0);
    assert_true(world_run_until(s->w, subscribed, h, 5000));
}

static void test_a_revoked_subscriber_is_let_go(void **state)
{
    struct scene *s = *state;
    struct hearing h = {0};

    hear(s, &h);
    revoke(s, BEARER, 0);
    assert_true(world_run_until(s->w, let_go, &h, 2000));
    mk_consumer_close(h.consumer);
    mk_producer_close(h.producer);
}

static void test_a_revoked_producer_is_let_go(void **state)
{
    struct scene *s = *state;
    struct hearing h = {0};

    hear(s, &h);
    revoke(s, 1, 0);
    assert_true(world_run_until(s->w, let_go, &h, 2000));
    mk_consumer_close(h.consumer);
    mk_producer_close(h.producer);
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(test_a_revoked_ticket_ends_running_bonds),
        SCENE(test_a_revoked_member_is_dropped_by_name),
        SCENE(test_a_list_outlives_everybody),
        SCENE(test_an_entry_shows_the_tickets),
        SCENE(test_a_revoked_subscriber_is_let_go),
        SCENE(test_a_revoked_producer_is_let_go),
    };

    return cmocka_run_group_tests_name("revocation", tests, NULL, NULL);
}
