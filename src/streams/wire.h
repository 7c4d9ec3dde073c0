/* wire.h - the protocol "stream": a consumer opens, the producer sends. */
#ifndef STREAMS_WIRE_H
#define STREAMS_WIRE_H

#include <mosaik/stream.h>

#define MK_STREAM_BATCH_MAX 4096u            /* items of one message */
#define MK_STREAM_MESSAGE_TARGET (64u << 10) /* bytes at which a message is sent */

MK_BLOB_DECLARE(mk_stream_ticket)
MK_SEQ_DECLARE(mk_stream_tickets, mk_stream_ticket)

/* after: items up to it are known; newest: begin with what comes next. */
#define MK_SUBSCRIBE_TABLE(F, S) \
    F(S, mk_id, surface)         \
    F(S, mk_u64, after)          \
    F(S, mk_bool, newest)        \
    F(S, mk_stream_tickets, tickets)
MK_STRUCT_DECLARE(mk_subscribe, MK_SUBSCRIBE_TABLE)

MK_BLOB_DECLARE(mk_stream_item)
MK_SEQ_DECLARE(mk_stream_items, mk_stream_item)
/* Items first, first + 1, ... */
#define MK_STREAM_BATCH_TABLE(F, S) \
    F(S, mk_u64, first)             \
    F(S, mk_stream_items, items)
MK_STRUCT_DECLARE(mk_stream_batch, MK_STREAM_BATCH_TABLE)
/* Items first..last will not come. */
#define MK_STREAM_LOST_TABLE(F, S) \
    F(S, mk_u64, first)            \
    F(S, mk_u64, last)
MK_STRUCT_DECLARE(mk_stream_lost, MK_STREAM_LOST_TABLE)
/* The first message: where delivery begins. */
#define MK_STREAM_BEGIN_TABLE(F, S) F(S, mk_u64, next)
MK_STRUCT_DECLARE(mk_stream_begin, MK_STREAM_BEGIN_TABLE)

#define MK_STREAM_MESSAGE_TABLE(F, S)      \
    F(S, Begin, 0, mk_stream_begin, begin) \
    F(S, Batch, 1, mk_stream_batch, batch) \
    F(S, Lost, 2, mk_stream_lost, lost)
MK_ENUM_DECLARE(mk_stream_message, MK_STREAM_MESSAGE_TABLE)

#endif
