/* The seam's contract: the same tests against the real world and the simulated one. */
#include "env_fixture.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* --- timers ------------------------------------------------------------------------ */

#define N_TIMERS 1000u

struct timers {
    struct mk_timer t[N_TIMERS];
    struct mk_env *e;
    unsigned fired, early, disorder;
    uint64_t last;
};

static struct timers *the_timers;

static void timers_cb(struct mk_timer *t)
{
    struct timers *ts = the_timers;

    ts->early += mk_now(ts->e) < t->at_ns;
    ts->disorder += t->at_ns < ts->last;
    ts->last = t->at_ns;
    ts->fired++;
}

static bool timers_all(void *arg)
{
    return ((struct timers *)arg)->fired == N_TIMERS / 2;
}

/* A thousand timers, half of them stopped: the rest fires in order and not early. */
static void timers_fire_in_order(void **state)
{
    struct fixture *f = *state;
    struct timers *ts = mk_alloc(sizeof(*ts));
    uint64_t now = mk_now(f->a);

    the_timers = ts;
    ts->e = f->a;
    for (unsigned i = 0; i < N_TIMERS; i++) {
        ts->t[i].cb = timers_cb;
        mk_timer_start(f->a, &ts->t[i], now + (i * 7919 % 50 + 1) * MK_MS);
    }
    for (unsigned i = 0; i < N_TIMERS; i += 2) {
        mk_timer_stop(&ts->t[i]);
        mk_timer_stop(&ts->t[i]);
    }
    assert_int_equal(ts->fired, 0); /* never from inside the call */
    assert_true(fixture_run_until(f, timers_all, ts));
    assert_int_equal(ts->early, 0);
    assert_int_equal(ts->disorder, 0);
    for (unsigned i = 0; i < N_TIMERS; i++)
        assert_false(ts->t[i].armed);
    mk_free(ts);
}

struct moved {
    struct mk_timer t, past;
    struct mk_env *e;
    unsigned fired, past_fired;
    uint64_t at;
};

static void moved_cb(struct mk_timer *t)
{
    struct moved *m = mk_container_of(t, struct moved, t);

    m->fired++;
    m->at = mk_now(m->e);
}

/* Restarts itself in the past: the loop must go on turning. */
static void past_cb(struct mk_timer *t)
{
    struct moved *m = mk_container_of(t, struct moved, past);

    m->past_fired++;
    mk_timer_start(m->e, t, 0);
}

static bool moved_fired(void *arg)
{
    struct moved *m = arg;

    return m->fired > 0 && m->past_fired > 1;
}

static void timer_restart_moves_it(void **state)
{
    struct fixture *f = *state;
    struct moved m = {.t = {.cb = moved_cb}, .past = {.cb = past_cb}, .e = f->a};
    struct mk_timer zeroed = {0};
    uint64_t now = mk_now(f->a);

    mk_timer_stop(&zeroed);
    mk_timer_start(f->a, &m.t, now + 3600 * MK_S);
    mk_timer_start(f->a, &m.t, now + 3 * MK_MS);
    mk_timer_start(f->a, &m.past, 0);
    assert_true(fixture_run_until(f, moved_fired, &m));
    assert_int_equal(m.fired, 1);
    assert_in_range(m.at - now, 3 * MK_MS, 600 * MK_S); /* a busy machine is late, not by an hour */
    mk_timer_stop(&m.past);
}

/* --- tasks --------------------------------------------------------------------------- */

struct tasks {
    struct mk_task a, b, c, canceled;
    struct mk_env *e;
    char order[8];
    size_t n;
};

static void task_a_cb(struct mk_task *t)
{
    struct tasks *ts = mk_container_of(t, struct tasks, a);

    ts->order[ts->n++] = 'a';
    mk_later(ts->e, &ts->c); /* after b, in the same turn */
    mk_later(ts->e, &ts->c);
}

static void task_b_cb(struct mk_task *t)
{
    struct tasks *ts = mk_container_of(t, struct tasks, b);

    ts->order[ts->n++] = 'b';
}

static void task_c_cb(struct mk_task *t)
{
    struct tasks *ts = mk_container_of(t, struct tasks, c);

    ts->order[ts->n++] = 'c';
}

static void task_canceled_cb(struct mk_task *t)
{
    struct tasks *ts = mk_container_of(t, struct tasks, canceled);

    ts->order[ts->n++] = 'x';
}

static bool tasks_ran(void *arg)
{
    return ((struct tasks *)arg)->n >= 3;
}

static void tasks_run_in_order(void **state)
{
    struct fixture *f = *state;
    struct tasks ts = {.a = {.cb = task_a_cb},
                       .b = {.cb = task_b_cb},
                       .c = {.cb = task_c_cb},
                       .canceled = {.cb = task_canceled_cb},
                       .e = f->a};

    mk_later(f->a, &ts.canceled);
    mk_later(f->a, &ts.a);
    mk_later(f->a, &ts.b);
    mk_later(f->a, &ts.a); /* queued already */
    mk_later_cancel(&ts.canceled);
    assert_int_equal(ts.n, 0);
    assert_true(fixture_run_until(f, tasks_ran, &ts));
    assert_string_equal(ts.order, "abc");
}

/* --- work, entropy --------------------------------------------------------------------- */

struct sum {
    struct mk_work work;
    uint64_t n, result;
    bool done;
};

static void sum_run(struct mk_work *w)
{
    struct sum *s = mk_container_of(w, struct sum, work);

    for (uint64_t i = 1; i <= s->n; i++)
        s->result += i;
}

static void sum_done(struct mk_work *w)
{
    mk_container_of(w, struct sum, work)->done = true;
}

