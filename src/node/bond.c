/* bond.c - a component bound by reference (spec/committees.md, "Binding a reference").
 *
 *   RESOLVING --a Deployment or version 0--> CONNECTING --a member linked--> READY
 *       |                                        ^---------all links lost------'
 *       '--pin differs, conflict, no way to bind--> FAILED
 *
 * The highest Deployment signed by the operator wins over the file (version 0); its
 * version is remembered durably and never goes back. When a newer one names another
 * deployment, everything on the bond is opened again on that one, from a fresh
 * snapshot; the old certificates stay on disk.
 *
 * Every decision is in mk_bond_advance(), called whenever a link, a Deployment or
 * a certificate came or went. */
#include "node/network.h"

#include <stdio.h>
#include <string.h>

/* --- what members said, for people ------------------------------------------------------ */

void mk_bond_note(struct mk_bond *b, const struct mk_peer *peer, unsigned close, const char *text)
{
    char hex[MK_ID_HEX];

    memmove(b->said[1], b->said[0], sizeof b->said[0] * (MK_BOND_SAID_MAX - 1));
    snprintf(b->said[0], sizeof b->said[0], "%.8s: %s%s%s", mk_peer_hex(peer, hex),
             close != MK_CLOSE_NONE ? mk_close_text(close) : "", close != MK_CLOSE_NONE ? ": " : "",
             text);
}

static void report_said(struct mk_client_report *r, const struct mk_peer *peer, unsigned close,
                        const char *text)
{
    struct mk_bond *b = mk_container_of(r, struct mk_bond, report);

    mk_bond_note(b, peer, close, text);
    if (close == MK_CLOSE_OTHER_DEPLOYMENT && !b->probe.elsewhere && !b->probe.asking)
        mk_timer_start(b->network->env, &b->probe.again, mk_now(b->network->env));
}

static void tell_watches(struct mk_task *t)
{
    struct mk_bond *b = mk_container_of(t, struct mk_bond, tell);

    mk_signal_raise(&b->signal, NULL);
    for (struct mk_bond_watch *w = b->watches, *next; w != NULL; w = next) {
        next = w->next;
        w->changed(w, b);
    }
}

static void set_state(struct mk_bond *b, enum mk_bond_state state)
{
    if (b->state == state)
        return;
    b->state = state;
    mk_later(b->network->env, &b->tell);
}

static void fail(struct mk_bond *b, int error)
{
    b->error = error;
    set_state(b, MK_BOND_FAILED);
    mk_list_each(p, &b->parts)
    {
        struct mk_bond_part *part = mk_container_of(p, struct mk_bond_part, node);

        part->end(part, error, &b->why);
    }
}

/* --- links ---------------------------------------------------------------------------------- */

/** The "host:port" that an address list names for a peer; NULL when it names none. */
static const char *address_for(const struct mk_str *addresses, size_t n, const struct mk_peer *peer,
                               char out[MK_HOST_PORT_MAX])
{
    struct mk_peer named;

    for (size_t i = 0; i < n; i++) {
        if (mk_net_parse_address(&named, out, addresses[i], NULL) == 0 && mk_peer_eq(&named, peer))
            return out;
    }
    return NULL;
}

static void want_members(struct mk_bond *b, const struct mk_deployment *d)
{
    char address[MK_HOST_PORT_MAX];

    for (size_t i = 0; i < b->component.roster.peers.n; i++) {
        const struct mk_peer *peer = &b->component.roster.peers.v[i];
        const char *hint = NULL;

        if (d != NULL)
            hint = address_for(d->addresses.v, d->addresses.n, peer, address);
        if (hint == NULL)
            hint = address_for(b->reference.addresses, b->reference.n_addresses, peer, address);
        mk_discovery_want(b->network->discovery, peer, hint);
    }
}

