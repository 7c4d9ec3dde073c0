/* crowd.c - see crowd.h. Defines those functions of net.h and no others that discovery calls; the
 * linker takes them in the place of src/net. */
#include "crowd.h"

#include "base/assert.h"

#include <stdio.h>
#include <string.h>

struct mk_net {
    struct crowd_node *node;
    struct mk_service *service;
    struct mk_list watches, links;
};

struct mk_link {
    struct mk_list node; /* of net->links */
    struct mk_net *net;
    struct mk_peer peer;
    struct mk_link *other;
    uint64_t delay_ns;
    struct mk_list convs;
    char remote[32];
    bool up;
};

struct wire_conv {
    struct mk_conv c; /* first */
    struct wire_conv *other;
    struct mk_list node; /* of link->convs */
    struct mk_list all;  /* of crowd->convs */
    size_t room;
    bool open, stalled;
};

enum event_what { EVENT_MESSAGE, EVENT_OPEN, EVENT_CLOSE, EVENT_WRITABLE, EVENT_DIAL, EVENT_DOWN };

struct event {
    struct mk_heap_item item;
    enum event_what what;
    struct wire_conv *conv;
    struct mk_link *link; /* EVENT_DOWN */
    unsigned from, to;    /* EVENT_DIAL */
    unsigned code;
    struct mk_buf bytes;
};

struct crowd {
    unsigned n;
    uint32_t entries_max;
    struct crowd_node **nodes;
    uint64_t now_ns;
    struct mk_heap timers, events, turns;
    struct mk_list convs, links, gone; /* freed at the end: something may be under way to them */
    struct prng prng;
};

static struct crowd_node *node_of(struct mk_env *e)
{
    return (struct crowd_node *)(void *)e;
}

/* --- the env ------------------------------------------------------------------------------ */

static uint64_t env_now(struct mk_env *e)
{
    return node_of(e)->crowd->now_ns;
}

static uint64_t env_wall_ms(struct mk_env *e)
{
    return UINT64_C(1700000000000) + node_of(e)->crowd->now_ns / MK_MS +
           (uint64_t)node_of(e)->wall_offset_ms;
}

static void env_timer_start(struct mk_env *e, struct mk_timer *t, uint64_t at_ns)
{
    mk_heap_put(&node_of(e)->crowd->timers, &t->item, at_ns);
}

static void env_timer_stop(struct mk_env *e, struct mk_timer *t)
{
    mk_heap_del(&node_of(e)->crowd->timers, &t->item);
}

static void env_tasks_wait(struct mk_env *e)
{
    struct crowd_node *n = node_of(e);

    if (!n->turning)
        mk_heap_put(&n->crowd->turns, &n->turn, n->crowd->now_ns);
}

static void env_entropy(struct mk_env *e, void *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)out)[i] = (uint8_t)prng_next(&node_of(e)->entropy);
}

static const struct mk_env_ops env_ops = {.now = env_now,
                                          .wall_ms = env_wall_ms,
                                          .timer_start = env_timer_start,
                                          .timer_stop = env_timer_stop,
                                          .tasks_wait = env_tasks_wait,
                                          .entropy = env_entropy};

/* --- events ------------------------------------------------------------------------------- */

static struct event *event_at(struct crowd *c, enum event_what what, uint64_t at_ns)
{
    struct event *e = mk_alloc(sizeof *e);

    e->what = what;
    mk_heap_put(&c->events, &e->item, at_ns);
    return e;
}

static struct event *event_to(struct wire_conv *from, enum event_what what)
{
    struct mk_link *l = from->c.link;
    struct event *e =
        event_at(l->net->node->crowd, what, l->net->node->crowd->now_ns + l->delay_ns);

    e->conv = from->other;
    return e;
}

static void sent(struct mk_link *l, size_t n)
{
    l->net->node->messages++;
    l->net->node->bytes += n + CROWD_FRAME;
}

/* --- links -------------------------------------------------------------------------------- */

