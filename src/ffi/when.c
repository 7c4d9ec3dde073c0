/* when.c - conditions (ffi.h). A filter of another language is a function without an
 * argument of its own, so it is passed as the argument of one that calls it. */
#include "ffi/ffi.h"

static bool call_filter(struct mk_bytes item, void *arg)
{
    bool (*filter)(const uint8_t *p, size_t n);

    *(void **)(void *)&filter = arg;
    return filter(item.p, item.n);
}

static void *as_argument(bool (*filter)(const uint8_t *p, size_t n))
{
    return *(void **)(void *)&filter;
}

struct mk_when *mkf_when_bound(struct mk_bond *b)
{
    return mk_when_bound(b);
}

struct mk_when *mkf_when_online(struct mk_collection *c)
{
    return mk_when_online(c);
}

struct mk_when *mkf_when_updated(struct mk_collection *c)
{
    return mk_when_updated(c);
}

struct mk_when *mkf_when_reaches(struct mk_collection *c, uint64_t version)
{
    return mk_when_reaches(c, version);
}

struct mk_when *mkf_when_subscribed(struct mk_producer *p, unsigned n)
{
    return mk_when_subscribed(p, n, NULL, NULL);
}

struct mk_when *mkf_when_tagged(struct mkf_agent *a, const char *hex, unsigned n)
{
    struct mk_id id = mk_id_of_text(mk_str_of(hex));

    return mk_when_tagged(a->net, &id, n);
}

struct mk_when *mkf_when_offered(struct mkf_agent *a, const char *hex, unsigned n)
{
    struct mk_id id = mk_id_of_text(mk_str_of(hex));

    return mk_when_offered(a->net, &id, n);
}

struct mk_when *mkf_when_appended(struct mk_feed *f, bool (*filter)(const uint8_t *p, size_t n))
{
    return mk_when_appended(f, filter != NULL ? call_filter : NULL, as_argument(filter));
}

static struct mk_when_window window(uint32_t window_ms, uint32_t count,
                                    bool (*filter)(const uint8_t *p, size_t n))
{
    return (struct mk_when_window){.window_ms = window_ms,
                                   .count = count,
                                   .filter = filter != NULL ? call_filter : NULL,
                                   .arg = as_argument(filter)};
}

struct mk_when *mkf_when_feed_window(struct mk_feed *f, uint32_t window_ms, uint32_t count,
                                     bool (*filter)(const uint8_t *p, size_t n))
{
    struct mk_when_window o = window(window_ms, count, filter);

    return mk_when_feed_window(f, &o);
}

struct mk_when *mkf_when_received(struct mkf_consumer *c,
                                  bool (*filter)(const uint8_t *p, size_t n))
{
    return mk_when_received(mkf_consumer_of(c), filter != NULL ? call_filter : NULL,
                            as_argument(filter));
}

struct mk_when *mkf_when_consumer_window(struct mkf_consumer *c, uint32_t window_ms, uint32_t count,
                                         bool (*filter)(const uint8_t *p, size_t n))
{
    struct mk_when_window o = window(window_ms, count, filter);

    return mk_when_consumer_window(mkf_consumer_of(c), &o);
}

struct mk_when *mkf_when_consuming(struct mkf_consumer *c)
{
    return mk_when_consuming(mkf_consumer_of(c));
}

struct mk_when *mkf_when_all(struct mk_when *const *v, size_t n)
{
    return mk_when_all(v, n);
}

struct mk_when *mkf_when_any(struct mk_when *const *v, size_t n)
{
    return mk_when_any(v, n);
}

struct mk_when *mkf_when_not(struct mk_when *w)
{
    return mk_when_not(w);
}

bool mkf_when_holds(const struct mk_when *w)
{
    return mk_when_holds(w);
}

int mkf_when_wait(struct mk_when *w, uint32_t timeout_ms, char *err)
{
    return mk_when_wait(w, timeout_ms, mkf_fault(err));
}

void mkf_when_interrupt(struct mk_when *w)
{
    mk_when_interrupt(w);
}

void mkf_when_explain(struct mkf_agent *a, const struct mk_when *w, struct mkf_bytes *ret)
{
    mk_buf_clear(&a->lent);
    mk_when_explain(w, &a->lent);
    *ret = mkf_bytes(mk_buf_bytes(&a->lent));
}

void mkf_when_free(struct mk_when *w)
{
    mk_when_free(w);
}