static bool sums_done(void *arg)
{
    struct sum *s = arg;

    for (unsigned i = 0; i < 16; i++) {
        if (!s[i].done)
            return false;
    }
    return true;
}

static void work_runs_elsewhere(void **state)
{
    struct fixture *f = *state;
    struct sum s[16];

    for (unsigned i = 0; i < 16; i++) {
        s[i] = (struct sum){.work = {.run = sum_run, .done = sum_done}, .n = 1000 + i};
        mk_work_start(f->a, &s[i].work);
        assert_false(s[i].done);
    }
    assert_true(fixture_run_until(f, sums_done, s));
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(s[i].result, s[i].n * (s[i].n + 1) / 2);
}

/* Whether it waits, runs or has run: done() does not come, and its memory is ours again. */
static void work_is_called_back(void **state)
{
    struct fixture *f = *state;
    struct sum s[16] = {0}, after[16];

    mk_work_cancel(&s[0].work); /* never started */
    for (unsigned i = 0; i < 16; i++) {
        s[i] = (struct sum){.work = {.run = sum_run, .done = sum_done}, .n = 3000000};
        mk_work_start(f->a, &s[i].work);
    }
    for (unsigned i = 0; i < 16; i++) {
        mk_work_cancel(&s[i].work);
        assert_true(s[i].result == 0 || s[i].result == s[i].n * (s[i].n + 1) / 2);
        after[i] = s[i];
        memset(&s[i], 0, sizeof s[i]);
    }
    for (unsigned i = 0; i < 16; i++) {
        s[i] = (struct sum){.work = {.run = sum_run, .done = sum_done}, .n = 100 + i};
        mk_work_start(f->a, &s[i].work);
    }
    assert_true(fixture_run_until(f, sums_done, s));
    for (unsigned i = 0; i < 16; i++)
        assert_false(after[i].done);
    mk_work_cancel(&s[3].work); /* done already */
}

static void entropy_differs(void **state)
{
    struct fixture *f = *state;
    uint8_t a[32] = {0}, b[32] = {0};

    mk_entropy(f->a, a, sizeof(a));
    mk_entropy(f->b, b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    assert_true(mk_wall_ms(f->a) > 1600000000000ull);
}

/* --- streams ------------------------------------------------------------------------------ */

#define ECHO_BYTES (9u << 20) /* more than the queue's bound */

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 31 + (i >> 11));
}

/* The one side sends a pattern; the other reads it, slowly or not, and sends it back. */
struct echo {
    struct fixture *f;
    struct mk_listener listener;
    struct mk_connect connect;
    struct mk_sock *client, *server;
    struct mk_timer resume;
    struct mk_buf backlog;
    size_t sent, back, wrong, n_full, n_writable, n_accepted;
    bool server_blocked, shut, ended, server_ended;
    int status, end_status, server_end_status;
};

static void echo_send(struct echo *x)
{
    uint8_t buf[16384];

    while (x->sent < ECHO_BYTES) {
        int rv;

        for (size_t i = 0; i < sizeof(buf); i++)
            buf[i] = pattern(x->sent + i);
        rv = mk_sock_write(x->client, buf, sizeof(buf));
        x->sent += sizeof(buf);
        if (rv == MK_EFULL) {
            x->n_full++;
            return;
        }
        assert_int_equal(rv, 0);
    }
}

static void client_read(struct mk_sock *s, const uint8_t *p, size_t n)
{
    struct echo *x = s->owner;

    for (size_t i = 0; i < n; i++)
        x->wrong += p[i] != pattern(x->back + i);
    x->back += n;
}

static void client_writable(struct mk_sock *s)
{
    struct echo *x = s->owner;

    x->n_writable++;
    assert_true(mk_sock_queued(s) <= MK_SOCK_QUEUE_MAX / 2);
    echo_send(x);
}

static void client_end(struct mk_sock *s, int status)
{
    struct echo *x = s->owner;

    x->ended = true;
    x->end_status = status;
    assert_int_equal(mk_sock_write(s, "x", 1), MK_ECLOSED);
    mk_sock_close(s);
    x->client = NULL;
}

static const struct mk_sock_cbs client_cbs = {client_read, client_writable, client_end};

static void server_resume_cb(struct mk_timer *t)
{
    struct echo *x = mk_container_of(t, struct echo, resume);

    if (x->server != NULL)
        mk_sock_pause(x->server, false);
}

/* Back-pressure by the book: when our answers queue up, stop reading. */
static void server_read(struct mk_sock *s, const uint8_t *p, size_t n)
{
    struct echo *x = s->owner;

    if (mk_sock_write(s, p, n) == MK_EFULL) {
        x->server_blocked = true;
        mk_sock_pause(s, true);
    } else if (n % 7 == 0 && !x->resume.armed) { /* now and then just slow */
        mk_sock_pause(s, true);
        mk_timer_start(s->env, &x->resume, mk_now(s->env) + MK_MS);
    }
}

static void server_writable(struct mk_sock *s)
{
    ((struct echo *)s->owner)->server_blocked = false;
    mk_sock_pause(s, false);
}

static void server_end(struct mk_sock *s, int status)
{
    struct echo *x = s->owner;

    x->server_ended = true;
    x->server_end_status = status;
    mk_sock_close(s);
    x->server = NULL;
}

static const struct mk_sock_cbs server_cbs = {server_read, server_writable, server_end};

static void echo_accept(struct mk_listener *l, struct mk_sock *s)
{
    struct echo *x = mk_container_of(l, struct echo, listener);

    if (x->n_accepted++ > 0) {
        mk_sock_close(s);
        return;
    }
    s->cbs = &server_cbs;
    s->owner = x;
    x->server = s;
    assert_true(strlen(mk_sock_remote(s)) > 3);
}

