/* kv_node.c - one member of the benchmark's committee.
 *
 *     kv_node DIR INDEX MEMBERS BASE_PORT [found [GROUPS]]
 *     kv_node peers MEMBERS                         peer ids, in the order of INDEX
 *
 * With KV_LEASES in the environment the groups have read leases.
 * Built with another KV_MACHINE it is a member of tests (test/live/ledger.h). */
#include "kv.h"

#ifndef KV_MACHINE
#define KV_MACHINE kv_machine_new
#else
struct mk_machine *KV_MACHINE(void);
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define YIELD_MS 2000u

struct member {
    struct mk_env *loop;
    bool failed;
};

static void stop_cb(void *arg, int signo)
{
    (void)signo;
    mk_loop_stop(arg);
}

/* Its disk or its component failed: who started this process may start it again. */
static void failed_cb(void *arg, const char *why)
{
    struct member *m = arg;

    fprintf(stderr, "kv_node: %s\n", why);
    m->failed = true;
    mk_loop_stop(m->loop);
}

static void log_line(void *arg, const struct mk_log_line *line)
{
    (void)arg;
    fprintf(stderr, "%.*s%s%s\n", (int)line->component.n, line->component.p,
            line->component.n > 0 ? ": " : "", line->text);
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
                                                      .machine = KV_MACHINE(),
                                                      .found = found,
                                                      .read_leases = getenv("KV_LEASES") != NULL},
                       reterr);
}

/* The members' peer ids, in their order. */
static int peers_main(unsigned n)
{
    struct kv_committee c;
    char hex[MK_ID_HEX];

    if (n == 0 || n > KV_MEMBERS_MAX)
        return 2;
    kv_committee_init(&c, n, 1);
    for (unsigned i = 0; i < n; i++)
        printf("%s\n", mk_peer_hex(&c.peers[i], hex));
    return 0;
}

int main(int argc, char **argv)
{
    struct kv_committee c;
    struct mk_fault fault = {{0}};
    struct member self = {0};
    struct mk_node *node;
    char listen[64];
    unsigned index, n, base, groups;

    if (argc == 3 && strcmp(argv[1], "peers") == 0)
        return peers_main((unsigned)strtoul(argv[2], NULL, 10));
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
    snprintf(listen, sizeof listen, "%s:%u", c.hosts[index], base + index);
    if (mk_loop_open(&self.loop, argv[1], &fault) != 0)
        return fail(&fault);
    mk_loop_on_signal(self.loop, stop_cb, self.loop);
    if (mk_node_open(self.loop, &node,
                     &(struct mk_node_options){.key = &c.keys[index],
                                               .listen = listen,
                                               .log = log_line,
                                               .failed = failed_cb,
                                               .failed_arg = &self},
                     &fault) != 0)
        return fail(&fault);
    for (unsigned i = 0; i < groups; i++)
        if (add_group(node, &c, i, argc > 5, &fault) != 0)
            return fail(&fault);
    mk_loop_run(self.loop);
    if (!self.failed)
        mk_node_yield(node, YIELD_MS);
    mk_node_close(node);
    mk_loop_free(self.loop);
    return self.failed ? 1 : 0;
}
