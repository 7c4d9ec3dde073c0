/* revoke.h - `coalition tickets revoke`. */
#ifndef PROGRAMS_REVOKE_H
#define PROGRAMS_REVOKE_H

#include <mosaik/ticket.h>

#define REVOKE_MAX 256u /* --jti of one command */

struct revoke {
    const char *file, *out, *list;
    const char *const *keys;
    unsigned n_keys;
    struct mk_b16 jti[REVOKE_MAX];
    unsigned n_jti;
    uint32_t timeout_ms;
    bool offline, json;
};
/** A status. */
int revoke(const struct revoke *r);

#endif
