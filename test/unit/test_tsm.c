/* test_tsm.c - quotes of the machine, over a file tree of configfs-tsm's shape.
 *
 * The attributes are pipes and a thread stands at their other ends, so that, as in the kernel,
 * what is read follows from what was written. The "module" behind them is the emulator: so the
 * whole way is walked, from the nonce of one node to the verdict of the other, over TLS. */
#include "env_fixture.h"

#include "witness/witness.h"
#include <fcntl.h>
#include <mosaik/emulator.h>
#include <pthread.h>
#include <sys/stat.h>

#define QUOTE_MAX 32768u

/* --- the machine -------------------------------------------------------------------------- */

struct machine {
    char dir[96], entry[160];
    const char *provider, *before, *after; /* what the attributes say */
    struct mk_emulator *emulator;          /* makes outblob; NULL: a fixed text */
    uint8_t seen[64];
    pthread_t thread;
};

static void attribute(const struct machine *m, const char *name, char path[224])
{
    snprintf(path, 224, "%s/%s", m->entry, name);
}

static void say(const struct machine *m, const char *name, const void *p, size_t n)
{
    char path[224];
    int fd;

    attribute(m, name, path);
    fd = open(path, O_WRONLY);
    while (n > 0 && fd >= 0) {
        ssize_t wrote = write(fd, p, n);

        if (wrote <= 0)
            break;
        p = (const char *)p + wrote;
        n -= (size_t)wrote;
    }
    close(fd);
}

static void hear(struct machine *m)
{
    char path[224];
    int fd;

    attribute(m, "inblob", path);
    fd = open(path, O_RDONLY);
    for (size_t at = 0; fd >= 0 && at < sizeof m->seen;) {
        ssize_t n = read(fd, m->seen + at, sizeof m->seen - at);

        if (n <= 0)
            break;
        at += (size_t)n;
    }
    close(fd);
}

static void *machine_run(void *arg)
{
    struct machine *m = arg;
    struct mk_buf quote = {0};

    say(m, "provider", m->provider, strlen(m->provider));
    if (m->before == NULL)
        return NULL;
    say(m, "generation", m->before, strlen(m->before));
    hear(m);
    if (m->emulator != NULL)
        mk_emulator_quote(m->emulator, m->seen, &quote, NULL);
    else
        mk_buf_put_str(&quote, "a quote");
    say(m, "outblob", quote.p, quote.n);
    say(m, "generation", m->after, strlen(m->after));
    mk_buf_done(&quote);
    return NULL;
}

static void machine_start(struct machine *m, const struct fixture *f, const char *entry)
{
    static const char *const names[] = {"provider", "generation", "inblob", "outblob"};
    char path[224];

    snprintf(m->dir, sizeof m->dir, "%s/report", f->dir);
    snprintf(m->entry, sizeof m->entry, "%.90s/%s", m->dir, entry);
    assert_int_equal(mkdir(m->dir, 0700), 0);
    assert_int_equal(mkdir(m->entry, 0700), 0);
    for (size_t i = 0; i < 4; i++) {
        attribute(m, names[i], path);
        assert_int_equal(mkfifo(path, 0600), 0);
    }
    assert_int_equal(pthread_create(&m->thread, NULL, machine_run, m), 0);
}

static int quote_of(struct fixture *f, struct machine *m, struct mk_buf *out,
                    struct mk_fault *fault)
{
    uint8_t data[64];
    int rv;

    memset(data, 0x5a, sizeof data);
    machine_start(m, f, "ours");
    rv = mk_tsm_quote(f->a, m->dir, "ours", data, QUOTE_MAX, out, fault);
    assert_int_equal(pthread_join(m->thread, NULL), 0);
    if (m->before != NULL)
        assert_memory_equal(m->seen, data, sizeof data);
    return rv;
}

/* --- the exchange ---------------------------------------------------------------------------- */

static void test_the_quote_is_read(void **state)
{
    struct machine m = {.provider = "tdx_guest\n", .before = "7\n", .after = "8\n"};
    struct mk_fault fault = {{0}};
    struct mk_buf out = {0};

    assert_int_equal(quote_of(*state, &m, &out, &fault), 0);
    assert_int_equal(out.n, strlen("a quote"));
    assert_memory_equal(out.p, "a quote", out.n);
    mk_buf_done(&out);
}

static void test_somebody_elses_write_is_noticed(void **state)
{
    struct machine m = {.provider = "tdx_guest\n", .before = "7\n", .after = "9\n"};
    struct mk_fault fault = {{0}};
    struct mk_buf out = {0};

    assert_int_equal(quote_of(*state, &m, &out, &fault), MK_ECONFLICT);
    assert_non_null(strstr(fault.text, "2 writes where one was ours"));
    assert_int_equal(out.n, 0); /* what it said was perhaps for him */
    mk_buf_done(&out);
}

static void test_another_provider_is_refused(void **state)
{
    struct machine m = {.provider = "sev_guest\n"};
    struct mk_fault fault = {{0}};
    struct mk_buf out = {0};

    assert_int_equal(quote_of(*state, &m, &out, &fault), MK_ENOTSUP);
    assert_non_null(strstr(fault.text, "\"sev_guest\", not \"tdx_guest\""));
    mk_buf_done(&out);
}

