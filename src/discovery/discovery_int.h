/* discovery_int.h - the inside of discovery, for the files of this folder.
 *
 *   discovery.c   the interface, the one advance() a turn
 *   entry.c       our own entry
 *   take.c        what others bring: judged, verified, kept, or refused by name
 *   record.c      one signed record
 *   table.c       the records that are held
 *   gossip.c      conversations: their slots, pauses, throttle
 *   compare.c     what two sides hold is compared, and each gives what the other lacks
 *   spread.c      what is new is announced, asked for, given
 *   sync.c        comparing with one named peer, because somebody asked
 *   contacts.c    whom we dial: hints, wants, neighbours
 *   lan.c         neighbours on the local network, by multicast (dns.c, lan_wire.c)
 *   prefix.c      which addresses are likely one party's
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
 *   SUMMARY  u32le round || items, ascending: u16le range || 8 bytes of the hash of what is in it.
 *            Ranges that are not named are empty. Either side begins the next round when the one
 *            before is over; the other answers with its own summary
 *   DIGEST   u8 last || items: u8 kind || key (32 or 64 bytes) || u64le version || 8 bytes of hash,
 *            or GOSSIP_SKIP || u16le first || u16le last: these ranges are the same.
 *            Items ascend over all digests of a round; "all that I hold between what ended my
 *            digest before and what ends this one" (with last: the end)
 *   DONE     nothing: your digest was answered, send the next
 *   RECORDS  u8 kind || varint length || bytes, again and again
 *   ANNOUNCE items: 8 bytes of the hash of a record that is new here
 *   ASK      items: the same, of records to send
 * A range is what has the same kind and first byte of its key. */
#define GOSSIP_VERSION 3u /* 3: tags in entries, announcements */
enum gossip_type {
    GOSSIP_DIGEST = 1,
    GOSSIP_DONE,
    GOSSIP_RECORDS,
    GOSSIP_SUMMARY,
    GOSSIP_ANNOUNCE,
    GOSSIP_ASK
};
#define GOSSIP_SKIP 0x80u
#define GOSSIP_RANGES (MK_RECORD_KINDS * 256u)
#define GOSSIP_ITEMS_MAX 512u     /* items of a digest */
#define GOSSIP_BATCH_MAX 16384u   /* bytes after which a batch of records is sent */
#define GOSSIP_ANNOUNCE_MAX 2048u /* names in an announcement */
#define GOSSIP_ASKED_MAX 2048u    /* names that the other side may have asked for and not got yet */
#define GOSSIP_PROTO "discovery"

#define GOSSIP_RETRY_NS (5 * MK_S)     /* a conversation ended while its link is up */
#define GOSSIP_EXPELLED_NS (60 * MK_S) /* the same, because of what the other side sent */
#define GOSSIP_PAUSES_MAX 1024u

#define SPREAD_WISHES_MAX 4096u /* names that we asked for, or heard of meanwhile */
#define SPREAD_CONV_MAX 512u    /* of them asked of one conversation */
#define SPREAD_OTHERS 3u        /* who else has it, remembered for each */
#define SPREAD_ASK_NS (1 * MK_S)
#define SPREAD_LAPSES_MAX 64u /* asked for in a row and not given: the conversation ends */
#define SPREAD_DECLINED_MAX 256u
#define SPREAD_DECLINED_NS (30 * MK_S)
#define SPREAD_CHAINS 64u

_Static_assert(GOSSIP_BATCH_MAX + MK_REVOCATIONS_BYTES_MAX + 64 <= MK_NET_MESSAGE_MAX,
               "a batch must fit in a message");
_Static_assert(2 + GOSSIP_ITEMS_MAX * (MK_RECORD_KEY + 16) <= MK_NET_MESSAGE_MAX,
               "a digest must fit in a message");

/** One round of comparing. */
struct mk_compare {
    uint32_t round;
    bool summary_due, summary_seen; /* ours is to be sent; theirs came */
    uint8_t same[GOSSIP_RANGES / 8];

    bool digest_due, digest_flying; /* ours: the next part may go; one is not answered yet */
    bool digest_over, digest_acked; /*   the last one went; was answered */
    unsigned digest_range;          /*   goes on with this range, */
    struct mk_record_key digest_at; /*   after this key */

