/* times.c - see the header. */
#include "tickets/times.h"

#include <stdio.h>

const char *mk_ticket_utc(uint64_t s, char out[32])
{
    /* Days since 0000-03-01, in years that end with February: the leap day is last. */
    uint64_t days = s / 86400 + 719468, era = days / 146097, of_era = days % 146097;
    uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    uint64_t month = (5 * of_year + 2) / 153, day = of_year - (153 * month + 2) / 5 + 1;

    month = month < 10 ? month + 3 : month - 9;
    year += era * 400 + (month <= 2);
    snprintf(out, 32, "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)year % 10000,
             (unsigned)month % 100, (unsigned)day % 100, (unsigned)(s / 3600 % 24),
             (unsigned)(s / 60 % 60), (unsigned)(s % 60));
    return out;
}

int mk_ticket_times(const char *what, uint64_t nbf, uint64_t exp, uint64_t now_ms,
                    struct mk_fault *reterr)
{
    char text[32];

    if (now_ms >= exp * 1000)
        return mk_fault(reterr, MK_EREFUSED, "%s expired at %s", what, mk_ticket_utc(exp, text));
    if (now_ms + MK_TICKET_SKEW_MS < nbf * 1000)
        return mk_fault(reterr, MK_EREFUSED, "%s is not valid before %s", what,
                        mk_ticket_utc(nbf, text));
    return 0;
}
