/* test_rumours.c - what strangers tell in a discovery conversation: forged, stale,
 * foreign, too much, too fast; and the table that has to hold against it. */
#include "discovery_bed.h"

/* A bed of two honest nodes and a rogue that talks to node 0. */
struct scene {
    struct bed *b;
    struct bed_rogue *r;
    struct mk_key other; /* of a peer that the rogue tells of */
    uint64_t wall_ms;
};

static int setup(void **state)
{
    struct scene *s = mk_alloc(sizeof *s);

    s->b = bed_new(77);
    bed_chain(s->b, 2, 0);
    assert_true(bed_until_all_see(s->b, 1, 10000));
    s->r = bed_rogue(s->b, 40, 0);
    bed_key(&s->other, 41);
    s->wall_ms = mk_wall_ms(bed_at(s->b, 0)->env);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;

    bed_rogue_free(s->r);
    mk_key_done(&s->other);
    bed_free(s->b);
    mk_free(s);
    return 0;
}

static struct mk_discovery_stats stats(struct scene *s)
{
    struct mk_discovery_stats st;

    mk_discovery_stats(bed_d(s->b, 0), &st);
    return st;
}

static struct bed_entry honest(struct scene *s)
{
    return (struct bed_entry){.version = s->wall_ms, .expires_ms = s->wall_ms + 60000};
}

static void tell(struct scene *s, struct bed_entry e)
{
    struct mk_buf bytes = {0};

    bed_entry(&bytes, &s->other, e);
    assert_int_equal(bed_rogue_record(s->r, MK_RECORD_PEER, mk_buf_bytes(&bytes)), 0);
    mk_buf_done(&bytes);
}

/* The conversation ended with that code, nothing was believed, and it stays ended. */
static void expelled(struct scene *s, unsigned close)
{
    assert_true(bed_until_closed(s->b, s->r, 5000));
    assert_int_equal(s->r->last_close, close);
    assert_true(strlen(s->r->last_detail) > 0);
    assert_true(bed_all_see(s->b, 1));
    assert_int_equal(stats(s).expelled, 1);
    world_run(s->b->w, 30000);
    assert_null(s->r->conv);
}

/* --- one record ------------------------------------------------------------------------- */

static void test_honest_entry_is_taken(void **state)
{
    struct scene *s = *state;

    tell(s, honest(s));
    assert_true(bed_until_all_see(s->b, 2, 5000)); /* and passed on to the other node */
    assert_int_equal(stats(s).refused, 0);
    assert_non_null(s->r->conv);
}

static void test_forged_entry(void **state)
{
    struct scene *s = *state;
    struct mk_buf bytes = {0};

    bed_entry(&bytes, &s->other, honest(s));
    bytes.p[bytes.n - 7] ^= 1;
    bed_rogue_record(s->r, MK_RECORD_PEER, mk_buf_bytes(&bytes));
    mk_buf_done(&bytes);
    expelled(s, MK_CLOSE_MALFORMED);
    assert_non_null(strstr(s->r->last_detail, "signature"));
}

/* Signed by the rogue in the name of another. */
static void test_entry_signed_by_another(void **state)
{
    struct scene *s = *state;
    struct mk_buf bytes = {0};

    bed_entry(&bytes, &s->r->key, honest(s));
    memcpy(bytes.p + 32, s->other.peer.b, 32); /* after the network */
    bed_rogue_record(s->r, MK_RECORD_PEER, mk_buf_bytes(&bytes));
    mk_buf_done(&bytes);
    expelled(s, MK_CLOSE_MALFORMED);
}

static void test_entry_of_another_network(void **state)
{
    struct scene *s = *state;
    struct mk_id other = mk_id_of_text(MK_STR("another network"));
    struct bed_entry e = honest(s);

    e.network = &other;
    tell(s, e);
    expelled(s, MK_CLOSE_OTHER_NETWORK);
}

static void test_oversized_entry(void **state)
{
    struct scene *s = *state;
    uint8_t *huge = mk_alloc(MK_DISCOVERY_ENTRY_MAX + 1);

    bed_rogue_record(s->r, MK_RECORD_PEER, MK_BYTES(huge, MK_DISCOVERY_ENTRY_MAX + 1));
    mk_free(huge);
    expelled(s, MK_CLOSE_TOO_LONG);
}

