/* fault_disk.c - a disk of ours under real processes: slow, hung, failing, full, cut off.
 *
 *     fault_disk DIRECTORY        mounts on it until the end of standard input
 *
 * Why: what a kill leaves is not what a power cut leaves, since the kernel keeps what was written
 * and not synced; and no real disk fails when a test wants it. So this is a file system in memory
 * (disk_tree.h) that speaks the kernel's FUSE protocol itself: nothing is cached, each request is
 * seen, may be kept waiting or refused, and what was not synced can be lost.
 *
 * It prints `ready`; each command is answered by one line, `ok ...` or `error ...`:
 *
 *     set OP KEY=VALUE...    OP: read, write, sync, name (a change of names), *. KEY: delay (us),
 *                            error (an errno, 0: none), hang (0, 1: until it is 0 again),
 *                            lie (0, 1: a sync says done and does nothing)
 *     full BYTES             the capacity (0: no limit)
 *     cut SEED               power fails: what is not durable is kept, lost or torn; SEED 0: lost
 *     show                   requests and bytes so far
 *
 * Held requests do their work when their time has come, so a sync that is cut off synced nothing.
 * One thread: a process per disk. */
#include "disk_tree.h"
#include "lines.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <linux/fuse.h>

#define WRITE_MAX (128u << 10)
#define REQUEST_MAX (WRITE_MAX + 4096u)

enum op { OP_READ, OP_WRITE, OP_SYNC, OP_NAME, OP_FREE, OPS };

static const char *const op_names[OPS] = {"read", "write", "sync", "name", ""};

struct fault_rule {
    uint64_t delay_us, error, hang, lie;
};

/* A request that waits. */
struct held {
    struct held *next;
    uint64_t due_ns;
    enum op op;
    _Alignas(8) char bytes[]; /* a struct fuse_in_header and more */
};