static void test_without_the_interface_it_says_so(void **state)
{
    struct fixture *f = *state;
    struct mk_fault fault = {{0}};
    struct mk_buf out = {0};
    uint8_t data[64] = {0};
    char dir[96];

    snprintf(dir, sizeof dir, "%s/nowhere", f->dir);
    assert_int_equal(mk_tsm_quote(f->a, dir, "ours", data, QUOTE_MAX, &out, &fault), MK_ENOTFOUND);
    assert_non_null(strstr(fault.text, "nowhere"));
    mk_buf_done(&out);
}

/* --- the whole way ------------------------------------------------------------------------------
 */

struct pair {
    struct mk_net *nets[2];
    struct mk_witness *prover, *verifier;
    struct mk_key keys[2];
    struct mk_buf root, collateral;
    struct mk_dial dial;
};

static int load(void *arg, struct mk_collateral_put *p, struct mk_fault *reterr)
{
    struct pair *x = arg;

    (void)reterr;
    p->put(p, mk_buf_bytes(&x->collateral));
    return 0;
}

static bool is_judged(void *arg)
{
    struct pair *x = arg;
    struct mk_attestation *a = mk_witness_attestation(x->verifier);
    const struct mk_evidence *e = a->evidence(a, &x->keys[1].peer);

    return e != NULL && e->state != MK_EVIDENCE_PENDING;
}

static void open_pair(struct pair *x, struct fixture *f, const char *tsm_dir)
{
    struct mk_witness_options verifier = {
        .verifies = true, .root = mk_buf_bytes(&x->root), .load = load, .load_arg = x};
    char address[64];

    for (unsigned i = 0; i < 2; i++) {
        struct mk_net_options o = {.key = &x->keys[i], .network = MK_UNIVERSE};

        assert_int_equal(mk_net_open(f->a, &x->nets[i], &o), 0);
    }
    assert_int_equal(mk_net_listen(x->nets[1], "127.0.0.1:0", NULL), 0);
    assert_int_equal(mk_witness_open(f->a, x->nets[0], &x->verifier, &verifier, NULL), 0);
    assert_int_equal(
        mk_witness_open(f->a, x->nets[1], &x->prover,
                        &(struct mk_witness_options){.source = MK_SOURCE_TSM, .tsm_dir = tsm_dir},
                        NULL),
        0);
    snprintf(address, sizeof address, "127.0.0.1:%u", mk_net_port(x->nets[1]));
    mk_net_dial(x->nets[0], &x->dial, &x->keys[1].peer, address);
}

static void test_a_node_shows_the_machines_quote(void **state)
{
    struct fixture *f = *state;
    struct mk_measurements measured = {.mr_td = {{1, 2, 3}}};
    struct machine m = {.provider = "tdx_guest\n", .before = "41\n", .after = "42\n"};
    uint64_t now_s = mk_wall_ms(f->a) / 1000;
    struct mk_attestation *a;
    struct pair x = {0};
    uint8_t seed[32] = {3};
    char entry[32], hex[MK_ID_HEX];

    for (unsigned i = 0; i < 2; i++) {
        seed[1] = (uint8_t)i;
        mk_key_from_seed(&x.keys[i], seed);
    }
    assert_int_equal(mk_emulator_new(&m.emulator, seed, &measured, NULL), 0);
    mk_emulator_root(m.emulator, &x.root);
    assert_int_equal(
        mk_emulator_collateral(m.emulator, now_s - 60, now_s + 3600, &x.collateral, NULL), 0);
    snprintf(entry, sizeof entry, "mosaik-%.16s", mk_peer_hex(&x.keys[1].peer, hex));
    machine_start(&m, f, entry);
    open_pair(&x, f, m.dir);

    assert_true(fixture_run_until(f, is_judged, &x));
    a = mk_witness_attestation(x.verifier);
    if (a->evidence(a, &x.keys[1].peer)->state != MK_EVIDENCE_GOOD)
        fail_msg("%s", a->evidence(a, &x.keys[1].peer)->reason);
    assert_memory_equal(a->evidence(a, &x.keys[1].peer)->measured.mr_td.b, measured.mr_td.b, 48);
    assert_int_equal(a->evidence(a, &x.keys[1].peer)->level, MK_LEVEL_TDX_REMOTE);

    assert_int_equal(pthread_join(m.thread, NULL), 0);
    mk_net_undial(&x.dial);
    mk_witness_close(x.verifier);
    mk_witness_close(x.prover);
    mk_net_close(x.nets[0]);
    mk_net_close(x.nets[1]);
    mk_loop_turn(f->a, 0);
    mk_emulator_free(m.emulator);
    mk_buf_done(&x.root);
    mk_buf_done(&x.collateral);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_open_real, fixture_close_real)
    const struct CMUnitTest tests[] = {
        T(test_the_quote_is_read),
        T(test_somebody_elses_write_is_noticed),
        T(test_another_provider_is_refused),
        T(test_without_the_interface_it_says_so),
        T(test_a_node_shows_the_machines_quote),
    };
#undef T

    return cmocka_run_group_tests(tests, NULL, NULL);
}
