/* discovery_int.h - the inside of discovery, for the files of this folder.
 *
 *   discovery.c   the interface, our own entry, the one advance() a turn
 *   record.c      one signed record
 *   table.c       the records that are held
 *   gossip.c      conversations: digests, records, throttle
 *   contacts.c    whom we dial: hints, wants, neighbours
 *
 * Callbacks of the net only take in what came and ask for advance(); all sending,
 * dialing and closing happens there, once a turn. */
#ifndef DISCOVERY_DISCOVERY_INT_H
#define DISCOVERY_DISCOVERY_INT_H

#include "base/assert.h"
#include "discovery/table.h"
#include <mosaik/issuers.h>

/* The messages of a conversation. The first one (of the side that opens it) is
 * u8 version || network; the others begin with their type:
 *   DIGEST   u8 last || items: u8 kind || key (32 or 64 bytes) || u64le version || 8 bytes of hash
 *            Items ascend over all digests; "all that I hold between the key that ended
 *            my digest before and the key that ends this one" (with last: the end).
 *   DONE     nothing: your digest was answered, send the next
 *   RECORDS  u8 kind || varint length || bytes, again and again */
#define GOSSIP_VERSION 2u /* 2: with lists of revocations */
#define GOSSIP_DIGEST 1u
#define GOSSIP_DONE 2u
#define GOSSIP_RECORDS 3u
#define GOSSIP_ITEMS_MAX 512u   /* items of a digest */
#define GOSSIP_BATCH_MAX 16384u /* bytes after which a batch of records is sent */
#define GOSSIP_PROTO "discovery"

#define GOSSIP_RETRY_NS (5 * MK_S)     /* a conversation ended while its link is up */
#define GOSSIP_EXPELLED_NS (60 * MK_S) /* the same, because of what the other side sent */
#define GOSSIP_PAUSES_MAX 1024u

_Static_assert(GOSSIP_BATCH_MAX + MK_REVOCATIONS_BYTES_MAX + 64 <= MK_NET_MESSAGE_MAX,
               "a batch must fit in a message");
_Static_assert(2 + GOSSIP_ITEMS_MAX * (MK_RECORD_KEY + 16) <= MK_NET_MESSAGE_MAX,
               "a digest must fit in a message");

/** One conversation. */
struct mk_gossip {
    struct mk_list node;
    struct mk_discovery *d;
    struct mk_conv *conv;
    struct mk_peer peer;
    unsigned doomed; /* a close code: advance() ends it */
    char why[MK_REASON_MAX];

    uint64_t sent_seq; /* all changes up to it were passed on */

    bool digest_due, digest_over; /* ours: the next part may go; the last one went */
    struct mk_record_key digest_at;

    bool chunk_held, chunk_last;     /* theirs: a part waits to be answered */
    struct mk_buf chunk;             /* its items */
    bool chunk_any;                  /* an earlier part came: */
    struct mk_record_key chunk_from; /*   its last key */
    struct mk_record_key chunk_to;   /* this part's last key */
    bool answering;
    struct mk_record_key answered; /* up to here */
    bool done_due;

    int64_t tokens; /* records that it may still bring, in 1/1000 */
    uint64_t filled_ns;
    size_t owed; /* bytes of credit kept back */
};

/** Until then no conversation with that peer. */
struct mk_gossip_pause {
    struct mk_peer peer;
    uint64_t until_ns;
};

/** A peer that we dial, and why. */
struct mk_contact {
    struct mk_list node;
    struct mk_peer peer;
    struct mk_buf hint;     /* "host:port" and a 0, or empty */
    struct mk_id addresses; /* hash of those that its dial knows */
    unsigned wants;
    bool is_hint, is_neighbour;
    bool dialing;
    uint64_t since_ns; /* dialing, or waiting, since */
    uint64_t next_ns;  /* of a hint: when to try again */
    struct mk_dial dial;
    unsigned last_close; /* of the dial before */
    char last_detail[MK_REASON_MAX];
};

