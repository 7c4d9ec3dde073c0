/* Clients: the protocol "exec".
 *
 *   hello --gate--> open; who may not write may still ask (unless readers are gated too)
 *   Execute --> pending --> step one (committed) --> step two (certified, with proofs)
 *   Query --> query.c
 *
 * Step two waits until the certificate of each surface that the command committed to
 * covers its commits; the proof is that certificate and the payload hashes between. A
 * refusal, and a command without a commit, has nothing to prove and ends with step one.
 *
 * A client holds at most MK_EXECUTING_MAX requests here, its answers are bounded by the
 * outbox; above either it is told so or closed as too slow. */
#include "group/exec.h"

#include <stdio.h>
#include <string.h>

#define PROOFS_MAX (900u << 10) /* bytes of the proofs of one answer */

/* --- admission ------------------------------------------------------------------------- */

static void keep_tickets(struct mk_exec_conv *x, const struct mk_wire_tickets *t)
{
    mk_arena_done(&x->mem);
    x->mem = (struct mk_arena){0};
    x->tickets = mk_arena_take(&x->mem, (t->n + 1) * sizeof *x->tickets);
    x->n_tickets = t->n;
    for (size_t i = 0; i < t->n; i++)
        x->tickets[i] = MK_BYTES(mk_arena_copy(&x->mem, t->v[i].p, t->v[i].n), t->v[i].n);
}

/* 0, or the close code. */
static unsigned judge(struct mk_exec_conv *x, char detail[MK_REASON_MAX])
{
    struct mk_group *g = x->g;
    struct mk_bearer b = {*mk_link_peer(x->conv->link), x->tickets, x->n_tickets};
    struct mk_verdict write, read;

    mk_group_judge(g, &write, &b, MK_SCOPE_WRITE);
    mk_group_judge(g, &read, &b, MK_SCOPE_READ);
    x->may_write = write.admitted;
    x->may_read = read.admitted;
    x->expires_ms = write.admitted ? write.expires_ms : write.again_ms;
    if (read.admitted && read.expires_ms < x->expires_ms)
        x->expires_ms = read.expires_ms;
    if (!read.admitted && read.again_ms < x->expires_ms)
        x->expires_ms = read.again_ms;
    snprintf(x->reason, sizeof x->reason, "%s", write.admitted ? read.reason : write.reason);
    if (!write.pending && !read.pending && (write.admitted || read.admitted))
        return 0;
    snprintf(detail, MK_REASON_MAX, "%s", write.admitted ? read.reason : write.reason);
    return write.pending || read.pending ? MK_CLOSE_NOT_READY : MK_CLOSE_REFUSED;
}

static void conv_message(struct mk_conv *c, struct mk_bytes bytes);
static void conv_writable(struct mk_conv *c);
static void conv_closed(struct mk_conv *c, unsigned close, const char *detail);

static const struct mk_conv_cbs conv_cbs = {
    .message = conv_message,
    .writable = conv_writable,
    .closed = conv_closed,
};

static void exec_free(struct mk_exec_conv *x)
{
    struct mk_group *g = x->g;

    mk_waiters_forget(g, &x->waiters);
    mk_query_forget(g, x, NULL);
    mk_list_del(&x->node);
    mk_list_del(&x->dead);
    g->n_clients--;
    mk_outbox_done(&x->out);
    mk_arena_done(&x->mem);
    mk_free(x);
}

unsigned mk_exec_accept(struct mk_group *g, struct mk_conv *c, const struct mk_exec_hello *h,
                        char detail[MK_REASON_MAX])
{
    struct mk_exec_conv *x;
    unsigned close;

    if (!mk_id_eq(&h->stable_id, &g->stable_id)) {
        snprintf(detail, MK_REASON_MAX, "this deployment is of another component");
        return MK_CLOSE_OTHER_DEPLOYMENT;
    }
    if (g->state == MK_GROUP_FAILED) {
        snprintf(detail, MK_REASON_MAX, "%s", g->failure);
        return MK_CLOSE_NOT_READY;
    }
    x = mk_alloc(sizeof *x);
    x->g = g;
    x->conv = x->out.conv = c;
    x->epoch = h->epoch;
    mk_list_init(&x->waiters);
    mk_list_init(&x->dead);
    mk_list_add_tail(&g->clients, &x->node);
    g->n_clients++;
    keep_tickets(x, &h->tickets);
    close = judge(x, detail);
    if (close != 0) {
        exec_free(x);
        return close;
    }
    c->cbs = &conv_cbs;
    c->owner = x;
    if (x->expires_ms < g->exec_expires_ms)
        g->exec_expires_ms = x->expires_ms;
    mk_group_wake(g);
    return 0;
}

