/* uv_env.h - the real world: what its files share.
 *
 *     turn:  poll (sockets, completions) -> due timers -> tasks -> sends -> ...
 *
 * uv_env.c   the loop, the clock, timers, signals       uv_pool.c  threads for slow work
 * uv_sock.c  connections                                uv_disk.c  files
 * uv_net.c   listening and dialing                      uv_input.c lines from outside
 * uv_http.c  HTTP for operators                          uv_tsm.c   quotes of this machine
 * uv_cast.c  multicast                                uv_bulk.c  large files */
#ifndef UV_UV_ENV_H
#define UV_UV_ENV_H

#include "env/env_ops.h"
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <uv.h>

#define MK_UV_READ_CHUNK (256u << 10) /* bytes read at once, one buffer a loop */
#define MK_UV_DISK_THREADS 4u         /* started only when all others are busy */
#define MK_UV_WORK_THREADS 2u
#define MK_UV_STACK_SIZE (256u << 10)
#define MK_UV_CONNECT_TIMEOUT (5 * MK_S)

/* --- threads ------------------------------------------------------------------ */

struct mk_uv_job {
    void (*run)(struct mk_uv_job *j);  /* on a thread of the pool */
    void (*done)(struct mk_uv_job *j); /* on the loop */
    struct mk_list node;
    struct mk_uv_pool *pool;
    bool taken;    /* from the queue, by a thread */
    bool finished; /* it is in the env's done list */
};

struct mk_uv_pool {
    struct mk_uv_env *env;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct mk_list queue;
    pthread_t threads[MK_UV_DISK_THREADS];
    unsigned n_threads, n_threads_max;
    size_t n_jobs; /* queued or running */
    bool quit;
};

void mk_uv_pool_init(struct mk_uv_pool *p, struct mk_uv_env *env, unsigned n_threads_max);
/** j borrowed until done. Threads start when there is work and none is free. */
void mk_uv_pool_add(struct mk_uv_pool *p, struct mk_uv_job *j);
/** Takes j back: its done() is not called any more. Waits while it runs. */
void mk_uv_pool_cancel(struct mk_uv_pool *p, struct mk_uv_job *j);
/** Waits for the threads; their work is done or dropped without a callback. */
void mk_uv_pool_done(struct mk_uv_pool *p);

/* --- large files (uv_bulk.c) ---------------------------------------------------- */

struct mk_uv_bulk {
    int fd1;            /* a descriptor and one; 0: not tried yet; -1: not to be had */
    uint8_t *block, *p; /* STEP bytes at p, aligned, in block */
};
/** As many of the n bytes as went past the system's cache, from the beginning on; the rest is to go
 * the usual way, which also finds what is wrong. One call at a time for each b. */
size_t mk_uv_bulk_write(struct mk_uv_bulk *b, int fd, const uint8_t *p, size_t n, uint64_t off);
size_t mk_uv_bulk_read(struct mk_uv_bulk *b, int fd, uint8_t *out, size_t n, uint64_t off);
void mk_uv_bulk_done(struct mk_uv_bulk *b);

/* --- the loop ------------------------------------------------------------------ */

/** Something to do at the start of the next turn, outside any call. */
struct mk_uv_deferred {
    void (*cb)(struct mk_uv_deferred *d);
    struct mk_list node; /* zero or in env->deferred */
};

struct mk_uv_env {
    struct mk_env base; /* first */
    uv_loop_t loop;
    uv_timer_t timer;     /* wakes the poll when the first of our timers is due */
    uint64_t timer_at_ms; /* UINT64_MAX: never; 0: it fired, and repeats until armed anew */
    struct mk_heap timers;
    uv_prepare_t prepare;
    uint64_t now_ns;
    bool now_stale;
    bool stopped;
    struct mk_list deferred; /* struct mk_uv_deferred.node */
    struct mk_list dirty;    /* struct mk_uv_sock.dirty: something to send */
    struct mk_list writes;   /* struct mk_uv_deferred.node: to be done when all is sent */
    unsigned n_writes;       /* in flight: in writes, or on a disk thread */
    uv_async_t wake;         /* a job ended */
    pthread_mutex_t done_lock;
    pthread_cond_t finished; /* a job came to done */
    struct mk_list done;     /* struct mk_uv_job.node */
    struct mk_uv_pool disk, work;
    uv_signal_t signals[2];
    void (*signal_cb)(void *arg, int signo);
    void *signal_arg;
    bool signals_on;
    int dirfd; /* -1: no disk */
    uint8_t *read_buf;
};

static inline struct mk_uv_env *mk_uv_env_of(struct mk_env *e)
{
    return mk_container_of(e, struct mk_uv_env, base);
}

/* uv_tsm.c */
int mk_uv_tsm_quote(struct mk_env *e, const char *dir, const char *entry, const uint8_t data[64],
                    size_t max, struct mk_buf *out, struct mk_fault *reterr);