void mk_bond_follow_roster(struct mk_bond *b)
{
    const struct mk_roster *r = mk_reader_roster(b->memory, mk_reader_epoch(b->memory));

    if (b->epoch == r->epoch)
        return;
    b->epoch = r->epoch;
    for (size_t i = 0; i < r->peers.n; i++) {
        const struct mk_peer *p = &r->peers.v[i];
        bool wanted = mk_roster_has(&b->component.roster, p);

        for (size_t k = 0; k < b->n_newcomers && !wanted; k++)
            wanted = mk_peer_eq(&b->newcomers[k], p);
        if (wanted || b->n_newcomers == MK_BOND_NEWCOMERS_MAX)
            continue;
        b->newcomers[b->n_newcomers++] = *p;
        mk_discovery_want(b->network->discovery, p, NULL);
    }
}

/** Replicas that the reference names, and links to them. */
static void want_through(struct mk_bond *b)
{
    size_t n = b->reference.n_through;
    struct mk_peer *v = mk_arena_take(&b->deployed, (n + 1) * sizeof *v);
    char address[MK_HOST_PORT_MAX];

    b->component.through = v;
    b->component.n_through = 0;
    for (size_t i = 0; i < n; i++) {
        struct mk_peer *p = &v[b->component.n_through];

        if (mk_net_parse_address(p, address, b->reference.through[i], NULL) != 0)
            continue; /* mk_bond_open() has looked */
        mk_discovery_want(b->network->discovery, p, address);
        b->component.n_through++;
    }
}

static void unwant_members(struct mk_bond *b)
{
    for (size_t i = 0; i < b->component.n_through; i++)
        mk_discovery_unwant(b->network->discovery, &b->component.through[i]);

    for (size_t i = 0; i < b->n_newcomers; i++)
        mk_discovery_unwant(b->network->discovery, &b->newcomers[i]);
    b->n_newcomers = 0;
    b->epoch = 0;
    for (size_t i = 0; i < b->component.roster.peers.n; i++)
        mk_discovery_unwant(b->network->discovery, &b->component.roster.peers.v[i]);
}

/** Links to those that surfaces are read through. */
static unsigned through_linked(const struct mk_bond *b)
{
    unsigned n = 0;

    for (size_t i = 0; b->bound && i < b->component.n_through; i++)
        n += mk_net_link(b->network->net, &b->component.through[i]) != NULL;
    return n;
}

unsigned mk_bond_linked(const struct mk_bond *b)
{
    unsigned n = 0;

    for (size_t i = 0; b->bound && i < b->component.roster.peers.n; i++)
        n += mk_net_link(b->network->net, &b->component.roster.peers.v[i]) != NULL;
    return n;
}

/* --- the deployment ----------------------------------------------------------------------------
 */

static void leave(struct mk_bond *b)
{
    if (!b->bound)
        return;
    mk_bond_probe_end(b);
    mk_bond_remember(b, true);
    mk_client_close(b->client);
    mk_reader_memory_free(b->memory);
    unwant_members(b);
    mk_arena_done(&b->deployed);
    b->client = NULL;
    b->memory = NULL;
    b->bound = false;
}

/** Moves the bond to a deployment. d is NULL for version 0 (the component's own file). */
static void adopt(struct mk_bond *b, const struct mk_deployment *d)
{
    struct mk_network *n = b->network;
    const struct mk_roster *roster = d != NULL ? &d->roster : &b->reference.roster;

    leave(b);
    b->bound = true;
    b->version = d != NULL ? d->version : 0;
    b->content_hash = d != NULL ? d->content_hash : b->reference.deployed_content;
    b->component =
        (struct mk_component){.deployment = d != NULL ? d->deployment : b->reference.deployment,
                              .stable_id = b->reference.stable_id,
                              .wallet = &n->wallet,
                              .acl = b->reference.acl,
                              .witness = n->witness};
    mk_datum_copy(&b->component.roster, &mk_roster_type, roster, &b->deployed);
    b->memory = mk_bond_recall(n->env, &b->component.deployment);
    if (b->memory == NULL)
        b->memory = mk_reader_memory_new(&b->component.roster);
    want_members(b, d);
    want_through(b);
    mk_bond_follow_roster(b);
    mk_client_open(n->env, n->net, &b->client, &b->component, b->memory, &b->report);
    if (b->version > 0)
        mk_bond_remember_version(n->env, &b->reference.stable_id, b->version);
    set_state(b, MK_BOND_CONNECTING);
    mk_list_each(p, &b->parts)
    {
        struct mk_bond_part *part = mk_container_of(p, struct mk_bond_part, node);

        part->rebind(part);
    }
}

