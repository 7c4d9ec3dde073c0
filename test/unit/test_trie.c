/* test_trie.c - the trie against the specification's words and a naive model. */
#include "unit.h"

#include "collections/trie.h"

#include <stdio.h>
#include <stdlib.h>

/* --- the naive model: sorted items, and the rule of identity.md word for word ------------ */

struct item {
    struct mk_id path;
    char key[16];
    char value[16];
};

struct model {
    struct item v[512];
    size_t n;
};

static struct mk_bytes text(const char *s)
{
    return MK_BYTES(s, strlen(s));
}

static int by_path(const void *a, const void *b)
{
    return mk_id_cmp(&((const struct item *)a)->path, &((const struct item *)b)->path);
}

static struct mk_id tagged(const char *tag, struct mk_id a, struct mk_id b)
{
    struct mk_hasher h;

    mk_hasher_init(&h);
    mk_hasher_put_str(&h, tag);
    mk_hasher_put(&h, a.b, 32);
    mk_hasher_put(&h, b.b, 32);
    return mk_hasher_end(&h);
}

static struct mk_id naive_root(const struct item *v, size_t n, unsigned depth)
{
    size_t zeros = 0;

    if (n == 0)
        return MK_ZERO_ID;
    if (n == 1)
        return tagged("leaf|", v->path, mk_hash(text(v->value)));
    while (zeros < n && (v[zeros].path.b[depth / 8] >> (7 - depth % 8) & 1) == 0)
        zeros++;
    return tagged("node|", naive_root(v, zeros, depth + 1),
                  naive_root(v + zeros, n - zeros, depth + 1));
}

static struct item *model_find(struct model *m, const char *key)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->v[i].key, key) == 0)
            return &m->v[i];
    return NULL;
}

static bool model_set(struct model *m, const char *key, const char *value)
{
    struct item *i = model_find(m, key);
    bool changed = i == NULL || strcmp(i->value, value) != 0;

    if (i == NULL) {
        i = &m->v[m->n++];
        i->path = mk_hash(text(key));
        snprintf(i->key, sizeof i->key, "%s", key);
    }
    snprintf(i->value, sizeof i->value, "%s", value);
    qsort(m->v, m->n, sizeof m->v[0], by_path);
    return changed;
}

static bool model_remove(struct model *m, const char *key)
{
    struct item *i = model_find(m, key);

    if (i == NULL)
        return false;
    memmove(i, i + 1, (size_t)(&m->v[m->n] - (i + 1)) * sizeof *i);
    m->n--;
    return true;
}

static void assert_same(struct mk_trie *t, struct model *m)
{
    struct mk_id root = naive_root(m->v, m->n, 0), got = mk_trie_root(t), cursor = MK_ZERO_ID;
    struct mk_bytes key, value;
    size_t bytes = 0, i = 0;

    assert_memory_equal(root.b, got.b, 32);
    while (mk_trie_next(t, &cursor, &key, &value)) {
        assert_true(i < m->n);
        assert_true(mk_bytes_eq(key, text(m->v[i].key)));
        assert_true(mk_bytes_eq(value, text(m->v[i].value)));
        bytes += key.n + value.n;
        i++;
    }
    assert_int_equal(i, m->n);
    assert_int_equal(t->count, m->n);
    assert_int_equal(t->bytes, bytes);
}

/* --- tests ---------------------------------------------------------------------------------- */

static void set(struct mk_trie *t, const char *key, const char *value)
{
    assert_true(mk_trie_set(t, text(key), text(value)));
}

static void test_vectors(void **state)
{
    struct mk_trie t = {0};
    char key[16], value[16];

    (void)state;
    assert_true(mk_id_is_zero(&(struct mk_id){{0}}));
    unit_assert_id(mk_trie_root(&t),
                   "0000000000000000000000000000000000000000000000000000000000000000");
    set(&t, "a", "1");
    unit_assert_id(mk_trie_root(&t),
                   "f1386d089bae044d768f9c68cbc8d6c33ef8d7e85a6000ae9c5e35bc6fb3e09f");
    set(&t, "b", "2");
    unit_assert_id(mk_trie_root(&t),
                   "c049839333dd78f1fff9c64c51e1a9e6d31e42b9ce94e5871a775caa5335d456");
    mk_trie_done(&t);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%u", i);
        snprintf(value, sizeof value, "v%u", i);
        set(&t, key, value);
    }
    unit_assert_id(mk_trie_root(&t),
                   "28b456e39591a2fcf6e6ceca568a54b09ed83eb5d43fe5a9e6ab49e006409b98");
    mk_trie_done(&t);
}

