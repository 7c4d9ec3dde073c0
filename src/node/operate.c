/* operate.c - the protocol "operate": what an operator asks of one component's committee.
 *
 * Opening a conversation is the question, one Outcome the answer. Another roster carries its own
 * authority (the signatures in the proposal); another leader, or a check, is given to whom the
 * group obeys: the operator that the Founding names, and its members, as the link proves them. */
#include "group/state.h"
#include "node/node.h"

#include <stdio.h>

static void conv_message(struct mk_conv *c, struct mk_bytes m)
{
    (void)m; /* the question was the opening */
    mk_conv_close(c, MK_CLOSE_MALFORMED, "operate takes no further messages");
}

static void conv_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    (void)c;
    (void)close;
    (void)detail;
}

static const struct mk_conv_cbs conv_cbs = {.message = conv_message, .closed = conv_closed};

static struct mk_host *host_of(struct mk_node *n, const struct mk_id *deployment)
{
    mk_list_each(p, &n->hosts)
    {
        struct mk_host *h = mk_container_of(p, struct mk_host, node);

        if (mk_id_eq(&h->deployment, deployment))
            return h;
    }
    return NULL;
}

static int transfer(struct mk_host *h, struct mk_conv *c, const struct mk_opt_peer *to,
                    struct mk_fault *fault)
{
    int rv;

    if (!mk_group_obeys(h->group, mk_link_peer(c->link)))
        return mk_fault(fault, MK_EREFUSED,
                        "leadership moves for the operator and for members alone");
    rv = mk_group_transfer(h->group, to->some ? &to->v : NULL);
    if (rv == MK_ENOTFOUND)
        return mk_fault(fault, rv, "that peer has no vote here");
    return rv == 0 ? 0 : mk_fault(fault, rv, "no leader is known here now");
}

static const struct mk_id *deployment_of(const struct mk_operate *o)
{
    switch ((enum mk_operate_tag)o->tag) {
    case mk_operate_Propose:
        return &o->u.propose.deployment;
    case mk_operate_Transfer:
        return &o->u.transfer.deployment;
    case mk_operate_Check:
        return &o->u.check.deployment;
    }
    return &MK_ZERO_ID;
}

static int operate(struct mk_node *n, struct mk_conv *c, const struct mk_operate *o,
                   struct mk_fault *fault)
{
    struct mk_host *h = host_of(n, deployment_of(o));

    if (h == NULL)
        return mk_fault(fault, MK_ENOTFOUND, "that deployment is not run here");
    switch ((enum mk_operate_tag)o->tag) {
    case mk_operate_Propose:
        return mk_group_propose(h->group, &o->u.propose.proposal, fault);
    case mk_operate_Transfer:
        return transfer(h, c, &o->u.transfer.to, fault);
    case mk_operate_Check:
        if (!mk_group_obeys(h->group, mk_link_peer(c->link)))
            return mk_fault(fault, MK_EREFUSED,
                            "checks are for the operator and for members alone");
        return mk_group_check(h->group, o->u.check.nonce, fault);
    }
    return mk_fault(fault, MK_EMALFORMED, "unknown question");
}

static unsigned operate_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                               char detail[MK_REASON_MAX])
{
    struct mk_node *n = mk_container_of(s, struct mk_node, operate);
    struct mk_arena arena = {0};
    struct mk_buf answer = {0};
    struct mk_fault fault = {{0}};
    struct mk_operate o;
    unsigned close = 0;
    int rv = mk_decode(&o, &mk_operate_type, first, &arena, &fault);

    c->cbs = &conv_cbs;
    if (rv != 0) {
        snprintf(detail, MK_REASON_MAX, "first message: %.200s", fault.text);
        close = MK_CLOSE_MALFORMED;
    } else {
        rv = operate(n, c, &o, &fault);
        mk_outcome_plain(&answer, rv, rv == 0 ? "" : fault.text);
        if (mk_conv_send(c, mk_buf_bytes(&answer)) != 0)
            close = MK_CLOSE_TOO_LONG;
    }
    mk_buf_done(&answer);
    mk_arena_done(&arena);
    return close;
}

int mk_operate_serve(struct mk_node *n)
{
    n->operate.proto = "operate";
    n->operate.accept = operate_accept;
    return mk_net_serve(n->network->net, &n->operate);
}
