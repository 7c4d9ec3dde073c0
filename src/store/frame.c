/* frame.c - see frame.h. */
#include "store/frame.h"
#include "base/assert.h"
#include "store/record.h"

#include <mosaik/datum.h>

#include <string.h>

#define MAGIC 0x32464b4du       /* "MKF2" */
#define RUN_MAGIC 0x4e524b4du   /* "MKRN" */
#define INDEX_MAGIC 0x58494b4du /* "MKIX" */
#define INDEX_ENTRY_MAX 53u
#define INDEX_FRONT 16u

static uint64_t le(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;

    for (unsigned i = n; i > 0; i--)
        v = v << 8 | p[i - 1];
    return v;
}

static void put_le(uint8_t *p, unsigned n, uint64_t v)
{
    for (unsigned i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t padded(uint64_t n)
{
    return (n + 7) & ~7ull;
}

static void pad(struct mk_buf *b)
{
    while (b->n % 8 != 0)
        mk_buf_put_u8(b, 0);
}

/* --- checks -------------------------------------------------------------------------------- */

static struct mk_id header_sum(const uint8_t key[MK_FRAME_KEY], const uint8_t *header)
{
    uint8_t x[MK_FRAME_KEY + 32];

    memcpy(x, key, MK_FRAME_KEY);
    memcpy(x + MK_FRAME_KEY, header, 24);
    memcpy(x + MK_FRAME_KEY + 24, header + 40, 8);
    return mk_hash(MK_BYTES(x, sizeof x));
}

static struct mk_id run_sum(const uint8_t key[MK_FRAME_KEY], uint64_t segment, uint64_t seq,
                            const uint8_t *run, size_t n)
{
    uint8_t x[MK_FRAME_KEY + 32];
    struct mk_hasher h;

    memcpy(x, key, MK_FRAME_KEY);
    put_le(x + MK_FRAME_KEY, 8, segment);
    put_le(x + MK_FRAME_KEY + 8, 8, seq);
    memcpy(x + MK_FRAME_KEY + 16, run, 16);
    mk_hasher_init(&h);
    mk_hasher_put(&h, x, sizeof x);
    mk_hasher_put(&h, run + MK_RUN_HEADER, n);
    return mk_hasher_end(&h);
}

static bool header_is(const uint8_t *p, size_t n, const uint8_t key[MK_FRAME_KEY])
{
    struct mk_id sum;

    if (n < MK_FRAME_HEADER || le(p, 4) != MAGIC)
        return false;
    sum = header_sum(key, p);
    return memcmp(sum.b, p + 24, 16) == 0;
}

/* A run (or index) of that frame begins at p, and is what its check says. */
static bool run_is(const uint8_t *p, size_t n, const uint8_t key[MK_FRAME_KEY], uint32_t magic,
                   uint64_t segment, uint64_t seq)
{
    struct mk_id sum;

    if (n < MK_RUN_HEADER || le(p, 4) != magic || le(p + 4, 4) > n - MK_RUN_HEADER)
        return false;
    sum = run_sum(key, segment, seq, p, le(p + 4, 4));
    return memcmp(sum.b, p + 16, 16) == 0;
}

/* --- writing ------------------------------------------------------------------------------- */

static void run_begin(struct mk_buf *b, size_t *at_run, uint32_t group)
{
    uint32_t number = *at_run == 0 ? 0 : (uint32_t)le(b->p + *at_run + 12, 4) + 1;
    uint8_t *p;

    pad(b);
    *at_run = b->n;
    p = mk_buf_grow(b, MK_RUN_HEADER);
    memset(p, 0, MK_RUN_HEADER);
    put_le(p, 4, RUN_MAGIC);
    put_le(p + 8, 4, group);
    put_le(p + 12, 4, number);
}

void mk_frame_add(struct mk_buf *b, size_t *at_run, const struct mk_record *r)
{
    if (*at_run == 0 || le(b->p + *at_run + 8, 4) != r->group)
        run_begin(b, at_run, r->group);
    mk_record_put(b, r);
    put_le(b->p + *at_run + 4, 4, b->n - *at_run - MK_RUN_HEADER);
}

/* The next run at the front of *left, unproven. */
static bool run_take(struct mk_bytes *left, const uint8_t **ret, size_t *ret_n)
{
    uint64_t n;

    if (left->n < MK_RUN_HEADER || le(left->p, 4) != RUN_MAGIC)
        return false;
    n = le(left->p + 4, 4);
    if (n > left->n - MK_RUN_HEADER)
        return false;
    *ret = left->p;
    *ret_n = n;
    n = padded(MK_RUN_HEADER + n);
    n = n < left->n ? n : left->n; /* the last one of what is not sealed has no padding yet */
    *left = MK_BYTES(left->p + n, left->n - n);
    return true;
}

void mk_frame_add_runs(struct mk_buf *b, size_t *at_run, const struct mk_buf *other)
{
    struct mk_bytes left = MK_BYTES(other->p + MK_FRAME_HEADER, other->n - MK_FRAME_HEADER);
    const uint8_t *run;
    size_t n;

    while (run_take(&left, &run, &n)) {
        run_begin(b, at_run, (uint32_t)le(run + 8, 4));
        mk_buf_put(b, run + MK_RUN_HEADER, n);
        put_le(b->p + *at_run + 4, 4, n);
    }
}

uint64_t mk_frame_bound(const struct mk_buf *b)
{
    struct mk_bytes left = MK_BYTES(b->p + MK_FRAME_HEADER, b->n - MK_FRAME_HEADER);
    const uint8_t *run;
    uint64_t runs = 0;
    size_t n;

    while (run_take(&left, &run, &n))
        runs++;
    return padded(b->n) + MK_RUN_HEADER + padded(INDEX_FRONT + runs * INDEX_ENTRY_MAX);
}

static void put_index_entry(struct mk_buf *out, const uint8_t *run, size_t n)
{
    struct mk_bytes b = MK_BYTES(run + MK_RUN_HEADER, n);
    struct mk_id id = MK_ZERO_ID;
    uint64_t least = 0, greatest = 0;
    struct mk_record r;

    while (mk_record_take(&r, &b)) {
        if (r.kind == MK_REC_GROUP)
            id = r.id;
        if (r.kind != MK_REC_ENTRY)
            continue;
        least = least == 0 || r.index < least ? r.index : least;
        greatest = r.index > greatest ? r.index : greatest;
    }
    mk_buf_put_u32le(out, (uint32_t)le(run + 8, 4));
    mk_buf_put_u64le(out, least);
    mk_buf_put_u64le(out, greatest);
    mk_buf_put_u8(out, !mk_id_eq(&id, &MK_ZERO_ID));
    if (!mk_id_eq(&id, &MK_ZERO_ID))
        mk_buf_put(out, id.b, sizeof id.b);
}

static unsigned put_index(struct mk_buf *b, uint64_t segment, uint64_t seq)
{
    struct mk_bytes left = MK_BYTES(b->p + MK_FRAME_HEADER, b->n - MK_FRAME_HEADER);
    struct mk_buf index = {0};
    const uint8_t *run;
    unsigned runs = 0;
    uint8_t *p;
    size_t n;

    mk_buf_put_u64le(&index, segment);
    mk_buf_put_u64le(&index, seq);
    for (; run_take(&left, &run, &n); runs++)
        put_index_entry(&index, run, n);
    p = mk_buf_grow(b, MK_RUN_HEADER);
    memset(p, 0, MK_RUN_HEADER);
    put_le(p, 4, INDEX_MAGIC);
    put_le(p + 4, 4, index.n);
    put_le(p + 12, 4, runs);
    mk_buf_put(b, index.p, index.n);
    pad(b);
    mk_buf_done(&index);
    return runs;
}

void mk_frame_seal(struct mk_buf *b, const uint8_t key[MK_FRAME_KEY], uint64_t segment,
                   uint64_t seq)
{
    uint64_t at = MK_FRAME_HEADER;
    struct mk_id sum;
    unsigned runs;

    MK_ASSERT(b->n >= MK_FRAME_HEADER && b->n <= UINT32_MAX / 2);
    pad(b);
    runs = put_index(b, segment, seq);
    for (unsigned i = 0; i <= runs; i++) {
        uint64_t n = le(b->p + at + 4, 4);

        sum = run_sum(key, segment, seq, b->p + at, n);
        memcpy(b->p + at + 16, sum.b, 16);
        at += padded(MK_RUN_HEADER + n);
    }
    MK_ASSERT(at == b->n);
    memset(b->p, 0, MK_FRAME_HEADER);
    put_le(b->p, 4, MAGIC);
    put_le(b->p + 4, 4, b->n - MK_FRAME_HEADER);
    put_le(b->p + 8, 8, segment);
    put_le(b->p + 16, 8, seq);
    put_le(b->p + 40, 4, runs);
    sum = header_sum(key, b->p);
    memcpy(b->p + 24, sum.b, 16);
}

/* --- reading ------------------------------------------------------------------------------- */

/* All runs and the index of a frame whose header is whole. */
static bool runs_are(const struct mk_frame *f, const uint8_t *end, const uint8_t key[MK_FRAME_KEY])
{
    const uint8_t *p = f->runs.p;

    for (unsigned i = 0; i <= f->n_runs; i++) {
        size_t n = (size_t)(end - p);

        if (!run_is(p, n, key, i < f->n_runs ? RUN_MAGIC : INDEX_MAGIC, f->segment, f->seq) ||
            le(p + 12, 4) != i)
            return false;
        p += padded(MK_RUN_HEADER + le(p + 4, 4));
        if (p > end)
            return false;
    }
    return p == end;
}

char mk_frame_format(struct mk_bytes file)
{
    if (file.n < 4 || memcmp(file.p, "MKF", 3) != 0)
        return 0;
    return (char)file.p[3];
}

bool mk_frame_at(struct mk_frame *ret, struct mk_bytes file, uint64_t off,
                 const uint8_t key[MK_FRAME_KEY])
{
    const uint8_t *p = file.p + off;
    struct mk_frame f;
    uint64_t n;

    if (off > file.n || !header_is(p, file.n - off, key))
        return false;
    n = le(p + 4, 4);
    if (n > file.n - off - MK_FRAME_HEADER)
        return false;
    f.segment = le(p + 8, 8);
    f.seq = le(p + 16, 8);
    f.n_runs = (unsigned)le(p + 40, 4);
    f.runs = MK_BYTES(p + MK_FRAME_HEADER, n);
    f.size = MK_FRAME_HEADER + n;
    if (!runs_are(&f, p + f.size, key))
        return false;
    *ret = f;
    return true;
}

bool mk_frame_peek(struct mk_bytes *ret, struct mk_bytes b)
{
    if (b.n < MK_FRAME_HEADER || le(b.p, 4) != MAGIC || le(b.p + 4, 4) > b.n - MK_FRAME_HEADER)
        return false;
    *ret = MK_BYTES(b.p + MK_FRAME_HEADER, le(b.p + 4, 4));
    return true;
}

bool mk_frame_record(struct mk_record *ret, struct mk_bytes *left, struct mk_bytes *now)
{
    const uint8_t *run;
    size_t n;

    while (now->n == 0) {
        if (left->n >= MK_RUN_HEADER && le(left->p, 4) == INDEX_MAGIC)
            *left = MK_BYTES(NULL, 0);
        if (left->n == 0 || !run_take(left, &run, &n))
            return false;
        *now = MK_BYTES(run + MK_RUN_HEADER, n);
    }
    return mk_record_take(ret, now);
}

bool mk_frame_scan(struct mk_frame *ret, uint64_t *ret_off, struct mk_bytes file, uint64_t off,
                   const uint8_t key[MK_FRAME_KEY], uint64_t segment, uint64_t seq)
{
    for (off = padded(off); off + MK_FRAME_HEADER <= file.n; off += 8) {
        const uint8_t *p = file.p + off;

        if (le(p, 4) != MAGIC || le(p + 8, 8) < segment || le(p + 16, 8) < seq)
            continue;
        if (mk_frame_at(ret, file, off, key)) {
            *ret_off = off;
            return true;
        }
    }
    return false;
}

/* --- what is left of a damaged one --------------------------------------------------------- */

/* Its index, somewhere behind off; with segment 0 whatever frame it is of. */
static const uint8_t *find_index(struct mk_bytes file, uint64_t off,
                                 const uint8_t key[MK_FRAME_KEY], uint64_t segment, uint64_t seq)
{
    for (off = padded(off); off + MK_RUN_HEADER + INDEX_FRONT <= file.n; off += 8) {
        const uint8_t *p = file.p + off;
        uint64_t of = le(p + MK_RUN_HEADER, 8), number = le(p + MK_RUN_HEADER + 8, 8);

        if (le(p, 4) != INDEX_MAGIC || (segment != 0 && (of != segment || number != seq)))
            continue;
        if (run_is(p, file.n - off, key, INDEX_MAGIC, of, number))
            return p;
    }
    return NULL;
}

/* Good runs to their places. */
static void take_good(struct mk_salvage *s, struct mk_bytes file, uint64_t off,
                      const uint8_t key[MK_FRAME_KEY])
{
    for (uint64_t at = off; at + MK_RUN_HEADER <= off + s->size; at += 8) {
        const uint8_t *p = file.p + at;
        uint64_t number = le(p + 12, 4);

        if (le(p, 4) != RUN_MAGIC || number >= s->n_runs || s->runs[number].good ||
            !run_is(p, off + s->size - at, key, RUN_MAGIC, s->segment, s->seq))
            continue;
        s->runs[number].good = true;
        s->runs[number].group = (uint32_t)le(p + 8, 4);
        s->runs[number].at = at;
        s->runs[number].records = MK_BYTES(p + MK_RUN_HEADER, le(p + 4, 4));
    }
}

static bool all_good(const struct mk_salvage *s)
{
    for (unsigned i = 0; i < s->n_runs; i++)
        if (!s->runs[i].good)
            return false;
    return true;
}

static bool take_index(struct mk_salvage *s, const uint8_t *index, uint64_t off)
{
    struct mk_reader r = {index + MK_RUN_HEADER, le(index + 4, 4), false};

    mk_read_bytes(&r, INDEX_FRONT);
    for (unsigned i = 0; i < s->n_runs; i++) {
        struct mk_run *run = &s->runs[i];

        *run = (struct mk_run){.group = mk_read_u32le(&r), .known = true, .at = off};
        run->least = mk_read_u64le(&r);
        run->greatest = mk_read_u64le(&r);
        run->named = mk_read_u8(&r) == 1;
        if (run->named) {
            struct mk_bytes id = mk_read_bytes(&r, sizeof run->id.b);

            if (!r.failed)
                memcpy(run->id.b, id.p, sizeof run->id.b);
        }
    }
    return !r.failed && r.n == 0;
}

bool mk_frame_salvage(struct mk_salvage *ret, struct mk_bytes file, uint64_t off,
                      const uint8_t key[MK_FRAME_KEY], uint64_t segment, uint64_t seq)
{
    struct mk_salvage s = {.segment = segment, .seq = seq};
    const uint8_t *p = file.p + off, *index;
    bool header = off < file.n && header_is(p, file.n - off, key) &&
                  le(p + 4, 4) <= file.n - off - MK_FRAME_HEADER;

    if (header) {
        s.segment = le(p + 8, 8);
        s.seq = le(p + 16, 8);
        s.n_runs = (unsigned)le(p + 40, 4);
        s.size = MK_FRAME_HEADER + le(p + 4, 4);
        file.n = off + s.size;
    }
    index = find_index(file, off, key, s.segment, s.seq);
    if ((!header && index == NULL) || (segment != 0 && (s.segment != segment || s.seq != seq)))
        return false;
    if (!header) {
        s.segment = le(index + MK_RUN_HEADER, 8);
        s.seq = le(index + MK_RUN_HEADER + 8, 8);
        s.n_runs = (unsigned)le(index + 12, 4);
        s.size = (uint64_t)(index - p) + padded(MK_RUN_HEADER + le(index + 4, 4));
    }
    if (s.n_runs > s.size / MK_RUN_HEADER)
        return false;
    s.runs = mk_alloc((s.n_runs + 1) * sizeof *s.runs);
    if (index != NULL && !take_index(&s, index, off)) {
        mk_free(s.runs);
        return false;
    }
    take_good(&s, file, off, key);
    if (index == NULL && !all_good(&s)) {
        mk_free(s.runs);
        return false;
    }
    *ret = s;
    return true;
}
