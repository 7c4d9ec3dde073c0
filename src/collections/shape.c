/* shape.c - the six shapes, as writes to one keyed store.
 *
 * An operation is done step by step on the surface itself (stage_put, stage_remove), while
 * a journal keeps what each touched key held before. At the end the journal is what
 * changed: keys that hold again what they held fall out, one key becomes an Insert or a
 * Remove, several a Many, and that is the commit. So a shape is written as if nothing
 * could go wrong: an operation that finds midway that it is refused, or that its commit is
 * too large, is undone from the journal, and nobody has seen it.
 *
 * Emptying is its own commit, Clear, whatever the size. Deterministic: the commit depends
 * on the state and the operation alone. */
#include "collections/shape.h"

#include "base/assert.h"
#include "collections/label.h"

#include <string.h>

struct touched {
    struct mk_bytes key;
    bool was;
    struct mk_bytes before;
};

struct stage {
    struct mk_surface *s;
    struct mk_order keys; /* pc(key), the order of a commit; the note is the place in v */
    struct touched *v;
    size_t n, cap;
    struct mk_arena arena;
    struct mk_fault *fault;
};

static int refuse(struct stage *st, const char *rule)
{
    return mk_fault(st->fault, MK_EREFUSED, "%s: %s", st->s->spec->name, rule);
}

/* --- steps ---------------------------------------------------------------------------------- */

static struct mk_bytes keep(struct stage *st, struct mk_bytes b)
{
    return MK_BYTES(mk_arena_copy(&st->arena, b.p, b.n), b.n);
}

static void touch(struct stage *st, struct mk_bytes key)
{
    struct mk_buf sorted = {0};
    struct mk_bytes now = {0};
    uint64_t at;

    mk_put_varint(&sorted, key.n);
    mk_buf_put(&sorted, key.p, key.n);
    if (mk_order_find(&st->keys, mk_buf_bytes(&sorted), &at) != 0) {
        struct touched t = {.key = keep(st, key)};

        t.was = mk_trie_get(&st->s->map, key, &now) == 0;
        if (t.was)
            t.before = keep(st, now);
        if (st->n == st->cap) {
            st->cap = st->cap > 0 ? 2 * st->cap : 4;
            st->v = mk_realloc(st->v, st->cap * sizeof *st->v);
        }
        mk_order_put(&st->keys, mk_buf_bytes(&sorted), st->n);
        st->v[st->n++] = t;
    }
    mk_buf_done(&sorted);
}

static void stage_put(struct stage *st, struct mk_bytes key, struct mk_bytes value)
{
    touch(st, key);
    mk_trie_set(&st->s->map, key, value);
    mk_view_put(&st->s->view, key, value);
}

static void stage_remove(struct stage *st, struct mk_bytes key)
{
    struct mk_bytes own;

    if (mk_trie_get(&st->s->map, key, &own) != 0)
        return;
    own = keep(st, key); /* the key may be lent from the order that loses it */
    touch(st, own);
    mk_view_remove(&st->s->view, own);
    mk_trie_remove(&st->s->map, own);
}

static void undo(struct stage *st)
{
    for (size_t i = 0; i < st->n; i++) {
        const struct touched *t = &st->v[i];

        if (t->was) {
            mk_trie_set(&st->s->map, t->key, t->before);
            mk_view_put(&st->s->view, t->key, t->before);
        } else {
            mk_view_remove(&st->s->view, t->key);
            mk_trie_remove(&st->s->map, t->key);
        }
    }
}

static void stage_done(struct stage *st)
{
    mk_order_done(&st->keys);
    mk_free(st->v);
    mk_arena_done(&st->arena);
}

/* --- the commit ----------------------------------------------------------------------------- */

/* What a touched key holds now; false when that is what it held before. */
static bool change_of(struct stage *st, size_t sorted, struct mk_map_change *ret)
{
    struct mk_bytes now = {0};
    uint64_t at = 0;
    const struct touched *t;
    bool is;

    mk_order_find(&st->keys, mk_order_at(&st->keys, sorted), &at);
    t = &st->v[at];
    is = mk_trie_get(&st->s->map, t->key, &now) == 0;
    if (is == t->was && (!is || mk_bytes_eq(now, t->before)))
        return false;
    *ret = (struct mk_map_change){.key = t->key, .value = {.some = is, .v = now}};
    return true;
}

static struct mk_map_op op_of(const struct mk_map_change *v, size_t n)
{
    if (n > 1)
        return (struct mk_map_op){.tag = mk_map_op_Many, .u.many = {.changes = {v, n}}};
    if (v->value.some)
        return (struct mk_map_op){.tag = mk_map_op_Insert, .u.insert = {v->key, v->value.v}};
    return (struct mk_map_op){.tag = mk_map_op_Remove, .u.remove = {v->key}};
}

