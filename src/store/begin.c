/* begin.c - a store that is opened for the first time.
 *
 * Slot 1 with its first frame, a checkpoint of nothing, is made durable, then the key: so a crash
 * in between leaves a log without a key that nobody has used, and it is begun anew. A log that was
 * used and whose key is missing looks nearly like that while it has one slot, and must not be
 * begun anew: it holds votes. What tells them apart is the first frame behind that checkpoint,
 * which is written only when the key is durable. So no other file may be there, and behind the
 * checkpoint nothing but zeros. */
#include "store/store_int.h"

#include <string.h>

#define FIRST 1u

/* A slot's first frame, of a store that holds nothing. */
static void first_frame(struct mk_store *s, struct mk_buf *out, uint64_t segment, uint64_t seq)
{
    mk_append_checkpoint(s, out);
    mk_frame_seal(out, s->key, segment, seq);
}

static int make_first_slot(struct mk_store *s)
{
    struct mk_slot *slot;
    struct mk_buf b = {0};
    uint8_t *zeros = mk_alloc(MK_SLOT_FIRST);
    char path[32];
    int rv;

    mk_slot_path(path, FIRST);
    rv = mk_unlink(s->env, path); /* of an opening that was cut short */
    if (rv == 0 || rv == MK_ENOTFOUND)
        rv = mk_file_open(s->env, &s->file, path, MK_OPEN_CREATE);
    if (rv == 0)
        rv = mk_file_write(s->file, zeros, MK_SLOT_FIRST, 0);
    mk_free(zeros);
    if (rv != 0)
        return rv;
    s->segment = s->frame = 1;
    first_frame(s, &b, s->segment, s->frame++);
    rv = mk_file_write(s->file, b.p, b.n, 0);
    if (rv == 0)
        rv = mk_file_sync(s->file);
    if (rv == 0)
        rv = mk_dir_sync(s->env, "log");
    slot = mk_slot_add(s, FIRST, MK_SLOT_FIRST);
    slot->use = MK_SLOT_CURRENT;
    slot->segment = 1;
    slot->end = b.n;
    mk_buf_done(&b);
    return rv;
}

/* --- is it young? -------------------------------------------------------------------------- */

struct seen {
    bool slot, other;
};

static void log_cb(void *arg, const char *name)
{
    struct seen *x = arg;

    if (strcmp(name, "000001.seg") == 0)
        x->slot = true;
    else if (strcmp(name, "key.tmp") != 0)
        x->other = true;
}

static void snap_cb(void *arg, const char *name)
{
    struct seen *x = arg;

    (void)name;
    x->other = true;
}

/* Does slot 1 hold anything but its first frame? */
static int look_into_slot(struct mk_store *s, bool *ret_used)
{
    struct mk_buf first = {0}, content = {0};
    char path[32];
    int rv;

    mk_slot_path(path, FIRST);
    rv = mk_file_load(s->env, path, MK_SLOT_FIRST, &content);
    *ret_used = rv == MK_ELIMIT;
    if (rv == MK_ELIMIT)
        rv = 0;
    first_frame(s, &first, 1, 1);
    for (size_t i = first.n; i < content.n; i++)
        *ret_used = *ret_used || content.p[i] != 0;
    mk_buf_done(&first);
    mk_buf_done(&content);
    return rv;
}

static int look(struct mk_store *s, bool *ret_used)
{
    struct seen x = {0};
    int rv = mk_dir_list(s->env, "log", log_cb, &x);

    if (rv == 0)
        rv = mk_dir_list(s->env, "snap", snap_cb, &x);
    *ret_used = x.other;
    return rv != 0 || x.other || !x.slot ? rv : look_into_slot(s, ret_used);
}

int mk_begin(struct mk_store *s, struct mk_fault *reterr)
{
    bool used = false;
    int rv = mk_mkdir(s->env, "log");

    if (rv == 0)
        rv = mk_mkdir(s->env, "snap");
    if (rv == 0)
        rv = mk_dir_sync(s->env, "");
    if (rv == 0)
        rv = look(s, &used);
    if (rv != 0)
        return mk_fault(reterr, rv, "log: %s", mk_strerror(rv));
    if (used)
        return mk_fault(reterr, MK_ECORRUPT,
                        MK_STORE_KEY_PATH ": it is missing, and the log is not new");
    mk_entropy(s->env, s->key, sizeof s->key);
    rv = make_first_slot(s);
    if (rv == 0)
        rv = mk_file_store(s->env, MK_STORE_KEY_PATH, MK_BYTES(s->key, sizeof s->key));
    if (rv == 0)
        rv = mk_top_open(s);
    return rv == 0 ? 0 : mk_fault(reterr, rv, "log: %s", mk_strerror(rv));
}
