/* proof.c - a commit is proven by a certified head at or after it and the links between:
 * hashing them onto the commit must lead to the head's commit hash. Many commands end
 * under one certificate, so one that is known already is not verified again. */
#include "group/proof.h"

#include "collections/surface.h"

static bool head_eq(const struct mk_head *a, const struct mk_head *b)
{
    return mk_id_eq(&a->deployment, &b->deployment) && a->epoch == b->epoch &&
           mk_id_eq(&a->surface, &b->surface) && a->index == b->index &&
           mk_id_eq(&a->commit, &b->commit) && mk_id_eq(&a->state, &b->state) &&
           a->time_ms == b->time_ms;
}

int mk_reader_believes(struct mk_reader_memory *memory, const struct mk_certificate *c,
                       struct mk_fault *reterr)
{
    const struct mk_certificate *a, *b;
    struct mk_peers guilty;
    int rv;

    if (!mk_reader_conflict(memory, &a, &b, &guilty) &&
        mk_reader_newest(memory, &c->head.surface, &a) == 0 && head_eq(&a->head, &c->head))
        return 0;
    rv = mk_reader_accept(memory, c, reterr);
    return rv == MK_ESTALE ? 0 : rv;
}

static int check_one(struct mk_reader_memory *memory, const struct mk_commit_ref *ref,
                     const struct mk_commit_proof *p, struct mk_fault *reterr)
{
    const struct mk_head *head = &p->certificate.head;
    struct mk_id hash = ref->commit;

    if (!mk_id_eq(&p->commit.surface, &ref->surface) || p->commit.index != ref->index ||
        !mk_id_eq(&p->commit.commit, &ref->commit))
        return mk_fault(reterr, MK_ESIGNATURE, "a proof of another commit");
    if (!mk_id_eq(&head->surface, &ref->surface) || head->index < ref->index ||
        head->index - ref->index != p->between.n)
        return mk_fault(reterr, MK_ESIGNATURE, "a proof that does not reach its certificate");
    for (size_t i = 0; i < p->between.n; i++) {
        if (mk_id_is_zero(&p->between.v[i].digest))
            return mk_fault(reterr, MK_EUNKNOWN, "committed, but the proof is no longer retained");
        hash = mk_commit_hash(&hash, ref->index + 1 + i, &p->between.v[i].digest,
                              &p->between.v[i].payload);
    }
    if (!mk_id_eq(&hash, &head->commit))
        return mk_fault(reterr, MK_ESIGNATURE,
                        "the commit does not add up to the certified head of index %llu",
                        (unsigned long long)head->index);
    return mk_reader_believes(memory, &p->certificate, reterr);
}

int mk_commit_proofs_check(struct mk_reader_memory *memory, const struct mk_outcome *outcome,
                           const struct mk_commit_proofs *proofs, struct mk_fault *reterr)
{
    int rv = 0;

    if (proofs->n == 0 && outcome->commits.n > 0)
        return mk_fault(reterr, MK_EUNKNOWN, "committed, but its proof is too long to be sent");
    if (proofs->n != outcome->commits.n)
        return mk_fault(reterr, MK_ESIGNATURE, "proofs of %zu of %zu commits", proofs->n,
                        outcome->commits.n);
    for (size_t i = 0; i < proofs->n && rv == 0; i++)
        rv = check_one(memory, &outcome->commits.v[i], &proofs->v[i], reterr);
    return rv;
}
