/* discovery_bed.c - see discovery_bed.h. */
#include "discovery_bed.h"

#define BED_LIFE_MS 120000u

struct bed *bed_new(uint64_t seed)
{
    struct bed *b = mk_alloc(sizeof *b);

    b->w = world_new(seed);
    return b;
}

void bed_free(struct bed *b)
{
    world_free(b->w);
    mk_free(b);
}

void bed_key(struct mk_key *k, unsigned i)
{
    uint8_t seed[32] = {(uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16), 0xd1};

    mk_key_from_seed(k, seed);
}

struct mk_peer bed_peer(unsigned i)
{
    struct mk_peer peer;
    struct mk_key k;

    bed_key(&k, i);
    peer = k.peer;
    mk_key_done(&k);
    return peer;
}

static void bed_changed(struct mk_discovery_watch *w)
{
    mk_container_of(w, struct bed_node, watch)->n_changed++;
}

static void bed_address(char out[32], unsigned i)
{
    snprintf(out, 32, "n%u:7000", i);
}

static void *bed_boot(struct mk_env *e, unsigned i, void *arg)
{
    const struct bed_plan *plan = arg;
    struct bed_node *n = mk_alloc(sizeof *n);
    struct mk_discovery_options o = {
        .network = MK_UNIVERSE, .key = &n->key, .n_addresses = 1, .life_ms = plan->life_ms};
    char address[32], hint[32];
    const char *addresses[1] = {address};
    struct mk_peer peer;

    bed_key(&n->key, i);
    n->env = e;
    bed_address(address, i);
    mk_env_vouch(e, &n->key.peer);
    assert_int_equal(mk_net_open(e, &n->net,
                                 &(struct mk_net_options){
                                     .key = &n->key, .network = MK_UNIVERSE, .vouched = true}),
                     0);
    if (!plan->observe)
        assert_int_equal(mk_net_listen(n->net, address, NULL), 0);
    o.addresses = addresses;
    o.observe_only = plan->observe;
    assert_int_equal(mk_discovery_open(e, n->net, &n->d, &o), 0);
    n->watch.changed = bed_changed;
    mk_discovery_watch(n->d, &n->watch);
    if (plan->hint != BED_NONE) {
        peer = bed_peer(plan->hint);
        bed_address(hint, plan->hint);
        mk_discovery_hint(n->d, &peer, hint);
    }
    return n;
}

static void bed_destroy(void *state)
{
    struct bed_node *n = state;

    mk_discovery_close(n->d);
    if (n->net != NULL)
        mk_net_close(n->net);
    mk_key_done(&n->key);
    mk_free(n);
}

static const struct world_program bed_program = {.boot = bed_boot, .destroy = bed_destroy};

static void bed_begin(struct bed *b, unsigned i, struct bed_plan plan)
{
    assert_true(i < BED_NODES);
    b->plans[i] = plan;
    if (b->n <= i)
        b->n = i + 1;
    world_boot(b->w, i, &bed_program, &b->plans[i]);
}

void bed_start(struct bed *b, unsigned i, unsigned hint, uint32_t life_ms)
{
    bed_begin(b, i, (struct bed_plan){.hint = hint, .life_ms = life_ms});
}

void bed_observe(struct bed *b, unsigned i, unsigned hint)
{
    bed_begin(b, i, (struct bed_plan){.hint = hint, .observe = true});
}

void bed_chain(struct bed *b, unsigned n, uint32_t life_ms)
{
    for (unsigned i = 0; i < n; i++)
        bed_start(b, i, i == 0 ? BED_NONE : i - 1, life_ms);
}

struct bed_node *bed_at(struct bed *b, unsigned i)
{
    return world_state(b->w, i);
}

struct mk_discovery *bed_d(struct bed *b, unsigned i)
{
    return bed_at(b, i)->d;
}

bool bed_all_see(struct bed *b, size_t n)
{
    for (unsigned i = 0; i < b->n; i++) {
        struct bed_node *node = bed_at(b, i);

        if (node != NULL && node->d != NULL && mk_discovery_size(node->d) != n)
            return false;
    }
    return true;
}

static bool bed_cond_all_see(void *arg)
{
    struct bed *b = arg;

    return bed_all_see(b, b->shared);
}

bool bed_until_all_see(struct bed *b, size_t n, uint64_t ms)
{
    b->shared = n;
    return world_run_until(b->w, bed_cond_all_see, b, ms);
}

bool bed_sees(struct bed *b, unsigned i, unsigned other)
{
    struct mk_peer peer = bed_peer(other);
    struct mk_peer_entry e;

    return mk_discovery_entry(bed_d(b, i), &e, &peer) == 0;
}

void bed_deployment(struct mk_buf *out, const char *name, const struct mk_key *operator_,
                    uint64_t version, const char *content)
{
    struct mk_peer peers[1] = {bed_peer(900)};
    struct mk_deployment d = {.stable_id = mk_id_of_text(mk_str_of(name)),
                              .deployment = mk_id_of_text(mk_str_of(content)),
                              .content_hash = mk_id_of_text(mk_str_of(content)),
                              .version = version,
                              .operator= operator_->peer };
    struct mk_buf message = {0};

    d.roster = (struct mk_roster){.deployment = d.deployment, .epoch = 1, .peers = {peers, 1}};
    mk_buf_put_str(&message, "mosaik.deployment.v1");
    mk_encode(&message, &mk_deployment_type, &d);
    message.n -= sizeof d.signature;
    mk_sign(operator_, mk_buf_bytes(&message), &d.signature);
    mk_buf_done(&message);
    mk_encode(out, &mk_deployment_type, &d);
}

