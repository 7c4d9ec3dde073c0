/* wire.h - the messages of the protocol "quote". */
#ifndef WITNESS_WIRE_H
#define WITNESS_WIRE_H

#include <mosaik/datum.h>

#define MK_QUOTE_REASON_MAX 256u

MK_BLOB_DECLARE(mk_quote_bytes)
MK_TEXT_DECLARE(mk_quote_reason)

/* First message, of the verifier. back: we have a quote to show, too, and it would serve us to
 * know that it was judged (the higher levels of the ladder). */
#define MK_QUOTE_ASK_TABLE(F, S) \
    F(S, mk_b32, nonce)          \
    F(S, mk_bool, back)
MK_STRUCT_DECLARE(mk_quote_ask, MK_QUOTE_ASK_TABLE)

/* The verifier's last word. */
#define MK_QUOTE_JUDGED_TABLE(F, S) \
    F(S, mk_bool, believed)         \
    F(S, mk_quote_reason, reason)
MK_STRUCT_DECLARE(mk_quote_judged, MK_QUOTE_JUDGED_TABLE)

/* Quote of the prover, then Judged of the verifier, which ends it. */
#define MK_QUOTE_MESSAGE_TABLE(F, S)      \
    F(S, Quote, 0, mk_quote_bytes, quote) \
    F(S, Judged, 1, mk_quote_judged, judged)
MK_ENUM_DECLARE(mk_quote_message, MK_QUOTE_MESSAGE_TABLE)

#endif
