/* net_rogue.c - see net_rogue.h. */
#include "net_rogue.h"

static void rogue_flush(struct rogue *r)
{
    if (r->wire.n > 0 && r->sock != NULL && !r->ended)
        mk_sock_write(r->sock, r->wire.p, r->wire.n);
    mk_buf_clear(&r->wire);
}

void rogue_send(struct rogue *r)
{
    assert_int_equal(r->chan->ops->write(r->chan, r->out.p, r->out.n), 0);
    mk_buf_clear(&r->out);
    rogue_flush(r);
}

void rogue_send_raw(struct rogue *r, const void *p, size_t n)
{
    mk_sock_write(r->sock, p, n);
}

static void rogue_frame(struct rogue *r, const struct mk_frame *f)
{
    r->n_frames[f->type]++;
    if (f->type == MK_FRAME_GOAWAY) {
        r->goaway = f->number;
        mk_frame_text(f, r->text);
    } else if (f->type == MK_FRAME_CLOSE) {
        r->closed_conv = f->conv;
        r->closed_code = f->number;
        mk_frame_text(f, r->text);
    } else if (f->type == MK_FRAME_PING && r->answers_pings) {
        mk_frame_put_token(&r->out, MK_FRAME_PONG, f->token);
        rogue_send(r);
    }
}

static void rogue_parse(struct rogue *r)
{
    struct mk_frame f;
    size_t used = 1;

    while (used > 0) {
        assert_int_equal(mk_frame_parse(r->plain.p, r->plain.n, &f, &used, NULL), 0);
        if (used > 0)
            rogue_frame(r, &f);
        mk_buf_drop_front(&r->plain, used);
    }
}

static void rogue_hello(struct rogue *r)
{
    if (!r->chan->ready || r->no_hello)
        return;
    r->no_hello = true;
    mk_frame_put_hello(&r->out, mk_protocols, &MK_UNIVERSE, r->instance);
    rogue_send(r);
}

static void rogue_read(struct mk_sock *s, const uint8_t *p, size_t n)
{
    struct rogue *r = s->owner;
    size_t got = 1;

    r->raw_in += n;
    if (r->chan == NULL)
        return;
    r->chan->in = p;
    r->chan->in_n = n;
    if (!r->chan->ready)
        (void)r->chan->ops->step(r->chan);
    rogue_flush(r);
    rogue_hello(r);
    while (r->chan->ready && got > 0) {
        uint8_t *at = mk_buf_grow(&r->plain, 32768);

        if (r->chan->ops->read(r->chan, at, 32768, &got) != 0)
            got = 0;
        r->plain.n -= 32768 - got;
        rogue_parse(r);
    }
}

static void rogue_writable(struct mk_sock *s)
{
    (void)s;
}

static void rogue_end(struct mk_sock *s, int status)
{
    struct rogue *r = s->owner;

    (void)status;
    r->ended = true;
}

static const struct mk_sock_cbs rogue_cbs = {rogue_read, rogue_writable, rogue_end};

static void rogue_start(struct rogue *r, struct mk_sock *s, bool dialer)
{
    r->connected = true;
    r->sock = s;
    s->cbs = &rogue_cbs;
    s->owner = r;
    if (r->mute)
        mk_sock_pause(s, true);
    if (r->raw)
        return;
    r->chan = r->tls != NULL ? mk_chan_tls(r->tls, dialer, &r->wire) : mk_chan_vouched(s, &r->wire);
    assert_non_null(r->chan);
    if (!r->chan->ready)
        assert_int_equal(r->chan->ops->step(r->chan), 0);
    rogue_flush(r);
    rogue_hello(r);
}

static void rogue_connect_cb(struct mk_connect *c, struct mk_sock *s, int status)
{
    struct rogue *r = mk_container_of(c, struct rogue, connect);

    if (status != 0)
        r->refused = true;
    else
        rogue_start(r, s, /* dialer= */ true);
}

static void rogue_accept(struct mk_listener *l, struct mk_sock *s)
{
    struct rogue *r = mk_container_of(l, struct rogue, listener);

    assert_null(r->sock);
    rogue_start(r, s, /* dialer= */ false);
}

struct rogue *rogue_new(struct bed *b, unsigned i, uint8_t key, bool raw)
{
    struct rogue *r = mk_alloc(sizeof *r);
    uint8_t seed[32];

    memset(seed, key, sizeof seed);
    mk_key_from_seed(&r->key, seed);
    r->bed = b;
    r->raw = raw;
    r->env = bed_stranger_env(b, i);
    memset(r->instance, key, sizeof r->instance);
    if (b->w != NULL)
        mk_env_vouch(r->env, &r->key.peer);
    if (b->kind != BED_VOUCHED && !raw)
        assert_int_equal(mk_tls_open(&r->tls, &r->key), 0);
    return r;
}

void rogue_dial(struct rogue *r, const char *address)
{
    r->connect.cb = rogue_connect_cb;
    assert_int_equal(mk_connect(r->env, &r->connect, address), 0);
}

void rogue_listen(struct rogue *r, const char *address)
{
    r->listener.accept = rogue_accept;
    assert_int_equal(mk_listen(r->env, &r->listener, address, NULL), 0);
}

static bool rogue_is_up(void *arg)
{
    struct rogue *r = arg;

    return r->n_frames[MK_FRAME_READY] > 0 || r->ended;
}

void rogue_link(struct rogue *r, struct bed_peer *p)
{
    rogue_dial(r, p->address);
    /* The lesser id judges; tests choose their rogue's key so that it is p's. */
    assert_true(mk_peer_cmp(&p->key.peer, &r->key.peer) < 0);
    assert_true(bed_until(r->bed, rogue_is_up, r, 10000));
    assert_false(r->ended);
}

/* On loopback the other side waits a while for us to end first. */
static bool rogue_was_told(void *arg)
{
    struct rogue *r = arg;

    return r->ended || (r->bed->w == NULL && r->n_frames[MK_FRAME_GOAWAY] > 0);
}

void rogue_expect(struct rogue *r, unsigned goaway)
{
    assert_true(bed_until(r->bed, rogue_was_told, r, 20000));
    assert_int_equal(r->n_frames[MK_FRAME_GOAWAY], 1);
    if (r->goaway != goaway)
        print_error("goaway says %s: %s\n", mk_close_name(r->goaway), r->text);
    assert_int_equal(r->goaway, goaway);
}

void rogue_free(struct rogue *r)
{
    if (r->chan != NULL)
        r->chan->ops->free(r->chan);
    if (r->sock != NULL)
        mk_sock_close(r->sock);
    else
        mk_connect_cancel(&r->connect);
    if (r->listener.accept != NULL)
        mk_listener_close(&r->listener);
    mk_tls_close(r->tls);
    mk_buf_done(&r->wire);
    mk_buf_done(&r->plain);
    mk_buf_done(&r->out);
    mk_free(r);
}
