/* frame.h - the unit of the log on disk: one batch, valid as a whole or not at all.
 *
 *    0  u32  magic
 *    4  u32  length of the payload
 *    8  u64  sequence number of the segment
 *   16  u64  sequence number of the frame, one more than that of the frame before
 *   24  16   BLAKE3(key, bytes 0..23, payload), cut
 *   40       payload, then zeros to a multiple of 8
 *
 * The key is the store's own (log/key), so bytes that a client put into an entry can
 * never look like a frame; the segment's number is in it, so a slot's older life
 * cannot either. */
#ifndef STORE_FRAME_H
#define STORE_FRAME_H

#include <mosaik/bytes.h>

#define MK_FRAME_HEADER 40u
#define MK_FRAME_KEY 32u

struct mk_frame {
    uint64_t segment;
    uint64_t seq;
    struct mk_bytes payload; /* lent from the bytes given */
    uint64_t size;           /* on disk, header and padding too */
};

/** Bytes on disk of a payload of n. */
uint64_t mk_frame_size(uint64_t n);
/** b is a frame whose first MK_FRAME_HEADER bytes are room for the header: fills it in
 * and pads b. */
void mk_frame_seal(struct mk_buf *b, const uint8_t key[MK_FRAME_KEY], uint64_t segment,
                   uint64_t seq);
/** True and *ret when a frame begins at off. */
bool mk_frame_at(struct mk_frame *ret, struct mk_bytes file, uint64_t off,
                 const uint8_t key[MK_FRAME_KEY]);
/** The payload of what looks like a frame, unproven (what is about to be written). */
bool mk_frame_peek(struct mk_bytes *ret, struct mk_bytes b);
/** The first frame at or after off that belongs to a segment from `segment` on and has
 * at least that frame number; false: none. Looks at every multiple of 8. */
bool mk_frame_scan(struct mk_frame *ret, uint64_t *ret_off, struct mk_bytes file, uint64_t off,
                   const uint8_t key[MK_FRAME_KEY], uint64_t segment, uint64_t seq);

#endif /* STORE_FRAME_H */
