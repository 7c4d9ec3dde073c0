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
    MK_FEED_AFTER /* a known commit */
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
    uint64_t after_index; /* MK_FEED_AFTER */
    struct mk_id after_commit;
};
/** spec: a stream, borrowed. o NULL: from the oldest retained. cbs NULL: for mk_feed_next_wait(). 0
 * at once; what cannot be served ends it (ended: MK_ERETIRED, MK_EREFUSED with the clause,
 * MK_ECONFLICT, ...). */
int mk_feed_open(struct mk_bond *b, struct mk_feed **ret, const struct mk_surface_spec *spec,
                 const struct mk_feed_options *o, const struct mk_feed_cbs *cbs, void *owner);
/** Ends it, from a callback too; no call comes after it. */
void mk_feed_close(struct mk_feed *f);
/** What was given at mk_feed_open(). */
void *mk_feed_owner(const struct mk_feed *f);
/** Stops taking items: the member waits, nothing is lost within what is retained. Of the deployment
 * that is followed now: after mk_bond_wait(), and again after another deployment. */
void mk_feed_pause(struct mk_feed *f, bool paused);
/** Blocks for the next item (opened without callbacks): copied into arena. MK_ETIMEDOUT, or why it
 * ended. */
int mk_feed_next_wait(struct mk_feed *f, struct mk_bytes *ret, uint64_t *ret_index,
                      uint32_t timeout_ms, struct mk_arena *arena, struct mk_fault *reterr);

#endif /* MOSAIK_FEED_H */
