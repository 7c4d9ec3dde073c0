/* diff.h - what changed between two coalition files, in the operators' words. */
#ifndef PROGRAMS_DIFF_H
#define PROGRAMS_DIFF_H

#include "program.h"

struct side {
    struct coa_coalition_file f;
    struct coa_coalition_ids ids;
};

struct diff {
    const struct side *old, *new;
    json_t *rotations; /* {kind, component} */
    json_t *moves;     /* {id, old, new} */
    json_t *advise;    /* text */
    json_t *steps;     /* text, in order */
    bool folded;       /* something that the fingerprint covers */
    bool content;      /* a member's content, not folded */
    bool anchors;      /* operators, first rosters */
    bool retired;      /* a member's stable id */
    bool renamed;
};

/** Finds rotations and moves. */
void diff_find(struct diff *d);
/** Then what to do about them. */
void diff_advise(struct diff *d);

#endif
