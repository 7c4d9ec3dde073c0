/* discovery.c - our own entry, what is taken from others, and the one advance() a turn.
 *
 * Our entry is signed anew when what it says changes, at half its life, and when a
 * newer one of ours comes back from others: then an earlier run of this node had a
 * clock ahead of ours, and we go on above its version.
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

/* --- our own entry --------------------------------------------------------------------- */

static int discovery_cmp_id(const void *a, const void *b)
{
    return mk_id_cmp(a, b);
}

/* Copies ids sorted and distinct, at most MK_ENTRY_IDS_MAX. */
static size_t discovery_ids(struct mk_id *out, const struct mk_id *ids, size_t n)
{
    struct mk_id *all = mk_alloc((n + 1) * sizeof *all);
    size_t kept = 0;

    if (n > 0)
        memcpy(all, ids, n * sizeof *all);
    qsort(all, n, sizeof *all, discovery_cmp_id);
    for (size_t i = 0; i < n && kept < MK_ENTRY_IDS_MAX; i++) {
        if (kept == 0 || !mk_id_eq(&out[kept - 1], &all[i]))
            out[kept++] = all[i];
    }
    mk_free(all);
    return kept;
}

/* What our entry says now, but for version, life and signature; tickets decoded. */
static void discovery_compose(struct mk_discovery *d, struct mk_peer_entry *e,
                              struct mk_arena *arena)
{
    struct mk_str *addresses = mk_arena_take(arena, (d->n_addresses + 1) * sizeof *addresses);
    struct mk_ticket *tickets = mk_arena_take(arena, (d->n_tickets + 1) * sizeof *tickets);
    int rv = 0;

    for (size_t i = 0; i < d->n_addresses; i++)
        addresses[i] = (struct mk_str){(char *)d->addresses[i].p, d->addresses[i].n};
    for (size_t i = 0; i < d->n_tickets; i++)
        rv |= mk_decode(&tickets[i], &mk_ticket_type, mk_buf_bytes(&d->tickets[i]), arena, NULL);
    MK_ASSERT(rv == 0); /* mk_discovery_show has read them */
    *e = (struct mk_peer_entry){.network = d->network,
                                .peer = d->self,
                                .addresses = {addresses, d->n_addresses},
                                .surfaces = {d->surfaces, d->n_surfaces},
                                .deployments = {d->deployments, d->n_deployments},
                                .tickets = {tickets, d->n_tickets}};
    while (e->surfaces.n > 0 &&
           mk_encoded_len(&mk_peer_entry_type, e) + 20 > MK_DISCOVERY_ENTRY_MAX)
        e->surfaces.n--; /* 20: version and life may take more bytes than their zeros */
}

/* Signs e as our newest entry and puts it into the table. */
static void discovery_sign(struct mk_discovery *d, struct mk_peer_entry *e)
{
    uint64_t wall_ms = mk_wall_ms(d->env);
    struct mk_record_head head;
    struct mk_buf bytes = {0};
    int rv;

    d->version = wall_ms > d->version ? wall_ms : d->version + 1;
    e->version = d->version;
    e->expires_ms = d->expires_ms;
    mk_record_sign_entry(e, d->key, &bytes);
    rv = mk_record_read(&head, MK_RECORD_PEER, mk_buf_bytes(&bytes), &d->network, NULL);
    MK_ASSERT(rv == 0);
    mk_catalog_put(&d->table, &head, mk_buf_bytes(&bytes), &d->self, true);
    mk_buf_done(&bytes);
}

static void discovery_renew(struct mk_discovery *d)
{
    struct mk_arena arena = {0};
    struct mk_peer_entry e;

    d->stale_self = false;
    d->renew_ns = mk_now(d->env) + d->life_ms * MK_MS / 2;
    d->expires_ms = mk_wall_ms(d->env) + d->life_ms;
    discovery_compose(d, &e, &arena);
    discovery_sign(d, &e);
    mk_arena_done(&arena);
    d->changed = true;
}

/* Our entry says that we are gone, for as long as an older one could be believed. */
static void discovery_depart(struct mk_discovery *d)
{
    struct mk_peer_entry e = {.network = d->network, .peer = d->self};

    if (!d->observe_only && d->version > 0)
        discovery_sign(d, &e);
}

/* --- what others bring --------------------------------------------------------------------- */

static int discovery_cmp_key(const void *a, const void *b)
{
    return mk_record_key_cmp(a, b);
}

