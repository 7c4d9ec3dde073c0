/* quote_format.c - writes a quote: the inverse of quote.c, over the same structures. For the
 * emulator, and for tests that need quotes which no machine would make. */
#include <mosaik/attest.h>

#include "attest/le.h"
#include "base/assert.h"

#include <openssl/evp.h>
#include <string.h>

static void put_u16(struct mk_buf *out, uint32_t v)
{
    put_le16(mk_buf_grow(out, 2), v);
}

void mk_quote_format_signed(const struct mk_quote *q, struct mk_buf *out)
{
    struct mk_quote_header h = q->header;
    const void *body = q->body == MK_BODY_SGX ? (const void *)&q->enclave : (const void *)&q->td;
    size_t n = q->body == MK_BODY_SGX     ? MK_SGX_REPORT
               : q->body == MK_BODY_TDX10 ? MK_TD_REPORT_10
                                          : MK_TD_REPORT_15;

    MK_ASSERT(q->version == 5 || q->body != MK_BODY_TDX15);
    MK_ASSERT((q->body == MK_BODY_SGX) == (q->tee == MK_TEE_SGX));
    put_le16(h.version, q->version);
    put_le16(h.att_key_type, 2);
    put_le32(h.tee_type, q->tee);
    mk_buf_put(out, &h, sizeof h);
    if (q->version == 5) {
        put_u16(out, q->body);
        mk_buf_put_u32le(out, (uint32_t)n);
    }
    mk_buf_put(out, body, n);
}

static void format_qe(const struct mk_quote *q, struct mk_buf *out)
{
    mk_buf_put(out, &q->qe_report, sizeof q->qe_report);
    mk_buf_put(out, q->qe_signature, sizeof q->qe_signature);
    put_u16(out, (uint32_t)q->qe_auth.n);
    mk_buf_put(out, q->qe_auth.p, q->qe_auth.n);
    put_u16(out, q->cert_type);
    mk_buf_put_u32le(out, (uint32_t)q->cert_data.n);
    mk_buf_put(out, q->cert_data.p, q->cert_data.n);
}

void mk_quote_format(const struct mk_quote *q, struct mk_buf *out)
{
    size_t qe =
        sizeof q->qe_report + sizeof q->qe_signature + 2 + q->qe_auth.n + 6 + q->cert_data.n;
    size_t outer = q->version == 3 ? 0 : 6;

    MK_ASSERT(q->qe_auth.n <= UINT16_MAX);
    MK_ASSERT(q->cert_data.n <= MK_QUOTE_MAX);
    mk_quote_format_signed(q, out);
    mk_buf_put_u32le(out, (uint32_t)(128 + outer + qe));
    mk_buf_put(out, q->signature, sizeof q->signature);
    mk_buf_put(out, q->attestation_key, sizeof q->attestation_key);
    if (outer > 0) {
        put_u16(out, MK_CERT_QE_REPORT);
        mk_buf_put_u32le(out, (uint32_t)qe);
    }
    format_qe(q, out);
}

void mk_quote_qe_binding(const struct mk_quote *q, uint8_t ret[32])
{
    struct mk_buf b = {0};

    mk_buf_put(&b, q->attestation_key, sizeof q->attestation_key);
    mk_buf_put(&b, q->qe_auth.p, q->qe_auth.n);
    MK_ASSERT(EVP_Digest(b.p, b.n, ret, NULL, EVP_sha256(), NULL) == 1);
    mk_buf_done(&b);
}
