/* top.c - which segment is the newest, in a place of its own.
 *
 *   log/top, 1024 bytes, two records of 512, of which one is written at a time:
 *     8  "MKTOP001"    16  u64  file (log/<file>.seg)    zeros
 *     8  u64 segment   24  16   BLAKE3(key, bytes 0..23), cut
 *
 * The log knows its end by what is found: the highest segment. When that file is gone, or is empty,
 * the one before it looks like the newest, and whoever goes on from there has forgotten what it
 * promised. So each beginning of a segment is noted here, in this order:
 *
 *   the segment's first frame is durable -> this record is -> what is in the frame is reported
 *
 * A crash in between leaves a record of the segment before, which is no contradiction: what is
 * found may be newer than what is noted, not older. At an opening the segment that it goes on with
 * is noted again, when it is durable itself. Odd segments have one record, even ones the other, so
 * that a torn one leaves the one before.
 *
 * The note itself may be gone, and the newest segment with it: then nothing here would say more
 * than the segments before. So the log says that it has a note (a fact of the node's own, in the
 * first frame with anything in it and in each checkpoint from then on), and without one it is
 * refused. A log of a build that had no such file says nothing, gets the file when it is opened,
 * and says so from its next frame on. What is left is a loss of all that: a whole directory put
 * back from an old copy shows nothing by itself (docs/decisions.md). */
#include "base/assert.h"
#include "store/store_int.h"

#include <mosaik/datum.h>

#include <inttypes.h>
#include <string.h>

#define PATH "log/top"
#define MAGIC "MKTOP001"
#define SECTOR 512u
#define RECORD 40u
#define FACT_NOTED "noted"

const struct mk_id mk_top_own = {"mosaik: the store's own facts"};

static void record_make(const struct mk_store *s, uint8_t out[SECTOR], uint64_t segment,
                        uint32_t file)
{
    struct mk_buf b = {0};
    struct mk_hasher h;
    struct mk_id sum;

    mk_buf_put_str(&b, MAGIC);
    mk_buf_put_u64le(&b, segment);
    mk_buf_put_u64le(&b, file);
    mk_hasher_init(&h);
    mk_hasher_put(&h, s->key, sizeof s->key);
    mk_hasher_put(&h, b.p, b.n);
    sum = mk_hasher_end(&h);
    mk_buf_put(&b, sum.b, 16);
    MK_ASSERT(b.n == RECORD);
    memset(out, 0, SECTOR);
    memcpy(out, b.p, b.n);
    mk_buf_done(&b);
}

static bool record_take(const struct mk_store *s, struct mk_top *ret, const uint8_t *p)
{
    struct mk_reader r = {p + 8, RECORD - 8, false};
    uint64_t segment = mk_read_u64le(&r), file = mk_read_u64le(&r);
    uint8_t same[SECTOR];

    if (file > UINT32_MAX)
        return false;
    record_make(s, same, segment, (uint32_t)file);
    if (memcmp(same, p, RECORD) != 0)
        return false;
    *ret = (struct mk_top){segment, (uint32_t)file};
    return true;
}

int mk_top_read(struct mk_store *s, struct mk_top *ret, struct mk_fault *reterr)
{
    struct mk_buf b = {0};
    struct mk_top best = {0}, top;
    int rv = mk_file_load(s->env, PATH, MK_TOP_BYTES, &b);

    for (size_t at = 0; rv == 0 && at + SECTOR <= b.n; at += SECTOR)
        if (record_take(s, &top, b.p + at) && top.segment > best.segment)
            best = top;
    mk_buf_done(&b);
    if (rv == 0 && best.segment == 0)
        return mk_fault(reterr, MK_ECORRUPT, PATH ": damaged records at offset 0");
    if (rv != 0 && rv != MK_ENOTFOUND)
        return mk_fault(reterr, rv == MK_ELIMIT ? MK_ECORRUPT : rv, PATH ": %s", mk_strerror(rv));
    *ret = best;
    return 0;
}

static bool is_noted(struct mk_store *s)
{
    const struct mk_store_group *own = mk_store_find(s, &mk_top_own);
    struct mk_bytes v;

    return own != NULL && mk_store_get(own, &v, FACT_NOTED) == 0;
}

void mk_top_opened(struct mk_store *s)
{
    const uint8_t yes = 1;

    if (!is_noted(s)) /* a store that is dead says so to all */
        (void)mk_store_put(mk_store_group(s, &mk_top_own), NULL, FACT_NOTED, MK_BYTES(&yes, 1));
}

int mk_top_check(struct mk_store *s, const struct mk_top *top, struct mk_fault *reterr)
{
    char path[32];

    if (top->segment == 0 && is_noted(s))
        return mk_fault(reterr, MK_ECORRUPT,
                        PATH ": it is missing, and the log had one: segments after %" PRIu64
                             ", the newest found, may be missing, too",
                        s->segment);
    if (s->segment >= top->segment)
        return 0;
    mk_slot_path(path, top->file);
    return mk_fault(reterr, MK_ECORRUPT,
                    "%s: missing or empty: it held segment %" PRIu64 " of the log, the newest; the "
                    "newest found is %" PRIu64,
                    path, top->segment, s->segment);
}

static uint64_t place(const struct mk_store *s)
{
    return s->segment % 2 * SECTOR;
}

static void current(struct mk_store *s, uint8_t out[SECTOR])
{
    record_make(s, out, s->segment, mk_slot_current(s)->file);
}

/* Both records, so that one is whole whatever becomes of the next. */
static int make(struct mk_store *s)
{
    uint8_t b[MK_TOP_BYTES];

    current(s, b);
    memcpy(b + SECTOR, b, SECTOR);
    return mk_file_store(s->env, PATH, MK_BYTES(b, sizeof b));
}

int mk_top_open(struct mk_store *s)
{
    int rv = mk_file_open(s->env, &s->top_file, PATH, MK_OPEN_WRITE);

    if (rv == MK_ENOTFOUND) {
        rv = make(s);
        return rv != 0 ? rv : mk_file_open(s->env, &s->top_file, PATH, MK_OPEN_WRITE);
    }
    if (rv != 0)
        return rv;
    current(s, s->top); /* also where it stands there: see write_again() in recover.c */
    rv = mk_file_write(s->top_file, s->top, SECTOR, place(s));
    return rv != 0 ? rv : mk_file_sync(s->top_file);
}

void mk_top_write(struct mk_store *s, void (*cb)(struct mk_write_sync *w, int status))
{
    current(s, s->top);
    s->top_write.cb = cb;
    mk_write_sync(s->top_file, &s->top_write, s->top, SECTOR, place(s));
}
