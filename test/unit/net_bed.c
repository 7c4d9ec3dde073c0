/* net_bed.c - see net_bed.h. */
#include "net_bed.h"

#define LIVE_PATIENCE_MS 60000u /* reached by a failure only, on a slow machine too */

/* --- the worlds ---------------------------------------------------------------------- */

struct bed *bed_new(enum bed_kind kind)
{
    return bed_new_seed(kind, 4711);
}

struct bed *bed_new_seed(enum bed_kind kind, uint64_t seed)
{
    struct bed *b = mk_alloc(sizeof *b);

    b->kind = kind;
    if (kind == BED_LIVE)
        assert_int_equal(mk_loop_open(&b->live, NULL, NULL), 0);
    else
        b->w = world_new(seed);
    for (unsigned i = 0; i < BED_PEERS; i++)
        b->peers[i] = (struct bed_peer){.bed = b, .i = i};
    return b;
}

void bed_free(struct bed *b)
{
    for (unsigned i = 0; i < BED_PEERS; i++)
        bed_close(&b->peers[i]);
    if (b->w != NULL)
        world_free(b->w);
    else
        mk_loop_free(b->live);
    mk_free(b);
}

struct mk_env *bed_stranger_env(struct bed *b, unsigned i)
{
    return b->w != NULL ? world_node(b->w, i) : b->live;
}

bool bed_until(struct bed *b, bool (*cond)(void *arg), void *arg, uint32_t ms)
{
    if (b->w != NULL)
        return world_run_until(b->w, cond, arg, ms);
    return mk_loop_run_until(b->live, cond, arg, ms > LIVE_PATIENCE_MS ? ms : LIVE_PATIENCE_MS);
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

void bed_run(struct bed *b, uint32_t ms)
{
    if (b->w != NULL)
        world_run_until(b->w, never, NULL, ms);
    else
        mk_loop_run_until(b->live, never, NULL, ms);
}

/* --- conversations ------------------------------------------------------------------- */

static void conv_message(struct mk_conv *c, struct mk_bytes m)
{
    struct bed_conv *bc = c->owner;

    mk_buf_put(&bc->got, m.p, m.n);
    bc->n_got++;
    bc->last_n = m.n;
    bc->last_at = ++bc->owner->bed->n_messages;
    if (!bc->greedy)
        mk_conv_consumed(c, m.n);
}

static void conv_echo(struct mk_conv *c, struct mk_bytes m)
{
    conv_message(c, m);
    assert_int_equal(mk_conv_send(c, m), 0);
}

static void conv_writable(struct mk_conv *c)
{
    ((struct bed_conv *)c->owner)->n_writable++;
}

static void conv_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct bed_conv *bc = c->owner;

    assert_ptr_equal(bc->c, c);
    assert_false(bc->over);
    bc->c = NULL;
    bc->over = true;
    bc->close = close;
    snprintf(bc->detail, sizeof bc->detail, "%s", detail);
}

static const struct mk_conv_cbs sink_cbs = {conv_message, conv_writable, conv_closed};
static const struct mk_conv_cbs echo_cbs = {conv_echo, conv_writable, conv_closed};

static struct bed_conv *conv_take(struct bed_peer *p)
{
    struct bed_conv *bc = &p->convs[p->n_convs++];

    assert_true(p->n_convs <= BED_CONVS);
    bc->owner = p;
    bc->greedy = p->greedy;
    return bc;
}

static void conv_take_over(struct bed_peer *p, struct mk_conv *c, const struct mk_conv_cbs *cbs)
{
    struct bed_conv *bc = conv_take(p);

    bc->c = c;
    c->cbs = cbs;
    c->owner = bc;
}

static unsigned echo_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                            char detail[MK_REASON_MAX])
{
    (void)detail;
    conv_take_over(mk_container_of(s, struct bed_peer, echo), c, &echo_cbs);
    return mk_conv_send(c, first) == 0 ? 0 : MK_CLOSE_BUSY;
}

static unsigned sink_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                            char detail[MK_REASON_MAX])
{
    (void)detail;
    conv_take_over(mk_container_of(s, struct bed_peer, sink), c, &sink_cbs);
    mk_buf_put(&((struct bed_conv *)c->owner)->got, first.p, first.n);
    return 0;
}

