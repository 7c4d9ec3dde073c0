/* Opening, closing, and the turn.
 *
 * Whatever happens to a group (a message, a timer, a durable write, a driver's command)
 * changes its part and asks for a turn; the turn comes once, at the end of the loop's
 * turn, and does everything in one order: links, founding, time, what is to be proposed,
 * what consensus says, what was committed, certificates, reads, and then whoever watches
 * is told. So a hundred commands of one loop turn become one proposal, one write, one
 * message to each follower.
 *
 * Failing: the disk, or a log that contradicts consensus. The member stops: it drops its
 * conversations, tells who waits, and stays so until it is closed. The others go on. */
#include "group/group_int.h"
#include "group/serve.h"
#include "group/written.h"

#include <stdio.h>
#include <string.h>

#define SNAPSHOT_ENTRIES 65536u
#define TRAILING_ENTRIES 8192u
#define QUIET_MS 1000u

/* --- the turn ------------------------------------------------------------------------ */

void mk_group_wake(struct mk_group *g)
{
    mk_later(g->env, &g->turn);
}

void mk_group_changed(struct mk_group *g)
{
    g->changed = true;
    mk_group_wake(g);
}

bool mk_group_leads(const struct mk_group *g)
{
    return g->raft != NULL && g->role == MK_ROLE_LEADER && g->state == MK_GROUP_LEADING;
}

/* A dead store answers MK_EIO to everybody: what killed it is the better reason. */
void mk_group_fail(struct mk_group *g, int err, const char *what)
{
    if (g->state == MK_GROUP_FAILED)
        return;
    if (err == MK_EIO && mk_store_status(g->store) != 0)
        err = mk_store_status(g->store);
    g->state = MK_GROUP_FAILED;
    snprintf(g->failure, sizeof g->failure, "%s (%s)", what, mk_strerror(err));
    mk_group_changed(g);
}

void mk_group_damaged(struct mk_group *g, const char *what)
{
    snprintf(g->damage, sizeof g->damage, "%s", what);
    g->n_damages++;
    mk_group_changed(g);
}

static void stop(struct mk_group *g)
{
    if (g->stopped)
        return;
    g->stopped = true;
    for (unsigned i = 0; i < g->n_members; i++)
        mk_member_drop(g->members[i], MK_CLOSE_NOT_READY, g->failure);
    mk_lineage_close(g);
    mk_pending_fail(g);
    mk_query_close(g);
    mk_exec_close(g);
}

