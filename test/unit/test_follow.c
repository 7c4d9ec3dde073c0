/* test_follow.c - readers of surfaces: honest members, slow readers, members that lie. */
#include "reader_bed.h"

#include "group/rooting.h"

static void put_n(struct bed *b, unsigned from, unsigned n)
{
    char key[16], value[16];

    for (unsigned i = from; i < from + n; i++) {
        snprintf(key, sizeof key, "k%u", i % 50);
        snprintf(value, sizeof value, "v%u", i);
        bed_put(b, key, value);
        bed_append(b, value);
    }
}

/* So many keys that their root is computed on other threads. */
static void put_many(struct bed *b)
{
    char key[16];

    for (unsigned i = 0; i < MK_ROOTING_MIN + 500; i++) {
        snprintf(key, sizeof key, "many%u", i);
        bed_put(b, key, "v");
    }
}

static void test_map_from_snapshot(void **state)
{
    struct bed *b = bed_new(1);
    struct bed_reader *r = bed_reader(b, 10);

    (void)state;
    for (unsigned i = 0; i < BED_MEMBERS; i++)
        bed_dial(r, i);
    bed_follow_map(r);
    put_n(b, 0, 3);
    world_run(b->w, 500); /* no certificate yet: nothing to be shown */
    assert_int_equal(r->snapshots + r->said_n, 0);
    put_n(b, 3, 7);
    bed_certify(b, 3);
    put_n(b, 10, 5); /* not certified: nobody may see it */
    assert_true(bed_until_synced(r, 2000));
    assert_int_equal(r->snapshots, 1);
    assert_int_equal(r->index, 10);
    bed_assert_map(r);
    world_run(b->w, 1000);
    assert_int_equal(r->index, 10);
    assert_int_equal(r->commits, 0);
    for (unsigned round = 1; round <= 5; round++) {
        bed_certify(b, 6);
        assert_true(bed_until_synced(r, 2000));
        bed_assert_map(r);
        assert_int_equal(r->index, 10 + 5 * round);
        put_n(b, 10 + 5 * round, 5);
    }
    assert_int_equal(r->commits, 25);
    assert_int_equal(r->snapshots, 1);
    assert_false(r->out_of_order);
    assert_int_equal(r->said_n, 0);
    bed_reader_free(r);
    bed_free(b);
}

static void test_empty_map_and_renewal(void **state)
{
    struct bed *b = bed_new(2);
    struct bed_reader *r = bed_reader(b, 10);

    (void)state;
    bed_certify(b, 7);
    bed_dial(r, 0);
    bed_follow_map(r);
    assert_true(bed_until_synced(r, 2000));
    assert_int_equal(r->snapshots, 1);
    assert_int_equal(mk_follow_map(r->follow)->count, 0);
    for (unsigned i = 1; i <= 4; i++) {
        world_run(b->w, 5000);
        bed_certify(b, 7);
        assert_true(bed_until_synced(r, 2000));
        assert_int_equal(r->certified, 1 + i);
    }
    assert_int_equal(r->said_n, 0); /* not silent */
    bed_reader_free(r);
    bed_free(b);
}

static void test_member_gone(void **state)
{
    struct bed *b = bed_new(3);
    struct bed_reader *r = bed_reader(b, 10);

    (void)state;
    put_n(b, 0, 10);
    bed_certify(b, 7);
    bed_dial(r, 0);
    bed_follow_map(r);
    assert_true(bed_until_synced(r, 2000));
    bed_dial(r, 1);
    world_run(b->w, 1000);
    world_kill(b->w, 0);
    put_n(b, 10, 10);
    bed_certify(b, 6);
    assert_true(bed_until_synced(r, 20000));
    bed_assert_map(r);
    assert_int_equal(r->snapshots, 1); /* it continued where it was */
    assert_int_equal(r->commits, 10);
    assert_false(r->out_of_order);
    bed_reader_free(r);
    bed_free(b);
}

/* --- streams ------------------------------------------------------------------------------- */

