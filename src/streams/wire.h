/* wire.h - the protocol "stream": a consumer opens, the producer sends.
 *
 *   consumer                         producer
 *   Subscribe (opens it)  ------>    judges the bearer
 *                         <------    Begin, then Batch and Lost
 *
 * The sequence numbers of a producer count from 1 in each of its runs; a run is a random
 * number that it draws when it opens, so that a consumer that comes back can tell a
 * producer that began anew from the one it knew. */
#ifndef WIRE_H
#define WIRE_H

#include <mosaik/stream.h>

#define MK_STREAM_BATCH_MAX 4096u /* items of one message */

MK_BLOB_DECLARE(mk_stream_ticket)
MK_SEQ_DECLARE(mk_stream_tickets, mk_stream_ticket)

/* run: the run that `after` is of; 0: not known (the present one is meant, or the first
 * contact). after: items up to it are known; newest: begin with what comes next. */
#define MK_SUBSCRIBE_TABLE(F, S) \
    F(S, mk_id, surface)         \
    F(S, mk_u64, run)            \
    F(S, mk_u64, after)          \
    F(S, mk_bool, newest)        \
    F(S, mk_stream_tickets, tickets)
MK_STRUCT_DECLARE(mk_subscribe, MK_SUBSCRIBE_TABLE)

MK_BLOB_DECLARE(mk_stream_item)
MK_SEQ_DECLARE(mk_stream_items, mk_stream_item)
/* Items first, first + 1, ...; newest: the last that the producer had when it sent this. */
#define MK_STREAM_BATCH_TABLE(F, S) \
    F(S, mk_u64, first)             \
    F(S, mk_u64, newest)            \
    F(S, mk_stream_items, items)
MK_STRUCT_DECLARE(mk_stream_batch, MK_STREAM_BATCH_TABLE)
/* Items first..last will not come. */
#define MK_STREAM_LOST_TABLE(F, S) \
    F(S, mk_u64, first)            \
    F(S, mk_u64, last)
MK_STRUCT_DECLARE(mk_stream_lost, MK_STREAM_LOST_TABLE)
/* The first message: which run, where delivery begins, and what the producer shows for the
 * consumer's own validator. */
#define MK_STREAM_BEGIN_TABLE(F, S) \
    F(S, mk_u64, run)               \
    F(S, mk_u64, next)              \
    F(S, mk_stream_tickets, tickets)
MK_STRUCT_DECLARE(mk_stream_begin, MK_STREAM_BEGIN_TABLE)

#define MK_STREAM_MESSAGE_TABLE(F, S)      \
    F(S, Begin, 0, mk_stream_begin, begin) \
    F(S, Batch, 1, mk_stream_batch, batch) \
    F(S, Lost, 2, mk_stream_lost, lost)
MK_ENUM_DECLARE(mk_stream_message, MK_STREAM_MESSAGE_TABLE)

#endif
