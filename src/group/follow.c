/* follow.c - following one surface of a component through any of its members.
 *
 *   IDLE --a member is chosen--> HELLO --welcome--> SNAPSHOT --end--> FOLLOWS
 *    ^                             |        \------------------------> |  ^
 *    |   refused, closed, silent, lied (named)                         |  | welcome again:
 *    '-----------------------------'-----------------------------------'  '-- it fell behind
 *
 * A member is believed in nothing. What it sends goes into a chain (chain.h); when a
 * certificate of the roster covers it and it adds up, it is shown; when it does not, the
 * member is dropped by name and the next one continues at the last verified commit.
 * The certificate that counts is the newest of the reader's memory, which other readers
 * of the same deployment share: a member that is behind it shows nothing new until it
 * caught up, and is left when it takes too long.
 *
 * The owner's callbacks may close the follow: it is then taken apart at once, and the
 * struct itself is freed when the event that called back is over (follow_leave). */
#include "group/chain.h"
#include "group/choose.h"
#include "group/rooting.h"

#include "base/assert.h"

#include <stdio.h>
#include <string.h>

#define WELCOME_MS 6000u /* to say where it begins; it may have to wait for a certificate */
#define QUIET_MS 15000u  /* without a word: heads are renewed every 5 s while readers are served */

enum follow_state { FOLLOW_IDLE, FOLLOW_HELLO, FOLLOW_SNAPSHOT, FOLLOW_FOLLOWS, FOLLOW_FAILED };

struct mk_follow {
    struct mk_env *env;
    struct mk_net *net;
    struct mk_component component;
    struct mk_arena arena; /* of component */
    struct mk_reader_memory *memory;
    struct mk_follow_options o;
    const struct mk_follow_cbs *cbs;
    void *owner;
    struct mk_chooser chooser;
    struct mk_peers through;
    struct mk_id before, delivered; /* the hashes before and of the commit that is delivered */
    struct mk_net_watch watch;
    struct mk_task task;
    struct mk_timer timer; /* next try, or silence */

    enum follow_state state;
    struct mk_conv *conv;
    struct mk_peer peer; /* the member in use */
    uint64_t heard_ns;   /* when it last moved us on */
    bool paused;
    bool resumed; /* what was held back by the pause goes on in the next turn */
    size_t owed;  /* credit not given back while paused */

    struct mk_chain chain;
    struct mk_rooting rooting; /* of chain.base: nothing else looks at it meanwhile */
    bool snap_begun;
    uint64_t snap_left; /* items to come */
    uint64_t gap_from, gap_to;
    bool has_certificate;
    struct mk_certificate certificate;
    struct mk_peer_signature signatures[MK_ROSTER_MAX];
    bool due_certified, due_snapshot; /* to be told */
    unsigned depth;                   /* events being handled */
    bool closed;                      /* in one of them */
};

static void follow_enter(struct mk_follow *f)
{
    f->depth++;
}

static void follow_leave(struct mk_follow *f)
{
    MK_ASSERT(f->depth > 0);
    if (--f->depth == 0 && f->closed)
        mk_free(f);
}

static void follow_wake(struct mk_follow *f)
{
    if (f->state != FOLLOW_FAILED)
        mk_later(f->env, &f->task);
}

/* --- ending, dropping ------------------------------------------------------------------- */

static void follow_fail(struct mk_follow *f, int status, const struct mk_fault *fault)
{
    if (f->state == FOLLOW_FAILED)
        return;
    f->state = FOLLOW_FAILED;
    mk_timer_stop(&f->timer);
    if (f->conv != NULL)
        mk_conv_close(f->conv, MK_CLOSE_NONE, NULL);
    f->conv = NULL;
    f->cbs->failed(f, status, fault);
}

/* Forgets what the member showed. */
static void forget_shown(struct mk_follow *f)
{
    mk_rooting_stop(&f->rooting);
    mk_chain_forget(&f->chain);
}

