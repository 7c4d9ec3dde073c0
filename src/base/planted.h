/* planted.h - bugs that tests plant to see whether their checkers see them.
 *
 *     if (rv == 0 || MK_PLANTED(STALE_READ))
 *
 * In a release build MK_PLANTED() is the constant false and costs nothing; elsewhere it
 * compares one variable, which only tests set (mk_plant()). docs/simulation.md says how
 * soon each is caught. Never plant one where its absence is not a complete cure. */
#ifndef BASE_PLANTED_H
#define BASE_PLANTED_H

#include <stdbool.h>

enum mk_planted {
    MK_PLANTED_NONE,
    MK_PLANTED_DOUBLE_VOTE,       /* a vote is forgotten with the process */
    MK_PLANTED_WRONG_QUORUM,      /* a vote that was refused counts */
    MK_PLANTED_EARLY_ACK,         /* entries are acknowledged before they are durable */
    MK_PLANTED_LOST_TRUNCATION,   /* entries that replace others are not written */
    MK_PLANTED_STALE_READ,        /* a leader does not ask whether it still is one */
    MK_PLANTED_REORDERED_APPLY,   /* member 0 applies two entries the other way round, at times */
    MK_PLANTED_LOST_SESSIONS,     /* a snapshot forgets what was answered */
    MK_PLANTED_TIME_BACK,         /* machine time is what the last member said */
    MK_PLANTED_FORGED_HEAD,       /* members sign a state that they do not have, at times */
    MK_PLANTED_SIGNED_TWICE,      /* member 0 signs two heads for one index, at times */
    MK_PLANTED_UNBOUNDED_QUEUE,   /* commands on their way have no limit */
    MK_PLANTED_LONG_LEASE,        /* a lease lasts longer than the promises that it rests on */
    MK_PLANTED_TRANSFERRED_LEASE, /* a leader keeps its lease when it hands over */
    MK_PLANTED_BROKEN_PROMISE,    /* a vote is given although it was promised away */
    MK_PLANTED_QUIET_BEHIND,      /* a group falls quiet in any term, whoever holds what */
    MK_PLANTED_UNCHECKED_CHUNK,   /* a snapshot's chunk is not compared with its checksum */
};

#ifdef MK_PLANTED_BUGS
extern enum mk_planted mk_planted_now;
#define MK_PLANTED(bug) (mk_planted_now == MK_PLANTED_##bug)
#else
#define MK_PLANTED(bug) false
#endif

/** Plants it in this process. false: this build has none of them. */
bool mk_plant(enum mk_planted bug);

#endif
