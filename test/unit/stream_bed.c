/* stream_bed.c - see stream_bed.h. */
#include "stream_bed.h"

#include <stdio.h>

#define BED_PORT 7000u

const struct mk_id bed_surface = {{7}};

static void peer_close(struct bed_peer *p)
{
    mk_network_close(p->net); /* and what is open on it */
    p->net = NULL;
    p->producer = NULL;
}

/* A program that does nothing: the test itself opens what runs on the node. */
static void *node_boot(struct mk_env *e, unsigned node, void *arg)
{
    (void)e;
    return &((struct bed *)arg)->peers[node];
}

/* After a kill: frees memory, tells nobody. */
static void node_destroy(void *state)
{
    peer_close(state);
}

static const struct world_program node_program = {.boot = node_boot, .destroy = node_destroy};

struct bed *bed_new(uint64_t seed)
{
    struct bed *b = mk_alloc(sizeof *b);

    b->w = world_new(seed);
    for (unsigned i = 0; i < BED_PEERS; i++) {
        uint8_t key[32] = {(uint8_t)(i + 1), 0x57};

        mk_key_from_seed(&b->peers[i].key, key);
        world_boot(b->w, i, &node_program, b);
    }
    return b;
}

void bed_free(struct bed *b)
{
    for (unsigned i = 0; i < BED_PEERS; i++) {
        bed_down(b, i);
        mk_key_done(&b->peers[i].key);
    }
    world_free(b->w);
    mk_free(b);
}

void bed_up(struct bed *b, unsigned i, const struct mk_bytes *tickets, size_t n_tickets)
{
    struct bed_peer *p = &b->peers[i];
    char listen[32];

    if (!world_is_up(b->w, i))
        world_restart(b->w, i);
    snprintf(listen, sizeof listen, "n%u:%u", i, BED_PORT);
    mk_env_vouch(world_node(b->w, i), &p->key.peer);
    assert_int_equal(mk_network_open(world_node(b->w, i), &p->net,
                                     &(struct mk_network_options){.key = &p->key,
                                                                  .listen = listen,
                                                                  .tickets = tickets,
                                                                  .n_tickets = n_tickets,
                                                                  .witness = p->witness,
                                                                  .vouched = true},
                                     NULL),
                     0);
    if (b->hinted && i != 0) {
        char hex[MK_ID_HEX], hint[128];

        snprintf(hint, sizeof hint, "%s@n0:%u", mk_peer_hex(&b->peers[0].key.peer, hex), BED_PORT);
        assert_int_equal(mk_network_hint(p->net, mk_str_of(hint), NULL), 0);
    }
}

void bed_down(struct bed *b, unsigned i)
{
    peer_close(&b->peers[i]);
}

void bed_kill(struct bed *b, unsigned i)
{
    world_kill(b->w, i);
}

struct mk_producer *bed_produce(struct bed *b, unsigned i, struct mk_producer_options o)
{
    struct bed_peer *p = &b->peers[i];

    if (p->net == NULL)
        bed_up(b, i, NULL, 0);
    if (mk_id_is_zero(&o.surface))
        o.surface = bed_surface;
    assert_int_equal(mk_producer_open(p->net, &p->producer, &o), 0);
    return p->producer;
}

/* --- what a consumer is told --------------------------------------------------------- */

static void taker_end(struct bed_taker *t)
{
    mk_consumer_close(t->c);
    t->c = NULL;
}

/* Nothing twice, nothing left out, nothing in another order. */
static void taker_advance(struct bed_taker *t, uint64_t first, uint64_t last)
{
    if (!t->any)
        t->first = first;
    else
        assert_int_equal(first, t->last + 1);
    t->any = true;
    t->last = last;
}

static void taker_item(struct mk_consumer *c, uint64_t seq, struct mk_bytes item)
{
    struct bed_taker *t = mk_consumer_owner(c);
    uint64_t said;

    assert_non_null(t->c);
    assert_true(t->subscribed);
    taker_advance(t, seq, seq);
    assert_true(item.n >= sizeof said);
    memcpy(&said, item.p, sizeof said);
    assert_true(t->loose || said == seq);
    t->n_items++;
    t->bytes += item.n;
    if (seq == t->pause_at)
        mk_consumer_pause(c, true);
    if (seq == t->close_at)
        taker_end(t);
}

static void taker_lost(struct mk_consumer *c, uint64_t first, uint64_t last)
{
    struct bed_taker *t = mk_consumer_owner(c);

    assert_non_null(t->c);
    assert_true(first <= last);
    taker_advance(t, first, last);
    t->n_lost += last - first + 1;
    if (t->n_spans < BED_SPANS)
        t->lost[t->n_spans++] = (struct bed_span){first, last};
    if (t->close_on_lost)
        taker_end(t);
}

