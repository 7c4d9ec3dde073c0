/* The seam's calls, forwarded to the world behind the env, and the little that is the
 * same in every world. Arguments that only a mistake of ours can produce (a path with
 * "..", a second write in flight) end in assertions in the worlds; a path is checked
 * here, since its parts may come from a configuration.
 *
 * mk_file_store() is the one recipe for replacing a file: write a new one beside it,
 * make that durable, rename it over the old one, make the rename durable. A crash
 * leaves the old content or the new one, and perhaps the temporary file, which the
 * next store removes. */
#include "env/env_ops.h"

#include "base/assert.h"
#include <stdio.h>
#include <string.h>

void mk_env_base_init(struct mk_env *e, const struct mk_env_ops *ops)
{
    e->ops = ops;
    mk_list_init(&e->tasks);
}

bool mk_env_is_dead(const struct mk_env *e)
{
    return e->dead;
}

/* --- time ------------------------------------------------------------------ */

uint64_t mk_now(struct mk_env *e)
{
    return e->ops->now(e);
}

uint64_t mk_clock(struct mk_env *e)
{
    return e->ops->clock != NULL ? e->ops->clock(e) : e->ops->now(e);
}

uint64_t mk_wall_ms(struct mk_env *e)
{
    return e->ops->wall_ms(e);
}

void mk_timer_start(struct mk_env *e, struct mk_timer *t, uint64_t at_ns)
{
    MK_ASSERT(t->cb != NULL);
    MK_ASSERT(!t->armed || t->env == e);
    t->env = e;
    t->at_ns = at_ns;
    t->armed = true;
    e->ops->timer_start(e, t, at_ns);
}

void mk_timer_stop(struct mk_timer *t)
{
    if (!t->armed)
        return;
    t->armed = false;
    t->env->ops->timer_stop(t->env, t);
}

/* --- tasks ------------------------------------------------------------------ */

void mk_later(struct mk_env *e, struct mk_task *t)
{
    bool first = mk_list_empty(&e->tasks);

    if (t->queued)
        return;
    MK_ASSERT(t->cb != NULL);
    t->env = e;
    t->queued = true;
    mk_list_add_tail(&e->tasks, &t->node);
    if (first && e->ops->tasks_wait != NULL)
        e->ops->tasks_wait(e);
}

void mk_later_cancel(struct mk_task *t)
{
    if (!t->queued)
        return;
    t->queued = false;
    mk_list_del(&t->node);
}

void mk_env_run_tasks(struct mk_env *e)
{
    struct mk_list *n;

    while ((n = mk_list_pop(&e->tasks)) != NULL) {
        struct mk_task *t = mk_container_of(n, struct mk_task, node);

        t->queued = false;
        t->cb(t);
    }
}

void mk_env_drop_tasks(struct mk_env *e)
{
    struct mk_list *n;

    while ((n = mk_list_pop(&e->tasks)) != NULL)
        mk_container_of(n, struct mk_task, node)->queued = false;
}

void mk_entropy(struct mk_env *e, void *out, size_t n)
{
    e->ops->entropy(e, out, n);
}

void mk_work_start(struct mk_env *e, struct mk_work *w)
{
    MK_ASSERT(w->run != NULL && w->done != NULL);
    w->env = e;
    e->ops->work_start(e, w);
}

void mk_work_cancel(struct mk_work *w)
{
    if (w->impl != NULL)
        w->env->ops->work_cancel(w->env, w);
}

int mk_tsm_quote(struct mk_env *e, const char *dir, const char *entry, const uint8_t data[64],
                 size_t max, struct mk_buf *out, struct mk_fault *reterr)
{
    return e->ops->tsm_quote(e, dir, entry, data, max, out, reterr);
}

/* --- disk ------------------------------------------------------------------- */

static bool part_ok(const char *p, size_t n)
{
    return n > 0 && !(n == 1 && p[0] == '.') && !(n == 2 && p[0] == '.' && p[1] == '.');
}

bool mk_path_ok(const char *path)
{
    const char *p = path;

    if (*p == 0)
        return true;
    if (strlen(path) >= MK_PATH_MAX)
        return false;
    for (;;) {
        size_t n = strcspn(p, "/");

        if (!part_ok(p, n))
            return false;
        if (p[n] == 0)
            return true;
        p += n + 1;
    }
}

void mk_path_parent(char out[MK_PATH_MAX], const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash == NULL ? 0 : (size_t)(slash - path);

    MK_ASSERT(n < MK_PATH_MAX);
    memcpy(out, path, n);
    out[n] = 0;
}

static bool entry_ok(const char *path)
{
    return *path != 0 && mk_path_ok(path);
}

