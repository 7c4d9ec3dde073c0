/* shelf.c - see the header. */
#include "shelf.h"

#include "base/assert.h"
#include <mosaik/standing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct mk_surface_spec shelf_specs[SHELF_SURFACES] = {
    {.kind = MK_SURFACE_MAP, .name = "map", .key = &mk_u64_type, .value = &mk_u64_type},
    {.kind = MK_SURFACE_VEC, .name = "vec", .value = &mk_u64_type},
    {.kind = MK_SURFACE_SET, .name = "set", .value = &mk_u64_type},
    {.kind = MK_SURFACE_CELL, .name = "cell", .value = &mk_u64_type},
    {.kind = MK_SURFACE_ONCE, .name = "once", .value = &mk_u64_type},
    {.kind = MK_SURFACE_QUEUE, .name = "queue", .key = &mk_u64_type, .value = &mk_u64_type},
    {.kind = MK_SURFACE_STREAM, .name = "stream", .value = &mk_u64_type},
    {.kind = MK_SURFACE_MAP, .name = "scores", .key = &mk_peer_type, .value = &mk_score_type},
};

/* What a member shows of its own surfaces. */
struct watcher {
    struct mk_driver driver;
    struct mk_host *host;
    struct shelf_member *member;
};

/* --- members ------------------------------------------------------------------------------- */

static int watcher_start(struct mk_driver *d, struct mk_host *h, struct mk_fault *reterr)
{
    struct watcher *x = (struct watcher *)d;

    (void)reterr;
    x->host = h;
    x->member->host = h;
    return 0;
}

static void watcher_stop(struct mk_driver *d)
{
    ((struct watcher *)d)->member->host = NULL;
    mk_free(d);
}

static const struct mk_driver_ops watcher_ops = {.start = watcher_start, .stop = watcher_stop};

static struct mk_driver *watcher_new(struct shelf_member *m)
{
    struct watcher *x = mk_alloc(sizeof *x);

    x->driver.ops = &watcher_ops;
    x->member = m;
    return &x->driver;
}

static void *member_boot(struct mk_env *e, unsigned node, void *arg)
{
    static const struct mk_acl_composition open_to_all;
    struct shelf_member *m = arg;
    struct shelf *c = m->c;
    struct mk_fault fault = {.text = ""};
    char listen[16];
    struct mk_component_options o = {.label = MK_STR("shelf"),
                                     .stable_id = c->stable_id,
                                     .content_hash = c->content,
                                     .deployment = c->deployment,
                                     .roster = &c->roster,
                                     .addresses = c->addresses,
                                     .n_addresses = SHELF_MEMBERS,
                                     .acl = c->acl != NULL ? c->acl : &open_to_all,
                                     .inner = c->inner,
                                     .found = true};

    snprintf(listen, sizeof listen, "n%u:7000", node);
    mk_env_vouch(e, &c->keys[m->i].peer);
    o.machine = mk_collections_machine_new("shelf", 1, shelf_specs, SHELF_SURFACES);
    o.driver = watcher_new(m);
    if (mk_node_open(
            e, &m->node,
            &(struct mk_node_options){.key = &c->keys[m->i], .listen = listen, .vouched = true},
            &fault) != 0 ||
        mk_node_add(m->node, &o, &fault) != 0)
        MK_ASSERT(!"a member cannot open");
    return m;
}

static void member_destroy(void *state)
{
    struct shelf_member *m = state;

    m->host = NULL;
    mk_node_close(m->node);
}

static const struct world_program member_program = {member_boot, member_destroy};

static int by_peer(const void *a, const void *b)
{
    return mk_peer_cmp(&((const struct mk_key *)a)->peer, &((const struct mk_key *)b)->peer);
}

static struct shelf *shelf_make(uint64_t seed, bool private)
{
    struct shelf *c = mk_alloc(sizeof *c);

    for (unsigned i = 0; i < SHELF_MEMBERS; i++) {
        uint8_t secret[32] = "shelf";

        secret[16] = (uint8_t)i;
        mk_key_from_seed(&c->keys[i], secret);
    }
    qsort(c->keys, SHELF_MEMBERS, sizeof c->keys[0], by_peer);
    for (unsigned i = 0; i < SHELF_MEMBERS; i++) {
        char hex[MK_ID_HEX];

        c->peers[i] = c->keys[i].peer;
        snprintf(c->address[i], sizeof c->address[i], "%s@n%u:7000", mk_peer_hex(&c->peers[i], hex),
                 i);
        c->addresses[i] = mk_str_of(c->address[i]);
        c->members[i] = (struct shelf_member){.c = c, .i = i};
    }
    c->stable_id = mk_id_of_text(MK_STR("shelf"));
    c->deployment = mk_id_of_text(MK_STR("shelf, deployed"));
    c->content = mk_id_of_text(MK_STR("shelf's content"));
    c->roster = (struct mk_roster){
        .deployment = c->deployment, .epoch = 1, .peers = {c->peers, SHELF_MEMBERS}};
    if (private)
        c->inner = mk_derive(&c->deployment, MK_STR("private"));
    c->w = world_new(seed);
    for (unsigned i = 0; i < SHELF_MEMBERS; i++)
        world_boot(c->w, i, &member_program, &c->members[i]);
    return c;
}

struct shelf *shelf_new(uint64_t seed)
{
    return shelf_make(seed, false);
}

struct shelf *shelf_new_private(uint64_t seed)
{
    return shelf_make(seed, true);
}

void shelf_free(struct shelf *c)
{
    world_free(c->w);
    for (unsigned i = 0; i < SHELF_MEMBERS; i++)
        mk_key_done(&c->keys[i]);
    mk_free(c);
}

struct mk_reference shelf_reference(const struct shelf *c)
{
    return (struct mk_reference){.label = MK_STR_INIT("shelf"),
                                 .stable_id = c->stable_id,
                                 .has_version0 = true,
                                 .deployment = c->deployment,
                                 .deployed_content = c->content,
                                 .roster = c->roster,
                                 .addresses = c->addresses,
                                 .n_addresses = SHELF_MEMBERS};
}

struct mk_network *shelf_agent(struct shelf *c, unsigned node, bool listen,
                               struct mk_bond **ret_bond)
{
    struct mk_reference r = shelf_reference(c);
    struct mk_env *e = world_node(c->w, node);
    uint8_t secret[32] = "agent";
    struct mk_network *network;
    char address[16];
    struct mk_key key;

    secret[16] = (uint8_t)node;
    snprintf(address, sizeof address, "n%u:7000", node);
    mk_key_from_seed(&key, secret);
    mk_env_vouch(e, &key.peer);
    MK_ASSERT(mk_network_open(e, &network,
                              &(struct mk_network_options){.key = &key,
                                                           .listen = listen ? address : NULL,
                                                           .hints = c->addresses,
                                                           .n_hints = SHELF_MEMBERS,
                                                           .vouched = true},
                              NULL) == 0);
    mk_key_done(&key);
    if (ret_bond != NULL)
        MK_ASSERT(mk_bond_open(network, ret_bond, &r, NULL) == 0);
    return network;
}

struct mk_bytes shelf_number(struct mk_buf *b, uint64_t n)
{
    size_t start = b->n;

    mk_encode(b, &mk_u64_type, &n);
    return MK_BYTES(b->p + start, b->n - start);
}

uint64_t shelf_value(struct mk_bytes pc)
{
    struct mk_arena arena = {0};
    uint64_t v = 0;

    MK_ASSERT(mk_decode(&v, &mk_u64_type, pc, &arena, NULL) == 0);
    mk_arena_done(&arena);
    return v;
}
