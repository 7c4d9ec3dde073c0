/* test_linear.c - the checker of histories: situations with a known verdict, thousands of
 * small random histories against a search that tries every order, bad texts, and the
 * histories of others (etcd, Knossos, Porcupine), where they are at hand. */
#include "vectors.h"

#include <mosaik/linear.h>
#include <stdio.h>

#include "../sim/prng.h"

static struct mk_linear_result judge(enum mk_linear_model model, const char *text)
{
    struct mk_linear *h = mk_linear_new(model);
    struct mk_fault fault = {{0}};
    struct mk_linear_result r;

    if (mk_linear_parse(h, mk_str_of(text), &fault) != 0)
        fail_msg("%s", fault.text);
    mk_linear_check(h, &r, &(struct mk_linear_limits){0});
    mk_linear_free(h);
    return r;
}

#define INVOKE(p, f, v) "{:process " #p " :type :invoke :f " f " :value " v "}\n"
#define OK(p, f, v) "{:process " #p " :type :ok :f " f " :value " v "}\n"
#define FAIL(p, f, v) "{:process " #p " :type :fail :f " f " :value " v "}\n"
#define INFO(p, f, v) "{:process " #p " :type :info :f " f " :value " v "}\n"
#define BOTH(p, f, v) INVOKE(p, f, v) OK(p, f, v)

static void assert_verdict(enum mk_linear_model model, enum mk_linear_verdict v, const char *text)
{
    struct mk_linear_result r = judge(model, text);

    if (r.verdict != v)
        fail_msg("verdict %d (%s), not %d:\n%s", r.verdict, r.why, v, text);
}

static void test_registers(void **state)
{
    const enum mk_linear_model m = MK_LINEAR_CAS_REGISTER;

    (void)state;
    assert_verdict(m, MK_LINEAR_OK, BOTH(1, ":write", "1") BOTH(2, ":read", "1"));
    assert_verdict(m, MK_LINEAR_REFUSED, BOTH(1, ":write", "1") BOTH(2, ":read", "nil"));
    assert_verdict(m, MK_LINEAR_OK, "[" INVOKE(1, ":write", "1") BOTH(2, ":read", "1") "]");
    assert_verdict(m, MK_LINEAR_REFUSED, /* new, then old */
                   INVOKE(1, ":write", "1") BOTH(2, ":read", "1") BOTH(2, ":read", "nil"));
    assert_verdict(m, MK_LINEAR_OK,
                   BOTH(1, ":write", "1") BOTH(1, ":cas", "[1 2]") BOTH(2, ":read", "2"));
    assert_verdict(m, MK_LINEAR_REFUSED, BOTH(1, ":write", "1") BOTH(1, ":cas", "[3 2]"));
    assert_verdict(m, MK_LINEAR_OK,
                   INVOKE(1, ":write", "7") FAIL(1, ":write", "7") BOTH(2, ":read", "nil"));
    assert_verdict(m, MK_LINEAR_REFUSED,
                   INVOKE(1, ":write", "7") FAIL(1, ":write", "7") BOTH(2, ":read", "7"));
}

/* Not answered: at any later time, or never, but not before. */
static void test_open_operations(void **state)
{
    const enum mk_linear_model m = MK_LINEAR_CAS_REGISTER;

    (void)state;
    assert_verdict(m, MK_LINEAR_OK,
                   INVOKE(1, ":write", "1") INFO(1, ":write", "1") BOTH(2, ":read", "nil")
                       BOTH(2, ":read", "1"));
    assert_verdict(m, MK_LINEAR_REFUSED,
                   INVOKE(1, ":write", "1") INFO(1, ":write", "1") BOTH(2, ":read", "1")
                       BOTH(2, ":write", "2") BOTH(2, ":read", "1"));
    assert_verdict(m, MK_LINEAR_REFUSED, BOTH(2, ":read", "1") INVOKE(1, ":write", "1"));
    assert_verdict(m, MK_LINEAR_OK, /* the same write twice, both open */
                   INVOKE(1, ":write", "1") INVOKE(2, ":write", "1") BOTH(3, ":write", "2")
                       BOTH(3, ":read", "1") BOTH(3, ":write", "2") BOTH(3, ":read", "1"));
    assert_verdict(m, MK_LINEAR_REFUSED, /* a third time */
                   INVOKE(1, ":write", "1") INVOKE(2, ":write", "1") BOTH(3, ":write", "2")
                       BOTH(3, ":read", "1") BOTH(3, ":write", "2") BOTH(3, ":read", "1")
                           BOTH(3, ":write", "2") BOTH(3, ":read", "1"));
}

