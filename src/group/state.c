/* Happy path of a command: decode, look up its session, let the machine apply it,
 * encode the outcome once, keep it with the session; whoever waits for the command is
 * sent those bytes.
 *
 * Marks: on a marked entry the surfaces that changed since the mark before, or whose
 * head is 5 s old in machine time, are due. That bookkeeping (index and time of each
 * surface's last head) is state like all else and travels in snapshots: a member that
 * restores one must name the same heads at the next mark. An empty surface has a head
 * too (index 0), so that absence can be proven from the first minute.
 *
 * Failure modes: a log that holds what no honest leader proposes (a second genesis, a
 * foreign roster, garbage). Such entries are refused, here and on every member alike. */
#include "group/state.h"
#include "base/planted.h"
#include "base/protocol.h"
#include "collections/certificate.h"
#include "group/state_int.h"

#include <string.h>

struct mk_state *mk_state_new(const struct mk_state_options *o)
{
    struct mk_state *s = mk_alloc(sizeof *s);
    const struct mk_machine_ops *ops = o->machine->ops;

    MK_ASSERT(ops->n_surfaces <= MK_SURFACES_MAX);
    s->deployment = o->deployment;
    s->stable_id = o->stable_id;
    s->machine = o->machine;
    s->level = 1;
    s->newest = o->newest != 0 ? o->newest : mk_protocols.newest;
    mk_rosters_init(s, o->roster);
    mk_sessions_init(&s->sessions, o->seed);
    s->retain = o->retain;
    mk_surfaces_init(&s->surfaces, ops->surfaces, ops->n_surfaces, &s->stable_id, &s->deployment);
    mk_surfaces_retain(&s->surfaces, &s->retain, &s->time_ms);
    return s;
}

void mk_state_free(struct mk_state *s)
{
    if (s == NULL)
        return;
    mk_surfaces_done(&s->surfaces);
    mk_sessions_done(&s->sessions);
    s->machine->ops->free(s->machine);
    mk_buf_done(&s->outcome);
    mk_buf_done(&s->apply.refs);
    mk_buf_done(&s->apply.answer);
    mk_free(s->apply.cited);
    mk_buf_done(&s->founding_pc);
    mk_rosters_done(s);
    mk_arena_done(&s->rosters);
    mk_free(s);
}

/* --- genesis ------------------------------------------------------------------------ */

static bool roster_equal(const struct mk_roster *a, const struct mk_roster *b)
{
    return mk_id_eq(&a->deployment, &b->deployment) && a->epoch == b->epoch &&
           mk_id_eq(&a->previous, &b->previous) && a->peers.n == b->peers.n &&
           memcmp(a->peers.v, b->peers.v, a->peers.n * sizeof(struct mk_peer)) == 0;
}

int mk_state_found(struct mk_state *s, struct mk_bytes founding)
{
    struct mk_founding f;
    int rv;

    mk_buf_clear(&s->founding_pc);
    mk_buf_put(&s->founding_pc, founding.p, founding.n);
    rv = mk_decode(&f, &mk_founding_type, mk_buf_bytes(&s->founding_pc), &s->rosters, NULL);
    if (rv != 0)
        return rv;
    if (!mk_id_eq(&f.deployment, &s->deployment) || !roster_equal(&f.roster, &s->first) ||
        f.raft_ids.n != f.roster.peers.n)
        return MK_EINVALID;
    s->founding = f;
    s->founded = true;
    return 0;
}

static void apply_genesis(struct mk_state *s, const struct mk_founding *f, struct mk_applied *ret)
{
    struct mk_buf pc = {0};

    mk_encode(&pc, &mk_founding_type, f);
    if (s->founded || mk_state_found(s, mk_buf_bytes(&pc)) != 0) {
        ret->refused = true;
    } else {
        mk_rosters_founded(s);
        ret->membership = true;
        if (s->machine->ops->founded != NULL) {
            mk_apply_begin(&s->apply, s, s->index, NULL);
            s->machine->ops->founded(s->machine, &s->apply);
        }
    }
    mk_buf_done(&pc);
}

/* --- time ----------------------------------------------------------------------------- */

static int roster_slot(const struct mk_roster *r, const struct mk_peer *peer)
{
    for (size_t i = 0; i < r->peers.n; i++)
        if (mk_peer_eq(&r->peers.v[i], peer))
            return (int)i;
    return -1;
}

