/* Connections of the simulated world.
 *
 *     end 0 (dialer)                         end 1 (listener)
 *       queue --flush--> segs --arrive-->      read()
 *       read()  <--arrive-- segs <--flush--    queue
 *
 * Each direction is a queue of bytes written but not sent, and a FIFO of segments under
 * way, of which only the first has an event; so the bytes of a connection keep their
 * order whatever delays are drawn. At most WINDOW bytes are under way or unread; the
 * rest waits in the queue and makes mk_sock_write() say MK_EFULL in the end.
 *
 * What can happen: the link is cut (the first segment is tried again and again, and the
 * sender gives up after seconds, or never); the other side closed, or crashed and came
 * back (the sender is reset); it crashed and stayed away (silence, then giving up). A
 * severed connection carries nothing any more; each end finds out in its own time.
 *
 * A connection is freed when nobody has either end. */
#include "world_int.h"

#include <stdio.h>
#include <string.h>

#define WINDOW (256u << 10)
#define SEGMENT_MAX (64u << 10)
#define PROBE (1 * MK_S) /* how often a lost peer is asked again */

enum seg_kind { SEG_DATA, SEG_FIN, SEG_RESET };

struct seg {
    struct mk_list node;
    uint64_t at_ns;
    enum seg_kind kind;
    size_t n;
    uint8_t bytes[];
};

struct end {
    struct sim_conn *conn;
    struct end *other;
    struct sim_node *node;
    struct sim_life *life; /* NULL: crashed */
    struct sim_sock *sock; /* NULL: not yet taken, or closed */
    bool open;             /* somebody has the sock, or will */
    bool ended, paused, full;
    bool undelivered; /* something was sent to nobody */
    bool patient;     /* never gives up */
    bool vouched;
    struct mk_peer self;
    struct mk_buf queue;
    size_t unacked;
    struct mk_list segs; /* from here to the other */
    uint64_t last_at_ns;
    struct sim_event arrive; /* the first of segs, at the other's node */
    struct sim_event pump;   /* the other read something, or is to be asked again */
    struct sim_event giveup;
    struct sim_event broken; /* this end hears of the break */
};

struct sim_conn {
    struct world *w;
    struct mk_list node; /* in world->conns */
    struct end ends[2];
    unsigned refs; /* callbacks under way */
    bool severed;
    uint16_t port;
    struct sim_event accept;
};

struct sim_sock {
    struct mk_sock base; /* first */
    struct end *end;     /* NULL: the life ended */
    struct mk_list of_life, dirty;
    char remote[32];
};

static struct sim_sock *sock_of(const struct mk_sock *s)
{
    return s->impl;
}

struct sim_link *sim_link_of(struct world *w, const struct sim_node *from,
                             const struct sim_node *to)
{
    return &w->links[from->index][to->index];
}

static bool cut(const struct end *from)
{
    return sim_link_of(from->conn->w, from->node, from->other->node)->cut;
}

/* One way, retransmissions included. */
uint64_t sim_net_delay(struct world *w, const struct sim_node *from, const struct sim_node *to)
{
    const struct world_link *l = &sim_link_of(w, from, to)->set;
    struct prng *p = &w->prng[SIM_NET];
    uint64_t d = 1000 * prng_delay(p, l->min_us, l->mean_us);

    for (unsigned k = 0; k < 5 && l->loss_ppm > 0 && prng_below(p, 1000000) < l->loss_ppm; k++)
        d += SIM_RTO << k;
    return d;
}

/* --- the life of a connection ------------------------------------------------------------ */

static void drop_segs(struct end *e)
{
    struct mk_list *n;

    while ((n = mk_list_pop(&e->segs)) != NULL)
        mk_free(mk_container_of(n, struct seg, node));
    sim_event_cancel(&e->arrive);
}

static void end_done(struct end *e)
{
    drop_segs(e);
    mk_buf_done(&e->queue);
    sim_event_cancel(&e->pump);
    sim_event_cancel(&e->giveup);
    sim_event_cancel(&e->broken);
}

static void conn_check_free(struct sim_conn *c)
{
    if (c->refs > 0 || c->ends[0].open || c->ends[1].open)
        return;
    sim_event_cancel(&c->accept);
    end_done(&c->ends[0]);
    end_done(&c->ends[1]);
    mk_list_del(&c->node);
    mk_free(c);
}

void sim_conn_ref(struct sim_conn *c)
{
    c->refs++;
}

