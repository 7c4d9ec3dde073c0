/* trace.c - see trace.h.
 *
 * The members note by their own clocks: on one machine the order is what happened, between machines
 * it is as good as their clocks. */
#include "trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX (MK_ROSTER_MAX * 8u)

void trace_begin(struct trace *t, struct agent *a, const struct component *c, uint32_t timeout_ms)
{
    t->a = a;
    t->component = *c;
    t->n = c->reference.n_addresses;
    t->answers = mk_arena_take(&a->arena, (t->n + 1) * sizeof *t->answers);
    for (size_t i = 0; i < t->n; i++)
        t->answers[i] = (struct mk_status_answer){.address = c->reference.addresses[i]};
    mk_node_trace_all(a->net, &c->reference.stable_id, /* report= */ false, t->answers, t->n,
                      timeout_ms);
    for (size_t i = 0; i < t->n; i++)
        mk_buf_done(&t->answers[i].json);
}

json_t *trace_end(struct trace *t, uint32_t timeout_ms)
{
    json_t *nodes = json_array();

    mk_node_trace_all(t->a->net, &t->component.reference.stable_id, /* report= */ true, t->answers,
                      t->n, timeout_ms);
    for (size_t i = 0; i < t->n; i++) {
        struct mk_status_answer *s = &t->answers[i];
        json_t *o = s->status == 0 ? json_loadb((const char *)s->json.p, s->json.n, 0, NULL) : NULL;

        if (o == NULL) {
            o = json_object();
            json_object_set_new(o, "error", json_string(s->fault.text));
        }
        json_object_set_new(o, "peer",
                            json_stringn(s->address.p, s->address.n < 64 ? s->address.n : 64));
        json_array_append_new(nodes, o);
        mk_buf_done(&s->json);
    }
    return nodes;
}

struct line {
    long long at_us;
    const char *peer, *step;
};

static int compare(const void *a, const void *b)
{
    const struct line *x = a, *y = b;

    return x->at_us < y->at_us ? -1 : x->at_us > y->at_us;
}

void trace_print(const json_t *nodes)
{
    struct line lines[LINES_MAX];
    const json_t *node;
    size_t i, n = 0;

    json_array_foreach(nodes, i, node)
    {
        json_t *steps = json_object_get(node, "steps");
        const char *peer = json_string_value(json_object_get(node, "peer")), *step;
        json_t *at;

        if (steps == NULL)
            printf("  %.16s does not tell: %s\n", peer,
                   json_string_value(json_object_get(node, "error")));
        json_object_foreach(steps, step, at)
        {
            if (n < LINES_MAX)
                lines[n++] = (struct line){json_integer_value(at), peer, step};
        }
    }
    qsort(lines, n, sizeof *lines, compare);
    for (i = 0; i < n; i++)
        printf("  +%9.3f ms  %.16s  %s\n", (double)(lines[i].at_us - lines[0].at_us) / 1000,
               lines[i].peer, lines[i].step);
}
