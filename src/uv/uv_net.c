/* Listening and dialing.
 *
 * A dial goes: resolve (only when the host is a name; libuv's one thread does it),
 * connect without blocking, wait for writability, ask for the error. Each address of a
 * name is tried in turn, all within five seconds. Whatever fails, the owner hears
 * MK_EUNREACHABLE once, from the loop, unless he canceled.
 *
 * A listener that runs out of descriptors pauses for a while: the connections wait in
 * the kernel, and the loop does not spin on an accept that must fail. */
#include "uv/uv_env.h"

#include "base/assert.h"
#include "env/address.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LISTEN_BACKLOG \
    4096 /* the kernel's own limit may be less; full, it costs a SYN and so a second */
#define LISTEN_ACCEPTS_A_TURN 64u
#define LISTEN_PAUSE (100 * MK_MS)

void mk_uv_net_format(const struct sockaddr_storage *a, char *out, size_t n)
{
    char host[INET6_ADDRSTRLEN] = "?";
    const struct sockaddr_in *v4 = (const void *)a;
    const struct sockaddr_in6 *v6 = (const void *)a;

    if (a->ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
        snprintf(out, n, "[%s]:%u", host, ntohs(v6->sin6_port));
        return;
    }
    inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
    snprintf(out, n, "%s:%u", host, ntohs(v4->sin_port));
}

static socklen_t addr_len(const struct sockaddr_storage *a)
{
    return a->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

/* A numeric host. MK_ENOTFOUND when it is a name. */
static int addr_numeric(struct sockaddr_storage *ret, const char *host, uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    memset(ret, 0, sizeof(*ret));
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
        memcpy(ret, &v4, sizeof(v4));
    else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
        memcpy(ret, &v6, sizeof(v6));
    else
        return MK_ENOTFOUND;
    return 0;
}

/* --- listening ---------------------------------------------------------------------- */

struct mk_uv_listener {
    struct mk_listener *l; /* NULL once closed */
    struct mk_uv_env *env;
    uv_poll_t poll;
    int fd;
    uint16_t port;
    struct mk_timer retry;
};

static void listener_poll_cb(uv_poll_t *p, int status, int events)
{
    struct mk_uv_listener *ul = mk_container_of(p, struct mk_uv_listener, poll);

    (void)status;
    (void)events;
    for (unsigned i = 0; i < LISTEN_ACCEPTS_A_TURN && ul->l != NULL; i++) {
        struct sockaddr_storage a;
        socklen_t n = sizeof(a);
        int fd = accept4(ul->fd, (struct sockaddr *)&a, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            struct mk_uv_sock *s = mk_uv_sock_new(ul->env, fd, &a);

            ul->l->accept(ul->l, &s->base);
            MK_ASSERT(s->closed || s->base.cbs != NULL);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            uv_poll_stop(&ul->poll);
            mk_timer_start(&ul->env->base, &ul->retry, mk_now(&ul->env->base) + LISTEN_PAUSE);
        }
        if (errno != ECONNABORTED && errno != EINTR)
            return;
    }
}

static void listener_retry_cb(struct mk_timer *t)
{
    struct mk_uv_listener *ul = mk_container_of(t, struct mk_uv_listener, retry);

    uv_poll_start(&ul->poll, UV_READABLE, listener_poll_cb);
}

/* Names are resolved while we wait: this is done once, when the program starts. */
static int listen_address(struct sockaddr_storage *ret, const char *address,
                          struct mk_fault *reterr)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC}, *ai;
    char host[MK_HOST_MAX], port_text[8];
    uint16_t port;
    int rv;

    if (mk_address_split(address, host, &port) != 0)
        return mk_fault(reterr, MK_EINVALID, "%s is not host:port", address);
    if (addr_numeric(ret, host, port) == 0)
        return 0;
    snprintf(port_text, sizeof(port_text), "%u", port);
    rv = getaddrinfo(host, port_text, &hints, &ai);
    if (rv != 0)
        return mk_fault(reterr, MK_EINVALID, "%s: %s", address, gai_strerror(rv));
    memcpy(ret, ai->ai_addr, ai->ai_addrlen);
    freeaddrinfo(ai);
    return 0;
}

static int listen_fd(const struct sockaddr_storage *a, const char *address, int *ret,
                     struct mk_fault *reterr)
{
    int fd, on = 1, err;