int mk_file_open(struct mk_env *e, struct mk_file **ret, const char *path, enum mk_open_mode mode)
{
    return entry_ok(path) ? e->ops->file_open(e, ret, path, mode) : MK_EINVALID;
}

void mk_file_close(struct mk_file *f)
{
    if (f != NULL)
        f->env->ops->file_close(f);
}

int mk_file_size(struct mk_file *f, uint64_t *ret)
{
    return f->env->ops->file_size(f, ret);
}

int mk_file_read(struct mk_file *f, void *out, size_t n, uint64_t off, size_t *ret_n)
{
    return f->env->ops->file_read(f, out, n, off, ret_n);
}

int mk_file_write(struct mk_file *f, const void *p, size_t n, uint64_t off)
{
    return f->env->ops->file_write(f, p, n, off);
}

int mk_file_truncate(struct mk_file *f, uint64_t size)
{
    return f->env->ops->file_truncate(f, size);
}

int mk_file_sync(struct mk_file *f)
{
    return f->env->ops->file_sync(f);
}

void mk_file_bulk(struct mk_file *f)
{
    f->bulk = true;
}

int mk_rename(struct mk_env *e, const char *from, const char *to)
{
    return entry_ok(from) && entry_ok(to) ? e->ops->rename(e, from, to) : MK_EINVALID;
}

int mk_unlink(struct mk_env *e, const char *path)
{
    return entry_ok(path) ? e->ops->unlink(e, path) : MK_EINVALID;
}

int mk_mkdir(struct mk_env *e, const char *path)
{
    return entry_ok(path) ? e->ops->mkdir(e, path) : MK_EINVALID;
}

int mk_dir_sync(struct mk_env *e, const char *path)
{
    return mk_path_ok(path) ? e->ops->dir_sync(e, path) : MK_EINVALID;
}

int mk_dir_list(struct mk_env *e, const char *path, void (*cb)(void *arg, const char *name),
                void *arg)
{
    return mk_path_ok(path) ? e->ops->dir_list(e, path, cb, arg) : MK_EINVALID;
}

int mk_dir_lock(struct mk_env *e)
{
    return e->ops->dir_lock(e);
}

bool mk_env_node_begin(struct mk_env *e)
{
    if (e->has_node)
        return false;
    e->has_node = true;
    return true;
}

void mk_env_node_end(struct mk_env *e)
{
    e->has_node = false;
}

bool mk_env_has_node(const struct mk_env *e)
{
    return e->has_node;
}

int mk_file_load(struct mk_env *e, const char *path, size_t max, struct mk_buf *out)
{
    struct mk_file *f;
    uint64_t size;
    size_t n, before = out->n;
    int rv = mk_file_open(e, &f, path, MK_OPEN_READ);

    if (rv != 0)
        return rv;
    rv = mk_file_size(f, &size);
    if (rv == 0 && size > max)
        rv = MK_ELIMIT;
    if (rv == 0) {
        rv = mk_file_read(f, mk_buf_grow(out, (size_t)size), (size_t)size, 0, &n);
        out->n = rv == 0 ? before + n : before;
    }
    mk_file_close(f);
    return rv;
}

/* Writes the temporary file and makes its content durable. */
static int store_content(struct mk_env *e, const char *tmp, struct mk_bytes content)
{
    struct mk_file *f;
    int rv = mk_unlink(e, tmp);

    if (rv != 0 && rv != MK_ENOTFOUND)
        return rv;
    rv = mk_file_open(e, &f, tmp, MK_OPEN_CREATE);
    if (rv != 0)
        return rv;
    rv = mk_file_write(f, content.p, content.n, 0);
    if (rv == 0)
        rv = mk_file_sync(f);
    mk_file_close(f);
    return rv;
}

int mk_file_store(struct mk_env *e, const char *path, struct mk_bytes content)
{
    char tmp[MK_PATH_MAX], dir[MK_PATH_MAX];
    int rv;

    if (!entry_ok(path) || strlen(path) + sizeof(".tmp") > sizeof(tmp))
        return MK_EINVALID;
    snprintf(tmp, sizeof(tmp), "%s.tmp", path);
    mk_path_parent(dir, path);
    rv = store_content(e, tmp, content);
    if (rv == 0)
        rv = mk_rename(e, tmp, path);
    return rv == 0 ? mk_dir_sync(e, dir) : rv;
}

void mk_write_sync(struct mk_file *f, struct mk_write_sync *w, const void *p, size_t n,
                   uint64_t off)
{
    MK_ASSERT(w->cb != NULL);
    w->file = f;
    w->p = p;
    w->n = n;
    w->off = off;
    f->env->ops->write_sync(f, w);
}

