/* snapshot.c - all surfaces as bytes, in pieces, and back.
 *
 * A snapshot holds, per surface: index, the commit hash before the oldest retained
 * commit, the retained commits, the map in the order of H(key). On the way back the
 * retained hashes are computed again from that first one and must end at the surface's
 * own, and a map must come in order: so damaged bytes are noticed here, and there is
 * one snapshot only for one state.
 *
 * Taking one must not stop the writer, and a map may hold gigabytes. So what changes is
 * frozen first: a fork of each trie (one reference), a copy of each ring of retained
 * commits (not of what is in them). Bytes are then made of the frozen ones a slice at a
 * time, on another thread if the owner likes; the surfaces go on meanwhile, and copy
 * what they change where it is still shared.
 *
 * Filling is a parser that is given pieces: it eats whole items (a surface's numbers, a
 * key and its value, a commit) and carries what is left over to the next piece. An item
 * has a largest size, so what is carried is bounded. */
#include "collections/surface.h"

#include "base/assert.h"
#include "collections/history.h"

#include <string.h>

#define ITEM_MAX (MK_PAYLOAD_MAX + MK_KEY_MAX + 256u) /* no item has more bytes */

/* --- freezing -------------------------------------------------------------------------- */

struct frozen {
    const struct mk_surface_spec *spec;
    struct mk_id id, commit;
    uint64_t index, head_index, head_time_ms;
    struct mk_trie map;
    struct mk_history_copy history;
};

enum frozen_stage { FROZEN_NUMBERS, FROZEN_MAP, FROZEN_HISTORY };

struct mk_surfaces_frozen {
    unsigned n;
    struct frozen *v;
    /* where reading is */
    bool begun;
    unsigned i;
    enum frozen_stage stage;
    struct mk_trie_walk walk;
    size_t past;
};

struct mk_surfaces_frozen *mk_surfaces_freeze(struct mk_surfaces *s)
{
    struct mk_surfaces_frozen *f = mk_alloc(sizeof *f);

    f->n = s->n;
    f->v = mk_alloc(s->n * sizeof *f->v);
    for (unsigned i = 0; i < s->n; i++) {
        struct mk_surface *v = &s->v[i];
        struct frozen *z = &f->v[i];

        z->spec = v->spec;
        z->id = v->id;
        z->commit = v->commit;
        z->index = v->index;
        z->head_index = v->head_index;
        z->head_time_ms = v->head_time_ms;
        mk_trie_fork(&z->map, &v->map);
        mk_history_freeze(v->history, &z->history);
    }
    return f;
}

void mk_surfaces_thaw(struct mk_surfaces_frozen *f)
{
    if (f == NULL)
        return;
    for (unsigned i = 0; i < f->n; i++) {
        mk_trie_done(&f->v[i].map);
        mk_history_thaw(&f->v[i].history);
    }
    mk_free(f->v);
    mk_free(f);
}

static void put_slice(struct mk_buf *out, struct mk_bytes b)
{
    mk_put_varint(out, b.n);
    mk_buf_put(out, b.p, b.n);
}

static void put_numbers(const struct frozen *z, struct mk_buf *out)
{
    mk_buf_put(out, z->id.b, sizeof z->id.b);
    mk_put_varint(out, z->index);
    mk_buf_put(out, z->commit.b, sizeof z->commit.b);
    mk_put_varint(out, z->head_index);
    mk_put_varint(out, z->head_time_ms);
    mk_put_varint(out, z->map.count);
}

/* The next item of the surface; false: it has no more. */
static bool read_one(struct mk_surfaces_frozen *f, struct frozen *z, struct mk_buf *out)
{
    struct mk_bytes key, value;

    switch (f->stage) {
    case FROZEN_NUMBERS:
        put_numbers(z, out);
        mk_trie_walk_begin(&f->walk, &z->map);
        f->stage = FROZEN_MAP;
        return true;
    case FROZEN_MAP:
        if (mk_trie_walk_next(&f->walk, &key, &value)) {
            put_slice(out, key);
            put_slice(out, value);
            return true;
        }
        mk_buf_put(out, z->history.before.b, sizeof z->history.before.b);
        mk_put_varint(out, z->history.n);
        f->stage = FROZEN_HISTORY;
        f->past = 0;
        return true;
    case FROZEN_HISTORY:
        if (f->past == z->history.n)
            return false;
        mk_buf_put_u8(out, z->history.v[f->past].marker);
        put_slice(out, MK_BYTES(z->history.v[f->past].payload, z->history.v[f->past].n_payload));
        f->past++;
        return true;
    }
    return false;
}

bool mk_surfaces_frozen_read(struct mk_surfaces_frozen *f, struct mk_buf *out, size_t full)
{
    if (!f->begun)
        mk_put_varint(out, f->n);
    f->begun = true;
    while (f->i < f->n) {
        if (out->n >= full)
            return true;
        if (read_one(f, &f->v[f->i], out))
            continue;
        f->i++;
        f->stage = FROZEN_NUMBERS;
    }
    return false;
}

