/* Lines from outside, fed by the test: whatever the node opened by that name. */
#include "world_int.h"

#include <stdio.h>
#include <string.h>

struct sim_input {
    struct mk_list node; /* in life->inputs */
    struct mk_input *in;
    struct sim_life *life;
    char *name;
    struct mk_lines lines;
    bool paused, eof, ended;
    int status;
    struct sim_event ev;
};

static void input_fire(struct sim_event *ev)
{
    struct sim_input *u = mk_container_of(ev, struct sim_input, ev);
    struct sim_life *l = u->life;
    struct mk_input *in = u->in;
    struct mk_str line;
    int rv;

    while (!u->paused && (rv = mk_lines_next(&u->lines, &line, u->eof)) != MK_ENOTFOUND) {
        sim_trace(l->w, SIM_INPUT, l->node->index, line.n, (uint64_t)-rv);
        sim_trace_bytes(l->w, line.p, line.n);
        in->line(in, line, rv);
        if (in->impl != u)
            return; /* closed */
    }
    if (!u->paused && u->eof && !u->ended) {
        u->ended = true;
        in->end(in, u->status);
    }
}

static struct sim_input *input_find(struct world *w, unsigned i, const char *name)
{
    struct sim_node *n = sim_node_get(w, i);

    if (n->life == NULL)
        return NULL;
    mk_list_each(e, &n->life->inputs)
    {
        struct sim_input *u = mk_container_of(e, struct sim_input, node);

        if (strcmp(u->name, name) == 0)
            return u;
    }
    return NULL;
}

static void input_wake(struct sim_input *u)
{
    if (!u->ev.scheduled && !u->life->dead)
        sim_event_at(u->life->w, u->life, &u->ev, u->life->w->now_ns);
}

bool world_input(struct world *w, unsigned i, const char *name, const char *text)
{
    struct sim_input *u = input_find(w, i, name);

    if (u == NULL)
        return false;
    mk_lines_put(&u->lines, text, strlen(text));
    input_wake(u);
    return true;
}

bool world_input_end(struct world *w, unsigned i, const char *name, int status)
{
    struct sim_input *u = input_find(w, i, name);

    if (u == NULL)
        return false;
    u->eof = true;
    u->status = status;
    input_wake(u);
    return true;
}

int sim_input_open(struct mk_env *e, struct mk_input *in, const struct mk_input_spec *spec,
                   struct mk_fault *reterr)
{
    struct sim_input *u = mk_alloc(sizeof(*u));
    char fd_name[24];

    (void)reterr;
    u->in = in;
    u->life = sim_life_of(e);
    snprintf(fd_name, sizeof(fd_name), "fd:%d", spec->fd);
    switch (spec->kind) {
    case MK_INPUT_FD:
        u->name = mk_strdup(fd_name);
        break;
    case MK_INPUT_FILE:
        u->name = mk_strdup(spec->path);
        break;
    case MK_INPUT_COMMAND:
        u->name = mk_strdup(spec->command);
        break;
    }
    u->lines.max = spec->line_max == 0 ? MK_INPUT_LINE_MAX : spec->line_max;
    u->ev = (struct sim_event){.kind = SIM_INPUT, .fire = input_fire};
    mk_list_add_tail(&u->life->inputs, &u->node);
    in->impl = u;
    return 0;
}

void sim_input_pause(struct mk_input *in, bool paused)
{
    struct sim_input *u = in->impl;

    u->paused = paused;
    if (!paused)
        input_wake(u);
}

static void input_free(struct sim_input *u)
{
    sim_event_cancel(&u->ev);
    mk_list_del(&u->node);
    mk_lines_done(&u->lines);
    mk_free(u->name);
    mk_free(u);
}

void sim_input_close(struct mk_input *in)
{
    struct sim_input *u = in->impl;

    in->impl = NULL;
    input_free(u);
}

void sim_inputs_free(struct sim_life *l)
{
    while (!mk_list_empty(&l->inputs))
        input_free(mk_container_of(l->inputs.next, struct sim_input, node));
}
