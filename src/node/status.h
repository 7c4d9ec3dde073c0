/* status.h - the JSON object that a node, or an agent that listens, says of itself. */
#ifndef NODE_STATUS_H
#define NODE_STATUS_H

#include "node/network.h"

#include <jansson.h>

json_t *mk_json_hex(const void *p, size_t n); /* 32 bytes at most */
void mk_json_u64(json_t *o, const char *key, uint64_t v);
/** Appends the text; takes o. */
void mk_json_write(struct mk_buf *out, json_t *o);
/** What a network handle says of itself. Given. */
json_t *mk_network_json(struct mk_network *n);

#endif