static void test_entry_with_a_bad_address(void **state)
{
    struct scene *s = *state;
    struct bed_entry e = honest(s);

    e.address = "n1:70\n00";
    tell(s, e);
    expelled(s, MK_CLOSE_MALFORMED);
}

static void test_forged_deployment(void **state)
{
    struct scene *s = *state;
    struct mk_buf bytes = {0};

    bed_deployment(&bytes, "stable", &s->other, 4, "content");
    bytes.p[3] ^= 1;
    bed_rogue_record(s->r, MK_RECORD_DEPLOYMENT, mk_buf_bytes(&bytes));
    mk_buf_done(&bytes);
    expelled(s, MK_CLOSE_MALFORMED);
}

static void test_an_unknown_kind(void **state)
{
    struct scene *s = *state;

    bed_rogue_record(s->r, (enum mk_record_kind)2, MK_BYTES("x", 1));
    expelled(s, MK_CLOSE_MALFORMED);
}

/* Clocks differ among honest nodes: refused, and nobody is expelled for it. */
static void test_expired_and_too_long_lived(void **state)
{
    struct scene *s = *state;
    struct bed_entry e = honest(s);

    e.expires_ms = s->wall_ms - 1;
    tell(s, e);
    e.expires_ms = s->wall_ms + MK_DISCOVERY_LIFE_MAX_MS + 5000;
    tell(s, e);
    world_run(s->b->w, 3000);
    assert_int_equal(stats(s).refused, 2);
    assert_int_equal(stats(s).refused_by[MK_RUMOUR_EXPIRED], 1);
    assert_int_equal(stats(s).refused_by[MK_RUMOUR_LONG_LIVED], 1);
    assert_int_equal(stats(s).expelled, 0);
    assert_true(bed_all_see(s->b, 1));
    assert_non_null(s->r->conv);
}

/* A clock that is ahead by little is believed, by much is not. */
static void test_an_entry_from_the_future(void **state)
{
    struct scene *s = *state;
    struct bed_entry e = honest(s);

    e.version = s->wall_ms + 2 * MK_DISCOVERY_DRIFT_MS;
    e.expires_ms = e.version + 60000;
    tell(s, e);
    world_run(s->b->w, 3000);
    assert_int_equal(stats(s).refused_by[MK_RUMOUR_FUTURE], 1);
    assert_true(bed_all_see(s->b, 1));
    assert_non_null(s->r->conv);
    e.version = s->wall_ms + MK_DISCOVERY_DRIFT_MS;
    tell(s, e);
    assert_true(bed_until_all_see(s->b, 2, 5000));
}

/* --- names without records ------------------------------------------------------------------ */

static void announce(struct bed_rogue *r, const uint64_t *hashes, unsigned n)
{
    struct mk_buf m = {0};

    mk_buf_put_u8(&m, GOSSIP_ANNOUNCE);
    mk_buf_put(&m, hashes, n * sizeof *hashes);
    assert_int_equal(bed_rogue_send(r, &m), 0);
    mk_buf_done(&m);
}

static void test_announced_and_not_given(void **state)
{
    struct scene *s = *state;
    uint64_t hashes[SPREAD_LAPSES_MAX];

    for (unsigned i = 0; i < SPREAD_LAPSES_MAX; i++)
        hashes[i] = 0x1234567 + i;
    announce(s->r, hashes, SPREAD_LAPSES_MAX);
    assert_true(bed_until_closed(s->b, s->r, 5000));
    assert_int_equal(s->r->last_close, MK_CLOSE_SLOW);
    assert_int_equal(stats(s).lapsed, SPREAD_LAPSES_MAX);
    assert_int_equal(stats(s).expelled, 0);
    assert_true(bed_all_see(s->b, 1));
}

static bool was_asked(const struct bed_rogue *r, uint64_t hash)
{
    uint8_t m[13] = {9, 0, 0, 0, GOSSIP_ASK};

    memcpy(m + 5, &hash, sizeof hash);
    return memmem(r->got.p, r->got.n, m, sizeof m) != NULL;
}

