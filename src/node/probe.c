/* probe.c - does any member that a bond is linked to run its deployment?
 *
 * A link says only that the peer is there. Who waits for a bond wants to know that the component
 * is: so a member is greeted as before a command ("exec"), and behind that under a name that
 * nobody serves. Both are answered in their order: when the second is refused and the first
 * stands, the deployment is run there, whoever is admitted to it. A member that does not run it
 * refuses the first by name, and the next one is asked. When all that are linked said so, the bond
 * is not ready, and they are asked again every second: the component may be on its way. */
#include "group/client_int.h"
#include "node/network.h"

#include <stdio.h>

#define AGAIN_MS 1000u
#define NOBODYS "any?" /* no service has this name */

static void ask_next(struct mk_bond *b);

static void no_message(struct mk_conv *c, struct mk_bytes m)
{
    mk_conv_consumed(c, m.n);
}

static void ended(struct mk_bond *b, bool elsewhere)
{
    struct mk_bond_probe *p = &b->probe;
    bool news = elsewhere && !p->elsewhere;

    p->asking = false;
    p->known = !elsewhere;
    p->elsewhere = elsewhere;
    if (elsewhere)
        mk_timer_start(b->network->env, &p->again, mk_now(b->network->env) + AGAIN_MS * MK_MS);
    if (news)
        mk_bond_note(b, &p->peer, p->close, p->detail);
    mk_bond_advance(b);
}

static void greeting_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct mk_bond_probe *p = c->owner;

    p->greeting = NULL;
    p->close = close;
    snprintf(p->detail, sizeof p->detail, "%s", detail != NULL ? detail : "");
}

static void behind_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct mk_bond_probe *p = c->owner;
    struct mk_bond *b = mk_container_of(p, struct mk_bond, probe);

    (void)close;
    (void)detail;
    p->behind = NULL;
    if (p->greeting == NULL && p->close == MK_CLOSE_OTHER_DEPLOYMENT) {
        ask_next(b);
        return;
    }
    if (p->greeting != NULL)
        mk_conv_close(p->greeting, MK_CLOSE_NONE, NULL);
    p->greeting = NULL;
    ended(b, /* elsewhere= */ false);
}

static int greet(struct mk_bond *b, struct mk_link *link)
{
    static const struct mk_conv_cbs greeting = {.message = no_message, .closed = greeting_closed};
    static const struct mk_conv_cbs behind = {.message = no_message, .closed = behind_closed};
    struct mk_bond_probe *p = &b->probe;
    struct mk_exec_hello hello = {.deployment = b->component.deployment,
                                  .stable_id = b->component.stable_id,
                                  .tickets = mk_component_tickets(&b->component),
                                  .epoch = mk_reader_epoch(b->memory)};
    struct mk_buf first = {0};
    int rv;

    p->peer = *mk_link_peer(link);
    p->close = MK_CLOSE_NONE;
    mk_encode(&first, &mk_exec_hello_type, &hello);
    rv = mk_conv_open(link, &p->greeting, "exec", mk_buf_bytes(&first), &greeting, p);
    mk_buf_done(&first);
    if (rv == 0)
        rv = mk_conv_open(link, &p->behind, NOBODYS, MK_BYTES("?", 1), &behind, p);
    return rv;
}

/* The next member that is linked; behind the last, all that were asked run something else. */
static void ask_next(struct mk_bond *b)
{
    struct mk_bond_probe *p = &b->probe;

    while (p->next < b->component.roster.peers.n) {
        struct mk_link *link =
            mk_net_link(b->network->net, &b->component.roster.peers.v[p->next++]);

        if (link == NULL)
            continue;
        if (greet(b, link) == 0)
            return;
        mk_bond_probe_end(b); /* the link is full, or going: nothing is known */
        ended(b, /* elsewhere= */ false);
        return;
    }
    ended(b, /* elsewhere= */ p->close == MK_CLOSE_OTHER_DEPLOYMENT);
}

void mk_bond_probe_begin(struct mk_bond *b)
{
    struct mk_bond_probe *p = &b->probe;

    if (p->asking || !b->bound)
        return;
    mk_timer_stop(&p->again);
    if (mk_bond_linked(b) == 0) { /* who comes is asked when somebody waits */
        p->known = p->elsewhere = false;
        return;
    }
    p->asking = true;
    p->next = 0;
    p->close = MK_CLOSE_NONE;
    ask_next(b);
}

static void again_cb(struct mk_timer *t)
{
    mk_bond_probe_begin(
        mk_container_of(mk_container_of(t, struct mk_bond_probe, again), struct mk_bond, probe));
}

void mk_bond_probe_init(struct mk_bond *b)
{
    b->probe.again.cb = again_cb;
}

void mk_bond_probe_end(struct mk_bond *b)
{
    struct mk_bond_probe *p = &b->probe;

    if (p->greeting != NULL)
        mk_conv_close(p->greeting, MK_CLOSE_NONE, NULL);
    if (p->behind != NULL)
        mk_conv_close(p->behind, MK_CLOSE_NONE, NULL);
    p->greeting = p->behind = NULL;
    mk_timer_stop(&p->again);
    p->asking = p->known = p->elsewhere = false;
}
