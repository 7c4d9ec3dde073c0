/* kv_node.c - one member of the benchmark's committee.
 *
 *     kv_node DIR INDEX MEMBERS BASE_PORT [found [GROUPS]] */
#include "kv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void stop_cb(void *arg, int signo)
{
    (void)signo;
    mk_loop_stop(arg);
}

static void log_line(void *arg, const struct mk_log_line *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line->text);
}

static int fail(const struct mk_fault *f)
{
    fprintf(stderr, "kv_node: %s\n", f->text);
    return 1;
}

static int add_group(struct mk_node *node, const struct kv_committee *c, unsigned number,
                     bool found, struct mk_fault *reterr)
{
    static const struct mk_acl_composition open = {0};
    struct kv_group g;

    kv_group_init(&g, c, number);
    return mk_node_add(node,
                       &(struct mk_component_options){.label = mk_str_of(g.label),
                                                      .stable_id = g.stable_id,
                                                      .content_hash = g.content,
                                                      .deployment = g.deployment,
                                                      .roster = &g.roster,
                                                      .addresses = c->address_list,
                                                      .n_addresses = c->n,
                                                      .acl = &open,
                                                      .machine = kv_machine_new(),
                                                      .found = found},
                       reterr);
}

int main(int argc, char **argv)
{
    struct kv_committee c;
    struct mk_fault fault = {{0}};
    struct mk_env *loop;
    struct mk_node *node;
    char listen[64];
    unsigned index, n, base, groups;

    if (argc < 5) {
        fprintf(stderr, "usage: kv_node DIR INDEX MEMBERS BASE_PORT [found [GROUPS]]\n");
        return 2;
    }
    index = (unsigned)strtoul(argv[2], NULL, 10);
    n = (unsigned)strtoul(argv[3], NULL, 10);
    base = (unsigned)strtoul(argv[4], NULL, 10);
    groups = argc > 6 ? (unsigned)strtoul(argv[6], NULL, 10) : 1;
    if (n == 0 || n > KV_MEMBERS_MAX || index >= n || groups == 0 || groups > KV_GROUPS_MAX)
        return 2;
    kv_committee_init(&c, n, base);
    snprintf(listen, sizeof listen, "127.0.0.1:%u", base + index);
    if (mk_loop_open(&loop, argv[1], &fault) != 0)
        return fail(&fault);
    mk_loop_on_signal(loop, stop_cb, loop);
    if (mk_node_open(
            loop, &node,
            &(struct mk_node_options){.key = &c.keys[index], .listen = listen, .log = log_line},
            &fault) != 0)
        return fail(&fault);
    for (unsigned i = 0; i < groups; i++)
        if (add_group(node, &c, i, argc > 5, &fault) != 0)
            return fail(&fault);
    mk_loop_run(loop);
    mk_node_close(node);
    mk_loop_free(loop);
    return 0;
}
