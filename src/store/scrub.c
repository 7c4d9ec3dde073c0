/* scrub.c - bits turn on a disk that nobody reads: so all that is stored is read now and then.
 *
 *   a minute after opening, then an hour after each pass:
 *   each slot with live entries, each snapshot that is referenced, a piece at a time,
 *   read and checked on a thread, with a pause after each, so 4 MiB a second at most
 *
 * What is damaged is told to the group whose it is (mk_store_on_damage). The process is up,
 * so the group has in memory what the disk lost: it takes a snapshot, and keeps no entry
 * below it; the store begins another slot when the damaged one is the current. After that
 * nothing that is needed lies there. At an opening the same damage would have cost the
 * member its part (mk_store_damage); here it costs a snapshot. */
#include "base/assert.h"
#include "store/store_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FIRST_NS (60 * MK_S)
#define PASS_NS (3600 * MK_S)
#define PIECE_NS (250 * MK_MS)
#define PIECE_CHUNKS 4u
#define LOSSES_MAX 16u

struct mk_scrub {
    struct mk_store *s;
    struct mk_timer timer;
    struct mk_work work;
    bool working;
    bool logs;        /* slots are looked at; else snapshots */
    uint64_t segment; /* the last slot that was looked at in this pass */
    size_t group;     /* the group whose snapshot is looked at */
    uint64_t chunk;   /* the next of it */
    uint64_t index;   /* its snapshot */
    /* work's own while it works */
    struct mk_file *file; /* of a slot */
    uint8_t key[MK_FRAME_KEY];
    uint64_t end;
    uint32_t number; /* its file */
    struct mk_snap_reader *reader;
    uint64_t done;
    int status;
    bool whole_slot; /* whose the damage is cannot be told */
    uint64_t at;
    uint32_t losses[LOSSES_MAX];
    unsigned n_losses;
};

/* --- on the thread ------------------------------------------------------------------------- */

static void note_losses(struct mk_scrub *x, const struct mk_salvage *left)
{
    for (unsigned i = 0; i < left->n_runs; i++) {
        if (left->runs[i].good || left->runs[i].group == 0)
            continue;
        if (x->n_losses == LOSSES_MAX)
            x->whole_slot = true;
        else
            x->losses[x->n_losses++] = left->runs[i].group;
    }
}

static void check_frames(struct mk_scrub *x, struct mk_bytes file)
{
    uint64_t off = 0, segment = 0, seq = 0;
    struct mk_salvage left;
    struct mk_frame frame;

    while (off < file.n && !x->whole_slot) {
        if (mk_frame_at(&frame, file, off, x->key)) {
            segment = frame.segment;
            seq = frame.seq + 1;
            off += frame.size;
            continue;
        }
        if (x->n_losses == 0)
            x->at = off;
        x->status = MK_ECORRUPT;
        if (!mk_frame_salvage(&left, file, off, x->key, segment, seq)) {
            x->whole_slot = true;
            return;
        }
        note_losses(x, &left);
        segment = left.segment;
        seq = left.seq + 1;
        off += left.size;
        mk_free(left.runs);
    }
}

static void slot_run(struct mk_work *w)
{
    struct mk_scrub *x = mk_container_of(w, struct mk_scrub, work);
    struct mk_buf b = {0};
    size_t got = 0;

    x->status = mk_file_read(x->file, mk_buf_grow(&b, x->end), x->end, 0, &got);
    if (x->status == 0)
        check_frames(x, MK_BYTES(b.p, got));
    mk_buf_done(&b);
}

static void snap_run(struct mk_work *w)
{
    struct mk_scrub *x = mk_container_of(w, struct mk_scrub, work);
    struct mk_buf b = {0};

    x->status = 0;
    for (x->done = 0; x->done < PIECE_CHUNKS && x->status == 0; x->done++) {
        mk_buf_clear(&b);
        x->status = mk_snap_chunk(x->reader, &b, x->chunk + x->done);
    }
    mk_buf_done(&b);
}

/* --- on the loop --------------------------------------------------------------------------- */

static void tell(struct mk_store_group *g, const char *why, bool in_log)
{
    if (g->damaged != NULL)
        g->damaged(g->damaged_arg, why, in_log);
}

static void tell_slot(struct mk_scrub *x)
{
    struct mk_stored *st = &x->s->state;
    char why[160], path[32];

    mk_slot_path(path, x->number);
    snprintf(why, sizeof why, "%s: damaged records in the frame at offset %" PRIu64, path, x->at);
    if (mk_slot_current(x->s)->file == x->number)
        x->s->rotate_now = true;
    for (size_t i = 0; i < st->n && x->whole_slot; i++)
        tell(st->groups[i], why, true);
    for (unsigned i = 0; i < x->n_losses && !x->whole_slot; i++)
        if (x->losses[i] < st->n_numbers && st->by_number[x->losses[i]] != NULL)
            tell(st->by_number[x->losses[i]], why, true);
}

