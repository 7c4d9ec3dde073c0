/* exec.c - commands and queries on a bond: a thin layer over the group's client, which
 * retries under one (session, number) and checks the proofs. */
#include "node/network.h"

struct exec_call {
    struct mk_call call;
    struct mk_exec *x;
    struct mk_bond *bond;
};

static void call_cb(struct mk_call *call, int status, const struct mk_outcome *outcome,
                    const struct mk_fault *fault)
{
    struct exec_call *c = mk_container_of(call, struct exec_call, call);
    struct mk_exec *x = c->x;

    if (status == 0)
        mk_bond_remember(c->bond, false);
    mk_free(c);
    x->cb(x, status, outcome, fault);
}

static struct exec_call *call_new(struct mk_bond *b, struct mk_exec *x)
{
    struct exec_call *c = mk_alloc(sizeof *c);

    c->call.cb = call_cb;
    c->x = x;
    c->bond = b;
    return c;
}

int mk_execute(struct mk_bond *b, struct mk_exec *x, struct mk_bytes command, enum mk_step step,
               uint32_t timeout_ms)
{
    struct exec_call *c;
    int rv;

    if (!b->bound)
        return MK_EUNREACHABLE;
    c = call_new(b, x);
    rv = mk_client_execute(b->client, &c->call, command,
                           step == MK_STEP_CERTIFIED ? MK_WANT_CERTIFIED : MK_WANT_COMMITTED,
                           timeout_ms);
    if (rv != 0)
        mk_free(c);
    return rv;
}

int mk_query(struct mk_bond *b, struct mk_exec *x, struct mk_bytes query, enum mk_read read,
             uint32_t timeout_ms)
{
    struct exec_call *c;
    int rv;

    if (!b->bound)
        return MK_EUNREACHABLE;
    c = call_new(b, x);
    rv = mk_client_query(b->client, &c->call, query, read, timeout_ms);
    if (rv != 0)
        mk_free(c);
    return rv;
}

/* --- blocking ------------------------------------------------------------------------------ */

struct exec_wait {
    struct mk_exec x;
    struct mk_wait wait;
    struct mk_outcome *ret;
    struct mk_arena *arena;
};

static void wait_cb(struct mk_exec *x, int status, const struct mk_outcome *outcome,
                    const struct mk_fault *fault)
{
    struct exec_wait *w = mk_container_of(x, struct exec_wait, x);

    w->wait.done = true;
    w->wait.status = status;
    if (fault != NULL)
        w->wait.fault = *fault;
    if (outcome != NULL && w->ret != NULL)
        mk_datum_copy(w->ret, &mk_outcome_type, outcome, w->arena);
}

/** The call itself ends at timeout_ms, so the loop runs until its callback. */
static int wait_for(struct mk_bond *b, struct exec_wait *w, uint32_t timeout_ms,
                    struct mk_fault *reterr)
{
    while (!w->wait.done)
        mk_loop_run_until(b->network->env, mk_wait_done, &w->wait, timeout_ms);
    if (reterr != NULL)
        *reterr = w->wait.fault;
    return w->wait.status;
}

int mk_execute_wait(struct mk_bond *b, struct mk_outcome *ret, struct mk_bytes command,
                    enum mk_step step, uint32_t timeout_ms, struct mk_arena *arena,
                    struct mk_fault *reterr)
{
    struct exec_wait w = {.x = {.cb = wait_cb}, .ret = ret, .arena = arena};
    int rv = mk_execute(b, &w.x, command, step, timeout_ms);

    if (rv != 0)
        return mk_fault(reterr, rv, "%.*s: %s", (int)b->reference.label.n, b->reference.label.p,
                        mk_strerror(rv));
    return wait_for(b, &w, timeout_ms, reterr);
}

int mk_query_wait(struct mk_bond *b, struct mk_outcome *ret, struct mk_bytes query,
                  enum mk_read read, uint32_t timeout_ms, struct mk_arena *arena,
                  struct mk_fault *reterr)
{
    struct exec_wait w = {.x = {.cb = wait_cb}, .ret = ret, .arena = arena};
    int rv = mk_query(b, &w.x, query, read, timeout_ms);

    if (rv != 0)
        return mk_fault(reterr, rv, "%.*s: %s", (int)b->reference.label.n, b->reference.label.p,
                        mk_strerror(rv));
    return wait_for(b, &w, timeout_ms, reterr);
}
