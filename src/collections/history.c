/* history.c - why a ring: followers read the newest commits by index, and the
 * oldest go one by one; both are O(1) and nothing is moved. The ring starts
 * empty and doubles, so that a quiet surface costs nothing. Limits count both
 * commits and payload bytes; whichever is passed first drops the oldest.
 *
 * Machine time stands while nobody reads: a commit's stamp may be a week old when it is made. So
 * when time goes on, what was stamped at the last one is as if made just before (mk_history_age()):
 * a commit is taken for younger than it is, never for older, and what a node promised to keep for
 * days is kept so long after a rest, too.
 *
 * While a frozen copy exists, what is dropped is not freed: the copy points to it. */
#include "collections/history.h"

#include "base/assert.h"

#include <mosaik/retention.h>

struct mk_history *mk_history_new(const struct mk_id *before, uint32_t commits_max,
                                  uint32_t bytes_max)
{
    struct mk_history *h = mk_alloc(sizeof *h);

    h->before = *before;
    h->commits_max = commits_max > 0 ? commits_max : MK_RETAIN_COMMITS;
    h->bytes_max = bytes_max > 0 ? bytes_max : MK_RETAIN_BYTES;
    h->keep_commits = h->commits_max;
    h->keep_bytes = h->bytes_max;
    return h;
}

void mk_history_keep(struct mk_history *h, size_t commits, uint64_t ms, size_t bytes,
                     const uint64_t *clock)
{
    h->keep_commits = commits > h->commits_max ? commits : h->commits_max;
    h->keep_bytes = bytes > h->bytes_max ? bytes : h->bytes_max;
    h->keep_ms = ms;
    h->clock = clock;
}

static uint64_t clock_ms(const struct mk_history *h)
{
    return h->clock != NULL ? *h->clock : 0;
}

static struct mk_past *slot(const struct mk_history *h, size_t i)
{
    return &h->ring[(h->start + i) & (h->cap - 1)];
}

static void bury(struct mk_history *h, uint8_t *payload)
{
    if (h->frozen == 0) {
        mk_free(payload);
        return;
    }
    if (h->n_grave == h->cap_grave) {
        h->cap_grave = h->cap_grave == 0 ? 64 : 2 * h->cap_grave;
        h->grave = mk_realloc(h->grave, h->cap_grave * sizeof *h->grave);
    }
    h->grave[h->n_grave++] = payload;
}

static void drop_oldest(struct mk_history *h)
{
    struct mk_past *p = slot(h, 0);

    MK_ASSERT(h->n > 0);
    if (h->n_window == h->n) {
        h->n_window--;
        h->window_bytes -= p->n_payload;
    }
    h->before = p->hash;
    h->bytes -= p->n_payload;
    bury(h, p->payload);
    p->payload = NULL;
    h->start = (h->start + 1) & (h->cap - 1);
    h->n--;
}

void mk_history_reset(struct mk_history *h, const struct mk_id *before)
{
    while (h->n > 0)
        drop_oldest(h);
    h->before = *before;
    h->cut = false;
}

void mk_history_free(struct mk_history *h)
{
    if (h == NULL)
        return;
    MK_ASSERT(h->frozen == 0);
    mk_history_reset(h, &h->before);
    mk_free(h->ring);
    mk_free(h);
}

static void grow(struct mk_history *h)
{
    size_t cap = h->cap == 0 ? 16 : h->cap * 2;
    struct mk_past *ring = mk_alloc(cap * sizeof *ring);

    for (size_t i = 0; i < h->n; i++)
        ring[i] = *slot(h, i);
    mk_free(h->ring);
    h->ring = ring;
    h->cap = cap;
    h->start = 0;
}

/* The declared window moves on as if nothing more were kept. */
static void slide_window(struct mk_history *h, size_t payload)
{
    while (h->n_window > 0 &&
           (h->n_window >= h->commits_max || h->window_bytes + payload > h->bytes_max)) {
        h->window_bytes -= slot(h, h->n - h->n_window)->n_payload;
        h->n_window--;
    }
    h->n_window++;
    h->window_bytes += payload;
}

void mk_history_age(struct mk_history *h, uint64_t was_ms, uint64_t to_ms)
{
    for (size_t i = h->n; i > 0 && slot(h, i - 1)->at_ms == was_ms; i--)
        slot(h, i - 1)->at_ms = to_ms;
}

static bool is_young(const struct mk_history *h)
{
    uint64_t now = clock_ms(h), at = slot(h, 0)->at_ms;

    return h->keep_ms > 0 && (now < at || now - at <= h->keep_ms);
}

/* Is the oldest to go, before one more of so many bytes comes? */
static bool is_over(struct mk_history *h, size_t payload)
{
    bool promised = h->n < h->keep_commits || is_young(h);

    if (h->n >= MK_RETAIN_COMMITS_MAX)
        return true;
    if (h->filling)
        return false;
    if (h->bytes + payload <= h->keep_bytes)
        return !promised;
    h->cut |= promised;
    return true;
}

void mk_history_push(struct mk_history *h, const struct mk_id *hash, struct mk_bytes payload,
                     bool marker)
{
    while (h->n > 0 && is_over(h, payload.n))
        drop_oldest(h);
    slide_window(h, payload.n);
    if (h->n == h->cap)
        grow(h);
    *slot(h, h->n) = (struct mk_past){.hash = *hash,
                                      .payload = mk_memdup(payload.p, payload.n),
                                      .n_payload = (uint32_t)payload.n,
                                      .marker = marker,
                                      .at_ms = clock_ms(h)};
    h->n++;
    h->bytes += payload.n;
}

const struct mk_past *mk_history_at(const struct mk_history *h, size_t i)
{
    MK_ASSERT(i < h->n);
    return slot(h, i);
}

void mk_history_freeze(struct mk_history *h, struct mk_history_copy *ret)
{
    *ret = (struct mk_history_copy){.of = h, .before = h->before, .n = h->n};
    ret->v = mk_realloc(NULL, (h->n + 1) * sizeof *ret->v);
    for (size_t i = 0; i < h->n; i++)
        ret->v[i] = *slot(h, i);
    h->frozen++;
}

void mk_history_thaw(struct mk_history_copy *c)
{
    struct mk_history *h = c->of;

    mk_free(c->v);
    *c = (struct mk_history_copy){.of = NULL};
    if (h == NULL || --h->frozen > 0)
        return;
    while (h->n_grave > 0)
        mk_free(h->grave[--h->n_grave]);
    mk_free(h->grave);
    h->grave = NULL;
    h->cap_grave = 0;
}
