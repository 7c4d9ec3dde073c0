/* state.c - see state.h.
 *
 * Entries: an index at or below the last replaces it and everything after it. When
 * slots are read back, one in between may be missing, because nothing in it was
 * live: an entry that does not follow the last one then begins the log anew, and
 * what is before it is below the group's first index, as the checkpoint will say. */
#include "store/state.h"
#include "base/assert.h"
#include "store/frame.h"

#include <string.h>

/* --- groups -------------------------------------------------------------------------- */

/* Where id is in the table, or belongs: open addressing, at most half full. Ids are those of our
 * own components, so nobody chooses them to collide. */
static size_t slot_of(const struct mk_stored *s, const struct mk_id *id)
{
    uint64_t h;
    size_t at;

    if (s->n_slots == 0)
        return 0;
    memcpy(&h, id->b, sizeof h);
    for (at = h & (s->n_slots - 1); s->slots[at] != 0; at = (at + 1) & (s->n_slots - 1))
        if (mk_id_eq(&s->groups[s->slots[at] - 1]->id, id))
            break;
    return at;
}

struct mk_store_group *mk_stored_find(struct mk_stored *s, const struct mk_id *id)
{
    size_t at = slot_of(s, id);

    return s->n_slots == 0 || s->slots[at] == 0 ? NULL : s->groups[s->slots[at] - 1];
}

static void slots_grow(struct mk_stored *s)
{
    size_t n = s->n_slots == 0 ? 16 : 2 * s->n_slots;

    mk_free(s->slots);
    s->slots = mk_alloc(n * sizeof *s->slots);
    s->n_slots = n;
    for (size_t i = 0; i < s->n; i++)
        s->slots[slot_of(s, &s->groups[i]->id)] = (uint32_t)i + 1;
}

struct mk_store_group *mk_stored_add(struct mk_stored *s, const struct mk_id *id)
{
    struct mk_store_group *g = mk_alloc(sizeof *g);

    g->id = *id;
    g->first = 1;
    if (s->n == s->cap) {
        s->cap = s->cap == 0 ? 8 : 2 * s->cap;
        s->groups = mk_realloc(s->groups, s->cap * sizeof *s->groups);
    }
    s->groups[s->n++] = g;
    if (2 * s->n > s->n_slots)
        slots_grow(s);
    else
        s->slots[slot_of(s, id)] = (uint32_t)s->n;
    return g;
}

static void number_set(struct mk_stored *s, uint32_t number, struct mk_store_group *g)
{
    while (number >= s->cap_numbers) {
        s->cap_numbers = s->cap_numbers == 0 ? 16 : 2 * s->cap_numbers;
        s->by_number = mk_realloc(s->by_number, s->cap_numbers * sizeof *s->by_number);
    }
    while (s->n_numbers <= number)
        s->by_number[s->n_numbers++] = NULL;
    s->by_number[number] = g;
    if (g != NULL)
        g->number = number;
}

uint32_t mk_stored_number(struct mk_stored *s, struct mk_store_group *g)
{
    uint32_t number = s->n_numbers == 0 ? 1 : (uint32_t)s->n_numbers;

    MK_ASSERT(g->number == 0 && s->n_numbers < UINT32_MAX);
    number_set(s, number, g);
    return number;
}

static void facts_clear(struct mk_store_group *g)
{
    for (size_t i = 0; i < g->n_facts; i++)
        mk_buf_done(&g->facts[i].value);
    g->n_facts = 0;
}

static void metadata_clear(struct mk_store_group *g)
{
    facts_clear(g);
    g->term = g->vote = g->snap_index = 0;
    mk_buf_clear(&g->snap);
}

static void group_free(struct mk_store_group *g)
{
    metadata_clear(g);
    mk_stored_forget(g);
    mk_free(g->facts);
    mk_buf_done(&g->snap);
    mk_free(g);
}

void mk_stored_done(struct mk_stored *s)
{
    for (size_t i = 0; i < s->n; i++)
        group_free(s->groups[i]);
    mk_free(s->groups);
    mk_free(s->slots);
    mk_free(s->by_number);
    mk_free(s->floor);
    memset(s, 0, sizeof *s);
}

/* --- facts ---------------------------------------------------------------------------- */