static void again(struct mk_scrub *x, uint64_t ns)
{
    mk_timer_start(x->s->env, &x->timer, mk_now(x->s->env) + ns);
}

static void slot_done(struct mk_work *w)
{
    struct mk_scrub *x = mk_container_of(w, struct mk_scrub, work);

    x->working = false;
    mk_file_close(x->file);
    x->file = NULL;
    if (x->status == MK_ECORRUPT)
        tell_slot(x);
    again(x, PIECE_NS * (1 + x->end / (PIECE_CHUNKS * MK_SNAP_CHUNK)));
}

static void snap_forget(struct mk_scrub *x)
{
    mk_snap_close(x->reader);
    x->reader = NULL;
    x->group++;
}

static void snap_done(struct mk_work *w)
{
    struct mk_scrub *x = mk_container_of(w, struct mk_scrub, work);
    struct mk_store_group *g = x->s->state.groups[x->group];
    struct mk_fault why = {{0}};

    x->working = false;
    x->chunk += x->done;
    if (x->status == MK_ECORRUPT && g->snap_index == x->index) {
        (void)mk_snap_place(x->reader, x->chunk - 1, &why);
        tell(g, why.text, false);
    }
    if (x->status != 0) /* its end, damaged, or a disk that others will complain of */
        snap_forget(x);
    again(x, PIECE_NS);
}

/* The next slot of this pass: the one with the least segment above the last. */
static struct mk_slot *next_slot(const struct mk_scrub *x)
{
    struct mk_slot *best = NULL;

    for (size_t i = 0; i < x->s->n_slots; i++) {
        struct mk_slot *slot = &x->s->slots[i];

        if (slot->use != MK_SLOT_SPARE && slot->segment > x->segment &&
            (best == NULL || slot->segment < best->segment))
            best = slot;
    }
    return best;
}

/* What is written now is not looked at. */
static bool slot_start(struct mk_scrub *x)
{
    struct mk_slot *slot = next_slot(x);
    char path[32];

    if (slot == NULL)
        return false;
    x->segment = slot->segment;
    x->number = slot->file;
    x->end = slot->end;
    if (slot->use == MK_SLOT_CURRENT && x->s->writing)
        x->end -= x->s->flight.n;
    x->n_losses = 0;
    x->whole_slot = false;
    mk_slot_path(path, slot->file);
    if (x->end == 0 || mk_file_open(x->s->env, &x->file, path, MK_OPEN_READ) != 0)
        return slot_start(x);
    x->work = (struct mk_work){.run = slot_run, .done = slot_done};
    x->working = true;
    mk_work_start(x->s->env, &x->work);
    return true;
}

static bool snap_open(struct mk_scrub *x)
{
    struct mk_stored *st = &x->s->state;

    for (; x->group < st->n; x->group++) {
        struct mk_store_group *g = st->groups[x->group];
        struct mk_fault why = {{0}};
        struct mk_snap_info info;
        int rv;

        if (g->snap_index == 0)
            continue;
        rv = mk_snap_open(g, &x->reader, &info, g->snap_index, &why);
        if (rv == MK_ECORRUPT)
            tell(g, why.text, false);
        if (rv != 0)
            continue;
        x->index = g->snap_index;
        x->chunk = 0;
        return true;
    }
    return false;
}

static bool snap_start(struct mk_scrub *x)
{
    if (x->reader == NULL && !snap_open(x))
        return false;
    x->work = (struct mk_work){.run = snap_run, .done = snap_done};
    x->working = true;
    mk_work_start(x->s->env, &x->work);
    return true;
}

static void scrub_cb(struct mk_timer *t)
{
    struct mk_scrub *x = mk_container_of(t, struct mk_scrub, timer);

    if (x->s->status != 0)
        return;
    if (x->logs && slot_start(x))
        return;
    x->logs = false;
    if (snap_start(x))
        return;
    x->logs = true;
    x->segment = 0;
    x->group = 0;
    again(x, PASS_NS);
}

void mk_scrub_open(struct mk_store *s)
{
    struct mk_scrub *x = s->scrub = mk_alloc(sizeof *x);

    x->s = s;
    x->logs = true;
    x->timer.cb = scrub_cb;
    memcpy(x->key, s->key, sizeof x->key);
    again(x, FIRST_NS);
}

void mk_scrub_close(struct mk_store *s)
{
    struct mk_scrub *x = s->scrub;

    if (x == NULL)
        return;
    s->scrub = NULL;
    mk_timer_stop(&x->timer);
    if (x->working)
        mk_work_cancel(&x->work);
    if (x->file != NULL)
        mk_file_close(x->file);
    mk_snap_close(x->reader);
    mk_free(x);
}

void mk_store_on_damage(struct mk_store_group *g,
                        void (*cb)(void *arg, const char *why, bool in_log), void *arg)
{
    g->damaged = cb;
    g->damaged_arg = arg;
}
