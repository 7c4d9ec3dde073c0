/* rooting.h - the hashes of a large map, computed on other threads. */
#ifndef GROUP_ROOTING_H
#define GROUP_ROOTING_H

#include "collections/trie.h"
#include "env/env.h"

#define MK_ROOTING_MIN 4096u /* leaves below which it is not worth it */
#define MK_ROOTING_PARTS 64u
#define MK_ROOTING_LANES 2u

struct mk_rooting_lane {
    struct mk_rooting *r;
    unsigned first; /* its parts: this one, and each MK_ROOTING_LANES further */
    struct mk_work work;
    bool working;
};

/** All zero is idle. */
struct mk_rooting {
    struct mk_env *env;
    struct mk_trie_part parts[MK_ROOTING_PARTS];
    size_t n;
    unsigned busy; /* lanes */
    struct mk_rooting_lane lanes[MK_ROOTING_LANES];
    void (*cb)(void *arg);
    void *arg;
};

/** Hashes t, which nobody may change until cb, or mk_rooting_stop(). false: it is small, or hashed;
 * mk_trie_root() is quick then, and cb is not called. */
bool mk_rooting_start(struct mk_rooting *r, struct mk_env *e, struct mk_trie *t,
                      void (*cb)(void *arg), void *arg);
bool mk_rooting_busy(const struct mk_rooting *r);
/** What was computed is forgotten; cb is not called. */
void mk_rooting_stop(struct mk_rooting *r);

#endif
