/* A binary heap with back pointers. The sequence number makes the order total: two
 * runs that put the same items get them back in the same order, whatever the shape
 * of the heap was in between; the simulated world rests on that. */
#include "env/heap.h"

#include "base/assert.h"

static bool slot_before(const struct mk_heap_slot *a, const struct mk_heap_slot *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void heap_set(struct mk_heap *h, size_t i, struct mk_heap_slot s)
{
    h->slots[i] = s;
    s.item->pos = i + 1;
}

static void heap_up(struct mk_heap *h, size_t i, struct mk_heap_slot s)
{
    while (i > 0 && slot_before(&s, &h->slots[(i - 1) / 2])) {
        heap_set(h, i, h->slots[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_set(h, i, s);
}

static void heap_down(struct mk_heap *h, size_t i, struct mk_heap_slot s)
{
    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= h->n)
            break;
        if (child + 1 < h->n && slot_before(&h->slots[child + 1], &h->slots[child]))
            child++;
        if (!slot_before(&h->slots[child], &s))
            break;
        heap_set(h, i, h->slots[child]);
        i = child;
    }
    heap_set(h, i, s);
}

/* Puts s where slot i is free, whichever way it has to go. */
static void heap_place(struct mk_heap *h, size_t i, struct mk_heap_slot s)
{
    if (i > 0 && slot_before(&s, &h->slots[(i - 1) / 2]))
        heap_up(h, i, s);
    else
        heap_down(h, i, s);
}

void mk_heap_put(struct mk_heap *h, struct mk_heap_item *item, uint64_t at)
{
    struct mk_heap_slot s = {at, h->seq++, item};

    if (item->pos != 0) {
        MK_ASSERT(item->pos <= h->n && h->slots[item->pos - 1].item == item);
        heap_place(h, item->pos - 1, s);
        return;
    }
    if (h->n == h->cap) {
        h->cap = h->cap == 0 ? 64 : 2 * h->cap;
        h->slots = mk_realloc(h->slots, h->cap * sizeof(*h->slots));
    }
    h->n++;
    heap_up(h, h->n - 1, s);
}

void mk_heap_del(struct mk_heap *h, struct mk_heap_item *item)
{
    size_t i = item->pos - 1;
    struct mk_heap_slot last;

    if (item->pos == 0)
        return;
    MK_ASSERT(i < h->n && h->slots[i].item == item);
    item->pos = 0;
    last = h->slots[--h->n];
    if (i < h->n)
        heap_place(h, i, last);
}

const struct mk_heap_slot *mk_heap_top(const struct mk_heap *h)
{
    return h->n == 0 ? NULL : &h->slots[0];
}

void mk_heap_done(struct mk_heap *h)
{
    for (size_t i = 0; i < h->n; i++)
        h->slots[i].item->pos = 0;
    mk_free(h->slots);
    *h = (struct mk_heap){0};
}
