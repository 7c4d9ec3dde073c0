/* quote.c - reads a quote (Intel's "TDX DCAP Quoting Library API", appendix 3; for version 3
 * "SGX ECDSA QuoteGenReference", appendix A.4).
 *
 * One cursor that latches: a read past the end gives nothing, and the end of each part is
 * checked once. Every length is inside another one; each must be used up exactly, but for
 * what follows the whole quote: machines hand out buffers of fixed size. Nothing here is
 * authentic yet: the values are a stranger's. */
#include <mosaik/attest.h>

#include "attest/le.h"

#include <string.h>

#define ATT_KEY_ECDSA_P256 2u

struct cursor {
    const uint8_t *p;
    size_t n; /* left */
    bool short_of;
};

/* The next n bytes, or NULL past the end. */
static const uint8_t *cursor_take(struct cursor *c, size_t n)
{
    const uint8_t *p = c->p;

    if (c->short_of || c->n < n) {
        c->short_of = true;
        return NULL;
    }
    c->p += n;
    c->n -= n;
    return p;
}

static void cursor_copy(struct cursor *c, void *ret, size_t n)
{
    const uint8_t *p = cursor_take(c, n);

    if (p != NULL)
        memcpy(ret, p, n);
}

static uint16_t cursor_u16(struct cursor *c)
{
    const uint8_t *p = cursor_take(c, 2);

    return p != NULL ? le16(p) : 0;
}

static uint32_t cursor_u32(struct cursor *c)
{
    const uint8_t *p = cursor_take(c, 4);

    return p != NULL ? le32(p) : 0;
}

/* A part of n bytes; short when c is. */
static struct cursor cursor_part(struct cursor *c, size_t n)
{
    const uint8_t *p = cursor_take(c, n);

    return (struct cursor){p, p != NULL ? n : 0, p == NULL};
}

static struct mk_bytes cursor_slice(struct cursor *c, size_t n)
{
    const uint8_t *p = cursor_take(c, n);

    return MK_BYTES(p, p != NULL ? n : 0);
}

const char *mk_tee_name(enum mk_tee tee)
{
    return tee == MK_TEE_TDX ? "tdx" : "sgx";
}

const uint8_t *mk_quote_report_data(const struct mk_quote *q)
{
    return q->tee == MK_TEE_TDX ? q->td.report_data : q->enclave.report_data;
}

/* --- header and body ---------------------------------------------------------------------- */

static int quote_header(struct mk_quote *q, struct cursor *c, struct mk_fault *reterr)
{
    uint32_t tee;

    cursor_copy(c, &q->header, sizeof q->header);
    if (c->short_of)
        return mk_fault(reterr, MK_EMALFORMED, "quote: shorter than its header of 48 bytes");
    q->version = le16(q->header.version);
    if (q->version < 3 || q->version > 5)
        return mk_fault(reterr, MK_ENOTSUP, "quote: version %u; versions 3, 4 and 5 are known",
                        q->version);
    if (le16(q->header.att_key_type) != ATT_KEY_ECDSA_P256)
        return mk_fault(reterr, MK_ENOTSUP,
                        "quote: attestation key type %u; only 2 (ECDSA P-256) is known",
                        le16(q->header.att_key_type));
    tee = le32(q->header.tee_type);
    if (tee != MK_TEE_SGX && (tee != MK_TEE_TDX || q->version == 3))
        return mk_fault(reterr, MK_ENOTSUP, "quote: TEE type 0x%x in version %u is not known", tee,
                        q->version);
    q->tee = (enum mk_tee)tee;
    return 0;
}

static size_t body_size(enum mk_quote_body body)
{
    switch (body) {
    case MK_BODY_SGX:
        return MK_SGX_REPORT;
    case MK_BODY_TDX10:
        return MK_TD_REPORT_10;
    case MK_BODY_TDX15:
        return MK_TD_REPORT_15;
    }
    return 0;
}

