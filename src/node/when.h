/* when.h - the inside of conditions: what a node of the tree is. */
#ifndef NODE_WHEN_H
#define NODE_WHEN_H

#include "base/signal.h"
#include "node/network.h"
#include <mosaik/when.h>

struct mk_when_ops {
    bool (*holds)(const struct mk_when *w);
    /** Lets go of what is latched. NULL: a level. */
    void (*let_go)(struct mk_when *w);
    /** It is waited for from now on. NULL: let_go(), from an earlier wait, is enough. */
    void (*arm)(struct mk_when *w);
    /** It can never hold (again). */
    bool (*never)(const struct mk_when *w);
    void (*explain)(const struct mk_when *w, struct mk_buf *out);
    /** Frees w and what it owns. */
    void (*free)(struct mk_when *w);
};

struct mk_when {
    const struct mk_when_ops *ops;
    struct mk_env *env;
    struct mk_when *parent;
    /* Of a root: */
    struct mk_task task;
    void (*cb)(struct mk_when *w, bool met, void *arg); /* NULL: not started */
    void *arg;
    bool told;        /* what cb was told last */
    bool interrupted; /* the wait for it */
};

/** Something changed below: the root is looked at in this turn. */
void mk_when_touch(struct mk_when *w);

/* A leaf that looks at one object. */
struct mk_when_leaf {
    struct mk_when when;
    struct mk_watch watch; /* signal NULL: the object is gone */
    void *object;
    bool latched; /* events */
};
void mk_when_leaf_init(struct mk_when_leaf *l, const struct mk_when_ops *ops, struct mk_env *env,
                       struct mk_signal *signal, void *object);
static inline const struct mk_when_leaf *mk_leaf_of(const struct mk_when *w)
{
    return (const struct mk_when_leaf *)w;
}
static inline bool mk_leaf_gone(const struct mk_when *w)
{
    return mk_leaf_of(w)->watch.signal == NULL;
}
bool mk_leaf_never(const struct mk_when *w);
void mk_leaf_free(struct mk_when *w);
bool mk_leaf_latched(const struct mk_when *w);
void mk_leaf_let_go(struct mk_when *w);

#endif
