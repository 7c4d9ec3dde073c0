/* attest.c - quotes, certificates, revocation lists, collateral, published measurements, event
 * logs: what machines of strangers, and Intel's servers, hand us.
 *
 * A chain that a fuzzer makes leads nowhere, so the root is taken from the input itself where
 * there is one: then what lies behind the signatures is reached by whatever was signed for
 * the corpus. */
#include "targets.h"

#include "attest/pem.h"
#include "attest/pieces.h"
#include "attest/root.h"
#include "attest/tcb.h"
#include <string.h>

#define NOW 1750000000u

/* --- quotes ------------------------------------------------------------------------------- */

/* The root that a chain names, if it is one. */
static struct mk_quote_root *root_of(struct mk_bytes chain)
{
    struct pem_block blocks[3];
    struct mk_quote_root *root = NULL;
    struct mk_buf der = {0};
    size_t n = 0;

    if (pem_read(blocks, 3, &n, chain, &der, NULL) != 0 || n == 0 ||
        mk_quote_root_new(&root, blocks[n - 1].der, NULL) != 0)
        root = mk_quote_root_intel();
    mk_buf_done(&der);
    return root;
}

static void check_verdict(const struct mk_quote *q)
{
    struct mk_quote_root *root = root_of(q->cert_data);
    struct mk_collateral *c = mk_collateral_new(root);
    struct mk_quote_verdict v, again;

    mk_quote_verify(root, NULL, q, NULL, NOW, &v);
    FUZZ_CHECK(v.ok == (v.reason[0] == '\0'));
    FUZZ_CHECK(!v.ok || v.chain == MK_QUOTE_CHAIN_OK);
    FUZZ_CHECK(!v.has_status);
    FUZZ_CHECK(!v.ok || v.expires_s > NOW);
    mk_quote_verify(root, NULL, q, NULL, NOW, &again); /* what is remembered changes nothing */
    FUZZ_CHECK(memcmp(&v, &again, sizeof v) == 0);
    mk_quote_verify(root, c, q, NULL, NOW, &again); /* no collateral in it: fails closed */
    FUZZ_CHECK(!again.ok);
    mk_collateral_free(c);
    mk_quote_root_free(root);
}

bool fuzz_quote(const uint8_t *p, size_t n)
{
    struct mk_fault fault = {{0}};
    struct mk_buf again = {0};
    struct mk_quote q;
    int rv = mk_quote_parse(&q, MK_BYTES(p, n), &fault);

    FUZZ_CHECK((rv == 0) == (fault.text[0] == '\0'));
    if (rv != 0)
        return false;
    FUZZ_CHECK(q.len <= n);
    mk_quote_format(&q, &again);
    FUZZ_CHECK(mk_bytes_eq(mk_buf_bytes(&again), MK_BYTES(p, q.len)));
    check_verdict(&q);
    mk_buf_done(&again);
    return true;
}

static void random_bytes(struct fuzz_random *r, void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)p)[i] = (uint8_t)fuzz_u64(r);
}

void fuzz_make_quote(struct fuzz_random *r, struct mk_buf *out)
{
    uint8_t tail[64];
    struct mk_quote q;

    random_bytes(r, &q, sizeof q);
    random_bytes(r, tail, sizeof tail);
    q.version = (uint16_t)(3 + fuzz_below(r, 3));
    q.body = q.version == 3 ? MK_BODY_SGX : (enum mk_quote_body)(1 + fuzz_below(r, q.version - 2u));
    q.tee = q.body == MK_BODY_SGX ? MK_TEE_SGX : MK_TEE_TDX;
    q.qe_auth = MK_BYTES(tail, fuzz_below(r, sizeof tail));
    q.cert_type = (uint16_t)(fuzz_below(r, 3) == 0 ? fuzz_u64(r) : MK_CERT_PCK_CHAIN);
    q.cert_data = MK_BYTES(tail, fuzz_below(r, sizeof tail));
    mk_quote_format(&q, out);
    mk_buf_put(out, tail, fuzz_below(r, sizeof tail));
}

/* --- certificates and lists ----------------------------------------------------------------- */

/* Slices of what was parsed lie inside it. */
static void check_inside(struct mk_bytes part, const uint8_t *p, size_t n)
{
    FUZZ_CHECK(part.n == 0 || (part.p >= p && part.p + part.n <= p + n));
}

