/* witness.c - opening and closing, the table of peers, the one timer.
 *
 * A peer has an entry from the first word about quotes to the end of its link: evidence is
 * of a link and never outlives it. The timer looks after what nobody else ends: quotes that
 * do not come, judgements of ours that do not come, evidence that expires, collateral that is
 * to be loaded. */
#include "witness/witness_int.h"

#include <stdio.h>
#include <string.h>

/* --- the table ------------------------------------------------------------------------- */

static struct attested **bucket(struct mk_witness *w, const struct mk_peer *peer)
{
    return &w->buckets[peer->b[0] % PEER_BUCKETS];
}

struct attested *attested_find(struct mk_witness *w, const struct mk_peer *peer)
{
    struct attested *a = *bucket(w, peer);

    while (a != NULL && !mk_peer_eq(&a->peer, peer))
        a = a->next;
    return a;
}

struct attested *attested_get(struct mk_witness *w, const struct mk_peer *peer)
{
    struct attested *a = attested_find(w, peer);

    if (a != NULL)
        return a;
    a = mk_alloc(sizeof *a);
    a->w = w;
    a->peer = *peer;
    mk_list_init(&a->judging);
    mk_list_init(&a->making);
    mk_list_add_tail(&w->peers, &a->node);
    a->next = *bucket(w, peer);
    *bucket(w, peer) = a;
    return a;
}

static void attested_free(struct attested *a)
{
    struct attested **p = bucket(a->w, &a->peer);

    while (*p != a)
        p = &(*p)->next;
    *p = a->next;
    exchange_end(a);
    judge_forget(a);
    make_forget(a);
    mk_list_del(&a->node);
    mk_buf_done(&a->quote);
    mk_free(a);
}

void witness_tell(struct attested *a)
{
    mk_list_each(n, &a->w->watches)
    {
        struct mk_witness_watch *x = mk_container_of(n, struct mk_witness_watch, node);

        x->changed(x, &a->peer);
    }
}

void witness_bad(struct attested *a, const char *fmt, ...)
{
    va_list ap;

    a->evidence = (struct mk_evidence){.state = MK_EVIDENCE_BAD};
    va_start(ap, fmt);
    vsnprintf(a->evidence.reason, sizeof a->evidence.reason, fmt, ap);
    va_end(ap);
    a->level = MK_LEVEL_SOFTWARE;
    a->again_ns = mk_now(a->w->env) + MK_QUOTE_AGAIN_MS * MK_MS;
}

static const struct mk_evidence *evidence(struct mk_attestation *face, const struct mk_peer *peer)
{
    struct mk_witness *w = mk_container_of(face, struct mk_witness, face);
    struct mk_link *l = mk_net_link(w->net, peer);
    struct attested *a;

    if (l == NULL)
        return NULL;
    a = attested_get(w, peer);
    if (!a->asked || (a->evidence.state == MK_EVIDENCE_BAD && a->quote.n == 0 && a->ask == NULL &&
                      mk_now(w->env) >= a->again_ns))
        exchange_ask(a, l);
    return &a->evidence;
}

static void link_down(struct mk_net_watch *x, const struct mk_peer *peer, unsigned close,
                      const char *detail)
{
    struct mk_witness *w = mk_container_of(x, struct mk_witness, links);
    struct attested *a = attested_find(w, peer);

    (void)close;
    (void)detail;
    if (a != NULL)
        attested_free(a);
}

/* --- the timer --------------------------------------------------------------------------- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* It was refused, and the dates that it rests on begin later: then it is judged again. */
static bool begins_later(const struct attested *a, uint64_t judged_ms)
{
    return a->evidence.state == MK_EVIDENCE_BAD && a->quote.n > 0 &&
           a->evidence.from_ms > judged_ms && a->evidence.from_ms < UINT64_MAX / MK_MS;
}

static uint64_t due(const struct attested *a, uint64_t now, uint64_t wall_ms)
{
    uint64_t at = UINT64_MAX;

    if (a->evidence.state == MK_EVIDENCE_PENDING && a->asked && a->quote.n == 0)
        at = a->deadline_ns;
    if (a->evidence.undecided)
        at = least(at, a->theirs_ns);
    if (a->evidence.state == MK_EVIDENCE_GOOD && mk_list_empty(&a->judging) &&
        a->w->judge.of != a && a->evidence.expires_ms < UINT64_MAX / MK_MS)
        at = least(at,
                   now + (a->evidence.expires_ms > wall_ms ? a->evidence.expires_ms - wall_ms : 0) *
                             MK_MS);
    if (begins_later(a, a->judged_ms) && mk_list_empty(&a->judging) && a->w->judge.of != a)
        at = least(at, now + (a->evidence.from_ms > wall_ms ? a->evidence.from_ms - wall_ms : 0) *
                                 MK_MS);
    return at;
}

void witness_arm(struct mk_witness *w)
{
    uint64_t now = mk_now(w->env), wall = mk_wall_ms(w->env);
    uint64_t at = w->verifies ? w->reload_at_ns : UINT64_MAX;

    mk_list_each(n, &w->peers) at =
        least(at, due(mk_container_of(n, struct attested, node), now, wall));
    if (at == UINT64_MAX)
        mk_timer_stop(&w->timer);
    else
        mk_timer_start(w->env, &w->timer, at);
}

