/* table.h - the records that a node holds: sorted by key for digests and look-ups,
 * and in the order of their last change for passing them on.
 *
 *   v:      [peer a][peer b] ... [deployment x][deployment y] ... [revocations of z]     by key
 *   recent: b(seq 7) - x(seq 9) - a(seq 12)                               by seq
 *
 * Who brought a record counts against his share: one source may hold half of the places and no
 * more. In a full table what is new takes a place only from whoever holds most: of the network
 * groups (address.h) first, in it of the sources, there what came last; never what a peer said of
 * itself, never what has been held for MK_DISCOVERY_SETTLED_MS, and never from one that holds no
 * more than the newcomer's own source. So neither one source nor many of one place push the
 * others out. What this node itself needs takes a place in any case. */
#ifndef DISCOVERY_TABLE_H
#define DISCOVERY_TABLE_H

#include "discovery/record.h"

#include <string.h>

/** Who brings records: a peer, over a link from that group of addresses. */
struct mk_source {
    struct mk_peer peer;
    uint32_t group; /* mk_address_group(); 0: ourselves */
};

struct mk_record {
    struct mk_record_head head;
    struct mk_buf bytes;
    struct mk_buf rival;     /* a Deployment's other one of the same version, or empty */
    struct mk_id hash;       /* of both together */
    struct mk_source source; /* who brought it */
    uint64_t since_ns;       /* held since, its earlier versions counted */
    uint64_t seq;
    struct mk_record *next_hash; /* of the same chain */
    struct mk_list recent;
    void *value; /* the decoded bytes, once somebody asked; items in arena */
    struct mk_arena arena;
};

/** The decoded bytes (struct mk_peer_entry, struct mk_deployment); lent until the
 * record changes. */
const void *mk_record_value(struct mk_record *r);

struct mk_catalog_share;

struct mk_catalog {
    struct mk_record **v; /* sorted by key */
    size_t n, cap;
    size_t n_kind[MK_RECORD_KINDS], max_kind[MK_RECORD_KINDS];
    size_t bytes;
    struct mk_catalog_share *sources; /* sorted by group, then peer */
    size_t n_sources, cap_sources;
    struct mk_list recent;
    uint64_t seq;              /* of the last change */
    struct mk_record **chains; /* by the first 8 bytes of the hash; a power of two of them */
    size_t n_chains;
    uint64_t next_expiry_ms; /* nothing expires before */
    uint64_t displaced;      /* records that gave way, ever */
};

/** The short name under which gossip speaks of a record: the first 8 bytes of its hash. */
static inline uint64_t mk_record_short(const struct mk_id *hash)
{
    uint64_t v;

    memcpy(&v, hash->b, sizeof v);
    return v;
}

/** max: how many of each kind it holds. */
void mk_catalog_init(struct mk_catalog *t, const size_t max[MK_RECORD_KINDS]);
void mk_catalog_done(struct mk_catalog *t);

struct mk_record *mk_catalog_find(const struct mk_catalog *t, const struct mk_record_key *key);
/** Index of the first record whose key is greater than `after` (NULL: of the first). */
size_t mk_catalog_after(const struct mk_catalog *t, const struct mk_record_key *after);

/** The record of that short name, or NULL. */
struct mk_record *mk_catalog_by_hash(const struct mk_catalog *t, uint64_t hash);

/** What mk_catalog_put would say, without doing it: for looking before verifying.
 *
 *  needed  this node wants it: takes a place from the biggest source when full.
 *
 * 0: news; MK_EEXISTS: known; MK_ESTALE: a newer one is known; MK_ELIMIT: a Deployment's
 * version jumps too far; MK_EFULL: no place, or the source has had its share;
 * MK_ECONFLICT: a Deployment of the same version with other bytes: news too. */
int mk_catalog_judge(const struct mk_catalog *t, const struct mk_record_head *head,
                     const struct mk_source *source, uint64_t now_ns, bool needed);
/** Forgets a record that is held. */
void mk_catalog_forget(struct mk_catalog *t, const struct mk_record_key *key);
/** Stores a verified record (bytes copied). As above; both 0 and MK_ECONFLICT changed
 * the table. */
int mk_catalog_put(struct mk_catalog *t, const struct mk_record_head *head, struct mk_bytes bytes,
                   const struct mk_source *source, uint64_t now_ns, bool needed);

/** Drops what expired. Returns how many; *ret_next is when the next one does (wall ms),
 * UINT64_MAX when none will. */
size_t mk_catalog_purge(struct mk_catalog *t, uint64_t wall_ms, uint64_t *ret_next);

#endif /* DISCOVERY_TABLE_H */