/* Version 5 says type and size; they must fit each other and the header's TEE. */
static int quote_body_head(struct mk_quote *q, struct cursor *c, struct mk_fault *reterr)
{
    uint32_t type, size;

    q->body = q->tee == MK_TEE_TDX ? MK_BODY_TDX10 : MK_BODY_SGX;
    if (q->version < 5)
        return 0;
    type = cursor_u16(c);
    size = cursor_u32(c);
    if (c->short_of)
        return mk_fault(reterr, MK_EMALFORMED, "quote: ends before its body's type and size");
    if (type < MK_BODY_SGX || type > MK_BODY_TDX15)
        return mk_fault(reterr, MK_ENOTSUP, "quote: body type %u; types 1 to 3 are known", type);
    q->body = (enum mk_quote_body)type;
    if ((q->body == MK_BODY_SGX) != (q->tee == MK_TEE_SGX))
        return mk_fault(reterr, MK_EMALFORMED, "quote: body type %u does not fit a quote of %s",
                        type, mk_tee_name(q->tee));
    if (size != body_size(q->body))
        return mk_fault(reterr, MK_EMALFORMED, "quote: a body of type %u has %zu bytes, not %u",
                        type, body_size(q->body), size);
    return 0;
}

static int quote_body(struct mk_quote *q, struct cursor *c, struct mk_fault *reterr)
{
    int rv = quote_body_head(q, c, reterr);

    if (rv != 0)
        return rv;
    if (q->body == MK_BODY_SGX)
        cursor_copy(c, &q->enclave, MK_SGX_REPORT);
    else
        cursor_copy(c, &q->td, body_size(q->body));
    if (c->short_of)
        return mk_fault(reterr, MK_EMALFORMED, "quote: ends inside its body of %zu bytes",
                        body_size(q->body));
    return 0;
}

/* --- signature data -------------------------------------------------------------------------- */

/* QE report .. the end: alike in all versions. */
static int quote_qe(struct mk_quote *q, struct cursor *c, struct mk_fault *reterr)
{
    cursor_copy(c, &q->qe_report, sizeof q->qe_report);
    cursor_copy(c, q->qe_signature, sizeof q->qe_signature);
    q->qe_auth = cursor_slice(c, cursor_u16(c));
    q->cert_type = cursor_u16(c);
    q->cert_data = cursor_slice(c, cursor_u32(c));
    if (c->short_of)
        return mk_fault(reterr, MK_EMALFORMED, "quote: its signature data end too early");
    if (c->n > 0)
        return mk_fault(reterr, MK_EMALFORMED,
                        "quote: %zu bytes too many inside its signature data", c->n);
    return 0;
}

/* Versions 4 and 5 wrap the QE's part as certification data of type 6. */
static int quote_outer(struct mk_quote *q, struct cursor *c, struct mk_fault *reterr)
{
    uint16_t type = cursor_u16(c);
    struct cursor inner = cursor_part(c, cursor_u32(c));

    if (c->short_of)
        return mk_fault(reterr, MK_EMALFORMED, "quote: its certification data end too early");
    if (type != MK_CERT_QE_REPORT)
        return mk_fault(reterr, MK_ENOTSUP,
                        "quote: certification data of type %u; version %u has type 6", type,
                        q->version);
    if (c->n > 0)
        return mk_fault(reterr, MK_EMALFORMED,
                        "quote: %zu bytes too many behind its certification data", c->n);
    return quote_qe(q, &inner, reterr);
}

static int quote_signature_data(struct mk_quote *q, struct cursor *c, struct mk_fault *reterr)
{
    struct cursor part = cursor_part(c, cursor_u32(c));

    if (c->short_of)
        return mk_fault(reterr, MK_EMALFORMED, "quote: ends inside its signature data");
    cursor_copy(&part, q->signature, sizeof q->signature);
    cursor_copy(&part, q->attestation_key, sizeof q->attestation_key);
    return q->version == 3 ? quote_qe(q, &part, reterr) : quote_outer(q, &part, reterr);
}

int mk_quote_parse(struct mk_quote *ret, struct mk_bytes bytes, struct mk_fault *reterr)
{
    struct cursor c = {bytes.p, bytes.n, false};
    struct mk_quote q;
    int rv;

    if (bytes.n > MK_QUOTE_MAX)
        return mk_fault(reterr, MK_ELIMIT, "quote: longer than %u bytes", MK_QUOTE_MAX);
    memset(&q, 0, sizeof q);
    rv = quote_header(&q, &c, reterr);
    if (rv == 0)
        rv = quote_body(&q, &c, reterr);
    if (rv != 0)
        return rv;
    q.signed_part = MK_BYTES(bytes.p, bytes.n - c.n);
    rv = quote_signature_data(&q, &c, reterr);
    if (rv != 0)
        return rv;
    q.len = bytes.n - c.n;
    *ret = q;
    return 0;
}
