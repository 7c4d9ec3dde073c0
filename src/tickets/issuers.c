/* issuers.c - see mosaik/issuers.h.
 *
 * Small sorted arrays: a component recognises a handful of issuers, an issuer has
 * a handful of epochs. A roster is never replaced; a second one for the same epoch
 * is a contradiction that the caller reports. */
#include <mosaik/issuers.h>

#include "base/assert.h"
#include "tickets/quorum.h"
#include "tickets/times.h"
#include <mosaik/key.h>
#include <stdlib.h>
#include <string.h>

MK_STRUCT_DEFINE(mk_signed_revocations, "SignedRevocations", MK_SIGNED_REVOCATIONS_TABLE)

#define REVOCATIONS_TAG "mosaik.revocations.v1"

struct issuer {
    struct mk_id root;
    struct mk_roster rosters[MK_ISSUER_EPOCHS_MAX]; /* by epoch; peers owned */
    size_t n_rosters;
    uint64_t list_version; /* 0: no list */
    struct mk_id list_hash;
    struct mk_b16 *jti; /* owned, sorted */
    size_t n_jti;
};

struct mk_issuer_book {
    struct mk_issuers view;
    struct issuer *issuers[MK_ISSUER_ROOTS_MAX];
    size_t n_issuers;
    uint64_t changes;
};

static struct issuer *issuers_find(const struct mk_issuer_book *b, const struct mk_id *root)
{
    for (size_t i = 0; i < b->n_issuers; i++) {
        if (mk_id_eq(&b->issuers[i]->root, root))
            return b->issuers[i];
    }
    return NULL;
}

static const struct mk_roster *issuers_known(const struct mk_issuer_book *b,
                                             const struct mk_id *root, uint64_t epoch)
{
    const struct issuer *s = issuers_find(b, root);

    for (size_t i = 0; s != NULL && i < s->n_rosters; i++) {
        if (s->rosters[i].epoch == epoch)
            return &s->rosters[i];
    }
    return NULL;
}

static const struct mk_roster *issuers_roster(struct mk_issuers *view, const struct mk_id *root,
                                              uint64_t epoch)
{
    return issuers_known(mk_container_of(view, struct mk_issuer_book, view), root, epoch);
}

static int issuers_cmp_jti(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct mk_b16));
}

/* Signed in the last 24 h, by the clock of whoever signed. */
static bool issuers_fresh(const struct issuer *s, uint64_t now_ms)
{
    return s->list_version > 0 &&
           (now_ms < s->list_version || now_ms - s->list_version < MK_REVOCATION_LIFE_MS);
}

static bool issuers_revoked(struct mk_issuers *view, const struct mk_id *root,
                            const uint8_t jti[16], uint64_t now_ms)
{
    struct mk_issuer_book *b = mk_container_of(view, struct mk_issuer_book, view);
    const struct issuer *s = issuers_find(b, root);

    return s != NULL && s->n_jti > 0 && issuers_fresh(s, now_ms) &&
           bsearch(jti, s->jti, s->n_jti, sizeof *s->jti, issuers_cmp_jti) != NULL;
}

struct mk_issuer_book *mk_issuer_book_new(void)
{
    struct mk_issuer_book *b = mk_alloc(sizeof *b);

    b->view.roster = issuers_roster;
    b->view.revoked = issuers_revoked;
    return b;
}

static void issuers_drop_roster(struct issuer *s, size_t i)
{
    mk_free((void *)(uintptr_t)s->rosters[i].peers.v);
    s->n_rosters--;
    memmove(&s->rosters[i], &s->rosters[i + 1], (s->n_rosters - i) * sizeof s->rosters[0]);
}

void mk_issuer_book_free(struct mk_issuer_book *b)
{
    for (size_t i = 0; b != NULL && i < b->n_issuers; i++) {
        while (b->issuers[i]->n_rosters > 0)
            issuers_drop_roster(b->issuers[i], b->issuers[i]->n_rosters - 1);
        mk_free(b->issuers[i]->jti);
        mk_free(b->issuers[i]);
    }
    mk_free(b);
}

struct mk_issuers *mk_issuer_book_issuers(struct mk_issuer_book *b)
{
    return &b->view;
}

static bool issuers_same_roster(const struct mk_roster *x, const struct mk_roster *y)
{
    struct mk_buf a = {0}, b = {0};
    bool same;

    mk_encode(&a, &mk_roster_type, x);
    mk_encode(&b, &mk_roster_type, y);
    same = mk_bytes_eq(mk_buf_bytes(&a), mk_buf_bytes(&b));
    mk_buf_done(&a);
    mk_buf_done(&b);
    return same;
}

