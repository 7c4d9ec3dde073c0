/* protocol.h - which protocols this build speaks, and how builds of different age live together.
 *
 *   links      each side names its oldest and newest protocol in the HELLO; the link speaks the
 *              newest that both know. Ranges that do not meet are refused, with both ranges.
 *   groups     a group works at one protocol, its level, which its log says (MK_LOGGED Level): 1
 *              from the founding on. The leader raises it by one as soon as every peer of the
 *              roster has named a newest protocol that is high enough; it never goes back. What
 *              is replicated (entries, snapshots) is of the level, not of the build that runs.
 *   snapshots  are of the level's form; a build reads those of all levels that it knows.
 *
 * So a committee is rolled from one build to the next member by member: as long as one is of the
 * old build the group stays at its level, and the last one to come lets it go on. A build reads
 * at least one protocol back: MK_PROTOCOL_OLDEST is below MK_PROTOCOL_NEWEST. A member that knows
 * less than its group's level is refused, and stops by itself, saying both numbers.
 *
 *   1  the first
 *   2  Check: a state hash that all members take at one entry; sessions that were used while
 *      machine time stood still age from when it goes on, and who has most sessions loses them */
#ifndef BASE_PROTOCOL_H
#define BASE_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

#define MK_PROTOCOL_OLDEST 1u
#define MK_PROTOCOL_NEWEST 2u
#define MK_PROTOCOL_CHECK 2u
#define MK_PROTOCOL_SESSIONS 2u

struct mk_protocols {
    uint16_t oldest, newest;
};
/** Of this build. In a file of its own, so that a test links a program of another age. */
extern const struct mk_protocols mk_protocols;

static inline bool mk_protocols_meet(struct mk_protocols a, struct mk_protocols b)
{
    return a.oldest <= b.newest && b.oldest <= a.newest;
}

#endif
