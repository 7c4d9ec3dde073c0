/* Reads. A weak one is answered from what is applied here. A linearizable one goes to
 * the leader, who lets a majority confirm after it arrived that he still leads
 * (mk_consensus_read: messages, no disk) and has applied all that was committed then.
 *
 * Under a lease (MK_READ_LEASE, where the group has leases) he need not ask while he holds one.
 *
 *   WAITS (no leader) --> FORWARDED --> its answer
 *                   \---> CONFIRMING --> APPLYING --> answer
 *
 * A change of role or link sends everything back to WAITS: a read can be repeated. */
#include "group/exec.h"

#define QUERY_LIFE_NS (10 * MK_S)
#define QUERY_RETRY_NS (100 * MK_MS) /* and the client is told that it waits */
#define QUERY_SAY_MAX 64u
#define QUERIES_MAX 65536u

enum where { WAITS, FORWARDED, CONFIRMING, APPLYING };

struct query {
    struct mk_list node;
    struct mk_exec_conv *x; /* or */
    struct mk_member *m;
    uint64_t id;
    enum where where;
    enum mk_read read;
    uint64_t ticket, index, forward_id;
    uint64_t since_ns;
    size_t n;
    uint8_t p[];
};

static void answer_member(struct mk_member *m, uint64_t id, struct mk_bytes outcome)
{
    uint8_t head[16];
    struct mk_buf h = {.p = head, .cap = sizeof head};
    struct mk_bytes parts[2];

    mk_put_varint(&h, mk_member_message_Forwarded);
    mk_put_varint(&h, id);
    parts[0] = mk_buf_bytes(&h);
    parts[1] = outcome;
    mk_member_put(m, parts, 2);
}

static void answer_to(struct mk_exec_conv *x, struct mk_member *m, uint64_t id,
                      struct mk_bytes outcome)
{
    if (x != NULL)
        mk_exec_plain(x, id, 1, outcome);
    else
        answer_member(m, id, outcome);
}

static void query_free(struct mk_group *g, struct query *q)
{
    if (q->x != NULL)
        q->x->n_waiting--;
    g->n_queries--;
    mk_list_del(&q->node);
    mk_free(q);
}

static void query_answer(struct mk_group *g, struct query *q, struct mk_bytes outcome)
{
    struct mk_exec_conv *x = q->x;
    struct mk_member *m = q->m;
    uint64_t id = q->id;

    query_free(g, q);
    answer_to(x, m, id, outcome);
}

static void query_fail(struct mk_group *g, struct query *q, int err, const char *text)
{
    struct mk_buf b = {0};

    mk_outcome_plain(&b, err, text);
    query_answer(g, q, mk_buf_bytes(&b));
    mk_buf_done(&b);
}

/* The machine's answer, as pc(Outcome). */
static void run(struct mk_group *g, struct mk_bytes query, struct mk_buf *outcome)
{
    struct mk_buf answer = {0};
    struct mk_fault f = {{0}};
    int rv = mk_state_query(g->st, query, &answer, &f);

    if (rv == 0 && answer.n > MK_ANSWER_MAX)
        rv = mk_fault(&f, MK_ELIMIT, "the answer is over %u bytes", MK_ANSWER_MAX);
    if (rv == 0) {
        mk_outcome_plain(outcome, 0, "");
        outcome->n--; /* an empty answer's length */
        mk_put_varint(outcome, answer.n);
        mk_buf_put(outcome, answer.p, answer.n);
    } else {
        mk_outcome_plain(outcome, rv, f.text[0] != 0 ? f.text : mk_strerror(rv));
    }
    mk_buf_done(&answer);
}

static void query_run(struct mk_group *g, struct query *q)
{
    struct mk_buf b = {0};

    run(g, MK_BYTES(q->p, q->n), &b);
    query_answer(g, q, mk_buf_bytes(&b));
    mk_buf_done(&b);
}

/* --- finding its way -------------------------------------------------------------------- */

static void forward(struct mk_group *g, struct query *q, struct mk_member *leader)
{
    struct mk_member_message msg = {.tag = mk_member_message_Forward};
    struct mk_forward *f = &msg.u.forward;

    f->id = q->forward_id = ++g->forward_ids;
    f->query = (uint8_t)q->read;
    f->execute.sender = *mk_net_self(g->net);
    f->execute.command = MK_BYTES(q->p, q->n);
    q->where = mk_member_send(leader, &msg) ? FORWARDED : WAITS;
}

/* Ours is the leader: a round, or the lease that he holds. */
static void confirm(struct mk_group *g, struct query *q)
{
    uint64_t now_ms = mk_drive_now_ms(g);
    int rv = q->read == MK_READ_LEASE ? mk_consensus_read_leased(g->raft, &q->ticket, now_ms)
                                      : mk_consensus_read(g->raft, &q->ticket, now_ms);

    mk_group_wake(g);
    if (rv != 0)
        return;
    q->where = CONFIRMING;
    if (q->ticket != 0)
        return;
    g->n_leased++;
    q->where = APPLYING;
    q->index = mk_consensus_commit(g->raft);
    if (q->index <= mk_state_index(g->st))
        query_run(g, q);
}

