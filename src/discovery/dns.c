/* dns.c - see dns.h.
 *
 * Whatever is read comes from anybody on the local network, so every length is compared with what
 * is left before it is believed, a compression pointer must lead to a place before the name that it
 * is part of (so that following them ends), and a message has a bounded number of records. */
#include "discovery/dns.h"

#include "base/assert.h"
#include <mosaik/error.h>

#include <string.h>

#define HEADER 12u
#define LABEL_MAX 63u
#define FLAGS_ERROR 0x780fu /* opcode, response code */

bool mk_dns_name_eq(const struct mk_dns_name *a, const struct mk_dns_name *b)
{
    return a->n == b->n && memcmp(a->b, b->b, a->n) == 0;
}

struct mk_dns_name mk_dns_name_of(const char *dotted)
{
    struct mk_dns_name name = {.n = 0};
    size_t label = 0, n = strlen(dotted);

    MK_ASSERT(n > 0 && n < MK_DNS_NAME_MAX - 2);
    name.n = 1;
    for (size_t i = 0; i < n; i++) {
        if (dotted[i] == '.') {
            name.b[label] = (uint8_t)(name.n - label - 1);
            label = name.n++;
        } else {
            name.b[name.n++] = (uint8_t)dotted[i];
        }
    }
    name.b[label] = (uint8_t)(name.n - label - 1);
    MK_ASSERT(name.b[label] > 0 && name.b[label] <= LABEL_MAX);
    name.b[name.n++] = 0;
    return name;
}

/* --- reading ------------------------------------------------------------------------------- */

static unsigned u16_at(struct mk_bytes all, size_t at)
{
    return 256u * all.p[at] + all.p[at + 1];
}

int mk_dns_open(struct mk_dns_reader *r, struct mk_bytes bytes)
{
    unsigned records;

    if (bytes.n > MK_DNS_MESSAGE_MAX)
        return MK_ELIMIT;
    if (bytes.n < HEADER || (u16_at(bytes, 2) & FLAGS_ERROR) != 0)
        return MK_EMALFORMED;
    *r = (struct mk_dns_reader){.all = bytes, .at = HEADER, .flags = (uint16_t)u16_at(bytes, 2)};
    r->questions = u16_at(bytes, 4);
    records = u16_at(bytes, 6) + u16_at(bytes, 8) + u16_at(bytes, 10);
    r->records = records;
    return r->questions + records > MK_DNS_RECORDS_MAX ? MK_ELIMIT : 0;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* One label at `from`, appended; false when it does not fit. */
static bool take_label(const struct mk_dns_reader *r, size_t from, struct mk_dns_name *ret)
{
    size_t n = r->all.p[from];

    if (n > r->all.n - from - 1 || ret->n + n + 2 > MK_DNS_NAME_MAX)
        return false;
    ret->b[ret->n++] = (uint8_t)n;
    for (size_t i = 0; i < n; i++)
        ret->b[ret->n++] = lower(r->all.p[from + 1 + i]);
    return true;
}

int mk_dns_read_name(const struct mk_dns_reader *r, size_t *at, struct mk_dns_name *ret)
{
    size_t from = *at, least = *at, end = 0;

    ret->n = 0;
    for (;;) {
        uint8_t c;

        if (from >= r->all.n)
            return MK_EMALFORMED;
        c = r->all.p[from];
        if (c == 0)
            break;
        if (c <= LABEL_MAX) {
            if (!take_label(r, from, ret))
                return MK_EMALFORMED;
            from += 1u + c;
            continue;
        }
        if (c < 0xc0 || from + 1 >= r->all.n)
            return MK_EMALFORMED;
        end = end == 0 ? from + 2 : end;
        from = u16_at(r->all, from) & 0x3fff;
        if (from >= least || from < HEADER)
            return MK_EMALFORMED;
        least = from;
    }
    ret->b[ret->n++] = 0;
    *at = end == 0 ? from + 1 : end;
    return 0;
}

bool mk_dns_question(struct mk_dns_reader *r, struct mk_dns_question *ret)
{
    if (r->failed || r->questions == 0)
        return false;
    if (mk_dns_read_name(r, &r->at, &ret->name) != 0 || r->all.n - r->at < 4) {
        r->failed = true;
        return false;
    }
    ret->type = u16_at(r->all, r->at);
    ret->class = u16_at(r->all, r->at + 2) & ~MK_DNS_FLUSH;
    r->at += 4;
    r->questions--;
    return true;
}

bool mk_dns_record(struct mk_dns_reader *r, struct mk_dns_record *ret)
{
    size_t n;

    if (r->failed || r->questions > 0 || r->records == 0)
        return false;
    r->failed = true;
    if (mk_dns_read_name(r, &r->at, &ret->name) != 0 || r->all.n - r->at < 10)
        return false;
    ret->type = u16_at(r->all, r->at);
    ret->class = u16_at(r->all, r->at + 2) & ~MK_DNS_FLUSH;
    ret->ttl = (uint32_t)u16_at(r->all, r->at + 4) << 16 | u16_at(r->all, r->at + 6);
    n = u16_at(r->all, r->at + 8);
    r->at += 10;
    if (n > r->all.n - r->at)
        return false;
    ret->data_at = r->at;
    ret->data = MK_BYTES(r->all.p + r->at, n);
    r->at += n;
    r->records--;
    r->failed = false;
    return true;
}

/* --- writing ------------------------------------------------------------------------------- */

void mk_dns_put_u16(struct mk_buf *out, unsigned v)
{
    mk_buf_put_u8(out, (uint8_t)(v >> 8));
    mk_buf_put_u8(out, (uint8_t)v);
}

void mk_dns_put_header(struct mk_buf *out, unsigned flags, unsigned questions, unsigned answers,
                       unsigned additional)
{
    mk_dns_put_u16(out, 0); /* multicast has no ids: RFC 6762 section 18.1 */
    mk_dns_put_u16(out, flags);
    mk_dns_put_u16(out, questions);
    mk_dns_put_u16(out, answers);
    mk_dns_put_u16(out, 0);
    mk_dns_put_u16(out, additional);
}

void mk_dns_put_question(struct mk_buf *out, const struct mk_dns_name *name, unsigned type)
{
    mk_buf_put(out, name->b, name->n);
    mk_dns_put_u16(out, type);
    mk_dns_put_u16(out, MK_DNS_IN);
}

void mk_dns_put_record(struct mk_buf *out, const struct mk_dns_name *name, unsigned type,
                       unsigned class, uint32_t ttl, struct mk_bytes data)
{
    mk_buf_put(out, name->b, name->n);
    mk_dns_put_u16(out, type);
    mk_dns_put_u16(out, class);
    mk_dns_put_u16(out, ttl >> 16);
    mk_dns_put_u16(out, ttl & 0xffff);
    mk_dns_put_u16(out, (unsigned)data.n);
    mk_buf_put(out, data.p, data.n);
}
