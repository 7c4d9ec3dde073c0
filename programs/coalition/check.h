/* check.h - `coalition check WHAT`: commands that judge foreign data (spec/cli.md). They need
 * no network and no coalition. Each takes files or "-", prints one JSON object a judged item
 * with --json, and ends with 1 when an item is refused, with 2 when a file cannot be read.
 *
 * A check is one file check_<what>.c with one entry in the table of cmd_check.c. */
#ifndef PROGRAMS_CHECK_H
#define PROGRAMS_CHECK_H

#include "program.h"

int check_tdx(int argc, char **argv);
int check_eventlog(int argc, char **argv);
int check_jwt(int argc, char **argv);
int check_history(int argc, char **argv);

/** The bytes of a file that holds them raw or as hex digits (white space around them is
 * ignored); appended. A status; complains. */
int read_raw_or_hex(const char *path, struct mk_buf *ret);
/** Prints an item: with json one object, else "key: value" lines, without what is null.
 * Releases it. */
void print_item(json_t *taken, bool json);
/** Unix seconds: now. */
uint64_t unix_now(void);

#endif /* PROGRAMS_CHECK_H */
