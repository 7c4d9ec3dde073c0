/* test_surface.c - commits, maps, retained history, snapshots. */
#include "unit.h"

#include "collections/surface.h"

#include <stdio.h>

static const struct mk_surface_spec specs[] = {
    {.kind = MK_SURFACE_MAP, .name = "cards", .key = &mk_text_type, .value = &mk_blob_type},
    {.kind = MK_SURFACE_STREAM, .name = "events", .value = &mk_blob_type, .retain_commits = 5},
    {.kind = MK_SURFACE_STREAM, .name = "bulk", .value = &mk_blob_type, .retain_bytes = 100},
};
#define N_SPECS (sizeof specs / sizeof specs[0])

static const struct mk_id stable = {{1}}, deployment = {{2}};

static struct mk_bytes text(const char *s)
{
    return MK_BYTES(s, strlen(s));
}

static struct mk_surfaces fresh(void)
{
    struct mk_surfaces s;

    mk_surfaces_init(&s, specs, N_SPECS, &stable, &deployment);
    return s;
}

/* The chain of ../shared/vectors: PriceTick's digest, payloads of 0, 3 and 300 bytes. */
static void test_vector_chain(void **state)
{
    struct mk_id surface =
        unit_id("19f6c35218b325395b72938e39555f02f0a085c2eda7ab8412104fa0bffd7754");
    struct mk_id dep = unit_id("026f683ee4592ba7045e4ed3ef3884b9fad7093bb5c5046494b302f4d168bde7");
    struct mk_id digest =
        unit_id("266f5f48dd77f420a972fc50382f397f353a0a6459402b2c8c07569ef8548685");
    static const uint8_t zeros[300];
    struct mk_bytes payloads[] = {{NULL, 0}, text("one"), MK_BYTES(zeros, sizeof zeros)};
    static const char *const commits[] = {
        "8ba4477e9ac55d62dd6eef095a4077bc784a4551785565f171d836c25770f27c",
        "48664558e196a61af5c2a0e11cac3d61b5c1080610763076a024be0d047a81af",
        "cf9b1255f5353e7b9e8d5fe776ab21b16933f801dc3a110787ae66bd51d32dbc"};
    struct mk_id hash = mk_commit_first(&surface, &dep);

    (void)state;
    unit_assert_id(hash, "0cdc460331f769fdc7d03f0d818c68cc9608cafbec8724e2b4b0f0af09e9f0c2");
    for (unsigned i = 0; i < 3; i++) {
        struct mk_id payload = mk_hash(payloads[i]);

        hash = mk_commit_hash(&hash, i + 1, &digest, &payload);
        unit_assert_id(hash, commits[i]);
    }
}

static struct mk_map_op op_insert(const char *key, const char *value)
{
    return (struct mk_map_op){.tag = mk_map_op_Insert, .u.insert = {text(key), text(value)}};
}

static int apply(struct mk_surface *s, struct mk_map_op op, bool *changed)
{
    uint64_t before = s->index;
    int rv;

    *changed = false;
    rv = mk_surface_map_op(s, &op, changed);
    assert_int_equal(s->index, before + (*changed ? 1 : 0));
    if (rv != 0)
        assert_false(*changed);
    return rv;
}

