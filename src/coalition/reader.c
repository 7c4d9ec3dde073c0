/* reader.c - fields and values of TOML files; see reader.h.
 *
 * Every message names the key, what is wrong, and what would be right: the reader is
 * a person with an editor open. */
#include "coalition/reader.h"

#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int reader_fail(struct reader *r, struct toml_place at, const char *fmt, ...)
{
    char text[MK_FAULT_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return mk_fault(r->reterr, MK_EMALFORMED, "%s:%u:%u: %s", r->file, at.line, at.column, text);
}

void reader_warn(struct reader *r, struct toml_place at, const char *fmt, ...)
{
    char text[MK_FAULT_MAX];
    struct mk_fault line;
    struct mk_str copy;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    mk_fault(&line, 0, "%s:%u:%u: %s", r->file, at.line, at.column, text);
    copy = mk_arena_str(r->arena, mk_str_of(line.text));
    mk_buf_put(&r->warnings, &copy, sizeof copy);
}

void reader_done(struct reader *r, struct coa_warnings *ret_warnings,
                 struct coa_foreign_issuers *ret_foreign)
{
    ret_warnings->n = r->warnings.n / sizeof(struct mk_str);
    ret_warnings->v = mk_arena_copy(r->arena, r->warnings.p, r->warnings.n);
    if (ret_foreign != NULL) {
        ret_foreign->n = r->foreign.n / sizeof(struct coa_foreign_issuer);
        ret_foreign->v = mk_arena_copy(r->arena, r->foreign.p, r->foreign.n);
    }
    mk_buf_done(&r->warnings);
    mk_buf_done(&r->foreign);
}

/* --- tables --------------------------------------------------------------------- */

static const char *kind_name(enum toml_kind kind)
{
    static const char *const names[] = {"a table",  "an array",  "a string", "an integer",
                                        "a number", "a boolean", "a date"};

    return names[kind];
}

int read_expect(struct reader *r, const struct toml_node *n, enum toml_kind kind)
{
    if (n->kind == kind)
        return 0;
    if (n->key.n == 0)
        return reader_fail(r, n->at, "an item is %s; it must be %s", kind_name(n->kind),
                           kind_name(kind));
    return reader_fail(r, n->at, "%s is %s; it must be %s", n->key.p, kind_name(n->kind),
                       kind_name(kind));
}

static const struct field *find_field(const struct field *fields, size_t n_fields,
                                      struct mk_str key)
{
    for (size_t i = 0; i < n_fields; i++) {
        if (mk_str_is(key, fields[i].key))
            return &fields[i];
    }
    return NULL;
}

static int unknown_key(struct reader *r, const struct toml_node *n, const char *what,
                       const struct field *fields, size_t n_fields)
{
    char known[200] = "";
    size_t at = 0;

    for (size_t i = 0; i < n_fields && at < sizeof known; i++) {
        int len = snprintf(known + at, sizeof known - at, "%s%s", i > 0 ? ", " : "", fields[i].key);

        at += len > 0 ? (size_t)len : 0;
    }
    return reader_fail(r, n->key_at, "unknown key \"%s\" in %s; known are %s", n->key.p, what,
                       known);
}

int read_table(struct reader *r, const struct toml_node *n, const char *what,
               const struct field *fields, size_t n_fields, void *ret)
{
    uint64_t seen = 0;
    int rv;

    MK_ASSERT(n_fields <= 64);
    rv = read_expect(r, n, TOML_TABLE);
    if (rv != 0)
        return rv;
    for (size_t i = 0; i < n->n; i++) {
        const struct toml_node *child = &n->children[i];
        const struct field *f = find_field(fields, n_fields, child->key);

        if (f == NULL)
            return unknown_key(r, child, what, fields, n_fields);
        rv = f->read(r, child, f, (char *)ret + f->offset);
        if (rv != 0)
            return rv;
        seen |= 1ull << (f - fields);
    }
    for (size_t i = 0; i < n_fields; i++) {
        if (fields[i].required && (seen >> i & 1) == 0)
            return reader_fail(r, n->at, "%s has no %s; it must be stated", what, fields[i].key);
    }
    return 0;
}

int read_tables(struct reader *r, const struct toml_node *n, const char *what, size_t limit,
                const struct field *fields, size_t n_fields, size_t size, void **ret, size_t *ret_n)
{
    char *items;
    int rv;

    rv = read_expect(r, n, TOML_ARRAY);
    if (rv != 0)
        return rv;
    if (n->n > limit)
        return reader_fail(r, n->children[limit].at, "more than %zu of %s; that is the limit",
                           limit, what);
    items = mk_arena_take(r->arena, n->n * size);
    for (size_t i = 0; i < n->n; i++) {
        rv = read_table(r, &n->children[i], what, fields, n_fields, items + i * size);
        if (rv != 0)
            return rv;
    }
    *ret = items;
    *ret_n = n->n;
    return 0;
}

/* How messages name a node: items of an array have no key. */
static const char *name_of(const struct toml_node *n)
{
    return n->key.n > 0 ? n->key.p : "an item";
}

/* --- texts and numbers ------------------------------------------------------------ */

int read_ignore(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    (void)r;
    (void)n;
    (void)f;
    (void)ret;
    return 0;
}

int read_schema_version(struct reader *r, const struct toml_node *n, const struct field *f,
                        void *ret)
{
    int rv = read_expect(r, n, TOML_INTEGER);

    (void)f;
    (void)ret;
    if (rv != 0)
        return rv;
    if (n->integer != COA_SCHEMA_VERSION)
        return reader_fail(r, n->at, "schema_version is %lld; this build reads version %u",
                           (long long)n->integer, COA_SCHEMA_VERSION);
    return 0;
}

int read_name(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    struct mk_fault rule;
    const char *warning;
    int rv;

    (void)f;
    rv = read_expect(r, n, TOML_TEXT);
    if (rv != 0)
        return rv;
    if (coa_name_check(n->text, &rule) != 0)
        return reader_fail(r, n->at,
                           "%s is no name: %s; a name is 1 to 128 bytes without control "
                           "characters and '|'",
                           name_of(n), rule.text);
    warning = coa_name_warning(n->text);
    if (warning != NULL)
        reader_warn(r, n->at, "%s \"%s\" %s", name_of(n), n->text.p, warning);
    *(struct mk_str *)ret = n->text;
    return 0;
}

int read_text(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    int rv = read_expect(r, n, TOML_TEXT);

    if (rv != 0)
        return rv;
    if (n->text.n < f->min)
        return reader_fail(r, n->at, "%s is empty; state it or leave the key out", name_of(n));
    if (n->text.n > f->max)
        return reader_fail(r, n->at, "%s has %zu bytes; at most %llu are allowed", name_of(n),
                           n->text.n, (unsigned long long)f->max);
    if (memchr(n->text.p, 0, n->text.n) != NULL)
        return reader_fail(r, n->at, "%s holds U+0000; a text must not", name_of(n));
    *(struct mk_str *)ret = n->text;
    return 0;
}

static int read_integer(struct reader *r, const struct toml_node *n, const struct field *f,
                        uint64_t *ret)
{
    int rv = read_expect(r, n, TOML_INTEGER);

    if (rv != 0)
        return rv;
    if (n->integer < 0 || (uint64_t)n->integer < f->min || (uint64_t)n->integer > f->max)
        return reader_fail(r, n->at, "%s is %lld; it must be %llu to %llu", name_of(n),
                           (long long)n->integer, (unsigned long long)f->min,
                           (unsigned long long)f->max);
    *ret = (uint64_t)n->integer;
    return 0;
}

#define READ_UNSIGNED(name, T)                                                              \
    int name(struct reader *r, const struct toml_node *n, const struct field *f, void *ret) \
    {                                                                                       \
        uint64_t v = 0;                                                                     \
        int rv = read_integer(r, n, f, &v);                                                 \
                                                                                            \
        if (rv == 0)                                                                        \
            *(T *)ret = (T)v;                                                               \
        return rv;                                                                          \
    }
READ_UNSIGNED(read_u8, uint8_t)
READ_UNSIGNED(read_u16, uint16_t)
READ_UNSIGNED(read_u32, uint32_t)
READ_UNSIGNED(read_u64, uint64_t)

/* A fraction of one as basis points: the double that four decimals make is exact enough to
 * tell whether there were more. */
int read_bps(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    double v;
    long bps;

    (void)f;
    if (n->kind != TOML_FLOAT && n->kind != TOML_INTEGER)
        return read_expect(r, n, TOML_FLOAT);
    v = n->kind == TOML_FLOAT ? n->real : (double)n->integer;
    if (!(v >= 0 && v <= 1))
        return reader_fail(r, n->at, "%s is out of range; it must be 0 to 1", name_of(n));
    bps = (long)(v * 10000 + 0.5);
    if ((double)bps / 10000 != v)
        return reader_fail(r, n->at, "%s has more than four decimals; at most four are kept",
                           name_of(n));
    *(uint16_t *)ret = (uint16_t)bps;
    return 0;
}

/* --- hex ---------------------------------------------------------------------------- */

/* size bytes of hex; what is "an id", "a peer". */
static int read_digits(struct reader *r, const struct toml_node *n, const char *what, void *out,
                       size_t size)
{
    const char *key = name_of(n);
    int rv = read_expect(r, n, TOML_TEXT);

    if (rv != 0)
        return rv;
    if (n->text.n >= 2 && n->text.p[0] == '0' && (n->text.p[1] == 'x' || n->text.p[1] == 'X'))
        return reader_fail(r, n->at, "%s starts with 0x; %s is written as %zu hex digits alone",
                           key, what, 2 * size);
    if (n->text.n != 2 * size)
        return reader_fail(r, n->at, "%s has %zu characters; %s is exactly %zu hex digits", key,
                           n->text.n, what, 2 * size);
    if (mk_unhex(out, size, n->text.p, n->text.n) != 0)
        return reader_fail(r, n->at,
                           "%s holds a character that is no hex digit; %s is exactly "
                           "%zu hex digits",
                           key, what, 2 * size);
    return 0;
}

static int read_nonzero(struct reader *r, const struct toml_node *n, const char *what,
                        uint8_t out[32])
{
    int rv = read_digits(r, n, what, out, 32);

    if (rv == 0 && memcmp(out, MK_ZERO_ID.b, 32) == 0)
        return reader_fail(r, n->at,
                           "%s is all zero, which stands for an absent id; give the id "
                           "or leave the key out",
                           name_of(n));
    return rv;
}

int read_id(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    (void)f;
    return read_nonzero(r, n, "an id", ((struct mk_id *)ret)->b);
}

int read_opt_id(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    struct mk_opt_id *id = ret;

    (void)f;
    id->some = true;
    return read_nonzero(r, n, "an id", id->v.b);
}

int read_network(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    struct mk_opt_id *id = ret;
    int rv = read_expect(r, n, TOML_TEXT);

    (void)f;
    if (rv != 0)
        return rv;
    if (n->text.n == 0)
        return reader_fail(r, n->at,
                           "network is empty; give a text or 64 hex digits, or leave "
                           "the key out for mosaik.universe");
    *id = (struct mk_opt_id){true, mk_id_of_text(n->text)};
    if (mk_id_is_zero(&id->v))
        return reader_fail(r, n->at,
                           "network is all zero, which stands for an absent id; give "
                           "the id or leave the key out");
    return 0;
}

int read_opt_peer(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    struct mk_opt_peer *peer = ret;

    (void)f;
    peer->some = true;
    return read_nonzero(r, n, "a peer", peer->v.b);
}

int read_hex(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    struct mk_bytes *bytes = ret;
    uint8_t *out;
    int rv = read_expect(r, n, TOML_TEXT);

    if (rv != 0)
        return rv;
    if (n->text.n >= 2 && n->text.p[0] == '0' && (n->text.p[1] == 'x' || n->text.p[1] == 'X'))
        return reader_fail(r, n->at, "%s starts with 0x; bytes are written as hex digits alone",
                           name_of(n));
    if (n->text.n / 2 < f->min || n->text.n / 2 > f->max)
        return reader_fail(r, n->at, "%s has %zu bytes; it must have %llu to %llu", name_of(n),
                           n->text.n / 2, (unsigned long long)f->min, (unsigned long long)f->max);
    out = mk_arena_take(r->arena, n->text.n / 2);
    if (mk_unhex(out, n->text.n / 2, n->text.p, n->text.n) != 0)
        return reader_fail(r, n->at, "%s is not hex; bytes are written as pairs of hex digits",
                           name_of(n));
    *bytes = (struct mk_bytes){out, n->text.n / 2};
    return 0;
}

int read_member_id(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    (void)f;
    return read_digits(r, n, "a member id", ret, sizeof(struct mk_member_id));
}

int read_b32(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    (void)f;
    return read_digits(r, n, "a root", ret, sizeof(struct mk_b32));
}

int read_b48(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    (void)f;
    return read_digits(r, n, "a measurement", ret, sizeof(struct mk_b48));
}

int read_opt_b48(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    struct mk_opt_b48 *b = ret;

    b->some = true;
    return read_b48(r, n, f, &b->v);
}

#define REGISTER(name)                                                           \
    {                                                                            \
#name, read_opt_b48, offsetof(struct mk_measurements, name), false, 0, 0 \
    }
const struct field measurements_fields[] = {
    {"mr_td", read_b48, offsetof(struct mk_measurements, mr_td), true, 0, 0},
    REGISTER(mr_config_id),
    REGISTER(mr_owner),
    REGISTER(mr_owner_config),
    REGISTER(rtmr0),
    REGISTER(rtmr1),
    REGISTER(rtmr2),
    REGISTER(rtmr3),
};
_Static_assert(sizeof measurements_fields / sizeof measurements_fields[0] == MEASUREMENTS_FIELDS,
               "all registers");

int read_measurements(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    struct mk_opt_measurements *m = ret;

    (void)f;
    m->some = true;
    return read_table(r, n, "measurements", FIELDS(measurements_fields), &m->v);
}

static int id_cmp(const void *a, const void *b)
{
    return mk_id_cmp(a, b);
}

int read_id_set(struct reader *r, const struct toml_node *n, size_t limit, struct mk_id **ret,
                size_t *ret_n)
{
    struct mk_id *ids;
    int rv;

    rv = read_expect(r, n, TOML_ARRAY);
    if (rv != 0)
        return rv;
    if (n->n == 0 || n->n > limit)
        return reader_fail(r, n->at, "%s has %zu items; it must have 1 to %zu", name_of(n), n->n,
                           limit);
    ids = mk_arena_take(r->arena, n->n * sizeof *ids);
    for (size_t i = 0; i < n->n; i++) {
        rv = read_id(r, &n->children[i], NULL, &ids[i]);
        if (rv != 0)
            return rv;
    }
    qsort(ids, n->n, sizeof *ids, id_cmp);
    for (size_t i = 1; i < n->n; i++) {
        if (mk_id_eq(&ids[i - 1], &ids[i]))
            return reader_fail(r, n->at, "%s holds an item twice; items must be distinct",
                               name_of(n));
    }
    *ret = ids;
    *ret_n = n->n;
    return 0;
}

/* --- contacts ------------------------------------------------------------------------- */

static const char *port_rule(struct mk_str port)
{
    unsigned long v = 0;

    if (port.n == 0 || port.n > 5 || port.p[0] == '0')
        return "the port must be 1 to 65535";
    for (size_t i = 0; i < port.n; i++) {
        if (port.p[i] < '0' || port.p[i] > '9')
            return "the port must be 1 to 65535";
        v = v * 10 + (unsigned long)(port.p[i] - '0');
    }
    return v > 65535 ? "the port must be 1 to 65535" : NULL;
}

static const char *host_rule(struct mk_str host)
{
    bool bracketed = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';

    if (host.n == 0)
        return "the host is missing";
    if (bracketed)
        host = (struct mk_str){host.p + 1, host.n - 2};
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '.' || c == '-' || c == '_';

        if (!plain && !(bracketed && (c == ':' || c == '%')))
            return "the host is a name, an IPv4 address, or an IPv6 address in brackets";
    }
    return NULL;
}

