/* discovery.h - who is where: signed peer entries and Deployment records, spread
 * among the peers that a node knows. No registry: an entry is believed because
 * its peer signed it, a Deployment because its operator did; one hint is enough
 * to find the rest. With them go the issuers' lists of revoked tickets, among those who know
 * the issuer's roster: a list is believed because a majority of that roster signed it, and
 * who does not know the roster neither keeps nor passes it on.
 *
 *   PeerEntry{network, peer, version, addresses, tags, surfaces, deployments, tickets,
 *             expires_ms, signature}
 *
 * Gossip: on a link one conversation "discovery". At its start, and once a minute with one of the
 * conversations, both sides compare hashes of ranges of what they hold, then items of the ranges
 * that differ, and each gives what the other lacks. In between only names travel: what is new is
 * announced by 8 bytes to the neighbours, at most once a period, and asked for at one of those who
 * announced it. So a record comes to a node once, and a node's cost does not grow with the number
 * of its neighbours.
 *
 * Bounded: what a node keeps, how much of that one source may have brought, what a source may
 * bring a second, bytes of an entry, conversations, what they remember. Whatever is refused is
 * counted under its reason. The own entry is renewed at half its life. A node keeps a few links to
 * peers of its own choice, from different networks where it can, and comes back to those that it
 * knew for long: so the entries have more than one way, and strangers who dial in have no say.
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
#define MK_DISCOVERY_CONVS_MAX 256u               /* conversations of others' choice */
#define MK_DISCOVERY_PERIOD_MS 500u               /* between two announcements to a neighbour */
#define MK_DISCOVERY_COMPARE_MS 60000u            /* between two comparisons, about */
#define MK_DISCOVERY_DRIFT_MS 60000u              /* an entry's version above our wall clock */
#define MK_DISCOVERY_SETTLED_MS 600000u           /* held so long it does not give way any more */
#define MK_DISCOVERY_ANCHORS_MAX 8u               /* neighbours of long standing, dialed again */
#define MK_DISCOVERY_HINTS_MAX 64u                /* first contacts */
#define MK_DISCOVERY_LAN_MAX 32u                  /* dialed for what multicast said */
#define MK_DISCOVERY_LISTS_MAX 256u               /* revocation lists, one an issuer */
#define MK_ENTRY_ADDRESSES_MAX 8u
#define MK_ENTRY_ADDRESS_MAX 255u /* bytes of "host:port" */
#define MK_ENTRY_IDS_MAX 96u      /* surfaces; deployments */
#define MK_ENTRY_TICKETS_MAX 8u
#define MK_ENTRY_TAGS_MAX 32u

MK_TEXT_DECLARE(mk_entry_address)
MK_SEQ_DECLARE(mk_entry_addresses, mk_entry_address)
MK_SEQ_DECLARE(mk_entry_ids, mk_id)  /* sorted, distinct */
MK_SEQ_DECLARE(mk_entry_tags, mk_id) /* sorted, distinct */
MK_SEQ_DECLARE(mk_entry_tickets, mk_ticket)

/** What a peer says of itself. The signature covers "mosaik.peer-entry.v2" and the
 * encoding without the signature. Of two, the higher version counts; versions begin
 * at the wall clock in ms, so that they rise across restarts.
 *
 *  expires_ms  unix time by the signer's clock; forgotten then.
 *
 * An entry with all five lists empty is a departure: it takes the place of the
 * earlier one until that one would have expired, so that no stale copy returns. */
#define MK_PEER_ENTRY_TABLE(F, S)       \
    F(S, mk_id, network)                \
    F(S, mk_peer, peer)                 \
    F(S, mk_u64, version)               \
    F(S, mk_entry_addresses, addresses) \
    F(S, mk_entry_tags, tags)           \
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
    uint32_t entries_max;           /* 0: MK_DISCOVERY_ENTRIES_MAX; fewer for a small machine */
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

/** Asks and answers on the local network, by multicast DNS: whoever is there becomes a first
 * contact, no more (lan.c). interface: its name, or "*" for all. MK_EEXISTS: it is on; and as
 * mk_cast_open. */
int mk_discovery_lan(struct mk_discovery *d, const char *interface, struct mk_fault *reterr);

/** What our own entry says; re-signed and spread with a higher version. Copied, sorted
 * here. Surfaces that do not fit into an entry are left out. */
void mk_discovery_offer(struct mk_discovery *d, const struct mk_id *surfaces, size_t n_surfaces,
                        const struct mk_id *deployments, size_t n_deployments);
/** The tags that our entry shows: an id is the id of a text, or any. Copied. MK_ELIMIT above
 * MK_ENTRY_TAGS_MAX. */
int mk_discovery_tag(struct mk_discovery *d, const struct mk_id *tags, size_t n);
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
/** Peers whose fresh entry shows this tag, without us. */
size_t mk_discovery_count_tagged(struct mk_discovery *d, const struct mk_id *tag);
/** Does that peer's fresh entry (ours too) show this tag? */
bool mk_discovery_has_tag(struct mk_discovery *d, const struct mk_peer *peer,
                          const struct mk_id *tag);