/* The conversation is over; another member may be tried. */
static void lose_member(struct mk_follow *f, unsigned close, const char *detail, bool lied)
{
    forget_shown(f);
    f->conv = NULL;
    f->state = FOLLOW_IDLE;
    f->owed = 0;
    mk_chooser_failed(&f->chooser, &f->peer, close, detail, lied);
    follow_wake(f);
}

static void drop_member(struct mk_follow *f, unsigned close, const char *detail, bool lied)
{
    char text[sizeof "dropped: " + MK_FAULT_MAX];

    snprintf(text, sizeof text, "%s%s", lied ? "dropped: " : "", detail);
    mk_conv_close(f->conv, close, detail);
    lose_member(f, close, text, lied);
}

static void liar(struct mk_follow *f, const char *detail)
{
    drop_member(f, MK_CLOSE_CONFLICT, detail, /* lied= */ true);
}

/* --- showing ----------------------------------------------------------------------------- */

static void retired(struct mk_follow *f, struct mk_bytes marker)
{
    struct mk_retirement_marker m;
    struct mk_arena arena = {0};
    struct mk_fault fault;
    char hex[MK_ID_HEX];

    mk_fault(&fault, MK_ERETIRED, "retired");
    if (mk_decode(&m, &mk_retirement_marker_type, marker, &arena, NULL) == 0 && m.replacement.some)
        mk_fault(&fault, MK_ERETIRED, "retired, replacement %.*s %s", (int)m.replacement.v.role.n,
                 m.replacement.v.role.p, mk_id_hex(&m.replacement.v.stable_id, hex));
    mk_arena_done(&arena);
    follow_fail(f, MK_ERETIRED, &fault);
}

/* Tells the owner what is verified, as long as it is not closed, failed or paused. */
static void deliver(struct mk_follow *f)
{
    struct mk_chain_commit c;

    if (f->due_certified && !f->paused) {
        f->due_certified = false;
        if (f->cbs->certified != NULL)
            f->cbs->certified(f, &f->certificate);
    }
    if (f->state != FOLLOW_FAILED && f->gap_to != 0 && !f->paused) {
        uint64_t to = f->gap_to;

        f->gap_to = 0;
        if (f->cbs->gap != NULL)
            f->cbs->gap(f, f->gap_from, to);
    }
    if (f->state != FOLLOW_FAILED && f->due_snapshot && !f->paused) {
        f->due_snapshot = false;
        if (f->cbs->snapshot != NULL)
            f->cbs->snapshot(f, f->certificate.head.index);
    }
    while (f->state != FOLLOW_FAILED && !f->paused && mk_chain_take(&f->chain, &c)) {
        f->before = c.before;
        f->delivered = c.hash;
        f->cbs->commit(f, c.index, MK_BYTES(c.payload, c.n_payload), c.marker);
        if (c.marker && f->state != FOLLOW_FAILED)
            retired(f, MK_BYTES(c.payload, c.n_payload));
        mk_free(c.payload);
    }
}

/* What was verified by way of a snapshot is told as the snapshot, not commit by commit; but a
 * marker, which can only be the last one, is told. */
static void swallow_commits(struct mk_follow *f)
{
    struct mk_chain_commit c;

    while (f->chain.n_verified > 0 && !f->chain.v[f->chain.first].marker) {
        mk_chain_take(&f->chain, &c);
        mk_free(c.payload);
    }
    f->due_snapshot = true;
}

static void keep_certificate(struct mk_follow *f, const struct mk_certificate *c)
{
    MK_ASSERT(c->signatures.n <= MK_ROSTER_MAX);
    f->certificate.head = c->head;
    for (size_t i = 0; i < c->signatures.n; i++)
        f->signatures[i] = c->signatures.v[i];
    f->certificate.signatures = (struct mk_peer_signatures){f->signatures, c->signatures.n};
    f->has_certificate = true;
    f->due_certified = true;
}

