/* Writes without an answer, settled before the search where a register is read and written alone.
 *
 * Nobody knows whether such a write happened, so each one doubles what the search has to try. But
 * where its value is written once and is not the register's first:
 *
 *   nobody read it  then it may be left out: in any order that has it, whatever comes after it and
 *                   before the next write reads nothing, and the order is as good without it;
 *   somebody did    then it happened before the first of those reads ended, so it has an answer
 *                   by then.
 *
 * Both say the same histories linearizable as before. Compare-and-set sees what it does not
 * return, so histories with one are left as they are. */
#include "linear_int.h"

#define PAIRS_MAX ((size_t)1 << 28) /* of operations that are compared */

static bool is_open(const struct mk_op *op)
{
    return op->o.answered == MK_LINEAR_NEVER;
}

static bool can_settle(const struct mk_linear *h, const struct mk_op *const *v, size_t n)
{
    size_t open = 0;

    if (h->model != MK_LINEAR_CAS_REGISTER)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (v[i]->o.kind != MK_LINEAR_READ && v[i]->o.kind != MK_LINEAR_WRITE)
            return false;
        open += is_open(v[i]);
    }
    return open > 0 && open <= PAIRS_MAX / n;
}

/* When the value was first read, at the latest; NEVER: it was not. False: it was written twice. */
static bool first_read(const struct mk_op *const *v, size_t n, const struct mk_op *put,
                       uint64_t *ret)
{
    *ret = MK_LINEAR_NEVER;
    for (size_t i = 0; i < n; i++) {
        if (v[i] == put || v[i]->o.a != put->o.a)
            continue;
        if (v[i]->o.kind == MK_LINEAR_WRITE)
            return false;
        if (v[i]->o.answered < *ret)
            *ret = v[i]->o.answered;
    }
    return true;
}

size_t mk_linear_settle(struct mk_linear *h, const struct mk_op *const *v, size_t n,
                        const struct mk_op **ret, struct mk_op *copies)
{
    bool can = can_settle(h, v, n);
    size_t k = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t first;

        ret[k] = v[i];
        if (!can || !is_open(v[i])) {
            k++;
            continue;
        }
        if (v[i]->o.kind == MK_LINEAR_READ)
            continue;
        if (v[i]->o.a == mk_model_begin(h) || !first_read(v, n, v[i], &first)) {
            k++;
            continue;
        }
        if (first == MK_LINEAR_NEVER)
            continue;
        if (first > v[i]->o.invoked) { /* else it was read before it was written: no order has it */
            copies[k] = *v[i];
            copies[k].o.answered = first;
            ret[k] = &copies[k];
        }
        k++;
    }
    return k;
}
