/* judge.c - verifying what peers show, and loading the collateral that it takes.
 *
 * Root and collateral belong to one thread: the work that is under way. So there is one work
 * at a time; it first adds documents that were loaded, then verifies one quote. The result
 * becomes evidence on the loop.
 *
 * A quote is verified once; again when the collateral's generation moved, when what a good
 * verdict rested on has ended (which refuses it, unless newer collateral came), and when what was
 * not valid yet begins to be.
 *
 * What a level is: TdxLocal, the quote is good under the root and there is no collateral here
 * to ask about the platform; TdxRemote, the platform's TCB is good too; TdxRaTlsBidirectional,
 * the other side told us that it believed ours on this link; TdxPlusReproducibleBuild, and the
 * measurements are of a published, reproducible build. With collateral, a platform that it does
 * not cover or does not like is refused, not TdxLocal. */
#include "witness/witness_int.h"

#include <stdio.h>
#include <string.h>

#define FETCH_LEFT_S 900u

/* --- on the thread ------------------------------------------------------------------------ */

/* All at once: a certificate may stand in another document than what it signs. */
static void run_load(struct judging *j)
{
    struct mk_buf slices = {0};
    struct mk_list done, *n;
    int rv;

    mk_list_init(&done);
    while ((n = mk_list_pop(&j->docs)) != NULL) {
        struct judged_doc *d = mk_container_of(n, struct judged_doc, node);
        struct mk_bytes doc = MK_BYTES(d->bytes, d->n);

        mk_buf_put(&slices, &doc, sizeof doc);
        mk_list_add_tail(&done, n);
    }
    if (slices.n > 0) {
        rv = mk_collateral_add(j->w->collateral, (const struct mk_bytes *)(const void *)slices.p,
                               slices.n / sizeof(struct mk_bytes), &j->fault);
        j->load_status = rv == MK_ESTALE && mk_collateral_expires_s(j->w->collateral) != UINT64_MAX
                             ? 0
                             : rv; /* older than what is there; or than what was there once */
        j->loaded = true;
    }
    while ((n = mk_list_pop(&done)) != NULL)
        mk_free(mk_container_of(n, struct judged_doc, node));
    mk_buf_done(&slices);
}

static void run_refused(struct judging *j, const char *reason)
{
    j->evidence.state = MK_EVIDENCE_BAD;
    snprintf(j->evidence.reason, sizeof j->evidence.reason, "%.250s", reason);
}

static void run_believe(struct judging *j, const struct mk_quote *q,
                        const struct mk_quote_verdict *v)
{
    j->evidence.state = MK_EVIDENCE_GOOD;
    j->evidence.expires_ms = v->expires_s > UINT64_MAX / 1000 ? UINT64_MAX : v->expires_s * 1000;
    mk_measurements_of(&q->td, &j->evidence.measured);
    j->level = v->has_status ? MK_LEVEL_TDX_REMOTE : MK_LEVEL_TDX_LOCAL;
    j->published = mk_measurements_in(j->w->published, j->w->n_published, &q->td) >= 0;
}

static void run_verify(struct judging *j)
{
    struct mk_witness *w = j->w;
    bool covered = mk_collateral_expires_s(w->collateral) != UINT64_MAX;
    struct mk_quote_verdict v = {0};
    struct mk_fault f = {{0}};
    struct mk_quote q;

    if (mk_quote_parse(&q, mk_buf_bytes(&j->quote), &f) != 0) {
        run_refused(j, f.text);
        return;
    }
    if (q.tee != MK_TEE_TDX) {
        run_refused(j, "it is a quote of an SGX enclave, not of a TD");
        return;
    }
    mk_quote_verify(w->root, covered ? w->collateral : NULL, &q, &w->policy, j->now_s, &v);
    j->evidence.from_ms = v.from_s > UINT64_MAX / 1000 ? UINT64_MAX : v.from_s * 1000;
    if (!v.ok)
        run_refused(j, v.reason);
    else if (memcmp(mk_quote_report_data(&q), j->data, sizeof j->data) != 0)
        run_refused(j, "its report data is not of this bond: the quote was made for another key, "
                       "another nonce or another link");
    else
        run_believe(j, &q, &v);
}

