/* streams.c - feeds, producers, consumers (ffi.h). A consumer's items wait in a queue until
 * they are taken; above ITEMS_MAX of them it is paused, and the producer keeps its place. */
#include "ffi/ffi.h"

#include <mosaik/bytes.h>

#include <stdio.h>
#include <string.h>

#define ITEMS_MAX 1024u

/* --- cursors ------------------------------------------------------------------------------------
 * Texts: what it is of, then where, in hex and decimal digits with a colon between.
 *
 *   feed:<surface>:<deployment>:<index>:<commit>
 *   stream:<surface>:<producer>:<run>:<number>
 */

#define CURSOR_PARTS 4u

/** The parts after the word, all there: hex ids as wanted, numbers anything that strtoull takes. */
static int cursor_parts(const char *text, const char *word, char parts[CURSOR_PARTS][MK_ID_HEX])
{
    size_t n = strlen(word);

    if (strncmp(text, word, n) != 0)
        return MK_EMALFORMED;
    text += n;
    for (unsigned i = 0; i < CURSOR_PARTS; i++) {
        n = strcspn(text + 1, ":");
        if (text[0] != ':' || n == 0 || n >= MK_ID_HEX)
            return MK_EMALFORMED;
        memcpy(parts[i], text + 1, n);
        parts[i][n] = '\0';
        text += 1 + n;
    }
    return text[0] == '\0' ? 0 : MK_EMALFORMED;
}

static int cursor_number(uint64_t *ret, const char *digits)
{
    struct mk_str s = mk_str_of(digits);
    uint64_t value = 0;

    for (size_t i = 0; i < s.n; i++) {
        unsigned d = (unsigned char)s.p[i] - '0';

        if (d > 9 || value > (UINT64_MAX - d) / 10)
            return MK_EMALFORMED;
        value = value * 10 + d;
    }
    *ret = value;
    return 0;
}

static int feed_cursor_parse(struct mk_feed_cursor *ret, const char *text, char *err)
{
    char p[CURSOR_PARTS][MK_ID_HEX];

    if (cursor_parts(text, "feed", p) != 0 || mk_id_unhex(&ret->surface, mk_str_of(p[0])) != 0 ||
        mk_id_unhex(&ret->deployment, mk_str_of(p[1])) != 0 ||
        cursor_number(&ret->index, p[2]) != 0 || mk_id_unhex(&ret->commit, mk_str_of(p[3])) != 0)
        return mk_fault(mkf_fault(err), MK_EMALFORMED, "after: this is no cursor of a feed");
    return 0;
}

static void put_hex(struct mk_buf *b, const uint8_t p[32])
{
    struct mk_id id;
    char hex[MK_ID_HEX];

    memcpy(id.b, p, sizeof id.b);
    mk_buf_printf(b, ":%s", mk_id_hex(&id, hex));
}

/* --- feeds --------------------------------------------------------------------------------------
 */

int mkf_feed_open(struct mk_bond *b, struct mk_feed **ret, const struct mkf_surface *s, int from,
                  const char *after, char *err)
{
    struct mk_feed_options o = {.from = from == 0 ? MK_FEED_OLDEST : MK_FEED_NEWEST};
    int rv;

    if (mkf_spec(s)->kind != MK_SURFACE_STREAM)
        return mk_fault(mkf_fault(err), MK_EINVALID, "a %s is followed as a collection",
                        mk_surface_kind_name(mkf_spec(s)->kind));
    if (after != NULL) {
        o.from = MK_FEED_AFTER;
        rv = feed_cursor_parse(&o.after, after, err);
        if (rv != 0)
            return rv;
    }
    rv = mk_feed_open(b, ret, mkf_spec(s), &o, NULL, NULL);
    if (rv == MK_EINVALID)
        mk_fault(mkf_fault(err), rv, "after: the cursor is of another surface");
    return rv;
}

void mkf_feed_close(struct mk_feed *f)
{
    mk_feed_close(f);
}

int mkf_feed_next(struct mkf_agent *a, struct mk_feed *f, uint32_t timeout_ms, uint64_t *ret_index,
                  uint64_t *ret_lost, bool *ret_anew, struct mkf_bytes *ret, char *err)
{
    struct mk_feed_cursor before, here;
    bool had = mk_feed_cursor(f, &before);
    struct mk_arena arena = {0};
    struct mk_bytes item;
    int rv = mk_feed_next_wait(f, &item, ret_index, timeout_ms, &arena, mkf_fault(err));

    if (rv == 0) {
        mkf_lend(a, item, ret);
        *ret_lost = mk_feed_lost(f);
        *ret_anew =
            had && mk_feed_cursor(f, &here) && !mk_id_eq(&before.deployment, &here.deployment);
    }
    mk_arena_done(&arena);
    return rv;
}