static unsigned shop_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                            char detail[MK_REASON_MAX])
{
    (void)s;
    (void)c;
    (void)first;
    snprintf(detail, MK_REASON_MAX, "no clause fits");
    return MK_CLOSE_REFUSED;
}

struct bed_conv *bed_talk(struct bed_peer *p, struct mk_link *l, const char *proto,
                          const char *first)
{
    struct bed_conv *bc = conv_take(p);

    assert_non_null(l);
    assert_int_equal(mk_conv_open(l, &bc->c, proto, MK_BYTES(first, strlen(first)), &sink_cbs, bc),
                     0);
    return bc;
}

/* --- peers --------------------------------------------------------------------------- */

static void watch_up(struct mk_net_watch *w, struct mk_link *l)
{
    struct bed_peer *p = mk_container_of(w, struct bed_peer, watch);

    p->n_up++;
    p->last_up = *mk_link_peer(l);
    assert_ptr_equal(mk_net_link(p->net, mk_link_peer(l)), l);
}

static void watch_down(struct mk_net_watch *w, const struct mk_peer *peer, unsigned close,
                       const char *detail)
{
    struct bed_peer *p = mk_container_of(w, struct bed_peer, watch);

    (void)peer;
    p->n_down++;
    assert_true(p->n_down <= p->n_up);
    p->down_close = close;
    snprintf(p->down_detail, sizeof p->down_detail, "%s", detail);
}

struct bed_peer *bed_open_as(struct bed *b, unsigned i, uint8_t key, struct mk_id network)
{
    struct bed_peer *p = &b->peers[i];
    struct mk_net_options o = {.key = &p->key, .network = network};
    uint8_t seed[32];
    struct mk_fault f;

    memset(seed, key, sizeof seed);
    mk_key_from_seed(&p->key, seed);
    p->env = bed_stranger_env(b, i);
    o.vouched = b->kind == BED_VOUCHED;
    o.handshake_ms = b->handshake_ms;
    if (b->w != NULL)
        mk_env_vouch(p->env, &p->key.peer);
    assert_int_equal(mk_net_open(p->env, &p->net, &o), 0);
    snprintf(p->address, sizeof p->address, "n%u:7000", i);
    assert_int_equal(mk_net_listen(p->net, b->w != NULL ? p->address : "127.0.0.1:0", &f), 0);
    if (b->w == NULL)
        snprintf(p->address, sizeof p->address, "127.0.0.1:%u", mk_net_port(p->net));
    p->watch.up = watch_up;
    p->watch.down = watch_down;
    mk_net_watch(p->net, &p->watch);
    p->echo = (struct mk_service){.proto = "echo", .accept = echo_accept};
    p->sink = (struct mk_service){.proto = "sink", .accept = sink_accept};
    p->closed_shop = (struct mk_service){.proto = "shop", .accept = shop_accept};
    assert_int_equal(mk_net_serve(p->net, &p->echo), 0);
    assert_int_equal(mk_net_serve(p->net, &p->sink), 0);
    assert_int_equal(mk_net_serve(p->net, &p->closed_shop), 0);
    assert_int_equal(mk_net_serve(p->net, &p->echo), MK_EEXISTS);
    return p;
}

struct bed_peer *bed_open(struct bed *b, unsigned i)
{
    return bed_open_as(b, i, (uint8_t)(i + 1), MK_UNIVERSE);
}

void bed_close(struct bed_peer *p)
{
    if (p->net != NULL)
        mk_net_close(p->net);
    p->net = NULL;
    for (unsigned i = 0; i < BED_CONVS; i++)
        mk_buf_done(&p->convs[i].got);
    mk_key_done(&p->key);
}

struct bed_pair {
    struct bed_peer *a, *b;
};

static bool pair_is_up(void *arg)
{
    struct bed_pair *p = arg;

    return mk_net_link(p->a->net, &p->b->key.peer) != NULL &&
           mk_net_link(p->b->net, &p->a->key.peer) != NULL;
}

struct mk_link *bed_link(struct bed_peer *a, struct bed_peer *b, struct mk_dial *d)
{
    struct bed_pair p = {a, b};

    mk_net_dial(a->net, d, &b->key.peer, b->address);
    assert_true(bed_until(a->bed, pair_is_up, &p, 10000));
    return mk_net_link(a->net, &b->key.peer);
}
