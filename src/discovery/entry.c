/* entry.c - our own entry.
 *
 * It is signed anew when what it says changes, at half its life, and when a newer one of ours
 * comes back from others (take.c): then an earlier run of this node had a clock ahead of ours, and
 * we go on above its version. */
#include "discovery/discovery_int.h"

#include <stdlib.h>
#include <string.h>

static int entry_cmp_id(const void *a, const void *b)
{
    return mk_id_cmp(a, b);
}

/* Copies ids sorted and distinct, at most max. */
static size_t entry_ids(struct mk_id *out, size_t max, const struct mk_id *ids, size_t n)
{
    struct mk_id *all = mk_alloc((n + 1) * sizeof *all);
    size_t kept = 0;

    if (n > 0)
        memcpy(all, ids, n * sizeof *all);
    qsort(all, n, sizeof *all, entry_cmp_id);
    for (size_t i = 0; i < n && kept < max; i++) {
        if (kept == 0 || !mk_id_eq(&out[kept - 1], &all[i]))
            out[kept++] = all[i];
    }
    mk_free(all);
    return kept;
}

/* What our entry says now, but for version, life and signature; tickets decoded. */
static void entry_compose(struct mk_discovery *d, struct mk_peer_entry *e, struct mk_arena *arena)
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
                                .tags = {d->tags, d->n_tags},
                                .surfaces = {d->surfaces, d->n_surfaces},
                                .deployments = {d->deployments, d->n_deployments},
                                .tickets = {tickets, d->n_tickets}};
    while (e->surfaces.n > 0 &&
           mk_encoded_len(&mk_peer_entry_type, e) + 20 > MK_DISCOVERY_ENTRY_MAX)
        e->surfaces.n--; /* 20: version and life may take more bytes than their zeros */
}

/* Signs e as our newest entry and puts it into the table. */
static void entry_sign(struct mk_discovery *d, struct mk_peer_entry *e)
{
    uint64_t wall_ms = mk_wall_ms(d->env);
    const struct mk_record *own;
    struct mk_record_head head;
    struct mk_buf bytes = {0};
    int rv;

    /* Above the one before; but from a clock that went back nobody would believe that. */
    if (wall_ms > d->version || d->version > wall_ms + MK_DISCOVERY_DRIFT_MS)
        d->version = wall_ms;
    else
        d->version++;
    e->version = d->version;
    e->expires_ms = d->expires_ms;
    mk_record_sign_entry(e, d->key, &bytes);
    rv = mk_record_read(&head, MK_RECORD_PEER, mk_buf_bytes(&bytes), &d->network, NULL);
    MK_ASSERT(rv == 0);
    own = mk_catalog_find(&d->table, &head.key);
    if (own != NULL && own->head.version > d->version)
        mk_catalog_forget(&d->table, &head.key);
    mk_catalog_put(&d->table, &head, mk_buf_bytes(&bytes), &(struct mk_source){.peer = d->self},
                   mk_now(d->env), true);
    mk_buf_done(&bytes);
}

void mk_entry_renew(struct mk_discovery *d)
{
    struct mk_arena arena = {0};
    struct mk_peer_entry e;

    d->stale_self = false;
    d->renew_ns = mk_now(d->env) + d->life_ms * MK_MS / 2;
    d->expires_ms = mk_wall_ms(d->env) + d->life_ms;
    entry_compose(d, &e, &arena);
    entry_sign(d, &e);
    mk_arena_done(&arena);
    d->changed = true;
}

void mk_entry_depart(struct mk_discovery *d)
{
    struct mk_peer_entry e = {.network = d->network, .peer = d->self};

    if (!d->observe_only && d->version > 0)
        entry_sign(d, &e);
}

void mk_discovery_offer(struct mk_discovery *d, const struct mk_id *surfaces, size_t n_surfaces,
                        const struct mk_id *deployments, size_t n_deployments)
{
    d->n_surfaces = entry_ids(d->surfaces, MK_ENTRY_IDS_MAX, surfaces, n_surfaces);
    d->n_deployments = entry_ids(d->deployments, MK_ENTRY_IDS_MAX, deployments, n_deployments);
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

int mk_discovery_tag(struct mk_discovery *d, const struct mk_id *tags, size_t n)
{
    if (n > MK_ENTRY_TAGS_MAX)
        return MK_ELIMIT;
    if (n > 0)
        d->observe_only = false; /* what it says is to be heard */
    else if (d->n_tags == 0)
        return 0;
    d->n_tags = entry_ids(d->tags, MK_ENTRY_TAGS_MAX, tags, n);
    d->stale_self = true;
    mk_discovery_poke(d);
    return 0;
}

int mk_discovery_self(struct mk_discovery *d, struct mk_bytes *ret)
{
    const struct mk_record_key key = mk_record_peer_key(&d->self);
    const struct mk_record *r;

    if (d->observe_only)
        return MK_ENOTFOUND;
    if (d->stale_self)
        mk_entry_renew(d);
    r = mk_catalog_find(&d->table, &key);
    if (r == NULL)
        return MK_ENOTFOUND;
    *ret = mk_buf_bytes(&r->bytes);
    return 0;
}