static bool is_known(const struct mk_follow *f, const struct mk_certificate *c)
{
    return f->has_certificate && f->certificate.head.index == c->head.index &&
           f->certificate.head.time_ms == c->head.time_ms &&
           f->certificate.head.epoch == c->head.epoch;
}

/* Holds what the member showed against the newest certificate known. */
static void follow_certify(struct mk_follow *f)
{
    const struct mk_certificate *c;
    struct mk_fault fault;
    bool fresh, new;
    int rv;

    if (f->paused || f->state != FOLLOW_FOLLOWS || mk_rooting_busy(&f->rooting) ||
        mk_reader_newest(f->memory, &f->o.surface, &c) != 0)
        return;
    new = !is_known(f, c);
    if (!new && !f->chain.fresh)
        return;
    rv = mk_chain_certify(&f->chain, &c->head, &fresh, &fault);
    if (rv == MK_ENOTFOUND)
        return;
    if (rv != 0) {
        liar(f, fault.text);
        return;
    }
    f->heard_ns = mk_now(f->env);
    mk_chooser_served(&f->chooser, &f->peer);
    if (new)
        keep_certificate(f, c);
    if (fresh && f->chain.is_map)
        swallow_commits(f);
    deliver(f);
}

/* --- what a member sends -------------------------------------------------------------------- */

static void got_welcome(struct mk_follow *f, const struct mk_welcome *w)
{
    struct mk_chain *c = &f->chain;

    if (w->next == 0 || w->oldest == 0) {
        liar(f, "a welcome that begins at commit 0");
        return;
    }
    forget_shown(f);
    f->snap_begun = false;
    if (c->is_map && !w->follows) {
        f->state = FOLLOW_SNAPSHOT;
        return;
    }
    f->state = FOLLOW_FOLLOWS;
    if (c->have && w->next == c->index + 1 && mk_id_eq(&w->before, &c->commit)) {
        mk_chain_continue(c);
        return;
    }
    if (c->is_map || (c->have && w->next <= c->index + 1 && !mk_id_is_zero(&c->commit))) {
        liar(f, "it continues at another commit than the one that was asked for");
        return;
    }
    if (c->have && w->next > c->index + 1) {
        f->gap_from = c->index + 1;
        f->gap_to = w->next - 1;
    }
    mk_chain_begin(c, w->next - 1, &w->before);
}

static void got_snap_begin(struct mk_follow *f, const struct mk_snap_begin *b)
{
    if (f->state != FOLLOW_SNAPSHOT || f->snap_begun) {
        liar(f, "a snapshot that nobody asked for");
        return;
    }
    f->snap_begun = true;
    f->snap_left = b->count;
    mk_chain_begin(&f->chain, b->index, &b->commit);
}

static void got_snap_items(struct mk_follow *f, const struct mk_snap_items *items)
{
    struct mk_fault fault;

    if (!f->snap_begun || items->n > f->snap_left) {
        liar(f, "its snapshot has more items than it announced");
        return;
    }
    for (size_t i = 0; i < items->n; i++) {
        if (mk_chain_item(&f->chain, items->v[i].key, items->v[i].value, &fault) != 0) {
            liar(f, fault.text);
            return;
        }
    }
    f->snap_left -= items->n;
}

static void rooted(void *arg)
{
    struct mk_follow *f = arg;

    follow_enter(f);
    follow_certify(f);
    follow_leave(f);
}

static void got_snap_end(struct mk_follow *f)
{
    if (!f->snap_begun || f->snap_left > 0) {
        liar(f, "its snapshot has fewer items than it announced");
        return;
    }
    f->snap_begun = false;
    f->state = FOLLOW_FOLLOWS;
    if (!mk_rooting_start(&f->rooting, f->env, &f->chain.base, rooted, f))
        follow_certify(f);
}