static void judge_run(struct mk_work *work)
{
    struct judging *j = mk_container_of(work, struct judging, work);

    run_load(j);
    if (j->verify)
        run_verify(j);
    j->generation = mk_collateral_generation(j->w->collateral);
    j->expires_s = mk_collateral_expires_s(j->w->collateral);
}

/* --- on the loop ---------------------------------------------------------------------------- */

/* Why it is TdxRemote and no more; and whether that may change. */
static void grade_remote(struct attested *a)
{
    struct mk_evidence *e = &a->evidence;

    if (a->w->source == MK_SOURCE_NONE)
        snprintf(e->reason, sizeof e->reason, "this node shows no quote of its own");
    else if (a->theirs == THEIRS_REFUSED)
        snprintf(e->reason, sizeof e->reason, "the peer refused ours: %s", a->theirs_why);
    else
        snprintf(e->reason, sizeof e->reason, "the peer has not judged ours");
    e->undecided = a->w->source != MK_SOURCE_NONE && a->theirs == THEIRS_UNKNOWN &&
                   mk_now(a->w->env) < a->theirs_ns;
}

void judge_grade(struct attested *a)
{
    struct mk_evidence *e = &a->evidence;

    e->level = a->level;
    e->undecided = false;
    e->reason[0] = '\0';
    if (e->level == MK_LEVEL_TDX_LOCAL) {
        snprintf(e->reason, sizeof e->reason,
                 "there is no collateral here, so nothing is known of the platform's TCB");
        return;
    }
    if (a->theirs != THEIRS_BELIEVED || a->w->source == MK_SOURCE_NONE) {
        grade_remote(a);
        return;
    }
    e->level = MK_LEVEL_TDX_RA_TLS;
    if (a->published)
        e->level = MK_LEVEL_TDX_REPRODUCIBLE;
    else
        snprintf(e->reason, sizeof e->reason,
                 "its measurements are not among the published ones of this node");
}

static void take_result(struct mk_witness *w, struct attested *a)
{
    a->evidence = w->judge.evidence;
    a->judged_ms = w->judge.now_s * 1000;
    a->level = w->judge.level;
    a->published = w->judge.published;
    if (a->evidence.state == MK_EVIDENCE_GOOD)
        judge_grade(a);
    exchange_judged(a);
    witness_tell(a);
}

static void enqueue(struct attested *a)
{
    if (mk_list_empty(&a->judging))
        mk_list_add_tail(&a->w->to_judge, &a->judging);
}

/* Collateral or policy moved: all that was judged before is judged again. */
static void judge_all(struct mk_witness *w)
{
    mk_list_each(n, &w->peers)
    {
        struct attested *a = mk_container_of(n, struct attested, node);

        if (a->quote.n > 0)
            enqueue(a);
    }
}

/* No work is under way: the policy that was loaded meanwhile counts from here on. */
static void take_policy(struct mk_witness *w)
{
    if (!w->staged.is)
        return;
    mk_free(w->published);
    w->policy = w->staged.policy;
    w->published = w->staged.published;
    w->n_published = w->staged.n_published;
    w->staged = (struct staged){0};
    judge_all(w);
}

static void take_loading(struct mk_witness *w)
{
    struct judging *j = &w->judge;

    w->collateral_s = j->expires_s;
    if (j->load_status != 0)
        snprintf(w->fault, sizeof w->fault, "collateral: %.240s", j->fault.text);
    else if (j->loaded && !w->fetch_failed && strncmp(w->fault, "collateral", 10) == 0)
        w->fault[0] = '\0';
}

static void judge_next(struct mk_witness *w);

static void judge_done(struct mk_work *work)
{
    struct judging *j = mk_container_of(work, struct judging, work);
    struct mk_witness *w = j->w;
    struct attested *a = j->of;
    bool moved = j->generation != w->generation;

    j->of = NULL;
    w->generation = j->generation;
    w->n_verified += j->verify;
    take_loading(w);
    mk_buf_done(&j->quote);
    if (moved) {
        keep_seen(w);
        judge_all(w);
    }
    if (a != NULL && j->verify) {
        mk_list_del(&a->judging); /* verified with the newest there is */
        take_result(w, a);
    }
    j->busy = false;
    judge_fetch(w);
    judge_next(w);
    witness_arm(w);
}

