/* host.c - one component as it runs in a node: its group's member, its driver, and the
 * driver's commands.
 *
 * A driver's commands are committed in the order they were given: one is in flight,
 * under one session and a rising number. A command whose outcome is not known (the
 * leader went, a time-out) is sent again under the same number, so it is committed
 * at most once and never overtaken. */
#include "node/node.h"

#include <mosaik/standing.h>
#include <stdio.h>
#include <string.h>

#define RETRY_NS (50 * MK_MS)
#define READ_LEASE_MS 200u /* of the election's 300 ms: see consensus/lease.c */

struct queued_exec {
    struct mk_list node;
    struct mk_exec *x;
    size_t n;
    uint8_t command[];
};

static void send_next(struct mk_host *h);

static struct queued_exec *front(struct mk_host *h)
{
    return mk_container_of(h->queue.next, struct queued_exec, node);
}

static void retry_later(struct mk_host *h)
{
    mk_timer_start(h->of->env, &h->retry, mk_now(h->of->env) + RETRY_NS);
}

static void retry_cb(struct mk_timer *t)
{
    send_next(mk_container_of(t, struct mk_host, retry));
}

static void submit_cb(struct mk_submit *s, int status, const struct mk_outcome *outcome)
{
    struct mk_host *h = mk_container_of(s, struct mk_host, submit);
    struct queued_exec *q = front(h);
    struct mk_exec *x = q->x;
    struct mk_fault fault = {{0}};

    h->in_flight = false;
    if (h->closing)
        return; /* the driver has gone, and its request with it */
    if (outcome == NULL && status != MK_ECANCELED) {
        retry_later(h);
        return;
    }
    mk_list_del(&q->node);
    mk_free(q);
    h->queued--;
    h->number++;
    if (outcome != NULL && status != 0)
        mk_fault(&fault, status, "%.*s", (int)outcome->rule.n, outcome->rule.p);
    send_next(h);
    x->cb(x, status, outcome, &fault);
}

static void send_next(struct mk_host *h)
{
    struct queued_exec *q;
    int rv;

    if (h->in_flight || mk_list_empty(&h->queue))
        return;
    q = front(h);
    h->submit.cb = submit_cb;
    rv = mk_group_submit(h->group, &h->submit, h->session, h->number, MK_BYTES(q->command, q->n));
    if (rv == 0)
        h->in_flight = true;
    else
        retry_later(h);
}

int mk_host_execute(struct mk_host *h, struct mk_exec *x, struct mk_bytes command)
{
    struct queued_exec *q;

    if (command.n > MK_COMMAND_MAX)
        return MK_ELIMIT;
    if (h->queued >= MK_HOST_QUEUE_MAX)
        return MK_EFULL;
    q = mk_alloc(sizeof *q + command.n);
    q->x = x;
    q->n = command.n;
    memcpy(q->command, command.p, command.n);
    mk_list_add_tail(&h->queue, &q->node);
    h->queued++;
    send_next(h);
    return 0;
}

bool mk_host_leads(const struct mk_host *h)
{
    struct mk_group_status st;

    mk_group_glance(h->group, &st);
    return st.state == MK_GROUP_LEADING;
}

bool mk_host_founded(const struct mk_host *h)
{
    struct mk_group_status st;

    mk_group_glance(h->group, &st);
    return st.state == MK_GROUP_LEADING || st.state == MK_GROUP_FOLLOWING;
}

struct mk_network *mk_host_network(const struct mk_host *h)
{
    return h->of->network;
}

struct mk_env *mk_host_loop(const struct mk_host *h)
{
    return h->of->env;
}

const struct mk_surfaces *mk_host_surfaces(const struct mk_host *h)
{
    return mk_group_surfaces(h->group);
}

void mk_host_log(struct mk_host *h, const char *fmt, ...)
{
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    mk_node_log(h->of, h, "driver", /* warning= */ true, "%s", text);
}

#define REFUSED_EVERY_NS (10 * MK_S)

/** What was found on the disk, and that it was mended. */
static void log_damage(struct mk_host *h, const struct mk_group_status *s)
{
    if (s->damages != h->damages_logged)
        mk_node_log(h->of, h, "damage", /* warning= */ true, "%s", s->damage);
    if (s->mended != h->mended_logged)
        mk_node_log(h->of, h, "mended", /* warning= */ false,
                    "filled again from the other members: %s", s->damage);
    h->damages_logged = s->damages;
    h->mended_logged = s->mended;
}