void mkf_feed_cursor(struct mkf_agent *a, const struct mk_feed *f, struct mkf_bytes *ret)
{
    struct mk_feed_cursor c;

    mk_buf_clear(&a->lent);
    if (mk_feed_cursor(f, &c)) {
        mk_buf_printf(&a->lent, "feed");
        put_hex(&a->lent, c.surface.b);
        put_hex(&a->lent, c.deployment.b);
        mk_buf_printf(&a->lent, ":%llu", (unsigned long long)c.index);
        put_hex(&a->lent, c.commit.b);
    }
    *ret = mkf_bytes(mk_buf_bytes(&a->lent));
}

/* --- producers ----------------------------------------------------------------------------------
 */

static int take_limits(struct mk_producer_options *o, const struct mkf_limits *l, char *err)
{
    bool drop = strcmp(l->slow, "drop") == 0;

    if (!drop && strcmp(l->slow, "close") != 0)
        return mk_fault(mkf_fault(err), MK_EINVALID, "slow: \"close\" or \"drop\" is wanted");
    if (l->retain_bytes != 0 && l->retain_bytes < MK_STREAM_ITEM_MAX)
        return mk_fault(mkf_fault(err), MK_EINVALID,
                        "retain_bytes: at least one item of the largest size, %u, is wanted",
                        MK_STREAM_ITEM_MAX);
    o->retain_items = l->retain_items;
    o->retain_bytes = l->retain_bytes;
    o->retain_ms = l->retain_ms;
    o->subscribers_max = l->subscribers_max;
    o->online_at = l->online_at;
    o->slow = drop ? MK_SLOW_DROP : MK_SLOW_CLOSE;
    return 0;
}

