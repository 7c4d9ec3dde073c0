/* collateral.c - takes collateral in: see collateral.h and mosaik/attest.h.
 *
 * A batch of documents is taken apart; certificates go first, since they sign the lists and
 * the JSON, then lists, then JSON. Each piece is verified before it replaces anything, so
 * whoever writes into the directory can withhold, not forge. */
#include "attest/collateral.h"

#include "attest/pieces.h"

#include <string.h>

#define DOCS_MAX 1024u

struct mk_collateral *mk_collateral_new(struct mk_quote_root *root)
{
    struct mk_collateral *c = mk_alloc(sizeof *c);

    c->root = root;
    return c;
}

void mk_collateral_free(struct mk_collateral *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->n_signers; i++)
        mk_buf_done(&c->signers[i].der);
    for (size_t i = 0; i < c->n_lists; i++)
        mk_buf_done(&c->lists[i].der);
    for (size_t i = 0; i < c->n_infos; i++)
        tcb_info_free(c->infos[i]);
    for (size_t i = 0; i < c->n_identities; i++)
        qe_identity_free(c->identities[i]);
    mk_free(c->seen);
    mk_free(c->signers);
    mk_free(c->lists);
    mk_free(c->infos);
    mk_free(c->identities);
    mk_free(c);
}

uint64_t mk_collateral_generation(const struct mk_collateral *c)
{
    return c->generation;
}

uint64_t mk_collateral_expires_s(const struct mk_collateral *c)
{
    uint64_t s = UINT64_MAX;

    for (size_t i = 0; i < c->n_lists; i++)
        s = c->lists[i].crl.next_update < s ? c->lists[i].crl.next_update : s;
    for (size_t i = 0; i < c->n_infos; i++)
        s = c->infos[i]->head.span.to < s ? c->infos[i]->head.span.to : s;
    for (size_t i = 0; i < c->n_identities; i++)
        s = c->identities[i]->head.span.to < s ? c->identities[i]->head.span.to : s;
    return s;
}

/* Room for one more item of an array; MK_ELIMIT. */
static int grow(void **array, size_t n, size_t size, const char *what, struct mk_fault *reterr)
{
    if (n == MK_COLLATERAL_MAX)
        return mk_fault(reterr, MK_ELIMIT, "collateral: more than %u %s", MK_COLLATERAL_MAX, what);
    *array = mk_realloc(*array, (n + 1) * size);
    memset((char *)*array + n * size, 0, size);
    return 0;
}

/* --- certificates ---------------------------------------------------------------------------- */

static int add_certificate(struct mk_collateral *c, struct mk_bytes der, struct mk_fault *reterr)
{
    struct signer_item *item;
    struct x509_cert cert;
    int rv = x509_cert_parse(&cert, der, reterr);

    if (rv != 0 || root_is(c->root, &cert))
        return rv;
    for (size_t i = 0; i < c->n_signers; i++) {
        if (mk_bytes_eq(c->signers[i].cert.der, der))
            return 0;
    }
    rv = cert.is_ca ? root_check_ca(c->root, &cert, reterr) : root_signed(c->root, &cert, reterr);
    if (rv == 0)
        rv = grow((void **)&c->signers, c->n_signers, sizeof *c->signers, "certificates", reterr);
    if (rv != 0)
        return rv;
    item = &c->signers[c->n_signers++];
    mk_buf_put(&item->der, der.p, der.n);
    return x509_cert_parse(&item->cert, mk_buf_bytes(&item->der), reterr);
}

/* --- revocation lists --------------------------------------------------------------------------
 */

static bool signs(const struct x509_cert *s, struct mk_bytes message, struct mk_bytes der,
                  const uint8_t *raw)
{
    struct evp_pkey_st *key = p256_key(s->key);
    bool ok = key != NULL &&
              (raw != NULL ? p256_verify(key, message, raw) : p256_verify_der(key, message, der));

    p256_key_free(key);
    return ok;
}

/* Who signed the list: the root or a CA of that name. */
static const struct x509_cert *crl_signer(const struct mk_collateral *c, const struct x509_crl *crl)
{
    if (mk_bytes_eq(crl->issuer, c->root->cert.subject) &&
        p256_verify_der(c->root->key, crl->signed_part, crl->signature))
        return &c->root->cert;
    for (size_t i = 0; i < c->n_signers; i++) {
        const struct x509_cert *s = &c->signers[i].cert;

        if (s->is_ca && (!s->has_usage || (s->usage & X509_CRL_SIGN) != 0) &&
            mk_bytes_eq(s->subject, crl->issuer) &&
            signs(s, crl->signed_part, crl->signature, NULL))
            return s;
    }
    return NULL;
}

struct crl_item *collateral_list(const struct mk_collateral *c, const uint8_t signer[32])
{
    for (size_t i = 0; i < c->n_lists; i++) {
        if (memcmp(c->lists[i].signer, signer, 32) == 0)
            return &c->lists[i];
    }
    return NULL;
}