/* The first who announces a record keeps it to himself: the second is asked. */
static void test_another_is_asked(void **state)
{
    struct scene *s = *state;
    struct bed_rogue *r2 = bed_rogue(s->b, 42, 0);
    struct mk_buf bytes = {0};
    struct mk_id id;
    uint64_t hash;

    bed_entry(&bytes, &s->other, honest(s));
    id = mk_hash(mk_buf_bytes(&bytes));
    hash = mk_record_short(&id);
    announce(s->r, &hash, 1);
    world_run(s->b->w, 200);
    announce(r2, &hash, 1);
    world_run(s->b->w, 300);
    assert_true(was_asked(s->r, hash));
    assert_false(was_asked(r2, hash)); /* once is enough */
    world_run(s->b->w, 1000);
    assert_true(was_asked(r2, hash));
    assert_int_equal(bed_rogue_record(r2, MK_RECORD_PEER, mk_buf_bytes(&bytes)), 0);
    assert_true(bed_until_all_see(s->b, 2, 5000));
    mk_buf_done(&bytes);
    bed_rogue_free(r2);
}

static void test_an_old_version_is_not_news(void **state)
{
    struct scene *s = *state;
    struct bed_entry e = honest(s);
    struct mk_peer_entry got;

    e.address = "n7:1";
    tell(s, e);
    e.version--;
    e.address = "n7:2";
    tell(s, e);
    assert_true(bed_until_all_see(s->b, 2, 5000));
    world_run(s->b->w, 2000);
    assert_int_equal(mk_discovery_entry(bed_d(s->b, 1), &got, &s->other.peer), 0);
    assert_true(mk_str_is(got.addresses.v[0], "n7:1"));
    assert_int_equal(stats(s).refused, 1);
    assert_int_equal(stats(s).refused_by[MK_RUMOUR_OLDER], 1);
}

/* Two entries of one version: both nodes end with the same one, whatever came first. */
static void test_two_entries_of_one_version(void **state)
{
    struct scene *s = *state;
    struct bed_rogue *r2 = bed_rogue(s->b, 42, 1);
    struct mk_peer_entry got[2];
    struct bed_entry e = honest(s);
    struct mk_buf bytes = {0};

    world_cut(s->b->w, 0, 1);
    world_cut(s->b->w, 1, 0);
    e.address = "n7:1";
    tell(s, e);
    e.address = "n7:2";
    bed_entry(&bytes, &s->other, e);
    bed_rogue_record(r2, MK_RECORD_PEER, mk_buf_bytes(&bytes));
    world_run(s->b->w, 1000);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(mk_discovery_entry(bed_d(s->b, i), &got[i], &s->other.peer), 0);
    assert_false(mk_str_eq(got[0].addresses.v[0], got[1].addresses.v[0]));
    world_heal(s->b->w);
    world_run(s->b->w, 20000);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(mk_discovery_entry(bed_d(s->b, i), &got[i], &s->other.peer), 0);
    assert_true(mk_str_eq(got[0].addresses.v[0], got[1].addresses.v[0]));
    mk_buf_done(&bytes);
    bed_rogue_free(r2);
}

static void test_a_version_that_jumps(void **state)
{
    struct scene *s = *state;
    struct mk_id id = mk_id_of_text(MK_STR("stable"));
    struct mk_deployment d;
    struct mk_buf bytes = {0};

    bed_deployment(&bytes, "stable", &s->other, 5, "a");
    bed_rogue_record(s->r, MK_RECORD_DEPLOYMENT, mk_buf_bytes(&bytes));
    mk_buf_clear(&bytes);
    bed_deployment(&bytes, "stable", &s->other, 6 + MK_DISCOVERY_JUMP_MAX, "b");
    bed_rogue_record(s->r, MK_RECORD_DEPLOYMENT, mk_buf_bytes(&bytes));
    world_run(s->b->w, 2000);
    assert_int_equal(mk_discovery_deployment(bed_d(s->b, 1), &d, &id, &s->other.peer), 0);
    assert_int_equal(d.version, 5);
    assert_int_equal(stats(s).refused, 1);
    assert_int_equal(stats(s).expelled, 0);
    mk_buf_done(&bytes);
}

/* --- the protocol -------------------------------------------------------------------------- */

static void send_bytes(struct scene *s, const void *p, size_t n)
{
    assert_int_equal(mk_conv_send(s->r->conv, MK_BYTES(p, n)), 0);
}