/* The conversation ends now; its memory goes with the turn, since whoever called may
 * still be holding on to it. */
static void exec_drop(struct mk_exec_conv *x, unsigned close, const char *detail)
{
    struct mk_conv *c = x->conv;

    if (c == NULL)
        return;
    x->conv = NULL;
    mk_outbox_done(&x->out);
    mk_conv_close(c, close, detail);
    mk_list_add_tail(&x->g->dead_clients, &x->dead);
    mk_group_wake(x->g);
}

void mk_exec_rejudge(struct mk_group *g, const struct mk_peer *peer)
{
    mk_list_each(n, &g->clients)
    {
        struct mk_exec_conv *x = mk_container_of(n, struct mk_exec_conv, node);

        if (x->conv == NULL || (peer != NULL && !mk_peer_eq(mk_link_peer(x->conv->link), peer)))
            continue;
        x->expires_ms = 0;
        g->exec_expires_ms = 0;
    }
}

void mk_exec_retake(struct mk_group *g, const struct mk_peer *peer,
                    const struct mk_wire_tickets *tickets)
{
    mk_list_each(n, &g->clients)
    {
        struct mk_exec_conv *x = mk_container_of(n, struct mk_exec_conv, node);

        if (x->conv != NULL && mk_peer_eq(mk_link_peer(x->conv->link), peer))
            keep_tickets(x, tickets);
    }
    mk_exec_rejudge(g, peer);
}

void mk_exec_turn(struct mk_group *g)
{
    char detail[MK_REASON_MAX] = "";
    struct mk_list *at;
    uint64_t now;

    while ((at = mk_list_pop(&g->dead_clients)) != NULL)
        exec_free(mk_container_of(at, struct mk_exec_conv, dead));
    if (g->exec_expires_ms == UINT64_MAX)
        return;
    now = mk_wall_ms(g->env);
    if (now < g->exec_expires_ms)
        return;
    g->exec_expires_ms = UINT64_MAX;
    mk_list_each(n, &g->clients)
    {
        struct mk_exec_conv *x = mk_container_of(n, struct mk_exec_conv, node);

        if (x->conv != NULL && x->expires_ms <= now && judge(x, detail) != 0)
            exec_drop(x, MK_CLOSE_EXPIRED, detail);
        else if (x->expires_ms < g->exec_expires_ms)
            g->exec_expires_ms = x->expires_ms;
    }
}

uint64_t mk_exec_deadline(const struct mk_group *g)
{
    uint64_t wall;

    if (g->exec_expires_ms == UINT64_MAX)
        return UINT64_MAX;
    wall = mk_wall_ms(g->env);
    return mk_now(g->env) + (g->exec_expires_ms > wall ? g->exec_expires_ms - wall : 0) * MK_MS;
}

void mk_exec_close(struct mk_group *g)
{
    mk_list_each(n, &g->clients)
    {
        struct mk_exec_conv *x = mk_container_of(n, struct mk_exec_conv, node);

        exec_drop(x, MK_CLOSE_SHUTDOWN, "the member shuts down");
        exec_free(x);
    }
}

/* --- requests ------------------------------------------------------------------------------- */

static void plain_error(struct mk_exec_conv *x, uint64_t id, int err, const char *text)
{
    struct mk_buf b = {0};

    mk_outcome_plain(&b, err, text);
    mk_exec_plain(x, id, 1, mk_buf_bytes(&b));
    mk_buf_done(&b);
}

static void execute_in(struct mk_exec_conv *x, const struct mk_exec_command *c)
{
    struct mk_waiter *w;
    int rv;

    if (!x->may_write) {
        plain_error(x, c->id, MK_EREFUSED, x->reason);
        return;
    }
    if (x->n_waiting >= MK_EXECUTING_MAX) {
        plain_error(x, c->id, MK_EFULL, "too many commands of this client in flight");
        return;
    }
    w = mk_waiter_new(MK_WAITER_CLIENT, c->id, c->certified);
    w->client = x;
    mk_list_add_tail(&x->waiters, &w->owner);
    x->n_waiting++;
    rv = mk_pending_add(x->g, mk_link_peer(x->conv->link), c->session, c->number, c->command, w);
    if (rv == 0)
        return;
    mk_waiter_free(w);
    plain_error(x, c->id, rv, rv == MK_EFULL ? "too much in flight here" : mk_strerror(rv));
}

