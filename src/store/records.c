/* records.c - what a frame holds, and what applying it does to memory. */
#include "store/store_int.h"

static void put_bytes(struct mk_buf *b, struct mk_bytes v)
{
    mk_put_varint(b, v.n);
    mk_buf_put(b, v.p, v.n);
}

static void put_head(struct mk_buf *b, enum mk_record_kind kind, const struct mk_store_group *g)
{
    mk_buf_put_u8(b, (uint8_t)kind);
    mk_put_varint(b, g->number);
}

void mk_record_group(struct mk_buf *b, const struct mk_store_group *g)
{
    put_head(b, MK_RECORD_GROUP, g);
    mk_buf_put(b, g->id.b, sizeof g->id.b);
}

void mk_record_term(struct mk_buf *b, const struct mk_store_group *g)
{
    put_head(b, MK_RECORD_TERM, g);
    mk_put_varint(b, g->term);
    mk_put_varint(b, g->vote);
}

void mk_record_fact(struct mk_buf *b, const struct mk_store_group *g, const char *key,
                    struct mk_bytes v)
{
    put_head(b, MK_RECORD_FACT, g);
    put_bytes(b, MK_BYTES(key, strlen(key)));
    put_bytes(b, v);
}

static void record_extent(struct mk_buf *b, const struct mk_store_group *g)
{
    put_head(b, MK_RECORD_EXTENT, g);
    mk_put_varint(b, g->snapshot);
    mk_put_varint(b, g->first);
    mk_put_varint(b, g->last);
    put_bytes(b, mk_buf_bytes(&g->description));
}

void mk_record_checkpoint(struct mk_buf *b, const struct mk_store *s, uint64_t keep_life)
{
    struct mk_buf groups = {0};

    for (size_t i = 0; i < s->n_groups; i++) {
        const struct mk_store_group *g = s->groups[i];

        mk_record_group(&groups, g);
        mk_record_term(&groups, g);
        record_extent(&groups, g);
        mk_list_each(p, &g->facts)
        {
            const struct mk_fact *f = mk_container_of(p, struct mk_fact, node);

            mk_record_fact(&groups, g, f->key, MK_BYTES(f->value, f->n));
        }
    }
    mk_buf_put_u8(b, MK_RECORD_CHECKPOINT);
    mk_put_varint(b, keep_life);
    put_bytes(b, mk_buf_bytes(&groups));
    mk_buf_done(&groups);
}

/* --- applying --------------------------------------------------------------------------- */

static struct mk_bytes read_bytes(struct mk_reader *r, size_t max)
{
    uint64_t n = mk_read_varint(r);

    if (n > max)
        r->failed = true;
    return r->failed ? MK_BYTES(NULL, 0) : mk_read_bytes(r, (size_t)n);
}

/** Keeps the bytes of a recovered entry at its place. */
static void keep_entry(struct mk_store_group *g, uint64_t index, uint64_t term, uint8_t type,
                       struct mk_bytes bytes)
{
    size_t at = (size_t)(index - g->first);

    MK_ASSERT(at <= g->n_kept);
    for (size_t i = at; i < g->n_kept; i++)
        mk_free(g->kept[i].bytes);
    g->n_kept = at;
    if (g->n_kept == g->cap_kept) {
        g->cap_kept = g->cap_kept != 0 ? 2 * g->cap_kept : 64;
        g->kept = mk_realloc(g->kept, g->cap_kept * sizeof *g->kept);
    }
    g->kept[g->n_kept++] = (struct mk_kept){.term = term,
                                            .type = type,
                                            .n = (uint32_t)bytes.n,
                                            .bytes = mk_memdup(bytes.p, bytes.n > 0 ? bytes.n : 1)};
}

static bool apply_entry(struct mk_store_group *g, struct mk_reader *r, uint64_t life)
{
    uint64_t index = mk_read_varint(r), term = mk_read_varint(r);
    uint8_t type = mk_read_u8(r);
    struct mk_bytes bytes = read_bytes(r, MK_STORE_ENTRY_MAX);

    if (r->failed || type == 0 || index == 0)
        return false;
    if (g->first > g->last)
        g->first = index;
    else if (index < g->first || index > g->last + 1)
        return false;
    keep_entry(g, index, term, type, bytes.n > 0 ? bytes : MK_BYTES("", 0));
    mk_group_entry(g, index, life);
    return true;
}