void mk_surfaces_snapshot(struct mk_surfaces *s, struct mk_buf *out)
{
    struct mk_surfaces_frozen *f = mk_surfaces_freeze(s);

    while (mk_surfaces_frozen_read(f, out, SIZE_MAX))
        ;
    mk_surfaces_thaw(f);
}

/* --- filling --------------------------------------------------------------------------- */

enum fill_stage { FILL_COUNT, FILL_NUMBERS, FILL_MAP, FILL_PAST, FILL_COMMITS, FILL_DONE };

struct mk_surfaces_filler {
    struct mk_surfaces *s;
    struct mk_buf carried;
    enum fill_stage stage;
    unsigned i;
    uint64_t left, n;  /* items of this stage still to come; commits retained */
    struct mk_id hash; /* map: path of the last key; commits: hash of the last one */
    struct mk_trie_edge edge;
    struct mk_id first; /* commit hash before the surface's first commit */
    bool retired;
};

struct mk_surfaces_filler *mk_surfaces_fill(struct mk_surfaces *s)
{
    struct mk_surfaces_filler *f = mk_alloc(sizeof *f);

    f->s = s;
    return f;
}

static struct mk_bytes read_slice(struct mk_reader *r, size_t limit, bool *ret_over)
{
    uint64_t n = mk_read_varint(r);

    if (!r->failed && n > limit)
        *ret_over = true;
    if (r->failed || n > limit || n > r->n) {
        r->failed = true;
        return MK_BYTES(NULL, 0);
    }
    return mk_read_bytes(r, (size_t)n);
}

static struct mk_id read_id(struct mk_reader *r)
{
    struct mk_bytes b = mk_read_bytes(r, sizeof(struct mk_id));
    struct mk_id id = MK_ZERO_ID;

    if (!r->failed)
        memcpy(id.b, b.p, sizeof id.b);
    return id;
}

/* Each eats one item, or leaves r->failed when it is not whole yet; a rule when it is broken. */

static const char *fill_count(struct mk_surfaces_filler *f, struct mk_reader *r)
{
    uint64_t n = mk_read_varint(r);

    if (!r->failed && n != f->s->n)
        return "another number of surfaces";
    if (!r->failed)
        f->stage = n > 0 ? FILL_NUMBERS : FILL_DONE;
    return NULL;
}

static const char *fill_numbers(struct mk_surfaces_filler *f, struct mk_surface *s,
                                struct mk_reader *r)
{
    struct mk_id id = read_id(r), commit;
    uint64_t index = mk_read_varint(r), head_index, head_time_ms, count;

    commit = read_id(r);
    head_index = mk_read_varint(r);
    head_time_ms = mk_read_varint(r);
    count = mk_read_varint(r);
    if (r->failed)
        return NULL;
    if (!mk_id_eq(&id, &s->id))
        return "another surface stands here";
    if (head_index > index)
        return "the last head is beyond the last commit";
    if (count > 0 && !mk_surface_keyed(s->spec->kind))
        return "a stream has keyed state";
    f->first = s->commit;
    s->index = index;
    s->commit = commit;
    s->head_index = head_index;
    s->head_time_ms = head_time_ms;
    f->left = count;
    f->hash = MK_ZERO_ID;
    f->edge = (struct mk_trie_edge){.n = 0};
    f->stage = count > 0 ? FILL_MAP : FILL_PAST;
    return NULL;
}

static const char *fill_map(struct mk_surfaces_filler *f, struct mk_surface *s, struct mk_reader *r)
{
    bool over = false;
    struct mk_bytes key = read_slice(r, MK_KEY_MAX, &over);
    struct mk_bytes value = read_slice(r, MK_VALUE_MAX, &over);
    struct mk_id path;

    if (over)
        return "a key or value is over its limit";
    if (r->failed)
        return NULL;
    path = mk_hash(key);
    if (mk_id_cmp(&path, &f->hash) <= 0) /* from the second on the edge would refuse it as well */
        return "keys are not in the order of their hashes";
    f->hash = path;
    mk_trie_append(&s->map, &f->edge, &path, key, value);
    mk_view_put(&s->view, key, value);
    if (--f->left == 0)
        f->stage = FILL_PAST;
    return NULL;
}

static const char *surface_ends(struct mk_surfaces_filler *f, struct mk_surface *s)
{
    if (!mk_id_eq(&f->hash, &s->commit))
        return "the retained commits do not end at the commit hash";
    s->retired = f->retired;
    s->history->filling = false;
    f->stage = ++f->i < f->s->n ? FILL_NUMBERS : FILL_DONE;
    return NULL;
}

static const char *fill_past(struct mk_surfaces_filler *f, struct mk_surface *s,
                             struct mk_reader *r)
{
    struct mk_id hash = read_id(r);
    uint64_t n = mk_read_varint(r);