static void echo_connected(struct mk_connect *c, struct mk_sock *s, int status)
{
    struct echo *x = mk_container_of(c, struct echo, connect);

    x->status = status;
    if (status != 0) {
        assert_null(s);
        return;
    }
    s->cbs = &client_cbs;
    s->owner = x;
    x->client = s;
}

static bool echo_up(void *arg)
{
    struct echo *x = arg;

    return x->client != NULL && x->server != NULL;
}

static bool echo_all_back(void *arg)
{
    return ((struct echo *)arg)->back >= ECHO_BYTES;
}

static bool echo_client_ended(void *arg)
{
    return ((struct echo *)arg)->ended;
}

static bool echo_server_ended(void *arg)
{
    return ((struct echo *)arg)->server_ended;
}

static struct echo *echo_open(struct fixture *f)
{
    struct echo *x = mk_alloc(sizeof(*x));
    struct mk_fault fault;
    char address[64];

    x->f = f;
    x->status = 1;
    x->listener.accept = echo_accept;
    x->connect.cb = echo_connected;
    x->resume.cb = server_resume_cb;
    snprintf(address, sizeof(address), "%s:0", f->b_host);
    assert_int_equal(mk_listen(f->b, &x->listener, address, &fault), 0);
    assert_int_not_equal(mk_listener_port(&x->listener), 0);
    snprintf(address, sizeof(address), "%s:%u", f->b_host, mk_listener_port(&x->listener));
    assert_int_equal(mk_connect(f->a, &x->connect, address), 0);
    assert_int_equal(x->status, 1);
    assert_true(fixture_run_until(f, echo_up, x));
    assert_int_equal(x->status, 0);
    assert_string_equal(mk_sock_remote(x->client), address);
    return x;
}

static void echo_close(struct echo *x)
{
    mk_timer_stop(&x->resume);
    mk_sock_close(x->client);
    mk_sock_close(x->server);
    mk_listener_close(&x->listener);
    mk_listener_close(&x->listener);
    mk_free(x);
}

static void echo_with_back_pressure(void **state)
{
    struct echo *x = echo_open(*state);

    echo_send(x);
    assert_true(x->n_full > 0);
    assert_true(fixture_run_until(*state, echo_all_back, x));
    assert_int_equal(x->back, ECHO_BYTES);
    assert_int_equal(x->wrong, 0);
    assert_int_equal(x->n_full, x->n_writable);
    assert_int_equal(mk_sock_queued(x->client), 0);
    echo_close(x);
}

/* What was written just before the close arrives, and then a clean end. */
static void close_flushes(void **state)
{
    struct echo *x = echo_open(*state);

    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(mk_sock_write(x->server, &(uint8_t){pattern(i)}, 1), 0);
    mk_sock_close(x->server);
    x->server = NULL;
    assert_true(fixture_run_until(*state, echo_client_ended, x));
    assert_int_equal(x->end_status, 0);
    assert_int_equal(x->back, 1000);
    assert_int_equal(x->wrong, 0);
    echo_close(x);
}

static void paused_sees_end_later(void **state)
{
    struct echo *x = echo_open(*state);

    mk_sock_pause(x->server, true);
    assert_int_equal(mk_sock_write(x->client, "abc", 3), 0);
    mk_sock_close(x->client);
    x->client = NULL;
    mk_timer_start(x->server->env, &x->resume, mk_now(x->server->env) + 20 * MK_MS);
    assert_false(x->server_ended);
    assert_true(fixture_run_until(*state, echo_server_ended, x));
    assert_false(x->resume.armed); /* not before it was resumed */
    echo_close(x);
}

static bool echo_answered(void *arg)
{
    return ((struct echo *)arg)->status != 1;
}

/* A socket on a port of this machine where nobody listens, nor can until it is closed. */
static int deaf_port(uint16_t *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

static void connect_to_nobody(void **state)
{
    struct fixture *f = *state;
    struct echo x = {.f = f, .status = 1, .connect = {.cb = echo_connected}};
    uint16_t port = 7;
    int fd = f->w == NULL ? deaf_port(&port) : -1;
    char address[64];

    snprintf(address, sizeof(address), "%s:%u", f->b_host, port);
    assert_int_equal(mk_connect(f->a, &x.connect, address), 0);
    assert_true(fixture_run_until(f, echo_answered, &x));
    assert_int_equal(x.status, MK_EUNREACHABLE);
    if (fd >= 0)
        close(fd);

    x.status = 1;
    assert_int_equal(mk_connect(f->a, &x.connect, "no.such.name.invalid:1"), 0);
    assert_true(fixture_run_until(f, echo_answered, &x));
    assert_int_equal(x.status, MK_EUNREACHABLE);
}

static void bad_addresses(void **state)
{
    static const char *const bad[] = {"",          ":",      "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536",
                                      "a:1:2",     "[::1:1", "[::1]1",  ":1",       "1.2.3.4:1x",
                                      "1.2.3.4:-1"};
    struct fixture *f = *state;
    struct mk_connect c = {.cb = echo_connected};
    struct mk_listener l = {.accept = echo_accept};
    struct mk_fault fault;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(mk_connect(f->a, &c, bad[i]), MK_EINVALID);
        assert_int_equal(mk_listen(f->a, &l, bad[i], &fault), MK_EINVALID);
    }
    mk_connect_cancel(&c);
    mk_listener_close(&l);
}

