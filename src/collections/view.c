/* view.c - what is read of a collection.
 *
 * The trie answers for keys; order is kept apart, because the trie's own is that of the
 * hashes. The orders follow the trie by being told of each change; at a reader they are
 * told while the trie is already at the end of a batch of changes, so a place may for that
 * moment have no value: it is then not found. */
#include "collections/view.h"

#include "base/assert.h"

#include <string.h>

void mk_view_init(struct mk_view *v, enum mk_surface_kind kind, const struct mk_trie *map)
{
    *v = (struct mk_view){.kind = kind, .map = map};
}

void mk_view_clear(struct mk_view *v)
{
    mk_order_done(&v->places);
    mk_order_done(&v->priorities);
}

void mk_view_done(struct mk_view *v)
{
    mk_view_clear(v);
}

void mk_ranked_put(struct mk_buf *out, uint64_t priority, struct mk_bytes value)
{
    mk_put_varint(out, priority);
    mk_buf_put(out, value.p, value.n);
}

uint64_t mk_ranked_read(struct mk_bytes stored, struct mk_bytes *ret_value)
{
    struct mk_reader r = {.p = stored.p, .n = stored.n};
    uint64_t priority = mk_read_varint(&r);

    if (r.failed) {
        *ret_value = stored;
        return 0;
    }
    *ret_value = MK_BYTES(r.p, r.n);
    return priority;
}

struct mk_bytes mk_element_key(struct mk_id *out, struct mk_bytes element)
{
    *out = mk_hash(element);
    return MK_ID_BYTES(out);
}

/* --- places ------------------------------------------------------------------------------ */

struct place {
    uint8_t b[8 + MK_KEY_MAX];
    size_t n;
};

static struct mk_bytes place_of(struct place *p, uint64_t priority, struct mk_bytes key)
{
    MK_ASSERT(key.n <= MK_KEY_MAX);
    for (unsigned i = 0; i < 8; i++)
        p->b[i] = (uint8_t)(priority >> 8 * (7 - i));
    if (key.n > 0)
        memcpy(p->b + 8, key.p, key.n);
    p->n = 8 + key.n;
    return MK_BYTES(p->b, p->n);
}

static void queue_remove(struct mk_view *v, struct mk_bytes key)
{
    struct place place;
    uint64_t priority;

    if (mk_order_find(&v->priorities, key, &priority) != 0)
        return;
    mk_order_remove(&v->places, place_of(&place, priority, key));
    mk_order_remove(&v->priorities, key);
}

static void queue_put(struct mk_view *v, struct mk_bytes key, struct mk_bytes stored)
{
    struct place place;
    struct mk_bytes value;
    uint64_t priority = mk_ranked_read(stored, &value);

    queue_remove(v, key);
    mk_order_put(&v->places, place_of(&place, priority, key), 0);
    mk_order_put(&v->priorities, key, priority);
}

void mk_view_put(struct mk_view *v, struct mk_bytes key, struct mk_bytes value)
{
    if (v->kind == MK_SURFACE_VEC)
        mk_order_put(&v->places, key, 0);
    else if (v->kind == MK_SURFACE_QUEUE)
        queue_put(v, key, value);
}

void mk_view_remove(struct mk_view *v, struct mk_bytes key)
{
    if (v->kind == MK_SURFACE_VEC)
        mk_order_remove(&v->places, key);
    else if (v->kind == MK_SURFACE_QUEUE)
        queue_remove(v, key);
}

void mk_view_rebuild(struct mk_view *v)
{
    struct mk_id cursor = MK_ZERO_ID;
    struct mk_bytes key, value;

    mk_view_clear(v);
    if (v->kind != MK_SURFACE_VEC && v->kind != MK_SURFACE_QUEUE)
        return;
    while (mk_trie_next(v->map, &cursor, &key, &value))
        mk_view_put(v, key, value);
}

/* --- reading ------------------------------------------------------------------------------ */

enum mk_surface_kind mk_view_kind(const struct mk_view *v)
{
    return v->kind;
}

size_t mk_view_count(const struct mk_view *v)
{
    return v->map->count;
}

int mk_view_get(const struct mk_view *v, struct mk_bytes key, struct mk_bytes *ret_value)
{
    struct mk_bytes stored;
    struct mk_id element;
    int rv;

    if (v->kind == MK_SURFACE_SET)
        key = mk_element_key(&element, key);
    rv = mk_trie_get(v->map, key, &stored);
    if (rv != 0)
        return rv;
    if (v->kind == MK_SURFACE_QUEUE)
        mk_ranked_read(stored, ret_value);
    else
        *ret_value = stored;
    return 0;
}

bool mk_view_next(const struct mk_view *v, struct mk_id *cursor, struct mk_bytes *ret_key,
                  struct mk_bytes *ret_value)
{
    struct mk_bytes key, stored;

    if (!mk_trie_next(v->map, cursor, &key, &stored))
        return false;
    *ret_key = v->kind == MK_SURFACE_SET ? stored : key;
    if (v->kind == MK_SURFACE_QUEUE)
        mk_ranked_read(stored, ret_value);
    else
        *ret_value = stored;
    return true;
}

int mk_vec_at(const struct mk_view *v, uint64_t index, struct mk_bytes *ret_value)
{
    if (v->kind != MK_SURFACE_VEC || index >= mk_order_count(&v->places))
        return MK_ENOTFOUND;
    return mk_trie_get(v->map, mk_order_at(&v->places, (size_t)index), ret_value);
}

int mk_vec_index_of(const struct mk_view *v, struct mk_bytes value, uint64_t *ret_index)
{
    struct mk_bytes here;

    for (uint64_t i = 0; mk_vec_at(v, i, &here) == 0; i++)
        if (mk_bytes_eq(here, value)) {
            *ret_index = i;
            return 0;
        }
    return MK_ENOTFOUND;
}

int mk_queue_at(const struct mk_view *v, uint64_t rank, uint64_t *ret_priority,
                struct mk_bytes *ret_key, struct mk_bytes *ret_value)
{
    struct mk_bytes place, key, stored, value;
    uint64_t priority;
    int rv;

    if (v->kind != MK_SURFACE_QUEUE || rank >= mk_order_count(&v->places))
        return MK_ENOTFOUND;
    place = mk_order_at(&v->places, (size_t)rank);
    key = MK_BYTES(place.p + 8, place.n - 8);
    rv = mk_trie_get(v->map, key, &stored);
    if (rv != 0)
        return rv;
    priority = mk_ranked_read(stored, &value);
    if (ret_priority != NULL)
        *ret_priority = priority;
    if (ret_key != NULL)
        *ret_key = key;
    if (ret_value != NULL)
        *ret_value = value;
    return 0;
}

int mk_queue_priority(const struct mk_view *v, struct mk_bytes key, uint64_t *ret_priority)
{
    return v->kind != MK_SURFACE_QUEUE ? MK_ENOTFOUND
                                       : mk_order_find(&v->priorities, key, ret_priority);
}
