/* test_certificate.c - certificates, chains of rosters, a reader's memory. */
#include "unit.h"

#include "collections/certificate.h"

#include <stdlib.h>

#define N 5

static struct mk_key keys[N + 3]; /* sorted by peer; the last three are strangers to epoch 1 */
static struct mk_peer peers[N + 3];
static struct mk_roster roster;
static const struct mk_id deployment = {{9}}, surface = {{7}};

static int by_peer(const void *a, const void *b)
{
    return mk_peer_cmp(&((const struct mk_key *)a)->peer, &((const struct mk_key *)b)->peer);
}

static int set_up(void **state)
{
    (void)state;
    for (unsigned i = 0; i < N + 3; i++) {
        uint8_t seed[32] = {(uint8_t)(i + 1)};

        mk_key_from_seed(&keys[i], seed);
    }
    qsort(keys, N + 3, sizeof keys[0], by_peer);
    for (unsigned i = 0; i < N + 3; i++)
        peers[i] = keys[i].peer;
    roster = (struct mk_roster){.deployment = deployment, .epoch = 1, .peers = {peers, N}};
    return 0;
}

struct cert {
    struct mk_certificate c;
    struct mk_peer_signature s[N + 3];
};

/* Signed by the keys whose bits are set. */
static struct mk_certificate *sign(struct cert *x, struct mk_head head, unsigned who)
{
    size_t n = 0;

    for (unsigned i = 0; i < N + 3; i++) {
        if ((who >> i & 1) == 0)
            continue;
        x->s[n].peer = peers[i];
        mk_head_sign(&keys[i], &head, &x->s[n].signature);
        n++;
    }
    x->c = (struct mk_certificate){.head = head, .signatures = {x->s, n}};
    return &x->c;
}

static struct mk_head head_of(uint64_t epoch, uint64_t index, uint64_t time_ms)
{
    struct mk_head h = {.deployment = deployment,
                        .epoch = epoch,
                        .surface = surface,
                        .index = index,
                        .time_ms = time_ms};

    h.commit.b[0] = (uint8_t)index;
    h.state.b[0] = (uint8_t)index;
    return h;
}

