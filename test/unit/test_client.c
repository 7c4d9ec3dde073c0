/* test_client.c - commands, queries and single keys from outside a committee: retries,
 * proofs, members that lie or fall silent. */
#include "reader_bed.h"

static struct mk_bytes text(const char *s)
{
    return MK_BYTES(s, strlen(s));
}

struct result {
    struct mk_call call;
    struct mk_get get;
    unsigned n;
    int status;
    struct mk_fault fault;
    size_t n_commits;
    uint64_t index;
    char value[64];
    struct bed_reader *close; /* close its client inside the callback */
};

static void take(struct result *r, int status, const struct mk_fault *fault)
{
    r->n++;
    r->status = status;
    if (fault != NULL)
        r->fault = *fault;
    if (r->close != NULL) {
        mk_client_close(r->close->client);
        r->close->client = NULL;
    }
}

static void call_cb(struct mk_call *c, int status, const struct mk_outcome *o,
                    const struct mk_fault *fault)
{
    struct result *r = mk_container_of(c, struct result, call);

    assert_true((status == 0) == (o != NULL));
    if (o != NULL) {
        r->n_commits = o->commits.n;
        r->index = o->commits.n > 0 ? o->commits.v[0].index : 0;
        snprintf(r->value, sizeof r->value, "%.*s", (int)o->answer.n, (const char *)o->answer.p);
    }
    take(r, status, fault);
}

static void get_cb(struct mk_get *g, int status, struct mk_bytes value,
                   const struct mk_certificate *c, const struct mk_fault *fault)
{
    struct result *r = mk_container_of(g, struct result, get);

    assert_true((status == 0 || status == MK_ENOTFOUND) == (c != NULL));
    snprintf(r->value, sizeof r->value, "%.*s", (int)value.n, (const char *)value.p);
    take(r, status, fault);
}

static void execute(struct bed_reader *r, struct result *x, const char *command, enum mk_want want,
                    uint32_t timeout_ms)
{
    *x = (struct result){.call.cb = call_cb};
    assert_int_equal(mk_client_execute(r->client, &x->call, text(command), want, timeout_ms), 0);
    assert_int_equal(x->n, 0);
}

static void get(struct bed_reader *r, struct result *x, const char *key, uint64_t max_age_ms,
                uint32_t timeout_ms)
{
    *x = (struct result){.get.cb = get_cb};
    assert_int_equal(mk_client_get(r->client, &x->get, &r->bed->truth.v[BED_MAP].id, text(key),
                                   max_age_ms, timeout_ms),
                     0);
    assert_int_equal(x->n, 0);
}

static bool has_result(void *arg)
{
    return ((struct result *)arg)->n > 0;
}

static int wait_for(struct bed_reader *r, struct result *x)
{
    assert_true(world_run_until(r->bed->w, has_result, x, 60000));
    world_run(r->bed->w, 100);
    assert_int_equal(x->n, 1); /* exactly once */
    return x->status;
}

static struct bed_reader *linked(struct bed *b)
{
    struct bed_reader *r = bed_reader(b, 10);

    for (unsigned i = 0; i < BED_MEMBERS; i++)
        bed_dial(r, i);
    world_run(b->w, 500);
    return r;
}

static void test_execute(void **state)
{
    struct bed *b = bed_new(1);
    struct bed_reader *r = linked(b);
    struct result x[10];

    (void)state;
    execute(r, &x[0], "unproven", MK_WANT_COMMITTED, 5000);
    assert_int_equal(wait_for(r, &x[0]), 0);
    assert_int_equal(x[0].n_commits, 1);
    for (unsigned i = 1; i < 10; i++)
        execute(r, &x[i], (const char *[]){"a", "b", "c"}[i % 3], MK_WANT_CERTIFIED, 5000);
    for (unsigned i = 1; i < 10; i++) {
        assert_int_equal(wait_for(r, &x[i]), 0);
        assert_int_equal(x[i].n_commits, 1);
    }
    assert_int_equal(r->said_n, 0);
    bed_reader_free(r);
    bed_free(b);
}

static void test_query(void **state)
{
    struct bed *b = bed_new(2);
    struct bed_reader *r = linked(b);
    struct result x = {.call.cb = call_cb};

    (void)state;
    assert_int_equal(mk_client_query(r->client, &x.call, text("echo"), true, 1000), 0);
    assert_int_equal(wait_for(r, &x), 0);
    assert_string_equal(x.value, "echo");
    bed_reader_free(r);
    bed_free(b);
}

