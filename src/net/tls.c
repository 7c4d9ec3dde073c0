/* tls.c - the channel of the real world: TLS 1.3 on both sides, OpenSSL.
 *
 * Identity is the ed25519 key of the certificate and nothing else in it: no
 * names, no dates, no authorities. The certificate is made from the peer's key
 * when the net opens and signed by itself; the other side checks that signature
 * with our own verifier (which refuses keys of small order and second spellings
 * of a key), and TLS checks possession of the key (CertificateVerify).
 *
 * The happy path: step() until SSL_do_handshake is through, the other side's
 * certificate goes through cert_verify_cb, ALPN names the protocol; then read()
 * and write(). A custom BIO reads from the slice that the link holds and writes
 * to the net's wire buffer: no copy in between and no memory a link.
 *
 * Failure: any refusal leaves OpenSSL's alert in `wire` for the link to send, and
 * the reason in `why`. No session tickets, no resumption, no renegotiation:
 * every link proves its key anew. */
#include "net/chan.h"
#include "base/assert.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#define TLS_ALPN "\x08mosaik/1"
#define TLS_CERT_MAX 4096 /* bytes of the other side's certificates */

struct mk_tls {
    SSL_CTX *ctx;
    BIO_METHOD *bio;
};

struct tls_chan {
    struct mk_chan chan;
    SSL *ssl;
};

/* --- the BIO ------------------------------------------------------------------------- */

static int tls_bio_read(BIO *b, char *out, int cap)
{
    struct tls_chan *t = BIO_get_data(b);
    int n = t->chan.in_n < (size_t)cap ? (int)t->chan.in_n : cap;

    BIO_clear_retry_flags(b);
    if (n == 0) {
        BIO_set_retry_read(b);
        return -1;
    }
    memcpy(out, t->chan.in, (size_t)n);
    t->chan.in += n;
    t->chan.in_n -= (size_t)n;
    return n;
}

static int tls_bio_write(BIO *b, const char *p, int n)
{
    struct tls_chan *t = BIO_get_data(b);

    BIO_clear_retry_flags(b);
    mk_buf_put(t->chan.wire, p, (size_t)n);
    return n;
}

static long tls_bio_ctrl(BIO *b, int cmd, long num, void *p)
{
    (void)b;
    (void)num;
    (void)p;
    return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *tls_bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "link");

    if (m != NULL) {
        BIO_meth_set_read(m, tls_bio_read);
        BIO_meth_set_write(m, tls_bio_write);
        BIO_meth_set_ctrl(m, tls_bio_ctrl);
    }
    return m;
}

/* --- certificates -------------------------------------------------------------------- */

static int cert_fill(X509 *x, EVP_PKEY *pkey, const struct mk_peer *peer)
{
    X509_NAME *name = X509_get_subject_name(x);
    char hex[MK_ID_HEX];

    mk_peer_hex(peer, hex);
    /* Dates say nothing here; all of time keeps the clock out of it. */
    return X509_set_version(x, X509_VERSION_3) == 1 &&
                   ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1 &&
                   ASN1_TIME_set_string(X509_getm_notBefore(x), "19700101000000Z") == 1 &&
                   ASN1_TIME_set_string(X509_getm_notAfter(x), "99991231235959Z") == 1 &&
                   X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (uint8_t *)hex, -1, -1,
                                              0) == 1 &&
                   X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, pkey) == 1 &&
                   X509_sign(x, pkey, NULL) > 0
               ? 0
               : MK_EIO;
}

/* Gives the context a certificate made from key. */
static int cert_use(SSL_CTX *ctx, const struct mk_key *key)
{
    EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key->secret, 32);
    X509 *x = X509_new();
    int rv = MK_EIO;

    if (pkey != NULL && x != NULL && cert_fill(x, pkey, &key->peer) == 0 &&
        SSL_CTX_use_certificate(ctx, x) == 1 && SSL_CTX_use_PrivateKey(ctx, pkey) == 1)
        rv = 0;
    X509_free(x);
    EVP_PKEY_free(pkey); /* the context keeps its own reference */
    return rv;
}