static void test_stream(void **state)
{
    struct bed *b = bed_new(4);
    struct bed_reader *all = bed_reader(b, 10), *late = bed_reader(b, 11),
                      *after = bed_reader(b, 12);

    (void)state;
    put_n(b, 0, 4);
    bed_certify(b, 7);
    put_n(b, 4, 2);
    bed_dial(all, 0);
    bed_dial(late, 1);
    bed_dial(after, 2);
    bed_follow_stream(all, mk_from_Oldest, 0);
    bed_follow_stream(late, mk_from_Newest, 0);
    bed_follow_stream(after, mk_from_After, 2);
    assert_true(bed_until_synced(all, 2000));
    assert_true(bed_until_synced(late, 2000));
    assert_true(bed_until_synced(after, 2000));
    bed_certify(b, 7);
    assert_true(bed_until_synced(all, 2000));
    assert_true(bed_until_synced(late, 2000));
    assert_true(bed_until_synced(after, 2000));
    mk_buf_put_u8(&all->items, 0);
    mk_buf_put_u8(&late->items, 0);
    mk_buf_put_u8(&after->items, 0);
    assert_string_equal((char *)all->items.p, "v0 v1 v2 v3 v4 v5 ");
    assert_string_equal((char *)late->items.p, "v4 v5 ");
    assert_string_equal((char *)after->items.p, "v2 v3 v4 v5 ");
    assert_int_equal(all->gaps + late->gaps + after->gaps, 0);
    bed_reader_free(all);
    bed_reader_free(late);
    bed_reader_free(after);
    bed_free(b);
}

/* Forty commits are retained: who asks for older ones is told what is lost. */
static void test_stream_gap(void **state)
{
    struct bed *b = bed_new(5);
    struct bed_reader *r = bed_reader(b, 10), *oldest = bed_reader(b, 11);

    (void)state;
    put_n(b, 0, 100);
    bed_certify(b, 7);
    bed_dial(r, 0);
    bed_dial(oldest, 0);
    bed_follow_stream(r, mk_from_After, 7);
    bed_follow_stream(oldest, mk_from_Oldest, 0);
    assert_true(bed_until_synced(r, 2000));
    assert_true(bed_until_synced(oldest, 2000));
    assert_int_equal(r->gaps, 1);
    assert_int_equal(r->gap_from, 8);
    assert_int_equal(r->gap_to, 60);
    assert_int_equal(r->commits, 40);
    assert_int_equal(r->index, 100);
    assert_int_equal(oldest->gaps, 0);
    assert_int_equal(oldest->commits, 40);
    bed_reader_free(r);
    bed_reader_free(oldest);
    bed_free(b);
}

/* --- slow readers ----------------------------------------------------------------------------- */

static void put_large(struct bed *b, unsigned n)
{
    char *value = mk_alloc(60001), key[16];

    for (unsigned i = 0; i < n; i++) {
        memset(value, 'a' + (int)(i % 26), 60000);
        snprintf(key, sizeof key, "k%u", i % 7);
        value[0] = (char)('A' + i / 26);
        bed_put(b, key, value);
        bed_append(b, value);
    }
    mk_free(value);
}

/* A paused reader keeps its place in the history alone; when that is overtaken, a map's reader
 * gets a fresh snapshot and a stream's is told the gap. */
