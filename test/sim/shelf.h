/* shelf.h - a committee of nodes in the simulated world whose one component has a collection
 * of each shape, and a stream: through the public interface, as a program would. */
#ifndef SIM_SHELF_H
#define SIM_SHELF_H

#include "world.h"

#include <mosaik/collection.h>
#include <mosaik/node.h>

#define SHELF_MEMBERS 3u

enum {
    SHELF_MAP,
    SHELF_VEC,
    SHELF_SET,
    SHELF_CELL,
    SHELF_ONCE,
    SHELF_QUEUE,
    SHELF_STREAM,
    SHELF_SCORES,
    SHELF_SURFACES
};
#define SHELF_SHAPES 6u
extern const struct mk_surface_spec shelf_specs[SHELF_SURFACES];

struct shelf;

struct shelf_member {
    struct shelf *c;
    unsigned i;
    struct mk_node *node;
    struct mk_host *host; /* NULL while it is down */
};

struct shelf {
    struct world *w;
    struct mk_key keys[SHELF_MEMBERS];
    struct mk_peer peers[SHELF_MEMBERS];
    struct mk_roster roster;
    char address[SHELF_MEMBERS][100];
    struct mk_str addresses[SHELF_MEMBERS];
    struct mk_id stable_id, deployment, content;
    struct shelf_member members[SHELF_MEMBERS];
    struct mk_id inner;                   /* the members' own network; zero: none */
    const struct mk_acl_composition *acl; /* from a member's next start on; NULL: open */
};

/** Members are nodes 0 .. SHELF_MEMBERS - 1 of a new world. */
struct shelf *shelf_new(uint64_t seed);
/** The same, whose members speak on a network of their own. */
struct shelf *shelf_new_private(uint64_t seed);
void shelf_free(struct shelf *c);
/** A network handle on a node of its own, and a bond to the shelf (ret_bond may be NULL). listen:
 * others may dial it. */
struct mk_network *shelf_agent(struct shelf *c, unsigned node, bool listen,
                               struct mk_bond **ret_bond);
/** How an agent names the shelf; addresses are borrowed from it. */
struct mk_reference shelf_reference(const struct shelf *c);
/** pc of a number, appended to b; lent from it. */
struct mk_bytes shelf_number(struct mk_buf *b, uint64_t n);
uint64_t shelf_value(struct mk_bytes pc);

#endif
