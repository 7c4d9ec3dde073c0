/* dates.h - unix seconds and the dates of certificates and collateral. UTC, whole seconds. */
#ifndef ATTEST_DATES_H
#define ATTEST_DATES_H

#include <mosaik/bytes.h>
#include <mosaik/error.h>

#define DATE_MAX 24u /* room for "2026-01-31T23:59:59Z" */

struct date {
    unsigned year, month, day, hour, minute, second;
};

/** MK_EMALFORMED: no such day, or before 1970. */
int date_to_unix(uint64_t *ret, const struct date *d);
/** "2026-01-31T23:59:59Z"; s beyond the year 9999 is printed as the end of it. Returns out. */
const char *date_text(uint64_t s, char out[DATE_MAX]);
/** The same text read, exactly of that shape. */
int date_parse(uint64_t *ret, struct mk_str text);

#endif /* ATTEST_DATES_H */
