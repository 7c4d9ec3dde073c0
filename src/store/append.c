/* append.c - from calls to records, from records to one write a batch.
 *
 * Happy path: a call changes the state, adds a record to `gather`, and asks for a task
 * at the end of the turn. The task seals what is gathered as one frame and writes it;
 * while that write is under way the next batch gathers. When it is durable, those who
 * waited are told, and the task runs again at the end of that turn, so that what they
 * append goes into the same batch.
 *
 * When a frame does not fit any more, it begins the next slot: the whole state goes
 * before it, in the same frame, so a slot begins with both or with neither. When that is durable
 * the slot is noted as the newest (top.c), and only then the frame counts as written. Slots that
 * the checkpoint does not name are free then.
 *
 * Failure: the store is dead, for good. What the disk holds is found out by opening
 * it again. */
#include "base/assert.h"
#include "store/store_int.h"

#include <string.h>

#define SEAL_NS (100 * MK_MS) /* of rest before the last frame gets an empty one behind it */

/* --- telling ------------------------------------------------------------------------- */

static void wait_due(struct mk_store *s)
{
    if (!mk_list_empty(&s->told))
        mk_later(s->env, &s->ready_task);
}

static void move_all(struct mk_list *to, struct mk_list *from)
{
    struct mk_list *n;

    while ((n = mk_list_pop(from)) != NULL)
        mk_list_add_tail(to, n);
}

/* Takes those off the list first: a callback may wait again. */
static void ready_cb(struct mk_task *t)
{
    struct mk_store *s = mk_container_of(t, struct mk_store, ready_task);

    while (!mk_list_empty(&s->told)) {
        struct mk_store_wait *w = mk_container_of(s->told.next, struct mk_store_wait, node);

        mk_list_del(&w->node);
        w->cb(w, s->status);
        if (s->closing)
            return;
    }
}

void mk_store_die(struct mk_store *s, int status)
{
    MK_ASSERT(status != 0);
    if (s->status == 0)
        s->status = status;
    move_all(&s->told, &s->flying);
    move_all(&s->told, &s->later);
    wait_due(s);
}

void mk_store_wait(struct mk_store *s, struct mk_store_wait *w, uint64_t lsn)
{
    bool told = s->status != 0 || lsn <= s->durable;

    w->lsn = lsn;
    mk_list_add_tail(told ? &s->told : lsn <= s->flight_lsn ? &s->flying : &s->later, &w->node);
    wait_due(s);
}

void mk_store_wait_cancel(struct mk_store_wait *w)
{
    if (w->node.next != NULL)
        mk_list_del(&w->node);
}

/* --- batches ----------------------------------------------------------------------------- */

static void gather_reset(struct mk_store *s)
{
    s->batch++;
    mk_buf_clear(&s->gather);
    memset(mk_buf_grow(&s->gather, MK_FRAME_HEADER), 0, MK_FRAME_HEADER);
    s->gather_run = 0;
}

static bool gathered(const struct mk_store *s)
{
    return s->gather.n > MK_FRAME_HEADER;
}

/* The slots that are needed, and a mark on them: the others are free once this is
 * durable, even if more become free meanwhile. */
static void put_slots(struct mk_store *s, struct mk_buf *out, size_t *at_run)
{
    for (size_t i = 0; i < s->n_slots; i++) {
        struct mk_slot *slot = &s->slots[i];
        struct mk_record r = {.kind = MK_REC_SLOT, .index = slot->segment, .first = slot->end};

        slot->listed = slot->use != MK_SLOT_SPARE && mk_slot_needed(s, slot);
        if (slot->listed)
            mk_frame_add(out, at_run, &r);
    }
}

/* The slots stand there twice, in runs of their own: without them nothing could be read. */
void mk_append_checkpoint(struct mk_store *s, struct mk_buf *out)
{
    struct mk_record r = {.kind = MK_REC_BEGIN};
    size_t at_run = 0;

    memset(mk_buf_grow(out, MK_FRAME_HEADER), 0, MK_FRAME_HEADER);
    mk_frame_add(out, &at_run, &r);
    put_slots(s, out, &at_run);
    mk_stored_write(&s->state, out, &at_run, s->batch);
    r.kind = MK_REC_END;
    mk_frame_add(out, &at_run, &r);
    put_slots(s, out, &at_run);
    mk_frame_add_runs(out, &at_run, &s->gather);
}