int coa_contact_parse(struct coa_contact *ret, struct mk_str text, struct mk_fault *reterr)
{
    static const char form[] = "a contact is <64 hex digits>@host:port";
    const char *colon, *rule;
    struct mk_peer peer;

    if (text.n < 65 || text.p[64] != '@' || mk_peer_unhex(&peer, (struct mk_str){text.p, 64}) != 0)
        return mk_fault(reterr, MK_EMALFORMED, "%s", form);
    if (memcmp(peer.b, MK_ZERO_ID.b, 32) == 0)
        return mk_fault(reterr, MK_EMALFORMED, "the peer is all zero");
    if (text.n > MK_ADDRESS_MAX)
        return mk_fault(reterr, MK_ELIMIT, "a contact has at most %u bytes", MK_ADDRESS_MAX);
    colon = memrchr(text.p + 65, ':', text.n - 65);
    if (colon == NULL)
        return mk_fault(reterr, MK_EMALFORMED, "the port is missing; %s", form);
    rule = host_rule((struct mk_str){text.p + 65, (size_t)(colon - text.p) - 65});
    if (rule == NULL)
        rule = port_rule((struct mk_str){colon + 1, text.n - (size_t)(colon + 1 - text.p)});
    if (rule != NULL)
        return mk_fault(reterr, MK_EMALFORMED, "%s; %s", rule, form);
    *ret = (struct coa_contact){peer, text};
    return 0;
}

