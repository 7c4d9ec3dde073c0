/* Snapshots, taken: the log's beginning, replaced by the state it led to.
 *
 *   describe -> freeze -> slices (read and hashed on a thread, written and synced on
 *   another) -> the reference is made durable -> consensus drops the entries
 *
 * The writer of the group is not stopped: what is frozen is a fork of each trie and a few
 * numbers (image.h), and commits go on copying what they change. In memory there are two
 * blocks of the file at a time, never the whole.
 *
 * One is due when enough entries were applied since the last; with a large state, when they
 * also are an eighth of its bytes, so that writing snapshots costs no more than some eight
 * times what writing the log does. While one is being given to a member the next waits (four
 * times as long at most): what it is given must lead to entries that are still there.
 *
 * Some entries below it are kept for followers that are a little behind; few, where they hold
 * the oldest part of the log that all groups of this process share, and none in a group at rest
 * (mk_store_on_behind()).
 *
 * A disk that has no room for a snapshot stops this member: its log would grow for ever. */
#include "base/assert.h"
#include "group/group_int.h"
#include "group/image.h"

#include <string.h>

#define SLICE (1u << 20)       /* bytes read of an image at a time */
#define PENDING_MAX (6u << 20) /* bytes on their way to the disk above which reading waits */
#define SMALL (16u << 20)      /* bytes of a state up to which entries alone count */
#define ENTRIES_FACTOR 8u      /* so many times the entries are enough, whatever their bytes */
#define GIVING_FACTOR 4u
#define BEHIND_TRAILING 256u /* entries that one keeps which writes, and holds the log */
#define PHASES 4u /* members take their first at different times: one busy disk at a time */

struct mk_snapping {
    struct mk_group *g; /* NULL: nobody waits for it any more */
    struct mk_snapshot_meta meta;
    unsigned trailing;             /* entries below it that are kept */
    struct mk_image *image;        /* until it was read */
    struct mk_snap_writer *writer; /* until the file is whole */
    struct mk_work work;
    bool working, finishing;
    /* work's own while it works */
    struct mk_buf slice; /* from a chunk's beginning on */
    bool more;
    struct mk_id hashes[SLICE / MK_SNAP_CHUNK + 2];
    unsigned n_hashes;
    struct mk_store_wait wait;
    bool waiting;
};

static void snapping_end(struct mk_snapping *s)
{
    if (s->g != NULL)
        s->g->snapping = NULL;
    mk_image_free(s->image);
    mk_buf_done(&s->slice);
    mk_free(s);
}

static void referenced(struct mk_store_wait *w, int status)
{
    struct mk_snapping *s = mk_container_of(w, struct mk_snapping, wait);
    struct mk_group *g = s->g;

    s->waiting = false;
    if (status != 0) {
        mk_group_fail(g, status, "the disk failed");
    } else if (mk_consensus_compact(g->raft, &s->meta, s->trailing, mk_drive_now_ms(g)) == 0) {
        g->snaps.taken++;
        mk_group_wake(g);
    }
    snapping_end(s);
}

static int reference(struct mk_snapping *s, const struct mk_snap_info *info, uint64_t *ret_lsn)
{
    struct mk_group *g = s->g;
    struct mk_buf description = {0};
    uint64_t keep;
    int rv;

    for (unsigned i = 0; i < 8; i++)
        s->meta.handle[i] = (uint8_t)(info->size >> (8 * i));
    memcpy(s->meta.handle + 8, info->hash.b, sizeof info->hash.b);
    s->meta.handle_n = MK_SNAP_HANDLE;
    mk_snapshot_meta_encode(&s->meta, &description);
    keep = s->meta.index > s->trailing ? s->meta.index - s->trailing + 1 : 1;
    if (keep < mk_consensus_first(g->raft))
        keep = mk_consensus_first(g->raft);
    rv = mk_store_set_snapshot(g->disk, ret_lsn, s->meta.index, mk_buf_bytes(&description), keep,
                               false);
    mk_buf_done(&description);
    return rv;
}

static void written(void *arg, int status, const struct mk_snap_info *info)
{
    struct mk_snapping *s = arg;
    struct mk_group *g = s->g;
    uint64_t lsn = 0;

    s->writer = NULL;
    if (g != NULL && status != 0)
        mk_group_fail(g, status, "a snapshot could not be written");
    /* A snapshot that was installed meanwhile is newer; one that was taken again for its file alone
     * is the same. */
    if (g == NULL || status != 0 || mk_consensus_installing(g->raft) ||
        mk_consensus_snapshot(g->raft) + (s->trailing != 0) > s->meta.index) {
        snapping_end(s);
        return;
    }
    status = reference(s, info, &lsn);
    if (status != 0) {
        mk_group_fail(g, status, "a snapshot could not be referenced");
        snapping_end(s);
        return;
    }
    g->snapshot_bytes = info->size;
    s->waiting = true;
    s->wait.cb = referenced;
    mk_store_wait(g->store, &s->wait, lsn);
}

/* --- slices ------------------------------------------------------------------------------- */

static void slice_run(struct mk_work *w)
{
    struct mk_snapping *s = mk_container_of(w, struct mk_snapping, work);
    size_t at = 0;

    s->more = mk_image_read(s->image, &s->slice, SLICE);
    s->n_hashes = 0;
    while (s->slice.n - at >= MK_SNAP_CHUNK || (!s->more && at < s->slice.n)) {
        size_t n = s->slice.n - at < MK_SNAP_CHUNK ? s->slice.n - at : MK_SNAP_CHUNK;

        MK_ASSERT(s->n_hashes < sizeof s->hashes / sizeof s->hashes[0]);
        s->hashes[s->n_hashes++] = mk_hash(MK_BYTES(s->slice.p + at, n));
        at += n;
    }
}

