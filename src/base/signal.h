/* signal.h - "something about this object changed", for whoever waits for a condition on it.
 *
 * A watch's callback notes and defers (mk_later); it never calls into the object. So a
 * signal may be raised in the middle of anything. */
#ifndef BASE_SIGNAL_H
#define BASE_SIGNAL_H

#include <mosaik/bytes.h>

struct mk_signal;

struct mk_watch {
    /** item: what came, lent; NULL: the object's state may have changed. */
    void (*cb)(struct mk_watch *w, const struct mk_bytes *item);
    struct mk_signal *signal; /* NULL: not watching, or the object is gone */
    struct mk_watch *next;
};

/** All zero has no watches. */
struct mk_signal {
    struct mk_watch *watches;
};

static inline void mk_signal_raise(struct mk_signal *s, const struct mk_bytes *item)
{
    for (struct mk_watch *w = s->watches; w != NULL; w = w->next)
        w->cb(w, item);
}

static inline void mk_watch_start(struct mk_signal *s, struct mk_watch *w)
{
    w->signal = s;
    w->next = s->watches;
    s->watches = w;
}

/** Safe on one that does not watch. */
static inline void mk_watch_stop(struct mk_watch *w)
{
    struct mk_watch **at;

    if (w->signal == NULL)
        return;
    for (at = &w->signal->watches; *at != w;)
        at = &(*at)->next;
    *at = w->next;
    w->signal = NULL;
}

/** The object goes: every watch is told once more, with its signal NULL. */
static inline void mk_signal_close(struct mk_signal *s)
{
    struct mk_watch *w;

    while ((w = s->watches) != NULL) {
        s->watches = w->next;
        w->signal = NULL;
        w->cb(w, NULL);
    }
}

#endif
