/* dns.h - DNS messages (RFC 1035 section 4), as far as multicast DNS needs them: strict in reading,
 * without compression in writing.
 *
 *     struct mk_dns_reader r;
 *     rv = mk_dns_open(&r, bytes);
 *     while (mk_dns_question(&r, &q)) ...
 *     while (mk_dns_record(&r, &rec)) ...
 *     if (mk_dns_failed(&r)) ...
 */
#ifndef DISCOVERY_DNS_H
#define DISCOVERY_DNS_H

#include <mosaik/bytes.h>

#define MK_DNS_NAME_MAX 255u    /* bytes on the wire, lengths and the root's 0 included */
#define MK_DNS_RECORDS_MAX 128u /* questions and records of one message */
#define MK_DNS_MESSAGE_MAX 9000u

enum mk_dns_type {
    MK_DNS_A = 1,
    MK_DNS_PTR = 12,
    MK_DNS_TXT = 16,
    MK_DNS_SRV = 33,
    MK_DNS_ANY = 255
};
#define MK_DNS_IN 1u
#define MK_DNS_FLUSH 0x8000u    /* in a record's class: RFC 6762 section 10.2 */
#define MK_DNS_RESPONSE 0x8400u /* flags: a response, authoritative */

/** As on the wire without compression: labels, each with its length before it, and a 0. Letters are
 * in lower case, since names are compared without regard to it. */
struct mk_dns_name {
    uint8_t b[MK_DNS_NAME_MAX];
    size_t n;
};
bool mk_dns_name_eq(const struct mk_dns_name *a, const struct mk_dns_name *b);
/** Of labels with dots between them ("_x._tcp.local"); for names of our own (asserts). */
struct mk_dns_name mk_dns_name_of(const char *dotted);

struct mk_dns_reader {
    struct mk_bytes all;
    size_t at;
    uint16_t flags;
    unsigned questions, records; /* left */
    bool failed;
};
struct mk_dns_question {
    struct mk_dns_name name;
    unsigned type, class;
};
struct mk_dns_record {
    struct mk_dns_name name;
    unsigned type, class; /* without MK_DNS_FLUSH */
    uint32_t ttl;
    struct mk_bytes data; /* lent from the message */
    size_t data_at;       /* where it begins in the message */
};
/** 0; MK_EMALFORMED: no header; an opcode that is no query, or a code of an error; MK_ELIMIT: over
 * MK_DNS_MESSAGE_MAX, or more records than MK_DNS_RECORDS_MAX. bytes borrowed while reading. */
int mk_dns_open(struct mk_dns_reader *r, struct mk_bytes bytes);
/** The next question; false after the last, and when it is malformed (r->failed). */
bool mk_dns_question(struct mk_dns_reader *r, struct mk_dns_question *ret);
/** The next record of any section, once there are no questions left. */
bool mk_dns_record(struct mk_dns_reader *r, struct mk_dns_record *ret);
/** A name at a place in the message; *at moves behind it. MK_EMALFORMED: over its end, a label of a
 * kind that there is not, a pointer that does not lead back, too long. */
int mk_dns_read_name(const struct mk_dns_reader *r, size_t *at, struct mk_dns_name *ret);

void mk_dns_put_header(struct mk_buf *out, unsigned flags, unsigned questions, unsigned answers,
                       unsigned additional);
void mk_dns_put_question(struct mk_buf *out, const struct mk_dns_name *name, unsigned type);
/** Name, type, class and time to live; then the data, whose length is given. */
void mk_dns_put_record(struct mk_buf *out, const struct mk_dns_name *name, unsigned type,
                       unsigned class, uint32_t ttl, struct mk_bytes data);
void mk_dns_put_u16(struct mk_buf *out, unsigned v); /* big-endian, as all numbers here */

#endif
