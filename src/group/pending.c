/* Commands on their way, keyed by (sender, session, number): whoever asks for the same
 * one again joins those who wait already.
 *
 *   add --session knows it--> answer at once
 *      \--we lead-----------> QUEUED --batch--> PROPOSED --applied--> answers
 *      \--leader linked-----> FORWARDED ---its answer, or applied here---> answers
 *      \--neither-----------> WAITS, told why every 100 ms
 *
 * When leadership or a link changes nobody knows what became of the proposed and the
 * forwarded ones. They simply go again: the session makes a second commit impossible.
 * Those that only other members asked for are dropped instead: those members send them
 * to whoever leads now.
 *
 * Batches: everything queued becomes one proposal whose last entry is marked (a point to
 * sign). While a batch of ours is on its way to the disk the next one gathers, unless it
 * is large: the disk takes one write at a time anyway, and fewer batches mean fewer
 * messages and signatures. */
#include "base/planted.h"
#include "group/group_int.h"

#include <stdio.h>
#include <string.h>

#define BATCH_ENTRIES 1024u  /* of one proposal at most; also goes without waiting for the disk */
#define SAY_NS (100 * MK_MS) /* after so long, and again, a client is told that it waits */
#define SAY_MAX 64u          /* are told in one turn: the oldest */
#define REROUTE_NS (100 * MK_MS)

struct extra {
    struct mk_list node;
    struct mk_blob *blob;
};

/* --- waiters ------------------------------------------------------------------------- */

struct mk_waiter *mk_waiter_new(enum mk_waiter_kind kind, uint64_t id, bool certified)
{
    struct mk_waiter *w = mk_alloc(sizeof *w);

    mk_list_init(&w->node);
    mk_list_init(&w->owner);
    w->kind = kind;
    w->id = id;
    w->certified = certified;
    return w;
}

void mk_waiter_free(struct mk_waiter *w)
{
    mk_list_del(&w->node);
    mk_list_del(&w->owner);
    mk_buf_done(&w->outcome);
    mk_free(w);
}

static void answer_submit(struct mk_waiter *w, struct mk_bytes outcome)
{
    struct mk_arena arena = {0};
    struct mk_submit *s = w->submit;
    struct mk_outcome o;
    int status;

    mk_waiter_free(w);
    s->impl = NULL;
    MK_ASSERT(mk_decode(&o, &mk_outcome_type, outcome, &arena, NULL) == 0);
    status = -(int)o.status;
    if (status == 0 || status == MK_EREFUSED)
        s->cb(s, status, &o);
    else
        s->cb(s, status, NULL);
    mk_arena_done(&arena);
}

static void answer_member(struct mk_waiter *w, struct mk_bytes outcome)
{
    uint8_t head[16];
    struct mk_buf h = {.p = head, .cap = sizeof head};
    struct mk_member *m = w->member;
    struct mk_bytes parts[2];

    mk_put_varint(&h, mk_member_message_Forwarded);
    mk_put_varint(&h, w->id);
    parts[0] = mk_buf_bytes(&h);
    parts[1] = outcome;
    mk_waiter_free(w);
    mk_member_put(m, parts, 2);
}

void mk_waiter_answer(struct mk_group *g, struct mk_waiter *w, struct mk_bytes outcome)
{
    g->n_answered++;
    switch (w->kind) {
    case MK_WAITER_CLIENT:
        mk_exec_answered(g, w, outcome);
        break;
    case MK_WAITER_SUBMIT:
        answer_submit(w, outcome);
        break;
    case MK_WAITER_MEMBER:
        answer_member(w, outcome);
        break;
    }
}

/* --- the table ------------------------------------------------------------------------------ */

static struct mk_pending *pending_find(const struct mk_group *g, const struct mk_peer *sender,
                                       uint64_t session, uint64_t number, uint64_t hash)
{
    for (struct mk_table_node *n = mk_table_first(&g->pending_table, hash); n;
         n = mk_table_next(n)) {
        struct mk_pending *p = mk_container_of(n, struct mk_pending, node);

        if (p->session == session && p->number == number && mk_peer_eq(&p->sender, sender))
            return p;
    }
    return NULL;
}

static void pending_free(struct mk_group *g, struct mk_pending *p)
{
    struct mk_list *at;

    while ((at = mk_list_pop(&p->waiters)) != NULL)
        mk_waiter_free(mk_container_of(at, struct mk_waiter, node));
    g->pending_bytes -= p->entry->n;
    mk_table_del(&g->pending_table, &p->node);
    mk_list_del(&p->order);
    mk_list_del(&p->queue);
    mk_blob_unref(p->entry);
    mk_free(p);
}

/* All waiters get the outcome; p is gone. A waiter's answer may call into the group
 * again (a driver that submits its next command), so p leaves the table first. */
