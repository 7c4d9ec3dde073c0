/* surface.c - commits and heads of a component's surfaces (snapshot.c: their snapshots).
 *
 * A commit is one mutation of one surface: H(payload) is folded, with the index
 * and the schema digest, into the hash of the commit before, so one signed head
 * vouches for all that came earlier. What is kept of the past is the declared
 * window; the state of a map is kept whole, in its trie. */
#include "collections/surface.h"

#include "base/assert.h"
#include "collections/history.h"

#include <string.h>

#define SCHEMA_VERSION 0x01u

const char *mk_surface_kind_name(enum mk_surface_kind k)
{
    switch (k) {
    case MK_SURFACE_STREAM:
        return "stream";
    case MK_SURFACE_MAP:
        return "map";
    case MK_SURFACE_VEC:
        return "vec";
    case MK_SURFACE_SET:
        return "set";
    case MK_SURFACE_CELL:
        return "cell";
    case MK_SURFACE_ONCE:
        return "once";
    case MK_SURFACE_QUEUE:
        return "queue";
    }
    return "unknown";
}

bool mk_surface_keyed(enum mk_surface_kind k)
{
    return k != MK_SURFACE_STREAM;
}

struct mk_id mk_surface_schema(const struct mk_surface_spec *s)
{
    if (s->kind == MK_SURFACE_MAP || s->kind == MK_SURFACE_QUEUE)
        return mk_schema_digest_pair(s->key, s->value);
    return mk_schema_digest(s->value);
}

struct mk_id mk_surface_id(const struct mk_surface_spec *s, const struct mk_id *stable_id)
{
    static const uint8_t tag[] = {'s', 'u', 'r', 'f', 'a', 'c', 'e', '|', SCHEMA_VERSION};
    struct mk_str kind = mk_str_of(mk_surface_kind_name(s->kind)), name = mk_str_of(s->name);
    struct mk_id schema = mk_surface_schema(s);
    struct mk_bytes parts[] = {MK_BYTES(tag, sizeof tag), MK_ID_BYTES(stable_id),
                               MK_BYTES(kind.p, kind.n), MK_BYTES(name.p, name.n),
                               MK_ID_BYTES(&schema)};

    return mk_hash_many(parts, sizeof parts / sizeof parts[0]);
}

struct mk_id mk_commit_hash(const struct mk_id *previous, uint64_t index,
                            const struct mk_id *digest, const struct mk_id *payload_hash)
{
    uint8_t x[9 + 32 + 8 + 32 + 32] = {'c', 'o', 'm', 'm', 'i', 't', '|', SCHEMA_VERSION, '|'};

    memcpy(x + 9, previous->b, 32);
    for (unsigned i = 0; i < 8; i++)
        x[41 + i] = (uint8_t)(index >> 8 * i);
    memcpy(x + 49, digest->b, 32);
    memcpy(x + 81, payload_hash->b, 32);
    return mk_hash(MK_BYTES(x, sizeof x));
}

struct mk_id mk_commit_first(const struct mk_id *surface, const struct mk_id *deployment)
{
    struct mk_bytes parts[] = {MK_ID_BYTES(surface), MK_ID_BYTES(deployment)};

    return mk_hash_many(parts, 2);
}

struct mk_id mk_marker_digest(void)
{
    return mk_schema_digest(&mk_retirement_marker_type);
}

/* --- a component's surfaces ------------------------------------------------------- */

void mk_surfaces_init(struct mk_surfaces *s, const struct mk_surface_spec *specs, unsigned n,
                      const struct mk_id *stable_id, const struct mk_id *deployment)
{
    *s = (struct mk_surfaces){.deployment = *deployment, .n = n};
    MK_ASSERT(n <= MK_SURFACES_MAX);
    s->v = mk_alloc(n * sizeof *s->v);
    for (unsigned i = 0; i < n; i++) {
        struct mk_surface *v = &s->v[i];

        v->spec = &specs[i];
        v->schema = mk_surface_schema(&specs[i]);
        v->id = mk_surface_id(&specs[i], stable_id);
        v->commit = mk_commit_first(&v->id, deployment);
        mk_view_init(&v->view, specs[i].kind, &v->map);
        v->history = mk_history_new(&v->commit, specs[i].retain_commits, specs[i].retain_bytes);
    }
}

