/* table.c - see table.h.
 *
 * Sorted arrays: a few thousand pointers move in microseconds, and iteration has one
 * order everywhere. The rules that protect what is held, in the order in which
 * mk_catalog_judge asks: an update of a held record always has its place; a new one
 * needs a place of its kind, bytes, and room in its source's share; in a full table a
 * record takes the place of another that its source has less claim to (table.h).
 *
 * Beside the order by key there are chains by hash, for gossip names records by it. */
#include "discovery/table.h"

#include "base/assert.h"

#include <string.h>

struct mk_catalog_share {
    struct mk_source who;
    size_t n;
};

#define TABLE_CHAINS_MIN 64u

void mk_catalog_init(struct mk_catalog *t, const size_t max[MK_RECORD_KINDS])
{
    *t = (struct mk_catalog){0};
    memcpy(t->max_kind, max, sizeof t->max_kind);
    t->next_expiry_ms = UINT64_MAX;
    mk_list_init(&t->recent);
}

const void *mk_record_value(struct mk_record *r)
{
    bool is_peer = r->head.kind == MK_RECORD_PEER;
    const struct mk_type *type = is_peer ? &mk_peer_entry_type : &mk_deployment_type;
    int rv;

    MK_ASSERT(r->head.kind != MK_RECORD_REVOCATIONS); /* the book has read it */
    if (r->value == NULL) {
        r->value = mk_arena_take(&r->arena, type->size);
        rv = mk_decode(r->value, type, mk_buf_bytes(&r->bytes), &r->arena, NULL);
        MK_ASSERT(rv == 0); /* it was read before it was stored */
    }
    return r->value;
}

static void record_forget_value(struct mk_record *r)
{
    mk_arena_done(&r->arena);
    r->value = NULL;
}

static void record_free(struct mk_record *r)
{
    mk_list_del(&r->recent);
    mk_buf_done(&r->bytes);
    mk_buf_done(&r->rival);
    record_forget_value(r);
    mk_free(r);
}

void mk_catalog_done(struct mk_catalog *t)
{
    for (size_t i = 0; i < t->n; i++)
        record_free(t->v[i]);
    mk_free(t->v);
    mk_free(t->sources);
    mk_free(t->chains);
    *t = (struct mk_catalog){0};
}

