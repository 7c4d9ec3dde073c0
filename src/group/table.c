/* A stranger chooses session numbers; were the hash a plain one, he could put all
 * of them into one chain. So it is SipHash under a secret seed. */
#include "group/table.h"
#include "crypto/shorthash.h"

#include <string.h>

void mk_table_done(struct mk_table *t)
{
    mk_free(t->slots);
    memset(t, 0, sizeof *t);
}

static void put_u64(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

uint64_t mk_table_hash(const struct mk_table *t, const struct mk_peer *peer, uint64_t session,
                       uint64_t number)
{
    uint8_t secret[MK_SHORTHASH_KEY] = {0}, key[48];

    put_u64(secret, t->seed);
    memcpy(key, peer->b, sizeof peer->b);
    put_u64(key + 32, session);
    put_u64(key + 40, number);
    return mk_shorthash(secret, MK_BYTES(key, sizeof key));
}

static void table_grow(struct mk_table *t)
{
    size_t n_slots = t->n_slots == 0 ? 64 : t->n_slots * 2;
    struct mk_table_node **slots = mk_alloc(n_slots * sizeof(struct mk_table_node *));

    for (size_t i = 0; i < t->n_slots; i++) {
        struct mk_table_node *next;

        for (struct mk_table_node *n = t->slots[i]; n != NULL; n = next) {
            next = n->next;
            n->next = slots[n->hash & (n_slots - 1)];
            slots[n->hash & (n_slots - 1)] = n;
        }
    }
    mk_free(t->slots);
    t->slots = slots;
    t->n_slots = n_slots;
}

void mk_table_add(struct mk_table *t, struct mk_table_node *n, uint64_t hash)
{
    if (t->n >= t->n_slots)
        table_grow(t);
    n->hash = hash;
    n->next = t->slots[hash & (t->n_slots - 1)];
    t->slots[hash & (t->n_slots - 1)] = n;
    t->n++;
}

void mk_table_del(struct mk_table *t, struct mk_table_node *n)
{
    struct mk_table_node **at = &t->slots[n->hash & (t->n_slots - 1)];

    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
    n->next = NULL;
    t->n--;
}

static struct mk_table_node *same_hash(struct mk_table_node *n, uint64_t hash)
{
    while (n != NULL && n->hash != hash)
        n = n->next;
    return n;
}

struct mk_table_node *mk_table_first(const struct mk_table *t, uint64_t hash)
{
    return t->n_slots == 0 ? NULL : same_hash(t->slots[hash & (t->n_slots - 1)], hash);
}

struct mk_table_node *mk_table_next(const struct mk_table_node *n)
{
    return same_hash(n->next, n->hash);
}
