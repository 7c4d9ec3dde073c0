/* chain.c - a follower's own arithmetic over what a member sends.
 *
 * Each commit is hashed onto the one before as it comes, which costs little; the map is
 * moved only when a certified head is there to hold its root against, on a fork, so that
 * a member whose changes do not add up has changed nothing. What lies before the base
 * needs no trust: a wrong commit hash there cannot lead to the certified one. */
#include "group/chain.h"

#include "base/assert.h"

void mk_chain_init(struct mk_chain *c, enum mk_surface_kind kind, const struct mk_id *schema)
{
    *c = (struct mk_chain){.is_map = mk_surface_keyed(kind),
                           .schema = *schema,
                           .marker_digest = mk_schema_digest(&mk_retirement_marker_type)};
}

static void drop_first(struct mk_chain *c)
{
    struct mk_chain_commit *p = &c->v[c->first];

    c->bytes -= p->n_payload;
    mk_free(p->payload);
    p->payload = NULL;
    c->first++;
    c->n--;
}

void mk_chain_forget(struct mk_chain *c)
{
    while (c->n > c->n_verified) {
        struct mk_chain_commit *p = &c->v[c->first + --c->n];

        c->bytes -= p->n_payload;
        mk_free(p->payload);
    }
    mk_trie_done(&c->base);
    c->based = c->fresh = false;
}

void mk_chain_done(struct mk_chain *c)
{
    while (c->n > 0)
        drop_first(c);
    mk_free(c->v);
    mk_trie_done(&c->base);
    mk_trie_done(&c->map);
    *c = (struct mk_chain){.have = false};
}

void mk_chain_continue(struct mk_chain *c)
{
    MK_ASSERT(c->have);
    mk_chain_forget(c);
    c->based = true;
    c->base_index = c->index;
    c->base_commit = c->commit;
}

void mk_chain_begin(struct mk_chain *c, uint64_t index, const struct mk_id *commit)
{
    mk_chain_forget(c);
    c->based = c->fresh = true;
    c->base_index = index;
    c->base_commit = *commit;
    c->edge = (struct mk_trie_edge){.n = 0};
    c->unordered = false;
}

/* Members send items in the order of their paths; whoever does not costs himself and us a walk. */
static void add_item(struct mk_chain *c, struct mk_bytes key, struct mk_bytes value)
{
    struct mk_id path = mk_hash(key);

    c->unordered = c->unordered || !mk_trie_append(&c->base, &c->edge, &path, key, value);
    if (c->unordered)
        mk_trie_put(&c->base, &path, key, value);
}

int mk_chain_item(struct mk_chain *c, struct mk_bytes key, struct mk_bytes value,
                  struct mk_fault *reterr)
{
    size_t count = c->base.count;

    MK_ASSERT(c->based && c->fresh && c->is_map);
    if (key.n > MK_KEY_MAX || value.n > MK_VALUE_MAX)
        return mk_fault(reterr, MK_ELIMIT, "the snapshot has a key or value over its limit");
    if (c->base.bytes + key.n + value.n > MK_CHAIN_SNAPSHOT_MAX)
        return mk_fault(reterr, MK_ELIMIT, "the snapshot has more than %u bytes",
                        MK_CHAIN_SNAPSHOT_MAX);
    add_item(c, key, value);
    if (c->base.count == count)
        return mk_fault(reterr, MK_ESIGNATURE, "the snapshot has a key twice");
    return 0;
}

static void make_room(struct mk_chain *c)
{
    size_t cap = c->cap < 16 ? 16 : c->cap * 2;

    if (c->first + c->n < c->cap)
        return;
    if (c->first > 0 && c->first >= c->cap / 2) {
        for (size_t i = 0; i < c->n; i++)
            c->v[i] = c->v[c->first + i];
        c->first = 0;
        return;
    }
    c->v = mk_realloc(c->v, cap * sizeof *c->v);
    c->cap = cap;
}

uint64_t mk_chain_last(const struct mk_chain *c)
{
    return c->base_index + (c->n - c->n_verified);
}

static const struct mk_id *last_hash(const struct mk_chain *c)
{
    return c->n > c->n_verified ? &c->v[c->first + c->n - 1].hash : &c->base_commit;
}

