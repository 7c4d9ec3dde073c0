/* wire.c - the descriptors of wire.h. */
#include "witness/wire.h"

#include <mosaik/attest.h>

MK_BLOB_DEFINE(mk_quote_bytes, MK_QUOTE_MAX)
MK_TEXT_DEFINE(mk_quote_reason, MK_QUOTE_REASON_MAX, 0)
MK_STRUCT_DEFINE(mk_quote_ask, "QuoteAsk", MK_QUOTE_ASK_TABLE)
MK_STRUCT_DEFINE(mk_quote_judged, "QuoteJudged", MK_QUOTE_JUDGED_TABLE)
MK_ENUM_DEFINE(mk_quote_message, "QuoteMessage", MK_QUOTE_MESSAGE_TABLE)