struct disk {
    struct disk_tree tree;
    int fuse;
    struct fault_rule rules[OPS];
    uint64_t counts[OPS];
    struct held *held;
    struct lines commands;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- answers ------------------------------------------------------------------------------ */

static void reply(struct disk *d, const struct fuse_in_header *in, int error, const void *p,
                  size_t n)
{
    struct fuse_out_header out = {.unique = in->unique,
                                  .error = -error,
                                  .len = (uint32_t)(sizeof out + (error == 0 ? n : 0))};
    struct iovec v[2] = {{&out, sizeof out}, {(void *)(uintptr_t)p, n}};

    if (writev(d->fuse, v, error == 0 && n > 0 ? 2 : 1) < 0 && errno != ENOENT)
        fprintf(stderr, "fault_disk: an answer: %s\n", strerror(errno)); /* ENOENT: interrupted */
}

static struct disk_inode *inode_of(struct disk *d, uint64_t nodeid)
{
    return nodeid == FUSE_ROOT_ID ? d->tree.root : (struct disk_inode *)(uintptr_t)nodeid;
}

static void attr_of(const struct disk_inode *i, struct fuse_attr *a)
{
    *a = (struct fuse_attr){.ino = i->number,
                            .size = i->size,
                            .blocks = (i->size + 511) / 512,
                            .mode = i->mode,
                            .nlink = disk_is_dir(i) ? 2 : 1,
                            .blksize = 4096};
}

static void entry_of(struct disk_inode *i, struct fuse_entry_out *e)
{
    *e = (struct fuse_entry_out){.nodeid = (uint64_t)(uintptr_t)disk_hold(i), .generation = 1};
    attr_of(i, &e->attr);
}

/* --- requests ------------------------------------------------------------------------------ */

static void do_init(struct disk *d, const struct fuse_in_header *in, const void *body)
{
    const struct fuse_init_in *ask = body;
    struct fuse_init_out out = {
        .major = FUSE_KERNEL_VERSION,
        .minor = ask->minor < FUSE_KERNEL_MINOR_VERSION ? ask->minor : FUSE_KERNEL_MINOR_VERSION,
        .max_readahead = 0,
        .flags = ask->flags & FUSE_BIG_WRITES,
        .max_background = 16,
        .congestion_threshold = 12,
        .max_write = WRITE_MAX,
        .time_gran = 1};

    reply(d, in, 0, &out, sizeof out);
}

static void do_lookup(struct disk *d, const struct fuse_in_header *in, const char *name)
{
    struct disk_inode *i = disk_find(inode_of(d, in->nodeid), name);
    struct fuse_entry_out out;

    if (i == NULL) {
        reply(d, in, ENOENT, NULL, 0);
        return;
    }
    entry_of(i, &out);
    reply(d, in, 0, &out, sizeof out);
}

static void reply_attr(struct disk *d, const struct fuse_in_header *in)
{
    struct fuse_attr_out out = {0};

    attr_of(inode_of(d, in->nodeid), &out.attr);
    reply(d, in, 0, &out, sizeof out);
}

static void do_setattr(struct disk *d, const struct fuse_in_header *in, const void *body)
{
    const struct fuse_setattr_in *x = body;
    struct disk_inode *i = inode_of(d, in->nodeid);
    int error = (x->valid & FATTR_SIZE) != 0 ? disk_truncate(&d->tree, i, x->size) : 0;

    if (error != 0) {
        reply(d, in, error, NULL, 0);
        return;
    }
    if ((x->valid & FATTR_MODE) != 0)
        i->mode = (i->mode & S_IFMT) | (x->mode & 07777);
    reply_attr(d, in);
}

static void do_mkdir(struct disk *d, const struct fuse_in_header *in, const void *body)
{
    const struct fuse_mkdir_in *x = body;
    struct disk_inode *i;
    struct fuse_entry_out out;
    int error = disk_make(&d->tree, inode_of(d, in->nodeid), (const char *)(x + 1),
                          S_IFDIR | (x->mode & 07777), &i);

    if (error == 0)
        entry_of(i, &out);
    reply(d, in, error, &out, sizeof out);
}

static void do_create(struct disk *d, const struct fuse_in_header *in, const void *body)
{
    const struct fuse_create_in *x = body;
    struct disk_inode *i;
    struct {
        struct fuse_entry_out entry;
        struct fuse_open_out open;
    } out = {.open = {.open_flags = FOPEN_DIRECT_IO}};
    int error = disk_make(&d->tree, inode_of(d, in->nodeid), (const char *)(x + 1),
                          S_IFREG | (x->mode & 07777), &i);

    if (error == 0)
        entry_of(i, &out.entry);
    reply(d, in, error, &out, sizeof out);
}

static void do_rename(struct disk *d, const struct fuse_in_header *in, uint64_t to_dir,
                      const char *names)
{
    reply(d, in,
          disk_rename(&d->tree, inode_of(d, in->nodeid), names, inode_of(d, to_dir),
                      names + strlen(names) + 1),
          NULL, 0);
}

static void do_read(struct disk *d, const struct fuse_in_header *in, const void *body)
{
    const struct fuse_read_in *x = body;
    const struct disk_inode *i = inode_of(d, in->nodeid);
    size_t n = x->offset >= i->size ? 0 : i->size - (size_t)x->offset;

    reply(d, in, 0, n > 0 ? i->data + x->offset : NULL, n < x->size ? n : x->size);
}

static void do_write(struct disk *d, const struct fuse_in_header *in, const void *body)
{
    const struct fuse_write_in *x = body;
    struct fuse_write_out out = {.size = x->size};
    int error = disk_write(&d->tree, inode_of(d, in->nodeid), x->offset, x + 1, x->size);

    reply(d, in, error, &out, sizeof out);
}

static void do_readdir(struct disk *d, const struct fuse_in_header *in, const void *body)
{
    static char out[REQUEST_MAX];
    const struct fuse_read_in *x = body;
    size_t n = 0;

    for (struct disk_entry *e = inode_of(d, in->nodeid)->entries; e != NULL; e = e->next) {
        size_t len = strlen(e->name), need = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + len);
        struct fuse_dirent *one = (struct fuse_dirent *)(void *)(out + n);

        if (e->cookie <= x->offset)
            continue;
        if (n + need > x->size || n + need > sizeof out)
            break;
        memset(one, 0, need);
        *one = (struct fuse_dirent){.ino = e->inode->number,
                                    .off = e->cookie,
                                    .namelen = (uint32_t)len,
                                    .type = disk_is_dir(e->inode) ? DT_DIR : DT_REG};
        memcpy(out + n + FUSE_NAME_OFFSET, e->name, len);
        n += need;
    }
    reply(d, in, 0, out, n);
}

