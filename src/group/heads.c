/* Heads, signatures, certificates (spec/committees.md, "Heads and certificates").
 *
 *   marked entry applied --> head of each surface due --> (next turn) signed, sent to all
 *   signatures of others, kept unverified --> enough for a majority of one of our own
 *   heads? --> verify as many as are needed --> certificate
 *
 * A signature costs 18 us to make and 49 us to verify, so: one a batch and surface, off
 * the latency path; verified only when somebody waits for a certificate (a reader, a
 * client's step two, the status) and only up to the majority. After a restart old marks
 * are passed over: of the entries that were in the log already only the newest head is
 * signed. What we sign follows from the committed log, so signing it twice is harmless.
 *
 * Of each member the newest few signatures a surface are kept: bounded, whatever it
 * sends. Only heads that we computed ourselves become certificates here.
 *
 * A signature over another commit or state at an index that we know is verified at
 * once. It is kept beside ours as proof; its signer is dropped. Once a majority signed
 * the other one, two certificates exist: this member stops and reports both. */
#include "base/planted.h"
#include "group/group_int.h"
#include "group/serve.h"

#include <stdio.h>
#include <string.h>

#define SIGN_LATE_NS (2 * MK_MS) /* a leader that is otherwise idle puts signing off so long */
#define BUSY_NS \
    (2500u * 1000u) /* less than the 3 ms after which an idle leader tells of a commit */

static struct mk_kept_signature *kept_of(struct mk_group *g, unsigned surface, unsigned member,
                                         unsigned i)
{
    return &g->seals[surface].kept[member * MK_SIGNATURES_KEPT + i];
}

static bool head_equal(const struct mk_head *a, const struct mk_head *b)
{
    return a->index == b->index && a->time_ms == b->time_ms && a->epoch == b->epoch &&
           mk_id_eq(&a->surface, &b->surface) && mk_id_eq(&a->commit, &b->commit) &&
           mk_id_eq(&a->state, &b->state) && mk_id_eq(&a->deployment, &b->deployment);
}

/* Its signature counts for heads of the present epoch. */
static bool counts(const struct mk_group *g, unsigned member)
{
    return g->members[member]->used && g->members[member]->in_roster;
}

/* Is a newer than b? */
static bool head_newer(const struct mk_head *a, const struct mk_head *b)
{
    if (a->epoch != b->epoch)
        return a->epoch > b->epoch;
    return a->index != b->index ? a->index > b->index : a->time_ms > b->time_ms;
}

static struct mk_kept_signature *kept_find(struct mk_group *g, unsigned surface, unsigned member,
                                           const struct mk_head *h)
{
    for (unsigned i = 0; i < MK_SIGNATURES_KEPT; i++) {
        struct mk_kept_signature *k = kept_of(g, surface, member, i);

        if (k->have && head_equal(&k->head, h))
            return k;
    }
    return NULL;
}

static void keep(struct mk_group *g, unsigned surface, unsigned member, const struct mk_head *h,
                 const struct mk_signature *s, bool verified)
{
    unsigned *n = &g->seals[surface].kept_n[member];

    if (kept_find(g, surface, member, h) != NULL)
        return;
    *kept_of(g, surface, member, *n % MK_SIGNATURES_KEPT) =
        (struct mk_kept_signature){true, verified, *h, *s};
    ++*n;
}

/* --- conflicts ---------------------------------------------------------------------------- */

/* Slots are in no order, the signatures of a certificate are sorted by peer. */
static void put_sorted(struct mk_peer_signature *v, size_t *n, const struct mk_peer *peer,
                       const struct mk_signature *s)
{
    size_t at = (*n)++;

    for (; at > 0 && mk_peer_cmp(&v[at - 1].peer, peer) > 0; at--)
        v[at] = v[at - 1];
    v[at] = (struct mk_peer_signature){*peer, *s};
}

static void put_signers(struct mk_group *g, unsigned surface, const struct mk_head *h,
                        struct mk_certificate *ret)
{
    struct mk_peer_signature v[MK_ROSTER_MAX];
    size_t n = 0;

