/* recover.c - from files to state.
 *
 *   1. Read every slot's first frame. The highest segment is the tail; its checkpoint
 *      names the other segments that hold live entries, and where each ends.
 *   2. Read those, oldest first, up to their ends, then the tail up to the first bad
 *      frame. Entries below the floor (the tail's checkpoint knows each group's first
 *      index) are not even copied.
 *   3. Look behind the end of the tail, and into slots with a bad first frame, for a
 *      valid frame that is newer: there is none after a crash, since a frame is
 *      written when the one before is durable. One that is there means damage.
 *      Of a damaged frame the good runs are read; whose the lost ones were, the frame's
 *      index says (frame.h). At the end those groups are told to be damaged whom they
 *      mattered to: what an older slot lost below a group's first entry did not. The log
 *      as a whole is damaged only when that cannot be told.
 *   4. Sync the tail: what was read may still be in the kernel's memory only (a killed
 *      process), and from now on it is taken for durable.
 *   5. Compare the tail with the segment that was noted as the newest (top.c): an older one means
 *      that a whole file is gone.
 *
 * Slots of no use are spares; those that never had a valid frame are removed. A store without
 * log/key is begun, or refused: begin.c. */
#include "base/assert.h"
#include "store/store_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A slot as found. */
struct found {
    uint32_t file;
    struct mk_buf content;
    uint64_t segment; /* of its first frame, which may be damaged; 0: none is known */
    uint64_t seq;
    bool listed;
    uint64_t end; /* when listed */
};

/* A run that cannot be read any more. */
struct loss {
    const struct found *in;
    struct mk_run run;
};

struct recovery {
    struct mk_store *s;
    struct found *a;
    size_t n;
    struct found *tail;
    struct loss *losses;
    size_t n_losses;
    uint32_t unread; /* a file that could not be read; 0: none */
    struct mk_fault *reterr;
};

static int damage(struct recovery *r, uint32_t file, uint64_t off, const char *what)
{
    char path[32];

    mk_slot_path(path, file);
    return mk_fault(r->reterr, MK_ECORRUPT, "%s: %s at offset %" PRIu64, path, what, off);
}

/* --- reading files --------------------------------------------------------------------- */

static void list_cb(void *arg, const char *name)
{
    struct recovery *r = arg;
    uint32_t file = 0;
    size_t n = strlen(name);

    if (n != 10 || strcmp(name + 6, ".seg") != 0)
        return;
    for (int i = 0; i < 6; i++) {
        if (name[i] < '0' || name[i] > '9')
            return;
        file = 10 * file + (uint32_t)(name[i] - '0');
    }
    r->a = mk_realloc(r->a, (r->n + 1) * sizeof *r->a);
    r->a[r->n++] = (struct found){.file = file};
}

/* Only a checkpoint, which is the first frame of each slot, begins with a run of no group. */
static bool is_checkpoint(const struct mk_salvage *left)
{
    return left->n_runs > 0 && left->runs[0].group == 0;
}

/* Whose slot is it? A first frame that is damaged counts when a newer one stands behind it; what is
 * left of a later one is no first frame, and says that all before it are gone. */
static void read_first(struct mk_store *s, struct found *f)
{
    struct mk_bytes file = mk_buf_bytes(&f->content);
    struct mk_salvage left;
    struct mk_frame frame;
    uint64_t off;

    if (mk_frame_at(&frame, file, 0, s->key)) {
        f->segment = frame.segment;
        f->seq = frame.seq;
        return;
    }
    if (!mk_frame_salvage(&left, file, 0, s->key, 0, 0))
        return;
    if (is_checkpoint(&left) &&
        mk_frame_scan(&frame, &off, file, left.size, s->key, left.segment, left.seq + 1) &&
        frame.segment == left.segment) {
        f->segment = left.segment;
        f->seq = left.seq;
    }
    mk_free(left.runs);
}