static void got_records(struct mk_follow *f, const struct mk_records *r)
{
    struct mk_fault fault;

    if (f->state != FOLLOW_FOLLOWS || r->first != mk_chain_last(&f->chain) + 1) {
        mk_fault(&fault, MK_ESIGNATURE, "it skipped commits: %llu came, %llu was next",
                 (unsigned long long)r->first, (unsigned long long)mk_chain_last(&f->chain) + 1);
        liar(f, fault.text);
        return;
    }
    for (size_t i = 0; i < r->records.n; i++) {
        const struct mk_record *one = &r->records.v[i];

        if (mk_chain_push(&f->chain, one->payload, one->marker, &fault) != 0) {
            liar(f, fault.text);
            return;
        }
    }
    follow_certify(f);
}

static void got_certificate(struct mk_follow *f, const struct mk_certificate *c)
{
    struct mk_fault fault;
    int rv;

    if (!mk_id_eq(&c->head.surface, &f->o.surface)) {
        liar(f, "a certificate of another surface");
        return;
    }
    rv = mk_reader_accept(f->memory, c, &fault);
    if (rv == MK_ECONFLICT)
        follow_fail(f, rv, &fault);
    else if (rv == MK_ESIGNATURE)
        liar(f, fault.text);
    else if (rv != 0 && rv != MK_ESTALE)
        drop_member(f, MK_CLOSE_NONE, fault.text, /* lied= */ false);
    else if (f->state == FOLLOW_FOLLOWS && c->head.index > mk_chain_last(&f->chain))
        liar(f, "it skipped commits: a certificate of more than it sent");
    else
        follow_certify(f); /* also when it is stale: the newest may cover what came */
}

static void got_roster_change(struct mk_follow *f, const struct mk_roster_change *change)
{
    struct mk_fault fault;
    int rv = mk_reader_learn(f->memory, change, &fault);

    if (rv == MK_ECONFLICT)
        follow_fail(f, rv, &fault);
    else if (rv != 0)
        liar(f, fault.text);
}

static void follow_dispatch(struct mk_follow *f, const struct mk_surface_message *m)
{
    if (f->state == FOLLOW_HELLO && m->tag != mk_surface_message_Welcome) {
        liar(f, "it does not begin with a welcome");
        return;
    }
    switch ((enum mk_surface_message_tag)m->tag) {
    case mk_surface_message_Welcome:
        got_welcome(f, &m->u.welcome);
        return;
    case mk_surface_message_SnapBegin:
        got_snap_begin(f, &m->u.snap_begin);
        return;
    case mk_surface_message_SnapItems:
        got_snap_items(f, &m->u.snap_items);
        return;
    case mk_surface_message_SnapEnd:
        got_snap_end(f);
        return;
    case mk_surface_message_Records:
        got_records(f, &m->u.records);
        return;
    case mk_surface_message_Certificate:
        got_certificate(f, &m->u.certificate);
        return;
    case mk_surface_message_RosterChange:
        got_roster_change(f, &m->u.roster_change);
        return;
    case mk_surface_message_Found:
        liar(f, "an answer that nobody asked for");
        return;
    }
}

static void follow_message_cb(struct mk_conv *c, struct mk_bytes bytes)
{
    struct mk_follow *f = c->owner;
    struct mk_arena arena = {0};
    struct mk_surface_message m;
    struct mk_fault fault;

    follow_enter(f);
    if (f->paused)
        f->owed += bytes.n;
    else
        mk_conv_consumed(c, bytes.n);
    if (mk_decode(&m, &mk_surface_message_type, bytes, &arena, &fault) != 0)
        drop_member(f, MK_CLOSE_MALFORMED, fault.text, /* lied= */ true);
    else
        follow_dispatch(f, &m);
    mk_arena_done(&arena);
    follow_leave(f);
}

static void follow_closed_cb(struct mk_conv *c, unsigned close, const char *detail)
{
    lose_member(c->owner, close, detail, /* lied= */ false);
}

static const struct mk_conv_cbs follow_conv_cbs = {.message = follow_message_cb,
                                                   .closed = follow_closed_cb};

/* --- choosing, asking ---------------------------------------------------------------------------
 */

