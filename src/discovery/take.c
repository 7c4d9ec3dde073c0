/* take.c - what others bring.
 *
 * In this order, the cheap questions first: is it a record at all, of this network, is it alive by
 * our clock, is it news, is there a place for it; then is it signed by whom it speaks of. Only then
 * it is kept, and so passed on. Whatever is not taken is counted under its reason. */
#include "discovery/discovery_int.h"

#include <stdlib.h>
#include <string.h>

const char *mk_rumour_name(enum mk_rumour r)
{
    static const char *const names[MK_RUMOURS] = {
#define NAME_X(name, text, help, fault) text,
        MK_RUMOUR_MAP(NAME_X)
#undef NAME_X
    };

    return names[r];
}

/* Counts a refusal; returns rv. */
static int refused(struct mk_discovery *d, enum mk_rumour why, int rv)
{
    d->stats.refused++;
    d->stats.refused_by[why]++;
    return rv;
}

static int take_cmp_key(const void *a, const void *b)
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
                                         sizeof *d->interests, take_cmp_key) != NULL;
}

/* An entry of ours came from elsewhere: is it newer than what we say? */
static int take_echo(struct mk_discovery *d, const struct mk_record_head *head,
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
        return refused(d, MK_RUMOUR_FORGED, rv);
    if (d->echoed_ns != 0 && now - d->echoed_ns < MK_S)
        return MK_EEXISTS; /* two that run with one key would chase each other */
    d->echoed_ns = now;
    d->version = head->version;
    d->stale_self = true;
    mk_discovery_poke(d);
    return MK_EEXISTS;
}

/* A record that cannot be read is its sender's doing. */
static int take_unreadable(struct mk_discovery *d, int rv)
{
    return refused(d,
                   rv == MK_ELIMIT     ? MK_RUMOUR_TOO_LONG
                   : rv == MK_EINVALID ? MK_RUMOUR_OTHER_NETWORK
                                       : MK_RUMOUR_MALFORMED,
                   rv);
}

/* Is it alive, by our clock? Clocks differ among honest nodes: nobody's fault. */
static int take_life(struct mk_discovery *d, const struct mk_record_head *head,
                     struct mk_fault *reterr)
{
    uint64_t wall_ms = mk_wall_ms(d->env);

    if (head->kind == MK_RECORD_DEPLOYMENT)
        return 0;
    if (wall_ms >= head->expires_ms)
        return refused(d, MK_RUMOUR_EXPIRED,
                       mk_fault(reterr, MK_EREFUSED, "a record that has expired"));
    if (head->kind == MK_RECORD_REVOCATIONS)
        return 0; /* the book judges the rest */
    if (head->version > wall_ms + MK_DISCOVERY_DRIFT_MS)
        return refused(d, MK_RUMOUR_FUTURE,
                       mk_fault(reterr, MK_EREFUSED, "an entry from %llu s in the future",
                                (unsigned long long)(head->version - wall_ms) / 1000));
    if (head->expires_ms - wall_ms > MK_DISCOVERY_LIFE_MAX_MS)
        return refused(d, MK_RUMOUR_LONG_LIVED,
                       mk_fault(reterr, MK_EREFUSED, "an entry that wants to live too long"));
    return 0;
}

/* Which of the table's answers are news, known, or nobody's fault. */
static int take_judged(struct mk_discovery *d, int rv, struct mk_fault *reterr)
{
    if (rv == MK_ESTALE)
        return refused(d, MK_RUMOUR_OLDER, MK_EEXISTS);
    if (rv == MK_EFULL)
        return refused(d, MK_RUMOUR_NO_ROOM, mk_fault(reterr, MK_EREFUSED, "no place for it"));
    if (rv == MK_ELIMIT)
        return refused(d, MK_RUMOUR_VERSION_JUMP,
                       mk_fault(reterr, MK_EREFUSED, "a version that jumps too far"));
    return rv;
}

/* A list of revocations: the book verifies and takes it, the table keeps it for others. */
static int take_list(struct mk_discovery *d, const struct mk_record_head *head,
                     struct mk_bytes bytes, const struct mk_source *source, struct mk_fault *reterr)
{
    uint64_t now = mk_now(d->env);
    int rv;