void sim_conn_unref(struct sim_conn *c)
{
    c->refs--;
    conn_check_free(c);
}

/* Nothing travels on it any more. */
static void conn_sever(struct sim_conn *c)
{
    c->severed = true;
    drop_segs(&c->ends[0]);
    drop_segs(&c->ends[1]);
}

static void end_tell_broken(struct end *e, uint64_t at_ns)
{
    if (e->open && !e->ended && e->life != NULL && !e->broken.scheduled)
        sim_event_at(e->conn->w, e->life, &e->broken, at_ns);
}

static void broken_fire(struct sim_event *ev)
{
    struct end *e = mk_container_of(ev, struct end, broken);
    struct sim_conn *c = e->conn;

    if (e->ended || e->sock == NULL)
        return;
    sim_conn_ref(c);
    conn_sever(c);
    e->ended = true;
    sim_trace(c->w, SIM_END, e->node->index, 1, 0);
    e->sock->base.cbs->end(&e->sock->base, MK_EIO);
    sim_conn_unref(c);
}

/* The sender's patience begins to run. */
static void end_wait(struct end *e)
{
    struct prng *p = &e->conn->w->prng[SIM_NET];

    if (!e->open || e->ended || e->life == NULL || e->giveup.scheduled || e->patient)
        return;
    if (prng_one_in(p, 4))
        e->patient = true;
    else
        sim_event_at(e->conn->w, e->life, &e->giveup,
                     e->conn->w->now_ns + 3 * MK_S + prng_below(p, 12 * MK_S));
}

static void giveup_fire(struct sim_event *ev)
{
    struct end *e = mk_container_of(ev, struct end, giveup);
    bool stuck = cut(e) || cut(e->other) || e->other->life == NULL;

    if (stuck && (e->undelivered || e->unacked > 0))
        end_tell_broken(e, e->conn->w->now_ns);
}

/* Something was sent to an end that is not there. */
static void end_sent_to_nobody(struct end *e)
{
    struct world *w = e->conn->w;
    bool answers = e->other->node->life != NULL && !cut(e) && !cut(e->other);
    uint64_t at;

    e->undelivered = true;
    if (!answers) {
        end_wait(e);
        if (e->open && !e->ended && e->life != NULL && !e->pump.scheduled)
            sim_event_at(w, e->life, &e->pump, w->now_ns + PROBE);
        return;
    }
    at = w->now_ns + sim_net_delay(w, e->node, e->other->node) +
         sim_net_delay(w, e->other->node, e->node);
    end_tell_broken(e, at > e->other->last_at_ns ? at : e->other->last_at_ns + 1);
}

/* --- segments ------------------------------------------------------------------------------ */

static bool reachable(const struct end *e)
{
    return !e->conn->severed && e->other->open && e->other->life != NULL;
}

/* The first segment gets its event, if somebody is there to take it. */
static void end_schedule(struct end *e)
{
    struct seg *first;

    if (mk_list_empty(&e->segs) || e->arrive.scheduled || !reachable(e) || e->other->paused)
        return;
    first = mk_container_of(e->segs.next, struct seg, node);
    sim_event_at(e->conn->w, e->other->life, &e->arrive, first->at_ns);
}

static void end_send(struct end *e, enum seg_kind kind, const void *p, size_t n)
{
    struct world *w = e->conn->w;
    struct sim_link *l = sim_link_of(w, e->node, e->other->node);
    struct seg *s = mk_alloc(sizeof(*s) + n);
    uint64_t leaves = w->now_ns;

    if (l->set.bytes_per_s > 0) {
        leaves = l->busy_until_ns > leaves ? l->busy_until_ns : leaves;
        leaves += (n + 60) * MK_S / l->set.bytes_per_s;
        l->busy_until_ns = leaves;
    }
    s->kind = kind;
    s->n = n;
    if (n > 0)
        memcpy(s->bytes, p, n);
    s->at_ns = leaves + sim_net_delay(w, e->node, e->other->node);
    if (s->at_ns <= e->last_at_ns)
        s->at_ns = e->last_at_ns + 1;
    e->last_at_ns = s->at_ns;
    e->unacked += n;
    mk_list_add_tail(&e->segs, &s->node);
    end_schedule(e);
}