    for (unsigned m = 0; m < g->n_members; m++) {
        struct mk_kept_signature *k = kept_find(g, surface, m, h);

        if (k == NULL || !counts(g, m))
            continue;
        if (!k->verified && mk_head_verify(h, &g->members[m]->peer, &k->signature) != 0)
            continue;
        k->verified = true;
        put_sorted(v, &n, &g->members[m]->peer, &k->signature);
    }
    ret->head = *h;
    ret->signatures.v = mk_arena_copy(&g->conflict_mem, v, n * sizeof *v);
    ret->signatures.n = n;
}

static void find_guilty(struct mk_group *g)
{
    const struct mk_peer_signatures *a = &g->conflict[0].signatures,
                                    *b = &g->conflict[1].signatures;
    struct mk_peer v[MK_ROSTER_MAX];
    size_t n = 0;

    for (size_t i = 0; i < a->n; i++)
        for (size_t j = 0; j < b->n; j++)
            if (mk_peer_eq(&a->v[i].peer, &b->v[j].peer))
                v[n++] = a->v[i].peer;
    g->guilty.v = mk_arena_copy(&g->conflict_mem, v, n * sizeof *v);
    g->guilty.n = n;
}

static void conflict(struct mk_group *g, unsigned surface, unsigned member,
                     struct mk_kept_signature *theirs, const struct mk_head *ours)
{
    if (mk_head_verify(&theirs->head, &g->members[member]->peer, &theirs->signature) != 0) {
        theirs->have = false;
        return;
    }
    theirs->verified = true;
    g->conflicted = true;
    put_signers(g, surface, &theirs->head, &g->conflict[0]);
    put_signers(g, surface, ours, &g->conflict[1]);
    find_guilty(g);
    if (g->conflict[0].signatures.n >= mk_roster_majority(&g->roster)) {
        mk_group_fail(g, MK_ECONFLICT, "a majority signed another history than this member has");
        return;
    }
    snprintf(g->members[member]->detail, MK_REASON_MAX,
             "signed another commit or state at index %llu", (unsigned long long)ours->index);
    g->members[member]->lied = true;
    mk_group_wake(g);
}

/* Compares what a member signed with what we computed or committed at that index. */
static void check_conflict(struct mk_group *g, unsigned surface, unsigned member,
                           struct mk_kept_signature *k)
{
    struct mk_seal *seal = &g->seals[surface];
    const struct mk_surface *s = &mk_state_surfaces(g->st)->v[surface];
    struct mk_commit c;

    for (unsigned i = 0; i < MK_SIGNATURES_KEPT && i < seal->n_own; i++) {
        const struct mk_head *o = &seal->own[i];

        if (o->index == k->head.index && o->epoch == k->head.epoch &&
            (!mk_id_eq(&o->commit, &k->head.commit) || !mk_id_eq(&o->state, &k->head.state))) {
            conflict(g, surface, member, k, o);
            return;
        }
    }
    if (k->head.index == 0 || k->head.index > s->index || k->head.epoch != g->roster.epoch ||
        mk_surface_commit_at(s, k->head.index, &c) != 0 || mk_id_eq(&c.hash, &k->head.commit))
        return;
    conflict(g, surface, member, k,
             &(struct mk_head){g->deployment, g->roster.epoch, s->id, c.index, c.hash, MK_ZERO_ID,
                               mk_state_time_ms(g->st)});
}

/* --- certificates --------------------------------------------------------------------------- */

