/* link.c - a whole link, fed with what the peer at its other end may send.
 *
 * The peer is vouched for and has said hello (or not: the first byte says); the rest
 * of the input arrives in pieces. What must hold, whatever comes: what the net
 * answers are frames, the last of them a GOAWAY when it ended the link for a rule;
 * credit is given back for nothing that was not taken; everything is freed. */
#include "env/env_ops.h"
#include "net/frame.h"
#include "net/net.h"
#include "targets.h"

#include <string.h>

/* --- a world of one connection --------------------------------------------------- */

struct link_world {
    struct mk_env env;
    struct mk_listener *listener;
    struct mk_sock sock;
    struct mk_peer other;
    struct mk_buf sent; /* by the net */
    uint64_t now;
    bool closed;
    unsigned n_convs;
    struct mk_key key;
    struct mk_net *net;
    struct mk_service echo, sink, shop;
};

static struct link_world *world_of(struct mk_env *e)
{
    return mk_container_of(e, struct link_world, env);
}

static uint64_t world_now(struct mk_env *e)
{
    return world_of(e)->now;
}

static void world_timer_start(struct mk_env *e, struct mk_timer *t, uint64_t at_ns)
{
    (void)e;
    (void)t;
    (void)at_ns;
}

static void world_timer_stop(struct mk_env *e, struct mk_timer *t)
{
    (void)e;
    (void)t;
}

static void world_entropy(struct mk_env *e, void *out, size_t n)
{
    (void)e;
    memset(out, 7, n);
}

static int world_sock_write(struct mk_sock *s, const void *p, size_t n)
{
    mk_buf_put(&world_of(s->env)->sent, p, n);
    return 0;
}

static void world_sock_close(struct mk_sock *s)
{
    FUZZ_CHECK(!world_of(s->env)->closed);
    world_of(s->env)->closed = true;
}

static const char *world_sock_remote(const struct mk_sock *s)
{
    (void)s;
    return "n1:1";
}

static int world_sock_vouched(const struct mk_sock *s, struct mk_peer *ret)
{
    *ret = world_of(s->env)->other;
    return 0;
}

static int world_listen(struct mk_env *e, struct mk_listener *l, const char *address,
                        struct mk_fault *reterr)
{
    (void)address;
    (void)reterr;
    world_of(e)->listener = l;
    return 0;
}

static void world_listener_close(struct mk_listener *l)
{
    (void)l;
}

static const struct mk_env_ops world_ops = {
    .now = world_now,
    .timer_start = world_timer_start,
    .timer_stop = world_timer_stop,
    .entropy = world_entropy,
    .sock_write = world_sock_write,
    .sock_close = world_sock_close,
    .sock_remote = world_sock_remote,
    .sock_vouched = world_sock_vouched,
    .listen = world_listen,
    .listener_close = world_listener_close,
};

/* --- the services ------------------------------------------------------------------ */

static void echo_message(struct mk_conv *c, struct mk_bytes m)
{
    mk_conv_consumed(c, m.n);
    if (mk_conv_send(c, m) == 0)
        return;
    ((struct link_world *)c->owner)->n_convs--;
    mk_conv_close(c, MK_CLOSE_SLOW, "no room for the answer");
}

static void sink_message(struct mk_conv *c, struct mk_bytes m)
{
    (void)c;
    FUZZ_CHECK(m.n <= MK_NET_MESSAGE_MAX);
}

static void any_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct link_world *w = c->owner;

    (void)close;
    FUZZ_CHECK(w->n_convs > 0);
    FUZZ_CHECK(strlen(detail) < MK_REASON_MAX);
    w->n_convs--;
}

static const struct mk_conv_cbs echo_cbs = {echo_message, NULL, any_closed};
static const struct mk_conv_cbs sink_cbs = {sink_message, NULL, any_closed};

static unsigned take(struct link_world *w, struct mk_conv *c, const struct mk_conv_cbs *cbs)
{
    c->cbs = cbs;
    c->owner = w;
    w->n_convs++;
    return 0;
}

static unsigned echo_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                            char detail[MK_REASON_MAX])
{
    (void)first;
    (void)detail;
    return take(mk_container_of(s, struct link_world, echo), c, &echo_cbs);
}

static unsigned sink_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                            char detail[MK_REASON_MAX])
{
    (void)first;
    (void)detail;
    return take(mk_container_of(s, struct link_world, sink), c, &sink_cbs);
}

static unsigned shop_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                            char detail[MK_REASON_MAX])
{
    (void)s;
    (void)c;
    memset(detail, 'r', MK_REASON_MAX); /* not even terminated */
    return 1 + (unsigned)first.n;
}

/* --- a run --------------------------------------------------------------------------- */

/* Their first byte: */
#define LINK_HELLO 1u  /* a hello goes before the input */
#define LINK_JUDGE 2u  /* they have the lesser id, and say READY */
#define LINK_TALK 4u   /* the net opens conversations of its own */
#define LINK_PIECES 8u /* byte by byte, or so */

static void world_open(struct link_world *w, bool theirs_is_less)
{
    struct mk_net_options o = {.key = &w->key, .network = MK_UNIVERSE, .vouched = true};
    uint8_t seed[32] = {1};

    mk_env_base_init(&w->env, &world_ops);
    w->now = 1000 * MK_S;
    mk_key_from_seed(&w->key, seed);
    memset(w->other.b, theirs_is_less ? 0 : 0xff, sizeof w->other.b);
    FUZZ_CHECK(mk_net_open(&w->env, &w->net, &o) == 0);
    w->echo = (struct mk_service){.proto = "echo", .accept = echo_accept};
    w->sink = (struct mk_service){.proto = "sink", .accept = sink_accept};
    w->shop = (struct mk_service){.proto = "shop", .accept = shop_accept};
    FUZZ_CHECK(mk_net_serve(w->net, &w->echo) == 0 && mk_net_serve(w->net, &w->sink) == 0 &&
               mk_net_serve(w->net, &w->shop) == 0);
    FUZZ_CHECK(mk_net_listen(w->net, "n0:1", NULL) == 0);
    w->sock.env = &w->env;
    w->listener->accept(w->listener, &w->sock);
    mk_env_run_tasks(&w->env);
}

