/* A history as a whole. Keys do not influence each other, so the operations of each are
 * judged by themselves: linearizability is local, and the search is exponential only in
 * what overlaps on one key. */
#include "linear_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
    [MK_LINEAR_CAS_REGISTER] = "cas-register",
    [MK_LINEAR_MULTI_REGISTER] = "multi-register",
    [MK_LINEAR_MUTEX] = "mutex",
    [MK_LINEAR_KV] = "kv",
    [MK_LINEAR_COUNTER] = "counter",
};

int mk_linear_model_of(enum mk_linear_model *ret, struct mk_str name)
{
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (mk_str_is(name, names[i])) {
            *ret = (enum mk_linear_model)i;
            return 0;
        }
    }
    return MK_ENOTFOUND;
}

struct mk_linear *mk_linear_new(enum mk_linear_model model)
{
    struct mk_linear *h = mk_alloc(sizeof *h);

    h->model = model;
    return h;
}

void mk_linear_free(struct mk_linear *h)
{
    if (h == NULL)
        return;
    mk_texts_done(&h->values);
    mk_texts_done(&h->keys);
    mk_texts_done(&h->states);
    mk_arena_done(&h->mem);
    mk_free(h->steps.v);
    mk_free(h->v);
    mk_free(h);
}

struct mk_op *mk_linear_add(struct mk_linear *h)
{
    if (h->n == h->cap) {
        h->cap = h->cap == 0 ? 64 : 2 * h->cap;
        h->v = mk_realloc(h->v, h->cap * sizeof *h->v);
    }
    memset(&h->v[h->n], 0, sizeof *h->v);
    return &h->v[h->n++];
}

void mk_linear_put(struct mk_linear *h, const struct mk_linear_operation *op)
{
    MK_ASSERT(h->model != MK_LINEAR_KV && h->model != MK_LINEAR_MULTI_REGISTER);
    MK_ASSERT(op->answered >= op->invoked);
    mk_linear_add(h)->o = *op;
}

static int by_key(const void *a, const void *b)
{
    const struct mk_op *x = *(const struct mk_op *const *)a, *y = *(const struct mk_op *const *)b;

    if (x->o.key != y->o.key)
        return x->o.key < y->o.key ? -1 : 1;
    if (x->o.invoked != y->o.invoked)
        return x->o.invoked < y->o.invoked ? -1 : 1;
    return x < y ? -1 : x > y; /* as they came: one array */
}

/* Does nothing and was not answered: it says nothing. */
static bool says_nothing(const struct mk_op *op)
{
    return op->dropped || (op->o.kind == MK_LINEAR_READ && op->o.answered == MK_LINEAR_NEVER);
}

#define ROUND_FIRST 4096u /* steps of the search */

/* The parts in rounds of growing patience: one that is refused soon ends it, whatever
 * another would take. */
void mk_linear_check(struct mk_linear *h, struct mk_linear_result *ret,
                     const struct mk_linear_limits *limits)
{
    const struct mk_op **v = mk_alloc((h->n + 1) * sizeof *v);
    size_t n = 0, operations = 0, left;

    for (size_t i = 0; i < h->n; i++) {
        operations += !h->v[i].dropped;
        if (!says_nothing(&h->v[i]))
            v[n++] = &h->v[i];
    }
    qsort(v, n, sizeof *v, by_key);
    for (uint64_t steps = ROUND_FIRST;; steps *= 8) {
        bool out = false;

        memset(ret, 0, sizeof *ret);
        left = 0;
        for (size_t at = 0, end; at < n && ret->verdict != MK_LINEAR_REFUSED; at = end) {
            struct mk_linear_result part = {0};

            for (end = at; end < n && v[end]->o.key == v[at]->o.key; end++)
                ;
            out = mk_linear_part(h, v + at, end - at, &part, limits, steps) || out;
            if (part.verdict != MK_LINEAR_OK)
                *ret = part;
            if (part.verdict == MK_LINEAR_UNKNOWN) {
                memmove(v + left, v + at, (end - at) * sizeof *v);
                left += end - at;
            }
        }
        n = left;
        if (ret->verdict != MK_LINEAR_UNKNOWN || out)
            break;
    }
    ret->operations = operations;
    mk_free(v);
}