/* A write of what is there already matters when something comes between. */
static void test_writes_of_the_same(void **state)
{
    (void)state;
    assert_verdict(MK_LINEAR_CAS_REGISTER, MK_LINEAR_OK,
                   BOTH(1, ":write", "2") INVOKE(2, ":write", "3") INVOKE(3, ":write", "2")
                       BOTH(4, ":read", "3") OK(3, ":write", "2") BOTH(5, ":read", "2")
                           OK(2, ":write", "3"));
}

static void test_other_models(void **state)
{
    (void)state;
    assert_verdict(MK_LINEAR_MUTEX, MK_LINEAR_OK,
                   BOTH(1, ":acquire", "nil") BOTH(1, ":release", "nil")
                       BOTH(2, ":acquire", "nil"));
    assert_verdict(MK_LINEAR_MUTEX, MK_LINEAR_REFUSED,
                   BOTH(1, ":acquire", "nil") BOTH(2, ":acquire", "nil"));
    assert_verdict(MK_LINEAR_MULTI_REGISTER, MK_LINEAR_OK,
                   BOTH(1, ":txn", "[[:read :x 0] [:write :y 2]]")
                       BOTH(2, ":txn", "[[:read :y 2] [:write :y 3] [:read :y 3]]"));
    assert_verdict(MK_LINEAR_MULTI_REGISTER, MK_LINEAR_REFUSED,
                   BOTH(1, ":txn", "[[:write :x 1] [:write :y 1]]")
                       BOTH(2, ":txn", "[[:read :x 1] [:read :y 0]]"));
    assert_verdict(MK_LINEAR_COUNTER, MK_LINEAR_OK,
                   INVOKE(1, ":add", "nil") INVOKE(2, ":add", "nil") OK(1, ":add", "2")
                       OK(2, ":add", "1") BOTH(1, ":read", "2"));
    assert_verdict(MK_LINEAR_COUNTER, MK_LINEAR_REFUSED, BOTH(1, ":add", "1") BOTH(1, ":add", "1"));
}

static void test_a_refusal_names_its_line(void **state)
{
    struct mk_linear_result r =
        judge(MK_LINEAR_CAS_REGISTER,
              "; a comment\n" BOTH(1, ":write", "1") BOTH(1, ":write", "2") BOTH(2, ":read", "1"));

    (void)state;
    assert_int_equal(r.verdict, MK_LINEAR_REFUSED);
    assert_int_equal(r.operations, 3);
    assert_int_equal(r.line, 7);
    assert_string_equal(r.why,
                        "no order explains the answer of a read; the best explains 2 of 3 answers");
}

static bool at_once(void *arg)
{
    (void)arg;
    return true;
}

/* Forty writes at once, and a value that nobody wrote: every order, or out of time. */
/* 64 writes that nobody answered, at once: who was read happened by then, who was not does not
 * count. `stale`: in the end one is read again that was overwritten. */
static enum mk_linear_verdict wide(bool stale)
{
    struct mk_linear *h = mk_linear_new(MK_LINEAR_CAS_REGISTER);
    struct mk_linear_result r;

    for (uint64_t i = 1; i <= 64; i++)
        mk_linear_put(h,
                      &(struct mk_linear_operation){MK_LINEAR_WRITE, 0, i, 0, i, MK_LINEAR_NEVER});
    for (uint64_t i = 1; i <= (stale ? 8 : 32); i++)
        mk_linear_put(h, &(struct mk_linear_operation){MK_LINEAR_READ, 0, 2 * i, 0, 100 + 2 * i,
                                                       101 + 2 * i});
    mk_linear_put(h, &(struct mk_linear_operation){MK_LINEAR_READ, 0, stale ? 2 : 64, 0, 200, 201});
    mk_linear_check(h, &r, &(struct mk_linear_limits){.bytes = 1 << 20});
    mk_linear_free(h);
    return r.verdict;
}