static void world_feed(struct link_world *w, const uint8_t *p, size_t n)
{
    if (w->closed || n == 0)
        return;
    w->now += MK_MS;
    w->sock.cbs->read(&w->sock, p, n);
    mk_env_run_tasks(&w->env);
}

static void world_hello(struct link_world *w, bool ready)
{
    uint8_t instance[MK_FRAME_INSTANCE] = {1};
    struct mk_buf b = {0};

    mk_frame_put_hello(&b, mk_protocols, &MK_UNIVERSE, instance);
    if (ready)
        mk_frame_put_header(&b, MK_FRAME_READY, 0, 0);
    world_feed(w, b.p, b.n);
    mk_buf_done(&b);
}

static void world_talk(struct link_world *w)
{
    struct mk_link *l = mk_net_next_link(w->net, NULL);
    static const uint8_t block[40000];
    struct mk_conv *c;

    for (unsigned i = 0; l != NULL && i < 3; i++) {
        if (mk_conv_open(l, &c, "theirs", MK_BYTES(block, i), &sink_cbs, w) != 0)
            return;
        w->n_convs++;
        FUZZ_CHECK(mk_conv_send(c, MK_BYTES(block, sizeof block)) == 0);
    }
    mk_env_run_tasks(&w->env);
}

/* All that the net has sent are frames; the last says goodbye if it ended the link. */
static void check_sent(const struct link_world *w)
{
    const uint8_t *p = w->sent.p;
    size_t n = w->sent.n, used;
    struct mk_frame f = {0};

    while (n > 0) {
        FUZZ_CHECK(f.type != MK_FRAME_GOAWAY);
        FUZZ_CHECK(mk_frame_parse(p, n, &f, &used, NULL) == 0 && used > 0);
        p += used;
        n -= used;
    }
}

bool fuzz_link(const uint8_t *p, size_t n)
{
    struct link_world *w = mk_alloc(sizeof *w);
    uint8_t how = n > 0 ? p[0] : 0;
    struct mk_net_stats s;
    bool up;

    world_open(w, (how & LINK_JUDGE) != 0);
    if ((how & LINK_HELLO) != 0)
        world_hello(w, (how & LINK_JUDGE) != 0);
    if ((how & LINK_TALK) != 0)
        world_talk(w);
    for (size_t at = 1, piece; at < n; at += piece) {
        piece = (how & LINK_PIECES) != 0 ? 1u + p[at] % 16u : n - at;
        piece = piece < n - at ? piece : n - at;
        world_feed(w, p + at, piece);
    }
    up = mk_net_next_link(w->net, NULL) != NULL;
    FUZZ_CHECK(up || w->n_convs == 0);
    mk_net_stats(w->net, &s);
    FUZZ_CHECK(s.unfinished_bytes <= n);
    FUZZ_CHECK(s.links == (up ? 1 : 0));
    check_sent(w);
    mk_net_close(w->net);
    FUZZ_CHECK(w->n_convs == 0 && w->closed);
    check_sent(w);
    mk_env_drop_tasks(&w->env);
    mk_buf_done(&w->sent);
    mk_free(w);
    return up;
}

/* --- inputs that keep the rules ------------------------------------------------------- */

static void make_open(struct mk_buf *out, uint32_t conv, const char *proto, size_t n)
{
    size_t len = strlen(proto);

    mk_frame_put_header(out, MK_FRAME_OPEN, conv, 1 + len + n);
    mk_buf_put_u8(out, (uint8_t)len);
    mk_buf_put(out, proto, len);
    memset(mk_buf_grow(out, n), 'o', n);
}

static void make_data(struct fuzz_random *r, struct mk_buf *out, uint32_t conv)
{
    size_t n = 1 + fuzz_below(r, 300);
    bool more = fuzz_below(r, 3) == 0;

    mk_frame_put_header(out, MK_FRAME_DATA | (more ? MK_FRAME_MORE : 0), conv, n);
    memset(mk_buf_grow(out, n), 'd', n);
    if (!more)
        return;
    mk_frame_put_header(out, MK_FRAME_DATA, conv, n);
    memset(mk_buf_grow(out, n), 'e', n);
}

void fuzz_make_link(struct fuzz_random *r, struct mk_buf *out)
{
    static const char *const protos[] = {"echo", "sink", "shop", "none"};
    uint32_t next = 1;

    mk_buf_put_u8(out, (uint8_t)(LINK_HELLO | fuzz_below(r, 8) << 1));
    for (uint64_t left = 1 + fuzz_below(r, 12); left > 0; left--) {
        uint64_t kind = fuzz_below(r, 6);
        uint32_t conv = next == 1 ? 0 : 1 + 2 * (uint32_t)fuzz_below(r, next / 2);

        if (conv == 0 || kind == 0) {
            make_open(out, next, protos[fuzz_below(r, 4)], fuzz_below(r, 100));
            next += 2;
        } else if (kind == 1) {
            mk_frame_put_close(out, conv, (unsigned)fuzz_below(r, 30), "enough");
        } else if (kind == 2) {
            mk_frame_put_token(out, MK_FRAME_PING, fuzz_u64(r));
        } else {
            make_data(r, out, conv);
        }
    }
}