bool mk_discovery_needs(const struct mk_discovery *d, const struct mk_record_head *head)
{
    mk_list_each(n, &d->contacts)
    {
        const struct mk_contact *c = mk_container_of(n, struct mk_contact, node);

        if (head->kind == MK_RECORD_PEER && c->wants > 0 && mk_peer_eq(&c->peer, &head->signer))
            return true;
    }
    return d->n_interests > 0 && bsearch(&head->key, d->interests, d->n_interests,
                                         sizeof *d->interests, discovery_cmp_key) != NULL;
}

/* An entry of ours came from elsewhere: is it newer than what we say? */
static int discovery_echo(struct mk_discovery *d, const struct mk_record_head *head,
                          struct mk_bytes bytes)
{
    const struct mk_record *own = mk_catalog_find(&d->table, &head->key);
    uint64_t now = mk_now(d->env);
    int rv;

    if (d->observe_only || head->version < d->version ||
        (own != NULL && mk_id_eq(&own->head.hash, &head->hash)))
        return MK_EEXISTS;
    rv = mk_record_verify(head, bytes);
    if (rv != 0)
        return rv;
    if (d->echoed_ns != 0 && now - d->echoed_ns < MK_S)
        return MK_EEXISTS; /* two that run with one key would chase each other */
    d->echoed_ns = now;
    d->version = head->version;
    d->stale_self = true;
    mk_discovery_poke(d);
    return MK_EEXISTS;
}

static int discovery_life(struct mk_discovery *d, const struct mk_record_head *head,
                          struct mk_fault *reterr)
{
    uint64_t wall_ms = mk_wall_ms(d->env);

    if (head->kind == MK_RECORD_DEPLOYMENT)
        return 0;
    if (wall_ms >= head->expires_ms)
        return mk_fault(reterr, MK_EREFUSED, "a record that has expired");
    if (head->kind == MK_RECORD_REVOCATIONS)
        return 0; /* the book judges the rest */
    if (head->expires_ms - wall_ms > MK_DISCOVERY_LIFE_MAX_MS)
        return mk_fault(reterr, MK_EREFUSED, "an entry that wants to live too long");
    return 0;
}

/* Which of the table's answers are news, known, or nobody's fault. */
static int discovery_judged(int rv, struct mk_fault *reterr)
{
    if (rv == MK_ESTALE)
        return MK_EEXISTS;
    if (rv == MK_EFULL)
        return mk_fault(reterr, MK_EREFUSED, "no place for it");
    if (rv == MK_ELIMIT)
        return mk_fault(reterr, MK_EREFUSED, "a version that jumps too far");
    return rv;
}

/* A list of revocations: the book verifies and takes it, the table keeps it for others. */
static int discovery_take_list(struct mk_discovery *d, const struct mk_record_head *head,
                               struct mk_bytes bytes, const struct mk_peer *source,
                               struct mk_fault *reterr)
{
    int rv;

    if (d->issuers == NULL || !mk_issuer_book_knows(d->issuers, &head->root))
        return mk_fault(reterr, MK_EREFUSED, "revocations of an issuer that is not known here");
    rv = mk_catalog_judge(&d->table, head, source, true);
    if (rv != 0)
        return discovery_judged(rv, reterr);
    rv = mk_issuer_book_verify(d->issuers, bytes, reterr);
    if (rv == 0)
        rv = mk_issuer_book_revoke(d->issuers, bytes, mk_wall_ms(d->env), reterr);
    if (rv == MK_ECONFLICT)
        rv = MK_EREFUSED; /* the issuer's doing, not the sender's */
    if (rv != 0 && rv != MK_EEXISTS)
        return rv;
    rv = mk_catalog_put(&d->table, head, bytes, source, true);
    MK_ASSERT(rv == 0); /* as it was judged */
    mk_discovery_note(d);
    return 0;
}

int mk_discovery_revoke(struct mk_discovery *d, struct mk_bytes list, struct mk_fault *reterr)
{
    struct mk_record_head head;
    int rv = mk_record_read(&head, MK_RECORD_REVOCATIONS, list, &d->network, reterr);

    if (rv == 0)
        rv = discovery_life(d, &head, reterr);
    return rv != 0 ? rv : discovery_take_list(d, &head, list, &d->self, reterr);
}