static void take_docs(struct mk_witness *w)
{
    struct mk_list *n;

    while ((n = mk_list_pop(&w->docs)) != NULL)
        mk_list_add_tail(&w->judge.docs, n);
    w->docs_bytes = 0;
}

static void judge_next(struct mk_witness *w)
{
    struct judging *j = &w->judge;
    struct mk_list *n;

    if (j->busy)
        return;
    take_policy(w);
    if (mk_list_empty(&w->to_judge) && mk_list_empty(&w->docs))
        return;
    take_docs(w);
    n = mk_list_pop(&w->to_judge);
    j->of = n != NULL ? mk_container_of(n, struct attested, judging) : NULL;
    j->verify = j->of != NULL;
    j->evidence = (struct mk_evidence){.state = MK_EVIDENCE_BAD};
    j->level = MK_LEVEL_SOFTWARE;
    j->loaded = j->published = false;
    j->load_status = 0;
    j->now_s = mk_wall_ms(w->env) / 1000;
    if (j->of != NULL) {
        mk_buf_put(&j->quote, j->of->quote.p, j->of->quote.n);
        memcpy(j->data, j->of->data, sizeof j->data);
    }
    j->w = w;
    j->busy = true;
    j->work = (struct mk_work){.run = judge_run, .done = judge_done};
    mk_work_start(w->env, &j->work);
}

void judge_queue(struct attested *a)
{
    enqueue(a);
    judge_next(a->w);
}

void judge_forget(struct attested *a)
{
    mk_list_del(&a->judging);
    if (a->w->judge.of == a)
        a->w->judge.of = NULL;
}

void judge_drop(struct attested *a)
{
    judge_forget(a);
    mk_buf_clear(&a->quote);
}

/* --- collateral ------------------------------------------------------------------------------- */

struct putting {
    struct mk_collateral_put put;
    struct mk_witness *w;
    bool full;
};

static void put_doc(struct mk_collateral_put *p, struct mk_bytes doc)
{
    struct putting *x = mk_container_of(p, struct putting, put);
    struct judged_doc *d;

    if (doc.n > MK_WITNESS_DOCS_MAX - x->w->docs_bytes) {
        x->full = true;
        return;
    }
    d = mk_alloc(sizeof *d + doc.n);
    d->n = doc.n;
    memcpy(d->bytes, doc.p, doc.n);
    mk_list_add_tail(&x->w->docs, &d->node);
    x->w->docs_bytes += doc.n;
}

static bool same_policy(const struct mk_witness *w, const struct mk_quote_policy *policy,
                        const struct mk_measurements *published, size_t n)
{
    const struct mk_quote_policy *old = w->staged.is ? &w->staged.policy : &w->policy;
    const struct mk_measurements *had = w->staged.is ? w->staged.published : w->published;
    size_t n_had = w->staged.is ? w->staged.n_published : w->n_published;
    struct mk_buf a = {0}, b = {0};
    bool same = old->statuses == policy->statuses && old->debug == policy->debug && n_had == n;

    for (size_t i = 0; same && i < n; i++) {
        mk_buf_clear(&a);
        mk_buf_clear(&b);
        mk_encode(&a, &mk_measurements_type, &had[i]);
        mk_encode(&b, &mk_measurements_type, &published[i]);
        same = mk_bytes_eq(mk_buf_bytes(&a), mk_buf_bytes(&b));
    }
    mk_buf_done(&a);
    mk_buf_done(&b);
    return same;
}

static void put_policy(struct mk_collateral_put *p, const struct mk_quote_policy *policy,
                       const struct mk_measurements *published, size_t n)
{
    struct mk_witness *w = mk_container_of(p, struct putting, put)->w;

    if (same_policy(w, policy, published, n))
        return;
    mk_free(w->staged.published);
    w->staged = (struct staged){.is = true, .policy = *policy, .n_published = n};
    if (n > 0)
        w->staged.published = mk_memdup(published, n * sizeof *published);
}