static void test_slow(void **state)
{
    struct bed *b = bed_new(6);
    struct bed_reader *map = bed_reader(b, 10), *stream = bed_reader(b, 11);
    struct mk_serve_stats stats;
    bool overtaken;

    (void)state;
    put_n(b, 0, 3);
    bed_certify(b, 7);
    bed_dial(map, 0);
    bed_dial(stream, 0);
    bed_follow_map(map);
    bed_follow_stream(stream, mk_from_Oldest, 0);
    assert_true(bed_until_synced(map, 2000));
    assert_true(bed_until_synced(stream, 2000));
    mk_follow_pause(map->follow, true);
    mk_follow_pause(stream->follow, true);
    for (unsigned i = 0; i < 4; i++) {
        put_large(b, 30);
        bed_certify(b, 7);
        world_run(b->w, 500);
    }
    assert_int_equal(map->commits, 0);
    assert_int_equal(stream->commits, 3);
    mk_follow_pause(map->follow, false);
    mk_follow_pause(stream->follow, false);
    assert_true(bed_until_synced(map, 5000));
    assert_true(bed_until_synced(stream, 5000));
    bed_assert_map(map);
    assert_int_equal(stream->gaps, 1);
    assert_int_equal(stream->gap_to, 83);
    assert_int_equal(stream->index, 123);
    mk_serve_stats(b->members[0].serve, &stats);
    overtaken = stats.fell_behind == 2;
    assert_true(overtaken);
    assert_int_equal(map->said_n, 0);
    bed_reader_free(map);
    bed_reader_free(stream);
    bed_free(b);
}

static void test_pause_in_between(void **state)
{
    struct bed *b = bed_new(7);
    struct bed_reader *r = bed_reader(b, 10);

    (void)state;
    put_n(b, 0, 3);
    bed_certify(b, 7);
    bed_dial(r, 0);
    bed_follow_map(r);
    assert_true(bed_until_synced(r, 2000));
    mk_follow_pause(r->follow, true);
    put_n(b, 3, 3);
    bed_certify(b, 7);
    world_run(b->w, 60000); /* nor is the member taken for silent */
    assert_int_equal(r->commits, 0);
    mk_follow_pause(r->follow, false);
    assert_true(bed_until_synced(r, 1000));
    assert_int_equal(r->commits, 3);
    assert_int_equal(r->said_n, 0);
    bed_reader_free(r);
    bed_free(b);
}

static void test_close_in_callback(void **state)
{
    struct bed *b = bed_new(8);
    struct bed_reader *r = bed_reader(b, 10);

    (void)state;
    put_n(b, 0, 5);
    bed_certify(b, 7);
    bed_dial(r, 0);
    r->close_in_commit = true;
    bed_follow_stream(r, mk_from_Oldest, 0);
    world_run(b->w, 1000);
    assert_int_equal(r->commits, 1);
    assert_null(r->follow);
    assert_int_equal(b->members[0].interest, 0);
    bed_reader_free(r);
    bed_free(b);
}

/* --- members that lie --------------------------------------------------------------------------
 */

/* Before: the reader follows an honest state through the liar or another; after: what is said. */
static void lie_from_snapshot(enum bed_lie lie, bool many, const char *said, uint64_t ms)
{
    struct bed *b = bed_new(100 + (uint64_t)lie);
    struct bed_reader *r = bed_reader(b, 10);

    put_n(b, 0, 12);
    bed_certify(b, 7);
    if (many)
        put_many(b);
    put_n(b, 12, 4);
    bed_certify(b, 7);
    b->members[0].lie = lie;
    bed_dial(r, 0);
    bed_follow_map(r);
    assert_true(bed_until_said(r, 1, ms));
    if (!bed_said(r, said))
        fail_msg("\"%s\" does not say \"%s\"", r->said[0], said);
    assert_int_equal(r->said_of[0], 1);
    assert_int_equal(r->snapshots + r->commits + r->certified, 0); /* nothing was shown */
    assert_int_equal(r->failed, 0);
    bed_dial(r, 2);
    assert_true(bed_until_synced(r, 20000));
    bed_assert_map(r);
    bed_reader_free(r);
    bed_free(b);
}

