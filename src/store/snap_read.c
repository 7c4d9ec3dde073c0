/* snap_read.c - reading snapshot files (snap.c says what is in them), and removing them.
 *
 * The table is read and checked against the root when a file is opened: from then on each
 * chunk is checked by itself, so damage is told by its place, and no damaged chunk is given
 * to anybody. */
#include "store/store_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define END_SIZE 64u

struct mk_snap_reader {
    struct mk_file *file;
    struct mk_snap_info info;
    struct mk_id *table;
    char path[128];
};

static uint64_t le64(const uint8_t *p)
{
    uint64_t n = 0;

    for (int i = 7; i >= 0; i--)
        n = n << 8 | p[i];
    return n;
}

/* MK_ECORRUPT: it is not an end. */
static int read_end(struct mk_snap_reader *r, uint64_t file_size)
{
    uint8_t end[END_SIZE];
    struct mk_id check;
    uint64_t size;
    size_t got;
    int rv;

    if (file_size < END_SIZE)
        return MK_ECORRUPT;
    rv = mk_file_read(r->file, end, END_SIZE, file_size - END_SIZE, &got);
    if (rv != 0)
        return rv;
    check = mk_hash(MK_BYTES(end, 48));
    size = le64(end + 8);
    if (got != END_SIZE || memcmp(end, "MKSNAP02", 8) != 0 || memcmp(end + 48, check.b, 16) != 0 ||
        size > MK_SNAP_MAX ||
        file_size != size + mk_snap_chunks(size) * sizeof *r->table + END_SIZE)
        return MK_ECORRUPT;
    r->info.size = size;
    memcpy(r->info.hash.b, end + 16, sizeof r->info.hash.b);
    return 0;
}

static int read_table(struct mk_snap_reader *r)
{
    size_t n = mk_snap_chunks(r->info.size) * sizeof *r->table, got;
    struct mk_id root;
    int rv;

    r->table = mk_alloc(n + 1);
    rv = mk_file_read(r->file, r->table, n, r->info.size, &got);
    if (rv != 0)
        return rv;
    root = mk_snap_root(r->info.size, r->table);
    return got == n && mk_id_eq(&root, &r->info.hash) ? 0 : MK_ECORRUPT;
}

static int read_ends(struct mk_snap_reader *r, struct mk_fault *reterr)
{
    uint64_t size = 0;
    int rv = mk_file_size(r->file, &size);

    if (rv == 0)
        rv = read_end(r, size);
    if (rv == MK_ECORRUPT)
        return mk_fault(reterr, rv, "%s: a damaged end, at offset %" PRIu64, r->path,
                        size < END_SIZE ? size : size - END_SIZE);
    if (rv == 0)
        rv = read_table(r);
    if (rv == MK_ECORRUPT)
        return mk_fault(reterr, rv, "%s: a damaged table, at offset %" PRIu64, r->path,
                        r->info.size);
    return rv == 0 ? 0 : mk_fault(reterr, rv, "%s: %s", r->path, mk_strerror(rv));
}

int mk_snap_open(struct mk_store_group *g, struct mk_snap_reader **ret, struct mk_snap_info *info,
                 uint64_t index, struct mk_fault *reterr)
{
    struct mk_snap_reader *r = mk_alloc(sizeof *r);
    int rv;

    mk_snap_path(r->path, &g->id, index, "snap");
    rv = mk_file_open(g->store->env, &r->file, r->path, MK_OPEN_READ);
    if (rv != 0) {
        (void)mk_fault(reterr, rv, "%s: %s", r->path, mk_strerror(rv));
        mk_free(r);
        return rv;
    }
    mk_file_bulk(r->file);
    rv = read_ends(r, reterr);
    if (rv != 0) {
        mk_snap_close(r);
        return rv;
    }
    *info = r->info;
    *ret = r;
    return 0;
}

int mk_snap_chunk(struct mk_snap_reader *r, struct mk_buf *out, uint64_t i)
{
    uint64_t off = i * MK_SNAP_CHUNK, n = r->info.size - off;
    uint8_t *p;
    size_t got;
    int rv;

    if (i >= mk_snap_chunks(r->info.size))
        return MK_EINVALID;
    n = n > MK_SNAP_CHUNK ? MK_SNAP_CHUNK : n;
    p = mk_buf_grow(out, n);
    rv = mk_file_read(r->file, p, n, off, &got);
    if (rv == 0 && (got != n || !mk_snap_is_chunk(MK_BYTES(p, n), &r->table[i])))
        rv = MK_ECORRUPT;
    if (rv != 0)
        out->n -= n;
    return rv;
}

const struct mk_id *mk_snap_table(const struct mk_snap_reader *r)
{
    return r->table;
}

int mk_snap_place(const struct mk_snap_reader *r, uint64_t i, struct mk_fault *reterr)
{
    return mk_fault(reterr, MK_ECORRUPT, "%s: a damaged chunk at offset %" PRIu64, r->path,
                    i * MK_SNAP_CHUNK);
}

void mk_snap_close(struct mk_snap_reader *r)
{
    if (r == NULL)
        return;
    mk_file_close(r->file);
    mk_free(r->table);
    mk_free(r);
}