static void do_statfs(struct disk *d, const struct fuse_in_header *in)
{
    uint64_t all = d->tree.capacity > 0 ? d->tree.capacity : (uint64_t)1 << 40;
    struct fuse_statfs_out out = {.st = {.bsize = 4096,
                                         .frsize = 4096,
                                         .namelen = 255,
                                         .blocks = all / 4096,
                                         .bfree = (all - d->tree.used) / 4096,
                                         .bavail = (all - d->tree.used) / 4096}};

    reply(d, in, 0, &out, sizeof out);
}

static void do_open(struct disk *d, const struct fuse_in_header *in, const void *body)
{
    const struct fuse_open_in *x = body;
    struct fuse_open_out out = {.open_flags = FOPEN_DIRECT_IO};
    int error = 0;

    if (in->opcode == FUSE_OPEN && (x->flags & O_TRUNC) != 0)
        error = disk_truncate(&d->tree, inode_of(d, in->nodeid), 0);
    reply(d, in, error, &out, sizeof out);
}

static void do_forget(struct disk *d, uint64_t nodeid, uint64_t n)
{
    if (nodeid != FUSE_ROOT_ID)
        disk_forget(&d->tree, inode_of(d, nodeid), n);
}

static void do_batch_forget(struct disk *d, const void *body)
{
    const struct fuse_batch_forget_in *x = body;
    const struct fuse_forget_one *one = (const void *)(x + 1);

    for (uint32_t i = 0; i < x->count; i++)
        do_forget(d, one[i].nodeid, one[i].nlookup);
}

/* A request that waits and whose process was told to stop waiting. */
static void do_interrupt(struct disk *d, uint64_t unique)
{
    for (struct held **h = &d->held; *h != NULL; h = &(*h)->next) {
        const struct fuse_in_header *in = (const void *)(*h)->bytes;
        struct held *one = *h;

        if (in->unique != unique)
            continue;
        reply(d, in, EINTR, NULL, 0);
        *h = one->next;
        free(one);
        return;
    }
}

static enum op op_of(uint32_t opcode)
{
    switch (opcode) {
    case FUSE_READ:
        return OP_READ;
    case FUSE_WRITE:
    case FUSE_SETATTR:
        return OP_WRITE;
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR:
        return OP_SYNC;
    case FUSE_CREATE:
    case FUSE_MKDIR:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_RENAME:
    case FUSE_RENAME2:
        return OP_NAME;
    default:
        return OP_FREE;
    }
}