static void test_garbage(void **state)
{
    struct scene *s = *state;

    send_bytes(s, "\xff\x00garbage", 9);
    expelled(s, MK_CLOSE_MALFORMED);
}

static void test_an_empty_message(void **state)
{
    struct scene *s = *state;

    send_bytes(s, "", 0);
    expelled(s, MK_CLOSE_MALFORMED);
}

static void test_a_truncated_batch(void **state)
{
    struct scene *s = *state;

    send_bytes(s, "\x03\x00\xff\x01", 4); /* 255 bytes that do not follow */
    expelled(s, MK_CLOSE_MALFORMED);
}

static void test_a_digest_out_of_order(void **state)
{
    struct scene *s = *state;
    struct mk_buf m = {0};

    mk_buf_put(&m, "\x01\x01", 2);
    for (unsigned i = 0; i < 2; i++) {
        memset(mk_buf_grow(&m, 1 + 32 + 16), 9 - (int)i, 1 + 32 + 16);
        m.p[m.n - 49] = MK_RECORD_PEER;
    }
    send_bytes(s, m.p, m.n);
    mk_buf_done(&m);
    expelled(s, MK_CLOSE_MALFORMED);
}

static void test_two_last_digests(void **state)
{
    struct scene *s = *state;

    send_bytes(s, "\x01\x01", 2);
    send_bytes(s, "\x01\x01", 2);
    expelled(s, MK_CLOSE_MALFORMED);
}

/* Good messages with some bytes changed, cut or doubled: taken, refused or expelled, and
 * the node goes on. */
static void test_mutilated_messages(void **state)
{
    struct scene *s = *state;
    struct mk_buf good = {0}, entry = {0};
    unsigned n_expelled = 0;

    bed_entry(&entry, &s->other, honest(s));
    mk_buf_put(&good, "\x03\x00", 2);
    mk_put_varint(&good, entry.n);
    mk_buf_put(&good, entry.p, entry.n);
    for (unsigned round = 0; round < 120; round++) {
        struct mk_buf m = {0};

        if (s->r->conv == NULL) { /* the next one comes with another key */
            n_expelled++;
            bed_rogue_free(s->r);
            world_crash(s->b->w, 40 + n_expelled % 20);
            s->r = bed_rogue(s->b, 40 + n_expelled % 20, n_expelled / 20 % 2);
            if (n_expelled == 39)
                break;
        }
        mk_buf_put(&m, good.p, good.n);
        if (round % 3 == 0)
            mk_buf_put(&m, good.p + 1, world_workload(s->b->w, good.n));
        for (unsigned i = 0; i <= round % 4; i++)
            m.p[world_workload(s->b->w, m.n)] ^= (uint8_t)(1 + world_workload(s->b->w, 255));
        if (round % 5 == 0)
            m.n = world_workload(s->b->w, m.n);
        m.p[0] = (uint8_t)(world_workload(s->b->w, 2) == 0 ? 1 + world_workload(s->b->w, 6) : 3);
        bed_rogue_send(s->r, &m);
        world_run(s->b->w, 200);
        mk_buf_done(&m);
    }
    assert_true(n_expelled > 20);
    assert_true(bed_sees(s->b, 0, 1) && bed_sees(s->b, 1, 0));
    mk_buf_done(&good);
    mk_buf_done(&entry);
}

static void test_it_may_come_back_after_a_minute(void **state)
{
    struct scene *s = *state;

    send_bytes(s, "\xff", 1);
    expelled(s, MK_CLOSE_MALFORMED);
    world_run(s->b->w, 40000);
    if (s->r->conv == NULL) { /* it is on the rogue to begin */
        bed_rogue_free(s->r);
        world_crash(s->b->w, 40);
        s->r = bed_rogue(s->b, 40, 0);
    }
    s->wall_ms = mk_wall_ms(bed_at(s->b, 0)->env);
    tell(s, honest(s));
    assert_true(bed_until_all_see(s->b, 2, 5000));
}

/* --- floods --------------------------------------------------------------------------------- */

struct flood {
    struct scene *s;
    unsigned made, most;
};

