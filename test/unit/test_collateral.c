/* Collateral as it comes: what may replace what, whose it is, in which shapes, of how many. */
#include "forge.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* --- taking in
 * ------------------------------------------------------------------------------------ */

static void test_replacing(void **state)
{
    struct mk_buf first = {0}, second = {0}, bytes = {0};
    struct mk_quote_verdict v;
    struct mk_collateral *c;
    struct mk_quote q;
    struct forge f;
    uint64_t generation;

    (void)state;
    forge_init(&f);
    c = mk_collateral_new(f.root);
    assert_true(mk_collateral_expires_s(c) == UINT64_MAX);
    forge_quote(&f, &q, 4, MK_BODY_TDX10);
    forge_sign(&f, &q, &bytes);
    assert_int_equal(mk_quote_parse(&q, mk_buf_bytes(&bytes), NULL), 0);
    mk_quote_verify(f.root, c, &q, NULL, FORGE_NOW, &v);
    forge_expect(v, "there is no revocation list of the root");
    f.info_to = FORGE_NOW;
    forge_collateral(&f, &first);
    forge_add(c, mk_buf_bytes(&first), 0);
    assert_true(mk_collateral_expires_s(c) == FORGE_NOW);
    generation = mk_collateral_generation(c);
    forge_add(c, mk_buf_bytes(&first), 0); /* the same again changes nothing */
    assert_true(mk_collateral_generation(c) == generation);
    mk_quote_verify(f.root, c, &q, NULL, FORGE_NOW, &v);
    forge_expect(v, "TCB info expired");
    f.info_to = FORGE_TO;
    f.info_from++;
    forge_collateral(&f, &second);
    forge_add(c, mk_buf_bytes(&second), 0);
    assert_true(mk_collateral_generation(c) == generation + 1);
    mk_quote_verify(f.root, c, &q, NULL, FORGE_NOW, &v);
    forge_expect(v, NULL);
    forge_add(c, mk_buf_bytes(&first), MK_ESTALE); /* nobody brings the older one back */
    mk_quote_verify(f.root, c, &q, NULL, FORGE_NOW, &v);
    forge_expect(v, NULL);
    mk_collateral_free(c);
    mk_buf_done(&first);
    mk_buf_done(&second);
    mk_buf_done(&bytes);
    forge_done(&f);
}

/* Whoever signs must be who may; and nothing of another root gets in. */
/* What was seen outlives the process: the older document is refused by one that never had the
 * newer. */
static void test_seen(void **state)
{
    struct mk_buf old = {0}, fresh = {0}, seen = {0}, again = {0}, none = {0};
    struct mk_collateral *c;
    struct mk_fault fault = {{0}};
    struct mk_bytes doc;
    struct forge f;

    (void)state;
    forge_init(&f);
    forge_collateral(&f, &old);
    f.info_from++;
    forge_collateral(&f, &fresh);
    c = mk_collateral_new(f.root);
    mk_collateral_seen(c, &none);
    forge_add(c, mk_buf_bytes(&fresh), 0);
    mk_collateral_seen(c, &seen);
    assert_true(seen.n > none.n);
    mk_collateral_free(c);
    c = mk_collateral_new(f.root);
    assert_int_equal(mk_collateral_recall(c, mk_buf_bytes(&seen), &fault), 0);
    mk_collateral_seen(c, &again);
    assert_true(mk_bytes_eq(mk_buf_bytes(&seen), mk_buf_bytes(&again)));
    doc = mk_buf_bytes(&old);
    assert_int_equal(mk_collateral_add(c, &doc, 1, &fault), MK_ESTALE);
    assert_non_null(strstr(fault.text, "TCB info: older than the one of "));
    forge_add(c, mk_buf_bytes(&fresh), 0); /* the very one that was seen is welcome */
    mk_collateral_free(c);
    for (size_t i = 0; i < seen.n; i++) { /* cut, or of another root */
        c = mk_collateral_new(f.root);
        assert_int_equal(mk_collateral_recall(c, MK_BYTES(seen.p, i), &fault), MK_EMALFORMED);
        mk_collateral_free(c);
    }
    seen.p[1] ^= 1;
    c = mk_collateral_new(f.root);
    assert_int_equal(mk_collateral_recall(c, mk_buf_bytes(&seen), &fault), MK_EMALFORMED);
    forge_add(c, mk_buf_bytes(&old), 0);
    mk_collateral_free(c);
    mk_buf_done(&old);
    mk_buf_done(&fresh);
    mk_buf_done(&seen);
    mk_buf_done(&again);
    mk_buf_done(&none);
    forge_done(&f);
}

