/* collection.h - Map, Vec, Set, Cell, Once and PriorityQueue: six shapes of one replicated
 * keyed store.
 *
 * A collection is a surface of a component (machine.h). Its state is keyed, with the trie,
 * the roots, the history, the snapshots, the proofs and the readers of a Map; a shape is
 * only how keys and values are used:
 *
 *     shape   key in the store             value in the store
 *     map     pc(K)                        pc(V)
 *     set     H(pc(T))                     pc(T)
 *     cell    (empty)                      pc(T)
 *     once    (empty)                      pc(T), never another one
 *     vec     a label that sorts like      pc(T)
 *             the place (identity of the
 *             element, not its index)
 *     queue   pc(K)                        varint priority, then pc(V)
 *
 * A write is a struct mk_op: what the writer means ("push back", "compare and exchange").
 * The machine turns it into what changes in the store, and that is the commit (MapOp in
 * spec/committees.md); so a reader needs to know nothing of pushing or exchanging, and one
 * write is one commit, whole or not at all.
 *
 *     struct mk_op op = {.tag = mk_op_PushBack, .u.push_back = {.items = {&item, 1}}};
 *     struct mk_written w;
 *     mk_collection_write_wait(bond, &jobs_spec, &op, MK_STEP_CERTIFIED, 5000, &w, &fault);
 *     mk_collection_wait(reader, w.version, 5000, &fault);    // the reader has it
 *
 * Here T, K, V are encoded by the caller (mk_encode); the store does not look inside. A command
 * names its surface by name and says of which kind and types the writer takes it to be: one that
 * takes it for another is refused, as what it wrote nobody could decode. A reader with another
 * spec has another surface id, and is told that there is none such. */
#ifndef MOSAIK_COLLECTION_H
#define MOSAIK_COLLECTION_H

#include <mosaik/machine.h>
#include <mosaik/network.h>

/* --- writes -------------------------------------------------------------------------- */

MK_BLOB_DECLARE(mk_op_key)   /* pc(K), up to MK_KEY_MAX */
MK_BLOB_DECLARE(mk_op_value) /* pc(V) or pc(T), up to MK_VALUE_MAX */
MK_OPTION_DECLARE(mk_opt_op_value, mk_op_value)
MK_SEQ_DECLARE(mk_op_keys, mk_op_key)
MK_SEQ_DECLARE(mk_op_values, mk_op_value)
#define MK_OP_ENTRY_TABLE(F, S) \
    F(S, mk_op_key, key)        \
    F(S, mk_op_value, value)
MK_STRUCT_DECLARE(mk_op_entry, MK_OP_ENTRY_TABLE)
MK_SEQ_DECLARE(mk_op_entries, mk_op_entry)
#define MK_OP_RANKED_TABLE(F, S)                     \
    F(S, mk_u64, priority) /* the lowest is first */ \
    F(S, mk_op_key, key)                             \
    F(S, mk_op_value, value)
MK_STRUCT_DECLARE(mk_op_ranked, MK_OP_RANKED_TABLE)
MK_SEQ_DECLARE(mk_op_ranked_list, mk_op_ranked)
#define MK_OP_BOUND_AT_TABLE(F, S) F(S, mk_u64, priority)
MK_STRUCT_DECLARE(mk_op_bound_at, MK_OP_BOUND_AT_TABLE)
#define MK_OP_BOUND_TABLE(F, S)                 \
    F(S, Included, 0, mk_op_bound_at, included) \
    F(S, Excluded, 1, mk_op_bound_at, excluded) \
    F(S, Unbounded, 2, mk_unit, unbounded)
MK_ENUM_DECLARE(mk_op_bound, MK_OP_BOUND_TABLE)