/* Item (n - 1) / 2 of the sorted list. */
static uint64_t lower_median(const uint64_t *v, size_t n)
{
    uint64_t sorted[MK_ROSTER_MAX];

    for (size_t i = 0; i < n; i++) {
        size_t at = i;

        for (; at > 0 && sorted[at - 1] > v[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = v[i];
    }
    return sorted[(n - 1) / 2];
}

static bool advance_valid(const struct mk_state *s, const struct mk_advance *a)
{
    struct mk_buf m = {0};
    bool ok;

    mk_buf_put_str(&m, "mosaik.time.v1");
    mk_buf_put(&m, s->deployment.b, sizeof s->deployment.b);
    mk_buf_put_u64le(&m, a->unix_ms);
    ok = mk_verify(&a->peer, mk_buf_bytes(&m), &a->signature) == 0;
    mk_buf_done(&m);
    return ok;
}

static void apply_advance(struct mk_state *s, const struct mk_advance *a, struct mk_applied *ret)
{
    int slot = roster_slot(&s->roster, &a->peer);
    uint64_t now;

    if (slot < 0 || a->unix_ms <= s->last_ms[slot] || !advance_valid(s, a)) {
        ret->refused = true;
        return;
    }
    s->last_ms[slot] = a->unix_ms;
    now = lower_median(s->last_ms, s->roster.peers.n);
    if (MK_PLANTED(TIME_BACK))
        now = a->unix_ms;
    if (now <= s->time_ms && !MK_PLANTED(TIME_BACK))
        return;
    if (s->level >= MK_PROTOCOL_SESSIONS)
        mk_sessions_age(&s->sessions, s->time_ms, now - 1);
    else if (s->time_ms == 0)
        mk_sessions_age(&s->sessions, 0, now);
    mk_surfaces_age(&s->surfaces, s->time_ms, now);
    s->time_ms = now;
    ret->advanced = true;
    mk_sessions_expire(&s->sessions, now);
    if (s->machine->ops->advanced != NULL) {
        mk_apply_begin(&s->apply, s, s->index, NULL);
        s->machine->ops->advanced(s->machine, &s->apply);
        ret->changed = s->apply.changed;
    }
}

/* --- commands ----------------------------------------------------------------------------- */

static void run_command(struct mk_state *s, const struct mk_execute *x, struct mk_applied *ret)
{
    struct mk_apply *a = &s->apply;
    int rv;

    mk_apply_begin(a, s, s->index, &x->sender);
    rv = s->machine->ops->apply(s->machine, a, x->command);
    MK_ASSERT(rv == 0 || !a->mutated);
    mk_buf_clear(&s->outcome);
    if (rv == 0)
        mk_outcome_put(&s->outcome, 0, "", mk_buf_bytes(&a->refs), a->n_refs,
                       mk_buf_bytes(&a->answer));
    else
        mk_outcome_plain(&s->outcome, rv, a->refused ? a->rule : mk_strerror(rv));
    ret->changed = a->changed;
    ret->cited = a->cited;
    ret->n_cited = a->n_cited;
    mk_sessions_keep(&s->sessions, &x->sender, x->session, x->number, s->time_ms,
                     mk_buf_bytes(&s->outcome));
    mk_sessions_trim(&s->sessions, s->level >= MK_PROTOCOL_SESSIONS);
}

static void apply_execute(struct mk_state *s, const struct mk_execute *x, struct mk_applied *ret)
{
    struct mk_bytes first;

    ret->sender = x->sender;
    ret->session = x->session;
    ret->number = x->number;
    switch (mk_sessions_look(&s->sessions, &x->sender, x->session, x->number, &first)) {
    case MK_SESSION_NEW:
        run_command(s, x, ret);
        break;
    case MK_SESSION_REPEATED:
        ret->repeated = true;
        mk_buf_clear(&s->outcome);
        mk_buf_put(&s->outcome, first.p, first.n);
        break;
    case MK_SESSION_UNKNOWN:
        ret->refused = true;
        mk_buf_clear(&s->outcome);
        mk_outcome_plain(&s->outcome, MK_EUNKNOWN, "this session's answer is not kept any more");
        break;
    }
    ret->outcome = mk_buf_bytes(&s->outcome);
}

/* --- entries -----------------------------------------------------------------------------------
 */

static uint64_t due_heads(struct mk_state *s)
{
    uint64_t due = 0;

    for (unsigned i = 0; i < s->surfaces.n; i++) {
        struct mk_surface *x = &s->surfaces.v[i];

        if (x->index == x->head_index &&
            (s->time_ms < MK_HEAD_RENEW_MS || s->time_ms - MK_HEAD_RENEW_MS < x->head_time_ms))
            continue;
        x->head_index = x->index;
        x->head_time_ms = s->time_ms;
        due |= 1ull << i;
    }
    return due;
}

/* One step at a time; what is there already changes nothing. */
static void apply_level(struct mk_state *s, uint16_t protocol, struct mk_applied *ret)
{
    ret->refused = !s->founded || protocol != s->level + 1;
    if (ret->refused)
        return;
    s->level = protocol;
    if (protocol > s->newest)
        ret->beyond = protocol;
}

static void apply_check(const struct mk_state *s, uint64_t nonce, struct mk_applied *ret)
{
    ret->refused = s->level < MK_PROTOCOL_CHECK;
    ret->check = !ret->refused;
    ret->nonce = nonce;
}

static void apply_logged(struct mk_state *s, const struct mk_logged *e, struct mk_applied *ret)
{
    ret->kind = (enum mk_logged_tag)e->tag;
    switch (ret->kind) {
    case mk_logged_Genesis:
        apply_genesis(s, &e->u.genesis, ret);
        break;
    case mk_logged_Advance:
        apply_advance(s, &e->u.advance, ret);
        break;
    case mk_logged_Execute:
        apply_execute(s, &e->u.execute, ret);
        break;
    case mk_logged_Seat:
        mk_apply_seat(s, &e->u.seat, ret);
        break;
    case mk_logged_Propose:
        mk_apply_propose(s, &e->u.propose, ret);
        break;
    case mk_logged_Changed:
        mk_apply_changed(s, &e->u.changed, ret);
        break;
    case mk_logged_Level:
        apply_level(s, e->u.level.protocol, ret);
        break;
    case mk_logged_Check:
        apply_check(s, e->u.check.nonce, ret);
        break;
    }
}

void mk_state_apply(struct mk_state *s, uint64_t index, struct mk_bytes entry,
                    struct mk_applied *ret)
{
    struct mk_arena arena = {0};
    struct mk_logged e;

    MK_ASSERT(index > s->index);
    s->index = index;
    memset(ret, 0, sizeof *ret);
    if (entry.n < 1 ||
        mk_decode(&e, &mk_logged_type, MK_BYTES(entry.p + 1, entry.n - 1), &arena, NULL) != 0)
        ret->refused = true;
    else
        apply_logged(s, &e, ret);
    if (entry.n >= 1 && (entry.p[0] & MK_ENTRY_MARK) != 0)
        ret->heads = due_heads(s);
    mk_arena_done(&arena);
}

void mk_state_skip(struct mk_state *s, uint64_t index)
{
    MK_ASSERT(index > s->index);
    s->index = index;
}

/* --- reading
 * --------------------------------------------------------------------------------------- */

enum mk_session_verdict mk_state_look(const struct mk_state *s, const struct mk_peer *sender,
                                      uint64_t session, uint64_t number,
                                      struct mk_bytes *ret_outcome)
{
    return mk_sessions_look(&s->sessions, sender, session, number, ret_outcome);
}

uint64_t mk_state_index(const struct mk_state *s)
{
    return s->index;
}

uint64_t mk_state_time_ms(const struct mk_state *s)
{
    return s->time_ms;
}

uint16_t mk_state_level(const struct mk_state *s)
{
    return s->level;
}

uint64_t mk_state_last_ms(const struct mk_state *s, const struct mk_peer *peer)
{
    int slot = roster_slot(&s->roster, peer);

    return slot < 0 ? 0 : s->last_ms[slot];
}

uint64_t mk_state_waits_for(const struct mk_state *s)
{
    return s->machine->ops->waits_for == NULL ? UINT64_MAX : s->machine->ops->waits_for(s->machine);
}

const struct mk_roster *mk_state_roster(const struct mk_state *s)
{
    return &s->roster;
}

const struct mk_founding *mk_state_founding(const struct mk_state *s)
{
    return s->founded ? &s->founding : NULL;
}

struct mk_surfaces *mk_state_surfaces(struct mk_state *s)
{
    return &s->surfaces;
}

struct mk_machine *mk_state_machine(struct mk_state *s)
{
    return s->machine;
}

int mk_state_query(struct mk_state *s, struct mk_bytes query, struct mk_buf *answer,
                   struct mk_fault *reterr)
{
    return s->machine->ops->query(s->machine, &s->surfaces, query, answer, reterr);
}

void mk_state_head(struct mk_state *s, unsigned surface, struct mk_head *ret)
{
    mk_surface_head(&s->surfaces.v[surface], ret, &s->deployment, s->roster.epoch, s->time_ms);
}
