/* cmd_stream.c - `coalition stream tail FILE COMPONENT SURFACE`: certified items of a committee's
 * stream; `stream tail --from ADDR --surface NAME` and `stream publish --surface NAME`: a
 * producer's own. */
#include "agent.h"
#include "collection.h"

#include "price-feed/price_feed.h"
#include <mosaik/input.h>
#include <mosaik/stream.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct input {
    struct words words;
    struct reach reach;
    const char *from, *surface, *listen;
    uint64_t count;
    bool oldest;
};

#define WANTED \
    "tail FILE COMPONENT SURFACE, tail --from ADDR --surface NAME, or publish --surface NAME is"

enum { OPT_FROM = 256, OPT_SURFACE, OPT_LISTEN, OPT_OLDEST };

static const struct argp_option options[] = {
    {"count", 'n', "N", 0, "End after N items", 0},
    {"oldest", OPT_OLDEST, NULL, 0, "Begin with the oldest retained item, not with what comes", 0},
    {"from", OPT_FROM, "ADDR", 0, "Tail: a producer, <peer hex>@host:port", 0},
    {"surface", OPT_SURFACE, "NAME", 0, "A producer's stream: its name, or its id in hex", 0},
    {"listen", OPT_LISTEN, "HOST:PORT", 0, "Publish: where subscribers reach us (127.0.0.1:0)", 0},
    OPTION_KEY,
    OPTION_TICKET,
    OPTION_ATTEST,
    OPTION_THROUGH,
    OPTION_TIMEOUT("Seconds to wait for the next item (10)"),
    OPTION_JSON("Print one JSON object an item"),
    {0}};

static const char *const verbs[] = {"tail", "publish", NULL};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    switch (key) {
    case 'n':
        if (parse_u64(&in->count, arg, UINT32_MAX) != 0 || in->count == 0)
            wrong_usage(state, "--count: a number above 0 is wanted");
        return 0;
    case OPT_OLDEST:
        in->oldest = true;
        return 0;
    case OPT_FROM:
        in->from = arg;
        return 0;
    case OPT_SURFACE:
        in->surface = arg;
        return 0;
    case OPT_LISTEN:
        in->listen = arg;
        return 0;
    default:
        if (parse_reach(key, arg, state, &in->reach) == 0)
            return 0;
        if (key == ARGP_KEY_END)
            check_verb(state, &in->words, verbs);
        if (key == ARGP_KEY_END && in->words.n > 0 && strcmp(in->words.v[0], "tail") == 0 &&
            in->from == NULL && in->words.n != 4)
            wrong_usage(state, WANTED " wanted");
        return parse_words(key, arg, state, &in->words, 1, 4, WANTED);
    }
}

/* --- a committee's -------------------------------------------------------------------------- */

static void print_tick(const struct price_tick *t, bool json)
{
    char price[64];
    json_t *o;

    price_decimal_format(&t->price, price);
    if (!json) {
        printf("%.*s/%.*s %s seq %" PRIu64 " at %" PRIu64 "%s\n", (int)t->pair.base.n,
               t->pair.base.p, (int)t->pair.quote.n, t->pair.quote.p, price, t->seq,
               t->timestamp_ms,
               !t->stale              ? ""
               : t->source_count <= 1 ? " (one source)"
                                      : " (stale)");
        return;
    }
    o = json_object();
    json_object_set_new(o, "pair",
                        json_sprintf("%.*s/%.*s", (int)t->pair.base.n, t->pair.base.p,
                                     (int)t->pair.quote.n, t->pair.quote.p));
    json_object_set_new(o, "price", json_string(price));
    json_object_set_new(o, "timestamp_ms", json_integer((json_int_t)t->timestamp_ms));
    json_object_set_new(o, "seq", json_integer((json_int_t)t->seq));
    json_object_set_new(o, "source_count", json_integer(t->source_count));
    json_object_set_new(o, "stale", json_boolean(t->stale));
    print_json(o);
}

/** A tick in words of its own, another item as its type has it. 0; or MK_EMALFORMED. */
static int print_item(const struct mk_surface_spec *spec, uint64_t index, struct mk_bytes item,
                      bool json)
{
    struct mk_arena arena = {0};
    struct price_tick t;
    json_t *value;
    char *text;
    int rv = 0;

    if (spec->value == &price_tick_type) {
        rv = mk_decode(&t, &price_tick_type, item, &arena, NULL);
        if (rv == 0)
            print_tick(&t, json);
        mk_arena_done(&arena);
        return rv;
    }
    value = datum_json(spec->value, item);
    if (json) {
        print_json(json_pack("{s:I, s:o}", "index", (json_int_t)index, "value", value));
        return 0;
    }
    text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    printf("%" PRIu64 " %s\n", index, text);
    free(text);
    json_decref(value);
    return 0;
}

