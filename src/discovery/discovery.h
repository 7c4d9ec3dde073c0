/* discovery.h - who is where: signed peer entries and Deployment records, spread
 * among the peers that a node knows. No registry: an entry is believed because
 * its peer signed it, a Deployment because its operator did; one hint is enough
 * to find the rest. With them go the issuers' lists of revoked tickets, among those who know
 * the issuer's roster: a list is believed because a majority of that roster signed it, and
 * who does not know the roster neither keeps nor passes it on.
 *
 *   PeerEntry{network, peer, version, addresses, surfaces, deployments, tickets,
 *             expires_ms, signature}
 *
 * Gossip: on each link one conversation "discovery"; at its start both sides
 * exchange digests of what they hold and then what the other lacks; later each
 * new entry is passed on once. Bounded: what a node keeps, how much of that one
 * source may have brought, what a source may bring a second, bytes of an entry.
 * The own entry is renewed at half its life. A node keeps a few links to peers of
 * its own choice, so that the entries have more than one way.
 *
 * All calls belong to the loop's thread. The watchers' callbacks come at the end
 * of a turn, never from inside a call. */
#ifndef DISCOVERY_DISCOVERY_H
#define DISCOVERY_DISCOVERY_H

#include "net/net.h"
#include <mosaik/records.h>

struct mk_discovery;
struct mk_issuer_book;

#define MK_DISCOVERY_ENTRIES_MAX 16384u
#define MK_DISCOVERY_DEPLOYMENTS_MAX 4096u
#define MK_DISCOVERY_BYTES_MAX (64u << 20)        /* of all records together */
#define MK_DISCOVERY_ENTRY_MAX 8192u              /* encoded bytes of an entry */
#define MK_DISCOVERY_DEPLOYMENT_MAX 32768u        /* encoded bytes of a Deployment */
#define MK_DISCOVERY_LIFE_MS 120000u              /* default life of an entry */
#define MK_DISCOVERY_LIFE_MAX_MS 3600000u         /* entries that want to live longer are refused */
#define MK_DISCOVERY_JUMP_MAX (UINT64_C(1) << 32) /* a Deployment's version above the known one */
#define MK_DISCOVERY_RATE 500u                    /* records a source may bring a second */
#define MK_DISCOVERY_BURST 4096u                  /* and at once */
#define MK_DISCOVERY_DEGREE 3u                    /* neighbours to gossip with, of our choice */
#define MK_DISCOVERY_HINTS_MAX 64u                /* first contacts */
#define MK_DISCOVERY_LISTS_MAX 256u               /* revocation lists, one an issuer */
#define MK_ENTRY_ADDRESSES_MAX 8u
#define MK_ENTRY_ADDRESS_MAX 255u /* bytes of "host:port" */
#define MK_ENTRY_IDS_MAX 96u      /* surfaces; deployments */
#define MK_ENTRY_TICKETS_MAX 8u

MK_TEXT_DECLARE(mk_entry_address)
MK_SEQ_DECLARE(mk_entry_addresses, mk_entry_address)
MK_SEQ_DECLARE(mk_entry_ids, mk_id) /* sorted, distinct */
MK_SEQ_DECLARE(mk_entry_tickets, mk_ticket)

/** What a peer says of itself. The signature covers "mosaik.peer-entry.v1" and the
 * encoding without the signature. Of two, the higher version counts; versions begin
 * at the wall clock in ms, so that they rise across restarts.
 *
 *  expires_ms  unix time by the signer's clock; forgotten then.
 *
 * An entry with all four lists empty is a departure: it takes the place of the
 * earlier one until that one would have expired, so that no stale copy returns. */
#define MK_PEER_ENTRY_TABLE(F, S)       \
    F(S, mk_id, network)                \
    F(S, mk_peer, peer)                 \
    F(S, mk_u64, version)               \
    F(S, mk_entry_addresses, addresses) \
    F(S, mk_entry_ids, surfaces)        \
    F(S, mk_entry_ids, deployments)     \
    F(S, mk_entry_tickets, tickets)     \
    F(S, mk_u64, expires_ms)            \
    F(S, mk_signature, signature)
MK_STRUCT_DECLARE(mk_peer_entry, MK_PEER_ENTRY_TABLE)

struct mk_discovery_options {
    struct mk_id network;
    const struct mk_key *key;     /* borrowed */
    const char *const *addresses; /* "host:port" others reach us at; copied */
    size_t n_addresses;
    uint32_t life_ms;               /* 0: the default */
    bool observe_only;              /* never publish an entry of our own (a reader) */
    struct mk_issuer_book *issuers; /* borrowed: judges and takes revocations; NULL: takes none */
};
/** 0; MK_EEXISTS: this net has one already; MK_EINVALID: an address that is none,
 * or too many. */
int mk_discovery_open(struct mk_env *e, struct mk_net *net, struct mk_discovery **ret,
                      const struct mk_discovery_options *o);
/** Publishes a departure on every link first. NULL is fine. */
void mk_discovery_close(struct mk_discovery *d);

