/* discovery.c - the interface, and the one advance() a turn.
 *
 * In a turn, in this order: what expired goes; our entry is signed; contacts dial;
 * conversations answer and pass on; watchers hear of it. One timer wakes for
 * whatever is due next. */
#include "discovery/discovery_int.h"

#include <stdlib.h>
#include <string.h>

#define DISCOVERY_WAKE_MAX (30 * MK_S) /* the wall clock may jump: look at least so often */

static void discovery_advance(struct mk_discovery *d);

void mk_discovery_poke(struct mk_discovery *d)
{
    if (!d->closing)
        mk_later(d->env, &d->task);
}

void mk_discovery_note(struct mk_discovery *d)
{
    d->changed = true;
    mk_discovery_poke(d);
}

/* --- a turn ----------------------------------------------------------------------------------- */

static void discovery_purge(struct mk_discovery *d, uint64_t *next_ns)
{
    uint64_t wall_ms = mk_wall_ms(d->env), next_ms;

    if (mk_catalog_purge(&d->table, wall_ms, &next_ms) > 0) {
        d->changed = true;
        d->tags_seq++;
    }
    if (next_ms != UINT64_MAX && next_ms - wall_ms < DISCOVERY_WAKE_MAX / MK_MS)
        *next_ns = mk_now(d->env) + (next_ms - wall_ms) * MK_MS;
}

/* A watcher may take itself or others away while it is told. */
static void discovery_tell(struct mk_discovery *d)
{
    struct mk_list told, *n;

    if (!d->changed)
        return;
    d->changed = false;
    mk_list_init(&told);
    while ((n = mk_list_pop(&d->watchers)) != NULL)
        mk_list_add_tail(&told, n);
    while ((n = mk_list_pop(&told)) != NULL) {
        struct mk_discovery_watch *w = mk_container_of(n, struct mk_discovery_watch, node);

        mk_list_add_tail(&d->watchers, n);
        w->changed(w);
    }
}

static void discovery_advance(struct mk_discovery *d)
{
    uint64_t now = mk_now(d->env), next = now + DISCOVERY_WAKE_MAX, at;

    discovery_purge(d, &next);
    if (!d->observe_only) {
        if (d->stale_self || now >= d->renew_ns)
            mk_entry_renew(d);
        next = d->renew_ns < next ? d->renew_ns : next;
    }
    at = mk_contacts_advance(d);
    next = at < next ? at : next;
    at = mk_gossip_advance(d);
    next = at < next ? at : next;
    mk_timer_start(d->env, &d->timer, next > now ? next : now + MK_MS);
    discovery_tell(d);
}

static void discovery_task_cb(struct mk_task *t)
{
    discovery_advance(mk_container_of(t, struct mk_discovery, task));
}

static void discovery_timer_cb(struct mk_timer *t)
{
    mk_discovery_poke(mk_container_of(t, struct mk_discovery, timer));
}

static void discovery_up(struct mk_net_watch *w, struct mk_link *l)
{
    struct mk_discovery *d = mk_container_of(w, struct mk_discovery, net_watch);

    mk_contacts_link_up(d, mk_link_peer(l));
    mk_gossip_link_up(d, l);
}

static void discovery_down(struct mk_net_watch *w, const struct mk_peer *peer, unsigned close,
                           const char *detail)
{
    mk_contacts_link_down(mk_container_of(w, struct mk_discovery, net_watch), peer, close, detail);
}

/* --- the interface ---------------------------------------------------------------------------- */

static int discovery_options(struct mk_discovery *d, const struct mk_discovery_options *o)
{
    if (o->n_addresses > MK_ENTRY_ADDRESSES_MAX || o->life_ms > MK_DISCOVERY_LIFE_MAX_MS)
        return MK_EINVALID;
    for (size_t i = 0; i < o->n_addresses; i++) {
        struct mk_str a = mk_str_of(o->addresses[i]);

        if (!mk_record_address_valid(a))
            return MK_EINVALID;
        mk_buf_put(&d->addresses[i], a.p, a.n);
        d->n_addresses++;
    }
    d->network = o->network;
    d->key = o->key;
    d->self = o->key->peer;
    d->observe_only = o->observe_only;
    d->issuers = o->issuers;
    d->life_ms = o->life_ms != 0 ? o->life_ms : MK_DISCOVERY_LIFE_MS;
    return 0;
}

static void discovery_free(struct mk_discovery *d)
{
    for (size_t i = 0; i < d->n_addresses; i++)
        mk_buf_done(&d->addresses[i]);
    for (size_t i = 0; i < d->n_tickets; i++)
        mk_buf_done(&d->tickets[i]);
    mk_catalog_done(&d->table);
    mk_free(d->interests);
    mk_free(d);
}

