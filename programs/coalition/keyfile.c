/* keyfile.c - peer keys in files: making one, reading one.
 *
 * The name is claimed before the key is drawn, so that no key is ever written over: a lost
 * operator key cannot be had again. The secret is wiped as soon as the file is durable. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_key(const char *path, const struct mk_key *k, struct mk_fault *reterr)
{
    struct mk_buf text = {0};
    int fd, rv;

    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return mk_fault(reterr, MK_EEXISTS,
                        "%s: it is there already; a key is never written over, name a new file",
                        path);
    if (fd < 0)
        return mk_fault(reterr, errno == ENOENT || errno == ENOTDIR ? MK_EINVALID : MK_EIO,
                        "%s: %s", path, strerror(errno));
    close(fd);
    mk_key_format(k, &text);
    rv = write_file(path, mk_buf_bytes(&text), 0600, reterr);
    if (rv != 0)
        unlink(path);
    mk_wipe(text.p, text.cap);
    mk_buf_done(&text);
    return rv;
}

int make_key(struct mk_key *ret, const char *path, struct mk_fault *reterr)
{
    uint8_t seed[32];
    int rv;

    if (getrandom(seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        return mk_fault(reterr, MK_EIO, "no randomness: %s", strerror(errno));
    mk_key_from_seed(ret, seed);
    mk_wipe(seed, sizeof seed);
    rv = write_key(path, ret, reterr);
    if (rv != 0)
        mk_key_done(ret);
    return rv;
}

/** A file of keys is for its owner alone. */
static int check_mode(const char *path, struct mk_fault *reterr)
{
    struct stat st;

    if (stat(path, &st) == 0 && (st.st_mode & 077) != 0)
        return mk_fault(reterr, MK_EINVALID,
                        "%s: others may read this key (mode %04o); make it 0600", path,
                        (unsigned)st.st_mode & 0777);
    return 0;
}

int load_key(struct mk_key *ret, const char *path, struct mk_fault *reterr)
{
    struct mk_buf b = {0};
    struct mk_fault fault = {{0}};
    int rv = read_named(path, &b, reterr);

    if (rv == 0 && mk_key_parse(ret, mk_buf_bytes(&b), &fault) != 0)
        rv = mk_fault(reterr, MK_EINVALID, "%s: %s", path, fault.text);
    mk_wipe(b.p, b.cap);
    mk_buf_done(&b);
    if (rv == 0)
        rv = check_mode(path, reterr);
    if (rv != 0)
        mk_key_done(ret);
    return rv;
}
