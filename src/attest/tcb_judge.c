/* tcb_judge.c - which level a platform has (Intel's PCS: "TCB level of a platform", and the
 * quote verification library's rules 4.1.2.4.11 to 4.1.2.4.17).
 *
 *   platform   the first level whose SGX components, PCE svn and (TDX) TDX components the
 *              platform reaches in each place
 *   module     TDX 1.5: the first level of the identity TDX_xx that the module's svn reaches
 *   QE         the first level of the QE identity that its isv_svn reaches
 *
 * The status is the platform's, made worse by the module's and the QE's. Advisories are those
 * of all three levels. */
#include "attest/le.h"
#include "attest/tcb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what must be equal -------------------------------------------------------------------- */

static int check_platform(const struct tcb_info *t, const struct pck *pck, struct mk_fault *reterr)
{
    if (memcmp(t->fmspc, pck->platform.fmspc, sizeof t->fmspc) != 0)
        return mk_fault(reterr, MK_EREFUSED, "TCB info: of another platform (FMSPC)");
    if (memcmp(t->pce_id, pck->platform.pce_id, sizeof t->pce_id) != 0)
        return mk_fault(reterr, MK_EREFUSED, "TCB info: of another PCE");
    return 0;
}

static bool masked_equal(const uint8_t *got, const uint8_t *want, const uint8_t *mask, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((got[i] & mask[i]) != (want[i] & mask[i]))
            return false;
    }
    return true;
}

static int check_qe(const struct qe_identity *qe, const struct mk_sgx_report *r,
                    struct mk_fault *reterr)
{
    const char *what = NULL;

    if (!masked_equal(r->misc_select, qe->misc_select, qe->misc_mask, sizeof r->misc_select))
        what = "miscselect";
    else if (!masked_equal(r->attributes, qe->attributes, qe->mask, sizeof r->attributes))
        what = "attributes";
    else if (memcmp(r->mr_signer, qe->mr_signer, sizeof r->mr_signer) != 0)
        what = "mrsigner";
    else if (le16(r->isv_prod_id) != qe->isv_prod_id)
        what = "isvprodid";
    if (what != NULL)
        return mk_fault(reterr, MK_EREFUSED, "QE identity: the QE's %s is another", what);
    return 0;
}

static const struct tdx_module *find_module(const struct tcb_info *t, uint8_t version)
{
    for (size_t i = 0; i < t->n_modules; i++) {
        if (t->modules[i].version == version)
            return &t->modules[i];
    }
    return NULL;
}

/* The module that the quote says it was launched with: signer and attributes. */
static int check_module(const struct tcb_info *t, const struct mk_td_report *r,
                        const struct tdx_module **ret, struct mk_fault *reterr)
{
    static const uint8_t zero[8];
    uint8_t version = r->tee_tcb_svn[1];
    const struct tdx_module *m = version == 0 ? &t->module : find_module(t, version);

    if (m == NULL)
        return mk_fault(reterr, MK_EREFUSED, "TCB info: no identity of TDX module TDX_%02X",
                        version);
    if (memcmp(r->mr_signer_seam, m->mr_signer, sizeof m->mr_signer) != 0)
        return mk_fault(reterr, MK_EREFUSED, "the TDX module is signed by somebody else");
    if (memcmp(r->seam_attributes, zero, sizeof zero) != 0 ||
        memcmp(r->seam_attributes, m->attributes, sizeof m->attributes) != 0)
        return mk_fault(reterr, MK_EREFUSED, "the TDX module has attributes that it must not have");
    *ret = m;
    return 0;
}

/* --- levels --------------------------------------------------------------------------------- */

static bool reaches(const uint8_t *have, const uint8_t *want, size_t from)
{
    for (size_t i = from; i < 16; i++) {
        if (have[i] < want[i])
            return false;
    }
    return true;
}

static bool reaches_sgx(const struct tcb_level *l, const struct x509_platform *p)
{
    return reaches(p->svn, l->sgx, 0) && p->pce_svn >= l->pce_svn;
}

/* Components 0 and 1 are the module's: where it has an identity of its own, that counts. */
static bool reaches_tdx(const struct tcb_level *l, const uint8_t svn[16])
{
    return reaches(svn, l->tdx, svn[1] > 0 ? 2 : 0);
}

static const struct svn_level *svn_level(const struct svn_level *levels, size_t n, unsigned svn)
{
    for (size_t i = 0; i < n; i++) {
        if (svn >= levels[i].isv_svn)
            return &levels[i];
    }
    return NULL;
}

struct judged {
    const struct tcb_level *sgx, *platform; /* the first reached by the SGX part; by all */
    const struct tdx_module *module;
    const struct svn_level *module_level; /* NULL: TDX 1.0, or SGX */
    const struct svn_level *qe_level;
};

static int find_levels(struct judged *j, const struct tcb_info *t, const struct mk_quote *q,
                       const struct pck *pck, struct mk_fault *reterr)
{
    for (size_t i = 0; i < t->n_levels && j->platform == NULL; i++) {
        const struct tcb_level *l = &t->levels[i];

        if (!reaches_sgx(l, &pck->platform))
            continue;
        if (j->sgx == NULL)
            j->sgx = l;
        if (q->tee == MK_TEE_SGX || reaches_tdx(l, q->td.tee_tcb_svn))
            j->platform = l;
    }
    if (j->platform == NULL)
        return mk_fault(reterr, MK_EREFUSED, "TCB info: the platform is below every level");
    return 0;
}

static int find_module_level(struct judged *j, const struct mk_td_report *r,
                             struct mk_fault *reterr)
{
    if (j->module->version == 0)
        return 0;
    j->module_level = svn_level(j->module->levels, j->module->n_levels, r->tee_tcb_svn[0]);
    if (j->module_level == NULL)
        return mk_fault(reterr, MK_EREFUSED,
                        "TCB info: the TDX module's svn %u is below every level",
                        r->tee_tcb_svn[0]);
    return 0;
}

