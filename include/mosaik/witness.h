/* witness.h - which quotes of others a node believes, and which it shows of itself
 * (docs/attestation.md).
 *
 *   ours:    a source (configfs-tsm, or the emulator) --> a quote for each bond that asks
 *   theirs:  quote --> root, collateral, policy --> evidence --> clauses of an ACL
 *
 * A quote is asked for when a clause first wants one of a peer, with a fresh nonce; its
 * report data is H("mosaik.quote.v1|" || the peer's key || our key || nonce || what both ends
 * of the TLS channel share) and 32 zero bytes. It is verified once a link, on a thread of its
 * own, and again when the collateral changes or expires. The evidence ends with the link. */
#ifndef MOSAIK_WITNESS_H
#define MOSAIK_WITNESS_H

#include <mosaik/attest.h>
#include <mosaik/emulator.h>
#include <mosaik/ticket.h>

#define MK_TSM_DIR "/sys/kernel/config/tsm/report"

enum mk_quote_source {
    MK_SOURCE_NONE,    /* shows no quotes */
    MK_SOURCE_TSM,     /* the machine's own */
    MK_SOURCE_EMULATOR /* development: proves nothing */
};
const char *mk_quote_source_name(enum mk_quote_source s); /* "none", "configfs-tsm", "emulator" */

/** What a load() hands over; all arguments are copied. */
struct mk_collateral_put {
    /** A document of collateral as it is now, for mk_collateral_add(). */
    void (*put)(struct mk_collateral_put *p, struct mk_bytes doc);
    /** The policy and the published measurements from now on; where they differ from those
     * before, every quote is judged again. Not called: they stay. */
    void (*policy)(struct mk_collateral_put *p, const struct mk_quote_policy *policy,
                   const struct mk_measurements *published, size_t n_published);
};

struct mk_witness_options {
    enum mk_quote_source source;
    const char *tsm_dir;          /* NULL: MK_TSM_DIR; copied */
    struct mk_emulator *emulator; /* of MK_SOURCE_EMULATOR; borrowed */

    bool verifies;        /* judges quotes of others; what follows is for that */
    struct mk_bytes root; /* PEM or DER; empty: Intel's. Nothing else is believed. */
    struct mk_quote_policy policy;
    const struct mk_measurements *published; /* of reproducible builds; copied */
    size_t n_published;
    /** The collateral: asked for when the witness opens, every reload_ms, and when fetch ended. 0,
     * or why there is none; what is known already stays. May be NULL: no collateral, so no
     * quote is more than TdxLocal. */
    int (*load)(void *arg, struct mk_collateral_put *p, struct mk_fault *reterr);
    void *load_arg;
    uint32_t reload_ms; /* 0: MK_WITNESS_RELOAD_MS */
    const char *fetch;  /* a command that renews it; run when less than a quarter of an hour
                         * is left, or half of reload_ms if that is more; NULL: none; copied */
};

#define MK_WITNESS_RELOAD_MS 60000u

struct mk_witness;

/** What `status` says about it. */
struct mk_witness_status {
    enum mk_quote_source source;
    bool verifies, intel;          /* intel: the root is Intel's */
    uint64_t collateral_expires_s; /* UINT64_MAX: there is none */
    uint64_t verifications;        /* of quotes, ever */
    uint64_t quotes;               /* made here, ever */
    char fault[256];               /* how the last loading or fetching failed; "" when it did not */
};
/** As of now. */
void mk_witness_status(const struct mk_witness *w, struct mk_witness_status *ret);
/** Evidence of a peer that was asked, by number; false past the last. Lent. */
bool mk_witness_peer(const struct mk_witness *w, unsigned i, struct mk_peer *ret_peer,
                     const struct mk_evidence **ret);

#endif /* MOSAIK_WITNESS_H */
