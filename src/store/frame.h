/* frame.h - the unit of the log on disk: one batch, valid as a whole or not at all.
 *
 *   header 48:  0  u32  magic            40  u32  number of runs
 *               4  u32  length of what follows, padding too
 *               8  u64  sequence number of the segment
 *              16  u64  sequence number of the frame, one more than that of the frame before
 *              24  16   BLAKE3(key, bytes 0..23, 40..47), cut
 *   a run:      0  u32  magic             8  u32  group
 *               4  u32  length           12  u32  its number in the frame
 *              16  16   BLAKE3(key, segment, frame, bytes 0..15, records), cut
 *              32       records of that group (record.h), zeros to a multiple of 8
 *   the index:  a last run with another magic and the frame's two numbers in front: of each
 *               run u32 group, u64 and u64 the least and greatest entry in it (0: none), u8 1 and
 *               the group's id where the run says whose number it is, else u8 0
 *
 * The key is the store's own (log/key), so bytes that a client put into an entry can
 * never look like a frame; the segment's number is in it, so a slot's older life
 * cannot either.
 *
 * What a crash tore is not there, as a whole. But when bits turned in what was durable
 * (something newer stands behind it), each run is judged by itself: one flipped bit spoils a
 * run, whose group the index names, or the header, or the index, which the other stands in
 * for. So damage is some group's, and not the log's.
 *
 * Every bit but the padding is under a check. So bits that turn in silence are of padding, of a
 * header or an index whose other half stands in, or of what no group needs any more (below its
 * snapshot, a slot's older life, the room behind the last frame): nothing that is read. */
#ifndef STORE_FRAME_H
#define STORE_FRAME_H

#include <mosaik/id.h>

#define MK_FRAME_HEADER 48u
#define MK_FRAME_KEY 32u
#define MK_RUN_HEADER 32u

struct mk_frame {
    uint64_t segment;
    uint64_t seq;
    unsigned n_runs;
    struct mk_bytes runs; /* lent from the bytes given */
    uint64_t size;        /* on disk, header too */
};

struct mk_record;

/** b begins with MK_FRAME_HEADER bytes of room for the header: adds a record to its last run, or
 * begins the next run where the group is another. *at_run: where the last run begins (0: none). */
void mk_frame_add(struct mk_buf *b, size_t *at_run, const struct mk_record *r);
/** The runs of another unsealed frame, too. */
void mk_frame_add_runs(struct mk_buf *b, size_t *at_run, const struct mk_buf *other);
/** Bytes on disk once it is sealed, at most. */
uint64_t mk_frame_bound(const struct mk_buf *b);
/** Fills in the header and the checks, adds the index. */
void mk_frame_seal(struct mk_buf *b, const uint8_t key[MK_FRAME_KEY], uint64_t segment,
                   uint64_t seq);
/** The format of what begins like a frame, as its magic's last digit says ('2' is this one's); 0:
 * it does not. */
char mk_frame_format(struct mk_bytes file);
#define MK_FRAME_FORMAT '2'
/** True and *ret when a whole frame begins at off. */
bool mk_frame_at(struct mk_frame *ret, struct mk_bytes file, uint64_t off,
                 const uint8_t key[MK_FRAME_KEY]);
/** The runs of what looks like a frame, sealed or not, unproven (what is about to be written). */
bool mk_frame_peek(struct mk_bytes *ret, struct mk_bytes b);
/** The next record of runs, in order; *left begins as the runs, *now as nothing. False: none is
 * left (then both are empty), or it is bad. */
bool mk_frame_record(struct mk_record *ret, struct mk_bytes *left, struct mk_bytes *now);
/** The first frame at or after off that belongs to a segment from `segment` on and has
 * at least that frame number; false: none. Looks at every multiple of 8. */
bool mk_frame_scan(struct mk_frame *ret, uint64_t *ret_off, struct mk_bytes file, uint64_t off,
                   const uint8_t key[MK_FRAME_KEY], uint64_t segment, uint64_t seq);

/** A run of a damaged frame. */
struct mk_run {
    uint32_t group;
    bool good;
    bool known;               /* lost, and the least and greatest of its entries are known: */
    uint64_t least, greatest; /* 0: it held none */
    bool named;               /* ... and it said whose number that is: */
    struct mk_id id;
    uint64_t at;             /* where it is, or where the frame begins */
    struct mk_bytes records; /* of a good one; lent */
};
struct mk_salvage {
    uint64_t segment, seq, size;
    struct mk_run *runs; /* to be freed */
    unsigned n_runs;
};
/** What is left of the frame at off, whose segment and number are these (0: not known, then the
 * header or the index says). False: not even its extent is known, or not whose the lost runs are.
 */
bool mk_frame_salvage(struct mk_salvage *ret, struct mk_bytes file, uint64_t off,
                      const uint8_t key[MK_FRAME_KEY], uint64_t segment, uint64_t seq);

#endif /* STORE_FRAME_H */
