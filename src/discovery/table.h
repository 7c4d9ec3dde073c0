/* table.h - the records that a node holds: sorted by key for digests and look-ups,
 * and in the order of their last change for passing them on.
 *
 *   v:      [peer a][peer b] ... [deployment x][deployment y] ... [revocations of z]     by key
 *   recent: b(seq 7) - x(seq 9) - a(seq 12)                               by seq
 *
 * Who brought a record counts against his share: one source may hold half of the
 * places and no more. Nothing that is held gives way to anything new, but for
 * what this node itself needs. */
#ifndef DISCOVERY_TABLE_H
#define DISCOVERY_TABLE_H

#include "discovery/record.h"

struct mk_record {
    struct mk_record_head head;
    struct mk_buf bytes;
    struct mk_buf rival;   /* a Deployment's other one of the same version, or empty */
    struct mk_id hash;     /* of both together */
    struct mk_peer source; /* who brought it */
    uint64_t seq;
    struct mk_list recent;
    void *value; /* the decoded bytes, once somebody asked; items in arena */
    struct mk_arena arena;
};

/** The decoded bytes (struct mk_peer_entry, struct mk_deployment); lent until the
 * record changes. */
const void *mk_record_value(struct mk_record *r);

struct mk_catalog_source;

struct mk_catalog {
    struct mk_record **v; /* sorted by key */
    size_t n, cap;
    size_t n_kind[MK_RECORD_KINDS], max_kind[MK_RECORD_KINDS];
    size_t bytes;
    struct mk_catalog_source *sources; /* sorted by peer */
    size_t n_sources, cap_sources;
    struct mk_list recent;
    uint64_t seq; /* of the last change */
};

/** max: how many of each kind it holds. */
void mk_catalog_init(struct mk_catalog *t, const size_t max[MK_RECORD_KINDS]);
void mk_catalog_done(struct mk_catalog *t);

struct mk_record *mk_catalog_find(const struct mk_catalog *t, const struct mk_record_key *key);
/** Index of the first record whose key is greater than `after` (NULL: of the first). */
size_t mk_catalog_after(const struct mk_catalog *t, const struct mk_record_key *after);

/** What mk_catalog_put would say, without doing it: for looking before verifying.
 *
 *  needed  this node wants it: takes a place from the biggest source when full.
 *
 * 0: news; MK_EEXISTS: known; MK_ESTALE: a newer one is known; MK_ELIMIT: a Deployment's
 * version jumps too far; MK_EFULL: no place, or the source has had its share;
 * MK_ECONFLICT: a Deployment of the same version with other bytes: news too. */
int mk_catalog_judge(const struct mk_catalog *t, const struct mk_record_head *head,
                     const struct mk_peer *source, bool needed);
/** Stores a verified record (bytes copied). As above; both 0 and MK_ECONFLICT changed
 * the table. */
int mk_catalog_put(struct mk_catalog *t, const struct mk_record_head *head, struct mk_bytes bytes,
                   const struct mk_peer *source, bool needed);

/** Drops what expired. Returns how many; *ret_next is when the next one does (wall ms),
 * UINT64_MAX when none will. */
size_t mk_catalog_purge(struct mk_catalog *t, uint64_t wall_ms, uint64_t *ret_next);

#endif /* DISCOVERY_TABLE_H */
