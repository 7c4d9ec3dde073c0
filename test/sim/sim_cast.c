/* Multicast of the simulated world: all nodes are on one local network. A datagram comes to every
 * cast of the same group, the sender's own too, after the link's delay; one of a cut link, or that
 * the link loses, never comes. */
#include "world_int.h"

#include <stdio.h>
#include <string.h>

struct sim_cast {
    struct mk_list node; /* in life->casts */
    struct sim_life *life;
    struct mk_cast *c;
    char group[64];
    struct mk_list flights;
};

struct flight {
    struct mk_list node; /* of the cast that it comes to */
    struct sim_event ev;
    struct sim_cast *to;
    struct mk_buf bytes;
    char from[16];
};

static void flight_free(struct flight *f)
{
    sim_event_cancel(&f->ev);
    mk_list_del(&f->node);
    mk_buf_done(&f->bytes);
    mk_free(f);
}

static void flight_fire(struct sim_event *ev)
{
    struct flight *f = mk_container_of(ev, struct flight, ev);
    struct sim_cast *to = f->to;

    sim_trace(to->life->w, SIM_READ, to->life->node->index, f->bytes.n, 0);
    mk_list_del(&f->node);
    to->c->got(to->c, mk_buf_bytes(&f->bytes), f->from);
    mk_buf_done(&f->bytes);
    mk_free(f);
}

int sim_cast_open(struct mk_env *e, struct mk_cast *c, const char *group, const char *interface,
                  struct mk_fault *reterr)
{
    struct sim_cast *u;

    if (strcmp(interface, "*") != 0)
        return mk_fault(reterr, MK_ENOTFOUND, "no interface %s", interface);
    u = mk_alloc(sizeof *u);
    u->life = sim_life_of(e);
    u->c = c;
    snprintf(u->group, sizeof u->group, "%s", group);
    mk_list_init(&u->flights);
    mk_list_add_tail(&u->life->casts, &u->node);
    c->impl = u;
    return 0;
}

static void send_to(struct sim_cast *from, struct sim_cast *to, struct mk_bytes datagram)
{
    struct world *w = from->life->w;
    const struct sim_link *l = sim_link_of(w, from->life->node, to->life->node);
    struct flight *f;

    if (l->cut || prng_below(&w->prng[SIM_NET], 1000000) < l->set.loss_ppm)
        return;
    f = mk_alloc(sizeof *f);
    f->to = to;
    f->ev = (struct sim_event){.kind = SIM_READ, .fire = flight_fire};
    mk_buf_put(&f->bytes, datagram.p, datagram.n);
    snprintf(f->from, sizeof f->from, "n%u", from->life->node->index);
    mk_list_add_tail(&to->flights, &f->node);
    sim_event_at(w, to->life, &f->ev,
                 w->now_ns + sim_net_delay(w, from->life->node, to->life->node));
}

void sim_cast_send(struct mk_cast *c, struct mk_bytes datagram)
{
    struct sim_cast *u = c->impl;

    for (unsigned i = 0; i < WORLD_NODES_MAX && !u->life->dead; i++) {
        struct sim_node *n = u->life->w->nodes[i];

        if (n == NULL || n->life == NULL)
            continue;
        mk_list_each(p, &n->life->casts)
        {
            struct sim_cast *to = mk_container_of(p, struct sim_cast, node);

            if (strcmp(to->group, u->group) == 0)
                send_to(u, to, datagram);
        }
    }
}

static void cast_free(struct sim_cast *u)
{
    while (!mk_list_empty(&u->flights))
        flight_free(mk_container_of(u->flights.next, struct flight, node));
    mk_list_del(&u->node);
    mk_free(u);
}

void sim_cast_close(struct mk_cast *c)
{
    cast_free(c->impl);
}

void sim_casts_free(struct sim_life *l)
{
    mk_list_each(n, &l->casts)
    {
        struct sim_cast *u = mk_container_of(n, struct sim_cast, node);

        cast_free(u);
    }
}