static struct mk_link *link_find(struct mk_net *net, const struct mk_peer *peer)
{
    mk_list_each(n, &net->links)
    {
        struct mk_link *l = mk_container_of(n, struct mk_link, node);

        if (mk_peer_eq(&l->peer, peer))
            return l;
    }
    return NULL;
}

static struct mk_link *link_new(struct mk_net *net, struct mk_net *to, uint64_t delay_ns)
{
    struct mk_link *l = mk_alloc(sizeof *l);

    l->net = net;
    l->peer = to->node->key.peer;
    l->delay_ns = delay_ns;
    l->up = true;
    mk_list_init(&l->convs);
    snprintf(l->remote, sizeof l->remote, "n%u.in.net%u:1", to->node->i, to->node->i / 256);
    mk_list_add_tail(&net->links, &l->node);
    return l;
}

static void link_tell(struct mk_link *l)
{
    mk_list_each(n, &l->net->watches)
    {
        struct mk_net_watch *w = mk_container_of(n, struct mk_net_watch, node);

        w->up(w, l);
    }
}

static void dial_meets(struct crowd *c, unsigned from, unsigned to)
{
    struct crowd_node *a = c->nodes[from], *b = c->nodes[to];
    struct mk_link *l, *m;
    uint64_t delay_ns;

    if (a == NULL || b == NULL || link_find(a->net, &b->key.peer) != NULL)
        return;
    delay_ns =
        (CROWD_DELAY_MIN_US + prng_below(&c->prng, CROWD_DELAY_MAX_US - CROWD_DELAY_MIN_US)) *
        UINT64_C(1000);
    l = link_new(a->net, b->net, delay_ns);
    m = link_new(b->net, a->net, delay_ns);
    l->other = m;
    m->other = l;
    link_tell(l);
    link_tell(m);
}

static void link_down(struct mk_link *l)
{
    struct mk_net *net = l->net;
    struct mk_list *n;

    if (!l->up)
        return;
    l->up = false;
    mk_list_del(&l->node);
    mk_list_add_tail(&net->node->crowd->links, &l->node);
    while ((n = mk_list_pop(&l->convs)) != NULL) {
        struct wire_conv *v = mk_container_of(n, struct wire_conv, node);

        if (v->open && v->c.cbs != NULL) {
            v->open = false;
            v->c.cbs->closed(&v->c, MK_CLOSE_LOST, "");
        }
    }
    mk_list_each(p, &net->watches)
    {
        struct mk_net_watch *w = mk_container_of(p, struct mk_net_watch, node);

        w->down(w, &l->peer, MK_CLOSE_LOST, "");
    }
}

/* --- what stands in for src/net -------------------------------------------------------------- */

struct mk_link *mk_net_link(struct mk_net *net, const struct mk_peer *peer)
{
    return link_find(net, peer);
}

struct mk_link *mk_net_next_link(struct mk_net *net, const struct mk_link *after)
{
    struct mk_list *n = after != NULL ? after->node.next : net->links.next;

    return n != &net->links ? mk_container_of(n, struct mk_link, node) : NULL;
}

const struct mk_peer *mk_link_peer(const struct mk_link *l)
{
    return &l->peer;
}

const char *mk_link_remote(const struct mk_link *l)
{
    return l->remote;
}

int mk_net_serve(struct mk_net *net, struct mk_service *s)
{
    net->service = s;
    return 0;
}

void mk_net_unserve(struct mk_service *s)
{
    (void)s; /* the node ends with it */
}

void mk_net_watch(struct mk_net *net, struct mk_net_watch *w)
{
    mk_list_add_tail(&net->watches, &w->node);
}

void mk_net_unwatch(struct mk_net_watch *w)
{
    mk_list_del(&w->node);
}

unsigned crowd_number(const char *digits)
{
    unsigned n = 0;

    for (; *digits >= '0' && *digits <= '9' && n < 1000000; digits++)
        n = 10 * n + (unsigned)(*digits - '0');
    return n;
}