/* As many entries of new peers as the conversation takes. */
static void flood_on(struct flood *f)
{
    while (f->made < f->most && f->s->r->conv != NULL) {
        struct mk_key k;
        struct mk_buf bytes = {0};

        bed_key(&k, 1000 + f->made);
        bed_entry(&bytes, &k, honest(f->s));
        if (mk_conv_room(f->s->r->conv) < bytes.n + 64 ||
            bed_rogue_record(f->s->r, MK_RECORD_PEER, mk_buf_bytes(&bytes)) != 0)
            f->most = 0; /* stopped by its credit */
        else
            f->made++;
        mk_buf_done(&bytes);
        mk_key_done(&k);
    }
}

static void test_flood_is_throttled(void **state)
{
    struct scene *s = *state;
    struct flood f = {s, 0, 20000};
    uint64_t before, after;

    for (unsigned i = 0; i < 40; i++) { /* two seconds of pushing */
        f.most = 20000;
        flood_on(&f);
        world_run(s->b->w, 50);
    }
    before = stats(s).records_in;
    assert_in_range(before, 1000, MK_DISCOVERY_BURST + MK_NET_WINDOW / 200 + 3000);
    for (unsigned i = 0; i < 100; i++) {
        f.most = 20000;
        flood_on(&f);
        world_run(s->b->w, 50);
    }
    after = stats(s).records_in;
    /* five seconds more: what the rate gives, and the credit that comes in steps */
    assert_true(after - before < 5 * MK_DISCOVERY_RATE + MK_NET_WINDOW / 200);
    assert_non_null(s->r->conv); /* slowed, not punished */
    assert_true(bed_sees(s->b, 0, 1));
}

static void test_flood_does_not_push_out_others(void **state)
{
    struct scene *s = *state;
    struct flood f = {s, 0, 20000};

    for (unsigned i = 0; i < 400 && f.made < 9500; i++) {
        f.most = 9500;
        flood_on(&f);
        world_run(s->b->w, 100);
    }
    world_run(s->b->w, 5000);
    assert_in_range(mk_discovery_size(bed_d(s->b, 0)), 4000, MK_DISCOVERY_ENTRIES_MAX / 2 + 1);
    assert_true(bed_sees(s->b, 0, 1));
    assert_true(bed_sees(s->b, 1, 0));
    bed_start(s->b, 2, 0, 0); /* a newcomer still finds everybody and is found */
    world_run(s->b->w, 30000);
    assert_true(bed_sees(s->b, 0, 2));
    assert_true(bed_sees(s->b, 2, 1));
    /* and was told all of it, in many parts of a digest */
    assert_in_range(mk_discovery_size(bed_d(s->b, 2)), mk_discovery_size(bed_d(s->b, 0)) - 2,
                    mk_discovery_size(bed_d(s->b, 0)) + 2);
}

/* --- lists of revoked tickets --------------------------------------------------------- */

struct issuer_of_one {
    struct mk_key key;
    struct mk_id root;
    struct mk_issuer_book *book;
};

/** Node 0 knows an issuer of one signer; node 1 knows none. */
static struct issuer_of_one know_issuer(struct scene *s)
{
    struct issuer_of_one i = {.root = mk_id_of_text(MK_STR("an issuer")),
                              .book = mk_issuer_book_new()};
    struct mk_roster roster = {.epoch = 1, .peers = {&i.key.peer, 1}};

    bed_key(&i.key, 50);
    assert_int_equal(mk_issuer_book_add(i.book, &i.root, &roster, NULL), 0);
    bed_d(s->b, 0)->issuers = i.book;
    return i;
}

static void list_of(struct mk_buf *out, const struct issuer_of_one *i, const struct mk_key *signer,
                    uint64_t version, uint8_t jti)
{
    const struct mk_b16 revoked = {{jti}};
    struct mk_ticket_revocations list = {
        .root = i->root, .epoch = 1, .version = version, .jti = {&revoked, 1}};
    struct mk_peer_signature share = {.peer = i->key.peer};
    struct mk_buf body = {0};

    mk_encode(&body, &mk_ticket_revocations_type, &list);
    mk_revocations_sign(signer, &i->root, 1, mk_buf_bytes(&body), &share.signature);
    assert_int_equal(mk_revocations_build(out, mk_buf_bytes(&body), &share, 1, NULL), 0);
    mk_buf_done(&body);
}