/* --- status ---------------------------------------------------------------------------------- */

/* A part that is out of date makes the whole out of date, and keeps what it needs besides. Intel
 * says of module and QE that they are up to date, out of date or revoked; anything else that may
 * be signed counts as out of date, not as nothing. */
static enum mk_tcb_status worse(enum mk_tcb_status s, enum mk_tcb_status part)
{
    if (part == MK_TCB_Revoked)
        return MK_TCB_Revoked;
    if (part == MK_TCB_UpToDate)
        return s;
    switch (s) {
    case MK_TCB_UpToDate:
    case MK_TCB_SWHardeningNeeded:
        return MK_TCB_OutOfDate;
    case MK_TCB_ConfigurationNeeded:
    case MK_TCB_ConfigurationAndSWHardeningNeeded:
        return MK_TCB_OutOfDateConfigurationNeeded;
    case MK_TCB_OutOfDate:
    case MK_TCB_OutOfDateConfigurationNeeded:
    case MK_TCB_TDRelaunchAdvised:
    case MK_TCB_TDRelaunchAdvisedConfigurationNeeded:
    case MK_TCB_Revoked:
        break;
    }
    return s;
}

static bool needs_configuration(enum mk_tcb_status s)
{
    return s == MK_TCB_ConfigurationNeeded || s == MK_TCB_ConfigurationAndSWHardeningNeeded ||
           s == MK_TCB_OutOfDateConfigurationNeeded;
}

static bool is_out_of_date(enum mk_tcb_status s)
{
    return s == MK_TCB_OutOfDate || s == MK_TCB_OutOfDateConfigurationNeeded;
}

/* Was only the module old when the TD was launched, and has it been replaced under the TD
 * since (TDX 1.5: tee_tcb_svn_2)? Then launching again would do. */
static bool relaunch_helps(const struct judged *j, const struct tcb_info *t,
                           const struct mk_td_report *r)
{
    const uint8_t *now = r->tee_tcb_svn_2;
    const struct tcb_level *best = &t->levels[0];
    const struct tdx_module *m;

    if (is_out_of_date(j->sgx->s.status) || j->sgx->s.status == MK_TCB_Revoked ||
        j->qe_level->s.status != MK_TCB_UpToDate || j->module_level == NULL ||
        j->module_level->s.status != MK_TCB_OutOfDate || now[2] < best->tdx[2])
        return false;
    if (now[1] == 0)
        return now[0] >= best->tdx[0];
    m = find_module(t, now[1]);
    return m != NULL && m->n_levels > 0 && now[0] >= m->levels[0].isv_svn;
}

static enum mk_tcb_status converge(const struct judged *j, const struct tcb_info *t,
                                   const struct mk_quote *q)
{
    enum mk_tcb_status s = j->platform->s.status;

    if (j->module_level != NULL)
        s = worse(s, j->module_level->s.status);
    if (q->body == MK_BODY_TDX15 && is_out_of_date(s) && relaunch_helps(j, t, &q->td))
        s = needs_configuration(s) || needs_configuration(j->sgx->s.status)
                ? MK_TCB_TDRelaunchAdvisedConfigurationNeeded
                : MK_TCB_TDRelaunchAdvised;
    return worse(s, j->qe_level->s.status);
}

static int advisory_cmp(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void add_advisories(struct mk_quote_verdict *v, const struct tcb_status *s)
{
    for (size_t i = 0; i < s->n_advisories; i++) {
        unsigned k = 0;

        while (k < v->n_advisories && strcmp(v->advisories[k], s->advisories[i]) != 0)
            k++;
        if (k == v->n_advisories && k < MK_ADVISORIES_MAX)
            memcpy(v->advisories[v->n_advisories++], s->advisories[i], MK_ADVISORY_MAX);
    }
    qsort(v->advisories, v->n_advisories, sizeof v->advisories[0], advisory_cmp);
}

static void fill(struct mk_quote_verdict *v, const struct judged *j, const struct tcb_info *t,
                 const struct mk_quote *q)
{
    v->has_status = true;
    v->status = converge(j, t, q);
    v->evaluation_number = t->head.evaluation;
    snprintf(v->tcb_date, sizeof v->tcb_date, "%s", j->platform->s.date);
    add_advisories(v, &j->platform->s);
    if (j->module_level != NULL)
        add_advisories(v, &j->module_level->s);
    add_advisories(v, &j->qe_level->s);
}

int tcb_judge(const struct tcb_info *t, const struct qe_identity *qe, const struct mk_quote *q,
              const struct pck *pck, struct mk_quote_verdict *v, struct mk_fault *reterr)
{
    struct judged j = {0};
    int rv = check_platform(t, pck, reterr);

    if (rv == 0)
        rv = check_qe(qe, &q->qe_report, reterr);
    if (rv == 0 && q->tee == MK_TEE_TDX)
        rv = check_module(t, &q->td, &j.module, reterr);
    if (rv == 0)
        rv = find_levels(&j, t, q, pck, reterr);
    if (rv == 0 && q->tee == MK_TEE_TDX)
        rv = find_module_level(&j, &q->td, reterr);
    if (rv != 0)
        return rv;
    j.qe_level = svn_level(qe->levels, qe->n_levels, le16(q->qe_report.isv_svn));
    if (j.qe_level == NULL)
        return mk_fault(reterr, MK_EREFUSED, "QE identity: the QE's svn %u is below every level",
                        le16(q->qe_report.isv_svn));
    fill(v, &j, t, q);
    return 0;
}
