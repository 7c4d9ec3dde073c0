/* Lines from a descriptor, a growing file, a command.
 *
 * All three end up as bytes from one descriptor put through mk_lines; they differ in
 * what wakes the reading. A pipe, a terminal or a socket is polled. A regular file
 * cannot be: it is read a chunk a turn until its end, which for standard input is the
 * end, while a followed file waits there for the kernel's word (inotify on its
 * directory, so that truncation, deletion and replacement are seen) and never polls.
 *
 * Pausing: the lines already read stay in the buffer, nothing more is read, and the
 * pipe fills up at the writer's side. */
#include "uv/uv_env.h"

#include "base/assert.h"
#include "env/lines.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define INPUT_CHUNK (64u << 10)

struct mk_uv_input {
    struct mk_input *in; /* NULL once closed */
    struct mk_uv_env *env;
    enum mk_input_kind kind;
    int fd;
    int fd_flags; /* of a descriptor that is not ours, to be restored */
    bool regular, paused, eof, ended;
    bool polling; /* poll is started */
    bool has_poll, has_watch, has_process;
    unsigned handles;  /* libuv's, still open */
    char *path, *name; /* followed file; its name in its directory */
    uint64_t off;
    uv_poll_t poll;
    uv_fs_event_t watch;
    uv_process_t process;
    bool exited;
    int64_t exit_status;
    struct mk_lines lines;
    struct mk_uv_deferred more; /* read or deliver again in the next turn */
};

static void input_free(struct mk_uv_input *u)
{
    if (u->handles > 0)
        return;
    mk_lines_done(&u->lines);
    mk_free(u->path);
    mk_free(u->name);
    mk_free(u);
}

static void input_handle_closed_cb(uv_handle_t *h)
{
    struct mk_uv_input *u = h->data;

    u->handles--;
    input_free(u);
}

static void input_close_handle(struct mk_uv_input *u, uv_handle_t *h)
{
    h->data = u;
    uv_close(h, input_handle_closed_cb);
}

static void input_poll_cb(uv_poll_t *p, int status, int events);

static void input_update(struct mk_uv_input *u)
{
    bool want = u->has_poll && !u->paused && !u->eof && u->in != NULL;

    if (want == u->polling)
        return;
    u->polling = want;
    if (want)
        uv_poll_start(&u->poll, UV_READABLE, input_poll_cb);
    else
        uv_poll_stop(&u->poll);
}

/* Hands out whole lines until there is none, or the owner pauses or closes. */
static void input_deliver(struct mk_uv_input *u)
{
    struct mk_str line;
    int rv;

    while (u->in != NULL && !u->paused) {
        rv = mk_lines_next(&u->lines, &line, /* at_end= */ u->eof);
        if (rv == MK_ENOTFOUND)
            return;
        u->in->line(u->in, line, rv);
    }
}

static void input_check_end(struct mk_uv_input *u)
{
    if (u->in == NULL || u->paused || u->ended || !u->eof || (u->has_process && !u->exited))
        return;
    u->ended = true;
    u->in->end(u->in, u->exit_status == 0 ? 0 : MK_EIO);
}

/* A followed file may have been cut or replaced behind our back: then it begins anew.
 * Returns true when there is something to read again. */
