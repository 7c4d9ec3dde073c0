/* Clients in no committee: each keeps one operation in flight, over the protocol "exec",
 * and asks one member after the other under the same session and number until it has
 * an answer or gives up after 20 s (not known). What they did is the cluster's history.
 */
#include "checks.h"

#include "base/assert.h"
#include <mosaik/linear.h>
#include <stdio.h>
#include <string.h>

#define ASK_AGAIN_MS 700u
#define HURRY_MS 40u
#define GIVE_UP_MS 20000u

struct client {
    struct cluster *c;
    unsigned i; /* among the clients */
    struct mk_env *env;
    struct mk_net *net;
    struct mk_dial dials[CLUSTER_MEMBERS_MAX];
    struct mk_conv *convs[CLUSTER_MEMBERS_MAX];
    struct mk_timer timer;
    unsigned keys, pause_ms;
    bool running, busy;
    size_t op; /* in the history */
    uint64_t session, number, started_ns;
    unsigned asked; /* the member */
};

static struct operation *op_of(struct client *x)
{
    return (struct operation *)(void *)x->c->history.p + x->op;
}

static struct client *client_of(struct cluster *c, unsigned i)
{
    return world_state(c->w, c->n + i);
}

/* --- conversations ------------------------------------------------------------------- */

static void conv_closed(struct mk_conv *conv, unsigned close, const char *detail)
{
    struct client *x = conv->owner;

    (void)close;
    (void)detail;
    for (unsigned i = 0; i < x->c->n; i++)
        if (x->convs[i] == conv)
            x->convs[i] = NULL;
}

static void finish(struct client *x, bool known, uint64_t value)
{
    struct operation *op = op_of(x);

    op->returned = known ? world_time_ns(x->c->w) : UINT64_MAX;
    if (known && (op->kind == OP_GET || op->kind == OP_ADD))
        op->value = value;
    x->busy = false;
    mk_timer_start(x->env, &x->timer,
                   mk_now(x->env) + (x->c->snatched != 0 ? 1 : x->pause_ms) * MK_MS);
}

static uint64_t number_in(struct mk_bytes b)
{
    uint64_t v = 0;

    for (size_t i = 0; i < b.n && b.p[i] >= '0' && b.p[i] <= '9'; i++)
        v = v * 10 + (uint64_t)(b.p[i] - '0');
    return v;
}

static void conv_message(struct mk_conv *conv, struct mk_bytes m)
{
    struct client *x = conv->owner;
    struct mk_arena arena = {0};
    struct mk_exec_answer a;

    if (mk_decode(&a, &mk_exec_answer_type, m, &arena, NULL) != 0)
        cluster_violation("client %u was sent a malformed answer", x->i);
    if (a.step == 1 && x->busy && a.id == x->number) {
        if (a.outcome.status == 0)
            finish(x, true, number_in(a.outcome.answer));
        else if (a.outcome.status == (uint32_t)-MK_EUNKNOWN)
            finish(x, false, 0);
    }
    mk_arena_done(&arena);
    mk_conv_consumed(conv, m.n);
}

static const struct mk_conv_cbs client_cbs = {.message = conv_message, .closed = conv_closed};

static struct mk_conv *conv_to(struct client *x, unsigned member)
{
    struct mk_exec_hello hello = {x->c->deployment, x->c->stable_id, {NULL, 0}};
    struct mk_link *l = mk_net_link(x->net, &x->c->peers[member]);
    struct mk_buf b = {0};

    if (x->convs[member] != NULL || l == NULL)
        return x->convs[member];
    mk_encode(&b, &mk_exec_hello_type, &hello);
    if (mk_conv_open(l, &x->convs[member], "exec", mk_buf_bytes(&b), &client_cbs, x) != 0)
        x->convs[member] = NULL;
    mk_buf_done(&b);
    return x->convs[member];
}

/* --- operations ---------------------------------------------------------------------------- */