static void slice_next(struct mk_snapping *s)
{
    if (s->working || s->finishing || mk_snap_pending(s->writer) > PENDING_MAX)
        return;
    s->working = true;
    mk_work_start(s->g->env, &s->work);
}

static void slice_done(struct mk_work *w)
{
    struct mk_snapping *s = mk_container_of(w, struct mk_snapping, work);
    size_t at = 0;

    s->working = false;
    for (unsigned i = 0; i < s->n_hashes; i++) {
        size_t n = s->slice.n - at < MK_SNAP_CHUNK ? s->slice.n - at : MK_SNAP_CHUNK;

        mk_snap_put(s->writer, MK_BYTES(s->slice.p + at, n), &s->hashes[i]);
        at += n;
    }
    mk_buf_drop_front(&s->slice, at);
    if (s->more && mk_snap_status(s->writer) == 0) {
        slice_next(s);
        return;
    }
    mk_image_free(s->image);
    s->image = NULL;
    s->finishing = true;
    mk_snap_finish(s->writer, NULL, written, s);
}

static void drained(void *arg)
{
    slice_next(arg);
}

/* --- when --------------------------------------------------------------------------------- */

static bool due(const struct mk_group *g, uint64_t index)
{
    uint64_t entries = g->snapshot_entries, bytes = 0, since = index - g->snapshot_at;

    if (g->snapshot_again || g->behind)
        return true;
    if (g->snapshot_bytes > SMALL)
        bytes = g->snapshot_bytes / 8;
    if (mk_snap_gives(g)) {
        entries *= GIVING_FACTOR;
        bytes *= GIVING_FACTOR;
    }
    if (g->snapshot_at == 0)
        entries += entries * (g->self % PHASES) / PHASES;
    return since >= entries && (g->log_bytes >= bytes || since >= entries * ENTRIES_FACTOR);
}

void mk_snap_again(struct mk_group *g)
{
    g->snapshot_again = true;
    mk_group_wake(g);
}

/* One at rest does it at once. One that writes does it when there is no other way, and not if it
 * takes its own often enough. */
bool mk_snap_behind(void *group, bool pressed)
{
    struct mk_group *g = group;

    if (g->raft == NULL)
        return false;
    if (!g->quiet &&
        (!pressed || g->snapping != NULL ||
         mk_consensus_last(g->raft) - mk_consensus_first(g->raft) > 2 * (uint64_t)g->trailing))
        return false;
    g->behind = true;
    mk_group_wake(g);
    return true;
}

/* Entries that stay below the snapshot which is taken now. */
static unsigned trailing(const struct mk_group *g)
{
    if (g->snapshot_vacates || (g->behind && g->quiet))
        return 0;
    return g->behind && g->trailing > BEHIND_TRAILING ? BEHIND_TRAILING : g->trailing;
}

/* There is one at this very index: only the entries below it go. */
static void drop_entries(struct mk_group *g, uint64_t index)
{
    struct mk_store_state st;
    struct mk_buf description = {0};
    int rv;

    mk_store_state(g->disk, &st);
    if (st.snapshot_index != index)
        return; /* being installed: it voids the log itself */
    mk_buf_put(&description, st.snapshot.p, st.snapshot.n);
    rv = mk_store_set_snapshot(g->disk, NULL, index, mk_buf_bytes(&description), index + 1, false);
    mk_buf_done(&description);
    if (rv != 0)
        mk_group_fail(g, rv, "a snapshot could not be referenced");
}

void mk_snap_turn(struct mk_group *g)
{
    uint64_t index = mk_state_index(g->st);
    struct mk_snapping *s;
    int rv;

    if (g->snapping != NULL || g->fetching != NULL || g->installing != NULL || !due(g, index))
        return;
    if (g->behind && mk_consensus_snapshot(g->raft) == index) {
        g->behind = false;
        drop_entries(g, index);
        return;
    }
    s = mk_alloc(sizeof *s);
    s->trailing = trailing(g);
    if (mk_consensus_describe(g->raft, &s->meta, index) != 0) {
        mk_free(s);
        return;
    }
    rv = mk_snap_create(g->disk, &s->writer, index);
    if (rv != 0) {
        mk_free(s);
        mk_group_fail(g, rv, "a snapshot could not be written");
        return;
    }
    g->snapshot_at = index;
    g->snapshot_again = g->snapshot_vacates = g->behind = false;
    g->log_bytes = 0;
    g->snapping = s;
    s->g = g;
    s->image = mk_state_freeze(g->st);
    s->work = (struct mk_work){.run = slice_run, .done = slice_done};
    mk_snap_watch(s->writer, drained, s);
    slice_next(s);
}

void mk_snap_take_stop(struct mk_group *g)
{
    struct mk_snapping *s = g->snapping;

    if (s == NULL)
        return;
    g->snapping = NULL;
    if (s->working)
        mk_work_cancel(&s->work);
    if (s->waiting)
        mk_store_wait_cancel(&s->wait);
    s->g = NULL;
    if (s->finishing && s->writer != NULL && !mk_env_is_dead(g->env))
        return; /* written() comes */
    if (s->writer != NULL)
        mk_snap_cancel(s->writer);
    snapping_end(s);
}