bool fuzz_x509(const uint8_t *p, size_t n)
{
    struct x509_platform platform;
    struct x509_cert cert;
    struct x509_crl crl;
    struct mk_fault fault = {{0}};
    char name[64];
    bool accepted = false;

    if (x509_cert_parse(&cert, MK_BYTES(p, n), &fault) == 0) {
        check_inside(cert.signed_part, p, n);
        check_inside(cert.signature, p, n);
        check_inside(cert.serial, p, n);
        check_inside(cert.sgx, p, n);
        FUZZ_CHECK(strlen(x509_common_name(cert.subject, name)) < sizeof name);
        if (cert.sgx.p != NULL)
            x509_platform_parse(&platform, cert.sgx, &fault);
        accepted = true;
    }
    if (x509_crl_parse(&crl, MK_BYTES(p, n), &fault) == 0) {
        check_inside(crl.revoked, p, n);
        FUZZ_CHECK(!x509_crl_lists(&crl, MK_BYTES(NULL, 0)));
        accepted = true;
    }
    return accepted;
}

/* --- collateral --------------------------------------------------------------------------------
 */

/* The root that signs itself among the pieces, if there is one. */
static struct mk_quote_root *root_among(const struct pieces *pieces)
{
    struct mk_quote_root *root;

    for (size_t i = 0; i < pieces->n; i++) {
        if (pieces->v[i].kind == PIECE_CERTIFICATE &&
            mk_quote_root_new(&root, pieces->v[i].bytes, NULL) == 0)
            return root;
    }
    return mk_quote_root_intel();
}

bool fuzz_collateral(const uint8_t *p, size_t n)
{
    struct mk_bytes doc = MK_BYTES(p, n);
    struct mk_fault fault = {{0}};
    struct pieces *pieces = mk_alloc(sizeof *pieces);
    struct mk_collateral *c;
    struct mk_quote_root *root;
    uint64_t generation;
    int rv;

    pieces_read(pieces, doc, &fault);
    root = root_among(pieces);
    c = mk_collateral_new(root);
    fault.text[0] = '\0';
    rv = mk_collateral_add(c, &doc, 1, &fault);
    FUZZ_CHECK((rv == 0) == (fault.text[0] == '\0'));
    generation = mk_collateral_generation(c);
    FUZZ_CHECK((generation == 0) == (mk_collateral_expires_s(c) == UINT64_MAX));
    if (rv == 0) { /* the same again changes nothing */
        FUZZ_CHECK(mk_collateral_add(c, &doc, 1, &fault) == 0);
        FUZZ_CHECK(mk_collateral_generation(c) == generation);
    }
    mk_collateral_free(c);
    mk_quote_root_free(root);
    pieces_done(pieces);
    mk_free(pieces);
    return rv == 0;
}

bool fuzz_tcb_info(const uint8_t *p, size_t n)
{
    struct mk_fault fault = {{0}};
    struct qe_identity *qe = NULL;
    struct tcb_info *info = NULL;
    bool accepted = tcb_info_parse(&info, MK_BYTES(p, n), &fault) == 0;

    if (accepted) {
        FUZZ_CHECK(info->n_levels <= TCB_LEVELS_MAX && info->n_modules <= TCB_MODULES_MAX);
        FUZZ_CHECK(info->arena.used <= 64 * n + 65536); /* bounded by the input */
    }
    accepted |= qe_identity_parse(&qe, MK_BYTES(p, n), &fault) == 0;
    tcb_info_free(info);
    qe_identity_free(qe);
    return accepted;
}

static void put_components(struct fuzz_random *r, const char *name, struct mk_buf *out)
{
    mk_buf_printf(out, "\"%s\":[", name);
    for (unsigned i = 0; i < 16; i++)
        mk_buf_printf(out, "%s{\"svn\":%u}", i > 0 ? "," : "", (unsigned)fuzz_below(r, 300));
    mk_buf_put_str(out, "],");
}

static void put_status(struct fuzz_random *r, struct mk_buf *out)
{
    mk_buf_printf(out, "\"tcbDate\":\"20%02u-03-13T00:00:00Z\",\"tcbStatus\":\"%s\"",
                  (unsigned)fuzz_below(r, 100),
                  mk_tcb_status_name((enum mk_tcb_status)fuzz_below(r, MK_TCB_Revoked + 1)));
    if (fuzz_below(r, 2) == 0)
        mk_buf_printf(out, ",\"advisoryIDs\":[\"INTEL-SA-%05u\"]", (unsigned)fuzz_below(r, 99999));
}