static void free_docs(struct mk_list *docs)
{
    struct mk_list *n;

    while ((n = mk_list_pop(docs)) != NULL)
        mk_free(mk_container_of(n, struct judged_doc, node));
}

/* The very documents that were loaded the last time: their signatures need no second look. */
static void drop_known(struct mk_witness *w)
{
    struct mk_buf ids = {0};
    struct mk_id all;

    mk_list_each(n, &w->docs)
    {
        const struct judged_doc *d = mk_container_of(n, struct judged_doc, node);
        struct mk_id id = mk_hash(MK_BYTES(d->bytes, d->n));

        mk_buf_put(&ids, id.b, sizeof id.b);
    }
    all = mk_hash(mk_buf_bytes(&ids));
    mk_buf_done(&ids);
    if (mk_id_eq(&all, &w->loaded)) {
        free_docs(&w->docs);
        w->docs_bytes = 0;
    }
    w->loaded = all;
}

void judge_load(struct mk_witness *w)
{
    struct putting x = {.put = {put_doc, put_policy}, .w = w};
    struct mk_fault f = {{0}};
    int rv;

    w->reload_at_ns = mk_now(w->env) + w->reload_ns;
    if (w->load == NULL)
        return;
    rv = w->load(w->load_arg, &x.put, &f);
    if (rv == 0 && x.full)
        rv = mk_fault(&f, MK_ELIMIT, "more than %u bytes of it", MK_WITNESS_DOCS_MAX);
    if (rv != 0)
        snprintf(w->fault, sizeof w->fault, "collateral: %.240s", f.text);
    drop_known(w);
    judge_next(w);
}

static void fetch_line(struct mk_input *in, struct mk_str line, int status)
{
    (void)in; /* what it prints is for people */
    (void)line;
    (void)status;
}

static void fetch_end(struct mk_input *in, int status)
{
    struct mk_witness *w = mk_container_of(in, struct mk_witness, fetching);

    mk_input_close(in);
    w->is_fetching = false;
    w->fetch_failed = status != 0;
    if (!w->fetch_failed && strncmp(w->fault, "collateral: the command", 23) == 0)
        w->fault[0] = '\0';
    judge_load(w);
    if (w->fetch_failed)
        snprintf(w->fault, sizeof w->fault, "collateral: the command \"%.180s\" failed", w->fetch);
}

void judge_fetch(struct mk_witness *w)
{
    struct mk_input_spec spec = {.kind = MK_INPUT_COMMAND, .command = w->fetch};
    uint64_t now_s = mk_wall_ms(w->env) / 1000, left = w->reload_ns / MK_S / 2;
    struct mk_fault f = {{0}};

    left = left > FETCH_LEFT_S ? left : FETCH_LEFT_S;
    if (w->judge.busy)
        return; /* what is being loaded may be enough: it looks again when it is done */
    if (w->fetch == NULL || w->is_fetching || mk_now(w->env) < w->fetch_at_ns ||
        (w->collateral_s != UINT64_MAX && now_s + left < w->collateral_s))
        return;
    w->fetch_at_ns = mk_now(w->env) + w->reload_ns;
    w->fetching = (struct mk_input){.line = fetch_line, .end = fetch_end};
    if (mk_input_open(w->env, &w->fetching, &spec, &f) == 0)
        w->is_fetching = true;
    else
        snprintf(w->fault, sizeof w->fault, "collateral: %.240s", f.text);
}

void judge_close(struct mk_witness *w)
{
    mk_work_cancel(&w->judge.work);
    mk_input_close(&w->fetching);
    free_docs(&w->docs);
    free_docs(&w->judge.docs);
    mk_buf_done(&w->judge.quote);
    mk_collateral_free(w->collateral);
    mk_quote_root_free(w->root);
    mk_free(w->published);
    mk_free(w->staged.published);
    mk_free(w->fetch);
}
