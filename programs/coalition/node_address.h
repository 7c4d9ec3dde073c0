/* node_address.h - which node is meant: by its address, its folder, its file, or its peer id. */
#ifndef PROGRAMS_NODE_ADDRESS_H
#define PROGRAMS_NODE_ADDRESS_H

#include "agent.h"

/** The address "<peer hex>@host:port" of the node that word names, given from the arena:
 *
 *   <64 hex digits>@host:port   as it stands
 *   a node file, or a folder with a node.toml: its key's peer at what it advertises, or listens on
 *   with a (a coalition file, at `file`) also: a folder beside that file, as those of `up`; or the
 *   beginning, of eight digits or more, of one of the peers that it names
 *
 * A status, after a complaint that names these rules. a may be NULL. */
int node_address(struct agent *a, const char *file, const char *word, struct mk_arena *arena,
                 struct mk_str *ret);

#endif
