/* up_tickets.c - tickets of `coalition up`: where the file ships a ticket issuer, the Atlas
 * members' keys are its roster, and they issue what this coalition needs to begin with: a ticket to
 * write to Atlas for each of its members (DIR/atlas-<n>/ticket) and for the operator
 * (DIR/operator.ticket), anew at each start, since they end after 90 days. More are issued by
 *
 *   coalition tickets issue DIR/local.toml --key DIR/atlas-1/node.key --key DIR/atlas-2/node.key
 * ... */
#include "issuer.h"
#include "up.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define DAY_SECONDS 86400u

bool up_issues(const struct up *u)
{
    return u->file.config.ticket_issuer != NULL && u->n_parts > 0 && u->parts[0].organism == NULL;
}

static void sign_ticket(const struct mk_key *key, const struct issuer *i, struct mk_bytes claims,
                        struct mk_signature *ret)
{
    mk_ticket_sign(key, &i->ids.tickets_root, i->roster.epoch, claims, ret);
}

static int issue_to(struct up *u, const struct issuer *i, const char *const *keys, unsigned n,
                    const struct mk_peer *sub, const char *path)
{
    struct mk_peer_signature shares[MK_ROSTER_MAX];
    struct mk_claims c = {.iss = i->ids.tickets_root,
                          .sub = *sub,
                          .aud = u->ids.modules[COA_ATLAS].module_root,
                          .read = true,
                          .write = true,
                          .iat = (uint64_t)time(NULL)};
    struct mk_buf claims = {0}, ticket = {0};
    struct mk_fault fault = {{0}};
    int status, rv;

    c.nbf = c.iat;
    c.exp = c.iat + (uint64_t)MK_TICKET_DAYS_MAX * DAY_SECONDS;
    if (getrandom(c.jti, sizeof c.jti, 0) != (ssize_t)sizeof c.jti)
        return complain(STATUS_CHECK, "no randomness");
    mk_claims_format(&c, &claims);
    status = issuer_sign(i, shares, keys, n, sign_ticket, mk_buf_bytes(&claims));
    if (status == 0) {
        rv = mk_ticket_build(&ticket, &i->ids.tickets_root, i->roster.epoch, mk_buf_bytes(&claims),
                             shares, n, &fault);
        if (rv == 0)
            rv = write_file(path, mk_buf_bytes(&ticket), 0600, &fault);
        status = rv != 0 ? complain_of(rv, &fault) : 0;
    }
    mk_buf_done(&claims);
    mk_buf_done(&ticket);
    return status;
}

static const char *beside(struct up *u, const char *member, const char *file)
{
    char name[160];

    snprintf(name, sizeof name, "%s/%s", member, file);
    return up_below(u, name);
}

static int issue_all(struct up *u, const struct issuer *i)
{
    const struct part *p = &u->parts[0];
    const char *keys[MK_ROSTER_MAX];
    char name[128];
    int status = 0;

    for (unsigned k = 0; k < p->n; k++) {
        up_member_name(name, p, k);
        keys[k] = beside(u, name, "node.key");
    }
    for (unsigned k = 0; status == 0 && k < p->n; k++) {
        struct mk_fault fault = {{0}};
        struct mk_key key;
        int rv = load_key(&key, keys[k], &fault);

        if (rv != 0)
            return complain_of(rv, &fault);
        up_member_name(name, p, k);
        status = issue_to(u, i, keys, p->n, &key.peer, beside(u, name, "ticket"));
        mk_key_done(&key);
    }
    if (status == 0)
        status = issue_to(u, i, keys, p->n, &u->operator_.peer, up_below(u, "operator.ticket"));
    return status;
}

int up_issue_tickets(struct up *u)
{
    struct issuer i;
    int status;

    if (!up_issues(u))
        return 0;
    status = issuer_open(&i, up_below(u, "local.toml"));
    if (status != 0)
        return status;
    status = issue_all(u, &i);
    issuer_done(&i);
    return status;
}