/** Roles as they change; refusals at most once in ten seconds, since anybody can cause one. */
static void log_roles(struct mk_host *h, const struct mk_group_status *s)
{
    uint64_t refusals = 0, now = mk_now(h->of->env);
    struct mk_refusal r, last = {0};

    if (s->state != h->seen_state || (s->state == MK_GROUP_LEADING && s->term != h->seen_term))
        mk_node_log(h->of, h, "state",
                    s->state == MK_GROUP_FAILED || s->state == MK_GROUP_LOST_DISK ||
                        s->state == MK_GROUP_DAMAGED,
                    "%s, term %llu, applied %llu%s%s", mk_group_state_name(s->state),
                    (unsigned long long)s->term, (unsigned long long)s->applied,
                    s->why[0] != '\0' ? ": " : "", s->why);
    h->seen_state = s->state;
    h->seen_term = s->term;
    for (unsigned i = 0; mk_group_refusal(h->group, i, &r); i++) {
        refusals += r.count;
        last = r;
    }
    if (refusals == h->refusals_logged ||
        (h->refused_ns != 0 && now - h->refused_ns < REFUSED_EVERY_NS))
        return;
    mk_node_log(h->of, h, "refused", /* warning= */ true, "%llu since the line before; %s",
                (unsigned long long)(refusals - h->refusals_logged), last.reason);
    h->refusals_logged = refusals;
    h->refused_ns = now;
}

/** Members of another version, or that have forgotten: once each, and again when something else is
 * said. */
static void log_estranged(struct mk_host *h)
{
    char said[MK_REASON_MAX], all[MK_REASON_MAX] = "";
    struct mk_peer peer;
    char detail[MK_REASON_MAX];
    uint64_t match;
    bool linked;

    if (mk_group_has_estranged(h->group) == 0 && h->estranged[0] == 0)
        return; /* nearly always: this is asked with every batch of commits */
    for (unsigned i = 0; mk_group_member(h->group, i, &peer, &linked, &match, detail); i++)
        if (mk_group_estranged(h->group, i, said))
            snprintf(all, sizeof all, "%s", said);
    if (strcmp(all, h->estranged) == 0)
        return;
    snprintf(h->estranged, sizeof h->estranged, "%s", all);
    if (all[0] != 0)
        mk_node_log(h->of, h,
                    mk_group_has_estranged(h->group) == MK_CLOSE_FORGOT ? "forgot" : "version",
                    /* warning= */ true, "%s", all);
}

static void log_changes(struct mk_host *h, const struct mk_group_status *s)
{
    log_damage(h, s);
    log_roles(h, s);
}

/** Keeps a link on the members' own network, at the address of the shared one. */
static void dial_inner(struct mk_host *h, size_t i, const char *hint)
{
    struct mk_discovery *d = h->of->network->discovery;
    char address[MK_HOST_PORT_MAX];
    struct mk_peer_entry e;

    if (h->inner == NULL || h->dials[i].is)
        return;
    if (hint == NULL && mk_discovery_entry(d, &e, &h->wanted[i]) == 0 && e.addresses.n > 0 &&
        e.addresses.v[0].n < sizeof address) {
        snprintf(address, sizeof address, "%.*s", (int)e.addresses.v[0].n, e.addresses.v[0].p);
        hint = address;
    }
    if (hint == NULL)
        return;
    mk_net_dial(h->inner, &h->dials[i].dial, &h->wanted[i], hint);
    h->dials[i].is = true;
}

static bool admits_inner(void *arg, const struct mk_peer *peer, char why[MK_REASON_MAX])
{
    const struct mk_host *h = arg;
    char hex[MK_ID_HEX];

    if (h->group == NULL || mk_group_expects(h->group, peer))
        return true;
    snprintf(why, MK_REASON_MAX,
             "the network is private to the committee of %.*s, and %.16s is none of it",
             (int)h->label.n, h->label.p, mk_peer_hex(peer, hex));
    return false;
}

static int open_inner(struct mk_host *h, const struct mk_id *network, struct mk_fault *reterr)
{
    const struct mk_net_beside o = {.network = *network, .admits = admits_inner, .arg = h};
    int rv = 0;

    if (mk_id_is_zero(network))
        return 0;
    rv = mk_net_open_beside(h->of->network->net, &h->inner, &o);
    if (rv == 0)
        h->dials = mk_alloc(MK_HOST_WANTED_MAX * sizeof *h->dials);
    return rv == 0 ? 0
                   : mk_fault(reterr, rv, "%.*s: its private network: %s", (int)h->label.n,
                              h->label.p, mk_strerror(rv));
}

static void close_inner(struct mk_host *h)
{
    for (size_t i = 0; i < h->n_wanted && h->inner != NULL; i++)
        if (h->dials[i].is)
            mk_net_undial(&h->dials[i].dial);
    mk_net_close(h->inner);
    mk_free(h->dials);
    h->inner = NULL;
    h->dials = NULL;
}

static void want(struct mk_host *h, const struct mk_peer *peer, const char *hint)
{
    if (mk_peer_eq(peer, &h->of->network->key.peer) || h->n_wanted == MK_HOST_WANTED_MAX)
        return;
    for (size_t i = 0; i < h->n_wanted; i++)
        if (mk_peer_eq(&h->wanted[i], peer))
            return;
    h->wanted[h->n_wanted++] = *peer;
    mk_discovery_want(h->of->network->discovery, peer, hint);
    dial_inner(h, h->n_wanted - 1, hint);
}

void mk_host_redial(struct mk_host *h)
{
    for (size_t i = 0; i < h->n_wanted; i++)
        dial_inner(h, i, NULL);
}

