/* admission.c - whom this member lets in: the gate's verdicts, and what is remembered of its
 * refusals, so that `status` can say which clause keeps whom out. */
#include "group/group_int.h"
#include "group/serve.h"

#include <stdio.h>

static void note_refusal(struct mk_group *g, const struct mk_verdict *v)
{
    struct mk_refusal *r = NULL;

    for (unsigned i = 0; i < g->n_refusals && r == NULL; i++) {
        if (g->refusals[i].clause == v->clause)
            r = &g->refusals[i];
    }
    if (r == NULL && g->n_refusals == MK_REFUSALS_MAX)
        return; /* the ACL has more clauses than are told apart: the first ones stay */
    if (r == NULL)
        r = &g->refusals[g->n_refusals++];
    r->clause = v->clause;
    r->count++;
    snprintf(r->reason, sizeof r->reason, "%s", v->reason);
}

void mk_group_judge(struct mk_group *g, struct mk_verdict *ret, const struct mk_bearer *b,
                    enum mk_scope scope)
{
    mk_gate_judge(&g->gate, ret, b, scope, mk_wall_ms(g->env));
    if (!ret->admitted && !ret->pending)
        note_refusal(g, ret);
}

bool mk_group_refusal(const struct mk_group *g, unsigned i, struct mk_refusal *ret)
{
    if (i >= g->n_refusals)
        return false;
    *ret = g->refusals[i];
    return true;
}

uint64_t mk_group_expires_ms(const struct mk_group *g)
{
    uint64_t at = mk_serve_expires_ms(g->serve);

    if (g->exec_expires_ms < at)
        at = g->exec_expires_ms;
    for (unsigned i = 0; i < g->n_members; i++) {
        if (i != g->self && g->members[i]->up && g->members[i]->expires_ms < at)
            at = g->members[i]->expires_ms;
    }
    return at;
}

void mk_group_retake(struct mk_group *g, const struct mk_peer *peer,
                     const struct mk_wire_tickets *tickets)
{
    mk_peers_retake(g, peer, tickets);
    mk_exec_retake(g, peer, tickets);
    mk_serve_retake(g->serve, peer, tickets);
    mk_group_wake(g);
}

void mk_group_rejudge(struct mk_group *g)
{
    mk_peers_rejudge(g);
    mk_exec_rejudge(g, NULL);
    mk_serve_rejudge(g->serve, NULL);
    mk_group_wake(g);
}