static void put_request(struct client *x, struct mk_exec_request *r, char text[64])
{
    const struct operation *op = op_of(x);

    if (op->kind == OP_SET)
        snprintf(text, 64, "set k%u %llu", op->key, (unsigned long long)op->value);
    else
        snprintf(text, 64, op->kind == OP_GET ? "get k%u" : "add %u", op->key);
    if (op->kind == OP_TICK)
        snprintf(text, 64, "tick %llu", (unsigned long long)op->value);
    if (op->kind == OP_GET) {
        r->tag = mk_exec_request_Query;
        bool lease = x->c->o.lease_ms > 0 && (x->number % 4 != 0 || x->c->snatched != 0);

        r->u.query = (struct mk_exec_query){x->number, lease ? MK_READ_LEASE : MK_READ_LINEAR,
                                            MK_BYTES(text, strlen(text))};
    } else {
        r->tag = mk_exec_request_Execute;
        r->u.execute = (struct mk_exec_command){x->number, x->session, x->number, false,
                                                MK_BYTES(text, strlen(text))};
    }
}

static bool is_inside(const struct client *x, unsigned node)
{
    return (x->c->snatched >> node & 1) != 0;
}

/* Does this client ask that member at the moment? */
static bool asks(const struct client *x, unsigned member)
{
    return x->c->snatched == 0 || is_inside(x, x->c->n + x->i) == is_inside(x, member);
}

/* The next member that has a link; asks again later when there is none. */
static void ask(struct client *x)
{
    struct mk_exec_request r;
    struct mk_buf b = {0};
    struct mk_conv *conv = NULL;
    char text[64];

    for (unsigned i = 0; i < x->c->n && conv == NULL; i++) {
        x->asked = (x->asked + 1) % x->c->n;
        conv = asks(x, x->asked) ? conv_to(x, x->asked) : NULL;
    }
    if (conv != NULL) {
        put_request(x, &r, text);
        mk_encode(&b, &mk_exec_request_type, &r);
        mk_conv_send(conv, mk_buf_bytes(&b));
        mk_buf_done(&b);
    }
    mk_timer_start(x->env, &x->timer,
                   mk_now(x->env) + (x->c->snatched != 0 ? HURRY_MS : ASK_AGAIN_MS) * MK_MS);
}

static void begin(struct client *x)
{
    struct operation op = {.returned = UINT64_MAX, .invoked = world_time_ns(x->c->w)};
    uint64_t kind = world_workload(x->c->w, 10);

    x->op = x->c->history.n / sizeof op;
    op.kind = kind < 3 ? OP_SET : kind < 7 ? OP_GET : kind < 9 ? OP_ADD : OP_TICK;
    op.key = (unsigned)world_workload(x->c->w, x->keys);
    if (x->c->snatched != 0) {
        op.kind = is_inside(x, x->c->n + x->i) ? OP_GET : OP_SET;
        op.key = 100 + x->c->snatches;
    }
    op.value = op.kind == OP_SET || op.kind == OP_TICK ? x->op + 1 : 0;
    mk_buf_put(&x->c->history, &op, sizeof op);
    x->busy = true;
    x->number++;
    x->started_ns = mk_now(x->env);
    ask(x);
}

static void client_tick(struct mk_timer *t)
{
    struct client *x = mk_container_of(t, struct client, timer);

    if (x->busy && mk_now(x->env) > x->started_ns + GIVE_UP_MS * MK_MS)
        finish(x, false, 0);
    else if (x->busy)
        ask(x);
    else if (!x->c->stop)
        begin(x);
}

/* --- processes -------------------------------------------------------------------------------- */