static void serve(struct disk *d, const struct fuse_in_header *in)
{
    const void *body = in + 1;
    enum op op = op_of(in->opcode);
    int error = (int)d->rules[op].error;

    d->counts[op]++;
    if (op == OP_SYNC && d->rules[op].lie == 0)
        disk_sync(&d->tree, inode_of(d, in->nodeid), error != 0);
    if (error != 0) {
        reply(d, in, error, NULL, 0);
        return;
    }
    switch (in->opcode) {
    case FUSE_INIT:
        do_init(d, in, body);
        break;
    case FUSE_LOOKUP:
        do_lookup(d, in, body);
        break;
    case FUSE_FORGET:
        do_forget(d, in->nodeid, ((const struct fuse_forget_in *)body)->nlookup);
        break;
    case FUSE_BATCH_FORGET:
        do_batch_forget(d, body);
        break;
    case FUSE_INTERRUPT:
        do_interrupt(d, ((const struct fuse_interrupt_in *)body)->unique);
        break;
    case FUSE_GETATTR:
        reply_attr(d, in);
        break;
    case FUSE_SETATTR:
        do_setattr(d, in, body);
        break;
    case FUSE_MKDIR:
        do_mkdir(d, in, body);
        break;
    case FUSE_CREATE:
        do_create(d, in, body);
        break;
    case FUSE_UNLINK:
    case FUSE_RMDIR:
        reply(d, in, disk_remove(&d->tree, inode_of(d, in->nodeid), body, in->opcode == FUSE_RMDIR),
              NULL, 0);
        break;
    case FUSE_RENAME:
        do_rename(d, in, ((const struct fuse_rename_in *)body)->newdir,
                  (const char *)body + sizeof(struct fuse_rename_in));
        break;
    case FUSE_RENAME2:
        do_rename(d, in, ((const struct fuse_rename2_in *)body)->newdir,
                  (const char *)body + sizeof(struct fuse_rename2_in));
        break;
    case FUSE_OPEN:
    case FUSE_OPENDIR:
        do_open(d, in, body);
        break;
    case FUSE_READ:
        do_read(d, in, body);
        break;
    case FUSE_WRITE:
        do_write(d, in, body);
        break;
    case FUSE_READDIR:
        do_readdir(d, in, body);
        break;
    case FUSE_STATFS:
        do_statfs(d, in);
        break;
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR:
    case FUSE_FLUSH:
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
    case FUSE_DESTROY:
        reply(d, in, 0, NULL, 0);
        break;
    default:
        reply(d, in, ENOSYS, NULL, 0);
    }
}

/* --- what waits ----------------------------------------------------------------------------- */

static void take(struct disk *d, const struct fuse_in_header *in)
{
    enum op op = op_of(in->opcode);
    const struct fault_rule *r = &d->rules[op];
    struct held *h, **at = &d->held;

    if (r->delay_us == 0 && r->hang == 0) {
        serve(d, in);
        return;
    }
    h = malloc(sizeof *h + in->len);
    if (h == NULL)
        abort();
    *h = (struct held){.due_ns = now_ns() + r->delay_us * 1000, .op = op};
    memcpy(h->bytes, in, in->len);
    while (*at != NULL)
        at = &(*at)->next;
    *at = h;
}

/* Serves what is due; ms until the next is, -1: none waits for a time. */
static int serve_held(struct disk *d)
{
    uint64_t now = now_ns(), next = UINT64_MAX;

    for (struct held **h = &d->held; *h != NULL;) {
        struct held *one = *h;

        if (d->rules[one->op].hang == 0 && one->due_ns <= now) {
            *h = one->next;
            serve(d, (const struct fuse_in_header *)(const void *)one->bytes);
            free(one);
            continue;
        }
        if (d->rules[one->op].hang == 0 && one->due_ns < next)
            next = one->due_ns;
        h = &one->next;
    }
    return next == UINT64_MAX ? -1 : (int)((next - now) / 1000000 + 1);
}

static void drop_held(struct disk *d, int error)
{
    while (d->held != NULL) {
        struct held *one = d->held;

        d->held = one->next;
        reply(d, (const struct fuse_in_header *)(const void *)one->bytes, error, NULL, 0);
        free(one);
    }
}

/* --- commands ------------------------------------------------------------------------------- */

static int rule_set(struct fault_rule *r, char *text)
{
    char *sign = strchr(text, '=');
    uint64_t v;

    if (sign == NULL || lines_number(sign + 1, &v) != 0)
        return -1;
    *sign = 0;
    if (strcmp(text, "delay") == 0 && v <= 60000000)
        r->delay_us = v;
    else if (strcmp(text, "error") == 0 && v < 200)
        r->error = v;
    else if (strcmp(text, "hang") == 0 && v <= 1)
        r->hang = v;
    else if (strcmp(text, "lie") == 0 && v <= 1)
        r->lie = v;
    else
        return -1;
    *sign = '=';
    return 0;
}