void mk_surfaces_retain(struct mk_surfaces *s, const struct mk_retention *more,
                        const uint64_t *clock)
{
    for (unsigned i = 0; i < s->n; i++) {
        struct mk_retention r;

        mk_retention_declared(s->v[i].spec, &r);
        mk_retention_raise(&r, more);
        mk_history_keep(s->v[i].history, (size_t)r.commits, r.ms, (size_t)r.bytes, clock);
    }
}

void mk_surfaces_age(struct mk_surfaces *s, uint64_t was_ms, uint64_t now_ms)
{
    for (unsigned i = 0; i < s->n; i++)
        mk_history_age(s->v[i].history, was_ms, now_ms - 1); /* not again with the next step */
}

void mk_surfaces_done(struct mk_surfaces *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        mk_view_done(&s->v[i].view);
        mk_trie_done(&s->v[i].map);
        mk_history_free(s->v[i].history);
    }
    mk_free(s->v);
    *s = (struct mk_surfaces){.n = 0};
}

struct mk_surface *mk_surfaces_find(struct mk_surfaces *s, const struct mk_id *id)
{
    for (unsigned i = 0; i < s->n; i++)
        if (mk_id_eq(&s->v[i].id, id))
            return &s->v[i];
    return NULL;
}

static const struct mk_surface *surface_at(const struct mk_surfaces *s, unsigned surface)
{
    MK_ASSERT(surface < s->n);
    return &s->v[surface];
}

int mk_map_get(const struct mk_surfaces *s, unsigned surface, struct mk_bytes key,
               struct mk_bytes *ret_value)
{
    return mk_trie_get(&surface_at(s, surface)->map, key, ret_value);
}

size_t mk_map_count(const struct mk_surfaces *s, unsigned surface)
{
    return surface_at(s, surface)->map.count;
}

bool mk_map_next(const struct mk_surfaces *s, unsigned surface, struct mk_id *cursor,
                 struct mk_bytes *ret_key, struct mk_bytes *ret_value)
{
    return mk_trie_next(&surface_at(s, surface)->map, cursor, ret_key, ret_value);
}

const struct mk_view *mk_surfaces_view(const struct mk_surfaces *s, unsigned surface)
{
    return &surface_at(s, surface)->view;
}

uint64_t mk_surface_index(const struct mk_surfaces *s, unsigned surface)
{
    return surface_at(s, surface)->index;
}

void mk_surface_retained(const struct mk_surfaces *s, unsigned surface, struct mk_retained *ret)
{
    const struct mk_surface *x = surface_at(s, surface);

    *ret = (struct mk_retained){.promised = {.commits = x->history->keep_commits,
                                             .ms = x->history->keep_ms,
                                             .bytes = x->history->keep_bytes},
                                .oldest = mk_surface_oldest(x),
                                .index = x->index,
                                .cut = x->history->cut};
}

int mk_stream_get(const struct mk_surfaces *s, unsigned surface, uint64_t index,
                  struct mk_bytes *ret_item)
{
    const struct mk_surface *x = surface_at(s, surface);
    struct mk_commit c;
    int rv;

    if (index > x->index || index + x->history->n_window <= x->index)
        return MK_ENOTFOUND; /* what is kept beyond the declared window differs between members */
    rv = mk_surface_commit_at(x, index, &c);

    if (rv == 0)
        *ret_item = c.payload;
    return rv;
}

/* --- commits ------------------------------------------------------------------------ */

void mk_surface_commit(struct mk_surface *s, const struct mk_id *digest, struct mk_bytes payload)
{
    struct mk_id payload_hash = mk_hash(payload);
    bool marker = !mk_id_eq(digest, &s->schema);

    MK_ASSERT(!s->retired);
    s->index++;
    s->commit = mk_commit_hash(&s->commit, s->index, digest, &payload_hash);
    s->retired = marker;
    mk_history_push(s->history, &s->commit, payload, marker);
}

static bool apply_many(struct mk_trie *t, const struct mk_map_changes *changes)
{
    bool changed = false;

    for (size_t i = 0; i < changes->n; i++) {
        const struct mk_map_change *c = &changes->v[i];

        if (c->value.some ? mk_trie_set(t, c->key, c->value.v) : mk_trie_remove(t, c->key))
            changed = true;
    }
    return changed;
}

