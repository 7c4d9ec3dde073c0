/* evidence_machine.c - a machine behind a machine: commands come with what resolves their pointers
 * (mosaik/evidence.h), and the inner machine sees those alone whose pointers were all resolved.
 *
 * Its own state is the book of what it learned of others; it travels in the snapshot before the
 * inner machine's. */
#include <mosaik/evidence.h>

#include "group/state_int.h"

#include <stdio.h>
#include <string.h>

struct evidenced {
    struct mk_machine machine;
    struct mk_machine_ops ops;
    char name[128];
    struct mk_machine *inner;
    const struct mk_evidence_hooks *hooks;
    struct mk_evidence_book book;
};

static struct evidenced *evidenced_of(const struct mk_machine *m)
{
    return mk_container_of((struct mk_machine *)(uintptr_t)m, struct evidenced, machine);
}

static bool pointer_eq(const struct mk_evidence_pointer *a, const struct mk_evidence_pointer *b)
{
    return memcmp(a->member.b, b->member.b, sizeof a->member.b) == 0 &&
           mk_id_eq(&a->surface, &b->surface) && a->clock == b->clock &&
           mk_id_eq(&a->commit, &b->commit);
}

/** Refuses the command: the n-th pointer is not resolved. */
static int unresolved(struct mk_apply *a, size_t i, const struct mk_evidence_pointer *p,
                      const char *why)
{
    char commit[MK_ID_HEX];

    mk_apply_cite(a, p, /* resolved= */ false, why);
    return mk_refuse(a, "evidence %zu (commit %.16s, clock %llu) is not resolved: %.70s", i,
                     mk_id_hex(&p->commit, commit), (unsigned long long)p->clock, why);
}

static int resolve_one(struct evidenced *x, struct mk_apply *a, size_t i,
                       const struct mk_evidence_pointer *p, const struct mk_exhibits *all,
                       struct mk_resolved *ret)
{
    struct mk_evidence_anchor anchor = {.n_surfaces = 0};
    struct mk_fault why = {{0}};

    if (i >= all->n)
        return unresolved(a, i, p, "nothing came beside the command for it");
    if (!pointer_eq(p, &all->v[i].pointer))
        return unresolved(a, i, p, "what came beside the command is of another pointer");
    if (x->hooks->anchor(x->inner, a, &all->v[i].stable_id, &anchor) != 0)
        return unresolved(a, i, p, "its member is none that is listened to here");
    if (mk_evidence_resolve(&x->book, &anchor, &all->v[i], ret, &why) != 0)
        return unresolved(a, i, p, why.text);
    mk_apply_cite(a, p, /* resolved= */ true, "");
    return 0;
}

static int apply_resolved(struct evidenced *x, struct mk_apply *a, const struct mk_evidenced *in)
{
    struct mk_evidence_pointer cited[MK_EVIDENCE_MAX];
    struct mk_resolved resolved[MK_EVIDENCE_MAX];
    size_t n = 0;
    int rv = x->hooks->cites(x->inner, in->command, cited, &n);

    if (rv == MK_ELIMIT)
        return mk_refuse(a, "evidence: a command carries at most %u pointers", MK_EVIDENCE_MAX);
    if (rv != 0)
        n = 0; /* no command: the machine says why */
    if (in->evidence.n > n)
        return mk_refuse(a, "evidence: %zu pieces for %zu pointers", in->evidence.n, n);
    rv = 0;
    for (size_t i = 0; i < n && rv == 0; i++)
        rv = resolve_one(x, a, i, &cited[i], &in->evidence, &resolved[i]);
    if (rv != 0)
        return rv;
    a->evidence = resolved;
    a->n_evidence = n;
    rv = x->inner->ops->apply(x->inner, a, in->command);
    a->evidence = NULL;
    a->n_evidence = 0;
    return rv;
}

static int evidenced_apply(struct mk_machine *m, struct mk_apply *a, struct mk_bytes command)
{
    struct mk_arena arena = {0};
    struct mk_evidenced in;
    struct mk_fault fault;
    int rv;

    if (mk_decode(&in, &mk_evidenced_type, command, &arena, &fault) != 0)
        rv = mk_refuse(a, "not a command with its evidence: %.100s", fault.text);
    else
        rv = apply_resolved(evidenced_of(m), a, &in);
    mk_arena_done(&arena);
    return rv;
}

/* --- what passes through --------------------------------------------------------------------- */

static int evidenced_query(struct mk_machine *m, const struct mk_surfaces *s, struct mk_bytes query,
                           struct mk_buf *answer, struct mk_fault *reterr)
{
    struct mk_machine *inner = evidenced_of(m)->inner;

