/* node.c - a process that runs committee members.
 *
 * Opened in this order: the store (the log is recovered, the directory locked), the
 * network (listener, discovery), then each component as it is added. Closed in the
 * reverse: drivers and members first, so that nothing is proposed any more; then the
 * departure is announced; the log last. */
#include "node/node.h"

#include "collections/certificate.h"

#include <stdio.h>

void mk_node_log(struct mk_node *n, const struct mk_host *h, const char *event, bool warning,
                 const char *fmt, ...)
{
    struct mk_log_line line = {.event = event, .warning = warning};
    char text[512];
    va_list ap;

    if (n->log == NULL)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    line.text = text;
    if (h != NULL)
        line.component = h->label;
    n->log(n->log_arg, &line);
}

/* One log for all: when it is dead, the components that do not know it yet are too. */
void mk_node_component_failed(struct mk_node *n, const char *why)
{
    void (*failed)(void *arg, const char *why) = n->failed;

    if (failed == NULL)
        return;
    mk_list_each(p, &n->hosts)
    {
        if (!mk_container_of(p, struct mk_host, node)->failed && mk_store_status(n->store) == 0)
            return;
    }
    n->failed = NULL;
    failed(n->failed_arg, why);
}

/** Revoked tickets end bonds that run: each group judges everybody again. */
static void records_changed(struct mk_discovery_watch *w)
{
    struct mk_node *n = mk_container_of(w, struct mk_node, records);
    uint64_t changes = mk_issuer_book_changes(n->network->issuers);

    mk_list_each(p, &n->hosts) mk_host_redial(mk_container_of(p, struct mk_host, node));
    if (changes == n->lists_seen)
        return;
    n->lists_seen = changes;
    mk_node_log(n, NULL, "revocations", false,
                "a list of revoked tickets came; all are judged again");
    mk_list_each(p, &n->hosts) mk_group_rejudge(mk_container_of(p, struct mk_host, node)->group);
    mk_list_each(p, &n->mirrors)
    {
        struct mk_mirror *m = mk_container_of(p, struct mk_mirror, node);

        if (m->replica != NULL)
            mk_replica_rejudge(m->replica);
    }
}

static void offer(struct mk_task *t);

int mk_node_open(struct mk_env *e, struct mk_node **ret, const struct mk_node_options *o,
                 struct mk_fault *reterr)
{
    struct mk_node *n;
    struct mk_network_options net = {.key = o->key,
                                     .universe = o->universe,
                                     .listen = o->listen,
                                     .advertise = o->advertise,
                                     .hints = o->hints,
                                     .n_hints = o->n_hints,
                                     .tickets = o->tickets,
                                     .n_tickets = o->n_tickets,
                                     .lan = o->lan,
                                     .tags = o->tags,
                                     .n_tags = o->n_tags,
                                     .witness = o->witness,
                                     .vouched = o->vouched};
    int rv;

    if (!mk_env_node_begin(e))
        return mk_fault(reterr, MK_EINUSE,
                        "a node is open on this loop already: a loop has one, which runs as many "
                        "components as are added; another node needs a loop and a directory of its "
                        "own");
    n = mk_alloc(sizeof *n);
    n->env = e;
    n->opened_ns = mk_now(e);
    n->log = o->log;
    n->log_arg = o->log_arg;
    n->failed = o->failed;
    n->failed_arg = o->failed_arg;
    n->offer.cb = offer;
    mk_list_init(&n->hosts);
    mk_list_init(&n->mirrors);
    rv = mk_store_open(e, &n->store, &(struct mk_store_options){0}, reterr);
    if (rv != 0)
        goto err_node;
    if (mk_store_aside(e, &n->aside) == 0)
        mk_node_log(n, NULL, "damaged", true, "a damaged log was put away: %.*s", (int)n->aside.n,
                    (const char *)n->aside.p);
    rv = mk_network_open(e, &n->network, &net, reterr);
    if (rv != 0)
        goto err_store;
    mk_status_serve(n);
    rv = mk_trace_serve(n);
    MK_ASSERT(rv == 0); /* nobody else serves it */
    rv = mk_operate_serve(n);
    MK_ASSERT(rv == 0);
    n->records.changed = records_changed;
    mk_discovery_watch(n->network->discovery, &n->records);
    rv = o->http != NULL ? mk_node_http_open(n, o->http, reterr) : 0;
    if (rv != 0) {
        struct mk_fault why = {{0}};

        if (reterr != NULL)
            why = *reterr;
        mk_fault(reterr, rv, "http: %.*s", MK_FAULT_MAX - 8, why.text);
        goto err_network;
    }
    *ret = n;
    return 0;

err_network:
    mk_discovery_unwatch(&n->records);
    mk_net_unserve(&n->trace);
    mk_network_close(n->network);
err_store:
    mk_store_close(n->store, NULL, NULL);
    mk_buf_done(&n->aside);
err_node:
    mk_env_node_end(e);
    mk_free(n);
    return rv;
}