int mkf_producer_open(struct mkf_agent *a, struct mk_producer **ret, const char *surface,
                      const char *stable_id, const struct mkf_limits *limits, const uint8_t *acl,
                      size_t acl_n, char *err)
{
    struct mk_producer_options o = {.acl = NULL};
    struct mk_acl_composition composition;
    struct mk_arena arena = {0};
    int rv = mkf_parse_id(&o.surface, "the surface", surface, err);

    if (rv == 0)
        rv = mkf_parse_id(&o.stable_id, "the stable id", stable_id, err);
    if (rv == 0)
        rv = take_limits(&o, limits, err);
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

bool mkf_producer_online(const struct mk_producer *p)
{
    return mk_producer_is_online(p);
}

struct within {
    const struct mk_producer *producer;
    uint64_t n;
};

static bool is_within(void *arg)
{
    const struct within *w = arg;
    struct mk_producer_stats s;

    mk_producer_stats(w->producer, &s);
    return s.lag_items_max <= w->n;
}

static void wake(struct mk_producer_when *w, struct mk_producer *p, bool holds)
{
    (void)w;
    (void)p;
    (void)holds; /* the loop has turned, and looks */
}

int mkf_producer_wait_within(struct mkf_agent *a, struct mk_producer *p, uint64_t n,
                             uint32_t timeout_ms, char *err)
{
    struct mk_producer_when w = {.kind = MK_WHEN_WITHIN, .n = n, .cb = wake};
    struct within within = {p, n};
    struct mk_producer_stats s;

    mk_producer_when(p, &w);
    mk_loop_run_until(a->loop, is_within, &within, timeout_ms);
    mk_producer_when_stop(&w);
    if (is_within(&within))
        return 0;
    mk_producer_stats(p, &s);
    return mk_fault(mkf_fault(err), MK_ETIMEDOUT, "after %u ms a subscriber is %llu items behind",
                    timeout_ms, (unsigned long long)s.lag_items_max);
}

/* --- consumers
 * ------------------------------------------------------------------------------------ */

struct item {
    struct item *next;
    uint64_t run, number, lost;
    bool anew;
    size_t n;
    uint8_t p[];
};

struct mkf_consumer {
    struct mkf_agent *agent;
    struct mk_consumer *consumer;
    struct mk_peer producer;
    struct mk_id surface;
    struct mk_stream_cursor cursor; /* of the last item taken; before the first, of the beginning */
    struct item *first, **end;
    unsigned n;
    uint64_t lost; /* not told yet */
    bool anew;     /* the same */
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
    struct mk_stream_cursor at;

    mk_consumer_cursor(consumer, &at);
    i->run = at.run;
    i->number = seq;
    i->lost = c->lost;
    i->anew = c->anew;
    c->lost = 0;
    c->anew = false;
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

static void on_restarted(struct mk_consumer *consumer)
{
    struct mkf_consumer *c = mk_consumer_owner(consumer);

    c->anew = true;
}

static void on_state(struct mk_consumer *consumer, bool subscribed, unsigned close,
                     const char *detail)
{
    struct mkf_consumer *c = mk_consumer_owner(consumer);

    (void)close;
    if (subscribed && c->cursor.run == 0)
        mk_consumer_cursor(consumer, &c->cursor);
    c->refused = !subscribed && strstr(detail, "clause ") != NULL;
    snprintf(c->why, sizeof c->why, "%s", detail);
}

static int stream_cursor_parse(struct mk_consumer_options *o, const char *text, char *err)
{
    char p[CURSOR_PARTS][MK_ID_HEX];
    struct mk_peer producer;
    struct mk_id surface;

    if (cursor_parts(text, "stream", p) != 0 || mk_id_unhex(&surface, mk_str_of(p[0])) != 0 ||
        mk_peer_unhex(&producer, mk_str_of(p[1])) != 0 || cursor_number(&o->run, p[2]) != 0 ||
        cursor_number(&o->after, p[3]) != 0 || o->run == 0)
        return mk_fault(mkf_fault(err), MK_EMALFORMED, "after: this is no cursor of a consumer");
    if (!mk_id_eq(&surface, &o->surface) || !mk_peer_eq(&producer, &o->producer))
        return mk_fault(mkf_fault(err), MK_EINVALID, "after: the cursor is of another stream");
    return 0;
}

void mkf_consumer_cursor(const struct mkf_consumer *c, struct mkf_bytes *ret)
{
    struct mk_buf *b = &c->agent->lent;

    mk_buf_clear(b);
    if (c->cursor.run != 0) {
        mk_buf_printf(b, "stream");
        put_hex(b, c->surface.b);
        put_hex(b, c->producer.b);
        mk_buf_printf(b, ":%llu:%llu", (unsigned long long)c->cursor.run,
                      (unsigned long long)c->cursor.last);
    }
    *ret = mkf_bytes(mk_buf_bytes(b));
}

int mkf_consumer_open(struct mkf_agent *a, struct mkf_consumer **ret, const char *surface,
                      const char *stable_id, const char *peer, const char *address,
                      bool from_newest, const char *after, const uint8_t *acl, size_t acl_n,
                      char *err)
{
    static const struct mk_consumer_cbs cbs = {
        .item = on_item, .lost = on_lost, .state = on_state, .restarted = on_restarted};
    struct mk_consumer_options o = {.address = address, .from_newest = from_newest};
    struct mk_acl_composition composition;
    struct mk_arena arena = {0};
    struct mkf_consumer *c;
    int rv = mkf_parse_id(&o.surface, "the surface", surface, err);

    if (rv == 0)
        rv = mkf_parse_id(&o.stable_id, "the stable id", stable_id, err);
    if (rv == 0 && mk_peer_unhex(&o.producer, mk_str_of(peer)) != 0)
        rv = mk_fault(mkf_fault(err), MK_EINVALID, "the peer is not 64 hex digits");
    if (rv == 0 && after != NULL)
        rv = stream_cursor_parse(&o, after, err);
    if (rv == 0)
        rv = mkf_acl(&composition, acl, acl_n, &arena, err);
    if (rv != 0)
        goto out;
    o.acl = &composition;
    c = mk_alloc(sizeof *c);
    c->agent = a;
    c->producer = o.producer;
    c->surface = o.surface;
    c->cursor = (struct mk_stream_cursor){o.run, o.after};
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
                      uint64_t *ret_lost, bool *ret_anew, struct mkf_bytes *ret, char *err)
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
    *ret_anew = i->anew;
    c->cursor = (struct mk_stream_cursor){i->run, i->number};
    mkf_lend(c->agent, MK_BYTES(i->p, i->n), ret);
    mk_free(i);
    return 0;
}
