/* Machine time: when this member proposes an Advance (spec/committees.md, "Machine time").
 *
 *   first link to a leader -----------------> once
 *   a reader is served here, ours 5 s old --> again
 *   the machine's awaited time has come ----> again
 *   never more than once a second
 *
 * The lower median of three does not move when one member alone advances, and a reader
 * hangs on one member. So a member follows: when it sees that another's last is 5 s
 * ahead of its own, somebody serves a reader, and it proposes too. Without readers
 * nobody starts, so a quiet group stays quiet.
 *
 * The clock behind the proposals: wall time at opening, carried on by the monotonic
 * clock, drawn towards the wall clock by at most 100 ms a second. A wall clock that
 * jumps does not make machine time jump; `clock_stepped` is for the status. */
#include "group/group_int.h"

#define RENEW_MS 5050u /* a little over 5 s, so that a head of the last one is 5 s old */
#define LEAST_NS (1000 * MK_MS)
#define SLEW_MS_PER_S 100
#define STEP_MS 5000 /* a difference above this is a step */

void mk_time_open(struct mk_group *g)
{
    g->clock_base_ms = mk_wall_ms(g->env);
    g->clock_mono_ns = g->clock_slew_ns = mk_now(g->env);
}

static uint64_t clock_now_ms(struct mk_group *g)
{
    uint64_t now = mk_now(g->env);
    int64_t run = (int64_t)((now - g->clock_mono_ns) / MK_MS);
    int64_t mine = (int64_t)g->clock_base_ms + run + g->clock_offset_ms;
    int64_t behind = (int64_t)mk_wall_ms(g->env) - mine;
    int64_t may = (int64_t)((now - g->clock_slew_ns) / MK_MS) * SLEW_MS_PER_S / 1000;

    g->clock_stepped = behind > STEP_MS || behind < -STEP_MS;
    if (may == 0)
        return (uint64_t)mine;
    g->clock_slew_ns = now;
    behind = behind > may ? may : behind < -may ? -may : behind;
    g->clock_offset_ms += behind;
    return (uint64_t)(mine + behind);
}

static uint64_t own_last_ms(const struct mk_group *g)
{
    return mk_state_last_ms(g->st, mk_net_self(g->net));
}

static struct mk_blob *blob_of(const struct mk_advance *a)
{
    struct mk_logged e = {.tag = mk_logged_Advance, .u.advance = *a};
    struct mk_buf b = {0};
    struct mk_blob *blob;

    mk_buf_put_u8(&b, MK_ENTRY_MARK);
    mk_encode(&b, &mk_logged_type, &e);
    blob = mk_blob_new(b.p, b.n);
    mk_buf_done(&b);
    return blob;
}

static void propose(struct mk_group *g, uint64_t unix_ms)
{
    struct mk_member_message msg = {.tag = mk_member_message_Advance};
    struct mk_advance *a = &msg.u.advance;
    struct mk_member *leader = mk_member_leader(g);
    struct mk_buf m = {0};

    a->peer = *mk_net_self(g->net);
    a->unix_ms = unix_ms;
    mk_buf_put_str(&m, "mosaik.time.v1");
    mk_buf_put(&m, g->deployment.b, sizeof g->deployment.b);
    mk_buf_put_u64le(&m, unix_ms);
    mk_sign(g->key, mk_buf_bytes(&m), &a->signature);
    mk_buf_done(&m);
    if (mk_group_leads(g))
        mk_pending_extra(g, blob_of(a));
    else if (leader != NULL)
        mk_member_send(leader, &msg);
}

/* When the next proposal is due, ns; UINT64_MAX: nothing asks for one. */
static uint64_t due_ns(const struct mk_group *g)
{
    uint64_t now = mk_now(g->env), at = UINT64_MAX, wait = mk_state_waits_for(g->st), ours;

    if (!g->linked_once || g->advance_wanted)
        at = g->advance_ns == 0 ? now : g->advance_ns + LEAST_NS;
    if (g->readers > 0 && g->advance_ns + RENEW_MS * MK_MS < at)
        at = g->advance_ns + RENEW_MS * MK_MS;
    ours = own_last_ms(g);
    if (wait != UINT64_MAX && wait > mk_state_time_ms(g->st) && ours < wait) {
        uint64_t come = g->clock_base_ms + (uint64_t)g->clock_offset_ms;
        uint64_t t = wait > come ? g->clock_mono_ns + (wait - come) * MK_MS : now;

        at = t < at ? t : at;
    }
    if (at != UINT64_MAX && g->advance_ns != 0 && at < g->advance_ns + LEAST_NS)
        at = g->advance_ns + LEAST_NS;
    return at;
}

static bool may_propose(struct mk_group *g)
{
    struct mk_member *leader = mk_member_leader(g);

    if (g->raft == NULL || mk_state_founding(g->st) == NULL)
        return false;
    return mk_group_leads(g) ? mk_consensus_ready(g->raft) : leader != NULL && leader->up;
}

void mk_time_turn(struct mk_group *g)
{
    uint64_t now = mk_now(g->env), ms;

    if (!may_propose(g) || due_ns(g) > now)
        return;
    ms = clock_now_ms(g);
    if (ms <= own_last_ms(g))
        ms = own_last_ms(g) + 1;
    propose(g, ms);
    g->advance_ns = now;
    g->advance_ms = ms;
    g->advance_wanted = false;
}

/* Once ours is applied the first duty is done. */
void mk_time_applied(struct mk_group *g)
{
    uint64_t ours = own_last_ms(g);

    if (g->advance_ms != 0 && ours >= g->advance_ms)
        g->linked_once = true;
    for (unsigned i = 0; i < g->n_members; i++)
        if (i != g->self &&
            mk_state_last_ms(g->st, &g->members[i]->peer) >= ours + MK_HEAD_RENEW_MS)
            g->advance_wanted = true;
    mk_group_wake(g);
}

void mk_time_received(struct mk_group *g, struct mk_member *m, const struct mk_advance *a)
{
    uint64_t now = mk_now(g->env);

    if (!mk_group_leads(g) || !mk_peer_eq(&a->peer, &m->peer))
        return;
    if (m->advance_ns != 0 && now < m->advance_ns + LEAST_NS / 2)
        return;
    m->advance_ns = now;
    mk_pending_extra(g, blob_of(a));
}

uint64_t mk_time_deadline(const struct mk_group *g)
{
    return may_propose((struct mk_group *)g) ? due_ns(g) : UINT64_MAX;
}
