/* Texts and their numbers: open addressing, grown at two thirds. */
#include "linear_int.h"

#include <string.h>

static uint64_t hash_of(const void *p, size_t n)
{
    const uint8_t *b = p;
    uint64_t h = n, word;

    for (; n >= 8; b += 8, n -= 8) {
        memcpy(&word, b, 8);
        h = (h ^ word) * 0x9e3779b97f4a7c15ull;
        h ^= h >> 32;
    }
    for (; n > 0; b++, n--)
        h = (h ^ *b) * 0x100000001b3ull;
    return h ^ h >> 29;
}

static void grow(struct mk_texts *t)
{
    mk_free(t->table);
    t->table_n = t->table_n == 0 ? 64 : 2 * t->table_n;
    t->table = mk_alloc(t->table_n * sizeof *t->table);
    for (size_t i = 0; i < t->n; i++) {
        size_t at = hash_of(t->v[i].p, t->v[i].n) & (t->table_n - 1);

        while (t->table[at] != 0)
            at = (at + 1) & (t->table_n - 1);
        t->table[at] = (uint32_t)(i + 1);
    }
}

uint64_t mk_texts_number(struct mk_texts *t, const void *p, size_t n)
{
    size_t at;

    if (3 * (t->n + 1) > 2 * t->table_n)
        grow(t);
    for (at = hash_of(p, n) & (t->table_n - 1); t->table[at] != 0;
         at = (at + 1) & (t->table_n - 1)) {
        struct mk_str s = t->v[t->table[at] - 1];

        if (s.n == n && (n == 0 || memcmp(s.p, p, n) == 0))
            return t->table[at];
    }
    if (t->n == t->cap) {
        t->cap = t->cap == 0 ? 64 : 2 * t->cap;
        t->v = mk_realloc(t->v, t->cap * sizeof *t->v);
    }
    t->v[t->n++] = (struct mk_str){mk_arena_copy(&t->mem, p, n), n};
    t->bytes += n + sizeof *t->v;
    t->table[at] = (uint32_t)t->n;
    return t->n;
}

struct mk_str mk_texts_text(const struct mk_texts *t, uint64_t number)
{
    MK_ASSERT(number <= t->n);
    return number == 0 ? MK_STR("") : t->v[number - 1];
}

void mk_texts_done(struct mk_texts *t)
{
    mk_arena_done(&t->mem);
    mk_free(t->v);
    mk_free(t->table);
    memset(t, 0, sizeof *t);
}