/* The peer of a certificate that is signed by its own ed25519 key. */
static int cert_peer(X509 *x, struct mk_peer *ret)
{
    EVP_PKEY *pkey = X509_get0_pubkey(x);
    const ASN1_BIT_STRING *sig_bits = NULL;
    const X509_ALGOR *alg = NULL;
    struct mk_signature sig;
    struct mk_peer peer;
    size_t n = sizeof peer.b;
    unsigned char *tbs = NULL;
    int tbs_n, rv;

    if (pkey == NULL || EVP_PKEY_get_id(pkey) != EVP_PKEY_ED25519 ||
        EVP_PKEY_get_raw_public_key(pkey, peer.b, &n) != 1 || n != sizeof peer.b)
        return MK_EIDENTITY;
    X509_get0_signature(&sig_bits, &alg, x);
    if (OBJ_obj2nid(alg->algorithm) != NID_ED25519 ||
        ASN1_STRING_length(sig_bits) != (int)sizeof sig.b)
        return MK_ESIGNATURE;
    memcpy(sig.b, ASN1_STRING_get0_data(sig_bits), sizeof sig.b);
    tbs_n = i2d_re_X509_tbs(x, &tbs);
    if (tbs_n <= 0)
        return MK_EMALFORMED;
    rv = mk_verify(&peer, MK_BYTES(tbs, (size_t)tbs_n), &sig);
    OPENSSL_free(tbs);
    if (rv == 0)
        *ret = peer;
    return rv;
}

/* OpenSSL asks here instead of building a chain. */
static int cert_verify_cb(X509_STORE_CTX *store, void *arg)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_chan *t = SSL_get_app_data(ssl);
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    int rv = leaf != NULL ? cert_peer(leaf, &t->chan.peer) : MK_EIDENTITY;

    (void)arg;
    if (rv == 0)
        return 1;
    snprintf(t->chan.why, sizeof t->chan.why, "%s",
             rv == MK_ESIGNATURE ? "the certificate is not signed by its own ed25519 key"
                                 : "the certificate shows no ed25519 key");
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
    return 0;
}

static int alpn_select_cb(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                          const unsigned char *in, unsigned in_n, void *arg)
{
    static const unsigned char ours[] = TLS_ALPN;
    unsigned char *chosen;

    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&chosen, out_n, ours, sizeof ours - 1, in, in_n) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* --- the context --------------------------------------------------------------------- */

static int ctx_configure(SSL_CTX *ctx)
{
    static const unsigned char alpn[] = TLS_ALPN;

    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(ctx, TLS_CERT_MAX);
    SSL_CTX_set_quiet_shutdown(ctx, 0);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, cert_verify_cb, NULL);
    SSL_CTX_set_alpn_select_cb(ctx, alpn_select_cb, NULL);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
                   SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
                   SSL_CTX_set_num_tickets(ctx, 0) == 1 &&
                   SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:"
                                                 "TLS_CHACHA20_POLY1305_SHA256") == 1 &&
                   SSL_CTX_set1_groups_list(ctx, "X25519") == 1 &&
                   SSL_CTX_set1_sigalgs_list(ctx, "ed25519") == 1 &&
                   SSL_CTX_set_alpn_protos(ctx, alpn, sizeof alpn - 1) == 0
               ? 0
               : MK_EIO;
}

int mk_tls_open(struct mk_tls **ret, const struct mk_key *key)
{
    struct mk_tls *t = mk_alloc(sizeof *t);

    t->bio = tls_bio_method();
    t->ctx = SSL_CTX_new(TLS_method());
    if (t->bio == NULL || t->ctx == NULL || ctx_configure(t->ctx) != 0 ||
        cert_use(t->ctx, key) != 0) {
        mk_tls_close(t);
        ERR_clear_error();
        return MK_EIO;
    }
    *ret = t;
    return 0;
}

void mk_tls_close(struct mk_tls *t)
{
    if (t == NULL)
        return;
    SSL_CTX_free(t->ctx);
    BIO_meth_free(t->bio);
    mk_free(t);
}

/* --- the channel --------------------------------------------------------------------- */

/* Keeps a reason that our own callback gave; OpenSSL's own words otherwise. */
static int tls_fail(struct tls_chan *t)
{
    unsigned long e = ERR_peek_last_error();
    const char *text = e != 0 ? ERR_reason_error_string(e) : NULL;

    if (t->chan.why[0] == 0)
        snprintf(t->chan.why, sizeof t->chan.why, "TLS: %s", text != NULL ? text : "failed");
    ERR_clear_error();
    return MK_EPROTOCOL;
}