/** One item, or none in time: *ret_n counts it. */
static int tail_one(const struct input *in, struct mk_feed *feed,
                    const struct mk_surface_spec *spec, uint64_t *ret_n)
{
    struct mk_arena arena = {0};
    struct mk_fault fault = {{0}};
    struct mk_bytes item;
    uint64_t index;
    int rv = mk_feed_next_wait(feed, &item, &index, in->reach.timeout_ms, &arena, &fault);

    if (rv == 0 && mk_feed_lost(feed) > 0)
        fprintf(stderr, "lost: %" PRIu64 " items before %" PRIu64 "\n", mk_feed_lost(feed), index);
    if (rv == 0)
        rv = print_item(spec, index, item, in->words.json);
    if (rv == 0) {
        flush_output();
        ++*ret_n;
    }
    mk_arena_done(&arena);
    if (rv == 0 || (rv == MK_ETIMEDOUT && in->count == 0))
        return 0;
    return complain_of(rv, &fault);
}

static int tail_committee(const struct input *in)
{
    const struct mk_surface_spec *spec = NULL;
    struct mk_feed_options o = {.from = in->oldest ? MK_FEED_OLDEST : MK_FEED_NEWEST};
    struct component c;
    struct mk_bond *bond;
    struct mk_feed *feed = NULL;
    struct agent a;
    uint64_t n = 0;
    int rv = agent_open(&a, in->words.v[1], &in->reach);

    if (rv == 0)
        rv = agent_bond(&a, in->words.v[2], in->reach.timeout_ms, &c, &bond);
    if (rv == 0)
        rv = agent_surface(&c, in->words.v[3], MK_SURFACE_STREAM, &spec);
    if (rv == 0)
        mk_feed_open(bond, &feed, spec, &o, NULL, NULL);
    while (rv == 0 && (in->count == 0 || n < in->count))
        rv = tail_one(in, feed, spec, &n);
    mk_feed_close(feed);
    agent_close(&a);
    return rv;
}

/* --- a producer's ------------------------------------------------------------------------------
 */

struct direct {
    const struct input *in;
    struct mk_env *loop;
    struct mk_network *net;
    struct mk_key key;
    struct attest attest;  /* empty without --attest */
    struct mk_arena arena; /* the tickets */
    struct mk_id surface;
    uint64_t n;
    uint64_t seen; /* items when the wait for the next one began */
    bool stop;
    char why[256];       /* why it is not subscribed */
    struct mk_peer from; /* whom it asks */
};

/** Why nothing came: what was said last of the subscription, or why there is no link. */
static const char *trouble(const struct direct *d, char room[MK_FAULT_MAX])
{
    mk_network_why_not(d->net, &d->from, room);
    return room[0] != '\0' ? room : d->why;
}

static int open_direct(struct direct *d, const char *listen, struct mk_fault *fault)
{
    struct mk_network_options o = {.listen = listen, .n_tickets = d->in->reach.n_tickets};
    bool hashed;
    int rv;

    if (d->in->surface == NULL || d->in->surface[0] == '\0')
        return mk_fault(fault, MK_EINVALID,
                        "--surface: the stream's name, or its id in 64 hex digits, is wanted; "
                        "`coalition stream --help` tells more");
    d->surface = id_of_word("--surface", d->in->surface, &hashed);
    rv = load_tickets(&d->in->reach, &o.tickets, &d->arena, fault);
    if (rv == 0 && d->in->reach.key != NULL) {
        rv = load_key(&d->key, d->in->reach.key, fault);
        o.key = &d->key;
    }
    if (rv == 0 && d->in->reach.attest != NULL) {
        rv = attest_load(&d->attest, d->in->reach.attest, fault);
        o.witness = &d->attest.options;
    }
    if (rv == 0)
        rv = mk_loop_open(&d->loop, NULL, fault);
    return rv != 0 ? rv : mk_network_open(d->loop, &d->net, &o, fault);
}

static void close_direct(struct direct *d)
{
    mk_network_close(d->net);
    mk_loop_free(d->loop);
    attest_done(&d->attest);
    mk_key_done(&d->key);
    mk_arena_done(&d->arena);
}

static void consumer_item(struct mk_consumer *c, uint64_t seq, struct mk_bytes item)
{
    struct direct *d = mk_consumer_owner(c);
    json_t *o;

    if (d->in->count > 0 && d->n >= d->in->count)
        return;
    d->n++;
    if (d->in->words.json) {
        o = json_object();
        json_object_set_new(o, "seq", json_integer((json_int_t)seq));
        json_object_set_new(o, "item", json_hex(item.p, item.n));
        print_json(o);
    } else {
        printf("%" PRIu64 " %.*s\n", seq, (int)item.n, (const char *)item.p);
    }
    flush_output();
}

static void consumer_lost(struct mk_consumer *c, uint64_t first, uint64_t last)
{
    (void)c;
    fprintf(stderr, "lost: items %" PRIu64 " to %" PRIu64 "\n", first, last);
}

static void consumer_restarted(struct mk_consumer *c)
{
    (void)c;
    fprintf(stderr, "the producer began anew: its numbers start over\n");
}

