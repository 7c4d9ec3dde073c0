/* network.c - an agent's handle: key, links, discovery. See bond.c for what it binds.
 *
 * Opening does no I/O that can block: the listener is bound, hints are dialed in
 * the background. Closing ends the bonds first (their calls get MK_ECANCELED), then
 * announces the departure, then closes the links. */
#include "node/network.h"

#include <stdio.h>
#include <string.h>

static void links_up(struct mk_net_watch *w, struct mk_link *l)
{
    struct mk_network *n = mk_container_of(w, struct mk_network, links);

    (void)l;
    mk_list_each(p, &n->bonds) mk_bond_advance(mk_container_of(p, struct mk_bond, node));
}

static void links_down(struct mk_net_watch *w, const struct mk_peer *peer, unsigned close,
                       const char *detail)
{
    struct mk_network *n = mk_container_of(w, struct mk_network, links);

    (void)peer;
    (void)close;
    (void)detail;
    mk_list_each(p, &n->bonds) mk_bond_advance(mk_container_of(p, struct mk_bond, node));
}

static void records_changed(struct mk_discovery_watch *w)
{
    struct mk_network *n = mk_container_of(w, struct mk_network, records);

    mk_network_lists_changed(n);
    if (n->tags_seen != mk_discovery_tags_seq(n->discovery)) {
        n->tags_seen = mk_discovery_tags_seq(n->discovery);
        mk_streams_rejudge(&n->streams);
    }
    mk_list_each(p, &n->bonds) mk_bond_advance(mk_container_of(p, struct mk_bond, node));
    mk_signal_raise(&n->signal, NULL);
}

/* Signs and spreads the entry anew. */
static void offer(struct mk_streams *s)
{
    struct mk_network *n = mk_container_of(s, struct mk_network, streams);
    size_t n_producers = 0;
    struct mk_id *ids;

    mk_list_each(p, &s->producers) n_producers++;
    ids = mk_alloc((n->n_surfaces + n_producers + 1) * sizeof *ids);
    if (n->n_surfaces > 0)
        memcpy(ids, n->surfaces, n->n_surfaces * sizeof *ids);
    mk_streams_surfaces(s, ids + n->n_surfaces);
    mk_discovery_offer(n->discovery, ids, n->n_surfaces + n_producers, n->deployments,
                       n->n_deployments);
    mk_free(ids);
}

static struct mk_id *copy_ids(const struct mk_id *ids, size_t n)
{
    return n > 0 ? mk_memdup(ids, n * sizeof *ids) : NULL;
}

void mk_network_offer(struct mk_network *n, const struct mk_id *surfaces, size_t n_surfaces,
                      const struct mk_id *deployments, size_t n_deployments)
{
    mk_free(n->surfaces);
    mk_free(n->deployments);
    n->surfaces = copy_ids(surfaces, n_surfaces);
    n->deployments = copy_ids(deployments, n_deployments);
    n->n_surfaces = n_surfaces;
    n->n_deployments = n_deployments;
    offer(&n->streams);
}

/* A quote was judged, or counts no longer. */
static void evidence_changed(struct mk_witness_watch *w, const struct mk_peer *peer)
{
    struct mk_network *n = mk_container_of(w, struct mk_network, evidence);

    (void)peer;
    mk_streams_rejudge(&n->streams);
}

static int open_witness(struct mk_network *n, const struct mk_witness_options *o,
                        struct mk_fault *reterr)
{
    int rv;

    if (o == NULL)
        return 0;
    rv = mk_witness_open(n->env, n->net, &n->witness, o, reterr);
    if (rv != 0)
        return rv;
    n->evidence.changed = evidence_changed;
    mk_witness_watch(n->witness, &n->evidence);
    n->streams.attestation = mk_witness_attestation(n->witness);
    return 0;
}

static void take_key(struct mk_network *n, const struct mk_key *key)
{
    uint8_t seed[32];

    if (key != NULL) {
        mk_key_from_seed(&n->key, key->secret);
        return;
    }
    mk_entropy(n->env, seed, sizeof seed);
    mk_key_from_seed(&n->key, seed);
    mk_wipe(seed, sizeof seed);
}

static int open_discovery(struct mk_network *n, const struct mk_network_options *o,
                          struct mk_fault *reterr)
{
    const char *address = o->advertise != NULL ? o->advertise : o->listen;
    char with_port[MK_HOST_PORT_MAX];
    struct mk_discovery_options d = {.network = n->universe,
                                     .key = &n->key,
                                     .observe_only = o->listen == NULL,
                                     .issuers = n->issuers};
    size_t len;
    int rv;

    if (address != NULL) {
        len = strlen(address);
        /* Port 0 let the system choose: say which one it was. */
        if (len >= 2 && strcmp(address + len - 2, ":0") == 0 && len < sizeof with_port - 8) {
            snprintf(with_port, sizeof with_port, "%.*s:%u", (int)(len - 2), address,
                     mk_net_port(n->net));
            address = with_port;
        }
        d.addresses = &address;
        d.n_addresses = 1;
    }
    rv = mk_discovery_open(n->env, n->net, &n->discovery, &d);
    if (rv != 0)
        return mk_fault(reterr, rv, "cannot open discovery: %s", mk_strerror(rv));
    /* Too many or too large for an entry is no fault: bonds show them all the same. */
    rv = mk_discovery_show(n->discovery, n->wallet.v, n->wallet.n);
    if (rv != 0 && rv != MK_ELIMIT) {
        mk_discovery_close(n->discovery);
        return mk_fault(reterr, rv, "a ticket to show is none: %s", mk_strerror(rv));
    }
    rv = mk_network_tag(n, o->tags, o->n_tags);
    if (rv != 0) {
        mk_discovery_close(n->discovery);
        return mk_fault(reterr, rv, "%zu tags are more than %u", o->n_tags, MK_NETWORK_TAGS_MAX);
    }
    rv = o->lan != NULL ? mk_discovery_lan(n->discovery, o->lan, reterr) : 0;
    if (rv != 0) {
        mk_discovery_close(n->discovery);
        return rv;
    }
    return 0;
}

