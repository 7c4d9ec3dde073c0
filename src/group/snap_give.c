/* Snapshots, given: a member that was away too long asks for one chunk after the other.
 *
 * The asker sets the pace: it asks for some chunks ahead, each is read and checked on a
 * thread and sent, one at a time a member. What lies behind the content is the table of
 * the chunks' hashes, which it asks for first.
 *
 * While commits are under way it gives half of the time only: each chunk is followed by a pause
 * as long as it took, since the asker's disk, the links and the processors are often shared with
 * those that the commits wait for.
 *
 * The file stays open while somebody asks for it, a newer one or not, and for a minute
 * after a link was lost: who comes back goes on where he was. It counts as being given until
 * the asker has nearly all of the log behind it, too, so that the log is not cut before.
 *
 * Failure modes: the file is gone (a restart): an empty chunk says so, and consensus offers
 * another. A chunk is not what its hash says: our disk has turned a bit; the chunk is not
 * given, and a new snapshot is taken of the state in memory, which is whole. The disk cannot
 * be read: this member stops, and another leads. */
#include "group/group_int.h"

#define WANTS_MAX 64u
#define KEPT_NS (60 * MK_S)
#define BUSY_NS (200 * MK_MS) /* somebody wrote so lately: his commits come first */
#define PAUSE_MAX_NS (50 * MK_MS)

struct mk_giving {
    struct mk_member *m;
    struct mk_snap_reader *reader;
    uint64_t index;
    struct mk_snap_info info;
    uint64_t until_ns;
    uint64_t sent_ns, pause_ns; /* when the last chunk left; how long the next one waits for it */
    struct mk_timer pause;
    bool given;                /* it has had the last chunk */
    uint64_t wants[WANTS_MAX]; /* offsets; a ring */
    unsigned first, n;
    struct mk_work work;
    bool working;
    /* work's own while it works */
    uint64_t offset;
    struct mk_buf chunk;
    int status;
};

static void send_chunk(struct mk_member *m, uint64_t index, uint64_t offset, struct mk_bytes bytes)
{
    struct mk_member_message msg = {
        .tag = mk_member_message_SnapChunk,
        .u.snap_chunk = {.index = index, .offset = offset, .bytes = bytes},
    };

    mk_member_send(m, &msg);
}

void mk_snap_give_stop(struct mk_member *m)
{
    struct mk_giving *x = m->giving;

    if (x == NULL)
        return;
    m->giving = NULL;
    mk_timer_stop(&x->pause);
    if (x->working)
        mk_work_cancel(&x->work);
    mk_snap_close(x->reader);
    mk_buf_done(&x->chunk);
    mk_free(x);
}

bool mk_snap_gives(const struct mk_group *g)
{
    for (unsigned i = 0; i < g->n_members; i++)
        if (g->members[i]->giving != NULL)
            return true;
    return false;
}

uint64_t mk_snap_give_deadline(const struct mk_group *g)
{
    uint64_t at = UINT64_MAX;

    for (unsigned i = 0; i < g->n_members; i++)
        if (g->members[i]->giving != NULL && g->members[i]->giving->until_ns < at)
            at = g->members[i]->giving->until_ns;
    return at;
}

/* It is not needed any more: the asker has it, and the log. */
static bool is_over(const struct mk_group *g, const struct mk_member *m)
{
    uint64_t match;

    if (!m->giving->given || m->giving->n > 0 || m->giving->working)
        return false;
    if (!mk_group_leads(g))
        return true;
    match = mk_consensus_match(g->raft, m->raft_id);
    return match >= m->giving->index && match + g->trailing / 2 >= g->commit;
}

void mk_snap_give_old(struct mk_group *g)
{
    for (unsigned i = 0; i < g->n_members; i++) {
        struct mk_member *m = g->members[i];

        if (m->giving != NULL && (is_over(g, m) || mk_now(g->env) >= m->giving->until_ns))
            mk_snap_give_stop(m);
    }
}

/* It cannot be given any more. */
static void give_up(struct mk_giving *x, int status)
{
    struct mk_member *m = x->m;
    struct mk_group *g = m->g;
    struct mk_fault f = {{0}};

    send_chunk(m, x->index, x->offset, MK_BYTES(NULL, 0));
    if (status == MK_ECORRUPT) {
        (void)mk_snap_place(x->reader, x->offset / MK_SNAP_CHUNK, &f);
        mk_group_damaged(g, f.text);
        mk_snap_again(g);
    } else {
        mk_group_fail(g, status, "the snapshot could not be read");
    }
    mk_snap_give_stop(m);
}

