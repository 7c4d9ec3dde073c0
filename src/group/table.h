/* table.h - a chained hash table of nodes that live in their owners' structs. Keys
 * come from strangers, so the hash is keyed with a seed; nobody iterates it. */
#ifndef GROUP_TABLE_H
#define GROUP_TABLE_H

#include <mosaik/id.h>

struct mk_table_node {
    struct mk_table_node *next;
    uint64_t hash;
};

/** All zero is an empty table (with seed 0). */
struct mk_table {
    struct mk_table_node **slots;
    size_t n;
    size_t n_slots; /* a power of two, or 0 */
    uint64_t seed;
};

void mk_table_done(struct mk_table *t); /* the nodes stay their owners' */
/** The hash of a (peer, session, number) under the table's seed. */
uint64_t mk_table_hash(const struct mk_table *t, const struct mk_peer *peer, uint64_t session,
                       uint64_t number);
void mk_table_add(struct mk_table *t, struct mk_table_node *n, uint64_t hash);
void mk_table_del(struct mk_table *t, struct mk_table_node *n);
/** The first node with this hash, and the next one; NULL at the end. */
struct mk_table_node *mk_table_first(const struct mk_table *t, uint64_t hash);
struct mk_table_node *mk_table_next(const struct mk_table_node *n);

#endif