static void test_signers(void **state)
{
    static const enum forge_key strangers[] = {FORGE_ROOT, FORGE_CA, FORGE_PCK, FORGE_ATT,
                                               FORGE_STRANGER};
    struct mk_collateral *c;
    struct mk_buf doc = {0}, bytes = {0};
    struct mk_quote_verdict v;
    struct mk_quote q;
    struct forge f, other;

    (void)state;
    forge_init(&f);
    forge_init(&other);
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        c = mk_collateral_new(f.root);
        f.json_signer = strangers[i];
        forge_collateral(&f, &doc);
        forge_add(c, mk_buf_bytes(&doc), MK_ESIGNATURE);
        mk_collateral_free(c);
    }
    f.json_signer = FORGE_TCB;
    f.cert[FORGE_TCB].subject = "Forged Something Else";
    c = mk_collateral_new(f.root);
    forge_collateral(&f, &doc);
    forge_add(c, mk_buf_bytes(&doc), MK_ESIGNATURE);
    mk_collateral_free(c);
    c = mk_collateral_new(f.root);
    forge_collateral(&other, &doc);
    forge_add(c, mk_buf_bytes(&doc), MK_ESIGNATURE);
    assert_true(mk_collateral_expires_s(c) == UINT64_MAX);
    mk_collateral_free(c);
    c = mk_collateral_new(other.root);
    forge_add(c, mk_buf_bytes(&doc), 0);
    forge_quote(&f, &q, 4, MK_BODY_TDX10);
    forge_sign(&f, &q, &bytes);
    assert_int_equal(mk_quote_parse(&q, mk_buf_bytes(&bytes), NULL), 0);
    mk_quote_verify(f.root, c, &q, NULL, FORGE_NOW, &v);
    forge_expect(v, "of another root");
    mk_collateral_free(c);
    mk_buf_done(&doc);
    mk_buf_done(&bytes);
    forge_done(&f);
    forge_done(&other);
}

/* Every byte of a document changed: what is not signed cannot matter, what is is refused. */
static void test_changed_documents(void **state)
{
    struct mk_buf doc = {0}, bytes = {0};
    unsigned refused = 0;
    struct mk_quote q;
    struct forge f;

    (void)state;
    forge_init(&f);
    forge_quote(&f, &q, 4, MK_BODY_TDX10);
    forge_sign(&f, &q, &bytes);
    assert_int_equal(mk_quote_parse(&q, mk_buf_bytes(&bytes), NULL), 0);
    forge_collateral(&f, &doc);
    for (size_t i = 0; i < doc.n; i++) {
        struct mk_collateral *c = mk_collateral_new(f.root);
        struct mk_fault fault = {{0}};
        struct mk_bytes b = mk_buf_bytes(&doc);
        struct mk_quote_verdict v;

        doc.p[i] ^= 1;
        if (mk_collateral_add(c, &b, 1, &fault) != 0)
            refused++;
        mk_quote_verify(f.root, c, &q, NULL, FORGE_NOW, &v);
        if (v.ok && (v.status != MK_TCB_UpToDate || v.expires_s != FORGE_TO))
            fail_msg("byte %zu changed is believed", i);
        doc.p[i] ^= 1;
        mk_collateral_free(c);
    }
    assert_true(refused > doc.n * 9 / 10);
    mk_buf_done(&doc);
    mk_buf_done(&bytes);
    forge_done(&f);
}

/* --- shapes of documents
 * --------------------------------------------------------------------------- */

/* The members of a bundle as documents of their own. */
static void test_shapes(void **state)
{
    struct mk_buf doc = {0}, der = {0}, pem = {0}, part = {0};
    struct mk_collateral *c;
    json_t *o, *parts[2];
    struct forge f;
    static const char *const keys[2][2] = {{"tcb_info", "tcbInfo"},
                                           {"qe_identity", "enclaveIdentity"}};

    (void)state;
    forge_init(&f);
    c = mk_collateral_new(f.root);
    forge_list(&f, &f.cert[FORGE_ROOT], 0, &der);
    forge_add(c, mk_buf_bytes(&der), 0); /* a list in DER, of the root: no other signer is needed */
    mk_buf_clear(&der);
    forge_list(&f, &f.cert[FORGE_CA], 0, &der);
    forge_add(c, mk_buf_bytes(&der), MK_ESIGNATURE);
    mk_buf_clear(&part);
    forge_certificate(&f, &f.cert[FORGE_CA], &part);
    forge_add(c, mk_buf_bytes(&part), 0); /* a certificate in DER */
    forge_add(c, mk_buf_bytes(&der), 0);
    mk_buf_clear(&part);
    forge_certificate(&f, &f.cert[FORGE_TCB], &part);
    forge_pem(mk_buf_bytes(&part), &pem);
    forge_add(c, mk_buf_bytes(&pem), 0);
    forge_collateral(&f, &doc);
    o = json_loadb((char *)doc.p, doc.n, 0, NULL);
    for (unsigned i = 0; i < 2; i++) {
        char name[64];

        parts[i] = json_object_get(o, keys[i][0]);
        snprintf(name, sizeof name, "%s_signature", keys[i][0]);
        mk_buf_clear(&part);
        mk_buf_printf(&part, " {\"signature\" : \"%s\", \"x\":[\"}\\\"\"], \"%s\" :  %s }\n",
                      json_string_value(json_object_get(o, name)), keys[i][1],
                      json_string_value(parts[i]));
        forge_add(c, mk_buf_bytes(&part), 0);
    }
    assert_true(mk_collateral_expires_s(c) == FORGE_TO);
    assert_int_equal(mk_collateral_generation(c), 4);
    json_decref(o);
    mk_collateral_free(c);
    mk_buf_done(&doc);
    mk_buf_done(&der);
    mk_buf_done(&pem);
    mk_buf_done(&part);
    forge_done(&f);
}