static void lie_in_changes(enum bed_lie lie, const char *said, uint64_t ms)
{
    struct bed *b = bed_new(200 + (uint64_t)lie);
    struct bed_reader *r = bed_reader(b, 10);

    put_n(b, 0, 12);
    bed_certify(b, 7);
    bed_dial(r, 1);
    bed_follow_map(r);
    assert_true(bed_until_synced(r, 2000));
    bed_assert_map(r);
    b->members[0].lie = lie;
    bed_dial(r, 0);
    world_run(b->w, 1000);
    world_kill(b->w, 1);
    put_n(b, 12, 6);
    bed_certify(b, 7);
    assert_true(bed_until_said(r, 2, ms)); /* member 1 was lost, member 0 lied */
    if (!bed_said(r, said))
        fail_msg("\"%s\", \"%s\" do not say \"%s\"", r->said[0], r->said[1], said);
    assert_int_equal(r->commits, 0);
    assert_int_equal(r->index, 12);
    bed_dial(r, 2);
    assert_true(bed_until_synced(r, 40000));
    bed_assert_map(r);
    assert_int_equal(r->snapshots, 1);
    assert_int_equal(r->commits, 6); /* from where it was, in order */
    assert_false(r->out_of_order);
    bed_reader_free(r);
    bed_free(b);
}

static void test_forged_snapshots(void **state)
{
    const char *adds = "dropped: its snapshot does not add up";

    (void)state;
    for (unsigned many = 0; many < 2; many++) {
        lie_from_snapshot(BED_SNAPSHOT_ALTERED, many, adds, 2000);
        lie_from_snapshot(BED_SNAPSHOT_SHORT, many, adds, 2000);
        lie_from_snapshot(BED_SNAPSHOT_TWICE, many, "dropped: the snapshot has a key twice", 2000);
    }
}

static void test_forged_changes(void **state)
{
    (void)state;
    lie_in_changes(BED_CHANGE_ALTERED, "dropped: what it served does not add up", 40000);
    lie_in_changes(BED_CHANGE_SKIPPED, "dropped: it skipped commits", 40000);
    lie_in_changes(BED_CHANGE_INVENTED, "dropped: certificate: 1 signatures", 40000);
    lie_in_changes(BED_CHANGE_LEFT_OUT, "dropped: it skipped commits", 40000);
    lie_in_changes(BED_OLD_CERTIFICATE, "silent", 60000);
}

static void test_forged_certificates(void **state)
{
    (void)state;
    lie_from_snapshot(BED_FEW_SIGNATURES, false, "dropped: certificate: 1 signatures, 2 of 3",
                      2000);
    lie_from_snapshot(BED_FOREIGN_SIGNATURE, false, "is not of the roster of epoch 1", 2000);
    lie_from_snapshot(BED_OTHER_SURFACE, false, "dropped: a certificate of another surface", 2000);
    lie_from_snapshot(BED_SILENT, false, "silent", 10000);
    lie_from_snapshot(BED_NO_WELCOME, false, "dropped: it does not begin with a welcome", 2000);
    lie_from_snapshot(BED_GARBAGE, false, "dropped: offset", 2000);
}

/* What no certificate covers is not shown, whatever else the member does right. */
static void test_uncertified(void **state)
{
    struct bed *b = bed_new(9);
    struct bed_reader *r = bed_reader(b, 10);

    (void)state;
    put_n(b, 0, 5);
    bed_certify(b, 7);
    bed_dial(r, 0);
    bed_follow_map(r);
    assert_true(bed_until_synced(r, 2000));
    put_n(b, 5, 5);
    bed_certify(b, 1); /* one signature: honest members would not call it a certificate */
    assert_true(bed_until_said(r, 1, 2000));
    assert_true(bed_said(r, "1 signatures, 2 of 3"));
    assert_int_equal(r->index, 5);
    assert_int_equal(r->commits, 0);
    bed_reader_free(r);
    bed_free(b);
}

/* A member that shows an earlier state as the newest gets nowhere with a reader that knows more,
 * not even after the reader's restart. */