static void sweep_due(struct mk_store *s)
{
    mk_list_each(n, &s->sweeps)
    {
        struct mk_sweep *sw = mk_container_of(n, struct mk_sweep, node);

        if (sw->lsn > s->durable)
            continue;
        mk_list_del(&sw->node);
        mk_snap_sweep(s, &sw->group, sw->below);
        mk_free(sw);
    }
}

/* The new slot stands: what its checkpoint did not name is free. */
static void rotated(struct mk_store *s)
{
    s->rotating = false;
    mk_file_close(s->old_file);
    s->old_file = NULL;
    for (size_t i = 0; i < s->n_slots; i++) {
        struct mk_slot *slot = &s->slots[i];

        if (slot->use != MK_SLOT_LIVE || slot->listed)
            continue;
        slot->use = MK_SLOT_SPARE;
        slot->n_extents = 0;
    }
    mk_slot_trim(s);
    mk_slot_tell_behind(s);
}

/* The last frame stays without one behind it for a moment only: see store.h. Each write does not
 * move the timer; the timer looks when the last was. */
static void seal_later(struct mk_store *s)
{
    if (!s->sealed && !s->seal_timer.armed && s->status == 0 && !s->closing)
        mk_timer_start(s->env, &s->seal_timer, s->write_ns + SEAL_NS);
}

static void note_write(struct mk_store *s)
{
    uint64_t ns = mk_now(s->env) - s->write_ns;
    unsigned i = 0;

    while (i < MK_STORE_BUCKETS && ns > mk_store_bucket_us[i] * UINT64_C(1000))
        i++;
    s->stats.frames++;
    s->stats.bytes += s->flight.n;
    s->stats.sync_ns += ns;
    s->stats.sync_buckets[i]++;
}

static void written(struct mk_store *s, int status)
{
    s->writing = false;
    if (s->closing) {
        mk_store_closed(s);
        return;
    }
    if (status != 0) {
        mk_store_die(s, status);
        return;
    }
    if (s->status != 0)
        return;
    s->durable = s->flight_lsn;
    move_all(&s->told, &s->flying);
    if (s->rotating)
        rotated(s);
    sweep_due(s);
    wait_due(s);
    seal_later(s);
    if (gathered(s))
        mk_later(s->env, &s->flush_task);
}

static void top_cb(struct mk_write_sync *w, int status)
{
    written(mk_container_of(w, struct mk_store, top_write), status);
}

static void write_cb(struct mk_write_sync *w, int status)
{
    struct mk_store *s = mk_container_of(w, struct mk_store, write);

    note_write(s);
    if (s->rotating && status == 0 && s->status == 0 && !s->closing)
        mk_top_write(s, top_cb);
    else
        written(s, status);
}

static void write_start(struct mk_store *s, struct mk_slot *slot)
{
    uint64_t off = slot->end;

    mk_frame_seal(&s->flight, s->key, slot->segment, s->frame++);
    MK_ASSERT(off + s->flight.n <= slot->size);
    slot->end = off + s->flight.n;
    s->flight_lsn = s->lsn;
    s->sealed = s->sealing;
    s->sealing = false;
    move_all(&s->flying, &s->later);
    s->writing = true;
    s->write_ns = mk_now(s->env);
    s->write.cb = write_cb;
    gather_reset(s);
    mk_write_sync(s->file, &s->write, s->flight.p, s->flight.n, off);
}

/* The groups that have entries in the batch have them in the new slot. */
static void note_gathered(struct mk_store *s, struct mk_slot *slot)
{
    struct mk_bytes left = MK_BYTES(s->gather.p + MK_FRAME_HEADER, s->gather.n - MK_FRAME_HEADER);
    struct mk_bytes now = {0};
    struct mk_record r;

    while (mk_frame_record(&r, &left, &now))
        if (r.kind == MK_REC_ENTRY && s->state.by_number[r.group] != NULL)
            mk_slot_note(slot, s->state.by_number[r.group], r.index);
}

