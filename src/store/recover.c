/* recover.c - from files to memory.
 *
 *   1. Each slot's first frame names its life; a slot without a right one is free.
 *   2. The newest life's checkpoint says from which life on entries are live. Those slots
 *      are read in order of life: the oldest one's checkpoint gives the groups, every frame
 *      after it changes them.
 *   3. Frames are numbered without gaps. In an older slot every frame was durable before the
 *      next life began, so a gap is damage. In the newest one the first wrong frame is where a
 *      crash cut the last write, unless a right one follows: that is damage.
 *   4. What was read is made durable, and writing goes on behind it. */
#include "store/store_int.h"

struct loaded {
    size_t slot;
    uint64_t life;
    struct mk_buf bytes;
};

struct recovery {
    struct mk_store *store;
    struct loaded *v;
    size_t n;
};

static void list_cb(void *arg, const char *name)
{
    struct mk_store *s = arg;
    unsigned number = 0;
    const char *p = name;

    for (; *p >= '0' && *p <= '9' && number < 100000000; p++)
        number = 10 * number + (unsigned)(*p - '0');
    if (p != name && strcmp(p, ".seg") == 0)
        mk_slots_add(s, number, 0, 0);
}

static int load_slot(struct mk_store *s, struct mk_slot *slot, struct mk_buf *ret)
{
    struct mk_file *f;
    char path[32];
    size_t n = 0;
    int rv;

    mk_slot_path(path, slot->number);
    rv = mk_file_open(s->env, &f, path, MK_OPEN_READ);
    if (rv != 0)
        return rv;
    rv = mk_file_size(f, &slot->size);
    if (rv == 0) {
        uint8_t *p = mk_buf_grow(ret, (size_t)slot->size);

        rv = mk_file_read(f, p, (size_t)slot->size, 0, &n);
        ret->n = n;
    }
    mk_file_close(f);
    return rv;
}

/** Loads the slots that have a life. */
static int load_all(struct recovery *r)
{
    struct mk_store *s = r->store;
    struct mk_frame f;

    r->v = mk_alloc((s->n_slots + 1) * sizeof *r->v);
    for (size_t i = 0; i < s->n_slots; i++) {
        struct loaded *l = &r->v[r->n];
        int rv;

        *l = (struct loaded){.slot = i};
        rv = load_slot(s, &s->slots[i], &l->bytes);
        if (rv != 0)
            return rv;
        if (!mk_frame_get(&f, s->key, mk_buf_bytes(&l->bytes))) {
            mk_buf_done(&l->bytes);
            continue;
        }
        l->life = f.life;
        s->slots[i].life = f.life;
        r->n++;
    }
    return 0;
}

static struct loaded *of_life(struct recovery *r, uint64_t life)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->v[i].life == life)
            return &r->v[i];
    }
    return NULL;
}

static uint64_t newest_life(const struct recovery *r)
{
    uint64_t life = 0;

    for (size_t i = 0; i < r->n; i++)
        life = r->v[i].life > life ? r->v[i].life : life;
    return life;
}

static int damage(const struct mk_store *s, const struct loaded *l, size_t at, const char *what,
                  struct mk_fault *reterr)
{
    char path[32];

    mk_slot_path(path, s->slots[l->slot].number);
    return mk_fault(reterr, MK_ECORRUPT, "%s: offset %zu: %s", path, at, what);
}

/** Applies one slot's frames; *ret_at is behind the last right one. */
static int apply_slot(struct mk_store *s, const struct loaded *l, bool oldest, bool newest,
                      size_t *ret_at, struct mk_fault *reterr)
{
    struct mk_bytes all = mk_buf_bytes(&l->bytes);
    uint64_t keep = 0;
    size_t at = 0;
    struct mk_frame f;

    while (mk_frame_get(&f, s->key, MK_BYTES(all.p + at, all.n - at)) && f.life == l->life) {
        if (s->sequence != 0 && f.sequence != s->sequence + 1) {
            if (at == 0)
                return damage(s, l, at, "frames before it are missing", reterr);
            break;
        }
        s->sequence = f.sequence;
        if (mk_records_apply(s, f.records, l->life, oldest && at == 0, &keep) != 0)
            return damage(s, l, at, "a frame whose records contradict the log", reterr);
        at += MK_FRAME_HEADER + f.records.n;
    }
    if (newest && mk_frame_find(s->key, all, at + 1, l->life, s->sequence) != SIZE_MAX)
        return damage(s, l, at, "a wrong frame, and right ones behind it", reterr);
    if (newest && keep > 0)
        s->keep_life = keep;
    *ret_at = at;
    return 0;
}