static void tick(struct attested *a, uint64_t now, uint64_t wall_ms)
{
    if (a->evidence.state == MK_EVIDENCE_PENDING && a->asked && a->quote.n == 0 &&
        now >= a->deadline_ns) {
        witness_bad(a, "it showed no quote within %u s", MK_QUOTE_WAIT_MS / 1000);
        exchange_end(a);
        witness_tell(a);
        return;
    }
    if (begins_later(a, a->judged_ms) && wall_ms >= a->evidence.from_ms)
        judge_queue(a);
    if (a->evidence.state != MK_EVIDENCE_GOOD)
        return;
    if (a->evidence.undecided && now >= a->theirs_ns) {
        judge_grade(a);
        witness_tell(a);
    }
    if (wall_ms >= a->evidence.expires_ms)
        judge_queue(a);
}

static void timer_cb(struct mk_timer *t)
{
    struct mk_witness *w = mk_container_of(t, struct mk_witness, timer);
    uint64_t now = mk_now(w->env), wall = mk_wall_ms(w->env);

    if (w->verifies && now >= w->reload_at_ns) {
        judge_load(w);
        judge_fetch(w);
    }
    mk_list_each(n, &w->peers) tick(mk_container_of(n, struct attested, node), now, wall);
    witness_arm(w);
}

/* --- watching ----------------------------------------------------------------------------- */

void mk_witness_watch(struct mk_witness *w, struct mk_witness_watch *x)
{
    mk_list_add_tail(&w->watches, &x->node);
}

void mk_witness_unwatch(struct mk_witness_watch *x)
{
    if (x->node.next != NULL)
        mk_list_del(&x->node);
}

struct mk_attestation *mk_witness_attestation(struct mk_witness *w)
{
    return w->verifies ? &w->face : NULL;
}

void mk_witness_status(const struct mk_witness *w, struct mk_witness_status *ret)
{
    *ret = (struct mk_witness_status){.source = w->source,
                                      .verifies = w->verifies,
                                      .intel = w->intel,
                                      .collateral_expires_s = w->collateral_s,
                                      .verifications = w->n_verified,
                                      .quotes = w->n_made};
    snprintf(ret->fault, sizeof ret->fault, "%s", w->fault);
}

bool mk_witness_peer(const struct mk_witness *w, unsigned i, struct mk_peer *ret_peer,
                     const struct mk_evidence **ret)
{
    mk_list_each(n, &w->peers)
    {
        struct attested *a = mk_container_of(n, struct attested, node);

        if (!a->asked)
            continue;
        if (i-- > 0)
            continue;
        *ret_peer = a->peer;
        *ret = &a->evidence;
        return true;
    }
    return false;
}

/* --- open and close -------------------------------------------------------------------------- */

static int open_verifying(struct mk_witness *w, const struct mk_witness_options *o,
                          struct mk_fault *reterr)
{
    int rv = 0;

    if (o->root.n == 0)
        w->root = mk_quote_root_intel();
    else
        rv = mk_quote_root_new(&w->root, o->root, reterr);
    if (rv != 0)
        return rv;
    w->verifies = true;
    w->intel = mk_quote_root_is_intel(w->root);
    w->collateral = mk_collateral_new(w->root);
    keep_recall(w);
    w->generation = mk_collateral_generation(w->collateral);
    w->policy = o->policy;
    w->n_published = o->n_published;
    if (o->n_published > 0)
        w->published = mk_memdup(o->published, o->n_published * sizeof *o->published);
    w->load = o->load;
    w->load_arg = o->load_arg;
    w->reload_ns = (o->reload_ms > 0 ? o->reload_ms : MK_WITNESS_RELOAD_MS) * MK_MS;
    w->fetch = o->fetch != NULL ? mk_strdup(o->fetch) : NULL;
    return 0;
}

static struct mk_witness *witness_new(struct mk_env *e, struct mk_net *net,
                                      const struct mk_witness_options *o)
{
    struct mk_witness *w = mk_alloc(sizeof *w);
    struct mk_list *heads[] = {&w->watches, &w->peers,      &w->to_make,    &w->to_judge,
                               &w->docs,    &w->judge.docs, &w->links.node, &w->service.node};

    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        mk_list_init(heads[i]);
    w->env = e;
    w->net = net;
    w->timer.cb = timer_cb;
    w->face.evidence = evidence;
    w->collateral_s = UINT64_MAX;
    w->source = o->source;
    w->emulator = o->emulator;
    w->tsm_dir = mk_strdup(o->tsm_dir != NULL ? o->tsm_dir : MK_TSM_DIR);
    return w;
}

int mk_witness_open(struct mk_env *e, struct mk_net *net, struct mk_witness **ret,
                    const struct mk_witness_options *o, struct mk_fault *reterr)
{
    struct mk_witness *w = witness_new(e, net, o);
    int rv = 0;

    if ((o->source == MK_SOURCE_EMULATOR) != (o->emulator != NULL))
        rv = mk_fault(reterr, MK_EINVALID,
                      "the emulator is a source of quotes, and the only one "
                      "that wants one");
    if (rv == 0 && o->verifies)
        rv = open_verifying(w, o, reterr);
    w->service = (struct mk_service){.proto = "quote", .accept = exchange_accept};
    if (rv == 0)
        rv = mk_net_serve(net, &w->service);
    if (rv != 0) {
        mk_witness_close(w);
        return rv;
    }
    w->links.down = link_down;
    mk_net_watch(net, &w->links);
    if (w->verifies) {
        judge_load(w);
        judge_fetch(w);
    }
    witness_arm(w);
    *ret = w;
    return 0;
}

void mk_witness_close(struct mk_witness *w)
{
    if (w == NULL)
        return;
    while (!mk_list_empty(&w->peers))
        attested_free(mk_container_of(w->peers.next, struct attested, node));
    mk_list_each(n, &w->watches) mk_list_del(n);
    mk_net_unwatch(&w->links);
    mk_net_unserve(&w->service);
    mk_timer_stop(&w->timer);
    make_close(w);
    judge_close(w);
    mk_free(w);
}
