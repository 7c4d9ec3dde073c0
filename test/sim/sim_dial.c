/* Listening and dialing in the simulated world.
 *
 * A dial sends a SYN, which is the kernels' business: it needs the link and a node that
 * is up, not one that runs. At a node that listens it makes the connection: accept() is
 * an event there, the answer one here. At one that does not, the answer is a refusal.
 * With the link cut or the node down it is sent again each second, until the five
 * seconds are over. */
#include "world_int.h"

#include <stdio.h>
#include <string.h>

#define DIAL_TIMEOUT (5 * MK_S)
#define SYN_AGAIN (1 * MK_S)
#define PORT_FIRST 20000u /* what port 0 picks from */

struct sim_listener {
    struct mk_list node; /* in life->listeners */
    struct mk_listener *l;
    uint16_t port;
};

struct sim_dial {
    struct mk_connect *c;
    struct sim_life *life;
    unsigned to; /* WORLD_NODES_MAX: a name nobody knows */
    uint16_t port;
    struct sim_conn *conn; /* made, and our end not yet handed out */
    int status;
    struct sim_event syn, answer, timeout;
};

/* "n12", or a way to say oneself. */
static unsigned host_node(const char *host, unsigned self)
{
    unsigned v = 0;

    if (strcmp(host, "127.0.0.1") == 0 || strcmp(host, "0.0.0.0") == 0 ||
        strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0)
        return self;
    if (host[0] != 'n' || host[1] == 0)
        return WORLD_NODES_MAX;
    for (const char *p = host + 1; *p != 0; p++) {
        if (*p < '0' || *p > '9' || v >= WORLD_NODES_MAX)
            return WORLD_NODES_MAX;
        v = 10 * v + (unsigned)(*p - '0');
    }
    return v < WORLD_NODES_MAX ? v : WORLD_NODES_MAX;
}

/* --- listening ----------------------------------------------------------------------- */

static struct sim_listener *listener_find(struct sim_life *l, uint16_t port)
{
    mk_list_each(n, &l->listeners)
    {
        struct sim_listener *sl = mk_container_of(n, struct sim_listener, node);

        if (sl->port == port)
            return sl;
    }
    return NULL;
}

int sim_listen(struct mk_env *e, struct mk_listener *l, const char *address,
               struct mk_fault *reterr)
{
    struct sim_life *life = sim_life_of(e);
    struct sim_listener *sl;
    char host[MK_HOST_MAX];
    uint16_t port;

    if (mk_address_split(address, host, &port) != 0)
        return mk_fault(reterr, MK_EINVALID, "%s is not host:port", address);
    if (host_node(host, life->node->index) != life->node->index)
        return mk_fault(reterr, MK_EIO, "cannot listen on %s: not an address of this node",
                        address);
    for (uint32_t p = PORT_FIRST; port == 0; p++) {
        if (listener_find(life, (uint16_t)p) == NULL)
            port = (uint16_t)p;
    }
    if (listener_find(life, port) != NULL)
        return mk_fault(reterr, MK_EEXISTS, "cannot listen on %s: in use", address);
    sl = mk_alloc(sizeof(*sl));
    sl->l = l;
    sl->port = port;
    mk_list_add_tail(&life->listeners, &sl->node);
    l->impl = sl;
    return 0;
}

uint16_t sim_listener_port(const struct mk_listener *l)
{
    return ((const struct sim_listener *)l->impl)->port;
}

void sim_listener_close(struct mk_listener *l)
{
    struct sim_listener *sl = l->impl;

    mk_list_del(&sl->node);
    mk_free(sl);
}

void sim_listeners_free(struct sim_life *l)
{
    struct mk_list *n;

    while ((n = mk_list_pop(&l->listeners)) != NULL)
        mk_free(mk_container_of(n, struct sim_listener, node));
}

bool sim_accept(struct sim_life *l, struct sim_conn *c, uint16_t port)
{
    struct sim_listener *sl = listener_find(l, port);

    if (sl == NULL)
        return false;
    sl->l->accept(sl->l, sim_conn_sock(c, 1));
    return true;
}