/* A member whose proof does not add up is dropped, and the command is not done twice. */
static void test_forged_proof(void **state)
{
    struct bed *b = bed_new(3);
    struct bed_reader *r = bed_reader(b, 10);
    struct result x;

    (void)state;
    b->members[0].exec_manner = EXEC_FORGES;
    bed_dial(r, 0);
    execute(r, &x, "deed", MK_WANT_CERTIFIED, 20000);
    assert_true(bed_until_said(r, 1, 5000));
    assert_true(bed_said(r, "dropped: the commit does not add up to the certified head"));
    assert_int_equal(x.n, 0);
    bed_dial(r, 1);
    assert_int_equal(wait_for(r, &x), 0);
    assert_int_equal(b->n_done, 1);
    assert_int_equal(x.index, 1);
    bed_reader_free(r);
    bed_free(b);
}

/* It did the deed and never says so: the next member gives the first answer. */
static void test_silent_member(void **state)
{
    struct bed *b = bed_new(4);
    struct bed_reader *r = bed_reader(b, 10);
    struct result x;

    (void)state;
    b->members[0].exec_manner = EXEC_MUTE;
    bed_dial(r, 0);
    execute(r, &x, "deed", MK_WANT_CERTIFIED, 20000);
    world_run(b->w, 1000);
    bed_dial(r, 2);
    assert_int_equal(wait_for(r, &x), 0);
    assert_true(bed_said(r, "silent"));
    assert_int_equal(b->n_done, 1);
    bed_reader_free(r);
    bed_free(b);
}

static void test_member_dies(void **state)
{
    struct bed *b = bed_new(5);
    struct bed_reader *r = bed_reader(b, 10);
    struct result x;

    (void)state;
    b->members[0].exec_manner = EXEC_MUTE;
    bed_dial(r, 0);
    execute(r, &x, "deed", MK_WANT_COMMITTED, 60000);
    world_run(b->w, 1000);
    assert_int_equal(b->n_done, 1);
    world_kill(b->w, 0);
    bed_dial(r, 2);
    assert_int_equal(wait_for(r, &x), 0);
    assert_int_equal(b->n_done, 1);
    bed_reader_free(r);
    bed_free(b);
}

static void test_asked_again(void **state)
{
    struct bed *b = bed_new(6);
    struct bed_reader *r = bed_reader(b, 10);
    struct result x;

    (void)state;
    b->members[1].exec_manner = EXEC_BUSY_ONCE;
    bed_dial(r, 1);
    for (unsigned i = 0; i < 2; i++) {
        b->members[1].executed = 0;
        execute(r, &x, "deed", MK_WANT_COMMITTED, 5000);
        assert_int_equal(wait_for(r, &x), 0);
        assert_int_equal(b->members[1].executed, 2);
        b->members[1].exec_manner = EXEC_LEAVES_ONCE;
    }
    assert_int_equal(r->said_n, 0);
    bed_reader_free(r);
    bed_free(b);
}

/* A follower names the leader: the client goes there with what is not answered, and stays. */
static void test_to_the_leader(void **state)
{
    struct bed *b = bed_new(15);
    struct bed_reader *r = linked(b);
    struct result x;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        b->members[i].exec_manner = EXEC_POINTS;
        b->members[i].points_to = MK_BYTES(b->peers[2].b, sizeof b->peers[2].b);
    }
    for (unsigned i = 0; i < 5; i++) {
        execute(r, &x, (const char *[]){"a", "b", "c", "d", "e"}[i], MK_WANT_COMMITTED, 200);
        assert_int_equal(wait_for(r, &x), 0);
    }
    assert_int_equal(b->n_done, 5);
    assert_int_equal(b->members[2].executed, 5);
    assert_int_equal(b->members[2].conversations, 1);
    assert_true(b->members[0].executed + b->members[1].executed <= 1);
    assert_int_equal(r->said_n, 0); /* nobody did anything wrong */
    bed_reader_free(r);
    bed_free(b);
}

