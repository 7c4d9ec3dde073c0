/* slots.c - the files of the log: one is written, others wait to be needed no more, one
 * spare is prepared.
 *
 * A slot's life begins with a checkpoint that says how every group stands and which lives
 * still hold live entries. Once that frame is durable, older slots are free and are
 * written again under a new life. A spare is filled with zeros off the loop while the
 * present slot is half full, so that a write never waits for a file to grow: growing
 * costs a second sync, for the file's size. */
#include "store/store_int.h"

void mk_slot_path(char out[32], unsigned number)
{
    snprintf(out, 32, "log/%06u.seg", number);
}

struct mk_slot *mk_slots_add(struct mk_store *s, unsigned number, uint64_t life, uint64_t size)
{
    if (s->n_slots == s->cap_slots) {
        s->cap_slots = s->cap_slots != 0 ? 2 * s->cap_slots : 8;
        s->slots = mk_realloc(s->slots, s->cap_slots * sizeof *s->slots);
    }
    s->slots[s->n_slots] = (struct mk_slot){.number = number, .life = life, .size = size};
    return &s->slots[s->n_slots++];
}

static unsigned next_number(const struct mk_store *s)
{
    unsigned n = 0;

    for (size_t i = 0; i < s->n_slots; i++)
        n = s->slots[i].number > n ? s->slots[i].number : n;
    return n + 1;
}

int mk_slot_create(struct mk_store *s, unsigned number, uint64_t size)
{
    uint8_t *zeros = mk_alloc(MK_SLOT_FILL);
    struct mk_file *f;
    char path[32];
    int rv;

    mk_slot_path(path, number);
    mk_unlink(s->env, path); /* of a creation that a crash cut short */
    rv = mk_file_open(s->env, &f, path, MK_OPEN_CREATE);
    if (rv == 0) {
        for (uint64_t at = 0; rv == 0 && at < size; at += MK_SLOT_FILL)
            rv = mk_file_write(f, zeros,
                               size - at < MK_SLOT_FILL ? (size_t)(size - at) : MK_SLOT_FILL, at);
        if (rv == 0)
            rv = mk_file_sync(f);
        mk_file_close(f);
    }
    if (rv == 0)
        rv = mk_dir_sync(s->env, "log");
    mk_free(zeros);
    return rv;
}

/* --- the spare ------------------------------------------------------------------------------ */

/* Never written to, so it costs address space and no memory. */
static uint8_t spare_zeros[MK_SLOT_FILL];

static void spare_cb(struct mk_write_sync *w, int status);

static void spare_drop(struct mk_store *s)
{
    if (s->spare != NULL)
        mk_file_close(s->spare);
    s->spare = NULL;
}

static void spare_continue(struct mk_store *s)
{
    uint64_t left = s->spare_size - s->spare_at;

    s->spare_flying = true;
    s->spare_write.cb = spare_cb;
    mk_write_sync(s->spare, &s->spare_write, spare_zeros,
                  left < MK_SLOT_FILL ? (size_t)left : MK_SLOT_FILL, s->spare_at);
}

static void spare_cb(struct mk_write_sync *w, int status)
{
    struct mk_store *s = mk_container_of(w, struct mk_store, spare_write);

    s->spare_flying = false;
    if (s->closing) {
        spare_drop(s);
        mk_store_maybe_free(s);
        return;
    }
    s->spare_at += w->n;
    if (status == 0 && s->spare_at < s->spare_size) {
        spare_continue(s);
        return;
    }
    spare_drop(s);
    /* Without a spare the next rotation makes its file itself, and says what is wrong. */
    s->spare_ready = status == 0 && mk_dir_sync(s->env, "log") == 0;
    if (s->spare_ready)
        mk_slots_add(s, s->spare_number, 0, s->spare_size);
}

static bool has_free(const struct mk_store *s)
{
    for (size_t i = 0; i < s->n_slots; i++) {
        if (i != s->current && s->slots[i].life < s->keep_life)
            return true;
    }
    return false;
}

static void spare_begin(struct mk_store *s)
{
    char path[32];

    if (s->spare != NULL || s->closing || has_free(s))
        return;
    s->spare_number = next_number(s);
    s->spare_size = s->slot_bytes;
    s->spare_at = 0;
    mk_slot_path(path, s->spare_number);
    mk_unlink(s->env, path);
    if (mk_file_open(s->env, &s->spare, path, MK_OPEN_CREATE) != 0) {
        s->spare = NULL;
        return;
    }
    spare_continue(s);
}