static void test_map_ops(void **state)
{
    struct mk_surfaces s = fresh();
    struct mk_surface *m = &s.v[0];
    struct mk_map_op op;
    struct mk_bytes v;
    bool changed;

    (void)state;
    assert_int_equal(apply(m, op_insert("a", "1"), &changed), 0);
    assert_true(changed);
    assert_int_equal(apply(m, op_insert("a", "1"), &changed), 0);
    assert_false(changed);
    assert_int_equal(mk_map_get(&s, 0, text("a"), &v), 0);
    assert_true(mk_bytes_eq(v, text("1")));

    op = (struct mk_map_op){.tag = mk_map_op_CompareSet,
                            .u.compare_set = {.key = text("a"), .value = text("2")}};
    assert_int_equal(apply(m, op, &changed), MK_EREFUSED); /* it must be absent */
    op.u.compare_set.expect.some = true;
    op.u.compare_set.expect.v = text("0");
    assert_int_equal(apply(m, op, &changed), MK_EREFUSED);
    op.u.compare_set.expect.v = text("1");
    assert_int_equal(apply(m, op, &changed), 0);
    assert_true(changed);
    op.u.compare_set.key = text("b");
    assert_int_equal(apply(m, op, &changed), MK_EREFUSED); /* it must be there */
    op.u.compare_set.expect.some = false;
    assert_int_equal(apply(m, op, &changed), 0);
    assert_true(changed);
    op = (struct mk_map_op){.tag = mk_map_op_CompareSet,
                            .u.compare_set = {text("b"), {true, text("2")}, text("2")}};
    assert_int_equal(apply(m, op, &changed), 0);
    assert_false(changed);

    op = (struct mk_map_op){.tag = mk_map_op_Remove, .u.remove = {text("c")}};
    assert_int_equal(apply(m, op, &changed), 0);
    assert_false(changed);
    op.u.remove.key = text("a");
    assert_int_equal(apply(m, op, &changed), 0);
    assert_true(changed);
    assert_int_equal(mk_map_count(&s, 0), 1);
    op = (struct mk_map_op){.tag = mk_map_op_Clear};
    assert_int_equal(apply(m, op, &changed), 0);
    assert_true(changed);
    assert_int_equal(apply(m, op, &changed), 0);
    assert_false(changed);
    assert_int_equal(m->index, 5);
    mk_surfaces_done(&s);
}

/* Each commit's hash follows from the one before; payloads decode back to the op. */
static void test_commits_chain(void **state)
{
    struct mk_surfaces s = fresh();
    struct mk_surface *m = &s.v[0];
    struct mk_id hash = m->commit;
    struct mk_commit c;
    bool changed;
    char key[16];

    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "%u", i % 30);
        apply(m, op_insert(key, i < 30 ? "x" : "y"), &changed);
    }
    assert_int_equal(m->index, 40);
    assert_int_equal(mk_surface_oldest(m), 1);
    for (uint64_t i = 1; i <= 40; i++) {
        struct mk_id payload, at;
        struct mk_map_op op;
        struct mk_arena arena = {0};

        assert_int_equal(mk_surface_commit_at(m, i, &c), 0);
        assert_int_equal(mk_decode(&op, &mk_map_op_type, c.payload, &arena, NULL), 0);
        assert_int_equal(op.tag, mk_map_op_Insert);
        payload = mk_hash(c.payload);
        hash = mk_commit_hash(&hash, i, &m->schema, &payload);
        assert_memory_equal(c.hash.b, hash.b, 32);
        assert_int_equal(mk_surface_hash_at(m, i, &at), 0);
        assert_memory_equal(at.b, hash.b, 32);
        mk_arena_done(&arena);
    }
    assert_memory_equal(m->commit.b, hash.b, 32);
    assert_int_equal(mk_surface_commit_at(m, 0, &c), MK_ENOTFOUND);
    assert_int_equal(mk_surface_commit_at(m, 41, &c), MK_ENOTFOUND);
    mk_surfaces_done(&s);
}

static void append(struct mk_surface *s, const char *item)
{
    mk_surface_commit(s, &s->schema, text(item));
}