static int set(struct disk *d, char *op, char **rest)
{
    int found = -1;
    char *one;

    while (op != NULL && (one = strtok_r(NULL, " ", rest)) != NULL) {
        for (unsigned i = 0; i < OP_FREE; i++) {
            if (strcmp(op, "*") != 0 && strcmp(op, op_names[i]) != 0)
                continue;
            if (rule_set(&d->rules[i], one) != 0)
                return -1;
            found = 0;
        }
    }
    return found;
}

static void obey(void *arg, char *line)
{
    struct disk *d = arg;
    char *rest, *verb = strtok_r(line, " ", &rest);
    char *first = verb != NULL ? strtok_r(NULL, " ", &rest) : NULL;
    struct disk_cut cut;
    uint64_t v = 0;

    if (verb != NULL && strcmp(verb, "set") == 0 && set(d, first, &rest) == 0) {
        printf("ok\n");
    } else if (verb != NULL && strcmp(verb, "full") == 0 && first != NULL &&
               lines_number(first, &v) == 0) {
        d->tree.capacity = v;
        printf("ok\n");
    } else if (verb != NULL && strcmp(verb, "cut") == 0 && first != NULL &&
               lines_number(first, &v) == 0) {
        drop_held(d, EIO);
        disk_power_cut(&d->tree, v, &cut);
        printf("ok kept=%u lost=%u torn=%u names_kept=%u names_lost=%u\n", cut.kept, cut.lost,
               cut.torn, cut.names_kept, cut.names_lost);
    } else if (verb != NULL && strcmp(verb, "show") == 0) {
        printf("ok used=%" PRIu64, d->tree.used);
        for (unsigned i = 0; i < OP_FREE; i++)
            printf(" %s=%" PRIu64, op_names[i], d->counts[i]);
        printf("\n");
    } else {
        printf("error set OP KEY=NUMBER..., full BYTES, cut SEED or show\n");
    }
    fflush(stdout);
}

/* False when the mount is gone. */
static bool read_request(struct disk *d)
{
    static _Alignas(8) char bytes[REQUEST_MAX];
    ssize_t n = read(d->fuse, bytes, sizeof bytes - 1);

    if (n < (ssize_t)sizeof(struct fuse_in_header))
        return n >= 0 || errno == EINTR || errno == EAGAIN || errno == ENOENT;
    bytes[n] = 0;
    take(d, (const struct fuse_in_header *)(const void *)bytes);
    return true;
}

static int mount_on(struct disk *d, const char *where)
{
    char options[96];

    d->fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (d->fuse < 0) {
        fprintf(stderr, "fault_disk: /dev/fuse: %s\n", strerror(errno));
        return -1;
    }
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", d->fuse);
    if (mount("fault_disk", where, "fuse", MS_NOSUID | MS_NODEV, options) != 0) {
        fprintf(stderr, "fault_disk: mounting on %s: %s\n", where, strerror(errno));
        return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct disk d;
    struct pollfd p[2] = {{.fd = 0, .events = POLLIN}, {.events = POLLIN}};
    bool on = true;

    if (argc != 2) {
        fprintf(stderr, "usage: fault_disk DIRECTORY\n");
        return 2;
    }
    disk_tree_init(&d.tree);
    if (mount_on(&d, argv[1]) != 0)
        return 1;
    p[1].fd = d.fuse;
    printf("ready\n");
    fflush(stdout);
    while (on) {
        if (poll(p, 2, serve_held(&d)) < 0 && errno != EINTR)
            break;
        if (p[1].revents != 0 && !read_request(&d))
            break;
        if (p[0].revents != 0)
            on = lines_read(&d.commands, obey, &d);
    }
    drop_held(&d, EIO);
    umount2(argv[1], MNT_DETACH);
    close(d.fuse);
    disk_tree_done(&d.tree);
    return 0;
}