size_t mk_catalog_after(const struct mk_catalog *t, const struct mk_record_key *after)
{
    size_t lo = 0, hi = t->n;

    while (after != NULL && lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (mk_record_key_cmp(&t->v[mid]->head.key, after) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Where key is, or would be. */
static size_t table_place(const struct mk_catalog *t, const struct mk_record_key *key, bool *ret_is)
{
    size_t after = mk_catalog_after(t, key);

    *ret_is = after > 0 && mk_record_key_cmp(&t->v[after - 1]->head.key, key) == 0;
    return *ret_is ? after - 1 : after;
}

struct mk_record *mk_catalog_find(const struct mk_catalog *t, const struct mk_record_key *key)
{
    bool is;
    size_t i = table_place(t, key, &is);

    return is ? t->v[i] : NULL;
}

/* --- by hash ------------------------------------------------------------------------- */

static struct mk_record **chain_of(const struct mk_catalog *t, uint64_t hash)
{
    return &t->chains[hash & (t->n_chains - 1)];
}

static void chain_add(struct mk_catalog *t, struct mk_record *r)
{
    struct mk_record **chain = chain_of(t, mk_record_short(&r->hash));

    r->next_hash = *chain;
    *chain = r;
}

static void chain_remove(struct mk_catalog *t, struct mk_record *r)
{
    struct mk_record **at = chain_of(t, mk_record_short(&r->hash));

    while (*at != r)
        at = &(*at)->next_hash;
    *at = r->next_hash;
}

/* As many chains as there are records, about; true: all are in their chains now. */
static bool chains_grow(struct mk_catalog *t)
{
    if (t->n < t->n_chains)
        return false;
    t->n_chains = t->n_chains == 0 ? TABLE_CHAINS_MIN : 2 * t->n_chains;
    mk_free(t->chains);
    t->chains = mk_alloc(t->n_chains * sizeof(struct mk_record *));
    for (size_t i = 0; i < t->n; i++)
        chain_add(t, t->v[i]);
    return true;
}

struct mk_record *mk_catalog_by_hash(const struct mk_catalog *t, uint64_t hash)
{
    struct mk_record *r = t->n_chains > 0 ? *chain_of(t, hash) : NULL;

    while (r != NULL && mk_record_short(&r->hash) != hash)
        r = r->next_hash;
    return r;
}

/* --- shares --------------------------------------------------------------------------- */

static int share_cmp(const struct mk_source *a, const struct mk_source *b)
{
    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    return mk_peer_cmp(&a->peer, &b->peer);
}

static size_t share_place(const struct mk_catalog *t, const struct mk_source *who, bool *ret_is)
{
    size_t lo = 0, hi = t->n_sources;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (share_cmp(&t->sources[mid].who, who) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *ret_is = lo < t->n_sources && share_cmp(&t->sources[lo].who, who) == 0;
    return lo;
}

static size_t share_count(const struct mk_catalog *t, const struct mk_source *who)
{
    bool is;
    size_t i = share_place(t, who, &is);

    return is ? t->sources[i].n : 0;
}

static void share_add(struct mk_catalog *t, const struct mk_source *who)
{
    bool is;
    size_t i = share_place(t, who, &is);

    if (!is) {
        if (t->n_sources == t->cap_sources) {
            t->cap_sources = t->cap_sources == 0 ? 16 : 2 * t->cap_sources;
            t->sources = mk_realloc(t->sources, t->cap_sources * sizeof *t->sources);
        }
        memmove(&t->sources[i + 1], &t->sources[i], (t->n_sources - i) * sizeof *t->sources);
        t->sources[i] = (struct mk_catalog_share){*who, 0};
        t->n_sources++;
    }
    t->sources[i].n++;
}

static void share_remove(struct mk_catalog *t, const struct mk_source *who)
{
    bool is;
    size_t i = share_place(t, who, &is);

    MK_ASSERT(is && t->sources[i].n > 0);
    if (--t->sources[i].n > 0)
        return;
    t->n_sources--;
    memmove(&t->sources[i], &t->sources[i + 1], (t->n_sources - i) * sizeof *t->sources);
}

/* Of the group that begins at i: how many records; *ret_best: its biggest source; *ret_next:
 * where the next group begins. */
static size_t share_group(const struct mk_catalog *t, size_t i, size_t *ret_best, size_t *ret_next)
{
    size_t n = 0, best = i, from = i;

    for (; i < t->n_sources && t->sources[i].who.group == t->sources[from].who.group; i++) {
        n += t->sources[i].n;
        best = t->sources[i].n > t->sources[best].n ? i : best;
    }
    *ret_best = best;
    *ret_next = i;
    return n;
}

/* Whoever holds most and more than `than` (NULL: than nobody). NULL: nobody does. What we say
 * ourselves (group 0) is nobody's share. */
static const struct mk_source *share_biggest(const struct mk_catalog *t,
                                             const struct mk_source *than)
{
    size_t most = 0, at = t->n_sources, own = 0, best, next;

    for (size_t i = 0; i < t->n_sources; i = next) {
        size_t n = share_group(t, i, &best, &next);

        if (than != NULL && t->sources[i].who.group == than->group)
            own = n;
        if (n > most && t->sources[i].who.group != 0) {
            most = n;
            at = best;
        }
    }
    if (at == t->n_sources)
        return NULL;
    if (than == NULL)
        return &t->sources[at].who;
    if (t->sources[at].who.group != than->group)
        return most > own + 1 ? &t->sources[at].who : NULL;
    return t->sources[at].n > share_count(t, than) + 1 ? &t->sources[at].who : NULL;
}

/* --- putting ------------------------------------------------------------------------ */

static bool table_full(const struct mk_catalog *t, enum mk_record_kind kind)
{
    return t->n_kind[kind] >= t->max_kind[kind] ||
           t->bytes + mk_record_max(kind) > MK_DISCOVERY_BYTES_MAX;
}

static int table_judge_known(const struct mk_record *r, const struct mk_record_head *head)
{
    if (head->version < r->head.version)
        return MK_ESTALE;
    if (head->version == r->head.version) {
        if (mk_id_eq(&head->hash, &r->head.hash) || r->rival.n > 0)
            return MK_EEXISTS;
        if (head->kind == MK_RECORD_DEPLOYMENT)
            return MK_ECONFLICT;
        if (head->kind == MK_RECORD_REVOCATIONS)
            return MK_EEXISTS; /* the one that came first stands: the book holds it too */
        /* Two entries of one version: all nodes keep the same one of them. */
        return mk_id_cmp(&head->hash, &r->head.hash) > 0 ? 0 : MK_EEXISTS;
    }
    if (head->kind == MK_RECORD_DEPLOYMENT &&
        head->version - r->head.version > MK_DISCOVERY_JUMP_MAX)
        return MK_ELIMIT;
    return 0;
}

/* Which record of this kind gives way in a full table; t->n: none does. */
static size_t table_victim(const struct mk_catalog *t, enum mk_record_kind kind,
                           const struct mk_source *from, uint64_t now_ns, bool needed)
{
    size_t found = t->n;

    for (size_t i = 0; from != NULL && i < t->n; i++) {
        const struct mk_record *r = t->v[i];

        if (r->head.kind != kind || share_cmp(&r->source, from) != 0)
            continue;
        if (!needed && (mk_peer_eq(&r->head.signer, &from->peer) ||
                        now_ns - r->since_ns >= MK_DISCOVERY_SETTLED_MS * UINT64_C(1000000)))
            continue;
        if (found == t->n || r->since_ns >= t->v[found]->since_ns)
            found = i;
    }
    return found;
}

int mk_catalog_judge(const struct mk_catalog *t, const struct mk_record_head *head,
                     const struct mk_source *source, uint64_t now_ns, bool needed)
{
    const struct mk_record *r = mk_catalog_find(t, &head->key);

    if (r != NULL)
        return table_judge_known(r, head);
    if (needed)
        return 0;
    if (share_count(t, source) >= t->max_kind[head->kind] / 2)
        return MK_EFULL;
    if (table_full(t, head->kind) &&
        table_victim(t, head->kind, share_biggest(t, source), now_ns, false) == t->n)
        return MK_EFULL;
    return 0;
}

static void table_touch(struct mk_catalog *t, struct mk_record *r)
{
    mk_list_del(&r->recent);
    mk_list_add_tail(&t->recent, &r->recent);
    r->seq = ++t->seq;
}

static void table_remove(struct mk_catalog *t, size_t i)
{
    struct mk_record *r = t->v[i];

    chain_remove(t, r);
    share_remove(t, &r->source);
    t->bytes -= r->bytes.n + r->rival.n;
    t->n_kind[r->head.kind]--;
    t->n--;
    memmove(&t->v[i], &t->v[i + 1], (t->n - i) * sizeof t->v[0]);
    record_free(r);
}

void mk_catalog_forget(struct mk_catalog *t, const struct mk_record_key *key)
{
    bool is;
    size_t i = table_place(t, key, &is);

    MK_ASSERT(is);
    table_remove(t, i);
}

/* Takes a place of this kind, as mk_catalog_judge said. */
static void table_make_room(struct mk_catalog *t, enum mk_record_kind kind,
                            const struct mk_source *source, uint64_t now_ns, bool needed)
{
    const struct mk_source *from = share_biggest(t, needed ? NULL : source);
    size_t i = table_victim(t, kind, from, now_ns, needed);

    if (i == t->n)
        return;
    table_remove(t, i);
    t->displaced++;
}

static struct mk_record *table_insert(struct mk_catalog *t, const struct mk_record_head *head,
                                      const struct mk_source *source, uint64_t now_ns)
{
    struct mk_record *r = mk_alloc(sizeof *r);
    bool is;
    size_t i = table_place(t, &head->key, &is);

    MK_ASSERT(!is);
    if (t->n == t->cap) {
        t->cap = t->cap == 0 ? 64 : 2 * t->cap;
        t->v = mk_realloc(t->v, t->cap * sizeof t->v[0]);
    }
    memmove(&t->v[i + 1], &t->v[i], (t->n - i) * sizeof t->v[0]);
    t->v[i] = r;
    t->n++;
    t->n_kind[head->kind]++;
    r->hash = head->hash;
    r->source = *source;
    r->since_ns = now_ns;
    share_add(t, source);
    mk_list_init(&r->recent);
    if (!chains_grow(t))
        chain_add(t, r);
    return r;
}

static void table_rehash(struct mk_catalog *t, struct mk_record *r, const struct mk_id *hash)
{
    chain_remove(t, r);
    r->hash = *hash;
    chain_add(t, r);
}

static void table_fill(struct mk_catalog *t, struct mk_record *r, const struct mk_record_head *head,
                       struct mk_bytes bytes, const struct mk_source *source)
{
    share_remove(t, &r->source);
    share_add(t, source);
    r->source = *source;
    t->bytes -= r->bytes.n + r->rival.n;
    mk_buf_done(&r->bytes);
    mk_buf_done(&r->rival);
    record_forget_value(r);
    mk_buf_put(&r->bytes, bytes.p, bytes.n);
    t->bytes += bytes.n;
    r->head = *head;
    table_rehash(t, r, &head->hash);
    if (head->expires_ms < t->next_expiry_ms)
        t->next_expiry_ms = head->expires_ms;
}

/* The hash of two conflicting records is the same whoever came first. */
static void table_add_rival(struct mk_catalog *t, struct mk_record *r,
                            const struct mk_record_head *head, struct mk_bytes bytes)
{
    bool first = mk_id_cmp(&r->head.hash, &head->hash) < 0;
    const struct mk_id *lesser = first ? &r->head.hash : &head->hash;
    const struct mk_id *greater = first ? &head->hash : &r->head.hash;
    struct mk_id both;

    mk_buf_put(&r->rival, bytes.p, bytes.n);
    t->bytes += bytes.n;
    both = mk_hash_many((struct mk_bytes[]){MK_ID_BYTES(lesser), MK_ID_BYTES(greater)}, 2);
    table_rehash(t, r, &both);
}

int mk_catalog_put(struct mk_catalog *t, const struct mk_record_head *head, struct mk_bytes bytes,
                   const struct mk_source *source, uint64_t now_ns, bool needed)
{
    int rv = mk_catalog_judge(t, head, source, now_ns, needed);
    struct mk_record *r = mk_catalog_find(t, &head->key);

    if (rv == MK_ECONFLICT) {
        table_add_rival(t, r, head, bytes);
        table_touch(t, r);
        return rv;
    }
    if (rv != 0)
        return rv;
    if (r == NULL) {
        if (table_full(t, head->kind))
            table_make_room(t, head->kind, source, now_ns, needed);
        r = table_insert(t, head, source, now_ns);
    }
    table_fill(t, r, head, bytes, source);
    table_touch(t, r);
    return 0;
}

size_t mk_catalog_purge(struct mk_catalog *t, uint64_t wall_ms, uint64_t *ret_next)
{
    uint64_t next = UINT64_MAX;
    size_t n = 0;

    *ret_next = t->next_expiry_ms;
    if (wall_ms < t->next_expiry_ms)
        return 0;
    for (size_t i = t->n; i > 0; i--) {
        uint64_t expires_ms = t->v[i - 1]->head.expires_ms;

        if (wall_ms >= expires_ms) {
            table_remove(t, i - 1);
            n++;
        } else if (expires_ms < next) {
            next = expires_ms;
        }
    }
    t->next_expiry_ms = *ret_next = next;
    return n;
}