static int commit(struct stage *st, bool *ret_changed)
{
    struct mk_map_change *v = mk_arena_take(&st->arena, (st->n + 1) * sizeof *v);
    struct mk_buf payload = {0};
    struct mk_map_op op;
    size_t n = 0;
    int rv = 0;

    for (size_t i = 0; i < st->n; i++)
        if (change_of(st, i, &v[n]))
            n++;
    *ret_changed = n > 0;
    if (n == 0)
        return 0;
    if (n > MK_MAP_CHANGES_MAX)
        return refuse(st, "it changes more keys than one commit takes; do it in parts");
    op = op_of(v, n);
    mk_encode(&payload, &mk_map_op_type, &op);
    if (payload.n > MK_PAYLOAD_MAX)
        rv = refuse(st, "it changes more bytes than one commit takes; do it in parts");
    else
        mk_surface_commit(st->s, &st->s->schema, mk_buf_bytes(&payload));
    mk_buf_done(&payload);
    return rv;
}

static int commit_clear(struct stage *st, bool *ret_changed)
{
    struct mk_map_op op = {.tag = mk_map_op_Clear};
    struct mk_buf payload = {0};

    *ret_changed = st->s->map.count > 0;
    if (!*ret_changed)
        return 0;
    mk_view_clear(&st->s->view);
    mk_trie_done(&st->s->map);
    mk_encode(&payload, &mk_map_op_type, &op);
    mk_surface_commit(st->s, &st->s->schema, mk_buf_bytes(&payload));
    mk_buf_done(&payload);
    return 0;
}

/* --- map, set, cell, once --------------------------------------------------------------------- */

static int do_extend(struct stage *st, const struct mk_op_entries *e)
{
    for (size_t i = 0; i < e->n; i++)
        stage_put(st, e->v[i].key, e->v[i].value);
    return 0;
}

static int do_remove(struct stage *st, const struct mk_op_keys *keys)
{
    struct mk_id id;

    for (size_t i = 0; i < keys->n; i++)
        stage_remove(st, st->s->spec->kind == MK_SURFACE_SET ? mk_element_key(&id, keys->v[i])
                                                             : keys->v[i]);
    return 0;
}

static int do_add(struct stage *st, const struct mk_op_values *items)
{
    struct mk_id id;

    for (size_t i = 0; i < items->n; i++)
        stage_put(st, mk_element_key(&id, items->v[i]), items->v[i]);
    return 0;
}

static int do_write(struct stage *st, struct mk_bytes value)
{
    if (st->s->spec->kind == MK_SURFACE_CELL || st->s->map.count == 0)
        stage_put(st, MK_BYTES(NULL, 0), value);
    return 0; /* a once that is set stays */
}

static int put_ranked(struct stage *st, uint64_t priority, struct mk_bytes key,
                      struct mk_bytes value)
{
    struct mk_buf stored = {0};
    int rv = 0;

    mk_ranked_put(&stored, priority, value);
    if (stored.n > MK_VALUE_MAX)
        rv = refuse(st, "the value is over the limit");
    else
        stage_put(st, key, mk_buf_bytes(&stored));
    mk_buf_done(&stored);
    return rv;
}

static int do_exchange(struct stage *st, const struct mk_op_exchange *x)
{
    struct mk_bytes now = {0};
    uint64_t priority = 0;
    bool is = mk_view_get(&st->s->view, x->key, &now) == 0;

    if (st->s->spec->kind == MK_SURFACE_CELL && x->key.n > 0)
        return refuse(st, "a cell has no keys");
    if (is != x->expected.some || (is && !mk_bytes_eq(now, x->expected.v)))
        return refuse(st, is ? "another value is there than was expected"
                             : "a value was expected and none is there");
    if (!x->replacement.some) {
        stage_remove(st, x->key);
        return 0;
    }
    if (st->s->spec->kind != MK_SURFACE_QUEUE) {
        stage_put(st, x->key, x->replacement.v);
        return 0;
    }
    if (!is)
        return refuse(st, "a queue's exchange needs an entry that is there");
    mk_queue_priority(&st->s->view, x->key, &priority);
    return put_ranked(st, priority, x->key, x->replacement.v);
}

/* --- queue --------------------------------------------------------------------------------------
 */

