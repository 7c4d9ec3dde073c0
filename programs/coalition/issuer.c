/* issuer.c - see issuer.h. */
#include "issuer.h"

int issuer_open(struct issuer *i, const char *path)
{
    int status = load_coalition(&i->f, path);

    i->arena = (struct mk_arena){0};
    if (status != 0)
        return status;
    coa_coalition_derive(&i->f.config, &i->ids, NULL);
    if (i->f.config.ticket_issuer == NULL)
        status = complain(STATUS_CHECK, "%s: it ships no ticket issuer", path);
    else if (!coa_first_roster(&i->f, &i->ids, COA_ANCHOR_ISSUER, &i->roster, &i->arena))
        status = complain(STATUS_USAGE,
                          "%s: ticket_issuer has no committee; its roster must be stated", path);
    if (status != 0) {
        mk_arena_done(&i->arena);
        coa_coalition_file_done(&i->f);
    }
    return status;
}

void issuer_done(struct issuer *i)
{
    mk_arena_done(&i->arena);
    coa_coalition_file_done(&i->f);
}

static bool in_roster(const struct mk_roster *r, const struct mk_peer *peer)
{
    for (size_t i = 0; i < r->peers.n; i++) {
        if (mk_peer_eq(&r->peers.v[i], peer))
            return true;
    }
    return false;
}

int issuer_sign(const struct issuer *i, struct mk_peer_signature *shares, const char *const *keys,
                unsigned n_keys,
                void (*sign)(const struct mk_key *key, const struct issuer *i, struct mk_bytes what,
                             struct mk_signature *ret),
                struct mk_bytes what)
{
    size_t majority = i->roster.peers.n / 2 + 1;
    char hex[MK_ID_HEX];

    for (unsigned k = 0; k < n_keys; k++) {
        struct mk_fault fault = {{0}};
        struct mk_key key;
        int rv = load_key(&key, keys[k], &fault);

        if (rv != 0)
            return complain_of(rv, &fault);
        shares[k].peer = key.peer;
        sign(&key, i, what, &shares[k].signature);
        mk_key_done(&key);
        if (!in_roster(&i->roster, &shares[k].peer))
            return complain(STATUS_CHECK, "%s: %s is not on the issuer's roster", keys[k],
                            mk_peer_hex(&shares[k].peer, hex));
        for (unsigned j = 0; j < k; j++) {
            if (mk_peer_eq(&shares[j].peer, &shares[k].peer))
                return complain(STATUS_USAGE, "%s and %s are the same key; each signer counts once",
                                keys[j], keys[k]);
        }
    }
    if (n_keys >= majority)
        return 0;
    return complain(STATUS_CHECK, "%u of %zu signers; a majority of the issuer's roster is %zu",
                    n_keys, i->roster.peers.n, majority);
}