static void tell(struct mk_group *g)
{
    if (!g->changed)
        return;
    g->changed = false;
    mk_list_each(at, &g->watches)
    {
        struct mk_group_watch *w = mk_container_of(at, struct mk_group_watch, node);

        w->changed(w);
    }
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t founded_deadline(const struct mk_group *g)
{
    uint64_t ms = mk_candidacy_deadline(g), at = ms == UINT64_MAX ? UINT64_MAX : ms * MK_MS;

    if (g->candidacy.waits)
        at = UINT64_MAX; /* until it is its turn */
    if (g->nudge_ns != 0)
        at = least(at, g->nudge_ns);
    if (mk_state_index(g->st) < g->commit &&
        mk_consensus_entry(g->raft, mk_state_index(g->st) + 1) != NULL)
        at = mk_now(g->env); /* another slice */
    at = least(at, mk_quiet_deadline(g));
    at = least(at, mk_marks_deadline(g));
    at = least(at, mk_reseat_deadline(g));
    at = least(at, mk_level_deadline(g));
    at = least(at, mk_time_deadline(g));
    at = least(at, mk_snap_give_deadline(g));
    return least(at, mk_snap_deadline(g));
}

static void rearm(struct mk_group *g)
{
    uint64_t at = least(mk_peers_deadline(g), mk_exec_deadline(g));

    at = least(at, least(mk_pending_deadline(g), mk_query_deadline(g)));
    at = least(at, mk_mend_deadline(g));
    at = least(at, mk_lineage_deadline(g));
    if (g->raft != NULL)
        at = least(at, founded_deadline(g));
    if (at == g->timer_ns && g->timer.armed)
        return;
    g->timer_ns = at;
    if (at == UINT64_MAX)
        mk_timer_stop(&g->timer);
    else
        mk_timer_start(g->env, &g->timer, at);
}

static void founded_turn(struct mk_group *g)
{
    mk_snap_stalled(g);
    mk_snap_give_old(g);
    mk_time_turn(g);
    mk_marks_turn(g);
    mk_pending_turn(g);
    mk_drive_turn(g);
    if (g->state == MK_GROUP_FAILED)
        return;
    mk_apply_turn(g);
    if (g->snapshot_again || g->behind)
        mk_snap_turn(g);
    mk_operate_turn(g);
    mk_course_turn(g);
    mk_reseat_turn(g);
    mk_level_turn(g);
    mk_epoch_turn(g);
    mk_heads_turn(g);
    mk_quiet_turn(g);
}

static void turn_cb(struct mk_task *t)
{
    struct mk_group *g = mk_container_of(t, struct mk_group, turn);

    if (g->state != MK_GROUP_FAILED) {
        mk_exec_turn(g);
        mk_lineage_turn(g);
        mk_peers_turn(g);
        mk_found_turn(g);
        mk_mend_turn(g);
        if (g->raft != NULL)
            founded_turn(g);
        mk_query_turn(g);
        mk_pending_old(g);
    }
    if (g->state == MK_GROUP_FAILED) {
        mk_candidacy_close(g);
        mk_quiet_close(g);
        stop(g);
        mk_timer_stop(&g->timer);
    } else {
        rearm(g);
    }
    if (g->tracing != NULL)
        mk_trace_turn(g);
    tell(g);
}

static void timer_cb(struct mk_timer *t)
{
    struct mk_group *g = mk_container_of(t, struct mk_group, timer);

    mk_group_wake(g);
}

/* --- what the server of readers asks ---------------------------------------------------- */

static struct mk_surfaces *host_surfaces(struct mk_serve_host *h)
{
    struct mk_group *g = mk_container_of(h, struct mk_group, serve_host);

    return g->raft == NULL || mk_state_index(g->st) == 0 ? NULL : mk_state_surfaces(g->st);
}

static void host_judge(struct mk_serve_host *h, struct mk_verdict *ret,
                       const struct mk_bearer *bearer)
{
    struct mk_group *g = mk_container_of(h, struct mk_group, serve_host);

    mk_group_judge(g, ret, bearer, MK_SCOPE_READ);
}

static uint64_t host_epoch(struct mk_serve_host *h)
{
    return mk_container_of(h, struct mk_group, serve_host)->roster.epoch;
}

static const struct mk_roster_change *host_change(struct mk_serve_host *h, uint64_t epoch)
{
    return mk_state_change(mk_container_of(h, struct mk_group, serve_host)->st, epoch);
}

static void host_interest(struct mk_serve_host *h, unsigned surface, int more)
{
    struct mk_group *g = mk_container_of(h, struct mk_group, serve_host);

    g->readers += (unsigned)more;
    mk_heads_interest(g, surface, more);
}

static const struct mk_certificate *host_certificate(struct mk_serve_host *h, unsigned surface)
{
    const struct mk_seal *seal = &mk_container_of(h, struct mk_group, serve_host)->seals[surface];

    return seal->has_certificate ? &seal->certificate : NULL;
}

/* --- opening ------------------------------------------------------------------------------- */

/* A deep copy through the encoding. */
static void copy_datum(struct mk_group *g, void *ret, const struct mk_type *t, const void *value)
{
    struct mk_buf b = {0};
    const void *bytes;

    mk_encode(&b, t, value);
    bytes = mk_arena_copy(&g->mem, b.p, b.n);
    MK_ASSERT(mk_decode(ret, t, MK_BYTES(bytes, b.n), &g->mem, NULL) == 0);
    mk_buf_done(&b);
}

static void copy_plan(struct mk_group *g, const struct mk_group_options *o)
{
    struct mk_founding bare = {0};

    if (o->founding != NULL)
        bare = *o->founding;
    bare.deployment = o->deployment;
    bare.roster = *o->roster;
    bare.raft_ids = (struct mk_raft_ids){0};
    copy_datum(g, &g->plan, &mk_founding_type, &bare);
}

static void keep_tickets(struct mk_group *g, const struct mk_group_options *o)
{
    struct mk_bytes *v = mk_arena_take(&g->mem, (o->n_tickets + 1) * sizeof *v);

    for (size_t i = 0; i < o->n_tickets; i++)
        v[i] = MK_BYTES(mk_arena_copy(&g->mem, o->tickets[i].p, o->tickets[i].n), o->tickets[i].n);
    g->own_wallet = (struct mk_wallet){.v = v, .n = o->n_tickets};
    g->wallet = o->wallet != NULL ? o->wallet : &g->own_wallet;
}

static void copy_options(struct mk_group *g, const struct mk_group_options *o)
{
    g->deployment = o->deployment;
    g->stable_id = o->stable_id;
    g->machine_id = mk_machine_signature(o->machine->ops);
    copy_datum(g, &g->roster, &mk_roster_type, o->roster);
    copy_plan(g, o);
    g->key = o->key;
    copy_datum(g, &g->acl, &mk_acl_composition_type, o->acl);
    g->gate = (struct mk_gate){&g->acl,
                               o->stable_id,
                               o->own_issuer,
                               o->issuers,
                               o->witness != NULL ? mk_witness_attestation(o->witness) : NULL,
                               o->standing};
    keep_tickets(g, o);
    g->found = o->found;
    g->join = o->join;
    g->election_ms = o->election_ms;
    g->lease_ms = o->lease_ms;
    g->applied = o->applied;
    g->applied_arg = o->applied_arg;
    g->heartbeat_ms = o->heartbeat_ms;
    g->uncured = o->uncured;
    g->quiet_ms = o->quiet_ms > 0 ? o->quiet_ms : QUIET_MS;
    g->snapshot_entries = o->snapshot_entries > 0 ? o->snapshot_entries : SNAPSHOT_ENTRIES;
    g->trailing = o->snapshot_entries > 0 ? (unsigned)(o->snapshot_entries / 4) : TRAILING_ENTRIES;
}

static void init_lists(struct mk_group *g)
{
    struct mk_list *heads[] = {&g->of_hub,  &g->watches, &g->held,         &g->persists,
                               &g->pending, &g->queue,   &g->extras,       &g->clients,
                               &g->proving, &g->queries, &g->dead_clients, &g->net_watch.node,
                               &g->showings};

    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        mk_list_init(heads[i]);
}

static void link_up(struct mk_net_watch *w, struct mk_link *l)
{
    struct mk_group *g = mk_container_of(w, struct mk_group, net_watch);

    mk_peers_link_changed(g, mk_link_peer(l));
    if (mk_member_of_peer(g, mk_link_peer(l)) == NULL)
        mk_lineage_meet(g, l);
}

static void link_refused(struct mk_net_watch *w, const struct mk_peer *peer, unsigned close,
                         const char *detail)
{
    struct mk_group *g = mk_container_of(w, struct mk_group, net_watch);
    struct mk_member *m = mk_member_of_peer(g, peer);

    if (m != NULL && !m->up)
        mk_member_estranged(m, close, detail);
}

static void link_down(struct mk_net_watch *w, const struct mk_peer *peer, unsigned close,
                      const char *detail)
{
    (void)close;
    (void)detail;
    mk_peers_link_changed(mk_container_of(w, struct mk_group, net_watch), peer);
}

/* A quote was judged, or counts no longer: whoever was admitted by it is judged again. */
static void evidence_changed(struct mk_witness_watch *x, const struct mk_peer *peer)
{
    struct mk_group *g = mk_container_of(x, struct mk_group, witness_watch);
    struct mk_member *m = mk_member_of_peer(g, peer);

    if (m != NULL) {
        m->rejudge = true;
        m->retry_ns = 0;
    }
    mk_exec_rejudge(g, peer);
    mk_serve_rejudge(g->serve, peer);
    mk_group_wake(g);
}

static struct mk_group *group_new(struct mk_env *e, struct mk_net *net, struct mk_store *store,
                                  const struct mk_group_options *o)
{
    struct mk_group *g = mk_alloc(sizeof *g);
    struct mk_state_options so = {.deployment = o->deployment,
                                  .stable_id = o->stable_id,
                                  .roster = o->roster,
                                  .machine = o->machine,
                                  .newest = mk_net_protocols(net).newest};

    g->env = e;
    g->net = o->inner != NULL ? o->inner : net;
    g->outer = net;
    g->store = store;
    g->turn.cb = turn_cb;
    g->timer.cb = timer_cb;
    g->exec_expires_ms = UINT64_MAX;
    g->deadline_ms = UINT64_MAX;
    init_lists(g);
    copy_options(g, o);
    mk_entropy(e, &so.seed, sizeof so.seed);
    mk_entropy(e, &g->pending_table.seed, sizeof g->pending_table.seed);
    if (o->retain != NULL)
        so.retain = *o->retain;
    g->st = mk_state_new(&so);
    g->serve_host = (struct mk_serve_host){host_surfaces, host_judge,    host_epoch,
                                           host_change,   host_interest, host_certificate};
    mk_peers_open(g);
    mk_heads_open(g);
    mk_time_open(g);
    return g;
}

/* A snapshot whose bits have turned is damage of this group alone; nothing of it was used yet. */
static int recover(struct mk_group *g, struct mk_fault *reterr)
{
    struct mk_fault why = {{0}};
    int rv = mk_drive_recover(g, &why);

    if (rv == 0)
        return 0;
    if (rv != MK_ECORRUPT || g->raft != NULL || mk_state_index(g->st) != 0 ||
        mk_store_set_damage(g->disk, NULL, why.text) != 0)
        return mk_fault(reterr, rv, "%s", why.text);
    mk_store_forget(g->disk);
    g->founding_known = g->named = false;
    g->raft_id = 0;
    mk_mend_begin(g, why.text);
    return 0;
}

static void scrubbed(void *arg, const char *why, bool in_log)
{
    struct mk_group *g = arg;

    if (g->raft == NULL || g->state == MK_GROUP_FAILED)
        return;
    mk_group_damaged(g, why);
    g->snapshot_vacates = g->snapshot_vacates || in_log;
    mk_snap_again(g);
}

/* Is what is stored this machine's? */
static int judge_written(struct mk_group *g, struct mk_fault *reterr)
{
    const struct mk_machine_ops *ops = mk_state_machine(g->st)->ops;
    int rv = mk_written_check(g->disk, ops, reterr);

    if (rv != MK_ENOTFOUND)
        return rv;
    g->adopted = true;
    mk_written_put(g->disk, ops);
    return 0;
}

static int group_start(struct mk_group *g, struct mk_fault *reterr)
{
    int rv;

    g->disk = mk_store_group(g->store, &g->deployment);
    mk_store_on_behind(g->disk, mk_snap_behind, g);
    rv = mk_serve_open(g->env, &g->serve, &g->serve_host);
    if (rv != 0)
        return rv;
    if (mk_store_damage(g->disk)[0] != 0)
        mk_mend_begin(g, mk_store_damage(g->disk));
    else
        mk_found_open(g);
    mk_reseat_open(g);
    if (!g->members[g->self]->in_roster && !g->join && !g->founding_known &&
        g->state != MK_GROUP_DAMAGED)
        return mk_fault(reterr, MK_EINVALID, "this node's peer is not of the roster");
    if (g->founding_known) {
        rv = judge_written(g, reterr);
        if (rv == 0)
            rv = recover(g, reterr);
        if (rv != 0)
            return rv;
    }
    rv = mk_hub_join(g);
    if (rv != 0)
        return mk_fault(reterr, rv, "this process runs that deployment already");
    mk_store_on_damage(g->disk, scrubbed, g);
    g->net_watch.up = link_up;
    g->net_watch.down = link_down;
    g->net_watch.refused = link_refused;
    mk_net_watch(g->net, &g->net_watch);
    mk_group_wake(g);
    return 0;
}

static void watch_witness(struct mk_group *g, struct mk_witness *w)
{
    g->witness_watch.changed = evidence_changed;
    if (w != NULL)
        mk_witness_watch(w, &g->witness_watch);
}

int mk_group_open(struct mk_env *e, struct mk_net *net, struct mk_store *store,
                  struct mk_group **ret, const struct mk_group_options *o, struct mk_fault *reterr)
{
    struct mk_group *g = group_new(e, net, store, o);
    int rv = group_start(g, reterr);

    if (rv != 0) {
        mk_group_close(g);
        return rv;
    }
    watch_witness(g, o->witness);
    *ret = g;
    return 0;
}

bool mk_group_adopted(const struct mk_group *g)
{
    return g->adopted;
}

bool mk_group_expects(const struct mk_group *g, const struct mk_peer *peer)
{
    if (g->state != MK_GROUP_FOLLOWING && g->state != MK_GROUP_LEADING)
        return true;
    if (g->leader == 0) /* its committee may have gone on without it */
        return true;
    for (unsigned i = 0; i < g->n_members; i++)
        if (g->members[i]->used && mk_peer_eq(&g->members[i]->peer, peer))
            return true;
    return false;
}

void mk_group_close(struct mk_group *g)
{
    if (g == NULL)
        return;
    mk_net_unwatch(&g->net_watch);
    if (g->disk != NULL)
        mk_store_on_damage(g->disk, NULL, NULL);
    mk_witness_unwatch(&g->witness_watch);
    mk_quiet_close(g);
    if (g->disk != NULL)
        mk_store_on_behind(g->disk, NULL, NULL);
    mk_candidacy_gone(g);
    mk_hub_leave(g);
    g->state = MK_GROUP_FAILED; /* nothing new is taken */
    g->stopped = true;
    mk_query_close(g);
    mk_pending_close(g);
    mk_exec_close(g);
    mk_serve_close(g->serve);
    mk_snap_take_stop(g);
    mk_snap_fetch_stop(g);
    mk_lineage_close(g);
    mk_peers_close(g);
    mk_reseat_close(g);
    mk_found_close(g);
    mk_mend_close(g);
    mk_drive_close(g);
    mk_heads_close(g);
    mk_trace_close(g);
    mk_course_close(g);
    mk_timer_stop(&g->timer);
    mk_later_cancel(&g->turn);
    mk_list_each(at, &g->watches)
    {
        mk_list_del(at);
    }
    mk_state_free(g->st);
    for (unsigned i = 0; i < g->n_members; i++)
        mk_free(g->members[i]);
    mk_arena_done(&g->mem);
    mk_free(g);
}

/* --- watching -----------------------------------------------------------------------------------
 */

void mk_group_watch(struct mk_group *g, struct mk_group_watch *w)
{
    mk_list_add_tail(&g->watches, &w->node);
}

void mk_group_unwatch(struct mk_group_watch *w)
{
    if (w->node.next != NULL)
        mk_list_del(&w->node);
}
