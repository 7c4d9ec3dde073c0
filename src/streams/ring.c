/* ring.c - see ring.h. */
#include "streams/ring.h"
#include "base/assert.h"

#include <string.h>

#define RING_BYTES_FIRST 4096u
#define RING_ITEMS_FIRST 64u

void mk_ring_init(struct mk_ring *r, size_t items_max, size_t bytes_max)
{
    MK_ASSERT(items_max > 0);
    *r = (struct mk_ring){.items_max = items_max, .bytes_max = bytes_max, .oldest = 1, .next = 1};
}

static void ring_free(struct mk_ring *r)
{
    mk_free(r->index);
    mk_free(r->bytes);
    r->index = NULL;
    r->bytes = NULL;
    r->n_index = r->cap = 0;
}

void mk_ring_done(struct mk_ring *r)
{
    ring_free(r);
}

static struct mk_ring_item *ring_at(const struct mk_ring *r, uint64_t seq)
{
    return &r->index[seq & (r->n_index - 1)];
}

static uint64_t ring_start(const struct mk_ring *r, uint64_t seq)
{
    MK_ASSERT(seq >= r->oldest && seq <= r->next);
    return seq == r->oldest ? r->begin : ring_at(r, seq - 1)->end;
}

static size_t varint_len(size_t v)
{
    size_t n = 1;

    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}

static size_t encoded_len(size_t n)
{
    return varint_len(n) + n;
}

bool mk_ring_fits(const struct mk_ring *r, size_t n)
{
    return r->next - r->oldest < r->items_max && r->end - r->begin + encoded_len(n) <= r->bytes_max;
}

/* Copies to position at, around the end of bytes. */
static void ring_copy(uint8_t *bytes, size_t cap, uint64_t at, const uint8_t *p, size_t n)
{
    size_t place = (size_t)(at % cap), first = cap - place < n ? cap - place : n;

    if (n == 0)
        return;
    memcpy(bytes + place, p, first);
    memcpy(bytes, p + first, n - first);
}

/* The bytes from position at on, n of them. */
static void ring_parts(const struct mk_ring *r, uint64_t at, size_t n, struct mk_bytes parts[2])
{
    size_t place = (size_t)(at % r->cap), first = r->cap - place < n ? r->cap - place : n;

    parts[0] = MK_BYTES(r->bytes + place, first);
    parts[1] = MK_BYTES(r->bytes, n - first);
}

static void grow_bytes(struct mk_ring *r, size_t need)
{
    size_t used = (size_t)(r->end - r->begin), cap = r->cap > 0 ? r->cap : RING_BYTES_FIRST;
    struct mk_bytes parts[2];
    uint8_t *bytes;

    while (cap < used + need)
        cap *= 2;
    if (cap > r->bytes_max)
        cap = r->bytes_max;
    if (cap == r->cap)
        return;
    bytes = mk_alloc(cap);
    if (used > 0) {
        ring_parts(r, r->begin, used, parts);
        ring_copy(bytes, cap, r->begin, parts[0].p, parts[0].n);
        ring_copy(bytes, cap, r->begin + parts[0].n, parts[1].p, parts[1].n);
    }
    mk_free(r->bytes);
    r->bytes = bytes;
    r->cap = cap;
}

static void grow_index(struct mk_ring *r)
{
    size_t n = r->n_index > 0 ? 2 * r->n_index : RING_ITEMS_FIRST;
    struct mk_ring_item *index = mk_alloc(n * sizeof *index);

    for (uint64_t seq = r->oldest; seq < r->next; seq++)
        index[seq & (n - 1)] = *ring_at(r, seq);
    mk_free(r->index);
    r->index = index;
    r->n_index = n;
}

uint64_t mk_ring_put(struct mk_ring *r, struct mk_bytes item, uint64_t now_ns)
{
    uint8_t head[10];
    size_t n = 0;

    MK_ASSERT(mk_ring_fits(r, item.n));
    if (r->next - r->oldest == r->n_index)
        grow_index(r);
    if (r->end - r->begin + encoded_len(item.n) > r->cap)
        grow_bytes(r, encoded_len(item.n));
    for (size_t v = item.n; n == 0 || v > 0; v >>= 7)
        head[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
    ring_copy(r->bytes, r->cap, r->end, head, n);
    ring_copy(r->bytes, r->cap, r->end + n, item.p, item.n);
    r->end += n + item.n;
    *ring_at(r, r->next) = (struct mk_ring_item){r->end, now_ns};
    return r->next++;
}

void mk_ring_drop_oldest(struct mk_ring *r)
{
    MK_ASSERT(r->oldest < r->next);
    r->begin = ring_at(r, r->oldest)->end;
    r->oldest++;
    if (r->oldest == r->next && r->cap > RING_BYTES_FIRST)
        ring_free(r);
}

uint64_t mk_ring_oldest_ns(const struct mk_ring *r)
{
    MK_ASSERT(r->oldest < r->next);
    return ring_at(r, r->oldest)->at_ns;
}

uint64_t mk_ring_put_ns(const struct mk_ring *r, uint64_t seq)
{
    MK_ASSERT(seq >= r->oldest && seq < r->next);
    return ring_at(r, seq)->at_ns;
}

uint64_t mk_ring_left(const struct mk_ring *r, uint64_t seq)
{
    return r->end - ring_start(r, seq);
}

size_t mk_ring_slice(const struct mk_ring *r, uint64_t seq, size_t bytes_max, size_t items_max,
                     struct mk_bytes ret_parts[2])
{
    uint64_t start = ring_start(r, seq);
    size_t fit = 1, n = r->next - seq < items_max ? (size_t)(r->next - seq) : items_max;

    MK_ASSERT(n > 0);
    if (ring_at(r, seq + n - 1)->end - start <= bytes_max) {
        fit = n;
    } else { /* fit items do, n do not */
        while (n - fit > 1) {
            size_t half = fit + (n - fit) / 2;

            if (ring_at(r, seq + half - 1)->end - start <= bytes_max)
                fit = half;
            else
                n = half;
        }
    }
    ring_parts(r, start, (size_t)(ring_at(r, seq + fit - 1)->end - start), ret_parts);
    return fit;
}
