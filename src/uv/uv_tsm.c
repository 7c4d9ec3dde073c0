/* The machine's own quotes through configfs-tsm (Linux, Documentation/ABI/testing/configfs-tsm).
 *
 * Happy path: a directory of our own makes a report; its generation is read, the 64 bytes
 * go to inblob in one write, outblob answers with the quote, and the generation must have
 * grown by that one write; the directory goes again.
 *
 * Failure modes: no such interface (not a guest, no kernel support); another provider (SEV);
 * somebody else wrote to the same report in between, so the quote may be of his bytes; the
 * quoting service does not answer (the read ends with an error, or late). A directory that an
 * earlier process left behind is used again. */
#include "uv/uv_env.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TSM_TEXT_MAX 64u /* bytes of provider and generation */

static int tsm_open(const char *report, const char *name, int flags, struct mk_fault *reterr)
{
    char path[PATH_MAX];
    int fd;

    if (snprintf(path, sizeof path, "%s/%s", report, name) >= (int)sizeof path)
        return -mk_fault(reterr, MK_EINVALID, "%s: the path is too long", report);
    do
        fd = open(path, flags | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        mk_fault(reterr, MK_EIO, "%s: %s", path, strerror(errno));
    return fd;
}

/* The whole attribute, at most max bytes. */
static int tsm_read(const char *report, const char *name, size_t max, struct mk_buf *out,
                    struct mk_fault *reterr)
{
    int fd = tsm_open(report, name, O_RDONLY, reterr), rv = 0;
    size_t had = out->n;
    ssize_t n;

    if (fd < 0)
        return MK_EIO;
    do {
        mk_buf_reserve(out, 4096);
        n = read(fd, out->p + out->n, 4096);
        if (n > 0)
            out->n += (size_t)n;
    } while (out->n - had <= max && (n > 0 || (n < 0 && errno == EINTR)));
    if (n < 0)
        rv = mk_fault(reterr, MK_EIO, "%s/%s: %s", report, name, strerror(errno));
    else if (out->n - had > max)
        rv = mk_fault(reterr, MK_ELIMIT, "%s/%s: more than %zu bytes", report, name, max);
    close(fd);
    return rv;
}

static int tsm_text(const char *report, const char *name, char ret[TSM_TEXT_MAX + 1],
                    struct mk_fault *reterr)
{
    struct mk_buf b = {0};
    int rv = tsm_read(report, name, TSM_TEXT_MAX, &b, reterr);

    if (rv == 0) {
        memcpy(ret, b.p, b.n);
        ret[b.n] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
    }
    mk_buf_done(&b);
    return rv;
}

static int tsm_generation(const char *report, unsigned long long *ret, struct mk_fault *reterr)
{
    char text[TSM_TEXT_MAX + 1];
    int rv = tsm_text(report, "generation", text, reterr);
    size_t n;

    if (rv != 0)
        return rv;
    *ret = 0;
    for (n = 0; text[n] >= '0' && text[n] <= '9' && n < 19; n++)
        *ret = *ret * 10 + (unsigned)(text[n] - '0');
    if (n == 0 || text[n] != '\0')
        rv = mk_fault(reterr, MK_EIO, "%s/generation: \"%s\" is no number", report, text);
    return rv;
}

static int tsm_write(const char *report, const uint8_t data[64], struct mk_fault *reterr)
{
    int fd = tsm_open(report, "inblob", O_WRONLY, reterr), rv = 0;
    ssize_t n;

    if (fd < 0)
        return MK_EIO;
    do
        n = write(fd, data, 64); /* one write: it is one attribute */
    while (n < 0 && errno == EINTR);
    if (n != 64)
        rv = mk_fault(reterr, MK_EIO, "%s/inblob: %s", report, n < 0 ? strerror(errno) : "short");
    if (close(fd) != 0 && rv == 0) /* configfs acts on what was written when it is closed */
        rv = mk_fault(reterr, MK_EIO, "%s/inblob: %s", report, strerror(errno));
    return rv;
}

static int tsm_exchange(const char *report, const uint8_t data[64], size_t max, struct mk_buf *out,
                        struct mk_fault *reterr)
{
    unsigned long long before, after;
    char provider[TSM_TEXT_MAX + 1];
    int rv = tsm_text(report, "provider", provider, reterr);

    if (rv == 0 && strcmp(provider, "tdx_guest") != 0)
        rv = mk_fault(reterr, MK_ENOTSUP, "%s/provider is \"%s\", not \"tdx_guest\"", report,
                      provider);
    if (rv == 0)
        rv = tsm_generation(report, &before, reterr);
    if (rv == 0)
        rv = tsm_write(report, data, reterr);
    if (rv == 0)
        rv = tsm_read(report, "outblob", max, out, reterr);
    if (rv == 0)
        rv = tsm_generation(report, &after, reterr);
    if (rv == 0 && after != before + 1)
        rv = mk_fault(reterr, MK_ECONFLICT, "%s: %llu writes where one was ours", report,
                      after - before);
    return rv;
}

int mk_uv_tsm_quote(struct mk_env *e, const char *dir, const char *entry, const uint8_t data[64],
                    size_t max, struct mk_buf *out, struct mk_fault *reterr)
{
    char report[PATH_MAX];
    size_t had = out->n;
    int rv;

    (void)e;
    if (snprintf(report, sizeof report, "%s/%s", dir, entry) >= (int)sizeof report)
        return mk_fault(reterr, MK_EINVALID, "%s: the path is too long", dir);
    if (mkdir(report, 0700) != 0 && errno != EEXIST)
        return mk_fault(reterr, errno == ENOENT ? MK_ENOTFOUND : MK_EIO, "%s: %s", report,
                        strerror(errno));
    rv = tsm_exchange(report, data, max, out, reterr);
    if (rv != 0)
        out->n = had;
    rmdir(report); /* configfs takes its attributes away with it */
    return rv;
}