/* Verifies what is needed; how many good signatures there are, at most the majority. */
static unsigned verify_some(struct mk_group *g, unsigned surface, const struct mk_head *h)
{
    unsigned good = 0, majority = (unsigned)mk_roster_majority(&g->roster);

    for (unsigned m = 0; m < g->n_members; m++) {
        struct mk_kept_signature *k = kept_find(g, surface, m, h);

        good += k != NULL && k->verified && counts(g, m);
    }
    for (unsigned m = 0; m < g->n_members && good < majority; m++) {
        struct mk_kept_signature *k = kept_find(g, surface, m, h);

        if (k == NULL || k->verified || !counts(g, m))
            continue;
        k->verified = mk_head_verify(h, &g->members[m]->peer, &k->signature) == 0;
        k->have = k->verified;
        good += k->verified;
    }
    return good;
}

static unsigned count(struct mk_group *g, unsigned surface, const struct mk_head *h)
{
    unsigned n = 0;

    for (unsigned m = 0; m < g->n_members; m++)
        n += counts(g, m) && kept_find(g, surface, m, h) != NULL;
    return n;
}

static void certify(struct mk_group *g, unsigned surface, const struct mk_head *h)
{
    struct mk_seal *seal = &g->seals[surface];
    size_t n = 0;

    for (unsigned m = 0; m < g->n_members; m++) {
        struct mk_kept_signature *k = kept_find(g, surface, m, h);

        if (k != NULL && k->verified && counts(g, m))
            put_sorted(seal->signatures, &n, &g->members[m]->peer, &k->signature);
    }
    seal->certificate = (struct mk_certificate){*h, {seal->signatures, n}};
    seal->has_certificate = true;
    g->n_certificates++;
    if (h->time_ms > g->certified_ms)
        g->certified_ms = h->time_ms;
    mk_serve_certified(g->serve, surface, &seal->certificate);
    mk_exec_certified(g, surface);
    mk_group_changed(g);
}

void mk_heads_assemble(struct mk_group *g, unsigned surface)
{
    struct mk_seal *seal = &g->seals[surface];
    unsigned majority = (unsigned)mk_roster_majority(&g->roster);
    unsigned kept = seal->n_own < MK_SIGNATURES_KEPT ? seal->n_own : MK_SIGNATURES_KEPT;

    if (mk_state_draft(g->st) != NULL)
        return; /* nobody could verify it: the chain does not reach this epoch yet */
    for (unsigned i = 1; i <= kept; i++) { /* the newest first */
        struct mk_head h = seal->own[(seal->n_own - i) % MK_SIGNATURES_KEPT];

        if (seal->has_certificate && !head_newer(&h, &seal->certificate.head))
            return;
        if (count(g, surface, &h) >= majority && verify_some(g, surface, &h) >= majority) {
            certify(g, surface, &h);
            return;
        }
    }
}

void mk_heads_interest(struct mk_group *g, unsigned surface, int more)
{
    struct mk_seal *seal = &g->seals[surface];

    seal->interest += (unsigned)more;
    mk_marks_interest(g, more);
    if (more > 0) {
        seal->ask = true;
        mk_heads_hurry(g);
    }
    mk_group_wake(g);
}

void mk_heads_turn(struct mk_group *g)
{
    for (unsigned i = 0; i < mk_state_surfaces(g->st)->n; i++) {
        if (!g->seals[i].ask)
            continue;
        g->seals[i].ask = false;
        mk_heads_assemble(g, i);
        if (g->seals[i].has_certificate) /* for a reader who came after it */
            mk_serve_certified(g->serve, i, &g->seals[i].certificate);
    }
}

/* --- signing ---------------------------------------------------------------------------------- */

static void add_signature(struct mk_head_signature *v, size_t *n, const struct mk_head *h,
                          const struct mk_signature *s)
{
    v[*n].head = *h;
    v[*n].signature = *s;
    ++*n;
}

/* A leader has its own signature where clients ask for certificates, and speaks to all within
 * NUDGE_NS. A follower that writes entries will soon answer for some more. */
static bool may_wait(struct mk_group *g, const struct mk_member *to)
{
    return mk_group_leads(g) || to != mk_member_leader(g) || !mk_list_empty(&g->persists) ||
           mk_now(g->env) < g->persisted_ns + BUSY_NS;
}