static void tell_list(struct scene *s, const struct issuer_of_one *i, const struct mk_key *signer,
                      uint64_t version, uint8_t jti)
{
    struct mk_buf bytes = {0};

    list_of(&bytes, i, signer, version, jti);
    assert_int_equal(bed_rogue_record(s->r, MK_RECORD_REVOCATIONS, mk_buf_bytes(&bytes)), 0);
    mk_buf_done(&bytes);
    world_run(s->b->w, 500);
}

static bool revokes(const struct issuer_of_one *i, uint8_t first, uint64_t now_ms)
{
    struct mk_issuers *view = mk_issuer_book_issuers(i->book);
    const uint8_t jti[16] = {first};

    return view->revoked(view, &i->root, jti, now_ms);
}

static void forget_issuer(struct scene *s, struct issuer_of_one *i)
{
    bed_d(s->b, 0)->issuers = NULL;
    mk_issuer_book_free(i->book);
    mk_key_done(&i->key);
}

static void test_a_list_is_taken_and_kept_for_others(void **state)
{
    struct scene *s = *state;
    struct issuer_of_one i = know_issuer(s);
    struct mk_bytes list;

    tell_list(s, &i, &i.key, s->wall_ms, 1);
    assert_true(revokes(&i, 1, s->wall_ms));
    assert_int_equal(mk_discovery_list(bed_d(s->b, 0), &list, &i.root), 0);
    tell_list(s, &i, &i.key, s->wall_ms - 1, 2); /* an older one is not news */
    assert_true(revokes(&i, 1, s->wall_ms));
    tell_list(s, &i, &i.key, s->wall_ms, 2); /* nor another one of that version */
    assert_false(revokes(&i, 2, s->wall_ms));
    tell_list(s, &i, &i.key, s->wall_ms + 1, 2);
    assert_true(revokes(&i, 2, s->wall_ms));
    assert_non_null(s->r->conv); /* all of it was honest */
    assert_int_equal(stats(s).expelled, 0);
    /* node 1 does not know the issuer: it keeps nothing that it cannot verify */
    assert_int_equal(mk_discovery_list(bed_d(s->b, 1), &list, &i.root), MK_ENOTFOUND);
    /* a day after its signing it is gone, here too */
    world_run(s->b->w, 86400000 + 60000);
    assert_int_equal(mk_discovery_list(bed_d(s->b, 0), &list, &i.root), MK_ENOTFOUND);
    forget_issuer(s, &i);
}

static void test_a_list_of_an_unknown_issuer(void **state)
{
    struct scene *s = *state;
    struct issuer_of_one i = know_issuer(s);
    struct issuer_of_one other = i;
    struct mk_bytes list;

    other.root = mk_id_of_text(MK_STR("another issuer"));
    tell_list(s, &other, &i.key, s->wall_ms, 1);
    assert_non_null(s->r->conv); /* nobody's fault */
    assert_int_equal(stats(s).refused, 1);
    assert_int_equal(mk_discovery_list(bed_d(s->b, 0), &list, &other.root), MK_ENOTFOUND);
    tell_list(s, &i, &i.key, s->wall_ms + 3600000, 1);  /* from the future */
    tell_list(s, &i, &i.key, s->wall_ms - 86400001, 1); /* too old */
    assert_false(revokes(&i, 1, s->wall_ms));
    assert_int_equal(stats(s).refused, 3);
    forget_issuer(s, &i);
}

static void test_a_forged_list(void **state)
{
    struct scene *s = *state;
    struct issuer_of_one i = know_issuer(s);

    tell_list(s, &i, &s->other, s->wall_ms, 1);
    assert_true(bed_until_closed(s->b, s->r, 2000));
    assert_int_equal(s->r->last_close, MK_CLOSE_MALFORMED);
    assert_false(revokes(&i, 1, s->wall_ms));
    assert_int_equal(stats(s).expelled, 1);
    forget_issuer(s, &i);
}