/* Two members that name each other, or nobody: the client is not sent round and round. */
static void test_misled(void **state)
{
    struct bed *b = bed_new(16);
    struct bed_reader *r = bed_reader(b, 10);
    struct result x;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        b->members[i].exec_manner = EXEC_MISLEADS;
        b->members[i].points_to = MK_BYTES(b->peers[!i].b, sizeof b->peers[0].b);
    }
    b->members[2].points_to = text("nobody");
    bed_dial(r, 2);
    execute(r, &x, "first", MK_WANT_COMMITTED, 5000);
    assert_int_equal(wait_for(r, &x), 0);
    assert_int_equal(b->members[2].conversations, 1);
    b->members[2].points_to = MK_BYTES(b->peers[0].b, sizeof b->peers[0].b);
    bed_dial(r, 0);
    bed_dial(r, 1);
    world_run(b->w, 500);
    for (unsigned i = 0; i < 30; i++) {
        execute(r, &x, (const char *[]){"a", "b", "c"}[i % 3], MK_WANT_COMMITTED, 5000);
        assert_int_equal(wait_for(r, &x), 0); /* 100 ms each */
    }
    assert_in_range(b->members[0].conversations + b->members[1].conversations, 2, 5);
    assert_int_equal(b->n_done, 31);
    bed_reader_free(r);
    bed_free(b);
}

static void test_refusals(void **state)
{
    struct bed *b = bed_new(7);
    struct bed_reader *r = linked(b);
    struct result x;

    (void)state;
    for (unsigned i = 0; i < BED_MEMBERS; i++)
        b->members[i].exec_manner = EXEC_REFUSES;
    execute(r, &x, "deed", MK_WANT_CERTIFIED, 5000);
    assert_int_equal(wait_for(r, &x), MK_EREFUSED);
    assert_string_equal(x.fault.text, "not on a Sunday");
    bed_reader_free(r);

    b->gated = true; /* by a clause, at the door */
    r = linked(b);
    execute(r, &x, "deed", MK_WANT_CERTIFIED, 5000);
    assert_int_equal(wait_for(r, &x), MK_EREFUSED);
    assert_non_null(strstr(x.fault.text, "clause 0 PeerList: not listed"));
    bed_reader_free(r);
    bed_free(b);
}

static void test_nobody(void **state)
{
    struct bed *b = bed_new(8);
    struct bed_reader *r = bed_reader(b, 10);
    struct result x;

    (void)state;
    execute(r, &x, "deed", MK_WANT_CERTIFIED, 3000);
    assert_int_equal(wait_for(r, &x), MK_EUNREACHABLE);
    assert_non_null(strstr(x.fault.text, "no link"));
    get(r, &x, "key", 1000, 3000);
    assert_int_equal(wait_for(r, &x), MK_EUNREACHABLE);
    b->members[0].exec_manner = EXEC_MUTE;
    bed_dial(r, 0);
    execute(r, &x, "deed", MK_WANT_CERTIFIED, 3000);
    assert_int_equal(wait_for(r, &x), MK_ETIMEDOUT); /* it has it: not known */
    bed_reader_free(r);
    bed_free(b);
}

static void test_closed(void **state)
{
    struct bed *b = bed_new(9);
    struct bed_reader *r = linked(b);
    struct result x[3];

    (void)state;
    for (unsigned i = 0; i < BED_MEMBERS; i++)
        b->members[i].exec_manner = EXEC_MUTE;
    execute(r, &x[0], "a", MK_WANT_CERTIFIED, 500);
    execute(r, &x[1], "b", MK_WANT_CERTIFIED, 500);
    get(r, &x[2], "key", 1000, 5000);
    x[0].close = r; /* the first that ends takes the client away */
    assert_int_equal(wait_for(r, &x[0]), MK_ETIMEDOUT);
    assert_int_equal(x[1].n, 1);
    assert_int_equal(x[1].status, MK_ECANCELED);
    assert_int_equal(x[2].n, 1);
    assert_int_equal(x[2].status, MK_ECANCELED);
    bed_reader_free(r);
    bed_free(b);
}

static void test_too_much(void **state)
{
    struct bed *b = bed_new(10);
    struct bed_reader *r = bed_reader(b, 10);
    uint8_t *long_command = mk_alloc(MK_COMMAND_MAX + 1);
    struct result x = {.call.cb = call_cb};

    (void)state;
    assert_int_equal(mk_client_execute(r->client, &x.call,
                                       MK_BYTES(long_command, MK_COMMAND_MAX + 1),
                                       MK_WANT_COMMITTED, 1000),
                     MK_ELIMIT);
    mk_free(long_command);
    bed_reader_free(r);
    bed_free(b);
}

/* --- single keys ----------------------------------------------------------------------------- */