void fuzz_make_tcb_info(struct fuzz_random *r, struct mk_buf *out)
{
    bool tdx = fuzz_below(r, 2) == 0;

    mk_buf_printf(out,
                  "{\"id\":\"%s\",\"version\":3,\"issueDate\":\"2025-06-19T10:16:03Z\","
                  "\"nextUpdate\":\"2025-07-19T10:16:03Z\",\"fmspc\":\"B0C06F000000\","
                  "\"pceId\":\"0000\",\"tcbEvaluationDataNumber\":%u,",
                  tdx ? "TDX" : "SGX", (unsigned)fuzz_u64(r));
    if (tdx)
        mk_buf_printf(out,
                      "\"tdxModule\":{\"mrsigner\":\"%096x\",\"attributes\":\"%016x\","
                      "\"attributesMask\":\"%016x\"},",
                      (unsigned)fuzz_u64(r), 0u, 1u);
    mk_buf_put_str(out, "\"tcbLevels\":[");
    for (uint64_t i = fuzz_below(r, 4), first = 1; i > 0; i--, first = 0) {
        mk_buf_put_str(out, first ? "{\"tcb\":{" : ",{\"tcb\":{");
        put_components(r, "sgxtcbcomponents", out);
        if (tdx)
            put_components(r, "tdxtcbcomponents", out);
        mk_buf_printf(out, "\"pcesvn\":%u},", (unsigned)fuzz_below(r, 65536));
        put_status(r, out);
        mk_buf_put_u8(out, '}');
    }
    mk_buf_put_str(out, "]}");
}

/* --- measurements
 * --------------------------------------------------------------------------------- */

bool fuzz_published(const uint8_t *p, size_t n)
{
    struct mk_arena arena = {0};
    struct mk_fault fault = {{0}};
    struct mk_published *list;
    size_t n_list = 0;
    int rv = mk_published_parse(&list, &n_list, &arena, MK_BYTES(p, n), &fault);

    FUZZ_CHECK((rv == 0) == (fault.text[0] == '\0'));
    FUZZ_CHECK(n_list <= MK_PUBLISHED_MAX);
    mk_arena_done(&arena);
    return rv == 0;
}

void fuzz_make_published(struct fuzz_random *r, struct mk_buf *out)
{
    mk_buf_put_str(out, "[{\"measurement_id\":\"x\",\"attestation_type\":\"dcap-tdx\","
                        "\"measurements\":{");
    for (uint64_t i = 0, n = 1 + fuzz_below(r, 5); i < n; i++)
        mk_buf_printf(out, "%s\"%u\":{\"expected\":\"%096x\"}", i > 0 ? "," : "", (unsigned)i,
                      (unsigned)fuzz_u64(r));
    mk_buf_put_str(out, "}}]");
}

bool fuzz_eventlog(const uint8_t *p, size_t n)
{
    struct mk_eventlog_result r;
    struct mk_fault fault = {{0}};
    int rv = mk_eventlog_replay(&r, MK_BYTES(p, n), &fault);

    FUZZ_CHECK((rv == 0) == (fault.text[0] == '\0'));
    FUZZ_CHECK(rv != 0 || (r.n_extended < r.n_events && r.n_events < n));
    return rv == 0;
}

static void put_u16(struct mk_buf *out, unsigned v)
{
    mk_buf_put_u8(out, (uint8_t)v);
    mk_buf_put_u8(out, (uint8_t)(v >> 8));
}

void fuzz_make_eventlog(struct fuzz_random *r, struct mk_buf *out)
{
    mk_buf_put_u32le(out, 1);
    mk_buf_put_u32le(out, 3);
    memset(mk_buf_grow(out, 20), 0, 20);
    mk_buf_put_u32le(out, 33);
    mk_buf_put(out, "Spec ID Event03\0\0\0\0\0\0\2\0\2", 24);
    mk_buf_put_u32le(out, 1);
    put_u16(out, 0x0c);
    put_u16(out, 48);
    mk_buf_put_u8(out, 0);
    for (uint64_t i = fuzz_below(r, 6); i > 0; i--) {
        uint32_t n = (uint32_t)fuzz_below(r, 40);

        mk_buf_put_u32le(out, 1 + (uint32_t)fuzz_below(r, 4));
        mk_buf_put_u32le(out, (uint32_t)fuzz_u64(r));
        mk_buf_put_u32le(out, 1);
        put_u16(out, 0x0c);
        random_bytes(r, mk_buf_grow(out, 48), 48);
        mk_buf_put_u32le(out, n);
        random_bytes(r, mk_buf_grow(out, n), n);
    }
    if (fuzz_below(r, 2) == 0)
        memset(mk_buf_grow(out, 100), fuzz_below(r, 2) == 0 ? 0xff : 0, 100);
}
