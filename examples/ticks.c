/* ticks.c - a stream between peers, both sides of it: what travels is declared once, a producer
 * sends without waiting for anybody, a consumer finds every producer through one contact, goes on
 * where it stood when links break, and is told whatever it missed.
 *
 *     ticks produce 50                    a tick every 100 ms; prints its address first
 *     ticks consume ADDRESS 10            ten ticks, of whichever producers there are */
#include <mosaik/loop.h>
#include <mosaik/machine.h>
#include <mosaik/stream.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What travels, and the surface it travels on: the same lines on both sides. */
#define TICK_TABLE(F, S) \
    F(S, mk_u64, number) \
    F(S, mk_text, words)
MK_STRUCT_DECLARE(tick, TICK_TABLE)
MK_STRUCT_DEFINE(tick, "Tick", TICK_TABLE)

static const struct mk_surface_spec ticks = {
    .kind = MK_SURFACE_STREAM, .name = "ticks", .value = &tick_type};
static const struct mk_id component = {{0x71, 0x1c}}; /* whoever runs this: a stable id */

static struct mk_fault fault;

static void must(int rv, const char *what)
{
    if (rv == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, fault.text[0] != '\0' ? fault.text : mk_strerror(rv));
    exit(1);
}

static void produce(struct mk_env *loop, unsigned long count)
{
    struct mk_producer_options o = {.surface = mk_surface_id(&ticks, &component),
                                    .retain_ms = 60000, /* who was away for less misses nothing */
                                    .slow = MK_SLOW_DROP};
    struct mk_producer *producer;
    struct mk_network *net;
    char hex[MK_ID_HEX];

    must(mk_network_open(loop, &net, &(struct mk_network_options){.listen = "127.0.0.1:0"}, &fault),
         "network");
    must(mk_producer_open(net, &producer, &o), "producer");
    printf("%s@127.0.0.1:%u\n", mk_peer_hex(mk_network_peer(net), hex), mk_network_port(net));
    fflush(stdout);
    for (unsigned long i = 1; i <= count; i++) {
        struct tick t = {.number = i, .words = MK_STR("tick tock")};

        mk_producer_send_datum(producer, &tick_type, &t);
        mk_loop_turn(loop, 0);
        mk_producer_wait_subscribed(producer, UINT32_MAX, 100); /* runs the loop for 100 ms */
    }
    mk_network_close(net);
}

struct consuming {
    unsigned long wanted, got;
};

static void item(struct mk_consumer *c, uint64_t seq, struct mk_bytes bytes)
{
    struct consuming *k = mk_consumer_owner(c);
    struct mk_arena arena = {0};
    char hex[MK_ID_HEX];
    struct tick t;

    if (k->got < k->wanted && mk_decode(&t, &tick_type, bytes, &arena, NULL) == 0) {
        k->got++;
        printf("%.8s %" PRIu64 ": %" PRIu64 " %.*s\n", mk_peer_hex(mk_consumer_producer(c), hex),
               seq, t.number, (int)t.words.n, t.words.p);
        fflush(stdout);
    }
    mk_arena_done(&arena);
}

static void lost(struct mk_consumer *c, uint64_t first, uint64_t last)
{
    char hex[MK_ID_HEX];

    fprintf(stderr, "%.8s: %" PRIu64 " to %" PRIu64 " were not to be had any more\n",
            mk_peer_hex(mk_consumer_producer(c), hex), first, last);
}

static void state(struct mk_consumer *c, bool subscribed, unsigned close, const char *detail)
{
    char hex[MK_ID_HEX];

    (void)close;
    if (!subscribed)
        fprintf(stderr, "%.8s: %s\n", mk_peer_hex(mk_consumer_producer(c), hex), detail);
}

static bool has_all(void *arg)
{
    const struct consuming *k = arg;

    return k->got >= k->wanted;
}

static void consume(struct mk_env *loop, const char *contact, unsigned long count)
{
    static const struct mk_consumer_cbs cbs = {.item = item, .lost = lost, .state = state};
    struct mk_gather_options o = {.consumer = {.surface = mk_surface_id(&ticks, &component)}};
    struct mk_str hint = {contact, strlen(contact)};
    struct consuming k = {.wanted = count};
    struct mk_gather *gather;
    struct mk_network *net;

    must(mk_network_open(loop, &net, &(struct mk_network_options){.hints = &hint, .n_hints = 1},
                         &fault),
         contact);
    must(mk_gather_open(net, &gather, &o, &cbs, &k), "gather");
    if (!mk_loop_run_until(loop, has_all, &k, 30000))
        must(MK_ETIMEDOUT, "ticks");
    mk_network_close(net);
}

int main(int argc, char **argv)
{
    struct mk_env *loop;

    if (argc < 3) {
        fprintf(stderr, "usage: ticks produce COUNT | ticks consume ADDRESS COUNT\n");
        return 2;
    }
    must(mk_loop_open(&loop, NULL, &fault), "loop");
    if (strcmp(argv[1], "produce") == 0)
        produce(loop, strtoul(argv[2], NULL, 10)); /* tidy: ok, an example */
    else
        consume(loop, argv[2], argc > 3 ? strtoul(argv[3], NULL, 10) : 10); /* tidy: ok, the same */
    mk_loop_free(loop);
    return 0;
}
