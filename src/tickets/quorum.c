/* quorum.c - see the header.
 *
 * Counting is cheap and verifying is not, so everything that can be refused by
 * looking (too few, unsorted, strangers) is refused before the first signature is
 * verified. One bad signature refuses the whole: an honest issuer sends none, and
 * a ticket then has one text. */
#include "tickets/quorum.h"

#include <mosaik/key.h>
#include <stdlib.h>

void mk_quorum_message(struct mk_buf *out, const char *tag, const struct mk_id *root,
                       uint64_t epoch, struct mk_bytes body)
{
    mk_buf_put_str(out, tag);
    mk_buf_put(out, root->b, sizeof root->b);
    mk_buf_put_u64le(out, epoch);
    mk_buf_put(out, body.p, body.n);
}

static bool quorum_lists(const struct mk_roster *roster, const struct mk_peer *peer)
{
    for (size_t i = 0; i < roster->peers.n; i++) {
        if (mk_peer_eq(&roster->peers.v[i], peer))
            return true;
    }
    return false;
}

int mk_quorum_check(const struct mk_roster *roster, struct mk_bytes message,
                    const struct mk_peer_signature *sigs, size_t n, struct mk_fault *reterr)
{
    char hex[MK_ID_HEX];

    if (n <= roster->peers.n / 2)
        return mk_fault(reterr, MK_EREFUSED, "%zu signatures are no majority of a roster of %zu", n,
                        roster->peers.n);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && mk_peer_cmp(&sigs[i - 1].peer, &sigs[i].peer) >= 0)
            return mk_fault(reterr, MK_EREFUSED, "signers are not sorted and distinct");
        if (!quorum_lists(roster, &sigs[i].peer))
            return mk_fault(reterr, MK_EREFUSED, "signer %.16s is not of the roster",
                            mk_peer_hex(&sigs[i].peer, hex));
    }
    for (size_t i = 0; i < n; i++) {
        if (mk_verify(&sigs[i].peer, message, &sigs[i].signature) != 0)
            return mk_fault(reterr, MK_EREFUSED, "the signature of %.16s does not verify",
                            mk_peer_hex(&sigs[i].peer, hex));
    }
    return 0;
}

static int quorum_cmp(const void *a, const void *b)
{
    const struct mk_peer_signature *x = a, *y = b;

    return mk_peer_cmp(&x->peer, &y->peer);
}

int mk_quorum_sort(struct mk_peer_signature *sorted, const struct mk_peer_signature *shares,
                   size_t n, struct mk_fault *reterr)
{
    if (n == 0)
        return mk_fault(reterr, MK_EINVALID, "no shares");
    for (size_t i = 0; i < n; i++)
        sorted[i] = shares[i];
    qsort(sorted, n, sizeof *sorted, quorum_cmp);
    for (size_t i = 1; i < n; i++) {
        if (mk_peer_eq(&sorted[i - 1].peer, &sorted[i].peer))
            return mk_fault(reterr, MK_EINVALID, "two shares of one signer");
    }
    return 0;
}
