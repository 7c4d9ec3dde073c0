/* pieces.c - see pieces.h.
 *
 * Collateral comes in as many shapes as there are tools. All of them hold the same four
 * things, and each thing can be told by how it begins; so files need no names. What is signed
 * is kept byte by byte as it came: a JSON value is cut out of its document, not printed anew. */
#include "attest/pieces.h"

#include "attest/pem.h"

#include <ctype.h>
#include <jansson.h>
#include <mosaik/attest.h>
#include <string.h>

void pieces_done(struct pieces *p)
{
    mk_arena_done(&p->arena);
}

/* bytes must be in the arena. */
static int add(struct pieces *p, enum piece_kind kind, struct mk_bytes bytes, struct piece **ret,
               struct mk_fault *reterr)
{
    if (p->n == PIECES_MAX)
        return mk_fault(reterr, MK_ELIMIT, "more than %u pieces in one document", PIECES_MAX);
    p->v[p->n].kind = kind;
    p->v[p->n].bytes = bytes;
    if (ret != NULL)
        *ret = &p->v[p->n];
    p->n++;
    return 0;
}

static struct mk_bytes keep(struct pieces *p, struct mk_bytes b)
{
    return MK_BYTES(mk_arena_copy(&p->arena, b.p, b.n), b.n);
}

/* --- certificates and lists ------------------------------------------------------------------ */

static int add_pem(struct pieces *p, struct mk_bytes text, struct mk_fault *reterr)
{
    struct pem_block blocks[16];
    struct mk_buf der = {0};
    size_t n = 0;
    int rv = pem_read(blocks, 16, &n, text, &der, reterr);

    for (size_t i = 0; rv == 0 && i < n; i++)
        rv = add(p, blocks[i].kind == PEM_CRL ? PIECE_CRL : PIECE_CERTIFICATE,
                 keep(p, blocks[i].der), NULL, reterr);
    mk_buf_done(&der);
    return rv;
}

/* Both are SEQUENCE { SEQUENCE { ..; a certificate goes on with [0], a list with INTEGER. */
static int add_der(struct pieces *p, struct mk_bytes der, struct mk_fault *reterr)
{
    static const uint8_t tag_of_length[] = {2, 3, 4, 5}; /* header bytes by length's length */
    size_t at = 0;

    for (unsigned depth = 0; depth < 2; depth++) {
        unsigned len;

        if (der.n < at + 2 || der.p[at] != 0x30)
            return mk_fault(reterr, MK_EMALFORMED, "neither certificate nor revocation list");
        len = der.p[at + 1] < 0x80 ? 0 : der.p[at + 1] & 0x7fu;
        if (len >= sizeof tag_of_length)
            return mk_fault(reterr, MK_EMALFORMED, "neither certificate nor revocation list");
        at += tag_of_length[len];
    }
    return add(p, at < der.n && der.p[at] == 0xa0 ? PIECE_CERTIFICATE : PIECE_CRL, keep(p, der),
               NULL, reterr);
}

static struct mk_bytes trim(struct mk_bytes b)
{
    while (b.n > 0 && isspace(b.p[0]))
        b = MK_BYTES(b.p + 1, b.n - 1);
    while (b.n > 0 && isspace(b.p[b.n - 1]))
        b.n--;
    return b;
}

/* PEM, DER, or DER in hex. */
static int add_x509(struct pieces *p, struct mk_bytes text, struct mk_fault *reterr)
{
    struct mk_bytes t = trim(text);
    uint8_t *der;

    if (t.n > 0 && t.p[0] == '-')
        return add_pem(p, text, reterr);
    if (text.n > 0 && text.p[0] == 0x30 && (text.n < 2 || text.p[1] >= 0x80))
        return add_der(p, text, reterr);
    der = mk_arena_take(&p->arena, t.n / 2 + 1);
    if (mk_unhex(der, t.n / 2, (const char *)t.p, t.n) != 0)
        return mk_fault(reterr, MK_EMALFORMED, "neither PEM nor DER nor hex");
    return add_der(p, MK_BYTES(der, t.n / 2), reterr);
}

/* --- signed JSON ---------------------------------------------------------------------------- */

static int add_signed(struct pieces *p, enum piece_kind kind, struct mk_bytes json,
                      struct mk_bytes signature, struct mk_fault *reterr)
{
    struct mk_bytes hex = trim(signature);
    struct piece *piece = NULL;
    int rv = add(p, kind, keep(p, json), &piece, reterr);

    if (rv == 0 && mk_unhex(piece->signature, 64, (const char *)hex.p, hex.n) != 0)
        rv = mk_fault(reterr, MK_EMALFORMED, "signature: not of 128 hex digits");
    return rv;
}