/* Where key is, or belongs. */
static size_t fact_at(const struct mk_store_group *g, const char *key, size_t n, bool *ret_there)
{
    size_t lo = 0, hi = g->n_facts;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int d =
            mk_bytes_cmp(MK_BYTES(g->facts[mid].key, strlen(g->facts[mid].key)), MK_BYTES(key, n));

        if (d == 0) {
            *ret_there = true;
            return mid;
        }
        if (d < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *ret_there = false;
    return lo;
}

const struct mk_fact *mk_stored_fact(const struct mk_store_group *g, const char *key, size_t n)
{
    bool there;
    size_t i = fact_at(g, key, n, &there);

    return there ? &g->facts[i] : NULL;
}

static void fact_remove(struct mk_store_group *g, size_t i)
{
    mk_buf_done(&g->facts[i].value);
    g->n_facts--;
    memmove(&g->facts[i], &g->facts[i + 1], (g->n_facts - i) * sizeof g->facts[0]);
}

static int fact_put(struct mk_store_group *g, struct mk_bytes key, struct mk_bytes value)
{
    bool there;
    size_t i;

    if (key.n == 0 || key.n > MK_STORE_KEY_MAX || memchr(key.p, 0, key.n) != NULL)
        return MK_ECORRUPT;
    i = fact_at(g, (const char *)key.p, key.n, &there);
    if (value.n == 0) {
        if (there)
            fact_remove(g, i);
        return 0;
    }
    if (!there) {
        if (g->n_facts == g->cap_facts) {
            g->cap_facts = g->cap_facts == 0 ? 4 : 2 * g->cap_facts;
            g->facts = mk_realloc(g->facts, g->cap_facts * sizeof g->facts[0]);
        }
        memmove(&g->facts[i + 1], &g->facts[i], (g->n_facts - i) * sizeof g->facts[0]);
        memset(&g->facts[i], 0, sizeof g->facts[i]);
        memcpy(g->facts[i].key, key.p, key.n);
        g->n_facts++;
    }
    mk_buf_clear(&g->facts[i].value);
    mk_buf_put(&g->facts[i].value, value.p, value.n);
    return 0;
}

/* --- entries ---------------------------------------------------------------------------- */

static void kept_truncate(struct mk_store_group *g, size_t n)
{
    while (g->n_kept > n)
        mk_free(g->kept[--g->n_kept].p);
}

void mk_stored_forget(struct mk_store_group *g)
{
    kept_truncate(g, 0);
    mk_free(g->kept);
    g->kept = NULL;
    g->cap_kept = 0;
}

static void kept_drop_before(struct mk_store_group *g, uint64_t first)
{
    size_t k = 0;

    while (k < g->n_kept && g->kept_first + k < first)
        mk_free(g->kept[k++].p);
    if (k == 0)
        return;
    g->n_kept -= k;
    g->kept_first += k;
    memmove(g->kept, g->kept + k, g->n_kept * sizeof g->kept[0]);
}

static void kept_add(struct mk_store_group *g, const struct mk_record *r)
{
    if (g->n_kept == 0)
        g->kept_first = r->index;
    MK_ASSERT(r->index >= g->kept_first && r->index - g->kept_first <= g->n_kept);
    kept_truncate(g, r->index - g->kept_first);
    if (g->n_kept == g->cap_kept) {
        g->cap_kept = g->cap_kept == 0 ? 64 : 2 * g->cap_kept;
        g->kept = mk_realloc(g->kept, g->cap_kept * sizeof g->kept[0]);
    }
    g->kept[g->n_kept++] =
        (struct mk_kept){r->term, mk_memdup(r->bytes.p, r->bytes.n), (uint32_t)r->bytes.n, r->type};
}

static void entry_apply(struct mk_stored *s, struct mk_store_group *g, const struct mk_record *r,
                        bool keep)
{
    bool empty = g->first == g->last + 1;

    if (keep && r->group < s->n_floor && r->index < s->floor[r->group])
        return;
    if (empty || r->index < g->first || r->index > g->last + 1) {
        g->first = r->index;
        kept_truncate(g, 0);
    }
    g->last = r->index;
    if (keep)
        kept_add(g, r);
}

/* Entries outside first..last are gone. */
static void extent_apply(struct mk_store_group *g, uint64_t first, uint64_t last)
{
    if (g->dropped < first)
        g->dropped = first;
    if (g->last > last)
        g->last = last;
    if (g->first < first)
        g->first = first;
    if (g->first > g->last) { /* none is left */
        g->first = first;
        g->last = first - 1;
        kept_truncate(g, 0);
        return;
    }
    if (g->n_kept > 0 && g->kept_first + g->n_kept - 1 > g->last)
        kept_truncate(g, g->last >= g->kept_first ? g->last - g->kept_first + 1 : 0);
    kept_drop_before(g, g->first);
}

static void snapshot_apply(struct mk_store_group *g, const struct mk_record *r)
{
    g->snap_index = r->index;
    mk_buf_clear(&g->snap);
    mk_buf_put(&g->snap, r->bytes.p, r->bytes.n);
    if (r->type == MK_REC_SNAPSHOT_KNOWN)
        return; /* the extent follows */
    if (r->type != 0 || g->last < r->index)
        extent_apply(g, r->index + 1, r->index);
    else
        extent_apply(g, r->first, g->last);
}

static void remove_apply(struct mk_stored *s, struct mk_store_group *g)
{
    metadata_clear(g);
    kept_truncate(g, 0);
    g->first = 1;
    g->last = g->dropped = 0;
    s->by_number[g->number] = NULL;
    g->number = 0;
    g->damage[0] = 0;
}

/* --- records ----------------------------------------------------------------------------- */

static int group_apply(struct mk_stored *s, const struct mk_record *r)
{
    struct mk_store_group *g = mk_stored_find(s, &r->id);

    if (r->group == 0 || r->group > MK_STORE_GROUPS_MAX * 16u)
        return MK_ECORRUPT;
    if (g == NULL)
        g = mk_stored_add(s, &r->id);
    if (g->number != 0 && g->number != r->group)
        remove_apply(s, g); /* removed and made again; the removal's slot is gone */
    number_set(s, r->group, g);
    g->named = true;
    return 0;
}

static void begin_apply(struct mk_stored *s)
{
    for (size_t i = 0; i < s->n; i++) {
        metadata_clear(s->groups[i]);
        s->groups[i]->named = false;
    }
}

static void end_apply(struct mk_stored *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (!s->groups[i]->named && s->groups[i]->number != 0)
            remove_apply(s, s->groups[i]);
}

int mk_stored_apply(struct mk_stored *s, const struct mk_record *r, bool keep)
{
    struct mk_store_group *g = r->group < s->n_numbers ? s->by_number[r->group] : NULL;

    switch (r->kind) {
    case MK_REC_GROUP:
        return group_apply(s, r);
    case MK_REC_BEGIN:
        begin_apply(s);
        return 0;
    case MK_REC_END:
        end_apply(s);
        return 0;
    case MK_REC_SLOT:
        return 0;
    case MK_REC_TERM:
    case MK_REC_ENTRY:
    case MK_REC_FACT:
    case MK_REC_SNAPSHOT:
    case MK_REC_REMOVE:
    case MK_REC_EXTENT:
        break;
    }
    if (g == NULL) /* removed later in the batch that its checkpoint stands before */
        return 0;
    if (r->kind == MK_REC_TERM) {
        g->term = r->term;
        g->vote = r->vote;
    } else if (r->kind == MK_REC_ENTRY) {
        entry_apply(s, g, r, keep);
    } else if (r->kind == MK_REC_FACT) {
        return fact_put(g, r->key, r->bytes);
    } else if (r->kind == MK_REC_SNAPSHOT) {
        snapshot_apply(g, r);
    } else if (r->kind == MK_REC_EXTENT) {
        extent_apply(g, r->first, r->index);
    } else {
        remove_apply(s, g);
    }
    return 0;
}

static void group_write(const struct mk_store_group *g, struct mk_buf *out, size_t *at_run,
                        uint64_t batch)
{
    struct mk_record r = {.kind = MK_REC_GROUP, .group = g->number, .id = g->id};

    mk_frame_add(out, at_run, &r);
    r = (struct mk_record){
        .kind = MK_REC_TERM, .group = g->number, .term = g->term, .vote = g->vote};
    mk_frame_add(out, at_run, &r);
    for (size_t i = 0; i < g->n_facts; i++) {
        const struct mk_fact *f = &g->facts[i];

        r = (struct mk_record){.kind = MK_REC_FACT,
                               .group = g->number,
                               .key = MK_BYTES(f->key, strlen(f->key)),
                               .bytes = mk_buf_bytes(&f->value)};
        mk_frame_add(out, at_run, &r);
    }
    if (g->snap_index > 0) {
        r = (struct mk_record){.kind = MK_REC_SNAPSHOT,
                               .group = g->number,
                               .index = g->snap_index,
                               .first = g->first,
                               .type = MK_REC_SNAPSHOT_KNOWN,
                               .bytes = mk_buf_bytes(&g->snap)};
        mk_frame_add(out, at_run, &r);
    }
    r = (struct mk_record){
        .kind = MK_REC_EXTENT, .group = g->number, .first = g->first, .index = g->last};
    if (g->batch == batch) {
        r.first = g->before_first;
        r.index = g->before_last;
    }
    mk_frame_add(out, at_run, &r);
}

void mk_stored_write(const struct mk_stored *s, struct mk_buf *out, size_t *at_run, uint64_t batch)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->groups[i]->number != 0)
            group_write(s->groups[i], out, at_run, batch);
}