/* Is the new one to replace the old? 0; MK_EEXISTS: the same age; MK_ESTALE. */
static int newer(uint64_t fresh, uint64_t old, const char *what, struct mk_fault *reterr)
{
    if (fresh < old)
        return mk_fault(reterr, MK_ESTALE, "%s: older than the one that is known", what);
    return fresh == old ? MK_EEXISTS : 0;
}

static int put_list(struct mk_collateral *c, const struct x509_crl *crl,
                    const struct x509_cert *signer, struct mk_fault *reterr)
{
    struct seen_item seen = {.kind = SEEN_LIST, .issued = crl->this_update};
    struct crl_item *item;
    uint8_t id[32];
    int rv;

    signer_id(signer, id);
    memcpy(seen.key, id, sizeof id);
    rv = seen_check(c, &seen, "revocation list", reterr);
    if (rv != 0)
        return rv;
    item = collateral_list(c, id);
    if (item != NULL)
        rv = newer(crl->this_update, item->crl.this_update, "revocation list", reterr);
    else
        rv = grow((void **)&c->lists, c->n_lists, sizeof *c->lists, "lists", reterr);
    if (rv == 0)
        rv = seen_note(c, &seen, reterr);
    if (rv != 0)
        return rv == MK_EEXISTS ? 0 : rv;
    if (item == NULL)
        item = &c->lists[c->n_lists++];
    memcpy(item->signer, id, sizeof id);
    mk_buf_clear(&item->der);
    mk_buf_put(&item->der, crl->der.p, crl->der.n);
    c->generation++;
    return x509_crl_parse(&item->crl, mk_buf_bytes(&item->der), reterr);
}

static int add_list(struct mk_collateral *c, struct mk_bytes der, struct mk_fault *reterr)
{
    const struct x509_cert *signer;
    struct x509_crl crl;
    char name[64];
    int rv = x509_crl_parse(&crl, der, reterr);

    if (rv != 0)
        return rv;
    signer = crl_signer(c, &crl);
    if (signer == NULL)
        return mk_fault(reterr, MK_ESIGNATURE,
                        "revocation list of \"%s\": not signed by a known certificate of that name",
                        x509_common_name(crl.issuer, name));
    return put_list(c, &crl, signer, reterr);
}

/* --- signed JSON --------------------------------------------------------------------------------
 */

/* The certificate that signed it: below the root, no CA, and named for this. */
static const struct x509_cert *json_signer(const struct mk_collateral *c, const struct piece *p)
{
    char name[64];

    for (size_t i = 0; i < c->n_signers; i++) {
        const struct x509_cert *s = &c->signers[i].cert;

        if (!s->is_ca && s->sgx.p == NULL &&
            strstr(x509_common_name(s->subject, name), "TCB Signing") != NULL &&
            (!s->has_usage || (s->usage & X509_DIGITAL_SIGNATURE) != 0) &&
            signs(s, p->bytes, MK_BYTES(NULL, 0), p->signature))
            return s;
    }
    return NULL;
}

/* What a document relies on besides itself. */
static void head_signed_by(struct tcb_head *h, const struct x509_cert *signer,
                           const struct mk_quote_root *root)
{
    span_narrow(&h->span, signer->not_before, signer->not_after);
    span_narrow(&h->span, root->cert.not_before, root->cert.not_after);
    memcpy(h->serial, signer->serial.p, signer->serial.n);
    h->n_serial = (uint8_t)signer->serial.n;
}

/* The head's date narrowed by its signer's is not its own. */
static struct seen_item seen_of(const struct tcb_head *h, enum seen_kind kind,
                                const uint8_t fmspc[6])
{
    struct seen_item s = {.kind = (uint8_t)kind, .issued = h->issued, .evaluation = h->evaluation};

    s.key[0] = (uint8_t)h->tee;
    if (fmspc != NULL)
        memcpy(s.key + 1, fmspc, 6);
    return s;
}

static int put_info(struct mk_collateral *c, struct tcb_info *t, struct mk_fault *reterr)
{
    int rv;

    for (size_t i = 0; i < c->n_infos; i++) {
        struct tcb_info *old = c->infos[i];

        if (old->head.tee != t->head.tee || memcmp(old->fmspc, t->fmspc, sizeof t->fmspc) != 0)
            continue;
        rv = newer(t->head.span.from, old->head.span.from, "TCB info", reterr);
        if (rv == 0) {
            c->infos[i] = t;
            tcb_info_free(old);
        }
        return rv;
    }
    rv = grow((void **)&c->infos, c->n_infos, sizeof *c->infos, "TCB infos", reterr);
    if (rv == 0)
        c->infos[c->n_infos++] = t;
    return rv;
}

