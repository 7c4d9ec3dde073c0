/* tcb.h - TCB info (version 3) and QE identity (version 2) as Intel's PCS gives them, and
 * the level that a platform has by them ("PCS API v4: TCB info, Enclave identity"). */
#ifndef ATTEST_TCB_H
#define ATTEST_TCB_H

#include "attest/root.h"

#include <mosaik/attest.h>

#define TCB_LEVELS_MAX 256u
#define TCB_MODULES_MAX 32u

/** What every level says. */
struct tcb_status {
    enum mk_tcb_status status;
    char date[24];
    const char (*advisories)[MK_ADVISORY_MAX]; /* in the arena */
    size_t n_advisories;
};

struct tcb_level {
    uint8_t sgx[16], tdx[16];
    uint16_t pce_svn;
    struct tcb_status s;
};

struct svn_level {
    uint16_t isv_svn;
    struct tcb_status s;
};

struct tdx_module {
    uint8_t version; /* of "TDX_xx"; 0 for the one without identity */
    uint8_t mr_signer[48];
    uint8_t attributes[8], mask[8];
    struct svn_level *levels;
    size_t n_levels;
};

/** What both documents have at their head. */
struct tcb_head {
    enum mk_tee tee;
    struct span span;
    uint64_t issued; /* its own issueDate */
    uint32_t evaluation;
    uint8_t serial[21], n_serial; /* of the certificate that signed the document */
};

struct tcb_info {
    struct mk_arena arena;
    struct tcb_head head;
    uint8_t fmspc[6], pce_id[2];
    struct tdx_module module; /* of a TDX info */
    struct tdx_module *modules;
    size_t n_modules;
    struct tcb_level *levels; /* best first */
    size_t n_levels;
};

struct qe_identity {
    struct mk_arena arena;
    struct tcb_head head;
    uint8_t misc_select[4], misc_mask[4];
    uint8_t attributes[16], mask[16];
    uint8_t mr_signer[32];
    uint16_t isv_prod_id;
    struct svn_level *levels;
    size_t n_levels;
};

/** From the exact bytes that were signed. given. */
int tcb_info_parse(struct tcb_info **ret, struct mk_bytes json, struct mk_fault *reterr);
void tcb_info_free(struct tcb_info *t); /* NULL is fine */
int qe_identity_parse(struct qe_identity **ret, struct mk_bytes json, struct mk_fault *reterr);
void qe_identity_free(struct qe_identity *q);

/** Fills v's status, date, advisories, evaluation number. MK_EREFUSED with the reason when the
 * platform, the TDX module or the QE is none that these describe. */
int tcb_judge(const struct tcb_info *t, const struct qe_identity *qe, const struct mk_quote *q,
              const struct pck *pck, struct mk_quote_verdict *v, struct mk_fault *reterr);

#endif /* ATTEST_TCB_H */