/* A batch may come in any order, as a directory's files do; of its faults an old document is
 * the least. */
static void test_batch(void **state)
{
    struct mk_buf doc = {0}, old = {0}, der[2] = {{0}, {0}}, info = {0};
    struct mk_bytes docs[3];
    struct mk_fault fault = {{0}};
    struct mk_collateral *c;
    struct forge f;
    json_t *o;

    (void)state;
    forge_init(&f);
    forge_collateral(&f, &doc);
    o = json_loadb((char *)doc.p, doc.n, 0, NULL);
    mk_buf_printf(&info, "{\"tcbInfo\":%s,\"signature\":\"%s\"}",
                  json_string_value(json_object_get(o, "tcb_info")),
                  json_string_value(json_object_get(o, "tcb_info_signature")));
    forge_list(&f, &f.cert[FORGE_CA], 0, &der[0]);
    forge_certificate(&f, &f.cert[FORGE_TCB], &der[1]);
    docs[0] = mk_buf_bytes(&info);
    docs[1] = mk_buf_bytes(&der[0]);
    docs[2] = mk_buf_bytes(&der[1]);
    c = mk_collateral_new(f.root);
    assert_int_equal(mk_collateral_add(c, docs, 3, &fault), MK_ESIGNATURE); /* the CA's list */
    assert_int_equal(mk_collateral_generation(c), 1);                       /* the TCB info */
    forge_add(c, mk_buf_bytes(&doc), 0);
    mk_buf_put(&old, doc.p, doc.n);
    f.info_from = f.list_from = FORGE_FROM + 5;
    forge_collateral(&f, &doc);
    forge_add(c, mk_buf_bytes(&doc), 0);
    docs[0] = mk_buf_bytes(&old);
    assert_int_equal(mk_collateral_add(c, docs, 1, &fault), MK_ESTALE);
    docs[1] = MK_BYTES("{\"enclaveIdentity\":{},\"signature\":\"\"}", 37);
    assert_int_equal(mk_collateral_add(c, docs, 2, &fault), MK_EMALFORMED);
    assert_int_equal(mk_collateral_add(c, docs, 1025, &fault), MK_ELIMIT);
    json_decref(o);
    mk_collateral_free(c);
    mk_buf_done(&doc);
    mk_buf_done(&old);
    mk_buf_done(&info);
    mk_buf_done(&der[0]);
    mk_buf_done(&der[1]);
    forge_done(&f);
}

static void test_yaml(void **state)
{
    struct mk_buf doc = {0}, yaml = {0};
    struct mk_collateral *c;
    const char *key;
    json_t *o, *v;
    struct forge f;

    (void)state;
    forge_init(&f);
    c = mk_collateral_new(f.root);
    forge_collateral(&f, &doc);
    o = json_loadb((char *)doc.p, doc.n, 0, NULL);
    mk_buf_put_str(&yaml, "# of a tool\n---\nunknown: |\n  lines\n\n  more\n");
    json_object_foreach(o, key, v)
    {
        mk_buf_printf(&yaml, "%s: |-\n  ", key);
        for (const char *p = json_string_value(v); *p != '\0'; p++) {
            mk_buf_put_u8(&yaml, (uint8_t)*p);
            if (*p == '\n')
                mk_buf_put_str(&yaml, "  ");
        }
        mk_buf_put_u8(&yaml, '\n');
    }
    forge_add(c, mk_buf_bytes(&yaml), 0);
    assert_true(mk_collateral_expires_s(c) == FORGE_TO);
    json_decref(o);
    mk_collateral_free(c);
    mk_buf_done(&doc);
    mk_buf_done(&yaml);
    forge_done(&f);
}

