/* chain.h - what a follower holds of one surface: the verified state, and what the
 * member in use has shown beyond it, which counts only once a certified head covers it.
 *
 *     verified (index, commit, map) ... base (index, commit, map) + pending commits
 *
 * The base is the verified point itself where a member continues there, or a point that
 * the member named: a snapshot's, or where a stream's retained history begins. Pure. */
#ifndef GROUP_CHAIN_H
#define GROUP_CHAIN_H

#include "collections/surface.h"

#define MK_CHAIN_PENDING_MAX (256u << 20)   /* bytes of commits that no certificate covers yet */
#define MK_CHAIN_SNAPSHOT_MAX (1024u << 20) /* bytes of keys and values of a snapshot */

struct mk_chain_commit {
    uint64_t index;
    struct mk_id before; /* the hash that it continues */
    struct mk_id hash;
    uint8_t *payload;
    uint32_t n_payload;
    bool marker;
};

struct mk_chain {
    bool is_map;
    struct mk_id schema, marker_digest;
    bool have; /* verified: */
    uint64_t index;
    struct mk_id commit;
    struct mk_trie map;
    bool based;
    bool fresh; /* the base is not the verified point */
    uint64_t base_index;
    struct mk_id base_commit;
    struct mk_trie base;
    struct mk_trie_edge edge; /* of base, while its items come in order */
    bool unordered;
    struct mk_chain_commit *v; /* pending, from v[first] on; the first n_verified are verified */
    size_t first, n, cap, bytes, n_verified;
};

void mk_chain_init(struct mk_chain *c, enum mk_surface_kind kind, const struct mk_id *schema);
void mk_chain_done(struct mk_chain *c);
/** Forgets what the member showed; the verified state stays, with commits not taken yet. */
void mk_chain_forget(struct mk_chain *c);
/** The member continues at the verified point. */
void mk_chain_continue(struct mk_chain *c);
/** The member begins at a point of its own; a map's items follow. */
void mk_chain_begin(struct mk_chain *c, uint64_t index, const struct mk_id *commit);
/** One item of a snapshot, one commit. 0; MK_ESIGNATURE or MK_ELIMIT with what is wrong. Copied. */
int mk_chain_item(struct mk_chain *c, struct mk_bytes key, struct mk_bytes value,
                  struct mk_fault *reterr);
int mk_chain_push(struct mk_chain *c, struct mk_bytes payload, bool marker,
                  struct mk_fault *reterr);
/** Index of the last commit that the member showed. */
uint64_t mk_chain_last(const struct mk_chain *c);

/** Holds what was shown against a certified head (whose certificate was accepted).
 *   0             it adds up: the verified state is that of the head; *ret_fresh: it came by way of
 * a base of the member's own. The commits between are taken with mk_chain_take(). MK_ENOTFOUND what
 * was shown does not reach the head, or begins beyond it. MK_ESIGNATURE it does not add up; reterr
 * says what. Nothing moved. */
int mk_chain_certify(struct mk_chain *c, const struct mk_head *head, bool *ret_fresh,
                     struct mk_fault *reterr);
/** The next verified commit, in order; given: mk_free(ret->payload). false: no more. */
bool mk_chain_take(struct mk_chain *c, struct mk_chain_commit *ret);

#endif