static void send_signatures(struct mk_group *g, struct mk_member *to,
                            const struct mk_head_signature *v, size_t n)
{
    struct mk_member_message msg = {.tag = mk_member_message_Signatures, .u.signatures = {v, n}};

    if (n == 0)
        return;
    for (unsigned i = 0; i < g->n_members; i++) {
        struct mk_member *m = g->members[i];

        if (i == g->self || (to != NULL && m != to))
            continue;
        if (to == NULL && may_wait(g, m))
            mk_member_send_late(m, &msg);
        else
            mk_member_send(m, &msg);
    }
}

static size_t sign_surface(struct mk_group *g, unsigned surface, struct mk_head_signature *v)
{
    struct mk_seal *seal = &g->seals[surface];
    size_t n = 0;

    if (seal->n_own - seal->signed_n > MK_SIGNATURES_KEPT)
        seal->signed_n = seal->n_own - MK_SIGNATURES_KEPT;
    for (; seal->signed_n < seal->n_own; seal->signed_n++) {
        const struct mk_head *h = &seal->own[seal->signed_n % MK_SIGNATURES_KEPT];
        struct mk_signature s;

        mk_head_sign(g->key, h, &s);
        g->n_signed++;
        keep(g, surface, g->self, h, &s, true);
        add_signature(v, &n, h, &s);
        if (MK_PLANTED(SIGNED_TWICE) && g->self == 0 && h->index % 16 == 0 && n == 1) {
            struct mk_head other = *h;

            other.commit.b[0] ^= 1;
            mk_head_sign(g->key, &other, &s);
            add_signature(v, &n, &other, &s);
        }
    }
    return n;
}

static void sign_due(struct mk_timer *t)
{
    struct mk_group *g = mk_container_of(t, struct mk_group, sign_timer);
    struct mk_head_signature v[MK_SIGNATURES_KEPT + 1];

    if (g->state == MK_GROUP_FAILED)
        return;
    mk_heads_settle(g);
    if (g->state == MK_GROUP_FAILED)
        return; /* a majority signed another one */
    for (unsigned i = 0; i < mk_state_surfaces(g->st)->n; i++) {
        size_t n = sign_surface(g, i, v);

        send_signatures(g, NULL, v, n);
        if (n > 0 && g->seals[i].interest > 0)
            mk_heads_assemble(g, i);
    }
}

/* A member that came with an empty disk does not know what it signed before: it signs
 * nothing up to the highest index that a majority reports. */
static bool may_sign(struct mk_group *g)
{
    unsigned reports = 0, others = (unsigned)g->roster.peers.n, need;
    uint64_t highest = 0;

    if (!g->sign_wait)
        return counts(g, g->self);
    for (unsigned i = 0; i < g->n_members; i++) {
        const struct mk_member *m = g->members[i];

        if (i == g->self || !counts(g, i) || !m->reported)
            continue;
        reports++;
        if (m->highest_signed > highest)
            highest = m->highest_signed;
    }
    need = (unsigned)mk_roster_majority(&g->roster);
    if (counts(g, g->self))
        others--;
    if (reports < (need < others ? need : others) || mk_state_index(g->st) <= highest)
        return false;
    mk_found_joined(g);
    return counts(g, g->self);
}

/* The heads of the last mark: computed before the state moves on, but not before those
 * who wait for the entries of its batch are answered. */
void mk_heads_settle(struct mk_group *g)
{
    uint64_t surfaces = g->marked;
    bool old;

    if (surfaces == 0)
        return;
    g->marked = 0;
    old = mk_state_index(g->st) <= g->caught_up || !may_sign(g);
    for (unsigned i = 0; i < mk_state_surfaces(g->st)->n; i++) {
        struct mk_seal *seal = &g->seals[i];
        struct mk_head *h = &seal->own[seal->n_own % MK_SIGNATURES_KEPT];

        if ((surfaces >> i & 1) == 0)
            continue;
        mk_state_head(g->st, i, h);
        if (MK_PLANTED(FORGED_HEAD) && h->index % 8 == 0)
            h->state.b[0] ^= 1;
        mk_serve_marked(g->serve, i);
        if (old)
            seal->signed_n = seal->n_own;
        seal->n_own++;
        for (unsigned m = 0; m < g->n_members; m++)
            for (unsigned k = 0; k < MK_SIGNATURES_KEPT; k++)
                if (kept_of(g, i, m, k)->have && kept_of(g, i, m, k)->head.index == h->index)
                    check_conflict(g, i, m, kept_of(g, i, m, k));
    }
    if (!old)
        g->highest_signed = mk_state_index(g->st);
}