static void test_rubbish(void **state)
{
    static const char *const docs[] = {
        "",
        " \n",
        "{}",
        "{",
        "[]",
        "hello",
        "30",
        "3082",
        "abc",
        "{\"tcbInfo\":{}}",
        "{\"tcbInfo\":{},\"signature\":\"00\"}",
        "{\"tcb_info\":\"{}\"}",
        "{\"tcb_info\":\"{}\",\"tcb_info\":\"{}\"}",
        "{\"root_ca_crl\":\"zz\"}",
        "{\"tcb_info\":7,\"root_ca_crl\":\"\"}",
        "-----BEGIN CERTIFICATE-----\n",
        "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
        "tcb_info: |-\n",
        "tcb_info: |-\n  {}\ntcb_info_signature: 00\n",
    };
    struct mk_collateral *c;
    struct mk_buf big = {0};
    struct forge f;

    (void)state;
    forge_init(&f);
    c = mk_collateral_new(f.root);
    for (size_t i = 0; i < sizeof docs / sizeof docs[0]; i++) {
        struct mk_bytes b = MK_BYTES(docs[i], strlen(docs[i]));
        struct mk_fault fault = {{0}};

        if (mk_collateral_add(c, &b, 1, &fault) == 0)
            fail_msg("\"%s\" is taken", docs[i]);
        assert_true(fault.text[0] != '\0');
    }
    memset(mk_buf_grow(&big, MK_COLLATERAL_DOC_MAX + 1), '{', MK_COLLATERAL_DOC_MAX + 1);
    forge_add(c, mk_buf_bytes(&big), MK_ELIMIT);
    mk_buf_done(&big);
    mk_collateral_free(c);
    forge_done(&f);
}

/* --- many, and too many --- */

/* Many platforms and both TEEs side by side; each document is replaced by its own successor. */
static void test_platforms(void **state)
{
    static const char *const fmspcs[] = {"00806F050000", "B0C06F000000", "90C06F000000"};
    struct mk_quote_verdict v;
    struct mk_buf doc = {0}, bytes[2] = {{0}, {0}};
    struct mk_collateral *c;
    struct mk_quote q[2];
    struct forge f;

    (void)state;
    forge_init(&f);
    c = mk_collateral_new(f.root);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 6; i++) {
            f.sgx = i % 2 == 1;
            f.fmspc = fmspcs[i / 2];
            forge_collateral(&f, &doc);
            forge_add(c, mk_buf_bytes(&doc), 0);
        }
        /* two lists, two identities, six infos; in the second round all but the lists */
        assert_int_equal(mk_collateral_generation(c), round == 0 ? 10 : 18);
        f.info_from++;
        f.qe_from++;
    }
    f.sgx = false;
    f.qe_from = FORGE_FROM;
    forge_collateral(&f, &doc);
    forge_add(c, mk_buf_bytes(&doc), MK_ESTALE);
    for (unsigned i = 0; i < 2; i++) {
        forge_quote(&f, &q[i], 4, i == 0 ? MK_BODY_TDX10 : MK_BODY_SGX);
        forge_sign(&f, &q[i], &bytes[i]);
        assert_int_equal(mk_quote_parse(&q[i], mk_buf_bytes(&bytes[i]), NULL), 0);
        mk_quote_verify(f.root, c, &q[i], NULL, FORGE_NOW, &v);
        forge_expect(v, NULL);
        assert_int_equal(mk_quote_report_data(&q[i])[63], 0xda);
        mk_buf_done(&bytes[i]);
    }
    mk_collateral_free(c);
    mk_buf_done(&doc);
    forge_done(&f);
}

/* As many signers as there is room for, and one more. */
static void test_limits(void **state)
{
    struct mk_buf doc = {0}, pem = {0};
    struct mk_collateral *c;
    struct forge f;

    (void)state;
    forge_init(&f);
    c = mk_collateral_new(f.root);
    for (unsigned i = 0; i <= MK_COLLATERAL_MAX; i++) {
        f.cert[FORGE_TCB].serial = 1000 + i;
        mk_buf_clear(&doc);
        forge_certificate(&f, &f.cert[FORGE_TCB], &doc);
        forge_add(c, mk_buf_bytes(&doc), i < MK_COLLATERAL_MAX ? 0 : MK_ELIMIT);
        if (i < 17)
            forge_pem(mk_buf_bytes(&doc), &pem);
    }
    forge_add(c, mk_buf_bytes(&pem), MK_ELIMIT); /* blocks of one document */
    mk_collateral_free(c);
    mk_buf_done(&doc);
    mk_buf_done(&pem);
    forge_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replacing), cmocka_unit_test(test_seen),
        cmocka_unit_test(test_signers),   cmocka_unit_test(test_changed_documents),
        cmocka_unit_test(test_shapes),    cmocka_unit_test(test_batch),
        cmocka_unit_test(test_yaml),      cmocka_unit_test(test_rubbish),
        cmocka_unit_test(test_platforms), cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests_name("collateral", tests, NULL, NULL);
}
