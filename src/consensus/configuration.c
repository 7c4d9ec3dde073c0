/* configuration.c - configurations, ours and libraft's.
 *
 * Ours are sorted by id. libraft keeps per-server progress by position and rebuilds
 * it only when the number of servers changes: with both sides sorted, a change of
 * one role keeps every position, and a change of one server changes the number.
 * libraft also wants an address for each; it gets the id in decimal. */
#include "base/assert.h"
#include "consensus/core.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct mk_server *mk_configuration_find(const struct mk_configuration *c, uint64_t id)
{
    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].id == id)
            return &c->servers[i];
    return NULL;
}

unsigned mk_configuration_voters(const struct mk_configuration *c)
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->n; i++)
        n += c->servers[i].role == MK_SERVER_VOTER;
    return n;
}

static int server_cmp(const void *a, const void *b)
{
    uint64_t x = ((const struct mk_server *)a)->id, y = ((const struct mk_server *)b)->id;

    return x < y ? -1 : x > y;
}

int mk_configuration_check(struct mk_configuration *c)
{
    if (c->n == 0 || c->n > MK_CONSENSUS_SERVERS_MAX || mk_configuration_voters(c) == 0)
        return MK_EINVALID;
    qsort(c->servers, c->n, sizeof c->servers[0], server_cmp);
    for (unsigned i = 0; i < c->n; i++) {
        if (c->servers[i].id == 0 || (i > 0 && c->servers[i].id == c->servers[i - 1].id))
            return MK_EINVALID;
        if (c->servers[i].role != MK_SERVER_VOTER && c->servers[i].role != MK_SERVER_LEARNER)
            return MK_EINVALID;
    }
    return 0;
}

void mk_core_configuration(struct raft_configuration *ret, const struct mk_configuration *c)
{
    char address[24];
    int rv;

    raft_configuration_init(ret);
    for (unsigned i = 0; i < c->n; i++) {
        snprintf(address, sizeof address, "%" PRIu64, c->servers[i].id);
        rv = raft_configuration_add(ret, c->servers[i].id, address,
                                    c->servers[i].role == MK_SERVER_VOTER ? RAFT_VOTER
                                                                          : RAFT_STANDBY);
        MK_ASSERT(rv == 0); /* checked: distinct, not 0 */
    }
}

void mk_core_configuration_back(struct mk_configuration *ret, const struct raft_configuration *c)
{
    MK_ASSERT(c->n <= MK_CONSENSUS_SERVERS_MAX);
    memset(ret, 0, sizeof *ret);
    ret->n = c->n;
    for (unsigned i = 0; i < c->n; i++)
        ret->servers[i] = (struct mk_server){c->servers[i].id, c->servers[i].role == RAFT_VOTER
                                                                   ? MK_SERVER_VOTER
                                                                   : MK_SERVER_LEARNER};
}

void mk_core_configuration_at(const struct mk_consensus *c, struct mk_configuration *ret,
                              uint64_t *ret_index, uint64_t index)
{
    uint64_t at = mk_log_change_at(&c->log, index);
    const struct mk_entry *e;
    int rv;

    if (at == 0 || at <= c->snap.configuration_index) {
        *ret = c->snap.configuration;
        *ret_index = c->snap.configuration_index;
        return;
    }
    e = mk_log_get(&c->log, at);
    rv = mk_configuration_decode(ret, MK_BYTES(e->blob->p, e->blob->n));
    MK_ASSERT(rv == 0); /* decoded once when it came in */
    *ret_index = at;
}