static void listen_twice(void **state)
{
    struct fixture *f = *state;
    struct mk_listener a = {.accept = echo_accept}, b = {.accept = echo_accept};
    struct mk_fault fault = {{0}};
    char address[64];

    snprintf(address, sizeof(address), "%s:0", f->b_host);
    assert_int_equal(mk_listen(f->b, &a, address, &fault), 0);
    snprintf(address, sizeof(address), "%s:%u", f->b_host, mk_listener_port(&a));
    assert_int_equal(mk_listen(f->b, &b, address, &fault), MK_EEXISTS);
    assert_non_null(strstr(fault.text, address));
    mk_listener_close(&a);
    assert_int_equal(mk_listen(f->b, &b, address, &fault), 0);
    mk_listener_close(&b);
}

/* A canceled dial never answers, whether it was resolving, connecting or done. */
static void connect_cancel(void **state)
{
    struct fixture *f = *state;
    struct echo *x = echo_open(f);
    struct mk_connect c = {.cb = NULL};
    char address[64];

    snprintf(address, sizeof(address), "%s:%u", f->b_host, mk_listener_port(&x->listener));
    c.cb = echo_connected; /* would overwrite x through the wrong container */
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(mk_connect(f->a, &c, i == 2 ? "localhost:9" : address), 0);
        mk_connect_cancel(&c);
        mk_connect_cancel(&c);
    }
    mk_sock_close(x->server);
    x->server = NULL;
    assert_true(fixture_run_until(f, echo_client_ended, x));
    echo_close(x);
}

/* --- disk --------------------------------------------------------------------------------------
 */