    if (d->issuers == NULL || !mk_issuer_book_knows(d->issuers, &head->root))
        return refused(
            d, MK_RUMOUR_UNKNOWN_ISSUER,
            mk_fault(reterr, MK_EREFUSED, "revocations of an issuer that is not known here"));
    rv = mk_catalog_judge(&d->table, head, source, now, true);
    if (rv != 0)
        return take_judged(d, rv, reterr);
    rv = mk_issuer_book_verify(d->issuers, bytes, reterr);
    if (rv == 0)
        rv = mk_issuer_book_revoke(d->issuers, bytes, mk_wall_ms(d->env), reterr);
    if (rv == MK_ECONFLICT)
        rv = MK_EREFUSED; /* the issuer's doing, not the sender's */
    if (rv != 0 && rv != MK_EEXISTS)
        return refused(d, rv == MK_ESIGNATURE ? MK_RUMOUR_FORGED : MK_RUMOUR_REVOCATIONS, rv);
    rv = mk_catalog_put(&d->table, head, bytes, source, now, true);
    MK_ASSERT(rv == 0); /* as it was judged */
    mk_discovery_note(d);
    return 0;
}

int mk_discovery_revoke(struct mk_discovery *d, struct mk_bytes list, struct mk_fault *reterr)
{
    const struct mk_source self = {.peer = d->self};
    struct mk_record_head head;
    int rv = mk_record_read(&head, MK_RECORD_REVOCATIONS, list, &d->network, reterr);

    if (rv == 0)
        rv = take_life(d, &head, reterr);
    return rv != 0 ? rv : take_list(d, &head, list, &self, reterr);
}

/* The entry that is held is from the future and this one is of now: the clocks went back, ours
 * and its signer's, and its versions began anew. An old one that is played again is not of now. */
static bool take_went_back(const struct mk_discovery *d, const struct mk_record_head *head)
{
    const struct mk_record *r = mk_catalog_find(&d->table, &head->key);
    uint64_t wall_ms = mk_wall_ms(d->env);

    return head->kind == MK_RECORD_PEER && r != NULL &&
           r->head.version > wall_ms + MK_DISCOVERY_DRIFT_MS &&
           head->version + MK_DISCOVERY_DRIFT_MS >= wall_ms;
}

/* A verified record that was judged to be news. */
static void take_put(struct mk_discovery *d, const struct mk_record_head *head,
                     struct mk_bytes bytes, const struct mk_source *source, bool needed)
{
    const struct mk_record *r = mk_catalog_find(&d->table, &head->key);
    struct mk_id before = r != NULL ? r->head.tags : mk_hash(MK_BYTES(NULL, 0));
    int rv;

    rv = mk_catalog_put(&d->table, head, bytes, source, mk_now(d->env), needed);
    MK_ASSERT(rv == 0 || rv == MK_ECONFLICT);
    d->stats.displaced = d->table.displaced;
    if (head->kind == MK_RECORD_PEER && !mk_id_eq(&before, &head->tags))
        d->tags_seq++;
    mk_discovery_note(d);
    if (head->kind == MK_RECORD_PEER)
        mk_contacts_entry(d, &head->signer);
}

int mk_discovery_take(struct mk_discovery *d, enum mk_record_kind kind, struct mk_bytes bytes,
                      const struct mk_source *source, uint64_t *ret_hash, struct mk_fault *reterr)
{
    struct mk_record_head head;
    bool needed, went_back;
    int rv = mk_record_read(&head, kind, bytes, &d->network, reterr);

    *ret_hash = 0;
    if (rv != 0)
        return take_unreadable(d, rv);
    *ret_hash = mk_record_short(&head.hash);
    rv = take_life(d, &head, reterr);
    if (rv != 0)
        return rv;
    if (kind == MK_RECORD_PEER && mk_peer_eq(&head.signer, &d->self))
        return take_echo(d, &head, bytes);
    if (kind == MK_RECORD_REVOCATIONS)
        return take_list(d, &head, bytes, source, reterr);
    needed = mk_discovery_needs(d, &head);
    rv = mk_catalog_judge(&d->table, &head, source, mk_now(d->env), needed);
    went_back = rv == MK_ESTALE && take_went_back(d, &head);
    if (rv != 0 && rv != MK_ECONFLICT && !went_back)
        return take_judged(d, rv, reterr);
    if (mk_record_verify(&head, bytes) != 0)
        return refused(d, MK_RUMOUR_FORGED,
                       mk_fault(reterr, MK_ESIGNATURE, "a record whose signature does not verify"));
    if (went_back)
        mk_catalog_forget(&d->table, &head.key);
    take_put(d, &head, bytes, source, /* needed= */ needed || went_back);
    return 0;
}

int mk_discovery_feed(struct mk_discovery *d, struct mk_bytes entry, struct mk_fault *reterr)
{
    const struct mk_source self = {.peer = d->self};
    uint64_t hash;

    return mk_discovery_take(d, MK_RECORD_PEER, entry, &self, &hash, reterr);
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
    rv = mk_catalog_put(&d->table, &head, deployment, &(struct mk_source){.peer = d->self},
                        mk_now(d->env), true);
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
