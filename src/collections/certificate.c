/* certificate.c - heads and what makes them count.
 *
 * A signature covers "mosaik.head.v1" || pc(Head); a certificate is a majority of
 * them by distinct members of the roster of the head's epoch. A roster is
 * replaced only by a change that majorities of both the old and the new one
 * signed, so whoever knows one roster can follow the chain of all later ones.
 *
 * Two certificates for one (deployment, epoch, surface, index) with different
 * content need a majority each, so the peers in both have signed twice: that is
 * the proof, and it needs no trust in whoever shows it. */
#include "collections/certificate.h"

#include "base/assert.h"

#include <string.h>

#define HEAD_TAG "mosaik.head.v1"
#define ROSTER_TAG "mosaik.roster.v1"

static void head_message(struct mk_buf *out, const struct mk_head *head)
{
    mk_buf_put_str(out, HEAD_TAG);
    mk_encode(out, &mk_head_type, head);
}

void mk_head_sign(const struct mk_key *key, const struct mk_head *head, struct mk_signature *ret)
{
    struct mk_buf m = {0};

    head_message(&m, head);
    mk_sign(key, mk_buf_bytes(&m), ret);
    mk_buf_done(&m);
}

int mk_head_verify(const struct mk_head *head, const struct mk_peer *peer,
                   const struct mk_signature *sig)
{
    struct mk_buf m = {0};
    int rv;

    head_message(&m, head);
    rv = mk_verify(peer, mk_buf_bytes(&m), sig);
    mk_buf_done(&m);
    return rv;
}

/* --- rosters ------------------------------------------------------------------------- */

struct mk_id mk_roster_id(const struct mk_roster *r)
{
    struct mk_buf x = {0};
    struct mk_id id;

    mk_buf_put_str(&x, "roster|");
    mk_buf_put_u8(&x, 0x01);
    mk_buf_put_u8(&x, '|');
    mk_encode(&x, &mk_roster_type, r);
    id = mk_hash(mk_buf_bytes(&x));
    mk_buf_done(&x);
    return id;
}

bool mk_roster_has(const struct mk_roster *r, const struct mk_peer *p)
{
    for (size_t i = 0; i < r->peers.n; i++)
        if (mk_peer_eq(&r->peers.v[i], p))
            return true;
    return false;
}

size_t mk_roster_majority(const struct mk_roster *r)
{
    return r->peers.n / 2 + 1;
}

/* Distinct, sorted peers of r, at least a majority, each with a good signature over m. */
static int check_signatures(const struct mk_peer_signatures *s, const struct mk_roster *r,
                            struct mk_bytes m, const char *what, struct mk_fault *reterr)
{
    char hex[MK_ID_HEX];

    if (s->n < mk_roster_majority(r))
        return mk_fault(reterr, MK_ESIGNATURE, "%s: %zu signatures, %zu of %zu members are needed",
                        what, s->n, mk_roster_majority(r), r->peers.n);
    for (size_t i = 0; i < s->n; i++) {
        const struct mk_peer *p = &s->v[i].peer;

        if (i > 0 && mk_peer_cmp(&s->v[i - 1].peer, p) >= 0)
            return mk_fault(reterr, MK_ESIGNATURE, "%s: signers are not sorted and distinct", what);
        if (!mk_roster_has(r, p))
            return mk_fault(reterr, MK_ESIGNATURE, "%s: %s is not of the roster of epoch %llu",
                            what, mk_peer_hex(p, hex), (unsigned long long)r->epoch);
        if (mk_verify(p, m, &s->v[i].signature) != 0)
            return mk_fault(reterr, MK_ESIGNATURE, "%s: the signature of %s is bad", what,
                            mk_peer_hex(p, hex));
    }
    return 0;
}

int mk_certificate_check(const struct mk_certificate *c, const struct mk_roster *roster,
                         struct mk_fault *reterr)
{
    struct mk_buf m = {0};
    int rv;

    if (!mk_id_eq(&c->head.deployment, &roster->deployment))
        return mk_fault(reterr, MK_ESIGNATURE, "certificate: of another deployment");
    if (c->head.epoch != roster->epoch)
        return mk_fault(reterr, MK_ESIGNATURE, "certificate: of epoch %llu, the roster is of %llu",
                        (unsigned long long)c->head.epoch, (unsigned long long)roster->epoch);
    head_message(&m, &c->head);
    rv = check_signatures(&c->signatures, roster, mk_buf_bytes(&m), "certificate", reterr);
    mk_buf_done(&m);
    return rv;
}