static void test_retention(void **state)
{
    struct mk_surfaces s = fresh();
    struct mk_id before, at;
    struct mk_bytes item;
    char one[41];

    (void)state;
    for (unsigned i = 1; i <= 12; i++) {
        snprintf(one, sizeof one, "%u", i);
        before = s.v[1].commit;
        append(&s.v[1], one);
        assert_int_equal(mk_surface_hash_at(&s.v[1], i - 1, &at), 0);
        assert_memory_equal(at.b, before.b, 32);
    }
    assert_int_equal(mk_surface_oldest(&s.v[1]), 8);
    assert_int_equal(mk_stream_get(&s, 1, 7, &item), MK_ENOTFOUND);
    assert_int_equal(mk_stream_get(&s, 1, 8, &item), 0);
    assert_true(mk_bytes_eq(item, text("8")));
    assert_int_equal(mk_surface_hash_at(&s.v[1], 7, &at), 0);
    assert_int_equal(mk_surface_hash_at(&s.v[1], 6, &at), MK_ENOTFOUND);

    memset(one, 'x', 40);
    one[40] = '\0';
    for (unsigned i = 0; i < 5; i++)
        append(&s.v[2], one);
    assert_int_equal(mk_surface_oldest(&s.v[2]), 4); /* two of 40 bytes fit in 100 */
    mk_surfaces_done(&s);
}

/* A node promises more than the surface declares: kept until it is old enough and not among the
 * newest; what machines see stays the declared window, the same at every member. */
static void test_promised(void **state)
{
    const struct mk_retention more = {.commits = 8, .ms = 1000, .bytes = 500};
    struct mk_surfaces s = fresh(), plain = fresh(), back = fresh();
    struct mk_buf bytes = {0};
    struct mk_retained r;
    struct mk_bytes item;
    uint64_t clock = 10000;
    char one[16];

    (void)state;
    mk_surfaces_retain(&s, &more, &clock);
    for (unsigned i = 1; i <= 20; i++) {
        snprintf(one, sizeof one, "%u", i);
        append(&s.v[1], one);
        append(&plain.v[1], one);
    }
    assert_int_equal(mk_surface_oldest(&s.v[1]), 1); /* all are young */
    for (uint64_t i = 1; i <= 20; i++) {
        int rv = mk_stream_get(&s, 1, i, &item);

        assert_int_equal(rv, mk_stream_get(&plain, 1, i, &item));
        assert_int_equal(rv, i > 15 ? 0 : MK_ENOTFOUND);
    }
    mk_surfaces_snapshot(&s, &bytes); /* goes to a member that promises no more than declared */
    assert_int_equal(mk_surfaces_restore(&back, mk_buf_bytes(&bytes), NULL), 0);
    assert_int_equal(mk_stream_get(&back, 1, 15, &item), MK_ENOTFOUND);
    assert_int_equal(mk_stream_get(&back, 1, 16, &item), 0);
    append(&back.v[1], "21");
    assert_int_equal(mk_surface_oldest(&back.v[1]), 17);
    clock += 1001;
    append(&s.v[1], "21");
    assert_int_equal(mk_surface_oldest(&s.v[1]), 14); /* eight are left */
    mk_surface_retained(&s, 1, &r);
    assert_int_equal(r.oldest, 14);
    assert_int_equal(r.index, 21);
    assert_int_equal(r.promised.commits, 8);
    assert_int_equal(r.promised.ms, 1000);
    assert_false(r.cut);
    for (unsigned i = 0; i < 60; i++)
        append(&s.v[1], "ten bytes.");
    mk_surface_retained(&s, 1, &r);
    assert_false(r.cut); /* declared are 16 MiB, of which 500 bytes are the lesser */
    for (unsigned i = 0; i < 60; i++)
        append(&s.v[2], "ten bytes.");
    mk_surface_retained(&s, 2, &r);
    assert_true(r.cut); /* 50 of them are all that 500 bytes hold */
    assert_int_equal(r.index - r.oldest + 1, 50);
    mk_surfaces_done(&s);
    mk_surfaces_done(&plain);
    mk_surfaces_done(&back);
    mk_buf_done(&bytes);
}