static void pending_answer(struct mk_group *g, struct mk_pending *p, struct mk_bytes outcome)
{
    struct mk_list waiters, *at;

    mk_list_init(&waiters);
    while ((at = mk_list_pop(&p->waiters)) != NULL)
        mk_list_add_tail(&waiters, at);
    pending_free(g, p);
    while ((at = mk_list_pop(&waiters)) != NULL) {
        struct mk_waiter *w = mk_container_of(at, struct mk_waiter, node);

        w->pending = NULL;
        mk_waiter_answer(g, w, outcome);
    }
}

static void pending_give_up(struct mk_group *g, struct mk_pending *p, int err, const char *why)
{
    struct mk_buf b = {0};

    mk_outcome_plain(&b, err, why);
    pending_answer(g, p, mk_buf_bytes(&b));
    mk_buf_done(&b);
}

void mk_pending_answer(struct mk_group *g, const struct mk_peer *sender, uint64_t session,
                       uint64_t number, struct mk_bytes outcome)
{
    uint64_t hash;
    struct mk_pending *p;

    if (g->pending_table.n == 0)
        return;
    hash = mk_table_hash(&g->pending_table, sender, session, number);
    p = pending_find(g, sender, session, number, hash);
    if (p != NULL)
        pending_answer(g, p, outcome);
}

/* --- finding its way ---------------------------------------------------------------------------
 */

static void queue_it(struct mk_group *g, struct mk_pending *p)
{
    struct mk_blob *fresh;

    if (p->entry->refs > 1) { /* an earlier proposal shares it, with its mark */
        fresh = mk_blob_new(p->entry->p, p->entry->n);
        mk_blob_unref(p->entry);
        p->entry = fresh;
    }
    p->entry->p[0] = 0;
    p->where = MK_PENDING_QUEUED;
    mk_list_del(&p->queue);
    mk_list_add_tail(&g->queue, &p->queue);
}

static void forward(struct mk_group *g, struct mk_pending *p, struct mk_member *leader)
{
    struct mk_member_message msg = {.tag = mk_member_message_Forward};
    struct mk_forward *f = &msg.u.forward;

    f->id = p->forward_id = ++g->forward_ids;
    f->execute = (struct mk_execute){
        .sender = p->sender,
        .session = p->session,
        .number = p->number,
        .command = MK_BYTES(p->entry->p + p->command_at, p->entry->n - p->command_at),
    };
    p->where = mk_member_send(leader, &msg) ? MK_PENDING_FORWARDED : MK_PENDING_WAITS;
    mk_list_each(at, &p->waiters)
    {
        struct mk_waiter *w = mk_container_of(at, struct mk_waiter, node);

        if (w->kind == MK_WAITER_CLIENT)
            mk_exec_hint(w->client, &leader->peer);
    }
}

static bool wanted_here(const struct mk_pending *p)
{
    mk_list_each(at, &p->waiters)
    {
        if (mk_container_of(at, struct mk_waiter, node)->kind != MK_WAITER_MEMBER)
            return true;
    }
    return false;
}

static void route(struct mk_group *g, struct mk_pending *p)
{
    struct mk_member *leader = mk_member_leader(g);

    mk_list_del(&p->queue);
    p->where = MK_PENDING_WAITS;
    if (mk_group_leads(g)) {
        queue_it(g, p);
        mk_group_wake(g);
    } else if (!wanted_here(p))
        pending_give_up(g, p, MK_ENOTLEADER, "not the leader");
    else if (leader != NULL && leader->up)
        forward(g, p, leader);
}

void mk_pending_reroute(struct mk_group *g)
{
    mk_list_each(at, &g->pending)
    {
        route(g, mk_container_of(at, struct mk_pending, order));
    }
}

/* --- adding
 * --------------------------------------------------------------------------------------- */

static struct mk_blob *encode_entry(const struct mk_execute *x, size_t *ret_command_at)
{
    uint8_t head[64];
    struct mk_buf h = {.p = head, .cap = sizeof head};
    struct mk_blob *b;

    mk_buf_put_u8(&h, 0);
    mk_put_varint(&h, mk_logged_Execute);
    mk_buf_put(&h, x->sender.b, sizeof x->sender.b);
    mk_put_varint(&h, x->session);
    mk_put_varint(&h, x->number);
    mk_put_varint(&h, x->command.n);
    b = mk_blob_take(h.n + x->command.n);
    memcpy(b->p, h.p, h.n);
    if (x->command.n > 0)
        memcpy(b->p + h.n, x->command.p, x->command.n);
    *ret_command_at = h.n;
    return b;
}

static struct mk_pending *pending_new(struct mk_group *g, const struct mk_execute *x, uint64_t hash)
{
    struct mk_pending *p = mk_alloc(sizeof *p);