/* Sends what the window allows, in pieces that the receiver cannot foresee. */
static void end_flush(struct end *e)
{
    struct prng *p = &e->conn->w->prng[SIM_NET];
    size_t room = e->unacked < WINDOW ? WINDOW - e->unacked : 0;
    size_t n = e->queue.n < room ? e->queue.n : room, sent = 0;

    if (e->queue.n > 0 && !reachable(e)) {
        mk_buf_clear(&e->queue);
        end_sent_to_nobody(e);
        return;
    }
    while (sent < n) {
        size_t piece = n - sent < SEGMENT_MAX ? n - sent : SEGMENT_MAX;

        if (prng_one_in(p, 8))
            piece = 1 + prng_below(p, piece);
        end_send(e, SEG_DATA, e->queue.p + sent, piece);
        sent += piece;
    }
    if (sent > 0)
        mk_buf_drop_front(&e->queue, sent);
    if (e->full && e->queue.n <= MK_SOCK_QUEUE_MAX / 2 && e->sock != NULL && !e->ended) {
        e->full = false;
        e->sock->base.cbs->writable(&e->sock->base);
    }
}

static void pump_fire(struct sim_event *ev)
{
    struct end *e = mk_container_of(ev, struct end, pump);
    struct sim_conn *c = e->conn;

    if (e->ended || !e->open)
        return;
    sim_conn_ref(c);
    if (e->undelivered) {
        end_sent_to_nobody(e);
    } else if (cut(e->other)) { /* the acknowledgements are lost */
        end_wait(e);
        sim_event_at(c->w, e->life, &e->pump, c->w->now_ns + SIM_RTO);
    } else {
        end_flush(e);
    }
    sim_conn_unref(c);
}

/* to has taken n bytes that from had sent. */
static void end_acked(struct end *from, size_t n)
{
    struct world *w = from->conn->w;

    from->unacked -= n;
    from->patient = false;
    if (from->open && from->life != NULL && (from->queue.n > 0 || from->full) &&
        !from->pump.scheduled)
        sim_event_at(w, from->life, &from->pump,
                     w->now_ns + sim_net_delay(w, from->other->node, from->node));
}

static void end_deliver(struct end *from, struct seg *s)
{
    struct end *to = from->other;
    struct mk_sock *sock = &to->sock->base;
    struct world *w = from->conn->w;

    switch (s->kind) {
    case SEG_DATA:
        sim_trace(w, SIM_READ, to->node->index, from->node->index, s->n);
        sim_trace_bytes(w, s->bytes, s->n);
        sock->cbs->read(sock, s->bytes, s->n);
        end_acked(from, s->n);
        break;
    case SEG_FIN:
    case SEG_RESET:
        to->ended = true;
        sim_trace(w, SIM_END, to->node->index, s->kind == SEG_RESET, 0);
        sock->cbs->end(sock, s->kind == SEG_FIN ? 0 : MK_EIO);
        break;
    }
}

static void arrive_fire(struct sim_event *ev)
{
    struct end *e = mk_container_of(ev, struct end, arrive), *to = e->other;
    struct sim_conn *c = e->conn;
    struct seg *s = mk_container_of(e->segs.next, struct seg, node);

    MK_ASSERT(!mk_list_empty(&e->segs));
    if (cut(e)) {
        s->at_ns = c->w->now_ns + SIM_RTO;
        if (e->last_at_ns < s->at_ns)
            e->last_at_ns = s->at_ns;
        end_wait(e);
        end_schedule(e);
        return;
    }
    if (to->paused) /* resuming schedules it again */
        return;
    mk_list_del(&s->node);
    sim_conn_ref(c);
    if (to->ended || to->sock == NULL)
        end_sent_to_nobody(e);
    else
        end_deliver(e, s);
    mk_free(s);
    end_schedule(e);
    sim_conn_unref(c);
}

/* --- ends ------------------------------------------------------------------------------------ */

static void end_init(struct sim_conn *c, unsigned i, struct sim_life *l)
{
    struct end *e = &c->ends[i];

    e->conn = c;
    e->other = &c->ends[1 - i];
    e->node = l->node;
    e->life = l;
    e->open = true;
    e->vouched = l->vouched;
    e->self = l->self;
    mk_list_init(&e->segs);
    e->arrive = (struct sim_event){.kind = SIM_READ, .fire = arrive_fire};
    e->pump = (struct sim_event){.kind = SIM_PUMP, .fire = pump_fire};
    e->giveup = (struct sim_event){.kind = SIM_PUMP, .fire = giveup_fire};
    e->broken = (struct sim_event){.kind = SIM_END, .fire = broken_fire};
}

