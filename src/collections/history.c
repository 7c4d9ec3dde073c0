/* history.c - why a ring: followers read the newest commits by index, and the
 * oldest go one by one; both are O(1) and nothing is moved. The ring starts
 * empty and doubles, so that a quiet surface costs nothing. Limits count both
 * commits and payload bytes; whichever is passed first drops the oldest.
 *
 * While a frozen copy exists, what is dropped is not freed: the copy points to it. */
#include "collections/history.h"

#include "base/assert.h"

struct mk_history *mk_history_new(const struct mk_id *before, uint32_t commits_max,
                                  uint32_t bytes_max)
{
    struct mk_history *h = mk_alloc(sizeof *h);

    h->before = *before;
    h->commits_max = commits_max > 0 ? commits_max : MK_RETAIN_COMMITS;
    h->bytes_max = bytes_max > 0 ? bytes_max : MK_RETAIN_BYTES;
    return h;
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

void mk_history_push(struct mk_history *h, const struct mk_id *hash, struct mk_bytes payload,
                     bool marker)
{
    while (h->n > 0 && (h->n >= h->commits_max || h->bytes + payload.n > h->bytes_max))
        drop_oldest(h);
    if (h->n == h->cap)
        grow(h);
    *slot(h, h->n) = (struct mk_past){.hash = *hash,
                                      .payload = mk_memdup(payload.p, payload.n),
                                      .n_payload = (uint32_t)payload.n,
                                      .marker = marker};
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
