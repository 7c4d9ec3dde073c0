/* Files that are large and not soon needed again: snapshots.
 *
 * Through the system's cache a gigabyte of a snapshot costs a page of memory for every page of it,
 * which pushes out what is needed; filling those pages cannot be interrupted (on a virtual machine
 * whose memory its host hands out page by page, two MiB held a processor for 65 ms); and what is
 * dirty there is written back when the kernel likes. So pieces whose place and size are multiples
 * of 4 KiB go past it (O_DIRECT), by way of one aligned buffer, some 256 KiB at a time. Ends of
 * files, small pieces, and file systems that know no such thing take the usual way.
 *
 * The second descriptor is opened through /proc, since the file may have another name by then. */
#include "uv/uv_env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ALIGN 4096u
#define SMALL (64u << 10)
#define STEP (256u << 10)

enum { UNTRIED = 0, REFUSED = -1 }; /* else the descriptor and one */

static int direct_fd(int fd, bool writes)
{
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, (writes ? O_WRONLY : O_RDONLY) | O_DIRECT | O_CLOEXEC);
}

/* False: by the usual way. */
static bool ready(struct mk_uv_bulk *b, int fd, bool writes)
{
    if (b->fd1 == UNTRIED) {
        int d = direct_fd(fd, writes);

        b->fd1 = d < 0 ? REFUSED : d + 1;
    }
    if (b->fd1 != REFUSED && b->block == NULL) {
        b->block = mk_realloc(NULL, STEP + ALIGN);
        b->p = (uint8_t *)(((uintptr_t)b->block + ALIGN - 1) / ALIGN * ALIGN);
    }
    return b->fd1 != REFUSED;
}

/* How much of n bytes at off goes past the cache. */
static size_t share(size_t n, uint64_t off)
{
    return n < SMALL || off % ALIGN != 0 ? 0 : n - n % ALIGN;
}

size_t mk_uv_bulk_write(struct mk_uv_bulk *b, int fd, const uint8_t *p, size_t n, uint64_t off)
{
    size_t want = share(n, off), done = 0;

    if (want == 0 || !ready(b, fd, true))
        return 0;
    while (done < want) {
        size_t step = want - done < STEP ? want - done : STEP;
        ssize_t put;

        memcpy(b->p, p + done, step);
        do
            put = pwrite(b->fd1 - 1, b->p, step, (off_t)(off + done));
        while (put < 0 && errno == EINTR);
        if (put <= 0 || (size_t)put % ALIGN != 0)
            break; /* the usual way finds out why */
        done += (size_t)put;
    }
    return done;
}

size_t mk_uv_bulk_read(struct mk_uv_bulk *b, int fd, uint8_t *out, size_t n, uint64_t off)
{
    size_t want = share(n, off), done = 0;

    if (want == 0 || !ready(b, fd, false))
        return 0;
    while (done < want) {
        size_t step = want - done < STEP ? want - done : STEP;
        ssize_t got;

        do
            got = pread(b->fd1 - 1, b->p, step, (off_t)(off + done));
        while (got < 0 && errno == EINTR);
        if (got <= 0 || (size_t)got % ALIGN != 0)
            break;
        memcpy(out + done, b->p, (size_t)got);
        done += (size_t)got;
    }
    return done;
}

void mk_uv_bulk_done(struct mk_uv_bulk *b)
{
    if (b->fd1 > 0)
        close(b->fd1 - 1);
    mk_free(b->block);
    *b = (struct mk_uv_bulk){0};
}