static int read_contact_list(struct reader *r, const struct toml_node *n, size_t limit,
                             struct coa_contact **ret)
{
    struct coa_contact *v;
    struct mk_fault rule;
    int rv;

    rv = read_expect(r, n, TOML_ARRAY);
    if (rv != 0)
        return rv;
    if (n->n > limit)
        return reader_fail(r, n->children[limit].at, "%s has %zu items; at most %zu are allowed",
                           n->key.p, n->n, limit);
    v = mk_arena_take(r->arena, n->n * sizeof *v);
    for (size_t i = 0; i < n->n; i++) {
        rv = read_expect(r, &n->children[i], TOML_TEXT);
        if (rv != 0)
            return rv;
        if (coa_contact_parse(&v[i], n->children[i].text, &rule) != 0)
            return reader_fail(r, n->children[i].at, "bad item of %s: %s", n->key.p, rule.text);
    }
    *ret = v;
    return 0;
}

int read_contacts(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    struct coa_contact *v;
    int rv = read_contact_list(r, n, MK_PEER_LIST_MAX, &v);

    (void)f;
    if (rv == 0)
        *(struct coa_contacts *)ret = (struct coa_contacts){v, n->n};
    return rv;
}

static int contact_cmp(const void *a, const void *b)
{
    const struct coa_contact *x = a, *y = b;

    return mk_peer_cmp(&x->peer, &y->peer);
}