int mk_discovery_open(struct mk_env *e, struct mk_net *net, struct mk_discovery **ret,
                      const struct mk_discovery_options *o)
{
    static const size_t max[MK_RECORD_KINDS] = {
        MK_DISCOVERY_ENTRIES_MAX, MK_DISCOVERY_DEPLOYMENTS_MAX, MK_DISCOVERY_LISTS_MAX};
    struct mk_discovery *d = mk_alloc(sizeof *d);
    int rv = discovery_options(d, o);

    d->env = e;
    d->net = net;
    mk_catalog_init(&d->table, max);
    if (o->entries_max != 0 && o->entries_max < MK_DISCOVERY_ENTRIES_MAX)
        d->table.max_kind[MK_RECORD_PEER] = o->entries_max;
    mk_list_init(&d->wishes);
    mk_list_init(&d->syncs);
    mk_list_init(&d->gossips);
    mk_list_init(&d->contacts);
    mk_list_init(&d->watchers);
    d->task.cb = discovery_task_cb;
    d->timer.cb = discovery_timer_cb;
    d->stale_self = !o->observe_only;
    mk_gossip_open(d);
    if (rv == 0)
        rv = mk_net_serve(net, &d->service);
    if (rv != 0) {
        discovery_free(d);
        return rv;
    }
    d->net_watch = (struct mk_net_watch){.up = discovery_up, .down = discovery_down};
    mk_net_watch(net, &d->net_watch);
    for (struct mk_link *l = mk_net_next_link(net, NULL); l != NULL; l = mk_net_next_link(net, l))
        discovery_up(&d->net_watch, l);
    mk_discovery_poke(d);
    *ret = d;
    return 0;
}

void mk_discovery_close(struct mk_discovery *d)
{
    if (d == NULL)
        return;
    MK_ASSERT(mk_list_empty(&d->syncs)); /* they are cancelled first */
    d->closing = true;
    mk_lan_close(d);
    mk_entry_depart(d);
    mk_gossip_close(d);
    mk_contacts_close(d);
    mk_net_unwatch(&d->net_watch);
    mk_net_unserve(&d->service);
    mk_timer_stop(&d->timer);
    mk_later_cancel(&d->task);
    mk_list_each(n, &d->watchers) mk_list_del(n);
    discovery_free(d);
}

static bool discovery_shows(const struct mk_peer_entry *e, const struct mk_id *tag)
{
    for (size_t i = 0; i < e->tags.n; i++) {
        if (mk_id_eq(&e->tags.v[i], tag))
            return true;
    }
    return false;
}

static bool discovery_has_id(const struct mk_entry_ids *ids, const struct mk_id *id)
{
    for (size_t i = 0; i < ids->n; i++) {
        if (mk_id_eq(&ids->v[i], id))
            return true;
    }
    return false;
}

/* Those whose entry names id, as a deployment or as a surface. */
static void discovery_find(struct mk_discovery *d, const struct mk_id *id, bool as_surface,
                           void (*cb)(void *arg, const struct mk_peer *peer,
                                      const struct mk_str *addresses, size_t n_addresses),
                           void *arg)
{
    uint64_t wall_ms = mk_wall_ms(d->env);
    struct mk_arena arena = {0};

    for (size_t i = 0; i < d->table.n_kind[MK_RECORD_PEER]; i++) {
        const struct mk_record *r = d->table.v[i]; /* peers come first */
        struct mk_peer_entry e;

        if (wall_ms >= r->head.expires_ms || mk_peer_eq(&r->head.signer, &d->self) ||
            memmem(r->bytes.p, r->bytes.n, id->b, sizeof id->b) == NULL)
            continue;
        if (mk_decode(&e, &mk_peer_entry_type, mk_buf_bytes(&r->bytes), &arena, NULL) == 0 &&
            discovery_has_id(as_surface ? &e.surfaces : &e.deployments, id))
            cb(arg, &e.peer, e.addresses.v, e.addresses.n);
        mk_arena_done(&arena);
    }
}

void mk_discovery_find(struct mk_discovery *d, const struct mk_id *deployment,
                       void (*cb)(void *arg, const struct mk_peer *peer,
                                  const struct mk_str *addresses, size_t n_addresses),
                       void *arg)
{
    discovery_find(d, deployment, /* as_surface= */ false, cb, arg);
}

void mk_discovery_find_surface(struct mk_discovery *d, const struct mk_id *surface,
                               void (*cb)(void *arg, const struct mk_peer *peer,
                                          const struct mk_str *addresses, size_t n_addresses),
                               void *arg)
{
    discovery_find(d, surface, /* as_surface= */ true, cb, arg);
}

/* Peers whose fresh entry names id among its surfaces and deployments, or its tags. */
static size_t discovery_count(struct mk_discovery *d, const struct mk_id *id, bool as_tag)
{
    uint64_t wall_ms = mk_wall_ms(d->env);
    struct mk_arena arena = {0};
    size_t n = 0;

    for (size_t i = 0; i < d->table.n_kind[MK_RECORD_PEER]; i++) {
        const struct mk_record *r = d->table.v[i];
        struct mk_peer_entry e;

        if (wall_ms >= r->head.expires_ms || mk_peer_eq(&r->head.signer, &d->self) ||
            memmem(r->bytes.p, r->bytes.n, id->b, sizeof id->b) == NULL)
            continue;
        if (mk_decode(&e, &mk_peer_entry_type, mk_buf_bytes(&r->bytes), &arena, NULL) == 0)
            n += as_tag ? discovery_shows(&e, id)
                        : discovery_has_id(&e.deployments, id) || discovery_has_id(&e.surfaces, id);
        mk_arena_done(&arena);
    }
    return n;
}

