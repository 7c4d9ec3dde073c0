/* vouch.c - the channel of the simulated world: no secrets, the world knows who
 * is at the other end. Frames travel as they are, so that a trace can show them. */
#include "net/chan.h"

#include <string.h>

static int vouch_step(struct mk_chan *c)
{
    (void)c;
    return 0;
}

static int vouch_read(struct mk_chan *c, uint8_t *out, size_t cap, size_t *ret_n)
{
    size_t n = c->in_n < cap ? c->in_n : cap;

    if (n > 0)
        memcpy(out, c->in, n);
    c->in += n;
    c->in_n -= n;
    *ret_n = n;
    return 0;
}

static int vouch_write(struct mk_chan *c, const uint8_t *p, size_t n)
{
    mk_buf_put(c->wire, p, n);
    return 0;
}

static void vouch_finish(struct mk_chan *c)
{
    (void)c;
}

static int vouch_exported(struct mk_chan *c, uint8_t ret[32])
{
    (void)c;
    memset(ret, 0, 32);
    return 0;
}

static void vouch_free(struct mk_chan *c)
{
    mk_free(c);
}

static const struct mk_chan_ops vouch_ops = {
    .step = vouch_step,
    .read = vouch_read,
    .write = vouch_write,
    .finish = vouch_finish,
    .exported = vouch_exported,
    .free = vouch_free,
};

struct mk_chan *mk_chan_vouched(struct mk_sock *s, struct mk_buf *wire)
{
    struct mk_peer peer;
    struct mk_chan *c;

    if (mk_sock_vouched(s, &peer) != 0)
        return NULL;
    c = mk_alloc(sizeof *c);
    c->ops = &vouch_ops;
    c->wire = wire;
    c->peer = peer;
    c->ready = true;
    return c;
}