/** A later roster may name peers that no file of ours does: discovery knows where they are. */
static void want_newcomers(struct mk_host *h)
{
    char detail[MK_REASON_MAX];
    struct mk_peer peer;
    uint64_t match;
    bool linked;

    for (unsigned i = 0; mk_group_member(h->group, i, &peer, &linked, &match, detail); i++)
        want(h, &peer, NULL);
}

static void group_changed(struct mk_group_watch *w)
{
    struct mk_host *h = mk_container_of(w, struct mk_host, watch);
    struct mk_group_status s;

    mk_signal_raise(&h->signal, NULL);
    mk_group_glance(h->group, &s);
    log_changes(h, &s);
    log_estranged(h);
    if (s.epoch != h->epoch || s.state != h->state) {
        h->epoch = s.epoch;
        h->state = s.state;
        want_newcomers(h);
    }
    if (s.state == MK_GROUP_FAILED && !h->failed) {
        h->failed = true;
        mk_node_component_failed(h->of, s.why);
    }
    if (h->driver != NULL && h->driver->ops->changed != NULL)
        h->driver->ops->changed(h->driver);
}

/** Keeps links to the other members that the file names. */
static void want_members(struct mk_host *h, const struct mk_component_options *o)
{
    struct mk_peer peer;
    char address[MK_HOST_PORT_MAX];

    for (size_t i = 0; i < o->n_addresses; i++)
        if (mk_net_parse_address(&peer, address, o->addresses[i], NULL) == 0)
            want(h, &peer, address);
}

static void unwant_members(struct mk_host *h)
{
    for (size_t i = 0; i < h->n_wanted; i++)
        mk_discovery_unwant(h->of->network->discovery, &h->wanted[i]);
    h->n_wanted = 0;
}

static int open_group(struct mk_host *h, const struct mk_component_options *o,
                      struct mk_fault *reterr)
{
    struct mk_network *net = h->of->network;
    struct mk_group_options g = {
        .deployment = o->deployment,
        .stable_id = o->stable_id,
        .roster = o->roster,
        .founding = o->founding,
        .key = &net->key,
        .machine = o->machine,
        .acl = o->acl,
        .own_issuer = o->own_issuer,
        .issuers = o->issuers != NULL ? o->issuers : mk_issuer_book_issuers(net->issuers),
        .witness = net->witness,
        .standing = mk_network_standing(net),
        .wallet = &net->wallet,
        .retain = o->retain,
        .inner = h->inner,
        .found = o->found && h->of->aside.n == 0,
        .join = o->join,
        .lease_ms = o->read_leases ? READ_LEASE_MS : 0};

    return mk_group_open(h->of->env, net->net, h->of->store, &h->group, &g, reterr);
}

int mk_host_open(struct mk_node *n, const struct mk_component_options *o, struct mk_fault *reterr)
{
    struct mk_host *h = mk_alloc(sizeof *h);
    int rv;

    h->of = n;
    h->label = mk_arena_str(&h->arena, o->label);
    h->stable_id = o->stable_id;
    h->content_hash = o->content_hash;
    h->deployment = o->deployment;
    h->machine = o->machine;
    mk_datum_copy(&h->roster, &mk_roster_type, o->roster, &h->arena);
    mk_list_init(&h->queue);
    h->retry.cb = retry_cb;
    mk_entropy(n->env, &h->session, sizeof h->session);
    h->number = 1;

    rv = open_inner(h, &o->inner, reterr);
    if (rv == 0)
        rv = open_group(h, o, reterr);
    if (rv != 0)
        goto err_host;
    if (mk_group_adopted(h->group))
        mk_node_log(n, h, "adopted", /* warning= */ false,
                    "an earlier build wrote the log and named no machine: taken for one of %s "
                    "version %u",
                    h->machine->ops->name, h->machine->ops->version);
    mk_list_add_tail(&n->hosts, &h->node);
    n->n_hosts++;
    want_members(h, o);
    h->watch.changed = group_changed;
    mk_group_watch(h->group, &h->watch);
    h->driver = o->driver;
    if (h->driver == NULL)
        return 0;
    rv = h->driver->ops->start(h->driver, h, reterr);
    if (rv != 0) {
        h->driver->ops->stop(h->driver);
        h->driver = NULL;
        mk_host_close(h);
    }
    return rv;

err_host:
    close_inner(h);
    mk_arena_done(&h->arena);
    mk_free(h);
    return rv;
}

static void cancel_queue(struct mk_host *h)
{
    struct mk_list *p;

    while ((p = mk_list_pop(&h->queue)) != NULL) {
        struct queued_exec *q = mk_container_of(p, struct queued_exec, node);

        /* The driver is gone already, and its requests with it. */
        mk_free(q);
    }
    h->queued = 0;
}

void mk_host_close(struct mk_host *h)
{
    mk_timer_stop(&h->retry);
    mk_signal_close(&h->signal);
    mk_group_unwatch(&h->watch);
    if (h->driver != NULL)
        h->driver->ops->stop(h->driver);
    h->driver = NULL;
    h->closing = true;
    mk_group_close(h->group);
    cancel_queue(h);
    close_inner(h);
    unwant_members(h);
    mk_list_del(&h->node);
    h->of->n_hosts--;
    mk_arena_done(&h->arena);
    mk_free(h);
}