    p->sender = x->sender;
    p->session = x->session;
    p->number = x->number;
    p->entry = encode_entry(x, &p->command_at);
    p->since_ns = p->said_ns = mk_now(g->env);
    mk_list_init(&p->waiters);
    mk_list_init(&p->queue);
    mk_list_init(&p->order);
    mk_list_add_tail(&g->pending, &p->order);
    mk_table_add(&g->pending_table, &p->node, hash);
    g->pending_bytes += p->entry->n;
    return p;
}

/* Answers what needs no log entry: a known answer, or one that is not kept any more. A
 * follower may not know the newest answers: it says unknown only where the number
 * proves it. */
static bool answered_at_once(struct mk_group *g, const struct mk_execute *x, struct mk_waiter *w)
{
    struct mk_bytes outcome;

    if (mk_state_look(g->st, &x->sender, x->session, x->number, &outcome) != MK_SESSION_REPEATED)
        return false;
    mk_waiter_answer(g, w, outcome);
    return true;
}

int mk_pending_add(struct mk_group *g, const struct mk_peer *sender, uint64_t session,
                   uint64_t number, struct mk_bytes command, struct mk_waiter *w)
{
    struct mk_execute x = {*sender, session, number, command};
    uint64_t hash = mk_table_hash(&g->pending_table, sender, session, number);
    struct mk_pending *p = pending_find(g, sender, session, number, hash);
    bool fresh = p == NULL;

    if (command.n > MK_COMMAND_MAX)
        return MK_ELIMIT;
    if (fresh && g->pending_bytes + command.n > MK_PROPOSED_MAX && !MK_PLANTED(UNBOUNDED_QUEUE))
        return MK_EFULL;
    if (fresh && w->kind != MK_WAITER_SUBMIT && answered_at_once(g, &x, w))
        return 0;
    if (fresh)
        p = pending_new(g, &x, hash);
    w->pending = p;
    mk_list_add_tail(&p->waiters, &w->node);
    if (fresh)
        route(g, p);
    return 0;
}

void mk_pending_forwarded(struct mk_group *g, struct mk_member *m, uint64_t id,
                          const struct mk_outcome *outcome)
{
    struct mk_buf b = {0};

    if (m != mk_member_leader(g) && outcome->status != (uint32_t)-MK_ENOTLEADER)
        return;
    mk_list_each(at, &g->pending)
    {
        struct mk_pending *p = mk_container_of(at, struct mk_pending, order);

        if (p->where != MK_PENDING_FORWARDED || p->forward_id != id)
            continue;
        if (outcome->status == (uint32_t)-MK_ENOTLEADER) {
            p->where = MK_PENDING_WAITS;
            break;
        }
        mk_encode(&b, &mk_outcome_type, outcome);
        pending_answer(g, p, mk_buf_bytes(&b));
        break;
    }
    mk_buf_done(&b);
}

void mk_waiters_forget(struct mk_group *g, struct mk_list *owner)
{
    struct mk_list *at;

    while ((at = mk_list_pop(owner)) != NULL) {
        struct mk_waiter *w = mk_container_of(at, struct mk_waiter, owner);

        if (w->pending == NULL && !mk_list_empty(&w->node))
            mk_exec_unproving(g, w);
        mk_waiter_free(w);
    }
}

/* --- batches
 * ------------------------------------------------------------------------------------------ */

void mk_pending_extra(struct mk_group *g, struct mk_blob *blob)
{
    struct extra *x = mk_alloc(sizeof *x);

    x->blob = blob;
    mk_list_add_tail(&g->extras, &x->node);
    mk_group_wake(g);
}

void mk_pending_persisted(struct mk_group *g, uint64_t index)
{
    if (g->batch_last != 0 && index >= g->batch_last) {
        g->batch_last = 0;
        mk_group_wake(g);
    }
}

static unsigned gather(struct mk_group *g, struct mk_blob **blobs)
{
    struct mk_list *at;
    unsigned n = 0;

    while (n < BATCH_ENTRIES && (at = mk_list_pop(&g->extras)) != NULL) {
        struct extra *x = mk_container_of(at, struct extra, node);

        x->blob->p[0] |= MK_ENTRY_MARK;
        blobs[n++] = x->blob;
        mk_free(x);
    }
    while (n < BATCH_ENTRIES && (at = mk_list_pop(&g->queue)) != NULL) {
        struct mk_pending *p = mk_container_of(at, struct mk_pending, queue);

        p->where = MK_PENDING_PROPOSED;
        blobs[n++] = mk_blob_ref(p->entry);
    }
    return n;
}

/* Not taken (the log is full, or leadership is being handed over): what was gathered goes
 * back into the queue, all of it in order of arrival, until the next turn that consensus
 * or a client causes. Asking for one here would spin. Entries of the group's own are dropped:
 * whoever made them sees that they did not come, and makes them again. */
