/* frame.h - the frames of a link. Pure: bytes in, frames out, nothing held.
 *
 *   0      1          4            8
 *   +------+----------+------------+------------------------+
 *   | type | body len | conv       | body                   |   little endian
 *   +------+----------+------------+------------------------+
 *
 *   HELLO   u32 magic, u16 oldest and u16 newest protocol, network id (32), instance (16)
 *   READY   -                      the lesser peer id says: this is the link
 *   OPEN    u8 n, protocol (n), first message or its beginning
 *   DATA    a message or a piece of one
 *   CREDIT  u32 bytes given back
 *   CLOSE   u16 code, text         one conversation
 *   PING    u64 token              PONG repeats it
 *   GOAWAY  u16 code, text         the whole link
 *
 * OPEN and DATA carry MK_FRAME_MORE in their type when the message goes on in
 * the next DATA of the same conversation. The conversation is 0 in frames about
 * the link. Everything else is refused (BAD_FRAME, or TOO_LONG for a length over
 * the limit, which is seen in the header, before the body is waited for). */
#ifndef NET_FRAME_H
#define NET_FRAME_H

#include "base/protocol.h"
#include <mosaik/error.h>
#include <mosaik/id.h>

#define MK_FRAME_HEADER 8u
#define MK_FRAME_BODY_MAX 16384u
#define MK_FRAME_MORE 0x80u
#define MK_FRAME_MAGIC 0x316b736du /* "msk1" */
#define MK_FRAME_INSTANCE 16u

enum mk_frame_type {
    MK_FRAME_HELLO = 1,
    MK_FRAME_READY,
    MK_FRAME_OPEN,
    MK_FRAME_DATA,
    MK_FRAME_CREDIT,
    MK_FRAME_CLOSE,
    MK_FRAME_PING,
    MK_FRAME_PONG,
    MK_FRAME_GOAWAY,
};

/** A parsed frame; everything in it is lent from the input. */
struct mk_frame {
    enum mk_frame_type type;
    bool more;                     /* OPEN, DATA */
    uint32_t conv;                 /* OPEN, DATA, CREDIT, CLOSE */
    struct mk_bytes body;          /* OPEN, DATA: of the message */
    struct mk_str text;            /* OPEN: protocol; CLOSE, GOAWAY: reason */
    uint32_t number;               /* CREDIT: bytes; CLOSE, GOAWAY: code */
    uint64_t token;                /* PING, PONG */
    struct mk_protocols protocols; /* HELLO */
    struct mk_id network;          /* HELLO */
    uint8_t instance[MK_FRAME_INSTANCE];
};

/** Parses the frame at the beginning of p.
 *
 * Returns 0 with *ret_used > 0 for a frame, 0 with *ret_used = 0 when bytes are
 * missing; MK_EMALFORMED, or MK_ELIMIT for a length over its limit, with the rule
 * in reterr. Of a HELLO whose protocols do not meet ours they alone are returned. */
int mk_frame_parse(const uint8_t *p, size_t n, struct mk_frame *ret, size_t *ret_used,
                   struct mk_fault *reterr);

/** The text of a CLOSE or GOAWAY as one line: control characters become '?'. */
void mk_frame_text(const struct mk_frame *f, char out[256]);

/* Writers: append one frame. */
void mk_frame_put_header(struct mk_buf *out, unsigned type, uint32_t conv, size_t body_len);
void mk_frame_put_hello(struct mk_buf *out, struct mk_protocols protocols,
                        const struct mk_id *network, const uint8_t instance[MK_FRAME_INSTANCE]);
void mk_frame_put_credit(struct mk_buf *out, uint32_t conv, uint32_t bytes);
void mk_frame_put_token(struct mk_buf *out, enum mk_frame_type type, uint64_t token);
/** CLOSE (conv > 0) or GOAWAY (conv = 0); text, at most MK_REASON_MAX - 1 bytes of it. */
void mk_frame_put_close(struct mk_buf *out, uint32_t conv, unsigned code, const char *text);

#endif /* NET_FRAME_H */