static void test_get(void **state)
{
    struct bed *b = bed_new(11);
    struct bed_reader *r = linked(b);
    struct result x, y;

    (void)state;
    bed_put(b, "alpha", "1");
    bed_put(b, "beta", "2");
    get(r, &x, "alpha", 5000, 5000);
    get(r, &y, "gamma", 5000, 5000);
    world_run(b->w, 100);
    bed_certify(b, 3);
    bed_put(b, "gamma", "uncertified");
    assert_int_equal(wait_for(r, &x), 0);
    assert_string_equal(x.value, "1");
    assert_int_equal(wait_for(r, &y), MK_ENOTFOUND); /* proven, at the certified head */
    world_run(b->w, 20000);                          /* the conversation was closed meanwhile */
    for (unsigned i = 0; i < BED_MEMBERS; i++)
        assert_int_equal(mk_serve_readers(b->members[i].serve), 0);
    bed_certify(b, 6);
    get(r, &y, "gamma", 5000, 5000);
    assert_int_equal(wait_for(r, &y), 0);
    assert_string_equal(y.value, "uncertified");
    bed_reader_free(r);
    bed_free(b);
}

static void recertify(struct world *w, void *arg)
{
    (void)w;
    bed_certify(arg, 7);
}

static void test_get_stale(void **state)
{
    struct bed *b = bed_new(12);
    struct bed_reader *r = linked(b);
    struct result x;

    (void)state;
    bed_put(b, "alpha", "1");
    bed_certify(b, 7);
    world_clock_jump(b->w, 10,
                     1700000000000 + (int64_t)world_time(b->w) - (int64_t)mk_wall_ms(r->env));
    world_run(b->w, 8000);
    get(r, &x, "alpha", 0, 3000); /* of any age */
    assert_int_equal(wait_for(r, &x), 0);
    get(r, &x, "alpha", 2000, 3000);
    assert_int_equal(wait_for(r, &x), MK_ESTALE);
    assert_non_null(strstr(x.fault.text, "ms old, 2000 are allowed"));
    get(r, &x, "alpha", 2000, 3000);
    world_after(b->w, 1000, recertify, b); /* heads are renewed while somebody waits */
    assert_int_equal(wait_for(r, &x), 0);
    assert_string_equal(x.value, "1");
    bed_reader_free(r);
    bed_free(b);
}

static void lookup_lie(enum bed_lie lie)
{
    struct bed *b = bed_new(20 + (uint64_t)lie);
    struct bed_reader *r = bed_reader(b, 10);
    struct result x;

    for (unsigned i = 0; i < 5; i++)
        bed_put(b, (const char *[]){"alpha", "beta", "gamma", "delta", "epsilon"}[i], "true");
    bed_certify(b, 7);
    b->members[0].lie = lie;
    bed_dial(r, 0);
    get(r, &x, "gamma", 0, 10000);
    assert_true(bed_until_said(r, 1, 5000));
    assert_true(bed_said(r, "dropped: the proof does not add up to the certified root"));
    assert_int_equal(x.n, 0);
    bed_dial(r, 1);
    assert_int_equal(wait_for(r, &x), 0);
    assert_string_equal(x.value, "true");
    bed_reader_free(r);
    bed_free(b);
}

static void test_get_forged(void **state)
{
    (void)state;
    lookup_lie(BED_LOOKUP_FORGED);
    lookup_lie(BED_LOOKUP_ABSENT);
}

static void test_get_waits_for_certificate(void **state)
{
    struct bed *b = bed_new(13);
    struct bed_reader *r = linked(b);
    struct result x;

    (void)state;
    bed_put(b, "alpha", "1");
    get(r, &x, "alpha", 0, 5000);
    world_after(b->w, 800, recertify, b);
    assert_int_equal(wait_for(r, &x), 0);
    assert_string_equal(x.value, "1");
    bed_reader_free(r);
    bed_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_execute),       cmocka_unit_test(test_query),
        cmocka_unit_test(test_forged_proof),  cmocka_unit_test(test_silent_member),
        cmocka_unit_test(test_member_dies),   cmocka_unit_test(test_asked_again),
        cmocka_unit_test(test_to_the_leader), cmocka_unit_test(test_misled),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_closed),        cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_get),           cmocka_unit_test(test_get_stale),
        cmocka_unit_test(test_get_forged),    cmocka_unit_test(test_get_waits_for_certificate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
