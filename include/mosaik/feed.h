/* feed.h - following a committee's Stream: the ordered, certified log of its commits
 * on one surface, served by any member (spec/committees.md, "Two kinds of stream").
 * A producer's own stream is in stream.h. */
#ifndef MOSAIK_FEED_H
#define MOSAIK_FEED_H

#include <mosaik/machine.h>
#include <mosaik/network.h>

struct mk_feed;

enum mk_feed_from {
    MK_FEED_OLDEST /* retained */,
    MK_FEED_NEWEST /* only what comes */,
    MK_FEED_AFTER /* where another feed stood */
};

/** Where a feed stands: keep it (it is plain memory), and go on there another time, in another
 * process too. */
struct mk_feed_cursor {
    struct mk_id surface, deployment; /* that was followed */
    uint64_t index;                   /* of the last commit that was handed out; 0: none was */
    struct mk_id commit;
};

struct mk_feed_cbs {
    /** A certified item, in order. Lent. */
    void (*item)(struct mk_feed *f, uint64_t index, struct mk_bytes item);
    /** Items that the retained history no longer held: told, never hidden. May be NULL. */
    void (*gap)(struct mk_feed *f, uint64_t first, uint64_t last);
    void (*ended)(struct mk_feed *f, int status, const struct mk_fault *fault);
};
struct mk_feed_options {
    enum mk_feed_from from;
    /** MK_FEED_AFTER: mk_feed_cursor() of an earlier feed on the surface. What followed comes, as
     * far as it is retained, and what is not is told (gap, mk_feed_lost()). Where another
     * deployment is bound by now, which began at 1: from its oldest. */
    struct mk_feed_cursor after;
};
/** spec: a stream, borrowed. o NULL: from the oldest retained. cbs NULL: for mk_feed_next_wait(). 0
 * at once; what cannot be served ends it (ended: MK_ERETIRED, MK_EREFUSED with the clause,
 * MK_ECONFLICT, ...). MK_EINVALID: the cursor is of another surface. */
int mk_feed_open(struct mk_bond *b, struct mk_feed **ret, const struct mk_surface_spec *spec,
                 const struct mk_feed_options *o, const struct mk_feed_cbs *cbs, void *owner);
/** Ends it, from a callback too; no call comes after it. */
void mk_feed_close(struct mk_feed *f);
/** What was given at mk_feed_open(). */
void *mk_feed_owner(const struct mk_feed *f);
/** Stops taking items: the member waits, nothing is lost within what is retained. It stays so until
 * it is said otherwise, whatever the bond does meanwhile. */
void mk_feed_pause(struct mk_feed *f, bool paused);
/** Blocks for the next item (opened without callbacks): copied into arena. MK_ETIMEDOUT, or why it
 * ended. */
int mk_feed_next_wait(struct mk_feed *f, struct mk_bytes *ret, uint64_t *ret_index,
                      uint32_t timeout_ms, struct mk_arena *arena, struct mk_fault *reterr);

/** Of a feed without callbacks: how many items before the last one taken were no longer retained.
 */
uint64_t mk_feed_lost(const struct mk_feed *f);
/** Behind the last item that was handed out (without callbacks: taken), or, while none was, where
 * it begins. Saved after an item was dealt with, nothing is missed and at most that item comes
 * twice. false: nothing is known yet, since no member has served it. */
bool mk_feed_cursor(const struct mk_feed *f, struct mk_feed_cursor *ret);

#endif /* MOSAIK_FEED_H */
