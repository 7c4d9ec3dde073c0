/* lines.h - commands of a test, a line each, on a tool's standard input; and numbers in them. */
#ifndef TEST_LINES_H
#define TEST_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINES_NUMBER_MAX ((uint64_t)1 << 53)
#define LINES_MAX 512u /* bytes of a line, its end included */

struct lines {
    char text[LINES_MAX];
    size_t n;
};

/** Reads what there is, and gives each whole line (ended by 0, lent for the call) to obey(arg).
 * False: standard input is at its end, or sends a line that is no command of ours. */
bool lines_read(struct lines *l, void (*obey)(void *arg, char *line), void *arg);
/** Digits alone, below LINES_NUMBER_MAX; -1: anything else. */
int lines_number(const char *text, uint64_t *ret);

#endif
