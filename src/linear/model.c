/* What operations do. A state is one number: a register's value, a counter's sum, 0 or 1
 * for a mutex; a text or a row of registers has the number of its content in h->states, so
 * that equal contents are equal states.
 *
 * An operation without an answer is right wherever it can happen at all; the search tries
 * it only where it changes something. */
#include "linear_int.h"

#include <string.h>

static bool answered(const struct mk_op *op)
{
    return op->o.answered != MK_LINEAR_NEVER;
}

static bool step_register(const struct mk_op *op, uint64_t state, uint64_t *ret)
{
    *ret = state;
    switch ((int)op->o.kind) {
    case MK_LINEAR_READ:
        return !answered(op) || op->o.a == state;
    case MK_LINEAR_WRITE:
        *ret = op->o.a;
        return true;
    case MK_LINEAR_CAS:
        if (state == op->o.a)
            *ret = op->o.b;
        return state == op->o.a || !answered(op);
    default:
        return false;
    }
}

static bool step_counter(const struct mk_op *op, uint64_t state, uint64_t *ret)
{
    bool add = op->o.kind == MK_LINEAR_ADD;

    *ret = add ? state + 1 : state;
    return !answered(op) || op->o.a == *ret;
}

static bool step_mutex(const struct mk_op *op, uint64_t state, uint64_t *ret)
{
    uint64_t held = op->o.kind == MK_LINEAR_ACQUIRE;

    *ret = held;
    return state != held;
}

static bool step_kv(struct mk_linear *h, const struct mk_op *op, uint64_t state, uint64_t *ret)
{
    struct mk_str was = mk_texts_text(&h->states, state), more;
    struct mk_buf b = {0};

    *ret = state;
    more = mk_texts_text(&h->values, op->o.a);
    if (op->o.kind == MK_LINEAR_READ)
        return !answered(op) || mk_str_eq(was, more);
    if (op->o.kind == MK_LINEAR_APPEND)
        mk_buf_put(&b, was.p, was.n);
    mk_buf_put(&b, more.p, more.n);
    *ret = mk_texts_number(&h->states, b.p, b.n);
    mk_buf_done(&b);
    return true;
}

/* The row: a u64 for each key. */
static bool step_txn(struct mk_linear *h, const struct mk_op *op, uint64_t state, uint64_t *ret)
{
    struct mk_str was = mk_texts_text(&h->states, state);
    uint64_t *row = mk_memdup(was.p, was.n);
    bool right = true;

    for (size_t i = 0; i < op->n_micro && right; i++) {
        const struct mk_micro *m = &op->micro[i];

        if (m->write)
            row[m->key - 1] = m->value;
        else
            right = !m->known || !answered(op) || row[m->key - 1] == m->value;
    }
    if (right)
        *ret = mk_texts_number(&h->states, row, was.n);
    mk_free(row);
    return right;
}

/* --- steps that were taken before ----------------------------------------------------- */

static struct mk_step *step_at(const struct mk_steps *s, uint64_t from)
{
    size_t at = (size_t)(from * 0x9e3779b97f4a7c15ull >> 20) & (s->cap - 1);

    while (s->v[at].from != 0 && s->v[at].from != from)
        at = (at + 1) & (s->cap - 1);
    return &s->v[at];
}

static void steps_grow(struct mk_steps *s)
{
    struct mk_steps more = {.n = s->n, .cap = s->cap == 0 ? 1024 : 2 * s->cap};

    more.v = mk_alloc(more.cap * sizeof *more.v);
    for (size_t i = 0; i < s->cap; i++)
        if (s->v[i].from != 0)
            *step_at(&more, s->v[i].from) = s->v[i];
    mk_free(s->v);
    *s = more;
}

static bool step_texts(struct mk_linear *h, const struct mk_op *op, uint64_t state, uint64_t *ret)
{
    uint64_t from = state << 32 | ((uint64_t)(op - h->v) + 1);
    struct mk_step *s;

    if (3 * (h->steps.n + 1) > 2 * h->steps.cap)
        steps_grow(&h->steps);
    s = step_at(&h->steps, from);
    if (s->from == 0) {
        bool right = h->model == MK_LINEAR_KV ? step_kv(h, op, state, &s->to)
                                              : step_txn(h, op, state, &s->to);

        if (!right)
            s->to = UINT64_MAX;
        s->from = from;
        h->steps.n++;
    }
    *ret = s->to;
    return s->to != UINT64_MAX;
}

bool mk_model_step(struct mk_linear *h, const struct mk_op *op, uint64_t state, uint64_t *ret)
{
    switch (h->model) {
    case MK_LINEAR_CAS_REGISTER:
        return step_register(op, state, ret);
    case MK_LINEAR_COUNTER:
        return step_counter(op, state, ret);
    case MK_LINEAR_MUTEX:
        return step_mutex(op, state, ret);
    case MK_LINEAR_KV:
    case MK_LINEAR_MULTI_REGISTER:
        return step_texts(h, op, state, ret);
    }
    return false;
}

uint64_t mk_model_begin(struct mk_linear *h)
{
    uint64_t *row, state, zero;

    if (h->model == MK_LINEAR_KV)
        return mk_texts_number(&h->states, NULL, 0);
    if (h->model != MK_LINEAR_MULTI_REGISTER)
        return 0;
    zero = mk_texts_number(&h->values, "0", 1);
    row = mk_alloc((h->keys.n + 1) * sizeof *row);
    for (size_t i = 0; i < h->keys.n; i++)
        row[i] = zero;
    state = mk_texts_number(&h->states, row, h->keys.n * sizeof *row);
    mk_free(row);
    return state;
}

static bool begins(struct mk_str text, struct mk_str with)
{
    return with.n == 0 || (with.n <= text.n && memcmp(with.p, text.p, with.n) == 0);
}

bool mk_model_off(const struct mk_linear *h, const struct mk_op *read, uint64_t state)
{
    return !begins(mk_texts_text(&h->values, read->o.a), mk_texts_text(&h->states, state));
}

bool mk_model_begins(const struct mk_linear *h, const struct mk_op *read, const struct mk_op *put)
{
    return begins(mk_texts_text(&h->values, read->o.a), mk_texts_text(&h->values, put->o.a));
}

bool mk_model_idle(const struct mk_op *op)
{
    for (size_t i = 0; i < op->n_micro; i++)
        if (op->micro[i].write)
            return false;
    return op->o.kind == MK_LINEAR_READ || op->o.kind == MK_LINEAR_TXN ||
           (op->o.kind == MK_LINEAR_CAS && op->o.a == op->o.b);
}

bool mk_model_same(const struct mk_op *a, const struct mk_op *b)
{
    if (a->o.kind != b->o.kind || a->o.a != b->o.a || a->o.b != b->o.b || a->n_micro != b->n_micro)
        return false;
    for (size_t i = 0; i < a->n_micro; i++) {
        const struct mk_micro *x = &a->micro[i], *y = &b->micro[i];

        if (x->write != y->write || x->key != y->key || (x->write && x->value != y->value))
            return false;
    }
    return true;
}
