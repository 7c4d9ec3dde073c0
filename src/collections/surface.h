/* surface.h - a component's surfaces as every replica holds them: commits with
 * their chained hashes, a map's state, the retained history that followers read.
 * Pure: no I/O. The group applies to it; snapshots carry it whole. */
#ifndef COLLECTIONS_SURFACE_H
#define COLLECTIONS_SURFACE_H

#include "collections/view.h"
#include <mosaik/machine.h>
#include <mosaik/retention.h>

#define MK_PAYLOAD_MAX (2 * MK_VALUE_MAX + MK_KEY_MAX + 16u) /* bytes of a commit: a CompareSet */

/** One commit. */
struct mk_commit {
    uint64_t index;
    struct mk_id hash;       /* commit hash */
    struct mk_id digest;     /* schema digest folded (a marker's differs) */
    struct mk_bytes payload; /* lent: stream item, or pc(MapOp) */
};

struct mk_surface {
    const struct mk_surface_spec *spec;
    struct mk_id id;
    struct mk_id schema;
    uint64_t index;      /* last commit, 0 for none */
    struct mk_id commit; /* its hash; the first previous when index is 0 */
    struct mk_trie map;  /* what is keyed, whatever its shape */
    struct mk_view view; /* of map, with what its shape needs beside it */
    bool retired;
    /* History: a ring of commits, oldest first; private. */
    struct mk_history *history;
    /* For heads: index and machine time at the last head that was signed here. */
    uint64_t head_index;
    uint64_t head_time_ms;
};

struct mk_surfaces {
    struct mk_id deployment;
    unsigned n;
    struct mk_surface *v;
};

/** commit hash = H("commit|" || V || "|" || previous || u64le index || schema_digest ||
 * H(payload)). */
struct mk_id mk_commit_hash(const struct mk_id *previous, uint64_t index,
                            const struct mk_id *digest, const struct mk_id *payload_hash);
/** The first previous: hash_many(surface id, deployment id). */
struct mk_id mk_commit_first(const struct mk_id *surface, const struct mk_id *deployment);

void mk_surfaces_init(struct mk_surfaces *s, const struct mk_surface_spec *specs, unsigned n,
                      const struct mk_id *stable_id, const struct mk_id *deployment);
void mk_surfaces_done(struct mk_surfaces *s);
/** More is to be kept than declared (retention.h). clock: machine time, borrowed. */
void mk_surfaces_retain(struct mk_surfaces *s, const struct mk_retention *more,
                        const uint64_t *clock);
/** Machine time goes on from was_ms to now_ms: see mk_history_age(). Nothing that is hashed, or
 * that a machine sees, changes. */
void mk_surfaces_age(struct mk_surfaces *s, uint64_t was_ms, uint64_t now_ms);
/** All but peer. */
void mk_surface_retained(const struct mk_surfaces *s, unsigned surface, struct mk_retained *ret);
/** By surface id; NULL when it is none of ours. */
struct mk_surface *mk_surfaces_find(struct mk_surfaces *s, const struct mk_id *id);

/** Applies a decoded MapOp to a trie, here or at a reader: MK_EREFUSED for a CompareSet that does
 * not match, else *ret_changed says whether the state moved. */
int mk_map_apply(struct mk_trie *t, const struct mk_map_op *op, bool *ret_changed);

/** One commit on a stream or, with the op already applied to the map, on a map. */
void mk_surface_commit(struct mk_surface *s, const struct mk_id *digest, struct mk_bytes payload);
/** Applies a decoded MapOp: changes the map and commits pc(op). MK_EREFUSED for a CompareSet
 * that does not match, MK_ERETIRED after the marker; *ret_changed false and no commit where nothing
 * changed. */
int mk_surface_map_op(struct mk_surface *s, const struct mk_map_op *op, bool *ret_changed);

/** The head of a surface as it stands. */
void mk_surface_head(struct mk_surface *s, struct mk_head *ret, const struct mk_id *deployment,
                     uint64_t epoch, uint64_t time_ms);

/** Retained history: the commit of an index; MK_ENOTFOUND when it is gone or not there yet. */
int mk_surface_commit_at(const struct mk_surface *s, uint64_t index, struct mk_commit *ret);
/** The commit hash at an index, from the one before the oldest retained commit on; MK_ENOTFOUND. */
int mk_surface_hash_at(const struct mk_surface *s, uint64_t index, struct mk_id *ret);
/** Index of the oldest retained commit; index + 1 when none is. */
uint64_t mk_surface_oldest(const struct mk_surface *s);

/** The digest of the retirement marker's schema. */
struct mk_id mk_marker_digest(void);

/** Deterministic bytes of all surfaces (maps in the order of H(key), histories), and back into
 * initialised empty ones. Strict; MK_EMALFORMED. */
void mk_surfaces_snapshot(struct mk_surfaces *s, struct mk_buf *out);
int mk_surfaces_restore(struct mk_surfaces *s, struct mk_bytes snapshot, struct mk_fault *reterr);

/** The same in pieces. Freezing costs O(surfaces + retained commits), whatever the maps hold; the
 * surfaces may change at once, and the frozen ones be read on another thread. */
struct mk_surfaces_frozen;
struct mk_surfaces_frozen *mk_surfaces_freeze(struct mk_surfaces *s);
/** Appends the next bytes to out until it holds `full` at least. false: that was the last. */
bool mk_surfaces_frozen_read(struct mk_surfaces_frozen *f, struct mk_buf *out, size_t full);
/** Before s is freed. NULL is fine. */
void mk_surfaces_thaw(struct mk_surfaces_frozen *f);

/** s (initialised, empty) from the same bytes as they come, in pieces of any size. */
struct mk_surfaces_filler;
struct mk_surfaces_filler *mk_surfaces_fill(struct mk_surfaces *s);
/** 0; MK_EMALFORMED: s is what it is then, to be freed. */
int mk_surfaces_fill_put(struct mk_surfaces_filler *f, struct mk_bytes piece,
                         struct mk_fault *reterr);
/** That was all: MK_EMALFORMED: no, it was not. Frees f, reterr or not. */
int mk_surfaces_fill_end(struct mk_surfaces_filler *f, struct mk_fault *reterr);
void mk_surfaces_fill_free(struct mk_surfaces_filler *f); /* given up; NULL is fine */
/** H over all surfaces' (index, commit, state root): replicas must agree at every log index. */
struct mk_id mk_surfaces_hash(struct mk_surfaces *s);

#endif