int mk_network_open(struct mk_env *e, struct mk_network **ret, const struct mk_network_options *o,
                    struct mk_fault *reterr)
{
    struct mk_network *n = mk_alloc(sizeof *n);
    int rv;

    n->env = e;
    n->universe = o->universe != NULL ? *o->universe : MK_UNIVERSE;
    mk_list_init(&n->bonds);
    take_key(n, o->key);
    n->issuers = mk_issuer_book_new();
    mk_network_keep_tickets(n, o->tickets, o->n_tickets);

    rv = mk_net_open(
        e, &n->net,
        &(struct mk_net_options){.key = &n->key, .network = n->universe, .vouched = o->vouched});
    if (rv != 0) {
        mk_fault(reterr, rv, "cannot open the network: %s", mk_strerror(rv));
        goto err_key;
    }
    if (o->listen != NULL) {
        rv = mk_net_listen(n->net, o->listen, reterr);
        if (rv != 0) {
            struct mk_fault why = {{0}};

            if (reterr != NULL)
                why = *reterr;
            mk_fault(reterr, rv, "listen: %.*s", MK_FAULT_MAX - 10, why.text);
            goto err_net;
        }
    }
    rv = open_discovery(n, o, reterr);
    if (rv != 0)
        goto err_net;
    for (size_t i = 0; i < o->n_hints; i++) {
        rv = mk_network_hint(n, o->hints[i], reterr);
        if (rv != 0)
            goto err_discovery;
    }
    rv = mk_streams_open(&n->streams, e, n->net, n->discovery, n->wallet.v, n->wallet.n);
    MK_ASSERT(rv == 0); /* nobody else serves it */
    n->streams.changed = offer;
    n->standings = mk_standings_new();
    n->streams.standing = mk_standings_standing(n->standings);
    rv = open_witness(n, o->witness, reterr);
    if (rv != 0)
        goto err_streams;
    n->links = (struct mk_net_watch){.up = links_up, .down = links_down};
    mk_net_watch(n->net, &n->links);
    n->records = (struct mk_discovery_watch){.changed = records_changed};
    mk_discovery_watch(n->discovery, &n->records);
    mk_network_lists_recall(n);
    rv = mk_network_renewals_serve(n);
    MK_ASSERT(rv == 0);
    if (o->listen != NULL) {
        rv = mk_network_status_serve(n);
        MK_ASSERT(rv == 0);
    }
    *ret = n;
    return 0;

err_streams:
    mk_standings_free(n->standings);
    mk_streams_done(&n->streams);
err_discovery:
    mk_discovery_close(n->discovery);
err_net:
    mk_net_close(n->net);
err_key:
    mk_issuer_book_free(n->issuers);
    mk_key_done(&n->key);
    mk_arena_done(&n->arena);
    mk_free(n);
    return rv;
}

void mk_network_close(struct mk_network *n)
{
    if (n == NULL)
        return;
    mk_signal_close(&n->signal);
    if (n->status.proto != NULL)
        mk_net_unserve(&n->status);
    mk_network_renewals_end(n);
    mk_standings_free(n->standings);
    mk_bond_end_all(n);
    n->streams.changed = NULL; /* the departure says it all */
    mk_later_cancel(&n->recall);
    mk_streams_done(&n->streams);
    mk_witness_close(n->witness);
    mk_discovery_unwatch(&n->records);
    mk_net_unwatch(&n->links);
    mk_discovery_close(n->discovery);
    mk_net_close(n->net);
    mk_issuer_book_free(n->issuers);
    mk_key_done(&n->key);
    mk_arena_done(&n->arena);
    mk_free(n->surfaces);
    mk_free(n->deployments);
    mk_free(n);
}

const struct mk_peer *mk_network_peer(const struct mk_network *n)
{
    return &n->key.peer;
}

const struct mk_witness *mk_network_witness(const struct mk_network *n)
{
    return n->witness;
}

uint16_t mk_network_port(const struct mk_network *n)
{
    return mk_net_port(n->net);
}

int mk_network_hint(struct mk_network *n, struct mk_str hint, struct mk_fault *reterr)
{
    struct mk_peer peer;
    char address[MK_HOST_PORT_MAX];
    int rv = mk_net_parse_address(&peer, address, hint, reterr);

    if (rv != 0)
        return rv;
    mk_discovery_hint(n->discovery, &peer, address);
    return 0;
}

void mk_datum_copy(void *ret, const struct mk_type *t, const void *value, struct mk_arena *arena)
{
    struct mk_buf b = {0};
    int rv;

    mk_encode(&b, t, value);
    rv = mk_decode(ret, t, MK_BYTES(mk_arena_copy(arena, b.p, b.n), b.n), arena, NULL);
    MK_ASSERT(rv == 0);
    mk_buf_done(&b);
}

bool mk_wait_done(void *wait)
{
    return ((struct mk_wait *)wait)->done;
}