static void evict(struct stage *st)
{
    uint64_t capacity = st->s->spec->capacity;
    struct mk_bytes lowest;

    while (capacity > 0 && st->s->map.count > capacity &&
           mk_queue_at(&st->s->view, 0, NULL, &lowest, NULL) == 0)
        stage_remove(st, lowest);
}

static int do_enqueue(struct stage *st, const struct mk_op_ranked_list *e)
{
    for (size_t i = 0; i < e->n; i++) {
        int rv = put_ranked(st, e->v[i].priority, e->v[i].key, e->v[i].value);

        if (rv != 0)
            return rv;
        evict(st);
    }
    return 0;
}

static int do_reprioritise(struct stage *st, const struct mk_op_priority *p)
{
    struct mk_bytes value;

    if (mk_view_get(&st->s->view, p->key, &value) != 0)
        return 0;
    return put_ranked(st, p->priority, p->key, keep(st, value));
}

static int do_update(struct stage *st, const struct mk_op_entry *e)
{
    uint64_t priority;

    if (mk_queue_priority(&st->s->view, e->key, &priority) != 0)
        return 0;
    return put_ranked(st, priority, e->key, e->value);
}

static bool below_end(const struct mk_op_bound *end, uint64_t priority)
{
    switch ((enum mk_op_bound_tag)end->tag) {
    case mk_op_bound_Included:
        return priority <= end->u.included.priority;
    case mk_op_bound_Excluded:
        return priority < end->u.excluded.priority;
    case mk_op_bound_Unbounded:
        return true;
    }
    return false;
}

/* The rank of the first entry that is not below the start. */
static uint64_t rank_of(const struct mk_view *v, const struct mk_op_bound *start)
{
    uint64_t least;
    uint8_t place[8];

    if (start->tag == mk_op_bound_Unbounded)
        return 0;
    least = start->u.included.priority;
    if (start->tag == mk_op_bound_Excluded) {
        if (least == UINT64_MAX)
            return mk_view_count(v);
        least++;
    }
    for (unsigned i = 0; i < 8; i++)
        place[i] = (uint8_t)(least >> 8 * (7 - i));
    return mk_order_rank(&v->places, MK_BYTES(place, sizeof place));
}

static int do_remove_range(struct stage *st, const struct mk_op_range *r)
{
    uint64_t rank = rank_of(&st->s->view, &r->start), priority;
    struct mk_bytes key;

    while (mk_queue_at(&st->s->view, rank, &priority, &key, NULL) == 0 &&
           below_end(&r->end, priority)) {
        if (st->n > MK_MAP_CHANGES_MAX)
            break; /* the commit refuses it */
        stage_remove(st, key);
    }
    return 0;
}

/* --- vec
 * ------------------------------------------------------------------------------------------ */

#define RELABEL_MAX 1024u /* elements, to either side */

static size_t length(const struct stage *st)
{
    return mk_order_count(&st->s->view.places);
}

static struct mk_bytes label_at(struct stage *st, size_t i)
{
    return keep(st, mk_order_at(&st->s->view.places, i));
}

/* The room between the elements before `from` and at `to`; before, after hold their labels. */
static struct mk_label_room room_between(struct stage *st, size_t from, size_t to,
                                         struct mk_bytes *before, struct mk_bytes *after)
{
    struct mk_label_room room = {
        .n = 1 + to - from, .least = 1, .deeper = true, .limit = MK_LABEL_EASY};

    if (from > 0) {
        *before = label_at(st, from - 1);
        room.before = before;
    }
    if (to < length(st)) {
        *after = label_at(st, to);
        room.after = after;
    }
    return room;
}

/* What a commit of new labels for these elements has at most. */
static size_t bytes_between(const struct stage *st, size_t from, size_t to)
{
    const size_t framing = 8;
    size_t n = 0;

    for (size_t i = from; i < to; i++) {
        struct mk_bytes label = mk_order_at(&st->s->view.places, i), value = {0};

        mk_trie_get(&st->s->map, label, &value);
        n += label.n + MK_LABEL_RELABELED + value.n + 2 * framing;
    }
    return n;
}

/* Elements from `from` on, up to `to`, are spread over their room, with a hole before `at`. */
static void relabel(struct stage *st, const struct mk_label_room *room, size_t from, size_t to,
                    size_t at)
{
    struct mk_bytes *values = mk_arena_take(&st->arena, (to - from + 1) * sizeof *values);
    struct mk_label label;

    for (size_t i = from; i < to; i++) {
        mk_vec_at(&st->s->view, i, &values[i - from]);
        values[i - from] = keep(st, values[i - from]);
    }
    for (size_t i = from; i < to; i++)
        stage_remove(st, label_at(st, from));
    for (size_t i = from; i < to; i++)
        if (mk_label_at(&label, room, i - from + (i >= at)))
            stage_put(st, MK_BYTES(label.b, label.n), values[i - from]);
}

