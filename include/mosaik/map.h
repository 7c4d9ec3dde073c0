/* map.h - following a committee's Map from outside: a verified copy of it.
 *
 * The reader takes a snapshot, then changes in order; after each certified head its
 * own trie's root equals the head's, or the member that served it is dropped,
 * named, and another one is used. Nothing that no certificate covers is ever shown. */
#ifndef MOSAIK_MAP_H
#define MOSAIK_MAP_H

#include <mosaik/machine.h>
#include <mosaik/network.h>

struct mk_map;

struct mk_map_cbs {
    /** The first verified state is there (again after a gap or a new deployment). May be NULL. */
    void (*synced)(struct mk_map *m);
    /** A key changed: value.p is NULL when it was removed. Lent. Called once a head certified it.
     * May be NULL. */
    void (*changed)(struct mk_map *m, struct mk_bytes key, struct mk_bytes value, uint64_t version);
    /** It ended: MK_ERETIRED, MK_EREFUSED, MK_ECONFLICT, ... Close it. May be NULL. */
    void (*ended)(struct mk_map *m, int status, const struct mk_fault *fault);
};
/** spec borrowed. cbs may be NULL (then use the _wait functions). */
int mk_map_open(struct mk_bond *b, struct mk_map **ret, const struct mk_surface_spec *spec,
                const struct mk_map_cbs *cbs, void *owner);
/** Ends it, from a callback too; no call comes after it. */
void mk_map_close(struct mk_map *m);
/** What was given at mk_map_open(). */
void *mk_map_owner(const struct mk_map *m);

/** A verified copy is here. */
bool mk_map_synced(const struct mk_map *m);
uint64_t mk_map_version(const struct mk_map *m); /* index of the last certified commit */
uint64_t mk_map_time_ms(const struct mk_map *m); /* machine time of the newest certificate */
size_t mk_map_size(const struct mk_map *m);
/** lent until the loop is entered again. MK_ENOTFOUND. */
int mk_map_read(const struct mk_map *m, struct mk_bytes key, struct mk_bytes *ret_value);
/** All entries in the order of H(key): *cursor zero first. false at the end; lent as above. */
bool mk_map_each(const struct mk_map *m, struct mk_id *cursor, struct mk_bytes *ret_key,
                 struct mk_bytes *ret_value);
/** Blocks until synced with a head at most max_age_ms old (0: any age). MK_ESTALE, MK_ETIMEDOUT,
 * ... */
int mk_map_wait(struct mk_map *m, uint64_t max_age_ms, uint32_t timeout_ms,
                struct mk_fault *reterr);

/** One key without following the map: value with a proof of presence or absence, against a
 * certificate at most max_age_ms old (0: any age). Blocks. ret copied into arena. MK_ENOTFOUND is
 * proven absence. */
int mk_map_lookup_wait(struct mk_bond *b, const struct mk_surface_spec *spec, struct mk_bytes key,
                       uint64_t max_age_ms, uint32_t timeout_ms, struct mk_bytes *ret,
                       struct mk_arena *arena, struct mk_fault *reterr);

#endif /* MOSAIK_MAP_H */