static void test_rollback(void **state)
{
    struct bed *b = bed_new(10);
    struct bed_reader *r = bed_reader(b, 10), *again;
    struct mk_reader_memory *memory;
    struct mk_buf bytes = {0};

    (void)state;
    put_n(b, 0, 8);
    bed_certify(b, 7);
    put_n(b, 8, 4);
    bed_certify(b, 7);
    bed_dial(r, 1);
    bed_follow_map(r);
    assert_true(bed_until_synced(r, 2000));
    mk_reader_memory_encode(r->memory, &bytes);
    assert_int_equal(mk_reader_memory_decode(&memory, mk_buf_bytes(&bytes), NULL), 0);
    bed_reader_free(r);

    again = bed_reader(b, 11);
    mk_reader_memory_free(again->memory);
    mk_client_close(again->client);
    again->client = NULL;
    again->memory = memory;
    b->members[0].lie = BED_OLD_CERTIFICATE;
    b->newest[BED_MAP] = b->before[BED_MAP]; /* the liar's world */
    bed_dial(again, 0);
    bed_follow_map(again);
    world_run(b->w, 10000);
    assert_int_equal(again->snapshots + again->commits + again->certified, 0);
    mk_buf_done(&bytes);
    bed_reader_free(again);
    bed_free(b);
}

/* Two certificates of one index that exclude each other: the reader stops and has the proof. */
static void test_conflict(void **state)
{
    struct bed *b = bed_new(11);
    struct bed_reader *r = bed_reader(b, 10);
    const struct mk_certificate *one, *two;
    struct mk_peer_signature sigs[4];
    struct mk_certificate other;
    struct mk_peers guilty;
    struct mk_head head;

    (void)state;
    put_n(b, 0, 8);
    bed_certify(b, 3); /* members 0 and 1 */
    bed_dial(r, 2);
    bed_follow_map(r);
    assert_true(bed_until_synced(r, 2000));
    bed_head(b, BED_MAP, &head);
    head.state.b[0] ^= 1;
    bed_sign(b, &other, &head, 6, sigs); /* members 1 and 2 */
    b->members[0].lie = BED_SNAPSHOT_ALTERED;
    b->newest[BED_MAP] = other;
    memcpy(b->signatures[BED_MAP][0], sigs, sizeof b->signatures[BED_MAP][0]);
    b->newest[BED_MAP].signatures.v = b->signatures[BED_MAP][0];
    bed_dial(r, 0);
    world_run(b->w, 1000);
    world_kill(b->w, 2);
    world_run(b->w, 20000);
    assert_int_equal(r->failed, MK_ECONFLICT);
    assert_true(mk_reader_conflict(r->memory, &one, &two, &guilty));
    assert_int_equal(guilty.n, 1);
    assert_memory_equal(guilty.v[0].b, b->peers[1].b, 32);
    bed_reader_free(r);
    bed_free(b);
}

static void test_refused(void **state)
{
    struct bed *b = bed_new(12);
    struct bed_reader *r = bed_reader(b, 10);

    (void)state;
    b->gated = true;
    bed_certify(b, 7);
    for (unsigned i = 0; i < BED_MEMBERS; i++)
        bed_dial(r, i);
    bed_follow_map(r);
    world_run(b->w, 3000);
    assert_int_equal(r->failed, MK_EREFUSED);
    assert_non_null(strstr(r->why.text, "no majority: 3 members refused"));
    assert_non_null(strstr(r->why.text, "clause 0 GateReaders: no ticket"));
    bed_reader_free(r);
    bed_free(b);
}

static void test_marker(void **state)
{
    struct bed *b = bed_new(13);
    struct bed_reader *r = bed_reader(b, 10);
    struct mk_retirement_marker m = {
        .effective_at = {.tag = mk_retirement_instant_AtTimestamp, .u.at_timestamp = {1}},
        .reason.tag = mk_retirement_reason_Rotation,
        .replacement = {true, {.kind = 1, .role = MK_STR("oracle")}}};
    struct mk_id digest = mk_schema_digest(&mk_retirement_marker_type);
    struct mk_buf payload = {0};

    (void)state;
    put_n(b, 0, 5);
    bed_certify(b, 7);
    bed_dial(r, 0);
    bed_follow_map(r);
    assert_true(bed_until_synced(r, 2000));
    mk_encode(&payload, &mk_retirement_marker_type, &m);
    mk_surface_commit(&b->truth.v[BED_MAP], &digest, mk_buf_bytes(&payload));
    for (unsigned i = 0; i < BED_MEMBERS; i++)
        mk_surface_commit(&b->members[i].surfaces.v[BED_MAP], &digest, mk_buf_bytes(&payload));
    bed_certify(b, 7);
    world_run(b->w, 1000);
    assert_int_equal(r->markers, 1);
    assert_int_equal(r->failed, MK_ERETIRED);
    assert_non_null(strstr(r->why.text, "retired, replacement oracle"));
    mk_buf_done(&payload);
    bed_reader_free(r);
    bed_free(b);
}