static void follow_ask(struct mk_follow *f, struct mk_link *link)
{
    struct mk_surface_hello hello = {.deployment = f->component.deployment,
                                     .stable_id = f->component.stable_id,
                                     .surface = f->o.surface,
                                     .epoch = mk_reader_epoch(f->memory),
                                     .from.tag = f->o.from,
                                     .tickets = mk_component_tickets(&f->component)};
    struct mk_buf first = {0};
    int rv;

    if (f->chain.have) {
        hello.from.tag = mk_from_After;
        hello.from.u.after = (struct mk_from_after){f->chain.index, f->chain.commit};
    }
    mk_encode(&first, &mk_surface_hello_type, &hello);
    f->peer = *mk_link_peer(link);
    rv = mk_conv_open(link, &f->conv, "surface", mk_buf_bytes(&first), &follow_conv_cbs, f);
    mk_buf_done(&first);
    if (rv != 0) {
        f->conv = NULL;
        lose_member(f, MK_CLOSE_LOST, mk_strerror(rv), /* lied= */ false);
        return;
    }
    f->state = FOLLOW_HELLO;
    f->heard_ns = mk_now(f->env);
    follow_wake(f); /* to watch its silence */
}

static void follow_choose(struct mk_follow *f)
{
    struct mk_link *link = mk_chooser_pick(&f->chooser);
    struct mk_fault fault;
    uint64_t at;

    if (link != NULL) {
        follow_ask(f, link);
        return;
    }
    if (mk_chooser_hopeless(&f->chooser)) {
        int why = mk_chooser_why(&f->chooser, &fault);

        follow_fail(f, why, &fault);
        return;
    }
    at = mk_chooser_retry_ns(&f->chooser);
    if (at != UINT64_MAX)
        mk_timer_start(f->env, &f->timer, at);
}

static uint64_t quiet_ns(const struct mk_follow *f)
{
    return f->heard_ns + (f->state == FOLLOW_HELLO ? WELCOME_MS : QUIET_MS) * MK_MS;
}

static void follow_watch_silence(struct mk_follow *f)
{
    char text[64];

    if (f->paused)
        return;
    if (mk_now(f->env) < quiet_ns(f)) {
        mk_timer_start(f->env, &f->timer, quiet_ns(f));
        return;
    }
    snprintf(text, sizeof text, "silent: nothing that counts for %u ms",
             f->state == FOLLOW_HELLO ? WELCOME_MS : QUIET_MS);
    drop_member(f, MK_CLOSE_NONE, text, /* lied= */ false);
}

static void follow_advance(struct mk_follow *f)
{
    char detail[MK_REASON_MAX];

    mk_timer_stop(&f->timer);
    if (f->conv != NULL && !mk_chooser_still(&f->chooser, &f->peer, detail))
        drop_member(f, MK_CLOSE_EXPIRED, detail, /* lied= */ false);
    if (f->resumed) {
        f->resumed = false;
        deliver(f); /* what was verified before the pause */
        follow_certify(f);
        follow_wake(f);
        return;
    }
    switch (f->state) {
    case FOLLOW_IDLE:
        follow_choose(f);
        return;
    case FOLLOW_HELLO:
    case FOLLOW_SNAPSHOT:
    case FOLLOW_FOLLOWS:
        follow_watch_silence(f);
        return;
    case FOLLOW_FAILED:
        return;
    }
}

static void follow_task_cb(struct mk_task *t)
{
    struct mk_follow *f = mk_container_of(t, struct mk_follow, task);

    follow_enter(f);
    follow_advance(f);
    follow_leave(f);
}

static void follow_timer_cb(struct mk_timer *t)
{
    follow_task_cb(&mk_container_of(t, struct mk_follow, timer)->task);
}

static void follow_up_cb(struct mk_net_watch *w, struct mk_link *l)
{
    (void)l;
    follow_wake(mk_container_of(w, struct mk_follow, watch));
}