/* --- byte streams ------------------------------------------------------------ */

int mk_sock_write(struct mk_sock *s, const void *p, size_t n)
{
    return s->env->ops->sock_write(s, p, n);
}

size_t mk_sock_queued(const struct mk_sock *s)
{
    return s->env->ops->sock_queued(s);
}

void mk_sock_pause(struct mk_sock *s, bool paused)
{
    s->env->ops->sock_pause(s, paused);
}

void mk_sock_close(struct mk_sock *s)
{
    if (s != NULL)
        s->env->ops->sock_close(s);
}

const char *mk_sock_remote(const struct mk_sock *s)
{
    return s->env->ops->sock_remote(s);
}

int mk_sock_vouched(const struct mk_sock *s, struct mk_peer *ret)
{
    return s->env->ops->sock_vouched(s, ret);
}

void mk_env_vouch(struct mk_env *e, const struct mk_peer *self)
{
    e->ops->vouch(e, self);
}

int mk_listen(struct mk_env *e, struct mk_listener *l, const char *address, struct mk_fault *reterr)
{
    MK_ASSERT(l->accept != NULL);
    l->env = e;
    return e->ops->listen(e, l, address, reterr);
}

uint16_t mk_listener_port(const struct mk_listener *l)
{
    return l->env->ops->listener_port(l);
}

void mk_listener_close(struct mk_listener *l)
{
    if (l->env == NULL || l->impl == NULL)
        return;
    l->env->ops->listener_close(l);
    l->impl = NULL;
}

int mk_connect(struct mk_env *e, struct mk_connect *c, const char *address)
{
    MK_ASSERT(c->cb != NULL);
    c->env = e;
    c->impl = NULL;
    return e->ops->connect(e, c, address);
}

void mk_connect_cancel(struct mk_connect *c)
{
    if (c->env == NULL || c->impl == NULL)
        return;
    c->env->ops->connect_cancel(c);
    c->impl = NULL;
}

/* --- lines from outside -------------------------------------------------------- */

int mk_input_open(struct mk_env *e, struct mk_input *in, const struct mk_input_spec *spec,
                  struct mk_fault *reterr)
{
    int rv;

    MK_ASSERT(in->line != NULL && in->end != NULL);
    in->env = e;
    in->impl = NULL;
    rv = e->ops->input_open(e, in, spec, reterr);
    if (rv != 0)
        in->impl = NULL;
    return rv;
}

void mk_input_pause(struct mk_input *in, bool paused)
{
    in->env->ops->input_pause(in, paused);
}

void mk_input_close(struct mk_input *in)
{
    if (in->env == NULL || in->impl == NULL)
        return;
    in->env->ops->input_close(in);
    in->impl = NULL;
}

/* --- datagrams to everybody ------------------------------------------------------- */

int mk_cast_open(struct mk_env *e, struct mk_cast *c, const char *group, const char *interface,
                 struct mk_fault *reterr)
{
    int rv;

    MK_ASSERT(c->got != NULL);
    c->env = e;
    c->impl = NULL;
    if (e->ops->cast_open == NULL)
        return mk_fault(reterr, MK_ENOTSUP, "there is no multicast in this world");
    rv = e->ops->cast_open(e, c, group, interface, reterr);
    if (rv != 0)
        c->impl = NULL;
    return rv;
}

void mk_cast_send(struct mk_cast *c, struct mk_bytes datagram)
{
    MK_ASSERT(datagram.n <= MK_CAST_MAX);
    if (c->impl != NULL)
        c->env->ops->cast_send(c, datagram);
}

void mk_cast_close(struct mk_cast *c)
{
    if (c->impl == NULL)
        return;
    c->env->ops->cast_close(c);
    c->impl = NULL;
}

/* --- HTTP for operators -------------------------------------------------------- */

int mk_http_open(struct mk_env *e, struct mk_http *h, const char *address, struct mk_fault *reterr)
{
    int rv;

    MK_ASSERT(h->get != NULL);
    h->env = e;
    h->impl = NULL;
    if (e->ops->http_open == NULL)
        return mk_fault(reterr, MK_ENOTSUP, "there is no HTTP in this world");
    rv = e->ops->http_open(e, h, address, reterr);
    if (rv != 0)
        h->impl = NULL;
    return rv;
}

uint16_t mk_http_port(const struct mk_http *h)
{
    return h->impl != NULL ? h->env->ops->http_port(h) : 0;
}

void mk_http_close(struct mk_http *h)
{
    if (h->impl == NULL)
        return;
    h->env->ops->http_close(h);
    h->impl = NULL;
}
