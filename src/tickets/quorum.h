/* quorum.h - does a majority of a roster sign this? (spec/services.md, "Ticket
 * issuer"). Strict: signers distinct, sorted, all of the roster, all valid. */
#ifndef TICKETS_QUORUM_H
#define TICKETS_QUORUM_H

#include <mosaik/records.h>

/** tag || root || u64le epoch || body: what an issuer's roster signs. */
void mk_quorum_message(struct mk_buf *out, const char *tag, const struct mk_id *root,
                       uint64_t epoch, struct mk_bytes body);

/** 0, or MK_EREFUSED with the rule. Never verifies more signatures than the
 * roster has peers. */
int mk_quorum_check(const struct mk_roster *roster, struct mk_bytes message,
                    const struct mk_peer_signature *sigs, size_t n, struct mk_fault *reterr);

/** Copies n shares into sorted (room for n), by peer. MK_EINVALID: none, or two
 * of one peer. */
int mk_quorum_sort(struct mk_peer_signature *sorted, const struct mk_peer_signature *shares,
                   size_t n, struct mk_fault *reterr);

#endif /* TICKETS_QUORUM_H */