/** The same deployment under a newer record: what is open stays open. */
static void renew(struct mk_bond *b, const struct mk_deployment *d)
{
    b->version = d->version;
    b->content_hash = d->content_hash;
    mk_bond_remember_version(b->network->env, &b->reference.stable_id, b->version);
    mk_later(b->network->env, &b->tell);
}

/** The newest usable Deployment of the reference's operator. 0; MK_ENOTFOUND; MK_ECONFLICT. */
static int newest_record(struct mk_bond *b, struct mk_deployment *ret)
{
    int rv;

    if (!b->reference.operator_.some)
        return MK_ENOTFOUND;
    rv = mk_discovery_deployment(b->network->discovery, ret, &b->reference.stable_id,
                                 &b->reference.operator_.v);
    if (rv != 0)
        return rv;
    if (ret->version < mk_bond_recall_version(b->network->env, &b->reference.stable_id))
        return MK_ENOTFOUND; /* never goes back */
    return 0;
}

static bool pin_holds(struct mk_bond *b, const struct mk_id *content, uint64_t version)
{
    char pinned[MK_ID_HEX], actual[MK_ID_HEX];

    if (!b->reference.content_hash.some || mk_id_eq(&b->reference.content_hash.v, content))
        return true;
    mk_fault(&b->why, MK_EREFUSED,
             "%.*s: the content hash is pinned to %s, version %llu deploys %s",
             (int)b->reference.label.n, b->reference.label.p,
             mk_id_hex(&b->reference.content_hash.v, pinned), (unsigned long long)version,
             mk_id_hex(content, actual));
    return false;
}

static void resolve(struct mk_bond *b)
{
    struct mk_deployment d;
    int rv = newest_record(b, &d);

    if (rv == MK_ECONFLICT) {
        mk_fault(&b->why, rv, "%.*s: its operator signed two different Deployments of one version",
                 (int)b->reference.label.n, b->reference.label.p);
        fail(b, rv);
        return;
    }
    if (rv == 0 && (!b->bound || d.version > b->version)) {
        if (!pin_holds(b, &d.content_hash, d.version))
            fail(b, MK_EREFUSED);
        else if (b->bound && mk_id_eq(&d.deployment, &b->component.deployment))
            renew(b, &d);
        else
            adopt(b, &d);
        return;
    }
    if (b->bound || !b->reference.has_version0)
        return;
    if (!pin_holds(b, &b->reference.deployed_content, 0))
        fail(b, MK_EREFUSED);
    else
        adopt(b, NULL);
}

void mk_bond_advance(struct mk_bond *b)
{
    if (b->state == MK_BOND_FAILED)
        return;
    resolve(b);
    if (b->state == MK_BOND_FAILED || !b->bound)
        return;
    set_state(b, through_linked(b) > 0 || (mk_bond_linked(b) > 0 && !b->probe.elsewhere)
                     ? MK_BOND_READY
                     : MK_BOND_CONNECTING);
}

/* --- public
 * --------------------------------------------------------------------------------------- */

static const struct mk_str *copy_texts(struct mk_arena *arena, const struct mk_str *v, size_t n)
{
    struct mk_str *copy = mk_arena_take(arena, (n + 1) * sizeof *copy);

    for (size_t i = 0; i < n; i++)
        copy[i] = mk_arena_str(arena, v[i]);
    return copy;
}

