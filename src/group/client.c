/* client.c - executing commands and asking queries from outside a committee.
 *
 * One conversation with one member at a time carries all calls; a member passes a command
 * on to the leader itself. When the conversation ends, or the member says nothing for a
 * while, or answers nothing for a longer while, all open calls go to the next member, each under
 * its (session, number): a group that has executed one already gives its first answer again.
 *
 * A group keeps the last answer of a session only, so each call in flight has a session
 * of its own; sessions of answered calls are used again, those with an unknown outcome
 * are not.
 *
 * Nothing of a certified outcome is told before the proofs add up; a member whose proofs
 * do not is dropped by name, and the call goes to another. A refusal cannot be proven. */
#include "group/client_int.h"
#include "group/proof.h"

#include "base/assert.h"

#include <stdio.h>
#include <string.h>

#define SILENT_MS 250u /* calls wait and not a word (step 0 comes sooner): the next member */
/* Calls wait, none is answered, though the member says that it lives: it may be cut off from the
 * others, or from the leader in one direction, while they go on. The next one; doubling while that
 * does not help either (a committee without a majority, a disk that takes seconds). */
#define STUCK_MS 1000u
#define STUCK_DOUBLINGS 3u
#define AGAIN_MS 50u /* "ask again": first after, doubling */
#define AGAIN_MAX_MS 1000u
#define SESSION_IDLE_MS 600000u /* well below the hour after which a group forgets it */
#define MOVE_MS 1000u           /* between two moves to whom a member calls the leader */
#define SAID_MAX 200u

struct session {
    struct mk_list node;
    uint64_t id, number, used_ns;
};

struct call {
    struct mk_list node;
    struct mk_client *client;
    struct mk_call *user;
    uint64_t id;
    bool query, linearizable, certified;
    struct session *session;
    struct mk_buf request; /* pc(ExecRequest) */
    uint64_t deadline_ns;
    uint32_t timeout_ms;
    uint64_t again_ns; /* not before; 0: now */
    unsigned tries;
    bool with_member; /* sent on the present conversation, not answered */
    bool sent;        /* ever */
    int last;         /* status of the last "ask again" */
    char said[SAID_MAX];
};

void mk_client_enter(struct mk_client *c)
{
    c->depth++;
}

void mk_client_leave(struct mk_client *c)
{
    MK_ASSERT(c->depth > 0);
    if (--c->depth == 0 && c->closed)
        mk_free(c);
}

static void client_wake(struct mk_client *c)
{
    if (!c->closed)
        mk_later(c->env, &c->task);
}

/* --- sessions ---------------------------------------------------------------------------- */

static struct session *session_take(struct mk_client *c)
{
    uint64_t now = mk_now(c->env);
    struct mk_list *at;
    struct session *s;

    while ((at = mk_list_pop(&c->sessions)) != NULL) {
        s = mk_container_of(at, struct session, node);
        c->n_sessions--;
        if (now - s->used_ns < SESSION_IDLE_MS * MK_MS)
            return s;
        mk_free(s);
    }
    s = mk_alloc(sizeof *s);
    mk_list_init(&s->node);
    while (s->id == 0)
        mk_entropy(c->env, &s->id, sizeof s->id);
    return s;
}

static void session_give(struct mk_client *c, struct session *s, bool known)
{
    if (s == NULL)
        return;
    if (!known || c->closed) {
        mk_free(s);
        return;
    }
    s->used_ns = mk_now(c->env);
    /* The most recently used first, so that few are kept alive. */
    mk_list_add_tail(c->sessions.next, &s->node);
    c->n_sessions++;
}

/* --- ending a call ------------------------------------------------------------------------- */

/** Refused at the door: the number never reached the group, and the session would lack it. A
 * machine's own rule that reads like that costs a session, no more. */
static bool is_clause(const struct mk_fault *fault)
{
    return fault != NULL && strncmp(fault->text, "clause ", 7) == 0;
}

static void call_end(struct call *k, int status, const struct mk_outcome *outcome,
                     const struct mk_fault *fault)
{
    struct mk_client *c = k->client;
    struct mk_call *user = k->user;
    bool known = status == 0 || (status == MK_EREFUSED && !is_clause(fault)) || status == MK_ESTALE;

    mk_list_del(&k->node);
    c->n_calls--;
    session_give(c, k->session, known);
    mk_buf_done(&k->request);
    mk_free(k);
    user->impl = NULL;
    user->cb(user, status, outcome, fault);
}

