/* trace.c - the protocol "trace": a member's course of one write, for who sends it.
 *
 *   open:  'A' stable id   note the next commands of mine           answer: {}
 *   open:  'R' stable id   what became of the last of them here     answer: {index, steps: {name:
 * us}}
 *
 * Anybody may ask, and learns nothing but of commands that he sent himself. */
#include "node/node.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static struct mk_host *host_named(struct mk_node *n, const struct mk_bytes stable_id)
{
    mk_list_each(p, &n->hosts)
    {
        struct mk_host *h = mk_container_of(p, struct mk_host, node);

        if (mk_bytes_eq(stable_id, MK_ID_BYTES(&h->stable_id)))
            return h;
    }
    return NULL;
}

static json_t *report(const struct mk_host *h, const struct mk_peer *sender)
{
    json_t *o = json_object(), *steps = json_object();
    struct mk_trace t = {0};

    mk_group_traced(h->group, sender, &t);
    json_object_set_new(o, "index", json_integer((json_int_t)t.index));
    json_object_set_new(o, "leads", json_boolean(mk_host_leads(h)));
    for (unsigned i = 0; i < MK_TRACE_STEPS; i++) {
        if (t.at_us[i] > 0)
            json_object_set_new(steps, mk_trace_step_name(i), json_integer((json_int_t)t.at_us[i]));
    }
    json_object_set_new(o, "steps", steps);
    return o;
}

static void conv_message(struct mk_conv *c, struct mk_bytes m)
{
    (void)m; /* the question was the opening */
    mk_conv_close(c, MK_CLOSE_MALFORMED, "trace takes no messages");
}

static void conv_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    (void)c;
    (void)close;
    (void)detail;
}

static const struct mk_conv_cbs conv_cbs = {.message = conv_message, .closed = conv_closed};

static unsigned trace_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                             char detail[MK_REASON_MAX])
{
    struct mk_node *n = mk_container_of(s, struct mk_node, trace);
    struct mk_reader r = {.p = first.p, .n = first.n};
    uint8_t verb = mk_read_u8(&r);
    struct mk_bytes id = mk_read_bytes(&r, 32);
    struct mk_host *h;
    json_t *o;
    char *text;
    int rv;

    (void)detail;
    if (r.failed || r.n > 0 || (verb != 'A' && verb != 'R'))
        return MK_CLOSE_MALFORMED;
    h = host_named(n, id);
    if (h == NULL)
        return MK_CLOSE_NOT_FOUND;
    if (verb == 'A')
        mk_group_trace(h->group, mk_link_peer(c->link));
    o = verb == 'A' ? json_object() : report(h, mk_link_peer(c->link));
    c->cbs = &conv_cbs;
    text = json_dumps(o, JSON_COMPACT);
    rv = mk_conv_send(c, MK_BYTES(text, strlen(text)));
    free(text); /* tidy: ok, jansson made it */
    json_decref(o);
    return rv == 0 ? 0 : MK_CLOSE_SLOW;
}

int mk_trace_serve(struct mk_node *n)
{
    n->trace.proto = "trace";
    n->trace.accept = trace_accept;
    return mk_net_serve(n->network->net, &n->trace);
}