int mk_discovery_take(struct mk_discovery *d, enum mk_record_kind kind, struct mk_bytes bytes,
                      const struct mk_peer *source, struct mk_fault *reterr)
{
    struct mk_record_head head;
    bool needed;
    int rv = mk_record_read(&head, kind, bytes, &d->network, reterr);

    if (rv == 0)
        rv = discovery_life(d, &head, reterr);
    if (rv != 0)
        return rv;
    if (kind == MK_RECORD_PEER && mk_peer_eq(&head.signer, &d->self))
        return discovery_echo(d, &head, bytes);
    if (kind == MK_RECORD_REVOCATIONS)
        return discovery_take_list(d, &head, bytes, source, reterr);
    needed = mk_discovery_needs(d, &head);
    rv = mk_catalog_judge(&d->table, &head, source, needed);
    if (rv != 0 && rv != MK_ECONFLICT)
        return discovery_judged(rv, reterr);
    if (mk_record_verify(&head, bytes) != 0)
        return mk_fault(reterr, MK_ESIGNATURE, "a record whose signature does not verify");
    rv = mk_catalog_put(&d->table, &head, bytes, source, needed);
    MK_ASSERT(rv == 0 || rv == MK_ECONFLICT); /* as it was judged */
    mk_discovery_note(d);
    if (kind == MK_RECORD_PEER)
        mk_contacts_entry(d, &head.signer);
    return 0;
}

int mk_discovery_publish(struct mk_discovery *d, struct mk_bytes deployment,
                         struct mk_fault *reterr)
{
    struct mk_record_head head;
    int rv = mk_record_read(&head, MK_RECORD_DEPLOYMENT, deployment, &d->network, reterr);

    if (rv != 0)
        return rv;
    if (mk_record_verify(&head, deployment) != 0)
        return mk_fault(reterr, MK_ESIGNATURE, "the Deployment is not signed by its operator");
    rv = mk_catalog_put(&d->table, &head, deployment, &d->self, true);
    if (rv == 0 || rv == MK_ECONFLICT)
        mk_discovery_note(d);
    if (rv == MK_ECONFLICT)
        return mk_fault(reterr, rv, "another Deployment of version %llu is known",
                        (unsigned long long)head.version);
    if (rv == MK_ESTALE)
        return mk_fault(reterr, rv, "a newer Deployment is known");
    if (rv == MK_ELIMIT)
        return mk_fault(reterr, rv, "the Deployment's version is more than 2^32 above the known");
    if (rv == MK_EEXISTS) {
        const struct mk_record *r = mk_catalog_find(&d->table, &head.key);

        return r->rival.n > 0 ? mk_fault(reterr, MK_ECONFLICT, "two Deployments of one version")
                              : 0;
    }
    return rv;
}

/* --- a turn ----------------------------------------------------------------------------------- */

static void discovery_purge(struct mk_discovery *d, uint64_t *next_ns)
{
    uint64_t wall_ms = mk_wall_ms(d->env), next_ms;

    if (mk_catalog_purge(&d->table, wall_ms, &next_ms) > 0)
        d->changed = true;
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
            discovery_renew(d);
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
    d->closing = true;
    discovery_depart(d);
    mk_gossip_close(d);
    mk_contacts_close(d);
    mk_net_unwatch(&d->net_watch);
    mk_net_unserve(&d->service);
    mk_timer_stop(&d->timer);
    mk_later_cancel(&d->task);
    mk_list_each(n, &d->watchers) mk_list_del(n);
    discovery_free(d);
}

void mk_discovery_offer(struct mk_discovery *d, const struct mk_id *surfaces, size_t n_surfaces,
                        const struct mk_id *deployments, size_t n_deployments)
{
    d->n_surfaces = discovery_ids(d->surfaces, surfaces, n_surfaces);
    d->n_deployments = discovery_ids(d->deployments, deployments, n_deployments);
    d->stale_self = true;
    mk_discovery_poke(d);
}

int mk_discovery_show(struct mk_discovery *d, const struct mk_bytes *tickets, size_t n)
{
    struct mk_arena arena = {0};
    struct mk_ticket t;
    size_t total = 0;
    int rv = n > MK_ENTRY_TICKETS_MAX ? MK_ELIMIT : 0;

    for (size_t i = 0; i < n && rv == 0; i++) {
        total += tickets[i].n;
        rv = mk_decode(&t, &mk_ticket_type, tickets[i], &arena, NULL);
    }
    mk_arena_done(&arena);
    if (rv == 0 && total > MK_DISCOVERY_ENTRY_MAX / 2)
        rv = MK_ELIMIT;
    if (rv != 0)
        return rv;
    for (size_t i = 0; i < d->n_tickets; i++)
        mk_buf_done(&d->tickets[i]);
    for (size_t i = 0; i < n; i++)
        mk_buf_put(&d->tickets[i], tickets[i].p, tickets[i].n);
    d->n_tickets = n;
    d->stale_self = true;
    mk_discovery_poke(d);
    return 0;
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

size_t mk_discovery_count(struct mk_discovery *d, const struct mk_id *id)
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
            n += discovery_has_id(&e.deployments, id) || discovery_has_id(&e.surfaces, id);
        mk_arena_done(&arena);
    }
    return n;
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
}
