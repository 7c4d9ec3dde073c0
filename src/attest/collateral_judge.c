/* collateral_judge.c - what collateral says of a quote whose signatures are good: is anything on
 * its chain revoked, and which TCB level has its platform.
 *
 * Every document is looked at with its own dates, and without a fresh revocation list of the
 * root and of the PCK's CA nothing is said: fails closed. */
#include "attest/collateral.h"

#include <string.h>

static int use_list(const struct mk_collateral *c, const uint8_t signer[32], const char *what,
                    uint64_t now_s, const struct x509_crl **ret, struct mk_quote_verdict *v,
                    struct mk_fault *reterr)
{
    const struct crl_item *item = collateral_list(c, signer);
    struct span span;
    int rv;

    if (item == NULL)
        return mk_fault(reterr, MK_EREFUSED, "collateral: there is no %s", what);
    span = (struct span){item->crl.this_update, item->crl.next_update};
    rv = span_check(&span, what, now_s, reterr);
    v->expires_s = span.to < v->expires_s ? span.to : v->expires_s;
    *ret = &item->crl;
    return rv;
}

static int use_head(const struct tcb_head *h, const char *what, const struct x509_crl *root_list,
                    uint64_t now_s, struct mk_quote_verdict *v, struct mk_fault *reterr)
{
    if (x509_crl_lists(root_list, MK_BYTES(h->serial, h->n_serial)))
        return mk_fault(reterr, MK_EREFUSED, "%s: the certificate that signs it is revoked", what);
    v->expires_s = h->span.to < v->expires_s ? h->span.to : v->expires_s;
    return span_check(&h->span, what, now_s, reterr);
}

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

static int judge_revocation(const struct mk_collateral *c, const struct pck *pck, uint64_t now_s,
                            const struct x509_crl **ret_root_list, struct mk_quote_verdict *v,
                            struct mk_fault *reterr)
{
    const struct x509_crl *ca_list;
    int rv =
        use_list(c, c->root->id, "revocation list of the root", now_s, ret_root_list, v, reterr);

    if (rv == 0)
        rv = use_list(c, pck->ca, "revocation list of the PCK's CA", now_s, &ca_list, v, reterr);
    if (rv != 0)
        return rv;
    if (x509_crl_lists(*ret_root_list, MK_BYTES(pck->ca_serial, pck->n_ca_serial)))
        return mk_fault(reterr, MK_EREFUSED, "the PCK's CA is revoked");
    if (x509_crl_lists(ca_list, MK_BYTES(pck->serial, pck->n_serial)))
        return mk_fault(reterr, MK_EREFUSED, "the PCK certificate is revoked");
    return 0;
}

int collateral_judge(const struct mk_collateral *c, const struct mk_quote_root *root,
                     const struct mk_quote *q, const struct pck *pck, uint64_t now_s,
                     struct mk_quote_verdict *v, struct mk_fault *reterr)
{
    const struct qe_identity *qe = find_identity(c, q->tee);
    const struct tcb_info *info = find_info(c, q->tee, pck->platform.fmspc);
    const struct x509_crl *root_list;
    char fmspc[13];
    int rv;

    mk_hex(fmspc, pck->platform.fmspc, 6);
    if (memcmp(c->root->id, root->id, sizeof root->id) != 0)
        return mk_fault(reterr, MK_EREFUSED, "collateral: of another root");
    rv = judge_revocation(c, pck, now_s, &root_list, v, reterr);
    if (rv != 0)
        return rv;
    if (info == NULL)
        return mk_fault(reterr, MK_EREFUSED, "collateral: there is no TCB info of FMSPC %s for %s",
                        fmspc, mk_tee_name(q->tee));
    if (qe == NULL)
        return mk_fault(reterr, MK_EREFUSED, "collateral: there is no QE identity for %s",
                        mk_tee_name(q->tee));
    rv = use_head(&info->head, "TCB info", root_list, now_s, v, reterr);
    if (rv == 0)
        rv = use_head(&qe->head, "QE identity", root_list, now_s, v, reterr);
    return rv != 0 ? rv : tcb_judge(info, qe, q, pck, v, reterr);
}