static void call_expire(struct call *k)
{
    struct mk_fault why, fault;
    char hex[MK_ID_HEX];
    int status;

    status = mk_chooser_why(&k->client->chooser, &why);
    if (!k->sent) {
        mk_fault(&fault, status, "%.380s", why.text);
    } else if (k->last == MK_ENOMAJORITY && !k->with_member) {
        status = mk_fault(&fault, MK_ENOMAJORITY, "%s", k->said);
    } else {
        mk_peer_hex(&k->client->peer, hex);
        status = MK_ETIMEDOUT;
        if (k->said[0] != '\0')
            mk_fault(&fault, status, "no answer within %u ms; %.8s says: %s", k->timeout_ms, hex,
                     k->said);
        else
            mk_fault(&fault, status, "no answer within %u ms; %.300s", k->timeout_ms, why.text);
    }
    call_end(k, status, NULL, &fault);
}

/* --- answers ---------------------------------------------------------------------------------- */

static struct call *call_find(struct mk_client *c, uint64_t id)
{
    mk_list_each(at, &c->calls)
    {
        struct call *k = mk_container_of(at, struct call, node);

        if (k->id == id)
            return k;
    }
    return NULL;
}

static void leave_member(struct mk_client *c)
{
    c->conv = NULL;
    c->blocked = false;
    mk_list_each(at, &c->calls)
    {
        struct call *k = mk_container_of(at, struct call, node);

        k->with_member = false;
        k->again_ns = 0;
    }
    client_wake(c);
}

static void lose_member(struct mk_client *c, unsigned close, const char *detail, bool lied)
{
    leave_member(c);
    mk_chooser_failed(&c->chooser, &c->peer, close, detail, lied);
}

static void drop_member(struct mk_client *c, unsigned close, const char *detail, bool lied)
{
    char text[MK_REASON_MAX];

    snprintf(text, sizeof text, "%s%.240s", lied ? "dropped: " : "", detail);
    mk_conv_close(c->conv, close, detail);
    lose_member(c, close, text, lied);
}

static void call_again(struct call *k, int status, struct mk_str said)
{
    uint64_t wait = AGAIN_MS << (k->tries < 5 ? k->tries : 5);

    k->last = status;
    k->tries++;
    k->with_member = false;
    k->again_ns = mk_now(k->client->env) + (wait < AGAIN_MAX_MS ? wait : AGAIN_MAX_MS) * MK_MS;
    snprintf(k->said, sizeof k->said, "%.*s", (int)said.n, said.p);
    if (said.n == 0)
        snprintf(k->said, sizeof k->said, "%s", mk_strerror(status));
    client_wake(k->client);
}

static void got_committed(struct call *k, const struct mk_outcome *o)
{
    int status = -(int)o->status;
    struct mk_fault fault;

    if (status == MK_ETIMEDOUT || status == MK_ENOTLEADER || status == MK_EFULL ||
        status == MK_ENOMAJORITY || status == MK_ECANCELED) {
        call_again(k, status, o->rule);
        return;
    }
    if (status == 0) {
        if (!k->certified || o->commits.n == 0)
            call_end(k, 0, o, NULL);
        return; /* step two comes */
    }
    mk_fault(&fault, status, "%.*s", (int)o->rule.n, o->rule.p);
    if (o->rule.n == 0)
        mk_fault(&fault, status, "%s", mk_strerror(status));
    call_end(k, status, NULL, &fault);
}

static void got_certified(struct mk_client *c, struct call *k, const struct mk_exec_answer *a)
{
    struct mk_fault fault;
    int rv = mk_commit_proofs_check(c->memory, &a->outcome, &a->proofs, &fault);

    if (rv == 0)
        call_end(k, 0, &a->outcome, NULL);
    else if (rv == MK_ESIGNATURE)
        drop_member(c, MK_CLOSE_CONFLICT, fault.text, /* lied= */ true);
    else if (rv == MK_ENOTFOUND)
        drop_member(c, MK_CLOSE_NONE, fault.text, /* lied= */ false);
    else
        call_end(k, rv, NULL, &fault);
}

/* The chain of rosters, link by link. */
static void got_change(struct mk_client *c, struct mk_bytes pc)
{
    struct mk_roster_change change;
    struct mk_arena arena = {0};
    struct mk_fault fault;
    int rv = mk_decode(&change, &mk_roster_change_type, pc, &arena, &fault);

    if (rv == 0)
        rv = mk_reader_learn(c->memory, &change, &fault);
    if (rv != 0)
        drop_member(c, MK_CLOSE_CONFLICT, fault.text, /* lied= */ true);
    mk_arena_done(&arena);
}

