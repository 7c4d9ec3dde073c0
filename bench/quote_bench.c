/* quote_bench.c - what verifying a quote costs beyond its ECDSA operations.
 *
 *     quote_bench QUOTE COLLATERAL ROUNDS
 *
 * The trusted root is the last certificate of the quote's own chain. Two cases: the first
 * quote of a platform that anybody shows (root > CA > PCK > QE report, and the attestation key:
 * four operations), and each further one (two: the chain has been seen). Beside each, the
 * same operations over the same bytes with OpenSSL alone, keys ready. Ends with 1 when the
 * quote is refused. */
#include "attest/pem.h"
#include "attest/root.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOW 1750000000u /* inside the corpus's certificates */
#define OPERATIONS 4u
#define REPEAT 50u

/* One signature that the quote hangs on. */
struct operation {
    EVP_PKEY *key;
    struct mk_bytes message;
    uint8_t der[80];
    size_t n;
};

static double now_us(void)
{
    struct timespec t;

    /* The processor's own time: nothing here waits, and neighbours must not count. */
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* tidy: ok, a benchmark's clock */
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static bool load(const char *path, struct mk_buf *ret)
{
    FILE *f = fopen(path, "rb");

    if (f == NULL)
        return false;
    ret->n = fread(mk_buf_grow(ret, 1u << 16), 1, 1u << 16, f);
    fclose(f);
    return true;
}

static void set_der(struct operation *o, EVP_PKEY *key, struct mk_bytes message,
                    struct mk_bytes signature)
{
    o->key = key;
    o->message = message;
    o->n = signature.n < sizeof o->der ? signature.n : 0;
    memcpy(o->der, signature.p, o->n);
}

static void set_raw(struct operation *o, EVP_PKEY *key, struct mk_bytes message,
                    const uint8_t signature[64])
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    uint8_t *der = NULL;
    int n;

    ECDSA_SIG_set0(sig, BN_bin2bn(signature, 32, NULL), BN_bin2bn(signature + 32, 32, NULL));
    n = i2d_ECDSA_SIG(sig, &der);
    set_der(o, key, message, MK_BYTES(der, n > 0 ? (size_t)n : 0));
    OPENSSL_free(der);
    ECDSA_SIG_free(sig);
}

/* The operations, the cheap two first. */
static bool prepare(struct operation o[OPERATIONS], struct mk_bytes *root, const struct mk_quote *q,
                    struct mk_buf *der)
{
    struct pem_block blocks[3];
    struct x509_cert cert[3];
    size_t n = 0;

    if (pem_read(blocks, 3, &n, q->cert_data, der, NULL) != 0 || n != 3)
        return false;
    for (size_t i = 0; i < 3; i++) {
        if (x509_cert_parse(&cert[i], blocks[i].der, NULL) != 0)
            return false;
    }
    *root = blocks[2].der;
    set_raw(&o[0], p256_key(q->attestation_key), q->signed_part, q->signature);
    set_raw(&o[1], p256_key(cert[0].key), MK_BYTES(&q->qe_report, sizeof q->qe_report),
            q->qe_signature);
    set_der(&o[2], p256_key(cert[1].key), cert[0].signed_part, cert[0].signature);
    set_der(&o[3], p256_key(cert[2].key), cert[1].signed_part, cert[1].signature);
    return true;
}

static bool verify(const struct operation *o)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, o->key) == 1 &&
              EVP_DigestVerify(ctx, o->der, o->n, o->message.p, o->message.n) == 1;

    EVP_MD_CTX_free(ctx);
    return ok;
}

static double floor_us(const struct operation *o, unsigned n)
{
    double start = now_us();

    for (unsigned r = 0; r < REPEAT; r++) {
        for (unsigned i = 0; i < n; i++) {
            if (!verify(&o[i]))
                exit(1);
        }
    }
    return (now_us() - start) / REPEAT;
}

/* From bytes to verdict: parsed, verified, judged by collateral. */
static void once(struct mk_quote_root *root, const struct mk_collateral *c, struct mk_bytes bytes)
{
    struct mk_quote_verdict v;
    struct mk_quote q;

    if (mk_quote_parse(&q, bytes, NULL) != 0)
        exit(1);
    mk_quote_verify(root, c, &q, NULL, NOW, &v);
    if (!v.ok || !v.has_status)
        exit(1);
}

static double first_us(struct mk_bytes root_der, const struct mk_collateral *c,
                       struct mk_bytes bytes)
{
    double us = 0;

    for (unsigned r = 0; r < REPEAT; r++) {
        struct mk_quote_root *root;
        double start;

        if (mk_quote_root_new(&root, root_der, NULL) != 0)
            exit(1);
        start = now_us();
        once(root, c, bytes);
        us += now_us() - start;
        mk_quote_root_free(root);
    }
    return us / REPEAT;
}

static double further_us(struct mk_quote_root *root, const struct mk_collateral *c,
                         struct mk_bytes bytes)
{
    double start = now_us();

    for (unsigned r = 0; r < REPEAT; r++)
        once(root, c, bytes);
    return (now_us() - start) / REPEAT;
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 5;
    struct mk_buf bytes = {0}, doc = {0}, der = {0};
    double first[64], first_floor[64], further[64], further_floor[64];
    struct operation o[OPERATIONS];
    struct mk_quote_root *root;
    struct mk_collateral *c;
    struct mk_bytes root_der, d;
    struct mk_quote q;

    if (argc < 3 || rounds == 0 || rounds > 64 || !load(argv[1], &bytes) || !load(argv[2], &doc))
        return 2;
    if (mk_quote_parse(&q, mk_buf_bytes(&bytes), NULL) != 0 || !prepare(o, &root_der, &q, &der) ||
        mk_quote_root_new(&root, root_der, NULL) != 0)
        return 1;
    c = mk_collateral_new(root);
    d = mk_buf_bytes(&doc);
    if (mk_collateral_add(c, &d, 1, NULL) != 0)
        return 1;
    once(root, c, mk_buf_bytes(&bytes));
    for (unsigned i = 0; i < rounds; i++) {
        first_floor[i] = floor_us(o, 4);
        first[i] = first_us(root_der, c, mk_buf_bytes(&bytes));
        further_floor[i] = floor_us(o, 2);
        further[i] = further_us(root, c, mk_buf_bytes(&bytes));
    }
    qsort(first, rounds, sizeof *first, compare);
    qsort(first_floor, rounds, sizeof *first, compare);
    qsort(further, rounds, sizeof *first, compare);
    qsort(further_floor, rounds, sizeof *first, compare);
    printf("first_us=%.1f first_floor_us=%.1f further_us=%.1f further_floor_us=%.1f\n",
           first[rounds / 2], first_floor[rounds / 2], further[rounds / 2],
           further_floor[rounds / 2]);
    return 0;
}
