/* net.h - links between peers, and conversations on them.
 *
 *   peer A                                                     peer B
 *   conv "group" ----.                                   .---- conv "group"
 *   conv "surface" --+-- link: frames, credit -- TLS 1.3 -+-- conv "surface"
 *   conv "exec" -----'      (or vouched, in the sim)      '---- conv "exec"
 *
 * A net is one peer's presence: its key, its listeners, its links. A link is
 * one mutually authenticated connection to one peer; at most one a peer is kept.
 * Of two (both sides dialed at once), the peer with the lesser id says which: the
 * one that was up first, unless it does not answer a ping any more. A conversation is a two-way
 * sequence of messages on a link, opened by either side under a protocol's name with a first
 * message, with credit of its own in each direction: a slow reader stops its own conversation and
 * no other.
 *
 * All calls belong to the loop's thread. Callbacks never come from inside the
 * call that caused them, except `accept`, and closed() and down() from
 * mk_net_close(), which must not be called from a callback of the same net.
 *
 * A link that was closed, by either side, is not found by mk_net_link() any more;
 * its conversations live until their closed(), and sending on them answers
 * MK_ECLOSED. */
#ifndef NET_NET_H
#define NET_NET_H

#include "base/protocol.h"
#include "env/env.h"
#include <mosaik/key.h>

struct mk_net;
struct mk_link;
struct mk_conv;

/* Limits: everything a stranger can make us hold before he is admitted, and
 * what anybody can make us hold afterwards. */
#define MK_NET_MESSAGE_MAX (1u << 20) /* bytes of one message of a conversation */
#define MK_NET_PROTO_MAX 32u          /* bytes of a protocol's name */
#define MK_NET_WINDOW (1u << 20)      /* credit a conversation starts with, in bytes */
#define MK_NET_CONVS_MAX 4096u        /* conversations that a peer opens on one link, ... */
#define MK_NET_CONVS_WANTED_MAX \
    65536u /* ... and one that we keep links to: it may share groups with us */
#define MK_NET_HANDSHAKES_MAX 64u         /* unauthenticated inbound connections at once */
#define MK_NET_HANDSHAKE_BYTES_MAX 16384u /* bytes accepted before a peer is authenticated */
#define MK_NET_HANDSHAKE_MS 5000u         /* to finish the handshake and say hello */
#define MK_NET_LINKS_MAX 4096u            /* inbound links; above it the newest is refused "busy" */
#define MK_NET_LINKS_SOURCE_MAX 256u      /* unauthenticated connections a source address a 10 s */
#define MK_NET_STRANGERS_SOURCE_MAX 1024u /* handshakes of peers we do not dial: the same; ... */
#define MK_NET_STRANGERS_LOCAL_MAX                                                     \
    4096u                     /* ... and from this machine, which has its users' trust \
                               */
#define MK_NET_IDLE_MS 15000u /* a link with no traffic is pinged; dead after two more */

/** Why a link or conversation ended; travels as a number, prints as a name. */
#define MK_CLOSE_MAP(X)                                                    \
    X(NONE, 0, "closed")                                                   \
    X(SHUTDOWN, 1, "the peer shuts down")                                  \
    X(IDLE, 2, "nothing heard for too long")                               \
    X(LOST, 3, "connection lost")                                          \
    X(UNREACHABLE, 4, "nobody answered")                                   \
    X(WRONG_PEER, 5, "another peer answered than the one that was dialed") \
    X(BAD_HANDSHAKE, 6, "handshake failed")                                \
    X(BAD_FRAME, 7, "malformed frame")                                     \
    X(TOO_LONG, 8, "a message or frame over its limit")                    \
    X(NO_CREDIT, 9, "sent more than it was given credit for")              \
    X(BUSY, 10, "too many connections")                                    \
    X(NO_PROTOCOL, 11, "no such protocol here")                            \
    X(REFUSED, 12, "refused by a clause")                                  \
    X(OTHER_DEPLOYMENT, 13, "the peer runs another deployment")            \
    X(OTHER_NETWORK, 14, "the peer is on another network")                 \
    X(OTHER_VERSION, 15, "the peer speaks another schema version")         \
    X(EXPIRED, 16, "the admission ended")                                  \
    X(SLOW, 17, "the reader was too slow")                                 \
    X(RETIRED, 18, "retired")                                              \
    X(DUPLICATE, 19, "a second link to the same peer")                     \
    X(NOT_FOUND, 20, "no such surface here")                               \
    X(NOT_READY, 21, "not ready yet")                                      \
    X(MALFORMED, 22, "malformed message")                                  \
    X(CONFLICT, 23, "conflicting signed statements")                       \
    X(FORGOT, 24, "it has forgotten what it acknowledged")