static void test_many_open_writes(void **state)
{
    (void)state;
    assert_int_equal(wide(false), MK_LINEAR_OK);
    assert_int_equal(wide(true), MK_LINEAR_REFUSED);
}

static void test_out_of_time(void **state)
{
    struct mk_linear *h = mk_linear_new(MK_LINEAR_CAS_REGISTER);
    struct mk_linear_result r;

    (void)state;
    for (uint64_t i = 1; i <= 40; i++)
        mk_linear_put(h, &(struct mk_linear_operation){MK_LINEAR_WRITE, 0, i, 0, 1, 100});
    mk_linear_put(h, &(struct mk_linear_operation){MK_LINEAR_READ, 0, 99, 0, 101, 102});
    mk_linear_check(h, &r, &(struct mk_linear_limits){.expired = at_once});
    assert_int_equal(r.verdict, MK_LINEAR_UNKNOWN);
    mk_linear_check(h, &r, &(struct mk_linear_limits){.bytes = 1 << 20});
    assert_int_equal(r.verdict, MK_LINEAR_UNKNOWN);
    mk_linear_free(h);
}

/* --- against every order ------------------------------------------------------------------ */

#define SMALL 6u

static bool happens(const struct mk_linear_operation *o, uint64_t *value)
{
    bool known = o->answered != MK_LINEAR_NEVER;

    switch ((int)o->kind) {
    case MK_LINEAR_READ:
        return !known || *value == o->a;
    case MK_LINEAR_WRITE:
        *value = o->a;
        return true;
    case MK_LINEAR_CAS:
        if (*value == o->a)
            *value = o->b;
        else
            return !known;
        return true;
    default:
        return false;
    }
}

/* Is there an order of what is left, from this value? */
static bool any_order(const struct mk_linear_operation *v, unsigned n, unsigned done,
                      uint64_t value)
{
    bool complete = true;

    for (unsigned i = 0; i < n; i++)
        complete = complete && (done >> i & 1 || v[i].answered == MK_LINEAR_NEVER);
    if (complete)
        return true;
    for (unsigned i = 0; i < n; i++) {
        uint64_t next = value;
        bool may = (done >> i & 1) == 0;

        for (unsigned j = 0; j < n && may; j++)
            may = i == j || done >> j & 1 || v[j].answered >= v[i].invoked;
        if (may && happens(&v[i], &next) && any_order(v, n, done | 1u << i, next))
            return true;
    }
    return false;
}

static void test_against_every_order(void **state)
{
    struct prng p = prng_of(7, 1);
    unsigned refused = 0, rounds = 20000;

    (void)state;
    for (unsigned round = 0; round < rounds; round++) {
        struct mk_linear *h = mk_linear_new(MK_LINEAR_CAS_REGISTER);
        struct mk_linear_operation v[SMALL];
        unsigned n = 2 + (unsigned)prng_below(&p, SMALL - 1);
        struct mk_linear_result r;
        bool expected;

        for (unsigned i = 0; i < n; i++) {
            v[i] = (struct mk_linear_operation){
                .kind = (enum mk_linear_kind)prng_below(&p, 3),
                .a = prng_below(&p, 4),
                .b = prng_below(&p, 4),
                .invoked = prng_below(&p, 12),
            };
            v[i].answered = prng_one_in(&p, 4) ? MK_LINEAR_NEVER : v[i].invoked + prng_below(&p, 7);
            mk_linear_put(h, &v[i]);
        }
        expected = any_order(v, n, 0, 0);
        mk_linear_check(h, &r, &(struct mk_linear_limits){0});
        if ((r.verdict == MK_LINEAR_OK) != expected) {
            for (unsigned i = 0; i < n; i++)
                print_message("kind %d %llu %llu from %llu to %lld\n", v[i].kind,
                              (unsigned long long)v[i].a, (unsigned long long)v[i].b,
                              (unsigned long long)v[i].invoked, (long long)v[i].answered);
            fail_msg("round %u: verdict %d", round, r.verdict);
        }
        refused += !expected;
        mk_linear_free(h);
    }
    assert_true(refused > rounds / 10 && refused < rounds * 9 / 10);
}

/* Texts that were put and appended one after the other by one thing are found right, and
 * wrong when one answer is changed. */
