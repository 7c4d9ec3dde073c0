/* test_sync.c - what the real disk asks of the kernel, whose answers are this program's: fsync()
 * and fdatasync() below stand in for those of the C library. */
#include "env_fixture.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

static unsigned interruptions; /* so many of the next calls end with EINTR */
static unsigned calls, done;
static char last[PATH_MAX]; /* what was synced last */

static int answer(int fd)
{
    char link[64];
    ssize_t n;

    calls++;
    if (interruptions > 0) {
        interruptions--;
        errno = EINTR;
        return -1;
    }
    done++;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, last, sizeof last - 1);
    last[n > 0 ? n : 0] = '\0';
    return 0;
}

int fsync(int fd)
{
    return answer(fd);
}

int fdatasync(int fd)
{
    return answer(fd);
}

static void begin(unsigned n)
{
    interruptions = n;
    calls = done = 0;
    last[0] = '\0';
}

/* SIGSTOP interrupts a sync where a process is the file system; the disk is as well as before. */
static void a_sync_that_a_signal_interrupts_is_asked_for_again(void **state)
{
    struct fixture *f = *state;
    struct mk_file *file;

    assert_int_equal(mk_file_open(f->a, &file, "a", MK_OPEN_CREATE), 0);
    assert_int_equal(mk_file_write(file, "abc", 3, 0), 0);
    begin(2);
    assert_int_equal(mk_file_sync(file), 0);
    assert_int_equal(calls, 3);
    assert_int_equal(done, 1);
    assert_non_null(strstr(last, "/a"));
    begin(1);
    assert_int_equal(mk_dir_sync(f->a, ""), 0);
    assert_int_equal(done, 1);
    assert_string_equal(last, f->dir);
    mk_file_close(file);
}

static int written = 1;

static void written_cb(struct mk_write_sync *w, int status)
{
    (void)w;
    written = status;
}

static bool is_written(void *arg)
{
    (void)arg;
    return written <= 0;
}

static void so_is_that_of_a_write(void **state)
{
    struct fixture *f = *state;
    struct mk_write_sync w = {.cb = written_cb};
    struct mk_file *file;

    assert_int_equal(mk_file_open(f->a, &file, "b", MK_OPEN_CREATE), 0);
    begin(2);
    mk_write_sync(file, &w, "abc", 3, 0);
    assert_true(fixture_run_until(f, is_written, NULL));
    assert_int_equal(written, 0);
    assert_int_equal(calls, 3);
    mk_file_close(file);
}

/* Else a power cut leaves nothing of a member, however well its files were synced. */
static void a_new_directory_is_durable_in_its_parent(void **state)
{
    struct fixture *f = *state;
    struct mk_env *e;
    struct mk_fault fault;
    char dir[80];

    snprintf(dir, sizeof dir, "%s/new", f->dir);
    begin(1);
    assert_int_equal(mk_loop_open(&e, dir, &fault), 0);
    assert_int_equal(done, 1);
    assert_string_equal(last, f->dir);
    mk_loop_free(e);
    begin(0);
    assert_int_equal(mk_loop_open(&e, dir, &fault), 0); /* it is there: nothing to sync */
    assert_int_equal(done, 0);
    mk_loop_free(e);
}

#define REAL(t) cmocka_unit_test_setup_teardown(t, fixture_open_real, fixture_close_real)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REAL(a_sync_that_a_signal_interrupts_is_asked_for_again),
        REAL(so_is_that_of_a_write),
        REAL(a_new_directory_is_durable_in_its_parent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
