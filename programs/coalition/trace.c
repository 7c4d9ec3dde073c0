/* trace.c - see trace.h.
 *
 * The members note by their own clocks: on one machine the order is what happened, between machines
 * it is as good as their clocks. */
#include "trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX (MK_ROSTER_MAX * 40u)

void trace_begin(struct mk_bond *b, const struct reach *r, uint32_t timeout_ms)
{
    if (r->trace)
        mk_bond_trace_begin(b, timeout_ms / 4 + 1);
}

json_t *trace_end(struct mk_bond *b, const struct reach *r, uint32_t timeout_ms)
{
    struct mk_buf json = {0};
    json_t *nodes;

    if (!r->trace)
        return NULL;
    mk_bond_trace_end(b, timeout_ms, &json);
    nodes = json_loadb((const char *)json.p, json.n, 0, NULL);
    mk_buf_done(&json);
    return nodes != NULL ? nodes : json_array();
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
