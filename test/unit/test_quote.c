/* A quote's bytes: round trips, each length wrong, and the real quotes of the vectors. */
#include "vectors.h"

#include <mosaik/attest.h>
#include <string.h>

/* A quote with distinct bytes in each field. */
static void make(struct mk_quote *q, uint16_t version, enum mk_quote_body body)
{
    static const uint8_t auth[3] = {1, 2, 3};
    uint8_t *p = (uint8_t *)&q->td;

    memset(q, 0, sizeof *q);
    q->version = version;
    q->body = body;
    q->tee = body == MK_BODY_SGX ? MK_TEE_SGX : MK_TEE_TDX;
    for (size_t i = 0; i < (body == MK_BODY_TDX15 ? 648u : 584u); i++)
        p[i] = (uint8_t)(i * 7 + 1);
    for (size_t i = 0; i < sizeof q->enclave; i++)
        ((uint8_t *)&q->enclave)[i] = (uint8_t)(i * 5 + 2);
    memset(q->header.user_data, 0x55, sizeof q->header.user_data);
    memset(q->signature, 0x11, sizeof q->signature);
    memset(q->attestation_key, 0x22, sizeof q->attestation_key);
    memset(&q->qe_report, 0x33, sizeof q->qe_report);
    memset(q->qe_signature, 0x44, sizeof q->qe_signature);
    q->qe_auth = MK_BYTES(auth, sizeof auth);
    q->cert_type = MK_CERT_PCK_CHAIN;
    q->cert_data = MK_BYTES("chain", 5);
}

static const struct {
    uint16_t version;
    enum mk_quote_body body;
} shapes[] = {{3, MK_BODY_SGX}, {4, MK_BODY_SGX},   {4, MK_BODY_TDX10},
              {5, MK_BODY_SGX}, {5, MK_BODY_TDX10}, {5, MK_BODY_TDX15}};
#define N_SHAPES (sizeof shapes / sizeof shapes[0])

static void test_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SHAPES; i++) {
        struct mk_buf bytes = {0}, again = {0}, head = {0};
        struct mk_quote q, r;

        make(&q, shapes[i].version, shapes[i].body);
        mk_quote_format(&q, &bytes);
        assert_int_equal(mk_quote_parse(&r, mk_buf_bytes(&bytes), NULL), 0);
        assert_int_equal(r.version, q.version);
        assert_int_equal(r.tee, q.tee);
        assert_int_equal(r.body, q.body);
        assert_int_equal(r.len, bytes.n);
        assert_true(mk_bytes_eq(r.qe_auth, q.qe_auth));
        assert_true(mk_bytes_eq(r.cert_data, q.cert_data));
        mk_quote_format_signed(&q, &head);
        assert_true(mk_bytes_eq(r.signed_part, mk_buf_bytes(&head)));
        mk_quote_format(&r, &again);
        assert_true(mk_bytes_eq(mk_buf_bytes(&again), mk_buf_bytes(&bytes)));
        mk_buf_done(&bytes);
        mk_buf_done(&again);
        mk_buf_done(&head);
    }
}

/* Every prefix is refused; whatever follows is ignored. */
static void test_lengths(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SHAPES; i++) {
        struct mk_fault fault;
        struct mk_buf bytes = {0};
        struct mk_quote q, r;
        size_t n;

        make(&q, shapes[i].version, shapes[i].body);
        mk_quote_format(&q, &bytes);
        n = bytes.n;
        for (size_t k = 0; k < n; k++) {
            /* in memory of exactly that size, so that a sanitizer sees each read too far */
            uint8_t *cut = mk_memdup(bytes.p, k > 0 ? k : 1);

            assert_int_equal(mk_quote_parse(&r, MK_BYTES(cut, k), &fault), MK_EMALFORMED);
            mk_free(cut);
        }
        memset(mk_buf_grow(&bytes, 3065), 0, 3065);
        assert_int_equal(mk_quote_parse(&r, mk_buf_bytes(&bytes), &fault), 0);
        assert_int_equal(r.len, n);
        memset(mk_buf_grow(&bytes, MK_QUOTE_MAX), 0, MK_QUOTE_MAX);
        assert_int_equal(mk_quote_parse(&r, mk_buf_bytes(&bytes), &fault), MK_ELIMIT);
        mk_buf_done(&bytes);
    }
}

static void refuse(uint16_t version, enum mk_quote_body body, size_t at, uint8_t value, int err)
{
    struct mk_buf bytes = {0};
    struct mk_fault fault;
    struct mk_quote q, r;

    make(&q, version, body);
    mk_quote_format(&q, &bytes);
    bytes.p[at] = value;
    assert_int_equal(mk_quote_parse(&r, mk_buf_bytes(&bytes), &fault), err);
    mk_buf_done(&bytes);
}