static int read_file(struct mk_store *s, struct found *f)
{
    struct mk_file *file;
    uint64_t size;
    char path[32];
    size_t got = 0;
    int rv;

    mk_slot_path(path, f->file);
    rv = mk_file_open(s->env, &file, path, MK_OPEN_READ);
    if (rv != 0)
        return rv;
    rv = mk_file_size(file, &size);
    if (rv == 0)
        rv = mk_file_read(file, mk_buf_grow(&f->content, size), size, 0, &got);
    f->content.n = got;
    mk_file_close(file);
    if (rv == 0)
        read_first(s, f);
    return rv;
}

static int read_all(struct recovery *r)
{
    int rv = mk_dir_list(r->s->env, "log", list_cb, r);

    for (size_t i = 0; i < r->n && rv == 0; i++) {
        rv = read_file(r->s, &r->a[i]);
        if (rv != 0)
            r->unread = r->a[i].file;
    }
    for (size_t i = 0; i < r->n; i++)
        if (r->a[i].segment != 0 && (r->tail == NULL || r->a[i].segment > r->tail->segment))
            r->tail = &r->a[i];
    return rv;
}

/* --- the tail's checkpoint ------------------------------------------------------------------ */

static int list_segment(struct recovery *r, uint64_t segment, uint64_t end)
{
    for (size_t i = 0; i < r->n; i++) {
        struct found *f = &r->a[i];

        if (f->segment != segment || f == r->tail)
            continue;
        f->listed = true;
        f->end = end;
        return end <= f->content.n ? 0 : damage(r, f->file, f->content.n, "the file is too short");
    }
    for (size_t i = 0; i < r->n; i++) {
        struct mk_frame frame;
        uint64_t off;

        if (r->a[i].segment == 0 &&
            mk_frame_scan(&frame, &off, mk_buf_bytes(&r->a[i].content), 0, r->s->key, segment, 0) &&
            frame.segment == segment)
            return damage(r, r->a[i].file, 0, "a damaged frame with valid ones behind it");
    }
    return mk_fault(r->reterr, MK_ECORRUPT, "log: segment %" PRIu64 " is missing", segment);
}

static void floor_set(struct mk_stored *st, uint32_t group, uint64_t first)
{
    if (group >= st->n_floor) {
        size_t n = group + 1;

        st->floor = mk_realloc(st->floor, n * sizeof *st->floor);
        while (st->n_floor < n)
            st->floor[st->n_floor++] = 0;
    }
    st->floor[group] = first;
}

static int read_run(struct recovery *r, const struct mk_run *run)
{
    struct mk_bytes b = run->records;
    struct mk_record rec;
    int rv = 0;

    while (rv == 0 && mk_record_take(&rec, &b)) {
        if (rec.kind == MK_REC_SLOT)
            rv = list_segment(r, rec.index, rec.first);
        else if (rec.kind == MK_REC_EXTENT)
            floor_set(&r->s->state, rec.group, rec.first);
    }
    return rv;
}

static int read_checkpoint(struct recovery *r)
{
    struct mk_salvage left;
    bool slots = false;
    int rv = 0;

    if (!mk_frame_salvage(&left, mk_buf_bytes(&r->tail->content), 0, r->s->key, r->tail->segment,
                          r->tail->seq))
        return damage(r, r->tail->file, 0, "a damaged checkpoint");
    for (unsigned i = 0; i < left.n_runs && rv == 0; i++) {
        slots = slots || (left.runs[i].good && left.runs[i].group == 0);
        if (left.runs[i].good)
            rv = read_run(r, &left.runs[i]);
    }
    mk_free(left.runs);
    if (r->tail->segment == 1) /* begin.c made it: of nothing */
        slots = true;
    return rv == 0 && !slots ? damage(r, r->tail->file, 0, "a damaged checkpoint") : rv;
}

/* --- replaying ------------------------------------------------------------------------------- */

static int replay_record(struct recovery *r, struct mk_slot *slot, const struct mk_record *rec)
{
    struct mk_stored *st = &r->s->state;
    int rv = mk_stored_apply(st, rec, /* keep= */ true);

    if (rv == 0 && rec->kind == MK_REC_ENTRY && rec->group < st->n_numbers &&
        st->by_number[rec->group] != NULL)
        mk_slot_note(slot, st->by_number[rec->group], rec->index);
    return rv;
}