    if (inner->ops->query == NULL)
        return mk_fault(reterr, MK_EREFUSED, "this component answers no queries");
    return inner->ops->query(inner, s, query, answer, reterr);
}

static void evidenced_snapshot(const struct mk_machine *m, struct mk_buf *out)
{
    const struct evidenced *x = evidenced_of(m);
    struct mk_buf book = {0};

    mk_evidence_book_snapshot(&x->book, &book);
    mk_put_varint(out, book.n);
    mk_buf_put(out, book.p, book.n);
    mk_buf_done(&book);
    if (x->inner->ops->snapshot != NULL)
        x->inner->ops->snapshot(x->inner, out);
}

static int evidenced_restore(struct mk_machine *m, struct mk_bytes snapshot,
                             struct mk_fault *reterr)
{
    struct evidenced *x = evidenced_of(m);
    struct mk_reader r = {.p = snapshot.p, .n = snapshot.n};
    uint64_t n = mk_read_varint(&r);
    struct mk_bytes book = mk_read_bytes(&r, n > r.n ? r.n + 1 : (size_t)n);
    int rv;

    if (r.failed)
        return mk_fault(reterr, MK_EMALFORMED, "snapshot: cut short");
    mk_evidence_book_done(&x->book);
    rv = mk_evidence_book_restore(&x->book, book, reterr);
    if (rv != 0)
        return rv;
    if (x->inner->ops->restore != NULL)
        return x->inner->ops->restore(x->inner, MK_BYTES(r.p, r.n), reterr);
    return r.n == 0 ? 0 : mk_fault(reterr, MK_EMALFORMED, "snapshot: the machine keeps none");
}

static void evidenced_founded(struct mk_machine *m, struct mk_apply *a)
{
    struct mk_machine *inner = evidenced_of(m)->inner;

    inner->ops->founded(inner, a);
}

static void evidenced_advanced(struct mk_machine *m, struct mk_apply *a)
{
    struct mk_machine *inner = evidenced_of(m)->inner;

    inner->ops->advanced(inner, a);
}

static uint64_t evidenced_waits_for(const struct mk_machine *m)
{
    const struct mk_machine *inner = evidenced_of(m)->inner;

    return inner->ops->waits_for(inner);
}

static void evidenced_free(struct mk_machine *m)
{
    struct evidenced *x = evidenced_of(m);

    x->inner->ops->free(x->inner);
    mk_evidence_book_done(&x->book);
    mk_free(x);
}

struct mk_machine *mk_evidenced_machine_new(struct mk_machine *inner,
                                            const struct mk_evidence_hooks *hooks)
{
    struct evidenced *x = mk_alloc(sizeof *x);

    snprintf(x->name, sizeof x->name, "%s+evidence", inner->ops->name);
    x->inner = inner;
    x->hooks = hooks;
    x->ops = (struct mk_machine_ops){
        .name = x->name,
        .version = inner->ops->version,
        .surfaces = inner->ops->surfaces,
        .n_surfaces = inner->ops->n_surfaces,
        .apply = evidenced_apply,
        .query = evidenced_query,
        .snapshot = evidenced_snapshot,
        .restore = evidenced_restore,
        .founded = inner->ops->founded != NULL ? evidenced_founded : NULL,
        .advanced = inner->ops->advanced != NULL ? evidenced_advanced : NULL,
        .waits_for = inner->ops->waits_for != NULL ? evidenced_waits_for : NULL,
        .free = evidenced_free};
    x->machine.ops = &x->ops;
    return &x->machine;
}

/* --- the hands -------------------------------------------------------------------------------- */

const struct mk_resolved *mk_apply_evidence(const struct mk_apply *a, size_t *ret_n)
{
    *ret_n = a->n_evidence;
    return a->evidence;
}

void mk_apply_cite(struct mk_apply *a, const struct mk_evidence_pointer *p, bool resolved,
                   const char *why)
{
    struct mk_cited *c;

    if (a->n_cited == MK_EVIDENCE_MAX)
        return;
    if (a->cited == NULL)
        a->cited = mk_alloc(MK_EVIDENCE_MAX * sizeof *a->cited);
    c = &a->cited[a->n_cited++];
    *c = (struct mk_cited){.pointer = *p, .resolved = resolved};
    snprintf(c->why, sizeof c->why, "%s", why);
}

void mk_evidenced_put(struct mk_buf *out, struct mk_bytes command, const struct mk_exhibit *v,
                      size_t n)
{
    struct mk_evidenced e = {.command = command, .evidence = {v, n}};

    mk_encode(out, &mk_evidenced_type, &e);
}
