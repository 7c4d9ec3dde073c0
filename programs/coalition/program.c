/* program.c - the helpers of program.h. */
#include "program.h"

#include <mosaik/key.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- what is printed ------------------------------------------------------------------ */

static int output_lost; /* the first errno of a flush; the next one may not know it any more */

static void flush_quietly(void)
{
    if (fflush(stdout) != 0 && output_lost == 0)
        output_lost = errno;
}

/* An open loop ignores SIGPIPE, for its sockets: a reader that went shows in the flush alone. */
void flush_output(void)
{
    flush_quietly();
    if (output_lost == 0 && ferror(stdout))
        output_lost = EIO; /* a write before the flush failed, and its reason is gone */
    if (output_lost == 0)
        return;
    if (output_lost == EPIPE) {
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    fprintf(stderr, "standard output: %s\n", strerror(output_lost));
    _exit(STATUS_CHECK);
}

/* --- complaining --------------------------------------------------------------------- */

int complain(enum status status, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    flush_quietly();
    fprintf(stderr, "%s\n", text);
    return status;
}

enum status status_of(int err)
{
    switch ((enum mk_err)err) {
    case MK_ETIMEDOUT:
    case MK_EUNREACHABLE:
    case MK_ENOMAJORITY:
    case MK_ENOTLEADER:
    case MK_ECANCELED:
        return STATUS_TIMEOUT;
    case MK_EINVALID:
    case MK_EMALFORMED:
    case MK_ELIMIT:
        return STATUS_USAGE;
    case MK_ENOMEM:
    case MK_ENOTFOUND:
    case MK_EEXISTS:
    case MK_EFULL:
    case MK_ECLOSED:
    case MK_EREFUSED:
    case MK_ESIGNATURE:
    case MK_ESTALE:
    case MK_ECONFLICT:
    case MK_EIO:
    case MK_ENOSPACE:
    case MK_ECORRUPT:
    case MK_EUNKNOWN:
    case MK_ENOTSUP:
    case MK_ERETIRED:
    case MK_EPROTOCOL:
    case MK_EIDENTITY:
    case MK_ELOSTDISK:
    case MK_EINUSE:
        return STATUS_CHECK;
    }
    return err == 0 ? STATUS_DONE : STATUS_CHECK;
}

int complain_of(int err, const struct mk_fault *f)
{
    return complain(status_of(err), "%s",
                    f != NULL && f->text[0] != '\0' ? f->text : mk_strerror(err));
}

#define LIKELY_HEX 8u /* so many hex digits are hardly a word */

struct mk_id id_of_word(const char *what, const char *word, bool *ret_hashed)
{
    struct mk_id id;
    size_t n = strlen(word), hex = strspn(word, "0123456789abcdefABCDEF");

    *ret_hashed = mk_id_unhex(&id, mk_str_of(word)) != 0;
    if (*ret_hashed && ((hex == n && n >= LIKELY_HEX) || (n == 64 && hex >= LIKELY_HEX) ||
                        strncasecmp(word, "0x", 2) == 0))
        fprintf(stderr, "warning: %s: \"%s\" is hashed as a text; an id is 64 hex digits\n", what,
                word);
    return mk_id_of_text(mk_str_of(word));
}

/* --- files ------------------------------------------------------------------------------- */

#define PIPE_WAIT_MS 10000 /* for each piece of what is named and no regular file */

/** Nobody may ever write to a named pipe; a file always has what it has. */
static int wait_readable(int fd, const char *path, struct mk_fault *reterr)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;

    do
        n = poll(&p, 1, PIPE_WAIT_MS);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        return mk_fault(reterr, MK_EIO, "%s: no regular file, and nobody wrote to it for %d s",
                        path, PIPE_WAIT_MS / 1000);
    return 0;
}

/** patient: a read may wait for as long as it takes. */
static int read_all(int fd, const char *path, bool patient, struct mk_buf *ret,
                    struct mk_fault *reterr)
{
    for (;;) {
        uint8_t *p;
        ssize_t n;

        if (!patient && wait_readable(fd, path, reterr) != 0)
            return MK_EIO;
        mk_buf_reserve(ret, 65536);
        p = ret->p + ret->n;
        n = read(fd, p, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mk_fault(reterr, MK_EIO, "%s: %s", path, strerror(errno));
        if (n == 0)
            return 0;
        ret->n += (size_t)n;
        if (ret->n > COA_SERIALISED_MAX) /* who parses TOML has a lower limit */
            return mk_fault(reterr, MK_ELIMIT, "%s:1:1: the file is larger than %u bytes", path,
                            COA_SERIALISED_MAX);
    }
}

int read_file(const char *path, struct mk_buf *ret, struct mk_fault *reterr)
{
    struct stat st;
    int fd, rv;

    if (strcmp(path, "-") == 0)
        return read_all(0, "standard input", /* patient= */ true, ret, reterr);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe without a writer opens too */
    if (fd < 0 || fstat(fd, &st) != 0)
        rv = mk_fault(reterr, errno == ENOENT ? MK_ENOTFOUND : MK_EIO, "%s: %s", path,
                      strerror(errno));
    else
        rv = read_all(fd, path, S_ISREG(st.st_mode), ret, reterr);
    if (fd < 0)
        return rv;
    close(fd);
    return rv;
}

int read_named(const char *path, struct mk_buf *ret, struct mk_fault *reterr)
{
    return read_file(path, ret, reterr) != 0 ? MK_EINVALID : 0;
}

static int write_all(int fd, struct mk_bytes b)
{
    while (b.n > 0) {
        ssize_t n = write(fd, b.p, b.n);

        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0) {
            b.p += n;
            b.n -= (size_t)n;
        }
    }
    return fsync(fd);
}

