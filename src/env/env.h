/* env.h - the one seam to the world: clock, timers, byte streams, disk,
 * entropy, slow work. src/uv makes it real (libuv), test/sim makes it virtual
 * and deterministic. Nothing above includes <uv.h>, calls time(), opens a file
 * or a socket.
 *
 * Everything runs on one thread, the loop's. Callbacks come from the loop, each
 * exactly once, never from inside the call that caused them. Requests live in
 * the caller's memory until their callback. An env object and everything opened
 * on it belong together; mk_env_free() (uv or sim) is called when all is closed.
 *
 * In the simulated world each node has its own struct mk_env (own clock skew,
 * disk, address); a crash destroys that env and everything opened on it without
 * a single callback. So nothing above may keep state outside what hangs on its env. */
#ifndef ENV_ENV_H
#define ENV_ENV_H

#include "base/list.h"
#include "env/heap.h"
#include <mosaik/error.h>
#include <mosaik/id.h>
#include <mosaik/input.h> /* mk_input_open() and its like belong to the seam too */

struct mk_env;

/** A simulated node crashed: nothing calls back any more, requests in flight included, so
 * whoever waits for one before he frees memory frees it now. Never in the real world. */
bool mk_env_is_dead(const struct mk_env *e);

#define MK_MS 1000000ull
#define MK_S (1000 * MK_MS)

/* --- time ------------------------------------------------------------------ */

uint64_t mk_now(struct mk_env *e);     /* monotonic, ns, read once a turn of the loop */
uint64_t mk_clock(struct mk_env *e);   /* the same clock, read now: for promises about time */
uint64_t mk_wall_ms(struct mk_env *e); /* unix ms; may jump */

struct mk_timer {
    void (*cb)(struct mk_timer *t);
    uint64_t at_ns; /* private from here on */
    bool armed;
    struct mk_env *env;
    struct mk_heap_item item;
};
/** t borrowed until it fires or is stopped. Restarting an armed timer moves it. A time
 * that is past fires in the next turn. */
void mk_timer_start(struct mk_env *e, struct mk_timer *t, uint64_t at_ns);
/** Safe on a zeroed or fired timer. */
void mk_timer_stop(struct mk_timer *t);

/* --- later: run once at the end of this turn (habit 7: advance()) ----------- */

struct mk_task {
    void (*cb)(struct mk_task *t);
    bool queued;
    struct mk_env *env;
    struct mk_list node;
};
/** Queues t unless it is queued already. Tasks run after this turn's events, in
 * the order queued; a task queued by a task runs in the same turn. */
void mk_later(struct mk_env *e, struct mk_task *t);
void mk_later_cancel(struct mk_task *t);

/* --- entropy ---------------------------------------------------------------- */

void mk_entropy(struct mk_env *e, void *out, size_t n);

/* --- slow work: a pure function of its input, off the loop ------------------ */

struct mk_work {
    void (*run)(struct mk_work *w);  /* on another thread: touches nothing but w */
    void (*done)(struct mk_work *w); /* on the loop */
    struct mk_env *env;
    void *impl;
};
void mk_work_start(struct mk_env *e, struct mk_work *w);
/** done is not called any more; waits for a run that is under way. Safe on a zeroed one and
 * on one that is done. */
void mk_work_cancel(struct mk_work *w);

/* --- the machine's own quotes (Linux, configfs-tsm) --------------------------- */

/** Has the TDX module quote 64 bytes: makes dir/entry, writes inblob, reads outblob, and
 * says so when somebody else wrote in between. Blocks, for seconds where a quoting service
 * is asked; touches nothing but its arguments: to be called from a mk_work's run.
 *
 *  dir  as the user wrote it, not below the env's directory. out is appended to.
 *
 * 0; MK_ENOTFOUND: no such interface; MK_ENOTSUP: its provider is not "tdx_guest"; MK_EIO;
 * MK_ECONFLICT; MK_ELIMIT: a quote over max bytes; the reason in reterr. */
int mk_tsm_quote(struct mk_env *e, const char *dir, const char *entry, const uint8_t data[64],
                 size_t max, struct mk_buf *out, struct mk_fault *reterr);

/* --- disk ------------------------------------------------------------------- */
/* Paths are relative to the env's directory (a real directory, or a simulated
 * disk that survives the crash of its node), '/'-separated, no "..". Calls that
 * take no request are synchronous and meant for opening, recovery and renaming;
 * what the data path waits for is mk_write_sync(). Files are created 0600,
 * directories 0700. Errors: MK_EIO, MK_ENOSPACE, MK_ENOTFOUND, MK_EEXISTS.
 *
 * Durability: a write is durable once an mk_write_sync() or mk_file_sync() that
 * started after it completed with 0; a created, renamed or removed entry once
 * mk_dir_sync() of its directory did. Until then a crash keeps, loses or tears it. */