static uint64_t next_random(uint64_t *s)
{
    *s = *s * 6364136223846793005ull + 1442695040888963407ull;
    return *s >> 33;
}

/* Random changes; some of the way a fork is taken, which must not move when the
 * original does; the root is asked for at random times, so caches are met in all states. */
static void run_model(uint64_t seed)
{
    static struct model m, at_fork;
    struct mk_trie t = {0}, fork = {0};
    char key[16], value[16];

    m.n = at_fork.n = 0;
    for (unsigned step = 0; step < 1500; step++) {
        snprintf(key, sizeof key, "key%u", (unsigned)(next_random(&seed) % 300));
        snprintf(value, sizeof value, "%u", (unsigned)(next_random(&seed) % 4));
        if (next_random(&seed) % 3 == 0)
            assert_int_equal(mk_trie_remove(&t, text(key)), model_remove(&m, key));
        else
            assert_int_equal(mk_trie_set(&t, text(key), text(value)), model_set(&m, key, value));
        if (next_random(&seed) % 50 == 0)
            mk_trie_root(&t);
        if (next_random(&seed) % 100 == 0) {
            assert_same(&fork, &at_fork);
            mk_trie_done(&fork);
            mk_trie_fork(&fork, &t);
            at_fork = m;
        }
    }
    assert_same(&t, &m);
    assert_same(&fork, &at_fork);
    while (m.n > 0) {
        memcpy(key, m.v[m.n / 2].key, sizeof key);
        assert_true(mk_trie_remove(&t, text(key)));
        model_remove(&m, key);
    }
    assert_same(&t, &m);
    assert_null(t.root);
    assert_same(&fork, &at_fork);
    mk_trie_done(&t);
    mk_trie_done(&fork);
}

static void test_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++)
        run_model(seed);
}

/* --- many changes between two roots ------------------------------------------------------- */

#define MANY 6000u

struct known {
    struct mk_id path, value;
};

static int by_known(const void *a, const void *b)
{
    return mk_id_cmp(&((const struct known *)a)->path, &((const struct known *)b)->path);
}

static struct mk_id known_root(const struct known *v, size_t n, unsigned depth)
{
    size_t zeros = 0;

    if (n == 0)
        return MK_ZERO_ID;
    if (n == 1)
        return tagged("leaf|", v->path, v->value);
    while (zeros < n && (v[zeros].path.b[depth / 8] >> (7 - depth % 8) & 1) == 0)
        zeros++;
    return tagged("node|", known_root(v, zeros, depth + 1),
                  known_root(v + zeros, n - zeros, depth + 1));
}

/* lengths[k] < 0: key k is not there. Values: key k at version versions[k], that long. */
static struct mk_id many_root(const int *lengths, const unsigned *versions)
{
    static struct known v[MANY];
    static uint8_t value[1200];
    size_t n = 0;

    for (unsigned k = 0; k < MANY; k++) {
        if (lengths[k] < 0)
            continue;
        memset(value, (int)(versions[k] & 0xff), sizeof value);
        v[n++] = (struct known){mk_hash(MK_BYTES(&k, sizeof k)),
                                mk_hash(MK_BYTES(value, (size_t)lengths[k]))};
    }
    qsort(v, n, sizeof v[0], by_known);
    return known_root(v, n, 0);
}

static void assert_root(struct mk_trie *t, struct mk_id wanted)
{
    struct mk_id root = mk_trie_root(t);

    assert_memory_equal(root.b, wanted.b, sizeof root.b);
}

/* Roots of a map that changed in thousands of places, in some, in one; of all lengths of values,
 * while forks share its nodes. */
static void test_many(void **state)
{
    static const unsigned batches[] = {6000, 1, 2000, 15, 16, 17, 300, 4000, 2, 65};
    static int lengths[MANY];
    static unsigned versions[MANY];
    static uint8_t value[1200];
    struct mk_trie t = {0}, fork = {0};
    struct mk_id forked = MK_ZERO_ID;
    uint64_t x = 1;

    (void)state;
    for (unsigned k = 0; k < MANY; k++)
        lengths[k] = -1;
    for (unsigned b = 0; b < sizeof batches / sizeof batches[0]; b++) {
        for (unsigned i = 0; i < batches[b]; i++) {
            unsigned k;

            x = x * 6364136223846793005u + 1442695040888963407u;
            k = b == 0 ? i : (unsigned)(x >> 33) % MANY;
            lengths[k] = (x >> 20 & 7) == 0 ? -1 : (int)((x >> 24) % 3 == 0 ? x >> 40 & 1023 : 128);
            if ((x >> 44 & 255) == 0)
                lengths[k] = 1100;
            versions[k] = (unsigned)(x >> 50);
            memset(value, (int)(versions[k] & 0xff), sizeof value);
            if (lengths[k] < 0)
                mk_trie_remove(&t, MK_BYTES(&k, sizeof k));
            else
                mk_trie_set(&t, MK_BYTES(&k, sizeof k), MK_BYTES(value, (size_t)lengths[k]));
            if (i == batches[b] / 2) { /* forked with hashes that are not there yet */
                mk_trie_done(&fork);
                mk_trie_fork(&fork, &t);
                forked = many_root(lengths, versions);
            }
        }
        assert_root(&t, many_root(lengths, versions));
        assert_root(&fork, forked);
    }
    mk_trie_done(&fork);
    mk_trie_done(&t);
}