void mk_net_dial(struct mk_net *net, struct mk_dial *d, const struct mk_peer *peer,
                 const char *address)
{
    struct crowd *c = net->node->crowd;
    unsigned to = crowd_number(address + 1);
    struct event *e;

    d->peer = *peer;
    d->last_close = 0;
    e = event_at(c, EVENT_DIAL, c->now_ns + CROWD_DELAY_MAX_US * UINT64_C(2000));
    e->from = net->node->i;
    e->to = to < c->n ? to : net->node->i;
}

void mk_dial_add_address(struct mk_dial *d, const char *address)
{
    (void)d; /* peers have one address here */
    (void)address;
}

bool mk_dial_waits(const struct mk_dial *d, char ret[MK_REASON_MAX])
{
    (void)d;
    (void)ret;
    return false;
}

void mk_net_undial(struct mk_dial *d)
{
    (void)d;
}

static struct wire_conv *conv_new(struct mk_link *l)
{
    struct wire_conv *v = mk_alloc(sizeof *v);

    v->c.link = l;
    v->room = MK_NET_WINDOW;
    v->open = true;
    mk_list_add_tail(&l->convs, &v->node);
    mk_list_add_tail(&l->net->node->crowd->convs, &v->all);
    return v;
}

int mk_conv_open(struct mk_link *l, struct mk_conv **ret, const char *proto, struct mk_bytes first,
                 const struct mk_conv_cbs *cbs, void *owner)
{
    struct wire_conv *v;
    struct event *e;

    (void)proto;
    if (!l->up || !l->other->up)
        return MK_ECLOSED;
    v = conv_new(l);
    v->other = conv_new(l->other);
    v->other->other = v;
    v->c.cbs = cbs;
    v->c.owner = owner;
    e = event_to(v, EVENT_OPEN);
    mk_buf_put(&e->bytes, first.p, first.n);
    sent(l, first.n);
    *ret = &v->c;
    return 0;
}

int mk_conv_send(struct mk_conv *c, struct mk_bytes m)
{
    struct wire_conv *v = (struct wire_conv *)(void *)c;
    struct event *e;

    MK_ASSERT(v->open && m.n <= MK_NET_MESSAGE_MAX);
    if (!c->link->up)
        return MK_ECLOSED;
    if (v->room < m.n) {
        v->stalled = true;
        return MK_EFULL;
    }
    v->room -= m.n;
    e = event_to(v, EVENT_MESSAGE);
    mk_buf_put(&e->bytes, m.p, m.n);
    sent(c->link, m.n);
    return 0;
}

void mk_conv_consumed(struct mk_conv *c, size_t n)
{
    struct wire_conv *v = (struct wire_conv *)(void *)c;

    v->other->room += n;
    if (v->other->stalled) {
        v->other->stalled = false;
        event_to(v, EVENT_WRITABLE);
    }
}

void mk_conv_close(struct mk_conv *c, unsigned close, const char *detail)
{
    struct wire_conv *v = (struct wire_conv *)(void *)c;

    (void)detail;
    v->open = false;
    if (c->link->up)
        event_to(v, EVENT_CLOSE)->code = close;
}

/* --- running ------------------------------------------------------------------------------ */

static void conv_event(struct event *e)
{
    struct wire_conv *v = e->conv;
    char detail[MK_REASON_MAX] = "";
    struct mk_service *s;
    unsigned code;

    if (!v->open || !v->c.link->up)
        return;
    switch (e->what) {
    case EVENT_OPEN:
        s = v->c.link->net->service;
        code = s->accept(s, &v->c, mk_buf_bytes(&e->bytes), detail);
        if (code != 0)
            mk_conv_close(&v->c, code, detail);
        break;
    case EVENT_MESSAGE:
        v->c.cbs->message(&v->c, mk_buf_bytes(&e->bytes));
        break;
    case EVENT_WRITABLE:
        v->c.cbs->writable(&v->c);
        break;
    case EVENT_CLOSE:
        v->open = false;
        v->c.cbs->closed(&v->c, e->code, "");
        break;
    case EVENT_DIAL:
    case EVENT_DOWN:
        break;
    }
}