void mk_uv_defer(struct mk_uv_env *e, struct mk_uv_deferred *d);
void mk_uv_defer_cancel(struct mk_uv_deferred *d);
/** 0 or the MK_E code for an errno. */
int mk_uv_errno(int err);

/* --- streams: uv_sock.c, uv_net.c ------------------------------------------------ */

struct mk_uv_sock {
    struct mk_sock base; /* first */
    struct mk_uv_env *env;
    uv_poll_t poll;
    int fd;
    int events; /* what poll waits for now */
    struct mk_buf out;
    size_t out_head; /* sent of out */
    struct mk_list dirty;
    struct mk_uv_deferred broken; /* a send failed: say so from the loop */
    bool paused, ended, closed;
    bool blocked; /* the kernel's buffer is full */
    bool failed;  /* it cannot end cleanly any more */
    bool full;    /* MK_EFULL was answered and writable() not yet called */
    char remote[64];
};

/** Wraps a connected, non-blocking descriptor, which is taken. Reading starts with
 * the next turn, so cbs can still be set. */
struct mk_uv_sock *mk_uv_sock_new(struct mk_uv_env *e, int fd,
                                  const struct sockaddr_storage *remote);
/** Sends what is queued, as far as the kernel takes it. */
void mk_uv_sock_flush(struct mk_uv_sock *s);
int mk_uv_sock_write(struct mk_sock *s, const void *p, size_t n);
size_t mk_uv_sock_queued(const struct mk_sock *s);
void mk_uv_sock_pause(struct mk_sock *s, bool paused);
void mk_uv_sock_close(struct mk_sock *s);
const char *mk_uv_sock_remote(const struct mk_sock *s);

/** A listening descriptor, given, and its port. */
int mk_uv_net_listen_fd(int *ret, uint16_t *ret_port, const char *address, struct mk_fault *reterr);
int mk_uv_net_listen(struct mk_env *e, struct mk_listener *l, const char *address,
                     struct mk_fault *reterr);
uint16_t mk_uv_net_listener_port(const struct mk_listener *l);
void mk_uv_net_listener_close(struct mk_listener *l);
int mk_uv_net_connect(struct mk_env *e, struct mk_connect *c, const char *address);
void mk_uv_net_connect_cancel(struct mk_connect *c);
/** "1.2.3.4:5" or "[::1]:5". */
void mk_uv_net_format(const struct sockaddr_storage *a, char *out, size_t n);

int mk_uv_cast_open(struct mk_env *e, struct mk_cast *c, const char *group, const char *interface,
                    struct mk_fault *reterr);
void mk_uv_cast_send(struct mk_cast *c, struct mk_bytes datagram);
void mk_uv_cast_close(struct mk_cast *c);

int mk_uv_http_open(struct mk_env *e, struct mk_http *h, const char *address,
                    struct mk_fault *reterr);
uint16_t mk_uv_http_port(const struct mk_http *h);
void mk_uv_http_close(struct mk_http *h);

/* --- disk: uv_disk.c --------------------------------------------------------------- */

int mk_uv_disk_open_dir(struct mk_uv_env *e, const char *dir, struct mk_fault *reterr);
int mk_uv_file_open(struct mk_env *e, struct mk_file **ret, const char *path,
                    enum mk_open_mode mode);
void mk_uv_file_close(struct mk_file *f);
int mk_uv_file_size(struct mk_file *f, uint64_t *ret);
int mk_uv_file_read(struct mk_file *f, void *out, size_t n, uint64_t off, size_t *ret_n);
int mk_uv_file_write(struct mk_file *f, const void *p, size_t n, uint64_t off);
int mk_uv_file_truncate(struct mk_file *f, uint64_t size);
int mk_uv_file_sync(struct mk_file *f);
int mk_uv_disk_rename(struct mk_env *e, const char *from, const char *to);
int mk_uv_disk_unlink(struct mk_env *e, const char *path);
int mk_uv_disk_mkdir(struct mk_env *e, const char *path);
int mk_uv_disk_dir_sync(struct mk_env *e, const char *path);
int mk_uv_disk_dir_list(struct mk_env *e, const char *path, void (*cb)(void *arg, const char *name),
                        void *arg);
int mk_uv_disk_dir_lock(struct mk_env *e);
void mk_uv_disk_write_sync(struct mk_file *f, struct mk_write_sync *w);

/* --- lines: uv_input.c --------------------------------------------------------------- */

int mk_uv_input_open(struct mk_env *e, struct mk_input *in, const struct mk_input_spec *spec,
                     struct mk_fault *reterr);
void mk_uv_input_pause(struct mk_input *in, bool paused);
void mk_uv_input_close(struct mk_input *in);
/** Ends the child of a closed input that is still there when the loop is freed. */
void mk_uv_input_reap(uv_process_t *p);

#endif
