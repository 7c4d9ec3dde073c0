/* order.c - a treap: a search tree by key and a heap by dice, so that it is balanced
 * whatever the order of the insertions. The dice are a fixed sequence; the shape of the
 * tree is nothing that anybody can see. Depth is a few times log2 n, so recursion is
 * bounded by that. */
#include "collections/order.h"

#include "base/assert.h"
#include <mosaik/error.h>

#include <string.h>

struct mk_order_node {
    struct mk_order_node *left, *right;
    size_t count; /* of this subtree */
    uint64_t note;
    uint32_t dice;
    uint32_t n;
    uint8_t key[];
};

static size_t count_of(const struct mk_order_node *t)
{
    return t != NULL ? t->count : 0;
}

static struct mk_bytes key_of(const struct mk_order_node *t)
{
    return MK_BYTES(t->key, t->n);
}

static struct mk_order_node *counted(struct mk_order_node *t)
{
    t->count = 1 + count_of(t->left) + count_of(t->right);
    return t;
}

/* Keys below `key` to *below, the others to *rest. */
static void split(struct mk_order_node *t, struct mk_bytes key, struct mk_order_node **below,
                  struct mk_order_node **rest)
{
    if (t == NULL) {
        *below = *rest = NULL;
    } else if (mk_bytes_cmp(key_of(t), key) < 0) {
        split(t->right, key, &t->right, rest);
        *below = counted(t);
    } else {
        split(t->left, key, below, &t->left);
        *rest = counted(t);
    }
}

/* Every key of a is smaller than every key of b. */
static struct mk_order_node *merge(struct mk_order_node *a, struct mk_order_node *b)
{
    if (a == NULL)
        return b;
    if (b == NULL)
        return a;
    if (a->dice > b->dice) {
        a->right = merge(a->right, b);
        return counted(a);
    }
    b->left = merge(a, b->left);
    return counted(b);
}

static uint32_t roll(struct mk_order *o)
{
    uint64_t x = o->dice != 0 ? o->dice : 0x9e3779b97f4a7c15u;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    o->dice = x;
    return (uint32_t)(x >> 32);
}

static struct mk_order_node *find(const struct mk_order *o, struct mk_bytes key)
{
    struct mk_order_node *t = o->root;

    while (t != NULL) {
        int c = mk_bytes_cmp(key, key_of(t));

        if (c == 0)
            return t;
        t = c < 0 ? t->left : t->right;
    }
    return NULL;
}

static void free_all(struct mk_order_node *t)
{
    if (t == NULL)
        return;
    free_all(t->left);
    free_all(t->right);
    mk_free(t);
}

void mk_order_done(struct mk_order *o)
{
    free_all(o->root);
    *o = (struct mk_order){.root = NULL};
}

size_t mk_order_count(const struct mk_order *o)
{
    return count_of(o->root);
}

void mk_order_put(struct mk_order *o, struct mk_bytes key, uint64_t note)
{
    struct mk_order_node *t = find(o, key), *below, *rest;

    if (t != NULL) {
        t->note = note;
        return;
    }
    t = mk_alloc(sizeof *t + key.n);
    t->count = 1;
    t->note = note;
    t->dice = roll(o);
    t->n = (uint32_t)key.n;
    if (key.n > 0)
        memcpy(t->key, key.p, key.n);
    split(o->root, key, &below, &rest);
    o->root = merge(merge(below, t), rest);
}

/* t without the node of `key`, which is there. */
static struct mk_order_node *without(struct mk_order_node *t, struct mk_bytes key)
{
    int c = mk_bytes_cmp(key, key_of(t));

    if (c == 0) {
        struct mk_order_node *rest = merge(t->left, t->right);

        mk_free(t);
        return rest;
    }
    if (c < 0)
        t->left = without(t->left, key);
    else
        t->right = without(t->right, key);
    return counted(t);
}

bool mk_order_remove(struct mk_order *o, struct mk_bytes key)
{
    if (find(o, key) == NULL)
        return false;
    o->root = without(o->root, key);
    return true;
}

int mk_order_find(const struct mk_order *o, struct mk_bytes key, uint64_t *ret_note)
{
    const struct mk_order_node *t = find(o, key);

    if (t == NULL)
        return MK_ENOTFOUND;
    *ret_note = t->note;
    return 0;
}

struct mk_bytes mk_order_at(const struct mk_order *o, size_t i)
{
    const struct mk_order_node *t = o->root;

    MK_ASSERT(i < count_of(t));
    while (i != count_of(t->left)) {
        if (i < count_of(t->left)) {
            t = t->left;
        } else {
            i -= count_of(t->left) + 1;
            t = t->right;
        }
    }
    return key_of(t);
}

size_t mk_order_rank(const struct mk_order *o, struct mk_bytes key)
{
    const struct mk_order_node *t = o->root;
    size_t n = 0;

    while (t != NULL) {
        if (mk_bytes_cmp(key_of(t), key) < 0) {
            n += count_of(t->left) + 1;
            t = t->right;
        } else {
            t = t->left;
        }
    }
    return n;
}
