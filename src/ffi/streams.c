/* streams.c - feeds, producers, consumers (ffi.h). A consumer's items wait in a queue until
 * they are taken; above ITEMS_MAX of them it is paused, and the producer keeps its place. */
#include "ffi/ffi.h"

#include <mosaik/bytes.h>

#include <stdio.h>
#include <string.h>

#define ITEMS_MAX 1024u

int mkf_feed_open(struct mk_bond *b, struct mk_feed **ret, const struct mkf_surface *s, int from,
                  char *err)
{
    struct mk_feed_options o = {.from = from == 0 ? MK_FEED_OLDEST : MK_FEED_NEWEST};

    if (mkf_spec(s)->kind != MK_SURFACE_STREAM)
        return mk_fault(mkf_fault(err), MK_EINVALID, "a %s is followed as a collection",
                        mk_surface_kind_name(mkf_spec(s)->kind));
    return mk_feed_open(b, ret, mkf_spec(s), &o, NULL, NULL);
}

void mkf_feed_close(struct mk_feed *f)
{
    mk_feed_close(f);
}

int mkf_feed_next(struct mkf_agent *a, struct mk_feed *f, uint32_t timeout_ms, uint64_t *ret_index,
                  struct mkf_bytes *ret, char *err)
{
    struct mk_arena arena = {0};
    struct mk_bytes item;
    int rv = mk_feed_next_wait(f, &item, ret_index, timeout_ms, &arena, mkf_fault(err));

    if (rv == 0)
        mkf_lend(a, item, ret);
    mk_arena_done(&arena);
    return rv;
}

/* --- producers ----------------------------------------------------------------------------------
 */

int mkf_producer_open(struct mkf_agent *a, struct mk_producer **ret, const char *surface,
                      const char *stable_id, const uint8_t *acl, size_t acl_n, char *err)
{
    struct mk_producer_options o = {.acl = NULL};
    struct mk_acl_composition composition;
    struct mk_arena arena = {0};
    int rv = mkf_parse_id(&o.surface, "the surface", surface, err);

    if (rv == 0)
        rv = mkf_parse_id(&o.stable_id, "the stable id", stable_id, err);
    if (rv == 0)
        rv = mkf_acl(&composition, acl, acl_n, &arena, err);
    o.acl = &composition;
    if (rv == 0)
        rv = mk_producer_open(a->net, ret, &o);
    if (rv == MK_EEXISTS)
        mk_fault(mkf_fault(err), rv, "this agent has a producer of that surface");
    mk_arena_done(&arena);
    return rv;
}

void mkf_producer_close(struct mk_producer *p)
{
    mk_producer_close(p);
}

int mkf_producer_send(struct mk_producer *p, const uint8_t *item, size_t n, uint64_t *ret_number)
{
    if (n > MK_STREAM_ITEM_MAX)
        return MK_ELIMIT;
    *ret_number = mk_producer_send(p, MK_BYTES(item, n));
    return 0;
}

unsigned mkf_producer_subscribers(const struct mk_producer *p)
{
    struct mk_producer_stats s;

    mk_producer_stats(p, &s);
    return s.subscribers;
}

/* --- consumers
 * ------------------------------------------------------------------------------------ */

struct item {
    struct item *next;
    uint64_t number, lost;
    size_t n;
    uint8_t p[];
};

struct mkf_consumer {
    struct mkf_agent *agent;
    struct mk_consumer *consumer;
    struct mk_peer producer;
    struct item *first, **end;
    unsigned n;
    uint64_t lost; /* not told yet */
    bool refused;
    char why[MK_FAULT_MAX];
};

struct mk_consumer *mkf_consumer_of(struct mkf_consumer *c)
{
    return c->consumer;
}

static void on_item(struct mk_consumer *consumer, uint64_t seq, struct mk_bytes bytes)
{
    struct mkf_consumer *c = mk_consumer_owner(consumer);
    struct item *i = mk_alloc(sizeof *i + bytes.n);

    i->number = seq;
    i->lost = c->lost;
    c->lost = 0;
    i->n = bytes.n;
    memcpy(i->p, bytes.p, bytes.n);
    *c->end = i;
    c->end = &i->next;
    if (++c->n == ITEMS_MAX)
        mk_consumer_pause(consumer, true);
}