static void put_back(struct mk_group *g, struct mk_blob **blobs, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        mk_blob_unref(blobs[i]);
    mk_list_each(at, &g->pending)
    {
        struct mk_pending *p = mk_container_of(at, struct mk_pending, order);

        if (p->where == MK_PENDING_QUEUED ||
            (p->where == MK_PENDING_PROPOSED && p->entry->refs == 1))
            queue_it(g, p);
    }
}

static void propose(struct mk_group *g)
{
    struct mk_blob *blobs[BATCH_ENTRIES];
    unsigned n = gather(g, blobs), unmarked = g->unmarked;
    uint64_t first;

    if (n == 0)
        return;
    mk_marks_set(g, blobs, n);
    if (mk_consensus_submit(g->raft, &first, blobs, n, mk_drive_now_ms(g)) != 0) {
        put_back(g, blobs, n);
        mk_marks_refused(g, unmarked);
        g->queue_full = true;
        return;
    }
    g->batch_last = first + n - 1;
}

void mk_pending_turn(struct mk_group *g)
{
    bool busy = g->batch_last != 0;

    if (g->reroute) {
        g->reroute = false;
        g->batch_last = 0;
        mk_pending_reroute(g);
        busy = false;
    }
    g->queue_full = false;
    if (g->raft == NULL || !mk_group_leads(g) || busy)
        return;
    if (!mk_list_empty(&g->queue) || !mk_list_empty(&g->extras))
        propose(g);
}

/* --- time
 * ---------------------------------------------------------------------------------------------------
 */

static void say_why(struct mk_group *g, struct mk_pending *p, const char *why)
{
    p->said_ns = mk_now(g->env);
    mk_list_each(at, &p->waiters)
    {
        struct mk_waiter *w = mk_container_of(at, struct mk_waiter, node);

        if (w->kind == MK_WAITER_CLIENT)
            mk_exec_said(w, why);
    }
}

/* Called when the oldest has waited long: it is given up, told why, or sent again. */
void mk_pending_old(struct mk_group *g)
{
    uint64_t now = mk_now(g->env);
    unsigned said = 0;
    char why[256];

    if (now < mk_pending_deadline(g))
        return;
    mk_group_why(g, why);
    mk_list_each(at, &g->pending)
    {
        struct mk_pending *p = mk_container_of(at, struct mk_pending, order);

        if (now >= p->since_ns + MK_PENDING_LIFE_MS * MK_MS)
            pending_give_up(g, p, MK_ETIMEDOUT, why);
        else if (p->where == MK_PENDING_WAITS)
            route(g, p);
    }
    mk_list_each(at, &g->pending)
    {
        struct mk_pending *p = mk_container_of(at, struct mk_pending, order);

        if (said++ == SAY_MAX || now < p->said_ns + SAY_NS)
            break;
        say_why(g, p, why);
    }
    g->old_ns = now + REROUTE_NS;
}

uint64_t mk_pending_deadline(const struct mk_group *g)
{
    const struct mk_pending *p;
    uint64_t at;

    if (mk_list_empty(&g->pending))
        return UINT64_MAX;
    p = mk_container_of(g->pending.next, struct mk_pending, order);
    at = p->since_ns + REROUTE_NS;
    return at > g->old_ns ? at : g->old_ns;
}

static void give_all_up(struct mk_group *g, int err, const char *why)
{
    while (!mk_list_empty(&g->pending))
        pending_give_up(g, mk_container_of(g->pending.next, struct mk_pending, order), err, why);
}

void mk_pending_fail(struct mk_group *g)
{
    give_all_up(g, MK_ETIMEDOUT, g->failure);
}

void mk_pending_close(struct mk_group *g)
{
    struct mk_list *at;

    give_all_up(g, MK_ECANCELED, "the member shuts down");
    while ((at = mk_list_pop(&g->extras)) != NULL) {
        struct extra *x = mk_container_of(at, struct extra, node);

        mk_blob_unref(x->blob);
        mk_free(x);
    }
    mk_table_done(&g->pending_table);
}

/* --- for drivers
 * ------------------------------------------------------------------------------------------------
 */

int mk_group_submit(struct mk_group *g, struct mk_submit *s, uint64_t session, uint64_t number,
                    struct mk_bytes command)
{
    struct mk_waiter *w;
    int rv;

    if (g->state == MK_GROUP_FAILED)
        return MK_EIO;
    w = mk_waiter_new(MK_WAITER_SUBMIT, 0, false);
    w->submit = s;
    rv = mk_pending_add(g, mk_net_self(g->net), session, number, command, w);
    if (rv != 0)
        mk_waiter_free(w);
    else
        s->impl = w;
    return rv;
}