/* "mosaik.roster.v1" || H(pc of the change with both lists empty) */
void mk_roster_change_message(struct mk_buf *out, const struct mk_roster_change *change)
{
    struct mk_roster_change bare = *change;
    struct mk_buf x = {0};
    struct mk_id h;

    bare.old.n = 0;
    bare.new.n = 0;
    mk_encode(&x, &mk_roster_change_type, &bare);
    h = mk_hash(mk_buf_bytes(&x));
    mk_buf_done(&x);
    mk_buf_put_str(out, ROSTER_TAG);
    mk_buf_put(out, h.b, sizeof h.b);
}

static int check_change_heads(const struct mk_roster_change *change, const struct mk_roster *old,
                              struct mk_fault *reterr)
{
    for (size_t i = 0; i < change->heads.n; i++) {
        const struct mk_head *h = &change->heads.v[i];

        if (!mk_id_eq(&h->deployment, &old->deployment) || h->epoch != old->epoch)
            return mk_fault(reterr, MK_ESIGNATURE,
                            "roster change: a head is not of the old epoch of this deployment");
        if (i > 0 && mk_id_cmp(&change->heads.v[i - 1].surface, &h->surface) >= 0)
            return mk_fault(reterr, MK_ESIGNATURE,
                            "roster change: heads are not sorted by surface and distinct");
    }
    return 0;
}

int mk_roster_change_check(const struct mk_roster_change *change, const struct mk_roster *old,
                           struct mk_fault *reterr)
{
    const struct mk_roster *r = &change->roster;
    struct mk_id previous = mk_roster_id(old);
    struct mk_buf m = {0};
    int rv;

    if (!mk_id_eq(&r->deployment, &old->deployment))
        return mk_fault(reterr, MK_ESIGNATURE, "roster change: of another deployment");
    if (r->epoch != old->epoch + 1 || old->epoch == UINT64_MAX)
        return mk_fault(reterr, MK_ESIGNATURE, "roster change: to epoch %llu, from %llu",
                        (unsigned long long)r->epoch, (unsigned long long)old->epoch);
    if (!mk_id_eq(&r->previous, &previous))
        return mk_fault(reterr, MK_ESIGNATURE, "roster change: it continues another roster");
    rv = mk_validate(&mk_roster_type, r, reterr);
    if (rv == 0)
        rv = check_change_heads(change, old, reterr);
    if (rv != 0)
        return rv;
    mk_roster_change_message(&m, change);
    rv = check_signatures(&change->old, old, mk_buf_bytes(&m), "roster change, old", reterr);
    if (rv == 0)
        rv = check_signatures(&change->new, r, mk_buf_bytes(&m), "roster change, new", reterr);
    mk_buf_done(&m);
    return rv;
}

/* --- proof of conflict ------------------------------------------------------------------ */

bool mk_heads_conflict(const struct mk_head *a, const struct mk_head *b)
{
    return mk_id_eq(&a->deployment, &b->deployment) && a->epoch == b->epoch &&
           mk_id_eq(&a->surface, &b->surface) && a->index == b->index &&
           (!mk_id_eq(&a->commit, &b->commit) || !mk_id_eq(&a->state, &b->state));
}

void mk_signed_both(const struct mk_certificate *a, const struct mk_certificate *b,
                    struct mk_peers *ret, struct mk_arena *arena)
{
    struct mk_peer *v = mk_arena_take(arena, (a->signatures.n + 1) * sizeof *v);
    size_t n = 0;

    for (size_t i = 0, j = 0; i < a->signatures.n && j < b->signatures.n;) {
        int order = mk_peer_cmp(&a->signatures.v[i].peer, &b->signatures.v[j].peer);

        if (order == 0)
            v[n++] = a->signatures.v[i].peer;
        i += order <= 0;
        j += order >= 0;
    }
    ret->v = v;
    ret->n = n;
}

int mk_conflict_check(const struct mk_certificate *a, const struct mk_certificate *b,
                      const struct mk_roster *roster, struct mk_peers *ret_guilty,
                      struct mk_arena *arena)
{
    if (!mk_heads_conflict(&a->head, &b->head))
        return 0;
    if (mk_certificate_check(a, roster, NULL) != 0 || mk_certificate_check(b, roster, NULL) != 0)
        return 0;
    mk_signed_both(a, b, ret_guilty, arena);
    MK_ASSERT(ret_guilty->n > 0); /* two majorities of one roster meet */
    return MK_ECONFLICT;
}