static void files_read_and_write(void **state)
{
    struct fixture *f = *state;
    struct mk_file *x;
    uint8_t buf[16] = {0};
    uint64_t size;
    size_t n;

    assert_int_equal(mk_file_open(f->a, &x, "a", MK_OPEN_READ), MK_ENOTFOUND);
    assert_int_equal(mk_file_open(f->a, &x, "a", MK_OPEN_WRITE), MK_ENOTFOUND);
    assert_int_equal(mk_file_open(f->a, &x, "d/a", MK_OPEN_CREATE), MK_ENOTFOUND);
    assert_int_equal(mk_file_open(f->a, &x, "../a", MK_OPEN_CREATE), MK_EINVALID);
    assert_int_equal(mk_file_open(f->a, &x, "/a", MK_OPEN_CREATE), MK_EINVALID);
    assert_int_equal(mk_file_open(f->a, &x, "", MK_OPEN_READ), MK_EINVALID);
    assert_int_equal(mk_file_open(f->a, &x, "a", MK_OPEN_CREATE), 0);
    assert_int_equal(mk_file_write(x, "hello", 5, 3), 0);
    assert_int_equal(mk_file_size(x, &size), 0);
    assert_int_equal(size, 8);
    assert_int_equal(mk_file_read(x, buf, sizeof(buf), 0, &n), 0);
    assert_int_equal(n, 8);
    assert_memory_equal(buf, "\0\0\0hello", 8);
    assert_int_equal(mk_file_truncate(x, 5), 0);
    assert_int_equal(mk_file_read(x, buf, 2, 4, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(mk_file_read(x, buf, 2, 5, &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(mk_file_sync(x), 0);
    mk_file_close(x);
    mk_file_close(NULL);
    assert_int_equal(mk_file_open(f->a, &x, "a", MK_OPEN_CREATE), MK_EEXISTS);
    assert_int_equal(mk_file_open(f->a, &x, "a", MK_OPEN_READ), 0);
    assert_int_equal(mk_file_write(x, "x", 1, 0), MK_EIO);
    mk_file_close(x);
}

static void collect_cb(void *arg, const char *name)
{
    char *out = arg; /* 64 bytes */
    size_t n = strlen(out);

    snprintf(out + n, 64 - n, "%s ", name);
}

static void directories(void **state)
{
    struct fixture *f = *state;
    struct mk_file *x;
    char names[64] = "";

    assert_int_equal(mk_mkdir(f->a, "d"), 0);
    assert_int_equal(mk_mkdir(f->a, "d"), 0);
    assert_int_equal(mk_mkdir(f->a, "e/f"), MK_ENOTFOUND);
    for (const char *p = "zma"; *p != 0; p++) {
        char path[8] = {'d', '/', *p, 0};

        assert_int_equal(mk_file_open(f->a, &x, path, MK_OPEN_CREATE), 0);
        mk_file_close(x);
    }
    assert_int_equal(mk_rename(f->a, "d/m", "d/b"), 0);
    assert_int_equal(mk_rename(f->a, "d/m", "d/c"), MK_ENOTFOUND);
    assert_int_equal(mk_rename(f->a, "d/z", "d/a"), 0);
    assert_int_equal(mk_dir_list(f->a, "d", collect_cb, names), 0);
    assert_string_equal(names, "a b ");
    names[0] = 0;
    assert_int_equal(mk_dir_list(f->a, "", collect_cb, names), 0);
    assert_string_equal(names, "d ");
    assert_int_equal(mk_dir_list(f->a, "none", collect_cb, names), MK_ENOTFOUND);
    assert_int_equal(mk_unlink(f->a, "d"), MK_EEXISTS);
    assert_int_equal(mk_unlink(f->a, "d/a"), 0);
    assert_int_equal(mk_unlink(f->a, "d/a"), MK_ENOTFOUND);
    assert_int_equal(mk_dir_sync(f->a, "d"), 0);
    assert_int_equal(mk_dir_sync(f->a, ""), 0);
    assert_int_equal(mk_dir_sync(f->a, "none"), MK_ENOTFOUND);
    assert_int_equal(mk_mkdir(f->a, "d/b"), MK_EEXISTS);
}

static void load_and_store(void **state)
{
    struct fixture *f = *state;
    struct mk_buf b = {0};
    char names[64] = "";

    assert_int_equal(mk_file_load(f->a, "x", 10, &b), MK_ENOTFOUND);
    assert_int_equal(mk_file_store(f->a, "x", MK_BYTES("one", 3)), 0);
    assert_int_equal(mk_file_store(f->a, "x", MK_BYTES("three", 5)), 0);
    mk_buf_put(&b, "<", 1);
    assert_int_equal(mk_file_load(f->a, "x", 4, &b), MK_ELIMIT);
    assert_int_equal(b.n, 1);
    assert_int_equal(mk_file_load(f->a, "x", 5, &b), 0);
    assert_int_equal(b.n, 6);
    assert_memory_equal(b.p, "<three", 6);
    assert_int_equal(mk_file_store(f->a, "x", MK_BYTES(NULL, 0)), 0);
    assert_int_equal(mk_file_load(f->a, "x", 5, &b), 0);
    assert_int_equal(b.n, 6);
    assert_int_equal(mk_dir_list(f->a, "", collect_cb, names), 0);
    assert_string_equal(names, "x ");
    assert_int_equal(mk_file_store(f->a, "none/x", MK_BYTES("a", 1)), MK_ENOTFOUND);
    mk_buf_done(&b);
}

struct synced {
    struct mk_write_sync w;
    struct mk_file *f;
    size_t n;
    unsigned left;
    int status;
    bool done;
};

static const uint8_t synced_bytes[100000] = {'0', '1'}; /* more than is written on the loop */

static void synced_cb(struct mk_write_sync *w, int status)
{
    struct synced *s = mk_container_of(w, struct synced, w);

    s->status = status;
    if (status != 0 || --s->left == 0)
        s->done = true;
    else /* the next may start from inside the callback */
        mk_write_sync(s->f, &s->w, synced_bytes, s->n, w->off + s->n);
}

static bool synced_all(void *arg)
{
    struct synced *s = arg;

    return s[0].done && s[1].done && s[2].done;
}

static void last_cb(struct mk_write_sync *w, int status)
{
    struct synced *s = mk_container_of(w, struct synced, w);

    mk_file_close(s->f);
    s->status = status;
    s->done = true;
}

/* Who closes while it writes is told of the end, or could never end himself. */
static void real_free_ends_writes(void **state)
{
    struct fixture *f = *state;
    struct synced s[2] = {{.n = 10}, {.n = sizeof synced_bytes}};

    for (unsigned i = 0; i < 2; i++) {
        char path[2] = {(char)('a' + i), 0};

        assert_int_equal(mk_file_open(f->a, &s[i].f, path, MK_OPEN_CREATE), 0);
        s[i].w.cb = last_cb;
        s[i].status = MK_EIO;
        mk_write_sync(s[i].f, &s[i].w, synced_bytes, s[i].n, 0);
    }
    mk_loop_free(f->a);
    f->a = f->b = NULL;
    assert_true(s[0].done && s[1].done);
    assert_true(s[0].status == 0 && s[1].status == 0);
}

/* Three files at once, twenty writes each, one of them of large ones. */
static void write_sync(void **state)
{
    struct fixture *f = *state;
    struct synced s[3] = {0};
    uint64_t size;

    for (unsigned i = 0; i < 3; i++) {
        char path[2] = {(char)('a' + i), 0};

        assert_int_equal(mk_file_open(f->a, &s[i].f, path, MK_OPEN_CREATE), 0);
        s[i].w.cb = synced_cb;
        s[i].left = 20;
        s[i].n = i == 1 ? sizeof synced_bytes : 10;
        mk_write_sync(s[i].f, &s[i].w, synced_bytes, s[i].n, 0);
        assert_false(s[i].done);
    }
    assert_true(fixture_run_until(f, synced_all, s));
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(s[i].status, 0);
        assert_int_equal(mk_file_size(s[i].f, &size), 0);
        assert_int_equal(size, 20 * s[i].n);
        mk_file_close(s[i].f);
    }
}

static bool synced_one(void *arg)
{
    return ((struct synced *)arg)->done;
}

static void bulk_write(struct fixture *f, struct mk_file *file, const uint8_t *p, size_t n,
                       uint64_t off)
{
    struct synced s = {.f = file, .left = 1, .w = {.cb = synced_cb}};

    mk_write_sync(file, &s.w, p, n, off);
    assert_true(fixture_run_until(f, synced_one, &s));
    assert_int_equal(s.status, 0);
}

/* Large pieces at even places, at odd ones, over what is there already, with odd ends: what was
 * written is read, through this file, another one, and one that is no bulk. */
static void bulk_files(void **state)
{
    struct fixture *f = *state;
    const size_t n = (1u << 20) + 4096 * 3 + 77;
    uint8_t *bytes = mk_alloc(n), *got = mk_alloc(n + 100);
    struct mk_file *file, *second;
    size_t n_got = 0;

    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 4096);
    assert_int_equal(mk_file_open(f->a, &file, "bulk", MK_OPEN_CREATE), 0);
    mk_file_bulk(file);
    bulk_write(f, file, bytes, 600001, 0);
    bulk_write(f, file, bytes + 600001, n - 600001, 600001);
    bulk_write(f, file, bytes + 131072, 131072, 131072);
    assert_int_equal(mk_file_read(file, got, n + 100, 0, &n_got), 0);
    assert_int_equal(n_got, n);
    assert_memory_equal(got, bytes, n);
    assert_int_equal(mk_rename(f->a, "bulk", "other"), 0);
    for (unsigned bulk = 0; bulk < 2; bulk++) {
        assert_int_equal(mk_file_open(f->a, &second, "other", MK_OPEN_READ), 0);
        if (bulk)
            mk_file_bulk(second);
        memset(got, 0, n);
        assert_int_equal(mk_file_read(second, got, n, 8192, &n_got), 0);
        assert_int_equal(n_got, n - 8192);
        assert_memory_equal(got, bytes + 8192, n_got);
        assert_int_equal(mk_file_read(second, got, n, 5, &n_got), 0);
        assert_memory_equal(got, bytes + 5, n - 5);
        mk_file_close(second);
    }
    mk_file_close(file);
    mk_free(bytes);
    mk_free(got);
}

static void write_sync_fails(void **state)
{
    struct fixture *f = *state;
    struct synced s[3] = {{.left = 1, .w = {.cb = synced_cb}}, {.done = true}, {.done = true}};

    assert_int_equal(mk_file_store(f->a, "ro", MK_BYTES("x", 1)), 0);
    assert_int_equal(mk_file_open(f->a, &s[0].f, "ro", MK_OPEN_READ), 0);
    mk_write_sync(s[0].f, &s[0].w, "y", 1, 0);
    assert_true(fixture_run_until(f, synced_all, s));
    assert_int_equal(s[0].status, MK_EIO);
    mk_file_close(s[0].f);
}

/* --- lines --------------------------------------------------------------------------------------
 */

struct input {
    struct mk_input in;
    struct fixture *f;
    struct mk_timer resume;
    char got[256];
    unsigned n, too_long, pause_every;
    bool ended;
    int status;
};

static void input_line(struct mk_input *mi, struct mk_str line, int status)
{
    struct input *x = mk_container_of(mi, struct input, in);
    size_t n = strlen(x->got);

    x->n++;
    x->too_long += status == MK_ELIMIT;
    if (line.n < 20)
        snprintf(x->got + n, sizeof(x->got) - n, "%.*s|", (int)line.n, line.p);
    if (x->pause_every > 0 && x->n % x->pause_every == 0) {
        mk_input_pause(mi, true);
        mk_timer_start(x->f->a, &x->resume, mk_now(x->f->a) + MK_MS);
    }
}

static void input_resume_cb(struct mk_timer *t)
{
    mk_input_pause(&mk_container_of(t, struct input, resume)->in, false);
}

static void input_ended(struct mk_input *mi, int status)
{
    struct input *x = mk_container_of(mi, struct input, in);

    x->ended = true;
    x->status = status;
}

static bool input_at_end(void *arg)
{
    return ((struct input *)arg)->ended;
}

static void input_open(struct input *x, struct fixture *f, struct mk_input_spec spec)
{
    struct mk_fault fault;

    *x = (struct input){.in = {.line = input_line, .end = input_ended},
                        .f = f,
                        .resume = {.cb = input_resume_cb},
                        .pause_every = x->pause_every};
    assert_int_equal(mk_input_open(f->a, &x->in, &spec, &fault), 0);
}

static void input_from_command(void **state)
{
    struct fixture *f = *state;
    struct input x = {.pause_every = 2};
    struct mk_input_spec spec = {.kind = MK_INPUT_COMMAND,
                                 .line_max = 16,
                                 .command = "printf 'one\\r\\ntwo\\n\\n'; "
                                            "printf '%0100d\\nlast' 0"};

    input_open(&x, f, spec);
    if (f->w != NULL) {
        char text[128];

        snprintf(text, sizeof(text), "one\r\ntwo\n\n%0100d\nlast", 0);
        assert_true(world_input(f->w, 0, spec.command, text));
        assert_true(world_input_end(f->w, 0, spec.command, 0));
        assert_false(world_input(f->w, 0, "another", text));
    }
    assert_true(fixture_run_until(f, input_at_end, &x));
    assert_int_equal(x.status, 0);
    assert_string_equal(x.got, "one|two||0000000000000000|last|");
    assert_int_equal(x.too_long, 1);
    mk_input_close(&x.in);
    mk_input_close(&x.in);
}

/* --- only in the real world
 * ----------------------------------------------------------------------- */

static void real_lock(void **state)
{
    struct fixture *f = *state;
    struct mk_env *other;

    assert_int_equal(mk_dir_lock(f->a), 0);
    assert_int_equal(mk_loop_open(&other, f->dir, NULL), 0);
    assert_int_equal(mk_dir_lock(other), MK_EINUSE);
    mk_loop_free(other);
}

static void real_no_disk(void **state)
{
    struct mk_env *e;
    struct mk_file *x;
    struct mk_fault fault;

    (void)state;
    assert_int_equal(mk_loop_open(&e, NULL, &fault), 0);
    assert_int_equal(mk_file_open(e, &x, "a", MK_OPEN_CREATE), MK_ENOTSUP);
    assert_int_equal(mk_dir_sync(e, ""), MK_ENOTSUP);
    assert_int_equal(mk_dir_lock(e), MK_ENOTSUP);
    mk_loop_free(e);
    assert_int_equal(mk_loop_open(&e, "/proc/none/x", &fault), MK_ENOTFOUND);
    assert_non_null(strstr(fault.text, "/proc/none/x"));
}

static bool input_n(void *arg)
{
    struct input *x = arg;

    return strstr(x->got, "end|") != NULL;
}

static void append(const char *path, const char *text, int flags)
{
    int fd = open(path, O_WRONLY | O_CREAT | flags, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* A file is followed as it grows, is cut, and is replaced. */
static void real_input_file(void **state)
{
    struct fixture *f = *state;
    struct input x = {.pause_every = 1};
    char path[80], other[80];
    struct mk_fault fault;
    struct mk_input_spec spec = {.kind = MK_INPUT_FILE, .path = path};

    x.in.line = input_line;
    x.in.end = input_ended;
    snprintf(path, sizeof(path), "%s/feed", f->dir);
    snprintf(other, sizeof(other), "%s/feed.new", f->dir);
    assert_int_equal(mk_input_open(f->a, &x.in, &spec, &fault), MK_ENOTFOUND);
    append(path, "1\n2\n1end\n", 0);
    input_open(&x, f, spec);
    assert_true(fixture_run_until(f, input_n, &x));
    assert_string_equal(x.got, "1|2|1end|");
    x.got[0] = 0;
    append(path, "3\n2end\n", O_APPEND);
    assert_true(fixture_run_until(f, input_n, &x));
    assert_string_equal(x.got, "3|2end|");
    x.got[0] = 0;
    append(path, "end\n", O_TRUNC);
    assert_true(fixture_run_until(f, input_n, &x));
    assert_string_equal(x.got, "end|");
    x.got[0] = 0;
    append(other, "new\nend\n", 0);
    assert_int_equal(rename(other, path), 0);
    assert_true(fixture_run_until(f, input_n, &x));
    assert_string_equal(x.got, "new|end|");
    assert_false(x.ended);
    mk_timer_stop(&x.resume);
    mk_input_close(&x.in);
}

static void real_input_fd(void **state)
{
    struct fixture *f = *state;
    struct input x = {0};
    struct mk_input_spec spec = {.kind = MK_INPUT_FD};
    char path[80];
    int fds[2], flags;

    assert_int_equal(pipe(fds), 0);
    flags = fcntl(fds[0], F_GETFL);
    spec.fd = fds[0];
    input_open(&x, f, spec);
    assert_int_equal(write(fds[1], "a\nb", 3), 3);
    close(fds[1]);
    assert_true(fixture_run_until(f, input_at_end, &x));
    assert_string_equal(x.got, "a|b|");
    mk_input_close(&x.in);
    assert_int_equal(fcntl(fds[0], F_GETFL), flags); /* as we found it */
    close(fds[0]);

    snprintf(path, sizeof(path), "%s/text", f->dir); /* a shell's "<file" */
    append(path, "c\nd\n", 0);
    spec.fd = open(path, O_RDONLY);
    input_open(&x, f, spec);
    assert_true(fixture_run_until(f, input_at_end, &x));
    assert_string_equal(x.got, "c|d|");
    mk_input_close(&x.in);
    close(spec.fd);
}

/* A command that fails is an error; one that lasts is ended with its input. */
static void real_input_command_fails(void **state)
{
    struct fixture *f = *state;
    struct input x = {0};

    input_open(&x, f,
               (struct mk_input_spec){.kind = MK_INPUT_COMMAND, .command = "echo a; exit 3"});
    assert_true(fixture_run_until(f, input_at_end, &x));
    assert_string_equal(x.got, "a|");
    assert_int_equal(x.status, MK_EIO);
    mk_input_close(&x.in);
    input_open(&x, f,
               (struct mk_input_spec){.kind = MK_INPUT_COMMAND,
                                      .command = "trap '' TERM; echo end; sleep 1000"});
    assert_true(fixture_run_until(f, input_n, &x));
    mk_input_close(&x.in); /* it will not listen: mk_loop_free() kills it */
}

static void at_once_cb(struct mk_timer *t)
{
    (void)t;
}

static bool at_once_fired(void *arg)
{
    return !((struct mk_timer *)arg)->armed;
}

/* A time that has come is not waited for: libuv's timers count whole milliseconds. */
static void real_timer_at_once(void **state)
{
    struct fixture *f = *state;
    struct mk_timer t = {.cb = at_once_cb};
    uint64_t took, least = UINT64_MAX;

    for (unsigned i = 0; i < 50; i++) {
        uint64_t begun = mk_now(f->a);

        mk_timer_start(f->a, &t, begun);
        assert_true(mk_loop_run_until(f->a, at_once_fired, &t, 20000));
        took = mk_now(f->a) - begun;
        least = took < least ? took : least;
    }
    assert_true(least < MK_MS / 4);
}

static void signal_cb(void *arg, int signo)
{
    *(int *)arg = signo;
}

static bool is_set(void *arg)
{
    return *(int *)arg != 0;
}

static void stop_cb(struct mk_task *t)
{
    mk_loop_stop(t->env);
}

static void real_signals_and_stop(void **state)
{
    struct fixture *f = *state;
    struct mk_task stop = {.cb = stop_cb};
    int got = 0;

    mk_loop_on_signal(f->a, signal_cb, &got);
    kill(getpid(), SIGTERM);
    assert_true(fixture_run_until(f, is_set, &got));
    assert_int_equal(got, SIGTERM);
    mk_later(f->a, &stop);
    mk_loop_run(f->a);
    mk_later(f->a, &stop); /* and again */
    mk_loop_run(f->a);
}

/* A reset by the other side is MK_EIO, not a clean end. */
static void real_reset(void **state)
{
    struct fixture *f = *state;
    struct echo *x = mk_alloc(sizeof(*x));
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    x->f = f;
    x->listener.accept = echo_accept;
    x->connect.cb = echo_connected;
    assert_int_equal(mk_listen(f->b, &x->listener, "127.0.0.1:0", NULL), 0);
    to.sin_port = htons(mk_listener_port(&x->listener));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(write(fd, "x", 1), 1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
    assert_true(fixture_run_until(f, echo_server_ended, x));
    assert_int_equal(x->server_end_status, MK_EIO);
    echo_close(x);
}

/* --- many ------------------------------------------------------------------------ */

#define N_MANY 400u /* both ends are ours: below the usual 1024 descriptors */

struct crowd {
    struct mk_listener listener;
    struct mk_connect connects[N_MANY];
    struct mk_sock *clients[N_MANY], *servers[N_MANY];
    size_t n_clients, n_servers, n_max, n_read, n_ended;
};

static void crowd_read(struct mk_sock *s, const uint8_t *p, size_t n)
{
    (void)p;
    ((struct crowd *)s->owner)->n_read += n;
}

static void crowd_writable(struct mk_sock *s)
{
    (void)s;
}

static void crowd_end(struct mk_sock *s, int status)
{
    (void)status;
    ((struct crowd *)s->owner)->n_ended++;
}

static struct crowd *the_crowd;

static const struct mk_sock_cbs crowd_cbs = {crowd_read, crowd_writable, crowd_end};

static void crowd_accept(struct mk_listener *l, struct mk_sock *s)
{
    struct crowd *x = mk_container_of(l, struct crowd, listener);

    s->cbs = &crowd_cbs;
    s->owner = x;
    x->servers[x->n_servers++] = s;
}

static void crowd_connected(struct mk_connect *c, struct mk_sock *s, int status)
{
    struct crowd *x = the_crowd;

    (void)c;
    assert_int_equal(status, 0);
    s->cbs = &crowd_cbs;
    s->owner = x;
    x->clients[x->n_clients++] = s;
    assert_int_equal(mk_sock_write(s, "hello", 5), 0);
}

static bool crowd_read_all(void *arg)
{
    struct crowd *x = arg;

    return x->n_servers == x->n_max && x->n_read == 5 * x->n_max;
}

static bool crowd_ended_all(void *arg)
{
    return ((struct crowd *)arg)->n_ended == N_MANY;
}

static void many_connections(void **state)
{
    struct fixture *f = *state;
    struct crowd *x = the_crowd = mk_alloc(sizeof(*x));
    char address[64];

    x->n_max = N_MANY;
    x->listener.accept = crowd_accept;
    snprintf(address, sizeof(address), "%s:0", f->b_host);
    assert_int_equal(mk_listen(f->b, &x->listener, address, NULL), 0);
    snprintf(address, sizeof(address), "%s:%u", f->b_host, mk_listener_port(&x->listener));
    for (unsigned i = 0; i < N_MANY; i++) {
        x->connects[i].cb = crowd_connected;
        assert_int_equal(mk_connect(f->a, &x->connects[i], address), 0);
    }
    assert_true(fixture_run_until(f, crowd_read_all, x));
    for (unsigned i = 0; i < N_MANY; i++)
        mk_sock_close(x->clients[i]);
    assert_true(fixture_run_until(f, crowd_ended_all, x));
    for (unsigned i = 0; i < N_MANY; i++)
        mk_sock_close(x->servers[i]);
    mk_listener_close(&x->listener);
    mk_free(x);
}

static bool crowd_some(void *arg)
{
    return ((struct crowd *)arg)->n_servers >= 4;
}

static bool rested_cb(void *arg)
{
    return ++*(unsigned *)arg > 1000;
}

/* Out of descriptors the listener rests; it neither spins nor forgets who waits. */
static void real_no_descriptors(void **state)
{
    struct fixture *f = *state;
    struct crowd *x;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct rlimit before, few;
    unsigned turns = 0;
    int fds[20];

    if (getenv("MK_VALGRIND") != NULL) /* which has a limit of its own */
        skip();
    x = the_crowd = mk_alloc(sizeof(*x));
    x->n_max = 20;
    x->listener.accept = crowd_accept;
    assert_int_equal(mk_listen(f->b, &x->listener, "127.0.0.1:0", NULL), 0);
    to.sin_port = htons(mk_listener_port(&x->listener));
    for (unsigned i = 0; i < 20; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fds[i], (struct sockaddr *)&to, sizeof(to)), 0);
        assert_int_equal(write(fds[i], "hello", 5), 5);
    }
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = (rlim_t)fds[19] + 5;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_true(fixture_run_until(f, crowd_some, x));
    assert_false(mk_loop_run_until(f->a, rested_cb, &turns, 250));
    assert_in_range(x->n_servers, 4, 19);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(fixture_run_until(f, crowd_read_all, x));
    for (unsigned i = 0; i < 20; i++) {
        close(fds[i]);
        mk_sock_close(x->servers[i]);
    }
    mk_listener_close(&x->listener);
    mk_free(x);
}

#define BOTH(test)                                                           \
    {"real: " #test, test, fixture_open_real, fixture_close_real, NULL},     \
    {                                                                        \
        "simulated: " #test, test, fixture_open_sim, fixture_close_sim, NULL \
    }
#define REAL(test)                                               \
    {                                                            \
#test, test, fixture_open_real, fixture_close_real, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(timers_fire_in_order),
        BOTH(timer_restart_moves_it),
        BOTH(tasks_run_in_order),
        BOTH(work_runs_elsewhere),
        BOTH(work_is_called_back),
        BOTH(entropy_differs),
        BOTH(echo_with_back_pressure),
        BOTH(close_flushes),
        BOTH(paused_sees_end_later),
        BOTH(connect_to_nobody),
        BOTH(bad_addresses),
        BOTH(listen_twice),
        BOTH(connect_cancel),
        BOTH(files_read_and_write),
        BOTH(directories),
        BOTH(load_and_store),
        BOTH(write_sync),
        BOTH(bulk_files),
        BOTH(write_sync_fails),
        BOTH(input_from_command),
        BOTH(many_connections),
        REAL(real_no_descriptors),
        REAL(real_lock),
        REAL(real_free_ends_writes),
        REAL(real_no_disk),
        REAL(real_timer_at_once),
        REAL(real_input_file),
        REAL(real_input_fd),
        REAL(real_input_command_fails),
        REAL(real_signals_and_stop),
        REAL(real_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