static void route(struct mk_group *g, struct query *q)
{
    struct mk_member *leader = mk_member_leader(g);

    q->where = WAITS;
    if (mk_group_leads(g)) {
        confirm(g, q);
    } else if (q->m != NULL) {
        query_fail(g, q, MK_ENOTLEADER, "not the leader");
    } else if (leader != NULL && leader->up) {
        forward(g, q, leader);
    }
}

void mk_query_start(struct mk_group *g, struct mk_exec_conv *x, struct mk_member *m, uint64_t id,
                    enum mk_read read, struct mk_bytes query)
{
    struct mk_buf b = {0};
    struct query *q;

    if (read == MK_READ_WEAK || g->n_queries >= QUERIES_MAX) {
        if (g->state == MK_GROUP_DAMAGED)
            mk_outcome_plain(&b, MK_ENOTLEADER, g->damage);
        else if (read != MK_READ_WEAK)
            mk_outcome_plain(&b, MK_EFULL, "too many reads in flight here");
        else
            run(g, query, &b);
        answer_to(x, m, id, mk_buf_bytes(&b));
        mk_buf_done(&b);
        return;
    }
    q = mk_alloc(sizeof *q + query.n);
    q->x = x;
    q->m = m;
    q->id = id;
    q->read = read;
    q->since_ns = mk_now(g->env);
    q->n = query.n;
    for (size_t i = 0; i < query.n; i++)
        q->p[i] = query.p[i];
    mk_list_add_tail(&g->queries, &q->node);
    g->n_queries++;
    if (x != NULL)
        x->n_waiting++;
    route(g, q);
}

/* --- events -------------------------------------------------------------------------------- */

void mk_query_confirmed(struct mk_group *g, uint64_t ticket, uint64_t index)
{
    bool any = false;

    mk_list_each(at, &g->queries)
    {
        struct query *q = mk_container_of(at, struct query, node);

        if (q->where != CONFIRMING || q->ticket > ticket)
            continue;
        q->where = APPLYING;
        q->index = index;
        any = true;
    }
    if (any)
        mk_query_applied(g);
}

void mk_query_applied(struct mk_group *g)
{
    mk_list_each(at, &g->queries)
    {
        struct query *q = mk_container_of(at, struct query, node);

        if (q->where == APPLYING && q->index <= mk_state_index(g->st))
            query_run(g, q);
    }
}

void mk_query_forwarded(struct mk_group *g, uint64_t id, const struct mk_outcome *outcome)
{
    struct mk_buf b = {0};

    mk_list_each(at, &g->queries)
    {
        struct query *q = mk_container_of(at, struct query, node);

        if (q->where != FORWARDED || q->forward_id != id)
            continue;
        if (outcome->status == (uint32_t)-MK_ENOTLEADER) {
            q->where = WAITS;
            break;
        }
        mk_encode(&b, &mk_outcome_type, outcome);
        query_answer(g, q, mk_buf_bytes(&b));
        break;
    }
    mk_buf_done(&b);
}

void mk_query_role_changed(struct mk_group *g)
{
    mk_list_each(at, &g->queries)
    {
        route(g, mk_container_of(at, struct query, node));
    }
}

static void say_why(struct query *q, const char *why)
{
    struct mk_buf b = {0};

    mk_outcome_plain(&b, 0, why);
    mk_exec_plain(q->x, q->id, 0, mk_buf_bytes(&b));
    mk_buf_done(&b);
}

void mk_query_turn(struct mk_group *g)
{
    uint64_t now = mk_now(g->env);
    unsigned said = 0;
    char why[256];

    if (mk_list_empty(&g->queries) || now < mk_query_deadline(g))
        return;
    g->queries_ns = now + QUERY_RETRY_NS;
    mk_group_why(g, why);
    mk_list_each(at, &g->queries)
    {
        struct query *q = mk_container_of(at, struct query, node);

        if (now >= q->since_ns + QUERY_LIFE_NS)
            query_fail(g, q, MK_ETIMEDOUT, why);
        else if (q->where == WAITS)
            route(g, q);
    }
    mk_list_each(at, &g->queries)
    {
        struct query *q = mk_container_of(at, struct query, node);

        if (said++ == QUERY_SAY_MAX || now < q->since_ns + QUERY_RETRY_NS)
            break;
        if (q->x != NULL)
            say_why(q, why);
    }
}

uint64_t mk_query_deadline(const struct mk_group *g)
{
    return mk_list_empty(&g->queries) ? UINT64_MAX : g->queries_ns;
}

void mk_query_forget(struct mk_group *g, const struct mk_exec_conv *x, const struct mk_member *m)
{
    mk_list_each(at, &g->queries)
    {
        struct query *q = mk_container_of(at, struct query, node);

        if (q->x == x && q->m == m)
            query_free(g, q);
    }
}

void mk_query_close(struct mk_group *g)
{
    mk_list_each(at, &g->queries)
    {
        query_free(g, mk_container_of(at, struct query, node));
    }
}