struct mk_file;

enum mk_open_mode {
    MK_OPEN_READ,   /* must exist */
    MK_OPEN_WRITE,  /* read and write, must exist */
    MK_OPEN_CREATE, /* read and write, must not exist */
};
int mk_file_open(struct mk_env *e, struct mk_file **ret, const char *path, enum mk_open_mode mode);
void mk_file_close(struct mk_file *f); /* no request may be in flight */
int mk_file_size(struct mk_file *f, uint64_t *ret);
/** Reads exactly n bytes, or as many as there are before the end: *ret_n. */
int mk_file_read(struct mk_file *f, void *out, size_t n, uint64_t off, size_t *ret_n);
int mk_file_write(struct mk_file *f, const void *p, size_t n, uint64_t off);
int mk_file_truncate(struct mk_file *f, uint64_t size);
int mk_file_sync(struct mk_file *f); /* fdatasync, blocks: opening only */
/** What is read and written in large pieces from now on is not soon needed again: it need not go
 * through the system's cache. At most one read at a time. */
void mk_file_bulk(struct mk_file *f);
int mk_rename(struct mk_env *e, const char *from, const char *to); /* replaces */
int mk_unlink(struct mk_env *e, const char *path);
int mk_mkdir(struct mk_env *e, const char *path);    /* 0 when it is there already; lasts
                                                      * once its parent is synced */
int mk_dir_sync(struct mk_env *e, const char *path); /* "" is the env's directory */
/** Calls cb for each entry, sorted by name. */
int mk_dir_list(struct mk_env *e, const char *path, void (*cb)(void *arg, const char *name),
                void *arg);
/** Takes the exclusive lock of the env's directory; MK_EINUSE when another process has it, or
 * another env of this one. An env that has it gets it again: see mk_env_node_begin(). */
int mk_dir_lock(struct mk_env *e);
/** A node begins to keep its files in the env's directory; false: one does already, and two logs
 * there would write over each other. Until mk_env_node_end(). */
bool mk_env_node_begin(struct mk_env *e);
void mk_env_node_end(struct mk_env *e);
bool mk_env_has_node(const struct mk_env *e);

/** Reads a whole file of at most max bytes into out; MK_ELIMIT above. */
int mk_file_load(struct mk_env *e, const char *path, size_t max, struct mk_buf *out);
/** Replaces path durably: temporary file, write, sync, rename, directory sync (blocks). */
int mk_file_store(struct mk_env *e, const char *path, struct mk_bytes content);

/** Write, then make durable (pwrite + fdatasync), off the loop.
 *
 *  p   borrowed until cb.
 *
 * At most one request a file may be in flight. cb's status is 0, MK_EIO or
 * MK_ENOSPACE; after an error the file's durable content is unknown: the owner
 * must stop using it and say so. */
struct mk_write_sync {
    void (*cb)(struct mk_write_sync *w, int status);
    struct mk_file *file;
    const void *p;
    size_t n;
    uint64_t off;
    void *impl;
};
void mk_write_sync(struct mk_file *f, struct mk_write_sync *w, const void *p, size_t n,
                   uint64_t off);

/* --- byte streams ------------------------------------------------------------ */

struct mk_stream_cbs;

/** A TCP connection (or a simulated one). */
struct mk_sock {
    const struct mk_sock_cbs *cbs; /* set by the owner before any event can come */
    void *owner;
    struct mk_env *env;
    void *impl;
};

struct mk_sock_cbs {
    /** Bytes arrived; lent for the call. */
    void (*read)(struct mk_sock *s, const uint8_t *p, size_t n);
    /** The write queue fell to half of MK_SOCK_QUEUE_MAX or below after mk_sock_write
     * returned MK_EFULL. */
    void (*writable)(struct mk_sock *s);
    /** The connection ended: 0 for a clean end by the other side, or MK_EIO. No
     * event follows. The owner then calls mk_sock_close(). */
    void (*end)(struct mk_sock *s, int status);
};

#define MK_SOCK_QUEUE_MAX (4u << 20) /* bytes queued above which writes answer MK_EFULL */

/** Queues bytes (copied); sent at the end of this turn, in one system call where
 * possible. 0; MK_EFULL: queued all the same, but stop until writable();
 * MK_ECLOSED: ended. */