/** Every live entry was read. */
static int check_whole(const struct mk_store *s, struct mk_fault *reterr)
{
    for (size_t i = 0; i < s->n_groups; i++) {
        const struct mk_store_group *g = s->groups[i];
        char hex[MK_ID_HEX];

        if (g->n_kept != g->last + 1 - g->first)
            return mk_fault(reterr, MK_ECORRUPT, "log: group %.16s: entries are missing",
                            mk_id_hex(&g->id, hex));
        for (size_t k = 0; k < g->n_kept; k++) {
            if (g->kept[k].bytes == NULL)
                return mk_fault(reterr, MK_ECORRUPT, "log: group %.16s: entry %llu is missing",
                                mk_id_hex(&g->id, hex), (unsigned long long)(g->first + k));
        }
    }
    return 0;
}

static int continue_in(struct mk_store *s, const struct loaded *l, size_t at)
{
    char path[32];
    int rv;

    s->current = (unsigned)l->slot;
    s->at = at;
    s->size = s->slots[l->slot].size;
    if (s->read_only)
        return 0;
    mk_slot_path(path, s->slots[l->slot].number);
    rv = mk_file_open(s->env, &s->file, path, MK_OPEN_WRITE);
    /* What a crash left in the cache and we have read must not vanish after all. */
    return rv != 0 ? rv : mk_file_sync(s->file);
}

static int apply_all(struct recovery *r, struct mk_fault *reterr)
{
    struct mk_store *s = r->store;
    struct loaded *newest = of_life(r, newest_life(r));
    struct mk_frame f;
    struct mk_reader head;
    uint64_t keep;
    size_t at = 0;
    int rv;

    if (newest == NULL) {
        s->keep_life = 1;
        return 0;
    }
    mk_frame_get(&f, s->key, mk_buf_bytes(&newest->bytes));
    head = (struct mk_reader){.p = f.records.p, .n = f.records.n};
    if (mk_read_u8(&head) != MK_RECORD_CHECKPOINT)
        return damage(s, newest, 0, "a slot that begins without a checkpoint", reterr);
    keep = mk_read_varint(&head);
    for (uint64_t life = keep; life <= newest->life; life++) {
        struct loaded *l = of_life(r, life);

        if (l == NULL)
            return mk_fault(reterr, MK_ECORRUPT, "log: the slot of life %llu is missing",
                            (unsigned long long)life);
        rv = apply_slot(s, l, life == keep, l == newest, &at, reterr);
        if (rv != 0)
            return rv;
    }
    s->life = newest->life;
    s->keep_life = keep;
    s->keep_next = keep;
    rv = check_whole(s, reterr);
    return rv != 0 ? rv : continue_in(s, newest, at);
}

/** Snapshot files that no record refers to. */
static void prune_all(struct mk_store *s)
{
    for (size_t i = 0; i < s->n_groups; i++)
        mk_snap_prune(s->groups[i], s->groups[i]->snapshot);
}

int mk_store_recover(struct mk_store *s, struct mk_fault *reterr)
{
    struct recovery r = {.store = s};
    int rv = mk_dir_list(s->env, "log", list_cb, s);

    if (rv == 0)
        rv = load_all(&r);
    if (rv == 0)
        rv = apply_all(&r, reterr);
    if (rv == 0 && !s->read_only)
        prune_all(s);
    for (size_t i = 0; i < r.n; i++)
        mk_buf_done(&r.v[i].bytes);
    mk_free(r.v);
    return rv;
}