struct scan {
    const char *p, *end;
};

static void scan_space(struct scan *s)
{
    while (s->p < s->end && isspace((unsigned char)*s->p))
        s->p++;
}

/* Behind the string that begins here. */
static bool scan_string(struct scan *s)
{
    bool escaped = false;

    for (s->p++; s->p < s->end; s->p++) {
        if (*s->p == '"' && !escaped) {
            s->p++;
            return true;
        }
        escaped = *s->p == '\\' && !escaped;
    }
    return false;
}

/* Behind the value that begins here; the text is JSON, so brackets match. */
static bool scan_value(struct scan *s)
{
    unsigned depth = 0;

    while (s->p < s->end) {
        char c = *s->p;

        if (c == '"') {
            if (!scan_string(s))
                return false;
        } else if (depth == 0 && (c == ',' || c == '}')) {
            return true;
        } else {
            if (c == '{' || c == '[')
                depth++;
            else if (c == '}' || c == ']')
                depth--;
            s->p++;
        }
    }
    return false;
}

/* The text of a member of the object json, as it stands there. */
static bool raw_member(struct mk_bytes json, const char *key, struct mk_bytes *ret)
{
    struct scan s = {(const char *)json.p, (const char *)json.p + json.n};
    size_t n = strlen(key);

    scan_space(&s);
    while (s.p < s.end && (*s.p == '{' || *s.p == ',')) {
        const char *name, *value;
        bool match;

        s.p++;
        scan_space(&s);
        name = s.p + 1;
        if (s.p == s.end || *s.p != '"' || !scan_string(&s))
            return false;
        match = (size_t)(s.p - 1 - name) == n && memcmp(name, key, n) == 0;
        scan_space(&s);
        if (s.p == s.end || *s.p++ != ':')
            return false;
        scan_space(&s);
        value = s.p;
        if (!scan_value(&s))
            return false;
        if (match) {
            *ret = trim(MK_BYTES(value, (size_t)(s.p - value)));
            return true;
        }
    }
    return false;
}

/* --- bundles --------------------------------------------------------------------------------- */

/* What one file of everything calls its parts; both kinds of file give these texts. */
enum { TCB_INFO, TCB_SIGNATURE, QE_IDENTITY, QE_SIGNATURE, N_SIGNED, N_FIELDS = 9 };
static const char *const fields[N_FIELDS] = {"tcb_info",
                                             "tcb_info_signature",
                                             "qe_identity",
                                             "qe_identity_signature",
                                             "tcb_info_issuer_chain",
                                             "qe_identity_issuer_chain",
                                             "pck_crl_issuer_chain",
                                             "root_ca_crl",
                                             "pck_crl"};

struct bundle {
    struct mk_bytes v[N_FIELDS];
};

static int add_bundle(struct pieces *p, const struct bundle *b, struct mk_fault *reterr)
{
    int rv = 0;

    for (unsigned i = N_SIGNED; rv == 0 && i < N_FIELDS; i++) {
        struct mk_fault why = {{0}};

        if (b->v[i].p == NULL)
            continue;
        rv = add_x509(p, b->v[i], &why);
        if (rv != 0)
            mk_fault(reterr, rv, "%s: %s", fields[i], why.text);
    }
    if (rv == 0 && b->v[TCB_INFO].p != NULL)
        rv = add_signed(p, PIECE_TCB_INFO, b->v[TCB_INFO], b->v[TCB_SIGNATURE], reterr);
    if (rv == 0 && b->v[QE_IDENTITY].p != NULL)
        rv = add_signed(p, PIECE_QE_IDENTITY, b->v[QE_IDENTITY], b->v[QE_SIGNATURE], reterr);
    return rv;
}

static struct mk_bytes text_of(const json_t *v)
{
    return MK_BYTES(json_string_value(v), json_string_length(v));
}

/* {"tcbInfo": .., "signature": ..} and its like: true when it is one. */
static bool add_signed_member(struct pieces *p, const json_t *o, struct mk_bytes doc,
                              const char *key, enum piece_kind kind, int *ret_rv,
                              struct mk_fault *reterr)
{
    struct mk_bytes raw;

    if (json_object_get(o, key) == NULL)
        return false;
    if (!raw_member(doc, key, &raw))
        *ret_rv = mk_fault(reterr, MK_EMALFORMED, "%s cannot be cut out", key);
    else
        *ret_rv = add_signed(p, kind, raw, text_of(json_object_get(o, "signature")), reterr);
    return true;
}

