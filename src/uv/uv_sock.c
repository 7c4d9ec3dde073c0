/* A connection: one descriptor, one uv_poll, one buffer of what is to be sent.
 *
 * Writes go to the buffer and put the socket on the loop's dirty list; the end of the
 * turn sends the buffer with one call. Only what the kernel does not take makes us
 * wait for writability. Reads go through the loop's one large buffer.
 *
 * It can end in three ways: the other side ends (recv answers 0), recv fails, or send
 * fails (or the poll says so). In the last case there may still be something to read,
 * perhaps the reason, so the socket is put on the deferred list, read once more and then
 * ended from there. */
#include "uv/uv_env.h"

#include "base/assert.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

#define SOCK_READS_A_TURN 4u
#define SOCK_KEEP_CAP (128u << 10) /* an empty buffer larger than this is given back */

static struct mk_uv_sock *sock_of(const struct mk_sock *s)
{
    return s->impl;
}

static size_t sock_left(const struct mk_uv_sock *s)
{
    return s->out.n - s->out_head;
}

static void sock_poll_cb(uv_poll_t *p, int status, int events);

static void sock_update(struct mk_uv_sock *s)
{
    int events = 0;

    if (!s->ended && !s->paused)
        events |= UV_READABLE;
    if (!s->ended && s->blocked)
        events |= UV_WRITABLE;
    if (events == s->events)
        return;
    s->events = events;
    if (events == 0)
        uv_poll_stop(&s->poll);
    else
        uv_poll_start(&s->poll, events, sock_poll_cb);
}

static void sock_end(struct mk_uv_sock *s, int status)
{
    s->ended = true;
    mk_uv_defer_cancel(&s->broken);
    sock_update(s);
    s->base.cbs->end(&s->base, status);
}

/* Reads while there is something, within reason. */
static void sock_read(struct mk_uv_sock *s)
{
    for (unsigned i = 0; i < SOCK_READS_A_TURN && !s->closed && !s->ended && !s->paused; i++) {
        ssize_t n = recv(s->fd, s->env->read_buf, MK_UV_READ_CHUNK, 0);

        if (n > 0)
            s->base.cbs->read(&s->base, s->env->read_buf, (size_t)n);
        else if (n == 0)
            sock_end(s, s->failed ? MK_EIO : 0);
        else if (errno != EAGAIN && errno != EINTR)
            sock_end(s, MK_EIO);
        if (n < (ssize_t)MK_UV_READ_CHUNK)
            return;
    }
}

static void sock_broken_cb(struct mk_uv_deferred *d)
{
    struct mk_uv_sock *s = mk_container_of(d, struct mk_uv_sock, broken);

    s->paused = false;
    s->failed = true;
    sock_read(s);
    if (!s->closed && !s->ended)
        sock_end(s, MK_EIO);
}

static void sock_poll_cb(uv_poll_t *p, int status, int events)
{
    struct mk_uv_sock *s = mk_container_of(p, struct mk_uv_sock, poll);

    if (status != 0) { /* libuv has stopped the poll: read what is left, then end */
        s->events = 0;
        mk_uv_defer(s->env, &s->broken);
        return;
    }
    if ((events & UV_WRITABLE) != 0) {
        s->blocked = false;
        mk_uv_sock_flush(s);
    }
    if ((events & UV_READABLE) != 0 && !s->closed)
        sock_read(s);
}

/* All sent: the buffer starts anew. */
static void sock_out_reset(struct mk_uv_sock *s)
{
    s->out_head = 0;
    if (s->out.cap > SOCK_KEEP_CAP)
        mk_buf_done(&s->out);
    else
        mk_buf_clear(&s->out);
}

static void sock_send(struct mk_uv_sock *s)
{
    while (sock_left(s) > 0) {
        ssize_t n = send(s->fd, s->out.p + s->out_head, sock_left(s), MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            s->blocked = true;
            break;
        }
        if (n < 0) {
            sock_out_reset(s);
            mk_uv_defer(s->env, &s->broken);
            return;
        }
        s->out_head += (size_t)n;
    }
    if (sock_left(s) == 0) {
        sock_out_reset(s);
    } else if (s->out_head > s->out.n / 2) {
        mk_buf_drop_front(&s->out, s->out_head);
        s->out_head = 0;
    }
}

void mk_uv_sock_flush(struct mk_uv_sock *s)
{
    if (s->blocked || s->ended)
        return;
    sock_send(s);
    sock_update(s);
    if (s->full && sock_left(s) <= MK_SOCK_QUEUE_MAX / 2) {
        s->full = false;
        s->base.cbs->writable(&s->base);
    }
}

struct mk_uv_sock *mk_uv_sock_new(struct mk_uv_env *e, int fd,
                                  const struct sockaddr_storage *remote)
{
    struct mk_uv_sock *s = mk_alloc(sizeof(*s));
    int on = 1;

    s->base.env = &e->base;
    s->base.impl = s;
    s->env = e;
    s->fd = fd;
    s->broken.cb = sock_broken_cb;
    mk_list_init(&s->dirty);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    mk_uv_net_format(remote, s->remote, sizeof(s->remote));
    MK_ASSERT(uv_poll_init(&e->loop, &s->poll, fd) == 0);
    sock_update(s);
    return s;
}

int mk_uv_sock_write(struct mk_sock *base, const void *p, size_t n)
{
    struct mk_uv_sock *s = sock_of(base);

    MK_ASSERT(!s->closed);
    if (s->ended || s->broken.node.next != NULL)
        return MK_ECLOSED;
    if (n == 0)
        return 0;
    mk_buf_put(&s->out, p, n);
    if (!s->blocked && mk_list_empty(&s->dirty))
        mk_list_add_tail(&s->env->dirty, &s->dirty);
    if (sock_left(s) <= MK_SOCK_QUEUE_MAX)
        return 0;
    s->full = true;
    return MK_EFULL;
}

size_t mk_uv_sock_queued(const struct mk_sock *s)
{
    return sock_left(sock_of(s));
}

void mk_uv_sock_pause(struct mk_sock *base, bool paused)
{
    struct mk_uv_sock *s = sock_of(base);

    s->paused = paused;
    sock_update(s);
}

static void sock_closed_cb(uv_handle_t *h)
{
    struct mk_uv_sock *s = mk_container_of(h, struct mk_uv_sock, poll);

    mk_buf_done(&s->out);
    mk_free(s);
}

/* Ends the sending side, then throws away what has come in: a close with unread bytes
 * would send a reset, and that could take our last words back at the other side. */
static void sock_linger(struct mk_uv_sock *s)
{
    shutdown(s->fd, SHUT_WR);
    for (unsigned i = 0; i < SOCK_READS_A_TURN; i++) {
        if (recv(s->fd, s->env->read_buf, MK_UV_READ_CHUNK, MSG_TRUNC) <= 0)
            return;
    }
}

void mk_uv_sock_close(struct mk_sock *base)
{
    struct mk_uv_sock *s = sock_of(base);

    MK_ASSERT(!s->closed);
    sock_send(s);
    sock_linger(s);
    s->closed = s->ended = true;
    mk_uv_defer_cancel(&s->broken);
    mk_list_del(&s->dirty);
    uv_close((uv_handle_t *)&s->poll, sock_closed_cb);
    close(s->fd);
}

const char *mk_uv_sock_remote(const struct mk_sock *s)
{
    return sock_of(s)->remote;
}
