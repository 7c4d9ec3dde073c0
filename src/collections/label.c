/* label.c - why steps of 2^36: one push after the other, at an end or at one and the same
 * place in the middle, uses one step a time and stays within its level 2^27 times; and
 * thirty-six halvings fit into each step. Only a nest of insertions that halve again and
 * again what the last one left makes a label longer, by a level for every 36 of them; at
 * MK_LABEL_EASY the caller spreads some neighbours evenly over the room that they have
 * together. */
#include "collections/label.h"

#include <string.h>

#define LEVEL 8u
#define FIRST (UINT64_C(1) << 63)
#define STEP (UINT64_C(1) << 36)

static uint64_t level_at(const struct mk_bytes *b, size_t at)
{
    uint64_t v = 0;

    for (size_t i = 0; i < LEVEL; i++)
        v = v << 8 | b->p[at + i];
    return v;
}

static bool push_level(struct mk_label *l, uint64_t v, size_t limit)
{
    if (l->n + LEVEL > limit)
        return false;
    for (unsigned i = 0; i < LEVEL; i++)
        l->b[l->n + i] = (uint8_t)(v >> 8 * (LEVEL - 1 - i));
    l->n += LEVEL;
    return true;
}

/* The i-th of r->n values above lo and below hi, where each may be missing; false where they are
 * too close. Zero is never used, so that there is always something before a level's first value. */
static bool value_at(uint64_t *ret, const uint64_t *lo, const uint64_t *hi, uint64_t i,
                     const struct mk_label_room *r)
{
    uint64_t room = hi == NULL ? UINT64_MAX : *hi, step;

    if (lo == NULL && hi == NULL) {
        *ret = FIRST + i * STEP;
        return true;
    }
    if (lo != NULL)
        room = *lo < room ? room - *lo : 0;
    step = room / (r->n + 1);
    if ((lo == NULL || hi == NULL) && step > STEP)
        step = STEP;
    *ret = lo != NULL ? *lo + (i + 1) * step : *hi - (r->n - i) * step;
    return step >= r->least;
}

static bool is_label(const struct mk_bytes *b)
{
    return b == NULL || (b->n > 0 && b->n <= MK_LABEL_MAX && b->n % LEVEL == 0);
}

bool mk_label_at(struct mk_label *ret, const struct mk_label_room *room, uint64_t i)
{
    const struct mk_bytes *before = room->before, *after = room->after;

    ret->n = 0;
    if (!is_label(before) || !is_label(after))
        return false;
    for (size_t at = 0; at < MK_LABEL_MAX; at += LEVEL) {
        bool has_lo = before != NULL && at < before->n, has_hi = after != NULL && at < after->n;
        uint64_t lo = has_lo ? level_at(before, at) : 0, hi = has_hi ? level_at(after, at) : 0, v;

        if (after != NULL && !has_hi)
            return false; /* the greater one is a prefix of the smaller, or equal */
        if (value_at(&v, has_lo ? &lo : NULL, has_hi ? &hi : NULL, i, room))
            return push_level(ret, v, room->limit);
        /* No room here: go down under the smaller one, or along both while they are equal. */
        if (!has_lo || (has_hi && lo > hi) || (has_hi && lo < hi && !room->deeper) ||
            !push_level(ret, lo, room->limit))
            return false;
        if (!has_hi || lo < hi)
            after = NULL;
    }
    return false;
}