void bed_entry(struct mk_buf *out, const struct mk_key *key, struct bed_entry e)
{
    const char *text = e.address != NULL ? e.address : "n63:7000";
    struct mk_str address = mk_str_of(text);
    struct mk_id surfaces[MK_ENTRY_IDS_MAX] = {{{0}}};
    struct mk_peer_entry entry = {.network = e.network != NULL ? *e.network : MK_UNIVERSE,
                                  .peer = key->peer,
                                  .version = e.version,
                                  .addresses = {&address, 1},
                                  .surfaces = {surfaces, e.n_surfaces},
                                  .expires_ms = e.expires_ms};

    for (size_t i = 0; i < e.n_surfaces; i++)
        surfaces[i].b[0] = (uint8_t)(i + 1);
    mk_record_sign_entry(&entry, key, out);
}

/* --- the rogue ------------------------------------------------------------------------ */

static void rogue_message(struct mk_conv *c, struct mk_bytes m)
{
    struct bed_rogue *r = c->owner;

    mk_buf_put_u32le(&r->got, (uint32_t)m.n);
    mk_buf_put(&r->got, m.p, m.n);
    mk_conv_consumed(c, m.n);
}

static void rogue_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct bed_rogue *r = c->owner;

    r->conv = NULL;
    r->closes++;
    r->last_close = close;
    snprintf(r->last_detail, sizeof r->last_detail, "%s", detail);
}

static const struct mk_conv_cbs rogue_cbs = {.message = rogue_message, .closed = rogue_closed};

static unsigned rogue_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                             char detail[MK_REASON_MAX])
{
    struct bed_rogue *r = mk_container_of(s, struct bed_rogue, service);

    (void)first;
    (void)detail;
    c->cbs = &rogue_cbs;
    c->owner = r;
    r->conv = c;
    return 0;
}

static bool rogue_linked(void *arg)
{
    struct bed_rogue *r = arg;

    return mk_net_link(r->net, &r->dial.peer) != NULL;
}

static bool rogue_talks(void *arg)
{
    return ((struct bed_rogue *)arg)->conv != NULL;
}

struct bed_rogue *bed_rogue(struct bed *b, unsigned i, unsigned to)
{
    struct bed_rogue *r = mk_alloc(sizeof *r);
    struct mk_net_options o = {.key = &r->key, .network = MK_UNIVERSE, .vouched = true};
    struct mk_peer peer = bed_peer(to);
    char address[32];
    uint8_t hello[33] = {GOSSIP_VERSION};

    bed_key(&r->key, i);
    bed_address(address, to);
    r->env = world_node(b->w, i);
    mk_env_vouch(r->env, &r->key.peer);
    assert_int_equal(mk_net_open(r->env, &r->net, &o), 0);
    r->service = (struct mk_service){.proto = GOSSIP_PROTO, .accept = rogue_accept};
    assert_int_equal(mk_net_serve(r->net, &r->service), 0);
    mk_net_dial(r->net, &r->dial, &peer, address);
    assert_true(world_run_until(b->w, rogue_linked, r, 10000));
    memcpy(hello + 1, MK_UNIVERSE.b, 32);
    if (mk_peer_cmp(&r->key.peer, &peer) < 0)
        assert_int_equal(mk_conv_open(mk_net_link(r->net, &peer), &r->conv, GOSSIP_PROTO,
                                      MK_BYTES(hello, sizeof hello), &rogue_cbs, r),
                         0);
    assert_true(world_run_until(b->w, rogue_talks, r, 10000));
    return r;
}

void bed_rogue_free(struct bed_rogue *r)
{
    mk_net_close(r->net);
    mk_buf_done(&r->got);
    mk_key_done(&r->key);
    mk_free(r);
}

int bed_rogue_send(struct bed_rogue *r, const struct mk_buf *message)
{
    return mk_conv_send(r->conv, mk_buf_bytes(message));
}

int bed_rogue_record(struct bed_rogue *r, enum mk_record_kind kind, struct mk_bytes bytes)
{
    struct mk_buf m = {0};
    int rv;

    mk_buf_put_u8(&m, GOSSIP_RECORDS);
    mk_buf_put_u8(&m, (uint8_t)kind);
    mk_put_varint(&m, bytes.n);
    mk_buf_put(&m, bytes.p, bytes.n);
    rv = bed_rogue_send(r, &m);
    mk_buf_done(&m);
    return rv;
}

static bool rogue_is_closed(void *arg)
{
    return ((struct bed_rogue *)arg)->conv == NULL;
}

bool bed_until_closed(struct bed *b, struct bed_rogue *r, uint64_t ms)
{
    return world_run_until(b->w, rogue_is_closed, r, ms);
}
