/* The heap against a naive model, and lines cut from bytes that come in any pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "env/heap.h"
#include "env/lines.h"
#include "prng.h"
#include <mosaik/error.h>
#include <string.h>

#define N_ITEMS 200u

struct model {
    struct mk_heap_item item;
    uint64_t at, seq;
    bool in;
};

/* The earliest of the model; NULL when it is empty. */
static struct model *model_top(struct model *m)
{
    struct model *best = NULL;

    for (unsigned i = 0; i < N_ITEMS; i++) {
        if (m[i].in &&
            (best == NULL || m[i].at < best->at || (m[i].at == best->at && m[i].seq < best->seq)))
            best = &m[i];
    }
    return best;
}

static void heap_agrees_with_model(void **state)
{
    struct prng p = prng_of(1, 1);
    struct model m[N_ITEMS] = {0};
    struct mk_heap h = {0};

    (void)state;
    for (uint64_t step = 0; step < 20000; step++) {
        struct model *x = &m[prng_below(&p, N_ITEMS)], *top;

        if (prng_below(&p, 3) < 2) { /* put, or move */
            x->at = prng_below(&p, 100);
            x->seq = step;
            x->in = true;
            mk_heap_put(&h, &x->item, x->at);
        } else {
            x->in = false;
            mk_heap_del(&h, &x->item);
        }
        assert_int_equal(x->item.pos != 0, x->in);
        top = model_top(m);
        assert_ptr_equal(mk_heap_top(&h) == NULL ? NULL : mk_heap_top(&h)->item,
                         top == NULL ? NULL : &top->item);
    }
    while (mk_heap_top(&h) != NULL) {
        struct model *top = model_top(m);

        assert_ptr_equal(mk_heap_top(&h)->item, &top->item);
        top->in = false;
        mk_heap_del(&h, &top->item);
    }
    assert_null(model_top(m));
    mk_heap_put(&h, &m[0].item, 1);
    mk_heap_done(&h);
    assert_int_equal(m[0].item.pos, 0);
}

/* What comes out, with '!' after what was too long and '|' after the rest. */
static void lines_drain(struct mk_lines *l, struct mk_buf *out, bool at_end)
{
    struct mk_str line;
    int rv;

    while ((rv = mk_lines_next(l, &line, at_end)) != MK_ENOTFOUND) {
        assert_true(line.n <= l->max);
        mk_buf_put(out, line.p, line.n);
        mk_buf_put_u8(out, rv == 0 ? '|' : '!');
    }
}

static void lines_in_any_pieces(void **state)
{
    static const char in[] = "one\ntwo\r\n\n12345678\n12345678\r\n123456789\nlong long long line\n"
                             "\r\nx\r\nlast without an end";
    static const char want[] = "one|two||12345678|12345678|12345678!long lon!|x|last wit!";
    struct prng p = prng_of(2, 1);

    (void)state;
    for (unsigned round = 0; round < 500; round++) {
        struct mk_lines l = {.max = 8};
        struct mk_buf out = {0};
        size_t n = sizeof(in) - 1, most = 1 + (size_t)prng_below(&p, 40);

        for (size_t at = 0, k; at < n; at += k) {
            k = 1 + (size_t)prng_below(&p, most);
            k = k < n - at ? k : n - at;
            mk_lines_put(&l, in + at, k);
            lines_drain(&l, &out, /* at_end= */ false);
            assert_true(l.acc.n <= 2 * most + 2 * l.max + 2);
        }
        lines_drain(&l, &out, /* at_end= */ true);
        assert_int_equal(out.n, sizeof(want) - 1);
        assert_memory_equal(out.p, want, out.n);
        mk_buf_done(&out);
        mk_lines_done(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heap_agrees_with_model),
        cmocka_unit_test(lines_in_any_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