static int each_chunk(struct mk_snap_reader *r,
                      int (*cb)(void *arg, struct mk_bytes chunk, struct mk_fault *reterr),
                      void *arg, struct mk_fault *reterr)
{
    struct mk_buf b = {0};
    int rv = 0;

    for (uint64_t i = 0; i < mk_snap_chunks(r->info.size) && rv == 0; i++) {
        mk_buf_clear(&b);
        rv = mk_snap_chunk(r, &b, i);
        if (rv == MK_ECORRUPT)
            (void)mk_snap_place(r, i, reterr);
        else if (rv != 0)
            (void)mk_fault(reterr, rv, "%s: %s", r->path, mk_strerror(rv));
        else
            rv = cb(arg, mk_buf_bytes(&b), reterr);
    }
    mk_buf_done(&b);
    return rv;
}

int mk_snap_each(struct mk_store_group *g, uint64_t index, uint64_t max,
                 int (*cb)(void *arg, struct mk_bytes chunk, struct mk_fault *reterr), void *arg,
                 struct mk_fault *reterr)
{
    struct mk_snap_info info;
    struct mk_snap_reader *r;
    int rv = mk_snap_open(g, &r, &info, index, reterr);

    if (rv != 0)
        return rv;
    rv = info.size > max ? mk_fault(reterr, MK_ELIMIT, "%s: it is too large", r->path)
                         : each_chunk(r, cb, arg, reterr);
    mk_snap_close(r);
    return rv;
}

static int gather_chunk(void *arg, struct mk_bytes chunk, struct mk_fault *reterr)
{
    (void)reterr;
    mk_buf_put(arg, chunk.p, chunk.n);
    return 0;
}

int mk_snap_load(struct mk_store_group *g, struct mk_buf *out, uint64_t max, uint64_t index)
{
    size_t before = out->n;
    int rv = mk_snap_each(g, index, max, gather_chunk, out, NULL);

    if (rv != 0)
        out->n = before;
    return rv;
}

/* --- removing ------------------------------------------------------------------------------- */

enum snap_kind { SNAP_WHOLE, SNAP_TAKEN, SNAP_FETCHED }; /* .snap, .tmp, .part */

struct sweep {
    struct mk_store *s;
    const char *dir;
    uint64_t below;         /* complete files below it go, and what is fetched at or below it */
    bool unfinished, other; /* unfinished ones of ours go; all other indices go */
    bool parts;             /* only what is fetched, of other indices than keep */
    uint64_t keep;
};

/* "<16 hex digits>.<ext>" */
static bool parse_name(const char *name, uint64_t *ret_index, enum snap_kind *ret_kind)
{
    uint64_t v = 0;

    if (strlen(name) < 18 || name[16] != '.')
        return false;
    for (int i = 0; i < 16; i++) {
        const char *digits = "0123456789abcdef", *at = strchr(digits, name[i]);

        if (at == NULL)
            return false;
        v = v << 4 | (uint64_t)(at - digits);
    }
    *ret_index = v;
    *ret_kind = strcmp(name + 17, "snap") == 0   ? SNAP_WHOLE
                : strcmp(name + 17, "part") == 0 ? SNAP_FETCHED
                                                 : SNAP_TAKEN;
    return *ret_kind != SNAP_TAKEN || strcmp(name + 17, "tmp") == 0;
}

static bool goes(const struct sweep *sw, uint64_t index, enum snap_kind kind)
{
    if (sw->parts)
        return kind == SNAP_FETCHED && index != sw->keep;
    switch (kind) {
    case SNAP_WHOLE:
        return index < sw->below || (sw->other && index != sw->keep);
    case SNAP_FETCHED:
        return index <= sw->below;
    case SNAP_TAKEN:
        return sw->unfinished;
    }
    return false;
}

static void sweep_cb(void *arg, const char *name)
{
    struct sweep *sw = arg;
    char path[256];
    enum snap_kind kind;
    uint64_t index;

    if (!parse_name(name, &index, &kind) || !goes(sw, index, kind))
        return;
    snprintf(path, sizeof path, "%s/%s", sw->dir, name);
    (void)mk_unlink(sw->s->env, path); /* found again at the next opening */
}

void mk_snap_sweep(struct mk_store *s, const struct mk_id *group, uint64_t below)
{
    char dir[128];
    struct sweep sw = {.s = s, .dir = dir, .below = below};

    mk_snap_path(dir, group, 0, NULL);
    (void)mk_dir_list(s->env, dir, sweep_cb, &sw);
}

void mk_snap_sweep_parts(struct mk_store *s, const struct mk_id *group, uint64_t keep)
{
    char dir[128];
    struct sweep sw = {.s = s, .dir = dir, .parts = true, .keep = keep};

    mk_snap_path(dir, group, 0, NULL);
    (void)mk_dir_list(s->env, dir, sweep_cb, &sw);
}

static void clean_cb(void *arg, const char *name)
{
    struct mk_store *s = arg;
    const struct mk_store_group *g = NULL;
    struct mk_id id;
    char dir[128];
    struct sweep sw = {.s = s, .dir = dir, .unfinished = true, .other = true};

    if (mk_id_unhex(&id, mk_str_of(name)) != 0)
        return;
    g = mk_stored_find(&s->state, &id);
    sw.keep = g == NULL ? 0 : g->snap_index;
    sw.below = g == NULL ? UINT64_MAX : g->snap_index;
    snprintf(dir, sizeof dir, "snap/%s", name);
    (void)mk_dir_list(s->env, dir, sweep_cb, &sw);
}

int mk_snap_clean(struct mk_store *s)
{
    int rv = mk_dir_list(s->env, "snap", clean_cb, s);

    return rv == MK_ENOTFOUND ? 0 : rv;
}
