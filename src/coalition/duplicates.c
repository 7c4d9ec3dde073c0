/* duplicates.c - by sorting, so that no chosen ids make it slow. */
#include "coalition/duplicates.h"

#include <stdlib.h>
#include <string.h>

struct slot {
    uint64_t prefix; /* the first bytes decide nearly always, without a second look-up */
    const struct mk_id *id;
    size_t index;
};

static int slot_cmp(const void *a, const void *b)
{
    const struct slot *x = a, *y = b;
    int order;

    if (x->prefix != y->prefix)
        return x->prefix < y->prefix ? -1 : 1;
    order = memcmp(x->id->b, y->id->b, sizeof(struct mk_member_id));
    if (order != 0)
        return order;
    return (x->index > y->index) - (x->index < y->index);
}

bool coa_duplicates_find(const struct mk_id *ids, size_t n, size_t *ret_earlier, size_t *ret_later)
{
    struct slot *slots = mk_alloc(n * sizeof *slots);
    bool found = false;

    for (size_t i = 0; i < n; i++) {
        memcpy(&slots[i].prefix, ids[i].b, sizeof slots[i].prefix);
        slots[i].id = &ids[i];
        slots[i].index = i;
    }
    qsort(slots, n, sizeof *slots, slot_cmp);
    for (size_t i = 1; i < n; i++) {
        if (memcmp(slots[i - 1].id->b, slots[i].id->b, sizeof(struct mk_member_id)) != 0)
            continue;
        if (found && slots[i].index > *ret_later)
            continue;
        *ret_earlier = slots[i - 1].index;
        *ret_later = slots[i].index;
        found = true;
    }
    mk_free(slots);
    return found;
}
