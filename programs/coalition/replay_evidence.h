/* replay_evidence.h - the pointers that replayed logs carry, followed to the components they name.
 */
#ifndef PROGRAMS_REPLAY_EVIDENCE_H
#define PROGRAMS_REPLAY_EVIDENCE_H

#include "options.h"
#include "program.h"

#include <mosaik/replay.h>

/** A component of a member, replayed. */
struct replayed {
    char member[256]; /* its directory */
    char label[128];
    struct mk_id deployment;
    bool beside; /* of --with: it is there to be pointed at */
    struct mk_replay *r;
};

/** What became of the pointers. Of each committee the longest log counts. */
struct followed {
    size_t pointers, in_logs, live, not_followed, refused;
    bool has_broken; /* the first that its component never made: */
    const struct replayed *at;
    struct mk_replay_cite cite;
    char why[400];
    bool has_refused; /* the first whose command was refused for it */
    const struct replayed *refused_at;
    struct mk_replay_cite refused_cite;
};

/** Looks for each pointer in the logs, then, with live (a coalition file), asks the component
 * itself. A status, after a complaint, when the file cannot be used. */
int follow_evidence(struct followed *ret, const struct replayed *v, size_t n, const char *live,
                    const struct reach *reach);
json_t *followed_json(const struct followed *f);
void followed_print(const struct followed *f);

#endif
