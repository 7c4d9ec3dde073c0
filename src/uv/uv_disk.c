/* Files below one directory, held by its descriptor: renaming that directory or
 * changing the process's own does not move them. The data path is mk_uv_disk_write_sync():
 * pwrite and fdatasync on a disk thread. Everything else blocks and is for opening.
 *
 * A failed fdatasync is final: the kernel may have dropped the pages and would answer
 * the next one with success. So the status goes to the owner, who stops using the file. */
#include "uv/uv_env.h"

#include "base/assert.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct mk_uv_file {
    struct mk_file base; /* first */
    int fd;
    struct mk_uv_bulk reads, writes; /* where base.bulk says so */
    struct mk_uv_job job;            /* at most one write in flight */
    struct mk_uv_deferred here;
    struct mk_write_sync *req;
    int status;
    uint64_t took_ns;
    unsigned slow; /* of the last writes; see HERE_NS */
};

static struct mk_uv_file *file_of(struct mk_file *f)
{
    return mk_container_of(f, struct mk_uv_file, base);
}

/* A signal that interrupts a sync (SIGSTOP does, where a process is the file system) says nothing
 * about the disk. */
static int sync_fd(int fd, bool data_only)
{
    int rv;

    do
        rv = data_only ? fdatasync(fd) : fsync(fd);
    while (rv != 0 && errno == EINTR);
    return rv == 0 ? 0 : mk_uv_errno(errno);
}

/* A directory that was made just now is durable once its parent is: else a power cut may leave
 * nothing of a member that has acknowledged writes, however well those were synced. */