    bool chunk_held, chunk_last;     /* theirs: a part waits to be answered */
    struct mk_buf chunk;             /* its items */
    bool chunk_any;                  /* an earlier part came: */
    struct mk_record_key chunk_from; /*   its last key */
    struct mk_record_key chunk_to;   /* this part's last key */
    bool answering;
    struct mk_record_key answered; /* up to here */
    bool done_due;
};

/** One conversation. */
struct mk_gossip {
    struct mk_list node;
    struct mk_discovery *d;
    struct mk_conv *conv;
    uint32_t id; /* never used twice */
    struct mk_source source;
    uint64_t since_ns;
    unsigned doomed; /* a close code: advance() ends it */
    bool expel;      /*   and does not let it come back for a while */
    char why[MK_REASON_MAX];

    struct mk_compare compare;
    uint32_t rounds; /* of comparing that are over */

    uint64_t sent_seq;    /* all changes up to it were announced or given */
    uint64_t announce_ns; /* the next announcement goes not before */
    struct mk_buf asked;  /* 8 bytes each: what the other side asked for */
    struct mk_buf asking; /* what we ask for in this turn */
    unsigned n_wishes;    /* asked of this one and not come yet */
    unsigned lapses;      /* in a row */

    int64_t tokens; /* records that it may still bring, in 1/1000 */
    uint64_t filled_ns;
    size_t owed; /* bytes of credit kept back */
};

/** A record that was announced and is not here yet. */
struct mk_wish {
    struct mk_list node, chain;
    uint64_t hash;
    uint64_t until_ns;
    uint32_t asked; /* ids of conversations */
    uint32_t others[SPREAD_OTHERS];
    unsigned n_others;
};

/** A record that was offered and not taken: not asked for again for a while. */
struct mk_declined {
    uint64_t hash, until_ns;
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
    bool is_hint, is_neighbour, is_anchor, is_lan;
    uint32_t group;     /* of the address that it was dialed at */
    uint64_t linked_ns; /* 0: not linked */
    uint64_t lan_until_ns;
    bool dialing;
    uint64_t since_ns; /* dialing, or waiting, since */
    uint64_t next_ns;  /* of a hint or anchor: when to try again */
    struct mk_dial dial;
    unsigned last_close; /* of the dial before */
    char last_detail[MK_REASON_MAX];
};

/** A Deployment that somebody here asked for. */
struct mk_interest {
    struct mk_record_key key;
};

struct mk_lan;

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
    struct mk_id tags[MK_ENTRY_TAGS_MAX];
    size_t n_tags;
    uint64_t version, expires_ms;
    bool stale_self;    /* to be signed anew */
    uint64_t renew_ns;  /* at the latest then */
    uint64_t echoed_ns; /* when a newer one of ours was last seen elsewhere */

    struct mk_catalog table;
    struct mk_interest *interests; /* sorted */
    size_t n_interests, cap_interests;

    struct mk_list gossips; /* of struct mk_gossip, oldest first */
    uint32_t last_id;
    uint64_t compare_ns;    /* when to compare with one of them */
    struct mk_list wishes;  /* of struct mk_wish, by until_ns */
    struct mk_list *chains; /* of them, by hash; NULL: none yet */
    unsigned n_wishes;
    struct mk_declined *declined; /* a ring; NULL: none yet */
    unsigned declined_at;
    struct mk_list syncs; /* of struct mk_discovery_sync */
    uint64_t tags_seq;

    struct mk_lan *lan;      /* NULL: not listened to */
    struct mk_list contacts; /* of struct mk_contact, oldest first */
    size_t n_hints, n_anchors, n_lan;
    uint64_t pick_ns; /* when to look for another neighbour */
    struct mk_gossip_pause *pauses;
    size_t n_pauses, cap_pauses;

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

/** Something in the table changed. */
void mk_discovery_note(struct mk_discovery *d);

/* --- entry.c ---------------------------------------------------------------------------- */

/** Signs our entry anew: as what it says is now. */
void mk_entry_renew(struct mk_discovery *d);
/** It says that we are gone, for as long as an older one could be believed. */
void mk_entry_depart(struct mk_discovery *d);

/* --- take.c ----------------------------------------------------------------------------- */

/** Judges, verifies and stores one record that a source brought, and counts it under its reason
 * when it is refused. 0; MK_EEXISTS: not news; MK_EREFUSED: not taken, which is nobody's fault;
 * anything else is the sender's: MK_ELIMIT, MK_EINVALID (another network), MK_EMALFORMED,
 * MK_ESIGNATURE.
 *
 *  ret_hash  the record's short name; 0 when it could not be read. */