#define MK_OP_EXTEND_TABLE(F, S) F(S, mk_op_entries, entries) /* distinct keys; one commit */
MK_STRUCT_DECLARE(mk_op_extend, MK_OP_EXTEND_TABLE)
#define MK_OP_REMOVE_TABLE(F, S) F(S, mk_op_keys, keys) /* those that are there */
MK_STRUCT_DECLARE(mk_op_remove, MK_OP_REMOVE_TABLE)
#define MK_OP_EXCHANGE_TABLE(F, S)                                \
    F(S, mk_op_key, key)               /* empty of a cell */      \
    F(S, mk_opt_op_value, expected)    /* none: must be absent */ \
    F(S, mk_opt_op_value, replacement) /* none: removes it */
MK_STRUCT_DECLARE(mk_op_exchange, MK_OP_EXCHANGE_TABLE)
#define MK_OP_ITEMS_TABLE(F, S) F(S, mk_op_values, items)
MK_STRUCT_DECLARE(mk_op_items, MK_OP_ITEMS_TABLE)
#define MK_OP_WRITE_TABLE(F, S) F(S, mk_op_value, value)
MK_STRUCT_DECLARE(mk_op_write, MK_OP_WRITE_TABLE)
#define MK_OP_INSERT_AT_TABLE(F, S)                      \
    F(S, mk_u64, index) /* from 0; the length appends */ \
    F(S, mk_op_value, item)
MK_STRUCT_DECLARE(mk_op_insert_at, MK_OP_INSERT_AT_TABLE)
#define MK_OP_AT_TABLE(F, S) F(S, mk_u64, index) /* from 0 */
MK_STRUCT_DECLARE(mk_op_at, MK_OP_AT_TABLE)
#define MK_OP_SWAP_TABLE(F, S)           \
    F(S, mk_u64, a) /* indices from 0 */ \
    F(S, mk_u64, b)
MK_STRUCT_DECLARE(mk_op_swap, MK_OP_SWAP_TABLE)
#define MK_OP_ENQUEUE_TABLE(F, S) F(S, mk_op_ranked_list, entries) /* distinct keys */
MK_STRUCT_DECLARE(mk_op_enqueue, MK_OP_ENQUEUE_TABLE)
#define MK_OP_PRIORITY_TABLE(F, S) \
    F(S, mk_op_key, key)           \
    F(S, mk_u64, priority) /* the new one */
MK_STRUCT_DECLARE(mk_op_priority, MK_OP_PRIORITY_TABLE)
#define MK_OP_RANGE_TABLE(F, S)                         \
    F(S, mk_op_bound, start) /* priorities from here */ \
    F(S, mk_op_bound, end)   /* to here */
MK_STRUCT_DECLARE(mk_op_range, MK_OP_RANGE_TABLE)

/* Which shape takes it stands beside. What would change nothing is answered `unchanged` and makes
 * no commit: a key removed that is not there, an index past the end, a second write to a once. An
 * Exchange that does not match is refused. */
#define MK_OP_TABLE(F, S)                                                                          \
    F(S, Clear, 0, mk_unit, clear)              /* all but once */                                 \
    F(S, Extend, 1, mk_op_extend, extend)       /* map: sets each key */                           \
    F(S, Remove, 2, mk_op_remove, remove)       /* map, queue: keys; set: elements' pc(T) */       \
    F(S, Exchange, 3, mk_op_exchange, exchange) /* map, queue (value; the priority stays), cell */ \
    F(S, Add, 4, mk_op_items, add)              /* set */                                          \
    F(S, Write, 5, mk_op_write, write)          /* cell, once */                                   \
    F(S, PushBack, 6, mk_op_items, push_back)   /* vec: in the order of the items */               \
    F(S, PushFront, 7, mk_op_items,                                                                \
      push_front) /* vec: one after the other, so the last is first */                             \
    F(S, InsertAt, 8, mk_op_insert_at, insert_at) /* vec: index > length is refused */             \
    F(S, PopBack, 9, mk_unit, pop_back)           /* vec */                                        \
    F(S, PopFront, 10, mk_unit, pop_front)        /* vec */                                        \
    F(S, RemoveAt, 11, mk_op_at, remove_at)       /* vec */                                        \
    F(S, Swap, 12, mk_op_swap, swap)              /* vec */                                        \
    F(S, Truncate, 13, mk_op_at, truncate)        /* vec: to index elements */                     \
    F(S, Enqueue, 14, mk_op_enqueue, enqueue)     /* queue: an existing key gets both anew */      \
    F(S, Reprioritise, 15, mk_op_priority, reprioritise) /* queue: the value stays */              \
    F(S, Update, 16, mk_op_entry, update) /* queue: the priority stays; a key that is there */     \
    F(S, RemoveRange, 17, mk_op_range, remove_range) /* queue: priorities in it */                 \
    F(S, SetAt, 18, mk_op_insert_at, set_at)         /* vec: another value at an index */          \
    F(S, Append, 19, mk_op_items, append)            /* stream: each item is a commit of its own */