/* The change of rosters comes before the first certificate that needs it; after it a certificate
 * of the old epoch beyond its last head is refused, whoever signed it. */
static void test_epochs(void **state)
{
    struct bed *b = bed_new(15);
    struct bed_reader *r = bed_reader(b, 10), *late = bed_reader(b, 11);

    (void)state;
    put_n(b, 0, 8);
    bed_certify(b, 7);
    bed_dial(r, 1);
    bed_follow_map(r);
    assert_true(bed_until_synced(r, 2000));
    bed_new_epoch(b);
    put_n(b, 8, 4);
    bed_certify(b, 7);
    assert_true(bed_until_synced(r, 2000));
    assert_int_equal(mk_reader_epoch(r->memory), 2);
    assert_int_equal(r->commits, 4);
    bed_dial(late, 2); /* knows the first roster only */
    bed_follow_map(late);
    assert_true(bed_until_synced(late, 2000));
    assert_int_equal(mk_reader_epoch(late->memory), 2);
    b->members[0].lie = BED_OLD_EPOCH;
    bed_dial(r, 0);
    world_run(b->w, 1000);
    put_n(b, 12, 4);
    world_kill(b->w, 1);
    bed_certify(b, 7);
    assert_true(bed_until_said(r, 2, 60000));
    assert_true(bed_said(r, "of the old epoch 1, for index 16 beyond its last, 8"));
    assert_int_equal(r->commits, 4);
    bed_dial(r, 2);
    assert_true(bed_until_synced(r, 20000));
    bed_assert_map(r);
    bed_reader_free(r);
    bed_reader_free(late);
    bed_free(b);
}

/* A snapshot of many times the credit, in many messages, while the map moves on. */
static void test_large_snapshot(void **state)
{
    struct bed *b = bed_new(16);
    struct bed_reader *r = bed_reader(b, 10);
    char key[16], *value = mk_alloc(2001);

    (void)state;
    memset(value, 'x', 2000);
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "%u", i);
        bed_put(b, key, value);
    }
    bed_certify(b, 7);
    bed_dial(r, 0);
    bed_follow_map(r);
    for (unsigned i = 0; i < 30; i++) { /* fewer than are retained */
        world_run(b->w, 1);
        bed_put(b, "moving", (char[]){(char)('a' + i), 0});
        bed_certify(b, 5);
    }
    assert_true(bed_until_synced(r, 30000));
    bed_assert_map(r);
    assert_int_equal(r->index, 3030);
    assert_int_equal(r->snapshots, 1);
    assert_int_equal(r->said_n, 0);
    mk_free(value);
    bed_reader_free(r);
    bed_free(b);
}

/* While the root of a large map is computed the committee goes on; and a reader may go, or its
 * member, at any event. */
static void test_rooting(void **state)
{
    struct bed *b = bed_new(17);
    struct bed_reader *r = bed_reader(b, 10);
    unsigned events = 0;

    (void)state;
    put_many(b);
    bed_certify(b, 7);
    bed_dial(r, 0);
    bed_follow_map(r);
    while (r->snapshots == 0 && world_step(b->w))
        events++;
    bed_assert_map(r);
    for (unsigned i = 0; i < 40; i++) { /* it takes some events more or less than that one */
        struct bed_reader *gone = bed_reader(b, 11 + i);

        bed_dial(gone, 1);
        bed_follow_map(gone);
        for (unsigned k = 0; k + 30 < events + i; k++)
            world_step(b->w);
        bed_reader_free(gone);
    }
    put_n(b, 0, 20);
    bed_certify(b, 5);
    assert_true(bed_until_synced(r, 5000));
    bed_assert_map(r);
    bed_reader_free(r);
    bed_free(b);
}