static int tls_step(struct mk_chan *c)
{
    struct tls_chan *t = mk_container_of(c, struct tls_chan, chan);
    const unsigned char *alpn;
    unsigned alpn_n;
    int n;

    ERR_clear_error();
    n = SSL_do_handshake(t->ssl);
    if (n != 1)
        return SSL_get_error(t->ssl, n) == SSL_ERROR_WANT_READ ? 0 : tls_fail(t);
    SSL_get0_alpn_selected(t->ssl, &alpn, &alpn_n);
    if (alpn_n != sizeof TLS_ALPN - 2 || memcmp(alpn, &TLS_ALPN[1], alpn_n) != 0) {
        snprintf(c->why, sizeof c->why, "the other side speaks another protocol");
        return MK_EPROTOCOL;
    }
    c->ready = true;
    return 0;
}

static int tls_read(struct mk_chan *c, uint8_t *out, size_t cap, size_t *ret_n)
{
    struct tls_chan *t = mk_container_of(c, struct tls_chan, chan);
    int n, e;

    *ret_n = 0;
    if (c->in_n == 0 && !SSL_has_pending(t->ssl))
        return 0; /* as it would answer, at some cost */
    ERR_clear_error();
    n = SSL_read(t->ssl, out, cap < INT_MAX ? (int)cap : INT_MAX);
    if (n > 0) {
        *ret_n = (size_t)n;
        return 0;
    }
    e = SSL_get_error(t->ssl, n);
    if (e == SSL_ERROR_WANT_READ)
        return 0;
    if (e == SSL_ERROR_ZERO_RETURN) { /* their end-of-data mark: nothing may follow */
        c->in_n = 0;
        return 0;
    }
    return tls_fail(t);
}

static int tls_write(struct mk_chan *c, const uint8_t *p, size_t n)
{
    struct tls_chan *t = mk_container_of(c, struct tls_chan, chan);
    size_t done = 0;

    if (n == 0)
        return 0;
    ERR_clear_error();
    if (SSL_write_ex(t->ssl, p, n, &done) != 1)
        return tls_fail(t);
    MK_ASSERT(done == n); /* the BIO takes everything */
    return 0;
}

static void tls_finish(struct mk_chan *c)
{
    struct tls_chan *t = mk_container_of(c, struct tls_chan, chan);

    if (c->ready)
        SSL_shutdown(t->ssl);
    ERR_clear_error();
}

static int tls_exported(struct mk_chan *c, uint8_t ret[32])
{
    static const char label[] = "EXPORTER-mosaik-quote";
    struct tls_chan *t = mk_container_of(c, struct tls_chan, chan);

    return SSL_export_keying_material(t->ssl, ret, 32, label, sizeof label - 1, NULL, 0, 0) == 1
               ? 0
               : MK_EIO;
}

static void tls_free(struct mk_chan *c)
{
    struct tls_chan *t = mk_container_of(c, struct tls_chan, chan);

    SSL_free(t->ssl);
    mk_free(t);
}

static const struct mk_chan_ops tls_ops = {
    .step = tls_step,
    .read = tls_read,
    .write = tls_write,
    .finish = tls_finish,
    .exported = tls_exported,
    .free = tls_free,
};

struct mk_chan *mk_chan_tls(struct mk_tls *tls, bool dialer, struct mk_buf *wire)
{
    struct tls_chan *t = mk_alloc(sizeof *t);
    BIO *bio;

    t->chan.ops = &tls_ops;
    t->chan.wire = wire;
    t->ssl = SSL_new(tls->ctx);
    bio = BIO_new(tls->bio);
    if (t->ssl == NULL || bio == NULL) { /* no memory: as everywhere, NULL means refuse */
        BIO_free(bio);
        tls_free(&t->chan);
        ERR_clear_error();
        return NULL;
    }
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_app_data(t->ssl, t);
    if (dialer)
        SSL_set_connect_state(t->ssl);
    else
        SSL_set_accept_state(t->ssl);
    return &t->chan;
}