static void *client_boot(struct mk_env *e, unsigned node, void *arg)
{
    struct cluster_boot *b = arg;
    struct cluster *c = b->c;
    struct client *x = mk_alloc(sizeof *x);

    (void)node;
    x->c = c;
    x->i = b->i - c->n;
    x->env = e;
    x->timer.cb = client_tick;
    x->session = 1000000 + x->i;
    mk_env_vouch(e, &c->client_keys[x->i].peer);
    MK_ASSERT(
        mk_net_open(e, &x->net,
                    &(struct mk_net_options){&c->client_keys[x->i], MK_UNIVERSE, !c->o.tls}) == 0);
    for (unsigned i = 0; i < c->n; i++) {
        char address[32];

        snprintf(address, sizeof address, "n%u:7000", i);
        mk_net_dial(x->net, &x->dials[i], &c->peers[i], address);
    }
    return x;
}

static void client_destroy(void *state)
{
    struct client *x = state;

    mk_timer_stop(&x->timer);
    for (unsigned i = 0; i < x->c->n; i++)
        mk_net_undial(&x->dials[i]);
    mk_net_close(x->net);
    mk_free(x);
}

void clients_boot(struct cluster *c)
{
    static const struct world_program program = {client_boot, client_destroy};

    for (unsigned i = 0; i < c->o.clients; i++)
        world_boot(c->w, c->n + i, &program, &c->boots[c->n + i]);
}

void cluster_workload(struct cluster *c, unsigned keys, unsigned pause_ms)
{
    c->stop = false;
    for (unsigned i = 0; i < c->o.clients; i++) {
        struct client *x = client_of(c, i);

        x->keys = keys;
        x->pause_ms = pause_ms;
        mk_timer_start(x->env, &x->timer, mk_now(x->env) + 1 + i * MK_MS);
    }
}

void cluster_snatch(struct cluster *c, uint64_t side)
{
    c->snatched = side;
    c->snatches += side != 0;
    for (unsigned i = 0; i < c->o.clients && side != 0; i++) {
        struct client *x = client_of(c, i);

        mk_timer_start(x->env, &x->timer, mk_now(x->env) + 1);
    }
}

void cluster_workload_stop(struct cluster *c)
{
    c->stop = true;
}

bool cluster_workload_idle(struct cluster *c)
{
    for (unsigned i = 0; i < c->o.clients; i++)
        if (client_of(c, i)->busy)
            return false;
    return c->stop;
}

/* --- judging the history
 * --------------------------------------------------------------------------- */

static void judge(struct mk_linear *h, const char *what)
{
    struct mk_linear_result r;

    mk_linear_check(h, &r, &(struct mk_linear_limits){0});
    if (r.verdict != MK_LINEAR_OK)
        cluster_violation("%s: not linearizable: %s", what, r.why);
    mk_linear_free(h);
}

/* Values of registers are unique, but a key's first is none: 0. */
void cluster_check_history(struct cluster *c)
{
    const struct operation *ops = (const struct operation *)(const void *)c->history.p;
    struct mk_linear *registers = mk_linear_new(MK_LINEAR_CAS_REGISTER);
    struct mk_linear *counters = mk_linear_new(MK_LINEAR_COUNTER);

    for (size_t i = 0; i < c->history.n / sizeof *ops; i++) {
        const struct operation *op = &ops[i];
        struct mk_linear_operation o = {
            .kind = op->kind == OP_SET   ? MK_LINEAR_WRITE
                    : op->kind == OP_GET ? MK_LINEAR_READ
                                         : MK_LINEAR_ADD,
            .key = op->key,
            .a = op->value,
            .invoked = op->invoked,
            .answered = op->returned == UINT64_MAX ? MK_LINEAR_NEVER : op->returned,
        };

        if (op->kind != OP_TICK)
            mk_linear_put(op->kind == OP_ADD ? counters : registers, &o);
    }
    judge(registers, "registers");
    judge(counters, "counters");
}

uint64_t cluster_operations(const struct cluster *c)
{
    const struct operation *ops = (const struct operation *)(const void *)c->history.p;
    uint64_t n = 0;

    for (size_t i = 0; i < c->history.n / sizeof *ops; i++)
        n += ops[i].returned != UINT64_MAX;
    return n;
}
