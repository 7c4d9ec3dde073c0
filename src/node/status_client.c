/* status_client.c - asking a node what it says of itself. */
#include "node/network.h"
#include <mosaik/node.h>

struct question {
    struct mk_wait wait;
    struct mk_network *network;
    struct mk_peer peer;
    struct mk_conv *conv;
    struct mk_buf *json;
};

static void answer_message(struct mk_conv *c, struct mk_bytes m)
{
    struct question *q = c->owner;

    mk_buf_put(q->json, m.p, m.n);
    q->wait.done = true;
}

static void answer_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct question *q = c->owner;

    q->conv = NULL;
    q->wait.done = true;
    q->wait.status = mk_fault(&q->wait.fault, MK_EUNREACHABLE, "%s%s%s", mk_close_text(close),
                              detail[0] != '\0' ? ": " : "", detail);
}

static const struct mk_conv_cbs answer_cbs = {.message = answer_message, .closed = answer_closed};

static bool linked(void *arg)
{
    const struct question *q = arg;

    return mk_net_link(q->network->net, &q->peer) != NULL;
}

static int ask(struct question *q, uint32_t timeout_ms, struct mk_fault *reterr)
{
    struct mk_env *e = q->network->env;
    char detail[MK_REASON_MAX];
    unsigned close;
    int rv;

    if (!mk_loop_run_until(e, linked, q, timeout_ms)) {
        mk_discovery_diagnose(q->network->discovery, &q->peer, &close, detail);
        return mk_fault(reterr, MK_EUNREACHABLE, "%s%s%s", mk_close_text(close),
                        detail[0] != '\0' ? ": " : "", detail);
    }
    rv = mk_conv_open(mk_net_link(q->network->net, &q->peer), &q->conv, "status", MK_BYTES(NULL, 0),
                      &answer_cbs, q);
    if (rv != 0)
        return mk_fault(reterr, rv, "%s", mk_strerror(rv));
    if (!mk_loop_run_until(e, mk_wait_done, &q->wait, timeout_ms))
        rv = mk_fault(reterr, MK_ETIMEDOUT, "linked, but no answer within %u ms", timeout_ms);
    else if (q->wait.status != 0 && reterr != NULL)
        *reterr = q->wait.fault;
    if (q->conv != NULL)
        mk_conv_close(q->conv, MK_CLOSE_NONE, NULL);
    return rv != 0 ? rv : q->wait.status;
}

int mk_node_ask_status(struct mk_network *n, struct mk_str address, uint32_t timeout_ms,
                       struct mk_buf *json, struct mk_fault *reterr)
{
    struct question q = {.network = n, .json = json};
    char host_port[MK_HOST_PORT_MAX];
    int rv = mk_net_parse_address(&q.peer, host_port, address, reterr);

    if (rv != 0)
        return rv;
    mk_discovery_want(n->discovery, &q.peer, host_port);
    rv = ask(&q, timeout_ms, reterr);
    mk_discovery_unwant(n->discovery, &q.peer);
    return rv;
}