/* Begins the next slot with what is gathered. */
static void rotate(struct mk_store *s)
{
    struct mk_slot *old = mk_slot_current(s), *slot;
    char path[32];
    int rv;

    if (s->preparing && mk_slot_spare(s, 0) == NULL)
        return; /* it will wake us */
    mk_buf_clear(&s->flight);
    mk_append_checkpoint(s, &s->flight);
    slot = mk_slot_spare(s, mk_frame_bound(&s->flight));
    if (slot == NULL) {
        mk_slot_prepare(s, 2 * mk_frame_bound(&s->flight));
        return;
    }
    mk_slot_path(path, slot->file);
    s->old_file = s->file;
    rv = mk_file_open(s->env, &s->file, path, MK_OPEN_WRITE);
    if (rv != 0) {
        s->file = s->old_file;
        s->old_file = NULL;
        mk_store_die(s, rv);
        return;
    }
    old->use = MK_SLOT_LIVE;
    slot->use = MK_SLOT_CURRENT;
    slot->segment = ++s->segment;
    slot->end = 0;
    slot->n_extents = 0;
    s->rotating = true;
    s->rotate_now = false;
    note_gathered(s, slot);
    write_start(s, slot);
}

static void flush(struct mk_store *s)
{
    struct mk_slot *slot = mk_slot_current(s);
    struct mk_buf t = s->flight;

    if (s->writing || s->status != 0 || !gathered(s))
        return;
    if (s->rotate_now || slot->end + mk_frame_bound(&s->gather) > slot->size) {
        rotate(s);
        return;
    }
    s->flight = s->gather;
    s->gather = t;
    write_start(s, slot);
    if (2 * slot->end > slot->size)
        mk_slot_prepare(s, MK_SLOT_FIRST);
}

static void seal_cb(struct mk_timer *t)
{
    struct mk_store *s = mk_container_of(t, struct mk_store, seal_timer);
    struct mk_slot *slot = mk_slot_current(s);
    struct mk_buf b = s->flight;

    if (s->writing || s->sealed || s->status != 0 || gathered(s))
        return; /* the next write asks again */
    if (mk_now(s->env) < s->write_ns + SEAL_NS) {
        seal_later(s);
        return;
    }
    if (slot->end + mk_frame_bound(&s->gather) > slot->size)
        return; /* the next slot's first frame will do */
    s->sealing = true;
    s->flight = s->gather;
    s->gather = b;
    write_start(s, slot);
}

void mk_append_opened(struct mk_store *s)
{
    s->write_ns = mk_now(s->env);
    seal_later(s);
}

static void flush_cb(struct mk_task *t)
{
    flush(mk_container_of(t, struct mk_store, flush_task));
}

void mk_append_wake(struct mk_store *s)
{
    if (gathered(s) && !s->writing)
        mk_later(s->env, &s->flush_task);
}

uint64_t mk_store_durable(const struct mk_store *s)
{
    return s->durable;
}

uint64_t mk_store_pending(const struct mk_store *s)
{
    return (s->gather.n - MK_FRAME_HEADER) + (s->writing ? s->flight.n : 0);
}

void mk_append_init(struct mk_store *s)
{
    mk_list_init(&s->told);
    mk_list_init(&s->flying);
    mk_list_init(&s->later);
    mk_list_init(&s->sweeps);
    s->flush_task.cb = flush_cb;
    s->ready_task.cb = ready_cb;
    s->seal_timer.cb = seal_cb;
    gather_reset(s);
}

void mk_append_done(struct mk_store *s)
{
    struct mk_list *n;

    move_all(&s->told, &s->flying);
    move_all(&s->told, &s->later);
    while ((n = mk_list_pop(&s->told)) != NULL)
        ; /* theirs; they are not called */
    while ((n = mk_list_pop(&s->sweeps)) != NULL)
        mk_free(mk_container_of(n, struct mk_sweep, node));
    mk_later_cancel(&s->flush_task);
    mk_later_cancel(&s->ready_task);
    mk_timer_stop(&s->seal_timer);
    mk_buf_done(&s->gather);
    mk_buf_done(&s->flight);
}

/* --- the calls ---------------------------------------------------------------------------- */

static int may_append(const struct mk_store *s)
{
    if (s->read_only)
        return MK_EINVALID;
    return s->status != 0 ? MK_EIO : 0;
}