/* Time stood, for a week, while these were made: they are not a week old when it goes on. */
static void test_what_is_made_while_time_stands_is_young(void **state)
{
    const struct mk_retention more = {.ms = 1000, .bytes = 100000};
    const uint64_t week = 7u * 86400u * 1000u;
    struct mk_surfaces s = fresh();
    uint64_t clock = 10000;

    (void)state;
    mk_surfaces_retain(&s, &more, &clock);
    for (unsigned i = 0; i < 20; i++)
        append(&s.v[1], "made late");
    mk_surfaces_age(&s, clock, clock + week);
    clock += week;
    append(&s.v[1], "22");
    assert_int_equal(mk_surface_oldest(&s.v[1]), 1);
    mk_surfaces_age(&s, clock, clock + 500);
    clock += 500;
    append(&s.v[1], "23");
    assert_int_equal(mk_surface_oldest(&s.v[1]), 1);
    mk_surfaces_age(&s, clock, clock + 500); /* the first twenty are old enough now */
    clock += 500;
    append(&s.v[1], "24");
    assert_true(mk_surface_oldest(&s.v[1]) > 10);
    mk_surfaces_done(&s);
}

static void test_retention_text(void **state)
{
    static const char *const bad[] = {"",
                                      "7",
                                      "d",
                                      "7 weeks",
                                      "0d",
                                      "7d,",
                                      "7d, 1h",
                                      "5 commits, 6 commits",
                                      "-1d",
                                      "7d 5h",
                                      "99999999999s",
                                      "4194305 commits",
                                      "2GiB",
                                      "a week of routes"};
    struct mk_retention r;

    (void)state;
    assert_int_equal(mk_retention_parse(&r, MK_STR("7d"), NULL), 0);
    assert_true(r.ms == 7 * 86400000ull && r.commits == 0 && r.bytes == 0);
    assert_int_equal(mk_retention_parse(&r, MK_STR("200000 commits, 36h ,512MiB"), NULL), 0);
    assert_true(r.ms == 36 * 3600000ull && r.commits == 200000 && r.bytes == 512u << 20);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct mk_fault fault = {""};

        if (mk_retention_parse(&r, mk_str_of(bad[i]), &fault) != MK_EMALFORMED)
            fail_msg("\"%s\" is accepted", bad[i]);
        assert_true(fault.text[0] != '\0');
    }
}

static void fill(struct mk_surfaces *s, unsigned n)
{
    char key[16];
    bool changed;

    for (unsigned i = 0; i < n; i++) {
        snprintf(key, sizeof key, "%u", i % 17);
        apply(&s->v[0], op_insert(key, key), &changed);
        append(&s->v[1], key);
        if (i % 4 == 0)
            append(&s->v[2], key);
    }
    s->v[0].head_index = s->v[0].index;
    s->v[0].head_time_ms = 1700000000000;
}

static void assert_round_trip(struct mk_surfaces *s)
{
    struct mk_surfaces back = fresh();
    struct mk_buf bytes = {0}, again = {0};
    struct mk_fault fault = {""};
    struct mk_id a, b;

    mk_surfaces_snapshot(s, &bytes);
    if (mk_surfaces_restore(&back, mk_buf_bytes(&bytes), &fault) != 0)
        fail_msg("%s", fault.text);
    mk_surfaces_snapshot(&back, &again);
    assert_true(mk_bytes_eq(mk_buf_bytes(&bytes), mk_buf_bytes(&again)));
    a = mk_surfaces_hash(s);
    b = mk_surfaces_hash(&back);
    assert_memory_equal(a.b, b.b, 32);
    for (unsigned i = 0; i < s->n; i++) {
        assert_int_equal(s->v[i].retired, back.v[i].retired);
        assert_int_equal(mk_surface_oldest(&s->v[i]), mk_surface_oldest(&back.v[i]));
    }
    mk_buf_done(&bytes);
    mk_buf_done(&again);
    mk_surfaces_done(&back);
}

