/* env_ops.h - for those who make a world (src/uv, test/sim), and nobody else.
 *
 * A world's env begins with struct mk_env, its file with struct mk_file; env.c
 * forwards each call of env.h to the table. What is the same in both worlds is done
 * in env.c: tasks, checking paths, loading and storing whole files. */
#ifndef ENV_ENV_OPS_H
#define ENV_ENV_OPS_H

#include "env/env.h"

struct mk_env_ops {
    uint64_t (*now)(struct mk_env *e);
    uint64_t (*clock)(struct mk_env *e); /* NULL: as now */
    uint64_t (*wall_ms)(struct mk_env *e);
    void (*timer_start)(struct mk_env *e, struct mk_timer *t, uint64_t at_ns);
    void (*timer_stop)(struct mk_env *e, struct mk_timer *t);
    void (*tasks_wait)(struct mk_env *e); /* the first task was queued; may be NULL */
    void (*entropy)(struct mk_env *e, void *out, size_t n);
    void (*work_start)(struct mk_env *e, struct mk_work *w);
    void (*work_cancel)(struct mk_env *e, struct mk_work *w);
    int (*tsm_quote)(struct mk_env *e, const char *dir, const char *entry, const uint8_t data[64],
                     size_t max, struct mk_buf *out, struct mk_fault *reterr);

    /* NULL where there is none */
    int (*cast_open)(struct mk_env *e, struct mk_cast *c, const char *group, const char *interface,
                     struct mk_fault *reterr);
    void (*cast_send)(struct mk_cast *c, struct mk_bytes datagram);
    void (*cast_close)(struct mk_cast *c);
    int (*http_open)(struct mk_env *e, struct mk_http *h, const char *address,
                     struct mk_fault *reterr);
    uint16_t (*http_port)(const struct mk_http *h);
    void (*http_close)(struct mk_http *h);

    int (*file_open)(struct mk_env *e, struct mk_file **ret, const char *path,
                     enum mk_open_mode mode);
    void (*file_close)(struct mk_file *f);
    int (*file_size)(struct mk_file *f, uint64_t *ret);
    int (*file_read)(struct mk_file *f, void *out, size_t n, uint64_t off, size_t *ret_n);
    int (*file_write)(struct mk_file *f, const void *p, size_t n, uint64_t off);
    int (*file_truncate)(struct mk_file *f, uint64_t size);
    int (*file_sync)(struct mk_file *f);
    int (*rename)(struct mk_env *e, const char *from, const char *to);
    int (*unlink)(struct mk_env *e, const char *path);
    int (*mkdir)(struct mk_env *e, const char *path);
    int (*dir_sync)(struct mk_env *e, const char *path);
    int (*dir_list)(struct mk_env *e, const char *path, void (*cb)(void *arg, const char *name),
                    void *arg);
    int (*dir_lock)(struct mk_env *e);
    void (*write_sync)(struct mk_file *f, struct mk_write_sync *w);

    int (*sock_write)(struct mk_sock *s, const void *p, size_t n);
    size_t (*sock_queued)(const struct mk_sock *s);
    void (*sock_pause)(struct mk_sock *s, bool paused);
    void (*sock_close)(struct mk_sock *s);
    const char *(*sock_remote)(const struct mk_sock *s);
    int (*sock_vouched)(const struct mk_sock *s, struct mk_peer *ret);
    void (*vouch)(struct mk_env *e, const struct mk_peer *self);
    int (*listen)(struct mk_env *e, struct mk_listener *l, const char *address,
                  struct mk_fault *reterr);
    uint16_t (*listener_port)(const struct mk_listener *l);
    void (*listener_close)(struct mk_listener *l);
    int (*connect)(struct mk_env *e, struct mk_connect *c, const char *address);
    void (*connect_cancel)(struct mk_connect *c);

    int (*input_open)(struct mk_env *e, struct mk_input *in, const struct mk_input_spec *spec,
                      struct mk_fault *reterr);
    void (*input_pause)(struct mk_input *in, bool paused);
    void (*input_close)(struct mk_input *in);
};

struct mk_env {
    const struct mk_env_ops *ops;
    struct mk_list tasks; /* struct mk_task.node, in the order queued */
    bool dead;            /* see mk_env_is_dead() */
    bool has_node;        /* see mk_env_node_begin() */
};

struct mk_file {
    struct mk_env *env;
    bool bulk;
};

void mk_env_base_init(struct mk_env *e, const struct mk_env_ops *ops);
/** Runs tasks until none is left, those they queue included. */
void mk_env_run_tasks(struct mk_env *e);
/** Forgets the tasks that are queued: the world ends. */
void mk_env_drop_tasks(struct mk_env *e);

#define MK_PATH_MAX 512u

/** Is path relative, of plain parts ("a/b"), with no "." and ".." and not too long?
 * "" is fine: the env's directory. */
bool mk_path_ok(const char *path);
/** The directory that path lies in: "a/b" gives "a", "a" gives "". */
void mk_path_parent(char out[MK_PATH_MAX], const char *path);

#endif