/** A Deployment that somebody here asked for. */
struct mk_interest {
    struct mk_record_key key;
};

struct mk_discovery {
    struct mk_env *env;
    struct mk_net *net;
    struct mk_id network;
    const struct mk_key *key;
    struct mk_peer self;
    bool observe_only, closing;
    uint32_t life_ms;
    struct mk_issuer_book *issuers;

    /* Our own entry. */
    struct mk_buf addresses[MK_ENTRY_ADDRESSES_MAX]; /* without a 0 */
    size_t n_addresses;
    struct mk_id surfaces[MK_ENTRY_IDS_MAX], deployments[MK_ENTRY_IDS_MAX];
    size_t n_surfaces, n_deployments;
    struct mk_buf tickets[MK_ENTRY_TICKETS_MAX];
    size_t n_tickets;
    uint64_t version, expires_ms;
    bool stale_self;    /* to be signed anew */
    uint64_t renew_ns;  /* at the latest then */
    uint64_t echoed_ns; /* when a newer one of ours was last seen elsewhere */

    struct mk_catalog table;
    struct mk_interest *interests; /* sorted */
    size_t n_interests, cap_interests;

    struct mk_list gossips;  /* of struct mk_gossip, oldest first */
    struct mk_list contacts; /* of struct mk_contact, oldest first */
    size_t n_hints;
    uint64_t pick_ns; /* when to look for another neighbour */
    struct mk_gossip_pause *pauses;
    size_t n_pauses;

    struct mk_service service;
    struct mk_net_watch net_watch;
    struct mk_list watchers;
    bool changed;
    struct mk_task task;
    struct mk_timer timer;
    struct mk_discovery_stats stats;
};

/** Asks for advance() at the end of this turn. */
void mk_discovery_poke(struct mk_discovery *d);

/* --- discovery.c ------------------------------------------------------------------ */

/** Judges, verifies and stores one record that a source brought. 0; MK_EEXISTS: not
 * news; MK_EREFUSED: not taken, which is nobody's fault (expired, no place); anything
 * else is the sender's: MK_ELIMIT, MK_EINVALID (another network), MK_EMALFORMED,
 * MK_ESIGNATURE. */
int mk_discovery_take(struct mk_discovery *d, enum mk_record_kind kind, struct mk_bytes bytes,
                      const struct mk_peer *source, struct mk_fault *reterr);
/** Does this node itself need that record? */
bool mk_discovery_needs(const struct mk_discovery *d, const struct mk_record_head *head);
/** Something in the table changed. */
void mk_discovery_note(struct mk_discovery *d);

/* --- gossip.c ----------------------------------------------------------------------- */

void mk_gossip_open(struct mk_discovery *d);
/** Sends what is still to be sent, as far as there is room, then ends all conversations. */
void mk_gossip_close(struct mk_discovery *d);
void mk_gossip_link_up(struct mk_discovery *d, struct mk_link *l);
/** Ends, answers, passes on. Returns when to be called again (ns), UINT64_MAX: no need. */
uint64_t mk_gossip_advance(struct mk_discovery *d);

/* --- contacts.c ---------------------------------------------------------------------- */

void mk_contacts_close(struct mk_discovery *d);
struct mk_contact *mk_contacts_find(struct mk_discovery *d, const struct mk_peer *peer);
void mk_contacts_link_up(struct mk_discovery *d, const struct mk_peer *peer);
void mk_contacts_link_down(struct mk_discovery *d, const struct mk_peer *peer, unsigned close,
                           const char *detail);
/** That peer's entry changed: its addresses may be others. */
void mk_contacts_entry(struct mk_discovery *d, const struct mk_peer *peer);
/** Starts and ends dials. Returns as mk_gossip_advance. */
uint64_t mk_contacts_advance(struct mk_discovery *d);

#endif /* DISCOVERY_DISCOVERY_INT_H */
