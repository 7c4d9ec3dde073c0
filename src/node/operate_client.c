/* operate_client.c - asking a committee for another roster, or another leader. */
#include "group/state.h"
#include "node/network.h"
#include <mosaik/node.h>

struct question {
    struct mk_wait wait;
    struct mk_network *network;
    struct mk_peer peer;
    struct mk_conv *conv;
};

static void answer_message(struct mk_conv *c, struct mk_bytes m)
{
    struct question *q = c->owner;
    struct mk_arena arena = {0};
    struct mk_outcome o;

    if (q->wait.done)
        return;
    q->wait.done = true;
    if (mk_decode(&o, &mk_outcome_type, m, &arena, &q->wait.fault) != 0)
        q->wait.status = MK_EMALFORMED;
    else if (o.status != 0)
        q->wait.status = mk_fault(&q->wait.fault, -(int)o.status, "%.*s", (int)o.rule.n, o.rule.p);
    mk_arena_done(&arena);
}

static void answer_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct question *q = c->owner;

    q->conv = NULL;
    if (q->wait.done)
        return;
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

static int ask(struct question *q, struct mk_bytes first, uint32_t timeout_ms,
               struct mk_fault *reterr)
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
    rv = mk_conv_open(mk_net_link(q->network->net, &q->peer), &q->conv, "operate", first,
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

static int operate(struct mk_network *n, struct mk_str address, const struct mk_operate *o,
                   uint32_t timeout_ms, struct mk_fault *reterr)
{
    struct question q = {.network = n};
    char host_port[MK_HOST_PORT_MAX];
    struct mk_buf first = {0};
    int rv = mk_net_parse_address(&q.peer, host_port, address, reterr);

    if (rv != 0)
        return rv;
    mk_encode(&first, &mk_operate_type, o);
    mk_discovery_want(n->discovery, &q.peer, host_port);
    rv = ask(&q, mk_buf_bytes(&first), timeout_ms, reterr);
    mk_discovery_unwant(n->discovery, &q.peer);
    mk_buf_done(&first);
    return rv;
}

static void put_sorted(struct mk_peer_signature *v, size_t n, const struct mk_peer_signature *s)
{
    for (; n > 0 && mk_peer_cmp(&v[n - 1].peer, &s->peer) > 0; n--)
        v[n] = v[n - 1];
    v[n] = *s;
}

int mk_node_propose(struct mk_network *n, struct mk_str address, const struct mk_roster *next,
                    const struct mk_key *keys, size_t n_keys, uint32_t timeout_ms,
                    struct mk_fault *reterr)
{
    struct mk_operate o = {.tag = mk_operate_Propose};
    struct mk_peer_signature v[MK_ROSTER_MAX];
    struct mk_buf m = {0};

    if (n_keys > MK_ROSTER_MAX)
        return mk_fault(reterr, MK_ELIMIT, "more than %u keys", MK_ROSTER_MAX);
    mk_proposal_message(&m, next);
    for (size_t i = 0; i < n_keys; i++) {
        struct mk_peer_signature s = {.peer = keys[i].peer};

        mk_sign(&keys[i], mk_buf_bytes(&m), &s.signature);
        put_sorted(v, i, &s);
    }
    mk_buf_done(&m);
    o.u.propose.deployment = next->deployment;
    o.u.propose.proposal.roster = *next;
    o.u.propose.proposal.signatures = (struct mk_peer_signatures){v, n_keys};
    return operate(n, address, &o, timeout_ms, reterr);
}

int mk_node_transfer(struct mk_network *n, struct mk_str address, const struct mk_id *deployment,
                     const struct mk_peer *to, uint32_t timeout_ms, struct mk_fault *reterr)
{
    struct mk_operate o = {.tag = mk_operate_Transfer};

    o.u.transfer.deployment = *deployment;
    if (to != NULL)
        o.u.transfer.to = (struct mk_opt_peer){.some = true, .v = *to};
    return operate(n, address, &o, timeout_ms, reterr);
}

int mk_node_check(struct mk_network *n, struct mk_str address, const struct mk_id *deployment,
                  uint64_t nonce, uint32_t timeout_ms, struct mk_fault *reterr)
{
    struct mk_operate o = {.tag = mk_operate_Check};

    o.u.check.deployment = *deployment;
    o.u.check.nonce = nonce;
    return operate(n, address, &o, timeout_ms, reterr);
}