static bool follow_check(struct mk_uv_input *u)
{
    struct stat now, ours;
    int fd;

    if (fstat(u->fd, &ours) == 0 && (uint64_t)ours.st_size < u->off) {
        u->off = 0;
        return true;
    }
    if (stat(u->path, &now) != 0 || (now.st_ino == ours.st_ino && now.st_dev == ours.st_dev))
        return false;
    fd = open(u->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    close(u->fd);
    u->fd = fd;
    u->off = 0;
    return true;
}

/* One read. Returns whether another may bring more. */
static bool input_read(struct mk_uv_input *u)
{
    uint8_t *buf = u->env->read_buf;
    ssize_t n = u->kind == MK_INPUT_FILE ? pread(u->fd, buf, INPUT_CHUNK, (off_t)u->off)
                                         : read(u->fd, buf, INPUT_CHUNK);

    if (n > 0) {
        u->off += (uint64_t)n;
        mk_lines_put(&u->lines, buf, (size_t)n);
        return u->regular;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (u->kind == MK_INPUT_FILE)
        return n == 0 && follow_check(u);
    u->eof = true;
    if (n < 0)
        u->exit_status = MK_EIO;
    return false;
}

static void input_step(struct mk_uv_input *u)
{
    bool more = false;

    input_deliver(u);
    if (u->in != NULL && !u->paused && !u->eof) {
        more = input_read(u);
        input_deliver(u);
    }
    if (u->in == NULL)
        return;
    input_update(u);
    input_check_end(u);
    if (more && u->in != NULL)
        mk_uv_defer(u->env, &u->more);
}

static void input_more_cb(struct mk_uv_deferred *d)
{
    input_step(mk_container_of(d, struct mk_uv_input, more));
}

static void input_poll_cb(uv_poll_t *p, int status, int events)
{
    (void)status;
    (void)events;
    input_step(mk_container_of(p, struct mk_uv_input, poll));
}

static void input_watch_cb(uv_fs_event_t *w, const char *name, int events, int status)
{
    struct mk_uv_input *u = mk_container_of(w, struct mk_uv_input, watch);

    (void)events;
    (void)status;
    if (name == NULL || strcmp(name, u->name) == 0)
        mk_uv_defer(u->env, &u->more);
}

static void input_exit_cb(uv_process_t *p, int64_t exit_status, int term_signal)
{
    struct mk_uv_input *u = mk_container_of(p, struct mk_uv_input, process);

    u->exited = true;
    u->exit_status = term_signal != 0 ? MK_EIO : exit_status;
    if (u->in != NULL)
        mk_uv_defer(u->env, &u->more);
    else
        input_close_handle(u, (uv_handle_t *)p);
}

/* --- opening ---------------------------------------------------------------------------- */

/* fd is set: poll it, or read it as the regular file it is. */
static int input_begin(struct mk_uv_input *u, struct mk_fault *reterr)
{
    struct stat st;

    if (fstat(u->fd, &st) != 0)
        return mk_fault(reterr, MK_EIO, "cannot read descriptor %d: %s", u->fd, strerror(errno));
    u->regular = S_ISREG(st.st_mode);
    if (!u->regular) {
        if (uv_poll_init(&u->env->loop, &u->poll, u->fd) == 0) {
            u->has_poll = true;
            u->handles++;
        } else {
            u->regular = true; /* such as /dev/null: never waits */
        }
    }
    if (u->has_poll)
        input_update(u);
    else
        mk_uv_defer(u->env, &u->more);
    return 0;
}

static int input_open_file(struct mk_uv_input *u, const char *path, struct mk_fault *reterr)
{
    const char *slash = strrchr(path, '/');
    char *dir;
    int rv;

    u->path = mk_strdup(path);
    u->name = mk_strdup(slash == NULL ? path : slash + 1);
    u->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (u->fd < 0)
        return mk_fault(reterr, mk_uv_errno(errno), "cannot read %s: %s", path, strerror(errno));
    dir = mk_strdup(slash == NULL ? "." : slash == path ? "/" : path);
    if (slash != NULL && slash != path)
        dir[slash - path] = 0;
    uv_fs_event_init(&u->env->loop, &u->watch);
    u->has_watch = true;
    u->handles++;
    rv = uv_fs_event_start(&u->watch, input_watch_cb, dir, 0);
    mk_free(dir);
    if (rv != 0)
        return mk_fault(reterr, MK_EIO, "cannot follow %s: %s", path, uv_strerror(rv));
    return input_begin(u, reterr);
}

static int input_spawn(struct mk_uv_input *u, const char *command, struct mk_fault *reterr)
{
    char *argv[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, mk_strdup(command), NULL};
    uv_stdio_container_t io[3] = {
        {.flags = UV_IGNORE}, {.flags = UV_INHERIT_FD}, {.flags = UV_INHERIT_FD}};
    uv_process_options_t o = {.file = argv[0],
                              .args = argv,
                              .exit_cb = input_exit_cb,
                              .stdio = io,
                              .stdio_count = 3,
                              .flags = UV_PROCESS_DETACHED};
    int fds[2], rv;

    if (pipe2(fds, O_CLOEXEC) != 0) {
        mk_free(argv[2]);
        return mk_fault(reterr, MK_EIO, "cannot make a pipe: %s", strerror(errno));
    }
    io[1].data.fd = fds[1];
    io[2].data.fd = 2;
    rv = uv_spawn(&u->env->loop, &u->process, &o);
    u->has_process = true;
    u->handles++;
    u->exited = rv != 0;
    u->fd = fds[0];
    close(fds[1]);
    mk_free(argv[2]);
    if (rv != 0)
        return mk_fault(reterr, MK_EIO, "cannot run a command: %s", uv_strerror(rv));
    return input_begin(u, reterr);
}

/* --- closing ---------------------------------------------------------------------------- */

/* Asks the shell and what it started to end. The handle stays until the child has been
 * reaped, without holding up the loop; mk_loop_free() kills those that did not listen. */
static void input_kill(struct mk_uv_input *u)
{
    kill(-u->process.pid, SIGTERM);
    uv_unref((uv_handle_t *)&u->process);
}

void mk_uv_input_reap(uv_process_t *p)
{
    kill(-p->pid, SIGKILL);
    while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    input_close_handle(mk_container_of(p, struct mk_uv_input, process), (uv_handle_t *)p);
}

static void input_shut(struct mk_uv_input *u)
{
    unsigned handles = u->handles;

    u->in = NULL;
    mk_uv_defer_cancel(&u->more);
    if (u->has_process && !u->exited)
        input_kill(u);
    if (u->has_poll)
        input_close_handle(u, (uv_handle_t *)&u->poll);
    if (u->has_watch)
        input_close_handle(u, (uv_handle_t *)&u->watch);
    if (u->has_process && u->exited)
        input_close_handle(u, (uv_handle_t *)&u->process);
    if (u->kind == MK_INPUT_FD && u->has_poll)
        fcntl(u->fd, F_SETFL, u->fd_flags);
    if (u->kind != MK_INPUT_FD && u->fd >= 0)
        close(u->fd);
    if (handles == 0)
        input_free(u);
}

int mk_uv_input_open(struct mk_env *base, struct mk_input *in, const struct mk_input_spec *spec,
                     struct mk_fault *reterr)
{
    struct mk_uv_input *u = mk_alloc(sizeof(*u));
    int rv = MK_EINVALID;

    u->in = in;
    u->env = mk_uv_env_of(base);
    u->kind = spec->kind;
    u->fd = -1;
    u->lines.max = spec->line_max == 0 ? MK_INPUT_LINE_MAX : spec->line_max;
    u->more.cb = input_more_cb;
    in->impl = u;
    switch (spec->kind) {
    case MK_INPUT_FD:
        u->fd = spec->fd;
        u->fd_flags = fcntl(u->fd, F_GETFL);
        rv = input_begin(u, reterr);
        break;
    case MK_INPUT_FILE:
        rv = input_open_file(u, spec->path, reterr);
        break;
    case MK_INPUT_COMMAND:
        rv = input_spawn(u, spec->command, reterr);
        break;
    }
    if (rv != 0)
        input_shut(u);
    return rv;
}

void mk_uv_input_pause(struct mk_input *in, bool paused)
{
    struct mk_uv_input *u = in->impl;

    if (u->paused == paused)
        return;
    u->paused = paused;
    input_update(u);
    if (!paused)
        mk_uv_defer(u->env, &u->more);
}

void mk_uv_input_close(struct mk_input *in)
{
    input_shut(in->impl);
}
