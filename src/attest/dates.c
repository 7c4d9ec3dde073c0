/* dates.c - see the header. Days are counted from the first of March of the year 0: so the
 * leap day is the last of a year, and a month's first day is a linear function. */
#include "attest/dates.h"

#include <stdio.h>

#define DAYS_TO_1970 719468u
#define UNIX_END 253402300799u /* the last second of 9999 */

static unsigned month_days(unsigned year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

int date_to_unix(uint64_t *ret, const struct date *d)
{
    uint64_t year, month, days;

    if (d->year < 1970 || d->year > 9999 || d->month < 1 || d->month > 12 || d->day < 1 ||
        d->day > month_days(d->year, d->month) || d->hour > 23 || d->minute > 59 || d->second > 59)
        return MK_EMALFORMED;
    year = d->month > 2 ? d->year : d->year - 1;
    month = d->month > 2 ? d->month - 3 : d->month + 9;
    days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + d->day - 1 -
           DAYS_TO_1970;
    *ret = ((days * 24 + d->hour) * 60 + d->minute) * 60 + d->second;
    return 0;
}

const char *date_text(uint64_t s, char out[DATE_MAX])
{
    uint64_t days, era, of_era, year, of_year, month, day;

    s = s > UNIX_END ? UNIX_END : s;
    days = s / 86400 + DAYS_TO_1970;
    era = days / 146097;
    of_era = days % 146097;
    year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    of_year = of_era - (365 * year + year / 4 - year / 100);
    month = (5 * of_year + 2) / 153;
    day = of_year - (153 * month + 2) / 5 + 1;
    month = month < 10 ? month + 3 : month - 9;
    year += era * 400 + (month <= 2);
    snprintf(out, DATE_MAX, "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)year % 10000,
             (unsigned)month % 100, (unsigned)day % 100, (unsigned)(s / 3600 % 24),
             (unsigned)(s / 60 % 60), (unsigned)(s % 60));
    return out;
}

int date_parse(uint64_t *ret, struct mk_str text)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:ddZ";
    unsigned v[6] = {0}, field = 0;

    if (text.n != sizeof shape - 1)
        return MK_EMALFORMED;
    for (size_t i = 0; i < text.n; i++) {
        if (shape[i] != 'd') {
            if (text.p[i] != shape[i])
                return MK_EMALFORMED;
            field++;
        } else if (text.p[i] < '0' || text.p[i] > '9') {
            return MK_EMALFORMED;
        } else {
            v[field] = v[field] * 10 + (unsigned)(text.p[i] - '0');
        }
    }
    return date_to_unix(ret, &(struct date){v[0], v[1], v[2], v[3], v[4], v[5]});
}