void mk_node_close(struct mk_node *n)
{
    if (n == NULL)
        return;
    mk_http_close(&n->http);
    mk_later_cancel(&n->offer);
    while (!mk_list_empty(&n->mirrors))
        mk_mirror_close(mk_container_of(n->mirrors.prev, struct mk_mirror, node));
    while (!mk_list_empty(&n->hosts))
        mk_host_close(mk_container_of(n->hosts.prev, struct mk_host, node));
    mk_discovery_unwatch(&n->records);
    mk_net_unserve(&n->trace);
    mk_net_unserve(&n->operate);
    mk_network_close(n->network);
    mk_store_close(n->store, NULL, NULL);
    mk_env_node_end(n->env);
    mk_buf_done(&n->aside);
    mk_free(n);
}

int mk_node_set_aside(struct mk_env *e, const char *why, struct mk_fault *reterr)
{
    if (mk_env_has_node(e))
        return mk_fault(reterr, MK_EINUSE, "a node is open on this loop: close it first");
    return mk_store_set_aside(e, why, reterr);
}

struct mk_network *mk_node_network(struct mk_node *n)
{
    return n->network;
}

uint16_t mk_node_port(const struct mk_node *n)
{
    return mk_network_port(n->network);
}

static void offer(struct mk_task *t)
{
    struct mk_node *n = mk_container_of(t, struct mk_node, offer);
    struct mk_id *deployments = mk_alloc((n->n_hosts + 1) * sizeof *deployments), *surfaces;
    size_t n_surfaces = 0, n_deployments = 0;

    mk_list_each(p, &n->hosts) n_surfaces +=
        mk_container_of(p, struct mk_host, node)->machine->ops->n_surfaces;
    surfaces = mk_alloc((n_surfaces + 1) * sizeof *surfaces);
    n_surfaces = 0;

    mk_list_each(p, &n->hosts)
    {
        const struct mk_host *h = mk_container_of(p, struct mk_host, node);
        const struct mk_machine_ops *ops = h->machine->ops;

        deployments[n_deployments++] = h->deployment;
        for (unsigned i = 0; i < ops->n_surfaces; i++)
            surfaces[n_surfaces++] = mk_surface_id(&ops->surfaces[i], &h->stable_id);
    }
    mk_network_offer(n->network, surfaces, n_surfaces, deployments, n_deployments);
    mk_free(surfaces);
    mk_free(deployments);
}

/* Once for all that are added in a turn: thousands may be. */
void mk_node_offer(struct mk_node *n)
{
    mk_later(n->env, &n->offer);
}

static int must_have(const struct mk_component_options *o, struct mk_fault *reterr)
{
    const char *field = o->roster == NULL    ? "roster"
                        : o->machine == NULL ? "machine"
                        : o->acl == NULL     ? "acl"
                                             : NULL;

    if (field == NULL)
        return 0;
    return mk_fault(reterr, MK_EINVALID, "%.*s: `%s` is NULL, and must be there%s", (int)o->label.n,
                    o->label.p, field,
                    o->acl == NULL ? ": an acl without clauses admits everybody" : "");
}

int mk_node_add(struct mk_node *n, const struct mk_component_options *o, struct mk_fault *reterr)
{
    int rv;

    if (n->n_hosts >= MK_COMPONENTS_MAX)
        return mk_fault(reterr, MK_ELIMIT, "a node runs at most %u components", MK_COMPONENTS_MAX);
    rv = must_have(o, reterr);
    if (rv != 0)
        return rv;
    if (!mk_id_eq(&o->roster->deployment, &o->deployment))
        return mk_fault(reterr, MK_EINVALID, "%.*s: the roster's deployment is not the component's",
                        (int)o->label.n, o->label.p);
    if (o->replica && mk_roster_has(o->roster, mk_net_self(n->network->net)))
        return mk_fault(reterr, MK_EINVALID,
                        "%.*s: replica = true, but this node's key is of the committee: a replica "
                        "is of no committee",
                        (int)o->label.n, o->label.p);
    if (o->record.n > 0) {
        rv = mk_discovery_publish(n->network->discovery, o->record, reterr);
        if (rv != 0)
            return rv;
    }
    if (o->replica)
        return mk_mirror_open(n, o, reterr);
    rv = mk_host_open(n, o, reterr);
    if (rv == 0)
        mk_node_offer(n);
    return rv;
}

static bool leads_none(void *arg)
{
    struct mk_node *n = arg;

    mk_list_each(p, &n->hosts)
    {
        if (mk_host_leads(mk_container_of(p, struct mk_host, node)))
            return false;
    }
    return true;
}

void mk_node_yield(struct mk_node *n, uint32_t timeout_ms)
{
    bool any = false;

    mk_list_each(p, &n->hosts)
    {
        struct mk_host *h = mk_container_of(p, struct mk_host, node);

        any = (mk_host_leads(h) && mk_group_transfer(h->group, NULL) == 0) || any;
    }
    if (any) /* a roster of one has nobody to hand over to */
        mk_loop_run_until(n->env, leads_none, n, timeout_ms);
}
