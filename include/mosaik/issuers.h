/* issuers.h - what a node knows of ticket issuers: their rosters and what they
 * revoked (spec/services.md, "Ticket issuer").
 *
 *   root A -- epoch 1: roster, epoch 2: roster -- revocations (newest list)
 *   root B -- epoch 1: roster
 *
 * The rosters come from whoever may say so: the file that names the issuer, or
 * a Deployment of that root signed by the operator that the file names. Lists
 * come from anybody, since they are signed by a majority of the roster. */
#ifndef MOSAIK_ISSUERS_H
#define MOSAIK_ISSUERS_H

#include <mosaik/ticket.h>

#define MK_ISSUER_ROOTS_MAX 256u        /* roots a book holds */
#define MK_ISSUER_EPOCHS_MAX 64u        /* rosters of one root; the oldest goes */
#define MK_REVOCATION_LIFE_MS 86400000u /* a list counts for 24 h after its version */
#define MK_REVOCATIONS_BYTES_MAX \
    ((1u << 20) - (1u << 15)) /* of pc(SignedRevocations); fits a message */

/** TicketRevocations.version is the unix time of its signing in ms: so a list says
 * itself how old it is, and the newest has the highest version. A majority of
 * that epoch's roster signs "mosaik.revocations.v1" || root ||
 * u64le epoch || list, list being pc(TicketRevocations). */
#define MK_SIGNED_REVOCATIONS_TABLE(F, S)                            \
    F(S, mk_blob, list)                  /* pc(TicketRevocations) */ \
    F(S, mk_peer_signatures, signatures) /* a majority of its epoch's roster */
MK_STRUCT_DECLARE(mk_signed_revocations, MK_SIGNED_REVOCATIONS_TABLE)

/** One signer's share over pc(TicketRevocations), which is of root and epoch. */
void mk_revocations_sign(const struct mk_key *signer, const struct mk_id *root, uint64_t epoch,
                         struct mk_bytes list, struct mk_signature *ret);
/** pc(SignedRevocations); shares are sorted here. MK_EINVALID. */
int mk_revocations_build(struct mk_buf *out, struct mk_bytes list,
                         const struct mk_peer_signature *shares, size_t n, struct mk_fault *reterr);

struct mk_issuer_book;

/** An empty one; given. */
struct mk_issuer_book *mk_issuer_book_new(void);
void mk_issuer_book_free(struct mk_issuer_book *b); /* NULL is fine */
/** The view that a gate takes; lent until the book goes. */
struct mk_issuers *mk_issuer_book_issuers(struct mk_issuer_book *b);

/** Believes this roster (copied) of the root. 0, also when it is known already;
 * MK_ECONFLICT: another one of that epoch is; MK_EINVALID: no peers; MK_ELIMIT. */
int mk_issuer_book_add(struct mk_issuer_book *b, const struct mk_id *root,
                       const struct mk_roster *roster, struct mk_fault *reterr);

/** Takes a list (pc(SignedRevocations), copied) when it is signed by its epoch's
 * roster and newer than the known one. 0; MK_EEXISTS: that version or a newer one
 * is known; MK_ESIGNATURE: no majority of that roster signed it; MK_EREFUSED (unknown
 * issuer or epoch, from the future, over 24 h old), MK_EMALFORMED, MK_ELIMIT, MK_ECONFLICT
 * (that version, another content). */
int mk_issuer_book_revoke(struct mk_issuer_book *b, struct mk_bytes signed_revocations,
                          uint64_t now_ms, struct mk_fault *reterr);
/** The same judgement of the signatures alone; nothing is taken. */
int mk_issuer_book_verify(const struct mk_issuer_book *b, struct mk_bytes signed_revocations,
                          struct mk_fault *reterr);
/** Does it hold a roster of that root? */
bool mk_issuer_book_knows(const struct mk_issuer_book *b, const struct mk_id *root);
/** How many lists it has taken: moves when somebody may have been revoked. */
uint64_t mk_issuer_book_changes(const struct mk_issuer_book *b);

/** What a book holds of one issuer, for people. */
struct mk_issuer_state {
    struct mk_id root;
    uint64_t epoch;        /* of the newest roster */
    unsigned signers;      /* peers of it */
    uint64_t list_version; /* unix ms of the newest list's signing; 0: none */
    bool fresh;            /* it counts: signed in the last 24 h */
    size_t revoked;        /* tickets on it */
};
/** The i-th issuer, in order of arrival; false past the last. */
bool mk_issuer_book_state(const struct mk_issuer_book *b, size_t i, struct mk_issuer_state *ret,
                          uint64_t now_ms);

/** Is there a fresh list of that root? Without one a revoked ticket counts until
 * it expires, which `status` says. */
bool mk_issuer_book_is_fresh(const struct mk_issuer_book *b, const struct mk_id *root,
                             uint64_t now_ms);

#endif /* MOSAIK_ISSUERS_H */