    fd = socket(a->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return mk_fault(reterr, MK_EIO, "cannot make a socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)a, addr_len(a)) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
        err = errno;
        close(fd);
        return mk_fault(reterr, err == EADDRINUSE ? MK_EEXISTS : MK_EIO, "cannot listen on %s: %s",
                        address, strerror(err));
    }
    *ret = fd;
    return 0;
}

static uint16_t fd_port(int fd)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof(a);

    MK_ASSERT(getsockname(fd, (struct sockaddr *)&a, &n) == 0);
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&a)->sin6_port
                                         : ((struct sockaddr_in *)(void *)&a)->sin_port);
}

int mk_uv_net_listen_fd(int *ret, uint16_t *ret_port, const char *address, struct mk_fault *reterr)
{
    struct sockaddr_storage a;
    int rv = listen_address(&a, address, reterr);

    if (rv == 0)
        rv = listen_fd(&a, address, ret, reterr);
    if (rv == 0)
        *ret_port = fd_port(*ret);
    return rv;
}

int mk_uv_net_listen(struct mk_env *base, struct mk_listener *l, const char *address,
                     struct mk_fault *reterr)
{
    struct mk_uv_listener *ul;
    uint16_t port;
    int fd = -1, rv = mk_uv_net_listen_fd(&fd, &port, address, reterr);

    if (rv != 0)
        return rv;
    ul = mk_alloc(sizeof(*ul));
    ul->l = l;
    ul->env = mk_uv_env_of(base);
    ul->fd = fd;
    ul->port = port;
    ul->retry.cb = listener_retry_cb;
    MK_ASSERT(uv_poll_init(&ul->env->loop, &ul->poll, fd) == 0);
    uv_poll_start(&ul->poll, UV_READABLE, listener_poll_cb);
    l->impl = ul;
    return 0;
}

uint16_t mk_uv_net_listener_port(const struct mk_listener *l)
{
    return ((const struct mk_uv_listener *)l->impl)->port;
}

static void listener_closed_cb(uv_handle_t *h)
{
    mk_free(mk_container_of(h, struct mk_uv_listener, poll));
}

void mk_uv_net_listener_close(struct mk_listener *l)
{
    struct mk_uv_listener *ul = l->impl;

    ul->l = NULL;
    mk_timer_stop(&ul->retry);
    uv_close((uv_handle_t *)&ul->poll, listener_closed_cb);
    close(ul->fd);
}

/* --- dialing ------------------------------------------------------------------------- */

struct mk_uv_dial {
    struct mk_connect *c; /* NULL once canceled or answered */
    struct mk_uv_env *env;
    uv_getaddrinfo_t resolve;
    bool resolving;
    struct addrinfo *found, *next; /* of a name; found is ours to free */
    struct sockaddr_storage addr;
    uv_poll_t poll;
    bool polling; /* poll is a live handle on fd */
    int fd;
    struct mk_timer timeout;
    struct mk_uv_deferred failed;
};

static void dial_try(struct mk_uv_dial *d);

/* Frees d once libuv has let go of the lookup too. */
static void dial_free(struct mk_uv_dial *d)
{
    mk_timer_stop(&d->timeout);
    mk_uv_defer_cancel(&d->failed);
    if (d->resolving) {
        uv_cancel((uv_req_t *)&d->resolve);
        return; /* dial_resolved_cb frees it */
    }
    if (d->found != NULL)
        uv_freeaddrinfo(d->found);
    mk_free(d);
}

static void dial_poll_closed_cb(uv_handle_t *h)
{
    struct mk_uv_dial *d = mk_container_of(h, struct mk_uv_dial, poll);

    d->polling = false;
    if (d->c == NULL)
        dial_free(d);
    else
        dial_try(d);
}

/* The attempt is over; what follows happens when libuv has let go of the poll. */
static void dial_drop_fd(struct mk_uv_dial *d)
{
    uv_close((uv_handle_t *)&d->poll, dial_poll_closed_cb);
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
}

/* Answers the owner, who may start the next dial at once. */
static void dial_answer(struct mk_uv_dial *d, struct mk_sock *s, int status)
{
    struct mk_connect *c = d->c;

    d->c = NULL;
    mk_timer_stop(&d->timeout);
    mk_uv_defer_cancel(&d->failed);
    if (d->polling)
        dial_drop_fd(d);
    else
        dial_free(d);
    c->impl = NULL;
    c->cb(c, s, status);
}