static void test_unknown(void **state)
{
    size_t sig = 48 + MK_TD_REPORT_10;

    (void)state;
    refuse(4, MK_BODY_TDX10, 0, 2, MK_ENOTSUP); /* version */
    refuse(4, MK_BODY_TDX10, 0, 6, MK_ENOTSUP);
    refuse(4, MK_BODY_TDX10, 2, 3, MK_ENOTSUP);                  /* ECDSA P-384 */
    refuse(4, MK_BODY_TDX10, 4, 0x82, MK_ENOTSUP);               /* TEE */
    refuse(3, MK_BODY_SGX, 4, 0x81, MK_ENOTSUP);                 /* version 3 is SGX alone */
    refuse(4, MK_BODY_TDX10, sig + 4 + 128, 5, MK_ENOTSUP);      /* outer certification data */
    refuse(5, MK_BODY_TDX15, 48, 4, MK_ENOTSUP);                 /* body type */
    refuse(5, MK_BODY_TDX15, 48, 2, MK_EMALFORMED);              /* its size does not fit */
    refuse(5, MK_BODY_TDX15, 48, 1, MK_EMALFORMED);              /* nor the TEE */
    refuse(5, MK_BODY_TDX15, 50, 0x89, MK_EMALFORMED);           /* size */
    refuse(4, MK_BODY_TDX10, sig, 0xff, MK_EMALFORMED);          /* signature data's length */
    refuse(4, MK_BODY_TDX10, sig + 138 + 448, 2, MK_EMALFORMED); /* the auth data's */
}

/* --- the real ones ------------------------------------------------------------------------ */

static void same_hex(const json_t *o, const char *key, const uint8_t *p, size_t n)
{
    const char *hex = json_string_value(json_object_get(o, key));
    char mine[200];

    if (hex == NULL)
        return;
    assert_true(2 * n < sizeof mine);
    mk_hex(mine, p, n);
    assert_string_equal(hex, mine);
}

static void compare_td(const json_t *o, const struct mk_td_report *r)
{
#define SAME(name) same_hex(o, #name, r->name, sizeof r->name)
    SAME(tee_tcb_svn);
    SAME(mr_seam);
    SAME(mr_signer_seam);
    SAME(seam_attributes);
    SAME(td_attributes);
    SAME(xfam);
    SAME(mr_td);
    SAME(mr_config_id);
    SAME(mr_owner);
    SAME(mr_owner_config);
    SAME(report_data);
    SAME(tee_tcb_svn_2);
    SAME(mr_service_td);
#undef SAME
    for (unsigned i = 0; i < 4; i++) {
        char name[] = {'r', 't', 'm', 'r', (char)('0' + i), 0};

        same_hex(o, name, r->rtmr[i], sizeof r->rtmr[i]);
    }
}

static void compare(const json_t *o, const struct mk_quote *q, size_t n)
{
    json_t *chain = json_object_get(o, "inner_cert_type");

    assert_int_equal(json_integer_value(json_object_get(o, "version")), q->version);
    assert_int_equal(json_integer_value(json_object_get(o, "trailing_bytes")), n - q->len);
    assert_int_equal(json_integer_value(chain), q->cert_type);
    assert_int_equal(json_integer_value(json_object_get(o, "qe_auth_len")), q->qe_auth.n);
    same_hex(o, "qe_vendor_id", q->header.qe_vendor_id, 16);
    same_hex(o, "user_data", q->header.user_data, 20);
    if (q->tee == MK_TEE_TDX) {
        compare_td(o, &q->td);
    } else {
        same_hex(o, "mr_enclave", q->enclave.mr_enclave, 32);
        same_hex(o, "mr_signer", q->enclave.mr_signer, 32);
        same_hex(o, "report_data", q->enclave.report_data, 64);
    }
}

static void test_real(void **state)
{
    json_t *expected = vectors_json("open/tdx/quotes/expected.json");
    const char *name;
    json_t *o;

    (void)state;
    assert_true(json_object_size(expected) >= 10);
    json_object_foreach(expected, name, o)
    {
        char path[200];
        struct mk_buf bytes = {0}, again = {0};
        struct mk_fault fault = {{0}};
        struct mk_quote q;

        snprintf(path, sizeof path, "open/tdx/quotes/%s", name);
        vectors_read(path, &bytes);
        if (mk_quote_parse(&q, mk_buf_bytes(&bytes), &fault) != 0)
            fail_msg("%s: %s", name, fault.text);
        compare(o, &q, bytes.n);
        mk_quote_format(&q, &again);
        assert_true(mk_bytes_eq(mk_buf_bytes(&again), MK_BYTES(bytes.p, q.len)));
        mk_buf_done(&bytes);
        mk_buf_done(&again);
    }
    json_decref(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_real),
    };
    return cmocka_run_group_tests_name("quote", tests, NULL, NULL);
}