int mk_sock_write(struct mk_sock *s, const void *p, size_t n);
size_t mk_sock_queued(const struct mk_sock *s);
/** Stops and resumes read(). A paused socket makes the sender's queue grow. */
void mk_sock_pause(struct mk_sock *s, bool paused);
/** Flushes what is queued where that is possible without waiting, then frees s. No
 * callback follows. */
void mk_sock_close(struct mk_sock *s);
/** The other side's address, "host:port", for logs and limits a source. */
const char *mk_sock_remote(const struct mk_sock *s); /* lent */
/** Simulated world only: the peer that the world vouches for at the other end.
 * MK_ENOTSUP in the real one. */
int mk_sock_vouched(const struct mk_sock *s, struct mk_peer *ret);
/** Simulated world only: says who this env is, for mk_sock_vouched() elsewhere. */
void mk_env_vouch(struct mk_env *e, const struct mk_peer *self);

struct mk_listener {
    /** A connection arrived: s is given; set its cbs and owner inside this call, or
     * close it there. */
    void (*accept)(struct mk_listener *l, struct mk_sock *s);
    void *owner;
    struct mk_env *env;
    void *impl;
};
/** address "host:port" (IPv4, or IPv6 in brackets); port 0 picks one.
 * MK_EINVALID, MK_EEXISTS (in use), MK_EIO, with the reason in reterr. */
int mk_listen(struct mk_env *e, struct mk_listener *l, const char *address,
              struct mk_fault *reterr);
uint16_t mk_listener_port(const struct mk_listener *l);
void mk_listener_close(struct mk_listener *l);

struct mk_connect {
    /** s is given when status is 0, else NULL (MK_EUNREACHABLE). Set cbs and owner
     * inside this call. */
    void (*cb)(struct mk_connect *c, struct mk_sock *s, int status);
    struct mk_env *env;
    void *impl;
};
/** 0 and later cb; MK_EINVALID for an address that is none. The real env gives up
 * after 5 s. */
int mk_connect(struct mk_env *e, struct mk_connect *c, const char *address);
/** cb is not called any more; c may be reused. Safe when idle. */
void mk_connect_cancel(struct mk_connect *c);

/* --- datagrams to everybody on the local network ------------------------------------------ */

#define MK_CAST_MAX 9000u /* bytes of one */

/** Multicast over IPv4, time to live 255, heard by oneself too. May lose, double and reorder. */
struct mk_cast {
    /** A datagram came; lent for the call, as is from, the sender's numeric host. */
    void (*got)(struct mk_cast *c, struct mk_bytes datagram, const char *from);
    void *owner;
    struct mk_env *env; /* private, as the next */
    void *impl;
};
/** group "a.b.c.d:port", shared with others on this machine. interface: its name, or "*" for all
 * that are up and can multicast now. MK_EINVALID; MK_ENOTFOUND: no such interface; MK_EEXISTS,
 * MK_EIO; the reason in reterr. */
int mk_cast_open(struct mk_env *e, struct mk_cast *c, const char *group, const char *interface,
                 struct mk_fault *reterr);
/** On each interface; what does not go now is lost. At most MK_CAST_MAX bytes (asserted). */
void mk_cast_send(struct mk_cast *c, struct mk_bytes datagram);
/** Fine when it is not open. */
void mk_cast_close(struct mk_cast *c);

/* --- HTTP for operators ------------------------------------------------------------- */

struct mk_http_answer {
    unsigned status;    /* 200 before get() */
    const char *type;   /* borrowed; NULL: plain text */
    struct mk_buf body; /* empty before get() */
};

/** A server for few and trusted askers: an operator's monitoring. GET and HEAD alone; connections,
 * bytes and seconds of each are bounded. */
struct mk_http {
    /** A path that was asked for ("/livez"; lent); fills the answer at once. From the loop. */
    void (*get)(struct mk_http *h, struct mk_str path, struct mk_http_answer *ret);
    struct mk_env *env; /* private, as the next */
    void *impl;
};
/** 0; MK_ENOTSUP: none in this world, or the library is missing; MK_EINVALID, MK_EEXISTS, MK_EIO as
 * mk_listen. */
int mk_http_open(struct mk_env *e, struct mk_http *h, const char *address, struct mk_fault *reterr);
uint16_t mk_http_port(const struct mk_http *h);
/** Fine when it is not open. */
void mk_http_close(struct mk_http *h);

#endif /* ENV_ENV_H */