/* A map that is filled in order is the same one; so are its roots, whoever computed which part. */
static void test_append(void **state)
{
    static const unsigned counts[] = {1, 2, 3, 7, 64, 65, 1000, 5000};

    (void)state;
    for (unsigned c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        struct mk_trie t = {0}, in_order = {0};
        struct mk_trie_edge edge = {.n = 0};
        struct mk_trie_part parts[32];
        struct mk_trie_walk walk;
        struct mk_bytes key, value;
        unsigned added = 0;
        size_t n;

        for (unsigned k = 0; k < counts[c]; k++)
            mk_trie_set(&t, MK_BYTES(&k, sizeof k), MK_BYTES("value", 1 + k % 5));
        mk_trie_walk_begin(&walk, &t);
        while (mk_trie_walk_next(&walk, &key, &value)) {
            struct mk_id path = mk_hash(key), first = MK_ZERO_ID;

            assert_true(mk_trie_append(&in_order, &edge, &path, key, value));
            assert_false(mk_trie_append(&in_order, &edge, &path, key, value));
            assert_false(mk_trie_append(&in_order, &edge, &first, key, value));
            if (c % 2 == 1 && ++added % 100 == 3) /* some of it is hashed on the way */
                mk_trie_edge_hash(&edge);
        }
        assert_int_equal(in_order.count, t.count);
        assert_int_equal(in_order.bytes, t.bytes);
        n = mk_trie_parts(&in_order, parts, 32);
        if (c % 2 == 0)
            assert_int_equal(n, counts[c] == 1 ? 0 : counts[c] < 32 ? counts[c] : 32);
        for (size_t i = 0; i < n; i++)
            mk_trie_part_hash(&parts[n - 1 - i]);
        for (size_t i = 0; i < n; i++)
            mk_trie_part_done(&parts[i]);
        assert_root(&in_order, mk_trie_root(&t));
        assert_int_equal(mk_trie_parts(&in_order, parts, 32), 0);
        mk_trie_set(&in_order, MK_BYTES("x", 1), MK_BYTES("y", 1));
        mk_trie_set(&t, MK_BYTES("x", 1), MK_BYTES("y", 1));
        assert_root(&in_order, mk_trie_root(&t));
        mk_trie_done(&t);
        mk_trie_done(&in_order);
    }
}

static void test_get(void **state)
{
    struct mk_trie t = {0};
    struct mk_bytes v;

    (void)state;
    assert_int_equal(mk_trie_get(&t, text("a"), &v), MK_ENOTFOUND);
    set(&t, "a", "");
    set(&t, "", "empty key");
    assert_int_equal(mk_trie_get(&t, text("a"), &v), 0);
    assert_int_equal(v.n, 0);
    assert_int_equal(mk_trie_get(&t, text(""), &v), 0);
    assert_true(mk_bytes_eq(v, text("empty key")));
    assert_int_equal(mk_trie_get(&t, text("b"), &v), MK_ENOTFOUND);
    assert_false(mk_trie_remove(&t, text("b")));
    assert_false(mk_trie_set(&t, text("a"), text("")));
    mk_trie_done(&t);
}

/* Order of insertion and removed keys leave no trace. */
static void test_history_independent(void **state)
{
    struct mk_trie a = {0}, b = {0};
    struct mk_id ra, rb;
    char key[16];

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "%u", i);
        set(&a, key, key);
        snprintf(key, sizeof key, "%u", 120 - i);
        set(&b, key, key);
    }
    for (unsigned i = 100; i <= 120; i++) {
        snprintf(key, sizeof key, "%u", i);
        assert_true(mk_trie_remove(&b, text(key)));
    }
    for (unsigned i = 0; i <= 20; i++) {
        snprintf(key, sizeof key, "%u", i);
        mk_trie_set(&b, text(key), text(key));
    }
    ra = mk_trie_root(&a);
    rb = mk_trie_root(&b);
    assert_memory_equal(ra.b, rb.b, 32);
    mk_trie_done(&a);
    mk_trie_done(&b);
}

