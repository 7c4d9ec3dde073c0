/* vectors.h - test data that is not ours to ship: MK_VECTORS names its folder. Tests that
 * need them call vectors_need() first and are reported as skipped without. */
#ifndef TEST_VECTORS_H
#define TEST_VECTORS_H

#include "unit.h"

#include <jansson.h>
#include <mosaik/bytes.h>

/** Skips the running test when there are none of that path. */
void vectors_need(const char *path);
/** Appends a file's bytes; fails the running test without. */
void vectors_read(const char *path, struct mk_buf *ret);
/** Names in a folder, sorted; how many. Skips the running test without. */
unsigned vectors_list(const char *folder, char (*ret)[64], unsigned max);
/** A JSON file; given. Skips the running test without. */
json_t *vectors_json(const char *path);

#endif /* TEST_VECTORS_H */