static void rooted_cb(void *arg)
{
    ++*(unsigned *)arg;
}

static bool rooted_once(void *arg)
{
    return *(unsigned *)arg == 1;
}

static void test_rooting_stopped(void **state)
{
    struct world *w = world_new(3);
    struct mk_trie t = {0}, same = {0};
    struct mk_rooting r = {0};
    struct mk_id root, wanted;
    unsigned called = 0;

    (void)state;
    for (unsigned i = 0; i < 2 * MK_ROOTING_MIN; i++) {
        mk_trie_set(&t, MK_BYTES(&i, sizeof i), MK_BYTES("v", 1));
        mk_trie_set(&same, MK_BYTES(&i, sizeof i), MK_BYTES("v", 1));
    }
    assert_true(mk_rooting_start(&r, world_node(w, 0), &t, rooted_cb, &called));
    assert_true(mk_rooting_busy(&r));
    mk_rooting_stop(&r);
    assert_false(mk_rooting_busy(&r));
    world_run(w, 1000);
    assert_int_equal(called, 0);
    assert_true(mk_rooting_start(&r, world_node(w, 0), &t, rooted_cb, &called));
    assert_true(world_run_until(w, rooted_once, &called, 1000));
    root = mk_trie_root(&t);
    wanted = mk_trie_root(&same);
    assert_memory_equal(root.b, wanted.b, sizeof root.b);
    assert_false(mk_rooting_start(&r, world_node(w, 0), &t, rooted_cb, &called));
    mk_trie_done(&t);
    mk_trie_done(&same);
    world_free(w);
}

static void test_many_readers(void **state)
{
    struct bed *b = bed_new(14);
    struct bed_reader *r[20];

    (void)state;
    put_n(b, 0, 30);
    bed_certify(b, 7);
    for (unsigned i = 0; i < 20; i++) {
        r[i] = bed_reader(b, 10 + i);
        for (unsigned m = 0; m < BED_MEMBERS; m++)
            bed_dial(r[i], m);
        if (i % 2)
            bed_follow_map(r[i]);
        else
            bed_follow_stream(r[i], mk_from_Oldest, 0);
    }
    for (unsigned n = 0; n < 30; n++) {
        put_n(b, 30 + n, 1);
        bed_certify(b, n % 2 ? 3 : 6);
        world_run(b->w, 20);
    }
    for (unsigned i = 0; i < 20; i++) {
        assert_true(bed_until_synced(r[i], 5000));
        assert_int_equal(r[i]->index, 60);
        assert_int_equal(r[i]->said_n, 0);
    }
    for (unsigned i = 0; i < 20; i++)
        bed_reader_free(r[i]);
    world_run(b->w, 1000);
    for (unsigned m = 0; m < BED_MEMBERS; m++) {
        assert_int_equal(mk_serve_readers(b->members[m].serve), 0);
        assert_int_equal(b->members[m].interest, 0);
    }
    bed_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map_from_snapshot),
        cmocka_unit_test(test_empty_map_and_renewal),
        cmocka_unit_test(test_member_gone),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_stream_gap),
        cmocka_unit_test(test_slow),
        cmocka_unit_test(test_pause_in_between),
        cmocka_unit_test(test_close_in_callback),
        cmocka_unit_test(test_forged_snapshots),
        cmocka_unit_test(test_forged_changes),
        cmocka_unit_test(test_forged_certificates),
        cmocka_unit_test(test_uncertified),
        cmocka_unit_test(test_rollback),
        cmocka_unit_test(test_conflict),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_marker),
        cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_large_snapshot),
        cmocka_unit_test(test_rooting),
        cmocka_unit_test(test_rooting_stopped),
        cmocka_unit_test(test_many_readers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