static void follow_down_cb(struct mk_net_watch *w, const struct mk_peer *peer, unsigned close,
                           const char *detail)
{
    (void)w;
    (void)peer;
    (void)close;
    (void)detail; /* the conversation is told by itself */
}

/* --- open and close
 * -------------------------------------------------------------------------------- */

int mk_follow_open(struct mk_env *e, struct mk_net *net, struct mk_follow **ret,
                   const struct mk_component *c, struct mk_reader_memory *memory,
                   const struct mk_follow_options *o, const struct mk_follow_cbs *cbs, void *owner,
                   struct mk_client_report *report)
{
    struct mk_follow *f;
    bool map = mk_surface_keyed(o->kind);

    if (map != (o->from == mk_from_Snapshot) || o->from == mk_from_Lookups)
        return MK_EINVALID;
    f = mk_alloc(sizeof *f);
    f->env = e;
    f->net = net;
    f->memory = memory;
    f->o = *o;
    f->cbs = cbs;
    f->owner = owner;
    mk_component_copy(&f->component, c, &f->arena);
    mk_chain_init(&f->chain, o->kind, &o->schema);
    if (o->from == mk_from_After) {
        f->chain.have = true;
        f->chain.index = o->after.index;
        f->chain.commit = o->after.commit;
    }
    mk_chooser_init(&f->chooser, e, net, memory, &f->component, report, &f->task);
    mk_chooser_through(&f->chooser, &f->through);
    f->task.cb = follow_task_cb;
    f->timer.cb = follow_timer_cb;
    f->watch = (struct mk_net_watch){.up = follow_up_cb, .down = follow_down_cb};
    mk_net_watch(net, &f->watch);
    follow_wake(f);
    *ret = f;
    return 0;
}

void mk_follow_again(struct mk_follow *f)
{
    MK_ASSERT(f->state == FOLLOW_FAILED && f->depth == 0);
    forget_shown(f);
    mk_chooser_forgive(&f->chooser);
    f->state = FOLLOW_IDLE;
    f->owed = 0;
    follow_wake(f);
}

void mk_follow_close(struct mk_follow *f)
{
    if (f == NULL)
        return;
    f->state = FOLLOW_FAILED;
    f->closed = true;
    if (f->conv != NULL)
        mk_conv_close(f->conv, MK_CLOSE_NONE, NULL);
    f->conv = NULL;
    mk_net_unwatch(&f->watch);
    mk_chooser_done(&f->chooser);
    mk_later_cancel(&f->task);
    mk_timer_stop(&f->timer);
    mk_rooting_stop(&f->rooting);
    mk_chain_done(&f->chain);
    mk_arena_done(&f->arena);
    if (f->depth == 0)
        mk_free(f);
}

void *mk_follow_owner(const struct mk_follow *f)
{
    return f->owner;
}

const struct mk_id *mk_follow_hash(const struct mk_follow *f)
{
    return &f->delivered;
}

const struct mk_id *mk_follow_before(const struct mk_follow *f)
{
    return &f->before;
}

bool mk_follow_position(const struct mk_follow *f, uint64_t *ret_index, struct mk_id *ret_commit)
{
    const struct mk_chain *c = &f->chain;
    bool due = c->n_verified > 0;

    if (!c->have)
        return false;
    *ret_index = due ? c->v[c->first].index - 1 : c->index;
    *ret_commit = due ? c->v[c->first].before : c->commit;
    return true;
}

void mk_follow_pause(struct mk_follow *f, bool paused)
{
    if (f->paused == paused)
        return;
    f->paused = paused;
    if (paused)
        return;
    f->heard_ns = mk_now(f->env);
    if (f->conv != NULL && f->owed > 0)
        mk_conv_consumed(f->conv, f->owed);
    f->owed = 0;
    f->resumed = true;
    follow_wake(f);
}

const struct mk_trie *mk_follow_map(const struct mk_follow *f)
{
    return &f->chain.map;
}

const struct mk_certificate *mk_follow_certificate(const struct mk_follow *f)
{
    return f->has_certificate ? &f->certificate : NULL;
}