/* --- proofs ------------------------------------------------------------------------------------
 */

static int check(const struct mk_id *root, const char *key, const char *value,
                 const struct mk_map_proof *p)
{
    struct mk_bytes v = value == NULL ? MK_BYTES(NULL, 0) : text(value);

    return mk_map_proof_check(root, text(key), value == NULL ? NULL : &v, p, NULL);
}

/* Every way of bending an honest proof is refused. */
static void check_forgeries(const struct mk_id *root, const char *key, const char *value,
                            const struct mk_map_proof *honest, struct mk_arena *arena)
{
    struct mk_map_proof p = *honest;
    struct mk_id *siblings = mk_arena_take(arena, (honest->siblings.n + 1) * sizeof *siblings);
    struct mk_id other_root = *root;

    for (size_t i = 0; i < honest->siblings.n; i++)
        siblings[i] = honest->siblings.v[i];
    assert_int_equal(check(root, key, value, honest), 0);
    assert_int_equal(check(root, key, "forged", honest), MK_ESIGNATURE);
    if (value != NULL)
        assert_int_equal(check(root, key, NULL, honest), MK_ESIGNATURE);
    assert_int_equal(check(root, "another key", value == NULL ? "x" : value, honest),
                     MK_ESIGNATURE);
    other_root.b[31] ^= 1;
    assert_int_equal(check(&other_root, key, value, honest), MK_ESIGNATURE);
    p.siblings.v = siblings;
    for (size_t i = 0; i < honest->siblings.n; i++) {
        siblings[i].b[7] ^= 0x10;
        assert_int_equal(check(root, key, value, &p), MK_ESIGNATURE);
        siblings[i].b[7] ^= 0x10;
    }
    if (p.siblings.n > 0) {
        p.siblings.n--;
        assert_int_equal(check(root, key, value, &p), MK_ESIGNATURE);
        p.siblings.n++;
    }
    siblings[p.siblings.n] = MK_ZERO_ID;
    p.siblings.n++;
    assert_int_equal(check(root, key, value, &p), MK_ESIGNATURE);
    p = *honest;
    p.other.some = !p.other.some;
    if (p.other.some)
        p.other.v = (struct mk_map_leaf){mk_hash(text(key)), mk_hash(text("x"))};
    assert_int_equal(check(root, key, value, &p), MK_ESIGNATURE);
    if (honest->other.some) {
        p = *honest;
        p.other.v.value.b[0] ^= 1;
        assert_int_equal(check(root, key, value, &p), MK_ESIGNATURE);
        p = *honest;
        p.other.v.key = mk_hash(text(key)); /* the key itself, sold as another's */
        assert_int_equal(check(root, key, value, &p), MK_ESIGNATURE);
    }
}

static void prove_all(unsigned n)
{
    struct mk_trie t = {0};
    struct mk_map_proof p;
    struct mk_arena arena = {0};
    struct mk_id root;
    char key[16];

    for (unsigned i = 0; i < n; i++) {
        snprintf(key, sizeof key, "%u", i);
        set(&t, key, key);
    }
    root = mk_trie_root(&t);
    for (unsigned i = 0; i < n + 60; i++) {
        struct mk_id again;

        snprintf(key, sizeof key, "%u", i);
        mk_trie_prove(&t, &p, text(key), &arena);
        assert_true(p.siblings.n <= 256);
        if (i < n)
            check_forgeries(&root, key, key, &p, &arena);
        else
            check_forgeries(&root, key, NULL, &p, &arena);
        again = mk_trie_root(&t);
        assert_memory_equal(again.b, root.b, 32);
    }
    mk_arena_done(&arena);
    mk_trie_done(&t);
}

static void test_proofs(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 12; n++)
        prove_all(n);
    prove_all(200);
}

static void test_proof_too_deep(void **state)
{
    static struct mk_id siblings[257];
    struct mk_map_proof p = {.siblings = {.v = siblings, .n = 257}};
    struct mk_fault fault;

    (void)state;
    assert_int_equal(mk_map_proof_check(&MK_ZERO_ID, text("a"), NULL, &p, &fault), MK_ESIGNATURE);
    assert_string_equal(fault.text, "the proof has more than 256 levels");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors), cmocka_unit_test(test_model),
        cmocka_unit_test(test_many),    cmocka_unit_test(test_append),
        cmocka_unit_test(test_get),     cmocka_unit_test(test_history_independent),
        cmocka_unit_test(test_proofs),  cmocka_unit_test(test_proof_too_deep),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