/** May PATH be replaced? Not a device or a link, which rename would put away, and not a key. */
static int check_replaceable(const char *path, struct mk_fault *reterr)
{
    static const char magic[] = "mosaik-ed25519-key-";
    char head[sizeof magic - 1];
    struct stat st;
    ssize_t n;
    int fd;

    if (lstat(path, &st) != 0)
        return 0;
    if (!S_ISREG(st.st_mode))
        return mk_fault(reterr, MK_EINVALID, "%s: it is there and no regular file; name another",
                        path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    n = read(fd, head, sizeof head);
    close(fd);
    if (n == (ssize_t)sizeof head && memcmp(head, magic, sizeof head) == 0)
        return mk_fault(reterr, MK_EINVALID, "%s: it holds a key, which is never written over",
                        path);
    return 0;
}

int write_file(const char *path, struct mk_bytes content, unsigned mode, struct mk_fault *reterr)
{
    char temporary[4096];
    int fd, rv = check_replaceable(path, reterr);

    if (rv != 0)
        return rv;
    if (snprintf(temporary, sizeof temporary, "%s.new", path) >= (int)sizeof temporary)
        return mk_fault(reterr, MK_EINVALID, "%s: the path is too long", path);
    unlink(temporary);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return mk_fault(reterr, errno == ENOENT || errno == ENOTDIR ? MK_EINVALID : MK_EIO,
                        "%s: %s", path, strerror(errno));
    rv = write_all(fd, content);
    if (close(fd) != 0 || rv != 0 || rename(temporary, path) != 0) {
        rv = mk_fault(reterr, MK_EIO, "%s: %s", path, strerror(errno));
        unlink(temporary);
        return rv;
    }
    return 0;
}

static int loader_load(struct coa_loader *l, const char *path, struct mk_buf *ret,
                       struct mk_fault *reterr)
{
    (void)l;
    return read_file(path, ret, reterr);
}

struct coa_loader *disk_loader(void)
{
    static struct coa_loader loader = {.load = loader_load};

    return &loader;
}

static void print_warnings(const struct coa_warnings *w)
{
    for (size_t i = 0; i < w->n; i++)
        fprintf(stderr, "warning: %.*s\n", (int)w->v[i].n, w->v[i].p);
}

int load_coalition(struct coa_coalition_file *ret, const char *path)
{
    struct mk_buf b = {0};
    struct mk_fault fault = {{0}};
    int rv = read_file(path, &b, &fault);

    if (rv == 0)
        rv = coa_coalition_file_parse(ret, path, mk_buf_bytes(&b), disk_loader(), &fault);
    mk_buf_done(&b);
    if (rv != 0)
        return complain(STATUS_USAGE, "%s", fault.text);
    print_warnings(&ret->warnings);
    return 0;
}

int load_organism(struct coa_organism_file *ret, const char *path)
{
    struct mk_buf b = {0};
    struct mk_fault fault = {{0}};
    int rv = read_file(path, &b, &fault);

    if (rv == 0)
        rv = coa_organism_file_parse(ret, path, mk_buf_bytes(&b), &fault);
    mk_buf_done(&b);
    if (rv != 0)
        return complain(STATUS_USAGE, "%s", fault.text);
    print_warnings(&ret->warnings);
    return 0;
}

int load_lattice(struct coa_lattice_file *ret, const char *path)
{
    struct mk_buf b = {0};
    struct mk_fault fault = {{0}};
    int rv = read_file(path, &b, &fault);

    if (rv == 0)
        rv = coa_lattice_file_parse(ret, path, mk_buf_bytes(&b), disk_loader(), &fault);
    mk_buf_done(&b);
    if (rv != 0)
        return complain(STATUS_USAGE, "%s", fault.text);
    print_warnings(&ret->warnings);
    return 0;
}

/* A serialised config, which is no TOML, is hex digits alone. */
static bool is_hex(const struct mk_buf *b)
{
    for (size_t i = 0; i < b->n; i++) {
        if (b->p[i] == 0 || strchr("0123456789abcdefABCDEF \t\r\n", b->p[i]) == NULL)
            return false;
    }
    return b->n > 0;
}

int load_kind(enum coa_file_kind *ret, const char *path)
{
    struct mk_buf b = {0};
    struct mk_fault fault = {{0}};
    int rv;

    if (strcmp(path, "-") == 0)
        return complain(STATUS_USAGE, "FILE is -; this command reads it from a path");
    rv = read_file(path, &b, &fault);
    if (rv == 0 && is_hex(&b))
        *ret = COA_FILE_COALITION;
    else if (rv == 0)
        rv = coa_file_kind(ret, path, mk_buf_bytes(&b), &fault);
    mk_buf_done(&b);
    return rv == 0 ? 0 : complain(STATUS_USAGE, "%s", fault.text);
}

/* --- JSON ----------------------------------------------------------------------------------- */

void print_json(json_t *taken)
{
    json_dumpf(taken, stdout, JSON_COMPACT);
    putchar('\n');
    flush_quietly();
    json_decref(taken);
}

json_t *json_hex(const void *p, size_t n)
{
    char *hex = mk_alloc(2 * n + 1);
    json_t *s;

    mk_hex(hex, p, n);
    s = json_string(hex);
    mk_free(hex);
    return s;
}

json_t *json_text(struct mk_str s)
{
    return s.p != NULL ? json_stringn(s.p, s.n) : json_null();
}

json_t *json_surfaces(struct coa_surfaces s, const struct mk_id *stable_id)
{
    json_t *all = json_object();

    for (size_t i = 0; i < s.n; i++) {
        struct mk_id id = coa_surface_id_of(&s.v[i], stable_id);

        json_object_setn_new_nocheck(all, s.v[i].name.p, s.v[i].name.n, json_id(&id));
    }
    return all;
}