static void give_next(struct mk_giving *x);

static void pause_over(struct mk_timer *t)
{
    give_next(mk_container_of(t, struct mk_giving, pause));
}

/* A chunk leaves: how long did it take, and is anybody else to be served meanwhile? */
static void note_sent(struct mk_giving *x)
{
    struct mk_group *g = x->m->g;
    uint64_t now = mk_now(g->env), took = now - x->sent_ns - x->pause_ns;

    x->pause_ns = 0;
    if (x->sent_ns != 0 && now < g->moved_ns + BUSY_NS)
        x->pause_ns = took < PAUSE_MAX_NS ? took : PAUSE_MAX_NS;
    x->sent_ns = now;
    if (x->pause_ns > 0)
        mk_timer_start(g->env, &x->pause, now + x->pause_ns);
}

static void read_done(struct mk_work *w)
{
    struct mk_giving *x = mk_container_of(w, struct mk_giving, work);

    x->working = false;
    if (x->status != 0) {
        give_up(x, x->status);
        return;
    }
    x->m->g->snaps.given_bytes += x->chunk.n;
    send_chunk(x->m, x->index, x->offset, mk_buf_bytes(&x->chunk));
    note_sent(x);
    x->given = x->given || x->offset + x->chunk.n == x->info.size;
    give_next(x);
}

static void read_run(struct mk_work *w)
{
    struct mk_giving *x = mk_container_of(w, struct mk_giving, work);

    mk_buf_clear(&x->chunk);
    x->status = mk_snap_chunk(x->reader, &x->chunk, x->offset / MK_SNAP_CHUNK);
}

static void send_table(struct mk_giving *x, uint64_t at)
{
    uint64_t size = mk_snap_chunks(x->info.size) * sizeof(struct mk_id);
    uint64_t n = at < size ? size - at : 0;

    if (n > MK_WIRE_CHUNK)
        n = MK_WIRE_CHUNK;
    send_chunk(x->m, x->index, x->info.size + at,
               MK_BYTES((const uint8_t *)mk_snap_table(x->reader) + (n > 0 ? at : 0), n));
}

static void give_next(struct mk_giving *x)
{
    while (!x->working && !x->pause.armed && x->n > 0) {
        uint64_t offset = x->wants[x->first];

        x->first = (x->first + 1) % WANTS_MAX;
        x->n--;
        if (offset >= x->info.size) {
            send_table(x, offset - x->info.size);
            continue;
        }
        x->offset = offset;
        x->working = true;
        mk_work_start(x->m->g->env, &x->work);
    }
}

static int giving_open(struct mk_group *g, struct mk_member *m, uint64_t index,
                       struct mk_fault *reterr)
{
    struct mk_giving *x;
    int rv;

    if (m->giving != NULL && m->giving->index == index)
        return 0;
    mk_snap_give_stop(m);
    x = mk_alloc(sizeof *x);
    rv = mk_snap_open(g->disk, &x->reader, &x->info, index, reterr);
    if (rv != 0) {
        mk_free(x);
        return rv;
    }
    x->m = m;
    x->index = index;
    x->work = (struct mk_work){.run = read_run, .done = read_done};
    x->pause.cb = pause_over;
    m->giving = x;
    return 0;
}

void mk_snap_wanted(struct mk_group *g, struct mk_member *m, const struct mk_snap_want *w)
{
    struct mk_fault f = {{0}};
    struct mk_giving *x;
    int rv = g->raft == NULL ? MK_ENOTFOUND : giving_open(g, m, w->index, &f);

    if (rv != 0) {
        send_chunk(m, w->index, w->offset, MK_BYTES(NULL, 0));
        if (rv == MK_ECORRUPT) {
            mk_group_damaged(g, f.text);
            mk_snap_again(g);
        } else if (rv != MK_ENOTFOUND) {
            mk_group_fail(g, rv, "the snapshot could not be read");
        }
        return;
    }
    x = m->giving;
    x->until_ns = mk_now(g->env) + KEPT_NS;
    if (x->n == WANTS_MAX || (w->offset < x->info.size && w->offset % MK_SNAP_CHUNK != 0))
        return; /* nobody of us asks so */
    x->wants[(x->first + x->n++) % WANTS_MAX] = w->offset;
    give_next(x);
}
