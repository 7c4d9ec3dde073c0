/* log.c - see log.h. Blobs too: counted bytes, since an entry's bytes are in the
 * log, in messages not yet encoded and with the machine at the same time. */
#include "consensus/log.h"
#include "base/assert.h"

#include <string.h>

struct mk_blob *mk_blob_take(size_t n)
{
    struct mk_blob *b;

    MK_ASSERT(n <= UINT32_MAX);
    b = mk_realloc(NULL, sizeof *b + n); /* not zeroed: the caller fills it */
    b->refs = 1;
    b->n = (uint32_t)n;
    return b;
}

struct mk_blob *mk_blob_new(const void *p, size_t n)
{
    struct mk_blob *b = mk_blob_take(n);

    if (n > 0)
        memcpy(b->p, p, n);
    return b;
}

struct mk_blob *mk_blob_ref(struct mk_blob *b)
{
    MK_ASSERT(b->refs > 0 && b->refs < UINT32_MAX);
    b->refs++;
    return b;
}

void mk_blob_unref(struct mk_blob *b)
{
    if (b == NULL)
        return;
    MK_ASSERT(b->refs > 0);
    if (--b->refs == 0)
        mk_free(b);
}

void mk_log_reset(struct mk_log *l, uint64_t first)
{
    for (size_t i = 0; i < l->n; i++)
        mk_blob_unref(l->e[l->off + i].blob);
    l->off = l->n = l->n_changes = 0;
    l->first = first;
}

void mk_log_done(struct mk_log *l)
{
    mk_log_reset(l, 1);
    mk_free(l->e);
    mk_free(l->changes);
    memset(l, 0, sizeof *l);
}

uint64_t mk_log_last(const struct mk_log *l)
{
    return l->first + l->n - 1;
}

const struct mk_entry *mk_log_get(const struct mk_log *l, uint64_t index)
{
    if (index < l->first || index - l->first >= l->n)
        return NULL;
    return &l->e[l->off + (index - l->first)];
}

uint64_t mk_log_term(const struct mk_log *l, uint64_t index)
{
    const struct mk_entry *e = mk_log_get(l, index);

    return e == NULL ? 0 : e->term;
}

static void log_make_room(struct mk_log *l)
{
    if (l->off + l->n < l->cap)
        return;
    if (l->off > l->n) { /* more dropped than kept: moving is cheaper than growing */
        memmove(l->e, l->e + l->off, l->n * sizeof *l->e);
        l->off = 0;
        return;
    }
    l->cap = l->cap == 0 ? 8 : 2 * l->cap;
    l->e = mk_realloc(l->e, l->cap * sizeof *l->e);
}

void mk_log_append(struct mk_log *l, struct mk_entry e)
{
    MK_ASSERT(e.blob != NULL && e.term > 0);
    log_make_room(l);
    l->e[l->off + l->n++] = e;
    if (e.type != MK_ENTRY_CHANGE)
        return;
    if (l->n_changes == l->cap_changes) {
        l->cap_changes = l->cap_changes == 0 ? 8 : 2 * l->cap_changes;
        l->changes = mk_realloc(l->changes, l->cap_changes * sizeof *l->changes);
    }
    l->changes[l->n_changes++] = mk_log_last(l);
}

uint64_t mk_log_truncate(struct mk_log *l, uint64_t index)
{
    uint64_t bytes = 0;

    MK_ASSERT(index >= l->first);
    while (l->n > 0 && mk_log_last(l) >= index) {
        struct mk_blob *b = l->e[l->off + --l->n].blob;

        bytes += b->n;
        mk_blob_unref(b);
    }
    while (l->n_changes > 0 && l->changes[l->n_changes - 1] >= index)
        l->n_changes--;
    return bytes;
}

void mk_log_drop_before(struct mk_log *l, uint64_t index)
{
    size_t k = 0;

    while (l->n > 0 && l->first < index) {
        mk_blob_unref(l->e[l->off].blob);
        l->off++;
        l->n--;
        l->first++;
    }
    while (k < l->n_changes && l->changes[k] < l->first)
        k++;
    if (k == 0)
        return;
    l->n_changes -= k;
    memmove(l->changes, l->changes + k, l->n_changes * sizeof *l->changes);
}

uint64_t mk_log_change_at(const struct mk_log *l, uint64_t index)
{
    for (size_t i = l->n_changes; i > 0; i--)
        if (l->changes[i - 1] <= index)
            return l->changes[i - 1];
    return 0;
}

uint64_t mk_log_change_after(const struct mk_log *l, uint64_t index)
{
    for (size_t i = 0; i < l->n_changes; i++)
        if (l->changes[i] > index)
            return l->changes[i];
    return 0;
}