static void query_in(struct mk_exec_conv *x, const struct mk_exec_query *q)
{
    if (!x->may_read)
        plain_error(x, q->id, MK_EREFUSED, x->reason);
    else if (x->n_waiting >= MK_EXECUTING_MAX)
        plain_error(x, q->id, MK_EFULL, "too many requests of this client in flight");
    else
        mk_query_start(x->g, x, NULL, q->id, mk_read_of(q->read), q->query);
}

static void conv_message(struct mk_conv *c, struct mk_bytes bytes)
{
    struct mk_exec_conv *x = c->owner;
    struct mk_arena arena = {0};
    struct mk_exec_request r;
    struct mk_fault f = {{0}};
    size_t n = bytes.n;

    if (x->conv != c)
        return;
    if (mk_decode(&r, &mk_exec_request_type, bytes, &arena, &f) != 0)
        exec_drop(x, MK_CLOSE_MALFORMED, f.text);
    else if (r.tag == mk_exec_request_Execute)
        execute_in(x, &r.u.execute);
    else
        query_in(x, &r.u.query);
    mk_arena_done(&arena);
    if (x->conv == c)
        mk_conv_consumed(c, n);
}

static void conv_writable(struct mk_conv *c)
{
    struct mk_exec_conv *x = c->owner;

    mk_outbox_flush(&x->out);
}

static void conv_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct mk_exec_conv *x = c->owner;

    (void)close;
    (void)detail;
    if (x->conv == c)
        exec_free(x);
}

/* --- answers ------------------------------------------------------------------------------------
 */

static void send_answer(struct mk_exec_conv *x, uint64_t id, unsigned step, struct mk_bytes outcome,
                        struct mk_bytes proofs)
{
    static const uint8_t none = 0; /* pc of no proofs */
    uint8_t head[16];
    struct mk_buf h = {.p = head, .cap = sizeof head};
    struct mk_bytes parts[3];

    mk_put_varint(&h, id);
    mk_buf_put_u8(&h, (uint8_t)step);
    parts[0] = mk_buf_bytes(&h);
    parts[1] = outcome;
    parts[2] = proofs.n > 0 ? proofs : MK_BYTES(&none, 1);
    if (!mk_outbox_put(&x->out, parts, 3))
        exec_drop(x, MK_CLOSE_SLOW, "answers pile up");
}

void mk_exec_plain(struct mk_exec_conv *x, uint64_t id, unsigned step, struct mk_bytes outcome)
{
    send_answer(x, id, step, outcome, MK_BYTES(NULL, 0));
}

void mk_exec_said(struct mk_waiter *w, const char *why)
{
    struct mk_buf b = {0};

    mk_outcome_plain(&b, 0, why);
    mk_exec_plain(w->client, w->id, 0, mk_buf_bytes(&b));
    mk_buf_done(&b);
}

void mk_exec_hint(struct mk_exec_conv *x, const struct mk_peer *leader)
{
    struct mk_outcome o = {.answer = MK_BYTES(leader->b, sizeof leader->b)};
    struct mk_buf b = {0};

    if (mk_peer_eq(&x->hinted, leader))
        return;
    x->hinted = *leader;
    mk_encode(&b, &mk_outcome_type, &o);
    mk_exec_plain(x, 0, MK_EXEC_STEP_LEADER, mk_buf_bytes(&b));
    mk_buf_done(&b);
}

static void waiter_done(struct mk_waiter *w)
{
    w->client->n_waiting--;
    mk_waiter_free(w);
}

/* --- step two
 * -------------------------------------------------------------------------------------- */

static int surface_number(const struct mk_group *g, const struct mk_id *id)
{
    const struct mk_surfaces *s = mk_state_surfaces(g->st);

    for (unsigned i = 0; i < s->n; i++)
        if (mk_id_eq(&s->v[i].id, id))
            return (int)i;
    return -1;
}

/* The surfaces that a proving waiter waits for, as bits. */
static uint64_t surfaces_of(struct mk_group *g, const struct mk_outcome *o)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < o->commits.n; i++) {
        int n = surface_number(g, &o->commits.v[i].surface);

        if (n >= 0)
            bits |= 1ull << n;
    }
    return bits;
}

static void interest(struct mk_group *g, uint64_t bits, int more)
{
    for (unsigned i = 0; i < MK_SURFACES_MAX; i++)
        if ((bits >> i & 1) != 0)
            mk_heads_interest(g, i, more);
}

static bool covered(const struct mk_group *g, const struct mk_outcome *o)
{
    for (size_t i = 0; i < o->commits.n; i++) {
        int n = surface_number(g, &o->commits.v[i].surface);

        if (n < 0 || !g->seals[n].has_certificate ||
            g->seals[n].certificate.head.index < o->commits.v[i].index)
            return false;
    }
    return true;
}

