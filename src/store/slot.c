/* slot.c - the files of the log.
 *
 * A file is made once, written full of zeros and synced with its directory, so that a
 * commit later changes nothing but bytes (fdatasync then has no metadata to write),
 * and is used again and again: beginning a segment overwrites its start. The first is
 * small, so that a young store is cheap; sizes double up to the limit.
 *
 * A group that rests has its few last entries in some old slot, which then cannot be used again:
 * with thousands of groups each slot has some. When more than a few are held, those in the oldest
 * are asked to do without entries (a snapshot); a hundred at a time, since each costs a file.
 * Where many groups write all the time each holds all slots since its last snapshot: they are asked
 * only when many slots are held, and some at each slot, so that their snapshots are spread evenly.
 *
 * Zeros are written in the background, a chunk at a time. When the next slot is not
 * ready in time, batches gather and wait for it. */
#include "base/assert.h"
#include "store/store_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void mk_slot_path(char out[32], uint32_t file)
{
    snprintf(out, 32, "log/%06" PRIu32 ".seg", file);
}

struct mk_slot *mk_slot_add(struct mk_store *s, uint32_t file, uint64_t size)
{
    struct mk_slot *slot;

    if (s->n_slots == s->cap_slots) {
        s->cap_slots = s->cap_slots == 0 ? 8 : 2 * s->cap_slots;
        s->slots = mk_realloc(s->slots, s->cap_slots * sizeof *s->slots);
    }
    slot = &s->slots[s->n_slots++];
    *slot = (struct mk_slot){.file = file, .size = size};
    if (file >= s->next_file)
        s->next_file = file + 1;
    return slot;
}

struct mk_slot *mk_slot_current(struct mk_store *s)
{
    for (size_t i = 0; i < s->n_slots; i++)
        if (s->slots[i].use == MK_SLOT_CURRENT)
            return &s->slots[i];
    return NULL;
}

void mk_slot_note(struct mk_slot *slot, struct mk_store_group *g, uint64_t index)
{
    struct mk_extent *e;

    if (g->slot == slot->segment && g->slot_at < slot->n_extents &&
        slot->extents[g->slot_at].group == g->number) {
        e = &slot->extents[g->slot_at];
        if (e->last < index)
            e->last = index;
        return;
    }
    if (slot->n_extents == slot->cap_extents) {
        slot->cap_extents = slot->cap_extents == 0 ? 8 : 2 * slot->cap_extents;
        slot->extents = mk_realloc(slot->extents, slot->cap_extents * sizeof *slot->extents);
    }
    g->slot = slot->segment;
    g->slot_at = slot->n_extents;
    slot->extents[slot->n_extents++] = (struct mk_extent){g->number, index};
}

static bool holds(const struct mk_store_group *g, const struct mk_extent *e)
{
    return g != NULL && g->first <= g->last && e->last >= g->first;
}

bool mk_slot_needed(const struct mk_store *s, const struct mk_slot *slot)
{
    for (size_t i = 0; i < slot->n_extents; i++) {
        uint32_t number = slot->extents[i].group;
        const struct mk_store_group *g =
            number < s->state.n_numbers ? s->state.by_number[number] : NULL;

        if (holds(g, &slot->extents[i]))
            return true;
    }
    return false;
}

#define BEHIND_MAX 128u /* groups that are to do without entries at a time */
#define PRESSED_MIN 8u  /* of those that write all the time so many, and */
#define PRESSED_PART 8u /* of those that hold the slot such a part */

static struct mk_slot *oldest_of(struct mk_store *s, unsigned *ret_live)
{
    struct mk_slot *oldest = NULL;

    *ret_live = 0;
    for (size_t i = 0; i < s->n_slots; i++) {
        struct mk_slot *slot = &s->slots[i];

        if (slot->use != MK_SLOT_LIVE)
            continue;
        ++*ret_live;
        if (oldest == NULL || slot->segment < oldest->segment)
            oldest = slot;
    }
    return oldest;
}

