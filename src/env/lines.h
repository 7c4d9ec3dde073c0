/* lines.h - cuts a stream of bytes into lines of bounded length. */
#ifndef ENV_LINES_H
#define ENV_LINES_H

#include <mosaik/bytes.h>

/** Set max; the rest zero. */
struct mk_lines {
    size_t max;        /* bytes of a line, without its end */
    struct mk_buf acc; /* what came and was not yet handed out */
    size_t head;       /* handed out of acc */
    bool skipping;     /* inside a line that was too long */
};

/** Adds bytes (copied). */
void mk_lines_put(struct mk_lines *l, const void *p, size_t n);
/** The next line without "\n" or "\r\n", lent until the next call on l: 0. MK_ELIMIT:
 * it was longer than max; ret is its beginning, and the rest of it is skipped.
 * MK_ENOTFOUND: no whole line there; with at_end, what is left is the last line. */
int mk_lines_next(struct mk_lines *l, struct mk_str *ret, bool at_end);
void mk_lines_done(struct mk_lines *l);

#endif