/* A leader that has answered waits for its clients' next commands, and signs while those are on
 * their way to the disks; unless somebody waits for a certificate. */
static bool may_sign_late(struct mk_group *g, uint64_t surfaces)
{
    for (unsigned i = 0; i < mk_state_surfaces(g->st)->n; i++)
        if ((surfaces >> i & 1) != 0 && g->seals[i].interest > 0)
            return false;
    return mk_group_leads(g);
}

void mk_heads_marked(struct mk_group *g, uint64_t surfaces)
{
    MK_ASSERT(g->marked == 0);
    g->marked = surfaces;
    g->sign_timer.cb = sign_due;
    if (!g->sign_timer.armed)
        mk_timer_start(g->env, &g->sign_timer,
                       mk_now(g->env) + (may_sign_late(g, surfaces) ? SIGN_LATE_NS : 0));
}

void mk_heads_hurry(struct mk_group *g)
{
    if (g->sign_timer.armed)
        mk_timer_start(g->env, &g->sign_timer, mk_now(g->env));
}

void mk_heads_greet(struct mk_group *g, struct mk_member *m)
{
    for (unsigned i = 0; i < mk_state_surfaces(g->st)->n; i++) {
        struct mk_seal *seal = &g->seals[i];
        struct mk_head_signature v[1];
        struct mk_kept_signature *k;
        size_t n = 0;

        if (seal->signed_n == 0)
            continue;
        k = kept_find(g, i, g->self, &seal->own[(seal->signed_n - 1) % MK_SIGNATURES_KEPT]);
        if (k == NULL)
            continue;
        add_signature(v, &n, &k->head, &k->signature);
        send_signatures(g, m, v, n);
    }
}

/* Heads of before the snapshot are of no use: what is signed next comes after it. They may be of
 * an epoch before the snapshot's, whose signatures the present roster must not count. */
void mk_heads_replaced(struct mk_group *g)
{
    g->marked = 0;
    mk_heads_epoch(g);
    g->caught_up = mk_state_index(g->st);
    mk_overdue_forget(g);
}

/* What was signed of the new epoch by members that applied its beginning before us stays. */
void mk_heads_epoch(struct mk_group *g)
{
    for (unsigned i = 0; i < mk_state_surfaces(g->st)->n; i++) {
        struct mk_seal *seal = &g->seals[i];

        seal->n_own = seal->signed_n = 0;
        for (unsigned m = 0; m < g->n_members; m++)
            for (unsigned k = 0; k < MK_SIGNATURES_KEPT; k++)
                if (kept_of(g, i, m, k)->head.epoch < g->roster.epoch)
                    kept_of(g, i, m, k)->have = false;
    }
}

void mk_heads_ask_all(struct mk_group *g)
{
    for (unsigned i = 0; i < mk_state_surfaces(g->st)->n; i++)
        g->seals[i].ask = g->seals[i].ask || g->seals[i].interest > 0;
    mk_group_wake(g);
}

void mk_heads_slot_free(struct mk_group *g, unsigned member)
{
    for (unsigned i = 0; i < mk_state_surfaces(g->st)->n; i++)
        for (unsigned k = 0; k < MK_SIGNATURES_KEPT; k++)
            kept_of(g, i, member, k)->have = false;
}

/* --- receiving ----------------------------------------------------------------------------------
 */