static int replay_frame(struct recovery *r, struct found *f, struct mk_slot *slot, uint64_t off,
                        const struct mk_frame *frame)
{
    struct mk_bytes left = frame->runs, now = {0};
    struct mk_record rec;
    int rv = 0;

    while (rv == 0 && mk_frame_record(&rec, &left, &now))
        rv = replay_record(r, slot, &rec);
    return rv == 0 && left.n == 0 && now.n == 0
               ? 0
               : damage(r, f->file, off, "a record that makes no sense");
}

static void note_loss(struct recovery *r, const struct found *f, const struct mk_run *run)
{
    r->losses = mk_realloc(r->losses, (r->n_losses + 1) * sizeof *r->losses);
    r->losses[r->n_losses++] = (struct loss){f, *run};
}

/* A lost run of a checkpoint that is no group's had its beginning, or its end. */
static int replay_lost(struct recovery *r, struct found *f, const struct mk_run *run, bool first)
{
    struct mk_record rec = {.kind = first ? MK_REC_BEGIN : MK_REC_END};

    if (run->group == 0)
        return mk_stored_apply(&r->s->state, &rec, true);
    note_loss(r, f, run);
    rec = (struct mk_record){.kind = MK_REC_GROUP, .group = run->group, .id = run->id};
    return run->named ? mk_stored_apply(&r->s->state, &rec, true) : 0;
}

static int replay_run(struct recovery *r, struct mk_slot *slot, const struct mk_run *run)
{
    struct mk_bytes b = run->records;
    struct mk_record rec;
    int rv = 0;

    while (rv == 0 && b.n > 0)
        rv = mk_record_take(&rec, &b) ? replay_record(r, slot, &rec) : MK_ECORRUPT;
    return rv;
}

/* What is left of the frame at off. */
static int replay_damaged(struct recovery *r, struct found *f, struct mk_slot *slot, uint64_t off,
                          uint64_t seq, uint64_t *ret_size)
{
    struct mk_salvage left;
    int rv = 0;

    if (!mk_frame_salvage(&left, mk_buf_bytes(&f->content), off, r->s->key, slot->segment, seq))
        return damage(r, f->file, off, "a damaged frame");
    for (unsigned i = 0; i < left.n_runs && rv == 0; i++)
        rv = left.runs[i].good ? replay_run(r, slot, &left.runs[i])
                               : replay_lost(r, f, &left.runs[i], i == 0);
    mk_free(left.runs);
    *ret_size = left.size;
    return rv == 0 ? 0 : damage(r, f->file, off, "a record that makes no sense");
}

/* Was what stands at off durable once, so that a crash did not tear it? */
static bool was_durable(struct recovery *r, const struct found *f, uint64_t off, uint64_t seq)
{
    struct mk_frame frame;
    uint64_t at;

    return f != r->tail ||
           mk_frame_scan(&frame, &at, mk_buf_bytes(&f->content), off, r->s->key, f->segment, seq);
}

static int replay_slot(struct recovery *r, struct found *f)
{
    struct mk_slot *slot = mk_slot_add(r->s, f->file, f->content.n);
    struct mk_bytes file = mk_buf_bytes(&f->content);
    uint64_t seq = f->seq, off = 0, size = 0;
    struct mk_frame frame;
    int rv = 0;

    slot->segment = f->segment;
    slot->use = f == r->tail ? MK_SLOT_CURRENT : MK_SLOT_LIVE;
    slot->listed = f->listed;
    while (rv == 0 && (f == r->tail || off < f->end)) {
        if (mk_frame_at(&frame, file, off, r->s->key) && frame.segment == slot->segment &&
            frame.seq == seq) {
            rv = replay_frame(r, f, slot, off, &frame);
            size = frame.size;
            r->s->sealed = frame.n_runs == 0;
        } else if (was_durable(r, f, off, seq)) {
            rv = replay_damaged(r, f, slot, off, seq, &size);
        } else {
            break;
        }
        off += size;
        seq++;
    }
    slot->end = off;
    if (rv == 0 && f != r->tail && off != f->end)
        return damage(r, f->file, off, "a damaged frame");
    if (f == r->tail)
        r->s->frame = seq;
    return rv;
}