MK_ENUM_DECLARE(mk_op, MK_OP_TABLE)
#define MK_OP_APPEND_MAX 128u /* items of one Append */

/* What became of it: the surface's version (index of its last commit) after it, and whether the
 * state moved. */
#define MK_WRITTEN_TABLE(F, S)                                     \
    F(S, mk_u64, version)  /* index of the last commit after it */ \
    F(S, mk_bool, changed) /* false: it was so already */
MK_STRUCT_DECLARE(mk_written, MK_WRITTEN_TABLE)

/** Is this op one that a surface of that kind takes? */
bool mk_op_fits(enum mk_surface_kind kind, const struct mk_op *op);

/** In a machine's apply: does it to one of its surfaces (machine.h). Keys and values are copied.
 *   0             *ret says what became of it.
 *   MK_EREFUSED   not done; reterr has the rule: not an op of this shape, an Exchange that does not
 *                 match, an index past the end of a vec, a change of more bytes than one commit
 *                 takes. Nothing changed, so `return mk_refuse(a, "%s", fault.text)` is right.
 *   MK_ERETIRED */
int mk_collection_apply(struct mk_apply *a, unsigned surface, const struct mk_op *op,
                        struct mk_written *ret, struct mk_fault *reterr);

/* --- reading, alike in a machine and at a reader ------------------------------------------ */

struct mk_view; /* a collection's state at one version */

/** One's own surface, in apply and query; lent until the next mutation. Not of a stream. */
const struct mk_view *mk_surfaces_view(const struct mk_surfaces *s, unsigned surface);

/** Its shape, and how many entries it has. */
enum mk_surface_kind mk_view_kind(const struct mk_view *v);
size_t mk_view_count(const struct mk_view *v);
/** map, queue: the value of a key; cell, once: of an empty key; set: MK_ENOTFOUND or the element
 * itself. Lent. */
int mk_view_get(const struct mk_view *v, struct mk_bytes key, struct mk_bytes *ret_value);
/** All entries in the order of H(key), *cursor zero first; false at the end. Any shape; the key of
 * a set is the element, of a vec the label. */
bool mk_view_next(const struct mk_view *v, struct mk_id *cursor, struct mk_bytes *ret_key,
                  struct mk_bytes *ret_value);
/** vec: the element at an index. MK_ENOTFOUND past the end. */
int mk_vec_at(const struct mk_view *v, uint64_t index, struct mk_bytes *ret_value);
/** vec: where a value stands first; looks at each element. MK_ENOTFOUND. */
int mk_vec_index_of(const struct mk_view *v, struct mk_bytes value, uint64_t *ret_index);
/** queue: by rank, 0 the lowest priority, count - 1 the highest; of equal ones by key.
 * ret_priority, ret_key, ret_value may be NULL. MK_ENOTFOUND past the end. */
int mk_queue_at(const struct mk_view *v, uint64_t rank, uint64_t *ret_priority,
                struct mk_bytes *ret_key, struct mk_bytes *ret_value);
/** queue: of a key. MK_ENOTFOUND. */
int mk_queue_priority(const struct mk_view *v, struct mk_bytes key, uint64_t *ret_priority);

/* --- the ready-made machine ---------------------------------------------------------------- */