static void copy_reference(struct mk_bond *b, const struct mk_reference *r)
{
    struct mk_str *addresses = mk_arena_take(&b->arena, (r->n_addresses + 1) * sizeof *addresses);

    b->reference = *r;
    b->reference.label = mk_arena_str(&b->arena, r->label);
    for (size_t i = 0; i < r->n_addresses; i++)
        addresses[i] = mk_arena_str(&b->arena, r->addresses[i]);
    b->reference.addresses = addresses;
    b->reference.through = copy_texts(&b->arena, r->through, r->n_through);
    if (r->acl != NULL) {
        struct mk_acl_composition *acl = mk_arena_take(&b->arena, sizeof *acl);

        mk_datum_copy(acl, &mk_acl_composition_type, r->acl, &b->arena);
        b->reference.acl = acl;
    }
    if (r->has_version0)
        mk_datum_copy(&b->reference.roster, &mk_roster_type, &r->roster, &b->arena);
}

int mk_bond_open(struct mk_network *n, struct mk_bond **ret, const struct mk_reference *r,
                 struct mk_fault *reterr)
{
    struct mk_bond *b;

    if (!r->has_version0 && !r->operator_.some)
        return mk_fault(reterr, MK_EINVALID,
                        "%.*s: the reference names neither a config nor an operator, so there is "
                        "nothing to bind to",
                        (int)r->label.n, r->label.p);
    if (r->has_version0 && !mk_id_eq(&r->roster.deployment, &r->deployment))
        return mk_fault(reterr, MK_EINVALID, "%.*s: the roster's deployment is not the reference's",
                        (int)r->label.n, r->label.p);
    for (size_t i = 0; i < r->n_through; i++) {
        struct mk_peer peer;
        char address[MK_HOST_PORT_MAX];
        int rv = mk_net_parse_address(&peer, address, r->through[i], reterr);

        if (rv != 0)
            return rv;
    }
    b = mk_alloc(sizeof *b);
    b->network = n;
    b->state = MK_BOND_RESOLVING;
    b->report.said = report_said;
    b->tell.cb = tell_watches;
    mk_bond_probe_init(b);
    mk_list_init(&b->parts);
    mk_list_add_tail(&n->bonds, &b->node);
    copy_reference(b, r);
    mk_bond_advance(b);
    *ret = b;
    return 0;
}

static void end_parts(struct mk_bond *b)
{
    struct mk_fault f;

    mk_fault(&f, MK_ECANCELED, "the bond was closed");
    mk_list_each(p, &b->parts)
    {
        struct mk_bond_part *part = mk_container_of(p, struct mk_bond_part, node);

        mk_list_del(&part->node);
        part->end(part, MK_ECANCELED, &f);
    }
}

void mk_bond_close(struct mk_bond *b)
{
    if (b == NULL)
        return;
    mk_signal_close(&b->signal);
    end_parts(b);
    leave(b);
    mk_later_cancel(&b->tell);
    mk_list_del(&b->node);
    mk_arena_done(&b->arena);
    mk_free(b);
}

void mk_bond_end_all(struct mk_network *n)
{
    while (!mk_list_empty(&n->bonds))
        mk_bond_close(mk_container_of(n->bonds.next, struct mk_bond, node));
}