int read_committee(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    struct coa_contact *v;
    int rv;

    (void)f;
    rv = read_contact_list(r, n, MK_ROSTER_MAX, &v);
    if (rv != 0)
        return rv;
    if (n->n == 0)
        return reader_fail(r, n->at, "%s is empty; a roster has 1 to %u peers", n->key.p,
                           MK_ROSTER_MAX);
    for (size_t i = 0; i < n->n; i++) {
        for (size_t k = 0; k < i; k++) {
            if (mk_peer_eq(&v[i].peer, &v[k].peer))
                return reader_fail(r, n->children[i].at,
                                   "a peer stands twice in %s; the peers of "
                                   "a roster are distinct",
                                   n->key.p);
        }
    }
    if (n->n % 2 == 0)
        reader_warn(r, n->at,
                    "%s has %zu peers; an even number tolerates no more failures than "
                    "one less",
                    n->key.p, n->n);
    qsort(v, n->n, sizeof *v, contact_cmp);
    *(struct coa_contacts *)ret = (struct coa_contacts){v, n->n};
    return 0;
}

int read_publish(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    static const struct field fields[] = {
        {"change_channel", read_text, offsetof(struct coa_publish, change_channel), false, 1, 2048},
        {"contact", read_text, offsetof(struct coa_publish, contact), false, 1, 2048},
        {"notes", read_text, offsetof(struct coa_publish, notes), false, 1, 65536},
    };

    (void)f;
    return read_table(r, n, "[publish]", FIELDS(fields), ret);
}