/* Puts a copy at its place by epoch. */
static void issuers_insert(struct issuer *s, const struct mk_roster *roster)
{
    struct mk_roster copy = *roster;
    size_t at = s->n_rosters;

    copy.peers.v = mk_alloc(roster->peers.n * sizeof(struct mk_peer));
    memcpy((void *)(uintptr_t)copy.peers.v, roster->peers.v,
           roster->peers.n * sizeof(struct mk_peer));
    while (at > 0 && s->rosters[at - 1].epoch > roster->epoch)
        at--;
    memmove(&s->rosters[at + 1], &s->rosters[at], (s->n_rosters - at) * sizeof s->rosters[0]);
    s->rosters[at] = copy;
    s->n_rosters++;
}

int mk_issuer_book_add(struct mk_issuer_book *b, const struct mk_id *root,
                       const struct mk_roster *roster, struct mk_fault *reterr)
{
    const struct mk_roster *known = issuers_roster(&b->view, root, roster->epoch);
    struct issuer *s = issuers_find(b, root);

    if (roster->peers.n == 0 || roster->peers.n > MK_ROSTER_MAX)
        return mk_fault(reterr, MK_EINVALID, "a roster of %zu peers", roster->peers.n);
    if (known != NULL && issuers_same_roster(known, roster))
        return 0;
    if (known != NULL)
        return mk_fault(reterr, MK_ECONFLICT, "two rosters of epoch %llu of one issuer",
                        (unsigned long long)roster->epoch);
    if (s == NULL) {
        if (b->n_issuers == MK_ISSUER_ROOTS_MAX)
            return mk_fault(reterr, MK_ELIMIT, "more than %u issuers", MK_ISSUER_ROOTS_MAX);
        s = mk_alloc(sizeof *s);
        s->root = *root;
        b->issuers[b->n_issuers++] = s;
    }
    if (s->n_rosters == MK_ISSUER_EPOCHS_MAX) {
        if (roster->epoch < s->rosters[0].epoch)
            return mk_fault(reterr, MK_ELIMIT, "more than %u epochs of one issuer",
                            MK_ISSUER_EPOCHS_MAX);
        issuers_drop_roster(s, 0);
    }
    issuers_insert(s, roster);
    return 0;
}

void mk_revocations_sign(const struct mk_key *signer, const struct mk_id *root, uint64_t epoch,
                         struct mk_bytes list, struct mk_signature *ret)
{
    struct mk_buf message = {0};

    mk_quorum_message(&message, REVOCATIONS_TAG, root, epoch, list);
    mk_sign(signer, mk_buf_bytes(&message), ret);
    mk_buf_done(&message);
}

int mk_revocations_build(struct mk_buf *out, struct mk_bytes list,
                         const struct mk_peer_signature *shares, size_t n, struct mk_fault *reterr)
{
    struct mk_peer_signature sorted[MK_ROSTER_MAX];
    struct mk_signed_revocations body = {.list = list, .signatures = {sorted, n}};
    int rv;

    if (n > MK_ROSTER_MAX)
        return mk_fault(reterr, MK_EINVALID, "more shares than a roster has peers");
    rv = mk_quorum_sort(sorted, shares, n, reterr);
    if (rv == 0)
        mk_encode(out, &mk_signed_revocations_type, &body);
    return rv;
}

/* Is this list newer than what is known, and of now? */
static int issuers_version(const struct issuer *s, const struct mk_ticket_revocations *list,
                           const struct mk_id *hash, uint64_t now_ms, struct mk_fault *reterr)
{
    if (list->version == s->list_version && !mk_id_eq(hash, &s->list_hash))
        return mk_fault(reterr, MK_ECONFLICT, "two revocation lists of one version");
    if (list->version <= s->list_version)
        return mk_fault(reterr, MK_EEXISTS, "a revocation list as new is known");
    if (list->version > now_ms + MK_TICKET_SKEW_MS)
        return mk_fault(reterr, MK_EREFUSED, "a revocation list from the future");
    if (now_ms > list->version && now_ms - list->version >= MK_REVOCATION_LIFE_MS)
        return mk_fault(reterr, MK_EREFUSED, "a revocation list older than 24 h");
    return 0;
}