/** Moves whenever some peer's tags did: what was judged by tags is to be judged again. */
uint64_t mk_discovery_tags_seq(const struct mk_discovery *d);

/** A signed peer entry (pc bytes, copied) that came by another way than gossip. 0: news;
 * MK_EEXISTS: this one or a newer one is known; MK_EREFUSED (expired, from the future, no place),
 * MK_EINVALID (another network), MK_EMALFORMED, MK_ELIMIT, MK_ESIGNATURE. */
int mk_discovery_feed(struct mk_discovery *d, struct mk_bytes entry, struct mk_fault *reterr);
/** Our own entry's bytes, for who feeds it elsewhere; lent until the loop is entered again.
 * MK_ENOTFOUND: there is none (yet). */
int mk_discovery_self(struct mk_discovery *d, struct mk_bytes *ret);

/** Comparing with one peer, whom it links for that, now. The memory is the caller's until cb or
 * mk_discovery_sync_cancel(). */
struct mk_discovery_sync {
    /** Once. 0: each side now holds what the other held; MK_EREFUSED: the conversation ended,
     * with the reason in fault. There is no deadline here: the caller has one. */
    void (*cb)(struct mk_discovery_sync *s, int status, const struct mk_fault *fault);
    struct mk_peer peer; /* private from here on */
    struct mk_discovery *d;
    uint32_t conv, rounds;
    struct mk_list node;
};
/** address may be NULL when the peer's entry is known. */
void mk_discovery_sync(struct mk_discovery *d, struct mk_discovery_sync *s,
                       const struct mk_peer *peer, const char *address);
/** cb is not called any more. Safe when done. */
void mk_discovery_sync_cancel(struct mk_discovery_sync *s);
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
/** How the last dial of that peer ended: a close code and text ("" when up); of the first one,
 * while it is under way, what it waits for. */
void mk_discovery_diagnose(struct mk_discovery *d, const struct mk_peer *peer, unsigned *ret_close,
                           char ret_detail[MK_REASON_MAX]);

/** Peers with a fresh entry, without us. */
size_t mk_discovery_size(const struct mk_discovery *d);

/** Why a record that somebody brought was not taken. The last column: whose fault it is, the
 * sender's (its conversation ends and it is expelled for a minute) or nobody's. */
#define MK_RUMOUR_MAP(X)                                                                   \
    X(MALFORMED, "malformed", "bytes that are no record", true)                            \
    X(FORGED, "forged", "a signature that does not verify", true)                          \
    X(OTHER_NETWORK, "other_network", "an entry of another network", true)                 \
    X(TOO_LONG, "too_long", "over its limit of bytes", true)                               \
    X(EXPIRED, "expired", "its life is over, by our clock", false)                         \
    X(FUTURE, "future", "signed later than now, by more than clocks may differ", false)    \
    X(LONG_LIVED, "long_lived", "wants to live longer than an entry may", false)           \
    X(OLDER, "older", "a newer one of the same peer or operator is held: a replay", false) \
    X(VERSION_JUMP, "version_jump", "a Deployment too far above the known version", false) \
    X(NO_ROOM, "no_room", "no place, or its source has had its share", false)              \
    X(UNKNOWN_ISSUER, "unknown_issuer", "revocations of an issuer not known here", false)  \
    X(REVOCATIONS, "revocations", "a list that the issuer's roster does not bear out", false)

enum mk_rumour {
#define MK_RUMOUR_X(name, text, help, fault) MK_RUMOUR_##name,
    MK_RUMOUR_MAP(MK_RUMOUR_X)
#undef MK_RUMOUR_X
        MK_RUMOURS
};
const char *mk_rumour_name(enum mk_rumour r); /* "older" */

struct mk_discovery_stats {
    uint64_t records_in, records_out; /* that travelled */
    uint64_t refused;                 /* of all reasons */
    uint64_t refused_by[MK_RUMOURS];
    uint64_t expelled;               /* conversations ended for what was sent in them */
    uint64_t displaced;              /* records that gave way in a full table */
    uint64_t announced_in, lapsed;   /* names heard; asked for and not given in time */
    uint64_t comparisons;            /* finished */
    uint64_t lan_heard, lan_ignored; /* peers that said they are there; what was no news of ours */
    uint64_t busy;                   /* conversations that ended for want of a place */
    uint64_t messages_in, bytes_in;  /* of all conversations */
    uint64_t messages_out, bytes_out;
    size_t entries, deployments, lists, bytes; /* held now */
    size_t conversations, neighbours;          /* now; neighbours are of our choice */
};
void mk_discovery_stats(const struct mk_discovery *d, struct mk_discovery_stats *ret);

#endif /* DISCOVERY_DISCOVERY_H */