void mk_slot_tell_behind(struct mk_store *s)
{
    unsigned live, told = 0, pressed = 0;
    const struct mk_slot *oldest = oldest_of(s, &live);

    if (live <= MK_STORE_SLOTS_FEW)
        return;
    if (live > MK_STORE_SLOTS_MANY)
        pressed = PRESSED_MIN + (unsigned)oldest->n_extents / PRESSED_PART;
    for (size_t i = 0; i < oldest->n_extents && told < BEHIND_MAX; i++) {
        uint32_t number = oldest->extents[i].group;
        struct mk_store_group *g = number < s->state.n_numbers ? s->state.by_number[number] : NULL;

        if (!holds(g, &oldest->extents[i]) || g->behind == NULL)
            continue;
        told += g->behind(g->behind_arg, told < pressed);
    }
}

struct mk_slot *mk_slot_spare(struct mk_store *s, uint64_t size)
{
    struct mk_slot *best = NULL;

    for (size_t i = 0; i < s->n_slots; i++) {
        struct mk_slot *slot = &s->slots[i];

        if (slot->use == MK_SLOT_SPARE && slot->size >= size &&
            (best == NULL || slot->size > best->size))
            best = slot;
    }
    return best;
}

uint64_t mk_slot_next_size(const struct mk_store *s, uint64_t size)
{
    uint64_t n = MK_SLOT_FIRST;

    for (size_t i = 0; i < s->n_slots && n < s->segment_bytes; i++)
        n *= 2;
    if (n > s->segment_bytes)
        n = s->segment_bytes;
    while (n < size)
        n *= 2;
    return n;
}

/* --- making one ------------------------------------------------------------------------ */

static void prep_next(struct mk_store *s);

static void prep_end(struct mk_store *s, int status)
{
    mk_file_close(s->prep_file);
    mk_free(s->zeros);
    s->prep_file = NULL;
    s->zeros = NULL;
    s->preparing = false;
    if (s->closing) {
        mk_store_closed(s);
        return;
    }
    if (status == 0)
        status = mk_dir_sync(s->env, "log");
    if (status != 0) {
        mk_store_die(s, status);
        return;
    }
    mk_slot_add(s, s->prep_number, s->prep_size);
    mk_append_wake(s);
}

static void prep_cb(struct mk_write_sync *w, int status)
{
    struct mk_store *s = mk_container_of(w, struct mk_store, prep);

    s->prep_done += w->n;
    if (status != 0 || s->closing || s->prep_done == s->prep_size)
        prep_end(s, status);
    else
        prep_next(s);
}

static void prep_next(struct mk_store *s)
{
    uint64_t n = s->prep_size - s->prep_done;

    s->prep.cb = prep_cb;
    mk_write_sync(s->prep_file, &s->prep, s->zeros, n < MK_SLOT_CHUNK ? n : MK_SLOT_CHUNK,
                  s->prep_done);
}

void mk_slot_prepare(struct mk_store *s, uint64_t size)
{
    char path[32];
    int rv;

    if (s->preparing || s->status != 0 || mk_slot_spare(s, size) != NULL)
        return;
    s->prep_number = s->next_file++;
    s->prep_size = mk_slot_next_size(s, size);
    s->prep_done = 0;
    mk_slot_path(path, s->prep_number);
    rv = mk_file_open(s->env, &s->prep_file, path, MK_OPEN_CREATE);
    if (rv != 0) {
        mk_store_die(s, rv);
        return;
    }
    s->zeros = mk_alloc(MK_SLOT_CHUNK);
    s->preparing = true;
    prep_next(s);
}

/* The smallest go first. Best effort: what stays behind is found at the next opening. */
void mk_slot_trim(struct mk_store *s)
{
    for (;;) {
        struct mk_slot *least = NULL;
        unsigned spares = 0;
        char path[32];

        for (size_t i = 0; i < s->n_slots; i++) {
            struct mk_slot *slot = &s->slots[i];

            if (slot->use != MK_SLOT_SPARE)
                continue;
            spares++;
            if (least == NULL || slot->size < least->size)
                least = slot;
        }
        if (spares <= MK_SLOT_SPARES)
            return;
        mk_slot_path(path, least->file);
        (void)mk_unlink(s->env, path);
        mk_free(least->extents);
        *least = s->slots[--s->n_slots];
    }
}

void mk_slots_done(struct mk_store *s)
{
    for (size_t i = 0; i < s->n_slots; i++)
        mk_free(s->slots[i].extents);
    mk_free(s->slots);
    s->slots = NULL;
    s->n_slots = s->cap_slots = 0;
}