static int put_identity(struct mk_collateral *c, struct qe_identity *q, struct mk_fault *reterr)
{
    int rv;

    for (size_t i = 0; i < c->n_identities; i++) {
        struct qe_identity *old = c->identities[i];

        if (old->head.tee != q->head.tee)
            continue;
        rv = newer(q->head.span.from, old->head.span.from, "QE identity", reterr);
        if (rv == 0) {
            c->identities[i] = q;
            qe_identity_free(old);
        }
        return rv;
    }
    rv =
        grow((void **)&c->identities, c->n_identities, sizeof *c->identities, "identities", reterr);
    if (rv == 0)
        c->identities[c->n_identities++] = q;
    return rv;
}

static int add_info(struct mk_collateral *c, const struct piece *p, const struct x509_cert *signer,
                    struct mk_fault *reterr)
{
    struct seen_item seen;
    struct tcb_info *t;
    int rv = tcb_info_parse(&t, p->bytes, reterr);

    if (rv != 0)
        return rv;
    seen = seen_of(&t->head, SEEN_INFO, t->fmspc);
    head_signed_by(&t->head, signer, c->root);
    rv = seen_check(c, &seen, "TCB info", reterr);
    if (rv == 0)
        rv = put_info(c, t, reterr);
    if (rv != 0) {
        tcb_info_free(t);
    } else {
        c->generation++;
        rv = seen_note(c, &seen, reterr);
    }
    return rv == MK_EEXISTS ? 0 : rv;
}

static int add_identity(struct mk_collateral *c, const struct piece *p,
                        const struct x509_cert *signer, struct mk_fault *reterr)
{
    struct seen_item seen;
    struct qe_identity *q;
    int rv = qe_identity_parse(&q, p->bytes, reterr);

    if (rv != 0)
        return rv;
    seen = seen_of(&q->head, SEEN_IDENTITY, NULL);
    head_signed_by(&q->head, signer, c->root);
    rv = seen_check(c, &seen, "QE identity", reterr);
    if (rv == 0)
        rv = put_identity(c, q, reterr);
    if (rv != 0) {
        qe_identity_free(q);
    } else {
        c->generation++;
        rv = seen_note(c, &seen, reterr);
    }
    return rv == MK_EEXISTS ? 0 : rv;
}

static int add_json(struct mk_collateral *c, const struct piece *p, struct mk_fault *reterr)
{
    const char *what = p->kind == PIECE_TCB_INFO ? "TCB info" : "QE identity";
    const struct x509_cert *signer = json_signer(c, p);

    if (signer == NULL)
        return mk_fault(reterr, MK_ESIGNATURE,
                        "%s: not signed by a TCB signing certificate of this root", what);
    return p->kind == PIECE_TCB_INFO ? add_info(c, p, signer, reterr)
                                     : add_identity(c, p, signer, reterr);
}

/* --- documents ------------------------------------------------------------------------------- */

static int add_piece(struct mk_collateral *c, const struct piece *p, struct mk_fault *reterr)
{
    switch (p->kind) {
    case PIECE_CERTIFICATE:
        return add_certificate(c, p->bytes, reterr);
    case PIECE_CRL:
        return add_list(c, p->bytes, reterr);
    case PIECE_TCB_INFO:
    case PIECE_QE_IDENTITY:
        break;
    }
    return add_json(c, p, reterr);
}

/* Keeps the first fault; that something is older than what is known is the least of them. */
static void keep_fault(int *rv, int err, struct mk_fault *reterr, const char *text)
{
    if (err != 0 && (*rv == 0 || (*rv == MK_ESTALE && err != MK_ESTALE)))
        *rv = mk_fault(reterr, err, "%s", text);
}

/* All pieces of a kind, of all documents. */
static void add_kind(struct mk_collateral *c, const struct pieces *docs, size_t n,
                     enum piece_kind kind, int *rv, struct mk_fault *reterr)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < docs[i].n; k++) {
            struct mk_fault why = {{0}};
            int err = docs[i].v[k].kind == kind ? add_piece(c, &docs[i].v[k], &why) : 0;

            keep_fault(rv, err, reterr, why.text);
        }
    }
}

int mk_collateral_add(struct mk_collateral *c, const struct mk_bytes *docs, size_t n,
                      struct mk_fault *reterr)
{
    struct pieces *parts;
    int rv = 0;

    if (n > DOCS_MAX)
        return mk_fault(reterr, MK_ELIMIT, "collateral: more than %u documents", DOCS_MAX);
    parts = mk_alloc((n + 1) * sizeof *parts);
    for (size_t i = 0; i < n; i++) {
        struct mk_fault why = {{0}};
        int err = pieces_read(&parts[i], docs[i], &why);

        if (err != 0 && rv == 0) /* the reader's own words need the document's number */
            rv = mk_fault(reterr, err, "collateral document %zu: %s", i + 1, why.text);
    }
    for (enum piece_kind k = PIECE_CERTIFICATE; k <= PIECE_QE_IDENTITY; k++)
        add_kind(c, parts, n, k, &rv, reterr);
    for (size_t i = 0; i < n; i++)
        pieces_done(&parts[i]);
    mk_free(parts);
    return rv;
}