int mk_map_apply(struct mk_trie *t, const struct mk_map_op *op, bool *ret_changed)
{
    struct mk_bytes now = {0};
    bool there;

    switch ((enum mk_map_op_tag)op->tag) {
    case mk_map_op_Insert:
        *ret_changed = mk_trie_set(t, op->u.insert.key, op->u.insert.value);
        return 0;
    case mk_map_op_Remove:
        *ret_changed = mk_trie_remove(t, op->u.remove.key);
        return 0;
    case mk_map_op_CompareSet:
        there = mk_trie_get(t, op->u.compare_set.key, &now) == 0;
        if (there != op->u.compare_set.expect.some ||
            (there && !mk_bytes_eq(now, op->u.compare_set.expect.v)))
            return MK_EREFUSED;
        *ret_changed = mk_trie_set(t, op->u.compare_set.key, op->u.compare_set.value);
        return 0;
    case mk_map_op_Clear:
        *ret_changed = t->count > 0;
        mk_trie_done(t);
        return 0;
    case mk_map_op_Many:
        *ret_changed = apply_many(t, &op->u.many.changes);
        return 0;
    }
    MK_ASSERT(!"a map op that does not exist");
    return MK_EINVALID;
}

int mk_surface_map_op(struct mk_surface *s, const struct mk_map_op *op, bool *ret_changed)
{
    struct mk_buf payload = {0};
    bool changed = false;
    int rv;

    MK_ASSERT(s->spec->kind == MK_SURFACE_MAP);
    if (s->retired)
        return MK_ERETIRED;
    rv = mk_map_apply(&s->map, op, &changed);
    if (rv != 0)
        return rv;
    if (changed) {
        if (op->tag == mk_map_op_Insert)
            mk_buf_reserve(&payload, op->u.insert.key.n + op->u.insert.value.n + 32);
        mk_encode(&payload, &mk_map_op_type, op);
        mk_surface_commit(s, &s->schema, mk_buf_bytes(&payload));
        mk_buf_done(&payload);
    }
    *ret_changed = changed;
    return 0;
}

void mk_surface_head(struct mk_surface *s, struct mk_head *ret, const struct mk_id *deployment,
                     uint64_t epoch, uint64_t time_ms)
{
    *ret = (struct mk_head){.deployment = *deployment,
                            .epoch = epoch,
                            .surface = s->id,
                            .index = s->index,
                            .commit = s->commit,
                            .state = mk_trie_root(&s->map), /* ZERO for a stream */
                            .time_ms = time_ms};
}

uint64_t mk_surface_oldest(const struct mk_surface *s)
{
    return s->index - s->history->n + 1;
}

int mk_surface_commit_at(const struct mk_surface *s, uint64_t index, struct mk_commit *ret)
{
    const struct mk_past *p;

    if (index > s->index || index < mk_surface_oldest(s))
        return MK_ENOTFOUND;
    p = mk_history_at(s->history, index - mk_surface_oldest(s));
    *ret = (struct mk_commit){.index = index,
                              .hash = p->hash,
                              .digest = p->marker ? mk_marker_digest() : s->schema,
                              .payload = MK_BYTES(p->payload, p->n_payload)};
    return 0;
}

int mk_surface_hash_at(const struct mk_surface *s, uint64_t index, struct mk_id *ret)
{
    uint64_t oldest = mk_surface_oldest(s);

    if (index > s->index || index + 1 < oldest)
        return MK_ENOTFOUND;
    *ret =
        index + 1 == oldest ? s->history->before : mk_history_at(s->history, index - oldest)->hash;
    return 0;
}

struct mk_id mk_surfaces_hash(struct mk_surfaces *s)
{
    struct mk_hasher h;

    mk_hasher_init(&h);
    for (unsigned i = 0; i < s->n; i++) {
        struct mk_id root = mk_trie_root(&s->v[i].map);

        mk_hasher_put_u64le(&h, s->v[i].index);
        mk_hasher_put(&h, s->v[i].commit.b, sizeof s->v[i].commit.b);
        mk_hasher_put(&h, root.b, sizeof root.b);
    }
    return mk_hasher_end(&h);
}