/* The member passes our commands on: go to the leader itself, with all open calls. Members
 * that disagree about who leads do not send us round faster than MOVE_MS. */
static void client_move(struct mk_client *c, struct mk_bytes to)
{
    uint64_t now = mk_now(c->env);
    struct mk_peer leader;

    if (to.n != sizeof leader.b || (c->moved_ns != 0 && now < c->moved_ns + MOVE_MS * MK_MS))
        return;
    memcpy(leader.b, to.p, sizeof leader.b);
    if (mk_peer_eq(&leader, &c->peer) || !mk_chooser_prefer(&c->chooser, &leader))
        return;
    c->moved_ns = now;
    mk_conv_close(c->conv, MK_CLOSE_NONE, "to the leader");
    leave_member(c);
}

static void client_answer(struct mk_client *c, const struct mk_exec_answer *a)
{
    struct call *k = call_find(c, a->id);

    c->heard_ns = mk_now(c->env);
    if (a->step == MK_EXEC_STEP_LEADER) {
        client_move(c, a->outcome.answer);
        return;
    }
    if (k == NULL || !k->with_member)
        return; /* timed out here meanwhile, or answered by another member */
    if (a->step == 3) {
        got_change(c, a->outcome.answer);
        return;
    }
    mk_chooser_served(&c->chooser, &c->peer);
    if (a->step != 0) {
        c->answered_ns = c->heard_ns;
        c->stuck = 0;
    }
    if (a->step == 0)
        snprintf(k->said, sizeof k->said, "%.*s", (int)a->outcome.rule.n, a->outcome.rule.p);
    else if (a->step == 1)
        got_committed(k, &a->outcome);
    else if (k->certified && a->outcome.status == 0)
        got_certified(c, k, a);
    else
        drop_member(c, MK_CLOSE_MALFORMED, "an answer that nobody asked for", /* lied= */ true);
}

static void client_message_cb(struct mk_conv *conv, struct mk_bytes bytes)
{
    struct mk_client *c = conv->owner;
    struct mk_arena arena = {0};
    struct mk_exec_answer a;
    struct mk_fault fault;

    mk_client_enter(c);
    mk_conv_consumed(conv, bytes.n);
    if (mk_decode(&a, &mk_exec_answer_type, bytes, &arena, &fault) != 0)
        drop_member(c, MK_CLOSE_MALFORMED, fault.text, /* lied= */ true);
    else
        client_answer(c, &a);
    mk_arena_done(&arena);
    mk_client_leave(c);
}

static void client_writable_cb(struct mk_conv *conv)
{
    struct mk_client *c = conv->owner;

    c->blocked = false;
    client_wake(c);
}

static void client_closed_cb(struct mk_conv *conv, unsigned close, const char *detail)
{
    lose_member(conv->owner, close, detail, /* lied= */ false);
}

static const struct mk_conv_cbs client_conv_cbs = {
    .message = client_message_cb, .writable = client_writable_cb, .closed = client_closed_cb};

/* --- asking
 * --------------------------------------------------------------------------------------- */

static void client_open_conv(struct mk_client *c, struct mk_link *link)
{
    struct mk_exec_hello hello = {.deployment = c->component.deployment,
                                  .stable_id = c->component.stable_id,
                                  .tickets = mk_component_tickets(&c->component),
                                  .epoch = mk_reader_epoch(c->memory)};
    struct mk_buf first = {0};
    int rv;

    mk_encode(&first, &mk_exec_hello_type, &hello);
    c->peer = *mk_link_peer(link);
    rv = mk_conv_open(link, &c->conv, "exec", mk_buf_bytes(&first), &client_conv_cbs, c);
    mk_buf_done(&first);
    c->heard_ns = mk_now(c->env);
    if (rv != 0)
        lose_member(c, MK_CLOSE_LOST, mk_strerror(rv), /* lied= */ false);
}

static void client_send(struct mk_client *c)
{
    uint64_t now = mk_now(c->env);
    bool waiting = false;

    mk_list_each(at, &c->calls)
    {
        struct call *k = mk_container_of(at, struct call, node);

        if (!k->with_member && k->again_ns <= now && !c->blocked) {
            if (mk_conv_send(c->conv, mk_buf_bytes(&k->request)) != 0) {
                c->blocked = true;
                continue;
            }
            if (!waiting) /* silence counts from the first question on */
                c->heard_ns = c->answered_ns = now;
            k->with_member = k->sent = true;
        }
        waiting = waiting || k->with_member;
    }
}