static int add_json(struct pieces *p, struct mk_bytes doc, struct mk_fault *reterr)
{
    json_error_t where;
    json_t *o = json_loadb((const char *)doc.p, doc.n, JSON_REJECT_DUPLICATES, &where);
    struct bundle b = {0};
    int rv = 0;

    if (o == NULL)
        return mk_fault(reterr, MK_EMALFORMED, "line %d: not JSON: %s", where.line, where.text);
    if (!add_signed_member(p, o, doc, "tcbInfo", PIECE_TCB_INFO, &rv, reterr) &&
        !add_signed_member(p, o, doc, "enclaveIdentity", PIECE_QE_IDENTITY, &rv, reterr)) {
        for (unsigned i = 0; i < N_FIELDS; i++)
            b.v[i] = text_of(json_object_get(o, fields[i]));
        rv = add_bundle(p, &b, reterr);
    }
    json_decref(o);
    return rv;
}

/* --- block scalars of YAML ---------------------------------------------------------------------
 */

/* The next line without its end; what is left in *rest. */
static struct mk_bytes line_next(struct mk_bytes *rest)
{
    const uint8_t *end = memchr(rest->p, '\n', rest->n);
    size_t n = end != NULL ? (size_t)(end - rest->p) : rest->n;
    struct mk_bytes line = MK_BYTES(rest->p, n);

    *rest = end != NULL ? MK_BYTES(end + 1, rest->n - n - 1) : MK_BYTES(rest->p + n, 0);
    return line;
}

static unsigned indent_of(struct mk_bytes line)
{
    unsigned n = 0;

    while (n < line.n && line.p[n] == ' ')
        n++;
    return n;
}

/* The lines that are deeper, without their indent; the last ends of line are cut ("|-"). */
static struct mk_bytes block_read(struct pieces *p, struct mk_bytes *rest)
{
    unsigned indent = indent_of(*rest);
    struct mk_buf out = {0};
    struct mk_bytes kept;

    while (indent > 0 && rest->n > 0) {
        struct mk_bytes after = *rest, line = line_next(&after);

        if (line.n > 0 && indent_of(line) < indent)
            break;
        if (line.n > indent)
            mk_buf_put(&out, line.p + indent, line.n - indent);
        mk_buf_put_u8(&out, '\n');
        *rest = after;
    }
    while (out.n > 0 && out.p[out.n - 1] == '\n')
        out.n--;
    kept = keep(p, mk_buf_bytes(&out));
    mk_buf_done(&out);
    return kept;
}

/* `name: |-` and lines below it, or `name: value`. */
static int add_yaml(struct pieces *p, struct mk_bytes doc, struct mk_fault *reterr)
{
    struct bundle b = {0};

    while (doc.n > 0) {
        struct mk_bytes line = line_next(&doc), value;
        const uint8_t *colon = memchr(line.p, ':', line.n);
        size_t n = colon != NULL ? (size_t)(colon - line.p) : 0;

        if (trim(line).n == 0 || line.p[0] == '#' || line.p[0] == '-')
            continue;
        if (n == 0 || line.p[0] == ' ')
            return mk_fault(reterr, MK_EMALFORMED, "neither JSON, PEM, DER, hex nor block scalars");
        value = trim(MK_BYTES(colon + 1, line.n - n - 1));
        if (value.n > 0 && value.p[0] == '|')
            value = block_read(p, &doc);
        for (unsigned i = 0; i < N_FIELDS; i++) {
            if (mk_bytes_eq(MK_BYTES(line.p, n), MK_BYTES(fields[i], strlen(fields[i]))))
                b.v[i] = value;
        }
    }
    return add_bundle(p, &b, reterr);
}

static bool is_hex(struct mk_bytes t)
{
    for (size_t i = 0; i < t.n; i++) {
        if (!isxdigit(t.p[i]))
            return false;
    }
    return true;
}

int pieces_read(struct pieces *ret, struct mk_bytes doc, struct mk_fault *reterr)
{
    struct mk_bytes t = trim(doc);
    int rv;

    if (doc.n > MK_COLLATERAL_DOC_MAX)
        return mk_fault(reterr, MK_ELIMIT, "longer than %u bytes", MK_COLLATERAL_DOC_MAX);
    if (t.n == 0)
        return mk_fault(reterr, MK_EMALFORMED, "empty");
    if (t.p[0] == '{')
        rv = add_json(ret, doc, reterr);
    else if (t.n > 10 && memcmp(t.p, "-----BEGIN", 10) == 0)
        rv = add_pem(ret, doc, reterr);
    else if ((doc.p[0] == 0x30 && doc.n > 1 && doc.p[1] >= 0x80) || is_hex(t))
        rv = add_x509(ret, doc, reterr);
    else
        rv = add_yaml(ret, doc, reterr);
    if (rv == 0 && ret->n == 0)
        rv = mk_fault(reterr, MK_EMALFORMED, "nothing in it is collateral");
    return rv;
}