static int add(struct mk_store_group *g, uint64_t *ret_lsn, struct mk_record *r)
{
    struct mk_store *s = g->store;
    int rv;

    if (g->number == 0) {
        struct mk_record named = {.kind = MK_REC_GROUP, .id = g->id};

        named.group = mk_stored_number(&s->state, g);
        mk_frame_add(&s->gather, &s->gather_run, &named);
        g->batch = 0;
    }
    if (g->batch != s->batch) {
        g->batch = s->batch;
        g->before_first = g->first;
        g->before_last = g->last;
    }
    r->group = g->number;
    mk_frame_add(&s->gather, &s->gather_run, r);
    rv = mk_stored_apply(&s->state, r, /* keep= */ false);
    MK_ASSERT(rv == 0); /* checked by the caller */
    if (r->kind == MK_REC_ENTRY)
        mk_slot_note(mk_slot_current(s), g, r->index);
    s->lsn++;
    if (ret_lsn != NULL)
        *ret_lsn = s->lsn;
    if (!s->writing)
        mk_later(s->env, &s->flush_task);
    return 0;
}

int mk_store_append(struct mk_store_group *g, uint64_t *ret_lsn, const struct mk_store_entry *e)
{
    struct mk_record r = {.kind = MK_REC_ENTRY,
                          .index = e->index,
                          .term = e->term,
                          .type = e->type,
                          .bytes = e->bytes};
    bool empty = g->first == g->last + 1;
    int rv = may_append(g->store);

    if (rv != 0)
        return rv;
    if (e->bytes.n > MK_STORE_ENTRY_MAX)
        return MK_ELIMIT;
    if (e->index == 0 || e->type == 0 || (!empty && e->index < g->first) ||
        (!empty && e->index > g->last + 1))
        return MK_EINVALID;
    return add(g, ret_lsn, &r);
}

int mk_store_set_term(struct mk_store_group *g, uint64_t *ret_lsn, uint64_t term, uint64_t vote)
{
    struct mk_record r = {.kind = MK_REC_TERM, .term = term, .vote = vote};
    int rv = may_append(g->store);

    return rv != 0 ? rv : add(g, ret_lsn, &r);
}

int mk_store_put(struct mk_store_group *g, uint64_t *ret_lsn, const char *key,
                 struct mk_bytes value)
{
    size_t n = strlen(key);
    struct mk_record r = {.kind = MK_REC_FACT, .key = MK_BYTES(key, n), .bytes = value};
    int rv = may_append(g->store);

    if (rv != 0)
        return rv;
    if (n == 0 || n > MK_STORE_KEY_MAX || value.n > MK_STORE_VALUE_MAX)
        return MK_ELIMIT;
    if (g->n_facts >= MK_STORE_FACTS_MAX && mk_stored_fact(g, key, n) == NULL)
        return MK_ELIMIT;
    return add(g, ret_lsn, &r);
}

static void sweep_later(struct mk_store_group *g, uint64_t below)
{
    struct mk_sweep *sw = mk_alloc(sizeof *sw);

    sw->group = g->id;
    sw->below = below;
    sw->lsn = g->store->lsn;
    mk_list_add_tail(&g->store->sweeps, &sw->node);
}

int mk_store_set_snapshot(struct mk_store_group *g, uint64_t *ret_lsn, uint64_t index,
                          struct mk_bytes description, uint64_t first_index, bool void_log)
{
    struct mk_record r = {.kind = MK_REC_SNAPSHOT,
                          .index = index,
                          .first = first_index,
                          .type = void_log,
                          .bytes = description};
    int rv = may_append(g->store);

    if (rv != 0)
        return rv;
    if (index == 0 || first_index > index + 1)
        return MK_EINVALID;
    if (description.n > MK_STORE_VALUE_MAX)
        return MK_ELIMIT;
    rv = add(g, ret_lsn, &r);
    if (rv == 0)
        sweep_later(g, index);
    return rv;
}

int mk_store_remove(struct mk_store_group *g, uint64_t *ret_lsn)
{
    struct mk_record r = {.kind = MK_REC_REMOVE};
    int rv = may_append(g->store);

    if (rv != 0)
        return rv;
    rv = add(g, ret_lsn, &r);
    if (rv == 0)
        sweep_later(g, UINT64_MAX);
    return rv;
}