static bool anyone_waits(const struct mk_client *c)
{
    mk_list_each(at, &c->calls)
    {
        if (mk_container_of(at, struct call, node)->with_member)
            return true;
    }
    return false;
}

static struct call *late_call(struct mk_client *c)
{
    uint64_t now = mk_now(c->env);

    mk_list_each(at, &c->calls)
    {
        if (mk_container_of(at, struct call, node)->deadline_ns <= now)
            return mk_container_of(at, struct call, node);
    }
    return NULL;
}

/* Callbacks may make new calls and may close the client: those made now are left alone. */
static void expire_calls(struct mk_client *c)
{
    struct call *k;

    for (unsigned n = c->n_calls; n > 0 && !c->closed && (k = late_call(c)) != NULL; n--)
        call_expire(k);
}

/* Everybody refused: no use in waiting for the deadline. */
static void refuse_calls(struct mk_client *c)
{
    struct mk_fault fault;
    int status = mk_chooser_why(&c->chooser, &fault);

    for (unsigned n = c->n_calls; n > 0 && !c->closed && !mk_list_empty(&c->calls); n--) {
        struct call *k = mk_container_of(c->calls.next, struct call, node);

        session_give(c, k->session, /* known= */ false);
        k->session = NULL;
        call_end(k, k->sent && status != MK_EREFUSED ? MK_ETIMEDOUT : status, NULL, &fault);
    }
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* How long a member may be silent while calls wait: a stopped process should not cost its
 * clients more than an election. Longer where the link is slow. */
static uint64_t client_patience_ns(const struct mk_client *c)
{
    uint64_t rtt_us = c->conv == NULL ? 0 : mk_link_rtt_us(c->conv->link);

    return SILENT_MS * MK_MS + 4 * rtt_us * 1000;
}

static uint64_t client_stuck_ns(const struct mk_client *c)
{
    return (STUCK_MS << c->stuck) * MK_MS + client_patience_ns(c);
}

static void client_arm(struct mk_client *c)
{
    uint64_t at = UINT64_MAX, now = mk_now(c->env);

    mk_list_each(node, &c->calls)
    {
        struct call *k = mk_container_of(node, struct call, node);

        at = earlier(at, k->deadline_ns);
        if (!k->with_member && k->again_ns > now)
            at = earlier(at, k->again_ns);
    }
    if (c->conv == NULL && c->n_calls > 0)
        at = earlier(at, mk_chooser_retry_ns(&c->chooser));
    else if (anyone_waits(c))
        at = earlier(
            at, earlier(c->heard_ns + client_patience_ns(c), c->answered_ns + client_stuck_ns(c)));
    mk_timer_stop(&c->timer);
    if (at != UINT64_MAX)
        mk_timer_start(c->env, &c->timer, at);
}

/* The member that we use keeps calls waiting for too long, or says nothing at all. */
static void leave_stuck(struct mk_client *c)
{
    uint64_t now = mk_now(c->env);

    if (c->conv == NULL || !anyone_waits(c))
        return;
    if (now >= c->heard_ns + client_patience_ns(c)) {
        drop_member(c, MK_CLOSE_NONE, "silent: no answer", /* lied= */ false);
    } else if (now >= c->answered_ns + client_stuck_ns(c)) {
        c->stuck += c->stuck < STUCK_DOUBLINGS;
        drop_member(c, MK_CLOSE_NONE, "it lives, and answers no call", /* lied= */ false);
    }
}

static void client_advance(struct mk_client *c)
{
    char detail[MK_REASON_MAX];
    struct mk_link *link;

    if (c->conv != NULL && !mk_chooser_still(&c->chooser, &c->peer, detail))
        drop_member(c, MK_CLOSE_EXPIRED, detail, /* lied= */ false);
    expire_calls(c);
    if (c->closed || c->n_calls == 0)
        return;
    leave_stuck(c);
    if (c->conv == NULL) {
        link = mk_chooser_pick(&c->chooser);
        if (link != NULL)
            client_open_conv(c, link);
        else if (mk_chooser_hopeless(&c->chooser))
            refuse_calls(c);
    }
    if (c->closed)
        return;
    if (c->conv != NULL)
        client_send(c);
    client_arm(c);
}

static void client_task_cb(struct mk_task *t)
{
    struct mk_client *c = mk_container_of(t, struct mk_client, task);

    mk_client_enter(c);
    client_advance(c);
    mk_client_leave(c);
}

static void client_timer_cb(struct mk_timer *t)
{
    client_task_cb(&mk_container_of(t, struct mk_client, timer)->task);
}

static void client_up_cb(struct mk_net_watch *w, struct mk_link *l)
{
    struct mk_client *c = mk_container_of(w, struct mk_client, watch);

    (void)l;
    client_wake(c);
    mk_lookups_link_up(c);
}

static void client_down_cb(struct mk_net_watch *w, const struct mk_peer *peer, unsigned close,
                           const char *detail)
{
    (void)w;
    (void)peer;
    (void)close;
    (void)detail; /* the conversations are told by themselves */
}

/* --- calls
 * -------------------------------------------------------------------------------------------- */

static int call_start(struct mk_client *c, struct mk_call *user, struct call **ret,
                      struct mk_bytes bytes, uint32_t timeout_ms)
{
    struct call *k;

    if (c->closed)
        return MK_ECLOSED;
    if (bytes.n > MK_COMMAND_MAX)
        return MK_ELIMIT;
    if (c->n_calls >= MK_CALLS_MAX)
        return MK_EFULL;
    k = mk_alloc(sizeof *k);
    k->client = c;
    k->user = user;
    k->id = ++c->ids;
    k->timeout_ms = timeout_ms;
    k->deadline_ns = mk_now(c->env) + timeout_ms * MK_MS;
    user->impl = k;
    mk_list_add_tail(&c->calls, &k->node);
    c->n_calls++;
    client_wake(c);
    *ret = k;
    return 0;
}

int mk_client_execute(struct mk_client *c, struct mk_call *user, struct mk_bytes command,
                      enum mk_want want, uint32_t timeout_ms)
{
    struct mk_exec_request r = {.tag = mk_exec_request_Execute};
    struct call *k;
    int rv = call_start(c, user, &k, command, timeout_ms);

    if (rv != 0)
        return rv;
    k->certified = want == MK_WANT_CERTIFIED;
    k->session = session_take(c);
    r.u.execute = (struct mk_exec_command){.id = k->id,
                                           .session = k->session->id,
                                           .number = ++k->session->number,
                                           .certified = k->certified,
                                           .command = command};
    mk_encode(&k->request, &mk_exec_request_type, &r);
    return 0;
}

int mk_client_query(struct mk_client *c, struct mk_call *user, struct mk_bytes query,
                    enum mk_read read, uint32_t timeout_ms)
{
    struct mk_exec_request r = {.tag = mk_exec_request_Query};
    struct call *k;
    int rv = call_start(c, user, &k, query, timeout_ms);

    if (rv != 0)
        return rv;
    k->query = true;
    r.u.query = (struct mk_exec_query){.id = k->id, .read = (uint8_t)read, .query = query};
    mk_encode(&k->request, &mk_exec_request_type, &r);
    return 0;
}

/* --- open and close
 * --------------------------------------------------------------------------------------- */

int mk_client_open(struct mk_env *e, struct mk_net *net, struct mk_client **ret,
                   const struct mk_component *component, struct mk_reader_memory *memory,
                   struct mk_client_report *report)
{
    struct mk_client *c = mk_alloc(sizeof *c);

    c->env = e;
    c->net = net;
    c->memory = memory;
    mk_component_copy(&c->component, component, &c->arena);
    mk_chooser_init(&c->chooser, e, net, memory, &c->component, report, &c->task);
    mk_list_init(&c->calls);
    mk_list_init(&c->sessions);
    mk_list_init(&c->lookups);
    c->task.cb = client_task_cb;
    c->timer.cb = client_timer_cb;
    c->watch = (struct mk_net_watch){.up = client_up_cb, .down = client_down_cb};
    mk_net_watch(net, &c->watch);
    *ret = c;
    return 0;
}

void mk_client_close(struct mk_client *c)
{
    struct mk_fault fault;
    struct mk_list *at;

    if (c == NULL || c->closed)
        return;
    c->closed = true;
    mk_client_enter(c);
    if (c->conv != NULL)
        mk_conv_close(c->conv, MK_CLOSE_NONE, NULL);
    c->conv = NULL;
    mk_net_unwatch(&c->watch);
    mk_chooser_done(&c->chooser);
    mk_later_cancel(&c->task);
    mk_timer_stop(&c->timer);
    mk_fault(&fault, MK_ECANCELED, "%s", mk_strerror(MK_ECANCELED));
    while (!mk_list_empty(&c->calls))
        call_end(mk_container_of(c->calls.next, struct call, node), MK_ECANCELED, NULL, &fault);
    mk_lookups_close(c);
    while ((at = mk_list_pop(&c->sessions)) != NULL)
        mk_free(mk_container_of(at, struct session, node));
    mk_arena_done(&c->arena);
    mk_client_leave(c);
}