static void assert_refused(const struct mk_certificate *c, const char *why)
{
    struct mk_fault fault = {""};

    assert_int_equal(mk_certificate_check(c, &roster, &fault), MK_ESIGNATURE);
    if (strstr(fault.text, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", fault.text, why);
}

static void test_certificate(void **state)
{
    struct mk_peer_signature swap;
    struct mk_certificate *c;
    struct cert x;

    (void)state;
    for (unsigned who = 0; who < 1u << N; who++) {
        c = sign(&x, head_of(1, 4, 100), who);
        if (__builtin_popcount(who) >= 3)
            assert_int_equal(mk_certificate_check(c, &roster, NULL), 0);
        else
            assert_refused(c, "signatures, 3 of 5 members are needed");
    }
    c = sign(&x, head_of(1, 4, 100), 7);
    c->head.index++;
    assert_refused(c, "is bad");
    c = sign(&x, head_of(1, 4, 100), 7);
    c->head.state.b[31] ^= 1;
    assert_refused(c, "is bad");
    c = sign(&x, head_of(1, 4, 100), 7);
    x.s[1].signature.b[3] ^= 1;
    assert_refused(c, "is bad");
    c = sign(&x, head_of(1, 4, 100), 7);
    x.s[2] = x.s[1]; /* one voice twice */
    assert_refused(c, "sorted and distinct");
    c = sign(&x, head_of(1, 4, 100), 7);
    swap = x.s[2];
    x.s[2] = x.s[1];
    x.s[1] = swap;
    assert_refused(c, "sorted and distinct");
    c = sign(&x, head_of(1, 4, 100), 3u | 1u << N); /* two members and a stranger */
    assert_refused(c, "is not of the roster");
    c = sign(&x, head_of(2, 4, 100), 7);
    assert_refused(c, "epoch");
    c = sign(&x, head_of(1, 4, 100), 7);
    c->head.deployment.b[0] ^= 1;
    assert_refused(c, "another deployment");
}

/* --- roster changes ----------------------------------------------------------------- */

struct change {
    struct mk_roster_change c;
    struct mk_head heads[2];
    struct mk_peer_signature old[N + 3], new[N + 3];
};

static size_t sign_change(const struct mk_roster_change *c, struct mk_peer_signature *out,
                          unsigned who)
{
    struct mk_buf m = {0};
    size_t n = 0;

    mk_roster_change_message(&m, c);
    for (unsigned i = 0; i < N + 3; i++) {
        if ((who >> i & 1) == 0)
            continue;
        out[n].peer = peers[i];
        mk_sign(&keys[i], mk_buf_bytes(&m), &out[n].signature);
        n++;
    }
    mk_buf_done(&m);
    return n;
}

/* From epoch 1 (keys 0-4) to epoch 2 (keys 3-7), which ended the surface at index 10. */
static struct mk_roster_change *make_change(struct change *x, unsigned old, unsigned new)
{
    x->heads[0] = head_of(1, 10, 500);
    x->c = (struct mk_roster_change){.roster = {.deployment = deployment,
                                                .epoch = 2,
                                                .previous = mk_roster_id(&roster),
                                                .peers = {peers + 3, N}},
                                     .heads = {x->heads, 1}};
    x->c.old.n = sign_change(&x->c, x->old, old);
    x->c.old.v = x->old;
    x->c.new.n = sign_change(&x->c, x->new, new);
    x->c.new.v = x->new;
    return &x->c;
}

#define OLD_MAJORITY 0x07u /* keys 0, 1, 2 */
#define NEW_MAJORITY 0xe0u /* keys 5, 6, 7 */

static void test_roster_change(void **state)
{
    struct mk_roster_change *c;
    struct change x;

    (void)state;
    c = make_change(&x, OLD_MAJORITY, NEW_MAJORITY);
    assert_int_equal(mk_roster_change_check(c, &roster, NULL), 0);
    c = make_change(&x, 0x03, NEW_MAJORITY);
    assert_int_equal(mk_roster_change_check(c, &roster, NULL), MK_ESIGNATURE);
    c = make_change(&x, OLD_MAJORITY, 0xc0);
    assert_int_equal(mk_roster_change_check(c, &roster, NULL), MK_ESIGNATURE);
    c = make_change(&x, OLD_MAJORITY, OLD_MAJORITY);
    assert_int_equal(mk_roster_change_check(c, &roster, NULL), MK_ESIGNATURE);
    c = make_change(&x, OLD_MAJORITY, NEW_MAJORITY);
    c->roster.epoch = 3;
    assert_int_equal(mk_roster_change_check(c, &roster, NULL), MK_ESIGNATURE);
    c = make_change(&x, OLD_MAJORITY, NEW_MAJORITY);
    c->roster.previous.b[0] ^= 1;
    assert_int_equal(mk_roster_change_check(c, &roster, NULL), MK_ESIGNATURE);
    c = make_change(&x, OLD_MAJORITY, NEW_MAJORITY);
    x.heads[0].index = 11; /* the heads are signed too */
    assert_int_equal(mk_roster_change_check(c, &roster, NULL), MK_ESIGNATURE);
    c = make_change(&x, OLD_MAJORITY, NEW_MAJORITY);
    c->roster.peers.n--;
    assert_int_equal(mk_roster_change_check(c, &roster, NULL), MK_ESIGNATURE);
}

/* --- a reader's memory ----------------------------------------------------------------- */

static int accept(struct mk_reader_memory *m, struct mk_head h, unsigned who)
{
    struct cert x;

    return mk_reader_accept(m, sign(&x, h, who), NULL);
}

static uint64_t newest_index(const struct mk_reader_memory *m)
{
    const struct mk_certificate *c;

    assert_int_equal(mk_reader_newest(m, &surface, &c), 0);
    return c->head.index;
}

static struct mk_reader_memory *reopened(struct mk_reader_memory *m)
{
    struct mk_reader_memory *back;
    struct mk_buf bytes = {0}, again = {0};

    mk_reader_memory_encode(m, &bytes);
    assert_int_equal(mk_reader_memory_decode(&back, mk_buf_bytes(&bytes), NULL), 0);
    mk_reader_memory_encode(back, &again);
    assert_true(mk_bytes_eq(mk_buf_bytes(&bytes), mk_buf_bytes(&again)));
    mk_reader_memory_free(m);
    mk_buf_done(&bytes);
    mk_buf_done(&again);
    return back;
}

static void test_never_back(void **state)
{
    struct mk_reader_memory *m = mk_reader_memory_new(&roster);
    const struct mk_certificate *c;

    (void)state;
    assert_int_equal(mk_reader_newest(m, &surface, &c), MK_ENOTFOUND);
    assert_int_equal(accept(m, head_of(1, 5, 100), 7), 0);
    assert_int_equal(accept(m, head_of(1, 4, 900), 7), MK_ESTALE);
    assert_int_equal(accept(m, head_of(1, 5, 99), 7), MK_ESTALE);
    assert_int_equal(accept(m, head_of(1, 5, 200), 7), 0); /* renewed */
    assert_int_equal(accept(m, head_of(1, 6, 200), 3), MK_ESIGNATURE);
    assert_int_equal(newest_index(m), 5);
    m = reopened(m);
    assert_int_equal(accept(m, head_of(1, 4, 900), 7), MK_ESTALE);
    assert_int_equal(accept(m, head_of(1, 9, 201), 0x1c), 0);
    assert_int_equal(newest_index(m), 9);
    assert_int_equal(mk_reader_newest_ms(m), 201);
    mk_reader_memory_free(m);
}

static void test_epochs(void **state)
{
    struct mk_reader_memory *m = mk_reader_memory_new(&roster);
    struct mk_roster_change *c;
    struct change x, y;

    (void)state;
    assert_int_equal(accept(m, head_of(1, 8, 100), 7), 0);
    assert_int_equal(accept(m, head_of(2, 12, 100), NEW_MAJORITY), MK_ENOTFOUND);
    c = make_change(&x, OLD_MAJORITY, NEW_MAJORITY);
    assert_int_equal(mk_reader_learn(m, c, NULL), 0);
    assert_int_equal(mk_reader_learn(m, c, NULL), 0);
    assert_int_equal(mk_reader_epoch(m), 2);
    m = reopened(m);
    assert_int_equal(mk_reader_epoch(m), 2);
    /* The old epoch proves what it reached, no more. */
    assert_int_equal(accept(m, head_of(1, 11, 600), 7), MK_ESIGNATURE);
    assert_int_equal(accept(m, head_of(1, 10, 500), 7), 0);
    assert_int_equal(accept(m, head_of(2, 12, 700), 7), MK_ESIGNATURE);
    assert_int_equal(accept(m, head_of(2, 12, 700), NEW_MAJORITY), 0);
    assert_int_equal(accept(m, head_of(1, 10, 800), 7), MK_ESTALE);
    assert_int_equal(newest_index(m), 12);
    /* Another chain from the same roster. */
    c = make_change(&y, 0x1c, NEW_MAJORITY);
    y.heads[0].index = 9;
    c->old.n = sign_change(c, y.old, 0x1c);
    c->new.n = sign_change(c, y.new, NEW_MAJORITY);
    c->roster.peers.n = N;
    assert_int_equal(mk_reader_learn(m, c, NULL), 0); /* the same roster, known already */
    c->roster.peers.v = peers + 2;
    assert_int_equal(mk_reader_learn(m, c, NULL), MK_ECONFLICT);
    c->roster.epoch = 4;
    assert_int_equal(mk_reader_learn(m, c, NULL), MK_ENOTFOUND);
    mk_reader_memory_free(m);
}

static void assert_proof(const struct mk_reader_memory *m, unsigned guilty)
{
    const struct mk_certificate *a, *b;
    struct mk_arena arena = {0};
    struct mk_peers who, again;
    size_t n = 0;

    assert_true(mk_reader_conflict(m, &a, &b, &who));
    assert_int_equal(mk_conflict_check(a, b, &roster, &again, &arena), MK_ECONFLICT);
    assert_int_equal(who.n, again.n);
    for (unsigned i = 0; i < N; i++)
        if (guilty >> i & 1)
            assert_memory_equal(who.v[n++].b, peers[i].b, 32);
    assert_int_equal(n, who.n);
    mk_arena_done(&arena);
}

static void test_conflict(void **state)
{
    struct mk_reader_memory *m = mk_reader_memory_new(&roster);
    struct mk_head other = head_of(1, 5, 100);
    const struct mk_certificate *a, *b;
    struct mk_peers guilty;

    (void)state;
    other.commit.b[9] ^= 1;
    assert_int_equal(accept(m, head_of(1, 5, 100), 0x07), 0);
    assert_false(mk_reader_conflict(m, &a, &b, &guilty));
    assert_int_equal(accept(m, other, 0x18), MK_ESIGNATURE); /* a minority proves nothing */
    assert_false(mk_reader_conflict(m, &a, &b, &guilty));
    assert_int_equal(accept(m, other, 0x1e), MK_ECONFLICT);
    assert_proof(m, 0x06);
    assert_int_equal(accept(m, head_of(1, 6, 100), 0x07), MK_ECONFLICT); /* it stops */
    m = reopened(m);
    assert_proof(m, 0x06);
    assert_int_equal(accept(m, head_of(1, 6, 100), 0x07), MK_ECONFLICT);
    mk_reader_memory_free(m);
}

static void test_conflict_check(void **state)
{
    struct mk_head other = head_of(1, 5, 100);
    struct mk_arena arena = {0};
    struct mk_peers guilty;
    struct cert x, y;

    (void)state;
    other.state.b[1] ^= 1;
    sign(&x, head_of(1, 5, 100), 0x07);
    sign(&y, other, 0x1c);
    assert_int_equal(mk_conflict_check(&x.c, &y.c, &roster, &guilty, &arena), MK_ECONFLICT);
    assert_int_equal(guilty.n, 1);
    assert_memory_equal(guilty.v[0].b, peers[2].b, 32);
    y.s[0].signature.b[0] ^= 1; /* what is not signed accuses nobody */
    assert_int_equal(mk_conflict_check(&x.c, &y.c, &roster, &guilty, &arena), 0);
    sign(&y, head_of(1, 5, 900), 0x1c); /* a renewal is no conflict */
    assert_int_equal(mk_conflict_check(&x.c, &y.c, &roster, &guilty, &arena), 0);
    sign(&y, head_of(1, 6, 100), 0x1c);
    assert_int_equal(mk_conflict_check(&x.c, &y.c, &roster, &guilty, &arena), 0);
    mk_arena_done(&arena);
}

static void test_fresh(void **state)
{
    struct mk_certificate c = {.head = {.time_ms = 100000}};
    struct mk_fault fault;

    (void)state;
    assert_int_equal(mk_reader_fresh(&c, 100000, 0, NULL), 0);
    assert_int_equal(mk_reader_fresh(&c, 103000, 3000, NULL), 0);
    assert_int_equal(mk_reader_fresh(&c, 103001, 3000, &fault), MK_ESTALE);
    assert_string_equal(fault.text, "the head is 3001 ms old, 3000 are allowed");
    assert_int_equal(mk_reader_fresh(&c, 95000, 3000, NULL), 0);
    assert_int_equal(mk_reader_fresh(&c, 94999, 3000, NULL), MK_ESTALE);
}

static void test_memory_damaged(void **state)
{
    struct mk_reader_memory *m = mk_reader_memory_new(&roster), *back;
    struct mk_buf bytes = {0};
    struct change x;

    (void)state;
    assert_int_equal(mk_reader_learn(m, make_change(&x, OLD_MAJORITY, NEW_MAJORITY), NULL), 0);
    assert_int_equal(accept(m, head_of(2, 12, 700), NEW_MAJORITY), 0);
    mk_reader_memory_encode(m, &bytes);
    for (size_t i = 0; i < bytes.n; i++) {
        bytes.p[i] ^= 0x40;
        assert_int_equal(mk_reader_memory_decode(&back, mk_buf_bytes(&bytes), NULL), MK_EMALFORMED);
        assert_int_equal(mk_reader_memory_decode(&back, MK_BYTES(bytes.p, i), NULL), MK_EMALFORMED);
        bytes.p[i] ^= 0x40;
    }
    mk_buf_done(&bytes);
    mk_reader_memory_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certificate), cmocka_unit_test(test_roster_change),
        cmocka_unit_test(test_never_back),  cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_conflict),    cmocka_unit_test(test_conflict_check),
        cmocka_unit_test(test_fresh),       cmocka_unit_test(test_memory_damaged),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