/* Labels anew what stands up to `w` elements away. */
static bool make_room_within(struct stage *st, struct mk_label *ret, size_t at, size_t w,
                             bool deeper)
{
    size_t from = at > w ? at - w : 0, to = length(st) - at > w ? at + w : length(st);
    struct mk_bytes before, after;
    struct mk_label_room room = room_between(st, from, to, &before, &after);

    room.limit = MK_LABEL_RELABELED;
    room.least = (uint64_t)w << 8;
    room.deeper = deeper;
    if (!mk_label_at(ret, &room, at - from))
        return false;
    relabel(st, &room, from, to, at);
    return true;
}

/* Makes room at `at` by giving its neighbourhood new labels: as few as have room enough together,
 * where a wider one must have more of it for each, or else all that one commit takes would shrink
 * into less and less; or as many as one commit takes, on a level of their own. */
static bool make_room(struct stage *st, struct mk_label *ret, size_t at, size_t bytes_max)
{
    size_t widest = 0;

    for (size_t w = 32; w <= RELABEL_MAX; w *= 2) {
        size_t from = at > w ? at - w : 0, to = length(st) - at > w ? at + w : length(st);

        if (bytes_between(st, from, to) > bytes_max)
            break;
        if (make_room_within(st, ret, at, w, /* deeper= */ false))
            return true;
        widest = w;
    }
    return widest > 0 && make_room_within(st, ret, at, widest, /* deeper= */ true);
}

static int insert_at(struct stage *st, size_t at, struct mk_bytes item)
{
    struct mk_bytes before, after;
    struct mk_label_room room = room_between(st, at, at, &before, &after);
    struct mk_label label;

    if (!mk_label_at(&label, &room, 0) &&
        !make_room(st, &label, at, MK_PAYLOAD_MAX - MK_LABEL_MAX - item.n)) {
        room.limit = MK_LABEL_MAX;
        if (!mk_label_at(&label, &room, 0))
            return refuse(st, "no more elements fit between these two");
    }
    stage_put(st, MK_BYTES(label.b, label.n), item);
    return 0;
}

static int do_push(struct stage *st, const struct mk_op_values *items, bool front)
{
    int rv = 0;

    for (size_t i = 0; i < items->n && rv == 0; i++)
        rv = insert_at(st, front ? 0 : length(st), items->v[i]);
    return rv;
}

static int do_insert_at(struct stage *st, const struct mk_op_insert_at *i)
{
    if (i->index > length(st))
        return refuse(st, "the index is past the end");
    return insert_at(st, (size_t)i->index, i->item);
}

static int do_set_at(struct stage *st, const struct mk_op_insert_at *i)
{
    if (i->index < length(st))
        stage_put(st, label_at(st, (size_t)i->index), i->item);
    return 0;
}

static int do_remove_at(struct stage *st, uint64_t index)
{
    if (index < length(st))
        stage_remove(st, label_at(st, (size_t)index));
    return 0;
}

static int do_swap(struct stage *st, uint64_t a, uint64_t b)
{
    struct mk_bytes va, vb;

    if (mk_vec_at(&st->s->view, a, &va) != 0 || mk_vec_at(&st->s->view, b, &vb) != 0)
        return 0;
    va = keep(st, va);
    vb = keep(st, vb);
    stage_put(st, label_at(st, (size_t)a), vb);
    stage_put(st, label_at(st, (size_t)b), va);
    return 0;
}

static int do_truncate(struct stage *st, uint64_t n)
{
    while (length(st) > n && st->n <= MK_MAP_CHANGES_MAX)
        stage_remove(st, label_at(st, length(st) - 1));
    return 0;
}

/* --- all
 * ------------------------------------------------------------------------------------------- */