/* --- rotating --------------------------------------------------------------------------------- */

/** A free slot large enough; makes one when there is none. */
static int take_slot(struct mk_store *s, uint64_t bytes_wanted, size_t *ret)
{
    uint64_t size = s->n_slots < 2 && s->slot_bytes > MK_SLOT_FIRST ? MK_SLOT_FIRST : s->slot_bytes;
    unsigned number;
    int rv;

    for (size_t i = 0; i < s->n_slots; i++) {
        if ((s->file == NULL || i != s->current) && s->slots[i].life < s->keep_life &&
            s->slots[i].size >= bytes_wanted) {
            *ret = i;
            return 0;
        }
    }
    while (size < bytes_wanted)
        size *= 2;
    number = next_number(s);
    if (s->spare != NULL && s->spare_number >= number)
        number = s->spare_number + 1;
    rv = mk_slot_create(s, number, size);
    if (rv != 0)
        return rv;
    mk_slots_add(s, number, 0, size);
    *ret = s->n_slots - 1;
    return 0;
}

int mk_slots_rotate(struct mk_store *s, uint64_t bytes_wanted)
{
    struct mk_file *f;
    char path[32];
    size_t i;
    int rv = take_slot(s, bytes_wanted, &i);

    if (rv != 0)
        return rv;
    mk_slot_path(path, s->slots[i].number);
    rv = mk_file_open(s->env, &f, path, MK_OPEN_WRITE);
    if (rv != 0)
        return rv;
    if (s->file != NULL)
        mk_file_close(s->file);
    s->file = f;
    s->current = (unsigned)i;
    s->slots[i].life = ++s->life;
    s->at = 0;
    s->size = s->slots[i].size;
    return 0;
}

/* --- writing ------------------------------------------------------------------------------------
 */

/** One frame a write: as a whole there or not. A life's first begins with a checkpoint. */
static void frame_gathered(struct mk_store *s, bool checkpoint)
{
    struct mk_buf records = {0};

    mk_buf_clear(&s->out);
    if (checkpoint) {
        s->keep_next = mk_store_live(s);
        mk_record_checkpoint(&records, s, s->keep_next);
    }
    mk_buf_put(&records, s->gathered.p, s->gathered.n);
    mk_frame_put(&s->out, s->key,
                 &(struct mk_frame){s->life, ++s->sequence, mk_buf_bytes(&records)});
    mk_buf_done(&records);
    mk_buf_clear(&s->gathered);
}

static void write_cb(struct mk_write_sync *w, int status)
{
    struct mk_store *s = mk_container_of(w, struct mk_store, write);

    s->flying = false;
    if (s->closing) {
        mk_store_maybe_free(s);
        return;
    }
    if (status != 0) {
        mk_store_fail(s, status);
        return;
    }
    mk_store_written(s);
    if (s->gathered.n > 0)
        mk_slots_write(s);
}

void mk_slots_write(struct mk_store *s)
{
    uint64_t wanted = s->gathered.n + MK_FRAME_HEADER;
    bool rotate = s->file == NULL || s->at + wanted > s->size;
    int rv;

    if (s->flying || s->status != 0 || s->gathered.n == 0)
        return;
    if (rotate) {
        struct mk_buf checkpoint = {0};

        mk_record_checkpoint(&checkpoint, s, 0);
        rv = mk_slots_rotate(s, 2 * (wanted + checkpoint.n + 2 * MK_FRAME_HEADER));
        mk_buf_done(&checkpoint);
        if (rv != 0) {
            mk_store_fail(s, rv);
            return;
        }
    }
    frame_gathered(s, rotate);
    s->flying = true;
    s->flying_lsn = s->lsn;
    s->write.cb = write_cb;
    mk_write_sync(s->file, &s->write, s->out.p, s->out.n, s->at);
    s->at += s->out.n;
    if (s->at > s->size / 2)
        spare_begin(s);
}

void mk_slots_close(struct mk_store *s)
{
    if (s->file != NULL)
        mk_file_close(s->file);
    spare_drop(s);
    mk_free(s->slots);
}