static void turn_end(struct crowd_node *n)
{
    n->turning = true;
    mk_env_run_tasks(&n->env);
    n->turning = false;
}

static void event_fire(struct crowd *c, struct event *e)
{
    mk_heap_del(&c->events, &e->item);
    if (e->what == EVENT_DIAL)
        dial_meets(c, e->from, e->to);
    else if (e->what == EVENT_DOWN)
        link_down(e->link);
    else
        conv_event(e);
    mk_buf_done(&e->bytes);
    mk_free(e);
}

static bool step(struct crowd *c, uint64_t until_ns)
{
    const struct mk_heap_slot *t = mk_heap_top(&c->timers), *e = mk_heap_top(&c->events),
                              *u = mk_heap_top(&c->turns);

    if (u != NULL) {
        struct crowd_node *n = mk_container_of(u->item, struct crowd_node, turn);

        mk_heap_del(&c->turns, &n->turn);
        turn_end(n);
        return true;
    }
    if (e != NULL && e->at <= until_ns && (t == NULL || e->at <= t->at)) {
        c->now_ns = e->at > c->now_ns ? e->at : c->now_ns;
        event_fire(c, mk_container_of(e->item, struct event, item));
        return true;
    }
    if (t != NULL && t->at <= until_ns) {
        struct mk_timer *timer = mk_container_of(t->item, struct mk_timer, item);

        c->now_ns = t->at > c->now_ns ? t->at : c->now_ns;
        mk_heap_del(&c->timers, &timer->item);
        timer->armed = false;
        timer->cb(timer);
        return true;
    }
    return false;
}

void crowd_run(struct crowd *c, uint64_t ms)
{
    uint64_t until_ns = c->now_ns + ms * MK_MS;

    while (step(c, until_ns))
        ;
    c->now_ns = until_ns;
}

bool crowd_until(struct crowd *c, bool (*cond)(void *arg), void *arg, uint64_t ms)
{
    for (uint64_t i = 0; i <= ms / 10; i++) {
        if (cond(arg))
            return true;
        crowd_run(c, 10);
    }
    return false;
}

/* --- peers -------------------------------------------------------------------------------- */

struct crowd *crowd_new(uint64_t seed, unsigned n, uint32_t entries_max)
{
    struct crowd *c = mk_alloc(sizeof *c);

    c->n = n;
    c->entries_max = entries_max;
    c->nodes = mk_alloc(n * sizeof(struct crowd_node *));
    c->now_ns = MK_S;
    c->prng = prng_of(seed, 1);
    mk_list_init(&c->convs);
    mk_list_init(&c->links);
    mk_list_init(&c->gone);
    return c;
}

static void crowd_key(struct mk_key *k, unsigned i)
{
    uint8_t seed[32] = {(uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16), 0xc4};

    mk_key_from_seed(k, seed);
}

struct mk_peer crowd_peer(unsigned i)
{
    struct mk_peer peer;
    struct mk_key k;

    crowd_key(&k, i);
    peer = k.peer;
    mk_key_done(&k);
    return peer;
}

void crowd_start(struct crowd *c, unsigned i, bool publishes, const unsigned *hints,
                 unsigned n_hints)
{
    struct crowd_node *n = mk_alloc(sizeof *n);
    struct mk_discovery_options o = {.network = MK_UNIVERSE,
                                     .key = &n->key,
                                     .n_addresses = 1,
                                     .entries_max = c->entries_max,
                                     .observe_only = !publishes};
    char address[32];
    const char *addresses[1] = {address};

    MK_ASSERT(i < c->n && c->nodes[i] == NULL);
    mk_env_base_init(&n->env, &env_ops);
    n->crowd = c;
    n->i = i;
    n->entropy = prng_of(i, 2);
    crowd_key(&n->key, i);
    n->net = mk_alloc(sizeof *n->net);
    n->net->node = n;
    mk_list_init(&n->net->watches);
    mk_list_init(&n->net->links);
    snprintf(address, sizeof address, "n%u.in.net%u:1", i, i / 256);
    o.addresses = addresses;
    c->nodes[i] = n;
    MK_ASSERT(mk_discovery_open(&n->env, n->net, &n->d, &o) == 0);
    for (unsigned h = 0; h < n_hints; h++) {
        struct mk_peer peer = crowd_peer(hints[h]);

        snprintf(address, sizeof address, "n%u.in.net%u:1", hints[h], hints[h] / 256);
        mk_discovery_hint(n->d, &peer, address);
    }
}