/* The command of a machine that is nothing but collections; its answer is a Written. */
#define MK_COLLECTION_COMMAND_TABLE(F, S) \
    F(S, mk_name, surface) /* its name */ \
    F(S, mk_op, op)                       \
    F(S, mk_id,                           \
      spec) /* mk_surface_id() of what the writer takes it for, under no component: ZERO */
MK_STRUCT_DECLARE(mk_collection_command, MK_COLLECTION_COMMAND_TABLE)

/** A machine whose surfaces are collections and whose commands are the writes above, for
 * mk_node_add(). specs are borrowed for its life; name and version as in machine.h. Given. */
struct mk_machine *mk_collections_machine_new(const char *name, uint32_t version,
                                              const struct mk_surface_spec *specs, unsigned n);

/* --- writing from outside ------------------------------------------------------------------- */

/** Blocks (network.h). 0 and *ret; MK_EREFUSED with the rule; what mk_execute_wait returns. */
int mk_collection_write_wait(struct mk_bond *b, const struct mk_surface_spec *spec,
                             const struct mk_op *op, enum mk_step step, uint32_t timeout_ms,
                             struct mk_written *ret, struct mk_fault *reterr);
/** The bytes to give to mk_execute(), and back from the outcome's answer: MK_EMALFORMED. */
void mk_collection_command_put(struct mk_buf *out, const struct mk_surface_spec *spec,
                               const struct mk_op *op);
/** Back from the answer of an outcome. MK_EMALFORMED: the machine is none of collections. */
int mk_written_read(struct mk_written *ret, struct mk_bytes answer, struct mk_fault *reterr);

/* --- following from outside --------------------------------------------------------------------
 * As a map is followed (map.h): a snapshot, then changes in order, each certified head held against
 * an own trie. */

struct mk_collection;

struct mk_collection_cbs {
    /** The first verified state is there; again after a gap or a new deployment. May be
     * NULL. */
    void (*synced)(struct mk_collection *c);
    /** The state is that of `version` now. May be NULL. */
    void (*updated)(struct mk_collection *c, uint64_t version);
    /** It ended, as in map.h. Close it. May be NULL. */
    void (*ended)(struct mk_collection *c, int status, const struct mk_fault *fault);
};
/** spec borrowed; any shape. cbs may be NULL. */
int mk_collection_open(struct mk_bond *b, struct mk_collection **ret,
                       const struct mk_surface_spec *spec, const struct mk_collection_cbs *cbs,
                       void *owner);
/** Ends it, from a callback too; no call comes after it. Its memory goes. */
void mk_collection_close(struct mk_collection *c);
/** What was given at mk_collection_open(). */
void *mk_collection_owner(const struct mk_collection *c);
bool mk_collection_online(const struct mk_collection *c); /* synced, and not ended */
/** Index of the last certified commit; machine time of its certificate, unix ms. */
uint64_t mk_collection_version(const struct mk_collection *c);
uint64_t mk_collection_time_ms(const struct mk_collection *c);
/** Lent until the loop is entered again; NULL while it is not online. */
const struct mk_view *mk_collection_view(const struct mk_collection *c);
/** Blocks until it is online and its version is at least `version` (0: any). MK_ETIMEDOUT, or why
 * it ended. */
int mk_collection_wait(struct mk_collection *c, uint64_t version, uint32_t timeout_ms,
                       struct mk_fault *reterr);

/** One entry without following, with a proof of presence or absence (map.h, mk_map_lookup_wait).
 *
 *  key  of a map or queue: pc(K); of a set: the element's pc(T); of a cell or once: empty; of a
 * vec: a label, which is an element's identity.
 *
 * Blocks. 0 and the value, copied into arena; MK_ENOTFOUND: proven absent; MK_EINVALID: a stream.
 */
int mk_collection_lookup_wait(struct mk_bond *b, const struct mk_surface_spec *spec,
                              struct mk_bytes key, uint64_t max_age_ms, uint32_t timeout_ms,
                              struct mk_bytes *ret, struct mk_arena *arena,
                              struct mk_fault *reterr);

#endif /* MOSAIK_COLLECTION_H */
