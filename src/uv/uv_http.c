/* uv_http.c - HTTP for operators: libmicrohttpd on this loop.
 *
 * The library parses, answers and times out; it has an epoll descriptor of its own, which the loop
 * polls, and is run when that has something or its own time-out is due. Everything happens on the
 * loop's thread.
 *
 * It is loaded when the first server is opened, not with the program: with it come a TLS library
 * and half a megabyte that a node without the interface would carry for nothing. What it may hold
 * is bounded: connections, bytes and seconds of each; a body is read and thrown away. */
#include "uv/uv_env.h"

#include <dlfcn.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HTTP_CONNECTIONS_MAX 32u
#define HTTP_SOURCE_MAX 16u
#define HTTP_MEMORY_MAX (16u << 10) /* of a connection */
#define HTTP_TIMEOUT_S 10u
#define HTTP_RUNS_A_TURN 64u

/* --- the library ----------------------------------------------------------------------- */

static struct {
    void *handle;
    __typeof__(MHD_start_daemon) *start;
    __typeof__(MHD_stop_daemon) *stop;
    __typeof__(MHD_run) *run;
    __typeof__(MHD_get_timeout) *timeout;
    __typeof__(MHD_get_daemon_info) *info;
    __typeof__(MHD_create_response_from_buffer) *response;
    __typeof__(MHD_destroy_response) *destroy;
    __typeof__(MHD_add_response_header) *header;
    __typeof__(MHD_queue_response) *queue;
} mhd;

/** A function of the library into the pointer at ret. */
static bool take(void *ret, const char *name)
{
    void *p = dlsym(mhd.handle, name);

    memcpy(ret, &p, sizeof p); /* ISO C has no way from an object pointer to a function's */
    return p != NULL;
}

static int load(struct mk_fault *reterr)
{
    if (mhd.queue != NULL)
        return 0;
    mhd.handle = dlopen("libmicrohttpd.so.12", RTLD_NOW | RTLD_LOCAL);
    if (mhd.handle == NULL)
        return mk_fault(reterr, MK_ENOTSUP, "HTTP wants libmicrohttpd: %s", dlerror());
    if (take(&mhd.start, "MHD_start_daemon") && take(&mhd.stop, "MHD_stop_daemon") &&
        take(&mhd.run, "MHD_run") && take(&mhd.timeout, "MHD_get_timeout") &&
        take(&mhd.info, "MHD_get_daemon_info") &&
        take(&mhd.response, "MHD_create_response_from_buffer") &&
        take(&mhd.destroy, "MHD_destroy_response") &&
        take(&mhd.header, "MHD_add_response_header") && take(&mhd.queue, "MHD_queue_response"))
        return 0;
    mhd.queue = NULL;
    return mk_fault(reterr, MK_ENOTSUP, "libmicrohttpd lacks a function: %s", dlerror());
}

/* --- answering ------------------------------------------------------------------------- */

struct mk_uv_http {
    struct mk_http *pub; /* NULL once closed */
    struct mk_uv_env *env;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    struct mk_timer timer;
    uint16_t port;
};