static void consumer_state(struct mk_consumer *c, bool subscribed, unsigned close,
                           const char *detail)
{
    struct direct *d = mk_consumer_owner(c);

    (void)close;
    snprintf(d->why, sizeof d->why, "%s", subscribed ? "" : detail);
    if (!subscribed)
        fprintf(stderr, "not subscribed: %s; trying again\n", detail);
}

static void stop_cb(void *arg, int signo)
{
    (void)signo;
    mk_loop_stop(arg);
}

static void tail_stop(void *arg, int signo)
{
    struct direct *d = arg;

    (void)signo;
    d->stop = true;
}

static bool tail_moved(void *arg)
{
    const struct direct *d = arg;

    return d->stop || d->n > d->seen;
}

/** Until the count is reached, a signal, or no item within the timeout (when a count was asked for,
 * or none ever came). */
static int follow_direct(struct direct *d)
{
    char room[MK_FAULT_MAX];
    const char *why;

    while (!d->stop && (d->in->count == 0 || d->n < d->in->count)) {
        d->seen = d->n;
        if (!mk_loop_run_until(d->loop, tail_moved, d, d->in->reach.timeout_ms) &&
            (d->in->count > 0 || d->n == 0)) {
            why = trouble(d, room);
            return complain(STATUS_TIMEOUT, "no item within %u ms%s%s", d->in->reach.timeout_ms,
                            why[0] != '\0' ? ": " : "", why);
        }
    }
    return 0;
}

static int tail_direct(const struct input *in)
{
    static const struct mk_consumer_cbs cbs = {.item = consumer_item,
                                               .lost = consumer_lost,
                                               .state = consumer_state,
                                               .restarted = consumer_restarted};
    struct direct d = {.in = in};
    struct mk_consumer_options o = {.from_newest = !in->oldest};
    struct mk_consumer *c;
    struct coa_contact contact;
    struct mk_fault fault = {{0}};
    int rv = coa_contact_parse(&contact, mk_str_of(in->from), &fault), status = 0;

    if (rv == 0)
        rv = open_direct(&d, NULL, &fault);
    if (rv == 0) {
        o.surface = d.surface;
        o.producer = d.from = contact.peer;
        o.address = strchr(in->from, '@') + 1;
        rv = mk_consumer_open(d.net, &c, &o, &cbs, &d);
    }
    if (rv == 0) {
        mk_loop_on_signal(d.loop, tail_stop, &d);
        status = follow_direct(&d);
        mk_consumer_close(c);
    }
    close_direct(&d);
    return rv != 0 ? complain_of(rv, &fault) : status;
}

struct publishing {
    struct direct d;
    struct mk_input input;
    struct mk_producer *producer;
};

static void publish_line(struct mk_input *input, struct mk_str line, int status)
{
    struct publishing *p = mk_container_of(input, struct publishing, input);

    if (status == 0)
        mk_producer_send(p->producer, MK_BYTES(line.p, line.n));
    else
        fprintf(stderr, "a line over %u bytes was skipped\n", MK_INPUT_LINE_MAX);
}

static void publish_end(struct mk_input *input, int status)
{
    (void)input;
    (void)status; /* subscribers may still be reading: Ctrl-C ends us */
}

static int publish(const struct input *in)
{
    struct publishing p = {.d = {.in = in}, .input = {.line = publish_line, .end = publish_end}};
    struct mk_producer_options o = {.slow = MK_SLOW_DROP};
    struct mk_fault fault = {{0}};
    char hex[MK_ID_HEX];
    int rv = open_direct(&p.d, in->listen != NULL ? in->listen : "127.0.0.1:0", &fault);

    o.surface = p.d.surface;
    if (rv == 0)
        rv = mk_producer_open(p.d.net, &p.producer, &o);
    if (rv == 0)
        rv =
            mk_input_open(p.d.loop, &p.input, &(struct mk_input_spec){.kind = MK_INPUT_FD}, &fault);
    if (rv == 0) {
        printf("%s@127.0.0.1:%u\n", mk_peer_hex(mk_network_peer(p.d.net), hex),
               mk_network_port(p.d.net));
        flush_output();
        mk_loop_on_signal(p.d.loop, stop_cb, p.d.loop);
        mk_loop_run(p.d.loop);
        mk_input_close(&p.input);
        mk_producer_close(p.producer);
    }
    close_direct(&p.d);
    return rv != 0 ? complain_of(rv, &fault) : 0;
}

int cmd_stream(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "tail FILE COMPONENT SURFACE\ntail --from ADDR --surface NAME\n"
        "publish --surface NAME",
        "Follow a committee's stream (each item covered by a certificate), or a producer's own "
        "(nobody else vouches "
        "for it); publish lines of standard input as a producer.",
        NULL,
        NULL,
        NULL};
    struct input in = {.reach.timeout_ms = TIMEOUT_MS_DEFAULT};

    parse_options(&argp, argc, argv, &in);
    if (strcmp(in.words.v[0], "tail") == 0)
        return in.from != NULL ? tail_direct(&in) : tail_committee(&in);
    return publish(&in);
}