static bool apply_extent(struct mk_store_group *g, struct mk_reader *r, uint64_t life)
{
    uint64_t snapshot = mk_read_varint(r), first = mk_read_varint(r), last = mk_read_varint(r);
    struct mk_bytes d = read_bytes(r, MK_STORE_VALUE_MAX);

    if (r->failed || first == 0 || last + 1 < first || last + 1 - first > (1ull << 32))
        return false;
    g->snapshot = snapshot;
    mk_buf_clear(&g->description);
    mk_buf_put(&g->description, d.p, d.n);
    /* The oldest slot's: its entries are in slots that are gone, until later records drop them. */
    mk_group_forget(g);
    g->keeping = true;
    g->first = first;
    g->last = last;
    g->n_kept = (size_t)(last + 1 - first);
    g->cap_kept = g->n_kept;
    g->kept = g->n_kept > 0 ? mk_alloc(g->n_kept * sizeof *g->kept) : NULL;
    g->n_runs = 0;
    if (g->n_kept > 0) {
        g->runs = mk_realloc(g->runs, 8 * sizeof *g->runs);
        g->cap_runs = 8;
        g->runs[0] = (struct mk_run){first, life > 0 ? life - 1 : 0};
        g->n_runs = 1;
    }
    return true;
}

static bool apply_snapshot(struct mk_store_group *g, struct mk_reader *r)
{
    uint64_t index = mk_read_varint(r), first = mk_read_varint(r);
    uint8_t void_log = mk_read_u8(r);
    struct mk_bytes d = read_bytes(r, MK_STORE_VALUE_MAX);

    if (r->failed || void_log > 1)
        return false;
    mk_group_snapshot(g, index, d, first, void_log == 1);
    return true;
}

static bool apply_fact(struct mk_store_group *g, struct mk_reader *r)
{
    struct mk_bytes key = read_bytes(r, MK_STORE_KEY_MAX),
                    value = read_bytes(r, MK_STORE_VALUE_MAX);
    char text[MK_STORE_KEY_MAX + 1];

    if (r->failed || key.n == 0)
        return false;
    memcpy(text, key.p, key.n);
    text[key.n] = '\0';
    mk_fact_put(g, text, value);
    return true;
}

static bool apply_group(struct mk_store *s, struct mk_reader *r, uint64_t number)
{
    struct mk_bytes id = mk_read_bytes(r, 32);
    struct mk_id known;

    if (r->failed || number > s->n_groups || number >= MK_STORE_GROUPS_MAX)
        return false;
    memcpy(known.b, id.p, sizeof known.b);
    if (number < s->n_groups)
        return mk_id_eq(&s->groups[number]->id, &known);
    mk_store_group_new(s, &known)->keeping = true;
    return true;
}

static bool apply_checkpoint(struct mk_reader *r, bool oldest)
{
    uint64_t n = mk_read_varint(r);

    if (r->failed || n > r->n)
        return false;
    if (!oldest)
        mk_read_bytes(r, (size_t)n);
    return true; /* the oldest slot's groups are read on, record by record */
}

static bool apply_one(struct mk_store *s, struct mk_reader *r, uint64_t life, bool oldest,
                      uint64_t *keep_life)
{
    uint8_t kind = mk_read_u8(r);
    uint64_t number = mk_read_varint(r);
    struct mk_store_group *g;

    if (r->failed)
        return false;
    if (kind == MK_RECORD_CHECKPOINT) {
        *keep_life = number;
        return apply_checkpoint(r, oldest);
    }
    if (kind == MK_RECORD_GROUP)
        return apply_group(s, r, number);
    if (number >= s->n_groups)
        return false;
    g = s->groups[number];
    if (kind == MK_RECORD_ENTRY)
        return apply_entry(g, r, life);
    if (kind == MK_RECORD_FACT)
        return apply_fact(g, r);
    if (kind == MK_RECORD_SNAPSHOT)
        return apply_snapshot(g, r);
    if (kind == MK_RECORD_EXTENT)
        return apply_extent(g, r, life);
    if (kind == MK_RECORD_TERM) {
        g->term = mk_read_varint(r);
        g->vote = mk_read_varint(r);
        return !r->failed;
    }
    if (kind != MK_RECORD_REMOVE)
        return false;
    mk_group_clear(g);
    return true;
}

int mk_records_apply(struct mk_store *s, struct mk_bytes records, uint64_t life, bool oldest,
                     uint64_t *ret_keep_life)
{
    struct mk_reader r = {.p = records.p, .n = records.n};

    while (r.n > 0) {
        if (!apply_one(s, &r, life, oldest, ret_keep_life))
            return MK_ECORRUPT;
    }
    return 0;
}