/* The others hear of it when what it said last has arrived. */
static void leave_links(struct crowd_node *n)
{
    struct crowd *c = n->crowd;

    mk_list_each(i, &n->net->links)
    {
        struct mk_link *l = mk_container_of(i, struct mk_link, node);

        if (l->up)
            event_at(c, EVENT_DOWN, c->now_ns + l->delay_ns)->link = l->other;
        l->up = false;
    }
}

void crowd_stop(struct crowd *c, unsigned i, bool crashes)
{
    struct crowd_node *n = c->nodes[i];
    struct mk_list *l;

    if (n == NULL)
        return;
    c->nodes[i] = NULL;
    if (crashes)
        leave_links(n);
    mk_discovery_close(n->d);
    leave_links(n);
    while ((l = mk_list_pop(&n->net->links)) != NULL)
        mk_list_add_tail(&c->links, l);
    mk_heap_del(&c->turns, &n->turn);
    mk_env_drop_tasks(&n->env);
    mk_key_done(&n->key);
    n->d = NULL;
    mk_list_add_tail(&c->gone, &n->node);
}

void crowd_free(struct crowd *c)
{
    const struct mk_heap_slot *top;
    struct mk_list *n;

    for (unsigned i = 0; i < c->n; i++)
        crowd_stop(c, i, /* crashes= */ true);
    while ((top = mk_heap_top(&c->events)) != NULL) {
        struct event *e = mk_container_of(top->item, struct event, item);

        mk_heap_del(&c->events, &e->item);
        mk_buf_done(&e->bytes);
        mk_free(e);
    }
    while ((n = mk_list_pop(&c->convs)) != NULL)
        mk_free(mk_container_of(n, struct wire_conv, all));
    while ((n = mk_list_pop(&c->links)) != NULL)
        mk_free(mk_container_of(n, struct mk_link, node));
    while ((n = mk_list_pop(&c->gone)) != NULL) {
        mk_free(mk_container_of(n, struct crowd_node, node)->net);
        mk_free(mk_container_of(n, struct crowd_node, node));
    }
    mk_heap_done(&c->events);
    mk_heap_done(&c->timers);
    mk_heap_done(&c->turns);
    mk_free(c->nodes);
    mk_free(c);
}

void crowd_cut(struct crowd *c, unsigned a, unsigned b)
{
    struct mk_link *l = link_find(c->nodes[a]->net, &c->nodes[b]->key.peer);

    if (l == NULL)
        return;
    link_down(l->other);
    link_down(l);
}

const char *mk_close_text(unsigned code)
{
    return code == MK_CLOSE_NONE ? "closed" : "ended";
}

struct crowd_node *crowd_at(struct crowd *c, unsigned i)
{
    return c->nodes[i];
}

uint64_t crowd_ms(const struct crowd *c)
{
    return c->now_ns / MK_MS;
}

uint64_t crowd_draw(struct crowd *c, uint64_t below)
{
    return prng_below(&c->prng, below);
}

unsigned crowd_links(struct crowd *c, unsigned i)
{
    unsigned n = 0;

    mk_list_each(l, &c->nodes[i]->net->links) n++;
    return n;
}

void crowd_count_anew(struct crowd *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        if (c->nodes[i] != NULL)
            c->nodes[i]->messages = c->nodes[i]->bytes = 0;
    }
}