static int parent_sync(int dirfd)
{
    int fd = openat(dirfd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rv;

    if (fd < 0)
        return mk_uv_errno(errno);
    rv = sync_fd(fd, /* data_only= */ false);
    close(fd);
    return rv;
}

int mk_uv_disk_open_dir(struct mk_uv_env *e, const char *dir, struct mk_fault *reterr)
{
    bool made = mkdir(dir, 0700) == 0;
    int rv;

    if (!made && errno != EEXIST)
        return mk_fault(reterr, mk_uv_errno(errno), "cannot make %s: %s", dir, strerror(errno));
    e->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (e->dirfd < 0)
        return mk_fault(reterr, mk_uv_errno(errno), "cannot open %s: %s", dir, strerror(errno));
    rv = made ? parent_sync(e->dirfd) : 0;
    if (rv == 0)
        return 0;
    close(e->dirfd);
    e->dirfd = -1;
    return mk_fault(reterr, rv, "cannot sync the folder of %s: %s", dir, mk_strerror(rv));
}

int mk_uv_file_open(struct mk_env *base, struct mk_file **ret, const char *path,
                    enum mk_open_mode mode)
{
    struct mk_uv_env *e = mk_uv_env_of(base);
    struct mk_uv_file *f;
    int flags = O_CLOEXEC | O_NOFOLLOW, fd;

    if (e->dirfd < 0)
        return MK_ENOTSUP;
    switch (mode) {
    case MK_OPEN_READ:
        flags |= O_RDONLY;
        break;
    case MK_OPEN_WRITE:
        flags |= O_RDWR;
        break;
    case MK_OPEN_CREATE:
        flags |= O_RDWR | O_CREAT | O_EXCL;
        break;
    }
    fd = openat(e->dirfd, path, flags, 0600);
    if (fd < 0)
        return mk_uv_errno(errno);
    f = mk_alloc(sizeof(*f));
    f->base.env = base;
    f->fd = fd;
    *ret = &f->base;
    return 0;
}

void mk_uv_file_close(struct mk_file *base)
{
    struct mk_uv_file *f = file_of(base);

    MK_ASSERT(f->req == NULL);
    mk_uv_bulk_done(&f->reads);
    mk_uv_bulk_done(&f->writes);
    close(f->fd);
    mk_free(f);
}

int mk_uv_file_size(struct mk_file *f, uint64_t *ret)
{
    struct stat st;

    if (fstat(file_of(f)->fd, &st) != 0)
        return mk_uv_errno(errno);
    *ret = (uint64_t)st.st_size;
    return 0;
}

int mk_uv_file_read(struct mk_file *f, void *out, size_t n, uint64_t off, size_t *ret_n)
{
    struct mk_uv_file *file = file_of(f);
    size_t done = f->bulk ? mk_uv_bulk_read(&file->reads, file->fd, out, n, off) : 0;

    while (done < n) {
        ssize_t got = pread(file->fd, (uint8_t *)out + done, n - done, (off_t)(off + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return mk_uv_errno(errno);
        if (got == 0)
            break;
        done += (size_t)got;
    }
    *ret_n = done;
    return 0;
}

static int fd_write(int fd, const uint8_t *p, size_t n, uint64_t off)
{
    while (n > 0) {
        ssize_t put = pwrite(fd, p, n, (off_t)off);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? mk_uv_errno(errno) : MK_EIO;
        p += put;
        n -= (size_t)put;
        off += (uint64_t)put;
    }
    return 0;
}

int mk_uv_file_write(struct mk_file *f, const void *p, size_t n, uint64_t off)
{
    return fd_write(file_of(f)->fd, p, n, off);
}

int mk_uv_file_truncate(struct mk_file *f, uint64_t size)
{
    return ftruncate(file_of(f)->fd, (off_t)size) == 0 ? 0 : mk_uv_errno(errno);
}

int mk_uv_file_sync(struct mk_file *f)
{
    return sync_fd(file_of(f)->fd, /* data_only= */ true);
}

int mk_uv_disk_rename(struct mk_env *base, const char *from, const char *to)
{
    int d = mk_uv_env_of(base)->dirfd;

    if (d < 0)
        return MK_ENOTSUP;
    return renameat(d, from, d, to) == 0 ? 0 : mk_uv_errno(errno);
}

int mk_uv_disk_unlink(struct mk_env *base, const char *path)
{
    int d = mk_uv_env_of(base)->dirfd;

    if (d < 0)
        return MK_ENOTSUP;
    if (unlinkat(d, path, 0) == 0)
        return 0;
    if (errno == EISDIR && unlinkat(d, path, AT_REMOVEDIR) == 0)
        return 0;
    return errno == ENOTEMPTY ? MK_EEXISTS : mk_uv_errno(errno);
}

int mk_uv_disk_mkdir(struct mk_env *base, const char *path)
{
    int d = mk_uv_env_of(base)->dirfd;
    struct stat st;

    if (d < 0)
        return MK_ENOTSUP;
    if (mkdirat(d, path, 0700) == 0)
        return 0;
    if (errno != EEXIST)
        return mk_uv_errno(errno);
    return fstatat(d, path, &st, 0) == 0 && S_ISDIR(st.st_mode) ? 0 : MK_EEXISTS;
}

static int dir_open(struct mk_env *base, const char *path, int *ret)
{
    int d = mk_uv_env_of(base)->dirfd;

    if (d < 0)
        return MK_ENOTSUP;
    d = openat(d, *path == 0 ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d < 0)
        return mk_uv_errno(errno);
    *ret = d;
    return 0;
}

int mk_uv_disk_dir_sync(struct mk_env *base, const char *path)
{
    int d = -1, rv = dir_open(base, path, &d);

    if (rv != 0)
        return rv;
    rv = sync_fd(d, /* data_only= */ false);
    close(d);
    return rv;
}

static int name_cmp(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names, sorted; each and the array are given (mk_free). */
static size_t dir_names(DIR *d, char ***ret)
{
    char **names = NULL;
    size_t n = 0;
    struct dirent *de;

    while ((de = readdir(d)) != NULL) {
        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
            continue;
        names = mk_realloc(names, (n + 1) * sizeof(*names));
        names[n++] = mk_strdup(de->d_name);
    }
    if (n > 0)
        qsort(names, n, sizeof(*names), name_cmp);
    *ret = names;
    return n;
}

int mk_uv_disk_dir_list(struct mk_env *base, const char *path,
                        void (*cb)(void *arg, const char *name), void *arg)
{
    int fd = -1, rv = dir_open(base, path, &fd);
    char **names;
    size_t n;
    DIR *d;

    if (rv != 0)
        return rv;
    d = fdopendir(fd);
    if (d == NULL) {
        close(fd);
        return MK_EIO;
    }
    n = dir_names(d, &names);
    closedir(d);
    for (size_t i = 0; i < n; i++) {
        cb(arg, names[i]);
        mk_free(names[i]);
    }
    mk_free(names);
    return 0;
}

int mk_uv_disk_dir_lock(struct mk_env *base)
{
    int d = mk_uv_env_of(base)->dirfd;

    if (d < 0)
        return MK_ENOTSUP;
    if (flock(d, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK ? MK_EINUSE : MK_EIO;
}

/* --- the data path ------------------------------------------------------------------ */

/* A disk that is quick with a small write is waited for on the loop, once the turn's sends have
 * left: on a member that follows, nothing could go on meanwhile but the answer to this very
 * write, and a thread costs two switches there and back (at one write in flight a fifth of all
 * that a commit costs). Every fast write counts one, every slow one eight or more, the more the
 * longer it took: a disk that is slow one time in eight works on a thread for good, one that
 * hung for a second for its next thousand writes. */
#define HERE_BYTES (64u << 10)
#define HERE_NS (1000u * 1000u)
#define SLOW_COST 8u
#define SLOW_LIMIT 16u
#define SLOW_MAX 10000u

static void write_sync_run(struct mk_uv_job *j)
{
    struct mk_uv_file *f = mk_container_of(j, struct mk_uv_file, job);
    uint64_t begun = uv_hrtime();
    const uint8_t *p = f->req->p;
    size_t n = f->req->n, done = 0;

    if (f->base.bulk)
        done = mk_uv_bulk_write(&f->writes, f->fd, p, n, f->req->off);
    f->status = fd_write(f->fd, p + done, n - done, f->req->off + done);
    if (f->status == 0)
        f->status = sync_fd(f->fd, /* data_only= */ true);
    if (f->status != 0 && f->status != MK_ENOSPACE)
        f->status = MK_EIO;
    f->took_ns = uv_hrtime() - begun;
}

static void note_time(struct mk_uv_file *f)
{
    uint64_t cost = f->took_ns / HERE_NS;

    if (f->took_ns <= HERE_NS) {
        f->slow -= f->slow > 0;
        return;
    }
    if (cost < SLOW_COST)
        cost = SLOW_COST;
    f->slow = cost < SLOW_MAX - f->slow ? f->slow + (unsigned)cost : SLOW_MAX;
}

static void write_sync_done(struct mk_uv_job *j)
{
    struct mk_uv_file *f = mk_container_of(j, struct mk_uv_file, job);
    struct mk_write_sync *w = f->req;

    note_time(f);
    f->req = NULL;
    mk_uv_env_of(f->base.env)->n_writes--;
    w->cb(w, f->status);
}

static void write_sync_here(struct mk_uv_deferred *d)
{
    struct mk_uv_file *f = mk_container_of(d, struct mk_uv_file, here);

    write_sync_run(&f->job);
    write_sync_done(&f->job);
}

void mk_uv_disk_write_sync(struct mk_file *base, struct mk_write_sync *w)
{
    struct mk_uv_file *f = file_of(base);
    struct mk_uv_env *e = mk_uv_env_of(base->env);

    MK_ASSERT(f->req == NULL);
    f->req = w;
    e->n_writes++;
    if (w->n <= HERE_BYTES && f->slow < SLOW_LIMIT) {
        f->here.cb = write_sync_here;
        mk_list_add_tail(&e->writes, &f->here.node);
        return;
    }
    f->job = (struct mk_uv_job){.run = write_sync_run, .done = write_sync_done};
    mk_uv_pool_add(&e->disk, &f->job);
}
