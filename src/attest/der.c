/* der.c - see the header. Each length is compared with what is left before it is used. */
#include "attest/der.h"

#include "attest/dates.h"

#include <string.h>

struct der der_of(struct mk_bytes b)
{
    return (struct der){b.p, b.n > 0 ? b.p + b.n : b.p, false};
}

bool der_done(const struct der *d)
{
    return !d->bad && d->p == d->end;
}

bool der_more(const struct der *d)
{
    return !d->bad && d->p != d->end;
}

int der_peek(const struct der *d)
{
    return der_more(d) ? d->p[0] : -1;
}

static struct mk_bytes der_fail(struct der *d)
{
    d->bad = true;
    return MK_BYTES(NULL, 0);
}

/* The length at *at, which moves behind it; false when it is not minimal or too long. */
static bool der_length(const struct der *d, const uint8_t **at, size_t *ret)
{
    const uint8_t *p = *at;
    unsigned n;
    size_t v = 0;

    if (p == d->end)
        return false;
    n = *p++;
    if (n < 0x80) {
        v = n;
    } else {
        n &= 0x7f;
        if (n == 0 || n > 3 || (size_t)(d->end - p) < n || p[0] == 0)
            return false;
        for (; n > 0; n--)
            v = v << 8 | *p++;
        if (v < 0x80)
            return false;
    }
    *at = p;
    *ret = v;
    return v <= (size_t)(d->end - p);
}

struct mk_bytes der_take(struct der *d, uint8_t tag)
{
    const uint8_t *p;
    size_t n;

    if (der_peek(d) != tag)
        return der_fail(d);
    p = d->p + 1;
    if (!der_length(d, &p, &n))
        return der_fail(d);
    d->p = p + n;
    return MK_BYTES(p, n);
}

struct mk_bytes der_take_whole(struct der *d, uint8_t tag)
{
    const uint8_t *start = d->p;

    der_take(d, tag);
    return d->bad ? MK_BYTES(NULL, 0) : MK_BYTES(start, (size_t)(d->p - start));
}

struct der der_enter(struct der *d, uint8_t tag)
{
    struct der in = der_of(der_take(d, tag));

    in.bad = d->bad;
    return in;
}

bool der_take_oid(struct der *d, struct mk_bytes oid)
{
    struct mk_bytes got = der_take(d, DER_OID);

    return !d->bad && mk_bytes_eq(got, oid);
}

uint32_t der_take_u32(struct der *d)
{
    struct mk_bytes b = der_take(d, DER_INTEGER);
    uint32_t v = 0;

    if (d->bad || b.n == 0 || b.n > 5 || b.p[0] >= 0x80 || (b.n == 5 && b.p[0] != 0) ||
        (b.n > 1 && b.p[0] == 0 && b.p[1] < 0x80)) {
        d->bad = true;
        return 0;
    }
    for (size_t i = 0; i < b.n; i++)
        v = v << 8 | b.p[i];
    return v;
}

bool der_take_bool(struct der *d)
{
    struct mk_bytes b = der_take(d, DER_BOOLEAN);

    if (d->bad || b.n != 1 || (b.p[0] != 0 && b.p[0] != 0xff)) {
        d->bad = true;
        return false;
    }
    return b.p[0] != 0;
}

/* n digits as a number; *bad when one is none. */
static unsigned digits(const uint8_t *p, unsigned n, bool *bad)
{
    unsigned v = 0;

    for (; n > 0; n--, p++) {
        *bad |= *p < '0' || *p > '9';
        v = v * 10 + (unsigned)(*p - '0');
    }
    return v;
}

uint64_t der_take_time(struct der *d)
{
    bool utc = der_peek(d) == DER_UTC_TIME, bad = false;
    struct mk_bytes b = der_take(d, utc ? DER_UTC_TIME : DER_GENERALIZED_TIME);
    unsigned years = utc ? 2 : 4, v[5];
    struct date date;
    uint64_t s;

    if (d->bad || b.n != years + 11 || b.p[b.n - 1] != 'Z') {
        d->bad = true;
        return 0;
    }
    date.year = digits(b.p, years, &bad);
    if (utc)
        date.year += date.year < 50 ? 2000 : 1900;
    for (unsigned i = 0; i < 5; i++)
        v[i] = digits(b.p + years + 2 * i, 2, &bad);
    date.month = v[0];
    date.day = v[1];
    date.hour = v[2];
    date.minute = v[3];
    date.second = v[4];
    if (bad || date_to_unix(&s, &date) != 0) {
        d->bad = true;
        return 0;
    }
    return s;
}

struct mk_bytes der_take_bits(struct der *d)
{
    struct mk_bytes b = der_take(d, DER_BIT_STRING);

    if (d->bad || b.n == 0 || b.p[0] != 0)
        return der_fail(d);
    return MK_BYTES(b.p + 1, b.n - 1);
}
