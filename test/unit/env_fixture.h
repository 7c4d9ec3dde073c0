/* env_fixture.h - a pair of envs that can reach each other, in either world. */
#ifndef UNIT_ENV_FIXTURE_H
#define UNIT_ENV_FIXTURE_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "env/env.h"
#include "world.h"
#include <mosaik/loop.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In the real world a and b are the same loop: the kernel stands between its sockets. */
struct fixture {
    struct mk_env *a, *b;
    struct world *w; /* NULL: the real world */
    const char *b_host;
    char dir[64];
};

static inline bool fixture_run_until(struct fixture *f, bool (*cond)(void *arg), void *arg)
{
    return f->w != NULL ? world_run_until(f->w, cond, arg, 20000)
                        : mk_loop_run_until(f->a, cond, arg, 60000);
}

static inline int fixture_open_real(void **state)
{
    struct fixture *f = mk_alloc(sizeof(*f));
    struct mk_fault fault;

    snprintf(f->dir, sizeof(f->dir), "/tmp/test-env.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(mk_loop_open(&f->a, f->dir, &fault), 0);
    f->b = f->a;
    f->b_host = "127.0.0.1";
    *state = f;
    return 0;
}

static inline int fixture_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline int fixture_close_real(void **state)
{
    struct fixture *f = *state;

    mk_loop_free(f->a);
    assert_int_equal(nftw(f->dir, fixture_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
    mk_free(f);
    return 0;
}

static inline int fixture_open_sim(void **state)
{
    struct fixture *f = mk_alloc(sizeof(*f));

    f->w = world_new(7);
    f->a = world_node(f->w, 0);
    f->b = world_node(f->w, 1);
    f->b_host = "n1";
    *state = f;
    return 0;
}

static inline int fixture_close_sim(void **state)
{
    struct fixture *f = *state;

    world_free(f->w);
    mk_free(f);
    return 0;
}

#endif