static void test_texts_of_one_thing(void **state)
{
    struct prng p = prng_of(8, 1);

    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        struct mk_buf text = {0}, value = {0};
        unsigned spoilt = (unsigned)prng_below(&p, 2), reads = 0;

        for (unsigned i = 0; i < 30; i++) {
            unsigned kind = (unsigned)prng_below(&p, 8);

            if (kind >= 4) {
                bool spoil = spoilt && i > 20 && reads++ == 0;

                mk_buf_printf(&text,
                              "{:process %u :type :invoke :f :get :key \"k\" :value nil}"
                              "{:process %u :type :ok :f :get :key \"k\" :value \"%.*s%s\"}\n",
                              i, i, (int)value.n, (const char *)value.p, spoil ? "?" : "");
                continue;
            }
            if (kind == 0)
                mk_buf_clear(&value);
            mk_buf_printf(&value, "<%u>", i);
            mk_buf_printf(&text,
                          "{:process %u :type :invoke :f %s :key \"k\" :value \"<%u>\"}"
                          "{:process %u :type :%s :f %s :key \"k\" :value \"<%u>\"}\n",
                          i, kind == 0 ? ":put" : ":append", i, i, kind == 1 ? "info" : "ok",
                          kind == 0 ? ":put" : ":append", i);
        }
        mk_buf_put_u8(&text, 0);
        assert_verdict(MK_LINEAR_KV, reads > 0 ? MK_LINEAR_REFUSED : MK_LINEAR_OK,
                       (const char *)text.p);
        mk_buf_done(&text);
        mk_buf_done(&value);
    }
}

/* --- bad texts ------------------------------------------------------------------------------- */

static void test_bad_texts(void **state)
{
    static const struct {
        enum mk_linear_model model;
        const char *text, *part;
    } bad[] = {
        {MK_LINEAR_KV, "", "no record in it"},
        {MK_LINEAR_KV, "a poem", "no record in it"},
        {MK_LINEAR_KV, "[{:process 1", "line 1: a bracket that is not closed"},
        {MK_LINEAR_KV, "[\n\n3]", "line 3: an operation is a map"},
        {MK_LINEAR_KV, "{:a}", "line 1: a map with a key and no value"},
        {MK_LINEAR_KV, "{:a \"b}", "line 1: a string that does not end"},
        {MK_LINEAR_KV, "[{:a 1}", "the list of operations is not closed"},
        {MK_LINEAR_KV, "{:a 1}]", "line 1: a closing bracket without its opening one"},
        {MK_LINEAR_KV, "{:process 1}", "line 1: a record has a :process, a :type and an :f"},
        {MK_LINEAR_KV, INVOKE(1, ":get", "nil"), "an operation of kv has a :key"},
        {MK_LINEAR_KV, "{:process 1 :type :invoke :f :swap :key 1 :value 2}",
         "an operation of kv is a :get, a :put or an :append"},
        {MK_LINEAR_MUTEX, INVOKE(1, ":read", "nil"), "an :acquire or a :release"},
        {MK_LINEAR_CAS_REGISTER, INVOKE(1, ":acquire", "nil"), "a :read, a :write or a :cas"},
        {MK_LINEAR_CAS_REGISTER, INVOKE(1, ":cas", "3"), "the :value of a :cas is [EXPECTED NEW]"},
        {MK_LINEAR_MULTI_REGISTER, INVOKE(1, ":read", "nil"), "is a :txn"},
        {MK_LINEAR_MULTI_REGISTER, INVOKE(1, ":txn", "[[:cas :x 1]]"), "a part of a :txn is"},
        {MK_LINEAR_COUNTER, BOTH(1, ":add", "many"), "the answer of a counter is a number"},
        {MK_LINEAR_CAS_REGISTER, OK(1, ":read", "1"), "an end without an :invoke"},
        {MK_LINEAR_CAS_REGISTER, "{:process 1 :type :maybe :f :read}",
         "the :type of a record is :invoke, :ok, :fail or :info"},
        {MK_LINEAR_CAS_REGISTER, "INFO  jepsen.util - 1\t:ok\t:read\t1",
         "line 1: an end without an :invoke"},
        {MK_LINEAR_CAS_REGISTER, "INFO  jepsen.util - 1\t:invoke\t:cas\t[1 2", "not closed"},
    };
    struct mk_buf deep = {0};
    struct mk_fault fault;
    struct mk_linear *h;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        h = mk_linear_new(bad[i].model);
        assert_int_not_equal(mk_linear_parse(h, mk_str_of(bad[i].text), &fault), 0);
        if (strstr(fault.text, bad[i].part) == NULL)
            fail_msg("'%s' gives '%s', not '%s'", bad[i].text, fault.text, bad[i].part);
        mk_linear_free(h);
    }
    for (unsigned i = 0; i < 100000; i++)
        mk_buf_put_u8(&deep, '(');
    h = mk_linear_new(MK_LINEAR_KV);
    assert_int_equal(mk_linear_parse(h, (struct mk_str){(const char *)deep.p, deep.n}, &fault),
                     MK_EMALFORMED);
    assert_non_null(strstr(fault.text, "nested too deep"));
    mk_linear_free(h);
    mk_buf_done(&deep);
}

