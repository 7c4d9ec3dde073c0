/* Where each bug is planted; what it takes to catch it is in docs/simulation.md. */
#include "planted.h"
#include "base/planted.h"
#include "store/frame.h"
#include "store/record.h"

#include <string.h>

/* A frame of the log whose records are terms and votes and nothing else. */
static bool is_vote(void *arg, const char *path, const void *p, size_t n)
{
    struct mk_bytes left, now = {0};
    struct mk_record r;
    bool any = false;

    (void)arg;
    (void)path;
    if (!mk_frame_peek(&left, MK_BYTES(p, n)))
        return false;
    while (mk_frame_record(&r, &left, &now)) {
        if (r.kind != MK_REC_TERM)
            return false;
        any = true;
    }
    return any && left.n == 0;
}

/* Writes that hold a term or vote and no entry are reported durable and are not (they
 * become so with the next sync, or are lost). */
static void skip_vote_sync(struct world *w, unsigned i)
{
    world_skip_sync(w, i, is_vote, NULL);
}

static void skip_snapshot_sync(struct world *w, unsigned i)
{
    world_skip_sync(w, i, world_path_contains, (void *)(uintptr_t) "snap/");
}

/* Member 0's disk turns a bit of each snapshot that it takes. */
static void turn_snapshots(struct world *w, unsigned i)
{
    if (i == 0)
        world_disk_turns(w, i, ".tmp");
}

bool planted_unequal;

static void unequal_machines(struct world *w, unsigned i)
{
    (void)w;
    (void)i;
    planted_unequal = true;
}

const struct planted planted_bugs[] = {
    {"skipped-vote-sync", "the sync of a vote is left out", 0, skip_vote_sync},
    {"skipped-snapshot-sync", "the sync of a snapshot is left out", 0, skip_snapshot_sync},
    {"unequal-machines", "a machine counts what the log does not say", 0, unequal_machines},
    {"double-vote", "a vote is forgotten with the process", MK_PLANTED_DOUBLE_VOTE, NULL},
    {"wrong-quorum", "a vote that was refused counts", MK_PLANTED_WRONG_QUORUM, NULL},
    {"early-ack", "entries are acknowledged before they are durable", MK_PLANTED_EARLY_ACK, NULL},
    {"lost-truncation", "entries that replace others are not written", MK_PLANTED_LOST_TRUNCATION,
     NULL},
    {"stale-read", "a leader does not ask whether it still is one", MK_PLANTED_STALE_READ, NULL},
    {"reordered-apply", "one member applies two entries the other way round",
     MK_PLANTED_REORDERED_APPLY, NULL},
    {"lost-sessions", "a snapshot forgets what was answered", MK_PLANTED_LOST_SESSIONS, NULL},
    {"time-back", "machine time is what the last member said", MK_PLANTED_TIME_BACK, NULL},
    {"forged-head", "members sign a state that they do not have", MK_PLANTED_FORGED_HEAD, NULL},
    {"signed-twice", "one member signs two heads for one index", MK_PLANTED_SIGNED_TWICE, NULL},
    {"quiet-behind", "a group falls quiet in any term, whoever holds what", MK_PLANTED_QUIET_BEHIND,
     NULL},
    {"unbounded-queue", "commands on their way have no limit", MK_PLANTED_UNBOUNDED_QUEUE, NULL},
    {"unchecked-chunk", "a snapshot's chunk is not compared with its checksum, and bits turn",
     MK_PLANTED_UNCHECKED_CHUNK, turn_snapshots},
    {"long-lease", "a lease lasts longer than the promises it rests on", MK_PLANTED_LONG_LEASE,
     NULL},
    {"transferred-lease", "a leader keeps its lease when it hands over",
     MK_PLANTED_TRANSFERRED_LEASE, NULL},
    {"broken-promise", "a vote is given although it was promised away", MK_PLANTED_BROKEN_PROMISE,
     NULL},
};
const unsigned planted_n = sizeof planted_bugs / sizeof planted_bugs[0];

const struct planted *planted_find(const char *name)
{
    for (unsigned i = 0; i < planted_n; i++)
        if (strcmp(planted_bugs[i].name, name) == 0)
            return &planted_bugs[i];
    return NULL;
}

bool planted_begin(const struct planted *p)
{
    return mk_plant((enum mk_planted)p->code);
}

void planted_on(const struct planted *p, struct world *w, unsigned nodes)
{
    for (unsigned i = 0; i < nodes && p->plant != NULL; i++)
        p->plant(w, i);
}