enum mk_close {
#define MK_CLOSE_X(name, code, text) MK_CLOSE_##name = code,
    MK_CLOSE_MAP(MK_CLOSE_X)
#undef MK_CLOSE_X
};
const char *mk_close_name(unsigned code); /* "NO_CREDIT"; "UNKNOWN" for others */
const char *mk_close_text(unsigned code);

#define MK_REASON_MAX 256u /* bytes of the text that travels beside a code */

/* --- the net ---------------------------------------------------------------- */

struct mk_net_options {
    const struct mk_key *key; /* borrowed; must outlive the net */
    struct mk_id network;     /* both sides must name the same (MK_UNIVERSE) */
    bool vouched;             /* simulated world: no TLS, the world vouches */
    uint32_t handshake_ms;    /* 0: MK_NET_HANDSHAKE_MS */
    uint16_t newest_protocol; /* tests: an older build; 0: this one's */
};
int mk_net_open(struct mk_env *e, struct mk_net **ret, const struct mk_net_options *o);
/** Closes every link with MK_CLOSE_SHUTDOWN; conversations get their closed(). */
void mk_net_close(struct mk_net *net);

/** A further network of the same peer, behind the listeners of a shared one: whoever dials those
 * and names it comes to it, if it is admitted. Links of one network are seen on no other. */
struct mk_net_beside {
    struct mk_id network;
    /** May that peer come in? false with why. */
    bool (*admits)(void *arg, const struct mk_peer *peer, char why[MK_REASON_MAX]);
    void *arg;
};
/** shared must outlive it. 0; MK_EEXISTS: shared has one of that name, or bears it; MK_EIO. */
int mk_net_open_beside(struct mk_net *shared, struct mk_net **ret, const struct mk_net_beside *o);
const struct mk_peer *mk_net_self(const struct mk_net *net);
/** May be called for several addresses. */
int mk_net_listen(struct mk_net *net, const char *address, struct mk_fault *reterr);
uint16_t mk_net_port(const struct mk_net *net); /* of the first listener, 0 without */

/** Link events, any number of watchers. */
struct mk_net_watch {
    void (*up)(struct mk_net_watch *w, struct mk_link *l);
    /** detail: the other side's or our text, lent. */
    void (*down)(struct mk_net_watch *w, const struct mk_peer *peer, unsigned close,
                 const char *detail);
    /** A peer and we are of another version or network, or it does not let us into the one that we
     * dialed, so no link came up; detail says both.
     * May be NULL. */
    void (*refused)(struct mk_net_watch *w, const struct mk_peer *peer, unsigned close,
                    const char *detail);
    struct mk_list node;
};
void mk_net_watch(struct mk_net *net, struct mk_net_watch *w);
void mk_net_unwatch(struct mk_net_watch *w);
/** The protocols that this net names, and those that the other side of a link does. */
struct mk_protocols mk_net_protocols(const struct mk_net *net);
struct mk_protocols mk_link_protocols(const struct mk_link *l);

/* --- dialing ------------------------------------------------------------------ */

/** A standing wish for a link to a peer: dialed with back-off (50 ms doubling to
 * 5 s, jittered) until it is there, again when it breaks, until undialed.
 * Addresses are tried in turn; more may be added while it runs. */
struct mk_dial {
    struct mk_peer peer;
    void *impl;
    /* For diagnosis: how the last attempt ended. */
    unsigned last_close;
    char last_detail[MK_REASON_MAX];
};
/** address "host:port", copied. The peer's certificate must show exactly `peer`. */
void mk_net_dial(struct mk_net *net, struct mk_dial *d, const struct mk_peer *peer,
                 const char *address);
void mk_dial_add_address(struct mk_dial *d, const char *address);
/** What the attempt that is under way waits for, and for how long it has; false: none is. */
bool mk_dial_waits(const struct mk_dial *d, char ret[MK_REASON_MAX]);
/** Somebody dials the peer, there is no link, and no attempt has ended yet: it may be up soon. */
bool mk_net_first_dial(struct mk_net *net, const struct mk_peer *peer);
/** Stops dialing; an existing link stays while conversations use it. */
void mk_net_undial(struct mk_dial *d);
/** Parses "<64 hex>@host:port". */
int mk_net_parse_address(struct mk_peer *ret_peer, char ret_host_port[256], struct mk_str text,
                         struct mk_fault *reterr);