bool mk_op_fits(enum mk_surface_kind kind, const struct mk_op *op)
{
    switch ((enum mk_op_tag)op->tag) {
    case mk_op_Clear:
        return mk_surface_keyed(kind) && kind != MK_SURFACE_ONCE;
    case mk_op_Extend:
        return kind == MK_SURFACE_MAP;
    case mk_op_Remove:
        return kind == MK_SURFACE_MAP || kind == MK_SURFACE_SET || kind == MK_SURFACE_QUEUE;
    case mk_op_Exchange:
        return kind == MK_SURFACE_MAP || kind == MK_SURFACE_CELL || kind == MK_SURFACE_QUEUE;
    case mk_op_Add:
        return kind == MK_SURFACE_SET;
    case mk_op_Write:
        return kind == MK_SURFACE_CELL || kind == MK_SURFACE_ONCE;
    case mk_op_PushBack:
    case mk_op_PushFront:
    case mk_op_InsertAt:
    case mk_op_PopBack:
    case mk_op_PopFront:
    case mk_op_RemoveAt:
    case mk_op_Swap:
    case mk_op_Truncate:
    case mk_op_SetAt:
        return kind == MK_SURFACE_VEC;
    case mk_op_Enqueue:
    case mk_op_Reprioritise:
    case mk_op_Update:
    case mk_op_RemoveRange:
        return kind == MK_SURFACE_QUEUE;
    case mk_op_Append:
        return kind == MK_SURFACE_STREAM;
    }
    return false;
}

static int shape_do(struct stage *st, const struct mk_op *op)
{
    switch ((enum mk_op_tag)op->tag) {
    case mk_op_Clear:
    case mk_op_Append:
        return 0; /* shape_apply */
    case mk_op_Extend:
        return do_extend(st, &op->u.extend.entries);
    case mk_op_Remove:
        return do_remove(st, &op->u.remove.keys);
    case mk_op_Exchange:
        return do_exchange(st, &op->u.exchange);
    case mk_op_Add:
        return do_add(st, &op->u.add.items);
    case mk_op_Write:
        return do_write(st, op->u.write.value);
    case mk_op_PushBack:
        return do_push(st, &op->u.push_back.items, /* front= */ false);
    case mk_op_PushFront:
        return do_push(st, &op->u.push_front.items, /* front= */ true);
    case mk_op_InsertAt:
        return do_insert_at(st, &op->u.insert_at);
    case mk_op_PopBack:
        return length(st) > 0 ? do_remove_at(st, length(st) - 1) : 0;
    case mk_op_PopFront:
        return do_remove_at(st, 0);
    case mk_op_RemoveAt:
        return do_remove_at(st, op->u.remove_at.index);
    case mk_op_Swap:
        return do_swap(st, op->u.swap.a, op->u.swap.b);
    case mk_op_Truncate:
        return do_truncate(st, op->u.truncate.index);
    case mk_op_Enqueue:
        return do_enqueue(st, &op->u.enqueue.entries);
    case mk_op_Reprioritise:
        return do_reprioritise(st, &op->u.reprioritise);
    case mk_op_Update:
        return do_update(st, &op->u.update);
    case mk_op_RemoveRange:
        return do_remove_range(st, &op->u.remove_range);
    case mk_op_SetAt:
        return do_set_at(st, &op->u.set_at);
    }
    return 0;
}

/* A stream has no state but its commits. */
static int append(struct stage *st, const struct mk_op_values *items, bool *ret_changed)
{
    if (items->n > MK_OP_APPEND_MAX)
        return refuse(st, "more items than one write appends; do it in parts");
    for (size_t i = 0; i < items->n; i++)
        mk_surface_commit(st->s, &st->s->schema, items->v[i]);
    *ret_changed = items->n > 0;
    return 0;
}

/* Does it empty the surface? Then it is a Clear. */
static bool empties(const struct mk_op *op)
{
    return op->tag == mk_op_Clear || (op->tag == mk_op_Truncate && op->u.truncate.index == 0) ||
           (op->tag == mk_op_RemoveRange && op->u.remove_range.start.tag == mk_op_bound_Unbounded &&
            op->u.remove_range.end.tag == mk_op_bound_Unbounded);
}

int mk_shape_apply(struct mk_surface *s, const struct mk_op *op, bool *ret_changed,
                   struct mk_fault *reterr)
{
    struct stage st = {.s = s, .fault = reterr};
    struct mk_fault why;
    int rv;

    MK_ASSERT(!s->retired);
    if (!mk_op_fits(s->spec->kind, op))
        return mk_fault(reterr, MK_EREFUSED, "%s: a %s has no such operation", s->spec->name,
                        mk_surface_kind_name(s->spec->kind));
    if (mk_validate(&mk_op_type, op, &why) != 0)
        return mk_fault(reterr, MK_EREFUSED, "%s: %s", s->spec->name, why.text);
    if (op->tag == mk_op_Append)
        return append(&st, &op->u.append.items, ret_changed);
    if (empties(op))
        return commit_clear(&st, ret_changed);
    rv = shape_do(&st, op);
    if (rv == 0)
        rv = commit(&st, ret_changed);
    if (rv != 0)
        undo(&st);
    stage_done(&st);
    return rv;
}