static void taker_state(struct mk_consumer *c, bool subscribed, unsigned close, const char *detail)
{
    struct bed_taker *t = mk_consumer_owner(c);

    t->n_states++;
    t->n_subscribed += subscribed ? 1 : 0;
    t->subscribed = subscribed;
    if (!subscribed) {
        t->n_closes[close < 32 ? close : 0]++;
        t->close = close;
        snprintf(t->detail, sizeof t->detail, "%s", detail);
        t->closed_ms = world_time(t->bed->w);
        if (t->close_on_state)
            taker_end(t);
    }
}

static void taker_restarted(struct mk_consumer *c)
{
    struct bed_taker *t = mk_consumer_owner(c);

    assert_true(t->subscribed);
    t->n_restarts++;
    t->any = false;
}

const struct mk_consumer_cbs bed_taker_cbs = {
    .item = taker_item, .lost = taker_lost, .state = taker_state, .restarted = taker_restarted};

struct bed_taker *bed_taker(struct bed *b)
{
    struct bed_taker *t = &b->takers[b->n_takers++];

    assert_true(b->n_takers <= BED_TAKERS);
    t->bed = b;
    return t;
}

struct bed_taker *bed_take(struct bed *b, unsigned i, unsigned from, struct mk_consumer_options o)
{
    struct bed_taker *t = bed_taker(b);
    char address[32];

    if (b->peers[i].net == NULL)
        bed_up(b, i, NULL, 0);
    snprintf(address, sizeof address, "n%u:%u", from, BED_PORT);
    if (mk_id_is_zero(&o.surface))
        o.surface = bed_surface;
    o.producer = b->peers[from].key.peer;
    o.address = address;
    assert_int_equal(mk_consumer_open(b->peers[i].net, &t->c, &o, &bed_taker_cbs, t), 0);
    return t;
}

uint64_t bed_send(struct bed *b, unsigned i, unsigned n, size_t len)
{
    uint8_t *item = mk_alloc(len);
    struct mk_producer_stats s = bed_stats(b, i);
    uint64_t seq = s.sent;

    assert_true(len >= sizeof seq);
    for (unsigned k = 0; k < n; k++) {
        seq++;
        memcpy(item, &seq, sizeof seq);
        assert_int_equal(mk_producer_send(b->peers[i].producer, MK_BYTES(item, len)), seq);
    }
    mk_free(item);
    return seq;
}

static bool taker_has_last(void *arg)
{
    const struct bed_taker *t = arg;

    return t->any && t->last >= t->wait;
}

void bed_until_last(struct bed_taker *t, uint64_t seq)
{
    t->wait = seq;
    assert_true(world_run_until(t->bed->w, taker_has_last, t, 60000));
}

static bool taker_restarted_again(void *arg)
{
    const struct bed_taker *t = arg;

    return t->n_restarts >= t->wait;
}

void bed_until_restarted(struct bed_taker *t, uint64_t n)
{
    t->wait = n;
    assert_true(world_run_until(t->bed->w, taker_restarted_again, t, 60000));
}

static bool taker_is_subscribed(void *arg)
{
    return ((const struct bed_taker *)arg)->subscribed;
}

void bed_until_subscribed(struct bed_taker *t)
{
    assert_true(world_run_until(t->bed->w, taker_is_subscribed, t, 60000));
}

static bool taker_was_told(void *arg)
{
    const struct bed_taker *t = arg;

    return t->n_states > t->wait && !t->subscribed;
}

void bed_until_not(struct bed_taker *t)
{
    t->wait = t->subscribed ? 0 : t->n_states;
    assert_true(world_run_until(t->bed->w, taker_was_told, t, 60000));
}

struct mk_producer_stats bed_stats(struct bed *b, unsigned i)
{
    struct mk_producer_stats s;

    mk_producer_stats(b->peers[i].producer, &s);
    return s;
}

/* --- all producers of a surface ---------------------------------------------------------- */

static struct bed_taker *gathered_by(const struct mk_consumer *c)
{
    struct bed *b = mk_consumer_owner(c);

    for (unsigned i = 0; i < b->n_takers; i++)
        if (mk_peer_eq(mk_consumer_producer(c), &b->peers[i].key.peer))
            return &b->takers[i];
    fail_msg("a producer that there is not");
    return NULL;
}

static void gathered_item(struct mk_consumer *c, uint64_t seq, struct mk_bytes item)
{
    struct bed_taker *t = gathered_by(c);

    (void)item;
    assert_int_equal(seq, t->any ? t->last + 1 : 1);
    t->any = true;
    t->last = seq;
    t->n_items++;
}

static void gathered_state(struct mk_consumer *c, bool subscribed, unsigned close,
                           const char *detail)
{
    (void)close;
    (void)detail;
    gathered_by(c)->n_subscribed += subscribed ? 1 : 0;
}

const struct mk_consumer_cbs bed_gathered_cbs = {.item = gathered_item, .state = gathered_state};

static bool gathers_n(void *arg)
{
    struct bed *b = arg;

    return mk_gather_subscribed(b->gather) == b->want;
}

void bed_until_gathered(struct bed *b, unsigned n)
{
    b->want = n;
    assert_true(world_run_until(b->w, gathers_n, b, 300000));
}