/* --- dialing --------------------------------------------------------------------------- */

static void dial_free(struct sim_dial *d)
{
    sim_event_cancel(&d->syn);
    sim_event_cancel(&d->answer);
    sim_event_cancel(&d->timeout);
    mk_free(d);
}

static void dial_end(struct sim_dial *d, struct mk_sock *s, int status)
{
    struct mk_connect *c = d->c;

    sim_trace(d->life->w, SIM_CONNECTED, d->life->node->index, d->to, status == 0);
    dial_free(d);
    c->impl = NULL;
    c->cb(c, s, status);
    MK_ASSERT(s == NULL || status == 0);
}

static void timeout_fire(struct sim_event *ev)
{
    struct sim_dial *d = mk_container_of(ev, struct sim_dial, timeout);

    if (d->conn != NULL)
        sim_conn_refuse(d->conn, 0);
    dial_end(d, NULL, MK_EUNREACHABLE);
}

static void timeout_drop(struct sim_event *ev)
{
    dial_free(mk_container_of(ev, struct sim_dial, timeout));
}

static void answer_fire(struct sim_event *ev)
{
    struct sim_dial *d = mk_container_of(ev, struct sim_dial, answer);
    struct sim_conn *c = d->conn;

    if (c == NULL) {
        dial_end(d, NULL, d->status);
        return;
    }
    sim_conn_ref(c);
    dial_end(d, sim_conn_sock(c, 0), 0);
    sim_conn_unref(c);
}

static void syn_fire(struct sim_event *ev)
{
    struct sim_dial *d = mk_container_of(ev, struct sim_dial, syn);
    struct world *w = ev->w;
    struct sim_node *from = d->life->node, *to = w->nodes[d->to];
    uint64_t at_ns;

    if (to == NULL || to->life == NULL || sim_link_of(w, from, to)->cut ||
        sim_link_of(w, to, from)->cut) {
        sim_event_at(w, NULL, &d->syn, w->now_ns + SYN_AGAIN);
        return;
    }
    at_ns = w->now_ns + sim_net_delay(w, to, from);
    if (listener_find(to->life, d->port) != NULL)
        d->conn = sim_conn_new(w, d->life, to->life, d->port, at_ns);
    else
        d->status = MK_EUNREACHABLE;
    sim_event_at(w, d->life, &d->answer, at_ns);
}

int sim_connect(struct mk_env *e, struct mk_connect *c, const char *address)
{
    struct sim_life *l = sim_life_of(e);
    struct world *w = l->w;
    struct sim_dial *d;
    char host[MK_HOST_MAX];
    uint16_t port;

    if (mk_address_split(address, host, &port) != 0 || port == 0)
        return MK_EINVALID;
    if (l->dead)
        return 0;
    d = mk_alloc(sizeof(*d));
    d->c = c;
    d->life = l;
    d->port = port;
    d->to = host_node(host, l->node->index);
    d->syn = (struct sim_event){.kind = SIM_SYN, .fire = syn_fire};
    d->answer = (struct sim_event){.kind = SIM_CONNECTED, .fire = answer_fire};
    d->timeout =
        (struct sim_event){.kind = SIM_CONNECTED, .fire = timeout_fire, .drop = timeout_drop};
    c->impl = d;
    sim_event_at(w, l, &d->timeout, w->now_ns + DIAL_TIMEOUT);
    if (d->to == WORLD_NODES_MAX) {
        d->status = MK_EUNREACHABLE;
        sim_event_at(w, l, &d->answer, w->now_ns + MK_MS);
    } else {
        sim_event_at(w, NULL, &d->syn,
                     w->now_ns + sim_net_delay(w, l->node, sim_node_get(w, d->to)));
    }
    return 0;
}

void sim_connect_cancel(struct mk_connect *c)
{
    struct sim_dial *d = c->impl;

    if (sim_life_of(c->env)->dead)
        return; /* went with the life's events */
    if (d->conn != NULL)
        sim_conn_refuse(d->conn, 0);
    dial_free(d);
}