/** What a person should know while it is not ready: each member and how its last dial ended. */
static void explain(const struct mk_bond *b, char *out, size_t cap)
{
    char detail[MK_REASON_MAX], hex[MK_ID_HEX];
    size_t used;
    unsigned close;

    if (b->state == MK_BOND_FAILED) {
        snprintf(out, cap, "%s", b->why.text);
        return;
    }
    if (!b->bound) {
        snprintf(out, cap,
                 "no Deployment of this stable id, signed by the operator that the file names, is "
                 "known yet");
        return;
    }
    if (b->said[0][0] != '\0') {
        snprintf(out, cap, "%s", b->said[0]);
        return;
    }
    out[0] = '\0';
    used = 0;
    for (size_t i = 0; i < b->component.roster.peers.n && used < cap - 1; i++) {
        const struct mk_peer *p = &b->component.roster.peers.v[i];

        if (mk_net_link(b->network->net, p) != NULL)
            continue;
        mk_discovery_diagnose(b->network->discovery, p, &close, detail);
        used += (size_t)snprintf(out + used, cap - used, "%s%.8s: %s%s%s", used > 0 ? "; " : "",
                                 mk_peer_hex(p, hex), mk_close_text(close),
                                 detail[0] != '\0' ? ": " : "", detail);
    }
}

void mk_bond_status(const struct mk_bond *b, struct mk_bond_status *ret)
{
    *ret = (struct mk_bond_status){.state = b->state, .stable_id = b->reference.stable_id};
    if (b->bound) {
        ret->deployment = b->component.deployment;
        ret->content_hash = b->content_hash;
        ret->version = b->version;
        ret->epoch = mk_reader_epoch(b->memory);
        ret->members = (unsigned)b->component.roster.peers.n;
        ret->linked = mk_bond_linked(b);
        ret->certified_ms = mk_reader_newest_ms(b->memory);
    }
    if (b->state != MK_BOND_READY)
        explain(b, ret->text, sizeof ret->text);
}

bool mk_bond_said(const struct mk_bond *b, unsigned i, struct mk_str *ret)
{
    if (i >= MK_BOND_SAID_MAX || b->said[i][0] == '\0')
        return false;
    *ret = mk_str_of(b->said[i]);
    return true;
}

void mk_bond_watch(struct mk_bond *b, struct mk_bond_watch *w)
{
    w->next = b->watches;
    b->watches = w;
}

void mk_bond_unwatch(struct mk_bond *b, struct mk_bond_watch *w)
{
    for (struct mk_bond_watch **p = &b->watches; *p != NULL; p = &(*p)->next) {
        if (*p == w) {
            *p = w->next;
            return;
        }
    }
}

/** All members that can be reached have said so, and no other is still being dialed for the first
 * time. */
static bool is_elsewhere(const struct mk_bond *b)
{
    if (!b->bound || !b->probe.elsewhere || b->probe.asking)
        return false;
    for (size_t i = 0; i < b->component.roster.peers.n; i++) {
        if (mk_net_first_dial(b->network->net, &b->component.roster.peers.v[i]))
            return false;
    }
    return true;
}

/* A member is linked: it is asked whether it runs this deployment. */
static bool settled(void *arg)
{
    struct mk_bond *b = arg;

    if (is_elsewhere(b))
        return true;
    if (b->state == MK_BOND_READY && !b->probe.known && through_linked(b) == 0)
        mk_bond_probe_begin(b);
    return b->state == MK_BOND_FAILED ||
           (b->state == MK_BOND_READY && (b->probe.known || through_linked(b) > 0));
}

int mk_bond_wait(struct mk_bond *b, uint32_t timeout_ms, struct mk_fault *reterr)
{
    char text[400];

    if (b->probe.elsewhere)
        mk_bond_probe_begin(b); /* that was then */
    mk_loop_run_until(b->network->env, settled, b, timeout_ms);
    if (b->state == MK_BOND_READY)
        return 0;
    if (b->state == MK_BOND_FAILED) {
        if (reterr != NULL)
            *reterr = b->why;
        return b->error;
    }
    explain(b, text, sizeof text);
    if (is_elsewhere(b))
        return mk_fault(reterr, MK_EUNREACHABLE,
                        "%.*s: not run by any member that can be reached: %s",
                        (int)b->reference.label.n, b->reference.label.p, text);
    return mk_fault(reterr, MK_EUNREACHABLE, "%.*s: not reachable within %u ms: %s",
                    (int)b->reference.label.n, b->reference.label.p, timeout_ms, text);
}
