/* ticket.h - tickets, and the validator that judges who may bond
 * (spec/identity.md "ACL composition", spec/services.md "Ticket issuer").
 *
 * A validator is an AclComposition with what it needs at run time: the component's
 * stable id, the rosters of the issuers it recognises, the time. Each side of a
 * bond evaluates its own over the other's identity and tickets; nothing is
 * admitted because somebody else admitted it. */
#ifndef MOSAIK_TICKET_H
#define MOSAIK_TICKET_H

#include <mosaik/key.h>
#include <mosaik/records.h>

/** What a peer shows: its tickets as it sent them. Lent for the call. */
struct mk_bearer {
    struct mk_peer peer;
    const struct mk_bytes *tickets; /* each pc(Ticket) */
    size_t n_tickets;
};

/** What an issuer's root stands for: its roster of the named epoch.
 * Returns NULL when it is not known ("issuer unknown"); lent for the evaluation. */
struct mk_issuers {
    const struct mk_roster *(*roster)(struct mk_issuers *i, const struct mk_id *root,
                                      uint64_t epoch);
    /** Is this jti on a revocation list of that root that is fresh at now_ms? May
     * be NULL: no lists. */
    bool (*revoked)(struct mk_issuers *i, const struct mk_id *root, const uint8_t jti[16],
                    uint64_t now_ms);
};

/** What is known of the TDX quote that a peer showed on the present link. */
enum mk_evidence_state {
    MK_EVIDENCE_PENDING, /* asked for, not judged yet */
    MK_EVIDENCE_GOOD,
    MK_EVIDENCE_BAD, /* none was shown, or it was refused */
};
struct mk_evidence {
    enum mk_evidence_state state;
    unsigned level;                  /* GOOD: enum mk_attestation_level, TdxLocal and up */
    bool undecided;                  /* GOOD: a higher level may still come */
    struct mk_measurements measured; /* GOOD: every register */
    uint64_t from_ms;                /* what it rests on counts from then on; BAD: 0, or why */
    uint64_t expires_ms;             /* GOOD: what it rests on has ended by then */
    char reason[256];                /* BAD: why; GOOD: why it is no higher level */
};

/** "pending", "refused", or the name of its level. */
const char *mk_evidence_name(const struct mk_evidence *e);

/** Who verifies quotes on this node (docs/attestation.md). */
struct mk_attestation {
    /** The evidence of a peer, lent until the loop is entered again. Asks the peer for a
     * quote when that was not done on this link yet. NULL: there is no link to it. */
    const struct mk_evidence *(*evidence)(struct mk_attestation *a, const struct mk_peer *peer);
};

/** What another component certifies of a peer (standing.h). */
enum mk_card { MK_CARD_SCORE, MK_CARD_SETTLEMENT };
struct mk_standing {
    /** The certified card of a peer at the organism of that stable id, as pc bytes, lent until the
     * loop is entered again. MK_ENOTFOUND: it has none, which is certified too; MK_EUNREACHABLE:
     * not at hand yet, ask again; else MK_EREFUSED. The last two with the reason. */
    int (*card)(struct mk_standing *s, const struct mk_id *organism, enum mk_card kind,
                const struct mk_peer *peer, struct mk_bytes *ret, struct mk_fault *reterr);
};

/** HOST is the other direction: a client judges the member that serves it, by the clause
 * that speaks of it (VerifyPeerTdx). */
enum mk_scope { MK_SCOPE_COMMITTEE, MK_SCOPE_WRITE, MK_SCOPE_READ, MK_SCOPE_HOST };

struct mk_gate {
    const struct mk_acl_composition *acl; /* borrowed */
    struct mk_id stable_id;               /* of the component: a ticket's aud */
    struct mk_id own_issuer;    /* TICKETS_ROOT of the coalition it was started for, or zero */
    struct mk_issuers *issuers; /* borrowed; may be NULL */
    struct mk_attestation *attestation; /* borrowed; NULL: this node verifies no quotes */
    struct mk_standing *standing;       /* borrowed; NULL: no organism's cards are followed */
};