/** A first contact: peer and address; dialed without pause while there is no link at
 * all, and now and then while there is none to it (so that two halves of a network
 * that lost each other meet again). Ignored above MK_DISCOVERY_HINTS_MAX. */
void mk_discovery_hint(struct mk_discovery *d, const struct mk_peer *peer, const char *address);

/** What our own entry says; re-signed and spread with a higher version. Copied, sorted
 * here. Surfaces that do not fit into an entry are left out. */
void mk_discovery_offer(struct mk_discovery *d, const struct mk_id *surfaces, size_t n_surfaces,
                        const struct mk_id *deployments, size_t n_deployments);
/** The tickets (each pc(Ticket)) that our entry shows. Copied. MK_EMALFORMED; MK_ELIMIT:
 * too many, or too large for an entry; nothing changed then. */
int mk_discovery_show(struct mk_discovery *d, const struct mk_bytes *tickets, size_t n);

/** Spreads an operator's Deployment (pc bytes, copied, signature verified). 0, also when
 * it is known; MK_ECONFLICT: another one of the same version is known (both are kept as
 * proof); MK_ESTALE: a newer one is known; MK_ELIMIT: the version jumps too far, or
 * there is no room; MK_EMALFORMED; MK_ESIGNATURE. */
int mk_discovery_publish(struct mk_discovery *d, struct mk_bytes deployment,
                         struct mk_fault *reterr);

/** Takes an issuer's list of revocations (pc(SignedRevocations)) into the book and spreads it.
 * As mk_issuer_book_revoke; MK_EREFUSED also without a book. Rosters are to be in the book before
 * lists come: one that came too early comes again with the next conversation. */
int mk_discovery_revoke(struct mk_discovery *d, struct mk_bytes list, struct mk_fault *reterr);

/** The newest list of an issuer as it came; lent until the loop is entered again. MK_ENOTFOUND. */
int mk_discovery_list(struct mk_discovery *d, struct mk_bytes *ret, const struct mk_id *root);

/** Peers whose fresh entry names this deployment, without us; calls cb for each, in
 * order of peer. What cb gets is lent for its call. */
void mk_discovery_find(struct mk_discovery *d, const struct mk_id *deployment,
                       void (*cb)(void *arg, const struct mk_peer *peer,
                                  const struct mk_str *addresses, size_t n_addresses),
                       void *arg);
/** As above, peers whose entry offers this surface. */
void mk_discovery_find_surface(struct mk_discovery *d, const struct mk_id *surface,
                               void (*cb)(void *arg, const struct mk_peer *peer,
                                          const struct mk_str *addresses, size_t n_addresses),
                               void *arg);
/** Peers whose fresh entry names this surface or deployment, without us. */
size_t mk_discovery_count(struct mk_discovery *d, const struct mk_id *id);
/** A peer's fresh entry, also our own; lent until the loop is entered again
 * or we publish. MK_ENOTFOUND. */
int mk_discovery_entry(struct mk_discovery *d, struct mk_peer_entry *ret,
                       const struct mk_peer *peer);
/** The newest Deployment of a stable id signed by that operator; lent until the loop
 * is entered again. From the first call on, this one is kept and taken even when the
 * table is full. MK_ENOTFOUND; MK_ECONFLICT. */
int mk_discovery_deployment(struct mk_discovery *d, struct mk_deployment *ret,
                            const struct mk_id *stable_id, const struct mk_peer *operator_);
/** After MK_ECONFLICT: the two records (pc bytes) of one version, lent until the loop is
 * entered again. MK_ENOTFOUND: there is no conflict. */
int mk_discovery_conflict(struct mk_discovery *d, struct mk_bytes ret[2],
                          const struct mk_id *stable_id, const struct mk_peer *operator_);

/** Something changed (an entry came, went, or a Deployment arrived). Must not close the
 * discovery from inside. */
struct mk_discovery_watch {
    void (*changed)(struct mk_discovery_watch *w);
    struct mk_list node;
};
void mk_discovery_watch(struct mk_discovery *d, struct mk_discovery_watch *w);
void mk_discovery_unwatch(struct mk_discovery_watch *w);

/** Keeps a link to this peer while held (counted), at the addresses its entry names
 * plus the given hint (may be NULL). */
void mk_discovery_want(struct mk_discovery *d, const struct mk_peer *peer, const char *hint);
void mk_discovery_unwant(struct mk_discovery *d, const struct mk_peer *peer);
/** How the last dial of that peer ended: a close code and text ("" when up). */
void mk_discovery_diagnose(struct mk_discovery *d, const struct mk_peer *peer, unsigned *ret_close,
                           char ret_detail[MK_REASON_MAX]);

/** Peers with a fresh entry, without us. */
size_t mk_discovery_size(const struct mk_discovery *d);

/** Records that others sent and that were refused (malformed, forged, of another
 * network, expired, over a limit), and conversations ended for that. */
struct mk_discovery_stats {
    uint64_t records_in, records_out, refused, expelled;
    size_t entries, deployments, lists, bytes; /* held now */
};
void mk_discovery_stats(const struct mk_discovery *d, struct mk_discovery_stats *ret);

#endif /* DISCOVERY_DISCOVERY_H */
