/* chain.c - a follower's chain fed with what a member may send, in any order: whatever is
 * verified has the certified root, and verified commits come out one after the other. */
#include "targets.h"

#include "group/chain.h"

static struct mk_bytes some(struct mk_reader *r, size_t max)
{
    size_t n = mk_read_u8(r) % (max + 1);

    return mk_read_bytes(r, n <= r->n ? n : r->n);
}

/* The commit hash and the root that the chain would have at this index, if it is there. */
static bool honest_head(const struct mk_chain *c, struct mk_head *h)
{
    struct mk_trie t;
    bool changed;

    if (h->index < c->base_index || h->index > mk_chain_last(c))
        return false;
    mk_trie_fork(&t, c->fresh ? &c->base : &c->map);
    h->commit = c->base_commit;
    for (size_t i = 0; i < (size_t)(h->index - c->base_index); i++) {
        const struct mk_chain_commit *p = &c->v[c->first + c->n_verified + i];
        struct mk_arena arena = {0};
        struct mk_map_op op;

        h->commit = p->hash;
        if (!p->marker &&
            mk_decode(&op, &mk_map_op_type, MK_BYTES(p->payload, p->n_payload), &arena, NULL) == 0)
            mk_map_apply(&t, &op, &changed);
        mk_arena_done(&arena);
    }
    h->state = mk_trie_root(&t);
    mk_trie_done(&t);
    return true;
}

static void certify(struct mk_chain *c, struct mk_reader *r)
{
    uint8_t how = mk_read_u8(r);
    struct mk_head h = {.index = c->base_index + how % 16};
    uint64_t before = c->index;
    struct mk_id root;
    bool fresh, there;
    int rv;

    there = c->based && honest_head(c, &h);
    if (how & 0x40)
        h.commit.b[3] ^= 1;
    if (how & 0x80)
        h.state.b[3] ^= 1;
    rv = mk_chain_certify(c, &h, &fresh, NULL);
    FUZZ_CHECK(rv == 0 || rv == MK_ENOTFOUND || rv == MK_ESIGNATURE);
    FUZZ_CHECK((rv == MK_ENOTFOUND) == !there);
    if (rv != 0) {
        FUZZ_CHECK(c->index == before);
        return;
    }
    FUZZ_CHECK((how & 0xc0) == 0);
    root = mk_trie_root(&c->map);
    FUZZ_CHECK(c->have && c->index == h.index && mk_id_eq(&root, &h.state));
}

static void push(struct mk_chain *c, struct mk_reader *r)
{
    struct mk_map_op op = {.tag = mk_map_op_Insert};
    uint8_t how = mk_read_u8(r);
    struct mk_buf b = {0};

    op.u.insert.key = some(r, 2);
    op.u.insert.value = some(r, 3);
    mk_encode(&b, &mk_map_op_type, &op);
    mk_chain_push(c, how & 1 ? some(r, 12) : mk_buf_bytes(&b), how & 2, NULL);
    mk_buf_done(&b);
}

static void take(struct mk_chain *c, uint64_t *last)
{
    struct mk_chain_commit one;

    if (!mk_chain_take(c, &one))
        return;
    FUZZ_CHECK(one.index > *last && one.index <= c->index);
    *last = one.index;
    mk_free(one.payload);
}

bool fuzz_chain(const uint8_t *p, size_t n)
{
    struct mk_reader r = {.p = p, .n = n};
    struct mk_chain c;
    uint64_t last = 0;

    mk_chain_init(&c, MK_SURFACE_MAP, &MK_UNIVERSE);
    while (!r.failed && r.n > 0) {
        switch (mk_read_u8(&r) % 8) {
        case 0: /* never behind what is verified: follow.c sees to that */
            mk_chain_begin(&c, c.index + mk_read_u8(&r) % 4, &MK_UNIVERSE);
            break;
        case 1:
            if (c.have)
                mk_chain_continue(&c);
            break;
        case 2:
            if (c.based && c.fresh && c.n == c.n_verified)
                mk_chain_item(&c, some(&r, 3), some(&r, 3), NULL);
            break;
        case 3:
            mk_chain_forget(&c);
            break;
        case 4:
            take(&c, &last);
            break;
        case 5:
            certify(&c, &r);
            break;
        default:
            if (c.based)
                push(&c, &r);
            break;
        }
    }
    mk_chain_done(&c);
    return true;
}

void fuzz_make_chain(struct fuzz_random *r, struct mk_buf *out)
{
    for (uint64_t n = 4 + fuzz_below(r, 60); n > 0; n--)
        mk_buf_put_u8(out, (uint8_t)fuzz_u64(r) & (fuzz_below(r, 4) ? 0x07 : 0xff));
}