/** The verdict. When admitted, expires_ms is when to judge again (UINT64_MAX: never). */
struct mk_verdict {
    bool admitted;
    bool pending;    /* not admitted yet: evidence is on its way, ask again */
    unsigned clause; /* index of the refusing clause */
    uint64_t expires_ms;
    uint64_t again_ms; /* refused: time alone may heal it; judge again then (UINT64_MAX: no) */
    char reason[256];  /* "clause 1 RecogniseOwnIssuer: ticket expired at ..." */
};

/** Judges a bearer for a scope. OPEN admits everyone; a reader passes unless the
 * ACL holds GateReaders. RequireTdx, TdxInSet and AttestationFloor ask whoever comes for a
 * quote, VerifyPeerTdx whoever serves: committee peers of each other, clients of members.
 * ReputationFloor and MarketSettlement ask the named organism's certified cards.
 * Clauses whose evaluators do not exist in this build refuse and say so. now_ms is unix
 * time; skew of 30 s on nbf only. */
void mk_gate_judge(const struct mk_gate *g, struct mk_verdict *ret, const struct mk_bearer *bearer,
                   enum mk_scope scope, uint64_t now_ms);
/** Does a verdict of this scope rest on a quote? */
bool mk_gate_wants_quote(const struct mk_acl_composition *acl, enum mk_scope scope);
/** Asks for the evidence that a verdict will want; false while it is on its way. */
bool mk_gate_prepare(const struct mk_gate *g, const struct mk_peer *peer, enum mk_scope scope);

/* --- tickets themselves -------------------------------------------------------- */

#define MK_TICKET_MAX 8192u /* bytes of pc(Ticket) */
#define MK_TICKETS_MAX 8u   /* a bearer may show */
#define MK_TICKET_DAYS_MAX 90u

struct mk_claims {
    struct mk_id iss; /* the issuer's TICKETS_ROOT */
    struct mk_peer sub;
    struct mk_id aud; /* stable id of the component */
    bool read, write;
    uint64_t iat, nbf, exp; /* unix seconds */
    uint8_t jti[16];
};

/** The claims JSON, canonical key order; and back, strictly (all keys required,
 * no others, exp - iat at most 90 days). */
void mk_claims_format(const struct mk_claims *c, struct mk_buf *out);
int mk_claims_parse(struct mk_claims *ret, struct mk_bytes json, struct mk_fault *reterr);

/** One signer's share over "mosaik.ticket.v1" || root || u64le epoch || claims. */
void mk_ticket_sign(const struct mk_key *signer, const struct mk_id *root, uint64_t epoch,
                    struct mk_bytes claims, struct mk_signature *ret);
/** pc(Ticket) from shares; they are sorted here. */
int mk_ticket_build(struct mk_buf *out, const struct mk_id *root, uint64_t epoch,
                    struct mk_bytes claims, const struct mk_peer_signature *shares, size_t n,
                    struct mk_fault *reterr);

/** Checks a ticket whole: class, decoding, epoch's roster, majority of valid
 * signatures, iss, aud, sub, times, scope. 0 and the claims, or MK_EREFUSED with
 * the reason. */
int mk_ticket_check(struct mk_claims *ret, struct mk_bytes ticket, struct mk_issuers *issuers,
                    const struct mk_id *root, const struct mk_id *aud, const struct mk_peer *sub,
                    enum mk_scope scope, uint64_t now_ms, struct mk_fault *reterr);

/** A JWT (compact JWS) against the clause RequireJwt: ES256, ES256K, ES384, ES512,
 * EdDSA; alg must be the clause's; aud = stable id hex, sub = peer hex; exp
 * required, nbf honoured. class of such a Ticket: id("jwt"); its data is the token. */
int mk_jwt_check(struct mk_bytes token, struct mk_str issuer, struct mk_str algorithm,
                 struct mk_bytes key, const struct mk_id *aud, const struct mk_peer *sub,
                 uint64_t now_ms, uint64_t *ret_exp_ms, struct mk_fault *reterr);

#endif /* MOSAIK_TICKET_H */
