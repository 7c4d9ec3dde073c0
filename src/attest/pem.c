/* pem.c - see the header. Whoever changes a character of a quote's certificates, or of the
 * frame around them, is noticed: a second spelling of the same certificate is refused. */
#include "attest/pem.h"

#include <string.h>

static const struct {
    enum pem_kind kind;
    const char *begin, *end;
} frames[] = {
    {PEM_CERTIFICATE, "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"},
    {PEM_CRL, "-----BEGIN X509 CRL-----", "-----END X509 CRL-----"},
};

struct text {
    const char *p;
    size_t n;
};

static bool text_take(struct text *t, const char *word)
{
    size_t n = strlen(word);

    if (t->n < n || memcmp(t->p, word, n) != 0)
        return false;
    t->p += n;
    t->n -= n;
    return true;
}

static bool text_end_of_line(struct text *t)
{
    return text_take(t, "\n") || text_take(t, "\r\n");
}

/* Ends of lines and zeros between blocks. */
static void text_skip(struct text *t)
{
    while (t->n > 0 && (*t->p == '\0' || text_end_of_line(t))) {
        if (t->n > 0 && *t->p == '\0') {
            t->p++;
            t->n--;
        }
    }
}

bool pem_is(struct mk_bytes text)
{
    return text.n > 11 && memmem(text.p, text.n, "-----BEGIN ", 11) != NULL;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Up to the first '-': base64 in lines, appended to out. */
static bool pem_body(struct text *t, struct mk_buf *out)
{
    uint32_t bits = 0;
    unsigned n = 0, padding = 0;

    for (; t->n > 0 && *t->p != '-'; t->p++, t->n--) {
        int v = base64_value(*t->p);

        if (*t->p == '\n' || (*t->p == '\r' && t->n > 1 && t->p[1] == '\n'))
            continue;
        if (*t->p == '=') {
            padding++;
            continue;
        }
        if (v < 0 || padding > 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        if (++n % 4 == 0) {
            mk_buf_put_u8(out, (uint8_t)(bits >> 16));
            mk_buf_put_u8(out, (uint8_t)(bits >> 8));
            mk_buf_put_u8(out, (uint8_t)bits);
        }
    }
    if (padding != (4 - n % 4) % 4 || padding > 2)
        return false;
    if (padding == 1 && (bits & 3) == 0) {
        mk_buf_put_u8(out, (uint8_t)(bits >> 10));
        mk_buf_put_u8(out, (uint8_t)(bits >> 2));
        return true;
    }
    if (padding == 2 && (bits & 15) == 0)
        mk_buf_put_u8(out, (uint8_t)(bits >> 4));
    return padding == 0 || (padding == 2 && (bits & 15) == 0);
}

/* One block; its bytes are the last ret_n of into. */
static bool pem_block(struct text *t, enum pem_kind *ret, size_t *ret_n, struct mk_buf *into)
{
    size_t before = into->n;

    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        if (!text_take(t, frames[i].begin))
            continue;
        *ret = frames[i].kind;
        if (!text_end_of_line(t) || !pem_body(t, into) || !text_take(t, frames[i].end))
            return false;
        *ret_n = into->n - before;
        return t->n == 0 || *t->p == '\0' || text_end_of_line(t);
    }
    return false;
}

int pem_read(struct pem_block *ret, size_t max, size_t *ret_n, struct mk_bytes text,
             struct mk_buf *into, struct mk_fault *reterr)
{
    struct text t = {(const char *)text.p, text.n};
    size_t n = 0, at = 0;

    for (;;) {
        enum pem_kind kind;
        size_t len;

        text_skip(&t);
        if (t.n == 0)
            break;
        if (n == max)
            return mk_fault(reterr, MK_ELIMIT, "PEM: more than %zu blocks", max);
        if (!pem_block(&t, &kind, &len, into))
            return mk_fault(reterr, MK_EMALFORMED,
                            "PEM: block %zu is none of a certificate or revocation list", n + 1);
        ret[n].kind = kind;
        ret[n++].der.n = len;
    }
    for (size_t i = 0; i < n; i++) { /* into has moved while it grew */
        ret[i].der.p = into->p + at;
        at += ret[i].der.n;
    }
    *ret_n = n;
    return 0;
}