static void dial_failed_cb(struct mk_uv_deferred *f)
{
    dial_answer(mk_container_of(f, struct mk_uv_dial, failed), NULL, MK_EUNREACHABLE);
}

static void dial_timeout_cb(struct mk_timer *t)
{
    dial_answer(mk_container_of(t, struct mk_uv_dial, timeout), NULL, MK_EUNREACHABLE);
}

static void dial_poll_cb(uv_poll_t *p, int status, int events)
{
    struct mk_uv_dial *d = mk_container_of(p, struct mk_uv_dial, poll);
    struct mk_uv_sock *s;
    int err = 0, fd = d->fd;
    socklen_t n = sizeof(err);

    (void)events;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n) != 0 || err != 0 || status != 0) {
        dial_drop_fd(d); /* then the next address, if any */
        return;
    }
    uv_poll_stop(&d->poll);
    d->fd = -1; /* the socket's now */
    s = mk_uv_sock_new(d->env, fd, &d->addr);
    dial_answer(d, &s->base, 0);
    MK_ASSERT(s->closed || s->base.cbs != NULL);
}

/* Starts connecting to d->addr. false: it failed at once. */
static bool dial_connect(struct mk_uv_dial *d)
{
    int fd = socket(d->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    if (connect(fd, (struct sockaddr *)&d->addr, addr_len(&d->addr)) != 0 && errno != EINPROGRESS) {
        close(fd);
        return false;
    }
    d->fd = fd;
    MK_ASSERT(uv_poll_init(&d->env->loop, &d->poll, fd) == 0);
    d->polling = true;
    uv_poll_start(&d->poll, UV_WRITABLE, dial_poll_cb);
    return true;
}

/* Tries the next address; without one the dial has failed, and says so from the loop. */
static void dial_try(struct mk_uv_dial *d)
{
    while (d->next != NULL) {
        struct addrinfo *ai = d->next;

        d->next = ai->ai_next;
        memcpy(&d->addr, ai->ai_addr, ai->ai_addrlen);
        if (dial_connect(d))
            return;
    }
    mk_uv_defer(d->env, &d->failed);
}

static void dial_resolved_cb(uv_getaddrinfo_t *r, int status, struct addrinfo *found)
{
    struct mk_uv_dial *d = mk_container_of(r, struct mk_uv_dial, resolve);

    d->resolving = false;
    d->found = d->next = found;
    if (d->c == NULL)
        dial_free(d);
    else if (status != 0)
        mk_uv_defer(d->env, &d->failed);
    else
        dial_try(d);
}

static void dial_resolve(struct mk_uv_dial *d, const char *host, uint16_t port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    char port_text[8];

    snprintf(port_text, sizeof(port_text), "%u", port);
    if (uv_getaddrinfo(&d->env->loop, &d->resolve, dial_resolved_cb, host, port_text, &hints) == 0)
        d->resolving = true;
    else
        mk_uv_defer(d->env, &d->failed);
}

int mk_uv_net_connect(struct mk_env *base, struct mk_connect *c, const char *address)
{
    struct mk_uv_dial *d;
    char host[MK_HOST_MAX];
    uint16_t port;

    if (mk_address_split(address, host, &port) != 0 || port == 0)
        return MK_EINVALID;
    d = mk_alloc(sizeof(*d));
    d->c = c;
    d->env = mk_uv_env_of(base);
    d->fd = -1;
    d->timeout.cb = dial_timeout_cb;
    d->failed.cb = dial_failed_cb;
    mk_timer_start(base, &d->timeout, mk_now(base) + MK_UV_CONNECT_TIMEOUT);
    c->impl = d;
    if (addr_numeric(&d->addr, host, port) != 0)
        dial_resolve(d, host, port);
    else if (!dial_connect(d))
        mk_uv_defer(d->env, &d->failed);
    return 0;
}

void mk_uv_net_connect_cancel(struct mk_connect *c)
{
    struct mk_uv_dial *d = c->impl;

    d->c = NULL;
    mk_timer_stop(&d->timeout);
    mk_uv_defer_cancel(&d->failed);
    if (d->polling)
        dial_drop_fd(d);
    else
        dial_free(d);
}
