/* witness.h - the protocol "quote", and the evidence of every peer that was asked. The
 * public face is <mosaik/witness.h>; see its drawing.
 *
 *   verifier: Ask{nonce} --> prover: makes the quote --> Quote --> verifier: judges it
 *             --> Judged, by which the prover learns that it was believed --> closed
 *
 * All calls belong to the loop's thread. */
#ifndef WITNESS_WITNESS_H
#define WITNESS_WITNESS_H

#include "net/net.h"
#include <mosaik/witness.h>

#define MK_QUOTE_WAIT_MS 15000u /* for a peer's quote, and for its judgement of ours */
#define MK_QUOTE_AGAIN_MS 5000u /* after a peer showed none: not asked again before */
#define MK_QUOTE_ASKS_MAX 8u    /* quotes that one link may ask of us in MK_QUOTE_ASKS_MS */
#define MK_QUOTE_ASKS_MS 60000u
#define MK_QUOTES_MAKING_MAX 64u        /* asked of us and not made yet; above it BUSY */
#define MK_WITNESS_DOCS_MAX (16u << 20) /* bytes of collateral in one load */

/** o is copied but for what is said to be borrowed. MK_EMALFORMED, MK_ESIGNATURE: the root is none;
 * MK_EINVALID: options that contradict each other. */
int mk_witness_open(struct mk_env *e, struct mk_net *net, struct mk_witness **ret,
                    const struct mk_witness_options *o, struct mk_fault *reterr);
/** NULL is fine. After everything that judges by it, before the net. */
void mk_witness_close(struct mk_witness *w);

/** For gates; lent until it closes. NULL: it verifies nothing. */
struct mk_attestation *mk_witness_attestation(struct mk_witness *w);

/** Evidence of a peer came, went or changed: whoever judged by it judges again. */
struct mk_witness_watch {
    void (*changed)(struct mk_witness_watch *x, const struct mk_peer *peer);
    struct mk_list node;
};
void mk_witness_watch(struct mk_witness *w, struct mk_witness_watch *x);
void mk_witness_unwatch(struct mk_witness_watch *x); /* safe on a zeroed one */

/** What a quote that prover shows verifier must carry. */
void mk_quote_bond_data(const struct mk_peer *prover, const struct mk_peer *verifier,
                        const uint8_t nonce[32], const uint8_t channel[32], uint8_t ret[64]);

#endif
