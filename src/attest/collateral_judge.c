/* collateral_judge.c - what collateral says of a quote whose signatures are good: is anything on
 * its chain revoked, and which TCB level has its platform.
 *
 * Every document is looked at with its own dates, and without a fresh revocation list of the
 * root and of the PCK's CA nothing is said: fails closed. */
#include "attest/collateral.h"

#include <string.h>

/* The four documents that a verdict rests on. */
struct used {
    const struct x509_crl *root_list, *ca_list;
    const struct tcb_info *info;
    const struct qe_identity *qe;
};

static const struct tcb_info *find_info(const struct mk_collateral *c, enum mk_tee tee,
                                        const uint8_t fmspc[6])
{
    for (size_t i = 0; i < c->n_infos; i++) {
        if (c->infos[i]->head.tee == tee && memcmp(c->infos[i]->fmspc, fmspc, 6) == 0)
            return c->infos[i];
    }
    return NULL;
}

static const struct qe_identity *find_identity(const struct mk_collateral *c, enum mk_tee tee)
{
    for (size_t i = 0; i < c->n_identities; i++) {
        if (c->identities[i]->head.tee == tee)
            return c->identities[i];
    }
    return NULL;
}

static int find_all(struct used *u, const struct mk_collateral *c, enum mk_tee tee,
                    const struct pck *pck, struct mk_fault *reterr)
{
    const struct crl_item *root = collateral_list(c, c->root->id);
    const struct crl_item *ca = collateral_list(c, pck->ca);
    char fmspc[13];

    mk_hex(fmspc, pck->platform.fmspc, 6);
    u->info = find_info(c, tee, pck->platform.fmspc);
    u->qe = find_identity(c, tee);
    if (root == NULL || ca == NULL)
        return mk_fault(reterr, MK_EREFUSED, "collateral: there is no revocation list of the %s",
                        root == NULL ? "root" : "PCK's CA");
    if (u->info == NULL)
        return mk_fault(reterr, MK_EREFUSED, "collateral: there is no TCB info of FMSPC %s for %s",
                        fmspc, mk_tee_name(tee));
    if (u->qe == NULL)
        return mk_fault(reterr, MK_EREFUSED, "collateral: there is no QE identity for %s",
                        mk_tee_name(tee));
    u->root_list = &root->crl;
    u->ca_list = &ca->crl;
    return 0;
}

/* Every date; of several that have passed, the one that passed first is told. */
static int check_dates(const struct used *u, uint64_t now_s, struct mk_quote_verdict *v,
                       struct mk_fault *reterr)
{
    const struct {
        struct span span;
        const char *what;
    } all[] = {
        {{u->root_list->this_update, u->root_list->next_update}, "revocation list of the root"},
        {{u->ca_list->this_update, u->ca_list->next_update}, "revocation list of the PCK's CA"},
        {u->info->head.span, "TCB info"},
        {u->qe->head.span, "QE identity"}};
    size_t n = sizeof all / sizeof all[0], first = 0;

    for (size_t i = 0; i < n; i++) {
        first = all[i].span.to < all[first].span.to ? i : first;
        v->from_s = all[i].span.from > v->from_s ? all[i].span.from : v->from_s;
    }
    v->expires_s = all[first].span.to < v->expires_s ? all[first].span.to : v->expires_s;
    if (now_s >= all[first].span.to)
        return span_check(&all[first].span, all[first].what, now_s, reterr);
    for (size_t i = 0; i < n; i++) {
        int rv = span_check(&all[i].span, all[i].what, now_s, reterr);

        if (rv != 0)
            return rv;
    }
    return 0;
}

static int check_revocation(const struct used *u, const struct pck *pck, struct mk_fault *reterr)
{
    const struct tcb_head *heads[] = {&u->info->head, &u->qe->head};

    if (x509_crl_lists(u->root_list, MK_BYTES(pck->ca_serial, pck->n_ca_serial)))
        return mk_fault(reterr, MK_EREFUSED, "the PCK's CA is revoked");
    if (x509_crl_lists(u->ca_list, MK_BYTES(pck->serial, pck->n_serial)))
        return mk_fault(reterr, MK_EREFUSED, "the PCK certificate is revoked");
    for (size_t i = 0; i < 2; i++) {
        if (x509_crl_lists(u->root_list, MK_BYTES(heads[i]->serial, heads[i]->n_serial)))
            return mk_fault(reterr, MK_EREFUSED, "%s: the certificate that signs it is revoked",
                            i == 0 ? "TCB info" : "QE identity");
    }
    return 0;
}

int collateral_judge(const struct mk_collateral *c, const struct mk_quote_root *root,
                     const struct mk_quote *q, const struct pck *pck, uint64_t now_s,
                     struct mk_quote_verdict *v, struct mk_fault *reterr)
{
    struct used u = {0};
    int rv;

    if (memcmp(c->root->id, root->id, sizeof root->id) != 0)
        return mk_fault(reterr, MK_EREFUSED, "collateral: of another root");
    rv = find_all(&u, c, q->tee, pck, reterr);
    if (rv == 0)
        rv = check_dates(&u, now_s, v, reterr);
    if (rv == 0)
        rv = check_revocation(&u, pck, reterr);
    return rv != 0 ? rv : tcb_judge(u.info, u.qe, q, pck, v, reterr);
}
