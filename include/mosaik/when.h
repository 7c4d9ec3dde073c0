/* when.h - conditions: "when the map reaches version 7", "when ten refunds above a threshold
 * came within 30 s", "when both, and two members of that kind are known".
 *
 *     struct mk_when *w = MK_WHEN_ALL(mk_when_online(cards), mk_when_reaches(jobs, 7));
 *
 *     mk_when_wait(w, 5000, &fault);           // blocks, with a deadline; or
 *     mk_when_start(w, on_met, self);          // calls back, again and again
 *     ...
 *     mk_when_free(w);
 *
 * A condition is a tree: leaves look at one object, inner nodes combine. It may be waited
 * for, started and stopped as often as wanted. Nothing polls: each object says when it
 * changed, and the tree is looked at once in that turn of the loop, however much changed.
 *
 * Two sorts of leaves. A *level* holds or does not: online, reaches, subscribed, tagged,
 * offered, a
 * window. An *event* (updated, appended, received) is latched from mk_when_start() or the
 * beginning of mk_when_wait() on, and let go again when the whole condition was met: then
 * it waits for the next one.
 *
 * A feed without callbacks keeps the items that came in a queue, and none come while that is
 * full (feed.h). So items that wait there count as well: for mk_when_appended() each once, from the
 * beginning of the wait on; for a window by when they came. Where none of a full queue passes, the
 * time-out says that they are to be taken first.
 *
 * An object may go before its conditions: from then on its leaves never hold (so "not
 * online" does), and a wait for what can never be ends with MK_ECLOSED. Filters and
 * predicates are called from inside the loop: they look, and call nothing. */
#ifndef MOSAIK_WHEN_H
#define MOSAIK_WHEN_H

#include <mosaik/collection.h>
#include <mosaik/feed.h>
#include <mosaik/node.h>
#include <mosaik/stream.h>

struct mk_when; /* given by its maker; mk_when_free() */

/* --- use ------------------------------------------------------------------------------- */

/** cb(w, true, arg) in a later turn when it is met, which may be at once, and whenever it is met
 * again; cb(w, false, arg) when a level ceases to hold. Everything is allowed in cb, mk_when_free()
 * too. Starting again forgets what was latched. Only for the root of a tree. */
void mk_when_start(struct mk_when *w, void (*cb)(struct mk_when *w, bool met, void *arg),
                   void *arg);
void mk_when_stop(struct mk_when *w); /* safe on one that is not started */
/** Does it hold now? An event holds while it is latched. */
bool mk_when_holds(const struct mk_when *w);
/** Blocks until it is met: 0; MK_ETIMEDOUT or MK_ECLOSED with what was missing. Not while it is
 * started. */
int mk_when_wait(struct mk_when *w, uint32_t timeout_ms, struct mk_fault *reterr);
/** From a filter or predicate that cannot go on: the mk_when_wait() that runs for the tree of w
 * ends with MK_ECANCELED. Without one, nothing. */
void mk_when_interrupt(struct mk_when *w);
/** What it waits for and how far that is, in words; appended. */
void mk_when_explain(const struct mk_when *w, struct mk_buf *out);
void mk_when_free(struct mk_when *w); /* the whole tree; NULL is fine */

/* --- combining ---------------------------------------------------------------------------- */

/** Take their operands. n is 1 .. MK_WHEN_OPERANDS_MAX. */
struct mk_when *mk_when_all(struct mk_when *const *v, size_t n);
struct mk_when *mk_when_any(struct mk_when *const *v, size_t n);
struct mk_when *mk_when_not(struct mk_when *w);
#define MK_WHEN_OPERANDS_MAX 64u
#define MK_WHEN_LIST_(...) ((struct mk_when *const[]){__VA_ARGS__})
#define MK_WHEN_ALL(...) \
    mk_when_all(MK_WHEN_LIST_(__VA_ARGS__), sizeof MK_WHEN_LIST_(__VA_ARGS__) / sizeof(void *))
#define MK_WHEN_ANY(...) \
    mk_when_any(MK_WHEN_LIST_(__VA_ARGS__), sizeof MK_WHEN_LIST_(__VA_ARGS__) / sizeof(void *))

/* --- components and collections --------------------------------------------------------------- */

struct mk_when *mk_when_bound(struct mk_bond *b);         /* at least one member is linked */
struct mk_when *mk_when_online(struct mk_collection *c);  /* verified state is there */
struct mk_when *mk_when_updated(struct mk_collection *c); /* event: its next version */
struct mk_when *mk_when_reaches(struct mk_collection *c, uint64_t version); /* or beyond */
/** Online, and pred(view, arg) says so. */
struct mk_when *mk_when_state(struct mk_collection *c,
                              bool (*pred)(const struct mk_view *v, void *arg), void *arg);

/* --- items: a committee's stream, a producer's stream -------------------------------------------
 */

/** At least `count` items that pass the filter came within the last window_ms. */
struct mk_when_window {
    uint32_t window_ms;
    uint32_t count;                                  /* 1 .. MK_WHEN_COUNT_MAX */
    bool (*filter)(struct mk_bytes item, void *arg); /* NULL takes every item */
    void *arg;
};
#define MK_WHEN_COUNT_MAX 65536u

/** Event: a certified item that passes the filter, as it comes or waiting to be taken. */
struct mk_when *mk_when_appended(struct mk_feed *f, bool (*filter)(struct mk_bytes item, void *arg),
                                 void *arg);
/** Level: enough certified items within the window; o is copied. */
struct mk_when *mk_when_feed_window(struct mk_feed *f, const struct mk_when_window *o);
/** Event: an item of a producer that passes the filter. */
struct mk_when *mk_when_received(struct mk_consumer *c,
                                 bool (*filter)(struct mk_bytes item, void *arg), void *arg);
/** As mk_when_feed_window(), of a producer's items. */
struct mk_when *mk_when_consumer_window(struct mk_consumer *c, const struct mk_when_window *o);
struct mk_when *mk_when_consuming(struct mk_consumer *c); /* subscribed to its producer */
/** The same over several producers of one stream. */
struct mk_when *mk_when_gathered(struct mk_gather *g, unsigned n); /* subscribed to at least n */
struct mk_when *mk_when_gather_received(struct mk_gather *g,
                                        bool (*filter)(struct mk_bytes item, void *arg), void *arg);
/** As mk_when_feed_window(), of all of them together. */
struct mk_when *mk_when_gather_window(struct mk_gather *g, const struct mk_when_window *o);

/* --- producers, discovery, members
 * ------------------------------------------------------------------ */

/** At least n subscribers (that pass pred, if it is not NULL). */
struct mk_when *mk_when_subscribed(struct mk_producer *p, unsigned n,
                                   bool (*pred)(const struct mk_subscriber_stats *s, void *arg),
                                   void *arg);
/** At least n other peers are known whose entry shows this tag (mk_id_of_text() of the word). */
struct mk_when *mk_when_tagged(struct mk_network *net, const struct mk_id *tag, unsigned n);
/** At least n other peers are known whose entry names this id: a surface that they serve, or a
 * deployment. */
struct mk_when *mk_when_offered(struct mk_network *net, const struct mk_id *id, unsigned n);
struct mk_when *mk_when_founded(struct mk_host *h); /* it leads, or follows a leader */
struct mk_when *mk_when_leads(struct mk_host *h);
/** This member's own surface is at that version or beyond. */
struct mk_when *mk_when_applied(struct mk_host *h, unsigned surface, uint64_t version);

#endif /* MOSAIK_WHEN_H */