/* --- histories of others -------------------------------------------------------------------------
 */

static void assert_file(enum mk_linear_model model, const char *path, bool ok)
{
    struct mk_buf b = {0};
    struct mk_linear_result r;

    vectors_read(path, &b);
    mk_buf_put_u8(&b, 0);
    r = judge(model, (const char *)b.p);
    mk_buf_done(&b);
    if ((r.verdict == MK_LINEAR_OK) != ok || r.verdict == MK_LINEAR_UNKNOWN)
        fail_msg("%s: verdict %d: line %u: %s", path, r.verdict, r.line, r.why);
}

static void test_etcd(void **state)
{
    json_t *verdicts = vectors_json("open/linearizability/test_data/verdicts_etcd.json"), *v;
    const char *name;
    char path[256];

    (void)state;
    assert_true(json_object_size(verdicts) > 30);
    json_object_foreach(verdicts, name, v)
    {
        snprintf(path, sizeof path, "open/linearizability/test_data/jepsen/%s", name);
        assert_file(MK_LINEAR_CAS_REGISTER, path, json_is_true(v));
    }
    json_decref(verdicts);
}

static void test_porcupine(void **state)
{
    (void)state;
    vectors_need("open/linearizability/test_data/kv");
    assert_file(MK_LINEAR_KV, "open/linearizability/test_data/kv/c01-ok.txt", true);
    assert_file(MK_LINEAR_KV, "open/linearizability/test_data/kv/c01-bad.txt", false);
    assert_file(MK_LINEAR_KV, "open/linearizability/test_data/kv/c50-ok.txt", true);
    assert_file(MK_LINEAR_KV, "open/linearizability/test_data/kv/c50-bad.txt", false);
}

static void test_knossos(void **state)
{
    static const struct {
        enum mk_linear_model model;
        const char *folder;
        bool ok;
    } folders[] = {
        {MK_LINEAR_CAS_REGISTER, "open/linearizability/knossos/cas-register/good", true},
        {MK_LINEAR_CAS_REGISTER, "open/linearizability/knossos/cas-register/bad", false},
        {MK_LINEAR_MULTI_REGISTER, "open/linearizability/knossos/multi-register/good", true},
        {MK_LINEAR_MUTEX, "open/linearizability/knossos/mutex/bad", false},
    };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        char names[128][64], path[256];
        unsigned n = vectors_list(folders[i].folder, names, 128);

        assert_true(n > 0);
        for (unsigned k = 0; k < n; k++) {
            snprintf(path, sizeof path, "%.120s/%.63s", folders[i].folder, names[k]);
            assert_file(folders[i].model, path, folders[i].ok);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registers),
        cmocka_unit_test(test_open_operations),
        cmocka_unit_test(test_writes_of_the_same),
        cmocka_unit_test(test_other_models),
        cmocka_unit_test(test_a_refusal_names_its_line),
        cmocka_unit_test(test_many_open_writes),
        cmocka_unit_test(test_out_of_time),
        cmocka_unit_test(test_against_every_order),
        cmocka_unit_test(test_texts_of_one_thing),
        cmocka_unit_test(test_bad_texts),
        cmocka_unit_test(test_etcd),
        cmocka_unit_test(test_porcupine),
        cmocka_unit_test(test_knossos),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
