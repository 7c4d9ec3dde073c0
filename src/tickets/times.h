/* times.h - when a ticket or token counts, and how its refusal says so. */
#ifndef TICKETS_TIMES_H
#define TICKETS_TIMES_H

#include <mosaik/error.h>
#include <stdint.h>

#define MK_TICKET_SKEW_MS 30000u /* a clock behind the issuer's; on nbf only */

/** 0, or MK_EREFUSED: now is at or after exp, or before nbf by more than the skew.
 * Times in seconds, both at most MK_JSON_SECONDS_MAX. */
int mk_ticket_times(const char *what, uint64_t nbf, uint64_t exp, uint64_t now_ms,
                    struct mk_fault *reterr);

/** "2026-01-31T23:59:59Z"; s (unix seconds) is at most the end of year 9999. */
const char *mk_ticket_utc(uint64_t s, char out[32]);

#endif /* TICKETS_TIMES_H */