static void test_our_own_list(void **state)
{
    struct scene *s = *state;
    struct issuer_of_one i = know_issuer(s);
    struct mk_discovery *d = bed_d(s->b, 0);
    struct mk_buf list = {0}, forged = {0};

    list_of(&list, &i, &i.key, s->wall_ms, 1);
    list_of(&forged, &i, &s->other, s->wall_ms + 1, 1);
    assert_int_equal(mk_discovery_revoke(d, mk_buf_bytes(&forged), NULL), MK_ESIGNATURE);
    assert_int_equal(mk_discovery_revoke(d, mk_buf_bytes(&list), NULL), 0);
    assert_int_equal(mk_discovery_revoke(d, mk_buf_bytes(&list), NULL), MK_EEXISTS);
    assert_int_equal(mk_discovery_revoke(bed_d(s->b, 1), mk_buf_bytes(&list), NULL), MK_EREFUSED);
    assert_int_equal(mk_discovery_revoke(d, MK_BYTES(list.p, list.n - 1), NULL), MK_EMALFORMED);
    mk_buf_done(&list);
    mk_buf_done(&forged);
    forget_issuer(s, &i);
}

/* --- the table -------------------------------------------------------------------------------- */

struct shelf {
    struct mk_catalog t;
    struct mk_peer a, b;
    uint64_t now_ns;
};

static int shelf_setup(void **state)
{
    struct shelf *s = mk_alloc(sizeof *s);

    mk_catalog_init(&s->t, (const size_t[]){8, 4, 2});
    s->a = bed_peer(1);
    s->b = bed_peer(2);
    *state = s;
    return 0;
}

static int shelf_teardown(void **state)
{
    struct shelf *s = *state;

    mk_catalog_done(&s->t);
    mk_free(s);
    return 0;
}

static int put(struct shelf *s, unsigned who, uint64_t version, const struct mk_peer *source,
               bool needed)
{
    struct mk_record_head h;
    struct mk_buf bytes = {0};
    struct mk_key k;
    int rv;

    bed_key(&k, who);
    bed_entry(&bytes, &k, (struct bed_entry){.version = version, .expires_ms = 1000 + who});
    assert_int_equal(mk_record_read(&h, MK_RECORD_PEER, mk_buf_bytes(&bytes), &MK_UNIVERSE, NULL),
                     0);
    assert_int_equal(mk_record_verify(&h, mk_buf_bytes(&bytes)), 0);
    rv = mk_catalog_put(&s->t, &h, mk_buf_bytes(&bytes),
                        &(struct mk_source){.peer = *source, .group = 1}, ++s->now_ns, needed);
    mk_buf_done(&bytes);
    mk_key_done(&k);
    return rv;
}

static bool holds(struct shelf *s, unsigned who)
{
    struct mk_peer peer = bed_peer(who);
    struct mk_record_key key = mk_record_peer_key(&peer);

    return mk_catalog_find(&s->t, &key) != NULL;
}

static void check_order(const struct mk_catalog *t)
{
    uint64_t seq = 0;
    size_t n = 0, bytes = 0;

    for (size_t i = 1; i < t->n; i++)
        assert_true(mk_record_key_cmp(&t->v[i - 1]->head.key, &t->v[i]->head.key) < 0);
    for (size_t i = 0; i < t->n; i++) {
        assert_int_equal(mk_catalog_after(t, &t->v[i]->head.key), i + 1);
        bytes += t->v[i]->bytes.n + t->v[i]->rival.n;
    }
    mk_list_each(l, &t->recent)
    {
        const struct mk_record *r = mk_container_of(l, struct mk_record, recent);

        assert_true(r->seq > seq);
        seq = r->seq;
        n++;
    }
    assert_int_equal(n, t->n);
    assert_int_equal(bytes, t->bytes);
}

static void test_table_versions(void **state)
{
    struct shelf *s = *state;

    assert_int_equal(put(s, 10, 5, &s->a, false), 0);
    assert_int_equal(put(s, 10, 5, &s->b, false), MK_EEXISTS);
    assert_int_equal(put(s, 10, 4, &s->b, false), MK_ESTALE);
    assert_int_equal(put(s, 10, 6, &s->b, false), 0);
    assert_int_equal(s->t.n, 1);
    check_order(&s->t);
}