static void put_proof(struct mk_group *g, const struct mk_commit_ref *ref, struct mk_buf *out)
{
    int n = surface_number(g, &ref->surface);
    const struct mk_surface *s = &mk_state_surfaces(g->st)->v[n];
    const struct mk_certificate *c = &g->seals[n].certificate;

    mk_encode(out, &mk_commit_ref_type, ref);
    mk_encode(out, &mk_certificate_type, c);
    mk_put_varint(out, c->head.index - ref->index);
    for (uint64_t i = ref->index + 1; i <= c->head.index; i++) {
        struct mk_commit commit;
        struct mk_id payload = {{0}}, digest = {{0}};

        if (mk_surface_commit_at(s, i, &commit) == 0) {
            payload = mk_hash(commit.payload);
            digest = commit.digest;
        }
        mk_buf_put(out, digest.b, sizeof digest.b);
        mk_buf_put(out, payload.b, sizeof payload.b);
    }
}

/* The chain of rosters comes before the first proof that needs it. */
static void send_chain(struct mk_exec_conv *x, uint64_t id)
{
    const struct mk_group *g = x->g;

    if (x->epoch < g->plan.roster.epoch)
        x->epoch = g->plan.roster.epoch;
    while (x->epoch < g->roster.epoch) {
        const struct mk_roster_change *c = mk_state_change(g->st, x->epoch + 1);
        struct mk_buf pc = {0}, outcome = {0};

        if (c == NULL)
            return;
        mk_encode(&pc, &mk_roster_change_type, c);
        mk_outcome_put(&outcome, 0, "", MK_BYTES(NULL, 0), 0, mk_buf_bytes(&pc));
        mk_exec_plain(x, id, 3, mk_buf_bytes(&outcome));
        mk_buf_done(&pc);
        mk_buf_done(&outcome);
        x->epoch++;
    }
}

static void answer_certified(struct mk_group *g, struct mk_waiter *w, const struct mk_outcome *o)
{
    struct mk_buf proofs = {0};

    mk_put_varint(&proofs, o->commits.n);
    for (size_t i = 0; i < o->commits.n; i++)
        put_proof(g, &o->commits.v[i], &proofs);
    if (proofs.n > PROOFS_MAX)
        mk_buf_clear(&proofs);
    send_chain(w->client, w->id);
    send_answer(w->client, w->id, 2, mk_buf_bytes(&w->outcome), mk_buf_bytes(&proofs));
    mk_buf_done(&proofs);
}

void mk_exec_unproving(struct mk_group *g, struct mk_waiter *w)
{
    interest(g, w->surfaces, -1);
    w->surfaces = 0;
    g->n_proving--;
}

static void try_prove(struct mk_group *g, struct mk_waiter *w)
{
    struct mk_arena arena = {0};
    struct mk_outcome o;

    MK_ASSERT(mk_decode(&o, &mk_outcome_type, mk_buf_bytes(&w->outcome), &arena, NULL) == 0);
    if (covered(g, &o)) {
        answer_certified(g, w, &o);
        mk_exec_unproving(g, w);
        waiter_done(w);
    }
    mk_arena_done(&arena);
}

void mk_exec_certified(struct mk_group *g, unsigned surface)
{
    mk_list_each(at, &g->proving)
    {
        struct mk_waiter *w = mk_container_of(at, struct mk_waiter, node);

        if ((w->surfaces >> surface & 1) != 0)
            try_prove(g, w);
    }
}

static void start_proving(struct mk_group *g, struct mk_waiter *w, const struct mk_outcome *o,
                          struct mk_bytes outcome)
{
    mk_buf_put(&w->outcome, outcome.p, outcome.n);
    w->surfaces = surfaces_of(g, o);
    mk_list_add_tail(&g->proving, &w->node);
    g->n_proving++;
    interest(g, w->surfaces, 1);
    if (covered(g, o))
        try_prove(g, w);
    else
        mk_group_wake(g);
}

void mk_exec_answered(struct mk_group *g, struct mk_waiter *w, struct mk_bytes outcome)
{
    struct mk_arena arena = {0};
    struct mk_outcome o;

    mk_exec_plain(w->client, w->id, 1, outcome);
    if (!w->certified || g->n_proving >= MK_PROVING_MAX) {
        waiter_done(w);
        return;
    }
    MK_ASSERT(mk_decode(&o, &mk_outcome_type, outcome, &arena, NULL) == 0);
    if (o.status == 0 && o.commits.n > 0)
        start_proving(g, w, &o, outcome);
    else
        waiter_done(w);
    mk_arena_done(&arena);
}