static void test_snapshot(void **state)
{
    struct mk_surfaces s = fresh();

    (void)state;
    assert_round_trip(&s);
    for (unsigned i = 0; i < 5; i++) {
        fill(&s, 9);
        assert_round_trip(&s);
    }
    mk_surfaces_done(&s);
}

static void test_marker(void **state)
{
    struct mk_surfaces s = fresh();
    struct mk_id digest = mk_schema_digest(&mk_retirement_marker_type);
    struct mk_map_op op = op_insert("a", "1");
    struct mk_commit c;
    bool changed;

    (void)state;
    fill(&s, 3);
    for (unsigned i = 0; i < s.n; i++) {
        mk_surface_commit(&s.v[i], &digest, text("marker"));
        assert_true(s.v[i].retired);
        assert_int_equal(mk_surface_commit_at(&s.v[i], s.v[i].index, &c), 0);
        assert_memory_equal(c.digest.b, digest.b, 32);
    }
    assert_int_equal(mk_surface_map_op(&s.v[0], &op, &changed), MK_ERETIRED);
    assert_round_trip(&s);
    mk_surfaces_done(&s);
}

/* Any damaged snapshot is either refused with a reason or is another valid state's own. */
static void test_snapshot_damaged(void **state)
{
    struct mk_surfaces s = fresh();
    struct mk_buf bytes = {0};
    unsigned accepted = 0;

    (void)state;
    fill(&s, 20);
    mk_surfaces_snapshot(&s, &bytes);
    for (size_t i = 0; i < bytes.n; i++) {
        struct mk_surfaces back = fresh();
        struct mk_buf again = {0};
        struct mk_fault fault = {""};

        bytes.p[i] ^= (uint8_t)(1u << i % 8);
        if (mk_surfaces_restore(&back, mk_buf_bytes(&bytes), &fault) == 0) {
            mk_surfaces_snapshot(&back, &again);
            assert_true(mk_bytes_eq(mk_buf_bytes(&bytes), mk_buf_bytes(&again)));
            accepted++;
        } else {
            assert_int_equal(strncmp(fault.text, "snapshot", 8), 0);
        }
        bytes.p[i] ^= (uint8_t)(1u << i % 8);
        mk_buf_done(&again);
        mk_surfaces_done(&back);
    }
    assert_true(accepted < bytes.n / 2); /* values of the map, times of heads */
    for (size_t n = 0; n < bytes.n; n++) {
        struct mk_surfaces back = fresh();

        assert_int_equal(mk_surfaces_restore(&back, MK_BYTES(bytes.p, n), NULL), MK_EMALFORMED);
        mk_surfaces_done(&back);
    }
    mk_buf_done(&bytes);
    mk_surfaces_done(&s);
}

static void test_head(void **state)
{
    struct mk_surfaces s = fresh();
    struct mk_head h;

    (void)state;
    fill(&s, 10);
    mk_surface_head(&s.v[0], &h, &deployment, 3, 77);
    assert_int_equal(h.epoch, 3);
    assert_int_equal(h.time_ms, 77);
    assert_int_equal(h.index, s.v[0].index);
    assert_false(mk_id_is_zero(&h.state));
    assert_true(mk_id_eq(&h.surface, &s.v[0].id));
    mk_surface_head(&s.v[1], &h, &deployment, 3, 77);
    assert_true(mk_id_is_zero(&h.state));
    assert_ptr_equal(mk_surfaces_find(&s, &s.v[2].id), &s.v[2]);
    assert_null(mk_surfaces_find(&s, &deployment));
    mk_surfaces_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vector_chain),
        cmocka_unit_test(test_map_ops),
        cmocka_unit_test(test_commits_chain),
        cmocka_unit_test(test_retention),
        cmocka_unit_test(test_promised),
        cmocka_unit_test(test_what_is_made_while_time_stands_is_young),
        cmocka_unit_test(test_retention_text),
        cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_marker),
        cmocka_unit_test(test_snapshot_damaged),
        cmocka_unit_test(test_head),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