/* --- links --------------------------------------------------------------------- */

struct mk_link *mk_net_link(struct mk_net *net, const struct mk_peer *peer); /* up, or NULL */
const struct mk_peer *mk_link_peer(const struct mk_link *l);
const char *mk_link_remote(const struct mk_link *l);
uint32_t mk_link_rtt_us(const struct mk_link *l); /* 0 when not known */
/** 32 bytes that the two ends of this link share and nobody else knows (RFC 8446 section
 * 7.5); zeros in the simulated world without TLS. MK_ECLOSED, MK_EIO. */
int mk_link_exported(struct mk_link *l, uint8_t ret[32]);
void mk_link_close(struct mk_link *l, unsigned close, const char *detail);
struct mk_link *mk_net_next_link(struct mk_net *net,
                                 const struct mk_link *after); /* iterate; NULL first and last */

/* --- conversations --------------------------------------------------------------- */

struct mk_conv_cbs {
    /** A message; lent for the call. Its bytes are taken from the credit that the
     * other side has; give them back with mk_conv_consumed() once dealt with. */
    void (*message)(struct mk_conv *c, struct mk_bytes m);
    /** Credit or queue room came back after mk_conv_send returned MK_EFULL. May be NULL. */
    void (*writable)(struct mk_conv *c);
    /** The conversation is over; c is gone after this call. */
    void (*closed)(struct mk_conv *c, unsigned close, const char *detail);
};

struct mk_conv {
    const struct mk_conv_cbs *cbs;
    void *owner; /* of the side that holds it */
    struct mk_link *link;
};

/** Opens a conversation under proto; `first` (copied) is the first message, which
 * the other side's accept sees (it is given back as credit by the net itself).
 * Messages may be sent at once. 0; MK_ECLOSED: the link is down; MK_EINVALID: proto
 * is empty or too long; MK_ELIMIT: first is over MK_NET_MESSAGE_MAX; MK_EFULL: too
 * many conversations, or the link's queue is full. */
int mk_conv_open(struct mk_link *l, struct mk_conv **ret, const char *proto, struct mk_bytes first,
                 const struct mk_conv_cbs *cbs, void *owner);

/** A protocol served here. accept decides: 0 keeps c (cbs and owner must be set),
 * a close code > 0 refuses it (detail, optional, goes to the other side). `first` is
 * lent for the call. */
struct mk_service {
    const char *proto;
    unsigned (*accept)(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                       char detail[MK_REASON_MAX]);
    struct mk_list node;
};
int mk_net_serve(struct mk_net *net, struct mk_service *s); /* MK_EEXISTS */
void mk_net_unserve(struct mk_service *s);
/** Who serves a protocol on this net: lent until it is unserved; NULL: nobody. */
struct mk_service *mk_net_served(struct mk_net *net, const char *proto);

/** Queues one message (copied). 0; MK_EFULL: not queued, no credit or the link's
 * queue is full: wait for writable(); MK_ELIMIT over MK_NET_MESSAGE_MAX; MK_ECLOSED:
 * the link is down, closed() follows. */
int mk_conv_send(struct mk_conv *c, struct mk_bytes m);
/** As above from pieces, so that a large body need not be joined first. */
int mk_conv_sendv(struct mk_conv *c, const struct mk_bytes *parts, size_t n_parts);
/** Bytes that mk_conv_send would take now. */
size_t mk_conv_room(const struct mk_conv *c);
/** Gives n received bytes back as credit. */
void mk_conv_consumed(struct mk_conv *c, size_t n);
/** Ends it: queued messages still go out first; no callback follows here. */
void mk_conv_close(struct mk_conv *c, unsigned close, const char *detail);

/** Counters for status and metrics. */
#define MK_NET_CLOSES 32u
struct mk_net_stats {
    uint64_t bytes_in, bytes_out, messages_in, messages_out;
    uint64_t links, dials, handshakes_refused, links_refused;
    uint64_t handshakes;                    /* inbound, under way now */
    uint64_t unfinished_bytes;              /* of messages that have come in part */
    uint64_t refused_by[MK_NET_CLOSES];     /* inbound connections that never came up, by code */
    char last_refusal[MK_REASON_MAX + 128]; /* "host:port: CODE: text" of the last of them */
};
void mk_net_stats(const struct mk_net *net, struct mk_net_stats *ret);

#endif /* NET_NET_H */