/* Closes this end's sending side; the last words go first when they fit. */
static void end_close(struct end *e)
{
    enum seg_kind last;

    if (!e->ended && reachable(e)) {
        e->full = false;
        end_flush(e);
        last = e->queue.n > 0 ? SEG_RESET : SEG_FIN;
        end_send(e, last, NULL, 0);
    }
    mk_buf_done(&e->queue);
    e->open = false;
    e->sock = NULL;
    sim_event_cancel(&e->pump);
    sim_event_cancel(&e->giveup);
    sim_event_cancel(&e->broken);
    drop_segs(e->other); /* nobody reads them */
    conn_check_free(e->conn);
}

static void accept_fire(struct sim_event *ev)
{
    struct sim_conn *c = mk_container_of(ev, struct sim_conn, accept);
    struct sim_life *l = c->ends[1].life;

    sim_conn_ref(c);
    if (!sim_accept(l, c, c->port))
        sim_conn_refuse(c, 1);
    sim_conn_unref(c);
}

struct sim_conn *sim_conn_new(struct world *w, struct sim_life *dialer, struct sim_life *listener,
                              uint16_t port, uint64_t answer_at_ns)
{
    struct sim_conn *c = mk_alloc(sizeof(*c));

    c->w = w;
    c->port = port;
    mk_list_add_tail(&w->conns, &c->node);
    end_init(c, 0, dialer);
    end_init(c, 1, listener);
    c->ends[1].last_at_ns = answer_at_ns; /* nothing overtakes the answer */
    c->accept = (struct sim_event){.kind = SIM_ACCEPT, .fire = accept_fire};
    sim_event_at(w, listener, &c->accept, w->now_ns);
    return c;
}

struct mk_sock *sim_conn_sock(struct sim_conn *c, unsigned i)
{
    struct end *e = &c->ends[i];
    struct sim_sock *s = mk_alloc(sizeof(*s));

    MK_ASSERT(e->open && e->sock == NULL && e->life != NULL);
    s->base.env = &e->life->base;
    s->base.impl = s;
    s->end = e;
    mk_list_add_tail(&e->life->socks, &s->of_life);
    mk_list_init(&s->dirty);
    /* the dialer's port is any number that tells connections apart */
    snprintf(s->remote, sizeof(s->remote), "n%u:%u", e->other->node->index,
             i == 0 ? c->port : 32768 + (unsigned)(c->w->n_events % 28000));
    e->sock = s;
    return &s->base;
}

void sim_conn_refuse(struct sim_conn *c, unsigned i)
{
    struct end *e = &c->ends[i];

    if (!e->open)
        return;
    MK_ASSERT(e->sock == NULL);
    if (reachable(e))
        end_send(e, SEG_RESET, NULL, 0);
    e->ended = true;
    end_close(e);
}

/* --- the socket calls --------------------------------------------------------------------------
 */

int sim_sock_write(struct mk_sock *base, const void *p, size_t n)
{
    struct sim_sock *s = sock_of(base);
    struct end *e = s->end;

    if (e == NULL || e->ended)
        return MK_ECLOSED;
    if (n == 0)
        return 0;
    mk_buf_put(&e->queue, p, n);
    if (mk_list_empty(&s->dirty))
        mk_list_add_tail(&e->life->dirty, &s->dirty);
    sim_life_need_turn(e->life);
    if (e->queue.n <= MK_SOCK_QUEUE_MAX)
        return 0;
    e->full = true;
    return MK_EFULL;
}

void sim_net_flush(struct sim_life *l)
{
    struct mk_list *n;

    while ((n = mk_list_pop(&l->dirty)) != NULL) {
        struct sim_sock *s = mk_container_of(n, struct sim_sock, dirty);
        struct sim_conn *c = s->end->conn;

        sim_conn_ref(c);
        if (!s->end->ended)
            end_flush(s->end);
        sim_conn_unref(c);
    }
}

size_t sim_sock_queued(const struct mk_sock *s)
{
    return sock_of(s)->end == NULL ? 0 : sock_of(s)->end->queue.n;
}

void sim_sock_pause(struct mk_sock *base, bool paused)
{
    struct end *e = sock_of(base)->end;

    if (e == NULL || e->paused == paused)
        return;
    e->paused = paused;
    if (paused)
        sim_event_cancel(&e->other->arrive);
    else
        end_schedule(e->other);
}

void sim_sock_close(struct mk_sock *base)
{
    struct sim_sock *s = sock_of(base);

    mk_list_del(&s->of_life);
    mk_list_del(&s->dirty);
    if (s->end != NULL)
        end_close(s->end);
    mk_free(s);
}