int mk_chain_push(struct mk_chain *c, struct mk_bytes payload, bool marker, struct mk_fault *reterr)
{
    struct mk_id payload_hash = mk_hash(payload);
    uint64_t index = mk_chain_last(c) + 1;
    struct mk_id before, hash;

    MK_ASSERT(c->based);
    if (payload.n > MK_PAYLOAD_MAX)
        return mk_fault(reterr, MK_ELIMIT, "commit %llu is over the limit",
                        (unsigned long long)index);
    if (c->bytes + payload.n > MK_CHAIN_PENDING_MAX)
        return mk_fault(reterr, MK_ELIMIT, "more than %u bytes of commits and no certificate",
                        MK_CHAIN_PENDING_MAX);
    before = *last_hash(c);
    hash = mk_commit_hash(&before, index, marker ? &c->marker_digest : &c->schema, &payload_hash);
    make_room(c);
    c->v[c->first + c->n++] = (struct mk_chain_commit){.index = index,
                                                       .before = before,
                                                       .hash = hash,
                                                       .payload = mk_memdup(payload.p, payload.n),
                                                       .n_payload = (uint32_t)payload.n,
                                                       .marker = marker};
    c->bytes += payload.n;
    return 0;
}

/* --- against a certified head ---------------------------------------------------------- */

static int apply_one(struct mk_trie *map, const struct mk_chain_commit *p, struct mk_fault *reterr)
{
    struct mk_arena arena = {0};
    struct mk_map_op op;
    bool changed = false;
    int rv;

    if (p->marker)
        return 0; /* the state root stays */
    rv = mk_decode(&op, &mk_map_op_type, MK_BYTES(p->payload, p->n_payload), &arena, NULL);
    if (rv == 0)
        rv = mk_map_apply(map, &op, &changed);
    mk_arena_done(&arena);
    if (rv != 0 || !changed)
        return mk_fault(reterr, MK_ESIGNATURE, "change %llu is none", (unsigned long long)p->index);
    return 0;
}

static int certify_map(struct mk_chain *c, size_t n, const struct mk_head *head,
                       struct mk_trie *ret, struct mk_fault *reterr)
{
    struct mk_trie map;
    struct mk_id root;
    int rv = 0;

    mk_trie_fork(&map, c->fresh ? &c->base : &c->map);
    for (size_t i = 0; i < n && rv == 0; i++)
        rv = apply_one(&map, &c->v[c->first + c->n_verified + i], reterr);
    if (rv == 0) {
        root = mk_trie_root(&map);
        if (!mk_id_eq(&root, &head->state))
            rv = mk_fault(reterr, MK_ESIGNATURE,
                          "%s does not add up to the certified root of index %llu",
                          !c->fresh ? "what it served of changes"
                          : n > 0   ? "its snapshot with the changes after it"
                                    : "its snapshot",
                          (unsigned long long)head->index);
    }
    if (rv != 0) {
        mk_trie_done(&map);
        return rv;
    }
    *ret = map;
    return 0;
}

int mk_chain_certify(struct mk_chain *c, const struct mk_head *head, bool *ret_fresh,
                     struct mk_fault *reterr)
{
    struct mk_trie map = {0};
    const struct mk_id *there;
    size_t n;
    int rv;

    if (!c->based || head->index < c->base_index || head->index > mk_chain_last(c))
        return MK_ENOTFOUND;
    n = (size_t)(head->index - c->base_index);
    there = n == 0 ? &c->base_commit : &c->v[c->first + c->n_verified + n - 1].hash;
    if (!mk_id_eq(there, &head->commit))
        return mk_fault(reterr, MK_ESIGNATURE,
                        "what it served does not add up to the certified commit of index %llu",
                        (unsigned long long)head->index);
    if (c->is_map) {
        rv = certify_map(c, n, head, &map, reterr);
        if (rv != 0)
            return rv;
        mk_trie_done(&c->map);
        c->map = map;
    }
    *ret_fresh = c->fresh;
    mk_trie_done(&c->base);
    c->fresh = false;
    c->have = true;
    c->index = c->base_index = head->index;
    c->commit = c->base_commit = head->commit;
    c->n_verified += n;
    return 0;
}

bool mk_chain_take(struct mk_chain *c, struct mk_chain_commit *ret)
{
    if (c->n_verified == 0)
        return false;
    *ret = c->v[c->first];
    c->v[c->first].payload = NULL;
    c->n_verified--;
    drop_first(c);
    return true;
}
