/* beat.h - the processes that share groups with this one, and whether they live.
 *
 * One conversation "beat" a pair of processes, whatever number of groups they share. While
 * groups of both are quiet (quiet.c), each says "I live" every MK_BEAT_MS; a process that is not
 * heard for MK_BEAT_SILENT_MS wakes all groups here that rest with it. */
#ifndef GROUP_BEAT_H
#define GROUP_BEAT_H

#include "group/group_int.h"

#define MK_BEAT_MS 100u
#define MK_BEAT_SILENT_MS 300u
#define MK_BEAT_RETRY_MS 1000u /* a conversation that ended is opened again after, if needed */

struct mk_process {
    struct mk_list node; /* of the hub */
    struct mk_hub *hub;
    struct mk_peer peer;
    struct mk_conv *conv;
    bool ready;       /* its hello came: it serves this protocol */
    unsigned resting; /* groups here that are quiet with it */
    uint64_t
        heard_ns; /* anything of it, on this conversation; or when the first of them fell quiet */
    uint64_t beat_ns; /* when we said last that we live */
    uint64_t retry_ns;
};

void mk_beats_open(struct mk_hub *h);
void mk_beats_close(struct mk_hub *h);
/** A member of a group came up there: the conversation is opened, if it is ours to open. */
void mk_beats_meet(struct mk_hub *h, const struct mk_peer *peer);
/** NULL: not met. */
struct mk_process *mk_beats_find(struct mk_hub *h, const struct mk_peer *peer);
/** A group falls quiet with it (+1), or wakes (-1). */
void mk_beats_rest(struct mk_process *p, int more);
/** Tells all processes whether somebody here waits for certificates of the group. */
void mk_beats_interest(struct mk_group *g, bool waits);

#endif
