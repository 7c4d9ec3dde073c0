/* wire.c - the datum types of the protocol "stream". */
#include "streams/wire.h"

MK_BLOB_DEFINE(mk_stream_ticket, MK_TICKET_MAX)
MK_SEQ_DEFINE(mk_stream_tickets, mk_stream_ticket, MK_TICKETS_MAX, 0)
MK_STRUCT_DEFINE(mk_subscribe, "Subscribe", MK_SUBSCRIBE_TABLE)
MK_BLOB_DEFINE(mk_stream_item, MK_STREAM_ITEM_MAX)
MK_SEQ_DEFINE(mk_stream_items, mk_stream_item, MK_STREAM_BATCH_MAX, MK_SEQ_NONEMPTY)
MK_STRUCT_DEFINE(mk_stream_batch, "Batch", MK_STREAM_BATCH_TABLE)
MK_STRUCT_DEFINE(mk_stream_lost, "Lost", MK_STREAM_LOST_TABLE)
MK_STRUCT_DEFINE(mk_stream_begin, "Begin", MK_STREAM_BEGIN_TABLE)
MK_ENUM_DEFINE(mk_stream_message, "StreamMessage", MK_STREAM_MESSAGE_TABLE)