static int found_cmp(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    return x->segment < y->segment ? -1 : x->segment > y->segment ? 1 : 0;
}

/* Nothing newer may be in a slot whose first frame is bad. */
static int look_for_damage(struct recovery *r)
{
    struct mk_frame frame;
    uint64_t off;

    for (size_t i = 0; i < r->n; i++)
        if (r->a[i].segment == 0 && mk_frame_scan(&frame, &off, mk_buf_bytes(&r->a[i].content), 0,
                                                  r->s->key, r->tail->segment + 1, r->s->frame))
            return damage(r, r->a[i].file, 0, "a damaged frame with valid ones behind it");
    return 0;
}

/* Whose were they, and do they matter? What is not an entry stands in the tail's checkpoint, too.
 */
static void judge_losses(struct recovery *r)
{
    struct mk_stored *st = &r->s->state;

    for (size_t i = 0; i < r->n_losses; i++) {
        const struct loss *l = &r->losses[i];
        struct mk_store_group *g =
            l->run.group < st->n_numbers ? st->by_number[l->run.group] : NULL;
        char path[32];

        if (g == NULL || (l->in != r->tail && l->run.greatest < g->dropped))
            continue;
        mk_slot_path(path, l->in->file);
        snprintf(g->damage, sizeof g->damage, "%s: damaged records in the frame at offset %" PRIu64,
                 path, l->run.at);
        mk_stored_forget(g);
    }
}

/* Every entry between first and last was found. */
static int check_extents(struct recovery *r)
{
    for (size_t i = 0; i < r->s->state.n; i++) {
        const struct mk_store_group *g = r->s->state.groups[i];

        if (g->damage[0] != 0)
            continue;
        if (g->last + 1 - g->first != g->n_kept || (g->n_kept > 0 && g->kept_first != g->first))
            return mk_fault(r->reterr, MK_ECORRUPT,
                            "log: entries %" PRIu64 " to %" PRIu64 " of a group are not all there",
                            g->first, g->last);
    }
    return 0;
}

static int replay(struct recovery *r)
{
    int rv = read_checkpoint(r);
    uint64_t tail = r->tail->segment;

    if (rv != 0)
        return rv;
    qsort(r->a, r->n, sizeof *r->a, found_cmp);
    for (size_t i = 0; i < r->n; i++)
        if (r->a[i].segment == tail)
            r->tail = &r->a[i];
    for (size_t i = 0; i < r->n && rv == 0; i++)
        if (r->a[i].listed || &r->a[i] == r->tail)
            rv = replay_slot(r, &r->a[i]);
    if (rv == 0)
        rv = look_for_damage(r);
    if (rv == 0) {
        judge_losses(r);
        rv = check_extents(r);
    }
    r->s->segment = tail;
    return rv;
}

/* --- afterwards --------------------------------------------------------------------------------
 */

static int keep_or_remove_spares(struct recovery *r)
{
    int rv = 0;

    for (size_t i = 0; i < r->n && rv == 0; i++) {
        struct found *f = &r->a[i];
        char path[32];

        if (f->listed || f == r->tail)
            continue;
        mk_slot_path(path, f->file);
        if (f->segment != 0)
            mk_slot_add(r->s, f->file, f->content.n)->segment = f->segment;
        else
            rv = mk_unlink(r->s->env, path);
        if (f->file >= r->s->next_file)
            r->s->next_file = f->file + 1;
    }
    return rv;
}

/* What was read need not be durable: after a sync that failed a kernel shows what it could not
 * write as if it had, and its next sync, with nothing left to do, succeeds. An entry that is
 * acknowledged on the strength of such a read is gone when power fails, and a later frame that is
 * durable makes a damaged log of it. So the segment is written once more, and that is synced. Those
 * before it were durable before it was begun. */
