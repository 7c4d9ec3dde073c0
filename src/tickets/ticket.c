/* ticket.c - a coalition's own tickets: making and checking them
 * (spec/services.md, "Ticket issuer").
 *
 * Checked in this order, so that the reason names the first thing that is wrong
 * in the order in which a person would look: decoding, class (another issuer's,
 * perhaps the same coalition's before a rotation), the epoch's roster, the
 * majority, what the claims say, the times, revocation. Nothing in the claims
 * is believed before the majority is. */
#include <mosaik/ticket.h>

#include "base/assert.h"
#include "tickets/quorum.h"
#include "tickets/times.h"
#include <mosaik/key.h>

#define TICKET_TAG "mosaik.ticket.v1"

void mk_ticket_sign(const struct mk_key *signer, const struct mk_id *root, uint64_t epoch,
                    struct mk_bytes claims, struct mk_signature *ret)
{
    struct mk_buf message = {0};

    mk_quorum_message(&message, TICKET_TAG, root, epoch, claims);
    mk_sign(signer, mk_buf_bytes(&message), ret);
    mk_buf_done(&message);
}

int mk_ticket_build(struct mk_buf *out, const struct mk_id *root, uint64_t epoch,
                    struct mk_bytes claims, const struct mk_peer_signature *shares, size_t n,
                    struct mk_fault *reterr)
{
    struct mk_peer_signature sorted[MK_ROSTER_MAX];
    struct mk_signed_ticket body = {.claims = claims, .epoch = epoch, .signatures = {sorted, n}};
    struct mk_ticket ticket = {.class = *root};
    struct mk_buf data = {0};
    int rv = 0;

    if (n > MK_ROSTER_MAX)
        return mk_fault(reterr, MK_EINVALID, "more shares than a roster has peers");
    rv = mk_quorum_sort(sorted, shares, n, reterr);
    if (rv != 0)
        return rv;
    mk_encode(&data, &mk_signed_ticket_type, &body);
    ticket.data = mk_buf_bytes(&data);
    if (mk_encoded_len(&mk_ticket_type, &ticket) > MK_TICKET_MAX)
        rv = mk_fault(reterr, MK_ELIMIT, "a ticket of more than %u bytes", MK_TICKET_MAX);
    else
        mk_encode(out, &mk_ticket_type, &ticket);
    mk_buf_done(&data);
    return rv;
}

/* The majority's signatures over the claims. */
static int ticket_signatures(const struct mk_signed_ticket *t, struct mk_issuers *issuers,
                             const struct mk_id *root, struct mk_fault *reterr)
{
    const struct mk_roster *roster =
        issuers != NULL ? issuers->roster(issuers, root, t->epoch) : NULL;
    struct mk_buf message = {0};
    char hex[MK_ID_HEX];
    int rv;

    if (roster == NULL)
        return mk_fault(reterr, MK_EREFUSED, "issuer unknown: no roster of %s for epoch %llu",
                        mk_id_hex(root, hex), (unsigned long long)t->epoch);
    MK_ASSERT(roster->epoch == t->epoch);
    mk_quorum_message(&message, TICKET_TAG, root, t->epoch, t->claims);
    rv = mk_quorum_check(roster, mk_buf_bytes(&message), t->signatures.v, t->signatures.n, reterr);
    mk_buf_done(&message);
    return rv;
}

/* A committee's peers write to it; reading is a right of its own. */
static bool ticket_scope(const struct mk_claims *c, enum mk_scope scope)
{
    switch (scope) {
    case MK_SCOPE_COMMITTEE:
    case MK_SCOPE_WRITE:
        return c->write;
    case MK_SCOPE_READ:
        return c->read;
    case MK_SCOPE_HOST:
        return true; /* no ticket is asked of who serves */
    }
    return false;
}

static int ticket_claims(const struct mk_claims *c, const struct mk_id *root,
                         const struct mk_id *aud, const struct mk_peer *sub, enum mk_scope scope,
                         struct mk_fault *reterr)
{
    char hex[MK_ID_HEX];

    if (!mk_id_eq(&c->iss, root))
        return mk_fault(reterr, MK_EREFUSED, "iss is %s, not the issuer that signed",
                        mk_id_hex(&c->iss, hex));
    if (!mk_id_eq(&c->aud, aud))
        return mk_fault(reterr, MK_EREFUSED, "aud is %s, another component",
                        mk_id_hex(&c->aud, hex));
    if (!mk_peer_eq(&c->sub, sub))
        return mk_fault(reterr, MK_EREFUSED, "sub is %s, another peer", mk_peer_hex(&c->sub, hex));
    if (!ticket_scope(c, scope))
        return mk_fault(reterr, MK_EREFUSED, "its scope does not allow to %s",
                        scope == MK_SCOPE_READ ? "read" : "write");
    return 0;
}

static int ticket_body(struct mk_claims *ret, struct mk_bytes data, struct mk_arena *arena,
                       struct mk_issuers *issuers, const struct mk_id *root,
                       struct mk_fault *reterr)
{
    struct mk_signed_ticket t;
    int rv = mk_decode(&t, &mk_signed_ticket_type, data, arena, reterr);

    if (rv == 0)
        rv = ticket_signatures(&t, issuers, root, reterr);
    if (rv == 0)
        rv = mk_claims_parse(ret, t.claims, reterr);
    return rv;
}

int mk_ticket_check(struct mk_claims *ret, struct mk_bytes ticket, struct mk_issuers *issuers,
                    const struct mk_id *root, const struct mk_id *aud, const struct mk_peer *sub,
                    enum mk_scope scope, uint64_t now_ms, struct mk_fault *reterr)
{
    struct mk_arena arena = {0};
    struct mk_claims claims;
    struct mk_ticket t;
    char hex[MK_ID_HEX];
    int rv;

    if (ticket.n > MK_TICKET_MAX)
        return mk_fault(reterr, MK_EREFUSED, "longer than %u bytes", MK_TICKET_MAX);
    rv = mk_decode(&t, &mk_ticket_type, ticket, &arena, reterr);
    if (rv == 0 && !mk_id_eq(&t.class, root))
        rv = mk_fault(reterr, MK_EREFUSED,
                      "it is of issuer %s; tickets of an earlier issuer end when the issuer is "
                      "rotated: ask for a new one",
                      mk_id_hex(&t.class, hex));
    if (rv == 0)
        rv = ticket_body(&claims, t.data, &arena, issuers, root, reterr);
    if (rv == 0)
        rv = ticket_claims(&claims, root, aud, sub, scope, reterr);
    if (rv == 0)
        rv = mk_ticket_times("ticket", claims.nbf, claims.exp, now_ms, reterr);
    if (rv == 0 && issuers->revoked != NULL && issuers->revoked(issuers, root, claims.jti, now_ms))
        rv = mk_fault(reterr, MK_EREFUSED, "ticket was revoked by its issuer");
    mk_arena_done(&arena);
    if (rv == 0)
        *ret = claims;
    return rv == 0 ? 0 : MK_EREFUSED;
}