static int issuers_signed(const struct mk_issuer_book *b, const struct mk_signed_revocations *body,
                          const struct mk_ticket_revocations *list, struct mk_fault *reterr)
{
    const struct mk_roster *roster = issuers_known(b, &list->root, list->epoch);
    struct mk_buf message = {0};
    int rv;

    if (roster == NULL)
        return mk_fault(reterr, MK_EREFUSED, "issuer unknown");
    mk_quorum_message(&message, REVOCATIONS_TAG, &list->root, list->epoch, body->list);
    rv = mk_quorum_check(roster, mk_buf_bytes(&message), body->signatures.v, body->signatures.n,
                         reterr);
    mk_buf_done(&message);
    return rv == 0 ? 0 : MK_ESIGNATURE; /* the text says which */
}

/* Reads a list and judges its signatures. What it gives is lent from arena. */
static int issuers_read(const struct mk_issuer_book *b, struct mk_bytes bytes,
                        struct mk_arena *arena, struct mk_signed_revocations *ret_body,
                        struct mk_ticket_revocations *ret, struct mk_fault *reterr)
{
    int rv;

    if (bytes.n > MK_REVOCATIONS_BYTES_MAX)
        return mk_fault(reterr, MK_ELIMIT, "a revocation list over %u bytes",
                        MK_REVOCATIONS_BYTES_MAX);
    rv = mk_decode(ret_body, &mk_signed_revocations_type, bytes, arena, reterr);
    if (rv == 0)
        rv = mk_decode(ret, &mk_ticket_revocations_type, ret_body->list, arena, reterr);
    return rv != 0 ? rv : issuers_signed(b, ret_body, ret, reterr);
}

static void issuers_take(struct issuer *s, const struct mk_ticket_revocations *list,
                         const struct mk_id *hash)
{
    mk_free(s->jti);
    s->jti = list->jti.n > 0 ? mk_alloc(list->jti.n * sizeof *s->jti) : NULL;
    if (list->jti.n > 0)
        memcpy(s->jti, list->jti.v, list->jti.n * sizeof *s->jti);
    s->n_jti = list->jti.n;
    s->list_version = list->version;
    s->list_hash = *hash;
}

int mk_issuer_book_verify(const struct mk_issuer_book *b, struct mk_bytes signed_revocations,
                          struct mk_fault *reterr)
{
    struct mk_arena arena = {0};
    struct mk_signed_revocations body;
    struct mk_ticket_revocations list;
    int rv = issuers_read(b, signed_revocations, &arena, &body, &list, reterr);

    mk_arena_done(&arena);
    return rv;
}

int mk_issuer_book_revoke(struct mk_issuer_book *b, struct mk_bytes signed_revocations,
                          uint64_t now_ms, struct mk_fault *reterr)
{
    struct mk_arena arena = {0};
    struct mk_signed_revocations body;
    struct mk_ticket_revocations list;
    struct issuer *s = NULL;
    struct mk_id hash;
    int rv = issuers_read(b, signed_revocations, &arena, &body, &list, reterr);

    if (rv == 0) {
        s = issuers_find(b, &list.root);
        MK_ASSERT(s != NULL); /* it has the roster */
        hash = mk_hash(body.list);
        rv = issuers_version(s, &list, &hash, now_ms, reterr);
    }
    if (rv == 0) {
        issuers_take(s, &list, &hash);
        b->changes++;
    }
    mk_arena_done(&arena);
    return rv;
}

bool mk_issuer_book_knows(const struct mk_issuer_book *b, const struct mk_id *root)
{
    return issuers_find(b, root) != NULL;
}

uint64_t mk_issuer_book_changes(const struct mk_issuer_book *b)
{
    return b->changes;
}

bool mk_issuer_book_state(const struct mk_issuer_book *b, size_t i, struct mk_issuer_state *ret,
                          uint64_t now_ms)
{
    const struct issuer *s;
    const struct mk_roster *newest;

    if (i >= b->n_issuers)
        return false;
    s = b->issuers[i];
    newest = &s->rosters[s->n_rosters - 1];
    *ret = (struct mk_issuer_state){.root = s->root,
                                    .epoch = newest->epoch,
                                    .signers = (unsigned)newest->peers.n,
                                    .list_version = s->list_version,
                                    .fresh = issuers_fresh(s, now_ms),
                                    .revoked = s->n_jti};
    return true;
}

bool mk_issuer_book_is_fresh(const struct mk_issuer_book *b, const struct mk_id *root,
                             uint64_t now_ms)
{
    const struct issuer *s = issuers_find(b, root);

    return s != NULL && issuers_fresh(s, now_ms);
}