static enum MHD_Result send_answer(struct MHD_Connection *c, const struct mk_http_answer *a)
{
    struct MHD_Response *r =
        mhd.response(a->body.n, (void *)(uintptr_t)a->body.p, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result rv;

    if (r == NULL)
        return MHD_NO;
    mhd.header(r, MHD_HTTP_HEADER_CONTENT_TYPE,
               a->type != NULL ? a->type : "text/plain; charset=utf-8");
    mhd.header(r, "Cache-Control", "no-store");
    if (a->status == 405)
        mhd.header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    rv = mhd.queue(c, a->status, r);
    mhd.destroy(r);
    return rv;
}

static enum MHD_Result http_cb(void *cls, struct MHD_Connection *c, const char *url,
                               const char *method, const char *version, const char *upload,
                               size_t *upload_n, void **request)
{
    static int seen;
    struct mk_uv_http *h = cls;
    struct mk_http_answer a = {.status = 200};
    enum MHD_Result rv;

    (void)version;
    (void)upload;
    if (*request == NULL) { /* the header is in; the answer comes when all is */
        *request = &seen;
        return MHD_YES;
    }
    if (*upload_n > 0) {
        *upload_n = 0;
        return MHD_YES;
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        a.status = 405;
        mk_buf_put_str(&a.body, "only GET\n");
    } else if (h->pub != NULL) {
        h->pub->get(h->pub, mk_str_of(url), &a);
    }
    rv = send_answer(c, &a);
    mk_buf_done(&a.body);
    return rv;
}

/* --- running --------------------------------------------------------------------------- */

static void http_run(struct mk_uv_http *h)
{
    MHD_UNSIGNED_LONG_LONG ms;
    uint64_t now = mk_now(&h->env->base);

    for (unsigned i = 0; i < HTTP_RUNS_A_TURN; i++) {
        mhd.run(h->daemon);
        if (mhd.timeout(h->daemon, &ms) != MHD_YES) {
            mk_timer_stop(&h->timer);
            return;
        }
        if (ms > 0)
            break;
    }
    mk_timer_start(&h->env->base, &h->timer, now + (uint64_t)ms * MK_MS);
}

static void http_poll_cb(uv_poll_t *p, int status, int events)
{
    (void)status;
    (void)events;
    http_run(mk_container_of(p, struct mk_uv_http, poll));
}

static void http_timer_cb(struct mk_timer *t)
{
    http_run(mk_container_of(t, struct mk_uv_http, timer));
}

/* --- opening --------------------------------------------------------------------------- */

static int http_start(struct mk_uv_http *h, int fd, struct mk_fault *reterr)
{
    const union MHD_DaemonInfo *info;
    int rv;

    h->daemon = mhd.start(MHD_USE_EPOLL | MHD_USE_ITC, 0, NULL, NULL, http_cb, h,
                          MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                          HTTP_CONNECTIONS_MAX, MHD_OPTION_PER_IP_CONNECTION_LIMIT, HTTP_SOURCE_MAX,
                          MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_MEMORY_MAX,
                          MHD_OPTION_CONNECTION_TIMEOUT, HTTP_TIMEOUT_S, MHD_OPTION_END);
    if (h->daemon == NULL) {
        close(fd);
        return mk_fault(reterr, MK_EIO, "libmicrohttpd does not start: %s", strerror(errno));
    }
    info = mhd.info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    rv = info != NULL ? uv_poll_init(&h->env->loop, &h->poll, info->epoll_fd) : UV_EINVAL;
    if (rv != 0) {
        mhd.stop(h->daemon);
        return mk_fault(reterr, MK_EIO, "cannot watch HTTP: %s", uv_strerror(rv));
    }
    uv_poll_start(&h->poll, UV_READABLE, http_poll_cb);
    return 0;
}

int mk_uv_http_open(struct mk_env *e, struct mk_http *pub, const char *address,
                    struct mk_fault *reterr)
{
    struct mk_uv_http *h;
    uint16_t port;
    int fd, rv = load(reterr);

    if (rv != 0)
        return rv;
    rv = mk_uv_net_listen_fd(&fd, &port, address, reterr);
    if (rv != 0)
        return rv;
    h = mk_alloc(sizeof *h);
    *h = (struct mk_uv_http){.pub = pub, .env = mk_uv_env_of(e), .port = port};
    h->timer.cb = http_timer_cb;
    rv = http_start(h, fd, reterr);
    if (rv != 0) {
        mk_free(h);
        return rv;
    }
    pub->impl = h;
    return 0;
}

uint16_t mk_uv_http_port(const struct mk_http *pub)
{
    const struct mk_uv_http *h = pub->impl;

    return h->port;
}

static void http_closed_cb(uv_handle_t *p)
{
    mk_free(mk_container_of((uv_poll_t *)p, struct mk_uv_http, poll));
}

void mk_uv_http_close(struct mk_http *pub)
{
    struct mk_uv_http *h = pub->impl;

    h->pub = NULL;
    mk_timer_stop(&h->timer);
    uv_poll_stop(&h->poll);
    uv_close((uv_handle_t *)&h->poll, http_closed_cb);
    mhd.stop(h->daemon);
}