const char *sim_sock_remote(const struct mk_sock *s)
{
    return sock_of(s)->remote;
}

int sim_sock_vouched(const struct mk_sock *s, struct mk_peer *ret)
{
    const struct end *e = sock_of(s)->end;

    if (e == NULL || !e->other->vouched)
        return MK_ENOTFOUND;
    *ret = e->other->self;
    return 0;
}

void sim_vouch(struct mk_env *env, const struct mk_peer *self)
{
    struct sim_life *l = sim_life_of(env);

    l->self = *self;
    l->vouched = true;
}

void sim_socks_free(struct sim_life *l)
{
    while (!mk_list_empty(&l->socks))
        sim_sock_close(&mk_container_of(l->socks.next, struct sim_sock, of_life)->base);
}

/* --- faults --------------------------------------------------------------------------------------
 */

/* The machine is gone, or only the process: then its kernel ends what it had open. */
static void end_leave(struct end *e, bool told)
{
    struct world *w = e->conn->w;

    if (e->sock != NULL)
        e->sock->end = NULL;
    if (told && !e->ended && reachable(e))
        end_send(e, prng_one_in(&w->prng[SIM_NET], 2) ? SEG_FIN : SEG_RESET, NULL, 0);
    e->life = NULL;
    e->ended = true;
    end_close(e);
}

void sim_net_leave(struct sim_life *l, bool told)
{
    mk_list_each(n, &l->w->conns)
    {
        struct sim_conn *c = mk_container_of(n, struct sim_conn, node);

        sim_conn_ref(c);
        for (unsigned i = 0; i < 2; i++) {
            if (c->ends[i].life == l)
                end_leave(&c->ends[i], told);
        }
        sim_conn_unref(c);
    }
    mk_list_init(&l->dirty);
    mk_list_each(s, &l->socks) mk_list_init(&mk_container_of(s, struct sim_sock, of_life)->dirty);
}

void world_break(struct world *w, unsigned a, unsigned b)
{
    struct prng *p = &w->prng[SIM_NET];

    mk_list_each(n, &w->conns)
    {
        struct sim_conn *c = mk_container_of(n, struct sim_conn, node);
        unsigned x = c->ends[0].node->index, y = c->ends[1].node->index;

        if (!((x == a && y == b) || (x == b && y == a)))
            continue;
        conn_sever(c);
        for (unsigned i = 0; i < 2; i++) {
            uint64_t kind = prng_below(p, 8);

            if (kind < 6)
                end_tell_broken(&c->ends[i], w->now_ns + prng_below(p, 2 * MK_MS));
            else if (kind == 6)
                end_tell_broken(&c->ends[i], w->now_ns + MK_S + prng_below(p, 9 * MK_S));
        }
    }
}

static void links_each(struct world *w, unsigned from, unsigned to,
                       void (*cb)(struct sim_link *l, const void *arg), const void *arg)
{
    for (unsigned f = 0; f < WORLD_NODES_MAX; f++) {
        for (unsigned t = 0; t < WORLD_NODES_MAX; t++) {
            if ((from == WORLD_ALL || from == f) && (to == WORLD_ALL || to == t))
                cb(&w->links[f][t], arg);
        }
    }
}

static void link_set_cb(struct sim_link *l, const void *arg)
{
    l->set = *(const struct world_link *)arg;
}

static void link_cut_cb(struct sim_link *l, const void *arg)
{
    l->cut = *(const bool *)arg;
}

void world_link(struct world *w, unsigned from, unsigned to, struct world_link link)
{
    links_each(w, from, to, link_set_cb, &link);
}

void world_cut(struct world *w, unsigned from, unsigned to)
{
    links_each(w, from, to, link_cut_cb, &(bool){true});
}

void world_mend(struct world *w, unsigned from, unsigned to)
{
    links_each(w, from, to, link_cut_cb, &(bool){false});
}

void world_partition(struct world *w, uint64_t side)
{
    for (unsigned f = 0; f < WORLD_NODES_MAX; f++) {
        for (unsigned t = 0; t < WORLD_NODES_MAX; t++) {
            if ((side >> f & 1) != (side >> t & 1))
                w->links[f][t].cut = true;
        }
    }
}

void world_isolate(struct world *w, unsigned i)
{
    world_partition(w, 1ull << i);
}

void world_heal(struct world *w)
{
    world_mend(w, WORLD_ALL, WORLD_ALL);
}