static void on_lost(struct mk_consumer *consumer, uint64_t first, uint64_t last)
{
    struct mkf_consumer *c = mk_consumer_owner(consumer);

    c->lost += last - first + 1;
}

static void on_state(struct mk_consumer *consumer, bool subscribed, unsigned close,
                     const char *detail)
{
    struct mkf_consumer *c = mk_consumer_owner(consumer);

    (void)close;
    c->refused = !subscribed && strstr(detail, "clause ") != NULL;
    snprintf(c->why, sizeof c->why, "%s", detail);
}

int mkf_consumer_open(struct mkf_agent *a, struct mkf_consumer **ret, const char *surface,
                      const char *stable_id, const char *peer, const char *address,
                      bool from_newest, const uint8_t *acl, size_t acl_n, char *err)
{
    static const struct mk_consumer_cbs cbs = {.item = on_item, .lost = on_lost, .state = on_state};
    struct mk_consumer_options o = {.address = address, .from_newest = from_newest};
    struct mk_acl_composition composition;
    struct mk_arena arena = {0};
    struct mkf_consumer *c;
    int rv = mkf_parse_id(&o.surface, "the surface", surface, err);

    if (rv == 0)
        rv = mkf_parse_id(&o.stable_id, "the stable id", stable_id, err);
    if (rv == 0 && mk_peer_unhex(&o.producer, mk_str_of(peer)) != 0)
        rv = mk_fault(mkf_fault(err), MK_EINVALID, "the peer is not 64 hex digits");
    if (rv == 0)
        rv = mkf_acl(&composition, acl, acl_n, &arena, err);
    if (rv != 0)
        goto out;
    o.acl = &composition;
    c = mk_alloc(sizeof *c);
    c->agent = a;
    c->producer = o.producer;
    c->end = &c->first;
    rv = mk_consumer_open(a->net, &c->consumer, &o, &cbs, c);
    if (rv == 0)
        *ret = c;
    else
        mk_free(c);
out:
    mk_arena_done(&arena);
    return rv;
}

static struct item *take(struct mkf_consumer *c)
{
    struct item *i = c->first;

    if (i == NULL)
        return NULL;
    c->first = i->next;
    if (c->first == NULL)
        c->end = &c->first;
    if (c->n-- == ITEMS_MAX)
        mk_consumer_pause(c->consumer, false);
    return i;
}

void mkf_consumer_close(struct mkf_consumer *c)
{
    struct item *i;

    while ((i = take(c)) != NULL)
        mk_free(i);
    mk_consumer_close(c->consumer);
    mk_free(c);
}

static bool has_item(void *arg)
{
    const struct mkf_consumer *c = arg;

    return c->first != NULL || c->refused;
}

int mkf_consumer_next(struct mkf_consumer *c, uint32_t timeout_ms, uint64_t *ret_number,
                      uint64_t *ret_lost, struct mkf_bytes *ret, char *err)
{
    char room[MK_FAULT_MAX];
    struct item *i;

    if (c->first == NULL) {
        c->refused = false; /* of an earlier attempt; it tries again by itself */
        mk_loop_run_until(c->agent->loop, has_item, c, timeout_ms);
    }
    i = take(c);
    if (i == NULL && c->refused)
        return mk_fault(mkf_fault(err), MK_EREFUSED, "%s", c->why);
    if (i == NULL) {
        mk_network_why_not(c->agent->net, &c->producer, room);
        return mk_fault(mkf_fault(err), MK_ETIMEDOUT, "no item within %u ms%s%s", timeout_ms,
                        room[0] != '\0' || c->why[0] != '\0' ? ": " : "",
                        room[0] != '\0' ? room : c->why);
    }
    *ret_number = i->number;
    *ret_lost = i->lost;
    mkf_lend(c->agent, MK_BYTES(i->p, i->n), ret);
    mk_free(i);
    return 0;
}
