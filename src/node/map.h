/* map.h - a follower on a bond, and what a shape (collection.c) hooks into. */
#ifndef NODE_MAP_H
#define NODE_MAP_H

#include "node/network.h"
#include <mosaik/collection.h>
#include <mosaik/map.h>

/* Told instead of the callbacks `changed` and `synced`. None of them may close the map. */
struct mk_map_shape {
    void (*rebuilt)(struct mk_map_shape *s); /* the state is there, as a whole */
    void (*changed)(struct mk_map_shape *s, struct mk_bytes key, const struct mk_bytes *value);
    void (*cleared)(struct mk_map_shape *s);
    void (*committed)(struct mk_map_shape *s, uint64_t version); /* all of one commit was told */
};

struct mk_map {
    struct mk_bond_part part;
    struct mk_bond *bond; /* NULL once ended */
    struct mk_env *env;
    struct mk_signal signal;
    const struct mk_surface_spec *spec;
    struct mk_map_cbs cbs;
    void *owner;
    struct mk_follow *follow;
    bool synced;
    uint64_t version;
    int ended;
    struct mk_fault why;
    struct mk_map_shape *shape; /* NULL: a plain map */
    bool *gone;                 /* set when it is closed while changes are told */
};

/** Of a synced one: its verified keys and values, which may be ahead of what was told, and the
 * index that they are at. */
const struct mk_trie *mk_map_trie(const struct mk_map *m);
uint64_t mk_map_certified(const struct mk_map *m);
/** The map below a collection. */
struct mk_map *mk_collection_map(const struct mk_collection *c);

#endif