    if (r->failed)
        return NULL;
    if (n > s->index || n > MK_RETAIN_COMMITS_MAX)
        return "more commits are retained than there can be";
    if ((n == 0) != (s->index == 0))
        return "the last commit is not retained";
    if (n == s->index && !mk_id_eq(&hash, &f->first))
        return "the first commit hash is another one";
    mk_history_reset(s->history, &hash);
    s->history->filling = true; /* a member that promises more made it; ours goes with time */
    f->hash = hash;
    f->left = f->n = n;
    f->retired = false;
    f->stage = FILL_COMMITS;
    return n == 0 ? surface_ends(f, s) : NULL;
}

static const char *fill_commit(struct mk_surfaces_filler *f, struct mk_surface *s,
                               struct mk_reader *r)
{
    uint8_t is_marker = mk_read_u8(r);
    bool over = false;
    struct mk_bytes payload = read_slice(r, MK_PAYLOAD_MAX, &over);
    struct mk_id digest, payload_hash;

    if (over || (is_marker > 1 && !r->failed) || (f->retired && !r->failed))
        return "a retained commit is over its limit, or none";
    if (r->failed)
        return NULL;
    f->retired = is_marker == 1;
    digest = f->retired ? mk_marker_digest() : s->schema;
    payload_hash = mk_hash(payload);
    f->hash = mk_commit_hash(&f->hash, s->index - f->left + 1, &digest, &payload_hash);
    mk_history_push(s->history, &f->hash, payload, f->retired);
    return --f->left == 0 ? surface_ends(f, s) : NULL;
}

static const char *fill_item(struct mk_surfaces_filler *f, struct mk_reader *r)
{
    switch (f->stage) {
    case FILL_COUNT:
        return fill_count(f, r);
    case FILL_NUMBERS:
        return fill_numbers(f, &f->s->v[f->i], r);
    case FILL_MAP:
        return fill_map(f, &f->s->v[f->i], r);
    case FILL_PAST:
        return fill_past(f, &f->s->v[f->i], r);
    case FILL_COMMITS:
        return fill_commit(f, &f->s->v[f->i], r);
    case FILL_DONE:
        return "bytes after its end";
    }
    return NULL;
}

static int broken(const struct mk_surfaces_filler *f, const char *rule, struct mk_fault *reterr)
{
    if (f->i < f->s->n && f->stage != FILL_COUNT)
        return mk_fault(reterr, MK_EMALFORMED, "snapshot, surface %s: %s", f->s->v[f->i].spec->name,
                        rule);
    return mk_fault(reterr, MK_EMALFORMED, "snapshot: %s", rule);
}

/* Eats whole items off the front of b. */
static int fill_items(struct mk_surfaces_filler *f, struct mk_bytes *b, struct mk_fault *reterr)
{
    while (b->n > 0) {
        struct mk_reader r = {.p = b->p, .n = b->n};
        const char *rule = fill_item(f, &r);

        if (rule == NULL && r.failed && b->n >= ITEM_MAX)
            rule = "an item that is none";
        if (rule != NULL)
            return broken(f, rule, reterr);
        if (r.failed)
            return 0;
        *b = MK_BYTES(r.p, r.n);
    }
    return 0;
}

int mk_surfaces_fill_put(struct mk_surfaces_filler *f, struct mk_bytes piece,
                         struct mk_fault *reterr)
{
    struct mk_bytes b = piece;
    int rv;

    if (f->carried.n == 0) {
        rv = fill_items(f, &b, reterr);
        mk_buf_put(&f->carried, b.p, b.n);
    } else {
        mk_buf_put(&f->carried, piece.p, piece.n);
        b = mk_buf_bytes(&f->carried);
        rv = fill_items(f, &b, reterr);
        mk_buf_drop_front(&f->carried, f->carried.n - b.n);
    }
    if (f->stage == FILL_MAP) /* else the whole map would be hashed at once, at the end */
        mk_trie_edge_hash(&f->edge);
    return rv;
}

int mk_surfaces_fill_end(struct mk_surfaces_filler *f, struct mk_fault *reterr)
{
    int rv = f->stage == FILL_DONE && f->carried.n == 0 ? 0 : broken(f, "it is cut off", reterr);

    mk_surfaces_fill_free(f);
    return rv;
}

void mk_surfaces_fill_free(struct mk_surfaces_filler *f)
{
    if (f == NULL)
        return;
    mk_buf_done(&f->carried);
    mk_free(f);
}

int mk_surfaces_restore(struct mk_surfaces *s, struct mk_bytes snapshot, struct mk_fault *reterr)
{
    struct mk_surfaces_filler *f = mk_surfaces_fill(s);
    int rv = mk_surfaces_fill_put(f, snapshot, reterr);

    if (rv == 0)
        return mk_surfaces_fill_end(f, reterr);
    mk_surfaces_fill_free(f);
    return rv;
}