int mk_discovery_take(struct mk_discovery *d, enum mk_record_kind kind, struct mk_bytes bytes,
                      const struct mk_source *source, uint64_t *ret_hash, struct mk_fault *reterr);
/** Does this node itself need that record? */
bool mk_discovery_needs(const struct mk_discovery *d, const struct mk_record_head *head);

/* --- gossip.c --------------------------------------------------------------------------- */

void mk_gossip_open(struct mk_discovery *d);
/** Sends what is still to be sent, as far as there is room, then ends all conversations. */
void mk_gossip_close(struct mk_discovery *d);
void mk_gossip_link_up(struct mk_discovery *d, struct mk_link *l);
/** Ends, answers, passes on. Returns when to be called again (ns), UINT64_MAX: no need. */
uint64_t mk_gossip_advance(struct mk_discovery *d);
struct mk_gossip *mk_gossip_find(struct mk_discovery *d, const struct mk_peer *peer);
struct mk_gossip *mk_gossip_by_id(struct mk_discovery *d, uint32_t id);
/** Queues a message; false when there is no room. */
bool mk_gossip_send(struct mk_gossip *g, struct mk_bytes m);
/** Marks it for its end; `why` goes to the other side. */
void mk_gossip_doom(struct mk_gossip *g, unsigned close, bool expel, const char *why);
/** Appends one record to a RECORDS message. */
void mk_gossip_put(struct mk_discovery *d, struct mk_buf *batch, const struct mk_record *r);

/* --- compare.c -------------------------------------------------------------------------- */

void mk_compare_begin(struct mk_gossip *g, uint32_t round);
void mk_compare_done(struct mk_gossip *g);
/** Messages of these types, without the type. */
void mk_compare_summary(struct mk_gossip *g, struct mk_reader *r);
void mk_compare_digest(struct mk_gossip *g, struct mk_reader *r);
void mk_compare_acked(struct mk_gossip *g);
/** Sends what may be sent. */
void mk_compare_advance(struct mk_gossip *g);
bool mk_compare_over(const struct mk_gossip *g);

/* --- spread.c --------------------------------------------------------------------------- */

void mk_spread_close(struct mk_discovery *d);
void mk_spread_announced(struct mk_gossip *g, struct mk_reader *r);
void mk_spread_asked(struct mk_gossip *g, struct mk_reader *r);
/** A record came, by whatever way. */
void mk_spread_came(struct mk_discovery *d, uint64_t hash, bool taken);
/** Asks others for what was not given in time. Returns when the next one is due. */
uint64_t mk_spread_expire(struct mk_discovery *d);
/** Announces, gives, asks. Returns when the next announcement is due. */
uint64_t mk_spread_advance(struct mk_gossip *g);

/* --- sync.c ----------------------------------------------------------------------------- */

/** Begins what can begin, ends what is done: those who asked are called. */
void mk_sync_advance(struct mk_discovery *d);
/** A conversation ended. */
void mk_sync_lost(struct mk_discovery *d, uint32_t conv, unsigned close, const char *detail);

/* --- lan.c ------------------------------------------------------------------------------ */

void mk_lan_close(struct mk_discovery *d);

/* --- contacts.c ------------------------------------------------------------------------- */

void mk_contacts_close(struct mk_discovery *d);
struct mk_contact *mk_contacts_find(struct mk_discovery *d, const struct mk_peer *peer);
void mk_contacts_link_up(struct mk_discovery *d, const struct mk_peer *peer);
void mk_contacts_link_down(struct mk_discovery *d, const struct mk_peer *peer, unsigned close,
                           const char *detail);
/** That peer's entry changed: its addresses may be others. */
void mk_contacts_entry(struct mk_discovery *d, const struct mk_peer *peer);
/** Starts and ends dials. Returns as mk_gossip_advance. */
uint64_t mk_contacts_advance(struct mk_discovery *d);
/** Somebody on the local network says that a peer is there, until then; past: that it left. */
void mk_contacts_lan(struct mk_discovery *d, const struct mk_peer *peer, const char *address,
                     uint64_t until_ns);
size_t mk_contacts_neighbours(const struct mk_discovery *d);

#endif /* DISCOVERY_DISCOVERY_INT_H */