size_t mk_discovery_count(struct mk_discovery *d, const struct mk_id *id)
{
    return discovery_count(d, id, /* as_tag= */ false);
}

size_t mk_discovery_count_tagged(struct mk_discovery *d, const struct mk_id *tag)
{
    return discovery_count(d, tag, /* as_tag= */ true);
}

bool mk_discovery_has_tag(struct mk_discovery *d, const struct mk_peer *peer,
                          const struct mk_id *tag)
{
    struct mk_peer_entry e;

    return mk_discovery_entry(d, &e, peer) == 0 && discovery_shows(&e, tag);
}

uint64_t mk_discovery_tags_seq(const struct mk_discovery *d)
{
    return d->tags_seq;
}

int mk_discovery_entry(struct mk_discovery *d, struct mk_peer_entry *ret,
                       const struct mk_peer *peer)
{
    const struct mk_record_key key = mk_record_peer_key(peer);
    struct mk_record *r = mk_catalog_find(&d->table, &key);

    if (r == NULL || r->head.departed || mk_wall_ms(d->env) >= r->head.expires_ms)
        return MK_ENOTFOUND;
    *ret = *(const struct mk_peer_entry *)mk_record_value(r);
    return 0;
}

/* From now on we need that record. */
static void discovery_interest(struct mk_discovery *d, const struct mk_record_key *key)
{
    size_t at = 0;

    while (at < d->n_interests && mk_record_key_cmp(&d->interests[at].key, key) < 0)
        at++;
    if (at < d->n_interests && mk_record_key_cmp(&d->interests[at].key, key) == 0)
        return;
    if (d->n_interests == d->cap_interests) {
        d->cap_interests = d->cap_interests == 0 ? 16 : 2 * d->cap_interests;
        d->interests = mk_realloc(d->interests, d->cap_interests * sizeof *d->interests);
    }
    memmove(&d->interests[at + 1], &d->interests[at], (d->n_interests - at) * sizeof *d->interests);
    d->interests[at].key = *key;
    d->n_interests++;
}

int mk_discovery_deployment(struct mk_discovery *d, struct mk_deployment *ret,
                            const struct mk_id *stable_id, const struct mk_peer *operator_)
{
    const struct mk_record_key key = mk_record_deployment_key(stable_id, operator_);
    struct mk_record *r = mk_catalog_find(&d->table, &key);

    discovery_interest(d, &key);
    if (r == NULL)
        return MK_ENOTFOUND;
    if (r->rival.n > 0)
        return MK_ECONFLICT;
    *ret = *(const struct mk_deployment *)mk_record_value(r);
    return 0;
}

int mk_discovery_conflict(struct mk_discovery *d, struct mk_bytes ret[2],
                          const struct mk_id *stable_id, const struct mk_peer *operator_)
{
    const struct mk_record_key key = mk_record_deployment_key(stable_id, operator_);
    const struct mk_record *r = mk_catalog_find(&d->table, &key);

    if (r == NULL || r->rival.n == 0)
        return MK_ENOTFOUND;
    ret[0] = mk_buf_bytes(&r->bytes);
    ret[1] = mk_buf_bytes(&r->rival);
    return 0;
}

int mk_discovery_list(struct mk_discovery *d, struct mk_bytes *ret, const struct mk_id *root)
{
    const struct mk_record_key key = mk_record_revocations_key(root);
    const struct mk_record *r = mk_catalog_find(&d->table, &key);

    if (r == NULL)
        return MK_ENOTFOUND;
    *ret = mk_buf_bytes(&r->bytes);
    return 0;
}

void mk_discovery_watch(struct mk_discovery *d, struct mk_discovery_watch *w)
{
    mk_list_add_tail(&d->watchers, &w->node);
}

void mk_discovery_unwatch(struct mk_discovery_watch *w)
{
    mk_list_del(&w->node);
}

size_t mk_discovery_size(const struct mk_discovery *d)
{
    uint64_t wall_ms = mk_wall_ms(d->env);
    size_t n = 0;

    for (size_t i = 0; i < d->table.n_kind[MK_RECORD_PEER]; i++) {
        const struct mk_record_head *h = &d->table.v[i]->head;

        n += !h->departed && wall_ms < h->expires_ms && !mk_peer_eq(&h->signer, &d->self);
    }
    return n;
}

void mk_discovery_stats(const struct mk_discovery *d, struct mk_discovery_stats *ret)
{
    *ret = d->stats;
    ret->entries = d->table.n_kind[MK_RECORD_PEER];
    ret->deployments = d->table.n_kind[MK_RECORD_DEPLOYMENT];
    ret->lists = d->table.n_kind[MK_RECORD_REVOCATIONS];
    ret->bytes = d->table.bytes;
    mk_list_each(i, &d->gossips) ret->conversations++;
    ret->neighbours = mk_contacts_neighbours(d);
}