static int surface_of(struct mk_group *g, const struct mk_head *h)
{
    const struct mk_surfaces *s = mk_state_surfaces(g->st);

    if (!mk_id_eq(&h->deployment, &g->deployment) || h->epoch < g->roster.epoch ||
        h->epoch > g->roster.epoch + 1)
        return -1;
    for (unsigned i = 0; i < s->n; i++)
        if (mk_id_eq(&s->v[i].id, &h->surface))
            return (int)i;
    return -1;
}

void mk_heads_received(struct mk_group *g, struct mk_member *m,
                       const struct mk_head_signatures *signatures)
{
    for (size_t i = 0; i < signatures->n; i++) {
        const struct mk_head_signature *s = &signatures->v[i];
        int surface = surface_of(g, &s->head);
        struct mk_kept_signature *k;

        if (surface < 0)
            continue;
        keep(g, (unsigned)surface, m->i, &s->head, &s->signature, false);
        k = kept_find(g, (unsigned)surface, m->i, &s->head);
        if (k != NULL && !k->verified && s->head.epoch == g->roster.epoch)
            check_conflict(g, (unsigned)surface, m->i, k);
        if (g->seals[surface].interest > 0) {
            g->seals[surface].ask = true;
            mk_group_wake(g);
        }
    }
}

/* --- open, close
 * ------------------------------------------------------------------------------------ */

void mk_heads_open(struct mk_group *g)
{
    unsigned n = mk_state_surfaces(g->st)->n;

    g->seals = mk_alloc((n + 1) * sizeof *g->seals);
    for (unsigned i = 0; i < n; i++) {
        g->seals[i].kept =
            mk_alloc((size_t)g->n_members * MK_SIGNATURES_KEPT * sizeof *g->seals[i].kept);
        g->seals[i].kept_n = mk_alloc(g->n_members * sizeof *g->seals[i].kept_n);
    }
}

void mk_heads_members(struct mk_group *g, unsigned before)
{
    size_t old = (size_t)before * MK_SIGNATURES_KEPT, n = (size_t)g->n_members * MK_SIGNATURES_KEPT;

    for (unsigned i = 0; g->seals != NULL && i < mk_state_surfaces(g->st)->n; i++) {
        struct mk_seal *s = &g->seals[i];

        s->kept = mk_realloc(s->kept, n * sizeof *s->kept);
        s->kept_n = mk_realloc(s->kept_n, g->n_members * sizeof *s->kept_n);
        memset(s->kept + old, 0, (n - old) * sizeof *s->kept);
        memset(s->kept_n + before, 0, (g->n_members - before) * sizeof *s->kept_n);
    }
}

void mk_heads_close(struct mk_group *g)
{
    mk_timer_stop(&g->sign_timer);
    for (unsigned i = 0; g->seals != NULL && i < mk_state_surfaces(g->st)->n; i++) {
        mk_free(g->seals[i].kept);
        mk_free(g->seals[i].kept_n);
    }
    mk_free(g->seals);
    mk_arena_done(&g->conflict_mem);
}

int mk_group_certificate(const struct mk_group *g, const struct mk_id *surface,
                         const struct mk_certificate **ret)
{
    struct mk_group *mine = (struct mk_group *)g; /* assembling is only a cache being filled */
    const struct mk_surfaces *s = mk_state_surfaces(mine->st);

    for (unsigned i = 0; i < s->n; i++) {
        if (!mk_id_eq(&s->v[i].id, surface))
            continue;
        mk_heads_assemble(mine, i);
        if (!g->seals[i].has_certificate)
            return MK_ENOTFOUND;
        *ret = &g->seals[i].certificate;
        return 0;
    }
    return MK_ENOTFOUND;
}

bool mk_group_conflict(const struct mk_group *g, const struct mk_certificate **a,
                       const struct mk_certificate **b, struct mk_peers *ret_guilty)
{
    if (!g->conflicted)
        return false;
    *a = &g->conflict[0];
    *b = &g->conflict[1];
    *ret_guilty = g->guilty;
    return true;
}