static void test_table_share_of_a_source(void **state)
{
    struct shelf *s = *state;

    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(put(s, 10 + i, 1, &s->a, false), 0);
    assert_int_equal(put(s, 20, 1, &s->a, false), MK_EFULL); /* half of eight */
    assert_int_equal(put(s, 12, 2, &s->a, false), 0);        /* an update takes no place */
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(put(s, 30 + i, 1, &s->b, false), 0);
    assert_int_equal(put(s, 40, 1, &s->b, false), MK_EFULL);
    check_order(&s->t);
}

static void test_table_makes_room_for_what_is_needed(void **state)
{
    struct shelf *s = *state;
    struct mk_peer self = bed_peer(3);

    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(put(s, 10 + i, 1, &s->a, false), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(put(s, 30 + i, 1, &s->b, false), 0);
    assert_int_equal(put(s, 50, 1, &self, true), 0);
    assert_int_equal(put(s, 51, 1, &self, true), 0); /* takes one of a's */
    assert_true(holds(s, 50) && holds(s, 51));
    assert_int_equal(holds(s, 10) + holds(s, 11) + holds(s, 12) + holds(s, 13), 3);
    assert_true(holds(s, 30) && holds(s, 31) && holds(s, 32));
    assert_int_equal(s->t.n, 8);
    check_order(&s->t);
}

static void test_table_purge(void **state)
{
    struct shelf *s = *state;
    uint64_t next;

    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(put(s, 10 + i, 1, i < 4 ? &s->a : &s->b, false), 0);
    assert_int_equal(mk_catalog_purge(&s->t, 1009, &next), 0);
    assert_int_equal(next, 1010);
    assert_int_equal(mk_catalog_purge(&s->t, 1012, &next), 3);
    assert_int_equal(next, 1013);
    assert_false(holds(s, 12));
    assert_true(holds(s, 13));
    check_order(&s->t);
    assert_int_equal(put(s, 60, 1, &s->a, false), 0); /* a's share is free again */
    assert_int_equal(mk_catalog_purge(&s->t, 5000, &next), 6);
    assert_true(next == UINT64_MAX);
    assert_int_equal(s->t.bytes, 0);
    assert_int_equal(s->t.n_sources, 0);
}

static void test_schema_is_pinned(void **state)
{
    struct mk_buf layout = {0};

    (void)state;
    mk_layout(&layout, &mk_peer_entry_type);
    mk_buf_put_u8(&layout, 0);
    assert_string_equal(
        (char *)layout.p,
        "PeerEntry{network:id,peer:peer,version:u64,addresses:*str,tags:*id,surfaces:*id,"
        "deployments:*id,tickets:*{class:id,data:bytes},expires_ms:u64,"
        "signature:[64]u8}");
    mk_buf_done(&layout);
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define SHELF(f) cmocka_unit_test_setup_teardown(f, shelf_setup, shelf_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(test_honest_entry_is_taken),
        SCENE(test_forged_entry),
        SCENE(test_entry_signed_by_another),
        SCENE(test_entry_of_another_network),
        SCENE(test_oversized_entry),
        SCENE(test_entry_with_a_bad_address),
        SCENE(test_forged_deployment),
        SCENE(test_an_unknown_kind),
        SCENE(test_expired_and_too_long_lived),
        SCENE(test_an_entry_from_the_future),
        SCENE(test_announced_and_not_given),
        SCENE(test_another_is_asked),
        SCENE(test_an_old_version_is_not_news),
        SCENE(test_two_entries_of_one_version),
        SCENE(test_a_version_that_jumps),
        SCENE(test_garbage),
        SCENE(test_an_empty_message),
        SCENE(test_a_truncated_batch),
        SCENE(test_a_digest_out_of_order),
        SCENE(test_two_last_digests),
        SCENE(test_mutilated_messages),
        SCENE(test_it_may_come_back_after_a_minute),
        SCENE(test_flood_is_throttled),
        SCENE(test_flood_does_not_push_out_others),
        SCENE(test_a_list_is_taken_and_kept_for_others),
        SCENE(test_a_list_of_an_unknown_issuer),
        SCENE(test_a_forged_list),
        SCENE(test_our_own_list),
        SHELF(test_table_versions),
        SHELF(test_table_share_of_a_source),
        SHELF(test_table_makes_room_for_what_is_needed),
        SHELF(test_table_purge),
        cmocka_unit_test(test_schema_is_pinned),
    };

    return cmocka_run_group_tests_name("rumours", tests, NULL, NULL);
}