static int write_again(struct mk_store *s, uint64_t n)
{
    struct mk_buf b = {0};
    size_t got = 0;
    int rv = mk_file_read(s->file, mk_buf_grow(&b, n), n, 0, &got);

    if (rv == 0 && got != n)
        rv = MK_EIO; /* it was there a moment ago */
    if (rv == 0)
        rv = mk_file_write(s->file, b.p, n, 0);
    mk_buf_done(&b);
    return rv;
}

static int open_tail(struct mk_store *s)
{
    const struct mk_slot *slot = mk_slot_current(s);
    char path[32];
    int rv;

    mk_slot_path(path, slot->file);
    rv = mk_file_open(s->env, &s->file, path, MK_OPEN_WRITE);
    if (rv == 0)
        rv = write_again(s, slot->end);
    return rv != 0 ? rv : mk_file_sync(s->file);
}

/* A build of another age wrote it: nothing here is damaged. */
static int other_format(struct recovery *r, uint64_t file, char format)
{
    char path[32];

    mk_slot_path(path, file);
    return mk_fault(r->reterr, MK_ENOTSUP,
                    "%s: the log is of format %c, %s build's; this build understands format %c: "
                    "start that build, or give this member an empty directory, which it fills "
                    "from the others",
                    path, format, format < MK_FRAME_FORMAT ? "an earlier" : "a later",
                    MK_FRAME_FORMAT);
}

static int no_tail(struct recovery *r)
{
    struct mk_frame frame;
    uint64_t off;

    for (size_t i = 0; i < r->n; i++) {
        char format = mk_frame_format(mk_buf_bytes(&r->a[i].content));

        if (format >= '0' && format <= '9' && format != MK_FRAME_FORMAT)
            return other_format(r, r->a[i].file, format);
    }
    for (size_t i = 0; i < r->n; i++)
        if (mk_frame_scan(&frame, &off, mk_buf_bytes(&r->a[i].content), 0, r->s->key, 0, 0))
            return damage(r, r->a[i].file, 0, "a damaged frame with valid ones behind it");
    return mk_fault(r->reterr, MK_ECORRUPT, "log: no valid segment");
}

static int recover(struct recovery *r)
{
    struct mk_top top = {0};
    char path[32];
    int rv = mk_top_read(r->s, &top, r->reterr); /* first: a writer may go on meanwhile */

    if (rv != 0)
        return rv;
    rv = read_all(r);
    if (r->unread != 0) {
        mk_slot_path(path, r->unread);
        return mk_fault(r->reterr, rv, "%s: it cannot be read (%s)", path, mk_strerror(rv));
    }
    if (rv != 0)
        return mk_fault(r->reterr, rv, "log: %s", mk_strerror(rv));
    if (r->tail == NULL)
        return no_tail(r);
    rv = replay(r);
    if (rv == 0)
        rv = mk_top_check(r->s, &top, r->reterr);
    if (rv != 0 || r->s->read_only)
        return rv;
    rv = keep_or_remove_spares(r);
    if (rv == 0)
        rv = open_tail(r->s);
    if (rv == 0)
        rv = mk_top_open(r->s);
    return rv == 0 ? 0 : mk_fault(r->reterr, rv, "log: %s", mk_strerror(rv));
}

int mk_recover(struct mk_store *s, struct mk_fault *reterr)
{
    struct recovery r = {.s = s, .reterr = reterr};
    struct mk_buf key = {0};
    int rv = mk_file_load(s->env, MK_STORE_KEY_PATH, MK_FRAME_KEY, &key);

    if (rv == MK_ENOTFOUND && !s->read_only)
        return mk_begin(s, reterr);
    if (rv != 0 || key.n != MK_FRAME_KEY) {
        rv = rv == 0 || rv == MK_ELIMIT ? MK_ECORRUPT : rv;
        mk_buf_done(&key);
        return mk_fault(reterr, rv, MK_STORE_KEY_PATH ": %s", mk_strerror(rv));
    }
    memcpy(s->key, key.p, MK_FRAME_KEY);
    mk_buf_done(&key);
    rv = recover(&r);
    for (size_t i = 0; i < r.n; i++)
        mk_buf_done(&r.a[i].content);
    mk_free(r.a);
    mk_free(r.losses);
    return rv;
}
